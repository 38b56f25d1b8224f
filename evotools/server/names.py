"""The one table of URL parts that mean something to the server. Publishing under one is refused.

The routes of the listeners are written with these constants, so that a new route cannot be forgotten here.
"""

from collections.abc import Iterable
from dataclasses import replace

from evotools.hub.names import ReservedNames

INDEX_M3U8 = "index.m3u8"
MEDIA_M3U8 = "media.m3u8"
HEALTH = "healthz"
WEB = "web"
"""Folder of the pages' scripts and styles."""
JSON = "json"
"""Folder of what players are told of streams."""
LIVE = frozenset({"flv", "ts", "mp4", "mkv", "webm", "ogg", "aac", "mp3"})
"""Suffixes, without the dot, under which a stream is one endless answer."""

FIRST = frozenset({
    HEALTH, WEB, JSON,
    "api", "console", "embed", "favicon.ico", "metrics", "player.js", "robots.txt", "static", ".well-known",
})  # fmt: skip
"""First segments, some for services to come: a name that is free today must not break a stream tomorrow."""

LAST = frozenset({INDEX_M3U8, MEDIA_M3U8, "manifest.mpd", "manifest", "manifest.f4m", "whip", "whep"})
"""Last segments, in lower case."""

SUFFIXES = (
    *sorted(f".{suffix}" for suffix in LIVE),
    ".m3u8", ".mpd", ".m4s", ".f4m", ".jpg", ".html", ".js", ".css", ".json", ".vtt", ".key",
)  # fmt: skip
"""Ends of the last segment that choose a format."""

RESERVED = ReservedNames(first=FIRST, last=LAST, suffixes=SUFFIXES)
"""For `Hub(reserved=...)`."""


def reserved(folders: Iterable[str] = ()) -> ReservedNames:
    """RESERVED, and the names of folders of files, under which no stream can be found."""
    return replace(RESERVED, first=FIRST | {name.lower() for name in folders})
