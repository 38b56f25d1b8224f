"""One live stream: its tracks, its newest media, its publisher, and who reads it."""

import logging
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from evotools.containers.base import Muxer
from evotools.errors import RefusedError
from evotools.hub.clock import SessionClock
from evotools.hub.feed import Choose, Feed, chooser, failure
from evotools.hub.limits import DEFAULT_SETTINGS, FlushInterval, Limits, StreamSettings
from evotools.hub.ring import FrameRing
from evotools.hub.viewer import Broadcast, Totals, Viewer, ViewerPolicy
from evotools.media.frame import ON_METADATA, Discontinuity, Event, Frame, Metadata, Tracks
from evotools.media.track import Track

_log = logging.getLogger(__name__)


class State(StrEnum):
    """The life of a stream."""

    WAITING = "waiting"
    """Asked for; its publisher is on the way."""
    LIVE = "live"
    GRACE = "grace"
    """Its publisher left and may come back."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class PublisherInfo:
    """Who publishes."""

    protocol: str
    """`rtmp`, `pull`, `route` …"""
    peer: str = ""
    """Address of the other side, or the redacted URI it is pulled from."""
    credential: str = field(default="", repr=False)
    """Tells two publishers apart that come from one address; never shown. Empty: it gave none."""


class StreamListener:
    """What else may follow a stream: segmenters, recorders, monitors. All methods may stay as they are.

    Called in order, inside the publisher's push; a listener that raises is taken off the stream.
    """

    def on_tracks(self, stream: "Stream") -> None:
        """`stream.tracks` changed: a new epoch."""

    def on_frames(self, stream: "Stream", frames: Sequence[Frame]) -> None:
        """Frames on the stream's clock; the sequence is shared and must not be changed."""

    def on_discontinuity(self, stream: "Stream", reason: str) -> None:
        """The next frames do not follow from the last ones: a new session, a jump, a loss."""

    def on_leave(self, stream: "Stream") -> None:
        """The publisher left. Another may come, with a discontinuity, before the stream ends."""

    def on_metadata(self, stream: "Stream", metadata: Metadata) -> None:
        """Timed data."""

    def on_end(self, stream: "Stream") -> None:
        """The stream is gone; nothing follows."""


Report = Callable[[str, "Stream", "Viewer | None", str], object]
"""Kind of event, stream, viewer, detail; see `HubEvent`."""


class Stream:
    """A live stream by name. Made by the hub."""

    def __init__(
        self,
        name: str,
        limits: Limits,
        report: Report,
        notify: Callable[[Feed], object],
        now: float,
        settings: StreamSettings = DEFAULT_SETTINGS,
        broadcast: Callable[[], Broadcast] | None = None,
    ) -> None:
        self.name = name
        self.state = State.WAITING
        self.tracks: tuple[Track, ...] = ()
        self.epoch = 0
        """Counts track lists, from 1."""
        self.session = 0
        """Counts publishers, from 1."""
        self.publisher: PublisherInfo | None = None
        self.created_at = now
        self.changed_at = now
        """When the state changed last."""
        self.read_at = now
        """When somebody read last; readers without a Viewer (HLS) call `touch`."""
        self.bytes_in = 0
        """Payload bytes."""
        self.frames_in = 0
        self.metadata: Metadata | None = None
        """The publisher's `onMetaData`, on the stream's clock: the newest of this session."""
        self.settings = settings
        self.totals = Totals()
        self.clock = SessionClock(limits.grace_s)
        self.feeds: dict[Hashable, Feed] = {}
        self._listeners: list[StreamListener] = []
        self._ring = FrameRing(limits.ring_s, limits.ring_bytes, limits.ring_items)
        self._limits = limits
        self._report = report
        self._notify = notify
        self._broadcast = broadcast

    def __repr__(self) -> str:
        return f"Stream({self.name!r}, {self.state.value}, epoch {self.epoch}, {len(self.feeds)} feeds)"

    # For readers.

    def policy(self, default: ViewerPolicy) -> ViewerPolicy:
        """How viewers of this stream are treated: its own policy, or a listener's `default`."""
        return self.settings.policy or default

    @property
    def viewers(self) -> int:
        """Viewers of all feeds."""
        return sum(len(feed) for feed in self.feeds.values())

    @property
    def followed(self) -> bool:
        """Whether somebody takes frames as they come, past the feeds."""
        return bool(self._listeners)

    def feed(
        self,
        key: Hashable,
        make_muxer: Callable[[], Muxer],
        tracks: Collection[int] | Choose | None = None,
        *,
        now: float,
        flush_interval: FlushInterval | None = None,
    ) -> Feed:
        """The feed of this key, made with what the stream has kept when it does not exist.

        `key` must name the wire format and everything else that changes the bytes. `tracks` are ids, or a function
        that chooses from each track list, or None for all; tracks that the muxer does not accept are left out.
        `flush_interval` is that of the listener; the stream's own setting is stronger, and None leaves it to the hub's.
        Raises RefusedError when the stream has ended or has too many feeds; MediaError from the muxer.
        """
        found = self.feeds.get(key)
        if found is not None:
            return found
        if self.state is State.ENDED:
            raise RefusedError(f"stream '{self.name}' has ended", hint="try again when it is published")
        if len(self.feeds) >= self._limits.feeds_per_stream:
            raise RefusedError(f"stream '{self.name}' is read in too many forms already",
                               hint="use a form without a track selection")  # fmt: skip
        own = self.settings.flush_interval
        feed = Feed(key, make_muxer, chooser(tracks), self._limits, notify=self._notify, on_empty=self._drop_feed,
                    on_viewer=self._viewer_event, now=now, totals=self.totals,
                    flush_interval=flush_interval if own is None else own, broadcast=self._broadcast)  # fmt: skip
        feed.load(self._ring.replay(), self.metadata)
        self.feeds[key] = feed
        return feed

    def listen(self, listener: StreamListener, *, replay: bool = False) -> None:
        """Add a listener; it is told the tracks at once when there are some.

        With `replay` it then gets what the stream has kept of this epoch, from an entry point on.
        Raises RefusedError when there are too many.
        """
        if len(self._listeners) >= self._limits.listeners_per_stream:
            raise RefusedError(f"stream '{self.name}' has too many listeners")
        if self.epoch:
            listener.on_tracks(self)
            frames = self._ring.newest_epoch() if replay else []
            if frames:
                listener.on_frames(self, frames)
        self._listeners.append(listener)

    def unlisten(self, listener: StreamListener) -> None:
        """Take a listener off; safe when it is not there."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def touch(self, now: float) -> None:
        """Somebody without a Viewer reads."""
        self.read_at = now

    # For the publisher, through its Publication.

    def push(self, events: Iterable[Event], now: float) -> None:
        """Take a batch of events: place it in time, keep it, give it to all readers."""
        batch: list[Frame] = []
        place, keep = self.clock.place, self._ring.append
        breaks = self.clock.breaks
        for event in events:
            if isinstance(event, Frame):
                frame = place(event, now)
                if frame is None:
                    continue
                if self.clock.breaks != breaks:
                    breaks = self.clock.breaks
                    self._deliver(batch)
                    batch = []
                    self._break("the publisher's clock jumped")
                keep(frame)
                self.bytes_in += len(frame.payload)
                batch.append(frame)
            else:
                self._deliver(batch)
                batch = []
                if isinstance(event, Tracks):
                    self._set_tracks(event)
                elif isinstance(event, Discontinuity):
                    self._break(event.reason)
                else:
                    self._set_metadata(replace(event, time_s=self.clock.place_s(event.time_s)))
        self._deliver(batch)
        self.clock.note(now)

    def start_session(self, publisher: PublisherInfo, now: float) -> None:
        """A publisher arrives; the clock goes on where the last one stopped."""
        self.session += 1
        self.publisher = publisher
        self.metadata = None
        for feed in self.feeds.values():
            feed.metadata = None
        self._enter(State.LIVE, now)
        self.clock.start_session(now)
        if self.session > 1:
            self._break("a new publisher")

    def end_session(self, now: float) -> None:
        """The publisher left; the stream waits for the next one."""
        self.publisher = None
        self._enter(State.GRACE, now)
        self._tell(lambda listener: listener.on_leave(self))

    def finish(self, now: float) -> None:
        """End the stream: feeds send what they have and let their viewers go."""
        if self.state is State.ENDED:
            return
        self.publisher = None
        self._enter(State.ENDED, now)
        for feed in list(self.feeds.values()):
            self._guard(feed, lambda feed=feed: feed.end(now))  # type: ignore[misc]
        self.feeds.clear()
        self._tell(lambda listener: listener.on_end(self))
        self._listeners.clear()
        self._ring.clear()

    def _enter(self, state: State, now: float) -> None:
        self.state = state
        self.changed_at = now

    def _set_tracks(self, event: Tracks) -> None:
        if event.tracks == self.tracks:
            return
        self.tracks = event.tracks
        self.epoch += 1
        self.clock.set_tracks(event.tracks)
        self._ring.mark(event)
        for feed in list(self.feeds.values()):
            self._guard(feed, lambda feed=feed: feed.set_tracks(event.tracks))  # type: ignore[misc]
        self._tell(lambda listener: listener.on_tracks(self))

    def _set_metadata(self, event: Metadata) -> None:
        if event.name == ON_METADATA:
            self.metadata = event
        else:
            self._ring.mark(event)
        for feed in list(self.feeds.values()):
            self._guard(feed, lambda feed=feed: feed.push_metadata(event))  # type: ignore[misc]
        self._tell(lambda listener: listener.on_metadata(self, event))

    def _deliver(self, frames: list[Frame]) -> None:
        if not frames:
            return
        self.frames_in += len(frames)
        for feed in list(self.feeds.values()):
            try:
                feed.push(frames)
            except Exception as error:
                self._feed_failed(feed, error)
        for listener in list(self._listeners):
            try:
                listener.on_frames(self, frames)
            except Exception as error:
                self._listener_failed(listener, error)

    def _break(self, reason: str) -> None:
        self._ring.mark(Discontinuity(reason))
        self._tell(lambda listener: listener.on_discontinuity(self, reason))

    def _tell(self, call: Callable[[StreamListener], object]) -> None:
        for listener in list(self._listeners):
            try:
                call(listener)
            except Exception as error:
                self._listener_failed(listener, error)

    def _guard(self, feed: Feed, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            self._feed_failed(feed, error)

    def _feed_failed(self, feed: Feed, error: Exception) -> None:
        _log.warning("stream %s: feed %r gives up: %s", self.name, feed.key, failure(error))
        feed.fail(failure(error))
        self._report("fault", self, None, f"feed {feed.key!r}: {failure(error)}")

    def _listener_failed(self, listener: StreamListener, error: Exception) -> None:
        # One reader's bug or full disk must not cost the publisher and everybody else the stream.
        _log.error("stream %s: %s gives up", self.name, type(listener).__name__, exc_info=error)
        self.unlisten(listener)
        self._report("fault", self, None, f"{type(listener).__name__}: {failure(error)}")

    def _drop_feed(self, feed: Feed) -> None:
        if self.feeds.get(feed.key) is feed:
            del self.feeds[feed.key]

    def _viewer_event(self, kind: str, viewer: Viewer, detail: str) -> None:
        self._report(kind, self, viewer, detail)
