"""Measurements of one track."""

import pytest

from evotools.media.frame import Discontinuity, Frame
from evotools.probe import measure
from evotools.probe.measure import PeakRate, TrackMeasure
from tests.unit.probe.streams import AUDIO, VIDEO, both, measured, picture, sound, track


def test_an_even_stream() -> None:
    report = measured(both()).report()
    video, audio = track(report, 1), track(report, 2)
    assert (video["frames"], video["fps_measured"], video["fps_declared"]) == (100, 25.0, 25.0)
    assert (video["duration_s"], video["bitrate_bps"]) == (4.0, 200_000)
    assert (video["first_pts"], video["last_pts"], video["last_pts_s"]) == (0, 99 * 3600, 3.96)
    assert video["gop"] | {"unfinished_s": 0} == {
        "count": 3, "min_frames": 25, "avg_frames": 25.0, "max_frames": 25, "min_s": 1.0, "avg_s": 1.0, "max_s": 1.0,
        "unfinished_frames": 25, "unfinished_s": 0,
    }  # fmt: skip
    assert video["key_frame_times_s"] == [0.0, 1.0, 2.0, 3.0]
    assert video["key_frame_times_complete"] is True
    assert video["reorder_depth"] == 0
    for one in (video, audio):
        assert one["gaps"]["count"] == one["jumps"]["count"] == one["non_monotonic_dts"] == one["pts_before_dts"] == 0
    assert audio["gop"] is audio["reorder_depth"] is audio["width"] is None
    assert audio["bitrate_bps"] == pytest.approx(100 * 8 * 48000 / 1024, rel=1e-4)


@pytest.mark.parametrize(("order", "depth"), [("IPPP", 0), ("I3124", 1), ("I42135", 2)])
def test_reorder_depth(order: str, depth: int) -> None:
    shown = {"IPPP": [0, 1, 2, 3], "I3124": [0, 3, 1, 2, 6, 4, 5], "I42135": [0, 4, 2, 1, 3, 8, 6, 5, 7]}[order]
    frames = [Frame(VIDEO, n * 3600, (p + depth) * 3600, b"x", key=not n) for n, p in enumerate(shown)]
    assert track(measured(frames).report(), 1)["reorder_depth"] == depth


def test_a_missing_picture_is_a_gap() -> None:
    video = track(measured([picture(n) for n in range(50) if n not in (20, 21)]).report(), 1)
    assert video["gaps"] == {"count": 1, "longest_step_s": 0.12, "listed": [{"at_s": 0.76, "length_s": 0.08}]}
    assert video["jumps"]["count"] == 0


def test_a_missing_sound_frame_is_a_gap_even_with_millisecond_clocks() -> None:
    millis = AUDIO.with_(timescale=1000)
    frames = [Frame(millis, round(n * 64 / 3), round(n * 64 / 3), b"x", duration=21) for n in range(200)]
    assert track(measured(frames).report(), 2)["gaps"]["count"] == 0
    del frames[100]
    assert track(measured(frames).report(), 2)["gaps"]["count"] == 1


def test_a_jump_is_no_gap_and_costs_no_rate() -> None:
    frames = [picture(n) for n in range(50)] + [picture(n, shift=90_000_000) for n in range(50, 100)]
    video = track(measured(frames).report(), 1)
    assert video["jumps"] == {"count": 1, "listed": [{"from_s": 1.96, "to_s": 1002.0}]}
    assert video["gaps"]["count"] == 0
    assert video["fps_measured"] == 25.0
    assert video["duration_s"] == pytest.approx(3.96)
    assert video["gop"]["max_s"] == 1.0


def test_decode_times_that_stand_still_or_step_back_a_little() -> None:
    frames = [picture(0), picture(1), picture(1), picture(0), picture(2)]
    video = track(measured(frames).report(), 1)
    assert video["non_monotonic_dts"] == 2
    assert video["jumps"]["count"] == 0


def test_presented_before_decoded() -> None:
    assert track(measured([Frame(VIDEO, 7200, 3600, b"x")]).report(), 1)["pts_before_dts"] == 1


def test_an_open_gop_counts_as_unfinished() -> None:
    gop = track(measured([picture(n, gop=1000) for n in range(75)]).report(), 1)["gop"]
    assert (gop["count"], gop["max_s"], gop["unfinished_frames"], gop["unfinished_s"]) == (0, None, 75, 2.96)


def test_pictures_before_the_first_key_frame_belong_to_no_gop() -> None:
    gop = track(measured([picture(n) for n in range(10, 60)]).report(), 1)["gop"]
    assert (gop["count"], gop["max_frames"], gop["unfinished_frames"]) == (1, 25, 10)


def test_a_discontinuity_ends_the_gop() -> None:
    events = [*[picture(n) for n in range(30)], Discontinuity("loss"), *[picture(n) for n in range(40, 60)]]
    gop = track(measured(events).report(), 1)["gop"]
    assert (gop["count"], gop["max_frames"]) == (1, 25)


def test_a_duration_without_frame_durations_takes_the_average_step() -> None:
    frames = [Frame(VIDEO, n * 3600, n * 3600, bytes(100)) for n in range(50)]
    video = track(measured(frames).report(), 1)
    assert video["duration_s"] == pytest.approx(2.0)
    assert video["bitrate_bps"] == 20_000


def test_one_frame_has_no_rate() -> None:
    video = track(measured([Frame(VIDEO, 0, 0, b"abc")]).report(), 1)
    assert video["fps_measured"] is video["bitrate_bps"] is video["peak_bitrate_bps"] is None
    assert video["frames"] == 1


def test_no_frame_leaves_everything_unknown() -> None:
    video = track(measured([]).report(), 1)
    assert video["frames"] == 0
    for name in ("first_pts", "last_pts", "first_pts_s", "duration_s", "bitrate_bps", "fps_measured"):
        assert video[name] is None


def test_the_peak_is_the_fullest_second() -> None:
    frames = [picture(n, size=10_000 if 30 <= n < 55 else 1000) for n in range(100)]
    peak = track(measured(frames).report(), 1)["peak_bitrate_bps"]
    assert peak == 25 * 10_000 * 8


def test_the_peak_needs_a_second() -> None:
    peak = PeakRate()
    for n in range(49):
        peak.add(n / 50, 10)
    assert peak.peak_bits is None
    for n in range(49, 55):
        peak.add(n / 50, 10)
    assert peak.peak_bits == 50 * 10 * 8


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "MAX_KEYFRAME_TIMES", 10)
    monkeypatch.setattr(measure, "MAX_LISTED", 5)
    one = TrackMeasure(VIDEO)
    for n in range(0, 4000, 2):
        one.add(picture(n, gop=2, size=1))
    for n in range(20):
        one.add(picture(n * 1_000_000, size=1))
    figures = one.figures()
    assert len(figures["key_frame_times_s"]) == 10
    assert figures["key_frame_times_complete"] is False
    assert len(figures["gaps"]["listed"]) == len(figures["jumps"]["listed"]) == 5
    assert figures["gaps"]["count"] == 1999
    assert figures["jumps"]["count"] == 20
    assert sound(1).track is AUDIO
