"""Feeds a reader a stream that never becomes what the reader waits for, and says how much memory that took."""

import tracemalloc
from collections.abc import Callable, Iterable

MIB = 1 << 20


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
