import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs.bits import BitReader, BitWriter
from evotools.errors import ParseError

FIELDS = st.lists(
    st.one_of(
        st.tuples(st.just("u"), st.integers(1, 64)).flatmap(
            lambda kind: st.tuples(st.just("u"), st.just(kind[1]), st.integers(0, 2 ** kind[1] - 1))
        ),
        st.tuples(st.just("ue"), st.just(0), st.integers(0, 2**32 - 2)),
        st.tuples(st.just("se"), st.just(0), st.integers(-(2**31) + 1, 2**31 - 1)),
        st.tuples(st.just("bytes"), st.just(0), st.binary(max_size=8)),
    ),
    max_size=20,
)


@given(FIELDS)
def test_reads_back_what_was_written(fields: list[tuple[str, int, int | bytes]]) -> None:
    out = BitWriter()
    for kind, width, value in fields:
        if isinstance(value, bytes):
            out.bytes_(value)
        elif kind == "u":
            out.u(width, value)
        else:
            getattr(out, kind)(value)
    bits = BitReader(out.getvalue())
    for kind, width, value in fields:
        if isinstance(value, bytes):
            assert bits.bytes_(len(value)) == value
        elif kind == "u":
            assert bits.u(width) == value
        else:
            assert getattr(bits, kind)() == value
    assert bits.position == out.position
    assert 0 <= bits.bits_left < 8


@pytest.mark.parametrize(("code", "value", "signed"), [("1", 0, 0), ("010", 1, 1), ("011", 2, -1), ("00111", 6, -3)])
def test_exp_golomb_examples_of_the_standard(code: str, value: int, signed: int) -> None:
    data = int(code.ljust(8, "0"), 2).to_bytes(1, "big")
    assert BitReader(data).ue() == value
    assert BitReader(data).se() == signed


@pytest.mark.parametrize("read", [lambda b: b.u(9), lambda b: b.skip(9), lambda b: b.bytes_(2), lambda b: b.ue()])
def test_reads_past_the_end_are_parse_errors(read) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ParseError):
        read(BitReader(b"\0"))


def test_an_overlong_exp_golomb_code_is_refused() -> None:
    with pytest.raises(ParseError, match="too long"):
        BitReader(bytes(20)).ue()


def test_alignment() -> None:
    bits = BitReader(b"\x80\xff")
    bits.byte_align()
    assert bits.position == 0
    assert bits.flag()
    bits.byte_align()
    assert bits.u(8) == 0xFF
    with pytest.raises(ParseError):
        bits.flag()


def test_the_writer_refuses_values_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        BitWriter().u(3, 8)
