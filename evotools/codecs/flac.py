"""FLAC: STREAMINFO and frame headers (RFC 9639 8.2 and 9.1)."""

from dataclasses import dataclass
from typing import NamedTuple

from evotools.codecs.nal import Bytes
from evotools.errors import ParseError

STREAMINFO_BYTES = 34
MAX_FRAME_HEADER = 16
"""Bytes: 4, a coded number of 7, block size 2, rate 2, CRC 1."""

_BLOCK_SIZES = (0, 192, 576, 1152, 2304, 4608, 0, 0, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
_RATES = (0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
_SAMPLE_BITS = (0, 8, 12, -1, 16, 20, 24, 32)


def _crc8_table() -> bytes:
    # RFC 9639 9.1.8: polynomial x^8 + x^2 + x + 1
    table = bytearray()
    for value in range(256):
        for _ in range(8):
            value = (value << 1) ^ (0x107 if value & 0x80 else 0)
        table.append(value)
    return bytes(table)


_CRC8 = _crc8_table()


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """The STREAMINFO block; 0 means unknown for frame sizes and total."""

    min_block: int
    max_block: int
    min_frame: int
    max_frame: int
    sample_rate: int
    channels: int
    bits_per_sample: int
    total_samples: int
    md5: bytes = bytes(16)


class FlacFrame(NamedTuple):
    """A frame header; rate and bits are 0 where it refers to STREAMINFO."""

    samples: int
    sample_rate: int
    channels: int
    bits_per_sample: int


def parse_streaminfo(data: Bytes) -> StreamInfo:
    """The 34-byte body of STREAMINFO. Raises ParseError."""
    data = bytes(data)
    if len(data) < STREAMINFO_BYTES:
        raise ParseError(f"FLAC STREAMINFO has {len(data)} bytes, fewer than {STREAMINFO_BYTES}")
    packed = int.from_bytes(data[10:18], "big")
    info = StreamInfo(
        int.from_bytes(data[0:2], "big"), int.from_bytes(data[2:4], "big"),
        int.from_bytes(data[4:7], "big"), int.from_bytes(data[7:10], "big"),
        packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1, packed & (1 << 36) - 1, data[18:34],
    )  # fmt: skip
    if info.sample_rate == 0 or info.max_block < 16 or info.min_block > info.max_block or info.bits_per_sample < 4:
        raise ParseError("FLAC STREAMINFO has an impossible value")
    return info


def build_streaminfo(info: StreamInfo) -> bytes:
    """The 34-byte body of STREAMINFO. Raises ParseError for what does not fit."""
    packed = info.sample_rate << 44 | info.channels - 1 << 41 | info.bits_per_sample - 1 << 36 | info.total_samples
    try:
        body = b"".join((
            info.min_block.to_bytes(2, "big"), info.max_block.to_bytes(2, "big"), info.min_frame.to_bytes(3, "big"),
            info.max_frame.to_bytes(3, "big"), packed.to_bytes(8, "big"), info.md5,
        ))  # fmt: skip
    except OverflowError as error:
        raise ParseError("a value does not fit in FLAC STREAMINFO") from error
    if parse_streaminfo(body) != info:
        raise ParseError("a value does not fit in FLAC STREAMINFO")
    return body


def parse_frame_header(data: Bytes) -> FlacFrame:
    """The frame header at the start of `data`, its CRC checked (RFC 9639 9.1). Raises ParseError."""
    head = bytes(data[:MAX_FRAME_HEADER])
    if len(head) < 6:
        raise ParseError("a FLAC frame header needs 6 bytes")
    if head[0] != 0xFF or head[1] & 0xFE != 0xF8:
        raise ParseError("no FLAC syncword")
    size_code, rate_code, channel_code = head[2] >> 4, head[2] & 15, head[3] >> 4
    depth = _SAMPLE_BITS[head[3] >> 1 & 7]
    if size_code == 0 or rate_code == 15 or channel_code > 10 or depth < 0 or head[3] & 1:
        raise ParseError("a FLAC frame header has a reserved value")
    # 9.1.5: a number in the fashion of UTF-8, up to 36 bits.
    lead = head[4]
    extra = 0 if lead < 0x80 else 8 - (lead ^ 0xFF).bit_length() - 1
    if lead == 0xFF or lead & 0xC0 == 0x80 or any(byte & 0xC0 != 0x80 for byte in head[5 : 5 + extra]):
        raise ParseError("a FLAC frame header has a broken coded number")
    position = 5 + extra
    rate_bytes = 1 if rate_code == 12 else 2 if rate_code > 12 else 0
    end = position + (1 if size_code == 6 else 2 if size_code == 7 else 0) + rate_bytes
    if len(head) <= end:
        raise ParseError("a FLAC frame header is cut", offset=len(head))
    crc = 0
    for byte in head[:end]:
        crc = _CRC8[crc ^ byte]
    if crc != head[end]:
        raise ParseError("a FLAC frame header fails its CRC")
    samples = int.from_bytes(head[position : end - rate_bytes], "big") + 1 if size_code in (6, 7) else 0
    rate = int.from_bytes(head[end - rate_bytes : end], "big") * {12: 1000, 13: 1, 14: 10}.get(rate_code, 0)
    return FlacFrame(
        samples or _BLOCK_SIZES[size_code],
        rate or (_RATES[rate_code] if rate_code < 12 else 0),
        2 if channel_code > 7 else channel_code + 1,
        depth,
    )


def codec_string(config: Bytes = b"") -> str:
    """`fLaC`, the sample entry's name (RFC 6381)."""
    return "fLaC"
