"""Where a reader may enter a stream."""

from collections.abc import Sequence

from evotools.media.frame import Frame
from evotools.media.track import Kind, Track

AUDIO_STEP_S = 0.5
"""Every audio frame is a key frame; marks twice a second are enough to start and to skip."""
SILENT_S = 2.0
"""A video track without any frame for so long does not hold up the sound: slow slide shows send one a second."""


class EntryPoints:
    """Says of each frame whether a reader may enter the stream at it.

    Key frames of the first video track, or, without one, an audio frame twice a second. Audio also serves while
    the video track is silent (announced but never sent, or gone).
    """

    __slots__ = ("_last_s", "_reference", "_seen_s", "_video")

    def __init__(self, tracks: Sequence[Track]) -> None:
        reference = next((t for t in tracks if t.kind is Kind.VIDEO), None)
        self._video = reference is not None
        if reference is None:
            reference = next((t for t in tracks if t.kind is Kind.AUDIO), tracks[0] if tracks else None)
        self._reference = -1 if reference is None else reference.id
        self._seen_s: float | None = None
        self._last_s: float | None = None

    def __call__(self, frame: Frame) -> bool:
        """Whether `frame` is an entry point; call once for every frame, in order."""
        if frame.track.id == self._reference and self._video:
            self._seen_s = frame.dts / frame.track.timescale
            if frame.key:
                self._last_s = self._seen_s
            return frame.key
        if not frame.key:
            return False
        now_s = frame.dts / frame.track.timescale
        if self._video:
            if self._seen_s is None:
                self._seen_s = now_s
            if now_s - self._seen_s < SILENT_S:
                return False
        elif frame.track.id != self._reference:
            return False
        if self._last_s is not None and 0 <= now_s - self._last_s < AUDIO_STEP_S:
            return False
        self._last_s = now_s
        return True
