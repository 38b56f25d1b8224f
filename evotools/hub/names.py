"""Stream names: what they may look like, and which are taken by URLs that mean something else."""

import re
from dataclasses import dataclass, field

from evotools.errors import RefusedError

MAX_NAME = 255
"""One path component of every common file system, since recordings and segments are named after streams."""

_ALLOWED = re.compile(r"[A-Za-z0-9_\-/.+]+")


@dataclass(frozen=True, slots=True)
class ReservedNames:
    """Names that URLs of the server give a meaning, all in lower case; see the table in the server's HTTP front end."""

    first: frozenset[str] = field(default_factory=frozenset)
    """First path segments, such as `json` and `embed`."""
    last: frozenset[str] = field(default_factory=frozenset)
    """Last path segments, such as `index.m3u8` and `whip`."""
    suffixes: tuple[str, ...] = ()
    """Ends of the last segment, with their dot, such as `.flv`."""


NOTHING_RESERVED = ReservedNames()


def check_name(name: str, reserved: ReservedNames = NOTHING_RESERVED) -> str:
    """`name` itself when a stream may be called so. Raises RefusedError that says what is wrong with it."""
    if len(name) > MAX_NAME:
        raise RefusedError(f"stream name '{name[:32]}…' is longer than {MAX_NAME} characters", hint="use a shorter one")
    if not _ALLOWED.fullmatch(name):
        raise RefusedError(f"{name!r} is not a stream name", hint="use letters, digits and _ - / . + only")
    segments = name.split("/")
    for segment in segments:
        if segment in ("", ".", ".."):
            raise RefusedError(
                f"{name!r} is not a stream name", hint="no part between slashes may be empty, '.' or '..'"
            )
    # What follows a `+` may be put into the path or the command of a configured source.
    rest = name.partition("+")[2]
    if rest.startswith("-") or any(piece in (".", "..") for piece in re.split("[/+]", rest)):
        raise RefusedError(f"{name!r} is not a stream name", hint="after + no part may be '.' or '..', or begin with -")
    first, last = segments[0].lower(), segments[-1].lower()
    if first in reserved.first or last in reserved.last or last.endswith(reserved.suffixes or "/"):
        taken = segments[0] if first in reserved.first else segments[-1]
        raise RefusedError(
            f"the stream name {name!r} is reserved for a URL of the server",
            hint=f"use another name: {taken!r} is a page, a folder of files or a format there",
        )
    return name


def base_name(name: str) -> str:
    """The part before the first `+`: `cam+alice` is a wildcard stream that takes the configuration of `cam`."""
    return name.partition("+")[0]
