"""NAL unit payloads into the canonical form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs.nal import join_lengths, split_lengths
from evotools.containers.flv.payloads import nal_payload
from evotools.errors import ParseError

_NAL = st.binary(min_size=1, max_size=40).map(lambda tail: b"\x65" + tail)


def test_the_canonical_form_is_not_copied() -> None:
    payload = join_lengths([b"\x65abc", b"\x65def"])
    assert nal_payload(payload, "h264", 4) is payload


@given(st.lists(_NAL, min_size=1, max_size=5), st.integers(1, 4), st.lists(st.integers(0, 4), max_size=3))
def test_any_length_size_and_empty_units(nals: list[bytes], size: int, empties: list[int]) -> None:
    units = list(nals)
    for position in empties:
        units.insert(min(position, len(units)), b"")
    payload = b"".join(len(nal).to_bytes(size, "big") + nal for nal in units)
    assert split_lengths(nal_payload(payload, "h264", size)) == nals


@given(st.binary(max_size=60), st.integers(1, 4))
def test_anything_gives_a_payload_or_the_declared_error(data: bytes, size: int) -> None:
    try:
        payload = nal_payload(data, "h265", size)
    except ParseError:
        return
    assert join_lengths(split_lengths(payload)) == payload


def test_only_the_delimiter_of_the_codec_goes() -> None:
    aud, slice_ = b"\x46\x01\x50", b"\x26\x01abc"
    assert nal_payload(join_lengths([aud, slice_]), "h265", 4) == join_lengths([slice_])
    # The same first byte is a reference SEI in H.264, not a delimiter.
    assert nal_payload(join_lengths([aud, b"\x65abc"]), "h264", 4) == join_lengths([aud, b"\x65abc"])


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x00\x00\x00", b"\x00\x00\x00\x05abc"])
def test_nothing_usable_is_an_error(data: bytes) -> None:
    with pytest.raises(ParseError):
        nal_payload(data, "h264", 4)
