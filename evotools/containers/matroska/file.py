"""A Matroska or WebM file that is playable while it grows."""

import struct
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise

from evotools.containers.matroska.elements import element, size_of, small, small_number, void
from evotools.containers.matroska.mux import CLUSTER, SEGMENT, TICKS_PER_S, UNKNOWN, MatroskaMuxer, header
from evotools.media.frame import Frame
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track

FILE_CLUSTER_TICKS = 3 * TICKS_PER_S
"""Longest cluster of a file, which loses nothing on its way."""
CUE_TICKS = TICKS_PER_S // 2
"""Least distance of two entries in the index: a file of key frames only needs no entry for each."""


class MatroskaFile(MatroskaMuxer):
    """One file: the live form while it grows, so that a kill leaves it playable; sizes, duration and index at the end.

    `start` is called once. `end` takes the place of `finish`.
    """

    def __init__(self, doctype: str = "matroska", *, origin_s: float | None = None) -> None:
        """`origin_s`: the time of the source that becomes zero; None keeps times as they are."""
        super().__init__(doctype)
        self._cluster_ticks = FILE_CLUSTER_TICKS
        if origin_s is not None:
            self._shift = -round(origin_s * TICKS_PER_S)
        self._cue_track = 0
        self._segment = 0
        """Where the segment's content begins; positions in the index count from there."""
        self._info = 0
        self._entries = 0
        self._at = 0
        """Bytes given out."""
        self._clusters = array("Q")
        self._cue_times = array("Q")
        self._cue_clusters = array("Q")
        self._zero: int | None = None if origin_s is None else 0
        """Time from which the duration counts."""
        self._end = 0

    def start(self, tracks: Sequence[Track]) -> bytes:
        """The header, with room for what only the end tells. Raises MediaError."""
        super().start(tracks)
        ranked = sorted(tracks, key=lambda t: t.kind is not Kind.VIDEO)
        self._cue_track = ranked[0].id if ranked else 0
        head = header(tracks, self.doctype, seek=void(_SEEK_SIZE), duration=void(_DURATION_SIZE))
        self._segment = head.index(SEGMENT + UNKNOWN) + 12
        # RFC 8794 6.1: an element's size stands in the 8 octets behind its identifier here.
        self._info = self._segment + _SEEK_SIZE
        length = int.from_bytes(head[self._info + 4 : self._info + 12], "big") & (1 << 56) - 1
        self._entries = self._info + 12 + length
        self._at = len(head)
        return head

    def write(self, frame: Frame) -> bytes:
        """One block, and before it a new cluster at a video key frame and every three seconds."""
        data = super().write(frame)
        if not data:
            return data
        track = frame.track
        shift = (self._shift or 0) + self._delay[track.id]
        scale = track.timescale
        ticks = rescale(frame.pts, scale, TICKS_PER_S) + shift
        if self._zero is None:
            self._zero = ticks
        end = rescale(frame.pts + frame.duration, scale, TICKS_PER_S) + shift
        if end > self._end:
            self._end = end
        if data.startswith(CLUSTER):
            self._clusters.append(self._at)
            if (
                track.id == self._cue_track
                and frame.key
                and ticks >= 0
                and (not self._cue_times or ticks >= self._cue_times[-1] + CUE_TICKS)
            ):
                self._cue_times.append(ticks)
                self._cue_clusters.append(self._at - self._segment)
        self._at += len(data)
        return data

    def end(self) -> tuple[bytes, Iterator[tuple[int, bytes]]]:
        """(bytes to append, what to overwrite then: offset and bytes)."""
        return self._cues(), self._patches(self._at)

    def _cues(self) -> bytes:
        index = self._numbers.get(self._cue_track, 1)
        points = [
            small(0xBB, small_number(0xB3, time) + small(0xB7, small_number(0xF7, index) + small_number(0xF1, at)))
            for time, at in zip(self._cue_times, self._cue_clusters, strict=True)
        ]
        # RFC 9559 5.1.5: Cues without a CuePoint are not allowed.
        return element(0x1C53BB6B, b"".join(points)) if points else b""

    def _patches(self, cues_at: int) -> Iterator[tuple[int, bytes]]:
        for start, end in pairwise((*self._clusters, cues_at)):
            yield start + 4, size_of(end - start - 12)
        yield self._segment - 8, size_of(self._at + len(self._cues()) - self._segment)
        seeks = [(0x1549A966, self._info), (0x1654AE6B, self._entries)]
        if self._cue_times:
            seeks.append((0x1C53BB6B, cues_at))
        body = b"".join(
            element(0x4DBB, element(0x53AB, ident.to_bytes(4, "big"))
                    + element(0x53AC, (at - self._segment).to_bytes(8, "big")))
            for ident, at in seeks
        )  # fmt: skip
        head = element(0x114D9B74, body)
        yield self._segment, head + (void(_SEEK_SIZE - len(head)) if len(head) < _SEEK_SIZE else b"")
        duration = float(max(self._end - (self._zero or 0), 1))
        yield self._entries - _DURATION_SIZE, element(0x4489, struct.pack(">d", duration))


_SEEK_SIZE = 12 + 3 * 42
"""A SeekHead with three entries, each of an identifier and a position of 8 octets."""
_DURATION_SIZE = 18
