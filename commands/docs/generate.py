"""All generated files, by path below the root of the repository."""

from collections.abc import Callable
from pathlib import Path

from evotools.commands.docs import bash, fish, zsh
from evotools.commands.docs.model import Document, documents

COMPLETIONS: dict[str, tuple[str, Callable[[list[Document]], str]]] = {
    "bash": ("completions/bash/evotools", bash.script),
    "zsh": ("completions/zsh/_evotools", zsh.script),
    "fish": ("completions/fish/evotools.fish", fish.script),
}
"""Shell to file and writer. The names are those by which the shells find them in their folders."""


def completion(shell: str) -> str:
    """The completion script of one shell."""
    return COMPLETIONS[shell][1](documents())


def files() -> dict[str, str]:
    """Path to content of everything in `completions/` and `man/`."""
    from evotools.commands.docs.pages import command_page, program_page
    from evotools.commands.docs.pages_config import config_page
    from evotools.commands.docs.pages_uris import uris_page

    docs = documents()
    made = {path: write(docs) for path, write in COMPLETIONS.values()}
    made["man/evotools.1"] = program_page(docs)
    made |= {f"man/evotools-{doc.name}.1": command_page(doc) for doc in docs}
    made["man/evotools.toml.5"] = config_page(docs)
    made["man/evotools-uris.7"] = uris_page()
    return made


def write(root: Path) -> list[str]:
    """Write what differs below `root`, and remove pages of commands that are gone; the paths that changed."""
    made = files()
    changed = []
    for path in sorted({str(p.relative_to(root)) for p in (root / "man").glob("*.[0-9]")} - made.keys()):
        (root / path).unlink()
        changed.append(path)
    for path, text in made.items():
        target = root / path
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
            changed.append(path)
    return changed
