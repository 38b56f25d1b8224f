"""What viewers get: starts, shared joins, epochs, laggards, caps, ends."""

import gc
import random
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.errors import RefusedError
from evotools.hub import chunks
from evotools.hub.feed import Feed
from evotools.hub.viewer import Closed, Slow, Start, Viewer, ViewerPolicy
from evotools.media.frame import Frame, Tracks
from evotools.media.track import Track
from tests.unit.hub.make import AUDIO, VIDEO, Bench, TextMuxer, Wire, audio, gops, video

LIVE = ViewerPolicy(start=Start.LIVE)


def join(feed: Feed, wire: Wire, policy: ViewerPolicy | None = None, now: float = 0.0) -> Viewer:
    return feed.join(wire.write, wire.unsent, now=now, policy=policy or ViewerPolicy(),
                     on_close=lambda why: wire.closed.append(why.value))  # fmt: skip


@pytest.fixture
def bench() -> Bench:
    return Bench()


def feed_of(bench: Bench, key: str = "text") -> Feed:
    return bench.stream.feed(key, TextMuxer, now=bench.now)


# Starts.


def test_the_first_viewer_gets_the_newest_group_at_once(bench: Bench) -> None:
    bench.push(*gops(0, 2), video(800, key=True), video(900))
    wire = Wire()
    viewer = join(feed_of(bench), wire)
    assert wire.text == "[v:one]v800K;v900;"
    assert viewer.live


def test_a_later_viewer_gets_the_same_start_and_then_shares_the_flush(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed, first, second = feed_of(bench), Wire(), Wire()
    join(feed, first)
    bench.push(video(400))
    feed.flush(0.1)
    join(feed, second)
    bench.push(video(500))
    feed.flush(0.2)
    assert first.text == second.text == "[v:one]v0K;v100;v200;v300;v400;v500;"
    assert first.writes[-1] is second.writes[-1]


def test_a_viewer_that_comes_between_flushes_misses_and_repeats_nothing(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed, first, second = feed_of(bench), Wire(), Wire()
    join(feed, first)
    bench.push(video(400), video(500, key=True), video(600))
    join(feed, second)
    feed.flush(0.1)
    assert second.text == "[v:one]v500K;v600;"
    bench.push(video(700))
    feed.flush(0.2)
    assert first.text.endswith("v600;v700;")
    assert second.text.endswith("v600;v700;")


def test_a_live_start_waits_for_the_next_key_frame(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed, wire = feed_of(bench), Wire()
    join(feed, wire, LIVE)
    bench.push(video(400), video(500))
    feed.flush(0.1)
    assert wire.text == ""
    bench.push(video(600, key=True), video(700))
    feed.flush(0.2)
    assert wire.text == "[v:one]v600K;v700;"


def test_a_start_further_back_begins_at_a_key_frame_as_far_as_the_feed_reaches(bench: Bench) -> None:
    bench.push(*gops(0, 10))
    feed, some, all_ = feed_of(bench), Wire(), Wire()
    join(feed, some, ViewerPolicy(back_s=1.0))
    join(feed, all_, ViewerPolicy(back_s=100.0))
    assert some.text.startswith("[v:one]v2800K;")
    assert all_.text.startswith("[v:one]v0K;")


def test_a_viewer_may_come_before_the_tracks_and_the_first_key_frame() -> None:
    bench = Bench(tracks=())
    feed, wire = feed_of(bench), Wire()
    join(feed, wire)
    bench.push(Tracks((VIDEO,)), video(0, key=True))
    feed.flush(0.1)
    assert wire.text == "[v:one]v0K;"
    assert feed.mime == "text/x-test"


def test_sound_without_picture_starts_within_the_last_half_second() -> None:
    bench = Bench(tracks=(AUDIO,))
    bench.push(*(audio(n * 20) for n in range(200)))
    wire = Wire()
    join(feed_of(bench), wire)
    assert wire.text.startswith("[a:]a35")


def test_a_response_head_that_still_waits_does_not_delay_the_start(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed, wire = feed_of(bench), Wire()
    wire.stuck = 90
    join(feed, wire)
    assert wire.text == "[v:one]v0K;v100;v200;v300;"


# Sharing.


def test_ten_thousand_viewers_cost_one_join_per_flush(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed = feed_of(bench)
    wires = [Wire() for _ in range(10_000)]
    viewers = [join(feed, wire) for wire in wires]
    assert feed.joins == 1
    for n in range(5):
        bench.push(video(400 + n * 100), video(450 + n * 100))
        feed.flush(0.1 * n)
    assert feed.joins == 6
    for position in range(-5, 0):
        assert len({id(wire.writes[position]) for wire in wires}) == 1
    assert {viewer.bytes for viewer in viewers} == {len(wires[0].text)}
    assert {viewer.chunks for viewer in viewers} == {14}


def test_one_join_per_distinct_cursor(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed = feed_of(bench)
    wires = [Wire() for _ in range(30)]
    for wire in wires:
        join(feed, wire)
    before = feed.joins
    for round_ in range(3):
        for wire in wires[round_ * 10 : round_ * 10 + 10]:
            wire.stuck = 1
        bench.push(video(400 + round_ * 100))
        feed.flush(0.1)
    for wire in wires:
        wire.stuck = 0
    assert feed.joins - before == 3
    feed.flush(0.4)
    # Three groups of ten stopped at three cursors.
    assert feed.joins - before == 6
    assert {wire.text for wire in wires} == {"[v:one]v0K;v100;v200;v300;v400;v500;v600;"}


def test_nothing_is_written_to_a_viewer_with_unsent_bytes(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed, wire, other = feed_of(bench), Wire(), Wire()
    viewer = join(feed, wire)
    join(feed, other)
    wire.stuck = 100
    count = len(wire.writes)
    bench.push(video(400))
    assert feed.flush(0.1) is True
    assert len(wire.writes) == count
    assert not viewer.live
    wire.stuck = 0
    assert feed.flush(0.2) is False
    assert wire.text == other.text
    assert viewer.live
    assert viewer.bytes == len(wire.text)


def test_a_long_backlog_goes_out_in_bounded_pieces(bench: Bench) -> None:
    class FatMuxer(TextMuxer):
        def write(self, frame: Frame) -> bytes:
            return bytes(100_000)

    bench.push(*gops(0, 1, length=30))
    feed, wire = bench.stream.feed("fat", FatMuxer, now=0.0), Wire()
    wire.write = lambda data: (wire.writes.append(data), setattr(wire, "stuck", len(data)))  # type: ignore[func-returns-value]
    join(feed, wire)
    while wire.stuck:
        assert wire.stuck <= 256 * 1024
        wire.stuck = 0
        feed.flush(0.1)
    assert sum(map(len, wire.writes)) == 30 * 100_000 + len("[v:one]")


# Epochs and sessions.


def test_a_new_configuration_reaches_viewers_in_line_and_new_viewers_as_their_header(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed, old, new = feed_of(bench), Wire(), Wire()
    join(feed, old)
    changed = VIDEO.with_(config=b"two")
    bench.push(Tracks((changed,)), video(400, key=True, track=changed))
    feed.flush(0.1)
    join(feed, new)
    assert old.text == "[v:one]v0K;v100;v200;v300;{v:two}v400K;"
    assert new.text == "[v:two]v400K;"
    assert bench.stream.epoch == 2


def test_a_viewer_that_starts_before_the_first_key_of_an_epoch_crosses_into_it(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed, first = feed_of(bench), Wire()
    join(feed, first)
    changed = VIDEO.with_(config=b"two")
    bench.push(Tracks((changed,)), video(400, track=changed))
    feed.flush(0.1)
    wire = Wire()
    join(feed, wire)
    assert wire.text == "[v:one]v0K;v100;v200;v300;{v:two}v400;"


def test_a_viewer_that_skips_into_another_epoch_gets_its_header_first() -> None:
    bench = Bench(ring_s=100.0)
    bench.push(*gops(0, 1))
    feed, slow, fine = feed_of(bench), Wire(), Wire()
    viewer = join(feed, slow, ViewerPolicy(max_lag_s=1.0))
    join(feed, fine)
    slow.stuck = 5
    changed = VIDEO.with_(config=b"two")
    bench.push(Tracks((changed,)), *[video(f.dts, key=f.key, track=changed) for f in gops(400, 5)])  # type: ignore[union-attr]
    feed.flush(0.1)
    slow.stuck = 0
    feed.flush(0.2)
    assert slow.text == "[v:one]v0K;v100;v200;v300;{v:two}v2000K;v2100;v2200;v2300;"
    assert viewer.skips == 1
    assert viewer.bytes == len(slow.text)
    assert "{v:two}v400K;" in fine.text


def test_a_viewer_that_skips_before_it_got_any_header_gets_that_of_a_beginner() -> None:
    bench = Bench(ring_s=100.0)
    feed, slow = feed_of(bench), Wire()
    slow.stuck = 5
    join(feed, slow, ViewerPolicy(max_lag_s=1.0))
    bench.push(*gops(0, 1))
    feed.flush(0.1)
    changed = VIDEO.with_(config=b"two")
    bench.push(Tracks((changed,)), *[video(f.dts, key=f.key, track=changed) for f in gops(400, 5)])  # type: ignore[union-attr]
    feed.flush(0.2)
    slow.stuck = 0
    feed.flush(0.3)
    assert slow.text == "[v:two]v2000K;v2100;v2200;v2300;"


def test_the_same_tracks_again_are_no_new_epoch(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed, wire = feed_of(bench), Wire()
    join(feed, wire)
    bench.push(Tracks((VIDEO,)), video(400, key=True))
    feed.flush(0.1)
    assert "{" not in wire.text
    assert bench.stream.epoch == 1


def test_a_returning_publisher_continues_its_viewers(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed, wire = feed_of(bench), Wire()
    join(feed, wire)
    bench.publication.close()
    bench.now = 3.0
    again = bench.hub.publish("live/a", bench.publication.info)
    again.push([Tracks((VIDEO,)), video(70_000), video(70_040, key=True)])
    feed.flush(3.0)
    assert wire.text == "[v:one]v0K;v100;v200;v300;v3340K;"
    assert wire.closed == []


def test_a_feed_of_chosen_tracks_ignores_the_others_and_their_epochs() -> None:
    bench = Bench(tracks=(VIDEO, AUDIO))
    bench.push(video(0, key=True), audio(0), video(40), audio(20))
    feed, wire = bench.stream.feed("a", TextMuxer, [2], now=0.0), Wire()
    join(feed, wire)
    changed = VIDEO.with_(config=b"two")
    bench.push(Tracks((changed, AUDIO)), video(80, key=True, track=changed), audio(40))
    feed.flush(0.1)
    assert wire.text == "[a:]a0K;a20K;a40K;"


def test_a_choice_that_follows_the_track_list_takes_late_tracks_in(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed, wire = bench.stream.feed("all", TextMuxer, lambda tracks: tracks[:2], now=0.0), Wire()
    join(feed, wire)
    bench.push(Tracks((VIDEO, AUDIO)), video(400, key=True), audio(400))
    feed.flush(0.1)
    assert wire.text.endswith("{v+a:one}v400K;a400K;")


def test_tracks_that_the_muxer_has_no_name_for_are_left_out() -> None:
    other = Track(3, VIDEO.kind, "unknown", 1000)
    bench = Bench(tracks=(VIDEO, other))
    bench.push(video(0, key=True), video(0, key=True, track=other))
    wire = Wire()
    join(feed_of(bench), wire)
    assert wire.text == "[v:one]v0K;"


# Slow viewers.


def lag(bench: Bench, policy: ViewerPolicy, groups: int) -> tuple[Feed, Wire, Viewer]:
    bench.push(*gops(0, 1))
    feed, wire = feed_of(bench), Wire()
    viewer = join(feed, wire, policy)
    join(feed, Wire())
    wire.stuck = 1
    for n in range(groups):
        bench.push(*gops(400 + n * 400, 1))
        feed.flush(n * 0.4)
    return feed, wire, viewer


def test_skip_goes_on_at_the_newest_key_frame_and_counts(bench: Bench) -> None:
    feed, wire, viewer = lag(bench, ViewerPolicy(max_lag_s=1.0), 5)
    wire.stuck = 0
    feed.flush(3.0)
    assert wire.text == "[v:one]v0K;v100;v200;v300;v2000K;v2100;v2200;v2300;"
    assert viewer.dropped == 16
    assert viewer.skips >= 1
    assert viewer.live


def test_lag_is_capped_in_bytes_too(bench: Bench) -> None:
    feed, wire, viewer = lag(bench, ViewerPolicy(max_lag_s=1000.0, max_lag_bytes=30), 5)
    wire.stuck = 0
    feed.flush(3.0)
    assert viewer.skips >= 1


def test_wait_gets_everything_the_feed_still_has(bench: Bench) -> None:
    feed, wire, viewer = lag(bench, ViewerPolicy(slow=Slow.WAIT, max_lag_s=0.5), 8)
    wire.stuck = 0
    feed.flush(4.0)
    assert viewer.skips == 0
    assert wire.text.count("v") == 1 + 36


def test_wait_skips_when_the_feed_has_passed() -> None:
    bench = Bench(ring_s=1.0)
    feed, wire, viewer = lag(bench, ViewerPolicy(slow=Slow.WAIT), 20)
    wire.stuck = 0
    feed.flush(9.0)
    assert viewer.skips >= 1
    assert wire.text.endswith("v8000K;v8100;v8200;v8300;")


def test_disconnect(bench: Bench) -> None:
    feed, wire, viewer = lag(bench, ViewerPolicy(slow=Slow.DISCONNECT, max_lag_s=1.0), 5)
    assert wire.closed == [Closed.SLOW]
    assert viewer.feed is None
    assert len(feed) == 1


def test_disconnect_does_not_wait_for_a_key_frame(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed, wire = feed_of(bench), Wire()
    join(feed, wire, ViewerPolicy(slow=Slow.DISCONNECT, max_lag_s=1.0))
    wire.stuck = 1
    bench.push(*[video(400 + n * 100) for n in range(10)])
    feed.flush(0.1)
    assert wire.closed == []
    bench.push(video(1400), video(1500))
    feed.flush(0.2)
    assert wire.closed == [Closed.SLOW]
    assert bench.stream.totals.slow == 1


@pytest.mark.parametrize("policy", [Slow.DISCONNECT, Slow.SKIP])
@pytest.mark.parametrize("limit", [{"max_lag_s": 1.0}, {"max_lag_bytes": 30}])
def test_who_begins_late_in_a_long_group_is_not_slow(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, policy: Slow, limit: dict[str, Any]
) -> None:
    monkeypatch.setattr(chunks, "PIECE_BYTES", 50)
    bench.push(*gops(0, 1, length=50))
    feed, wire = feed_of(bench), Wire()
    wire.stuck = 1
    viewer = join(feed, wire, ViewerPolicy(slow=policy, **limit))
    assert not viewer.live
    bench.push(video(5000, key=True))
    feed.flush(0.1)
    wire.stuck = 0
    feed.flush(0.2)
    assert viewer.live
    assert viewer.skips == 0
    assert wire.text.endswith("v4800;v4900;v5000K;")
    # From here on it is.
    wire.stuck = 1
    bench.push(*gops(5100, 9))
    feed.flush(0.3)
    assert wire.closed == [Closed.SLOW] or viewer.skips == 1


def test_a_peer_that_takes_nothing_at_all_is_let_go(bench: Bench) -> None:
    feed, wire, _ = lag(bench, ViewerPolicy(stall_s=5.0), 2)
    feed.flush(4.9)
    assert wire.closed == []
    wire.stuck = 0
    feed.flush(5.0)
    wire.stuck = 50
    bench.push(video(1300))
    feed.flush(6.0)
    wire.stuck = 20
    feed.flush(10.9)
    feed.flush(15.8)
    assert wire.closed == []
    feed.flush(16.0)
    assert wire.closed == [Closed.STALLED]


def test_a_long_first_group_is_no_reason_to_skip(bench: Bench) -> None:
    bench.push(*gops(0, 1, length=200))
    feed, wire = feed_of(bench), Wire()
    wire.stuck = 1
    viewer = join(feed, wire, ViewerPolicy(max_lag_s=1.0))
    feed.flush(0.1)
    assert viewer.skips == 0


def test_bytes_beyond_the_cap_go_even_unflushed_and_viewers_recover() -> None:
    bench = Bench(ring_bytes=400)
    bench.push(*gops(0, 1))
    feed, wire = feed_of(bench), Wire()
    viewer = join(feed, wire)
    bench.push(*(video(400 + n * 10) for n in range(500)))
    feed.flush(0.1)
    assert feed.log.size <= 400
    assert viewer.skips == 1
    bench.push(video(9000, key=True), video(9100))
    feed.flush(0.2)
    assert wire.text.endswith("v300;v9000K;v9100;")


# Ends and faults.


def test_the_end_reaches_everybody_and_laggards_get_the_rest_first(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed, wire, slow, waiting = feed_of(bench), Wire(), Wire(), Wire()
    join(feed, wire)
    join(feed, slow)
    join(feed, waiting, LIVE)
    slow.stuck = 1
    bench.push(video(400))
    bench.hub.end("live/a")
    assert wire.text.endswith("v400;END")
    assert wire.closed == waiting.closed == [Closed.ENDED]
    assert slow.closed == []
    slow.stuck = 0
    feed.flush(1.0)
    assert slow.text == wire.text
    assert slow.closed == [Closed.ENDED]
    with pytest.raises(RefusedError):
        join(feed, Wire())


def test_a_viewer_whose_write_fails_costs_nobody_else(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed, broken, fine = feed_of(bench), Wire(), Wire()
    join(feed, broken)
    join(feed, fine)

    def fail() -> int:
        raise OSError("gone")

    broken.unsent = fail  # type: ignore[method-assign]
    feed._pairs = None
    for viewer in feed.viewers():
        viewer.unsent = broken.unsent if viewer.write == broken.write else fine.unsent
    bench.push(video(400))
    feed.flush(0.1)
    assert broken.closed == [Closed.FAILED]
    assert fine.text.endswith("v400;")


def test_a_muxer_that_fails_ends_its_feed_and_no_other(bench: Bench) -> None:
    class Broken(TextMuxer):
        def write(self, frame: Frame) -> bytes:
            if frame.dts >= 400:
                raise ValueError("no")
            return super().write(frame)

    events: list[str] = []
    bench.hub.on_event(lambda event: events.append(event.kind))
    bench.push(*gops(0, 1))
    bad, good = Wire(), Wire()
    join(bench.stream.feed("bad", Broken, now=0.0), bad)
    feed = feed_of(bench)
    join(feed, good)
    bench.push(video(400))
    feed.flush(0.1)
    assert bad.closed == [Closed.FAILED]
    assert good.text.endswith("v400;")
    assert list(bench.stream.feeds) == ["text"]
    assert "fault" in events


def test_a_feed_lives_from_its_first_to_its_last_viewer(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed = feed_of(bench)
    assert feed_of(bench) is feed
    one, two = join(feed, Wire()), join(feed, Wire())
    one.leave()
    one.leave()
    assert bench.stream.feeds
    two.leave()
    assert not bench.stream.feeds
    assert feed_of(bench) is not feed


def test_a_feed_that_nobody_joins_is_given_up(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    feed = feed_of(bench)
    feed.flush(1.0)
    assert bench.stream.feeds
    feed.flush(6.0)
    assert not bench.stream.feeds


def test_feeds_per_stream_are_capped() -> None:
    bench = Bench(feeds_per_stream=2)
    feed_of(bench, "1")
    feed_of(bench, "2")
    with pytest.raises(RefusedError, match="too many"):
        feed_of(bench, "3")


def test_feeds_viewers_and_their_callbacks_are_freed(bench: Bench) -> None:
    bench.push(*gops(0, 1))
    gc.collect()
    gc.disable()
    try:
        feed, wire = feed_of(bench), Wire()
        viewer = join(feed, wire)
        bench.push(video(400))
        feed.flush(0.1)
        watched = [weakref.ref(feed), weakref.ref(viewer), weakref.ref(wire)]
        viewer.leave()
        del feed, viewer, wire
        assert [ref() for ref in watched] == [None, None, None]
    finally:
        gc.enable()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**64), st.booleans())
def test_whatever_happens_each_viewer_gets_a_run_of_groups_without_gaps_inside(seed: int, tight: bool) -> None:
    """Every viewer's text is a header and runs of consecutive frames, each run beginning at a key frame."""
    rnd = random.Random(seed)
    bench = Bench(ring_s=1.0, ring_bytes=600 if tight else 10**6)
    dts, group = 0, 0
    feed: Feed | None = None
    readers: list[tuple[Viewer, Wire]] = []
    everyone: list[tuple[Viewer, Wire]] = []
    for _ in range(rnd.randrange(20, 300)):
        action = rnd.random()
        if action < 0.5:
            group = 0 if rnd.random() < 0.15 else group + 1
            bench.push(video(dts, key=group == 0 or dts == 0))
            dts += 100
        elif action < 0.65:
            feed = feed_of(bench)
            wire = Wire()
            policy = ViewerPolicy(
                start=rnd.choice(list(Start)), slow=rnd.choice(list(Slow)), max_lag_s=rnd.choice([0.5, 2.0]),
                back_s=rnd.choice([0.0, 1.0]), stall_s=1e9,
            )  # fmt: skip
            readers.append((join(feed, wire, policy, dts / 1000), wire))
            everyone.append(readers[-1])
        elif action < 0.7 and readers:
            readers.pop(rnd.randrange(len(readers)))[0].leave()
        elif action < 0.8 and readers:
            wire = rnd.choice(readers)[1]
            wire.stuck = 0 if wire.stuck else 10
        elif feed is not None:
            feed.flush(dts / 1000)
    for viewer, wire in everyone:
        assert viewer.bytes == len(wire.text)
        if wire.text in ("", "[v:one]"):
            continue
        assert wire.text.startswith("[v:one]v")
        runs = 0
        last = -100
        for item in wire.text.removeprefix("[v:one]").rstrip(";").split(";"):
            value = int(item[1:].rstrip("K"))
            if value != last + 100 or last < 0:
                assert item.endswith("K")
                assert value > last
                runs += 1
            last = value
        assert runs <= viewer.skips + 1
