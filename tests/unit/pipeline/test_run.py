"""Routes on a real loop with endpoints made for the test: reconnects, slow sinks, one failing beside others."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from evotools.endpoints import registry
from evotools.endpoints.base import Context, Refusal, Sink, Source
from evotools.errors import ExitCode, MediaError, NoMediaError, PeerGone, RefusedError, UnreachableError
from evotools.media.frame import Discontinuity, Event, Frame, Tracks
from evotools.media.track import Kind, Track
from evotools.pipeline.job import Runtime
from evotools.pipeline.route import OutputSpec, RouteSpec
from evotools.pipeline.run import run_route
from evotools.uri import Uri

VIDEO = Track(1, Kind.VIDEO, "h264", 1000)
AUDIO = Track(2, Kind.AUDIO, "aac", 1000)


def media(start_ms: int, frames: int, gop: int = 10) -> list[Event]:
    """Video at 25 fps and audio at the same times."""
    events: list[Event] = [Tracks((VIDEO, AUDIO))]
    for n in range(frames):
        t = start_ms + 40 * n
        events.append(Frame(VIDEO, t, t, b"v%d" % t, key=n % gop == 0, duration=40))
        events.append(Frame(AUDIO, t, t, b"a%d" % t, key=True, duration=40))
    return events


class ScriptSource(Source):
    """Each opening takes the next script: batches, then an end or an error."""

    scripts: list[list[Any]] = []
    live = False

    def __init__(self, uri: Uri, ctx: Context) -> None:
        self.uri = uri
        self._script: list[Any] = []

    async def open(self) -> None:
        self._script = ScriptSource.scripts.pop(0)
        if self._script and isinstance(self._script[0], UnreachableError):
            raise self._script[0]

    async def read(self) -> list[Event]:
        await asyncio.sleep(0)
        if not self._script:
            return []
        item = self._script.pop(0)
        if isinstance(item, Exception):
            raise item
        if isinstance(item, asyncio.Event):
            await item.wait()
            return await self.read()
        return list(item)

    async def close(self) -> None:
        pass


class ListSink(Sink):
    """Keeps what it gets in `taken[name]`; behaviour by name."""

    taken: dict[str, list[Event]] = {}
    opened: dict[str, int] = {}
    finished: list[str] = []
    behave: dict[str, Callable[["ListSink", Event], None]] = {}
    gates: dict[str, asyncio.Event] = {}
    failures = 0

    def __init__(self, uri: Uri, ctx: Context) -> None:
        self.uri = uri
        self.name = uri.path
        self.reconnects = self.name.startswith("net")
        self.realtime = self.name.startswith("net-live")

    async def open(self) -> None:
        self.opened[self.name] = self.opened.get(self.name, 0) + 1
        if self.name == "net-down":
            raise UnreachableError("net-down: nobody there")
        if self.name == "net-live-flaky" and ListSink.failures:
            ListSink.failures -= 1
            raise UnreachableError("net-live-flaky: not yet")
        if self.name == "net-never":
            await asyncio.Event().wait()
        if self.name == "net-live-late":
            await asyncio.sleep(0.05)
        if self.name == "net-refuses":
            raise RefusedError("net-refuses: bad key")

    def offer(self, tracks: Sequence[Track]) -> list[Refusal]:
        return [Refusal(t, "no audio here") for t in tracks if t.kind is Kind.AUDIO and self.name == "mute"]

    async def start(self, tracks: Sequence[Track]) -> None:
        self.taken.setdefault(self.name, []).append(Tracks(tuple(tracks)))

    async def write(self, events: Sequence[Event]) -> None:
        gate = self.gates.get(self.name)
        if gate is not None:
            await gate.wait()
        await asyncio.sleep(0)
        for event in events:
            if self.name in self.behave:
                self.behave[self.name](self, event)
            self.taken.setdefault(self.name, []).append(event)

    async def finish(self) -> None:
        self.finished.append(self.name)

    async def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    here = __name__
    monkeypatch.setitem(registry.SCHEMES, "test", registry.Scheme("test", source=f"{here}:ScriptSource"))
    monkeypatch.setitem(registry.SCHEMES, "hub", registry.Scheme("hub", sink=f"{here}:ListSink"))
    monkeypatch.setattr("evotools.pipeline.supervise.FIRST_S", 0.001)
    ScriptSource.scripts = []
    ScriptSource.live = False
    ListSink.taken, ListSink.opened, ListSink.finished, ListSink.behave, ListSink.gates = {}, {}, [], {}, {}


def spec(*sinks: str, **options: Any) -> RouteSpec:
    return RouteSpec("test:", tuple(OutputSpec(f"hub:{s}") for s in sinks), **options)


def frames(name: str) -> list[Frame]:
    return [e for e in ListSink.taken.get(name, []) if isinstance(e, Frame)]


async def test_every_sink_gets_every_frame_and_is_finished() -> None:
    ScriptSource.scripts = [[media(0, 20)[:11], media(0, 20)[11:]]]
    assert await run_route(spec("a", "b"), Runtime()) == 0
    assert [f.payload for f in frames("a")] == [f.payload for f in frames("b")]
    assert len(frames("a")) == 40
    assert sorted(ListSink.finished) == ["a", "b"]


async def test_one_sink_failing_never_stops_the_other_and_the_result_is_partial() -> None:
    def fail(sink: ListSink, event: Event) -> None:
        if isinstance(event, Frame) and event.dts >= 400:
            raise PeerGone("bad: went away")

    ListSink.behave["bad"] = fail
    ScriptSource.scripts = [[media(0, 50)]]
    assert await run_route(spec("good", "bad"), Runtime()) == ExitCode.VERDICT
    assert len(frames("good")) == 100
    assert ListSink.finished == ["good"]


async def test_fail_fast_ends_the_route_with_the_sinks_error() -> None:
    ScriptSource.scripts = [[media(0, 5), asyncio.Event()]]
    with pytest.raises(RefusedError):
        await run_route(spec("good", "net-refuses", fail_fast=True), Runtime())


async def test_all_sinks_lost_is_the_first_ones_error() -> None:
    ScriptSource.scripts = [[media(0, 5), asyncio.Event()]]
    with pytest.raises(UnreachableError, match="nobody there"):
        await run_route(spec("net-down", output_reconnect=2), Runtime())
    assert ListSink.opened["net-down"] == 3, "one attempt and two more"


async def test_a_network_sink_reconnects_and_goes_on_at_a_key_frame(caplog: pytest.LogCaptureFixture) -> None:
    def fail_once(sink: ListSink, event: Event) -> None:
        if isinstance(event, Frame) and event.dts >= 600 and sink.opened["net"] == 1:
            raise PeerGone("net: connection lost")

    ListSink.behave["net"] = fail_once
    gate = asyncio.Event()
    ScriptSource.scripts = [[media(0, 20), gate, media(800, 40)[1:]]]
    task = asyncio.create_task(run_route(spec("net"), Runtime()))
    while ListSink.opened.get("net", 0) < 2:
        await asyncio.sleep(0.001)
    gate.set()
    assert await task == 0
    taken = ListSink.taken["net"]
    second = max(i for i, e in enumerate(taken) if isinstance(e, Tracks))
    assert second > 0, "the new connection is told the tracks"
    first = taken[second + 1]
    assert isinstance(first, Frame)
    assert first.key
    assert first.track.kind is Kind.VIDEO
    assert frames("net")[-1].dts == 800 + 39 * 40
    lost, found = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert lost.startswith("net: connection lost; trying again in")
    assert found == "hub:net: connected again"


async def test_destinations_that_look_alike_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    def fail_once(sink: ListSink, event: Event) -> None:
        if sink.uri.text.endswith("two") and sink.opened["net"] == 2:
            raise PeerGone(f"{sink.uri.redacted}: connection lost")

    ListSink.behave["net"] = fail_once
    ScriptSource.scripts = [[media(0, 20)]]
    assert await run_route(spec("net?key=one", "net?key=two"), Runtime()) == 0
    lost, found = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert lost.startswith("hub:net?key=**** (destination 2): connection lost; trying again in")
    assert found == "hub:net?key=**** (destination 2): connected again"


async def test_a_refused_track_is_left_out_for_that_sink_only() -> None:
    ScriptSource.scripts = [[media(0, 5)]]
    assert await run_route(spec("mute", "full"), Runtime()) == 0
    assert {f.track.kind for f in frames("mute")} == {Kind.VIDEO}
    assert {f.track.kind for f in frames("full")} == {Kind.VIDEO, Kind.AUDIO}


async def test_a_lost_source_is_opened_again_and_time_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    ScriptSource.scripts = [[media(5000, 10), PeerGone("lost")], [UnreachableError("still away")], [media(0, 10)]]
    assert await run_route(spec("a", reconnect=5), Runtime()) == 0
    times = [f.dts for f in frames("a") if f.track is VIDEO]
    assert len(times) == 20
    assert all(x < y for x, y in zip(times, times[1:], strict=False)), "the clock never goes back"
    assert times[10] - times[9] < 1000
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.partition("; trying")[0] for text in said] == ["lost", "still away", "test:: connected again"]


async def test_a_lost_source_without_reconnect_is_its_error_after_a_clean_finish() -> None:
    ScriptSource.scripts = [[media(0, 10), PeerGone("lost")]]
    with pytest.raises(PeerGone):
        await run_route(spec("a"), Runtime())
    assert ListSink.finished == ["a"]
    assert len(frames("a")) == 20


@pytest.mark.parametrize("jump_ms", [-3_600_000, 3_600_000])
async def test_a_jump_of_the_clock_is_bridged(jump_ms: int) -> None:
    ScriptSource.scripts = [[media(10_000_000, 10), media(10_000_000 + jump_ms, 10)[1:]]]
    assert await run_route(spec("a"), Runtime()) == 0
    times = [f.dts for f in frames("a") if f.track is VIDEO]
    assert times == [10_000_000 + 40 * n for n in range(10)] + list(times[10:])
    assert 0 < times[10] - times[9] <= 1000
    assert any(isinstance(e, Discontinuity) for e in ListSink.taken["a"])


async def test_duration_counts_media_of_every_track() -> None:
    ScriptSource.scripts = [[media(7000, 100)]]
    assert await run_route(spec("a", duration_s=2.0), Runtime()) == 0
    assert len([f for f in frames("a") if f.track is VIDEO]) == 50
    assert len([f for f in frames("a") if f.track is AUDIO]) == 50


async def test_selection() -> None:
    ScriptSource.scripts = [[media(0, 5)]]
    assert await run_route(spec("a", drop=("audio",)), Runtime()) == 0
    assert {f.track for f in frames("a")} == {VIDEO}
    ScriptSource.scripts = [[media(0, 5)]]
    with pytest.raises(MediaError, match="no track matches"):
        await run_route(spec("b", keep=("data",)), Runtime())


async def test_no_media_at_all() -> None:
    ScriptSource.scripts = [[[]]]
    with pytest.raises(NoMediaError):
        await run_route(spec("a"), Runtime())
    ScriptSource.scripts = [[asyncio.Event()]]
    with pytest.raises(NoMediaError, match="nothing came for"):
        await run_route(spec("a", timeout_s=0.02), Runtime())


async def test_the_stop_signal_finishes_what_was_begun() -> None:
    runtime = Runtime()
    ScriptSource.scripts = [[media(0, 10), asyncio.Event()]]
    task = asyncio.create_task(run_route(spec("a"), runtime))
    while not frames("a"):
        await asyncio.sleep(0.001)
    runtime.stop.set()
    assert await task == 0
    assert ListSink.finished == ["a"]


async def test_a_slow_sink_makes_a_live_source_drop_to_a_key_frame_and_no_other_sink_notices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evotools.pipeline.output.QUEUE_S", 0.05)
    ScriptSource.live = True
    gate = ListSink.gates["slow"] = asyncio.Event()
    more = asyncio.Event()
    batches = [media(400 * n, 10)[bool(n) :] for n in range(60)]
    pause = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, pause.set)
    ScriptSource.scripts = [[*batches[:30], pause, *batches[30:], more, media(24_000, 20)[1:]]]
    task = asyncio.create_task(run_route(spec("slow", "fast"), Runtime()))
    while len(frames("fast")) < 1200:
        await asyncio.sleep(0.001)
    gate.set()
    more.set()
    assert await task == 0
    assert len(frames("fast")) == 1240
    got = [f.dts for f in frames("slow") if f.track is VIDEO]
    assert len(got) < 400, "it lost what waited for too long"
    gap = next(i for i, (x, y) in enumerate(zip(got, got[1:], strict=False)) if y - x > 40)
    assert next(f for f in frames("slow") if f.track is VIDEO and f.dts == got[gap + 1]).key
    assert got[-1] == 24_000 + 19 * 40, "and is live again"


async def test_a_stored_source_waits_for_its_slowest_sink() -> None:
    ScriptSource.scripts = [[media(0, 10), media(400, 2000)[1:]]]
    big = b"x" * 100_000
    ScriptSource.scripts[0][1] = [Frame(f.track, f.dts, f.pts, big, key=f.key) for f in media(400, 300)[1:]]
    gate = ListSink.gates["slow"] = asyncio.Event()
    task = asyncio.create_task(run_route(spec("slow"), Runtime()))
    await asyncio.sleep(0.02)
    gate.set()
    assert await task == 0
    assert len(frames("slow")) == 20 + 600, "nothing was dropped"


async def test_a_route_that_is_stopped_does_not_wait_for_a_sink_that_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evotools.pipeline.run.FINISH_S", 0.05)
    runtime = Runtime()
    big = [Frame(f.track, f.dts, f.pts, b"x" * 100_000, key=f.key) for f in media(400, 300)[1:]]
    ListSink.gates["slow"] = asyncio.Event()
    ScriptSource.scripts = [[media(0, 10), big, asyncio.Event()]]
    task = asyncio.create_task(run_route(spec("slow", "fast"), runtime))
    while len(frames("fast")) < 20:
        await asyncio.sleep(0.001)
    runtime.stop.set()
    async with asyncio.timeout(2):
        assert await task == ExitCode.VERDICT, "the one that blocked is incomplete"
    assert ListSink.finished == ["fast"]


async def test_a_route_that_is_stopped_does_not_wait_for_a_sink_that_nobody_reached() -> None:
    runtime = Runtime()
    ScriptSource.live = True
    ScriptSource.scripts = [[media(0, 10), asyncio.Event()]]
    task = asyncio.create_task(run_route(spec("net-never", "a"), runtime))
    while not frames("a"):
        await asyncio.sleep(0.001)
    runtime.stop.set()
    async with asyncio.timeout(2):
        assert await task == 0
    assert ListSink.finished == ["a"]


async def test_a_file_waits_while_its_only_destination_is_away() -> None:
    """The connection is lost with a full queue; the route goes on when it is back."""

    def fail_once(sink: ListSink, event: Event) -> None:
        if isinstance(event, Frame) and event.dts >= 400 and sink.opened["net-live"] == 1:
            raise PeerGone("net-live: connection lost")

    ListSink.behave["net-live"] = fail_once
    ListSink.gates["net-live"] = gate = asyncio.Event()
    big = [Frame(f.track, f.dts, f.pts, b"x" * 100_000, key=f.key) for f in media(400, 300)[1:]]
    ScriptSource.scripts = [[media(0, 10), big, media(12_400, 20)[1:]]]
    task = asyncio.create_task(run_route(spec("net-live", pace=False), Runtime()))
    while not ListSink.opened.get("net-live"):
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    gate.set()
    async with asyncio.timeout(5):
        assert await task == 0
    assert frames("net-live")[-1].dts == 12_400 + 19 * 40


@pytest.mark.parametrize("pace", [True, False])
async def test_a_file_loses_nothing_to_a_server_that_comes_late(pace: bool) -> None:
    """Sound that comes before the first picture included."""
    events = [Tracks((VIDEO, AUDIO)), Frame(AUDIO, 0, 0, b"a", key=True), *media(0, 3)[1:]]
    ScriptSource.scripts = [[events]]
    ListSink.failures = 2
    assert await run_route(spec("net-live-flaky", pace=pace), Runtime()) == 0
    assert len(frames("net-live-flaky")) == 7


async def test_a_file_that_is_not_paced_waits_for_the_first_connection() -> None:
    ScriptSource.scripts = [[media(0, 1000), media(40_000, 1000)[1:]]]
    assert await run_route(spec("net-live-late", pace=False), Runtime()) == 0
    assert len(frames("net-live-late")) == 4000


async def test_a_stuck_destination_never_stops_another_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evotools.pipeline.output.QUEUE_S", 0.05)
    monkeypatch.setattr("evotools.pipeline.run.FINISH_S", 0.01)
    big = [Frame(f.track, f.dts, f.pts, b"x" * 100_000, key=f.key) for f in media(400, 300)[1:]]
    ListSink.gates["net-stuck"] = asyncio.Event()
    last = asyncio.Event()
    ScriptSource.scripts = [[media(0, 10), big, media(12_400, 20)[1:], last]]
    runtime = Runtime()
    task = asyncio.create_task(run_route(spec("net-stuck", "good"), runtime))
    async with asyncio.timeout(5):
        while len(frames("good")) < 20 + 600 + 40:
            await asyncio.sleep(0.001)
        runtime.stop.set()
        assert await task == ExitCode.VERDICT


async def test_overflow_policies_of_a_live_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evotools.pipeline.output.QUEUE_S", 0.03)
    monkeypatch.setattr("evotools.pipeline.output.AHEAD_BYTES", 100_000)
    ScriptSource.live = True
    for policy in ("wait", "fail"):
        gate = ListSink.gates["slow"] = asyncio.Event()
        ListSink.taken.clear()
        batches = [
            [Frame(f.track, f.dts, f.pts, b"x" * 5000, key=f.key) for f in media(400 * n, 10)[1:]] for n in range(100)
        ]
        pause = asyncio.Event()
        asyncio.get_running_loop().call_later(0.06, pause.set)
        ScriptSource.scripts = [[media(0, 0), *batches[:10], pause, *batches[10:]]]
        task = asyncio.create_task(run_route(spec("slow", on_overflow=policy), Runtime()))
        if policy == "fail":
            async with asyncio.timeout(2):
                with pytest.raises(PeerGone, match="slower than the source"):
                    await task
            continue
        await asyncio.sleep(0.15)
        assert len(ScriptSource.scripts) == 0
        gate.set()
        assert await task == 0
        assert len(frames("slow")) == 2000, "nothing is lost, and the source was held back"


async def test_a_live_source_faster_than_real_time_loses_nothing_to_a_sink_that_keeps_up() -> None:
    ScriptSource.live = True
    ScriptSource.scripts = [[media(0, 10), *(media(400 * n, 1000)[1:] for n in range(0, 500, 100))]]
    assert await run_route(spec("a"), Runtime()) == 0
    assert len(frames("a")) == 20 + 5 * 2000


async def test_an_error_inside_one_sink_does_not_stop_the_others() -> None:
    def bug(sink: ListSink, event: Event) -> None:
        raise ValueError("a bug")

    ListSink.behave["bad"] = bug
    ScriptSource.scripts = [[media(0, 10)]]
    assert await run_route(spec("good", "bad"), Runtime()) == ExitCode.VERDICT
    assert len(frames("good")) == 20


async def test_events_without_media_are_no_memory_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evotools.pipeline.output.QUEUE_ITEMS", 100)
    from evotools.pipeline.output import Output

    ScriptSource.live = True
    output = Output(OutputSpec("hub:a"), spec("a"), Runtime(), live=True)
    output.offer(media(0, 1))
    for n in range(1000):
        output.offer([Discontinuity(str(n))])
    assert len(output._queue) <= 101
    assert any(isinstance(e, Tracks) for e in output._queue), "the track list is never lost"


def interleaved(start_ms: int, frames_: int, audio_lag_ms: int) -> list[Event]:
    """Video with audio that comes later in the file than the pictures of its time."""
    events: list[Event] = [Tracks((VIDEO, AUDIO))]
    for n in range(frames_):
        t = start_ms + 40 * n
        events.append(Frame(VIDEO, t, t, b"v", key=n % 10 == 0, duration=40))
        a = t - audio_lag_ms
        if a >= start_ms:
            events.append(Frame(AUDIO, a, a, b"a", key=True, duration=40))
    for n in range(audio_lag_ms // 40):
        a = start_ms + 40 * frames_ - audio_lag_ms + 40 * n
        events.append(Frame(AUDIO, a, a, b"a", key=True, duration=40))
    return events


@pytest.mark.parametrize("to", [0, 50_000_000])
async def test_tracks_stay_together_across_a_jump_that_they_reach_one_after_the_other(to: int) -> None:
    old, new = interleaved(10_000_000, 50, 200)[1:], interleaved(to, 50, 200)[1:]
    # The first pictures after the cut come before the last sound before it.
    mixed = [*old[:-5], *new[:3], *old[-5:], *new[3:]]
    ScriptSource.scripts = [[[Tracks((VIDEO, AUDIO)), *mixed]]]
    assert await run_route(spec("a"), Runtime()) == 0
    video = [f.dts for f in frames("a") if f.track is VIDEO]
    audio = [f.dts for f in frames("a") if f.track is AUDIO]
    assert len(video) == len(audio) == 100
    assert video == list(range(10_000_000, 10_000_000 + 100 * 40, 40))
    assert audio == video, "each sound stays at its picture"
    assert sum(isinstance(e, Discontinuity) for e in ListSink.taken["a"]) == 1


async def test_sparse_tracks_never_move_the_clock() -> None:
    captions = Track(3, Kind.DATA, "klv", 1000)
    events: list[Event] = [Tracks((VIDEO, AUDIO, captions))]
    for n in range(2000):
        events.append(Frame(VIDEO, 40 * n, 40 * n, b"v", key=True, duration=40))
        if n % 500 == 0:
            events.append(Frame(captions, 40 * n, 40 * n, b"c", key=True))
        if n % 600 == 0:
            events.append(Frame(AUDIO, 40 * n, 40 * n, b"a", key=True, duration=40))
    ScriptSource.scripts = [[events]]
    assert await run_route(spec("a"), Runtime()) == 0
    assert [f.dts for f in frames("a")] == [e.dts for e in events if isinstance(e, Frame)]
    assert not any(isinstance(e, Discontinuity) for e in ListSink.taken["a"])


def test_a_pause_of_a_live_source_is_kept_for_every_track() -> None:
    from evotools.media.timeline import Jump
    from evotools.pipeline.clock import RouteClock

    for live, jump in ((True, Jump.NONE), (False, Jump.FORWARD)):
        clock = RouteClock()
        clock.start_session(0.0)
        for track in (VIDEO, AUDIO):
            assert clock.place(track, 5.0, 1.0, live=live) is Jump.NONE
            clock.places[track.id].last_s = 5.0
        clock.note(5.0, 1.0)
        assert clock.place(VIDEO, 35.0, 31.0, live=live) is jump
        clock.places[VIDEO.id].last_s = 35.0 + clock.places[VIDEO.id].offset_s
        clock.note(35.0 + clock.places[VIDEO.id].offset_s, 31.0)
        assert clock.place(AUDIO, 35.0, 31.0, live=live) is Jump.NONE
        assert clock.places[AUDIO.id].offset_s == clock.places[VIDEO.id].offset_s


async def test_no_track_goes_back_when_the_next_session_begins_with_old_sound() -> None:
    second: list[Event] = [Tracks((VIDEO, AUDIO)), Frame(VIDEO, 5000, 5000, b"v", key=True, duration=40)]
    second += [Frame(AUDIO, 4000 + 40 * n, 4000 + 40 * n, b"a", key=True, duration=40) for n in range(50)]
    ScriptSource.scripts = [[media(0, 50), PeerGone("lost")], [second]]
    assert await run_route(spec("a", reconnect=1), Runtime()) == 0
    times = [f.dts for f in frames("a") if f.track is AUDIO]
    assert all(x < y for x, y in zip(times, times[1:], strict=False))


async def test_duration_ends_though_a_track_never_sends() -> None:
    events = [e for e in media(0, 500) if not isinstance(e, Frame) or e.track is VIDEO]
    ScriptSource.scripts = [[events, asyncio.Event()]]
    async with asyncio.timeout(5):
        assert await run_route(spec("a", duration_s=2.0), Runtime()) == 0
    assert len(frames("a")) == 50


async def test_reconnect_forever_opens_a_live_source_again_after_its_end() -> None:
    ScriptSource.live = True
    runtime = Runtime()
    ScriptSource.scripts = [[media(0, 10)], [media(0, 10)], [asyncio.Event()]]
    task = asyncio.create_task(run_route(spec("a", reconnect=-1), runtime))
    while len(frames("a")) < 40:
        await asyncio.sleep(0.001)
    runtime.stop.set()
    assert await task == 0
    ScriptSource.scripts = [[media(0, 10)]]
    assert await run_route(spec("b", reconnect=3), Runtime()) == 0, "an end is an end otherwise"


async def test_nothing_is_left_running_when_a_route_is_cancelled_or_loses_its_sinks() -> None:
    before = asyncio.all_tasks()
    ScriptSource.scripts = [[media(0, 5), asyncio.Event()], [media(0, 5), asyncio.Event()]]
    with pytest.raises(RefusedError):
        await run_route(spec("net-refuses"), Runtime())
    task = asyncio.create_task(run_route(spec("a"), Runtime()))
    while not frames("a"):
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert asyncio.all_tasks() == before


async def test_options_of_the_uri_beat_the_flag() -> None:
    from evotools.pipeline.output import Output

    output = Output(OutputSpec("tcp://127.0.0.1:9?format=flv", "ts"), spec("a"), Runtime(), live=True)
    assert output.sink.format == "flv"
    assert Output(OutputSpec("tcp://127.0.0.1:9", "flv"), spec("a"), Runtime(), live=True).sink.format == "flv"
