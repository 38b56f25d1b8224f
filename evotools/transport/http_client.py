"""HTTP/1.1 as a client: connections with one request each, redirects, credentials, time-outs, uploads.

Media is large and connections are few: none is kept for a second request. What the server sends waits in memory up to
MAX_UNREAD bytes, after which the socket is no longer read.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from evotools.errors import (
    EvotoolsError,
    NoMediaError,
    ParseError,
    PeerGone,
    ProtocolError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from evotools.log import get_logger, scrub
from evotools.protocols import http1_client
from evotools.protocols.http1 import Continue
from evotools.protocols.http1_client import REDIRECTS, Address, ClientConnection, End, Head, redirected, request_head
from evotools.transport.tcp import explain, no_delay
from evotools.transport.tls import HANDSHAKE_TIMEOUT_S, client_context, explain_tls

log = get_logger("http.client")

TIMEOUT_S: Final = 10.0
"""Default for each of: connecting, waiting for an answer, silence in the middle of media."""
MAX_REDIRECTS: Final = 5
"""What browsers of old and RFC 2068 10.3 took for a loop; services that balance load need two."""
MAX_UNREAD: Final = 4 * 2**20
"""Bytes of media that wait for the pipeline before the socket is no longer read."""
EXPECT_S: Final = 1.0
"""How long an upload waits for `100 Continue`; servers that know nothing of it say nothing (RFC 9110 10.1.1)."""
LINGER_S: Final = 2.0
"""How long a connection stays after an upload whose good answer came first, for what is still on its way."""
EXPLANATION_S: Final = 1.0
"""How long the text of a refusal may take."""
MAX_EXPLANATION: Final = 160
"""Characters of it that are shown."""
HIGH_WATER: Final = 1 << 20
"""Bytes of an upload on their way before `drain` waits."""
SILENT_MS: Final = 30_000
"""A server that confirms nothing for so long is gone; the kernel alone would wait for a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How requests are made."""

    name: str
    """Whom messages speak of, already redacted."""
    timeout_s: float = TIMEOUT_S
    verify: bool = True
    ca_file: str = ""
    """Of trusted certificates, instead of the system's."""
    user_agent: str = "evotools"
    credentials: str = field(default="", repr=False)
    """Value of the Authorization field; only ever sent to the origin that the user named."""
    downgrade: bool = False
    """Follow redirects from https to http."""


class Exchange(asyncio.Protocol):
    """One connection, one request, one answer."""

    def __init__(self, address: Address, settings: Settings) -> None:
        self.address = address
        self.head: Head | None = None
        self._name = settings.name
        self._timeout_s = settings.timeout_s
        self._machine = ClientConnection()
        self._transport: asyncio.Transport
        self._parts: list[bytes] = []
        self._unread = 0
        self._reading_paused = False
        self.continued = False
        """The server asked for the body."""
        self._ended = False
        self._error: EvotoolsError | None = None
        self._closed = False
        self._wake = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(HIGH_WATER)
        sock = transport.get_extra_info("socket")
        no_delay(sock)
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        try:
            self._machine.receive(data)
        except ProtocolError as error:
            self._fail(ProtocolError(f"{self._name}: {error.message}"))
        self._take()
        if self._unread > MAX_UNREAD and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._eof()
        return False

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, OSError):
            tls = explain_tls(self._name, exc)
            reason = exc.strerror or "the connection broke"
            self._fail(tls or PeerGone(f"{self._name}: {reason}"))
        self._eof()
        self._writable.set()

    def _eof(self) -> None:
        if self._error is None and not self._closed:
            try:
                self._machine.receive_eof()
            except PeerGone as error:
                self._fail(PeerGone(f"{self._name}: {error.message}"))
        self._take()

    def _take(self) -> None:
        events = self._machine.events
        while events:
            event = events.popleft()
            if isinstance(event, bytes):
                self._parts.append(event)
                self._unread += len(event)
            elif isinstance(event, Head):
                self.head = event
            elif isinstance(event, Continue):
                self.continued = True
            else:
                assert isinstance(event, End)
                self._ended = True
        self._wake.set()

    def _fail(self, error: EvotoolsError) -> None:
        if self._error is None and not self._machine.done:
            self._error = error
        self._wake.set()

    # Called by the owner.

    async def answer(self, within_s: float | None = None) -> Head | None:
        """The head of the answer; None when there is none `within_s`, or when the server wants the body first.

        Without `within_s` the exchange's time-out holds and there always is one. Raises PeerGone, ProtocolError,
        UnreachableError.
        """
        try:
            async with asyncio.timeout(self._timeout_s if within_s is None else within_s):
                while self.head is None:
                    if self._error is not None:
                        raise self._error
                    if within_s is not None and self.continued:
                        return None
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            if within_s is not None:
                return None
            raise UnreachableError(
                f"{self._name}: no answer within {self._timeout_s:g} s", hint="option timeout allows more"
            ) from None
        return self.head

    async def read(self) -> bytes:
        """What came of the body; empty at its end. Raises PeerGone, ProtocolError, NoMediaError after a silence."""
        if not self._parts:
            try:
                async with asyncio.timeout(self._timeout_s):
                    while not self._parts:
                        if self._ended:
                            return b""
                        if self._error is not None:
                            raise self._error
                        self._wake.clear()
                        await self._wake.wait()
            except TimeoutError:
                raise NoMediaError(
                    f"{self._name}: nothing came for {self._timeout_s:g} s", hint="option timeout allows more"
                ) from None
        parts = self._parts
        self._parts = []
        self._unread = 0
        if self._reading_paused:
            self._reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, parts: Sequence[bytes]) -> None:
        """Queue bytes of the request. Silent when the server has gone; `drain` tells."""
        if not self._transport.is_closing():
            self._transport.writelines(parts)

    async def drain(self) -> None:
        """Wait while the server is slow. Raises when it has gone, or has refused."""
        await self._writable.wait()
        if self.head is not None and not self.accepted:
            raise await refusal(self, self.head, self._name, upload=True)
        if self._error is not None:
            raise self._error
        if self._transport.is_closing():
            raise PeerGone(f"{self._name}: the server closed the connection")

    @property
    def accepted(self) -> bool:
        """The answer is there and a good one. Icecast and ffmpeg give it to an upload before they read the body."""
        return self.head is not None and 200 <= self.head.status < 300

    async def linger(self) -> None:
        """Wait until the server has taken the rest of an upload that it accepted before, as far as that can be seen."""
        try:
            async with asyncio.timeout(LINGER_S):
                while not self._ended and self._error is None:
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            pass
        self._closed = True
        self._transport.close()

    def close(self) -> None:
        """Drop the connection. Safe to call twice."""
        self._closed = True
        self._fail(PeerGone(f"{self._name}: closed"))
        self._transport.abort()


class HttpClient:
    """Makes requests for one endpoint."""

    def __init__(self, address: Address, settings: Settings) -> None:
        self.address = address
        self.settings = settings
        self._context: ssl.SSLContext | None = None

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            try:
                self._context = client_context(self.settings.verify, self.settings.ca_file)
            except UsageError as error:
                raise UsageError(f"{self.settings.name}: {error.message}", hint=error.hint) from None
        return self._context

    async def _connect(self, address: Address) -> Exchange:
        name, timeout_s = self.settings.name, self.settings.timeout_s
        where = name if address.origin == self.address.origin else f"{name} (redirected to {address.host_field})"
        context = self._tls() if address.secure else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                _, exchange = await loop.create_connection(
                    lambda: Exchange(address, self.settings),
                    address.host,
                    address.port,
                    ssl=context,
                    server_hostname=address.host.partition("%")[0] if context else None,
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if context else None,
                )
        except TimeoutError:
            raise UnreachableError(f"{where}: no connection within {timeout_s:g} s") from None
        except OSError as error:
            raise explain_tls(where, error) or explain(where, error) from None
        return exchange

    def _head(
        self, method: str, address: Address, fields: Sequence[tuple[str, str]], *, credentials: bool
    ) -> list[bytes]:
        settings = self.settings
        # Compression of media gains nothing and costs a second framing that ends elsewhere.
        all_fields = [("User-Agent", settings.user_agent), ("Accept-Encoding", "identity"), *fields]
        if credentials and settings.credentials and address.origin == self.address.origin:
            all_fields.append(("Authorization", settings.credentials))
        try:
            return [request_head(method, address, all_fields)]
        except ParseError as error:
            raise UsageError(f"{settings.name}: {error.message}") from None

    def _follow(self, address: Address, head: Head) -> Address:
        """Where a redirect leads. Raises ProtocolError, RefusedError."""
        name = self.settings.name
        location = head.fields.get("location", "")
        if not location:
            raise ProtocolError(f"{name}: the server redirects ({head.status}) without an address")
        try:
            new = redirected(address, location)
        except ParseError as error:
            raise ProtocolError(f"{name}: the server redirects elsewhere, and {error.message}") from None
        if address.secure and not new.secure and not self.settings.downgrade:
            raise RefusedError(
                f"{name}: the server redirects to {new.host_field} without TLS", hint="add insecure_redirects=1"
            )
        log.debug("%s: redirected (%d) to %s", name, head.status, new.host_field)
        return new

    async def get(self, offset: int = 0, etag: str = "", address: Address | None = None) -> Exchange:
        """Ask for everything from `offset` on; gives the exchange with the final answer, whatever its status.

        With `etag` the server sends the whole when it is no longer that (RFC 9110 13.1.5). `address` saves redirects
        that were followed before. Raises UnreachableError, RefusedError, PeerGone, ProtocolError.
        """
        fields = [("Accept", "*/*"), ("Range", f"bytes={offset}-")]
        if etag:
            fields.append(("If-Range", etag))
        target = address or self.address
        # Sent when asked for only: a server of Digest authentication never sees the password.
        asked = False
        redirects = 0
        while True:
            request = self._head("GET", target, fields, credentials=asked or target.secure)
            exchange = await self._connect(target)
            try:
                exchange.write(request)
                head = await exchange.answer()
                assert head is not None
                if head.status in REDIRECTS:
                    redirects += 1
                    if redirects > MAX_REDIRECTS:
                        raise ProtocolError(f"{self.settings.name}: more than {MAX_REDIRECTS} redirects")
                    target = self._follow(target, head)
                elif self._wants_credentials(target, head) and not asked and not target.secure:
                    asked = True
                else:
                    return exchange
            except BaseException:
                exchange.close()
                raise
            exchange.close()

    def _wants_credentials(self, address: Address, head: Head) -> bool:
        if head.status not in (401, 403) or not self.settings.credentials or address.origin != self.address.origin:
            return False
        names = http1_client.challenges(head.fields.get("www-authenticate", ""))
        return not names or "basic" in names

    async def upload(self, method: str, mime: str) -> Exchange:
        """Begin a request with a chunked body; gives the exchange once the server wants it or says nothing.

        Raises UnreachableError, RefusedError, NoMediaError, PeerGone, ProtocolError.
        """
        target = self.address
        expect = True
        redirects = 0
        while True:
            fields = [("Content-Type", mime), ("Transfer-Encoding", "chunked")]
            if expect:
                fields.append(("Expect", "100-continue"))
            request = self._head(method, target, fields, credentials=True)
            exchange = await self._connect(target)
            try:
                exchange.write(request)
                head = await exchange.answer(EXPECT_S) if expect else None
                if head is None or exchange.accepted:
                    return exchange
                if head.status == 417 and expect:
                    expect = False
                elif head.status in REDIRECTS - {303}:
                    redirects += 1
                    if redirects > MAX_REDIRECTS:
                        raise ProtocolError(f"{self.settings.name}: more than {MAX_REDIRECTS} redirects")
                    target = self._follow(target, head)
                else:
                    raise await refusal(exchange, head, self.settings.name, upload=True)
            except BaseException:
                exchange.close()
                raise
            exchange.close()


async def refusal(exchange: Exchange, head: Head, name: str, *, upload: bool = False) -> EvotoolsError:
    """The error for an answer that is not what was asked for, with the server's own words where it has any."""
    status = head.status
    said = await _explanation(exchange, head) or head.reason
    told = f"{status} {said}".strip()
    if 200 <= status < 300:
        return NoMediaError(f"{name}: the server has nothing to send ({told})")
    if status in (401, 407):
        hint = "user:password@ in front of the host names them"
        return RefusedError(f"{name}: the server wants credentials, or others ({told})", hint=hint)
    if status in (404, 410) and not upload:
        # Nobody publishes yet: no refusal of ours, and worth another try.
        return NoMediaError(f"{name}: the server has no such stream ({told})")
    if status in (408, 425, 429) or status >= 500:
        error = UnreachableError(f"{name}: the server cannot serve now ({told})")
        error.retry_after_s = http1_client.retry_after(head.fields.get("retry-after", ""), time.time())
        return error
    if status >= 400:
        return RefusedError(f"{name}: the server refuses ({told})")
    return ProtocolError(f"{name}: the server answers {told}")


async def _explanation(exchange: Exchange, head: Head) -> str:
    """First line of a plain text body."""
    if not head.fields.get("content-type", "").lower().startswith("text/plain"):
        return ""
    text = b""
    try:
        async with asyncio.timeout(EXPLANATION_S):
            while len(text) < MAX_EXPLANATION and b"\n" not in text.strip() and (data := await exchange.read()):
                text += data
    except (EvotoolsError, TimeoutError):
        pass
    line = text.decode("utf-8", "replace").strip().split("\n", 1)[0].strip()
    return scrub("".join(c for c in line[:MAX_EXPLANATION] if c.isprintable()))
