"""Fixtures shared by all tests."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
SAMPLES = Path(os.environ.get("EVOTOOLS_TEST_MEDIA", REPO.parent / "shared" / "media"))


def need(program: str) -> str:
    """The path of a foreign program; the test fails, not skips, when it is missing."""
    path = shutil.which(program)
    if path is None:
        pytest.fail(f"{program} is not installed; `make test` as root installs it")
    return path


def run_ffmpeg(*args: str) -> None:
    """Run Debian's ffmpeg quietly; its stderr is shown on failure."""
    command = [need("ffmpeg"), "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"


@pytest.fixture(scope="session")
def media_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `bigbuckbunny.mp4` (H.264 + AAC) and `sintel-captions.ts` (H.264 + AAC, CEA-608).

    The project's sample media where they lie beside the checkout; elsewhere stand-ins of the same names, codecs
    and sizes made with ffmpeg (without captions).
    """
    if (SAMPLES / "bigbuckbunny.mp4").exists():
        return SAMPLES
    made = tmp_path_factory.mktemp("media")
    sound = "aevalsrc=0.3*sin(880*t)|0.3*sin(440*t):s=48000"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25", "-f", "lavfi", "-i", sound, "-t", "5.28",
               "-c:v", "libx264", "-bf", "0", "-pix_fmt", "yuv420p", "-g", "50", "-c:a", "aac",
               str(made / "bigbuckbunny.mp4"))  # fmt: skip
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=400x170:r=24", "-f", "lavfi", "-i", sound, "-t", "10",
               "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ar", "22050",
               str(made / "sintel-captions.ts"))  # fmt: skip
    return made
