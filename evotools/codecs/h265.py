"""H.265: parameter sets, hvcC, key frames, codec strings (ITU-T H.265 and ISO/IEC 14496-15 8.3)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from evotools.codecs.bits import BitReader
from evotools.codecs.nal import Bytes, unescape
from evotools.codecs.vui import MAX_FPS, read_picture_fields
from evotools.errors import ParseError

NAL_BLA_W_LP = 16
NAL_IDR_W_RADL = 19
NAL_IDR_N_LP = 20
NAL_CRA = 21
NAL_VPS = 32
NAL_SPS = 33
NAL_PPS = 34
NAL_AUD = 35
NAL_SEI_PREFIX = 39
NAL_SEI_SUFFIX = 40

MAX_SIDE = 16888
"""Pixels. Level 6.2 allows 35651584 luma samples, a side at most sqrt(8 * 35651584) (A.4.1)."""
MAX_SPS_ID = 15
"""7.4.3.2.1."""
MAX_PPS_ID = 63
"""7.4.3.3.1."""
MAX_REF_SETS = 64
"""num_short_term_ref_pic_sets (7.4.3.2.1)."""
MAX_DELTA_PICS = 16
"""num_negative_pics and num_positive_pics cannot exceed the decoded picture buffer."""
MAX_ARRAYS = 64
"""Arrays in one hvcC: one for each NAL unit type that exists."""
MAX_NALS = 512
"""Parameter sets in one hvcC: 16 VPS, 16 SPS, 64 PPS and SEI messages, with room."""

_PROFILES = {
    1: "Main", 2: "Main 10", 3: "Main Still Picture", 4: "Rext", 5: "High Throughput", 6: "Multiview Main",
    7: "Scalable Main", 8: "3D Main", 9: "SCC", 10: "Scalable Rext", 11: "High Throughput SCC",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProfileTierLevel:
    """The general part of profile_tier_level (7.3.3)."""

    profile_space: int
    tier: int
    profile_idc: int
    compatibility: int
    """general_profile_compatibility_flag[0..31], flag 0 in the highest bit."""
    constraints: int
    """The 48 bits from general_progressive_source_flag on."""
    level_idc: int

    @property
    def profile(self) -> str:
        """The profile's name, such as `Main 10`."""
        idc = self.profile_idc
        # x265 and others leave profile_idc 0 and set a compatibility flag only.
        if not idc:
            idc = next((i for i in range(1, 12) if self.compatibility >> (31 - i) & 1), 0)
        return _PROFILES.get(idc, "")

    @property
    def level(self) -> str:
        """The level as people write it, such as `4.1`."""
        major, minor = divmod(self.level_idc, 30)
        return f"{major}.{minor // 3}"


@dataclass(frozen=True, slots=True)
class Vps:
    """What matters of a video parameter set."""

    id: int
    max_sub_layers: int
    temporal_id_nested: bool
    ptl: ProfileTierLevel
    fps: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Sps:
    """A sequence parameter set. `width` and `height` are those of the conformance window, in luma samples."""

    id: int
    vps_id: int
    max_sub_layers: int
    temporal_id_nested: bool
    ptl: ProfileTierLevel
    width: int
    height: int
    chroma_format_idc: int
    bit_depth: int
    bit_depth_chroma: int
    max_num_reorder: int
    max_dec_pic_buffering: int
    fps: Fraction | None = None
    field_seq: bool = False
    """Pictures are fields."""
    min_spatial_segmentation: int = 0
    sample_aspect_ratio: Fraction | None = None
    full_range: bool = False
    colour_primaries: int = 2
    transfer_characteristics: int = 2
    matrix_coefficients: int = 2

    @property
    def profile(self) -> str:
        """The profile's name, such as `Main`."""
        return self.ptl.profile


def nal_type(nal: Bytes) -> int:
    """nal_unit_type of a NAL unit; -1 when it is too short to have one."""
    return nal[0] >> 1 & 0x3F if len(nal) > 1 else -1


def _read_ptl(bits: BitReader, max_sub_layers: int) -> ProfileTierLevel:
    space, tier, idc = bits.u(2), bits.u(1), bits.u(5)
    compatibility, constraints, level = bits.u(32), bits.u(48), bits.u(8)
    if max_sub_layers > 1:
        present = [(bits.flag(), bits.flag()) for _ in range(max_sub_layers - 1)]
        bits.skip(2 * (9 - max_sub_layers))
        for profile_present, level_present in present:
            bits.skip(88 * profile_present + 8 * level_present)
    return ProfileTierLevel(space, tier, idc, compatibility, constraints, level)


def _frame_rate(units_in_tick: int, time_scale: int) -> Fraction | None:
    if units_in_tick and time_scale and time_scale < MAX_FPS * units_in_tick:
        return Fraction(time_scale, units_in_tick)
    return None


def parse_vps(nal: Bytes) -> Vps:
    """The video parameter set in a NAL unit (header included; 7.3.2.1). Raises ParseError."""
    if nal_type(nal) != NAL_VPS:
        raise ParseError("this NAL unit is no video parameter set")
    bits = BitReader(unescape(nal))
    bits.skip(16)
    vps_id = bits.u(4)
    bits.skip(2 + 6)
    sub_layers = bits.u(3) + 1
    if sub_layers > 7:
        raise ParseError("a VPS has 8 sub-layers")
    nested = bits.flag()
    bits.skip(16)
    ptl = _read_ptl(bits, sub_layers)
    fps = None
    try:
        for _ in range(sub_layers if bits.flag() else 1):
            bits.ue()
            bits.ue()
            bits.ue()
        max_layer_id = bits.u(6)
        layer_sets = bits.ue()
        if layer_sets > 1023:
            raise ParseError("a VPS has more than 1024 layer sets")
        bits.skip(layer_sets * (max_layer_id + 1))
        if bits.flag():
            fps = _frame_rate(bits.u(32), bits.u(32))
    except ParseError:
        # What decoders need stands before; timing is a courtesy.
        pass
    return Vps(vps_id, sub_layers, nested, ptl, fps)


def _skip_scaling_lists(bits: BitReader) -> None:
    # 7.3.4
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            if not bits.flag():
                bits.ue()
                continue
            if size > 1:
                bits.se()
            for _ in range(min(64, 1 << (4 + (size << 1)))):
                bits.se()


def _skip_ref_sets(bits: BitReader) -> None:
    # 7.3.7; sizes[i] is NumDeltaPocs of set i (7-71).
    count = bits.ue()
    if count > MAX_REF_SETS:
        raise ParseError(f"an SPS has {count} short-term reference picture sets")
    size = 0
    for index in range(count):
        if index and bits.flag():
            bits.skip(1)
            bits.ue()
            following = 0
            for _ in range(size + 1):
                used = bits.flag()
                if used or bits.flag():
                    following += 1
            size = following
        else:
            negative, positive = bits.ue(), bits.ue()
            if negative > MAX_DELTA_PICS or positive > MAX_DELTA_PICS:
                raise ParseError("a reference picture set is larger than the decoded picture buffer")
            for _ in range(negative + positive):
                bits.ue()
                bits.skip(1)
            size = negative + positive


def _skip_sub_layer_hrd(bits: BitReader, count: int, sub_pic: bool) -> None:
    # E.2.3
    for _ in range(count):
        bits.ue()
        bits.ue()
        if sub_pic:
            bits.ue()
            bits.ue()
        bits.skip(1)


def _skip_hrd(bits: BitReader, sub_layers: int) -> None:
    # E.2.2 with commonInfPresentFlag 1
    nal, vcl, sub_pic = bits.flag(), bits.flag(), False
    if nal or vcl:
        sub_pic = bits.flag()
        if sub_pic:
            bits.skip(8 + 5 + 1 + 5)
        bits.skip(8)
        if sub_pic:
            bits.skip(4)
        bits.skip(15)
    for _ in range(sub_layers):
        fixed_general = bits.flag()
        fixed_within = True if fixed_general else bits.flag()
        low_delay = False
        if fixed_within:
            bits.ue()
        else:
            low_delay = bits.flag()
        count = 1
        if not low_delay:
            count = bits.ue() + 1
            if count > 32:
                raise ParseError("an SPS has more than 32 coded picture buffers")
        for _ in range(nal + vcl):
            _skip_sub_layer_hrd(bits, count, sub_pic)


def _parse_vui(bits: BitReader, sub_layers: int, found: dict[str, object]) -> None:
    # E.2.1. Puts fields into `found` as it meets them: what stands before a broken end is kept.
    read_picture_fields(bits, found)
    bits.skip(1)
    found["field_seq"] = bits.flag()
    bits.skip(1)
    if bits.flag():
        # The default display window is a wish, not the size of the picture.
        for _ in range(4):
            bits.ue()
    if bits.flag():
        found["fps"] = _frame_rate(bits.u(32), bits.u(32))
        if bits.flag():
            bits.ue()
        if bits.flag():
            _skip_hrd(bits, sub_layers)
    if bits.flag():
        bits.skip(3)
        segmentation = bits.ue()
        if segmentation <= 4095:
            found["min_spatial_segmentation"] = segmentation


def parse_sps(nal: Bytes) -> Sps:
    """The sequence parameter set in a NAL unit (header included; 7.3.2.2, VUI E.2.1).

    Raises ParseError. Only a VUI that breaks off does not fail.
    """
    if nal_type(nal) != NAL_SPS:
        raise ParseError("this NAL unit is no sequence parameter set")
    if (nal[0] & 1) << 5 | nal[1] >> 3:
        raise ParseError("this sequence parameter set belongs to an enhancement layer")
    bits = BitReader(unescape(nal))
    bits.skip(16)
    vps_id = bits.u(4)
    sub_layers = bits.u(3) + 1
    if sub_layers > 7:
        raise ParseError("an SPS has 8 sub-layers")
    nested = bits.flag()
    ptl = _read_ptl(bits, sub_layers)
    sps_id = bits.ue()
    if sps_id > MAX_SPS_ID:
        raise ParseError(f"sequence parameter set id {sps_id} is above {MAX_SPS_ID}")
    chroma = bits.ue()
    if chroma > 3:
        raise ParseError(f"chroma_format_idc {chroma} is above 3")
    separate_planes = chroma == 3 and bits.flag()
    width, height = bits.ue(), bits.ue()
    if not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE:
        raise ParseError(f"a picture of {width}x{height} is outside 1..{MAX_SIDE}")
    if bits.flag():
        # Table 6-1: SubWidthC and SubHeightC.
        unit_x = 2 if chroma in (1, 2) and not separate_planes else 1
        unit_y = 2 if chroma == 1 else 1
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= (left + right) * unit_x
        height -= (top + bottom) * unit_y
        if width <= 0 or height <= 0:
            raise ParseError("the conformance window leaves no picture")
    depth, depth_chroma = bits.ue() + 8, bits.ue() + 8
    if depth > 16 or depth_chroma > 16:
        raise ParseError("a bit depth is above 16")
    poc_bits = bits.ue() + 4
    if poc_bits > 16:
        raise ParseError("log2_max_pic_order_cnt_lsb is above 16")
    buffering = reorder = 0
    for _ in range(sub_layers if bits.flag() else 1):
        buffering, reorder = bits.ue() + 1, bits.ue()
        bits.ue()
    if buffering > 16 or reorder >= buffering:
        raise ParseError("the decoded picture buffer of an SPS is out of range")
    for _ in range(6):
        bits.ue()
    if bits.flag() and bits.flag():
        _skip_scaling_lists(bits)
    bits.skip(2)
    if bits.flag():
        bits.skip(8)
        bits.ue()
        bits.ue()
        bits.skip(1)
    _skip_ref_sets(bits)
    if bits.flag():
        long_term = bits.ue()
        if long_term > 32:
            raise ParseError("an SPS has more than 32 long-term reference pictures")
        bits.skip(long_term * (poc_bits + 1))
    bits.skip(2)
    found: dict[str, object] = {}
    try:
        if bits.flag():
            _parse_vui(bits, sub_layers, found)
    except ParseError:
        pass
    return Sps(
        sps_id, vps_id, sub_layers, nested, ptl, width, height, chroma, depth, depth_chroma, reorder, buffering,
        **found,  # type: ignore[arg-type]
    )  # fmt: skip


def parse_pps_ids(nal: Bytes) -> tuple[int, int]:
    """(pps_pic_parameter_set_id, pps_seq_parameter_set_id) of a picture parameter set (7.3.2.3). Raises ParseError."""
    if nal_type(nal) != NAL_PPS:
        raise ParseError("this NAL unit is no picture parameter set")
    bits = BitReader(unescape(nal[:24]))
    bits.skip(16)
    pps_id, sps_id = bits.ue(), bits.ue()
    if pps_id > MAX_PPS_ID or sps_id > MAX_SPS_ID:
        raise ParseError("a picture parameter set has an id out of range")
    return pps_id, sps_id


def slice_pps_id(nal: Bytes) -> int:
    """slice_pic_parameter_set_id of a slice segment (7.3.6.1). Raises ParseError."""
    bits = BitReader(unescape(nal[:24]))
    bits.skip(17)
    if 16 <= nal_type(nal) <= 23:
        bits.skip(1)
    pps_id = bits.ue()
    if pps_id > MAX_PPS_ID:
        raise ParseError("a slice names a picture parameter set out of range")
    return pps_id


def _parallelism(pps: Sequence[bytes]) -> int:
    """parallelismType of 14496-15 8.3.3.1.3: 1 slices, 2 tiles, 3 wavefronts, 0 mixed or unknown."""
    kinds = set()
    for unit in pps:
        try:
            bits = BitReader(unescape(unit))
            bits.skip(16)
            bits.ue()
            bits.ue()
            bits.skip(1 + 1 + 3 + 1 + 1)
            bits.ue()
            bits.ue()
            bits.se()
            bits.skip(2)
            if bits.flag():
                bits.ue()
            bits.se()
            bits.se()
            bits.skip(4)
            tiles, wavefronts = bits.flag(), bits.flag()
        except ParseError:
            return 0
        kinds.add(0 if tiles and wavefronts else 3 if wavefronts else 2 if tiles else 1)
    return kinds.pop() if len(kinds) == 1 else 0


def is_idr(nals: Iterable[Bytes]) -> bool:
    """Whether an access unit is an instantaneous decoding refresh."""
    return any(nal_type(nal) in (NAL_IDR_W_RADL, NAL_IDR_N_LP) for nal in nals)


def is_keyframe(nals: Iterable[Bytes]) -> bool:
    """Whether decoding can start at this access unit: an IRAP picture, NAL unit types 16 to 21 (3.68)."""
    return any(NAL_BLA_W_LP <= nal_type(nal) <= NAL_CRA for nal in nals)


@dataclass(frozen=True, slots=True)
class HevcConfig:
    """HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 8.3.3.1)."""

    ptl: ProfileTierLevel
    min_spatial_segmentation: int
    parallelism: int
    chroma_format_idc: int
    bit_depth: int
    bit_depth_chroma: int
    avg_frame_rate: int
    """Frames in 256 seconds; 0 when not told."""
    constant_frame_rate: int
    num_temporal_layers: int
    temporal_id_nested: bool
    length_size: int
    arrays: tuple[tuple[int, bool, tuple[bytes, ...]], ...]
    """(NAL unit type, complete, NAL units)."""

    def nals(self, kind: int) -> tuple[bytes, ...]:
        """The NAL units of one type."""
        return tuple(unit for array_kind, _, units in self.arrays if array_kind == kind for unit in units)

    @property
    def vps(self) -> tuple[bytes, ...]:
        """Video parameter sets."""
        return self.nals(NAL_VPS)

    @property
    def sps(self) -> tuple[bytes, ...]:
        """Sequence parameter sets."""
        return self.nals(NAL_SPS)

    @property
    def pps(self) -> tuple[bytes, ...]:
        """Picture parameter sets."""
        return self.nals(NAL_PPS)

    @property
    def sei(self) -> tuple[bytes, ...]:
        """SEI messages that hold for the whole stream."""
        return self.nals(NAL_SEI_PREFIX) + self.nals(NAL_SEI_SUFFIX)


def parse_hvcc(data: Bytes) -> HevcConfig:
    """The fields of an hvcC record. Raises ParseError. Records without parameter sets (hev1) are accepted."""
    data = bytes(data)
    if len(data) < 23:
        raise ParseError(f"hvcC has {len(data)} bytes, fewer than 23")
    # Some muxers wrote version 0 before the standard was final; the layout is the same.
    if data[0] > 1:
        raise ParseError(f"hvcC version {data[0]} is unknown")
    bits = BitReader(data)
    bits.skip(8)
    ptl = ProfileTierLevel(bits.u(2), bits.u(1), bits.u(5), bits.u(32), bits.u(48), bits.u(8))
    segmentation = bits.u(16) & 0xFFF
    parallelism, chroma = bits.u(8) & 3, bits.u(8) & 3
    depth, depth_chroma = (bits.u(8) & 7) + 8, (bits.u(8) & 7) + 8
    average, constant, layers, nested, length_size = bits.u(16), bits.u(2), bits.u(3), bits.flag(), bits.u(2) + 1
    arrays: list[tuple[int, bool, tuple[bytes, ...]]] = []
    count, position, total = data[22], 23, 0
    if count > MAX_ARRAYS:
        raise ParseError(f"hvcC has {count} arrays")
    for _ in range(count):
        if position + 3 > len(data):
            raise ParseError("hvcC ends inside an array", offset=position)
        head, units = data[position], int.from_bytes(data[position + 1 : position + 3], "big")
        position += 3
        total += units
        if total > MAX_NALS:
            raise ParseError(f"hvcC has more than {MAX_NALS} NAL units")
        found = []
        for _ in range(units):
            start = position + 2
            position = start + int.from_bytes(data[position:start], "big")
            if position > len(data) or start > len(data):
                raise ParseError("hvcC ends inside a NAL unit", offset=start - 2)
            found.append(data[start:position])
        arrays.append((head & 0x3F, bool(head & 0x80), tuple(found)))
    return HevcConfig(
        ptl, segmentation, parallelism, chroma, depth, depth_chroma, average, constant, layers, nested, length_size,
        tuple(arrays),
    )  # fmt: skip


def build_hvcc(vps: Sequence[bytes], sps: Sequence[bytes], pps: Sequence[bytes], sei: Sequence[bytes] = ()) -> bytes:
    """An hvcC record with 4-byte lengths and complete arrays (hvc1).

    The general fields come from the first SPS. Raises ParseError when that is broken or missing, and for counts
    and lengths that do not fit.
    """
    if not sps:
        raise ParseError("hvcC needs a sequence parameter set")
    groups = [(NAL_VPS, vps), (NAL_SPS, sps), (NAL_PPS, pps), (NAL_SEI_PREFIX, sei)]
    if sum(len(units) for _, units in groups) > MAX_NALS:
        raise ParseError(f"hvcC cannot hold more than {MAX_NALS} NAL units")
    if any(len(unit) > 0xFFFF for _, units in groups for unit in units):
        raise ParseError("a parameter set is longer than hvcC can say")
    first = parse_sps(sps[0])
    ptl = first.ptl
    parallelism = _parallelism(pps) if first.min_spatial_segmentation else 0
    parts = [
        bytes((1, ptl.profile_space << 6 | ptl.tier << 5 | ptl.profile_idc)),
        ptl.compatibility.to_bytes(4, "big"),
        ptl.constraints.to_bytes(6, "big"),
        bytes((ptl.level_idc,)),
        (0xF000 | first.min_spatial_segmentation).to_bytes(2, "big"),
        bytes((
            0xFC | parallelism, 0xFC | first.chroma_format_idc, 0xF8 | first.bit_depth - 8 & 7,
            0xF8 | first.bit_depth_chroma - 8 & 7, 0, 0,
            first.max_sub_layers << 3 | first.temporal_id_nested << 2 | 3,
            sum(1 for _, units in groups if units),
        )),
    ]  # fmt: skip
    for kind, units in groups:
        if units:
            # SEI arrays are never complete: more may stand in the stream.
            complete = 0 if kind == NAL_SEI_PREFIX else 0x80
            parts.append(bytes((complete | kind,)) + len(units).to_bytes(2, "big"))
            for unit in units:
                parts += (len(unit).to_bytes(2, "big"), unit)
    return b"".join(parts)


def codec_string(config: Bytes) -> str:
    """Codec string of an hvcC record, `hvc1.1.6.L93.B0` (ISO/IEC 14496-15 E.3). Raises ParseError."""
    if len(config) < 13 or config[0] > 1:
        raise ParseError("this is no hvcC record")
    space = ("", "A", "B", "C")[config[1] >> 6]
    # E.3: the compatibility flags in reverse bit order.
    flags = int(f"{int.from_bytes(config[2:6], 'big'):032b}"[::-1], 2)
    tier = "H" if config[1] & 0x20 else "L"
    constraints = bytes(config[6:12]).rstrip(b"\0")
    tail = "".join(f".{byte:X}" for byte in constraints)
    return f"hvc1.{space}{config[1] & 0x1F}.{flags:X}.{tier}{config[12]}{tail}"
