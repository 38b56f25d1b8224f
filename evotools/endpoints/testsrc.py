"""`test:`: the built-in test stream, what `videogen` writes.

Everything is in the query, such as `test:?size=1280x720&fps=30&codec=hevc&audio=mp3&bitrate=2M&duration=10s`; the
names are those of `evotools.videogen.spec.NAMES`. Pictures and sound are made in a worker thread.
"""

import asyncio
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from evotools.endpoints.base import Context, Source
from evotools.media.frame import Event, Tracks
from evotools.uri import Uri
from evotools.videogen.spec import QUERY_NAMES, parse

if TYPE_CHECKING:
    from evotools.videogen.engine import Engine

BATCH_S = 0.08
"""Media made per visit to the worker thread when nothing sets the pace: a hand-over costs about 0.1 ms."""


class TestSource(Source):
    """The test stream. In real time picture n is made at the start plus n / fps, without drift."""

    __test__ = False  # pytest would take the class for a test case.

    def __init__(self, uri: Uri, ctx: Context) -> None:
        """Raises UsageError for options that make no stream."""
        self.uri = uri
        values, _ = uri.options(QUERY_NAMES)
        self.spec = parse(values.items())
        self.live = self.spec.realtime
        self._engine: Engine | None = None
        self._worker: ThreadPoolExecutor | None = None
        self._helpers: ThreadPoolExecutor | None = None
        self._pending: asyncio.Future[list[Event]] | None = None
        self._told = False
        self._began = 0.0
        self._start_s = 0.0

    async def open(self) -> None:
        """Opens the encoders. Raises UsageError for what an encoder does not take."""
        # SVT-AV1 writes its banner to stderr unless told otherwise in the environment; 1 leaves errors.
        os.environ.setdefault("SVT_LOG", "1")
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="testsrc")
        self._engine = await asyncio.get_running_loop().run_in_executor(self._worker, self._make)

    def _make(self) -> "Engine":
        from evotools.videogen.engine import Engine

        seed = self.spec.seed
        if seed is None:
            seed = random.getrandbits(63)
        ladder = len(self.spec.video)
        if ladder < 2:
            return Engine(self.spec, seed)
        # The encoders release the interpreter lock, so a ladder takes the time of its slowest rung.
        self._helpers = ThreadPoolExecutor(min(ladder, os.cpu_count() or 1), thread_name_prefix="testsrc-encoder")
        return Engine(self.spec, seed, self._helpers.map)

    async def read(self) -> list[Event]:
        """The next frames; empty after the last. Raises UsageError when the encoders never begin."""
        while True:
            if self._pending is None:
                engine, worker = self._engine, self._worker
                if engine is None or worker is None or (engine.finished and engine.ready):
                    return []
                count = await self._pace(engine)
                loop = asyncio.get_running_loop()
                self._pending = loop.run_in_executor(worker, self._step, engine, count)
            # A cancelled read leaves the batch for the next one.
            events = await asyncio.shield(self._pending)
            self._pending = None
            if events:
                return events

    async def _pace(self, engine: "Engine") -> int:
        """Wait until the next picture is due; how many pictures to make."""
        fps = self.spec.fps
        if not self._began:
            self._began = time.monotonic()
            self._start_s = time.time() if self.spec.start_s is None else self.spec.start_s
        if not self.spec.realtime:
            return max(1, int(BATCH_S * fps))
        wait = self._began + float(engine.number / fps) - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        return 1

    def _step(self, engine: "Engine", count: int) -> list[Event]:
        # A seeded stream shows UTC: the machine's zone would be in its bytes.
        offset_s = 0 if self.spec.seed is not None else time.localtime(self._start_s).tm_gmtoff
        frames = engine.step(count, self._start_s, offset_s)
        if not engine.ready:
            return []
        events: list[Event] = []
        if not self._told:
            self._told = True
            events.append(Tracks(engine.tracks))
        events += frames
        return events

    async def close(self) -> None:
        """Stops after the batch that is being made."""
        worker, self._worker = self._worker, None
        helpers, self._helpers = self._helpers, None
        self._engine = None
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
        if worker is not None:
            if helpers is not None:
                # Behind the batch that may still be running, which needs them.
                worker.submit(helpers.shutdown, wait=False)
            worker.shutdown(wait=False)
