"""Several inputs into one packaged presentation: a route for each, one packager behind them all."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, urlencode

from evotools.endpoints.package import Shared, Wishes
from evotools.errors import EvotoolsError, ExitCode, UsageError
from evotools.log import get_logger
from evotools.pipeline.job import Runtime
from evotools.pipeline.report import FileReporter
from evotools.pipeline.resolve import parse_uri
from evotools.pipeline.route import RouteSpec
from evotools.uri import Uri

log = get_logger("pipeline")

_DEFAULTS = {"format": "fmp4", "segment": "6s", "window": "60s"}
_PIPES = ("-", "fd", "exec", "ts-exec")


def package_uri(folder: str, values: Mapping[str, str], sources: Sequence[str]) -> str:
    """The URI of a folder, with the options that differ from the defaults.

    What comes through a pipe may be live or stored: as an event it can be played from the start and is whole at the
    end. Raises UsageError.
    """
    chosen = {name: value for name, value in values.items() if value and value != _DEFAULTS.get(name)}
    if not chosen.get("type") and any(parse_uri(source).scheme in _PIPES for source in sources):
        chosen["type"] = "event"
    # Placeholders are expanded in the URI.
    path = quote(folder, safe="/:{}~!$&'()*+,;=@ ")
    return f"package:{path}?{urlencode(chosen)}" if chosen else f"package:{path}"


def _keep_apart(sources: Sequence[Uri]) -> None:
    """No input is named twice. Raises UsageError."""
    seen: set[str] = set()
    for source in sources:
        # Not by what is shown: streams of one server may differ in what is secret only.
        key = str(Path(source.path).resolve()) if source.scheme == "file" else source.text
        if key in seen:
            raise UsageError(f"{source.redacted}: an input is named twice", hint="one -i for each rendition")
        seen.add(key)


@dataclass(slots=True)
class PackageJob:
    """`package` with several inputs: every one is a rendition of the same film."""

    specs: tuple[RouteSpec, ...]
    require_aligned: bool = False

    async def run(self, runtime: Runtime) -> int:
        """Run all routes to their ends. One input that fails later on costs exit code 3 while others go on."""
        uri = parse_uri(self.specs[0].outputs[0].uri)
        wishes = Wishes.of(uri, force=self.specs[0].force)
        sources = [parse_uri(spec.source) for spec in self.specs]
        names = [source.redacted for source in sources]
        _keep_apart(sources)
        shared = Shared(uri, wishes, names)
        with FileReporter(runtime) as reporter:
            code = await self._run(shared, runtime)
        return ExitCode.SIGPIPE if reporter.broken else code

    async def _run(self, shared: Shared, runtime: Runtime) -> int:
        from evotools.pipeline.progress import Board
        from evotools.pipeline.run import run_route

        board = Board(runtime)
        tasks: list[asyncio.Task[int]] = []
        for number, spec in enumerate(self.specs):
            context = replace(
                runtime.context, options={**runtime.context.options, "package": shared, "package_input": number}
            )
            own = replace(runtime, context=context, board=board)
            tasks.append(asyncio.create_task(run_route(spec, own), name=f"input {number}"))
        failures: list[EvotoolsError] = []
        code = 0
        waiting = set(tasks)
        shown = asyncio.create_task(board.show())
        try:
            while waiting:
                finished, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    number = tasks.index(task)
                    try:
                        code = max(code, task.result())
                    except EvotoolsError as error:
                        failures.append(error)
                        await shared.give_up(number)
                        if waiting and not shared.begun(number):
                            raise
                        if waiting:
                            log.error("%s; the other inputs go on", error)
        finally:
            shown.cancel()
            for task in waiting:
                task.cancel()
            await asyncio.gather(shown, *waiting, return_exceptions=True)
        if len(failures) == len(tasks):
            raise failures[0]
        if failures:
            return ExitCode.VERDICT
        if self.require_aligned and not shared.aligned:
            log.error("the segments of the inputs do not begin at the same instants")
            return ExitCode.VERDICT
        return code

    def configuration(self) -> str:
        """Several inputs are no route."""
        raise UsageError(
            "--print-config: serve takes packages of one input only", hint="give one -i, or run package by itself"
        )

    def plan(self) -> str:
        """The inputs and the folder."""
        return "\n".join(spec.describe() for spec in self.specs)
