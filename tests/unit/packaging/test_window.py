"""The live window: numbers that only grow, segments that stay for late requests, bounded memory."""

import pytest

from evotools.packaging.segmenter import Segment
from evotools.packaging.window import LiveWindow, first_sequence


def segment(duration_s: float = 2.0, size: int = 100, *, discontinuity: bool = False) -> Segment:
    return Segment(b"x" * size, duration_s, 0.0, discontinuity=discontinuity)


def test_numbers_start_with_the_clock_and_never_go_back() -> None:
    assert first_sequence(1_700_000_001.0, 2.0) == 850_000_000
    assert first_sequence(1_700_000_001.0, 2.0, last=850_000_010) == 850_000_011
    assert first_sequence(0.0, 2.0, last=5) == 6


def test_old_segments_expire_and_stay_for_one_more_window() -> None:
    window = LiveWindow(100, target_s=2.0, count=4)
    for _ in range(20):
        window.add(segment(), "abc")
    assert [s.sequence for s in window.segments] == [116, 117, 118, 119]
    assert window.find("abc-119") is not None
    assert window.find("abc-112") is not None
    assert window.find("abc-111") is None
    assert window.find("abd-119") is None
    assert window.size == 800


def test_the_playlist_is_never_shorter_than_three_target_durations() -> None:
    window = LiveWindow(0, target_s=2.0, count=4)
    for duration in (2, 2, 2, 2, 10, 2, 2):
        window.add(segment(duration), "a")
    assert window.target_duration == 10
    assert sum(s.duration_s for s in window.segments) == 22
    for _ in range(100):
        window.add(segment(2), "a")
    assert len(window) <= 28
    assert window.target_duration == 10


@pytest.mark.parametrize(("duration_s", "target"), [(2.0, 2), (2.49, 2), (2.5, 3), (3.84, 4), (0.2, 2)])
def test_target_duration_is_the_rounded_maximum(duration_s: float, target: int) -> None:
    window = LiveWindow(0, target_s=2.0)
    window.add(segment(duration_s), "a")
    assert window.target_duration == target


def test_discontinuities_that_leave_are_counted() -> None:
    window = LiveWindow(0, target_s=2.0, count=3)
    for i in range(10):
        window.add(segment(discontinuity=i in (2, 4, 9)), "a")
    assert window.discontinuity_sequence == 2


def test_bytes_are_capped_but_the_newest_segment_stays() -> None:
    window = LiveWindow(0, target_s=2.0, count=5, max_bytes=1000)
    for _ in range(20):
        window.add(segment(size=400), "a")
        assert window.size <= 1000
    window.add(segment(size=5000), "a")
    assert len(window) == 1


def test_rates_are_the_fullest_segment_and_the_average() -> None:
    window = LiveWindow(0, target_s=2.0)
    window.add(segment(2.0, 1000), "a")
    window.add(segment(2.0, 3000), "a")
    window.add(segment(0.01, 1000), "a")
    assert window.peak_bps == 12_000
    assert window.average_bps == int(5000 * 8 / 4.01)


def test_the_version_changes_with_what_a_playlist_shows() -> None:
    window = LiveWindow(0, target_s=2.0)
    seen = [window.version]
    window.add(segment(), "a")
    seen.append(window.version)
    window.end()
    seen.append(window.version)
    window.end()
    assert len(set(seen)) == 3
    assert seen[-1] == window.version
    window.resume()
    assert not window.ended
