"""The destination end of a route: one worker, one bounded queue and its own reconnects for each destination."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from evotools.endpoints.base import Sink
from evotools.endpoints.registry import SCHEMES, open_sink
from evotools.errors import EvotoolsError, ExitCode, MediaError, PeerGone, UnreachableError
from evotools.log import Throttle, get_logger
from evotools.media.frame import ON_METADATA, Event, Frame, Metadata, Tracks
from evotools.media.track import Kind, Track
from evotools.pipeline.job import Runtime
from evotools.pipeline.resolve import parse_uri
from evotools.pipeline.route import OutputSpec, RouteSpec
from evotools.pipeline.supervise import Backoff

log = get_logger("pipeline")

QUEUE_S = 4.0
"""How long media may wait for a destination that is slower than a live source."""
QUEUE_BYTES = 64 * 2**20
"""The same in bytes: 4 s at 128 Mbit/s."""
QUEUE_ITEMS = 100_000
"""The same in events: a flood of tiny ones costs objects, not bytes."""
HOLD_BYTES = 32 * 2**20
"""Beyond this a live source that sends faster than real time is held back for a while before anything is dropped."""
AHEAD_BYTES = 4 * 2**20
"""How far a stored source may run ahead of its slowest destination."""
FINISH_S = 10.0
"""Time to write trailers and drain a peer at the end; a silent peer costs no more."""


class Output:
    """One destination. `offer` queues, a task of its own opens, writes, reopens and finishes."""

    def __init__(self, output: OutputSpec, spec: RouteSpec, runtime: Runtime, *, live: bool, name: str = "") -> None:
        self._output = output
        self._spec = spec
        self._runtime = runtime
        self._live = live
        self._uri = parse_uri(output.uri)
        self.name = name or self._uri.redacted
        self._hosts = self._uri.listens and SCHEMES[self._uri.scheme].listens
        """Its peer comes to us."""
        self.sink = self._new_sink()
        self._backoff = Backoff(spec.output_reconnect)
        self._queue: deque[Event] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._tracks: tuple[Track, ...] = ()
        self._described: Metadata | None = None
        """The newest onMetaData, for the header of the next start; and the one that a header has told."""
        self._told: Metadata | None = None
        self._queued_at = 0.0
        """When the oldest queued event came."""
        self._running = False
        self._stuck = False
        """It took nothing for QUEUE_S: nobody waits for it until it takes something."""
        self._skip_to_key = False
        self._task: asyncio.Task[None] | None = None
        self._failure: EvotoolsError | None = None
        """What the last attempt ended with, while there may be others."""
        self.tried = asyncio.Event()
        """The first attempt to reach it is over, or waits for a peer to come."""
        self.up = asyncio.Event()
        """It takes media, or will when there is some; also set when it is done."""
        if not self.sink.reconnects:
            self.up.set()
        if not self.sink.reconnects or self._hosts:
            self.tried.set()
        self.error: EvotoolsError | None = None
        self.done = False
        self.reported = False
        self.frames = 0
        self.dropped = 0
        self._throttle = Throttle(log, f"{self.name}: too slow, {{n}} frames dropped")

    def _new_sink(self) -> Sink:
        context = self._runtime.context
        if self._spec.force:
            context = replace(context, options={**context.options, "force": True})
        sink = open_sink(self._uri, context)
        if self._output.format and not sink.format:
            sink.format = self._output.format
        sink.latency = self._spec.latency
        sink.live = self._live
        return sink

    def settle(self, live: bool) -> None:
        """The source is open and knows now whether it is live: HTTP has both kinds at one address."""
        self._live = self.sink.live = live

    def offer(self, events: Sequence[Event]) -> None:
        """Queue a batch; never blocks. A live source's overflow follows the route's policy."""
        if self.done or not events:
            return
        now = time.monotonic()
        if not self._queue:
            self._queued_at = now
        for event in events:
            if isinstance(event, Frame):
                self._bytes += len(event.payload)
            elif isinstance(event, Tracks):
                self._tracks = event.tracks
            elif isinstance(event, Metadata) and event.name == ON_METADATA:
                self._described = event
        self._queue.extend(events)
        waits = not self._live or self._spec.on_overflow == "wait"
        if self._bytes > (AHEAD_BYTES if waits else HOLD_BYTES):
            self._room.clear()
        if (
            self._stuck or (self._live and not (waits and self._running)) or (self.sink.realtime and not self._running)
        ) and (now - self._queued_at > QUEUE_S or self._bytes > QUEUE_BYTES or len(self._queue) > QUEUE_ITEMS):
            self._overflow()
        self._wake.set()

    def _overflow(self) -> None:
        dropped = sum(isinstance(e, Frame) for e in self._queue)
        tracks = next((e for e in reversed(self._queue) if isinstance(e, Tracks)), None)
        # In place: the worker may be in the middle of this queue.
        self._queue.clear()
        if tracks is not None:
            self._queue.append(tracks)
        self._queued_at = time.monotonic()
        self._bytes = 0
        self._stuck = True
        self._skip_to_key = self._skip_to_key or dropped > 0
        self._room.set()
        self.dropped += dropped
        if not self._running:
            return
        if self._spec.on_overflow == "fail":
            self.give_up(PeerGone(f"{self.name}: slower than the source", hint="use --on-overflow=drop"))
            return
        self._throttle.hit(dropped)
        self._runtime.events.emit("drop", uri=self.name, frames=dropped)

    @property
    def wants(self) -> bool:
        """Whether nobody needs to wait for this destination."""
        return self.done or self._stuck or self._room.is_set() or (self.sink.realtime and not self._running)

    async def room(self) -> None:
        """Wait until this destination wants more.

        For ever where nothing may be lost; for QUEUE_S where the source is live or other destinations wait too.
        """
        if self.wants:
            return
        limit_s = None
        if self._live:
            limited = self._spec.on_overflow != "wait"
        else:
            limited = self.sink.reconnects and len(self._spec.outputs) > 1
        if limited:
            limit_s = max(self._queued_at + QUEUE_S - time.monotonic(), 0.0)
        try:
            await asyncio.wait_for(self._room.wait(), limit_s)
        except TimeoutError:
            self._overflow()

    def give_up(self, error: EvotoolsError | None) -> None:
        """End the work now, whatever it waits for."""
        self.error = error
        self._ended = True
        if self._task is not None and not self.done:
            self._task.cancel()

    def hurry(self) -> None:
        """The job was stopped: a destination that nobody reached has nothing to finish."""
        if self.sink.reconnects and not self._running and not self.done:
            self.give_up(self._failure)

    def end(self) -> None:
        """No more media comes."""
        self._ended = True
        self._wake.set()
        if self._hosts and not self._running and not self.done and (self._live or len(self._spec.outputs) > 1):
            self.give_up(self._failure or UnreachableError(f"{self.name}: nobody connected"))

    async def run(self) -> None:
        """Work until the end of the media or until this destination is given up; sets `done` and `error`."""
        self._task = asyncio.current_task()
        try:
            await self._supervise()
        except asyncio.CancelledError:
            # Given up by ourselves, or cancelled from outside?
            if not self._ended:
                raise
        except EvotoolsError as error:
            self.error = error
        except BrokenPipeError:
            if len(self._spec.outputs) == 1 and self._uri.scheme in ("-", "fd"):
                raise
            self.error = PeerGone(f"{self.name}: the reader left")
        except OSError as error:
            self.error = EvotoolsError(f"{self.name}: {error.strerror or error}")
        except Exception as error:
            log.debug("%s failed", self.name, exc_info=True)
            self.error = EvotoolsError(f"{self.name}: internal error: {error!r}", code=ExitCode.BUG)
        finally:
            self.done = True
            self._queue.clear()
            self._room.set()
            self.tried.set()
            self.up.set()
            await self.sink.close()

    async def _supervise(self) -> None:
        while True:
            try:
                if not self.sink.reconnects:
                    await self._until_media()
                    if self._ended and not self._queue:
                        return
                await self.sink.open()
                self._backoff.connected(time.monotonic())
                if self._failure is not None:
                    self._failure = None
                    # As loud as the failure was: who read that one waits for this one.
                    log.warning("%s: connected again", self.name)
                    self._runtime.events.emit("reconnected", uri=self.name)
                self._running = True
                self.tried.set()
                self.up.set()
                await self._feed()
                # Only peers are hurried: a program may take its time for the last pictures, a file for its index.
                async with asyncio.timeout(FINISH_S if self.sink.reconnects else None):
                    await self.sink.finish()
                return
            except TimeoutError:
                failure: EvotoolsError = PeerGone(f"{self.name}: did not take the end of the stream")
            except EvotoolsError as error:
                # The sink knows its address only.
                error.message = error.message.replace(self._uri.redacted, self.name)
                failure = error
            self._running = False
            self._failure = failure
            self.tried.set()
            if self.sink.reconnects:
                self.up.clear()
            await self.sink.close()
            wait = self._backoff.next(failure, time.monotonic(), random.random()) if self.sink.reconnects else None
            if wait is None or self._ended or self._runtime.stop.is_set():
                raise failure
            log.warning("%s; trying again in %.1f s", failure, wait)
            self._runtime.events.emit("reconnect", uri=self.name, error=str(failure), wait_s=round(wait, 2))
            if self.sink.realtime:
                self._overflow()
            await self._sleep(wait)
            self.sink = self._new_sink()

    async def _sleep(self, wait: float) -> None:
        until = time.monotonic() + wait
        while not self._ended and (left := until - time.monotonic()) > 0:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), left)
            except TimeoutError:
                return

    async def _until_media(self) -> None:
        while not self._queue and not self._ended:
            self._wake.clear()
            await self._wake.wait()

    async def _feed(self) -> None:
        """Move queued media into the sink until the end."""
        accepted: set[int] = set()
        has_video = False
        wait_key = self._skip_to_key
        if self._tracks and not any(isinstance(e, Tracks) for e in self._queue):
            accepted, has_video = await self._start(self._tracks)
            wait_key = True
        pending: list[Event] = []
        while True:
            await self._until_media()
            queue = self._queue
            while queue:
                event = queue.popleft()
                if isinstance(event, Frame):
                    self._bytes -= len(event.payload)
                    if event.track.id not in accepted:
                        continue
                    if self._skip_to_key:
                        self._skip_to_key = False
                        wait_key = True
                    if wait_key:
                        if has_video and not (event.key and event.track.kind is Kind.VIDEO):
                            continue
                        wait_key = False
                    pending.append(event)
                    self.frames += 1
                elif isinstance(event, Tracks):
                    if pending:
                        await self.sink.write(pending)
                        pending = []
                    accepted, has_video = await self._start(event.tracks)
                elif event is not self._told:
                    pending.append(event)
            if self._bytes <= AHEAD_BYTES:
                self._room.set()
            if pending:
                batch, pending = pending, []
                await self.sink.write(batch)
            self._stuck = False
            if self._ended and not self._queue:
                return

    async def _start(self, tracks: Sequence[Track]) -> tuple[set[int], bool]:
        refused = {r.track.id: r for r in self.sink.offer(tracks)}
        for refusal in refused.values():
            log.warning("%s: leaves out %s: %s", self.name, refusal.track.describe(), refusal.reason)
        taken = [t for t in tracks if t.id not in refused]
        if tracks and not taken:
            first = next(iter(refused.values()))
            raise MediaError(f"{self.name}: cannot carry {first.track.describe()}: {first.reason}")
        if taken:
            # It comes behind the track list that it describes.
            if self._described is not None and self.sink.describe(self._described):
                self._told = self._described
            await self.sink.start(taken)
        return {t.id for t in taken}, any(t.kind is Kind.VIDEO for t in taken)
