"""One input of a packager: its cutter, and the frames of its open pieces by rendition."""

from collections.abc import Sequence
from enum import Enum
from fractions import Fraction
from typing import Protocol

from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from evotools.packaging.cutter import FIRST_KEY_S, SILENT_S, Cutter, Piece, Run
from evotools.packaging.grid import Grid
from evotools.packaging.roster import Out, same_media

LONG = 1.5
"""A piece this many times the target is worth a word: its key frames are too far apart."""
STORED_SILENT_S = 8.0
"""How far a stored picture falls behind the sound before that is cut without it. Longer than while live: the last
picture of a transport stream is known to be whole only at the end of the file, however much sound comes before."""
DEFAULT_HALF_FRAME_S = 0.02
"""Half a frame at 25 fps, where the stream does not declare its rate."""


class Change(Enum):
    """What the track list of a piece is to that of the piece before."""

    NONE = 0
    LIST = 1
    """Tracks came or went; the others go on."""
    MEDIA = 2
    """A track is encoded otherwise."""


class Batch:
    """The frames of one piece."""

    __slots__ = ("change", "lists", "outs", "slots")

    def __init__(self, outs: Sequence[Out], slots: dict[int, list[int]], change: Change) -> None:
        self.outs = outs
        self.slots = slots
        """Track id to the indices of the renditions that hold the track."""
        self.lists: list[list[Frame]] = [[] for _ in outs]
        """In stream order, one list for each of `outs`."""
        self.change = change

    def first(self, out: Out) -> Frame | None:
        """The first frame of a rendition."""
        for own, frames in zip(self.outs, self.lists, strict=True):
            if own is out and frames:
                return frames[0]
        return None


class Host(Protocol):
    """What a lane asks and tells its packager."""

    notices: list[str]

    def on_tracks(self, lane: "Lane", tracks: tuple[Track, ...]) -> list[Out]:
        """The renditions that these tracks of `lane` are written to from its next piece on."""
        ...

    def on_piece(self, lane: "Lane", piece: Piece, batch: Batch, following: Batch | None) -> None:
        """A piece is complete. `following` is what is there of the next one; None at the end and before a break."""
        ...


class Lane:
    """One input. The packager decides when it flows."""

    def __init__(self, host: Host, number: int, name: str, *, target_s: float, live: bool) -> None:
        self.number = number
        self.name = name
        """For messages."""
        self.grid = Grid(target_s)
        self.shift_s = Fraction(0)
        """Time as written minus time of the source."""
        self.tracks: tuple[Track, ...] = ()
        """Of the newest piece."""
        self.outs: list[Out] = []
        """What they are written to; at the end those that are not in the input any more."""
        self.announced: tuple[Track, ...] = ()
        """Of the newest epoch."""
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
        self.pieces = 0
        """Complete, and of these written."""
        self.written = 0
        self.next_number = 0
        """Of the next segment in all its renditions; 0 until the first is due."""
        self.breaks = 0
        """How many of the presentation's breaks it has come past, and how many of these are discontinuities."""
        self.discontinuities = 0
        self.half_frame_s = DEFAULT_HALF_FRAME_S
        self.has_video = False
        self.now_s = 0.0
        """Wall time of the newest call."""
        self._host = host
        self._cutter = Cutter(
            self.grid, max_s=self.grid.longest_s, live=live, silent_s=SILENT_S if live else STORED_SILENT_S,
            first_key_s=FIRST_KEY_S,
        )  # fmt: skip
        self._slots: dict[int, list[int]] = {}
        self._change = Change.NONE
        self._batches: dict[int, Batch] = {}
        self._told_long = self._told_forced = False

    def start(self, tracks: Sequence[Track], now_s: float) -> None:
        """An epoch of these tracks begins."""
        self.now_s = now_s
        again = bool(self.announced)
        if again and tuple(tracks) != self.announced:
            self._take(self._cutter.change(tracks))
        else:
            self._take(self._cutter.start(tracks))
        self.announced = tuple(tracks)

    def adopt(self, tracks: tuple[Track, ...]) -> None:
        """The next piece has these tracks."""
        if self.pieces or self._batches:
            self._change = _compare(self.tracks, tracks)
        self.tracks = tracks
        video = next((t for t in tracks if t.kind is Kind.VIDEO), None)
        self.has_video = video is not None
        if video is not None and video.fps:
            self.half_frame_s = float(1 / video.fps / 2)
        self.outs = self._host.on_tracks(self, tracks)
        self._slots = {t.id: [n for n, out in enumerate(self.outs) if t.id in out.ids] for t in tracks}

    def push(self, frames: Sequence[Frame], now_s: float) -> None:
        """Take frames of the current tracks, in stream order; cut them once the lane flows."""
        self.now_s = now_s
        first, last = frames[0], frames[-1]
        if self.first_s is None:
            self.first_s = first.dts / first.track.timescale
        self.newest_s = last.dts / last.track.timescale
        if self.flows:
            self._take(self._cutter.push(frames, now_s))
        else:
            self.waiting += frames

    def flow(self) -> None:
        """Cut what waited, and from now on what comes."""
        self.flows = True
        frames, self.waiting = self.waiting, []
        self._take(self._cutter.push(frames, self.now_s))

    def discontinuity(self) -> None:
        """The next frames do not follow from the last ones."""
        self._take(self._cutter.discontinuity())

    def finish(self) -> None:
        """Nothing more comes."""
        self._take(self._cutter.finish())

    def _take(self, runs: Sequence[Run]) -> None:
        """Collect the frames of each piece by rendition; hand on the pieces that are complete."""
        batches = self._batches
        for piece, frames, complete in runs:
            batch = batches.get(piece.index)
            if batch is None:
                if piece.tracks != self.tracks:
                    self.adopt(piece.tracks)
                batch = batches[piece.index] = Batch(self.outs, self._slots, self._change)
                self._change = Change.NONE
            slots, lists = batch.slots, batch.lists
            for frame in frames:
                for slot in slots[frame.track.id]:
                    lists[slot].append(frame)
            if complete:
                del batches[piece.index]
                self._tell(piece)
                self._host.on_piece(self, piece, batch, batches.get(piece.index + 1))
                self.pieces += 1
                self.end_s = piece.end_s

    def _tell(self, piece: Piece) -> None:
        """Say once what is unusual about the key frames."""
        length_s, target_s = piece.end_s - piece.start_s, self.grid.target_s
        if not piece.independent:
            if not self._told_forced:
                self._told_forced = True
                self._host.notices.append(
                    f"{self.name}: no key frame at {piece.start_s:.3f} s nor for long before; segments without one "
                    "cannot be decoded by themselves"
                )
        elif length_s > LONG * target_s and not self._told_long:
            self._told_long = True
            self._host.notices.append(
                f"{self.name}: a segment of {length_s:.3g} s: segments end at key frames, and those do not come every "
                f"{target_s:g} s"
            )


def _compare(old: tuple[Track, ...], new: tuple[Track, ...]) -> Change:
    """What a changed list means for those who decode."""
    before = {t.id: t for t in old}
    now = {t.id: t for t in new}
    both = before.keys() & now.keys()
    if not both or any(not same_media(before[n], now[n]) for n in both):
        return Change.MEDIA
    return Change.NONE if before.keys() == now.keys() else Change.LIST


def first_picture_s(frames: Sequence[Frame]) -> float:
    """Where the first key frame of the first video track is presented; of other frames where there is none."""
    for frame in frames:
        if frame.key and frame.track.kind is Kind.VIDEO:
            return frame.pts / frame.track.timescale
    return frames[0].pts / frames[0].track.timescale
