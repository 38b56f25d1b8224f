"""The completion script for fish: one `complete` a word, bound to the command that stands on the line."""

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

_FUNCTIONS = """\
# Whether command $argv[1] stands on the line; an empty one: none does yet. With a
# number, whether the cursor is at that argument of it.
function __evotools_at
    set -l words (commandline -opc)
    set -l command ''
    set -l position 1
    set -l skip 0
    for word in $words[2..-1]
        if test $skip = 1
            set skip 0
        else if string match -q -- '-?*' $word
            if not string match -q -- '*=*' $word
                and contains -- "$command $word" $__evotools_valued
                or contains -- $word $__evotools_valued_anywhere
                set skip 1
            end
        else if test -z "$command"
            set command $word
        else
            set position (math $position + 1)
        end
    end
    test "$command" = "$argv[1]"
    and test -z "$argv[2]" -o "$position" = "$argv[2]"
end
"""


def script(docs: list[Document]) -> str:
    """The script."""
    valued = [f"{doc.name} {flag}" for doc in docs for option in doc.options if option.metavar for flag in option.flags]
    anywhere = [flag for option in everywhere() if option.metavar for flag in option.flags]
    lines = [f"# {HEADER}", "", f"set -g __evotools_valued_anywhere {' '.join(anywhere)}"]
    lines += [
        "set -g __evotools_valued \\",
        *(f"    {_quote(word)} \\" for word in valued[:-1]),
        f"    {_quote(valued[-1])}",
    ]
    lines += ["", _FUNCTIONS.rstrip(), ""]
    named = helpers(docs)
    for value, name in named.items():
        lines += [f"function __evotools_{name}", *_offers(value), "end", ""]
    lines += ["complete -c evotools -f", ""]
    lines += [_complete("''", option, named) for option in [*everywhere(), *instead()]]
    lines += [f"complete -c evotools -n \"__evotools_at ''\" -a {doc.name} -d {_quote(doc.summary)}" for doc in docs]
    for doc in docs:
        lines += ["", f"# {doc.name}"]
        for slot in slots(doc):
            argument = slot.parameter
            at = doc.name if argument.repeats else f"{doc.name} {slot.number}"
            if argument.value:
                lines.append(
                    f"complete -c evotools -n '__evotools_at {at}'{_value(argument.value, named, required=False)}"
                )
        lines += [_complete(doc.name, option, named) for option in [*own(doc), *inherited(doc)]]
    return "\n".join([*lines, ""])


def _complete(command: str, option: Parameter, named: dict[Value, str]) -> str:
    """One line for all names of an option and one for what switches it off."""
    head = f'complete -c evotools -n "__evotools_at {command}"'
    text = f" -d {_quote(first_sentence(option.help))}"
    names = "".join(_name(flag) for flag in option.flags)
    line = head + names + (_value(option.value, named, required=True) if option.metavar else "") + text
    if option.off:
        line += "\n" + head + "".join(_name(flag) for flag in option.off) + text
    return line


def _name(flag: str) -> str:
    if flag.startswith("--"):
        return f" -l {flag[2:]}"
    return f" -s {flag[1:]}" if len(flag) == 2 else f" -o {flag[1:]}"


def _value(value: Value, named: dict[Value, str], *, required: bool) -> str:
    needs = " -r" if required else ""
    files = " -F" if value.files else " -f"
    if value in named:
        return f"{needs}{files} -a '(__evotools_{named[value]})'"
    if value.folders:
        return f"{needs}{files} -a '(__fish_complete_directories)'"
    return f"{needs}{files}" + (f" -a {_quote(' '.join(value.words))}" if value.words else "")


def _offers(value: Value) -> list[str]:
    """The body of a helper function: a value a line, its meaning behind a tab."""
    lines = []
    for word in (*value.words, *value.beginnings):
        text = describe(word)
        lines.append(f"    printf '%s\\t%s\\n' {_quote(word)} {_quote(text)}" if text else f"    echo {_quote(word)}")
    return [*lines, "    __fish_complete_directories"] if value.folders else lines


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
