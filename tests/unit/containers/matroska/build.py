"""Matroska written by hand, element by element."""

import struct
from collections.abc import Sequence

from evotools.containers.matroska.elements import element, number
from tests.unit.codecs import vectors

UNKNOWN = b"\x01\xff\xff\xff\xff\xff\xff\xff"
VIDEO, AUDIO = 1, 2


def small(ident: int, body: bytes) -> bytes:
    """With a size of as few octets as it takes."""
    head = ident.to_bytes((ident.bit_length() + 7) // 8, "big")
    for octets in range(1, 9):
        if len(body) < (1 << 7 * octets) - 1:
            return head + (len(body) | 1 << 7 * octets).to_bytes(octets, "big") + body
    raise AssertionError


def ebml(doctype: str = "matroska", *more: bytes) -> bytes:
    return element(0x1A45DFA3, element(0x4282, doctype.encode()) + b"".join(more))


def info(scale: int = 1_000_000, duration: float | None = None) -> bytes:
    body = number(0x2AD7B1, scale)
    if duration is not None:
        body += element(0x4489, struct.pack(">d", duration))
    return element(0x1549A966, body)


def entry(index: int, kind: int, codec: str, private: bytes = b"", *more: bytes) -> bytes:
    body = number(0xD7, index) + number(0x83, kind) + element(0x86, codec.encode())
    if private:
        body += element(0x63A2, private)
    return element(0xAE, body + b"".join(more))


def video(*more: bytes, index: int = 1, private: bytes = vectors.AVCC_HIGH) -> bytes:
    return entry(index, VIDEO, "V_MPEG4/ISO/AVC", private, *more)


def audio(*more: bytes, index: int = 2, private: bytes = b"\x11\x90") -> bytes:
    return entry(index, AUDIO, "A_AAC", private, *more)


def tracks(*entries: bytes) -> bytes:
    return element(0x1654AE6B, b"".join(entries))


def head(*entries: bytes, scale: int = 1_000_000, duration: float | None = None, doctype: str = "matroska") -> bytes:
    """Everything before the first cluster; the segment has no end."""
    return ebml(doctype) + b"\x18\x53\x80\x67" + UNKNOWN + info(scale, duration) + tracks(*entries)


def segment(*parts: bytes) -> bytes:
    """One that ends."""
    return ebml() + element(0x18538067, b"".join(parts))


def block(index: int, time: int, data: bytes, *, key: bool = False, lacing: int = 0) -> bytes:
    """A SimpleBlock."""
    return small(0xA3, block_body(index, time, data, key=key, lacing=lacing))


def block_body(index: int, time: int, data: bytes, *, key: bool = False, lacing: int = 0) -> bytes:
    return struct.pack(">BhB", 0x80 | index, time, (0x80 if key else 0) | lacing << 1) + data


def group(index: int, time: int, data: bytes, *more: bytes, lacing: int = 0) -> bytes:
    """A BlockGroup."""
    return small(0xA0, small(0xA1, block_body(index, time, data, lacing=lacing)) + b"".join(more))


def cluster(time: int, *blocks: bytes) -> bytes:
    """One without an end."""
    return b"\x1f\x43\xb6\x75" + UNKNOWN + small(0xE7, time.to_bytes(4, "big")) + b"".join(blocks)


def closed(time: int, *blocks: bytes) -> bytes:
    """One with an end."""
    return element(0x1F43B675, small(0xE7, time.to_bytes(4, "big")) + b"".join(blocks))


def picture(n: int) -> bytes:
    """A slice as a canonical payload; every fifth is an IDR picture."""
    unit = (b"\x65\x88\x84" if n % 5 == 0 else b"\x41\x9a\x02") + b"picture %d" % n
    return len(unit).to_bytes(4, "big") + unit


def film(count: int = 10, first: int = 0) -> bytes:
    """Clusters of a picture every 40 ms and sound every 20 ms."""
    out = b""
    for n in range(first, first + count):
        time = n % 5 * 40
        blocks = (block(1, time, picture(n), key=not time), block(2, time, b"sound%d" % n, key=True),
                  block(2, time + 20, b"more%d" % n, key=True))  # fmt: skip
        out += b"".join(blocks) if time else cluster(n * 40, *blocks)
    return out


def stream(count: int = 10) -> bytes:
    return head(video(), audio()) + film(count)


def parts(sizes: Sequence[int]) -> list[bytes]:
    """Frames of these sizes that differ."""
    return [bytes((n + 1,)) * size for n, size in enumerate(sizes)]
