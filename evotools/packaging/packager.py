"""Frames of one or several inputs to segments and manifests. Frames and time in, ordered file operations out; no I/O.

Each input is a `Lane`: its tracks are cut into pieces at common instants, and every piece becomes one segment of each
of the input's renditions, or a gap where a track was silent. Manifests follow the segments: after each piece while
live, at the end for on-demand.
"""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from evotools.errors import MediaError
from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from evotools.packaging.align import Alignment, Mismatch
from evotools.packaging.cutter import Piece
from evotools.packaging.expiry import Expiry
from evotools.packaging.files import (
    STATE_NAME,
    Operation,
    segment_name,
)
from evotools.packaging.lane import Batch, Change, Lane, first_picture_s
from evotools.packaging.manifests import Manifests, Writes
from evotools.packaging.periods import MATCH_S, Periods
from evotools.packaging.presentation import MediaSegment, Presentation, Rendition, Type
from evotools.packaging.roster import Container, Key, Out, Roster
from evotools.packaging.segments import Segments
from evotools.packaging.state import State, encode
from evotools.packaging.writers import TS_SCALE, refusal

SAME_CLOCK_S = 10.0
"""Inputs that begin within this of each other are taken to share one clock; others to begin together."""
SOON_SEGMENTS = 3
"""Live manifests wait for every input, but no longer than until one has so many segments."""
SHORTER_S = 0.5
"""Inputs of the same film that end so far apart are worth a word."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked for."""

    type: Type
    container: Container = "fmp4"
    target_s: float = 6.0
    window_s: float | None = None
    hls: bool = True
    dash: bool = True
    endlist: bool = True
    """Say at the end of a live or event presentation that nothing follows. An on-demand one always does."""
    live: bool = True
    """Media arrives by the wall clock; inputs do not wait for each other."""


@dataclass(slots=True)
class _Waiting:
    """A piece of a stored input that waits for the others."""

    lane: Lane
    piece: Piece
    batch: Batch
    following: Batch | None


class Packager:
    """The whole presentation. Feed its inputs by number; `take` gives what is to be written since the last call."""

    def __init__(self, settings: Settings, names: Sequence[str]) -> None:
        """`names` of the inputs, for messages."""
        self.settings = settings
        self.notices: list[str] = []
        """Sentences for the log; the caller empties it."""
        self.mismatches: list[Mismatch] = []
        """Cuts that are not aligned, since the caller emptied it; `names` tells whose."""
        self.names = list(names)
        """Of the inputs, then of further video tracks in them."""
        self.alignment = Alignment()
        self.presentation = Presentation(
            settings.type, settings.container, target_s=settings.target_s, window_s=settings.window_s
        )
        self.lanes = [
            Lane(self, number, name, target_s=settings.target_s, live=settings.live)
            for number, name in enumerate(names)
        ]
        self._further: dict[Key, int] = {}
        """Numbers of further video tracks in `names`."""
        self._roster = Roster(settings.container)
        self._periods = Periods(self.presentation)
        self._expiry = Expiry(settings.window_s if settings.type == "live" else None)
        self._folders: set[str] = set()
        """Of earlier runs."""
        self._writes = Writes()
        self._manifest_writer = Manifests(
            self.presentation, self._writes, with_hls=settings.hls, with_dash=settings.dash
        )
        self._segments = Segments(self.presentation, self._periods, self._writes, self._state)
        self._waiting: list[deque[_Waiting]] = [deque() for _ in names]
        """Pieces of stored inputs: they are written in the order of their times, however they were read."""
        self._started = settings.type != "vod"
        """The common start of an on-demand presentation is known."""
        self._origin_s: float | None = None
        """Media time from which multiples of the target duration count."""
        self._shown = False
        """The manifests were written once."""

    # What the caller does.

    def resume(self, state: State) -> None:
        """Go on with what an earlier run left; before anything else. The caller saw to it that the types agree."""
        before, presentation = state.presentation, self.presentation
        presentation.availability_start_unix_s = before.availability_start_unix_s
        presentation.periods = before.periods
        presentation.renditions = [r for r in before.renditions if r.segments]
        clock = {p.index: p.start_s - p.media_start_s for p in before.periods}
        for rendition in before.renditions:
            self._roster.kept[state.keys[rendition.id]] = rendition
            if rendition.segments:
                last = rendition.segments[-1]
                end_s = last.end / rendition.timescale + clock.get(last.period, 0.0)
                self._periods.before_end_s = max(self._periods.before_end_s, end_s)
        for lane in self.lanes:
            lane.next_number = state.next_numbers.get(lane.number, 0)
        # Folders without a rendition were left when nothing was complete: their names are free.
        self._roster.ids.update(state.keys)
        self._folders.update(state.folders)
        self._periods.before = state.breaks
        self._expiry.keep(state.late)

    def start(self, number: int, tracks: Sequence[Track], now_s: float) -> None:
        """Input `number` begins an epoch of these tracks at wall time `now_s`."""
        lane = self.lanes[number]
        if lane.waiting:
            self._flow(force=True)
        lane.start(tracks, now_s)

    def push(self, number: int, frames: Sequence[Frame], now_s: float) -> None:
        """Frames of the current tracks of input `number`, in stream order."""
        if not frames:
            return
        lane = self.lanes[number]
        lane.push(frames, now_s)
        if not lane.flows:
            self._flow()

    def discontinuity(self, number: int) -> None:
        """The next frames of input `number` do not follow from its last ones."""
        self.lanes[number].discontinuity()

    def end(self, number: int, now_s: float) -> None:
        """Nothing more comes from input `number`."""
        lane = self.lanes[number]
        if lane.done:
            return
        lane.now_s = now_s
        lane.done = True
        self._flow()
        lane.finish()
        self._release()

    def finish(self, now_s: float) -> None:
        """The end of the presentation."""
        for lane in self.lanes:
            self.end(lane.number, now_s)
        presentation = self.presentation
        presentation.ended = presentation.type == "vod" or self.settings.endlist
        self._compare_ends()
        if any(r.segments for r in presentation.renditions):
            self._manifests(now_s)

    def rescue(self, lost: Collection[str], now_s: float) -> list[Operation]:
        """Writing failed and `lost` files are not there: the operations that make manifests of the rest."""
        presentation = self.presentation
        for rendition in presentation.renditions:
            segments = rendition.segments
            while segments and (segments[-1].gap or f"{rendition.id}/{segments[-1].name}" in lost):
                segments.pop()
        presentation.renditions = [r for r in presentation.renditions if r.segments]
        presentation.ended = True
        self._writes.forget()
        if presentation.renditions:
            self._manifests(now_s)
        return self.take()

    def take(self) -> list[Operation]:
        """File operations due by now, in order."""
        return self._writes.take()

    def ahead_s(self, number: int) -> float:
        """How far input `number` is ahead of the slowest one; infinite while others have not begun."""
        lane = self.lanes[number]
        others = [other for other in self.lanes if other is not lane and not other.done]
        if not others or lane.first_s is None:
            return 0.0
        own = lane.newest_s - lane.first_s
        return max(
            float("inf") if other.first_s is None else own - (other.newest_s - other.first_s) for other in others
        )

    def refusal(self, track: Track) -> str:
        """Why `track` cannot be packaged; empty when it can."""
        return refusal(track, self.settings.container)

    # Beginnings.

    def _flow(self, *, force: bool = False) -> None:
        """Let inputs flow: live ones at once; stored ones together, so that their cuts have one origin."""
        if not self.settings.live and not force and any(not (o.done or o.flows or o.waiting) for o in self.lanes):
            return
        ready = [lane for lane in self.lanes if lane.waiting and not lane.flows]
        starts = {lane.number: first_picture_s(lane.waiting) for lane in ready}
        if not starts:
            return
        if self._origin_s is None:
            first_s = starts[ready[0].number]
            self._origin_s = min(s for s in starts.values() if abs(s - first_s) <= SAME_CLOCK_S)
        for lane in ready:
            start_s = starts[lane.number]
            lane.grid.origin_s = self._origin_s
            if abs(start_s - self._origin_s) > SAME_CLOCK_S and len(self.lanes) > 1:
                self._match_clock(lane, start_s)
            lane.adopt(lane.announced)
        if self.alignment.reference is None:
            self.alignment.reference = next((lane.number for lane in ready if lane.has_video), None)
        for lane in ready:
            lane.flow()

    def _match_clock(self, lane: Lane, start_s: float) -> None:
        """An input whose clock has nothing to do with the first one's begins when it arrives, or with the others."""
        assert self._origin_s is not None
        at_s = self._origin_s
        if self.settings.live:
            at_s = max((o.newest_s + float(o.shift_s) for o in self.lanes if o.flows), default=at_s)
        if abs(start_s - at_s) <= SAME_CLOCK_S:
            return
        lane.shift_s = Fraction(at_s - start_s).limit_denominator(TS_SCALE)
        lane.grid.origin_s = self._origin_s - float(lane.shift_s)
        self.notices.append(
            f"{lane.name}: its clock shows {start_s:.3f} s where another input's shows {at_s:.3f} s; this is taken to "
            "be the same instant"
        )

    def on_tracks(self, lane: Lane, tracks: tuple[Track, ...]) -> list[Out]:
        """Called by a lane whose tracks change."""
        elsewhere = (out for other in self.lanes if other is not lane for out in other.outs)
        return self._roster.assign(lane.number, tracks, lane.outs, elsewhere, last_input=len(self.lanes) - 1)

    # Pieces.

    def on_piece(self, lane: Lane, piece: Piece, batch: Batch, following: Batch | None) -> None:
        """Called by a lane when a piece is complete."""
        if self.settings.live or (len(self.lanes) == 1 and self._started):
            self._piece(lane, piece, batch, following)
        else:
            self._waiting[lane.number].append(_Waiting(lane, piece, batch, following))
            self._release()

    def _release(self) -> None:
        """Write the pieces that no other input has an earlier one to come for."""
        waiting = self._waiting
        for queue, lane in zip(waiting, self.lanes, strict=True):
            if lane.done and not queue:
                self._finish_alignment(lane)
        while all(queue or lane.done for queue, lane in zip(waiting, self.lanes, strict=True)):
            first = [queue[0] for queue in waiting if queue]
            if not first:
                return
            if not self._started:
                # The earliest frame of all becomes 0.
                self._started = True
                earliest = min(self._floor(w.batch) + w.lane.shift_s for w in first)
                for lane in self.lanes:
                    lane.shift_s -= earliest
            w = min(first, key=lambda w: w.piece.start_s + w.lane.shift_s)
            waiting[w.lane.number].popleft()
            self._piece(w.lane, w.piece, w.batch, w.following)
            if w.lane.done and not waiting[w.lane.number]:
                self._finish_alignment(w.lane)

    def _piece(self, lane: Lane, piece: Piece, batch: Batch, following: Batch | None) -> None:
        periods, presentation = self._periods, self.presentation
        if periods.offset_s is None:
            self._begin(lane, piece, batch)
            assert periods.offset_s is not None
        if not lane.written:
            # Decode times in fragments are unsigned (ISO/IEC 14496-12 8.8.12).
            lane.shift_s = max(lane.shift_s, -self._floor(batch, piece.start_s))
        shift_s = float(lane.shift_s)
        start_s, end_s = piece.start_s + shift_s, piece.end_s + shift_s
        fresh = piece.discontinuity or batch.change is Change.MEDIA
        if fresh or not lane.written:
            # The cutter knows tracks that are left out, and not what comes later in the interleave.
            start_s = float(_earliest(batch, default=start_s - shift_s)) + shift_s
        flagged = self._pass_breaks(lane, batch, start_s + periods.offset_s, fresh=fresh)
        several = len(self.lanes) > 1 and presentation.type != "vod"
        if not lane.next_number:
            lane.next_number = self._number_at(start_s, lane) or 1
        elif several:
            self._catch_up(lane, start_s)
        number = lane.next_number
        lane.next_number += 1
        unix_s = 0.0
        if presentation.type != "vod":
            unix_s = presentation.availability_start_unix_s + start_s + periods.offset_s
        period = periods.period_after(lane.breaks)
        for out, frames in zip(batch.outs, batch.lists, strict=True):
            rendition = out.rendition
            scale = rendition.timescale
            time = round(start_s * scale)
            segment = MediaSegment(
                segment_name(number, self.settings.container), number, period, time,
                max(round(end_s * scale) - time, 1), 0, unix_s, discontinuity=flagged, gap=True,
            )  # fmt: skip
            if frames and out.writer is not None:
                if piece.discontinuity and out.begun:
                    out.writer.restart()
                try:
                    made = self._segments.make(out, segment, frames, lane, end_s, following)
                except MediaError as error:
                    self._leave_out(out, lane, error)
                else:
                    picture = next((f for f in frames if f.track.kind is Kind.VIDEO), None)
                    segment.independent = picture is None or picture.key
                    self._segments.show(rendition, lane, segment)
                    self._segments.fill(rendition, segment, made)
                    if picture is not None:
                        self._align(lane, out, picture, cut=bool(lane.written) and not fresh)
            if not self._shows(rendition):
                continue
            segment.init = segment.init or out.init
            rendition.segments.append(segment)
        lane.written += 1
        if several:
            self._pad_ended(lane)
        gone = self._expiry.slide(presentation)
        if presentation.type != "vod" and self._ready():
            self._manifests(lane.now_s)
        for path in gone:
            self._writes.remove(path)

    def _finish_alignment(self, lane: Lane) -> None:
        for number in [lane.number, *(n for key, n in self._further.items() if key.number == lane.number)]:
            self.mismatches += self.alignment.finish(number)

    def _align(self, lane: Lane, out: Out, first: Frame, *, cut: bool) -> None:
        """Compare where a video rendition is cut with where the others are."""
        number = lane.number
        if out.key.ordinal:
            number = self._further.setdefault(out.key, len(self.names))
            if number == len(self.names):
                self.names.append(f"{lane.name}: {first.track.describe()}")
        at_s = first.pts / first.track.timescale + float(lane.shift_s)
        if self.presentation.type == "vod":
            at_s += self._periods.offset_s or 0.0
        self.mismatches += self.alignment.note(number, at_s, lane.half_frame_s, cut=cut)

    def _begin(self, lane: Lane, piece: Piece, batch: Batch) -> None:
        """The first piece of this run."""
        begin_s = self._floor(batch, piece.start_s) + lane.shift_s
        if begin_s < 0 or not self._started:
            self._started = True
            for other in self.lanes:
                other.shift_s -= begin_s
        start_s = float(_earliest(batch, piece.start_s) + lane.shift_s)
        self._periods.begin(start_s, piece.start_unix_s + start_s - piece.start_s - float(lane.shift_s))

    def _floor(self, batch: Batch, default: float = 0.0) -> Fraction:
        """The earliest time of a piece that has to be written: where pictures are reordered, fragments begin with
        decode times before the first picture is shown."""
        return _earliest(batch, default, decode=self.settings.container == "fmp4")

    def _pass_breaks(self, lane: Lane, batch: Batch, at_s: float, *, fresh: bool) -> bool:
        """Whether the piece of `lane` at presentation time `at_s` follows a discontinuity, its own (`fresh`) or one of
        another input; notes what the piece breaks for all."""
        periods = self._periods
        known = len(periods.breaks)
        passed = lane.breaks
        if not lane.written and not any(self._shows(out.rendition) for out in batch.outs):
            # Nothing came before it.
            passed = lane.breaks = known
        elif batch.change is not Change.NONE or (fresh and lane.breaks == known):
            # In MPEG-TS a new program map is a new encoding.
            fresh = fresh or self.settings.container == "ts"
            periods.add(at_s, period=batch.change is not Change.NONE, discontinuity=fresh)
            lane.breaks = known + 1
        else:
            # A break of its own soon after another input's is the same one.
            while lane.breaks < known and (fresh or periods.breaks[lane.breaks].time_s <= at_s + MATCH_S):
                lane.breaks += 1
        lane.discontinuities = periods.discontinuities(lane.breaks)
        return lane.discontinuities > periods.discontinuities(passed)

    def _number_at(self, start_s: float, lane: Lane) -> int:
        """Where the other inputs stand in their count at `start_s`; 0 when there are none yet."""
        for other in self.lanes:
            model = self._model(other)
            if other is lane or model is None:
                continue
            at_s = start_s + other.half_frame_s
            number = other.next_number
            for segment in reversed(model.segments):
                if at_s >= segment.end / model.timescale:
                    break
                number = segment.number
            return number
        return 0

    def _model(self, lane: Lane) -> Rendition | None:
        """The first rendition of an input that is shown."""
        return next((o.rendition for o in lane.outs if o.rendition.segments), None)

    def _catch_up(self, lane: Lane, start_s: float) -> None:
        """An input that was away gets gaps for that time, so that its numbers stay those of the others."""
        own = self._model(lane)
        if own is None:
            return
        last = own.segments[-1]
        if start_s - last.end / own.timescale <= self.settings.target_s:
            return
        number = self._number_at(start_s, lane)
        if number > lane.next_number:
            model = next(m for o in self.lanes if o is not lane and (m := self._model(o)) is not None)
            self._pad(lane, model, number)

    def _pad_ended(self, lane: Lane) -> None:
        """Inputs that have ended get gaps while others go on: players leave them for another."""
        model = self._model(lane)
        if model is None or next((o for o in self.lanes if not o.done), None) is not lane:
            return
        for other in self.lanes:
            if other.done and other.written and other.next_number < lane.next_number:
                self._pad(other, model, lane.next_number)

    def _pad(self, lane: Lane, model: Rendition, number: int) -> None:
        for out in lane.outs:
            if out.rendition.segments:
                self._segments.pad(out.rendition, model, number)
        lane.next_number = number

    def _leave_out(self, out: Out, lane: Lane, error: MediaError) -> None:
        """What cannot be written after all costs one rendition. Raises `error` when it was the last one."""
        out.writer = None
        if not any(o.writer is not None for other in self.lanes for o in other.outs):
            raise error
        self.notices.append(f"{lane.name}: {out.tracks[0].describe()} is left out from here on: {error}")

    def _shows(self, rendition: Rendition) -> bool:
        return any(r is rendition for r in self.presentation.renditions)

    def _compare_ends(self) -> None:
        """Say when inputs of the same film are not equally long."""
        ends = [(lane.end_s + float(lane.shift_s), lane) for lane in self.lanes if lane.pieces and lane.has_video]
        if self.settings.live or len(ends) < 2:
            return
        longest_s, longest = max(ends, key=lambda end: end[0])
        for end_s, lane in ends:
            if longest_s - end_s > SHORTER_S:
                self.notices.append(f"{lane.name}: ends {longest_s - end_s:.3f} s before {longest.name}")

    # Manifests.

    def _ready(self) -> bool:
        """Whether the manifests of a live presentation can be shown: players read the list of renditions once."""
        if self._shown:
            return True
        begun = {lane.number for lane in self.lanes if lane.done or any(o.begun for o in lane.outs)}
        if len(begun) == len(self.lanes):
            return True
        return any(len(r.segments) >= SOON_SEGMENTS for r in self.presentation.renditions)

    def _manifests(self, now_s: float) -> None:
        """First the state, which a later run needs to go on, last what names everything else."""
        self._shown = True
        self._state()
        self._manifest_writer.write(now_s)

    def _state(self) -> None:
        keys = {out.rendition.id: out.key for lane in self.lanes for out in lane.outs}
        keys |= {rendition.id: key for key, rendition in self._roster.kept.items()}
        state = State(
            self.presentation, keys, {lane.number: lane.next_number for lane in self.lanes if lane.next_number},
            self._periods.total, self._expiry.late(), sorted(self._roster.ids | self._folders),
        )  # fmt: skip
        self._writes.change(STATE_NAME, encode(state), "state")


def _earliest(batch: Batch, default: float = 0.0, *, decode: bool = False) -> Fraction:
    """The earliest presentation time of a piece's frames, or the earliest decode time."""
    times: dict[int, tuple[int, int]] = {}
    for frame in _frames(batch):
        number, time = frame.track.id, frame.dts if decode else frame.pts
        found = times.get(number)
        if found is None or time < found[0]:
            times[number] = (time, frame.track.timescale)
    return min((Fraction(*found) for found in times.values()), default=Fraction(default))


def _frames(batch: Batch) -> Iterable[Frame]:
    return (frame for frames in batch.lists for frame in frames)
