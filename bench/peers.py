"""The servers under comparison, each started for one run: the C floor, the bare hub, `evotools serve`, nginx-rtmp."""

import contextlib
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.tools import certificate, child, compiled, free_port, need, publisher, sample, temp_folder, wait_port

STREAM = "live/bench"
CONNECTS_PER_S = 400


@dataclass(frozen=True, slots=True)
class Served:
    """A running server with the stream on it, and how the load generator asks for it."""

    pid: int
    kind: str
    """`http`, `ws` or `rtmp`, as `load` names them."""
    port: int
    path: str
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One server in one setting."""

    name: str
    tick: str
    """`0`, `40`, `100`, `350` (ms), `auto`, or `-` for servers without one."""
    start: Callable[[], AbstractContextManager[Served]]
    everywhere: bool = True
    """Whether it runs at every number of viewers; others run at one."""
    kbps: int = 2000
    """Bit rate of the picture in the stream; another than this is a row of the comparison of bit rates."""
    optional: bool = False
    """Runs only when named."""
    program: str = ""
    """Whose case it is, when the name does not say."""


@dataclass(frozen=True, slots=True)
class Form:
    """How viewers read `evotools serve`."""

    name: str
    kind: str
    suffix: str = ""
    secure: bool = False


FLV = Form("HTTP-FLV", "http", ".flv")
RTMP = Form("RTMP", "rtmp")
FORMS = (
    FLV,
    RTMP,
    Form("HTTP-TS", "http", ".ts"),
    Form("WS-FLV", "ws", ".flv"),
    Form("WS-TS", "ws", ".ts"),
    Form("WS-MP4", "ws", ".mp4"),
    Form("HTTP-MP4", "http", ".mp4"),
    Form("HTTP-MKV", "http", ".mkv"),
)
SECURE = (
    Form("HTTPS-FLV", "http", ".flv", secure=True),
    Form("RTMPS", "rtmp", secure=True),
    Form("WSS-FLV", "ws", ".flv", secure=True),
)


def _port_line(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline().split()
    if len(line) != 2:
        raise RuntimeError(f"{process.args!r} did not start")
    return int(line[1])


@contextlib.contextmanager
def floor(tick: str, kbps: int = 2000) -> Iterator[Served]:
    """Single-threaded C, nothing but sends."""
    with child(compiled("floor"), str(sample(kbps)), tick, stdout=subprocess.PIPE) as process:
        yield Served(process.pid, "http", _port_line(process), "/live/bench.flv")


@contextlib.contextmanager
def prototype(tick: str, *flags: str) -> Iterator[Served]:
    """The hub and the flush tick alone."""
    interval = tick if tick == "auto" else str(int(tick) / 1000)
    with child(sys.executable, "-m", "bench.prototype", str(sample()), interval, *flags,
               stdout=subprocess.PIPE) as process:  # fmt: skip
        yield Served(process.pid, "http", _port_line(process), "/live/bench.flv")


@contextlib.contextmanager
def evotools(form: Form, tick: str, kbps: int = 2000) -> Iterator[Served]:
    """`evotools serve` with an RTMP publisher."""
    ports = {name: free_port() for name in ("rtmp", "http", "rtmps", "https")}
    with (
        temp_folder() as folder,
        (folder / "stderr").open("wb") as log,
        child(*serve_command(ports["rtmp"], ports["http"], *settings(form, tick, ports["rtmps"], ports["https"])),
              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log) as process,
    ):  # fmt: skip
        port = ports[("rtmp" if form.kind == "rtmp" else "http") + ("s" if form.secure else "")]
        for needed in {ports["rtmp"], port}:
            wait_port(needed, process)
        with publisher(f"rtmp://127.0.0.1:{ports['rtmp']}/{STREAM}", kbps):
            path = STREAM if form.kind == "rtmp" else f"/{STREAM}{form.suffix}"
            yield Served(process.pid, form.kind, port, path, form.secure)


def settings(form: Form, tick: str, rtmps: int = 1936, https: int = 8443) -> list[str]:
    """What `serve` is told for this case, beside its ports."""
    chosen = [f"hub.flush_interval={tick if tick in ('auto', '0') else f'{tick}ms'}"]
    if form.secure:
        cert, key = certificate()
        chosen += [f"tls.cert={cert}", f"tls.key={key}", f"rtmp.listen_tls=127.0.0.1:{rtmps}",
                   f"http.listen_tls=127.0.0.1:{https}"]  # fmt: skip
    return chosen


def serve_command(rtmp: int, http: int, *settings: str) -> list[str]:
    """The command line of a server on loopback that reads no configuration but this."""
    command = [sys.executable, "-m", "evotools", "--no-config", "serve"]
    for setting in (f"rtmp.listen=127.0.0.1:{rtmp}", f"http.listen=127.0.0.1:{http}", *settings):
        command += ["--set", setting]
    return command


def _nginx_config(folder: Path, port: int, extra: str) -> Path:
    modules = sorted(Path("/usr/lib/nginx/modules").glob("ngx_rtmp_module.so"))
    load_module = f"load_module {modules[0]};\n" if modules else ""
    config = folder / "nginx.conf"
    files = min(20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    config.write_text(
        f"{load_module}daemon off;\nworker_processes 1;\nworker_rlimit_nofile {files};\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/error.log warn;\nevents {{ worker_connections {files}; }}\n"
        f"rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; {extra} "
        f"application live {{ live on; }} }} }}\n"
    )
    return config


@contextlib.contextmanager
def nginx(kbps: int = 2000, extra: str = "") -> Iterator[Served]:
    """nginx-rtmp as Debian delivers it, one worker; whether it sets TCP_NODELAY is noted in the report."""
    port = free_port()
    with temp_folder() as folder:
        folder.chmod(0o755)
        config = _nginx_config(folder, port, extra)
        with child(need("nginx"), "-c", str(config), "-p", str(folder), stderr=subprocess.DEVNULL) as process:
            wait_port(port, process)
            with publisher(f"rtmp://127.0.0.1:{port}/{STREAM}", kbps):
                yield Served(process.pid, "rtmp", port, STREAM)


TICKS = ("0", "40", "100", "350")
RATES_KBPS = (600, 3000, 8000)
"""Beside the 2 Mbit/s of everything else: a phone's rendition, 720p and 1080p as they are usual."""


def all_cases() -> list[Case]:
    """Every case of the fan-out benchmark, peers between our own so that drift of the machine meets all alike."""
    cases: list[Case] = []
    for tick in (*TICKS, "auto"):
        if tick != "auto":
            cases.append(Case("floor", tick, partial(floor, tick)))
        cases.append(Case("hub alone", tick, partial(prototype, tick, "uvloop"), optional=True))
        for form in (*FORMS, *SECURE):
            every = form in (FLV, RTMP)
            rare = form.secure or form.name in ("WS-TS", "HTTP-MP4", "HTTP-MKV")
            if rare and tick not in ("40", "auto"):
                continue
            cases.append(Case(form.name, tick, partial(evotools, form, tick), everywhere=every, program="evotools"))
        if tick == "40":
            cases.append(Case("nginx-rtmp", "-", nginx))
    for kbps in RATES_KBPS:
        cases.append(Case("floor", "40", partial(floor, "40", kbps), everywhere=False, kbps=kbps))
        cases += [Case(form.name, "40", partial(evotools, form, "40", kbps), False, kbps, program="evotools")
                  for form in (FLV, RTMP)]  # fmt: skip
        cases.append(Case("nginx-rtmp", "-", partial(nginx, kbps), everywhere=False, kbps=kbps))
    return cases


def commands() -> list[str]:
    """The command lines of the servers, as a reader would repeat them."""
    return [
        "floor: bench/bin/floor bench/bin/sample.flv TICK_MS",
        "evotools: " + " ".join(["evotools", *serve_command(1935, 8080, *settings(FLV, "40"))[3:]]),
        "nginx: worker_processes 1; rtmp { access_log off; server { application live { live on; } } }",
        "publisher: ffmpeg -re -stream_loop -1 -i bench/bin/sample.flv -c copy -f flv -tcp_nodelay 1 rtmp://…/live/bench",
        f"viewers: bench/bin/load KIND PORT PATH N {CONNECTS_PER_S} [tls]",
    ]
