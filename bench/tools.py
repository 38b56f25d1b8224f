"""What all benchmarks share: the sample, compiled helpers, child processes and their CPU time."""

import contextlib
import importlib.metadata
import os
import platform
import resource
import shutil
import signal
import socket
import ssl
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
    """Path of the helper written in C, compiled when its source is newer; `load` with TLS where OpenSSL is there."""
    BIN.mkdir(exist_ok=True)
    source, target = HERE / f"{name}.c", BIN / name
    newest = max(source.stat().st_mtime, (HERE / "common.h").stat().st_mtime)
    if not target.exists() or target.stat().st_mtime < newest:
        part = target.with_name(f"{name}.{os.getpid()}")
        tls = ["-DTLS", "-lssl", "-lcrypto"] if name == "load" and has_openssl() else []
        subprocess.run([need("cc"), "-O2", "-Wall", "-Wextra", "-o", str(part), str(source), *tls], check=True)
        part.rename(target)
    return str(target)


def has_openssl() -> bool:
    """Whether programs can be compiled against OpenSSL here."""
    probe = [need("cc"), "-E", "-x", "c", "-"]
    return not subprocess.run(probe, input=b"#include <openssl/ssl.h>\n", capture_output=True, check=False).returncode


def certificate() -> tuple[Path, Path]:
    """A self-signed certificate for localhost (P-256, as public ones mostly are today) and its key."""
    cert, key = BIN / "cert.pem", BIN / "key.pem"
    if not cert.exists():
        BIN.mkdir(exist_ok=True)
        subprocess.run(
            [need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", str(key), "-out", str(cert), "-days", "3650", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
    return cert, key


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


def conditions() -> str:
    """What a figure must be quoted with: machine, kernel, versions, network."""
    cpu = "unknown CPU"
    with contextlib.suppress(OSError):
        found = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = found[0].partition(":")[2].strip() if found else cpu
    mhz = ""
    with contextlib.suppress(OSError):
        speeds = [float(line.partition(":")[2]) for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("cpu MHz")]  # fmt: skip
        mhz = f" at {speeds[0]:.0f} MHz" if speeds else ""
    return (
        f"{os.cpu_count()} CPUs {cpu}{mhz}, SMT {_system('devices/system/cpu/smt/control')}, governor "
        f"{_system('devices/system/cpu/cpu0/cpufreq/scaling_governor')}, load average {os.getloadavg()[0]:.1f}\n"
        f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}, "
        f"{_versions('evotools', 'uvloop', 'httptools', 'av')}, OpenSSL {ssl.OPENSSL_VERSION.split()[1]}\n"
        f"loopback (MTU {_system('class/net/lo/mtu')}), TCP {_sysctl('tcp_congestion_control')}, "
        f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]} files; {_tool('nginx', '-v')}, nginx-rtmp "
        f"{_tool('dpkg-query', '-Wf', '${Version}', 'libnginx-mod-rtmp')}; {_tool('ffmpeg', '-version')}"
    )


def _system(name: str) -> str:
    try:
        return (Path("/sys") / name).read_text().strip()
    except OSError:
        return "unknown"


def _sysctl(name: str) -> str:
    try:
        return (Path("/proc/sys/net/ipv4") / name).read_text().strip()
    except OSError:
        return "unknown"


def _versions(*packages: str) -> str:
    names = []
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            names.append(f"{package} {importlib.metadata.version(package)}")
    return ", ".join(names)


def _tool(program: str, *args: str) -> str:
    """The first words that a program says of itself."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/sbin")
    if path is None:
        return f"no {program}"
    done = subprocess.run([path, *args], capture_output=True, text=True, check=False, timeout=20)
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0].partition(" Copyright")[0].removeprefix("nginx version: ") if lines else program


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

    The scheduler's nanoseconds where the kernel counts them, and the ticks of /proc/PID/stat where those are more.
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
            # Threads that have ended (workers of io_uring, of pools) are only in the ticks.
            total += max(exact / 1e9, own) + (int(fields[13]) + int(fields[14])) / ticks
    return total


def rss_kb(pid: int) -> int:
    """Resident memory of a process and its descendants."""
    page_kb = os.sysconf("SC_PAGE_SIZE") // 1024
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            total += int((Path("/proc") / str(member) / "statm").read_text().split()[1]) * page_kb
    return total


def writes(pid: int) -> int:
    """Calls of write and writev by a process so far (not of send and its kin), 0 where the kernel does not tell."""
    with contextlib.suppress(OSError, StopIteration):
        lines = (Path("/proc") / str(pid) / "io").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("syscw")).split()[1])
    return 0


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
