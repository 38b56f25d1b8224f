"""Runs the hardware calculators: reads reports and profiles, prints the answer, writes the picture."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evotools.capacity import document, words
from evotools.capacity.answer import Answer, answer
from evotools.capacity.chart import Chart, chart
from evotools.capacity.coefficients import Profile
from evotools.capacity.demand import Stream
from evotools.capacity.plot import plot
from evotools.capacity.profiles import DEFAULT, TITLES, built_in
from evotools.capacity.question import Asked, Question, read, with_constants
from evotools.capacity.render import ascii_only, render
from evotools.capacity.reports import MAX_BYTES, parse_reports
from evotools.capacity.svg import svg
from evotools.capacity.sweep import sweep
from evotools.capacity.toml import profile_from, profile_to
from evotools.errors import EvotoolsError, ExitCode, UnreachableError, UsageError, VerdictError
from evotools.pipeline.job import Runtime
from evotools.pipeline.settings import read_toml

WIDTH = 100
"""Columns where there is no terminal to ask."""


@dataclass(slots=True)
class PlanningJob:
    """What `calc-hardware` does."""

    question: Question
    reports: tuple[str, ...] = ()
    """Files of `probe --json`; `-` is standard input."""
    profile: str = ""
    """A built-in profile's name or a file."""
    svg: str = ""
    plot: bool = True
    as_json: bool = False
    print_profile: bool = False

    def configuration(self) -> str:
        """A calculation is no part of a server. Raises UsageError."""
        raise UsageError("--print-config: serve calculates nothing", hint="--print-profile prints the constants")

    def plan(self) -> str:
        """In words."""
        reads = [f"read {name}" for name in (*self.reports, *([self.profile] if self.profile else []))]
        return "; ".join([*reads, "calculate", *([f"write {self.svg}"] if self.svg else [])])

    async def run(self, runtime: Runtime) -> int:
        """The exit code. Raises EvotoolsError; VerdictError after a report of what does not fit."""
        # Reading standard input blocks, and nothing wakes it: Ctrl-C leaves its thread behind.
        work = asyncio.ensure_future(asyncio.to_thread(self._run, runtime))
        stop = asyncio.ensure_future(runtime.stop.wait())
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        return work.result() if work.done() else ExitCode.DONE

    def _run(self, runtime: Runtime) -> int:
        if self.print_profile:
            _print(profile_to(with_constants(self.question, self._profile())).rstrip("\n"))
            return ExitCode.DONE
        if self.reports.count("-") > 1:
            raise UsageError("--from: standard input can be read once")
        streams = tuple(stream for name in self.reports for stream in _streams(name))
        asked = read(replace(self.question, reports=streams), self._profile())
        if asked.range is not None:
            return self._sweep(asked, runtime)
        if self.svg:
            raise UsageError("--svg draws a range", hint="such as --viewers 100..10000")
        found = answer(asked.demand, asked.profile, asked.machine)
        step, notes = self.question.step, words.notes_on(found, self.question.step)
        if self.as_json:
            _print_json(document.of_answer(found, step, notes))
        elif not runtime.quiet:
            _show(words.of_answer(found, step, notes), runtime)
        return _verdict(found)

    def _profile(self) -> Profile:
        name, step = self.profile or DEFAULT, self.question.step
        if name in TITLES:
            return built_in(name, step)
        if not Path(name).exists() and "/" not in name and not name.endswith(".toml"):
            raise UsageError(f"--profile: no profile '{name}'", hint=f"name a file, or one of {', '.join(TITLES)}")
        return profile_from(read_toml(Path(name)), name, step)

    def _sweep(self, asked: Asked, runtime: Runtime) -> int:
        assert asked.range is not None
        step = self.question.step
        found = sweep(asked.range, asked.demand, asked.profile, asked.machine)
        notes = words.notes_on(found.answers[0], step)
        picture = chart(found, words.subtitle(found, step), step)
        if self.svg:
            _write(Path(self.svg), svg(picture))
        if self.as_json:
            _print_json(document.of_sweep(found, step, notes))
        elif not runtime.quiet:
            _show(words.of_sweep(found, step), runtime)
            if self.plot:
                self._draw(picture, runtime)
            _print("")
            _show(words.after_sweep(found, step, notes), runtime)
        return ExitCode.DONE

    def _draw(self, picture: Chart, runtime: Runtime) -> None:
        if picture.panels:
            _print("\n" + plot(picture, _width(), color=_colored(runtime), ascii_only=not _unicode()))


def _streams(name: str) -> list[Stream]:
    """The streams in a file of reports; `-` is standard input."""
    subject = "standard input" if name == "-" else name
    try:
        if name == "-":
            if sys.stdin.isatty():
                raise UsageError("--from -: standard input is a terminal", hint="pipe evotools probe --json into it")
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreachableError(f"--from {subject}: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"--from {subject}: larger than reports of probe can be")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"--from {subject}: not text", hint="give the report of probe --json, not the media") from None
    return parse_reports(text, f"--from {subject}")


def _verdict(found: Answer) -> int:
    short = words.shortage(found)
    if short:
        raise VerdictError(short, hint="the report tells what would")
    return ExitCode.DONE


def _write(path: Path, text: str) -> None:
    """Under a temporary name first, so that nobody ever reads half a picture."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise EvotoolsError(f"--svg {path}: {error.strerror}") from None


def _show(sections: Sequence[words.Section], runtime: Runtime) -> None:
    _print(render(sections, _width(), color=_colored(runtime)))


def _print(text: str) -> None:
    # Names of files may hold bytes that are no text.
    shown = text.encode("utf-8", "replace").decode() if _unicode() else ascii_only(text)
    sys.stdout.write(shown)
    # By itself: with PYTHONUNBUFFERED a write that a leaving reader cut short passes for whole, but the next fails.
    sys.stdout.write("\n")
    sys.stdout.flush()


def _print_json(found: dict[str, Any]) -> None:
    _print(json.dumps(found, indent=2, ensure_ascii=not _unicode()))


def _unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")


def _width() -> int:
    """Of the terminal, or what COLUMNS says."""
    return shutil.get_terminal_size((WIDTH, 24)).columns


def _colored(runtime: Runtime) -> bool:
    """--color beats NO_COLOR beats FORCE_COLOR beats the terminal."""
    if runtime.color != "auto":
        return runtime.color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout.isatty() and os.environ.get("TERM") != "dumb")
