"""Divides interleaved tracks into pieces at common instants. Frames and time in, runs of frames out; no I/O, no clock.

The reference track (the first video, else the first audio) sets the boundaries, at key frames, when a `Rule` says so.
Every other track changes over at its first frame that begins at or after the boundary, so a piece holds of each track
what is presented in it. Frames of other tracks that run ahead of the reference wait for it, boundedly.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from evotools.media.frame import Frame
from evotools.media.track import Kind, Track

MAX_AHEAD_S = 4.0
"""How long other tracks wait for a silent reference; then they cut for themselves until it speaks again."""
MAX_AHEAD_FRAMES = 10_000
"""The same in frames, for floods without time."""
MAX_AHEAD_BYTES = 64 * 2**20
"""The same in bytes: 4 s at 128 Mbit/s."""
LATE_S = 2.0
"""How long a piece stays open behind its boundary for tracks that come later in the interleave."""
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

    __slots__ = ("discontinuity", "end_s", "independent", "index", "size_bytes", "start_s", "start_unix_s")

    def __init__(
        self, index: int, start_s: float, start_unix_s: float, *, independent: bool, discontinuity: bool
    ) -> None:
        self.index = index
        """Counts from 0, over epochs too."""
        self.start_s = start_s
        """Presentation time of the boundary at its begin."""
        self.start_unix_s = start_unix_s
        self.end_s = start_s
        """The next boundary; at a break the end of the last frame. Final once the piece is done."""
        self.independent = independent
        """Its reference track begins with a key frame."""
        self.discontinuity = discontinuity
        """It does not follow from the piece before."""
        self.size_bytes = 0
        """Payload so far."""

    def __repr__(self) -> str:
        return f"Piece({self.index} {self.start_s:.3f}–{self.end_s:.3f})"


Run = tuple[Piece, list[Frame], bool]
"""Frames of one piece, in stream order, and whether the piece is complete with them. Runs of two pieces alternate while
tracks change over; pieces are completed in order."""


class Cutter:
    """One stream, or one of several inputs that are cut alike."""

    def __init__(self, rule: Rule, *, max_s: float | None = None, live: bool = True) -> None:
        """`max_s`: cut even without a key frame after so long; None never does. `live`: wall times follow the arrival
        of frames (else the media clock since the first call)."""
        self.tracks: tuple[Track, ...] = ()
        self.skipped = 0
        """Frames dropped because no key frame had come yet."""
        self._rule = rule
        self._max_s = max_s
        self._live = live
        self._kinds: dict[int, Kind] = {}
        self._reference = -1
        self._pieces: deque[Piece] = deque()
        """Open pieces, oldest first; the last one is where the reference is."""
        self._place: dict[int, int] = {}
        """Index of the piece that each other track is in."""
        self._ahead: deque[Frame] = deque()
        self._ahead_bytes = 0
        self._clock_s: float | None = None
        """Decode time of the reference's newest frame."""
        self._end_s = 0.0
        self._next_index = 0
        self._broken = False
        self._waits_key = True
        self._joined_late = False
        self._anchor_s: float | None = None
        """Unix time minus media time."""
        self._out: list[Run] = []

    def start(self, tracks: Sequence[Track]) -> list[Run]:
        """A new epoch of these tracks: ends every open piece."""
        done = self.discontinuity()
        self.tracks = tuple(tracks)
        self._kinds = {t.id: t.kind for t in tracks}
        for kind in (Kind.VIDEO, Kind.AUDIO, Kind.DATA):
            found = [t.id for t in tracks if t.kind is kind]
            if found:
                self._reference = found[0]
                break
        return done

    def push(self, frames: Sequence[Frame], now_unix_s: float) -> list[Run]:
        """Take frames in stream order, all known at `now_unix_s`; what can be placed by now."""
        if not frames:
            return []
        if self._anchor_s is None:
            # Replayed frames come in one burst; the newest one is the one that is "now". A file begins now.
            newest = frames[-1] if self._live else frames[0]
            self._anchor_s = now_unix_s - newest.dts / newest.track.timescale
        elif self._live:
            newest = frames[-1]
            anchor_s = now_unix_s - newest.dts / newest.track.timescale
            # A stepped clock, or drift over days; jitter of arrival stays below this.
            if abs(anchor_s - self._anchor_s) > 1.0:
                self._anchor_s = anchor_s
        reference, kinds = self._reference, self._kinds
        for frame in frames:
            number = frame.track.id
            if number == reference:
                self._take_reference(frame)
            elif number in kinds:
                clock_s = self._clock_s
                if not self._ahead and clock_s is not None and frame.pts / frame.track.timescale <= clock_s:
                    self._place_other(frame)
                else:
                    self._hold(frame)
        out, self._out = self._out, []
        return out

    def discontinuity(self) -> list[Run]:
        """The next frames do not follow from the last ones: ends every open piece."""
        self._release(final=True)
        self._close_all()
        self._broken = self._next_index > 0
        self._clock_s = None
        self._anchor_s = None
        self._waits_key = True
        self._joined_late = False
        self._place.clear()
        out, self._out = self._out, []
        return out

    def finish(self) -> list[Run]:
        """The end of the stream."""
        return self.discontinuity()

    # The reference track.

    def _take_reference(self, frame: Frame) -> None:
        scale = frame.track.timescale
        pts_s = frame.pts / scale
        if self._waits_key:
            if not frame.key:
                self.skipped += 1
                self._joined_late = True
                return
            self._waits_key = False
            self._enter(frame, pts_s)
        else:
            current = self._pieces[-1]
            unix_s = self._unix_s(frame, pts_s)
            if frame.key:
                if pts_s > current.start_s and self._rule.due(pts_s, unix_s, current.size_bytes):
                    self._begin(pts_s, unix_s, independent=True)
            elif self._max_s is not None and pts_s - current.start_s >= self._max_s:
                self._begin(pts_s, unix_s, independent=False)
        clock_s = frame.dts / scale
        self._clock_s = clock_s
        self._note_end(pts_s + frame.duration / scale)
        self._emit(self._pieces[-1], frame)
        if self._ahead:
            self._release(final=False)
        if len(self._pieces) > 1:
            self._close_passed(clock_s)

    def _enter(self, frame: Frame, pts_s: float) -> None:
        """The first key frame of an epoch."""
        start_s = pts_s
        if self._joined_late:
            # Sound from before the first picture that can be shown.
            kept = [f for f in self._ahead if f.pts / f.track.timescale >= pts_s - NEAR_S]
            self.skipped += len(self._ahead) - len(kept)
            self._ahead = deque(kept)
            self._ahead_bytes = sum(len(f.payload) for f in kept)
        elif self._ahead:
            start_s = min(pts_s, min(f.pts / f.track.timescale for f in self._ahead))
        if self._pieces:
            # Other tracks began without it.
            if self._rule.due(pts_s, self._unix_s(frame, pts_s), self._pieces[-1].size_bytes):
                self._begin(pts_s, self._unix_s(frame, pts_s), independent=True)
            return
        self._begin(start_s, self._unix_s(frame, pts_s) + start_s - pts_s, independent=True)

    def _begin(self, start_s: float, unix_s: float, *, independent: bool) -> None:
        if self._pieces:
            self._pieces[-1].end_s = start_s
        piece = Piece(self._next_index, start_s, unix_s, independent=independent, discontinuity=self._broken)
        self._broken = False
        self._next_index += 1
        self._pieces.append(piece)
        self._rule.begin(start_s, unix_s)

    # The other tracks.

    def _place_other(self, frame: Frame) -> None:
        pieces = self._pieces
        number = frame.track.id
        piece = pieces[-1]
        pts_s = frame.pts / frame.track.timescale
        if len(pieces) > 1:
            first = pieces[0].index
            at = max(self._place.get(number, first), first) - first
            video = frame.track.kind is Kind.VIDEO
            # Other video tracks change over where they can be decoded.
            while at + 1 < len(pieces) and pts_s >= pieces[at + 1].start_s - NEAR_S and (frame.key or not video):
                at += 1
            piece = pieces[at]
            self._place[number] = piece.index
            self._emit(piece, frame)
            self._close_passed(self._clock_s or 0.0)
        else:
            self._place[number] = piece.index
            self._emit(piece, frame)
        end_s = pts_s + frame.duration / frame.track.timescale
        if end_s > self._end_s:
            self._end_s = end_s

    def _hold(self, frame: Frame) -> None:
        ahead = self._ahead
        ahead.append(frame)
        self._ahead_bytes += len(frame.payload)
        first = ahead[0]
        if (
            frame.dts / frame.track.timescale - first.dts / first.track.timescale > MAX_AHEAD_S
            or len(ahead) > MAX_AHEAD_FRAMES
            or self._ahead_bytes > MAX_AHEAD_BYTES
        ):
            self._release(final=True)

    def _release(self, *, final: bool) -> None:
        """Place held frames that the reference has passed; `final`: all of them, cutting by their own times."""
        ahead = self._ahead
        while ahead:
            frame = ahead[0]
            pts_s = frame.pts / frame.track.timescale
            if not final and (self._clock_s is None or pts_s > self._clock_s):
                return
            ahead.popleft()
            self._ahead_bytes -= len(frame.payload)
            if final:
                self._cut_without_reference(frame, pts_s)
            self._place_other(frame)

    def _cut_without_reference(self, frame: Frame, pts_s: float) -> None:
        unix_s = self._unix_s(frame, pts_s)
        if not self._pieces:
            self._begin(pts_s, unix_s, independent=True)
            return
        current = self._pieces[-1]
        if frame.track.kind is not Kind.DATA and pts_s > current.start_s and self._silent(pts_s):
            if self._rule.due(pts_s, unix_s, current.size_bytes):
                self._begin(pts_s, unix_s, independent=True)

    def _silent(self, pts_s: float) -> bool:
        return self._clock_s is None or pts_s - self._clock_s > MAX_AHEAD_S / 2

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
        """Complete the oldest pieces that every track has left, or that the reference left long ago."""
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
        self._end_s = 0.0

    def _close(self, piece: Piece) -> None:
        out = self._out
        if out and out[-1][0] is piece:
            out[-1] = (piece, out[-1][1], True)
        else:
            out.append((piece, [], True))

    def _note_end(self, end_s: float) -> None:
        if end_s > self._end_s:
            self._end_s = end_s

    def _unix_s(self, frame: Frame, pts_s: float) -> float:
        return frame.wallclock_s if frame.wallclock_s is not None else (self._anchor_s or 0.0) + pts_s
