"""Runs a probe: one source, measured as it comes, and the report at the end."""

import asyncio
import json
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from evotools.endpoints.base import Source
from evotools.endpoints.registry import open_source
from evotools.errors import EvotoolsError, ExitCode, NoMediaError, UsageError
from evotools.log import get_logger
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.select import select
from evotools.pipeline.job import Runtime
from evotools.pipeline.resolve import parse_uri
from evotools.probe.analysis import Analysis
from evotools.probe.checks import Check, Limits, evaluate, warnings
from evotools.probe.report import (
    nagios,
    nagios_error,
    sections,
    to_json,
    to_text,
    watch_text,
)

log = get_logger("probe")

TIMEOUT_S = 10.0
"""Longest wait for media from peers that we connect to."""
_PATIENT = ("-", "fd", "exec", "ts-exec", "file", "test", "hub")
UNJUDGED = (ExitCode.USAGE, ExitCode.BUG)
"""Errors that say nothing about the stream: UNKNOWN for monitoring. All others are CRITICAL."""


@dataclass(slots=True)
class ProbeJob:
    """What `probe` does."""

    source: str
    source_format: str = ""
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    duration_s: float | None = None
    timeout_s: float | None = None
    """Longest wait for media; 0 waits forever."""
    limits: Limits = field(default_factory=Limits)
    watch_s: float | None = None
    style: str = "text"
    """`text`, `json` or `nagios`."""

    def configuration(self) -> str:
        """A probe is no part of a server. Raises UsageError."""
        raise UsageError("--print-config: serve has no probe", hint="see its API and metrics instead")

    def plan(self) -> str:
        """In words."""
        length = "to its end" if self.duration_s is None else f"for {self.duration_s:g} s"
        return f"measure {parse_uri(self.source).redacted} {length}"

    async def run(self, runtime: Runtime) -> int:
        """The exit code. Raises EvotoolsError after the report of what came before the failure."""
        if self.style != "nagios":
            return await _Probe(self, runtime).run()
        try:
            return await _Probe(self, runtime).run()
        except EvotoolsError as error:
            status = 3 if error.code in UNJUDGED else 2
            _print(nagios_error(status, str(error)))
            return status


class _Probe:
    def __init__(self, job: ProbeJob, runtime: Runtime) -> None:
        self._job = job
        self._runtime = runtime
        self._uri = parse_uri(job.source)
        self._source: Source = open_source(self._uri, runtime.context)
        if job.source_format:
            self._source.format = job.source_format
        self._analysis = Analysis(source=self._uri.redacted, live=self._is_live)
        self._kept: set[int] | None = None
        self._next_watch: float | None = None
        self._complete = False
        self._over = False

    @property
    def _is_live(self) -> bool:
        return self._source.live and self._uri.scheme not in ("-", "fd")

    @property
    def _timeout_s(self) -> float | None:
        if self._job.timeout_s is not None:
            return self._job.timeout_s or None
        return None if self._uri.scheme in _PATIENT or self._uri.listens else TIMEOUT_S

    async def run(self) -> int:
        failure: EvotoolsError | None = None
        try:
            await self._unless_stopped(self._measure())
        except EvotoolsError as error:
            failure = error
        finally:
            await self._source.close()
        if failure is not None and (not self._analysis.frames or self._job.style == "nagios"):
            raise failure
        if not self._analysis.frames and not self._runtime.stop.is_set():
            raise NoMediaError(f"{self._uri.redacted}: ended without any media")
        code = self._finish()
        if failure is not None:
            raise failure
        return code

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        stop = asyncio.create_task(self._runtime.stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
            done = await asyncio.gather(task, return_exceptions=True)
            if isinstance(done[0], Exception):
                raise done[0]
        finally:
            stop.cancel()

    async def _measure(self) -> None:
        source, timeout_s = self._source, self._timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await source.open()
            # HTTP tells only now.
            self._analysis.live = self._is_live
            while not self._over:
                async with asyncio.timeout(timeout_s):
                    events = await source.read()
                if not events:
                    self._complete = True
                    return
                self._take(events)
        except TimeoutError:
            raise NoMediaError(
                f"{self._uri.redacted}: no media within {timeout_s:g} s", hint="raise --timeout"
            ) from None

    def _take(self, events: list[Event]) -> None:
        analysis, job = self._analysis, self._job
        now = time.monotonic()
        for event in events:
            if isinstance(event, Tracks):
                chosen = tuple(select(event.tracks, job.keep, job.drop))
                self._kept = {t.id for t in chosen}
                event = Tracks(chosen)
                for track in chosen:
                    self._runtime.events.emit("track", uri=self._uri.redacted, id=track.id, kind=track.kind.value,
                                              codec=track.codec, codecs=track.codec_string)  # fmt: skip
            elif isinstance(event, Frame) and self._kept is not None and event.track.id not in self._kept:
                continue
            analysis.add(event, now)
            if isinstance(event, Frame):
                if job.watch_s is not None:
                    self._watch(now if analysis.live else analysis.media_s)
                if job.duration_s is not None and analysis.media_s >= job.duration_s:
                    self._over = True
                    return

    def _watch(self, now: float) -> None:
        assert self._job.watch_s is not None
        if self._next_watch is None:
            self._analysis.interval(now)
            self._next_watch = now + self._job.watch_s
        if now < self._next_watch:
            return
        figures = self._analysis.interval(now)
        self._next_watch += self._job.watch_s
        if self._next_watch <= now:
            self._next_watch = now + self._job.watch_s
        _print(json.dumps(figures) if self._job.style == "json" else watch_text(figures))

    def _finish(self) -> int:
        """Print the report; the exit code."""
        job = self._job
        self._analysis.container = self._source.container or self._uri.scheme.removeprefix("-")
        report = self._analysis.report(complete=self._complete)
        checks = evaluate(report, job.limits)
        odd = warnings(report)
        if job.style == "nagios":
            status, line = nagios(report, checks, odd)
            _print(line)
            return status
        failed = [c for c in checks if not c.ok]
        if job.style == "json":
            # Among the lines of --watch the report is a line too.
            _print(to_json(report, checks, indent=None if job.watch_s is not None else 2))
        elif not self._runtime.quiet:
            _show(sections(report, checks, odd))
        if job.style == "json" or self._runtime.quiet or not _is_terminal():
            _tell(failed)
        return ExitCode.VERDICT if failed else ExitCode.DONE


def _tell(failed: list[Check]) -> None:
    for check in failed:
        log.error("check failed: %s", check.message)


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _show(parts: list[tuple[str, list[tuple[str, str]]]]) -> None:
    """Tables with rich on a terminal, aligned text elsewhere."""
    if not _is_terminal():
        _print(to_text(parts))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    for title, rows in parts:
        table = Table(title=escape(title), title_justify="left", title_style="bold cyan", show_header=False, box=None,
                      padding=(0, 2, 0, 2))  # fmt: skip
        table.add_column(style="dim", no_wrap=True)
        table.add_column()
        for name, value in rows:
            mark = {"FAIL": "[bold red]FAIL[/]", "ok": "[green]ok[/]"}.get(name, escape(name))
            table.add_row(mark, escape(value))
        console.print(table)
        console.print()
