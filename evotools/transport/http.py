"""The HTTP front end: sockets for `protocols/http1`. One asyncio protocol per connection, no task, no timer of its own.

Responses are whole bytes, written once where they are small enough; large bodies go in slices as the peer reads.
A live viewer takes the connection over (`HttpConnection.start_stream`), after which nothing here touches its bytes.
"""

import asyncio
import contextlib
import socket
import ssl as ssl_module
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from time import monotonic
from typing import Any, cast

from evotools.errors import UnreachableError
from evotools.log import get_logger
from evotools.protocols import http1
from evotools.protocols.http1 import BadRequest, Request
from evotools.transport.tcp import every_address, explain
from evotools.transport.tls_listen import TlsServer

MAX_CONNECTIONS = 10_000
"""Default for one front end. A connection at rest costs about 8 KiB; raise it together with the file limit."""
MAX_CONNECTIONS_PER_PEER = 1_000
"""Default for one address: households and offices behind one NAT stay far below, a flood from one host does not."""
WRITE_SLICE = 1 << 20
"""Bodies above this are handed to the kernel piece by piece: plain asyncio copies what the socket did not take."""
HIGH_WATER = 512 * 1024
LOW_WATER = 128 * 1024
STALL_S = 30.0
"""A peer that has taken less than MIN_DRAIN bytes in this time, with bytes waiting for it, is dropped."""
MIN_DRAIN = 16 * 1024
LINGER_S = 2.0
"""How long input is read and thrown away after an error, so that a reset does not destroy the answer on its way."""
SWEEP_S = 1.0
_CHECK_S = 5.0
_JOIN_BELOW = 64 * 1024
_KEEPALIVE_IDLE_S = 30

log = get_logger("http")

Handler = Callable[["HttpConnection", Request], None]
"""Answers with `respond` or `start_stream`, at once or later; exactly once."""

_TEXT = b"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"


class HttpStream:
    """The sending half of a connection that a live viewer has taken over."""

    __slots__ = ("_closing", "_connection", "_send", "_transport", "on_close", "unsent")

    def __init__(self, connection: "HttpConnection", transport: asyncio.Transport) -> None:
        self._connection = connection
        self._transport = transport
        self._closing = transport.is_closing
        self._send = transport.write
        self.unsent: Callable[[], int] = transport.get_write_buffer_size
        """Bytes accepted and not yet taken by the kernel."""
        self.on_close: Callable[[], None] | None = None
        """Called once when the peer is gone, not when `close` was called."""

    def write(self, data: bytes) -> None:
        """Hand over shared bytes; never waits. Silent after the peer has gone."""
        if not self._closing():  # uvloop raises on a closing transport.
            self._send(data)

    def close(self) -> None:
        """End the stream; what was written before is still sent, unless the peer takes longer than STALL_S."""
        self.on_close = None
        self._connection._close()

    def abort(self) -> None:
        """End the stream at once and forget what was not sent."""
        self.on_close = None
        self._transport.abort()


class HttpConnection(asyncio.Protocol):
    """One client connection."""

    __slots__ = (
        "_advancing", "_closing_at", "_drained", "_drained_at", "_http", "_keep_alive", "_now", "_paused",
        "_reading_paused", "_request", "_rest", "_stream", "_transport", "expires", "local_ip", "on_gone",
        "peer_ip", "secure", "server",
    )  # fmt: skip

    def __init__(self, server: "HttpServer") -> None:
        self.server = server
        self.peer_ip = ""
        self.local_ip = ""
        self.secure = False
        self.expires = 0.0
        self.on_gone: Callable[[], None] | None = None
        """Set by a handler that answers later: called when the peer leaves before the answer."""
        self._http = http1.ServerConnection(0.0)
        self._request: Request | None = None
        self._stream: HttpStream | None = None
        self._rest: memoryview | None = None
        self._paused = False
        self._reading_paused = False
        self._advancing = False
        self._keep_alive = True
        self._now = 0.0
        self._closing_at: float | None = None
        self._drained = 0
        self._drained_at = 0.0

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = transport = cast(asyncio.Transport, transport)
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self.peer_ip = _ip(peer)
        self.local_ip = _ip(local)
        self.secure = transport.get_extra_info("ssl_object") is not None
        now = monotonic()
        self._http = http1.ServerConnection(now, self.server.max_body)
        self.expires = now + _CHECK_S
        transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
        if not self.server._admit(self):
            self._refuse(503, "too many connections")

    def data_received(self, data: bytes) -> None:
        if self._stream is not None or self._closing_at is not None:
            return
        self._now = now = monotonic()
        self._http.receive(data, now)
        if not self._advancing:
            self._advance()

    def eof_received(self) -> bool:
        """A client may close its sending half and still read what is on its way, but not what is yet to come.

        For streams and late answers, whoever stops sending has most likely left.
        """
        if self._stream is not None or self._closing_at is not None:
            return False
        self._http.receive_eof(monotonic())
        return not self.secure and self.on_gone is None and (self._request is not None or bool(self._http.events))

    def pause_writing(self) -> None:
        self._paused = True
        self._drained = self._transport.get_write_buffer_size()
        self._drained_at = monotonic()

    def resume_writing(self) -> None:
        self._paused = False
        if self._rest is not None:
            self._pump()
        if self._request is None and self._stream is None:
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server._forget(self)
        self._rest = None
        self._request = None
        self._http.receive_eof(0.0)
        stream, self._stream = self._stream, None
        gone, self.on_gone = self.on_gone, None
        if stream is not None and stream.on_close is not None:
            callback, stream.on_close = stream.on_close, None
            callback()
        if gone is not None:
            gone()

    # Called by handlers.

    def respond(
        self, status: int, fields: bytes = b"", body: bytes = b"", *, close: bool = False, sized: bool = True
    ) -> None:
        """Answer the current request. `fields` is from `http1.header_block`. HEAD gets the same head, no body.

        `sized` False leaves Content-Length out, for HEAD on what has no length.
        """
        request = self._request
        transport = self._transport
        if request is None or transport.is_closing():
            return
        self.on_gone = None
        keep_alive = self._keep_alive = request.keep_alive and not close and not self.server.draining
        bodiless = status in (204, 304)
        head = http1.response_head(
            status,
            fields,
            self.server.date,
            length=len(body) if sized and not bodiless else None,
            keep_alive=keep_alive,
            minor=request.minor,
        )
        if request.method == "HEAD" or bodiless or not body:
            transport.write(head)
        elif len(body) <= _JOIN_BELOW:
            transport.write(head + body)
        else:
            transport.write(head)
            if len(body) <= WRITE_SLICE:
                transport.write(body)
            else:
                self._rest = memoryview(body)
                self._pump()
                return
        self._answered()

    def respond_text(self, status: int, text: str, fields: bytes = b"", *, close: bool = False) -> None:
        """A short answer for people."""
        self.respond(status, _TEXT + fields, f"{text}\n".encode(), close=close)

    def start_stream(self, fields: bytes) -> HttpStream:
        """Answer 200 without a length and hand the connection over; it ends with the stream.

        No chunked coding: the same bytes go to every viewer, and every player knows a body that ends with the
        connection.
        """
        request = self._request
        assert request is not None, "no request is open"
        minor = request.minor
        self.on_gone = None
        stream = self._stream = HttpStream(self, self._transport)
        head = http1.response_head(200, fields, self.server.date, length=None, keep_alive=False, minor=minor)
        stream.write(head)
        # Players stop reading while they are paused; only the kernel can tell a paused one from a dead one.
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                if hasattr(socket, "TCP_KEEPIDLE"):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        return stream

    # The rest is internal.

    def _advance(self) -> None:
        """Handle what was parsed, one request at a time, as far as answers can be written."""
        http = self._http
        events = http.events
        self._advancing = True
        try:
            while self._request is None and self._stream is None and self._closing_at is None and not self._paused:
                if not events:
                    if http.closed:
                        self._close()
                    break
                event = events.popleft()
                if isinstance(event, Request):
                    self._request = event
                    http.held = True
                    try:
                        self.server.handler(self, event)
                    except Exception:
                        log.exception("handling %s failed", event.method)
                        self._abandon()
                elif isinstance(event, BadRequest):
                    self._refuse(event.status, event.reason)
                else:
                    self._transport.write(http1.CONTINUE)
        finally:
            self._advancing = False
        # Whoever pipelines waits for the answers; a client that only waits is still watched for leaving.
        full = bool(events) and self._stream is None and not self._transport.is_closing()
        if full != self._reading_paused:
            self._reading_paused = full
            if full:
                self._transport.pause_reading()
            elif not self._transport.is_closing():
                self._transport.resume_reading()

    def _abandon(self) -> None:
        if self._stream is None and self._request is not None and self._rest is None:
            self.respond_text(500, "internal error", close=True)
        else:
            self._transport.abort()

    def _answered(self) -> None:
        self._request = None
        if not self._keep_alive:
            self._close()
            return
        if self._advancing:
            self._http.release(self._now)
        else:
            self._http.release(monotonic())
            if not self._paused:
                self._advance()

    def _pump(self) -> None:
        rest = self._rest
        while rest is not None and not self._paused:
            self._transport.write(rest[:WRITE_SLICE])
            rest = rest[WRITE_SLICE:] if len(rest) > WRITE_SLICE else None
        self._rest = rest
        if rest is None and self._request is not None:
            self._answered()

    def _refuse(self, status: int, reason: str) -> None:
        body = f"{reason}\n".encode()
        head = http1.response_head(status, _TEXT, self.server.date, length=len(body), keep_alive=False)
        self._transport.write(head + body)
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        self._closing_at = monotonic() + LINGER_S
        self.expires = self._closing_at
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _close(self) -> None:
        if self._closing_at is None:
            self._closing_at = monotonic() + STALL_S
        self._transport.close()

    def _check(self, now: float) -> None:
        """Called by the sweep when `expires` has passed."""
        self.expires = now + _CHECK_S
        unsent = self._transport.get_write_buffer_size()
        if self._closing_at is not None and now >= self._closing_at:
            self._transport.abort()
            return
        if unsent:
            if unsent <= self._drained - MIN_DRAIN or not self._drained:
                self._drained, self._drained_at = unsent, now
            elif self._stream is None and now >= self._drained_at + STALL_S:
                self._transport.abort()
                return
        else:
            self._drained = 0
        if self._stream is not None or self._closing_at is not None:
            return
        self._http.tick(now)
        if self._http.closed and self._request is None:
            self._advance()


def _ip(address: Any) -> str:
    """The host part of a socket address; IPv4-mapped IPv6 as IPv4, without a zone."""
    if not isinstance(address, tuple) or not address:
        return ""
    host = str(address[0]).partition("%")[0]
    return host[7:] if host.startswith("::ffff:") and "." in host else host


class HttpServer:
    """A listening socket and its connections."""

    def __init__(
        self,
        handler: Handler,
        *,
        max_connections: int = MAX_CONNECTIONS,
        max_per_peer: int = MAX_CONNECTIONS_PER_PEER,
        max_body: int = http1.MAX_BODY_BYTES,
    ) -> None:
        self.handler = handler
        self.max_body = max_body
        self.draining = False
        self.date = b""
        self.loop: asyncio.AbstractEventLoop
        self.refused = 0
        """Connections turned away by a cap."""
        self._max_connections = max_connections
        self._max_per_peer = max_per_peer
        self._connections: set[HttpConnection] = set()
        self._per_peer: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._tls: TlsServer | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, host: str | None, port: int, ssl: ssl_module.SSLContext | None = None) -> None:
        """Bind and serve. Port 0 takes a free one. Raises UnreachableError."""
        self.loop = asyncio.get_running_loop()
        self._sweep()
        options: dict[str, Any] = {"ssl_handshake_timeout": http1.HEAD_TIMEOUT_S} if ssl is not None else {}
        try:
            self._server = await self.loop.create_server(
                lambda: HttpConnection(self), every_address(host or ""), port, ssl=ssl, backlog=1024, **options
            )
        except OSError as error:
            if self._timer is not None:
                self._timer.cancel()
            where = f"{host or '*'}:{port}"
            raise UnreachableError(
                f"cannot listen for HTTP on {where}: {error.strerror or error}",
                hint="choose another port or stop the program that holds it",
            ) from None

    async def start_tls(self, host: str | None, port: int, context: ssl_module.SSLContext) -> None:
        """Bind a second port that speaks TLS and shares handler, connections and caps. Raises UnreachableError."""
        self._tls = TlsServer(lambda: HttpConnection(self), context, timeout_s=http1.HEAD_TIMEOUT_S)
        try:
            await self._tls.start(host or "", port)
        except OSError as error:
            raise explain(f"https {host or '*'}:{port}", error, "listen") from None

    @property
    def tls_port(self) -> int:
        """The port of `start_tls`."""
        assert self._tls is not None, "not started"
        return self._tls.port

    @property
    def port(self) -> int:
        """The port bound."""
        assert self._server is not None, "not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def __len__(self) -> int:
        return len(self._connections)

    async def close(self) -> None:
        """Stop listening and end every connection; answers under way get a moment to leave."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        if self._tls is not None:
            self._tls.close()
        for connection in list(self._connections):
            connection._close()
        for _ in range(20):
            if not self._connections:
                break
            await asyncio.sleep(0.05)
        for connection in list(self._connections):
            connection._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await asyncio.sleep(0)

    def _admit(self, connection: HttpConnection) -> bool:
        self._connections.add(connection)
        self._per_peer[connection.peer_ip] += 1
        if (
            len(self._connections) <= self._max_connections
            and self._per_peer[connection.peer_ip] <= self._max_per_peer
            and not self.draining
        ):
            return True
        self.refused += 1
        return False

    def _forget(self, connection: HttpConnection) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            left = self._per_peer[connection.peer_ip] - 1
            if left > 0:
                self._per_peer[connection.peer_ip] = left
            else:
                del self._per_peer[connection.peer_ip]

    def _sweep(self) -> None:
        now = monotonic()
        self.date = formatdate(usegmt=True).encode("ascii")
        for connection in [c for c in self._connections if c.expires <= now]:
            connection._check(now)
        self._timer = self.loop.call_later(SWEEP_S, self._sweep)
