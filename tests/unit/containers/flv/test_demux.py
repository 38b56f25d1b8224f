"""FLV bytes into events and back: any split, damage, limits."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.containers.flv.demux import MAX_DATA_OFFSET, MAX_TAG, FlvDemuxer
from evotools.containers.flv.mux import FlvMuxer
from evotools.containers.flv.reader import TagReader
from evotools.errors import MediaError, ParseError
from evotools.media.frame import Discontinuity, Event, Frame, Tracks
from evotools.media.track import Kind, Track
from tests.unit.codecs.fuzzing import mutate
from tests.unit.containers.feeding import demuxed
from tests.unit.containers.flv import make
from tests.unit.containers.flv.make import ASC, AVCC, IDR, SLICE, avc, facts, frames, metadata, tag, tracks

HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"
OPUS = Track(4, Kind.AUDIO, "opus", 1000, make.OPUS_HEAD)
HEVC = Track(3, Kind.VIDEO, "h265", 1000, make.HVCC)


def sample() -> bytes:
    """Legacy and enhanced tags, several tracks, script data, a change of configuration."""
    muxer = FlvMuxer()
    parts = [muxer.start([make.VIDEO, make.AUDIO, OPUS, HEVC])]
    for number in range(8):
        time = number * 40
        parts += [
            muxer.write(Frame(make.VIDEO, time, time + 80, IDR if not number else SLICE, key=not number)),
            muxer.write(Frame(HEVC, time, time, make.HEVC_IDR, key=True)),
            muxer.write(Frame(make.AUDIO, time, time, b"aac%d" % number, key=True)),
            muxer.write(Frame(OPUS, time, time, b"\xf8opus", key=True)),
        ]
    changed = make.VIDEO.with_(config=make.AVCC_SMALL)
    parts += [muxer.start([changed, make.AUDIO]), muxer.write(Frame(changed, 320, 400, IDR, key=True))]
    parts += [tag(9, 360, b"\x96\x13avc1" + b"\x00\x00\x00\x08" + IDR), tag(18, 370, metadata(title="x"))]
    return b"".join([*parts, muxer.finish()])


SAMPLE = sample()


def demux(data: bytes, cuts: list[int] | None = None) -> list[Event]:
    """All events of `data`, fed in pieces that end at `cuts`."""
    return demuxed(FlvDemuxer(), data, cuts)


WHOLE = facts(demux(SAMPLE))


def test_what_was_written_comes_back() -> None:
    events = demux(SAMPLE)
    assert [[t.codec for t in found] for found in tracks(events)] == [
        ["h264", "aac", "h265", "opus"],
        ["h264", "aac", "h265", "opus"],
    ]
    assert [t.width for t in tracks(events)[1]][:1] == [160]
    video = [f for f in frames(events) if f.track.id == 1]
    assert [(f.dts, f.pts, f.key) for f in video[:2]] == [(0, 80, True), (40, 120, False)]
    assert [f.dts for f in video] == [*range(0, 321, 40), 360]
    assert [f.payload for f in frames(events) if f.track.id == 2] == [b"aac%d" % n for n in range(8)]


def test_byte_by_byte() -> None:
    assert facts(demux(SAMPLE, list(range(len(SAMPLE))))) == WHOLE


@given(st.lists(st.integers(0, len(SAMPLE)), max_size=30))
@settings(max_examples=150)
def test_any_split(cuts: list[int]) -> None:
    assert facts(demux(SAMPLE, cuts)) == WHOLE


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_any_kind_of_buffer(wrap: type) -> None:
    demuxer = FlvDemuxer()
    events = demuxer.feed(wrap(SAMPLE[:100])) + demuxer.feed(wrap(SAMPLE[100:])) + demuxer.flush()
    assert facts(events) == WHOLE


def test_the_file_header_byte_by_byte() -> None:
    assert FlvMuxer().start([make.VIDEO, make.AUDIO]).startswith(HEADER)
    assert FlvMuxer().start([make.VIDEO])[4] == 1
    assert FlvMuxer().start([make.AUDIO])[4] == 4


def test_a_tag_byte_by_byte() -> None:
    muxer = FlvMuxer()
    muxer.start([make.AUDIO])
    got = muxer.write(Frame(make.AUDIO, 0x01020304, 0x01020304, b"raw", key=True))
    assert got == bytes.fromhex("08 000005 020304 01 000000") + b"\xaf\x01raw" + bytes.fromhex("00000010")
    assert FlvMuxer.mime == "video/x-flv"


def test_a_new_epoch_has_no_second_file_header() -> None:
    muxer = FlvMuxer()
    assert muxer.start([make.VIDEO]).startswith(b"FLV")
    assert muxer.start([make.VIDEO]).startswith(b"\x12")
    assert muxer.write(Frame(make.AUDIO, 0, 0, b"x")) == b""
    assert muxer.accepts(make.VIDEO)
    assert not muxer.accepts(Track(1, Kind.AUDIO, "vorbis", 1000))


def test_a_frame_that_is_too_large_is_refused() -> None:
    muxer = FlvMuxer()
    muxer.start([make.AUDIO])
    with pytest.raises(MediaError, match="too large"):
        muxer.write(Frame(make.AUDIO, 0, 0, bytes(1 << 24)))


def test_a_longer_file_header_is_passed_over() -> None:
    data = b"FLV\x01\x05\x00\x00\x00\x20" + bytes(0x20 - 9) + bytes(4) + SAMPLE[13:]
    assert facts(demux(data)) == WHOLE
    assert facts(demux(data, list(range(60)))) == WHOLE


def test_wrong_previous_tag_sizes_are_tolerated() -> None:
    body = avc(0, AVCC)
    data = (
        HEADER + tag(9, 0, body, previous=0) + tag(9, 0, avc(1, IDR), previous=0xFFFFFFFF) + tag(9, 40, avc(1, SLICE))
    )
    assert len(frames(demux(data))) == 2


def test_an_extended_timestamp() -> None:
    data = HEADER[:4] + b"\x01" + HEADER[5:] + tag(9, 0xFEDCBA98, avc(0, AVCC)) + tag(9, 0xFEDCBA98, avc(1, IDR))
    assert frames(demux(data))[0].dts == 0xFEDCBA98


def test_flags_of_the_header_announce_the_tracks() -> None:
    body = tag(9, 0, avc(0, AVCC)) + tag(9, 0, avc(1, IDR))
    assert len(FlvDemuxer().feed(b"FLV\x01\x01" + HEADER[5:] + body)) == 2
    assert FlvDemuxer().feed(HEADER + body) == []


def test_concatenated_files_are_a_discontinuity() -> None:
    one = HEADER + tag(9, 0, avc(0, AVCC)) + tag(8, 0, b"\xaf\x00" + ASC) + tag(9, 5000, avc(1, IDR))
    events = demux(one + one, [3, len(one) + 1])
    assert [type(e) for e in events] == [Tracks, Frame, Discontinuity, Frame]
    assert [f.dts for f in frames(events)] == [5000, 5000]


def test_a_cut_off_tag_is_dropped() -> None:
    data = HEADER + tag(9, 0, avc(0, AVCC)) + tag(9, 0, avc(1, IDR)) + tag(9, 40, avc(1, SLICE))[:-6]
    assert len(frames(demux(data))) == 1


@pytest.mark.parametrize("data", [b"G" + bytes(300), b"FLW", b"RIFF", b"F\x00", HEADER + b"\x0b" + bytes(20)])
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError):
        demux(data)


@pytest.mark.parametrize("size", [0, 8, MAX_DATA_OFFSET + 1, 0xFFFFFFFF])
def test_absurd_header_sizes_are_refused(size: int) -> None:
    with pytest.raises(ParseError, match="own size"):
        demux(b"FLV\x01\x05" + size.to_bytes(4, "big") + bytes(20))


def test_encrypted_tags_are_refused() -> None:
    with pytest.raises(ParseError, match="encrypted"):
        demux(HEADER + tag(0x29, 0, avc(1, IDR)))


def test_events_before_the_damage_come_out_first() -> None:
    data = HEADER + tag(9, 0, avc(0, AVCC)) + tag(9, 0, avc(1, IDR))
    demuxer = FlvDemuxer()
    assert len(frames(demuxer.feed(data + b"\xff" * 11))) == 1
    with pytest.raises(ParseError, match=f"byte {len(data)}"):
        demuxer.feed(b"")
    with pytest.raises(ParseError):
        demuxer.flush()


def test_a_huge_tag_in_small_pieces_is_not_copied_again_and_again() -> None:
    # 12 MB in 64 byte pieces: quadratic copying would take minutes.
    body = avc(1, (12_000_000 - 9).to_bytes(4, "big") + bytes(12_000_000 - 9))
    data = HEADER + tag(9, 0, avc(0, AVCC)) + tag(9, 0, body)
    demuxer = FlvDemuxer()
    events: list[Event] = []
    for start in range(0, len(data), 64):
        events += demuxer.feed(data[start : start + 64])
    events += demuxer.flush()
    assert len(frames(events)[0].payload) == 12_000_000 - 5
    assert MAX_TAG < 1 << 25


def run(data: bytes, rng: random.Random) -> None:
    """Only declared errors, and no event refers to a track that was not announced."""
    demuxer = FlvDemuxer()
    listed: set[int] = set()
    events: list[Event] = []
    try:
        position = 0
        while position < len(data):
            step = rng.choice((1, 7, 100, 1000))
            events += demuxer.feed(data[position : position + step])
            position += step
        events += demuxer.flush()
    except ParseError:
        pass
    for event in events:
        if isinstance(event, Tracks):
            listed = {id(t) for t in event.tracks}
        elif isinstance(event, Frame):
            assert id(event.track) in listed
            assert event.payload


@pytest.mark.parametrize("count", [3000, pytest.param(60_000, marks=pytest.mark.slow)])
def test_fuzz_files(count: int) -> None:
    rng = random.Random(count)
    for _ in range(count):
        run(mutate(SAMPLE[: rng.randrange(200, len(SAMPLE))], rng), rng)


BODIES = [
    (9, avc(0, AVCC)), (9, avc(1, IDR)), (8, b"\xaf\x00" + ASC), (8, b"\xaf\x01raw"), (8, b"\x2e" + make.MP3_FRAME),
    (9, b"\x90hvc1" + make.HVCC), (9, b"\x91hvc1\x00\x00\x28" + make.HEVC_IDR), (9, b"\x93hvc1" + make.HEVC_IDR),
    (9, b"\x90av01" + make.AV1C), (9, b"\x91av01" + make.AV1_SEQUENCE + make.AV1_FRAME), (9, b"\x90vp09" + make.VPCC),
    (9, b"\x91vp09" + make.VP9_KEY), (9, b"\x91vp08" + make.VP8_KEY), (9, b"\x95av01\x80\x04\x81\x00\x0c\x00"),
    (9, b"\x96\x10avc1\x00" + len(AVCC).to_bytes(3, "big") + AVCC), (9, b"\x96\x13avc1\x00\x00\x00\x08" + IDR),
    (9, b"\x97\x02\x0f\x42\x3f\x03avc1" + IDR), (8, b"\x90Opus" + make.OPUS_HEAD), (8, b"\x91Opus\xf8abc"),
    (8, b"\x94Opus\x01\x02\x00\x00\x00\x03"), (8, b"\x90fLaCfLaC\x80\x00\x00\x22" + make.STREAMINFO),
    (8, b"\x91ac-3" + make.AC3_FRAME),
    (8, b"\x95\x20mp4a\x00\x00\x00\x02" + ASC + b"Opus\x01\x00\x00\x13" + make.OPUS_HEAD),
    (8, b"\x95\x01Opus\x01\xf8abc"), (18, metadata(width=1.0, videocodecid=7.0, audioTrackIdInfoMap={"1": {}})),
    (9, b"\xd4hvc1\x02\x00\tcolorInfo\x03\x00\x00\x09"), (9, b"\x12\x00flv1"), (8, b"\xb6speex"),
]  # fmt: skip


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_fuzz_bodies(count: int) -> None:
    rng = random.Random(count)
    reader = TagReader()
    time = 0
    for number in range(count):
        if number % 100 == 0:
            reader.flush()
            reader = TagReader()
        kind, body = rng.choice(BODIES)
        if rng.random() < 0.7:
            body = mutate(body, rng)
        time = rng.randrange(1 << 32) if rng.random() < 0.02 else (time + 20) & 0xFFFFFFFF
        read = {9: reader.read_video, 8: reader.read_audio, 18: reader.read_script}[kind]
        try:
            read(body, time)
        except ParseError:
            pass
