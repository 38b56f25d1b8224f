"""The source end of a route: open, open again, one running clock, chosen tracks, limits of time."""

import asyncio
import math
import random
import time
from dataclasses import replace

from evotools.endpoints.base import Source
from evotools.endpoints.registry import open_source
from evotools.errors import EvotoolsError, MediaError, NoMediaError, ParseError, PeerGone, UsageError
from evotools.log import get_logger
from evotools.media.frame import Discontinuity, Event, Frame, Metadata, Tracks
from evotools.media.select import select
from evotools.media.timeline import Jump
from evotools.pipeline.clock import RouteClock
from evotools.pipeline.job import Runtime
from evotools.pipeline.resolve import parse_uri
from evotools.pipeline.route import FOREVER, RouteSpec
from evotools.pipeline.supervise import Backoff

log = get_logger("pipeline")

DRAIN_S = 5.0
"""After a signal a stage that reads a pipe goes on for this long: the stage before it is finishing too."""
CONNECT_TIMEOUT_S = 10.0
SILENT_S = 2.0
"""With `--duration`: how far beyond the mark other tracks may run while one of them sends nothing."""


class RouteReader:
    """Batches of events from the route's source, across reconnects, on one clock that never jumps."""

    def __init__(self, spec: RouteSpec, runtime: Runtime) -> None:
        self._spec = spec
        self._runtime = runtime
        self._uri = parse_uri(spec.source)
        self.source = self._new_source()
        self._backoff = Backoff(spec.reconnect)
        self._clock = RouteClock()
        self._limit_s = math.inf
        self._kept: set[int] = set()
        self._over = False
        self._failed = False
        """It was lost, or not reached, and has not been opened since."""
        self._spent: set[int] = set()
        self.frames = 0
        self.bytes = 0

    def _new_source(self) -> Source:
        source = open_source(self._uri, self._runtime.context)
        if self._spec.source_format:
            source.format = self._spec.source_format
        return source

    @property
    def position_s(self) -> float:
        """How much media was read."""
        start_s = self._clock.start_s
        return 0.0 if start_s is None else max(self._clock.end_s - start_s, 0.0)

    @property
    def length_s(self) -> float | None:
        """How much media there is to read, where that is known."""
        limits = [s for s in (self.source.duration_s, self._spec.duration_s) if s is not None]
        return min(limits, default=None)

    @property
    def _timeout_s(self) -> float | None:
        if self._spec.timeout_s is not None:
            return self._spec.timeout_s or None
        waits = self._uri.scheme in ("-", "fd", "exec", "ts-exec", "file", "test", "hub") or self._uri.listens
        return None if waits else CONNECT_TIMEOUT_S

    async def open(self) -> None:
        """Open the source, again and again within the route's `reconnect`. Raises the last error."""
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self.source.open()
                self._backoff.connected(time.monotonic())
                if self._failed:
                    self._failed = False
                    # As loud as the failure was: who read that one waits for this one.
                    log.warning("%s: connected again", self._uri.redacted)
                    self._runtime.events.emit("reconnected", uri=self._uri.redacted)
                self._clock.start_session(time.monotonic())
                return
            except TimeoutError:
                failure: EvotoolsError = NoMediaError(
                    f"{self._uri.redacted}: no media within {self._timeout_s:g} s", hint="raise --timeout"
                )
            except EvotoolsError as error:
                failure = error
            if not await self._again(failure):
                raise failure

    async def _again(self, failure: EvotoolsError) -> bool:
        await self.source.close()
        wait = self._backoff.next(failure, time.monotonic(), random.random())
        if wait is None or self._runtime.stop.is_set():
            return False
        self._failed = True
        log.warning("%s; trying again in %.1f s", failure, wait)
        self._runtime.events.emit("reconnect", uri=self._uri.redacted, error=str(failure), wait_s=round(wait, 2))
        try:
            await asyncio.wait_for(self._runtime.stop.wait(), wait)
            return False
        except TimeoutError:
            pass
        self.source = self._new_source()
        return True

    async def read(self) -> list[Event]:
        """The next batch; empty at the end: of the media, of `--duration`, or after a signal."""
        while not self._over:
            try:
                async with asyncio.timeout(self._timeout_s):
                    events = await self.source.read()
                batch = self._prepare(events)
                if batch:
                    return batch
                if events:
                    continue
                if not self.source.live or self._spec.reconnect != FOREVER:
                    return []
                failure: EvotoolsError = PeerGone(f"{self._uri.redacted}: the stream ended")
            except TimeoutError:
                failure = NoMediaError(
                    f"{self._uri.redacted}: nothing came for {self._timeout_s:g} s", hint="raise --timeout"
                )
            except EvotoolsError as error:
                # Broken bytes may be whole after a new start; what was asked for wrongly stays wrong.
                if isinstance(error, UsageError | MediaError) and not isinstance(error, ParseError):
                    raise
                failure = error
            if not await self._again(failure):
                if self._runtime.stop.is_set():
                    return []
                raise failure
            await self.open()
        return []

    def _prepare(self, events: list[Event]) -> list[Event]:
        """Choose tracks, keep one clock, end at `duration`. Per frame: no call on the ordinary path."""
        out: list[Event] = []
        now = time.monotonic()
        clock, live, limit_s = self._clock, self.source.live, self._limit_s
        kept, places, ahead_s = self._kept, clock.places, clock.ahead_s
        frames = size = 0
        unplaced: list[int] = []
        end_s = clock.end_s
        for event in events:
            if isinstance(event, Frame):
                track = event.track
                number = track.id
                if number not in kept:
                    continue
                dts_s = event.dts / track.timescale
                place = places.get(number)
                if place is None or not place.last_s <= dts_s + place.offset_s <= end_s + ahead_s:
                    if frames:
                        clock.note(end_s, now)
                    jump = clock.place(track, dts_s, now, live=live)
                    if jump is not Jump.NONE:
                        log.info("%s: timestamps jumped %s; bridged", self._uri.redacted, jump.value)
                        out.append(Discontinuity(f"timestamps jumped {jump.value}", clock=True))
                    place = places[number]
                dts_s += place.offset_s
                if place.ticks:
                    event = event.shifted(track, event.dts + place.ticks, event.pts + place.ticks)
                if place.leads:
                    if dts_s < place.last_s:
                        # The tracks of a new session begin at different times; none goes back behind its own past.
                        dts = round(place.last_s * track.timescale) + 1
                        event = event.shifted(track, dts, max(event.pts, dts))
                        dts_s = dts / track.timescale
                    place.last_s = dts_s
                if dts_s >= limit_s:
                    # Every track runs up to the mark, so that sound and picture end together.
                    self._spent.add(number)
                    if self._spent >= kept or dts_s > limit_s + SILENT_S:
                        self._over = True
                        break
                    continue
                if limit_s == math.inf and self._spec.duration_s is not None:
                    limit_s = self._limit_s = dts_s + self._spec.duration_s - 1e-6
                after = dts_s + event.duration / track.timescale
                if after > end_s and place.leads:
                    end_s = after
                frames += 1
                size += len(event.payload)
                out.append(event)
            elif isinstance(event, Tracks):
                out.append(self._choose(event))
                kept = self._kept
            else:
                if isinstance(event, Metadata):
                    offset_s = clock.offset_s
                    if offset_s is None:
                        unplaced.append(len(out))
                    elif offset_s:
                        event = replace(event, time_s=event.time_s + offset_s)
                out.append(event)
        if unplaced and (offset_s := clock.offset_s):
            # Data in front of the first frame of a session.
            for index in unplaced:
                early = out[index]
                assert isinstance(early, Metadata)
                out[index] = replace(early, time_s=early.time_s + offset_s)
        if frames:
            clock.note(end_s, now)
            self.frames += frames
            self.bytes += size
        return out

    def _choose(self, event: Tracks) -> Tracks:
        chosen = tuple(select(event.tracks, self._spec.keep, self._spec.drop))
        self._kept = {t.id for t in chosen}
        for track in chosen:
            log.info("%s: track %d: %s", self._uri.redacted, track.id, track.describe())
            self._runtime.events.emit("track", uri=self._uri.redacted, id=track.id, kind=track.kind.value,
                                      codec=track.codec, codecs=track.codec_string)  # fmt: skip
        if event.tracks and not chosen:
            raise MediaError(f"{self._uri.redacted}: no track matches the selection")
        return Tracks(chosen)

    async def close(self) -> None:
        """Close the source."""
        await self.source.close()
