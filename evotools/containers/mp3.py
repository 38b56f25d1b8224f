"""MPEG audio of layers II and III as frames back to back."""

from collections.abc import Sequence

from evotools.errors import MediaError
from evotools.media.frame import Frame
from evotools.media.track import Track


class Mp3Muxer:
    """One MP3 or MP2 track as a plain byte stream: every frame carries its own header, readers join at any."""

    mime = "audio/mpeg"

    def __init__(self) -> None:
        self._id = -1

    def accepts(self, track: Track) -> bool:
        """Whether the track is MPEG audio."""
        return track.codec in ("mp3", "mp2")

    def start(self, tracks: Sequence[Track]) -> bytes:
        """There is no header. Raises MediaError for anything but one track of MPEG audio."""
        if len(tracks) != 1 or not self.accepts(tracks[0]):
            raise MediaError(
                f"MP3 holds one track of MPEG audio, not {', '.join(t.describe() for t in tracks) or 'none'}"
            )
        self._id = tracks[0].id
        return b""

    def write(self, frame: Frame) -> bytes:
        """The frame as it is."""
        return frame.payload if frame.track.id == self._id else b""

    def finish(self) -> bytes:
        """Nothing."""
        return b""
