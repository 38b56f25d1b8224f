"""Ranges and the answers along them."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evotools.capacity.profiles import built_in
from evotools.capacity.question import Question, read
from evotools.capacity.sweep import AXES, LOG_FROM, MAX_POINTS, Range, Sweep, parse_range, sweep
from evotools.errors import UsageError
from evotools.units import parse_count


def points(text: str, scale: str = "auto", option: str = "--viewers") -> list[float]:
    return [float(v) for v in parse_range(option, text, parse_count, scale).values]


def run(profile: str = "mistserver-2018", **options: object) -> Sweep:
    asked = read(Question(**options), built_in(profile))  # type: ignore[arg-type]
    assert asked.range is not None
    return sweep(asked.range, asked.demand, asked.profile, asked.machine)


def test_wide_ranges_go_by_factors_to_round_numbers() -> None:
    assert points("100..10000") == [100, 150, 220, 320, 460, 680, 1000, 1500, 2200, 3200, 4600, 6800, 10000]
    assert parse_range("--viewers", "100..2000", parse_count).logarithmic
    assert not parse_range("--viewers", "100..1999", parse_count).logarithmic


def test_steps_and_numbers_of_points() -> None:
    assert points("10..25:5") == [10, 15, 20, 25]
    assert points("10..24:5") == [10, 15, 20, 24]
    assert points("0..10x3") == [0, 5, 10]
    assert points("1..100x3") == [1, 10, 100]
    assert points("100..10000", "linear")[:3] == [100, 1090, 2080]
    assert points("1..16x5", "log") == [1, 2, 4, 8, 16]


def test_whole_things_stay_whole() -> None:
    assert points("1..3") == [1, 2, 3]
    assert points("1..2x5", option="--cores") == [1, 1.25, 1.5, 1.75, 2]


@pytest.mark.parametrize(
    "text",
    ["5..1", "5..5", "..", "1..", "..5", "1..5:", "1..5:0", "1..5x1", "1..5x501", "1..9999:1", "1..2..3", "a..b"],
)
def test_no_ranges(text: str) -> None:
    with pytest.raises(UsageError):
        points(text)


def test_a_range_from_nothing_has_no_logarithm() -> None:
    with pytest.raises(UsageError, match="logarithm"):
        points("0..5", "log")
    assert not parse_range("--viewers", "0..500", parse_count).logarithmic


@settings(deadline=None)
@given(
    st.integers(0, 10**9), st.integers(1, 10**9), st.integers(2, MAX_POINTS), st.sampled_from(["auto", "linear", "log"])
)
def test_points_rise_from_end_to_end(low: int, more: int, count: int, scale: str) -> None:
    assume(low or scale != "log")
    found = parse_range("--viewers", f"{low}..{low + more}x{count}", parse_count, scale)
    assert found.values[0] == low
    assert found.values[-1] == low + more
    assert len(found.values) <= count
    assert all(a < b for a, b in pairwise(found.values))
    assert all(v.denominator == 1 for v in found.values)
    if scale == "auto":
        assert found.logarithmic == (low > 0 and (low + more) / low >= LOG_FROM)


def test_needs_along_viewers() -> None:
    found = run(viewers="100..300:100", publishers="50", bitrate="2M")
    needs = [a.needs.ram_bytes for a in found.answers if a.needs]
    assert needs == [1_250_000_000 + 2_000_000 * (v + 50) for v in (100, 200, 300)]
    assert not found.of_capacity


@pytest.mark.parametrize(
    ("options", "viewers"),
    [
        ({"cpu_mark": "34..68:34", "bitrate": "1M"}, [9, 19]),
        ({"cores": "1..2:1", "bitrate": "1M"}, [369, 740]),
        ({"link": "10M..20M:10M", "bitrate": "1M"}, [9, 19]),
        ({"ram": "100MB..200MB:100MB", "bitrate": "1M"}, [38, 83]),
        ({"publishers": "1..2:1", "bitrate": "1M", "link": "10M"}, [9, 8]),
        ({"bitrate": "1M..2M:1M", "link": "10M"}, [9, 4]),
    ],
)
def test_capacity_along_everything(options: dict[str, str], viewers: list[int]) -> None:
    found = run(**options)
    assert [a.capacity.viewers for a in found.answers if a.capacity] == viewers
    assert found.of_capacity


def test_hours_along_disks() -> None:
    found = run(disk="450MB..900MB:450MB", bitrate="1M")
    assert [a.capacity.record_hours for a in found.answers if a.capacity] == [1, 2]


def test_every_axis_has_an_option_of_its_name() -> None:
    parse: Callable[[str], Fraction] = Fraction
    for option in AXES:
        assert isinstance(parse_range(option, "1..2", parse), Range)
        assert hasattr(Question(), option[2:].replace("-", "_"))
