"""What the hub may use: one place for every cap."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from evotools.hub.viewer import ViewerPolicy

MIB = 1024 * 1024


FlushInterval = float | Literal["auto"]
"""Seconds between the writes to viewers: 0 sends every pushed batch at once, `auto` follows the load."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What one stream has of its own; None leaves it to the listener or the hub."""

    flush_interval: FlushInterval | None = None
    policy: "ViewerPolicy | None" = None
    takeover: bool | None = None
    """A second publisher replaces the first."""


DEFAULT_SETTINGS = StreamSettings()


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps and times of the hub. Everything a peer can make grow has one."""

    streams: int = 10_000
    """A stream with neither publisher nor media costs some 5 kB; the cap stops name floods."""
    feeds_per_stream: int = 16
    """A feed costs one mux of the stream; track selections in URLs could ask for any number."""
    listeners_per_stream: int = 64
    ring_s: float = 4.0
    """Media kept beyond the newest group of pictures: what a slow viewer may lag before it must skip."""
    ring_bytes: int = 32 * MIB
    """Per stream, and again per feed: 20 Mbit/s for 12 s."""
    ring_items: int = 50_000
    """Per stream, and again per feed: floods of tiny frames cost objects, not bytes."""
    grace_s: float = 10.0
    """How long a stream outlives its publisher, so that a reconnect continues its viewers."""
    start_s: float = 15.0
    """How long a stream that is started on demand may stay without its publisher."""
