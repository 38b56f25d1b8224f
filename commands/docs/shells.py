"""What the completion scripts of all shells share: one flat view of options and arguments."""

from dataclasses import dataclass

from evotools.commands.docs.model import Document, Parameter, global_parameters, program_parameters
from evotools.commands.docs.values import Value

HEADER = "Generated from the commands' declarations by `make docs`; do not edit."


@dataclass(frozen=True, slots=True)
class Slot:
    """An argument by its position, counted from 1; the last one may repeat."""

    number: int
    parameter: Parameter


def slots(doc: Document) -> list[Slot]:
    """The arguments of a command."""
    return [Slot(number, argument) for number, argument in enumerate(doc.arguments, 1)]


def everywhere() -> list[Parameter]:
    """Global options, and help."""
    return [*global_parameters(), *(p for p in program_parameters() if "--version" not in p.flags)]


def instead() -> list[Parameter]:
    """Options that stand in place of a command only."""
    return [p for p in program_parameters() if "--version" in p.flags]


def own(doc: Document) -> list[Parameter]:
    """Options of a command that are not global ones too (serve declares --config itself)."""
    taken = {flag for option in everywhere() for flag in option.flags}
    return [option for option in doc.options if not taken & set(option.flags) - {"-c"}]


def inherited(doc: Document) -> list[Parameter]:
    """Global options as they are behind this command: where it declares one itself, with its flags."""
    declared = {flag: option for option in doc.options for flag in option.flags}
    return [declared.get(option.flags[-1], option) for option in everywhere()]


def first_sentence(text: str) -> str:
    """A description of one line, without its full stop."""
    end = text.find(". ")
    short = text if end < 0 else text[:end]
    return short.split("; ")[0].rstrip(".")


def helpers(docs: list[Document]) -> dict[Value, str]:
    """Values that get a helper function, with its name: those of a kind, and those that are no plain list of words."""
    found: dict[Value, str] = {}
    for doc in docs:
        for parameter in (*doc.options, *doc.arguments, *everywhere()):
            value = parameter.value
            if not (value.words or value.beginnings) or value in found:
                continue
            if value.kind:
                found[value] = value.kind
            elif value.beginnings or value.files or value.folders:
                found[value] = f"mixed_{sum(not other.kind for other in found) + 1}"
    return found


def describe(beginning: str) -> str:
    """What a beginning or word of a URI stands for, or an empty text."""
    from evotools.commands.docs.uris import scheme_doc

    doc = scheme_doc(beginning.removeprefix("uri:"))
    return doc.summary if doc else ""
