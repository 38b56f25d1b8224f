"""`rtmp://` and `rtmps://`: publish to and play from a server, or be the server for one publisher or one player."""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence

from evotools.containers.flv.names import accepts
from evotools.containers.flv.writer import TagBody, TagWriter
from evotools.endpoints.base import Context, Refusal, Sink, Source
from evotools.endpoints.rtmp_link import Link
from evotools.errors import EvotoolsError
from evotools.log import get_logger
from evotools.media.frame import Event, Frame, Metadata
from evotools.media.track import Kind, Track
from evotools.protocols.rtmp.client import ClientConnection
from evotools.protocols.rtmp.mux import RtmpMuxer
from evotools.protocols.rtmp.server import ServerConnection
from evotools.transport.driver import Driver
from evotools.uri import Uri

log = get_logger("rtmp")


class RtmpSource(Source):
    """Plays from a server, or waits for one publisher."""

    def __init__(self, uri: Uri, ctx: Context) -> None:
        self.uri = uri
        self._link = Link(uri, "publish" if uri.listens else "play")

    async def open(self) -> None:
        """Raises UnreachableError, RefusedError."""
        await self._link.open()

    async def read(self) -> list[Event]:
        """What came."""
        return await self._link.next_events()

    async def close(self) -> None:
        """Disconnect."""
        await self._link.close()


class RtmpSink(Sink):
    """Publishes to a server, or waits for one player."""

    realtime = True
    reconnects = True

    def __init__(self, uri: Uri, ctx: Context) -> None:
        self.uri = uri
        self._link = Link(uri, "play" if uri.listens else "publish")
        self._writer: _Writer | None = None
        self._described: Metadata | None = None
        self._tracks: Sequence[Track] = ()
        self._moving: asyncio.Task[Link | None] | None = None
        """Another connection, made because the server asked for it; this one goes on meanwhile."""
        self._leaving: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Raises UnreachableError, RefusedError."""
        await self._link.open()

    def offer(self, tracks: Sequence[Track]) -> list[Refusal]:
        """Tracks that neither RTMP nor Enhanced RTMP has a name for."""
        return [Refusal(t, "no name in RTMP") for t in tracks if not accepts(t)]

    def describe(self, metadata: Metadata) -> bool:
        """Kept for the onMetaData of `start`."""
        self._described = metadata
        return True

    async def start(self, tracks: Sequence[Track]) -> None:
        """Send metadata and sequence headers."""
        self._tracks = tracks
        if self._writer is None:
            self._writer = self._new_writer()
        if self._described is not None:
            self._writer.describe(self._described)
        self._writer.start(tracks)
        await self._link.drain()

    def _new_writer(self) -> "_Writer":
        driver = self._link.driver
        assert driver is not None
        if isinstance(driver.machine, ClientConnection):
            return _ClientWriter(driver, driver.machine)
        return _PlayerWriter(driver, *self._link.play_prefix)

    async def write(self, events: Sequence[Event]) -> None:
        """Send a batch with one write, waiting while the peer is slow."""
        assert self._writer is not None
        if self._link.over:
            await self._link.drain()
        if self._link.wanted_at:
            self._follow()
        if self._moving is not None and self._moving.done():
            events = await self._move(events)
        assert self._writer is not None
        self._writer.write(events)
        await self._link.drain()

    def _follow(self) -> None:
        """Connect to where the server wants us, while media goes on here."""
        target, self._link.wanted_at = self._link.wanted_at, ""
        if self._moving is None:
            self._moving = asyncio.create_task(self._connect_to(target))

    async def _connect_to(self, target: str) -> Link | None:
        link = None
        try:
            link = Link(self.uri, "publish", target)
            await link.open()
        except EvotoolsError as error:
            log.warning("%s: connecting again, as the server asked, failed: %s", self.uri.redacted, error)
            if link is not None:
                await link.close()
            return None
        except asyncio.CancelledError:
            if link is not None:
                await link.close()
            raise
        return link

    async def _move(self, events: Sequence[Event]) -> Sequence[Event]:
        """Change over to the new connection at a key frame; the events that are still to be written."""
        assert self._moving is not None
        assert self._writer is not None
        link = self._moving.result()
        video = any(track.kind is Kind.VIDEO for track in self._tracks)
        at = next(
            (
                number
                for number, event in enumerate(events)
                if isinstance(event, Frame) and (not video or (event.key and event.track.kind is Kind.VIDEO))
            ),
            None,
        )
        if link is not None and at is None:
            return events
        self._moving = None
        if link is None:
            return events
        self._writer.write(events[:at])
        self._writer.finish()
        leaving = asyncio.create_task(self._link.close(graceful=True))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        self._link, self._writer = link, None
        await self.start(self._tracks)
        return events[at:]

    async def finish(self) -> None:
        """Send the end of the stream and wait until the peer took it. Raises what ended the connection before."""
        if self._link.over:
            await self._link.drain()
        if self._writer is not None:
            self._writer.finish()
        await self._link.close(graceful=True)

    async def close(self) -> None:
        """Disconnect."""
        moving, self._moving = self._moving, None
        if moving is not None:
            moving.cancel()
            found = (await asyncio.gather(moving, return_exceptions=True))[0]
            if isinstance(found, Link):
                await found.close()
        for leaving in list(self._leaving):
            leaving.cancel()
        await self._link.close()


class _Writer:
    """How frames leave: as a publisher's messages or as a server's."""

    @abstractmethod
    def describe(self, metadata: Metadata) -> None: ...

    @abstractmethod
    def start(self, tracks: Sequence[Track]) -> None: ...

    @abstractmethod
    def write(self, events: Sequence[Event]) -> None: ...

    @abstractmethod
    def finish(self) -> None: ...


class _ClientWriter(_Writer):
    def __init__(self, driver: Driver, machine: ClientConnection) -> None:
        self._driver = driver
        self._machine = machine
        self._tags = TagWriter()

    def _queue(self, tag: TagBody) -> None:
        self._machine.send_media(tag.type, tag.timestamp_ms, (tag.prefix, tag.payload))

    def describe(self, metadata: Metadata) -> None:
        self._tags.metadata(metadata)

    def start(self, tracks: Sequence[Track]) -> None:
        for tag in self._tags.start(tracks):
            self._queue(tag)
        self._driver.send()

    def write(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Frame):
                tag = self._tags.tag(event)
                if tag is None:
                    continue
                if event.side is not None and (color := self._tags.color(event, tag)) is not None:
                    self._queue(color)
                self._queue(tag)
            elif isinstance(event, Metadata) and (tag := self._tags.metadata(event)) is not None:
                self._queue(tag)
        self._driver.send()

    def finish(self) -> None:
        for tag in self._tags.finish():
            self._queue(tag)
        self._machine.close()


class _PlayerWriter(_Writer):
    def __init__(self, driver: Driver, stream_id: int, chunk_size: int) -> None:
        self._driver = driver
        self._muxer = RtmpMuxer(stream_id, chunk_size)
        driver.send()

    def describe(self, metadata: Metadata) -> None:
        self._muxer.write_metadata(metadata)

    def start(self, tracks: Sequence[Track]) -> None:
        self._driver.transport.write(self._muxer.start(tracks))

    def write(self, events: Sequence[Event]) -> None:
        muxer = self._muxer
        data = b"".join(
            [
                muxer.write(e) if isinstance(e, Frame) else muxer.write_metadata(e)
                for e in events
                if isinstance(e, Frame | Metadata)
            ]
        )
        if data and not self._driver.transport.is_closing():
            self._driver.transport.write(data)

    def finish(self) -> None:
        machine = self._driver.machine
        assert isinstance(machine, ServerConnection)
        self._driver.transport.write(self._muxer.finish())
        machine.finish_play()
