"""The letters of the clock: a stroke font as data, rasterised to spans of picture samples.

libav's drawtext is not in the PyAV wheel, so the clock is drawn from these. A glyph is a few lines and arcs on a grid
4 units wide and 6 high (y grows downwards), drawn with a round pen: a wide black one for the outline, a narrow white
one for the letter. Spans are ready to be copied into the rows of a planar 4:2:0 picture.
"""

import itertools
import re
from functools import lru_cache
from math import cos, hypot, radians, sin

Point = tuple[float, float]
Arc = tuple[float, float, float, float, float, float]
"""Centre x and y, radius x and y, first and last angle in degrees (clockwise on the screen, 0 = right)."""

_LINES: dict[str, tuple[tuple[Point, ...], ...]] = {
    "0": (((0, 2), (0, 4)), ((4, 2), (4, 4))),
    "1": (((0.7, 1.3), (2.1, 0), (2.1, 6)), ((0.7, 6), (3.5, 6))),
    "2": (((3.5, 2.85), (0.2, 6), (3.9, 6)),),
    "4": (((2.9, 6), (2.9, 0), (0, 4.2), (4, 4.2)),),
    "5": (((3.6, 0), (0.6, 0), (0.4, 2.75)),),
    "7": (((0.1, 0), (3.9, 0), (1.5, 6)),),
    ":": (((2, 1.7), (2, 1.7)), ((2, 4.5), (2, 4.5))),
    ".": (((2, 5.9), (2, 5.9)),),
    "-": (((0.7, 3.1), (3.3, 3.1)),),
    "+": (((0.5, 3.1), (3.5, 3.1)), ((2, 1.6), (2, 4.6))),
    "/": (((0.6, 6.2), (3.4, -0.2)),),
    "#": (((1.3, 0.2), (0.8, 5.8)), ((3.2, 0.2), (2.7, 5.8)), ((0.1, 2), (4, 2)), ((0, 4), (3.9, 4))),
    "x": (((0.4, 2.4), (3.6, 6)), ((3.6, 2.4), (0.4, 6))),
    "F": (((3.8, 0), (0.4, 0), (0.4, 6)), ((0.4, 2.9), (3.2, 2.9))),
    "P": (((0.4, 6), (0.4, 0), (2.2, 0)), ((0.4, 3.3), (2.2, 3.3))),
    " ": (),
}
_ARCS: dict[str, tuple[Arc, ...]] = {
    "0": ((2, 2, 2, 2, 180, 360), (2, 4, 2, 2, 0, 180)),
    "2": ((2, 1.75, 1.8, 1.75, 185, 398),),
    "3": ((1.9, 1.5, 1.7, 1.5, 205, 450), (1.9, 4.45, 2, 1.55, 270, 518)),
    "5": ((1.9, 4.05, 2, 1.95, 221, 510),),
    "6": ((2, 4.1, 2, 1.9, 0, 360), (3.3, 4.1, 3.3, 4.1, 180, 272)),
    "8": ((2, 1.45, 1.65, 1.45, 0, 360), (2, 4.45, 2, 1.55, 0, 360)),
    "9": ((2, 1.9, 2, 1.9, 0, 360), (0.7, 1.9, 3.3, 4.1, 0, 92)),
    "S": ((2, 1.5, 1.75, 1.5, 325, 90), (2, 4.45, 1.95, 1.55, 270, 500)),
    "P": ((2.2, 1.65, 1.6, 1.65, 270, 450),),
}
GLYPHS = frozenset(_LINES) | frozenset(_ARCS)
"""Characters that can be drawn; others show as spaces."""

_ADVANCE = 5.9
_TOP = 0.95
"""Units above and below the letter that the outline and slanted strokes need."""
_PEN = 0.43
_OUTLINE = 0.88
"""Radii of the two pens, in grid units."""
_OVERSAMPLE = 3

BLACK, WHITE, NEUTRAL = 16, 235, 128
"""Limited-range luma and zero chroma (ITU-R BT.601 2.5.3)."""

Span = tuple[int, int, bytes]
"""Row and column within the cell, and the samples from there to the right."""


class Glyph:
    """One rasterised letter: spans of luma samples, and of chroma samples at half the size."""

    __slots__ = ("chroma", "luma")

    def __init__(self, luma: list[Span], chroma: list[Span]) -> None:
        self.luma = luma
        self.chroma = chroma


def cell_size(width: int) -> tuple[int, int]:
    """Even width and height in pixels of the cell of a letter about `width` pixels wide."""
    cell_width = max(4, width & ~1)
    height = round(cell_width / _ADVANCE * (6 + 2 * _TOP))
    return cell_width, max(6, height + (height & 1))


def _paths(character: str) -> list[tuple[Point, ...]]:
    paths = list(_LINES.get(character, ()))
    for cx, cy, rx, ry, first, last in _ARCS.get(character, ()):
        steps = 24
        angles = [radians(first + (last - first) * i / steps) for i in range(steps + 1)]
        paths.append(tuple((cx + rx * cos(a), cy + ry * sin(a)) for a in angles))
    return paths


def _stamp(rows: list[int], x: float, y: float, chords: list[float]) -> None:
    """Set the bits of a disc whose half chords by distance from the centre row are `chords`."""
    centre = round(y)
    reach = len(chords) - 1
    for row in range(max(0, centre - reach), min(len(rows), centre + reach + 1)):
        half = chords[abs(row - centre)]
        left = max(0, round(x - half))
        right = round(x + half)
        if right >= left:
            rows[row] |= ((1 << (right - left + 1)) - 1) << left


def _draw(character: str, width: int, height: int, radius: float) -> list[int]:
    """One integer per row of the oversampled cell; bit n is column n."""
    rows = [0] * height
    unit = width / _ADVANCE
    pen = radius * unit
    chords = [(pen * pen - d * d) ** 0.5 for d in range(int(pen) + 1)]
    left = (width - 4 * unit) / 2
    for path in _paths(character):
        for (x0, y0), (x1, y1) in itertools.pairwise(path):
            # Discs a quarter of a radius apart: the edge between them is flat within 1 % of the pen.
            steps = max(1, round(hypot(x1 - x0, y1 - y0) * unit * 4 / pen))
            for i in range(steps + 1):
                x = x0 + (x1 - x0) * i / steps
                y = y0 + (y1 - y0) * i / steps
                _stamp(rows, left + x * unit, (y + _TOP) * unit, chords)
    return rows


_FULL = _OVERSAMPLE * _OVERSAMPLE
_LUMA = bytes.maketrans(
    b"0123456789", bytes(BLACK + (WHITE - BLACK) * n // _FULL for n in range(_FULL)) + bytes([WHITE])
)
_IS_OPAQUE = str.maketrans("0123456789", "0000011111")
_OPAQUE = re.compile("1+")
_MOSTLY = re.compile("[2-4]+")


def _sums(rows: list[str], size: int) -> str:
    """Add up squares of `size` x `size` digits of `size` equally long rows; one digit per square.

    The rows are read as hexadecimal numbers, so one addition adds all columns; no sum exceeds 9, so none carries.
    """
    total = sum(int(row, 16) for row in rows)
    total = sum(total << 4 * n for n in range(size))
    return f"{total:0{len(rows[0]) + size - 1}x}"[size - 1 : len(rows[0]) + size - 1 : size]


def _coverage(rows: list[int], width: int) -> list[str]:
    """A string per pixel row: how many of the 9 samples of each pixel are set."""
    digits = [f"{row:0{width * _OVERSAMPLE}b}"[::-1] for row in rows]
    return [_sums(digits[top : top + _OVERSAMPLE], _OVERSAMPLE) for top in range(0, len(rows), _OVERSAMPLE)]


@lru_cache(maxsize=512)
def glyph(character: str, width: int) -> Glyph:
    """The letter for cells of `cell_size(width)`."""
    cell_width, cell_height = cell_size(width)
    if character not in GLYPHS or character == " ":
        return Glyph([], [])
    fine_width, fine_height = cell_width * _OVERSAMPLE, cell_height * _OVERSAMPLE
    fill = _coverage(_draw(character, fine_width, fine_height, _PEN), cell_width)
    edge = _coverage(_draw(character, fine_width, fine_height, _OUTLINE), cell_width)
    opaque = [row.translate(_IS_OPAQUE) for row in edge]
    luma: list[Span] = []
    chroma: list[Span] = []
    for y, mask in enumerate(opaque):
        values = fill[y].encode("ascii").translate(_LUMA)
        luma += [(y, found.start(), values[found.start() : found.end()]) for found in _OPAQUE.finditer(mask)]
    for y in range(0, cell_height, 2):
        halves = _sums(opaque[y : y + 2], 2)
        chroma += [
            (y // 2, found.start(), bytes([NEUTRAL]) * (found.end() - found.start()))
            for found in _MOSTLY.finditer(halves)
        ]
    return Glyph(luma, chroma)
