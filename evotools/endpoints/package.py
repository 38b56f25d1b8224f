"""`package:DIR`: a folder of HLS and DASH, from one input or, within one command, from several.

A `Shared` joins the sinks of several inputs to one packager; a thread performs its file operations in the `Folder`.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import unquote

from evotools.endpoints.base import Context, Refusal, Sink
from evotools.endpoints.package_folder import Folder
from evotools.endpoints.registry import SCHEMES
from evotools.errors import EvotoolsError, UsageError
from evotools.log import get_logger
from evotools.media.frame import Discontinuity, Event, Frame
from evotools.media.track import Track
from evotools.packaging.files import Write
from evotools.packaging.packager import Packager, Settings
from evotools.packaging.presentation import Type
from evotools.uri import Options, Uri

log = get_logger("package")

SEGMENT_S = 6.0
"""Default target duration: what Apple's authoring rules ask for (7.5)."""
WINDOW_S = 60.0
"""Default of what a live presentation shows."""
MIN_SEGMENT_S, MAX_SEGMENT_S = 0.2, 600.0
"""Shorter segments are a file per frame; longer ones nobody can begin to watch."""
AHEAD_SEGMENTS = 2
"""How far a stored input may run ahead of the others, in target durations: its frames wait in memory."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of a `package:` URI."""

    type: str = ""
    """`vod`, `event`, `live`; empty leaves it to the source."""
    container: Literal["ts", "fmp4"] = "fmp4"
    target_s: float = SEGMENT_S
    window_s: float | None = WINDOW_S
    hls: bool = True
    dash: bool = True
    endlist: bool = True
    force: bool = False

    @classmethod
    def of(cls, uri: Uri, *, force: bool) -> "Wishes":
        """Raises UsageError."""
        values, _ = uri.options(SCHEMES["package"].options)
        options = Options(uri, values)
        name = uri.redacted
        container = options.choice("format", ("fmp4", "ts"), "fmp4")
        hls = options.flag("hls", True)
        dash = options.flag("dash", container == "fmp4")
        if dash and container == "ts":
            raise UsageError(f"{name}: DASH is written as fMP4 only", hint="use --format fmp4, or --no-dash")
        if not hls and not dash:
            raise UsageError(f"{name}: neither HLS nor DASH is asked for", hint="leave --no-hls or --no-dash away")
        target_s = options.seconds("segment", SEGMENT_S)
        if not MIN_SEGMENT_S <= target_s <= MAX_SEGMENT_S:
            raise UsageError(f"{name}: segments of {target_s:g} s", hint=f"{MIN_SEGMENT_S:g} s to {MAX_SEGMENT_S:g} s")
        window_s = None if options.text("window") == "all" else options.seconds("window", WINDOW_S)
        return cls(
            options.choice("type", ("", "vod", "event", "live"), ""), cast(Any, container), target_s, window_s, hls,
            dash, options.flag("endlist", True), options.flag("force", force),
        )  # fmt: skip

    def settings(self, *, live: bool) -> Settings:
        """For sources that are live or stored."""
        kind = cast(Type, self.type or ("live" if live else "vod"))
        return Settings(
            kind, self.container, self.target_s, self.window_s if kind == "live" else None, self.hls, self.dash,
            self.endlist, live,
        )  # fmt: skip


class Shared:
    """One packager for the sinks of one command, its folder, and the thread that writes."""

    def __init__(self, uri: Uri, wishes: Wishes, names: Sequence[str]) -> None:
        path = unquote(uri.path)
        if not path:
            raise UsageError(f"{uri.redacted} lacks a folder", hint="package:DIR")
        self.name = path
        self.wishes = wishes
        self.names = names
        self.packager: Packager | None = None
        self.failure: EvotoolsError | None = None
        """What ended the writing."""
        self.on_event: Callable[[str, Mapping[str, Any]], None] | None = None
        self.on_file: Callable[[str, Mapping[str, Any]], None] | None = None
        self._folder = Folder(path, path)
        self._folder.check(force=wishes.force)
        self._pool = ThreadPoolExecutor(1, "package")
        self._turn = asyncio.Lock()
        self._moved = asyncio.Condition()
        self._reading = set(range(len(names)))
        """Inputs that have not ended."""
        self._users = len(names)
        self._told: set[str] = set()
        """Manifests that were reported."""
        self._unaligned: set[int] = set()
        """Inputs whose first misaligned cut was reported."""
        self._began = time.time() - time.monotonic()

    def now_s(self) -> float:
        """Wall time that never steps: the clock at the beginning, and the monotonic one since."""
        return self._began + time.monotonic()

    async def open(self, *, live: bool) -> Packager:
        """Take up the folder with the first sink. Raises UsageError, RefusedError, UnreachableError."""
        async with self._turn:
            if self.packager is None:
                settings = self.wishes.settings(live=live)
                loop = asyncio.get_running_loop()
                state = await loop.run_in_executor(
                    self._pool, lambda: self._folder.take_up(settings, force=self.wishes.force)
                )
                self.packager = Packager(settings, self.names)
                for number in set(range(len(self.names))) - self._reading:
                    self.packager.end(number, self.now_s())
                if state is not None:
                    self.packager.resume(state)
                    log.info("%s: goes on with what an earlier run left", self.name)
            return self.packager

    async def work(self, call: Callable[[Packager, float], None]) -> None:
        """Let the packager do something, and perform what comes of it. Raises EvotoolsError."""
        packager = self.packager
        assert packager is not None
        async with self._turn:
            if self.failure is not None:
                raise self.failure
            try:
                call(packager, self.now_s())
                await self._perform(packager)
            except EvotoolsError as error:
                self.failure = error
                await self._rescue(packager)
                raise
        async with self._moved:
            self._moved.notify_all()

    async def _perform(self, packager: Packager) -> None:
        self._tell(packager)
        operations = packager.take()
        if not operations:
            return
        await asyncio.get_running_loop().run_in_executor(self._pool, self._folder.perform, operations)
        for operation in operations:
            if isinstance(operation, Write):
                self._report(operation)

    async def _rescue(self, packager: Packager) -> None:
        """Something failed: manifests for what is complete, where there is room for them. Those of live and event
        presentations are there already."""
        if packager.settings.type != "vod":
            return
        operations = packager.rescue(self._folder.lost, self.now_s())
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._pool, self._folder.use_reserve)
            await loop.run_in_executor(self._pool, self._folder.perform, operations)
        except EvotoolsError as error:
            log.debug("%s", error)
            return
        for operation in operations:
            if isinstance(operation, Write):
                self._report(operation)

    def _tell(self, packager: Packager) -> None:
        """Notices to the log; of cuts that are not aligned the first of each input, and every one as an event."""
        for notice in packager.notices:
            log.warning("%s", notice)
        packager.notices.clear()
        for mismatch in packager.mismatches:
            name = packager.names[mismatch.number]
            reference = packager.names[packager.alignment.reference or 0]
            if mismatch.number not in self._unaligned:
                self._unaligned.add(mismatch.number)
                own, other = ("has no cut", "has one") if mismatch.missing else ("is cut", "is not")
                log.warning(
                    "%s: %s at %.3f s and %s %s (nearest: %.3f s away); players cannot change between them there "
                    "without a seam", name, own, mismatch.at_s, reference, other, mismatch.away_s,
                )  # fmt: skip
            if self.on_event is not None:
                facts = {"input": name, "reference": reference, "time_s": round(mismatch.at_s, 3),
                         "away_s": round(mismatch.away_s, 3), "missing": mismatch.missing}  # fmt: skip
                self.on_event("misaligned", facts)
        packager.mismatches.clear()

    def _sum_up(self, packager: Packager) -> None:
        for number, counts in sorted(packager.alignment.counts.items()):
            if any(counts):
                log.warning("%s: %d cuts are not where those of %s are", packager.names[number], max(counts),
                            packager.names[packager.alignment.reference or 0])  # fmt: skip

    def _report(self, operation: Write) -> None:
        path = str(Path(self.name) / operation.path)
        if operation.role == "manifest" and operation.path not in self._told:
            self._told.add(operation.path)
            if self.on_file is not None:
                self.on_file(path, operation.facts)
        elif operation.role == "segment" and self.on_event is not None:
            self.on_event("segment", {"path": path, **operation.facts})

    async def wait_for_others(self, number: int) -> None:
        """Stored inputs wait while they are too far ahead of the others."""
        packager = self.packager
        if packager is None or len(self.names) == 1 or packager.settings.live:
            return
        limit_s = AHEAD_SEGMENTS * packager.settings.target_s
        async with self._moved:
            await self._moved.wait_for(lambda: packager.ahead_s(number) <= limit_s or self.failure is not None)

    async def end(self, number: int) -> None:
        """Nothing more comes from input `number`; the last one finishes the presentation."""
        if number not in self._reading:
            return
        self._reading.discard(number)
        if self.packager is None:
            return
        if self._reading:
            await self.work(lambda packager, now_s: packager.end(number, now_s))
        else:
            await self.work(lambda packager, now_s: packager.finish(now_s))
            self._sum_up(self.packager)

    async def give_up(self, number: int) -> None:
        """Input `number` failed."""
        try:
            await self.end(number)
        except EvotoolsError as error:
            log.debug("%s", error)

    def begun(self, number: int) -> bool:
        """Whether input `number` gave any media."""
        return self.packager is not None and self.packager.lanes[number].first_s is not None

    @property
    def aligned(self) -> bool:
        """Whether all inputs were cut at the same instants."""
        return self.packager is None or self.packager.alignment.aligned

    def leave(self) -> None:
        """One sink is closed; the last one lets go of the folder."""
        self._users -= 1
        if not self._users:
            self._pool.submit(self._folder.close)
            self._pool.shutdown(wait=False)


class PackageSink(Sink):
    """One input of a packaged presentation."""

    def __init__(self, uri: Uri, ctx: Context) -> None:
        self.uri = uri
        shared, number = ctx.options.get("package"), ctx.options.get("package_input", 0)
        if shared is None:
            shared = Shared(uri, Wishes.of(uri, force=bool(ctx.options.get("force"))), [unquote(uri.path)])
        self._shared: Shared = shared
        self._number: int = number
        self._shared.on_file = ctx.on_file
        self._shared.on_event = ctx.on_event
        # A stored source that plays live goes at its own speed.
        self.realtime = self._shared.wishes.type == "live"
        self._left = False

    async def open(self) -> None:
        """Lock the folder and see what is in it."""
        await self._shared.open(live=self.live)

    def offer(self, tracks: Sequence[Track]) -> list[Refusal]:
        """Tracks that have no place in the segments."""
        packager = self._shared.packager
        assert packager is not None
        return [Refusal(t, reason) for t in tracks if (reason := packager.refusal(t))]

    async def start(self, tracks: Sequence[Track]) -> None:
        """A new epoch."""
        await self._shared.work(lambda packager, now_s: packager.start(self._number, tracks, now_s))

    async def write(self, events: Sequence[Event]) -> None:
        """Frames; what they complete is on disk when this returns. Raises EvotoolsError."""
        frames: list[Frame] = []
        for event in events:
            if isinstance(event, Frame):
                frames.append(event)
            elif isinstance(event, Discontinuity) and event.clock:
                await self._push(frames)
                frames = []
                await self._shared.work(lambda packager, now_s: packager.discontinuity(self._number))
        await self._push(frames)
        await self._shared.wait_for_others(self._number)

    async def _push(self, frames: list[Frame]) -> None:
        if frames:
            await self._shared.work(lambda packager, now_s: packager.push(self._number, frames, now_s))

    async def finish(self) -> None:
        """Write the rest and the manifests."""
        await self._shared.end(self._number)

    async def close(self) -> None:
        """Let go of the folder; others that wait for this input go on."""
        if self._left:
            return
        self._left = True
        await self._shared.give_up(self._number)
        self._shared.leave()
