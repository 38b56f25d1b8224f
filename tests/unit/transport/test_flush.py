"""The tick, on a loop whose time the test moves."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from evotools.hub import chunks
from evotools.hub.hub import Hub
from evotools.hub.stream import StreamListener
from evotools.hub.viewer import ViewerPolicy
from evotools.media.frame import Tracks
from evotools.transport import flush as flush_module
from evotools.transport.flush import CEILING_S, LEAD_S, Flusher
from tests.unit.hub.make import INFO, VIDEO, TextMuxer, Wire, video


class FakeHandle:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """Timers of an event loop without waiting."""

    def __init__(self) -> None:
        self.now = 100.0
        self._order = 0
        self._timers: list[tuple[float, int, FakeHandle]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> FakeHandle:
        self._order += 1
        handle = FakeHandle(call)
        heapq.heappush(self._timers, (when, self._order, handle))
        return handle

    def call_later(self, delay: float, call: Callable[[], None]) -> FakeHandle:
        return self.call_at(self.now + delay, call)

    def call_soon(self, call: Callable[[], None]) -> FakeHandle:
        return self.call_at(self.now, call)

    def run_to(self, when: float) -> None:
        while self._timers and self._timers[0][0] <= when:
            due, _, handle = heapq.heappop(self._timers)
            if not handle.cancelled:
                self.now = max(self.now, due)
                handle.call()
        self.now = max(self.now, when)


class Scene:
    def __init__(self, loop: FakeLoop, interval: Any) -> None:
        self.loop = loop
        self.hub = Hub(loop.time)
        self.flusher = Flusher(self.hub, interval)
        self.publication = self.hub.publish("a", INFO)
        self.publication.push([Tracks((VIDEO,)), video(0, key=True)])
        self.wire = Wire()
        self.watch(self.wire)
        self.dts = 0

    def watch(self, wire: Wire) -> None:
        feed = self.publication.stream.feed("text", TextMuxer, now=self.loop.now)
        feed.join(wire.write, wire.unsent, now=self.loop.now, policy=ViewerPolicy(max_lag_s=1000))

    def play(self, frames: int, step_s: float = 0.04) -> list[float]:
        """Push frames in real time; when each write came."""
        times: list[float] = []
        self.wire.write = lambda data: times.append(self.loop.now)  # type: ignore[assignment, return-value]
        for feed in self.publication.stream.feeds.values():
            feed._pairs = None
            for viewer in feed.viewers():
                if viewer.unsent == self.wire.unsent:
                    viewer.write = self.wire.write
        for _ in range(frames):
            self.dts += 40
            self.publication.push([video(self.dts)])
            self.loop.run_to(self.loop.now + step_s)
        return times


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    fake = FakeLoop()
    monkeypatch.setattr(flush_module.asyncio, "get_running_loop", lambda: fake)
    return fake


def test_zero_writes_every_batch_at_once(loop: FakeLoop) -> None:
    scene = Scene(loop, 0)
    start = loop.now
    assert scene.play(10) == pytest.approx([start + n * 0.04 for n in range(10)])


def test_a_fixed_tick_merges(loop: FakeLoop) -> None:
    scene = Scene(loop, 0.1)
    times = scene.play(100)
    assert len(times) == pytest.approx(40, abs=2)
    assert min(b - a for a, b in itertools.pairwise(times)) >= 0.0999


def test_batches_of_one_moment_share_a_flush(loop: FakeLoop) -> None:
    scene = Scene(loop, 0)
    for n in range(5):
        scene.publication.push([video(40 + n)])
    loop.run_to(loop.now)
    assert scene.flusher.flushes == 1


def test_auto_stays_at_once_while_the_loop_has_room(loop: FakeLoop) -> None:
    scene = Scene(loop, "auto")
    assert len(scene.play(50)) == 50
    assert scene.flusher.interval_s < 0.001


def test_auto_widens_with_the_cost_of_flushing_up_to_the_ceiling_and_back(loop: FakeLoop) -> None:
    scene = Scene(loop, "auto")
    feed = next(iter(scene.publication.stream.feeds.values()))
    real = feed.flush

    def costly(now: float) -> bool:
        loop.now += 0.012
        return real(now)

    feed.flush = costly  # type: ignore[method-assign]
    scene.play(200)
    assert 0.04 < scene.flusher.interval_s < 0.06

    def overloaded(now: float) -> bool:
        loop.now += 0.2
        return real(now)

    feed.flush = overloaded  # type: ignore[method-assign]
    scene.play(100)
    assert scene.flusher.interval_s == CEILING_S
    feed.flush = real  # type: ignore[method-assign]
    scene.play(300)
    assert scene.flusher.interval_s < 0.005


def test_a_lagging_viewer_is_looked_at_without_new_media_and_delays_nobody(loop: FakeLoop) -> None:
    scene = Scene(loop, 0)
    slow = Wire()
    scene.watch(slow)
    slow.stuck = 1
    start = loop.now
    assert scene.play(3, step_s=0.01) == pytest.approx([start, start + 0.01, start + 0.02])
    slow.stuck = 0
    loop.run_to(loop.now + 0.05)
    assert slow.text == "[v:one]v0K;v40;v80;v120;"


def test_a_long_interval_does_not_hold_back_who_catches_up(loop: FakeLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "PIECE_BYTES", 20)
    scene = Scene(loop, 0.35)
    scene.play(10)
    scene.publication.push([video(440 + n * 40) for n in range(40)])
    loop.run_to(loop.now + 1)
    late = Wire()

    def take(data: bytes) -> None:
        # The peer takes one piece in 10 ms.
        late.writes.append(data)
        late.stuck = len(data)
        loop.call_later(0.01, lambda: setattr(late, "stuck", 0))

    late.write = take  # type: ignore[method-assign]
    scene.watch(late)
    begun = loop.now
    flushed = scene.flusher.flushes
    loop.run_to(begun + 21 * flush_module.RETRY_S)
    assert len(late.text) > 200
    assert late.text.endswith("v2000;")
    assert scene.flusher.flushes <= flushed + 2
    # It does not make the others' writes more frequent either.
    monkeypatch.setattr(chunks, "PIECE_BYTES", 1000)
    scene.dts = 2000
    assert min(b - a for a, b in itertools.pairwise(scene.play(100))) >= 0.3499
    loop.run_to(loop.now + 1)
    assert late.text.endswith("v6000;")


def test_what_comes_is_missed_by_nobody_until_just_before_the_next_flush(loop: FakeLoop) -> None:
    scene = Scene(loop, 0.2)
    stream = scene.publication.stream
    scene.play(1, step_s=0.0)
    loop.run_to(loop.now + 0.1)
    flushes = scene.flusher.flushes
    scene.play(1, step_s=0.05)
    patience = scene.hub.patience(stream)
    assert 0 < patience < 0.2
    # What comes that late is still part of it, and what comes right before it need not be.
    loop.run_to(loop.now + patience)
    assert scene.flusher.flushes == flushes
    assert scene.hub.patience(stream) == pytest.approx(0.2, abs=0.001)
    loop.run_to(loop.now + 2 * LEAD_S)
    assert scene.flusher.flushes == flushes + 1


def test_nobody_has_patience_who_follows_every_frame_or_wants_it_at_once(loop: FakeLoop) -> None:
    scene = Scene(loop, 0.2)
    stream = scene.publication.stream
    assert scene.hub.patience(stream) > 0.1
    assert scene.hub.patience(scene.hub.publish("unread", INFO).stream) == 0
    quick = stream.feed("quick", TextMuxer, now=loop.now, flush_interval=0.0)
    wire = Wire()
    quick.join(wire.write, wire.unsent, now=loop.now)
    loop.run_to(loop.now + 0.001)
    assert scene.hub.patience(stream) <= 0
    followed = Scene(loop, 0.2)
    followed.publication.stream.listen(StreamListener())
    assert followed.hub.patience(followed.publication.stream) == 0
    scene.flusher.close()
    assert scene.hub.patience(stream) == 0


def test_no_timer_runs_while_nothing_is_pending(loop: FakeLoop) -> None:
    scene = Scene(loop, 0.04)
    scene.play(3)
    loop.run_to(loop.now + 1)
    before = scene.flusher.flushes
    loop.run_to(loop.now + 60)
    assert scene.flusher.flushes == before


def test_the_hub_is_told_the_time(loop: FakeLoop) -> None:
    scene = Scene(loop, 0)
    scene.publication.close()
    loop.run_to(loop.now + 11)
    assert scene.hub.find("a") is None


def test_a_feed_whose_flush_fails_does_not_stop_the_tick(loop: FakeLoop) -> None:
    scene = Scene(loop, 0)
    other = scene.publication.stream.feed("other", TextMuxer, now=loop.now)
    wire = Wire()
    other.join(wire.write, wire.unsent, now=loop.now)

    def broken(now: float) -> bool:
        raise RuntimeError

    other.flush = broken  # type: ignore[method-assign]
    assert len(scene.play(3)) == 3
    assert len(scene.publication.stream.feeds) == 1


async def test_on_a_real_loop_closing_writes_what_is_pending() -> None:
    hub = Hub(asyncio.get_running_loop().time)
    flusher = Flusher(hub, 60.0)
    publication = hub.publish("a", INFO)
    publication.push([Tracks((VIDEO,)), video(0, key=True)])
    wire = Wire()
    publication.stream.feed("text", TextMuxer, now=0.0).join(wire.write, wire.unsent, now=0.0)
    publication.push([video(40)])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    publication.push([video(80)])
    flusher.close()
    assert wire.text == "[v:one]v0K;v40;v80;"
    assert hub.on_pending is None
