"""The measured constants of `calc-hardware`: bytes of containers, and what publishers, forms and requests cost.

Prints them under their names in evotools/capacity/profiles.py. Not a comparison, so no verdicts; what viewers of live
streams cost is the part `fanout`, and here only its slope over the bit rate.
"""

import contextlib
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from statistics import linear_regression, median

from bench import fanout
from bench.peers import Served, serve_command
from bench.tools import child, cpu_s, free_port, need, publisher, rss_kb, sample, wait_port
from evotools.containers.base import Muxer
from evotools.containers.flv.demux import FlvDemuxer
from evotools.containers.flv.mux import FlvMuxer
from evotools.containers.mp4.mux import Fmp4Muxer
from evotools.containers.mpegts.mux import TsMuxer
from evotools.media.frame import Frame, Tracks
from evotools.protocols.rtmp.mux import RtmpMuxer

RATES_KBPS = (400, 2000, 6000)
PUBLISHERS = 10
CONNECTIONS = 16
SEGMENT_S = 2.0
MUXERS: dict[str, Callable[[], Muxer]] = {
    "rtmp": lambda: RtmpMuxer(1, 4096), "flv": FlvMuxer, "ts": TsMuxer, "hls-fmp4": Fmp4Muxer,
    "ll-hls": lambda: Fmp4Muxer(0.5),
}  # fmt: skip


def run(quick: bool) -> None:
    """Everything, in minutes."""
    rates = (2000,) if quick else RATES_KBPS
    containers()
    for kbps in rates:
        streams(kbps)
    for kbps in rates:
        requests(kbps)
    if not quick:
        viewers()


def containers() -> None:
    """`container_percent` and `container_bps`: bytes of each muxer for the same frames, as a line over the rate."""
    print("\ncontainers: bits for bits of media")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in MUXERS}
    for kbps in RATES_KBPS:
        demuxer = FlvDemuxer()
        events = demuxer.feed(sample(kbps).read_bytes()) + demuxer.flush()
        frames = [e for e in events if isinstance(e, Frame)]
        tracks = [e for e in events if isinstance(e, Tracks)][-1].tracks
        span_s = max(f.dts_s for f in frames) + 0.04
        media = sum(len(f.payload) for f in frames) * 8 / span_s
        for name, make in MUXERS.items():
            muxer = make()
            size = len(muxer.start(tracks)) + sum(len(muxer.write(f)) for f in frames) + len(muxer.finish())
            found[name].append((media, size * 8 / span_s))
    for name, points in found.items():
        line = linear_regression([p[0] for p in points], [p[1] for p in points])
        print(f"  {name:9} container_percent {100 * (line.slope - 1):5.2f}  container_bps {line.intercept:8.0f}")


@contextlib.contextmanager
def _server() -> Iterator[tuple[int, int, int]]:
    """`evotools serve`: pid, RTMP port, HTTP port."""
    rtmp, http = free_port(), free_port()
    with child(*serve_command(rtmp, http), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
               stderr=subprocess.DEVNULL) as process:  # fmt: skip
        wait_port(rtmp, process)
        wait_port(http, process)
        yield process.pid, rtmp, http


def streams(kbps: int) -> None:
    """`cpu_us_per_publisher`, `cpu_us_per_stream`, `ram_s`: what publishers, then a first viewer of each form, add."""
    bytes_s = sample(kbps).stat().st_size / 20
    print(f"\n{PUBLISHERS} publishers of {bytes_s * 8e-6:.2f} Mbit/s: what each adds")
    with _server() as (pid, rtmp, http), contextlib.ExitStack() as stack:
        time.sleep(2)
        last = (0.0, 0.0)

        def tell(name: str) -> None:
            nonlocal last
            before, begun = cpu_s(pid), time.monotonic()
            time.sleep(5)
            now = (rss_kb(pid) * 1024.0, (cpu_s(pid) - before) / (time.monotonic() - begun) * 1e6)
            size, us = (now[0] - last[0]) / PUBLISHERS, (now[1] - last[1]) / PUBLISHERS
            seconds = "" if name == "server" else f" = {size / bytes_s:5.1f} s of it"
            print(
                f"  {name:10} {size * (PUBLISHERS if name == 'server' else 1) / 1e6:6.2f} MB{seconds}, {us:6.0f} µs/s"
            )
            last = now

        tell("server")
        for number in range(PUBLISHERS):
            stack.enter_context(publisher(f"rtmp://127.0.0.1:{rtmp}/live/s{number}", kbps))
        time.sleep(25)
        tell("publisher")
        for form in ("flv", "ts"):
            for number in range(PUBLISHERS):
                _watch(http, f"/live/s{number}.{form}")
            time.sleep(20)
            tell(form)
        for number in range(PUBLISHERS):
            stack.enter_context(
                child(need("ffmpeg"), "-loglevel", "error", "-i", f"rtmp://127.0.0.1:{rtmp}/live/s{number}",
                      "-c", "copy", "-f", "null", "-", stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )  # fmt: skip
        time.sleep(20)
        tell("rtmp")
        for _ in range(3):  # the window fills while somebody asks
            for number in range(PUBLISHERS):
                with socket.create_connection(("127.0.0.1", http)) as sock:
                    _get(sock, f"/live/s{number}/media.m3u8")
            time.sleep(15)
        tell("hls")


def _watch(port: int, path: str) -> None:
    """A viewer on a thread of its own, to the end of the server."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    def drain() -> None:
        with contextlib.suppress(OSError):
            while sock.recv(1 << 20):
                pass

    threading.Thread(target=drain, daemon=True).start()


def _get(sock: socket.socket, path: str) -> bytes:
    """The body of a response over a kept connection."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536) or _ended()
    head, _, rest = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    if length is None or b" 200 " not in head[:20]:
        raise RuntimeError(f"{path}: {head!r}")
    body = bytearray(rest)
    while len(body) < int(length[1]):
        body += sock.recv(1 << 20) or _ended()
    return bytes(body)


def _ended() -> bytes:
    raise RuntimeError("the server closed the connection")


def requests(kbps: int) -> None:
    """`hls.cpu_us_per_viewer` and its slope: a playlist and a segment, and both every two seconds."""
    with _server() as (pid, rtmp, http), publisher(f"rtmp://127.0.0.1:{rtmp}/live/bench", kbps):
        folder = "/live/bench"
        time.sleep(3)
        with socket.create_connection(("127.0.0.1", http)) as sock:
            _get(sock, f"{folder}/media.m3u8")
        time.sleep(12)
        before, begun = cpu_s(pid), time.monotonic()
        time.sleep(3)
        idle = (cpu_s(pid) - before) / (time.monotonic() - begun)
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(socket.create_connection(("127.0.0.1", http))) for _ in range(CONNECTIONS)]

            def cost(times: int, path: Callable[[], str]) -> tuple[float, float]:
                before, begun, size, target = cpu_s(pid), time.monotonic(), 0, ""
                for number in range(times):
                    target = path() if number % 100 == 0 else target
                    size += len(_get(socks[number % CONNECTIONS], target))
                span = time.monotonic() - begun
                return (cpu_s(pid) - before - idle * span) / times * 1e6, size / times

            def newest() -> str:
                lines = _get(socks[0], f"{folder}/media.m3u8").decode().split()
                return f"{folder}/{[line for line in lines if line.endswith('.ts')][-1]}"

            playlist = median(cost(4000, lambda: f"{folder}/media.m3u8")[0] for _ in range(3))
            tries = [cost(2000, newest) for _ in range(3)]
        segment, size = median(us for us, _ in tries), tries[0][1]
        print(f"\nHLS: a playlist {playlist:.0f} µs, a segment of {size / 1e3:.0f} kB {segment:.0f} µs; "
              f"a viewer {(playlist + segment) / SEGMENT_S:.0f} µs/s")  # fmt: skip


def viewers() -> None:
    """`cpu_us_per_viewer_mbit`: 1000 viewers of HTTP-FLV at each rate, flush interval auto."""
    print("\n1000 viewers of HTTP-FLV, flush interval auto")
    points = []
    for kbps in RATES_KBPS:
        with _server() as (pid, rtmp, http), publisher(f"rtmp://127.0.0.1:{rtmp}/live/bench", kbps):
            served = Served(pid, "http", http, "/live/bench.flv")
            result = fanout.measure(served, 1000, 3, 5)
        points.append((sample(kbps).stat().st_size / 20 * 8e-6, result.server_us))
        print(f"  {points[-1][0]:.2f} Mbit/s: {result.server_us:.0f} µs, {result.dead} dead")
    line = linear_regression([p[0] for p in points], [p[1] for p in points])
    print(f"  cpu_us_per_viewer {line.intercept:.0f}, cpu_us_per_viewer_mbit {line.slope:.1f}")
