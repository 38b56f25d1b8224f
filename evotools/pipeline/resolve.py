"""URIs of the command line and the configuration, with placeholders expanded and named endpoints looked up."""

import os
from pathlib import Path

from evotools.endpoints.registry import FOREIGN, SCHEMES
from evotools.errors import UsageError
from evotools.log import protect
from evotools.uri import Uri, expand

_named: dict[str, str] = {}


def name_endpoints(table: dict[str, str]) -> None:
    """Named endpoints of the configuration: `twitch = "rtmp://…/{env:KEY}"` makes `twitch:` a URI.

    Raises UsageError for a name that is a scheme.
    """
    for name in table:
        if name in SCHEMES or name in FOREIGN:
            raise UsageError(f"[endpoints] {name}: is the name of a scheme", hint="use another name")
    _named.clear()
    _named.update(table)


def _read_file(name: str) -> str:
    try:
        with Path(name).open(encoding="utf-8") as file:
            return file.read(65536)
    except OSError as error:
        raise UsageError(f"{{file:{name}}}: {error.strerror}") from None


def expand_secret(text: str) -> str:
    """`text` with `{env:…}` and `{file:…}` expanded, as in URIs. Raises UsageError."""
    return expand(text, os.environ.get, _read_file)


def parse_uri(text: str) -> Uri:
    """Parse, expand `{env:…}` and `{file:…}`, resolve `name:`; registers secrets with the log. Raises UsageError."""
    name = text.partition(":")[0]
    if text.endswith(":") and name in _named:
        text = _named[name]
    uri = Uri.parse(text, env=os.environ.get, read_file=_read_file)
    protect(uri.secrets())
    return uri
