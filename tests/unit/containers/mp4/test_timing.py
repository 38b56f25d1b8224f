"""Times as written: samples counted, decode times unsigned, segments without holes between them."""

from fractions import Fraction

import pytest

from evotools.codecs.opus import build_head
from evotools.containers.mp4.audio_clock import AudioClock, sample_clock
from evotools.containers.mp4.timing import COARSE, MAX_TICKS, Timing, written_timescale
from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from tests.unit.containers.mp4.streams import AAC, H264, pictures, sounds

FLV, TS = AAC.with_(timescale=1000), AAC.with_(timescale=90_000)


def starts(track: Track, frames: list[Frame], rate: int = 48_000) -> list[int]:
    """Of packets that come in batches of three."""
    clock = AudioClock(track, rate)
    return [at for i in range(0, len(frames), 3) for at in clock.take(frames[i : i + 3])[0]]


# Audio.


@pytest.mark.parametrize("track", [FLV, TS, AAC], ids=["1 kHz", "90 kHz", "48 kHz"])
@pytest.mark.parametrize("start_s", [Fraction(0), Fraction(10), Fraction(1, 3), Fraction(1_790_000_000)])
def test_rounded_times_become_counted_ones(track: Track, start_s: Fraction) -> None:
    at = starts(track, sounds(5000, track=track, start_s=start_s))
    assert {b - a for a, b in zip(at, at[1:], strict=False)} == {1024}
    assert abs(at[0] - start_s * 48_000) <= 24


@pytest.mark.parametrize("track", [FLV, TS], ids=["1 kHz", "90 kHz"])
def test_a_lost_packet_leaves_a_gap(track: Track) -> None:
    frames = sounds(100, track=track)
    del frames[50]
    at = starts(track, frames)
    steps = [b - a for a, b in zip(at, at[1:], strict=False)]
    assert [i for i, step in enumerate(steps) if step != 1024] == [49]
    # As exact as the source's clock is.
    assert abs(steps[49] - 2048) <= 24


def test_a_clock_that_drifts_is_followed_in_small_steps() -> None:
    """A sender that says 48 kHz and takes 47,990: 0.2 ms a second."""
    frames = [f.shifted(f.track, round(f.pts * 1.0005), round(f.pts * 1.0005)) for f in sounds(4000, track=FLV)]
    at = starts(FLV, frames)
    assert max(abs(a - f.pts * 48) for a, f in zip(at, frames, strict=True)) <= 512 + 24
    odd = [step for step in (b - a for a, b in zip(at, at[1:], strict=False)) if step != 1024]
    assert 3 <= len(odd) <= 5
    assert all(1024 < step < 2 * 1024 for step in odd)


def test_a_clock_that_runs_slow_never_steps_back() -> None:
    frames = [f.shifted(f.track, round(f.pts * 0.9995), round(f.pts * 0.9995)) for f in sounds(4000, track=FLV)]
    at = starts(FLV, frames)
    assert min(b - a for a, b in zip(at, at[1:], strict=False)) > 0
    assert max(abs(a - f.pts * 48) for a, f in zip(at, frames, strict=True)) <= 512 + 24


def test_times_of_the_same_clock_are_taken_as_they_are() -> None:
    frames = sounds(20)
    frames[7:] = [f.shifted(f.track, f.dts + 100, f.pts + 100) for f in frames[7:]]
    assert starts(AAC, frames) == [f.pts for f in frames]
    # But for those that stand still.
    frames[3] = frames[3].shifted(AAC, frames[2].dts, frames[2].pts)
    assert starts(AAC, frames)[2:5] == [2048, 3072, 4096]


def test_short_packets() -> None:
    """2.5 ms of Opus against a clock of milliseconds: half a packet is less than the rounding."""
    track = Track(1, Kind.AUDIO, "opus", 1000, build_head(2), sample_rate=48_000)
    frames = [Frame(track, round(n * 2.5), round(n * 2.5), b"\x80") for n in range(1000)]
    at = starts(track, frames)
    assert {b - a for a, b in zip(at, at[1:], strict=False)} == {120}


def test_a_clock_coarser_than_the_packets() -> None:
    track = Track(1, Kind.AUDIO, "opus", 250, build_head(2), sample_rate=48_000)
    frames = [Frame(track, n * 5 // 8, n * 5 // 8, b"\x80") for n in range(1000)]
    at = starts(track, frames)
    assert {b - a for a, b in zip(at, at[1:], strict=False)} == {120}


def test_packets_that_tell_nothing_keep_their_times() -> None:
    track = Track(1, Kind.AUDIO, "alac", 1000, sample_rate=44_100)
    frames = [Frame(track, t, t, b"x") for t in (0, 93, 186, 279)]
    timing = Timing(track, signed=False)
    assert timing.times(frames).durations == [4101, 4102, 4101, 4101]
    broken = [Frame(AAC.with_(codec="ac3", timescale=1000), t, t, b"x") for t in (0, 32, 64)]
    assert AudioClock(broken[0].track, 48_000).take(broken) == ([0, 1536, 3072], 0)


def test_rates() -> None:
    assert sample_clock(AAC.with_(timescale=1000)) == 48_000
    assert sample_clock(Track(1, Kind.AUDIO, "opus", 1000)) == 48_000
    assert sample_clock(Track(1, Kind.AUDIO, "mp3", 90_000)) == 90_000
    assert sample_clock(Track(1, Kind.AUDIO, "aac", 1000, sample_rate=1 << 30)) == 1000
    # SBR: 1024 samples of the core are 2048 of the output.
    sbr = Track(1, Kind.AUDIO, "aac", 1000, bytes.fromhex("2b098800"), sample_rate=48_000)
    clock = AudioClock(sbr, sample_clock(sbr))
    assert clock.take([Frame(sbr, 0, 0, b"x"), Frame(sbr, 43, 43, b"x")]) == ([0, 2048], 2048)


def test_the_last_packet_of_a_run() -> None:
    frames = sounds(10, track=FLV)
    timing = Timing(FLV, signed=False)
    assert timing.times(frames[:4], frames[4]).durations == [1024] * 4
    # A gap: the source says where the next packet begins.
    assert timing.times(frames[4:6], frames[5].pts + 100).durations[0] == 1024
    assert abs(timing.times(frames[6:8], frames[7].pts + 100).durations[1] - 4800) <= 48
    tail = sounds(2)
    tail[1].duration = 700
    assert Timing(AAC, signed=False).times(tail).durations == [1024, 700]


# Video.


def test_lifted_decode_times_meet_the_presentation() -> None:
    """CMAF: each group begins with a decode time that is its earliest presentation time."""
    frames = pictures(48, start=900_000)
    timing = Timing(H264, signed=True)
    at = 900_000
    for group in range(4):
        some = frames[group * 12 : group * 12 + 12]
        following = frames[group * 12 + 12] if group < 3 else None
        times = timing.times(some, following)
        assert times.base == at == min(f.pts for f in some)
        shown = [at + n * 3600 + offset for n, offset in enumerate(times.offsets)]
        assert shown == [f.pts for f in some]
        assert min(times.offsets) == -3600
        at = times.end


def test_unsigned_offsets_are_the_source_s() -> None:
    frames = pictures(12, start=3600)
    times = Timing(H264, signed=False).times(frames)
    assert (times.base, times.durations) == (0, [3600] * 12)
    assert times.offsets == [f.pts - f.dts for f in frames]
    plain = pictures(12, reorder=False)
    assert Timing(H264, signed=False).times(plain).offsets == []


def test_what_the_last_frame_lasts() -> None:
    frames = pictures(6, reorder=False)
    assert Timing(H264, signed=True).times(frames[:1], 5000).durations == [5000]
    assert Timing(H264.with_(fps=Fraction(50)), signed=True).times(frames[:1]).durations == [1800]
    assert Timing(H264, signed=True).times([Frame(H264, 0, 0, b"", duration=77)]).durations == [77]
    # One frame at a time, as in low latency: the last step is the best guess.
    timing = Timing(H264.with_(fps=None, timescale=1000), signed=True)
    assert [timing.times([Frame(H264, n * 50, n * 50, b"")]).durations[0] for n in range(3)] == [40, 50, 50]


def test_decode_times_that_stand_or_step_back_are_moved_up() -> None:
    frames = [
        Frame(H264, dts, pts, b"")
        for dts, pts in ((0, 0), (3600, 3600), (3600, 7200), (3500, 10_800), (14_400, 14_400))
    ]
    times = Timing(H264, signed=False).times(frames)
    assert min(times.durations) > 0
    at = times.base
    for frame, duration, offset in zip(frames, times.durations, times.offsets, strict=True):
        assert at + offset == frame.pts
        at += duration


def test_times_below_zero_are_written_as_zero_and_shown_where_they_belong() -> None:
    frames = pictures(6, start=-7200, reorder=False)
    times = Timing(H264, signed=False).times(frames)
    assert times.base == 0 and min(times.durations) > 0
    decode = [sum(times.durations[:n]) for n in range(6)]
    assert [at + offset for at, offset in zip(decode, times.offsets, strict=True)] == [f.pts for f in frames]


def test_runs_never_go_back_behind_one_another() -> None:
    timing = Timing(H264, signed=False)
    first = timing.times(pictures(3, start=90_000, reorder=False))
    second = timing.times(pictures(3, start=0, reorder=False))
    assert second.base > first.base + sum(first.durations[:-1])
    other = Timing(H264, signed=False)
    other.carry_on(timing)
    assert other.times(pictures(1, start=0, reorder=False)).base > second.base


def test_long_gaps_fit_in_31_bits() -> None:
    frames = [Frame(H264, 0, 0, b""), Frame(H264, 1 << 40, 1 << 40, b"")]
    times = Timing(H264, signed=False).times(frames, (1 << 41))
    assert max(times.durations) <= MAX_TICKS


def test_clocks() -> None:
    assert written_timescale(H264.with_(timescale=1000)) == 1000
    fine = H264.with_(timescale=1_000_000_000)
    assert written_timescale(fine) == COARSE
    timing = Timing(fine, signed=False)
    frames = [Frame(fine, n * 40_000_000, n * 40_000_000, b"") for n in range(3)]
    timing.shift = 10
    assert timing.times(frames, 120_000_000)[:2] == (10, [40_000] * 3)
