"""Matroska and WebM of programs nobody here wrote, read by ours and compared with ffprobe; ours read by them."""

import struct
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from evotools.containers.base import Foreign
from evotools.containers.matroska import MatroskaMuxer, element
from evotools.containers.matroska import number as uint
from evotools.containers.matroska.demux import MatroskaDemuxer
from evotools.hub.points import EntryPoints
from evotools.media.frame import Discontinuity, Event, Frame, Tracks
from evotools.media.track import Kind, Track
from tests.conftest import need
from tests.interop.peers import ffmpeg5, ffmpeg9, finish, quiet
from tests.unit.containers.matroska import build
from tests.unit.containers.zoo import digest, packets
from tests.unit.containers.zoo import read as zoo_read

pytestmark = pytest.mark.interop

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=2")
SOUND = ("-f", "lavfi", "-i", "sine=440:d=2:r=48000", "-ac", "2")
X264 = ("-c:v", "libx264", "-bf", "3", "-g", "25", "-pix_fmt", "yuv420p")
REALTIME = ("-deadline", "realtime", "-cpu-used", "8", "-g", "25")
X265 = ("-c:v", "libx265", "-x265-params", "log-level=0:bframes=4:keyint=25")
TOLD = ("-metadata:s:a:0", "language=ger", "-metadata:s:a:0", "title=Ton")
CODECS = {
    "h264-aac": (*PICTURE, *SOUND, *X264, "-c:a", "aac", *TOLD),
    "h264-open-gop": (*PICTURE, *X264, "-x264-params", "open-gop=1:b-pyramid=normal:bframes=5"),
    "h264-interlaced": (*PICTURE, *X264, "-flags", "+ilme+ildct"),
    "h264-no-order": (*PICTURE, *X264, "-bsf:v", "h264_metadata=crop_left=0", "-g", "50"),
    "h265-flac": (*PICTURE, *SOUND, *X265, "-c:a", "flac"),
    "av1-opus": (*PICTURE, *SOUND, "-c:v", "libsvtav1", "-preset", "12", "-g", "25", "-c:a", "libopus"),
    "vp9-opus": (*PICTURE, *SOUND, "-c:v", "libvpx-vp9", *REALTIME, "-c:a", "libopus"),
    "vp8-vorbis": (*PICTURE, *SOUND, "-c:v", "libvpx", *REALTIME, "-c:a", "libvorbis"),
    "mp3": (*SOUND, "-c:a", "libmp3lame"),
    "mp2": (*SOUND, "-c:a", "mp2"),
    "ac3": (*SOUND, "-c:a", "ac3"),
    "eac3": (*SOUND, "-c:a", "eac3"),
    "pcm": (*SOUND, "-c:a", "pcm_s24le"),
    "mjpeg": (*PICTURE, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
}
WEBM = ("av1-opus", "vp9-opus", "vp8-vorbis")


def read(path: Path, step: int = 5000, *, stored: bool = False) -> tuple[list[Event], MatroskaDemuxer]:
    demuxer = MatroskaDemuxer(stored=stored)
    data = path.read_bytes()
    events = [e for at in range(0, len(data), step) for e in demuxer.feed(data[at : at + step])]
    return events + demuxer.flush(), demuxer


def frames_of(events: list[Event]) -> dict[int, list[Frame]]:
    found: dict[int, list[Frame]] = {}
    for event in events:
        if isinstance(event, Frame):
            found.setdefault(event.track.id, []).append(event)
    return found


def compare(path: Path, *, exact: bool = True) -> tuple[Track, ...]:
    """Every packet, its times and flags as ffprobe tells them; the tracks.

    Not `exact`: parameter sets and delimiters among the payloads of the file are where we do not keep them, and libav
    rounds the clock and adds up times in laces its own way.
    """
    events, demuxer = read(path)
    assert demuxer.damaged == 0
    assert not any(isinstance(e, Discontinuity) for e in events)
    (tracks,) = [e.tracks for e in events if isinstance(e, Tracks)]
    own, canonical = frames_of(events), zoo_read(path)[1]
    assert len(own) == len(canonical)
    for (number, frames), theirs in zip(sorted(own.items()), packets(path), strict=True):
        assert [f.payload for f in frames] == [f.payload for f in canonical[number]], number
        assert all(f.dts <= f.pts for f in frames)
        assert all(a.dts <= b.dts for a, b in pairwise(frames)), number
        assert [f.key for f in frames] == ["K" in p["flags"] for p in theirs], number
        if exact:
            assert [digest(f.payload) for f in frames] == [p["data_hash"] for p in theirs], number
            assert [f.pts for f in frames] == [p["pts"] for p in theirs], number
            assert [f.dts for f in frames] == [p.get("dts", f.dts) for f, p in zip(frames, theirs, strict=True)], number
        else:
            # libav takes 1/48001 s for 20833 ns: 40 ppm.
            late = [f.pts_s - float(p["pts_time"]) for f, p in zip(frames, theirs, strict=True) if "pts_time" in p]
            assert max(map(abs, late)) < 0.0021, number
    return tracks


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("matroska")

    def make(name: str, program: str = "", *more: str, suffix: str = "") -> Path:
        path = folder / f"{name}{'-'.join(more)}-{Path(program or ffmpeg5()).name}{suffix or '.mkv'}"
        if not path.exists():
            finish([*quiet(program or ffmpeg5()), *CODECS[name], *more, str(path)])
        return path

    return make


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("program", [ffmpeg5, ffmpeg9])
def test_what_ffmpeg_writes(made: Any, name: str, live: bool, program: Callable[[], str]) -> None:
    suffix = ".webm" if name in WEBM else ".mkv"
    tracks = compare(made(name, program(), *(("-live", "1") if live else ()), suffix=suffix))
    for track in tracks:
        if track.kind is Kind.VIDEO:
            assert (track.width, track.height, track.fps) == (160, 120, 25)
        else:
            assert (track.sample_rate, track.channels) == (48000, 2)
        assert track.codec_string or track.codec in ("mjpeg", "pcm_s24le")
    if name == "h264-aac":
        assert (tracks[1].language, tracks[1].label) == ("ger", "Ton")
        assert tracks[0].language == ""


MKVMERGE = {
    "plain": (), "fine clock": ("--timestamp-scale", "20833"), "Xiph laces": ("--engage", "lacing_xiph"),
    "EBML laces": ("--engage", "lacing_ebml"), "groups": ("--engage", "no_simpleblocks"),
    "no laces": ("--disable-lacing",),
    "headers twice": ("--engage", "write_headers_twice"), "small clusters": ("--cluster-length", "3"),
}  # fmt: skip


@pytest.mark.parametrize("name", ["h264-aac", "h265-flac", "ac3", "vp9-opus", "mp3"])
@pytest.mark.parametrize("options", MKVMERGE)
def test_what_mkvmerge_writes(made: Any, tmp_path: Path, name: str, options: str) -> None:
    path = tmp_path / "x.mkv"
    finish([need("mkvmerge"), "-q", *MKVMERGE[options], "-o", str(path), str(made(name))])
    compare(path, exact=False)


def test_compressed_tracks(made: Any, tmp_path: Path) -> None:
    """Header stripping is ours, zlib is libav's."""
    source, path = made("ac3"), tmp_path / "x.mkv"
    finish([need("mkvmerge"), "-q", "-o", str(path), "--compression", "0:zlib", str(source)])
    with pytest.raises(Foreign, match=r"track 1 is compressed \(zlib"):
        read(path)
    stripped = element(0x6D80, element(0x6240, element(0x5034, uint(0x4254, 3) + element(0x4255, b"\x0b\x77"))))
    rate = element(0xE1, element(0xB5, struct.pack(">d", 48000)) + uint(0x9F, 2))
    frames = frames_of(read(source)[0])[1]
    blocks = [build.block(1, n * 32, f.payload[2:], key=True) for n, f in enumerate(frames)]
    path.write_bytes(build.head(build.entry(1, build.AUDIO, "A_AC3", b"", stripped, rate)) + build.cluster(0, *blocks))
    compare(path)
    assert [f.payload for f in frames_of(read(path)[0])[1]] == [f.payload for f in frames]


GSTREAMER = {
    "h264-aac": (
        "x264enc bframes=2 b-adapt=false key-int-max=25 speed-preset=ultrafast ! h264parse",
        "avenc_aac ! aacparse",
        "matroskamux",
    ),
    "vp8-opus": ("vp8enc deadline=1 keyframe-max-dist=25", "opusenc", "webmmux"),
    "vp9-vorbis": ("vp9enc deadline=1 cpu-used=8 keyframe-max-dist=25", "vorbisenc", "matroskamux"),
}


@pytest.mark.parametrize("name", GSTREAMER)
@pytest.mark.parametrize("streamable", ["true", "false"])
def test_what_gstreamer_writes(tmp_path: Path, name: str, streamable: str) -> None:
    video, audio, muxer = GSTREAMER[name]
    path = tmp_path / "x.mkv"
    line = (
        f"videotestsrc num-buffers=50 ! video/x-raw,width=160,height=120,framerate=25/1 ! {video} ! m. "
        f"audiotestsrc num-buffers=90 ! audio/x-raw,rate=48000,channels=2 ! {audio} ! m. "
        f"{muxer} name=m streamable={streamable} ! filesink location={path}"
    )
    finish([need("gst-launch-1.0"), "-q", *line.split()])
    tracks = compare(path, exact=False)
    assert {t.kind for t in tracks} == {Kind.VIDEO, Kind.AUDIO}


# Ours, read by others.


def live(path: Path, doctype: str, *, late: bool) -> tuple[bytes, list[Frame]]:
    """A live stream of the file's frames as a viewer gets it; `late`: from the second entry point on."""
    events, _ = read(path)
    tracks = next(e.tracks for e in events if isinstance(e, Tracks))
    muxer = MatroskaMuxer(doctype)
    points = EntryPoints(tracks)
    out, marks = [muxer.start(tracks)], []
    frames = [e for e in events if isinstance(e, Frame)]
    for frame in frames:
        if points(frame):
            marks.append(len(out) - 1)
            muxer.enter()
        out.append(muxer.write(frame))
    first = marks[1] if late else 0
    # What a feed gives a viewer that joins: the header of a muxer of its own, and the chunks from a mark on.
    return MatroskaMuxer(doctype).start(tracks) + b"".join(out[1 + first :]), frames[first:]


@pytest.mark.parametrize("name", ["h264-aac", "h265-flac", "av1-opus", "vp9-opus", "vp8-vorbis", "mp3"])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("program", [ffmpeg5, ffmpeg9])
def test_ffmpeg_reads_our_live_stream(
    made: Any, tmp_path: Path, name: str, late: bool, program: Callable[[], str]
) -> None:
    data, frames = live(made(name), "webm" if name in WEBM else "matroska", late=late)
    path = tmp_path / "x.mkv"
    path.write_bytes(data)
    own: dict[int, list[str]] = {}
    for frame in frames:
        own.setdefault(frame.track.id, []).append(digest(frame.payload)[4:])
    for index, hashes in enumerate(own[number] for number in sorted(own)):
        command = [*quiet(program()), "-i", str(path), "-map", f"0:{index}", "-c", "copy", "-f", "framemd5", "-"]
        rows = [line.split(",") for line in finish(command).splitlines() if line and line[0] != "#"]
        assert [row[5].strip() for row in rows] == hashes
    done = subprocess.run(
        [*quiet(program()), "-xerror", "-i", str(path), "-f", "null", "-"], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize("name", ["h264-aac", "vp9-opus", "vp8-vorbis", "mp3"])
@pytest.mark.parametrize("late", [False, True])
def test_gstreamer_reads_our_live_stream(made: Any, tmp_path: Path, name: str, late: bool) -> None:
    data, frames = live(made(name), "matroska", late=late)
    path = tmp_path / "x.mkv"
    path.write_bytes(data)
    sinks = {}
    chain = []
    for kind in {f.track.kind for f in frames}:
        sinks[kind] = tmp_path / kind
        decode = (
            "videoconvert ! video/x-raw,format=I420"
            if kind is Kind.VIDEO
            else "audioconvert ! audio/x-raw,format=S16LE"
        )
        chain.append(f"d. ! queue ! {decode} ! filesink location={sinks[kind]}")
    line = f"filesrc location={path} ! decodebin name=d {' '.join(chain)}"
    finish([need("gst-launch-1.0"), "-q", *line.split()])
    if Kind.VIDEO in sinks:
        pictures = sum(f.track.kind is Kind.VIDEO for f in frames)
        assert sinks[Kind.VIDEO].stat().st_size == pictures * 160 * 120 * 3 // 2
    seconds = max(f.pts_s for f in frames) - min(f.pts_s for f in frames)
    assert sinks[Kind.AUDIO].stat().st_size == pytest.approx(seconds * 48000 * 4, rel=0.1)


@pytest.mark.parametrize("late", [False, True])
def test_mkvmerge_finds_nothing_wrong_with_our_live_stream(made: Any, tmp_path: Path, late: bool) -> None:
    data, frames = live(made("h264-aac"), "matroska", late=late)
    path, again = tmp_path / "x.mkv", tmp_path / "y.mkv"
    path.write_bytes(data)
    said = finish([need("mkvmerge"), "-o", str(again), str(path)])
    assert "Warning" not in said and "Error" not in said, said
    assert [[p["data_hash"] for p in stream] for stream in packets(again)] == [
        [digest(f.payload) for f in frames if f.track.id == number] for number in (1, 2)
    ]
