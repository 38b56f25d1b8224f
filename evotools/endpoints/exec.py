"""`exec:` and `ts-exec:`: a program's standard output as a source, its standard input as a sink. Never a shell."""

import asyncio
import os
import shlex
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process

from evotools.endpoints.base import Context
from evotools.endpoints.bytestream import ByteSink, ByteSource
from evotools.errors import PeerGone, UnreachableError, UsageError
from evotools.log import get_logger
from evotools.uri import Uri

log = get_logger("endpoints.exec")

READ_SIZE = 256 * 1024
STDERR_KEPT = 4096
"""The end of the program's messages, for the error when it fails."""
END_S = 5.0
"""Time between SIGTERM and SIGKILL, and for a program that closed its end to end as well."""
OWN_COMMANDS = frozenset({"videogen", "ingest", "relay", "probe", "segment", "package"})


def command_of(uri: Uri) -> list[str]:
    """The argument list. The name of one of our commands runs this very evotools. Raises UsageError."""
    try:
        argv = shlex.split(uri.path)
    except ValueError as error:
        raise UsageError(f"{uri.scheme}: {error}", hint="quote the command as for a shell") from None
    if not argv:
        raise UsageError(f"{uri.scheme}: lacks a command", hint=f"{uri.scheme}:'program arguments'")
    if argv[0] in OWN_COMMANDS and shutil.which(argv[0]) is None:
        # It expands {env:…} by itself, so that keys stay out of the process list.
        return [sys.executable, "-m", "evotools", *shlex.split(uri.given.partition(":")[2])]
    return argv


class _Child:
    """One child process and the tail of its stderr."""

    def __init__(self, uri: Uri) -> None:
        self._argv = command_of(uri)
        self._uri = uri
        self.process: Process | None = None
        self._tail = b""
        self._drain: asyncio.Task[None] | None = None

    async def start(self, *, stdin: int, stdout: int) -> Process:
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *self._argv, stdin=stdin, stdout=stdout, stderr=PIPE, limit=1 << 20, start_new_session=True
            )
        )
        try:
            self.process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # It may run already, with children of its own: `end` has to know it.
            await asyncio.wait({starting})
            if starting.exception() is None:
                self.process = starting.result()
            raise
        except OSError as error:
            raise UnreachableError(f"{self._uri.scheme}:{self._argv[0]}: cannot start: {error.strerror}") from None
        self._drain = asyncio.create_task(self._keep_tail())
        return self.process

    async def _keep_tail(self) -> None:
        assert self.process is not None and self.process.stderr is not None
        while data := await self.process.stderr.read(READ_SIZE):
            log.info("%s: %s", self._argv[0], data.decode("utf-8", "replace").rstrip())
            self._tail = (self._tail + data)[-STDERR_KEPT:]

    async def failure(self, *, patient: bool = False) -> PeerGone | None:
        """Why the program ended, when it ended badly. One that closed its end and works on has not ended."""
        assert self.process is not None
        try:
            async with asyncio.timeout(None if patient else END_S):
                code = await self.process.wait()
        except TimeoutError:
            return None
        if self._drain is not None:
            await asyncio.wait({self._drain}, timeout=1.0)
        if code == 0:
            return None
        lines = self._tail.decode("utf-8", "replace").strip().splitlines()
        said = f": {lines[-1][:200]}" if lines else ""
        return PeerGone(f"{self._uri.scheme}:{self._argv[0]} ended with status {code}{said}")

    def _signal(self, number: int) -> None:
        """To the program and the programs that it started: a shell does not pass signals on."""
        assert self.process is not None
        if hasattr(os, "killpg"):
            os.killpg(self.process.pid, number)
        else:
            self.process.terminate()

    async def end(self) -> None:
        if self.process is not None and self.process.returncode is None:
            try:
                self._signal(signal.SIGTERM)
                async with asyncio.timeout(END_S):
                    await self.process.wait()
            except TimeoutError:
                self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
                await self.process.wait()
            except ProcessLookupError:
                pass
        if self._drain is not None:
            self._drain.cancel()
            await asyncio.gather(self._drain, return_exceptions=True)


class ExecSource(ByteSource):
    """Reads a program's standard output. Like every pipe it waits for its writer and its writer waits for it."""

    live = False
    may_spool = True

    def __init__(self, uri: Uri, ctx: Context) -> None:
        super().__init__()
        self.uri = uri
        self._child = _Child(uri)
        if uri.scheme == "ts-exec":
            self.format = "ts"

    async def open(self) -> None:
        """Start the program."""
        await self._child.start(stdin=DEVNULL, stdout=PIPE)

    async def read_bytes(self) -> bytes:
        """What it wrote. A program that failed is PeerGone with its last words."""
        process = self._child.process
        assert process is not None and process.stdout is not None
        data = await process.stdout.read(READ_SIZE)
        if not data:
            failure = await self._child.failure()
            if failure is not None:
                raise failure
        return data

    async def close(self) -> None:
        """End the program."""
        await self.close_demuxer()
        await self._child.end()


class ExecSink(ByteSink):
    """Writes a program's standard input."""

    def __init__(self, uri: Uri, ctx: Context) -> None:
        super().__init__()
        self.uri = uri
        self._child = _Child(uri)

    async def open(self) -> None:
        """Start the program."""
        await self._child.start(stdin=PIPE, stdout=DEVNULL)

    async def write_bytes(self, data: bytes) -> None:
        """Write, waiting while the program is busy."""
        process = self._child.process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(data)
            await process.stdin.drain()
        except OSError:
            raise await self._child.failure() or PeerGone(f"{self.uri.scheme}: the program closed its input") from None

    async def finish(self) -> None:
        """Close its input and wait for its end."""
        await self.finish_muxer()
        process = self._child.process
        assert process is not None and process.stdin is not None
        process.stdin.close()
        failure = await self._child.failure(patient=True)
        if failure is not None:
            raise failure

    async def close(self) -> None:
        """End the program."""
        await self._child.end()
