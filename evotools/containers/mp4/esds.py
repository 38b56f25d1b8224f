"""The elementary stream descriptor of MP4 (ISO/IEC 14496-1 7.2.6, in the box of ISO/IEC 14496-14 5.6)."""

from typing import NamedTuple

from evotools.containers.mp4.boxes import full_box
from evotools.errors import ParseError

ES_DESCRIPTOR, DECODER_CONFIG, DECODER_SPECIFIC, SL_CONFIG = 3, 4, 5, 6
"""Class tags (14496-1 Table 1)."""

MAX_DESCRIPTORS = 32
"""Descriptors of one list; files have three or four."""

AAC, MPEG2_AAC_MAIN, MPEG2_AUDIO, MPEG1_AUDIO = 0x40, 0x66, 0x69, 0x6B
"""objectTypeIndication of audio (14496-1 Table 5, mp4ra.org)."""

VISUAL_STREAM, AUDIO_STREAM = 4, 5
"""streamType (14496-1 Table 6)."""


class Esds(NamedTuple):
    """What a decoder configuration descriptor tells."""

    object_type: int
    specific: bytes
    """DecoderSpecificInfo: an AudioSpecificConfig for AAC."""
    avg_bitrate: int
    """Bits per second; 0 when unknown."""


def _descriptor(tag: int, *parts: bytes) -> bytes:
    size = sum(map(len, parts))
    # 14496-1 8.3.3: sizes in groups of seven bits; always four of them, as every writer does.
    head = bytes((tag, size >> 21 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size & 0x7F))
    return b"".join((head, *parts))


def build(object_type: int, specific: bytes = b"", *, stream: int = AUDIO_STREAM, bitrate_bps: int = 0) -> bytes:
    """The esds box of a track."""
    rate = min(bitrate_bps, 0xFFFF_FFFF).to_bytes(4, "big")
    config = _descriptor(
        DECODER_CONFIG,
        bytes((object_type, stream << 2 | 1)),
        bytes(3),  # bufferSizeDB
        rate,
        rate,
        _descriptor(DECODER_SPECIFIC, specific) if specific else b"",
    )
    # 14496-14 3.1.2: ES_ID is 0 in a file; predefined 2 says that the sync layer is that of MP4.
    return full_box(b"esds", 0, 0, _descriptor(ES_DESCRIPTOR, bytes(3), config, _descriptor(SL_CONFIG, b"\2")))


def _walk(data: bytes, position: int, end: int) -> list[tuple[int, int, int]]:
    """(tag, start, end) of the descriptors between two positions."""
    found: list[tuple[int, int, int]] = []
    for _ in range(MAX_DESCRIPTORS):
        if position >= end:
            return found
        tag, size = data[position], 0
        position += 1
        for _ in range(4):
            if position >= end:
                raise ParseError("esds ends inside a descriptor's size", offset=position)
            byte = data[position]
            position += 1
            size = size << 7 | byte & 0x7F
            if not byte & 0x80:
                break
        # Some cameras count bytes of the enclosing descriptor twice: what is there is what counts.
        stop = min(position + size, end)
        found.append((tag, position, stop))
        position = stop
    raise ParseError(f"esds has more than {MAX_DESCRIPTORS} descriptors in one")


def parse(body: bytes) -> Esds:
    """The body of an esds box, version and flags first. Raises ParseError."""
    for tag, start, end in _walk(body, 4, len(body)):
        if tag == ES_DESCRIPTOR:
            if end - start < 3:
                raise ParseError("esds has a cut ES descriptor", offset=start)
            flags = body[start + 2]
            position = start + 3
            # 14496-1 7.2.6.5: streamDependenceFlag, URL_Flag, OCRstreamFlag
            if flags & 0x80:
                position += 2
            if flags & 0x40:
                position += 1 + (body[position] if position < end else 0)
            if flags & 0x20:
                position += 2
            config = next((d for d in _walk(body, position, end) if d[0] == DECODER_CONFIG), None)
        elif tag == DECODER_CONFIG:
            # QuickTime files of old have it without its frame.
            config = (tag, start, end)
        else:
            continue
        if config is None:
            break
        _, start, end = config
        if end - start < 13:
            raise ParseError("esds has a cut decoder configuration", offset=start)
        specific = b""
        for inner, first, last in _walk(body, start + 13, end):
            if inner == DECODER_SPECIFIC:
                specific = body[first:last]
                break
        return Esds(body[start], specific, int.from_bytes(body[start + 9 : start + 13], "big"))
    raise ParseError("esds has no decoder configuration")
