"""Puts `Tracks` in front of the frames of a Matroska stream, and again where a track changes."""

from collections.abc import Sequence
from typing import Final

from evotools.containers.matroska.lane import Lane
from evotools.media.frame import Discontinuity, Event, Frame, Tracks
from evotools.media.track import Track

MAX_HELD_FRAMES: Final = 600
"""Frames kept back until every track is known; some seconds of media."""
MAX_HELD_BYTES: Final = 16 << 20
"""The same in bytes."""
MAX_WAIT_S: Final = 1.0
"""The same in seconds of media: a track that is silent for longer is announced with what its entry tells."""
STORED_WAIT_S: Final = 10.0
"""For stored media nobody waits."""


class Announcer:
    """Frames go to `sink`; `take` gives what may go out."""

    def __init__(self, *, stored: bool = False) -> None:
        self.sink: list[Event] = []
        """Where frames are put, one after the other. It is another list after each call of a method here."""
        self._wait_s = STORED_WAIT_S if stored else MAX_WAIT_S
        self._lanes: Sequence[Lane] = ()
        self._out: list[Event] = []
        self._held: list[Event] = []
        self._announced = True
        self._current: tuple[Track, ...] = ()
        self._counted = 0
        self._bytes = 0

    def begin(self, lanes: Sequence[Lane]) -> None:
        """Another list of tracks."""
        self._announce()
        self._lanes = lanes
        self._announced = False
        self.sink = self._held = []
        self._counted = self._bytes = 0

    def discontinuity(self, event: Discontinuity) -> None:
        """Something was lost here. Before the first frame nobody needs to know."""
        self._announce()
        if self._current:
            self._out.append(event)

    def change(self, lane: Lane) -> None:
        """The next frame of the lane is of another track than the frames before."""
        lane.changed = False
        track = lane.track
        if not self._announced:
            held = [frame.track for frame in self._held if isinstance(frame, Frame) and frame.track.id == track.id]
            if not held or not held[-1].config:
                return
            lane.track = held[-1]
            self._announce()
            lane.track = track
        if track not in self._current:
            self._current = tuple(track if one.id == track.id else one for one in self._current)
            self._out.append(Tracks(self._current))

    def take(self) -> list[Event]:
        """Events that may go out."""
        if not self._announced and self._held and (self._full() or all(lane.ready for lane in self._lanes)):
            self._announce()
        out, self._out = self._out, []
        if self._announced:
            self.sink = self._out
        return out

    def flush(self) -> list[Event]:
        """Everything, tracks known or not."""
        self._announce()
        return self.take()

    def _full(self) -> bool:
        held = self._held
        if len(held) >= MAX_HELD_FRAMES:
            return True
        while self._counted < len(held):
            frame = held[self._counted]
            self._bytes += len(frame.payload) if isinstance(frame, Frame) else 0
            self._counted += 1
        first, last = held[0], held[-1]
        assert isinstance(first, Frame) and isinstance(last, Frame)
        return self._bytes >= MAX_HELD_BYTES or last.pts_s - first.pts_s > self._wait_s

    def _announce(self) -> None:
        """The tracks as they are known now, and the frames that waited for that."""
        if self._announced or not self._held:
            return
        known = {track.id: track for track in self._current}
        tracks: dict[int, Track] = {}
        for lane in self._lanes:
            lane.settle()
            same = known.get(lane.track.id)
            if same == lane.track and same is not None:
                # A chained stream goes on with the tracks of the one before.
                lane.track = same
            tracks[lane.track.id] = lane.track
            lane.changed = False
        now = tuple(tracks.values())
        if now != self._current:
            self._current = now
            self._out.append(Tracks(now))
        for frame in self._held:
            if isinstance(frame, Frame):
                # Those in front of the first key frame came without configuration.
                frame.track = tracks[frame.track.id]
        self._out += self._held
        self._announced = True
        self._held = []
        self.sink = self._out
