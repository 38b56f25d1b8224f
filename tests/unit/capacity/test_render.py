"""Tables as text."""

from evotools.capacity.render import ascii_only, render
from evotools.capacity.words import Section

TABLE = Section("Title", [("a", "1", "one two three four five six seven"), ("bcd", "234", "x")], ("", "n", "said"),
                frozenset({1}))  # fmt: skip


def test_columns_line_up_and_the_last_wraps() -> None:
    assert render([TABLE], 37).splitlines() == [
        "Title",
        "         n  said",
        "  a      1  one two three four five",
        "            six seven",
        "  bcd  234  x",
    ]


def test_no_room_is_no_reason_to_break_words() -> None:
    assert "one two three four five six seven" in render([TABLE], 20)


def test_untitled_sections_hang_under_the_one_before_and_empty_ones_vanish() -> None:
    text = render([Section("A", [("x",)]), Section("", [("y",)]), Section("E", []), Section("B", [("z",)])], 80)
    assert text.splitlines() == ["A", "  x", "  y", "", "B", "  z"]


def test_colour_marks_titles_and_headers_only() -> None:
    plain, colored = render([TABLE], 80), render([TABLE], 80, color=True)
    assert "\x1b" not in plain
    assert colored.replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "") == plain
    assert colored.splitlines()[0] == "\x1b[1mTitle\x1b[0m"


def test_ascii() -> None:
    assert ascii_only("5 µs × 3 – … é") == "5 us x 3 - ... ?"
