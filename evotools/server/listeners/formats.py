"""The progressive formats by suffix: muxer, MIME type, the name `access` knows, and the choice of tracks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evotools.containers.base import Muxer
from evotools.containers.flv.mux import FlvMuxer
from evotools.containers.matroska import MatroskaMuxer
from evotools.containers.mp4.live import LiveMp4Muxer
from evotools.containers.mpegts.mux import TsMuxer
from evotools.media.select import first_of_each_kind
from evotools.media.track import Track

Choose = Callable[[Sequence[Track]], Sequence[Track]]


def _webm() -> MatroskaMuxer:
    return MatroskaMuxer("webm")


@dataclass(frozen=True, slots=True)
class Format:
    """One way to carry a stream over HTTP."""

    key: str
    """Of its feeds."""
    mime: str
    make: Callable[[], Muxer]
    choose: Choose = first_of_each_kind
    """The tracks of a stream that it carries when nobody says more."""

    @property
    def protocol(self) -> str:
        """What `access` calls it."""
        return f"http-{self.key}"


FORMATS: Mapping[str, Format] = {
    "flv": Format("flv", "video/x-flv", FlvMuxer),
    "ts": Format("ts", "video/mp2t", TsMuxer),
    "mp4": Format("mp4", "video/mp4", LiveMp4Muxer),
    "mkv": Format("mkv", "video/x-matroska", MatroskaMuxer),
    "webm": Format("webm", "video/webm", _webm),
}
"""By suffix, without the dot."""
