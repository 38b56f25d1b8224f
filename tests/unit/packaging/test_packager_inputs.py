"""Several inputs into one presentation: cut alike, compared, and the same however they were read."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from evotools.media.frame import Frame
from evotools.media.track import Track
from evotools.packaging.align import Alignment
from evotools.packaging.files import Write
from evotools.packaging.packager import Packager
from tests.manifests import mpd_segments
from tests.unit.packaging.films import AUDIO, NOW_S, VIDEO, Disk, audio, batches, mixed, video
from tests.unit.packaging.test_packager import FRENCH, edges, feed, packager, rendition

Input = tuple[Sequence[Track], Sequence[Frame]]
SMALL = VIDEO.with_(width=320, height=180, timescale=12_800)
SMALL_AUDIO = AUDIO.with_(timescale=44_100 * 2)


def run(root: Path, inputs: Sequence[Input], *, order: Sequence[int] | None = None, kind: str = "vod", size: int = 20,
        live: bool = False) -> tuple[Packager, Disk]:  # fmt: skip
    """All inputs, in turn, one batch at a time; `order` is who begins."""
    made, disk = packager(kind, names=[f"{n}.mp4" for n in range(len(inputs))], live=live), Disk(root)
    sequence = list(order or range(len(inputs)))
    queues = {n: list(batches(inputs[n][1], size)) for n in sequence}
    for number in sequence:
        made.start(number, inputs[number][0], NOW_S)
    while queues:
        for number in list(queues):
            if not queues[number]:
                del queues[number]
                made.end(number, NOW_S)
            elif live or made.ahead_s(number) <= 4.0:
                batch = queues[number].pop(0)
                made.push(number, batch, NOW_S + batch[-1].dts / batch[-1].track.timescale)
            disk.take(made)
    made.finish(NOW_S + 100)
    disk.take(made)
    return made, disk


def both(start: float = 0.0, **small: float) -> list[Input]:
    return [
        ((VIDEO, AUDIO), mixed(video(9, reorder=True), audio(9))),
        ((SMALL, AUDIO), mixed(video(9, start=start, track=SMALL), audio(9, start=start))),
    ]


def test_aligned_inputs_have_the_same_numbers_and_times(tmp_path: Path) -> None:
    made, disk = run(tmp_path, both())
    assert [r.id for r in made.presentation.renditions] == ["v0", "v1", "a0"]
    assert edges(made, "v0") == edges(made, "v1") == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (6.0, 8.0), (8.0, 9.0)]
    assert made.alignment.aligned and not made.mismatches
    text = (tmp_path / "manifest.mpd").read_text()
    assert text.count('segmentAlignment="true"') == 2
    assert disk.look().ended


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("size", [7, 60, 1000])
def test_how_inputs_are_read_makes_no_difference(tmp_path: Path, order: tuple[int, int], size: int) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    _, one = run(tmp_path / "one", both())
    _, two = run(tmp_path / "two", both(), order=order, size=size)

    def media(disk: Disk) -> dict[str, bytes]:
        return {o.path: b"".join(o.parts) for o in disk.done if isinstance(o, Write) and o.role != "state"}

    assert media(one) == media(two)


def test_a_missing_key_frame_is_told_and_costs_one_boundary(tmp_path: Path) -> None:
    lacking = video(9, track=SMALL, keys=[n for n in range(0, 225, 25) if n != 100])
    made, _ = run(tmp_path, [both()[0], ((SMALL,), lacking)])
    assert [start for start, _ in edges(made, "v1")] == [0.0, 2.0, 5.0, 6.0, 8.0]
    told = [(m.number, round(m.at_s, 3), round(m.away_s, 3), m.missing) for m in made.mismatches]
    assert sorted(told) == [(1, 4.0, 1.0, True), (1, 5.0, 1.0, False)]
    assert not made.alignment.aligned


def test_half_a_frame_is_no_mismatch_and_a_frame_is_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    made, _ = run(tmp_path / "a", both(start=0.019))
    assert made.alignment.aligned
    (tmp_path / "b").mkdir()
    made, _ = run(tmp_path / "b", both(start=0.04))
    assert not made.alignment.aligned
    assert made.mismatches[0].away_s == pytest.approx(0.04)


def test_an_input_that_begins_later_keeps_its_place(tmp_path: Path) -> None:
    made, _ = run(tmp_path, [both()[0], ((SMALL,), video(5, start=3, track=SMALL))])
    late = rendition(made, "v1")
    assert [(s.number, s.gap) for s in late.segments] == [(1, True), (2, False), (3, False), (4, False)]
    assert edges(made, "v1") == [(3.0, 4.0), (4.0, 6.0), (6.0, 8.0)]
    assert late.segments[1].lead == 12_800
    assert made.alignment.aligned
    assert any("ends 1.0" in notice for notice in made.notices)


def test_sound_of_one_input_before_the_picture_of_all_moves_nothing(tmp_path: Path) -> None:
    early = mixed(video(9, track=SMALL), audio(9, start=-0.3, track=FRENCH))
    made, _ = run(tmp_path, [((VIDEO,), video(9)), ((SMALL, FRENCH), early)])
    assert edges(made, "a0")[0][0] == 0
    assert edges(made, "v0")[0][0] == edges(made, "v1")[0][0] == 0.3
    assert made.alignment.aligned


def test_inputs_with_clocks_of_their_own_begin_together(tmp_path: Path) -> None:
    made, _ = run(tmp_path, both(start=54_321.7))
    assert made.alignment.aligned
    assert edges(made, "v1") == edges(made, "v0")
    assert any("taken to be the same instant" in notice for notice in made.notices)


def test_sound_that_is_there_already_is_packaged_once(tmp_path: Path) -> None:
    second = mixed(video(5, track=SMALL), audio(5), audio(5, track=FRENCH))
    made, _ = run(tmp_path, [both()[0], ((SMALL, AUDIO, FRENCH), second)], order=(1, 0))
    found = {r.id: (r.number_of_input, r.tracks[0].language) for r in made.presentation.renditions if r.id[0] == "a"}
    assert found == {"a0": (0, ""), "a1": (1, "fra")}


def test_stored_inputs_wait_for_each_other() -> None:
    made = packager(names=["a", "b"])
    for number in (0, 1):
        made.start(number, (VIDEO,), NOW_S)
    made.push(0, video(1), NOW_S)
    assert made.ahead_s(0) == float("inf")
    made.push(1, video(1), NOW_S)
    made.push(0, video(5, start=1), NOW_S)
    assert made.ahead_s(0) == pytest.approx(5.0)
    assert made.ahead_s(1) == pytest.approx(-5.0)
    made.end(1, NOW_S)
    assert made.ahead_s(0) == 0.0


def test_live_inputs_do_not_wait_and_share_numbers(tmp_path: Path) -> None:
    made, disk = packager("live", names=["a", "b"]), Disk(tmp_path)
    made.start(0, (VIDEO,), NOW_S)
    feed(made, disk, video(5))
    # Players read the list of renditions once: it waits for the second input.
    assert "manifest" not in disk.roles
    made.start(1, (SMALL,), NOW_S + 5)
    for at in range(5, 15, 2):
        feed(made, disk, video(2, start=at), number=0)
        feed(made, disk, video(2, start=at, track=SMALL), number=1)
    made.finish(NOW_S + 20)
    disk.take(made)
    numbers = {s.number: round(s.time / 90_000) for s in rendition(made, "v0").segments}
    for segment in list(rendition(made, "v1").segments)[1:]:
        assert numbers[segment.number] == round(segment.time / 12_800)
    assert made.alignment.aligned
    rows = mpd_segments(disk.look().mpd)  # type: ignore[arg-type]
    assert {row[4] for row in rows["v1"][1:]} <= {row[4] for row in rows["v0"]}


def test_live_manifests_do_not_wait_for_ever(tmp_path: Path) -> None:
    made, disk = packager("live", names=["a", "b"]), Disk(tmp_path)
    made.start(0, (VIDEO,), NOW_S)
    feed(made, disk, video(9))
    assert "manifest" in disk.roles


def test_a_break_of_one_input_is_one_of_all(tmp_path: Path) -> None:
    made, disk = packager("live", names=["a", "b"]), Disk(tmp_path)
    for number, track in enumerate((VIDEO, SMALL)):
        made.start(number, (track,), NOW_S)
    for at in range(0, 6, 2):
        feed(made, disk, video(2, start=at), number=0)
        feed(made, disk, video(2, start=at, track=SMALL), number=1)
    made.discontinuity(0)
    for at in range(6, 16, 2):
        feed(made, disk, video(2, start=at), number=0)
        feed(made, disk, video(2, start=at, track=SMALL), number=1)
    # The other one breaks at the same moment in truth, and tells it later.
    made.finish(NOW_S + 20)
    disk.take(made)
    for name in ("v0", "v1"):
        found = rendition(made, name)
        flagged = [round(s.time / found.timescale) for s in found.segments if s.discontinuity]
        assert flagged == [6], name
    look = disk.look()
    assert {p.discontinuity_sequence for p in look.playlists.values()} == {0}


def test_alignment_judges_what_both_have_seen() -> None:
    found = Alignment()
    assert found.note(0, 0.0, 0.02, cut=False) == []
    assert found.note(1, 0.3, 0.02, cut=False) == []
    assert found.note(1, 2.0, 0.02) == []
    assert found.note(1, 4.5, 0.02) == []
    assert found.note(0, 2.0, 0.02) == []
    assert found.note(0, 4.0, 0.02) != []
    (extra,) = found.note(0, 6.0, 0.02)
    assert (extra.at_s, extra.away_s, extra.missing) == (4.5, 0.5, False)
    # What comes behind the end of one of them has no counterpart.
    assert found.note(1, 6.0, 0.02) == []
    found.finish(0)
    assert found.note(1, 8.0, 0.02) == []
    assert found.counts == {1: [1, 1]}


def test_video_tracks_of_one_input_are_compared_too(tmp_path: Path) -> None:
    second = VIDEO.with_(id=7, width=320, height=180)
    frames = mixed(video(9), video(9, track=second, keys=[n for n in range(0, 225, 25) if n != 100]))
    made, disk = run(tmp_path, [((VIDEO, second), frames)])
    assert [start for start, _ in edges(made, "v1")] == [0.0, 2.0, 5.0, 6.0, 8.0]
    assert {(made.names[m.number], m.missing) for m in made.mismatches} == {
        ("0.mp4: video h264 320x180 25 fps", True), ("0.mp4: video h264 320x180 25 fps", False),
    }  # fmt: skip
    assert not made.alignment.aligned
    assert disk.look().ended


def live_pair(root: Path) -> tuple[Packager, Disk]:
    made, disk = packager("live", names=["a", "b"], window_s=20.0), Disk(root)
    for number, track in enumerate((VIDEO, SMALL)):
        made.start(number, (track,), NOW_S)
    for at in range(0, 6, 2):
        feed(made, disk, video(2, start=at), number=0)
        feed(made, disk, video(2, start=at, track=SMALL), number=1)
    return made, disk


def test_a_live_input_that_was_away_keeps_its_numbers(tmp_path: Path) -> None:
    made, disk = live_pair(tmp_path)
    feed(made, disk, video(8, start=6), number=0)
    made.discontinuity(1)
    feed(made, disk, video(2, start=14), number=0)
    for at in range(14, 20, 2):
        feed(made, disk, video(2, start=at, track=SMALL), number=1)
        feed(made, disk, video(2, start=at + 2), number=0)
    back = {s.number: s for s in rendition(made, "v1").segments}
    front = {s.number: s for s in rendition(made, "v0").segments}
    assert [n for n, s in back.items() if s.gap] == [4, 5, 6, 7]
    # What the other one published in the meantime cannot be changed any more; the count is the same from then on.
    assert [sum(s.discontinuity for s in found.values()) for found in (back, front)] == [1, 1]
    for number in back.keys() & front.keys():
        assert back[number].time / 12_800 == pytest.approx(front[number].time / 90_000)
    disk.look()


def test_a_live_input_that_has_ended_gets_gaps(tmp_path: Path) -> None:
    made, disk = live_pair(tmp_path)
    made.end(1, NOW_S)
    feed(made, disk, video(8, start=6), number=0)
    assert [(s.number, s.gap) for s in rendition(made, "v1").segments] == [
        (1, False), (2, False), (3, False), (4, True), (5, True), (6, True),
    ]  # fmt: skip
    disk.look()
    made.end(0, NOW_S)
    made.finish(NOW_S)
    disk.take(made)
    assert len(disk.look().segments("v1")) == 3
