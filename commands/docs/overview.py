"""`evotools -h` and `evotools --help`: all commands on one screen. Imports no command and no Typer."""

from evotools.commands.globals import EXIT_CODES, GLOBAL_OPTIONS, PROGRAM_OPTIONS
from evotools.commands.parser import COMMANDS

SUMMARY = "Stream utilities that chain by pipes, and a media server made of the same parts."
EXAMPLES = (
    "evotools videogen --duration 10s | evotools relay out.ts",
    "evotools relay -i film.mp4 rtmp://localhost/live/film",
    "evotools serve",
)


def overview(*, brief: bool, color: bool) -> str:
    """The program's help; `brief` fits a screen of 24 lines."""
    width = max(map(len, COMMANDS)) + 2
    lines = ["Usage: evotools [GLOBAL] COMMAND [OPTIONS] [ARGUMENT…]", ""]
    if not brief:
        lines += [SUMMARY, ""]
    lines += ["Examples:", *(f"  {line}" for line in EXAMPLES), "", "Commands:"]
    lines += [f"  {name:<{width}}{summary}" for name, (_, summary) in COMMANDS.items()]
    if not brief:
        options = [(", ".join(o.flags) + (f" {o.metavar}" if o.metavar else ""), o.help) for o in GLOBAL_OPTIONS]
        lines += ["", "Global options (before or after the command):", *_rows(options)]
        options = [(", ".join(o.flags), o.help) for o in PROGRAM_OPTIONS]
        lines += ["", "In place of a command:", *_rows(options)]
        lines += ["", "Exit codes:", *(f"  {line}" for line in exit_table().splitlines())]
    lines += ["", "evotools COMMAND -h shows a command, --help all of it; evotools help -a everything."]
    text = "\n".join(lines)
    if color:
        for name in COMMANDS:
            text = text.replace(f"\n  {name} ", f"\n  \x1b[1;36m{name}\x1b[0m ")
        for title in ("Usage:", "Examples:", "Commands:", "Global options", "In place of a command:", "Exit codes:"):
            text = text.replace(title, f"\x1b[1m{title}\x1b[0m")
    return text


def exit_table() -> str:
    """The table of exit codes."""
    return "\n".join(f"{code:<5}{meaning}" for code, meaning in EXIT_CODES.items())


def _rows(options: list[tuple[str, str]]) -> list[str]:
    width = max(len(left) for left, _ in options) + 2
    return [f"  {left:<{width}}{right[0].lower() + right[1:].rstrip('.')}" for left, right in options]
