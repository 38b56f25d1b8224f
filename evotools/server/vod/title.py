"""A title: a file that is played from any place, its times counting from zero. Reading happens in threads.

```python
title = await open_title(path, pool)
async for events in title.read(60.0):   # Tracks first, then frames from the key frame at or before 60 s
    ...
await title.close()
```
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Iterable, Iterator
from concurrent.futures import Executor
from itertools import chain
from math import inf
from pathlib import Path
from typing import Final

from evotools.endpoints.mp4 import read_at
from evotools.errors import MediaError, UnreachableError
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track
from evotools.server.vod.stored import Stored, open_stored, reference

SLACK_S: Final = 0.05
"""A key frame so little behind the wanted time is taken: of a film that FFmpeg wrote, pictures come out later than in
the file by the priming samples of its AAC (1024 to 2112), and 30 would not find the key frame at 30.0."""
BACK_S: Final = 5.0
"""How far before a wanted time reading begins where no index tells the key frame; four times as far when none is
there, then from the beginning."""
MAX_BACK_S: Final = 600.0
MAX_HELD_BYTES: Final = 64 << 20
"""Frames kept while the key frame before a wanted time is looked for: a group of pictures of 10 s at 50 Mbit/s."""


class Title:
    """One open file. Any number of `read`s may run at once, each with its own place."""

    def __init__(self, name: str, stored: Stored, pool: Executor, fd: int) -> None:
        self.name = name
        """For messages."""
        self.container = stored.container
        """Name as `containers.sniff` gives it."""
        self.tracks = stored.tracks
        """The tracks at the beginning; a `Tracks` event tells when they change on the way."""
        self.duration_s = stored.duration_s
        """None where it cannot be told."""
        self._stored = stored
        self._pool = pool
        self._fd: int | None = fd
        self._users = 0
        self._closed = False

    async def read(
        self, start_s: float = 0.0, *, stop_s: float = inf, tracks: Collection[int] | None = None
    ) -> AsyncGenerator[list[Event], None]:
        """Batches of events, the first one beginning with `Tracks`, then frames in decoding order.

        They begin with the key frame at `start_s` (SLACK_S later at most) or before it and end before `stop_s`. All
        times are seconds from the file's beginning; `Frame` times have the same zero. With `tracks` only frames of
        these ids come, and the key frame is that of the first video, else audio track among them. A batch is at most a
        few megabytes; the next one is read when it is asked for. Raises MediaError for a file that breaks off being
        media, UnreachableError when the disk fails. Close the iterator (`aclose`) to stop early.
        """
        if self._closed:
            raise MediaError(f"{self.name}: closed")
        loop = asyncio.get_running_loop()
        lead = reference(tuple(track for track in self.tracks if tracks is None or track.id in tracks))
        if start_s > 0 and lead is not None and lead.kind is Kind.VIDEO:
            start_s += SLACK_S
        batches = self._batches(max(start_s, 0.0), stop_s, None if tracks is None else frozenset(tracks))
        self._users += 1
        step: asyncio.Future[list[Event] | None] | None = None
        try:
            while True:
                step = loop.run_in_executor(self._pool, _next, batches)
                # A cancelled reader leaves, but its step goes on to its end in the thread.
                events = await asyncio.shield(step)
                if events is None:
                    return
                yield events
        except OSError as error:
            raise UnreachableError(f"{self.name}: {error.strerror or error}") from None
        except MediaError as error:
            raise type(error)(f"{self.name}: {error.message}", hint=error.hint) from None
        finally:
            if step is not None and not step.done():
                step.add_done_callback(lambda done: self._leave(batches, done))
            else:
                self._leave(batches, None)

    async def close(self) -> None:
        """Close the file once the last reader has stopped. Safe to call twice."""
        self._closed = True
        self._let_go()

    def _leave(self, batches: Iterator[list[Event]], done: "asyncio.Future[list[Event] | None] | None") -> None:
        if done is not None and not done.cancelled():
            done.exception()
        # Closing a generator runs its `finally`, which gives libav's memory back.
        if isinstance(batches, Generator):
            self._submit(batches.close)
        self._users -= 1
        self._let_go()

    def _let_go(self) -> None:
        if self._closed and not self._users and self._fd is not None:
            fd, self._fd = self._fd, None
            self._submit(os.close, fd)

    def _submit(self, work: Callable[..., object], *arguments: object) -> None:
        try:
            self._pool.submit(work, *arguments)
        except RuntimeError:  # The server has stopped its threads.
            work(*arguments)

    # In a thread.

    def _batches(self, start_s: float, stop_s: float, ids: frozenset[int] | None) -> Iterator[list[Event]]:
        """What `read` gives, on the file's own zero."""
        stored = self._stored
        origin_s = stored.origin_s
        back_s = 0.0 if stored.indexed or not start_s else BACK_S
        while True:
            begin_s = max(start_s - back_s, 0.0)
            found = False
            found_events = stored.events(origin_s + begin_s)
            source: Iterator[list[Event] | None] = found_events
            if start_s:
                source = _from_key(found_events, origin_s + start_s, ids, last=not begin_s)
            for events in source:
                if events is None:
                    break
                found = True
                out, over = _cut(events, origin_s, origin_s + stop_s, ids)
                if out:
                    yield out
                if over:
                    return
            if found or not begin_s:
                return
            back_s = max(back_s * 4, BACK_S) if back_s < MAX_BACK_S else inf


def _next(batches: Iterator[list[Event]]) -> list[Event] | None:
    return next(batches, None)


def _from_key(
    batches: Iterator[list[Event]], start_s: float, ids: frozenset[int] | None, *, last: bool
) -> Iterator[list[Event] | None]:
    """Batches from the key frame at `start_s` or before it on; None when there is none and `last` is False."""
    tracks: tuple[Track, ...] = ()
    lead: Track | None = None
    held: list[Frame] = []
    size = 0
    for batch in batches:
        for index, event in enumerate(batch):
            if isinstance(event, Tracks):
                tracks = event.tracks
                lead = reference(tuple(t for t in tracks if ids is None or t.id in ids))
                continue
            if not isinstance(event, Frame):
                continue
            if lead is None or event.track.id != lead.id:
                held.append(event)
                size += len(event.payload)
                continue
            time_s = event.pts / event.track.timescale
            late = event.dts / event.track.timescale > start_s or size > MAX_HELD_BYTES
            has_key = bool(held) and held[0].track.id == lead.id
            if event.key and time_s <= start_s and not late:
                held = [f for f in held if f.track.id != lead.id and f.pts / f.track.timescale >= time_s]
                held.insert(0, event)
                size = sum([len(f.payload) for f in held])
            elif late:
                if not has_key and not last:
                    yield None
                    return
                if not has_key:
                    # Nothing to begin with so early: what comes first is all that there is.
                    held = [f for f in held if f.track.id != lead.id]
                first: list[Event] = [Tracks(tracks), *held, *batch[index:]]
                yield from _without_early(chain([first], batches), held[0] if has_key else None)
                return
            else:
                held.append(event)
                size += len(event.payload)
    if held and lead is not None and held[0].track.id == lead.id:
        yield from _without_early([[Tracks(tracks), *held]], held[0])
    elif held and last:
        yield [Tracks(tracks), *held]
    elif held:
        yield None


def _without_early(batches: Iterable[list[Event]], key: Frame | None) -> Iterator[list[Event]]:
    """Batches without what other tracks have before the key frame: transport streams send sound late."""
    rest = iter(batches)
    if key is not None:
        key_s, lead = key.pts / key.track.timescale, key.track.id
        for batch in rest:
            out: list[Event] = []
            late = True
            for event in batch:
                if isinstance(event, Frame):
                    track = event.track
                    if track.id != lead and event.pts / track.timescale < key_s:
                        continue
                    late = event.dts / track.timescale > key_s + BACK_S
                out.append(event)
            yield out
            if late:
                break
    yield from rest


def _cut(events: list[Event], origin_s: float, stop_s: float, ids: frozenset[int] | None) -> tuple[list[Event], bool]:
    """(events before `stop_s` of the tracks wanted, with their times from zero; whether that was all)."""
    if not origin_s and stop_s == inf and ids is None:
        return events, False
    out: list[Event] = []
    shifts: dict[int, int] = {}
    over = False
    for event in events:
        if not isinstance(event, Frame):
            out.append(event)
            continue
        track = event.track
        if ids is not None and track.id not in ids:
            continue
        if event.dts / track.timescale >= stop_s:
            over = True
            continue
        shift = shifts.get(track.timescale)
        if shift is None:
            shift = shifts[track.timescale] = rescale(round(origin_s * 1_000_000), 1_000_000, track.timescale)
        out.append(event.shifted(track, event.dts - shift, event.pts - shift) if shift else event)
    return out, over


async def open_title(path: str | Path | int, pool: Executor, *, name: str = "") -> Title:
    """Open a file, or take over an open descriptor, and learn its tracks and duration in `pool`.

    `name` is for messages. Raises MediaError (and ParseError, which is one) for what is no media that can be played,
    UnreachableError when it cannot be read.
    """
    loop = asyncio.get_running_loop()
    name = name or (path if isinstance(path, str) else str(path))
    step = loop.run_in_executor(pool, _open, path, name)
    try:
        fd, stored = await asyncio.shield(step)
    except asyncio.CancelledError:
        step.add_done_callback(_close_late)
        raise
    except OSError as error:
        raise UnreachableError(f"{name}: {error.strerror or error}") from None
    except MediaError as error:
        text = error.message if name in error.message else f"{name}: {error.message}"
        raise type(error)(text, hint=error.hint) from None
    return Title(name, stored, pool, fd)


def _close_late(step: "asyncio.Future[tuple[int, Stored]]") -> None:
    if not step.cancelled() and step.exception() is None:
        os.close(step.result()[0])


def _open(path: str | Path | int, name: str) -> tuple[int, Stored]:
    fd = path if isinstance(path, int) else os.open(path, _FLAGS)
    try:
        return fd, open_stored(read_at(fd), os.fstat(fd).st_size, name)
    except BaseException:
        os.close(fd)
        raise


_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
