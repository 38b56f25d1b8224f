"""`Frame` and the other events that flow from every source to every sink."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from evotools.media.track import Track

_T = TypeVar("_T")


class Frame:
    """One access unit of one track. A plain slots class: building one costs a fifth of a frozen dataclass.

    Nobody changes a frame after it was published. Times are integers in `track.timescale`, unwrapped to 64 bits.
    Other wire forms (Annex B, ADTS, RTP packets) are computed once through `form` and shared by every reader.
    """

    __slots__ = ("_forms", "dts", "duration", "key", "payload", "pts", "side", "track", "wallclock_s")

    def __init__(
        self,
        track: Track,
        dts: int,
        pts: int,
        payload: bytes,
        duration: int = 0,
        key: bool = False,
        wallclock_s: float | None = None,
        side: dict[str, Any] | None = None,
    ) -> None:
        self.track = track
        self.dts = dts
        self.pts = pts
        self.duration = duration
        """Ticks; 0 when unknown."""
        self.key = key
        """Decoding can start here. Every frame of most audio codecs is a key frame."""
        self.payload = payload
        self.wallclock_s = wallclock_s
        """Unix time of capture when the source knows it."""
        self.side = side
        self._forms: dict[str, Any] | None = None

    def form(self, name: str, build: Callable[["Frame"], _T]) -> _T:
        """The wire form `name` of this frame, built by `build` at the first call and remembered."""
        forms = self._forms
        if forms is None:
            forms = self._forms = {}
        try:
            return forms[name]  # type: ignore[no-any-return]
        except KeyError:
            value = forms[name] = build(self)
            return value

    def shifted(self, track: Track, dts: int, pts: int) -> "Frame":
        """A copy on another track object or clock; the payload is shared."""
        copy = Frame(track, dts, pts, self.payload, duration=self.duration, key=self.key,
                     wallclock_s=self.wallclock_s, side=self.side)  # fmt: skip
        copy._forms = self._forms
        return copy

    @property
    def dts_s(self) -> float:
        """Decode time in seconds."""
        return self.dts / self.track.timescale

    @property
    def pts_s(self) -> float:
        """Presentation time in seconds."""
        return self.pts / self.track.timescale

    def __repr__(self) -> str:
        return (
            f"Frame({self.track.codec}#{self.track.id} dts={self.dts} pts={self.pts} "
            f"{'key ' if self.key else ''}{len(self.payload)} bytes)"
        )


@dataclass(frozen=True, slots=True)
class Tracks:
    """The whole track list from here on: the start of an epoch. Comes before the first frame of any listed track."""

    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class Discontinuity:
    """Something was lost or the clock was reset; the next frames do not follow from the last ones."""

    reason: str
    clock: bool = False
    """The clock was set anew. Otherwise frames are missing and times go on: decoders mend it at the next key frame."""


ON_METADATA = "onMetaData"
"""Name of the metadata that describes the whole stream; all others belong to their moment."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Timed data that belongs to no track, such as RTMP `onMetaData` or cue points."""

    name: str
    value: Any
    time_s: float = 0.0
    """On the stream's clock."""
    options: dict[str, Any] = field(default_factory=dict)


Event = Frame | Tracks | Discontinuity | Metadata
