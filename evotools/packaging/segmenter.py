"""Cuts a live stream into segments at key frames. Frames and time in, segments out; no I/O, no clock."""

from collections.abc import Callable, Sequence
from typing import Protocol

from evotools.containers.base import Muxer
from evotools.media.frame import Frame, Metadata
from evotools.media.track import Kind, Track

TARGET_S = 2.0
"""Default target duration: with three segments of head start a player is about 6 s behind."""
MAX_SEGMENT_BYTES = 50 * 1024 * 1024
"""A segment is cut here even without a key frame: 200 Mbit/s for 2 s. MediaMTX has the same limit."""
MAX_SEGMENT_S = 60.0
"""A stream with one key frame at its start still becomes segments, which then depend on earlier ones."""
SILENT_VIDEO_S = 4.0
"""A video track without frames for so long does not hold up the sound."""
MAX_FRAMES = 100_000
"""Frames of one segment: floods of empty frames cost objects, not bytes."""
_ROUNDING_S = 0.001
"""Container clocks round: 50 frames of 1/30 s in FLV's milliseconds may miss the target by one tick."""


class SegmentMuxer(Muxer, Protocol):
    """A muxer whose output can be cut: `finish` gives what was held, `tables` the beginning of the next piece."""

    def tables(self) -> bytes:
        """What a reader needs who begins here."""
        ...

    def write_metadata(self, metadata: Metadata) -> bytes:
        """Timed data; before `start` it announces that there is some. See `containers.base.Muxer`."""
        ...


class Segment:
    """A finished piece of media. Immutable once made; `sequence` and `name` are given by the window."""

    __slots__ = ("data", "discontinuity", "duration_s", "independent", "name", "sequence", "start_unix_s")

    def __init__(
        self,
        data: bytes,
        duration_s: float,
        start_unix_s: float,
        *,
        discontinuity: bool = False,
        independent: bool = True,
    ) -> None:
        self.data = data
        self.duration_s = duration_s
        self.start_unix_s = start_unix_s
        """Wall time of the first frame, for EXT-X-PROGRAM-DATE-TIME."""
        self.discontinuity = discontinuity
        """Timestamps, tracks or encoding do not follow from the segment before."""
        self.independent = independent
        """Decoding can start here."""
        self.sequence = 0
        self.name = ""

    def __repr__(self) -> str:
        return f"Segment({self.name or '?'} {self.duration_s:.3f} s, {len(self.data)} bytes)"


class Segmenter:
    """One run of segments over one stream.

    Cuts at the first key frame of the first video track that is at least `target_s` after the segment's first one,
    so segments are never shorter than the target (media sequence numbers that follow the clock depend on it), save
    where a break or a cap forces a cut. Without video, or while it is silent, every audio frame may be cut at.
    """

    def __init__(
        self,
        make_muxer: Callable[[], SegmentMuxer],
        *,
        target_s: float = TARGET_S,
        max_bytes: int = MAX_SEGMENT_BYTES,
        max_s: float = MAX_SEGMENT_S,
    ) -> None:
        self.target_s = target_s
        self.tracks: tuple[Track, ...] = ()
        """The tracks of the epoch that the muxer accepts."""
        self._make_muxer = make_muxer
        self._max_bytes = max_bytes
        self._max_s = max_s
        self._muxer: SegmentMuxer | None = None
        self._timed: Metadata | None = None
        """Some timed data of the stream, once there was any: the next muxer announces a place for it."""
        self._ids: frozenset[int] = frozenset()
        self._video: int | None = None
        self._reference = -1
        self._parts: list[bytes] = []
        self._size = 0
        self._frames = 0
        self._start_s: float | None = None
        """Presentation time of the open segment's first frame; None between segments."""
        self._start_unix_s = 0.0
        self._end_s = 0.0
        self._last_s: float | None = None
        self._video_seen_s: float | None = None
        self._independent = True
        self._broken = False
        self._first = True
        self._anchor_s: float | None = None
        """Unix time minus media time."""

    @property
    def open(self) -> bool:
        """Whether a segment has begun."""
        return self._start_s is not None

    def start(self, tracks: Sequence[Track]) -> list[Segment]:
        """A new epoch. Ends the open segment; the next one is marked as a discontinuity.

        Raises MediaError from the muxer.
        """
        done = self._break()
        muxer = self._make_muxer()
        self.tracks = tuple(track for track in tracks if muxer.accepts(track))
        self._ids = frozenset(track.id for track in self.tracks)
        video = next((t.id for t in self.tracks if t.kind is Kind.VIDEO), None)
        audio = next((t.id for t in self.tracks if t.kind is Kind.AUDIO), -1)
        self._video = video
        self._reference = audio if video is None else video
        return done

    def push(self, frames: Sequence[Frame], now_unix_s: float) -> list[Segment]:
        """Take frames in decode order, all of them known at `now_unix_s`; the segments that they complete."""
        done: list[Segment] = []
        if not frames:
            return done
        if self._anchor_s is None:
            # Replayed frames come in one burst; its newest one is the one that is "now".
            self._anchor_s = now_unix_s - frames[-1].dts_s
        ids = self._ids
        for frame in frames:
            track = frame.track
            if track.id not in ids:
                continue
            if self._may_cut(frame):
                pts_s = frame.pts / track.timescale
                if self._start_s is None:
                    if frame.key:
                        self._begin(frame, pts_s, independent=True)
                else:
                    elapsed = pts_s - self._start_s
                    if (frame.key and elapsed >= self.target_s - _ROUNDING_S) or self._full() or elapsed >= self._max_s:
                        done.append(self._cut(pts_s))
                        self._begin(frame, pts_s, independent=frame.key)
            elif self._start_s is not None and self._full():
                # A flood on a track that is otherwise not cut at.
                pts_s = frame.pts / track.timescale
                done.append(self._cut(pts_s))
                self._begin(frame, pts_s, independent=False)
            muxer = self._muxer
            if self._start_s is None or muxer is None:
                continue
            data = muxer.write(frame)
            if data:
                self._parts.append(data)
                self._size += len(data)
            self._frames += 1
            if track.id == self._reference:
                pts_s = frame.pts / track.timescale
                self._note(pts_s, frame.duration / track.timescale)
        return done

    def write_metadata(self, metadata: Metadata) -> None:
        """Timed data between the frames around it; nothing while no segment is open."""
        self._timed = metadata
        if self._muxer is None or self._start_s is None:
            return
        data = self._muxer.write_metadata(metadata)
        if data:
            self._parts.append(data)
            self._size += len(data)

    def discontinuity(self) -> list[Segment]:
        """The next frames do not follow from the last ones. Ends the open segment."""
        return self._break()

    def finish(self) -> list[Segment]:
        """The end of the stream: the open segment, if any."""
        return self._break()

    def _may_cut(self, frame: Frame) -> bool:
        track = frame.track
        if track.id == self._reference:
            if self._video is not None:
                self._video_seen_s = frame.dts / track.timescale
            elif not frame.key:
                return False
            return True
        if self._video is None or track.kind is not Kind.AUDIO:
            return False
        # The video track is announced but sends nothing.
        now_s = frame.dts / track.timescale
        if self._video_seen_s is None:
            self._video_seen_s = now_s
        return now_s - self._video_seen_s >= SILENT_VIDEO_S

    def _full(self) -> bool:
        return self._size >= self._max_bytes or self._frames >= MAX_FRAMES

    def _note(self, pts_s: float, duration_s: float) -> None:
        if not duration_s and self._last_s is not None and 0 < pts_s - self._last_s < 1:
            duration_s = pts_s - self._last_s
        self._last_s = pts_s
        if pts_s + duration_s > self._end_s:
            self._end_s = pts_s + duration_s

    def _begin(self, frame: Frame, pts_s: float, *, independent: bool) -> None:
        if self._muxer is None:
            self._muxer = self._make_muxer()
            if self._timed is not None:
                self._muxer.write_metadata(self._timed)
            header = self._muxer.start(self.tracks)
        else:
            header = self._muxer.tables()
        self._parts = [header]
        self._size = len(header)
        self._frames = 0
        self._start_s = self._end_s = pts_s
        self._independent = independent
        anchor = self._anchor_s or 0.0
        self._start_unix_s = frame.wallclock_s if frame.wallclock_s is not None else anchor + pts_s

    def _cut(self, end_s: float) -> Segment:
        assert self._start_s is not None
        assert self._muxer is not None
        held = self._muxer.finish()
        if held:
            self._parts.append(held)
        segment = Segment(
            b"".join(self._parts),
            max(end_s - self._start_s, 0.0),
            self._start_unix_s,
            discontinuity=self._broken,
            independent=self._independent,
        )
        self._parts = []
        self._start_s = None
        self._broken = False
        self._first = False
        return segment

    def _break(self) -> list[Segment]:
        done = []
        if self._start_s is not None:
            segment = self._cut(self._end_s)
            # Less than a frame is not worth a request.
            if segment.duration_s > 0:
                done.append(segment)
            elif segment.discontinuity:
                self._broken = True
        self._muxer = None
        self._anchor_s = None
        self._last_s = None
        self._video_seen_s = None
        self._broken = not self._first or self._broken
        return done
