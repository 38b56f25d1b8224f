"""The segments of one piece: their files, and what the manifests will say of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from evotools.media.frame import Frame
from evotools.media.timeline import rescale
from evotools.media.track import Kind
from evotools.packaging.files import init_name
from evotools.packaging.lane import Batch, Lane
from evotools.packaging.manifests import Writes
from evotools.packaging.periods import Periods
from evotools.packaging.presentation import MediaSegment, Presentation, Rendition
from evotools.packaging.roster import Out
from evotools.packaging.window import round_half_up
from evotools.packaging.writers import TS_ORIGIN_S, Made

LATE_S = 0.1
"""A track that begins so little behind a boundary is not late: sound begins with a packet or two that only prime its
decoder."""


class Segments:
    """Makes segments and keeps the accounts of their renditions."""

    def __init__(
        self, presentation: Presentation, periods: Periods, writes: Writes, on_begin: Callable[[], None]
    ) -> None:
        """`on_begin` is called before the first file of an epoch."""
        self._presentation = presentation
        self._periods = periods
        self._writes = writes
        self._on_begin = on_begin

    def make(
        self, out: Out, segment: MediaSegment, frames: Sequence[Frame], lane: Lane, end_s: float,
        following: Batch | None,
    ) -> Made:  # fmt: skip
        """The file of a segment, and before the first of an epoch its initialisation segment."""
        rendition, writer = out.rendition, out.writer
        assert writer is not None
        if not out.begun:
            out.begun = True
            from_zero = self._presentation.type == "vod" and self._presentation.container == "ts"
            shift_s = lane.shift_s + (TS_ORIGIN_S if from_zero else 0)
            init = writer.begin(out.tracks, shift_s, frames[0].payload)
            rendition.tracks = writer.tracks
            # Whoever finds files in the folder must be able to tell that they are ours.
            self._on_begin()
            if init:
                out.init = init_name(segment.number)
                self._writes.add(f"{rendition.id}/{out.init}", [init], "init")
        start_s = segment.time / rendition.timescale
        next_frame = following.first(out) if following is not None else None
        return writer.make(segment.number, frames, start_s, end_s, next_frame, last=following is None)

    def fill(self, rendition: Rendition, segment: MediaSegment, made: Made) -> None:
        """Note in `segment` what was made, and write its file."""
        scale = rendition.timescale
        expected = segment.time
        if rendition.segments and not segment.discontinuity:
            before = rendition.segments[-1]
            expected = before.end
        elif not rendition.segments and self._presentation.type != "live":
            # Of renditions that begin with the same number, that of the earliest sample.
            expected = min((self._start(r, segment.number, scale) for r in self._presentation.renditions if r.segments),
                           default=expected)  # fmt: skip
        boundary = segment.time
        segment.time, segment.duration, segment.tail = made.time, made.duration, made.tail
        segment.sap, segment.gap = made.sap, False
        if made.time - expected > LATE_S * scale:
            segment.lead = made.time - expected
        if segment.start_unix_s:
            # RFC 8216 4.3.2.6: of its own first sample. Sound begins up to a frame beside the common boundary, and
            # players that place segments by their dates (Shaka Player) would see gaps and overlaps.
            segment.start_unix_s += (segment.time - segment.lead - boundary) / scale
        segment.size_bytes = sum(map(len, made.parts))
        duration_s = segment.duration / scale
        self._count(rendition, segment, duration_s)
        rendition.epochs.setdefault(segment.period, rendition.tracks)
        self._writes.add(f"{rendition.id}/{segment.name}", made.parts, "segment", rendition=rendition.id,
                  number=segment.number, duration_s=round(duration_s, 6), bytes=segment.size_bytes)  # fmt: skip

    def _count(self, rendition: Rendition, segment: MediaSegment, duration_s: float) -> None:
        """What the manifests promise of all segments."""
        rendition.total_bytes += segment.size_bytes
        rendition.total_duration_s += duration_s
        longest_s = (segment.lead + segment.duration + segment.tail) / rendition.timescale
        # RFC 8216 4.3.3.1: a playlist that grows must not change it.
        floor_s = 0.0 if self._presentation.type == "vod" else self._presentation.target_s
        rendition.target_duration = max(rendition.target_duration, round_half_up(max(longest_s, floor_s)))
        # A rate over a sliver says nothing; RFC 8216 4.3.4.2 also leaves out what is under half a target duration.
        if duration_s >= self._presentation.target_s / 2 or not rendition.peak_bps:
            rendition.peak_bps = max(rendition.peak_bps, round(segment.size_bytes * 8 / max(duration_s, 0.1)))

    def show(self, rendition: Rendition, lane: Lane, first: MediaSegment) -> None:
        """A rendition has media: it enters the manifests, with gaps for what it missed."""
        presentation = self._presentation
        if any(r is rendition for r in presentation.renditions):
            return
        rendition.discontinuity_sequence = self._periods.before + lane.discontinuities - first.discontinuity
        model = next((r for r in presentation.renditions if r.segments), None)
        if model is not None and presentation.type != "live":
            rendition.discontinuity_sequence = model.discontinuity_sequence
            for segment in model.segments:
                if segment.number < first.number:
                    rendition.segments.append(_gap(segment, model.timescale, rendition.timescale))
        presentation.renditions.append(rendition)
        presentation.renditions.sort(key=lambda r: (r.kind is not Kind.VIDEO, len(r.id), r.id))

    @staticmethod
    def pad(rendition: Rendition, model: Rendition, number: int) -> None:
        """Gaps up to segment `number` where `model` has segments and `rendition` had nothing."""
        for segment in model.segments:
            if rendition.segments[-1].number + 1 == segment.number < number:
                rendition.segments.append(_gap(segment, model.timescale, rendition.timescale))

    @staticmethod
    def _start(rendition: Rendition, number: int, scale: int) -> int:
        """Where segment `number` of another rendition begins, lead included, in ticks of `scale`."""
        at = min(max(number - rendition.segments[0].number, 0), len(rendition.segments) - 1)
        found = rendition.segments[at]
        return rescale(found.time - found.lead, rendition.timescale, scale)


def _gap(segment: MediaSegment, scale: int, wanted: int) -> MediaSegment:
    """An entry for a rendition that had nothing when another had `segment`."""
    time = round((segment.time - segment.lead) * wanted / scale)
    end = round(segment.end * wanted / scale)
    return replace(segment, time=time, duration=max(end - time, 1), size_bytes=0, init="", gap=True, lead=0, tail=0)
