"""Fragmented MP4 of a live stream, without delay: for Media Source Extensions and for progressive download.

The header does not wait for media, each picture is a fragment of its own as soon as it is there, and nothing depends on
what was written before: whoever gets the header of the present track list may go on with any fragment that begins with
a key frame. ISO/IEC 14496-12 8.8; W3C ISO BMFF Byte Stream Format.
"""

from collections.abc import Sequence
from typing import Final

from evotools.containers.mp4 import entries
from evotools.containers.mp4.event import EventBoxes
from evotools.containers.mp4.fragment import Run, fragment
from evotools.containers.mp4.init import init_segment
from evotools.containers.mp4.timing import DEFAULT_FPS, MAX_TICKS, Timing, written_timescale
from evotools.errors import MediaError, ParseError
from evotools.media.frame import Frame, Metadata
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track

AUDIO_HOLD_S: Final = 0.1
"""Sound waits so long for a picture that it can share a fragment with: a moof of its own costs 100 bytes."""
BREAK_S: Final = 1.5
"""A key frame that comes so much later than expected begins anew instead of being bridged."""


class _Lane:
    """One track: its number, its clock as written, and what is held of it."""

    __slots__ = ("held", "last", "likely", "number", "since", "step", "timescale", "timing", "track", "video")

    def __init__(self, track: Track, number: int) -> None:
        self.track = track
        self.number = number
        self.timescale = written_timescale(track)
        self.timing = Timing(track, signed=False)
        self.video = track.kind is Kind.VIDEO
        self.likely = max(round(self.timescale / (track.fps or DEFAULT_FPS)), 1)
        """Ticks of a picture whose duration nobody tells."""
        self.last: int | None = None
        """Decode time of the last picture, as written."""
        self.step = 0
        """Its duration, as written."""
        self.held: list[Frame] = []
        self.since = 0
        """Decode time of the oldest frame held, in the source's ticks."""


class LiveMp4Muxer:
    """A `Muxer`: `start` gives ftyp and moov at once, `write` a fragment for each picture, with the sound before it.

    Times are those of the stream (not below zero), so that viewers who come at different moments share all bytes. No
    edit lists, no durations that would need the next frame. Sound without pictures comes in pieces of AUDIO_HOLD_S.
    """

    mime = "video/mp4"

    def __init__(self) -> None:
        self._lanes: dict[int, _Lane] = {}
        self._sounds: list[_Lane] = []
        self._sequence = 0
        self._events = EventBoxes()

    def accepts(self, track: Track) -> bool:
        """Whether the track can be announced before its first frame: MP4 has a name for it, and nothing is missing."""
        return entries.accepts(track) and _complete(track) is not None

    def start(self, tracks: Sequence[Track]) -> bytes:
        """The header, behind what was held of the last epoch. Raises MediaError when a track cannot be carried."""
        held = self.flush()
        told = []
        for track in tracks:
            complete = _complete(track) if entries.accepts(track) else None
            if complete is None:
                raise MediaError(f"MP4 cannot carry {track.describe()} before its first frame")
            told.append(complete)
        before = self._lanes
        self._lanes = {track.id: _Lane(track, number) for number, track in enumerate(told, 1)}
        for lane in self._lanes.values():
            old = before.get(lane.track.id)
            if old is not None and old.timescale == lane.timescale:
                lane.timing.carry_on(old.timing)
        self._sounds = [lane for lane in self._lanes.values() if not lane.video]
        return held + init_segment(told)

    def write(self, frame: Frame) -> bytes:
        """The fragment that ends with this frame; nothing for sound that waits for a picture."""
        lane = self._lanes.get(frame.track.id)
        if lane is None:
            return b""
        if not lane.video:
            if not lane.held:
                lane.held.append(frame)
                lane.since = frame.dts
                return b""
            lane.held.append(frame)
            return self.flush() if frame.dts - lane.since >= AUDIO_HOLD_S * frame.track.timescale else b""
        runs = [self._sound(one) for one in self._sounds if one.held]
        runs.append(self._picture(lane, frame))
        self._sequence += 1
        return b"".join(fragment(self._sequence, runs))

    def write_metadata(self, metadata: Metadata) -> bytes:
        """Timed data as an event message box."""
        return self._events.box(metadata) if self._lanes else b""

    def flush(self) -> bytes:
        """The fragment of what is held, if anything is."""
        runs = [self._sound(one) for one in self._sounds if one.held]
        if not runs:
            return b""
        self._sequence += 1
        return b"".join(fragment(self._sequence, runs))

    def finish(self) -> bytes:
        """What is held."""
        return self.flush()

    def _sound(self, lane: _Lane) -> Run:
        frames, lane.held = lane.held, []
        base, durations, offsets = lane.timing.times(frames)
        return Run(lane.number, base, frames, durations, offsets)

    def _picture(self, lane: _Lane, frame: Frame) -> Run:
        source, target = frame.track.timescale, lane.timescale
        dts, pts, duration = frame.dts, frame.pts, frame.duration
        if source != target:
            dts, pts = rescale(dts, source, target), rescale(pts, source, target)
            duration = rescale(duration, source, target)
        last = lane.last
        at = dts if dts > 0 else 0
        if last is not None:
            step = at - last
            # MSE 3.5.8 coded frame processing: a decode time that steps back, or ahead by more than twice the last
            # duration, is a discontinuity, and the browser drops everything up to the next key frame. Cameras that
            # send pictures when something moves, and encoders that leave some out, do that all the time. Players show
            # pictures by presentation time, so decode times may be drawn nearer.
            if step <= 0:
                at = last + 1
            elif step > 2 * lane.step and not (frame.key and step > BREAK_S * target):
                at = max(last + 2 * lane.step - 1, last + 1)
            if duration <= 0 and 0 < step < target:
                lane.likely = step
        if not 0 < duration <= MAX_TICKS:
            duration = lane.likely
        lane.last, lane.step = at, duration
        offset = min(max(pts - at, -MAX_TICKS), MAX_TICKS)
        return Run(lane.number, at, (frame,), (duration,), (offset,) if offset else ())


def _complete(track: Track) -> Track | None:
    """The track with all that its sample entry tells; None when something is missing."""
    try:
        told = entries.completed(track)
    except ParseError:
        return None
    return told if entries.is_complete(told) else None
