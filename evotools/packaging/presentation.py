"""What a packaged presentation consists of, as data: renditions, their segments, periods. Manifests are made from it.

One model for HLS and DASH: a rendition is a variant or an audio group member of HLS and a Representation of DASH; its
segments are the same files in both.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from evotools.media.track import Kind, Track

Type = Literal["vod", "event", "live"]


@dataclass(slots=True)
class MediaSegment:
    """One complete file of media."""

    name: str
    """Relative to the rendition's folder."""
    number: int
    """Media sequence number; the same in HLS and in DASH ($Number$)."""
    period: int
    """Index of the period that it belongs to. A new one begins where initialisation or clock change."""
    time: int
    """Decode time of its first sample, in the rendition's timescale, as in `tfdt`."""
    duration: int
    """Ticks of media: until the next segment begins, where the track goes on."""
    size_bytes: int
    start_unix_s: float
    """Wall time of its first frame."""
    init: str = ""
    """Name of its initialisation segment; empty for MPEG-TS."""
    independent: bool = True
    discontinuity: bool = False
    """Timestamps, tracks or encoding do not follow from the segment before."""
    gap: bool = False
    """There is no file: the track had no media while the others had."""
    sap: int = 1
    """Type of the stream access point it begins with (ISO/IEC 14496-12 Annex I): 1 closed group of pictures, 2 the same
    with pictures shown before the first, 3 open (some of those need the segment before)."""
    lead: int = 0
    """Ticks between the end of the segment before (or the beginning of all) and `time`: a track that starts late or
    was silent. HLS durations hold it, so that all renditions keep one time line; in DASH times tell it."""
    tail: int = 0
    """Ticks from the end of its media to the next boundary, where the track falls silent: the same."""

    @property
    def end(self) -> int:
        """Where the place of the next segment begins."""
        return self.time + self.duration + self.tail


@dataclass(slots=True)
class Rendition:
    """One playable alternative: a video or audio track (fMP4), or a picture with its sound (MPEG-TS)."""

    id: str
    """`v0`, `a1`, …: the folder of its segments and the Representation@id."""
    kind: Kind
    """VIDEO for what has a picture."""
    tracks: tuple[Track, ...]
    """As written: codec strings match the sample entries. One for fMP4. Of the newest epoch."""
    timescale: int
    number_of_input: int = 0
    segments: deque[MediaSegment] = field(default_factory=deque)
    """What manifests show, oldest first."""
    discontinuity_sequence: int = 0
    """Discontinuities that have left the manifest."""
    target_duration: int = 1
    """Seconds; never shrinks while live."""
    peak_bps: int = 0
    """Of the fullest segment so far, without a sliver at the end."""
    epochs: dict[int, tuple[Track, ...]] = field(default_factory=dict)
    """By index of period, where they are or were others than `tracks`."""
    total_bytes: int = 0
    total_duration_s: float = 0.0

    def tracks_in(self, period: int) -> tuple[Track, ...]:
        """As written in a period."""
        return self.epochs.get(period, self.tracks)

    @property
    def average_bps(self) -> int:
        """Over everything packaged so far."""
        return round(self.total_bytes * 8 / self.total_duration_s) if self.total_duration_s > 0 else 0


@dataclass(frozen=True, slots=True)
class Period:
    """A span with one clock and one set of initialisation segments."""

    index: int
    start_s: float
    """On the presentation's own clock, which begins at 0 (ISO/IEC 23009-1 5.3.2)."""
    media_start_s: float
    """Media time (tfdt over timescale) that falls on `start_s`: presentationTimeOffset."""


@dataclass(slots=True)
class Presentation:
    """Everything that manifests say."""

    type: Type
    container: Literal["ts", "fmp4"]
    renditions: list[Rendition] = field(default_factory=list)
    periods: list[Period] = field(default_factory=list)
    availability_start_unix_s: float = 0.0
    """Wall time of presentation time 0; meaningful for live and event."""
    target_s: float = 6.0
    window_s: float | None = None
    """How much of a live presentation can be watched; None keeps all."""
    ended: bool = False
    """Nothing will be added."""
