"""Events in, measurements out: what `probe` knows about a stream. Pure; arrival times are arguments."""

from typing import Any

from evotools.media.frame import Discontinuity, Event, Frame, Metadata, Tracks
from evotools.media.track import Kind, Track
from evotools.probe.measure import MAX_LISTED, TrackMeasure

SCHEMA = "evotools.probe/1"
"""Name and version of the JSON report. Additions keep the number; a change of meaning raises it."""
JITTER_GAIN = 16
"""RFC 3550 6.4.1: the smoothing of interarrival jitter."""


class Arrival:
    """How evenly media arrives, against its own decode times."""

    def __init__(self) -> None:
        self._base: float | None = None
        self._last: float | None = None
        self._least: float | None = None
        self._last_now: float | None = None
        self.jitter_s = 0.0
        self.spread_s = 0.0
        self.silence_s = 0.0
        self.first_now: float | None = None

    def add(self, dts_s: float, now: float) -> None:
        """A frame with decode time `dts_s` arrived at `now` (seconds of one monotonic clock)."""
        transit = now - dts_s
        if self._last_now is not None:
            self.silence_s = max(self.silence_s, now - self._last_now)
        else:
            self.first_now = now
        self._last_now = now
        if self._last is not None:
            self.jitter_s += (abs(transit - self._last) - self.jitter_s) / JITTER_GAIN
        self._last = transit
        if self._least is None or transit < self._least:
            self._least = transit
        self.spread_s = max(self.spread_s, transit - self._least)

    def restart(self) -> None:
        """Media time jumped; transit times before and after do not compare."""
        self._last = self._least = None

    def figures(self) -> dict[str, Any]:
        """As the report shows them."""
        return {
            "jitter_s": round(self.jitter_s, 6),
            "spread_s": round(self.spread_s, 6),
            "longest_silence_s": round(self.silence_s, 6),
        }


class Analysis:
    """Measures a stream: feed it every event with its arrival time, ask for the report at any moment."""

    def __init__(self, *, source: str = "", live: bool = False) -> None:
        self.source = source
        self.live = live
        self.container = ""
        self.measures: dict[int, TrackMeasure] = {}
        self._current: tuple[Track, ...] = ()
        self.epochs = 0
        self.discontinuities = 0
        self.discontinuity_list: list[dict[str, Any]] = []
        self.metadata: dict[str, Any] = {}
        self.arrival = Arrival()
        self._max_skew_s: float | None = None
        self._skew_s: float | None = None
        self._clock_s: float | None = None
        self._first_s: float | None = None
        self._interval_from: float | None = None

    def add(self, event: Event, now: float) -> None:
        """Take one event in; `now` is its arrival in seconds of a monotonic clock."""
        if isinstance(event, Frame):
            self._frame(event, now)
        elif isinstance(event, Tracks):
            self.epochs += 1
            self._current = event.tracks
            for track in event.tracks:
                known = self.measures.get(track.id)
                if known is None:
                    self.measures[track.id] = TrackMeasure(track)
                else:
                    known.track = track
        elif isinstance(event, Discontinuity):
            self.discontinuities += 1
            if len(self.discontinuity_list) < MAX_LISTED:
                at = self._clock_s
                self.discontinuity_list.append({"at_s": None if at is None else round(at, 6), "reason": event.reason})
            for measure in self.measures.values():
                measure.break_here()
            self.arrival.restart()
        elif isinstance(event, Metadata) and len(self.metadata) < MAX_LISTED:
            self.metadata[event.name] = event.value

    def _frame(self, frame: Frame, now: float) -> None:
        measure = self.measures.get(frame.track.id)
        if measure is None:
            measure = self.measures[frame.track.id] = TrackMeasure(frame.track)
        jumps = measure.jumps
        measure.add(frame)
        dts_s = frame.dts_s
        self._clock_s = dts_s
        if self._first_s is None:
            self._first_s = dts_s
        if measure.jumps != jumps:
            self.arrival.restart()
        elif self.live:
            self.arrival.add(dts_s, now)
        self._skew()

    def _first_of(self, kind: Kind) -> TrackMeasure | None:
        return next((m for m in self.measures.values() if m.track.kind is kind and m.frames), None)

    def _skew(self) -> None:
        video, audio = self._first_of(Kind.VIDEO), self._first_of(Kind.AUDIO)
        if video is None or audio is None or video.dts_s is None or audio.dts_s is None:
            return
        if video.jumps != audio.jumps:
            # One of them jumped and the other has not yet.
            return
        self._skew_s = audio.dts_s - video.dts_s
        if self._max_skew_s is None or abs(self._skew_s) > abs(self._max_skew_s):
            self._max_skew_s = self._skew_s

    @property
    def frames(self) -> int:
        """Frames of all tracks."""
        return sum(m.frames for m in self.measures.values())

    @property
    def media_s(self) -> float:
        """Media time since the first frame, jumps left out: the longest track."""
        return max((m.duration_s or 0.0 for m in self.measures.values()), default=0.0)

    def sync(self) -> dict[str, Any]:
        """Audio against video, seconds; positive means that audio is later.

        `start_skew_s` and `end_skew_s` compare the first and last presentation times, `max_skew_s` is the largest
        distance of the two decode clocks in the order of arrival: multiplexing distance plus any drift.
        """
        video, audio = self._first_of(Kind.VIDEO), self._first_of(Kind.AUDIO)
        if video is None or audio is None:
            return {"start_skew_s": None, "end_skew_s": None, "max_skew_s": None}
        return {
            "start_skew_s": round(audio.min_pts_s - video.min_pts_s, 6),
            "end_skew_s": round(audio.end_s - video.end_s, 6),
            "max_skew_s": None if self._max_skew_s is None else round(self._max_skew_s, 6),
        }

    def report(self, *, complete: bool = True) -> dict[str, Any]:
        """The report as plain data. `complete` tells that the source came to its end by itself."""
        tracks = [m.figures() for m in self.measures.values()]
        size = sum(m.bytes for m in self.measures.values())
        rates = [m.bitrate_bps for m in self.measures.values() if m.bitrate_bps]
        peaks = [m.peak.peak_bits for m in self.measures.values() if m.peak.peak_bits is not None]
        return {
            "schema": SCHEMA,
            "source": self.source,
            "container": self.container or None,
            "live": self.live,
            "complete": complete,
            "duration_s": round(self.media_s, 6) if self.frames else None,
            "frames": self.frames,
            "size_bytes": size,
            "bitrate_bps": round(sum(rates)) if rates else None,
            "peak_bitrate_bps": sum(peaks) if peaks else None,
            "tracks": tracks,
            "sync": self.sync(),
            "epochs": self.epochs,
            "discontinuities": {"count": self.discontinuities, "listed": self.discontinuity_list},
            "arrival": self.arrival.figures() if self.live and self.frames else None,
        }

    def interval(self, now: float) -> dict[str, Any]:
        """Figures since the last call; `now` in seconds of the clock that the caller watches by."""
        since, self._interval_from = self._interval_from, now
        seconds = 0.0 if since is None else now - since
        tracks = []
        for measure in self.measures.values():
            fps = bitrate = None
            if seconds > 0:
                fps = round(measure.interval_frames / seconds, 3) if measure.track.kind is Kind.VIDEO else None
                bitrate = round(measure.interval_bytes * 8 / seconds)
            tracks.append({
                "id": measure.track.id, "kind": measure.track.kind.value, "codec": measure.track.codec,
                "frames": measure.interval_frames, "fps": fps, "bitrate_bps": bitrate, "gaps": measure.gaps,
            })  # fmt: skip
            measure.interval_frames = measure.interval_bytes = 0
        skew = self._skew_s
        return {
            "schema": SCHEMA + "#watch",
            "media_s": round(self.media_s, 3),
            "interval_s": round(seconds, 3),
            "tracks": tracks,
            "skew_s": None if skew is None else round(skew, 6),
            "jumps": sum(m.jumps for m in self.measures.values()),
            "discontinuities": self.discontinuities,
            "jitter_s": round(self.arrival.jitter_s, 6) if self.live else None,
        }
