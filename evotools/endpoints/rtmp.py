"""`rtmp://` and `rtmps://`: publish to and play from a server, or be the server for one publisher or one player."""

import asyncio
import os
import socket
import ssl
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from evotools.containers.flv.names import accepts
from evotools.containers.flv.reader import TagReader
from evotools.containers.flv.tag import AUDIO, VIDEO
from evotools.containers.flv.writer import TagBody, TagWriter
from evotools.endpoints.base import Context, Refusal, Sink, Source
from evotools.endpoints.registry import SCHEMES
from evotools.errors import EvotoolsError, NoMediaError, PeerGone, RefusedError, UsageError
from evotools.log import get_logger
from evotools.media.frame import Event, Frame, Metadata
from evotools.media.track import Track
from evotools.protocols.rtmp.client import ClientConnection
from evotools.protocols.rtmp.events import (
    Closed,
    Connect,
    MediaMessage,
    PlayRequest,
    PublishRequest,
    Ready,
    Refused,
    StopPlay,
    StreamEnded,
    Unpublish,
)
from evotools.protocols.rtmp.mux import RtmpMuxer
from evotools.protocols.rtmp.server import ServerConnection
from evotools.transport.driver import Driver, listen
from evotools.transport.tcp import explain
from evotools.transport.tls import client_context, explain_tls
from evotools.uri import Options, Uri

log = get_logger("rtmp")

DEFAULT_PORT = 1935
DEFAULT_TLS_PORT = 443
"""Where services take RTMPS."""
MAX_UNREAD = 16 * 2**20
"""Payload bytes that wait for the pipeline before the socket is no longer read."""
MAX_GUESTS = 64
"""Connections to one listening endpoint, which takes one peer; the rest are strangers and port scanners."""
SILENT_MS = 30_000
"""A server that confirms nothing for so long is gone; the kernel alone would wait for a quarter of an hour."""
_BAD_NAME = "NetStream.Publish.BadName"
_NOT_FOUND = "NetStream.Play.StreamNotFound"


def read_message(reader: TagReader, message: MediaMessage) -> list[Event]:
    """The events of one media message. Raises ParseError."""
    timestamp = message.timestamp_ms & 0xFFFFFFFF
    if message.type == VIDEO:
        return reader.read_video(message.payload, timestamp)
    if message.type == AUDIO:
        return reader.read_audio(message.payload, timestamp)
    return reader.read_script(message.payload, timestamp)


def split_path(path: str, app: str = "") -> tuple[str, str]:
    """App and stream name of a URL path, as ffmpeg splits it: the app has one segment, or two of three and more.

    `app` says otherwise. Raises UsageError when the path does not begin with it.
    """
    segments = [s for s in path.split("/") if s]
    wanted = [s for s in app.split("/") if s]
    if wanted:
        if segments[: len(wanted)] != wanted:
            raise UsageError(f"rtmp_app: the path does not begin with '{'/'.join(wanted)}'")
        return "/".join(wanted), "/".join(segments[len(wanted) :])
    if len(segments) < 2:
        return "", "/".join(segments)
    cut = 1 if len(segments) == 2 else 2
    return "/".join(segments[:cut]), "/".join(segments[cut:])


class _Link:
    """One RTMP connection of an endpoint in any of its four roles, with what read and write wait for."""

    def __init__(self, uri: Uri, role: str) -> None:
        self.uri = uri
        self.role = role
        """`publish` or `play`: what the peer that is not the server does."""
        values, self._peer_query = uri.options(SCHEMES[uri.scheme].options, foreign=True)
        options = Options(uri, values)
        self._timeout_s = options.seconds("timeout", 10.0)
        self._app, self._name = split_path("/".join(uri.segments), options.text("rtmp_app"))
        self._tls: ssl.SSLContext | None = None
        if uri.scheme == "rtmps":
            if uri.listens:
                raise UsageError(
                    f"{uri.redacted}: RTMPS connects only",
                    hint="evotools serve takes RTMPS with [tls], or wait at rtmp:// behind a TLS proxy",
                )
            self._tls = client_context(options.flag("tls_verify", True), options.text("ca_file"))
        if uri.user is not None:
            raise UsageError(
                f"{uri.redacted}: a user name in an rtmp URL has no effect",
                hint="put the credentials where the server expects them, mostly in the query",
            )
        self._server: asyncio.Server | None = None
        self.driver: Driver | None = None
        self.guests: set[Driver] = set()
        self.closed = False
        self.ready: asyncio.Future[None]
        self.changed = asyncio.Event()
        self.over = False
        self.error: EvotoolsError | None = None
        self.events: list[Event] = []
        self.unread = 0
        self._reader = TagReader()
        self._paused = False
        self.play_prefix: tuple[int, int] = (1, 0)

    async def open(self) -> None:
        """Connect, or wait for a peer that publishes (plays) our path."""
        self.ready = asyncio.get_running_loop().create_future()
        if self.uri.listens:
            await self._listen()
        else:
            await self._connect()
        await self.ready

    async def _connect(self) -> None:
        uri = self.uri
        app, name = self._app, self._name
        if not name:
            raise UsageError(f"{uri.redacted}: lacks a stream", hint=f"{uri.scheme}://HOST/APP/STREAM")
        default = DEFAULT_PORT if self._tls is None else DEFAULT_TLS_PORT
        port = uri.port or default
        host = f"[{uri.host}]" if ":" in uri.host else uri.host
        tc_url = f"{uri.scheme}://{host}{'' if port == default else f':{port}'}/{app}"
        stream = f"{name}?{self._peer_query}" if self._peer_query else name
        loop = asyncio.get_running_loop()
        mode: Any = self.role

        def factory() -> Driver:
            machine = ClientConnection(tc_url, app, stream, mode, loop.time(), os.urandom)
            return Driver(machine, self._client_event, self._lost)

        try:
            async with asyncio.timeout(self._timeout_s):
                _, self.driver = await loop.create_connection(
                    factory, uri.host, port, ssl=self._tls, server_hostname=uri.host if self._tls is not None else None
                )
        except TimeoutError:
            raise explain(uri.redacted, TimeoutError(110, "timed out")) from None
        except OSError as error:
            raise explain_tls(uri.redacted, error) or explain(uri.redacted, error) from None
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock = self.driver.transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()

        def factory() -> Driver:
            return _Guest(self, ServerConnection(loop.time(), os.urandom))

        try:
            self._server = await listen(factory, self.uri.host, self.uri.port or DEFAULT_PORT)
        except OSError as error:
            raise explain(self.uri.redacted, error, "listen") from None
        log.info("%s: waiting for a peer that %ss", self.uri.redacted, self.role)

    # Events of our client.

    def _client_event(self, event: object) -> None:
        if isinstance(event, MediaMessage):
            self.take(event)
        elif isinstance(event, Ready):
            self._set_ready()
        elif isinstance(event, Refused):
            code = event.code.rpartition(".")[2]
            said = f": {event.description}" if event.description else ""
            # Nobody publishes yet: no refusal of ours, and worth another try.
            kind = NoMediaError if event.code == _NOT_FOUND else RefusedError
            self._end(kind(f"{self.uri.redacted}: the server refused to {self.role} ({code}){said}"))
        elif isinstance(event, StreamEnded):
            self._end(None)
        elif isinstance(event, Closed):
            self._end(PeerGone(f"{self.uri.redacted}: {event.reason or 'the server closed the connection'}"))

    def take(self, message: MediaMessage) -> None:
        """Media for our source. Raises ParseError."""
        events = read_message(self._reader, message)
        if events:
            self.events += events
            self.unread += len(message.payload)
            self.changed.set()
            if self.unread > MAX_UNREAD and not self._paused and self.driver is not None:
                self._paused = True
                self.driver.transport.pause_reading()

    def _set_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def accepted(self, driver: Driver) -> None:
        """A guest publishes or plays."""
        self.driver = driver
        self._set_ready()

    def _end(self, error: EvotoolsError | None) -> None:
        if self.over:
            return
        self.over = True
        self.error = error
        if not self.ready.done():
            self.ready.set_exception(error or PeerGone(f"{self.uri.redacted}: the stream has ended"))
        self.events += self._reader.flush() if error is None or self.events else []
        self.changed.set()

    def ended(self) -> None:
        """The guest's stream ended in order."""
        self._end(None)

    def _lost(self, error: Exception | None) -> None:
        if isinstance(error, EvotoolsError):
            error.message = f"{self.uri.redacted}: {error.message}"
            self._end(error)
        else:
            reason = getattr(error, "strerror", None) or "the connection was closed"
            self._end(PeerGone(f"{self.uri.redacted}: {reason}"))

    lost = _lost

    # For the source and the sink.

    async def next_events(self) -> list[Event]:
        """What came; empty at the end. Raises what ended the connection badly."""
        while not self.events:
            if self.over:
                if self.error is not None:
                    raise self.error
                return []
            self.changed.clear()
            await self.changed.wait()
        events, self.events = self.events, []
        self.unread = 0
        if self._paused and self.driver is not None:
            self._paused = False
            self.driver.transport.resume_reading()
        return events

    async def drain(self) -> None:
        """Wait while the peer is slow. Raises when it is gone."""
        assert self.driver is not None
        await self.driver.writable.wait()
        if self.over:
            raise self.error or PeerGone(f"{self.uri.redacted}: the peer ended the stream")

    async def close(self, *, graceful: bool = False) -> None:
        """End the connection; gracefully: send everything first."""
        self.closed = True
        if self._server is not None:
            self._server.close()
            self._server = None
        driver = self.driver
        for guest in self.guests - {driver}:
            guest.abort()
        if driver is not None and not graceful:
            driver.abort()
        elif driver is not None:
            driver.close()
            while not self.over:
                self.changed.clear()
                await self.changed.wait()


class _Guest(Driver):
    """A connection to our listening port: becomes the peer, or is turned away."""

    def __init__(self, link: _Link, machine: ServerConnection) -> None:
        super().__init__(machine, self._event, self._gone)
        self._link = link
        self._server = machine
        self._taken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A stranger, so far."""
        super().connection_made(transport)
        if self._link.closed or len(self._link.guests) >= MAX_GUESTS:
            self.abort()
        self._link.guests.add(self)

    def _event(self, event: object) -> None:
        link, server = self._link, self._server
        if isinstance(event, MediaMessage):
            link.take(event)
        elif isinstance(event, Connect):
            server.accept_connect()
        elif isinstance(event, PublishRequest | PlayRequest):
            publishes = isinstance(event, PublishRequest)
            wanted = "/".join(link.uri.segments)
            if publishes != (link.role == "publish") or (wanted and event.path != wanted):
                server.reject(_BAD_NAME if publishes else _NOT_FOUND, "This is not what is waited for here.")
            elif link.driver is not None:
                server.reject(_BAD_NAME if publishes else _NOT_FOUND, "Another peer is connected already.")
            else:
                self._taken = True
                if publishes:
                    server.accept_publish()
                else:
                    server.accept_play()
                link.play_prefix = (server.media_stream_id, server.chunk_size)
                link.accepted(self)
        elif isinstance(event, Unpublish | StopPlay) and self._taken:
            # Without a word of farewell the connection was lost: `_gone` tells.
            if not server.closed:
                link.ended()
        elif isinstance(event, Closed):
            self.closing = True

    def _gone(self, error: Exception | None) -> None:
        self._link.guests.discard(self)
        if self._taken:
            self._link.lost(error)
        elif error is not None:
            log.info("%s: a peer was turned away: %s", self._link.uri.redacted, error)


class RtmpSource(Source):
    """Plays from a server, or waits for one publisher."""

    def __init__(self, uri: Uri, ctx: Context) -> None:
        self.uri = uri
        self._link = _Link(uri, "publish" if uri.listens else "play")

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
        self._link = _Link(uri, "play" if uri.listens else "publish")
        self._writer: _Writer | None = None
        self._described: Metadata | None = None

    async def open(self) -> None:
        """Raises UnreachableError, RefusedError."""
        await self._link.open()

    def offer(self, tracks: Sequence[Track]) -> list[Refusal]:
        """Tracks that neither RTMP nor Enhanced RTMP has a name for."""
        return [Refusal(t, "no name in RTMP") for t in tracks if not accepts(t)]

    def describe(self, metadata: Metadata) -> None:
        """Kept for the onMetaData of `start`."""
        self._described = metadata

    async def start(self, tracks: Sequence[Track]) -> None:
        """Send metadata and sequence headers."""
        if self._writer is None:
            driver = self._link.driver
            assert driver is not None
            if isinstance(driver.machine, ClientConnection):
                self._writer = _ClientWriter(driver, driver.machine)
            else:
                self._writer = _PlayerWriter(driver, *self._link.play_prefix)
        if self._described is not None:
            self._writer.describe(self._described)
            self._described = None
        self._writer.start(tracks)
        await self._link.drain()

    async def write(self, events: Sequence[Event]) -> None:
        """Send a batch with one write, waiting while the peer is slow."""
        assert self._writer is not None
        if self._link.over:
            await self._link.drain()
        self._writer.write(events)
        await self._link.drain()

    async def finish(self) -> None:
        """Send the end of the stream and wait until the peer took it. Raises what ended the connection before."""
        if self._link.over:
            await self._link.drain()
        if self._writer is not None:
            self._writer.finish()
        await self._link.close(graceful=True)

    async def close(self) -> None:
        """Disconnect."""
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
