"""What every byte stream shares: look at the bytes, demux; choose a container, mux.

Pipes, files, TCP, UDP and programs differ only in how bytes come and go.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from evotools.containers import sniff
from evotools.containers.base import Demuxer, Foreign, Muxer, NeedsSeeking
from evotools.endpoints.base import Refusal, Sink, Source
from evotools.errors import MediaError, NoMediaError, ParseError, UsageError
from evotools.log import get_logger
from evotools.media.frame import Event, Frame, Metadata
from evotools.media.track import Track

if TYPE_CHECKING:
    from evotools.endpoints.libav import ByteFeed
    from evotools.endpoints.mp4 import SpooledMp4, StoredMp4

log = get_logger("endpoints")

FORMAT_NAMES = {
    "ts": "ts", "mpegts": "ts", "m2ts": "ts", "flv": "flv", "mkv": "matroska", "matroska": "matroska", "webm": "webm",
    "mp4": "mp4", "fmp4": "fmp4", "mov": "mov", "adts": "adts", "aac": "adts", "h264": "annexb-h264",
    "hevc": "annexb-h265", "h265": "annexb-h265", "ogg": "ogg", "opus": "ogg", "wav": "wav", "nut": "nut", "mp3": "mp3",
    "ac3": "ac3", "flac": "flac", "avi": "avi", "mxf": "mxf", "y4m": "y4m", "auto": "",
}  # fmt: skip
"""What `-f` and file suffixes mean; ffmpeg's names work."""

PIPED_FRAGMENT_S = 1.0
"""Longest MP4 fragment in a byte stream: somebody waits at the other end."""


def format_name(given: str) -> str:
    """Our name for a container. Raises UsageError."""
    name = FORMAT_NAMES.get(given.lower())
    if name is None:
        raise UsageError(f"'{given}' is not a container format", hint=f"use {' '.join(sorted(FORMAT_NAMES))}")
    return name


def input_name(given: str) -> str:
    """The same for reading, where fragmented MP4 and QuickTime are MP4 like any other, and WebM is Matroska.

    Raises UsageError.
    """
    name = format_name(given)
    return {"fmp4": "mp4", "mov": "mp4", "webm": "matroska"}.get(name, name)


class ByteSource(Source):
    """A source of bytes in any container that we or libav can read."""

    may_spool = False
    """An MP4 with its header at the end may be kept in a temporary file: the input ends, and is ours."""

    def __init__(self) -> None:
        self._demuxer: Demuxer | None = None
        self._other: ByteFeed | StoredMp4 | SpooledMp4 | None = None
        """Reads in place of a demuxer: libav, or what needs to seek."""
        self._head = bytearray()
        self._past: list[bytes] | None = None
        """What a demuxer was fed, until it knows that it can read it."""
        self._ended = False

    @abstractmethod
    async def read_bytes(self) -> bytes:
        """The next bytes; empty at the end."""

    def stored_mp4(self) -> "StoredMp4 | None":
        """What reads the bytes at any place, where they lie in a regular file."""
        return None

    async def read(self) -> list[Event]:
        """Demux until there is something to give."""
        while not self._ended:
            if self._other is not None:
                batch = await self._other.read()
                self.duration_s = getattr(self._other, "duration_s", None)
                return batch
            data = await self.read_bytes()
            final = not data
            if self._demuxer is None:
                self._head += data
                if final and not self._head:
                    self._ended = True
                    raise NoMediaError(f"{self.uri.redacted}: ended without any data")
                if not self._choose(final=final):
                    continue
                if self.container == "mp4":
                    await self._open_stored()
                if self._demuxer is None:
                    continue
                data = bytes(self._head)
                self._head.clear()
            events = self._feed(data, final=final)
            if self._other is None:
                self._ended = final
                if events or final:
                    return events
        return []

    def _feed(self, data: bytes, *, final: bool) -> list[Event]:
        """Events of `data`; none when something else has to read it."""
        demuxer = self._demuxer
        assert demuxer is not None
        past = self._past
        if past is not None:
            past.append(data)
        try:
            events = demuxer.feed(data) if data else []
            if final:
                events += demuxer.flush()
        except (Foreign, NeedsSeeking) as error:
            if past is None:
                raise
            self._read_otherwise(error, b"".join(past), final=final)
            return []
        if past is not None and getattr(demuxer, "sure", True):
            self._past = None
            if not self.live and self.duration_s is None:
                self.duration_s = getattr(demuxer, "duration_s", None)
        return events

    def _read_otherwise(self, error: ParseError, head: bytes, *, final: bool) -> None:
        """Hand what cannot be demuxed, or not from the front, to what can read it."""
        name = self.uri.redacted
        self._demuxer = self._past = None
        if isinstance(error, Foreign):
            from evotools.endpoints.libav import ByteFeed

            log.info("%s: %s; reading it through libav", name, error.message)
            self._other = ByteFeed(self.uri, self.container, head, b"" if final else None, self.read_bytes)
        elif self.may_spool:
            from evotools.endpoints.mp4 import SpooledMp4

            self._other = SpooledMp4(head, None if final else self.read_bytes, name)
        else:
            raise MediaError(f"{name}: {error.message}", hint=error.hint)

    async def _open_stored(self) -> None:
        """Read an MP4 in a regular file at any place, where there is one that we can read."""
        stored = self.stored_mp4()
        if stored is None:
            return
        try:
            await stored.open()
        except ParseError as error:
            log.info("%s; reading it from the front", error)
            return
        self._other = stored
        self._demuxer = self._past = None
        self._head.clear()

    def _choose(self, *, final: bool) -> bool:
        """Pick a demuxer from the format option or the first bytes; False while undecided."""
        name = input_name(self.format) if self.format else ""
        if not name:
            if len(self._head) < sniff.MIN_SNIFF and not final:
                return False
            found = sniff.sniff(bytes(self._head[: sniff.SNIFF_BYTES]), ended=final)
            if found is None:
                if len(self._head) < sniff.SNIFF_BYTES and not final:
                    return False
                raise MediaError(f"{self.uri.redacted}: cannot tell what kind of media this is", hint="name it with -f")
            name = found
        if name in sniff.OURS:
            self._demuxer = sniff.make_demuxer(name, stored=not self.live)
            self._past = [] if hasattr(self._demuxer, "sure") else None
        else:
            from evotools.endpoints.libav import ByteFeed

            self._other = ByteFeed(self.uri, name, bytes(self._head), b"" if final else None, self.read_bytes)
            self._head.clear()
        self.container = name
        log.info("%s: reading %s", self.uri.redacted, name)
        return True

    async def close_demuxer(self) -> None:
        """Stop the thread of what reads in place of a demuxer, if there is one."""
        if self._other is not None:
            await self._other.close()


def make_muxer(name: str, *, latency: Literal["normal", "low"]) -> Muxer:
    """One of our muxers by name: ts, flv, fmp4 (which is what mp4 is where nothing can be overwritten). Raises
    UsageError."""
    if name == "ts":
        from evotools.containers.mpegts.mux import TsMuxer

        return TsMuxer(latency=latency)
    if name == "flv":
        from evotools.containers.flv.mux import FlvMuxer

        return FlvMuxer()
    if name in ("fmp4", "mp4"):
        from evotools.containers.mp4.mux import Fmp4Muxer

        return Fmp4Muxer("frame") if latency == "low" else Fmp4Muxer(max_s=PIPED_FRAGMENT_S)
    raise UsageError(f"evotools has no muxer for '{name}' here", hint="use ts, flv or fmp4")


def _write_metadata(muxer: Muxer, metadata: Metadata) -> bytes:
    write = getattr(muxer, "write_metadata", None)
    return b"" if write is None else write(metadata)


def mux_event(muxer: Muxer, event: Event) -> bytes:
    """The bytes of a frame, or of timed data where the format has a place for it."""
    if isinstance(event, Frame):
        return muxer.write(event)
    return _write_metadata(muxer, event) if isinstance(event, Metadata) else b""


class ByteSink(Sink):
    """A sink of bytes: MPEG-TS unless told otherwise, Matroska when a track has no name in TS.

    The choice is made once, when the track list is known, before the first byte.
    """

    default_format = "ts"
    may_fall_back = True

    def __init__(self) -> None:
        self._muxer: Muxer | None = None
        self._chosen = ""
        self._described: Metadata | None = None

    @abstractmethod
    async def write_bytes(self, data: bytes) -> None:
        """Send `data`, waiting while the peer is slow."""

    def _format(self) -> str:
        return format_name(self.format) if self.format else self.default_format

    def _choose(self, tracks: Sequence[Track]) -> Muxer:
        if self._muxer is not None:
            return self._muxer
        name = self._format()
        if name in ("matroska", "webm"):
            muxer = self._matroska(name)
        else:
            muxer = make_muxer(name, latency=self.latency)
            nameless = [t for t in tracks if not muxer.accepts(t)]
            if nameless and not self.format and self.may_fall_back:
                log.warning(
                    "%s: %s has no name in MPEG-TS; writing Matroska instead (-f ts forbids this)",
                    self.uri.redacted, nameless[0].describe(),
                )  # fmt: skip
                muxer = self._matroska("matroska")
        self._muxer = muxer
        return muxer

    def _matroska(self, name: str) -> Muxer:
        from evotools.containers.matroska import MatroskaMuxer

        return MatroskaMuxer(name)

    def offer(self, tracks: Sequence[Track]) -> list[Refusal]:
        """Tracks without a name in the container."""
        muxer = self._choose(tracks)
        refused = [Refusal(t, f"no name in {self._format()}") for t in tracks if not muxer.accepts(t)]
        if refused and self.format:
            track = refused[0].track
            raise MediaError(
                f"{self.uri.redacted}: {self.format} cannot carry {track.describe()}",
                hint=f"use -f mkv, or --drop '#{track.id}', or transcode first",
            )
        return refused

    def describe(self, metadata: Metadata) -> bool:
        """Kept for the header."""
        self._described = metadata
        return True

    async def start(self, tracks: Sequence[Track]) -> None:
        """Write the header of a new epoch."""
        muxer = self._choose(tracks)
        if self._described is not None:
            _write_metadata(muxer, self._described)
            self._described = None
        data = muxer.start(tracks)
        if data:
            await self.write_bytes(data)

    async def write(self, events: Sequence[Event]) -> None:
        """Mux a batch and send it with one write."""
        muxer = self._muxer
        assert muxer is not None
        data = b"".join([mux_event(muxer, e) for e in events])
        if data:
            await self.write_bytes(data)

    async def finish_muxer(self) -> None:
        """Write the container's trailer."""
        if self._muxer is not None:
            data = self._muxer.finish()
            if data:
                await self.write_bytes(data)
