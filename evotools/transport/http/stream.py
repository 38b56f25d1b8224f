"""What a handler writes to when an answer is longer than one piece of bytes."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from evotools.transport.tcp import direct_socket

if TYPE_CHECKING:
    from evotools.transport.http.connection import HttpConnection

MIN_DRAIN = 16 * 1024
"""A peer that takes less than this in a stall time, with bytes waiting for it, is dropped."""
FILE_STALL_S = 120.0
"""The stall time of streams of known length. Browsers leave them alone while a film is paused, and ask again for the
rest when they find the connection gone."""


class HttpStream:
    """The sending half of a connection that a handler has taken over: a body that ends with the connection."""

    __slots__ = ("_closing", "_connection", "_send", "_transport", "on_close", "on_writable", "unsent")

    def __init__(self, connection: "HttpConnection", transport: asyncio.Transport) -> None:
        self._connection = connection
        self._transport = transport
        self._closing = transport.is_closing
        self._send = transport.write
        self.unsent: Callable[[], int] = transport.get_write_buffer_size
        """Bytes accepted and not yet taken by the kernel."""
        self.on_close: Callable[[], None] | None = None
        """Called once when the peer is gone, not when `close` was called."""
        self.on_writable: Callable[[], object] | None = None
        """Called when a stream that was `full` may be written to again."""

    def write(self, data: bytes) -> None:
        """Hand over shared bytes; never waits. Silent after the peer has gone."""
        if not self._closing():  # uvloop raises on a closing transport.
            self._send(data)

    @property
    def socket(self) -> int:
        """Where bytes may go past `write` while `unsent` gives 0; -1 when they may not. See `hub.viewer.Broadcast`."""
        return direct_socket(self._transport)

    @property
    def full(self) -> bool:
        """More than HIGH_WATER waits for the peer, and has not yet fallen to LOW_WATER."""
        return self._connection._paused

    def set_water(self, high: int, low: int) -> None:
        """Other bounds than HIGH_WATER and LOW_WATER, in bytes, for the rest of the connection."""
        self._transport.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """Take nothing more from the peer. What was read before may still come."""
        self._connection._pause_input(True)

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        self._connection._pause_input(False)

    def close(self) -> None:
        """End the stream; what was written before is still sent, unless the peer takes longer than STALL_S."""
        self._drop_callbacks()
        self._connection._close()

    def abort(self) -> None:
        """End the stream at once and forget what was not sent."""
        self._drop_callbacks()
        self._transport.abort()

    def _drop_callbacks(self) -> None:
        self.on_close = None
        self.on_writable = None


class SizedStream(HttpStream):
    """A body of a length that was announced; after all of it and `close` the connection goes on."""

    __slots__ = ("_left", "_mark", "_mark_at", "_mute", "_open", "_size")

    def __init__(self, connection: "HttpConnection", transport: asyncio.Transport, size: int, mute: bool) -> None:
        super().__init__(connection, transport)
        self._size = self._left = size
        self._mute = mute
        self._open = True
        self._mark = 0
        self._mark_at = monotonic()

    def write(self, data: bytes) -> None:
        """Hand over a piece of the body; never waits. Silent after the end. Raises ValueError for more than announced.

        The answer to HEAD has no body: what is written is forgotten.
        """
        if not self._open or self._mute:
            return
        left = self._left - len(data)
        if left < 0:
            raise ValueError("more than the announced length is written")
        self._left = left
        if not self._closing():
            self._send(data)

    def close(self) -> None:
        """End the body. A peer that has not got all of it cannot be told but by a broken connection."""
        if not self._open:
            return
        if self._left and not self._mute:
            self.abort()
            return
        self._open = False
        self._drop_callbacks()
        self._connection._finish_body()

    def abort(self) -> None:
        """Break the connection."""
        if self._open:
            self._open = False
            super().abort()

    def _stalled(self, now: float, unsent: int) -> bool:
        taken = self._size - self._left - unsent
        if not unsent or taken >= self._mark + MIN_DRAIN:
            self._mark, self._mark_at = taken, now
        return now >= self._mark_at + FILE_STALL_S


class ChunkedStream(HttpStream):
    """A body in pieces that say how long they are (RFC 9112 7.1): its end is not mistaken for a broken connection."""

    __slots__ = ("_open",)

    def __init__(self, connection: "HttpConnection", transport: asyncio.Transport) -> None:
        super().__init__(connection, transport)
        self._open = True

    @property
    def socket(self) -> int:
        """None: every write here adds to the bytes."""
        return -1

    def write(self, data: bytes) -> None:
        """Hand over a piece of the body; never waits. Silent after the end and for nothing, which would be the end."""
        if self._open and data and not self._closing():
            self._send(b"%x\r\n%b\r\n" % (len(data), data))

    def close(self) -> None:
        """End the body; the connection goes on."""
        if self._open:
            self._open = False
            self._drop_callbacks()
            if not self._closing():
                self._send(b"0\r\n\r\n")
            self._connection._finish_body()

    def abort(self) -> None:
        """Break the connection, by which the client sees that the body is not whole."""
        if self._open:
            self._open = False
            super().abort()
