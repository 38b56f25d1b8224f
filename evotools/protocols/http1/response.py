"""The bytes of HTTP/1.1 response heads, and ranges of what is answered. RFC 9112, RFC 9110."""

import re
from collections.abc import Iterable
from http import HTTPStatus

from evotools.errors import ParseError

SERVER_NAME = b"evotools"

_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("latin-1") for status in HTTPStatus
}
_KEEP_ALIVE_10 = b"Connection: keep-alive\r\n"
_CLOSE = b"Connection: close\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def header_block(fields: Iterable[tuple[str, str]]) -> bytes:
    """Encode header fields for `response_head`. Raises ParseError for a name or value that would break the head."""
    lines = []
    for name, value in fields:
        if not _FIELD_NAME.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
            raise ParseError(f"header field {name!r} has characters that are not allowed")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")


def response_head(
    status: int,
    fields: bytes,
    date: bytes,
    *,
    length: int | None,
    keep_alive: bool,
    minor: int = 1,
) -> bytes:
    """A response head.

    `fields` is from `header_block`; `date` the value of the Date field (RFC 9110 6.6.1). `length` None leaves
    Content-Length out: for 1xx, 204 and 304, and for streams that end with the connection.
    """
    if keep_alive:
        connection = b"" if minor else _KEEP_ALIVE_10
    else:
        connection = _CLOSE
    if length is None:
        return b"%bServer: %b\r\nDate: %b\r\n%b%b\r\n" % (
            _STATUS_LINES[status], SERVER_NAME, date, fields, connection,
        )  # fmt: skip
    return b"%bServer: %b\r\nDate: %b\r\n%bContent-Length: %d\r\n%b\r\n" % (
        _STATUS_LINES[status], SERVER_NAME, date, fields, length, connection,
    )  # fmt: skip


class UnsatisfiableRange(ParseError):
    """The range lies outside the representation: answer 416 with `Content-Range: bytes */SIZE`."""


_RANGE = re.compile(r"bytes=[ \t]*(\d{0,19})-(\d{0,19})[ \t]*", re.IGNORECASE)


def parse_range(value: str, size: int) -> tuple[int, int] | None:
    """First and last byte (inclusive) of a Range field over `size` bytes, or None to send the whole.

    RFC 9110 14.2: a malformed field, another unit, and several ranges at once (which this server does not
    offer) are ignored. Raises UnsatisfiableRange.
    """
    match = _RANGE.fullmatch(value.strip())
    if not match or (not match[1] and not match[2]):
        return None
    if not match[1]:
        suffix = int(match[2])
        if not suffix or not size:
            raise UnsatisfiableRange("the range is empty")
        return max(size - suffix, 0), size - 1
    first = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return None
    if first >= size:
        raise UnsatisfiableRange("the range begins past the end")
    return first, min(last, size - 1)
