"""What people type as durations, rates, sizes."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools import units
from evotools.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("6s", 6), ("2m", 120), ("1h30m", 5400), ("90", 90), ("0.25", 0.25), ("00:01:30.5", 90.5),
     ("1:30", 90), ("1d", 86400), ("0", 0)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("3M", 3_000_000), ("64k", 64_000), ("2500000", 2_500_000), ("1.5G", 1_500_000_000), ("3Mbps", 3_000_000)],
)
def test_rates_are_decimal(text: str, rate: int) -> None:
    assert units.parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "size"), [("10MB", 10**7), ("64KiB", 65536), ("512", 512), ("1GiB", 2**30), ("2k", 2000)]
)
def test_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


def test_prefixes_in_steps_of_1024() -> None:
    assert units.parse_rate("2M", 1024) == 2 * 1024**2
    assert units.parse_rate("2Mibit/s") == 2 * 1024**2
    assert units.parse_size("2MB", 1024) == units.parse_size("2MiB") == units.parse_size("2MiB", 1024) == 2 * 1024**2
    assert units.parse_size("1.5PB") == 15 * 10**14
    with pytest.raises(UsageError):
        units.parse_size("3i")


@pytest.mark.parametrize(
    ("text", "count"), [("5000", 5000), ("5k", 5000), ("1.5M", 1_500_000), ("0", 0), ("1.25k", 1250)]
)
def test_counts(text: str, count: int) -> None:
    assert units.parse_count(text) == count


@pytest.mark.parametrize("text", ["", "-1", "1.5", "5x", "5.0001k", "1e3", "٣"])
def test_bad_counts(text: str) -> None:
    with pytest.raises(UsageError):
        units.parse_count(text)


def test_percentages() -> None:
    assert units.parse_percent("10%") == units.parse_percent("10") == 10
    assert units.parse_percent("12.5 %") == Fraction(25, 2)
    for text in ("", "-1", "ten", "10%%", "1e2"):
        with pytest.raises(UsageError):
            units.parse_percent(text)


def test_frames() -> None:
    assert units.parse_frame_size("1920x1080") == (1920, 1080)
    assert units.parse_frame_size("hd720") == (1280, 720)
    assert units.parse_fps("25") == 25
    assert units.parse_fps("29.97") == Fraction(30000, 1001)
    assert units.parse_fps("23.976") == Fraction(24000, 1001)
    assert units.parse_fps("30000/1001") == Fraction(30000, 1001)


@given(st.text(max_size=20))
def test_nonsense_is_a_usage_error(text: str) -> None:
    for parse in (
        units.parse_duration, units.parse_rate, units.parse_size, units.parse_frame_size, units.parse_fps,
        units.parse_count, units.parse_percent,
    ):  # fmt: skip
        try:
            parse(text)
        except UsageError:
            continue


@pytest.mark.parametrize("text", ["", "abc", "5 parsecs", "-3", "1h2", "inf", "nan", "9e99"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(UsageError):
        units.parse_duration(text)


def test_formats() -> None:
    assert units.format_duration(1.25) == "1.250 s"
    assert units.format_duration(125) == "2m05s"
    assert units.format_duration(10810) == "3h00m10s"
    assert units.format_rate(2_146_000) == "2.15 Mbit/s"
    assert units.format_size(1_055_736) == "1.06 MB"


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (0, 1000, "0 B"), (999, 1000, "999 B"), (1000, 1000, "1 kB"), (2_805_000_000, 1000, "2.805 GB"),
        (999_960, 1000, "1 MB"), (123_456_789, 1000, "123.5 MB"), (12_345_678_901_234, 1000, "12.35 TB"),
        (5 * 10**18, 1000, "5,000 PB"), (1023, 1024, "1,023 B"), (1024, 1024, "1 KiB"),
        (2805 * 2**20, 1024, "2.739 GiB"), (Fraction(1, 3), 1000, "0.333 B"),
    ],
)  # fmt: skip
def test_prefixed(value: float, step: int, text: str) -> None:
    assert units.format_prefixed(value, "B", step) == text


@given(st.integers(0, 10**18), st.sampled_from([1000, 1024]))
def test_prefixed_tells_the_value(value: int, step: int) -> None:
    text = units.format_prefixed(value, "B", step).replace(",", "")
    assert units.parse_size(text) == pytest.approx(value, rel=1e-3, abs=1)
