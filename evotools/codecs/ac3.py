"""AC-3 and E-AC-3: sync frames, dac3 and dec3 (ETSI TS 102 366: 4.3, 4.4, E.1.2, F.4, F.6)."""

from dataclasses import dataclass, field

from evotools.codecs.bits import BitReader, BitWriter
from evotools.codecs.nal import Bytes
from evotools.errors import ParseError

SYNC = b"\x0b\x77"
MAX_FRAME = 4096
"""Bytes: frmsiz of E-AC-3 has 11 bits and counts words; AC-3 ends at 3840."""
MAX_SUBSTREAMS = 8
"""Independent substreams of one program set (E.2.8.2); as many dependent ones for each."""
HEADER_BYTES = 8
"""What `parse_header` wants to see at least; the optional E-AC-3 fields want `MAX_BSI`."""
MAX_BSI = 128
"""Bytes: the longest bit stream information block, with additional information, stays below this."""

_RATES = (48000, 44100, 32000)
_CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)
"""By acmod (Table 4.3)."""
_BITRATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
"""kbit/s, by frmsizecod >> 1 (Table 4.13)."""
_BLOCKS = (1, 2, 3, 6)

INDEPENDENT, DEPENDENT, CONVERTED = 0, 1, 2
"""strmtyp (Table E.1.1); AC-3 counts as independent."""

_MAP_PAIRS = 0b0000_0110_0111_0100
"""chanmap bits that stand for two channels: Lc/Rc, Lrs/Rrs, Lsd/Rsd, Lw/Rw, Lvh/Rvh, Lts/Rts (Table E.1.4)."""


@dataclass(frozen=True, slots=True)
class Ac3Header:
    """One sync frame of AC-3 or E-AC-3."""

    codec: str
    """`ac3` or `eac3`."""
    sample_rate: int
    channels: int
    """Of this substream, LFE included."""
    lfe: bool
    frame_length: int
    """Bytes."""
    samples: int
    bitrate: int
    """Bits per second."""
    fscod: int
    bsid: int
    bsmod: int
    acmod: int
    bit_rate_code: int = 0
    """frmsizecod >> 1; AC-3 only."""
    stream_type: int = INDEPENDENT
    substream_id: int = 0
    channel_map: int = 0
    """chanmap of a dependent substream, its bit 0 highest; 0 when absent."""
    joc_complexity: int = 0
    """Objects of a Dolby Atmos extension (ETSI TS 103 420); 0 without."""


def parse_header(data: Bytes) -> Ac3Header:
    """The header of the sync frame at the start of `data`. Raises ParseError.

    8 bytes are enough for AC-3 and for the sizes of E-AC-3; bsmod, channel map and Atmos extension of E-AC-3 are
    told when the bytes that carry them are there.
    """
    if len(data) < HEADER_BYTES:
        raise ParseError(f"an AC-3 header needs {HEADER_BYTES} bytes")
    if bytes(data[:2]) != SYNC:
        raise ParseError("no AC-3 syncword")
    # bsid stands at the same place in both (E.1.3.1.6 backward compatibility).
    bsid = data[5] >> 3
    if bsid > 16:
        raise ParseError(f"AC-3 bit stream identification {bsid} is unknown")
    bits = BitReader(bytes(data[:MAX_BSI]))
    bits.skip(16)
    return _parse_eac3(bits) if bsid > 10 else _parse_ac3(bits)


def _parse_ac3(bits: BitReader) -> Ac3Header:
    bits.skip(16)
    fscod, size_code, bsid, bsmod, acmod = bits.u(2), bits.u(6), bits.u(5), bits.u(3), bits.u(3)
    if fscod == 3 or size_code >> 1 >= len(_BITRATES):
        raise ParseError("an AC-3 header has a reserved value")
    if acmod & 1 and acmod != 1:
        bits.skip(2)
    if acmod & 4:
        bits.skip(2)
    if acmod == 2:
        bits.skip(2)
    lfe = bits.flag()
    kbps = _BITRATES[size_code >> 1]
    # Table 4.13: 1536 samples at the bit rate in 16-bit words; 44.1 kHz alternates, the odd codes are longer.
    if fscod == 0:
        words = kbps * 2
    elif fscod == 1:
        words = kbps * 1000 * 1536 // (44100 * 16) + (size_code & 1)
    else:
        words = kbps * 3
    # bsid 9 and 10 halve and quarter the rates; no part of the standard, but written by some encoders.
    shift = max(bsid - 8, 0)
    return Ac3Header(
        "ac3", _RATES[fscod] >> shift, _CHANNELS[acmod] + lfe, lfe, words * 2, 1536, kbps * 1000 >> shift, fscod, bsid,
        bsmod, acmod, size_code >> 1,
    )  # fmt: skip


@dataclass(slots=True)
class _Extra:
    """The optional fields of an E-AC-3 header, as far as they could be read."""

    bsmod: int = 0
    channel_map: int = 0
    joc: int = 0


def _parse_eac3(bits: BitReader) -> Ac3Header:
    # E.1.2.2
    stream_type, substream_id, words, fscod = bits.u(2), bits.u(3), bits.u(11) + 1, bits.u(2)
    if stream_type == 3:
        raise ParseError("an E-AC-3 header has a reserved stream type")
    if fscod == 3:
        half = bits.u(2)
        if half == 3:
            raise ParseError("an E-AC-3 header has a reserved sampling rate")
        rate, blocks_code = _RATES[half] // 2, 3
    else:
        rate, blocks_code = _RATES[fscod], bits.u(2)
    blocks = _BLOCKS[blocks_code]
    acmod, lfe, bsid = bits.u(3), bits.flag(), bits.u(5)
    length = words * 2
    if length < HEADER_BYTES:
        raise ParseError(f"an E-AC-3 frame of {length} bytes is shorter than its header")
    extra = _Extra()
    try:
        _read_extra(bits, extra, stream_type, fscod, blocks_code, acmod, lfe)
    except ParseError:
        # Only the head of the frame was given.
        pass
    return Ac3Header(
        "eac3", rate, _CHANNELS[acmod] + lfe, lfe, length, blocks * 256, length * 8 * rate // (blocks * 256), fscod,
        bsid, extra.bsmod, acmod, 0, stream_type, substream_id, extra.channel_map, extra.joc,
    )  # fmt: skip


def _read_extra(
    bits: BitReader, extra: _Extra, stream_type: int, fscod: int, blocks_code: int, acmod: int, lfe: bool
) -> None:
    def optional(width: int) -> None:
        if bits.flag():
            bits.skip(width)

    programs = 2 if acmod == 0 else 1
    for _ in range(programs):
        bits.skip(5)
        optional(8)
    if stream_type == DEPENDENT and bits.flag():
        extra.channel_map = bits.u(16)
    if bits.flag():
        # mixing metadata
        if acmod > 2:
            bits.skip(2)
        if acmod & 1 and acmod > 2:
            bits.skip(6)
        if acmod & 4:
            bits.skip(6)
        if lfe:
            optional(5)
        if stream_type == INDEPENDENT:
            for _ in range(programs + 1):
                optional(6)
            mixdef = bits.u(2)
            if mixdef == 3:
                bits.skip(8 * (bits.u(5) + 2))
            else:
                bits.skip((0, 5, 12)[mixdef])
            if acmod < 2:
                for _ in range(programs):
                    optional(14)
            if bits.flag():
                if blocks_code == 0:
                    bits.skip(5)
                else:
                    for _ in range(_BLOCKS[blocks_code]):
                        optional(5)
    if bits.flag():
        # informational metadata
        extra.bsmod = bits.u(3)
        bits.skip(2)
        if acmod == 2:
            bits.skip(4)
        if acmod >= 6:
            bits.skip(2)
        for _ in range(programs):
            optional(8)
        if fscod < 3:
            bits.skip(1)
    if stream_type == INDEPENDENT and blocks_code != 3:
        bits.skip(1)
    if stream_type == CONVERTED and (blocks_code == 3 or bits.flag()):
        bits.skip(6)
    if bits.flag():
        length = bits.u(6) + 1
        # ETSI TS 103 420 8.3.1: flag_ec3_extension_type_a, complexity_index_type_a
        if length >= 2 and bits.u(8) & 1:
            extra.joc = bits.u(8)


def split(data: Bytes, *, end: bool = False) -> tuple[list[bytes], bytes]:
    """(access units, the rest that is no whole unit yet).

    An access unit is one independent sync frame of substream 0 with every frame that belongs to the same time
    (other programs, dependent substreams). An E-AC-3 unit is only known to be whole when the next begins; `end`
    says that the data ends with a unit, as a PES packet does. Bytes that are no frame are passed over. Never
    raises.
    """
    if not isinstance(data, bytes):
        data = bytes(data)
    units: list[bytes] = []
    position, total = 0, len(data)
    start = -1
    while total - position >= HEADER_BYTES:
        try:
            header = parse_header(data[position : position + HEADER_BYTES])
        except ParseError:
            if start >= 0:
                units.append(data[start:position])
                start = -1
            position = data.find(SYNC, position + 1)
            if position < 0:
                # The last byte may be the first half of a syncword.
                return units, data[-1:] if data[-1:] == SYNC[:1] else b""
            continue
        following = position + header.frame_length
        if following > total:
            break
        leads = header.stream_type != DEPENDENT and header.substream_id == 0
        if start >= 0 and leads:
            units.append(data[start:position])
            start = -1
        if start < 0 and leads:
            start = position
        position = following
        if start >= 0 and header.codec == "ac3":
            units.append(data[start:position])
            start = -1
    if start >= 0 and (end or position - start > 2 * MAX_SUBSTREAMS * MAX_FRAME):
        units.append(data[start:position])
        start = -1
    return units, data[start if start >= 0 else position :]


def headers(unit: Bytes) -> list[Ac3Header]:
    """The headers of all sync frames in one access unit or several. Raises ParseError; the first must be whole."""
    data = bytes(unit)
    found: list[Ac3Header] = []
    position = 0
    while len(data) - position >= HEADER_BYTES:
        header = parse_header(data[position : position + MAX_BSI])
        found.append(header)
        position += header.frame_length
    if not found:
        raise ParseError("no AC-3 frame")
    return found


def samples(unit: Bytes) -> tuple[int, int]:
    """(samples per channel, sample rate) of a payload with one or several frames. Raises ParseError."""
    found = [header for header in headers(unit) if header.stream_type != DEPENDENT and header.substream_id == 0]
    if not found:
        raise ParseError("no independent AC-3 frame")
    return sum(header.samples for header in found), found[0].sample_rate


def channels(unit: Bytes) -> int:
    """Output channels of the first program in an access unit, dependent substreams included. Raises ParseError."""
    count = 0
    for header in headers(unit):
        if header.stream_type != DEPENDENT:
            if count:
                break
            count = header.channels
        elif header.channel_map:
            # Channels that the independent substream has already are replaced, not added: L C R Ls Rs LFE.
            added = header.channel_map & 0b0000_0111_1111_1110
            count += added.bit_count() + (added & _MAP_PAIRS).bit_count()
    return count


@dataclass(frozen=True, slots=True)
class Substream:
    """One independent substream in dec3."""

    fscod: int
    bsid: int
    bsmod: int
    acmod: int
    lfe: bool
    dependents: int = 0
    channel_locations: int = 0
    """chan_loc, nine bits (Table F.6.1)."""


@dataclass(frozen=True, slots=True)
class Ac3Config:
    """EC3SpecificBox, or AC3SpecificBox with a single substream."""

    codec: str
    bitrate: int
    """Bits per second."""
    substreams: tuple[Substream, ...] = field(default=())
    joc_complexity: int = 0

    @property
    def sample_rate(self) -> int:
        """Hz; 0 when the record does not tell (fscod 3)."""
        fscod = self.substreams[0].fscod
        return _RATES[fscod] if fscod < 3 else 0

    @property
    def channels(self) -> int:
        """Output channels of the first program."""
        first = self.substreams[0]
        # Pairs: Lc/Rc, Lrs/Rrs, Lsd/Rsd, Lw/Rw, Lvh/Rvh.
        extra = first.channel_locations.bit_count() + (first.channel_locations & 0b0_0111_0011).bit_count()
        return _CHANNELS[first.acmod] + first.lfe + extra


def build_dac3(frame: Bytes) -> bytes:
    """The body of a dac3 box for an AC-3 frame (F.4). Raises ParseError."""
    header = parse_header(frame)
    if header.codec != "ac3":
        raise ParseError("dac3 is for AC-3, not for E-AC-3")
    out = BitWriter().u(2, header.fscod).u(5, header.bsid).u(3, header.bsmod).u(3, header.acmod)
    return out.flag(header.lfe).u(5, header.bit_rate_code).u(5, 0).getvalue()


def parse_dac3(data: Bytes) -> Ac3Config:
    """The body of a dac3 box. Raises ParseError."""
    bits = BitReader(data)
    first = Substream(bits.u(2), bits.u(5), bits.u(3), bits.u(3), bits.flag())
    code = bits.u(5)
    if code >= len(_BITRATES):
        raise ParseError(f"dac3 bit rate code {code} is reserved")
    return Ac3Config("ac3", _BITRATES[code] * 1000, (first,))


def _locations(channel_map: int) -> int:
    # Tables E.1.4 and F.6.1: chanmap bits 5 to 12 (from the highest) are chan_loc bits 0 to 7 (from the lowest).
    found = 0
    for index in range(8):
        found |= (channel_map >> (10 - index) & 1) << index
    return found | (channel_map >> 1 & 1) << 8


def build_dec3(unit: Bytes) -> bytes:
    """The body of a dec3 box for one whole access unit (F.6). Raises ParseError."""
    substreams: list[Substream] = []
    bits_total, duration, joc = 0, 0, 0
    rate = 0
    for header in headers(unit):
        if header.codec != "eac3":
            raise ParseError("dec3 is for E-AC-3")
        bits_total += header.frame_length * 8
        joc = joc or header.joc_complexity
        if header.stream_type == DEPENDENT:
            if not substreams:
                raise ParseError("an E-AC-3 access unit begins with a dependent substream")
            last = substreams[-1]
            if last.dependents < 15:
                locations = last.channel_locations | _locations(header.channel_map)
                substreams[-1] = Substream(
                    last.fscod, last.bsid, last.bsmod, last.acmod, last.lfe, last.dependents + 1, locations
                )
            continue
        if header.substream_id == 0:
            duration += header.samples
            rate = header.sample_rate
        if header.substream_id == len(substreams) < MAX_SUBSTREAMS:
            substreams.append(Substream(header.fscod, header.bsid, header.bsmod, header.acmod, header.lfe))
    if not substreams or not duration:
        raise ParseError("an E-AC-3 access unit has no independent substream")
    kbps = bits_total * rate // (duration * 1000)
    out = BitWriter().u(13, min(kbps, 8191)).u(3, len(substreams) - 1)
    for stream in substreams:
        out.u(2, stream.fscod).u(5, stream.bsid).u(2, 0).u(3, stream.bsmod).u(3, stream.acmod).flag(stream.lfe)
        out.u(3, 0).u(4, stream.dependents)
        if stream.dependents:
            out.u(9, stream.channel_locations)
        else:
            out.u(1, 0)
    if joc:
        out.u(7, 0).u(1, 1).u(8, joc)
    return out.getvalue()


def parse_dec3(data: Bytes) -> Ac3Config:
    """The body of a dec3 box. Raises ParseError."""
    bits = BitReader(data)
    kbps, count = bits.u(13), bits.u(3) + 1
    substreams = []
    for _ in range(count):
        fscod, bsid = bits.u(2), bits.u(5)
        bits.skip(2)
        bsmod, acmod, lfe = bits.u(3), bits.u(3), bits.flag()
        bits.skip(3)
        dependents = bits.u(4)
        locations = bits.u(9) if dependents else bits.u(1) * 0
        substreams.append(Substream(fscod, bsid, bsmod, acmod, lfe, dependents, locations))
    joc = bits.u(8) if bits.bits_left >= 16 and bits.u(8) & 1 else 0
    return Ac3Config("eac3", kbps * 1000, tuple(substreams), joc)


def codec_string(codec: str = "ac3") -> str:
    """RFC 6381 string: `ac-3` or `ec-3`."""
    return "ec-3" if codec == "eac3" else "ac-3"
