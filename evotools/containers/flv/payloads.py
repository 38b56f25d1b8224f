"""Frame payloads as FLV carries them, into the canonical form."""

import struct

from evotools.codecs.nal import MAX_NALS, relength
from evotools.errors import ParseError

_U32 = struct.Struct(">I")
_unpack_u32 = _U32.unpack_from

# H.264 table 7-1 and H.265 table 7-1: access unit delimiters.
_H264_AUD, _H265_AUD = 9, 35


def nal_payload(payload: bytes, codec: str, length_size: int) -> bytes:
    """`payload` with 4-byte NAL unit lengths, every one checked, and without a leading access unit delimiter.

    The canonical form comes back unchanged and uncopied. Raises ParseError when the lengths do not add up, and for more
    than MAX_NALS units.
    """
    if length_size != 4:
        payload = relength(payload, length_size)
    position, end, count = 0, len(payload), 0
    try:
        while position < end:
            size = _unpack_u32(payload, position)[0]
            if size == 0:
                return nal_payload(_without_empty(payload), codec, 4)
            position += 4 + size
            count += 1
            if count > MAX_NALS:
                raise ParseError(f"more than {MAX_NALS} NAL units in one frame")
    except struct.error:
        # Padding after the last unit, seen from hardware encoders.
        if payload.count(0, position) != end - position:
            position = end + 1
        else:
            payload = payload[:position]
            end = position
    if position != end or end < 5:
        raise ParseError("the lengths of the NAL units do not add up to the frame")
    first = payload[4]
    if (first & 0x1F == _H264_AUD) if codec == "h264" else (first >> 1 & 0x3F == _H265_AUD):
        payload = payload[4 + _unpack_u32(payload, 0)[0] :]
    return payload


def _without_empty(payload: bytes) -> bytes:
    parts: list[bytes] = []
    position, end, count = 0, len(payload), 0
    # Zeros behind the last unit are as many as the encoder likes.
    used = len(payload.rstrip(b"\0"))
    while position < used and position + 4 <= end:
        size = _unpack_u32(payload, position)[0]
        if size:
            parts.append(payload[position : position + 4 + size])
        position += 4 + size
        count += 1
        if count > MAX_NALS:
            raise ParseError(f"more than {MAX_NALS} NAL units in one frame")
    if position > end:
        raise ParseError("the lengths of the NAL units do not add up to the frame")
    return b"".join(parts)
