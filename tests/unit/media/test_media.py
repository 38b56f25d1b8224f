"""Frames, timelines, decode times, selection."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.errors import UsageError
from evotools.media.dts import DtsRebuilder, MonotonicDts
from evotools.media.frame import Frame
from evotools.media.select import first_of_each_kind, match, select
from evotools.media.timeline import Jump, JumpPolicy, Splicer, Unwrapper, rescale
from evotools.media.track import Kind, Track

VIDEO = Track(1, Kind.VIDEO, "h264", 90000, width=1280, height=720)
SMALL = Track(3, Kind.VIDEO, "hevc", 90000, width=640, height=360)
GERMAN = Track(2, Kind.AUDIO, "aac", 48000, language="deu")
ENGLISH = Track(4, Kind.AUDIO, "mp3", 48000, language="eng")
ALL = [VIDEO, GERMAN, SMALL, ENGLISH]


def test_a_form_is_built_once_and_shared_by_shifted_copies() -> None:
    calls = []
    frame = Frame(VIDEO, 9000, 9000, b"payload")

    def build(of: Frame) -> bytes:
        calls.append(of)
        return of.payload.upper()

    assert frame.form("upper", build) == b"PAYLOAD"
    assert frame.shifted(VIDEO, 1, 2).form("upper", build) is frame.form("upper", build)
    assert len(calls) == 1
    assert frame.dts_s == 0.1


@given(st.integers(-(2**70), 2**70), st.integers(1, 10**7), st.integers(1, 10**7))
def test_rescale_is_within_half_a_tick(value: int, source: int, target: int) -> None:
    scaled = rescale(value, source, target)
    assert abs(scaled * source - value * target) * 2 <= source


@pytest.mark.parametrize("bits", [32, 33])
def test_unwrap_follows_small_steps_over_any_number_of_wraps(bits: int) -> None:
    rng = random.Random(bits)
    unwrap, true, first = Unwrapper(bits), 2**bits - 5000, None
    for _ in range(2000):
        got = unwrap(true % 2**bits)
        first = got - true if first is None else first
        assert got - true == first
        true += rng.randrange(-3000, 2**bits // 3)


def test_jumps() -> None:
    policy = JumpPolicy(back_s=0.5, ahead_s=10)
    assert policy.judge(None, 99) is Jump.NONE
    assert policy.judge(5.0, 4.6) is Jump.NONE
    assert policy.judge(5.0, 4.4) is Jump.BACKWARD
    assert policy.judge(5.0, 14.9) is Jump.NONE
    assert policy.judge(5.0, 15.1) is Jump.FORWARD


def test_splicer_continues_where_the_last_session_ended_plus_the_gap() -> None:
    splicer = Splicer(grace_s=10)
    splicer.start_session(100.0)
    assert splicer.fix(7.0) == 0
    splicer.note(27.0, 120.0)
    splicer.start_session(123.0)
    assert splicer.fix(1000.0) + 1000.0 == pytest.approx(30.0)
    assert splicer.fix(1001.0) + 1000.0 == pytest.approx(30.0), "one offset for the whole session"
    splicer.note(30.0, 123.0)
    splicer.start_session(999.0)
    assert splicer.fix(0.0) == pytest.approx(40.0), "the gap is capped"


@pytest.mark.parametrize(
    ("order", "depth"), [("0 1 2 3 4 5", 0), ("0 2 1 4 3 6 5", 1), ("0 3 2 1 6 5 4 9 8 7", 2), ("0 4 2 1 3 8 6 5 7", 2)]
)
def test_rebuilt_decode_times(order: str, depth: int) -> None:
    pts = [int(n) * 40 + 1000 for n in order.split()]
    rebuilder = DtsRebuilder(depth)
    dts = [rebuilder.push(p, 40) for p in pts]
    assert all(a < b for a, b in zip(dts, dts[1:], strict=False)), "decode times rise"
    assert all(d <= p for d, p in zip(dts, pts, strict=True)), "nothing is shown before it is decoded"
    assert dts[depth:] == sorted(pts)[: len(pts) - depth], "exact for a constant frame rate"


def test_a_late_picture_deepens_the_order() -> None:
    pts = [n * 40 for n in (0, 1, 4, 2, 3, 7, 5, 6, 10, 8, 9, 13, 11, 12)]
    rebuilder = DtsRebuilder(0)
    dts = [rebuilder.push(p, 40) for p in pts]
    assert rebuilder.depth == 1
    assert all(d <= p for d, p in zip(dts, pts, strict=True))
    assert dts[6:] == sorted(pts)[5:-1], "after one stumble the order holds"


def test_decode_times_go_on_behind_a_loss() -> None:
    rebuilder = DtsRebuilder(2)
    before = [rebuilder.push(p, 40) for p in (0, 120, 40, 80, 240, 160, 200)]
    rebuilder.restart()
    after = [rebuilder.push(p, 40) for p in (280, 400, 320, 360)]
    assert (before, after) == ([-80, -40, 0, 40, 80, 120, 160], [200, 240, 280, 320])
    rebuilder.reset()
    assert [rebuilder.push(p, 40) for p in (0, 80, 40)] == [-80, -40, 0]


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=60), st.integers(0, 16))
def test_rebuilt_decode_times_never_pass_presentation(pts: list[int], depth: int) -> None:
    rebuilder = DtsRebuilder(depth)
    for p in pts:
        assert rebuilder.push(p, 3000) <= p


def test_monotonic_repair_is_per_track() -> None:
    repair = MonotonicDts()
    assert [repair(1, v) for v in (5, 5, 4, 9)] == [5, 6, 7, 9]
    assert repair(2, 1) == 1
    assert repair.repaired == 2


@pytest.mark.parametrize(
    ("selector", "ids"),
    [("video", [1, 3]), ("audio", [2, 4]), ("video:1", [3]), ("video:9", []), ("audio:lang=de", [2]),
     ("audio:lang=eng", [4]),
     ("#3", [3]), ("hevc", [3]), ("video:max", [1]), ("video:min", [3]), ("all", [1, 2, 3, 4]), ("none", [])],
)  # fmt: skip
def test_selectors(selector: str, ids: list[int]) -> None:
    assert sorted(t.id for t in match(selector, ALL)) == ids


@pytest.mark.parametrize(
    ("language", "wanted", "found"),
    [
        ("swe", "sv", True), ("ger", "deu", True), ("deu", "ger", True), ("de-AT", "de", True), ("por", "pt-BR", False),
        ("pt-BR", "pt-br", True), ("gsw", "gsw", True), ("den", "de", False), ("", "und", True), ("und", "und", True),
        ("eng", "und", False), ("", "no_tag", False),
    ],
)  # fmt: skip
def test_languages(language: str, wanted: str, found: bool) -> None:
    track = Track(1, Kind.AUDIO, "aac", 48000, language=language)
    assert match(f"audio:lang={wanted}", [track]) == ([track] if found else [])


def test_select_keeps_order_and_drops_last() -> None:
    assert [t.id for t in select(ALL, ["audio", "video:0"], ["#4"])] == [1, 2]
    assert [t.id for t in select(ALL)] == [1, 2, 3, 4]
    assert [t.id for t in first_of_each_kind(ALL)] == [1, 2]


@pytest.mark.parametrize("selector", ["", "video:what", "Video", "audio:lang=", "#", "a b"])
def test_bad_selectors(selector: str) -> None:
    with pytest.raises(UsageError):
        assert match(selector, ALL) == "unreachable", "not refused"
