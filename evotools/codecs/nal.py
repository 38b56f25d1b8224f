"""NAL units of H.264 and H.265: Annex B byte streams, length-prefixed payloads, emulation prevention.

These run once per frame: they stay with find, slices and join.
"""

from collections.abc import Iterable

from evotools.errors import ParseError

MAX_NALS = 4096
"""NAL units of one access unit. Level 6.2 allows 600 slices; a megabyte of empty ones would hold the event loop."""

START_CODE = b"\0\0\0\1"
_SHORT_START = b"\0\0\1"

Bytes = bytes | bytearray | memoryview


def split_annexb(data: Bytes) -> list[bytes]:
    """The NAL units of an Annex B byte stream (H.264 and H.265 B.1), without start codes.

    Takes 3- and 4-byte start codes, leading and trailing zero bytes. Bytes before the first start code belong to
    no NAL unit and are dropped; empty units too. A stream without a start code gives an empty list. Raises ParseError
    for more than MAX_NALS start codes.
    """
    if not isinstance(data, bytes):
        data = bytes(data)
    find = data.find
    units: list[bytes] = []
    append = units.append
    start = find(_SHORT_START) + 3
    if start == 2:
        return units
    for _ in range(MAX_NALS):
        following = find(_SHORT_START, start)
        if following < 0:
            unit = data[start:]
        elif data[following - 1]:
            unit = data[start:following]
        else:
            # The zero_byte of a 4-byte start code.
            unit = data[start : following - 1]
        # A NAL unit never ends with a zero byte (H.264 7.4.1): these are trailing_zero_8bits.
        if unit and not unit[-1]:
            unit = unit.rstrip(b"\0")
        if unit:
            append(unit)
        if following < 0:
            return units
        start = following + 3
    raise ParseError(f"more than {MAX_NALS} NAL units in one access unit")


def join_annexb(nals: Iterable[Bytes]) -> bytes:
    """An Annex B byte stream of `nals`, each behind a 4-byte start code."""
    units = list(nals)
    return START_CODE + START_CODE.join(units) if units else b""


def split_lengths(payload: Bytes, size: int = 4) -> list[bytes]:
    """The NAL units of a length-prefixed payload (ISO/IEC 14496-15 5.3.2). `size` is 1 to 4 bytes per length.

    Empty units are dropped. Raises ParseError when a length reaches beyond the payload, and for more than MAX_NALS
    units.
    """
    if not isinstance(payload, bytes):
        payload = bytes(payload)
    units: list[bytes] = []
    position, total = 0, len(payload)
    from_bytes = int.from_bytes
    while position < total:
        start = position + size
        position = start + from_bytes(payload[position:start], "big")
        if position > total or start > total:
            raise ParseError(f"a NAL unit reaches beyond its {total} byte payload", offset=start - size)
        if position > start:
            units.append(payload[start:position])
            if len(units) > MAX_NALS:
                raise ParseError(f"more than {MAX_NALS} NAL units in one access unit")
    return units


def join_lengths(nals: Iterable[Bytes]) -> bytes:
    """The canonical payload: each NAL unit behind its length in four bytes."""
    parts: list[Bytes] = []
    for unit in nals:
        parts.append(len(unit).to_bytes(4, "big"))
        parts.append(unit)
    return b"".join(parts)


def relength(payload: Bytes, size: int) -> bytes:
    """The canonical 4-byte lengths for a payload whose lengths have `size` bytes. Raises ParseError."""
    return bytes(payload) if size == 4 else join_lengths(split_lengths(payload, size))


def annexb_from_lengths(payload: Bytes) -> bytes:
    """A canonical payload as an Annex B byte stream with 4-byte start codes. Raises ParseError."""
    total = len(payload)
    # Most pictures are one slice: one comparison and one copy.
    if total >= 4 and int.from_bytes(payload[:4], "big") == total - 4:
        return b"".join((START_CODE, memoryview(payload)[4:])) if total > 4 else b""
    return join_annexb(split_lengths(payload))


def unescape(nal: Bytes) -> bytes:
    """The NAL unit without its emulation prevention bytes (H.264 7.3.1, H.265 7.3.1.1)."""
    return bytes(nal).replace(b"\0\0\3", b"\0\0")


def escape(rbsp: Bytes) -> bytes:
    """The NAL unit for `rbsp` (header bytes included): emulation prevention bytes inserted."""
    out = bytearray()
    zeros = 0
    for byte in bytes(rbsp):
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    if out and not out[-1]:
        # A unit must not end with a zero byte (H.264 7.4.1, cabac_zero_word).
        out.append(3)
    return bytes(out)
