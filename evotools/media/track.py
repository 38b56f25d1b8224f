"""What a stream is made of: one `Track` per elementary stream."""

from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any, Self


class Kind(StrEnum):
    """The kinds of track."""

    VIDEO = "video"
    AUDIO = "audio"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Track:
    """One elementary stream. Immutable: a changed configuration is a new Track with the same id in a new epoch.

    `codec` is one of the names of `evotools.codecs`: h264 h265 av1 vp8 vp9 mpeg2video mjpeg / aac mp3 mp2 opus ac3
    eac3 flac pcma pcmu vorbis / others as libav names them. Payloads are in the canonical form of the codec:
    4-byte length-prefixed NAL units for h264 and h265 (parameter sets in `config`), OBUs with size fields and no
    temporal delimiter for av1, raw access units without ADTS for aac, whole frames for the rest.
    """

    id: int
    """Unique within the stream; stable across epochs."""
    kind: Kind
    codec: str
    timescale: int
    """Ticks per second of this track's timestamps."""
    config: bytes = b""
    """avcC, hvcC, av1C, vpcC, AudioSpecificConfig, OpusHead or FLAC STREAMINFO bytes; empty where a codec has none."""
    codec_string: str = ""
    """RFC 6381 `codecs` value; empty while unknown."""
    width: int = 0
    height: int = 0
    fps: Fraction | None = None
    """Nominal frame rate when the bitstream declares one."""
    rotation: int = 0
    """By how many degrees clockwise players turn the picture: 0, 90, 180 or 270. Phones write it."""
    profile: str = ""
    sample_rate: int = 0
    channels: int = 0
    language: str = ""
    """ISO 639-2 three-letter code, or empty."""
    label: str = ""
    bitrate_bps: int = 0
    """Declared rate; 0 when unknown."""

    def with_(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def describe(self) -> str:
        """One line for people: `video h264 1280x720 25 fps`."""
        parts = [self.kind.value, self.codec or "unknown"]
        if self.width:
            parts.append(f"{self.width}x{self.height}")
        if self.fps:
            parts.append(f"{float(self.fps):.5g} fps")
        if self.sample_rate:
            parts.append(f"{self.sample_rate} Hz")
        if self.channels:
            parts.append(f"{self.channels} ch")
        if self.language:
            parts.append(self.language)
        return " ".join(parts)
