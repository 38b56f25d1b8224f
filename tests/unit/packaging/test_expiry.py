"""What leaves a live presentation, and when its files go."""

from collections.abc import Sequence

import pytest

from evotools.packaging.expiry import Expiry
from evotools.packaging.presentation import Period, Presentation
from tests.unit.packaging.presentations import SOUND, VIDEO, rendition


def live(video_s: Sequence[float], *, target_s: int) -> Presentation:
    """Picture in segments of these durations, and sound beside it."""
    renditions = [
        rendition(name, track, [round(d * track.timescale) for d in video_s], target_duration=target_s)
        for name, track in (("v0", VIDEO), ("a0", SOUND))
    ]
    return Presentation("live", "fmp4", renditions, [Period(0, 0.0, 0.0)], target_s=target_s)


def shown(presentation: Presentation) -> list[list[int]]:
    return [[segment.number for segment in rendition.segments] for rendition in presentation.renditions]


def test_what_ends_before_the_window_leaves_it_and_its_files_go_one_window_later() -> None:
    presentation = live([4.0] * 10, target_s=4)
    expiry = Expiry(16.0)
    assert expiry.slide(presentation) == []
    assert shown(presentation) == [[6, 7, 8, 9]] * 2
    assert [path for _, path in expiry.late()][:2] == ["v0/0.m4s", "v0/1.m4s"]
    assert {at_s for at_s, _ in expiry.late()} == {40.0 + 16.0 + 4.0}


@pytest.mark.parametrize(("target_s", "left"), [(4, 3), (5, 4), (6, 5)])
def test_a_short_window_leaves_three_target_durations(target_s: int, left: int) -> None:
    """RFC 8216 6.2.2, also where segments are shorter than the target."""
    presentation = live([4.0] * 10, target_s=target_s)
    Expiry(1.0).slide(presentation)
    assert shown(presentation) == [list(range(10 - left, 10))] * 2
    assert all(sum(s.duration for s in r.segments) >= 3 * target_s * r.timescale for r in presentation.renditions)


def test_time_without_media_counts_to_what_is_left() -> None:
    presentation = live([4.0] * 10, target_s=6)
    for rendition_ in presentation.renditions:
        rendition_.segments[-1].lead = 10 * rendition_.timescale
    Expiry(1.0).slide(presentation)
    assert shown(presentation) == [[8, 9]] * 2


def test_nothing_goes_without_a_window() -> None:
    presentation = live([4.0] * 10, target_s=4)
    assert Expiry(None).slide(presentation) == [] and shown(presentation) == [list(range(10))] * 2
