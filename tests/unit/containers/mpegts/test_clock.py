"""Unwrapping and jumps over several streams."""

from hypothesis import given
from hypothesis import strategies as st

from evotools.containers.mpegts.clock import ProgramClock, StreamTime
from evotools.containers.mpegts.packet import WRAP

Steps = list[tuple[str, int]]


def run(steps: Steps, sparse: str = "") -> tuple[list[int], list[int]]:
    """Unwrapped times, and the positions at which a jump was reported."""
    clock, streams = ProgramClock(), {}  # type: ignore[var-annotated]
    times, jumps = [], []
    for at, (name, value) in enumerate(steps):
        stream = streams.setdefault(name, StreamTime())
        times.append(clock.unwrap(stream, value % WRAP, leads=name != sparse))
        if clock.jumped:
            jumps.append(at)
    return times, jumps


def test_streams_stay_together_across_the_wrap() -> None:
    start = 70 * 90_000
    steps = [(name, WRAP - start + n * 3600 + skew) for n in range(2500) for name, skew in (("v", 0), ("a", -900))]
    times, jumps = run(steps)
    assert times == [value for _, value in steps]
    assert jumps == []


def test_a_start_close_below_the_wrap_is_negative() -> None:
    assert run([("v", -90_000), ("a", -1), ("v", 3600)])[0] == [-90_000, -1, 3600]


def test_small_steps_back_and_gaps_are_no_jumps() -> None:
    assert run([("v", 900_000), ("v", 870_000), ("v", 1_700_000)])[1] == []


def test_a_restart_is_reported_once() -> None:
    old = [(name, 9_000_000 + n * 3600) for n in range(10) for name in "va"]
    new = [("v", 0), ("a", 9_036_000), ("v", 3600), ("a", 500), ("v", 7200), ("a", 4100)]
    times, jumps = run(old + new)
    assert jumps == [20]
    assert times[20:] == [value for _, value in new]


def test_audio_may_jump_first() -> None:
    steps = [("v", 0), ("a", 0), ("a", 90_000_000), ("v", 3600), ("v", 90_003_600), ("a", 90_001_920)]
    times, jumps = run(steps)
    assert jumps == [2]
    assert times == [value for _, value in steps]


def test_a_pause_of_one_stream_is_no_jump() -> None:
    steps = [("v", n * 90_000) for n in range(60)]
    steps.insert(1, ("a", 0))
    assert run([*steps, ("a", 59 * 90_000)])[1] == []


def test_sparse_streams_never_report() -> None:
    steps = [("v", 0), ("d", 0), ("d", 4_000_000_000), ("v", 3600), ("d", 7200)]
    times, jumps = run(steps, sparse="d")
    assert jumps == []
    assert times[3:] == [3600, 7200]


@given(st.lists(st.tuples(st.sampled_from("vad"), st.integers(0, WRAP - 1)), max_size=60))
def test_times_are_congruent_whatever_comes(steps: Steps) -> None:
    times, _ = run(steps, sparse="d")
    assert all((time - value) % WRAP == 0 for time, (_, value) in zip(times, steps, strict=True))
