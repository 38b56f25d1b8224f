"""PES headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.containers.mpegts.packet import WRAP
from evotools.containers.mpegts.pes import parse_pes, pes_header, pes_size
from evotools.errors import ParseError

# From FFmpeg: video, PTS 133200 and DTS 126000, no length.
REAL = bytes.fromhex("000001e0000080c00a31000910a1110007d861")


@given(st.integers(-WRAP, 2 * WRAP), st.integers(-WRAP, 2 * WRAP), st.integers(0, 70_000))
def test_round_trip(pts: int, dts: int, size: int) -> None:
    data = pes_header(0xE0, size, pts, dts) + bytes(size)
    pes = parse_pes(data)
    assert (pes.stream_id, pes.pts, pes.dts) == (0xE0, pts % WRAP, dts % WRAP)
    assert data[pes.offset :] == bytes(size)
    assert pes_size(data) == (len(data) if len(data) - 6 <= 0xFFFF else 0)


def test_real_header() -> None:
    pes = parse_pes(REAL)
    assert (pes.pts, pes.dts, pes.offset) == (133_200, 126_000, 19)
    assert pes_size(REAL) == 0


def test_wrong_marker_bits_are_tolerated() -> None:
    data = bytearray(pes_header(0xC0, 0, 5, 5))
    data[9] &= 0x0E
    assert parse_pes(bytes(data)).pts == 5


def test_streams_without_a_header_extension() -> None:
    assert parse_pes(b"\0\0\1\xbe\0\4abcd").offset == 6
    assert parse_pes(b"\0\0\1\xbf\0\4abcd").pts is None


def test_no_time_stamps() -> None:
    pes = parse_pes(b"\0\0\1\xe0\0\0\x80\0\0abc")
    assert (pes.pts, pes.dts, pes.offset) == (None, None, 9)


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\1", b"\0\0\2\xe0\0\0\x80\0\0", b"\0\0\1\xe0\0\0\x80\0", b"\0\0\1\xe0\0\0\x80\x80\x05\x21",
             b"\0\0\1\xe0\0\0\x40\0\0"],
)  # fmt: skip
def test_broken_headers(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse_pes(data)
