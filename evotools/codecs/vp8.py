"""VP8: key frames and their size (RFC 6386 9.1 and 19.1)."""

from typing import NamedTuple

from evotools.codecs.nal import Bytes
from evotools.errors import ParseError

START_CODE = b"\x9d\x01\x2a"


class Vp8Header(NamedTuple):
    """The frame tag, and the size that key frames carry (0 elsewhere)."""

    key: bool
    version: int
    show: bool
    width: int
    height: int


def parse_frame_header(frame: Bytes) -> Vp8Header:
    """The header of a frame. Raises ParseError."""
    if len(frame) < 3:
        raise ParseError("a VP8 frame needs 3 bytes")
    tag = frame[0] | frame[1] << 8 | frame[2] << 16
    key, version, show = not tag & 1, tag >> 1 & 7, bool(tag >> 4 & 1)
    if version > 3:
        raise ParseError(f"VP8 version {version} is unknown")
    if not key:
        return Vp8Header(False, version, show, 0, 0)
    if len(frame) < 10:
        raise ParseError("a VP8 key frame needs 10 bytes")
    if bytes(frame[3:6]) != START_CODE:
        raise ParseError("a VP8 key frame has no start code")
    # The upper two bits of each are a scaling hint for the display.
    width, height = (frame[6] | frame[7] << 8) & 0x3FFF, (frame[8] | frame[9] << 8) & 0x3FFF
    if not width or not height:
        raise ParseError("a VP8 key frame has no size")
    return Vp8Header(True, version, show, width, height)


def is_keyframe(frame: Bytes) -> bool:
    """Whether decoding can start at this frame."""
    return len(frame) > 0 and not frame[0] & 1


def codec_string(config: Bytes = b"") -> str:
    """`vp8`, as WebM and browsers name it."""
    return "vp8"
