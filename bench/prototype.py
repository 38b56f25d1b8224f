"""The hub and its flush tick with nothing around them: an HTTP-FLV server that reads and paces a file itself.

Compared with the C floor it shows what feeds and viewers cost; compared with `serve`, what everything else does.

usage: python -m bench.prototype FILE.flv INTERVAL [uvloop]     (INTERVAL: seconds, 0 or auto)
"""

import asyncio
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from bench.tools import raise_file_limit
from evotools.containers.flv.demux import FlvDemuxer
from evotools.containers.flv.mux import FlvMuxer
from evotools.hub.hub import Hub, Publication
from evotools.hub.stream import PublisherInfo
from evotools.hub.viewer import Closed, Viewer
from evotools.media.frame import Event, Frame
from evotools.transport.flush import Flusher

STREAM = "live/bench"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nConnection: close\r\n\r\n"


class Client(asyncio.Protocol):
    """Any request gets the stream."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._transport: asyncio.Transport | None = None
        self._viewer: Viewer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass of asyncio's

    def data_received(self, data: bytes) -> None:
        transport, stream = self._transport, self._hub.find(STREAM)
        if transport is None or stream is None or self._viewer is not None:
            return
        transport.write(HEAD)
        now = self._hub.clock()
        feed = stream.feed("flv", FlvMuxer, now=now)
        self._viewer = feed.join(transport.write, transport.get_write_buffer_size, now=now, on_close=self._closed)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._viewer is not None:
            self._viewer.leave()

    def _closed(self, why: Closed) -> None:
        if self._transport is not None:
            self._transport.close()


def tags(data: bytes) -> Iterator[bytes]:
    """The file header with the first tag, then each tag."""
    begin, at = 0, 13
    while at + 15 <= len(data):
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
        yield data[begin:at]
        begin = at


def repeated(path: Path) -> Iterator[tuple[float, Event]]:
    """Every event of the file with its time, over and over on one clock."""
    data = path.read_bytes()
    offset = 0.0
    while True:
        demuxer = FlvDemuxer()
        end = 0.0
        for tag in tags(data):
            for event in demuxer.feed(tag):
                if isinstance(event, Frame):
                    end = max(end, event.dts_s + 0.04)
                    shift = round(offset * event.track.timescale)
                    event = event.shifted(event.track, event.dts + shift, event.pts + shift)
                    yield event.dts_s, event
                else:
                    yield offset, event
        offset += end


async def pace(publication: Publication, path: Path) -> None:
    """Push the events of the file when their time comes."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for at, event in repeated(path):
        wait = start + at - loop.time()
        if wait > 0.001:
            await asyncio.sleep(wait)
        publication.push((event,), loop.time())


async def serve(path: Path, interval: str) -> None:
    """Run until the process is ended."""
    loop = asyncio.get_running_loop()
    hub = Hub(loop.time)
    Flusher(hub, "auto" if interval == "auto" else float(interval))
    publication = hub.publish(STREAM, PublisherInfo("file", str(path)))
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print("port", listener.getsockname()[1], flush=True)
        await loop.create_server(lambda: Client(hub), sock=listener, backlog=1024)
        await pace(publication, path)


if __name__ == "__main__":
    raise_file_limit()
    if "uvloop" in sys.argv[3:]:
        import uvloop

        uvloop.install()
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2]))
