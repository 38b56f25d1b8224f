"""MP4 that can be read at any place: files, also behind descriptors, and pipes that went to a temporary file."""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Final

from evotools.containers.base import Foreign
from evotools.containers.mp4.reader import Mp4Reader
from evotools.errors import EvotoolsError, MediaError, NoMediaError, ParseError, UnreachableError
from evotools.log import get_logger
from evotools.media.frame import Event

if TYPE_CHECKING:
    from evotools.endpoints.libav import ReaderThread

log = get_logger("endpoints.mp4")

MAX_SPOOL: Final = 16 << 30
"""Bytes of a pipe that go to a temporary file: two hours at 16 Mbit/s. What is longer fills disks unasked."""

ReadAt = Callable[[int, int], bytes]
"""(offset, length) to bytes, fewer only at the end of the file. Blocks."""


def read_at(fd: int, start: int = 0) -> ReadAt:
    """Reads a descriptor from `start` on at any place. Where the system can, its position stays where it is."""

    def read(offset: int, length: int) -> bytes:
        parts: list[bytes] = []
        while length:
            if hasattr(os, "pread"):
                part = os.pread(fd, length, start + offset)
            else:
                os.lseek(fd, start + offset, os.SEEK_SET)
                part = os.read(fd, length)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    return read


class StoredMp4:
    """Reads and demuxes an MP4 in a thread, a step of about a megabyte at a time."""

    def __init__(self, read: ReadAt, size: int, name: str, pool: ThreadPoolExecutor) -> None:
        """`name` is for messages."""
        self.duration_s: float | None = None
        self._read = read
        self._reader = Mp4Reader(size)
        self._name = name
        self._pool = pool
        self._waiting: list[Event] = []
        self._empty = True

    async def open(self) -> None:
        """Read the movie box. Raises Foreign when libav reads this better, ParseError, MediaError, UnreachableError."""
        self._waiting = await self._step(self._until_movie)
        movie = self._reader.movie
        if movie is not None and movie.exotic:
            raise Foreign(f"{self._name}: MP4: {movie.exotic}")
        self.duration_s = self._reader.duration_s

    async def read(self) -> list[Event]:
        """The next batch; empty at the end. Raises ParseError, NoMediaError."""
        batch, self._waiting = self._waiting or await self._step(self._until_events), []
        if not batch and self._empty:
            raise NoMediaError(f"{self._name}: no frames in it")
        self._empty = False
        return batch

    async def close(self) -> None:
        """Nothing of its own."""

    async def _step(self, work: Callable[[], list[Event]]) -> list[Event]:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except OSError as error:
            raise UnreachableError(f"{self._name}: {error.strerror or error}") from None
        except MediaError as error:
            raise type(error)(f"{self._name}: {error.message}", hint=error.hint) from None

    def _until_movie(self) -> list[Event]:
        reader = self._reader
        while reader.movie is None and (wanted := reader.want()) is not None:
            events = reader.give(self._read(*wanted))
            if events:
                return events
        return []

    def _until_events(self) -> list[Event]:
        reader, read = self._reader, self._read
        while (wanted := reader.want()) is not None:
            events = reader.give(read(*wanted))
            if events:
                return events
        return []


class SpooledMp4:
    """A pipe whose MP4 has its header at the end: kept in a temporary file without a name, read when it ended."""

    def __init__(self, head: bytes, read_bytes: Callable[[], Awaitable[bytes]] | None, name: str) -> None:
        """`head` was read already; `read_bytes` gives the rest, None when there is none. `name` is for messages."""
        self.duration_s: float | None = None
        self._head = head
        self._read_bytes = read_bytes
        self._name = name
        self._pool = ThreadPoolExecutor(1, "spool")
        self._file: IO[bytes] | None = None
        self._size = 0
        self._stored: StoredMp4 | None = None
        self._libav: ReaderThread | None = None
        log.warning("%s: the MP4 has its header at the end: it is kept in %s until it ended", name, _folder())

    async def read(self) -> list[Event]:
        """The next batch, the first one when the pipe ended. Raises as StoredMp4; EvotoolsError for a full disk."""
        if self._libav is not None:
            return await self._libav.read()
        if self._stored is None:
            await self._fill()
            assert self._file is not None
            stored = StoredMp4(read_at(self._file.fileno()), self._size, self._name, self._pool)
            try:
                await stored.open()
            except ParseError as error:
                return await self._read_through_libav(error)
            self._stored = stored
            self.duration_s = stored.duration_s
        return await self._stored.read()

    async def _fill(self) -> None:
        """Write all there is to the file. Goes on where a cancelled call stopped."""
        data, self._head = self._head, b""
        while True:
            self._size += len(data)
            if self._size > MAX_SPOOL:
                raise EvotoolsError(
                    f"{self._name}: the MP4 with its header at the end is larger than {MAX_SPOOL >> 30} GiB",
                    hint="read it from a file, or write it with its header first",
                )
            try:
                await asyncio.get_running_loop().run_in_executor(self._pool, self._append, data)
            except OSError as error:
                raise EvotoolsError(
                    f"{self._name}: the temporary file in {_folder()} cannot be written: {error.strerror or error}",
                    hint="TMPDIR names a folder with more room; MP4 with its header first needs none",
                ) from None
            data = await self._read_bytes() if self._read_bytes is not None else b""
            if not data:
                self._read_bytes = None
                return

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0, prefix="evotools-")  # noqa: SIM115
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    async def _read_through_libav(self, error: ParseError) -> list[Event]:
        from evotools.containers.libav import LibavReader
        from evotools.endpoints.libav import ReaderThread

        log.info("%s; reading it through libav", error)
        file = self._file
        assert file is not None
        file.seek(0)
        self._libav = ReaderThread(lambda: LibavReader(file, format="mp4", name=self._name), self._name)
        await self._libav.open()
        self.duration_s = self._libav.duration_s
        return await self._libav.read()

    async def close(self) -> None:
        """Give the file back."""
        if self._libav is not None:
            await self._libav.close()
        if self._file is not None:
            # Freeing gigabytes takes a file system a while.
            self._pool.submit(self._file.close)
            self._file = None
        self._pool.shutdown(wait=False)


def _folder() -> str:
    """Where temporary files go: TMPDIR, else the system's place."""
    return tempfile.gettempdir()
