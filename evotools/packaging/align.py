"""Whether the inputs' video is cut at the same instants, so that a player can change between them without a seam."""

from collections import deque
from dataclasses import dataclass, field

HISTORY_S = 120.0
"""How long boundaries are remembered: live inputs may be so far apart in arriving."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One boundary without a counterpart within half a frame."""

    number: int
    """Of the input that is not aligned with the reference."""
    at_s: float
    """Presentation time of the boundary."""
    away_s: float
    """Distance to the nearest boundary of the other."""
    missing: bool
    """The reference has it and the input does not; else the other way round."""


class _Edges:
    """Boundaries of one input."""

    __slots__ = ("done", "newest_s", "oldest_s", "times")

    def __init__(self) -> None:
        self.times: deque[float] = deque()
        self.oldest_s: float | None = None
        self.newest_s = float("-inf")
        self.done = False

    def add(self, at_s: float) -> None:
        if self.oldest_s is None:
            self.oldest_s = at_s
        self.newest_s = max(self.newest_s, at_s)
        self.times.append(at_s)
        while self.times[0] < at_s - HISTORY_S:
            self.times.popleft()

    def away_s(self, at_s: float) -> float:
        return min((abs(t - at_s) for t in self.times), default=float("inf"))

    def covers(self, at_s: float, slack_s: float) -> bool:
        """Whether `at_s` lies where this input has video at all."""
        return self.oldest_s is not None and self.oldest_s - slack_s <= at_s <= self.newest_s + slack_s


@dataclass(slots=True)
class _Pair:
    """Boundaries that were not compared yet."""

    own: deque[float] = field(default_factory=deque)
    of_reference: deque[float] = field(default_factory=deque)


class Alignment:
    """Compares every input with one of them."""

    def __init__(self) -> None:
        self.reference: int | None = None
        """Set by the first input that is noted, unless the caller did."""
        self.counts: dict[int, list[int]] = {}
        """By input: boundaries that the reference does not have, and that the input does not have."""
        self._edges: dict[int, _Edges] = {}
        self._pairs: dict[int, _Pair] = {}
        self._slack_s = 0.0

    @property
    def aligned(self) -> bool:
        """Whether every boundary compared so far has its counterparts."""
        return not any(any(counts) for counts in self.counts.values())

    def note(self, number: int, at_s: float, half_frame_s: float, *, cut: bool = True) -> list[Mismatch]:
        """Input `number` is cut at `at_s`, or begins there (not `cut`); the mismatches that this brings to light."""
        if self.reference is None:
            self.reference = number
        self._slack_s = max(self._slack_s, half_frame_s)
        self._edges.setdefault(number, _Edges()).add(at_s)
        if number == self.reference:
            if cut:
                for known in self._pairs.values():
                    known.of_reference.append(at_s)
            return [m for other in self._pairs for m in self._judge(other)]
        pair = self._pairs.get(number)
        if pair is None:
            pair = self._pairs[number] = _Pair()
            if self.reference in self._edges:
                pair.of_reference.extend(self._edges[self.reference].times)
        if cut:
            pair.own.append(at_s)
        return self._judge(number)

    def finish(self, number: int) -> list[Mismatch]:
        """Input `number` has no more boundaries."""
        if number in self._edges:
            self._edges[number].done = True
        return [m for other in self._pairs for m in self._judge(other)]

    def _judge(self, number: int) -> list[Mismatch]:
        assert self.reference is not None
        pair, own, reference = self._pairs[number], self._edges[number], self._edges.get(self.reference)
        if reference is None:
            return []
        extra = [Mismatch(number, *m, False) for m in _unmatched(pair.own, reference, self._slack_s)]
        missing = [Mismatch(number, *m, True) for m in _unmatched(pair.of_reference, own, self._slack_s)]
        counts = self.counts.setdefault(number, [0, 0])
        counts[0] += len(extra)
        counts[1] += len(missing)
        return extra + missing


def _unmatched(waiting: deque[float], other: _Edges, slack_s: float) -> list[tuple[float, float]]:
    """Take the boundaries that can be judged; those without a counterpart, with the distance to the nearest."""
    found: list[tuple[float, float]] = []
    while waiting and (other.done or other.newest_s >= waiting[0] - slack_s):
        at_s = waiting.popleft()
        # Before the other's first picture and behind its last there is nothing to compare with.
        if other.covers(at_s, slack_s) and (away_s := other.away_s(at_s)) > slack_s:
            found.append((at_s, away_s))
    while waiting and waiting[-1] - waiting[0] > HISTORY_S:
        waiting.popleft()
    return found
