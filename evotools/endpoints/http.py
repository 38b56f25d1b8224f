"""`http://` and `https://`: media pulled from a server, live or stored, and live media pushed to one.

Our own client reads what our own demuxers read. The rest goes to libav: playlists, and stored files of foreign formats,
with a second request; live streams of foreign formats with the bytes of the first one. libav also has what is asked of
HTTP rarely: proxies and Digest authentication.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import PurePosixPath
from time import monotonic
from urllib.parse import urlencode

from evotools.containers import sniff
from evotools.endpoints.base import Context, Refusal, Source
from evotools.endpoints.bytestream import FORMAT_NAMES, ByteSink, ByteSource, format_name
from evotools.endpoints.registry import SCHEMES
from evotools.errors import MediaError, NoMediaError, ParseError, PeerGone, RefusedError, UsageError
from evotools.log import get_logger
from evotools.media.frame import Event
from evotools.media.track import Track
from evotools.protocols.http1_client import Address, basic_credentials, challenges, content_range, make_address
from evotools.transport.http_client import TIMEOUT_S, Exchange, HttpClient, Settings, refusal
from evotools.uri import Options, Uri

log = get_logger("http.client")

PLAYLISTS = (".m3u8", ".m3u", ".mpd", ".ism/manifest", ".f4m")
"""Paths that lead to documents about media: no request of ours."""
SUFFIXES = {
    ".ts": "ts", ".m2ts": "ts", ".mts": "ts", ".flv": "flv", ".mkv": "matroska", ".webm": "webm", ".mp4": "fmp4",
    ".m4v": "fmp4", ".m4s": "fmp4",
}  # fmt: skip
"""What a push sends when nothing else says it."""
MIMES = {
    "ts": "video/mp2t", "flv": "video/x-flv", "matroska": "video/x-matroska", "webm": "video/webm", "fmp4": "video/mp4",
}  # fmt: skip
EARLY_S = 2.0
"""A refusal this soon after the first media answers the request, as it had come before it."""
DOCUMENTS = ("text/html", "application/xhtml+xml", "application/json")
"""Types of answers for people and scripts: portals and log-in pages come with status 200."""
LIBAV_OPTIONS = ("format", "timeout", "tls_verify", "ca_file", "user_agent")
"""Ours that libav's endpoint takes too."""


def _settings(uri: Uri) -> tuple[Address, Settings, Options]:
    """What every request needs. Raises UsageError."""
    values, query = uri.options(SCHEMES[uri.scheme].options, foreign=True)
    options = Options(uri, values)
    name = uri.redacted
    if uri.listens:
        raise UsageError(f"{name}: lacks a host", hint="evotools serve is the HTTP server")
    try:
        address = make_address(secure=uri.scheme == "https", host=uri.host, port=uri.port, path=uri.path, query=query)
        credentials = "" if uri.user is None else basic_credentials(uri.user, uri.password or "")
    except ParseError as error:
        raise UsageError(f"{name}: {error.message}") from None
    settings = Settings(
        name,
        timeout_s=options.seconds("timeout", TIMEOUT_S) or TIMEOUT_S,
        verify=options.flag("tls_verify", True),
        ca_file=options.text("ca_file"),
        user_agent=options.text("user_agent") or "evotools",
        credentials=credentials,
        downgrade=options.flag("insecure_redirects", False),
    )
    return address, settings, options


def _proxied(host: str) -> bool:
    """Whether libav would go through a proxy: the environment names one, and `host` is no exception from it."""
    if not (os.environ.get("http_proxy") or os.environ.get("https_proxy")):
        return False
    exceptions = [e.strip().lstrip(".").lower() for e in os.environ.get("no_proxy", "").split(",")]
    return not any(e == "*" or (e and (host == e or host.endswith(f".{e}"))) for e in exceptions)


class _Body(ByteSource):
    """The body of an answer, read from the front."""

    def __init__(self, uri: Uri, exchange: Exchange, head: bytes, *, live: bool) -> None:
        super().__init__()
        self.uri = uri
        self.live = live
        self.may_spool = not live
        self._exchange = exchange
        self._waiting = head

    async def open(self) -> None:
        """The request was answered already."""

    async def read_bytes(self) -> bytes:
        """What came. Raises PeerGone, ProtocolError, NoMediaError."""
        if self._waiting:
            data, self._waiting = self._waiting, b""
            return data
        return await self._exchange.read()

    async def close(self) -> None:
        """Stop what reads in place of a demuxer."""
        await self.close_demuxer()


class _StoredMp4(Source):
    """An MP4 on a server that knows ranges."""

    live = False
    container = "mp4"

    def __init__(self, uri: Uri, client: HttpClient, exchange: Exchange, head: bytes, size: int) -> None:
        from evotools.endpoints.mp4 import StoredMp4
        from evotools.transport.http_file import HttpFile

        self.uri = uri
        self._file = HttpFile(client, exchange, head, size)
        self._pool = ThreadPoolExecutor(1, "http")
        self._stored = StoredMp4(self._file.read_at, size, uri.redacted, self._pool)

    async def open(self) -> None:
        """Read the header. Raises Foreign, ParseError, MediaError, PeerGone."""
        await self._stored.open()
        self.duration_s = self._stored.duration_s

    async def read(self) -> list[Event]:
        """The next batch."""
        return await self._stored.read()

    async def close(self) -> None:
        """Drop the connection and end the thread."""
        self._file.close()
        self._pool.shutdown(wait=False, cancel_futures=True)


class HttpSource(Source):
    """What a server sends. An answer without a length is taken as live, one with a length as stored."""

    live = False
    """Known once it is open."""

    def __init__(self, uri: Uri, ctx: Context) -> None:
        self.uri = uri
        self._ctx = ctx
        address, settings, self._options = _settings(uri)
        self.format = self._options.text("format")
        self._client = HttpClient(address, settings)
        self._exchange: Exchange | None = None
        self._inner: Source | None = None

    async def open(self) -> None:
        """Ask, follow redirects, and tell the kind of media. Raises UnreachableError, RefusedError, NoMediaError,
        PeerGone, ProtocolError, MediaError, UsageError."""
        uri = self.uri
        wanted = FORMAT_NAMES.get(self.format.lower(), "libav") if self.format else ""
        wanted = "mp4" if wanted in ("fmp4", "mov") else "matroska" if wanted == "webm" else wanted
        foreign = wanted and wanted not in sniff.OURS
        if foreign or uri.path.lower().endswith(PLAYLISTS) or _proxied(self._client.address.host):
            await self._open_libav()
            return
        exchange = self._exchange = await self._client.get()
        head = exchange.head
        assert head is not None
        if head.status not in (200, 206):
            if self._needs_digest(exchange):
                await self._open_libav()
                return
            if head.status == 416:
                raise NoMediaError(f"{uri.redacted}: the file is empty")
            raise await refusal(exchange, head, uri.redacted)
        size = head.length
        ranged = content_range(head.fields.get("content-range", "")) if head.status == 206 else None
        if head.status == 206 and (ranged is None or ranged[0]):
            raise MediaError(f"{uri.redacted}: the server sent another part than it was asked for")
        self.live = size is None
        data, name = await self._look(exchange, wanted)
        if size is not None and ranged is not None and ranged[2] == size and name == "mp4":
            source = _StoredMp4(uri, self._client, exchange, data, size)
            self._inner = source
            try:
                await source.open()
            except ParseError as error:
                log.info("%s; reading it through libav", error)
                await source.close()
                await self._open_libav()
                return
        elif name in sniff.OURS or (self.live and name not in ("hls", "dash", "")):
            self._inner = _Body(uri, exchange, data, live=self.live)
            self._inner.format = self.format
        elif not name and (kind := head.fields.get("content-type", "").partition(";")[0].strip().lower()) in DOCUMENTS:
            raise MediaError(
                f"{uri.redacted}: the server sent a document ({kind}) and no media",
                hint="open the address in a browser",
            )
        else:
            await self._open_libav()
            return
        self.container = self._inner.container or name
        self.duration_s = self._inner.duration_s

    async def _look(self, exchange: Exchange, wanted: str) -> tuple[bytes, str]:
        """The first bytes, and the name of the format that they begin or that is `wanted`; empty when unknown."""
        data = b""
        ended = False
        while True:
            if wanted and data:
                return data, wanted
            if len(data) >= sniff.MIN_SNIFF or ended:
                name = sniff.sniff(data, ended=ended)
                if name or ended or len(data) >= sniff.SNIFF_BYTES:
                    break
            part = await exchange.read()
            ended = not part
            data += part
        if not data:
            raise NoMediaError(f"{self.uri.redacted}: ended without any data")
        return data, name or ""

    def _needs_digest(self, exchange: Exchange) -> bool:
        """RFC 7616, which old cameras insist on."""
        head = exchange.head
        assert head is not None
        names = challenges(head.fields.get("www-authenticate", ""))
        return head.status == 401 and self.uri.user is not None and "digest" in names and "basic" not in names

    async def _open_libav(self) -> None:
        from evotools.endpoints.libav import LibavSource

        self._drop()
        values, query = self.uri.options(SCHEMES[self.uri.scheme].options, foreign=True)
        ours = urlencode({name: value for name, value in values.items() if name in LIBAV_OPTIONS})
        source = LibavSource(replace(self.uri, query=f"{query}?{ours}" if query or ours else ""), self._ctx)
        source.format = self.format
        log.info("%s: reading through libav", self.uri.redacted)
        self._inner = source
        self.live = source.live
        await source.open()
        self.container = source.container
        self.duration_s = source.duration_s

    async def read(self) -> list[Event]:
        """The next batch. Raises PeerGone, ProtocolError, NoMediaError, MediaError."""
        assert self._inner is not None
        inner = self._inner
        batch = await inner.read()
        self.container = inner.container or self.container
        self.duration_s = inner.duration_s
        return batch

    def _drop(self) -> None:
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None

    async def close(self) -> None:
        """Disconnect."""
        self._drop()
        if self._inner is not None:
            await self._inner.close()


class HttpSink(ByteSink):
    """A chunked PUT or POST that lasts as long as the stream. The suffix of the path tells the container."""

    realtime = True
    reconnects = True
    may_fall_back = False

    def __init__(self, uri: Uri, ctx: Context) -> None:
        super().__init__()
        self.uri = uri
        address, settings, options = _settings(uri)
        self.format = options.text("format")
        self._method = options.choice("method", ("PUT", "POST"), "PUT")
        self._client = HttpClient(address, settings)
        self._exchange: Exchange | None = None
        self._begun_at = 0.0
        """When the first media was sent."""
        self._told = SUFFIXES.get(PurePosixPath(uri.path.lower()).suffix, "")

    def _format(self) -> str:
        if not self.format and not self._told:
            raise UsageError(
                f"{self.uri.redacted}: the path does not tell the container", hint="add format=ts, flv, mkv or fmp4"
            )
        name = format_name(self.format) if self.format else self._told
        name = "fmp4" if name == "mp4" else name
        if name not in MIMES:
            raise UsageError(f"{self.uri.redacted}: '{name}' is not sent over HTTP", hint="use ts, flv, mkv or fmp4")
        return name

    async def open(self) -> None:
        """Begin the request. Raises UnreachableError, RefusedError, NoMediaError, ProtocolError, UsageError."""
        self._exchange = await self._client.upload(self._method, MIMES[self._format()])

    def offer(self, tracks: Sequence[Track]) -> list[Refusal]:
        """Tracks without a name in the container."""
        muxer = self._choose(tracks)
        return [Refusal(t, f"no name in {self._format()}") for t in tracks if not muxer.accepts(t)]

    async def write_bytes(self, data: bytes) -> None:
        """Send a chunk, waiting while the server is slow. Raises RefusedError, PeerGone when it answers or leaves."""
        assert self._exchange is not None
        if not self._begun_at:
            self._begun_at = monotonic()
        # RFC 9112 7.1.
        self._exchange.write((b"%x\r\n" % len(data), data, b"\r\n"))
        try:
            await self._exchange.drain()
        except RefusedError as error:
            error.early = monotonic() - self._begun_at < EARLY_S
            raise

    async def finish(self) -> None:
        """Send the trailer and the last chunk, and wait for the answer. Raises RefusedError, PeerGone."""
        exchange = self._exchange
        assert exchange is not None
        await self.finish_muxer()
        early = exchange.accepted
        exchange.write((b"0\r\n\r\n",))
        head = await exchange.answer()
        if head is None:
            raise PeerGone(f"{self.uri.redacted}: the server closed the connection")
        if not exchange.accepted:
            raise await refusal(exchange, head, self.uri.redacted, upload=True)
        if early:
            await exchange.linger()
        log.info("%s: the server took it (%d)", self.uri.redacted, head.status)
        await self.close()

    async def close(self) -> None:
        """Disconnect; what was not finished is cut off, so that the server knows."""
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None
