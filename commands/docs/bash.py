"""The completion script for bash: one table of values, one of options, and the code that looks into them."""

from evotools.commands.docs.model import Document, Parameter
from evotools.commands.docs.shells import HEADER, everywhere, inherited, instead, own, slots
from evotools.commands.docs.values import Value

_SCRIPT = r"""# bash completion for evotools                             -*- shell-script -*-
# @HEADER@

# Sets what may stand behind option or argument $2 of command $1: words, more
# (beginnings of values) and kind (files, folders or nothing). Fails for a switch.
_evotools_value()
{
    words='' more='' kind=nothing
    case "$1 $2" in
@VALUES@
        *) return 1 ;;
    esac
}

# Sets words to the options of command $1.
_evotools_options()
{
    local everywhere='@EVERYWHERE@'
    case $1 in
@OPTIONS@
        *) words='' ;;
    esac
}

# Puts the words before the cursor into line_words. bash breaks at colons and
# equals signs too; what no blank separates belongs together.
_evotools_split()
{
    local line=${COMP_LINE:0:COMP_POINT} word
    line_words=()
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ ${#line_words[@]} -eq 0 || $line == [[:blank:]]* ]]; then
            line_words+=('')
        fi
        line=${line#"${line%%[![:blank:]]*}"}
        # The last word reaches beyond the cursor.
        if [[ ${#word} -gt ${#line} ]]; then
            word=$line
        fi
        line_words[${#line_words[@]}-1]+=$word
        line=${line:${#word}}
    done
}

_evotools()
{
    local IFS=$' \t\n' words more kind line_words word
    local command='' option='' lead='' current position=0 ended='' number breaks='' i
    COMPREPLY=()
    _evotools_split
    number=$((${#line_words[@]} - 1))
    current=${line_words[number]}
    for ((i = 1; i < number; i++)); do
        word=${line_words[i]}
        if [[ $option ]]; then
            option=''
        elif [[ ! $ended && $word == -- ]]; then
            ended=1
        elif [[ ! $ended && $word == -?* ]]; then
            if [[ $word != *=* ]] && _evotools_value "$command" "$word"; then
                option=$word
            fi
        elif [[ ! $command ]]; then
            command=$word
        else
            position=$((position + 1))
        fi
    done

    if [[ ! $option && ! $ended && $current == --*=* ]]; then
        option=${current%%=*}
        lead=$option=
        current=${current#*=}
    fi
    if [[ $option ]]; then
        _evotools_value "$command" "$option" || kind=nothing
    elif [[ ! $ended && $current == -* ]]; then
        more='' kind=nothing
        _evotools_options "$command"
    elif [[ ! $command ]]; then
        words='@COMMANDS@' more='' kind=nothing
    elif ! { _evotools_value "$command" $((position + 1)) || _evotools_value "$command" +; }; then
        more='' kind=nothing words=''
        if [[ ! $current ]]; then
            _evotools_options "$command"
        fi
    fi

    for word in $words; do
        if [[ $word == "$current"* ]]; then
            COMPREPLY+=("$lead$word")
        fi
    done
    for word in $more; do
        if [[ $word == "$current"* ]]; then
            COMPREPLY+=("$lead$word")
        fi
    done
    if [[ ${#COMPREPLY[@]} -eq 1 && " $more " == *" ${COMPREPLY[0]#"$lead"} "* ]]; then
        compopt -o nospace 2>/dev/null
    fi
    if [[ ${#COMPREPLY[@]} -gt 0 && $kind == files ]]; then
        while IFS='' read -r word; do
            COMPREPLY+=("$lead$word")
        done < <(compgen -f -- "$current")
    elif [[ $kind == folders ]]; then
        compopt +o default -o dirnames 2>/dev/null
    elif [[ $kind == nothing || $current == [a-z]*:* ]]; then
        # Where nothing matches, bash would offer files.
        compopt +o default 2>/dev/null
    fi

    # What stands before the last colon or equals sign is no part of the word that bash completes.
    [[ $COMP_WORDBREAKS == *:* ]] && breaks+=:
    [[ $COMP_WORDBREAKS == *=* ]] && breaks+==
    if [[ $breaks ]]; then
        word=$lead$current
        lead=${word%"${word##*[$breaks]}"}
        COMPREPLY=("${COMPREPLY[@]#"$lead"}")
    fi
}

complete -o default -F _evotools evotools
"""


def script(docs: list[Document]) -> str:
    """The script."""
    table: dict[Value, list[str]] = {}

    def add(command: str, names: list[str], value: Value) -> None:
        table.setdefault(_plain(value), []).extend(f"{command}' {name}'" for name in names)

    for option in everywhere():
        if option.metavar:
            add("*", [*option.flags], option.value)
    for doc in docs:
        for option in doc.options:
            if option.metavar:
                add(f"'{doc.name}'", [*option.flags], option.value)
        for slot in slots(doc):
            add(f"'{doc.name}'", ["+" if slot.parameter.repeats else str(slot.number)], slot.parameter.value)
    values = []
    for value, patterns in table.items():
        values.append(f"        {_lines([p.replace(chr(39) * 2, '') for p in patterns])})")
        values.append(f"            {_assignments(value)};;")
    options = [f"        '') words=\"{_names(instead())} $everywhere\" ;;"]
    general = _names(everywhere()).split()
    for doc in docs:
        names = [name for name in _names([*own(doc), *inherited(doc)]).split() if name not in general]
        options.append(f'        {doc.name}) words="{" ".join([*names, "$everywhere"])}" ;;')
    parts = {
        "HEADER": HEADER,
        "EVERYWHERE": _names(everywhere()),
        "VALUES": "\n".join(values),
        "OPTIONS": "\n".join(options),
        "COMMANDS": " ".join(doc.name for doc in docs),
    }
    text = _SCRIPT
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text


def _plain(value: Value) -> Value:
    """The same without its name: equal lists share a branch."""
    return Value("", value.words, value.beginnings, value.files, value.folders)


def _names(options: list[Parameter]) -> str:
    return " ".join(flag for option in options for flag in (*option.flags, *option.off))


def _assignments(value: Value) -> str:
    parts = []
    if value.words:
        parts.append(f"words='{' '.join(value.words)}' ")
    if value.beginnings:
        parts.append(f"more='{' '.join(value.beginnings)}' ")
    if value.files or value.folders:
        parts.append(f"kind={'files' if value.files else 'folders'} ")
    return "".join(parts)


def _lines(patterns: list[str]) -> str:
    """Patterns of one branch, a few a line."""
    lines, line = [], ""
    for pattern in patterns:
        if line and len(line) + len(pattern) > 100:
            lines.append(line)
            line = ""
        line += ("|" if line or lines else "") + pattern
    return "\\\n        ".join([*lines, line])
