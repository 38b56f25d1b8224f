"""`-` and `fd:N`: standard input and output, and descriptors opened by the shell."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from evotools.endpoints.base import Context
from evotools.endpoints.bytestream import ByteSink, ByteSource
from evotools.errors import EvotoolsError, PeerGone, UsageError
from evotools.transport.pipes import FdReader, FdWriter
from evotools.uri import Uri

if TYPE_CHECKING:
    from evotools.endpoints.mp4 import StoredMp4


def _descriptor(uri: Uri, standard: int) -> int:
    if uri.scheme == "-":
        return standard
    if not uri.path.isascii() or not uri.path.isdigit() or len(uri.path) > 6:
        raise UsageError(f"fd:{uri.path} is not a descriptor", hint="use fd:N, such as fd:3")
    return int(uri.path)


def _check(fd: int, uri: Uri, what: str, hint: str) -> None:
    try:
        os.fstat(fd)
    except OSError:
        raise UsageError(f"{uri.redacted}: descriptor {fd} is not open") from None
    if os.isatty(fd):
        raise UsageError(f"{what} is a terminal", hint=hint)


class StdinSource(ByteSource):
    """Media from a descriptor. It waits for its writer and its writer waits for it."""

    live = False
    may_spool = True

    def __init__(self, uri: Uri, ctx: Context) -> None:
        super().__init__()
        self.uri = uri
        self._fd = _descriptor(uri, 0)
        _check(self._fd, uri, "standard input", "pipe media into it, or name a source with -i URI")
        self._reader: FdReader | None = None
        self._start: int | None = None
        """Where a regular file behind the descriptor is read from."""
        self._pool: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Begin to read."""
        self._reader = FdReader(self._fd)
        if stat.S_ISREG(os.fstat(self._fd).st_mode):
            self._start = os.lseek(self._fd, 0, os.SEEK_CUR)

    def stored_mp4(self) -> "StoredMp4 | None":
        """For `< film.mp4`: the shell opened a file, which can be read at any place."""
        if self._start is None or not hasattr(os, "pread"):
            return None
        from evotools.endpoints.mp4 import StoredMp4, read_at

        self._pool = self._pool or ThreadPoolExecutor(1, "file")
        size = os.fstat(self._fd).st_size - self._start
        return StoredMp4(read_at(self._fd, self._start), size, self.uri.redacted, self._pool)

    async def read_bytes(self) -> bytes:
        """What is there."""
        assert self._reader is not None
        try:
            return await self._reader.read()
        except OSError as error:
            raise PeerGone(f"{self.uri.redacted}: cannot be read: {error.strerror}") from None

    async def close(self) -> None:
        """Stop reading."""
        await self.close_demuxer()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class StdoutSink(ByteSink):
    """Media to a descriptor, one unbuffered write per batch of access units."""

    def __init__(self, uri: Uri, ctx: Context) -> None:
        super().__init__()
        self.uri = uri
        self._fd = _descriptor(uri, 1)
        _check(self._fd, uri, "standard output", "pipe it into a program, or name an output with -o FILE or URI")
        self._writer: FdWriter | None = None

    async def open(self) -> None:
        """Begin to write."""
        self._writer = FdWriter(self._fd)

    async def write_bytes(self, data: bytes) -> None:
        """Write all. A reader that left is BrokenPipeError on standard output, PeerGone elsewhere."""
        assert self._writer is not None
        try:
            await self._writer.write(data)
        except BrokenPipeError:
            if self._fd == 1:
                raise
            raise PeerGone(f"{self.uri.redacted}: the reader left") from None
        except OSError as error:
            raise EvotoolsError(f"{self.uri.redacted}: cannot be written: {error.strerror}") from None

    async def finish(self) -> None:
        """Write the trailer."""
        await self.finish_muxer()

    async def close(self) -> None:
        """Stop writing; the descriptor stays open until the process ends."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
