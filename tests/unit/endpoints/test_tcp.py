"""`tcp://`: a byte stream to and from one peer."""

import asyncio
import socket

import pytest

from evotools.errors import PeerGone, UnreachableError, UsageError
from evotools.pipeline.job import Runtime
from evotools.pipeline.route import OutputSpec, RouteSpec
from evotools.pipeline.run import run_route
from tests.commands.program import free_port
from tests.unit.endpoints.media import Clip, payloads, read_all, sink, source, when_it_listens, write_all


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a port that is about to listen."""
    return await when_it_listens(lambda: asyncio.open_connection("127.0.0.1", port))


@pytest.mark.parametrize("host", ["", "*", "0.0.0.0"])
@pytest.mark.parametrize("container", ["ts", "flv", "mkv"])
async def test_what_is_sent_arrives(clip: Clip, host: str, container: str) -> None:
    port = free_port()
    reading = asyncio.create_task(read_all(source(f"tcp://{host}:{port}")))
    await when_it_listens(lambda: write_all(sink(f"tcp://127.0.0.1:{port}?format={container}"), clip))
    assert payloads(await reading) == clip.payloads


async def test_the_sender_may_listen_too(clip: Clip) -> None:
    port = free_port()
    sending = asyncio.create_task(write_all(sink(f"tcp://:{port}"), clip))
    got = await when_it_listens(lambda: read_all(source(f"tcp://127.0.0.1:{port}")))
    await sending
    assert payloads(got) == clip.payloads


async def test_a_second_peer_is_refused_and_the_port_is_free_at_once(clip: Clip) -> None:
    port = free_port()
    for _ in range(2):
        opened = source(f"tcp://:{port}")
        opening = asyncio.create_task(opened.open())
        _, writer = await connected(port)
        await opening
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await opened.close()


async def test_a_listener_that_is_opened_again_after_its_peer_left(clip: Clip) -> None:
    """What `ingest tcp://:PORT --reconnect forever` does."""
    port = free_port()
    runtime = Runtime()
    spec = RouteSpec(f"tcp://:{port}", (OutputSpec("null:"),), reconnect=-1)
    route = asyncio.create_task(run_route(spec, runtime))
    for _ in range(2):
        _, writer = await connected(port)
        writer.write(clip.ts())
        await writer.drain()
        writer.close()
    _, writer = await connected(port)
    runtime.stop.set()
    async with asyncio.timeout(5):
        assert await route == 0
    writer.close()


async def test_waiting_for_a_peer_can_be_cancelled_and_leaves_no_port() -> None:
    port = free_port()
    opened = source(f"tcp://:{port}")
    opening = asyncio.create_task(opened.open())
    await asyncio.sleep(0.02)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    await opened.close()
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_errors_name_the_peer() -> None:
    with pytest.raises(UnreachableError, match=r"tcp://127\.0\.0\.1:1: .*refused.*is the server running"):
        await source("tcp://127.0.0.1:1").open()
    with pytest.raises(UsageError, match="needs a port"):
        await source("tcp://127.0.0.1").open()
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(UnreachableError, match="another program listens"),
    ):
        await source(f"tcp://0.0.0.0:{taken.getsockname()[1]}").open()


async def test_a_peer_that_goes_away_is_peer_gone(clip: Clip) -> None:
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda r, w: accepted.append(w), "127.0.0.1", 0)
    opened = sink(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await opened.open()
    opened.offer(clip.tracks)
    await opened.start(clip.tracks)
    while not accepted:
        await asyncio.sleep(0.002)
    accepted[0].transport.abort()

    async def write_on() -> None:
        while True:
            await opened.write(clip.frames)
            await asyncio.sleep(0.001)

    with pytest.raises(PeerGone):
        await write_on()
    await opened.close()
    server.close()
