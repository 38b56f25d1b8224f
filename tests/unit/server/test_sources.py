"""On-demand and always-on sources, with routes made for the test."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from evotools.errors import EvotoolsError, RefusedError, UnreachableError
from evotools.hub.hub import Hub
from evotools.log import EventWriter
from evotools.media.frame import Frame, Tracks
from evotools.media.track import Kind, Track
from evotools.pipeline.job import Runtime
from evotools.pipeline.route import RouteSpec
from evotools.server import sources as module
from evotools.server.config import StreamConfig
from evotools.server.sources import Sources

VIDEO = Track(1, Kind.VIDEO, "h264", 1000)


class Bench:
    """Sources over a hub with a clock of its own. `behave` is what a route does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **streams: StreamConfig) -> None:
        self.now = 100.0
        self.hub = Hub(lambda: self.now)
        self.runs: list[str] = []
        self.behave: Callable[[RouteSpec, Runtime], Any] = self.publish
        monkeypatch.setattr(module, "run_route", self.run)
        monkeypatch.setattr(module, "RESTART_S", 0.001)
        self.sources = Sources(self.hub, EventWriter(None))
        self.streams = streams

    async def start(self) -> None:
        await self.sources.replace(self.streams, [])

    async def run(self, route: RouteSpec, runtime: Runtime) -> int:
        self.runs.append(route.source)
        await self.behave(route, runtime)
        return 0

    async def publish(self, route: RouteSpec, runtime: Runtime) -> None:
        from evotools.hub.stream import PublisherInfo

        name = route.outputs[0].uri.removeprefix("hub:")
        publication = self.hub.publish(name, PublisherInfo("test"))
        publication.push([Tracks((VIDEO,)), Frame(VIDEO, 0, 0, b"x", key=True)])
        await runtime.stop.wait()
        await asyncio.sleep(0.01)
        publication.close()

    async def settle(self, ready: Callable[[], Any]) -> None:
        async with asyncio.timeout(5):
            while not ready():
                await asyncio.sleep(0.001)


async def test_a_source_runs_from_the_first_reader_to_a_while_after_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, cam=StreamConfig("test:", on_demand=True, close_after=10.0))
    await bench.start()
    assert bench.hub.find("cam") is None
    stream = bench.hub.acquire("cam")
    assert stream is not None
    await bench.settle(lambda: stream.state == "live")
    monkeypatch.setattr(type(stream), "viewers", property(lambda _: 1))
    bench.now += 3600
    bench.sources.tick(bench.now)
    monkeypatch.setattr(type(stream), "viewers", property(lambda _: 0))
    bench.now += 9
    bench.sources.tick(bench.now)
    await asyncio.sleep(0.02)
    assert stream.state == "live", "the reader of an hour left 9 s ago"
    bench.hub.acquire("cam").touch(bench.now)  # type: ignore[union-attr]
    bench.now += 9
    bench.sources.tick(bench.now)
    await asyncio.sleep(0.02)
    assert stream.state == "live", "somebody asked for a playlist"
    bench.now += 2
    bench.sources.tick(bench.now)
    await bench.settle(lambda: stream.state == "grace")
    await bench.sources.close()


async def test_a_reader_that_comes_while_the_source_stops_or_within_its_grace_time_starts_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch, cam=StreamConfig("test:", on_demand=True, close_after=1.0))
    await bench.start()
    stream = bench.hub.acquire("cam")
    assert stream is not None
    await bench.settle(lambda: stream.state == "live")
    bench.now += 2
    bench.sources.tick(bench.now)
    assert bench.hub.acquire("cam") is stream, "it is stopping"
    await bench.settle(lambda: len(bench.runs) == 1 and stream.state == "grace")
    assert bench.hub.acquire("cam") is stream
    await bench.settle(lambda: len(bench.runs) == 2 and stream.state == "live")
    bench.now += 2
    bench.sources.tick(bench.now)
    await bench.settle(lambda: not bench.sources._running)
    assert bench.hub.acquire("cam") is stream, "it waits for a successor"
    await bench.settle(lambda: len(bench.runs) == 3 and stream.state == "live")
    await bench.sources.close()


async def test_a_source_that_nobody_can_reach_does_not_run_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, cam=StreamConfig("test:", on_demand=True, close_after=5.0))

    async def never(route: RouteSpec, runtime: Runtime) -> None:
        await runtime.stop.wait()

    bench.behave = never
    await bench.start()
    assert bench.hub.acquire("cam") is not None
    bench.now += 20
    bench.hub.tick(bench.now)
    assert bench.hub.find("cam") is None, "its readers were told"
    bench.sources.tick(bench.now)
    await bench.settle(lambda: not bench.sources._running)
    await bench.sources.close()


async def test_readers_of_a_source_that_is_refused_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, cam=StreamConfig("test:", on_demand=True))

    async def refused(route: RouteSpec, runtime: Runtime) -> None:
        raise RefusedError("bad password")

    bench.behave = refused
    await bench.start()
    stream = bench.hub.acquire("cam")
    assert stream is not None
    await bench.settle(lambda: stream.state == "ended")
    assert bench.hub.find("cam") is None
    await bench.sources.close()


@pytest.mark.parametrize("error", [UnreachableError("away"), ValueError("a bug")])
async def test_a_source_that_is_always_on_is_tried_again_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("evotools.pipeline.supervise.FIRST_S", 0.01)
    bench = Bench(monkeypatch, cam=StreamConfig("test:"))

    async def fail(route: RouteSpec, runtime: Runtime) -> None:
        raise error

    bench.behave = fail
    await bench.start()
    await bench.settle(lambda: len(bench.runs) >= 3)
    await asyncio.sleep(0.2)
    assert 3 <= len(bench.runs) <= 7
    bench.behave = bench.publish
    await bench.settle(lambda: bench.hub.find("cam") is not None)
    await bench.sources.close()


async def test_readers_cannot_start_any_number_of_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ON_DEMAND", 5)
    bench = Bench(monkeypatch, cam=StreamConfig("rtsp://cams/$wildcard?n=$name", on_demand=True))
    await bench.start()
    for n in range(6):
        assert bench.hub.acquire(f"cam+{n}") is not None
    with pytest.raises(RefusedError, match="too many"):
        bench.hub.acquire("cam+6")
    await bench.settle(lambda: len(bench.runs) == 6)
    assert "rtsp://cams/3?n=cam+3" in bench.runs
    await bench.sources.close()


async def test_nothing_starts_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, cam=StreamConfig("test:", on_demand=True, close_after=1.0))
    await bench.start()
    bench.hub.acquire("cam")
    await bench.settle(lambda: bench.runs)
    await asyncio.gather(bench.sources.close(), bench.sources.replace({"b": StreamConfig("test:")}, []))
    assert not bench.sources._running
    assert len(bench.runs) == 1


async def test_bad_sources_are_found_before_anything_runs() -> None:
    from evotools.server.app import Server
    from evotools.server.config import parse

    for source, words in (("gopher://x", "cannot read from"), ("test:?size=x", "streams.a"), ("exec:", "lacks a"),
                          ("rtmp://h/a/{env:NOT_SET_ANYWHERE}", "not set")):  # fmt: skip
        with pytest.raises(EvotoolsError, match=words):
            Server(parse({"streams": {"a": {"source": source}}}))
    with pytest.raises(EvotoolsError, match="name of a scheme"):
        Server(parse({"endpoints": {"rtmp": "rtmp://h/a/b"}}))
