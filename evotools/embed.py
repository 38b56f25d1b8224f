"""The embedding API: the same parts that the commands use, as context managers and iterators."""

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self

from evotools.endpoints.base import Context, Sink, Source
from evotools.endpoints.registry import open_sink as _sink
from evotools.endpoints.registry import open_source as _source
from evotools.errors import MediaError
from evotools.hub.hub import Hub
from evotools.media.frame import Event
from evotools.media.track import Track
from evotools.pipeline.job import Runtime
from evotools.pipeline.resolve import parse_uri
from evotools.pipeline.route import RouteSpec
from evotools.pipeline.run import run_route as _run_route


class OpenSource:
    """A source by URI. `async with` opens and closes it; `async for` gives its events one by one.

    The first event is `Tracks`. `batches` gives them as they come, which is cheaper.
    """

    def __init__(self, uri: str, *, hub: Hub | None = None) -> None:
        """Raises UsageError for a URI that cannot be read."""
        self.source: Source = _source(parse_uri(uri), Context(hub=hub))

    async def __aenter__(self) -> Self:
        """Raises UnreachableError, RefusedError."""
        try:
            await self.source.open()
        except BaseException:
            await self.source.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.source.close()

    async def batches(self) -> AsyncIterator[list[Event]]:
        """Non-empty batches of events until the end. Raises PeerGone, MediaError, ProtocolError."""
        while events := await self.source.read():
            yield events

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for batch in self.batches():
            for event in batch:
                yield event


class OpenSink:
    """A sink by URI. Call `start` with the tracks, `write` with events; leaving the block in order finishes it."""

    def __init__(self, uri: str, *, hub: Hub | None = None, overwrite: bool = False) -> None:
        """Raises UsageError for a URI that cannot be written."""
        self.sink: Sink = _sink(parse_uri(uri), Context(hub=hub, options={"force": overwrite}))

    async def __aenter__(self) -> Self:
        """Raises UnreachableError, RefusedError."""
        try:
            await self.sink.open()
        except BaseException:
            await self.sink.close()
            raise
        return self

    async def start(self, tracks: Sequence[Track]) -> None:
        """Begin an epoch; again when tracks change. Raises MediaError for a track that the sink cannot carry."""
        refused = self.sink.offer(tracks)
        if refused:
            raise MediaError(f"{self.sink.uri.redacted}: {refused[0].track.describe()}: {refused[0].reason}")
        await self.sink.start(tracks)

    async def write(self, events: Sequence[Event]) -> None:
        """Write a batch; waits while the peer is slow."""
        await self.sink.write(events)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.sink.finish()
        finally:
            await self.sink.close()


def open_source(uri: str, *, hub: Hub | None = None) -> OpenSource:
    """A source for `async with`. `hub` (of a running `Server`) makes `hub:` URIs local."""
    return OpenSource(uri, hub=hub)


def open_sink(uri: str, *, hub: Hub | None = None, overwrite: bool = False) -> OpenSink:
    """A sink for `async with`."""
    return OpenSink(uri, hub=hub, overwrite=overwrite)


async def run_route(spec: RouteSpec, runtime: Runtime | None = None) -> int:
    """Run a route to its end; its exit code. Set `runtime.stop` from elsewhere to end it in order."""
    return await _run_route(spec, runtime or Runtime())
