"""What a path of the HTTP media port means. Pure: whether the thing exists is not asked here."""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from evotools.server import names

Kind = Literal["live", "master", "media", "segment", "json", "index", "player", "health", "asset", "other"]

_SEGMENT = re.compile(r"[0-9a-f]{9,16}-[0-9]{1,15}")
"""Session and media sequence number, as `packaging.window` and `listeners.hls` write them."""


class Route(NamedTuple):
    """A path understood."""

    kind: Kind
    name: str = ""
    """Of the stream, unchecked."""
    detail: str = ""
    """live: the format; master: URI of the media playlist; segment: its name; asset: the file."""


@lru_cache(maxsize=2048)  # Players ask for a few paths again and again.
def classify(path: str) -> Route:
    """The meaning of a decoded path."""
    head, _, last = path.rpartition("/")
    stem, _, extension = last.rpartition(".")
    if stem:
        if extension == "ts":
            if _SEGMENT.fullmatch(stem):
                return Route("segment", head[1:], stem)
            return Route("live", path[1:-3], "ts")
        if extension in names.LIVE:
            return Route("live", path[1 : -len(extension) - 1], extension)
        if extension == "m3u8":
            if last == names.INDEX_M3U8:
                return Route("master", head[1:], names.MEDIA_M3U8)
            if last == names.MEDIA_M3U8:
                return Route("media", head[1:])
            return Route("master", path[1:-5], f"{stem}/{names.MEDIA_M3U8}")
        if head == f"/{names.WEB}":
            return Route("asset", "", last)
    if path == "/":
        return Route("index")
    if last and path.startswith(f"/{names.JSON}/"):
        return Route("json", path[len(names.JSON) + 2 :])
    if not last:
        return Route("player", head[1:])
    if path == f"/{names.HEALTH}":
        return Route("health")
    return Route("other", path[1:])
