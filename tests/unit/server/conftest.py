"""Media for the listeners."""

import asyncio

import pytest

import evotools
from evotools.containers.flv.writer import TagWriter
from evotools.media.frame import Frame, Tracks
from evotools.protocols.rtmp.chunk import Message
from tests.unit.endpoints.media import Clip


@pytest.fixture(scope="session")
def tags() -> list[Message]:
    """A second of media as messages on stream 1."""

    async def make() -> list[Message]:
        writer = TagWriter()
        found = []
        async with evotools.open_source("test:?size=64x64&realtime=0&duration=1s&seed=1") as source:
            async for event in source:
                if isinstance(event, Tracks):
                    found += writer.start(event.tracks)
                elif isinstance(event, Frame) and (tag := writer.tag(event)) is not None:
                    found.append(tag)
        return [Message(t.type, t.timestamp_ms, 1, b"".join((t.prefix, t.payload))) for t in found]

    return asyncio.run(make())


@pytest.fixture(scope="session")
def clip() -> Clip:
    """One second of the test stream, H.264 and AAC."""

    async def make() -> Clip:
        async with evotools.open_source("test:?size=64x64&realtime=0&duration=1s&seed=1") as source:
            return Clip([event async for event in source])

    return asyncio.run(make())
