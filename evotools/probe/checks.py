"""Thresholds and expectations against a report: the verdict of `probe`."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from evotools.errors import UsageError
from evotools.media.select import match
from evotools.media.track import Kind, Track
from evotools.units import format_rate, parse_fps, parse_frame_size

FPS_TOLERANCE = 0.01
"""A measured frame rate that far from the expected one still is it: containers round, cameras drift."""
ROUNDING = 0.0005
"""What millisecond timestamps may take off a frame rate; 29.97 still is not 30."""
_ALIASES = {"hevc": "h265", "avc": "h264", "h.264": "h264", "h.265": "h265", "mpeg2": "mpeg2video", "alaw": "pcma",
            "ulaw": "pcmu"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expectation:
    """One `--expect TRACK=CODEC[,WxH@FPS]`; `codec` none means that no such track may exist."""

    text: str
    selector: str
    codec: str
    size: tuple[int, int] | None = None
    fps: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What is asked of a stream; None asks nothing."""

    expect: tuple[Expectation, ...] = ()
    min_fps: float | None = None
    min_bitrate_bps: int | None = None
    max_gop_s: float | None = None
    max_gap_s: float | None = None
    max_skew_s: float | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """The answer to one question. `actual` is None when nothing could be measured, which fails."""

    name: str
    ok: bool
    expected: Any
    actual: Any
    message: str

    def figures(self) -> dict[str, Any]:
        """As the JSON report shows it."""
        return {"name": self.name, "ok": self.ok, "expected": self.expected, "actual": self.actual,
                "message": self.message}  # fmt: skip


def parse_expectation(text: str) -> Expectation:
    """`video=h264,1280x720@30`, `audio:1=aac`, `#3=opus`, `audio:lang=de=aac`, `video=none`. Raises UsageError."""
    hint = "write TRACK=CODEC[,WxH][@FPS], such as video=h264,1280x720@30"
    selector, equals, rest = text.rpartition("=")
    codec, comma, shape = rest.partition(",")
    if not equals or not selector or not codec or (comma and not shape):
        raise UsageError(f"--expect {text}: not an expectation", hint=hint)
    match(selector, ())
    codec = codec.strip().lower()
    codec, at, rate = codec.partition("@")
    size_text, _, shape_rate = shape.partition("@")
    if "@" in shape:
        at, rate = "@", shape_rate
    return Expectation(
        text,
        selector,
        _ALIASES.get(codec, codec),
        parse_frame_size(size_text) if size_text else None,
        parse_fps(rate) if at else None,
    )


def evaluate(report: dict[str, Any], limits: Limits) -> list[Check]:
    """All checks that `limits` asks for, in the order of the options."""
    checks = [_expected(report, e) for e in limits.expect]
    videos = [t for t in report["tracks"] if t["kind"] == "video"]
    if limits.min_fps is not None:
        worst = _least([t["fps_measured"] for t in videos])
        checks.append(_bound("min-fps", "frame rate", worst, limits.min_fps, "fps", least=True))
    if limits.min_bitrate_bps is not None:
        checks.append(
            _bound("min-bitrate", "bit rate", report["bitrate_bps"], limits.min_bitrate_bps, "bit/s", least=True)
        )
    if limits.max_gop_s is not None:
        longest = [s for t in videos for s in (t["gop"]["max_s"], t["gop"]["unfinished_s"]) if s is not None]
        checks.append(_bound("max-gop", "longest GOP", max(longest, default=None), limits.max_gop_s, "s"))
    if limits.max_gap_s is not None:
        steps = [t["gaps"]["longest_step_s"] for t in report["tracks"] if t["gaps"]["longest_step_s"] is not None]
        steps += [abs(j["to_s"] - j["from_s"]) for t in report["tracks"] for j in t["jumps"]["listed"]]
        if report["arrival"] is not None:
            steps.append(report["arrival"]["longest_silence_s"])
        checks.append(_bound("max-gap", "longest gap", max(steps, default=None), limits.max_gap_s, "s"))
    if limits.max_skew_s is not None:
        sync = report["sync"]
        skews = [abs(sync[k]) for k in ("start_skew_s", "max_skew_s") if sync[k] is not None]
        checks.append(_bound("max-skew", "audio/video skew", max(skews, default=None), limits.max_skew_s, "s"))
    return checks


def _least(values: Sequence[float | None]) -> float | None:
    return None if not values or any(v is None for v in values) else min(v for v in values if v is not None)


def _bound(name: str, subject: str, actual: float | None, limit: float, unit: str, *, least: bool = False) -> Check:
    word = "least" if least else "most"
    shown = format_rate(limit) if unit == "bit/s" else f"{limit:g} {unit}"
    if actual is None:
        return Check(name, False, limit, None, f"{name}: {subject} is unknown, asked for at {word} {shown}")
    ok = actual >= limit if least else actual <= limit
    if unit == "fps" and not ok:
        ok = actual >= limit * (1 - ROUNDING)
    is_now = format_rate(actual) if unit == "bit/s" else f"{actual:.6g} {unit}"
    return Check(name, ok, limit, actual, f"{name}: {subject} {is_now}, asked for at {word} {shown}")


def _as_track(figures: dict[str, Any]) -> Track:
    return Track(
        figures["id"], Kind(figures["kind"]), figures["codec"], figures["timescale_hz"],
        width=figures["width"] or 0, height=figures["height"] or 0, sample_rate=figures["sample_rate_hz"] or 0,
        channels=figures["channels"] or 0, language=figures["language"] or "",
        bitrate_bps=figures["bitrate_bps"] or 0,
    )  # fmt: skip


def _expected(report: dict[str, Any], wanted: Expectation) -> Check:
    name = f"expect {wanted.text}"
    tracks = {t["id"]: t for t in report["tracks"] if t["frames"]}
    found = match(wanted.selector, [_as_track(t) for t in tracks.values()])
    if wanted.codec == "none":
        shown = ", ".join(t.describe() for t in found) or "none"
        return Check(name, not found, wanted.text, shown, f"{name}: found {shown}")
    if not found:
        return Check(name, False, wanted.text, None, f"{name}: no such track with media")
    track = tracks[found[0].id]
    fps = track["fps_measured"] if track["fps_measured"] is not None else track["fps_declared"]
    parts = [track["codec"]]
    ok = wanted.codec in (track["codec"], (track["codec_string"] or "").lower())
    if wanted.size is not None:
        parts.append(f"{track['width'] or '?'}x{track['height'] or '?'}")
        ok = ok and (track["width"], track["height"]) == wanted.size
    if wanted.fps is not None:
        parts.append("unknown fps" if fps is None else f"{fps:.5g} fps")
        ok = ok and fps is not None and abs(fps - float(wanted.fps)) <= float(wanted.fps) * FPS_TOLERANCE
    shown = " ".join(parts)
    return Check(name, ok, wanted.text, shown, f"{name}: found {shown}")


def warnings(report: dict[str, Any]) -> list[str]:
    """What is odd about a stream without breaking any limit."""
    found = []
    if report["discontinuities"]["count"]:
        found.append(f"{report['discontinuities']['count']} discontinuities")
    for track in report["tracks"]:
        subject = f"track {track['id']} ({track['codec']})"
        if track["jumps"]["count"]:
            found.append(f"{subject}: {track['jumps']['count']} timestamp jumps")
        if track["gaps"]["count"]:
            found.append(f"{subject}: {track['gaps']['count']} gaps")
        if track["non_monotonic_dts"]:
            found.append(f"{subject}: {track['non_monotonic_dts']} decode times that do not increase")
        if track["pts_before_dts"]:
            found.append(f"{subject}: {track['pts_before_dts']} frames presented before they are decoded")
        if not track["frames"]:
            found.append(f"{subject}: no frames")
    return found
