"""AMF3: golden bytes of every type, reference tables, the switch from AMF0, and what must be refused."""

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.containers.flv import amf, amf0, amf3
from evotools.containers.flv.amf import UNDEFINED, Date, Dictionary, EcmaArray, TypedObject, Vector, Xml
from evotools.errors import ParseError

DOUBLE = struct.pack(">d", 1.5).hex()

GOLDEN: list[tuple[Any, str]] = [
    (UNDEFINED, "00"),
    (None, "01"),
    (False, "02"),
    (True, "03"),
    (0, "0400"),
    (127, "047f"),
    (128, "048100"),
    (16383, "04ff7f"),
    (16384, "04818000"),
    (2097151, "04ffff7f"),
    (2097152, "0480c08000"),
    (268435455, "04bfffffff"),
    (-1, "04ffffffff"),
    (-268435456, "04c0808000"),
    (1.5, "05" + DOUBLE),
    ("", "0601"),
    ("é", "0605c3a9"),
    (Xml("<a/>"), "0b09" + b"<a/>".hex()),
    (Date(1.5), "0801" + DOUBLE),
    ([1, [True]], "09050104010903 0103"),
    (EcmaArray(a=1), "090103610401 01"),
    ({"a": 1}, "0a0b0103610401 01"),
    (TypedObject("C", [("x", 1)]), "0a13034303780401"),
    (b"\x01\x02", "0c050102"),
    (Vector("int", [1, -2], fixed=True), "0d050100000001fffffffe"),
    (Vector("uint", [4294967295]), "0e0300ffffffff"),
    (Vector("double", [1.5]), "0f0300" + DOUBLE),
    (Vector("", [1, "a"]), "1005000104010603 61"),
    (Vector("C", [TypedObject("C", [("x", 1)])]), "10030003430a130003780401"),
    (Dictionary([("a", 1), ({}, None)], weak=True), "1105010603610401 0a0b010101"),
    (["ab", "ab", {"ab": "ab"}], "0907010605616206000a0b0100060001"),
    ([TypedObject("C", [("x", 1)]), TypedObject("C", [("x", 2)])], "0905010a130343037804010a010402"),
]


@pytest.mark.parametrize(("value", "wire"), GOLDEN)
def test_golden_bytes_both_ways(value: Any, wire: str) -> None:
    data = bytes.fromhex(wire)
    assert amf3.encode(value) == data
    found = amf3.decode(data)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("value", "wire"), GOLDEN)
def test_every_truncation_is_a_parse_error(value: Any, wire: str) -> None:
    data = bytes.fromhex(wire)
    for size in range(len(data)):
        with pytest.raises(ParseError):
            amf3.decode(data[:size])
    with pytest.raises(ParseError, match="follow"):
        amf3.decode(data + b"\0")


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ("07 09 3c612f3e", Xml("<a/>")),  # XML document of ActionScript 2
        ("09 03 03 61 04 01 01 04 02", EcmaArray({"a": 1, "0": 2})),  # names and ordinal items
        ("0a 1b 03 43 03 78 04 01 03 79 04 02 01", TypedObject("C", [("x", 1), ("y", 2)])),  # sealed and dynamic
        ("09 05 01 08 01" + DOUBLE + "08 02", [Date(1.5), Date(1.5)]),  # references to complex values
        ("09 05 01 0c 03 41 0c 02", [b"A", b"A"]),
        ("09 05 01 0d 03 00 00000001 0d 02", [Vector("int", [1])] * 2),
        ("09 05 01 0b 03 41 07 02", [Xml("A")] * 2),
        ("09 05 01 11 01 00 11 02", [Dictionary()] * 2),
        ("09 05 01 0a 0b 01 01 0a 02", [{}, {}]),
        ("09 05 01 10 01 00 01 10 02", [Vector(""), Vector("")]),
        ("04 80 80 80 00", 0),  # longer than needed
        ("06 05 ff 41", "�A"),
    ],
)
def test_other_forms_are_read(wire: str, value: Any) -> None:
    found = amf3.decode(bytes.fromhex(wire))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ("0a 07 03 43", "externalizable"),
        ("12", "marker 18"),
        ("ff", "marker 255"),
        ("06 00", "string reference"),
        ("0a 01", "traits reference"),
        ("08 00", "reference names no finished"),
        ("09 03 01 09 00", "reference names no finished"),  # an array that holds itself
        ("0a 0b 01 03 61 0a 00 01", "reference names no finished"),  # an object that holds itself
        ("11 03 00 11 00 01", "reference names no finished"),
        ("10 03 00 01 10 00", "reference names no finished"),
        ("09 ffffffff", "more items"),
        ("10 ffffffff 00 01", "more items"),
        ("11 ffffffff 00", "more items"),
        ("0d ffffffff 00", "more than"),
        ("0f bfffff01 00", "more than"),
        ("06 ffffffff", "longer than"),
        ("0c ffffffff", "longer than"),
        ("0b ffffffff", "longer than"),
        ("0a ffffffffff 01", "past the end|externalizable|more than"),
        ("0a bfffffff f3 01", "externalizable"),
        ("0a 8180 33 01", "more than|more items|past the end"),
    ],
)
def test_what_is_refused(wire: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        amf3.decode(bytes.fromhex(wire))


@pytest.mark.parametrize(
    "opener", [b"\x09\x03\x01", b"\x0a\x0b\x01\x03a", b"\x10\x03\x00\x01", b"\x11\x03\x00\x01", b"\x09\x01\x03a"]
)
def test_nesting_is_capped(opener: bytes) -> None:
    with pytest.raises(ParseError, match="nest"):
        amf3.decode(opener * 100_000)


def test_references_cannot_multiply_beyond_the_cap() -> None:
    # Object 0 is the outermost and open; a finished one is multiplied level by level.
    bomb = b"\x09\x1b\x01" + b"\x09\x81\x49\x01" + b"\x01" * 100
    for level in range(1, 13):
        bomb += b"\x09\x15\x01" + (b"\x09" + bytes((level << 1,))) * 10
    with pytest.raises(ParseError, match="more than"):
        amf3.decode(bomb)


def test_text_that_is_referred_to_counts_again() -> None:
    text = amf3.encode("x" * 500_000)
    count = 4000
    bomb = b"\x09" + bytes((count << 1 >> 7 | 0x80, (count << 1 | 1) & 0x7F)) + b"\x01" + text + b"\x06\x00" * count
    with pytest.raises(ParseError, match="more than"):
        amf3.decode(bomb)


def test_amf0_switches_to_amf3_for_one_value() -> None:
    data = amf0.encode("onMetaData") + b"\x11" + amf3.encode({"width": 1280, "list": Vector("int", [1])})
    data += amf0.encode(5.0)
    assert amf0.decode_all(data) == ["onMetaData", {"width": 1280, "list": Vector("int", [1])}, 5.0]


def test_the_tables_of_amf3_last_for_the_message() -> None:
    data = b"\x11" + amf3.encode("abc") + b"\x05\x11\x06\x00"
    assert amf0.decode_all(data) == ["abc", None, "abc"]


def test_amf0_inside_and_around_amf3_share_depth_and_count() -> None:
    opener = b"\x0a\x00\x00\x00\x01"
    with pytest.raises(ParseError, match="nest"):
        amf0.decode_all(opener * 20 + b"\x11" + b"\x09\x03\x01" * 20 + b"\x01")
    values = b"\x11\x09\x01\x01" * (amf.MAX_VALUES // 2 + 1)
    with pytest.raises(ParseError, match="more than"):
        amf0.decode_all(values)


def test_amf0_writes_what_only_amf3_can_name() -> None:
    values = [b"\x00\x01", Vector("double", [1.0, 2.5]), Dictionary([(b"k", [1, 2.5])]), {"in": b"side"}]
    assert amf0.decode_all(amf0.encode(*values)) == values


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(TypeError):
        amf3.encode(object())
    with pytest.raises(ValueError, match="vector"):
        amf3.encode(Vector("int", [1 << 40]))
    value: Any = 1
    for _ in range(amf.MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(ValueError, match="nest"):
        amf3.encode(value)
    shared = ["x" * 60_000] * 1000
    with pytest.raises(ValueError, match="bytes"):
        amf0.encode(shared)
    with pytest.raises(ValueError, match="bytes"):
        amf3.encode([Xml("x" * 60_000)] * 1000)


def test_a_class_of_very_many_members_is_written_as_dynamic() -> None:
    value = TypedObject("C", [(f"m{number}", number) for number in range(amf3.MAX_MEMBERS + 1)])
    assert amf3.decode(amf3.encode(value)) == value


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
_NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
_LEAF = st.one_of(
    st.floats(allow_nan=False), st.integers(-(1 << 28), (1 << 28) - 1), st.booleans(), _TEXT, st.none(),
    st.just(UNDEFINED), st.builds(Date, st.floats(allow_nan=False)), st.binary(max_size=9), st.builds(Xml, _TEXT),
    st.builds(Vector, st.just("uint"), st.lists(st.integers(0, (1 << 32) - 1), max_size=4), fixed=st.booleans()),
)  # fmt: skip
_VALUE = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(_NAME, inner, max_size=4),
        st.dictionaries(_NAME, inner, min_size=1, max_size=4).map(EcmaArray),
        st.builds(lambda name, values: TypedObject(name, values.items()), _NAME, st.dictionaries(_NAME, inner)),
        st.builds(Vector, _TEXT.filter(lambda t: t not in ("int", "uint", "double")), st.lists(inner, max_size=3)),
        st.builds(Dictionary, st.lists(st.tuples(inner, inner), max_size=3), weak=st.booleans()),
    ),
    max_leaves=12,
)


@given(_VALUE)
@settings(max_examples=200)
def test_round_trip(value: Any) -> None:
    data = amf3.encode(value)
    assert amf3.decode(data) == value
    assert amf3.encode(amf3.decode(data)) == data
    assert amf0.decode_all(amf0.encode("name", value, 1.0)) == ["name", value, 1.0]
