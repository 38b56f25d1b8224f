"""HTTP/1.1, server side: bytes in, requests out. RFC 9112, RFC 9110.

Syntax is httptools (llhttp in its strict mode: no bare LF, no obs-fold, no Content-Length beside
Transfer-Encoding, no repeated Content-Length). What llhttp leaves open is closed here: caps, the Host rule,
versions, request targets, trailers. Errors are events, not exceptions, so that requests pipelined in front of a
broken one are still answered in order.
"""

import re
from collections import deque
from collections.abc import Callable
from typing import Any

import httptools

from evotools.errors import ParseError
from evotools.protocols.http1.request import BadRequest, Body, Continue, HttpEvent, Request, decode_path

MAX_HEAD_BYTES = 32 * 1024
"""Request line and headers together. Browsers with large cookies stay below 16 KiB; nginx allows 32 KiB."""
MAX_TARGET_BYTES = 8 * 1024
"""RFC 9112 3 asks servers for 8000 octets at least; signed URLs are shorter."""
MAX_HEADERS = 100
"""Fields of one request, trailers included. Browsers send about 20."""
MAX_BODY_BYTES = 64 * 1024
"""Default for one request body that is collected: forms and SDP offers. Media is streamed (`streams`)."""
MAX_PIPELINED = 128
"""Requests parsed and not yet taken. Load generators pipeline 16; a flood of tiny requests would eat memory."""
MAX_MEMO = 512
"""Heads remembered in the process; all are dropped when there are more, so a flood of new ones costs nothing extra."""
MAX_MEMO_HEAD = 1024
"""Bytes of a head worth remembering; 512 of them with their requests take about 2 MiB."""
_SLICE = 16 * 1024
"""llhttp keeps an unfinished header value without bound, so input goes in by slices and is counted."""

IDLE_TIMEOUT_S = 60.0
"""Keep-alive connections without a request; what MistServer and nginx use."""
HEAD_TIMEOUT_S = 10.0
"""From the first byte of a request to the end of its head, however slowly bytes drip (slowloris)."""
BODY_TIMEOUT_S = 30.0
"""From the end of the head to the end of a collected body; between two bytes of a streamed one."""
MAX_AHEAD_BYTES = 1 << 20
"""Bytes behind an offer to switch protocols that has no answer yet: two reads of a TLS connection, and some."""

_UPLOADS = frozenset({"POST", "PUT"})
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})

_BODY_OVERHEAD = 8
"""A chunked body of one-byte chunks costs six wire bytes per byte; more than eight is padding by extensions."""
_ABSOLUTE = re.compile(r"https?://([^/?#]*)([^#]*)", re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%-]{0,255}(?::\d{0,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::\d{0,5})?")
# RFC 9110 5.3: only these must not be repeated by a sane client, and proxies disagree on which copy wins.
_SINGLETONS = frozenset({"host", "content-length", "content-type", "authorization", "range", "expect"})

_COMMON = {
    spelling.encode(): name.lower()
    for name in (
        "Host", "User-Agent", "Accept", "Accept-Encoding", "Accept-Language", "Connection", "Range", "Referer",
        "Origin", "Cookie", "Icy-MetaData", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Authorization",
    )
    for spelling in (name, name.lower())
}  # fmt: skip
_memo: dict[bytes, Request] = {}


class _UntilClose(Exception):
    """The body ends with the connection, which the parser does not know of requests."""


class _Reject(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class ServerConnection:
    """One server connection. Call `receive`, then drain `next_event`.

    While a request is being answered set `held`, and call `release` when the next one may be waited for: between
    the two the clock stands still, save for streamed bodies that are not `paused`.

    `streams` is asked at the end of each head with a body: True gives the request at once and the body as `Body`
    events, without a cap on the whole. All other bodies are collected, up to `max_body`.

    What follows an offer to switch protocols is not looked at before that was answered: `release` reads it as the
    next request, `switch` gives it out.
    """

    __slots__ = (
        "_ahead", "_begun", "_body", "_body_size", "_clean", "_done", "_fed", "_head_size", "_headers", "_in_head",
        "_max_body", "_names", "_parser", "_request", "_since", "_started", "_streams", "_tail", "_target",
        "_until_close", "events", "held", "paused", "streaming",
    )  # fmt: skip

    def __init__(
        self, now: float, max_body: int = MAX_BODY_BYTES, streams: Callable[[Request], bool] | None = None
    ) -> None:
        self._parser: Any = httptools.HttpRequestParser(self)
        self.events: deque[HttpEvent] = deque()
        """Not yet taken, oldest first; `next_event` takes from here."""
        self._max_body = max_body
        self._streams = streams
        self._done = False
        self.held = False
        """A request is being answered: the peer is not the one to be timed. Ended by `release`."""
        self.paused = False
        """Nobody takes the streamed body at the moment: the peer is not the one to be timed."""
        self.streaming = False
        """More of a streamed body is to come."""
        self._until_close = False
        self._ahead: bytes | None = None
        self._begun = 0
        self._tail = b""
        self._since = now
        self._started = True  # The first request must come within the head timeout, not the idle one.
        self._in_head = True
        self._clean = True
        self._fed = 0
        self._body: list[bytes] = []
        self._body_size = 0
        self._target = b""
        self._headers: dict[str, str] = {}
        self._names = 0
        self._head_size = 0
        self._request: Request | None = None

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Bytes from the peer. Never raises; what is wrong with them comes as a `BadRequest`."""
        if not data:
            return
        if self._ahead is not None or self._until_close:
            self._receive_raw(data, now)
            return
        clean = self._clean
        if clean and not self._done and isinstance(data, bytes):
            known = _memo.get(data)
            if known is not None and len(self.events) < MAX_PIPELINED:
                self.events.append(known)
                self._started = False
                self._since = now
                return
        if not self._started:
            self._started = True
            self._since = now
        if self.streaming:
            self._since = now
        if len(data) <= _SLICE:
            before = len(self.events)
            self._feed(data, now)
            if clean and self._clean and len(data) <= MAX_MEMO_HEAD and len(self.events) == before + 1:
                self._remember(bytes(data), self.events[-1])
            return
        view = memoryview(data)
        for start in range(0, len(view), _SLICE):
            if self._done:
                break
            if self._ahead is not None or self._until_close:
                self._receive_raw(view[start:], now)
                break
            self._feed(view[start : start + _SLICE], now)

    def _receive_raw(self, data: bytes | bytearray | memoryview, now: float) -> None:
        if self._done:
            return
        if self._ahead is None:
            self._since = now
            self.events.append(Body(bytes(data), False))
        elif len(self._ahead) + len(data) <= MAX_AHEAD_BYTES:
            self._ahead += data
        else:
            self._fail(400, "too much follows an offer to switch protocols")

    def _look_ahead(self, now: float) -> None:
        """The offer to switch protocols was not taken: read on."""
        ahead, self._ahead = self._ahead, None
        if ahead:
            self.receive(ahead, now)

    def switch(self) -> bytes:
        """The protocol is switched: what came behind the request. Nothing is read here from now on."""
        ahead, self._ahead = self._ahead, None
        self._done = True
        self.events.clear()
        return ahead or b""

    @property
    def waiting(self) -> bool:
        """Bytes wait here for the answer to an offer to switch protocols."""
        return bool(self._ahead)

    def _remember(self, data: bytes, event: HttpEvent) -> None:
        """Keep what a whole head means: players send the same bytes again and again, and so do their like."""
        if (
            isinstance(event, Request)
            and event.keep_alive
            and not event.upgrade
            and not event.body
            and not event.streamed
            and data.endswith(b"\r\n\r\n")
        ):
            if len(_memo) >= MAX_MEMO:
                _memo.clear()
            _memo[data] = event

    def _feed(self, data: bytes | bytearray | memoryview, now: float) -> None:
        if self._done:
            return
        was_in_head = self._in_head
        was_clean = self._clean
        self._begun = 0
        # Set to zero by every boundary that this slice crosses.
        self._fed += len(data)
        try:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._parser = httptools.HttpRequestParser(self)
                self._ahead = bytes(data)[upgrade.args[0] :]
                return
            if self._in_head:
                if self._fed > MAX_HEAD_BYTES:
                    raise _Reject(431, "the request head is too large")
                if not self._clean:
                    self._tail = ((b"" if was_clean or self._begun else self._tail) + bytes(data[-3:]))[-3:]
            elif self.streaming:
                self._flush_body(False)
                if self._fed > _BODY_OVERHEAD * self._body_size + MAX_HEAD_BYTES:
                    raise _Reject(400, "the request body is mostly padding")
            elif self._fed > _BODY_OVERHEAD * self._max_body + MAX_HEAD_BYTES:
                raise _Reject(413, "the request body is too large")
        except _Reject as error:
            self._fail(error.status, error.reason)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, _Reject):
                self._fail(cause.status, cause.reason)
            elif isinstance(cause, _UntilClose):
                self._begin_until_close(bytes(data), was_clean, was_in_head)
            else:
                self._fail(400, "the request cannot be read")
        except httptools.HttpParserInvalidMethodError:
            self._fail(501, "the method is not known")
        except httptools.HttpParserError:
            self._fail(400, "the request is malformed")
        if was_in_head and not self._in_head:
            self._since = now

    def _begin_until_close(self, data: bytes, was_clean: bool, was_in_head: bool) -> None:
        """Everything behind the head is the body; the parser cannot tell where that was."""
        request = self._request
        assert request is not None
        start = 0
        if was_clean and self._begun == 1:
            # RFC 9112 2.2: empty lines in front of a request line are passed over.
            start = len(data) - len(data.lstrip(b"\r\n"))
        elif was_in_head and not self._begun:
            data = self._tail + data
        else:
            self._fail(411, "a request behind others needs a length")
            return
        end = data.find(b"\r\n\r\n", start)
        if end < 0:
            self._fail(400, "the request is malformed")
            return
        self._until_close = self.streaming = True
        self._in_head = False
        self.events.append(request)
        rest = data[end + 4 :]
        if rest:
            self.events.append(Body(rest, False))

    def _flush_body(self, last: bool) -> None:
        parts = self._body
        if parts or last:
            self.events.append(Body(parts[0] if len(parts) == 1 else b"".join(parts), last))
            parts.clear()

    def _fail(self, status: int, reason: str) -> None:
        # After a request that closes the connection nothing that follows has a meaning (RFC 9112 9.6).
        if not self._done:
            if self.streaming:
                self._flush_body(False)
                self.streaming = False
            self._done = True
            self.events.append(BadRequest(status, reason))

    def receive_eof(self, now: float) -> None:
        """The peer sends no more. A request cut off in the middle is dropped without an answer.

        A streamed body that is not whole then has no last `Body`.
        """
        if self._until_close and self.streaming:
            self.streaming = False
            self.events.append(Body(b"", True))
        self._done = True

    def next_event(self) -> HttpEvent | None:
        """The next event, or None."""
        if not self.events and self._ahead and not self.held:
            self._look_ahead(self._since)
        return self.events.popleft() if self.events else None

    def data_to_send(self) -> bytes:
        """Nothing is sent by the parser itself; responses are built by `response_head`."""
        return b""

    @property
    def closed(self) -> bool:
        """No further request can come: an error, the end of input, or a request that closes the connection."""
        return self._done

    def release(self, now: float) -> None:
        """The answer is out; the next request may take its time from here."""
        self.held = False
        self._since = now
        if self._ahead is not None:
            self._look_ahead(now)

    def resume(self, now: float) -> None:
        """The streamed body is taken again; the peer's time begins here."""
        self.paused = False
        self._since = now

    def deadline(self) -> float | None:
        """When `tick` wants to be called, or None."""
        if self.streaming:
            return None if self.paused or self.events else self._since + BODY_TIMEOUT_S
        if self.held:
            return None
        if not self._started:
            return self._since + IDLE_TIMEOUT_S
        return self._since + (HEAD_TIMEOUT_S if self._in_head else BODY_TIMEOUT_S)

    def tick(self, now: float) -> None:
        """Time passed. A peer that is too slow gets 408; an idle connection just ends."""
        deadline = self.deadline()
        if deadline is None or now < deadline or self._done:
            return
        if self._started:
            self._fail(408, "the request took too long")
        self._done = True

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = {}
        self._names = 0
        self._head_size = 0
        self._request = None
        self._started = True
        self._clean = False
        self._begun += 1

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > MAX_TARGET_BYTES:
            raise _Reject(414, "the request target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._names += 1
        self._head_size += len(name) + len(value) + 4
        if self._names > MAX_HEADERS or self._head_size > MAX_HEAD_BYTES:
            raise _Reject(431, "the request head is too large")
        if not self._in_head:
            return  # Trailers never change a request (RFC 9110 6.5.1).
        key = _COMMON.get(name) or name.decode("latin-1").lower()
        text = value.decode("latin-1")
        headers = self._headers
        if key in headers:
            if key in _SINGLETONS:
                raise _Reject(400, f"the field {key} is repeated")
            text = f"{headers[key]}, {text}"
        headers[key] = text

    def on_headers_complete(self) -> None:
        if self._done:
            return
        parser = self._parser
        headers = self._headers
        version = parser.get_http_version()
        if version == "1.1":
            minor = 1
        elif version == "1.0":
            minor = 0
        else:
            raise _Reject(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        method = parser.get_method().decode("latin-1")
        if method not in METHODS:
            raise _Reject(501, "the method is not known")
        if minor and "host" not in headers:
            raise _Reject(400, "the Host field is missing")  # RFC 9112 3.2
        encoding = headers.get("transfer-encoding")
        # RFC 9112 6.1: HTTP/1.0 has no transfer codings; a proxy that kept one may frame the body differently.
        if encoding is not None and (not minor or encoding.lower() != "chunked"):
            raise _Reject(400, "the transfer coding is not understood")
        target = self._target.decode("latin-1")
        host = None
        if not target.startswith("/"):
            absolute = _ABSOLUTE.fullmatch(target)
            if absolute:
                host, target = absolute[1], absolute[2]
                if not target.startswith("/"):
                    target = "/" + target
            elif target != "*" or method != "OPTIONS":
                raise _Reject(400, "the request target is not understood")
        if "#" in target:
            raise _Reject(400, "the request target has a fragment")
        raw_path, _, query = target.partition("?")
        try:
            path = decode_path(raw_path)
        except ParseError as error:
            raise _Reject(400, error.message) from None
        request = Request(method, path, query, minor, headers)
        if host is not None:
            request.host = host
        if not _HOST.fullmatch(request.host):
            raise _Reject(400, "the host is malformed")
        length = headers.get("content-length")
        size = None if length is None else int(length)
        expect = headers.get("expect")
        if expect is not None and minor and expect.lower() != "100-continue":
            raise _Reject(417, "the expectation is not understood")
        has_body = encoding is not None or bool(size)
        request.keep_alive = parser.should_keep_alive()
        request.upgrade = parser.should_upgrade() and not has_body
        # RFC 9112 6.3: a request without a length has no body. Yet HTTP/1.0 encoders and `ffmpeg -chunked_post 0` send
        # media after such a head. They announce the end of the connection, so nothing that follows could be a request.
        until_close = (
            not has_body and size is None and method in _UPLOADS and not request.keep_alive and not request.upgrade
        )
        if self._streams is not None and (has_body or until_close) and self._streams(request):
            if len(self.events) >= MAX_PIPELINED:
                raise _Reject(429, "too many requests in a row without reading the answers")
            request.streamed = True
            request.expects = expect is not None and bool(minor)
            self._request = request
            if until_close:
                raise _UntilClose
            self.streaming = True
            self._body_size = 0
            self.events.append(request)
        else:
            if size is not None and size > self._max_body:
                raise _Reject(413, "the request body is too large")
            if expect is not None and minor and has_body:
                self.events.append(Continue())
            self._request = request
        self._in_head = False
        self._fed = 0

    def on_body(self, part: bytes) -> None:
        self._body_size += len(part)
        if self._body_size > self._max_body and not self.streaming:
            raise _Reject(413, "the request body is too large")
        self._body.append(part)

    def on_message_complete(self) -> None:
        request = self._request
        self._in_head = True
        self._started = False
        self._clean = True
        self._fed = 0
        if request is None or self._done:
            return
        if self.streaming:
            self._flush_body(True)
            self.streaming = False
            self._body_size = 0
            if not request.keep_alive:
                self._done = True
            return
        if self._body:
            request.body = b"".join(self._body)
            self._body.clear()
            self._body_size = 0
        if len(self.events) >= MAX_PIPELINED:
            raise _Reject(429, "too many requests in a row without reading the answers")
        self.events.append(request)
        if not request.keep_alive:
            self._done = True
