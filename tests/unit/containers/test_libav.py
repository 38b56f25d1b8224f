"""Reading and writing through libav, judged by ffprobe."""

import io
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from evotools.codecs import h264
from evotools.codecs.nal import join_lengths
from evotools.containers.libav import LibavReader, LibavWriter
from evotools.containers.payload import LengthPrefixed
from evotools.errors import EvotoolsError, MediaError, UnreachableError
from evotools.media.frame import Frame, Tracks
from evotools.media.track import Kind, Track
from tests.conftest import run_ffmpeg
from tests.unit.containers.zoo import RECIPES, digest, make, packets, read

pytestmark = pytest.mark.interop


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoo")


def compare(path: Path, frames: dict[int, list[Frame]]) -> None:
    for (track_id, own), theirs in zip(sorted(frames.items()), packets(path), strict=True):
        assert len(own) == len(theirs), track_id
        for frame, packet in zip(own, theirs, strict=True):
            assert frame.pts == packet["pts"]
            # Debian's ffprobe knows no decode time for the first pictures of Matroska; ours are counted back.
            assert frame.dts == packet.get("dts", frame.dts)
            assert frame.dts <= frame.pts
            assert digest(frame.payload) == packet["data_hash"]
            if frame.track.kind is Kind.VIDEO:
                assert frame.key == ("K" in packet["flags"])


@pytest.mark.parametrize("name", [n for n in RECIPES if n != "pcma.mov"])
def test_payloads_and_times_are_those_of_the_file(zoo: Path, name: str) -> None:
    path = make(zoo, name)
    events, frames = read(path)
    assert isinstance(events[0], Tracks)
    compare(path, frames)
    for track in events[0].tracks:
        assert all(f.track is track for f in frames[track.id])
    for own in frames.values():
        assert all(a.dts < b.dts for a, b in pairwise(own))


def test_real_film(media_dir: Path) -> None:
    path = media_dir / "bigbuckbunny.mp4"
    events, frames = read(path)
    compare(path, frames)
    assert isinstance(events[0], Tracks)
    video = next(t for t in events[0].tracks if t.kind is Kind.VIDEO)
    assert (video.codec, video.width, video.height, video.fps) == ("h264", 1280, 720, 25)
    assert video.codec_string.startswith("avc1.")


def test_matroska_decode_times_count_back_from_the_first_known_one(zoo: Path) -> None:
    own = read(make(zoo, "h264-b.mkv"))[1][1]
    assert [f.dts - own[0].pts for f in own[:4]] == [-80, -40, 0, 40]


CODECS = {
    "h265-b.mp4": ["h265"], "vp9-opus.webm": ["vp9", "opus"], "av1.mkv": ["av1"], "flac.ogg": ["flac"],
    "mp3.mp3": ["mp3"], "eac3.mkv": ["eac3"], "pcma.mov": ["pcma"], "vp8-vorbis.webm": ["vp8", "vorbis"],
}  # fmt: skip


@pytest.mark.parametrize("name", CODECS)
def test_tracks_have_our_names_and_configuration(zoo: Path, name: str) -> None:
    events, _ = read(make(zoo, name))
    assert isinstance(events[0], Tracks)
    assert [t.codec for t in events[0].tracks] == CODECS[name]
    starts = {"h265": b"\x01", "vp9": b"\x01\0\0\0", "opus": b"OpusHead", "av1": b"\x81"}
    for track in events[0].tracks:
        assert track.config.startswith(starts.get(track.codec, b""))
        if track.codec == "flac":
            assert len(track.config) == 34
        if track.kind is Kind.VIDEO:
            assert (track.width, track.height, track.fps) == (160, 120, 25)
        if track.codec in ("h265", "vp9", "av1", "opus"):
            assert track.codec_string


@pytest.mark.parametrize(("suffix", "options"), [("ts", ()), ("h264", ("-an",)), ("avi", ("-an", "-bf", "0"))])
def test_start_codes_become_lengths(zoo: Path, tmp_path: Path, suffix: str, options: tuple[str, ...]) -> None:
    source = make(zoo, "h264-b.mp4")
    path = tmp_path / f"x.{suffix}"
    run_ffmpeg("-i", str(source), "-c", "copy", *options, str(path))
    _, expected = read(source)
    _, frames = read(path)
    assert [f.payload for f in frames[1]] == [f.payload for f in expected[1]]
    assert frames[1][0].track.config == expected[1][0].track.config
    assert [f.key for f in frames[1]] == [f.key for f in expected[1]]


def test_adts_headers_go(zoo: Path, tmp_path: Path) -> None:
    source = make(zoo, "h264-b.mp4")
    path = tmp_path / "x.aac"
    run_ffmpeg("-i", str(source), "-vn", "-c", "copy", str(path))
    _, expected = read(source)
    _, frames = read(path)
    assert [f.payload for f in frames[1]] == [f.payload for f in expected[2]]
    assert frames[1][0].track.config[:2] == expected[2][0].track.config[:2]


def test_ivf_payloads_are_those_of_matroska(zoo: Path, tmp_path: Path) -> None:
    source = make(zoo, "av1.mkv")
    path = tmp_path / "x.ivf"
    run_ffmpeg("-i", str(source), "-c", "copy", str(path))
    own, expected = read(path)[1][1], read(source)[1][1]
    assert [f.payload for f in own] == [f.payload for f in expected]
    assert own[0].track.config == expected[0].track.config


def test_two_byte_lengths_become_four(zoo: Path) -> None:
    frame = read(make(zoo, "h264-b.mp4"))[1][1][1]
    config = frame.track.config
    two = config[:4] + bytes((config[4] & 0xFC | 1,)) + config[5:]
    payload = LengthPrefixed.of("h264", two)
    nal = frame.payload[4:]
    assert payload.config == config
    assert payload.read(len(nal).to_bytes(2, "big") + nal, False) == (frame.payload, False)


def test_parameter_sets_in_band_change_the_configuration(zoo: Path, media_dir: Path) -> None:
    first = read(make(zoo, "h264-b.mp4"))[1][1][0]
    other = next(f for own in read(media_dir / "bigbuckbunny.mp4")[1].values() for f in own if f.track.codec == "h264")
    sets = h264.parse_avcc(other.track.config)
    payload = LengthPrefixed.of("h264", first.track.config)
    data = join_lengths([b"\x09\xf0", *sets.sps, *sets.pps]) + other.payload
    assert payload.read(data, True) == (other.payload, True)
    assert payload.config is not None
    assert h264.parse_avcc(payload.config).sps == sets.sps


def test_pictures_and_subtitles_are_left_out(zoo: Path, tmp_path: Path) -> None:
    cover, subtitles, path = tmp_path / "c.png", tmp_path / "s.srt", tmp_path / "x.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:d=1", "-frames:v", "1", str(cover))
    subtitles.write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    run_ffmpeg("-i", str(make(zoo, "h264-b.mp4")), "-i", str(cover), "-i", str(subtitles), "-map", "0:v", "-map", "0:a",
               "-map", "1", "-map", "2", "-c", "copy", "-c:s", "mov_text", "-disposition:v:1", "attached_pic",
               "-metadata:s:a:0", "language=deu", str(path))  # fmt: skip
    events, frames = read(path)
    assert isinstance(events[0], Tracks)
    assert [t.codec for t in events[0].tracks] == ["h264", "aac"]
    assert events[0].tracks[1].language == "deu"
    assert all(frames.values())


class Dribble:
    """Gives what it likes: less than asked, and more."""

    def __init__(self, data: bytes, seed: int) -> None:
        self._data, self._position, self._random = data, 0, random.Random(seed)

    def read(self, size: int) -> bytes:
        count = self._random.choice((1, 7, 100, size, size * 3))
        chunk = self._data[self._position : self._position + count]
        self._position += count
        return chunk


@pytest.mark.parametrize("name", ["h264-b.mkv", "flac.ogg"])
def test_bytes_handed_over_in_any_portions(zoo: Path, name: str) -> None:
    path = make(zoo, name)
    expected = read(path)[1]
    events = list(LibavReader(Dribble(path.read_bytes(), 1)))
    own = [f for f in events if isinstance(f, Frame) and f.track.id == 1]
    assert [(f.dts, f.pts, f.payload) for f in own] == [(f.dts, f.pts, f.payload) for f in expected[1]]


def test_bytes_handed_over_open_no_files(zoo: Path) -> None:
    segment = make(zoo, "h264-b.mkv")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\n{segment}\n#EXT-X-ENDLIST\n".encode()
    with pytest.raises(EvotoolsError):
        LibavReader(io.BytesIO(playlist), format="hls", options={"allowed_extensions": "ALL"})
    script = f"ffconcat version 1.0\nfile {segment}\n".encode()
    with pytest.raises(EvotoolsError):
        LibavReader(io.BytesIO(script), format="concat", options={"safe": "0"})


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="film"):
        LibavReader(f"file:{tmp_path}/none.mp4", name="film", options={"protocol_whitelist": "file"})
    with pytest.raises(MediaError, match="film"):
        LibavReader(io.BytesIO(bytes(range(256)) * 64), name="film")
    with pytest.raises(EvotoolsError, match="film"):
        LibavReader(io.BytesIO(b""), name="film")


def _damage(data: bytes, seed: int) -> bytes:
    rng = random.Random(seed)
    broken = bytearray(data)
    for _ in range(rng.randint(1, 30)):
        broken[rng.randrange(len(broken))] = rng.randrange(256)
    if rng.random() < 0.3:
        del broken[rng.randrange(len(broken)) :]
    return bytes(broken)


def _only_declared_errors(path: Path, cases: int) -> None:
    data = path.read_bytes()
    for seed in range(cases):
        try:
            for _ in LibavReader(io.BytesIO(_damage(data, seed))):
                pass
        except EvotoolsError:
            pass


@pytest.mark.parametrize("name", ["h264-b.mp4", "h264-b.mkv", "av1.mkv", "vp9-opus.webm", "flac.ogg"])
def test_damaged_files_raise_declared_errors_only(zoo: Path, name: str) -> None:
    _only_declared_errors(make(zoo, name), 30)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["h264-b.mp4", "h265-b.mp4", "h264-b.mkv", "av1.mkv", "vp9-opus.webm", "flac.ogg"])
def test_many_damaged_files_raise_declared_errors_only(zoo: Path, name: str) -> None:
    _only_declared_errors(make(zoo, name), 1500)


WRITES = [
    ("h264-b.mp4", "mov"), ("h264-b.mp4", "matroska"), ("h265-b.mp4", "mov"), ("h265-b.mp4", "matroska"),
    ("vp9-opus.webm", "webm"), ("vp8-vorbis.webm", "webm"), ("vp8-vorbis.webm", "ogg"), ("av1.mkv", "webm"),
    ("mp3.mp3", "mp3"), ("mp3.mp3", "mov"), ("mp3.mp3", "avi"), ("ac3.mp4", "mov"), ("eac3.mkv", "mov"),
    ("flac.flac", "ogg"), ("flac.ogg", "flac"), ("opus.ogg", "ogg"), ("pcma.mov", "nut"),
]  # fmt: skip


def write(path: Path, container: str, events: list[Any]) -> None:
    tracks = events[0].tracks
    with path.open("wb", buffering=0) as file:
        writer = LibavWriter(file, container, tracks)
        for event in events[1:]:
            writer.write(event)
        writer.finish()


@pytest.mark.parametrize(("name", "container"), WRITES)
def test_what_is_written_is_what_ffprobe_reads(zoo: Path, tmp_path: Path, name: str, container: str) -> None:
    events, frames = read(make(zoo, name))
    path = tmp_path / "out"
    write(path, container, events)
    shifts = []
    for own, theirs in zip((frames[i] for i in sorted(frames)), packets(path), strict=True):
        assert [digest(f.payload) for f in own] == [p["data_hash"] for p in theirs]
        times = [float(p["pts_time"]) - f.pts_s for f, p in zip(own, theirs, strict=True)]
        if container != "ogg" or own[0].track.codec != "vp8":
            # One shift for all tracks, but for what the clocks of the containers round.
            assert max(times) - min(times) <= 0.0021
            shifts.append(times[0])
    assert max(shifts) - min(shifts) <= 0.0021


def boxes(data: bytes) -> list[str]:
    found, position = [], 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        found.append(data[position + 4 : position + 8].decode("latin1"))
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        position += max(size, 8)
    return found


def test_a_finished_mov_has_one_index(zoo: Path, tmp_path: Path) -> None:
    events, _ = read(make(zoo, "h264-b.mp4"))
    path = tmp_path / "x.mov"
    write(path, "mov", events)
    assert [b for b in boxes(path.read_bytes()) if b not in ("free", "wide")] == ["ftyp", "mdat", "moov"]


@pytest.mark.parametrize("container", ["mov", "matroska"])
def test_an_abandoned_file_plays_up_to_its_last_fragment(zoo: Path, tmp_path: Path, container: str) -> None:
    events, frames = read(make(zoo, "h264-b.mp4"))
    path = tmp_path / "x"
    with path.open("wb", buffering=0) as file:
        assert isinstance(events[0], Tracks)
        writer = LibavWriter(file, container, events[0].tracks)
        for event in events[1:]:
            if isinstance(event, Frame):
                writer.write(event)
        writer.abandon()
        size = path.stat().st_size
    del writer
    assert path.stat().st_size == size
    # Key frames every 0.4 s in 1.2 s: at least the first two fragments are there. Matroska writes a cluster when the
    # next begins.
    theirs = packets(path)
    if container != "matroska":
        assert len(theirs[0]) >= 20
        assert [p["data_hash"] for p in theirs[0]] == [digest(f.payload) for f in frames[1][: len(theirs[0])]]


def test_refusals() -> None:
    vp8 = Track(1, Kind.VIDEO, "vp8", 1000, width=16, height=16)
    opus = Track(2, Kind.AUDIO, "opus", 48000)
    with pytest.raises(MediaError, match="mov cannot carry video vp8"):
        LibavWriter(io.BytesIO(), "mov", [vp8])
    with pytest.raises(MediaError, match="one track"):
        LibavWriter(io.BytesIO(), "ivf", [vp8, vp8.with_(id=3)])
    with pytest.raises(MediaError, match="no tracks"):
        LibavWriter(io.BytesIO(), "webm", [])
    with pytest.raises(MediaError, match="ogg"):
        LibavWriter(io.BytesIO(), "ogg", [opus])


def test_repeated_decode_times_are_repaired(zoo: Path, tmp_path: Path) -> None:
    events, frames = read(make(zoo, "h264-b.mp4"))
    assert isinstance(events[0], Tracks)
    own = frames[1]
    bent = [f.shifted(f.track, own[3].dts, max(f.pts, own[3].dts)) if i == 4 else f for i, f in enumerate(own)]
    path = tmp_path / "x.mov"
    write(path, "mov", [Tracks(events[0].tracks[:1]), *bent])
    assert len(packets(path)[0]) == len(own)


def test_new_parameter_sets_go_in_band(zoo: Path, tmp_path: Path) -> None:
    events, frames = read(make(zoo, "h264-b.mp4"))
    assert isinstance(events[0], Tracks)
    video = events[0].tracks[0]
    config = h264.parse_avcc(video.config)
    other = video.with_(config=h264.build_avcc(config.sps, [*config.pps, b"\x68\x5b"]))
    path = tmp_path / "x.mov"
    with path.open("wb", buffering=0) as file:
        writer = LibavWriter(file, "mov", [video])
        assert writer.change([other])
        assert not writer.change([video, video.with_(id=9)])
        for frame in frames[1]:
            writer.write(frame)
        writer.finish()
    key = next(f for f in frames[1] if f.key)
    sets = join_lengths([*h264.parse_avcc(other.config).sps, *h264.parse_avcc(other.config).pps])
    assert packets(path)[0][0]["data_hash"] == digest(sets + key.payload)
