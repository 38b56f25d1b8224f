"""Players without a window: each plays a presentation to its end, from the web or from disk, and tells what it saw."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.commands.program import ENVIRONMENT
from tests.conftest import need
from tests.interop.peers import ffmpeg5

AUDIO_RATE_HZ = 48000
GRAY = (16, 16)
"""To this size GStreamer scales every picture, whatever its rendition, so that they can be counted."""


class PlayingFailed(AssertionError):
    """A player gave up; the message is its own."""


@dataclass(frozen=True)
class Stream:
    """What came out of one stream."""

    kind: str
    """`video` or `audio`."""
    count: int
    """Pictures or packets."""
    first_s: float
    last_s: float
    """Presentation time of the first and the end of the last."""
    widest_step_s: float
    """Between neighbours in order of presentation."""
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Shown:
    """What came out of a presentation."""

    streams: list[Stream]
    said: str
    """Warnings and errors, the player's own words."""

    def of(self, kind: str) -> list[Stream]:
        return [s for s in self.streams if s.kind == kind]


def run(command: list[str], timeout_s: float, **options: Any) -> subprocess.CompletedProcess[str]:
    """A player to its end; one that does not come to it within `timeout_s` failed."""
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                              timeout=timeout_s, check=False, env=ENVIRONMENT, **options)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        said = (error.stderr or b"").decode(errors="replace")[-2000:]
        raise PlayingFailed(f"{command[0]} did not end within {timeout_s:g} s\n{said}") from None


def play_ffmpeg(
    source: str, *, program: str | None = None, copy: bool = False, seconds: float | None = None, timeout_s: float = 60
) -> Shown:
    """All streams of all renditions, decoded, or with `copy` only demuxed; at most `seconds` of them."""
    limit = ["-t", f"{seconds:g}"] if seconds else []
    how = ["-c", "copy"] if copy else ["-fps_mode", "passthrough"]
    command = [program or ffmpeg5(), "-hide_banner", "-loglevel", "repeat+warning", "-nostdin", "-copyts", "-i", source,
               *limit, "-map", "0:v?", "-map", "0:a?", *how, "-f", "framecrc", "-"]  # fmt: skip
    done = run(command, timeout_s)
    if done.returncode:
        raise PlayingFailed(f"ffmpeg: exit {done.returncode}\n{done.stderr[-3000:]}")
    return Shown(_framecrc(done.stdout), done.stderr)


def _framecrc(text: str) -> list[Stream]:
    """The streams of ffmpeg's framecrc: `stream, dts, pts, duration, size, checksum`, heads with `#`."""
    heads = {(key, int(n)): value for key, n, value in re.findall(r"^#(\w+) (\d+): (.*)$", text, re.M)}
    frames: dict[int, list[tuple[float, float]]] = {n: [] for key, n in heads if key == "tb"}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        number, _, pts, duration = (int(v) for v in line.split(",")[:4])
        unit = Fraction(heads["tb", number])
        frames[number].append((float(pts * unit), float(duration * unit)))
    found = []
    for number, rows in sorted(frames.items()):
        rows.sort()
        size = re.match(r"(\d+)x(\d+)", heads.get(("dimensions", number), ""))
        found.append(
            Stream(
                heads["media_type", number], len(rows), rows[0][0] if rows else 0.0, sum(rows[-1]) if rows else 0.0,
                max((b[0] - a[0] for a, b in pairwise(rows)), default=0.0),
                (int(size[1]), int(size[2])) if size else None,
            )
        )  # fmt: skip
    return found


def play_vlc(source: str, *, frames: int = 0, timeout_s: float = 60) -> Shown:
    """What VLC demuxes, as packets. It ends without the last ones: it does not empty its own muxer.

    Its muxer works in real time and throws away what a busy machine brings late: where fewer than `frames` pictures
    came it may play again, twice at most. What is missing from the source is missing every time.
    """
    for _ in range(2):
        shown = _play_vlc(source, timeout_s)
        if sum(stream.count for stream in shown.of("video")) >= frames:
            return shown
    return _play_vlc(source, timeout_s)


def _play_vlc(source: str, timeout_s: float) -> Shown:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.ts"
        # VLC refuses to run as root, and nobody may not write where the tests do: the stream comes through a pipe.
        user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        command = ["/usr/bin/env", "HOME=/tmp", need("cvlc"), "-q", "--no-sout-all", "--play-and-exit", source,
                   "--sout", "#std{access=file,mux=ts,dst=-}"]  # fmt: skip
        with path.open("wb") as file:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE,
                                       env=ENVIRONMENT, cwd="/", **user)  # fmt: skip
            try:
                _, said = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                _, said = process.communicate()
                raise PlayingFailed(f"vlc did not end within {timeout_s:g} s\n{said.decode()[-2000:]}") from None
        if process.returncode or not path.stat().st_size:
            raise PlayingFailed(f"vlc: exit {process.returncode}\n{said.decode()[-3000:]}")
        return Shown(play_ffmpeg(str(path), copy=True).streams, said.decode())


def play_gstreamer(uri: str, *, element: str = "playbin", timeout_s: float = 60) -> Shown:
    """Every picture and sample that GStreamer decodes, counted; the first rendition of each kind or what it changes to.

    `playbin` takes hlsdemux and dashdemux, `playbin3` hlsdemux2 and dashdemux2. Times are counts over the rate; there
    are none of pictures.
    """
    with tempfile.TemporaryDirectory() as folder:
        video, audio = Path(folder) / "video", Path(folder) / "audio"
        pictures = f"videoconvert ! videoscale ! video/x-raw,format=GRAY8,width={GRAY[0]},height={GRAY[1]} ! "
        samples = f"audioconvert ! audioresample ! audio/x-raw,format=S16LE,channels=1,rate={AUDIO_RATE_HZ} ! "
        command = [need("gst-launch-1.0"), "-m", element, f"uri={uri}", "flags=video+audio+soft-volume",
                   f"video-sink={pictures}filesink location={video}",
                   f"audio-sink={samples}filesink location={audio}"]  # fmt: skip
        done = run(command, timeout_s)
        if done.returncode or "Got EOS" not in done.stdout:
            told = [line for line in done.stderr.splitlines() if line.strip()]
            raise PlayingFailed(f"{element}: exit {done.returncode}\n" + "\n".join(told)[-3000:])
        streams = []
        if video.exists():
            streams.append(Stream("video", video.stat().st_size // (GRAY[0] * GRAY[1]), 0.0, 0.0, 0.0))
        if audio.exists():
            count = audio.stat().st_size // 2
            streams.append(Stream("audio", count, 0.0, count / AUDIO_RATE_HZ, 0.0))
        return Shown(streams, done.stderr)


@contextmanager
def on_disk(folder: Path) -> Iterator[Path]:
    """A copy of a folder that every user may read: VLC runs as nobody, and pytest's folders are their owner's alone."""
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        copy = Path(shutil.copytree(folder, Path(top) / "presentation"))
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield copy
