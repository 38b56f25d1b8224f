"""One running clock per stream over publishers that come, go and jump."""

from collections.abc import Sequence

from evotools.media.frame import Frame
from evotools.media.timeline import JumpPolicy, Splicer, rescale
from evotools.media.track import Kind, Track


class TrackState:
    """What the stream knows of one track: its place in time and its counters."""

    __slots__ = ("bytes", "frames", "keys", "last", "offset", "track", "waits")

    def __init__(self, track: Track) -> None:
        self.track = track
        self.last: int | None = None
        """The newest decode time given out, in ticks."""
        self.offset: int | None = None
        """Ticks added to the publisher's times; None until the session's first frame."""
        self.waits = track.kind is Kind.VIDEO
        """Nothing is decodable before the session's first key frame."""
        self.frames = 0
        self.bytes = 0
        self.keys = 0


class SessionClock:
    """Places the frames of successive sessions on one clock that never goes back.

    One offset per session, equal for all tracks (`Splicer`). A jump inside a session counts as a break: the track
    that jumps first sets a new offset, the others take it over when they jump too, so that frames still under way
    on the old clock stay where they belong. Decode times that stand still or step back a little are repaired.
    """

    __slots__ = (
        "_ahead_s",
        "_back_s",
        "_end_s",
        "_noted_at",
        "_offset_s",
        "_splicer",
        "breaks",
        "dropped",
        "repaired",
        "states",
    )

    def __init__(self, grace_s: float, jumps: JumpPolicy | None = None) -> None:
        policy = jumps or JumpPolicy()
        self._splicer = Splicer(grace_s)
        self._back_s = policy.back_s
        self._ahead_s = policy.ahead_s
        self._offset_s: float | None = None
        self._end_s: float | None = None
        self._noted_at = 0.0
        self.states: dict[int, TrackState] = {}
        self.breaks = 0
        """Jumps bridged inside sessions."""
        self.repaired = 0
        """Decode times moved because they did not increase."""
        self.dropped = 0
        """Frames of unknown tracks, and those before a session's first key frame."""

    @property
    def end_s(self) -> float | None:
        """How far the stream has come, in seconds."""
        return self._end_s

    def start_session(self, now: float) -> None:
        """A publisher arrives."""
        self._splicer.start_session(now)
        self._offset_s = None
        for state in self.states.values():
            state.offset = None
            state.waits = state.track.kind is Kind.VIDEO

    def set_tracks(self, tracks: Sequence[Track]) -> None:
        """The track list from here on; tracks that stay keep their place in time."""
        known, self.states = self.states, {}
        for track in tracks:
            state = known.get(track.id)
            if state is None or state.track.kind is not track.kind:
                state = TrackState(track)
            elif state.track.timescale != track.timescale:
                old = state.track.timescale
                state.last = None if state.last is None else rescale(state.last, old, track.timescale)
                state.offset = None
            state.track = track
            self.states[track.id] = state

    def place(self, frame: Frame, now: float) -> Frame | None:
        """`frame` on the stream's clock, or None when it is not to be used."""
        state = self.states.get(frame.track.id)
        if state is None or (state.waits and not frame.key):
            self.dropped += 1
            return None
        state.waits = False
        timescale = frame.track.timescale
        offset = state.offset
        if offset is None:
            if self._offset_s is None:
                self._offset_s = self._splicer.fix(frame.dts / timescale)
            offset = state.offset = round(self._offset_s * timescale)
        dts = frame.dts + offset
        end_s = self._end_s
        if end_s is not None and self._jumped(dts, state, end_s):
            offset = self._bridge(frame, state, end_s, now)
            dts = frame.dts + offset
        last = state.last
        pts = frame.pts + offset
        if last is not None and dts <= last:
            dts = last + 1
            self.repaired += 1
            if pts < dts:
                pts = dts
        state.last = dts
        reached = (dts + frame.duration) / timescale
        if end_s is None or reached > end_s:
            self._end_s = reached
        state.frames += 1
        state.bytes += len(frame.payload)
        if frame.key:
            state.keys += 1
        if dts == frame.dts and pts == frame.pts:
            return frame
        return frame.shifted(frame.track, dts, pts)

    def place_s(self, time_s: float) -> float:
        """A publisher's time on the stream's clock; behind the newest media while the session has no frame yet."""
        if self._offset_s is None:
            return self._end_s or 0.0
        return time_s + self._offset_s

    def note(self, now: float) -> None:
        """All frames of a batch are placed."""
        self._noted_at = now
        if self._end_s is not None:
            self._splicer.note(self._end_s, now)

    def _jumped(self, dts: int, state: TrackState, end_s: float) -> bool:
        # Back is judged on the track itself, since tracks interleave loosely; ahead on the whole stream, since a
        # muted microphone or a caption track may say nothing for minutes.
        timescale = state.track.timescale
        if dts > (end_s + self._ahead_s) * timescale:
            return True
        return state.last is not None and dts < state.last - self._back_s * timescale

    def _bridge(self, frame: Frame, state: TrackState, end_s: float, now: float) -> int:
        timescale = frame.track.timescale
        offset = 0 if self._offset_s is None else round(self._offset_s * timescale)
        if offset == state.offset or self._jumped(frame.dts + offset, state, end_s):
            self._splicer.note(end_s, self._noted_at)
            self._splicer.start_session(now)
            self._offset_s = self._splicer.fix(frame.dts / timescale)
            offset = round(self._offset_s * timescale)
            self.breaks += 1
        state.offset = offset
        return offset
