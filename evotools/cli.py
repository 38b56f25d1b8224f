"""The program: finds the command, takes the global options, turns errors into exit codes, guards stdout.

Each command's module is imported only when it is the one called; `evotools --help` imports none.
"""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from evotools.commands.docs.overview import overview
from evotools.commands.globals import CONFIGLESS, use_color
from evotools.commands.parser import COMMANDS, parse_job
from evotools.errors import EvotoolsError, ExitCode, UsageError

if TYPE_CHECKING:
    from evotools.pipeline.job import Job, Runtime

BUG_HINT = "this is a bug in evotools; run again with -vv for the trace and report it"


@dataclass(slots=True)
class Globals:
    """Options that every command takes, before or after its name."""

    verbosity: int = 0
    log_format: str = "text"
    events: str = ""
    color: str = "auto"
    config: str = ""
    no_config: bool = False
    print_config: bool = False
    dry_run: bool = False


_FLAGS = {
    "-q": ("verbosity", -1), "--quiet": ("verbosity", -1), "-v": ("verbosity", 1), "--verbose": ("verbosity", 1),
    "-vv": ("verbosity", 2), "--no-config": ("no_config", True), "--print-config": ("print_config", True),
    "--dry-run": ("dry_run", True),
}  # fmt: skip
_VALUED = {"--log-format": "log_format", "--events": "events", "--color": "color", "--config": "config"}
_CHOICES = {"log_format": ("text", "json"), "color": ("auto", "always", "never")}


def take_globals(argv: Sequence[str]) -> tuple[Globals, list[str]]:
    """Split the global options, wherever they stand before `--`, from the rest; `EVOTOOLS_EVENTS` and its like give
    their defaults. Raises UsageError."""
    found, rest = Globals(), []
    for name, attribute in _VALUED.items():
        value = os.environ.get("EVOTOOLS_" + attribute.upper(), "")
        if value:
            _check_choice(name, attribute, value)
            setattr(found, attribute, value)
    items = iter(argv)
    for item in items:
        name, equals, value = item.partition("=")
        if item == "--":
            rest += [item, *items]
        elif item in _FLAGS:
            attribute, flag = _FLAGS[item]
            if item == "-v":
                flag = found.verbosity + 1
            setattr(found, attribute, flag)
        elif name in _VALUED:
            if not equals:
                value = next(items, "")
            if not value:
                raise UsageError(f"{name} needs a value")
            attribute = _VALUED[name]
            _check_choice(name, attribute, value)
            setattr(found, attribute, value)
        else:
            rest.append(item)
    return found, rest


def _check_choice(name: str, attribute: str, value: str) -> None:
    if attribute in _CHOICES and value not in _CHOICES[attribute]:
        raise UsageError(f"{name} cannot be '{value}'", hint=f"use {' or '.join(_CHOICES[attribute])}")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The console script."""
    _fill_standard_descriptors()
    code = run(list(sys.argv[1:] if argv is None else argv))
    _leave(code)


def _fill_standard_descriptors() -> None:
    """Let no socket or file become descriptor 0, 1 or 2 in a process that was started without them."""
    while (fd := os.open(os.devnull, os.O_RDONLY)) <= 2:
        pass
    os.close(fd)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123


def run(argv: list[str]) -> int:
    """Run one command line; the exit code. Prints errors on stderr."""
    label = "evotools"
    verbosity = 0
    try:
        found, rest = take_globals(argv)
        verbosity = found.verbosity
        if not rest or rest[0] in ("-h", "--help") or rest == ["help"]:
            print(overview(brief=rest[:1] == ["-h"], color=use_color(found.color, sys.stdout)))  # noqa: T201
            return 0
        if rest[0] in ("--version", "-V"):
            rest[0] = "version"
        if rest[0] == "help" and len(rest) == 2 and rest[1] in COMMANDS:
            rest = [rest[1], "--help"]
        name, arguments = rest[0], rest[1:]
        if name not in COMMANDS:
            return _unknown(name, arguments)
        label = f"evotools {name}"
        return _run_command(name, arguments, found, label)
    except EvotoolsError as error:
        if verbosity >= 2:
            _trace()
        _say(label, str(error), error.code)
        return int(error.code)
    except BrokenPipeError:
        return ExitCode.SIGPIPE
    except KeyboardInterrupt:
        return ExitCode.SIGINT
    except Exception as error:
        if verbosity >= 2:
            _trace()
        _say(label, f"internal error: {type(error).__name__}: {error}; {BUG_HINT}", ExitCode.BUG)
        return ExitCode.BUG


def _run_command(name: str, arguments: list[str], found: Globals, label: str) -> int:
    from evotools import log

    log.setup(label, verbosity=found.verbosity, as_json=found.log_format == "json",
              color=use_color(found.color, sys.stderr))  # fmt: skip
    if name == "serve":
        # The server reads its whole configuration itself, from this one file.
        arguments = [*(["--config", found.config] if found.config else []), *arguments]
    defaults = {} if name in CONFIGLESS else _configured(name, found)
    job = parse_job(name, arguments, defaults, color=found.color)
    if isinstance(job, int):
        return job
    if found.print_config:
        if hasattr(job, "command"):
            import shlex

            job.command = shlex.join([name, *arguments])
        print(job.configuration(), end="")  # noqa: T201
        return 0
    if found.dry_run:
        print(job.plan())  # noqa: T201
        return 0
    return _execute(job, found)


def _configured(name: str, found: Globals) -> dict[str, Any]:
    """Defaults of this command from the configuration files."""
    from evotools.pipeline.settings import load_layers

    if found.no_config:
        return {}
    return load_layers(found.config).for_command(name)


def _execute(job: "Job", found: Globals) -> int:
    import asyncio
    import gc

    from evotools.log import EventWriter
    from evotools.pipeline.job import Runtime

    # Frames come in hundreds, live briefly and refer to nothing that refers back: looking at them again and again
    # costs file work about a tenth.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    events = EventWriter(found.events or None)

    async def work() -> int:
        runtime = Runtime(events=events, quiet=found.verbosity < 0, color=found.color)
        got: list[int] = []
        _catch_signals(runtime, got)
        code = await job.run(runtime)
        if got and code == ExitCode.DONE and not (got[0] == signal.SIGTERM and getattr(job, "drains", False)):
            code = 128 + got[0]
        return code

    try:
        factory = getattr(job, "loop_factory", None)
        # Not closed: that would wait for a name server that does not answer, and the process ends now anyway.
        runner = asyncio.Runner(loop_factory=factory() if factory else None)
        code = runner.run(work())
    except EvotoolsError as error:
        events.emit("exit", code=int(error.code), message=str(error))
        raise
    except Exception as error:
        broken = isinstance(error, BrokenPipeError)
        events.emit("exit", code=int(ExitCode.SIGPIPE if broken else ExitCode.BUG), message=repr(error))
        raise
    events.emit("exit", code=int(code))
    return int(code)


def _catch_signals(runtime: "Runtime", got: list[int]) -> None:
    """First SIGINT or SIGTERM: finish what was begun. Second: stop at once."""
    import asyncio
    import time

    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if got:
            os._exit(128 + number)
        got.append(number)
        runtime.stopped_at = time.monotonic()
        runtime.stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop, number)
        except NotImplementedError:
            signal.signal(number, lambda n, _: loop.call_soon_threadsafe(stop, n))


def _leave(code: int) -> NoReturn:
    """Flush and end. A reader that left ends us by SIGPIPE, so that the shell sees 141 and nothing is printed."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = ExitCode.SIGPIPE
    except OSError:
        code = code or ExitCode.FAILED
    if code == ExitCode.SIGPIPE and hasattr(signal, "SIGPIPE"):
        # Only for the writer of stdout, and only now: with the default action in force earlier, any socket whose
        # peer left would kill the process.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    try:
        sys.stderr.flush()
    except OSError:
        pass
    # A thread may hang in a read of a silent pipe or in a library call; waiting for it would hang the program.
    os._exit(code)


def _trace() -> None:
    import traceback

    from evotools.log import scrub

    print(scrub(traceback.format_exc()), file=sys.stderr, end="")  # noqa: T201


def _say(label: str, message: str, code: int) -> None:
    from evotools.log import scrub

    text = " ".join(scrub(message).split())
    try:
        print(f"{label}: {text} [exit {int(code)}]", file=sys.stderr)  # noqa: T201
    except OSError:
        # Nobody reads; the exit code still tells.
        pass


def _unknown(name: str, arguments: list[str]) -> int:
    """An executable `evotools-NAME` on PATH, or a suggestion."""
    if name.startswith("-"):
        raise UsageError(f"no such option: {name}", hint="see evotools --help")
    import shutil

    found = shutil.which(f"evotools-{name}")
    if found:
        os.execv(found, [found, *arguments])
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS)
    raise UsageError(f"no command '{name}'", hint=f"did you mean {near[0]}?" if near else "see evotools --help")
