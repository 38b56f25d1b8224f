"""MPEG-TS against FFmpeg, old (Debian's 5.1) and new (9): payloads byte for byte, timestamps tick for tick."""

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

from evotools.codecs.nal import split_lengths
from evotools.containers.mpegts.demux import TsDemuxer
from evotools.containers.mpegts.mux import TsMuxer
from evotools.media.frame import Discontinuity, Event, Frame, Tracks
from evotools.media.track import Kind, Track
from tests.conftest import need

pytestmark = pytest.mark.interop

Packet = tuple[int, int, str]
"""dts, pts, hash."""

VIDEO = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=4"]
SOUND_48 = ["-f", "lavfi", "-i", "aevalsrc=0.3*sin(880*t)|0.3*sin(440*t):s=48000:d=4"]
SOUND_44 = ["-f", "lavfi", "-i", "aevalsrc=0.3*sin(880*t)|0.3*sin(440*t):s=44100:d=4"]
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "25", "-pix_fmt", "yuv420p"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=25", "-pix_fmt", "yuv420p"]

CASES: dict[str, list[str]] = {
    "h264-aac": [*VIDEO, *SOUND_44, *X264, "-c:a", "aac", "-metadata:s:a:0", "language=deu"],
    "h265-mp3": [*VIDEO, *SOUND_44, *X265, "-c:a", "libmp3lame"],
    "h264-opus": [*VIDEO, *SOUND_48, *X264, "-c:a", "libopus", "-b:a", "96k"],
    "h264-zero": [*VIDEO, *SOUND_48, *X264, "-c:a", "aac", "-muxdelay", "0", "-muxpreload", "0"],
    "h264-omit-length": [*VIDEO, *SOUND_48, *X264, "-c:a", "aac", "-omit_video_pes_length", "0"],
    "h264-pat-pmt": [*VIDEO, *SOUND_48, *X264, "-c:a", "aac", "-mpegts_flags", "pat_pmt_at_frames+resend_headers"],
    "wrap": [*VIDEO, *SOUND_48, *X264, "-c:a", "aac", "-output_ts_offset", "95440"],
    "several": [*VIDEO, *SOUND_44, *SOUND_48, "-map", "0", "-map", "1", "-map", "2", *X264,
                "-c:a:0", "aac", "-c:a:1", "mp2"],
    "ac3": [*SOUND_48, "-c:a", "ac3"],
    "eac3": [*SOUND_48, "-c:a", "eac3"],
    "system-b": [*SOUND_48, *SOUND_48, "-map", "0", "-map", "1", "-c:a:0", "ac3", "-c:a:1", "eac3",
                 "-mpegts_flags", "system_b"],
    "mp2": [*SOUND_48, "-c:a", "mp2"],
    "mp3-low-rate": ["-f", "lavfi", "-i", "sine=d=4:r=22050", "-c:a", "libmp3lame"],
    "opus-5.1": ["-f", "lavfi", "-i", "sine=d=4:r=48000", "-ac", "6", "-c:a", "libopus"],
    "mpeg2": [*VIDEO, "-c:v", "mpeg2video", "-bf", "2", "-b:v", "1M"],
    "cbr": [*VIDEO, *SOUND_48, *X264, "-c:a", "aac", "-muxrate", "3M"],
    "m2ts": [*VIDEO, *SOUND_48, *X264, "-c:a", "ac3", "-mpegts_m2ts_mode", "1"],
}  # fmt: skip


def new_ffmpeg() -> str:
    return str(imageio_ffmpeg.get_ffmpeg_exe())


PROGRAMS: dict[str, Callable[[], str]] = {"old": lambda: need("ffmpeg"), "new": new_ffmpeg}


def run(program: str, *args: str) -> str:
    command = [PROGRAMS[program](), "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Files of a case, written by one of the two programs, made once."""
    folder = tmp_path_factory.mktemp("ts")

    def make(case: str, program: str) -> Path:
        path = folder / f"{case}-{program}.ts"
        if not path.exists():
            run(program, *CASES[case], "-f", "mpegts", str(path))
        return path

    return make


def events_of(data: bytes, chunk: int = 65536) -> list[Event]:
    demuxer = TsDemuxer()
    events = [event for at in range(0, len(data), chunk) for event in demuxer.feed(data[at : at + chunk])]
    return events + demuxer.flush()


def tracks_of(events: list[Event]) -> tuple[Track, ...]:
    return next(event.tracks for event in events if isinstance(event, Tracks))


def bare(frame: Frame) -> bytes:
    """The frame as FFmpeg hands it out without delimiters and parameter sets, in Annex B with FFmpeg's start codes."""
    if frame.track.codec in ("h264", "h265"):
        return b"\0\0\0\1" + b"\0\0\1".join(split_lengths(frame.payload))
    return frame.payload


def ours(events: list[Event], track: Track) -> list[Packet]:
    frames = [event for event in events if isinstance(event, Frame) and event.track.id == track.id]
    return [(frame.dts, frame.pts, hashlib.md5(bare(frame)).hexdigest()) for frame in frames]


def theirs(program: str, path: Path, tracks: tuple[Track, ...]) -> list[list[Packet]]:
    """What FFmpeg reads: per track the packets without delimiters, parameter sets and ADTS headers."""
    filters: list[str] = []
    for index, track in enumerate(tracks):
        name = {"h264": "filter_units=remove_types=7-9", "h265": "filter_units=remove_types=32-35",
                "aac": "aac_adtstoasc"}.get(track.codec)  # fmt: skip
        if name:
            filters += [f"-bsf:{index}", name]
    text = run(program, "-copyts", "-i", str(path), "-map", "0", "-c", "copy", *filters, "-f", "framemd5", "-")
    found: list[list[Packet]] = [[] for _ in tracks]
    for line in text.splitlines():
        if line.startswith("#tb"):
            assert line.endswith("1/90000")
        elif line and not line.startswith("#"):
            index, dts, pts, _, _, digest = (field.strip() for field in line.split(",")[:6])
            found[int(index)].append((int(dts), int(pts), digest))
    return found


def close(left: list[Packet], right: list[Packet], slack: int) -> None:
    """Equal hashes in order, times within `slack` ticks."""
    assert [packet[2] for packet in left] == [packet[2] for packet in right]
    for (dts, pts, _), (other_dts, other_pts, _) in zip(left, right, strict=True):
        assert abs(dts - other_dts) <= slack
        assert abs(pts - other_pts) <= slack


def slack_for(track: Track) -> int:
    # Inside a PES packet FFmpeg adds up rounded durations; we count samples.
    return 0 if track.kind == Kind.VIDEO else 2


@pytest.mark.parametrize("program", ["old", "new"])
@pytest.mark.parametrize("case", CASES)
def test_reads_what_ffmpeg_writes(case: str, program: str, made: Callable[[str, str], Path]) -> None:
    path = made(case, program)
    events = events_of(path.read_bytes())
    tracks = tracks_of(events)
    assert sum(isinstance(event, Tracks) for event in events) == 1
    assert not any(isinstance(event, Discontinuity) for event in events)
    for track, packets in zip(tracks, theirs(program, path, tracks), strict=True):
        assert len(packets) > 50
        close(ours(events, track), packets, slack_for(track))


@pytest.mark.parametrize("reader", ["old", "new"])
@pytest.mark.parametrize("latency", ["normal", "low"])
@pytest.mark.parametrize("case", CASES)
def test_ffmpeg_reads_what_we_write(
    case: str, latency: str, reader: str, made: Callable[[str, str], Path], tmp_path: Path
) -> None:
    events = events_of(made(case, "old").read_bytes())
    tracks = tracks_of(events)
    muxer = TsMuxer(latency="low" if latency == "low" else "normal")
    frames = [event for event in events if isinstance(event, Frame)]
    path = tmp_path / "ours.ts"
    path.write_bytes(b"".join([muxer.start(tracks), *map(muxer.write, frames), muxer.finish()]))
    for track, packets in zip(tracks, theirs(reader, path, tracks), strict=True):
        close(packets, ours(events, track), slack_for(track) if latency == "normal" else 0)


@pytest.mark.parametrize("program", ["old", "new"])
def test_latm_holds_the_same_frames_as_adts(program: str, tmp_path: Path) -> None:
    for name, flags in (("adts", "0"), ("latm", "latm")):
        run(program, *SOUND_48, "-c:a", "aac", "-mpegts_flags", flags, "-f", "mpegts", str(tmp_path / name))
    adts, latm = (events_of((tmp_path / name).read_bytes()) for name in ("adts", "latm"))
    assert tracks_of(latm)[0].config[:2] == tracks_of(adts)[0].config[:2]
    mine, expected = ours(latm, tracks_of(latm)[0]), ours(adts, tracks_of(adts)[0])
    assert len(mine) > 150
    close(mine, expected, 1)


def test_real_media_keeps_its_captions(media_dir: Path, tmp_path: Path) -> None:
    source = media_dir / "sintel-captions.ts"
    events = events_of(source.read_bytes())
    tracks = tracks_of(events)
    assert [track.codec for track in tracks] == ["h264", "aac"]
    for track, packets in zip(tracks, theirs("old", source, tracks), strict=True):
        close(ours(events, track), packets, slack_for(track))
    muxer = TsMuxer()
    frames = [event for event in events if isinstance(event, Frame)]
    copy = tmp_path / "copy.ts"
    copy.write_bytes(b"".join([muxer.start(tracks), *map(muxer.write, frames), muxer.finish()]))
    for mine, packets in zip(theirs("old", source, tracks), theirs("old", copy, tracks), strict=True):
        close(packets, mine, 2)
