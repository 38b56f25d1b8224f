"""File type and movie boxes: init segments, and the movie of a whole file around given sample tables.

ISO/IEC 14496-12 4.3, 8.2–8.8; brands of ISO/IEC 23000-19 (CMAF).
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from evotools.containers.mp4.boxes import box, full_box
from evotools.containers.mp4.entries import display_size, sample_entry
from evotools.containers.mp4.protection import Protection
from evotools.containers.mp4.timing import written_timescale
from evotools.errors import MediaError
from evotools.media.track import Kind, Track

Brands = Literal["file", "m4a", "cmaf"]
"""What a file says it is: any MP4, one with sound only as music players expect it, a CMAF track."""

MIN_MOVIE_TIMESCALE: Final = 1000
ENABLED, IN_MOVIE = 1, 2
"""Track header flags (8.3.2)."""

_MATRIX: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
"""Identity (8.2.2.3)."""
_HANDLERS: Final = {Kind.VIDEO: b"vide", Kind.AUDIO: b"soun"}
_NAMES: Final = {Kind.VIDEO: "VideoHandler", Kind.AUDIO: "SoundHandler"}
_EMPTY_TABLES: Final = (
    full_box(b"stts", 0, 0, bytes(4)) + full_box(b"stsc", 0, 0, bytes(4)) + full_box(b"stsz", 0, 0, bytes(8))
    + full_box(b"stco", 0, 0, bytes(4))
)  # fmt: skip
"""Of a track whose samples are all in fragments."""


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit list: `offset` of nothing, then the media from `media_time` on (8.6.6). All in ticks as written."""

    media_time: int = 0
    offset: int = 0
    duration: int = 0
    """Of the media part; 0 in fragmented files, where it reaches to the end."""

    def __bool__(self) -> bool:
        return bool(self.media_time or self.offset)


class TrackBox(NamedTuple):
    """What a trak box is made of."""

    track: Track
    number: int
    timescale: int
    entries: Sequence[bytes]
    """Sample entries."""
    tables: Sequence[bytes] = (_EMPTY_TABLES,)
    """stts and all that follows it in stbl. Those of a long recording are tens of megabytes: they are copied once, at
    the end."""
    duration: int = 0
    """Of the media, in ticks as written; 0 in fragmented files."""
    edit: Edit = Edit()


def file_type(tracks: Sequence[Track], brands: Brands, *, fragmented: bool = True, edited: bool = False) -> bytes:
    """The ftyp box (4.3); `edited`: there are edit lists."""
    codecs = {track.codec for track in tracks}
    # AV1-ISOBMFF 2.1: files with AV1 should say so.
    extra = b"av01" if "av1" in codecs else b""
    if brands == "cmaf":
        # ISO/IEC 23000-19 7.2: cmfc; cmf2 adds signed composition offsets instead of edit lists, and no reliance on
        # the defaults in trex.
        return box(b"ftyp", b"iso6", bytes(4), b"iso6cmfcdash" if edited else b"iso6cmfccmf2dash", extra)
    if brands == "m4a":
        # The name that QuickTime and its kin look for.
        return box(b"ftyp", b"M4A ", bytes(4), b"M4A isomiso2iso6mp42")
    if fragmented:
        return box(b"ftyp", b"iso6", bytes(4), b"isomiso2iso6mp41", extra)
    extra += b"avc1" if "h264" in codecs else b""
    return box(b"ftyp", b"isom", bytes(4), b"isomiso2iso6mp41", extra)


def init_segment(
    tracks: Sequence[Track],
    *,
    timescales: Mapping[int, int] | None = None,
    numbers: Mapping[int, int] | None = None,
    edits: Mapping[int, Edit] | None = None,
    brands: Brands = "file",
    protections: Mapping[int, Protection] | None = None,
    pssh: Sequence[bytes] = (),
) -> bytes:
    """ftyp and moov of a fragmented file or an init segment.

    The mappings go by `Track.id`: `timescales` (default: `written_timescale`), `numbers` (track_ID, default: 1 for the
    first), `edits`, `protections`. `pssh` are whole boxes. Raises MediaError when a track cannot be carried, ParseError
    when its configuration is broken.
    """
    if not tracks:
        raise MediaError("MP4: no tracks to write")
    given, ids, edit, protected = timescales or {}, numbers or {}, edits or {}, protections or {}
    boxes = [
        TrackBox(
            track,
            ids.get(track.id, index),
            given.get(track.id) or written_timescale(track),
            [sample_entry(track, protection=protected.get(track.id))],
            edit=edit.get(track.id, Edit()),
        )
        for index, track in enumerate(tracks, 1)
    ]
    return file_type(tracks, brands, edited=any(edit.values())) + movie(boxes, fragmented=True, extra=b"".join(pssh))


def movie(boxes: Sequence[TrackBox], *, fragmented: bool, extra: bytes = b"") -> bytes:
    """The moov box; `extra` are boxes at its end (pssh). Raises MediaError."""
    # Fine enough that offsets and durations, which edit lists count in it, come back to the tick.
    scale = max(MIN_MOVIE_TIMESCALE, *(one.timescale for one in boxes))
    durations = [_presented(one, scale) for one in boxes]
    total = max(durations)
    number = max(one.number for one in boxes) + 1
    # 8.2.2: no creation times, rate 1, volume 1.
    head = (
        _times(total, scale) + struct.pack(">IH10x", 0x10000, 0x100) + _MATRIX + bytes(24) + number.to_bytes(4, "big")
    )
    seen: set[Kind] = set()
    traks: list[bytes] = []
    for one, duration in zip(boxes, durations, strict=True):
        kind = one.track.kind
        # Players mix all enabled audio tracks: only the first of each kind is.
        traks += _trak(one, scale, duration, enabled=kind not in seen)
        seen.add(kind)
    extends = b""
    if fragmented:
        # 8.8.3: every fragment says what its samples are; these defaults are never used.
        extends = box(
            b"mvex",
            *(full_box(b"trex", 0, 0, struct.pack(">5I", one.number, 1, 0, 0, 0)) for one in boxes),
        )
    return b"".join(_nest(b"moov", [full_box(b"mvhd", _version(total), 0, head), *traks, extends, extra]))


def _nest(kind: bytes, parts: list[bytes]) -> list[bytes]:
    """A box around parts that are not copied."""
    size = 8 + sum(map(len, parts))
    if size > 0xFFFF_FFFF:
        raise MediaError("a movie header of more than 4 GiB does not fit in MP4")
    return [size.to_bytes(4, "big"), kind, *parts]


def _version(*values: int) -> int:
    """Version 1 of a box has 64-bit times (8.2.2, 8.3.2, 8.4.2, 8.6.6)."""
    return 1 if any(value > 0xFFFF_FFFF for value in values) else 0


def _times(duration: int, timescale: int) -> bytes:
    """Creation and modification time (unknown), timescale and duration of mvhd and mdhd."""
    if _version(duration):
        return struct.pack(">QQIQ", 0, 0, timescale, duration)
    return struct.pack(">IIII", 0, 0, timescale, duration)


def _in_movie(ticks: int, timescale: int, scale: int) -> int:
    """Rounded up: an edit that ends early costs the last frame."""
    return -(-ticks * scale // timescale)


def _presented(one: TrackBox, scale: int) -> int:
    """How long a track is shown, in movie ticks."""
    edit = one.edit
    if edit:
        return round(edit.offset * scale / one.timescale) + _in_movie(edit.duration, one.timescale, scale)
    return _in_movie(one.duration, one.timescale, scale)


def _trak(one: TrackBox, scale: int, duration: int, *, enabled: bool) -> list[bytes]:
    track, kind = one.track, one.track.kind
    if kind not in _HANDLERS:
        raise MediaError(f"MP4 cannot carry {track.describe()}")
    audio = kind is Kind.AUDIO
    width, height = (0, 0) if audio else display_size(track)
    group = int(audio)
    body = struct.pack(">8xHHH2x", 0, group, 0x100 if audio else 0) + _matrix(track.rotation, width, height)
    body += struct.pack(">II", width, height)
    if _version(duration):
        head = struct.pack(">QQI4xQ", 0, 0, one.number, duration)
    else:
        head = struct.pack(">III4xI", 0, 0, one.number, duration)
    flags = IN_MOVIE | (ENABLED if enabled else 0)
    # QuickTime file format, user data: the track's name as plain text.
    name = box(b"udta", box(b"name", track.label.encode())) if track.label else b""
    header = full_box(b"tkhd", _version(duration), flags, head, body)
    return _nest(b"trak", [header, _edts(one, scale), *_mdia(one), name])


def _matrix(rotation: int, width: int, height: int) -> bytes:
    """Turned clockwise about the origin, then moved back to where all of the picture is right of it and below (8.3.2);
    sizes in 16.16."""
    one = 0x10000
    a, b, c, d, x, y = {
        90: (0, one, -one, 0, height, 0),
        180: (-one, 0, 0, -one, width, height),
        270: (0, -one, one, 0, 0, width),
    }.get(rotation, (one, 0, 0, one, 0, 0))
    return struct.pack(">6i2Ii", a, b, 0, c, d, 0, x, y, 0x40000000)


def _edts(one: TrackBox, scale: int) -> bytes:
    edit = one.edit
    if not edit:
        return b""
    rows = []
    if edit.offset:
        rows.append((round(edit.offset * scale / one.timescale), -1))
    rows.append((_in_movie(edit.duration, one.timescale, scale), edit.media_time))
    version = _version(*(value for row in rows for value in row))
    if edit.media_time > 0x7FFF_FFFF:
        version = 1
    layout = ">QqI" if version else ">IiI"
    table = b"".join(struct.pack(layout, length, media_time, 0x10000) for length, media_time in rows)
    return box(b"edts", full_box(b"elst", version, 0, len(rows).to_bytes(4, "big"), table))


def language_code(language: str) -> int:
    """A packed ISO 639-2 code (8.4.2.3); `und` for what is none."""
    code = language if len(language) == 3 and language.isascii() and language.isalpha() else "und"
    code = code.lower()
    return (ord(code[0]) - 0x60) << 10 | (ord(code[1]) - 0x60) << 5 | ord(code[2]) - 0x60


def _mdia(one: TrackBox) -> list[bytes]:
    track = one.track
    handler = full_box(
        b"hdlr", 0, 0, struct.pack(">4x4s12x", _HANDLERS[track.kind]),
        (track.label or _NAMES[track.kind]).encode() + b"\0",
    )  # fmt: skip
    media_head = full_box(b"smhd", 0, 0, bytes(4)) if track.kind is Kind.AUDIO else full_box(b"vmhd", 0, 1, bytes(8))
    # 8.7.2: flag 1, the media is in this file.
    data = box(b"dinf", full_box(b"dref", 0, 0, (1).to_bytes(4, "big"), full_box(b"url ", 0, 1)))
    descriptions = full_box(b"stsd", 0, 0, len(one.entries).to_bytes(4, "big"), *one.entries)
    times = _times(one.duration, one.timescale) + struct.pack(">H2x", language_code(track.language))
    tables = _nest(b"stbl", [descriptions, *one.tables])
    media = full_box(b"mdhd", _version(one.duration), 0, times)
    return _nest(b"mdia", [media, handler, *_nest(b"minf", [media_head, data, *tables])])
