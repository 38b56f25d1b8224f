"""What may stand where a metavar stands: words, beginnings of URIs, files, folders."""

import re
from dataclasses import dataclass
from functools import cache

_WORD = re.compile(r"-|[a-z0-9][a-z0-9.+-]*")
_KINDS = {
    "FILE": "file", "PATTERN": "file", "PATH": "file", "DIR": "folder", "SOURCE": "source", "IN": "source",
    "DEST": "destination", "OUT": "destination", "OUTPUT": "destination", "FMT": "format", "SEL": "tracks",
    "SECTION.KEY=VALUE": "key", "COMMAND": "command", "uri:SCHEME": "scheme",
}  # fmt: skip
"""Placeholders in metavars; the rest (D, N, RATE, WxH …) is for people to fill in."""


@dataclass(frozen=True, slots=True)
class Value:
    """What completion offers for one argument or one option's value."""

    kind: str = ""
    """A kind of the table above when the metavar is just that; names the shells' helper functions."""
    words: tuple[str, ...] = ()
    """Whole values."""
    beginnings: tuple[str, ...] = ()
    """Values that go on, such as `rtmp://` and `hub.grace=`."""
    files: bool = False
    folders: bool = False

    def __bool__(self) -> bool:
        return bool(self.words or self.beginnings or self.files or self.folders)


def bare(metavar: str) -> str:
    """The metavar of an argument without the marks of optional and repeated ones: `DEST…`, `[OUTPUT]`."""
    text = metavar.strip().removesuffix("…").removesuffix("...")
    return text[1:-1].removesuffix("…").removesuffix("...") if text.startswith("[") and text.endswith("]") else text


def value_of(metavar: str) -> Value:
    """The values that a metavar such as `drop|wait|fail`, `N|forever`, `FILE` or `DEST` stands for."""
    if metavar in _KINDS:
        return _kind(_KINDS[metavar])
    words: list[str] = []
    beginnings: list[str] = []
    files = folders = False
    for token in metavar.split("|") if "|" in metavar else ():
        if token == "fd:N":
            beginnings.append("fd:")
        elif token in _KINDS:
            part = _kind(_KINDS[token])
            words += part.words
            beginnings += part.beginnings
            files, folders = files or part.files, folders or part.folders
        elif _WORD.fullmatch(token):
            words.append(token)
    return Value("", tuple(words), tuple(beginnings), files, folders)


@cache
def _kind(kind: str) -> Value:
    from evotools.commands.parser import COMMANDS
    from evotools.endpoints.bytestream import FORMAT_NAMES
    from evotools.endpoints.registry import FOREIGN, SCHEMES

    match kind:
        case "file":
            return Value(kind, files=True)
        case "folder":
            return Value(kind, folders=True)
        case "format":
            return Value(kind, tuple(sorted(FORMAT_NAMES)))
        case "tracks":
            return Value(kind, ("all", "none", "video", "audio", "data"), ("video:", "audio:", "audio:lang="))
        case "command":
            return Value(kind, tuple(COMMANDS))
        case "scheme":
            return Value(kind, tuple(f"uri:{name}" for name in sorted({*SCHEMES, *FOREIGN})))
        case "key":
            return Value(kind, beginnings=tuple(_config_keys()))
    words, beginnings = [], []
    for scheme in SCHEMES.values():
        if not (scheme.source if kind == "source" else scheme.sink) or scheme.name == "file":
            continue
        if scheme.example in (scheme.name, f"{scheme.name}:"):
            words.append(scheme.example)
        else:
            beginnings.append(f"{scheme.name}:{'//' if '://' in scheme.example else ''}")
    if kind == "source":
        beginnings += [f"{name}://" for name in FOREIGN]
    return Value(kind, tuple(words), tuple(beginnings), files=True)


def _config_keys() -> list[str]:
    from dataclasses import fields

    from evotools.server.config import SECTIONS

    return [f"{section}.{key.name}=" for section, table in SECTIONS.items() for key in fields(table)]
