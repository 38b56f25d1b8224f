import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs import nal
from evotools.errors import ParseError
from tests.unit.codecs.fuzzing import ROUNDS, fuzz

RBSP = st.builds(
    lambda head, chunks: head + b"".join(chunks),
    st.binary(min_size=1, max_size=3),
    st.lists(st.sampled_from([b"\0", b"\0\0", b"\0\0\0", b"\1", b"\2", b"\3", b"\x80", b"data"]), max_size=20),
)
"""Payloads full of sequences that need emulation prevention."""
UNITS = st.lists(RBSP.map(nal.escape), min_size=1, max_size=6)


@given(RBSP)
def test_escape_and_unescape(rbsp: bytes) -> None:
    unit = nal.escape(rbsp)
    assert b"\0\0\0" not in unit
    assert b"\0\0\1" not in unit
    assert b"\0\0\2" not in unit
    assert unit[-1]
    # A unit that would end in a zero byte got a final 3, which belongs to the payload's end (H.264 7.4.1).
    assert nal.unescape(unit).rstrip(b"\3") == rbsp.rstrip(b"\3") or nal.unescape(unit) == rbsp


def test_emulation_examples() -> None:
    assert nal.unescape(b"\x65\0\0\3\0\0\3\1\0\0\3") == b"\x65\0\0\0\0\1\0\0"
    assert nal.escape(b"\x65\0\0\0\0\1") == b"\x65\0\0\3\0\0\3\1"
    assert nal.unescape(b"\x65\0\3\0") == b"\x65\0\3\0"


@given(UNITS, st.data())
def test_split_takes_every_mixture_of_start_codes_and_zero_bytes(units: list[bytes], data: st.DataObject) -> None:
    stream = data.draw(st.sampled_from([b"", b"\0", b"\0\0\0"]))
    for unit in units:
        stream += data.draw(st.sampled_from([b"\0\0\1", b"\0\0\0\1", b"\0\0\0\0\0\1"])) + unit
    stream += data.draw(st.sampled_from([b"", b"\0", b"\0\0\0\0"]))
    assert nal.split_annexb(stream) == units
    assert nal.split_annexb(memoryview(stream)) == units
    assert nal.split_annexb(bytearray(stream)) == units


@given(UNITS)
def test_annexb_and_lengths_round_trip(units: list[bytes]) -> None:
    payload = nal.join_lengths(units)
    assert nal.split_lengths(payload) == units
    assert nal.annexb_from_lengths(payload) == nal.join_annexb(units)
    assert nal.split_annexb(nal.join_annexb(units)) == units


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=4), st.sampled_from([1, 2, 3, 4]))
def test_relength_takes_every_length_size(units: list[bytes], size: int) -> None:
    payload = b"".join(len(unit).to_bytes(size, "big") + unit for unit in units)
    assert nal.split_lengths(payload, size) == units
    assert nal.relength(payload, size) == nal.join_lengths(units)


def test_what_is_no_stream_gives_nothing() -> None:
    assert nal.split_annexb(b"") == []
    assert nal.split_annexb(b"\0\0\0") == []
    assert nal.split_annexb(b"no start code") == []
    assert nal.split_annexb(b"tail of a lost unit\0\0\1\x65") == [b"\x65"]
    assert nal.split_annexb(b"\0\0\1\0\0\1\0\0\1") == []
    assert nal.join_annexb([]) == b""
    assert nal.annexb_from_lengths(b"") == b""
    assert nal.annexb_from_lengths(bytes(4)) == b""


@pytest.mark.parametrize("payload", [b"\0\0\0\5abcd", b"\0\0\0", b"\0\0\0\1a\0\0", b"\xff\xff\xff\xff"])
def test_lengths_beyond_the_payload_are_parse_errors(payload: bytes) -> None:
    with pytest.raises(ParseError, match="beyond"):
        nal.split_lengths(payload)
    with pytest.raises(ParseError, match="beyond"):
        nal.annexb_from_lengths(payload)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("parser", [nal.split_annexb, nal.split_lengths, nal.annexb_from_lengths, nal.unescape])
def test_only_parse_errors(parser, rounds: int) -> None:  # type: ignore[no-untyped-def]
    fuzz(parser, [b"\0\0\0\5abcde\0\0\0\3abc", b"\0\0\0\1\x67\x42\0\0\1\x68\xce\0\0\3\1\0\0\0\1\x65\x88\0\0"], rounds)


def test_the_number_of_units_is_bounded() -> None:
    units = [b"\x41"] * nal.MAX_NALS
    assert len(nal.split_annexb(nal.join_annexb(units))) == nal.MAX_NALS
    assert len(nal.split_lengths(nal.join_lengths(units))) == nal.MAX_NALS
    for split, join in ((nal.split_annexb, nal.join_annexb), (nal.split_lengths, nal.join_lengths)):
        with pytest.raises(ParseError, match="more than"):
            split(join([*units, b"\x41"]))
    # Empty ones as well.
    with pytest.raises(ParseError, match="more than"):
        nal.split_annexb(b"\0\0\1" * 10_000)
