"""Delay that `evotools serve` adds: from the last byte of a frame into the RTMP port to its last byte out of a viewer.

Three viewers are timed: the first, the middle and the last to be written to; the others are the load generator's.
"""

import os
import selectors
import socket
import struct
import subprocess
import threading
import time
from dataclasses import dataclass
from statistics import quantiles

from bench.fanout import load_command
from bench.peers import CONNECTS_PER_S, Served, serve_command
from bench.tools import child, free_port, sample, stop, wait_port
from evotools.protocols.rtmp.client import ClientConnection
from evotools.protocols.rtmp.events import MediaMessage
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


def _open_rtmp(port: int, role: str) -> tuple[socket.socket, ClientConnection]:
    """A connection that publishes, or has asked to play."""
    sock = socket.create_connection(("127.0.0.1", port), 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    app, _, stream = NAME.rpartition("/")
    url = f"rtmp://127.0.0.1:{port}/{app}"
    client = ClientConnection(
        url, app, stream, "publish" if role == "publish" else "play", time.monotonic(), os.urandom
    )
    wanted = Client.PUBLISHING if role == "publish" else Client.PLAYING
    while client.state is not wanted:
        sock.sendall(client.data_to_send())
        data = sock.recv(65536)
        if not data:
            raise RuntimeError("serve closed the connection")
        client.receive(data, time.monotonic())
        while client.state is not wanted and client.next_event() is not None:
            pass
    sock.sendall(client.data_to_send())
    return sock, client


def _publish(sock: socket.socket, client: ClientConnection, sent: dict[int, float], done: threading.Event) -> None:
    client.send_media(9, 0, (_avc_header(),))
    begun, n = time.monotonic(), 0
    while not done.is_set():
        time.sleep(max(0.0, begun + n / FRAMES_PER_S - time.monotonic()))
        key = n % 50 == 0
        # Annex E.4.3: frame type and codec id, AVC NALU, composition time 0; one slice with the frame's number in it.
        nal = bytes((0x65 if key else 0x41,)) + b"MARK" + struct.pack(">I", n) * ((FRAME_BYTES - 5) // 4)
        head = bytes((0x17 if key else 0x27, 1, 0, 0, 0)) + struct.pack(">I", len(nal))
        client.send_media(9, n * 1000 // FRAMES_PER_S, (head, nal))
        data = client.data_to_send()
        sent[n] = time.perf_counter()
        sock.sendall(data)
        n += 1


class _Viewer:
    """One timed viewer: `got[n]` is when the last byte of frame n had arrived."""

    def __init__(self, kind: str, port: int) -> None:
        self.got: dict[int, float] = {}
        self._client: ClientConnection | None = None
        self._held = b""
        if kind == "rtmp":
            self.sock, self._client = _open_rtmp(port, "play")
        else:
            self.sock = socket.create_connection(("127.0.0.1", port), 5)
            self.sock.sendall(f"GET /{NAME}.flv HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.sock.setblocking(False)

    def read(self) -> None:
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return
        now = time.perf_counter()
        if not data:
            raise RuntimeError("serve closed a timed viewer")
        client = self._client
        if client is not None:
            client.receive(data, time.monotonic())
            while (event := client.next_event()) is not None:
                if isinstance(event, MediaMessage) and event.type == 9:
                    self._take(event.payload, now)
            return
        self._held += data
        while True:
            at = self._held.find(b"MARK")
            # A frame has arrived when all of it has.
            if at < 0 or len(self._held) < at + FRAME_BYTES - 2:
                return
            self._take(self._held[at:], now)
            self._held = self._held[at + FRAME_BYTES - 2 :]

    def _take(self, data: bytes, now: float) -> None:
        at = data.find(b"MARK")
        if at >= 0:
            self.got.setdefault(struct.unpack_from(">I", data, at + 4)[0], now)


def _read(selector: selectors.BaseSelector, done: threading.Event) -> None:
    while not done.is_set():
        for key, _ in selector.select(0.2):
            key.data.read()


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds of each frame, by viewer in the order of joining, and how the others fared."""

    values: dict[str, list[float]]
    live: int

    @property
    def all(self) -> list[float]:
        """Of every timed viewer together."""
        return [value for values in self.values.values() for value in values]


def measure(kind: str, viewers: int, interval: str, seconds: float) -> Timed:
    """Delays in a run of `seconds` with so many viewers in all. `kind` is `http` (FLV) or `rtmp`."""
    rtmp, http = free_port(), free_port()
    done = threading.Event()
    loads: list[subprocess.Popen[bytes]] = []
    timed: dict[str, _Viewer] = {}
    sent: dict[int, float] = {}
    with child(*serve_command(rtmp, http, f"hub.flush_interval={interval}"), stdin=subprocess.DEVNULL,
               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # fmt: skip
        wait_port(rtmp, process)
        wait_port(http, process)
        sock, client = _open_rtmp(rtmp, "publish")
        threads = [threading.Thread(target=_publish, args=(sock, client, sent, done))]
        port, path = (rtmp, NAME) if kind == "rtmp" else (http, f"/{NAME}.flv")
        served = Served(process.pid, kind, port, path)
        selector = selectors.DefaultSelector()
        try:
            threads[0].start()
            time.sleep(0.5)
            threads.append(threading.Thread(target=_read, args=(selector, done)))
            threads[1].start()
            for place in ("first", "middle", "last") if viewers > 1 else ("only",):
                timed[place] = _Viewer(kind, port)
                selector.register(timed[place].sock, selectors.EVENT_READ, timed[place])
                if viewers > 3 and place != "last":
                    loads.append(
                        subprocess.Popen(load_command(served, (viewers - 3) // 2), stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, bufsize=0)
                    )  # fmt: skip
                    assert loads[-1].stdout is not None
                    loads[-1].stdout.readline()
            time.sleep(2)
            first = max(sent)
            time.sleep(seconds)
            live = len(timed)
            for load in loads:
                assert load.stdin is not None and load.stdout is not None
                load.stdin.write(b"e\n")
                live += int(load.stdout.readline().split(b'"live":')[1].split(b",")[0])
        finally:
            done.set()
            for thread in threads:
                thread.join()
            for load in loads:
                stop(load)
            for open_sock in (sock, *(viewer.sock for viewer in timed.values())):
                open_sock.close()
            selector.close()
    last = max(sent) - FRAMES_PER_S // 2
    return Timed({place: [(viewer.got[n] - sent[n]) * 1000 for n in sent if first <= n < last and n in viewer.got]
                  for place, viewer in timed.items()}, live)  # fmt: skip


def run(quick: bool) -> None:
    """Print percentiles and verdicts."""
    seconds = 6.0 if quick else 15.0
    print("\nlatency added by serve, ms: frame's last byte into the RTMP socket to its last byte out of a viewer\n"
          f"  one publisher, {FRAME_BYTES} bytes × {FRAMES_PER_S} a second; three viewers timed among the others "
          f"({CONNECTS_PER_S} joins/s), {seconds:g} s\n"
          f"  {'':8} {'viewers':>7} {'tick':>5}  {'p50':>6} {'p95':>6} {'p99':>6}   p50 of first, middle, last",
          flush=True)  # fmt: skip
    for kind, name in (("http", "HTTP-FLV"), ("rtmp", "RTMP")):
        for viewers in (1, 1000):
            for interval in ("0", "40ms", "auto"):
                timed = measure(kind, viewers, interval, seconds)
                line = f"  {name:8} {viewers:7} {interval:>5}"
                values = timed.all
                if timed.live < viewers - 1 or len(values) < 0.8 * len(timed.values) * seconds * FRAMES_PER_S:
                    print(f"{line}  NOT VALID: {timed.live} viewers, {len(values)} frames", flush=True)
                    continue
                cuts = quantiles(values, n=100)
                limit = 0.0 if interval == "40ms" else IDLE_MS if viewers == 1 else LOADED_MS if interval == "0" else 0
                verdict = f"   p95 ≤ {limit:g}: {'held' if cuts[94] <= limit else 'MISSED'}" if limit else ""
                each = " ".join(f"{quantiles(values, n=2)[0]:6.2f}" for values in timed.values.values())
                print(f"{line}  {cuts[49]:6.2f} {cuts[94]:6.2f} {cuts[98]:6.2f}   {each:20}{verdict}", flush=True)
