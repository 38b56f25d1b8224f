"""Media for the endpoints."""

import asyncio

import pytest

import evotools
from tests.unit.endpoints.media import Clip


@pytest.fixture(scope="session")
def clip() -> Clip:
    """One second of the test stream, H.264 and AAC."""

    async def make() -> Clip:
        async with evotools.open_source("test:?size=64x64&realtime=0&duration=1s&seed=1") as source:
            return Clip([event async for event in source])

    return asyncio.run(make())
