"""Drawing into planar 4:2:0 pictures: the clock lines, the sliding colour band, the machine-readable blocks.

Works on writable memory, whoever owns it. Only what changed is drawn again when the picture below stands still.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from evotools.videogen import blocks
from evotools.videogen.font import BLACK, NEUTRAL, WHITE, Glyph, cell_size, glyph


class Planes(NamedTuple):
    """The three planes of one 8-bit 4:2:0 picture and the bytes per row of luma and chroma."""

    y: bytearray | memoryview
    u: bytearray | memoryview
    v: bytearray | memoryview
    luma_stride: int
    chroma_stride: int


def clock_text(unix_ms: int, offset_s: int = 0) -> str:
    """`YYYY-mm-dd HH:MM:SS.mmm` at `offset_s` seconds east of UTC."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=unix_ms, seconds=offset_s)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{unix_ms % 1000:03}"


def running_text(elapsed_ms: int, frame: int) -> str:
    """`hh:mm:ss.mmm #frame`."""
    seconds, ms = divmod(elapsed_ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03} #{frame}"


class _Line:
    """One centred line of text, and what of it already stands in the picture."""

    def __init__(self, picture_width: int, top: int, cell: int) -> None:
        self._picture_width = picture_width
        self._cell = cell
        self._width, self._height = cell_size(cell)
        self._top = top & ~1
        self._shown = ""
        # Made now: the first pictures of a live stream must not be late.
        self._glyphs: dict[str, Glyph] = {c: glyph(c, cell) for c in "0123456789-:.#"}

    def draw(self, planes: Planes, base: Planes | None, text: str) -> None:
        """Draw `text`; over `base` only the letters that changed, with None all of them."""
        text = text[: self._picture_width // self._width]
        shown = self._shown
        left = (self._picture_width - len(text) * self._width) // 4 * 2
        if base is not None and len(shown) != len(text):
            old = (self._picture_width - len(shown) * self._width) // 4 * 2
            for index in range(len(shown)):
                self._restore(planes, base, old + index * self._width)
            shown = ""
        for index, character in enumerate(text):
            x = left + index * self._width
            if base is not None:
                if shown[index : index + 1] == character:
                    continue
                if shown:
                    self._restore(planes, base, x)
            self._put(planes, character, x)
        self._shown = text

    def _restore(self, planes: Planes, base: Planes, x: int) -> None:
        for row in range(self._top, self._top + self._height):
            start, origin = row * planes.luma_stride + x, row * base.luma_stride + x
            planes.y[start : start + self._width] = base.y[origin : origin + self._width]
        half = self._width // 2
        for row in range(self._top // 2, (self._top + self._height) // 2):
            start, origin = row * planes.chroma_stride + x // 2, row * base.chroma_stride + x // 2
            planes.u[start : start + half] = base.u[origin : origin + half]
            planes.v[start : start + half] = base.v[origin : origin + half]

    def _put(self, planes: Planes, character: str, x: int) -> None:
        shape = self._glyphs.get(character)
        if shape is None:
            shape = self._glyphs[character] = glyph(character, self._cell)
        plane, stride = planes.y, planes.luma_stride
        origin = self._top * stride + x
        for row, column, values in shape.luma:
            start = origin + row * stride + column
            plane[start : start + len(values)] = values
        u, v, stride = planes.u, planes.v, planes.chroma_stride
        origin = self._top // 2 * stride + x // 2
        for row, column, values in shape.chroma:
            start = origin + row * stride + column
            end = start + len(values)
            u[start:end] = values
            v[start:end] = values


def _endless(row: bytes) -> bytes:
    """There, back and there again: any window of the row's length within slides on without a seam."""
    return row + row[::-1] + row


class Band:
    """The sliding rainbow of ffmpeg's testsrc: rows that slide from side to side of themselves."""

    PIXELS_PER_SECOND = 256

    def __init__(self, base: Planes, width: int, height: int) -> None:
        """Finds the band in `base`: the rows from three quarters of the height that equal each other."""
        self._width = width
        top = (height * 3 // 4 + 1) & ~1
        first = base.y[top * base.luma_stride : top * base.luma_stride + width]
        bottom = top
        while bottom < height and base.y[bottom * base.luma_stride : bottom * base.luma_stride + width] == first:
            bottom += 1
        self._rows = range(top, bottom & ~1)
        half, start = width // 2, top // 2 * base.chroma_stride
        self._luma = _endless(bytes(first))
        self._u = _endless(bytes(base.u[start : start + half]))
        self._v = _endless(bytes(base.v[start : start + half]))

    def draw(self, planes: Planes, elapsed_ms: int) -> None:
        """The band as it is `elapsed_ms` after the start."""
        width, half = self._width, self._width // 2
        shift = elapsed_ms * self.PIXELS_PER_SECOND // 1000 % (2 * width) & ~1
        luma = self._luma[shift : shift + width]
        u, v = self._u[shift // 2 : shift // 2 + half], self._v[shift // 2 : shift // 2 + half]
        for row in self._rows:
            start = row * planes.luma_stride
            planes.y[start : start + width] = luma
        for row in range(self._rows.start // 2, self._rows.stop // 2):
            start = row * planes.chroma_stride
            planes.u[start : start + half] = u
            planes.v[start : start + half] = v


class Overlay:
    """The clock, the running time, the label and the blocks of pictures of one size."""

    def __init__(self, width: int, height: int, label: str, *, clock: bool = True, readable: bool = True) -> None:
        self._clock = clock
        self._readable = readable and width >= 64 and height >= 64
        self._label = label
        big = max(4, min(width * 70 // 100 // 23, height // 14))
        big_height = cell_size(big)[1]
        top = height // 5
        self._lines = (
            _Line(width, top, big),
            _Line(width, top + big_height * 9 // 8, big),
            _Line(width, top + big_height * 19 // 8, max(4, big * 5 // 8)),
        )
        self._columns, self._rows = blocks.edges(width, height)
        self._width = width
        self._grid: list[list[bool]] = []

    def draw(
        self, planes: Planes, base: Planes | None, frame: int, elapsed_ms: int, unix_ms: int, offset_s: int
    ) -> None:
        """Draw everything for picture `frame`.

        `base` is the picture below the text when it stands still and `planes` already shows the last state;
        None draws all of it. `unix_ms` is the clock, shown `offset_s` seconds east of UTC.
        """
        if self._clock:
            texts = (clock_text(unix_ms, offset_s), running_text(elapsed_ms, frame), self._label)
            for line, text in zip(self._lines, texts, strict=True):
                line.draw(planes, base, text)
        if self._readable:
            self._draw_blocks(planes, blocks.pack(blocks.Stamp(frame, unix_ms)), fresh=base is None)

    def _draw_blocks(self, planes: Planes, grid: Sequence[list[bool]], *, fresh: bool) -> None:
        if fresh:
            self._grid = []
            grey = bytes([NEUTRAL]) * (self._width // 2)
            for row in range(self._rows[0] // 2, self._rows[-1] // 2):
                start = row * planes.chroma_stride
                planes.u[start : start + len(grey)] = grey
                planes.v[start : start + len(grey)] = grey
        for index, cells in enumerate(grid):
            if self._grid and self._grid[index] == cells:
                continue
            strip = b"".join(
                (WHITE if on else BLACK).to_bytes(1, "big") * (right - left)
                for on, left, right in zip(cells, self._columns, self._columns[1:], strict=False)
            )
            for row in range(self._rows[index], self._rows[index + 1]):
                start = row * planes.luma_stride
                planes.y[start : start + len(strip)] = strip
        self._grid = list(grid)
