"""evotools inside a Python program.

Open any source or sink by URI, run a route, or run the server inside an asyncio program:

```python
import asyncio, evotools

async def main() -> None:
    async with evotools.open_source("film.mp4") as source:
        async for event in source:
            if isinstance(event, evotools.Frame):
                print(event.track.codec, event.pts_s, len(event.payload))

    await evotools.run_route(evotools.RouteSpec("test:?duration=5s", (evotools.OutputSpec("out.ts"),)))

    server = evotools.Server(evotools.load_config("evotools.toml"))
    await server.start()

asyncio.run(main())
```

Names are imported when they are first used, so `import evotools` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evotools.embed import open_sink, open_source, run_route
    from evotools.errors import EvotoolsError, ExitCode
    from evotools.media.frame import Discontinuity, Event, Frame, Metadata, Tracks
    from evotools.media.track import Kind, Track
    from evotools.pipeline.route import OutputSpec, RouteSpec
    from evotools.server.app import Server
    from evotools.server.config import ServerConfig
    from evotools.server.config import load as load_config

_WHERE = {
    "open_source": "evotools.embed", "open_sink": "evotools.embed", "run_route": "evotools.embed",
    "EvotoolsError": "evotools.errors", "ExitCode": "evotools.errors",
    "Discontinuity": "evotools.media.frame", "Event": "evotools.media.frame", "Frame": "evotools.media.frame",
    "Metadata": "evotools.media.frame", "Tracks": "evotools.media.frame",
    "Kind": "evotools.media.track", "Track": "evotools.media.track",
    "OutputSpec": "evotools.pipeline.route", "RouteSpec": "evotools.pipeline.route",
    "Server": "evotools.server.app", "ServerConfig": "evotools.server.config",
    "load_config": "evotools.server.config:load",
}  # fmt: skip

__all__ = [
    "Discontinuity",
    "Event",
    "EvotoolsError",
    "ExitCode",
    "Frame",
    "Kind",
    "Metadata",
    "OutputSpec",
    "RouteSpec",
    "Server",
    "ServerConfig",
    "Track",
    "Tracks",
    "load_config",
    "open_sink",
    "open_source",
    "run_route",
]


def __getattr__(name: str) -> Any:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module 'evotools' has no attribute '{name}'")
    module, _, attribute = where.partition(":")
    value = getattr(import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
