"""Streams made by hand."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind, Track
from evotools.probe.analysis import Analysis

VIDEO = Track(1, Kind.VIDEO, "h264", 90000, codec_string="avc1.42C01E", width=1280, height=720, fps=Fraction(25))
AUDIO = Track(2, Kind.AUDIO, "aac", 48000, codec_string="mp4a.40.2", sample_rate=48000, channels=2)


def picture(number: int, *, size: int = 1000, gop: int = 25, shift: int = 0) -> Frame:
    """Picture `number` of 25 a second."""
    time = number * 3600 + shift
    return Frame(VIDEO, time, time, bytes(size), duration=3600, key=number % gop == 0)


def sound(number: int, *, size: int = 100, shift: int = 0) -> Frame:
    """AAC frame `number`."""
    time = number * 1024 + shift
    return Frame(AUDIO, time, time, bytes(size), duration=1024, key=True)


def measured(events: Iterable[Event], *, live: bool = False, tracks: tuple[Track, ...] = (VIDEO, AUDIO)) -> Analysis:
    """An analysis that saw the events, each arriving at its decode time."""
    analysis = Analysis(source="x", live=live)
    analysis.add(Tracks(tracks), 0.0)
    for event in events:
        analysis.add(event, event.dts_s if isinstance(event, Frame) else 0.0)
    return analysis


def both(seconds: int = 4) -> list[Event]:
    """Picture and sound in the order of their times."""
    frames = [picture(n) for n in range(25 * seconds)] + [sound(n) for n in range(48000 * seconds // 1024)]
    return sorted(frames, key=lambda f: f.dts_s)  # type: ignore[return-value]


def track(report: dict[str, Any], ident: int) -> dict[str, Any]:
    """One track of a report."""
    return next(t for t in report["tracks"] if t["id"] == ident)
