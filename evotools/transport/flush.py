"""The flush tick: when pending bytes of the hub's feeds go to their viewers.

A write costs the same whether it carries one frame or five, so the interval between flushes is what fan-out costs.
Feeds of equal intervals share a timer, and none runs while nothing is pending. Viewers that lag get more as soon as
they take it, and do not change the interval of the others.
"""

import asyncio
import logging
from collections.abc import Callable

from evotools.hub.feed import Feed, failure
from evotools.hub.hub import Hub
from evotools.hub.limits import FlushInterval
from evotools.hub.stream import Stream

CEILING_S = 0.1
"""The longest interval that `auto` takes unless told otherwise: beyond it viewers of live talk notice the delay."""
SHARE = 0.25
"""`auto` lets flushing take this share of the loop's time before it begins to merge writes."""
SMOOTHING = 0.2
"""Weight of the newest measurement."""
RETRY_S = 0.02
"""How soon a viewer with unsent bytes is looked at again, whatever the interval: at 350 ms between pieces of 256 KiB a
quick connection could not follow 10 Mbit/s any more."""
LEAD_S = 0.002
"""What is read so long before a flush is part of it."""
HOUSEKEEPING_S = 0.25
"""How often the hub is told the time."""
MAX_PACES = 64
"""Different intervals in use; a configuration has a handful."""


_log = logging.getLogger(__name__)


class Pace:
    """One interval and the feeds that are flushed by it.

    `interval` is `0` (every pushed batch at once), a number of seconds, or `auto`: at once while the loop has room,
    widening to `ceiling_s` as flushing and the loop's lateness grow, and shrinking again. A tick that comes late
    carries more by itself, so overload turns into larger writes and not into a queue.
    """

    def __init__(self, interval: FlushInterval, ceiling_s: float = CEILING_S) -> None:
        self._loop = asyncio.get_running_loop()
        self._auto = interval == "auto"
        self.interval = interval
        self.interval_s = 0.0 if interval == "auto" else float(interval)
        """The interval in force."""
        self.flushes = 0
        self.busy_s = 0.0
        """Time spent in flushes."""
        self._ceiling_s = ceiling_s
        self._busy_s = 0.0
        self._late_s = 0.0
        self._dirty: dict[Feed, None] = {}
        self._lagging: dict[Feed, float] = {}
        self._retry: asyncio.Handle | None = None
        self._due = 0.0
        self._last = self._loop.time() - max(ceiling_s, self.interval_s)
        self._handle: asyncio.Handle | None = None

    def pending(self, feed: Feed) -> None:
        """A feed has something to flush, or a viewer that could not be given all of it."""
        self._dirty[feed] = None
        if self._handle is None:
            self._schedule(self._last + self.interval_s)
        if feed.lagging and feed not in self._lagging:
            self._look_again(feed, self._loop.time())

    def patience_s(self, now: float) -> float:
        """Seconds until the flush that carries what comes now; what comes right before one may wait for the next."""
        wait_s = (self._last + self.interval_s if self._handle is None else self._due) - now
        return wait_s if wait_s > LEAD_S else wait_s + self.interval_s

    def close(self) -> None:
        """Flush what is pending and stop."""
        for handle in (self._handle, self._retry):
            if handle is not None:
                handle.cancel()
        self._handle = self._retry = None
        now = self._loop.time()
        for feed in {**self._dirty, **self._lagging}:
            self._guard(feed, feed.flush, now)
        self._dirty.clear()
        self._lagging.clear()

    def _schedule(self, due: float) -> None:
        now = self._loop.time()
        self._due = due if due > now else now
        if due > now:
            self._handle = self._loop.call_at(due, self._run)
        else:
            self._handle = self._loop.call_soon(self._run)

    def _run(self) -> None:
        loop = self._loop
        begun = self._last = loop.time()
        self._handle = None
        dirty, self._dirty = self._dirty, {}
        for feed in dirty:
            if self._guard(feed, feed.flush, begun):
                self._look_again(feed, begun)
            else:
                self._lagging.pop(feed, None)
        now = loop.time()
        self.flushes += 1
        self.busy_s += now - begun
        if self._auto:
            self._busy_s += SMOOTHING * (now - begun - self._busy_s)
            self._late_s += SMOOTHING * (begun - self._due - self._late_s)
            self.interval_s = min((self._busy_s + self._late_s) / SHARE, self._ceiling_s)

    def _look_again(self, feed: Feed, now: float) -> None:
        self._lagging[feed] = now + RETRY_S
        if self._retry is None:
            self._retry = self._loop.call_at(now + RETRY_S, self._run_retry)

    def _run_retry(self) -> None:
        self._retry = None
        begun = self._loop.time()
        for feed, due in list(self._lagging.items()):
            if due <= begun:
                del self._lagging[feed]
                if self._guard(feed, feed.retry, begun):
                    self._lagging[feed] = begun + RETRY_S
        if self._lagging:
            self._retry = self._loop.call_at(min(self._lagging.values()), self._run_retry)
        self.busy_s += self._loop.time() - begun

    def _guard(self, feed: Feed, work: Callable[[float], bool], now: float) -> bool:
        try:
            return work(now)
        except Exception as error:
            # One broken feed must not stop the tick of all others.
            _log.exception("flushing feed %r failed", feed.key)
            feed.fail(failure(error))
            return False


class Flusher:
    """Flushes the feeds of a hub, each at its own interval or at the `interval` given here."""

    def __init__(self, hub: Hub, interval: FlushInterval = "auto", *, ceiling_s: float = CEILING_S) -> None:
        """`ceiling_s`: how far `auto` may widen."""
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._ceiling_s = ceiling_s
        self.default = Pace(interval, ceiling_s)
        self._paces: dict[FlushInterval, Pace] = {interval: self.default}
        self._housekeeping = self._loop.call_later(HOUSEKEEPING_S, self._keep_house)
        hub.on_pending = self.pending
        hub.patience = self.patience_s

    @property
    def interval_s(self) -> float:
        """The interval in force for feeds without one of their own."""
        return self.default.interval_s

    @property
    def flushes(self) -> int:
        """Flushes so far."""
        return sum(pace.flushes for pace in self._paces.values())

    @property
    def busy_s(self) -> float:
        """Time spent in flushes."""
        return sum(pace.busy_s for pace in self._paces.values())

    def pace(self, interval: FlushInterval | None) -> Pace:
        """The pace of feeds that want `interval`; None is the default."""
        if interval is None:
            return self.default
        pace = self._paces.get(interval)
        if pace is None:
            if len(self._paces) >= MAX_PACES:
                return self.default
            pace = self._paces[interval] = Pace(interval, self._ceiling_s)
        return pace

    def pending(self, feed: Feed) -> None:
        """A feed has something to flush."""
        self._pace_of(feed).pending(feed)

    def patience_s(self, stream: Stream) -> float:
        """How long nobody misses what `stream` is about to get: until just before the next flush of its feeds.

        0 where somebody follows the stream frame by frame, and while nobody reads it.
        """
        if stream.followed or not stream.feeds:
            return 0.0
        now = self._loop.time()
        return min(self._pace_of(feed).patience_s(now) for feed in stream.feeds.values()) - LEAD_S

    def _pace_of(self, feed: Feed) -> Pace:
        interval = feed.flush_interval
        return self.default if interval is None else self.pace(interval)

    def close(self) -> None:
        """Flush what is pending and stop."""
        self._housekeeping.cancel()
        if self._hub.on_pending == self.pending:
            self._hub.on_pending = None
            self._hub.patience = lambda stream: 0.0
        for pace in self._paces.values():
            pace.close()

    def _keep_house(self) -> None:
        self._housekeeping = self._loop.call_later(HOUSEKEEPING_S, self._keep_house)
        self._hub.tick(self._loop.time())
