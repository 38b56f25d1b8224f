"""Foreign URLs, files and byte streams through libav, each in one worker thread.

Frames cross from the thread to the loop through one bounded queue, as many at a time as there are; the loop is woken
once per batch. Closing never waits for a blocked read: the thread is left behind and ends with its next time-out.

libav reads here and never writes to the network. What it may open is pinned down per scheme, TLS is verified, and
HTTP live streams open their segments through us, because libav drops the TLS options on the way to them.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from evotools.containers.libav import LibavReader, LibavWriter, MuxerWriter
from evotools.containers.libav_tables import CARRIES, OUR_FORMAT, SINGLE_TRACK, UNOFFICIAL, carries
from evotools.containers.matroska import MatroskaMuxer
from evotools.endpoints.base import Context, Refusal, Sink, Source
from evotools.endpoints.bytestream import FORMAT_NAMES
from evotools.endpoints.libav_net import open_url
from evotools.errors import EvotoolsError, MediaError, UnreachableError, UsageError
from evotools.log import get_logger
from evotools.media.frame import Event, Frame
from evotools.media.track import Track
from evotools.transport.tls import system_ca_file as ca_file
from evotools.uri import Options, Uri

log = get_logger("libav")

AHEAD_FRAMES = 512
"""Frames that the thread may be ahead of the loop: one wake-up serves many, and memory stays small."""
AHEAD_BYTES = 8 * 2**20
"""The same in bytes."""
FEED_BYTES = 2**20
"""Bytes handed to a thread and not yet read by it."""
LEAVE_S = 0.5
"""How long closing waits for the thread before leaving it behind."""
OPTIONS = ("format", "timeout", "tls_verify", "ca_file", "user_agent", "transport")
"""Query names that are ours."""


class ReaderThread:
    """Runs one `LibavReader` in a thread of its own."""

    def __init__(self, opener: Callable[[], LibavReader], name: str) -> None:
        self._opener = opener
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._condition = threading.Condition()
        self._queue: deque[Event] = deque()
        self._bytes = 0
        self._state = "new"
        self._error: BaseException | None = None
        self._wake: asyncio.Event = asyncio.Event()
        self._waiting = False
        self.format = ""
        self.duration_s: float | None = None

    async def open(self) -> None:
        """Start the thread and wait until the input is open. Raises what opening raised."""
        self._loop = asyncio.get_running_loop()
        self._state = "opening"
        threading.Thread(target=self._run, name=f"libav {self._name}", daemon=True).start()
        await self._until(lambda: self._state != "opening")
        if self._error is not None:
            raise self._error

    async def _until(self, ready: Callable[[], bool]) -> None:
        while True:
            with self._condition:
                if ready():
                    return
                self._wake.clear()
                self._waiting = True
            await self._wake.wait()

    async def read(self) -> list[Event]:
        """Everything that came since the last call, or wait for some; empty at the end."""
        await self._until(lambda: bool(self._queue) or self._state != "running")
        with self._condition:
            batch = list(self._queue)
            self._queue.clear()
            self._bytes = 0
            self._condition.notify()
        if not batch and self._error is not None:
            error, self._error = self._error, None
            raise error
        return batch

    async def close(self) -> None:
        """Tell the thread to end; leaves it behind when it is blocked in a read."""
        with self._condition:
            if self._state in ("new", "ended"):
                self._state = "ended"
                return
            self._state = "closing"
            self._queue.clear()
            self._condition.notify()
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._until(lambda: self._state == "ended")
        except TimeoutError:
            log.debug("%s: a blocked read was left behind", self._name)

    def _call_loop(self) -> None:
        """Wake the loop once per batch; call with the condition held."""
        if self._waiting and self._loop is not None:
            self._waiting = False
            try:
                self._loop.call_soon_threadsafe(self._wake.set)
            except RuntimeError:
                # The loop closed while this thread was left behind.
                self._state = "closing"

    def _run(self) -> None:
        reader: LibavReader | None = None
        try:
            reader = self._opener()
            with self._condition:
                self.format = reader.format
                self.duration_s = reader.duration_s
                if self._state == "opening":
                    self._state = "running"
                self._call_loop()
            for event in reader:
                if not self._put(event):
                    return
        except EvotoolsError as error:
            self._error = error
        except Exception as error:
            log.debug("%s: the reader failed", self._name, exc_info=True)
            self._error = MediaError(f"{self._name}: {type(error).__name__}: {error}")
        finally:
            if reader is not None:
                reader.close()
            with self._condition:
                self._state = "ended"
                self._call_loop()

    def _put(self, event: Event) -> bool:
        with self._condition:
            while self._state == "running" and (len(self._queue) >= AHEAD_FRAMES or self._bytes >= AHEAD_BYTES):
                self._condition.wait()
            if self._state != "running":
                return False
            self._queue.append(event)
            if isinstance(event, Frame):
                self._bytes += len(event.payload)
            self._call_loop()
            return True


class LibavSource(Source):
    """A file or a foreign URL (`https://…/live.m3u8`, `rtsp://…`) read by libav."""

    def __init__(self, uri: Uri, ctx: Context) -> None:
        if uri.scheme == "file" and not ctx.trusted:
            raise UsageError("files come from the configuration file or the command line only")
        self.uri = uri
        # What HTTP serves may be stored or live: taken as stored, it is read as fast as it is used and loses nothing.
        self.live = uri.scheme not in ("file", "http", "https", "ftp")
        self._thread: ReaderThread | None = None

    async def open(self) -> None:
        """Raises UnreachableError, RefusedError, MediaError, UsageError."""
        name = self.uri.redacted
        if self.uri.scheme == "file":
            options, _ = self.uri.options(("format",)) if self.uri.query else ({}, "")
            wanted = _libav_name(self.format or options.get("format", ""))
            path = self.uri.path

            def opener() -> LibavReader:
                return open_file(path, wanted, name)
        else:
            values, query = self.uri.options(OPTIONS, foreign=True)
            settings = Options(self.uri, values)
            wanted = _libav_name(self.format or settings.text("format"))
            opener = open_url(self.uri, query, settings, wanted, settings.text("ca_file") or ca_file())
        self._thread = ReaderThread(opener, name)
        await self._thread.open()
        self.container = OUR_FORMAT.get(self._thread.format, self._thread.format)
        self.duration_s = None if self.live else self._thread.duration_s

    async def read(self) -> list[Event]:
        """The next batch. Raises PeerGone, MediaError."""
        if self._thread is None:
            raise UsageError(f"{self.uri.redacted}: not open")
        return await self._thread.read()

    async def close(self) -> None:
        """Close; never waits for a blocked read."""
        if self._thread is not None:
            await self._thread.close()


def _libav_name(given: str) -> str:
    """A format as typed, by our table where that knows it, else as libav's own name."""
    name = FORMAT_NAMES.get(given.lower(), given)
    return "mp4" if name == "fmp4" else name


def open_file(path: str, wanted: str, name: str) -> LibavReader:
    """A reader for a local file, which may open nothing else. Raises as LibavReader does."""
    if Path(path).is_dir():
        raise UnreachableError(f"{name}: is a directory")
    # The prefix keeps names with a colon, or with an option of a protocol in them, what they are: names.
    return LibavReader(f"file:{path}", format=wanted or None, name=name, options={"protocol_whitelist": "file"})


class BytePipe:
    """Bytes from the loop to a thread: bounded, and `close` wakes a blocked `read`."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._room = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def read(self, size: int) -> bytes:
        """What is there, at most `size` bytes; waits while there is none; empty at the end. Thread side."""
        with self._condition:
            while not self._parts and not self._ended:
                self._condition.wait()
            if not self._parts:
                return b""
            part = self._parts.popleft()
            if len(part) > size:
                self._parts.appendleft(part[size:])
                part = part[:size]
            full = self._size > FEED_BYTES
            self._size -= len(part)
            if full and self._size <= FEED_BYTES:
                try:
                    self._loop.call_soon_threadsafe(self._room.set)
                except RuntimeError:
                    pass
            return part

    async def write(self, data: bytes) -> None:
        """Hand over `data`, waiting while the thread is behind. Loop side."""
        with self._condition:
            self._parts.append(data)
            self._size += len(data)
            self._condition.notify()
            full = self._size > FEED_BYTES
            if full:
                self._room.clear()
        if full:
            await self._room.wait()

    def end(self) -> None:
        """No more bytes."""
        with self._condition:
            self._ended = True
            self._condition.notify()
        self._room.set()


class ByteFeed:
    """Demuxes bytes of a foreign container that the loop reads: pipes, sockets, programs."""

    def __init__(
        self,
        uri: Uri,
        container: str,
        head: bytes,
        tail: bytes | None,
        read_bytes: Callable[[], Awaitable[bytes]],
    ) -> None:
        """`head` was read already. `tail` is None when more comes from `read_bytes`, else the rest of the input."""
        self._pipe = BytePipe()
        self._head = head
        self._tail = tail
        self._read_bytes = read_bytes
        self._error: EvotoolsError | OSError | None = None
        name = uri.redacted
        pipe = self._pipe
        self._thread = ReaderThread(lambda: LibavReader(pipe, format=container, name=name), name)
        self._pump: asyncio.Task[None] | None = None

    async def read(self) -> list[Event]:
        """The next batch; empty at the end. Raises MediaError, and what reading the bytes raised."""
        if self._pump is None:
            self._pump = asyncio.create_task(self._feed())
            await self._thread.open()
        batch = await self._thread.read()
        if not batch and self._error is not None:
            raise self._error
        return batch

    async def _feed(self) -> None:
        try:
            await self._pipe.write(self._head)
            if self._tail is not None:
                await self._pipe.write(self._tail)
                return
            while data := await self._read_bytes():
                await self._pipe.write(data)
        except (EvotoolsError, OSError) as error:
            self._error = error
        finally:
            self._pipe.end()

    async def close(self) -> None:
        """Stop reading and end the thread."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        self._pipe.end()
        await self._thread.close()


class LibavSink(Sink):
    """A file in any container that libav writes (mov, mkv, webm, ogg, wav, …), in a worker thread.

    The file is written in place. A kill leaves what was written so far playable; `finish` leaves a complete file.
    """

    def __init__(self, uri: Uri, ctx: Context) -> None:
        if uri.scheme != "file":
            raise UsageError(f"{uri.redacted}: libav writes files only")
        if not ctx.trusted:
            raise UsageError("files come from the configuration file or the command line only")
        self.uri = uri
        self._worker = Worker(uri.redacted)
        self._file: Any = None
        self._writer: LibavWriter | MuxerWriter | None = None
        self._tracks: tuple[Track, ...] = ()

    @property
    def container(self) -> str:
        """Our name of the container: the format option, else the suffix. Raises UsageError."""
        given = (self.format or Path(self.uri.path).suffix[1:]).lower()
        name = given if given in CARRIES else FORMAT_NAMES.get(given, "")
        if name not in CARRIES:
            raise UsageError(
                f"{self.uri.redacted}: cannot tell the container from '{given}'",
                hint=f"name it with -f: {' '.join(sorted(CARRIES))}",
            )
        return name

    def offer(self, tracks: Sequence[Track]) -> list[Refusal]:
        """Codecs without a place in the container; all but the first track where it holds one."""
        name = self.container
        refused = [Refusal(t, f"no place in {name}") for t in tracks if not carries(name, t.codec)]
        if name in SINGLE_TRACK:
            fitting = [t for t in tracks if carries(name, t.codec)]
            refused += [Refusal(t, f"{name} holds one track") for t in fitting[1:]]
        return refused

    async def open(self) -> None:
        """Create the file. Raises UnreachableError, UsageError."""
        _ = self.container
        path = self.uri.path

        def create() -> Any:
            return open(path, "wb", buffering=0)  # noqa: PTH123

        try:
            self._file = await self._worker.run(create)
        except OSError as error:
            raise UnreachableError(f"{self.uri.redacted}: {error.strerror}") from None

    async def start(self, tracks: Sequence[Track]) -> None:
        """Write the header, or carry on in the same file when only parameter sets changed. Raises MediaError."""
        new = tuple(tracks)
        writer = self._writer
        if writer is not None:
            if new == self._tracks or writer.change(new):
                self._tracks = new
                return
            raise MediaError(
                f"{self.uri.redacted}: the tracks changed, and {self.container} cannot follow",
                hint="write .ts, or start a new file",
            )
        file, name = self._file, self.container
        self._writer = await self._worker.run(lambda: _new_writer(file, name, new))
        self._tracks = new

    async def write(self, events: Sequence[Event]) -> None:
        """Write a batch. Raises MediaError, OSError."""
        writer = self._writer
        if writer is None:
            return
        frames = [e for e in events if isinstance(e, Frame)]

        def work() -> None:
            for frame in frames:
                writer.write(frame)

        await self._worker.run(work)

    async def finish(self) -> None:
        """Write the trailer: a complete file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await self._worker.run(writer.finish)

    async def close(self) -> None:
        """Close the file; without `finish` it ends after its last fragment."""
        writer, self._writer = self._writer, None
        file, self._file = self._file, None

        def work() -> None:
            if writer is not None:
                writer.abandon()
            if file is not None:
                file.close()

        if writer is not None or file is not None:
            try:
                async with asyncio.timeout(LEAVE_S * 4):
                    await self._worker.run(work)
            except TimeoutError:
                log.warning("%s: the file did not close in time", self.uri.redacted)
        self._worker.stop()


def _new_writer(file: Any, name: str, tracks: Sequence[Track]) -> LibavWriter | MuxerWriter:
    if name in ("matroska", "mka") and any(t.codec in UNOFFICIAL for t in tracks):
        return MuxerWriter(file, MatroskaMuxer(), tracks)
    return LibavWriter(file, name, tracks)


class Worker:
    """One daemon thread that runs calls in order; a stuck disk never holds up the end of the process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._condition = threading.Condition()
        self._jobs: deque[tuple[Callable[[], Any], asyncio.Future[Any], asyncio.AbstractEventLoop]] = deque()
        self._started = False
        self._stopped = False

    async def run(self, call: Callable[[], Any]) -> Any:
        """The result of `call`, run in the thread."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._condition:
            self._jobs.append((call, future, loop))
            self._condition.notify()
            if not self._started:
                self._started = True
                threading.Thread(target=self._work, name=f"libav {self._name}", daemon=True).start()
        return await future

    def stop(self) -> None:
        """End the thread after the calls that are queued."""
        with self._condition:
            self._stopped = True
            self._condition.notify()

    def _work(self) -> None:
        while True:
            with self._condition:
                while not self._jobs and not self._stopped:
                    self._condition.wait()
                if not self._jobs:
                    return
                call, future, loop = self._jobs.popleft()
            result: Any = None
            error: Exception | None = None
            try:
                result = call()
            except Exception as failure:
                error = failure
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:
                return


def _settle(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
