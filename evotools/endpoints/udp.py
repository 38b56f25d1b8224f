"""`udp://`: MPEG-TS in datagrams, unicast and multicast."""

import asyncio

from evotools.endpoints.base import Context
from evotools.endpoints.bytestream import ByteSink, ByteSource
from evotools.endpoints.registry import SCHEMES
from evotools.errors import UsageError
from evotools.log import Throttle, get_logger
from evotools.transport.udp import UdpReceiver, UdpSender
from evotools.uri import Options, Uri

log = get_logger("endpoints.udp")

TS_PACKET = 188
DATAGRAM = 7 * TS_PACKET
"""Seven packets: the most that fit an Ethernet frame of 1500 bytes."""
BURST = 24
"""Datagrams sent back to back. A key frame at once would overflow the receiver's default socket buffer (208 KiB on
Linux); one millisecond between bursts still carries 250 Mbit/s."""
BURST_GAP_S = 0.001
_OPTIONS = SCHEMES["udp"].options


def _options(uri: Uri) -> Options:
    if not uri.port:
        raise UsageError(f"{uri.redacted}: udp needs a port", hint="udp://HOST:PORT, or udp://:PORT to listen")
    return Options(uri, uri.options(_OPTIONS)[0])


class UdpSource(ByteSource):
    """Datagrams that arrive at an address: any, a local one, or a multicast group."""

    def __init__(self, uri: Uri, ctx: Context) -> None:
        super().__init__()
        self.uri = uri
        self._options = _options(uri)
        self._receiver: UdpReceiver | None = None
        self._throttle = Throttle(log, f"{uri.redacted}: {{n}} datagrams dropped, reading too slowly")

    async def open(self) -> None:
        """Bind."""
        self._receiver = receiver = UdpReceiver()
        await receiver.open(
            "" if self.uri.host == "*" else self.uri.host, self.uri.port or 0, self.uri.redacted,
            iface=self._options.text("iface"), buffer_size=self._options.size("buffer_size", 0),
        )  # fmt: skip

    async def read_bytes(self) -> bytes:
        """All datagrams that came, joined."""
        assert self._receiver is not None
        datagrams = await self._receiver.read()
        if self._receiver.dropped:
            self._throttle.hit(self._receiver.dropped)
            self._receiver.dropped = 0
        return b"".join(datagrams)

    async def close(self) -> None:
        """Close the socket."""
        await self.close_demuxer()
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None


class UdpSink(ByteSink):
    """Datagrams of whole TS packets."""

    realtime = True
    reconnects = True
    may_fall_back = False

    def __init__(self, uri: Uri, ctx: Context) -> None:
        super().__init__()
        self.uri = uri
        if uri.listens:
            raise UsageError(f"{uri.redacted}: sending needs a host", hint="udp://HOST:PORT")
        self._options = _options(uri)
        size = self._options.integer("packet_size", DATAGRAM, TS_PACKET, 65507)
        self._size = size - size % TS_PACKET
        self._sender: UdpSender | None = None

    async def open(self) -> None:
        """Open the socket."""
        if self.format and self._format() != "ts":
            raise UsageError(f"{self.uri.redacted}: udp carries MPEG-TS only", hint="leave -f away")
        self._sender = sender = UdpSender()
        await sender.open(
            self.uri.host, self.uri.port or 0, self.uri.redacted,
            iface=self._options.text("iface"), ttl=self._options.integer("ttl", 0, 0, 255),
        )  # fmt: skip

    async def write_bytes(self, data: bytes) -> None:
        """Send the packets of one batch, with pauses inside large bursts."""
        assert self._sender is not None
        view = memoryview(data)
        for number, start in enumerate(range(0, len(view), self._size), 1):
            await self._sender.send(view[start : start + self._size])
            if number % BURST == 0:
                await asyncio.sleep(BURST_GAP_S)

    async def finish(self) -> None:
        """Send what the muxer still holds."""
        await self.finish_muxer()

    async def close(self) -> None:
        """Close the socket."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None
