"""evotools.toml(5), from the dataclasses of the server's configuration and the commands' options."""

import ast
import inspect
import re
import sys
from dataclasses import MISSING, Field, fields
from json import dumps
from typing import Any

from evotools.commands.docs.model import Document
from evotools.commands.docs.roff import Page, bold, italic
from evotools.commands.parser import STAGES
from evotools.server.config import SECTIONS, FilesConfig, RouteConfig, StreamConfig, UserConfig
from evotools.units import parse_duration, parse_size

NAMES_RULE = (
    "Names of streams are letters, digits and _ - / . +; no part is empty, . or .., and none is a name to which URLs "
    "give a meaning (index.m3u8, healthz, endings such as .flv). A name with a slash or a dot stands in quotes: "
    '[streams."live/cam"].'
)
WILDCARD = (
    "A name base+anything takes the table of base. In its source $name is the whole name and $wildcard what follows "
    "the plus, which the reader chooses: letters, digits and _ - / . +, never climbing by .. nor beginning with -."
)
EXAMPLE = """\
[access]
allow_publish = ["10.0.0.0/8"]

[streams.test]
source = "test:"

[streams."cam/door"]
source = "rtsp://192.168.1.20/main"
on_demand = true

[[routes]]
run = "ingest udp://:5000 | relay hub:live/feed archive.ts"

[endpoints]
twitch = "rtmp://live.twitch.tv/app/{env:TWITCH_KEY}"

[relay]
reconnect = "3"
"""


def config_page(docs: list[Document]) -> str:
    """The page."""
    page = Page("evotools.toml", 5, "configuration of evotools")
    page.section("Description")
    page.paragraph(
        "A TOML file with two kinds of tables: those of the server, which evotools serve reads from the file that -c "
        "names, and tables named after commands, which hold defaults of their options. One file may have both. A "
        "mistake in the server's tables is an error that names file, line and key, and nothing is opened."
    )
    page.paragraph(
        "The server needs no file. Strength, strongest first: --set SECTION.KEY=VALUE, EVOTOOLS_SECTION__KEY in the "
        "environment, the file, the defaults. evotools serve --check checks a file, --print-config prints the "
        "configuration in force, and SIGHUP makes a running server read it again."
    )
    page.subsection("Values")
    page.paragraph(
        "Durations are texts such as 500ms, 6s, 2m, 1h30m, or numbers of seconds; sizes are texts such as 64KiB, 10MB, "
        "or numbers of bytes; addresses are :1935, 127.0.0.1:1935 or [::1]:1935. Keys may be written with dashes "
        "instead of underscores."
    )
    for name, table in SECTIONS.items():
        page.section(f"[{name}]", as_is=True)
        _keys(page, table, name)
    page.section("[users.NAME]", as_is=True)
    page.paragraph("A user with a password, one table each; given as ?user= and ?pass=, or by HTTP Basic.")
    _keys(page, UserConfig)
    page.section("[streams.NAME]", as_is=True)
    page.paragraph("A stream with a source of its own, one table each.")
    _keys(page, StreamConfig)
    page.paragraph(NAMES_RULE)
    page.paragraph(WILDCARD)
    page.section("[files.NAME]", as_is=True)
    page.paragraph("A folder of media that is served below /NAME/ over HTTP, one table each.")
    _keys(page, FilesConfig)
    page.section("[[routes]]", as_is=True)
    page.paragraph("A route written as the pipe that one would type; one table each.")
    _keys(page, RouteConfig)
    page.paragraph(
        f"The stages are {', '.join(STAGES[:-1])} and {STAGES[-1]}, parsed by their own option declarations, never by "
        "a shell; they run in one process with no pipe between. --print-config of these commands prints the table that "
        "does their job."
    )
    page.section("[endpoints]", as_is=True)
    page.tagged(rf"{italic('name')} = {italic('URI')}",
                "Makes name: a URI of the server and of the commands. A name may not be that of a scheme.")  # fmt: skip
    page.section("Tables of commands")
    page.paragraph(
        "Keys are the long options without their dashes, values texts; on/off options take true and false, options "
        "that repeat a list. An option beats EVOTOOLS_<OPTION>, which beats the table."
    )
    for doc in docs:
        if doc.configured:
            page.tagged(bold(f"[{doc.name}]"), ", ".join(option.long[2:] for option in doc.options) + ".")
    page.section("Files")
    page.paragraph("Commands other than serve read, strongest first:")
    page.tagged(f"{bold('--config')} {italic('FILE')}", "The file of this run; also EVOTOOLS_CONFIG.")
    page.tagged(italic("$XDG_CONFIG_HOME/evotools/config.toml"), "The user's; ~/.config without the variable.")
    page.tagged(italic("/etc/evotools/config.toml"), "The system's.")
    page.paragraph("--no-config ignores them. serve reads one file, named by -c or EVOTOOLS_CONFIG, and no other.")
    page.section("Example")
    page.example(EXAMPLE)
    page.see_also(["evotools(1)", "evotools-serve(1)", "evotools-uris(7)"])
    return page.text()


def _keys(page: Page, table: type, section: str = "") -> None:
    described = field_docs(table)
    for key in fields(table):
        meaning = described.get(key.name, "")
        choices = key.metadata.get("choices")
        if choices:
            meaning += f" One of {', '.join(choices)}."
        default = default_text(key)
        more = [f"Default: {default}."] if default else []
        if section and section in SECTIONS:
            more.append(f"Environment: EVOTOOLS_{section.upper()}__{key.name.upper()}.")
        page.tagged(bold(key.name), meaning, *([" ".join(more)] if more else []))


def default_text(key: "Field[Any]") -> str:
    """A default as TOML."""
    value: Any = key.default
    if value is MISSING:
        value = key.default_factory() if callable(key.default_factory) else ""
    convert = key.metadata.get("convert")
    if value == "":
        return '""'
    if convert is parse_duration:
        return f'"{value:g}s"'
    if convert is parse_size and not value % 2**20:
        return f'"{value // 2**20}MiB"'
    if isinstance(value, bool):
        return "true" if value else "false"
    return dumps(value)


def field_docs(table: type) -> dict[str, str]:
    """The texts under the fields of a dataclass: one line of documentation each, which Python itself throws away."""
    found: dict[str, str] = {}
    tree = ast.parse(inspect.getsource(sys.modules[table.__module__]))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == table.__name__)
    previous = ""
    for statement in body.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and previous:
            found[previous] = re.sub(r"\s+", " ", str(statement.value.value)).strip()
        target = statement.target if isinstance(statement, ast.AnnAssign) else None
        previous = target.id if isinstance(target, ast.Name) else ""
    return found
