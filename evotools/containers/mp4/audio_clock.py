"""Sample-exact times for audio packets whose source rounded them.

FLV counts milliseconds, MPEG-TS 90 kHz: 1024 samples at 48 kHz come out as 21 and 22 ms in turn. Written like that,
players resample or click. Packets tell how many samples they have, so times follow from counting; the source's times
only correct the count.
"""

from collections.abc import Sequence

from evotools.codecs.describe import packet_samples
from evotools.errors import ParseError
from evotools.media.frame import Frame
from evotools.media.timeline import rescale
from evotools.media.track import Track

RESYNC_S = 0.020
"""A packet that is this far from where counting puts it (or half a packet, when that is less) is where its source says:
a lost packet leaves a gap, and clocks that drift apart are corrected in small steps."""
MAX_RATE = 768_000
"""Hz. Above it is nonsense: the fastest converters take 768 kHz."""


def sample_clock(track: Track) -> int:
    """Ticks per second in which an audio track is best written: its sample rate, where that is known.

    For SBR the rate of the output: AAC counts 1024 samples of half that rate.
    """
    rate = 48_000 if track.codec == "opus" else track.sample_rate
    return rate if 0 < rate <= MAX_RATE else track.timescale


class AudioClock:
    """Places the packets of one track on a clock of `rate` ticks a second.

    Where the source's clock is the same, its times are taken as they are: they were not rounded.
    """

    __slots__ = ("_constant", "_count", "_exact", "_expected", "_last", "_slack", "_source", "rate")

    def __init__(self, track: Track, rate: int) -> None:
        self.rate = rate
        self._source = track.timescale
        self._exact = rate == track.timescale
        self._last: int | None = None
        self._count = 0
        """Ticks of the last packet; 0 while unknown."""
        self._expected: int | None = None
        """Where the next packet begins by counting."""
        # A tick and a half of the source: what rounding explains.
        self._slack = 3 * rate // (2 * track.timescale) + 1
        self._constant = self._ticks(track, b"") if track.codec == "aac" else 0
        """Ticks of every packet where the configuration alone tells; 0 elsewhere."""

    def _ticks(self, track: Track, payload: bytes) -> int:
        try:
            count, rate = packet_samples(track, payload)
        except ParseError:
            return 0
        return rescale(count, rate, self.rate) if rate else 0

    def _limit(self, count: int) -> int:
        return max(min(count >> 1, int(RESYNC_S * self.rate)), self._slack)

    def take(self, frames: Sequence[Frame]) -> tuple[list[int], int]:
        """(where each packet begins, how long the last one lasts), both in ticks of this clock.

        A length of 0 is unknown. The times always increase.
        """
        starts: list[int] = []
        append = starts.append
        source, rate, constant, exact = self._source, self.rate, self._constant, self._exact
        double, divisor = rate * 2, source * 2
        last, expected, count = self._last, self._expected, self._count
        limit = self._limit(constant or count)
        for frame in frames:
            given = frame.pts if exact else (frame.pts * double + source) // divisor
            if not constant:
                ticks = self._ticks(frame.track, frame.payload)
                if ticks != count:
                    count = ticks
                    limit = self._limit(count)
            if not exact and expected is not None and -limit <= given - expected <= limit:
                given = expected
            if last is not None and given <= last:
                # Stored media that steps back plays on.
                given = last + 1 if expected is None or expected <= last else expected
            append(given)
            last = given
            expected = given + (constant or count) if constant or count else None
        self._last, self._expected, self._count = last, expected, constant or count
        return starts, self._count

    def place(self, pts: int) -> int:
        """Where a packet at the source's time `pts` would begin if it came next and were as long as the last one."""
        given = rescale(pts, self._source, self.rate)
        expected = self._expected
        if not self._exact and expected is not None and abs(given - expected) <= self._limit(self._count):
            return expected
        if self._last is None or given > self._last:
            return given
        # As `take` goes on where stored media steps back.
        return self._last + 1 if expected is None or expected <= self._last else expected
