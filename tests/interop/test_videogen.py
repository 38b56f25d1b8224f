"""videogen read by programs nobody here wrote: not one error or warning, and the time is in the picture."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest

from evotools.videogen.blocks import Stamp, read_blocks
from tests.conftest import need
from tests.together import together

pytestmark = pytest.mark.interop


def videogen(path: Path, *argv: str) -> None:
    command = [sys.executable, "-m", "evotools", "videogen", "--no-config", "--no-realtime", *argv, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def decode_clean(program: str, path: Path) -> None:
    """Decode every track; any message at all fails."""
    command = [program, "-hide_banner", "-nostdin", "-v", "warning", "-xerror", "-i", str(path), "-map", "0",
               "-f", "null", "-"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def probe(path: Path) -> list[dict[str, Any]]:
    command = [need("ffprobe"), "-v", "warning", "-of", "json", "-show_streams", "-count_packets", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert done.stderr == ""
    streams = json.loads(done.stdout)["streams"]
    assert isinstance(streams, list)
    return streams


def pictures(path: Path, *filters: str, width: int, height: int) -> list[bytes]:
    """The luma planes that ffmpeg decodes."""
    command = [need("ffmpeg"), "-v", "error", "-nostdin", "-i", str(path), "-an", *filters, "-pix_fmt", "gray",
               "-f", "rawvideo", "-"]  # fmt: skip
    data = subprocess.run(command, capture_output=True, timeout=100, check=True).stdout
    return [data[i : i + width * height] for i in range(0, len(data), width * height)]


@together
def test_the_default_stream(tmp_path: Path) -> None:
    path = tmp_path / "default.ts"
    videogen(path, "--duration", "4s")
    video, audio = probe(path)
    assert (video["codec_name"], video["profile"], video["level"]) == ("h264", "Constrained Baseline", 30)
    assert (video["width"], video["height"], video["pix_fmt"], video["has_b_frames"]) == (800, 600, "yuv420p", 0)
    assert video["r_frame_rate"] == "25/1"
    assert video["nb_read_packets"] == "100"
    assert float(video["start_time"]) == float(audio["start_time"])
    assert (audio["codec_name"], audio["sample_rate"], audio["channels"]) == ("aac", "48000", 2)
    decode_clean(need("ffmpeg"), path)


CASES = {
    "hevc-mp3.ts": ["-c:v", "hevc", "-c:a", "mp3", "-ar", "44100", "-s", "640x360"],
    "opus.ts": ["-c:a", "opus", "-s", "320x240"],
    "ac3.ts": ["-c:a", "ac3", "-s", "320x240", "-r", "29.97"],
    "cbr.ts": ["-b:v", "1M", "-b:a", "96k", "-s", "640x360"],
    "bframes.ts": ["-profile:v", "main", "-bf", "2", "-s", "640x360"],
    "h264.flv": ["-s", "640x360"],
    "av1-opus.mkv": ["-c:v", "av1", "-c:a", "opus", "-s", "640x360"],
    "vp9-flac.mkv": ["-c:v", "vp9", "-c:a", "flac", "-s", "640x360"],
    "vp8-opus.mkv": ["-c:v", "vp8", "-c:a", "opus", "-s", "320x240"],
    "hd.ts": ["-s", "1920x1080", "--pattern", "testsrc2"],
}


@pytest.mark.parametrize("name", CASES)
@together
def test_decoders_have_nothing_to_complain_about(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    videogen(path, "--duration", "3s", "--seed", "1", *CASES[name])
    decode_clean(need("ffmpeg"), path)
    decode_clean(imageio_ffmpeg.get_ffmpeg_exe(), path)


@pytest.mark.parametrize("name", ["hevc.flv", "av1-opus.flv"])
@together
def test_enhanced_flv_in_a_new_ffmpeg(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    videogen(path, "--duration", "2s", "-s", "640x360", "-c:v", name[:4].rstrip("-"),
             "-c:a", "opus" if "opus" in name else "aac")  # fmt: skip
    decode_clean(imageio_ffmpeg.get_ffmpeg_exe(), path)


@together
def test_the_multi_bitrate_stream_of_the_guide(tmp_path: Path) -> None:
    path = tmp_path / "multi.ts"
    videogen(path, "--multi", "--duration", "2s", "-f", "mpegts")
    streams = probe(path)
    assert [(s["codec_name"], s.get("width"), s.get("height")) for s in streams] == [
        ("h264", 800, 600), ("h264", 1920, 1080), ("hevc", 1920, 1080), ("aac", None, None), ("mp3", None, None),
    ]  # fmt: skip
    assert [s["nb_read_packets"] for s in streams[:3]] == ["50", "50", "50"]
    assert (streams[4]["sample_rate"], streams[4]["channels"]) == ("44100", 1)
    decode_clean(need("ffmpeg"), path)


@pytest.mark.parametrize("size", [(800, 600), (400, 300), (1280, 720)])
@together
def test_the_time_survives_another_encoder_and_scaling(size: tuple[int, int], tmp_path: Path) -> None:
    width, height = size
    first, second = tmp_path / "first.ts", tmp_path / "second.ts"
    videogen(first, "--duration", "2s", "--seed", "1")
    subprocess.run(
        [need("ffmpeg"), "-v", "error", "-nostdin", "-i", str(first), "-an", "-vf", f"scale={width}:{height}",
         "-c:v", "mpeg2video", "-b:v", "1500k", str(second)], timeout=100, check=True,
    )  # fmt: skip
    read = [read_blocks(p, width, width, height) for p in pictures(second, width=width, height=height)]
    assert read == [Stamp(n, 946_684_800_000 + 40 * n) for n in range(50)]


@together
def test_the_bit_rate_is_within_one_percent(tmp_path: Path) -> None:
    path = tmp_path / "rate.ts"
    videogen(path, "--duration", "10s", "-b:v", "2M", "-an")
    command = [need("ffprobe"), "-v", "error", "-of", "csv=p=0", "-show_entries", "packet=size", str(path)]
    sizes = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout.split()
    assert sum(int(s.rstrip(",")) for s in sizes) * 8 / 10 == pytest.approx(2e6, rel=0.01)


@together
def test_key_frames_every_second_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "gop.ts"
    videogen(path, "--duration", "3s", "-r", "30000/1001")
    command = [need("ffprobe"), "-v", "error", "-of", "json", "-select_streams", "v", "-show_entries",
               "packet=pts,flags", str(path)]  # fmt: skip
    packets = json.loads(subprocess.run(command, capture_output=True, timeout=100, check=True).stdout)["packets"]
    assert [n for n, p in enumerate(packets) if "K" in p["flags"]] == [0, 30, 60]
    step = Fraction(90_000 * 1001, 30_000)
    assert [p["pts"] - packets[0]["pts"] for p in packets] == [n * step for n in range(90)]
