"""The servers under comparison, each started for one run: the C floor, the bare hub, `evotools serve`, nginx-rtmp."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bench.tools import child, compiled, free_port, need, publisher, sample, temp_folder, wait_port

STREAM = "live/bench"


@dataclass(frozen=True, slots=True)
class Served:
    """A running server with the stream on it, and how the load generator asks for it."""

    pid: int
    kind: str
    """`flv` or `rtmp`, as `load` names them."""
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Case:
    """One server in one setting."""

    name: str
    tick: str
    """`0`, `40`, `100` (ms), `auto`, or `-` for servers without one."""
    start: Callable[[], AbstractContextManager[Served]]


def _port_line(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline().split()
    if len(line) != 2:
        raise RuntimeError(f"{process.args!r} did not start")
    return int(line[1])


@contextlib.contextmanager
def floor(tick: str) -> Iterator[Served]:
    """Single-threaded C, nothing but sends."""
    with child(compiled("floor"), str(sample()), tick, stdout=subprocess.PIPE) as process:
        yield Served(process.pid, "flv", _port_line(process), "/live/bench.flv")


@contextlib.contextmanager
def prototype(tick: str, *flags: str) -> Iterator[Served]:
    """The hub and the flush tick alone."""
    interval = tick if tick == "auto" else str(int(tick) / 1000)
    with child(sys.executable, "-m", "bench.prototype", str(sample()), interval, *flags,
               stdout=subprocess.PIPE) as process:  # fmt: skip
        yield Served(process.pid, "flv", _port_line(process), "/live/bench.flv")


@contextlib.contextmanager
def evotools(kind: str, tick: str) -> Iterator[Served]:
    """`evotools serve` with an RTMP publisher."""
    rtmp, http = free_port(), free_port()
    interval = tick if tick in ("auto", "0") else f"{tick}ms"
    with (
        temp_folder() as folder,
        (folder / "stderr").open("wb") as log,
        child(*serve_command(rtmp, http, f"hub.flush_interval={interval}"), stdin=subprocess.DEVNULL,
              stdout=subprocess.DEVNULL, stderr=log) as process,
    ):  # fmt: skip
        wait_port(rtmp, process)
        wait_port(http, process)
        with publisher(f"rtmp://127.0.0.1:{rtmp}/{STREAM}"):
            yield Served(process.pid, kind, rtmp if kind == "rtmp" else http,
                         STREAM if kind == "rtmp" else f"/{STREAM}.flv")  # fmt: skip


def serve_command(rtmp: int, http: int, *settings: str) -> list[str]:
    """The command line of a server on loopback that reads no configuration but this."""
    command = [sys.executable, "-m", "evotools", "serve"]
    for setting in (f"rtmp.listen=127.0.0.1:{rtmp}", f"http.listen=127.0.0.1:{http}", *settings):
        command += ["--set", setting]
    return command


def _nginx_config(folder: Path, port: int, extra: str) -> Path:
    modules = sorted(Path("/usr/lib/nginx/modules").glob("ngx_rtmp_module.so"))
    load_module = f"load_module {modules[0]};\n" if modules else ""
    config = folder / "nginx.conf"
    config.write_text(
        f"{load_module}daemon off;\nworker_processes 1;\nworker_rlimit_nofile 20000;\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/error.log warn;\nevents {{ worker_connections 20000; }}\n"
        f"rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; {extra} "
        f"application live {{ live on; }} }} }}\n"
    )
    return config


@contextlib.contextmanager
def nginx(extra: str = "") -> Iterator[Served]:
    """nginx-rtmp as Debian delivers it, one worker; whether it sets TCP_NODELAY is noted in the report."""
    port = free_port()
    with temp_folder() as folder:
        folder.chmod(0o755)
        config = _nginx_config(folder, port, extra)
        with child(need("nginx"), "-c", str(config), "-p", str(folder), stderr=subprocess.DEVNULL) as process:
            wait_port(port, process)
            with publisher(f"rtmp://127.0.0.1:{port}/{STREAM}"):
                yield Served(process.pid, "rtmp", port, STREAM)


TICKS = ("0", "40", "100")


def all_cases() -> list[Case]:
    """Every case of the fan-out benchmark, peers between our own so that drift of the machine meets all alike."""
    cases: list[Case] = []
    for tick in TICKS:
        cases.append(Case("floor", tick, lambda tick=tick: floor(tick)))  # type: ignore[misc]
        cases.append(Case("hub alone", tick, lambda tick=tick: prototype(tick, "uvloop")))  # type: ignore[misc]
        cases.append(Case("evotools FLV", tick, lambda tick=tick: evotools("flv", tick)))  # type: ignore[misc]
        cases.append(Case("evotools RTMP", tick, lambda tick=tick: evotools("rtmp", tick)))  # type: ignore[misc]
    cases.append(Case("hub alone", "auto", lambda: prototype("auto", "uvloop")))
    cases.append(Case("evotools FLV", "auto", lambda: evotools("flv", "auto")))
    cases.append(Case("evotools RTMP", "auto", lambda: evotools("rtmp", "auto")))
    cases.append(Case("nginx-rtmp", "-", nginx))
    return cases
