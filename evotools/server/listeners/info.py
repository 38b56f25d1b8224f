"""`/json/PATH`: what players are told of a stream or a file before they choose how to get it."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from evotools.hub.stream import Stream
from evotools.media.track import Track
from evotools.packaging import hls
from evotools.protocols import http1
from evotools.protocols.mediasocket import describe_track
from evotools.server.listeners.formats import FORMATS, parse_selection
from evotools.server.listeners.http_access import CORS
from evotools.server.names import INDEX_M3U8
from evotools.server.vod.files import MEDIA
from evotools.server.vod.title import Title

FIELDS = http1.header_block([("Content-Type", "application/json"), ("Cache-Control", "no-store"), *CORS])
"""Of the answer."""
SOCKETS = frozenset({"flv", "ts", "mp4"})
"""Suffixes that are also spoken over WebSocket."""


def of_stream(name: str, stream: Stream, query: str, *, with_hls: bool) -> bytes:
    """A live stream: its state, tracks and addresses. `query` is raw and goes along, since it may hold a token."""
    sources = _sources(name, stream.tracks, query)
    if with_hls:
        sources.insert(0, {"url": _url(name, f"/{INDEX_M3U8}", query), "protocol": "hls", "type": hls.MIME})
    told: dict[str, Any] = {"name": name, "type": "live", "state": stream.state.value}
    return _written(told, stream.tracks, sources)


def of_title(name: str, title: Title, suffix: str, query: str) -> bytes:
    """A file: how long it is, its tracks and addresses; `suffix` is that under which its own bytes are."""
    sources = [source for source in _sources(name, title.tracks, query) if source["protocol"] != f"http-{suffix}"]
    own = {
        "url": _url(name, f".{suffix}", query),
        "protocol": f"http-{suffix}",
        "type": MEDIA[suffix],
        "seekable": True,
    }
    told: dict[str, Any] = {"name": name, "type": "vod"}
    if title.duration_s is not None:
        told["duration"] = round(title.duration_s, 3)
    return _written(told, title.tracks, [own, *sources])


def _written(told: dict[str, Any], tracks: Sequence[Track], sources: list[dict[str, Any]]) -> bytes:
    told["tracks"] = [_track(track) for track in tracks]
    told["sources"] = sources
    return json.dumps(told, ensure_ascii=False).encode()


def _track(track: Track) -> dict[str, Any]:
    told = describe_track(track)
    if track.bitrate_bps:
        told["bps"] = track.bitrate_bps
    return told


def _sources(name: str, tracks: Sequence[Track], query: str) -> list[dict[str, Any]]:
    """Every form in which at least one track can be had, those with the most tracks first."""
    found: list[dict[str, Any]] = []
    for suffix, form in FORMATS.items():
        carried = parse_selection({}, form).choose(tracks)
        if not carried:
            continue
        source = {
            "url": _url(name, f".{suffix}", query),
            "protocol": form.protocol,
            "type": form.content_type(carried),
            "tracks": [track.id for track in carried],
        }
        found.append(source)
        if suffix in SOCKETS:
            found.append(source | {"protocol": f"ws-{suffix}"})
    return sorted(found, key=lambda source: -len(source["tracks"]))


def _url(name: str, rest: str, query: str) -> str:
    """Relative to the document itself, so that a proxy may put the server below a folder."""
    return "../" * (name.count("/") + 1) + quote(name + rest, safe="/+") + (f"?{query}" if query else "")
