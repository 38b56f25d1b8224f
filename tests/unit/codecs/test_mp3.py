import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs import mp3
from evotools.errors import ParseError
from tests.unit.codecs.fuzzing import ROUNDS, fuzz


def header(version: int, layer: int, bitrate: int, rate: int, padding: int = 0, mode: int = 0) -> bytes:
    return bytes((0xFF, 0xE0 | version << 3 | (4 - layer) << 1 | 1, bitrate << 4 | rate << 2 | padding << 1, mode << 6))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (header(3, 3, 9, 0), ("1", 3, 128000, 44100, 2, 417, 1152)),
        (header(3, 3, 9, 0, 1), ("1", 3, 128000, 44100, 2, 418, 1152)),
        (header(3, 3, 14, 2), ("1", 3, 320000, 32000, 2, 1440, 1152)),
        (header(3, 2, 8, 1, 0, 3), ("1", 2, 128000, 48000, 1, 384, 1152)),
        (header(3, 1, 14, 0, 1), ("1", 1, 448000, 44100, 2, 488, 384)),
        (header(2, 3, 8, 0), ("2", 3, 64000, 22050, 2, 208, 576)),
        (header(2, 2, 14, 2), ("2", 2, 160000, 16000, 2, 1440, 1152)),
        (header(2, 1, 8, 1), ("2", 1, 128000, 24000, 2, 256, 384)),
        (header(0, 3, 4, 2, 0, 3), ("2.5", 3, 32000, 8000, 1, 288, 576)),
        (header(0, 2, 14, 2, 1), ("2.5", 2, 160000, 8000, 2, 2881, 1152)),
    ],
)
def test_headers(data: bytes, expected: tuple[object, ...]) -> None:
    assert tuple(mp3.parse_header(data)) == expected


def test_codec_strings() -> None:
    assert [mp3.codec_string(layer) for layer in (1, 2, 3)] == ["mp4a.40.32", "mp4a.40.33", "mp4a.40.34"]


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xfb\x90", b"\xfe\xfb\x90\0", header(1, 3, 9, 0), header(3, 4, 9, 0), header(3, 3, 0, 0),
     header(3, 3, 15, 0), header(3, 3, 9, 3)],
)  # fmt: skip
def test_broken_headers(data: bytes) -> None:
    with pytest.raises(ParseError):
        mp3.parse_header(data)


def stream(count: int) -> list[bytes]:
    frames = []
    for index in range(count):
        head = header(3, 3, 1 + index % 14, 0, index & 1)
        # Bodies full of false syncwords.
        frames.append((head + b"\xff\xfb\x50" * 500)[: mp3.parse_header(head).frame_length])
    return frames


@given(st.integers(1, 5), st.lists(st.integers(0, 3000), max_size=6))
def test_split_anywhere(count: int, cuts: list[int]) -> None:
    frames = stream(count)
    data = b"".join(frames)
    found: list[bytes] = []
    rest = b""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in zip(edges, edges[1:], strict=False):
        units, rest = mp3.split(rest + data[start:end])
        found += units
    assert (found, rest) == (frames, b"")


def test_split_after_garbage() -> None:
    frames = stream(3)
    assert mp3.split(b"ID3 something \xff\xfb\x90" + b"".join(frames)) == (frames, b"")
    assert mp3.split(frames[2][:60] + b"".join(frames)) == (frames, b"")
    assert mp3.split(b"no audio at all") == ([], b"")
    assert mp3.split(frames[0] + b"\xff") == ([frames[0]], b"\xff")


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize(
    ("parser", "seeds"),
    [(mp3.parse_header, [header(3, 3, 9, 0), header(0, 2, 1, 1)]), (mp3.split, [b"".join(stream(3))])],
)
def test_only_parse_errors(parser, seeds: list[bytes], rounds: int) -> None:  # type: ignore[no-untyped-def]
    fuzz(parser, seeds, rounds)
