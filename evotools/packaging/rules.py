"""When a recording begins a new file: by media time, by the clock, by size, at every key frame. Pure; see `Cutter`.

Every rule is asked at key frames only, so files begin where decoding can begin.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from evotools.packaging.cutter import NEAR_S, Rule

PATIENCE_S = 10.0
"""How much longer than twice its time a file may grow before one says that key frames are missing."""
KEYLESS_S = 60.0
"""The same for rules that know no time."""


class FileRule(Rule, Protocol):
    """A rule that can tell when key frames are too rare for it."""

    def overdue(self, at_s: float, size_bytes: int) -> bool:
        """Whether the current file, come to `at_s`, is far beyond what was asked for."""
        ...


class EveryTime:
    """A grid of media time that begins with the first file: 0, D, 2 D …"""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._origin_s: float | None = None
        self._start_s = 0.0
        self.next_s = 0.0
        """Where the grid has its next line."""

    def begin(self, start_s: float, unix_s: float) -> None:
        """See `Rule`."""
        if self._origin_s is None:
            self._origin_s = start_s
        self._start_s = start_s
        # A file that begins a little before its line belongs to that line.
        lines = math.floor((start_s - self._origin_s + NEAR_S) / self._period_s)
        self.next_s = self._origin_s + (lines + 1) * self._period_s

    def due(self, at_s: float, unix_s: float, size_bytes: int) -> bool:
        """See `Rule`."""
        return at_s >= self.next_s - NEAR_S

    def overdue(self, at_s: float, size_bytes: int) -> bool:
        """See `FileRule`."""
        return at_s - self._start_s > 2 * self._period_s + PATIENCE_S


class EveryClock:
    """Multiples of a period on the wall clock: 5 minutes are :00, :05, :10 …; a day begins at midnight.

    While `by_media` is set, media comes faster than the clock runs (a file), and the grid of media time counts.
    """

    def __init__(self, period_s: float, utc_offset_s: Callable[[float], float]) -> None:
        """`utc_offset_s`: what local time is ahead of UTC at a Unix time."""
        self.by_media = False
        self._media = EveryTime(period_s)
        self._period_s = period_s
        self._offset_s = utc_offset_s
        self._next_unix_s = 0.0
        self._stepped = False

    def begin(self, start_s: float, unix_s: float) -> None:
        """See `Rule`."""
        self._media.begin(start_s, unix_s)
        self._next_unix_s = self._after(unix_s + NEAR_S)
        self._stepped = False

    def stepped_back(self) -> None:
        """The clock was set back: what the next line is must be asked anew."""
        self._stepped = True

    def due(self, at_s: float, unix_s: float, size_bytes: int) -> bool:
        """See `Rule`."""
        if self.by_media:
            return self._media.due(at_s, unix_s, size_bytes)
        if self._stepped:
            self._stepped = False
            self._next_unix_s = min(self._next_unix_s, self._after(unix_s))
        return unix_s >= self._next_unix_s - NEAR_S

    def overdue(self, at_s: float, size_bytes: int) -> bool:
        """See `FileRule`."""
        return self._media.overdue(at_s, size_bytes)

    def _after(self, unix_s: float) -> float:
        """The first line after `unix_s`."""
        local_s = unix_s + self._offset_s(unix_s)
        line_s = (math.floor(local_s / self._period_s) + 1) * self._period_s
        guess_s = line_s - self._offset_s(unix_s)
        # Between now and then summer time may begin or end.
        return max(line_s - self._offset_s(guess_s), unix_s)


class EverySize:
    """A new file before the current one grows beyond a size: when another group of pictures as large as the largest
    so far would not fit."""

    def __init__(self, limit_bytes: int) -> None:
        self.overhead = 1.0
        """Bytes of the file for each byte of payload, as seen so far."""
        self._limit = limit_bytes
        self._at = 0
        self._largest = 0

    def begin(self, start_s: float, unix_s: float) -> None:
        """See `Rule`."""
        self._at = 0

    def due(self, at_s: float, unix_s: float, size_bytes: int) -> bool:
        """See `Rule`."""
        self._largest = max(self._largest, size_bytes - self._at)
        self._at = size_bytes
        return (size_bytes + self._largest) * self.overhead > self._limit

    def overdue(self, at_s: float, size_bytes: int) -> bool:
        """See `FileRule`."""
        return size_bytes * self.overhead > 2 * self._limit


class EveryKey:
    """Every key frame begins a file."""

    def __init__(self) -> None:
        self._start_s = 0.0

    def begin(self, start_s: float, unix_s: float) -> None:
        """See `Rule`."""
        self._start_s = start_s

    def due(self, at_s: float, unix_s: float, size_bytes: int) -> bool:
        """See `Rule`."""
        return True

    def overdue(self, at_s: float, size_bytes: int) -> bool:
        """See `FileRule`."""
        return at_s - self._start_s > KEYLESS_S


class FirstOf:
    """Several rules: whichever comes first."""

    def __init__(self, rules: Sequence[FileRule]) -> None:
        self._rules = tuple(rules)

    def begin(self, start_s: float, unix_s: float) -> None:
        """See `Rule`."""
        for rule in self._rules:
            rule.begin(start_s, unix_s)

    def due(self, at_s: float, unix_s: float, size_bytes: int) -> bool:
        """See `Rule`."""
        # All are asked: some of them count.
        answers = [rule.due(at_s, unix_s, size_bytes) for rule in self._rules]
        return any(answers)

    def overdue(self, at_s: float, size_bytes: int) -> bool:
        """See `FileRule`."""
        return any(rule.overdue(at_s, size_bytes) for rule in self._rules)
