import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs import opus
from evotools.errors import ParseError
from tests.unit.codecs import vectors
from tests.unit.codecs.fuzzing import ROUNDS, fuzz


def test_what_libopus_wrote() -> None:
    head = opus.parse_head(vectors.OPUS_HEAD_51)
    assert (head.channels, head.pre_skip, head.input_sample_rate, head.mapping_family) == (6, 312, 48000, 1)
    assert (head.streams, head.coupled) == (4, 2)
    assert opus.build_head(6) == vectors.OPUS_HEAD_51


@given(st.integers(1, 8), st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(-32768, 32767))
def test_round_trip(channels: int, pre_skip: int, rate: int, gain: int) -> None:
    head = opus.parse_head(
        opus.build_head(channels, pre_skip=pre_skip, input_sample_rate=rate, output_gain=gain)
    )  # fmt: skip
    assert (head.channels, head.pre_skip, head.input_sample_rate, head.output_gain) == (channels, pre_skip, rate, gain)
    assert head.streams + head.coupled == channels == len(head.mapping)


def test_a_mapping_of_ones_own() -> None:
    head = opus.build_head(3, mapping_family=255, streams=3, coupled=0, mapping=b"\0\1\xff")
    assert opus.parse_head(head).mapping == b"\0\1\xff"


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        vectors.OPUS_HEAD_51[:-1],
        b"OpusTags" + vectors.OPUS_HEAD_51[8:],
        b"OpusHead\x10" + vectors.OPUS_HEAD_51[9:],
        b"OpusHead\1\0" + bytes(9),
        b"OpusHead\1\3" + bytes(9),
        vectors.OPUS_HEAD_51[:-1] + b"\x09",
        vectors.OPUS_HEAD_51[:19] + b"\0\0" + vectors.OPUS_HEAD_51[21:],
    ],
)
def test_broken_heads(broken: bytes) -> None:
    with pytest.raises(ParseError):
        opus.parse_head(broken)


def test_heads_that_cannot_be_built() -> None:
    with pytest.raises(ParseError):
        opus.build_head(9)
    with pytest.raises(ParseError):
        opus.build_head(2, mapping_family=255, streams=1, coupled=0, mapping=b"\0\1")


@pytest.mark.parametrize(
    ("packet", "ms"),
    [
        ("00", 10), ("08", 20), ("10", 40), ("18", 60), ("60", 10), ("78", 20), ("80", 2.5), ("88", 5), ("90", 10),
        ("f8", 20), ("fc", 20), ("f9", 40), ("fa", 40), ("fb06", 120), ("8330", 120), ("1b02", 120), ("fb83", 60),
    ],
)  # fmt: skip
def test_packet_durations(packet: str, ms: float) -> None:
    assert opus.packet_duration(bytes.fromhex(packet)) == ms * 48


@pytest.mark.parametrize("packet", ["", "fb", "fb00", "fb07", "1b03"])
def test_impossible_packets(packet: str) -> None:
    with pytest.raises(ParseError):
        opus.packet_duration(bytes.fromhex(packet))


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize(
    ("parser", "seeds"),
    [(opus.parse_head, [vectors.OPUS_HEAD_51, opus.build_head(2)]), (opus.packet_duration, [b"\xfb\x03", b"\xf8"])],
)
def test_only_parse_errors(parser, seeds: list[bytes], rounds: int) -> None:  # type: ignore[no-untyped-def]
    fuzz(parser, seeds, rounds)
