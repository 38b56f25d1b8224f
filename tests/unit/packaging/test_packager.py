"""The packager core: what is in the segments, when manifests are written, and what they say."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evotools.errors import MediaError
from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from evotools.packaging import hls
from evotools.packaging.files import Remove, Write
from evotools.packaging.packager import Packager, Settings
from evotools.packaging.presentation import MediaSegment, Rendition
from tests.manifests import mpd_segments
from tests.unit.packaging.films import AUDIO, AVCC, NOW_S, VIDEO, Disk, audio, batches, mixed, video

FRENCH = AUDIO.with_(id=3, language="fra")


def packager(kind: str = "vod", *, names: Sequence[str] = ("film",), **options: Any) -> Packager:
    options = {"live": kind != "vod", "target_s": 2.0, **options}
    return Packager(Settings(kind, **options), names)  # type: ignore[arg-type]


def feed(made: Packager, disk: Disk, frames: Sequence[Frame], *, number: int = 0, now_s: float = NOW_S) -> None:
    """Hand frames over as they come; wall time goes with the first track's decode times."""
    for batch in batches(frames):
        newest = batch[-1]
        made.push(number, batch, now_s + newest.dts / newest.track.timescale)
        disk.take(made)


def package(
    root: Path, frames: Sequence[Frame], tracks: Sequence[Track] = (VIDEO, AUDIO), kind: str = "vod", **options: Any
) -> tuple[Packager, Disk]:
    """One input from its start to its end."""
    made, disk = packager(kind, **options), Disk(root)
    made.start(0, tracks, NOW_S)
    feed(made, disk, frames)
    made.finish(NOW_S + 1000)
    disk.take(made)
    return made, disk


def rendition(made: Packager, name: str) -> Rendition:
    return next(r for r in made.presentation.renditions if r.id == name)


def edges(made: Packager, name: str) -> list[tuple[float, float]]:
    """Beginning and end of each segment that has media, in seconds of presentation time."""
    found = rendition(made, name)
    offset = {p.index: p.start_s - p.media_start_s for p in made.presentation.periods}
    return [
        (round(s.time / found.timescale + offset[s.period], 3),
         round((s.time + s.duration) / found.timescale + offset[s.period], 3))
        for s in found.segments if not s.gap
    ]  # fmt: skip


def extinf(segment: MediaSegment, made: Rendition) -> float:
    return (segment.lead + segment.duration + segment.tail) / made.timescale


def test_on_demand_every_frame_once_and_manifests_last(tmp_path: Path) -> None:
    frames = mixed(video(7, gop=25, reorder=True), audio(7))
    made, disk = package(tmp_path, frames)
    for name, track in (("v0", VIDEO), ("a0", AUDIO)):
        read = [disk.segment(f"{name}/{s.name}") for s in rendition(made, name).segments]
        sent = [f.payload for f in frames if f.track is track]
        assert [p for segment in read for p in segment.payloads] == sent
        # Each begins where the one before ends, in the file as in the manifest.
        at = read[0].time
        for segment, told in zip(read, rendition(made, name).segments, strict=True):
            assert (segment.time, segment.duration) == (at, told.duration) == (told.time, told.duration)
            at += segment.duration
    assert edges(made, "v0") == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (6.0, 7.0)]
    roles = disk.roles
    assert roles[-5:] == ["state", "playlist", "playlist", "manifest", "manifest"]
    assert set(roles[:-5]) == {"state", "init", "segment"}
    assert disk.look().ended
    assert not disk.written("manifest")[2:]


@pytest.mark.parametrize("start", [-0.5, 0.0, 10.25, 95_443.7])
def test_on_demand_the_earliest_frame_is_at_zero(tmp_path: Path, start: float) -> None:
    made, disk = package(tmp_path, mixed(video(4, start=start + 0.2, reorder=True), audio(4, start=start)))
    # Sound from -0.2 s on leaves room for the decode times of the pictures.
    assert edges(made, "a0")[0][0] == 0
    assert edges(made, "v0")[0][0] == 0.2
    assert extinf(rendition(made, "v0").segments[0], rendition(made, "v0")) == pytest.approx(2.2)
    assert disk.segment("v0/1.m4s").time == 18_000
    assert {p.start_s for p in made.presentation.periods} == {0.0}


def test_on_demand_from_a_live_source_begins_at_zero_too(tmp_path: Path) -> None:
    made, disk = package(tmp_path, mixed(video(4, start=500), audio(4, start=500.01)), live=True)
    assert edges(made, "v0")[0] == (0.0, 2.0)
    assert disk.segment("v0/1.m4s").time == 0
    assert 'mediaPresentationDuration="PT4.0' in (tmp_path / "manifest.mpd").read_text()


def test_cuts_are_at_the_first_key_frames_behind_multiples_of_the_target(tmp_path: Path) -> None:
    frames = video(12, keys=[0, 40, 55, 99, 149, 160, 225, 240])
    made, _ = package(tmp_path, frames, (VIDEO,))
    # 1.6 s is too early; 2.2 s and 3.96 s are the first behind 2 s; what is due at 4 s comes at 5.96 s.
    assert [start for start, _ in edges(made, "v0")] == [0.0, 2.2, 5.96, 6.4, 9.0]
    assert any("a segment of 3.76 s: segments end at key frames" in notice for notice in made.notices)


def test_without_key_frames_a_cut_is_forced(tmp_path: Path) -> None:
    made, _ = package(tmp_path, mixed(video(70, keys=[0]), audio(70)))
    segments = list(rendition(made, "v0").segments)
    assert [s.independent for s in segments] == [True, False, False]
    assert all(s.independent for s in rendition(made, "a0").segments)
    assert [start for start, _ in edges(made, "v0")] == [0.0, 30.0, 60.0]
    assert sum("no key frame" in notice for notice in made.notices) == 1
    assert b"INDEPENDENT" not in hls.rendition_playlist(made.presentation, rendition(made, "v0"))


def test_frames_before_the_first_key_frame_are_left_out(tmp_path: Path) -> None:
    made, disk = package(tmp_path, mixed(video(5, keys=[30, 80]), audio(5)))
    assert disk.segment("v0/1.m4s").payloads[0][4:5] == b"\x65"
    assert edges(made, "v0")[0][0] == pytest.approx(0, abs=0.02)


def test_a_track_that_starts_late_keeps_its_place(tmp_path: Path) -> None:
    made, disk = package(tmp_path, mixed(video(8), audio(3, start=4.5)))
    sound = rendition(made, "a0")
    assert [s.gap for s in sound.segments] == [True, True, False, False]
    third = sound.segments[2]
    assert (third.time, third.lead) == (216_000, 24_000)
    assert third.number == 3
    assert disk.segment("a0/3.m4s").time == 216_000
    ends = [sum(extinf(s, r) for s in list(r.segments)[:3]) for r in (sound, rendition(made, "v0"))]
    assert ends[0] == pytest.approx(ends[1], abs=0.022)
    assert len(list((tmp_path / "a0").glob("*.m4s"))) == 2


def test_a_silent_track_has_gaps_and_no_empty_file(tmp_path: Path) -> None:
    sound = [f for f in audio(12) if not 3 * 48_000 <= f.pts < 9 * 48_000]
    made, disk = package(tmp_path, mixed(video(12), sound))
    found = rendition(made, "a0")
    assert [s.gap for s in found.segments] == [False, False, True, True, False, False]
    # The second ends where the sound does; in HLS it keeps its place.
    assert edges(made, "a0")[1][1] == pytest.approx(3.0, abs=0.03)
    assert found.segments[1].end / 48_000 == pytest.approx(4.0, abs=0.03)
    second = disk.segment("a0/2.m4s")
    assert second.time + second.duration == pytest.approx(3 * 48_000, abs=1024)
    ends = [round(sum(extinf(s, r) for s in r.segments), 1) for r in (found, rendition(made, "v0"))]
    assert ends == [12.0, 12.0]
    rows = mpd_segments(disk.look().mpd)["a0"]  # type: ignore[arg-type]
    assert [row[4] for row in rows] == pytest.approx([0.0, 2.005, 9.0, 10.005], abs=0.03)


def test_live_manifests_follow_every_segment(tmp_path: Path) -> None:
    made, disk = package(tmp_path, mixed(video(9), audio(9)), kind="live", window_s=60.0)
    kinds = [o.role for o in disk.done if isinstance(o, Write) and o.path.startswith("v0/")]
    assert kinds == ["init", *["segment", "playlist"] * 5, "playlist"]
    for at, operation in enumerate(disk.done):
        if isinstance(operation, Write) and operation.role == "playlist":
            # What a later run must know is there before anybody can have seen the segment.
            before = [o.role for o in disk.done[:at] if isinstance(o, Write)]
            assert before.index("state", len(before) - before[::-1].index("segment")) > 0
    look = disk.look()
    assert look.ended
    assert [line.path for line in look.segments("v0")] == [f"v0/{n}.m4s" for n in range(1, 6)]
    assert made.presentation.availability_start_unix_s == pytest.approx(NOW_S, abs=0.1)


def test_the_live_window_slides_and_late_files_stay_for_one_more(tmp_path: Path) -> None:
    made, disk = packager("live", window_s=6.0), Disk(tmp_path)
    made.start(0, (VIDEO, AUDIO), NOW_S)
    feed(made, disk, mixed(video(30), audio(30)))
    look = disk.look()
    first = look.playlists["v0"].sequence
    assert len(look.segments("v0")) == 3
    assert look.playlists["a0"].sequence == first
    files = {int(p.stem) for p in (tmp_path / "v0").glob("*.m4s")}
    assert min(files) == first - 4
    assert (tmp_path / "v0/init-1.mp4").exists()
    for at, operation in enumerate(disk.done):
        if isinstance(operation, Remove):
            before = [o for o in disk.done[:at] if isinstance(o, Write) and o.role == "playlist"]
            assert operation.path.split("/")[1].encode() not in b"".join(before[-1].parts).split(b"\n")


def test_a_stepping_wall_clock_moves_nothing(tmp_path: Path) -> None:
    made, disk = packager("live"), Disk(tmp_path)
    made.start(0, (VIDEO,), NOW_S)
    frames = video(12)
    feed(made, disk, frames[:150])
    feed(made, disk, frames[150:225], now_s=NOW_S + 3600)
    feed(made, disk, frames[225:], now_s=NOW_S - 3600)
    times = [s.start_unix_s for s in rendition(made, "v0").segments]
    assert [b - a for a, b in zip(times, times[1:], strict=False)] == pytest.approx([2.0] * 4)
    assert made.presentation.availability_start_unix_s == times[0]


@pytest.mark.parametrize("container", ["fmp4", "ts"])
def test_a_break_is_a_discontinuity_in_every_rendition(tmp_path: Path, container: str) -> None:
    made, disk = packager("live", container=container, dash=container == "fmp4"), Disk(tmp_path)
    tracks = (VIDEO, AUDIO, FRENCH)
    made.start(0, tracks, NOW_S)
    feed(made, disk, mixed(video(5), audio(5), audio(5, track=FRENCH)))
    made.discontinuity(0)
    feed(made, disk, mixed(video(5, start=8), audio(5, start=8), audio(5, start=8, track=FRENCH)))
    made.finish(NOW_S + 20)
    disk.take(made)
    for found in made.presentation.renditions:
        flags = [s.discontinuity for s in found.segments]
        assert flags == [False, False, False, True, False, False], found.id
        assert [s.period for s in found.segments] == [0] * 6
    assert edges(made, "v0")[2:4] == [(4.0, 5.0), (8.0, 10.0)]
    # The same encoding goes on with the same initialisation.
    assert len(disk.written("init")) == (3 if container == "fmp4" else 0)


def test_another_encoding_begins_a_period(tmp_path: Path) -> None:
    made, disk = packager("event"), Disk(tmp_path)
    made.start(0, (VIDEO, AUDIO), NOW_S)
    feed(made, disk, mixed(video(5), audio(5)))
    other = VIDEO.with_(config=AVCC.replace(b"\x42\xc0\x1e", b"\x42\xc0\x1f"), timescale=25_000)
    made.start(0, (other, AUDIO), NOW_S + 5)
    feed(made, disk, mixed(video(5, start=5, track=other), audio(5, start=5)))
    made.finish(NOW_S + 20)
    disk.take(made)
    picture = rendition(made, "v0")
    assert picture.timescale == 90_000
    assert [s.init for s in picture.segments] == ["init-1.mp4"] * 3 + ["init-4.mp4"] * 3
    assert [s.discontinuity for s in picture.segments] == [False] * 3 + [True] + [False] * 2
    assert [s.period for s in picture.segments] == [0] * 3 + [1] * 3
    assert [s.init for s in rendition(made, "a0").segments] == ["init-1.mp4"] * 6
    assert [(p.start_s, p.media_start_s) for p in made.presentation.periods] == [(0.0, 0.0), (5.0, 5.0)]
    assert disk.segment("v0/4.m4s").time == 5 * 25_000
    assert edges(made, "v0")[3] == (5.0, 6.0)


def test_the_same_tracks_again_are_a_break_and_no_period(tmp_path: Path) -> None:
    made, disk = packager("live"), Disk(tmp_path)
    made.start(0, (VIDEO,), NOW_S)
    feed(made, disk, video(3))
    made.start(0, (VIDEO,), NOW_S)
    feed(made, disk, video(3, start=3))
    made.finish(NOW_S)
    disk.take(made)
    assert [s.discontinuity for s in rendition(made, "v0").segments] == [False, False, True, False]
    assert len(made.presentation.periods) == 1
    assert len(disk.written("init")) == 1


def test_a_track_that_comes_later_breaks_nothing(tmp_path: Path) -> None:
    made, disk = packager("event"), Disk(tmp_path)
    made.start(0, (VIDEO,), NOW_S)
    feed(made, disk, video(5))
    made.start(0, (VIDEO, AUDIO), NOW_S + 5)
    feed(made, disk, mixed(video(5, start=5), audio(5, start=5)))
    made.finish(NOW_S + 10)
    disk.take(made)
    picture, sound = rendition(made, "v0"), rendition(made, "a0")
    assert not any(s.discontinuity for s in [*picture.segments, *sound.segments])
    assert [s.number for s in sound.segments] == [s.number for s in picture.segments]
    assert [s.gap for s in sound.segments][:2] == [True, True]
    assert not sound.segments[-1].gap
    # A DASH period has one set of tracks.
    assert len(made.presentation.periods) == 2
    assert len(disk.written("init")) == 2


def test_a_track_that_goes_away_leaves_gaps(tmp_path: Path) -> None:
    made, disk = packager("live"), Disk(tmp_path)
    made.start(0, (VIDEO, AUDIO), NOW_S)
    feed(made, disk, mixed(video(4), audio(4)))
    made.start(0, (VIDEO,), NOW_S + 4)
    feed(made, disk, video(4, start=4))
    made.finish(NOW_S + 10)
    disk.take(made)
    assert [s.gap for s in rendition(made, "a0").segments] == [False, False, True, True]
    assert not any(s.discontinuity for s in rendition(made, "v0").segments)


def test_ts_carries_the_first_sound_with_the_picture(tmp_path: Path) -> None:
    frames = mixed(video(5), audio(5), audio(5, track=FRENCH))
    made, disk = package(tmp_path, frames, (VIDEO, AUDIO, FRENCH), container="ts", dash=False)
    assert {r.id: [t.id for t in r.tracks] for r in made.presentation.renditions} == {"v0": [1, 2], "a0": [3]}
    assert [extinf(s, rendition(made, "v0")) for s in rendition(made, "v0").segments] == pytest.approx(
        [2, 2, 1.003], 0.01
    )
    assert sorted(disk.look().playlists) == ["a0", "v0"]
    from evotools.containers.mpegts.demux import TsDemuxer

    demuxer = TsDemuxer()
    read = [e for n in (1, 2, 3) for e in demuxer.feed((tmp_path / f"v0/{n}.ts").read_bytes())] + demuxer.flush()
    shown = [e for e in read if isinstance(e, Frame)]
    assert len(shown) == sum(f.track.id != 3 for f in frames)
    assert min(f.pts for f in shown) == 10 * 90_000


def test_sound_alone(tmp_path: Path) -> None:
    made, disk = package(tmp_path, audio(7), (AUDIO,))
    assert [start for start, _ in edges(made, "a0")] == pytest.approx([0.0, 2.005, 4.011, 5.995], abs=0.001)
    assert disk.look().playlists.keys() == {"a0"}


def test_end_or_no_end(tmp_path: Path) -> None:
    _, disk = package(tmp_path, video(5), (VIDEO,), kind="live", endlist=False)
    assert not disk.look().ended
    assert 'type="dynamic"' in (tmp_path / "manifest.mpd").read_text()


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    _, disk = package(tmp_path, video(3), (VIDEO,), hls=False)
    assert disk.written("manifest") == ["manifest.mpd"]
    assert not disk.written("playlist")


def test_negative_times_of_a_live_source_are_moved_up(tmp_path: Path) -> None:
    made, disk = package(tmp_path, mixed(video(4, start=-1.5), audio(4, start=-1.48)), kind="live")
    assert disk.segment("v0/1.m4s").time == 0
    assert edges(made, "v0")[0][0] == 0


def test_a_track_that_cannot_be_written_costs_itself(tmp_path: Path) -> None:
    broken = FRENCH.with_(config=b"")
    made, disk = package(tmp_path, mixed(video(3), audio(3), audio(3, track=broken)), (VIDEO, AUDIO, broken))
    assert {r.id for r in made.presentation.renditions} == {"v0", "a0"}
    assert any("is left out" in notice for notice in made.notices)
    assert disk.look().ended


def test_the_last_track_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    broken = AUDIO.with_(config=b"")
    with pytest.raises(MediaError):
        package(tmp_path, audio(5, track=broken), (broken,))


def test_nothing_makes_nothing(tmp_path: Path) -> None:
    _, disk = package(tmp_path, [], (VIDEO,))
    assert disk.done == []


@pytest.mark.parametrize(
    ("codec", "container", "words"),
    [
        ("av1", "ts", "fmp4 has"),
        ("mp2", "fmp4", "ts has it"),
        ("mjpeg", "fmp4", "no player"),
        ("scte35", "ts", "timed data"),
        ("h264", "ts", ""),
        ("opus", "fmp4", ""),
    ],
)
def test_refusals(codec: str, container: str, words: str) -> None:
    kind = {"av1": Kind.VIDEO, "mjpeg": Kind.VIDEO, "h264": Kind.VIDEO, "scte35": Kind.DATA}.get(codec, Kind.AUDIO)
    reason = packager(container=container, dash=False).refusal(Track(1, kind, codec, 90_000))
    assert words in reason
    assert bool(reason) == bool(words)


def test_bandwidths_are_of_the_fullest_segment_and_of_all(tmp_path: Path) -> None:
    frames = video(5)
    frames[60].payload = (50_000).to_bytes(4) + bytes([0x41]) + bytes(49_999)
    made, disk = package(tmp_path, frames, (VIDEO,))
    sizes = [(tmp_path / f"v0/{n}.m4s").stat().st_size for n in (1, 2, 3)]
    found = rendition(made, "v0")
    assert found.peak_bps == round(sizes[1] * 8 / 2)
    assert found.average_bps == round(sum(sizes) * 8 / 5)
    assert f"BANDWIDTH={found.peak_bps},AVERAGE-BANDWIDTH={found.average_bps}" in (tmp_path / "index.m3u8").read_text()
    assert disk.look().playlists["v0"].target == 2


def test_dates_are_those_of_each_tracks_own_first_sample(tmp_path: Path) -> None:
    made, _ = package(tmp_path, mixed(video(9, gop=25, reorder=True), audio(9)), kind="event")
    for name in ("v0", "a0"):
        found = rendition(made, name)
        for before, after in zip(found.segments, list(found.segments)[1:], strict=False):
            assert after.start_unix_s - before.start_unix_s == pytest.approx(extinf(before, found), abs=1e-5)


def test_behind_a_break_times_may_step_back(tmp_path: Path) -> None:
    """Files say the time of their frames, not one that goes on from before the break."""
    made, disk = packager("event"), Disk(tmp_path)
    made.start(0, (VIDEO,), NOW_S)
    feed(made, disk, [f for f in video(14, gop=25) if f.dts >= 10 * VIDEO.timescale])
    made.discontinuity(0)
    feed(made, disk, video(4, gop=25))
    made.finish(NOW_S + 100)
    disk.take(made)
    segments = list(rendition(made, "v0").segments)
    behind = next(n for n, segment in enumerate(segments) if segment.discontinuity)
    read = [disk.segment(f"v0/{segment.name}") for segment in segments]
    assert read[0].time == 10 * VIDEO.timescale and read[behind].time == 0
    assert [one.time for one in read] == [segment.time for segment in segments]
