"""Streams, renditions, viewers and the texts for them."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.capacity.coefficients import PROTOCOLS
from evotools.capacity.demand import (
    MAX_PUBLISHERS,
    MAX_RATE_BPS,
    MAX_VIEWERS,
    Demand,
    Rendition,
    Stream,
    check_duration,
    check_publishers,
    check_rate,
    check_viewers,
    parse_deliver,
    parse_ladder,
    parse_packages,
    parse_stream,
)  # fmt: skip
from evotools.errors import UsageError

KNOWN = list(PROTOCOLS)


def stream(rate: int, count: int = 1, viewers: int | None = None) -> Stream:
    return Stream((Rendition(rate, Fraction(1)),), count, viewers)


@pytest.mark.parametrize(
    ("text", "rate", "viewers", "record_s"),
    [("5M", 5_000_000, None, 0), ("2Mx150", 2_000_000, 150, 0), ("2M×1.5k@20m", 2_000_000, 1500, 1200),
     ("800k@90", 800_000, None, 90), ("2Mbit/sx3", 2_000_000, 3, 0)],
)  # fmt: skip
def test_a_stream(text: str, rate: int, viewers: int | None, record_s: int) -> None:
    found = parse_stream(text)
    assert (found.ingest_bps, found.viewers, found.record_s, found.count) == (rate, viewers, record_s, 1)


@pytest.mark.parametrize("text", ["", "x5", "2Mx", "0x5", "2Mx5x6", "2Mx-1", "2Mx5@soon", "2T", "2Mx99999999999"])
def test_no_stream(text: str) -> None:
    with pytest.raises(UsageError):
        parse_stream(text)


def test_a_ladder_spreads_viewers_evenly_or_as_told() -> None:
    assert [(r.bitrate_bps, r.share) for r in parse_ladder("3M, 1.5M,800k")] == [
        (3_000_000, Fraction(1, 3)), (1_500_000, Fraction(1, 3)), (800_000, Fraction(1, 3)),
    ]  # fmt: skip
    assert [r.share for r in parse_ladder("3M:62.5,1M:37.5%")] == [Fraction(5, 8), Fraction(3, 8)]


@pytest.mark.parametrize("text", ["", "3M,", "3M:50,1M", "3M:50,1M:49", "3M:150", "3M,0", "3M:x"])
def test_no_ladder(text: str) -> None:
    with pytest.raises(UsageError):
        parse_ladder(text)


def test_delivery() -> None:
    assert parse_deliver("hls=70, WebRTC=30%", KNOWN) == (("hls", Fraction(7, 10)), ("webrtc", Fraction(3, 10)))
    assert parse_deliver("flv", KNOWN) == (("flv", Fraction(1)),)
    assert parse_deliver("flv=100,hls=0", KNOWN) == (("flv", Fraction(1)),)


@pytest.mark.parametrize("text", ["", "gopher", "hls=70", "hls=70,flv", "hls=50,hls=50", "hls=60,flv=50", "hls=-1"])
def test_no_delivery(text: str) -> None:
    with pytest.raises(UsageError):
        parse_deliver(text, KNOWN)


def test_delivery_names_what_the_profile_knows() -> None:
    with pytest.raises(UsageError, match="'any' is no way") as caught:
        parse_deliver("any", ["hls", "flv"])
    assert caught.value.hint == "known: hls, flv"


def test_packages() -> None:
    assert parse_packages("hls, DASH,hls") == ("hls", "dash")
    for text in ("", "rtmp", "hls,,dash", "webrtc"):
        with pytest.raises(UsageError):
            parse_packages(text)


def test_caps() -> None:
    assert check_rate("1T") == MAX_RATE_BPS
    assert check_viewers("10000M") == MAX_VIEWERS
    assert check_publishers("100M") == MAX_PUBLISHERS
    for check, text in ((check_rate, "1001G"), (check_rate, "0"), (check_viewers, "10000000001"),
                        (check_publishers, "100000001"), (check_duration, "999999h")):  # fmt: skip
        with pytest.raises(UsageError):
            check(text)


def test_the_average_viewer() -> None:
    # Common viewers are spread over the streams without their own, by count.
    mixed = Demand((stream(1000, count=3), stream(5000), stream(9000, viewers=60)), viewers=40)
    assert mixed.total_viewers == 100
    assert mixed.view_bps == Fraction(30 * 1000 + 10 * 5000 + 60 * 9000, 100)
    assert mixed.publishers == 5
    assert mixed.ingest_bps == 3 * 1000 + 5000 + 9000


def test_without_viewers_the_average_stream_stands_for_them() -> None:
    assert Demand((stream(1000, count=3), stream(5000))).view_bps == 2000
    assert Demand((stream(1000), stream(5000, viewers=0))).view_bps == 3000
    assert Demand(()).view_bps == 0
    assert Demand((stream(1000), stream(5000))).total_viewers is None


def test_an_edge_has_viewers_and_no_publishers() -> None:
    edge = Demand((stream(3000, count=0),), viewers=10)
    assert (edge.publishers, edge.view_bps, edge.total_viewers) == (0, 3000, 10)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_only_usage_errors(text: str) -> None:
    for parse in (parse_stream, parse_ladder, parse_packages, check_rate, check_viewers, check_duration):
        try:
            parse(text)
        except UsageError:
            continue


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 50), st.none() | st.integers(0, 100)), max_size=4),
       st.none() | st.integers(0, 1000))  # fmt: skip
def test_the_average_lies_between_the_streams(streams: list[tuple[int, int, int | None]], viewers: int | None) -> None:
    found = Demand(tuple(stream(*s) for s in streams), viewers).view_bps
    rates = [rate for rate, _, _ in streams]
    assert min(rates, default=0) <= found <= max(rates, default=0)
