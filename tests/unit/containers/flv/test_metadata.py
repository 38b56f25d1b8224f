"""Timed data there and back: onMetaData merged with the tracks, any value unchanged, in order, at its time; HDR."""

from typing import Any

import pytest

from evotools.containers.flv import amf0, amf3
from evotools.containers.flv.amf import UNDEFINED, Date, Dictionary, EcmaArray, TypedObject, Vector, Xml
from evotools.containers.flv.demux import FlvDemuxer
from evotools.containers.flv.mux import FlvMuxer
from evotools.containers.flv.reader import TagReader
from evotools.containers.flv.writer import TagWriter
from evotools.media.frame import Event, Frame, Metadata, Tracks
from evotools.media.track import Kind, Track
from tests.unit.containers.flv import make
from tests.unit.containers.flv.make import AVCC, IDR, SLICE, avc, metadata

HEVC = Track(1, Kind.VIDEO, "h265", 1000, make.HVCC, width=64, height=48)
COLOR = {"colorConfig": {"bitDepth": 10.0, "transferCharacteristics": 16.0}, "hdrCll": {"maxCLL": 1000.0}}


def demuxed(data: bytes) -> list[Event]:
    demuxer = FlvDemuxer()
    return demuxer.feed(data) + demuxer.flush()


def told(data: bytes) -> list[dict[str, Any]]:
    """The values of all onMetaData tags."""
    return [e.value for e in demuxed(data) if isinstance(e, Metadata) and e.name == "onMetaData"]


PUBLISHER = EcmaArray(
    duration=60.0, filesize=1e6, fileSize=0.0, width=1.0, height=2.0, videocodecid=2.0, videodatarate=2500.0,
    framerate=25.0, audiocodecid=2.0, audiodatarate=160.0, stereo=False, encoder="obs-output module (1.2)",
    title="Grüße", created=Date(1.5e12), keyframes={"times": [0.0]}, hasVideo=True, custom={"a": [1.0, UNDEFINED]},
)  # fmt: skip


def test_on_metadata_keeps_what_the_publisher_says_and_not_its_lies() -> None:
    muxer = FlvMuxer()
    assert muxer.write_metadata(Metadata("onMetaData", PUBLISHER)) == b"", "before the header there is no place"
    (info,) = told(muxer.start([make.VIDEO, make.AUDIO]) + muxer.write(Frame(make.VIDEO, 0, 0, IDR, key=True)))
    assert info == {
        "width": 320.0, "height": 180.0, "videocodecid": 7.0, "videodatarate": 2500.0, "framerate": 25.0,
        "audiocodecid": 10.0, "audiosamplerate": 48000.0, "audiosamplesize": 16.0, "audiochannels": 2.0,
        "stereo": True, "audiodatarate": 160.0, "encoder": "obs-output module (1.2)", "title": "Grüße",
        "created": Date(1.5e12), "custom": {"a": [1.0, UNDEFINED]},
    }  # fmt: skip
    assert isinstance(info, EcmaArray)


def test_what_describes_a_track_that_is_left_out_goes_too() -> None:
    muxer = FlvMuxer()
    muxer.write_metadata(Metadata("onMetaData", PUBLISHER))
    (info,) = told(muxer.start([make.AUDIO]) + muxer.write(Frame(make.AUDIO, 0, 0, b"x", key=True)))
    assert not [name for name in info if name.startswith(("video", "width", "height", "frame"))]
    muxer = FlvMuxer()
    muxer.write_metadata(Metadata("onMetaData", PUBLISHER))
    (info,) = told(muxer.start([make.VIDEO]) + muxer.write(Frame(make.VIDEO, 0, 0, IDR, key=True)))
    assert not [name for name in info if name.startswith(("audio", "stereo"))]


def test_further_tracks_keep_their_own_fields_and_may_become_the_first() -> None:
    info = EcmaArray(width=1920.0, videodatarate=6000.0, videoTrackIdInfoMap={"1": {"videodatarate": 1500.0, "x": "y"}})
    second = make.VIDEO.with_(id=3)
    muxer = FlvMuxer()
    muxer.write_metadata(Metadata("onMetaData", info))
    data = muxer.start([make.VIDEO, second]) + muxer.write(Frame(make.VIDEO, 0, 0, IDR, key=True))
    (both,) = told(data + muxer.write(Frame(second, 0, 0, IDR, key=True)))
    assert both["videodatarate"] == 6000.0
    assert both["videoTrackIdInfoMap"]["1"] == {
        "videodatarate": 1500.0, "x": "y", "videocodecid": float(0x61766331), "width": 320.0, "height": 180.0,
    }  # fmt: skip
    muxer = FlvMuxer()
    muxer.write_metadata(Metadata("onMetaData", info))
    (alone,) = told(muxer.start([second]) + muxer.write(Frame(second, 0, 0, IDR, key=True)))
    assert (alone["videodatarate"], alone["x"], alone["width"]) == (1500.0, "y", 320.0)
    assert "videoTrackIdInfoMap" not in alone


def test_new_on_metadata_in_mid_stream_is_merged_too() -> None:
    muxer = FlvMuxer()
    data = muxer.start([make.VIDEO]) + muxer.write(Frame(make.VIDEO, 0, 0, IDR, key=True))
    data += muxer.write(Frame(make.VIDEO, 2000, 2000, IDR, key=True))
    data += muxer.write_metadata(Metadata("onMetaData", EcmaArray(title="b", width=5.0), 2.0))
    first, second = told(data)
    assert "title" not in first
    assert (second["title"], second["width"]) == ("b", 320.0)
    changed = muxer.start([make.VIDEO.with_(config=make.AVCC_SMALL, width=160, height=90)])
    (third,) = told(b"FLV\x01\x01\0\0\0\x09\0\0\0\0" + changed + muxer.write(Frame(make.VIDEO, 2040, 2040, IDR)))
    assert (third["title"], third["width"]) == ("b", 160.0)


def test_the_duration_of_a_file_is_told_where_it_is_known() -> None:
    muxer = FlvMuxer(duration_s=12.5)
    (info,) = told(muxer.start([make.VIDEO]) + muxer.write(Frame(make.VIDEO, 0, 0, IDR, key=True)))
    assert info["duration"] == 12.5


VALUES: list[Any] = [
    {"text": "Grüße", "n": 1.5}, EcmaArray(a=1.0), [1.0, "x", None], Date(1e12, 60), UNDEFINED, None, True, 5.0,
    "x" * 70_000, Xml("<a/>"), TypedObject("C", [("a", 1.0)]), (), (1.0, {"a": "b"}), b"\x00\x01",
    Vector("int", [1, 2]), Dictionary([("k", 1)]),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda v: f"{type(v).__name__}-{str(v)[:12]}")
@pytest.mark.parametrize("name", ["onTextData", "onCuePoint", "onCaptionInfo", "custom"])
def test_data_comes_back_unchanged_at_its_time_and_place(name: str, value: Any) -> None:
    muxer = FlvMuxer()
    assert muxer.write_metadata(Metadata(name, value)) == b"", "before the header there is no place"
    data = muxer.start([make.VIDEO])
    data += muxer.write(Frame(make.VIDEO, 5000, 5000, IDR, key=True))
    data += muxer.write_metadata(Metadata(name, value, 5.02))
    data += muxer.write(Frame(make.VIDEO, 5040, 5040, SLICE))
    events = [e for e in demuxed(data) if not isinstance(e, Tracks)]
    assert [type(e) for e in events] == [Metadata, Frame, Metadata, Frame]
    found = events[2]
    assert isinstance(found, Metadata)
    assert (found.name, found.time_s) == (name, 5.02)
    assert found.value == value
    assert type(found.value) is type(value)


def test_what_cannot_be_held_is_left_out() -> None:
    muxer = FlvMuxer()
    muxer.write_metadata(Metadata("onMetaData", {"x": object()}))
    assert muxer.start([make.VIDEO])
    for value in (object(), {"k" * 70_000: 1.0}, "x" * 2_000_000):
        assert muxer.write_metadata(Metadata("onTextData", value)) == b""
    assert muxer.write_metadata(Metadata("onMetaData", 5.0)) == b""
    assert muxer.write_metadata(Metadata("emsg", b"x")) == b"", "a matter of MP4"
    assert muxer.write_metadata(Metadata("colorInfo", COLOR, 0.0, {"track": 99})) == b""


def test_amf3_tags_are_read() -> None:
    body = b"\0" + amf0.encode("onTextData") + b"\x11" + amf3.encode({"text": "x", "n": 5})
    data = b"FLV\x01\x01\0\0\0\x09\0\0\0\0" + make.tag(9, 0, avc(0, AVCC)) + make.tag(9, 0, avc(1, IDR))
    events = demuxed(data + make.tag(15, 20, body) + make.tag(15, 20, b"") + make.tag(15, 30, body[1:]))
    found = [e for e in events if isinstance(e, Metadata)]
    assert found == [
        Metadata("onTextData", {"text": "x", "n": 5}, 0.02),
        Metadata("onTextData", {"text": "x", "n": 5}, 0.03),
    ]


def test_metadata_with_integers_of_amf3_describes_the_tracks() -> None:
    reader = TagReader()
    reader.read_script(amf0.encode("onMetaData") + b"\x11" + amf3.encode({"videocodecid": 7, "framerate": 25}), 0)
    reader.read_video(avc(0, AVCC), 0)
    events = reader.read_video(avc(1, IDR), 0)
    assert [e.tracks[0].fps for e in events if isinstance(e, Tracks)] == [25]


def started(at: int = 0) -> TagReader:
    reader = TagReader()
    reader.expect(video=True, audio=False)
    reader.read_video(avc(0, AVCC), at)
    assert reader.read_video(avc(1, IDR), at)
    return reader


@pytest.mark.parametrize(
    ("stamp", "time_s"), [(0, 100.0), (100_040, 100.04), (99_000, 99.0), (5, 100.0), (2**31, 100.0)]
)
def test_the_time_of_data_is_its_own_unless_that_makes_no_sense(stamp: int, time_s: float) -> None:
    (event,) = started(100_000).read_script(metadata(title="x"), stamp)
    assert isinstance(event, Metadata)
    assert event.time_s == time_s


@pytest.mark.parametrize(("stamp", "time_s"), [(0, 100.0), (99_990, 99.99), (7, 100.0)])
def test_data_in_front_of_the_media_goes_to_its_beginning(stamp: int, time_s: float) -> None:
    reader = TagReader()
    reader.expect(video=True, audio=False)
    reader.read_script(metadata(title="x"), stamp)
    reader.read_video(avc(0, AVCC), 100_000)
    events = reader.read_video(avc(1, IDR), 100_000)
    assert [e.time_s for e in events if isinstance(e, Metadata)] == [time_s]


def test_cleared_metadata_is_empty_metadata() -> None:
    reader = started()
    assert reader.read_script(amf0.encode("@clearDataFrame", "onMetaData"), 0) == [Metadata("onMetaData", EcmaArray())]
    assert reader.read_script(amf0.encode("@clearDataFrame", "onTextData"), 0) == []
    assert reader.read_script(amf0.encode("@clearDataFrame"), 0) == []


def ex(kind: int, fourcc: bytes, data: bytes, first: int = 0x90) -> bytes:
    return bytes((first | kind,)) + fourcc + data


def test_hdr_metadata_stands_before_the_next_frame_and_at_every_key_frame() -> None:
    reader = TagReader()
    reader.expect(video=True, audio=False)
    events = reader.read_video(ex(0, b"hvc1", make.HVCC), 0)
    events += reader.read_video(ex(4, b"hvc1", amf0.encode("colorInfo", COLOR), 0xD0), 0)
    for time, payload, first in ((0, make.HEVC_IDR, 0x90), (40, make.HEVC_SLICE, 0xA0), (80, make.HEVC_IDR, 0x90)):
        events += reader.read_video(ex(3, b"hvc1", payload, first), time)
    assert [type(e) for e in events] == [Tracks, Metadata, Frame, Frame, Frame]
    assert events[1] == Metadata("colorInfo", COLOR, 0.0, {"track": 1})
    muxer = FlvMuxer()
    tracks = events[0]
    assert isinstance(tracks, Tracks)
    data = muxer.start(tracks.tracks)
    for event in events[1:]:
        data += muxer.write(event) if isinstance(event, Frame) else muxer.write_metadata(event)  # type: ignore[arg-type]
    found = [e.name if isinstance(e, Metadata) else e.dts for e in demuxed(data) if not isinstance(e, Tracks)]
    assert found == ["onMetaData", "colorInfo", "colorInfo", 0, 40, "colorInfo", 80]
    colors = [e for e in demuxed(data) if isinstance(e, Metadata) and e.name == "colorInfo"]
    assert {repr(e.value) for e in colors} == {repr(COLOR)}
    assert [e.options for e in colors] == [{"track": 1}] * 3
    # VideoPacketType.Metadata of HEVC with the frame type of a command, the form that FFmpeg writes.
    assert b"\xd4hvc1\x02\x00\x09colorInfo\x03" in data


@pytest.mark.parametrize("reset", [UNDEFINED, {}])
def test_hdr_metadata_is_taken_back(reset: Any) -> None:
    reader = started()
    reader.read_video(ex(4, b"avc1", amf0.encode("colorInfo", COLOR)), 40)
    (frame,) = reader.read_video(avc(1, IDR), 40)
    assert isinstance(frame, Frame)
    assert frame.side == {"color_info": COLOR}
    (event,) = reader.read_video(ex(4, b"avc1", amf0.encode("colorInfo", reset)), 80)
    assert isinstance(event, Metadata)
    assert event.value == reset
    (frame,) = reader.read_video(avc(1, IDR), 80)
    assert isinstance(frame, Frame)
    assert frame.side is None


def test_hdr_metadata_without_a_track_number_belongs_to_the_track_of_its_codec() -> None:
    reader = started()
    reader.read_video(b"\x96\x00hvc1\x01" + make.HVCC, 0)
    (event,) = reader.read_video(ex(4, b"hvc1", amf0.encode("colorInfo", COLOR)), 40)
    assert event == Metadata("colorInfo", COLOR, 0.04, {"track": 3})
    frames = make.frames(
        reader.read_video(avc(1, IDR), 40) + reader.read_video(b"\x96\x03hvc1\x01" + make.HEVC_IDR, 40)
    )
    assert [frame.side for frame in frames] == [None, {"color_info": COLOR}]
    assert reader.read_video(ex(4, b"av01", amf0.encode("colorInfo", COLOR)), 40) == []


def test_hdr_metadata_that_says_nothing_is_not_repeated() -> None:
    reader = started()
    # What FFmpeg 9 writes for every HEVC and AV1 stream without colours.
    assert len(reader.read_video(ex(4, b"avc1", amf0.encode("colorInfo", {"colorConfig": {}})), 0)) == 1
    (frame,) = reader.read_video(avc(1, IDR), 40)
    assert isinstance(frame, Frame)
    assert frame.side is None


def test_nanosecond_offsets_are_written_in_the_enhanced_form() -> None:
    opus = Track(2, Kind.AUDIO, "opus", 1000, make.OPUS_HEAD, sample_rate=48000, channels=2)
    second = make.VIDEO.with_(id=3)
    muxer = FlvMuxer()
    data = muxer.start([make.VIDEO, second, opus])
    data += muxer.write(Frame(make.VIDEO, 0, 0, IDR, key=True))
    data += muxer.write(Frame(second, 0, 40, IDR, key=True, side={"offset_ns": 999_999}))
    data += muxer.write(Frame(opus, 0, 0, b"x", key=True, side={"offset_ns": 1}))
    frames = make.frames(demuxed(data))
    assert [(f.track.id, f.pts, f.side, f.payload) for f in frames] == [
        (1, 0, None, IDR), (3, 40, {"offset_ns": 999_999}, IDR), (2, 0, {"offset_ns": 1}, b"x"),
    ]  # fmt: skip


def test_the_shared_body_of_a_frame_has_no_place_for_the_colours_of_one_writer() -> None:
    frame = Frame(HEVC, 0, 0, make.HEVC_IDR, key=True, side={"color_info": COLOR})
    first, second = TagWriter(), TagWriter()
    first.start([HEVC])
    second.start([HEVC])
    tag = first.tag(frame)
    assert tag is second.tag(frame)
    assert tag is not None
    color = first.color(frame, tag)
    assert color is not None
    assert color.timestamp_ms == tag.timestamp_ms
