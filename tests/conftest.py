"""Fixtures shared by all tests."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.together import Crew

REPO = Path(__file__).resolve().parent.parent
SAMPLES = Path(os.environ.get("EVOTOOLS_TEST_MEDIA", REPO.parent / "shared" / "media"))


_popen = subprocess.Popen.__init__


def _popen_with_environment(process: Any, *args: Any, **options: Any) -> None:
    """Start a program with a copy of the environment.

    Without one, execve reads the process's own, which pytest changes for each test (PYTEST_CURRENT_TEST) while the
    threads of other tests start programs: setenv frees what is being read, and the program does not start (EFAULT).
    """
    if options.get("env") is None:
        values = {name: os.environ.get(name) for name in list(os.environ)}
        options["env"] = {name: value for name, value in values.items() if value is not None}
    _popen(process, *args, **options)


subprocess.Popen.__init__ = _popen_with_environment  # type: ignore[method-assign]


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


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """Who runs the tests of a module that are marked with `@together`."""
    made = Crew(tmp_path_factory)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def media_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `bigbuckbunny.mp4` (H.264 + AAC) and `sintel-captions.ts` (H.264 + AAC, CEA-608).

    The project's sample media where they lie beside the checkout; elsewhere stand-ins of the same names, codecs,
    sizes, lengths and groups of pictures, made with ffmpeg (without captions).
    """
    if (SAMPLES / "bigbuckbunny.mp4").exists():
        return SAMPLES
    made = tmp_path_factory.mktemp("media")
    # Sound goes through ADTS, which has no edit list: like the films it begins at zero, not before.
    bunny = ("-profile:v", "main", "-bf", "0", "-g", "250", "-sc_threshold", "0", "-b:v", "1200k")
    _picture(made / "bunny.mp4", "testsrc2=s=1280x720:r=25", "5.28", *bunny)
    _sound(made / "bunny.aac", "|".join(f"0.2*sin({f}*t)" for f in range(880, 7000, 1100)), "48000", "5.3", "384k")
    run_ffmpeg("-i", str(made / "bunny.mp4"), "-i", str(made / "bunny.aac"), "-c", "copy",
               str(made / "bigbuckbunny.mp4"))  # fmt: skip
    sintel = ("-profile:v", "baseline", "-g", "300", "-sc_threshold", "0", "-force_key_frames", "expr:eq(n,70)")
    _picture(made / "sintel.mp4", "testsrc2=s=400x170:r=24", "10", *sintel)
    _sound(made / "sintel.aac", "0.3*sin(880*t)|0.3*sin(440*t)", "22050", "9.8", "72k")
    run_ffmpeg("-itsoffset", "0.119", "-i", str(made / "sintel.mp4"), "-i", str(made / "sintel.aac"), "-c", "copy",
               "-output_ts_offset", "9.881", "-muxdelay", "0", "-muxpreload", "0",
               str(made / "sintel-captions.ts"))  # fmt: skip
    return made


def _picture(path: Path, source: str, seconds: str, *options: str) -> None:
    run_ffmpeg(
        "-f", "lavfi", "-i", source, "-t", seconds, "-c:v", "libx264", "-pix_fmt", "yuv420p", *options, str(path)
    )


def _sound(path: Path, expression: str, rate: str, seconds: str, bitrate: str) -> None:
    run_ffmpeg("-f", "lavfi", "-i", f"aevalsrc={expression}:s={rate}", "-t", seconds, "-c:a", "aac", "-b:a", bitrate,
               str(path))  # fmt: skip
