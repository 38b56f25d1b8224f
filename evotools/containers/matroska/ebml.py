"""EBML elements read from bytes (RFC 8794 4 to 7)."""

import struct
from collections.abc import Iterator
from math import isfinite
from typing import Final

from evotools.errors import ParseError

UNKNOWN: Final = -1
"""Size of an element that ends where something begins that cannot be inside it (RFC 8794 6.2)."""
MAX_HEAD: Final = 12
"""Bytes of an identifier and a size: RFC 9559 3 has EBMLMaxIDLength 4, RFC 8794 6 sizes of up to 8."""
MAX_TEXT: Final = 1024
"""Bytes of a text that is kept; names of tracks are words."""


def head(data: bytes, at: int, end: int) -> tuple[int, int, int] | None:
    """(identifier, bytes of identifier and size, size or UNKNOWN) of the element at `at`; None when it is cut at `end`.

    Raises ParseError for what cannot be an element.
    """
    if at >= end:
        return None
    # RFC 8794 5: identifiers keep their length marker. 4.1: leading zeros tell the length.
    width = 9 - data[at].bit_length()
    if width > 4:
        raise ParseError("an element identifier is longer than four octets", offset=at)
    place = at + width
    if place >= end:
        return None
    first = data[place]
    octets = 9 - first.bit_length()
    if octets > 8:
        raise ParseError("an element size is longer than eight octets", offset=place)
    body = place + octets
    if body > end:
        return None
    size = int.from_bytes(data[place:body], "big") & (1 << 7 * octets) - 1
    if size == (1 << 7 * octets) - 1:
        size = UNKNOWN
    return int.from_bytes(data[at:place], "big"), body - at, size


def vint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(value, where it ends) of a number of variable size. Raises ParseError when it does not end before `end`."""
    octets = 9 - data[at].bit_length() if at < end else 9
    if octets > 8 or at + octets > end:
        raise ParseError("a number of variable size is cut off", offset=at)
    return int.from_bytes(data[at : at + octets], "big") & (1 << 7 * octets) - 1, at + octets


def children(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(identifier, begin of the body, end of the body) of the elements from `start` to `end`. Raises ParseError."""
    while start < end:
        found = head(data, start, end)
        if found is None:
            raise ParseError("an element is cut off", offset=start)
        ident, length, size = found
        body = start + length
        if size == UNKNOWN or body + size > end:
            raise ParseError(f"the element {ident:X} is longer than what it is in", offset=start)
        yield ident, body, body + size
        start = body + size


def uint(data: bytes) -> int:
    """An unsigned integer; empty is 0 (RFC 8794 7.2). Raises ParseError."""
    if len(data) > 8:
        raise ParseError(f"an integer of {len(data)} octets")
    return int.from_bytes(data, "big")


def real(data: bytes) -> float:
    """A float of 0, 4 or 8 octets (RFC 8794 7.3); what is not finite is 0. Raises ParseError."""
    if len(data) not in (0, 4, 8):
        raise ParseError(f"a float of {len(data)} octets")
    value: float = struct.unpack(">d" if len(data) == 8 else ">f", data)[0] if data else 0.0
    return value if isfinite(value) else 0.0


def text(data: bytes) -> str:
    """A text up to its first zero octet (RFC 8794 7.4, 7.5); empty when it cannot be printed."""
    value = data[:MAX_TEXT].split(b"\0", 1)[0].decode("utf-8", "replace").strip()
    return value if value.isprintable() else ""
