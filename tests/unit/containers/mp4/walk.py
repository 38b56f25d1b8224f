"""A small reader of MP4 that shares nothing with ours: boxes by hand, samples with their times and bytes."""

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

CONTAINERS = frozenset(
    (
        b"moov",
        b"trak",
        b"mdia",
        b"minf",
        b"stbl",
        b"edts",
        b"mvex",
        b"moof",
        b"traf",
        b"dinf",
        b"udta",
        b"sinf",
        b"schi",
    )
)


class Node(NamedTuple):
    kind: str
    at: int
    """Of the header."""
    body: bytes
    inner: tuple["Node", ...]

    def find(self, *path: str) -> "Node":
        found = self.all(*path)
        assert len(found) == 1, f"{path}: {len(found)} of them"
        return found[0]

    def all(self, *path: str) -> list["Node"]:
        nodes = [self]
        for kind in path:
            nodes = [inner for node in nodes for inner in node.inner if inner.kind == kind]
        return nodes


def parse(data: bytes, start: int = 0, end: int | None = None) -> tuple[Node, ...]:
    nodes, end = [], len(data) if end is None else end
    while start < end:
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        assert size >= head and start + size <= end, (kind, size, end - start)
        inner = parse(data, start + head, start + size) if kind in CONTAINERS else ()
        nodes.append(Node(kind.decode(), start, data[start + head : start + size], inner))
        start += size
    return tuple(nodes)


def tree(data: bytes) -> Node:
    return Node("", 0, data, parse(data))


@dataclass
class Sample:
    dts: int
    """As the tables say."""
    pts: int
    """As shown: composition time under the edit list."""
    duration: int
    key: bool
    payload: bytes
    entry: int
    """Number of the sample entry."""


@dataclass
class TrackOf:
    number: int
    handler: str
    timescale: int
    duration: int
    language: str
    entries: list[bytes]
    edits: list[tuple[int, int]]
    """(duration in movie ticks, media time)."""
    enabled: bool
    movie_timescale: int
    samples: list[Sample] = field(default_factory=list)

    @property
    def shift(self) -> int:
        """What the edit list adds to composition times, in track ticks."""
        shift = 0
        for length, media_time in self.edits:
            if media_time < 0:
                shift += round(length * self.timescale / self.movie_timescale)
            else:
                return shift - media_time
        return shift


def _u32s(body: bytes, at: int, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f">{count}I", body, at)


def _track(trak: Node, movie_timescale: int) -> TrackOf:
    tkhd, mdhd = trak.find("tkhd").body, trak.find("mdia", "mdhd").body
    if mdhd[0]:
        timescale, duration, language = struct.unpack_from(">IQH", mdhd, 20)
    else:
        timescale, duration, language = struct.unpack_from(">IIH", mdhd, 12)
    stsd = trak.find("mdia", "minf", "stbl", "stsd").body
    entries, at = [], 8
    for _ in range(_u32s(stsd, 4, 1)[0]):
        size = _u32s(stsd, at, 1)[0]
        entries.append(stsd[at : at + size])
        at += size
    assert at == len(stsd)
    edits = []
    for elst in trak.all("edts", "elst"):
        layout = ">QqI" if elst.body[0] else ">IiI"
        for index in range(_u32s(elst.body, 4, 1)[0]):
            length, media_time, rate = struct.unpack_from(layout, elst.body, 8 + index * struct.calcsize(layout))
            assert rate == 0x10000
            edits.append((length, media_time))
    return TrackOf(
        _u32s(tkhd, 20 if tkhd[0] else 12, 1)[0], trak.find("mdia", "hdlr").body[8:12].decode(), timescale, duration,
        "".join(chr((language >> shift & 31) + 0x60) for shift in (10, 5, 0)), entries, edits, bool(tkhd[3] & 1),
        movie_timescale,
    )  # fmt: skip


def movie(moov: Node) -> dict[int, TrackOf]:
    """The tracks of a movie box by number, without samples."""
    mvhd = moov.find("mvhd").body
    scale = _u32s(mvhd, 20 if mvhd[0] else 12, 1)[0]
    tracks = [_track(trak, scale) for trak in moov.all("trak")]
    return {track.number: track for track in tracks}


def plain(data: bytes) -> dict[int, TrackOf]:
    """Tracks and samples of an ordinary file."""
    root = tree(data)
    moov = root.find("moov")
    tracks = movie(moov)
    for trak, track in zip(moov.all("trak"), tracks.values(), strict=True):
        _take_tables(data, trak.find("mdia", "minf", "stbl"), track)
    return tracks


def _take_tables(data: bytes, stbl: Node, track: TrackOf) -> None:
    def table(kind: str, width: int) -> list[tuple[int, ...]]:
        found = stbl.all(kind)
        if not found:
            return []
        body = found[0].body
        count = _u32s(body, 4, 1)[0]
        assert len(body) == 8 + 4 * width * count
        return [_u32s(body, 8 + 4 * width * i, width) for i in range(count)]

    durations = [value for count, value in table("stts", 2) for _ in range(count)]
    offsets = [value for count, value in table("ctts", 2) for _ in range(count)] or [0] * len(durations)
    keys = {number for (number,) in table("stss", 1)}
    stsz = stbl.find("stsz").body
    same, count = _u32s(stsz, 4, 2)
    sizes = [same] * count if same else list(_u32s(stsz, 12, count))
    assert len(sizes) == len(durations) == len(offsets) == count
    wide = stbl.all("co64")
    if wide:
        chunks = list(struct.unpack_from(f">{_u32s(wide[0].body, 4, 1)[0]}Q", wide[0].body, 8))
    else:
        chunks = [at for (at,) in table("stco", 1)]
    rows = [*table("stsc", 3), (len(chunks) + 1, 0, 0)]
    index, dts = 0, 0
    for (first, per_chunk, entry), (following, _, _) in zip(rows, rows[1:], strict=False):
        for chunk in range(first - 1, following - 1):
            at = chunks[chunk]
            for _ in range(per_chunk):
                track.samples.append(
                    Sample(dts, dts + offsets[index] + track.shift, durations[index],
                           not stbl.all("stss") or index + 1 in keys, data[at : at + sizes[index]], entry)
                )  # fmt: skip
                at += sizes[index]
                dts += durations[index]
                index += 1
    assert index == count and dts == track.duration


def fragments(data: bytes, tracks: dict[int, TrackOf] | None = None) -> dict[int, TrackOf]:
    """Tracks and samples of a fragmented file; each movie header replaces the tracks of its numbers."""
    found: dict[int, TrackOf] = dict(tracks or {})
    for node in tree(data).inner:
        if node.kind == "moov":
            for number, track in movie(node).items():
                if number in found:
                    track.samples = found[number].samples
                found[number] = track
        elif node.kind == "moof":
            for traf in node.all("traf"):
                _take_run(data, node, traf, found)
    return found


def _take_run(data: bytes, moof: Node, traf: Node, tracks: dict[int, TrackOf]) -> None:
    tfhd = traf.find("tfhd").body
    flags = int.from_bytes(tfhd[1:4], "big")
    assert flags & 0x20000 and not flags & 0x1, "default-base-is-moof"
    track = tracks[_u32s(tfhd, 4, 1)[0]]
    at = 8
    given = {}
    for bit in (0x2, 0x8, 0x10, 0x20):
        if flags & bit:
            given[bit] = _u32s(tfhd, at, 1)[0]
            at += 4
    assert at == len(tfhd)
    tfdt = traf.find("tfdt").body
    dts = int.from_bytes(tfdt[4:], "big")
    trun = traf.find("trun").body
    flags, count = int.from_bytes(trun[1:4], "big"), _u32s(trun, 4, 1)[0]
    place = moof.at + struct.unpack_from(">i", trun, 8)[0]
    at, first_flags = 12, None
    if flags & 0x4:
        first_flags = _u32s(trun, at, 1)[0]
        at += 4
    for index in range(count):
        values = {0x100: given.get(0x8), 0x200: given.get(0x10), 0x400: given.get(0x20), 0x800: 0}
        if first_flags is not None and not index:
            values[0x400] = first_flags
        for bit in values:
            if flags & bit:
                values[bit] = struct.unpack_from(">i" if bit == 0x800 and trun[0] else ">I", trun, at)[0]
                at += 4
        duration, size, sample_flags, offset = values.values()
        assert duration is not None and size is not None and sample_flags is not None and offset is not None
        track.samples.append(
            Sample(dts, dts + offset + track.shift, duration, not sample_flags & 0x10000,
                   data[place : place + size], given.get(0x2, 1))
        )  # fmt: skip
        place += size
        dts += duration
    assert at == len(trun)
