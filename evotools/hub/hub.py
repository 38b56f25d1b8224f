"""Where live streams are. The hub knows no protocol, opens nothing and reads no clock but the one it is given.

Publishers call `publish` and push events; readers `find` or `acquire` a stream and take a feed of it, or listen.
Whatever owns the event loop sets `on_pending` (a feed wants to be flushed) and calls `tick` a few times a second.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from evotools.errors import RefusedError
from evotools.hub.feed import Feed
from evotools.hub.limits import DEFAULT_SETTINGS, Limits, StreamSettings
from evotools.hub.names import NOTHING_RESERVED, ReservedNames, check_name
from evotools.hub.stream import PublisherInfo, State, Stream
from evotools.hub.viewer import Broadcast, Viewer
from evotools.media.frame import Event

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HubEvent:
    """Something that triggers, metrics or logs may care for."""

    kind: str
    """`published` `unpublished` `ended` (streams), `read` `left` (viewers), `fault` (a reader that was given up)."""
    stream: Stream
    viewer: Viewer | None = None
    detail: str = ""
    """Why, where there is a reason."""


class Publication:
    """A publisher's right to push into a stream, until either side ends it."""

    __slots__ = ("_hub", "info", "on_closed", "pushed_at", "stream")

    def __init__(
        self, hub: "Hub", stream: Stream, info: PublisherInfo, on_closed: Callable[[str], object] | None, now: float
    ) -> None:
        self._hub: Hub | None = hub
        self.stream = stream
        self.info = info
        self.on_closed = on_closed
        self.pushed_at = now
        """When something came last."""

    @property
    def closed(self) -> bool:
        """Whether pushing has no effect any more."""
        return self._hub is None

    def push(self, events: Iterable[Event], now: float | None = None) -> bool:
        """Give events to the stream, the first one being `Tracks`. False when the publication is closed."""
        hub = self._hub
        if hub is None:
            return False
        self.pushed_at = at = hub.clock() if now is None else now
        self.stream.push(events, at)
        return True

    def close(self, now: float | None = None, reason: str = "the publisher left") -> None:
        """The publisher leaves; the stream waits its grace time for the next one. Safe to call twice."""
        hub = self._hub
        if hub is not None:
            self._hub = None
            hub.unpublish(self, hub.clock() if now is None else now, reason)

    def revoke(self, reason: str) -> None:
        """For the hub: the publisher lost the stream; its owner is told."""
        self._hub = None
        if self.on_closed is not None:
            try:
                self.on_closed(reason)
            except Exception:
                _log.exception("telling the publisher of %s failed", self.stream.name)


class Hub:
    """All live streams by name.

    `clock` gives monotonic seconds; every method that needs the time takes it as `now` and asks the clock only
    when that is None.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        limits: Limits | None = None,
        reserved: ReservedNames = NOTHING_RESERVED,
    ) -> None:
        self.clock = clock
        self.limits = limits or Limits()
        self.reserved = reserved
        self.streams: dict[str, Stream] = {}
        self.settings: Callable[[str], StreamSettings] = lambda name: DEFAULT_SETTINGS
        """Gives what a stream of this name has of its own; asked when the stream begins."""
        self.yields: Callable[[Publication, PublisherInfo, float], bool] = lambda former, info, now: False
        """Whether a publication makes way for a publisher that comes at time `now` and did not ask for takeover."""
        self.resolver: Callable[[str], bool] | None = None
        """Asked for a stream that does not exist; starts a source for it and returns True, or returns False."""
        self.sourced: Callable[[str], bool] = lambda name: False
        """Whether `resolver` would have a source for a stream of this name; starts nothing."""
        self.on_pending: Callable[[Feed], object] | None = None
        """Called when a feed has something to flush; see `transport.flush.Flusher`."""
        self.patience: Callable[[Stream], float] = lambda stream: 0.0
        """Seconds for which nobody misses what a stream is about to get; set by who flushes."""
        self.broadcast: Callable[[], Broadcast] | None = None
        """Makes what writes to many viewers at once; see `transport.uring`."""
        self._publications: dict[str, Publication] = {}
        self._observers: list[Callable[[HubEvent], object]] = []

    # Names.

    def check_name(self, name: str) -> str:
        """`name` when a stream may be called so. Raises RefusedError."""
        return check_name(name, self.reserved)

    def find(self, name: str) -> Stream | None:
        """The stream of this name, if there is one."""
        return self.streams.get(name)

    def has(self, name: str) -> bool:
        """Whether `acquire` would give a stream of this name. Starts nothing."""
        return name in self.streams or self.sourced(name)

    def acquire(self, name: str, now: float | None = None) -> Stream | None:
        """The stream of this name, started through `resolver` when nobody publishes it; None when nobody has it.

        A stream just started has no tracks yet: listen for them, or join a feed, which waits by itself.
        Raises RefusedError for a bad name or when there are too many streams.
        """
        stream = self.streams.get(name)
        if stream is None:
            self.check_name(name)
            if self.resolver is None or not self.resolver(name):
                return None
            # The resolver may have published already.
            stream = self.streams.get(name) or self._create(name, self._now(now))
        elif stream.state is not State.LIVE and self.resolver is not None:
            # Its source may have been stopped for want of readers.
            self.resolver(name)
        return stream

    def __iter__(self) -> Iterator[Stream]:
        return iter(list(self.streams.values()))

    def __len__(self) -> int:
        return len(self.streams)

    @property
    def viewers(self) -> int:
        """Viewers of all streams."""
        return sum(stream.viewers for stream in self.streams.values())

    # Publishing.

    def publish(
        self,
        name: str,
        info: PublisherInfo,
        *,
        takeover: bool = False,
        now: float | None = None,
        on_closed: Callable[[str], object] | None = None,
    ) -> Publication:
        """Take the name for a publisher.

        `takeover`, or `yields`, ends another publisher's publication, whose `on_closed` is called with the reason.
        Raises RefusedError when the name is bad, in use, or one stream too many.
        """
        at = self._now(now)
        stream = self.streams.get(name)
        if stream is None:
            self.check_name(name)
            stream = self._create(name, at)
        former = self._publications.get(name)
        if former is not None:
            if not takeover and not self.yields(former, info, at):
                raise RefusedError(
                    f"stream name '{name}' is in use", hint="stop the other publisher or use another name"
                )
            self._leave(former, at, "taken over by another publisher")
            former.revoke("taken over by another publisher")
        publication = self._publications[name] = Publication(self, stream, info, on_closed, at)
        stream.start_session(info, at)
        self.report("published", stream)
        return publication

    def unpublish(self, publication: Publication, now: float, reason: str) -> None:
        """For Publication.close."""
        stream = publication.stream
        if self._publications.get(stream.name) is publication:
            self._leave(publication, now, reason)
            if self.limits.grace_s <= 0:
                self._end(stream, now)

    def end(self, name: str, now: float | None = None, reason: str = "ended by the server") -> None:
        """End a stream at once, its publisher included. Nothing happens when there is none."""
        stream = self.streams.get(name)
        if stream is None:
            return
        at = self._now(now)
        publication = self._publications.get(name)
        if publication is not None:
            self._leave(publication, at, reason)
            publication.revoke(reason)
        self._end(stream, at)

    def close(self, now: float | None = None) -> None:
        """End everything."""
        for name in list(self.streams):
            self.end(name, now, "the server stops")

    # Time and events.

    def tick(self, now: float) -> None:
        """End the streams whose publisher did not come, or did not come back, in time."""
        limits = self.limits
        for stream in list(self.streams.values()):
            if stream.state is State.LIVE:
                continue
            allowed = limits.grace_s if stream.state is State.GRACE else limits.start_s
            if now - stream.changed_at >= allowed:
                self._end(stream, now)

    def on_event(self, observer: Callable[[HubEvent], object]) -> Callable[[], None]:
        """Tell `observer` of every event; the returned function stops that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer) if observer in self._observers else None

    def report(self, kind: str, stream: Stream, viewer: Viewer | None = None, detail: str = "") -> None:
        """Tell all observers."""
        if kind == "read":
            stream.touch(self.clock())
        if not self._observers:
            return
        event = HubEvent(kind, stream, viewer, detail)
        for observer in list(self._observers):
            try:
                observer(event)
            except Exception:
                _log.exception("an observer of the hub failed on '%s' of %s", kind, stream.name)

    def _now(self, now: float | None) -> float:
        return self.clock() if now is None else now

    def _create(self, name: str, now: float) -> Stream:
        if len(self.streams) >= self.limits.streams:
            raise RefusedError(f"there are {len(self.streams)} streams already", hint="raise hub.max_streams")
        settings = self.settings(name)
        stream = self.streams[name] = Stream(
            name, self.limits, self.report, self._pending, now, settings, self.broadcast
        )
        return stream

    def _pending(self, feed: Feed) -> None:
        if self.on_pending is not None:
            self.on_pending(feed)

    def _leave(self, publication: Publication, now: float, reason: str) -> None:
        stream = publication.stream
        del self._publications[stream.name]
        stream.end_session(now)
        self.report("unpublished", stream, detail=reason)

    def _end(self, stream: Stream, now: float) -> None:
        if self.streams.get(stream.name) is stream:
            del self.streams[stream.name]
        stream.finish(now)
        self.report("ended", stream)
