"""VP9: the uncompressed header, vpcC, codec strings (VP9 bitstream specification 6.2; VP codec ISO media binding)."""

from dataclasses import dataclass
from fractions import Fraction

from evotools.codecs.bits import BitReader, BitWriter
from evotools.codecs.nal import Bytes
from evotools.errors import ParseError

SYNC_CODE = 0x498342

CHROMA_420_VERTICAL, CHROMA_420_COLLOCATED, CHROMA_422, CHROMA_444 = 0, 1, 2, 3
"""chromaSubsampling of vpcC."""

_LEVELS = (
    (10, 829440, 36864), (11, 2764800, 73728), (20, 4608000, 122880), (21, 9216000, 245760),
    (30, 20736000, 552960), (31, 36864000, 983040), (40, 83558400, 2228224), (41, 160432128, 2228224),
    (50, 311951360, 8912896), (51, 588251136, 8912896), (52, 1176502272, 8912896), (60, 1176502272, 35651584),
    (61, 2353004544, 35651584), (62, 4706009088, 35651584),
)  # fmt: skip
"""(level, luma samples per second, luma samples per picture), Annex A."""

_MATRIX = (2, 6, 1, 6, 7, 9, 2, 0)
"""matrix_coefficients of ISO/IEC 23001-8 by color_space: unknown, BT.601, BT.709, SMPTE 170, 240, BT.2020, -, RGB."""
_PRIMARIES = (2, 6, 1, 6, 7, 9, 2, 1)
_TRANSFER = (2, 6, 1, 6, 7, 14, 2, 13)


@dataclass(frozen=True, slots=True)
class Vp9Header:
    """The uncompressed header of a frame. Size and colour are told by key frames (0 elsewhere)."""

    profile: int
    key: bool
    show: bool
    show_existing: bool = False
    width: int = 0
    height: int = 0
    bit_depth: int = 8
    chroma: int = CHROMA_420_COLLOCATED
    full_range: bool = False
    color_space: int = 0


@dataclass(frozen=True, slots=True)
class VpcConfig:
    """VPCodecConfigurationRecord."""

    profile: int
    level: int
    bit_depth: int
    chroma: int
    full_range: bool
    colour_primaries: int = 2
    transfer_characteristics: int = 2
    matrix_coefficients: int = 2


def parse_frame_header(frame: Bytes) -> Vp9Header:
    """The header of a frame, or of the first frame in a superframe (6.2). Raises ParseError."""
    bits = BitReader(bytes(frame[:24]))
    if bits.u(2) != 2:
        raise ParseError("no VP9 frame marker")
    profile = bits.u(1) | bits.u(1) << 1
    if profile == 3 and bits.flag():
        raise ParseError("VP9 has no profile above 3")
    if bits.flag():
        return Vp9Header(profile, False, True, show_existing=True)
    key, show = not bits.flag(), bits.flag()
    bits.skip(1)
    if not key:
        return Vp9Header(profile, False, show)
    if bits.u(24) != SYNC_CODE:
        raise ParseError("a VP9 key frame has no sync code")
    depth = (12 if bits.flag() else 10) if profile >= 2 else 8
    space = bits.u(3)
    if space == 7:
        if not profile & 1:
            raise ParseError("VP9 RGB needs profile 1 or 3")
        full_range, chroma = True, CHROMA_444
        bits.skip(1)
    else:
        full_range, chroma = bits.flag(), CHROMA_420_COLLOCATED
        if profile & 1:
            wide, high = bits.flag(), bits.flag()
            # 4:4:0 has no code in vpcC; it is told as 4:2:2, its transposed.
            chroma = CHROMA_420_COLLOCATED if wide and high else CHROMA_422 if wide or high else CHROMA_444
            bits.skip(1)
    width, height = bits.u(16) + 1, bits.u(16) + 1
    return Vp9Header(profile, True, show, False, width, height, depth, chroma, full_range, space)


def is_keyframe(frame: Bytes) -> bool:
    """Whether decoding can start at this frame; False for what is no VP9."""
    try:
        return parse_frame_header(frame).key
    except ParseError:
        return False


def level_for(width: int, height: int, fps: Fraction | None = None) -> int:
    """The lowest level that takes such pictures (30 a second when unknown); 62 when none does."""
    samples = width * height
    rate = samples * (fps or 30)
    return next((level for level, most, largest in _LEVELS if rate <= most and samples <= largest), 62)


def build_vpcc(header: Vp9Header, fps: Fraction | None = None) -> bytes:
    """The body of a vpcC box, version and flags first, from a key frame's header. Raises ParseError for others."""
    if not header.key:
        raise ParseError("vpcC needs a VP9 key frame")
    return pack_vpcc(
        VpcConfig(
            header.profile, level_for(header.width, header.height, fps), header.bit_depth, header.chroma,
            header.full_range, _PRIMARIES[header.color_space], _TRANSFER[header.color_space],
            _MATRIX[header.color_space],
        )
    )  # fmt: skip


def pack_vpcc(config: VpcConfig) -> bytes:
    """The body of a vpcC box with these fields."""
    out = BitWriter().u(8, 1).u(24, 0).u(8, config.profile).u(8, config.level).u(4, config.bit_depth)
    out.u(3, config.chroma).flag(config.full_range).u(8, config.colour_primaries)
    return out.u(8, config.transfer_characteristics).u(8, config.matrix_coefficients).u(16, 0).getvalue()


def parse_vpcc(data: Bytes) -> VpcConfig:
    """The body of a vpcC box, version and flags first. Raises ParseError."""
    bits = BitReader(data)
    version = bits.u(8)
    if version != 1:
        raise ParseError(f"vpcC version {version} is unknown")
    bits.skip(24)
    config = VpcConfig(
        bits.u(8), bits.u(8), bits.u(4), bits.u(3), bits.flag(), bits.u(8), bits.u(8), bits.u(8)
    )  # fmt: skip
    if config.profile > 3 or config.bit_depth not in (8, 10, 12):
        raise ParseError("vpcC has an impossible profile or bit depth")
    bits.skip(16)
    return config


def codec_string(config: Bytes) -> str:
    """Codec string of a vpcC body: `vp09.00.31.08`, with the long form where colours differ from the defaults.

    Unspecified colours (2) count as the default, BT.709. Raises ParseError.
    """
    record = parse_vpcc(config)
    short = f"vp09.{record.profile:02}.{record.level:02}.{record.bit_depth:02}"
    colours = (record.colour_primaries, record.transfer_characteristics, record.matrix_coefficients)
    if record.chroma < CHROMA_422 and not record.full_range and all(value in (1, 2) for value in colours):
        return short
    primaries, transfer, matrix = colours
    return f"{short}.{record.chroma:02}.{primaries:02}.{transfer:02}.{matrix:02}.{record.full_range:02}"
