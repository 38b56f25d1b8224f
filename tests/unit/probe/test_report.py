"""The forms of the report."""

import json
import re

from evotools.media.frame import Discontinuity
from evotools.probe.checks import Limits, evaluate, parse_expectation, warnings
from evotools.probe.report import nagios, nagios_error, sections, to_json, to_text, watch_text
from tests.unit.probe.streams import both, measured, picture

LIMITS = Limits(expect=(parse_expectation("video=h264"),), min_fps=30, max_gop_s=2)


def test_json_has_the_checks_and_a_verdict() -> None:
    report = measured(both()).report()
    told = json.loads(to_json(report, evaluate(report, LIMITS)))
    assert told["verdict"] == "fail"
    assert [c["ok"] for c in told["checks"]] == [True, False, True]
    assert json.loads(to_json(report, []))["verdict"] is None
    assert json.loads(to_json(report, evaluate(report, Limits(min_fps=25))))["verdict"] == "pass"
    assert "\n" not in to_json(report, [], indent=None)


def test_text_names_what_matters() -> None:
    report = measured(both(), live=True).report(complete=False)
    text = to_text(sections(report, evaluate(report, LIMITS), ["something odd"]))
    for part in ("Track 1: video h264", "1280x720, 25 fps", "avc1.42C01E", "25/25/25 frames", "200 kbit/s", "cut off",
                 "48000 Hz, 2 channels", "jitter", "something odd", "FAIL", "ok "):  # fmt: skip
        assert part in text


def test_text_of_an_empty_stream() -> None:
    report = measured([], tracks=()).report()
    assert to_text(sections(report, [], [])).startswith("Stream\n")


def test_nagios_states() -> None:
    good = measured(both()).report()
    status, line = nagios(good, evaluate(good, Limits(min_fps=24, max_gop_s=2)), warnings(good))
    assert status == 0
    assert line.startswith("EVOTOOLS OK - h264 1280x720 25 fps, aac 48000 Hz | ")
    assert "fps=25;;24:" in line
    assert "gop=1s;;2" in line
    odd = measured([*both(), Discontinuity("x")]).report()
    assert nagios(odd, [], warnings(odd))[0] == 1
    status, line = nagios(good, evaluate(good, LIMITS), [])
    assert status == 2
    assert line.startswith("EVOTOOLS CRITICAL - min-fps: ")


def test_nagios_data_has_the_form_of_the_guidelines() -> None:
    report = measured(both()).report()
    data = nagios(report, evaluate(report, Limits(min_fps=24, min_bitrate_bps=1000)), [])[1].partition(" | ")[2]
    for item in data.split(" "):
        assert re.fullmatch(r"[a-z]+=-?[0-9.e+]+s?;;[0-9.e+]*:?", item), item


def test_nagios_lines_are_one_line() -> None:
    assert nagios_error(2, "x: a|b\nc") == "EVOTOOLS CRITICAL - x: a/b c"


def test_watch_lines() -> None:
    analysis = measured([picture(0)], live=True)
    analysis.interval(0.0)
    for n in range(1, 26):
        analysis.add(picture(n), n / 25)
    line = watch_text(analysis.interval(1.0))
    assert "h264 200 kbit/s 25 fps" in line
    assert "jitter 0.0 ms" in line
    assert "aac" in line
