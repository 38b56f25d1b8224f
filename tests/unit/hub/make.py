"""Tracks, frames and a readable muxer for the hub's tests."""

from collections.abc import Iterator, Sequence

from evotools.hub.hub import Hub
from evotools.hub.limits import Limits
from evotools.hub.stream import PublisherInfo
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind, Track

VIDEO = Track(1, Kind.VIDEO, "h264", 1000, b"one")
AUDIO = Track(2, Kind.AUDIO, "aac", 1000)
INFO = PublisherInfo("test", "here")


class TextMuxer:
    """Writes `v120K;` for a key frame of video at 120 ms, `[v+a:one]` as header, `{...}` for a change."""

    mime = "text/x-test"

    def __init__(self) -> None:
        self.starts = 0

    def accepts(self, track: Track) -> bool:
        return track.codec != "unknown"

    def start(self, tracks: Sequence[Track]) -> bytes:
        self.starts += 1
        text = "+".join(track.kind[0] for track in tracks) + ":" + tracks[0].config.decode()
        return (f"[{text}]" if self.starts == 1 else f"{{{text}}}").encode()

    def write(self, frame: Frame) -> bytes:
        return b"%s%d%s;" % (frame.track.kind[0].encode(), frame.dts, b"K" if frame.key else b"")

    def finish(self) -> bytes:
        return b"END"


class Wire:
    """A viewer's connection: what was written, and a peer that may stop taking it."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.stuck = 0
        self.closed: list[str] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def unsent(self) -> int:
        return self.stuck

    @property
    def text(self) -> str:
        return b"".join(self.writes).decode()


def video(dts: int, *, key: bool = False, size: int = 10, track: Track = VIDEO) -> Frame:
    return Frame(track, dts, dts, bytes(size), duration=40, key=key)


def audio(dts: int, *, size: int = 4, track: Track = AUDIO) -> Frame:
    return Frame(track, dts, dts, bytes(size), duration=20, key=True)


def gops(start: int, count: int, *, length: int = 4, step: int = 100, size: int = 10) -> Iterator[Event]:
    """`count` groups of `length` pictures, from `start` ms on."""
    for n in range(count * length):
        yield video(start + n * step, key=n % length == 0, size=size)


class Bench:
    """A hub with its own time, and one publisher."""

    def __init__(self, name: str = "live/a", tracks: Sequence[Track] = (VIDEO,), **limits: float) -> None:
        self.now = 0.0
        self.hub = Hub(lambda: self.now, limits=Limits(**limits))  # type: ignore[arg-type]
        self.publication = self.hub.publish(name, INFO)
        self.stream = self.publication.stream
        if tracks:
            self.publication.push([Tracks(tuple(tracks))])

    def push(self, *events: Event) -> None:
        self.publication.push(events)
