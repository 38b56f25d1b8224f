"""The pages that the HTTP listener shows. Everything from outside is escaped; scripts and styles are files of ours."""

import re
from functools import cache
from html import escape
from pathlib import Path

_HERE = Path(__file__).parent
_FIELD = re.compile(r"\{\{(\w+)\}\}")

ASSETS = {
    "page.css": "text/css; charset=utf-8",
    "hls.js": "text/javascript; charset=utf-8",
    "player.js": "text/javascript; charset=utf-8",
    "socket.js": "text/javascript; charset=utf-8",
}
"""Files below `/web/` and their types."""

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
    }
    return _fill("player.html", values)


def index(streams: list[str], *, with_hls: bool) -> bytes:
    """The page at `/`: the streams on air and the forms they come in."""
    rows = []
    for name in streams:
        text = escape(name)
        links = [f'<a href="{text}.flv">FLV</a>', f'<a href="{text}.ts">TS</a>']
        if with_hls:
            links.insert(0, f'<a href="{text}/index.m3u8">HLS</a>')
        rows.append(f'<li><a class="name" href="{text}/">{text}</a> <span>{" ".join(links)}</span></li>')
    listing = f"<ul>{''.join(rows)}</ul>" if rows else "<p>Nothing is on air yet.</p>"
    return _fill("index.html", {"streams": listing})
