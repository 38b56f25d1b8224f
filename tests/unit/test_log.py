"""Nothing secret in any message, events that never hold up the job, counters that speak once a second."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from evotools import log
from evotools.errors import UsageError
from evotools.log import EventWriter, Throttle, get_logger, protect, scrub
from evotools.uri import Uri


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_secrets", [])


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    root = logging.getLogger("evotools")
    before = (root.level, root.propagate, root.handlers[:])
    yield
    root.level, root.propagate, root.handlers[:] = before


KEY = "live_4711_aBcDeF"


@pytest.mark.parametrize(
    "text",
    [
        f"rtmp://live.example/app/{KEY}",
        f"cannot open rtmps://u:{KEY}@h:443/app/x?token={KEY}.",
        f"http://user:{KEY}@h/x.ts",
        f"http://user:p@ss{KEY}@h/x.ts",
        f"GET /x?a=1&token={KEY}&b=2",
        f"exec:ffmpeg -headers 'Authorization: Bearer {KEY}' -i http://h/x",
        f"{{'authorization': 'Basic {KEY}'}}",
        f"srt://h:9000?passphrase={KEY}",
        f"[rtmp @ 0x55] handshake of rtmp://a/b/{KEY} failed; Input/output error",
    ],
)
def test_secrets_in_texts_of_others_are_masked(text: str) -> None:
    assert KEY not in scrub(text)


def test_what_a_uri_keeps_secret_is_masked_everywhere() -> None:
    uri = Uri.parse("rtmp://h/app/{env:K}?sig={env:S}", env={"K": "key/with?odd", "S": 'a"b\\c<d>'}.get)
    protect(uri.secrets())
    for text in (f"the server said: no {uri.text.rpartition('/')[2]}", 'x a"b\\c<d> y'):
        assert 'a"b\\c<d>' not in scrub(text)
    line = json.dumps({"message": 'bad a"b\\c<d>'})
    assert "b\\\\c" not in scrub(line)
    assert json.loads(scrub(line)), "and it is still JSON"


def test_ordinary_words_stay() -> None:
    protect(["live"])
    for text in ("stream 'live/cam' published", "listening on rtmp://:1935/live/show", "1280x720@25: 3 Mbit/s"):
        assert scrub(text) == text


def test_the_list_of_secrets_is_bounded() -> None:
    for n in range(log.MAX_SECRETS + 100):
        protect([f"secret-{n:06}"])
    assert len(log._secrets) == log.MAX_SECRETS
    assert scrub(f"secret-{log.MAX_SECRETS + 99:06}") == "****"


@pytest.mark.parametrize("as_json", [False, True])
def test_lines_and_traces_are_scrubbed(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    protect([KEY])
    log.setup("evotools relay", verbosity=2, as_json=as_json)
    part = get_logger("part")
    part.warning("%s is away", KEY)
    part.info("hello")
    try:
        raise ValueError(f"trace of {KEY}")
    except ValueError:
        part.exception("failed")
    text = capsys.readouterr().err
    assert KEY not in text
    if as_json:
        lines = [json.loads(line) for line in text.splitlines()]
        assert [x["level"] for x in lines] == ["warning", "info", "error"]
        assert lines[0]["part"] == "evotools.part"
    else:
        assert text.splitlines()[:2] == ["evotools relay: warning: **** is away", "evotools relay: hello"]
        assert "ValueError: trace of ****" in text


def test_verbosity(capsys: pytest.CaptureFixture[str]) -> None:
    for verbosity, shown in ((-1, 1), (0, 2), (1, 3), (2, 4)):
        log.setup("x", verbosity=verbosity)
        part = get_logger("part")
        for level in (logging.ERROR, logging.WARNING, logging.INFO, log.TRACE):
            part.log(level, "line")
        assert capsys.readouterr().err.count("line") == shown


def test_events_go_to_a_file_a_descriptor_or_nowhere(tmp_path: Path) -> None:
    protect([KEY])
    path = tmp_path / "events"
    for _ in range(2):
        EventWriter(str(path)).emit("track", codec="h264", note=f"key {KEY}", path=tmp_path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [x["event"] for x in lines] == ["track", "track"], "an existing file is continued"
    assert lines[0]["note"] == "key ****"
    read, write = os.pipe()
    writer = EventWriter(f"fd:{write}")
    assert writer.active
    writer.emit("stats", frames=1)
    assert json.loads(os.read(read, 1000))["frames"] == 1
    os.close(read)
    writer.emit("stats", frames=2)
    assert not writer.active, "a reader that left stops the events"
    writer.emit("exit", code=0)
    EventWriter(None).emit("exit", code=0)
    for bad in ("fd:x", "fd:-1", "fd:9999", "/no/such/folder/x", str(tmp_path)):
        with pytest.raises(UsageError, match="--events"):
            EventWriter(bad)


@pytest.mark.parametrize("filler", [100, 5_000, 200_000], ids=["short", "longer than a page", "longer than a pipe"])
@pytest.mark.timeout(20)
def test_a_reader_of_events_that_does_not_read_never_holds_up_the_job(
    monkeypatch: pytest.MonkeyPatch, filler: int
) -> None:
    monkeypatch.setattr(log, "LAST_WAIT_MS", 10)
    read, write = os.pipe()
    writer = EventWriter(f"fd:{write}")
    for n in range(5000):
        writer.emit("stats", number=n, filler="x" * filler)
    writer.emit("exit", code=0)
    os.set_blocking(read, False)
    got = bytearray()
    for _ in range(20):
        got += os.read(read, 1 << 20)
        writer.emit("exit", code=0)
    got += os.read(read, 1 << 20)
    lines = [json.loads(line) for line in got.decode().splitlines()]
    assert lines[-1]["event"] == "exit"
    assert sum(x.get("lost", 0) for x in lines) + len(lines) == 5021, "the gap is told"
    os.close(read)


def test_throttle(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    monkeypatch.setattr(log.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(logging.getLogger("evotools"), "propagate", True)
    throttle = Throttle(get_logger("x"), "{n} frames dropped")
    with caplog.at_level("WARNING", logger="evotools.x"):
        for _ in range(10):
            throttle.hit(2)
        now[0] += 1.0
        throttle.hit()
    assert [r.getMessage() for r in caplog.records] == ["2 frames dropped", "19 frames dropped"]
