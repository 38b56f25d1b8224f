"""Files: TS, FLV, MP4, Matroska and elementary streams by our own code, every other kind through libav."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import SEEK_END
from pathlib import Path
from typing import IO, TypeVar

from evotools.containers import sniff
from evotools.containers.base import Muxer
from evotools.endpoints.base import Context, Refusal, Sink, Source
from evotools.endpoints.bytestream import ByteSink, ByteSource, format_name, input_name
from evotools.endpoints.registry import SCHEMES
from evotools.errors import EvotoolsError, MediaError, NoMediaError, ParseError, UnreachableError, UsageError
from evotools.log import get_logger
from evotools.media.frame import Event, Frame, Metadata
from evotools.media.track import Kind, Track
from evotools.uri import Uri

log = get_logger("endpoints.file")
T = TypeVar("T")

READ_SIZE = 1 << 20
MATROSKA_READ_SIZE = 1 << 18
"""Less, because laced blocks may turn every byte into a frame."""
MAX_VECTOR = 1024
"""Parts of one vectored write: IOV_MAX of Linux and the BSDs."""
OWN_SUFFIXES = {
    ".ts": "ts", ".m2ts": "ts", ".mts": "ts", ".mpegts": "ts", ".flv": "flv",
    ".mp4": "mp4", ".m4v": "mp4", ".m4a": "m4a", ".cmfv": "cmfv", ".cmfa": "cmfa",
}  # fmt: skip
"""Suffixes of files that our own code writes, and the container of each."""
OWN = frozenset((*OWN_SUFFIXES.values(), "fmp4"))
"""Containers of files that our own code writes."""
_OPTIONS = SCHEMES["file"].options


def _why(uri: Uri, error: OSError) -> UnreachableError:
    return UnreachableError(f"{uri.redacted}: {error.strerror or error}")


class _OwnFileSource(ByteSource):
    """A file in a container that we read ourselves, from the front: also a named pipe."""

    live = False
    may_spool = True

    def __init__(self, uri: Uri, file: IO[bytes], pool: ThreadPoolExecutor) -> None:
        super().__init__()
        self.uri = uri
        self._file = file
        self._pool = pool

    async def open(self) -> None:
        """The file is open already."""

    async def read_bytes(self) -> bytes:
        """The next block."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._file.read, READ_SIZE)
        except OSError as error:
            raise _why(self.uri, error) from None

    async def close(self) -> None:
        """Nothing of its own."""
        await self.close_demuxer()


class _Mp4FileSource(Source):
    """An MP4 or QuickTime file."""

    live = False
    container = "mp4"

    def __init__(self, uri: Uri, file: IO[bytes], pool: ThreadPoolExecutor) -> None:
        from evotools.endpoints.mp4 import StoredMp4, read_at

        self.uri = uri
        self._stored = StoredMp4(read_at(file.fileno()), file.seek(0, SEEK_END), uri.redacted, pool)

    async def open(self) -> None:
        """Read the header. Raises Foreign, ParseError, MediaError."""
        await self._stored.open()
        self.duration_s = self._stored.duration_s

    async def read(self) -> list[Event]:
        """The next batch."""
        return await self._stored.read()

    async def close(self) -> None:
        """Nothing of its own."""


class _MatroskaFileSource(Source):
    """A Matroska or WebM file, from the front."""

    live = False
    container = "matroska"

    def __init__(self, uri: Uri, file: IO[bytes], pool: ThreadPoolExecutor) -> None:
        from evotools.containers.matroska.demux import MatroskaDemuxer

        self.uri = uri
        self._file = file
        self._pool = pool
        self._demuxer = MatroskaDemuxer(stored=True)
        self._waiting: list[Event] = []
        self._ended = self._begun = False

    async def open(self) -> None:
        """Read up to the tracks. Raises Foreign, ParseError."""
        while not self._demuxer.sure and not self._ended:
            self._waiting += await self._step()
        self.duration_s = self._demuxer.duration_s

    async def read(self) -> list[Event]:
        """The next batch. Raises ParseError, NoMediaError."""
        batch, self._waiting = self._waiting, []
        while not batch and not self._ended:
            batch = await self._step()
        if not batch and not self._begun:
            raise NoMediaError(f"{self.uri.redacted}: no frames in it")
        self._begun = True
        return batch

    async def _step(self) -> list[Event]:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._read_some)
        except OSError as error:
            raise _why(self.uri, error) from None
        except ParseError as error:
            raise type(error)(f"{self.uri.redacted}: {error.message}", hint=error.hint) from None

    def _read_some(self) -> list[Event]:
        data = self._file.read(MATROSKA_READ_SIZE)
        if data:
            return self._demuxer.feed(data)
        self._ended = True
        return self._demuxer.flush()

    async def close(self) -> None:
        """Nothing of its own."""


class FileSource(Source):
    """A file of any kind. Reads wait for the slowest destination."""

    live = False

    def __init__(self, uri: Uri, ctx: Context) -> None:
        self.uri = uri
        self._ctx = ctx
        options, _ = uri.options(_OPTIONS)
        self.format = options.get("format", "")
        self._file: IO[bytes] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._inner: Source | None = None

    async def open(self) -> None:
        """Open the file and tell its kind from its first bytes."""
        self._pool = ThreadPoolExecutor(1, "file")
        loop = asyncio.get_running_loop()
        try:
            self._file = await loop.run_in_executor(self._pool, _open, self.uri.path)
            name = input_name(self.format) if self.format else ""
            seekable = self._file.seekable()
            if not name and seekable:
                head = await loop.run_in_executor(self._pool, self._file.read, sniff.SNIFF_BYTES)
                self._file.seek(0)
                if not head:
                    raise MediaError(f"{self.uri.redacted}: the file is empty")
                name = sniff.sniff(head, ended=len(head) < sniff.SNIFF_BYTES) or "unknown"
        except OSError as error:
            raise _why(self.uri, error) from None
        if seekable and name in ("mp4", "matroska"):
            await self._open_own(_Mp4FileSource if name == "mp4" else _MatroskaFileSource)
        elif not seekable or name in sniff.OURS:
            self._inner = _OwnFileSource(self.uri, self._file, self._pool)
            self._inner.format = self.format
        if self._inner is None:
            from evotools.endpoints.libav import LibavSource

            self._file.close()
            self._inner = LibavSource(self.uri, self._ctx)
            self._inner.format = self.format
            self._inner.live = False
        if not isinstance(self._inner, (_Mp4FileSource, _MatroskaFileSource)):
            await self._inner.open()
        self.container = self._inner.container or name
        self.duration_s = self._inner.duration_s

    async def _open_own(self, reader: type[_Mp4FileSource] | type[_MatroskaFileSource]) -> None:
        """Read the file ourselves unless libav knows more of it."""
        assert self._file is not None and self._pool is not None
        source = reader(self.uri, self._file, self._pool)
        try:
            await source.open()
        except ParseError as error:
            log.info("%s; reading it through libav", error)
            return
        self._inner = source

    async def read(self) -> list[Event]:
        """The next batch."""
        assert self._inner is not None
        return await self._inner.read()

    async def close(self) -> None:
        """Close the file."""
        if self._inner is not None:
            await self._inner.close()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        if self._file is not None:
            self._file.close()


def _open(path: str) -> IO[bytes]:
    return Path(path).open("rb", buffering=0)


class _OwnFileSink(ByteSink):
    """TS, FLV and fragmented MP4 files."""

    may_fall_back = False

    def __init__(self, uri: Uri, format_: str) -> None:
        super().__init__()
        self.uri = uri
        self.format = ""
        self.default_format = format_
        self._pool = ThreadPoolExecutor(1, "file")
        self._file: IO[bytes] | None = None

    async def open(self) -> None:
        """Create the file."""
        try:
            self._file = await asyncio.get_running_loop().run_in_executor(self._pool, _create, self.uri.path)
        except OSError as error:
            raise _why(self.uri, error) from None

    async def write_bytes(self, data: bytes) -> None:
        """Append; the data is with the system when this returns, so a killed process loses nothing before it."""
        assert self._file is not None
        await self._in_thread(_write_all, self._file, data)

    async def _in_thread(self, write: Callable[[IO[bytes], T], None], file: IO[bytes], data: T) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, write, file, data)
        except OSError as error:
            raise EvotoolsError(f"{self.uri.redacted}: cannot be written: {error.strerror or error}") from None

    async def finish(self) -> None:
        """Write the trailer."""
        await self.finish_muxer()

    async def close(self) -> None:
        """Close the file."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._file is not None:
            self._file.close()
            self._file = None


def _create(path: str) -> IO[bytes]:
    return Path(path).open("wb", buffering=0)


def _write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _write_parts(file: IO[bytes], parts: Sequence[bytes]) -> None:
    """All parts, one behind the other, without joining them where the system can."""
    if not hasattr(os, "writev"):
        _write_all(file, b"".join(parts))
        return
    for start in range(0, len(parts), MAX_VECTOR):
        some = parts[start : start + MAX_VECTOR]
        done, total = os.writev(file.fileno(), some), sum(map(len, some))
        if done < total:
            _write_all(file, b"".join(some)[done:])


class _Mp4FileSink(_OwnFileSink):
    """MP4 files: playable while they grow, with one index at the end. M4A has sound only."""

    def __init__(self, uri: Uri, format_: str) -> None:
        super().__init__(uri, format_)
        from evotools.containers.mp4.hybrid import HybridWriter

        self._writer = HybridWriter(brands="m4a" if format_ == "m4a" else "file")
        self._whole = 0
        """Bytes up to the last fragment."""

    def offer(self, tracks: Sequence[Track]) -> list[Refusal]:
        """Tracks without a name in MP4; pictures in M4A."""
        sound_only = self.default_format == "m4a"
        return [
            Refusal(t, f"no place in {self.default_format}")
            for t in tracks
            if not self._writer.accepts(t) or (sound_only and t.kind is not Kind.AUDIO)
        ]

    async def start(self, tracks: Sequence[Track]) -> None:
        """Write the header, or carry on with the tracks as they are now."""
        await self._append([self._writer.start(tracks)])

    async def write(self, events: Sequence[Event]) -> None:
        """Write the fragments that a batch completes."""
        parts = self._writer.write_all([e for e in events if isinstance(e, Frame)])
        if parts:
            await self._append(parts)

    async def _append(self, parts: Sequence[bytes]) -> None:
        """All or nothing: readers refuse a file that ends in half a movie fragment box."""
        assert self._file is not None
        try:
            await self._in_thread(_write_parts, self._file, parts)
        except EvotoolsError:
            if self._file is not None:
                try:
                    self._file.truncate(self._whole)
                except OSError as error:
                    log.debug("%s: cannot be shortened: %s", self.uri.redacted, error)
            raise
        self._whole += sum(map(len, parts))

    async def finish(self) -> None:
        """Append the index and turn the file into an ordinary one."""
        data, patches = self._writer.finish()
        await self._append([data])
        for offset, patch in patches:
            assert self._file is not None
            self._file.seek(offset)
            await self.write_bytes(patch)


class _CmafFileSink(_OwnFileSink):
    """One CMAF track: .cmfv the first video, .cmfa the first audio track."""

    def offer(self, tracks: Sequence[Track]) -> list[Refusal]:
        """All but one track."""
        muxer = self._choose(tracks)
        kind = Kind.VIDEO if self.default_format == "cmfv" else Kind.AUDIO
        fitting = [t for t in tracks if t.kind is kind and muxer.accepts(t)][:1]
        return [Refusal(t, f"{self.default_format} holds one {kind} track") for t in tracks if t not in fitting]

    def _choose(self, tracks: Sequence[Track]) -> Muxer:
        if self._muxer is None:
            from evotools.containers.mp4.mux import Fmp4Muxer

            self._muxer = Fmp4Muxer(brands="cmaf")
        return self._muxer


def _own_sink(uri: Uri, name: str) -> _OwnFileSink:
    path = Path(uri.path)
    # Pipes and devices with a name take no corrections: what suits them is fragmented MP4.
    if name in ("mp4", "m4a") and (path.is_file() or not path.exists()):
        return _Mp4FileSink(uri, name)
    if name in ("cmfv", "cmfa"):
        return _CmafFileSink(uri, name)
    return _OwnFileSink(uri, "mp4" if name == "m4a" else name)


class FileSink(Sink):
    """A file; its suffix or `-f` tells the container."""

    def __init__(self, uri: Uri, ctx: Context) -> None:
        self.uri = uri
        self._ctx = ctx
        options, _ = uri.options(_OPTIONS)
        self.format = options.get("format", "")
        self._inner: Sink | None = None
        path = Path(uri.path)
        if path.is_dir():
            raise UsageError(f"{uri.redacted} is a folder", hint="name a file in it")
        if not ctx.options.get("force") and path.is_file() and path.stat().st_size:
            raise UsageError(f"{uri.redacted} exists already", hint="--force overwrites it")

    def _sink(self) -> Sink:
        if self._inner is None:
            suffix = Path(self.uri.path).suffix.lower()
            name = format_name(self.format) if self.format else OWN_SUFFIXES.get(suffix, "")
            if name in OWN or (not name and not suffix):
                self._inner = _own_sink(self.uri, name or "ts")
            else:
                from evotools.endpoints.libav import LibavSink

                self._inner = LibavSink(self.uri, self._ctx)
                self._inner.format = self.format
            self._inner.latency = self.latency
        return self._inner

    async def open(self) -> None:
        """Create the file."""
        await self._sink().open()

    def offer(self, tracks: Sequence[Track]) -> list[Refusal]:
        """Tracks without a name in the container."""
        return self._sink().offer(tracks)

    def describe(self, metadata: Metadata) -> bool:
        """What the publisher says of the whole stream."""
        return self._sink().describe(metadata)

    async def start(self, tracks: Sequence[Track]) -> None:
        """Write the header."""
        await self._sink().start(tracks)

    async def write(self, events: Sequence[Event]) -> None:
        """Write a batch."""
        await self._sink().write(events)

    async def finish(self) -> None:
        """Leave a playable file behind."""
        await self._sink().finish()

    async def close(self) -> None:
        """Close the file."""
        if self._inner is not None:
            await self._inner.close()
