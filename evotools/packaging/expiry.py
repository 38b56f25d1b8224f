"""What a live presentation still shows, and which files may go.

A segment that left the manifests stays for one more window, for clients that read an older manifest (RFC 8216 6.2.2:
its own duration and that of the longest playlist that named it).
"""

from collections import deque
from collections.abc import Iterable

from evotools.packaging.presentation import MediaSegment, Presentation, Rendition

MIN_TARGETS = 3
"""RFC 8216 6.2.2: no segment goes while the playlist would be shorter than three target durations."""


class Expiry:
    """The sliding window. `slide` after every new segment."""

    def __init__(self, window_s: float | None) -> None:
        """None keeps everything."""
        self.window_s = window_s
        self._late: deque[tuple[float, str]] = deque()
        """When a file may go, on the presentation's clock, and its path; in order."""

    def late(self) -> list[tuple[float, str]]:
        """Files that wait for their removal."""
        return list(self._late)

    def keep(self, late: Iterable[tuple[float, str]]) -> None:
        """Those of an earlier run."""
        self._late.extend(late)

    def slide(self, presentation: Presentation) -> list[str]:
        """Take what is too old out of `presentation`; the paths that are to be removed once the manifests are there."""
        if self.window_s is None:
            return []
        clock = {p.index: p.start_s - p.media_start_s for p in presentation.periods}
        newest_s = 0.0
        for rendition in presentation.renditions:
            segments = rendition.segments
            if segments:
                newest_s = max(newest_s, _end_s(segments[-1], rendition, clock))
        leaders: dict[int, Rendition] = {}
        for rendition in presentation.renditions:
            segments = rendition.segments
            leader = leaders.setdefault(rendition.number_of_input, rendition)
            if leader is rendition:
                least = MIN_TARGETS * rendition.target_duration * rendition.timescale
                left = sum(_length(segment) for segment in segments)
                while segments and _end_s(segments[0], rendition, clock) <= newest_s - self.window_s:
                    left -= _length(segments[0])
                    if left < least:
                        break
                    self._expire(rendition, segments.popleft(), newest_s)
            elif leader.segments:
                # Players find the same instant in another rendition by its media sequence number.
                while segments and segments[0].number < leader.segments[0].number:
                    self._expire(rendition, segments.popleft(), newest_s)
        shown = {s.period for r in presentation.renditions for s in r.segments}
        # A period may be announced before its first segment.
        last = presentation.periods[-1].index if presentation.periods else 0
        presentation.periods = [p for p in presentation.periods if p.index in shown or p.index == last]
        for rendition in presentation.renditions:
            for index in [i for i in rendition.epochs if i not in shown and i != last]:
                del rendition.epochs[index]
        gone: list[str] = []
        while self._late and self._late[0][0] <= newest_s:
            gone.append(self._late.popleft()[1])
        return gone

    def _expire(self, rendition: Rendition, segment: MediaSegment, newest_s: float) -> None:
        if segment.discontinuity:
            rendition.discontinuity_sequence += 1
        assert self.window_s is not None
        until_s = newest_s + self.window_s + segment.duration / rendition.timescale
        if not segment.gap:
            self._late.append((until_s, f"{rendition.id}/{segment.name}"))
        if segment.init and not any(s.init == segment.init for s in rendition.segments):
            self._late.append((until_s, f"{rendition.id}/{segment.init}"))


def _end_s(segment: MediaSegment, rendition: Rendition, clock: dict[int, float]) -> float:
    return segment.end / rendition.timescale + clock.get(segment.period, 0.0)


def _length(segment: MediaSegment) -> int:
    """Ticks that a segment takes in the playlist."""
    return segment.lead + segment.duration + segment.tail
