"""Sequence headers of FLV and canonical codec configurations, each from the other."""

from evotools.codecs import opus
from evotools.codecs.describe import describe
from evotools.errors import ParseError
from evotools.media.track import Track

MAX_CONFIG = 1 << 16
"""Bytes of a sequence header. Parameter sets are tens of bytes; hvcC with x265's settings as SEI reaches 3 KiB."""

_STREAMINFO_SIZE = 34
_VPCC_VERSION = b"\x01\x00\x00\x00"


def config_from_header(codec: str, raw: bytes) -> tuple[bytes, int]:
    """The canonical configuration in a sequence header, and the size of NAL unit lengths in the frames after it.

    Raises ParseError.
    """
    if len(raw) > MAX_CONFIG:
        raise ParseError(f"the {codec} sequence header is longer than {MAX_CONFIG} bytes")
    if codec == "h264":
        return _with_four_byte_lengths(raw, 4, 7, "avcC")
    if codec == "h265":
        return _with_four_byte_lengths(raw, 21, 23, "hvcC")
    if codec == "flac":
        return _streaminfo(raw), 4
    if codec == "vp9" and len(raw) == 8:
        # Enhanced RTMP names the VPCodecConfigurationRecord; FFmpeg writes the body of the box, with its version.
        return _VPCC_VERSION + raw, 4
    return raw, 4


def config_from_av1_descriptor(raw: bytes) -> bytes:
    """av1C without sequence header from the descriptor of AV1 in MPEG-2 TS. Raises ParseError."""
    # "Carriage of AV1 in MPEG-2 TS" 2.1: tag 0x80, length 4, then av1C but for two bits in the last byte.
    if len(raw) < 6 or raw[:2] != b"\x80\x04":
        raise ParseError("the AV1 video descriptor is malformed")
    return raw[2:5] + bytes((raw[5] & 0x1F,))


def describe_first_frame(track: Track, payload: bytes) -> Track:
    """`track` with what its first frame tells, for codecs that need no sequence header. Raises ParseError."""
    if track.codec == "opus" and not track.config:
        # Enhanced RTMP v2: without an ID header, mono or stereo is assumed.
        track = track.with_(config=opus.build_head(track.channels or 2))
    return describe(track, payload)


def _with_four_byte_lengths(raw: bytes, position: int, minimum: int, name: str) -> tuple[bytes, int]:
    if len(raw) < minimum:
        raise ParseError(f"{name} is cut off after {len(raw)} bytes")
    size = (raw[position] & 3) + 1
    if size == 4:
        return raw, 4
    return raw[:position] + bytes((raw[position] | 3,)) + raw[position + 1 :], size


def _streaminfo(raw: bytes) -> bytes:
    # Enhanced RTMP v2 has the signature and a block header in front of STREAMINFO; FFmpeg writes it bare.
    start = 4 if raw[:4] == b"fLaC" else 0
    if (
        len(raw) >= start + 4 + _STREAMINFO_SIZE
        and raw[start] & 0x7F == 0
        and raw[start + 1 : start + 4] == b"\0\0\x22"
    ):
        start += 4
    if len(raw) < start + _STREAMINFO_SIZE:
        raise ParseError(f"FLAC STREAMINFO is cut off after {len(raw)} bytes")
    return raw[start : start + _STREAMINFO_SIZE]
