"""Mutated and truncated MP4: only declared errors, bounded memory and time, read from the front and at any place."""

import functools
import random
import struct
import time

import pytest

from evotools.containers.mp4.boxes import box, full_box
from evotools.containers.mp4.demux import Mp4Demuxer
from evotools.containers.mp4.entries import sample_entry
from evotools.containers.mp4.protection import Protection
from evotools.containers.mp4.reader import Mp4Reader
from evotools.errors import MediaError
from evotools.media.frame import Event, Frame, Tracks
from tests.unit.codecs import vectors
from tests.unit.containers.flv import make
from tests.unit.containers.mp4 import build
from tests.unit.containers.mp4.streams import AAC, H264
from tests.unit.containers.mp4.test_entries import TRACKS

RUNS = [pytest.param(10_000, id="quick"), pytest.param(100_000, id="long", marks=[pytest.mark.slow])]
NASTY = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF)
MAX_RUN_S = 2.0
"""For one input of a few kilobytes, on a busy machine."""


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Some bytes and words changed, cut, doubled or removed."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        if len(out) < 8:
            break
        at = rng.randrange(len(out))
        choice = rng.random()
        if choice < 0.45:
            # Sizes, counts and offsets are words.
            at = min(at, len(out) - 4)
            struct.pack_into(">I", out, at, rng.choice(NASTY) if rng.random() < 0.7 else rng.randrange(2000))
        elif choice < 0.7:
            out[at] ^= 1 << rng.randrange(8)
        elif choice < 0.8:
            out[at] = rng.randrange(256)
        elif choice < 0.85:
            del out[at:]
        elif choice < 0.92:
            del out[at : at + rng.randint(1, 12)]
        else:
            out[at:at] = out[at : at + rng.randint(1, 40)]
    return bytes(out)


def protected() -> bytes:
    """A fragment of a protected track."""
    secret = Protection(b"cenc", bytes(range(16)), 8)
    media = build.Media(H264, [], entries=[sample_entry(H264, protection=secret)])
    samples = build.video_samples(3)
    senc = full_box(b"senc", 0, 2, build.u32(3), *(bytes(8) + struct.pack(">HHI", 1, 5, 4) for _ in samples))
    parts = (full_box(b"tfhd", 0, 0x020000, build.u32(1)), build.tfdt(0), senc)
    offset = len(build.moof([(*parts, build.trun(samples, 0))])) + 8
    return (
        build.init([media])
        + build.moof([(*parts, build.trun(samples, offset))])
        + box(b"mdat", *(s.data for s in samples))
    )


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """Small files of every layout."""
    pictures, sounds = build.video_samples(7, gop=3), build.audio_samples(9)
    swung = [s._replace(offset=(0, 7200, -3600, 0)[n % 4]) for n, s in enumerate(pictures)]
    plain = [build.Media(H264, pictures), build.Media(AAC, sounds)]
    cut = [build.Media(H264, swung, [(100, -1), (200, 3600)]), build.Media(AAC, sounds, [(300, 1024)])]
    two = build.Media(
        H264, [s._replace(entry=1 + (n > 3)) for n, s in enumerate(pictures)],
        entries=[sample_entry(H264), sample_entry(H264.with_(config=vectors.AVCC_HIGH))],
    )  # fmt: skip
    fragments = build.fragment([(1, 0, pictures), (2, 0, sounds)])
    emsg = full_box(b"emsg", 1, 0, struct.pack(">IQII", 90_000, 5, 9, 1), b"urn:x\0v\0data")
    prft = full_box(b"prft", 1, 0, build.u32(1, 3_900_000_000, 0), bytes(8))
    defaults = {1: build.trex(1, duration=3600, size=9, flags=0x0101_0000)}
    bare = (full_box(b"tfhd", 0, 0x020000, build.u32(1)), full_box(b"trun", 0, 1, build.u32(5, 76)))
    others = []
    payloads = {"hvc1": make.HEVC_IDR, "av01": b"\x12\x00" + make.AV1_FRAME, "vp09": make.VP9_KEY, "Opus": b"\xfcx",
                "mp3": make.MP3_FRAME, "ac-3": make.AC3_FRAME, "fLaC": b"\xff\xf8x"}  # fmt: skip
    for name, payload in payloads.items():
        others.append(build.movie([build.Media(TRACKS[name].with_(id=1), [build.Sample(payload, 10)] * 4)]))
    return (
        build.movie(plain), build.movie(plain, last=True, order="back", co64=True), build.movie(cut, stz2=8),
        build.movie([two]), build.init(plain) + fragments + emsg + prft + fragments, protected(),
        build.init(plain, defaults=defaults) + build.moof([bare]) + box(b"mdat", (b"\0\0\0\5\x41abcd") * 20), *others,
    )  # fmt: skip


def read(data: bytes) -> list[Event]:
    reader = Mp4Reader(len(data), encrypted=True)
    events: list[Event] = []
    steps = 0
    while (wanted := reader.want()) is not None:
        assert 0 <= wanted[0] <= len(data) and 0 <= wanted[1] <= len(data) - wanted[0]
        events += reader.give(data[wanted[0] : wanted[0] + wanted[1]])
        steps += 1
        assert steps < 1000 + len(data)
    return events


def demux(rng: random.Random, data: bytes) -> list[Event]:
    demuxer = Mp4Demuxer(encrypted=True)
    events: list[Event] = []
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randint(0, 3)))
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        events += demuxer.feed(data[start:end])
        assert len(demuxer._held) <= len(data)
    return events + demuxer.flush()


def check(events: list[Event], data: bytes) -> None:
    """Frames follow their tracks and hold no more than tracks can share."""
    known: dict[int, object] = {}
    size = 0
    for event in events:
        if isinstance(event, Tracks):
            known = {track.id: track for track in event.tracks}
        elif isinstance(event, Frame):
            assert known[event.track.id] == event.track
            assert isinstance(event.payload, bytes) and event.payload
            assert abs(event.dts) < 1 << 63 and abs(event.pts) < 1 << 63
            size += len(event.payload)
    assert size < 300 * len(data)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("runs", RUNS)
def test_mutated_files(runs: int) -> None:
    rng = random.Random(runs)
    for run in range(runs):
        seed = rng.choice(seeds())
        data = mutate(rng, seed)
        begun = time.monotonic()
        for reading in (read, functools.partial(demux, rng)):
            try:
                check(reading(data), data)
            except MediaError:
                # ParseError is one.
                pass
            except Exception as error:
                raise AssertionError(f"run {run}: {error!r} for {data.hex()}") from error
        assert time.monotonic() - begun < MAX_RUN_S, data.hex()


def test_seeds_are_sound() -> None:
    """Else nothing but the outermost checks would be tried."""
    rng = random.Random(0)
    for seed in seeds():
        assert any(isinstance(event, Frame) for event in read(seed)), seed[:40]
    assert sum(any(isinstance(e, Frame) for e in demux(rng, seed)) for seed in seeds() if seed[28:32] == b"moov") > 9


def test_every_length_of_a_cut_file() -> None:
    rng = random.Random(1)
    for seed in seeds()[:6]:
        for end in range(0, len(seed), 3):
            for reading in (read, functools.partial(demux, rng)):
                try:
                    check(reading(seed[:end]), seed)
                except MediaError:
                    pass
