"""Divides interleaved tracks into pieces at common instants. Frames and time in, runs of frames out; no I/O, no clock.

The reference track (the first video, else the first audio) sets the boundaries, at key frames, when a `Rule` says so.
Every other track changes over at its first frame that begins at or after the boundary, so a piece holds of each track
what is presented in it. Frames of other tracks that run ahead of the reference wait for it, boundedly. No frame is
left out, save those that nothing could be decoded from at the very beginning; `skipped` counts them.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from evotools.media.frame import Frame
from evotools.media.track import Kind, Track

MAX_AHEAD_S = 4.0
"""How long other tracks wait for a silent reference; then they go on for themselves until it speaks again."""
MAX_AHEAD_FRAMES = 10_000
"""The same in frames, for floods without time."""
MAX_AHEAD_BYTES = 64 * 2**20
"""The same in bytes: 4 s at 128 Mbit/s."""
SILENT_S = 2.0
"""A reference that is so far behind the other tracks does not speak: they may cut without it."""
LATE_S = 2.0
"""How long a piece stays open behind its boundary for tracks that come later in the interleave."""
FIRST_KEY_S = 20.0
"""How long sound from before the first key frame is left out for; then it goes on alone."""
MAX_CHANGE_S = 20.0
"""How long frames of a new track wait for the next key frame of the reference."""
NEAR_S = 0.005
"""A frame so little before a boundary begins at it: clocks of milliseconds and of 90 kHz round differently."""


class Rule(Protocol):
    """When the next piece is due. One instance serves one cutter."""

    def begin(self, start_s: float, unix_s: float) -> None:
        """A piece begins at presentation time `start_s`, wall time `unix_s`."""
        ...

    def due(self, at_s: float, unix_s: float, size_bytes: int) -> bool:
        """Whether a key frame at `at_s` begins a new piece; `size_bytes` of payload are in the current one."""
        ...


class Piece:
    """One span of the stream between two boundaries."""

    __slots__ = ("discontinuity", "end_s", "independent", "index", "size_bytes", "start_s", "start_unix_s", "tracks")

    def __init__(
        self,
        index: int,
        start_s: float,
        start_unix_s: float,
        *,
        independent: bool,
        discontinuity: bool,
        tracks: tuple[Track, ...] = (),
    ) -> None:
        self.index = index
        """Counts from 0, over epochs too."""
        self.start_s = start_s
        """Presentation time of the boundary at its begin."""
        self.start_unix_s = start_unix_s
        self.end_s = start_s
        """The next boundary; at a break the end of the last frame. Final once the piece is done."""
        self.independent = independent
        """Its reference track begins with a key frame. Final with its first frame of that track."""
        self.discontinuity = discontinuity
        """It does not follow from the piece before."""
        self.tracks = tracks
        """The tracks of its epoch."""
        self.size_bytes = 0
        """Payload so far."""

    def __repr__(self) -> str:
        return f"Piece({self.index} {self.start_s:.3f}–{self.end_s:.3f})"


Run = tuple[Piece, list[Frame], bool]
"""Frames of one piece, in stream order, and whether the piece is complete with them. Runs of two pieces alternate while
tracks change over; pieces are completed in order."""


class Cutter:
    """One stream, or one of several inputs that are cut alike."""

    def __init__(
        self,
        rule: Rule,
        *,
        max_s: float | None = None,
        live: bool = True,
        silent_s: float = SILENT_S,
        keep_early: bool = False,
        first_key_s: float | None = None,
        capture_times: bool = True,
    ) -> None:
        """`max_s`: cut even without a key frame after so long; None never does. `live`: wall times follow the arrival
        of frames (else the media clock since the first call). `silent_s`: how far the reference falls behind before
        other tracks cut without it. `keep_early`: what other tracks have from before the first key frame is kept.
        `first_key_s`: begin without a key frame after so long; None waits for ever. `capture_times`: where frames
        know their wall time, it counts more than their arrival.
        """
        self.tracks: tuple[Track, ...] = ()
        self.skipped = 0
        """Frames left out because no key frame had come yet."""
        self.live = live
        self.keep_early = keep_early
        self._rule = rule
        self._max_s = max_s
        self._silent_s = silent_s
        self._first_key_s = first_key_s
        self._capture_times = capture_times
        self._kinds: dict[int, Kind] = {}
        self._reference = -1
        self._scale = 1
        self._pieces: deque[Piece] = deque()
        """Open pieces, oldest first; the last one is where the reference is."""
        self._place: dict[int, int] = {}
        """Index of the piece that each other track is in."""
        self._ahead: deque[Frame] = deque()
        self._ahead_bytes = 0
        self._ahead_since_s = 0.0
        """Decode time of the frame with which the waiting began, as far as that is known."""
        self._clock_s: float | None = None
        """Decode time of the reference's newest frame."""
        self._others_s: float | None = None
        """Newest presentation time of the other tracks' placed frames."""
        self._step_s = 0.0
        self._end_s = 0.0
        self._next_index = 0
        self._broken = False
        self._waits_key = True
        self._since_s: float | None = None
        """Decode time of the first frame that was left out for want of a key frame."""
        self._orphan = -1
        """Index of a piece that began while the reference said nothing, until it speaks."""
        self._coming: tuple[Track, ...] | None = None
        """The track list from the next key frame on."""
        self._fresh: frozenset[int] = frozenset()
        """Tracks that are new or other in it."""
        self._later: list[Frame] = []
        """Their frames."""
        self._later_bytes = 0
        self._anchor_s: float | None = None
        """Unix time minus media time."""
        self._out: list[Run] = []

    def start(self, tracks: Sequence[Track]) -> list[Run]:
        """A new epoch of these tracks: ends every open piece, and the next one waits for a key frame."""
        done = self.discontinuity()
        self._adopt(tuple(tracks))
        return done

    def change(self, tracks: Sequence[Track]) -> list[Run]:
        """The list of tracks changes in mid-stream.

        Where the reference stays as it is, tracks that do not change go on, and a piece with the new list begins at
        the next key frame; frames of tracks that are new or changed wait for it. Otherwise the same as `start`.
        """
        new = tuple(tracks)
        reference = _reference(new)
        old = {t.id: _identity(t) for t in self.tracks}
        if reference is None or reference.id != self._reference or old[reference.id] != _identity(reference):
            return self.start(new)
        if self._later:
            self._change_over(None, independent=False)
            old = {t.id: _identity(t) for t in self.tracks}
        fresh = frozenset(t.id for t in new if old.get(t.id) != _identity(t))
        gone = old.keys() - {t.id for t in new}
        stale = fresh | gone
        if not self._pieces and any(f.track.id in stale for f in self._ahead):
            self._release(final=True)
        if not self._pieces:
            self._adopt(new)
        elif stale:
            self._place_now(stale)
            self._coming, self._fresh = new, fresh
        else:
            self._coming, self._fresh = None, fresh
            self.tracks = new
        out, self._out = self._out, []
        return out

    def _adopt(self, tracks: tuple[Track, ...]) -> None:
        self.tracks = tracks
        self._kinds = {t.id: t.kind for t in tracks}
        reference = _reference(tracks)
        self._reference = -1 if reference is None else reference.id
        self._coming, self._fresh = None, frozenset()

    def push(self, frames: Sequence[Frame], now_unix_s: float) -> list[Run]:
        """Take frames in stream order, all known at `now_unix_s`; what can be placed by now."""
        if not frames:
            return []
        self._set_anchor(frames, now_unix_s)
        reference = self._reference
        for frame in frames:
            track = frame.track
            number = track.id
            if number == reference:
                self._take_reference(frame, track.timescale)
            elif self._coming is not None and number in self._fresh:
                self._defer(frame)
            elif number in self._kinds:
                clock_s = self._clock_s
                pts_s = frame.pts / track.timescale
                if not self._ahead and clock_s is not None and pts_s <= clock_s:
                    self._place_other(frame, pts_s)
                else:
                    self._hold(frame)
        out, self._out = self._out, []
        return out

    def discontinuity(self) -> list[Run]:
        """The next frames do not follow from the last ones: ends every open piece."""
        if self._later:
            self._change_over(None, independent=False)
        elif self._coming is not None:
            self._adopt(self._coming)
        self._release(final=True)
        self._close_all()
        self._broken = self._next_index > 0
        self._clock_s = self._others_s = self._anchor_s = self._since_s = None
        self._waits_key = True
        self._orphan = -1
        self._place.clear()
        out, self._out = self._out, []
        return out

    def finish(self) -> list[Run]:
        """The end of the stream."""
        return self.discontinuity()

    # The reference track.

    def _take_reference(self, frame: Frame, scale: int) -> None:
        pts_s = frame.pts / scale
        dts_s = frame.dts / scale
        if self._waits_key:
            if not frame.key and not self._tired(dts_s):
                self.skipped += 1
                return
            self._waits_key = False
            self._enter(frame, pts_s)
        elif frame.key:
            current = self._pieces[-1]
            if pts_s > current.start_s:
                unix_s = self._unix_s(frame, pts_s)
                # The rule is asked in any case: it may count key frames.
                due = self._rule.due(pts_s, unix_s, current.size_bytes)
                if self._coming is not None:
                    self._change_over(pts_s, independent=True)
                elif due:
                    self._begin(pts_s, unix_s, independent=True)
        elif self._max_s is not None and pts_s - self._pieces[-1].start_s >= self._max_s:
            self._begin(pts_s, self._unix_s(frame, pts_s), independent=False)
        pieces = self._pieces
        piece = pieces[-1]
        if self._orphan == piece.index:
            piece.independent = frame.key
            self._orphan = -1
        if self._clock_s is not None and dts_s > self._clock_s:
            self._step_s = dts_s - self._clock_s
        self._clock_s = dts_s
        end_s = pts_s + (frame.duration / scale or self._step_s)
        if end_s > self._end_s:
            self._end_s = end_s
        self._emit(piece, frame)
        if self._ahead:
            self._release(final=False)
        if len(pieces) > 1:
            self._close_passed(dts_s)

    def _tired(self, dts_s: float) -> bool:
        """Whether the first key frame has been waited for long enough."""
        if self._since_s is None:
            self._since_s = dts_s
        return self._first_key_s is not None and dts_s - self._since_s >= self._first_key_s

    def _enter(self, frame: Frame, pts_s: float) -> None:
        """The first frame of the reference in an epoch."""
        unix_s = self._unix_s(frame, pts_s)
        if self._pieces:
            # Other tracks began without it.
            current = self._pieces[-1]
            if self._rule.due(pts_s, unix_s, current.size_bytes) and pts_s > current.start_s:
                self._begin(pts_s, unix_s, independent=frame.key)
            return
        start_s = pts_s
        if self._since_s is not None and not self.keep_early:
            # Sound from before the first picture that can be shown.
            kept = deque(f for f in self._ahead if f.pts / f.track.timescale >= pts_s - NEAR_S)
            self.skipped += len(self._ahead) - len(kept)
            self._ahead = kept
            self._ahead_bytes = sum(len(f.payload) for f in kept)
        elif self._ahead:
            start_s = min(pts_s, min(f.pts / f.track.timescale for f in self._ahead))
        self._begin(start_s, unix_s + start_s - pts_s, independent=frame.key)

    def _begin(self, start_s: float, unix_s: float, *, independent: bool) -> None:
        if self._pieces:
            self._pieces[-1].end_s = start_s
        else:
            self._end_s = start_s
        piece = Piece(
            self._next_index,
            start_s,
            unix_s,
            independent=independent,
            discontinuity=self._broken,
            tracks=self.tracks,
        )
        self._broken = False
        self._next_index += 1
        self._pieces.append(piece)
        self._rule.begin(start_s, unix_s)

    # The other tracks.

    def _place_other(self, frame: Frame, pts_s: float) -> None:
        pieces = self._pieces
        track = frame.track
        number = track.id
        piece = pieces[-1]
        end_s = pts_s + frame.duration / track.timescale
        if end_s > self._end_s:
            self._end_s = end_s
        if track.kind is not Kind.DATA and (self._others_s is None or pts_s > self._others_s):
            self._others_s = pts_s
        if len(pieces) == 1:
            self._place[number] = piece.index
            self._emit(piece, frame)
            return
        first = pieces[0].index
        at = max(self._place.get(number, first), first) - first
        video = track.kind is Kind.VIDEO
        # Other video tracks change over where they can be decoded.
        while at + 1 < len(pieces) and pts_s >= pieces[at + 1].start_s - NEAR_S and (frame.key or not video):
            at += 1
        piece = pieces[at]
        self._place[number] = piece.index
        self._emit(piece, frame)
        clock_s = self._clock_s
        if clock_s is None or self._silent(pts_s):
            clock_s = self._others_s
        if clock_s is not None:
            self._close_passed(clock_s)

    def _hold(self, frame: Frame) -> None:
        ahead = self._ahead
        dts_s = frame.dts / frame.track.timescale
        if not ahead:
            self._ahead_since_s = dts_s
        ahead.append(frame)
        self._ahead_bytes += len(frame.payload)
        # The oldest ones may have left meanwhile: what is full by this is looked at again.
        if (
            dts_s - self._ahead_since_s <= MAX_AHEAD_S
            and len(ahead) <= MAX_AHEAD_FRAMES
            and self._ahead_bytes <= MAX_AHEAD_BYTES
        ):
            return
        if not self._full(ahead, self._ahead_bytes):
            self._ahead_since_s = ahead[0].dts / ahead[0].track.timescale
            return
        since_s = self._since_s
        if since_s is not None and not self.keep_early and not self._pieces and dts_s - since_s < FIRST_KEY_S:
            # Joined in the middle of a group of pictures: this would be left out at its first key frame anyway.
            while self._full(ahead, self._ahead_bytes):
                self._ahead_bytes -= len(ahead.popleft().payload)
                self.skipped += 1
            return
        self._release(final=True)

    @staticmethod
    def _full(held: Sequence[Frame], size_bytes: int) -> bool:
        first, last = held[0], held[-1]
        return (
            last.dts / last.track.timescale - first.dts / first.track.timescale > MAX_AHEAD_S
            or len(held) > MAX_AHEAD_FRAMES
            or size_bytes > MAX_AHEAD_BYTES
        )

    def _release(self, *, final: bool) -> None:
        """Place held frames that the reference has passed; `final`: all of them, cutting by their own times."""
        ahead = self._ahead
        clock_s = math.inf if final else self._clock_s
        assert clock_s is not None
        while ahead:
            frame = ahead[0]
            pts_s = frame.pts / frame.track.timescale
            if pts_s > clock_s:
                return
            ahead.popleft()
            self._ahead_bytes -= len(frame.payload)
            if final:
                self._cut_without_reference(frame, pts_s)
            self._place_other(frame, pts_s)

    def _place_now(self, numbers: frozenset[int]) -> None:
        """Place the held frames of these tracks before anything changes."""
        if self._ahead:
            waiting, self._ahead = self._ahead, deque()
            for frame in waiting:
                if frame.track.id in numbers:
                    self._ahead_bytes -= len(frame.payload)
                    self._place_other(frame, frame.pts / frame.track.timescale)
                else:
                    self._ahead.append(frame)

    def _cut_without_reference(self, frame: Frame, pts_s: float) -> None:
        unix_s = self._unix_s(frame, pts_s)
        if not self._pieces:
            self._orphan = self._next_index
            self._begin(pts_s, unix_s, independent=True)
            return
        current = self._pieces[-1]
        if (
            frame.track.kind is not Kind.DATA
            and pts_s > current.start_s
            and self._silent(pts_s)
            and self._rule.due(pts_s, unix_s, current.size_bytes)
        ):
            self._orphan = self._next_index
            self._begin(pts_s, unix_s, independent=True)

    def _silent(self, pts_s: float) -> bool:
        return self._clock_s is None or pts_s - self._clock_s > self._silent_s

    # A changed list of tracks.

    def _defer(self, frame: Frame) -> None:
        later = self._later
        later.append(frame)
        self._later_bytes += len(frame.payload)
        first = later[0]
        waited_s = frame.dts / frame.track.timescale - first.dts / first.track.timescale
        if waited_s > MAX_CHANGE_S or len(later) > MAX_AHEAD_FRAMES or self._later_bytes > MAX_AHEAD_BYTES:
            self._change_over(None, independent=False)

    def _change_over(self, pts_s: float | None, *, independent: bool) -> None:
        """Begin the piece with the new list of tracks; without a time, at the newest one that is known."""
        coming, fresh = self._coming, self._fresh
        assert coming is not None
        current = self._pieces[-1]
        if pts_s is None:
            pts_s = max(self._clock_s or current.start_s, self._others_s or current.start_s, current.start_s)
        later, self._later, self._later_bytes = self._later, [], 0
        self._adopt(coming)
        self._begin(pts_s, (self._anchor_s or 0.0) + pts_s, independent=independent)
        index = self._pieces[-1].index
        if not independent:
            self._orphan = index
        for number in fresh:
            self._place[number] = index
        for number in self._place.keys() - self._kinds.keys():
            del self._place[number]
        for frame in later:
            self._place_other(frame, frame.pts / frame.track.timescale)

    # Pieces.

    def _emit(self, piece: Piece, frame: Frame) -> None:
        piece.size_bytes += len(frame.payload)
        out = self._out
        if out:
            last = out[-1]
            if last[0] is piece and not last[2]:
                last[1].append(frame)
                return
        out.append((piece, [frame], False))

    def _close_passed(self, clock_s: float) -> None:
        """Complete the oldest pieces that every track has left, or that the stream left long ago."""
        pieces = self._pieces
        while len(pieces) > 1:
            oldest, boundary_s = pieces[0], pieces[1].start_s
            if clock_s < boundary_s + LATE_S and any(
                self._place.get(number, oldest.index) <= oldest.index
                for number, kind in self._kinds.items()
                if number != self._reference and kind is not Kind.DATA
            ):
                return
            self._close(pieces.popleft())

    def _close_all(self) -> None:
        if self._pieces:
            last = self._pieces[-1]
            last.end_s = max(self._end_s, last.start_s)
        while self._pieces:
            self._close(self._pieces.popleft())

    def _close(self, piece: Piece) -> None:
        out = self._out
        if out and out[-1][0] is piece:
            out[-1] = (piece, out[-1][1], True)
        else:
            out.append((piece, [], True))

    # Time.

    def _set_anchor(self, frames: Sequence[Frame], now_unix_s: float) -> None:
        if self._anchor_s is not None and not self.live:
            return
        # Replayed frames come in one burst; the newest one is the one that is "now". A file begins now.
        ordered = reversed(frames) if self.live else frames
        # Captions and data are often mistimed.
        frame = next((f for f in ordered if f.track.kind is not Kind.DATA), None)
        if frame is None:
            if self._anchor_s is not None:
                return
            frame = frames[0]
        anchor_s = now_unix_s - frame.dts / frame.track.timescale
        # A stepped clock, or drift over days; jitter of arrival stays below this.
        if self._anchor_s is None or abs(anchor_s - self._anchor_s) > 1.0:
            self._anchor_s = anchor_s

    def _unix_s(self, frame: Frame, pts_s: float) -> float:
        if frame.wallclock_s is not None and self._capture_times:
            return frame.wallclock_s
        return (self._anchor_s or 0.0) + pts_s


def _reference(tracks: Sequence[Track]) -> Track | None:
    for kind in (Kind.VIDEO, Kind.AUDIO, Kind.DATA):
        for track in tracks:
            if track.kind is kind:
                return track
    return None


def _identity(track: Track) -> tuple[object, ...]:
    """What a file's header says of a track and cannot take back."""
    return (track.kind, track.codec, track.timescale, track.config, track.width, track.height, track.sample_rate,
            track.channels)  # fmt: skip
