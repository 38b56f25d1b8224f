"""G.711: A-law (pcma) and µ-law (pcmu), one byte per sample and channel (ITU-T G.711)."""

from evotools.errors import ParseError

SAMPLE_RATE = 8000
"""Hz, of telephony and of RTP payload types 0 and 8; files and FLV may carry others."""
CODEC_STRINGS = {"pcmu": "ulaw", "pcma": "alaw"}
"""Sample entry names of QuickTime and MP4."""


def samples(payload_bytes: int, channels: int = 1) -> int:
    """Samples per channel in a payload of that many bytes. Raises ParseError when channels is not positive."""
    if channels < 1:
        raise ParseError("G.711 needs a channel")
    return payload_bytes // channels


def codec_string(codec: str) -> str:
    """`ulaw` for pcmu, `alaw` for pcma."""
    return CODEC_STRINGS[codec]
