"""Slow clients and floods on the HTTP media port: they cost their own connections, and memory stays where it is."""

import asyncio
import gc
import resource
import sys
from contextlib import suppress

import pytest

from evotools.protocols import http1
from evotools.server.listeners import rtmpt, upload
from evotools.server.listeners.routes import classify
from tests.unit.server.test_http_listener import Server, media, parse, serving, until


def memory() -> int:
    """Bytes of this process in memory now, where that can be told."""
    if not sys.platform.startswith("linux"):
        pytest.skip("resident memory is read from /proc")
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


async def drip(server: Server, opening: bytes, piece: bytes, every_s: float = 0.02) -> bytes:
    """Send `opening`, then `piece` again and again until the server has had enough; its answer."""
    reader, writer = await server.connect()
    writer.write(opening)
    answer = asyncio.create_task(reader.read())
    try:
        async with asyncio.timeout(20):
            while not answer.done():
                with suppress(ConnectionError):
                    writer.write(piece)
                    await writer.drain()
                await asyncio.sleep(every_s)
        return await answer
    finally:
        writer.close()


SLOW = {
    "in the request line": (b"GET /", b"a"),
    "in the fields": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"A: b\r\n"),
    "in a field": (b"GET / HTTP/1.1\r\nHost: x\r\nA: ", b"a"),
    "in empty lines": (b"", b"\r\n"),
    "in a body that is collected": (b"PATCH /a HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", b"a"),
    "in a chunk size": (b"PUT /a.ts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "in a chunk extension": (b"PUT /a.ts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a"),
    "in media": (b"PUT /a.ts HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", b"\x47"),
    "in chunks of media": (b"PUT /a.ts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n\x47\r\n"),
    "in media without a length": (b"PUT /a.ts HTTP/1.0\r\n\r\n", b"\x47"),
    "in a tunnel": (
        b"POST /open/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-fcs\r\nContent-Length: 1000\r\n\r\n", b"a",
    ),
}  # fmt: skip


@pytest.mark.parametrize("where", SLOW)
async def test_slow_clients_are_cut_off_and_cost_nobody_else(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then keeps no connection open for ever, wherever in a request it comes."""
    for name in ("HEAD_TIMEOUT_S", "BODY_TIMEOUT_S"):
        monkeypatch.setattr(f"evotools.protocols.http1.connection.{name}", 0.3)
    for name in ("connection._CHECK_S", "connection.LINGER_S", "server.SWEEP_S"):
        monkeypatch.setattr(f"evotools.transport.http.{name}", 0.05)
    monkeypatch.setattr(upload, "FIRST_MEDIA_S", 0.3)
    monkeypatch.setattr(rtmpt, "REQUEST_S", 0.3)
    monkeypatch.setattr(rtmpt, "SWEEP_S", 0.05)
    opening, piece = SLOW[where]
    async with serving(http_max_connections=60) as server:
        clients = [asyncio.create_task(drip(server, opening, piece)) for _ in range(50)]
        await until(lambda: server.listener.connections >= 40)
        assert (await server.ask("/healthz"))[0] == 200
        for answer in await asyncio.gather(*clients):
            # A name that many want at once is given to the first; the others are told so.
            assert parse(answer)[0] in (400, 408, 409), answer
        await until(lambda: not server.listener.connections)
        assert not server.listener._uploads.active


async def test_a_flood_of_connections_is_turned_away_and_then_forgotten() -> None:
    async with serving(http_max_connections=20) as server:
        before = memory()
        for _ in range(5):
            flood = [await server.connect() for _ in range(200)]
            await until(lambda: server.listener._server.refused >= 180)
            # Those that are in are served; those above the cap were told, and do not stay.
            await until(lambda: server.listener.connections <= 200)
            flood[0][1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await flood[0][0].readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
            for reader, writer in flood[20:25]:
                assert (await reader.read()).startswith(b"HTTP/1.1 503")
                writer.close()
            for _, writer in flood:
                writer.close()
            await until(lambda: not server.listener.connections)
            server.listener._server.refused = 0
        assert (await server.ask("/healthz"))[0] == 200
        assert memory() < before + (16 << 20)


TARGETS = {
    "names": "GET /live/n{}.flv",
    "folders": "GET /n{}/x/",
    "playlists": "GET /live/n{}/index.m3u8",
    "queries": "GET /live/none.flv?x={}",
    "pages": "GET /live/cam/?x={}",
    "tunnels": "POST /idle/{}/1",
    "uploads": "POST /live/n{}.ts",
    "suffixes": "PUT /live/n.s{}",
}


@pytest.mark.parametrize("what", TARGETS)
@pytest.mark.parametrize("batches", [50, pytest.param(1000, marks=pytest.mark.slow)])
async def test_any_number_of_names_leaves_no_state(what: str, batches: int) -> None:
    """10^5 of each in the slow set."""
    async with serving() as server:
        server.publish().push(media(0, 200))
        reader, writer = await server.connect()

        async def ask(batch: int) -> None:
            requests = [
                f"{TARGETS[what].format(batch * 100 + i)} HTTP/1.1\r\nHost: x\r\n"
                "Content-Type: application/x-fcs\r\n\r\n"
                for i in range(100)
            ]
            writer.write("".join(requests).encode())
            for _ in requests:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
            server.rules.asked.clear()

        for batch in range(30):
            await ask(batch)
        before = memory()
        for batch in range(30, batches):
            await ask(batch)
        assert memory() < before + (8 << 20)
        assert len(server.hub.streams) == 1
        assert not server.listener.segmenters
        assert len(http1.connection._memo) <= http1.MAX_MEMO
        info = classify.cache_info()
        assert info.maxsize is not None
        assert info.currsize <= info.maxsize
        writer.close()


async def test_publishers_of_any_number_of_names_are_bounded_by_the_hub() -> None:
    async with serving() as server:
        limit = server.hub.limits.streams
        assert limit <= 10_000
        object.__setattr__(server.hub.limits, "streams", 50)
        codes = [
            parse(await server.raw(f"POST /n{i}.ts HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello".encode()))[0]
            for i in range(80)
        ]
        assert codes == [415] * 50 + [503] * 30
        assert len(server.hub) == 50
