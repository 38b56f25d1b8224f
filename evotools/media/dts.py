"""Decode times for sources that have only presentation times (RTP, Matroska, some captures)."""

import heapq

MAX_REORDER = 16
"""H.264 A.3.1 and H.265 A.4.2 bound the decoded picture buffer at 16 pictures."""


class DtsRebuilder:
    """Rebuilds decode times from presentation times that come in decode order.

    With a known reorder depth `depth` (pictures that may overtake), the decode time of picture n is the n-th
    smallest presentation time, moved back by `depth` pictures: the sorted sequence, delayed. Guarantees that dts
    never exceeds pts, and that it never decreases as long as the depth holds. A picture that comes later than the
    depth allows deepens it. Exact for a constant frame rate.
    """

    def __init__(self, depth: int) -> None:
        if not 0 <= depth <= MAX_REORDER:
            raise ValueError(f"reorder depth {depth} is outside 0..{MAX_REORDER}")
        self.depth = depth
        self._heap: list[int] = []
        self._first: list[int] = []
        self._last: int | None = None

    def push(self, pts: int, duration: int) -> int:
        """The decode time of the picture with `pts`; `duration` is the nominal picture duration in ticks.

        The first `depth` pictures have no predecessors to sort with: their decode times are set before the first
        presentation time, one duration apart.
        """
        last = self._last
        if last is not None and pts < last and self.depth < MAX_REORDER:
            self.depth += 1
            heapq.heappush(self._heap, pts)
            self._first.append(pts)
            self._last = pts
            return pts
        if self.depth == 0:
            dts = pts
        elif len(self._first) < self.depth:
            heapq.heappush(self._heap, pts)
            self._first.append(pts)
            dts = self._first[0] - (self.depth - len(self._first) + 1) * duration
        else:
            dts = heapq.heappushpop(self._heap, pts)
        if last is not None and dts <= last:
            dts = last + 1
        if dts > pts:
            dts = pts
        if last is None or dts > last:
            self._last = dts
        return dts

    def restart(self) -> None:
        """Pictures were lost: start anew, but not before the last decode time."""
        self._heap.clear()
        self._first.clear()

    def reset(self) -> None:
        """Start anew after a discontinuity."""
        self.restart()
        self._last = None


class MonotonicDts:
    """Repairs decode times that stand still or step back by less than a jump, as muxers demand.

    Keeps one last value per track id. The repaired value is one tick after the last one, never above pts unless
    pts itself lies in the past.
    """

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self.repaired = 0

    def __call__(self, track_id: int, dts: int) -> int:
        last = self._last.get(track_id)
        if last is not None and dts <= last:
            dts = last + 1
            self.repaired += 1
        self._last[track_id] = dts
        return dts
