"""The sample tables of one track of an ordinary MP4 file, gathered run by run. ISO/IEC 14496-12 8.6, 8.7.

Numbers are kept in arrays: a sample of audio costs 4 bytes, one of video with reordering 8; those whose duration
differs from the last one's 8 more.
"""

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from evotools.containers.mp4.boxes import full_box
from evotools.containers.mp4.fragment import Run
from evotools.containers.mp4.init import Edit, TrackBox
from evotools.media.track import Kind, Track

MAX_DURATION = 0xFFFF_FFFF
"""stts has 32 bits (8.6.1.2): 13 hours at 90 kHz."""
MAX_ENTRIES = 64
"""Sample entries of one track, one for each configuration; as many as our reader takes. A stream of more goes on
under the last one, with its parameter sets in band."""

OPUS_ROLL_MS = 80


class _Tail(NamedTuple):
    """The last run's times: how long its last sample lasts is not known before the next run comes."""

    base: int
    durations: Sequence[int]
    offsets: Sequence[int]


class SampleTable:
    """The samples of one track."""

    __slots__ = (
        "_begin", "_chunk_entries", "_chunk_samples", "_chunks", "_counts", "_delay", "_durations", "_early", "_entry",
        "_keys", "_last", "_offsets", "_sizes", "_tail", "entries", "number", "timescale", "track",
    )  # fmt: skip

    def __init__(self, track: Track, number: int, timescale: int, early: int) -> None:
        """`early`: ticks by which the decode times given to `add` are higher than on the file's clock."""
        self.track = track
        self.number = number
        self.timescale = timescale
        self.entries: list[bytes] = []
        """Sample entries."""
        self._entry = 0
        self._early = early
        self._sizes = array("I")
        self._counts = array("I")
        self._durations = array("I")
        """stts: so many samples of such a duration."""
        self._offsets: array[int] | None = None
        """Presentation minus decode time of each sample; None while all are 0."""
        self._keys: array[int] | None = array("I") if track.kind is Kind.VIDEO else None
        """Numbers of the sync samples; None where all are."""
        self._chunks = array("Q")
        self._chunk_samples = array("I")
        self._chunk_entries = array("H")
        self._begin = 0
        """Decode time of the first sample."""
        self._delay = 0
        """Its presentation minus its decode time."""
        self._last = 0
        """Decode time of the newest sample."""
        self._tail = _Tail(0, (), ())

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(self._sizes)

    def describe_by(self, entry: bytes) -> None:
        """The samples that follow are described by this sample entry."""
        if entry not in self.entries:
            if len(self.entries) >= MAX_ENTRIES:
                return
            self.entries.append(entry)
        self._entry = self.entries.index(entry) + 1

    def add(self, at: int, run: Run, sizes: Sequence[int]) -> None:
        """The samples of a fragment's run, which lie one behind the other from byte `at` of the file."""
        base, durations, offsets = run.base_decode_time, run.durations, run.offsets
        before, count = len(self._sizes), len(sizes)
        if before:
            self._note([min(base - self._last, MAX_DURATION), *durations[:-1]])
        else:
            self._begin = base
            self._delay = offsets[0] if offsets else 0
            self._note(durations[:-1])
        self._last = base + sum(durations) - durations[-1]
        self._tail = _Tail(base, durations, offsets)
        self._sizes.extend(sizes)
        if offsets and self._offsets is None:
            self._offsets = array("i", bytes(4 * before))
        if self._offsets is not None:
            self._offsets.extend(offsets or bytes(count))
        if self._keys is not None:
            self._keys.extend([number for number, frame in enumerate(run.frames, before + 1) if frame.key])
        self._chunks.append(at)
        self._chunk_samples.append(count)
        self._chunk_entries.append(self._entry)

    def _note(self, durations: Sequence[int]) -> None:
        if not durations:
            return
        counts, values = self._counts, self._durations
        first = durations[0]
        groups: Iterable[tuple[int, int]]
        if durations.count(first) == len(durations):
            groups = ((first, len(durations)),)
        else:
            groups = ((value, sum(1 for _ in same)) for value, same in groupby(durations))
        for value, count in groups:
            if values and values[-1] == value:
                counts[-1] += count
            else:
                values.append(value)
                counts.append(count)

    def finish(self) -> TrackBox:
        """The tables and the edit list. Empties this."""
        last = self._tail.durations[-1]
        self._note([last])
        total = self._last + last - self._begin
        offsets = self._offsets
        # Players of old know only unsigned offsets.
        lift = 0 if offsets is None else max(-min(offsets), 0)
        # The edit list takes back the lift, the wait for the first picture and what comes before the presentation; a
        # track that begins later waits before it.
        start = self._begin - self._early - lift
        media_time = max(self._delay + lift, -start)
        shown = max(self._end() - self._begin + lift - media_time, 1)
        edit = Edit(media_time, media_time + start, shown)
        tables = [self._stts(), self._stss(), self._ctts(lift), self._stsc(), self._stsz(), self._stco()]
        tables.append(self._roll())
        # The tables take their place.
        self._sizes, self._counts, self._durations, self._chunks = array("I"), array("I"), array("I"), array("Q")
        self._offsets = None
        return TrackBox(self.track, self.number, self.timescale, self.entries, tables, total, edit)

    def _end(self) -> int:
        """Where the presentation ends, in decode times as given to `add`."""
        at, durations, offsets = self._tail
        end = 0
        for index, duration in enumerate(durations):
            end = max(end, at + duration + (offsets[index] if offsets else 0))
            at += duration
        return end

    def _stts(self) -> bytes:
        return full_box(b"stts", 0, 0, _pairs(self._counts, self._durations))

    def _stss(self) -> bytes:
        if self._keys is None or len(self._keys) == len(self._sizes):
            return b""
        return full_box(b"stss", 0, 0, len(self._keys).to_bytes(4, "big"), _packed(self._keys))

    def _ctts(self, lift: int) -> bytes:
        if self._offsets is None:
            return b""
        counts, values = array("I"), array("I")
        for value, same in groupby(self._offsets):
            counts.append(sum(1 for _ in same))
            values.append(value + lift)
        return full_box(b"ctts", 0, 0, _pairs(counts, values))

    def _stsc(self) -> bytes:
        rows = array("I")
        before = (0, 0)
        for number, pair in enumerate(zip(self._chunk_samples, self._chunk_entries, strict=True), 1):
            if pair != before:
                rows.extend((number, *pair))
                before = pair
        return full_box(b"stsc", 0, 0, (len(rows) // 3).to_bytes(4, "big"), _packed(rows))

    def _stsz(self) -> bytes:
        sizes, count = self._sizes, len(self._sizes).to_bytes(4, "big")
        if sizes.count(sizes[0]) == len(sizes):
            return full_box(b"stsz", 0, 0, sizes[0].to_bytes(4, "big"), count)
        return full_box(b"stsz", 0, 0, bytes(4), count, _packed(sizes))

    def _stco(self) -> bytes:
        count = len(self._chunks).to_bytes(4, "big")
        # 8.7.5
        if self._chunks[-1] > 0xFFFF_FFFF:
            return full_box(b"co64", 0, 0, count, _packed(self._chunks))
        return full_box(b"stco", 0, 0, count, _packed(array("I", self._chunks)))

    def _roll(self) -> bytes:
        """How many samples a decoder has to take before one sounds right (10.1): sgpd and sbgp. Opus in ISOBMFF 4.3.6.2
        demands it, for 80 ms; QuickTime looks for it in AAC."""
        if self.track.codec == "aac":
            back = 1
        elif self.track.codec == "opus" and self._durations:
            back = -(-OPUS_ROLL_MS * self.timescale // (1000 * max(self._durations[0], 1)))
        else:
            return b""
        group = full_box(b"sgpd", 1, 0, b"roll", struct.pack(">IIh", 2, 1, -min(back, 0x7FFF)))
        return group + full_box(b"sbgp", 0, 0, b"roll", struct.pack(">III", 1, len(self._sizes), 1))


def _packed(values: "array[int]") -> bytes:
    """The numbers, big-endian."""
    if sys.byteorder == "little":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def _pairs(counts: "array[int]", values: "array[int]") -> bytes:
    """A table of (count, value), led by its length."""
    rows = array("I", bytes(8 * len(counts)))
    rows[0::2] = counts
    rows[1::2] = values
    return len(counts).to_bytes(4, "big") + _packed(rows)
