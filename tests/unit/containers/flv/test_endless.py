"""Streams without an end that ask the reader to remember more and more."""

import pytest

from evotools.containers.flv import amf0
from evotools.containers.flv import reader as reader_module
from evotools.containers.flv.demux import MAX_TAG, FlvDemuxer
from evotools.containers.flv.headers import MAX_CONFIG
from evotools.containers.flv.reader import (
    MAX_HELD_METADATA,
    MAX_HELD_SCRIPT_BYTES,
    MAX_SCRIPT_BYTES,
    MAX_WAIT_EVENTS,
    TagReader,
)
from evotools.errors import ParseError
from evotools.media.frame import Metadata
from tests.unit.containers.feeding import MIB, peak
from tests.unit.containers.flv.make import AVCC, IDR, avc, frames, tag, tracks

HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"
# 64 KiB that become 1.7 MB: dicts with one property each.
SCRIPT = amf0.encode("onMetaData", [{"a": None}] * 8000)


def test_a_tag_takes_its_own_size_and_no_more() -> None:
    demuxer = FlvDemuxer()
    demuxer.feed(HEADER + tag(9, 0, avc(0, AVCC)) + b"\x09\xff\xff\xff" + bytes(7))
    # The buffer with its room to grow, and the frame cut out of it at the end.
    assert peak(demuxer.feed, [bytes(1 << 16)] * 255 + [bytes(0xFFFF + 4)]) < 3 * MAX_TAG
    assert not demuxer._held
    with pytest.raises(ParseError, match="0 is no FLV tag type"):
        demuxer.feed(bytes(1 << 16))


def test_script_data_before_any_track_is_weighed() -> None:
    reader = TagReader()
    small = amf0.encode("onMetaData", {"a": 1.0})
    for n in range(100):
        reader.read_script(small, n)
    assert len(reader._waiting) == MAX_HELD_METADATA
    big = amf0.encode("onMetaData", "x" * (MAX_HELD_SCRIPT_BYTES // 3), "y" * 1000)
    assert peak(lambda body: reader.read_script(body, 0), [big] * 20) < 4 * MAX_HELD_SCRIPT_BYTES
    assert 1 <= len(reader._waiting) <= 3
    # The newest stays.
    assert isinstance(reader._waiting[-1], Metadata)
    assert reader._waiting[-1].value[1] == "y" * 1000


def test_script_data_while_tracks_are_awaited_is_weighed_by_what_it_becomes() -> None:
    reader = TagReader()
    reader.read_video(avc(0, AVCC), 0)
    assert reader.read_video(avc(1, IDR), 0) == []
    events = []
    for _ in range(MAX_WAIT_EVENTS):
        events = reader.read_script(SCRIPT, 0)
        if events:
            break
    assert len(tracks(events)) == 1
    # 16 MiB of objects at the most, of scripts of 2 MiB each.
    assert len(events) < 20


def test_empty_tags_and_headers_without_frames_are_not_remembered() -> None:
    reader = TagReader()
    pieces = [avc(0, AVCC), avc(0, AVCC[:-1] + b"\0"), b"\x17\x01", b"\x90hvc1", b"\x27\x02\0\0\0"] * 4000

    def feed(body: bytes) -> None:
        try:
            reader.read_video(body, 0)
        except ParseError:
            pass

    assert peak(feed, pieces) < MIB // 4


def test_frames_that_wait_for_another_track_are_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MAX_WAIT_BYTES", 100_000)
    reader = TagReader()
    reader.read_video(avc(0, AVCC), 0)
    picture = (20_000).to_bytes(4, "big") + b"\x65" + bytes(range(1, 201)) * 99 + bytes([1]) * 199
    given = [len(reader.read_video(avc(1, picture), 0)) for _ in range(5)]
    assert given == [0, 0, 0, 0, 6]


def test_oversized_script_data_and_headers_are_not_taken_in() -> None:
    reader = TagReader()
    assert reader.read_script(amf0.encode("onMetaData", "x" * MAX_SCRIPT_BYTES), 0) == []
    assert (reader.damaged, reader._waiting) == (1, [])
    with pytest.raises(ParseError, match="longer than"):
        reader.read_video(avc(0, AVCC + bytes(MAX_CONFIG)), 0)


@pytest.mark.parametrize("unit", [b"\0\0\0\1\x41", b"\0\0\0\0\0\0\0\1\x41"])
def test_a_frame_of_countless_units_is_dropped_before_they_are_split(unit: bytes) -> None:
    reader = TagReader()
    reader.read_video(avc(0, AVCC), 0)
    body = avc(1, unit * 200_000)
    assert peak(lambda data: reader.read_video(data, 0), [body] * 3) < 3 * len(body)
    assert reader.damaged == 3


def test_any_number_of_zeros_may_stand_behind_the_last_unit() -> None:
    reader = TagReader()
    reader.read_video(avc(0, AVCC), 0)
    reader.read_video(avc(1, IDR + bytes(1_000_001)), 0)
    assert [frame.payload for frame in frames(reader.flush())] == [IDR]
