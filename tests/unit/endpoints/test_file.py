"""Files by path."""

import asyncio
import errno
import os
from pathlib import Path
from typing import IO

import pytest

from evotools.containers.mpegts.mux import TsMuxer
from evotools.endpoints import file
from evotools.endpoints.base import Context
from evotools.endpoints.registry import open_sink, open_source
from evotools.errors import EvotoolsError, MediaError, UnreachableError, UsageError
from evotools.media.frame import Tracks
from evotools.media.track import Kind, Track
from evotools.uri import Uri
from tests.unit.containers.mpegts import tools as ts
from tests.unit.endpoints.media import Clip, payloads, read_all, sink, source, write_all


@pytest.mark.parametrize("name", ["a.ts", "a.flv", "a.mkv", "a.mp4", "no-suffix", "odd?name=1.ts", "x:y.ts", "a.TS"])
async def test_a_file_of_any_kind_and_name(clip: Clip, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    await write_all(sink(path), clip)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert payloads(await read_all(source(path))) == clip.payloads


async def test_the_content_tells_the_container_not_the_suffix(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "really.ts"
    await write_all(sink(f"file:{path}?format=flv"), clip)
    assert path.read_bytes()[:3] == b"FLV"
    opened = source(path)
    assert payloads(await read_all(opened)) == clip.payloads
    assert opened.container == "flv"


async def test_a_fifo(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "fifo.ts"
    os.mkfifo(path)
    reading = asyncio.create_task(read_all(source(path)))
    await write_all(sink(path), clip)
    assert payloads(await reading) == clip.payloads


async def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.ts").touch()
    with pytest.raises(MediaError, match="empty"):
        await read_all(source(tmp_path / "empty.ts"))
    with pytest.raises(UnreachableError, match="No such file"):
        await read_all(source(tmp_path / "none.ts"))
    with pytest.raises(UnreachableError, match="directory"):
        await read_all(source(tmp_path))
    (tmp_path / "text.ts").write_text("hello " * 1000)
    with pytest.raises(MediaError):
        await read_all(source(tmp_path / "text.ts"))


async def test_what_cannot_be_written(clip: Clip, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder"):
        sink(tmp_path)
    (tmp_path / "kept.ts").write_bytes(b"kept")
    with pytest.raises(UsageError, match="--force"):
        sink(tmp_path / "kept.ts")
    with pytest.raises(UnreachableError, match="No such file"):
        await write_all(sink(tmp_path / "no" / "folder.ts"), clip)


# MP4.


def boxes(path: Path) -> list[bytes]:
    data, found, position = path.read_bytes(), [], 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        found.append(data[position + 4 : position + 8])
        position += int.from_bytes(data[position + 8 : position + 16], "big") if size == 1 else size
    assert position == len(data)
    return found


async def test_an_mp4_file_is_fragments_until_it_is_finished(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    opened = sink(path)
    await opened.open()
    await opened.start(clip.tracks)
    await opened.write(clip.frames)
    cut = path.read_bytes()
    await opened.start(clip.tracks)
    await opened.finish()
    await opened.close()
    assert boxes(path) == [b"ftyp", b"mdat", b"moov"]
    assert path.read_bytes()[16:].startswith(cut[16:32])
    assert payloads(await read_all(source(path))) == clip.payloads
    # Closed without its end it is what a kill leaves.
    (tmp_path / "cut.mp4").write_bytes(cut)
    assert boxes(tmp_path / "cut.mp4")[:2] == [b"ftyp", b"free"]


@pytest.mark.parametrize(
    ("name", "brand", "codecs"),
    [("x.m4v", b"isom", {"h264", "aac"}), ("x.m4a", b"M4A ", {"aac"}), ("x.cmfv", b"iso6", {"h264"}),
     ("x.cmfa", b"iso6", {"aac"}), ("x.bin?format=fmp4", b"iso6", {"h264", "aac"}),
     ("x.bin?format=mp4", b"isom", {"h264", "aac"})],
)  # fmt: skip
async def test_kinds_of_mp4(clip: Clip, tmp_path: Path, name: str, brand: bytes, codecs: set[str]) -> None:
    opened = sink(f"file:{tmp_path}/{name}")
    await opened.open()
    refused = {r.track.id for r in opened.offer(clip.tracks)}
    await opened.start([t for t in clip.tracks if t.id not in refused])
    await opened.write([f for f in clip.frames if f.track.id not in refused])
    await opened.finish()
    await opened.close()
    path = tmp_path / name.partition("?")[0]
    assert path.read_bytes()[8:12] == brand
    fragmented = b"moof" in boxes(path)
    assert fragmented == (brand == b"iso6")
    assert payloads(await read_all(source(path))) == {c: p for c, p in clip.payloads.items() if c in codecs}


async def test_what_mp4_has_no_place_for(clip: Clip, tmp_path: Path) -> None:
    vorbis = Track(9, Kind.AUDIO, "vorbis", 48_000)
    opened = sink(tmp_path / "x.mp4")
    assert [r.track.id for r in opened.offer([*clip.tracks, vorbis])] == [9]
    assert [r.track.kind for r in sink(tmp_path / "x.m4a").offer(clip.tracks)] == [Kind.VIDEO]
    second = clip.tracks[0].with_(id=8)
    assert [r.track.id for r in sink(tmp_path / "x.cmfv").offer([*clip.tracks, second])] == [clip.tracks[1].id, 8]


async def test_low_latency_means_a_fragment_per_frame(clip: Clip, tmp_path: Path) -> None:
    sizes = {}
    for latency in ("normal", "low"):
        opened = sink(f"file:{tmp_path}/{latency}?format=fmp4")
        opened.latency = latency  # type: ignore[assignment]
        await write_all(opened, clip)
        sizes[latency] = boxes(tmp_path / latency).count(b"moof")
        assert payloads(await read_all(source(tmp_path / latency))) == clip.payloads
    assert sizes["normal"] <= 3 and sizes["low"] > len(clip.frames) - 5


async def test_a_named_pipe_takes_fragmented_mp4(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "fifo.mp4"
    os.mkfifo(path)
    reading = asyncio.create_task(asyncio.to_thread(path.read_bytes))
    await write_all(sink(path), clip)
    (tmp_path / "read.mp4").write_bytes(await reading)
    assert b"moof" in boxes(tmp_path / "read.mp4")
    assert payloads(await read_all(source(tmp_path / "read.mp4"))) == clip.payloads


async def test_a_full_disk_leaves_whole_fragments(clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.mp4"
    opened = sink(path)
    await opened.open()
    await opened.start(clip.tracks)
    await opened.write(clip.frames)

    def full(out: IO[bytes], parts: list[bytes]) -> None:
        out.write(parts[0][: len(parts[0]) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = path.stat().st_size
    monkeypatch.setattr(file, "_write_parts", full)
    with pytest.raises(EvotoolsError, match="No space left"):
        await opened.finish()
    await opened.close()
    assert path.stat().st_size == before
    assert boxes(path)[0] == b"ftyp"


@pytest.mark.parametrize("vectored", [True, False])
def test_parts_are_written_whole_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vectored: bool) -> None:
    parts = [bytes([n % 256]) * (n % 50) for n in range(2500)]
    if vectored:
        writev = os.writev
        # A system that takes a little less than it was given.
        monkeypatch.setattr(os, "writev", lambda fd, some: writev(fd, [b"".join(some)[:-7]]))
    else:
        monkeypatch.delattr(os, "writev")
    with (tmp_path / "x").open("wb", buffering=0) as out:
        file._write_parts(out, parts)
    assert (tmp_path / "x").read_bytes() == b"".join(parts)


@pytest.mark.parametrize("text", ["/etc/passwd", "file:///etc/passwd", "fd:0", "-", "exec:id", "ts-exec:id"])
def test_uris_from_an_api_name_nothing_local(text: str) -> None:
    context = Context(trusted=False)
    for opener in (open_source, open_sink):
        with pytest.raises(UsageError, match="configuration file or the command line only"):
            opener(Uri.parse(text), context)


async def test_sound_that_begins_seconds_late_is_known_from_the_start(tmp_path: Path) -> None:
    frames = [f for f in ts.clip(6) if f.track.kind is Kind.VIDEO or f.dts_s >= 3]
    muxer = TsMuxer()
    path = tmp_path / "late.ts"
    path.write_bytes(b"".join([muxer.start([ts.H264, ts.AAC]), *map(muxer.write, frames), muxer.finish()]))
    lists = [event for event in await read_all(source(path)) if isinstance(event, Tracks)]
    assert [[track.codec for track in event.tracks] for event in lists] == [["h264", "aac"]]
