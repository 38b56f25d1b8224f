"""Drawing into planes."""

import pytest

from evotools.videogen.blocks import Stamp, read_blocks
from evotools.videogen.picture import Band, Overlay, Planes, clock_text, running_text


def blank(width: int, height: int, pad: int = 32) -> Planes:
    stride, half = width + pad, width // 2 + pad
    return Planes(
        bytearray(b"\x50" * (stride * height)), bytearray(b"\x40" * (half * height // 2)),
        bytearray(b"\xc0" * (half * height // 2)), stride, half,
    )  # fmt: skip


def copy(planes: Planes) -> Planes:
    return planes._replace(y=bytearray(planes.y), u=bytearray(planes.u), v=bytearray(planes.v))


def test_clock_text() -> None:
    assert clock_text(946_684_800_007) == "2000-01-01 00:00:00.007"
    assert clock_text(946_684_800_999, 3600) == "2000-01-01 01:00:00.999"
    assert clock_text(946_684_799_999, -5 * 3600) == "1999-12-31 18:59:59.999"


def test_running_text() -> None:
    assert running_text(0, 0) == "00:00:00.000 #0"
    assert running_text(360_000_040, 9_000_001) == "100:00:00.040 #9000001"


@pytest.mark.parametrize("size", [(64, 64), (176, 144), (320, 240), (800, 600), (1920, 1080), (240, 800)])
def test_drawing_changes_equals_drawing_anew(size: tuple[int, int]) -> None:
    width, height = size
    base = blank(width, height)
    partly, wholly = Overlay(width, height, "LABEL x"), Overlay(width, height, "LABEL x")
    planes = copy(base)
    steps = [(0, 0), (1, 40), (9, 360), (10, 400), (99, 3960), (100, 4000), (101, 4040)]
    for n, (frame, ms) in enumerate(steps):
        partly.draw(planes, base if n else None, frame, ms, 946_684_799_000 + ms, 0)
        fresh = copy(base)
        wholly.draw(fresh, None, frame, ms, 946_684_799_000 + ms, 0)
        assert planes == fresh
        assert read_blocks(planes.y, planes.luma_stride, width, height) == Stamp(frame, 946_684_799_000 + ms)


def test_nothing_is_drawn_outside_the_picture() -> None:
    base = blank(320, 240, pad=48)
    planes = copy(base)
    Overlay(320, 240, "x" * 100).draw(planes, None, 10**9, 10**11, 10**14, 0)
    for y in range(240):
        assert planes.y[y * 368 + 320 : (y + 1) * 368] == b"\x50" * 48
    for y in range(120):
        assert planes.u[y * 208 + 160 : (y + 1) * 208] == b"\x40" * 48


def test_parts_can_be_left_out() -> None:
    base = blank(320, 240)
    planes = copy(base)
    Overlay(320, 240, "", clock=False, readable=False).draw(planes, None, 1, 40, 0, 0)
    assert planes == base
    Overlay(320, 240, "", clock=False).draw(planes, None, 1, 40, 0, 0)
    assert planes.y[: 200 * planes.luma_stride] == base.y[: 200 * planes.luma_stride]
    assert read_blocks(planes.y, planes.luma_stride, 320, 240) == Stamp(1, 0)


def test_the_band_slides_and_keeps_to_its_rows() -> None:
    base = blank(320, 240)
    for y in range(180, 210):
        base.y[y * base.luma_stride : y * base.luma_stride + 320] = bytes(x // 2 for x in range(320))
    band = Band(base, 320, 240)
    planes = copy(base)
    band.draw(planes, 0)
    assert planes == base
    band.draw(planes, 125)
    row = planes.y[190 * planes.luma_stride : 190 * planes.luma_stride + 320]
    assert row[:288] == bytes(x // 2 for x in range(32, 320))
    assert planes.y[: 180 * planes.luma_stride] == base.y[: 180 * base.luma_stride]
    assert planes.y[210 * planes.luma_stride :] == base.y[210 * base.luma_stride :]
    # After there and back again it stands where it began.
    band.draw(planes, 2 * 320 * 1000 // 256)
    assert planes == base
