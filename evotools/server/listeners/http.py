"""HTTP media: what a path asks for, live HLS, and the pages that show streams; media itself is in `progressive`.

Every request is one pass through `_handle`: classify the path, ask `access`, answer bytes that exist already or join
a feed of the hub. Names from the network are only ever looked up in the hub; nothing here touches the file system.
"""

import asyncio
import ssl as ssl_module
import time
from itertools import islice

from evotools.errors import EvotoolsError, ParseError, RefusedError
from evotools.hub.hub import Hub
from evotools.hub.limits import FlushInterval
from evotools.hub.stream import Stream
from evotools.log import get_logger
from evotools.packaging import hls
from evotools.protocols import http1, websocket
from evotools.protocols.http1 import Request
from evotools.server import names
from evotools.server.config import ServerConfig, viewer_policy
from evotools.server.listeners import info
from evotools.server.listeners.base import Access
from evotools.server.listeners.formats import FORMATS
from evotools.server.listeners.hls import HlsStreams, LiveHls
from evotools.server.listeners.http_access import CORS, ERROR, RETRY, Refused, check_access
from evotools.server.listeners.progressive import Progressive
from evotools.server.listeners.routes import classify
from evotools.server.listeners.rtmp import Passwords, RtmpListener
from evotools.server.listeners.rtmpt import Tunnel, is_tunnel
from evotools.server.listeners.upload import METHODS, Uploads, takes_body, target
from evotools.server.listeners.vod import Vod
from evotools.server.listeners.websocket import WebSockets
from evotools.server.vod.files import Files, NotThere
from evotools.server.vod.title import Title
from evotools.server.web import pages
from evotools.transport.http import HttpConnection, HttpServer
from evotools.transport.ports import Ports

MAX_LISTED = 100
"""Streams named on the index page."""
MAX_ASKED = 1_000
"""Streams for which the index page asks `access`."""
TICK_S = 1.0
START_SEGMENTS = 3
"""What a player keeps between itself and the live edge (RFC 8216 6.3.3), for those that cannot start with less."""

_EXPOSE = [("Access-Control-Expose-Headers", "Content-Length, Content-Range, Date")]
_PLAYLIST = http1.header_block([("Content-Type", hls.MIME), ("Cache-Control", "max-age=1"), *CORS, *_EXPOSE])
_SEGMENT_FIELDS = http1.header_block(
    [
        ("Content-Type", "video/mp2t"),
        ("Cache-Control", "max-age=3600, immutable"),
        ("Accept-Ranges", "bytes"),
        *CORS,
        *_EXPOSE,
    ]
)
_ALLOW = http1.header_block([("Allow", "GET, HEAD, POST, PUT, OPTIONS")])
_PREFLIGHT = http1.header_block(
    [
        ("Allow", "GET, HEAD, POST, PUT, OPTIONS"),
        ("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, OPTIONS"),
        ("Access-Control-Allow-Headers", "Authorization, Content-Type, Range"),
        ("Access-Control-Max-Age", "86400"),
        *CORS,
    ]
)
_ASSETS = {name: http1.header_block([("Content-Type", mime), ("Cache-Control", "max-age=300"), *CORS[1:]])
           for name, mime in pages.ASSETS.items()}  # fmt: skip
_PAGE = http1.header_block(
    [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-cache"),
        ("Content-Security-Policy", pages.POLICY),
        ("Referrer-Policy", "same-origin"),
        *CORS[1:],
    ]
)

log = get_logger("http")


class HttpListener:
    """The HTTP media port of a server."""

    def __init__(
        self,
        hub: Hub,
        access: Access,
        config: ServerConfig,
        ports: Ports | None = None,
        passwords: Passwords | None = None,
    ) -> None:
        self._hub = hub
        self._ports = ports or Ports()
        self._access = access
        policy = viewer_policy(config.hub.start, config.hub.slow, config.hub)
        interval = config.http.flush_interval
        flush_interval: FlushInterval | None
        flush_interval = "auto" if interval == "auto" else None if interval == "" else float(interval)
        self._progressive = Progressive(hub, access, policy, flush_interval)
        self._websockets = WebSockets(hub, access, policy, flush_interval)
        self.files = Files(config.files, names.FIRST)
        self._vod = Vod(self.files, access)
        self._hls = HlsStreams(hub, config.hls, time.time) if config.hls.enabled else None
        self._uploads = Uploads(hub, access)
        rtmp = RtmpListener(
            hub, access, policy=policy, max_connections=config.rtmp.max_connections, idle_s=config.rtmp.idle,
            passwords=passwords, flush_interval=flush_interval,
        )  # fmt: skip
        self._tunnel = Tunnel(rtmp) if config.rtmp.enabled else None
        self._server = HttpServer(
            self._handle, max_connections=config.http.max_connections, streams=takes_body
        )  # fmt: skip
        self._server.ports = self._ports
        self._tick_handle: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int, ssl: ssl_module.SSLContext | None = None) -> None:
        """Bind and serve; an empty host is every address, port 0 a free one. Raises UnreachableError."""
        await self._server.start(host or None, port, ssl)
        self._ports.bound["HTTPS" if ssl else "HTTP"] = self.port
        self._tick()

    async def start_tls(self, host: str, port: int, context: ssl_module.SSLContext) -> None:
        """Bind a second port, for HTTPS and WSS, after `start`. Raises UnreachableError."""
        await self._server.start_tls(host or None, port, context)
        self._ports.bound["HTTPS"] = self.tls_port

    @property
    def tls_port(self) -> int:
        """The port of `start_tls`."""
        return self._server.tls_port

    @property
    def port(self) -> int:
        """The port bound."""
        return self._server.port

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._server)

    @property
    def segmenters(self) -> int:
        """Streams that are segmented now."""
        return 0 if self._hls is None else len(self._hls)

    async def close(self) -> None:
        """Stop listening, let viewers go, stop segmenters."""
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        if self._hls is not None:
            self._hls.close()
        self._websockets.close()
        self._vod.close()
        self.files.close()
        if self._tunnel is not None:
            self._tunnel.close()
        await self._server.close()

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        if self._hls is not None:
            self._hls.tick(self._hub.clock())
        self._websockets.tick(self._hub.clock())
        self._tick_handle = loop.call_later(TICK_S, self._tick)

    # One request.

    def _handle(self, connection: HttpConnection, request: Request) -> None:
        try:
            if request.method != "GET" and request.method != "HEAD":
                if request.method == "OPTIONS":
                    connection.respond(204, _PREFLIGHT)
                elif self._tunnel is not None and is_tunnel(request.path):
                    self._tunnel.handle(connection, request)
                elif request.method in METHODS:
                    self._uploads.handle(connection, request, *target(request.path))
                else:
                    # Whatever body the client meant is not worth waiting for.
                    connection.respond_text(
                        405, "only GET, HEAD, POST, PUT and OPTIONS are served here", _ALLOW, close=True
                    )
                return
            self._route(connection, request)
        except Refused as error:
            connection.respond_text(error.status, error.text, error.fields)
        except ParseError as error:
            connection.respond_text(400, error.message, ERROR)
        except RefusedError as error:
            connection.respond_text(503, error.message, RETRY)
        except EvotoolsError as error:
            connection.respond_text(406, error.message, ERROR)

    def _route(self, connection: HttpConnection, request: Request) -> None:
        if self.files.owns(request.path):
            self._file(connection, request)
            return
        kind, name, detail = classify(request.path)
        if kind == "media":
            self._playlist(connection, request, name, "")
        elif kind == "segment":
            self._segment(connection, request, name, detail)
        elif kind == "master":
            self._playlist(connection, request, name, detail)
        elif kind == "live" and request.upgrade and websocket.offered(request.headers):
            self._websockets.handle(connection, request, name, detail)
        elif kind == "live":
            self._progressive.handle(connection, request, name, FORMATS[detail])
        elif kind == "player":
            self._player(connection, request, name)
        elif kind == "json":
            self._json(connection, request, name)
        elif kind == "index":
            self._index(connection, request)
        elif kind == "health":
            connection.respond_text(200, "ok")
        elif kind == "asset" and detail in _ASSETS:
            connection.respond(200, _ASSETS[detail], pages.asset(detail))
        else:
            self._to_player(connection, request, name)

    def _name(self, name: str) -> str:
        try:
            return self._hub.check_name(name)
        except RefusedError:
            raise Refused(404, "there is no such stream") from None

    def _check(self, connection: HttpConnection, request: Request, name: str, protocol: str) -> None:
        check_access(self._access, connection, request, "read", name, protocol)

    def _stream(self, name: str) -> Stream:
        stream = self._hub.acquire(name)
        if stream is None:
            raise Refused(404, f"nobody publishes '{name}'")
        return stream

    # HLS.

    def _playlist(self, connection: HttpConnection, request: Request, name: str, media_uri: str) -> None:
        """The master playlist that names `media_uri`, or the media playlist when that is empty."""
        if self._hls is None:
            raise Refused(404, "HLS is switched off")
        live = self._hls.find(name)
        if live is None:
            self._name(name)
        self._check(connection, request, name, "hls")
        now = self._hub.clock()
        if request.method == "HEAD":
            if live is None and not self._hub.has(name):
                raise Refused(404, f"nobody publishes '{name}'")
            connection.respond(200, _PLAYLIST, sized=False)
            return
        stream = self._hub.find(name)
        if live is None or (stream is not None and live.stream is not stream):
            live = self._hls.open(stream or self._stream(name), now)
        live.used_at = now
        live.stream.touch(now)
        count = _segments_needed(request)
        if live.ready(count):
            self._send_playlist(connection, request, live, media_uri)
        elif live.failure or live.window.ended:
            raise Refused(406, live.failure or "the stream ended before its first segment")
        else:
            waiting = live

            def answer() -> None:
                if waiting.ready():
                    self._send_playlist(connection, request, waiting, media_uri)
                elif waiting.failure:
                    connection.respond_text(406, waiting.failure, ERROR)
                else:
                    connection.respond_text(503, "the stream has not begun yet", RETRY)

            if not self._hls.wait(live, connection, count, now, answer):
                raise Refused(503, "too many players wait for this stream", RETRY)
            connection.on_gone = lambda: waiting.forget(connection)

    def _send_playlist(self, connection: HttpConnection, request: Request, live: LiveHls, media_uri: str) -> None:
        text = live.master_playlist(media_uri) if media_uri else live.media_playlist()
        if request.query:
            text = hls.with_query(text, request.query)
        connection.respond(200, _PLAYLIST, text)

    def _segment(self, connection: HttpConnection, request: Request, name: str, stem: str) -> None:
        live = None if self._hls is None else self._hls.find(name)
        if live is None:
            # A stream may be called like a segment; everything else that looks like one has expired.
            if self._hub.find(f"{name}/{stem}") is not None:
                self._progressive.handle(connection, request, f"{name}/{stem}", FORMATS["ts"])
                return
            raise Refused(404, "the segment is not here any more")
        self._check(connection, request, name, "hls")
        segment = live.window.find(stem)
        if segment is None:
            raise Refused(404, "the segment is not here any more")
        now = self._hub.clock()
        live.used_at = now
        live.stream.touch(now)
        data = segment.data
        wanted = request.headers.get("range")
        if wanted is None or request.method == "HEAD":
            connection.respond(200, _SEGMENT_FIELDS, data)
            return
        size = len(data)
        try:
            part = http1.parse_range(wanted, size)
        except http1.UnsatisfiableRange:
            fields = ERROR + http1.header_block([("Content-Range", f"bytes */{size}")])
            raise Refused(416, "the range lies outside the segment", fields) from None
        if part is None:
            connection.respond(200, _SEGMENT_FIELDS, data)
        else:
            first, final = part
            fields = _SEGMENT_FIELDS + b"Content-Range: bytes %d-%d/%d\r\n" % (first, final, size)
            connection.respond(206, fields, data[first : final + 1])

    # Pages.

    def _index(self, connection: HttpConnection, request: Request) -> None:
        listed: list[str] = []
        for stream in islice(self._hub, MAX_ASKED):
            if self._may_read(connection, request, stream.name):
                listed.append(stream.name)
            if len(listed) >= MAX_LISTED:
                break
        listed.sort()
        with_hls = self._hls is not None
        if not self.files.listing:
            connection.respond(200, _PAGE, pages.index(listed, with_hls=with_hls))
            return

        async def answer() -> None:
            films = await self.files.listed(MAX_LISTED)
            shown = [film for film in films if self._may_read(connection, request, film)]
            connection.respond(200, _PAGE, pages.index(listed, with_hls=with_hls, films=shown))

        self._vod.spawn(connection, answer())

    def _may_read(self, connection: HttpConnection, request: Request, name: str) -> bool:
        try:
            self._check(connection, request, name, "http")
        except Refused:
            return False
        return True

    # Files and facts.

    def _file(self, connection: HttpConnection, request: Request) -> None:
        """A path in a folder: media, a WebSocket, or, with a slash at its end, a page."""
        path = request.path[1:]
        if not path.endswith("/"):
            name, _, suffix = path.rpartition(".")
            if request.upgrade and websocket.offered(request.headers):
                self._websockets.handle_title(connection, request, name, suffix, lambda: self._title(name))
            else:
                self._vod.handle(connection, request, path)
            return
        name = path.rstrip("/")
        self._check(connection, request, name, "http")

        async def answer() -> None:
            found = await self.files.find(name)
            self.files.forget(found)
            connection.respond(200, _PAGE, pages.film(name, request.query, found.suffix))

        self._vod.spawn(connection, answer())

    async def _title(self, name: str) -> Title:
        try:
            return await self.files.title(name)
        except NotThere:
            raise Refused(404, "there is no such file") from None

    def _json(self, connection: HttpConnection, request: Request, name: str) -> None:
        self._check(connection, request, name, "http")
        if not self.files.owns(f"/{name}"):
            self._name(name)
            told = info.of_stream(name, self._stream(name), request.query, with_hls=self._hls is not None)
            connection.respond(200, info.FIELDS, told)
            return

        async def answer() -> None:
            found = await self.files.find(name)
            title = await self.files.title_of(found)
            await title.close()
            connection.respond(200, info.FIELDS, info.of_title(name, title, found.suffix, request.query))

        self._vod.spawn(connection, answer())

    def _player(self, connection: HttpConnection, request: Request, name: str) -> None:
        self._name(name)
        self._check(connection, request, name, "http")
        known = self._hub.has(name) or (self._hls is not None and self._hls.find(name) is not None)
        page = pages.player(name, request.query, with_hls=self._hls is not None)
        # The page waits for the stream by itself, whatever the status says to programs.
        connection.respond(200 if known else 404, _PAGE, page)

    def _to_player(self, connection: HttpConnection, request: Request, name: str) -> None:
        self._name(name)
        # Whoever may not read a stream does not learn whether there is one.
        self._check(connection, request, name, "http")
        if not self._hub.has(name):
            raise Refused(404, "there is nothing of this name; see /")
        # Relative, so that a proxy may put the server below a folder.
        target = f"./{name.rpartition('/')[2]}/" + (f"?{request.query}" if request.query else "")
        connection.respond_text(308, "the player page ends with a slash", http1.header_block([("Location", target)]))


def _segments_needed(request: Request) -> int:
    """How many segments a live playlist must have for this client to start."""
    # Chromium's own player (140 to 156) gives up with DEMUXER_ERROR_COULD_NOT_PARSE, "Segment queue never had any
    # data", when it has taken all of a live playlist's segments before it plays. It asks with a Range; scripts do not.
    headers = request.headers
    return START_SEGMENTS if "range" in headers and "Chrome/" in headers.get("user-agent", "") else 1
