"""The HTTP front end: bodies as they come, streams of known length, switched protocols, slow readers; on both loops."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from evotools.protocols import http1
from evotools.protocols.http1 import Request
from evotools.transport.http import HttpConnection, HttpServer, HttpStream
from tests.unit.transport.test_http import answer, get, until

HEAD = "POST {} HTTP/1.1\r\nHost: x\r\n{}\r\n"


class App:
    """Takes the body of every POST and PUT; what it does with it depends on the path."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.ended: list[bool] = []
        self.connections: list[HttpConnection] = []
        self.streams: list[HttpStream] = []
        self.raw: list[bytes] = []
        self.left = 0

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    def __call__(self, connection: HttpConnection, request: Request) -> None:
        self.connections.append(connection)
        if request.path == "/refused":
            connection.respond_text(403, "no")
        elif request.path == "/stops":
            connection.receive_body(lambda _: connection.respond_text(409, "taken over"), self.ended.append)
        elif request.path == "/bug":
            connection.receive_body(lambda _: 1 / 0, self.ended.append)
        elif request.path == "/paused":
            connection.receive_body(self.parts.append, self.ended.append)
            connection.pause_body()
        elif request.path == "/later":
            pass
        elif request.path == "/switch":
            stream = connection.upgrade(b"Upgrade: echo\r\n", self.raw.append)
            stream.on_close = self.gone
            self.streams.append(stream)
        elif request.path.startswith("/file/"):
            self.streams.append(connection.start_stream(b"", status=206, length=int(request.path[6:])))
        elif request.path == "/chunks":
            self.streams.append(connection.start_stream(b"", chunked=True))
        elif request.method == "POST":

            def end(whole: bool) -> None:
                self.ended.append(whole)
                connection.respond_text(200, f"{len(self.body)}")

            connection.receive_body(self.parts.append, end)
        else:
            connection.respond_text(200, request.path)

    def gone(self) -> None:
        self.left += 1


class Peer:
    def __init__(self, app: App, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.app = app
        self.reader = reader
        self.writer = writer

    def post(self, path: str, fields: str, body: bytes = b"") -> None:
        self.writer.write(HEAD.format(path, fields).encode() + body)


def talk(check: Callable[[Peer], Coroutine[Any, Any, None]]) -> Callable[[], Coroutine[Any, Any, None]]:
    """A server that streams bodies, and one client of it."""

    async def run() -> None:
        app = App()
        server = HttpServer(app, streams=lambda _: True)
        await server.start("127.0.0.1", 0)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            await asyncio.wait_for(check(Peer(app, reader, writer)), 30)
            writer.close()
            await until(lambda: not len(server))
        finally:
            await server.close()

    run.__name__ = check.__name__
    return run


async def a_body_with_a_length(peer: Peer) -> None:
    peer.post("/a", "Content-Length: 300000\r\n", b"x" * 100_000)
    await until(lambda: len(peer.app.body) == 100_000)
    assert not peer.app.ended
    # The next request comes with the end of the body.
    peer.writer.write(b"y" * 200_000 + get("/next"))
    assert (await answer(peer.reader))[1] == b"300000\n"
    assert (await answer(peer.reader))[1] == b"/next\n"
    assert peer.app.ended == [True]
    assert peer.app.body == b"x" * 100_000 + b"y" * 200_000


async def a_chunked_body_is_given_once_per_read(peer: Peer) -> None:
    peer.post("/a", "Transfer-Encoding: chunked\r\n")
    await until(lambda: peer.app.connections)
    chunks = b"".join(b"1;ext=1\r\n%c\r\n" % (65 + i % 26) for i in range(1000))
    peer.writer.write(chunks + b"0\r\nTrailer: x\r\n\r\n" + get("/next"))
    assert (await answer(peer.reader))[1] == b"1000\n"
    assert (await answer(peer.reader))[1] == b"/next\n"
    assert len(peer.app.parts) <= 4
    assert peer.app.ended == [True]


async def a_body_until_the_connection_ends(peer: Peer) -> None:
    peer.post("/a", "Connection: close\r\n", b"abc\r\n\r\nGET / HTTP/1.1\r\n")
    await until(lambda: peer.app.body)
    peer.writer.write(b"more")
    peer.writer.write_eof()
    head, text = await answer(peer.reader)
    assert text == b"%d\n" % len(peer.app.body)
    assert b"Connection: close" in head
    assert peer.app.body == b"abc\r\n\r\nGET / HTTP/1.1\r\nmore"
    assert peer.app.ended == [True]


async def an_http10_body(peer: Peer) -> None:
    peer.writer.write(b"POST /a HTTP/1.0\r\n\r")
    await asyncio.sleep(0.01)
    peer.writer.write(b"\nabc")
    peer.writer.write_eof()
    assert (await answer(peer.reader))[1] == b"3\n"


async def no_body(peer: Peer) -> None:
    peer.post("/a", "Content-Length: 0\r\n")
    assert (await answer(peer.reader))[1] == b"0\n"
    peer.post("/a", "")
    assert (await answer(peer.reader))[1] == b"0\n"
    assert peer.app.ended == [True, True]


async def a_client_that_waits_to_be_told_to_go_on(peer: Peer) -> None:
    peer.post("/a", "Content-Length: 3\r\nExpect: 100-continue\r\n")
    assert await peer.reader.readuntil(b"\r\n\r\n") == http1.CONTINUE
    peer.writer.write(b"abc")
    assert (await answer(peer.reader))[1] == b"3\n"
    # Refused: not told to go on, and the connection cannot be used again.
    peer.post("/refused", "Content-Length: 3\r\nExpect: 100-continue\r\n")
    head, _ = await answer(peer.reader)
    assert head.startswith(b"HTTP/1.1 403")
    assert b"Connection: close" in head
    assert await peer.reader.read() == b""


async def an_early_answer_reaches_a_client_that_goes_on_sending(peer: Peer) -> None:
    peer.post("/stops", "Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n")
    for _ in range(100):
        peer.writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    head, text = await answer(peer.reader)
    assert head.startswith(b"HTTP/1.1 409")
    assert text == b"taken over\n"
    assert await peer.reader.read() == b""
    assert not peer.app.ended


async def a_refusal_after_a_short_body_keeps_the_connection(peer: Peer) -> None:
    peer.post("/refused", "Content-Length: 3\r\n", b"abc" + get("/next"))
    assert (await answer(peer.reader))[0].startswith(b"HTTP/1.1 403")
    assert (await answer(peer.reader))[1] == b"/next\n"


async def a_peer_that_leaves_in_the_middle(peer: Peer) -> None:
    peer.post("/a", "Content-Length: 10\r\n", b"abc")
    await until(lambda: peer.app.body)
    peer.writer.close()
    await until(lambda: peer.app.ended)
    assert peer.app.ended == [False]


async def a_broken_body(peer: Peer) -> None:
    peer.post("/later", "Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\nno size\r\n")
    await until(lambda: peer.app.connections)
    peer.app.connections[0].receive_body(peer.app.parts.append, peer.app.ended.append)
    assert (await answer(peer.reader))[0].startswith(b"HTTP/1.1 400")
    assert (peer.app.body, peer.app.ended) == (b"abc", [False])


async def a_bug_in_taking_a_body(peer: Peer) -> None:
    peer.post("/bug", "Content-Length: 10\r\n", b"abc")
    with contextlib.suppress(ConnectionError):
        assert await peer.reader.read() == b""


async def a_paused_body_holds_the_peer_back(peer: Peer) -> None:
    size = 32 << 20
    peer.post("/paused", f"Content-Length: {size}\r\n")
    await until(lambda: peer.app.connections)
    (connection,) = peer.app.connections
    sending = asyncio.create_task(send(peer.writer, size))
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert not sending.done()
    assert not peer.app.parts
    assert sum(len(e.data) for e in connection._http.events if isinstance(e, http1.Body)) <= 512 * 1024
    connection.resume_body()
    await until(lambda: peer.app.ended)
    await sending
    assert len(peer.app.body) == size
    connection.respond_text(200, "got it")
    assert (await answer(peer.reader))[1] == b"got it\n"


async def send(writer: asyncio.StreamWriter, size: int) -> None:
    for _ in range(size >> 16):
        writer.write(bytes(1 << 16))
        await writer.drain()


async def streams_of_known_length(peer: Peer) -> None:
    peer.writer.write(get("/file/6") + get("/next") + get("/file/3").replace(b"GET", b"HEAD"))
    await until(lambda: peer.app.streams)
    (stream,) = peer.app.streams
    stream.write(b"abc")
    with pytest.raises(ValueError, match="announced"):
        stream.write(b"defg")
    stream.write(b"def")
    stream.close()
    head, body = await answer(peer.reader)
    assert head.startswith(b"HTTP/1.1 206")
    assert body == b"abcdef"
    # What is done to a finished stream does not touch the answers behind it.
    stream.write(b"x")
    stream.abort()
    assert (await answer(peer.reader))[1] == b"/next\n"
    await until(lambda: len(peer.app.streams) == 2)
    peer.app.streams[1].write(b"abc")
    peer.app.streams[1].close()
    assert b"Content-Length: 3\r\n" in await peer.reader.readuntil(b"\r\n\r\n")
    # One that ends too early must not look complete.
    peer.writer.write(get("/file/6"))
    await until(lambda: len(peer.app.streams) == 3)
    peer.app.streams[2].write(b"abc")
    await peer.reader.readuntil(b"abc")
    peer.app.streams[2].close()
    with contextlib.suppress(ConnectionError):
        assert await peer.reader.read() == b""


async def streams_in_chunks(peer: Peer) -> None:
    peer.writer.write(get("/chunks") + get("/next") + get("/chunks"))
    await until(lambda: peer.app.streams)
    (stream,) = peer.app.streams
    for part in (b"abc", b"", b"x" * 20):
        stream.write(part)
    stream.close()
    assert b"Transfer-Encoding: chunked\r\n" in await peer.reader.readuntil(b"\r\n\r\n")
    assert await peer.reader.readexactly(39) == b"3\r\nabc\r\n14\r\n%b\r\n0\r\n\r\n" % (b"x" * 20)
    # What is done to a finished stream does not touch the answers behind it.
    stream.write(b"x")
    stream.abort()
    assert (await answer(peer.reader))[1] == b"/next\n"
    # One that ends too early has no last chunk.
    await until(lambda: len(peer.app.streams) == 2)
    peer.app.streams[1].write(b"abc")
    await peer.reader.readuntil(b"abc\r\n")
    peer.app.streams[1].abort()
    with contextlib.suppress(ConnectionError):
        assert await peer.reader.read() == b""


async def a_full_stream_tells_when_it_may_be_written_again(peer: Peer) -> None:
    size = 32 << 20
    peer.writer.write(get(f"/file/{size}"))
    await until(lambda: peer.app.streams)
    (stream,) = peer.app.streams
    calls = 0
    left = size

    def fill() -> None:
        nonlocal calls, left
        calls += 1
        while left and not stream.full:
            stream.write(bytes(1 << 18))
            left -= 1 << 18
        if not left:
            stream.close()

    stream.on_writable = fill
    fill()
    assert stream.full
    assert stream.unsent() < 1 << 20
    await peer.reader.readuntil(b"\r\n\r\n")
    await peer.reader.readexactly(size)
    assert calls > 2
    peer.writer.write(get("/next"))
    assert (await answer(peer.reader))[1] == b"/next\n"


async def switched_protocols(peer: Peer) -> None:
    upgrade = get("/switch", "Connection: Upgrade", "Upgrade: echo")
    peer.writer.write(upgrade + b"early")
    await until(lambda: peer.app.raw)
    (stream,) = peer.app.streams
    head = await peer.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"Connection: Upgrade\r\n" in head
    assert b"Content-Length" not in head
    stream.write(b"hello")
    assert await peer.reader.readexactly(5) == b"hello"
    stream.pause_reading()
    peer.writer.write(b"GET / HTTP/1.1\r\n\r\n")
    for _ in range(5):
        await asyncio.sleep(0.005)
    assert peer.app.raw == [b"early"]
    stream.resume_reading()
    await until(lambda: len(peer.app.raw) == 2)
    assert peer.app.raw[1] == b"GET / HTTP/1.1\r\n\r\n"
    peer.writer.close()
    await until(lambda: peer.app.left)


async def an_offer_to_switch_that_is_not_taken(peer: Peer) -> None:
    offer = ("Connection: Upgrade", "Upgrade: h2c")
    peer.writer.write(get("/a", *offer) + get("/b") + get("/c", *offer))
    for path in (b"/a\n", b"/b\n", b"/c\n"):
        assert (await answer(peer.reader))[1] == path


CHECKS = [
    a_body_with_a_length,
    a_chunked_body_is_given_once_per_read,
    a_body_until_the_connection_ends,
    an_http10_body,
    no_body,
    a_client_that_waits_to_be_told_to_go_on,
    an_early_answer_reaches_a_client_that_goes_on_sending,
    a_refusal_after_a_short_body_keeps_the_connection,
    a_peer_that_leaves_in_the_middle,
    a_broken_body,
    a_bug_in_taking_a_body,
    a_paused_body_holds_the_peer_back,
    streams_of_known_length,
    streams_in_chunks,
    a_full_stream_tells_when_it_may_be_written_again,
    switched_protocols,
    an_offer_to_switch_that_is_not_taken,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_asyncio(check: Callable[[Peer], Coroutine[Any, Any, None]]) -> None:
    await talk(check)()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_uvloop(check: Callable[[Peer], Coroutine[Any, Any, None]]) -> None:
    if sys.platform == "win32":
        pytest.skip("uvloop is not made for Windows")
    import uvloop

    uvloop.run(talk(check)())


async def test_a_body_that_stops_coming_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evotools.transport.http.server.SWEEP_S", 0.02)
    monkeypatch.setattr("evotools.transport.http.connection._CHECK_S", 0.02)
    monkeypatch.setattr("evotools.protocols.http1.connection.BODY_TIMEOUT_S", 0.3)

    async def check(peer: Peer) -> None:
        peer.post("/later", "Content-Length: 10\r\n", b"abc")
        await until(lambda: peer.app.connections)
        # Nobody takes the body, so it is not the peer that is slow.
        await asyncio.sleep(0.5)
        peer.app.connections[0].receive_body(peer.app.parts.append, peer.app.ended.append)
        for _ in range(5):
            await asyncio.sleep(0.1)
            peer.writer.write(b"d")
        assert not peer.app.ended
        assert (await answer(peer.reader))[0].startswith(b"HTTP/1.1 408")
        assert peer.app.ended == [False]

    await talk(check)()


async def test_a_reader_that_takes_nothing_of_a_file_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evotools.transport.http.server.SWEEP_S", 0.02)
    monkeypatch.setattr("evotools.transport.http.connection._CHECK_S", 0.02)
    monkeypatch.setattr("evotools.transport.http.stream.FILE_STALL_S", 0.2)

    async def check(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        peer.writer.write(get(f"/file/{64 << 20}"))
        await until(lambda: peer.app.streams)
        (stream,) = peer.app.streams
        while not stream.full:
            stream.write(bytes(1 << 20))
        stream.on_close = peer.app.gone
        await until(lambda: peer.app.left)

    await talk(check)()
