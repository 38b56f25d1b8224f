"""Mutated, truncated and hostile Matroska: only ParseError, bounded memory and time."""

import functools
import random
import time

import pytest

from evotools.codecs import opus
from evotools.containers.matroska import element, number
from evotools.containers.matroska.demux import (
    MAX_BLOCK,
    MAX_EBML,
    MAX_INFO,
    MAX_SKIP,
    MAX_TRACKS_BYTES,
    MatroskaDemuxer,
)
from evotools.errors import ParseError
from evotools.media.frame import Event, Frame, Tracks
from tests.unit.containers.feeding import MIB, peak
from tests.unit.containers.flv import make
from tests.unit.containers.matroska.build import (
    UNKNOWN,
    audio,
    block,
    closed,
    cluster,
    entry,
    film,
    group,
    head,
    info,
    picture,
    segment,
    stream,
    tracks,
    video,
)

RUNS = [pytest.param(10_000, id="quick"), pytest.param(100_000, id="long", marks=[pytest.mark.slow])]
MAX_RUN_S = 2.0
"""For one input of a few kilobytes, on a busy machine."""
NASTY = (
    b"\0", b"\x01", b"\x7f", b"\x80", b"\xff", b"\x01" + b"\xff" * 7, b"\x08\xff\xff\xff\xff", b"\x10\0\0\0",
    b"\x1f\x43\xb6\x75", b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\xa3", b"\xa0", b"\xe7\x88" + b"\xff" * 8,
)  # fmt: skip


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """Small streams of every kind."""
    xiph, fixed, ebml = b"\x02\x03\x04abcdefghij", b"\x01abcd", b"\x02\x83\xc0abcdefgh"
    laced = (block(2, 0, xiph, lacing=1), block(2, 60, fixed, lacing=2), group(2, 90, ebml, number(0x9B, 60), lacing=3))
    strip = element(0x6D80, element(0x6240, element(0x5034, number(0x4254, 3) + element(0x4255, b"so"))))
    plain = entry(1, 1, "V_MPEG4/ISO/AVC", b"", element(0x536E, b"x"), element(0x22B59D, b"de"))
    more = [
        head(video(), audio()) + cluster(0, block(1, 0, b"\0\0\0\1" + picture(0)[4:], key=True), *laced),
        head(audio(strip)) + cluster(0, block(2, 0, b"und")),
        head(plain) + cluster(0, block(1, 0, picture(5))),
    ]
    names = {"V_VP9": make.VP9_KEY, "V_AV1": b"\x12\x00" + make.AV1_FRAME, "A_MPEG/L3": make.MP3_FRAME,
             "A_AC3": make.AC3_FRAME, "A_AAC": b"\xff\xf1\x4c\x80\x01\x9f\xfcsound",
             "V_MPEGH/ISO/HEVC": make.HEVC_IDR}  # fmt: skip
    for name, payload in names.items():
        kind = 1 if name[0] == "V" else 2
        blocks = [block(1, n * 20, payload, key=True) for n in range(3)]
        more.append(head(entry(1, kind, name)) + cluster(0, *blocks) + cluster(60, *blocks))
    more.append(
        head(entry(1, 2, "A_OPUS", opus.build_head(2), number(0x56AA, 6_500_000))) + cluster(0, block(1, 0, b"\xfcx"))
    )
    known = segment(info(duration=80.0), tracks(video(), audio()), element(0xEC, bytes(9)),
                    closed(0, block(1, 0, picture(0), key=True), group(2, 0, b"s")),
                    closed(40, block(1, 0, picture(1))),
                    element(0x1C53BB6B, bytes(40)))  # fmt: skip
    return (stream(), stream() + head(audio()) + film(5, 10), known, known + known, *more)


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Some bytes changed, cut, doubled, removed or replaced by what means much."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        if len(out) < 8:
            break
        at = rng.randrange(len(out))
        choice = rng.random()
        if choice < 0.35:
            word = rng.choice(NASTY)
            out[at : at + len(word)] = word
        elif choice < 0.6:
            out[at] ^= 1 << rng.randrange(8)
        elif choice < 0.75:
            out[at] = rng.randrange(256)
        elif choice < 0.8:
            del out[at:]
        elif choice < 0.9:
            del out[at : at + rng.randint(1, 40)]
        else:
            out[at:at] = out[at : at + rng.randint(1, 40)]
    return bytes(out)


def demux(rng: random.Random, data: bytes) -> list[Event]:
    demuxer = MatroskaDemuxer(stored=rng.random() < 0.5)
    events: list[Event] = []
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randint(0, 3)))
    try:
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            events += demuxer.feed(data[start:end])
            assert len(demuxer._held) <= len(data)
        events += demuxer.flush()
    except ParseError:
        pass
    return events


def check(events: list[Event], data: bytes) -> None:
    """Frames follow their tracks, hold no more than was sent, and are decoded before they are shown."""
    known: dict[int, object] = {}
    size = 0
    for event in events:
        if isinstance(event, Tracks):
            known = {track.id: track for track in event.tracks}
        elif isinstance(event, Frame):
            assert known[event.track.id] == event.track
            assert isinstance(event.payload, bytes) and event.payload
            assert abs(event.pts) < 1 << 63 and -(1 << 62) < event.dts <= event.pts
            assert 0 <= event.duration < 1 << 62
            size += len(event.payload)
    assert size <= 16 * len(data)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("runs", RUNS)
def test_mutated_streams(runs: int) -> None:
    rng = random.Random(runs)
    for run in range(runs):
        data = mutate(rng, rng.choice(seeds()))
        begun = time.monotonic()
        try:
            check(demux(rng, data), data)
        except Exception as error:
            raise AssertionError(f"run {run}: {error!r} for {data.hex()}") from error
        assert time.monotonic() - begun < MAX_RUN_S, data.hex()


def test_seeds_are_sound() -> None:
    """Else nothing but the outermost checks would be tried."""
    for seed in seeds():
        demuxer = MatroskaDemuxer()
        events = demuxer.feed(seed) + demuxer.flush()
        assert any(isinstance(event, Frame) for event in events), seed
        assert demuxer.damaged == 0, seed


def test_every_length_of_a_cut_stream() -> None:
    rng = random.Random(1)
    for seed in seeds():
        for end in range(0, len(seed), 5):
            check(demux(rng, seed[:end]), seed)


# Streams that ask their reader to remember more and more, or to wait for ever.


def opened() -> MatroskaDemuxer:
    demuxer = MatroskaDemuxer()
    demuxer.feed(stream(5))
    return demuxer


@pytest.mark.parametrize(
    ("ident", "most"), [(0x1A45DFA3, MAX_EBML), (0x1549A966, MAX_INFO), (0x1654AE6B, MAX_TRACKS_BYTES)]
)
def test_headers_that_are_too_long_are_refused_at_once(ident: int, most: int) -> None:
    before = b"" if ident == 0x1A45DFA3 else head(audio())[: -len(info() + tracks(audio()))]
    for size in (most + 1, 1 << 50):
        with pytest.raises(ParseError, match="more than"):
            MatroskaDemuxer().feed(before + ident.to_bytes(4, "big") + (size | 1 << 56).to_bytes(8, "big"))


def test_a_block_that_is_too_long_is_damage_at_once() -> None:
    for size in (MAX_BLOCK + 1, 1 << 50):
        demuxer = opened()
        events = demuxer.feed(b"\xa3" + (size | 1 << 56).to_bytes(8, "big") + film(5, 5))
        assert sum(isinstance(e, Frame) for e in events) == 15


def test_a_block_that_swallows_clusters_is_damage_when_they_come() -> None:
    demuxer = opened()
    demuxer.feed(b"\xa3" + (MAX_BLOCK | 1 << 56).to_bytes(8, "big"))
    events = [e for n in range(1, 40) for e in demuxer.feed(film(5, n * 5))]
    assert sum(isinstance(e, Frame) for e in events) > 500


def test_a_long_block_costs_its_bytes_and_no_more() -> None:
    demuxer = opened()
    demuxer.feed(b"\xa3" + (MAX_BLOCK | 1 << 56).to_bytes(8, "big"))
    assert peak(demuxer.feed, [bytes(65_536)] * 256) < 24 * MIB


@pytest.mark.parametrize("ident", [0x1941A469, 0xEC, 0x1C53BB6B, 0x1254C367])
def test_elements_that_are_passed_over_are_not_kept(ident: int) -> None:
    demuxer = opened()
    name = ident.to_bytes((ident.bit_length() + 7) // 8, "big")
    demuxer.feed(b"\x1c\x53\xbb\x6b\x80" + name + (MAX_SKIP | 1 << 56).to_bytes(8, "big"))
    assert peak(demuxer.feed, [bytes(65_536)] * 500) < MIB


def test_garbage_without_end_is_refused_and_not_kept() -> None:
    demuxer = opened()

    def feed(piece: bytes) -> None:
        demuxer.feed(piece)

    noise = random.Random(2).randbytes(65_536).replace(b"\x1f\x43", b"\0\0").replace(b"\x1a\x45", b"\0\0")
    with pytest.raises(ParseError, match="no cluster in"):
        peak(feed, [b"\0" + noise] * 1100)
    assert len(demuxer._held) < MIB


def test_frames_that_wait_for_a_track_are_bounded() -> None:
    demuxer = MatroskaDemuxer(stored=True)
    demuxer.feed(head(entry(1, 1, "V_VP9"), audio()) + cluster(0))
    big = bytes(100_000)
    assert peak(demuxer.feed, (block(2, 0, big) for _ in range(400))) < 24 * MIB
    demuxer = MatroskaDemuxer(stored=True)
    demuxer.feed(head(entry(1, 1, "V_VP9"), audio()) + cluster(0))
    fed = sum(len(demuxer.feed(block(2, 0, b"x"))) for _ in range(600))
    assert fed == 601


def test_many_tracks_and_deep_private_data_are_refused() -> None:
    with pytest.raises(ParseError, match="more than 256 tracks"):
        MatroskaDemuxer().feed(head(*[audio(index=n) for n in range(1, 300)]))


def test_pieces_of_a_byte_cost_linear_time() -> None:
    """A block that comes byte by byte is looked at once, not once for each byte."""
    demuxer = opened()
    data = block(2, 0, bytes(200_000)) + UNKNOWN
    begun = time.monotonic()
    frames = sum(isinstance(e, Frame) for n in range(len(data)) for e in demuxer.feed(data[n : n + 1]))
    assert frames == 1
    assert time.monotonic() - begun < 5
