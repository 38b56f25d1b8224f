"""What is known of the whole stream."""

import json

import pytest

from evotools.media.frame import Discontinuity, Tracks
from evotools.probe import analysis as analysis_module
from evotools.probe.analysis import Analysis, Arrival
from tests.unit.probe.streams import AUDIO, VIDEO, both, measured, picture, sound, track


def test_the_report_is_plain_json_with_its_schema() -> None:
    report = measured(both(), live=True).report()
    assert report["schema"] == "evotools.probe/1"
    assert json.loads(json.dumps(report)) == report
    assert report["frames"] == 287
    assert report["duration_s"] == pytest.approx(4.0, abs=0.03)
    assert report["bitrate_bps"] == track(report, 1)["bitrate_bps"] + track(report, 2)["bitrate_bps"]
    assert (report["epochs"], report["complete"]) == (1, True)


def test_sound_that_starts_late_and_falls_behind() -> None:
    events = [picture(n) for n in range(50)]
    late = [sound(n, shift=9600) for n in range(90)]
    report = measured(sorted([*events, *late], key=lambda f: f.dts_s)).report()
    assert report["sync"]["start_skew_s"] == 0.2
    assert report["sync"]["end_skew_s"] == pytest.approx(0.12)


def test_the_running_skew_is_the_largest_distance_of_the_clocks() -> None:
    events = [picture(0), sound(0), *[picture(n) for n in range(1, 11)], *[sound(n) for n in range(1, 40)]]
    skew = measured(events).report()["sync"]["max_skew_s"]
    assert skew == pytest.approx(39 * 1024 / 48000 - 0.4)
    events = [picture(0), sound(0), *[picture(n) for n in range(1, 30)], sound(1)]
    assert measured(events).report()["sync"]["max_skew_s"] == pytest.approx(-29 / 25)


def test_one_kind_has_no_skew() -> None:
    sync = measured([picture(n) for n in range(5)], tracks=(VIDEO,)).report()["sync"]
    assert set(sync.values()) == {None}


def test_a_jump_of_both_tracks_is_no_skew() -> None:
    events = [picture(0), sound(0), picture(1, shift=9_000_000), sound(1, shift=4_800_000), picture(2, shift=9_000_000)]
    report = measured(events).report()
    assert abs(report["sync"]["max_skew_s"]) < 0.1


def test_discontinuities_are_counted_and_listed_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis_module, "MAX_LISTED", 3)
    report = measured([picture(0), *[Discontinuity("loss")] * 10]).report()["discontinuities"]
    assert report["count"] == 10
    assert report["listed"] == [{"at_s": 0.0, "reason": "loss"}] * 3


def test_a_new_epoch_updates_the_track() -> None:
    analysis = measured([picture(0)])
    analysis.add(Tracks((VIDEO.with_(width=640, height=360), AUDIO)), 1.0)
    report = analysis.report(complete=False)
    assert (report["epochs"], report["complete"]) == (2, False)
    assert track(report, 1)["width"] == 640
    assert track(report, 1)["frames"] == 1


def test_arrival_is_measured_of_live_streams_only() -> None:
    assert measured(both(1)).report()["arrival"] is None
    even = measured(both(1), live=True).report()["arrival"]
    assert even["jitter_s"] == even["spread_s"] == 0.0
    assert even["longest_silence_s"] == pytest.approx(0.0213, abs=0.0002)


def test_bursts_show_as_jitter_spread_and_silence() -> None:
    arrival = Arrival()
    for n in range(100):
        arrival.add(n * 0.04, (n // 10) * 0.4)
    figures = arrival.figures()
    assert figures["spread_s"] == pytest.approx(0.36)
    assert figures["longest_silence_s"] == pytest.approx(0.4)
    assert 0.04 < figures["jitter_s"] < 0.2


def test_interval_figures_begin_anew() -> None:
    analysis = Analysis(live=True)
    analysis.add(Tracks((VIDEO,)), 0.0)
    analysis.interval(0.0)
    for n in range(50):
        analysis.add(picture(n), n / 25)
        if n == 24:
            first = analysis.interval(1.0)
    second = analysis.interval(2.0)
    for figures in (first, second):
        assert figures["interval_s"] == 1.0
        assert figures["tracks"][0]["fps"] == 25.0
        assert figures["tracks"][0]["bitrate_bps"] == 200_000
    empty = analysis.interval(3.0)
    assert (empty["tracks"][0]["fps"], empty["tracks"][0]["bitrate_bps"]) == (0.0, 0)
