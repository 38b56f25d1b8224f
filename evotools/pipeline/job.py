"""What a command returns: a `Job` that the program runs, prints as configuration, or hands to `serve`."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from evotools.endpoints.base import Context
from evotools.errors import ExitCode, UsageError
from evotools.log import EventWriter
from evotools.pipeline.route import RouteSpec

if TYPE_CHECKING:
    from evotools.pipeline.progress import Board


@dataclass(slots=True)
class Runtime:
    """The surroundings of a running job."""

    context: Context = field(default_factory=Context)
    events: EventWriter = field(default_factory=lambda: EventWriter(None))
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first Ctrl-C or SIGTERM: stop reading, finish what was begun."""
    stopped_at: float = 0.0
    """Monotonic time of that signal."""
    quiet: bool = False
    color: str = "auto"
    """--color: auto, always or never."""
    board: "Board | None" = None
    """Set by a job that shows the progress of its routes together."""


class Job(Protocol):
    """One piece of work. `run` returns the exit code or raises EvotoolsError."""

    async def run(self, runtime: Runtime) -> int: ...

    def configuration(self) -> str:
        """The TOML that makes `serve` do the same. Raises UsageError when that is impossible."""
        ...

    def plan(self) -> str:
        """What would happen, for `--dry-run`."""
        ...


@dataclass(slots=True)
class RouteJob:
    """A source to sinks job: `ingest`, `relay`, `videogen`."""

    spec: RouteSpec
    command: str = ""
    """The command line without `evotools`, secrets as placeholders, for `--print-config`."""
    names_files: bool = False
    """Print the path of every finished file on standard output (`segment`, `package`)."""

    async def run(self, runtime: Runtime) -> int:
        """Run the route to its end."""
        from evotools.pipeline.run import run_route

        if not self.names_files:
            return await run_route(self.spec, runtime)
        from evotools.pipeline.report import FileReporter

        with FileReporter(runtime) as reporter:
            code = await run_route(self.spec, runtime)
        return ExitCode.SIGPIPE if reporter.broken else code

    def configuration(self) -> str:
        """A `[[routes]]` table."""
        if self.spec.source == "-" or "-" in [o.uri for o in self.spec.outputs]:
            raise UsageError(
                "--print-config: this job uses a pipe, and serve has none",
                hint="name both ends, such as -i rtmp://:1935/live/x and hub:live/x",
            )
        from json import dumps

        # A JSON string is a TOML basic string (TOML 1.0, strings).
        return f"[[routes]]\nrun = {dumps(self.command, ensure_ascii=False)}\n"

    def plan(self) -> str:
        """The route in words."""
        return self.spec.describe()
