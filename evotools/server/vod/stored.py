"""Stored media by container: what is in a file, and its events from a time on. Every call blocks: run them in threads.

A step reads and demuxes a few hundred kilobytes. Times are those of the file.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from evotools.containers import sniff
from evotools.containers.mp4.boxes import header
from evotools.containers.mp4.reader import Mp4Reader
from evotools.errors import MediaError, ParseError
from evotools.log import get_logger
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind, Track
from evotools.server.vod.places import FlvProbe, MatroskaProbe, Probe, ReadAt, TsProbe, place_of, unwrapped, vint_length

if TYPE_CHECKING:
    from evotools.containers.libav import LibavReader

STEP_BYTES: Final = 256 << 10
"""Read and demuxed at once: a millisecond of work, and what a viewer holds while it is paused or ahead of its pace."""
LOOK_BYTES: Final = 1 << 20
"""Read at the beginning of a file for the configuration of its tracks, and a quarter of it at the end for the last
time."""
MAX_HEAD_BYTES: Final = 16 << 20
"""Read until the tracks of a file are known: the end of the search for late ones in a stream of 10 Mbit/s."""
MAX_TAIL_BYTES: Final = 4 << 20
"""Read at the end of a file that does not tell its duration."""
MAX_SCAN_BYTES: Final = 64 << 20
"""Files without any times in them, such as ADTS, that are read through to learn how long they are: an hour of sound."""
MAX_FRAGMENTS: Final = 1 << 19
"""Boxes that are looked at for the fragment of a time: two hours of two per picture."""
MAX_MOOF_BYTES: Final = 4 << 20
"""A fragment's header that is read whole: an hour of pictures in one."""
_LOOK_BYTES: Final = 1 << 10
_STEPS_OF_EVENTS: Final = 256

log = get_logger("vod")


def reference(tracks: tuple[Track, ...]) -> Track | None:
    """The track at whose key frames playing begins: the first video, else the first audio track."""
    for kind in (Kind.VIDEO, Kind.AUDIO):
        for track in tracks:
            if track.kind is kind:
                return track
    return tracks[0] if tracks else None


class Stored(ABC):
    """One open file."""

    container = ""
    tracks: tuple[Track, ...] = ()
    duration_s: float | None = None
    origin_s = 0.0
    """The file's time that counts as zero."""
    indexed = True
    """`events` begins at a key frame; otherwise so many seconds before the time as it is told."""

    @abstractmethod
    def events(self, start_s: float) -> Iterator[list[Event]]:
        """Events from `start_s` (file time) or before it on, `Tracks` first. Raises MediaError while it is read."""


class StoredMp4(Stored):
    """MP4 and QuickTime, by their tables; fragments by their headers."""

    container = "mp4"

    def __init__(self, read: ReadAt, size: int) -> None:
        """Raises ParseError; Foreign when libav has to read it; MediaError when it is encrypted."""
        self._read = read
        self._size = size
        reader = Mp4Reader(size, step_bytes=STEP_BYTES)
        events: list[Event] = []
        while (wanted := reader.want()) is not None and not events:
            events = reader.give(read(*wanted))
        movie = reader.movie
        if movie is None or movie.exotic or not events:
            raise ParseError(f"MP4: {movie.exotic or 'no frames in it' if movie else 'no header'}")
        self._reader = reader
        # Every film that is played has one; the columns of a thousand samples take half a megabyte.
        reader.stop()
        self.tracks = _tracks_in(events)
        self.origin_s = min(0.0, *(e.pts_s for e in events if isinstance(e, Frame)))
        self.duration_s = reader.duration_s
        at = reader.fragments_at
        if at is not None and not any(track.table.count for track in movie.tracks):
            self.origin_s = min(e.pts_s for e in events if isinstance(e, Frame))
            self.duration_s = self._fragments_end() or self.duration_s

    def events(self, start_s: float) -> Iterator[list[Event]]:
        """See Stored."""
        at = self._reader.fragments_at
        fragment = None
        if at is not None and start_s > self.origin_s:
            found = self._fragment(at, start_s)
            fragment = None if found is None else found[0]
        reader = self._reader.reopened(start_s, fragment)
        while (wanted := reader.want()) is not None:
            events = reader.give(self._read(*wanted))
            if events:
                yield events

    def _fragments_end(self) -> float | None:
        """How long a file is that consists of fragments: up to the end of the last one."""
        at = self._reader.fragments_at
        last = None if at is None else self._fragment(at, float("inf"))
        if last is None:
            return None
        reader = self._reader.reopened(0.0, last[0])
        end_s = last[1]
        while (wanted := reader.want()) is not None:
            for event in reader.give(self._read(*wanted)):
                if isinstance(event, Frame):
                    end_s = max(end_s, (event.pts + event.duration) / event.track.timescale)
        return end_s - self.origin_s

    def _fragment(self, at: int, start_s: float) -> tuple[int, float] | None:
        """The last fragment of the reference track that begins at `start_s` or before it, with its time."""
        movie = self._reader.movie
        track = reference(self.tracks)
        assert movie is not None
        if track is None:
            return None
        best: tuple[int, float] | None = None
        for _ in range(MAX_FRAGMENTS):
            window = self._read(at, _LOOK_BYTES)
            found = header(window, 0, len(window))
            if found is None:
                break
            kind, head, size = found
            if size <= 0:
                break
            if kind == b"moof":
                time = _decode_time(window[head:size], track.id)
                if time is None and len(window) < size <= MAX_MOOF_BYTES:
                    time = _decode_time(self._read(at + head, size - head), track.id)
                if time is not None:
                    if time / track.timescale > start_s:
                        break
                    best = at, time / track.timescale
            at += size
        return best


def _decode_time(moof: bytes, track_id: int) -> int | None:
    """tfdt of a track in a movie fragment (ISO/IEC 14496-12 8.8.12)."""
    at = 0
    while (found := header(moof, at, len(moof))) is not None and found[2] > 0:
        kind, head, size = found
        if kind == b"traf":
            inner, stop, ours = at + head, min(at + size, len(moof)), False
            while (box := header(moof, inner, stop)) is not None and box[2] > 0:
                body = moof[inner + box[1] : inner + box[2]]
                if box[0] == b"tfhd":
                    ours = int.from_bytes(body[4:8], "big") == track_id
                elif box[0] == b"tfdt" and ours:
                    return int.from_bytes(body[4:12] if body[:1] == b"\x01" else body[4:8], "big")
                inner += box[2]
        at += size
    return None


class StoredBytes(Stored):
    """TS, FLV and Matroska: demuxed from a place that was found by dividing the file."""

    indexed = False

    def __init__(self, container: str, read: ReadAt, size: int) -> None:
        """Raises ParseError, MediaError."""
        self.container = container
        self._read = read
        self._size = size
        self._head = b""
        self._media = 0
        """Where media begins behind the head."""
        self._probe: Probe | None = None
        events = self._open()
        frames = [e for e in events if isinstance(e, Frame)]
        if not frames:
            raise MediaError("there are no frames in it")
        self.origin_s = min(frame.pts_s for frame in frames)
        track = reference(self.tracks)
        assert track is not None
        if container == "ts":
            self._probe = TsProbe(track.id, self.origin_s)
        elif container == "flv":
            self._head, self._media = flv_head(read(0, LOOK_BYTES))
            self._probe = FlvProbe()
        elif container == "matroska":
            found = matroska_head(read(0, LOOK_BYTES))
            if found is not None:
                self._head, tick_ns = found
                self._media = len(self._head)
                self._probe = MatroskaProbe(tick_ns)
        end_s = self._end() if self._probe is not None else self._scanned_end()
        self.duration_s = None if end_s is None else end_s - self.origin_s

    def _open(self) -> list[Event]:
        demuxer = sniff.make_demuxer(self.container, stored=True)
        events: list[Event] = []
        at = 0
        while at < MAX_HEAD_BYTES:
            data = self._read(at, STEP_BYTES)
            at += len(data)
            events += demuxer.feed(data) if data else []
            if at >= self._size or not data:
                events += demuxer.flush()
                break
            if any(isinstance(event, Frame) for event in events):
                break
        self.tracks = _tracks_in(events)
        return events

    def _scanned_end(self) -> float | None:
        """The same by reading everything, of small files."""
        return self._end_of(0) if self._size <= MAX_SCAN_BYTES else None

    def _end(self) -> float:
        """When the last frame ends, in file time."""
        length = LOOK_BYTES // 4
        while True:
            at = max(self._size - length, 0)
            end_s = self._end_of(at)
            if end_s is not None or not at:
                return self.origin_s if end_s is None else end_s
            if length >= MAX_TAIL_BYTES:
                return self.origin_s
            length *= 4

    def _end_of(self, at: int) -> float | None:
        begin = at
        if at and self._probe is not None:
            window = self._read(at, self._size - at)
            found = self._probe.find(window, ended=True)
            if found is None:
                return None
            begin = at + found[0]
        end_s: float | None = None
        try:
            for events in self._from(begin):
                for event in events:
                    if isinstance(event, Frame):
                        last_s = (event.pts + event.duration) / event.track.timescale
                        end_s = last_s if end_s is None else max(end_s, last_s)
        except ParseError:
            return end_s
        return end_s

    def events(self, start_s: float) -> Iterator[list[Event]]:
        """See Stored."""
        at = 0
        if start_s > self.origin_s and self._probe is not None:
            at = place_of(self._read, self._size, self._media, start_s, self._probe)
        yield from self._from(at if at > self._media else 0)

    def _from(self, at: int) -> Iterator[list[Event]]:
        demuxer = sniff.make_demuxer(self.container, stored=True)
        wrapped = at and self.container == "ts"
        if at and self._head:
            demuxer.feed(self._head)
        while True:
            data = self._read(at, STEP_BYTES)
            at += len(data)
            events = demuxer.feed(data) if data else demuxer.flush()
            if wrapped and events:
                events = self._on_clock(events)
            if events:
                yield events
            if not data:
                return

    def _on_clock(self, events: list[Event]) -> list[Event]:
        """The 33-bit times of a reader that began in the middle, on the clock of the file."""
        origin_s = self.origin_s
        out: list[Event] = []
        for event in events:
            if isinstance(event, Frame):
                shift = unwrapped(event.dts, origin_s) - event.dts
                if shift:
                    event = event.shifted(event.track, event.dts + shift, event.pts + shift)
            out.append(event)
        return out


def flv_head(data: bytes) -> tuple[bytes, int]:
    """(what a reader needs that begins in the middle of the file, where the tags begin): the file header and the
    configuration of every track."""
    start = 9 if len(data) < 9 else int.from_bytes(data[5:9], "big")
    at = media = start + 4
    out = [data[:media]]
    while at + 13 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        end = at + 11 + size + 4
        if end > len(data):
            break
        if _is_configuration(data[at] & 0x1F, data[at + 11 : at + 13]):
            out.append(data[at:end])
        at = end
    return b"".join(out), media


def _is_configuration(kind: int, body: bytes) -> bool:
    if len(body) < 2:
        return False
    first, second = body
    if kind == 9:
        if first & 0x80:
            # Enhanced RTMP v2: packet type, 6 for several tracks in one tag, whose type follows.
            return first & 0x0F == 0 or (first & 0x0F == 6 and second & 0x0F == 0)
        return first & 0x0F in (7, 12) and second == 0
    if kind == 8:
        if first >> 4 == 9:
            return first & 0x0F == 0 or (first & 0x0F == 5 and second & 0x0F == 0)
        return first >> 4 == 10 and second == 0
    return False


def matroska_head(data: bytes) -> tuple[bytes, int] | None:
    """(everything before the first cluster, nanoseconds of a tick); None when there is none in `data`."""
    at = data.find(b"\x1f\x43\xb6\x75")
    if at < 0:
        return None
    head = data[:at]
    found = head.find(b"\x2a\xd7\xb1")
    if found < 0:
        return head, 1_000_000
    width = vint_length(head, found + 3)
    size = int.from_bytes(head[found + 3 : found + 3 + width], "big") & (1 << 7 * width) - 1
    return head, int.from_bytes(head[found + 3 + width : found + 3 + width + size], "big") or 1_000_000


class _FileAt:
    """A file object for libav over a descriptor that several readers share."""

    def __init__(self, read: ReadAt, size: int) -> None:
        self._read = read
        self._size = size
        self._at = 0

    def read(self, size: int) -> bytes:
        data = self._read(self._at, size)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(offset + (0, self._at, self._size)[whence], 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True


class StoredLibav(Stored):
    """Everything else, through libav."""

    indexed = False

    def __init__(self, container: str, read: ReadAt, size: int, name: str) -> None:
        """`name` is for messages. Raises MediaError, NoMediaError."""
        self.container = container
        self._read = read
        self._size = size
        self._name = name
        reader = self._reader()
        try:
            events: list[Event] = []
            for event in reader:
                events.append(event)
                if len(events) >= _STEPS_OF_EVENTS:
                    break
            self.tracks = _tracks_in(events)
            self.origin_s = min([e.pts_s for e in events if isinstance(e, Frame)], default=0.0)
            self.duration_s = reader.duration_s
        finally:
            reader.close()

    def _reader(self) -> "LibavReader":
        from evotools.containers.libav import LibavReader

        return LibavReader(_FileAt(self._read, self._size), name=self._name)

    def events(self, start_s: float) -> Iterator[list[Event]]:
        """See Stored."""
        reader = self._reader()
        try:
            if start_s > self.origin_s:
                reader.seek(start_s)
            batch: list[Event] = []
            size = 0
            for event in reader:
                batch.append(event)
                if isinstance(event, Frame):
                    size += len(event.payload)
                if size >= STEP_BYTES or len(batch) >= _STEPS_OF_EVENTS:
                    yield batch
                    batch, size = [], 0
            if batch:
                yield batch
        finally:
            reader.close()


def _tracks_in(events: list[Event]) -> tuple[Track, ...]:
    """The newest track list in `events`."""
    for event in reversed(events):
        if isinstance(event, Tracks):
            return event.tracks
    return ()


def open_stored(read: ReadAt, size: int, name: str) -> Stored:
    """The file whose bytes `read` gives; `name` is for messages. Raises MediaError, which ParseError is one of."""
    head = read(0, sniff.SNIFF_BYTES)
    if not head:
        raise MediaError(f"{name}: the file is empty")
    container = sniff.sniff(head, ended=len(head) >= size) or ""
    if container == "mp4":
        try:
            return StoredMp4(read, size)
        except ParseError as error:
            log.info("%s: %s; reading it through libav", name, error)
    elif container in sniff.OURS and not container.startswith("annexb"):
        return StoredBytes(container, read, size)
    if container in ("", "hls", "dash", "y4m"):
        # Playlists would make libav open what they name; raw pictures are no film.
        raise MediaError(f"{name}: not media that can be played")
    return StoredLibav(container, read, size, name)
