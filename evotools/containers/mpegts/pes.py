"""Packetized elementary stream headers. ISO/IEC 13818-1 2.4.3.6 and 2.4.3.7."""

from typing import NamedTuple

from evotools.containers.mpegts.packet import WRAP
from evotools.errors import ParseError

MAX_PES = 16 << 20
"""Largest access unit taken in: a lossless 8K intra picture stays below this."""
HEADER_MIN = 6
MAX_LENGTH = 0xFFFF
"""PES_packet_length counts in 16 bits; only video may leave it 0 instead."""

PRIVATE_STREAM_1 = 0xBD
AUDIO_STREAM = 0xC0
VIDEO_STREAM = 0xE0

# 2.4.3.7: program_stream_map, padding, private_stream_2, ECM, EMM, DSM-CC, H.222.1 type E, directory
_PLAIN = frozenset((0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF))
PADDING_STREAM = 0xBE


class Pes(NamedTuple):
    """What a PES header says. Times are raw 33-bit values; `offset` is where the payload begins."""

    stream_id: int
    pts: int | None
    dts: int | None
    offset: int
    scrambled: bool


def pes_size(data: bytes | bytearray) -> int:
    """The whole size of the PES packet that starts in `data` (6 bytes at least), or 0 when it says none."""
    length = data[4] << 8 | data[5]
    return length + HEADER_MIN if length else 0


def _timestamp(data: bytes | bytearray, at: int) -> int:
    # The four bits in front and the marker bits are not checked: several encoders write them wrong.
    return (
        (data[at] & 0x0E) << 29
        | data[at + 1] << 22
        | (data[at + 2] & 0xFE) << 14
        | data[at + 3] << 7
        | data[at + 4] >> 1
    )


def parse_pes(data: bytes | bytearray) -> Pes:
    """The header of the PES packet in `data`. Raises ParseError."""
    if len(data) < HEADER_MIN or data[0] or data[1] or data[2] != 1:
        raise ParseError("PES packet without its start code")
    stream_id = data[3]
    if stream_id in _PLAIN:
        return Pes(stream_id, None, None, HEADER_MIN, False)
    if len(data) < 9 or data[6] & 0xC0 != 0x80:
        raise ParseError("PES header cut short or not of MPEG-2 form")
    flags, offset = data[7], 9 + data[8]
    if offset > len(data):
        raise ParseError("PES header runs past its packet")
    pts = dts = None
    if flags & 0x80 and data[8] >= 5:
        pts = dts = _timestamp(data, 9)
        if flags & 0x40 and data[8] >= 10:
            dts = _timestamp(data, 14)
    return Pes(stream_id, pts, dts, offset, bool(data[6] & 0x30))


def _encode(prefix: int, ticks: int) -> int:
    """A time stamp's 40 bits."""
    return prefix << 36 | (ticks >> 30 & 7) << 33 | (ticks >> 15 & 0x7FFF) << 17 | (ticks & 0x7FFF) << 1 | 0x100010001


def pes_header(stream_id: int, payload_size: int, pts: int, dts: int) -> bytes:
    """A header for `payload_size` bytes that start with an access unit; times in 90 kHz ticks, reduced to 33 bits.

    PES_packet_length is filled when it fits, so that readers need not wait for the next packet; else it is 0, which
    the standard allows for video only: callers split everything else.
    """
    pts %= WRAP
    dts %= WRAP
    single = pts == dts
    length = payload_size + (8 if single else 13)
    if length > MAX_LENGTH:
        length = 0
    # 0x84: MPEG-2 header with data_alignment_indicator; then which times follow, and their size.
    head = (0x100 | stream_id) << 40 | length << 24
    if single:
        return ((head | 0x848005) << 40 | _encode(2, pts)).to_bytes(14, "big")
    return ((head | 0x84C00A) << 80 | _encode(3, pts) << 40 | _encode(1, dts)).to_bytes(19, "big")
