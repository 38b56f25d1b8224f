"""The live Matroska writer and files made with it, judged by ffprobe and by their own bytes."""

import json
import struct
import subprocess
from pathlib import Path

import pytest

from evotools.containers.matroska import MatroskaFile, MatroskaMuxer, header, number
from evotools.errors import MediaError
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind, Track
from tests.conftest import need
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


def test_a_track_says_when_its_language_is_unknown() -> None:
    """Without the element it would be English."""
    assert header([H264]).count(b"\x22\xb5\x9c\x01\0\0\0\0\0\0\x03und") == 1
    assert b"\x22\xb5\x9c\x01\0\0\0\0\0\0\x03deu" in header([AAC.with_(language="deu")])


def test_samples_that_are_not_square() -> None:
    """720x576 with samples of 64:45, as the stream says, is shown 1024 wide."""
    from tests.unit.containers.mp4.test_entries import AVCC_WIDE

    wide = header([H264.with_(config=AVCC_WIDE, width=720, height=576)])
    assert number(0x54B0, 1024) + number(0x54BA, 576) in wide
    assert b"\x54\xb0" not in header([H264])


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


def test_a_key_frame_before_the_first_frame_reaches_back_from_its_cluster() -> None:
    muxer = MatroskaMuxer()
    muxer.start([H264, AAC])
    muxer.write(Frame(AAC, 0, 0, b"a", key=True))
    written = muxer.write(Frame(H264, -7200, -3600, b"v", key=True))
    # Cluster times are unsigned, those of blocks are not.
    assert written.startswith(b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff" + number(0xE7, 0))
    assert written.endswith(b"\x81" + struct.pack(">h", -400) + b"\x80v")


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


def write_file(path: Path, events: list[Event], origin_s: float | None) -> bytes:
    """A finished file; gives what it was before its end, as a kill leaves it."""
    tracks = next(e.tracks for e in events if isinstance(e, Tracks))
    muxer = MatroskaFile(origin_s=origin_s)
    data = bytearray(muxer.start(tracks) + b"".join(muxer.write(e) for e in events if isinstance(e, Frame)))
    killed = bytes(data)
    rest, patches = muxer.end()
    data += rest
    for at, patch in patches:
        data[at : at + len(patch)] = patch
    path.write_bytes(data)
    return killed


@pytest.mark.interop
@pytest.mark.parametrize("name", ["h264-b.mp4", "vp9-opus.webm", "mp3.mp3", "opus.ogg", "flac.flac", "av1.mkv"])
@pytest.mark.parametrize("cut", ["finished", "killed"])
def test_a_file_holds_the_same_frames_finished_or_killed(zoo: Path, tmp_path: Path, name: str, cut: str) -> None:
    events, frames = read(make(zoo, name))
    everything = [e for e in events if isinstance(e, Frame)]
    path = tmp_path / "x.mkv"
    killed = write_file(path, events, min(f.dts_s for f in everything))
    if cut == "killed":
        path.write_bytes(killed)
    for own, theirs in zip((frames[i] for i in sorted(frames)), packets(path), strict=True):
        assert [digest(f.payload) for f in own] == [p["data_hash"] for p in theirs]


@pytest.mark.interop
def test_a_file_tells_its_length_and_has_an_index(zoo: Path, tmp_path: Path) -> None:
    events, frames = read(make(zoo, "h264-b.mp4"))
    path = tmp_path / "x.mkv"
    start_s = min(f.dts_s for own in frames.values() for f in own)
    write_file(path, events, start_s)
    told = json.loads(subprocess.run(
        [need("ffprobe"), "-v", "error", "-show_format", "-of", "json", str(path)], capture_output=True, check=True
    ).stdout)  # fmt: skip
    end_s = max((f.pts + f.duration) / f.track.timescale for own in frames.values() for f in own)
    assert float(told["format"]["duration"]) == pytest.approx(end_s - start_s, abs=0.002)
    # The index leads to the key frame before the wanted time, where the index has it: twice a second at most.
    keys = [f.pts_s - start_s for f in frames[1] if f.key]
    found = json.loads(subprocess.run(
        [need("ffprobe"), "-v", "error", "-read_intervals", f"{keys[2] + 0.05}%+#1", "-select_streams", "v",
         "-show_packets", "-of", "json", str(path)], capture_output=True, check=True,
    ).stdout)["packets"]  # fmt: skip
    assert float(found[0]["pts_time"]) == pytest.approx(keys[2], abs=0.002)


def test_a_file_may_begin_anywhere_on_the_clock_of_its_source() -> None:
    for origin_s, first in ((3600.0, 0), (3599.5, 5000), (None, 36_000_000)):
        muxer = MatroskaFile(origin_s=origin_s)
        muxer.start([H264])
        data = muxer.write(Frame(H264, 3600 * 90000, 3600 * 90000, b"v", key=True))
        assert int.from_bytes(data[21 : 13 + 8 + (data[20] & 0x7F)], "big") == first


def elements(data: bytes, at: int = 0, end: int | None = None) -> list[tuple[int, int, int, int]]:
    """(identifier, start, start of the body, end) of the elements one behind the other. RFC 8794."""
    found = []
    stop = len(data) if end is None else end
    while at < stop:
        length = 9 - data[at].bit_length()
        ident = int.from_bytes(data[at : at + length], "big")
        octets = 9 - data[at + length].bit_length()
        size = int.from_bytes(data[at + length : at + length + octets], "big") & (1 << 7 * octets) - 1
        body = at + length + octets
        assert body + size <= stop, f"{ident:x} is longer than what holds it"
        found.append((ident, at, body, body + size))
        at = body + size
    return found


def test_sizes_positions_and_times_of_a_finished_file(tmp_path: Path) -> None:
    events: list[Event] = [Tracks((H264, AAC))]
    for n in range(500):
        events.append(Frame(H264, n * 3600, n * 3600, b"v%d" % n, key=n % 50 == 0, duration=3600))
        events.append(Frame(AAC, n * 1920, n * 1920, b"a%d" % n, key=True, duration=1920))
    path = tmp_path / "x.mkv"
    write_file(path, events, 0.0)
    data = path.read_bytes()
    (ebml, segment) = elements(data)
    assert (ebml[0], segment[0]) == (0x1A45DFA3, 0x18538067)
    inside = elements(data, segment[2], segment[3])
    assert [i for i, *_ in inside] == [0x114D9B74, 0x1549A966, 0x1654AE6B, *[0x1F43B675] * 10, 0x1C53BB6B]
    # SeekHead: identifiers and positions from the start of the segment's content.
    for _, _, body, end in elements(data, inside[0][2], inside[0][3]):
        (_, _, a, b), (_, _, c, d) = elements(data, body, end)
        ident, position = int.from_bytes(data[a:b], "big"), int.from_bytes(data[c:d], "big")
        assert (ident, segment[2] + position) in [(i, at) for i, at, *_ in inside]
    info = {i: data[a:b] for i, _, a, b in elements(data, inside[1][2], inside[1][3])}
    assert struct.unpack(">d", info[0x4489])[0] == 20 * 10_000
    clusters = {at - segment[2]: elements(data, a, b)[0] for i, at, a, b in inside if i == 0x1F43B675}
    for _, _, body, end in elements(data, inside[-1][2], inside[-1][3]):
        (_, _, a, b), (_, _, c, d) = elements(data, body, end)
        _, (_, _, e, f) = elements(data, c, d)
        _, _, begin, over = clusters[int.from_bytes(data[e:f], "big")]
        assert data[a:b].lstrip(b"\0") == data[begin:over].lstrip(b"\0")


def test_a_file_without_video_has_an_index_too() -> None:
    muxer = MatroskaFile(origin_s=0.0)
    muxer.start([AAC])
    for n in range(1000):
        muxer.write(Frame(AAC, n * 1024, n * 1024, b"a", key=True, duration=1024))
    rest, patches = muxer.end()
    (cues,) = elements(rest)
    assert cues[0] == 0x1C53BB6B
    assert len(elements(rest, cues[2], cues[3])) == 8
    assert len(list(patches)) == 8 + 3


def test_a_file_of_nothing_is_whole() -> None:
    muxer = MatroskaFile(origin_s=0.0)
    data = bytearray(muxer.start([AAC]))
    rest, patches = muxer.end()
    assert rest == b""
    for at, patch in patches:
        data[at : at + len(patch)] = patch
    assert [i for i, *_ in elements(bytes(data))] == [0x1A45DFA3, 0x18538067]


def test_readers_may_join_where_they_are_let_in() -> None:
    muxer = MatroskaMuxer()
    muxer.start([AAC])
    cluster = b"\x1f\x43\xb6\x75"
    assert muxer.write(Frame(AAC, 0, 0, b"a", key=True)).startswith(cluster)
    assert not muxer.write(Frame(AAC, 1024, 1024, b"b", key=True)).startswith(cluster)
    muxer.enter()
    assert muxer.write(Frame(AAC, 2048, 2048, b"c", key=True)).startswith(cluster)
    assert not muxer.write(Frame(AAC, 3072, 3072, b"d", key=True)).startswith(cluster)
