"""Presentations made by hand and at random, for the tests of their manifests."""

from collections import deque
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from evotools.media.track import Kind, Track
from evotools.packaging.presentation import MediaSegment, Period, Presentation, Rendition, Type

BEGIN_UNIX_S = 1_700_000_000.25

VIDEO = Track(
    1, Kind.VIDEO, "h264", 90_000, codec_string="avc1.64001F", width=1280, height=720, fps=Fraction(30_000, 1001)
)
SOUND = Track(2, Kind.AUDIO, "aac", 48_000, codec_string="mp4a.40.2", sample_rate=48_000, channels=2, language="eng")


def rendition(name: str, track: Track, durations: list[int], **more: Any) -> Rendition:
    """One rendition; segments 0, 1, … of these durations, one after the other, in period 0."""
    suffix, init = more.pop("suffix", "m4s"), more.pop("init", "init-0.mp4")
    made = Rendition(name, track.kind, (track,), track.timescale, **more)
    time = 0
    for number, duration in enumerate(durations):
        unix_s = BEGIN_UNIX_S + time / track.timescale
        made.segments.append(MediaSegment(f"{number}.{suffix}", number, 0, time, duration, 100_000, unix_s, init))
        time += duration
    return made


def film(type_: Type = "vod", *, ended: bool = True, **more: Any) -> Presentation:
    """Ten seconds of picture in 4 s segments and of sound beside them."""
    video = rendition("v0", VIDEO, [360_000, 360_000, 180_000], target_duration=4, peak_bps=2_500_000,
                      total_bytes=2_500_000, total_duration_s=10.0)  # fmt: skip
    sound = rendition("a0", SOUND, [192_512, 191_488, 96_000], target_duration=4, peak_bps=130_000,
                      total_bytes=160_000, total_duration_s=10.0)  # fmt: skip
    return Presentation(type_, "fmp4", [video, sound], [Period(0, 0.0, 0.0)], ended=ended, target_s=4.0, **more)


_LANGUAGES = st.sampled_from(["", "und", "eng", "deu", "fre", "zxx", "pt-BR", "???", 'e"n'])
_LABELS = st.one_of(
    st.sampled_from(["", "Comments", 'a "b"\n#EXT-X-ENDLIST', "<&>'\"", "]]>", "\ud800", "\0\x1b"]), st.text()
)


@st.composite
def tracks(draw: st.DrawFn, kind: Kind, number: int) -> Track:
    """A track of this kind with a hostile label."""
    common: dict[str, Any] = {"language": draw(_LANGUAGES), "label": draw(_LABELS)}
    if kind is Kind.VIDEO:
        codec, string = draw(st.sampled_from([("h264", "avc1.64001F"), ("h265", "hvc1.1.6.L93.B0"), ("av1", "")]))
        scale = draw(st.sampled_from([90_000, 12_800, 30_000, 600]))
        size = draw(st.sampled_from([(0, 0), (640, 360), (1920, 1080)]))
        fps = draw(st.sampled_from([None, Fraction(25), Fraction(30_000, 1001)]))
        return Track(number, kind, codec, scale, codec_string=string, width=size[0], height=size[1], fps=fps, **common)
    codec, string = draw(
        st.sampled_from([("aac", "mp4a.40.2"), ("aac", "mp4a.40.5"), ("opus", "Opus"), ("ac3", "ac-3")])
    )
    return Track(number, kind, codec, draw(st.sampled_from([48_000, 44_100])), codec_string=string, sample_rate=48_000,
                 channels=draw(st.integers(0, 8)), **common)  # fmt: skip


@st.composite
def presentations(draw: st.DrawFn) -> Presentation:
    """Any presentation that keeps the model's promises: numbers of segments are consecutive, a period has one clock,
    renditions are cut at about the same instants, gaps have no file, and some segments have left already."""
    type_ = draw(st.sampled_from(["vod", "event", "live"]))
    made = Presentation(type_, "fmp4", target_s=draw(st.sampled_from([1.0, 2.0, 6.0])))
    made.ended = draw(st.booleans())
    made.availability_start_unix_s = BEGIN_UNIX_S
    made.window_s = draw(st.sampled_from([None, 30.0])) if type_ == "live" else None
    # Lengths of the pieces of each period, in milliseconds.
    pieces = draw(st.lists(st.lists(st.integers(40, 12_000), min_size=1, max_size=5), min_size=1, max_size=3))
    gone = draw(st.integers(0, 4)) if type_ == "live" else 0
    first_number = draw(st.sampled_from([0, 9, 283_333_000]))
    start_ms = 0
    for index, lengths in enumerate(pieces):
        made.periods.append(Period(index, start_ms / 1000, draw(st.integers(0, 100_000_000)) / 1000))
        start_ms += sum(lengths) + draw(st.integers(0, 5_000))
    kinds = draw(st.sampled_from([[Kind.VIDEO], [Kind.AUDIO], [Kind.VIDEO, Kind.AUDIO],
                                  [Kind.VIDEO, Kind.VIDEO, Kind.AUDIO, Kind.AUDIO, Kind.AUDIO]]))  # fmt: skip
    for order, kind in enumerate(kinds):
        track = draw(tracks(kind, order + 1))
        scale = track.timescale
        out = Rendition(f"{kind.value[0]}{order}", kind, (track,), scale)
        out.peak_bps, out.total_bytes, out.total_duration_s = draw(
            st.sampled_from([(0, 0, 0.0), (900_000, 10**6, 9.9)])
        )
        number, init = first_number, 0
        for period, lengths in zip(made.periods, pieces, strict=True):
            edges = [round(period.media_start_s * scale)]
            for length in lengths:
                edges.append(max(round(edges[-1] + length * scale / 1000) + draw(st.integers(-3, 3)), edges[-1] + 1))
            for position, (begin, end) in enumerate(zip(edges, edges[1:], strict=False)):
                segment = MediaSegment(f"{number}.m4s", number, period.index, begin, end - begin, 1000,
                                       BEGIN_UNIX_S + begin / scale, f"init-{init}.mp4")  # fmt: skip
                segment.discontinuity = position == 0 and period.index > 0
                segment.gap = draw(st.integers(0, 9)) == 0
                segment.independent = draw(st.integers(0, 9)) > 0
                if segment.gap:
                    segment.init = ""
                out.segments.append(segment)
                number += 1
            init += draw(st.integers(0, 1))
        for _ in range(min(gone, len(out.segments) - 1)):
            left = out.segments.popleft()
            out.discontinuity_sequence += left.discontinuity
        out.segments = deque(out.segments)
        made.renditions.append(out)
    return made
