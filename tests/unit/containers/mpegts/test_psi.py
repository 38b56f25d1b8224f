"""Sections and program tables."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.containers.mpegts.psi import (
    MAX_PSI_SECTION,
    MapEntry,
    ProgramMap,
    SectionAssembler,
    build_descriptors,
    build_pat,
    build_pmt,
    crc32,
    parse_descriptors,
    parse_pat,
    parse_pmt,
)
from evotools.errors import ParseError

# The PAT and PMT that FFmpeg writes for one H.264 and one AAC stream.
FFMPEG_PAT = bytes.fromhex("00b00d0001c100000001f0002ab104b2")
FFMPEG_PMT = bytes.fromhex("02b0170001c10000e100f0001be100f0000fe101f0002f44b99b")


def test_crc_of_real_tables() -> None:
    assert crc32(FFMPEG_PAT) == 0
    assert crc32(FFMPEG_PMT) == 0
    assert crc32(b"123456789") == 0x0376E6E7  # check value of CRC-32/MPEG-2


def test_reads_real_tables() -> None:
    assert parse_pat(FFMPEG_PAT) == (0, 0, [(1, 0x1000)])
    table = ProgramMap(1, 0, 0x100, (), (MapEntry(0x100, 0x1B), MapEntry(0x101, 0x0F)))
    assert parse_pmt(FFMPEG_PMT) == table
    assert build_pmt(table) == FFMPEG_PMT
    assert build_pat(1, 0, [(1, 0x1000)]) == FFMPEG_PAT


def test_network_pid_is_no_program() -> None:
    assert parse_pat(build_pat(7, 3, [(0, 16), (5, 100)])) == (3, 0, [(5, 100)])


descriptor = st.tuples(st.integers(0, 255), st.binary(max_size=20))
entry = st.builds(MapEntry, st.integers(16, 0x1FFE), st.integers(0, 255), st.lists(descriptor, max_size=3).map(tuple))


@settings(max_examples=200)
@given(
    st.integers(1, 65535), st.integers(0, 31), st.integers(16, 0x1FFF), st.lists(descriptor, max_size=3).map(tuple),
    st.lists(entry, max_size=8, unique_by=lambda e: e.pid).map(tuple),
)  # fmt: skip
def test_map_round_trip(program, version, pcr, descriptors, streams) -> None:  # type: ignore[no-untyped-def]
    table = ProgramMap(program, version, pcr, descriptors, streams)
    assert parse_pmt(build_pmt(table)) == table


@pytest.mark.parametrize("at", range(len(FFMPEG_PMT)))
def test_any_flipped_bit_is_noticed(at: int) -> None:
    broken = bytearray(FFMPEG_PMT)
    broken[at] ^= 0x04
    with pytest.raises(ParseError):
        parse_pmt(bytes(broken))


def test_descriptors_that_run_over() -> None:
    assert parse_descriptors(build_descriptors(((5, b"HEVC"),)) + b"\x0a\x09de") == ((5, b"HEVC"),)


def test_lengths_that_run_over() -> None:
    for at, value in ((10, 0xF0FF), (15, 0xF0FF)):
        body = bytearray(FFMPEG_PMT[:-4])
        body[at : at + 2] = value.to_bytes(2, "big")
        with pytest.raises(ParseError, match="run past"):
            parse_pmt(bytes(body) + crc32(bytes(body)).to_bytes(4, "big"))


def sections(payloads: list[tuple[bytes, bool]], limit: int = MAX_PSI_SECTION) -> list[bytes]:
    assembler = SectionAssembler(limit)
    return [section for payload, start in payloads for section in assembler.push(payload, start=start)]


def test_sections_over_several_packets_and_several_in_one() -> None:
    big = build_pmt(ProgramMap(1, 0, 100, ((0x80, bytes(200)),), ()))
    stream = big + FFMPEG_PAT + FFMPEG_PMT
    first, second = b"\0" + stream[:183], stream[183:367]
    assert sections([(first, True), (second.ljust(184, b"\xff"), False)]) == [big, FFMPEG_PAT, FFMPEG_PMT]


def test_a_section_that_ends_where_the_next_begins() -> None:
    big = build_pmt(ProgramMap(1, 0, 100, ((0x80, bytes(200)),), ()))
    tail = big[183:]
    second = bytes([len(tail)]) + tail + FFMPEG_PAT
    assert sections([(b"\0" + big[:183], True), (second.ljust(184, b"\xff"), True)]) == [big, FFMPEG_PAT]


def test_sections_begin_at_a_start_only() -> None:
    assert sections([(FFMPEG_PAT, False)]) == []
    assert sections([(b"\0", True), (FFMPEG_PAT, False)]) == [FFMPEG_PAT]
    assert sections([(b"\xf0" + bytes(20), True)]) == []
    assert sections([(b"", True)]) == []


def test_too_long_a_section_is_dropped() -> None:
    assert sections([(b"\0\2\xbf\xff" + bytes(180), True), (bytes(184), False)]) == []


@settings(max_examples=300)
@given(st.lists(st.tuples(st.binary(max_size=184), st.booleans()), max_size=30))
def test_garbage_stays_bounded(payloads: list[tuple[bytes, bool]]) -> None:
    assert all(len(section) <= MAX_PSI_SECTION for section in sections(payloads))
