"""One input of a packager: its tracks, its cutter, and the renditions that its pieces become."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from evotools.packaging.cutter import Cutter, Piece
from evotools.packaging.grid import Grid
from evotools.packaging.presentation import Rendition
from evotools.packaging.writers import Writer

LONG = 1.5
"""A piece this many times the target is worth a word: its key frames are too far apart."""
DEFAULT_HALF_FRAME_S = 0.02
"""Half a frame at 25 fps, where the stream does not declare its rate."""


@dataclass(frozen=True, slots=True)
class Key:
    """What makes a rendition the same one in a later epoch or run."""

    number: int
    """Of the input."""
    kind: Kind
    ordinal: int
    """Among the input's tracks of this kind."""


class Out:
    """One rendition being written."""

    __slots__ = ("begun", "ids", "init", "key", "rendition", "tracks", "writer")

    def __init__(self, key: Key, rendition: Rendition, tracks: tuple[Track, ...], writer: Writer | None) -> None:
        self.key = key
        self.rendition = rendition
        self.tracks = tracks
        """As its input has them; of `rendition.tracks` the codec strings may differ, they are those written."""
        self.ids = frozenset(t.id for t in tracks)
        self.writer = writer
        """None for a rendition that its input does not have any more: it gets gaps."""
        self.init = ""
        """Name of the initialisation segment of the epoch, once there is media."""
        self.begun = False
        """The writer knows the tracks."""


class Host(Protocol):
    """What a lane tells its packager."""

    notices: list[str]

    def on_piece(
        self, lane: "Lane", piece: Piece, lists: Sequence[Sequence[Frame]], following: Sequence[Sequence[Frame]] | None
    ) -> None:
        """A piece is complete: its frames by rendition, and those of the piece after it as far as they are known.

        `following` is None at the end and where the stream breaks.
        """
        ...


class Lane:
    """One input. The packager decides when it `opens` and flows."""

    def __init__(self, host: Host, number: int, name: str, *, target_s: float, live: bool) -> None:
        self.number = number
        self.name = name
        """For messages."""
        self.tracks: tuple[Track, ...] = ()
        self.grid = Grid(target_s)
        self.shift_s = Fraction(0)
        """Time as written minus time of the source."""
        self.outs: list[Out] = []
        self.waiting: list[Frame] = []
        """Frames from before it flows."""
        self.flows = False
        self.done = False
        """Nothing more comes."""
        self.first_s: float | None = None
        """Decode time of the first frame, and of the newest."""
        self.newest_s = 0.0
        self.end_s = 0.0
        """Time of the source up to which it was packaged."""
        self.breaks = 0
        """How many of the presentation's breaks it has come past."""
        self.changed = False
        """The next piece is the first of another encoding."""
        self.pieces = 0
        self.next_number = 0
        """Of the next segment in all its renditions; 0 until the first is due."""
        self.now_s = 0.0
        """Wall time of the newest call."""
        self.half_frame_s = DEFAULT_HALF_FRAME_S
        self.has_video = False
        self._host = host
        self._cutter = Cutter(self.grid, max_s=self.grid.longest_s, live=live)
        self._slots: dict[int, list[int]] = {}
        self._buffers: dict[int, list[list[Frame]]] = {}
        self._told_long = self._told_forced = False

    def begin(self, tracks: Sequence[Track]) -> bool:
        """An epoch of these tracks begins; whether they are other ones than before (then `assign` renditions)."""
        self._take(self._cutter.start(tracks))
        new = tuple(tracks)
        if new == self.tracks:
            self._restart()
            return False
        self.changed = self.pieces > 0
        self.tracks = new
        video = next((t for t in new if t.kind is Kind.VIDEO), None)
        self.has_video = video is not None
        if video is not None and video.fps:
            self.half_frame_s = float(1 / video.fps / 2)
        return True

    def assign(self, outs: list[Out]) -> None:
        """The renditions that the tracks of this epoch are written to."""
        self.outs = outs
        self._slots = {t.id: [n for n, out in enumerate(outs) if t.id in out.ids] for t in self.tracks}

    def push(self, frames: Sequence[Frame], now_s: float) -> None:
        """Take frames of the current tracks, in stream order; cut them once the lane flows."""
        first, last = frames[0], frames[-1]
        if self.first_s is None:
            self.first_s = first.dts / first.track.timescale
        self.newest_s = last.dts / last.track.timescale
        if self.flows:
            self._take(self._cutter.push(frames, now_s))
        else:
            self.waiting += frames

    def flow(self, now_s: float) -> None:
        """Cut what waited, and from now on what comes."""
        self.flows = True
        frames, self.waiting = self.waiting, []
        self._take(self._cutter.push(frames, now_s))

    def discontinuity(self) -> None:
        """The next frames do not follow from the last ones."""
        self._take(self._cutter.discontinuity())
        self._restart()

    def finish(self) -> None:
        """Nothing more comes."""
        self._take(self._cutter.finish())
        self.done = True

    def _restart(self) -> None:
        for out in self.outs:
            if out.writer is not None:
                out.writer.restart()

    def _take(self, runs: Sequence[tuple[Piece, list[Frame], bool]]) -> None:
        """Collect the frames of each piece by rendition; hand on the pieces that are complete."""
        slots, buffers = self._slots, self._buffers
        for piece, frames, complete in runs:
            lists = buffers.get(piece.index)
            if lists is None:
                lists = buffers[piece.index] = [[] for _ in self.outs]
            for frame in frames:
                for slot in slots[frame.track.id]:
                    lists[slot].append(frame)
            if complete:
                del buffers[piece.index]
                self._tell(piece)
                self._host.on_piece(self, piece, lists, buffers.get(piece.index + 1))
                self.pieces += 1
                self.end_s = piece.end_s

    def _tell(self, piece: Piece) -> None:
        """Say once what is unusual about the key frames."""
        length_s, target_s = piece.end_s - piece.start_s, self.grid.target_s
        if not piece.independent and not self._told_forced:
            self._told_forced = True
            self._host.notices.append(
                f"{self.name}: no key frame for {self.grid.longest_s:g} s at {piece.start_s:.3f} s; segments without "
                "one cannot be decoded by themselves"
            )
        elif length_s > LONG * target_s and not self._told_long:
            self._told_long = True
            self._host.notices.append(
                f"{self.name}: key frames are up to {length_s:.3g} s apart, so segments are longer than {target_s:g} s"
            )


def first_picture_s(frames: Sequence[Frame]) -> float:
    """Where the first key frame of the first video track is presented; of other frames where there is none."""
    for frame in frames:
        if frame.key and frame.track.kind is Kind.VIDEO:
            return frame.pts / frame.track.timescale
    return frames[0].pts / frames[0].track.timescale


def sound(track: Track) -> tuple[str, str, int]:
    """What makes two audio tracks of different inputs the same to a listener."""
    return track.codec, track.language, track.channels
