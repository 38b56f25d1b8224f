"""Attacks on AMF0, AMF3, FLV and Enhanced RTMP bodies, one test for each."""

from collections.abc import Callable

import pytest

from evotools.containers.flv import amf0, amf3
from evotools.containers.flv.demux import FlvDemuxer
from evotools.containers.flv.names import accepts
from evotools.containers.flv.reader import TagReader
from evotools.errors import ParseError
from evotools.media.frame import Discontinuity, Frame
from tests.unit.containers.flv import make
from tests.unit.containers.flv.make import AVCC, HVCC, IDR, avc, frames

Decode = Callable[[bytes], object]


def in_amf0(data: bytes) -> object:
    return amf0.decode_all(data)


def in_amf3(data: bytes) -> object:
    return amf0.decode_all(b"\x11" + data)


# AMF


@pytest.mark.parametrize(
    ("decode", "opener"),
    [
        (in_amf0, b"\x03\x00\x01a"), (in_amf0, b"\x08\x00\x00\x00\x01\x00\x01a"), (in_amf0, b"\x0a\x00\x00\x00\x01"),
        (in_amf0, b"\x10\x00\x01C\x00\x01a"), (in_amf3, b"\x09\x03\x01"), (in_amf3, b"\x0a\x0b\x01\x03a"),
        (in_amf3, b"\x11\x03\x00\x01"), (in_amf3, b"\x10\x03\x00\x01"),
    ],
)  # fmt: skip
def test_a_nesting_of_a_hundred_thousand(decode: Decode, opener: bytes) -> None:
    with pytest.raises(ParseError, match="nest"):
        decode(opener * 100_000)


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (in_amf0, b"\x02\xff\xffabc"), (in_amf0, b"\x0c\x7f\xff\xff\xffabc"), (in_amf0, b"\x0f\x00\x00\xff\xffabc"),
        (in_amf0, b"\x03\xff\xffabc"), (in_amf0, b"\x10\xff\xffabc"), (in_amf3, b"\x06\xbf\xff\xff\xffabc"),
        (in_amf3, b"\x06\x87\xffabc"), (in_amf3, b"\x0b\x87\xffabc"), (in_amf3, b"\x0c\x87\xffabc"),
        (in_amf3, b"\x09\x01\x87\xffabc"), (in_amf3, b"\x0a\x0b\x87\xffabc"),
    ],
)  # fmt: skip
def test_a_string_past_the_end(decode: Decode, data: bytes) -> None:
    with pytest.raises(ParseError):
        decode(data)


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (in_amf0, b"\x0a\xff\xff\xff\xff" + b"\x05" * 100), (in_amf3, b"\x09\xff\xff\xff\xff\x01" + b"\x01" * 100),
        (in_amf3, b"\x10\xff\xff\xff\xff\x00\x01"), (in_amf3, b"\x0d\xff\xff\xff\xff\x00" + bytes(100)),
        (in_amf3, b"\x11\xff\xff\xff\xff\x00" + bytes(100)), (in_amf3, b"\x0a\xff\xff\xff\xf3\x01" + bytes(100)),
    ],
)  # fmt: skip
def test_a_count_of_two_to_the_thirty_two(decode: Decode, data: bytes) -> None:
    with pytest.raises(ParseError):
        decode(data)


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (in_amf0, b"\x03\x00\x01a\x07\x00\x00\x00\x00\x09"), (in_amf0, b"\x0a\x00\x00\x00\x01\x07\x00\x00"),
        (in_amf0, b"\x08\x00\x00\x00\x01\x00\x01a\x07\x00\x00\x00\x00\x09"), (in_amf3, b"\x09\x03\x01\x09\x00"),
        (in_amf3, b"\x0a\x0b\x01\x03a\x0a\x00\x01"), (in_amf3, b"\x11\x03\x00\x01\x11\x00"),
        (in_amf3, b"\x10\x03\x00\x01\x10\x00"), (in_amf3, b"\x09\x03\x01\x0a\x0b\x01\x03a\x09\x00\x01"),
    ],
)  # fmt: skip
def test_a_reference_loop(decode: Decode, data: bytes) -> None:
    with pytest.raises(ParseError, match="reference"):
        decode(data)


@pytest.mark.parametrize("marker", [4, 9, 14, *range(18, 256)])
def test_an_unknown_marker(marker: int) -> None:
    with pytest.raises(ParseError, match="marker"):
        in_amf0(bytes((marker,)) + bytes(20))
    if marker >= 18:
        with pytest.raises(ParseError, match="marker"):
            in_amf3(bytes((marker,)) + bytes(20))


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (in_amf0, b"\x03\x00\x01a\x05"), (in_amf0, b"\x03"), (in_amf0, b"\x08\x00\x00\x00\x00\x00\x00"),
        (in_amf0, b"\x03\x00\x00\x05" * 1000), (in_amf3, b"\x0a\x0b\x01\x03a\x01"), (in_amf3, b"\x09\x01\x03a\x01"),
    ],
)  # fmt: skip
def test_an_object_without_its_end(decode: Decode, data: bytes) -> None:
    with pytest.raises(ParseError):
        decode(data)


def test_an_externalizable_object_is_refused() -> None:
    with pytest.raises(ParseError, match="externalizable"):
        in_amf3(b"\x0a\x07\x43flex.messaging.io.ArrayCollection\x09\x01\x01")


def test_broken_script_data_costs_itself_alone() -> None:
    reader = started()
    for body in (b"\x11\x0a\x07\x03C", b"\x02\x00\x05onXYZ\x11\xff", b"\x0a\xff\xff\xff\xff", b"\x03" * 5000):
        assert reader.read_script(body, 0) == []
    assert reader.damaged == 4
    assert len(frames(reader.read_video(avc(1, IDR), 40))) == 1


# FLV and Enhanced RTMP


def started() -> TagReader:
    reader = TagReader()
    reader.expect(video=True, audio=False)
    reader.read_video(avc(0, AVCC), 0)
    assert frames(reader.read_video(avc(1, IDR), 0))
    return reader


@pytest.mark.parametrize("kind", [8, 9, 15, 18])
def test_a_tag_without_a_body(kind: int) -> None:
    data = b"FLV\x01\x01\0\0\0\x09\0\0\0\0" + make.tag(9, 0, avc(0, AVCC)) + make.tag(kind, 0, b"") * 1000
    demuxer = FlvDemuxer()
    events = demuxer.feed(data + make.tag(9, 0, avc(1, IDR))) + demuxer.flush()
    assert len(frames(events)) == 1


@pytest.mark.parametrize(
    ("first", "config"),
    [
        (b"\x17\x00\x00\x00\x00", AVCC), (b"\x90avc1", AVCC), (b"\x1c\x00\x00\x00\x00", HVCC), (b"\x90hvc1", HVCC),
        (b"\x90av01", make.AV1C), (b"\x96\x00avc1\x01", AVCC),
    ],
)  # fmt: skip
def test_a_configuration_cut_off_anywhere(first: bytes, config: bytes) -> None:
    for size in range(len(config)):
        reader = TagReader()
        try:
            reader.read_video(first + config[:size], 0)
            reader.read_video(first + config[:size], 40)
        except ParseError:
            pass
        reader = started()
        try:
            reader.read_video(first + config[:size], 40)
        except ParseError:
            continue
        reader.read_video(avc(1, IDR), 80)


@pytest.mark.parametrize("size", [1, 100, 0xFFFFFF])
def test_a_track_past_the_end_of_its_multitrack_body(size: int) -> None:
    reader = started()
    track = size.to_bytes(3, "big")
    assert reader.read_video(b"\x96\x11avc1\x01" + track, 0) == []
    assert reader.read_video(b"\x96\x21avc1\x01" + track, 0) == []
    assert reader.read_audio(b"\x95\x11mp4a\x01" + track, 0) == []
    assert reader.damaged == 3


def test_tracks_without_end_in_one_body() -> None:
    reader = started()
    body = b"\x96\x11avc1" + b"".join(bytes((n & 0xFF, 0, 0, 0)) for n in range(200_000))
    assert frames(reader.read_video(body, 0)) == []
    assert len(reader._video) <= 32


@pytest.mark.parametrize("fourcc", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"evil", b"'\"\n;"])
def test_an_unknown_fourcc_is_named_harmlessly_and_carried_nowhere(fourcc: bytes) -> None:
    reader = TagReader()
    reader.expect(video=True, audio=False)
    for event in reader.read_video(b"\x91" + fourcc + b"data", 0):
        if isinstance(event, Frame):
            assert event.track.codec.replace("-", "").isalnum()
            assert not accepts(event.track)
    assert reader.read_video(b"\x91" + fourcc[:3], 0) == []
    assert reader.damaged == 1


def test_a_long_chain_of_modex_signals() -> None:
    reader = started()
    chain = b"\x02\x00\x00\x01\x07" * 100_000
    assert len(frames(reader.read_video(b"\x97" + chain + b"\x02\x00\x00\x05\x01avc1\0\0\0" + IDR, 0))) == 1
    for body in (b"\x97" + chain, b"\x97\xff\xff\xff", b"\x97\x00", b"\x97"):
        assert frames(reader.read_video(body, 0)) == []
    assert frames(reader.read_audio(b"\x97" + chain, 0)) == []


def test_multitrack_inside_multitrack() -> None:
    reader = started()
    assert reader.read_video(b"\x96\x06avc1\x01", 0) == []
    assert reader.read_video(b"\x96\x31avc1\x01", 0) == []
    assert reader.damaged == 2


def test_a_frame_whose_units_lie_about_their_length() -> None:
    events = started().read_video(avc(1, b"\xff\xff\xff\xff\x65"), 40)
    assert [type(e) for e in events] == [Discontinuity]


def test_amf3_bombs_cannot_be_written_out() -> None:
    value = amf3.decode(b"\x09\x21\x01" + amf3.encode("x" * 1_000_000) + b"\x06\x00" * 15)
    with pytest.raises(ValueError, match="more than"):
        amf0.encode("onTextData", value)
