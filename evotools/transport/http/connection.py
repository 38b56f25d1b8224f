"""One client connection: requests in, one answer each, bodies and upgraded protocols handed over."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from evotools.log import get_logger
from evotools.protocols import http1
from evotools.protocols.http1 import BadRequest, Body, Request
from evotools.transport.http.stream import MIN_DRAIN, ChunkedStream, HttpStream, SizedStream

if TYPE_CHECKING:
    from evotools.transport.http.server import HttpServer

WRITE_SLICE = 1 << 20
"""Bodies above this are handed to the kernel piece by piece: plain asyncio copies what the socket did not take."""
HIGH_WATER = 512 * 1024
LOW_WATER = 128 * 1024
STALL_S = 30.0
"""A peer that has taken less than MIN_DRAIN bytes in this time, with bytes waiting for it, is dropped."""
LINGER_S = 2.0
"""How long input is read and thrown away after an error, so that a reset does not destroy the answer on its way."""
_CHECK_S = 5.0
_JOIN_BELOW = 64 * 1024
_KEEPALIVE_IDLE_S = 30

log = get_logger("http")

Handler = Callable[["HttpConnection", Request], None]
"""Answers with `respond`, `start_stream` or `upgrade`, at once or later; exactly once."""

_TEXT = b"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"


class HttpConnection(asyncio.Protocol):
    """One client connection."""

    __slots__ = (
        "_advancing", "_body_open", "_body_paused", "_closing_at", "_drained", "_drained_at", "_early", "_http",
        "_keep_alive", "_now", "_on_data", "_on_end", "_on_raw", "_paused", "_raw", "_reading_paused", "_request",
        "_rest", "_stream", "_transport", "expires", "local_ip", "on_gone", "peer_ip", "secure", "server",
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
        self._raw = False
        self._on_raw: Callable[[bytes], object] | None = None
        self._early = b""
        self._body_open = False
        self._body_paused = False
        self._on_data: Callable[[bytes], object] | None = None
        self._on_end: Callable[[bool], object] | None = None
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
        self._http = http1.ServerConnection(now, self.server.max_body, self.server.streams)
        self.expires = now + _CHECK_S
        transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
        if not self.server._admit(self):
            self._refuse(503, "too many connections")

    def data_received(self, data: bytes) -> None:
        if self._raw or self._closing_at is not None:
            if self._on_raw is not None and self._closing_at is None:
                if self._early:
                    self._give_early()
                self._give(self._on_raw, data)
            return
        self._now = now = monotonic()
        self._http.receive(data, now)
        if not self._advancing:
            self._advance()

    def eof_received(self) -> bool:
        """A client may close its sending half and still read what is on its way, but not what is yet to come.

        For streams and late answers, whoever stops sending has most likely left.
        """
        if self._raw or self._closing_at is not None:
            return False
        http = self._http
        http.receive_eof(monotonic())
        if self._body_open and (http.streaming or self.secure):
            if not http.streaming and not self._advancing:
                # Over TLS the connection ends with this; the body is whole all the same.
                self._advance()
            return False
        waited_for = self._request is not None or bool(http.events)
        if self._body_open and not self._advancing:
            self._advance()
        return not self.secure and self.on_gone is None and waited_for

    def pause_writing(self) -> None:
        self._paused = True
        self._drained = self._transport.get_write_buffer_size()
        self._drained_at = monotonic()

    def resume_writing(self) -> None:
        self._paused = False
        if self._rest is not None:
            self._pump()
        stream = self._stream
        if stream is not None:
            if stream.on_writable is not None:
                stream.on_writable()
        elif self._request is None:
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server._forget(self)
        self._rest = None
        self._request = None
        self._http.receive_eof(0.0)
        stream, self._stream = self._stream, None
        gone, self.on_gone = self.on_gone, None
        ended = self._forget_body()
        self._on_raw = None
        if ended is not None:
            ended(False)
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
        self._forget_body()
        if request is None or transport.is_closing():
            return
        self.on_gone = None
        # What has not come of a body is not waited for, so the next request could not be found.
        self._body_open = self._body_open and self._http.streaming
        close = close or self._body_open
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

    def receive_body(self, on_data: Callable[[bytes], object], on_end: Callable[[bool], object]) -> None:
        """Take the body of the current request as it arrives, at most once per read of the socket.

        `on_end` is called once: True when the body is whole, False when the peer left or broke it, after which no
        answer is possible. Answering earlier closes the connection, and then neither is called any more. A client
        that asked for it is told to go on (RFC 9110 10.1.1).
        """
        request = self._request
        if request is None:
            return
        self._on_data, self._on_end = on_data, on_end
        events = self._http.events
        if not request.streamed:
            events.appendleft(Body(request.body, True))
        elif request.expects and not events:
            self._transport.write(http1.CONTINUE)
        self._http.resume(monotonic())
        if not self._advancing:
            self._advance()

    def pause_body(self) -> None:
        """Take no more of the body for now; the peer is held back and not timed."""
        self._body_paused = self._http.paused = True
        self._balance()

    def resume_body(self) -> None:
        """Undo `pause_body`."""
        if self._body_paused:
            self._body_paused = False
            self._http.resume(monotonic())
            if not self._advancing:
                self._advance()

    def start_stream(
        self, fields: bytes, *, status: int = 200, length: int | None = None, chunked: bool = False
    ) -> HttpStream:
        """Answer with a head and hand the sending half over.

        With a `length` the connection goes on after so many bytes and `HttpStream.close`. `chunked` is for bodies of
        unknown length with an end (HTTP/1.0 has no chunks: RFC 9112 6.1). Else the connection ends with the stream, as
        live ones do: the same bytes go to every viewer, and every player knows a body that ends with the connection.
        """
        request = self._request
        assert request is not None, "no request is open"
        transport = self._transport
        self.on_gone = None
        self._forget_body()
        self._body_open = self._body_open and self._http.streaming
        chunked = chunked and length is None and request.minor > 0
        if chunked:
            fields += b"Transfer-Encoding: chunked\r\n"
        framed = chunked or length is not None
        keep_alive = framed and request.keep_alive and not self._body_open and not self.server.draining
        head = http1.response_head(
            status, fields, self.server.date, length=length, keep_alive=keep_alive, minor=request.minor
        )
        stream: HttpStream
        if length is not None:
            stream = SizedStream(self, transport, length, request.method == "HEAD")
        elif chunked:
            stream = ChunkedStream(self, transport)
        else:
            stream = HttpStream(self, transport)
            self._raw = True
        self._keep_alive = keep_alive
        self._stream = stream
        if not transport.is_closing():
            transport.write(head)
        self._watch_for_loss()
        if self._raw:
            self._pause_input(False)
        return stream

    def upgrade(self, fields: bytes, on_data: Callable[[bytes], object]) -> HttpStream:
        """Answer 101 with `fields` (`Upgrade` among them) and switch protocols: raw bytes both ways from here on.

        `on_data` is not called before this returned. RFC 9110 7.8.
        """
        assert self._request is not None, "no request is open"
        transport = self._transport
        self.on_gone = None
        if b"connection:" not in fields.lower():
            fields += b"Connection: Upgrade\r\n"
        stream = self._stream = HttpStream(self, transport)
        self._raw = True
        self._on_raw = on_data
        self._early = self._http.switch()
        if not transport.is_closing():
            transport.write(http1.response_head(101, fields, self.server.date, length=None, keep_alive=True))
        if self._early:
            self.server.loop.call_soon(self._give_early)
        self._watch_for_loss()
        self._pause_input(False)
        return stream

    # The rest is internal.

    def _advance(self) -> None:
        """Handle what was parsed, one request at a time, as far as answers can be written."""
        http = self._http
        self._advancing = True
        try:
            while self._closing_at is None and not self._raw:
                if self._request is not None:
                    if self._on_end is not None and not self._body_paused and http.events:
                        self._deliver()
                        continue
                    break
                if self._paused:
                    break
                event = http.next_event()
                if event is None:
                    if http.closed:
                        self._close()
                    break
                if isinstance(event, Request):
                    self._request = event
                    self._body_open = event.streamed
                    http.held = True
                    try:
                        self.server.handler(self, event)
                    except Exception:
                        log.exception("handling %s failed", event.method)
                        self._abandon()
                elif isinstance(event, BadRequest):
                    self._refuse(event.status, event.reason)
                elif isinstance(event, Body):
                    pass  # Of a body whose request was answered before its end.
                else:
                    self._transport.write(http1.CONTINUE)
        finally:
            self._advancing = False
        self._balance()

    def _deliver(self) -> None:
        """Give the next of the body, or its end, to whoever takes it."""
        events = self._http.events
        on_data, on_end = self._on_data, self._on_end
        assert on_data is not None and on_end is not None
        event = events.popleft()
        if isinstance(event, Body):
            last = event.last
            data = event.data
            if not last and events and isinstance(events[0], Body):
                parts = [data]
                while not last and events and isinstance(event := events[0], Body):
                    events.popleft()
                    parts.append(event.data)
                    last = event.last
                data = b"".join(parts)
            if data:
                if last:
                    events.appendleft(Body(b"", True))
                self._give(on_data, data)
            elif last:
                self._body_open = False
                self._forget_body()
                self._give(on_end, True)
        elif isinstance(event, BadRequest):
            self._forget_body()
            self._give(on_end, False)
            if self._request is not None and self._closing_at is None:
                self._refuse(event.status, event.reason)
        else:
            raise AssertionError("a request before the end of the body")

    def _give(self, callback: Callable[[Any], object], value: object) -> None:
        try:
            callback(value)
        except Exception:
            log.exception("taking what a client sent failed")
            self._transport.abort()

    def _give_early(self) -> None:
        early, self._early = self._early, b""
        if early and self._on_raw is not None and self._closing_at is None:
            self._give(self._on_raw, early)

    def _forget_body(self) -> Callable[[bool], object] | None:
        ended, self._on_end = self._on_end, None
        self._on_data = None
        self._body_paused = self._http.paused = False
        return ended

    def _balance(self) -> None:
        """Whoever pipelines waits for the answers; a client that only waits is still watched for leaving."""
        if not self._raw and self._closing_at is None:
            self._pause_input(self._body_paused or bool(self._http.events) or self._http.waiting)

    def _pause_input(self, pause: bool) -> None:
        if pause != self._reading_paused and not self._transport.is_closing():
            self._reading_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _watch_for_loss(self) -> None:
        """Players stop reading while they are paused; only the kernel can tell a paused one from a dead one."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                if hasattr(socket, "TCP_KEEPIDLE"):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)

    def _finish_body(self) -> None:
        """A stream whose end the client can see is complete."""
        self._stream = None
        self._answered()

    def _abandon(self) -> None:
        if self._stream is None and self._request is not None and self._rest is None:
            self.respond_text(500, "internal error", close=True)
        else:
            self._transport.abort()

    def _answered(self) -> None:
        self._request = None
        if not self._keep_alive:
            if self._body_open:
                self._linger()
            else:
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
        self._linger()

    def _linger(self) -> None:
        """Close, but go on reading for a while: a reset because of unread bytes would destroy the answer."""
        self._pause_input(False)
        self._http.receive_eof(0.0)
        self._closing_at = monotonic() + LINGER_S
        self.expires = self._closing_at
        # TLS cannot be closed on one side only; the client closes when it has the answer.
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

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
        if isinstance(self._stream, SizedStream) and self._stream._stalled(now, unsent):
            self._transport.abort()
            return
        if self._stream is not None or self._closing_at is not None:
            return
        http = self._http
        http.tick(now)
        if (http.closed and self._request is None) or (http.events and self._on_end is not None):
            self._advance()


def _ip(address: Any) -> str:
    """The host part of a socket address; IPv4-mapped IPv6 as IPv4, without a zone."""
    if not isinstance(address, tuple) or not address:
        return ""
    host = str(address[0]).partition("%")[0]
    return host[7:] if host.startswith("::ffff:") and "." in host else host
