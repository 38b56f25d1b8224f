"""The live Matroska writer, judged by ffprobe and by its own bytes."""

from pathlib import Path

import pytest

from evotools.containers.matroska import MatroskaMuxer
from evotools.errors import MediaError
from evotools.media.frame import Frame, Tracks
from evotools.media.track import Kind, Track
from tests.unit.containers.zoo import digest, make, packets, read


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoo")


@pytest.mark.interop
@pytest.mark.parametrize(
    "name",
    ["h264-b.mp4", "h265-b.mp4", "vp9-opus.webm", "vp8-vorbis.webm", "av1.mkv", "mp3.mp3", "ac3.mp4", "eac3.mkv",
     "flac.flac", "opus.ogg", "pcma.mov", "h264-h265-mp3.mov"],
)  # fmt: skip
def test_ffprobe_reads_the_same_frames_at_the_same_times(zoo: Path, tmp_path: Path, name: str) -> None:
    events, frames = read(make(zoo, name))
    assert isinstance(events[0], Tracks)
    muxer = MatroskaMuxer()
    data = muxer.start(events[0].tracks) + b"".join(muxer.write(e) for e in events if isinstance(e, Frame))
    path = tmp_path / "x.mkv"
    path.write_bytes(data + muxer.finish())
    shifts = []
    for own, theirs in zip((frames[i] for i in sorted(frames)), packets(path), strict=True):
        assert [digest(f.payload) for f in own] == [p["data_hash"] for p in theirs]
        times = [float(p["pts_time"]) - f.pts_s for f, p in zip(own, theirs, strict=True)]
        assert max(times) - min(times) < 0.0011
        shifts.append(times[0])
    assert max(shifts) - min(shifts) < 0.0011


H264 = Track(1, Kind.VIDEO, "h264", 90000, config=b"\x01" + bytes(10), width=16, height=16)
AAC = Track(2, Kind.AUDIO, "aac", 48000, config=b"\x11\x90", sample_rate=48000, channels=2)


def test_every_frame_leaves_at_once_and_whole() -> None:
    muxer = MatroskaMuxer()
    muxer.start([H264, AAC])
    first = muxer.write(Frame(H264, 0, 0, b"picture", key=True))
    assert first.startswith(b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff\xe7")
    assert first.endswith(b"\x81\0\0\x80picture")
    assert muxer.write(Frame(AAC, 0, 480, b"sound", key=True)) == b"\xa3\x10\0\0\x09\x82\0\x64\x80sound"
    assert muxer.write(Frame(H264, 3600, 3600, b"more")) == b"\xa3\x10\0\0\x08\x81\x01\x90\0more"


def test_clusters_begin_at_key_frames_and_twice_a_second() -> None:
    muxer = MatroskaMuxer()
    muxer.start([H264])
    cluster = b"\x1f\x43\xb6\x75"
    keys = (0, 30)
    begins = [n for n in range(60) if cluster in muxer.write(Frame(H264, n * 3600, n * 3600, b"x", key=n in keys))]
    assert begins == [0, 13, 26, 30, 43, 56]


def test_times_before_zero_shift_the_stream() -> None:
    muxer = MatroskaMuxer()
    muxer.start([H264, AAC])
    assert muxer.write(Frame(AAC, -4800, -4800, b"a", key=True)).endswith(b"\x82\0\0\x80a")
    assert muxer.write(Frame(H264, 0, 0, b"v")).endswith(b"\x81\x03\xe8\0v")


def test_webm_takes_its_codecs_only() -> None:
    muxer = MatroskaMuxer("webm")
    assert muxer.mime == "video/webm"
    assert not muxer.accepts(H264)
    assert muxer.accepts(H264.with_(codec="vp9"))
    with pytest.raises(MediaError, match="webm cannot carry video h264"):
        muxer.start([H264])


def test_an_unknown_codec_has_no_name() -> None:
    with pytest.raises(MediaError):
        MatroskaMuxer().start([AAC.with_(codec="wonder")])


@pytest.mark.interop
def test_a_changed_track_list_begins_a_chained_stream(zoo: Path, tmp_path: Path) -> None:
    events, frames = read(make(zoo, "h264-b.mp4"))
    assert isinstance(events[0], Tracks)
    muxer = MatroskaMuxer()
    first = muxer.start(events[0].tracks) + b"".join(muxer.write(f) for f in frames[1])
    second = muxer.start(events[0].tracks[:1]) + b"".join(muxer.write(f) for f in frames[1])
    assert first[:4] == second[:4] == b"\x1a\x45\xdf\xa3"
    path = tmp_path / "second.mkv"
    path.write_bytes(second)
    assert [p["data_hash"] for p in packets(path)[0]] == [digest(f.payload) for f in frames[1]]
