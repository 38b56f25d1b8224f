"""The Tracks element: what each TrackEntry says of its track. RFC 9559 5.1.4, draft-ietf-cellar-codec."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from evotools.codecs import aac, flac, opus
from evotools.containers.base import Foreign
from evotools.containers.matroska.ebml import children, real, text, uint
from evotools.containers.matroska.names import CODEC_ID, PCM_BITS
from evotools.errors import ParseError
from evotools.log import get_logger
from evotools.media.language import iso639
from evotools.media.track import Kind, Track

log = get_logger("matroska")

MAX_TRACKS: Final = 256
"""Entries of one list; films with many languages have some fifty."""
MAX_PRIVATE: Final = 1 << 20
"""Bytes of CodecPrivate. Vorbis has its codebooks there, some 5 KiB, and comments that may hold a picture."""
MAX_STRIPPED: Final = 64
"""Bytes that header stripping took from each frame: mkvmerge takes up to four. More would turn small inputs into large
ones."""
MAX_DELAY_NS: Final = 10**10
"""CodecDelay: encoders look ahead by milliseconds."""
MAX_FPS: Final = 1000
MAX_SIDE: Final = 1 << 16
MAX_RATE: Final = 1 << 24

_VIDEO, _AUDIO = 1, 2
_OWN: Final = {
    ident: codec
    for codec, ident in CODEC_ID.items()
    if codec in ("h264", "h265", "av1", "vp8", "vp9", "mjpeg", "aac", "mp2", "mp3", "opus", "ac3", "eac3", "flac",
                 "vorbis")
}  # fmt: skip
"""Codecs that become canonical payloads here; libav reads the rest."""
_PCM: Final = {(CODEC_ID[codec], bits): codec for codec, bits in PCM_BITS.items()}
_WAVE: Final = {6: "pcma", 7: "pcmu"}
"""WAVEFORMATEX tags (RFC 2361) in A_MS/ACM."""
_AAC_TYPES: Final = {"MAIN": 1, "LC": 2, "SSR": 3, "LTP": 4}


@dataclass(slots=True)
class Entry:
    """One video or audio track."""

    number: int
    """TrackNumber, by which blocks name it."""
    track: Track
    """With a timescale of 1 and what the container tells; its codec configuration is `private` still."""
    private: bytes = b""
    duration_ns: int = 0
    """DefaultDuration of a frame; 0 when it is not told."""
    delay_ns: int = 0
    """CodecDelay: block times are ahead of presentation times by so much."""
    stripped: bytes = b""
    """What has to be put in front of every frame."""


def parse_tracks(data: bytes) -> list[Entry]:
    """The video and audio tracks of the body of a Tracks element; others are left out with a log line.

    Track ids count the entries from 1. Raises Foreign for what only libav reads, ParseError for broken, encrypted and
    missing tracks.
    """
    found: list[Entry] = []
    numbers: set[int] = set()
    index = 0
    for ident, start, end in children(data, 0, len(data)):
        if ident != 0xAE:
            continue
        index += 1
        if index > MAX_TRACKS:
            raise ParseError(f"Matroska: more than {MAX_TRACKS} tracks")
        entry = _entry(data, start, end, index)
        if entry is None:
            continue
        if entry.number in numbers:
            raise ParseError(f"Matroska: two tracks have the number {entry.number}")
        numbers.add(entry.number)
        found.append(entry)
    if not found:
        raise ParseError("Matroska: no video or audio in it")
    return found


def _fields(data: bytes, start: int, end: int) -> dict[int, bytes]:
    """The first element of each identifier."""
    found: dict[int, bytes] = {}
    for ident, at, stop in children(data, start, end):
        if ident not in found:
            found[ident] = data[at:stop]
    return found


def _entry(data: bytes, start: int, end: int, index: int) -> Entry | None:
    fields = _fields(data, start, end)
    codec_id = text(fields.get(0x86, b""))
    kind = uint(fields.get(0x83, b""))
    if kind not in (_VIDEO, _AUDIO):
        log.info("Matroska: leaves out track %d: %s is neither video nor audio", index, codec_id or "it")
        return None
    number = uint(fields.get(0xD7, b""))
    if not number:
        raise ParseError(f"Matroska: track {index} has no number")
    private = fields.get(0x63A2, b"")
    if len(private) > MAX_PRIVATE:
        raise ParseError(f"Matroska: CodecPrivate of {len(private)} bytes, more than {MAX_PRIVATE}")
    stripped = b""
    if 0x6D80 in fields:
        private, stripped = _encodings(fields[0x6D80], private, index)
    if fields.get(0x23314F) and real(fields[0x23314F]) not in (0.0, 1.0):
        raise Foreign(f"Matroska: track {index} has a clock of its own (TrackTimestampScale)")
    if 0xE2 in fields:
        raise Foreign(f"Matroska: track {index} is made of others (TrackOperation)")
    duration_ns = uint(fields.get(0x23E383, b""))
    track = Track(
        index, Kind.VIDEO if kind == _VIDEO else Kind.AUDIO, "", 1, language=_language(fields),
        label=text(fields.get(0x536E, b"")),
    )  # fmt: skip
    bits = 0
    if kind == _VIDEO:
        track = _with_video(track, fields.get(0xE0, b""), duration_ns)
    else:
        track, bits = _with_audio(track, fields.get(0xE1, b""))
    track, private = _with_codec(track, codec_id, private, bits)
    delay_ns = uint(fields.get(0x56AA, b""))
    return Entry(number, track, private, duration_ns if duration_ns < 10**11 else 0,
                 delay_ns if delay_ns < MAX_DELAY_NS else 0, stripped)  # fmt: skip


def _encodings(data: bytes, private: bytes, index: int) -> tuple[bytes, bytes]:
    """(CodecPrivate, what was stripped from every frame) under ContentEncodings (RFC 9559 5.1.4.1.31)."""
    stripped = b""
    encodings = [data[a:b] for ident, a, b in children(data, 0, len(data)) if ident == 0x6240]
    if len(encodings) > 1:
        raise Foreign(f"Matroska: track {index} has several content encodings")
    for one in encodings:
        fields = _fields(one, 0, len(one))
        if uint(fields.get(0x5033, b"")) == 1 or 0x5035 in fields:
            raise ParseError(f"Matroska: track {index} is encrypted", hint="decrypt it first; a key is needed")
        compression = _fields(fields.get(0x5034, b""), 0, len(fields.get(0x5034, b"")))
        algorithm = uint(compression.get(0x4254, b""))
        if algorithm != 3:
            name = {0: "zlib", 1: "bzlib", 2: "lzo1x"}.get(algorithm, f"method {algorithm}")
            raise Foreign(f"Matroska: track {index} is compressed ({name})")
        settings = compression.get(0x4255, b"")
        if len(settings) > MAX_STRIPPED:
            raise ParseError(f"Matroska: {len(settings)} bytes stripped from each frame, more than {MAX_STRIPPED}")
        # ContentEncodingScope: 1 is the frames (what is left out is 1), 2 is CodecPrivate.
        scope = uint(fields[0x5032]) if 0x5032 in fields else 1
        if scope & 1:
            stripped = settings
        if scope & 2:
            private = settings + private
    return private, stripped


def _language(fields: dict[int, bytes]) -> str:
    """ISO 639-2; the newer element is in BCP 47."""
    # RFC 9559 5.1.4.1.19: what names no language is English.
    told = text(fields[0x22B59C]).lower() if 0x22B59C in fields else "" if 0x22B59D in fields else "eng"
    if len(told) == 3 and told.isascii() and told.isalpha() and told != "und":
        return told
    return iso639(text(fields.get(0x22B59D, b"")) or told)


def _with_video(track: Track, data: bytes, duration_ns: int) -> Track:
    fields = _fields(data, 0, len(data))
    width, height = uint(fields.get(0xB0, b"")), uint(fields.get(0xBA, b""))
    fps = None
    if duration_ns * MAX_FPS >= 10**9 and duration_ns < 10**11:
        # Written in whole nanoseconds: 33366667 stands for 30000/1001.
        fps = Fraction(10**9, duration_ns).limit_denominator(1001)
    rotation = 0
    if 0x7670 in fields:
        projection = _fields(fields[0x7670], 0, len(fields[0x7670]))
        # RFC 9559 5.1.4.1.28.47: counter-clockwise.
        roll = real(projection.get(0x7675, b""))
        rotation = round(-roll) % 360
    return track.with_(
        width=width if width < MAX_SIDE else 0, height=height if height < MAX_SIDE else 0, fps=fps,
        rotation=rotation if rotation in (90, 180, 270) else 0,
    )  # fmt: skip


def _with_audio(track: Track, data: bytes) -> tuple[Track, int]:
    """The track and its bits per sample."""
    fields = _fields(data, 0, len(data))
    rate = real(fields[0xB5]) if 0xB5 in fields else 8000.0
    channels = uint(fields[0x9F]) if 0x9F in fields else 1
    return track.with_(
        sample_rate=round(rate) if 0 < rate < MAX_RATE else 0, channels=channels if channels < 256 else 0
    ), uint(fields.get(0x6264, b""))


def _with_codec(track: Track, codec_id: str, private: bytes, bits: int) -> tuple[Track, bytes]:
    """The track with our name of its codec, and its configuration as `payload_for` takes it. Raises Foreign."""
    codec = _OWN.get(codec_id, "")
    if not codec:
        if codec_id.startswith("A_AAC/"):
            codec, private = "aac", private or _old_aac(codec_id, track)
        elif codec_id == "A_MS/ACM" and len(private) >= 2:
            codec = _WAVE.get(int.from_bytes(private[:2], "little"), "")
            private = b""
        else:
            codec = _PCM.get((codec_id, bits), "")
            private = b""
    if not codec:
        raise Foreign(f"Matroska: {codec_id or 'an unknown codec'} in track {track.id}")
    if codec == "flac":
        at = 8 if private.startswith(b"fLaC") else 0
        flac.parse_streaminfo(private[at:])
    elif codec == "opus" and private.startswith(opus.MAGIC):
        opus.parse_head(private)
    elif codec == "vorbis" and not private:
        raise ParseError(f"Matroska: track {track.id} lacks its Vorbis headers (CodecPrivate)")
    elif codec == "aac" and private:
        aac.parse_asc(private)
    return track.with_(codec=codec), private


def _old_aac(codec_id: str, track: Track) -> bytes:
    """AudioSpecificConfig of the old names, such as A_AAC/MPEG4/LC/SBR, that had none."""
    parts = codec_id.split("/")
    kind = _AAC_TYPES.get(parts[2]) if len(parts) > 2 else None
    if kind is None or not track.sample_rate or not track.channels:
        return b""
    if "SBR" in parts:
        # SamplingFrequency is that of the core, half of what comes out.
        return aac.build_asc(aac.SBR, track.sample_rate * 2, track.channels)
    return aac.build_asc(kind, track.sample_rate, track.channels)
