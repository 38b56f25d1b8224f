"""URIs of the command line and the configuration, with placeholders expanded and named endpoints looked up."""

import os
from pathlib import Path

from evotools.endpoints.registry import FOREIGN, SCHEMES
from evotools.errors import UsageError
from evotools.log import protect
from evotools.uri import Uri, expand

_named: dict[str, str] = {}
SERVICES = {
    "twitch": ("rtmps://ingest.global-contribute.live-video.net:443/app/", "TWITCH_KEY"),
    "youtube": ("rtmps://a.rtmps.youtube.com:443/live2/", "YOUTUBE_KEY"),
    "facebook": ("rtmps://live-api-s.facebook.com:443/rtmp/", "FACEBOOK_KEY"),
}
"""Ingest addresses that these services publish, and the variable with the stream key behind a bare `name:`."""


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


def _service(name: str, rest: str) -> str:
    address, variable = SERVICES[name]
    if rest and not rest.startswith("?"):
        return address + rest
    if not os.environ.get(variable):
        raise UsageError(
            f"{name}: there is no stream key",
            hint=f'export {variable}=…, or name a destination of your own: [endpoints] {name} = "rtmps://…"',
        )
    return f"{address}{{env:{variable}}}{rest}"


def parse_uri(text: str) -> Uri:
    """Parse, expand `{env:…}` and `{file:…}`, resolve `name:`; registers secrets with the log. Raises UsageError.

    `twitch:`, `youtube:` and `facebook:` are the services' ingest with the key of the environment, or the one behind
    the colon, and its query; names of the configuration win.
    """
    name, _, rest = text.partition(":")
    if text.endswith(":") and name in _named:
        text = _named[name]
    elif name in SERVICES and not rest.startswith("/"):
        text = _service(name, rest)
    uri = Uri.parse(text, env=os.environ.get, read_file=_read_file)
    protect(uri.secrets())
    return uri
