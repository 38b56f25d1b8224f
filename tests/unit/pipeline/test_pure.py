"""Routes, pacing, back-off: the parts that need no loop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.commands.parser import parse_route
from evotools.errors import PeerGone, RefusedError, UnreachableError, UsageError
from evotools.pipeline.pace import AHEAD_S, Pacer
from evotools.pipeline.route import FOREVER, OutputSpec, RouteSpec, compose
from evotools.pipeline.supervise import LONGEST_S, STEADY_S, Backoff
from evotools.server.app import parse_run


def test_a_pipe_becomes_one_route() -> None:
    route = parse_run(
        "ingest rtmp://:1935/live/x --track video | relay a.ts - | relay hub:live/cam 'my file.flv'",
        parse_route,
    )
    assert route.source == "rtmp://:1935/live/x"
    assert [o.uri for o in route.outputs] == ["a.ts", "hub:live/cam", "my file.flv"]
    assert route.keep == ("video",)
    assert route.output_reconnect == FOREVER


@pytest.mark.parametrize(
    ("run", "match"),
    [
        ("ingest rtmp://:1/x", "no standard input or output"),
        ("relay hub:x", "no standard input or output"),
        ("ingest udp://:1 -o a.ts | relay b.ts", "does not write to the pipe"),
        ("ingest udp://:1 | relay -i c.ts b.ts", "does not read from the pipe"),
        ("serve | relay hub:x", "ingest, relay, segment, package or videogen"),
        ("ingest 'udp://:1 | relay hub:x", "quotation"),
        ("ingest udp://:1 --nope | relay hub:x", "No such option"),
        ("", "ingest, relay, segment, package or videogen"),
    ],
)
def test_routes_that_cannot_be(run: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        parse_run(run, parse_route)


def test_a_route_never_meets_a_shell() -> None:
    route = parse_run("ingest 'exec:cat $HOME; rm -rf x' | relay hub:a", parse_route)
    assert route.source == "exec:cat $HOME; rm -rf x"


def test_compose_takes_the_shorter_duration() -> None:
    first = RouteSpec("a.ts", (OutputSpec("-"),), duration_s=9, drop=("audio",))
    second = RouteSpec("-", (OutputSpec("b.ts"),), duration_s=5, drop=("data",))
    route = compose([first, second])
    assert (route.duration_s, route.drop) == (5, ("audio", "data"))


def test_pacer_sends_each_frame_when_it_is_due() -> None:
    pacer, now, sent = Pacer(), 100.0, []
    for n in range(50):
        now += pacer.wait(7.0 + n * 0.04, now)
        sent.append(now)
    assert sent[-1] - sent[0] == pytest.approx(49 * 0.04 - AHEAD_S)
    assert max(b - a for a, b in zip(sent[2:], sent[3:], strict=False)) == pytest.approx(0.04)


def test_pacer_neither_rushes_nor_stalls_after_a_jump_or_a_pause() -> None:
    pacer = Pacer()
    assert pacer.wait(0.0, 0.0) == 0
    assert pacer.wait(1000.0, 0.1) == 0, "a jump of the media clock is no reason to wait"
    assert pacer.wait(1000.5, 0.1) == pytest.approx(0.5 - AHEAD_S)
    assert pacer.wait(1001.0, 10.0) == 0, "late"
    assert pacer.wait(1001.5, 10.0) == pytest.approx(0.5 - AHEAD_S), "and no debt is caught up"


@pytest.mark.parametrize("lag", [0.3, 1.5, 2.5])
def test_pacer_keeps_real_time_when_tracks_interleave_loosely(lag: float) -> None:
    pacer, now = Pacer(), 0.0
    for n in range(250):
        now += pacer.wait(n * 0.04, now)
        now += pacer.wait(n * 0.04 - lag, now)
    assert now == pytest.approx(249 * 0.04 - AHEAD_S)


def test_backoff_grows_and_gives_up() -> None:
    backoff = Backoff(3)
    error = UnreachableError("x")
    assert [backoff.next(error, 0.0, 0.0) for _ in range(4)] == [0.5, 1.0, 2.0, None]


@given(st.integers(1, 60), st.floats(0, 1))
def test_backoff_is_bounded(failures: int, random: float) -> None:
    backoff = Backoff(FOREVER)
    for _ in range(failures):
        wait = backoff.next(PeerGone("x"), 0.0, random)
        assert wait is not None
        assert 0.25 <= wait <= LONGEST_S


def test_a_refusal_is_final_unless_the_peer_took_us_before() -> None:
    assert Backoff(FOREVER).next(RefusedError("no"), 0.0, 0.0) is None
    backoff = Backoff(FOREVER)
    backoff.connected(0.0)
    assert backoff.next(RefusedError("still in use"), 1.0, 0.0) is not None


def test_a_connection_that_held_forgives_what_was_before() -> None:
    backoff = Backoff(2)
    error = PeerGone("x")
    assert backoff.next(error, 0.0, 0.0) == 0.5
    assert backoff.next(error, 0.0, 0.0) == 1.0
    backoff.connected(1.0)
    assert backoff.next(error, 1.0 + STEADY_S, 0.0) == 0.5


def test_slow_failures_after_a_good_connection_are_counted_too() -> None:
    """Attempts that end in a time-out of their own take longer than a connection must hold to be good."""
    backoff = Backoff(3)
    backoff.connected(0.0)
    error = UnreachableError("timed out")
    waits = [backoff.next(error, 100.0 + 11.0 * n, 0.0) for n in range(4)]
    assert waits == [0.5, 1.0, 2.0, None]
