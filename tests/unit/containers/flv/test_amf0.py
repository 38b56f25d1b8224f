"""AMF0: golden bytes, round trips, and the attacks of malformed messages."""

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.containers.flv import amf0
from evotools.containers.flv.amf0 import UNDEFINED, Date, EcmaArray
from evotools.errors import ParseError

GOLDEN: list[tuple[Any, str]] = [
    (1.0, "003ff0000000000000"),
    (True, "0101"),
    (False, "0100"),
    ("live", "0200046c697665"),
    ("", "020000"),
    (None, "05"),
    (UNDEFINED, "06"),
    ({"app": "live"}, "0300036170700200046c697665000009"),
    (EcmaArray(fps=25.0), "08000000010003667073004039000000000000000009"),
    ([1.0, None], "0a00000002003ff000000000000005"),
    (Date(1000.0), "0b408f4000000000000000"),
]


@pytest.mark.parametrize(("value", "wire"), GOLDEN, ids=lambda v: str(v)[:20])
def test_golden_bytes_both_ways(value: Any, wire: str) -> None:
    assert amf0.encode(value).hex() == wire
    decoded = amf0.decode_all(bytes.fromhex(wire))
    assert decoded == [value]
    assert type(decoded[0]) is type(value)


@pytest.mark.parametrize(("value", "wire"), GOLDEN, ids=lambda v: str(v)[:20])
def test_every_truncation_is_a_parse_error(value: Any, wire: str) -> None:
    data = bytes.fromhex(wire)
    for size in range(1, len(data)):
        with pytest.raises(ParseError):
            amf0.decode_all(data[:size])


def test_several_values() -> None:
    data = amf0.encode("connect", 1, {"app": "x"})
    assert amf0.decode_all(data) == ["connect", 1.0, {"app": "x"}]


def test_long_strings_use_the_long_marker() -> None:
    text = "é" * 40000
    data = amf0.encode(text)
    assert data[0] == amf0.LONG_STRING
    assert amf0.decode_all(data) == [text]


def test_markers_without_a_python_type_of_their_own() -> None:
    assert amf0.decode_all(b"\x0d") == [UNDEFINED]
    assert amf0.decode_all(b"\x0f\x00\x00\x00\x04<a/>") == ["<a/>"]
    assert amf0.decode_all(b"\x10\x00\x01C\x00\x01a\x05\x00\x00\x09") == [amf0.TypedObject("C", [("a", None)])]


def test_a_wrong_ecma_count_does_not_matter() -> None:
    body = b"\x00\x01a\x05\x00\x01b\x05\x00\x00\x09"
    for count in (0, 1, 2, 2**32 - 1):
        assert amf0.decode_all(b"\x08" + struct.pack(">I", count) + body) == [{"a": None, "b": None}]


def test_an_empty_name_alone_is_a_property() -> None:
    assert amf0.decode_all(b"\x03\x00\x00\x05\x00\x00\x09") == [{"": None}]


def test_text_in_another_code_page_is_kept_as_far_as_readable() -> None:
    assert amf0.decode_all(b"\x02\x00\x03a\xe9b") == ["a\ufffdb"]


def test_references_name_finished_values() -> None:
    shared = {"k": 1.0}
    data = amf0.encode(shared) + b"\x07\x00\x00"
    assert amf0.decode_all(data) == [shared, shared]


def test_reference_loops_and_dangling_references_are_refused() -> None:
    for data in (b"\x03\x00\x01a\x07\x00\x00\x00\x00\x09", b"\x07\x00\x00", b"\x07\xff\xff"):
        with pytest.raises(ParseError, match="reference"):
            amf0.decode_all(data)


def test_references_cannot_multiply_beyond_the_cap() -> None:
    data = b"\x0a\x00\x00\x00\x0a" + b"\x05" * 10
    for level in range(12):
        data += b"\x0a\x00\x00\x00\x0a" + (b"\x07" + struct.pack(">H", level)) * 10
    with pytest.raises(ParseError, match="more than"):
        amf0.decode_all(data)


@pytest.mark.parametrize("opener", [b"\x03\x00\x01a", b"\x08\x00\x00\x00\x01\x00\x01a", b"\x0a\x00\x00\x00\x01"])
def test_nesting_is_capped(opener: bytes) -> None:
    with pytest.raises(ParseError, match="nest"):
        amf0.decode_all(opener * 100_000)


def test_nesting_at_the_cap_passes() -> None:
    value: Any = 1.0
    for _ in range(amf0.MAX_DEPTH):
        value = [value]
    assert amf0.decode_all(amf0.encode(value)) == [value]
    with pytest.raises(ValueError, match="nest"):
        amf0.encode([value])
    with pytest.raises(ParseError, match="nest"):
        amf0.decode_all(b"\x0a\x00\x00\x00\x01" + amf0.encode(value))


def test_huge_counts_and_lengths_cost_nothing() -> None:
    for data in (
        b"\x0a\xff\xff\xff\xff" + b"\x05" * 100,
        b"\x0c\xff\xff\xff\xff",
        b"\x0c\x00\x20\x00\x00" + bytes(1 << 21),
        b"\x02\xff\xffabc",
        b"\x03\xff\xffabc",
    ):
        with pytest.raises(ParseError):
            amf0.decode_all(data)


def test_the_number_of_values_is_capped() -> None:
    size = amf0.MAX_VALUES
    with pytest.raises(ParseError, match="more than"):
        amf0.decode_all(b"\x0a" + struct.pack(">I", size) + b"\x05" * size)


@pytest.mark.parametrize("marker", [4, 9, 14, 18, 255])
def test_unknown_markers_are_refused(marker: int) -> None:
    with pytest.raises(ParseError, match=f"marker {marker}"):
        amf0.decode_all(bytes([marker]) + bytes(20))


def test_the_object_end_must_be_there() -> None:
    with pytest.raises(ParseError):
        amf0.decode_all(b"\x03\x00\x01a\x05")
    with pytest.raises(ParseError):
        amf0.decode_all(b"\x03\x00\x01a\x05\x00\x00")


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(TypeError):
        amf0.encode(object())
    with pytest.raises(ValueError, match="65535"):
        amf0.encode({"k" * 65536: 1})


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_LEAF = st.one_of(st.floats(allow_nan=False), st.booleans(), _TEXT, st.none(), st.just(UNDEFINED),
                  st.builds(Date, st.floats(allow_nan=False), st.integers(-720, 720)))  # fmt: skip
_VALUE = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(_TEXT, inner, max_size=4),
        st.dictionaries(_TEXT, inner, max_size=4).map(EcmaArray),
    ),
    max_leaves=12,
)


@given(st.lists(_VALUE, max_size=4))
@settings(max_examples=200)
def test_round_trip(values: list[Any]) -> None:
    data = amf0.encode(*values)
    assert amf0.decode_all(data) == values
    assert amf0.encode(*amf0.decode_all(data)) == data
