"""`http://` as a source and a sink, against servers that are written down here."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from evotools.containers.flv.mux import FlvMuxer
from evotools.containers.mp4.mux import Fmp4Muxer
from evotools.endpoints.base import Context
from evotools.endpoints.http import HttpSink, HttpSource
from evotools.errors import (
    EvotoolsError,
    MediaError,
    NoMediaError,
    PeerGone,
    ProtocolError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from evotools.pipeline.job import Runtime
from evotools.pipeline.reader import RouteReader
from evotools.pipeline.route import FOREVER, OutputSpec, RouteSpec
from evotools.pipeline.run import run_route
from evotools.pipeline.supervise import Backoff
from evotools.protocols.http1_client import make_address
from evotools.transport import http_client, http_file
from evotools.transport.http_client import HttpClient, Settings
from evotools.uri import Uri
from tests.conftest import need, run_ffmpeg
from tests.unit.endpoints.media import Clip, payloads, read_all, sink, source, write_all

OK = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n"


class Asked:
    """One request as a server saw it."""

    def __init__(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.line, *lines = head.split("\r\n")
        self.method, self.target, _ = self.line.split(" ")
        self.fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
        self.reader = reader
        self.writer = writer

    async def body(self) -> bytes:
        """A chunked body to its end; raises IncompleteReadError when it has none."""
        data = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            data += await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"
        return data


Handler = Callable[[Asked], bytes | Awaitable[bytes | None]]


class Server:
    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[Asked] = []
        self.port = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            asked = Asked(head, reader, writer)
            self.asked.append(asked)
            answer = self.handler(asked)
            data = answer if isinstance(answer, bytes) else await answer
            if data:
                writer.write(data)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(handler)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    server.scheme = "https" if context else "http"
    try:
        yield server
    finally:
        listener.close()


def with_length(body: bytes, head: bytes = OK) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes, *, end: bool = True) -> bytes:
    parts = [b"%x\r\n%b\r\n" % (len(body[i : i + 5000]), body[i : i + 5000]) for i in range(0, len(body), 5000)]
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(parts) + (b"0\r\n\r\n" if end else b"")


def flv(clip: Clip) -> bytes:
    muxer = FlvMuxer()
    return muxer.start(clip.tracks) + b"".join([muxer.write(f) for f in clip.frames]) + muxer.finish()


def fmp4(clip: Clip) -> bytes:
    muxer = Fmp4Muxer()
    return muxer.start(clip.tracks) + b"".join([muxer.write(f) for f in clip.frames]) + muxer.finish()


@pytest.mark.parametrize("container", ["ts", "flv", "mp4", "mkv"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close", "ICY", "1.0"])
async def test_every_container_in_every_framing(clip: Clip, container: str, framing: str, tmp_path: Path) -> None:
    if container == "mkv":
        (tmp_path / "x.ts").write_bytes(clip.ts())
        run_ffmpeg("-i", str(tmp_path / "x.ts"), "-c", "copy", str(tmp_path / "x.mkv"))
        body = (tmp_path / "x.mkv").read_bytes()
    else:
        body = {"ts": clip.ts, "flv": lambda: flv(clip), "mp4": lambda: fmp4(clip)}[container]()
    answer = {
        "length": with_length(body),
        "chunked": chunked(body),
        "close": OK + b"\r\n" + body,
        "ICY": b"ICY 200 OK\r\nicy-name: x\r\n\r\n" + body,
        "1.0": b"HTTP/1.0 200 OK\r\n\r\n" + body,
    }[framing]
    async with serving(lambda _: answer) as server:
        opened = source(f"{server.url}/anything?q=1")
        events = await read_all(opened)
    assert payloads(events) == clip.payloads
    assert opened.live is (framing != "length")
    assert server.asked[0].target == "/anything?q=1"
    assert server.asked[0].fields["accept-encoding"] == "identity"
    assert server.asked[0].fields["host"] == f"127.0.0.1:{server.port}"
    if opened.live:
        assert len(server.asked) == 1, "a live stream is asked for once"


async def test_a_stream_that_breaks_off_is_no_end(clip: Clip) -> None:
    body = clip.ts()
    cut = [with_length(body)[:-1000], chunked(body, end=False), OK + b"Content-Length: 10\r\n\r\n"]
    for answer in cut:
        async with serving(lambda _, answer=answer: answer) as server:
            with pytest.raises(PeerGone, match=r"http://127\.0\.0\.1.*in the middle"):
                await read_all(source(f"{server.url}/x.ts"))
    async with serving(lambda _: b"") as server:
        with pytest.raises(PeerGone, match="without an answer"):
            await read_all(source(f"{server.url}/x.ts"))
    async with serving(lambda _: OK + b"\r\n") as server:
        with pytest.raises(NoMediaError, match="without any data"):
            await read_all(source(f"{server.url}/x.ts"))


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\n\r\n", RefusedError, "credentials"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", RefusedError, "403 Forbidden"),
        (
            b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 31\r\n\r\n"
            b"only for\x1b[1m friends\nsecond line",
            RefusedError,
            r"403 only for\[1m friends\)",
        ),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", NoMediaError, "no such stream"),
        (b"HTTP/1.1 410 Gone\r\n\r\n", NoMediaError, "no such stream"),
        (b"HTTP/1.1 400 Bad\r\n\r\n", RefusedError, "400 Bad"),
        (b"HTTP/1.1 500 Oops\r\n\r\n", UnreachableError, "cannot serve now"),
        (b"HTTP/1.1 416 Range\r\n\r\n", NoMediaError, "is empty"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", ProtocolError, "304"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", NoMediaError, "204"),
        (b"HTTP/1.1 302 Found\r\n\r\n", ProtocolError, "without an address"),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", ProtocolError, "scheme 'file'"),
        (b"HTTP/1.1 206 Part\r\nContent-Range: bytes 5-9/10\r\n\r\n", MediaError, "another part"),
        (OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b", ProtocolError, "compressed"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!DOCTYPE html>", MediaError, "document"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", MediaError, "no media"),
        (b"220 ftp ready\r\n", ProtocolError, "no answer of HTTP"),
    ],
)  # fmt: skip
async def test_answers_that_are_no_media(answer: bytes, kind: type[EvotoolsError], words: str) -> None:
    async with serving(lambda _: answer) as server:
        with pytest.raises(kind, match=words) as caught:
            await read_all(source(f"{server.url}/x.ts"))
    assert type(caught.value) is kind
    assert len(server.asked) == 1


async def test_the_wait_that_a_busy_server_asks_for_is_kept() -> None:
    async with serving(lambda _: b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n") as server:
        with pytest.raises(UnreachableError, match="503 Busy") as caught:
            await read_all(source(f"{server.url}/x.ts"))
    assert Backoff(FOREVER).next(caught.value, 0.0, 0.0) == 7
    assert Backoff(FOREVER).next(UnreachableError("x"), 0.0, 0.0) == 0.5
    caught.value.retry_after_s = 1e9
    wait = Backoff(FOREVER).next(caught.value, 0.0, 0.0)
    assert wait is not None
    assert wait <= 300


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(clip: Clip, status: int) -> None:
    def handler(asked: Asked) -> bytes:
        if asked.target.startswith("/a"):
            return b"HTTP/1.1 %d Go\r\nLocation: ../b?x\r\nContent-Length: 3\r\n\r\nabc" % status
        return chunked(clip.ts())

    async with serving(handler) as server:
        assert payloads(await read_all(source(f"{server.url}/a/c?token=y"))) == clip.payloads
    assert [a.target for a in server.asked] == ["/a/c?token=y", "/b?x"]


async def test_a_loop_of_redirects_ends() -> None:
    async with serving(lambda _: b"HTTP/1.1 302 Go\r\nLocation: /\r\n\r\n") as server:
        with pytest.raises(ProtocolError, match="more than 5 redirects"):
            await read_all(source(f"{server.url}/"))
    assert len(server.asked) == 6


def wants_credentials(asked: Asked) -> bytes | None:
    if asked.fields.get("authorization") == "Basic Ym9iOnBhczp3w7ZyZA==":
        return None
    return b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\n\r\n"


async def test_credentials_are_sent_when_asked_for_and_to_nobody_else(clip: Clip) -> None:
    async with serving(lambda _: chunked(clip.ts())) as other:

        def handler(asked: Asked) -> bytes:
            return wants_credentials(asked) or b"HTTP/1.1 307 Go\r\nLocation: %b/x\r\n\r\n" % other.url.encode()

        async with serving(handler) as server:
            uri = f"http://bob:pas:w%C3%B6rd@127.0.0.1:{server.port}/x.ts"
            opened = source(uri)
            assert payloads(await read_all(opened)) == clip.payloads
            assert "pas" not in str(opened.uri)
            assert ["authorization" in a.fields for a in server.asked] == [False, True]
            with pytest.raises(RefusedError, match="wants credentials") as caught:
                await read_all(source(f"http://bob:wrong-word@127.0.0.1:{server.port}/x.ts"))
            assert "wrong-word" not in str(caught.value)
    assert [("authorization" in a.fields) for a in other.asked] == [False]


async def test_the_password_is_not_shown_to_a_server_that_wants_a_digest() -> None:
    async with serving(lambda _: b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="x", nonce="y"\r\n\r\n') as server:
        with pytest.raises(EvotoolsError):
            await read_all(source(f"http://bob:word@127.0.0.1:{server.port}/x.ts"))
    answers = [a.fields.get("authorization", "") for a in server.asked]
    assert not any(a.startswith("Basic") for a in answers)
    assert any(a.startswith("Digest") for a in answers), "libav speaks it"


async def test_options_are_ours_and_the_rest_is_the_peers(clip: Clip) -> None:
    async with serving(lambda _: chunked(clip.ts())) as server:
        await read_all(source(f"{server.url}/x?a=1&user_agent=me%2F1&timeout=5s&b=2"))
        await read_all(source(f"{server.url}/x?user_agent=theirs?user_agent=ours"))
        await read_all(source(f"{server.url}/x?format=theirs?"))
    assert [(a.target, a.fields["user-agent"]) for a in server.asked] == [
        ("/x?a=1&b=2", "me/1"), ("/x?user_agent=theirs", "ours"), ("/x?format=theirs", "evotools"),
    ]  # fmt: skip
    for wrong in (
        "http:///x",
        "http://0.0.0.0/x",
        "http://a:1/x?timeout=y",
        "http://a b/",
        "http://a/x?user_agent=%0a",
    ):
        with pytest.raises(UsageError):
            await source(wrong).open()


async def test_time_outs_name_what_did_not_come() -> None:
    async def silent(asked: Asked) -> None:
        await asked.reader.read()

    async def stops(asked: Asked) -> None:
        asked.writer.write(OK + b"\r\n" + b"FLV\1\5\0\0\0\x09\0\0\0\0")
        await asked.reader.read()

    async with serving(silent) as server:
        with pytest.raises(UnreachableError, match=r"no answer within 0\.05 s"):
            await read_all(source(f"{server.url}/x?timeout=50ms"))
    async with serving(stops) as server:
        with pytest.raises(NoMediaError, match=r"nothing came for 0\.05 s"):
            await read_all(source(f"{server.url}/x?timeout=50ms"))
    with pytest.raises(UnreachableError, match="refused"):
        await source("http://127.0.0.1:1/x").open()


async def test_a_server_is_held_back_while_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "MAX_UNREAD", 100_000)
    sent = 0
    full = asyncio.Event()

    async def endless(asked: Asked) -> None:
        nonlocal sent
        asked.writer.transport.set_write_buffer_limits(0)
        asked.writer.write(OK + b"\r\n")
        while True:
            asked.writer.write(bytes(100_000))
            sent += 100_000
            drained = asyncio.ensure_future(asked.writer.drain())
            if not (await asyncio.wait({drained}, timeout=0.3))[0]:
                full.set()
            await drained

    async with serving(endless) as server:
        address = make_address(secure=False, host="127.0.0.1", port=server.port, path="/", query="")
        exchange = await HttpClient(address, Settings("x")).get()
        async with asyncio.timeout(30):
            await full.wait()
            # The rest lies in the buffers of the two sockets.
            waiting = len(await exchange.read())
            assert 100_000 < waiting < 100_000 + 2 * 256 * 1024
            got = waiting
            while got <= sent - 100_000 or got < 2 * waiting:
                got += len(await exchange.read())
        exchange.close()


async def test_a_live_stream_that_ends_is_asked_for_again_on_one_clock(clip: Clip) -> None:
    async with serving(lambda _: chunked(clip.ts())) as server:
        runtime = Runtime()
        reader = RouteReader(RouteSpec(f"{server.url}/x.ts", (OutputSpec("null:"),), reconnect=FOREVER), runtime)
        await reader.open()
        assert reader.source.live
        times: list[float] = []
        async with asyncio.timeout(20):
            while len(server.asked) < 3:
                times += [e.dts_s for e in await reader.read() if hasattr(e, "dts_s") and e.track.codec == "h264"]
        await reader.close()
    assert len(times) > 2 * 25
    assert times == sorted(times)


async def test_a_stored_file_waits_for_its_destination_and_a_live_one_does_not(clip: Clip, tmp_path: Path) -> None:
    for answer, live in ((with_length(clip.ts()), False), (chunked(clip.ts()), True)):
        async with serving(lambda _, answer=answer: answer) as server:
            out = tmp_path / f"{live}.ts"
            assert await run_route(RouteSpec(f"{server.url}/x", (OutputSpec(str(out)),)), Runtime()) == 0
            assert payloads(await read_all(source(out))) == clip.payloads
            opened = HttpSource(Uri.parse(f"{server.url}/x"), Context())
            await opened.open()
            assert opened.live is live
            await opened.close()


# Stored MP4 by ranges


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MP4 of several megabytes with its header at the end."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "nullsrc=s=320x240:r=25,geq=random(1)*255:128:128", "-t", "3", "-c:v", "libx264",
               "-preset", "ultrafast", "-qp", "10", str(path))  # fmt: skip
    assert path.stat().st_size > 4 << 20
    return path


def ranged(body: bytes, *, cut: int = 1 << 40, etag: str = '"one"') -> Handler:
    """A server of ranges whose connections break after `cut` bytes."""

    def handler(asked: Asked) -> bytes:
        first = int(asked.fields["range"].removeprefix("bytes=").removesuffix("-"))
        if asked.fields.get("if-range", etag) != etag:
            return with_length(body)
        head = b"HTTP/1.1 206 Part\r\nETag: %b\r\nContent-Range: bytes %d-%d/%d\r\n" % (
            etag.encode(), first, len(body) - 1, len(body),
        )  # fmt: skip
        return head + b"Content-Length: %d\r\n\r\n" % (len(body) - first) + body[first:][:cut]

    return handler


async def test_a_film_with_its_header_at_the_end_costs_three_requests(film: Path) -> None:
    expected = payloads(await read_all(source(film)))
    async with serving(ranged(film.read_bytes())) as server:
        opened = source(f"{server.url}/film.mp4")
        assert payloads(await read_all(opened)) == expected
        assert opened.container == "mp4"
        assert opened.duration_s == pytest.approx(3, abs=0.1)
    ranges = [int(a.fields["range"][6:-1]) for a in server.asked]
    assert len(ranges) == 3, ranges
    assert ranges[0] == 0
    assert ranges[1] > 4 << 20
    assert ranges[2] < 1 << 20


async def test_broken_connections_are_taken_up_where_they_broke(film: Path) -> None:
    expected = payloads(await read_all(source(film)))
    async with serving(ranged(film.read_bytes(), cut=1_000_000)) as server:
        assert payloads(await read_all(source(f"{server.url}/film.mp4"))) == expected
        assert len(server.asked) > 4
    async with serving(ranged(film.read_bytes(), cut=300_000)) as server:
        server_handler = server.handler

        def dies(asked: Asked) -> bytes | Awaitable[bytes | None]:
            return server_handler(asked) if len(server.asked) < 8 else b""

        server.handler = dies
        with pytest.raises(PeerGone):
            await read_all(source(f"{server.url}/film.mp4"))
        assert len(server.asked) <= 8 + http_file.ATTEMPTS


async def test_a_film_that_changes_meanwhile_is_not_mixed(film: Path) -> None:
    handlers = [ranged(film.read_bytes()), ranged(film.read_bytes()[:-1] + b"x", etag='"two"')]
    async with serving(lambda asked: handlers[min(len(server.asked) - 1, 1)](asked)) as server:
        with pytest.raises(MediaError, match="changed while it was read"):
            await read_all(source(f"{server.url}/film.mp4"))


async def test_a_server_without_ranges_fills_a_temporary_file(film: Path) -> None:
    async with serving(lambda _: with_length(film.read_bytes())) as server:
        assert payloads(await read_all(source(f"{server.url}/film.mp4"))) == payloads(await read_all(source(film)))
    assert len(server.asked) == 1


async def test_closing_ends_a_read_that_waits_in_a_thread(film: Path) -> None:
    body = film.read_bytes()

    async def stalls(asked: Asked) -> bytes | None:
        if "bytes=0-" not in asked.fields["range"]:
            await asked.reader.read()
            return None
        answer = ranged(body)(asked)
        return answer if isinstance(answer, bytes) else None

    async with serving(stalls) as server:
        opened = source(f"{server.url}/film.mp4")
        opening = asyncio.create_task(opened.open())
        while len(server.asked) < 2:
            await asyncio.sleep(0.005)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        async with asyncio.timeout(5):
            await opened.close()


# What libav reads


async def test_foreign_files_and_playlists_go_to_libav(clip: Clip, tmp_path: Path) -> None:
    (tmp_path / "x.ts").write_bytes(clip.ts())
    run_ffmpeg("-i", str(tmp_path / "x.ts"), "-c", "copy", str(tmp_path / "x.avi"))
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nx.ts\n#EXT-X-ENDLIST\n"

    def handler(asked: Asked) -> bytes:
        name = asked.target.partition("?")[0][1:]
        body = playlist if name in ("list", "list.m3u8") else (tmp_path / name).read_bytes()
        return with_length(body)

    async with serving(handler) as server:
        for name, container in (("x.avi", "avi"), ("list", "hls"), ("list.m3u8", "hls")):
            opened = source(f"{server.url}/{name}?a=b&timeout=5s&insecure_redirects=1")
            assert len(payloads(await read_all(opened))["h264"]) == len(clip.payloads["h264"])
            assert opened.container == container
    assert all(a.target in ("/x.ts", "/x.avi?a=b", "/list?a=b", "/list.m3u8?a=b") for a in server.asked)


async def test_a_proxy_of_the_environment_is_used(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(lambda _: with_length(clip.ts())) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert payloads(await read_all(source("http://host.invalid/x.ts"))) == clip.payloads
        assert proxy.asked[0].target == "http://host.invalid:80/x.ts"
        monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
        async with serving(lambda _: chunked(clip.ts())) as server:
            await read_all(source(f"{server.url}/x.ts"))
            assert server.asked[0].target == "/x.ts"


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, and server.pem and server.key for 127.0.0.1 signed by it."""
    folder = tmp_path_factory.mktemp("ca")

    def openssl(*args: str) -> None:
        subprocess.run([need("openssl"), *args], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA")
    openssl("req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "ext", "-out", "server.pem")  # fmt: skip
    return folder


@pytest.fixture
def server_tls(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    return context


async def speaks_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def test_https_is_verified(
    clip: Clip, authority: Path, server_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(lambda _: chunked(clip.ts()), server_tls) as server:
        with pytest.raises(UnreachableError, match=r"https://127.*authority that is not trusted.*tls_verify=0"):
            await read_all(source(f"{server.url}/x.ts"))
        assert not server.asked
        assert payloads(await read_all(source(f"{server.url}/x.ts?tls_verify=0"))) == clip.payloads
        monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
        assert payloads(await read_all(source(f"{server.url}/x.ts"))) == clip.payloads
        with pytest.raises(UnreachableError, match="for another"):
            await read_all(source(f"https://localhost:{server.port}/x.ts"))
    async with await asyncio.start_server(speaks_first, "127.0.0.1", 0) as plain:
        port = plain.sockets[0].getsockname()[1]
        with pytest.raises(UnreachableError, match="does not speak TLS"):
            await read_all(source(f"https://127.0.0.1:{port}/x.ts"))


async def test_no_redirect_away_from_tls_unless_asked_for(clip: Clip, server_tls: ssl.SSLContext) -> None:
    async with serving(lambda _: chunked(clip.ts())) as plain:
        go = b"HTTP/1.1 302 Go\r\nLocation: %b/x.ts\r\n\r\n" % plain.url.encode()
        async with serving(lambda _: go, server_tls) as server:
            with pytest.raises(RefusedError, match=r"without TLS.*insecure_redirects=1"):
                await read_all(source(f"https://u:p@127.0.0.1:{server.port}/?tls_verify=0"))
            assert not plain.asked
            uri = f"https://u:p@127.0.0.1:{server.port}/?tls_verify=0&insecure_redirects=1"
            assert payloads(await read_all(source(uri))) == clip.payloads
    assert "authorization" not in plain.asked[0].fields


# Pushing


CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


class Taking:
    """A server that takes uploads."""

    def __init__(
        self, answer: bytes = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", *, cont: bool = True
    ) -> None:
        self.answer = answer
        self.cont = cont
        self.bodies: list[bytes] = []

    async def __call__(self, asked: Asked) -> bytes:
        if self.cont and "expect" in asked.fields:
            asked.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.bodies.append(await asked.body())
        return self.answer


@pytest.mark.parametrize(
    ("path", "mime"),
    [
        ("x.ts", "video/mp2t"), ("x.flv", "video/x-flv"), ("x.mkv", "video/x-matroska"), ("x.mp4", "video/mp4"),
        ("x?format=flv&a=b", "video/x-flv"), ("x.ts?format=mp4", "video/mp4"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_stream_is_sent(clip: Clip, path: str, mime: str, method: str, tmp_path: Path) -> None:
    taking = Taking()
    async with serving(taking) as server:
        await write_all(sink(f"{server.url}/{path}{'&' if '?' in path else '?'}method={method}"), clip)
    asked = server.asked[0]
    assert (asked.method, asked.fields["content-type"]) == (method, mime)
    assert asked.target.startswith("/x")
    assert "format" not in asked.target
    (tmp_path / "sent").write_bytes(taking.bodies[0])
    assert payloads(await read_all(source(tmp_path / "sent"))) == clip.payloads


async def test_a_server_that_says_nothing_before_the_body(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "EXPECT_S", 0.05)
    taking = Taking(cont=False)
    async with serving(taking) as server:
        await write_all(sink(f"{server.url}/x.ts"), clip)
    assert taking.bodies


async def test_a_server_that_expects_nothing_and_redirects(clip: Clip) -> None:
    taking = Taking(cont=False)

    def handler(asked: Asked) -> bytes | Awaitable[bytes]:
        if asked.target == "/x.ts":
            return b"HTTP/1.1 307 Go\r\nLocation: /y.ts\r\n\r\n"
        if "expect" in asked.fields:
            return b"HTTP/1.1 417 Expectation Failed\r\n\r\n"
        return taking(asked)

    async with serving(handler) as server:
        await write_all(sink(f"http://u:p@127.0.0.1:{server.port}/x.ts"), clip)
    assert taking.bodies
    assert all(a.fields["authorization"] == "Basic dTpw" for a in server.asked)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, RefusedError), (403, RefusedError), (404, RefusedError), (409, RefusedError), (415, RefusedError),
     (303, ProtocolError), (503, UnreachableError)],
)  # fmt: skip
async def test_refusals_before_the_body(status: int, kind: type[EvotoolsError]) -> None:
    async with serving(lambda _: b"HTTP/1.1 %d No\r\nLocation: /\r\n\r\n" % status) as server:
        opened = sink(f"{server.url}/x.ts")
        with pytest.raises(kind, match=str(status)):
            await opened.open()
        await opened.close()


async def test_a_refusal_of_the_first_bytes_ends_a_route_with_exit_5(clip: Clip) -> None:
    async def handler(asked: Asked) -> bytes:
        asked.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asked.reader.readexactly(100)
        return b"HTTP/1.1 415 Unsupported\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nnot this kind"

    async with serving(handler) as server:
        spec = RouteSpec("test:?size=64x64", (OutputSpec(f"{server.url}/x.ts"),))
        with pytest.raises(RefusedError, match="415 not this kind"):
            async with asyncio.timeout(20):
                await run_route(spec, Runtime())
    assert len(server.asked) == 1


async def test_a_server_that_leaves_is_called_again_with_a_key_frame(clip: Clip, tmp_path: Path) -> None:
    taking = Taking()

    async def handler(asked: Asked) -> bytes:
        if len(server.asked) == 1:
            asked.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await asked.reader.readexactly(3000)
            asked.writer.transport.abort()
            return b""
        return await taking(asked)

    async with serving(handler) as server:
        spec = RouteSpec("test:?size=64x64&duration=2s&gop=10", (OutputSpec(f"{server.url}/x.flv"),))
        async with asyncio.timeout(30):
            assert await run_route(spec, Runtime()) == 0
    assert len(server.asked) == 2
    (tmp_path / "sent").write_bytes(taking.bodies[0])
    events = await read_all(source(tmp_path / "sent"))
    first = next(e for e in events if hasattr(e, "key") and e.track.codec == "h264")
    assert first.key


@pytest.mark.parametrize("ending", [b"", b"0\r\n\r\n"])
async def test_a_server_may_accept_before_it_reads(clip: Clip, tmp_path: Path, ending: bytes) -> None:
    taking = Taking(ending)

    async def handler(asked: Asked) -> bytes:
        asked.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        return await taking(asked)

    taking.cont = False
    async with serving(handler) as server:
        await write_all(sink(f"{server.url}/x.ts"), clip)
    (tmp_path / "sent").write_bytes(taking.bodies[0])
    assert payloads(await read_all(source(tmp_path / "sent"))) == clip.payloads


async def test_the_last_answer_counts(clip: Clip) -> None:
    async with serving(Taking(b"HTTP/1.1 507 Full\r\n\r\n")) as server:
        with pytest.raises(UnreachableError, match="507 Full"):
            await write_all(sink(f"{server.url}/x.ts"), clip)
    async with serving(Taking(b"")) as server:
        with pytest.raises(PeerGone):
            await write_all(sink(f"{server.url}/x.ts"), clip)


async def test_what_cannot_be_sent() -> None:
    with pytest.raises(UsageError, match="does not tell the container"):
        await sink("http://127.0.0.1:1/x").open()
    with pytest.raises(UsageError, match="not sent over HTTP"):
        await sink("http://127.0.0.1:1/x?format=avi").open()
    with pytest.raises(UsageError, match="cannot be 'GET'"):
        sink("http://127.0.0.1:1/x.ts?method=GET")
    assert HttpSink.realtime
    assert HttpSink.reconnects
