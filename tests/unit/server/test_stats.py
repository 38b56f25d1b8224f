"""What `stats` events say."""

from typing import Any

import pytest

from evotools.hub.limits import StreamSettings
from evotools.server.stats import snapshot
from evotools.transport import flush
from evotools.transport.flush import Flusher
from tests.unit.hub.make import Bench, TextMuxer, Wire, gops, video
from tests.unit.transport.test_flush import FakeLoop


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    made = FakeLoop()
    monkeypatch.setattr(flush.asyncio, "get_running_loop", lambda: made)  # type: ignore[attr-defined]
    return made


def test_it_tells_viewers_bytes_drops_and_the_interval_in_force(loop: FakeLoop) -> None:
    bench = Bench()
    flusher = Flusher(bench.hub, 0.04)
    feed = bench.stream.feed("text", TextMuxer, now=0.0)
    other = bench.stream.feed(("text", "video"), TextMuxer, now=0.0, flush_interval=0.35)
    bench.publication.push(gops(0, 1), 0.0)
    quick, slow = Wire(), Wire()
    feed.join(quick.write, quick.unsent, now=0.0)
    feed.join(slow.write, slow.unsent, now=0.0)
    other.join(Wire().write, Wire().unsent, now=0.0)
    slow.stuck = 1
    for number in range(4, 80):
        slow.stuck += 1
        bench.publication.push([video(number * 100, key=number % 4 == 0)], 0.1)
        feed.flush(0.1)
    told: dict[str, Any] = snapshot(bench.hub, flusher)
    stream = told["by_stream"][0]
    assert (told["streams"], told["viewers"], told["flush"]["interval_s"]) == (1, 3, 0.04)
    assert (stream["name"], stream["viewers"], stream["viewers_joined"]) == ("live/a", 3, 3)
    assert stream["skips"] > 0
    assert stream["dropped"] > 0
    assert stream["bytes_out"] > len(quick.text)
    assert [(f["format"], f["viewers"], f["interval_s"]) for f in stream["feeds"]] == [
        ("text", 2, 0.04), ("text video", 1, 0.35),
    ]  # fmt: skip
    bytes_out = stream["bytes_out"]
    for viewer in feed.viewers():
        viewer.leave()
    assert snapshot(bench.hub, flusher)["by_stream"][0]["bytes_out"] == bytes_out


def test_a_streams_own_interval_is_stronger_than_its_listeners(loop: FakeLoop) -> None:
    bench = Bench()
    flusher = Flusher(bench.hub, 0.04)
    bench.hub.settings = lambda name: StreamSettings(flush_interval="auto")
    stream = bench.hub.publish("other", bench.stream.publisher or pytest.fail("no publisher")).stream
    feed = stream.feed("text", TextMuxer, now=0.0, flush_interval=0.35)
    assert feed.flush_interval == "auto"
    assert flusher.pace(feed.flush_interval) is not flusher.default
