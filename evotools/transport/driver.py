"""Drives any `StreamProtocol` state machine over a TCP connection: feed, drain events, send, mind the deadline."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from evotools.errors import EvotoolsError
from evotools.log import get_logger
from evotools.protocols.base import StreamProtocol
from evotools.transport.tcp import every_address, no_delay

log = get_logger("transport")

LINGER_S = 10.0
"""How long a closed connection may take to deliver what was written before; a peer that does not read costs no more."""


class Driver(asyncio.Protocol):
    """One connection. The owner gets events in order and one `on_lost` at the end, whatever the reason.

    `on_event` may use the state machine; what it queued is sent after it returns. An EvotoolsError raised by the
    machine or by `on_event` ends this connection (after what was queued before is sent) and nothing else.
    """

    def __init__(
        self,
        machine: StreamProtocol,
        on_event: Callable[[Any], None],
        on_lost: Callable[[Exception | None], None],
        on_batch: Callable[[], None] | None = None,
    ) -> None:
        """`on_batch` is called once after the events of each read, for owners that collect them."""
        self.machine = machine
        self.on_event = on_event
        self.on_lost = on_lost
        self.on_batch = on_batch
        self.transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None
        self._lost = False
        self._ending = False
        self.closing = False
        """Set by `on_event` or the owner: close after what is queued was sent."""
        self.writable = asyncio.Event()
        self.writable.set()

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        no_delay(transport.get_extra_info("socket"))
        self.pump()

    def data_received(self, data: bytes) -> None:
        try:
            self.machine.receive(data, self._loop.time())
        except EvotoolsError as error:
            # What came before the broken part is still good.
            self.fail(error)
        self.pump()

    def eof_received(self) -> bool:
        self.machine.receive_eof(self._loop.time())
        self.closing = True
        self.pump()
        # The loop closes the connection now.
        return False

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        self.writable.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.on_lost(self._error or exc)

    # For the owner.

    def pump(self) -> None:
        """Hand out events and send what is queued. Call it after using the state machine from outside."""
        machine = self.machine
        try:
            while (event := machine.next_event()) is not None:
                self.on_event(event)
            if self.on_batch is not None:
                self.on_batch()
        except EvotoolsError as error:
            self.fail(error)
        except Exception as error:
            log.exception("a bug in handling a connection; it is closed")
            self.fail(error)
        if self._lost:
            return
        self.send()
        if self._error is not None or self.closing:
            self._end()
        elif self._timer is None:
            self._arm()

    def send(self) -> None:
        """Send what the state machine has queued, now."""
        data = self.machine.data_to_send()
        if data and not self._lost and not self.transport.is_closing():
            self.transport.write(data)

    def fail(self, error: Exception) -> None:
        """End the connection because of `error`, the first one counts."""
        if self._error is None:
            self._error = error

    def close(self) -> None:
        """Send what is queued and close."""
        self.closing = True
        self.pump()

    def _end(self) -> None:
        if self._ending:
            return
        self._ending = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(LINGER_S, self.abort)
        self.transport.close()

    def abort(self) -> None:
        """Close at once, forgetting what was not sent."""
        if not self._lost:
            self.transport.abort()

    @property
    def addresses(self) -> tuple[str, str]:
        """IP addresses of the peer and of this end."""
        return _ip(self.transport.get_extra_info("peername")), _ip(self.transport.get_extra_info("sockname"))

    # The deadline.

    def _arm(self) -> None:
        deadline = self.machine.deadline()
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        deadline = self.machine.deadline()
        now = self._loop.time()
        # Deadlines mostly move on with each byte; the timer is not moved then but looks again here.
        if deadline is not None and deadline <= now:
            try:
                self.machine.tick(now)
            except EvotoolsError as error:
                self.fail(error)
        self.pump()


def _ip(address: Any) -> str:
    if not isinstance(address, tuple) or not address:
        return ""
    host = str(address[0]).partition("%")[0]
    return host[7:] if host.startswith("::ffff:") and "." in host else host


async def listen(
    factory: Callable[[], asyncio.Protocol], host: str, port: int, *, backlog: int = 1024
) -> asyncio.Server:
    """A listening server; host empty means every address, IPv4 and IPv6. Raises OSError."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(factory, every_address(host), port, backlog=backlog, reuse_address=True)


def bound_port(server: asyncio.Server) -> int:
    """The port of a listening server."""
    sock: socket.socket = server.sockets[0]
    port: int = sock.getsockname()[1]
    return port
