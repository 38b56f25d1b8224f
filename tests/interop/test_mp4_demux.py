"""MP4 and QuickTime files of ffmpeg (Debian's and FFmpeg 9) and GStreamer, beside libavformat's reading of them.

What is compared is every frame: track, decode and presentation time in ticks, key flag, payload.
"""

import random
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import imageio_ffmpeg
import pytest

from evotools.containers.base import Foreign, NeedsSeeking
from evotools.containers.libav import LibavReader
from evotools.containers.mp4.demux import SLACK_S, Mp4Demuxer
from evotools.containers.mp4.reader import Mp4Reader
from evotools.errors import MediaError
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind, Track
from tests.conftest import need
from tests.interop.test_flv import run

pytestmark = pytest.mark.interop

Row = tuple[int, int, bool, bytes]

PICTURE = ["-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=2"]
SOUND = ["-f", "lavfi", "-i", "sine=440:r=48000:d=2"]
H264 = [*PICTURE, *SOUND, "-c:v", "libx264", "-bf", "3", "-g", "12", "-pix_fmt", "yuv420p", "-c:a", "aac"]
X265 = ["-c:v", "libx265", "-x265-params", "log-level=none:bframes=3:keyint=12"]
EMPTY = "frag_keyframe+empty_moov"


def debian() -> str:
    return need("ffmpeg")


def newest() -> str:
    path: str = imageio_ffmpeg.get_ffmpeg_exe()
    return path


PROGRAMS: dict[str, Callable[[], str]] = {"debian": debian, "newest": newest}

COPIES: dict[str, list[str]] = {
    "plain.mp4": [], "plain.mov": [], "front.mp4": ["-movflags", "faststart"],
    "fragments.mp4": ["-movflags", EMPTY], "first.mp4": ["-movflags", "frag_keyframe"],
    "dash.mp4": ["-movflags", "dash+frag_keyframe"], "every.mp4": ["-movflags", "frag_every_frame+empty_moov"],
    "delayed.mp4": ["-movflags", "frag_keyframe+delay_moov"], "base.mp4": ["-movflags", EMPTY + "+default_base_moof"],
    "nobase.mp4": ["-movflags", EMPTY + "+omit_tfhd_offset"], "apart.mp4": ["-movflags", EMPTY + "+separate_moof"],
    "negative.mp4": ["-movflags", "negative_cts_offsets"], "hints.mp4": ["-movflags", "rtphint"],
    "clock.mp4": ["-movflags", EMPTY, "-write_prft", "wallclock"], "coarse.mp4": ["-video_track_timescale", "600"],
    "trimmed.mp4": ["-ss", "0.7"], "sound.m4a": ["-vn"], "trimmed-sound.m4a": ["-vn", "-ss", "1.5"],
}  # fmt: skip
"""Ways to write one and the same stream."""

ENCODED: dict[str, tuple[str, list[str]]] = {
    "h265.mp4": ("newest", [*PICTURE, *SOUND, *X265, "-tag:v", "hvc1", "-c:a", "aac"]),
    "hev1.mp4": ("debian", [*PICTURE, *X265, "-tag:v", "hev1", "-movflags", EMPTY]),
    "vp9-opus.mp4": ("newest", [*PICTURE, *SOUND, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-g", "12",
                                "-c:a", "libopus"]),
    "av1-flac.mp4": ("newest", [*PICTURE, *SOUND, "-c:v", "libsvtav1", "-preset", "12", "-g", "12", "-c:a", "flac"]),
    "av1-opus.mp4": ("newest", [*PICTURE, *SOUND, "-c:v", "libsvtav1", "-preset", "12", "-c:a", "libopus",
                                "-movflags", EMPTY]),
    "h264-mp3.mp4": ("debian", [*PICTURE, *SOUND, "-c:v", "libx264", "-c:a", "libmp3lame"]),
    "ac3.mp4": ("debian", [*SOUND, "-c:a", "ac3"]), "eac3.mp4": ("newest", [*SOUND, "-c:a", "eac3"]),
    "delimited.mp4": ("debian", [*PICTURE, "-c:v", "libx264", "-x264-params", "aud=1:repeat-headers=1"]),
    "avc3.mp4": ("newest", [*PICTURE, *SOUND, "-c:v", "libx264", "-x264-params", "repeat-headers=1", "-tag:v", "avc3",
                            "-c:a", "aac", "-movflags", EMPTY]),
    "open-gop.mp4": ("debian", [*PICTURE, "-c:v", "libx264", "-bf", "3", "-g", "12", "-x264-params", "open-gop=1"]),
    "late.mp4": ("debian", [*PICTURE, "-itsoffset", "0.7", *SOUND, "-c:v", "libx264", "-bf", "2", "-c:a", "aac"]),
    "uneven.mp4": ("debian", [*PICTURE, "-vf", "select='not(eq(mod(n,5),3))'", "-vsync", "vfr", "-c:v", "libx264"]),
    "four.mp4": ("debian", [*PICTURE, *PICTURE, *SOUND, *SOUND, "-map", "0", "-map", "1", "-map", "2", "-map", "3",
                            "-c:v", "libx264", "-c:a", "aac", "-metadata:s:a:1", "language=deu"]),
    "hybrid.mp4": ("newest", [*H264, "-movflags", "hybrid_fragmented"]),
}  # fmt: skip

GST_PICTURE = ["videotestsrc", "num-buffers=50", "!", "video/x-raw,width=160,height=90,framerate=25/1", "!"]
GST_SOUND = ["audiotestsrc", "num-buffers=90", "samplesperbuffer=1024", "!", "audioconvert", "!",
             "audio/x-raw,rate=48000,channels=2", "!"]  # fmt: skip
GST_H264 = ["x264enc", "key-int-max=12", "bframes=2", "!", "h264parse", "!", "mux."]
GST_AAC = ["avenc_aac", "!", "aacparse", "!", "mux."]
GSTREAMER: dict[str, list[str]] = {
    "gst.mp4": [*GST_PICTURE, *GST_H264, *GST_SOUND, *GST_AAC, "mp4mux"],
    "gst-front.mp4": [*GST_PICTURE, *GST_H264, *GST_SOUND, *GST_AAC, "mp4mux", "faststart=true"],
    "gst-fragments.mp4": [*GST_PICTURE, *GST_H264, *GST_SOUND, *GST_AAC, "mp4mux", "fragment-duration=500"],
    "gst-live.mp4": [*GST_PICTURE, *GST_H264, *GST_SOUND, *GST_AAC, "mp4mux", "fragment-duration=500",
                     "streamable=true"],
    "gst.mov": [*GST_PICTURE, *GST_H264, *GST_SOUND, *GST_AAC, "qtmux"],
    "gst-fragments.mov": [*GST_PICTURE, *GST_H264, *GST_SOUND, *GST_AAC, "qtmux", "fragment-duration=500"],
    "gst-opus.mp4": [*GST_PICTURE, "x265enc", "key-int-max=12", "!", "h265parse", "!", "mux.", *GST_SOUND, "opusenc",
                     "!", "opusparse", "!", "mux.", "mp4mux", "fragment-duration=500"],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mp4")


def encoded(folder: Path, name: str, who: str, args: list[str]) -> Path:
    path = folder / f"{who}-{name}"
    if not path.exists():
        run(PROGRAMS[who](), *args, str(path))
    return path


def copied(folder: Path, who: str, name: str) -> Path:
    source = encoded(folder, "source.mp4", who, H264)
    return encoded(folder, name, who, ["-i", str(source), "-c", "copy", *COPIES[name]])


def from_gstreamer(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.exists():
        command = [
            need("gst-launch-1.0"),
            "-q",
            "-e",
            *GSTREAMER[name],
            "name=mux",
            "!",
            "filesink",
            f"location={path}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
    return path


def by_libav(path: Path) -> list[Event]:
    reader = LibavReader(f"file:{path}", options={"protocol_whitelist": "file"})
    events = list(reader)
    reader.close()
    return events


def by_place(path: Path, **options: bool) -> list[Event]:
    data = path.read_bytes()
    reader = Mp4Reader(len(data), **options)
    events: list[Event] = []
    while (wanted := reader.want()) is not None:
        events += reader.give(data[wanted[0] : sum(wanted)])
    return events


def from_the_front(path: Path, step: int) -> list[Event]:
    data = path.read_bytes()
    demuxer = Mp4Demuxer()
    events: list[Event] = []
    for at in range(0, len(data), step):
        events += demuxer.feed(data[at : at + step])
    assert demuxer.damaged == 0
    return events + demuxer.flush()


def by_track(events: list[Event]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for event in events:
        if isinstance(event, Frame):
            row = (event.dts, event.pts, event.key, event.payload)
            found.setdefault(event.track.id, []).append(row)
    return found


def first_tracks(events: list[Event]) -> tuple[Track, ...]:
    assert isinstance(events[0], Tracks)
    return events[0].tracks


def check(path: Path) -> None:
    theirs = by_libav(path)
    ours = by_place(path)
    assert by_track(ours) == by_track(theirs)
    times = [event.dts / event.track.timescale for event in ours if isinstance(event, Frame)]
    assert times == sorted(times)
    for own, other in zip(first_tracks(ours), first_tracks(theirs), strict=True):
        told = (own.id, own.kind, own.codec, own.timescale, own.width, own.height, own.sample_rate, own.channels,
                own.language, own.fps)  # fmt: skip
        assert told == (other.id, other.kind, other.codec, other.timescale, other.width, other.height,
                        other.sample_rate, other.channels, other.language, other.fps)  # fmt: skip
        if own.codec in ("h264", "h265", "aac", "av1", "opus", "flac"):
            assert (own.config, own.codec_string, own.profile) == (other.config, other.codec_string, other.profile)
    for frames in (
        [e for e in ours if isinstance(e, Frame) and e.track.id == track.id] for track in first_tracks(ours)
    ):
        # The last sample before a fragment may be told another duration than its successor shows; with a fragment for
        # each frame that is all of them.
        wrong = [a for a, b in pairwise(frames) if a.dts + a.duration != b.dts]
        assert len(wrong) * 10 <= len(frames) or "every" in path.name, wrong
    try:
        streamed = from_the_front(path, random.Random(path.name).randint(100, 20_000))
    except NeedsSeeking:
        data = path.read_bytes()
        assert data.index(b"mdat") < data.index(b"moov")
        return
    assert by_track(streamed) == by_track(theirs)
    times = [event.dts / event.track.timescale for event in streamed if isinstance(event, Frame)]
    assert all(b > a - 2 * SLACK_S for a, b in pairwise(times))


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("who", PROGRAMS)
def test_one_stream_in_every_layout(folder: Path, who: str, name: str) -> None:
    check(copied(folder, who, name))


@pytest.mark.parametrize("name", ENCODED)
def test_codecs(folder: Path, name: str) -> None:
    check(encoded(folder, name, *ENCODED[name]))


@pytest.mark.parametrize("name", GSTREAMER)
def test_gstreamer(folder: Path, name: str) -> None:
    check(from_gstreamer(folder, name))


@pytest.mark.parametrize("who", PROGRAMS)
@pytest.mark.parametrize(
    ("flags", "suffix"), [("cmaf", "mp4"), ("negative_cts_offsets+" + EMPTY, "mp4"), (EMPTY, "ismv")]
)
def test_pictures_shown_before_their_decode_time_in_fragments(folder: Path, who: str, flags: str, suffix: str) -> None:
    """libavformat shows them later, by as much as decoding has to run ahead, and leaves the sound where it is; a player
    shows the first one at 0. Nothing else differs."""
    source = encoded(folder, "source.mp4", who, H264)
    path = encoded(folder, f"{flags}.{suffix}", who, ["-i", str(source), "-c", "copy", "-movflags", flags])
    theirs = by_track(by_libav(path))
    for events in (by_place(path), from_the_front(path, 1000)):
        ours = by_track(events)
        assert ours[2] == theirs[2]
        assert [row[2:] for row in ours[1]] == [row[2:] for row in theirs[1]]
        shifts = {(a[0] - b[0], a[1] - b[1]) for a, b in zip(ours[1], theirs[1], strict=True)}
        assert len(shifts) == 1
        (dts, pts), = shifts  # fmt: skip
        assert dts == pts < 0
        assert min(row[1] for row in ours[1]) == 0
        assert all(row[0] <= row[1] for row in ours[1])


def test_byte_by_byte(folder: Path) -> None:
    for path in (copied(folder, "debian", "fragments.mp4"), copied(folder, "newest", "front.mp4")):
        assert by_track(from_the_front(path, 1)) == by_track(by_libav(path))


def test_real_film(media_dir: Path, tmp_path: Path) -> None:
    film = media_dir / "bigbuckbunny.mp4"
    check(film)
    for flags in ("faststart", EMPTY, "cmaf"):
        path = tmp_path / f"{flags}.mp4"
        run(debian(), "-i", str(film), "-c", "copy", "-movflags", flags, str(path))
        check(path)


def test_wide_offsets(folder: Path, tmp_path: Path) -> None:
    """co64, as in files above 4 GiB: here a hole of 5 GiB stands in front of the media."""
    source = copied(folder, "debian", "plain.mp4").read_bytes()
    hole = 5 << 30
    path = tmp_path / "sparse.mp4"
    at = source.index(b"mdat") - 4
    with path.open("wb") as file:
        file.write(source[:at] + b"\0\0\0\1free" + hole.to_bytes(8, "big"))
        file.seek(at + hole)
        moov = source.index(b"moov") - 4
        file.write(source[at:moov] + _widened(source[moov:], hole))
    theirs = by_libav(path)
    reader = Mp4Reader(path.stat().st_size)
    events: list[Event] = []
    with path.open("rb") as file:
        while (wanted := reader.want()) is not None:
            file.seek(wanted[0])
            events += reader.give(file.read(wanted[1]))
    assert by_track(events) == by_track(theirs)


def _widened(data: bytes, shift: int) -> bytes:
    """Boxes with co64 in place of stco, all offsets moved."""
    out = b""
    at = 0
    while at < len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + size]
        if kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            body = _widened(body, shift)
        elif kind == b"stco":
            kind = b"co64"
            places = [int.from_bytes(body[n : n + 4], "big") + shift for n in range(8, len(body), 4)]
            body = body[:8] + b"".join(place.to_bytes(8, "big") for place in places)
        out += (len(body) + 8).to_bytes(4, "big") + kind + body
        at += size
    return out


# Left to libav.


@pytest.mark.parametrize(("codec", "what"), [("pcm_s16le", "sowt"), ("pcm_alaw", "without packets"), ("alac", "alac")])
def test_sound_of_quicktime(folder: Path, codec: str, what: str) -> None:
    path = encoded(folder, f"{codec}.mov", "debian", [*PICTURE, *SOUND, "-c:v", "libx264", "-c:a", codec])
    with pytest.raises(Foreign, match=what):
        by_place(path)


# Encryption.

KEY = "00112233445566778899aabbccddeeff"


def _decrypt(iv: bytes, data: bytes) -> bytes:
    done = subprocess.run(
        [need("openssl"), "enc", "-aes-128-ctr", "-K", KEY, "-iv", iv.hex().ljust(32, "0"), "-nosalt"],
        input=data, capture_output=True, check=True, timeout=20,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("flags", [[], ["-movflags", EMPTY]])
def test_what_the_side_data_says_decrypts_the_samples(folder: Path, flags: list[str]) -> None:
    source = encoded(folder, "source.mp4", "newest", H264)
    options = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", KEY, "-encryption_kid", KEY]
    name = f"secret{len(flags)}.mp4"
    path = encoded(folder, name, "newest", ["-i", str(source), "-c", "copy", *options, *flags])
    with pytest.raises(MediaError, match=r"encrypted \(cenc\)"):
        by_place(path)
    clear = by_track(by_libav(source))
    frames = [event for event in by_place(path, encrypted=True) if isinstance(event, Frame)]
    for number in (1, 2):
        found = [frame for frame in frames if frame.track.id == number]
        assert len(found) == len(clear[number])
        for frame, (_, _, key, payload) in list(zip(found, clear[number], strict=True))[:12]:
            assert frame.side is not None
            vector, pairs = frame.side["cenc"]
            position, parts, secret = 0, [], b""
            for open_bytes, hidden in pairs or [(0, len(frame.payload))]:
                parts.append((frame.payload[position : position + open_bytes], hidden))
                secret += frame.payload[position + open_bytes : position + open_bytes + hidden]
                position += open_bytes + hidden
            bare, at, out = _decrypt(vector, secret), 0, b""
            for opened, hidden in parts:
                out += opened + bare[at : at + hidden]
                at += hidden
            assert (out, frame.key) == (payload, key)
    assert {frame.track.kind for frame in frames} == {Kind.VIDEO, Kind.AUDIO}
