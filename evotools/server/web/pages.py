"""The pages that the HTTP listener shows. Everything from outside is escaped; scripts and styles are files of ours."""

import re
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote

_HERE = Path(__file__).parent
_FIELD = re.compile(r"\{\{(\w+)\}\}")

ASSETS = {
    "page.css": "text/css; charset=utf-8",
    "hls.js": "text/javascript; charset=utf-8",
    "player.js": "text/javascript; charset=utf-8",
    "socket.js": "text/javascript; charset=utf-8",
}
"""Files below `/web/` and their types."""

BROWSER_FILES = frozenset({"mp4", "m4v", "m4a", "webm", "ogg", "oga", "opus", "ogv", "aac", "mp3", "flac", "wav"})
"""Suffixes of files that browsers play as they are, as far as the codecs allow."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
"""Content-Security-Policy of every page: nothing inline, nothing foreign."""


@cache
def asset(name: str) -> bytes:
    """The bytes of one of ASSETS."""
    if name not in ASSETS:
        raise KeyError(name)
    return (_HERE / name).read_bytes()


@cache
def _template(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _fill(template: str, values: dict[str, str]) -> bytes:
    # One pass: what a value holds is never looked at again.
    return _FIELD.sub(lambda match: values[match[1]], _template(template)).encode()


def player(name: str, query: str, *, with_hls: bool) -> bytes:
    """The player page of a stream, to be served at `/NAME/`; every link on it is relative.

    `query` is raw; it goes along on media links, since it may hold the token that the page itself needed.
    """
    last = name.rpartition("/")[2]
    tail = f"?{query}" if query else ""
    values = {
        "name": escape(name),
        "root": "../" * (name.count("/") + 1),
        "hls": escape(f"index.m3u8{tail}") if with_hls else "",
        "mp4": escape(f"../{last}.mp4{tail}"),
        "flv": escape(f"../{last}.flv{tail}"),
        "ts": escape(f"../{last}.ts{tail}"),
        "mkv": escape(f"../{last}.mkv{tail}"),
    }
    return _fill("player.html", values)


def film(name: str, query: str, suffix: str) -> bytes:
    """The page of a file, to be served at `/NAME/`; `suffix` is that of the file itself."""
    last = quote(name.rpartition("/")[2])
    tail = f"?{query}" if query else ""
    links = [
        f'<a href="{escape(f"../{last}.{form}{tail}")}">{label}</a>'
        for form, label in (("mp4", "MP4"), ("mkv", "Matroska"), ("ts", "MPEG-TS"), ("flv", "FLV"))
    ]
    shown = suffix if suffix in BROWSER_FILES else "mp4"
    values = {
        "name": escape(name),
        "root": "../" * (name.count("/") + 1),
        "source": escape(f"../{last}.{shown}{tail}"),
        "own": escape(f"../{last}.{suffix}{tail}"),
        "links": " ".join(links),
    }
    return _fill("film.html", values)


def index(streams: list[str], *, with_hls: bool, films: Sequence[str] = ()) -> bytes:
    """The page at `/`: the streams on air and the forms they come in, and the files of folders that are listed."""
    rows = []
    for name in streams:
        text = escape(name)
        links = [f'<a href="{text}.{suffix}">{suffix.upper()}</a>' for suffix in ("flv", "ts", "mp4", "mkv")]
        if with_hls:
            links.insert(0, f'<a href="{text}/index.m3u8">HLS</a>')
        rows.append(f'<li><a class="name" href="{text}/">{text}</a> <span>{" ".join(links)}</span></li>')
    listing = f"<ul>{''.join(rows)}</ul>" if rows else "<p>Nothing is on air yet.</p>"
    rows = [f'<li><a class="name" href="{escape(quote(name))}/">{escape(name)}</a></li>' for name in films]
    shelf = f"<h2>Files</h2><ul>{''.join(rows)}</ul>" if rows else ""
    return _fill("index.html", {"streams": listing, "films": shelf})
