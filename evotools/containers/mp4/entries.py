"""Sample entries: a `Track` as MP4 names it, and back. ISO/IEC 14496-12 8.5.2 and 12, 14496-14, 14496-15.

The bindings of the other codecs: AV1 and VP codecs (AOM), Opus and FLAC (their projects), AC-3 (ETSI TS 102 366 F).
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from evotools.codecs import aac, ac3, av1, flac, h264, h265, opus, vp9
from evotools.codecs.describe import describe
from evotools.codecs.nal import Bytes
from evotools.containers.mp4 import esds
from evotools.containers.mp4.boxes import Box, box, children, full_box, header
from evotools.containers.mp4.protection import Protection, parse_sinf, sinf
from evotools.errors import MediaError, ParseError
from evotools.media.track import Kind, Track

VISUAL_HEAD, AUDIO_HEAD = 78, 28
"""Bytes of a visual and of an audio sample entry between the box header and the boxes inside (12.1.3, 12.2.3)."""
MAX_ENTRY: Final = 1 << 20
"""Bytes of one sample entry. The largest part is a set of parameter sets, below 64 KiB each; QuickTime may add a colour
table of 2 KiB."""
MAX_WAVE_DEPTH: Final = 2
"""Boxes inside boxes of QuickTime sound descriptions: `wave` holds `esds` directly."""

_VIDEO: Final = {
    "h264": b"avc1", "h265": b"hvc1", "av1": b"av01", "vp9": b"vp09", "vp8": b"vp08",
    "mpeg1video": b"mp4v", "mpeg2video": b"mp4v", "mpeg4": b"mp4v", "mjpeg": b"mp4v",
}  # fmt: skip
_AUDIO: Final = {
    "aac": b"mp4a", "mp3": b"mp4a", "mp2": b"mp4a", "opus": b"Opus", "ac3": b"ac-3", "eac3": b"ec-3", "flac": b"fLaC",
    "alac": b"alac",
}  # fmt: skip
_BOX: Final = {
    "h264": b"avcC", "h265": b"hvcC", "av1": b"av1C", "vp9": b"vpcC", "opus": b"dOps", "ac3": b"dac3", "eac3": b"dec3",
    "flac": b"dfLa", "alac": b"alac",
}  # fmt: skip
"""Boxes that hold the configuration."""
CODECS: Final = {
    b"avc1": "h264", b"avc3": "h264", b"dva1": "h264", b"dvav": "h264",
    b"hvc1": "h265", b"hev1": "h265", b"dvh1": "h265", b"dvhe": "h265",
    b"av01": "av1", b"vp08": "vp8", b"vp09": "vp9",
    b"mp4a": "aac", b".mp3": "mp3", b".mp2": "mp2", b"ms\0\x55": "mp3", b"Opus": "opus",
    b"ac-3": "ac3", b"ec-3": "eac3", b"fLaC": "flac", b"alac": "alac", b"ulaw": "pcmu", b"alaw": "pcma",
}  # fmt: skip
"""Codec by sample entry; `mp4a` and `mp4v` are settled by their descriptors."""
_OBJECT_TYPES: Final = {
    0x20: "mpeg4", 0x40: "aac", **dict.fromkeys(range(0x60, 0x66), "mpeg2video"), 0x66: "aac", 0x67: "aac", 0x68: "aac",
    0x69: "mp3", 0x6A: "mpeg1video", 0x6B: "mp3", 0x6C: "mjpeg", 0xA5: "ac3", 0xA6: "eac3", 0xA9: "dts", 0xAD: "opus",
    0xDD: "vorbis",
}  # fmt: skip
"""Codec by objectTypeIndication. MPEG audio of layer II has the same numbers as layer III: the packets tell."""
_VISUAL_TYPES: Final = {"mpeg4": 0x20, "mpeg2video": 0x61, "mpeg1video": 0x6A, "mjpeg": 0x6C}
"""objectTypeIndication of video in `mp4v`."""
_NO_CONFIG: Final = frozenset(("vp8", "mp3", "mp2", *_VISUAL_TYPES))
"""Codecs whose sample entries need no configuration."""
_KINDS: Final = {b"vide": Kind.VIDEO, b"soun": Kind.AUDIO}
_UNKNOWN_COLOUR: Final = (2, 2, 2)


def accepts(track: Track) -> bool:
    """Whether the track's codec has a sample entry here."""
    return track.codec in _VIDEO or track.codec in _AUDIO


def needs_packet(track: Track) -> bool:
    """Whether the sample entry has to wait for a packet, by which `completed` finds what is missing."""
    codec = track.codec
    if codec in ("mp3", "mp2"):
        return not track.sample_rate
    if codec in ("vp8", "vp9") and not track.width:
        return True
    return not track.config and codec in ("ac3", "eac3", "vp9", "av1")


def is_complete(track: Track) -> bool:
    """Whether the track has all that its sample entry tells."""
    codec = track.codec
    return not needs_packet(track) and (bool(track.config) or codec in _NO_CONFIG)


def completed(track: Track, packet: Bytes = b"") -> Track:
    """The track with what can be found out: the configuration where the source had none, size, rate and channels.

    `packet` is a payload of the track, best a key frame. Without one an Opus track is taken to have the usual layout.
    Raises ParseError for a broken packet or configuration.
    """
    codec = track.codec
    if codec == "opus" and not track.config:
        return describe(track.with_(config=opus.build_head(track.channels or 2)))
    if not needs_packet(track):
        return describe(track) if track.kind is Kind.VIDEO and not track.width and track.config else track
    if not len(packet):
        return track
    if codec == "ac3":
        track = track.with_(config=ac3.build_dac3(packet))
    elif codec == "eac3":
        track = track.with_(config=ac3.build_dec3(packet))
    return describe(track, packet)


# Tracks to sample entries.


class Picture(NamedTuple):
    """What a video configuration tells of how pictures are to be shown."""

    aspect: tuple[int, int]
    """Width and height of a sample."""
    colours: tuple[int, int, int]
    """Primaries, transfer characteristics, matrix coefficients (ISO/IEC 23091-2); 2 is unknown."""
    full_range: bool


@lru_cache(maxsize=64)
def picture(codec: str, config: bytes) -> Picture:
    """Sample aspect ratio and colours that `config` tells; square samples of unknown colour for what it does not."""
    aspect, colours, full_range = (1, 1), _UNKNOWN_COLOUR, False
    try:
        facts: h264.Sps | h265.Sps | av1.SequenceHeader | vp9.VpcConfig | None = None
        if codec == "h264":
            avc = h264.parse_avcc(config)
            facts = h264.parse_sps(avc.sps[0]) if avc.sps else None
        elif codec == "h265":
            hevc = h265.parse_hvcc(config)
            facts = h265.parse_sps(hevc.sps[0]) if hevc.sps else None
        elif codec == "av1":
            facts = av1.sequence_header_of(config)
        elif codec == "vp9":
            facts = vp9.parse_vpcc(config)
        if facts is not None:
            colours = (facts.colour_primaries, facts.transfer_characteristics, facts.matrix_coefficients)
            full_range = facts.full_range
        if isinstance(facts, (h264.Sps, h265.Sps)) and facts.sample_aspect_ratio:
            ratio = facts.sample_aspect_ratio
            aspect = (ratio.numerator, ratio.denominator)
    except ParseError:
        pass
    return Picture(aspect, colours, full_range)


def display_size(track: Track) -> tuple[int, int]:
    """Width and height of the picture on a display with square samples, in 16.16 fixed point (tkhd, 8.3.2)."""
    wide, high = picture(track.codec, track.config).aspect
    width = min((track.width << 16) * wide // high, 0xFFFF_FFFF)
    return width, min(track.height << 16, 0xFFFF_FFFF)


def sample_entry(track: Track, *, protection: Protection | None = None) -> bytes:
    """The sample entry of a track; `encv` or `enca` with `protection`.

    Raises MediaError when the codec has no sample entry, the configuration that it needs is missing, or a value does
    not fit; ParseError when the configuration is broken.
    """
    if track.codec in _VIDEO:
        name, body = _VIDEO[track.codec], _visual(track)
    elif track.codec in _AUDIO:
        name, body = _AUDIO[track.codec], _audio(track)
    else:
        raise MediaError(f"MP4 cannot carry {track.describe()}", hint="use mkv, or leave it out")
    if protection is None:
        return box(name, *body)
    # 14496-12 8.12.1: the entry takes a common name, the original one moves into the scheme information.
    return box(b"encv" if track.codec in _VIDEO else b"enca", *body, sinf(protection, name))


def _configuration(track: Track) -> bytes:
    """The box with the codec's configuration."""
    codec, config = track.codec, track.config
    if codec == "vp8":
        # The VP codec binding asks for the same box; nothing in VP8 fills its fields but the colour format.
        return box(b"vpcC", vp9.pack_vpcc(vp9.VpcConfig(0, 10, 8, vp9.CHROMA_420_COLLOCATED, False)))
    if codec in _VISUAL_TYPES:
        # These carry their headers in band; MPEG-4 video has them here too.
        return esds.build(_VISUAL_TYPES[codec], config, stream=esds.VISUAL_STREAM, bitrate_bps=track.bitrate_bps)
    if not config:
        raise MediaError(f"MP4 cannot carry {track.describe()}: its codec configuration is not known")
    if codec == "opus":
        return box(b"dOps", _dops(config))
    if codec == "flac":
        # FLAC in ISOBMFF 3.3.2: metadata blocks with their headers; the last one is flagged.
        return full_box(b"dfLa", 0, 0, b"\x80\x00\x00\x22", config[: flac.STREAMINFO_BYTES])
    if codec == "alac":
        return _alac(config)
    return box(_BOX[codec], config)


def _visual(track: Track) -> tuple[bytes, ...]:
    if track.width > 0xFFFF or track.height > 0xFFFF:
        raise MediaError(f"MP4 cannot carry pictures of {track.width}x{track.height}")
    # 12.1.3: data reference 1; 72 dpi; one frame per sample; no compressor name; depth 24.
    head = struct.pack(
        ">6xH16xHHIIIH32xHh", 1, track.width, track.height, 0x00480000, 0x00480000, 0, 1, 0x18, -1
    )  # fmt: skip
    parts = [head, _configuration(track)]
    shown = picture(track.codec, track.config)
    if shown.colours != _UNKNOWN_COLOUR or shown.full_range:
        # 12.1.5
        parts.append(box(b"colr", b"nclx", struct.pack(">HHHB", *shown.colours, shown.full_range << 7)))
    if shown.aspect != (1, 1):
        # 12.1.4
        parts.append(box(b"pasp", struct.pack(">II", *shown.aspect)))
    return (*parts, _btrt(track))


def _btrt(track: Track) -> bytes:
    # 8.5.2.2: buffer size (unknown), maximal and average rate.
    rate = min(track.bitrate_bps, 0xFFFF_FFFF)
    return box(b"btrt", struct.pack(">III", 0, rate, rate)) if rate else b""


def _audio(track: Track) -> tuple[bytes, ...]:
    codec = track.codec
    rate, bits, channels = track.sample_rate, 16, track.channels or 2
    if codec in ("mp3", "mp2"):
        # MPEG-2 and 2.5 have half the rates of MPEG-1 and less, and a number of their own.
        low = 0 < rate < 32000
        boxes: tuple[bytes, ...] = (
            esds.build(esds.MPEG2_AUDIO if low else esds.MPEG1_AUDIO, bitrate_bps=track.bitrate_bps),
        )
    elif codec == "aac":
        if not track.config:
            raise MediaError(f"MP4 cannot carry {track.describe()}: its codec configuration is not known")
        boxes = (esds.build(esds.AAC, track.config, bitrate_bps=track.bitrate_bps), _btrt(track))
    else:
        boxes = (_configuration(track), _btrt(track))
        if codec == "opus":
            # Opus in ISOBMFF 4.3.1: always 48000 and 16, whatever the original was.
            rate = opus.SAMPLE_RATE
        elif codec == "flac":
            bits = flac.parse_streaminfo(track.config).bits_per_sample
            while rate > 0xFFFF:
                # FLAC in ISOBMFF 3.3.1: the greatest expressible regular division.
                rate //= 2
    # 12.2.3: 16.16 fixed point; a rate that does not fit is told by the codec's configuration alone.
    head = struct.pack(">6xH8xHH4xI", 1, channels, bits, rate << 16 if rate <= 0xFFFF else 0)
    return (head, *boxes)


def _alac(config: bytes) -> bytes:
    """The box that holds the ALACSpecificConfig; libav, which is where it comes from, gives it with or without."""
    return config if config[4:8] == b"alac" else full_box(b"alac", 0, 0, config)


def _dops(config: bytes) -> bytes:
    """The body of a dOps box (Opus in ISOBMFF 4.3.2): OpusHead in the other byte order, without its magic."""
    head = opus.parse_head(config)
    fixed = struct.pack(">BBHIhB", 0, head.channels, head.pre_skip, head.input_sample_rate, head.output_gain,
                        head.mapping_family)  # fmt: skip
    return fixed + (bytes((head.streams, head.coupled)) + head.mapping if head.mapping_family else b"")


def codec_string(track: Track) -> str:
    """RFC 6381 string of the track as its sample entry names it: MPEG audio goes by object type, VP8 by `vp08`."""
    if track.codec in ("mp3", "mp2"):
        # RFC 6381 3.3: `mp4a` and the objectTypeIndication in hexadecimal digits.
        return f"mp4a.{esds.MPEG2_AUDIO if 0 < track.sample_rate < 32000 else esds.MPEG1_AUDIO:02X}"
    if track.codec == "vp8":
        return "vp08.00.10.08"
    if track.codec in _VISUAL_TYPES:
        return f"mp4v.{_VISUAL_TYPES[track.codec]:02X}"
    if track.codec == "alac":
        return "alac"
    return track.codec_string or describe(track).codec_string


# Sample entries to tracks.


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """What a sample entry tells."""

    track: Track
    """In canonical terms: 4-byte NAL unit lengths in `config`, whatever the samples have. An avcC or hvcC without
    parameter sets (avc3, hev1) is no configuration: `config` is empty and the samples tell."""
    format: bytes
    """The sample entry's type; the original one of an encrypted entry."""
    nal_length_size: int = 4
    """Bytes of each NAL unit length in the samples (h264, h265)."""
    protection: Protection | None = None
    encrypted: bool = False
    """The entry is encv or enca, even of a scheme that has no `protection` here."""


def parse_sample_entry(
    entry: bytes | memoryview,
    *,
    handler: bytes,
    track_id: int,
    timescale: int,
    language: str = "",
    label: str = "",
    stsd_version: int = 0,
) -> EntryInfo:
    """The track that a whole sample entry (box header included) describes.

    `handler` is the handler type (`vide`, `soun`); `stsd_version` the version of the box around it. A format that is
    not known gives a track with the type in lower case as codec and without configuration. Raises ParseError.
    """
    if len(entry) > MAX_ENTRY:
        raise ParseError(f"MP4: a sample entry of {len(entry)} bytes is above the limit of {MAX_ENTRY}")
    data = bytes(entry)
    found = header(data, 0, len(data))
    if found is None or not found[2] <= len(data):
        raise ParseError("MP4: a sample entry is cut")
    kind, head, size = found
    end = size or len(data)
    track = Track(track_id, _KINDS.get(handler, Kind.DATA), "", timescale, language=language, label=label)
    inner = head + 8
    if handler == b"vide":
        track, inner = _read_visual(data, head, end, track)
    elif handler == b"soun":
        track, inner = _read_audio(data, head, end, track, stsd_version)
    boxes = _boxes(data, inner, end) if handler in _KINDS else {}
    protection, encrypted = None, kind in (b"encv", b"enca")
    if encrypted:
        if b"sinf" not in boxes:
            raise ParseError("MP4: a protected sample entry has no scheme information")
        kind, protection = parse_sinf(data, boxes[b"sinf"])
    codec = CODECS.get(kind) or kind.decode("latin-1").strip().lower()
    track = track.with_(codec=codec)
    if b"btrt" in boxes:
        at = boxes[b"btrt"]
        if at.end - at.start >= 12:
            track = track.with_(bitrate_bps=int.from_bytes(data[at.start + 8 : at.start + 12], "big"))
    if kind in (b"mp4a", b"mp4v") and b"esds" in boxes:
        track = _with_esds(track, _body(data, boxes[b"esds"]))
        return EntryInfo(describe(track), kind, 4, protection, encrypted)
    name = _BOX.get(codec)
    length_size = 4
    if name is not None and name in boxes:
        config, length_size = _READ.get(codec, _as_it_is)(_body(data, boxes[name]))
        track = track.with_(config=config)
    return EntryInfo(describe(track), kind, length_size, protection, encrypted)


def _body(data: bytes, of: Box) -> bytes:
    return data[of.start : of.end]


def _read_visual(data: bytes, head: int, end: int, track: Track) -> tuple[Track, int]:
    if end - head < VISUAL_HEAD:
        raise ParseError("MP4: a visual sample entry is cut", offset=end)
    width, height = struct.unpack_from(">HH", data, head + 24)
    return track.with_(width=width, height=height), head + VISUAL_HEAD


def _read_audio(data: bytes, head: int, end: int, track: Track, stsd_version: int) -> tuple[Track, int]:
    """Sample entries of ISO files and sound descriptions 0, 1 and 2 of QuickTime."""
    if end - head < AUDIO_HEAD:
        raise ParseError("MP4: an audio sample entry is cut", offset=end)
    version, channels, rate = struct.unpack_from(">8xH6xH6xI", data, head)
    inner = head + AUDIO_HEAD
    rate >>= 16
    if version == 1 and not stsd_version:
        # QuickTime file format, sound sample description version 1: four more fields. In ISO files version 1 stands
        # in an stsd box of version 1 and has none.
        inner += 16
    elif version == 2:
        if end - inner < 36:
            raise ParseError("MP4: a sound description of version 2 is cut", offset=end)
        size, precise, channels = struct.unpack_from(">IdI", data, inner)
        rate = int(precise) if 0 < precise < 1e7 else 0
        # sizeOfStructOnly counts from the box's begin.
        inner = size if 72 <= size <= end else inner + 36
    return track.with_(channels=channels, sample_rate=rate), min(inner, end)


def _boxes(data: bytes, start: int, end: int, depth: int = 0) -> dict[bytes, Box]:
    """The first box of each type, those inside `wave` included."""
    found: dict[bytes, Box] = {}
    for inner in children(data, start, end):
        if inner.kind == b"wave" and depth < MAX_WAVE_DEPTH:
            for kind, one in _boxes(data, inner.start, inner.end, depth + 1).items():
                found.setdefault(kind, one)
        else:
            found.setdefault(inner.kind, inner)
    return found


def _with_esds(track: Track, body: bytes) -> Track:
    told = esds.parse(body)
    codec = _OBJECT_TYPES.get(told.object_type, track.codec if track.codec != "aac" else f"mp4-{told.object_type:02x}")
    config = b""
    if codec == "aac":
        config = told.specific
        if config and aac.parse_asc(config).object_type in (32, 33, 34):
            # 14496-3 Table 1.17: layers I to III under the number of AAC.
            codec, config = ("mp2" if aac.parse_asc(config).object_type == 33 else "mp3"), b""
        elif not config and told.object_type > esds.AAC and track.sample_rate:
            config = aac.build_asc(told.object_type - esds.MPEG2_AAC_MAIN + 1, track.sample_rate, track.channels)
    elif codec in _VISUAL_TYPES or codec == "vorbis":
        config = told.specific
    return track.with_(codec=codec, config=config, bitrate_bps=told.avg_bitrate or track.bitrate_bps)


def _as_it_is(body: bytes) -> tuple[bytes, int]:
    return body, 4


def _read_avcc(body: bytes) -> tuple[bytes, int]:
    parsed = h264.parse_avcc(body)
    # 14496-15 5.3.3.1.2: lengthSizeMinusOne ends this octet.
    return (body[:4] + bytes((body[4] | 3,)) + body[5:] if parsed.sps and parsed.pps else b""), parsed.length_size


def _read_hvcc(body: bytes) -> tuple[bytes, int]:
    parsed = h265.parse_hvcc(body)
    # 14496-15 8.3.3.1.2
    whole = parsed.sps and parsed.pps
    return (body[:21] + bytes((body[21] | 3,)) + body[22:] if whole else b""), parsed.length_size


def _read_vpcc(body: bytes) -> tuple[bytes, int]:
    # Version 0 was a draft: the fields behind are the same but for the colours, and the packets tell them all.
    return (body if body[:1] == b"\1" else b""), 4


def _read_av1c(body: bytes) -> tuple[bytes, int]:
    return (body if av1.sequence_header_of(body) is not None else b""), 4


def _read_dops(body: bytes) -> tuple[bytes, int]:
    if len(body) < 11:
        raise ParseError(f"MP4: a dOps box of {len(body)} bytes is too short")
    _, channels, skip, rate, gain, family = struct.unpack_from(">BBHIhB", body)
    mapping = body[11 : 13 + channels] if family else b""
    head = b"".join((
        opus.MAGIC, struct.pack("<BBHIhB", 1, channels, skip, rate, gain, family), mapping,
    ))  # fmt: skip
    opus.parse_head(head)
    return head, 4


def _read_dfla(body: bytes) -> tuple[bytes, int]:
    # STREAMINFO is the first block (RFC 9639 8.2).
    if len(body) < 8 + flac.STREAMINFO_BYTES or body[4] & 0x7F:
        raise ParseError("MP4: a dfLa box does not begin with STREAMINFO")
    return body[8 : 8 + flac.STREAMINFO_BYTES], 4


def _read_alac(body: bytes) -> tuple[bytes, int]:
    return box(b"alac", body), 4


_READ: Final[dict[str, Callable[[bytes], tuple[bytes, int]]]] = {
    "h264": _read_avcc, "h265": _read_hvcc, "vp9": _read_vpcc, "av1": _read_av1c, "opus": _read_dops,
    "flac": _read_dfla, "alac": _read_alac,
}  # fmt: skip
