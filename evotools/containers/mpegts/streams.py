"""How program maps name codecs, both ways.

ISO/IEC 13818-1 table 2-34, ETSI EN 300 468 annex D (DVB AC-3), ATSC A/52 annex A and A/53, SCTE 35 8.1, the timed
ID3 specification for HTTP Live Streaming, and the Opus-in-TS convention that FFmpeg and browsers' tools share.
"""

from evotools.codecs import opus
from evotools.codecs.aac import build_adts_header
from evotools.containers.mpegts.pes import AUDIO_STREAM, PRIVATE_STREAM_1, VIDEO_STREAM
from evotools.containers.mpegts.psi import Descriptors, MapEntry
from evotools.errors import MediaError, ParseError
from evotools.media.track import Track

_REGISTRATION = 0x05
_LANGUAGE = 0x0A
_METADATA_POINTER = 0x25
_METADATA = 0x26
_DVB_AC3 = 0x6A
_DVB_EAC3 = 0x7A
_DVB_AAC = 0x7C
_EXTENSION = 0x7F
_OPUS_EXTENSION = 0x80

# Stream types that carry sections, not PES packets; only SCTE 35 is read of these.
_SECTION_TYPES = frozenset((0x05, 0x08, 0x0A, 0x0B, 0x0C, 0x0D, 0x14, 0x16, 0x17))

_BY_TYPE = {
    0x01: "mpeg2video", 0x02: "mpeg2video", 0x1B: "h264", 0x24: "h265",
    0x03: "mpa", 0x04: "mpa", 0x0F: "adts", 0x11: "latm",
    0x81: "ac3", 0x84: "eac3", 0x87: "eac3", 0x15: "metadata", 0x86: "scte35",
}  # fmt: skip
_BY_REGISTRATION = {
    b"Opus": "opus", b"AC-3": "ac3", b"EAC3": "eac3", b"HEVC": "h265", b"ID3 ": "id3",
}  # fmt: skip

_DUAL_MONO = (2, 0, b"\0\1")


def identify(entry: MapEntry, program: Descriptors = ()) -> str:
    """What kind of stream an entry of the program map is: a reader name of `elementary`, or '' for what is not read.

    Unknown PES streams are 'data'. `program` holds the descriptors of the program.
    """
    kind, stream_type = entry.registration, entry.stream_type
    blu_ray = any(tag == _REGISTRATION and body[:4] == b"HDMV" for tag, body in program)
    if stream_type in _SECTION_TYPES:
        return ""
    if stream_type == 0x86 and blu_ray:
        return "data"  # DTS-HD there
    named = _BY_TYPE.get(stream_type)
    if named == "metadata":
        found = entry.descriptor(_METADATA) or b""
        return "id3" if b"ID3 " in found else "data"
    if named:
        return named
    if stream_type == 0x06:
        if kind in _BY_REGISTRATION:
            return _BY_REGISTRATION[kind]
        extension = entry.descriptor(_EXTENSION)
        if extension and extension[0] == _OPUS_EXTENSION:
            return "opus"
        for tag, name in ((_DVB_AC3, "ac3"), (_DVB_EAC3, "eac3"), (_DVB_AAC, "adts")):
            if entry.descriptor(tag) is not None:
                return name
    return "data"


def language(entry: MapEntry) -> str:
    """The ISO 639-2 code of the stream, or empty. 2.6.18."""
    body = entry.descriptor(_LANGUAGE) or b""
    code = body[:3].decode("latin-1").lower()
    return code if len(code) == 3 and code.isascii() and code.isalpha() and code != "und" else ""


def opus_head(entry: MapEntry) -> bytes:
    """OpusHead for the channel_config_code of the stream; empty for a code that nobody writes."""
    bodies = (body for tag, body in entry.descriptors if tag == _EXTENSION)
    body = next((body for body in bodies if body[:1] == bytes((_OPUS_EXTENSION,))), b"")
    code = body[1] if len(body) > 1 else 2
    try:
        if code == 0:
            streams, coupled, mapping = _DUAL_MONO
            return opus.build_head(2, pre_skip=0, mapping_family=255, streams=streams, coupled=coupled, mapping=mapping)
        return opus.build_head(code, pre_skip=0)
    except ParseError:
        return b""


def _opus_code(config: bytes) -> int | None:
    """The channel_config_code for an OpusHead, or None when there is none."""
    try:
        head = opus.parse_head(config)
        usual = opus.parse_head(opus.build_head(head.channels))
    except ParseError:
        return None
    layout = (head.streams, head.coupled, head.mapping)
    if head.channels == 2 and layout == _DUAL_MONO:
        return 0
    return head.channels if layout == (usual.streams, usual.coupled, usual.mapping) else None


def _registration(code: bytes) -> tuple[int, bytes]:
    return (_REGISTRATION, code)


def _name(track: Track) -> tuple[int, int, Descriptors] | None:
    """Stream type, stream id and descriptors of a codec, or None when transport streams have no name for it."""
    match track.codec:
        case "h264":
            return 0x1B, VIDEO_STREAM, ()
        case "h265":
            return 0x24, VIDEO_STREAM, (_registration(b"HEVC"),)
        case "mpeg2video":
            return 0x02, VIDEO_STREAM, ()
        case "aac":
            try:
                build_adts_header(track.config, 0)
            except MediaError:  # ELD, USAC and rare rates have no ADTS form
                return None
            return 0x0F, AUDIO_STREAM, ()
        case "mp3" | "mp2":
            # 0x04 is the half-rate extension of MPEG-2 (ISO/IEC 13818-3).
            return 0x04 if 0 < track.sample_rate < 32_000 else 0x03, AUDIO_STREAM, ()
        case "ac3":
            return 0x81, PRIVATE_STREAM_1, (_registration(b"AC-3"),)
        case "eac3":
            return 0x87, PRIVATE_STREAM_1, (_registration(b"EAC3"),)
        case "opus":
            code = _opus_code(track.config)
            if code is None:
                return None
            return 0x06, PRIVATE_STREAM_1, (_registration(b"Opus"), (_EXTENSION, bytes((_OPUS_EXTENSION, code))))
        case "id3":
            # metadata_descriptor: application and format 'ID3 ', service 0, no decoder configuration (2.6.60).
            return 0x15, PRIVATE_STREAM_1, ((_METADATA, b"\xff\xffID3 \xffID3 \x00\x0f"),)
        case "scte35":
            return 0x86, 0, (_registration(b"CUEI"),)
    return None


def can_name(track: Track) -> bool:
    """Whether a program map has a name for the track's codec and layout."""
    return _name(track) is not None


def map_entry(track: Track, pid: int) -> tuple[MapEntry, int]:
    """The entry of the program map for `track`, and its PES stream_id. Raises MediaError."""
    named = _name(track)
    if named is None:
        raise MediaError(
            f"{track.describe()}: MPEG-TS has no name for this codec",
            hint="use Matroska (-f mkv), drop the track, or transcode it first",
        )
    stream_type, stream_id, descriptors = named
    code = track.language.encode("ascii", "replace")
    if len(code) == 3 and code.isalpha():
        descriptors = (*descriptors, (_LANGUAGE, code + b"\0"))
    return MapEntry(pid, stream_type, descriptors), stream_id


def program_descriptors(tracks: list[Track], program: int) -> Descriptors:
    """Descriptors of the program as a whole that its tracks ask for."""
    found: list[tuple[int, bytes]] = []
    if any(track.codec == "scte35" for track in tracks):
        found.append(_registration(b"CUEI"))  # SCTE 35 8.1
    if any(track.codec == "id3" for track in tracks):
        # metadata_pointer_descriptor to this very program (2.6.58).
        found.append((_METADATA_POINTER, b"\xff\xffID3 \xffID3 \x00\x1f" + program.to_bytes(2, "big")))
    return tuple(found)
