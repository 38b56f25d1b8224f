"""The whole server in this process: publish and read by our own endpoints, sources, routes, policies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import evotools
from evotools.commands.parser import parse_route
from evotools.errors import NoMediaError, RefusedError, UnreachableError, UsageError
from evotools.media.frame import Frame, Tracks
from evotools.server.app import Server
from evotools.server.config import ServerConfig, parse


@asynccontextmanager
async def serving(table: dict[str, Any] | None = None) -> AsyncIterator[Server]:
    config = parse(table or {})
    config.rtmp.listen = config.http.listen = "127.0.0.1:0"
    server = Server(config, parse_route=parse_route)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def collect(uri: str, frames: int, **options: Any) -> list[evotools.Event]:
    """Events of `uri` until there are so many frames."""
    events: list[evotools.Event] = []
    async with evotools.open_source(uri, **options) as source:
        async for event in source:
            events.append(event)
            if sum(isinstance(e, Frame) for e in events) >= frames:
                return events
    return events


async def wait_for_stream(server: Server, name: str) -> None:
    """Until somebody publishes `name` with tracks."""
    seen = asyncio.Event()
    stop = server.hub.on_event(lambda event: seen.set() if event.stream.name == name else None)
    async with asyncio.timeout(20):
        while (stream := server.hub.find(name)) is None or not stream.tracks:
            seen.clear()
            try:
                await asyncio.wait_for(seen.wait(), 0.1)
            except TimeoutError:
                continue
    stop()


async def test_publish_and_play_over_rtmp_is_the_same_media(media_dir: Path) -> None:
    async with serving() as server:
        base = f"rtmp://127.0.0.1:{server.rtmp_port}/live"
        film = media_dir / "bigbuckbunny.mp4"
        sent = [e for e in await collect(str(film), 10**6) if isinstance(e, Frame)]
        spec = evotools.RouteSpec(str(film), (evotools.OutputSpec(f"{base}/x"),), pace=False)
        server.hub.limits
        # The player must be there before media that is not paced has passed.
        publisher = asyncio.create_task(evotools.run_route(spec))
        await wait_for_stream(server, "live/x")
        got = [e for e in await collect(f"{base}/x", 150) if isinstance(e, Frame)]
        assert await publisher == 0
    by_payload = {f.payload: f for f in sent}
    # RTMP has no times below zero, and the file's sound begins 21 ms before: all tracks are shifted alike.
    shift = got[0].dts_s - by_payload[got[0].payload].dts_s
    for frame in got:
        original = by_payload[frame.payload]
        assert abs(frame.dts_s - original.dts_s - shift) < 0.0011
        assert frame.key == original.key
    assert got[0].key


async def _small_stream() -> tuple[tuple[evotools.Track, ...], list[evotools.Event]]:
    events = await collect("test:?size=64x64&realtime=0&duration=1s&seed=1", 20)
    return next(e for e in events if isinstance(e, Tracks)).tracks, [e for e in events if isinstance(e, Frame)]


async def test_a_second_publisher_is_refused() -> None:
    tracks, frames = await _small_stream()
    async with serving() as server:
        uri = f"rtmp://127.0.0.1:{server.rtmp_port}/live/x"
        async with evotools.open_sink(uri) as first:
            await first.start(tracks)
            with pytest.raises(RefusedError, match="BadName"):
                await evotools.open_sink(uri).__aenter__()
            await first.write(frames)


async def test_with_take_over_the_second_publisher_replaces_the_first() -> None:
    tracks, frames = await _small_stream()
    async with serving({"hub": {"conflict": "takeover"}}) as server:
        uri = f"rtmp://127.0.0.1:{server.rtmp_port}/live/x"

        async def publish_for_ever() -> None:
            async with evotools.open_sink(uri) as sink:
                await sink.start(tracks)
                while True:
                    await sink.write(frames)
                    await asyncio.sleep(0.01)

        first = asyncio.create_task(publish_for_ever())
        await wait_for_stream(server, "live/x")
        async with evotools.open_sink(uri) as second:
            await second.start(tracks)
            with pytest.raises(RefusedError, match="taken over"):
                await first
            await second.write(frames)


async def test_reserved_and_bad_names_are_refused() -> None:
    async with serving() as server:
        for path in ("live/index.m3u8", "api/x", "live/cam.flv", "a/../b"):
            with pytest.raises(RefusedError):
                async with evotools.open_sink(f"rtmp://127.0.0.1:{server.rtmp_port}/{path}"):
                    pass
        with pytest.raises(NoMediaError, match="StreamNotFound"):
            async with evotools.open_source(f"rtmp://127.0.0.1:{server.rtmp_port}/live/nobody"):
                pass


async def test_a_source_that_is_always_on_and_one_on_demand() -> None:
    table = {
        "streams": {
            "test": {"source": "test:?size=64x64"},
            "lazy": {"source": "test:?size=96x64", "on_demand": True, "close_after": "100ms"},
        }
    }
    async with serving(table) as server:
        await wait_for_stream(server, "test")
        assert server.hub.find("lazy") is None
        assert server.hub.has("lazy") and server.hub.has("lazy+one") and not server.hub.has("nothing")
        assert server.hub.find("lazy") is None
        ended = asyncio.Event()
        server.hub.on_event(lambda e: ended.set() if e.kind == "unpublished" and e.stream.name == "lazy" else None)
        events = await collect(f"rtmp://127.0.0.1:{server.rtmp_port}/lazy", 30)
        assert next(e for e in events if isinstance(e, Tracks)).tracks[0].width == 96
        wild = await collect("hub:lazy+one", 5, hub=server.hub)
        assert wild, "a wildcard stream takes the configuration of its base"
        async with asyncio.timeout(20):
            await ended.wait()


async def test_routes_of_the_configuration_are_the_commands(tmp_path: Path) -> None:
    out = tmp_path / "rec.ts"
    table = {"routes": [{"run": f"videogen --size 64x64 --seed 1 -o - | relay hub:live/cam '{out}'"}]}
    async with serving(table) as server:
        await wait_for_stream(server, "live/cam")
        await collect("hub:live/cam", 40, hub=server.hub)
    events = await collect(str(out), 20)
    assert len([e for e in events if isinstance(e, Frame)]) >= 20, "the file is playable after the server stopped"


async def test_a_port_in_use_and_a_bad_configuration_leave_nothing_open() -> None:
    async with serving() as server:
        config = ServerConfig()
        config.rtmp.listen = f"127.0.0.1:{server.rtmp_port}"
        config.http.listen = "127.0.0.1:0"
        with pytest.raises(UnreachableError, match="in use"):
            await Server(config).start()
    with pytest.raises(UsageError):
        Server(parse({"access": {"allow_publish": ["x"]}}))
    with pytest.raises(UsageError):
        Server(parse({"routes": [{"run": "serve"}]}), parse_route=parse_route)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"streams": {"a b": {}}}, "[streams.a b]: 'a b' is not a stream name; use letters"),
        ({"streams": {"healthz": {}}}, "reserved for a URL of the server; use another name: 'healthz' is a page"),
        ({"files": {"films": {"folder": "/"}}, "streams": {"films/x": {}}}, "[streams.films/x]"),
        ({"files": {"films": {"folder": "/none/of/these"}}}, "[files.films]: /none/of/these is not a folder"),
        ({"files": {"web": {"folder": "/"}}}, "[files.web]: /web is a URL of the server itself"),
    ],
)
def test_names_and_folders_are_checked_before_anything_is_opened(table: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Server(parse(table), parse_route=parse_route)
    assert words in str(caught.value)


async def test_players_are_told_when_the_server_stops() -> None:
    async with serving({"streams": {"test": {"source": "test:?size=64x64"}}}) as server:
        await wait_for_stream(server, "test")
        async with evotools.open_source(f"rtmp://127.0.0.1:{server.rtmp_port}/test") as source:
            batches = source.batches()
            assert await anext(batches)
            await server.stop()
            async with asyncio.timeout(5):
                async for _ in batches:
                    pass


async def test_a_reload_changes_streams_routes_and_access_and_nothing_that_did_not_change() -> None:
    keep = {"source": "test:?size=64x64"}
    async with serving({"streams": {"keep": keep, "old": {"source": "test:?size=96x64"}}}) as server:
        await wait_for_stream(server, "keep")
        await wait_for_stream(server, "old")
        session = server.hub.find("keep")
        assert session is not None
        before = session.session
        config = parse({"streams": {"keep": keep, "new": {"source": "test:?size=96x64"}},
                        "access": {"trust_loopback": False}, "hls": {"segment": "9s"}})  # fmt: skip
        config.rtmp, config.http = server.config.rtmp, server.config.http
        assert await server.reload(config, parse_route) == ["hls"]
        await wait_for_stream(server, "new")
        assert session.session == before, "what did not change runs on"
        old = server.hub.find("old")
        assert old is None or old.state != "live"
        with pytest.raises(RefusedError, match="Denied"):
            await evotools.open_sink(f"rtmp://127.0.0.1:{server.rtmp_port}/live/x").__aenter__()
        with pytest.raises(UsageError):
            await server.reload(parse({"routes": [{"run": "nonsense"}]}), parse_route)
        assert set(server.config.streams) == {"keep", "new"}
