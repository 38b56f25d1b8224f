"""Viewers that read what they get: one process, many connections, every frame through a demuxer.

`python -m tests.load.watching RTMP_PORT HTTP_PORT < JSON`: the first line of input lists [kind, name] pairs, kind being
`rtmp`, `flv`, `ts` or `ws`. Says "ready" when every viewer got a frame, and at the end of its input what they saw.
"""

import asyncio
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from evotools.containers.flv.demux import FlvDemuxer
from evotools.containers.flv.reader import TagReader
from evotools.containers.mpegts.demux import TsDemuxer
from evotools.media.frame import Event, Frame
from evotools.protocols.rtmp.client import ClientConnection
from evotools.protocols.rtmp.events import MediaMessage
from tests.commands.program import ENVIRONMENT
from tests.load.serving import REPO, Serving, say

CONNECTS_PER_S = 100
MAX_TOLD = 20


class Watchers:
    """The process, from the outside. Use it as a context manager; `end` gives one report per viewer."""

    def __init__(self, server: Serving, wanted: Sequence[tuple[str, str]]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.load.watching", str(server.rtmp), str(server.http)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=ENVIRONMENT, cwd=REPO,
        )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '"nothing"')
        assert answer == "ready", f"not every viewer got media: {answer}"

    def end(self) -> list[dict[str, Any]]:
        """What every viewer saw: `kind`, `name`, `frames`, `back` (times that ran backwards), `ahead_s` (the longest
        step of a track's time), `gap_s` (the longest wait), `closed` (why, or empty)."""
        out, _ = self._process.communicate(timeout=60)
        reports: list[dict[str, Any]] = json.loads(out)
        return reports

    def __enter__(self) -> "Watchers":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


class _Rtmp:
    """RTMP messages into events."""

    def __init__(self, port: int, name: str) -> None:
        app, _, stream = name.rpartition("/")
        url = f"rtmp://127.0.0.1:{port}/{app}"
        self.client = ClientConnection(url, app, stream, "play", time.monotonic(), os.urandom)
        self._reader = TagReader()

    def feed(self, data: bytes) -> list[Event]:
        self.client.receive(data, time.monotonic())
        events: list[Event] = []
        while (event := self.client.next_event()) is not None:
            if isinstance(event, MediaMessage) and event.type in (8, 9):
                read = self._reader.read_video if event.type == 9 else self._reader.read_audio
                events += read(event.payload, event.timestamp_ms & 0xFFFFFFFF)
        return events


class _WebSocket:
    """Binary messages of RFC 6455 5.2, unmasked as servers send them, into an FLV demuxer."""

    def __init__(self) -> None:
        self.out = b""
        self._held = bytearray()
        self._demuxer = FlvDemuxer()

    def feed(self, data: bytes) -> list[Event]:
        held, events = self._held, []
        held += data
        while len(held) >= 2:
            size, at = held[1] & 0x7F, 2
            if size >= 126:
                form = ">H" if size == 126 else ">Q"
                at += struct.calcsize(form)
                if len(held) < at:
                    break
                (size,) = struct.unpack_from(form, held, 2)
            if len(held) < at + size:
                break
            kind = held[0] & 0x0F
            if kind == 8:
                raise ConnectionError(f"closed by the server: {bytes(held[at : at + size])!r}")
            if kind == 9:
                # 5.5.3 and 5.3: the same data back, masked (with zero here). Who does not answer is taken for dead.
                self.out += bytes((0x8A, 0x80 | size, 0, 0, 0, 0)) + held[at : at + size]
            elif kind in (0, 2):
                events += self._demuxer.feed(bytes(held[at : at + size]))
            del held[: at + size]
        return events


class _Viewer(asyncio.Protocol):
    def __init__(self, kind: str, name: str, rtmp: int) -> None:
        self.kind = kind
        self.name = name
        self.frames = 0
        self.gap_s = 0.0
        self.ahead_s = 0.0
        self.back: list[tuple[int, float, float]] = []
        self.closed = ""
        self.last = 0.0
        self._times: dict[int, float] = {}
        self._head: bytes | None = None if kind == "rtmp" else b""
        self._rtmp = _Rtmp(rtmp, name) if kind == "rtmp" else None
        self._demuxer: Any = self._rtmp or {"flv": FlvDemuxer, "ts": TsDemuxer, "ws": _WebSocket}[kind]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        if self._rtmp is not None:
            transport.write(self._rtmp.client.data_to_send())  # type: ignore[attr-defined]
            return
        suffix = "flv" if self.kind == "ws" else self.kind
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" if self.kind == "ws" else ""  # fmt: skip
        self._transport.write(f"GET /{self.name}.{suffix} HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n".encode())

    def data_received(self, data: bytes) -> None:
        try:
            self._take(data)
        except Exception as error:
            self.closed = self.closed or f"{type(error).__name__}: {error}"
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = self.closed or f"closed: {exc}"

    def _take(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            head, blank, data = self._head.partition(b"\r\n\r\n")
            if not blank:
                return
            if head[9:12] != (b"101" if self.kind == "ws" else b"200"):
                raise ConnectionError(head.decode("latin-1"))
            self._head = None
        events = self._demuxer.feed(data)
        if self._rtmp is not None and (out := self._rtmp.client.data_to_send()):
            self._transport.write(out)
        elif isinstance(self._demuxer, _WebSocket) and self._demuxer.out:
            self._transport.write(self._demuxer.out)
            self._demuxer.out = b""
        times, now = self._times, time.monotonic()
        for event in events:
            if not isinstance(event, Frame):
                continue
            track = event.track.id
            at_s = event.dts / event.track.timescale
            before = times.get(track)
            if before is not None:
                if at_s < before:
                    self.back.append((track, before, at_s))
                elif at_s - before > self.ahead_s:
                    self.ahead_s = at_s - before
            times[track] = at_s
            if self.frames and now - self.last > self.gap_s:
                self.gap_s = now - self.last
            self.last = now
            self.frames += 1

    def report(self) -> dict[str, Any]:
        gap_s = max(self.gap_s, time.monotonic() - self.last)
        return {"kind": self.kind, "name": self.name, "frames": self.frames, "back": self.back[:MAX_TOLD],
                "ahead_s": self.ahead_s, "gap_s": gap_s, "closed": self.closed}  # fmt: skip


async def _main(rtmp: int, http: int) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    viewers: list[_Viewer] = []
    for kind, name in json.loads(await reader.readline()):
        viewer = _Viewer(kind, name, rtmp)
        viewers.append(viewer)
        await loop.create_connection(lambda viewer=viewer: viewer, "127.0.0.1", rtmp if kind == "rtmp" else http)  # type: ignore[misc]
        await asyncio.sleep(1 / CONNECTS_PER_S)
    deadline = time.monotonic() + 20
    while not all(viewer.frames for viewer in viewers) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    silent = [viewer.report() for viewer in viewers if not viewer.frames]
    say(silent[:3] or "ready")
    await reader.read()
    say([viewer.report() for viewer in viewers])


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
