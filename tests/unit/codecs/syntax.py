"""Writes parameter sets field by field, independent of the parsers under test."""

from evotools.codecs.bits import BitWriter
from evotools.codecs.nal import escape


def h264_sps(
    *,
    profile: int = 100,
    flags: int = 0,
    level: int = 30,
    sps_id: int = 0,
    chroma: int = 1,
    depth: int = 8,
    scaling: bool = False,
    poc_type: int = 0,
    mbs: tuple[int, int] = (20, 15),
    interlaced: bool = False,
    crop: tuple[int, int, int, int] = (0, 0, 0, 0),
    timing: tuple[int, int] | None = None,
    hrd: bool = False,
    reorder: tuple[int, int] | None = None,
    sar: tuple[int, int] | None = None,
    vui: bool = True,
) -> bytes:
    """An SPS; `mbs` is in macroblocks (map units in height), `crop` in crop units."""
    out = BitWriter().u(8, 0x67).u(8, profile).u(8, flags).u(8, level).ue(sps_id)
    if profile in (100, 110, 122, 244):
        out.ue(chroma)
        if chroma == 3:
            out.flag(False)
        out.ue(depth - 8).ue(depth - 8).flag(False).flag(scaling)
        if scaling:
            for index in range(12 if chroma == 3 else 8):
                # The first list whole, the second by fall-back rule, the third cut by a zero scale.
                out.flag(index in (0, 2))
                if index == 0:
                    for step in range(16):
                        out.se(step - 4)
                elif index == 2:
                    out.se(4).se(-12)
    out.ue(0).ue(poc_type)
    if poc_type == 0:
        out.ue(2)
    elif poc_type == 1:
        out.flag(False).se(-3).se(2).ue(2).se(1).se(-1)
    out.ue(4).flag(False).ue(mbs[0] - 1).ue(mbs[1] - 1).flag(not interlaced)
    if interlaced:
        out.flag(True)
    out.flag(True).flag(any(crop))
    if any(crop):
        for edge in crop:
            out.ue(edge)
    out.flag(vui)
    if vui:
        out.flag(sar is not None)
        if sar:
            out.u(8, 255).u(16, sar[0]).u(16, sar[1])
        out.flag(False)
        out.flag(True).u(3, 5).flag(True).flag(True).u(8, 9).u(8, 16).u(8, 9)
        out.flag(False).flag(timing is not None)
        if timing:
            out.u(32, timing[0]).u(32, timing[1]).flag(True)
        for _ in range(2):
            out.flag(hrd)
            if hrd:
                out.ue(1).u(4, 1).u(4, 2)
                for _ in range(2):
                    out.ue(1000).ue(2000).flag(False)
                out.u(20, 0x12345)
        if hrd:
            out.flag(False)
        out.flag(True).flag(reorder is not None)
        if reorder:
            out.flag(True).ue(2).ue(1).ue(10).ue(10).ue(reorder[0]).ue(reorder[1])
    return escape(out.trailing().getvalue())


def h264_pps(pps_id: int = 0, sps_id: int = 0, tail: int = 0) -> bytes:
    """A PPS; `tail` makes equal ids differ in content."""
    return escape(BitWriter().u(8, 0x68).ue(pps_id).ue(sps_id).u(8, tail).trailing().getvalue())


def h264_slice(kind: int = 1, slice_type: int = 7, pps_id: int = 0, body: bytes = b"picture") -> bytes:
    """The beginning of a slice and some bytes."""
    out = BitWriter().u(8, 0x60 | kind).ue(0).ue(slice_type).ue(pps_id).u(4, 0)
    return escape(out.trailing().getvalue() + body)


def sei(payload_type: int, payload: bytes, header: bytes = b"\x06") -> bytes:
    """A SEI NAL unit with one message."""
    out = header
    for value in (payload_type, len(payload)):
        out += b"\xff" * (value // 255) + bytes((value % 255,))
    return escape(out + payload + b"\x80")


def _ptl(out: BitWriter, sub_layers: int, profile: int, level: int) -> None:
    out.u(2, 0).u(1, 0).u(5, profile).u(32, 1 << (31 - profile)).u(48, 0x900000000000).u(8, level)
    if sub_layers > 1:
        for index in range(sub_layers - 1):
            out.flag(index == 0).flag(True)
        for _ in range(sub_layers - 1, 8):
            out.u(2, 0)
        for index in range(sub_layers - 1):
            if index == 0:
                out.u(88, 0x123456789)
            out.u(8, level)


def h265_vps(*, vps_id: int = 0, sub_layers: int = 1, timing: tuple[int, int] | None = None) -> bytes:
    """A VPS."""
    out = BitWriter().u(16, 0x4001).u(4, vps_id).u(2, 3).u(6, 0).u(3, sub_layers - 1).flag(True).u(16, 0xFFFF)
    _ptl(out, sub_layers, 1, 93)
    out.flag(True)
    for _ in range(sub_layers):
        out.ue(4).ue(2).ue(0)
    out.u(6, 0).ue(1).flag(True).flag(timing is not None)
    if timing:
        out.u(32, timing[0]).u(32, timing[1]).flag(False).ue(0)
    return escape(out.flag(False).trailing().getvalue())


def h265_sps(
    *,
    sps_id: int = 0,
    vps_id: int = 0,
    sub_layers: int = 1,
    profile: int = 1,
    level: int = 93,
    chroma: int = 1,
    depth: int = 8,
    size: tuple[int, int] = (320, 240),
    window: tuple[int, int, int, int] = (0, 0, 0, 0),
    scaling: bool = False,
    ref_sets: bool = False,
    long_term: bool = False,
    pcm: bool = False,
    timing: tuple[int, int] | None = None,
    hrd: bool = False,
    reorder: int = 2,
    segmentation: int = 0,
    vui: bool = True,
) -> bytes:
    """An SPS."""
    out = BitWriter().u(16, 0x4201).u(4, vps_id).u(3, sub_layers - 1).flag(True)
    _ptl(out, sub_layers, profile, level)
    out.ue(sps_id).ue(chroma)
    if chroma == 3:
        out.flag(False)
    out.ue(size[0]).ue(size[1]).flag(any(window))
    if any(window):
        for edge in window:
            out.ue(edge)
    out.ue(depth - 8).ue(depth - 8).ue(4).flag(sub_layers > 1)
    for index in range(sub_layers):
        out.ue(4).ue(reorder if index == sub_layers - 1 else 0).ue(0)
    for value in (0, 3, 0, 3, 1, 1):
        out.ue(value)
    out.flag(scaling)
    if scaling:
        out.flag(True)
        for size_id in range(4):
            for matrix in range(2 if size_id == 3 else 6):
                out.flag(matrix == 1)
                if matrix == 1:
                    if size_id > 1:
                        out.se(3)
                    for step in range(min(64, 1 << (4 + 2 * size_id))):
                        out.se(step % 5 - 2)
                else:
                    out.ue(0)
    out.flag(True).flag(True).flag(pcm)
    if pcm:
        out.u(8, 0x77).ue(0).ue(1).flag(False)
    if ref_sets:
        out.ue(3)
        out.ue(2).ue(1).ue(0).flag(True).ue(1).flag(True).ue(0).flag(False)
        # Predicted from a set of three: four flags, one picture of the four neither used nor kept.
        out.flag(True).flag(False).ue(0).flag(True).flag(False).flag(False).flag(False).flag(True).flag(True)
        # Predicted from the three that are left.
        out.flag(True).flag(True).ue(1).flag(True).flag(True).flag(True).flag(True)
    else:
        out.ue(0)
    out.flag(long_term)
    if long_term:
        out.ue(2).u(8, 1).flag(True).u(8, 2).flag(False)
    out.flag(True).flag(True).flag(vui)
    if vui:
        out.flag(True).u(8, 14).flag(False)
        out.flag(True).u(3, 5).flag(True).flag(True).u(8, 9).u(8, 16).u(8, 9)
        out.flag(False).flag(False).flag(False).flag(False).flag(False).flag(timing is not None)
        if timing:
            out.u(32, timing[0]).u(32, timing[1]).flag(False).flag(hrd)
            if hrd:
                out.flag(True).flag(True).flag(True).u(8, 1).u(5, 1).flag(True).u(5, 1).u(8, 0x11).u(4, 1).u(15, 9)
                for _ in range(sub_layers):
                    out.flag(False).flag(False).flag(False).ue(1)
                    for _ in range(4):
                        out.ue(100).ue(200).ue(300).ue(400).flag(True)
        out.flag(True).u(3, 0).ue(segmentation).ue(0).ue(0).ue(15).ue(15)
    return escape(out.flag(False).trailing().getvalue())


def h265_pps(
    pps_id: int = 0, sps_id: int = 0, tail: int = 0, *, tiles: bool = False, wavefronts: bool = False
) -> bytes:
    """A PPS up to its tile flags."""
    out = BitWriter().u(16, 0x4401).ue(pps_id).ue(sps_id).u(7, 0).ue(tail).ue(0).se(0).u(2, 0).flag(True).ue(0)
    out.se(0).se(0).u(4, 0).flag(tiles).flag(wavefronts)
    return escape(out.u(8, 0xAA).trailing().getvalue())


def h265_slice(kind: int = 1, pps_id: int = 0, body: bytes = b"picture") -> bytes:
    """The beginning of a slice segment and some bytes."""
    out = BitWriter().u(16, kind << 9 | 1).flag(True)
    if 16 <= kind <= 23:
        out.flag(False)
    return escape(out.ue(pps_id).trailing().getvalue() + body)
