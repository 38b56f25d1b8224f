"""Delay that `evotools serve` adds: a frame's last byte into the RTMP port to its bytes out of the HTTP port."""

import os
import socket
import struct
import subprocess
import threading
import time
from statistics import quantiles

from bench.fanout import CONNECTS_PER_S
from bench.peers import serve_command
from bench.tools import child, compiled, free_port, sample, wait_port
from evotools.protocols.rtmp.client import ClientConnection
from evotools.protocols.rtmp.states import Client

FRAME_BYTES = 10_000
FRAMES_PER_S = 25
IDLE_MS = 5.0
LOADED_MS = 1000 / FRAMES_PER_S
NAME = "live/latency"


def _avc_header() -> bytes:
    """Body of the sample's H.264 sequence header tag."""
    data, at = sample().read_bytes(), 13
    while True:
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        body = data[at + 11 : at + 11 + size]
        if data[at] == 9 and body[1] == 0:
            return body
        at += 15 + size


def _open_publisher(port: int) -> tuple[socket.socket, ClientConnection]:
    sock = socket.create_connection(("127.0.0.1", port), 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client = ClientConnection(
        f"rtmp://127.0.0.1:{port}/live", "live", NAME.rpartition("/")[2], "publish", time.monotonic(), os.urandom
    )
    while client.state is not Client.PUBLISHING:
        sock.sendall(client.data_to_send())
        client.receive(sock.recv(65536), time.monotonic())
        while client.next_event() is not None:
            pass
    client.send_media(9, 0, (_avc_header(),))
    sock.sendall(client.data_to_send())
    return sock, client


def _publish(sock: socket.socket, client: ClientConnection, frames: int, sent: dict[int, float]) -> None:
    begun = time.monotonic()
    for n in range(frames):
        time.sleep(max(0.0, begun + n / FRAMES_PER_S - time.monotonic()))
        key = n % 50 == 0
        # Annex E.4.3: frame type and codec id, AVC NALU, composition time 0; one slice with the frame's number in it.
        nal = bytes((0x65 if key else 0x41,)) + b"MARK" + struct.pack(">I", n) * ((FRAME_BYTES - 5) // 4)
        head = bytes((0x17 if key else 0x27, 1, 0, 0, 0)) + struct.pack(">I", len(nal))
        client.send_media(9, n * 1000 // FRAMES_PER_S, (head, nal))
        data = client.data_to_send()
        sock.sendall(data)
        sent[n] = time.perf_counter()


def _read(port: int, got: dict[int, float], stop: threading.Event) -> None:
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(f"GET /{NAME}.flv HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        sock.settimeout(0.5)
        held = b""
        while not stop.is_set():
            try:
                data = sock.recv(1 << 20)
            except TimeoutError:
                continue
            now = time.perf_counter()
            if not data:
                return
            held += data
            while True:
                at = held.find(b"MARK")
                # A frame has arrived when all of it has.
                if at < 0 or len(held) < at + FRAME_BYTES - 2:
                    break
                got.setdefault(struct.unpack_from(">I", held, at + 4)[0], now)
                held = held[at + FRAME_BYTES - 2 :]


def measure(viewers: int, interval: str, seconds: float) -> list[float]:
    """Milliseconds of each frame in a run of `seconds`."""
    rtmp, http = free_port(), free_port()
    with child(*serve_command(rtmp, http, f"hub.flush_interval={interval}"), stdin=subprocess.DEVNULL,
               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # fmt: skip
        wait_port(rtmp, process)
        wait_port(http, process)
        sock, client = _open_publisher(rtmp)
        ramp_s = 2 + viewers / CONNECTS_PER_S
        sent: dict[int, float] = {}
        got: dict[int, float] = {}
        stop = threading.Event()
        pusher = threading.Thread(target=_publish, args=(sock, client, int((ramp_s + seconds) * FRAMES_PER_S), sent))
        pusher.start()
        time.sleep(0.5)
        reader = threading.Thread(target=_read, args=(http, got, stop))
        reader.start()
        load = None
        if viewers:
            command = [compiled("load"), "flv", str(http), f"/{NAME}.flv", str(viewers), str(CONNECTS_PER_S)]
            load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        pusher.join()
        time.sleep(0.3)
        stop.set()
        reader.join()
        if load is not None:
            load.kill()
            load.wait()
            if load.stdin is not None:
                load.stdin.close()
        sock.close()
    first = int(ramp_s * FRAMES_PER_S)
    return [(got[n] - sent[n]) * 1000 for n in sent if n >= first and n in got]


def run(quick: bool) -> None:
    """Print percentiles and verdicts."""
    seconds = 8.0 if quick else 20.0
    print("\nlatency added by serve, HTTP-FLV viewer, ms", flush=True)
    cases = ((0, "0", IDLE_MS), (0, "auto", IDLE_MS), (1000, "0", LOADED_MS), (1000, "auto", 0.0), (1000, "100ms", 0.0))
    for viewers, interval, limit in cases:
        values = measure(viewers, interval, seconds)
        if len(values) < seconds * FRAMES_PER_S / 2:
            print(
                f"  {viewers} other viewers, flush interval {interval}: only {len(values)} frames arrived", flush=True
            )
            continue
        cuts = quantiles(values, n=100)
        verdict = f" (p95 ≤ {limit:g}: {'held' if cuts[94] <= limit else 'MISSED'})" if limit else ""
        print(f"  {viewers} other viewers, flush interval {interval}: p50 {cuts[49]:.1f}, p95 {cuts[94]:.1f}, "
              f"p99 {cuts[98]:.1f}{verdict}", flush=True)  # fmt: skip
