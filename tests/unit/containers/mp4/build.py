"""MP4 files of any layout, box by box, for readers to be tried on.

Shares nothing with the project's own writer but `box` and the sample entries.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from evotools.containers.mp4.boxes import box, full_box
from evotools.containers.mp4.entries import sample_entry
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind, Track
from tests.unit.containers.mp4.streams import AAC, H264, picture

FTYP = box(b"ftyp", b"isom" + bytes(4) + b"isommp41")


class Sample(NamedTuple):
    """One sample as the tables tell it; times in ticks of the media."""

    data: bytes
    duration: int
    offset: int = 0
    """Composition offset."""
    key: bool = True
    entry: int = 1


@dataclass
class Media:
    """One track."""

    track: Track
    samples: list[Sample]
    edits: Sequence[tuple[int, int]] = ()
    """(duration in ticks of the movie, media time)."""
    entries: Sequence[bytes] = ()
    """Whole sample entries; empty: that of `track`."""
    handler: bytes = b""
    name: bytes = b"VideoHandler\0"
    language: int = 0x55C4
    more: bytes = b""
    """Boxes behind mdia."""
    tables: bytes = b""
    """Boxes in stbl besides the usual ones."""
    places: list[int] = field(default_factory=list)
    """Where each chunk lies; filled in by `layout`."""


def u32(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *(value & 0xFFFF_FFFF for value in values))


def runs(values: Iterable[int]) -> list[tuple[int, int]]:
    """(count, value) of equal neighbours."""
    found: list[list[int]] = []
    for value in values:
        if found and found[-1][1] == value:
            found[-1][0] += 1
        else:
            found.append([1, value])
    return [(count, value) for count, value in found]


def run_table(kind: bytes, values: Iterable[int], version: int = 0) -> bytes:
    pairs = runs(values)
    return full_box(kind, version, 0, u32(len(pairs)), *(u32(*pair) for pair in pairs))


def mvhd(timescale: int = 1000, duration: int = 0) -> bytes:
    return full_box(b"mvhd", 0, 0, u32(0, 0, timescale, duration), bytes(80))


def tkhd(number: int) -> bytes:
    return full_box(b"tkhd", 0, 3, u32(0, 0, number, 0, 0), bytes(60))


def elst(edits: Sequence[tuple[int, int]], *, rate: int = 0x10000) -> bytes:
    entries = b"".join(struct.pack(">QqI", duration, time, rate) for duration, time in edits)
    return box(b"edts", full_box(b"elst", 1, 0, u32(len(edits)), entries))


def stsd(media: Media) -> bytes:
    entries = list(media.entries) or [sample_entry(media.track)]
    return full_box(b"stsd", 0, 0, u32(len(entries)), *entries)


def chunks(media: Media, per_chunk: int) -> list[list[Sample]]:
    """The samples in chunks of at most so many, of one sample entry each."""
    found: list[list[Sample]] = []
    for sample in media.samples:
        if not found or len(found[-1]) >= per_chunk or found[-1][0].entry != sample.entry:
            found.append([])
        found[-1].append(sample)
    return found


def stbl(media: Media, per_chunk: int, *, co64: bool = False, stz2: int = 0) -> bytes:
    """The sample tables."""
    samples, parts = media.samples, chunks(media, per_chunk)
    sizes = [len(sample.data) for sample in samples]
    if stz2:
        number = int("".join(f"{size:0{stz2 // 4}x}" for size in sizes) + "0" * (len(sizes) * stz2 // 4 % 2) or "0", 16)
        packed = number.to_bytes((len(sizes) * stz2 + 7) // 8, "big")
        size_box = full_box(b"stz2", 0, 0, u32(stz2, len(sizes)), packed)
    else:
        size_box = full_box(b"stsz", 0, 0, u32(0, len(sizes), *sizes))
    entries: list[tuple[int, int, int]] = []
    for number, part in enumerate(parts, 1):
        if not entries or entries[-1][1:] != (len(part), part[0].entry):
            entries.append((number, len(part), part[0].entry))
    places = struct.pack(f">{len(media.places)}{'Q' if co64 else 'I'}", *media.places)
    boxes = [
        stsd(media),
        run_table(b"stts", [sample.duration for sample in samples]),
        full_box(b"stsc", 0, 0, u32(len(entries)), *(u32(*entry) for entry in entries)),
        size_box,
        full_box(b"co64" if co64 else b"stco", 0, 0, u32(len(media.places)), places),
    ]
    if any(sample.offset for sample in samples):
        boxes.append(run_table(b"ctts", [sample.offset for sample in samples], 1))
    if not all(sample.key for sample in samples):
        keys = [number for number, sample in enumerate(samples, 1) if sample.key]
        boxes.append(full_box(b"stss", 0, 0, u32(len(keys), *keys)))
    return box(b"stbl", *boxes, media.tables)


def trak(media: Media, tables: bytes) -> bytes:
    """A track around its sample tables."""
    track = media.track
    duration = sum(sample.duration for sample in media.samples)
    handler = media.handler or (b"vide" if track.kind is Kind.VIDEO else b"soun")
    url = full_box(b"url ", 0, 1)
    return box(
        b"trak",
        tkhd(track.id),
        elst(media.edits) if media.edits else b"",
        box(
            b"mdia",
            full_box(b"mdhd", 0, 0, u32(0, 0, track.timescale, duration), struct.pack(">HH", media.language, 0)),
            full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(12), media.name),
            box(b"minf", box(b"dinf", full_box(b"dref", 0, 0, u32(1), url)), tables),
        ),
        media.more,
    )


def movie(
    medias: Sequence[Media], *, per_chunk: int = 4, order: str = "mixed", last: bool = False, co64: bool = False,
    stz2: int = 0, timescale: int = 1000, more: bytes = b"", shift: int = 0,
) -> bytes:  # fmt: skip
    """An ordinary file. `order`: `mixed` by the times of chunks, `apart` track by track, `back` all chunks in reverse.

    `last`: the movie box stands at the end. `more`: boxes behind the tracks. `shift` is added to every place.
    """
    parts = [(number, part) for number, media in enumerate(medias) for part in chunks(media, per_chunk)]
    if order == "mixed":
        clocks = [0.0] * len(medias)
        ranks = []
        for number, part in parts:
            ranks.append((clocks[number], number))
            clocks[number] += sum(sample.duration for sample in part) / medias[number].track.timescale
        parts = [part for _, part in sorted(zip(ranks, parts, strict=True), key=lambda pair: pair[0])]
    body = [b"".join(sample.data for sample in part) for _, part in parts]
    sequence = list(range(len(parts)))
    if order == "back":
        sequence.reverse()

    def moov(start: int) -> bytes:
        places = [0] * len(parts)
        for index in sequence:
            places[index] = start + shift
            start += len(body[index])
        for number, media in enumerate(medias):
            media.places = [place for place, (owner, _) in zip(places, parts, strict=True) if owner == number]
        traks = [trak(media, stbl(media, per_chunk, co64=co64, stz2=stz2)) for media in medias]
        return box(b"moov", mvhd(timescale), *traks, more)

    mdat = box(b"mdat", *(body[index] for index in sequence))
    if last:
        return FTYP + mdat + moov(len(FTYP) + 8)
    size = len(moov(0))
    return FTYP + moov(len(FTYP) + size + 8) + mdat


def trex(number: int, *, entry: int = 1, duration: int = 0, size: int = 0, flags: int = 0) -> bytes:
    return full_box(b"trex", 0, 0, u32(number, entry, duration, size, flags))


def init(medias: Sequence[Media], *, defaults: dict[int, bytes] | None = None, mehd: bytes = b"") -> bytes:
    """ftyp and moov of a fragmented file; the samples of `medias` are not looked at."""
    traks = []
    for media in medias:
        empty = Media(media.track, [], media.edits, media.entries, media.handler, media.name, media.language)
        traks.append(trak(empty, stbl(empty, 1)))
    boxes = [(defaults or {}).get(media.track.id) or trex(media.track.id) for media in medias]
    return FTYP + box(b"moov", mvhd(), *traks, box(b"mvex", mehd, *boxes))


def trun(samples: Sequence[Sample], offset: int | None, *, version: int = 1) -> bytes:
    """A run with a column for everything."""
    rows = [
        u32(sample.duration, len(sample.data), 0x0200_0000 if sample.key else 0x0101_0000, sample.offset)
        for sample in samples
    ]
    flags = 0xF00 | (1 if offset is not None else 0)
    place = u32(offset) if offset is not None else b""
    return full_box(b"trun", version, flags, u32(len(samples)), place, *rows)


def tfdt(time: int) -> bytes:
    return full_box(b"tfdt", 1, 0, struct.pack(">Q", time))


def moof(trafs: Sequence[tuple[bytes, ...]], number: int = 1) -> bytes:
    return box(b"moof", full_box(b"mfhd", 0, 0, u32(number)), *(box(b"traf", *parts) for parts in trafs))


def fragment(stretches: Sequence[tuple[int, int, Sequence[Sample]]], number: int = 1) -> bytes:
    """moof and mdat with (track, decode time, samples), one run each, in this order."""

    def header(start: int) -> bytes:
        trafs = []
        for track, time, samples in stretches:
            trafs.append((full_box(b"tfhd", 0, 0x020000, u32(track)), tfdt(time), trun(samples, start)))
            start += sum(len(sample.data) for sample in samples)
        return moof(trafs, number)

    head = header(len(header(0)) + 8)
    return head + box(b"mdat", *(sample.data for _, _, samples in stretches for sample in samples))


# Media to put in, and what comes out.


def video_samples(count: int, *, gop: int = 12, step: int = 3600, size: int = 0, first: int = 0) -> list[Sample]:
    """Pictures without reordering, each of its own content."""
    found = []
    for index in range(first, first + count):
        data = picture(index)
        if size:
            data = (size - 4).to_bytes(4, "big") + b"\x41" + index.to_bytes(4, "big") + bytes(size - 9)
        found.append(Sample(data, step, 0, index % gop == 0))
    return found


def audio_samples(count: int, *, first: int = 0, step: int = 1024) -> list[Sample]:
    return [Sample(b"\x21" + n.to_bytes(4, "big") + bytes(n % 5), step) for n in range(first, first + count)]


def film(seconds: int = 2, **options: object) -> list[Media]:
    """A picture and a sound track of equal length."""
    return [Media(H264, video_samples(25 * seconds)), Media(AAC, audio_samples(48_000 * seconds // 1024))]


Row = tuple[int, int, int, int, bool, bytes]


def rows(events: Iterable[Event]) -> list[Row]:
    """(track, dts, pts, duration, key, payload) of all frames."""
    return [
        (event.track.id, event.dts, event.pts, event.duration, event.key, event.payload)
        for event in events
        if isinstance(event, Frame)
    ]


def expected(media: Media, *, start: int = 0) -> list[Row]:
    """The rows that a track should give, without edits."""
    found, time = [], start
    early = max(0, -min((sample.offset for sample in media.samples), default=0))
    for sample in media.samples:
        found.append((media.track.id, time - early, time + sample.offset, sample.duration, sample.key, sample.data))
        time += sample.duration
    return found


def of(events: Iterable[Event], number: int) -> list[Row]:
    return [row for row in rows(events) if row[0] == number]


def times(events: Iterable[Event]) -> list[float]:
    """Decode times in seconds, in the order of the events."""
    return [event.dts / event.track.timescale for event in events if isinstance(event, Frame)]


def tracks(events: Iterable[Event]) -> list[tuple[Track, ...]]:
    return [event.tracks for event in events if isinstance(event, Tracks)]
