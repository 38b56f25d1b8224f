"""Streams out of reports of probe."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.capacity.demand import MAX_STREAMS
from evotools.capacity.reports import SCHEMA, parse_reports
from evotools.errors import UsageError


def report(*rates: object, source: str = "film.mp4", **more: object) -> dict[str, object]:
    tracks = [{"bitrate_bps": rate, "declared_bitrate_bps": None} for rate in rates]
    return {"schema": SCHEMA, "source": source, "tracks": tracks, **more}


def test_tracks_are_added_up() -> None:
    (stream,) = parse_reports(json.dumps(report(2_000_000, 128_000)), "x")
    assert (stream.ingest_bps, stream.count, stream.origin) == (2_128_000, 1, "film.mp4")


def test_the_declared_rate_stands_in() -> None:
    document = report(None, 1000)
    document["tracks"] = [{"bitrate_bps": None, "declared_bitrate_bps": 5000}, {"bitrate_bps": 1000}]
    assert parse_reports(json.dumps(document), "x")[0].ingest_bps == 6000


@pytest.mark.parametrize("indent", [None, 2])
def test_many_reports(indent: int | None) -> None:
    documents = [report(1000, source="a"), report(2000, source="b")]
    a_list = json.dumps(documents, indent=indent)
    lines = "\n".join(json.dumps(d, indent=indent) for d in documents)
    for text in (a_list, lines, lines + "\n"):
        assert [(s.origin, s.ingest_bps) for s in parse_reports(text, "x")] == [("a", 1000), ("b", 2000)]


def test_lines_of_watch_are_passed_over() -> None:
    watch = json.dumps({"media_s": 1.0, "tracks": []})
    assert len(parse_reports(f"{watch}\n{json.dumps(report(1000))}\n", "x")) == 1
    with pytest.raises(UsageError, match="--watch"):
        parse_reports(watch, "x")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"), ("  \n", "empty"), ("G@", "not JSON from line 1"), ('{"schema": "evotools.probe/1"', "not JSON"),
        ("[1]", "no report of probe"), ('"text"', "no report"), ("{}", "no report"),
        ('{"schema": "evotools.probe/2"}', "schema is 'evotools.probe/2'"), ("[" * 10**5, "not JSON"),
        ('{"schema": "evotools.probe/1"}', "no list of tracks"),
        ('{"schema": "evotools.probe/1", "tracks": [5]}', "no list of tracks"),
        (json.dumps(report(None)), "no bit rate"), (json.dumps(report()), "no bit rate"),
        (json.dumps(report(float("inf"))), "no bit rate"), (json.dumps(report(True)), "no bit rate"),
        (json.dumps(report(-5)), "no bit rate"), (json.dumps(report(10**13)), "no bit rate"),
        (json.dumps(report("3M")), "no bit rate"),
    ],
)  # fmt: skip
def test_what_is_no_report(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        parse_reports(text, "--from x")
    assert caught.value.message.startswith("--from x: ")


def test_too_many() -> None:
    with pytest.raises(UsageError, match="more than"):
        parse_reports(json.dumps([report(1)] * (MAX_STREAMS + 1)), "x")


def test_control_characters_of_a_report_reach_no_terminal() -> None:
    (stream,) = parse_reports(json.dumps(report(1, source="a\x1b[31mb\n" + "c" * 500)), "x")
    assert stream.origin.startswith("a?[31mb?c")
    assert len(stream.origin) == 200


KEYS = st.sampled_from(["schema", "tracks", "bitrate_bps", "source", "media_s"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.just(SCHEMA),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
)


@settings(deadline=None)
@given(DOCUMENTS)
def test_only_usage_errors(document: object) -> None:
    try:
        parse_reports(json.dumps(document), "x")
    except UsageError:
        pass
