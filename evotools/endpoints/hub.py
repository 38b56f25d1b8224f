"""`hub:NAME`: a stream inside the running server.

Inside `serve` it is the hub itself. In a command of its own it reaches a server on this machine over RTMP:
`EVOTOOLS_SERVER` names another one (default rtmp://127.0.0.1:1935).
"""

import asyncio
import os
from collections import deque
from collections.abc import Sequence

from evotools.endpoints.base import Context, Refusal, Sink, Source
from evotools.errors import RefusedError, UsageError
from evotools.hub.hub import Hub, Publication
from evotools.hub.stream import PublisherInfo, Stream, StreamListener
from evotools.log import Throttle, get_logger
from evotools.media.frame import Discontinuity, Event, Frame, Metadata, Tracks
from evotools.media.track import Kind, Track
from evotools.uri import Uri

log = get_logger("endpoints.hub")

DEFAULT_SERVER = "rtmp://127.0.0.1:1935"
MAX_QUEUED = 64 * 2**20
"""Payload bytes that a reader may leave unread before it is cut back to the next key frame."""
_EVENT_BYTES = 1024
"""What an event without payload counts."""


def _name(uri: Uri) -> str:
    uri.options(())
    if not uri.path:
        raise UsageError("hub: lacks a stream name", hint="hub:live/cam")
    return uri.path


def _remote(uri: Uri) -> Uri:
    server = os.environ.get("EVOTOOLS_SERVER", DEFAULT_SERVER).rstrip("/")
    name = _name(uri)
    # RTMP has an application and a stream; a plain name is the stream of an empty application.
    return Uri.parse(f"{server}/{name}")


class _Inbox(StreamListener):
    """Events of a stream for one reader on the loop."""

    def __init__(self, name: str) -> None:
        self.queue: deque[Event] = deque()
        self.size = 0
        self.ready = asyncio.Event()
        self.ended = False
        self._waits_key = False
        self._throttle = Throttle(log, f"hub:{name}: read too slowly, {{n}} frames dropped")

    def on_tracks(self, stream: Stream) -> None:
        self.queue.append(Tracks(stream.tracks))
        self.ready.set()

    def on_frames(self, stream: Stream, frames: Sequence[Frame]) -> None:
        if self._waits_key:
            video = any(t.kind is Kind.VIDEO for t in stream.tracks)
            start = next((n for n, f in enumerate(frames) if f.key and (f.track.kind is Kind.VIDEO or not video)), None)
            if start is None:
                return
            self._waits_key = False
            frames = frames[start:]
        self.queue.extend(frames)
        self._add(sum(len(f.payload) for f in frames))
        self.ready.set()

    def _add(self, size: int) -> None:
        self.size += size
        if self.size <= MAX_QUEUED:
            return
        lost = sum(isinstance(e, Frame) for e in self.queue)
        tracks = [e for e in self.queue if isinstance(e, Tracks)][-1:]
        self.queue = deque([*tracks, Discontinuity("read too slowly")])
        self.size = 0
        self._waits_key = True
        self._throttle.hit(lost)

    def on_discontinuity(self, stream: Stream, reason: str) -> None:
        self.queue.append(Discontinuity(reason))
        self._add(_EVENT_BYTES)

    def on_metadata(self, stream: Stream, metadata: Metadata) -> None:
        self.queue.append(metadata)
        self._add(_EVENT_BYTES)

    def on_end(self, stream: Stream) -> None:
        self.ended = True
        self.ready.set()


class HubSource(Source):
    """Reads a stream of the hub."""

    live = True

    def __init__(self, uri: Uri, ctx: Context) -> None:
        assert ctx.hub is not None
        self.uri = uri
        self._hub: Hub = ctx.hub
        self._name = _name(uri)
        self._stream: Stream | None = None
        self._inbox: _Inbox | None = None

    async def open(self) -> None:
        """Take the stream, starting its source when it has one, else wait for its publisher. Raises RefusedError."""
        self._hub.check_name(self._name)
        stream = self._hub.acquire(self._name)
        if stream is None:
            published = asyncio.Event()
            forget = self._hub.on_event(lambda e: published.set() if e.stream.name == self._name else None)
            try:
                while (stream := self._hub.find(self._name)) is None:
                    published.clear()
                    await published.wait()
            finally:
                forget()
        self._inbox = _Inbox(self._name)
        self._stream = stream
        stream.listen(self._inbox, replay=True)

    async def read(self) -> list[Event]:
        """What came."""
        assert self._inbox is not None and self._stream is not None
        inbox = self._inbox
        while not inbox.queue:
            if inbox.ended:
                return []
            inbox.ready.clear()
            await inbox.ready.wait()
        self._stream.touch(self._hub.clock())
        events = list(inbox.queue)
        inbox.queue.clear()
        inbox.size = 0
        return events

    async def close(self) -> None:
        """Leave the stream."""
        if self._stream is not None and self._inbox is not None:
            self._stream.unlisten(self._inbox)
            self._stream = None


class HubSink(Sink):
    """Publishes into the hub."""

    realtime = True
    reconnects = True

    def __init__(self, uri: Uri, ctx: Context) -> None:
        assert ctx.hub is not None
        self.uri = uri
        self._hub: Hub = ctx.hub
        self._name = _name(uri)
        self._origin = str(ctx.options.get("origin", ""))
        self._publication: Publication | None = None
        self._revoked = ""

    async def open(self) -> None:
        """Nothing yet: the name is taken when there is media."""

    def offer(self, tracks: Sequence[Track]) -> list[Refusal]:
        """The hub takes everything."""
        return []

    async def start(self, tracks: Sequence[Track]) -> None:
        """Publish, or begin a new epoch. Raises RefusedError."""
        if self._publication is None:
            info = PublisherInfo("route", self._origin)
            self._publication = self._hub.publish(self._name, info, on_closed=self._lost)
        self._push([Tracks(tuple(tracks))])

    def _lost(self, reason: str) -> None:
        self._revoked = reason

    def _push(self, events: Sequence[Event]) -> None:
        assert self._publication is not None
        if not self._publication.push(events):
            raise RefusedError(f"hub:{self._name}: {self._revoked or 'the publication ended'}")

    async def write(self, events: Sequence[Event]) -> None:
        """Push a batch. Raises RefusedError when another publisher took over."""
        self._push(events)

    async def finish(self) -> None:
        """The stream waits its grace time for a successor."""

    async def close(self) -> None:
        """Leave."""
        if self._publication is not None:
            self._publication.close()
            self._publication = None


def open_source(uri: Uri, ctx: Context) -> Source:
    """The hub's stream inside `serve`; elsewhere an RTMP player of the server on this machine."""
    if ctx.hub is not None:
        return HubSource(uri, ctx)
    from evotools.endpoints.rtmp import RtmpSource

    return RtmpSource(_remote(uri), ctx)


def open_sink(uri: Uri, ctx: Context) -> Sink:
    """The hub inside `serve`; elsewhere an RTMP publisher to the server on this machine."""
    if ctx.hub is not None:
        return HubSink(uri, ctx)
    from evotools.endpoints.rtmp import RtmpSink

    return RtmpSink(_remote(uri), ctx)
