"""The completion script for zsh: `_arguments` per command, a helper function per kind of value."""

from evotools.commands.docs.model import Document, Parameter
from evotools.commands.docs.shells import (
    HEADER,
    describe,
    everywhere,
    first_sentence,
    helpers,
    inherited,
    instead,
    own,
    slots,
)
from evotools.commands.docs.values import Value


def script(docs: list[Document]) -> str:
    """The script."""
    lines = ["#compdef evotools", f"# {HEADER}", ""]
    named = helpers(docs)
    for value, name in named.items():
        lines += [f"(( $+functions[_evotools_{name}] )) ||", f"_evotools_{name}() {{", *_offers(value), "}", ""]
    lines += [
        "(( $+functions[_evotools_commands] )) ||",
        "_evotools_commands() {",
        "  local -a commands",
        "  commands=(",
    ]
    lines += [f"    {_quote(doc.name + ':' + doc.summary)}" for doc in docs]
    lines += ["  )", "  _describe -t commands 'evotools command' commands", "}", ""]
    lines += ["_evotools() {", '  local curcontext="$curcontext" state line ret=1', "  typeset -A opt_args"]
    lines += ["  _arguments -C -s \\"]
    lines += [f"    {spec} \\" for option in [*everywhere(), *instead()] for spec in _option(option, named)]
    lines += ["    '(-): :->command' \\", "    '*:: :->arguments' && ret=0", "", "  case $state in"]
    lines += ["    (command) _evotools_commands && ret=0 ;;", "    (arguments)"]
    lines += ['      curcontext="${curcontext%:*:*}:evotools-$words[1]:"', "      case $words[1] in"]
    for doc in docs:
        lines += [f"        ({doc.name})", "          _arguments -s -S \\"]
        specs = [spec for option in [*own(doc), *inherited(doc)] for spec in _option(option, named)]
        for slot in slots(doc):
            argument = slot.parameter
            number = "*" if argument.repeats else str(slot.number)
            optional = ":" if argument.required or argument.repeats else "::"
            specs.append(_quote(f"{number}{optional}{_escape(argument.metavar)}:{_action(argument.value, named)}"))
        lines += [f"            {spec} \\" for spec in specs[:-1]]
        lines += [f"            {specs[-1]} && ret=0", "          ;;"]
    lines += ["        (*) _default && ret=0 ;;", "      esac", "      ;;", "  esac", "  return ret", "}", ""]
    lines += ["if [[ $funcstack[1] == _evotools ]]; then", '  _evotools "$@"', "else", "  compdef _evotools evotools"]
    lines += ["fi", ""]
    return "\n".join(lines)


def _option(option: Parameter, named: dict[Value, str]) -> list[str]:
    """The specs of one option: all its names exclude one another, unless it repeats."""
    names = [*option.flags, *option.off]
    exclude = "*" if option.repeats else f"({' '.join(names)})" if len(names) > 1 else ""
    text = f"[{_escape(first_sentence(option.help))}]"
    tail = f":{_escape(option.metavar)}:{_action(option.value, named)}" if option.metavar else ""
    made = []
    for name in names:
        mark = ("=" if name.startswith("--") else "+") if option.metavar else ""
        made.append(_quote(f"{exclude}{name}{mark}{text}{tail}"))
    return made


def _action(value: Value, named: dict[Value, str]) -> str:
    if value.kind == "file":
        return "_files"
    if value.kind == "folder":
        return "_files -/"
    if value in named:
        return f"_evotools_{named[value]}"
    return f"({' '.join(value.words)})" if value.words else " "


def _offers(value: Value) -> list[str]:
    """The body of a helper function."""
    lines = ["  local ret=1"]
    for name, entries, more in (("words", value.words, ""), ("beginnings", value.beginnings, " -S ''")):
        if entries:
            lines += [f"  local -a {name}", f"  {name}=("]
            lines += [f"    {_quote(_entry(entry))}" for entry in entries]
            lines += ["  )", f"  _describe -t {name} value {name}{more} && ret=0"]
    if value.files or value.folders:
        lines.append(f"  _files{'' if value.files else ' -/'} && ret=0")
    return [*lines, "  return ret"]


def _entry(word: str) -> str:
    text = describe(word)
    escaped = word.replace("\\", "\\\\").replace(":", "\\:")
    return f"{escaped}:{text}" if text else escaped


def _escape(text: str) -> str:
    """For the inside of a spec."""
    for char in "\\:[]":
        text = text.replace(char, f"\\{char}")
    return text


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
