import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs import flac, g711
from evotools.errors import ParseError
from tests.unit.codecs import vectors
from tests.unit.codecs.fuzzing import ROUNDS, fuzz


def test_what_ffmpeg_wrote() -> None:
    info = flac.parse_streaminfo(vectors.STREAMINFO)
    assert (info.sample_rate, info.channels, info.bits_per_sample, info.total_samples) == (44100, 1, 16, 44100)
    assert (info.min_block, info.max_block) == (925, 925)
    assert flac.build_streaminfo(info) == vectors.STREAMINFO
    assert flac.parse_frame_header(vectors.FLAC_FRAME) == (925, 44100, 1, 16)
    assert flac.codec_string() == "fLaC"


@given(
    st.integers(16, 65535), st.integers(0, 2**24 - 1), st.integers(1, 2**20 - 1), st.integers(1, 8),
    st.integers(4, 32), st.integers(0, 2**36 - 1), st.binary(min_size=16, max_size=16),
)  # fmt: skip
def test_streaminfo_round_trip(
    block: int, frame: int, rate: int, channels: int, bits: int, total: int, md5: bytes
) -> None:
    info = flac.StreamInfo(16, block, 0, frame, rate, channels, bits, total, md5)
    assert flac.parse_streaminfo(flac.build_streaminfo(info)) == info


def frame_header(size: int, rate: int, channels: int, depth: int, number: bytes, extra: bytes) -> bytes:
    head = bytes((0xFF, 0xF8, size << 4 | rate, channels << 4 | depth << 1)) + number + extra
    crc = 0
    for byte in head:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return head + bytes((crc,))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (frame_header(12, 10, 1, 4, b"\x00", b""), (4096, 48000, 2, 16)),
        (frame_header(2, 9, 10, 0, b"\xc2\x80", b""), (576, 44100, 2, 0)),
        (frame_header(6, 0, 5, 6, b"\xe1\x80\x80", b"\x9b"), (156, 0, 6, 24)),
        (frame_header(7, 12, 0, 1, b"\xfe\x80\x80\x80\x80\x80\x80", b"\x03\x9c\x08"), (925, 8000, 1, 8)),
        (frame_header(8, 14, 0, 4, b"\x7f", b"\x12\xc0"), (256, 48000, 1, 16)),
        (frame_header(1, 13, 7, 7, b"\x01", b"\x2b\x11"), (192, 11025, 8, 32)),
    ],
)
def test_frame_headers(header: bytes, expected: tuple[int, ...]) -> None:
    assert flac.parse_frame_header(header + b"subframe") == expected


@pytest.mark.parametrize(
    "header",
    [
        b"", b"\xff\xf8\xc9\x18\x00", b"\xff\xf0" + vectors.FLAC_FRAME[2:], vectors.FLAC_FRAME[:6],
        frame_header(0, 9, 0, 4, b"\0", b""), frame_header(12, 15, 0, 4, b"\0", b""),
        frame_header(12, 9, 11, 4, b"\0", b""), frame_header(12, 9, 0, 3, b"\0", b""),
        frame_header(12, 9, 0, 4, b"\x80", b""), frame_header(12, 9, 0, 4, b"\xc2\x00", b""),
        frame_header(12, 9, 0, 4, b"\xff", b""), frame_header(12, 9, 0, 4, b"\0", b"")[:-1] + b"\x00",
    ],
)  # fmt: skip
def test_broken_frame_headers(header: bytes) -> None:
    with pytest.raises(ParseError):
        flac.parse_frame_header(header)


def test_broken_streaminfo() -> None:
    with pytest.raises(ParseError):
        flac.parse_streaminfo(vectors.STREAMINFO[:33])
    with pytest.raises(ParseError):
        flac.parse_streaminfo(bytes(34))
    with pytest.raises(ParseError):
        flac.build_streaminfo(flac.StreamInfo(16, 70000, 0, 0, 48000, 2, 16, 0))
    with pytest.raises(ParseError):
        flac.build_streaminfo(flac.StreamInfo(16, 4096, 0, 0, 48000, 9, 16, 0))


def test_g711() -> None:
    assert (g711.samples(160), g711.samples(320, 2)) == (160, 160)
    assert (g711.codec_string("pcma"), g711.codec_string("pcmu")) == ("alaw", "ulaw")
    with pytest.raises(ParseError):
        g711.samples(160, 0)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize(
    ("parser", "seeds"),
    [(flac.parse_streaminfo, [vectors.STREAMINFO]), (flac.parse_frame_header, [vectors.FLAC_FRAME])],
)
def test_only_parse_errors(parser, seeds: list[bytes], rounds: int) -> None:  # type: ignore[no-untyped-def]
    fuzz(parser, seeds, rounds)
