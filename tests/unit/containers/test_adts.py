"""Raw AAC."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.codecs.aac import build_adts_header, build_asc
from evotools.containers.adts import MAX_GARBAGE, AdtsDemuxer, AdtsMuxer
from evotools.containers.mp3 import Mp3Muxer
from evotools.errors import MediaError, ParseError
from evotools.media.frame import Discontinuity, Event, Frame, Tracks
from evotools.media.track import Kind, Track
from tests.unit.containers.feeding import demuxed

STEREO = build_asc(2, 48000, 2)
MONO = build_asc(2, 24000, 1)
UNITS = [bytes([n, 1, 2, 3]) * (n + 2) for n in range(6)]


def stream(config: bytes, units: list[bytes]) -> bytes:
    return b"".join(build_adts_header(config, len(unit)) + unit for unit in units)


def demux(data: bytes, cuts: list[int] | None = None) -> list[Event]:
    return demuxed(AdtsDemuxer(), data, cuts)


def facts(events: list[Event]) -> list[object]:
    return [(e.dts, e.payload) if isinstance(e, Frame) else e for e in events]


SAMPLE = b"ID3\x04\x00\x00\x00\x00\x00\x05hello" + stream(STEREO, UNITS) + b"garbage" + stream(STEREO, UNITS) + stream(
    MONO, UNITS
)  # fmt: skip


def test_times_count_samples() -> None:
    events = demux(stream(STEREO, UNITS))
    assert isinstance(events[0], Tracks)
    (track,) = events[0].tracks
    assert (track.codec, track.config, track.timescale, track.channels) == ("aac", STEREO, 48000, 2)
    assert track.codec_string == "mp4a.40.2"
    frames = [e for e in events if isinstance(e, Frame)]
    assert [f.payload for f in frames] == UNITS
    assert [f.dts for f in frames] == [n * 1024 for n in range(6)]
    assert {(f.duration, f.key) for f in frames} == {(1024, True)}


def test_lost_bytes_are_a_discontinuity_and_a_new_layout_new_tracks() -> None:
    events = demux(SAMPLE)
    assert [type(e).__name__ for e in events if not isinstance(e, Frame)] == ["Tracks", "Discontinuity", "Tracks"]
    assert [e.payload for e in events if isinstance(e, Frame)] == UNITS * 3
    assert isinstance(events[7], Discontinuity)
    mono = [e for e in events if isinstance(e, Frame) and e.track.config == MONO]
    # Time goes on in the new rate: 12 frames of 1024 samples at 48 kHz came before.
    assert [f.dts for f in mono][:2] == [6144, 7168]


def test_byte_by_byte() -> None:
    assert facts(demux(SAMPLE, list(range(len(SAMPLE))))) == facts(demux(SAMPLE))


@given(st.lists(st.integers(0, len(SAMPLE)), max_size=20))
@settings(max_examples=100)
def test_any_split(cuts: list[int]) -> None:
    assert facts(demux(SAMPLE, cuts)) == facts(demux(SAMPLE))


def test_what_is_no_aac_is_refused() -> None:
    with pytest.raises(ParseError, match="no ADTS"):
        demux(bytes(MAX_GARBAGE + 100))


def test_frames_before_the_damage_come_out_first() -> None:
    demuxer = AdtsDemuxer()
    events = demuxer.feed(stream(STEREO, UNITS) + bytes(MAX_GARBAGE + 100))
    assert len([e for e in events if isinstance(e, Frame)]) == 6
    with pytest.raises(ParseError):
        demuxer.feed(b"")


@pytest.mark.parametrize("count", [2000, pytest.param(50_000, marks=pytest.mark.slow)])
def test_fuzz(count: int) -> None:
    rng = random.Random(count)
    for _ in range(count):
        data = bytearray(SAMPLE)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        del data[rng.randrange(len(data)) :]
        demuxer = AdtsDemuxer()
        try:
            for start in range(0, len(data), 97):
                demuxer.feed(data[start : start + 97])
            demuxer.flush()
        except ParseError:
            pass


def test_frames_leave_with_headers() -> None:
    track = Track(3, Kind.AUDIO, "aac", 48000, config=b"\x11\x90", sample_rate=48000, channels=2)
    muxer = AdtsMuxer()
    assert muxer.mime == "audio/aac"
    assert muxer.accepts(track)
    assert muxer.start([track]) == b""
    assert muxer.write(Frame(track, 0, 0, b"sound", key=True)) == b"\xff\xf1\x4c\x80\x01\x9f\xfcsound"
    assert muxer.write(Frame(track.with_(id=4), 0, 0, b"other", key=True)) == b""
    assert muxer.write(Frame(track, 0, 0, bytes(9000), key=True)) == b""
    assert muxer.finish() == b""


def test_what_adts_cannot_carry() -> None:
    track = Track(3, Kind.AUDIO, "aac", 48000, config=b"\x11\x90")
    muxer = AdtsMuxer()
    # xHE-AAC has object type 42; without configuration nothing is known.
    for other in (track.with_(codec="mp3"), track.with_(config=b""), track.with_(config=b"\xf9\x46\x40")):
        assert not muxer.accepts(other)
        with pytest.raises(MediaError, match="one AAC track"):
            muxer.start([other])
    with pytest.raises(MediaError):
        muxer.start([track, track.with_(id=4)])


def test_mpeg_audio_leaves_as_it_is() -> None:
    track = Track(3, Kind.AUDIO, "mp3", 44100)
    muxer = Mp3Muxer()
    assert muxer.mime == "audio/mpeg"
    assert muxer.start([track]) == b""
    assert muxer.write(Frame(track, 0, 0, b"\xff\xfb", key=True)) == b"\xff\xfb"
    assert muxer.write(Frame(track.with_(id=1), 0, 0, b"x", key=True)) == b""
    assert muxer.finish() == b""
    for tracks in ([], [track, track], [track.with_(codec="aac")]):
        with pytest.raises(MediaError, match="one track of MPEG audio"):
            muxer.start(tracks)
