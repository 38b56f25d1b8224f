"""MPEG audio layers I to III: frame headers (ISO/IEC 11172-3 2.4.1, 13818-3 2.4.1, and MPEG 2.5)."""

from typing import NamedTuple

from evotools.codecs.framing import cut
from evotools.codecs.nal import Bytes
from evotools.errors import ParseError

MAX_FRAME = 2881
"""Bytes: MPEG-2.5 layer II at 160 kbit/s and 8 kHz, with its padding byte, is the longest frame."""

_V1 = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_V2_LAYER_1 = (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_V2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = {"1": (44100, 48000, 32000), "2": (22050, 24000, 16000), "2.5": (11025, 12000, 8000)}
_VERSIONS = ("2.5", "", "2", "1")


class MpegAudioHeader(NamedTuple):
    """One frame header."""

    version: str
    """`1`, `2` or `2.5`."""
    layer: int
    bitrate: int
    """Bits per second."""
    sample_rate: int
    channels: int
    frame_length: int
    """Bytes, header included."""
    samples: int
    """Per channel."""


def parse_header(data: Bytes) -> MpegAudioHeader:
    """The frame header in the first 4 bytes of `data`. Raises ParseError; free-format streams count as broken."""
    if len(data) < 4:
        raise ParseError("an MPEG audio header needs 4 bytes")
    second, third = data[1], data[2]
    if data[0] != 0xFF or second & 0xE0 != 0xE0:
        raise ParseError("no MPEG audio syncword")
    version = _VERSIONS[second >> 3 & 3]
    layer = 4 - (second >> 1 & 3)
    index, rate_index = third >> 4, third >> 2 & 3
    if not version or layer == 4 or index in (0, 15) or rate_index == 3:
        raise ParseError("an MPEG audio header has a reserved value")
    table = _V1[layer] if version == "1" else _V2_LAYER_1 if layer == 1 else _V2
    bitrate, rate, padding = table[index - 1] * 1000, _RATES[version][rate_index], third >> 1 & 1
    if layer == 1:
        samples = 384
        # Layer I counts in slots of four bytes (11172-3 2.4.3.1).
        length = (12 * bitrate // rate + padding) * 4
    else:
        samples = 576 if layer == 3 and version != "1" else 1152
        length = samples // 8 * bitrate // rate + padding
    return MpegAudioHeader(version, layer, bitrate, rate, 1 if data[3] >> 6 == 3 else 2, length, samples)


def _length(data: bytes, position: int) -> int:
    try:
        return parse_header(data[position : position + 4]).frame_length
    except ParseError:
        return 0


def _follows(data: bytes, first: int, second: int) -> bool:
    # Version, layer and sampling rate never change within a stream.
    return (
        data[second] == 0xFF
        and data[second + 1] & 0xFE == data[first + 1] & 0xFE
        and data[second + 2] & 0x0C == data[first + 2] & 0x0C
    )


def split(data: Bytes) -> tuple[list[bytes], bytes]:
    """(whole frames, the rest that is no whole frame yet).

    Bytes that are no frame are passed over, and frames that lost bytes. Never raises; the rest is shorter than
    `MAX_FRAME`.
    """
    if not isinstance(data, bytes):
        data = bytes(data)
    spans, rest = cut(data, 4, _length, _follows)
    return [data[start:end] for start, end in spans], data[rest:]


def codec_string(layer: int = 3) -> str:
    """RFC 6381 string by MPEG-4 object type: `mp4a.40.34` for layer III, 33 for II, 32 for I."""
    return f"mp4a.40.{31 + layer}"
