"""Runs one route: a reader, a worker per destination, pacing between them, and the verdict."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from urllib.parse import unquote

from evotools.errors import EvotoolsError, ExitCode, MediaError, NoMediaError, PeerGone, UsageError
from evotools.log import get_logger
from evotools.media.frame import Event, Frame
from evotools.packaging.files import DASH_NAME, HLS_NAME, is_ours
from evotools.pipeline.job import Runtime
from evotools.pipeline.output import FINISH_S, Output
from evotools.pipeline.pace import Pacer
from evotools.pipeline.progress import progress
from evotools.pipeline.reader import DRAIN_S, RouteReader
from evotools.pipeline.resolve import parse_uri
from evotools.pipeline.route import OutputSpec, RouteSpec

log = get_logger("pipeline")

_STDIO = ("-", "fd")
_PIPES = (*_STDIO, "exec", "ts-exec")
PIPE_SPEED = 1.01
"""A pipe may have a live source behind it whose clock is a little faster than ours: never fall behind it."""


async def run_route(spec: RouteSpec, runtime: Runtime) -> int:
    """Run `spec` to its end; the exit code of the whole. Raises EvotoolsError when the source or all sinks failed.

    A destination that is given up costs exit code 3 while others live on (with `fail_fast` it ends the route).
    """
    if not spec.outputs:
        raise UsageError("a route without a destination")
    reader = RouteReader(spec, runtime)
    _check_files([spec.source, *(o.uri for o in spec.outputs)])
    outputs = [
        Output(output, spec, runtime, live=reader.source.live, name=name)
        for output, name in zip(spec.outputs, _names(spec.outputs), strict=True)
    ]
    workers = [asyncio.create_task(o.run(), name=f"output {o.name}") for o in outputs]
    pump = asyncio.create_task(_pump(spec, reader, outputs, runtime), name="pump")
    shown = asyncio.create_task(progress(reader, outputs, runtime))
    failure: EvotoolsError | None = None
    try:
        failure = await _watch(pump, workers, outputs, spec)
        for output in outputs:
            output.end()
        await _finish(workers, outputs, runtime)
    finally:
        for task in (pump, shown, *workers):
            task.cancel()
        await asyncio.gather(pump, shown, *workers, return_exceptions=True)
        await reader.close()
    return _verdict(spec, reader, outputs, failure, runtime)


def _names(outputs: Sequence[OutputSpec]) -> list[str]:
    """What messages call the destinations: they are told apart where they differ in what is not shown, such as keys."""
    names = [parse_uri(output.uri).redacted for output in outputs]
    return [name if names.count(name) == 1 else f"{name} (destination {n})" for n, name in enumerate(names, 1)]


def _check_files(uris: list[str]) -> None:
    """No file is read and written, or written twice: the source, then the destinations. Raises UsageError."""
    seen: set[Path | tuple[int, int]] = set()
    source: Path | None = None
    for index, uri in enumerate(map(parse_uri, uris)):
        path = Path(uri.path).resolve() if uri.scheme == "file" else None
        # Devices and pipes may well be named twice.
        if path is not None and (path.is_file() or not path.exists()):
            told = path.stat() if path.is_file() else None
            # One file may have several names; where a file system tells no numbers, they are 0.
            key = (told.st_dev, told.st_ino) if told is not None and told.st_ino else path
            if key in seen:
                raise UsageError(f"{uri.redacted} is named twice", hint="a file is read or written once")
            seen.add(key)
            if not index:
                source = path
        elif uri.scheme == "package" and source is not None and _replaces(Path(unquote(uri.path)).resolve(), source):
            raise UsageError(f"{source}: lies in the folder to be written", hint="name another folder")


def _replaces(folder: Path, file: Path) -> bool:
    """Whether a packager that writes into the folder may write or remove this file."""
    if not file.is_relative_to(folder):
        return False
    parts = file.relative_to(folder).parts
    return parts in ((HLS_NAME,), (DASH_NAME,)) or (len(parts) == 2 and is_ours(parts[1]))


async def _finish(workers: list[asyncio.Task[None]], outputs: list[Output], runtime: Runtime) -> None:
    """Let every destination take what is left; after the stop signal for FINISH_S at most."""
    rest = asyncio.gather(*workers)
    if not await _unless_stopped(asyncio.shield(rest), runtime):
        for output in outputs:
            output.hurry()
        await asyncio.wait(workers, timeout=FINISH_S)
        for output in outputs:
            if not output.done:
                output.give_up(PeerGone(f"{output.name}: did not take the rest of the media in {FINISH_S:g} s"))
    await rest


async def _watch(
    pump: asyncio.Task[None], workers: list[asyncio.Task[None]], outputs: list[Output], spec: RouteSpec
) -> EvotoolsError | None:
    """Wait for the end of the media, or for the last (with fail_fast the first) destination to be gone."""
    waiting = set(workers)
    while True:
        finished, _ = await asyncio.wait({pump, *waiting}, return_when=asyncio.FIRST_COMPLETED)
        for worker in finished & waiting:
            worker.result()
        if pump in finished:
            try:
                pump.result()
            except EvotoolsError as error:
                return error
            return None
        waiting -= finished
        lost = [o for o in outputs if o.error is not None]
        if not waiting or (lost and spec.fail_fast):
            return None
        for output in lost:
            if not output.reported:
                output.reported = True
                log.error("%s; the other destinations go on", output.error)


async def _pump(spec: RouteSpec, reader: RouteReader, outputs: list[Output], runtime: Runtime) -> None:
    """Move media from the source to the queues of all destinations."""
    if not await _unless_stopped(reader.open(), runtime):
        return
    source = reader.source
    for output in outputs:
        output.settle(source.live)
    piped = source.uri.scheme in _PIPES
    stored = not source.live
    pace = spec.pace and stored and any(o.sink.realtime for o in outputs)
    pacer = Pacer(PIPE_SPEED if piped else 1.0) if pace else None
    # A signal goes to every stage of a pipeline: this one goes on while the stage before it is finishing.
    drain_s = DRAIN_S if source.uri.scheme in _STDIO else 0.0
    if stored and pacer is None:
        # What is not paced is gone before a destination is reached.
        for output in outputs:
            if not await _unless_stopped(output.tried.wait(), runtime):
                return
    while True:
        alone = stored and not piped and not any(o.up.is_set() for o in outputs)
        if alone and not await _unless_stopped(_anyone(outputs), runtime):
            return
        task = asyncio.create_task(reader.read())
        if not await _unless_stopped(task, runtime, drain_s):
            return
        events = task.result()
        if not events:
            return
        if pacer is None:
            for output in outputs:
                output.offer(events)
        else:
            await _paced(pacer, events, outputs, runtime)
        for output in outputs:
            if not output.wants and not await _unless_stopped(output.room(), runtime, drain_s):
                return


async def _anyone(outputs: list[Output]) -> None:
    """Wait while no destination is there: a stored source loses nothing by that."""
    waits = [asyncio.create_task(o.up.wait()) for o in outputs]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _unless_stopped(awaitable: Awaitable[object], runtime: Runtime, grace_s: float = 0.0) -> bool:
    """Await until done, or until `grace_s` after the stop signal; tells whether it was done."""
    task = asyncio.ensure_future(awaitable)
    stop = asyncio.create_task(_stopped(runtime, grace_s))
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return True
        return False
    finally:
        stop.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _stopped(runtime: Runtime, grace_s: float) -> None:
    await runtime.stop.wait()
    if grace_s:
        left = runtime.stopped_at + grace_s - time.monotonic()
        await asyncio.sleep(max(left, 0.0))


async def _paced(pacer: Pacer, events: list[Event], outputs: list[Output], runtime: Runtime) -> None:
    """Hand over each frame when its decode time is due."""
    due: list[Event] = []
    for event in events:
        if isinstance(event, Frame):
            wait = pacer.wait(event.dts_s, time.monotonic())
            if wait > 0:
                for output in outputs:
                    output.offer(due)
                due = []
                try:
                    await asyncio.wait_for(runtime.stop.wait(), wait)
                except TimeoutError:
                    pass
        due.append(event)
    for output in outputs:
        output.offer(due)


def _verdict(
    spec: RouteSpec, reader: RouteReader, outputs: list[Output], failure: EvotoolsError | None, runtime: Runtime
) -> int:
    lost = [o for o in outputs if o.error is not None]
    for output in outputs:
        runtime.events.emit("stats", uri=output.name, frames=output.frames, dropped=output.dropped,
                            error=str(output.error) if output.error else None)  # fmt: skip
    if failure is not None:
        raise failure
    if lost and (len(lost) == len(outputs) or spec.fail_fast):
        raise lost[0].error or MediaError("no destination")
    for output in lost:
        # Lost when the media was over already.
        if not output.reported:
            log.error("%s", output.error)
    if lost:
        return ExitCode.VERDICT
    if reader.frames == 0 and not runtime.stop.is_set():
        raise NoMediaError(f"{reader.source.uri.redacted}: ended without any media")
    if spec.max_loss_pct is not None:
        for output in outputs:
            total = output.frames + output.dropped
            if total and 100 * output.dropped / total > spec.max_loss_pct:
                log.error("%s: lost %.2f %% of the frames", output.name, 100 * output.dropped / total)
                return ExitCode.VERDICT
    return ExitCode.DONE
