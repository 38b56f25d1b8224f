"""Raw H.264 and H.265: access units, order of pictures, fields.

The H.264 streams are made here bit by bit, because encoders at hand write no field pictures; real encoders' streams
are in the interop tests.
"""

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.codecs.bits import BitWriter
from evotools.codecs.nal import escape, split_lengths
from evotools.containers.annexb import MAX_GARBAGE, AnnexBDemuxer
from evotools.containers.annexb_poc import Picture, Ranks
from evotools.errors import MediaError, ParseError
from evotools.media.frame import Event, Frame, Tracks
from tests.unit.containers.feeding import demuxed

START = b"\x00\x00\x00\x01"
AUD = b"\x09\xf0"
SEI = b"\x06\x05\x01\x07\x80"


def sps(*, fps: int = 0, reorder: int = 2, interlaced: bool = False, poc_type: int = 0, width: int = 4) -> bytes:
    """An SPS of Main profile with frame numbers of 4 and picture order counts of 5 bits."""
    out = BitWriter().u(8, 0x67).u(8, 77).u(8, 0).u(8, 30).ue(0).ue(0).ue(poc_type)
    if poc_type == 0:
        out.ue(1)
    out.ue(4).u(1, 0).ue(width - 1).ue(1 if interlaced else 3).flag(not interlaced)
    if interlaced:
        out.u(1, 0)
    out.u(1, 1).u(1, 0).u(1, 1)
    # VUI: nothing, then timing, no HRD, no pic_struct, bitstream_restriction.
    out.u(4, 0).flag(bool(fps))
    if fps:
        out.u(32, 1).u(32, 2 * fps).u(1, 1)
    out.u(3, 0).u(1, 1).u(1, 1).ue(0).ue(0).ue(0).ue(0).ue(reorder).ue(4)
    return escape(out.trailing().getvalue())


PPS = escape(
    BitWriter().u(8, 0x68).ue(0).ue(0).u(2, 0).ue(0).ue(0).ue(0).u(3, 0).se(0).se(0).se(0).u(3, 0).trailing().getvalue()
)


def coded(
    poc: int, *, idr: bool = False, reference: bool = True, number: int = 0, field: str = "",
    interlaced: bool = False, first: int = 0, poc_type: int = 0,
) -> bytes:  # fmt: skip
    """A slice with a header and nothing in it."""
    out = BitWriter().u(8, (0x60 if reference else 0) | (5 if idr else 1))
    out.ue(first).ue(7 if idr else 5).ue(0).u(4, number)
    if interlaced:
        out.flag(bool(field))
        if field:
            out.flag(field == "bottom")
    if idr:
        out.ue(0)
    if poc_type == 0:
        out.u(5, poc & 31)
    return escape(out.u(16, 0xABCD).trailing().getvalue())


def annexb(*nals: bytes) -> bytes:
    return b"".join(START + nal for nal in nals)


def demux(data: bytes, cuts: list[int] | None = None, codec: str = "h264") -> list[Event]:
    return demuxed(AnnexBDemuxer(codec), data, cuts)


def frames(events: list[Event]) -> list[Frame]:
    return [event for event in events if isinstance(event, Frame)]


def facts(events: list[Event]) -> list[object]:
    return [(e.dts, e.pts, e.key, e.payload) if isinstance(e, Frame) else e for e in events]


# I0 P8 B4 b2 b6 P16 B12 …: a pyramid, of which the picture order counts wrap at 32.
ORDER = [0, 8, 4, 2, 6, 16, 12, 10, 14, 24, 20, 18, 22, 32, 28, 26, 30]
PICTURES = [coded(poc, idr=not poc, reference=poc % 4 == 0, number=index & 15) for index, poc in enumerate(ORDER)]
PYRAMID = annexb(AUD, sps(fps=50), PPS, SEI, PICTURES[0]) + b"".join(annexb(AUD, p) for p in PICTURES[1:])


def test_presentation_follows_the_picture_order() -> None:
    events = demux(PYRAMID)
    assert isinstance(events[0], Tracks)
    (track,) = events[0].tracks
    assert (track.codec, track.timescale, track.fps, track.width) == ("h264", 90000, 50, 64)
    found = frames(events)
    assert [f.dts for f in found] == [n * 1800 for n in range(len(ORDER))]
    # Two pictures may overtake: everything is shown two frames after the first decode time.
    assert [f.pts for f in found] == [(poc // 2 + 2) * 1800 for poc in ORDER]
    assert [f.key for f in found] == [True] + [False] * (len(ORDER) - 1)
    assert all(f.pts >= f.dts for f in found)
    assert {f.duration for f in found} == {1800}
    assert [split_lengths(f.payload) for f in found] == [[SEI, PICTURES[0]], *([p] for p in PICTURES[1:])]


def test_a_second_idr_begins_the_order_anew() -> None:
    found = frames(demux(PYRAMID + PYRAMID))
    count = len(ORDER)
    assert [f.pts for f in found[count:]] == [f.pts + count * 1800 for f in found[:count]]


def test_byte_by_byte() -> None:
    assert facts(demux(PYRAMID, list(range(len(PYRAMID))))) == facts(demux(PYRAMID))


@given(st.lists(st.integers(0, len(PYRAMID)), max_size=20))
@settings(max_examples=60)
def test_any_split(cuts: list[int]) -> None:
    assert facts(demux(PYRAMID, cuts)) == facts(demux(PYRAMID))


def test_without_delimiters_and_with_short_start_codes() -> None:
    data = b"".join(b"\x00\x00\x01" + nal for nal in [sps(fps=50), PPS, *PICTURES])
    assert [(f.dts, f.pts) for f in frames(demux(data))] == [(f.dts, f.pts) for f in frames(demux(PYRAMID))]


def test_slices_of_one_picture_stay_together() -> None:
    pieces = [annexb(coded(n * 2, idr=not n, number=n), coded(n * 2, idr=not n, number=n, first=8)) for n in range(3)]
    found = frames(demux(annexb(sps(reorder=0), PPS) + b"".join(pieces)))
    assert [len(split_lengths(f.payload)) for f in found] == [2, 2, 2]
    # No frame rate in the SPS: 25.
    assert [f.pts for f in found] == [0, 3600, 7200]


def test_two_fields_are_one_frame() -> None:
    nals = [sps(interlaced=True, reorder=0), PPS]
    for n in range(4):
        for field in ("top", "bottom"):
            nals += [AUD, coded(n * 2, idr=not n, number=n, field=field, interlaced=True)]
    found = frames(demux(annexb(*nals)))
    assert [f.dts for f in found] == [0, 3600, 7200, 10800]
    assert [len(split_lengths(f.payload)) for f in found] == [2, 2, 2, 2]
    # A lost field leaves its frame with one.
    del nals[5]
    assert [len(split_lengths(f.payload)) for f in frames(demux(annexb(*nals)))] == [1, 2, 2, 2]


def test_order_of_type_two_is_decoding_order() -> None:
    pictures = [coded(0, idr=not n, number=n, poc_type=2) for n in range(4)]
    found = frames(demux(annexb(sps(poc_type=2, reorder=0), PPS, *pictures)))
    assert [f.pts - f.dts for f in found] == [0, 0, 0, 0]


def test_a_changed_sequence_makes_new_tracks_at_the_key_frame() -> None:
    small, large = annexb(sps(fps=50, reorder=0), PPS), annexb(sps(fps=25, reorder=0, width=8), PPS)
    data = small + annexb(PICTURES[0], coded(2, number=1)) + large + annexb(PICTURES[0], coded(2, number=1))
    events = demux(data)
    assert [type(e) for e in events] == [Tracks, Frame, Frame, Tracks, Frame, Frame]
    assert [f.dts for f in frames(events)] == [0, 1800, 3600, 7200]
    assert [f.track.width for f in frames(events)] == [64, 64, 128, 128]


def test_the_rate_may_be_given() -> None:
    demuxer = AnnexBDemuxer("h264", Fraction(30))
    found = frames(demuxer.feed(PYRAMID) + demuxer.flush())
    assert [f.dts for f in found[:3]] == [0, 3000, 6000]


def test_pictures_before_the_parameter_sets_are_counted() -> None:
    demuxer = AnnexBDemuxer("h264")
    found = frames(demuxer.feed(annexb(AUD, coded(2, number=1), AUD, coded(4, number=2)) + PYRAMID) + demuxer.flush())
    assert demuxer.undecodable == 2
    assert len(found) == len(ORDER)


def test_no_start_code_is_refused() -> None:
    demuxer = AnnexBDemuxer("h265")
    with pytest.raises(ParseError, match="start code"):
        demuxer.feed(b"\x55" * (MAX_GARBAGE // 2) * 3)
    with pytest.raises(MediaError):
        AnnexBDemuxer("av1")


def test_endless_access_units_are_refused() -> None:
    demuxer = AnnexBDemuxer("h264")
    with pytest.raises(ParseError, match="no end"):
        demuxer.feed(annexb(SEI) * 10_000)


@given(st.permutations(range(8)), st.integers(0, 16))
def test_every_picture_gets_one_rank(order: list[int], depth: int) -> None:
    ranks = Ranks()
    ranks.depth = depth
    ready: list[tuple[int, int]] = []
    for poc in order:
        ready += ranks.push(Picture(poc, poc == 5))
    ready += ranks.push(None) + ranks.flush()
    assert sorted(number for number, _ in ready) == list(range(9))
    assert sorted(rank for _, rank in ready) == list(range(9))


@pytest.mark.parametrize("count", [1500, pytest.param(40_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_fuzz(codec: str, count: int) -> None:
    rng = random.Random(count)
    for _ in range(count):
        data = bytearray(PYRAMID)
        for _ in range(rng.randint(1, 10)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        demuxer = AnnexBDemuxer(codec)
        try:
            events = demuxer.feed(data[:200]) + demuxer.feed(data[200:]) + demuxer.flush()
        except ParseError:
            continue
        assert all(f.pts >= f.dts and f.payload for f in frames(events))
