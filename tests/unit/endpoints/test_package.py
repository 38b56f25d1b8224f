"""The folder behind `package:`: locks, what may be written into, what is cleared, and what failures leave."""

import asyncio
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evotools.endpoints import package_folder as module
from evotools.endpoints.base import Context
from evotools.endpoints.package import PackageSink, Shared, Wishes
from evotools.endpoints.registry import open_sink
from evotools.errors import EvotoolsError, RefusedError, UnreachableError, UsageError
from evotools.media.frame import Discontinuity, Event
from evotools.packaging.files import LOCK_NAME, STATE_NAME
from evotools.uri import Uri
from tests.manifests import look
from tests.unit.packaging.films import AUDIO, VIDEO, audio, batches, mixed, video

TRACKS = (VIDEO, AUDIO)
HIDDEN = {STATE_NAME, LOCK_NAME}


def sink(folder: Path, query: str = "segment=1s", *, live: bool = False, force: bool = False, **context: Any) -> Any:
    options = {"force": True} if force else {}
    made = open_sink(Uri.parse(f"package:{folder}?{query}"), Context(options=options, **context))
    made.live = live
    return made


async def write(made: Any, events: Sequence[Event], *, finish: bool = True) -> None:
    """A whole route's worth of calls."""
    try:
        await made.open()
        assert made.offer(TRACKS) == []
        await made.start(TRACKS)
        for batch in batches(events):  # type: ignore[arg-type]
            await made.write(batch)
        if finish:
            await made.finish()
    finally:
        await made.close()
        await asyncio.get_running_loop().run_in_executor(None, made._shared._pool.shutdown)


def film(seconds: float = 4, start: float = 0) -> list[Any]:
    return mixed(video(seconds, start=start), audio(seconds, start=start))


def package(folder: Path, query: str = "segment=1s", **options: Any) -> None:
    asyncio.run(write(sink(folder, query, **options), film()))


def media(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name not in HIDDEN}


def test_files_and_events_as_they_become_complete(tmp_path: Path) -> None:
    files: list[str] = []
    events: list[tuple[str, Any]] = []

    def on_file(path: str, facts: Any) -> None:
        assert Path(path).exists()
        files.append(Path(path).name)

    package(tmp_path / "out", on_file=on_file, on_event=lambda name, facts: events.append((name, facts)))
    assert files == ["index.m3u8", "manifest.mpd"]
    assert [(name, facts["number"]) for name, facts in events if "/v0/" in facts["path"]] == [
        ("segment", n) for n in (1, 2, 3, 4)
    ]
    assert look(tmp_path / "out").ended
    assert {p.name for p in (tmp_path / "out").iterdir()} == {*HIDDEN, "index.m3u8", "manifest.mpd", "v0", "a0"}


def test_a_clock_set_anew_breaks_and_a_loss_does_not(tmp_path: Path) -> None:
    events = [*film(1), Discontinuity("packets are missing"), *film(1, start=1)]
    events += [Discontinuity("timestamps jumped", clock=True), *film(2, start=5)]
    asyncio.run(write(sink(tmp_path / "out"), events))
    lines = look(tmp_path / "out").segments("v0")
    assert [line.discontinuity for line in lines] == [False, False, True, False]


def test_a_folder_with_other_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt.*--force"):
        sink(tmp_path)
    package(tmp_path, force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert look(tmp_path).ended


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        sink(tmp_path / "x")


def test_a_finished_presentation_is_replaced_only_by_force(tmp_path: Path) -> None:
    package(tmp_path)
    (tmp_path / "v0" / "poster.jpg").write_text("mine")
    before = media(tmp_path)
    with pytest.raises(UsageError, match="finished presentation; --force"):
        sink(tmp_path)
    assert media(tmp_path) == before
    package(tmp_path, "segment=2s&format=ts", force=True)
    assert media(tmp_path) == {"v0/1.ts", "v0/2.ts", "v0/playlist.m3u8", "v0/poster.jpg", "index.m3u8"}
    assert look(tmp_path).ended


def test_what_a_kill_left_of_an_on_demand_run_is_cleared(tmp_path: Path) -> None:
    async def killed() -> None:
        made = sink(tmp_path)
        await made.open()
        await made.start(TRACKS)
        await made.write(film())
        made._shared._folder._lock.close()

    asyncio.run(killed())
    (tmp_path / "v0" / ".9.m4s.tmp").write_text("half")
    assert (tmp_path / "v0/2.m4s").exists()
    package(tmp_path, "segment=2s")
    assert sorted(p.name for p in (tmp_path / "v0").iterdir()) == ["1.m4s", "2.m4s", "init-1.mp4", "playlist.m3u8"]
    assert not list(tmp_path.glob(".*reserve"))
    assert look(tmp_path).ended


@pytest.mark.parametrize("kind", ["live", "event"])
def test_a_live_folder_is_gone_on_with(tmp_path: Path, kind: str) -> None:
    package(tmp_path, f"segment=1s&type={kind}&endlist=0", live=True)
    (tmp_path / "v0" / ".4.m4s.tmp").write_text("half")
    (tmp_path / "v0" / "9.m4s").write_text("never named")
    package(tmp_path, f"segment=1s&type={kind}", live=True)
    found = look(tmp_path)
    assert [line.path for line in found.segments("v0")] == [f"v0/{n}.m4s" for n in range(1, 9)]
    assert [line.discontinuity for line in found.segments("v0")] == [False] * 4 + [True] + [False] * 3
    assert not (tmp_path / "v0" / "9.m4s").exists()
    assert not (tmp_path / "v0" / ".4.m4s.tmp").exists()
    assert found.ended


def test_a_folder_of_another_type_is_refused(tmp_path: Path) -> None:
    package(tmp_path, "segment=1s&type=live", live=True)
    for query in ("segment=1s&type=event", "segment=1s&type=live&format=ts"):
        with pytest.raises(UsageError, match=r"type live in fmp4.*--force"):
            package(tmp_path, query, live=True)
    assert look(tmp_path).ended


@pytest.mark.parametrize("content", [b"", b"{}", b'{"schema":"evotools-package","version":99}', b"\xff" * 100])
def test_a_state_file_that_cannot_be_used(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATE_NAME).write_bytes(content)
    with pytest.raises(UsageError, match="begins anew"):
        sink(tmp_path)
    package(tmp_path, force=True)
    assert look(tmp_path).ended


def test_two_at_once_are_one_too_many(tmp_path: Path) -> None:
    async def both() -> None:
        first, second = sink(tmp_path), sink(tmp_path)
        await first.open()
        with pytest.raises(RefusedError, match="another process"):
            await second.open()
        await second.close()
        await write(first, film())

    asyncio.run(both())
    assert look(tmp_path).ended


def test_links_are_not_followed_when_clearing(tmp_path: Path) -> None:
    package(tmp_path / "out")
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "out/v0").rename(elsewhere)
    (tmp_path / "out/v0").symlink_to(elsewhere)
    before = {path: path.read_bytes() for path in elsewhere.iterdir()}
    with pytest.raises(EvotoolsError, match="its folder is a symbolic link"):
        package(tmp_path / "out", "segment=4s", force=True)
    assert {path: path.read_bytes() for path in elsewhere.iterdir()} == before


def test_links_in_the_place_of_files_are_not_written_through(tmp_path: Path) -> None:
    """Somebody who may write into the folder cannot have other files overwritten."""
    folder, victim = tmp_path / "out", tmp_path / "victim"
    victim.write_text("precious")
    for name in (".evotools-package.reserve", ".evotools-package.json.tmp", ".index.m3u8.tmp", "v0/.1.m4s.tmp"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(victim)
    package(folder, force=True)
    assert victim.read_text() == "precious"
    assert look(folder).ended
    assert not list(folder.rglob(".*.tmp"))


def test_hidden_files_of_others_stay(tmp_path: Path) -> None:
    package(tmp_path)
    (tmp_path / ".upload.tmp").write_text("half of something")
    (tmp_path / ".index.m3u8.tmp").write_text("half of ours")
    package(tmp_path, force=True)
    assert [path.name for path in tmp_path.glob(".*.tmp")] == [".upload.tmp"]


@pytest.mark.parametrize("kind", ["vod", "event", "live"])
@pytest.mark.parametrize("room", [3_000, 6_500, 9_000])
def test_a_full_disk_loses_nothing_that_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, room: int
) -> None:
    left = room
    real = os.write

    def full(fd: int, data: Any) -> int:
        nonlocal left
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        # Disks take a part before they take nothing.
        done = real(fd, data[: min(left, 1000)])
        left -= done
        return done

    def freed(folder: Any) -> None:
        nonlocal left
        left += module.RESERVE_BYTES
        release(folder)

    release = module.Folder.use_reserve
    monkeypatch.setattr(module.Folder, "use_reserve", freed)
    monkeypatch.setattr(os, "write", full)
    monkeypatch.setattr(os, "writev", lambda fd, parts: full(fd, b"".join(parts)))
    with pytest.raises(EvotoolsError, match=r"No space left on device; what was complete.*playable") as caught:
        package(tmp_path, f"segment=1s&type={kind}", live=kind != "vod")
    assert caught.value.code == 1
    monkeypatch.undo()
    found = look(tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))
    named = {line.path for p in found.playlists.values() for line in p.lines}
    whole = {p for p in media(tmp_path) if p.endswith(".m4s")}
    if kind == "vod":
        assert found.ended or not whole
        assert named == whole
    else:
        # A piece is shown once all its renditions are there.
        assert len(whole - named) <= 2


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnreachableError, match="Not a directory"):
        package(tmp_path / "file" / "out")


def test_names_with_every_character(tmp_path: Path) -> None:
    folder = tmp_path / "a b?c&d%41ü#"
    from evotools.pipeline.package import package_uri

    uri = Uri.parse(package_uri(str(folder), {"segment": "1s"}, ["x.mp4"]))
    asyncio.run(write(PackageSink(uri, Context()), film()))
    assert (folder / "index.m3u8").exists()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("format=mkv", "fmp4 or ts"),
        ("format=ts&dash=1", "fMP4 only"),
        ("format=ts&hls=0", "neither HLS nor DASH"),
        ("hls=0&dash=0", "neither"),
        ("type=catchup", "vod"),
        ("segment=0", "segments of 0 s"),
        ("segment=2h", "600 s"),
        ("window=long", "duration"),
        ("part=1s", "unknown option 'part'"),
    ],
)
def test_options_that_make_no_package(tmp_path: Path, query: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        sink(tmp_path / "out", query)


def test_a_folder_is_needed() -> None:
    with pytest.raises(UsageError, match="lacks a folder"):
        open_sink(Uri.parse("package:"), Context())


def test_not_for_uris_that_came_through_an_api(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="configuration file"):
        open_sink(Uri.parse(f"package:{tmp_path}/x"), Context(trusted=False))


def test_defaults() -> None:
    wishes = Wishes.of(Uri.parse("package:x"), force=False)
    assert wishes.settings(live=True).type == "live"
    assert wishes.settings(live=True).window_s == 60
    assert wishes.settings(live=False).type == "vod"
    assert (wishes.hls, wishes.dash, wishes.target_s) == (True, True, 6.0)
    assert not Wishes.of(Uri.parse("package:x?format=ts"), force=False).dash
    assert Wishes.of(Uri.parse("package:x?window=all"), force=False).window_s is None


def test_inputs_that_wait_go_on_when_another_one_is_lost(tmp_path: Path) -> None:
    async def run() -> None:
        uri = Uri.parse(f"package:{tmp_path}/out?segment=1s")
        shared = Shared(uri, Wishes.of(uri, force=False), ["a", "b"])
        sinks = [PackageSink(uri, Context(options={"package": shared, "package_input": n})) for n in (0, 1)]
        for made in sinks:
            made.live = False
            await made.open()
            await made.start(TRACKS)
        ahead = asyncio.create_task(sinks[0].write(film(10)))
        await sinks[1].write(film(1))
        done, _ = await asyncio.wait({ahead}, timeout=0.2)
        assert not done
        await sinks[1].close()
        await ahead
        await sinks[0].finish()
        await sinks[0].close()
        await asyncio.get_running_loop().run_in_executor(None, shared._pool.shutdown)

    asyncio.run(run())
    found = look(tmp_path / "out")
    assert found.ended
    assert {name: len(p.lines) for name, p in found.playlists.items()} == {"v0": 10, "v1": 1, "a0": 10}


def test_wall_time_never_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = Uri.parse(f"package:{tmp_path}/out")
    shared = Shared(uri, Wishes.of(uri, force=False), ["a"])
    import time

    before = shared.now_s()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 <= shared.now_s() - before < 5
