"""`rtmp://` in its four roles: publish and play, as client and as server of one peer."""

import asyncio

import pytest

from evotools.endpoints import rtmp_link as module
from evotools.endpoints.rtmp_link import split_path
from evotools.errors import EvotoolsError, PeerGone, RefusedError, UnreachableError, UsageError
from tests.commands.program import free_port
from tests.unit.endpoints.media import Clip, payloads, read_all, sink, source, when_it_listens, write_all


@pytest.mark.parametrize(
    ("listen", "publish"),
    [
        ("rtmp://:{}/live/x", "rtmp://127.0.0.1:{}/live/x"),
        ("rtmp://:{}", "rtmp://localhost:{}/app/inst/stream?token=1&x=%2F"),
        ("rtmp://*:{}/live/x", "rtmp://127.0.0.1:{}/live/x?"),
        ("rtmp://0.0.0.0:{}/a/b/c", "rtmp://127.0.0.1:{}/a/b/c"),
        ("rtmp://[::]:{}/live/x", "rtmp://[::1]:{}/live/x"),
    ],
)
async def test_waiting_for_a_publisher(clip: Clip, listen: str, publish: str) -> None:
    port = free_port()
    reading = asyncio.create_task(read_all(source(listen.format(port))))
    await when_it_listens(lambda: write_all(sink(publish.format(port)), clip))
    assert payloads(await reading) == clip.payloads


async def test_waiting_for_a_player(clip: Clip) -> None:
    port = free_port()
    writing = asyncio.create_task(write_all(sink(f"rtmp://:{port}/live/x"), clip))
    got = await when_it_listens(lambda: read_all(source(f"rtmp://127.0.0.1:{port}/live/x")))
    await writing
    assert payloads(got) == clip.payloads


async def test_another_name_another_role_and_a_second_peer_are_refused(clip: Clip) -> None:
    port = free_port()
    waiting = source(f"rtmp://:{port}/live/x")
    opening = asyncio.create_task(waiting.open())
    with pytest.raises(RefusedError, match="not what is waited for"):
        await when_it_listens(lambda: sink(f"rtmp://127.0.0.1:{port}/live/y").open())
    with pytest.raises(EvotoolsError, match="not what is waited for"):
        await source(f"rtmp://127.0.0.1:{port}/live/x").open()
    first = sink(f"rtmp://127.0.0.1:{port}/live/x")
    await first.open()
    await opening
    with pytest.raises(RefusedError, match="Another peer"):
        await sink(f"rtmp://127.0.0.1:{port}/live/x").open()
    await first.start(clip.tracks)
    await first.write(clip.frames)
    await first.finish()
    await first.close()
    await waiting.close()


async def test_nobody_publishes_into_an_endpoint_that_was_closed(clip: Clip) -> None:
    """A guest that connected while it waited would believe to be on the air."""
    port = free_port()
    waiting = source(f"rtmp://:{port}/live/x")
    opening = asyncio.create_task(waiting.open())
    reader, writer = await when_it_listens(lambda: asyncio.open_connection("127.0.0.1", port))
    await write_all(sink(f"rtmp://127.0.0.1:{port}/live/x"), clip)
    await opening
    await waiting.close()
    async with asyncio.timeout(5):
        try:
            assert await reader.read() == b""
        except ConnectionError:
            pass
    writer.close()


async def test_strangers_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GUESTS", 3)
    port = free_port()
    waiting = source(f"rtmp://:{port}")
    opening = asyncio.create_task(waiting.open())
    peers = [await when_it_listens(lambda: asyncio.open_connection("127.0.0.1", port)) for _ in range(4)]
    async with asyncio.timeout(5):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await peers[-1][0].readexactly(1)
    assert not peers[0][0].at_eof()
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    await waiting.close()
    for _, writer in peers:
        writer.close()


async def test_a_publisher_that_vanishes_is_an_error_one_that_says_goodbye_an_end(clip: Clip) -> None:
    port = free_port()
    reading = asyncio.create_task(read_all(source(f"rtmp://:{port}/live/x")))
    opened = sink(f"rtmp://127.0.0.1:{port}/live/x")
    await when_it_listens(opened.open)
    await opened.start(clip.tracks)
    await opened.write(clip.frames)
    await asyncio.sleep(0.02)
    await opened.close()
    with pytest.raises(PeerGone):
        await reading


async def test_a_server_that_never_answers_or_never_reads(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda r, w: taken.append(w), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    opened = sink(f"rtmp://127.0.0.1:{port}/live/x")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await opened.open()
    await opened.close()
    for writer in taken:
        writer.close()
    server.close()
    with pytest.raises(UnreachableError):
        await sink("rtmp://127.0.0.1:1/live/x").open()


async def test_finishing_into_a_peer_that_does_not_read_leaves_no_connection(clip: Clip) -> None:
    port = free_port()
    waiting = source(f"rtmp://:{port}/live/x")
    opening = asyncio.create_task(waiting.open())
    opened = sink(f"rtmp://127.0.0.1:{port}/live/x")
    await when_it_listens(opened.open)
    await opening
    guest = waiting._link.driver  # type: ignore[attr-defined]
    guest.transport.pause_reading()
    await opened.start(clip.tracks)
    driver = opened._link.driver  # type: ignore[attr-defined]
    for _ in range(400):
        opened._writer.write(clip.frames)  # type: ignore[attr-defined]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await opened.finish()
    await opened.close()
    async with asyncio.timeout(5):
        while not driver._lost:
            await asyncio.sleep(0.001)
    await waiting.close()


@pytest.mark.parametrize(
    ("path", "split"),
    [("a/b", ("a", "b")), ("a/b/c", ("a/b", "c")), ("a/b/c/d", ("a/b", "c/d")), ("a", ("", "a")), ("", ("", ""))],
)
def test_app_and_stream(path: str, split: tuple[str, str]) -> None:
    assert split_path(path) == split


@pytest.mark.parametrize(
    ("path", "app", "split"),
    [
        ("live/a/b", "live", ("live", "a/b")),
        ("a/b/c/key", "a/b/c", ("a/b/c", "key")),
        ("rtmp/FB-1", "/rtmp/", ("rtmp", "FB-1")),
    ],
)
def test_an_application_that_is_named(path: str, app: str, split: tuple[str, str]) -> None:
    assert split_path(path, app) == split


async def test_uris_that_make_no_sense() -> None:
    with pytest.raises(UsageError, match="no effect"):
        sink("rtmp://user:pw@:1935/app/x")
    with pytest.raises(UsageError, match="RTMPS connects only"):
        source("rtmps://:1936/app/x")
    with pytest.raises(UsageError, match="does not begin with 'live'"):
        sink("rtmp://h/app/x?rtmp_app=live")
    with pytest.raises(UsageError, match="lacks a stream"):
        await sink("rtmp://127.0.0.1:1/").open()
    with pytest.raises(EvotoolsError):
        await source("rtmp://127.0.0.1:99999/a/b").open()
