"""One RTMP connection of an endpoint: a client of a server, or the server of the one peer that is waited for."""

import asyncio
import errno
import os
import socket
import ssl
from dataclasses import replace
from typing import Any

from evotools.containers.flv.reader import TagReader
from evotools.containers.flv.tag import AUDIO, VIDEO
from evotools.endpoints.registry import SCHEMES
from evotools.errors import EvotoolsError, NoMediaError, PeerGone, RefusedError, UnreachableError, UsageError
from evotools.log import get_logger
from evotools.media.frame import Event
from evotools.protocols.rtmp.client import ClientConnection, ClientOptions
from evotools.protocols.rtmp.events import (
    AuthRetry,
    Closed,
    Connect,
    MediaMessage,
    PlayRequest,
    PublishRequest,
    Ready,
    ReconnectRequest,
    Refused,
    StopPlay,
    StreamEnded,
    Unpublish,
)
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
MAX_AUTH_ROUNDS = 3
"""Connections that one authentication may take; Adobe's and Limelight's take two after the first."""
SHUTDOWN_S = 3.0
"""How long the end of TLS may take to be answered."""
_NO_TLS_HINT = "is this port one for RTMPS? rtmp:// goes without TLS"
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


class Link:
    """One RTMP connection of an endpoint in any of its four roles, with what read and write wait for."""

    def __init__(self, uri: Uri, role: str, moved_to: str = "") -> None:
        """`moved_to` is the tcUrl that a server sent us to; stream and options stay those of `uri`."""
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
        if uri.user is not None and uri.listens:
            raise UsageError(f"{uri.redacted}: a user name has no effect on those who connect to us")
        self._host, self._port = uri.host, uri.port
        if moved_to:
            place = Uri.parse(moved_to)
            if place.scheme != uri.scheme or place.listens:
                raise UsageError(f"{uri.redacted}: the server sends us to another protocol, '{place.scheme}'")
            self._host, self._port, self._app = place.host, place.port, "/".join(place.segments)
        # The stream's name goes along, key or not: without it nothing can be published there. The password stays.
        trusted = self._host == uri.host
        self._options = ClientOptions(
            user=uri.user or "" if trusted else "", password=uri.password or "" if trusted else "",
            reconnects=role == "publish", timeout_s=self._timeout_s,
        )  # fmt: skip
        self._auth = ""
        """What the next connection has to say, because a server asked for credentials."""
        self.wanted_at = ""
        """The tcUrl that the server wants us to connect to."""
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
        loop = asyncio.get_running_loop()
        self.ready = loop.create_future()
        if self.uri.listens:
            await self._listen()
            await self.ready
            return
        for _ in range(MAX_AUTH_ROUNDS):
            await self._connect()
            await self.ready
            if not self._auth:
                return
            self._options, self._auth = replace(self._options, auth=self._auth), ""
            self.ready = loop.create_future()
        raise RefusedError(f"{self.uri.redacted}: the server asks for credentials again and again")

    async def _connect(self) -> None:
        uri = self.uri
        app, name = self._app, self._name
        if not name:
            raise UsageError(f"{uri.redacted}: lacks a stream", hint=f"{uri.scheme}://HOST/APP/STREAM")
        default = DEFAULT_PORT if self._tls is None else DEFAULT_TLS_PORT
        port = self._port or default
        host = f"[{self._host}]" if ":" in self._host else self._host
        tc_url = f"{uri.scheme}://{host}{'' if port == default else f':{port}'}/{app}"
        stream = f"{name}?{self._peer_query}" if self._peer_query else name
        loop = asyncio.get_running_loop()
        mode: Any = self.role
        tls: dict[str, Any] = {}
        if self._tls is not None:
            tls = {"ssl": self._tls, "server_hostname": self._host, "ssl_shutdown_timeout": SHUTDOWN_S}

        def factory() -> Driver:
            machine = ClientConnection(tc_url, app, stream, mode, loop.time(), os.urandom, self._options)
            driver = Driver(machine, lambda event: self._client_event(driver, event), self.lost)
            return driver

        try:
            async with asyncio.timeout(self._timeout_s):
                _, self.driver = await loop.create_connection(factory, self._host, port, **tls)
        except TimeoutError:
            if self._tls is not None:
                raise UnreachableError(
                    f"{uri.redacted}: no answer to TLS within {self._timeout_s:g} s", hint=_NO_TLS_HINT
                ) from None
            raise explain(uri.redacted, TimeoutError(110, "timed out")) from None
        except ConnectionResetError:
            if self._tls is not None:
                raise UnreachableError(
                    f"{uri.redacted}: the server closed the connection at our TLS greeting", hint=_NO_TLS_HINT
                ) from None
            raise explain(uri.redacted, ConnectionResetError(errno.ECONNRESET, "")) from None
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

    def _client_event(self, driver: Driver, event: object) -> None:
        if isinstance(event, MediaMessage):
            self.take(event)
        elif isinstance(event, AuthRetry):
            # Another connection follows; the end of this one is no news.
            driver.on_lost = lambda error: None
            driver.closing = True
            self._auth = event.auth
            self._set_ready()
        elif isinstance(event, ReconnectRequest):
            log.info("%s: the server asks to connect again%s", self.uri.redacted,
                     f": {event.description}" if event.description else "")  # fmt: skip
            self.wanted_at = event.tc_url
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

    def lost(self, error: Exception | None) -> None:
        """The connection broke."""
        if isinstance(error, EvotoolsError):
            error.message = f"{self.uri.redacted}: {error.message}"
            self._end(error)
        else:
            reason = getattr(error, "strerror", None) or "the connection was closed"
            self._end(PeerGone(f"{self.uri.redacted}: {reason}"))

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

    def __init__(self, link: Link, machine: ServerConnection) -> None:
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
                link.play_prefix = (event.stream_id, server.chunk_size)
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
