"""Integer time: unwrap what wraps, rescale without drift, and decide what a jump means.

Timestamps are unwrapped at the door; nothing inside ever sees a number that wraps.
"""

from enum import Enum


def rescale(value: int, source: int, target: int) -> int:
    """`value` ticks of 1/`source` s in ticks of 1/`target` s, rounded to nearest (halves up)."""
    if source == target:
        return value
    return (value * target * 2 + source) // (source * 2)


class Unwrapper:
    """Turns a counter of `bits` bits into one that never wraps.

    Each value is taken as the nearest one to its predecessor, so small steps back (B-frames, reordering) stay
    small steps back. ISO/IEC 13818-1 2.4.3.7 has 33 bits, RTMP and FLV 32, RTP 32.
    """

    __slots__ = ("_half", "_last", "_mask", "_span")

    def __init__(self, bits: int) -> None:
        self._span = 1 << bits
        self._mask = self._span - 1
        self._half = self._span >> 1
        self._last: int | None = None

    def __call__(self, value: int) -> int:
        last = self._last
        if last is None:
            self._last = value & self._mask
            return self._last
        step = (value - last) & self._mask
        if step >= self._half:
            step -= self._span
        self._last = last + step
        return self._last

    def reset(self) -> None:
        """Forget the past; the next value stands as it is."""
        self._last = None


class Jump(Enum):
    """What a step between two decode times means."""

    NONE = "none"
    FORWARD = "forward"
    BACKWARD = "backward"


class JumpPolicy:
    """Says whether a decode time follows from its predecessor.

    A step back beyond `back_s` or ahead beyond `ahead_s` seconds is a jump: the source restarted, a splice, a
    lost hour. Anything else is jitter or a gap that players bridge.
    """

    __slots__ = ("ahead_s", "back_s")

    def __init__(self, back_s: float = 0.5, ahead_s: float = 10.0) -> None:
        self.back_s = back_s
        self.ahead_s = ahead_s

    def judge(self, last_s: float | None, now_s: float) -> Jump:
        """Compare two decode times of one track, in seconds."""
        if last_s is None:
            return Jump.NONE
        step = now_s - last_s
        if step < -self.back_s:
            return Jump.BACKWARD
        if step > self.ahead_s:
            return Jump.FORWARD
        return Jump.NONE


class Splicer:
    """Keeps one output clock running over sources that restart: one offset per session, equal for all tracks.

    Call `start_session` with the wall clock when a publisher comes, then `offset(timescale)` after the first
    frame fixed it. The offset is chosen so that time goes on where the last session ended plus the wall-clock
    gap, capped at `grace_s`.
    """

    def __init__(self, grace_s: float = 10.0) -> None:
        self.grace_s = grace_s
        self._end_s: float | None = None
        self._ended_at: float | None = None
        self._offset_s: float | None = None
        self._gap_s = 0.0

    def start_session(self, now: float) -> None:
        """A new publisher arrives at wall time `now`."""
        self._offset_s = None
        if self._end_s is not None and self._ended_at is not None:
            self._gap_s = min(max(now - self._ended_at, 0.0), self.grace_s)

    def fix(self, first_s: float) -> float:
        """Set the offset from the session's first decode time unless set; returns the offset in seconds."""
        if self._offset_s is None:
            self._offset_s = 0.0 if self._end_s is None else self._end_s + self._gap_s - first_s
        return self._offset_s

    def note(self, end_s: float, now: float) -> None:
        """Remember how far the output clock has come (`end_s`, with the offset applied) at wall time `now`."""
        if self._end_s is None or end_s > self._end_s:
            self._end_s = end_s
        self._ended_at = now
