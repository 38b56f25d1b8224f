"""Descriptors: standard input and output, pipes of child processes, regular files.

Reads take whatever is there, never a full block, so a live stream is not held back to fill a buffer. The descriptors
are shared with other programs, so they are never made non-blocking: readiness is asked for first, and writes that may
block run in a thread.
"""

import asyncio
import os
import select
from concurrent.futures import ThreadPoolExecutor

READ_SIZE = 256 * 1024
PIPE_SIZE = 256 * 1024
"""Enlarging a pipe from 64 KiB moved data three times faster."""
_F_SETPIPE_SZ = 1031


def enlarge(fd: int) -> None:
    """Make a pipe hold PIPE_SIZE bytes where the system allows (Linux)."""
    try:
        import fcntl

        fcntl.fcntl(fd, _F_SETPIPE_SZ, PIPE_SIZE)
    except (ImportError, OSError):
        pass


class FdReader:
    """Reads one descriptor on the event loop."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._threaded = False
        self._pool: ThreadPoolExecutor | None = None
        enlarge(fd)

    async def read(self, size: int = READ_SIZE) -> bytes:
        """What is there, waiting for at least one byte; empty at the end. Raises OSError."""
        if not self._threaded:
            ready: asyncio.Future[None] = self._loop.create_future()
            try:
                self._loop.add_reader(self._fd, set_ready, ready)
            except (OSError, NotImplementedError):
                # Regular files cannot be polled (EPERM), Windows has no add_reader.
                self._threaded = True
                self._pool = ThreadPoolExecutor(1, "read")
            else:
                try:
                    await ready
                finally:
                    self._loop.remove_reader(self._fd)
                try:
                    return os.read(self._fd, size)
                except BlockingIOError:
                    # Another program that shares the descriptor made it non-blocking, and was faster.
                    return await self.read(size)
        assert self._pool is not None
        return await self._loop.run_in_executor(self._pool, os.read, self._fd, size)

    def close(self) -> None:
        """Let go of the thread, if any; the descriptor stays open."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def set_ready(future: "asyncio.Future[None]") -> None:
    """Resolve a future from a readiness callback, which may come twice."""
    if not future.done():
        future.set_result(None)


class FdWriter:
    """Writes one descriptor from a thread, one call per batch."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(1, "write")
        enlarge(fd)

    async def write(self, data: bytes) -> None:
        """Write all of `data`. Raises BrokenPipeError, OSError."""
        await self._loop.run_in_executor(self._pool, _write_all, self._fd, data)

    def close(self) -> None:
        """Let go of the thread; the descriptor stays open."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            # ssh and node.js leave pipes that they share non-blocking.
            select.select([], [fd], [])
