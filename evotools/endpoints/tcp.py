"""`tcp://`: a container as a plain byte stream; connects, or waits for one peer."""

import asyncio

from evotools.endpoints.base import Context
from evotools.endpoints.bytestream import ByteSink, ByteSource
from evotools.endpoints.registry import SCHEMES
from evotools.errors import PeerGone, UsageError
from evotools.transport.tcp import accept_one, connect
from evotools.uri import Options, Uri

READ_SIZE = 256 * 1024
_OPTIONS = SCHEMES["tcp"].options


async def _open(uri: Uri, options: Options) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if uri.port is None:
        raise UsageError(f"{uri.redacted}: tcp needs a port", hint="tcp://HOST:PORT or tcp://:PORT")
    if uri.listens:
        return await accept_one(uri.host, uri.port, uri.redacted)
    return await connect(uri.host, uri.port, uri.redacted, options.seconds("timeout", 10.0))


class TcpSource(ByteSource):
    """Bytes from a TCP peer."""

    def __init__(self, uri: Uri, ctx: Context) -> None:
        super().__init__()
        self.uri = uri
        self._options = Options(uri, uri.options(_OPTIONS)[0])
        self.format = self._options.text("format")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Connect, or wait for a peer."""
        self._streams = await _open(self.uri, self._options)

    async def read_bytes(self) -> bytes:
        """What came."""
        assert self._streams is not None
        try:
            return await self._streams[0].read(READ_SIZE)
        except OSError as error:
            raise PeerGone(f"{self.uri.redacted}: {error.strerror or 'connection lost'}") from None

    async def close(self) -> None:
        """Close the connection."""
        await self.close_demuxer()
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class TcpSink(ByteSink):
    """Bytes to a TCP peer; the peer sets the pace."""

    reconnects = True

    def __init__(self, uri: Uri, ctx: Context) -> None:
        super().__init__()
        self.uri = uri
        self._options = Options(uri, uri.options(_OPTIONS)[0])
        self.format = self._options.text("format")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Connect, or wait for a peer."""
        self._streams = await _open(self.uri, self._options)

    async def write_bytes(self, data: bytes) -> None:
        """Send, waiting while the peer is slow."""
        assert self._streams is not None
        try:
            self._streams[1].write(data)
            await self._streams[1].drain()
        except OSError as error:
            raise PeerGone(f"{self.uri.redacted}: {error.strerror or 'connection lost'}") from None

    async def finish(self) -> None:
        """Send the trailer and close the sending side, so that the peer sees an end and no reset."""
        await self.finish_muxer()
        assert self._streams is not None
        writer = self._streams[1]
        try:
            if writer.can_write_eof():
                writer.write_eof()
            writer.close()
            await writer.wait_closed()
        except OSError:
            pass

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
