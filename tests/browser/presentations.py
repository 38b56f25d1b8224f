"""What the tests of packaged media package: sources with known pictures and sounds, and the command that does it."""

import subprocess
from pathlib import Path

from tests.commands.program import ENVIRONMENT, EVOTOOLS, run
from tests.conftest import run_ffmpeg

FILM_FRAMES = 132
FILM_SECONDS = 5.312
"""Of the sample film; the sound is 0.032 s longer than the picture."""
LADDER_SIZES = ((640, 360), (320, 180))
FPS = 25


def ladder(path: Path, seconds: float, *options: str) -> Path:
    """Two renditions with B-frames and key frames each second, and AAC, from one encoder."""
    done = run("videogen", "--ladder", "640x360@800k,320x180@250k", "--profile", "main", "--tune", "animation",
               "-bf", "2", "-g", str(FPS), "--no-realtime", "--duration", f"{seconds:g}s", "--seed", "1", *options,
               str(path))  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return path


def videogen(path: Path, seconds: float, *options: str) -> Path:
    """One rendition with a key frame each second, and sound."""
    done = run("videogen", "-s", "640x360", "-g", str(FPS), "--no-realtime", "--duration", f"{seconds:g}s", "--seed",
               "1", *options, str(path))  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return path


def looped(media_dir: Path, path: Path, times: int) -> Path:
    """The sample film over and over; its only key frame is the first, so each turn is one segment."""
    run_ffmpeg("-stream_loop", str(times - 1), "-i", str(media_dir / "bigbuckbunny.mp4"), "-c", "copy", str(path))
    return path


def package(folder: Path, *arguments: str | Path) -> Path:
    """`evotools package` to its end."""
    done = run("package", *map(str, arguments), str(folder))
    assert done.returncode == 0, done.stderr.decode()
    return folder


class LivePackage:
    """`videogen | package --type live` in real time, until the end of the block."""

    def __init__(self, folder: Path, *options: str, seconds: float = 60) -> None:
        self.folder = folder
        self._source = subprocess.Popen(
            [*EVOTOOLS, "videogen", "-s", "640x360", "-g", str(FPS), "--duration", f"{seconds:g}s"],
            stdout=subprocess.PIPE, env=ENVIRONMENT,
        )  # fmt: skip
        self._package = subprocess.Popen(
            [*EVOTOOLS, "package", "--type", "live", "--segment", "1s", "--window", "8s", *options, str(folder)],
            stdin=self._source.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
        )  # fmt: skip
        assert self._source.stdout is not None
        # The packager alone holds the other end, so that it sees the end of the source.
        self._source.stdout.close()

    def segments(self) -> int:
        """How many a playlist names now."""
        playlist = self.folder / "v0" / "playlist.m3u8"
        assert self._package.poll() is None, self._package.communicate()[1].decode()
        return playlist.read_text().count("#EXTINF") if playlist.exists() else 0

    def end(self) -> tuple[int, str]:
        """Let the source end now; status and stderr of the packager."""
        self._source.terminate()
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Status and stderr of the packager, when the source has ended by itself."""
        self._source.wait(60)
        _, said = self._package.communicate(timeout=20)
        return self._package.returncode, said.decode()

    def __enter__(self) -> "LivePackage":
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._source, self._package):
            if process.poll() is None:
                process.kill()
        self._source.wait(20)
        if self._package.returncode is None:
            self._package.communicate(timeout=20)
