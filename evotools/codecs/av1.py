"""AV1: OBUs, sequence header, av1C, codec strings (AV1 bitstream specification 5; AV1 codec ISO media binding)."""

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from evotools.codecs.bits import BitReader, BitWriter
from evotools.codecs.nal import Bytes
from evotools.errors import ParseError

OBU_SEQUENCE_HEADER = 1
OBU_TEMPORAL_DELIMITER = 2
OBU_FRAME_HEADER = 3
OBU_TILE_GROUP = 4
OBU_METADATA = 5
OBU_FRAME = 6
OBU_REDUNDANT_FRAME_HEADER = 7
OBU_TILE_LIST = 8
OBU_PADDING = 15

TEMPORAL_DELIMITER = b"\x12\x00"
"""With its size field, as streams carry it."""

MAX_OBU_SIZE = 2**32 - 1
"""leb128() values stay below 2**32 (4.10.5)."""
MAX_FPS = 1000
"""A clock of 1000 or more pictures per second is a time base, not a frame rate."""

_LEB128_BYTES = 8
_PROFILES = ("Main", "High", "Professional")


class Obu(NamedTuple):
    """One open bitstream unit."""

    type: int
    temporal_id: int
    spatial_id: int
    data: bytes
    """Whole, as it stood: header, size field when there was one, payload."""
    payload: bytes


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """One operating point of a sequence header."""

    idc: int
    level_idx: int
    """seq_level_idx: level X.Y is (X - 2) * 4 + Y; 31 is the maximum parameters."""
    tier: int
    initial_display_delay: int | None = None


@dataclass(frozen=True, slots=True)
class SequenceHeader:
    """sequence_header_obu (5.5.1). `width` and `height` are the largest a frame may have."""

    profile: int
    still_picture: bool
    reduced_still_picture_header: bool
    operating_points: tuple[OperatingPoint, ...]
    width: int
    height: int
    bit_depth: int
    monochrome: bool
    subsampling_x: bool
    subsampling_y: bool
    chroma_sample_position: int
    colour_primaries: int
    transfer_characteristics: int
    matrix_coefficients: int
    full_range: bool
    film_grain: bool
    fps: Fraction | None = None
    decoder_model_info: bool = False

    @property
    def profile_name(self) -> str:
        """The profile's name, such as `Main`."""
        return _PROFILES[self.profile]

    @property
    def level(self) -> str:
        """The level of the first operating point, such as `4.0`."""
        index = self.operating_points[0].level_idx
        return "max" if index == 31 else f"{2 + (index >> 2)}.{index & 3}"


@dataclass(frozen=True, slots=True)
class Av1Config:
    """AV1CodecConfigurationRecord."""

    profile: int
    level_idx: int
    tier: int
    high_bitdepth: bool
    twelve_bit: bool
    monochrome: bool
    subsampling_x: bool
    subsampling_y: bool
    chroma_sample_position: int
    initial_presentation_delay: int | None
    config_obus: bytes

    @property
    def bit_depth(self) -> int:
        """8, 10 or 12."""
        return (12 if self.twelve_bit else 10) if self.high_bitdepth else 8


def _read_leb128(data: bytes, position: int) -> tuple[int, int]:
    """(value, position behind it)."""
    value = 0
    for index in range(_LEB128_BYTES):
        if position >= len(data):
            raise ParseError("an OBU ends inside its size", offset=position)
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value > MAX_OBU_SIZE:
                break
            return value, position
    raise ParseError("an OBU size is too large", offset=position)


def leb128(value: int) -> bytes:
    """`value` as leb128() (4.10.5)."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def split_obus(data: Bytes) -> list[Obu]:
    """The OBUs of a temporal unit in the low-overhead format (5.3). One without a size field reaches to the end.

    Raises ParseError.
    """
    data = bytes(data)
    found: list[Obu] = []
    position, total = 0, len(data)
    while position < total:
        start = position
        head = data[position]
        if head & 0x80:
            raise ParseError("an OBU has its forbidden bit set", offset=position)
        position += 1
        temporal = spatial = 0
        if head & 4:
            if position >= total:
                raise ParseError("an OBU ends inside its header", offset=position)
            temporal, spatial = data[position] >> 5, data[position] >> 3 & 3
            position += 1
        size = total - position
        if head & 2:
            size, position = _read_leb128(data, position)
        end = position + size
        if end > total:
            raise ParseError("an OBU reaches beyond its temporal unit", offset=start)
        found.append(Obu(head >> 3 & 15, temporal, spatial, data[start:end], data[position:end]))
        position = end
    return found


def with_size(obu: Bytes) -> bytes:
    """The OBU with a size field; unchanged when it has one. Raises ParseError."""
    data = bytes(obu)
    if not data or data[0] & 2:
        return data
    header = 2 if data[0] & 4 else 1
    if len(data) < header:
        raise ParseError("an OBU ends inside its header")
    return bytes((data[0] | 2,)) + data[1:header] + leb128(len(data) - header) + data[header:]


def canonical(data: Bytes) -> bytes:
    """The temporal unit as `Frame.payload` has it: size fields everywhere, no temporal delimiter, no padding.

    Raises ParseError.
    """
    units = split_obus(data)
    return b"".join(
        with_size(unit.data) for unit in units if unit.type not in (OBU_TEMPORAL_DELIMITER, OBU_PADDING)
    )  # fmt: skip


def is_canonical(data: Bytes) -> bool:
    """Whether every OBU has a size and none is a temporal delimiter or padding (5.3.2); never raises."""
    position, total = 0, len(data)
    try:
        while position < total:
            head = data[position]
            # obu_has_size_field; obu_type
            if not head & 2 or (head >> 3 & 15) in (OBU_TEMPORAL_DELIMITER, OBU_PADDING):
                return False
            position += 2 if head & 4 else 1
            size = shift = 0
            while True:
                # leb128 (4.10.5)
                octet = data[position]
                position += 1
                size |= (octet & 0x7F) << shift
                shift += 7
                if octet < 0x80:
                    break
            position += size
    except IndexError:
        return False
    return position == total


def strip_temporal_delimiter(data: Bytes) -> bytes:
    """The temporal unit without temporal delimiters. Raises ParseError."""
    data = bytes(data)
    if data.startswith(TEMPORAL_DELIMITER):
        data = data[2:]
    units = split_obus(data)
    if all(unit.type != OBU_TEMPORAL_DELIMITER for unit in units):
        return data
    return b"".join(unit.data for unit in units if unit.type != OBU_TEMPORAL_DELIMITER)


def find_sequence_header(data: Bytes) -> bytes | None:
    """The first sequence header OBU of a temporal unit, with a size field; None when there is none.

    Raises ParseError.
    """
    return next((with_size(unit.data) for unit in split_obus(data) if unit.type == OBU_SEQUENCE_HEADER), None)


def is_keyframe(data: Bytes) -> bool:
    """Whether a temporal unit begins with a shown key frame (7.6.1); False for what cannot be parsed."""
    try:
        units = split_obus(data)
    except ParseError:
        return False
    for unit in units:
        if unit.type in (OBU_FRAME_HEADER, OBU_FRAME):
            # 5.9.2: show_existing_frame 0, frame_type KEY_FRAME 0, show_frame 1. A reduced still picture has no
            # such bits, but is always a key frame.
            if unit.payload and unit.payload[0] & 0xF0 == 0x10:
                return True
            return any(
                other.type == OBU_SEQUENCE_HEADER and len(other.payload) > 0 and other.payload[0] & 0x08
                for other in units
            )  # fmt: skip
    return False


def _uvlc(bits: BitReader) -> int:
    # 4.10.3
    zeros = 0
    while not bits.flag():
        zeros += 1
        if zeros >= 32:
            return 2**32 - 1
    return bits.u(zeros) + (1 << zeros) - 1


def _read_timing(bits: BitReader) -> Fraction | None:
    # 5.5.3 timing_info
    units_in_tick, time_scale = bits.u(32), bits.u(32)
    if not bits.flag():
        return None
    ticks = _uvlc(bits) + 1
    if units_in_tick and time_scale and time_scale < MAX_FPS * units_in_tick * ticks:
        return Fraction(time_scale, units_in_tick * ticks)
    return None


def parse_sequence_header(obu: Bytes) -> SequenceHeader:
    """The sequence header in an OBU (header included, with or without size field; 5.5). Raises ParseError."""
    units = split_obus(obu)
    if not units or units[0].type != OBU_SEQUENCE_HEADER:
        raise ParseError("this OBU is no sequence header")
    bits = BitReader(units[0].payload)
    profile, still, reduced = bits.u(3), bits.flag(), bits.flag()
    if profile > 2:
        raise ParseError(f"AV1 profile {profile} is reserved")
    if reduced and not still:
        raise ParseError("a reduced sequence header is not for a still picture")
    fps: Fraction | None = None
    model = False
    points: list[OperatingPoint] = []
    if reduced:
        points.append(OperatingPoint(0, bits.u(5), 0))
    else:
        delay_length = 0
        if bits.flag():
            fps = _read_timing(bits)
            model = bits.flag()
            if model:
                # 5.5.4 decoder_model_info
                delay_length = bits.u(5) + 1
                bits.skip(32 + 5 + 5)
        display_delay = bits.flag()
        for _ in range(bits.u(5) + 1):
            idc, level = bits.u(12), bits.u(5)
            tier = bits.u(1) if level > 7 else 0
            if model and bits.flag():
                bits.skip(2 * delay_length + 1)
            initial = bits.u(4) + 1 if display_delay and bits.flag() else None
            points.append(OperatingPoint(idc, level, tier, initial))
    width_bits, height_bits = bits.u(4) + 1, bits.u(4) + 1
    width, height = bits.u(width_bits) + 1, bits.u(height_bits) + 1
    if not reduced and bits.flag():
        # frame ids: delta_frame_id_length_minus_2, additional_frame_id_length_minus_1
        bits.skip(7)
    bits.skip(3)
    if not reduced:
        bits.skip(4)
        order_hint = bits.flag()
        if order_hint:
            bits.skip(2)
        # seq_choose_screen_content_tools, seq_choose_integer_mv (5.5.1)
        screen = 2 if bits.flag() else bits.u(1)
        if screen > 0 and not bits.flag():
            bits.skip(1)
        if order_hint:
            bits.skip(3)
    bits.skip(3)
    colour = _read_color(bits, profile)
    return SequenceHeader(
        profile, still, reduced, tuple(points), width, height, *colour, bits.flag(), fps, model
    )  # fmt: skip


def _read_color(bits: BitReader, profile: int) -> tuple[int, bool, bool, bool, int, int, int, int, bool]:
    """color_config (5.5.2).

    Depth, monochrome, subsampling x and y, sample position, primaries, transfer, matrix, full range.
    """
    high = bits.flag()
    depth = (12 if profile == 2 and bits.flag() else 10) if high else 8
    mono = profile != 1 and bits.flag()
    primaries = transfer = matrix = 2
    if bits.flag():
        primaries, transfer, matrix = bits.u(8), bits.u(8), bits.u(8)
    position = 0
    if mono:
        full_range = bits.flag()
        return depth, True, True, True, 0, primaries, transfer, matrix, full_range
    if (primaries, transfer, matrix) == (1, 13, 0):
        # sRGB
        wide = high_sub = False
        full_range = True
    else:
        full_range = bits.flag()
        if profile == 0:
            wide = high_sub = True
        elif profile == 1:
            wide = high_sub = False
        elif depth == 12:
            wide = bits.flag()
            high_sub = wide and bits.flag()
        else:
            wide, high_sub = True, False
        if wide and high_sub:
            position = bits.u(2)
    bits.skip(1)
    return depth, False, wide, high_sub, position, primaries, transfer, matrix, full_range


def build_av1c(sequence_header_obu: Bytes, metadata_obus: Bytes = b"") -> bytes:
    """An av1C record for a sequence header OBU, then metadata OBUs that hold for the stream. Raises ParseError."""
    obu = with_size(sequence_header_obu)
    header = parse_sequence_header(obu)
    point = header.operating_points[0]
    out = BitWriter().u(8, 0x81).u(3, header.profile).u(5, point.level_idx).u(1, point.tier)
    out.flag(header.bit_depth > 8).flag(header.bit_depth == 12).flag(header.monochrome)
    out.flag(header.subsampling_x).flag(header.subsampling_y).u(2, header.chroma_sample_position)
    # The initial presentation delay counts samples of a file; a live stream does not know it.
    return out.u(8, 0).getvalue() + obu + bytes(metadata_obus)


def parse_av1c(data: Bytes) -> Av1Config:
    """The fields of an av1C record. Raises ParseError."""
    data = bytes(data)
    if len(data) < 4:
        raise ParseError(f"av1C has {len(data)} bytes, fewer than 4")
    if data[0] != 0x81:
        raise ParseError(f"av1C marker and version {data[0]:#x} are unknown")
    bits = BitReader(data[1:4])
    profile, level, tier, high, twelve, mono = bits.u(3), bits.u(5), bits.u(1), bits.flag(), bits.flag(), bits.flag()
    wide, high_sub, position = bits.flag(), bits.flag(), bits.u(2)
    bits.skip(3)
    delay = bits.u(4) + 1 if bits.flag() else None
    if profile > 2:
        raise ParseError(f"AV1 profile {profile} is reserved")
    split_obus(data[4:])
    return Av1Config(profile, level, tier, high, twelve, mono, wide, high_sub, position, delay, data[4:])


def sequence_header_of(config: Bytes) -> SequenceHeader | None:
    """The sequence header inside an av1C record; None when it carries none. Raises ParseError."""
    obu = find_sequence_header(parse_av1c(config).config_obus)
    return None if obu is None else parse_sequence_header(obu)


def codec_string(config: Bytes) -> str:
    """Codec string of an av1C record: `av01.0.04M.08` (AV1 ISO media binding 5).

    The long form follows where the picture is monochrome, not 4:2:0, full range or in colours other than BT.709;
    unspecified colours (2) count as the default. Raises ParseError.
    """
    record = parse_av1c(config)
    short = f"av01.{record.profile}.{record.level_idx:02}{'H' if record.tier else 'M'}.{record.bit_depth:02}"
    header = sequence_header_of(config)
    primaries = transfer = matrix = 1
    full_range = False
    if header:
        primaries, transfer, matrix = (
            1 if value == 2 else value
            for value in (header.colour_primaries, header.transfer_characteristics, header.matrix_coefficients)
        )
        full_range = header.full_range
    chroma = f"{record.subsampling_x:d}{record.subsampling_y:d}"
    plain = chroma == "11" and not record.monochrome and not full_range
    if plain and (primaries, transfer, matrix) == (1, 1, 1):
        return short
    position = record.chroma_sample_position if chroma == "11" and not record.monochrome else 0
    return (
        f"{short}.{record.monochrome:d}.{chroma}{position}.{primaries:02}.{transfer:02}.{matrix:02}.{full_range:d}"
    )  # fmt: skip
