"""The cutter: every frame in exactly one piece, in order; boundaries at key frames; nothing held without bound."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from evotools.packaging import cutter as module
from evotools.packaging.cutter import MAX_AHEAD_BYTES, NEAR_S, Cutter, Piece, Run

VIDEO = Track(1, Kind.VIDEO, "h264", 90000, config=b"a")
AUDIO = Track(2, Kind.AUDIO, "aac", 48000, config=b"b", sample_rate=48000, channels=2)
AUDIO2 = Track(3, Kind.AUDIO, "aac", 48000, config=b"c", sample_rate=48000, channels=2)
VIDEO2 = Track(4, Kind.VIDEO, "h264", 90000, config=b"d")
DATA = Track(5, Kind.DATA, "scte35", 90000)


class Every:
    """A cut every `period_s` of presentation time after the last one."""

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        self.started: list[tuple[float, float]] = []
        self.asked: list[float] = []

    def begin(self, start_s: float, unix_s: float) -> None:
        self.started.append((start_s, unix_s))

    def due(self, at_s: float, unix_s: float, size_bytes: int) -> bool:
        self.asked.append(at_s)
        return at_s >= self.started[-1][0] + self.period_s - 1e-9


def video(count: int, *, start: float = 0.0, gop: int = 25, fps: float = 25.0, track: Track = VIDEO,
          reorder: int = 0, first_key: int = 0) -> list[Frame]:  # fmt: skip
    """Frames in decode order. `reorder`: each anchor is decoded that many frames before it is shown; in an open group
    the key frame is followed by frames that are shown before it."""
    scale = track.timescale
    step = round(scale / fps)
    base = round(start * scale)
    frames = []
    for n in range(count):
        dts = base + n * step
        pts = dts + reorder * step
        # After each anchor come `reorder` frames that are shown before it.
        phase = (n - first_key) % (reorder + 1)
        if phase:
            pts = dts - step + reorder * step - (reorder - 1) * step
        frames.append(Frame(track, dts, max(pts, dts), b"%d:%d" % (track.id, n), duration=step,
                            key=n >= first_key and (n - first_key) % gop == 0))  # fmt: skip
    return frames


def audio(count: int, *, start: float = 0.0, track: Track = AUDIO) -> list[Frame]:
    base = round(start * track.timescale)
    return [
        Frame(track, base + 1024 * n, base + 1024 * n, b"%d:%d" % (track.id, n), duration=1024, key=True)
        for n in range(count)
    ]


def interleave(*tracks: Iterable[Frame], late: dict[int, float] | None = None) -> list[Frame]:
    """By decode time, as a muxer does; `late` tracks come so much behind."""
    behind = late or {}
    everything = [f for frames in tracks for f in frames]
    return sorted(everything, key=lambda f: f.dts_s + behind.get(f.track.id, 0.0))


class Taken:
    """What came out, checked while it comes."""

    def __init__(self) -> None:
        self.pieces: dict[int, Piece] = {}
        self.frames: dict[int, list[Frame]] = defaultdict(list)
        self.done: list[int] = []

    def take(self, runs: Sequence[Run]) -> None:
        for piece, frames, complete in runs:
            assert self.pieces.setdefault(piece.index, piece) is piece
            assert piece.index not in self.done, "frames after the end"
            self.frames[piece.index] += frames
            if complete:
                assert piece.index == len(self.done), "completed in order, none left out"
                self.done.append(piece.index)

    def of(self, index: int, track: Track) -> list[Frame]:
        return [f for f in self.frames[index] if f.track.id == track.id]

    def all(self, track: Track) -> list[Frame]:
        return [f for index in sorted(self.frames) for f in self.of(index, track)]

    def check_whole(self, sent: Sequence[Frame]) -> None:
        """Every frame once, in order, and the sizes are right."""
        for number in {f.track.id for f in sent}:
            mine = [f for i in sorted(self.frames) for f in self.frames[i] if f.track.id == number]
            theirs = [f for f in sent if f.track.id == number]
            assert [f.payload for f in mine] == [f.payload for f in theirs], f"track {number}"
        assert self.done == sorted(self.pieces) == list(range(len(self.pieces)))
        for index, piece in self.pieces.items():
            assert piece.size_bytes == sum(len(f.payload) for f in self.frames[index])


def cut(cutter: Cutter, tracks: Sequence[Track], frames: Sequence[Frame], batch: int = 7, now: float = 1000.0) -> Taken:
    taken = Taken()
    taken.take(cutter.start(tracks))
    for at in range(0, len(frames), batch):
        part = frames[at : at + batch]
        taken.take(cutter.push(part, now + part[-1].dts_s))
    taken.take(cutter.finish())
    return taken


# Boundaries.


def test_pieces_begin_at_key_frames_and_the_sound_changes_over_with_the_picture() -> None:
    frames = interleave(video(250), audio(470))
    taken = cut(Cutter(Every(3.0)), [VIDEO, AUDIO], frames)
    taken.check_whole(frames)
    assert [p.start_s for p in taken.pieces.values()] == [0, 3, 6, 9]
    assert [p.end_s for p in taken.pieces.values()] == [3, 6, 9, pytest.approx(10.027, abs=0.01)]
    for index, piece in taken.pieces.items():
        assert taken.of(index, VIDEO)[0].key
        assert piece.independent
        assert not piece.discontinuity
        for frame in taken.of(index, AUDIO):
            assert piece.start_s - NEAR_S <= frame.pts_s
            assert frame.pts_s < piece.end_s - NEAR_S or index == len(taken.pieces) - 1


@pytest.mark.parametrize("reorder", [1, 2, 3])
def test_reordered_pictures_stay_with_their_key_frame(reorder: int) -> None:
    frames = interleave(video(240, reorder=reorder, gop=4 * (reorder + 1)), audio(450))
    taken = cut(Cutter(Every(1.0)), [VIDEO, AUDIO], frames)
    taken.check_whole(frames)
    assert len(taken.pieces) > 5
    for index, piece in taken.pieces.items():
        first = taken.of(index, VIDEO)[0]
        assert first.key
        assert piece.start_s == first.pts_s
        # Open groups: what is decoded after the key frame and shown before it belongs to it.
        assert all(f.dts >= first.dts for f in taken.of(index, VIDEO))


def test_sound_that_rounds_to_just_before_the_boundary_begins_there() -> None:
    ms = AUDIO.with_(timescale=1000)
    sound = [
        Frame(ms, t, t, b"%d" % t, duration=20, key=True) for t in [*range(0, 1980, 20), 1996, *range(2020, 3000, 20)]
    ]
    frames = interleave(video(75), sound)
    taken = cut(Cutter(Every(2.0)), [VIDEO, ms], frames)
    taken.check_whole(frames)
    assert taken.of(1, ms)[0].pts == 1996


def test_without_a_picture_the_first_sound_sets_the_boundaries() -> None:
    frames = interleave(audio(500), audio(500, track=AUDIO2))
    taken = cut(Cutter(Every(2.0)), [AUDIO, AUDIO2], frames)
    taken.check_whole(frames)
    assert len(taken.pieces) == 6
    assert all(taken.of(i, AUDIO)[0].pts_s == p.start_s for i, p in taken.pieces.items())


def test_no_key_frame_no_cut_unless_there_is_a_longest_time() -> None:
    frames = interleave(video(500, gop=1000), audio(930))
    assert len(cut(Cutter(Every(1.0)), [VIDEO, AUDIO], frames).pieces) == 1
    taken = cut(Cutter(Every(1.0), max_s=4.0), [VIDEO, AUDIO], frames)
    taken.check_whole(frames)
    assert [p.start_s for p in taken.pieces.values()] == [0, 4, 8, 12, 16]
    assert [p.independent for p in taken.pieces.values()] == [True, False, False, False, False]


def test_a_second_picture_changes_over_at_its_own_key_frame() -> None:
    second = video(250, gop=25, first_key=10, track=VIDEO2)
    second[0].key = True
    frames = interleave(video(250), second, audio(470))
    taken = cut(Cutter(Every(3.0)), [VIDEO, VIDEO2, AUDIO], frames)
    taken.check_whole(frames)
    assert all(taken.of(i, VIDEO2)[0].key for i in taken.pieces)


def test_the_rule_hears_of_every_key_frame_and_the_size_so_far() -> None:
    sizes: list[int] = []

    class Counts(Every):
        def due(self, at_s: float, unix_s: float, size_bytes: int) -> bool:
            sizes.append(size_bytes)
            return super().due(at_s, unix_s, size_bytes)

    frames = video(100)
    rule = Counts(2.0)
    cut(Cutter(rule), [VIDEO], frames)
    assert rule.asked == [1.0, 2.0, 3.0]
    first = sum(len(f.payload) for f in frames[:25])
    assert sizes[0] == first
    assert sizes[2] == sum(len(f.payload) for f in frames[50:75])


# Tracks that are late, silent, early.


def test_a_track_far_behind_in_the_interleave_still_finds_its_piece() -> None:
    frames = interleave(video(250), audio(470), late={AUDIO.id: 1.5})
    taken = cut(Cutter(Every(3.0)), [VIDEO, AUDIO], frames)
    taken.check_whole(frames)
    for index in range(1, 3):
        assert abs(taken.of(index, AUDIO)[0].pts_s - taken.pieces[index].start_s) < 0.03


def test_a_track_behind_all_patience_loses_nothing() -> None:
    frames = interleave(video(250), audio(470), late={AUDIO.id: 5.0})
    taken = cut(Cutter(Every(2.0)), [VIDEO, AUDIO], frames, batch=1)
    taken.check_whole(frames)


def test_an_announced_track_that_says_nothing_holds_a_piece_open_for_a_while_only() -> None:
    cutter = Cutter(Every(1.0))
    taken = Taken()
    taken.take(cutter.start([VIDEO, AUDIO]))
    for frame in video(1000):
        taken.take(cutter.push([frame], frame.dts_s))
        assert len(taken.pieces) - len(taken.done) <= 4
    taken.take(cutter.finish())
    assert len(taken.done) == 40


def test_a_silent_picture_does_not_stop_the_sound() -> None:
    cutter = Cutter(Every(2.0))
    sound = audio(1500)
    taken = cut(cutter, [VIDEO, AUDIO], sound, batch=1)
    taken.check_whole(sound)
    assert len(taken.pieces) > 10
    assert not cutter._ahead


def test_two_silent_tracks_do_not_keep_pieces_open_for_ever() -> None:
    cutter = Cutter(Every(1.0))
    taken = Taken()
    taken.take(cutter.start([VIDEO, AUDIO, AUDIO2]))
    for frame in audio(3000):
        taken.take(cutter.push([frame], frame.dts_s))
        assert len(cutter._pieces) <= 5
    assert len(taken.done) > 50


def test_a_picture_that_pauses_comes_back_into_a_piece_that_says_it_depends() -> None:
    picture = video(50) + video(50, start=12.0, gop=1000, first_key=40)
    frames = interleave(picture, audio(750))
    taken = cut(Cutter(Every(2.0)), [VIDEO, AUDIO], frames)
    taken.check_whole(frames)
    with_picture = [i for i in taken.pieces if taken.of(i, VIDEO)]
    assert [taken.pieces[i].independent for i in with_picture] == [taken.of(i, VIDEO)[0].key for i in with_picture]
    assert not all(taken.pieces[i].independent for i in with_picture)


def test_a_rare_picture_is_waited_for_when_one_asks_for_it() -> None:
    """Slides: a picture every ten seconds, a key frame every minute."""
    slides = video(30, fps=0.1, gop=6)
    frames = interleave(slides, audio(13000))
    taken = cut(Cutter(Every(50.0), silent_s=30.0), [VIDEO, AUDIO], frames)
    taken.check_whole(frames)
    assert [p.start_s for p in taken.pieces.values()] == [0, 60, 120, 180, 240]
    assert all(p.independent for p in taken.pieces.values())


@pytest.mark.parametrize("late_s", [1.0, 3.0, 9.0])
def test_sound_that_begins_before_the_picture_is_kept(late_s: float) -> None:
    frames = interleave(video(250, start=late_s), audio(900))
    taken = cut(Cutter(Every(3.0)), [VIDEO, AUDIO], frames)
    taken.check_whole(frames)
    assert taken.pieces[0].start_s == 0.0


def test_sound_that_begins_late_is_kept() -> None:
    frames = interleave(video(250), audio(200, start=5.0))
    taken = cut(Cutter(Every(2.0)), [VIDEO, AUDIO], frames)
    taken.check_whole(frames)
    assert [bool(taken.of(i, AUDIO)) for i in range(5)] == [False, False, True, True, True]


def test_captions_with_wild_times_hold_nothing_up() -> None:
    wild = [Frame(DATA, n * 90000, n * 90000 + 10**9, b"5:%d" % n) for n in range(9)]
    frames = interleave(video(250), audio(470), wild)
    taken = cut(Cutter(Every(3.0)), [VIDEO, AUDIO, DATA], frames)
    taken.check_whole(frames)
    assert [p.start_s for p in taken.pieces.values()] == [0, 3, 6, 9]


# What is held.


def test_what_waits_for_the_reference_is_bounded() -> None:
    cutter = Cutter(Every(2.0))
    cutter.start([VIDEO, AUDIO])
    cutter.push(video(1), 0.0)
    big = bytes(2**20)
    for n in range(200):
        cutter.push([Frame(AUDIO, 100_000 + n, 100_000 + n, big, key=True)], 0.0)
        assert sum(len(f.payload) for f in cutter._ahead) <= MAX_AHEAD_BYTES
        assert cutter._ahead_bytes == sum(len(f.payload) for f in cutter._ahead)


def test_floods_without_time_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_AHEAD_FRAMES", 100)
    cutter = Cutter(Every(2.0))
    cutter.start([VIDEO, AUDIO])
    for _ in range(1000):
        cutter.push([Frame(AUDIO, 0, 0, b"", key=True)], 0.0)
        assert len(cutter._ahead) <= 100


# Beginnings.


def test_joined_in_the_middle_of_a_group_of_pictures() -> None:
    frames = interleave(video(200, first_key=30), audio(370))
    cutter = Cutter(Every(3.0))
    taken = cut(cutter, [VIDEO, AUDIO], frames)
    assert taken.all(VIDEO)[0].payload == b"1:30"
    assert taken.all(AUDIO)[0].pts_s >= 1.2 - NEAR_S
    assert taken.pieces[0].start_s == pytest.approx(1.2)
    assert cutter.skipped == len(frames) - len(taken.all(VIDEO)) - len(taken.all(AUDIO))


def test_joined_long_before_the_next_key_frame() -> None:
    """The sound of ten seconds without a picture is no use, and does not make a piece of its own."""
    frames = interleave(video(400, first_key=300), audio(750))
    taken = cut(Cutter(Every(3.0)), [VIDEO, AUDIO], frames)
    assert taken.pieces[0].start_s == pytest.approx(12.0)
    assert taken.all(AUDIO)[0].pts_s >= 12.0 - NEAR_S


def test_the_sound_from_before_the_first_key_frame_can_be_kept() -> None:
    frames = interleave(video(400, first_key=150), audio(750))
    cutter = Cutter(Every(3.0), keep_early=True)
    taken = cut(cutter, [VIDEO, AUDIO], frames)
    assert len(taken.all(AUDIO)) == 750
    assert cutter.skipped == 150


def test_a_picture_without_any_key_frame() -> None:
    frames = interleave(video(1500, gop=10**6, first_key=10**5), audio(2800))
    cutter = Cutter(Every(3.0))
    taken = cut(cutter, [VIDEO, AUDIO], frames)
    assert not taken.all(VIDEO)
    assert taken.all(AUDIO)[-1].payload == frames[-1].payload or len(taken.all(AUDIO)) > 1000
    cutter = Cutter(Every(3.0), first_key_s=20.0)
    taken = cut(cutter, [VIDEO, AUDIO], frames)
    assert taken.all(VIDEO)[0].payload == b"1:500"
    assert not taken.pieces[max(i for i in taken.pieces if taken.of(i, VIDEO))].independent


# Breaks and changes.


def test_a_break_ends_the_pieces_and_the_next_one_says_so() -> None:
    cutter = Cutter(Every(3.0))
    first, second = interleave(video(40), audio(75)), interleave(video(40, start=100.0), audio(75, start=100.0))
    taken = Taken()
    taken.take(cutter.start([VIDEO, AUDIO]))
    taken.take(cutter.push(first, 0.0))
    taken.take(cutter.discontinuity())
    assert taken.done == [0]
    taken.take(cutter.push(second, 200.0))
    taken.take(cutter.finish())
    taken.check_whole(first + second)
    assert [p.discontinuity for p in taken.pieces.values()] == [False, True]
    assert taken.pieces[0].end_s == pytest.approx(1.6)
    assert taken.pieces[1].start_s == 100.0


def test_the_end_of_a_piece_counts_the_last_frame_without_a_declared_duration() -> None:
    frames = video(50)
    for frame in frames:
        frame.duration = 0
    assert cut(Cutter(Every(9.0)), [VIDEO], frames).pieces[0].end_s == pytest.approx(2.0)


def test_a_track_that_comes_later_joins_at_the_next_key_frame_and_nothing_is_lost() -> None:
    cutter = Cutter(Every(4.0))
    before, after = video(60), interleave(video(300)[60:], audio(400, start=2.4))
    taken = Taken()
    taken.take(cutter.start([VIDEO]))
    taken.take(cutter.push(before, 0.0))
    taken.take(cutter.change([VIDEO, AUDIO]))
    for n, frame in enumerate(after):
        taken.take(cutter.push([frame], float(n)))
    taken.take(cutter.finish())
    taken.check_whole(before + after)
    assert [p.start_s for p in taken.pieces.values()] == [0, 3, 7, 11]
    assert taken.pieces[0].tracks == (VIDEO,)
    assert taken.pieces[1].tracks == (VIDEO, AUDIO)
    assert not taken.of(0, AUDIO)
    assert all(taken.of(i, VIDEO)[0].key for i in taken.pieces)


def test_a_new_track_and_the_key_frame_that_lets_it_in_may_come_together() -> None:
    cutter = Cutter(Every(100.0))
    taken = Taken()
    first, second = video(25), interleave(video(50)[25:], audio(40, start=1.0))
    taken.take(cutter.start([VIDEO]))
    taken.take(cutter.push(first, 0.0))
    taken.take(cutter.change([VIDEO, AUDIO]))
    taken.take(cutter.push(second, 0.0))
    taken.take(cutter.finish())
    taken.check_whole(first + second)


def test_a_track_that_goes_away_leaves_at_the_next_key_frame() -> None:
    cutter = Cutter(Every(100.0))
    frames = interleave(video(60), audio(112))
    rest = video(200)[60:]
    taken = Taken()
    taken.take(cutter.start([VIDEO, AUDIO]))
    taken.take(cutter.push(frames, 0.0))
    taken.take(cutter.change([VIDEO]))
    taken.take(cutter.push(rest, 0.0))
    taken.take(cutter.finish())
    taken.check_whole(frames + rest)
    assert [p.tracks for p in taken.pieces.values()] == [(VIDEO, AUDIO), (VIDEO,)]
    assert taken.pieces[1].start_s == 3.0


def test_a_track_whose_configuration_changes_waits_too() -> None:
    other = AUDIO.with_(config=b"new", channels=1)
    cutter = Cutter(Every(100.0))
    first = interleave(video(60), audio(120))
    second = interleave(video(200)[60:], audio(200, start=120 * 1024 / 48000, track=other))
    taken = Taken()
    taken.take(cutter.start([VIDEO, AUDIO]))
    taken.take(cutter.push(first, 0.0))
    taken.take(cutter.change([VIDEO, other]))
    taken.take(cutter.push(second, 0.0))
    taken.take(cutter.finish())
    taken.check_whole(first + second)
    for index, piece in taken.pieces.items():
        configs = {t.id: t.config for t in piece.tracks}
        assert all(configs[f.track.id] == f.track.config for f in taken.frames[index])


def test_sound_that_waits_while_its_configuration_changes_goes_with_the_old_one() -> None:
    """It ran ahead of the picture, beyond the boundary where the new one begins."""
    other = AUDIO.with_(config=b"new", channels=1)
    cutter = Cutter(Every(100.0))
    ahead, after = audio(188), audio(100, start=188 * 1024 / 48000, track=other)
    taken = Taken()
    taken.take(cutter.start([VIDEO, AUDIO]))
    taken.take(cutter.push([*video(50), *ahead], 0.0))
    taken.take(cutter.change([VIDEO, other]))
    taken.take(cutter.push([*video(100)[50:], *after], 0.0))
    taken.take(cutter.finish())
    assert [p.start_s for p in taken.pieces.values()] == [0.0, 2.0]
    assert taken.of(0, AUDIO) == ahead
    assert taken.of(1, AUDIO) == after


def test_a_break_while_a_change_is_coming() -> None:
    cutter = Cutter(Every(100.0))
    taken = Taken()
    first, second = video(30), interleave(video(50, start=10.0), audio(80, start=10.0))
    taken.take(cutter.start([VIDEO]))
    taken.take(cutter.push(first, 0.0))
    taken.take(cutter.change([VIDEO, AUDIO]))
    taken.take(cutter.discontinuity())
    taken.take(cutter.push(second, 0.0))
    taken.take(cutter.finish())
    taken.check_whole(first + second)
    assert [p.tracks for p in taken.pieces.values()] == [(VIDEO,), (VIDEO, AUDIO)]


def test_the_same_tracks_again_are_no_change() -> None:
    cutter = Cutter(Every(100.0))
    frames = interleave(video(60), audio(112))
    taken = Taken()
    taken.take(cutter.start([VIDEO, AUDIO]))
    taken.take(cutter.push(frames[:80], 0.0))
    taken.take(cutter.change([VIDEO.with_(bitrate_bps=5), AUDIO]))
    taken.take(cutter.push(frames[80:], 0.0))
    taken.take(cutter.finish())
    taken.check_whole(frames)
    assert len(taken.pieces) == 1


def test_another_picture_begins_anew() -> None:
    other = VIDEO.with_(config=b"new")
    cutter = Cutter(Every(100.0))
    first, second = (
        interleave(video(60), audio(112)),
        interleave(video(60, start=2.4, track=other), audio(112, start=2.4)),
    )
    taken = Taken()
    taken.take(cutter.start([VIDEO, AUDIO]))
    taken.take(cutter.push(first, 0.0))
    taken.take(cutter.change([other, AUDIO]))
    taken.take(cutter.push(second, 0.0))
    taken.take(cutter.finish())
    taken.check_whole(first + second)
    assert [p.discontinuity for p in taken.pieces.values()] == [False, True]
    assert taken.pieces[1].start_s == pytest.approx(2.39, abs=0.03)


def test_a_new_track_does_not_wait_for_a_key_frame_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    cutter = Cutter(Every(5.0))
    first = video(60, gop=10**6)
    second = interleave(video(1500, gop=10**6)[60:], audio(2700, start=2.4))
    taken = Taken()
    taken.take(cutter.start([VIDEO]))
    taken.take(cutter.push(first, 0.0))
    taken.take(cutter.change([VIDEO, AUDIO]))
    for frame in second:
        taken.take(cutter.push([frame], 0.0))
        assert len(cutter._later) * 1024 / 48000 <= module.MAX_CHANGE_S + 1
    taken.take(cutter.finish())
    taken.check_whole(first + second)
    assert len(taken.pieces) == 2
    assert not taken.pieces[1].independent


def test_a_new_track_with_a_reference_that_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    cutter = Cutter(Every(5.0))
    first, second = interleave(video(60), audio(112)), interleave(audio(2700, start=2.4, track=AUDIO2))
    taken = Taken()
    taken.take(cutter.start([VIDEO, AUDIO]))
    taken.take(cutter.push(first, 0.0))
    taken.take(cutter.change([VIDEO, AUDIO, AUDIO2]))
    for frame in second:
        taken.take(cutter.push([frame], 0.0))
    taken.take(cutter.finish())
    taken.check_whole(first + second)


# Wall time.


def test_wall_times_follow_the_arrival_of_live_frames() -> None:
    rule = Every(2.0)
    cutter = Cutter(rule)
    cutter.start([VIDEO])
    frames = video(200)
    # A burst of the last second first, then as they come.
    cutter.push(frames[:25], 1000.0)
    for frame in frames[25:]:
        cutter.push([frame], 1000.0 - 0.96 + frame.dts_s)
    assert [unix for _, unix in rule.started] == pytest.approx([999.04, 1001.04, 1003.04, 1005.04])


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_a_clock_that_steps_is_followed(step_s: float) -> None:
    rule = Every(2.0)
    cutter = Cutter(rule)
    cutter.start([VIDEO])
    for frame in video(200):
        cutter.push([frame], 1000.0 + frame.dts_s + (step_s if frame.dts_s >= 3 else 0))
    assert [unix for _, unix in rule.started] == pytest.approx([1000, 1002, 1004 + step_s, 1006 + step_s])


def test_stored_media_is_its_own_clock() -> None:
    rule = Every(2.0)
    cutter = Cutter(rule, live=False)
    cutter.start([VIDEO])
    for n, frame in enumerate(video(200)):
        cutter.push([frame], 1000.0 + n / 1000)
    assert [unix for _, unix in rule.started] == pytest.approx([1000, 1002, 1004, 1006])


def test_times_that_frames_bring_along_count_only_when_one_wants_them() -> None:
    for wanted, expected in ((True, [5.0, 7.0]), (False, [1000.0, 1002.0])):
        rule = Every(2.0)
        cutter = Cutter(rule, live=False, capture_times=wanted)
        cutter.start([VIDEO])
        frames = video(100)
        for frame in frames:
            frame.wallclock_s = 5.0 + frame.pts_s
        cutter.push(frames, 1000.0)
        assert [unix for _, unix in rule.started] == pytest.approx(expected)


# Whatever comes.


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Track], list[Frame]]:
    """Interleaved tracks: groups of any length, open or closed, any frame rate, late, silent for a while, rounded."""
    tracks: list[Track] = []
    parts: list[list[Frame]] = []
    late: dict[int, float] = {}
    for track in draw(
        st.lists(st.sampled_from([VIDEO, AUDIO, AUDIO2, VIDEO2, DATA]), min_size=1, max_size=4, unique=True)
    ):
        scale = draw(st.sampled_from([1000, 48000, 90000]))
        track = track.with_(timescale=scale)
        start = draw(st.sampled_from([0.0, 0.0, 0.02, 0.5, 3.0, 7.0]))
        if track.kind is Kind.VIDEO:
            frames = video(
                draw(st.integers(0, 120)), start=start, track=track, gop=draw(st.integers(1, 40)),
                fps=draw(st.sampled_from([5, 10, 25])), reorder=draw(st.integers(0, 3)),
                first_key=draw(st.sampled_from([0, 0, 0, 3, 30])),
            )  # fmt: skip
        else:
            step = draw(st.integers(1, scale))
            base = round(start * scale)
            frames = [
                Frame(track, base + step * n, base + step * n, b"%d:%d" % (track.id, n), key=True,
                      duration=draw(st.sampled_from([0, step])))
                for n in range(draw(st.integers(0, 60)))
            ]  # fmt: skip
        hole = draw(st.integers(0, max(len(frames), 1)))
        frames = frames[:hole] + frames[hole + draw(st.sampled_from([0, 0, 40])) :]
        tracks.append(track)
        parts.append(frames)
        late[track.id] = draw(st.sampled_from([0.0, 0.0, 0.1, 1.0, 6.0]))
    return tracks, interleave(*parts, late=late)


@given(streams(), st.sampled_from([0.0, 0.04, 1.0, 2.5, 100.0]), st.integers(1, 50), st.sampled_from([None, 3.0]),
       st.booleans(), st.data())  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_every_frame_is_in_one_piece_and_in_order(
    stream: tuple[list[Track], list[Frame]], period_s: float, batch: int, max_s: float | None, early: bool, data: Any
) -> None:
    tracks, frames = stream
    rule = Every(period_s)
    cutter = Cutter(rule, max_s=max_s, keep_early=early, first_key_s=data.draw(st.sampled_from([None, 1.0])))
    taken = Taken()
    taken.take(cutter.start(tracks[:1] if data.draw(st.booleans()) else tracks))
    known = {t.id for t in cutter.tracks}
    fed: list[Frame] = []
    # Somewhere the list of tracks changes, or the stream breaks.
    turns = {
        data.draw(st.integers(0, len(frames))): data.draw(st.sampled_from(["all", "one", "break", "same"]))
        for _ in range(2)
    }
    for at in range(0, len(frames), batch):
        for turn, what in turns.items():
            if at <= turn < at + batch:
                if what == "break":
                    taken.take(cutter.discontinuity())
                else:
                    now = {"all": tracks, "one": tracks[-1:], "same": [t for t in tracks if t.id in known]}[what]
                    taken.take(cutter.change(now))
                    known = {t.id for t in now}
        part = [f for f in frames[at : at + batch] if f.track.id in known]
        fed += part
        taken.take(cutter.push(part, 1000.0 + at))
    taken.take(cutter.finish())
    assert not cutter._ahead
    assert not cutter._later
    assert not cutter._pieces
    got = [f for i in sorted(taken.frames) for f in taken.frames[i]]
    assert len(got) + cutter.skipped == len(fed)
    if not cutter.skipped:
        taken.check_whole(fed)
    numbers = {f.payload: n for n, f in enumerate(fed)}
    for track in tracks:
        order = [numbers[f.payload] for f in got if f.track.id == track.id]
        assert order == sorted(set(order))
    for index, piece in taken.pieces.items():
        assert {f.track.id for f in taken.frames[index]} <= {t.id for t in piece.tracks}
        assert piece.end_s >= piece.start_s
        reference = next((t for t in piece.tracks if t.kind is Kind.VIDEO), None)
        if reference is not None and piece.independent and taken.of(index, reference):
            assert taken.of(index, reference)[0].key
    if len(tracks) == len(known) and period_s == 0.0 and not turns:
        assert all(len([f for f in taken.of(i, tracks[0]) if f.key]) <= 1 for i in taken.pieces)
