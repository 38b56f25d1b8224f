"""The picture in a terminal."""

import pytest

from evotools.capacity.chart import CARRIED, FULL, HAS, NEEDED, Chart, Line, Panel, Scale
from evotools.capacity.plot import MAX_WIDTH, MIN_WIDTH, plot

X = Scale(0, 10, False, ((0, "0"), (5, "5"), (10, "10")))
Y = Scale(0, 8, False, ((0, "0 B"), (4, "4 B"), (8, "8 B")))


def chart(*lines: Line, note: str = "", points: tuple[float, ...] = (0, 10)) -> Chart:
    return Chart("title", "subtitle", "viewers", X, points, (Panel("RAM", note, "B", Y, lines),))


def test_a_rising_line_in_ascii() -> None:
    text = plot(chart(Line(NEEDED, (0, 8))), 48, ascii_only=True)
    assert text.isascii()
    assert text.splitlines() == [
        "RAM",
        " 8 B+                                *** needed",
        "    |                            ****",
        "    |                        ****",
        "    |                    ****",
        " 4 B+               *****",
        "    |           ****",
        "    |       ****",
        "    |   ****",
        " 0 B+***",
        "    ++----------------+----------------+",
        "     0                5               10",
        "                                 viewers",
    ]


def dots(text: str) -> int:
    """Dots of all Braille characters."""
    return sum((ord(c) - 0x2800).bit_count() for c in text if 0x2800 <= ord(c) < 0x2900)


def test_lines_go_where_their_values_are() -> None:
    rows = plot(chart(Line(NEEDED, (8, 8))), 60).splitlines()
    assert dots(rows[1]) > 60
    assert dots("".join(rows[2:])) == 0
    rows = plot(chart(Line(NEEDED, (0, 0))), 60).splitlines()
    assert dots(rows[9]) > 60
    assert dots("".join(rows[:9])) == 0


def test_lines_are_named_at_their_ends_even_where_they_meet() -> None:
    rows = plot(chart(Line(NEEDED, (0, 4)), Line(FULL, (0, 4)), Line(HAS, (8, 8))), 70).splitlines()
    assert rows[1].endswith(HAS)
    ends = [row for row in rows if row.endswith((NEEDED, FULL))]
    assert len(ends) == 2
    assert abs(rows.index(ends[0]) - rows.index(ends[1])) == 1


def test_some_lines_are_dashed_so_that_they_differ_without_colour() -> None:
    whole = dots(plot(chart(Line(NEEDED, (4, 4))), 70))
    dashed = dots(plot(chart(Line(HAS, (4, 4))), 70))
    assert dashed == pytest.approx(whole / 2, rel=0.1)


def test_gaps_and_what_is_beyond_are_left_out() -> None:
    text = plot(chart(Line(NEEDED, (None, None))), 60)
    assert dots(text) == 0
    assert "needed" not in text
    assert dots(plot(chart(Line(NEEDED, (4, 99))), 60)) == 0


@pytest.mark.parametrize("width", [0, 10, MIN_WIDTH, 80, MAX_WIDTH, 5000])
def test_no_row_is_wider_than_the_terminal(width: int) -> None:
    text = plot(chart(Line(NEEDED, (0, 8)), Line(CARRIED, (8, 0))), width)
    assert max(map(len, text.splitlines())) <= min(max(width, MIN_WIDTH), MAX_WIDTH)


def test_colour_only_when_asked() -> None:
    lines = (Line(NEEDED, (0, 8)), Line(FULL, (0, 4)))
    plain, colored = plot(chart(*lines), 60), plot(chart(*lines), 60, color=True)
    assert "\x1b" not in plain
    assert "\x1b[33m" in colored
    assert colored.count("\x1b[0m") >= 2
    import re

    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_a_remark_stands_beside_the_title() -> None:
    text = plot(chart(Line(NEEDED, (0, 8)), note="the machine has 1 TB"), 60)
    assert text.splitlines()[0] == "RAM  (the machine has 1 TB)"
