"""The HTTP front end by itself: large bodies, slow readers, late answers, TLS, and both event loops."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from evotools.errors import UnreachableError
from evotools.protocols.http1 import Request
from evotools.transport.http import HttpConnection, HttpServer, HttpStream
from tests.conftest import need

LARGE = bytes(range(256)) * 4 * 5000


class App:
    """Answers by path; keeps what it was asked and who took over."""

    def __init__(self) -> None:
        self.waiting: list[HttpConnection] = []
        self.streams: list[HttpStream] = []
        self.gone = 0

    def __call__(self, connection: HttpConnection, request: Request) -> None:
        if request.path == "/large":
            connection.respond(200, body=LARGE)
        elif request.path == "/later":
            connection.on_gone = self.left
            self.waiting.append(connection)
        elif request.path == "/stream":
            stream = connection.start_stream(b"")
            stream.on_close = self.left
            self.streams.append(stream)
        elif request.path == "/bug":
            raise RuntimeError("a bug")
        else:
            connection.respond_text(200, request.path)

    def left(self) -> None:
        self.gone += 1


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[App, HttpServer]]:
    app = App()
    context = options.pop("ssl", None)
    server = HttpServer(app, **options)
    await server.start("127.0.0.1", 0, context)
    try:
        yield app, server
    finally:
        await server.close()


async def until(check: Callable[[], object]) -> None:
    for _ in range(2000):
        if check():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen")


def get(path: str, *fields: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *fields, "", ""]).encode()


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await asyncio.wait_for(reader.readexactly(length), 20)


async def check_large_bodies() -> None:
    async with serving() as (_, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        # Three in one go: the second waits until the first is through.
        writer.write(get("/large") + get("/small") + get("/large"))
        assert (await answer(reader))[1] == LARGE
        assert (await answer(reader))[1] == b"/small\n"
        assert (await answer(reader))[1] == LARGE
        writer.close()
        await writer.wait_closed()


async def check_streams() -> None:
    async with serving() as (app, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/stream"))
        await until(lambda: app.streams)
        (stream,) = app.streams
        writer.write(b"noise from the client is not looked at")
        stream.write(b"one")
        stream.write(b"two")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(6) == b"onetwo"
        stream.write(b"three")
        stream.close()
        assert await reader.read() == b"three"
        assert app.gone == 0
        writer.close()
        await until(lambda: not len(server))
        stream.write(b"after the end nothing happens")

        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/stream"))
        await until(lambda: len(app.streams) == 2)
        writer.close()
        await until(lambda: app.gone == 1)
        app.streams[1].write(b"nobody is there")


@pytest.mark.parametrize("check", [check_large_bodies, check_streams])
def test_on_uvloop(check: Callable[[], Coroutine[Any, Any, None]]) -> None:
    if sys.platform == "win32":
        pytest.skip("uvloop is not made for Windows")
    import uvloop

    uvloop.run(check())


async def test_large_bodies_go_in_slices_and_in_order() -> None:
    await check_large_bodies()


async def test_streams_take_the_connection_over() -> None:
    await check_streams()


async def test_a_peer_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evotools.transport.http.connection.STALL_S", 0.2)
    monkeypatch.setattr("evotools.transport.http.server.SWEEP_S", 0.05)
    monkeypatch.setattr("evotools.transport.http.connection._CHECK_S", 0.05)
    async with serving() as (_, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.transport.pause_reading()
        writer.write(get("/large") * 10)
        await until(lambda: len(server))
        await until(lambda: not len(server))
        writer.close()
        del reader


async def test_late_answers_keep_the_order_and_the_peer_may_leave_before() -> None:
    async with serving() as (app, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/later") + get("/b"))
        await until(lambda: app.waiting)
        app.waiting.pop().respond_text(200, "late")
        assert (await answer(reader))[1] == b"late\n"
        assert (await answer(reader))[1] == b"/b\n"
        writer.write(get("/later"))
        await until(lambda: app.waiting)
        writer.close()
        await until(lambda: app.gone == 1)
        app.waiting.pop().respond_text(200, "too late")


async def test_a_bug_in_a_handler_costs_one_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as (_, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/bug"))
        assert (await reader.read()).startswith(b"HTTP/1.1 500")
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/ok", "Connection: close"))
        assert (await reader.read()).endswith(b"/ok\n")
        writer.close()


async def test_one_address_may_hold_so_many_connections() -> None:
    async with serving(max_per_peer=1) as (_, server):
        _, held = await asyncio.open_connection("127.0.0.1", server.port)
        await until(lambda: len(server))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert (await reader.read()).startswith(b"HTTP/1.1 503")
        assert server.refused == 1
        held.close()
        writer.close()


async def test_a_port_in_use_is_named() -> None:
    async with serving() as (app, server):
        with pytest.raises(UnreachableError, match=str(server.port)):
            await HttpServer(app).start("127.0.0.1", server.port)


async def test_tls(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=localhost", "-days", "1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    trust = ssl.create_default_context(cafile=str(certificate))
    trust.check_hostname = False
    async with serving(ssl=context) as (_, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trust)
        writer.write(get("/large") + get("/x") + b"GET bad\r\n\r\n")
        assert (await answer(reader))[1] == LARGE
        assert (await answer(reader))[1] == b"/x\n"
        assert (await answer(reader))[0].startswith(b"HTTP/1.1 400")
        writer.close()


async def test_a_client_that_sends_ahead_waits_for_its_answers() -> None:
    async with serving() as (app, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/later") + get("/one"))
        await until(lambda: app.waiting)
        connection = app.waiting[0]
        await until(lambda: connection._reading_paused)
        # What comes now stays in the kernel.
        writer.write(get("/two") * 60)
        other_reader, other = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(5):
            other.write(get("/other"))
            await answer(other_reader)
        other.close()
        assert len(connection._http.events) == 1
        connection.respond_text(200, "late")
        for path in ("late", "/one", *["/two"] * 60):
            assert (await answer(reader))[1] == f"{path}\n".encode()
        assert not connection._reading_paused
        writer.close()
