"""Ordinary MP4 files that survive being cut off: fragmented while they grow, with one index once they are finished.

The file begins with ftyp and a small free box, then goes on like any fragmented file. At the end a movie box with the
tables of all samples is appended, and the free box is overwritten with the header of an mdat box that reaches up to it:
the first movie header and the fragments disappear inside, and what is left is an ordinary file (ftyp, mdat, moov).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from evotools.containers.mp4 import entries
from evotools.containers.mp4.boxes import box
from evotools.containers.mp4.collect import Batch, Collector, Lane, same_media
from evotools.containers.mp4.fragment import fragment
from evotools.containers.mp4.init import Brands, file_type, movie
from evotools.containers.mp4.mux import header_of
from evotools.containers.mp4.tables import SampleTable
from evotools.media.frame import Frame
from evotools.media.track import Track

MAX_FRAGMENT_S: Final = 2.0
"""Longest fragment: what a kill may cost. A group of pictures that lasts longer is split."""
_PLACE: Final = box(b"free", bytes(8))
"""As large as the header of an mdat box with a 64-bit size."""


class HybridWriter:
    """One file. The methods give bytes to append; `finish` also what to overwrite.

    A changed track list carries on in the same file: a changed configuration is one more sample entry of its track,
    anything else a new track.
    """

    mime = "video/mp4"

    def __init__(self, *, max_s: float = MAX_FRAGMENT_S, brands: Brands = "file") -> None:
        """`max_s`: longest fragment. `brands`: `file` or `m4a`."""
        self._brands: Brands = brands
        self._collector = Collector("gop", max_s)
        self._sequence = 0
        self._at = 0
        """Bytes given out."""
        self._place = 0
        self._tables: dict[int, SampleTable] = {}

    def accepts(self, track: Track) -> bool:
        """Whether MP4 has a name for the track's codec."""
        return entries.accepts(track)

    def start(self, tracks: Sequence[Track]) -> bytes:
        """Begin an epoch. Raises MediaError when a track cannot be carried."""
        if same_media(tracks, self._collector.tracks):
            return b""
        held = b""
        if self._collector.tracks:
            held = b"".join(self._emit(self._collector.rest()))
            self._collector.start(tracks)
            return held
        self._collector.start(tracks)
        head = file_type(tracks, self._brands, fragmented=False)
        self._place = len(head)
        head += _PLACE
        self._at = len(head)
        return head

    def write(self, frame: Frame) -> bytes:
        """The fragment that this frame ends, if it does."""
        batches = self._collector.push(frame)
        return b"".join(self._emit(batches)) if batches else b""

    def write_all(self, frames: Iterable[Frame]) -> list[bytes]:
        """The same for many frames, in parts that are not copied: to be written one behind the other."""
        push, parts = self._collector.push, []
        for frame in frames:
            batches = push(frame)
            if batches:
                parts += self._emit(batches)
        return parts

    def finish(self) -> tuple[bytes, list[tuple[int, bytes]]]:
        """(bytes to append, what to overwrite then: offset and bytes). The order matters should it be cut off here."""
        last = b"".join(self._emit(self._collector.rest()))
        tables = [table for table in self._tables.values() if table.samples]
        if not tables:
            return last, []
        # ISO/IEC 14496-12 4.2.2: size 1 announces a 64-bit size.
        size = self._at - self._place
        patch = (1).to_bytes(4, "big") + b"mdat" + size.to_bytes(8, "big")
        index = movie([table.finish() for table in tables], fragmented=False)
        self._tables.clear()
        return last + index, [(self._place, patch)]

    def _emit(self, batches: list[Batch]) -> list[bytes]:
        if not batches:
            return []
        announce, runs = self._collector.gather(batches)
        head = b""
        if announce:
            head = header_of(announce)
            # The file has its ftyp already.
            head = head[int.from_bytes(head[:4], "big") :]
            for lane in announce:
                self._announce(lane)
        if not runs:
            return []
        self._sequence += 1
        parts = fragment(self._sequence, [run for _, run in runs], lead=head)
        at = self._at + len(parts[0])
        first = 1
        for lane, run in runs:
            sizes = list(map(len, parts[first : first + len(run.durations)]))
            first += len(sizes)
            self._table(lane).add(at, run, sizes)
            at += sum(sizes)
        self._at = at
        return parts

    def _announce(self, lane: Lane) -> None:
        table = self._tables.get(lane.number)
        if table is not None:
            table.describe_by(entries.sample_entry(lane.track))

    def _table(self, lane: Lane) -> SampleTable:
        table = self._tables.get(lane.number)
        if table is None:
            timing = lane.timing
            table = self._tables[lane.number] = SampleTable(
                lane.track, lane.number, timing.timescale, lane.edit.media_time
            )
            table.describe_by(entries.sample_entry(lane.track))
        return table
