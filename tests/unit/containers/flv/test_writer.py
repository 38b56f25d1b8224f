"""Tracks and frames into tag bodies."""

from fractions import Fraction

import pytest

from evotools.codecs.describe import describe
from evotools.containers.flv import amf0
from evotools.containers.flv.metadata import on_metadata
from evotools.containers.flv.names import AUDIO, SCRIPT, VIDEO
from evotools.containers.flv.reader import TagReader
from evotools.containers.flv.writer import TagBody, TagWriter
from evotools.errors import MediaError
from evotools.media.frame import Event, Frame, Metadata
from evotools.media.track import Kind, Track
from tests.unit.containers.flv import make
from tests.unit.containers.flv.make import ASC, AVCC, IDR, SLICE, frames, tracks


def read(reader: TagReader, bodies: list[TagBody]) -> list[Event]:
    """What a reader makes of bodies."""
    events: list[Event] = []
    for body in bodies:
        if body.type == VIDEO:
            events += reader.read_video(body.body, body.timestamp_ms)
        elif body.type == AUDIO:
            events += reader.read_audio(body.body, body.timestamp_ms)
        else:
            assert body.type == SCRIPT
            events += reader.read_script(body.body, body.timestamp_ms)
    return events


def test_the_legacy_form_byte_by_byte() -> None:
    writer = TagWriter()
    script, video, audio = writer.start([make.VIDEO, make.AUDIO])
    assert (script.type, amf0.decode_all(script.body)[0]) == (18, "onMetaData")
    assert (video.type, video.body) == (9, b"\x17\x00\x00\x00\x00" + AVCC)
    assert (audio.type, audio.body) == (8, b"\xaf\x00" + ASC)
    (body,) = writer.write(Frame(make.VIDEO, 40, 120, IDR, key=True))
    assert (body.timestamp_ms, body.body) == (40, b"\x17\x01\x00\x00\x50" + IDR)
    (body,) = writer.write(Frame(make.VIDEO, 80, 80, SLICE))
    assert (body.timestamp_ms, body.body) == (80, b"\x27\x01\x00\x00\x00" + SLICE)
    (body,) = writer.write(Frame(make.VIDEO, 120, 80, SLICE))
    assert body.body == b"\x27\x01\xff\xff\xd8" + SLICE
    (body,) = writer.write(Frame(make.AUDIO, 85, 85, b"raw", key=True))
    assert (body.type, body.timestamp_ms, body.body, len(body)) == (8, 85, b"\xaf\x01raw", 5)
    assert [b.body for b in writer.finish()] == [b"\x17\x02\x00\x00\x00"]


def test_a_decode_time_before_the_beginning_does_not_move_the_picture() -> None:
    """Sound begins at 0 and the picture that is shown at 20 ms was to be decoded at -60 ms: Matroska of x264."""
    writer = TagWriter()
    writer.start([make.VIDEO, make.AUDIO])
    writer.write(Frame(make.AUDIO, 0, 0, b"raw", key=True))
    shown = [(-60, 20), (-20, 180), (20, 100), (60, 60)]
    bodies = [b for dts, pts in shown for b in writer.write(Frame(make.VIDEO, dts, pts, IDR, key=dts < -20))]
    assert [b.timestamp_ms for b in bodies] == [0, 0, 20, 60]
    assert [b.timestamp_ms + int.from_bytes(b.body[2:5], "big") for b in bodies] == [20, 180, 100, 60]
    assert [b.body[0] for b in bodies] == [0x17, 0x27, 0x27, 0x27]


def test_codecs_without_a_configuration_have_no_sequence_header() -> None:
    """FFmpeg decodes what stands in one as a frame of AC-3."""
    ac3 = Track(2, Kind.AUDIO, "ac3", 1000, b"\x10\x3d\x40", sample_rate=48000, channels=2)
    assert [body.type for body in TagWriter().start([make.VIDEO, ac3])] == [SCRIPT, VIDEO]


def test_metadata() -> None:
    video = make.VIDEO.with_(fps=Fraction(25), bitrate_bps=2_000_000)
    further = Track(5, Kind.AUDIO, "opus", 1000, make.OPUS_HEAD, sample_rate=48000, channels=1, language="deu")
    info = on_metadata([video, make.AUDIO, further])
    assert info["encoder"] == "evotools"
    assert (info["videocodecid"], info["width"], info["height"], info["framerate"]) == (7, 320, 180, 25.0)
    assert info["videodatarate"] == 2000
    assert (info["audiocodecid"], info["audiosamplerate"], info["stereo"]) == (10, 48000, True)
    assert info["audioTrackIdInfoMap"]["1"]["audiocodecid"] == 0x4F707573
    assert info["audioTrackIdInfoMap"]["1"]["language"] == "deu"
    assert on_metadata([Track(1, Kind.VIDEO, "h265", 1000, make.HVCC)])["videocodecid"] == 0x68766331
    # It must be an ECMA array: players that read nothing else exist.
    assert amf0.encode("onMetaData", info)[13:14] == b"\x08"


VIDEOS = [
    ("h264", AVCC, IDR, SLICE),
    ("h265", make.HVCC, make.HEVC_IDR, make.HEVC_SLICE),
    ("av1", make.AV1C, make.AV1_FRAME, make.AV1_FRAME),
    ("vp9", make.VPCC, make.VP9_KEY, b"\x86\x00abc"),
    ("vp8", b"", make.VP8_KEY, b"\x11abc"),
]
AUDIOS = [
    ("aac", ASC, b"raw"),
    ("opus", make.OPUS_HEAD, b"\xf8abc"),
    ("mp3", b"", make.MP3_FRAME),
    ("ac3", b"", make.AC3_FRAME),
    ("flac", make.STREAMINFO, b"\xff\xf8abc"),
    ("pcma", b"", b"a" * 160),
    ("pcmu", b"", b"u" * 160),
]


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(("codec", "config", "key", "inter"), VIDEOS)
def test_every_video_codec_comes_back(codec: str, config: bytes, key: bytes, inter: bytes, index: int) -> None:
    mine = Track(7, Kind.VIDEO, codec, 90000, config)
    given = [make.VIDEO, mine][1 - index :]
    writer = TagWriter()
    bodies = writer.start(given)
    offset = 7200 if codec in ("h264", "h265") else 0
    if index:
        bodies += writer.write(Frame(make.VIDEO, 0, 0, IDR, key=True))
    bodies += writer.write(Frame(mine, 0, offset, key, key=True)) + writer.write(Frame(mine, 3600, 3600, inter))
    bodies += writer.finish()
    reader = TagReader()
    events = read(reader, bodies) + reader.flush()
    found = tracks(events)[-1]
    assert (found[index].id, found[index].codec, found[index].config) == (1 + 2 * index, codec, config)
    got = [(f.dts, f.pts, f.key, f.payload) for f in frames(events) if f.track.id == 1 + 2 * index]
    assert got == [(0, offset // 90, True, key), (40, 40, False, inter)]
    assert (reader.damaged, reader.undecodable) == (0, 0)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(("codec", "config", "payload"), AUDIOS)
def test_every_audio_codec_comes_back(codec: str, config: bytes, payload: bytes, index: int) -> None:
    mine = Track(9, Kind.AUDIO, codec, 48000, config)
    given = [make.AUDIO, mine][1 - index :]
    writer = TagWriter()
    if index and codec in ("pcma", "pcmu"):
        with pytest.raises(MediaError, match=r"G\.711"):
            writer.start(given)
        return
    bodies = writer.start(given)
    bodies += writer.write(Frame(mine, 1024, 1024, payload, key=True))
    reader = TagReader()
    events = read(reader, bodies) + reader.flush()
    (track,) = [t for t in tracks(events)[-1] if t.id == 2 + 2 * index]
    # AC-3 has no description of its own: the first frame gives it.
    assert (track.codec, track.config) == (codec, config or describe(mine, payload).config)
    assert [(f.dts, f.payload) for f in frames(events)] == [(21, payload)]


@pytest.mark.parametrize(
    ("rate", "channels", "first"),
    [(44100, 2, 0x2F), (48000, 1, 0x2E), (22050, 2, 0x2B), (11025, 1, 0x26), (8000, 2, 0xE3), (0, 0, 0x2F)],
)
def test_mp3_rates(rate: int, channels: int, first: int) -> None:
    track = Track(1, Kind.AUDIO, "mp3", 1000, sample_rate=rate, channels=channels)
    writer = TagWriter()
    assert len(writer.start([track])) == 1
    assert writer.write(Frame(track, 0, 0, b"x"))[0].prefix == bytes((first,))


def test_the_body_is_made_once_for_all_writers() -> None:
    frame = Frame(make.VIDEO, 40, 40, IDR, key=True)
    one, other = TagWriter(), TagWriter()
    one.start([make.VIDEO])
    other.start([make.VIDEO, make.AUDIO])
    assert one.write(frame)[0] is other.write(frame)[0]
    assert one.write(frame)[0].payload is IDR


def test_a_track_in_two_places_has_two_bodies() -> None:
    frame = Frame(make.VIDEO, 40, 40, IDR, key=True)
    first, second = TagWriter(), TagWriter()
    first.start([make.VIDEO])
    second.start([make.VIDEO.with_(id=3), make.VIDEO])
    assert first.write(frame)[0].body[0] == 0x17
    assert second.write(frame)[0].body[:7] == b"\x96\x03avc1\x01"


def test_times_before_zero_shift_everything_by_one_offset() -> None:
    writer = TagWriter()
    writer.start([make.VIDEO, make.AUDIO])
    assert writer.write(Frame(make.VIDEO, -80, 0, IDR, key=True))[0].timestamp_ms == 0
    assert writer.write(Frame(make.AUDIO, -21, -21, b"x"))[0].timestamp_ms == 59
    assert writer.write(Frame(make.VIDEO, -40, 40, SLICE))[0].timestamp_ms == 40
    assert writer.write(Frame(make.AUDIO, -100, -100, b"x"))[0].timestamp_ms == 0
    writer.start([make.VIDEO])
    assert writer.write(Frame(make.VIDEO, 0, 40, SLICE))[0].timestamp_ms == 80


def test_no_offset_when_time_begins_late_and_the_counter_wraps() -> None:
    writer = TagWriter()
    writer.start([make.VIDEO])
    assert writer.write(Frame(make.VIDEO, 2**32 - 1, 2**32 - 1, IDR))[0].timestamp_ms == 2**32 - 1
    assert writer.write(Frame(make.VIDEO, 2**32 + 39, 2**32 + 39, IDR))[0].timestamp_ms == 39


def test_headers_of_a_new_epoch_carry_the_time() -> None:
    writer = TagWriter()
    assert {b.timestamp_ms for b in writer.start([make.VIDEO])} == {0}
    writer.write(Frame(make.VIDEO, 5000, 5000, IDR))
    changed = make.VIDEO.with_(config=make.AVCC_SMALL)
    bodies = writer.start([changed])
    assert [b.timestamp_ms for b in bodies] == [0, 5000]
    assert bodies[1].payload == make.AVCC_SMALL
    told = writer.metadata(Metadata("onMetaData", {"title": "x"}, 1.0))
    assert told is not None
    assert told.timestamp_ms == 0


def test_frames_of_other_tracks_are_left_out() -> None:
    writer = TagWriter()
    writer.start([make.VIDEO])
    assert writer.write(Frame(make.AUDIO, 0, 0, b"x")) == []


@pytest.mark.parametrize(
    "track", [Track(1, Kind.AUDIO, "vorbis", 1000), Track(1, Kind.DATA, "klv", 1000), make.VIDEO.with_(config=b"")]
)
def test_what_cannot_be_carried_is_refused(track: Track) -> None:
    with pytest.raises(MediaError, match="FLV cannot carry"):
        TagWriter().start([track])


def test_an_absurd_composition_offset_stays_in_its_field() -> None:
    writer = TagWriter()
    writer.start([make.VIDEO])
    assert writer.write(Frame(make.VIDEO, 0, 10**9, IDR))[0].prefix == b"\x27\x01\x7f\xff\xff"
    assert writer.write(Frame(make.VIDEO, 10**9, 0, IDR))[0].prefix == b"\x27\x01\x80\x00\x01"
