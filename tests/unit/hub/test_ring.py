from evotools.hub.ring import FrameRing
from evotools.media.frame import Event, Frame, Tracks
from tests.unit.hub.make import AUDIO, VIDEO, audio, gops, video


def filled(ring: FrameRing, *events: Event) -> FrameRing:
    for event in events:
        if isinstance(event, Frame):
            ring.append(event)
        elif isinstance(event, Tracks):
            ring.mark(event)
    return ring


def dts(ring: FrameRing) -> list[int]:
    return [event.dts for event in ring.replay() if isinstance(event, Frame)]


def test_keeps_the_newest_group_and_the_time_before_it() -> None:
    ring = filled(FrameRing(1.0, 10**6, 10**6), Tracks((VIDEO,)), *gops(0, 20))
    # Newest key frame at 7600 ms; a second before it lies inside the group of 6400 ms.
    assert dts(ring)[0] == 6400
    assert dts(ring)[-1] == 7900


def test_without_extra_time_only_the_newest_group_stays() -> None:
    ring = filled(FrameRing(0.0, 10**6, 10**6), Tracks((VIDEO,)), *gops(0, 3))
    assert dts(ring) == [800, 900, 1000, 1100]
    assert ring.size == 40


def test_begins_with_an_entry_point_and_the_tracks_in_force_there() -> None:
    ring = filled(FrameRing(10.0, 10**6, 10**6), Tracks((VIDEO,)), video(0), video(40, key=True))
    assert ring.replay()[0] == Tracks((VIDEO,))
    assert dts(ring) == [40]


def test_bytes_are_capped_by_whole_groups() -> None:
    ring = filled(FrameRing(100.0, 1000, 10**6), Tracks((VIDEO,)), *gops(0, 10, size=100))
    assert ring.size <= 1000
    assert dts(ring)[0] % 400 == 0


def test_a_group_beyond_the_cap_is_given_up_until_the_next_entry() -> None:
    ring = filled(FrameRing(100.0, 1000, 10**6), Tracks((VIDEO,)), *gops(0, 1, length=40, size=100))
    assert dts(ring) == []
    assert ring.size == 0
    filled(ring, *gops(9000, 1, size=100))
    assert dts(ring)[0] == 9000


def test_items_are_capped() -> None:
    ring = filled(FrameRing(10**6, 10**9, 50), Tracks((AUDIO,)), *(audio(n, size=0) for n in range(10_000)))
    assert len(ring) <= 50


def test_track_lists_are_replayed_where_they_came_and_the_dropped_one_is_remembered() -> None:
    other = VIDEO.with_(config=b"two")
    ring = filled(FrameRing(0.5, 10**6, 10**6), Tracks((VIDEO,)), *gops(0, 1), Tracks((other,)), *gops(400, 1))
    kinds = [type(event).__name__ for event in ring.replay()]
    assert kinds == ["Tracks", *["Frame"] * 4, "Tracks", *["Frame"] * 4]
    filled(ring, *gops(800, 3))
    assert ring.replay()[0] == Tracks((other,))
    assert [frame.dts for frame in ring.newest_epoch()] == dts(ring)


def test_configurations_count_and_track_lists_without_frames_are_capped() -> None:
    ring = filled(FrameRing(100.0, 100_000, 1000), Tracks((VIDEO,)), video(0, key=True))
    for n in range(1, 50):
        track = VIDEO.with_(config=bytes((n,)) * 30_000)
        filled(ring, Tracks((track,)), video(n, key=True, track=track))
        assert sum(len(e.tracks[0].config) for e in ring.replay()[1:] if isinstance(e, Tracks)) <= 100_000
    assert ring.replay()[0] == Tracks((VIDEO.with_(config=bytes((46,)) * 30_000),))
    assert dts(ring) == [46, 47, 48, 49]

    ring = filled(FrameRing(100.0, 100_000, 1000), Tracks((VIDEO,)), video(0, key=True))
    for n in range(5000):
        filled(ring, Tracks((VIDEO.with_(language="de" if n % 2 else "en"),)))
    assert len(ring) <= 1000
    assert ring.size == 0
