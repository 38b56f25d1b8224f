"""AAC: AudioSpecificConfig (ISO/IEC 14496-3 1.6), ADTS (14496-3 1.A.2), codec strings (RFC 6381)."""

from dataclasses import dataclass
from functools import lru_cache

from evotools.codecs.bits import BitReader, BitWriter
from evotools.codecs.framing import cut
from evotools.codecs.nal import Bytes
from evotools.errors import MediaError, ParseError
from evotools.media.frame import Frame

AAC_MAIN, AAC_LC, AAC_SSR, AAC_LTP, SBR, AAC_SCALABLE = 1, 2, 3, 4, 5, 6
ER_BSAC, ER_AAC_LD, PS, LAYER_3, ER_AAC_ELD, USAC = 22, 23, 29, 34, 39, 42

SAMPLE_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
"""Table 1.18, by samplingFrequencyIndex."""

CHANNELS = (0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8)
"""Table 1.19: output channels by channelConfiguration; 0 where a program config element tells or reserved."""

MAX_ADTS_FRAME = 8191
"""aac_frame_length has 13 bits."""
MAX_SAMPLE_RATE = 192_000
"""An explicit 24-bit rate above this is nonsense: no decoder goes further."""

_GA_TYPES = frozenset({1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23})
"""Object types with a GASpecificConfig (Table 1.15)."""
_RESILIENT_TYPES = frozenset({17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 39})
_USAC_FRAME_LENGTHS = (768, 1024, 2048, 2048, 4096)
"""ISO/IEC 23003-3 Table 72 `outputFrameLength`, by coreSbrFrameLengthIndex."""
_PROFILES = {
    1: "Main", 2: "LC", 3: "SSR", 4: "LTP", 5: "HE-AAC", 23: "LD", 29: "HE-AACv2", 34: "Layer 3", 39: "ELD",
    42: "xHE-AAC",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProgramConfig:
    """program_config_element (14496-3 4.4.1.1): which elements make which channels."""

    tag: int
    profile: int
    rate_index: int
    front: tuple[tuple[bool, int], ...]
    """(is a channel pair, element tag)."""
    side: tuple[tuple[bool, int], ...]
    back: tuple[tuple[bool, int], ...]
    lfe: tuple[int, ...]
    data: tuple[int, ...]
    coupling: tuple[tuple[bool, int], ...]
    mono_mixdown: int | None
    stereo_mixdown: int | None
    matrix_mixdown: int | None
    """Index in two bits, then the pseudo-surround flag."""
    comment: bytes

    @property
    def channels(self) -> int:
        """Output channels."""
        return len(self.lfe) + sum(1 + pair for group in (self.front, self.side, self.back) for pair, _ in group)


@dataclass(frozen=True, slots=True)
class AacConfig:
    """AudioSpecificConfig."""

    object_type: int
    """Of the core decoder, such as 2 for LC; SBR and PS are told below."""
    sample_rate: int
    """Of the core decoder."""
    channel_config: int
    channels: int
    """Output channels, parametric stereo included; 0 when the configuration does not tell."""
    frame_length: int = 1024
    """Samples per access unit at `sample_rate`."""
    sbr: bool = False
    """Spectral band replication is signalled explicitly."""
    ps: bool = False
    """Parametric stereo is signalled explicitly."""
    output_sample_rate: int = 0
    """After SBR; equals `sample_rate` without it."""
    program: ProgramConfig | None = None

    @property
    def signalled_type(self) -> int:
        """The object type that the codec string names: 29 with PS, 5 with SBR, else the core's."""
        return PS if self.ps else SBR if self.sbr else self.object_type

    @property
    def profile(self) -> str:
        """The profile's name, such as `LC`."""
        return _PROFILES.get(self.signalled_type, "")


def read_object_type(bits: BitReader) -> int:
    """GetAudioObjectType (1.6.2.1, Table 1.16)."""
    value = bits.u(5)
    return 32 + bits.u(6) if value == 31 else value


def _read_rate(bits: BitReader) -> int:
    index = bits.u(4)
    if index == 15:
        rate = bits.u(24)
        if not 0 < rate <= MAX_SAMPLE_RATE:
            raise ParseError(f"a sampling frequency of {rate} Hz is impossible")
        return rate
    if index >= len(SAMPLE_RATES):
        raise ParseError(f"sampling frequency index {index} is reserved")
    return SAMPLE_RATES[index]


def _read_elements(bits: BitReader, count: int) -> tuple[tuple[bool, int], ...]:
    return tuple((bits.flag(), bits.u(4)) for _ in range(count))


def _read_program(bits: BitReader) -> ProgramConfig:
    tag, profile, rate_index = bits.u(4), bits.u(2), bits.u(4)
    fronts, sides, backs, lfes, datas, couplings = (bits.u(width) for width in (4, 4, 4, 2, 3, 4))
    mono = bits.u(4) if bits.flag() else None
    stereo = bits.u(4) if bits.flag() else None
    matrix = bits.u(3) if bits.flag() else None
    front, side, back = (_read_elements(bits, count) for count in (fronts, sides, backs))
    lfe = tuple(bits.u(4) for _ in range(lfes))
    data = tuple(bits.u(4) for _ in range(datas))
    coupling = _read_elements(bits, couplings)
    bits.byte_align()
    comment = bits.bytes_(bits.u(8))
    return ProgramConfig(
        tag, profile, rate_index, front, side, back, lfe, data, coupling, mono, stereo, matrix, comment
    )


def _write_program(out: BitWriter, program: ProgramConfig) -> None:
    out.u(4, program.tag).u(2, program.profile).u(4, program.rate_index)
    out.u(4, len(program.front)).u(4, len(program.side)).u(4, len(program.back))
    out.u(2, len(program.lfe)).u(3, len(program.data)).u(4, len(program.coupling))
    for value, width in ((program.mono_mixdown, 4), (program.stereo_mixdown, 4), (program.matrix_mixdown, 3)):
        out.flag(value is not None)
        if value is not None:
            out.u(width, value)
    for group in (program.front, program.side, program.back):
        for pair, tag in group:
            out.flag(pair).u(4, tag)
    for tag in (*program.lfe, *program.data):
        out.u(4, tag)
    for independent, tag in program.coupling:
        out.flag(independent).u(4, tag)
    out.byte_align().u(8, len(program.comment)).bytes_(program.comment)


def _channels(channel_config: int) -> int:
    return CHANNELS[channel_config] if channel_config < len(CHANNELS) else 0


def parse_asc(data: Bytes) -> AacConfig:
    """The AudioSpecificConfig in `data` (14496-3 1.6.2.1). Raises ParseError."""
    bits = BitReader(data)
    object_type = read_object_type(bits)
    rate = _read_rate(bits)
    channel_config = bits.u(4)
    channels = _channels(channel_config)
    sbr = object_type in (SBR, PS)
    ps = object_type == PS
    output_rate = rate
    if sbr:
        output_rate = _read_rate(bits)
        object_type = read_object_type(bits)
        if object_type == ER_BSAC:
            bits.skip(4)
    if object_type == 0:
        raise ParseError("AudioSpecificConfig has object type 0")
    frame_length = 1024
    program = None
    if object_type in _GA_TYPES:
        # GASpecificConfig, 4.4.1
        short = bits.flag()
        frame_length = (480 if short else 512) if object_type == ER_AAC_LD else (960 if short else 1024)
        if bits.flag():
            bits.skip(14)
        extension = bits.flag()
        if channel_config == 0:
            program = _read_program(bits)
            channels = program.channels
        if object_type in (AAC_SCALABLE, 20):
            bits.skip(3)
        if extension:
            if object_type == ER_BSAC:
                bits.skip(16)
            elif object_type in (17, 19, 20, 23):
                bits.skip(3)
            bits.skip(1)
    elif object_type == ER_AAC_ELD:
        # ELDSpecificConfig, 4.6.20.2; what follows its first field does not change the figures here.
        frame_length = 480 if bits.flag() else 512
        return AacConfig(object_type, rate, channel_config, channels, frame_length, False, False, rate)
    elif object_type == USAC:
        # UsacConfig, 23003-3 5.2
        if bits.u(5) == 0x1F:
            bits.skip(24)
        index = bits.u(3)
        if index >= len(_USAC_FRAME_LENGTHS):
            raise ParseError(f"USAC frame length index {index} is reserved")
        channels = channels or _channels(bits.u(5))
        return AacConfig(object_type, rate, channel_config, channels, _USAC_FRAME_LENGTHS[index], False, False, rate)
    elif object_type == LAYER_3:
        frame_length = 1152 if rate >= 32000 else 576
        return AacConfig(object_type, rate, channel_config, channels, frame_length, output_sample_rate=rate)
    if object_type in _RESILIENT_TYPES and bits.bits_left >= 2 and bits.u(2) >= 2:
        raise ParseError("error protection in AudioSpecificConfig is not supported")
    # 1.6.5.3: backward compatible explicit signalling of SBR and PS, behind the configuration of the core.
    if not sbr and bits.bits_left >= 16 and bits.u(11) == 0x2B7 and read_object_type(bits) == SBR:
        sbr = bits.bits_left >= 1 and bits.flag()
        if sbr:
            output_rate = _read_rate(bits)
            if bits.bits_left >= 12 and bits.u(11) == 0x548:
                ps = bits.flag()
    if ps and channels == 1:
        channels = 2
    return AacConfig(object_type, rate, channel_config, channels, frame_length, sbr, ps, output_rate, program)


def build_asc(
    object_type: int, sample_rate: int, channels: int, *, program: ProgramConfig | None = None, short: bool = False
) -> bytes:
    """An AudioSpecificConfig.

    `channels` is 1 to 8 (7 and 8 become channelConfiguration 11 and 7), or what `program` says when that is given;
    object types 5 and 29 give explicit hierarchical signalling over an LC core at half the rate. `short` means
    frames of 960 samples. Raises ParseError for what cannot be said.
    """
    configs = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 11, 8: 7, 24: 13}
    channel_config = 0 if program else configs.get(1 if object_type == PS else channels, -1)
    if channel_config < 0 or not 0 < sample_rate <= MAX_SAMPLE_RATE or not 0 < object_type < 96:
        raise ParseError(f"no AudioSpecificConfig for object type {object_type}, {sample_rate} Hz, {channels} channels")
    out = BitWriter()

    def put_type(value: int) -> None:
        if value < 31:
            out.u(5, value)
        else:
            out.u(5, 31).u(6, value - 32)

    def put_rate(rate: int) -> None:
        if rate in SAMPLE_RATES:
            out.u(4, SAMPLE_RATES.index(rate))
        else:
            out.u(4, 15).u(24, rate)

    core = object_type
    put_type(object_type)
    if object_type in (SBR, PS):
        core = AAC_LC
        put_rate(sample_rate // 2)
        out.u(4, channel_config)
        put_rate(sample_rate)
        put_type(core)
    else:
        put_rate(sample_rate)
        out.u(4, channel_config)
    if core in _GA_TYPES:
        out.flag(short).flag(False).flag(False)
        if program:
            _write_program(out, program)
    return out.getvalue()


@lru_cache(maxsize=64)
def _config_of(asc: bytes) -> AacConfig:
    return parse_asc(asc)


def codec_string(asc: Bytes) -> str:
    """RFC 6381 3.3 string: `mp4a.40.2`, `mp4a.40.5`, `mp4a.40.29`. Raises ParseError."""
    return f"mp4a.40.{parse_asc(asc).signalled_type}"


@dataclass(frozen=True, slots=True)
class AdtsHeader:
    """adts_fixed_header and adts_variable_header (14496-3 1.A.2.2)."""

    object_type: int
    sample_rate: int
    channel_config: int
    frame_length: int
    """Bytes, header included."""
    header_length: int
    """7, or 9 and more with a CRC."""
    raw_blocks: int
    """Raw data blocks in this frame, 1 to 4; each is 1024 samples."""


def parse_adts_header(data: Bytes) -> AdtsHeader:
    """The ADTS header at the start of `data` (7 bytes are enough). Raises ParseError."""
    if len(data) < 7:
        raise ParseError("an ADTS header needs 7 bytes")
    if data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        raise ParseError("no ADTS syncword")
    rate_index = data[2] >> 2 & 15
    if rate_index >= len(SAMPLE_RATES):
        raise ParseError(f"ADTS sampling frequency index {rate_index} is reserved")
    length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    blocks = (data[6] & 3) + 1
    header = 7
    if not data[1] & 1:
        # adts_error_check, or adts_header_error_check with the positions of the blocks.
        header = 9 if blocks == 1 else 9 + 2 * (blocks - 1)
    if length < header:
        raise ParseError(f"an ADTS frame of {length} bytes is shorter than its header")
    return AdtsHeader(
        (data[2] >> 6) + 1, SAMPLE_RATES[rate_index], (data[2] & 1) << 2 | data[3] >> 6, length, header, blocks
    )


def asc_from_adts(data: Bytes) -> bytes:
    """The AudioSpecificConfig for the ADTS frame at the start of `data`.

    With channel configuration 0 the program config element that leads the frame goes into it. Raises ParseError
    for a broken header, and when that element is missing.
    """
    header = parse_adts_header(data)
    program = None
    channels = CHANNELS[header.channel_config]
    if header.channel_config == 0:
        block = BitReader(bytes(data[header.header_length : header.frame_length]))
        if block.u(3) != 5:
            raise ParseError("ADTS without channel configuration does not begin with a program config element")
        program = _read_program(block)
    return build_asc(header.object_type, header.sample_rate, channels, program=program)


def build_adts_header(asc: Bytes, length: int) -> bytes:
    """The 7-byte ADTS header (no CRC) for a raw access unit of `length` bytes.

    Raises MediaError for what ADTS cannot carry: object types above 4, odd rates, frames of more than 8184 bytes.
    """
    fixed = _adts_fixed(bytes(asc))[0]
    total = length + 7
    if total > MAX_ADTS_FRAME:
        raise MediaError(f"an AAC frame of {length} bytes does not fit in ADTS")
    # Buffer fullness 0x7FF: variable rate.
    return (fixed | total << 13 | 0x1FFC).to_bytes(7, "big")


@lru_cache(maxsize=64)
def _adts_fixed(asc: bytes) -> tuple[int, bytes]:
    """The header with length and fullness zero, and what has to lead each access unit (a PCE, or nothing)."""
    config = parse_asc(asc)
    if config.object_type > 4:
        raise MediaError(f"ADTS has no code for AAC object type {config.object_type}")
    if config.sample_rate not in SAMPLE_RATES:
        raise MediaError(f"ADTS has no code for {config.sample_rate} Hz")
    channel_config, lead = config.channel_config, b""
    if config.program:
        out = BitWriter().u(3, 5)
        _write_program(out, config.program)
        lead = out.getvalue()
    elif channel_config > 7:
        raise MediaError(f"ADTS has no code for AAC channel configuration {channel_config}")
    out = BitWriter().u(12, 0xFFF).u(4, 1).u(2, config.object_type - 1)
    out.u(4, SAMPLE_RATES.index(config.sample_rate)).u(1, 0).u(3, channel_config)
    return int.from_bytes(out.u(30, 0).getvalue(), "big"), lead


def to_adts(frame: Frame) -> bytes:
    """The frame as ADTS, for `frame.form("adts", to_adts)`. Raises MediaError as `build_adts_header` does."""
    payload = frame.payload
    fixed, lead = _adts_fixed(frame.track.config)
    # A raw data block that has its own program config element (id_syn_ele 5) needs no second one.
    if lead and not (payload and payload[0] >> 5 == 5):
        payload = lead + payload
    total = len(payload) + 7
    if total > MAX_ADTS_FRAME:
        raise MediaError(f"an AAC frame of {len(payload)} bytes does not fit in ADTS")
    return (fixed | total << 13 | 0x1FFC).to_bytes(7, "big") + payload


def _adts_length(data: bytes, position: int) -> int:
    if data[position] != 0xFF or data[position + 1] & 0xF6 != 0xF0 or data[position + 2] & 0x3C > 0x30:
        return 0
    length = (data[position + 3] & 3) << 11 | data[position + 4] << 3 | data[position + 5] >> 5
    return length if length >= (7 if data[position + 1] & 1 else 9) else 0


def _adts_follows(data: bytes, first: int, second: int) -> bool:
    # The fixed header is the same in all frames of a stream (14496-3 1.A.3.2.1).
    return (
        data[second : second + 3] == data[first : first + 3]
        and data[first] == 0xFF
        and not (data[first + 3] ^ data[second + 3]) & 0xF0
    )


def split_adts(data: Bytes) -> tuple[list[bytes], bytes]:
    """(raw access units without headers, the rest that is no whole frame yet).

    Bytes that are no ADTS are passed over, and frames that lost bytes. A frame of several raw data blocks is cut
    where its header tells the positions, else kept whole. Never raises; the rest has at most 8191 bytes.
    """
    if not isinstance(data, bytes):
        data = bytes(data)
    spans, rest = cut(data, 7, _adts_length, _adts_follows)
    units: list[bytes] = []
    for start, end in spans:
        if data[start + 1] & 1 and not data[start + 6] & 3:
            if end - start > 7:
                units.append(data[start + 7 : end])
            continue
        try:
            units += _blocks(data[start:end], parse_adts_header(data[start : start + 7]))
        except ParseError:
            # Too short for the positions of its blocks.
            continue
    return units, data[rest:]


def _blocks(frame: bytes, header: AdtsHeader) -> list[bytes]:
    body = header.header_length
    if header.raw_blocks == 1 or body == 7:
        return [frame[body:]] if len(frame) > body else []
    # 1.A.2.2.3: positions count from the first block; with error checks each block ends with its own CRC.
    starts = [0]
    starts += [int.from_bytes(frame[7 + 2 * i : 9 + 2 * i], "big") for i in range(header.raw_blocks - 1)]
    ends = [*starts[1:], len(frame) - body]
    if any(end - start < 2 for start, end in zip(starts, ends, strict=True)):
        return []
    return [frame[body + start : body + end - 2] for start, end in zip(starts, ends, strict=True)]


def samples_per_frame(asc: Bytes) -> tuple[int, int]:
    """(samples per access unit, their rate in Hz), both of the core decoder. Raises ParseError."""
    config = _config_of(bytes(asc))
    return config.frame_length, config.sample_rate
