"""H.264: sequence parameter sets, avcC, key frames, codec strings (ITU-T H.264 and ISO/IEC 14496-15 5.3)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from evotools.codecs.bits import BitReader
from evotools.codecs.nal import Bytes, unescape
from evotools.codecs.vui import MAX_FPS, read_picture_fields
from evotools.errors import ParseError

NAL_SLICE = 1
NAL_PARTITION_A = 2
NAL_IDR = 5
NAL_SEI = 6
NAL_SPS = 7
NAL_PPS = 8
NAL_AUD = 9
NAL_SPS_EXT = 13
NAL_SUBSET_SPS = 15

SEI_RECOVERY_POINT = 6

MAX_SIDE = 16896
"""Pixels. Level 6.2 allows 139264 macroblocks, a side at most sqrt(8 * 139264) of them (A.3.1)."""
MAX_SPS_ID = 31
"""7.4.2.1.1."""
MAX_PPS_ID = 255
"""7.4.2.2."""
MAX_SEI_MESSAGES = 64
"""In one NAL unit; real encoders write fewer than ten."""

_CHROMA_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
"""Profiles whose SPS carries chroma_format_idc and what follows (7.3.2.1.1)."""

_PROFILES = {
    66: "Baseline", 77: "Main", 88: "Extended", 100: "High", 110: "High 10", 122: "High 4:2:2",
    244: "High 4:4:4 Predictive", 44: "CAVLC 4:4:4 Intra", 83: "Scalable Baseline", 86: "Scalable High",
    118: "Multiview High", 128: "Stereo High", 138: "Multiview Depth High", 139: "Enhanced Multiview Depth High",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sps:
    """A sequence parameter set. `width` and `height` are cropped, in luma samples."""

    id: int
    profile_idc: int
    constraint_flags: int
    """The byte between profile_idc and level_idc."""
    level_idc: int
    width: int
    height: int
    chroma_format_idc: int
    bit_depth: int
    bit_depth_chroma: int
    poc_type: int
    max_num_ref_frames: int
    frame_mbs_only: bool
    """False: pictures may be interlaced."""
    fps: Fraction | None = None
    """Frames (not fields) per second that the VUI declares."""
    fixed_frame_rate: bool = False
    sample_aspect_ratio: Fraction | None = None
    full_range: bool = False
    colour_primaries: int = 2
    transfer_characteristics: int = 2
    matrix_coefficients: int = 2
    max_num_reorder: int | None = None
    """Pictures that may overtake; None when the bitstream does not say and the profile does not settle it."""
    max_dec_frame_buffering: int | None = None

    @property
    def profile(self) -> str:
        """The profile's name, such as `High`."""
        return profile_name(self.profile_idc, self.constraint_flags)

    @property
    def level(self) -> str:
        """The level as people write it: `3.1`, `1b`."""
        if self.level_idc == 9 or (
            self.level_idc == 11 and self.constraint_flags & 0x10 and self.profile_idc in (66, 77, 88)
        ):
            return "1b"
        return f"{self.level_idc // 10}.{self.level_idc % 10}"


def profile_name(profile_idc: int, constraint_flags: int) -> str:
    """The name of a profile (A.2); empty when unknown."""
    if profile_idc == 66 and constraint_flags & 0x40:
        return "Constrained Baseline"
    if profile_idc == 100 and constraint_flags & 0x0C == 0x0C:
        return "Constrained High"
    name = _PROFILES.get(profile_idc, "")
    if profile_idc in (110, 122, 244) and constraint_flags & 0x10:
        return f"{name} Intra".replace(" Predictive", "")
    return name


def nal_type(nal: Bytes) -> int:
    """nal_unit_type of a NAL unit; -1 when it is empty."""
    return nal[0] & 0x1F if len(nal) else -1


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    # 7.3.2.1.1.1
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) & 0xFF
        last = following or last


def _skip_hrd(bits: BitReader) -> None:
    # E.1.2
    count = bits.ue() + 1
    if count > 32:
        raise ParseError("an SPS has more than 32 coded picture buffers")
    bits.skip(8)
    for _ in range(count):
        bits.ue()
        bits.ue()
        bits.skip(1)
    bits.skip(20)


def _parse_vui(bits: BitReader, found: dict[str, object]) -> None:
    # E.1.1. Puts fields into `found` as it meets them: what stands before a broken end is kept.
    read_picture_fields(bits, found)
    if bits.flag():
        units_in_tick, time_scale = bits.u(32), bits.u(32)
        found["fixed_frame_rate"] = bits.flag()
        # One tick is one field (E.2.1 num_units_in_tick).
        if units_in_tick and time_scale and time_scale < 2 * MAX_FPS * units_in_tick:
            found["fps"] = Fraction(time_scale, 2 * units_in_tick)
    nal_hrd = bits.flag()
    if nal_hrd:
        _skip_hrd(bits)
    vcl_hrd = bits.flag()
    if vcl_hrd:
        _skip_hrd(bits)
    if nal_hrd or vcl_hrd:
        bits.skip(1)
    bits.skip(1)
    if bits.flag():
        bits.skip(1)
        for _ in range(4):
            bits.ue()
        reorder, buffering = bits.ue(), bits.ue()
        if reorder <= buffering <= 16:
            found["max_num_reorder"] = reorder
            found["max_dec_frame_buffering"] = buffering


def parse_sps(nal: Bytes) -> Sps:
    """The sequence parameter set in a NAL unit (header byte included; H.264 7.3.2.1.1, VUI E.1.1).

    Raises ParseError. Only a VUI that breaks off does not fail: some cameras write them cut.
    """
    if nal_type(nal) not in (NAL_SPS, NAL_SUBSET_SPS):
        raise ParseError("this NAL unit is no sequence parameter set")
    bits = BitReader(unescape(nal))
    bits.skip(8)
    profile_idc, constraint_flags, level_idc = bits.u(8), bits.u(8), bits.u(8)
    sps_id = bits.ue()
    if sps_id > MAX_SPS_ID:
        raise ParseError(f"sequence parameter set id {sps_id} is above {MAX_SPS_ID}")
    chroma, depth, depth_chroma, separate_planes = 1, 8, 8, False
    if profile_idc in _CHROMA_PROFILES:
        chroma = bits.ue()
        if chroma > 3:
            raise ParseError(f"chroma_format_idc {chroma} is above 3")
        if chroma == 3:
            separate_planes = bits.flag()
        depth, depth_chroma = bits.ue() + 8, bits.ue() + 8
        if depth > 14 or depth_chroma > 14:
            raise ParseError("a bit depth is above 14")
        bits.skip(1)
        if bits.flag():
            for index in range(12 if chroma == 3 else 8):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.ue()
    poc_type = bits.ue()
    if poc_type > 2:
        raise ParseError(f"pic_order_cnt_type {poc_type} is above 2")
    if poc_type == 0:
        bits.ue()
    elif poc_type == 1:
        bits.skip(1)
        bits.se()
        bits.se()
        cycle = bits.ue()
        if cycle > 255:
            raise ParseError("num_ref_frames_in_pic_order_cnt_cycle is above 255")
        for _ in range(cycle):
            bits.se()
    ref_frames = bits.ue()
    bits.skip(1)
    width = (bits.ue() + 1) * 16
    map_units = bits.ue() + 1
    frame_mbs_only = bits.flag()
    height = map_units * 16 * (1 if frame_mbs_only else 2)
    if width > MAX_SIDE or height > MAX_SIDE:
        raise ParseError(f"a picture of {width}x{height} is above the limit of {MAX_SIDE}")
    if not frame_mbs_only:
        bits.skip(1)
    bits.skip(1)
    if bits.flag():
        # 7.4.2.1.1: crop units follow the chroma sampling and, for fields, double in height.
        array_type = 0 if separate_planes else chroma
        unit_x = 2 if array_type in (1, 2) else 1
        unit_y = (2 if array_type == 1 else 1) * (1 if frame_mbs_only else 2)
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= (left + right) * unit_x
        height -= (top + bottom) * unit_y
        if width <= 0 or height <= 0:
            raise ParseError("the frame cropping leaves no picture")
    found: dict[str, object] = {}
    try:
        if bits.flag():
            _parse_vui(bits, found)
    except ParseError:
        pass
    if "max_num_reorder" not in found and (
        # Baseline has no B slices, POC type 2 no reordering, intra profiles say so in constraint_set3 (A.3.1, E.2.1).
        profile_idc == 66 or poc_type == 2 or (constraint_flags & 0x10 and profile_idc in (44, 86, 100, 110, 122, 244))
    ):
        found["max_num_reorder"] = 0
    return Sps(
        sps_id, profile_idc, constraint_flags, level_idc, width, height, chroma, depth, depth_chroma, poc_type,
        ref_frames, frame_mbs_only, **found,  # type: ignore[arg-type]
    )  # fmt: skip


def parse_pps_ids(nal: Bytes) -> tuple[int, int]:
    """(pic_parameter_set_id, seq_parameter_set_id) of a picture parameter set (7.3.2.2). Raises ParseError."""
    if nal_type(nal) != NAL_PPS:
        raise ParseError("this NAL unit is no picture parameter set")
    bits = BitReader(unescape(nal[:24]))
    bits.skip(8)
    pps_id, sps_id = bits.ue(), bits.ue()
    if pps_id > MAX_PPS_ID or sps_id > MAX_SPS_ID:
        raise ParseError("a picture parameter set has an id out of range")
    return pps_id, sps_id


def parse_sps_ext_id(nal: Bytes) -> int:
    """seq_parameter_set_id of a sequence parameter set extension (7.3.2.1.2). Raises ParseError."""
    bits = BitReader(unescape(nal[:16]))
    bits.skip(8)
    sps_id = bits.ue()
    if sps_id > MAX_SPS_ID:
        raise ParseError(f"sequence parameter set id {sps_id} is above {MAX_SPS_ID}")
    return sps_id


def parse_slice(nal: Bytes) -> tuple[int, int, int]:
    """(first_mb_in_slice, slice_type 0..9, pic_parameter_set_id) of a slice (7.3.3). Raises ParseError."""
    bits = BitReader(unescape(nal[:24]))
    bits.skip(8)
    first_mb, slice_type, pps_id = bits.ue(), bits.ue(), bits.ue()
    if slice_type > 9 or pps_id > MAX_PPS_ID:
        raise ParseError("a slice header has a field out of range")
    return first_mb, slice_type, pps_id


def _has_recovery_point(sei: Bytes) -> bool:
    # 7.3.2.3.1
    data = unescape(sei)
    position, total = 1, len(data)
    for _ in range(MAX_SEI_MESSAGES):
        header = [0, 0]
        for field in (0, 1):
            while position < total and data[position] == 0xFF:
                header[field] += 255
                position += 1
            if position >= total:
                return False
            header[field] += data[position]
            position += 1
        if header[0] == SEI_RECOVERY_POINT:
            return True
        position += header[1]
        if position >= total - 1:
            return False
    return False


def is_idr(nals: Iterable[Bytes]) -> bool:
    """Whether an access unit is an instantaneous decoding refresh."""
    return any(nal[0] & 0x1F == NAL_IDR for nal in nals if len(nal))


def is_keyframe(nals: Iterable[Bytes]) -> bool:
    """Whether decoding can start at this access unit.

    An IDR picture; or a picture of I slices only, with a recovery point SEI message (open GOP) or a sequence
    parameter set beside it (broadcast encoders, ETSI TS 101 154 random access points).
    """
    slices: list[Bytes] = []
    joinable = False
    for nal in nals:
        kind = nal_type(nal)
        if kind == NAL_IDR:
            return True
        if kind in (NAL_SLICE, NAL_PARTITION_A):
            slices.append(nal)
        elif kind == NAL_SPS:
            joinable = True
        elif kind == NAL_SEI and not joinable:
            joinable = _has_recovery_point(nal)
    if not joinable or not slices:
        return False
    try:
        return all(parse_slice(nal)[1] % 5 in (2, 4) for nal in slices)
    except ParseError:
        return False


@dataclass(frozen=True, slots=True)
class AvcConfig:
    """AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3.1)."""

    profile_idc: int
    constraint_flags: int
    level_idc: int
    length_size: int
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    sps_ext: tuple[bytes, ...] = ()


def _read_sets(data: bytes, position: int, count: int) -> tuple[tuple[bytes, ...], int]:
    sets = []
    for _ in range(count):
        start = position + 2
        position = start + int.from_bytes(data[position:start], "big")
        if position > len(data) or start > len(data):
            raise ParseError("avcC ends inside a parameter set", offset=start - 2)
        sets.append(data[start:position])
    return tuple(sets), position


def parse_avcc(data: Bytes) -> AvcConfig:
    """The fields of an avcC record. Raises ParseError. Records without parameter sets (avc3) are accepted."""
    data = bytes(data)
    if len(data) < 7:
        raise ParseError(f"avcC has {len(data)} bytes, fewer than 7")
    if data[0] != 1:
        raise ParseError(f"avcC version {data[0]} is unknown")
    sps, position = _read_sets(data, 6, data[5] & 0x1F)
    if position >= len(data):
        raise ParseError("avcC ends before its picture parameter sets", offset=position)
    pps, position = _read_sets(data, position + 1, data[position])
    extensions: tuple[bytes, ...] = ()
    # Writers of High profile records often leave the four bytes of 5.3.3.1.2 out.
    if data[1] not in (66, 77, 88) and len(data) >= position + 4:
        extensions, _ = _read_sets(data, position + 4, data[position + 3])
    return AvcConfig(data[1], data[2], data[3], (data[4] & 3) + 1, sps, pps, extensions)


def build_avcc(sps: Sequence[bytes], pps: Sequence[bytes], sps_ext: Sequence[bytes] = ()) -> bytes:
    """An avcC record with 4-byte lengths. Raises ParseError when the first SPS is broken or a count is too high."""
    if not sps or len(sps) > 31 or len(pps) > 255 or len(sps_ext) > 255:
        raise ParseError(f"avcC cannot hold {len(sps)} sequence and {len(pps)} picture parameter sets")
    if any(len(unit) > 0xFFFF for group in (sps, pps, sps_ext) for unit in group):
        raise ParseError("a parameter set is longer than avcC can say")
    first = parse_sps(sps[0])
    parts = [bytes((1, first.profile_idc, first.constraint_flags, first.level_idc, 0xFF, 0xE0 | len(sps)))]
    for unit in sps:
        parts += (len(unit).to_bytes(2, "big"), unit)
    parts.append(bytes((len(pps),)))
    for unit in pps:
        parts += (len(unit).to_bytes(2, "big"), unit)
    if first.profile_idc not in (66, 77, 88):
        parts.append(
            bytes((0xFC | first.chroma_format_idc, 0xF8 | first.bit_depth - 8, 0xF8 | first.bit_depth_chroma - 8,
                   len(sps_ext)))
        )  # fmt: skip
        for unit in sps_ext:
            parts += (len(unit).to_bytes(2, "big"), unit)
    return b"".join(parts)


def codec_string(config: Bytes) -> str:
    """RFC 6381 3.3 string of an avcC record: `avc1.42C01E`. Raises ParseError."""
    if len(config) < 4 or config[0] != 1:
        raise ParseError("this is no avcC record")
    return f"avc1.{config[1]:02X}{config[2]:02X}{config[3]:02X}"
