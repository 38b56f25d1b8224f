"""One HTTP/1.1 request, the pieces in which it comes, and how paths and queries are decoded. RFC 9112, RFC 3986."""

import re
from urllib.parse import parse_qsl, unquote_to_bytes

from evotools.errors import ParseError

MAX_QUERY_FIELDS = 64
"""Fields of one query string."""


class Request:
    """One complete request. Header names are lower-case; repeated fields are joined with a comma and a blank.

    Never changed: connections share the requests of equal heads.
    """

    __slots__ = (
        "body", "expects", "headers", "host", "keep_alive", "method", "minor", "path", "query", "streamed", "upgrade",
    )  # fmt: skip

    def __init__(self, method: str, path: str, query: str, minor: int, headers: dict[str, str]) -> None:
        self.method = method
        self.path = path
        """Decoded; begins with `/`, or is `*` (OPTIONS only)."""
        self.query = query
        """Raw, without the question mark."""
        self.minor = minor
        """0 for HTTP/1.0, else 1."""
        self.headers = headers
        self.host = headers.get("host", "")
        """Of an absolute-form target when there was one (RFC 9112 3.2.2), else of the Host field."""
        self.body = b""
        self.streamed = False
        """The body follows as `Body` events, however long it is."""
        self.expects = False
        """Of a streamed body: the client waits for `CONTINUE` before it sends (RFC 9110 10.1.1)."""
        self.keep_alive = True
        self.upgrade = False
        """The client offers to switch protocols; answering plainly is allowed (RFC 9110 7.8)."""

    def fields(self) -> dict[str, str]:
        """The query, decoded; of repeated names the last. Raises ParseError."""
        return parse_query(self.query) if self.query else {}

    def __repr__(self) -> str:
        return f"Request({self.method} {self.path})"


class BadRequest:
    """The end of a connection: answer with `status` and close."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason

    def __repr__(self) -> str:
        return f"BadRequest({self.status} {self.reason})"


class Continue:
    """The client waits for `100 Continue` before it sends a body that is collected (RFC 9110 10.1.1)."""

    __slots__ = ()


class Body:
    """A piece of a streamed body, in wire order behind its request."""

    __slots__ = ("data", "last")

    def __init__(self, data: bytes, last: bool) -> None:
        self.data = data
        self.last = last
        """The body is whole with this piece."""

    def __repr__(self) -> str:
        return f"Body({self.data!r}, {self.last})"


HttpEvent = Request | BadRequest | Continue | Body


def parse_query(query: str) -> dict[str, str]:
    """Decode `a=1&b=2`; of repeated names the last. Raises ParseError."""
    try:
        return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="strict"))
    except ValueError:
        raise ParseError("the query string cannot be decoded") from None


def decode_path(raw: str) -> str:
    """The path with percent-encoding undone.

    An encoded slash, backslash, dot or control character is refused: it has no use in a stream name, and two
    readings of it (a proxy's and ours) are how access rules are bypassed. Raises ParseError.
    """
    if "%" in raw:
        decoded = unquote_to_bytes(raw)
        if b"%" in decoded or re.search(r"%(?:2[ef]|5c|7f|[01])", raw, re.IGNORECASE):
            raise ParseError("the path has an encoding that is not allowed")
        try:
            raw = decoded.decode()
        except UnicodeDecodeError:
            raise ParseError("the path is not UTF-8") from None
    if "\\" in raw:
        raise ParseError("the path has a backslash")
    return raw
