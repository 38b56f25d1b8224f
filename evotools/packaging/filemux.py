"""What a recorded file consists of: the containers that `segment` writes, one file after the other. Pure.

Every kind is playable as far as it was written. Those that can be told their length and get an index get it at the
end, by `end`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from evotools.media.frame import Frame, Metadata
from evotools.media.track import Track

Container = Literal["ts", "fmp4", "mp4", "mkv", "webm", "flv"]
FORMATS: dict[str, Container] = {
    "ts": "ts", "mpegts": "ts", "m2ts": "ts", "fmp4": "fmp4", "cmaf": "fmp4", "mp4": "mp4", "mkv": "mkv",
    "matroska": "mkv", "webm": "webm", "flv": "flv",
}  # fmt: skip
"""What `--format` means; ffmpeg's names work."""
SUFFIXES: dict[str, Container] = {
    ".ts": "ts", ".m2ts": "ts", ".mts": "ts", ".mpegts": "ts", ".mp4": "mp4", ".m4v": "mp4", ".m4a": "mp4",
    ".m4s": "fmp4", ".cmfv": "fmp4", ".cmfa": "fmp4", ".mkv": "mkv", ".mka": "mkv", ".webm": "webm", ".flv": "flv",
}  # fmt: skip
"""What the suffix of a name means."""
TIMESTAMPS: dict[Container, tuple[str, ...]] = {
    "ts": ("keep", "reset"), "mkv": ("reset", "keep"), "webm": ("reset", "keep"), "flv": ("reset", "keep"),
    "mp4": ("reset",), "fmp4": ("reset",),
}  # fmt: skip
"""How files may count their time, the default first: as the source does, or from zero."""


class FileMux(ABC):
    """The files of one recording, one after the other: `begin`, `write` …, `end`, and again."""

    header_bytes = 0
    """Length of what the current file has before its first fragment; 0 where there are no fragments."""
    preroll_s = 0.0
    """What begins so little before zero is not presented: it is what decoders need to begin with."""
    unit = 0
    """A file may end after any multiple of so many bytes; 0 where only whole parts are of use."""
    described: Metadata | None = None
    """The publisher's onMetaData, for the header of the next file where there is a place for it."""
    write: Callable[[Sequence[Frame]], list[bytes]]
    """The bytes of frames of the current file, and of what was held before them, in whole parts; may be empty."""

    @abstractmethod
    def accepts(self, track: Track) -> bool:
        """Whether the container has a name for the track's codec."""

    @abstractmethod
    def begin(self, tracks: Sequence[Track], origin_s: float, *, follows: bool) -> bytes:
        """The header of the next file.

        `origin_s` is the earliest decode time in it; `follows`: it goes on where the last file ended. Raises
        MediaError when a track cannot be carried.
        """

    def write_metadata(self, metadata: Metadata) -> bytes:
        """Timed data at this point of the current file, where the container has a place for it. Before the first
        `begin` it tells that there will be some."""
        return b""

    @abstractmethod
    def end(self) -> tuple[bytes, Iterable[tuple[int, bytes]]]:
        """(bytes to append, what to overwrite then: offset and bytes). The order matters should it be cut off here."""


def _each(write: Callable[[Frame], bytes]) -> Callable[[Sequence[Frame]], list[bytes]]:
    return lambda frames: list(map(write, frames))


class _Ts(FileMux):
    """Files that may be joined as they are: continuity counters and clocks run through, unless times begin anew."""

    unit = 188

    def __init__(self, *, keep: bool) -> None:
        from evotools.containers.mpegts.mux import TsMuxer

        self._new = TsMuxer
        self._keep = keep
        self._muxer = TsMuxer()
        self.write = lambda frames: [self._muxer.write_batch(frames)]
        self._tracks: tuple[Track, ...] | None = None
        self._timed: Metadata | None = None

    def accepts(self, track: Track) -> bool:
        return self._muxer.accepts(track)

    def begin(self, tracks: Sequence[Track], origin_s: float, *, follows: bool) -> bytes:
        new = tuple(tracks)
        if not self._keep:
            self._muxer = self._new(offset=-round(origin_s * 90000))
            if self._timed is not None:
                # Later files have a place for it from the beginning.
                self._muxer.write_metadata(self._timed)
        elif self._tracks == new:
            return (b"" if follows else self._muxer.restart()) + self._muxer.tables()
        self._tracks = new
        return self._muxer.start(new)

    def write_metadata(self, metadata: Metadata) -> bytes:
        self._timed = metadata
        return self._muxer.write_metadata(metadata)

    def end(self) -> tuple[bytes, Iterable[tuple[int, bytes]]]:
        return self._muxer.finish(), ()


class _Flv(FileMux):
    def __init__(self, *, keep: bool) -> None:
        from evotools.containers.flv.mux import FlvMuxer

        self._new = FlvMuxer
        self._keep = keep
        self._muxer = FlvMuxer()

    def accepts(self, track: Track) -> bool:
        return self._muxer.accepts(track)

    def begin(self, tracks: Sequence[Track], origin_s: float, *, follows: bool) -> bytes:
        self._muxer = self._new(offset_ms=None if self._keep else -round(origin_s * 1000))
        self.write = _each(self._muxer.write)
        if self.described is not None:
            self._muxer.write_metadata(self.described)
        return self._muxer.start(tracks)

    def write_metadata(self, metadata: Metadata) -> bytes:
        return self._muxer.write_metadata(metadata)

    def end(self) -> tuple[bytes, Iterable[tuple[int, bytes]]]:
        return self._muxer.finish(), ()


class _Matroska(FileMux):
    def __init__(self, doctype: str, *, keep: bool) -> None:
        from evotools.containers.matroska import MatroskaFile

        self._new = MatroskaFile
        self._doctype = doctype
        self._keep = keep
        self._muxer = MatroskaFile(doctype)

    def accepts(self, track: Track) -> bool:
        return self._muxer.accepts(track)

    def begin(self, tracks: Sequence[Track], origin_s: float, *, follows: bool) -> bytes:
        self._muxer = self._new(self._doctype, origin_s=None if self._keep else origin_s)
        self.write = _each(self._muxer.write)
        return self._muxer.start(tracks)

    def end(self) -> tuple[bytes, Iterable[tuple[int, bytes]]]:
        return self._muxer.end()


class _Fragmented(FileMux):
    preroll_s = 1.0

    def __init__(self) -> None:
        from evotools.containers.mp4.hybrid import MAX_FRAGMENT_S
        from evotools.containers.mp4.mux import Fmp4Muxer

        self._new = Fmp4Muxer
        self._longest_s = MAX_FRAGMENT_S
        self._muxer = Fmp4Muxer()

    def accepts(self, track: Track) -> bool:
        return self._muxer.accepts(track)

    def begin(self, tracks: Sequence[Track], origin_s: float, *, follows: bool) -> bytes:
        self.header_bytes = 0
        self._muxer = self._new(max_s=self._longest_s)
        self.write = _each(self._write)
        return self._muxer.start(tracks)

    def write_metadata(self, metadata: Metadata) -> bytes:
        return self._muxer.write_metadata(metadata)

    def _write(self, frame: Frame) -> bytes:
        data = self._muxer.write(frame)
        if data and not self.header_bytes:
            self.header_bytes = _before_moof(data)
        return data

    def end(self) -> tuple[bytes, Iterable[tuple[int, bytes]]]:
        data = self._muxer.finish()
        if data and not self.header_bytes:
            self.header_bytes = _before_moof(data)
        return data, ()


def _before_moof(data: bytes) -> int:
    from evotools.containers.mp4.boxes import header

    at = 0
    while (found := header(data, at, len(data))) is not None and found[0] != b"moof":
        at += found[2]
    return at


class _Mp4(FileMux):
    preroll_s = 1.0

    def __init__(self) -> None:
        from evotools.containers.mp4.hybrid import HybridWriter

        self._new = HybridWriter
        self._muxer = HybridWriter()

    def accepts(self, track: Track) -> bool:
        return self._muxer.accepts(track)

    def begin(self, tracks: Sequence[Track], origin_s: float, *, follows: bool) -> bytes:
        self._muxer = self._new()
        self.write = _each(self._muxer.write)
        return self._muxer.start(tracks)

    def end(self) -> tuple[bytes, Iterable[tuple[int, bytes]]]:
        return self._muxer.finish()


def make(container: Container, timestamps: str) -> FileMux:
    """The files of a container. `timestamps` is one of its TIMESTAMPS."""
    keep = timestamps == "keep"
    if container == "ts":
        return _Ts(keep=keep)
    if container == "flv":
        return _Flv(keep=keep)
    if container == "mp4":
        return _Mp4()
    if container == "fmp4":
        return _Fragmented()
    return _Matroska("webm" if container == "webm" else "matroska", keep=keep)
