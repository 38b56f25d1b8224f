"""One reader of a feed: a cursor, a way to write, and what to do when it is slow."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from evotools.hub.limits import MIB

if TYPE_CHECKING:
    from evotools.hub.feed import Feed


class Start(StrEnum):
    """Where a viewer enters."""

    KEYFRAME = "keyframe"
    """At the newest key frame, with everything since: a picture at once, up to a group of pictures late."""
    LIVE = "live"
    """At the next key frame: the least delay, after a wait."""


class Slow(StrEnum):
    """What happens to a viewer that lags more than its policy allows."""

    SKIP = "skip"
    """It goes on at the newest key frame."""
    WAIT = "wait"
    """It lags for as long as the feed still has what it needs, then skips."""
    DISCONNECT = "disconnect"


class Closed(StrEnum):
    """Why a feed let go of a viewer."""

    ENDED = "ended"
    """The stream ended and the viewer got all of it."""
    SLOW = "too slow"
    STALLED = "stalled"
    """The peer took nothing for the policy's `stall_s`."""
    FAILED = "failed"
    """Writing to it, or muxing for it, raised."""


@dataclass(frozen=True, slots=True)
class ViewerPolicy:
    """How a viewer starts and what is done when it is slow. Share one instance among viewers."""

    start: Start = Start.KEYFRAME
    back_s: float = 0.0
    """With Start.KEYFRAME: so many seconds before the newest key frame's, as far as the feed reaches."""
    slow: Slow = Slow.SKIP
    max_lag_s: float = 4.0
    max_lag_bytes: int = 8 * MIB
    stall_s: float = 30.0
    """A viewer whose unsent bytes do not shrink for so long is let go."""


DEFAULT_POLICY = ViewerPolicy()


@dataclass(slots=True)
class Totals:
    """What viewers of one stream got and lost, those that are gone included. Bytes of present viewers are not in it."""

    joined: int = 0
    bytes_sent: int = 0
    """By viewers that left."""
    dropped: int = 0
    """Chunks (mostly one per frame) not sent because viewers were slow."""
    skips: int = 0
    """How often viewers went on at a newer key frame."""
    slow: int = 0
    """Viewers let go by the policy `disconnect`."""
    stalled: int = 0
    """Viewers let go because they took nothing for too long."""
    failed: int = 0
    """Viewers let go because writing to them, or muxing for them, failed."""


class Broadcast(Protocol):
    """A way to write the same bytes to many viewers with one call, which hubs on a plain system do not have."""

    def add(self, viewer: "Viewer") -> None:
        """From now on `write` is for this viewer too; `viewer.socket` says where."""

    def discard(self, viewer: "Viewer") -> None:
        """And no more; safe when it was not in it."""

    def write(self, data: bytes) -> list[tuple["Viewer", int]]:
        """Write `data` to all. Gives those that took less, and how many bytes. Raises OSError."""
        ...


class Viewer:
    """A cursor into a feed. Made by `Feed.join`; ended by `leave`, or by the feed, which then calls `on_close`."""

    __slots__ = (
        "__weakref__", "_bytes", "_chunks", "_since_byte", "_since_chunk", "blocked_at", "cursor", "dropped", "epoch",
        "feed", "head_start", "header", "info", "joined_at", "last_unsent", "on_close", "policy", "skips", "socket",
        "unsent", "write",
    )  # fmt: skip

    def __init__(
        self,
        feed: "Feed",
        write: Callable[[bytes], object],
        unsent: Callable[[], int],
        policy: ViewerPolicy,
        on_close: Callable[[Closed], object] | None,
        info: Any,
        now: float,
        socket: int = -1,
    ) -> None:
        self.feed: Feed | None = feed
        """None after the viewer left or was let go."""
        self.write = write
        self.unsent = unsent
        self.socket = socket
        """Descriptor of the connection when bytes may go to it past `write` while `unsent` gives 0; -1 otherwise."""
        self.policy = policy
        self.on_close = on_close
        self.info = info
        """Whatever the owner wants to find again, for lists of viewers."""
        self.joined_at = now
        self.cursor = 0
        """Index of the next chunk; meaningless while the viewer moves with the feed's head."""
        self.epoch = 0
        """The last epoch whose header the viewer got; 0 before the first."""
        self.header = b""
        """To be written before the next chunk."""
        self.head_start = (0, 0.0)
        """Bytes and seconds by which it may lag beyond its policy until it has caught up once: it began behind."""
        self.blocked_at = now
        self.last_unsent = 0
        self.dropped = 0
        """Chunks not sent because the viewer was slow."""
        self.skips = 0
        self._bytes = 0
        self._chunks = 0
        # While the viewer moves with the head, its share is the head's advance since these marks: counting costs
        # nothing per viewer and write.
        self._since_byte = -1
        self._since_chunk = 0

    @property
    def bytes(self) -> int:
        """Bytes given to `write` so far."""
        if self._since_byte < 0 or self.feed is None:
            return self._bytes
        return self._bytes + self.feed.head_byte - self._since_byte

    @property
    def chunks(self) -> int:
        """Chunks (mostly one per frame) given to `write` so far."""
        if self._since_byte < 0 or self.feed is None:
            return self._chunks
        return self._chunks + self.feed.head - self._since_chunk

    @property
    def live(self) -> bool:
        """Whether the viewer has everything that was flushed."""
        return self._since_byte >= 0

    def leave(self) -> None:
        """Stop reading; `on_close` is not called. Safe to call twice."""
        if self.feed is not None:
            self.feed.remove(self)

    def ride(self, head_byte: int, head: int) -> None:
        """For the feed: the viewer moves with the head from here on."""
        self._since_byte = head_byte
        self._since_chunk = head

    def dismount(self, head_byte: int, head: int) -> None:
        """For the feed: the viewer has its own cursor again."""
        if self._since_byte >= 0:
            self._bytes += head_byte - self._since_byte
            self._chunks += head - self._since_chunk
            self._since_byte = -1

    def sent(self, size: int, chunks: int) -> None:
        """For the feed: count what was written outside the head group."""
        self._bytes += size
        self._chunks += chunks
