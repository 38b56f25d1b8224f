"""The movie box: which tracks there are, their clocks, edit lists, sample tables. ISO/IEC 14496-12 8.2 to 8.8."""

import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, NamedTuple

from evotools.containers.base import Foreign
from evotools.containers.mp4.boxes import Box, child, children, printable, version_flags
from evotools.containers.mp4.entries import EntryInfo, parse_sample_entry
from evotools.containers.mp4.samples import SampleTable, View
from evotools.errors import MediaError, ParseError
from evotools.log import get_logger

log = get_logger("mp4")

MAX_MOOV: Final = 128 << 20
"""Bytes of a movie box. A day of 60 pictures a second with sound takes some 100 MB."""
MAX_TRACKS: Final = 256
"""Tracks of one movie; films with many languages have some fifty."""
MAX_ENTRIES: Final = 64
"""Sample entries of one track; files cut together from parts have a handful."""
MAX_EDITS: Final = 1 << 16
"""Entries of an edit list that are looked at."""
MAX_TIME: Final = 1 << 62
"""Ticks. Times are 64 bits wide; nothing real comes near."""

CODECS: Final = frozenset(
    ("h264", "h265", "av1", "vp9", "vp8", "aac", "mp3", "mp2", "opus", "ac3", "eac3", "flac", "pcma", "pcmu")
)
"""What the readers here turn into canonical payloads; libav reads the rest."""

_MAC_LANGUAGES: Final = (
    "eng", "fra", "deu", "ita", "nld", "swe", "spa", "dan", "por", "nor", "heb", "jpn", "ara", "fin", "ell", "isl",
    "mlt", "tur", "hrv", "zho", "urd", "hin", "tha", "kor",
)  # fmt: skip
"""QuickTime file format, language code values."""


class Defaults(NamedTuple):
    """What a fragment takes where it says nothing (trex, 8.8.3)."""

    entry: int = 1
    duration: int = 0
    size: int = 0
    flags: int = 0


@dataclass(slots=True)
class TrackInfo:
    """One video or audio track of a movie."""

    id: int
    handler: bytes
    timescale: int
    entries: tuple[EntryInfo, ...]
    table: SampleTable
    shift: int = 0
    """Ticks from presentation time to media time: what the edit list takes away, less what it puts in front."""
    begin: int = 0
    """Media time at which the edit begins."""
    stop: int | None = None
    """Media time at which the edit ends; None: with the media."""
    defaults: Defaults | None = None
    """None when the track has no fragments."""
    duration_s: float = 0.0
    senc: View | None = None
    """Sample encryption information of the samples in the table (23001-7 7.2)."""


@dataclass(slots=True)
class Movie:
    """What a movie box tells."""

    timescale: int
    tracks: tuple[TrackInfo, ...]
    fragmented: bool
    """Movie fragments may follow (mvex is there)."""
    duration_s: float | None
    foreign: str = ""
    """Why only libav can read this; empty when we can."""
    exotic: str = ""
    """Why libav reads this better; empty when it does not."""

    def check(self, *, encrypted: bool) -> None:
        """Raises Foreign, and MediaError for encrypted tracks unless they are wanted as they are."""
        if not encrypted:
            for track in self.tracks:
                for entry in track.entries:
                    if entry.encrypted:
                        scheme = entry.protection.scheme.decode("latin-1") if entry.protection else "an unknown scheme"
                        raise MediaError(
                            f"MP4: track {track.id} is encrypted ({scheme})", hint="decrypt it first; a key is needed"
                        )
        if self.foreign:
            raise Foreign(f"MP4: {self.foreign}")


def parse_moov(body: View) -> Movie:
    """The movie in the body of a moov box. The tables keep referring to `body`. Raises ParseError."""
    data = memoryview(body)
    found: dict[bytes, Box] = {}
    traks: list[Box] = []
    for box in children(data):
        if box.kind == b"trak":
            traks.append(box)
        else:
            found.setdefault(box.kind, box)
    if b"cmov" in found:
        # QuickTime file format: compressed movie resources.
        return Movie(1, (), False, None, foreign="the header is compressed")
    if len(traks) > MAX_TRACKS:
        raise ParseError(f"MP4: {len(traks)} tracks, more than {MAX_TRACKS}")
    if b"mvhd" not in found:
        raise ParseError("MP4: the movie has no header (mvhd)")
    timescale, duration = _times(data, found[b"mvhd"])
    movie = Movie(max(timescale, 1), (), b"mvex" in found, None)
    defaults: dict[int, Defaults] = {}
    if b"mvex" in found:
        defaults, total = _parse_mvex(data, found[b"mvex"])
        duration = total or duration
    parts = [{box.kind: box for box in reversed(list(children(data, trak.start, trak.end)))} for trak in traks]
    chapters = {number for part in parts if b"tref" in part for number in _chapters(data, part[b"tref"])}
    tracks = [_parse_trak(data, part, movie, defaults, chapters) for part in parts]
    movie.tracks = tuple(track for track in tracks if track is not None)
    if not movie.tracks:
        raise ParseError("MP4: no video or audio in it")
    if len({track.id for track in movie.tracks}) < len(movie.tracks):
        raise ParseError("MP4: two tracks have the same number")
    longest = max(track.duration_s for track in movie.tracks)
    movie.duration_s = duration / movie.timescale if duration else longest or None
    return movie


def _times(data: View, box: Box) -> tuple[int, int]:
    """(timescale, duration) of mvhd (8.2.2) or mdhd (8.4.2); a duration that is not known is 0."""
    version, _ = version_flags(data, box)
    # Creation and modification time stand in front: 32 bits each, or 64.
    at, width = (box.start + 20, 8) if version == 1 else (box.start + 12, 4)
    if at + 4 + width > box.end:
        raise ParseError(f"MP4: the box '{printable(box.kind)}' is too short")
    duration = int.from_bytes(data[at + 4 : at + 4 + width], "big")
    unknown = duration >= (1 << 8 * width) - 1
    return int.from_bytes(data[at : at + 4], "big"), 0 if unknown else duration


def _parse_mvex(data: View, mvex: Box) -> tuple[dict[int, Defaults], int]:
    """Defaults by track and the duration with all fragments (mehd), 0 when it is not told."""
    defaults: dict[int, Defaults] = {}
    total = 0
    for box in children(data, mvex.start, mvex.end):
        if box.kind == b"trex":
            if box.end - box.start < 24:
                raise ParseError("MP4: the box 'trex' is too short")
            values = [int.from_bytes(data[box.start + n : box.start + n + 4], "big") for n in range(4, 24, 4)]
            defaults[values[0]] = Defaults(*values[1:])
        elif box.kind == b"mehd":
            version, _ = version_flags(data, box)
            width = 8 if version == 1 else 4
            total = int.from_bytes(data[box.start + 4 : min(box.start + 4 + width, box.end)], "big")
    return defaults, total if total < MAX_TIME else 0


def _chapters(data: View, tref: Box) -> list[int]:
    """Tracks that hold the chapters of others: texts, and pictures that are no film."""
    chap = child(data, tref, b"chap")
    if chap is None:
        return []
    return [int.from_bytes(data[at : at + 4], "big") for at in range(chap.start, min(chap.end, chap.start + 1024), 4)]


def _parse_trak(
    data: View, parts: dict[bytes, Box], movie: Movie, defaults: dict[int, Defaults], chapters: set[int]
) -> TrackInfo | None:
    """One track; None for what is neither video nor audio."""
    if b"tkhd" not in parts or b"mdia" not in parts:
        raise ParseError("MP4: a track lacks its header (tkhd) or its media (mdia)")
    number = _track_id(data, parts[b"tkhd"])
    media = {box.kind: box for box in reversed(list(children(data, parts[b"mdia"].start, parts[b"mdia"].end)))}
    if b"hdlr" not in media or b"mdhd" not in media:
        raise ParseError(f"MP4: track {number} lacks hdlr or mdhd")
    hdlr = media[b"hdlr"]
    handler = bytes(data[hdlr.start + 8 : hdlr.start + 12])
    if handler not in (b"vide", b"soun") or number in chapters:
        what = "chapters" if number in chapters else f"{printable(handler)} tracks are not carried"
        log.info("MP4: leaves out track %d: %s", number, what)
        return None
    timescale, duration = _times(data, media[b"mdhd"])
    timescale = timescale or movie.timescale
    minf = media.get(b"minf")
    stbl = child(data, minf, b"stbl") if minf is not None else None
    if minf is None or stbl is None:
        raise ParseError(f"MP4: track {number} has no sample table")
    inner = {box.kind: box for box in reversed(list(children(data, stbl.start, stbl.end)))}
    table = SampleTable({kind: data[box.start : box.end] for kind, box in inner.items()})
    if b"stsd" not in inner:
        raise ParseError(f"MP4: track {number} has no sample description")
    entries = _parse_stsd(
        data, inner[b"stsd"], handler, number, timescale, _language(data, media[b"mdhd"]),
        _label(data, hdlr, parts.get(b"udta")),
    )  # fmt: skip
    rotation = _rotation(data, parts[b"tkhd"]) if handler == b"vide" else 0
    if rotation:
        entries = tuple(replace(one, track=one.track.with_(rotation=rotation)) for one in entries)
    track = TrackInfo(number, handler, timescale, entries, table, defaults=defaults.get(number))
    if movie.fragmented and track.defaults is None:
        track.defaults = Defaults()
    senc = inner.get(b"senc")
    track.senc = data[senc.start : senc.end] if senc is not None else None
    for entry in entries:
        if entry.track.codec not in CODECS:
            movie.foreign = movie.foreign or f"{entry.track.codec or 'an unknown codec'} in track {number}"
    if handler == b"soun" and table.count and table.shortest == table.longest == 1:
        # QuickTime file format: a "sample" of uncompressed sound is one value per channel.
        movie.foreign = movie.foreign or f"track {number} has sound without packets"
    if not _self_contained(data, minf):
        movie.foreign = movie.foreign or f"the media of track {number} lies in another file"
    if table.longest > 0x7FFF_FFFF:
        movie.exotic = movie.exotic or f"track {number} has decode times that go back"
    if b"edts" in parts:
        _apply_edits(data, parts[b"edts"], track, movie)
    elapsed = table.total_duration() if table.count else duration
    track.duration_s = elapsed / timescale
    track.entries = tuple(_with_rates(entry, track) for entry in entries)
    return track


def _track_id(data: View, tkhd: Box) -> int:
    version, _ = version_flags(data, tkhd)
    at = tkhd.start + (20 if version == 1 else 12)
    number = int.from_bytes(data[at : at + 4], "big")
    if at + 4 > tkhd.end or not number:
        raise ParseError("MP4: a track has no number")
    return number


def _rotation(data: View, tkhd: Box) -> int:
    """Degrees clockwise of a matrix (8.3.2) that turns by a quarter; 0 for every other one."""
    version, _ = version_flags(data, tkhd)
    at = tkhd.start + (52 if version == 1 else 40)
    if at + 20 > tkhd.end:
        return 0
    a, b, _, c, d = struct.unpack(">5i", data[at : at + 20])
    one = 0x10000
    return {(0, one, -one, 0): 90, (-one, 0, 0, -one): 180, (0, -one, one, 0): 270}.get((a, b, c, d), 0)


def _language(data: View, mdhd: Box) -> str:
    """ISO 639-2 code, empty for undetermined."""
    version, _ = version_flags(data, mdhd)
    at = mdhd.start + (32 if version == 1 else 20)
    if at + 2 > mdhd.end:
        return ""
    code = int.from_bytes(data[at : at + 2], "big")
    if code < 0x400 or code == 0x7FFF:
        return _MAC_LANGUAGES[code] if code < len(_MAC_LANGUAGES) else ""
    # 8.4.2.3: three times five bits, each letter less 0x60.
    text = "".join(chr((code >> bits & 31) + 0x60) for bits in (10, 5, 0))
    return text if text.isalpha() and text != "und" else ""


def _label(data: View, hdlr: Box, udta: Box | None) -> str:
    """The track's name where a person gave it one: in the user data, else the handler's."""
    name = child(data, udta, b"name") if udta is not None else None
    if name is not None:
        return _text(data[name.start : name.end])
    raw = bytes(data[hdlr.start + 24 : hdlr.end])
    if raw and raw[0] == len(raw) - 1:
        # QuickTime: a counted string.
        raw = raw[1:]
    text = _text(raw)
    words = text.lower()
    # What writers put there by themselves: "VideoHandler", "SoundHandle", "GPAC ISO Audio Handler", "Core Media Video".
    return "" if "handle" in words or words.startswith(("core media", "iso media", "mainconcept")) else text


def _text(raw: View) -> str:
    text = bytes(raw[:1024]).split(b"\0", 1)[0].decode("utf-8", "replace").strip()
    return text if text.isprintable() else ""


def _parse_stsd(
    data: View, stsd: Box, handler: bytes, number: int, timescale: int, language: str, label: str
) -> tuple[EntryInfo, ...]:
    version, _ = version_flags(data, stsd)
    entries = [box for box, _ in zip(children(data, stsd.start + 8, stsd.end), range(MAX_ENTRIES + 1), strict=False)]
    if not entries or len(entries) > MAX_ENTRIES:
        raise ParseError(f"MP4: track {number} has {len(entries)} sample entries")
    begin = stsd.start + 8
    found = []
    for entry in entries:
        found.append(
            parse_sample_entry(
                bytes(data[begin : entry.end]), handler=handler, track_id=number, timescale=timescale,
                language=language, label=label, stsd_version=version,
            )
        )  # fmt: skip
        begin = entry.end
    return tuple(found)


def _self_contained(data: View, minf: Box) -> bool:
    """Whether the media lies in this very file (8.7.2: flag 1 of every data entry)."""
    dinf = child(data, minf, b"dinf")
    dref = child(data, dinf, b"dref") if dinf is not None else None
    if dref is None:
        return True
    return all(version_flags(data, box)[1] & 1 for box in children(data, dref.start + 8, dref.end))


def _apply_edits(data: View, edts: Box, track: TrackInfo, movie: Movie) -> None:
    """Take the edit list (8.6.6) for one stretch of the media that may begin late.

    That is what all but editing programs write: silence in front that brings tracks together, then the media from
    where its first picture is shown, or behind what the encoder of sound put in front.
    """
    elst = child(data, edts, b"elst")
    if elst is None:
        return
    version, _ = version_flags(data, elst)
    at, width = elst.start + 8, 20 if version == 1 else 12
    half = (width - 4) // 2
    count = min(int.from_bytes(data[elst.start + 4 : elst.start + 8], "big"), (elst.end - at) // width, MAX_EDITS)
    empty = 0
    taken = False
    for _ in range(count):
        duration = int.from_bytes(data[at : at + half], "big")
        time = int.from_bytes(data[at + half : at + 2 * half], "big", signed=True)
        rate = int.from_bytes(data[at + 2 * half : at + width], "big", signed=True)
        at += width
        if abs(time) >= MAX_TIME or duration >= MAX_TIME:
            raise ParseError(f"MP4: track {track.id} has an edit at an impossible time")
        if time < 0:
            # An empty edit; behind the media it means nothing.
            empty += 0 if taken else duration
        elif taken:
            movie.exotic = movie.exotic or f"track {track.id} is cut together from several stretches"
            log.info("MP4: track %d has more than one edit; the first one counts", track.id)
            break
        else:
            taken = True
            track.begin = time
            # A fragmented file tells the length of what it began with, or 0.
            if duration and not movie.fragmented:
                track.stop = time + -(-duration * track.timescale // movie.timescale)
            if rate != 0x10000:
                movie.exotic = movie.exotic or f"track {track.id} has an edit of another speed"
                log.info("MP4: track %d has an edit of another speed; it plays at its own", track.id)
    track.shift = track.begin - empty * track.timescale // movie.timescale


def _with_rates(entry: EntryInfo, track: TrackInfo) -> EntryInfo:
    """The entry with the frame rate and the bit rate that the tables give where the codec tells none."""
    table, described = track.table, entry.track
    ticks = table.total_duration() if table.count else 0
    if described.fps is None and track.handler == b"vide":
        delta = table.shortest if table.count else (track.defaults or Defaults()).duration
        fps = None
        if delta and (not table.count or table.shortest == table.longest):
            fps = Fraction(track.timescale, delta)
        elif ticks and table.longest - table.shortest <= 1:
            fps = _nominal(Fraction(table.count * track.timescale, ticks))
        if fps is not None and fps <= 1000:
            described = described.with_(fps=fps)
    if not described.bitrate_bps and ticks and len(track.entries) == 1:
        described = described.with_(bitrate_bps=table.total_size() * 8 * track.timescale // ticks)
    return entry if described is entry.track else replace(entry, track=described)


def _nominal(rate: Fraction) -> Fraction | None:
    """The usual frame rate that a clock of coarse ticks approximates."""
    for one in (Fraction(round(rate)), Fraction(round(rate * 1001 / 1000) * 1000, 1001)):
        if one and abs(rate / one - 1) < Fraction(1, 2000):
            return one
    return None
