from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs import av1
from evotools.codecs.bits import BitWriter
from evotools.errors import ParseError
from tests.unit.codecs import vectors
from tests.unit.codecs.fuzzing import ROUNDS, fuzz


def obu(kind: int, payload: bytes, *, size: bool = True, layers: tuple[int, int] | None = None) -> bytes:
    head = bytes((kind << 3 | (layers is not None) << 2 | size << 1,))
    if layers:
        head += bytes((layers[0] << 5 | layers[1] << 3,))
    return head + (av1.leb128(len(payload)) if size else b"") + payload


def sequence_header(
    *,
    profile: int = 0,
    reduced: bool = False,
    timing: tuple[int, int, int] | None = None,
    model: bool = False,
    points: tuple[tuple[int, int], ...] = ((8, 0),),
    size: tuple[int, int] = (1920, 1080),
    frame_ids: bool = False,
    order_hint: bool = True,
    screen: int = 2,
    depth: int = 8,
    mono: bool = False,
    chroma: tuple[int, int] = (1, 1),
    position: int = 0,
    colours: tuple[int, int, int] | None = None,
    full_range: bool = False,
    grain: bool = False,
) -> bytes:
    """A sequence header OBU, written field by field (5.5)."""
    out = BitWriter().u(3, profile).flag(reduced).flag(reduced)
    if reduced:
        out.u(5, points[0][0])
    else:
        out.flag(timing is not None)
        if timing:
            out.u(32, timing[0]).u(32, timing[1]).flag(True).ue(timing[2])
            out.flag(model)
            if model:
                out.u(5, 9).u(32, 1).u(5, 3).u(5, 4)
        out.flag(True).u(5, len(points) - 1)
        for level, tier in points:
            out.u(12, 0x101).u(5, level)
            if level > 7:
                out.u(1, tier)
            if timing and model:
                out.flag(True).u(10, 1).u(10, 2).flag(False)
            out.flag(True).u(4, 3)
    bits = (max(size) - 1).bit_length()
    out.u(4, bits - 1).u(4, bits - 1).u(bits, size[0] - 1).u(bits, size[1] - 1)
    if not reduced:
        out.flag(frame_ids)
        if frame_ids:
            out.u(7, 0x55)
    out.u(3, 5)
    if not reduced:
        out.u(4, 9).flag(order_hint)
        if order_hint:
            out.u(2, 3)
        out.flag(screen == 2)
        if screen != 2:
            out.u(1, screen)
        if screen:
            out.flag(False).flag(True)
        if order_hint:
            out.u(3, 6)
    out.u(3, 5)
    out.flag(depth > 8)
    if profile == 2 and depth > 8:
        out.flag(depth == 12)
    if profile != 1:
        out.flag(mono)
    out.flag(colours is not None)
    if colours:
        for value in colours:
            out.u(8, value)
    if mono:
        out.flag(full_range)
    else:
        if colours != (1, 13, 0):
            out.flag(full_range)
            if profile == 2 and depth == 12:
                out.flag(bool(chroma[0]))
                if chroma[0]:
                    out.flag(bool(chroma[1]))
            if chroma == (1, 1):
                out.u(2, position)
        out.flag(False)
    return obu(1, out.flag(grain).trailing().getvalue())


LAYOUTS = [
    (0, 8, False, (1, 1)), (0, 10, True, (1, 1)), (1, 8, False, (0, 0)), (1, 10, False, (0, 0)),
    (2, 8, False, (1, 0)), (2, 10, False, (1, 0)), (2, 12, False, (1, 1)), (2, 12, False, (0, 0)),
    (2, 12, True, (1, 1)),
]  # fmt: skip


@given(
    layout=st.sampled_from(LAYOUTS),
    timing=st.none() | st.tuples(st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1), st.integers(0, 3)),
    model=st.booleans(),
    points=st.lists(st.tuples(st.integers(0, 23), st.integers(0, 1)), min_size=1, max_size=5).map(tuple),
    size=st.tuples(st.integers(16, 65536), st.integers(16, 65536)),
    tools=st.fixed_dictionaries(
        {"frame_ids": st.booleans(), "order_hint": st.booleans(), "screen": st.integers(0, 2), "grain": st.booleans()}
    ),
    colours=st.none() | st.tuples(*[st.integers(1, 12)] * 3),
    full_range=st.booleans(),
    position=st.integers(0, 2),
)
def test_every_combination_of_fields(  # type: ignore[no-untyped-def]
    layout, timing, model, points, size, tools, colours, full_range, position
) -> None:
    profile, depth, mono, chroma = layout
    made = sequence_header(
        profile=profile, depth=depth, mono=mono, chroma=chroma, timing=timing, model=model, points=points, size=size,
        colours=colours, full_range=full_range, position=position, **tools,
    )  # fmt: skip
    header = av1.parse_sequence_header(made)
    assert (header.profile, header.bit_depth, header.monochrome) == layout[:3]
    assert (header.subsampling_x, header.subsampling_y) == chroma
    assert (header.width, header.height) == size
    assert [(point.level_idx, point.tier) for point in header.operating_points] == [
        (level, tier if level > 7 else 0) for level, tier in points
    ]
    assert all(point.initial_display_delay == 4 for point in header.operating_points)
    assert (header.colour_primaries, header.transfer_characteristics, header.matrix_coefficients) == (
        colours or (2, 2, 2)
    )
    assert (header.full_range, header.film_grain) == (full_range, tools["grain"])
    assert header.chroma_sample_position == (position if chroma == (1, 1) and not mono else 0)
    fps = Fraction(timing[1], timing[0] * (timing[2] + 1)) if timing else None
    assert header.fps == (fps if fps is not None and fps < 1000 else None)
    config = av1.parse_av1c(av1.build_av1c(made))
    assert (config.profile, config.bit_depth, config.monochrome, config.config_obus) == (*layout[:3], made)
    assert (config.level_idx, config.tier) == (points[0][0], points[0][1] if points[0][0] > 7 else 0)


def test_a_reduced_still_picture() -> None:
    header = av1.parse_sequence_header(sequence_header(reduced=True, points=((4, 0),), size=(300, 200)))
    assert (header.reduced_still_picture_header, header.width, header.height, header.level) == (True, 300, 200, "3.0")


def test_srgb_is_full_range_without_subsampling() -> None:
    header = av1.parse_sequence_header(sequence_header(profile=1, chroma=(0, 0), colours=(1, 13, 0)))
    assert (header.full_range, header.subsampling_x, header.bit_depth) == (True, False, 8)


@pytest.mark.parametrize(
    ("config", "string", "name"),
    [
        (vectors.AV1C_SVT, "av01.0.00M.08", "Main"),
        (vectors.AV1C_444, "av01.1.00M.08.0.000.01.01.01.0", "High"),
        (vectors.AV1C_MONO, "av01.0.00M.10.1.110.09.16.09.1", "Main"),
    ],
    ids=["svt", "444", "mono"],
)
def test_what_encoders_wrote(config: bytes, string: str, name: str) -> None:
    header = av1.sequence_header_of(config)
    assert header is not None
    assert (header.width, header.height, header.profile_name) == (322, 242, name)
    assert av1.codec_string(config) == string
    assert av1.build_av1c(av1.parse_av1c(config).config_obus) == config


def test_codec_strings() -> None:
    # The examples of AV1 in ISO media, section 5, and the same stream with its colours unspecified.
    hdr = sequence_header(depth=10, colours=(9, 16, 9), position=2)
    assert av1.codec_string(av1.build_av1c(hdr)) == "av01.0.08M.10.0.112.09.16.09.0"
    assert av1.codec_string(av1.build_av1c(sequence_header(depth=10))) == "av01.0.08M.10"
    assert av1.codec_string(av1.build_av1c(sequence_header(points=((13, 1),), colours=(1, 1, 1)))) == "av01.0.13H.08"
    assert av1.codec_string(b"\x81\x04\x0c\x00") == "av01.0.04M.08"


SEQUENCE = sequence_header()
KEY = obu(6, b"\x10\x00tile")
INTER = obu(6, b"\x30\x00tile")
DELIMITER = obu(2, b"")


@given(
    st.lists(
        st.tuples(
            st.integers(3, 8), st.binary(max_size=200), st.none() | st.tuples(st.integers(0, 7), st.integers(0, 3))
        ),
        min_size=1,
        max_size=5,
    ),
    st.booleans(),
)
def test_split_and_canonical(units: list[tuple[int, bytes, tuple[int, int] | None]], sized: bool) -> None:
    parts = [obu(kind, payload, layers=layers) for kind, payload, layers in units]
    # Only the last OBU may go without a size.
    kind, payload, layers = units[-1]
    data = DELIMITER + b"".join(parts[:-1]) + (parts[-1] if sized else obu(kind, payload, size=False, layers=layers))
    found = av1.split_obus(data)
    assert [(unit.type, unit.payload) for unit in found[1:]] == [(kind, payload) for kind, payload, _ in units]
    assert b"".join(unit.data for unit in found) == data
    assert [(unit.temporal_id, unit.spatial_id) for unit in found[1:]] == [layers or (0, 0) for _, _, layers in units]
    assert av1.canonical(data) == b"".join(parts)
    assert av1.canonical(av1.canonical(data)) == av1.canonical(data)


def test_temporal_delimiters_go() -> None:
    unit = SEQUENCE + KEY
    assert av1.strip_temporal_delimiter(av1.TEMPORAL_DELIMITER + unit) == unit
    assert av1.strip_temporal_delimiter(unit) == unit
    assert av1.strip_temporal_delimiter(KEY + DELIMITER + INTER) == KEY + INTER
    assert av1.canonical(DELIMITER + unit + obu(av1.OBU_PADDING, b"\0\0\x80")) == unit
    assert av1.find_sequence_header(DELIMITER + unit) == SEQUENCE
    assert av1.find_sequence_header(INTER) is None


def test_keyframes() -> None:
    assert av1.is_keyframe(SEQUENCE + KEY)
    assert av1.is_keyframe(DELIMITER + SEQUENCE + obu(3, b"\x10") + obu(4, b"tiles"))
    assert not av1.is_keyframe(INTER)
    assert not av1.is_keyframe(obu(6, b"\x00"))  # a key frame that is not shown
    assert not av1.is_keyframe(obu(3, b"\x90"))  # an existing frame shown
    assert not av1.is_keyframe(SEQUENCE)
    assert not av1.is_keyframe(b"\xff")
    assert av1.is_keyframe(sequence_header(reduced=True) + obu(6, b"\xff"))


@pytest.mark.parametrize(
    "broken", [b"\x80", b"\x12", b"\x0a\x05abc", b"\x0c", b"\x0a" + b"\xff" * 8, b"\x0a" + b"\xff" * 5 + b"\x7f"]
)
def test_broken_units(broken: bytes) -> None:
    with pytest.raises(ParseError):
        av1.split_obus(broken)


def test_broken_records() -> None:
    for record in (b"", b"\x81\x00", b"\x01\x00\x0c\x00", b"\x81\x60\x0c\x00", b"\x81\x00\x0c\x00\x0a\x09"):
        with pytest.raises(ParseError):
            av1.parse_av1c(record)
    for unit in (b"", KEY, sequence_header(profile=2)[:6], obu(1, b"\x60\0\0\0"), obu(1, b"\x08\0\0\0\0\0\0\0")):
        with pytest.raises(ParseError):
            av1.parse_sequence_header(unit)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize(
    ("parser", "seeds"),
    [
        (
            av1.parse_sequence_header,
            [SEQUENCE, sequence_header(timing=(1, 30, 0), model=True, points=((8, 1), (3, 0)))],
        ),
        (av1.parse_av1c, [vectors.AV1C_SVT, vectors.AV1C_MONO]),
        (av1.codec_string, [vectors.AV1C_SVT, vectors.AV1C_MONO]),
        (av1.canonical, [DELIMITER + SEQUENCE + KEY]),
        (av1.strip_temporal_delimiter, [DELIMITER + SEQUENCE + KEY]),
        (av1.is_keyframe, [DELIMITER + SEQUENCE + KEY]),
    ],
)
def test_only_parse_errors(parser, seeds: list[bytes], rounds: int) -> None:  # type: ignore[no-untyped-def]
    fuzz(parser, seeds, rounds)
