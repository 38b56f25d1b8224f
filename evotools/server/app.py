"""The server: hub, listeners, access, sources, wired together and stopped in order.

```python
server = Server(load("evotools.toml"))
await server.start()
...
await server.stop()
```
"""

import asyncio
import shlex
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from evotools.endpoints.base import Context
from evotools.endpoints.registry import open_source
from evotools.errors import EvotoolsError, RefusedError, UsageError
from evotools.hub.hub import Hub, HubEvent, Publication
from evotools.hub.limits import DEFAULT_SETTINGS, FlushInterval, Limits, StreamSettings
from evotools.hub.names import base_name, check_name
from evotools.hub.stream import PublisherInfo
from evotools.log import EventWriter, get_logger
from evotools.pipeline.resolve import name_endpoints, parse_uri
from evotools.pipeline.route import RouteSpec, compose
from evotools.server import names
from evotools.server.access import Access
from evotools.server.config import ServerConfig, parse_listen, viewer_policy
from evotools.server.listeners.http import HttpListener
from evotools.server.listeners.rtmp import RtmpListener
from evotools.server.sources import Sources, source_route
from evotools.server.stats import snapshot
from evotools.server.vod.files import check_folders
from evotools.transport.flush import Flusher
from evotools.transport.ports import Ports
from evotools.transport.tls import ServerTls, server_context
from evotools.transport.uring import Group, Ring, open_ring

log = get_logger("server")

TICK_S = 1.0
SILENT_TWIN_S = 1.0
"""A publisher silent for so long makes way for one from the same address with the same credentials. Two live encoders
that share them do not throw each other out: neither is ever silent for so long."""
OPEN_FILES = 65536
"""Asked of the system at the start: a viewer is a descriptor."""

ParseRoute = Callable[[Sequence[str]], RouteSpec]
"""Parses one stage of a route by the commands' own option declarations; see `evotools.commands.parser.parse_route`."""


def parse_run(run: str, parse_route: ParseRoute) -> RouteSpec:
    """The route that `ingest … | relay …` describes; no shell is involved. Raises UsageError."""
    lexer = shlex.shlex(run, posix=True, punctuation_chars="|")
    lexer.whitespace_split = True
    lexer.commenters = ""
    stages: list[list[str]] = [[]]
    try:
        for token in lexer:
            if token == "|":
                stages.append([])
            else:
                stages[-1].append(token)
    except ValueError as error:
        raise UsageError(f"route '{run}': {error}") from None
    specs = []
    for stage in stages:
        words = stage[1:] if stage[:1] == ["evotools"] else stage
        try:
            specs.append(parse_route(words))
        except EvotoolsError as error:
            raise UsageError(f"route '{run}': {error.message}", hint=error.hint) from None
    return compose(specs)


class Server:
    """A media server inside an asyncio program. `start` returns when every port is bound."""

    def __init__(
        self,
        config: ServerConfig | None = None,
        *,
        parse_route: ParseRoute | None = None,
        events: EventWriter | None = None,
    ) -> None:
        """Raises UsageError for a configuration that cannot work."""
        self.config = config or ServerConfig()
        self.events = events or EventWriter(None)
        self.access = Access(self.config.access, self.config.users, self.config.streams)
        tls = self.config.tls
        if tls.key and not tls.cert:
            raise UsageError("tls.key: there is no tls.cert beside it")
        self.tls = ServerTls(tls.cert, tls.key) if tls.cert else None
        if self.config.endpoints:
            name_endpoints(self.config.endpoints)
        self.routes = _check(self.config, parse_route)
        self._reloading = asyncio.Lock()
        self.hub: Hub
        self.flusher: Flusher
        self.sources: Sources
        self.rtmp: RtmpListener | None = None
        self.http: HttpListener | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ring: Ring | None = None
        self._stats_at = 0.0

    async def start(self) -> None:
        """Bind every port, then start the sources. Raises UnreachableError; nothing stays open then."""
        _raise_file_limit()
        loop = asyncio.get_running_loop()
        hub_config = self.config.hub
        limits = Limits(
            streams=hub_config.max_streams, ring_s=hub_config.keep, ring_bytes=hub_config.keep_bytes,
            grace_s=hub_config.grace,
        )  # fmt: skip
        self.hub = Hub(loop.time, limits=limits, reserved=names.reserved(self.config.files))
        self.hub.on_event(self._on_event)
        self.hub.settings = self._settings
        self._ring = open_ring() if hub_config.io_uring else None
        if self._ring is not None:
            self.hub.broadcast = partial(Group, self._ring)
        self.hub.yields = self._yields
        self.flusher = Flusher(
            self.hub, _interval(hub_config.flush_interval) or 0.0, ceiling_s=hub_config.flush_ceiling
        )
        self.sources = Sources(self.hub, self.events)
        ports = Ports()
        passwords = self.access if self.config.rtmp.challenge else None
        try:
            if self.config.rtmp.enabled:
                rtmp = self.config.rtmp
                self.rtmp = RtmpListener(
                    self.hub,
                    self.access,
                    policy=viewer_policy(hub_config.start, hub_config.slow, hub_config),
                    max_connections=rtmp.max_connections,
                    max_per_peer=rtmp.max_per_peer,
                    idle_s=rtmp.idle,
                    passwords=passwords,
                    flush_interval=_interval(rtmp.flush_interval),
                    ports=ports,
                )
                await self.rtmp.start(*parse_listen(rtmp.listen))
                if self.tls is not None:
                    await self.rtmp.start_tls(*parse_listen(rtmp.listen_tls), self.tls.context)
            if self.config.http.enabled:
                self.http = HttpListener(self.hub, self.access, self.config, ports, passwords)
                await self.http.start(*parse_listen(self.config.http.listen))
                if self.tls is not None:
                    await self.http.start_tls(*parse_listen(self.config.http.listen_tls), self.tls.context)
        except BaseException:
            await self.stop()
            raise
        await self.sources.replace(self.config.streams, self.routes)
        self._tick()

    async def reload(self, config: ServerConfig, parse_route: ParseRoute) -> list[str]:
        """Take over a changed configuration: access, users, certificate, streams and routes at once.

        Returns what cannot change while the server runs, as section names. Raises UsageError and changes nothing
        when the new configuration cannot work.
        """
        access = Access(config.access, config.users, config.streams)
        if self.tls is not None and config.tls.cert:
            server_context(config.tls.cert, config.tls.key)
        name_endpoints(config.endpoints)
        try:
            routes = _check(config, parse_route)
            if self.http is not None:
                self.http.files.replace(config.files)
        except UsageError:
            name_endpoints(self.config.endpoints)
            raise
        fixed = [s for s in ("hub", "rtmp", "http", "hls") if getattr(config, s) != getattr(self.config, s)]
        if self.tls is not None and config.tls.cert:
            # The same files may hold a new certificate.
            self.tls.replace(config.tls.cert, config.tls.key)
        elif config.tls != self.config.tls:
            fixed.append("tls")
        for section in fixed:
            setattr(config, section, getattr(self.config, section))
        self.config = config
        self.routes = routes
        self.hub.reserved = names.reserved(config.files)
        self.access.replace(access)
        async with self._reloading:
            await self.sources.replace(config.streams, routes)
        return fixed

    def _settings(self, name: str) -> StreamSettings:
        """What the configuration says of a stream; `base+anything` takes what it says of `base`."""
        streams, hub = self.config.streams, self.config.hub
        config = streams.get(name) or streams.get(base_name(name))
        if config is None:
            return DEFAULT_SETTINGS
        policy = None
        if config.start != "" or config.slow:
            start = hub.start if config.start == "" else config.start
            policy = viewer_policy(start, config.slow or hub.slow, hub)
        takeover = config.conflict == "takeover" if config.conflict else None
        return StreamSettings(_interval(config.flush_interval), policy, takeover)

    def _yields(self, former: Publication, info: PublisherInfo, now: float) -> bool:
        """Whether a publisher makes way for another one of the same name.

        An encoder that comes back over a new address or cable finds its own dead connection, which nobody has closed.
        """
        hub = self.config.hub
        takeover = self._settings(former.stream.name).takeover
        if hub.conflict == "takeover" if takeover is None else takeover:
            return True
        silent_s = now - former.pushed_at
        if hub.replace_silent and silent_s >= hub.replace_silent:
            return True
        theirs = former.info
        itself = info.credential != "" and (info.credential, info.peer) == (theirs.credential, theirs.peer)
        return itself and silent_s >= SILENT_TWIN_S

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TICK_S, self._tick)
        now = loop.time()
        self.sources.tick(now)
        every_s = self.config.hub.stats
        if every_s and self.events.enabled and now >= self._stats_at + every_s:
            self._stats_at = now
            self.events.emit("stats", **self.stats())

    def stats(self) -> dict[str, Any]:
        """What the server is doing; see `evotools.server.stats.snapshot`."""
        return snapshot(self.hub, self.flusher)

    def _on_event(self, event: HubEvent) -> None:
        stream = event.stream
        if event.kind in ("published", "unpublished", "ended"):
            publisher = f" by {stream.publisher.protocol} {stream.publisher.peer}" if stream.publisher else ""
            log.info("stream '%s' %s%s%s", stream.name, event.kind, publisher,
                     f": {event.detail}" if event.detail else "")  # fmt: skip
        self.events.emit(event.kind, stream=stream.name, session=stream.session, detail=event.detail)

    async def stop(self) -> None:
        """Stop sources, tell players that their streams are over, close every connection. Safe to call twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self.sources.close()
        self.hub.close()
        self.flusher.close()
        if self.rtmp is not None:
            await self.rtmp.close()
            self.rtmp = None
        if self.http is not None:
            await self.http.close()
            self.http = None
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    @property
    def rtmp_port(self) -> int:
        """The RTMP port bound."""
        assert self.rtmp is not None
        return self.rtmp.port

    @property
    def http_port(self) -> int:
        """The HTTP port bound."""
        assert self.http is not None
        return self.http.port


def _interval(value: float | str) -> FlushInterval | None:
    """A configured interval; None for the empty text, which leaves it to what is more general."""
    if value == "auto":
        return "auto"
    return None if value == "" else float(value)


def _check(config: ServerConfig, parse_route: ParseRoute | None) -> list[RouteSpec]:
    """The routes of a configuration whose URIs can all be opened as far as that can be told. Raises UsageError.

    Names and folders are looked at too.
    """
    check_folders(config.files, names.FIRST)
    for name in config.streams:
        try:
            check_name(name, names.reserved(config.files))
        except RefusedError as error:
            raise UsageError(f"[streams.{name}]: {error.message}", hint=error.hint) from None
    if config.routes and parse_route is None:
        raise UsageError("routes need parse_route", hint="pass evotools.commands.parser.parse_route")
    routes = [parse_run(r.run, parse_route) for r in config.routes if parse_route is not None]
    sources = {
        f"streams.{name}": source_route(name, stream) for name, stream in config.streams.items() if stream.source
    }
    for where, route in [*sources.items(), *((f"route {n}", r) for n, r in enumerate(routes, 1))]:
        try:
            open_source(parse_uri(route.source), Context())
            for output in route.outputs:
                parse_uri(output.uri)
        except UsageError as error:
            raise UsageError(f"{where}: {error.message}", hint=error.hint) from None
    return routes


def _raise_file_limit() -> None:
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            log.warning("the system allows %d open files only; that caps the number of viewers", soft)
