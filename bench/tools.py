"""What all benchmarks share: the sample, compiled helpers, child processes and their CPU time."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
BIN = HERE / "bin"
SAMPLE_S = 20


def raise_file_limit() -> int:
    """Allow as many open files as the system lets us; returns the number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def need(program: str) -> str:
    """Path of a foreign program, or an end with what to install."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/sbin")
    if path is None:
        sys.exit(f"bench: {program} is not installed; `tests/install-peers.sh` as root installs it")
    return path


def compiled(name: str) -> str:
    """Path of the helper written in C, compiled when its source is newer."""
    BIN.mkdir(exist_ok=True)
    source, target = HERE / f"{name}.c", BIN / name
    newest = max(source.stat().st_mtime, (HERE / "common.h").stat().st_mtime)
    if not target.exists() or target.stat().st_mtime < newest:
        subprocess.run([need("cc"), "-O2", "-Wall", "-Wextra", "-o", str(target), str(source)], check=True)
    return str(target)


def sample(kbps: int = 2000) -> Path:
    """2 Mbit/s H.264 720p25 without B-frames, a key frame every 2 s, and 128 kbit/s AAC, as FLV."""
    path = BIN / ("sample.flv" if kbps == 2000 else f"sample-{kbps}.flv")
    if not path.exists():
        BIN.mkdir(exist_ok=True)
        part = path.with_suffix(".part")
        subprocess.run(
            [need("ffmpeg"), "-hide_banner", "-loglevel", "error", "-y",
             "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25,noise=alls=20:allf=t",
             "-f", "lavfi", "-i", "aevalsrc=0.2*sin(880*t)|0.2*sin(440*t)+0.1*random(0):s=44100",
             "-t", str(SAMPLE_S), "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "0",
             "-b:v", f"{kbps}k", "-minrate", f"{kbps}k", "-maxrate", f"{kbps}k", "-bufsize", f"{kbps // 2}k",
             "-x264-params", "nal-hrd=cbr",
             "-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-c:a", "aac", "-b:a", "128k",
             "-f", "flv", str(part)],
            check=True, timeout=300,
        )  # fmt: skip
        part.rename(path)
    return path


def free_port() -> int:
    """A TCP port that nobody uses on loopback just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_port(port: int, process: subprocess.Popen[Any], timeout_s: float = 20) -> None:
    """Wait until somebody listens."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens on port {port}")


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += parents.get(found[-1], [])
    return found


def cpu_s(pid: int) -> float:
    """User and system time of a process, its threads and its descendants, living and waited for.

    The scheduler's nanoseconds where the kernel counts them, else the ticks of /proc/PID/stat.
    """
    total = 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    for member in family(pid):
        base = Path("/proc") / str(member)
        with contextlib.suppress(OSError):
            fields = (base / "stat").read_text().rpartition(")")[2].split()
            own = (int(fields[11]) + int(fields[12])) / ticks
            exact = 0
            with contextlib.suppress(OSError, ValueError):
                exact = sum(int((task / "schedstat").read_text().split()[0]) for task in (base / "task").iterdir())
            total += (exact / 1e9 or own) + (int(fields[13]) + int(fields[14])) / ticks
    return total


def rss_kb(pid: int) -> int:
    """Resident memory of a process and its descendants."""
    page_kb = os.sysconf("SC_PAGE_SIZE") // 1024
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            total += int((Path("/proc") / str(member) / "statm").read_text().split()[1]) * page_kb
    return total


def stop(process: subprocess.Popen[Any]) -> None:
    """End a child and wait for it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


@contextlib.contextmanager
def child(*command: str, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A child process that ends with the block."""
    process = subprocess.Popen(list(command), **options)
    try:
        yield process
    finally:
        stop(process)


@contextlib.contextmanager
def publisher(url: str, kbps: int = 2000) -> Iterator[subprocess.Popen[Any]]:
    """ffmpeg pushes the sample to `url` over and over, in real time, without touching the media.

    With TCP_NODELAY, so that frames come one by one and a server that forwards each at once is seen doing so.
    """
    with child(need("ffmpeg"), "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-stream_loop", "-1",
               "-i", str(sample(kbps)), "-c", "copy", "-f", "flv", "-tcp_nodelay", "1", url, stdout=subprocess.DEVNULL,
               stderr=subprocess.DEVNULL) as process:  # fmt: skip
        yield process


@contextlib.contextmanager
def temp_folder() -> Iterator[Path]:
    """A folder that goes with the block."""
    with tempfile.TemporaryDirectory(prefix="evotools-bench-") as name:
        yield Path(name)


def spread(values: list[float]) -> str:
    """Median and range in one short text."""
    return f"{median(values):.0f} ({min(values):.0f}–{max(values):.0f})"
