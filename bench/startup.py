"""What people wait for: `--help`, and a server that takes its first publisher."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from bench.peers import serve_command
from bench.tools import child, cpu_s, free_port, publisher
from evotools.protocols.rtmp.client import ClientConnection
from evotools.protocols.rtmp.states import Client

HELP_CPU_MS = 100
FIRST_PUBLISH_S = 1.0
INGEST_CORE = 0.01


def _help(environment: dict[str, str]) -> float:
    """User and system CPU of `evotools --help`, in seconds."""
    program = Path(sys.executable).with_name("evotools")
    before = os.times()
    subprocess.run([str(program), "--help"], env=environment, stdout=subprocess.DEVNULL, check=True, timeout=30)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def _first_publish() -> float:
    """Seconds from starting `serve` until it accepted a publisher that tries from the beginning."""
    rtmp, http = free_port(), free_port()
    begun = time.monotonic()
    with child(*serve_command(rtmp, http), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
               stderr=subprocess.DEVNULL):  # fmt: skip
        while time.monotonic() - begun < 20:
            try:
                with socket.create_connection(("127.0.0.1", rtmp), 5) as sock:
                    _publish(sock, rtmp)
                return time.monotonic() - begun
            except ConnectionRefusedError:
                time.sleep(0.005)
    raise RuntimeError("nothing was published within 20 s")


def _publish(sock: socket.socket, port: int) -> None:
    """Speak RTMP until publishing is accepted."""
    url = f"rtmp://127.0.0.1:{port}/live"
    client = ClientConnection(url, "live", "first", "publish", time.monotonic(), os.urandom)
    while client.state is not Client.PUBLISHING:
        sock.sendall(client.data_to_send())
        data = sock.recv(65536)
        if not data:
            raise RuntimeError("serve refused the publisher")
        client.receive(data, time.monotonic())
        while client.next_event() is not None:
            pass


def ingest(seconds: float) -> tuple[float, float]:
    """Share of a core that `serve` takes idle, and with one 2 Mbit/s RTMP publisher and no viewer."""
    rtmp, http = free_port(), free_port()
    with child(*serve_command(rtmp, http), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
               stderr=subprocess.DEVNULL) as process:  # fmt: skip
        time.sleep(2)
        before = cpu_s(process.pid)
        time.sleep(seconds)
        idle = (cpu_s(process.pid) - before) / seconds
        with publisher(f"rtmp://127.0.0.1:{rtmp}/live/bench"):
            time.sleep(2)
            before = cpu_s(process.pid)
            time.sleep(seconds)
            return idle, (cpu_s(process.pid) - before) / seconds


def run(rounds: int) -> None:
    """Print medians and verdicts."""
    plain = {**os.environ, "NO_COLOR": "1", "TERM": "dumb"}
    _help(plain)  # compiled files and disk cache
    cpu_ms = median([_help(plain) for _ in range(rounds * 2)]) * 1000
    print(f"\nstart-up\n  evotools --help: {cpu_ms:.0f} ms CPU (≤ {HELP_CPU_MS}: "
          f"{'held' if cpu_ms <= HELP_CPU_MS else 'MISSED'})", flush=True)  # fmt: skip
    _first_publish()
    times = [_first_publish() for _ in range(rounds)]
    publish_s = median(times)
    print(f"  serve, start to first accepted publish: {publish_s:.2f} s, worst {max(times):.2f} s "
          f"(≤ {FIRST_PUBLISH_S:g}: {'held' if publish_s <= FIRST_PUBLISH_S else 'MISSED'})", flush=True)  # fmt: skip
    idle, busy = ingest(8)
    held = "held" if busy - idle <= INGEST_CORE else "MISSED"
    print(f"  serve idle: {idle:.2%} of a core; with one RTMP publisher {busy:.2%} "
          f"(≤ {INGEST_CORE:.0%} more: {held})", flush=True)  # fmt: skip
