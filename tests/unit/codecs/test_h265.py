from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs import h265
from evotools.errors import ParseError
from tests.unit.codecs import vectors
from tests.unit.codecs.fuzzing import ROUNDS, fuzz
from tests.unit.codecs.syntax import h265_pps, h265_slice, h265_sps, h265_vps, sei

WINDOW_UNITS = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}
HDR_SEI = sei(137, bytes(24), b"\x4e\x01")


@given(
    sub_layers=st.integers(1, 7),
    chroma=st.integers(0, 3),
    depth=st.integers(8, 16),
    size=st.tuples(st.integers(64, 16888), st.integers(64, 16888)),
    window=st.tuples(*[st.integers(0, 7)] * 4),
    flags=st.fixed_dictionaries({name: st.booleans() for name in ("scaling", "ref_sets", "long_term", "pcm", "hrd")}),
    timing=st.none() | st.tuples(st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1)),
    reorder=st.integers(0, 4),
    segmentation=st.integers(0, 4095),
    ids=st.tuples(st.integers(0, 15), st.integers(0, 15)),
)
def test_every_combination_of_fields(  # type: ignore[no-untyped-def]
    sub_layers, chroma, depth, size, window, flags, timing, reorder, segmentation, ids
) -> None:
    sps = h265.parse_sps(
        h265_sps(
            sub_layers=sub_layers, chroma=chroma, depth=depth, size=size, window=window, timing=timing, reorder=reorder,
            segmentation=segmentation, sps_id=ids[0], vps_id=ids[1], **flags,
        )
    )  # fmt: skip
    unit_x, unit_y = WINDOW_UNITS[chroma]
    assert (sps.id, sps.vps_id, sps.max_sub_layers, sps.temporal_id_nested) == (*ids, sub_layers, True)
    assert sps.width == size[0] - (window[0] + window[1]) * unit_x
    assert sps.height == size[1] - (window[2] + window[3]) * unit_y
    assert (sps.chroma_format_idc, sps.bit_depth, sps.max_num_reorder) == (chroma, depth, reorder)
    assert (sps.ptl.profile_idc, sps.ptl.level_idc, sps.ptl.constraints) == (1, 93, 0x900000000000)
    assert sps.min_spatial_segmentation == segmentation
    assert (sps.colour_primaries, sps.transfer_characteristics, sps.matrix_coefficients) == (9, 16, 9)
    assert sps.sample_aspect_ratio == Fraction(4, 3)
    fps = Fraction(timing[1], timing[0]) if timing else None
    assert sps.fps == (fps if fps is not None and fps < 1000 else None)


@pytest.mark.parametrize(
    ("config", "profile", "string", "depth"),
    [
        (vectors.HVCC_MAIN, "Main", "hvc1.1.6.L60.90", 8),
        (vectors.HVCC_MAIN10, "Main 10", "hvc1.2.4.L60.90", 10),
        (vectors.HVCC_422, "Rext", "hvc1.4.10.L60.9D.8", 8),
    ],
    ids=["main", "main10", "422"],
)
def test_what_x265_wrote(config: bytes, profile: str, string: str, depth: int) -> None:
    record = h265.parse_hvcc(config)
    sps = h265.parse_sps(record.sps[0])
    assert (sps.width, sps.height, sps.fps, sps.profile) == (322, 242, Fraction(30000, 1001), profile)
    assert (record.bit_depth, sps.bit_depth, sps.ptl) == (depth, depth, record.ptl)
    assert sps.ptl.level == "2.0"
    assert h265.codec_string(config) == string
    vps = h265.parse_vps(record.vps[0])
    assert (vps.max_sub_layers, vps.ptl) == (sps.max_sub_layers, sps.ptl)


def test_hvcc_as_libav_writes_it() -> None:
    record = h265.parse_hvcc(vectors.HVCC_MAIN)
    assert h265.build_hvcc(record.vps, record.sps, record.pps) == vectors.HVCC_MAIN


def test_codec_string_of_the_standards_example() -> None:
    # ISO/IEC 14496-15 E.3: Main, compatible with Main and Main 10, level 3.1.
    config = bytes.fromhex("01 01 60000000 B00000000000 5D F000FCFDF8F800000F00")
    assert h265.codec_string(config) == "hvc1.1.6.L93.B0"
    high = bytes.fromhex("01 62 20000000 000000000000 99 F000FCFDF8F800000F00")
    assert h265.codec_string(high) == "hvc1.A2.4.H153"


@given(
    vps=st.lists(st.integers(0, 15), max_size=3, unique=True),
    sps=st.lists(st.integers(0, 15), min_size=1, max_size=4, unique=True),
    pps=st.lists(st.integers(0, 63), max_size=5, unique=True),
    with_sei=st.booleans(),
)
def test_hvcc_round_trip(vps: list[int], sps: list[int], pps: list[int], with_sei: bool) -> None:
    vps_units = tuple(h265_vps(vps_id=index) for index in vps)
    sps_units = tuple(h265_sps(sps_id=index, depth=10, sub_layers=3) for index in sps)
    pps_units = tuple(h265_pps(index, sps[0]) for index in pps)
    extra = (HDR_SEI,) if with_sei else ()
    config = h265.parse_hvcc(h265.build_hvcc(vps_units, sps_units, pps_units, extra))
    assert (config.vps, config.sps, config.pps, config.sei) == (vps_units, sps_units, pps_units, extra)
    assert (config.num_temporal_layers, config.temporal_id_nested, config.length_size) == (3, True, 4)
    assert (config.bit_depth, config.bit_depth_chroma, config.chroma_format_idc) == (10, 10, 1)
    assert all(complete for kind, complete, _ in config.arrays if kind != h265.NAL_SEI_PREFIX)


@pytest.mark.parametrize(
    ("pps", "parallelism"),
    [({}, 1), ({"tiles": True}, 2), ({"wavefronts": True}, 3), ({"tiles": True, "wavefronts": True}, 0)],
)
def test_parallelism_is_told_with_spatial_segmentation(pps: dict[str, bool], parallelism: int) -> None:
    record = h265.build_hvcc([], [h265_sps(segmentation=20)], [h265_pps(**pps)])
    config = h265.parse_hvcc(record)
    assert (config.min_spatial_segmentation, config.parallelism) == (20, parallelism)


def test_vps_timing() -> None:
    vps = h265.parse_vps(h265_vps(vps_id=3, sub_layers=4, timing=(1001, 60000)))
    assert (vps.id, vps.max_sub_layers, vps.fps) == (3, 4, Fraction(60000, 1001))
    assert h265.parse_vps(h265_vps()).fps is None


def test_a_cut_vui_keeps_what_stands_before_the_cut() -> None:
    whole = h265_sps(timing=(1, 50), hrd=True)
    for cut in range(1, 12):
        sps = h265.parse_sps(whole[:-cut])
        assert (sps.width, sps.height, sps.fps) == (320, 240, 50)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        h265_vps(),
        h265_sps()[:8],
        h265_sps(size=(17000, 240)),
        h265_sps(size=(0, 240)),
        h265_sps(sps_id=16),
        h265_sps(size=(16, 16), window=(4, 4, 0, 0)),
        h265_sps(depth=17),
        h265_sps(reorder=5),
        b"\x42\x09" + h265_sps()[2:],
    ],
)
def test_broken_sequence_parameter_sets(broken: bytes) -> None:
    with pytest.raises(ParseError):
        h265.parse_sps(broken)


@pytest.mark.parametrize("sets", [([], [], []), ([], [b"\x42\x01"], []), ([], [h265_sps()], [h265_pps()] * 513)])
def test_hvcc_refuses_what_it_cannot_say(sets: tuple[list[bytes], list[bytes], list[bytes]]) -> None:
    with pytest.raises(ParseError):
        h265.build_hvcc(*sets)


def test_keyframes() -> None:
    for kind in range(16, 22):
        assert h265.is_keyframe([HDR_SEI, h265_slice(kind)])
    for kind in (0, 1, 8, 9, 22, 39):
        assert not h265.is_keyframe([h265_slice(kind)])
    assert h265.is_idr([h265_slice(19)])
    assert h265.is_idr([h265_slice(20)])
    assert not h265.is_idr([h265_slice(21)])


def test_slices_name_their_parameter_set() -> None:
    assert h265.slice_pps_id(h265_slice(1, 5)) == 5
    assert h265.slice_pps_id(h265_slice(19, 63)) == 63
    assert h265.parse_pps_ids(h265_pps(7, 3)) == (7, 3)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize(
    ("parser", "seeds"),
    [
        (
            h265.parse_sps,
            [
                h265_sps(scaling=True, hrd=True, timing=(1, 50), ref_sets=True, long_term=True, pcm=True, sub_layers=3),
                h265_sps(),
            ],
        ),
        (h265.parse_vps, [h265_vps(timing=(1, 25), sub_layers=2)]),
        (h265.parse_hvcc, [vectors.HVCC_MAIN, vectors.HVCC_422]),
        (h265.codec_string, [vectors.HVCC_MAIN]),
        (h265.parse_pps_ids, [h265_pps(60, 3)]),
        (h265.slice_pps_id, [h265_slice()]),
        (lambda data: h265.build_hvcc([], [h265_sps(segmentation=1)], [data]), [h265_pps()]),
    ],
)
def test_only_parse_errors(parser, seeds: list[bytes], rounds: int) -> None:  # type: ignore[no-untyped-def]
    fuzz(parser, seeds, rounds)
