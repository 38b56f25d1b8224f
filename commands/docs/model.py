"""The commands as documents: what their modules and option declarations say, in one form for help, man and shells."""

import inspect
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from evotools.commands.docs.values import Value, bare, value_of
from evotools.commands.globals import CONFIGLESS, EXIT_CODES, GLOBAL_OPTIONS, PROGRAM_OPTIONS, GlobalOption

GENERAL = "General"
"""Group of options that name no group."""
_DEFAULT = re.compile(r"\s*\[default: ([^\]]+)\]|\s*[Dd]efault: ([^.;]+)\.$")
_EXAMPLE = re.compile(r"^(evotools |# |.*(\| |<\(|\$\()evotools )", re.MULTILINE)
_STDOUT = re.compile(r"(?:^|(?<=[.!]) )stdout: ")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One option or argument."""

    name: str
    """Of the Python parameter: the key in default maps."""
    flags: tuple[str, ...]
    """Short ones first; empty for an argument."""
    off: tuple[str, ...]
    """What switches it off."""
    metavar: str
    """Empty for a switch."""
    help: str
    default: str
    env: str
    group: str
    required: bool
    repeats: bool
    value: Value

    @property
    def long(self) -> str:
        """The long option, or the only one there is."""
        return next((flag for flag in self.flags if flag.startswith("--")), self.flags[0] if self.flags else "")


@dataclass(frozen=True)
class Document:
    """One command."""

    name: str
    summary: str
    paragraphs: tuple[str, ...]
    """The docstring, without what it says about standard output."""
    stdout: str
    examples: tuple[str, ...]
    notes: tuple[str, ...]
    """Paragraphs among the examples that are no examples."""
    arguments: tuple[Parameter, ...]
    options: tuple[Parameter, ...]
    exits: tuple[tuple[int, str], ...]
    configured: bool
    """Takes defaults from configuration files."""

    @cached_property
    def groups(self) -> dict[str, list[Parameter]]:
        """Options by group, in the order of declaration; those without one last."""
        found: dict[str, list[Parameter]] = {}
        for option in self.options:
            found.setdefault(option.group, []).append(option)
        if GENERAL in found:
            found[GENERAL] = found.pop(GENERAL)
        return found

    @cached_property
    def related(self) -> list[str]:
        """Other commands that its examples use."""
        return sorted(set(re.findall(r"\bevotools ([a-z-]+)", "\n".join(self.examples))) - {self.name})


def document(name: str) -> Document:
    """The document of one command of COMMANDS."""
    from evotools.commands.parser import COMMANDS, click_command, load_command

    module = load_command(name)
    stdout = ""
    paragraphs = []
    for paragraph in _paragraphs(inspect.cleandoc(module.command.__doc__ or "")):
        before, *told = _STDOUT.split(paragraph, maxsplit=1)
        stdout = told[0] if told else stdout
        if before:
            paragraphs.append(before)
    examples, notes = [], []
    for block in re.split(r"\n\s*\n", re.sub(r"^\s*Examples:", "", getattr(module, "EPILOG", ""))):
        text = inspect.cleandoc(block)
        if _EXAMPLE.search(text):
            examples.append(text)
        elif text:
            notes.append(" ".join(text.split()))
    parameters = [_parameter(p) for p in click_command(name).params]
    return Document(
        name=name,
        summary=COMMANDS[name][1],
        paragraphs=tuple(paragraphs),
        stdout=stdout,
        examples=tuple(examples),
        notes=tuple(notes),
        arguments=tuple(p for p in parameters if not p.flags),
        options=tuple(p for p in parameters if p.flags and p.long != "--help"),
        exits=tuple((code, own or EXIT_CODES[code]) for code, own in _exits(module).items()),
        configured=name not in CONFIGLESS,
    )


def documents() -> list[Document]:
    """All commands in the order of COMMANDS."""
    from evotools.commands.parser import COMMANDS

    return [document(name) for name in COMMANDS]


def global_parameters() -> list[Parameter]:
    """The options that every command takes."""
    return [_global(option) for option in GLOBAL_OPTIONS]


def program_parameters() -> list[Parameter]:
    """The options in place of a command."""
    return [_global(option) for option in PROGRAM_OPTIONS]


def _exits(module: Any) -> dict[int, str]:
    """Exit codes of a command: its `EXIT_CODES` (an empty meaning is the general one), or all there are."""
    own: dict[int, str] = getattr(module, "EXIT_CODES", None) or dict.fromkeys(EXIT_CODES, "")
    return {code: own[code] for code in EXIT_CODES if code in own}


def _global(option: GlobalOption) -> Parameter:
    return Parameter(
        name=option.flags[-1].lstrip("-").replace("-", "_"), flags=option.flags, off=(), metavar=option.metavar,
        help=option.help, default=option.default, env=option.env, group="Global", required=False,
        repeats=option.flags[0] in ("-v",), value=value_of(option.metavar),
    )  # fmt: skip


def _parameter(given: Any) -> Parameter:
    """From the parameter objects that Typer makes."""
    positional = given.param_type_name == "argument"
    switch = bool(getattr(given, "is_flag", False)) or bool(getattr(given, "count", False))
    metavar = "" if switch else given.metavar or _metavar(given.type) or given.name.strip("_").upper()
    if positional:
        metavar = bare(metavar)
    text = " ".join((given.help or "").split())
    found = _DEFAULT.search(text)
    default = _default(given, switch)
    if found and not default:
        default = (found[1] or found[2]).strip()
        text = (text[: found.start()] + text[found.end() :]).strip().rstrip(";").strip()
    return Parameter(
        name=given.name,
        flags=() if positional else tuple(sorted(given.opts, key=lambda flag: (flag.startswith("--"), len(flag)))),
        off=tuple(given.secondary_opts),
        metavar=metavar,
        help=text if not text or text.endswith((".", "!", "?", ")")) else text + ".",
        default=default,
        env=given.envvar if isinstance(given.envvar, str) else "",
        group=getattr(given, "rich_help_panel", None) or GENERAL,
        required=bool(given.required),
        repeats=bool(getattr(given, "multiple", False)) or given.nargs == -1,
        value=value_of(metavar) or value_of(_metavar(given.type)),
    )


def _metavar(kind: Any) -> str:
    """A metavar from the type, where the declaration gives none."""
    choices = getattr(kind, "choices", None)
    if choices:
        return "|".join(str(getattr(choice, "value", choice)) for choice in choices)
    return {"path": "FILE", "filename": "FILE", "integer": "N", "float": "N"}.get(getattr(kind, "name", ""), "")


def _default(given: Any, switch: bool) -> str:
    value = given.default
    if switch and value is not None:
        return str((given.opts if value else given.secondary_opts)[0]) if given.secondary_opts else ""
    if value is None or value == "" or value == () or value == [] or callable(value):
        return ""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(getattr(value, "value", value))


def _paragraphs(text: str) -> list[str]:
    return [" ".join(block.split()) for block in re.split(r"\n\s*\n", text) if block.strip()]
