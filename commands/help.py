"""`evotools help [TOPIC]`: commands, URI schemes, exit codes."""

from typing import Annotated, Any

import typer

from evotools.commands.globals import exit_codes

SUMMARY = "help on a command, a URI scheme or the exit codes"
EPILOG = """Examples:

  evotools help relay

  evotools help uri:rtmp

  evotools help -a

  evotools help uri:udp --json | jq .options"""
EXIT_CODES = exit_codes()
TOPICS = ("exit-codes", "uris")


def command(
    topic: Annotated[
        str,
        typer.Argument(metavar="[COMMAND|uri:SCHEME|uris|exit-codes]", help="What to explain; nothing: all commands."),
    ] = "",
    every: Annotated[bool, typer.Option("--all", "-a", help="All commands with their synopses.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with all details.")] = False,
) -> Any:
    """Explain a command, a URI scheme, all URI schemes or the exit codes.

    stdout: the help.
    """
    import json

    if every or not topic:
        print(json.dumps(_all_json(), ensure_ascii=False) if as_json else _all() if every else _overview())  # noqa: T201
        return
    answer = _json(topic) if as_json else _text(topic)
    if answer is None:
        raise _unknown(topic)
    print(json.dumps(answer, ensure_ascii=False) if as_json else answer)  # noqa: T201


def _overview() -> str:
    import sys

    from evotools.commands.docs.overview import overview
    from evotools.commands.globals import use_color

    return overview(brief=False, color=use_color("auto", sys.stdout))


def _text(topic: str) -> str | None:
    import sys

    from evotools.commands.docs import text, uris
    from evotools.commands.docs.model import document
    from evotools.commands.docs.overview import exit_table
    from evotools.commands.globals import use_color
    from evotools.commands.parser import COMMANDS

    if topic in COMMANDS:
        return text.full(document(topic), width=text.terminal_width(), color=use_color("auto", sys.stdout))
    if topic == "exit-codes":
        return exit_table()
    if topic == "uris":
        return text.schemes(uris.scheme_docs(), width=text.terminal_width())
    if topic.startswith("uri:"):
        scheme = uris.scheme_doc(topic.removeprefix("uri:"))
        return None if scheme is None else text.scheme(scheme, width=text.terminal_width())
    return None


def _json(topic: str) -> dict[str, Any] | None:
    from evotools.commands.docs import uris
    from evotools.commands.docs.model import document
    from evotools.commands.parser import COMMANDS

    if topic in COMMANDS:
        return {"schema": "evotools.help/1", **_command_json(document(topic))}
    if topic == "exit-codes":
        from evotools.commands.globals import EXIT_CODES as CODES

        return {"schema": "evotools.help/1", "exit_codes": {str(code): meaning for code, meaning in CODES.items()}}
    if topic == "uris":
        return {"schema": "evotools.help/1", "schemes": [_scheme_json(s) for s in uris.scheme_docs()]}
    if topic.startswith("uri:"):
        scheme = uris.scheme_doc(topic.removeprefix("uri:"))
        return None if scheme is None else {"schema": "evotools.uri/1", **_scheme_json(scheme)}
    return None


def _all() -> str:
    from evotools.commands.docs import text
    from evotools.commands.docs.model import documents

    return text.synopses(documents(), width=text.terminal_width())


def _all_json() -> dict[str, Any]:
    from evotools.commands.docs.model import documents, global_parameters

    return {
        "schema": "evotools.help/1",
        "commands": [_command_json(doc) for doc in documents()],
        "global_options": [_parameter_json(option) for option in global_parameters()],
    }


def _command_json(doc: Any) -> dict[str, Any]:
    from evotools.commands.docs.text import synopsis

    return {
        "name": doc.name,
        "summary": doc.summary,
        "synopsis": synopsis(doc),
        "description": "\n\n".join(doc.paragraphs),
        "stdout": doc.stdout,
        "arguments": [_parameter_json(p) for p in doc.arguments],
        "options": [_parameter_json(p) for p in doc.options],
        "examples": list(doc.examples),
        "exit_codes": {str(code): meaning for code, meaning in doc.exits},
    }


def _parameter_json(given: Any) -> dict[str, Any]:
    return {
        "names": [*given.flags, *given.off] or [given.metavar],
        "value": given.metavar or None,
        "choices": list(given.value.words) or None,
        "help": given.help,
        "default": given.default or None,
        "environment": given.env or None,
        "group": given.group if given.flags else None,
        "required": given.required,
        "repeats": given.repeats,
    }


def _scheme_json(given: Any) -> dict[str, Any]:
    return {
        "scheme": given.name,
        "summary": given.summary,
        "read": given.reads,
        "write": given.writes,
        "listens": given.listens,
        "local": given.local,
        "options": given.options,
        "example": given.example,
    }


def _unknown(topic: str) -> Exception:
    from difflib import get_close_matches

    from evotools.commands.parser import COMMANDS
    from evotools.endpoints.registry import FOREIGN, SCHEMES
    from evotools.errors import UsageError

    schemes = [f"uri:{name}" for name in (*SCHEMES, *FOREIGN)]
    near = get_close_matches(topic, [*COMMANDS, *TOPICS, *schemes], 3)
    if not near and topic.startswith("uri:"):
        return UsageError(f"no URI scheme '{topic[4:]}'", hint="evotools help uris lists them")
    return UsageError(
        f"no help on '{topic}'", hint=f"did you mean {' or '.join(near)}?" if near else "see evotools help"
    )
