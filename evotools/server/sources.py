"""Streams with a source of their own: always on, or started at the first reader and stopped after the last."""

import asyncio
from collections.abc import Mapping

from evotools.endpoints.base import Context
from evotools.errors import EvotoolsError
from evotools.hub.hub import Hub
from evotools.hub.names import base_name
from evotools.log import EventWriter, get_logger
from evotools.pipeline.job import Runtime
from evotools.pipeline.route import FOREVER, OutputSpec, RouteSpec
from evotools.pipeline.run import run_route
from evotools.server.config import StreamConfig

log = get_logger("server")

RESTART_S = 1.0
"""Pause before a source that ended is opened again, so that a file of no length does not spin."""


class Sources:
    """Runs routes from configured sources, and the routes of the file, inside the server."""

    def __init__(self, hub: Hub, streams: Mapping[str, StreamConfig], events: EventWriter) -> None:
        self._hub = hub
        self._streams = streams
        self._events = events
        self._running: dict[str, tuple[asyncio.Task[None], Runtime]] = {}
        self._idle_since: dict[str, float] = {}

    def start(self, routes: list[RouteSpec]) -> None:
        """Start everything that is always on, and answer the hub's requests for the rest."""
        for name, stream in self._streams.items():
            if not stream.on_demand:
                self._launch(name, _source_route(name, stream), forever=True)
        for number, route in enumerate(routes, 1):
            self._launch(f"route {number}", route, forever=True)
        self._hub.resolver = self._resolve

    def _resolve(self, name: str) -> bool:
        """Start the source of `name`; `base+anything` takes the configuration of `base`."""
        stream = self._streams.get(name) or self._streams.get(base_name(name))
        if stream is None:
            return False
        if name not in self._running and (stream.on_demand or name not in self._streams):
            log.info("'%s' is asked for; starting its source", name)
            self._idle_since.pop(name, None)
            self._launch(name, _source_route(name, stream), forever=False)
        return True

    def _launch(self, key: str, route: RouteSpec, *, forever: bool) -> None:
        runtime = Runtime(context=Context(hub=self._hub, options={"origin": key}), events=self._events, quiet=True)
        task = asyncio.create_task(self._run(key, route, runtime, forever), name=f"source {key}")
        self._running[key] = (task, runtime)

    async def _run(self, key: str, route: RouteSpec, runtime: Runtime, forever: bool) -> None:
        """Run a route again and again until it is stopped."""
        try:
            while not runtime.stop.is_set():
                try:
                    await run_route(route, runtime)
                    log.info("source of '%s' ended", key)
                except EvotoolsError as error:
                    log.error("source of '%s': %s", key, error)
                    if not forever:
                        return
                try:
                    await asyncio.wait_for(runtime.stop.wait(), RESTART_S)
                except TimeoutError:
                    pass
        except Exception:
            log.exception("source of '%s' failed", key)
        finally:
            self._running.pop(key, None)

    def tick(self, now: float) -> None:
        """Stop on-demand sources that nobody reads. Call it about once a second."""
        for key, (_, runtime) in list(self._running.items()):
            config = self._streams.get(key)
            if config is None:
                config = self._streams.get(base_name(key))
            elif not config.on_demand:
                continue
            if config is None:
                continue
            stream = self._hub.find(key)
            read_at = max(stream.read_at, stream.created_at) if stream is not None else now
            if stream is not None and stream.viewers:
                read_at = now
            if now - read_at > config.close_after:
                log.info("'%s' has no reader for %g s; stopping its source", key, config.close_after)
                runtime.stop.set()

    async def close(self) -> None:
        """Stop all of them and wait."""
        self._hub.resolver = None
        tasks = []
        for task, runtime in list(self._running.values()):
            runtime.stop.set()
            tasks.append(task)
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=5.0)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)


def _source_route(name: str, stream: StreamConfig) -> RouteSpec:
    source = stream.source.replace("$name", name).replace("$wildcard", name.partition("+")[2])
    return RouteSpec(source=source, outputs=(OutputSpec(f"hub:{name}"),), reconnect=FOREVER)
