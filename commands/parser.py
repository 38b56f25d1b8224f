"""Finds a command, parses its arguments by its own option declarations, and reads routes written as commands."""

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
    "segment": ("segment", "record a stream in files, cut by time, clock, size or key frame"),
    "package": ("package", "make HLS and DASH from files or live streams"),
    "probe": ("probe", "inspect, judge or watch a stream"),
    "videogen": ("videogen", "make a test stream with clock, tone and readable time"),
    "calc-hardware": ("calc_hardware", "what hardware a load needs, and what load hardware carries"),
    "serve": ("serve", "the media server"),
    "formats": ("formats", "containers, codecs and URI schemes that evotools reads and writes"),
    "completion": ("completion", "completion script for bash, zsh or fish"),
    "help": ("help", "help on a command, a URI scheme or the exit codes"),
    "version": ("version", "version of evotools and of the libraries it uses"),
}
"""Command to module (in evotools.commands) and summary."""
STAGES = ("ingest", "relay", "segment", "package", "videogen")
"""Commands that may be a stage of a route of `serve`."""


def load_command(name: str) -> "ModuleType":
    """The module of one command."""
    return import_module(f"evotools.commands.{COMMANDS[name][0]}")


def click_command(name: str) -> Any:
    """The parser of one command, made from its option declarations by Typer."""
    import typer
    from typer.main import get_command

    module = load_command(name)
    app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["--help"]})
    app.command(name=name)(module.command)
    command = get_command(app)
    for option in command.params:
        # One rule from flag to environment, whatever the Python parameter is called.
        if option.envvar is None and option.param_type_name == "option" and option.name != "help":
            option.envvar = ENV_PREFIX + _long(option).upper().replace("-", "_")
    return command


ENV_PREFIX = "EVOTOOLS_"


def _long(option: Any) -> str:
    """The name of an option: its first long flag without dashes."""
    found: str = next((flag for flag in option.opts if flag.startswith("--")), option.opts[0])
    return found.lstrip("-")


def _default_map(command: Any, table: dict[str, Any]) -> dict[str, Any]:
    """A command's table of a configuration file, keyed as Typer wants it: by parameter instead of by option."""
    options = [p for p in command.params if p.param_type_name == "option"]
    flags = {flag[2:]: p.name for p in options for flag in p.opts if flag.startswith("--")}
    names = {p.name for p in command.params}
    return {
        key if key in names else flags.get(key.strip("_").replace("_", "-"), key): value for key, value in table.items()
    }


def show_help(name: str, *, brief: bool = False, color: str = "auto") -> None:
    """Print what a command does: all of it, or one screen."""
    from evotools.commands.docs import text
    from evotools.commands.docs.model import document
    from evotools.commands.globals import use_color

    render = text.brief if brief else text.full
    print(render(document(name), width=text.terminal_width(), color=use_color(color, sys.stdout)))  # noqa: T201


def parse_job(
    name: str, argv: Sequence[str], defaults: dict[str, Any] | None = None, *, color: str = "auto"
) -> "Job | int":
    """The job that `evotools NAME ARGV…` describes, or an exit code (help was shown). Raises UsageError."""
    arguments = list(argv)
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--help" in before or "-h" in before:
        show_help(name, brief="--help" not in before, color=color)
        return 0
    import typer

    command = click_command(name)
    module = load_command(name)
    translate = getattr(module, "translate_argv", None)
    if translate is not None:
        arguments = translate(arguments)
    try:
        job = command.main(
            arguments, prog_name=f"evotools {name}", standalone_mode=False,
            default_map=_default_map(command, defaults or {}),
        )  # fmt: skip
    except typer.TyperException as error:
        raise UsageError(error.format_message(), hint=f"see evotools {name} --help") from None
    except SystemExit:
        # Typer ends the program, with 1, when a report that a command prints meets a reader that left.
        raise BrokenPipeError from None
    return 0 if job is None else job


def parse_route(argv: Sequence[str]) -> "RouteSpec":
    """The RouteSpec of one stage of a route written as a command, for `serve`. Raises UsageError."""
    from evotools.pipeline.job import RouteJob

    if not argv or argv[0] not in STAGES:
        raise UsageError(f"a stage of a route is {', '.join(STAGES[:-1])} or {STAGES[-1]}")
    job = parse_job(argv[0], argv[1:])
    if not isinstance(job, RouteJob):
        raise UsageError(f"{argv[0]}: not a route")
    return job.spec
