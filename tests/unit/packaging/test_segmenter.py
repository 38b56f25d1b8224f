"""Where the segmenter cuts, what it calls the duration, and what it does when nothing fits."""

from collections.abc import Sequence

import pytest

from evotools.containers.mpegts.demux import TsDemuxer
from evotools.containers.mpegts.mux import TsMuxer
from evotools.media.frame import Frame, Metadata, Tracks
from evotools.media.track import Kind, Track
from evotools.packaging import segmenter as segmenter_module
from evotools.packaging.segmenter import Segment, Segmenter
from tests.unit.containers.mpegts.tools import H264, picture

VIDEO = Track(1, Kind.VIDEO, "h264", 1000)
AUDIO = Track(2, Kind.AUDIO, "aac", 48000)


class FakeMuxer:
    """Writes what it is told in plain text; holds one audio frame back as real muxers may."""

    mime = "x/fake"

    def __init__(self) -> None:
        self._held = b""

    def accepts(self, track: Track) -> bool:
        return track.codec != "vp9"

    def start(self, tracks: Sequence[Track]) -> bytes:
        self._tables = b"[" + b"".join(track.codec.encode() for track in tracks) + b"]"
        return self._tables

    def tables(self) -> bytes:
        return self._tables

    def write(self, frame: Frame) -> bytes:
        if frame.track.kind is Kind.AUDIO:
            held, self._held = self._held, frame.payload
            return held
        return self.finish() + frame.payload

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return held


def video(ms: int, *, key: bool = False, size: int = 1, cts: int = 0) -> Frame:
    return Frame(VIDEO, ms, ms + cts, (b"K" if key else b"p") * size, duration=40, key=key)


def audio(sample: int) -> Frame:
    return Frame(AUDIO, sample, sample, b"a", duration=1024, key=True)


def gop(start_ms: int, length_ms: int, cts: int = 0) -> list[Frame]:
    return [video(start_ms + t, key=t == 0, cts=cts) for t in range(0, length_ms, 40)]


def run(frames: list[Frame], tracks: Sequence[Track] = (VIDEO,), **options: float) -> list[Segment]:
    segmenter = Segmenter(FakeMuxer, **options)  # type: ignore[arg-type]
    segmenter.start(tracks)
    found = []
    for frame in frames:
        found += segmenter.push([frame], 1000.0 + frame.dts_s)
    return found + segmenter.finish()


@pytest.mark.parametrize(
    ("gop_ms", "expected"),
    [(2000, [2.0] * 6), (1000, [2.0] * 6), (480, [2.4] * 5), (4000, [4.0] * 3), (1920, [3.84] * 3 + [0.48])],
)
def test_cuts_at_the_first_key_frame_past_the_target(gop_ms: int, expected: list[float]) -> None:
    frames = [f for start in range(0, 12000, gop_ms) for f in gop(start, gop_ms) if f.dts < 12000]
    found = run(frames)
    assert [round(s.duration_s, 3) for s in found] == expected
    for segment in found:
        assert segment.data.startswith(b"[h264]K")
        assert segment.independent
        assert not segment.discontinuity
    assert b"".join(s.data.removeprefix(b"[h264]") for s in found) == b"".join(f.payload for f in frames)


def test_durations_are_presentation_times_even_with_b_frames() -> None:
    found = run(gop(0, 2000, cts=80) + gop(2000, 2000, cts=80))
    assert [s.duration_s for s in found] == pytest.approx([2.0, 2.0])


def test_millisecond_rounding_does_not_double_a_segment() -> None:
    frames = [video(int(i * 1000 / 30), key=i % 60 == 0) for i in range(240)]
    assert [round(s.duration_s, 2) for s in run(frames)][:3] == [2.0, 2.0, 2.0]


def test_nothing_begins_before_a_key_frame_and_sound_stays_with_the_picture() -> None:
    frames = [audio(0), video(0), audio(1024), video(40, key=True), audio(2048), video(80), audio(3072)]
    found = run(frames, (VIDEO, AUDIO))
    assert [s.data for s in found] == [b"[h264aac]Kapa"]


def test_sound_alone_is_cut_anywhere() -> None:
    found = run([audio(i * 1024) for i in range(300)], (AUDIO,))
    assert all(2.0 <= s.duration_s < 2.03 for s in found[:-1])
    assert len(found) == 4


def test_a_silent_picture_does_not_hold_up_the_sound() -> None:
    frames = [audio(i * 1024) for i in range(500)]
    assert len(run(frames, (VIDEO, AUDIO))) >= 3


def test_tracks_that_the_container_cannot_carry_are_left_out() -> None:
    other = Track(3, Kind.VIDEO, "vp9", 1000)
    segmenter = Segmenter(FakeMuxer)
    segmenter.start((other, AUDIO))
    assert segmenter.tracks == (AUDIO,)
    segmenter.push([Frame(other, 0, 0, b"V", key=True), audio(0), audio(1024)], 0.0)
    assert b"V" not in segmenter.finish()[0].data


def test_caps_cut_without_a_key_frame_and_say_so() -> None:
    frames = [video(0, key=True)] + [video(40 * i, size=100) for i in range(1, 50)]
    found = run(frames, max_bytes=1000)
    assert len(found) == 5
    assert [s.independent for s in found] == [True, False, False, False, False]
    found = run([video(0, key=True)] + [video(40 * i) for i in range(1, 100)], max_s=1.0)
    assert [round(s.duration_s, 2) for s in found] == [1.0, 1.0, 1.0, 1.0]


def test_a_new_epoch_and_a_break_end_the_segment_and_mark_the_next() -> None:
    segmenter = Segmenter(FakeMuxer)
    assert segmenter.start((VIDEO,)) == []
    assert segmenter.push(gop(0, 1000), 100.0) == []
    (first,) = segmenter.start((VIDEO, AUDIO))
    assert first.duration_s == pytest.approx(1.0)
    assert not first.discontinuity
    segmenter.push(gop(1000, 1000), 101.0)
    (second,) = segmenter.discontinuity()
    assert second.discontinuity
    assert second.data.startswith(b"[h264aac]K")
    assert segmenter.discontinuity() == []
    segmenter.push(gop(2000, 1000), 102.0)
    (third,) = segmenter.finish()
    assert third.discontinuity


def test_wall_time_counts_from_the_newest_of_a_replayed_burst() -> None:
    segmenter = Segmenter(FakeMuxer)
    segmenter.start((VIDEO,))
    segmenter.push(gop(10_000, 1000), 5000.0)
    done = segmenter.push(gop(11_000, 1000) + gop(12_000, 1000), 5002.0)
    # The newest frame of the burst (10.96 s) is the one of 5000.0.
    assert done[0].start_unix_s == pytest.approx(5000.0 - 0.96)
    told = Frame(VIDEO, 20_000, 20_000, b"K", duration=40, key=True, wallclock_s=7777.5)
    segmenter.push([told], 9000.0)
    assert segmenter.finish()[0].start_unix_s == 7777.5


def test_a_flood_of_sound_between_pictures_is_cut_by_the_cap() -> None:
    segmenter = Segmenter(FakeMuxer, max_bytes=10_000)
    segmenter.start((VIDEO, AUDIO))
    segmenter.push([video(0, key=True)], 0.0)
    done = []
    for n in range(1, 101):
        done += segmenter.push([Frame(AUDIO, n, n, b"a" * 1000, key=True)], 0.0)
    # The cap, the frame that went over it, and the one that the muxer held.
    assert len(done) == 9
    assert all(10_000 <= len(segment.data) < 12_000 for segment in done)
    # Only the first one begins with a picture.
    assert [segment.independent for segment in done] == [True] + [False] * 8


def test_a_flood_of_empty_sound_is_cut_by_the_number_of_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter_module, "MAX_FRAMES", 50)
    segmenter = Segmenter(FakeMuxer)
    segmenter.start((VIDEO, AUDIO))
    done = segmenter.push([video(0, key=True), *(Frame(AUDIO, n, n, b"", key=True) for n in range(1, 201))], 0.0)
    assert len(done) == 4


def test_timed_data_is_in_the_segment_of_its_time_and_each_announces_it() -> None:
    segmenter = Segmenter(TsMuxer, target_s=1)
    segmenter.start([H264])
    done: list[Segment] = []
    for number in range(100):
        done += segmenter.push([picture(H264, number * 3600, key=number % 25 == 0)], number / 25)
        if number % 20 == 10:
            segmenter.write_metadata(Metadata("onTextData", {"n": number}, number / 25))
    # A new run of segments begins with a place for it.
    done += segmenter.discontinuity()
    done += segmenter.push([picture(H264, (225 + n) * 3600, key=n % 25 == 0) for n in range(30)], 9.0)
    found = []
    for segment in done:
        demuxer = TsDemuxer()
        events = demuxer.feed(segment.data) + demuxer.flush()
        tracks = next(e for e in events if isinstance(e, Tracks)).tracks
        told = [e.value["n"] for e in events if isinstance(e, Metadata)]
        found.append((tracks[-1].codec, told))
    # Of the first segment the end announces it: pictures are not disturbed by that.
    assert found == [("h264", [10]), ("id3", [30]), ("id3", [50, 70]), ("id3", [90]), ("id3", [])]
