"""Small films in every container, made by our own writers: 25 pictures a second, a key frame each second."""

from collections.abc import Callable
from pathlib import Path

from evotools.containers.adts import AdtsMuxer
from evotools.containers.base import Muxer
from evotools.containers.flv.mux import FlvMuxer
from evotools.containers.matroska import MatroskaMuxer
from evotools.containers.mp4.hybrid import HybridWriter
from evotools.containers.mp4.mux import Fmp4Muxer
from evotools.containers.mpegts.mux import TsMuxer
from evotools.media.frame import Frame
from tests.unit.server.test_http_listener import AUDIO, VIDEO, media

MAKE: dict[str, Callable[[], Muxer]] = {
    "flv": FlvMuxer, "ts": TsMuxer, "mkv": MatroskaMuxer, "mp4": Fmp4Muxer, "aac": AdtsMuxer,
}  # fmt: skip


def frames(seconds: int, start_s: float = 0.0) -> list[Frame]:
    return [frame for frame in media(round(start_s * 1000), seconds * 1000) if isinstance(frame, Frame)]


def film(path: Path, seconds: int = 20, start_s: float = 0.0) -> Path:
    """A film in the container that the suffix names; `.frag.mp4` is a fragmented one."""
    media_frames = frames(seconds, start_s)
    suffix = path.suffix[1:]
    tracks = [AUDIO] if suffix == "aac" else [VIDEO, AUDIO]
    wanted = {track.id for track in tracks}
    if suffix == "mp4" and not path.stem.endswith(".frag"):
        writer = HybridWriter(brands="file")
        data = bytearray(writer.start(tracks))
        for part in writer.write_all(media_frames):
            data += part
        end, patches = writer.finish()
        data += end
        for offset, patch in patches:
            data[offset : offset + len(patch)] = patch
        path.write_bytes(data)
        return path
    muxer = MAKE[suffix]()
    parts = [muxer.start(tracks), *[muxer.write(f) for f in media_frames if f.track.id in wanted], muxer.finish()]
    path.write_bytes(b"".join(parts))
    return path
