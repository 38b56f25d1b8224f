"""Lists of recorded files, as bytes and back: m3u8 (RFC 8216, or a plain playlist of files), csv and ffconcat as ffmpeg
writes and reads them.

A list names finished files only, in order, with paths relative to the list.
"""

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote, unquote

from evotools.errors import ParseError

Kind = Literal["m3u8", "csv", "ffconcat"]
KINDS: tuple[Kind, ...] = ("m3u8", "csv", "ffconcat")
SUFFIXES: dict[str, Kind] = {".m3u8": "m3u8", ".m3u": "m3u8", ".csv": "csv", ".ffconcat": "ffconcat",
                             ".ffcat": "ffconcat"}  # fmt: skip
MAX_LIST = 64 * 2**20
"""A longer list is not one: half a million files."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished file."""

    name: str
    """Path relative to the list, with slashes."""
    start_s: float
    """On the clock of the recording, which begins at 0."""
    end_s: float
    start_unix_s: float | None = None
    discontinuity: bool = False
    """Its timestamps or its tracks do not follow from the file before."""
    header_bytes: int = 0
    """Length of what a fragmented MP4 file has before its first fragment."""
    size_bytes: int = 0

    def named(self, name: str) -> "Entry":
        """The same under this name."""
        return replace(self, name=name)

    @property
    def duration_s(self) -> float:
        """Up to the next file."""
        return max(self.end_s - self.start_s, 0.0)


@dataclass(slots=True)
class FileList:
    """The entries of one list and what its form needs beside them."""

    kind: Kind
    hls: bool = True
    """An m3u8 list is a media playlist, of segments of one stream; else it is a playlist of files, as players have had
    them long before."""
    sliding: bool = False
    """Old files go away."""
    target_s: float = 0.0
    """How long files are meant to be."""
    entries: list[Entry] = field(default_factory=list)
    sequence: int = 0
    """Media sequence number of the first entry."""
    discontinuities: int = 0
    """Discontinuities before the first entry."""

    def add(self, entry: Entry) -> None:
        """A file is finished."""
        self.entries.append(entry)

    def drop(self, name: str) -> None:
        """A file is about to be deleted."""
        for at, entry in enumerate(self.entries):
            if entry.name == name:
                del self.entries[at]
                if at == 0:
                    self.sequence += 1
                    self.discontinuities += entry.discontinuity
                return

    @property
    def end_s(self) -> float:
        """Where the last entry ends."""
        return self.entries[-1].end_s if self.entries else 0.0

    def render(self, *, ended: bool) -> bytes:
        """The whole list. `ended`: no further file comes."""
        if self.kind == "csv":
            return _csv(self.entries)
        if self.kind == "ffconcat":
            return _ffconcat(self.entries)
        return self._m3u8(ended) if self.hls else _m3u(self.entries)

    def load(self, data: bytes) -> None:
        """Go on with a list that an earlier run left. Raises ParseError when it is something else."""
        if len(data) > MAX_LIST:
            raise ParseError("the list is too long")
        try:
            text = data.decode("utf-8", "surrogateescape")
            if self.kind == "csv":
                self.entries = _read_csv(text)
            elif self.kind == "ffconcat":
                self.entries = _read_ffconcat(text)
            else:
                self._read_m3u8(text)
        except (ValueError, csv.Error, IndexError, OverflowError, OSError) as error:
            if isinstance(error, ParseError):
                raise
            raise ParseError(f"not a {self.kind} list of recorded files ({error})") from None

    def _m3u8(self, ended: bool) -> bytes:
        entries = self.entries
        longest = max([self.target_s, *(e.duration_s for e in entries)], default=0.0)
        mapped = any(e.header_bytes for e in entries)
        lines = [
            "#EXTM3U",
            # RFC 8216 7: EXT-X-MAP needs 6, decimal durations 3.
            f"#EXT-X-VERSION:{6 if mapped else 3}",
            # 4.3.3.1: durations, rounded, are not above it.
            f"#EXT-X-TARGETDURATION:{max(math.floor(longest + 0.5), 1)}",
            f"#EXT-X-MEDIA-SEQUENCE:{self.sequence}",
        ]
        if self.discontinuities:
            lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{self.discontinuities}")
        if not self.sliding:
            lines.append("#EXT-X-PLAYLIST-TYPE:" + ("VOD" if ended else "EVENT"))
        for entry in entries:
            uri = _uri(entry)
            if entry.discontinuity:
                lines.append("#EXT-X-DISCONTINUITY")
            if entry.start_unix_s is not None:
                lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(entry.start_unix_s)}")
            if entry.header_bytes:
                lines.append(f'#EXT-X-MAP:URI="{uri}",BYTERANGE="{entry.header_bytes}@0"')
            lines.append(f"#EXTINF:{entry.duration_s:.6f},")
            if entry.header_bytes:
                lines.append(f"#EXT-X-BYTERANGE:{entry.size_bytes - entry.header_bytes}@{entry.header_bytes}")
            lines.append(uri)
        if ended:
            lines.append("#EXT-X-ENDLIST")
        return ("\n".join(lines) + "\n").encode("ascii")

    def _read_m3u8(self, text: str) -> None:
        lines = text.split("\n")
        if lines[:1] != ["#EXTM3U"]:
            raise ParseError("not an m3u8 list: #EXTM3U is missing")
        entries: list[Entry] = []
        now_s = 0.0
        told = Entry("", 0.0, 0.0)
        duration_s = 0.0
        for line in lines[1:]:
            tag, _, value = line.partition(":")
            if tag == "#EXT-X-MEDIA-SEQUENCE":
                self.sequence = _count(value)
            elif tag == "#EXT-X-DISCONTINUITY-SEQUENCE":
                self.discontinuities = _count(value)
            elif tag == "#EXT-X-DISCONTINUITY":
                told = replace(told, discontinuity=True)
            elif tag == "#EXT-X-PROGRAM-DATE-TIME":
                told = replace(told, start_unix_s=datetime.fromisoformat(value).timestamp())
            elif tag == "#EXT-X-MAP":
                found = re.search(r'BYTERANGE="(\d{1,18})@0"', value)
                told = replace(told, header_bytes=int(found[1]) if found else 0)
            elif tag == "#EXT-X-BYTERANGE":
                told = replace(told, size_bytes=told.header_bytes + _count(value.partition("@")[0]))
            elif tag == "#EXTINF":
                duration_s = _seconds(value.partition(",")[0])
            elif line and not line.startswith("#"):
                name = unquote(line, errors="surrogateescape")
                entries.append(replace(told, name=name, start_s=now_s, end_s=now_s + duration_s))
                now_s += duration_s
                told = Entry("", 0.0, 0.0)
        self.entries = entries


def _uri(entry: Entry) -> str:
    return quote(entry.name, safe="/-._~,;=@+!()", errors="surrogateescape")


def _m3u(entries: Sequence[Entry]) -> bytes:
    lines = ["#EXTM3U"]
    for entry in entries:
        lines += [f"#EXTINF:{entry.duration_s:.6f},{entry.name}", _uri(entry)]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def _date(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text.strip(), re.ASCII):
        raise ParseError(f"'{text[:40]}' is not a number")
    return int(text)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e10:
        raise ParseError(f"{value} is not a time")
    return value


def _csv(entries: Sequence[Entry]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for entry in entries:
        writer.writerow((entry.name, f"{entry.start_s:.6f}", f"{entry.end_s:.6f}"))
    return out.getvalue().encode("utf-8", "surrogateescape")


def _read_csv(text: str) -> list[Entry]:
    entries = []
    for row in csv.reader(io.StringIO(text, newline="")):
        if len(row) != 3:
            raise ParseError(f"not a csv list of recorded files: a row of {len(row)} columns")
        entries.append(Entry(row[0], _seconds(row[1]), _seconds(row[2])))
    return entries


def _ffconcat(entries: Sequence[Entry]) -> bytes:
    lines = ["ffconcat version 1.0"]
    for entry in entries:
        # ffmpeg-utils, "Quoting and escaping": within single quotes nothing is special; the quote itself goes outside.
        quoted = entry.name.replace("'", "'\\''")
        lines += [f"file '{quoted}'", f"duration {entry.duration_s:.6f}"]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def _read_ffconcat(text: str) -> list[Entry]:
    lines = text.split("\n")
    if lines[:1] != ["ffconcat version 1.0"]:
        raise ParseError("not an ffconcat list: its first line is missing")
    entries: list[Entry] = []
    now_s, name = 0.0, None
    for line in lines[1:]:
        word, _, value = line.partition(" ")
        if word == "file" and value[:1] == value[-1:] == "'" and len(value) > 2:
            name = value[1:-1].replace("'\\''", "'")
        elif word == "duration" and name is not None:
            entries.append(Entry(name, now_s, now_s + _seconds(value)))
            now_s, name = entries[-1].end_s, None
        elif line:
            raise ParseError(f"not an ffconcat list of recorded files: '{line[:40]}'")
    return entries
