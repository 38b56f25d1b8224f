"""Sources and sinks: what `ingest`, `relay`, `probe`, `videogen` and `serve` open by URI.

A source yields batches of events; a sink takes them. Both are opened and closed by the pipeline on the event loop;
work that blocks (libav, slow disks) runs in threads behind the same calls.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from evotools.media.frame import Event, Metadata
from evotools.media.track import Track
from evotools.uri import Uri

if TYPE_CHECKING:
    from evotools.hub.hub import Hub


@dataclass(slots=True)
class Context:
    """What endpoints may use of their surroundings. Commands use the default; `serve` sets the hub."""

    hub: "Hub | None" = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Command-line options by name; the URI query was already preferred to them."""
    trusted: bool = True
    """False for URIs that came through an API: no exec:, fd: or local paths."""
    on_file: Callable[[str, Mapping[str, Any]], None] | None = None
    """Told the path of each file that is complete (and of a manifest when it can be played first), with facts about it
    for the event log. Called on the event loop; never blocks, never raises."""
    on_event: Callable[[str, Mapping[str, Any]], None] | None = None
    """Takes entries for the event log, by name. Called like `on_file`."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A sink's answer to a track that it cannot carry."""

    track: Track
    reason: str


class Source(ABC):
    """One live or stored stream.

    `open` connects or binds and returns when a peer is there (a listener waits for its publisher). Then `read`
    gives non-empty batches of events in order, the first event being `Tracks`; an empty batch is the end.
    """

    uri: Uri
    live: bool = True
    """Media arrives at its own pace and cannot wait."""
    format: str = ""
    """Container named by `-f`; empty means: look at the bytes."""
    container: str = ""
    """Container that is being read, once it is known; empty for protocols that have none."""
    duration_s: float | None = None
    """How long stored media is, once it is open and where it tells."""

    @abstractmethod
    async def open(self) -> None:
        """Raises UnreachableError, RefusedError, UsageError."""

    @abstractmethod
    async def read(self) -> list[Event]:
        """The next batch; empty at the end of the media. Raises PeerGone, MediaError, ProtocolError."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Safe to call twice and before `open`."""


class Sink(ABC):
    """Where media goes: one destination.

    Order of calls: `open`, `start(tracks)`, `write(events)`…, `finish`, `close`. `start` is called again when the
    track list changes.
    """

    uri: Uri
    format: str = ""
    """Container named by `-f`; empty means: the URI tells."""
    latency: Literal["normal", "low"] = "normal"
    """`low`: no grouping of frames in the container."""
    realtime: bool = False
    """The peer expects media at the pace of its timestamps."""
    reconnects: bool = False
    """Opening again after a failure makes sense (network peers)."""
    live: bool = True
    """Set by the route before `open`: the media arrives at its own pace, by the wall clock."""

    @abstractmethod
    async def open(self) -> None:
        """Raises UnreachableError, RefusedError, UsageError."""

    def offer(self, tracks: Sequence[Track]) -> list[Refusal]:
        """Which of these tracks cannot be carried, and why. Called before `start`; refused tracks are left out."""
        return []

    def describe(self, metadata: Metadata) -> bool:
        """Take the publisher's onMetaData, before `start`, where the format has a place for it in its header.

        False: it has none, and the event comes by `write` like others.
        """
        return False

    @abstractmethod
    async def start(self, tracks: Sequence[Track]) -> None:
        """Begin an epoch. Raises MediaError."""

    @abstractmethod
    async def write(self, events: Sequence[Event]) -> None:
        """Frames (and metadata) of tracks given to `start`. Waits while the peer is slow."""

    @abstractmethod
    async def finish(self) -> None:
        """Write trailers and leave a complete result behind."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything, finished or not. Safe to call twice and before `open`."""
