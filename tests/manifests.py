"""What a player makes of a packaged folder: manifests read strictly, and held against the files that are there."""

import re
import struct
import threading
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

import m3u8

NS = "{urn:mpeg:dash:schema:mpd:2011}"

ORDER = {
    # ISO/IEC 23009-1, the XML schema: sequences of elements, of those that are written here.
    "MPD": ["Period"],
    "Period": ["AdaptationSet"],
    "AdaptationSet": ["AudioChannelConfiguration", "Label", "Role", "SegmentTemplate", "Representation"],
    "Representation": ["AudioChannelConfiguration", "SegmentTemplate"],
    "SegmentTemplate": ["SegmentTimeline"],
    "SegmentTimeline": ["S"],
}
ATTRIBUTES = {
    "MPD": "profiles type availabilityStartTime publishTime minimumUpdatePeriod suggestedPresentationDelay "
    "timeShiftBufferDepth mediaPresentationDuration maxSegmentDuration minBufferTime",
    "Period": "id start",
    "AdaptationSet": "id contentType mimeType lang segmentAlignment startWithSAP maxWidth maxHeight maxFrameRate",
    "Representation": "id bandwidth codecs width height frameRate sar audioSamplingRate",
    "SegmentTemplate": "timescale presentationTimeOffset startNumber initialization media",
    "S": "t d r",
    "Role": "schemeIdUri value",
    "AudioChannelConfiguration": "schemeIdUri value",
}


# DASH.


def seconds(text: str) -> float:
    """An xs:duration in the one form that is written."""
    match = re.fullmatch(r"PT(\d+(?:\.\d+)?)S", text)
    assert match, text
    return float(match[1])


def read_mpd(data: bytes) -> ET.Element:
    """The document, checked against the schema's names and orders."""
    root = ET.fromstring(data)
    for element in root.iter():
        name = element.tag.removeprefix(NS)
        assert set(element.attrib) <= set(ATTRIBUTES.get(name, "").split()), name
        order = [ORDER[name].index(child.tag.removeprefix(NS)) for child in element]
        assert order == sorted(order), name
    return root


def expand(template: str, name: str, number: int) -> str:
    """ISO/IEC 23009-1 5.3.9.4.4."""

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if match[1] == "RepresentationID":
            return name
        return f"{number:{match[2] or '01'}d}"

    return re.sub(r"\$(?:(RepresentationID|Number)(?:%(0\d+)d)?)?\$", one, template)


MpdRow = tuple[str, str, int, int, float]
"""Init and segment path, time, duration, presentation time."""


def mpd_segments(root: ET.Element) -> dict[str, list[MpdRow]]:
    """What a player asks for, by representation."""
    found: dict[str, list[MpdRow]] = {}
    for period in root.iter(f"{NS}Period"):
        start_s = seconds(period.attrib["start"])
        for group in period.iter(f"{NS}AdaptationSet"):
            for representation in group.iter(f"{NS}Representation"):
                template = representation.find(f"{NS}SegmentTemplate")
                if template is None:
                    template = group.find(f"{NS}SegmentTemplate")
                assert template is not None
                scale, number = int(template.attrib["timescale"]), int(template.attrib["startNumber"])
                offset = int(template.get("presentationTimeOffset", "0"))
                name = representation.attrib["id"]
                init = expand(template.attrib["initialization"], name, 0)
                at = 0
                rows = found.setdefault(name, [])
                for s in template.iter(f"{NS}S"):
                    at = int(s.get("t", at))
                    for _ in range(int(s.get("r", "0")) + 1):
                        path = expand(template.attrib["media"], name, number)
                        duration = int(s.attrib["d"])
                        rows.append((init, path, at, duration, start_s + (at - offset) / scale))
                        number += 1
                        at += duration
    return found


# Folders.


@dataclass(frozen=True)
class Line:
    """One segment of a media playlist."""

    path: str
    """From the presentation's folder."""
    init: str
    duration_s: float
    discontinuity: bool
    gap: bool


@dataclass
class Playlist:
    """A media playlist."""

    sequence: int
    discontinuity_sequence: int
    target: int
    ended: bool
    lines: list[Line]


@dataclass
class Snapshot:
    """The manifests of a folder at one moment."""

    playlists: dict[str, Playlist] = field(default_factory=dict)
    """By rendition."""
    mpd: ET.Element | None = None

    def segments(self, name: str) -> list[Line]:
        """Of a rendition, gaps left out."""
        return [line for line in self.playlists[name].lines if not line.gap]

    @property
    def ended(self) -> bool:
        return bool(self.playlists) and all(p.ended for p in self.playlists.values())


def look(folder: Path) -> Snapshot:
    """Read every manifest of a folder, and each file that one of them names; fails when one is missing or cut."""
    found = Snapshot()
    index = folder / "index.m3u8"
    if index.exists():
        master = m3u8.loads(index.read_text())
        assert master.is_variant
        uris = [p.uri for p in master.playlists] + [m.uri for m in master.media if m.uri]
        for uri in dict.fromkeys(uris):
            name = uri.partition("/")[0]
            found.playlists[name] = read_playlist(folder / uri, name)
            for line in found.playlists[name].lines:
                if not line.gap:
                    assert_whole(folder, line.path)
                if line.init:
                    assert_whole(folder, line.init)
    manifest = folder / "manifest.mpd"
    if manifest.exists():
        found.mpd = read_mpd(manifest.read_bytes())
        for rows in mpd_segments(found.mpd).values():
            for init, path, *_ in rows:
                assert_whole(folder, init)
                assert_whole(folder, path)
    return found


def read_playlist(path: Path, name: str) -> Playlist:
    """One media playlist, with its rules."""
    read = m3u8.loads(path.read_text())
    lines = []
    for segment in read.segments:
        # RFC 8216 4.3.3.1
        assert int(segment.duration + 0.5) <= read.target_duration, path
        init = f"{name}/{segment.init_section.uri}" if segment.init_section else ""
        lines.append(
            Line(f"{name}/{segment.uri}", init, segment.duration, bool(segment.discontinuity), bool(segment.gap_tag))
        )
    return Playlist(
        read.media_sequence or 0, read.discontinuity_sequence or 0, read.target_duration, bool(read.is_endlist), lines
    )


_WHOLE: dict[tuple[str, int, int], bool] = {}


def assert_whole(folder: Path, path: str) -> None:
    """The file is there, not empty, and ends where its format says."""
    file = folder / path
    assert file.exists(), f"{path} is named and not there"
    stat = file.stat()
    key = (str(file), stat.st_ino, stat.st_size)
    if key in _WHOLE:
        return
    data = file.read_bytes()
    assert data, f"{path} is empty"
    if path.endswith(".ts"):
        assert len(data) % 188 == 0 and not any(data[at] != 0x47 for at in range(0, len(data), 188)), f"{path} is cut"
    else:
        at, kinds = 0, []
        while at < len(data):
            assert at + 8 <= len(data), f"{path} is cut"
            size, kind = struct.unpack_from(">I4s", data, at)
            assert 8 <= size <= len(data) - at, f"{path} is cut"
            kinds.append(kind)
            at += size
        assert (b"moov" in kinds) if "init" in path else (kinds[-2:] == [b"moof", b"mdat"]), f"{path}: {kinds}"
    _WHOLE[key] = True


class Watch:
    """Looks at a folder again and again while somebody writes it, and holds each look against those before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.looks = 0
        self.problems: list[str] = []
        self.latest = Snapshot()
        self.nothing = Playlist(0, 0, 0, False, [])
        self.dynamic: dict[str, str] = {}
        """Attributes of the newest MPD that was live."""
        self.seen: dict[tuple[str, int], Line] = {}
        """By rendition and media sequence number."""
        self._times: dict[tuple[str, str], tuple[int, int, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set() and len(self.problems) < 20:
            begun = time.monotonic()
            try:
                self._compare(look(self.folder))
                self.looks += 1
            except AssertionError as error:
                self.problems.append(str(error).partition("\n")[0])
            self._stop.wait(max(0.02, time.monotonic() - begun))

    def _compare(self, now: Snapshot) -> None:
        for name, playlist in now.playlists.items():
            before = self.latest.playlists.get(name)
            if before is not None:
                # RFC 8216 6.2.1 and 6.2.2.
                assert playlist.sequence >= before.sequence, f"{name}: media sequence goes back"
                assert playlist.discontinuity_sequence >= before.discontinuity_sequence, f"{name}: discontinuities"
                assert playlist.sequence + len(playlist.lines) >= before.sequence + len(before.lines), (
                    f"{name}: shrinks"
                )
            for number, line in enumerate(playlist.lines, playlist.sequence):
                known = self.seen.setdefault((name, number), line)
                assert known == line, f"{name}: {number} was {known} and is {line}"
        for name, rows in mpd_segments(now.mpd).items() if now.mpd is not None else ():
            for _, path, at, duration, presented_s in rows:
                known_row = self._times.setdefault((name, path), (at, duration, presented_s))
                assert known_row[:2] == (at, duration), f"{path} was {known_row} and is {at, duration}"
                assert abs(known_row[2] - presented_s) < 0.001, f"{path} moves from {known_row[2]} to {presented_s} s"
        if now.mpd is not None and now.mpd.get("type") == "dynamic":
            self.dynamic = dict(now.mpd.attrib)
        self.latest = now

    def last_presented_s(self, path: str) -> float:
        """Where DASH presents a segment."""
        return self._times[path.partition("/")[0], path][2]

    def look_until_ended(self, seconds_: float = 10) -> None:
        """Go on until the manifests say that nothing follows."""
        deadline = time.monotonic() + seconds_
        while not self.latest.ended and time.monotonic() < deadline and not self.problems:
            time.sleep(0.02)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """No more looks; fails when one found something."""
        self._stop.set()
        self._thread.join(20)
        assert not self.problems, self.problems
