"""Frames of one or several inputs to segments and manifests. Frames and time in, ordered file operations out; no I/O.

Each input is a `Lane`: its tracks are cut into pieces at common instants, and every piece becomes one segment of each
of the input's renditions, or a gap where a track was silent. Manifests follow the segments: after each piece while
live, at the end for on-demand.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from evotools.packaging import dash, hls
from evotools.packaging.align import Alignment, Mismatch
from evotools.packaging.cutter import Piece
from evotools.packaging.files import (
    DASH_NAME,
    HLS_NAME,
    PLAYLIST_NAME,
    STATE_NAME,
    Operation,
    Remove,
    Role,
    Write,
    init_name,
    segment_name,
)
from evotools.packaging.lane import Key, Lane, Out, first_picture_s, sound
from evotools.packaging.presentation import MediaSegment, Period, Presentation, Rendition, Type
from evotools.packaging.retention import Retention
from evotools.packaging.state import State, encode
from evotools.packaging.writers import TS_ORIGIN_S, TS_SCALE, refusal, writer_for, written_scale

SAME_CLOCK_S = 10.0
"""Inputs that begin within this of each other are taken to share one clock; others to begin together."""
SOON_SEGMENTS = 3
"""Live manifests wait for every input, but no longer than until one has so many segments."""
MATCH_S = 0.001
"""Boundaries closer than this are the same one; a track that begins so little after one is not late."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked for."""

    type: Type
    container: Literal["ts", "fmp4"] = "fmp4"
    target_s: float = 6.0
    window_s: float | None = None
    hls: bool = True
    dash: bool = True
    endlist: bool = True
    """Say at the end of a live or event presentation that nothing follows. An on-demand one always does."""
    live: bool = True
    """Media arrives by the wall clock; inputs do not wait for each other."""


@dataclass(slots=True)
class _Break:
    """An instant behind which nothing follows from what was before, in all renditions."""

    time_s: float
    """On the presentation's clock."""
    period: int


@dataclass(slots=True)
class _Piece:
    """An on-demand piece from before the common start is known."""

    lane: Lane
    piece: Piece
    lists: Sequence[Sequence[Frame]]
    following: Sequence[Sequence[Frame]] | None


class Packager:
    """The whole presentation. Feed its inputs by number; `take` gives what is to be written since the last call."""

    def __init__(self, settings: Settings, names: Sequence[str]) -> None:
        """`names` of the inputs, for messages."""
        self.settings = settings
        self.notices: list[str] = []
        """Sentences for the log; the caller empties it."""
        self.mismatches: list[tuple[str, Mismatch]] = []
        """The first of each input, with its name; the caller empties it."""
        self.alignment = Alignment()
        self.presentation = Presentation(
            settings.type, settings.container, target_s=settings.target_s, window_s=settings.window_s
        )
        self.lanes = [
            Lane(self, number, name, target_s=settings.target_s, live=settings.live)
            for number, name in enumerate(names)
        ]
        self.kept: dict[Key, Rendition] = {}
        """Renditions of earlier runs not taken up yet."""
        self.breaks_before = 0
        """Discontinuities of earlier runs."""
        self.retention = Retention(settings.window_s if settings.type == "live" else None)
        self._operations: list[Operation] = []
        self._breaks: list[_Break] = []
        self._waiting: list[_Piece] | None = [] if settings.type == "vod" else None
        """None once the common start is known."""
        self._origin_s: float | None = None
        """Media time from which multiples of the target duration count."""
        self._offset_s: float | None = None
        """Presentation time minus media time as written; None before the first piece."""
        self._shown = False
        """The manifests were written once."""
        self._written: dict[str, bytes] = {}
        """Manifests as they stand in the folder."""
        self.end_before_s = 0.0
        """Where earlier runs ended, on the presentation's clock."""
        self._ids: set[str] = set()
        self._seen: set[int] = set()
        """Inputs whose first mismatch was told."""

    # What the caller does.

    def resume(self, state: State) -> None:
        """Go on with what an earlier run left; before anything else. The caller saw to it that the types agree."""
        before = state.presentation
        presentation = self.presentation
        presentation.availability_start_unix_s = before.availability_start_unix_s
        presentation.periods = before.periods
        presentation.renditions = [r for r in before.renditions if r.segments]
        clock = {p.index: p.start_s - p.media_start_s for p in before.periods}
        for rendition in before.renditions:
            self.kept[state.keys[rendition.id]] = rendition
            if rendition.segments:
                last = rendition.segments[-1]
                end_s = (last.time + last.duration) / rendition.timescale + clock.get(last.period, 0.0)
                self.end_before_s = max(self.end_before_s, end_s)
        for lane in self.lanes:
            lane.next_number = state.next_numbers.get(lane.number, 0)
        self.breaks_before = state.breaks
        self.retention.keep(state.late)
        self._ids.update(state.folders)

    def start(self, number: int, tracks: Sequence[Track], now_s: float) -> None:
        """Input `number` begins an epoch of these tracks at wall time `now_s`."""
        lane = self.lanes[number]
        lane.now_s = now_s
        if lane.waiting:
            self._flow(now_s, force=True)
        if lane.begin(tracks) and lane.flows:
            lane.assign(self._outs(lane))

    def push(self, number: int, frames: Sequence[Frame], now_s: float) -> None:
        """Frames of the current tracks of input `number`, in stream order."""
        if not frames:
            return
        lane = self.lanes[number]
        lane.now_s = now_s
        lane.push(frames, now_s)
        if not lane.flows:
            self._flow(now_s)

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
        self._flow(now_s)
        lane.finish()
        self._tell(self.alignment.finish(number))
        self._release()

    def finish(self, now_s: float) -> None:
        """The end of the presentation."""
        for lane in self.lanes:
            self.end(lane.number, now_s)
        presentation = self.presentation
        presentation.ended = presentation.type == "vod" or self.settings.endlist
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
        self._operations = []
        self._written.clear()
        if presentation.renditions:
            self._manifests(now_s)
        return self.take()

    def take(self) -> list[Operation]:
        """File operations due by now, in order."""
        operations, self._operations = self._operations, []
        return operations

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

    def _flow(self, now_s: float, *, force: bool = False) -> None:
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
            if abs(start_s - self._origin_s) <= SAME_CLOCK_S or len(self.lanes) == 1:
                lane.grid.origin_s = self._origin_s
            else:
                self._match_clock(lane, start_s)
            lane.assign(self._outs(lane))
        if self.alignment.reference is None:
            self.alignment.reference = next((lane.number for lane in ready if lane.has_video), None)
        for lane in ready:
            lane.flow(now_s)

    def _match_clock(self, lane: Lane, start_s: float) -> None:
        """An input whose clock has nothing to do with the first one's begins when it arrives, or with the others."""
        assert self._origin_s is not None
        at_s = self._origin_s
        if self.settings.live:
            at_s = max((o.newest_s + float(o.shift_s) for o in self.lanes if o.flows), default=at_s)
        lane.shift_s = Fraction(at_s - start_s).limit_denominator(TS_SCALE)
        lane.grid.origin_s = self._origin_s - float(lane.shift_s)
        self.notices.append(
            f"{lane.name}: its clock begins at {start_s:.3f} s, that of another input at {self._origin_s:.3f} s; "
            f"taken to be the same instant as {at_s:.3f} s there"
        )

    def _outs(self, lane: Lane) -> list[Out]:
        """What the tracks of a lane's new epoch are written to; renditions without a track get gaps from now on."""
        old = {out.key: out for out in lane.outs}
        outs: list[Out] = []
        counts: dict[Kind, int] = {}
        for tracks in self._groups(lane):
            kind = tracks[0].kind
            ordinal = counts.get(kind, 0)
            counts[kind] = ordinal + 1
            key = Key(lane.number, kind, ordinal)
            before = old.pop(key, None)
            rendition = before.rendition if before is not None else self.kept.pop(key, None)
            if rendition is None:
                rendition = self._new_rendition(kind, tracks, lane.number)
            outs.append(Out(key, rendition, tracks, writer_for(self.settings.container, rendition.timescale)))
        gone = {key: out.rendition for key, out in old.items()}
        # What earlier runs had of inputs that there are no more goes to the first one.
        for key in [k for k in self.kept if k.number == lane.number or k.number >= len(self.lanes)]:
            gone[key] = self.kept.pop(key)
        return outs + [Out(key, rendition, (), None) for key, rendition in gone.items()]

    def _groups(self, lane: Lane) -> list[tuple[Track, ...]]:
        """Tracks by rendition: one each in fMP4; in MPEG-TS the first sound goes with each picture.

        Sound that another input has too is packaged once.
        """
        videos = [t for t in lane.tracks if t.kind is Kind.VIDEO]
        audios = [t for t in lane.tracks if t.kind is Kind.AUDIO]
        groups: list[tuple[Track, ...]]
        if self.settings.container == "ts" and videos:
            groups = [(video, *audios[:1]) for video in videos]
            audios = audios[1:]
        else:
            groups = [(video,) for video in videos]
        heard = {
            sound(t) for other in self.lanes if other is not lane for out in other.outs for t in out.tracks
            if t.kind is Kind.AUDIO
        }  # fmt: skip
        return groups + [(audio,) for audio in audios if sound(audio) not in heard]

    def _new_rendition(self, kind: Kind, tracks: tuple[Track, ...], number: int) -> Rendition:
        letter = "v" if kind is Kind.VIDEO else "a"
        at = 0
        while f"{letter}{at}" in self._ids:
            at += 1
        self._ids.add(f"{letter}{at}")
        scale = written_scale(tracks[0], self.settings.container)
        return Rendition(f"{letter}{at}", kind, tracks, scale, number_of_input=number)

    # Pieces.

    def on_piece(
        self, lane: Lane, piece: Piece, lists: Sequence[Sequence[Frame]], following: Sequence[Sequence[Frame]] | None
    ) -> None:
        """Called by a lane when a piece is complete."""
        if self._waiting is None:
            self._piece(lane, piece, lists, following)
        else:
            self._waiting.append(_Piece(lane, piece, lists, following))
            self._release()

    def _release(self) -> None:
        """Write the first on-demand pieces as soon as every input has one: the earliest frame of all becomes 0."""
        waiting = self._waiting
        if waiting is None or any(not (o.done or any(w.lane is o for w in waiting)) for o in self.lanes):
            return
        self._waiting = None
        earliest = min((_earliest(w.lists) + w.lane.shift_s for w in waiting), default=Fraction(0))
        for lane in self.lanes:
            lane.shift_s -= earliest
        for w in sorted(waiting, key=lambda w: w.piece.start_s + w.lane.shift_s):
            self._piece(w.lane, w.piece, w.lists, w.following)

    def _piece(
        self, lane: Lane, piece: Piece, lists: Sequence[Sequence[Frame]], following: Sequence[Sequence[Frame]] | None
    ) -> None:
        if self._offset_s is None:
            self._begin(lane, piece, lists)
        assert self._offset_s is not None
        shift_s = float(lane.shift_s)
        start_s, end_s = piece.start_s + shift_s, piece.end_s + shift_s
        flagged = self._pass_breaks(lane, piece, start_s + self._offset_s)
        if not lane.next_number:
            lane.next_number = self._first_number(start_s)
        number = lane.next_number
        lane.next_number += 1
        period = self._breaks[lane.breaks - 1].period if lane.breaks else self.presentation.periods[0].index
        unix_s = self.presentation.availability_start_unix_s + start_s + self._offset_s
        for index, out in enumerate(lane.outs):
            frames = lists[index] if index < len(lists) else ()
            rendition = out.rendition
            scale = rendition.timescale
            time = round(start_s * scale)
            segment = MediaSegment(
                segment_name(number, self.settings.container), number, period, time,
                max(round(end_s * scale) - time, 1), 0, 0.0 if self.settings.type == "vod" else unix_s,
                discontinuity=flagged, gap=True,
            )  # fmt: skip
            if frames and out.writer is not None:
                more = following[index] if following is not None and index < len(following) else ()
                self._write(out, segment, frames, end_s, more[0] if more else None, lane, last=following is None)
                segment.independent = piece.independent
                self._show(out, lane, number, flagged)
            elif not self._shows(rendition):
                continue
            segment.init = segment.init or out.init
            rendition.segments.append(segment)
        if lane.has_video:
            self._tell(self.alignment.note(lane.number, start_s, lane.half_frame_s))
        gone = self.retention.slide(self.presentation)
        if self.settings.type != "vod" and self._ready():
            self._manifests(lane.now_s)
        self._operations += [Remove(path) for path in gone]

    def _begin(self, lane: Lane, piece: Piece, lists: Sequence[Sequence[Frame]]) -> None:
        """The first piece of this run: where the presentation's clock stands."""
        presentation = self.presentation
        if self.settings.type == "vod":
            presentation.periods.append(Period(0, 0.0, 0.0))
            self._offset_s = 0.0
            return
        earliest = _earliest(lists) + lane.shift_s
        if earliest < 0:
            # Decode times in fragments are unsigned (ISO/IEC 14496-12 8.8.12).
            for other in self.lanes:
                other.shift_s -= earliest
        media_s = piece.start_s + float(lane.shift_s)
        if not presentation.periods:
            presentation.availability_start_unix_s = piece.start_unix_s
            presentation.periods.append(Period(0, 0.0, media_s))
            self._offset_s = -media_s
            return
        # A clock that was set back must not make two segments claim the same time.
        start_s = max(piece.start_unix_s - presentation.availability_start_unix_s, self.end_before_s)
        index = presentation.periods[-1].index + 1
        presentation.periods.append(Period(index, start_s, media_s))
        self._breaks.append(_Break(float("-inf"), index))
        self._offset_s = start_s - media_s

    def _pass_breaks(self, lane: Lane, piece: Piece, at_s: float) -> bool:
        """Whether this piece of `lane`, at presentation time `at_s`, is the first behind a break."""
        assert self._offset_s is not None
        known = len(self._breaks)
        if not lane.pieces and not any(self._shows(out.rendition) for out in lane.outs):
            # Nothing came before it.
            lane.breaks = known
            return False
        own = piece.discontinuity or lane.changed
        if own and (lane.changed or lane.breaks == known):
            period = self.presentation.periods[-1]
            if lane.changed:
                period = Period(period.index + 1, at_s, at_s - self._offset_s)
                self.presentation.periods.append(period)
            self._breaks.append(_Break(at_s, period.index))
            lane.changed = False
            lane.breaks = known + 1
            return True
        passed = lane.breaks
        # A break of its own soon after another input's is the same one.
        while lane.breaks < known and (own or self._breaks[lane.breaks].time_s <= at_s + MATCH_S):
            lane.breaks += 1
        return lane.breaks > passed

    def _first_number(self, start_s: float) -> int:
        """Where an input that begins at `start_s` stands in the count of the others."""
        for lane in self.lanes:
            for out in lane.outs:
                if lane.next_number and self._shows(out.rendition):
                    for segment in reversed(out.rendition.segments):
                        if segment.time / out.rendition.timescale <= start_s + lane.half_frame_s:
                            inside = (segment.time + segment.duration) / out.rendition.timescale
                            return segment.number if start_s + lane.half_frame_s < inside else segment.number + 1
                    return lane.next_number
        return 1

    def _write(
        self, out: Out, segment: MediaSegment, frames: Sequence[Frame], end_s: float, following: Frame | None,
        lane: Lane, *, last: bool,
    ) -> None:  # fmt: skip
        """Make the file of a segment, and before the first of an epoch its initialisation segment."""
        rendition, writer = out.rendition, out.writer
        assert writer is not None
        if not out.begun:
            out.begun = True
            from_zero = self.settings.type == "vod" and self.settings.container == "ts"
            shift_s = lane.shift_s + (TS_ORIGIN_S if from_zero else 0)
            init = writer.begin(out.tracks, shift_s, frames[0].payload)
            rendition.tracks = writer.tracks
            if init:
                out.init = init_name(segment.number)
                self._state()
                self._add(f"{rendition.id}/{out.init}", [init], "init")
        start_s = segment.time / rendition.timescale
        made = writer.make(segment.number, frames, start_s, end_s, following, last=last)
        scale = rendition.timescale
        expected = segment.time
        if rendition.segments and not segment.discontinuity:
            before = rendition.segments[-1]
            expected = before.time + before.duration
        segment.time, segment.duration, segment.sap, segment.gap = made.time, made.duration, made.sap, False
        if made.time - expected > MATCH_S * scale:
            segment.lead = made.time - expected
        segment.size_bytes = sum(map(len, made.parts))
        duration_s = segment.duration / scale
        rendition.total_bytes += segment.size_bytes
        rendition.total_duration_s += duration_s
        rendition.target_duration = max(rendition.target_duration, int((segment.duration + segment.lead) / scale + 0.5))
        # A rate over a sliver says nothing; RFC 8216 4.3.4.2 also leaves out what is under half a target duration.
        if duration_s >= self.settings.target_s / 2 or not rendition.peak_bps:
            rendition.peak_bps = max(rendition.peak_bps, round(segment.size_bytes * 8 / max(duration_s, 0.1)))
        self._add(f"{rendition.id}/{segment.name}", made.parts, "segment", rendition=rendition.id,
                  number=segment.number, duration_s=round(duration_s, 6), bytes=segment.size_bytes)  # fmt: skip

    def _shows(self, rendition: Rendition) -> bool:
        return any(r is rendition for r in self.presentation.renditions)

    def _show(self, out: Out, lane: Lane, number: int, flagged: bool) -> None:
        """A rendition has its first media: it enters the manifests, with gaps for what it missed."""
        rendition, presentation = out.rendition, self.presentation
        if self._shows(rendition):
            return
        rendition.discontinuity_sequence = self.breaks_before + lane.breaks - flagged
        model = next((r for r in presentation.renditions if r.segments), None)
        if model is not None and presentation.type != "live":
            rendition.discontinuity_sequence = model.discontinuity_sequence
            for segment in model.segments:
                if segment.number < number:
                    rendition.segments.append(_gap(segment, model.timescale, rendition.timescale))
        presentation.renditions.append(rendition)
        presentation.renditions.sort(key=lambda r: (r.kind is not Kind.VIDEO, len(r.id), r.id))

    # Manifests.

    def _ready(self) -> bool:
        """Whether the manifests of a live presentation can be shown: players read the list of renditions once."""
        if self._shown:
            return True
        shown = {r.number_of_input for r in self.presentation.renditions}
        if all(lane.done or lane.number in shown for lane in self.lanes):
            return True
        return any(len(r.segments) >= SOON_SEGMENTS for r in self.presentation.renditions)

    def _manifests(self, now_s: float) -> None:
        """Write what changed: first the state, which a later run needs to go on, last what names everything else."""
        presentation = self.presentation
        self._shown = True
        self._state()
        if self.settings.hls:
            for rendition in presentation.renditions:
                playlist = hls.rendition_playlist(presentation, rendition)
                self._change(f"{rendition.id}/{PLAYLIST_NAME}", playlist, "playlist")
            self._change(HLS_NAME, hls.multivariant(presentation), "manifest", format="hls")
        if self.settings.dash:
            self._change(DASH_NAME, dash.mpd(presentation, now_s), "manifest", format="dash")

    def _state(self) -> None:
        keys = {out.rendition.id: out.key for lane in self.lanes for out in lane.outs}
        keys |= {rendition.id: key for key, rendition in self.kept.items()}
        state = State(
            self.presentation, keys, {lane.number: lane.next_number for lane in self.lanes},
            self.breaks_before + len(self._breaks), self.retention.late(), sorted(self._ids),
        )  # fmt: skip
        self._change(STATE_NAME, encode(state), "state")

    def _change(self, path: str, data: bytes, role: Role, **facts: Any) -> None:
        if self._written.get(path) != data:
            self._written[path] = data
            self._add(path, [data], role, **facts)

    def _add(self, path: str, parts: list[bytes], role: Role, **facts: Any) -> None:
        self._operations.append(Write(path, parts, role, facts))

    def _tell(self, mismatches: Sequence[Mismatch]) -> None:
        for mismatch in mismatches:
            if mismatch.number not in self._seen:
                self._seen.add(mismatch.number)
                self.mismatches.append((self.lanes[mismatch.number].name, mismatch))


def _earliest(lists: Sequence[Sequence[Frame]]) -> Fraction:
    """The earliest presentation time of a piece's frames."""
    times: dict[int, tuple[int, int]] = {}
    for frames in lists:
        for frame in frames:
            number, pts = frame.track.id, frame.pts
            found = times.get(number)
            if found is None or pts < found[0]:
                times[number] = (pts, frame.track.timescale)
    return min((Fraction(*found) for found in times.values()), default=Fraction(0))


def _gap(segment: MediaSegment, scale: int, wanted: int) -> MediaSegment:
    """An entry for a rendition that had nothing when another had `segment`."""
    time = round(segment.time * wanted / scale)
    end = round((segment.time + segment.duration) * wanted / scale)
    return replace(
        segment, time=time - round(segment.lead * wanted / scale), duration=max(end - time, 1), size_bytes=0, init="",
        gap=True, lead=0,
    )  # fmt: skip
