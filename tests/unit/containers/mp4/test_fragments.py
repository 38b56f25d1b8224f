"""Fragment headers: where samples lie and when, by every way of saying it; events; reference times; secrets."""

import struct
from collections.abc import Sequence

import pytest

from evotools.containers.mp4.boxes import box, children, full_box
from evotools.containers.mp4.entries import sample_entry
from evotools.containers.mp4.fragments import Clock, Run, parse_emsg, parse_moof, parse_prft
from evotools.containers.mp4.moov import Defaults, TrackInfo, parse_moov
from evotools.containers.mp4.protection import Protection
from evotools.containers.mp4.senc import MAX_SUBSAMPLES, SampleSecrets
from evotools.errors import ParseError
from tests.unit.containers.feeding import MIB, peak
from tests.unit.containers.mp4 import build
from tests.unit.containers.mp4.build import Media, Sample, u32
from tests.unit.containers.mp4.streams import AAC, H264

Found = list[tuple[int, int, int, int, int, int, bool]]
START = 1000
KEY, OTHER = 0x0200_0000, 0x0101_0000


def infos(*, entries: Sequence[bytes] = (), trex: bytes = b"") -> dict[int, TrackInfo]:
    defaults = {1: trex} if trex else None
    init = build.init([Media(H264, [], entries=entries), Media(AAC, [])], defaults=defaults)
    moov = next(b for b in children(init) if b.kind == b"moov")
    return {track.id: track for track in parse_moov(init[moov.start : moov.end]).tracks}


def read(
    *trafs: tuple[bytes, ...], tracks: dict[int, TrackInfo] | None = None, clocks: dict[int, Clock] | None = None,
    origin: int = 0,
) -> Found:  # fmt: skip
    """(track, offset, size, dts, pts, duration, key) of every sample of a moof box at START."""
    moof = build.moof(trafs)
    tracks = tracks or infos()
    clocks = {number: Clock(0) for number in tracks} if clocks is None else clocks
    found: Found = []
    for number, run in parse_moof(moof[8:], START, len(moof), tracks, clocks, origin=origin):
        while (block := run.read(3)) is not None:
            found += [(number, *row) for row in zip(*block[:6], strict=True)]
    return found


def tfhd(number: int = 1, flags: int = 0, *values: int, base: int | None = None) -> bytes:
    place = struct.pack(">Q", base) if base is not None else b""
    return full_box(b"tfhd", 0, flags | (1 if base is not None else 0), u32(number), place, u32(*values))


def trun(flags: int, count: int, *values: int, version: int = 0) -> bytes:
    return full_box(b"trun", version, flags, u32(count, *values))


def offsets(found: Found) -> list[int]:
    return [row[1] for row in found]


# Where samples lie.


def test_offsets_count_from_the_fragment() -> None:
    columns = (0x201, 2, 500, 10, 20)
    assert offsets(read((tfhd(1, 0x020000), trun(*columns)))) == [1500, 1510]
    # Also without the flag, for the first track.
    assert offsets(read((tfhd(), trun(*columns)))) == [1500, 1510]


def test_without_a_base_the_second_track_follows_the_first() -> None:
    first, second = (tfhd(), trun(0x201, 2, 500, 10, 20)), (tfhd(2), trun(0x200, 2, 7, 8))
    assert offsets(read(first, second)) == [1500, 1510, 1530, 1537]
    third = (tfhd(2, 0x020000), trun(0x201, 1, 700, 7))
    assert offsets(read(first, third)) == [1500, 1510, 1700]


def test_runs_without_an_offset_follow_the_run_before() -> None:
    assert offsets(read((tfhd(), trun(0x201, 2, 500, 10, 20), trun(0x200, 1, 5), trun(0x201, 1, 900, 5)))) == [
        1500, 1510, 1530, 1900,
    ]  # fmt: skip


def test_a_base_of_its_own() -> None:
    columns = (0x201, 1, 50, 10)
    assert offsets(read((tfhd(base=1200), trun(*columns)))) == [1250]
    assert offsets(read((tfhd(base=200), trun(*columns)), origin=1000)) == [1250]


@pytest.mark.parametrize("base", [0, 999, 1 << 40, (1 << 64) - 1])
def test_the_base_of_another_file_is_that_of_the_fragment(base: int) -> None:
    """Servers copy a recording's fragments to viewers who join late."""
    assert offsets(read((tfhd(base=base), trun(0x201, 1, 50, 10)))) == [1050]


def test_negative_offsets() -> None:
    assert offsets(read((tfhd(), trun(0x201, 1, -400, 10)))) == [600]


# What holds where nothing is said.


def test_defaults_of_the_movie_and_of_the_fragment() -> None:
    tracks = infos(trex=build.trex(1, duration=40, size=9, flags=OTHER))
    assert read((tfhd(), trun(1, 2, 100)), tracks=tracks) == [
        (1, 1100, 9, 0, 0, 40, False), (1, 1109, 9, 40, 40, 40, False),
    ]  # fmt: skip
    own = tfhd(1, 0x38, 50, 6, KEY)
    assert read((own, trun(1, 2, 100)), tracks=tracks) == [
        (1, 1100, 6, 0, 0, 50, True), (1, 1106, 6, 50, 50, 50, True),
    ]  # fmt: skip


def test_the_first_sample_may_have_flags_of_its_own() -> None:
    tracks = infos(trex=build.trex(1, duration=40, size=9, flags=OTHER))
    found = read((tfhd(), trun(0x005, 5, 100, KEY), trun(0, 2)), tracks=tracks)
    assert [row[6] for row in found] == [True] + [False] * 6


@pytest.mark.parametrize(("flags", "key"), [(0, True), (KEY, True), (0x0001_0000, False), (0x0100_0000, False)])
def test_key_frames(flags: int, key: bool) -> None:
    assert read((tfhd(), trun(0x601, 1, 100, 5, flags)))[0][6] is key


def test_every_column() -> None:
    rows = (40, 5, KEY, 80, 41, 6, OTHER, -40)
    assert read((tfhd(), build.tfdt(7000), trun(0xF01, 2, 100, *rows, version=1))) == [
        (1, 1100, 5, 7000, 7080, 40, True), (1, 1105, 6, 7040, 7000, 41, False),
    ]  # fmt: skip
    # Some writers put negative offsets into version 0.
    assert read((tfhd(), trun(0xF01, 2, 100, *rows)))[1][4] == 0


def test_durations_and_sizes_are_unsigned() -> None:
    """What follows a run counts from all of it."""
    long, rows = 0x9000_0000, (0x8000_0001, 5, 40, 0xFFFF_FFF0, 50, 6)
    found = read((tfhd(), build.tfdt(0), trun(0x301, 3, 100, *rows), trun(0x300, 1, long, 7)))
    assert [row[3] for row in found] == [0, 0x8000_0001, 0x8000_0029, 0x8000_005B]
    assert offsets(found)[3] == START + 100 + 5 + 0xFFFF_FFF0 + 6


# When.


def test_fragments_without_a_time_follow_the_last_one() -> None:
    clocks = {1: Clock(500), 2: Clock(0)}
    parts = (tfhd(), trun(0x301, 2, 100, 40, 5, 50, 5))
    assert [row[3] for row in read(parts, clocks=clocks)] == [500, 540]
    assert [row[3] for row in read(parts, parts, clocks=clocks)] == [590, 630, 680, 720]
    late = (tfhd(), build.tfdt(9000), trun(0x301, 2, 100, 40, 5, 50, 5), trun(0x301, 1, 100, 40, 5))
    assert [row[3] for row in read(late, clocks=clocks)] == [9000, 9040, 9090]
    assert clocks[1].next == 9130


def test_times_of_64_bits() -> None:
    long = (tfhd(), build.tfdt(1 << 40), trun(0x301, 1, 100, 40, 5))
    assert read(long)[0][3] == 1 << 40
    for time in (1 << 62, (1 << 64) - 1):
        with pytest.raises(ParseError, match="impossible time"):
            read((tfhd(), build.tfdt(time), trun(0x301, 1, 100, 40, 5)))


# Refusals.


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ((trun(1, 1, 100),), "no header"),
        ((tfhd()[:-4],), "longer than what holds it"),
        ((box(b"tfhd", bytes(7)), trun(1, 1, 100)), "'tfhd' is too short"),
        ((tfhd(1, 0x3A, 1),), "'tfhd' is too short"),
        ((tfhd(1, 0x02, 5), trun(1, 1, 100)), "sample entry 5"),
        ((tfhd(1, 0x02, 0), trun(1, 1, 100)), "sample entry 0"),
        ((tfhd(), box(b"trun", bytes(7))), "'trun' is too short"),
        ((tfhd(), trun(0x201, 3, 100, 5, 5)), "announces 3"),
        ((tfhd(), trun(0xF01, 0xFFFF_FFFF, 100, 5, 5)), "announces 4294967295"),
        ((tfhd(), box(b"tfdt", bytes(4)), trun(1, 1, 100)), "'tfdt' is too short"),
        ((tfhd(), trun(0xF01, 1, 100, 1, 1, 0, -(1 << 28) - 1)), "before its decode time"),
    ],
)
def test_what_is_broken(parts: tuple[bytes, ...], what: str) -> None:
    with pytest.raises(ParseError, match=what):
        read(parts)


def test_tracks_that_are_not_carried_are_passed_over() -> None:
    other = (tfhd(7), trun(0x201, 1, 500, 10))
    follows = (tfhd(2), trun(0x200, 1, 7))
    assert read(other, follows) == [(2, 1510, 7, 0, 0, 0, True)]


def test_billions_of_samples_in_a_few_bytes() -> None:
    """Without columns a run announces any number: they are decoded as they are read, and empty ones not at all."""
    run = Run(trun(0, 0xFFFF_FFFF)[8:], Defaults(1, 40, 9, 0), 0)
    assert run.size == 0xFFFF_FFFF * 9
    assert peak(lambda _: run.read(1024), [b""] * 50) < MIB
    empty = Run(trun(0, 0xFFFF_FFFF)[8:], Defaults(1, 40, 0, 0), 0)
    assert empty.read(1024) is None
    assert empty.duration == 0xFFFF_FFFF * 40


# Events and clocks.


def test_event_messages() -> None:
    body = full_box(b"emsg", 1, 0, struct.pack(">IQII", 1000, 90_500, 2500, 7), b"urn:scte\0v1\0\xfc\0\x01")[8:]
    event = parse_emsg(body)
    told = event.metadata(33.0)
    assert (told.name, told.value, told.time_s) == ("emsg", b"\xfc\0\x01", 90.5)
    assert told.options == {"scheme": "urn:scte", "value": "v1", "id": 7, "duration_s": 2.5}
    body = full_box(b"emsg", 0, 0, b"urn:x\0\0", u32(1000, 500, 0xFFFF_FFFF, 8), b"data")[8:]
    told = parse_emsg(body).metadata(33.0)
    assert (told.value, told.time_s, told.options["duration_s"]) == (b"data", 33.5, None)


@pytest.mark.parametrize("body", [b"", b"\2\0\0\0", b"\0\0\0\0urn", b"\1" + bytes(20), b"\0\0\0\0a\0b\0" + bytes(15)])
def test_event_messages_that_are_broken(body: bytes) -> None:
    with pytest.raises(ParseError, match="emsg"):
        parse_emsg(body)


def test_reference_times() -> None:
    # 2024-01-01 00:00:00.5 UTC
    ntp = (1_704_067_200 + 2_208_988_800, 1 << 31)
    assert parse_prft(full_box(b"prft", 1, 0, u32(3, *ntp), struct.pack(">Q", 1 << 40))[8:]) == (
        3, 1_704_067_200.5, 1 << 40,
    )  # fmt: skip
    assert parse_prft(full_box(b"prft", 0, 0, u32(3, *ntp, 90_000))[8:])[2] == 90_000
    for body in (b"", bytes(19), b"\1" + bytes(22)):
        with pytest.raises(ParseError, match="prft"):
            parse_prft(body)


# Encryption.

CENC = Protection(b"cenc", bytes(16), 8)
CBCS = Protection(b"cbcs", bytes(16), 0, bytes(range(16)), 1, 9)


def secrets(protection: Protection, *boxes: bytes, count: int = 2) -> list[object]:
    tracks = infos(entries=[sample_entry(H264, protection=protection)])
    moof = build.moof([(tfhd(), trun(0x201, count, 500, *[9] * count), *boxes)])
    (_, run), = parse_moof(moof[8:], START, len(moof), tracks, {})  # fmt: skip
    block = run.read(100)
    assert block is not None
    return list(block.sides or [])


def test_vectors_and_subsamples() -> None:
    senc = full_box(b"senc", 0, 2, u32(2), b"A" * 8, struct.pack(">HHIHI", 2, 5, 16, 3, 0), b"B" * 8, bytes(2))
    assert secrets(CENC, senc) == [{"cenc": (b"A" * 8, ((5, 16), (3, 0)))}, {"cenc": (b"B" * 8, ())}]
    plain = full_box(b"senc", 0, 0, u32(2), b"A" * 8, b"B" * 8)
    assert secrets(CENC, plain) == [{"cenc": (b"A" * 8, ())}, {"cenc": (b"B" * 8, ())}]
    piff = box(b"uuid", bytes.fromhex("a2394f525a9b4f14a2446c427c648df4"), plain[8:])
    assert secrets(CENC, piff) == secrets(CENC, plain)


def test_a_constant_vector() -> None:
    senc = full_box(b"senc", 0, 2, u32(1), struct.pack(">HHI", 1, 5, 4))
    assert secrets(CBCS, senc) == [{"cenc": (bytes(range(16)), ((5, 4),))}, None]
    assert secrets(CBCS) == [{"cenc": (bytes(range(16)), ())}] * 2


def test_clear_fragments_of_protected_tracks() -> None:
    assert secrets(CENC) == []


@pytest.mark.parametrize(
    "body", [b"", u32(2, 0xFFFF_FFFF) + bytes(30), u32(2, 1) + bytes(8) + struct.pack(">H", MAX_SUBSAMPLES + 1) * 9,
             u32(0, 1) + bytes(7), u32(2, 1) + bytes(8) + b"\0\2" + bytes(6)]
)  # fmt: skip
def test_secrets_that_are_cut(body: bytes) -> None:
    with pytest.raises(ParseError, match="senc"):
        SampleSecrets(body, CENC).take(1000)


def test_secrets_outside_of_the_header() -> None:
    with pytest.raises(ParseError, match="no senc box"):
        secrets(CENC, full_box(b"saio", 0, 0, u32(1, 500)))


def test_samples_as_a_builder_writes_them() -> None:
    samples = [Sample(b"abc", 40, 80), Sample(b"defg", 41, -40, False)]
    data = build.fragment([(1, 900, samples)])
    assert read((tfhd(1, 0x020000), build.tfdt(900), build.trun(samples, 108))) == [
        (1, 1108, 3, 900, 980, 40, True), (1, 1111, 4, 940, 900, 41, False),
    ]  # fmt: skip
    assert data.endswith(b"abcdefg")
