"""Where segments are cut: at the first key frame at or after each multiple of the target duration.

Multiples of one origin, not of the last cut: inputs that are key-framed alike are then cut alike, however they were
read, and a key frame that one of them lacks costs one boundary instead of shifting all that follow.
"""

from math import floor

EARLY_S = 0.01
"""A key frame so little before a multiple counts as on it: clocks of milliseconds and of 90 kHz round differently."""
LEAD_S = 1.0
"""Sound may begin so much before the first picture, which multiples count from."""
LONGEST_TARGETS = 5
"""Without key frames a cut is forced after so many target durations …"""
LONGEST_S = 30.0
"""… but not before this: cameras with a key frame every 10 or 20 s are usual, and a forced cut cannot be seeked to."""


class Grid:
    """A `cutter.Rule`. Set `origin_s` before the first piece where it shall not be the first boundary."""

    def __init__(self, target_s: float, origin_s: float | None = None) -> None:
        self.target_s = target_s
        self.origin_s = origin_s
        """Media time of multiple 0."""
        self._next_s = 0.0

    @property
    def longest_s(self) -> float:
        """How long a piece may become for want of key frames."""
        return max(LONGEST_TARGETS * self.target_s, LONGEST_S)

    def begin(self, start_s: float, unix_s: float) -> None:
        """A piece begins at `start_s`; the next one is due at the next multiple."""
        if self.origin_s is None:
            self.origin_s = start_s
        passed = floor((start_s - self.origin_s + EARLY_S) / self.target_s)
        if self.origin_s - LEAD_S < start_s < self.origin_s:
            passed = 0
        self._next_s = self.origin_s + (passed + 1) * self.target_s - EARLY_S

    def due(self, at_s: float, unix_s: float, size_bytes: int) -> bool:
        """Whether `at_s` lies at or behind the next multiple."""
        return at_s >= self._next_s
