"""A chart in a terminal: Braille dots eight to a character, or plain ASCII; each line is named at its right end."""

from itertools import pairwise

from evotools.capacity.chart import CARRIED, FULL, HAS, Chart, Panel

HEIGHT = 9
"""Rows of a panel."""
MIN_WIDTH, MAX_WIDTH = 48, 110
"""Narrower leaves no room for a picture beside its labels, wider draws the same lines flatter."""

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of the Braille patterns, U+2800 and on, by row and column of the dot."""
_COLORS = {FULL: "33", HAS: "31", CARRIED: "1;32", "by CPU": "36", "by RAM": "35", "by network": "34",
           "by disk": "33"}  # fmt: skip
"""SGR numbers; other lines are cyan."""
_PLAIN = {FULL: ".", HAS: "-", CARRIED: "#", "by CPU": "c", "by RAM": "r", "by network": "n", "by disk": "d"}


def plot(chart: Chart, width: int, *, color: bool = False, ascii_only: bool = False) -> str:
    """All panels, one under the other, in `width` columns."""
    width = min(max(width, MIN_WIDTH), MAX_WIDTH)
    blocks = [_panel(chart, panel, width, color, ascii_only) for panel in chart.panels]
    return "\n\n".join("\n".join(block) for block in blocks)


def _panel(chart: Chart, panel: Panel, width: int, color: bool, plain: bool) -> list[str]:
    labels = {round(panel.y.at(value) * (HEIGHT - 1)): text for value, text in panel.y.ticks}
    left = max(len(text) for text in labels.values()) + 1
    right = max(len(line.name) for line in panel.lines) + 1
    columns = width - left - right - 2
    # The last lines drawn lie on top; what the machine has, and what it carries, count most.
    grid = _Grid(columns, HEIGHT, plain)
    ends: list[tuple[int, str]] = []
    for line in panel.lines:
        places = [(chart.x.at(x), panel.y.at(y)) for x, y in zip(chart.points, line.values, strict=True)
                  if y is not None and y <= panel.y.high * 1.0001]  # fmt: skip
        for (x0, y0), (x1, y1) in pairwise(places):
            grid.line(x0, y0, x1, y1, line.name)
        if places:
            ends.append((round((1 - places[-1][1]) * (HEIGHT - 1)), line.name))
    names = _spread(ends)
    rows = [panel.title + (f"  ({panel.note})" if panel.note else "")]
    tick, bar = ("+", "|") if plain else ("┤", "│")
    for row in range(HEIGHT):
        label = labels.get(HEIGHT - 1 - row, "")
        name = names.get(row, "")
        shown = f" \x1b[{_color(name)}m{name}\x1b[0m" if color and name else f" {name}"
        rows.append(f"{label:>{left}}{tick if label else bar}{grid.row(row, color)}{shown}".rstrip())
    rows += _x_axis(chart, left, columns, plain)
    return rows


def _spread(ends: list[tuple[int, str]]) -> dict[int, str]:
    """Names by row, moved apart where they meet."""
    taken: dict[int, str] = {}
    for row, name in sorted(ends, key=lambda end: end[0]):
        free = [r for r in range(HEIGHT) if r not in taken]
        if free:
            taken[min(free, key=lambda r: (abs(r - row), -r))] = name
    return taken


def _x_axis(chart: Chart, left: int, columns: int, plain: bool) -> list[str]:
    corner, flat, tick = ("+", "-", "+") if plain else ("└", "─", "┴")
    axis = [flat] * columns
    texts = [" "] * (columns + left + 12)
    end = -1
    for value, label in chart.x.ticks:
        at = round(chart.x.at(value) * (columns - 1))
        begin = max(left + 1 + at - len(label) // 2, 0)
        axis[at] = tick
        if begin > end:
            texts[begin : begin + len(label)] = label
            end = begin + len(label)
    title = chart.x_title
    return [" " * left + corner + "".join(axis), "".join(texts).rstrip(), f"{title:>{left + 1 + columns}}"]


def _color(name: str) -> str:
    return _COLORS.get(name, "36")


class _Grid:
    """Dots of lines in character cells; the line drawn last gives a cell its colour."""

    def __init__(self, columns: int, rows: int, plain: bool) -> None:
        self._columns, self._rows, self._plain = columns, rows, plain
        self._wide, self._high = (1, 1) if plain else (2, 4)
        self._bits = [[0] * columns for _ in range(rows)]
        self._names = [[""] * columns for _ in range(rows)]

    def line(self, x0: float, y0: float, x1: float, y1: float, name: str) -> None:
        """Between two places, each 0 to 1 from the lower left."""
        across, up = self._columns * self._wide - 1, self._rows * self._high - 1
        steps = max(round(abs(x1 - x0) * across), round(abs(y1 - y0) * up), 1)
        for i in range(steps + 1):
            at = i / steps
            self._dot(round((x0 + (x1 - x0) * at) * across), up - round((y0 + (y1 - y0) * at) * up), name)

    def _dot(self, x: int, y: int, name: str) -> None:
        row, column = y // self._high, x // self._wide
        if name in (FULL, HAS) and not self._plain and x % 4 > 1:
            return  # Dashed, so that lines differ without colour.
        self._bits[row][column] |= 1 if self._plain else _DOTS[y % 4][x % 2]
        self._names[row][column] = name

    def row(self, row: int, color: bool) -> str:
        """One row of characters."""
        cells = []
        last = ""
        for bits, name in zip(self._bits[row], self._names[row], strict=True):
            if color and name != last:
                cells.append(f"\x1b[{_color(name)}m" if name else "\x1b[0m")
                last = name
            cells.append(" " if not bits else _PLAIN.get(name, "*") if self._plain else chr(0x2800 + bits))
        return "".join(cells) + ("\x1b[0m" if color and last else "")
