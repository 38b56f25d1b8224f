from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.hub.clock import SessionClock
from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from tests.unit.hub.make import AUDIO, VIDEO, audio, video


def clock(*tracks: Track, grace_s: float = 10.0) -> SessionClock:
    made = SessionClock(grace_s)
    made.start_session(0.0)
    made.set_tracks(tracks or (VIDEO, AUDIO))
    return made


def times(made: SessionClock, now: float, *frames: Frame) -> list[int | None]:
    placed = [made.place(frame, now) for frame in frames]
    made.note(now)
    return [None if frame is None else frame.dts for frame in placed]


def test_the_first_session_keeps_its_times_and_its_frame_objects() -> None:
    made = clock()
    frame = video(123_456, key=True)
    assert made.place(frame, 0.0) is frame


def test_nothing_before_the_first_key_frame_of_a_session() -> None:
    made = clock()
    assert times(made, 0, video(0), audio(0), video(40, key=True), video(80)) == [None, 0, 40, 80]
    assert made.dropped == 1
    made.start_session(1.0)
    assert times(made, 1, video(0), video(40, key=True))[0] is None


def test_a_session_goes_on_after_the_last_one_plus_the_gap_with_one_offset_for_all_tracks() -> None:
    made = clock()
    times(made, 100.0, video(0, key=True), audio(10), video(40))  # ends at 80 ms
    made.start_session(103.0)
    assert times(made, 103.0, video(5000, key=True), audio(5010)) == [3080, 3090]


def test_the_gap_is_capped_at_the_grace_time() -> None:
    made = clock(grace_s=2.0)
    times(made, 0.0, video(0, key=True))
    made.start_session(500.0)
    assert times(made, 500.0, video(0, key=True)) == [2040]


def test_a_jump_back_is_bridged_and_the_other_track_stays_until_it_jumps_too() -> None:
    made = clock()
    times(made, 50.0, video(100_000, key=True), audio(100_000))
    placed = times(made, 50.02, video(0, key=True), audio(100_020), audio(0), video(40))
    assert made.breaks == 1
    first, late, after, following = (p for p in placed if p is not None)
    assert 100_000 < first <= 100_100
    assert late == 100_020
    assert abs(after - first) <= 60
    assert following == first + 40


def test_silence_on_one_track_is_no_jump() -> None:
    made = clock()
    times(made, 0.0, video(0, key=True), audio(0))
    for n in range(1, 30):
        times(made, n, video(n * 1000))
    assert times(made, 30.0, audio(30_000)) == [30_000]
    assert made.breaks == 0


def test_a_jump_ahead_is_bridged() -> None:
    made = clock()
    times(made, 0.0, video(0, key=True))
    assert times(made, 0.04, video(3_600_000)) == [80]


def test_small_steps_back_are_repaired_and_pts_never_lies_before_dts() -> None:
    made = clock()
    first = made.place(video(100, key=True), 0)
    second = made.place(video(90), 0)
    assert first is not None
    assert second is not None
    assert (second.dts, second.pts) == (101, 101)
    assert made.repaired == 1


def test_a_new_time_base_of_a_track_keeps_its_place() -> None:
    made = clock(VIDEO)
    times(made, 0.0, video(0, key=True), video(1000))
    fine = VIDEO.with_(timescale=90_000)
    made.start_session(0.0)
    made.set_tracks((fine,))
    assert times(made, 0.0, Frame(fine, 0, 0, b"", key=True)) == [1040 * 90]


def test_frames_of_tracks_nobody_announced_are_dropped() -> None:
    assert times(clock(VIDEO), 0.0, audio(0)) == [None]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(-(2**40), 2**40), st.booleans()), max_size=60),
    st.floats(0, 5),
)
def test_decode_times_increase_on_every_track_whatever_comes(steps: list[tuple[bool, int, bool]], gap: float) -> None:
    made = clock(VIDEO, AUDIO, Track(3, Kind.DATA, "x", 90_000))
    last: dict[int, int] = {}
    now = 0.0
    for is_video, dts, restart in steps:
        if restart:
            now += gap
            made.start_session(now)
        placed = made.place(video(dts, key=True) if is_video else audio(dts), now)
        made.note(now)
        assert placed is not None
        assert placed.pts >= placed.dts
        assert placed.track.id not in last or placed.dts > last[placed.track.id]
        last[placed.track.id] = placed.dts
