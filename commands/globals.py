"""What every command shares, as data: global options, exit codes, environment, colour. Imports nothing heavy."""

import os
from typing import Any, NamedTuple


class GlobalOption(NamedTuple):
    """An option that stands before or after the name of any command."""

    flags: tuple[str, ...]
    help: str
    metavar: str = ""
    """Empty for a switch."""
    default: str = ""

    @property
    def env(self) -> str:
        """The environment variable that gives its default; only options with a value have one."""
        return "EVOTOOLS_" + self.flags[-1].lstrip("-").replace("-", "_").upper() if self.metavar else ""


GLOBAL_OPTIONS = (
    GlobalOption(("-q", "--quiet"), "Errors only."),
    GlobalOption(("-v", "--verbose"), "Connections and tracks too."),
    GlobalOption(("-vv",), "Protocol messages too, and the trace of an error."),
    GlobalOption(("--log-format",), "Form of the messages on standard error.", "text|json", "text"),
    GlobalOption(("--events",), "Write events, one JSON object a line, to a file, a descriptor or standard error.",
                 "FILE|fd:N|stderr"),
    GlobalOption(("--color",), "Colours; auto: on a terminal, unless NO_COLOR is set.", "auto|always|never", "auto"),
    GlobalOption(("--config",), "Defaults of options from this file, over those of the user and the system.", "FILE"),
    GlobalOption(("--no-config",), "Read no configuration file."),
    GlobalOption(("--print-config",), "Print the TOML that makes serve do this job, and exit."),
    GlobalOption(("--dry-run",), "Say what would happen, and exit."),
)  # fmt: skip
PROGRAM_OPTIONS = (
    GlobalOption(("-h",), "Help on one screen."),
    GlobalOption(("--help",), "All of the help."),
    GlobalOption(("-V", "--version"), "Versions of evotools and its libraries."),
)
"""Options in place of a command; help also behind its name."""

EXIT_CODES = {
    0: "done (also: --duration reached, end of input, serve drained)",
    1: "failed at run time",
    2: "usage or configuration error; nothing was opened",
    3: "negative verdict or partial result (a probe check failed, a destination was given up)",
    4: "could not reach or bind: name, route, port, TLS, missing file",
    5: "refused: credentials, stream key, name in use",
    6: "unsuitable media: unknown container, codec the sink cannot carry",
    7: "no media in time",
    8: "a bug in evotools",
    130: "SIGINT, after a clean finish",
    143: "SIGTERM, after a clean finish",
    141: "the reader of standard output left",
}
"""Numbers are never reused; a script takes an unknown one as failure."""


def exit_codes(*codes: int, **meanings: str) -> dict[int, str]:
    """The `EXIT_CODES` of a command: these, usage errors, bugs and signals; `_3="…"` gives a code a meaning of its own
    (the general one otherwise)."""
    own = {int(name[1:]): text for name, text in meanings.items()}
    return {code: own.get(code, "") for code in EXIT_CODES if code in (0, 2, 8, *codes, *own) or code > 128}


ENVIRONMENT = {
    "EVOTOOLS_<OPTION>": "Default of an option of every command that has it: upper case, dashes as underscores "
    "(EVOTOOLS_TIMEOUT=5s). An on/off option takes 1 or 0; one that repeats takes values separated by blanks.",
    "EVOTOOLS_<SECTION>__<KEY>": "A key of the server's configuration: EVOTOOLS_HUB__GRACE=30s.",
    "EVOTOOLS_SERVER": "Where hub: URIs of a command find the server; default rtmp://127.0.0.1:1935.",
    "EVOTOOLS_LOOP": "asyncio keeps serve from using uvloop.",
    "NO_COLOR, FORCE_COLOR": "No colours, colours without a terminal.",
    "XDG_CONFIG_HOME": "Folder of the user's configuration; default ~/.config.",
    "SSL_CERT_FILE": "File of trusted certificates for https, rtsps and rtmps.",
    "TWITCH_KEY, YOUTUBE_KEY, FACEBOOK_KEY": "Stream keys of the destinations twitch:, youtube: and facebook:.",
}
FILES = {
    "$XDG_CONFIG_HOME/evotools/config.toml": "The user's defaults.",
    "/etc/evotools/config.toml": "The system's defaults.",
}
CONFIGLESS = ("completion", "formats", "help", "serve", "version")
"""Commands that take no defaults from configuration files: serve reads its one file itself, the others only tell."""


def use_color(choice: str, stream: Any) -> bool:
    """--color beats NO_COLOR beats FORCE_COLOR beats the terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"
