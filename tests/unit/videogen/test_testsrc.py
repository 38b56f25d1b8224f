"""`test:` as a source: the contract of sources, pace, cancellation."""

import asyncio
from time import gmtime

import pytest

from evotools.endpoints import testsrc
from evotools.endpoints.base import Context
from evotools.endpoints.registry import open_source
from evotools.endpoints.testsrc import TestSource
from evotools.errors import UsageError
from evotools.media.frame import Event, Frame, Tracks
from evotools.uri import Uri


def source(query: str) -> TestSource:
    made = open_source(Uri.parse(f"test:?{query}&size=160x120".replace("?&", "?")), Context())
    assert isinstance(made, TestSource)
    return made


async def drain(test: TestSource) -> list[list[Event]]:
    batches = []
    while batch := await test.read():
        batches.append(batch)
    return batches


async def test_tracks_come_first_and_an_empty_batch_last() -> None:
    test = source("realtime=0&duration=1s&audio=aac,opus")
    assert not test.live
    await test.open()
    batches = await drain(test)
    events = [e for b in batches for e in b]
    assert isinstance(events[0], Tracks)
    assert [t.codec for t in events[0].tracks] == ["h264", "aac", "opus"]
    assert all(isinstance(e, Frame) and e.track in events[0].tracks for e in events[1:])
    assert sum(e.track.codec == "h264" for e in events if isinstance(e, Frame)) == 25
    assert await test.read() == []
    await test.close()
    await test.close()
    assert await test.read() == []


async def test_unknown_options_and_bad_values_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown option"):
        source("colour=red")
    with pytest.raises(UsageError):
        source("fps=many")
    test = source("v.crf=abc")
    with pytest.raises(UsageError, match="libx264"):
        await test.open()
    await test.close()


async def test_closing_before_opening_and_while_reading() -> None:
    await source("").close()
    test = source("realtime=0")
    await test.open()
    await test.read()
    reading = asyncio.create_task(test.read())
    await asyncio.sleep(0)
    await test.close()
    await asyncio.wait([reading], timeout=10)
    assert reading.done()


async def test_a_cancelled_read_loses_nothing() -> None:
    test = source("realtime=0&duration=2s&audio=none&seed=1")
    await test.open()
    events: list[Event] = []
    while True:
        reading = asyncio.create_task(test.read())
        # Let it reach the worker, then take it back.
        for _ in range(3):
            await asyncio.sleep(0)
        if not reading.done():
            reading.cancel()
        await asyncio.wait([reading])
        if not reading.cancelled():
            events += reading.result()
        batch = await test.read()
        if not batch:
            break
        events += batch
    await test.close()
    assert isinstance(events[0], Tracks)
    assert [e.pts for e in events[1:] if isinstance(e, Frame)] == [n * 3600 for n in range(50)]


class Clock:
    """A time of day that moves only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1_700_000_000.0 + self.now

    localtime = staticmethod(gmtime)


async def test_real_time_is_kept_without_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        clock.slept.append(seconds)
        # Sleeps overshoot; the pace must not add that up.
        clock.now += seconds + 0.003
        await real_sleep(0)

    monkeypatch.setattr(testsrc, "time", clock)
    monkeypatch.setattr(testsrc.asyncio, "sleep", sleep)
    test = source("duration=4s&audio=none&fps=30000/1001")
    assert test.live
    await test.open()
    began = clock.now
    due: list[float] = []
    frames: list[Frame] = []
    while batch := await test.read():
        due.append(clock.now - began)
        frames += [e for e in batch if isinstance(e, Frame)]
    await test.close()
    assert len(frames) == len(due) == 120
    for n, at in enumerate(due):
        assert n * 1001 / 30000 <= at + 1e-9 <= n * 1001 / 30000 + 0.0031
    assert frames[0].wallclock_s == 1_700_000_000.0 + began
    assert frames[-1].wallclock_s == pytest.approx(1_700_000_000.0 + began + 119 * 1001 / 30000)


async def test_a_late_reader_gets_what_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(testsrc, "time", clock)
    test = source("duration=2s&audio=none")
    await test.open()
    await test.read()
    clock.now += 10
    batches = await drain(test)
    await test.close()
    assert clock.slept == []
    assert sum(len(b) for b in batches) == 49
