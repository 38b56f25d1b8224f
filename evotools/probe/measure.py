"""Running measurements of one track, in bounded memory however long the stream is."""

from collections import deque
from typing import Any

from evotools.media.dts import MAX_REORDER
from evotools.media.frame import Frame
from evotools.media.timeline import Jump, JumpPolicy
from evotools.media.track import Kind, Track

MAX_LISTED = 100
"""Entries kept of each list of incidents (gaps, jumps); counters go on."""
MAX_KEYFRAME_TIMES = 1000
"""Key frame times kept: half an hour at one in 2 s."""
GAP_RATIO = 1.75
"""A step of more than this many expected intervals lacks at least one frame."""
GAP_SLACK_S = 0.015
"""And so much time at least: containers with millisecond clocks round audio frames by half of that."""
SLOTS_PER_S = 50
"""Resolution of the sliding second of the peak rate."""


class Extent:
    """Count, minimum, average and maximum of a running series."""

    __slots__ = ("count", "maximum", "minimum", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.minimum: float | None = None
        self.maximum: float | None = None

    def add(self, value: float) -> None:
        """Take one value in."""
        self.count += 1
        self.total += value
        if self.minimum is None or value < self.minimum:
            self.minimum = value
        if self.maximum is None or value > self.maximum:
            self.maximum = value

    @property
    def average(self) -> float | None:
        """None while there are no values."""
        return self.total / self.count if self.count else None


class PeakRate:
    """The most bits in any one second of media time, to a fiftieth of a second."""

    __slots__ = ("_first", "_slot", "_slots", "_sum", "peak_bits")

    def __init__(self) -> None:
        self._slots: deque[int] = deque([0] * SLOTS_PER_S, SLOTS_PER_S)
        self._slot: int | None = None
        self._first = 0
        self._sum = 0
        self.peak_bits: int | None = None
        """None until a whole second was seen."""

    def add(self, time_s: float, size: int) -> None:
        """`size` bytes at `time_s`. Times that step back count as the present."""
        slot = int(time_s * SLOTS_PER_S // 1)
        if self._slot is None:
            self._slot = self._first = slot
        ahead = slot - self._slot
        if ahead > 0:
            self._complete()
            if ahead >= SLOTS_PER_S:
                self._slots.extend([0] * SLOTS_PER_S)
                self._sum = 0
            else:
                for _ in range(ahead):
                    self._sum -= self._slots[0]
                    self._slots.append(0)
            self._slot = slot
        self._slots[-1] += size
        self._sum += size

    def _complete(self) -> None:
        if self._slot is not None and self._slot - self._first >= SLOTS_PER_S - 1:
            bits = self._sum * 8
            if self.peak_bits is None or bits > self.peak_bits:
                self.peak_bits = bits

    def restart(self) -> None:
        """Media time jumped: begin a new second."""
        self._slots.extend([0] * SLOTS_PER_S)
        self._slot = None
        self._sum = 0


class TrackMeasure:
    """Everything measured on one track."""

    def __init__(self, track: Track) -> None:
        self.track = track
        self.frames = 0
        self.bytes = 0
        self.first_pts = self.last_pts = self.first_dts = self.last_dts = 0
        self.min_pts_s = self.max_pts_s = self.end_s = 0.0
        self.start_s = 0.0
        """Earliest presentation time."""
        self.peak = PeakRate()
        self._policy = JumpPolicy()
        self._elapsed_s = 0.0
        self._steps = 0
        self._last_dts_s: float | None = None
        self._last_duration_s = 0.0
        self._recent_pts: deque[int] = deque(maxlen=MAX_REORDER + 1)
        self.reorder_depth = 0
        self.key_frames = 0
        self.key_times_s: list[float] = []
        self.gop_frames = Extent()
        self.gop_s = Extent()
        self._since_key = 0
        self._key_dts_s: float | None = None
        self.gaps = 0
        self.gap_list: list[dict[str, float]] = []
        self.longest_step_s: float | None = None
        self.jumps = 0
        self.jump_list: list[dict[str, float]] = []
        self.non_monotonic = 0
        self.pts_before_dts = 0
        self.interval_frames = 0
        self.interval_bytes = 0

    def add(self, frame: Frame) -> None:
        """Take one frame in."""
        track = frame.track
        self.track = track
        scale = track.timescale
        size = len(frame.payload)
        dts_s, pts_s = frame.dts / scale, frame.pts / scale
        duration_s = frame.duration / scale
        if not self.frames:
            self.first_pts, self.first_dts = frame.pts, frame.dts
            self.min_pts_s = self.max_pts_s = self.start_s = pts_s
            self.end_s = pts_s
        self.frames += 1
        self.bytes += size
        self.interval_frames += 1
        self.interval_bytes += size
        self.last_pts, self.last_dts = frame.pts, frame.dts
        self._step(frame, dts_s)
        if pts_s < self.min_pts_s:
            self.min_pts_s = pts_s
        if pts_s > self.max_pts_s:
            self.max_pts_s = pts_s
        self.end_s = max(self.end_s, pts_s + duration_s)
        if frame.pts < frame.dts:
            self.pts_before_dts += 1
        self._last_duration_s = duration_s
        self.peak.add(dts_s, size)
        if track.kind is Kind.VIDEO:
            self._picture(frame, dts_s, pts_s)

    def _step(self, frame: Frame, dts_s: float) -> None:
        last = self._last_dts_s
        self._last_dts_s = dts_s
        if last is None:
            return
        step = dts_s - last
        jump = self._policy.judge(last, dts_s)
        if jump is not Jump.NONE:
            self.jumps += 1
            if len(self.jump_list) < MAX_LISTED:
                self.jump_list.append({"from_s": round(last, 6), "to_s": round(dts_s, 6)})
            self.break_here()
            return
        if step <= 0:
            self.non_monotonic += 1
        else:
            if self.longest_step_s is None or step > self.longest_step_s:
                self.longest_step_s = step
            expected = self._expected_s()
            if expected and step > GAP_RATIO * expected and step - expected > GAP_SLACK_S:
                self.gaps += 1
                if len(self.gap_list) < MAX_LISTED:
                    self.gap_list.append({"at_s": round(last, 6), "length_s": round(step - expected, 6)})
        self._elapsed_s += step
        self._steps += 1

    def _expected_s(self) -> float:
        """How far apart frames should be."""
        fps = self.track.fps
        if self.track.kind is Kind.VIDEO:
            if fps:
                return 1 / float(fps)
            return self._elapsed_s / self._steps if self._steps >= 10 else 0.0
        if self._last_duration_s:
            return self._last_duration_s
        return self._elapsed_s / self._steps if self._steps >= 10 else 0.0

    def break_here(self) -> None:
        """The next frame does not follow from the last one: open GOP, rates and reordering begin anew."""
        self._key_dts_s = None
        self._since_key = 0
        self._recent_pts.clear()
        self.peak.restart()

    def _picture(self, frame: Frame, dts_s: float, pts_s: float) -> None:
        recent = self._recent_pts
        pts = frame.pts
        if recent:
            # Pictures decoded before this one and shown after it: the reorder depth a decoder needs.
            depth = sum(1 for earlier in recent if earlier > pts)
            if depth > self.reorder_depth:
                self.reorder_depth = depth
        recent.append(pts)
        if frame.key:
            if self._key_dts_s is not None:
                self.gop_frames.add(self._since_key)
                self.gop_s.add(dts_s - self._key_dts_s)
            self._key_dts_s = dts_s
            self._since_key = 0
            self.key_frames += 1
            if len(self.key_times_s) < MAX_KEYFRAME_TIMES:
                self.key_times_s.append(round(pts_s, 6))
        if self._key_dts_s is not None:
            self._since_key += 1

    @property
    def duration_s(self) -> float | None:
        """Media time covered, the last frame included; jumps left out."""
        if not self.frames:
            return None
        last = self._last_duration_s or (self._elapsed_s / self._steps if self._steps else 0.0)
        return self._elapsed_s + last

    @property
    def fps(self) -> float | None:
        """Frames per second by decode times."""
        return self._steps / self._elapsed_s if self._elapsed_s > 0 else None

    @property
    def bitrate_bps(self) -> float | None:
        """Average over the duration."""
        duration = self.duration_s
        return self.bytes * 8 / duration if duration else None

    @property
    def unfinished_gop(self) -> tuple[int, float] | None:
        """Frames and seconds since the last key frame."""
        if self._key_dts_s is None or self._last_dts_s is None:
            return None
        return self._since_key, self._last_dts_s - self._key_dts_s

    @property
    def dts_s(self) -> float | None:
        """The latest decode time."""
        return self._last_dts_s

    def figures(self) -> dict[str, Any]:
        """The measurements as the report shows them: numbers as numbers, units in the keys, None for unknown."""
        track = self.track
        scale = track.timescale
        seen = self.frames > 0
        video, audio = track.kind is Kind.VIDEO, track.kind is Kind.AUDIO
        result: dict[str, Any] = {
            "id": track.id,
            "kind": track.kind.value,
            "codec": track.codec,
            "codec_string": track.codec_string or None,
            "profile": track.profile or None,
            "language": track.language or None,
            "label": track.label or None,
            "timescale_hz": scale,
            "width": track.width or None if video else None,
            "height": track.height or None if video else None,
            "fps_declared": _rounded(float(track.fps)) if track.fps and video else None,
            "fps_measured": _rounded(self.fps) if video else None,
            "sample_rate_hz": track.sample_rate or None if audio else None,
            "channels": track.channels or None if audio else None,
            "frames": self.frames,
            "size_bytes": self.bytes,
            "bitrate_bps": _whole(self.bitrate_bps),
            "peak_bitrate_bps": self.peak.peak_bits,
            "declared_bitrate_bps": track.bitrate_bps or None,
            "duration_s": _rounded(self.duration_s),
            "first_pts": self.first_pts if seen else None,
            "last_pts": self.last_pts if seen else None,
            "first_dts": self.first_dts if seen else None,
            "last_dts": self.last_dts if seen else None,
            "first_pts_s": _rounded(self.first_pts / scale) if seen else None,
            "last_pts_s": _rounded(self.last_pts / scale) if seen else None,
            "min_pts_s": _rounded(self.min_pts_s) if seen else None,
            "max_pts_s": _rounded(self.max_pts_s) if seen else None,
            "gaps": {
                "count": self.gaps,
                "longest_step_s": _rounded(self.longest_step_s),
                "listed": self.gap_list,
            },
            "jumps": {"count": self.jumps, "listed": self.jump_list},
            "non_monotonic_dts": self.non_monotonic,
            "pts_before_dts": self.pts_before_dts,
            "key_frames": None,
            "key_frame_times_s": None,
            "key_frame_times_complete": None,
            "gop": None,
            "reorder_depth": None,
        }
        if video:
            unfinished = self.unfinished_gop
            result |= {
                "key_frames": self.key_frames,
                "key_frame_times_s": self.key_times_s,
                "key_frame_times_complete": len(self.key_times_s) == self.key_frames,
                "reorder_depth": self.reorder_depth if seen else None,
                "gop": {
                    "count": self.gop_frames.count,
                    "min_frames": _whole(self.gop_frames.minimum),
                    "avg_frames": _rounded(self.gop_frames.average),
                    "max_frames": _whole(self.gop_frames.maximum),
                    "min_s": _rounded(self.gop_s.minimum),
                    "avg_s": _rounded(self.gop_s.average),
                    "max_s": _rounded(self.gop_s.maximum),
                    "unfinished_frames": unfinished[0] if unfinished else None,
                    "unfinished_s": _rounded(unfinished[1]) if unfinished else None,
                },
            }
        return result


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
