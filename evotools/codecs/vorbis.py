"""Vorbis I: the three headers, and how many samples a packet makes (Vorbis I specification 4.2 and 4.3)."""

from dataclasses import dataclass

from evotools.codecs.nal import Bytes
from evotools.errors import ParseError

MAX_HEADERS = 1 << 20
"""Bytes of the three headers. Codebooks have some 5 KiB; the comments may hold a small picture."""
_MODE_BITS = 41
"""4.2.4: blockflag 1, windowtype 16, transformtype 16, mapping 8."""
_MAX_MODES = 64


@dataclass(frozen=True, slots=True)
class VorbisConfig:
    """What the identification and setup headers tell."""

    channels: int
    sample_rate: int
    blocks: tuple[int, int]
    """Samples of a short and a long block."""
    modes: tuple[bool, ...]
    """Whether a packet of this mode is a long block."""

    def block(self, packet: Bytes) -> int:
        """Samples of the packet's block; 0 for a header. Raises ParseError for an empty packet and a wrong mode."""
        if not len(packet):
            raise ParseError("a Vorbis packet is empty")
        # 4.3.1: the first bit is 0 in audio packets; the mode number follows. Bits are read from the lowest on.
        if packet[0] & 1:
            return 0
        mode = packet[0] >> 1 & (1 << (len(self.modes) - 1).bit_length()) - 1
        if mode >= len(self.modes):
            raise ParseError(f"a Vorbis packet has mode {mode} of {len(self.modes)}")
        return self.blocks[self.modes[mode]]


def split_headers(config: Bytes) -> tuple[bytes, bytes, bytes]:
    """Identification, comment and setup header of a track's configuration, which is laced as in Matroska.

    Raises ParseError.
    """
    data = bytes(config)
    if len(data) > MAX_HEADERS or data[:1] != b"\2":
        raise ParseError("this is no Vorbis configuration")
    position, sizes = 1, []
    for _ in range(2):
        size = 0
        while True:
            if position >= len(data):
                raise ParseError("the Vorbis configuration is cut off")
            octet = data[position]
            position += 1
            size += octet
            if octet < 255:
                break
        sizes.append(size)
    first, second = position + sizes[0], position + sum(sizes)
    headers = data[position:first], data[first:second], data[second:]
    for kind, header in zip((1, 3, 5), headers, strict=True):
        # 4.2.1: packet type and signature.
        if header[:7] != bytes((kind,)) + b"vorbis":
            raise ParseError(f"the Vorbis configuration lacks header {kind}")
    return headers


def join_headers(headers: tuple[bytes, bytes, bytes]) -> bytes:
    """The configuration of a track: all three headers, with the sizes of the first two in front (Xiph lacing)."""
    sizes = b"".join(b"\xff" * (len(h) // 255) + bytes((len(h) % 255,)) for h in headers[:2])
    return b"".join((b"\2", sizes, *headers))


def parse_config(config: Bytes) -> VorbisConfig:
    """The facts of a track's configuration. Raises ParseError."""
    ident, _, setup = split_headers(config)
    # 4.2.2: version, channels, rate, three bit rates, two block sizes as powers of two, framing.
    if len(ident) < 30 or ident[7:11] != bytes(4):
        raise ParseError("the Vorbis identification header is broken")
    channels, rate = ident[11], int.from_bytes(ident[12:16], "little")
    short, long = 1 << (ident[28] & 15), 1 << (ident[28] >> 4)
    if not channels or not rate or not 64 <= short <= long <= 8192:
        raise ParseError("the Vorbis identification header has an impossible value")
    return VorbisConfig(channels, rate, (short, long), _modes(setup))


def _modes(setup: bytes) -> tuple[bool, ...]:
    """The block flags of all modes. They end the setup header: reading backwards spares the codebooks."""
    bits = int.from_bytes(setup, "little")
    # The framing flag is the last bit that is set.
    position = bits.bit_length() - 1
    flags: list[bool] = []
    found = 0
    while position - _MODE_BITS >= 6 and len(flags) < _MAX_MODES:
        mode = bits >> (position - _MODE_BITS) & (1 << _MODE_BITS) - 1
        # Window and transform type are 0 in Vorbis I.
        if mode >> 1 & 0xFFFF_FFFF or mode >> 33 > 63:
            break
        position -= _MODE_BITS
        flags.append(bool(mode & 1))
        # Six bits in front of the first mode hold the count less one. An earlier match is chance.
        if (bits >> (position - 6) & 63) + 1 == len(flags):
            found = len(flags)
    if not found:
        raise ParseError("the Vorbis setup header has no modes")
    return tuple(reversed(flags[:found]))
