"""What a packager asks for: files to write whole and files to remove, in this order and no other.

Manifests come after the files they name, removals after the manifests that no longer name them, so that whoever
reads the folder at any moment, or after a crash, finds a complete presentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

HLS_NAME = "index.m3u8"
DASH_NAME = "manifest.mpd"
PLAYLIST_NAME = "playlist.m3u8"
STATE_NAME = ".evotools-package.json"
LOCK_NAME = ".evotools-package.lock"
RESERVE_NAME = ".evotools-package.reserve"
"""Room for the manifests of an on-demand presentation: they come when the disk may be full."""

Role = Literal["state", "init", "segment", "playlist", "manifest"]


@dataclass(slots=True)
class Write:
    """One file, whole: written under another name and renamed."""

    path: str
    """Relative to the folder, with `/`."""
    parts: list[bytes]
    role: Role
    facts: Mapping[str, Any] = field(default_factory=dict)
    """For the event log."""


@dataclass(slots=True)
class Remove:
    """A file that no manifest names any more; it may be gone already."""

    path: str


Operation = Write | Remove


def init_name(number: int) -> str:
    """Name of the initialisation segment that the media segment of this number is the first to need.

    Numbers are never used twice, and inputs that are cut alike have the same names, so that one template serves them.
    """
    return f"init-{number}.mp4"


def segment_name(number: int, container: str) -> str:
    """A media segment's name."""
    return f"{number}.{'ts' if container == 'ts' else 'm4s'}"


def is_ours(name: str) -> bool:
    """Whether a file of this name in a rendition's folder was written by a packager, a left-over of one included."""
    if name.startswith(".") and name.endswith(".tmp"):
        name = name[1:-4]
    if name == PLAYLIST_NAME:
        return True
    stem, _, suffix = name.rpartition(".")
    if suffix == "mp4":
        if not stem.startswith("init-"):
            return False
        stem = stem[5:]
    elif suffix not in ("ts", "m4s"):
        return False
    return stem.isascii() and stem.isdigit()
