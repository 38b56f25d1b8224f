"""An append-only sequence of immutable chunks with absolute indices, of which the newest part is kept."""

from bisect import bisect_left
from collections import deque

PIECE_BYTES = 256 * 1024
"""A piece is no longer, save when one chunk is: what one write hands to a viewer that lags or starts, and so what a
dead peer can hold."""


class Epoch:
    """Where a track list begins in the sequence, and what tells a viewer of it."""

    __slots__ = ("change", "index", "join", "number")

    def __init__(self, number: int, index: int, join: bytes, change: bytes) -> None:
        self.number = number
        self.index = index
        self.join = join
        """The header for a viewer that starts in this epoch."""
        self.change = change
        """The header for a viewer that comes from another epoch; empty in the first."""


class ChunkLog:
    """Chunks, the marks where viewers may enter, and the epochs they belong to.

    Keeps at least the newest group plus `keep_s` seconds, at most `max_bytes` and `max_items`.
    """

    __slots__ = (
        "_chunks", "_dropped", "_ends", "_keep_s", "_max_bytes", "_max_items", "_pieces", "_times", "base", "bytes",
        "epochs", "joins", "marks",
    )  # fmt: skip

    def __init__(self, keep_s: float, max_bytes: int, max_items: int) -> None:
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._max_items = max_items
        # Chunk i is _chunks[i - base]; _ends holds the bytes up to and including it, _times its decode time.
        self._chunks: list[bytes] = []
        self._ends: list[int] = []
        self._times: list[float] = []
        self._dropped = 0
        self._pieces: dict[tuple[int, int], bytes] = {}
        self.base = 0
        """Index of the oldest chunk kept."""
        self.bytes = 0
        """Bytes ever appended."""
        self.joins = 0
        """How often chunks were joined."""
        self.marks: deque[tuple[int, float]] = deque()
        """Index and time of each entry point kept."""
        self.epochs: deque[Epoch] = deque()

    @property
    def end(self) -> int:
        """Index of the next chunk."""
        return self.base + len(self._chunks)

    @property
    def size(self) -> int:
        """Bytes kept."""
        return self.bytes - self._dropped

    @property
    def end_s(self) -> float:
        """Time of the newest chunk."""
        return self._times[-1] if self._times else 0.0

    def time_s(self, index: int) -> float:
        """Time of a chunk kept."""
        return self._times[index - self.base]

    def append(self, data: bytes, time_s: float) -> None:
        """Add a chunk; beyond the caps the oldest group goes, flushed or not."""
        self._chunks.append(data)
        self.bytes += len(data)
        self._ends.append(self.bytes)
        self._times.append(time_s)
        while self.bytes - self._dropped > self._max_bytes or len(self._chunks) > self._max_items:
            if self.marks:
                self.marks.popleft()
            self._cut(self.marks[0][0] if self.marks else self.end)

    def mark(self, time_s: float) -> None:
        """The next chunk is an entry point."""
        self.marks.append((self.end, time_s))

    def begin_epoch(self, join: bytes, change: bytes) -> None:
        """What follows belongs to another track list; `change`, when not empty, becomes a chunk."""
        number = self.epochs[-1].number + 1 if self.epochs else 1
        if self.epochs and self.epochs[-1].index == self.end:
            self.epochs.pop()
        self.epochs.append(Epoch(number, self.end, join, change))
        if change:
            self.append(change, self.end_s)

    def restart(self) -> None:
        """Forget marks and epochs; allowed while nothing was appended."""
        self.marks.clear()
        self.epochs.clear()

    def trim(self, head: int) -> None:
        """Drop groups older than the configured time, but nothing from `head` on."""
        marks = self.marks
        if not marks:
            return
        oldest_s = self.end_s - self._keep_s
        while len(marks) > 1 and marks[1][1] <= oldest_s and marks[1][0] <= head:
            marks.popleft()
        if marks[0][0] > self.base:
            self._cut(min(marks[0][0], head))

    def before(self, index: int) -> int:
        """Bytes of all chunks before `index`; of all that were dropped when it lies before the oldest."""
        position = index - self.base - 1
        return self._ends[position] if position >= 0 else self._dropped

    def stop(self, cursor: int, end: int) -> int:
        """End of the piece that begins at `cursor`: whole chunks up to PIECE_BYTES, at least one."""
        limit = self.before(cursor) + PIECE_BYTES
        if self._ends[end - self.base - 1] <= limit:
            return end
        return max(self.base + bisect_left(self._ends, limit + 1), cursor + 1)

    def piece(self, cursor: int, stop: int) -> bytes:
        """The chunks from `cursor` up to `stop` as one bytes object, the same one until `forget`."""
        data = self._pieces.get((cursor, stop))
        if data is None:
            base = self.base
            data = b"".join(self._chunks[cursor - base : stop - base])
            self.joins += 1
            self._pieces[cursor, stop] = data
        return data

    def forget(self) -> None:
        """Let the joined pieces go."""
        self._pieces.clear()

    def epoch_at(self, index: int) -> Epoch:
        """The epoch of the chunk at `index`; there must be one."""
        found = self.epochs[0]
        for epoch in self.epochs:
            if epoch.index <= index:
                found = epoch
        return found

    def epoch_read(self, cursor: int) -> int:
        """Number of the epoch of the last chunk before `cursor`; 0 when that is not known any more."""
        number = 0
        for epoch in self.epochs:
            if epoch.index < cursor:
                number = epoch.number
        return number

    def _cut(self, index: int) -> None:
        count = index - self.base
        if count <= 0:
            return
        self._dropped = self._ends[count - 1]
        del self._chunks[:count], self._ends[:count], self._times[:count]
        self.base = index
        epochs = self.epochs
        while len(epochs) > 1 and epochs[1].index < index:
            epochs.popleft()
