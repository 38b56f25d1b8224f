"""A stored resource behind HTTP, read at any place: by ranges, with one connection while reads follow one another."""

import asyncio
from concurrent.futures import Future
from typing import Final

from evotools.errors import EvotoolsError, MediaError, PeerGone
from evotools.protocols.http1_client import content_range
from evotools.transport.http_client import Exchange, HttpClient, refusal

SKIP_BYTES: Final = 1 << 20
"""A gap that is read and thrown away: about what a new connection costs in time on a line of 100 Mbit/s."""
KEPT_BYTES: Final = 1 << 20
"""Bytes in front of the present place that stay for reads that step back a little, and the beginning of the file."""
ATTEMPTS: Final = 3
"""Connections in a row that may break without a byte before reading gives up."""


class HttpFile:
    """Reads a file of known size. `read_at` is for one other thread; `close` ends what it waits for."""

    def __init__(self, client: HttpClient, exchange: Exchange, head: bytes, size: int) -> None:
        """`exchange` has given `head` so far, from the first byte on."""
        self.size = size
        self._client = client
        self._exchange: Exchange | None = exchange
        self._address = exchange.address
        etag = exchange.head.fields.get("etag", "") if exchange.head is not None else ""
        # RFC 9110 13.1.5: a weak one does not vouch for bytes.
        self._etag = "" if etag.startswith("W/") else etag
        self._loop = asyncio.get_running_loop()
        self._first = head[:KEPT_BYTES]
        self._buffer = bytearray(head)
        self._start = 0
        """Place of the first byte of the buffer; the exchange goes on at its end."""
        self._task: Future[bytes] | None = None
        self._closed = False
        self.requests = 1

    def read_at(self, offset: int, length: int) -> bytes:
        """Bytes at a place, fewer only at the end. For a thread other than the loop's. Raises as `read`."""
        if self._closed:
            raise PeerGone(f"{self._client.settings.name}: closed")
        task = self._task = asyncio.run_coroutine_threadsafe(self.read(offset, length), self._loop)
        if self._closed:
            task.cancel()
        return task.result()

    async def read(self, offset: int, length: int) -> bytes:
        """Bytes at a place, fewer only at the end. Raises what `HttpClient.get` raises; MediaError when it changed."""
        end = min(offset + length, self.size)
        if end <= offset:
            return b""
        if end <= len(self._first):
            return self._first[offset:end]
        failures = 0
        failure: EvotoolsError
        while True:
            at = self._start + len(self._buffer)
            if self._start <= offset and end <= at:
                first = offset - self._start
                return bytes(memoryview(self._buffer)[first : end - self._start])
            if self._exchange is None or not self._start <= offset <= at + SKIP_BYTES:
                # What is there already of what is wanted stays.
                resume = at if self._start <= offset <= at else offset
                await self._seek(resume)
                at = self._start + len(self._buffer)
            assert self._exchange is not None
            try:
                data = await self._exchange.read()
            except EvotoolsError as error:
                data, failure = b"", error
            else:
                failure = PeerGone(f"{self._client.settings.name}: the server sent less than it promised")
            if data:
                failures = 0
                self._buffer += data
                self._trim(offset)
            else:
                self._drop()
                failures += 1
                if failures >= ATTEMPTS:
                    raise failure

    def _trim(self, offset: int) -> None:
        """Forget what lies far in front of `offset`."""
        spare = min(offset - self._start, len(self._buffer)) - KEPT_BYTES
        if spare > KEPT_BYTES:
            del self._buffer[:spare]
            self._start += spare

    def _drop(self) -> None:
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None

    async def _seek(self, offset: int) -> None:
        self._drop()
        name = self._client.settings.name
        self.requests += 1
        exchange = await self._client.get(offset, self._etag, self._address)
        head = exchange.head
        assert head is not None
        try:
            if head.status not in (200, 206):
                raise await refusal(exchange, head, name)
            got = content_range(head.fields.get("content-range", "")) if head.status == 206 else (0, 0, head.length)
            if got is None or got[0] != (offset if head.status == 206 else 0) or got[2] not in (None, self.size):
                raise MediaError(f"{name}: the file changed while it was read", hint="start again")
            if head.status == 200 and offset:
                raise MediaError(f"{name}: the file changed while it was read, or the server forgot about ranges",
                                 hint="start again")  # fmt: skip
        except BaseException:
            exchange.close()
            raise
        self._exchange = exchange
        if offset != self._start + len(self._buffer):
            self._buffer = bytearray()
            self._start = offset

    def close(self) -> None:
        """Drop the connection, and end a read that waits in a thread."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        self._drop()
