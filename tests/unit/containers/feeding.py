"""Ways to feed a reader: in pieces, and with a stream that never becomes what it waits for."""

import tracemalloc
from collections.abc import Callable, Iterable

from evotools.containers.base import Demuxer
from evotools.media.frame import Event

MIB = 1 << 20


def demuxed(demuxer: Demuxer, data: bytes, cuts: Iterable[int] | None = None) -> list[Event]:
    """All events of `data`, fed in pieces that end at `cuts`."""
    events: list[Event] = []
    start = 0
    for cut in [*sorted(cuts or ()), len(data)]:
        events += demuxer.feed(data[start:cut])
        start = cut
    return events + demuxer.flush()


def peak(feed: Callable[[bytes], object], pieces: Iterable[bytes]) -> int:
    """The most bytes held at once while `pieces` were fed, results of `feed` thrown away."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for piece in pieces:
            feed(piece)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
