"""Raw H.264, H.265 and AAC as ffmpeg writes them, against the MP4 files they came from."""

from pathlib import Path

import av
import pytest

from evotools.containers.sniff import SNIFF_BYTES, make_demuxer, sniff
from evotools.media.frame import Event, Frame, Tracks
from tests.conftest import run_ffmpeg

pytestmark = pytest.mark.interop

Packet = tuple[int, int, bool]


def reference(path: Path, kind: str, timescale: int) -> tuple[list[Packet], list[bytes]]:
    """Times from the first decode time on, and payloads, of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        packets = [p for p in container.demux(stream) if p.size]
        base, unit = packets[0].dts, stream.time_base * timescale
        times = [(round((p.dts - base) * unit), round((p.pts - base) * unit), p.is_keyframe) for p in packets]
        return times, [bytes(p) for p in packets]


def demux(path: Path, name: str) -> list[Event]:
    data = path.read_bytes()
    assert sniff(data[:SNIFF_BYTES]) == name
    demuxer = make_demuxer(name)
    events: list[Event] = []
    for start in range(0, len(data), 5000):
        events += demuxer.feed(data[start : start + 5000])
    return events + demuxer.flush()


X264 = ["-c:v", "libx264", "-preset", "fast", "-g", "20"]
X265 = ["-c:v", "libx265", "-preset", "veryfast"]
VIDEO = {
    "no-b-frames": ["h264", *X264, "-bf", "0"],
    "pyramid": ["h264", *X264, "-bf", "4", "-x264-params", "b-pyramid=normal"],
    "interlaced": ["h264", *X264, "-flags", "+ildct+ilme", "-x264-params", "interlaced=1"],
    "slices": ["h264", *X264, "-x264-params", "slices=4:open-gop=1"],
    "hevc": ["hevc", *X265, "-x265-params", "log-level=none:keyint=20:bframes=4"],
    "hevc-closed": ["hevc", *X265, "-x265-params", "log-level=none:keyint=20:open-gop=0:temporal-layers=1:slices=2"],
}


@pytest.mark.parametrize("name", list(VIDEO))
def test_video_times_come_back_from_the_picture_order(name: str, tmp_path: Path) -> None:
    codec, *options = VIDEO[name]
    whole, raw = tmp_path / "whole.mp4", tmp_path / f"raw.{codec}"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x180:r=30", "-t", "2", *options, str(whole))
    run_ffmpeg("-i", str(whole), "-c", "copy", "-bsf:v", f"{codec}_mp4toannexb", "-f", codec, str(raw))
    ours = "h264" if codec == "h264" else "h265"
    events = demux(raw, f"annexb-{ours}")
    assert isinstance(events[0], Tracks)
    assert len([e for e in events if isinstance(e, Tracks)]) == 1
    (track,) = events[0].tracks
    assert (track.codec, track.width, track.height, track.fps) == (ours, 320, 180, 30)
    times, payloads = reference(whole, "video", 90000)
    frames = [e for e in events if isinstance(e, Frame)]
    assert [(f.dts, f.pts, f.key) for f in frames] == times
    # x265's settings travel in hvcC, from where the filter puts them into the stream.
    same = [f.payload == p or (ours == "h265" and f.key) for f, p in zip(frames, payloads, strict=True)]
    assert all(same)


def test_real_media(media_dir: Path, tmp_path: Path) -> None:
    source = media_dir / "bigbuckbunny.mp4"
    video, audio = tmp_path / "v.h264", tmp_path / "a.aac"
    run_ffmpeg("-i", str(source), "-map", "0:v:0", "-c", "copy", "-bsf:v", "h264_mp4toannexb", str(video))
    run_ffmpeg("-i", str(source), "-map", "0:a:0", "-c", "copy", str(audio))
    frames = [e for e in demux(video, "annexb-h264") if isinstance(e, Frame)]
    times, payloads = reference(source, "video", 90000)
    assert [(f.dts, f.pts, f.key) for f in frames] == times
    assert [f.payload for f in frames] == payloads
    events = demux(audio, "adts")
    frames = [e for e in events if isinstance(e, Frame)]
    times, payloads = reference(source, "audio", frames[0].track.timescale)
    assert [f.payload for f in frames] == payloads
    # The MP4 has an edit list and rounds to its own time scale: within a sample or two.
    assert max(abs(f.dts - dts) for f, (dts, _, _) in zip(frames, times, strict=True)) <= 2
