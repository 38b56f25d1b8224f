"""`evotools version`: what is installed."""

from typing import Annotated

import typer

from evotools.commands.globals import exit_codes

SUMMARY = "version of evotools and of the libraries it uses"
EPILOG = """Examples:

  evotools version

  evotools version --json | jq -r .av"""
EXIT_CODES = exit_codes()


def versions() -> dict[str, str]:
    """Names and versions of what decides behaviour."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"evotools": "", "python": platform.python_version()}
    for name in ("evotools", "av", "typer", "httptools", "uvloop"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def command(
    json_: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Print the versions of evotools and of the libraries it uses.

    stdout: a line each.
    """
    import json

    found = versions()
    if json_:
        print(json.dumps({"schema": "evotools.version/1", **found}))  # noqa: T201
    else:
        print("\n".join(f"{name} {text}" for name, text in found.items()))  # noqa: T201
