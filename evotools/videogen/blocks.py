"""Time that machines can read: a grid of black and white blocks in the picture.

The grid lies at fractions of the picture's size, so it survives scaling as well as compression. Each of its 4 rows
has 2 white and black sync blocks on either side and 28 data blocks between them, white = 1. The 112 bits, row by row
from the left, most significant first: 8 bits of mark, 40 bits of frame number, 48 bits of clock (milliseconds since
1970), 16 bits of CRC (CRC-16/CCITT-FALSE) over the other 96.
"""

import itertools
from dataclasses import dataclass

MARK = 0xE7
ROWS, COLUMNS, SYNC = 4, 28, 2
_WIDE = COLUMNS + 2 * SYNC
TOP, HEIGHT = 0.89, 0.10
"""Of the picture's height: where the grid begins and how high it is."""
_BITS = ROWS * COLUMNS
_MIN_CONTRAST = 40
"""Luma steps between the sync colours; less is a picture without blocks, or one that nobody can read."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the blocks say."""

    frame: int
    """Number of the picture, from 0."""
    clock_ms: int
    """Unix time in milliseconds at which the picture was made."""


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, first value 0xFFFF, not reflected."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def pack(stamp: Stamp) -> list[list[bool]]:
    """The grid of `stamp`, sync blocks included: 4 rows of 32, True for white."""
    body = (
        bytes([MARK])
        + (stamp.frame & (1 << 40) - 1).to_bytes(5, "big")
        + (stamp.clock_ms & (1 << 48) - 1).to_bytes(6, "big")
    )
    value = int.from_bytes(body + crc16(body).to_bytes(2, "big"), "big")
    bits = [bool(value >> n & 1) for n in range(_BITS - 1, -1, -1)]
    return [[True, False, *bits[row * COLUMNS : (row + 1) * COLUMNS], True, False] for row in range(ROWS)]


def edges(width: int, height: int) -> tuple[list[int], list[int]]:
    """Even pixel positions of the block borders: 33 columns and 5 rows."""
    columns = [round(width * i / _WIDE / 2) * 2 for i in range(_WIDE + 1)]
    rows = [round(height * (TOP + HEIGHT * i / ROWS) / 2) * 2 for i in range(ROWS + 1)]
    columns[-1] = width
    return columns, rows


def read_blocks(y_plane: bytes | bytearray | memoryview, stride: int, width: int, height: int) -> Stamp | None:
    """Read the grid from a luma plane (8 bits a sample, `stride` bytes a row); None when it cannot be read.

    The picture may have been compressed and scaled. Never guesses: the mark and the CRC must fit.
    """
    if width < _WIDE * 2 or height < 32 or stride < width or len(y_plane) < stride * (height - 1) + width:
        return None
    columns, rows = edges(width, height)
    levels: list[list[int]] = []
    for top, bottom in itertools.pairwise(rows):
        # The middle half of a block is free of its neighbours' ringing.
        inset = (bottom - top) // 4
        lines = range(top + inset, max(bottom - inset, top + inset + 1))
        level = []
        for left, right in itertools.pairwise(columns):
            margin = (right - left) // 4
            a, b = left + margin, max(right - margin, left + margin + 1)
            total = sum(sum(y_plane[y * stride + a : y * stride + b]) for y in lines)
            level.append(total // ((b - a) * len(lines)))
        levels.append(level)
    value = 0
    for level in levels:
        white = (level[0] + level[-2]) / 2
        black = (level[1] + level[-1]) / 2
        if white - black < _MIN_CONTRAST:
            return None
        middle = (white + black) / 2
        for sample in level[SYNC:-SYNC]:
            value = value << 1 | (sample > middle)
    data = value.to_bytes(_BITS // 8, "big")
    if data[0] != MARK or crc16(data[:-2]) != int.from_bytes(data[-2:], "big"):
        return None
    return Stamp(int.from_bytes(data[1:6], "big"), int.from_bytes(data[6:12], "big"))
