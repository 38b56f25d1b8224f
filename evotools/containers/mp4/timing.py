"""When the samples of one track are decoded and shown, as MP4 writes it. ISO/IEC 14496-12 8.6.1, 8.8.12.

Decode times are unsigned and follow from durations; presentation times are offsets from them. Where pictures are
reordered, a stream's decode times begin before zero. There are three ways out. Files write times that are higher by as
much, and an edit list that takes it back. Packaged segments (`mux.CmafTrack`) are moved up too, all tracks alike, which
needs no list. CMAF track files move only the decode times up (`signed`), so that the first picture is decoded when it
is shown; later ones may then be shown before they are decoded, as signed offsets say (ISO/IEC 23000-19 7.5.17), and
libavformat shows the pictures of such fragments late.
"""

from collections.abc import Sequence
from operator import sub
from typing import Final, NamedTuple

from evotools.containers.mp4.audio_clock import AudioClock, sample_clock
from evotools.media.frame import Frame
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track

MAX_TIMESCALE: Final = 10_000_000
"""Durations have 32 bits: 100 ns, the finest clock in use (Smooth Streaming), still gives seven minutes."""
COARSE: Final = 1_000_000
"""What finer clocks are written in."""
MAX_TICKS: Final = 0x7FFF_FFFF
"""Longest duration and largest offset of a sample: 31 bits, as offsets are signed. The decode time of the next fragment
tells where a longer gap ends."""
DEFAULT_FPS: Final = 25
"""For the only frame of a track that tells nothing of its duration."""


def written_timescale(track: Track) -> int:
    """Ticks per second in which a track is written.

    Audio counts samples. Video keeps the clock of its source: finer ticks would not make its times any truer.
    """
    if track.kind is Kind.AUDIO:
        return sample_clock(track)
    return track.timescale if track.timescale <= MAX_TIMESCALE else COARSE


class Times(NamedTuple):
    """Times of the samples of one run, in ticks as written."""

    base: int
    """Decode time of the first one; not negative."""
    durations: list[int]
    """Positive. The last one reaches to the next run where that is known, else it is what is likely."""
    offsets: list[int]
    """Presentation minus decode time of each; empty when all are 0."""

    @property
    def end(self) -> int:
        """Decode time that follows."""
        return self.base + sum(self.durations)


class Timing:
    """The times of one track in one epoch."""

    __slots__ = ("_clock", "_floor", "_last", "_lift", "_likely", "_same", "_source", "shift", "timescale")

    def __init__(self, track: Track, *, signed: bool) -> None:
        """`signed`: move decode times up to meet the first presentation time."""
        self.timescale = written_timescale(track)
        self.shift = 0
        """Ticks as written to be added to every time."""
        self._source = track.timescale
        self._same = self._source == self.timescale
        self._clock = AudioClock(track, self.timescale) if track.kind is Kind.AUDIO else None
        self._lift: int | None = None if signed else 0
        """How far decode times are moved up; None until the first frame tells."""
        self._floor = 0
        """The least decode time that the next sample may have."""
        self._last: int | None = None
        """Decode time of the last sample."""
        fps = track.fps or DEFAULT_FPS
        self._likely = max(round(self.timescale / fps), 1)
        """What a frame lasts when nothing else tells."""

    def ticks(self, time: int) -> int:
        """A time of the source as written, `shift` not added."""
        return time if self._same else rescale(time, self._source, self.timescale)

    def carry_on(self, before: "Timing") -> None:
        """This track goes on where `before`, the same track in the epoch before, has ended."""
        if before.timescale == self.timescale:
            self._floor = before._floor

    def times(self, frames: Sequence[Frame], following: Frame | int | None = None) -> Times:
        """Times of `frames`, which are consecutive. `following` is the next frame of the track, or the decode time (for
        audio, presentation time) of that in the source's ticks, where it is known."""
        following_dts = following if following is None or isinstance(following, int) else following.dts
        if self._clock is not None:
            return self._audio(self._clock, frames, following_dts)
        if self._same:
            decode = [frame.dts for frame in frames]
            offsets = [frame.pts - frame.dts for frame in frames]
        else:
            ticks = self.ticks
            decode = [ticks(frame.dts) for frame in frames]
            offsets = [ticks(frame.pts) - at for frame, at in zip(frames, decode, strict=True)]
            following_dts = following_dts if following_dts is None else ticks(following_dts)
        lift = self._lift
        if lift is None:
            lift = self._lift = offsets[0]
        if offsets.count(lift) == len(offsets):
            offsets = []
        elif lift:
            offsets = [offset - lift for offset in offsets]
        durations = list(map(sub, decode[1:], decode))
        last = (following_dts - decode[-1]) if following_dts is not None else 0
        if last <= 0:
            step = 0 if self._last is None else decode[0] + lift + self.shift - self._last
            if 0 < step < self.timescale:
                self._likely = step
            last = self._ticks_of(frames[-1]) or (durations[-1] if durations else self._likely)
        durations.append(last)
        return self._settle(decode[0] + lift + self.shift, durations, offsets)

    def _ticks_of(self, frame: Frame) -> int:
        return self.ticks(frame.duration) if frame.duration > 0 else 0

    def _audio(self, clock: AudioClock, frames: Sequence[Frame], following: int | None) -> Times:
        starts, count = clock.take(frames)
        durations = list(map(sub, starts[1:], starts))
        last = 0
        if following is not None:
            last = clock.place(following) - starts[-1]
        elif self._same and 0 < frames[-1].duration < count:
            # Less is heard of the last packet of a file than it has.
            last = frames[-1].duration
        if last <= 0:
            last = count or self._ticks_of(frames[-1]) or (durations[-1] if durations else self._likely)
        durations.append(last)
        return self._settle(starts[0] + self.shift, durations, [])

    def _settle(self, base: int, durations: list[int], offsets: list[int]) -> Times:
        """Times as they can be written: decode times that increase from what was written before."""
        if base < self._floor or min(durations) <= 0 or max(durations) > MAX_TICKS:
            base, durations, offsets = _repaired(base, durations, offsets, self._floor)
        self._last = base + sum(durations) - durations[-1]
        self._floor = self._last + 1
        return Times(base, durations, offsets)


def _repaired(base: int, durations: list[int], offsets: list[int], floor: int) -> tuple[int, list[int], list[int]]:
    """Decode times that stand still, step back or lie before `floor` are moved up; presentation times stay."""
    wanted, decode, moved = base, [], []
    for index, duration in enumerate(durations):
        at = max(wanted, floor)
        decode.append(at)
        moved.append(min(max((offsets[index] if offsets else 0) + wanted - at, -MAX_TICKS), MAX_TICKS))
        wanted += duration
        floor = at + 1
    fixed = [min(duration, MAX_TICKS) for duration in map(sub, decode[1:], decode)]
    fixed.append(min(max(wanted - decode[-1], 1), MAX_TICKS))
    return decode[0], fixed, moved if any(moved) else []
