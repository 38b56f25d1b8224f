"""Help for the terminal, from the same documents as the manual pages."""

import re
import shutil
import textwrap

from evotools.commands.docs import uris
from evotools.commands.docs.model import GENERAL, Document, Parameter
from evotools.commands.docs.uris import SchemeDoc

MAX_WIDTH = 100
"""Longer lines are hard to read."""
_LEFT = 26
"""Columns of the option names; a longer one stands on a line of its own."""
_BOLD, _NAME, _OFF = "\x1b[1m", "\x1b[36m", "\x1b[0m"


def terminal_width() -> int:
    """Columns to fill; 80 where there is no terminal."""
    return min(shutil.get_terminal_size((80, 24)).columns, MAX_WIDTH)


def full(doc: Document, *, width: int, color: bool) -> str:
    """Everything about one command, examples first."""
    page = _Page(width, color)
    page.add(f"{page.bold('Usage:')} evotools {doc.name}{' [OPTIONS]' if doc.options else ''}{_arguments(doc)}", "")
    for paragraph in doc.paragraphs:
        page.add(*page.wrap(paragraph), "")
    page.examples(doc)
    for note in doc.notes:
        page.add(*page.wrap(note), "")
    if doc.arguments:
        page.add(page.bold("Arguments:"), *page.rows(doc.arguments), "")
    for group, options in doc.groups.items():
        page.add(page.bold(f"{'Options' if group == GENERAL and len(doc.groups) == 1 else group}:"))
        page.add(*page.rows(options), "")
    if doc.stdout:
        page.add(*page.wrap(f"Standard output: {doc.stdout}", hang=2), "")
    exits = "; ".join(f"{code} {_short(meaning)}" for code, meaning in doc.exits if code <= 8)
    page.add(*page.wrap(f"Exit codes: {exits}.", hang=2), "")
    page.add("Global options (-q, -v, --events, --config, --dry-run …): evotools --help")
    page.add(*page.wrap("See also: " + ", ".join(see_also(doc)), hang=2))
    return page.text()


def brief(doc: Document, *, width: int, color: bool) -> str:
    """One screen: what it does, examples, and the names of the options."""
    page = _Page(width, color)
    page.add(f"{page.bold('Usage:')} evotools {doc.name}{' [OPTIONS]' if doc.options else ''}{_arguments(doc)}", "")
    page.add(*page.wrap(doc.paragraphs[0] if doc.paragraphs else doc.summary), "")
    page.examples(doc, 3)
    for group, options in doc.groups.items():
        title = f"{'Options' if group == GENERAL and len(doc.groups) == 1 else group}:"
        names = "  ".join(usage_of(option, short=False).replace(" ", "\u00a0") for option in options)
        lines = page.wrap(f"{title} {names}", hang=2)
        page.add(page.bold(title) + lines[0][len(title) :].replace("\u00a0", " "))
        page.add(*(line.replace("\u00a0", " ") for line in lines[1:]))
    page.add("", f"evotools {doc.name} --help explains them.")
    return page.text()


def synopsis(doc: Document) -> str:
    """`evotools NAME [-i IN] [--[no-]pace] … DEST…`"""
    options = [f"[{usage_of(option)}]{'…' if option.repeats else ''}" for option in doc.options]
    return " ".join(["evotools", doc.name, *options]) + _arguments(doc)


def usage_of(option: Parameter, *, short: bool = True) -> str:
    """One spelling of an option with its value: `-i IN`, `--input IN`, `--[no-]pace`."""
    name = option.flags[0] if short else option.long
    if option.metavar:
        return f"{name} {option.metavar}"
    if option.off and option.off[0] == f"--no-{option.long.removeprefix('--')}":
        return f"--[no-]{option.long.removeprefix('--')}"
    return "|".join((name, *option.off))


def names_of(option: Parameter) -> str:
    """All spellings: `-i, --input IN`, `--pace, --no-pace`."""
    return ", ".join((*option.flags, *option.off)) + (f" {option.metavar}" if option.metavar else "")


def see_also(doc: Document) -> list[str]:
    """Where to read on."""
    return [f"evotools help {topic}" for topic in (*doc.related, "uris", "exit-codes")] + [f"man evotools-{doc.name}"]


def _arguments(doc: Document) -> str:
    return "".join(
        f" {a.metavar}{'…' if a.repeats else ''}" if a.required else f" [{a.metavar}]{'…' if a.repeats else ''}"
        for a in doc.arguments
    )


def _short(meaning: str) -> str:
    """A meaning without its explanation: one line lists many."""
    return meaning.split(" (")[0].split(": ")[0].split("; ")[0]


class _Page:
    def __init__(self, width: int, color: bool) -> None:
        self._width = width
        self._color = color
        self._lines: list[str] = []

    def add(self, *lines: str) -> None:
        self._lines += lines

    def text(self) -> str:
        return "\n".join(self._lines).rstrip()

    def bold(self, text: str) -> str:
        return f"{_BOLD}{text}{_OFF}" if self._color else text

    def wrap(self, text: str, *, hang: int = 0) -> list[str]:
        return textwrap.wrap(text, self._width, subsequent_indent=" " * hang, break_long_words=False,
                             break_on_hyphens=False)  # fmt: skip

    def examples(self, doc: Document, limit: int | None = None) -> None:
        """As they are typed: a wrapped command line cannot be copied."""
        if doc.examples:
            lines = [f"  {line}" for example in doc.examples[:limit] for line in example.splitlines()]
            self.add(self.bold("Examples:"), *lines, "")

    def rows(self, parameters: "list[Parameter] | tuple[Parameter, ...]") -> list[str]:
        """Two columns: names, and what they mean with default and environment variable."""
        left = min(max(len(_left(p)) for p in parameters) + 4, _LEFT)
        lines: list[str] = []
        for parameter in parameters:
            name = _left(parameter)
            shown = f"  {_NAME}{name}{_OFF}" if self._color else f"  {name}"
            text = textwrap.wrap(
                _explained(parameter), max(self._width - left, 30), break_long_words=False, break_on_hyphens=False
            ) or [""]
            if len(name) + 4 > left:
                lines.append(shown)
            else:
                lines.append(f"{shown}{' ' * (left - len(name) - 2)}{text.pop(0)}".rstrip())
            lines += [" " * left + line for line in text]
        return lines


def _left(parameter: Parameter) -> str:
    if parameter.flags:
        return names_of(parameter)
    return f"{parameter.metavar}{'…' if parameter.repeats else ''}"


def _explained(parameter: Parameter) -> str:
    facts = []
    if parameter.default:
        facts.append(f"default: {parameter.default}")
    if parameter.env:
        facts.append(parameter.env)
    return parameter.help + (f" [{'; '.join(facts)}]" if facts else "")


def scheme(doc: SchemeDoc, *, width: int) -> str:
    """One URI scheme."""
    page = _Page(width, color=False)
    page.add(f"{doc.form}  {doc.summary}", "", f"  {doc.example}", "", f"Directions: {doc.directions}.")
    if doc.listens:
        page.add(*page.wrap(f"{doc.form}:PORT listens: an empty or wildcard host waits for a peer.", hang=2))
    if doc.local:
        page.add(*page.wrap("From the command line and the configuration file only, never through an API.", hang=2))
    if doc.options:
        page.add("", "Options in the query:")
        left = max(map(len, doc.options)) + 4
        for name, meaning in doc.options.items():
            lines = textwrap.wrap(meaning, max(width - left, 30), break_on_hyphens=False)
            page.add(f"  {name:<{left - 2}}{lines[0] if lines else ''}".rstrip(), *(" " * left + s for s in lines[1:]))
    if doc.name == "test":
        page.add(*page.wrap("  v.NAME, a.NAME, opt.NAME: options of the video encoders, of the audio encoders, of "
                            "those that know them.", hang=4))  # fmt: skip
    if doc.name in uris.KEEPS_QUERY:
        page.add("", *page.wrap("Other names in the query go to the peer."))
    return page.text()


def schemes(docs: list[SchemeDoc], *, width: int) -> str:
    """All URI schemes, and the rules that they share."""
    page = _Page(width, color=False)
    left = max(len(doc.form) for doc in docs) + 4
    for doc in docs:
        page.add(f"  {doc.form:<{left - 2}}{doc.directions:<13}{doc.summary}")
    for rule in (uris.LISTENING, uris.QUERY, uris.PLACEHOLDERS, uris.SECRETS, uris.NAMED):
        page.add("", *page.wrap(rule))
    page.add("", "evotools help uri:SCHEME tells the options of one; man evotools-uris all.")
    return page.text()


def synopses(docs: list[Document], *, width: int) -> str:
    """All commands: what each does and how it is called."""
    page = _Page(width, color=False)
    for doc in docs:
        page.add(f"{doc.name}: {doc.summary}")
        # The value belongs to its option: no break between them.
        glued = re.sub(r"\[[^\]]*\]|\S+", lambda found: found[0].replace(" ", "\u00a0"), synopsis(doc))
        lines = textwrap.wrap(glued, width - 2, subsequent_indent="    ", break_long_words=False,
                              break_on_hyphens=False)  # fmt: skip
        page.add(*("  " + line.replace("\u00a0", " ") for line in lines), "")
    page.add("Global options stand before or after the command: evotools --help")
    return page.text()
