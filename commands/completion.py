"""`evotools completion SHELL`: the script that makes bash, zsh or fish complete evotools' command lines."""

from typing import Annotated, Any

import typer

from evotools.commands.globals import exit_codes

SUMMARY = "completion script for bash, zsh or fish"
EPILOG = """Examples:

  evotools completion bash >~/.local/share/bash-completion/completions/evotools

  evotools completion zsh >"${fpath[1]}/_evotools"

  evotools completion fish >~/.config/fish/completions/evotools.fish

  source <(evotools completion bash)

The first three install it for good (bash needs the package bash-completion to load it from there), the last one for the
running bash. A new version of evotools brings new options: write the script again. Packages put the scripts into
share/bash-completion/completions, share/zsh/site-functions and share/fish/vendor_completions.d by themselves."""
EXIT_CODES = exit_codes()


def command(
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="The shell that will read the script.")],
) -> Any:
    """Print the completion script of a shell.

    It completes commands, options, values, URI schemes and file names, and starts no program to do so.

    stdout: the script.
    """
    from evotools.commands import options
    from evotools.commands.docs.generate import completion

    print(completion(options.choice(shell, ("bash", "zsh", "fish"), "SHELL")), end="")  # noqa: T201
