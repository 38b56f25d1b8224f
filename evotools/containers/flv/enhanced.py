"""The framing of Enhanced RTMP v2 bodies: ModEx signals and multitrack."""

from collections.abc import Iterator

from evotools.containers.flv.names import Multitrack, PacketType
from evotools.errors import ParseError


def skip_mod_ex(body: bytes | memoryview, packet_type: int) -> tuple[int, int, int]:
    """The packet type behind all ModEx signals, the position behind them, and the nanosecond offset.

    Raises IndexError when the body ends before.
    """
    position, nano = 1, 0
    while packet_type == PacketType.MOD_EX:
        size = body[position] + 1
        position += 1
        if size == 256:
            size = (body[position] << 8 | body[position + 1]) + 1
            position += 2
        data, position = position, position + size
        kind, packet_type = body[position] >> 4, body[position] & 0x0F
        position += 1
        # ModEx type 0, TimestampOffsetNano: UI24, at most 999,999.
        if kind == 0 and size >= 3:
            nano = body[data] << 16 | body[data + 1] << 8 | body[data + 2]
    return packet_type, position, nano


def packets_of(
    body: bytes | memoryview, packet_type: int, position: int, multitrack: int
) -> Iterator[tuple[int, bytes, int, bytes]]:
    """Packet type, FourCC, track number and data of each track in an enhanced body.

    Raises IndexError or ParseError when the body is cut off.
    """
    if packet_type != multitrack:
        fourcc = bytes(body[position : position + 4])
        if len(fourcc) < 4:
            raise ParseError("the FourCC is cut off", offset=position)
        yield packet_type, fourcc, 0, bytes(body[position + 4 :])
        return
    kind, packet_type = body[position] >> 4, body[position] & 0x0F
    position += 1
    if packet_type == multitrack or kind > Multitrack.MANY_TRACKS_MANY_CODECS:
        raise ParseError("the multitrack header is malformed", offset=position - 1)
    fourcc = b""
    if kind != Multitrack.MANY_TRACKS_MANY_CODECS:
        fourcc = bytes(body[position : position + 4])
        position += 4
    end = len(body)
    while True:
        if kind == Multitrack.MANY_TRACKS_MANY_CODECS:
            fourcc = bytes(body[position : position + 4])
            position += 4
        index = body[position]
        position += 1
        if kind == Multitrack.ONE_TRACK:
            yield packet_type, fourcc, index, bytes(body[position:])
            return
        # sizeOfTrack, UI24, counts from behind itself.
        size = body[position] << 16 | body[position + 1] << 8 | body[position + 2]
        position += 3
        if position + size > end:
            raise ParseError("a track runs past the end of its multitrack body", offset=position)
        yield packet_type, fourcc, index, bytes(body[position : position + size])
        position += size
        if position >= end:
            return
