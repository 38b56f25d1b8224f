"""What the tests of endpoints send and how they compare what came."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from evotools.containers.mpegts.mux import TsMuxer
from evotools.endpoints.base import Context, Sink, Source
from evotools.endpoints.registry import open_sink, open_source
from evotools.errors import UnreachableError
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Track
from evotools.uri import Uri

T = TypeVar("T")


class Clip:
    """A short stream."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = list(events)
        self.tracks: tuple[Track, ...] = next(e.tracks for e in events if isinstance(e, Tracks))
        self.frames = [e for e in events if isinstance(e, Frame)]

    @property
    def payloads(self) -> dict[str, list[bytes]]:
        return payloads(self.frames)

    def ts(self) -> bytes:
        muxer = TsMuxer()
        return muxer.start(self.tracks) + b"".join([muxer.write(f) for f in self.frames]) + muxer.finish()


def payloads(events: Sequence[Event]) -> dict[str, list[bytes]]:
    """Payloads per codec, in order."""
    found: dict[str, list[bytes]] = {}
    for event in events:
        if isinstance(event, Frame):
            found.setdefault(event.track.codec, []).append(event.payload)
    return found


def source(uri: str | Path) -> Source:
    return open_source(Uri.parse(str(uri)), Context())


def sink(uri: str | Path) -> Sink:
    return open_sink(Uri.parse(str(uri)), Context())


async def when_it_listens(attempt: Callable[[], Awaitable[T]]) -> T:
    """`attempt()` as soon as the other side listens."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await attempt()
            except (UnreachableError, ConnectionRefusedError):
                await asyncio.sleep(0.005)


async def read_all(opened: Source) -> list[Event]:
    """Open, read to the end, close."""
    events: list[Event] = []
    try:
        await opened.open()
        while batch := await opened.read():
            events += batch
    finally:
        await opened.close()
    return events


async def write_all(opened: Sink, clip: Clip, *, parts: int = 5) -> None:
    """Open, send the clip in parts, finish, close."""
    try:
        await opened.open()
        assert not opened.offer(clip.tracks)
        await opened.start(clip.tracks)
        for n in range(parts):
            size = len(clip.frames)
            await opened.write(clip.frames[n * size // parts : (n + 1) * size // parts])
        await opened.finish()
    finally:
        await opened.close()
