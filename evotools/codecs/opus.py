"""Opus: the identification header (RFC 7845 5.1) and packet durations (RFC 6716 3.1)."""

from dataclasses import dataclass

from evotools.codecs.nal import Bytes
from evotools.errors import ParseError

SAMPLE_RATE = 48000
"""Opus always decodes at 48 kHz; timestamps count at this rate (RFC 7845 4)."""
MAX_PACKET_SAMPLES = 5760
"""120 ms (RFC 6716 3.2.5)."""
DEFAULT_PRE_SKIP = 312
"""Samples: libopus's delay at 48 kHz."""
MAGIC = b"OpusHead"

_FRAME_SAMPLES = (
    (480, 960, 1920, 2880) * 3  # SILK
    + (480, 960) * 2  # hybrid
    + (120, 240, 480, 960) * 4  # CELT
)
"""By TOC configuration (RFC 6716 Table 2)."""

_VORBIS_LAYOUTS: dict[int, tuple[int, int, bytes]] = {
    1: (1, 0, b"\0"),
    2: (1, 1, b"\0\1"),
    3: (2, 1, b"\0\2\1"),
    4: (2, 2, b"\0\1\2\3"),
    5: (3, 2, b"\0\4\1\2\3"),
    6: (4, 2, b"\0\4\1\2\3\5"),
    7: (4, 3, b"\0\4\1\2\3\5\6"),
    8: (5, 3, b"\0\6\1\2\3\4\5\7"),
}
"""Streams, coupled streams and mapping of the Vorbis channel orders (RFC 7845 5.1.1.2)."""


@dataclass(frozen=True, slots=True)
class OpusHead:
    """The identification header."""

    channels: int
    pre_skip: int
    """Samples at 48 kHz to drop at the start."""
    input_sample_rate: int
    """Of the original, for information only; 0 when unknown."""
    output_gain: int
    """dB in Q7.8."""
    mapping_family: int
    streams: int
    coupled: int
    mapping: bytes


def parse_head(data: Bytes) -> OpusHead:
    """The fields of an `OpusHead`. Raises ParseError."""
    data = bytes(data)
    if len(data) < 19 or data[:8] != MAGIC:
        raise ParseError("this is no OpusHead")
    # RFC 7845 5.1: only the major version, the upper four bits, breaks compatibility.
    if data[8] & 0xF0:
        raise ParseError(f"OpusHead version {data[8]} is unknown")
    channels, family = data[9], data[18]
    if channels == 0:
        raise ParseError("OpusHead has no channels")
    pre_skip = int.from_bytes(data[10:12], "little")
    rate = int.from_bytes(data[12:16], "little")
    gain = int.from_bytes(data[16:18], "little", signed=True)
    if family == 0:
        if channels > 2:
            raise ParseError(f"OpusHead mapping family 0 has {channels} channels")
        return OpusHead(channels, pre_skip, rate, gain, 0, *_VORBIS_LAYOUTS[channels])
    if len(data) < 21 + channels:
        raise ParseError("OpusHead ends inside its channel mapping", offset=len(data))
    streams, coupled, mapping = data[19], data[20], data[21 : 21 + channels]
    if streams == 0 or coupled > streams or streams + coupled > 255:
        raise ParseError("OpusHead has an impossible number of streams")
    if any(index != 255 and index >= streams + coupled for index in mapping):
        raise ParseError("OpusHead maps a channel to a stream that is not there")
    return OpusHead(channels, pre_skip, rate, gain, family, streams, coupled, mapping)


def build_head(
    channels: int,
    *,
    pre_skip: int = DEFAULT_PRE_SKIP,
    input_sample_rate: int = SAMPLE_RATE,
    output_gain: int = 0,
    mapping_family: int | None = None,
    streams: int = 0,
    coupled: int = 0,
    mapping: bytes = b"",
) -> bytes:
    """An `OpusHead`. Without a mapping the Vorbis order for 1 to 8 channels. Raises ParseError for what cannot be."""
    if not mapping:
        if channels not in _VORBIS_LAYOUTS:
            raise ParseError(f"no standard Opus mapping for {channels} channels")
        streams, coupled, mapping = _VORBIS_LAYOUTS[channels]
    if mapping_family is None:
        mapping_family = 0 if channels <= 2 else 1
    head = b"".join((
        MAGIC, bytes((1, channels)), pre_skip.to_bytes(2, "little"), input_sample_rate.to_bytes(4, "little"),
        output_gain.to_bytes(2, "little", signed=True), bytes((mapping_family,)),
    ))  # fmt: skip
    if mapping_family:
        head += bytes((streams, coupled)) + mapping
    parse_head(head)
    return head


def packet_duration(packet: Bytes) -> int:
    """Samples at 48 kHz in one packet. Raises ParseError for an empty packet and for more than 120 ms."""
    if not len(packet):
        raise ParseError("an Opus packet is empty")
    toc = packet[0]
    code = toc & 3
    if code == 3:
        if len(packet) < 2:
            raise ParseError("an Opus packet ends before its frame count")
        frames = packet[1] & 0x3F
    else:
        frames = 2 if code else 1
    samples = _FRAME_SAMPLES[toc >> 3] * frames
    if not 0 < samples <= MAX_PACKET_SAMPLES:
        raise ParseError(f"an Opus packet of {samples} samples is impossible")
    return samples


def codec_string(config: Bytes = b"") -> str:
    """`opus`, as browsers take it; MP4 allows `Opus` too."""
    return "opus"
