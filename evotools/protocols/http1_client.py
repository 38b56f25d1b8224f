"""HTTP/1.1, client side: addresses, request heads, and the answer to one request as events. RFC 9112, RFC 9110.

Syntax is httptools (llhttp). Its leniencies for a bare LF, blanks behind a chunk size and bytes behind the last answer
are on: old media servers need them, and a connection that carries one answer and is shared with nobody cannot be
smuggled into. Caps and the rules of framing are here.
"""

import base64
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

import httptools

from evotools.errors import ParseError, PeerGone, ProtocolError
from evotools.protocols.http1 import Continue, header_block

MAX_HEAD_BYTES: Final = 64 * 1024
"""Status line and fields of one answer. Proxies limit them to 16 KiB or less; cookies of big sites come near that."""
MAX_FIELDS: Final = 200
"""Fields of one answer, trailers included. Content networks send about 40."""
MAX_INTERIM: Final = 20
"""1xx answers before the final one; nobody sends more than two."""
MAX_OVERHEAD: Final = 64 * 1024
"""Bytes in a row of a chunked body that carry no media: chunk extensions, trailers."""
MAX_ADDRESS: Final = 8192
"""As for every URI that a user gives."""
MAX_REASON: Final = 200
"""Characters of a reason phrase that are kept for messages."""
MAX_RETRY_S: Final = 3600.0
"""Longest wait that a server may ask for: a wrong date must not stop a stream for a day."""
REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_SLICE = 16 * 1024
"""llhttp keeps an unfinished field without bound, so heads go in by slices and are counted."""

# RFC 3986: all that may stand in a path and a query, and the percent sign, which is taken as an encoding.
_TARGET_SAFE = "%/:?[]@!$&'()*+,;=~-._|"
_HOST = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=-]{1,253}|[0-9A-Fa-f:.]{2,45}")
# A name that parameters, a comma or the end follow; names of parameters have their equals sign.
_CHALLENGE = re.compile(r"(?:^|,)[ \t]*([A-Za-z][A-Za-z0-9._-]*)(?=[ \t]+[^ \t=]|[ \t]*(?:,|$))")
_CONTENT_RANGE = re.compile(r"bytes[ \t]+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a request goes. `target` may hold secrets."""

    secure: bool
    host: str
    """A name in ASCII, or an IP address without brackets."""
    port: int
    target: str = "/"
    """Path and query, percent-encoded ASCII."""

    @property
    def origin(self) -> tuple[bool, str, int]:
        """Whom credentials were given for (RFC 6454 4)."""
        return self.secure, self.host, self.port

    @property
    def host_field(self) -> str:
        """The value of the Host field (RFC 9110 7.2)."""
        # RFC 6874 3: a zone has a meaning on this machine only.
        host = self.host.partition("%")[0]
        host = f"[{host}]" if ":" in host else host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    def __repr__(self) -> str:
        return f"Address({'https' if self.secure else 'http'}://{self.host_field})"


def make_address(*, secure: bool, host: str, port: int | None, path: str, query: str) -> Address:
    """An address of parts as users write them, without a fragment and encoded as ASCII. Raises ParseError."""
    if ":" not in host and not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise ParseError("the host name cannot be encoded") from None
    if not _HOST.fullmatch(host.partition("%")[0]):
        raise ParseError("the host name has characters that are not allowed")
    target = path.partition("#")[0] or "/"
    query = query.partition("#")[0]
    if "#" in path:
        query = ""
    if not target.startswith("/"):
        target = f"/{target}"
    if query:
        target = f"{target}?{query}"
    if len(target) > MAX_ADDRESS:
        raise ParseError("the address is too long")
    return Address(secure, host.lower(), port or (443 if secure else 80), quote(target, safe=_TARGET_SAFE))


def redirected(base: Address, location: str) -> Address:
    """The address that a Location field names (RFC 9110 10.2.2); user and password in it are ignored.

    Raises ParseError when it names none, or none of HTTP.
    """
    if len(location) > MAX_ADDRESS:
        raise ParseError("the address is too long")
    try:
        # Some servers send UTF-8 as it is.
        location = location.encode("latin-1").decode("utf-8")
    except UnicodeError:
        pass
    scheme = "https" if base.secure else "http"
    try:
        parts = urlsplit(urljoin(f"{scheme}://{base.host_field}{base.target}", location.strip()))
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise ParseError("the address cannot be read") from None
    if parts.scheme.lower() not in ("http", "https"):
        raise ParseError(f"the address has the scheme '{parts.scheme[:20]}'")
    if port == 0:
        raise ParseError("the address has no usable port")
    secure = parts.scheme.lower() == "https"
    return make_address(secure=secure, host=host, port=port, path=parts.path, query=parts.query)


def request_head(method: str, address: Address, fields: Iterable[tuple[str, str]]) -> bytes:
    """A request head with Host and Connection: close. Raises ParseError for a field that would break it."""
    line = f"{method} {address.target} HTTP/1.1\r\nHost: {address.host_field}\r\n"
    return line.encode("ascii") + header_block(fields) + b"Connection: close\r\n\r\n"


def basic_credentials(user: str, password: str) -> str:
    """The value of an Authorization field (RFC 7617 2). Raises ParseError."""
    if ":" in user:
        raise ParseError("the user name has a colon")
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def challenges(value: str) -> set[str]:
    """Names of the schemes in a WWW-Authenticate field, lower-case (RFC 9110 11.6.1)."""
    return {match[1].lower() for match in _CHALLENGE.finditer(value)}


def retry_after(value: str, now_s: float) -> float | None:
    """Seconds that a Retry-After field asks for at unix time `now_s` (RFC 9110 10.2.3); None when it is unusable."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), MAX_RETRY_S)
    try:
        wait_s = parsedate_to_datetime(value).timestamp() - now_s
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return min(max(wait_s, 0.0), MAX_RETRY_S)


def content_range(value: str) -> tuple[int, int, int | None] | None:
    """First byte, last byte and whole size (None: unknown) of a Content-Range field; None when it is unusable."""
    match = _CONTENT_RANGE.fullmatch(value.strip())
    if not match or int(match[2]) < int(match[1]):
        return None
    total = None if match[3] == "*" else int(match[3])
    if total is not None and total <= int(match[2]):
        return None
    return int(match[1]), int(match[2]), total


@dataclass(frozen=True, slots=True)
class Head:
    """The head of the final answer. Field names are lower-case; repeated fields are joined with a comma and a blank."""

    status: int
    reason: str
    fields: dict[str, str]
    length: int | None
    """Bytes of the body where the head tells."""
    chunked: bool = False

    @property
    def ends_with_connection(self) -> bool:
        """Nothing but the end of the connection ends the body (RFC 9112 6.3)."""
        return self.length is None and not self.chunked


class End:
    """The answer is whole."""

    __slots__ = ()


ClientEvent = Head | Continue | End | bytes
"""In order: any number of Continue, Head, parts of the body, End."""


class ClientConnection:
    """Reads the answer to one request. What follows it is ignored.

    `receive` and `receive_eof` raise ProtocolError and PeerGone; the events up to there are still to be taken.
    """

    def __init__(self) -> None:
        self.events: deque[ClientEvent] = deque()
        """Not yet taken, oldest first."""
        self.done = False
        self.head: Head | None = None
        self.got = 0
        """Bytes of the body so far."""
        self._parser: Any = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True, lenient_data_after_close=True
        )
        self._begin: bytes | None = b""
        self._size = 0
        self._names = 0
        self._interim = 0
        self._overhead = 0
        self._reason = b""
        self._fields: dict[str, str] = {}
        self._body: list[bytes] = []

    def receive(self, data: bytes | bytearray | memoryview, now: float = 0.0) -> None:
        """Bytes from the server. Raises ProtocolError."""
        if self._begin is not None:
            data = self._begin + bytes(data)
            if len(data) < 4 and b"ICY ".startswith(data):
                self._begin = data
                return
            self._begin = None
            if data.startswith(b"ICY "):
                # Shoutcast 1 has a protocol of its own in the first line and HTTP/1.0 in all others.
                data = b"HTTP/1.0 " + data[4:]
        if self.done or not data:
            return
        if len(data) <= _SLICE:
            self._feed(data)
            return
        view = memoryview(data)
        at = 0
        while at < len(view) and not self.done:
            step = _SLICE if self.head is None else len(view)
            self._feed(view[at : at + step])
            at += step

    def _feed(self, data: bytes | bytearray | memoryview) -> None:
        in_head = self.head is None
        try:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade:
                if not self.done:
                    raise ProtocolError("the server switches protocols unasked") from None
            except httptools.HttpParserError as error:
                if not self.done:
                    cause = error.__context__
                    if isinstance(cause, ProtocolError):
                        raise cause from None
                    what = "malformed" if self._parser.get_status_code() else "no answer of HTTP"
                    raise ProtocolError(f"the answer is {what} ({str(error)[:80]})") from None
        finally:
            body = self._body
            if body:
                self.events.append(body[0] if len(body) == 1 else b"".join(body))
                self._body = []
                self._overhead = 0
            elif not in_head:
                self._overhead += len(data)
            if self.done:
                self.events.append(End())
        if in_head and self.head is None:
            self._size += len(data)
            if self._size > MAX_HEAD_BYTES:
                raise ProtocolError("the head of the answer is too large")
        elif self._overhead > MAX_OVERHEAD and not self.done:
            raise ProtocolError("the body of the answer holds next to nothing but its coding")

    def receive_eof(self, now: float = 0.0) -> None:
        """The server closed its side: the end of a body that has no other. Raises PeerGone for any other."""
        if self.done:
            return
        head = self.head
        if head is None:
            raise PeerGone("the server closed the connection without an answer")
        if not head.ends_with_connection:
            of = f" of {head.length}" if head.length is not None else ""
            raise PeerGone(f"the server closed the connection in the middle, after {self.got}{of} bytes")
        self.done = True
        self.events.append(End())

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._reason = b""
        self._fields = {}
        self._names = 0

    def on_status(self, part: bytes) -> None:
        if len(self._reason) < MAX_REASON:
            self._reason += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._names += 1
        if self._names > MAX_FIELDS:
            raise ProtocolError("the head of the answer has too many fields")
        if self.head is not None:
            return  # Trailers never change an answer (RFC 9110 6.5.1).
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1").strip(" \t")
        fields = self._fields
        fields[key] = f"{fields[key]}, {text}" if key in fields else text

    def on_headers_complete(self) -> None:
        if self.done or self.head is not None:
            return
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                raise ProtocolError("the server switches protocols unasked")
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise ProtocolError("the server sends nothing but interim answers")
            if status == 100:
                self.events.append(Continue())
            return
        fields = self._fields
        coding = fields.get("transfer-encoding", "").strip().lower()
        # RFC 2616 had "identity", which is none.
        chunked = coding == "chunked"
        if coding not in ("", "identity", "chunked"):
            raise ProtocolError("the transfer coding of the answer is not understood")
        text = fields.get("content-length", "").strip()
        if text and not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise ProtocolError("the length of the answer is not a number")
        length = 0 if status in (204, 205, 304) else int(text) if text and not chunked else None
        content = fields.get("content-encoding", "").strip().lower()
        if content not in ("", "identity") and 200 <= status < 300:
            raise ProtocolError(f"the server compressed the media ({content[:20]}) though it was asked not to")
        reason = "".join(c for c in self._reason.decode("latin-1")[:MAX_REASON] if c.isprintable())
        self.head = Head(status, reason, fields, length, chunked)
        self.events.append(self.head)

    def on_body(self, part: bytes) -> None:
        if not self.done:
            self._body.append(part)
            self.got += len(part)

    def on_message_complete(self) -> None:
        if self.head is not None:
            self.done = True
