"""Fragmented MP4: whole streams (`Fmp4Muxer`) and single tracks in segments (`CmafTrack`).

ISO/IEC 14496-12 8.8, ISO/IEC 23000-19 (CMAF).
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from evotools.containers.mp4 import entries
from evotools.containers.mp4.collect import Batch, Collector, Fragment, Lane, same_media
from evotools.containers.mp4.event import EventBoxes
from evotools.containers.mp4.fragment import SEGMENT_TYPE, Auxiliary, Run, fragment
from evotools.containers.mp4.init import Brands, init_segment
from evotools.containers.mp4.protection import Protection
from evotools.containers.mp4.timing import Timing
from evotools.errors import MediaError
from evotools.media.frame import Frame, Metadata
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track

MAX_FRAGMENT_S: Final = 5.0
"""Longest fragment where no key frame ends it."""
MAX_EVENTS: Final = 256
"""Timed data of one fragment; broadcasters send a few messages a second."""


class Fmp4Muxer:
    """A fragmented MP4 stream; implements `containers.base.Muxer`.

    The movie header comes with the first fragment, when it is known where each track begins. The file begins at zero;
    a CMAF track keeps the times of its source, so that it fits the others.
    A changed track list writes a new header: a chained stream, as browsers take it. Other players read only the first
    header; for them new H.264 and H.265 parameter sets also go in band.
    """

    mime = "video/mp4"

    def __init__(
        self, fragment: Fragment | float = "gop", *, max_s: float = MAX_FRAGMENT_S, brands: Brands = "file"
    ) -> None:
        """`fragment`: one per "frame", one per "gop" of at most `max_s` seconds, or the most seconds one may last.
        `brands`: `file`, or `cmaf` for a single track."""
        self._collector = Collector(fragment, max_s, signed=brands == "cmaf", rebase=brands != "cmaf")
        self._brands: Brands = brands
        self._sequence = 0
        self._events = EventBoxes()
        self._timed: list[Metadata] = []
        """Timed data of the next fragment."""

    def accepts(self, track: Track) -> bool:
        """Whether MP4 has a name for the track's codec."""
        return entries.accepts(track)

    def start(self, tracks: Sequence[Track]) -> bytes:
        """Begin an epoch; what was held of the last one. Raises MediaError when a track cannot be carried."""
        if same_media(tracks, self._collector.tracks):
            return b""
        held = self._emit(self._collector.rest())
        self._collector.start(tracks)
        return held

    def write(self, frame: Frame) -> bytes:
        """The fragment that this frame ends (or is), if it does."""
        batches = self._collector.push(frame)
        return self._emit(batches) if batches else b""

    def write_metadata(self, metadata: Metadata) -> bytes:
        """Timed data: event message boxes before the fragment of its time. Nothing comes out at once."""
        if self._collector.tracks and len(self._timed) < MAX_EVENTS:
            self._timed.append(metadata)
        return b""

    def finish(self) -> bytes:
        """The last fragment."""
        return self._emit(self._collector.rest())

    def _emit(self, batches: list[Batch]) -> bytes:
        if not batches:
            return b""
        announce, runs = self._collector.gather(batches)
        parts: list[bytes] = []
        if announce:
            parts.append(header_of(announce, self._brands))
        if runs:
            self._sequence += 1
            timed, self._timed = self._timed, []
            events = b"".join([self._events.box(event, self._collector.origin_s) for event in timed])
            parts += fragment(self._sequence, [run for _, run in runs], lead=events)
        return b"".join(parts)


def header_of(lanes: Sequence[Lane], brands: Brands = "file") -> bytes:
    """ftyp and moov of tracks whose samples follow in fragments."""
    return init_segment(
        [lane.track for lane in lanes],
        timescales={lane.track.id: lane.timing.timescale for lane in lanes},
        numbers={lane.track.id: lane.number for lane in lanes},
        edits={lane.track.id: lane.edit for lane in lanes},
        brands=brands,
    )


Chunking = Literal["segment", "gop", "frame"]

Cipher = Callable[[Sequence[Frame]], tuple[Sequence[bytes], Sequence[Auxiliary]]]
"""Encrypts the frames of one run: their payloads, and what a decrypter has to know of each."""


class CmafSegment(NamedTuple):
    """One media segment of one track. All times in the track's timescale as written."""

    parts: list[bytes]
    """The bytes: join them, or write them as they are."""
    base_decode_time: int
    duration: int
    """To the next segment's base decode time, where the next frame was known."""
    presentation_time: int
    """`base_decode_time` and what the first picture was shown later by: segments follow one another by it, too."""
    earliest_pts: int
    """Earliest presentation time in it; `presentation_time` at a constant frame rate."""
    samples: int
    chunk_sizes: tuple[int, ...]
    """Bytes of each fragment; what leads the first one counts to it."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(self.chunk_sizes)


class CmafTrack:
    """One track as CMAF: an init segment, then media segments with one fragment or several.

    No edit lists and no negative composition offsets: where pictures are reordered, the caller's `shift` leaves room
    for the decode times before the first picture, for all tracks alike. libavformat shows fragments with negative
    offsets late by the largest of them, and Chromium ignores edit lists in Media Source Extensions. Frames of all calls
    must follow one another; after a break in the stream make a new one.
    """

    def __init__(
        self,
        track: Track,
        *,
        number: int = 1,
        packet: bytes = b"",
        protection: Protection | None = None,
        pssh: Sequence[bytes] = (),
        cipher: Cipher | None = None,
    ) -> None:
        """`number` is the track_ID. `packet` is the track's first payload: AC-3 from a transport stream, for one, is
        described by nothing else (`entries.needs_packet`). `pssh` are whole boxes; `cipher` is told each run.

        Raises MediaError when the track cannot be carried, ParseError when its configuration is broken.
        """
        if not entries.accepts(track):
            raise MediaError(f"MP4 cannot carry {track.describe()}")
        told = entries.completed(track, packet)
        if not entries.is_complete(told):
            raise MediaError(f"MP4 cannot carry {track.describe()}: its codec configuration is not known")
        self._timing = Timing(track, signed=False)
        self._delay: int | None = None
        """Ticks from decoding to presentation of the first picture."""
        self._number = number
        self._protection = protection
        self._pssh = tuple(pssh)
        self._cipher = cipher
        self._sequence = 0
        self._source = track.timescale
        self._shift: Fraction | int = 0
        self.timescale = self._timing.timescale
        """Ticks per second as written."""
        self.codec_string = entries.codec_string(told)
        """RFC 6381 string of the sample entry as written."""
        self.track = told.with_(timescale=self.timescale, codec_string=self.codec_string)
        """The track as written."""

    def init(self) -> bytes:
        """The init segment (CMAF header)."""
        number = {self.track.id: self._number}
        protections = {self.track.id: self._protection} if self._protection else {}
        return init_segment(
            [self.track], timescales={self.track.id: self.timescale}, numbers=number, brands="cmaf",
            protections=protections, pssh=self._pssh,
        )  # fmt: skip

    def segment(
        self,
        sequence: int,
        frames: Sequence[Frame],
        next_dts: int | None,
        *,
        shift: Fraction | int = 0,
        chunk: Chunking = "segment",
        styp: bytes = SEGMENT_TYPE,
        lead: bytes = b"",
    ) -> CmafSegment:
        """The frames, which follow those of the last call, as one segment.

        `sequence` numbers its first fragment, unless a higher number is due. `next_dts` is the decode time of the
        track's next frame (in the source's ticks) where it is known. `shift` seconds are added to all times; with it
        decode times should not be negative. `chunk`: one fragment for all, for each group of pictures, or for each
        frame. `styp` (may be empty) and `lead` (prft and emsg boxes) go first. Raises MediaError for no frames and for
        what does not fit.
        """
        if not frames:
            raise MediaError("MP4: a segment without frames")
        timing = self._timing
        if shift != self._shift:
            self._shift = shift
            exact = Fraction(shift)
            timing.shift = rescale(exact.numerator, exact.denominator, self.timescale)
        base, durations, offsets = timing.times(frames, next_dts)
        if self._delay is None:
            self._delay = offsets[0] if offsets else 0
        video = self.track.kind is Kind.VIDEO
        ends = [len(frames)]
        if chunk == "frame":
            ends = list(range(1, len(frames) + 1))
        elif chunk == "gop" and video:
            ends = [index for index, frame in enumerate(frames) if frame.key and index] + ends
        parts: list[bytes] = []
        sizes: list[int] = []
        decode, start = base, 0
        for end in ends:
            some = frames[start:end] if len(ends) > 1 else frames
            payloads, auxiliary = self._cipher(some) if self._cipher is not None else (None, None)
            run = Run(self._number, decode, some, durations[start:end], offsets[start:end], None, payloads, auxiliary)
            self._sequence = max(self._sequence + 1, sequence)
            pieces = fragment(self._sequence, [run], lead=lead if start else styp + lead)
            lead = b""
            sizes.append(sum(map(len, pieces)))
            parts += pieces
            decode += sum(durations[start:end])
            start = end
        earliest = base
        if offsets:
            at, earliest = base, base + offsets[0]
            for duration, offset in zip(durations, offsets, strict=True):
                if at + offset < earliest:
                    earliest = at + offset
                at += duration
        return CmafSegment(parts, base, decode - base, base + self._delay, earliest, len(frames), tuple(sizes))
