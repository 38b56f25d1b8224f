"""Finds a command, parses its arguments by its own option declarations, and reads routes written as commands."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from evotools.errors import UsageError

if TYPE_CHECKING:
    from types import ModuleType

    from evotools.pipeline.job import Job
    from evotools.pipeline.route import RouteSpec

COMMANDS: dict[str, tuple[str, str]] = {
    "ingest": ("ingest", "listen for or pull one live stream; media on stdout"),
    "relay": ("relay", "send a stream to one or many destinations, each with its own reconnect"),
    "package": ("package", "make HLS and DASH from files or live streams"),
    "probe": ("probe", "inspect, judge or watch a stream"),
    "videogen": ("videogen", "make a test stream with clock, tone and readable time"),
    "serve": ("serve", "the media server"),
    "version": ("version", "version of evotools and of the libraries it uses"),
}
"""Command to module (in evotools.commands) and summary."""


def load_command(name: str) -> "ModuleType":
    """The module of one command."""
    return import_module(f"evotools.commands.{COMMANDS[name][0]}")


def click_command(name: str) -> Any:
    """The parser of one command, made from its option declarations by Typer."""
    import typer
    from typer.main import get_command

    module = load_command(name)
    app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
    app.command(name=name, epilog=getattr(module, "EPILOG", "") + _EPILOG)(module.command)
    return get_command(app)


_EPILOG = """

Global options: -q -v -vv --log-format text|json --events FILE|fd:N|stderr --color auto|always|never
--config FILE --no-config --print-config --dry-run (see evotools --help)."""


def parse_job(name: str, argv: Sequence[str], defaults: dict[str, Any] | None = None) -> "Job | int":
    """The job that `evotools NAME ARGV…` describes, or an exit code (help was shown). Raises UsageError."""
    # Rich help is for people; plain help costs half the time. Typer reads this once, when it is imported.
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        os.environ["TYPER_USE_RICH"] = "0"
    import typer

    command = click_command(name)
    module = load_command(name)
    arguments = list(argv)
    translate = getattr(module, "translate_argv", None)
    if translate is not None:
        arguments = translate(arguments)
    try:
        job = command.main(
            arguments, prog_name=f"evotools {name}", standalone_mode=False, auto_envvar_prefix="EVOTOOLS",
            default_map=defaults or {},
        )  # fmt: skip
    except typer.TyperException as error:
        raise UsageError(error.format_message(), hint=f"see evotools {name} --help") from None
    return 0 if job is None else job


def parse_route(argv: Sequence[str]) -> "RouteSpec":
    """The RouteSpec of one stage of a route written as a command, for `serve`. Raises UsageError."""
    from evotools.pipeline.job import RouteJob

    if not argv or argv[0] not in ("ingest", "relay", "package", "videogen"):
        raise UsageError("a stage of a route is ingest, relay, package or videogen")
    job = parse_job(argv[0], argv[1:])
    if not isinstance(job, RouteJob):
        raise UsageError(f"{argv[0]}: not a route")
    return job.spec
