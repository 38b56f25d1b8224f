"""An MP4 file into events, read at any place: ordinary in decoding order, fragmented from the front. No I/O."""

from bisect import bisect_left
from math import inf
from typing import Final

from evotools.containers.mp4.boxes import header
from evotools.containers.mp4.demux import HINT_CUT, HINT_LATE, SHARED, SLACK_BYTES, Mp4Demuxer
from evotools.containers.mp4.lane import Announcer, Lane, in_decoding_order
from evotools.containers.mp4.moov import MAX_MOOV, Movie, parse_moov
from evotools.errors import ParseError
from evotools.log import get_logger
from evotools.media.frame import Event, Frame
from evotools.media.track import Kind

log = get_logger("mp4")

HEAD_BYTES: Final = 64 << 10
"""Read at once when looking for boxes: the whole header of a short film."""
READ_BYTES: Final = 1 << 20
"""What one step reads and makes into frames: some seconds of film."""
MAX_STEP_BYTES: Final = 4 << 20
"""Samples of one step, but for a single one that is larger."""
GAP_BYTES: Final = 16 << 10
"""Bytes between two stretches that are read along because that is cheaper than a second read."""
MAX_GAPS_BYTES: Final = 4 << 20
"""All such bytes of one step."""
FIRST_SPAN_S: Final = 1.0
MAX_SPAN_S: Final = 30.0
"""Time that one step covers; between these it follows the bit rate, toward `step_bytes`."""
MAX_BOXES: Final = 1 << 16
"""Boxes in front of the movie that are looked at: a fragmented file has one in the second place."""

Piece = tuple[Lane, int, int, int]
"""Samples `start` to `stop` of a lane's columns, and the number of the stretch that they lie in."""


class Mp4Reader:
    """Reads an MP4 file of known size: while `want` names a stretch of the file, `give` its bytes, get events.

    Frames come in decoding order across tracks however the file interleaves them, with a few megabytes in memory
    beside the movie box. A file that was cut off behind its movie box gives what is there.
    """

    def __init__(self, size: int, *, encrypted: bool = False, step_bytes: int = READ_BYTES) -> None:
        """`size` in bytes. `encrypted`: see Mp4Demuxer. `step_bytes`: about how much one step reads."""
        self._step_bytes = step_bytes
        self.movie: Movie | None = None
        """What the movie box says; None until it was read."""
        self.duration_s: float | None = None
        self._size = size
        self._encrypted = encrypted
        self._position = 0
        """While boxes are looked at, and in fragments: where the next one lies."""
        self._boxes = 0
        self._moov: tuple[int, int] | None = None
        """Where the body of the movie box lies."""
        self._ended = False
        self._lanes: list[Lane] = []
        self._announcer = Announcer([])
        self._span_s = FIRST_SPAN_S
        self._pieces: list[Piece] = []
        self._stretches: list[tuple[int, int]] = []
        self._data: list[bytes] = []
        self._fragments: Mp4Demuxer | None = None
        self._behind = 0
        """Where the first fragment may lie."""

    def reopened(self, start_s: float, fragment: int | None = None) -> "Mp4Reader":
        """Another reader of the same file, whose movie box this one has read, for the media from `start_s` on.

        It begins with the key frame of the first video track that is shown at `start_s` (presentation time) or before
        it. Of fragments it reads those from the one at `fragment`, a position in the file; None: all.
        """
        movie = self.movie
        assert movie is not None, "the movie box was not read"
        other = Mp4Reader(self._size, encrypted=self._encrypted, step_bytes=self._step_bytes)
        other._behind = self._behind if fragment is None else fragment
        other._use(movie, start_s)
        other._plan()
        return other

    def stop(self) -> None:
        """Read no further and forget the samples; `reopened` goes on working."""
        self._ended = True
        self._fragments = None
        self._lanes, self._announcer = [], Announcer([])
        self._pieces, self._stretches, self._data = [], [], []

    @property
    def fragments_at(self) -> int | None:
        """Where the first box behind the movie's lies, in a file that may have fragments; None otherwise."""
        return self._behind if self.movie is not None and self.movie.fragmented else None

    def want(self) -> tuple[int, int] | None:
        """(offset, length) of the bytes to give next; None at the end."""
        if self._ended:
            return None
        if self._moov is not None:
            return self._moov
        if self._stretches:
            return self._stretches[len(self._data)]
        length = self._step_bytes if self._fragments is not None else HEAD_BYTES
        return self._position, min(length, self._size - self._position)

    def give(self, data: bytes) -> list[Event]:
        """Events of the bytes that were asked for. Fewer bytes mean that the file ends there.

        Raises ParseError; Foreign when libav has to read the file, MediaError when it is encrypted, both before the
        first event.
        """
        asked = self.want()
        if asked is None:
            return []
        if len(data) < asked[1]:
            return self._end_short(asked, data)
        if self._fragments is not None:
            return self._read_fragments(data)
        if self._moov is not None:
            self._moov = None
            self._open(data)
            return self._plan()
        if self.movie is None:
            self._look(data)
            return [] if self.movie is None else self._plan()
        self._data.append(data)
        if len(self._data) < len(self._stretches):
            return []
        events = self._cut()
        return events + self._plan()

    # The movie box.

    def _look(self, data: bytes) -> None:
        """Walk the boxes in a stretch of the file until the movie is found."""
        begin, end = self._position, self._position + len(data)
        while True:
            at = self._position - begin
            found = header(data, at, len(data))
            if found is None:
                if end >= self._size:
                    raise ParseError("MP4: the file has no header (moov)", hint=HINT_CUT)
                return
            kind, head, size = found
            self._boxes += 1
            if kind == b"moof":
                raise ParseError("MP4: fragments without a header (moov) before them", hint=HINT_LATE)
            if self._boxes > MAX_BOXES or not all(32 <= letter < 127 or letter == 0xA9 for letter in kind):
                raise ParseError("MP4: what should be a box is none", offset=self._position)
            size = size or self._size - self._position
            if kind == b"moov":
                if size - head > MAX_MOOV:
                    raise ParseError(f"MP4: a box 'moov' of {size} bytes, more than {MAX_MOOV}")
                self._behind = self._position + size
                if at + size <= len(data):
                    self._open(data[at + head : at + size])
                elif self._behind <= self._size:
                    self._moov = (self._position + head, size - head)
                else:
                    raise ParseError("MP4: the file ends inside its header (moov)", hint=HINT_CUT)
                return
            self._position += size
            if self._position >= self._size:
                raise ParseError("MP4: the file has no header (moov)", hint=HINT_CUT)
            if self._position > end - 32:
                return

    def _open(self, body: bytes) -> None:
        movie = parse_moov(body)
        movie.check(encrypted=self._encrypted)
        self._use(movie)

    def _use(self, movie: Movie, start_s: float = 0.0) -> None:
        self.movie = movie
        self.duration_s = movie.duration_s
        self._lanes = [Lane(track, encrypted=self._encrypted, limit=self._size) for track in movie.tracks]
        at_s = None
        if start_s > 0:
            at_s = start_s
            for lane in self._lanes:
                if lane.track.kind is Kind.VIDEO:
                    key_s = lane.begin(at_s=start_s)
                    at_s = start_s if key_s is None else min(key_s, start_s)
                    break
        for lane in self._lanes:
            if not lane.begun:
                lane.begin(at_s=at_s)
        self._announcer = Announcer(self._lanes)

    # Samples of the tables.

    def _plan(self) -> list[Event]:
        """Choose the samples of the next step and where to read them; events when there are none left."""
        self._pieces, self._stretches, self._data = [], [], []
        lanes = [lane for lane in self._lanes if lane.fill()]
        if not lanes:
            return self._end_tables()
        begin_s = min([lane.dts[lane.at] / lane.timescale for lane in lanes])
        # Beyond the columns that are known nothing can be said of the order.
        known_s = min([lane.end_s for lane in lanes if not lane.last_block], default=inf)
        span_s, step = self._span_s, self._step_bytes
        most = min(4 * step, MAX_STEP_BYTES)
        while True:
            until_s = min(begin_s + span_s, known_s)
            chosen = [(lane, lane.at, bisect_left(lane.dts, until_s * lane.timescale, lane.at)) for lane in lanes]
            total = sum([sum(lane.sizes[start:stop]) for lane, start, stop in chosen])
            if total <= most or span_s < 0.001:
                break
            span_s /= 2
        if not total or total > most:
            # All at one time, or too much in one moment: sample by sample.
            lane = min(lanes, key=lambda lane: lane.dts[lane.at] / lane.timescale)
            chosen = [(lane, lane.at, lane.at + 1)]
            total = lane.sizes[lane.at]
        if total < step // 2:
            span_s *= 2
        elif total > step * 2:
            span_s /= 2
        self._span_s = min(max(span_s, 0.01), MAX_SPAN_S)
        self._find([(lane, start, stop) for lane, start, stop in chosen if stop > start], total)
        return []

    def _find(self, chosen: list[tuple[Lane, int, int]], total: int) -> None:
        """Few reads that bring all chosen samples: one for all where they lie together, else one per track, or many."""
        for lane, _, stop in chosen:
            lane.at = stop
        bounds = [(min(lane.offsets[start:stop]), max(lane.ends[start:stop])) for lane, start, stop in chosen]
        low, high = min([b[0] for b in bounds]), max([b[1] for b in bounds])
        if high - low <= total + total // 4 + GAP_BYTES:
            self._stretches = [(low, high - low)]
            self._pieces = [(lane, start, stop, 0) for lane, start, stop in chosen]
            return
        room = MAX_GAPS_BYTES
        for (lane, start, stop), (low, high) in zip(chosen, bounds, strict=True):
            size = sum(lane.sizes[start:stop])
            if high - low <= size + size // 4 + GAP_BYTES:
                self._pieces.append((lane, start, stop, len(self._stretches)))
                self._stretches.append((low, high - low))
            else:
                room = self._find_runs(lane, start, stop, room)

    def _find_runs(self, lane: Lane, start: int, stop: int, room: int) -> int:
        """Samples that lie scattered: as few stretches as their order allows, with gaps of at most `room` bytes in
        all. Returns what is left of it."""
        first = start
        low, high = lane.offsets[start], lane.ends[start]
        for index in range(start + 1, stop + 1):
            if index < stop:
                offset, end = lane.offsets[index], lane.ends[index]
                if high <= offset <= high + min(GAP_BYTES, room) and end - low <= MAX_STEP_BYTES:
                    room -= offset - high
                    high = end
                    continue
            self._pieces.append((lane, first, index, len(self._stretches)))
            self._stretches.append((low, high - low))
            if index < stop:
                first, low, high = index, offset, end
        return room

    def _cut(self) -> list[Event]:
        """The frames of a step."""
        data, stretches = self._data, self._stretches
        parts: list[tuple[list[Frame], list[float]]] = []
        last: Lane | None = None
        for lane, start, stop, number in self._pieces:
            if lane is not last:
                parts.append(([], []))
                last = lane
            frames = lane.cut(data[number], stretches[number][0], start, stop)
            timescale = lane.timescale
            parts[-1][0].extend(frames)
            parts[-1][1].extend([frame.dts / timescale for frame in frames])
        if sum([lane.bytes for lane in self._lanes]) > SHARED * self._size + SLACK_BYTES:
            raise ParseError("MP4: the same bytes are used over and over")
        return self._announcer.events(in_decoding_order(parts))

    def _end_tables(self) -> list[Event]:
        """Go on with the fragments, or end."""
        movie = self.movie
        assert movie is not None
        self._stretches = []
        if movie.fragmented and self._behind < self._size:
            self._position = self._behind
            self._fragments = Mp4Demuxer(encrypted=self._encrypted, slack_s=0.0)
            events = self._announcer.flush()
            self._fragments.resume(movie, self._behind, self._announcer)
            return events
        self._ended = True
        self._say_missing()
        return self._announcer.flush()

    def _say_missing(self) -> None:
        cut = [lane.info.id for lane in self._lanes if lane.missing]
        if cut:
            log.warning("MP4: the file is cut off; the end of track %s is missing", ", ".join(map(str, cut)))

    # Fragments, and early ends.

    def _read_fragments(self, data: bytes) -> list[Event]:
        assert self._fragments is not None
        self._position += len(data)
        events = self._fragments.feed(data)
        if self._position >= self._size:
            self._ended = True
            events += self._fragments.flush()
        return events

    def _end_short(self, asked: tuple[int, int], data: bytes) -> list[Event]:
        """The file became shorter while it was read."""
        if self.movie is None:
            raise ParseError("MP4: the file ends before its header (moov)", hint=HINT_CUT)
        self._ended = True
        if self._fragments is not None:
            return self._fragments.feed(data) + self._fragments.flush()
        log.warning("MP4: the file ends at byte %d, sooner than it did", asked[0] + len(data))
        return self._announcer.flush()
