"""FLV against ffmpeg, both ways: Debian's for the legacy form, FFmpeg 9 for Enhanced RTMP.

What is compared is every packet: track, decode and presentation time, size and MD5 of the payload, as ffmpeg's
framemd5 writer prints them.
"""

import hashlib
import subprocess
from pathlib import Path

import pytest

from evotools.containers.flv.demux import FlvDemuxer
from evotools.containers.flv.mux import FlvMuxer
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind, Track
from tests.conftest import need

pytestmark = pytest.mark.interop

Packet = tuple[int, int, int, int, str]
"""Number of the track, dts and pts in milliseconds, size, MD5."""


def debian() -> str:
    return need("ffmpeg")


def newest() -> str:
    import imageio_ffmpeg

    path: str = imageio_ffmpeg.get_ffmpeg_exe()
    return path


def run(program: str, *args: str) -> str:
    command = [program, "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    # SVT-AV1 prints its settings whatever the log level.
    noise = [line for line in done.stderr.splitlines() if line and not line.startswith("Svt[")]
    assert not noise, f"{' '.join(command)}\n{noise}"
    return done.stdout


def packets_of(program: str, path: Path) -> list[Packet]:
    """What ffmpeg reads. FFmpeg 9 makes empty packets of MultichannelConfig and SequenceEnd; they are left out."""
    found = []
    for line in run(program, "-copyts", "-i", str(path), "-map", "0", "-c", "copy", "-f", "framemd5", "-").splitlines():
        if line and not line.startswith("#"):
            stream, dts, pts, _, size, digest = (part.strip() for part in line.split(","))
            if int(size):
                found.append((int(stream), int(dts), int(pts), int(size), digest))
    return found


def demux(path: Path, step: int = 4096) -> tuple[list[Event], FlvDemuxer]:
    demuxer = FlvDemuxer()
    data = path.read_bytes()
    events: list[Event] = []
    for start in range(0, len(data), step):
        events += demuxer.feed(data[start : start + step])
    return events + demuxer.flush(), demuxer


def tracks_of(events: list[Event]) -> tuple[Track, ...]:
    found = [event.tracks for event in events if isinstance(event, Tracks)]
    assert len(found) == 1, "one list of tracks for an unchanged stream"
    return found[0]


def own(events: list[Event], order: list[int], *, delimiter: bool = False) -> list[Packet]:
    """Our frames in ffmpeg's terms; `order` has our track ids in the order of ffmpeg's streams."""
    found = []
    for event in events:
        if isinstance(event, Frame):
            payload = event.payload
            if delimiter and event.track.codec == "av1":
                payload = b"\x12\x00" + payload
            scale = 1000 / event.track.timescale
            digest = hashlib.md5(payload, usedforsecurity=False).hexdigest()
            number = order.index(event.track.id)
            found.append((number, round(event.dts * scale), round(event.pts * scale), len(payload), digest))
    return found


def streams_in_order(program: str, path: Path, tracks: tuple[Track, ...]) -> list[int]:
    """Our ids in the order in which ffmpeg lists its streams: as their first tags appear in the file."""
    data, position = path.read_bytes(), 13
    order: list[int] = []
    while position + 11 <= len(data):
        kind, size = data[position], int.from_bytes(data[position + 1 : position + 4], "big")
        body = data[position + 11 : position + 11 + size]
        number = 0
        if (kind == 8 and body[0] == 0x95) or (kind == 9 and body[0] & 0x8F == 0x86):
            number = body[6]
        identity = number * 2 + (1 if kind == 9 else 2)
        if kind in (8, 9) and identity not in order:
            order.append(identity)
        position += 15 + size
    assert sorted(order) == sorted(t.id for t in tracks)
    return order


VIDEO = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25"]
SOUND = ["-f", "lavfi", "-i", "aevalsrc=0.3*sin(880*t)|0.3*sin(440*t):s=48000"]
SOUND_44 = ["-f", "lavfi", "-i", "sine=220:r=44100"]
SHORT = ["-t", "1.2"]

LEGACY = {
    "h264-aac": [*VIDEO, *SOUND, *SHORT, "-c:v", "libx264", "-bf", "3", "-c:a", "aac"],
    "h264-mp3": [*VIDEO, *SOUND_44, *SHORT, "-c:v", "libx264", "-bf", "0", "-c:a", "libmp3lame"],
    "mp3-22k": [*SOUND, *SHORT, "-c:a", "libmp3lame", "-ar", "22050", "-ac", "1"],
    "alaw": [*SOUND, *SHORT, "-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"],
    "mulaw": [*SOUND, *SHORT, "-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "2"],
}
ENHANCED = {
    "hevc-aac": [*VIDEO, *SOUND, *SHORT, "-c:v", "libx265", "-x265-params", "log-level=none:bframes=3", "-c:a", "aac"],
    "av1-opus": [*VIDEO, *SOUND, *SHORT, "-c:v", "libsvtav1", "-preset", "10", "-c:a", "libopus"],
    "vp9-opus": [*VIDEO, *SOUND, *SHORT, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus"],
    "h264-ac3": [*VIDEO, *SOUND, *SHORT, "-c:v", "libx264", "-c:a", "ac3"],
    "h264-eac3": [*VIDEO, *SOUND, *SHORT, "-c:v", "libx264", "-c:a", "eac3"],
    "h264-flac": [*VIDEO, *SOUND, *SHORT, "-c:v", "libx264", "-c:a", "flac"],
    "h264-aac": LEGACY["h264-aac"],
    "two-audio": [*VIDEO, *SOUND, *SOUND_44, *SHORT, "-map", "0", "-map", "1", "-map", "2", "-c:v", "libx264",
                  "-c:a:0", "aac", "-c:a:1", "libopus"],
    "three-audio": [*VIDEO, *SOUND, *SOUND_44, *SHORT, "-map", "0", "-map", "1", "-map", "2", "-map", "1",
                    "-c:v", "libx264", "-c:a:0", "aac", "-c:a:1", "aac", "-c:a:2", "ac3"],
    "two-video": [*VIDEO, "-f", "lavfi", "-i", "testsrc2=s=160x90:r=25", *SHORT, "-map", "0", "-map", "1",
                  "-c:v:0", "libx264", "-c:v:1", "libx265", "-x265-params", "log-level=none"],
}  # fmt: skip
CASES = [("debian", name) for name in LEGACY] + [("newest", name) for name in ENHANCED]


@pytest.fixture(scope="module", params=CASES, ids=[f"{who}-{name}" for who, name in CASES])
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The program and the FLV file that it made."""
    who, name = request.param
    program = debian() if who == "debian" else newest()
    path = tmp_path_factory.mktemp("flv") / f"{name}.flv"
    run(program, *(LEGACY if who == "debian" else ENHANCED)[name], "-f", "flv", str(path))
    return program, path


def test_we_read_what_ffmpeg_writes(sample: tuple[str, Path]) -> None:
    program, path = sample
    events, demuxer = demux(path)
    tracks = tracks_of(events)
    order = streams_in_order(program, path, tracks)
    theirs = packets_of(program, path)
    assert len(theirs) > 20
    assert own(events, order, delimiter=True) == theirs
    assert (demuxer.tags.damaged, demuxer.tags.undecodable) == (0, 0)
    assert all(t.width in (320, 160) if t.kind == Kind.VIDEO else t.sample_rate for t in tracks)
    assert all(t.codec_string for t in tracks)


@pytest.mark.parametrize("timescale", [1000, 90000])
def test_ffmpeg_reads_what_we_write(sample: tuple[str, Path], tmp_path: Path, timescale: int) -> None:
    program, path = sample
    events, _ = demux(path)
    factor = timescale // 1000
    tracks = {t.id: t.with_(timescale=timescale) for t in tracks_of(events)}
    frames = [e.shifted(tracks[e.track.id], e.dts * factor, e.pts * factor) for e in events if isinstance(e, Frame)]
    muxer = FlvMuxer()
    written = tmp_path / "out.flv"
    parts = [muxer.start(list(tracks.values())), *map(muxer.write, frames), muxer.finish()]
    written.write_bytes(b"".join(parts))
    order = streams_in_order(program, written, tuple(tracks.values()))
    assert packets_of(program, written) == own(list(frames), order)
    # And the pictures and sounds decode without a complaint to the same as the original.
    decoded = [run(program, "-i", str(p), "-map", "0:a?", "-map", "0:v?", "-f", "md5", "-") for p in (written, path)]
    assert decoded[0] == decoded[1]
    again, _ = demux(written, 100)
    assert own(again, order) == own(list(frames), order)


@pytest.mark.parametrize("name", ["bigbuckbunny.mp4", "sintel-captions.ts"])
def test_real_media(media_dir: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "real.flv"
    run(debian(), "-i", str(media_dir / name), "-map", "0:v:0", "-map", "0:a:0", "-c", "copy", "-bsf:a",
        "aac_adtstoasc" if name.endswith("ts") else "null", "-f", "flv", str(path))  # fmt: skip
    events, _ = demux(path)
    tracks = tracks_of(events)
    order = streams_in_order(debian(), path, tracks)
    theirs = packets_of(debian(), path)
    ours = own(events, order)
    assert [p[:3] for p in ours] == [p[:3] for p in theirs]
    if name.endswith("mp4"):
        assert ours == theirs
    muxer = FlvMuxer()
    written = tmp_path / "out.flv"
    frames = [e for e in events if isinstance(e, Frame)]
    written.write_bytes(b"".join([muxer.start(tracks), *map(muxer.write, frames), muxer.finish()]))
    assert packets_of(debian(), written) == ours


def test_remuxed_files_play_on(tmp_path: Path) -> None:
    """FFmpeg copies our enhanced files into MP4: the configuration records are whole."""
    program = newest()
    for name in ("hevc-aac", "av1-opus", "vp9-opus", "h264-flac"):
        path = tmp_path / f"{name}.flv"
        run(program, *ENHANCED[name], "-f", "flv", str(path))
        events, _ = demux(path)
        muxer = FlvMuxer()
        frames = [e for e in events if isinstance(e, Frame)]
        written = tmp_path / f"{name}-ours.flv"
        written.write_bytes(b"".join([muxer.start(tracks_of(events)), *map(muxer.write, frames), muxer.finish()]))
        run(program, "-i", str(written), "-c", "copy", str(tmp_path / f"{name}.mp4"))
        run(program, "-xerror", "-i", str(tmp_path / f"{name}.mp4"), "-f", "null", "-")
