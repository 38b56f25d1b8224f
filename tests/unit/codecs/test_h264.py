from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs import h264
from evotools.codecs.bits import BitWriter
from evotools.errors import ParseError
from tests.unit.codecs import vectors
from tests.unit.codecs.fuzzing import ROUNDS, fuzz
from tests.unit.codecs.syntax import h264_pps, h264_slice, h264_sps, sei

CROP_UNITS = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}


@given(
    chroma=st.sampled_from([0, 1, 2, 3]),
    depth=st.integers(8, 14),
    scaling=st.booleans(),
    poc_type=st.sampled_from([0, 1, 2]),
    mbs=st.tuples(st.integers(8, 1000), st.integers(8, 500)),
    interlaced=st.booleans(),
    crop=st.tuples(*[st.integers(0, 8)] * 4),
    timing=st.none() | st.tuples(st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1)),
    hrd=st.booleans(),
    reorder=st.none() | st.tuples(st.integers(0, 4), st.integers(4, 16)),
    sps_id=st.integers(0, 31),
)
def test_every_combination_of_fields(  # type: ignore[no-untyped-def]
    chroma, depth, scaling, poc_type, mbs, interlaced, crop, timing, hrd, reorder, sps_id
) -> None:
    sps = h264.parse_sps(
        h264_sps(
            profile=244, chroma=chroma, depth=depth, scaling=scaling, poc_type=poc_type, mbs=mbs, interlaced=interlaced,
            crop=crop, timing=timing, hrd=hrd, reorder=reorder, sps_id=sps_id,
        )
    )  # fmt: skip
    unit_x, unit_y = CROP_UNITS[chroma]
    fields = 2 if interlaced else 1
    assert sps.id == sps_id
    assert sps.width == mbs[0] * 16 - (crop[0] + crop[1]) * unit_x
    assert sps.height == (mbs[1] * 16 - (crop[2] + crop[3]) * unit_y) * fields
    assert (sps.chroma_format_idc, sps.bit_depth, sps.poc_type) == (chroma, depth, poc_type)
    assert sps.frame_mbs_only is not interlaced
    assert (sps.colour_primaries, sps.transfer_characteristics, sps.matrix_coefficients) == (9, 16, 9)
    assert sps.full_range
    fps = Fraction(timing[1], 2 * timing[0]) if timing else None
    assert sps.fps == (fps if fps is not None and fps < 1000 else None)
    assert sps.max_num_reorder == (reorder[0] if reorder else 0 if poc_type == 2 else None)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (vectors.AVCC_HIGH, (322, 242, Fraction(30000, 1001), "High", "1.3", True, 2)),
        (vectors.AVCC_INTERLACED, (720, 572, Fraction(25), "High", "3.0", False, 2)),
        (vectors.AVCC_422, (322, 242, Fraction(30000, 1001), "High 4:2:2", "1.3", True, 0)),
        (vectors.AVCC_444, (322, 242, Fraction(30000, 1001), "High 4:4:4 Predictive", "1.3", True, 0)),
        (vectors.AVCC_10BIT, (322, 242, Fraction(30000, 1001), "High 10", "1.3", True, 0)),
    ],
    ids=["high", "interlaced", "422", "444", "10bit"],
)  # fmt: skip
def test_what_x264_wrote(config: bytes, expected: tuple[object, ...]) -> None:
    record = h264.parse_avcc(config)
    sps = h264.parse_sps(record.sps[0])
    found = (sps.width, sps.height, sps.fps, sps.profile, sps.level, sps.frame_mbs_only, sps.max_num_reorder)
    assert found == expected
    assert record.length_size == 4
    assert h264.build_avcc(record.sps, record.pps) == config


def test_codec_strings() -> None:
    assert h264.codec_string(vectors.AVCC_HIGH) == "avc1.64000D"
    assert h264.codec_string(h264.build_avcc([h264_sps(profile=66, flags=0xC0, level=30)], [])) == "avc1.42C01E"
    with pytest.raises(ParseError):
        h264.codec_string(b"\x01\x64")


def test_a_baseline_stream_does_not_reorder() -> None:
    sps = h264.parse_sps(h264_sps(profile=66, flags=0x40, poc_type=0, vui=False))
    assert (sps.profile, sps.max_num_reorder, sps.fps) == ("Constrained Baseline", 0, None)


def test_sample_aspect_ratio() -> None:
    assert h264.parse_sps(h264_sps(sar=(64, 45))).sample_aspect_ratio == Fraction(64, 45)
    assert h264.parse_sps(h264_sps(sar=(0, 45))).sample_aspect_ratio is None


def test_a_cut_vui_keeps_what_stands_before_the_cut() -> None:
    whole = h264_sps(timing=(1, 50), hrd=True)
    for cut in range(1, 12):
        sps = h264.parse_sps(whole[:-cut])
        assert (sps.width, sps.height, sps.fps) == (320, 240, 25)


def test_level_1b() -> None:
    assert h264.parse_sps(h264_sps(profile=66, flags=0x10, level=11)).level == "1b"
    assert h264.parse_sps(h264_sps(profile=100, level=9)).level == "1b"
    assert h264.parse_sps(h264_sps(level=31)).level == "3.1"


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\x68\xce\x38\x80",
        h264_sps()[:6],
        h264_sps(mbs=(1100, 10)),
        h264_sps(sps_id=32),
        h264_sps(mbs=(1, 1), crop=(4, 4, 0, 0)),
        h264_sps(depth=15),
    ],
)
def test_broken_sequence_parameter_sets(broken: bytes) -> None:
    with pytest.raises(ParseError):
        h264.parse_sps(broken)


@given(
    sps=st.lists(st.integers(0, 31), min_size=1, max_size=5, unique=True),
    pps=st.lists(st.integers(0, 255), max_size=8, unique=True),
    profile=st.sampled_from([66, 77, 100, 110]),
)
def test_avcc_round_trip(sps: list[int], pps: list[int], profile: int) -> None:
    sps_units = tuple(h264_sps(sps_id=index, profile=profile) for index in sps)
    pps_units = tuple(h264_pps(index, sps[0]) for index in pps)
    record = h264.build_avcc(sps_units, pps_units)
    config = h264.parse_avcc(record)
    assert (config.sps, config.pps, config.profile_idc, config.length_size) == (sps_units, pps_units, profile, 4)
    assert [h264.parse_pps_ids(unit) for unit in config.pps] == [(index, sps[0]) for index in pps]


def test_avcc_without_the_high_profile_tail_and_without_sets() -> None:
    assert h264.parse_avcc(vectors.AVCC_HIGH[:-4]).pps == h264.parse_avcc(vectors.AVCC_HIGH).pps
    empty = h264.parse_avcc(b"\x01\x64\x00\x1f\xfd\xe0\x00")
    assert (empty.sps, empty.pps, empty.length_size) == ((), (), 2)
    extension = b"\x6d\xc0"
    with_extension = h264.build_avcc([h264_sps()], [h264_pps()], [extension])
    assert h264.parse_avcc(with_extension).sps_ext == (extension,)


@pytest.mark.parametrize("sets", [([], []), ([h264_sps()] * 32, []), ([h264_sps()], [h264_pps()] * 256), ([b"x"], [])])
def test_avcc_refuses_what_it_cannot_say(sets: tuple[list[bytes], list[bytes]]) -> None:
    with pytest.raises(ParseError):
        h264.build_avcc(*sets)


def test_keyframes() -> None:
    recovery = sei(6, b"\x84")
    captions = sei(4, b"\xb5\x00\x31" + bytes(300))
    idr, intra, predicted = h264_slice(5), h264_slice(1, 7), h264_slice(1, 5)
    assert h264.is_keyframe([captions, idr])
    assert h264.is_idr([captions, idr])
    assert h264.is_keyframe([recovery, intra, intra])
    assert h264.is_keyframe([h264_sps(), h264_pps(), intra])
    assert not h264.is_idr([recovery, intra])
    assert not h264.is_keyframe([recovery, intra, predicted])
    assert not h264.is_keyframe([captions, intra])
    assert not h264.is_keyframe([recovery])
    assert not h264.is_keyframe([predicted])
    assert not h264.is_keyframe([])


def test_a_recovery_point_behind_another_message_is_found() -> None:
    two = sei(4, bytes(260))[:-1] + b"\x06\x01\x84\x80"
    assert h264.is_keyframe([two, h264_slice(1, 7)])


def test_slice_headers() -> None:
    assert h264.parse_slice(h264_slice(1, 5, 7)) == (0, 5, 7)
    far = BitWriter().u(8, 0x41).ue(139263).ue(2).ue(255).trailing().getvalue()
    assert h264.parse_slice(far) == (139263, 2, 255)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize(
    ("parser", "seeds"),
    [
        (h264.parse_sps, [h264_sps(scaling=True, hrd=True, timing=(1, 50), reorder=(1, 4), poc_type=1), h264_sps()]),
        (h264.parse_avcc, [vectors.AVCC_HIGH, vectors.AVCC_INTERLACED]),
        (h264.codec_string, [vectors.AVCC_HIGH]),
        (h264.parse_pps_ids, [h264_pps(200, 3)]),
        (h264.parse_slice, [h264_slice()]),
        (lambda data: h264.build_avcc([data], [data]), [h264_sps()]),
        (lambda data: h264.is_keyframe([data, h264_slice(1, 7)]), [sei(6, b"\x84"), sei(300, bytes(300))]),
    ],
)
def test_only_parse_errors(parser, seeds: list[bytes], rounds: int) -> None:  # type: ignore[no-untyped-def]
    fuzz(parser, seeds, rounds)
