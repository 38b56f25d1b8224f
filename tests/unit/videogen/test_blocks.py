"""The machine-readable time."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.videogen import blocks
from evotools.videogen.blocks import Stamp, crc16, edges, pack, read_blocks


def paint(stamp: Stamp, width: int, height: int, stride: int, white: int = 235, black: int = 16) -> bytearray:
    plane = bytearray(b"\x60" * (stride * height))
    columns, rows = edges(width, height)
    for r, cells in enumerate(pack(stamp)):
        for c, on in enumerate(cells):
            for y in range(rows[r], rows[r + 1]):
                length = columns[c + 1] - columns[c]
                start = y * stride + columns[c]
                plane[start : start + length] = bytes([white if on else black]) * length
    return plane


def test_crc_is_ccitt_false() -> None:
    # The check value of the CRC catalogue.
    assert crc16(b"123456789") == 0x29B1


@given(st.integers(0, 2**40 - 1), st.integers(0, 2**48 - 1))
def test_what_is_painted_is_read(frame: int, clock_ms: int) -> None:
    stamp = Stamp(frame, clock_ms)
    assert read_blocks(paint(stamp, 320, 240, 352), 352, 320, 240) == stamp


@pytest.mark.parametrize("size", [(64, 64), (176, 144), (800, 600), (1366, 768), (1920, 1080)])
def test_every_size(size: tuple[int, int]) -> None:
    stamp = Stamp(123456, 946_684_800_123)
    assert read_blocks(paint(stamp, *size, size[0]), size[0], *size) == stamp


def test_noise_and_low_contrast_are_survived() -> None:
    chance = random.Random(1)
    stamp = Stamp(77, 1_700_000_000_040)
    plane = paint(stamp, 640, 360, 640, white=150, black=70)
    for i in range(len(plane)):
        plane[i] = min(255, max(0, plane[i] + chance.randint(-40, 40)))
    assert read_blocks(plane, 640, 640, 360) == stamp


def test_one_wrong_block_is_noticed() -> None:
    stamp = Stamp(5, 6)
    plane = paint(stamp, 640, 360, 640)
    columns, rows = edges(640, 360)
    for index in range(blocks.COLUMNS):
        broken = bytearray(plane)
        for y in range(rows[1], rows[2]):
            for x in range(columns[2 + index], columns[3 + index]):
                broken[y * 640 + x] = 251 - broken[y * 640 + x]
        assert read_blocks(broken, 640, 640, 360) is None


@pytest.mark.parametrize("plane", [b"", b"\x10" * 64, bytes(320 * 240), b"\xeb" * (320 * 240)])
def test_pictures_without_blocks(plane: bytes) -> None:
    assert read_blocks(plane, 320, 320, 240) is None


@given(st.integers(-5, 80), st.integers(-5, 80), st.integers(-5, 80), st.binary(max_size=600))
def test_nonsense_never_raises(stride: int, width: int, height: int, plane: bytes) -> None:
    assert read_blocks(plane * 10, stride, width, height) is None
