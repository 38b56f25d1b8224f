"""`evotools probe` as a child process, beside ffprobe."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need, run_ffmpeg
from tests.together import together

pytestmark = pytest.mark.interop


def probe(*args: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "evotools", "probe", *args], input=data, capture_output=True, timeout=60
    )


def ffprobe(path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [need("ffprobe"), "-v", "error", "-show_packets", "-show_streams", "-of", "json", str(path)],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("probe") / "film.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=3", "-f", "lavfi", "-i", "sine=440:d=3:r=48000",
               "-c:v", "libx264", "-bf", "2", "-g", "25", "-keyint_min", "25", "-sc_threshold", "0", "-pix_fmt",
               "yuv420p", "-c:a", "aac", "-metadata:s:a:0", "language=eng", str(path))  # fmt: skip
    return path


@pytest.mark.parametrize("suffix", ["mp4", "ts", "mkv", "flv"])
@pytest.mark.parametrize("name", ["film", "bigbuckbunny.mp4", "sintel-captions.ts"])
@together
def test_ffprobe_agrees(film: Path, media_dir: Path, tmp_path: Path, name: str, suffix: str) -> None:
    source = film if name == "film" else media_dir / name
    path = tmp_path / f"x.{suffix}"
    run_ffmpeg("-i", str(source), "-map", "0:v:0", "-map", "0:a:0", "-c", "copy", str(path))
    done = probe("--json", str(path))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    theirs = ffprobe(path)
    assert report["container"] == {"mkv": "matroska"}.get(suffix, suffix)
    for stream in theirs["streams"]:
        track = next(t for t in report["tracks"] if t["kind"] == stream["codec_type"])
        packets = [p for p in theirs["packets"] if p["stream_index"] == stream["index"]]
        assert track["codec"] == stream["codec_name"]
        if track["kind"] == "video":
            assert (track["width"], track["height"]) == (stream["width"], stream["height"])
        else:
            assert (track["sample_rate_hz"], track["channels"]) == (int(stream["sample_rate"]), stream["channels"])
        assert track["frames"] == len(packets)
        assert track["first_pts_s"] == pytest.approx(float(packets[0]["pts_time"]), abs=1e-5)
        # One tick of 90 kHz: frames that share a PES packet have no times of their own, and rounding differs.
        assert track["last_pts_s"] == pytest.approx(float(packets[-1]["pts_time"]), abs=1.2e-5)
        if suffix == "mp4":
            assert track["bitrate_bps"] == pytest.approx(int(stream["bit_rate"]), rel=0.01)
    if suffix == "mp4":
        assert (report["live"], report["complete"], report["verdict"]) == (False, True, None)


@together
def test_a_pipe(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    run_ffmpeg("-i", str(film), "-c", "copy", str(path))
    done = probe("--json", data=path.read_bytes())
    report = json.loads(done.stdout)
    assert (done.returncode, report["container"], report["source"]) == (0, "ts", "-")
    assert [t["codec"] for t in report["tracks"]] == ["h264", "aac"]


@together
def test_the_report_for_people(film: Path) -> None:
    done = probe(str(film), "--expect", "video=h264,320x240@25", "--expect", "audio:lang=en=aac", "--max-gop", "1s")
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    for part in ("320x240, 25 fps", "25/25/25 frames", "mp4a.40.2", "reordering", "ok "):
        assert part in text
    assert "FAIL" not in text


@together
def test_failed_checks_are_a_line_each_and_exit_3(film: Path) -> None:
    done = probe(str(film), "--json", "--min-fps", "30", "--max-gop", "2s", "--expect", "video=h265")
    assert done.returncode == 3
    assert len(done.stderr.decode().splitlines()) == 2
    assert b"min-fps: frame rate 25 fps" in done.stderr
    assert b"expect video=h265: found h264" in done.stderr
    assert json.loads(done.stdout)["verdict"] == "fail"
    quiet = probe("-q", str(film), "--min-fps", "30")
    assert (quiet.returncode, quiet.stdout) == (3, b"")
    assert len(quiet.stderr.splitlines()) == 1


@together
def test_nagios(film: Path, tmp_path: Path) -> None:
    for args, code, word in (
        ((str(film), "--min-fps", "25"), 0, b"EVOTOOLS OK - "),
        ((str(film), "--max-gop", "500ms"), 2, b"EVOTOOLS CRITICAL - max-gop"),
        ((str(tmp_path / "none.mp4"),), 2, b"EVOTOOLS CRITICAL - "),
    ):
        done = probe("--nagios", *args)
        assert done.returncode == code, done
        assert done.stdout.startswith(word)
        assert done.stdout.count(b"\n") == 1


@together
def test_watch(film: Path) -> None:
    done = probe(str(film), "--watch", "1s", "--json")
    *lines, report = [json.loads(line) for line in done.stdout.splitlines()]
    assert [round(line["media_s"]) for line in lines] == [1, 2, 3][: len(lines)]
    assert len(lines) >= 2
    assert all(line["tracks"][0]["fps"] == pytest.approx(25, rel=0.05) for line in lines)
    assert report["schema"] == "evotools.probe/1"
    text = probe(str(film), "--watch", "1s").stdout.decode()
    assert text.splitlines()[0].lstrip().startswith("1.0")


@together
def test_duration_and_tracks(film: Path) -> None:
    report = json.loads(probe(str(film), "--json", "--duration", "1s", "--track", "video").stdout)
    assert [t["frames"] for t in report["tracks"]] == [25]
    assert report["complete"] is False


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("none.mp4",), 4),
        (("--expect", "rubbish", "x.mp4"), 2),
        (("--json", "--nagios", "x.mp4"), 2),
        (("--watch", "0", "x.mp4"), 2),
        (("--max-gop", "soon", "x.mp4"), 2),
        (("gopher://x/y",), 2),
    ],
)
@together
def test_errors_have_their_codes(args: tuple[str, ...], code: int, tmp_path: Path) -> None:
    done = probe(*args)
    assert done.returncode == code
    assert done.stdout == b""
    assert len(done.stderr.decode().splitlines()) == 1


@together
def test_unsuitable_and_empty_input(tmp_path: Path) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(bytes(range(256)) * 100)
    assert probe(str(noise)).returncode == 6
    assert probe("-", data=b"").returncode == 7
    assert probe("-", data=bytes(range(256)) * 100).returncode == 6


@together
def test_a_silent_peer_costs_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as peer:
        done = probe(f"tcp://127.0.0.1:{peer.getsockname()[1]}", "--timeout", "300ms")
        assert done.returncode == 7
        assert b"no media within 0.3 s" in done.stderr
