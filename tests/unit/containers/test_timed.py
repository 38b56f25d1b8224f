"""Timed data between messages, ID3 tags and event messages."""

import pytest

from evotools.codecs import id3
from evotools.containers.mp4.event import EventBoxes
from evotools.containers.timed import EMSG, ID3_SCHEME, ON_ID3, from_id3, from_json, to_id3
from evotools.media.frame import Metadata


@pytest.mark.parametrize(
    "value", [{"text": "a\0b", "n": 1.5, "list": [None, True, "ö"]}, "text", "", None, 5.0, [1, 2]]
)
def test_a_message_comes_back_as_it_was(value: object) -> None:
    tag = to_id3(Metadata("onTextData", value, 1.0))
    assert tag is not None
    (back,) = from_id3(tag, 2.0, id3_track=7)
    assert (back.name, back.value, back.time_s) == ("onTextData", value, 2.0)
    assert back.options == {"id3": tag, "id3_track": 7}
    assert to_id3(back) == tag


def test_what_json_has_no_form_for() -> None:
    tag = to_id3(Metadata("a\0b\ud800", {"raw": b"\1\xff"}))
    assert tag is not None
    assert [(e.name, e.value) for e in from_id3(tag, 0.0)] == [("a b?", {"raw": "01ff"})]
    loop: list[object] = []
    loop.append(loop)
    for value in (loop, float("inf"), "x" * 50_000):
        assert to_id3(Metadata("cue", value)) is None


@pytest.mark.parametrize("name", ["onMetaData", "@setDataFrame", "colorInfo"])
def test_nobody_speaks_of_the_whole_stream_through_a_tag(name: str) -> None:
    assert to_id3(Metadata(name, {"width": 1.0})) is None
    tag = id3.tag(id3.user_text(name, '{"width":1}'), id3.text("TSSE", "evotools"))
    assert [e.name for e in from_id3(tag, 0.0)] == [ON_ID3]
    assert from_json(name, b"{}", 0.0) is None
    assert EventBoxes().box(Metadata(name, {"width": 1.0})) == b""


def test_tags_of_others_are_told_by_their_frames() -> None:
    tag = id3.tag(
        id3.text("TIT2", "Title"), id3.user_text("id", "5"), id3.user_text("n", "[1]"), id3.private("com.x", b"\0\1"),
        id3.frame("WOAF", b"http://x/\0"), id3.frame("APIC", bytes(5000)), id3.frame("GEOB", b"\2"),
    )  # fmt: skip
    (event,) = from_id3(tag, 3.0)
    assert (event.name, event.time_s) == (ON_ID3, 3.0)
    assert event.value == {
        "TIT2": "Title", "TXXX": {"id": "5", "n": "[1]"}, "PRIV": {"com.x": "0001"}, "WOAF": "http://x/", "GEOB": "02",
    }  # fmt: skip
    assert to_id3(event) == tag


def test_a_single_text_of_others_is_no_message_of_ours_whatever_it_looks_like() -> None:
    (event,) = from_id3(id3.tag(id3.user_text("id", "5")), 0.0)
    assert (event.name, event.value) == (ON_ID3, {"TXXX": {"id": "5"}})


def test_several_tags_and_broken_ones() -> None:
    one, two = id3.tag(id3.text("TIT2", "1")), id3.tag(b"TIT2\0\0\0\x7f\0\0ab")
    events = from_id3(one + two + b"rest", 0.0)
    assert [(e.value, e.options["id3"]) for e in events] == [({"TIT2": "1"}, one), ({}, two)]


def test_event_messages() -> None:
    tag = id3.tag(id3.text("TIT2", "1"))
    assert to_id3(Metadata(EMSG, tag, 0.0, {"scheme": ID3_SCHEME})) == tag
    other = to_id3(Metadata(EMSG, b"\1\2", 0.0, {"scheme": "urn:scte:scte35:2013:bin"}))
    assert other is not None
    assert id3.frames(other) == [("PRIV", b"urn:scte:scte35:2013:bin\0\1\2")]
