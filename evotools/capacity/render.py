"""Sections as aligned text: headers, columns of numbers to the right, the last column wrapped to the width."""

from collections.abc import Sequence
from textwrap import wrap

from evotools.capacity.words import Section

BOLD, DIM, OFF = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_PLAIN = str.maketrans({"µ": "u", "×": "x", "–": "-", "…": "...", "←": "<-"})
MIN_LAST = 24
"""A last column narrower than this is not wrapped: broken words read worse than long lines."""


def render(sections: Sequence[Section], width: int, *, color: bool = False) -> str:
    """Everything, a blank line between sections; a section without a title hangs under the one before."""
    lines: list[str] = []
    for section in sections:
        if not section.rows:
            continue
        if lines and section.title:
            lines.append("")
        if section.title:
            lines.append(f"{BOLD}{section.title}{OFF}" if color else section.title)
        lines += _table(section, width, color)
    return "\n".join(lines)


def _table(section: Section, width: int, color: bool) -> list[str]:
    rows = [*([section.header] if section.header else []), *section.rows]
    columns = max(map(len, rows))
    widths = [max(len(row[i]) if i < len(row) else 0 for row in rows) for i in range(columns)]
    lines = []
    for number, row in enumerate(rows):
        cells = [cell.rjust(widths[i]) if i in section.right else cell.ljust(widths[i]) for i, cell in enumerate(row)]
        indent = 2 + sum(w + 2 for w in widths[: len(row) - 1])
        head = "  " + "".join(cell + "  " for cell in cells[:-1])
        room = width - indent
        wrapped = [cells[-1]] if len(row[-1]) <= room or room < MIN_LAST else wrap(row[-1], room)
        text = [head + wrapped[0], *(" " * indent + rest for rest in wrapped[1:])]
        heading = section.header and number == 0
        lines += [f"{DIM}{t.rstrip()}{OFF}" if color and heading else t.rstrip() for t in text]
    return lines


def ascii_only(text: str) -> str:
    """The same for outputs that know no other letters."""
    return text.translate(_PLAIN).encode("ascii", "replace").decode("ascii")
