"""Expectations and limits."""

from fractions import Fraction
from typing import Any

import pytest

from evotools.errors import UsageError
from evotools.media.frame import Discontinuity
from evotools.probe.checks import Expectation, Limits, evaluate, parse_expectation, warnings
from tests.unit.probe.streams import VIDEO, both, measured, picture


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("video=h264", Expectation("video=h264", "video", "h264")),
        ("video=hevc,1920x1080@29.97",
         Expectation("video=hevc,1920x1080@29.97", "video", "h265", (1920, 1080), Fraction(30000, 1001))),
        ("video=h264,@25", Expectation("video=h264,@25", "video", "h264", None, Fraction(25))),
        ("video=h264@25", Expectation("video=h264@25", "video", "h264", None, Fraction(25))),
        ("audio:lang=de=AAC", Expectation("audio:lang=de=AAC", "audio:lang=de", "aac")),
        ("#3=none", Expectation("#3=none", "#3", "none")),
    ],
)  # fmt: skip
def test_expectations(text: str, expected: Expectation) -> None:
    assert parse_expectation(text) == expected


@pytest.mark.parametrize("text", ["", "h264", "video=", "=h264", "video=h264,", "video=h264,12", "nonsense!=h264",
                                  "video=h264,640x360@x"])  # fmt: skip
def test_malformed_expectations(text: str) -> None:
    with pytest.raises(UsageError):
        parse_expectation(text)


def answers(limits: Limits, events: list[Any] | None = None, *, live: bool = False) -> list[bool]:
    return [c.ok for c in evaluate(measured(both() if events is None else events, live=live).report(), limits)]


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("video=h264", True), ("video=avc1.42C01E", True), ("video=h265", False), ("video=h264,1280x720@25", True),
        ("video=h264,1280x720@30", False), ("video=h264,640x360", False), ("audio=aac", True), ("audio:1=aac", False),
        ("audio:1=none", True), ("audio=none", False), ("#2=aac", True), ("#9=aac", False), ("video=h264,@25.2", True),
    ],
)  # fmt: skip
def test_expected_tracks(text: str, ok: bool) -> None:
    assert answers(Limits(expect=(parse_expectation(text),))) == [ok]


def test_a_track_without_frames_is_not_there() -> None:
    assert answers(Limits(expect=(parse_expectation("audio=aac"),)), [picture(0)]) == [False]


@pytest.mark.parametrize(
    ("limits", "ok"),
    [
        (Limits(min_fps=25), True), (Limits(min_fps=25.1), False),
        (Limits(min_bitrate_bps=230_000), True), (Limits(min_bitrate_bps=240_000), False),
        (Limits(max_gop_s=1), True), (Limits(max_gop_s=0.96), False),
        (Limits(max_gap_s=0.04), True), (Limits(max_gap_s=0.03), False),
        (Limits(max_skew_s=0.05), True), (Limits(max_skew_s=0.01), False),
    ],
)  # fmt: skip
def test_limits(limits: Limits, ok: bool) -> None:
    assert answers(limits) == [ok]


def test_what_cannot_be_measured_fails() -> None:
    limits = Limits(min_fps=1, max_gop_s=9, max_skew_s=9)
    checks = evaluate(measured([], tracks=()).report(), limits)
    assert [(c.ok, c.actual) for c in checks] == [(False, None)] * 3
    assert all("unknown" in c.message for c in checks)


def test_an_endless_gop_breaks_its_limit() -> None:
    assert answers(Limits(max_gop_s=2), [picture(n, gop=1000) for n in range(75)]) == [False]


def test_a_jump_breaks_the_gap_limit() -> None:
    assert answers(Limits(max_gap_s=5), [picture(0), picture(1, shift=90000 * 60)]) == [False]


def test_silence_breaks_the_gap_limit_of_live_streams() -> None:
    analysis = measured([picture(0)], live=True, tracks=(VIDEO,))
    analysis.add(picture(1), 3.0)
    assert [c.ok for c in evaluate(analysis.report(), Limits(max_gap_s=1))] == [False]


def test_checks_come_in_order_with_their_numbers() -> None:
    checks = evaluate(measured(both()).report(), Limits(min_fps=30, max_gop_s=2))
    assert [(c.name, c.ok, c.expected, c.actual) for c in checks] == [
        ("min-fps", False, 30, 25.0), ("max-gop", True, 2, 1.0)
    ]  # fmt: skip
    assert checks[0].message == "min-fps: frame rate 25 fps, asked for at least 30 fps"


def test_what_is_odd() -> None:
    assert warnings(measured(both()).report()) == []
    odd = warnings(measured([picture(0), picture(5), picture(5), Discontinuity("x"), picture(1000)]).report())
    text = "\n".join(odd)
    for word in ("1 discontinuities", "1 timestamp jumps", "1 gaps", "do not increase", "track 2 (aac): no frames"):
        assert word in text
