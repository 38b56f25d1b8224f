"""The newest media of a stream, kept so that readers can start at once."""

from collections import deque
from typing import Any

from evotools.hub.points import EntryPoints
from evotools.media.frame import Discontinuity, Event, Frame, Metadata, Tracks

VALUE_BYTES = 64
"""What each value of timed data costs beside its characters: a number and its place in a list or dict."""


def _size(item: Event) -> int:
    if isinstance(item, Frame):
        return len(item.payload)
    if isinstance(item, Metadata):
        return _weight(item.value)
    # Configurations may be tens of kilobytes, and a publisher may send a new one with every frame.
    return sum(len(track.config) for track in item.tracks) if isinstance(item, Tracks) else 0


def _weight(value: Any) -> int:
    """About what timed data takes in memory. What is in it twice, or contains itself, counts once."""
    size = 0
    seen: set[int] = set()
    stack = [value]
    while stack:
        value = stack.pop()
        size += VALUE_BYTES
        if isinstance(value, (str, bytes)):
            size += len(value)
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, dict):
                stack += value
                stack += value.values()
            else:
                stack += value
    return size


class FrameRing:
    """Events since an entry point: the newest group of pictures plus `keep_s`, capped in bytes and items.

    `replay` gives the track list and then everything kept. A group that alone exceeds a cap is not kept; readers
    then start at the next entry point.
    """

    __slots__ = ("_base", "_entries", "_items", "_keep_s", "_max_bytes", "_max_items", "_points", "_tracks", "size")

    def __init__(self, keep_s: float, max_bytes: int, max_items: int) -> None:
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._max_items = max_items
        self._items: deque[Event] = deque()
        self._base = 0
        self._entries: deque[tuple[int, float]] = deque()
        self._points = EntryPoints(())
        self._tracks = Tracks(())
        """The track list in force at the first item."""
        self.size = 0
        """Bytes kept, of payloads, configurations and timed data."""

    def __len__(self) -> int:
        return len(self._items)

    @property
    def entries(self) -> int:
        """Number of entry points kept."""
        return len(self._entries)

    def mark(self, event: Tracks | Discontinuity | Metadata) -> None:
        """A new track list or a break from here on, or timed data at this place."""
        if isinstance(event, Tracks):
            self._points = EntryPoints(event.tracks)
            if not self._entries:
                self._tracks = event
                return
        if self._entries:
            self._items.append(event)
            self.size += _size(event)
            self._shrink()

    def append(self, frame: Frame) -> None:
        """Keep `frame`, and drop what it makes superfluous."""
        entries = self._entries
        if self._points(frame):
            now_s = frame.dts / frame.track.timescale
            entries.append((self._base + len(self._items), now_s))
            while len(entries) > 1 and now_s - entries[1][1] >= self._keep_s:
                self._drop_group()
        elif not entries:
            return
        self._items.append(frame)
        self.size += len(frame.payload)
        if self.size > self._max_bytes or len(self._items) > self._max_items:
            self._shrink()

    def _shrink(self) -> None:
        while self.size > self._max_bytes or len(self._items) > self._max_items:
            self._drop_group()

    def _drop_group(self) -> None:
        entries, items = self._entries, self._items
        entries.popleft()
        until = entries[0][0] if entries else self._base + len(items)
        while self._base < until:
            item = items.popleft()
            self._base += 1
            self.size -= _size(item)
            if isinstance(item, Tracks):
                self._tracks = item

    def replay(self) -> list[Event]:
        """The track list and every event kept, in order."""
        return [self._tracks, *self._items]

    def newest_epoch(self) -> list[Frame]:
        """The frames kept since the newest track list, from an entry point on."""
        frames: list[Frame] = []
        points = EntryPoints(self._tracks.tracks)
        for item in self._items:
            if isinstance(item, Tracks):
                frames = []
                points = EntryPoints(item.tracks)
            elif isinstance(item, Frame) and (points(item) or frames):
                frames.append(item)
        return frames

    def clear(self) -> None:
        """Forget all media; the track list stays."""
        while self._entries:
            self._drop_group()
