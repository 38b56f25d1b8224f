"""Tag bodies into events."""

import pytest

from evotools.containers.flv import amf0
from evotools.containers.flv.names import accepts
from evotools.containers.flv.reader import MAX_WAIT_EVENTS, TagReader
from evotools.errors import ParseError
from evotools.media.frame import Discontinuity, Event, Frame, Metadata, Tracks
from evotools.media.track import Kind, Track
from tests.unit.containers.flv import make
from tests.unit.containers.flv.make import ASC, AVCC, IDR, SLICE, avc, frames, metadata, tracks


def started(*headers: bytes) -> TagReader:
    """A reader that has seen video and audio and waits for nothing more."""
    reader = TagReader()
    reader.expect(video=True, audio=False)
    reader.read_video(avc(0, AVCC), 0)
    reader.read_video(avc(1, IDR), 0)
    for body in headers:
        reader.read_audio(body, 0)
    return reader


def test_legacy_avc_and_aac() -> None:
    reader = TagReader()
    assert reader.read_script(metadata(videocodecid=7.0, audiocodecid=10.0, framerate=25.0), 0) == []
    assert reader.read_video(avc(0, AVCC), 0) == []
    assert reader.read_audio(b"\xaf\x00" + ASC, 0) == []
    events = reader.read_video(avc(1, IDR, cts=80), 10)
    assert [type(e) for e in events] == [Tracks, Metadata, Frame]
    (video, audio) = tracks(events)[0]
    assert (video.id, video.codec, video.width, video.height, video.config) == (1, "h264", 320, 180, AVCC)
    assert (audio.id, audio.codec, audio.sample_rate, audio.channels, audio.config) == (2, "aac", 48000, 2, ASC)
    assert video.timescale == audio.timescale == 1000
    frame = frames(events)[0]
    assert (frame.dts, frame.pts, frame.key, frame.payload, frame.track) == (10, 90, True, IDR, video)
    (frame,) = frames(reader.read_audio(b"\xaf\x01sound", 21))
    assert (frame.dts, frame.pts, frame.key, frame.payload, frame.track) == (21, 21, True, b"sound", audio)
    (frame,) = frames(reader.read_video(avc(1, SLICE, key=False, cts=-40), 50))
    assert (frame.dts, frame.pts, frame.key) == (50, 10, False)
    assert reader.read_video(avc(2, b""), 90) == []


@pytest.mark.parametrize("wrap", [bytes, memoryview])
def test_bodies_may_be_views(wrap: type) -> None:
    reader = started()
    (frame,) = frames(reader.read_video(wrap(avc(1, IDR)), 40))
    assert frame.payload == IDR
    assert isinstance(frame.payload, bytes)


def test_the_first_tracks_wait_for_what_metadata_announces() -> None:
    reader = TagReader()
    reader.read_script(metadata(videocodecid=7.0, audiocodecid=10.0), 0)
    reader.read_video(avc(0, AVCC), 0)
    assert reader.read_video(avc(1, IDR), 0) == []
    assert reader.read_video(avc(1, SLICE, key=False), 40) == []
    reader.read_audio(b"\xaf\x00" + ASC, 41)
    events = reader.read_audio(b"\xaf\x01x", 41)
    assert [[t.codec for t in found] for found in tracks(events)] == [["h264", "aac"]]
    assert [f.dts for f in frames(events)] == [0, 40, 41]


def test_video_alone_does_not_wait_when_metadata_announces_only_video() -> None:
    reader = TagReader()
    reader.read_script(metadata(videocodecid=7.0), 0)
    reader.read_video(avc(0, AVCC), 0)
    assert len(frames(reader.read_video(avc(1, IDR), 0))) == 1


def test_without_announcement_the_wait_is_bounded_in_time() -> None:
    reader = TagReader()
    reader.read_video(avc(0, AVCC), 0)
    for time in range(0, 1000, 40):
        assert reader.read_video(avc(1, SLICE, key=time == 0), time) == []
    events = reader.read_video(avc(1, SLICE, key=False), 1000)
    assert [t.codec for t in tracks(events)[0]] == ["h264"]
    assert [f.dts for f in frames(events)] == list(range(0, 1001, 40))


def test_the_wait_is_bounded_when_the_clock_stands_still() -> None:
    reader = TagReader()
    reader.read_video(avc(0, AVCC), 0)
    events: list[Event] = []
    count = 0
    while not events and count < 10000:
        events = reader.read_video(avc(1, SLICE), 5)
        count += 1
    assert count <= MAX_WAIT_EVENTS
    assert len(frames(events)) == count


def test_script_data_cannot_make_the_wait_endless() -> None:
    reader = TagReader()
    for number in range(1000):
        reader.read_script(amf0.encode("onTextData", str(number)), 0)
    reader.read_video(avc(0, AVCC), 0)
    reader.read_video(avc(1, IDR), 0)
    events: list[Event] = []
    for _ in range(MAX_WAIT_EVENTS):
        events += reader.read_script(amf0.encode("onTextData", "x"), 0)
    assert len(frames(events)) == 1
    assert len(events) < 2 * MAX_WAIT_EVENTS


def test_a_late_track_makes_new_tracks() -> None:
    reader = started()
    assert reader.read_audio(b"\xaf\x00" + ASC, 100) == []
    events = reader.read_audio(b"\xaf\x01x", 100)
    assert [[t.id for t in found] for found in tracks(events)] == [[1, 2]]
    assert isinstance(events[0], Tracks)
    assert isinstance(events[1], Frame)


def test_a_repeated_sequence_header_makes_nothing_and_a_changed_one_new_tracks() -> None:
    reader = started()
    assert reader.read_video(avc(0, AVCC), 40) == []
    assert tracks(reader.read_video(avc(1, SLICE, key=False), 40)) == []
    assert reader.read_video(avc(0, make.AVCC_SMALL), 80) == []
    events = reader.read_video(avc(1, IDR), 80)
    assert [(t.id, t.width, t.height) for t in tracks(events)[0]] == [(1, 160, 90)]
    assert frames(events)[0].track is tracks(events)[0][0]


def test_frames_that_waited_keep_the_track_they_came_under() -> None:
    reader = TagReader()
    reader.read_video(avc(0, AVCC), 0)
    reader.read_video(avc(1, IDR), 0)
    events = reader.read_video(avc(0, make.AVCC_SMALL), 40) + reader.read_video(avc(1, IDR), 40)
    assert [e.tracks[0].width if isinstance(e, Tracks) else e.track.width for e in events if not isinstance(e, Metadata)
            and not isinstance(e, Discontinuity)] == [320, 320, 160, 160]  # fmt: skip


def test_flush_gives_what_waits() -> None:
    reader = TagReader()
    reader.read_video(avc(0, AVCC), 0)
    reader.read_video(avc(1, IDR), 0)
    assert [type(e) for e in reader.flush()] == [Tracks, Frame]
    assert reader.flush() == []


def test_timestamps_unwrap_jointly() -> None:
    reader = started(b"\xaf\x00" + ASC)
    times = [0x60000000, 0xC0000000, 0xFFFFFFF0]
    for time in times:
        assert frames(reader.read_video(avc(1, SLICE, key=False), time))[0].dts == time
    assert frames(reader.read_audio(b"\xaf\x01x", 0x10))[0].dts == 0x1_0000_0010
    assert frames(reader.read_video(avc(1, SLICE, key=False), 0xFFFFFFFF))[0].dts == 0xFFFFFFFF


def test_metadata_stamped_zero_does_not_move_the_clock() -> None:
    reader = started()
    for time in (0x60000000, 0xC0000000):
        reader.read_video(avc(1, IDR), time)
    reader.read_script(metadata(title="x"), 0)
    assert frames(reader.read_video(avc(1, IDR), 0xC0000028))[0].dts == 0xC0000028


def test_script_data_comes_through_by_name() -> None:
    reader = started()
    (event,) = reader.read_script(amf0.encode("onCuePoint", {"name": "ad", "time": 1.5}), 1500)
    assert event == Metadata("onCuePoint", {"name": "ad", "time": 1.5}, 1.5)
    (event,) = reader.read_script(amf0.encode("@setDataFrame", "onMetaData", {"width": 1.0}), 0)
    assert isinstance(event, Metadata)
    assert (event.name, event.value) == ("onMetaData", {"width": 1.0})
    (event,) = reader.read_script(amf0.encode("onText", 1.0, 2.0), 0)
    assert isinstance(event, Metadata)
    assert event.value == (1.0, 2.0)
    assert reader.read_script(b"\xff\xff", 0) == []
    assert reader.damaged == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -5.0, "wide", None, 1e300])
def test_nonsense_in_metadata_does_no_harm(value: object) -> None:
    reader = TagReader()
    names = ("width", "height", "framerate", "videodatarate", "videocodecid", "audioTrackIdInfoMap", "duration")
    reader.read_script(metadata(**dict.fromkeys(names, value)), 0)
    reader.read_video(avc(0, AVCC), 0)
    events = reader.read_video(avc(1, IDR), 0) + reader.flush()
    assert tracks(events)[0][0].width == 320


@pytest.mark.parametrize("size", [1, 2, 3])
def test_short_nal_lengths_become_four_bytes(size: int) -> None:
    config = AVCC[:4] + bytes((0xFC | size - 1,)) + AVCC[5:]
    reader = TagReader()
    reader.read_video(avc(0, config), 0)
    nals = [b"\x65" + b"a" * 200, b"\x65bc"]
    reader.read_video(avc(1, b"".join(len(n).to_bytes(size, "big") + n for n in nals)), 0)
    events = reader.flush()
    assert tracks(events)[0][0].config == AVCC
    assert frames(events)[0].payload == b"".join(len(n).to_bytes(4, "big") + n for n in nals)


def test_delimiters_go_and_sei_stays() -> None:
    reader = started()
    sei = b"\x00\x00\x00\x03\x06\x05\x80"
    (frame,) = frames(reader.read_video(avc(1, b"\x00\x00\x00\x02\x09\xf0" + sei + IDR), 40))
    assert frame.payload == sei + IDR
    # A frame of nothing but a delimiter is no frame.
    assert reader.read_video(avc(1, b"\x00\x00\x00\x02\x09\xf0"), 40) == []


@pytest.mark.parametrize("padding", [b"\x00", b"\x00\x00\x00", b"\x00" * 8])
def test_padding_behind_the_last_nal_unit_goes(padding: bytes) -> None:
    (frame,) = frames(started().read_video(avc(1, IDR + padding), 40))
    assert frame.payload == IDR


@pytest.mark.parametrize(
    "payload", [IDR[:-1], b"\x00\x00\x00\x01", b"\x7f\xff\xff\xff\x65", b"\x00\x00\x01\x65\x88abc"]
)
def test_broken_nal_lengths_cost_one_frame(payload: bytes) -> None:
    reader = started()
    events = reader.read_video(avc(1, payload), 40)
    assert [type(e) for e in events] == [Discontinuity]
    assert reader.damaged == 1
    assert len(frames(reader.read_video(avc(1, IDR), 80))) == 1


def test_frames_before_the_sequence_header_are_counted() -> None:
    reader = TagReader()
    assert reader.read_video(avc(1, IDR), 0) == []
    assert reader.read_audio(b"\xaf\x01x", 0) == []
    assert reader.undecodable == 2


@pytest.mark.parametrize(
    "body", [b"", b"\x17", b"\x17\x01", b"\x57\x00", b"\x17\x00\x00\x00\x00", b"\x17\x09\x00\x00\x00"]
)
def test_short_and_empty_video_bodies_are_nothing(body: bytes) -> None:
    assert TagReader().read_video(body, 0) == []
    assert TagReader().read_audio(body[:1], 0) == []


def test_a_broken_sequence_header_is_an_error() -> None:
    with pytest.raises(ParseError):
        TagReader().read_video(avc(0, b"\x01\x64"), 0)
    with pytest.raises(ParseError):
        TagReader().read_audio(b"\xaf\x00\x11", 0)


def test_hevc_under_the_number_that_cdns_use() -> None:
    reader = TagReader()
    reader.expect(video=True, audio=False)
    reader.read_video(b"\x1c\x00\x00\x00\x00" + make.HVCC, 0)
    events = reader.read_video(b"\x1c\x01\x00\x00\x28" + make.HEVC_IDR, 0)
    assert [(t.codec, t.width, t.height) for t in tracks(events)[0]] == [("h265", 64, 48)]
    assert (frames(events)[0].pts, frames(events)[0].payload) == (40, make.HEVC_IDR)


@pytest.mark.parametrize(
    ("body", "codec", "rate", "channels", "payload"),
    [
        (b"\x2e" + make.MP3_FRAME, "mp3", 48000, 1, make.MP3_FRAME),
        (b"\x72" + b"a" * 160, "pcma", 8000, 1, b"a" * 160),
        (b"\x83" + b"u" * 160, "pcmu", 8000, 2, b"u" * 160),
        (b"\xb6speex", "speex", 16000, 1, b"speex"),
        (b"\x6anelly", "nellymoser", 22050, 1, b"nelly"),
        (b"\x46nelly", "nellymoser", 16000, 1, b"nelly"),
        (b"\x3fpcm", "pcm_s16le", 44100, 2, b"pcm"),
        (b"\x3cpcm", "pcm_u8", 44100, 1, b"pcm"),
    ],
)
def test_audio_without_sequence_headers(body: bytes, codec: str, rate: int, channels: int, payload: bytes) -> None:
    reader = TagReader()
    reader.expect(video=False, audio=True)
    events = reader.read_audio(body, 0)
    track = tracks(events)[0][0]
    assert (track.kind, track.codec, track.sample_rate, track.channels) == (Kind.AUDIO, codec, rate, channels)
    assert frames(events)[0].payload == payload
    assert len(reader.read_audio(body, 20)) == 1


@pytest.mark.parametrize(("first", "codec"), [(2, "flv1"), (3, "flashsv"), (4, "vp6f"), (5, "vp6a"), (9, "mpeg4")])
def test_old_video_is_reported_by_name_beside_good_audio(first: int, codec: str) -> None:
    reader = TagReader()
    reader.read_audio(b"\xaf\x00" + ASC, 0)
    events = reader.read_video(bytes((0x10 | first,)) + b"\x00\x00\x00\x00abc", 0)
    events += reader.read_audio(b"\xaf\x01x", 0)
    assert [t.codec for t in tracks(events)[0]] == [codec, "aac"]
    assert not accepts(tracks(events)[0][0])
    assert [f.payload[-3:] for f in frames(events)] == [b"abc", b"x"]


# Enhanced RTMP


def ex_video(kind: int, fourcc: bytes, data: bytes, key: bool = True) -> bytes:
    return bytes((0x80 | (0x10 if key else 0x20) | kind,)) + fourcc + data


def ex_audio(kind: int, fourcc: bytes, data: bytes) -> bytes:
    return bytes((0x90 | kind,)) + fourcc + data


@pytest.mark.parametrize(
    ("fourcc", "codec", "header", "data", "payload", "offset"),
    [
        (b"avc1", "h264", AVCC, b"\x00\x00\x28" + IDR, IDR, 40),
        (b"hvc1", "h265", make.HVCC, b"\xff\xff\xd8" + make.HEVC_IDR, make.HEVC_IDR, -40),
        (b"av01", "av1", make.AV1C, b"\x12\x00" + make.AV1_FRAME, make.AV1_FRAME, 0),
        (b"vp09", "vp9", make.VPCC, make.VP9_KEY, make.VP9_KEY, 0),
        (b"vp09", "vp9", make.VPCC[4:], make.VP9_KEY, make.VP9_KEY, 0),
        (b"vp08", "vp8", b"", make.VP8_KEY, make.VP8_KEY, 0),
    ],
)
def test_enhanced_video(fourcc: bytes, codec: str, header: bytes, data: bytes, payload: bytes, offset: int) -> None:
    reader = TagReader()
    reader.expect(video=True, audio=False)
    assert reader.read_video(ex_video(0, fourcc, header), 0) == []
    events = reader.read_video(ex_video(1, fourcc, data), 100)
    track = tracks(events)[0][0]
    assert (track.id, track.codec) == (1, codec)
    assert track.width in (320, 64)
    if header:
        assert track.config in (header, make.VPCC)
    frame = frames(events)[0]
    assert (frame.dts, frame.pts, frame.key, frame.payload) == (100, 100 + offset, True, payload)
    assert frames(reader.read_video(ex_video(1, fourcc, data, key=False), 140))[0].key is False
    assert reader.read_video(ex_video(2, fourcc, b""), 180) == []
    assert reader.read_video(ex_video(0, fourcc, header), 200) == []
    assert tracks(reader.read_video(ex_video(1, fourcc, data), 240)) == []


def test_coded_frames_x_has_no_offset() -> None:
    reader = TagReader()
    reader.expect(video=True, audio=False)
    reader.read_video(ex_video(0, b"hvc1", make.HVCC), 0)
    (frame,) = frames(reader.read_video(ex_video(3, b"hvc1", make.HEVC_IDR), 7))
    assert (frame.dts, frame.pts, frame.payload) == (7, 7, make.HEVC_IDR)


@pytest.mark.parametrize(
    ("fourcc", "codec", "header", "payload", "rate"),
    [
        (b"mp4a", "aac", ASC, b"raw", 48000),
        (b"Opus", "opus", make.OPUS_HEAD, b"\xf8abc", 48000),
        (b"Opus", "opus", b"", b"\xf8abc", 48000),
        (b".mp3", "mp3", b"", make.MP3_FRAME, 48000),
        (b"ac-3", "ac3", b"", make.AC3_FRAME, 48000),
        (b"fLaC", "flac", make.STREAMINFO, b"\xff\xf8abc", 48000),
        (b"fLaC", "flac", b"fLaC\x80\x00\x00\x22" + make.STREAMINFO, b"\xff\xf8abc", 48000),
        (b"fLaC", "flac", b"fLaC" + make.STREAMINFO, b"\xff\xf8abc", 48000),
    ],
)
def test_enhanced_audio(fourcc: bytes, codec: str, header: bytes, payload: bytes, rate: int) -> None:
    reader = TagReader()
    reader.expect(video=False, audio=True)
    assert reader.read_audio(ex_audio(0, fourcc, header), 0) == []
    # FFmpeg 9 sends the channel layout next: MultichannelConfig, native order, mono.
    assert reader.read_audio(ex_audio(4, fourcc, b"\x01\x01\x00\x00\x00\x04"), 0) == []
    events = reader.read_audio(ex_audio(1, fourcc, payload), 5)
    track = tracks(events)[0][0]
    assert (track.id, track.codec, track.sample_rate) == (2, codec, rate)
    if codec == "flac":
        assert track.config == make.STREAMINFO
    if codec == "opus":
        assert (track.config[:8], track.channels) == (b"OpusHead", 1)
    assert [(f.dts, f.payload, f.key) for f in frames(events)] == [(5, payload, True)]
    assert reader.read_audio(ex_audio(2, fourcc, b""), 9) == []


def test_av1_without_sequence_start_takes_the_header_in_band() -> None:
    reader = TagReader()
    reader.expect(video=True, audio=False)
    assert reader.read_video(ex_video(1, b"av01", make.AV1_FRAME), 0) == []
    assert reader.undecodable == 1
    events = reader.read_video(ex_video(1, b"av01", make.AV1_SEQUENCE + make.AV1_FRAME), 0)
    assert (tracks(events)[0][0].width, tracks(events)[0][0].config[4:]) == (320, make.AV1_SEQUENCE)


def test_av1_descriptor_of_mpeg_ts() -> None:
    reader = TagReader()
    reader.expect(video=True, audio=False)
    reader.read_video(ex_video(5, b"av01", b"\x80\x04" + make.AV1C[:3] + b"\xc0"), 0)
    events = reader.read_video(ex_video(1, b"av01", make.AV1_FRAME), 0)
    assert tracks(events)[0][0].config == make.AV1C[:3] + b"\x00"


def test_hdr_metadata() -> None:
    reader = started()
    color = {"colorConfig": {"bitDepth": 10.0, "transferCharacteristics": 16.0}}
    (event,) = reader.read_video(ex_video(4, b"avc1", amf0.encode("colorInfo", color)), 2000)
    assert event == Metadata("colorInfo", color, 2.0, {"track": 1})
    # The frame type does not count here, not even that of a command.
    assert len(reader.read_video(b"\xd4avc1" + amf0.encode("colorInfo", color), 2000)) == 1


def test_unknown_fourccs_are_reported_by_name() -> None:
    reader = TagReader()
    reader.expect(video=True, audio=False)
    events = reader.read_video(ex_video(1, b"avs3", b"data"), 0)
    assert [t.codec for t in tracks(events)[0]] == ["avs3"]
    events = reader.read_video(ex_video(1, b"\x00\x01\x02\x03", b"data"), 0)
    assert [t.codec for t in tracks(events)[0]] == ["fourcc-00010203"]


def test_nanosecond_offsets_are_kept_beside_the_frame() -> None:
    reader = started()
    body = b"\x97\x02\x0f\x42\x3f\x00" + b"avc1"  # ModEx of 3 bytes: 999,999 ns; then type 0 and packet type 0
    body = b"\x97\x02\x0f\x42\x3f\x03" + b"avc1" + IDR
    events = reader.read_video(body, 0)
    assert frames(events)[0].side == {"offset_ns": 999_999}
    # Two in a row, the second in the long form.
    body = b"\x97\x00\xff\x17" + b"\xff\x00\xff" + bytes(256) + b"\x13" + b"avc1" + IDR
    assert frames(reader.read_video(body, 40))[0].side is None
    reader.read_audio(ex_audio(0, b"mp4a", ASC), 40)
    body = b"\x97\x02\x00\x00\x01\x01mp4araw"
    assert frames(reader.read_audio(body, 40))[0].side == {"offset_ns": 1}


def one_track(first: int, kind: int, fourcc: bytes, number: int, data: bytes) -> bytes:
    return bytes((first, kind)) + fourcc + bytes((number,)) + data


def part(number: int, data: bytes, fourcc: bytes = b"") -> bytes:
    return fourcc + bytes((number,)) + len(data).to_bytes(3, "big") + data


def test_one_track_per_message() -> None:
    reader = TagReader()
    reader.read_video(avc(0, AVCC), 0)
    reader.read_video(one_track(0x96, 0, b"hvc1", 3, make.HVCC), 0)
    reader.read_audio(b"\xaf\x00" + ASC, 0)
    reader.read_audio(one_track(0x95, 0, b"Opus", 1, make.OPUS_HEAD), 0)
    events = reader.read_video(avc(1, IDR), 0)
    assert [(t.id, t.codec) for t in tracks(events)[0]] == [(1, "h264"), (2, "aac"), (4, "opus"), (7, "h265")]
    (frame,) = frames(reader.read_video(one_track(0xA6, 1, b"hvc1", 3, b"\x00\x00\x28" + make.HEVC_SLICE), 40))
    assert (frame.track.id, frame.dts, frame.pts, frame.key, frame.payload) == (7, 40, 80, False, make.HEVC_SLICE)
    (frame,) = frames(reader.read_audio(one_track(0x95, 1, b"Opus", 1, b"\xf8x"), 41))
    assert (frame.track.id, frame.payload) == (4, b"\xf8x")


def test_many_tracks_of_one_codec() -> None:
    reader = TagReader()
    reader.expect(video=True, audio=False)
    reader.read_video(b"\x96\x10avc1" + part(0, AVCC) + part(1, make.AVCC_SMALL), 0)
    body = b"\x96\x13avc1" + part(0, IDR) + part(1, IDR + IDR)
    events = reader.read_video(body, 0)
    assert [(t.id, t.width) for t in tracks(events)[0]] == [(1, 320), (3, 160)]
    assert [(f.track.id, f.payload) for f in frames(events)] == [(1, IDR), (3, IDR + IDR)]


def test_many_tracks_of_many_codecs() -> None:
    reader = TagReader()
    reader.expect(video=False, audio=True)
    reader.read_audio(b"\x95\x20" + part(0, ASC, b"mp4a") + part(1, make.OPUS_HEAD, b"Opus"), 0)
    events = reader.read_audio(b"\x95\x21" + part(0, b"raw", b"mp4a") + part(1, b"\xf8x", b"Opus"), 0)
    assert [(t.id, t.codec) for t in tracks(events)[0]] == [(2, "aac"), (4, "opus")]
    assert [(f.track.id, f.payload) for f in frames(events)] == [(2, b"raw"), (4, b"\xf8x")]


def test_announced_tracks_of_the_info_map_are_waited_for_and_described() -> None:
    reader = TagReader()
    info = {"1": {"language": "deu", "audiodatarate": 96.0}, "x": {}, "9999": {}}
    reader.read_script(metadata(audiocodecid=10.0, audioTrackIdInfoMap=info), 0)
    reader.read_audio(b"\xaf\x00" + ASC, 0)
    assert reader.read_audio(b"\xaf\x01x", 0) == []
    reader.read_audio(one_track(0x95, 0, b"mp4a", 1, ASC), 0)
    events = reader.read_audio(one_track(0x95, 1, b"mp4a", 1, b"y"), 0)
    assert [(t.id, t.language, t.bitrate_bps) for t in tracks(events)[0]] == [(2, "", 0), (4, "deu", 96000)]
    assert [f.payload for f in frames(events)] == [b"x", b"y"]


@pytest.mark.parametrize(
    "body",
    [
        b"\x96\x16avc1\x00",  # multitrack in multitrack
        b"\x96\x31avc1\x00",  # reserved multitrack type
        b"\x96\x11avc1\x00\x00\xff\xff",  # a track longer than the message
        b"\x96",
        b"\x97\x05\x00",  # ModEx cut off
        b"\x97\xff",
        b"\x91hv",
    ],
)
def test_damaged_enhanced_headers_cost_one_message(body: bytes) -> None:
    reader = started()
    assert frames(reader.read_video(body, 40)) == []
    assert len(frames(reader.read_video(avc(1, IDR), 80))) == 1


def test_the_number_of_tracks_is_bounded() -> None:
    reader = TagReader()
    for number in range(256):
        reader.read_audio(one_track(0x95, 0, b"mp4a", number, ASC), 0)
    assert reader.flush() == []
    events = reader.read_audio(ex_audio(1, b"mp4a", b"x"), 0) or reader.flush()
    assert 2 <= len(tracks(events)[0]) <= 64


def test_a_track_may_change_its_codec() -> None:
    reader = started()
    reader.read_video(ex_video(0, b"hvc1", make.HVCC), 40)
    # A legacy AVC frame does not belong to the HEVC track that took its place.
    assert reader.read_video(avc(1, IDR), 40) == []
    events = reader.read_video(ex_video(3, b"hvc1", make.HEVC_IDR), 40)
    assert [(t.id, t.codec) for t in tracks(events)[0]] == [(1, "h265")]


def test_accepts() -> None:
    assert accepts(make.VIDEO)
    assert not accepts(make.VIDEO.with_(config=b""))
    assert accepts(make.AUDIO)
    assert accepts(Track(1, Kind.AUDIO, "pcma", 8000, sample_rate=8000, channels=1))
    assert not accepts(Track(1, Kind.AUDIO, "pcma", 16000, sample_rate=16000, channels=1))
    assert not accepts(Track(1, Kind.AUDIO, "vorbis", 1000))
    assert not accepts(Track(1, Kind.DATA, "timed_id3", 1000))


def test_an_empty_sequence_header_promises_a_track() -> None:
    reader = TagReader()
    reader.expect(video=False, audio=True)
    reader.read_audio(b"\xaf\x00" + ASC, 0)
    reader.read_audio(one_track(0x95, 0, b"ac-3", 1, b""), 0)
    assert reader.read_audio(b"\xaf\x01x", 0) == []
    events = reader.read_audio(one_track(0x95, 1, b"ac-3", 1, make.AC3_FRAME), 0)
    assert [t.codec for t in tracks(events)[0]] == ["aac", "ac3"]
    assert len(frames(events)) == 2


def test_a_header_that_no_frame_follows_changes_nothing() -> None:
    # FFmpeg repeats the header of FLAC at the end, with the checksum of all samples.
    reader = started()
    reader.read_video(avc(0, make.AVCC_SMALL), 40)
    assert reader.flush() == []
