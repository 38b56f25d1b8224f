"""Streams with a source of their own: always on, or started at the first reader and stopped after the last."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evotools.endpoints.base import Context
from evotools.errors import EvotoolsError, RefusedError
from evotools.hub.hub import Hub
from evotools.hub.names import base_name
from evotools.hub.stream import State
from evotools.log import EventWriter, get_logger, scrub
from evotools.pipeline.job import Runtime
from evotools.pipeline.route import FOREVER, OutputSpec, RouteSpec
from evotools.pipeline.run import run_route
from evotools.pipeline.supervise import Backoff
from evotools.server.config import StreamConfig

log = get_logger("server")

STOP_S = 5.0
"""How long stopping waits for sources to finish what they write."""
RESTART_S = 1.0
"""Pause before a source that ended is opened again, so that a file of no length does not spin."""
MAX_ON_DEMAND = 500
"""Sources that readers may have running: `base+anything` names could start any number of them."""


class Sources:
    """Runs routes from configured sources, and the routes of the file, inside the server."""

    def __init__(self, hub: Hub, events: EventWriter) -> None:
        self._hub = hub
        self._events = events
        self._streams: Mapping[str, StreamConfig] = {}
        self._running: dict[str, _Running] = {}
        self._closed = False

    async def replace(self, streams: Mapping[str, StreamConfig], routes: Sequence[RouteSpec]) -> None:
        """Run these streams and routes and no others; those that did not change run on."""
        streams = {name: stream for name, stream in streams.items() if stream.source}
        self._streams = streams
        self._hub.resolver = self._resolve
        self._hub.sourced = lambda name: self._config_of(name) is not None
        wanted = {name: source_route(name, stream) for name, stream in streams.items() if not stream.on_demand}
        wanted |= {f"route {number}": route for number, route in enumerate(routes, 1)}
        await self._stop([key for key, running in self._running.items() if not self._still(key, running, wanted)])
        for key, route in wanted.items():
            if key not in self._running:
                self._launch(key, route, always_on=True)

    def _still(self, key: str, running: "_Running", wanted: Mapping[str, RouteSpec]) -> bool:
        """Whether what runs is what a changed configuration asks for."""
        if running.always_on or key in wanted:
            return running.always_on and wanted.get(key) == running.route
        stream = self._config_of(key)
        return stream is not None and source_route(key, stream) == running.route

    def _config_of(self, name: str) -> StreamConfig | None:
        """`base+anything` takes the configuration of `base`."""
        return self._streams.get(name) or self._streams.get(base_name(name))

    def _resolve(self, name: str) -> bool:
        """Start the source of a stream that the hub is asked for and that nobody publishes. Raises RefusedError."""
        stream = self._config_of(name)
        if stream is None:
            return False
        running = self._running.get(name)
        if running is None:
            if len(self._running) >= MAX_ON_DEMAND + len(self._streams):
                raise RefusedError("too many sources run already", hint="try again later")
            log.info("'%s' is asked for; starting its source", name)
            self._launch(name, source_route(name, stream), always_on=False)
        elif running.runtime.stop.is_set():
            running.again = True
        return True

    def _launch(self, key: str, route: RouteSpec, *, always_on: bool) -> None:
        if self._closed:
            return
        runtime = Runtime(context=Context(hub=self._hub, options={"origin": key}), events=self._events, quiet=True)
        running = self._running[key] = _Running(route, runtime, always_on, self._hub.clock())
        running.task = asyncio.create_task(self._run(key, running), name=f"source {key}")

    async def _run(self, key: str, running: "_Running") -> None:
        """Run a route again and again until it is stopped."""
        stop = running.runtime.stop
        backoff = Backoff(FOREVER)
        try:
            while not stop.is_set():
                wait_s = RESTART_S
                backoff.connected(self._hub.clock())
                try:
                    await run_route(running.route, running.runtime)
                    log.info("source of '%s' ended", key)
                except Exception as error:
                    if isinstance(error, EvotoolsError):
                        log.error("source of '%s': %s", key, error)
                    else:
                        log.exception("source of '%s' failed", key)
                    if not running.always_on:
                        self._give_up(key, error)
                        return
                    wait_s = max(backoff.next(error, self._hub.clock(), 0.0) or 0.0, RESTART_S)
                try:
                    await asyncio.wait_for(stop.wait(), wait_s)
                except TimeoutError:
                    pass
        finally:
            if self._running.get(key) is running:
                del self._running[key]
                if running.again:
                    self._resolve(key)

    def _give_up(self, key: str, error: Exception) -> None:
        """Tell those who wait for a source that cannot be had."""
        stream = self._hub.find(key)
        if stream is not None and stream.state is State.WAITING:
            self._hub.end(key, reason=scrub(str(error)))

    def tick(self, now: float) -> None:
        """Stop on-demand sources that nobody reads. Call it about once a second."""
        for key, running in self._running.items():
            config = self._config_of(key)
            if running.always_on or config is None or running.runtime.stop.is_set():
                continue
            stream = self._hub.find(key)
            if stream is not None:
                running.used_at = max(running.used_at, now if stream.viewers else stream.read_at)
            if now - running.used_at > config.close_after:
                log.info("'%s' has no reader for %g s; stopping its source", key, config.close_after)
                running.runtime.stop.set()

    async def close(self) -> None:
        """Stop all of them and wait. Nothing starts any more."""
        self._closed = True
        self._hub.resolver = None
        self._hub.sourced = lambda name: False
        await self._stop(list(self._running))

    async def _stop(self, keys: Sequence[str]) -> None:
        tasks = []
        for key in keys:
            running = self._running.pop(key)
            running.runtime.stop.set()
            if running.task is not None:
                tasks.append(running.task)
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=STOP_S)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)


@dataclass(slots=True)
class _Running:
    """A route that runs."""

    route: RouteSpec
    runtime: Runtime
    always_on: bool
    used_at: float
    """When somebody read last, on the hub's clock."""
    again: bool = False
    """Asked for while it was stopping."""
    task: asyncio.Task[None] | None = None


def source_route(name: str, stream: StreamConfig) -> RouteSpec:
    """The route that feeds a configured stream."""
    source = stream.source.replace("$name", name).replace("$wildcard", name.partition("+")[2])
    return RouteSpec(source=source, outputs=(OutputSpec(f"hub:{name}"),), reconnect=FOREVER)
