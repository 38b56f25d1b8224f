import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs import ac3
from evotools.codecs.bits import BitWriter
from evotools.errors import ParseError
from tests.unit.codecs import vectors
from tests.unit.codecs.fuzzing import ROUNDS, fuzz


def eac3(
    *,
    stream_type: int = 0,
    substream: int = 0,
    size: int = 128,
    fscod: int = 0,
    blocks: int = 3,
    acmod: int = 7,
    lfe: bool = True,
    channel_map: int | None = None,
    mixing: bool = False,
    bsmod: int | None = None,
    joc: int | None = None,
) -> bytes:
    """An E-AC-3 sync frame with its bit stream information and nothing else."""
    out = BitWriter().u(16, 0x0B77).u(2, stream_type).u(3, substream).u(11, size // 2 - 1).u(2, fscod).u(2, blocks)
    out.u(3, acmod).flag(lfe).u(5, 16)
    for _ in range(2 if acmod == 0 else 1):
        out.u(5, 31).flag(True).u(8, 0x55)
    if stream_type == 1:
        out.flag(channel_map is not None)
        if channel_map is not None:
            out.u(16, channel_map)
    out.flag(mixing)
    if mixing:
        if acmod > 2:
            out.u(2, 1)
        if acmod & 1 and acmod > 2:
            out.u(6, 1)
        if acmod & 4:
            out.u(6, 1)
        if lfe:
            out.flag(True).u(5, 3)
        if stream_type == 0:
            out.flag(True).u(6, 1)
            if acmod == 0:
                out.flag(False)
            out.flag(True).u(6, 2).u(2, 3).u(5, 1).u(24, 0xABCDEF)
            if acmod < 2:
                out.flag(True).u(14, 1)
                if acmod == 0:
                    out.flag(False)
            out.flag(True)
            if blocks == 0:
                out.u(5, 1)
            else:
                for index in range((1, 2, 3, 6)[blocks]):
                    out.flag(index == 0)
                    if index == 0:
                        out.u(5, 9)
    out.flag(bsmod is not None)
    if bsmod is not None:
        out.u(3, bsmod).u(2, 0)
        if acmod == 2:
            out.u(4, 0)
        if acmod >= 6:
            out.u(2, 0)
        for _ in range(2 if acmod == 0 else 1):
            out.flag(True).u(8, 1)
        if fscod < 3:
            out.u(1, 0)
    if stream_type == 0 and blocks != 3:
        out.u(1, 0)
    if stream_type == 2:
        if blocks != 3:
            out.flag(True)
        out.u(6, 1)
    out.flag(joc is not None)
    if joc is not None:
        out.u(6, 1).u(7, 0).u(1, 1).u(8, joc)
    return out.getvalue().ljust(size, b"\0")


CORE = eac3(acmod=7, lfe=True)
BACK = 1 << 9
"""chanmap: the Lrs/Rrs pair."""
EXTENSION = eac3(stream_type=1, acmod=6, lfe=False, channel_map=BACK | 0b0001_1000_0000_0000)
"""Replaces Ls and Rs and adds the back pair: 7.1."""


def test_what_ffmpeg_wrote() -> None:
    header = ac3.parse_header(vectors.AC3_51)
    assert (header.codec, header.sample_rate, header.channels, header.lfe) == ("ac3", 48000, 6, True)
    assert (header.frame_length, header.samples, header.bitrate) == (1792, 1536, 448000)
    assert ac3.build_dac3(vectors.AC3_51) == vectors.DAC3_51
    header = ac3.parse_header(vectors.EAC3_51)
    assert (header.codec, header.sample_rate, header.channels, header.lfe) == ("eac3", 48000, 6, True)
    assert (header.frame_length, header.samples, header.bitrate) == (1792, 1536, 448000)
    assert ac3.build_dec3(vectors.EAC3_51) == vectors.DEC3_51


def test_records() -> None:
    config = ac3.parse_dac3(vectors.DAC3_51)
    assert (config.codec, config.bitrate, config.sample_rate, config.channels) == ("ac3", 448000, 48000, 6)
    config = ac3.parse_dec3(vectors.DEC3_51)
    assert (config.codec, config.bitrate, config.sample_rate, config.channels) == ("eac3", 448000, 48000, 6)
    assert (ac3.codec_string("ac3"), ac3.codec_string("eac3")) == ("ac-3", "ec-3")


@pytest.mark.parametrize(
    ("fscod", "code", "length", "rate"),
    [(0, 0, 128, 48000), (1, 0, 138, 44100), (1, 1, 140, 44100), (2, 0, 192, 32000), (0, 37, 2560, 48000),
     (1, 36, 2786, 44100), (1, 37, 2788, 44100), (2, 37, 3840, 32000), (1, 18, 696, 44100)],
)  # fmt: skip
def test_frame_lengths_of_table_4_13(fscod: int, code: int, length: int, rate: int) -> None:
    frame = BitWriter().u(32, 0x0B770000).u(2, fscod).u(6, code).u(5, 8).u(3, 0).u(3, 2).u(2, 0).flag(False).u(8, 0)
    header = ac3.parse_header(frame.getvalue())
    assert (header.frame_length, header.sample_rate, header.channels) == (length, rate, 2)


@pytest.mark.parametrize(("acmod", "channels"), [(0, 2), (1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 4), (7, 5)])
@pytest.mark.parametrize("lfe", [False, True])
def test_channel_modes(acmod: int, channels: int, lfe: bool) -> None:
    head = BitWriter().u(32, 0x0B770000).u(2, 0).u(6, 20).u(5, 8).u(3, 1).u(3, acmod)
    head.u((acmod & 1 and acmod != 1) * 2 + bool(acmod & 4) * 2 + (acmod == 2) * 2, 0).flag(lfe).u(16, 0)
    assert ac3.parse_header(head.getvalue()).channels == channels + lfe
    assert ac3.parse_header(eac3(acmod=acmod, lfe=lfe)).channels == channels + lfe


@given(
    acmod=st.integers(0, 7), lfe=st.booleans(), blocks=st.integers(0, 3), mixing=st.booleans(),
    bsmod=st.integers(0, 7), joc=st.integers(1, 255), stream_type=st.sampled_from([0, 1, 2]),
)  # fmt: skip
def test_every_combination_of_optional_fields(  # type: ignore[no-untyped-def]
    acmod, lfe, blocks, mixing, bsmod, joc, stream_type
) -> None:
    header = ac3.parse_header(
        eac3(acmod=acmod, lfe=lfe, blocks=blocks, mixing=mixing, bsmod=bsmod, joc=joc, stream_type=stream_type)
    )
    assert (header.acmod, header.lfe, header.samples) == (acmod, lfe, (1, 2, 3, 6)[blocks] * 256)
    assert (header.bsmod, header.joc_complexity, header.stream_type) == (bsmod, joc, stream_type)


def test_reduced_sampling_rates() -> None:
    half = BitWriter().u(16, 0x0B77).u(5, 0).u(11, 63).u(2, 3).u(2, 0).u(3, 2).flag(False).u(5, 16).u(60, 0).getvalue()
    assert (ac3.parse_header(half).sample_rate, ac3.parse_header(half).samples) == (24000, 1536)


def test_a_dependent_substream_makes_seven_one() -> None:
    unit = CORE + EXTENSION
    assert ac3.channels(unit) == 8
    assert ac3.channels(CORE) == 6
    assert ac3.samples(unit) == (1536, 48000)
    record = ac3.build_dec3(unit)
    config = ac3.parse_dec3(record)
    assert config.channels == 8
    assert (config.substreams[0].dependents, config.substreams[0].channel_locations) == (1, 0b10)
    assert config.bitrate == len(unit) * 8 * 48000 // 1536


def test_a_second_program_and_an_atmos_extension() -> None:
    unit = eac3(bsmod=3, joc=16) + eac3(substream=1, acmod=2, lfe=False, bsmod=2)
    assert ac3.channels(unit) == 6
    config = ac3.parse_dec3(ac3.build_dec3(unit))
    assert [(stream.acmod, stream.bsmod) for stream in config.substreams] == [(7, 3), (2, 2)]
    assert config.joc_complexity == 16


def test_split_of_eac3_waits_for_the_next_unit() -> None:
    units = [CORE + EXTENSION, CORE + EXTENSION, CORE]
    data = b"".join(units)
    assert ac3.split(data) == (units[:2], units[2])
    assert ac3.split(data, end=True) == (units, b"")


AC3_FRAME = vectors.AC3_51 + bytes(1792 - len(vectors.AC3_51))


@given(st.lists(st.integers(0, 6000), max_size=6), st.booleans())
def test_split_anywhere(cuts: list[int], enhanced: bool) -> None:
    units = [CORE + EXTENSION] * 4 if enhanced else [AC3_FRAME] * 3
    data = b"".join(units)
    found: list[bytes] = []
    rest = b""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in zip(edges, edges[1:], strict=False):
        made, rest = ac3.split(rest + data[start:end])
        found += made
    assert found + ([rest] if rest else []) == units


def test_split_after_garbage() -> None:
    assert ac3.split(b"\x0bgarbage\x0b\x77" + AC3_FRAME) == ([AC3_FRAME], b"")
    assert ac3.split(EXTENSION + CORE + b"garbage..." + CORE, end=True)[0] == [CORE, CORE]
    assert ac3.split(b"only garbage \x0b") == ([], b"\x0b")


@pytest.mark.parametrize(
    "data",
    [
        b"", vectors.AC3_51[:7], b"\x77\x0b" + vectors.AC3_51[2:], vectors.AC3_51[:4] + b"\xde" + vectors.AC3_51[5:],
        vectors.AC3_51[:4] + b"\x26" + vectors.AC3_51[5:], vectors.AC3_51[:5] + b"\xf8" + vectors.AC3_51[6:],
        b"\x0b\x77\xc0" + vectors.EAC3_51[3:], b"\x0b\x77\x00\x01" + vectors.EAC3_51[4:],
    ],
)  # fmt: skip
def test_broken_headers(data: bytes) -> None:
    with pytest.raises(ParseError):
        ac3.parse_header(data)


def test_records_refuse_the_other_codec() -> None:
    with pytest.raises(ParseError):
        ac3.build_dac3(vectors.EAC3_51)
    with pytest.raises(ParseError):
        ac3.build_dec3(vectors.AC3_51)
    with pytest.raises(ParseError):
        ac3.build_dec3(EXTENSION)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize(
    ("parser", "seeds"),
    [
        (ac3.parse_header, [vectors.AC3_51, vectors.EAC3_51, eac3(mixing=True, bsmod=1, joc=3)]),
        (ac3.split, [CORE + EXTENSION + CORE, AC3_FRAME * 2]),
        (ac3.build_dec3, [CORE + EXTENSION, eac3(mixing=True, bsmod=1, joc=3) + eac3(substream=1)]),
        (ac3.channels, [CORE + EXTENSION]),
        (ac3.samples, [CORE + EXTENSION, AC3_FRAME]),
        (ac3.parse_dac3, [vectors.DAC3_51]),
        (ac3.parse_dec3, [vectors.DEC3_51, ac3.build_dec3(CORE + EXTENSION)]),
    ],
)
def test_only_parse_errors(parser, seeds: list[bytes], rounds: int) -> None:  # type: ignore[no-untyped-def]
    fuzz(parser, seeds, rounds)
