"""From the payload forms of containers to the canonical ones of `Track`.

Containers store, and libav passes on, length-prefixed or Annex B NAL units, raw AAC or ADTS, OBUs with or without
temporal delimiters. One small object per track knows which and turns it round.
"""

from fractions import Fraction
from typing import Protocol

from evotools.codecs import aac, av1, h264, h265, opus, vp9
from evotools.codecs.nal import relength, split_lengths
from evotools.codecs.paramsets import AccessUnits, parameter_sets
from evotools.media.track import Track

# Nothing but slices and SEI may pass untouched: H.264 Table 7-1, H.265 Table 7-1.
H264_PASS = frozenset((1, 2, 3, 4, 5, 6, 12, 14, 19, 20, 21))
H265_PASS = frozenset((*range(32), 38, 39, 40))

NO_CONFIG = frozenset(("vp8", "mp3", "mp2", "ac3", "eac3", "pcma", "pcmu"))
"""Codecs whose `Track.config` stays empty, whatever libav calls their extradata."""


class Payload(Protocol):
    """Turns one packet's bytes into a canonical payload."""

    config: bytes | None
    """Codec configuration; None while it has to come from the payloads."""

    def read(self, data: bytes, key: bool) -> tuple[bytes, bool]:
        """Canonical payload and whether decoding can start there; may replace `config`. Raises ParseError."""
        ...


class Plain:
    """Payloads that are canonical as they come."""

    def __init__(self, config: bytes = b"") -> None:
        self.config: bytes | None = config

    def read(self, data: bytes, key: bool) -> tuple[bytes, bool]:
        return data, key


class AnnexB:
    """H.264 or H.265 with start codes: TS, raw files, AVI."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        self.config: bytes | None = None
        self._units = AccessUnits(codec)
        if extradata:
            self.config = self._units.read(extradata).config

    def read(self, data: bytes, key: bool) -> tuple[bytes, bool]:
        unit = self._units.read(data)
        if unit.config:
            self.config = unit.config
        return unit.payload, unit.key


class LengthPrefixed:
    """H.264 or H.265 as MP4 and Matroska store it: any length size becomes 4, delimiters go."""

    def __init__(self, codec: str, config: bytes, size: int) -> None:
        """`config` is avcC or hvcC for lengths of 4 bytes, or empty; `size` the bytes that lengths have here."""
        self._h264 = codec == "h264"
        self._pass = H264_PASS if self._h264 else H265_PASS
        self._size = size
        self._units = AccessUnits(codec)
        sets = [unit for unit in parameter_sets(codec, config) if unit]
        self.config: bytes | None = config if sets else None
        if sets:
            self._units.read_nals(sets)

    @classmethod
    def of(cls, codec: str, extradata: bytes) -> "LengthPrefixed":
        """For payloads with lengths of the size that their avcC or hvcC tells. Raises ParseError."""
        parsed = h264.parse_avcc(extradata) if codec == "h264" else h265.parse_hvcc(extradata)
        # 14496-15 5.3.3.1.2, 8.3.3.1.2: lengthSizeMinusOne ends this octet. The rest stays to the byte: it may end in
        # extension fields.
        at = 4 if codec == "h264" else 21
        return cls(codec, extradata[:at] + bytes((extradata[at] | 3,)) + extradata[at + 1 :], parsed.length_size)

    def read(self, data: bytes, key: bool) -> tuple[bytes, bool]:
        size = self._size
        position, end, clean = 0, len(data), True
        passing, h264_types = self._pass, self._h264
        while position + size < end:
            kind = data[position + size]
            kind = kind & 31 if h264_types else kind >> 1 & 63
            if kind not in passing:
                clean = False
                break
            position += size + int.from_bytes(data[position : position + size], "big")
        if clean:
            return (data if size == 4 else relength(data, size)), key
        # 14496-15 5.3.2 allows parameter sets and delimiters in band for avc3 and hev1, and some cameras write
        # them into avc1 as well.
        unit = self._units.read_nals(split_lengths(data, size))
        if unit.config:
            self.config = unit.config
        return unit.payload, key or unit.key


class Adts:
    """AAC whose packets carry ADTS headers: raw .aac, TS."""

    def __init__(self) -> None:
        self.config: bytes | None = None

    def read(self, data: bytes, key: bool) -> tuple[bytes, bool]:
        if len(data) < 2 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
            return data, True
        if self.config is None:
            self.config = aac.asc_from_adts(data)
        # ISO/IEC 14496-3 1.A.2.2.1: without protection the header has 7 octets, with it 9.
        return data[7 if data[1] & 1 else 9 :], True


class Av1:
    """AV1 from any container: every OBU with a size field, no temporal delimiter."""

    def __init__(self, extradata: bytes) -> None:
        self.config: bytes | None = None
        self._obu: bytes | None = None
        self._record = b""
        # AV1-ISOBMFF 2.3.3: marker and version. Raw streams have a sequence header there instead.
        if extradata[:1] == b"\x81":
            self._obu = av1.find_sequence_header(av1.parse_av1c(extradata).config_obus)
            # Not before the first frame: files of libsvtav1 begin with another sequence header than their record has.
            self._record = extradata if self._obu else b""
        elif extradata:
            self._note(extradata)

    def _note(self, unit: bytes) -> None:
        obu = av1.find_sequence_header(unit)
        if obu is not None and obu != self._obu:
            self._obu = obu
            self.config = av1.build_av1c(obu)

    def read(self, data: bytes, key: bool) -> tuple[bytes, bool]:
        if key:
            self._note(data)
        if self.config is None and self._record:
            self.config = self._record
        return av1.canonical(data), key


class Vp9:
    """VP9: the configuration comes from key frames."""

    def __init__(self, fps: Fraction | None) -> None:
        self.config: bytes | None = None
        self._fps = fps

    def read(self, data: bytes, key: bool) -> tuple[bytes, bool]:
        if key:
            self.config = vp9.build_vpcc(vp9.parse_frame_header(data), self._fps)
        return data, key


def payload_for(track: Track, extradata: bytes) -> Payload:
    """The converter for a track as libav describes it. Raises ParseError for broken configuration."""
    codec = track.codec
    if codec in ("h264", "h265"):
        # 14496-15 5.3.3.1.2, 8.3.3.1.2: configuration records begin with version 1; start codes begin with 0.
        if extradata and extradata[0] == 1:
            return LengthPrefixed.of(codec, extradata)
        return AnnexB(codec, extradata)
    if codec == "aac":
        return Plain(extradata) if extradata else Adts()
    if codec == "av1":
        return Av1(extradata)
    if codec == "vp9":
        return Vp9(track.fps)
    if codec == "flac":
        # RFC 9639 8.2: STREAMINFO follows the marker and its block header.
        start = 8 if extradata.startswith(b"fLaC") else 0
        return Plain(extradata[start : start + 34])
    if codec == "opus" and not extradata.startswith(b"OpusHead"):
        return Plain(opus.build_head(track.channels or 2, input_sample_rate=track.sample_rate or 48000))
    return Plain(extradata if codec not in NO_CONFIG else b"")
