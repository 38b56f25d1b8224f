"""The live window: which segments a playlist shows, and which are still served to those who come late.

Media sequence numbers start at unix time divided by the target duration and never go back, so that a server that
takes over, or comes back, shows numbers that only grow (RFC 8216 6.2.2).
"""

from collections import deque

from evotools.packaging.segmenter import Segment

COUNT = 7
"""Segments of a playlist: with 2 s targets a player may fall 14 s behind before it loses its place."""
MAX_WINDOW_BYTES = 256 * 1024 * 1024
"""Segments kept per stream, expired ones included: 7 + 7 segments of 2 s at 70 Mbit/s."""
MIN_DURATIONS = 3
"""RFC 8216 6.2.2: no segment goes while the playlist would be shorter than three target durations."""
MAX_COUNT = 4 * COUNT
"""Where short segments and one very long one make that rule expensive, it yields."""


def first_sequence(unix_s: float, target_s: float, last: int = -1) -> int:
    """The media sequence number to start with at `unix_s`; always above `last`."""
    return max(int(unix_s / target_s), last + 1)


class LiveWindow:
    """Segments by name and in order. Segment names carry the session, so that no cache ever mixes two."""

    def __init__(
        self, sequence: int, *, target_s: float, count: int = COUNT, max_bytes: int = MAX_WINDOW_BYTES
    ) -> None:
        self.next_sequence = sequence
        self.discontinuity_sequence = 0
        """Discontinuities that have left the playlist (EXT-X-DISCONTINUITY-SEQUENCE)."""
        self.target_duration = max(round_half_up(target_s), 1)
        """Seconds, at least the rounded duration of every segment so far; it never shrinks."""
        self.ended = False
        """Nothing will be added."""
        self.version = 0
        """Changes whenever a playlist made from the window would."""
        self.segments: deque[Segment] = deque()
        """What the playlist shows."""
        self.peak_bps = 0
        """Of the fullest segment so far."""
        self.size = 0
        """Bytes held, late segments included."""
        self._count = count
        self._max_bytes = max_bytes
        self._late: deque[Segment] = deque()
        self._by_name: dict[str, Segment] = {}
        self._duration_s = 0.0

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def average_bps(self) -> int:
        """Over the segments shown."""
        size = sum(len(segment.data) for segment in self.segments)
        return int(size * 8 / self._duration_s) if self._duration_s > 0 else 0

    def add(self, segment: Segment, session: str) -> None:
        """Append a segment of the publisher's `session` and let old ones expire."""
        segment.sequence = self.next_sequence
        segment.name = f"{session}-{segment.sequence}"
        self.next_sequence += 1
        self.segments.append(segment)
        self._by_name[segment.name] = segment
        self.size += len(segment.data)
        self._duration_s += segment.duration_s
        self.target_duration = max(self.target_duration, round_half_up(segment.duration_s))
        # A rate over a sliver says nothing; RFC 8216 4.3.4.2 also leaves out what is under half a target duration.
        if segment.duration_s >= self.target_duration / 2 or not self.peak_bps:
            rate = len(segment.data) * 8 / max(segment.duration_s, 0.1)
            self.peak_bps = max(self.peak_bps, int(rate))
        self.version += 1
        while self._too_long():
            self._expire()
        # Late requests succeed for one more window (RFC 8216 6.2.2).
        while len(self._late) > self._count or (self._late and self.size > self._max_bytes):
            self._drop(self._late.popleft())
        while self.size > self._max_bytes and len(self.segments) > 1:
            self._expire()
            self._drop(self._late.popleft())

    def end(self) -> None:
        """Nothing more will come."""
        if not self.ended:
            self.ended = True
            self.version += 1

    def resume(self) -> None:
        """A publisher came back after all."""
        if self.ended:
            self.ended = False
            self.version += 1

    def find(self, name: str) -> Segment | None:
        """The segment of this name, shown or late."""
        return self._by_name.get(name)

    def _too_long(self) -> bool:
        if len(self.segments) <= self._count:
            return False
        shorter_s = self._duration_s - self.segments[0].duration_s
        return shorter_s >= MIN_DURATIONS * self.target_duration or len(self.segments) > MAX_COUNT

    def _expire(self) -> None:
        segment = self.segments.popleft()
        self._duration_s -= segment.duration_s
        if segment.discontinuity:
            self.discontinuity_sequence += 1
        self._late.append(segment)

    def _drop(self, segment: Segment) -> None:
        del self._by_name[segment.name]
        self.size -= len(segment.data)


def round_half_up(value: float) -> int:
    """RFC 8216 4.3.3.1 rounds to the nearest integer; halves count up here, as players do."""
    return int(value + 0.5)
