"""One running clock for a route over sources that restart, jump or pause."""

import math

from evotools.media.timeline import Jump, JumpPolicy, Splicer
from evotools.media.track import Kind, Track

PAUSE_S = 2.0
"""A live source that paused: its clock went on as far as ours did, give or take this."""


class Place:
    """Where one track stands on the route's clock."""

    __slots__ = ("floor_s", "last_s", "leads", "offset_s", "ticks")

    def __init__(self, leads: bool, last_s: float) -> None:
        self.leads = leads
        """Captions and data are sparse and often mistimed: they follow the clock and never move it."""
        self.last_s = last_s
        """The newest decode time given out; infinite where the next frame must ask in any case."""
        self.floor_s: float | None = None
        """The same when a session ended, until the track's first frame of the next one."""
        self.offset_s = 0.0
        self.ticks = 0
        """The offset in the track's timescale."""


class RouteClock:
    """Goes on where the last session, or the part before a jump, ended.

    The track that jumps first sets a new offset; the others take it over when they jump too, so that frames still
    under way on the old clock stay where they belong. The reader asks only when a frame does not simply follow:
    decode time within `places[id].last_s` and `end_s + ahead_s`.
    """

    def __init__(self) -> None:
        policy = JumpPolicy()
        self.ahead_s = policy.ahead_s
        self.places: dict[int, Place] = {}
        self.end_s = -math.inf
        """How far this clock has come."""
        self.start_s: float | None = None
        """Where it began."""
        self._back_s = policy.back_s
        self._splicer = Splicer()
        self._offset_s: float | None = None
        self._noted_at = 0.0

    def start_session(self, now: float) -> None:
        """The source was opened (again) at time `now`."""
        self._splicer.start_session(now)
        self._offset_s = None
        for place in self.places.values():
            if place.leads and place.floor_s is None:
                place.floor_s, place.last_s = place.last_s, math.inf

    @property
    def offset_s(self) -> float | None:
        """What the newest session's times are moved by; None before its first frame."""
        return self._offset_s

    def note(self, end_s: float, now: float) -> None:
        """Media up to `end_s` was given out at time `now`."""
        self.end_s = max(end_s, self.end_s)
        self._noted_at = now
        self._splicer.note(end_s, now)

    def place(self, track: Track, dts_s: float, now: float, *, live: bool) -> Jump:
        """Set `places[track.id]` for a frame of the source's time `dts_s`; the jump that this bridges."""
        leads = track.kind is not Kind.DATA
        place = self.places.get(track.id)
        jump = Jump.NONE
        if self._offset_s is None:
            self._offset_s = self._splicer.fix(dts_s)
        if place is None:
            place = self.places[track.id] = Place(leads, -math.inf if leads else math.inf)
            place.offset_s = self._offset_s
            if leads and self.start_s is None:
                self.start_s = dts_s + place.offset_s
            jump = self._judge(place, dts_s + place.offset_s, now, live) if leads else jump
        elif place.floor_s is not None or not leads:
            place.offset_s = self._offset_s
            if place.floor_s is not None:
                place.last_s, place.floor_s = place.floor_s, None
        else:
            jump = self._judge(place, dts_s + place.offset_s, now, live)
            if jump is not Jump.NONE:
                taken_over = place.offset_s != self._offset_s
                place.offset_s = self._offset_s
                if taken_over and self._judge(place, dts_s + self._offset_s, now, live) is Jump.NONE:
                    jump = Jump.NONE
        if jump is not Jump.NONE:
            self._splicer.start_session(now if live else self._noted_at)
            self._offset_s = place.offset_s = self._splicer.fix(dts_s)
        place.ticks = round(place.offset_s * track.timescale)
        return jump

    def _judge(self, place: Place, out_s: float, now: float, live: bool) -> Jump:
        """Back is judged on the track itself, since tracks interleave loosely; ahead on the whole stream, since a
        muted microphone may say nothing for minutes."""
        if out_s < place.last_s - self._back_s:
            return Jump.BACKWARD
        ahead_s = out_s - self.end_s
        if ahead_s <= self.ahead_s or self.end_s == -math.inf:
            return Jump.NONE
        paused = live and abs(now - self._noted_at - ahead_s) < PAUSE_S
        return Jump.NONE if paused else Jump.FORWARD
