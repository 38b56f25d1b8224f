"""Gathers frames of interleaved tracks into movie fragments and places them on the clock of one file.

What progressive fragmented MP4 (`mux`) and ordinary files (`hybrid`) have in common.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from evotools.codecs.nal import join_lengths
from evotools.codecs.paramsets import parameter_sets
from evotools.containers.mp4.entries import accepts, completed, is_complete, needs_packet
from evotools.containers.mp4.fragment import Run
from evotools.containers.mp4.init import Edit
from evotools.containers.mp4.timing import Timing
from evotools.errors import MediaError, ParseError
from evotools.log import get_logger
from evotools.media.frame import Frame
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track

log = get_logger("mp4")

Fragment = Literal["frame", "gop"]

MAX_FRAGMENT_BYTES: Final = 32 * 2**20
"""Payload of one fragment: 2 s at 128 Mbit/s. Bounds memory, and what players have to take at once."""
HOLD_S: Final = 1.0
"""With a fragment per frame: how long the header waits for tracks from which nothing has come."""
PREROLL_S: Final = 1
"""A first time so little below zero is what comes before the presentation proper (an encoder's delay, pictures that
are decoded but not shown) and stays below zero; anything else is a stream's clock, and the file begins at zero."""
LAG_S: Final = 1.0
"""How much longer than the reference other tracks may go on before they end a fragment for themselves."""


class Lane:
    """One track on its way into fragments."""

    __slots__ = ("announced", "cuts", "due", "edit", "frames", "in_band", "number", "span", "timing", "track")

    def __init__(self, track: Track, number: int, span_s: float, *, cuts: bool, signed: bool) -> None:
        self.track = track
        self.number = number
        """track_ID."""
        self.timing = Timing(track, signed=signed)
        self.edit = Edit()
        self.cuts = cuts
        """Its key frames begin fragments."""
        self.span = max(round(span_s * track.timescale), 1)
        """Longest fragment in the source's ticks."""
        self.frames: list[Frame] = []
        self.due = 0
        """Decode time from which a frame begins a new fragment."""
        self.announced = False
        """The movie header has it."""
        self.in_band = b""
        """Parameter sets to be put before key frames, for readers that take only the first movie header."""


class Batch(NamedTuple):
    """Frames of one track for one fragment."""

    lane: Lane
    frames: list[Frame]
    following: Frame | None
    """The track's next frame, where that is known."""


class Gathered(NamedTuple):
    """One fragment."""

    announce: list[Lane]
    """Tracks of the movie header that has to come first; empty when the last one still holds."""
    runs: list[tuple[Lane, Run]]


def same_media(one: Sequence[Track], other: Sequence[Track]) -> bool:
    """Whether two track lists are written alike: names and rates that nothing depends on may differ."""

    def essence(tracks: Sequence[Track]) -> list[tuple[object, ...]]:
        return [(t.id, t.kind, t.codec, t.timescale, t.config, t.sample_rate, t.channels) for t in tracks]

    return essence(one) == essence(other)


class Collector:
    """Decides which frames make a fragment, and where on the file's clock they lie.

    The file begins at zero with the earliest presentation time of any track; all tracks keep their distances. With
    `rebase` False times stay as they are, unless they are below zero. With
    `fragment` "frame" every frame is a fragment of its own; else a fragment ends before a key frame of the first
    video track, and at the latest after `max_s` seconds.
    """

    def __init__(self, fragment: Fragment | float, max_s: float, *, signed: bool = False, rebase: bool = True) -> None:
        """`signed`: see `timing`."""
        self._rebase = rebase
        self._signed = signed
        self._each = fragment == "frame"
        self._span_s = HOLD_S if fragment == "frame" else max_s if fragment == "gop" else float(fragment)
        self._lanes: dict[int, Lane] = {}
        self._numbers: dict[tuple[int, str, int], int] = {}
        self._past: dict[int, Lane] = {}
        """The newest lane of each number."""
        self._base: Fraction | None = None
        """Seconds of the source at which the file begins."""
        self._held_bytes = 0
        self.tracks: tuple[Track, ...] = ()

    @property
    def origin_s(self) -> float:
        """Seconds of the source at which the file begins, as far as that is known."""
        return float(self._base or 0)

    @property
    def lanes(self) -> list[Lane]:
        """Tracks of the present epoch."""
        return list(self._lanes.values())

    def start(self, tracks: Sequence[Track]) -> None:
        """A new epoch; take the `rest` of the old one first. Raises MediaError when a track cannot be carried."""
        for track in tracks:
            if not accepts(track):
                raise MediaError(f"MP4 cannot carry {track.describe()}", hint="use mkv, or leave it out")
        self._lanes = {}
        self.tracks = tuple(tracks)
        reference = next((t.id for t in tracks if t.kind is Kind.VIDEO), -1)
        for track in tracks:
            lag_s = LAG_S if reference not in (-1, track.id) else 0.0
            lane = Lane(track, 0, self._span_s + lag_s, cuts=track.id == reference and not self._each,
                        signed=self._signed)  # fmt: skip
            key = (track.id, track.codec, lane.timing.timescale)
            lane.number = self._numbers.setdefault(key, len(self._numbers) + 1)
            old = self._past.get(lane.number)
            if old is not None:
                lane.timing.carry_on(old.timing)
                lane.edit = old.edit
                changed = old.in_band or old.track.config != track.config
                if changed and old.track.config and track.config and track.codec in ("h264", "h265"):
                    lane.in_band = join_lengths(parameter_sets(track.codec, track.config))
            self._lanes[track.id] = self._past[lane.number] = lane

    def push(self, frame: Frame) -> list[Batch] | None:
        """Take a frame; the fragment that is complete now."""
        lane = self._lanes.get(frame.track.id)
        if lane is None:
            return None
        done = None
        dts = frame.dts
        if not lane.frames:
            lane.due = dts + lane.span
        elif dts >= lane.due or (lane.cuts and frame.key) or self._held_bytes > MAX_FRAGMENT_BYTES:
            done = self.rest(lane, frame)
            lane.due = dts + lane.span
        lane.frames.append(frame)
        self._held_bytes += len(frame.payload)
        if self._each and done is None and (self._base is not None or all(one.frames for one in self.lanes)):
            done = self.rest()
        return done

    def rest(self, lane: Lane | None = None, following: Frame | None = None) -> list[Batch]:
        """Everything that is held. `following` is the next frame of `lane`."""
        batches = []
        for one in self._lanes.values():
            if one.frames:
                batches.append(Batch(one, one.frames, following if one is lane else None))
                one.frames = []
        self._held_bytes = 0
        return batches

    def gather(self, batches: list[Batch]) -> Gathered:
        """The batches as runs of one fragment. Tracks whose configuration even their first frames do not tell are left
        out until they do."""
        batches = [batch for batch in batches if batch.lane.announced or self._complete(batch)]
        if not batches:
            return Gathered([], [])
        if self._base is None:
            earliest = min(Fraction(frames[0].pts, frames[0].track.timescale) for _, frames, _ in batches)
            kept = earliest >= 0 and not self._rebase
            self._base = Fraction(0) if kept or -PREROLL_S <= earliest < 0 else earliest
        announce: list[Lane] = []
        if not all(batch.lane.announced for batch in batches):
            announce = self._announce(batches)
        runs = []
        for lane, frames, following in batches:
            base, durations, offsets = lane.timing.times(frames, following)
            payloads = None
            if lane.in_band:
                sets = lane.in_band
                payloads = [sets + frame.payload if frame.key else frame.payload for frame in frames]
            runs.append((lane, Run(lane.number, base, frames, durations, offsets, None, payloads)))
        return Gathered(announce, runs)

    def _complete(self, batch: Batch) -> bool:
        """Whether the track can be announced; sees to its configuration."""
        lane = batch.lane
        for index, frame in enumerate(batch.frames):
            try:
                lane.track = completed(lane.track, frame.payload)
            except ParseError:
                continue
            if is_complete(lane.track):
                # Nothing before it can be decoded.
                del batch.frames[:index]
                return True
            if not needs_packet(lane.track):
                break
        log.warning("leaves out %d frames of %s: nothing tells its codec configuration",
                    len(batch.frames), lane.track.describe())  # fmt: skip
        return False

    def _announceable(self, lane: Lane) -> bool:
        """The same for a track from which nothing has come."""
        try:
            lane.track = completed(lane.track)
        except ParseError:
            return False
        return is_complete(lane.track)

    def _announce(self, batches: list[Batch]) -> list[Lane]:
        """Settles where tracks lie that begin now, and which ones the movie header has."""
        assert self._base is not None
        base = self._base
        present = {batch.lane.number: batch.frames[0] for batch in batches}
        announced = []
        for lane in self._lanes.values():
            scale = lane.timing.timescale
            begin = present.get(lane.number)
            if not lane.announced:
                if begin is None and not self._announceable(lane):
                    continue
                start = rescale(base.numerator, base.denominator, scale)
                if begin is not None and not lane.edit:
                    # Decode times that begin before the file does, and what comes before the presentation proper.
                    first = begin.pts if self._signed or lane.track.kind is Kind.AUDIO else begin.dts
                    lane.edit = Edit(media_time=max(start - lane.timing.ticks(first), 0))
                lane.timing.shift = lane.edit.media_time - start
            lane.announced = True
            announced.append(lane)
        return announced
