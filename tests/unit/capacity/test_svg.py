"""The picture as a file."""

from xml.etree import ElementTree

import pytest

from evotools.capacity.chart import CARRIED, FULL, HAS, NEEDED, Chart, Line, Panel, Scale, chart
from evotools.capacity.profiles import built_in
from evotools.capacity.question import Question, read
from evotools.capacity.svg import escape, svg
from evotools.capacity.sweep import sweep

SVG = "{http://www.w3.org/2000/svg}"
X = Scale(0, 10, False, ((0, "0"), (5, "5"), (10, "10")))
Y = Scale(0, 8, False, ((0, "0 B"), (8, "8 B")))


def panel(*lines: Line, note: str = "") -> Panel:
    return Panel("RAM", note, "B", Y, tuple(Line(one.name, one.values, ("a", "b")) for one in lines))


def drawn(*panels: Panel, x: Scale = X, subtitle: str = "about") -> ElementTree.Element:
    return ElementTree.fromstring(svg(Chart("title", subtitle, "viewers", x, (0, 10), panels)).encode())


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(e.itertext()) for e in root.iter(f"{SVG}text")]


def test_axes_have_units_and_there_is_a_legend() -> None:
    found = texts(drawn(panel(Line(NEEDED, (0, 8)), Line(HAS, (4, 4)), note="far")))
    assert found[:2] == ["title", "about"]
    assert {NEEDED, HAS, "RAM  far", "0 B", "8 B", "0", "5", "10", "viewers"} <= set(found)


def test_lines_stand_where_their_values_are() -> None:
    (line,) = drawn(panel(Line(NEEDED, (0, 8)))).iter(f"{SVG}polyline")
    assert line.get("points") == "0,320 760,0"


def test_points_tell_their_figures() -> None:
    root = drawn(panel(Line(NEEDED, (0, 8)), Line(HAS, (4, 4))))
    told = ["".join(e.itertext()) for e in root.iter(f"{SVG}circle")]
    assert told == ["a", "b"]


def test_what_is_carried_lies_underneath() -> None:
    root = drawn(panel(Line("by CPU", (0, 8)), Line(CARRIED, (0, 4))))
    widths = [float(e.get("stroke-width", "0")) for e in root.iter(f"{SVG}polyline")]
    assert widths[0] > widths[1]


def test_lines_differ_by_more_than_colour() -> None:
    root = drawn(panel(Line(NEEDED, (0, 8)), Line(FULL, (0, 4)), Line(HAS, (4, 4))))
    assert len({e.get("stroke-dasharray") for e in root.iter(f"{SVG}polyline")}) == 3


def test_gaps_break_a_line() -> None:
    lines = Line(NEEDED, (0, None, 4, 8), ("a", "", "b", "c"))
    found = Chart("t", "s", "x", X, (0, 3, 6, 10), (Panel("p", "", "", Y, (lines,)),))
    root = ElementTree.fromstring(svg(found).encode())
    assert [len((e.get("points") or "").split()) for e in root.iter(f"{SVG}polyline")] == [2]
    assert len(list(root.iter(f"{SVG}circle"))) == 3


@pytest.mark.parametrize(("panels", "size"), [(1, (888, 532)), (2, (1040, 452)), (3, (1312, 452)), (4, (1040, 792))])
def test_panels_stand_in_rows(panels: int, size: tuple[int, int]) -> None:
    root = drawn(*[panel(Line(NEEDED, (0, 8)))] * panels)
    assert (int(root.get("width", "")), int(root.get("height", ""))) == size
    assert len(list(root.iter(f"{SVG}g"))) == panels


def test_names_from_outside_are_text() -> None:
    root = drawn(panel(Line(NEEDED, (0, 8))), subtitle='<script>&"\x00\x1b\ud800')
    assert texts(root)[1] == '<script>&"???'
    assert escape("a\nb") == "a?b"


def test_nothing_is_fetched() -> None:
    asked = read(Question(viewers="100..10000", bitrate="3M", link="10G"), built_in("evotools"))
    assert asked.range is not None
    text = svg(chart(sweep(asked.range, asked.demand, asked.profile, asked.machine), "about", 1000))
    assert "href" not in text
    assert "url(" not in text
    assert "<script" not in text
    assert text.count("http") == 1  # the name space
    assert "viewers (logarithmic)" in text
