"""What every live container implements: bytes in, events out; frames in, bytes out. No I/O, no clock.

Three answers: an event, an error (`ParseError`), or nothing yet. Input may be split anywhere.
"""

from collections.abc import Sequence
from typing import Protocol

from evotools.errors import ParseError
from evotools.media.frame import Event, Frame
from evotools.media.track import Track


class Foreign(ParseError):
    """The container is sound, but something in it is only read by libav. Raised before any event."""


class NeedsSeeking(ParseError):
    """The container cannot be read from the front: media lies before what describes it. Raised before any event."""


class Demuxer(Protocol):
    """Feed bytes, get events in order. A `Tracks` event comes before the first frame and at every change.

    A demuxer that may raise Foreign or NeedsSeeking has `sure`, true once it will not; one whose container tells how
    long it is has `duration_s`.
    """

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Events completed by `data`. Raises ParseError when the input cannot be this container."""
        ...

    def flush(self) -> list[Event]:
        """End of input: events still held back."""
        ...


class Muxer(Protocol):
    """Give frames, get bytes. One instance serves one output (or one feed shared by many viewers).

    A muxer whose format can hold timed data also has `write_metadata(metadata: Metadata) -> bytes`: its bytes at this
    place of the output. Called before `start` it gives nothing; the header then has the `onMetaData`, and a place for
    timed data where the format announces one.
    """

    mime: str

    def accepts(self, track: Track) -> bool:
        """Whether this container has a name for the track's codec."""
        ...

    def start(self, tracks: Sequence[Track]) -> bytes:
        """Begin an epoch with these tracks; its header. Called again when the track list changes.

        Raises MediaError when a track cannot be carried.
        """
        ...

    def write(self, frame: Frame) -> bytes:
        """The bytes of this frame, and of what was held before it; may be empty."""
        ...

    def finish(self) -> bytes:
        """The trailer and what was held back."""
        ...
