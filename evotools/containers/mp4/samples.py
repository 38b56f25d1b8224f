"""Sample tables: where each sample of a track lies, when it is decoded and shown. ISO/IEC 14496-12 8.6 and 8.7.

The boxes stay as they are in memory, some 10 to 20 bytes a sample; a cursor decodes them in blocks on its way through.
"""

import struct
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate, repeat
from operator import add, mul
from typing import Any, Final, NamedTuple

from evotools.errors import ParseError

BLOCK: Final = 1024
"""Samples that are decoded at once: some 200 KB of Python integers per track."""
MAX_OFFSET: Final = 1 << 28
"""Ticks between decoding and presentation. Larger ones are damage: a table of them is left out."""

_MAX_DELTA: Final = 0x7FFF_FFFF
"""Old writers put corrections into stts that are negative as signed numbers. Time never goes back: they count as 1."""
_AHEAD: Final = 256
"""Entries of stsc and stco decoded at once."""
_SCAN: Final = 8192
"""Entries looked at at once when a whole table is scanned."""

_CANDIDATES: Final = 64
"""Key frames before the begin of an edit that are looked at: more are never decoded before it and shown behind it."""
_SHOWN_BLOCKS: Final = 64
"""Blocks in which the first picture of an edit is looked for. Where offsets are sound it is in the first one."""

_FIELD: Final = {"B": 1, "H": 2, "I": 4, "i": 4, "Q": 8}
_LETTER: Final = {8: "B", 16: "H", 32: "I"}

View = bytes | memoryview


class Block(NamedTuple):
    """Samples that follow each other in one track, as columns. Times in the media's timescale."""

    offsets: list[int]
    """Where they lie, in bytes from the beginning of the file."""
    sizes: list[int]
    dts: list[int]
    pts: list[int]
    durations: list[int]
    keys: list[bool]
    entry: int = 1
    """Number of the sample entry, from 1."""
    sides: list[dict[str, Any] | None] | None = None


class Table(NamedTuple):
    """The entries of a table box: `length` of `width` bytes each, in `data` from `start` on."""

    data: View
    start: int
    length: int
    width: int

    def values(self, form: str, first: int, count: int) -> tuple[int, ...]:
        """`count` entries from number `first` on, field by field; `form` is the struct letter of all fields."""
        fields = self.width // _FIELD[form]
        return struct.unpack_from(f">{count * fields}{form}", self.data, self.start + first * self.width)

    def chunks(self, form: str) -> Iterator[tuple[int, ...]]:
        """All of them, some thousands at a time."""
        for first in range(0, self.length, _SCAN):
            yield self.values(form, first, min(_SCAN, self.length - first))


def read_table(boxes: Mapping[bytes, View], kind: bytes, width: int, *, head: int = 4) -> Table:
    """The entries of the full box `kind`, which follow `head` bytes that end in their number; none without the box.

    Raises ParseError when the box is too short for what it announces.
    """
    data = boxes.get(kind)
    if data is None:
        return Table(b"", 0, 0, width)
    start = 4 + head
    if len(data) < start:
        raise ParseError(f"MP4: the box '{kind.decode()}' is too short")
    count = int.from_bytes(data[start - 4 : start], "big")
    # The number is believed only as far as the box reaches.
    if count * width > len(data) - start:
        raise ParseError(f"MP4: the box '{kind.decode()}' announces {count} entries and has no room for them")
    return Table(data, start, count, width)


class SampleTable:
    """The tables of one track, checked for size. `boxes` has the bodies of the boxes in stbl by type.

    Raises ParseError for tables that are broken beyond use.
    """

    def __init__(self, boxes: Mapping[bytes, View]) -> None:
        self.constant_size = 0
        self.size_bits = 32
        if b"stz2" in boxes and b"stsz" not in boxes:
            self.sizes = self._compact_sizes(boxes[b"stz2"])
            self.count = self.sizes.length
        else:
            data = boxes.get(b"stsz", bytes(12))
            if len(data) < 12:
                raise ParseError("MP4: the box 'stsz' is too short")
            # 8.7.3.2: a size that holds for all, or 0 and a table.
            self.constant_size, self.count = struct.unpack_from(">4xII", data)
            absent = {} if self.constant_size else {b"stsz": data}
            self.sizes = read_table(absent, b"stsz", 4, head=8)
        self.wide = b"co64" in boxes
        self.chunk_offsets = read_table(boxes, b"co64", 8) if self.wide else read_table(boxes, b"stco", 4)
        self.chunks = read_table(boxes, b"stsc", 12)
        self.times = read_table(boxes, b"stts", 8)
        self.offsets = read_table(boxes, b"ctts", 8)
        self.sync = read_table(boxes, b"stss", 4) if b"stss" in boxes else None
        # QuickTime file format: partial sync samples, where open groups of pictures begin.
        self.partial = read_table(boxes, b"stps", 4) if b"stps" in boxes else None
        if not self.chunk_offsets.length or not self.chunks.length:
            if self.count:
                raise ParseError(f"MP4: {self.count} samples lie in no chunk")
            self.count = 0
        if self.count and not self.times.length:
            raise ParseError(f"MP4: {self.count} samples have no decode times")
        # What lies in no chunk is nowhere.
        self.count = min(self.count, self._check_chunks())
        self.lowest_offset, self._highest_offset = self._offset_range()
        self.shortest, self.longest = self._deltas()

    def _compact_sizes(self, data: View) -> Table:
        if len(data) < 12:
            raise ParseError("MP4: the box 'stz2' is too short")
        bits, count = struct.unpack_from(">7xBI", data)
        # 8.7.3.3
        if bits not in (4, 8, 16):
            raise ParseError(f"MP4: the box 'stz2' has fields of {bits} bits")
        if (count * bits + 7) // 8 > len(data) - 12:
            raise ParseError(f"MP4: the box 'stz2' announces {count} entries and has no room for them")
        self.size_bits = bits
        return Table(data, 12, count, bits // 8)

    def _check_chunks(self) -> int:
        """How many samples the chunks hold."""
        # 8.7.4.3: chunks are numbered from 1, and each entry holds up to the next one.
        last = held = samples = 0
        end = self.chunk_offsets.length + 1
        for values in self.chunks.chunks("I"):
            firsts = list(values[::3])
            if firsts[0] <= last or firsts != sorted(set(firsts)) or (not last and firsts[0] != 1):
                raise ParseError("MP4: the box 'stsc' is out of order")
            for first, each in zip(firsts, values[1::3], strict=True):
                samples += held * (min(first, end) - min(last, end))
                last, held = first, each
        return samples + held * (end - min(last, end))

    def _offset_range(self) -> tuple[int, int]:
        """The lowest and the highest composition offset, 0 among them.

        Version 0 is unsigned on paper; QuickTime writes negative ones in it.
        """
        lowest = highest = 0
        for values in self.offsets.chunks("i"):
            lowest, highest = min(lowest, *values[1::2]), max(highest, *values[1::2])
        if lowest < -MAX_OFFSET:
            self.offsets = Table(b"", 0, 0, 8)
            return 0, 0
        return lowest, highest

    def sizes_of(self, first: int, count: int) -> list[int]:
        """Sizes of `count` samples from number `first` (from 0) on."""
        if self.constant_size:
            return [self.constant_size] * count
        if self.size_bits == 4:
            # 8.7.3.3: two sizes in an octet, the upper half first.
            start = self.sizes.start + first // 2
            packed = bytes(self.sizes.data[start : start + (count + first % 2 + 1) // 2])
            halves = [half for octet in packed for half in (octet >> 4, octet & 15)]
            return halves[first % 2 : first % 2 + count]
        return list(self.sizes.values(_LETTER[self.size_bits], first, count))

    def size_of(self, first: int, count: int) -> int:
        """Bytes of `count` samples from number `first` on."""
        if self.constant_size:
            return self.constant_size * count
        end = first + count
        return sum(sum(self.sizes_of(n, min(_SCAN, end - n))) for n in range(first, end, _SCAN))

    def total_size(self) -> int:
        """Bytes of all samples."""
        return self.size_of(0, self.count)

    def total_duration(self) -> int:
        """Ticks that the decode times cover."""
        return sum(sum(map(mul, values[::2], values[1::2])) for values in self.times.chunks("I"))

    def _deltas(self) -> tuple[int, int]:
        """Shortest and longest time between two samples, but for the last one where that has an entry of its own."""
        table = self.times
        if table.length > 1 and table.values("I", table.length - 1, 1)[0] == 1:
            table = table._replace(length=table.length - 1)
        low, high = 0xFFFF_FFFF, 0
        for values in table.chunks("I"):
            low, high = min(low, *values[1::2]), max(high, *values[1::2])
        return min(low, high), high

    def in_file_order(self, start: int) -> bool:
        """Whether no chunk lies before `start` or before the one that it follows: what comes once can be read once."""
        last = start
        for values in self.chunk_offsets.chunks("Q" if self.wide else "I"):
            ordered = sorted(values)
            if ordered[0] < last or ordered != list(values):
                return False
            last = ordered[-1]
        return True

    def start_of(self, media_time: int, margin: int, *, by_key: bool) -> int:
        """Number of the sample to begin with for an edit that begins at `media_time`.

        For pictures the last key frame that is shown no later; for sound `margin` ticks before, for its decoder.
        """
        last = self._decoded_by(media_time - margin) - 1
        if last <= 0 or not by_key:
            return max(last, 0)
        wanted = [_Numbers(t).before(last + 1, _CANDIDATES) for t in (self.sync, self.partial) if t is not None]
        among = sorted({n for numbers in wanted for n in numbers}) if wanted else range(last + 1)[-_CANDIDATES:]
        # Those that are decoded in time may yet be shown later.
        cursor, best = TableCursor(self), 0
        for number in among:
            cursor.skip_to(number)
            block = cursor.read(1)
            if block is not None and block.pts[0] <= media_time:
                best = number
        return best

    def _decoded_by(self, media_time: int) -> int:
        """How many samples have a decode time no later than this; 8.6.1.2, entry by entry."""
        if media_time < 0:
            return 0
        number = dts = delta = 0
        for values in self.times.chunks("I"):
            for run, value in zip(values[::2], values[1::2], strict=True):
                delta = _delta(value)
                if dts + run * delta > media_time:
                    return min(number + (media_time - dts) // delta + 1, self.count)
                number, dts = number + run, dts + run * delta
        # The last entry goes on.
        more = (media_time - dts) // delta + 1 if delta else self.count
        return min(number + more, self.count)

    def first_shown(self, media_time: int, first: int) -> int:
        """Media time of the first picture that an edit from `media_time` on shows; `first` is its first sample."""
        cursor = TableCursor(self)
        # What is decoded before that is shown too early.
        cursor.skip_to(max(first, self._decoded_by(media_time - self._highest_offset - 1)))
        best: int | None = None
        for _ in range(_SHOWN_BLOCKS):
            block = cursor.read(BLOCK)
            if block is None:
                break
            shown = [time for time in block.pts if time >= media_time]
            best = min(shown if best is None else [best, *shown], default=None)
            # Nothing is shown earlier than its decode time and the lowest offset.
            if best is not None and block.dts[-1] + self.lowest_offset >= best:
                break
        return media_time if best is None else best


class TableCursor:
    """One pass over the samples of a track, block by block."""

    def __init__(self, table: SampleTable, *, first: int = 0, stop: int | None = None, base: int = 0) -> None:
        """`first` is the number of the first sample, `stop` the decode time that ends the pass, `base` what all
        offsets count from."""
        self._table = table
        self._stop = stop
        self._base = base
        self._sample = 0
        # 8.7.4: where the chunk goes on, samples left in it, its number, the run of equal chunks.
        self._offset = 0
        self._left = 0
        self._chunk = 0
        self._run = 0
        self._run_end = 0
        # Entries of stsc and stco that are decoded ahead.
        self._runs: tuple[int, ...] = ()
        self._runs_start = 0
        self._runs_end = 0
        self._places: tuple[int, ...] = ()
        self._places_start = 0
        self._per_chunk = 0
        self._entry = 1
        # 8.6.1.2 and 8.6.1.3
        self._dts = 0
        self._deltas = _Runs(table.times, "I", endless=True)
        self._shifts = _Runs(table.offsets, "i", endless=False) if table.offsets.length else None
        self._sync = [_Numbers(t) for t in (table.sync, table.partial) if t is not None]
        self.skip_to(first)

    def skip_to(self, number: int) -> None:
        """Pass over the samples before `number`, counted from 0. The time it takes depends on the tables' entries, not
        on how many samples they announce."""
        count = min(number, self._table.count) - self._sample
        if count <= 0:
            return
        self._skip_offsets(count)
        self._sample += count
        self._dts += self._deltas.skip(count)
        if self._shifts is not None:
            self._shifts.skip(count)

    def _skip_offsets(self, count: int) -> None:
        number = self._sample
        while count:
            if not self._left:
                while self._chunk >= self._run_end:
                    if not self._next_run():
                        return
                whole = min(count // self._per_chunk, self._run_end - self._chunk) if self._per_chunk else (
                    self._run_end - self._chunk
                )  # fmt: skip
                self._chunk += whole
                number += whole * self._per_chunk
                count -= whole * self._per_chunk
                if whole:
                    continue
                self._enter_chunk()
            step = min(self._left, count)
            self._offset += self._table.size_of(number, step)
            self._left -= step
            number += step
            count -= step

    def read(self, limit: int) -> Block | None:
        """The next samples, at most `limit`; None at the end. Raises ParseError."""
        table = self._table
        count = min(limit, table.count - self._sample)
        if count <= 0:
            return None
        sizes = table.sizes_of(self._sample, count)
        offsets = self._offsets(sizes)
        count = len(offsets)
        if not count:
            self._sample = table.count
            return None
        del sizes[count:]
        durations = self._deltas.take(count)
        if table.longest > _MAX_DELTA:
            durations = list(map(_delta, durations))
        dts = list(accumulate(durations, initial=self._dts))
        self._dts = dts.pop()
        pts = list(map(add, dts, self._shifts.take(count))) if self._shifts is not None else dts
        keys = self._keys(count)
        entry = self._entry
        self._sample += count
        if self._stop is not None and dts[-1] >= self._stop:
            self._sample = table.count
            count = bisect_left(dts, self._stop)
            if not count:
                return None
            for column in (offsets, sizes, dts, durations, keys):
                del column[count:]
            if pts is not dts:
                del pts[count:]
        return Block(offsets, sizes, dts, pts, durations, keys, entry)

    def _next_run(self) -> bool:
        """Take the next entry of stsc; False behind the last chunk."""
        table = self._table.chunks
        count = self._table.chunk_offsets.length
        if self._run >= table.length or self._chunk >= count:
            return False
        if self._run + 1 >= self._runs_end and self._runs_end < table.length:
            # One entry more than those that are taken: where the next one begins is where this one ends.
            self._runs_start = self._run
            self._runs_end = min(self._run + _AHEAD, table.length)
            self._runs = table.values("I", self._run, self._runs_end - self._run)
        at = (self._run - self._runs_start) * 3
        self._per_chunk, self._entry = self._runs[at + 1], self._runs[at + 2]
        self._run += 1
        self._run_end = min(self._runs[at + 3] - 1, count) if at + 3 < len(self._runs) else count
        return True

    def _offsets(self, sizes: list[int]) -> list[int]:
        """Where samples of these sizes lie: as many of them as belong to one sample entry."""
        table = self._table
        letter = "Q" if table.wide else "I"
        base = self._base
        out: list[int] = []
        place, total = 0, len(sizes)
        while place < total:
            if not self._left:
                while self._chunk >= self._run_end:
                    entry = self._entry
                    if not self._next_run():
                        return out
                    if out and entry != self._entry:
                        # The new entry holds from the next block on: this run is taken again then.
                        self._run -= 1
                        self._run_end = self._chunk
                        self._entry = entry
                        return out
                if self._per_chunk == 1:
                    # Many writers make a chunk of each sample.
                    count = min(total - place, self._run_end - self._chunk)
                    run = table.chunk_offsets.values(letter, self._chunk, count)
                    out += [offset + base for offset in run] if base else run
                    self._chunk += count
                    place += count
                    continue
                self._enter_chunk()
                if not self._left:
                    continue
            left = self._left
            if left > total - place:
                left = total - place
            ends = list(accumulate(sizes[place : place + left], initial=self._offset))
            self._offset = ends.pop()
            out += ends
            self._left -= left
            place += left
        return out

    def _enter_chunk(self) -> None:
        """Go to the beginning of the next chunk."""
        table = self._table
        at = self._chunk - self._places_start
        if not 0 <= at < len(self._places):
            self._places_start, at = self._chunk, 0
            count = min(_AHEAD, table.chunk_offsets.length - self._chunk)
            self._places = table.chunk_offsets.values("Q" if table.wide else "I", self._chunk, count)
        self._offset = self._places[at] + self._base
        self._left = self._per_chunk
        self._chunk += 1

    def _keys(self, count: int) -> list[bool]:
        if not self._sync:
            # 8.6.2: without the box every sample is a sync sample.
            return [True] * count
        keys = [False] * count
        for numbers in self._sync:
            for number in numbers.upto(self._sample, self._sample + count):
                keys[number - self._sample] = True
        return keys


class _Runs:
    """A run-length table (count, value), taken from the front."""

    def __init__(self, table: Table, form: str, *, endless: bool) -> None:
        """`endless`: where the table ends early its last value goes on; else zeros follow."""
        self._table = table
        self._form = form
        self._endless = endless
        self._position = 0
        self._left = 0
        self._value = 0

    def take(self, count: int) -> list[int]:
        """The next `count` values."""
        run = min(self._left, count)
        out = [self._value] * run
        self._left -= run
        count -= run
        table = self._table
        while count:
            ahead = min(count, table.length - self._position)
            if not ahead:
                out += repeat(self._value if self._endless else 0, count)
                break
            # The counts as they are: no table has 2^31 equal entries and a negative number is nonsense.
            values = table.values(self._form, self._position, ahead)
            counts, numbers = values[::2], values[1::2]
            if counts.count(1) == ahead:
                # With reordering each sample has an entry of its own.
                out += numbers
                self._value = numbers[-1]
                self._position += ahead
                count -= ahead
                continue
            for run, value in zip(counts, numbers, strict=True):
                self._position += 1
                self._value = value
                if run >= count:
                    out += repeat(value, count)
                    self._left = run - count
                    count = 0
                    break
                if run > 0:
                    out += repeat(value, run)
                    count -= run
        return out

    def skip(self, count: int) -> int:
        """Pass over the next `count` values; their sum as time (see _MAX_DELTA)."""
        total, table = 0, self._table
        # Beginning with what is left of the entry before.
        self._position -= 1
        values: tuple[int, ...] = (self._left, self._value)
        while values:
            for run, value in zip(values[::2], values[1::2], strict=True):
                self._position += 1
                used = min(max(run, 0), count)
                total += used * _delta(value)
                count -= used
                self._left, self._value = max(run - used, 0), value
                if not count:
                    return total
            values = table.values(self._form, self._position, min(_SCAN, table.length - self._position))
        return total + count * _delta(self._value) if self._endless else total


def _delta(value: int) -> int:
    return 1 if value > _MAX_DELTA else value


class _Numbers:
    """Sample numbers of stss or stps, in order."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._position = 0
        # Numbers count from 1; some old writers counted from 0.
        self._origin = 1 if table.length and table.values("I", 0, 1)[0] else 0

    def before(self, stop: int, most: int) -> list[int]:
        """The last ones before `stop`, at most so many, counted from 0. Their order is believed."""
        table, origin = self._table, self._origin
        end = bisect_left(range(table.length), stop + origin, key=lambda at: table.values("I", at, 1)[0])
        first = max(end - most, 0)
        return [number - origin for number in table.values("I", first, end - first) if number >= origin]

    def upto(self, first: int, stop: int) -> list[int]:
        """Those from `first` to `stop` (exclusive), counted from 0."""
        found: list[int] = []
        table = self._table
        while self._position < table.length:
            ahead = table.values("I", self._position, min(64, table.length - self._position))
            for value in ahead:
                number = value - self._origin
                if number >= stop:
                    return found
                self._position += 1
                if number >= first:
                    found.append(number)
        return found
