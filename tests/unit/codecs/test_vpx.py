from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs import vp8, vp9
from evotools.errors import ParseError
from tests.unit.codecs import vectors
from tests.unit.codecs.fuzzing import ROUNDS, fuzz

NTSC = Fraction(30000, 1001)


def test_what_libvpx_vp9_wrote() -> None:
    header = vp9.parse_frame_header(vectors.VP9_KEY)
    assert (header.profile, header.key, header.show, header.width, header.height) == (0, True, True, 322, 242)
    assert header.bit_depth == 8
    assert vp9.build_vpcc(header, NTSC) == vectors.VPCC_P0
    assert vp9.codec_string(vectors.VPCC_P0) == "vp09.00.20.08"
    header = vp9.parse_frame_header(vectors.VP9_KEY_P3)
    assert (header.profile, header.bit_depth, header.chroma, header.width) == (3, 10, vp9.CHROMA_422, 322)
    assert vp9.build_vpcc(header, NTSC) == vectors.VPCC_P3
    assert vp9.codec_string(vectors.VPCC_P3) == "vp09.03.20.10.02.02.02.02.00"


def test_frames_that_are_no_key_frames() -> None:
    inter = vp9.parse_frame_header(b"\x86\x00\x40\x92")
    assert (inter.key, inter.show, inter.width) == (False, True, 0)
    existing = vp9.parse_frame_header(b"\x88\x00")
    assert (existing.key, existing.show_existing) == (False, True)
    assert vp9.is_keyframe(vectors.VP9_KEY)
    assert not vp9.is_keyframe(b"\x86\x00")
    assert not vp9.is_keyframe(b"")
    with pytest.raises(ParseError):
        vp9.build_vpcc(inter)


@pytest.mark.parametrize(
    ("size", "fps", "level"),
    [((320, 180), 24, 11), ((640, 360), 30, 21), ((1280, 720), 30, 31), ((1920, 1080), 30, 40),
     ((1920, 1080), 60, 41), ((3840, 2160), 30, 50), ((3840, 2160), 60, 51), ((16384, 8704), 120, 62)],
)  # fmt: skip
def test_levels(size: tuple[int, int], fps: int, level: int) -> None:
    assert vp9.level_for(*size, Fraction(fps)) == level


@given(
    st.builds(
        vp9.VpcConfig, st.integers(0, 3), st.integers(10, 62), st.sampled_from([8, 10, 12]), st.integers(0, 3),
        st.booleans(), st.integers(0, 255), st.integers(0, 255), st.integers(0, 255),
    )
)  # fmt: skip
def test_vpcc_round_trip(config: vp9.VpcConfig) -> None:
    assert vp9.parse_vpcc(vp9.pack_vpcc(config)) == config


def test_vp9_codec_string_long_form() -> None:
    config = vp9.pack_vpcc(vp9.VpcConfig(2, 10, 10, 1, False, 9, 16, 9))
    assert vp9.codec_string(config) == "vp09.02.10.10.01.09.16.09.00"
    assert vp9.codec_string(vp9.pack_vpcc(vp9.VpcConfig(0, 31, 8, 0, False, 1, 1, 1))) == "vp09.00.31.08"


@pytest.mark.parametrize("frame", ["", "02", "b8", "824983", "82000000", "824983e2", "824983e0"])
def test_broken_vp9(frame: str) -> None:
    with pytest.raises(ParseError):
        vp9.parse_frame_header(bytes.fromhex(frame))


def test_what_libvpx_vp8_wrote() -> None:
    assert vp8.parse_frame_header(vectors.VP8_KEY) == (True, 0, True, 322, 242)
    assert vp8.is_keyframe(vectors.VP8_KEY)
    assert vp8.parse_frame_header(b"\x31\x02\x00") == (False, 0, True, 0, 0)
    assert not vp8.is_keyframe(b"\x31\x02\x00")
    assert not vp8.is_keyframe(b"")
    assert vp8.codec_string() == "vp8"


@pytest.mark.parametrize(
    "frame", ["", "f072", "f07200", "f072009d012b4201f200", "f072009d012a0000f200", "fe72009d012a4201f200"]
)
def test_broken_vp8(frame: str) -> None:
    with pytest.raises(ParseError):
        vp8.parse_frame_header(bytes.fromhex(frame))


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize(
    ("parser", "seeds"),
    [
        (vp9.parse_frame_header, [vectors.VP9_KEY, vectors.VP9_KEY_P3]),
        (vp9.parse_vpcc, [vectors.VPCC_P0]),
        (vp9.codec_string, [vectors.VPCC_P3]),
        (vp8.parse_frame_header, [vectors.VP8_KEY]),
    ],
)
def test_only_parse_errors(parser, seeds: list[bytes], rounds: int) -> None:  # type: ignore[no-untyped-def]
    fuzz(parser, seeds, rounds)
