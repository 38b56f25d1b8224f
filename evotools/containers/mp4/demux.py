"""An MP4 stream into events, read from the front: fragmented, or ordinary with its header first. ISO/IEC 14496-12."""

from bisect import bisect_left, bisect_right
from itertools import accumulate
from math import inf
from typing import Final

from evotools.containers.base import NeedsSeeking
from evotools.containers.mp4.boxes import header, printable
from evotools.containers.mp4.fragments import (
    MAX_EVENT,
    MAX_MOOF,
    MAX_RUNS,
    Clock,
    EventMessage,
    parse_emsg,
    parse_moof,
    parse_prft,
)
from evotools.containers.mp4.lane import Announcer, Lane, in_decoding_order
from evotools.containers.mp4.moov import MAX_MOOV, Movie, TrackInfo, parse_moov
from evotools.errors import ParseError
from evotools.log import Throttle, get_logger
from evotools.media.frame import Discontinuity, Event, Frame, Tracks

log = get_logger("mp4")

MAX_WAIT_BYTES: Final = 32 << 20
"""Bytes of frames that wait for earlier ones of other tracks, which lie behind them in the file. Beyond that they come
out as they lie: memory goes before order."""
MAX_WAIT_FRAMES: Final = 8192
"""The same as a number."""
MAX_EVENTS: Final = 64
"""Event messages that wait for their segment."""
SLACK_S: Final = 0.25
"""How far one track may run ahead of another before its frames wait for the other one's next fragment. Writers that
give each track a fragment of its own need that; where a fragment has all tracks, their ends differ by less."""
MAX_WAIT_S: Final = 8.0
"""Longest such wait, in media: a track may have gone silent. Shorter than the patience of routes with their sources."""
JUMP_S: Final = 10.0
"""A fragment that begins by more than this elsewhere than the last one ended: another time line."""
MAX_UNIX_S: Final = float(1 << 33)
"""A producer's wall time beyond that, the year 2242, or before 1970 is nonsense that no calendar need take."""
SHARED: Final = 4
"""How often bytes may be used: tracks may share samples, but a file of a kilobyte must not become a gigabyte."""
SLACK_BYTES: Final = 64 << 20
"""Use that is not counted against SHARED."""

HINT_FRONT: Final = (
    "write it with its header first (ffmpeg -movflags +faststart, or fragmented), or read it from a file"
)
HINT_LATE: Final = "join at the beginning, where the header is sent"
HINT_CUT: Final = "the recording was not finished, or is cut off"

_WHOLE: Final = {b"moov": MAX_MOOV, b"moof": MAX_MOOF, b"emsg": MAX_EVENT, b"prft": 64}
"""Boxes that are read as a whole, and how long they may be."""


class Mp4Demuxer:
    """Feed the bytes of an MP4 stream in any split; get `Tracks`, `Frame`, `Metadata` and `Discontinuity`.

    Frames come out by decode time as far as the file's order allows without holding much: within a fragment always,
    across fragments of one track each within SLACK_S. A new movie box begins a new epoch. Unknown boxes, segment
    indices and types are passed over. Samples that lie outside media data are left out and counted in `damaged`; what
    the end of the input cuts off is dropped.

    Before the first frame `feed` may raise NeedsSeeking (media before its description), Foreign (libav has to read
    this) and MediaError (encrypted); nothing is lost then, the same bytes can be read otherwise.
    """

    def __init__(self, *, encrypted: bool = False, slack_s: float = SLACK_S) -> None:
        """`encrypted`: protected samples come as they are, with `side["cenc"]` (see fragments.SampleSecrets).
        `slack_s`: 0 for files, where nothing is lost by waiting for the next fragment."""
        self.movie: Movie | None = None
        self.damaged = 0
        self._encrypted = encrypted
        self._slack_s = slack_s
        self._lanes: list[Lane] = []
        self._by_id: dict[int, Lane] = {}
        self._infos: dict[int, TrackInfo] = {}
        self._clocks: dict[int, Clock] = {}
        self._announcer = Announcer([])
        self._held = bytearray()
        self._position = 0
        """Where `_held`, or what is fed next, lies in the stream."""
        self._need = 1
        """Bytes from `_position` on without which nothing new can be said."""
        self._end: float | None = None
        """Where the box ends that is being passed through; infinite: with the input."""
        self._in_media = False
        self._origin = 0
        """Where the file began that the stream is in: offsets count from there."""
        self._waiting: list[tuple[list[Frame], list[float]]] = []
        """Per lane: frames that earlier ones of other lanes will come before, and their decode times in seconds."""
        self._waiting_bytes = 0
        self._given_up: set[Lane] = set()
        """Lanes that nobody waits for: they were silent for too long."""
        self._header_bytes = self._header_runs = 0
        """Of the fragments whose media may be still to come."""
        self._messages: list[EventMessage] = []
        self._metadata: list[Event] = []
        self._wall_s: float | None = None
        """Unix time less presentation time, as the producer tells it."""
        self._out: list[Event] = []
        self._error: ParseError | None = None
        self._broken = Throttle(log, "MP4: {n} broken fragments were left out")
        self._lost = Throttle(log, "MP4: {n} samples lay outside of the media data and were left out")

    @property
    def sure(self) -> bool:
        """The header was read: neither NeedsSeeking nor Foreign is raised any more."""
        return self.movie is not None

    def resume(self, movie: Movie, position: int, announcer: Announcer) -> None:
        """Go on with the fragments of a movie whose box was read otherwise, from `position` of the file on.

        `announcer` has spoken for its tracks so far.
        """
        self._position = position
        self._announcer = announcer
        self._set_movie(movie)

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Events completed by `data`.

        Raises ParseError when the input is not MP4 that can be read here; events in front of the damage come out
        first, then the next call raises.
        """
        if self._error is not None:
            raise self._error
        held = self._held
        if held:
            if len(held) + len(data) < self._need:
                held += data
                return []
            data = b"".join((held, data))
            self._held = bytearray()
        elif not isinstance(data, bytes):
            data = bytes(data)
        try:
            used = self._parse(data)
        except ParseError as error:
            self._error = error
            self._release(everything=True)
            self._out += self._announcer.flush()
            if not self._out:
                raise
        else:
            if used < len(data):
                self._held += memoryview(data)[used:]
        out, self._out = self._out, []
        return out

    def flush(self) -> list[Event]:
        """End of input: what was held back. Raises the ParseError that `feed` put off, or that nothing came."""
        if self._error is not None:
            raise self._error
        if self.movie is None:
            raise ParseError("MP4: the input ended before its header (moov)", hint=HINT_CUT)
        self._held = bytearray()
        self._release(everything=True)
        self._out += self._announcer.flush()
        out, self._out = self._out, []
        return out

    # Boxes.

    def _parse(self, data: bytes) -> int:
        """Read boxes; returns how many bytes are used up, and sets `_need` for the rest."""
        start, total = self._position, len(data)
        place = 0
        while True:
            if self._end is not None:
                stop = int(min(self._end - start, total))
                if self._in_media:
                    place = self._cut(data, start, place, stop)
                else:
                    place, self._need = stop, 1
                if start + stop < self._end:
                    break
                place, self._end = stop, None
            found = header(data, place, total)
            if found is None:
                self._need = 8 if total - place < 8 else 32
                break
            kind, head, size = found
            if kind not in _WHOLE:
                self._begin_box(kind, start + place, head, size)
                place += head
                continue
            if not head < size <= _WHOLE[kind]:
                raise ParseError(
                    f"MP4: a box '{printable(kind)}' of {size} bytes, more than {_WHOLE[kind]}"
                    if size > head
                    else f"MP4: a box '{printable(kind)}' has no end",
                    offset=start + place,
                )
            if total - place < size:
                self._need = size
                break
            self._take(kind, data[place + head : place + size], start + place, size)
            place += size
        self._position = start + place
        return place

    def _begin_box(self, kind: bytes, position: int, head: int, size: int) -> None:
        """A box that is passed through."""
        if kind != bytes(4) and not all(32 <= letter < 127 or letter == 0xA9 for letter in kind):
            raise ParseError("MP4: what should be a box is none", offset=position)
        self._end = position + size if size else inf
        self._in_media = kind == b"mdat"
        if kind == b"ftyp":
            self._origin = position
        elif self._in_media and self.movie is None and size != head:
            raise NeedsSeeking("MP4: the media comes before its header (moov)", hint=HINT_FRONT)

    def _take(self, kind: bytes, body: bytes, position: int, size: int) -> None:
        if kind == b"moov":
            self._take_moov(body, position + size)
        elif kind == b"moof":
            self._take_moof(body, position, size)
        elif kind == b"emsg":
            if len(self._messages) < MAX_EVENTS:
                self._messages.append(parse_emsg(body))
        else:
            number, wall_s, media = parse_prft(body)
            if number in self._infos:
                track = self._infos[number]
                self._wall_s = wall_s - (media - track.shift) / track.timescale

    # Movies and fragments.

    def _take_moov(self, body: bytes, end: int) -> None:
        movie = parse_moov(body)
        movie.check(encrypted=self._encrypted)
        for track in movie.tracks:
            if track.table.count and not track.table.in_file_order(end - self._origin):
                raise NeedsSeeking("MP4: the media does not lie in the order of its description", hint=HINT_FRONT)
        self._set_movie(movie)
        for lane in self._lanes:
            lane.begin(base=self._origin)

    def _set_movie(self, movie: Movie) -> None:
        self._release(everything=True)
        self._out += self._announcer.flush()
        self.movie = movie
        self._lanes = [Lane(track, encrypted=self._encrypted) for track in movie.tracks]
        self._by_id = {lane.info.id: lane for lane in self._lanes}
        self._infos = {track.id: track for track in movie.tracks}
        self._clocks = {
            track.id: Clock(track.table.total_duration() if track.table.count else 0) for track in movie.tracks
        }
        self._waiting = [([], []) for _ in self._lanes]
        self._given_up = set()
        self._wall_s = None
        self._announcer = Announcer(self._lanes, self._announcer)

    def _take_moof(self, body: bytes, position: int, size: int) -> None:
        if self.movie is None:
            raise ParseError("MP4: fragments without a header (moov) before them", hint=HINT_LATE)
        try:
            runs = parse_moof(body, position, size, self._infos, self._clocks, origin=self._origin)
        except ParseError as error:
            # The next fragment stands on its own.
            self._broken.hit()
            log.info("MP4: a fragment is left out: %s", error)
            self._release(everything=True)
            if self._announcer.announced:
                self._out.append(Discontinuity(f"a broken fragment: {error.message}"))
            return
        self._weigh(size, len(runs))
        for number, run in runs:
            lane = self._by_id[number]
            if lane.fill() and lane.offsets[lane.at] >= run.offset:
                self._lose(lane.drop())
            if JUMP_S < abs((run.dts - lane.info.shift) / lane.timescale - lane.end_s) < inf:
                self._release(everything=True)
                for other in self._lanes:
                    if not other.fill():
                        # Where it ended is on the old time line.
                        other.end_s = -inf
            lane.add(run, run.lowest_offset)
            self._given_up.discard(lane)
        if self._messages:
            begin_s = min((lane.pts[lane.at] / lane.timescale for lane in self._lanes if lane.fill()), default=0.0)
            self._metadata += [message.metadata(begin_s) for message in self._messages]
            self._messages.clear()
            del self._metadata[:-MAX_EVENTS]

    def _weigh(self, size: int, runs: int) -> None:
        """Take account of a fragment's header. Headers without media pile up only so far."""
        if not any(lane.fill() for lane in self._lanes):
            self._header_bytes = self._header_runs = 0
        self._header_bytes += size
        self._header_runs += runs
        if self._header_bytes > MAX_MOOF or self._header_runs > MAX_RUNS:
            for lane in self._lanes:
                self._lose(lane.drop())
            self._header_bytes, self._header_runs = size, runs

    # Frames.

    def _lose(self, count: int) -> None:
        self.damaged += count
        if count:
            self._lost.hit()

    def _cut(self, data: bytes, start: int, place: int, stop: int) -> int:
        """Make frames of the samples that lie whole between `place` and `stop`, places in `data` inside media data.

        Returns the place from which on bytes are still needed, and sets `_need`.
        """
        low, high = start + place, start + stop
        first, need = high, self._end or inf
        used = 0
        for index, lane in enumerate(self._lanes):
            while lane.fill():
                at = lane.at
                if lane.offsets[at] < low:
                    lane.at = bisect_left(lane.offsets, low, at)
                    self._lose(lane.at - at)
                    continue
                if lane.ends[at] > high:
                    if lane.offsets[at] < high:
                        first = min(first, lane.offsets[at])
                    need = min(need, lane.ends[at])
                    break
                lane.at = after = bisect_right(lane.ends, high, at)
                self._wait(index, lane.cut(data, start, at, after))
            used += lane.bytes
        if used > SHARED * high + SLACK_BYTES:
            raise ParseError("MP4: the same bytes are used over and over")
        self._need = int(need - first) if need < inf else 1
        self._release()
        return first - start

    def _wait(self, index: int, frames: list[Frame]) -> None:
        timescale = self._lanes[index].timescale
        waiting, times = self._waiting[index]
        if self._wall_s is not None:
            for frame in frames:
                at_s = self._wall_s + frame.pts / timescale
                if 0 < at_s < MAX_UNIX_S:
                    frame.wallclock_s = at_s
        more = [frame.dts / timescale for frame in frames]
        if times and more and more[0] < times[-1]:
            # A fragment that goes back stays behind what came before it.
            more = list(accumulate(more, max, initial=times[-1]))[1:]
        waiting += frames
        times += more
        self._waiting_bytes += sum([len(frame.payload) for frame in frames])

    def _release(self, *, everything: bool = False) -> None:
        """Give out the frames that no earlier ones of other tracks can follow."""
        waiting = [times for _, times in self._waiting if times]
        if not waiting:
            return
        bound, whose = inf, 0
        silent: list[Lane] = []
        for index, lane in enumerate(self._lanes if not everything else ()):
            if lane.fill():
                time = lane.dts[lane.at] / lane.timescale
            elif lane.info.defaults is not None and lane not in self._given_up:
                time = lane.end_s + self._slack_s
                silent.append(lane)
            else:
                continue
            if time < bound:
                bound, whose = time, index
        span_s = max([times[-1] for times in waiting]) - min([times[0] for times in waiting])
        full = self._waiting_bytes > MAX_WAIT_BYTES or sum(map(len, waiting)) > MAX_WAIT_FRAMES
        if full or (silent and span_s > MAX_WAIT_S and self._slack_s):
            self._given_up.update(silent)
            bound = inf
        parts: list[tuple[list[Frame], list[float]]] = []
        for index, (frames, times) in enumerate(self._waiting):
            if bound == inf:
                parts.append((frames, times))
                self._waiting[index] = ([], [])
                continue
            ready = bisect_right(times, bound) if index <= whose else bisect_left(times, bound)
            parts.append((frames[:ready], times[:ready]))
            del frames[:ready], times[:ready]
        frames = in_decoding_order(parts)
        if not frames:
            return
        self._waiting_bytes -= sum([len(frame.payload) for frame in frames])
        events = self._announcer.events(frames)
        if events and self._metadata:
            # Behind the tracks, before the frames of its segment.
            events[1 if isinstance(events[0], Tracks) else 0 : 0] = self._metadata
            self._metadata = []
        self._out += events
