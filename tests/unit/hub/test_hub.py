"""Names, publishers, grace, listeners and events."""

import pytest

from evotools.errors import RefusedError
from evotools.hub.hub import Hub, HubEvent
from evotools.hub.limits import Limits
from evotools.hub.names import ReservedNames
from evotools.hub.stream import PublisherInfo, State, Stream, StreamListener
from evotools.media.frame import Discontinuity, Frame, Metadata, Tracks
from tests.unit.hub.make import AUDIO, INFO, VIDEO, Bench, TextMuxer, Wire, audio, gops, video


class Notes(StreamListener):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_tracks(self, stream: Stream) -> None:
        self.seen.append("tracks " + stream.tracks[0].config.decode())

    def on_frames(self, stream: Stream, frames: object) -> None:
        assert isinstance(frames, list)
        self.seen.append("frames " + " ".join(str(frame.dts) for frame in frames))

    def on_discontinuity(self, stream: Stream, reason: str) -> None:
        self.seen.append("break " + reason)

    def on_leave(self, stream: Stream) -> None:
        self.seen.append("leave")

    def on_metadata(self, stream: Stream, metadata: Metadata) -> None:
        self.seen.append("metadata " + metadata.name)

    def on_end(self, stream: Stream) -> None:
        self.seen.append("end")


def watched(hub: Hub) -> list[str]:
    seen: list[str] = []

    def note(event: HubEvent) -> None:
        seen.append(f"{event.kind} {event.stream.name} {event.detail}".strip())

    hub.on_event(note)
    return seen


def test_publish_find_push_and_leave() -> None:
    bench = Bench()
    assert bench.hub.find("live/a") is bench.stream
    assert bench.hub.find("live/b") is None
    bench.push(video(0, key=True, size=100), video(40, size=50))
    assert (bench.stream.bytes_in, bench.stream.frames_in) == (150, 2)
    assert bench.stream.clock.states[1].keys == 1
    assert bench.stream.state is State.LIVE
    bench.publication.close()
    assert bench.stream.state is State.GRACE
    assert bench.publication.closed
    assert bench.publication.push([video(80)]) is False
    assert bench.stream.frames_in == 2


def test_a_name_in_use_is_refused_and_nothing_changes() -> None:
    bench = Bench()
    with pytest.raises(RefusedError, match="in use"):
        bench.hub.publish("live/a", INFO)
    assert bench.publication.push([video(0, key=True)]) is True


def test_takeover_ends_the_other_publisher_and_continues_the_stream() -> None:
    hub = Hub(lambda: 0.0)
    told: list[str] = []
    first = hub.publish("a", INFO, on_closed=told.append)
    first.push([Tracks((VIDEO,)), video(0, key=True)])
    notes = Notes()
    first.stream.listen(notes)
    second = hub.publish("a", PublisherInfo("other"), takeover=True)
    assert second.stream is first.stream
    assert told == ["taken over by another publisher"]
    assert first.push([video(40)]) is False
    second.push([Tracks((VIDEO,)), video(0, key=True)])
    assert notes.seen == ["tracks one", "leave", "break a new publisher", "frames 40"]
    assert (second.stream.session, second.stream.publisher) == (2, PublisherInfo("other"))
    first.close()
    assert second.stream.state is State.LIVE


def test_bad_reserved_and_too_many_names_are_refused() -> None:
    hub = Hub(lambda: 0.0, limits=Limits(streams=2), reserved=ReservedNames(last=frozenset({"whip"})))
    for name in ("../etc", "a/whip", ""):
        with pytest.raises(RefusedError):
            hub.publish(name, INFO)
    hub.publish("a", INFO)
    hub.publish("b", INFO)
    with pytest.raises(RefusedError, match="streams already"):
        hub.publish("c", INFO)
    assert len(hub) == 2


def test_a_stream_outlives_its_publisher_by_the_grace_time() -> None:
    bench = Bench(grace_s=10.0)
    notes = Notes()
    bench.stream.listen(notes)
    seen = watched(bench.hub)
    bench.publication.close(now=5.0, reason="connection reset")
    bench.hub.tick(14.9)
    assert bench.hub.find("live/a") is bench.stream
    bench.hub.tick(15.0)
    assert bench.hub.find("live/a") is None
    assert notes.seen[-1] == "end"
    assert seen == ["unpublished live/a connection reset", "ended live/a"]


def test_without_grace_a_stream_ends_with_its_publisher() -> None:
    bench = Bench(grace_s=0.0)
    bench.publication.close()
    assert bench.hub.find("live/a") is None
    assert bench.stream.state is State.ENDED


def test_streams_on_demand_start_through_the_resolver_and_end_when_nobody_comes() -> None:
    bench = Bench()
    asked: list[str] = []
    assert bench.hub.acquire("cam+1") is None

    def resolve(name: str) -> bool:
        asked.append(name)
        return name.startswith("cam+")

    bench.hub.resolver = resolve
    assert bench.hub.acquire("other") is None
    stream = bench.hub.acquire("cam+1", now=1.0)
    assert stream is not None
    assert stream.state is State.WAITING
    assert bench.hub.acquire("cam+1") is stream
    assert asked == ["other", "cam+1", "cam+1"], "asked again while nobody publishes: the source may have been stopped"
    wire = Wire()
    stream.feed("text", TextMuxer, now=1.0).join(wire.write, wire.unsent, now=1.0)
    publication = bench.hub.publish("cam+1", INFO, now=2.0)
    assert publication.stream is stream
    bench.hub.tick(1000.0)
    assert bench.hub.find("cam+1") is stream
    lost = bench.hub.acquire("cam+2", now=1000.0)
    bench.hub.tick(1015.0)
    assert lost is not None
    assert lost.state is State.ENDED
    with pytest.raises(RefusedError):
        bench.hub.acquire("cam+/../x")


def test_listeners_hear_everything_in_order() -> None:
    bench = Bench()
    notes = Notes()
    bench.stream.listen(notes)
    changed = VIDEO.with_(config=b"two")
    bench.push(
        video(0, key=True), video(40), Metadata("onCuePoint", {}), Discontinuity("loss"), Tracks((changed,)),
        video(80, key=True, track=changed),
    )  # fmt: skip
    bench.hub.close()
    assert notes.seen == [
        "tracks one", "frames 0 40", "metadata onCuePoint", "break loss", "tracks two", "frames 80", "leave", "end",
    ]  # fmt: skip


def test_a_jump_inside_a_batch_is_told_where_it_happened() -> None:
    bench = Bench()
    notes = Notes()
    bench.stream.listen(notes)
    bench.push(video(100_000, key=True), video(0, key=True), video(40))
    assert notes.seen[1] == "frames 100000"
    assert notes.seen[2].startswith("break")
    assert len(notes.seen) == 4


def test_a_listener_that_comes_late_may_have_what_was_kept() -> None:
    bench = Bench(ring_s=0.0)
    bench.push(*gops(0, 2), video(800, key=True), video(900))
    late, plain = Notes(), Notes()
    bench.stream.listen(late, replay=True)
    bench.stream.listen(plain)
    assert late.seen == ["tracks one", "frames 800 900"]
    assert plain.seen == ["tracks one"]
    bench.stream.unlisten(late)
    bench.push(video(1000))
    assert len(late.seen) == 2
    assert plain.seen[-1] == "frames 1000"


def test_a_listener_that_raises_is_taken_off_and_reported() -> None:
    class Broken(Notes):
        def on_frames(self, stream: Stream, frames: object) -> None:
            raise OSError("disk full")

    bench = Bench()
    seen = watched(bench.hub)
    fine = Notes()
    bench.stream.listen(Broken())
    bench.stream.listen(fine)
    bench.push(video(0, key=True))
    bench.push(video(40))
    assert fine.seen[-1] == "frames 40"
    assert seen == ["fault live/a Broken: OSError: disk full"]


def test_viewers_are_reported_coming_and_going() -> None:
    bench = Bench()
    seen = watched(bench.hub)
    bench.push(video(0, key=True))
    wire = Wire()
    bench.now = 7.0
    viewer = bench.stream.feed("text", TextMuxer, now=7.0).join(wire.write, wire.unsent, now=7.0, info="1.2.3.4")
    assert bench.hub.viewers == bench.stream.viewers == 1
    assert bench.stream.read_at == 7.0
    viewer.leave()
    assert bench.hub.viewers == 0
    assert seen == ["read live/a", "left live/a"]


def test_an_observer_that_raises_or_leaves_disturbs_nothing() -> None:
    bench = Bench()

    def broken(event: HubEvent) -> None:
        raise ValueError

    bench.hub.on_event(broken)
    seen: list[str] = []
    stop = bench.hub.on_event(lambda event: seen.append(event.kind))
    bench.hub.publish("x", INFO)
    stop()
    stop()
    bench.hub.publish("y", INFO)
    assert seen == ["published"]


def test_pending_feeds_are_announced_when_there_is_something_to_flush() -> None:
    bench = Bench(tracks=(VIDEO, AUDIO))
    pending: list[object] = []
    bench.hub.on_pending = pending.append
    bench.push(video(0, key=True))
    feed = bench.stream.feed("text", TextMuxer, [1], now=0.0)
    wire = Wire()
    feed.join(wire.write, wire.unsent, now=0.0)
    assert pending == []
    bench.push(audio(0))
    assert pending == []
    bench.push(video(40), video(80))
    assert pending == [feed]


def test_closing_the_hub_tells_publishers_and_viewers() -> None:
    hub = Hub(lambda: 0.0)
    told: list[str] = []
    publication = hub.publish("a", INFO, on_closed=told.append)
    publication.push([Tracks((VIDEO,)), video(0, key=True)])
    wire = Wire()
    publication.stream.feed("text", TextMuxer, now=0.0).join(
        wire.write, wire.unsent, now=0.0, on_close=lambda why: wire.closed.append(why.value)
    )
    hub.close()
    assert told == ["the server stops"]
    assert wire.closed == ["ended"]
    assert len(hub) == 0
    assert isinstance(publication.stream.feeds, dict)


def test_frames_are_the_publishers_own_objects_when_nothing_had_to_move() -> None:
    bench = Bench()
    got: list[Frame] = []

    class Take(StreamListener):
        def on_frames(self, stream: Stream, frames: object) -> None:
            assert isinstance(frames, list)
            got.extend(frames)

    bench.stream.listen(Take())
    frame = video(0, key=True)
    bench.push(frame)
    assert got[0] is frame
