"""Boxes: how to build them and how to walk them. ISO/IEC 14496-12 4.2."""

from collections.abc import Iterator
from typing import NamedTuple

from evotools.errors import ParseError

MAX_CHILDREN = 4096
"""Boxes directly inside one box: a movie of 1000 tracks has about as many; more is an attack on the parser's time."""


class Box(NamedTuple):
    """Where one box lies in a buffer. `start` is behind the header (and behind the extended type of `uuid`)."""

    kind: bytes
    start: int
    end: int


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of the given four-character type around `parts`."""
    size = 8 + sum(map(len, parts))
    # 4.2.2: size 1 announces a 64-bit size behind the type.
    head = size.to_bytes(4, "big") + kind if size < 1 << 32 else b"\0\0\0\1" + kind + (size + 8).to_bytes(8, "big")
    return b"".join((head, *parts))


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box that begins with a version and 24 bits of flags (4.2.2)."""
    return box(kind, (version << 24 | flags).to_bytes(4, "big"), *parts)


def header(data: bytes | bytearray | memoryview, position: int, end: int) -> tuple[bytes, int, int] | None:
    """(type, header size, box size) of the box at `position`; None when `end` comes before the header is whole.

    A size of 0 ("to the end of the file", 4.2.2) is given as it is. Raises ParseError for a size that does not even
    hold the header.
    """
    left = end - position
    if left < 8:
        return None
    size = int.from_bytes(data[position : position + 4], "big")
    kind = bytes(data[position + 4 : position + 8])
    head = 8
    if size == 1:
        head = 16
        if left < head:
            return None
        size = int.from_bytes(data[position + 8 : position + 16], "big")
    if kind == b"uuid":
        head += 16
        if left < head:
            return None
    if size and size < head:
        raise ParseError(f"MP4: a box '{printable(kind)}' of {size} bytes is shorter than its header")
    return kind, head, size


def children(data: bytes | bytearray | memoryview, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes that lie one behind the other between `start` and `end`.

    Raises ParseError for one that reaches beyond `end` and for more than MAX_CHILDREN. Fewer than 8 bytes at the end
    are tolerated: QuickTime ends lists of boxes with 4 zero bytes.
    """
    stop = len(data) if end is None else end
    position = start
    for _ in range(MAX_CHILDREN):
        found = header(data, position, stop)
        if found is None:
            return
        kind, head, size = found
        following = position + size if size else stop
        if following > stop:
            raise ParseError(f"MP4: the box '{printable(kind)}' is longer than what holds it")
        yield Box(kind, position + head, following)
        position = following
    raise ParseError(f"MP4: more than {MAX_CHILDREN} boxes in one")


def child(data: bytes | bytearray | memoryview, parent: Box, kind: bytes) -> Box | None:
    """The first box of type `kind` directly inside `parent`."""
    for found in children(data, parent.start, parent.end):
        if found.kind == kind:
            return found
    return None


def version_flags(data: bytes | bytearray | memoryview, of: Box) -> tuple[int, int]:
    """Version and flags of a full box. Raises ParseError when it is too short for them."""
    if of.end - of.start < 4:
        raise ParseError(f"MP4: the box '{printable(of.kind)}' is too short")
    word = int.from_bytes(data[of.start : of.start + 4], "big")
    return word >> 24, word & 0xFFFFFF


def printable(kind: bytes) -> str:
    """A box type for messages."""
    return "".join(chr(c) if 32 <= c < 127 else "?" for c in kind)
