"""`hub:`: streams of the running server."""

import asyncio

import pytest

from evotools.endpoints import hub as module
from evotools.endpoints.base import Context, Sink, Source
from evotools.endpoints.registry import open_sink, open_source
from evotools.errors import RefusedError, UsageError
from evotools.hub.hub import Hub
from evotools.hub.stream import PublisherInfo
from evotools.media.frame import Discontinuity, Event, Frame, Metadata
from evotools.media.track import Kind
from evotools.uri import Uri
from tests.unit.endpoints.media import Clip, payloads, write_all


def ends(hub: Hub, name: str) -> tuple[Source, Sink]:
    context = Context(hub=hub)
    return open_source(Uri.parse(f"hub:{name}"), context), open_sink(Uri.parse(f"hub:{name}"), context)


@pytest.fixture
def hub() -> Hub:
    return Hub(lambda: asyncio.get_running_loop().time())


async def test_what_is_published_is_read(clip: Clip, hub: Hub) -> None:
    source, sink = ends(hub, "live/cam")
    events: list[Event] = []
    opening = asyncio.create_task(source.open())
    await asyncio.sleep(0)
    assert not opening.done(), "a reader waits for its publisher"
    await write_all(sink, clip)
    await opening
    while sum(isinstance(e, Frame) for e in events) < len(clip.frames):
        events += await source.read()
    assert payloads(events) == clip.payloads
    hub.end("live/cam")
    assert await source.read() == []
    await source.close()


async def test_waiting_can_be_left_and_leaves_no_observer(hub: Hub) -> None:
    source, _ = ends(hub, "live/cam")
    opening = asyncio.create_task(source.open())
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    await source.close()
    assert not hub._observers


async def test_a_name_in_use_and_a_lost_publication(clip: Clip, hub: Hub) -> None:
    _, first = ends(hub, "cam")
    _, second = ends(hub, "cam")
    await first.open()
    await first.start(clip.tracks)
    await second.open()
    with pytest.raises(RefusedError, match="in use"):
        await second.start(clip.tracks)
    hub.publish("cam", PublisherInfo("rtmp"), takeover=True)
    with pytest.raises(RefusedError, match="taken over"):
        await first.write(clip.frames)
    await first.close()
    await second.close()
    for bad in ("hub:", "hub:a?b=1"):
        with pytest.raises(UsageError):
            open_source(Uri.parse(bad), Context(hub=hub))
    with pytest.raises(RefusedError):
        await open_source(Uri.parse("hub:a/../b"), Context(hub=hub)).open()


async def test_a_reader_that_does_not_read_costs_bounded_memory_and_goes_on_at_a_key_frame(
    clip: Clip, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_QUEUED", 20_000)
    source, sink = ends(hub, "cam")
    await sink.open()
    await sink.start(clip.tracks)
    await source.open()
    inbox = source._inbox  # type: ignore[attr-defined]
    second = 0
    for second in range(20):
        for frame in clip.frames:
            ticks = second * frame.track.timescale
            await sink.write([frame.shifted(frame.track, frame.dts + ticks, frame.pts + ticks)])
        for n in range(100):
            await sink.write([Metadata("flood", n)])
        assert inbox.size < 30_000
        assert len(inbox.queue) < 500
    events = await source.read()
    cut = max(i for i, e in enumerate(events) if isinstance(e, Discontinuity))
    after = [e for e in events[cut:] if isinstance(e, Frame)]
    assert not after or (after[0].key and after[0].track.kind is Kind.VIDEO)
    await source.close()
    await sink.close()
