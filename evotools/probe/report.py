"""The report as text for people, as JSON, and as one line for monitoring systems."""

import json
from typing import Any

from evotools.probe.checks import Check
from evotools.units import format_duration, format_rate, format_size

Section = tuple[str, list[tuple[str, str]]]
"""Title, and rows of name and value."""


def to_json(report: dict[str, Any], checks: list[Check], *, indent: int | None = 2) -> str:
    """The report with its checks as JSON; on one line with `indent` None."""
    return json.dumps(with_checks(report, checks), indent=indent, ensure_ascii=False, default=str)


def with_checks(report: dict[str, Any], checks: list[Check]) -> dict[str, Any]:
    """The report with `checks` and `verdict` (`pass`, `fail`, or None when nothing was asked)."""
    verdict = None if not checks else "pass" if all(c.ok for c in checks) else "fail"
    return {**report, "checks": [c.figures() for c in checks], "verdict": verdict}


def sections(report: dict[str, Any], checks: list[Check], odd: list[str]) -> list[Section]:
    """The report in words: one section for the stream, one per track, one for the checks."""
    result = [("Stream", _stream_rows(report))]
    result += [(f"Track {t['id']}: {t['kind']} {t['codec']}", _track_rows(t)) for t in report["tracks"]]
    if odd:
        result.append(("Notes", [("", text) for text in odd]))
    if checks:
        result.append(("Checks", [("ok" if c.ok else "FAIL", c.message) for c in checks]))
    return result


def _row(rows: list[tuple[str, str]], name: str, *parts: str | None) -> None:
    text = ", ".join(p for p in parts if p)
    if text:
        rows.append((name, text))


def _seconds(value: float | None, *, signed: bool = False) -> str | None:
    if value is None:
        return None
    return f"{value:+.3f} s" if signed else f"{value:.3f} s"


def _stream_rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    _row(rows, "source", report["source"])
    _row(rows, "container", report["container"], "live" if report["live"] else None)
    _row(rows, "duration", format_duration(report["duration_s"]) if report["duration_s"] is not None else None,
         None if report["complete"] else "cut off")  # fmt: skip
    rate, peak = report["bitrate_bps"], report["peak_bitrate_bps"]
    _row(rows, "bit rate", format_rate(rate) if rate else None, f"peak {format_rate(peak)}" if peak else None)
    _row(rows, "payload", f"{report['frames']} frames, {format_size(report['size_bytes'])}")
    sync = report["sync"]
    if sync["start_skew_s"] is not None:
        start, end, most = (_seconds(sync[k], signed=True) for k in ("start_skew_s", "end_skew_s", "max_skew_s"))
        _row(rows, "audio-video", f"start {start}", f"end {end}", f"most apart {most}" if most else None)
    if report["arrival"]:
        arrival = report["arrival"]
        jitter, spread = f"jitter {arrival['jitter_s'] * 1000:.1f} ms", f"spread {arrival['spread_s'] * 1000:.0f} ms"
        _row(rows, "arrival", jitter, spread, f"longest silence {_seconds(arrival['longest_silence_s'])}")
    if report["discontinuities"]["count"]:
        listed = report["discontinuities"]["listed"]
        _row(rows, "discontinuities", f"{report['discontinuities']['count']} (first: {listed[0]['reason']})")
    return rows


def _track_rows(track: dict[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    _row(rows, "codec", track["codec_string"], track["profile"], track["language"], track["label"])
    if track["kind"] == "video":
        declared, measured = track["fps_declared"], track["fps_measured"]
        _row(rows, "picture", f"{track['width']}x{track['height']}" if track["width"] else None,
             f"{measured:.6g} fps" if measured is not None else None,
             f"declared {declared:.6g} fps" if declared is not None else None)  # fmt: skip
    else:
        _row(rows, "sound", f"{track['sample_rate_hz']} Hz" if track["sample_rate_hz"] else None,
             f"{track['channels']} channels" if track["channels"] else None)  # fmt: skip
    rate, peak = track["bitrate_bps"], track["peak_bitrate_bps"]
    _row(rows, "bit rate", format_rate(rate) if rate else None, f"peak {format_rate(peak)}" if peak else None)
    _row(rows, "frames", str(track["frames"]), _seconds(track["duration_s"]))
    if track["frames"]:
        _row(rows, "pts", f"{_seconds(track['first_pts_s'])} to {_seconds(track['last_pts_s'])}",
             f"ticks {track['first_pts']} to {track['last_pts']} of 1/{track['timescale_hz']} s")  # fmt: skip
    gop = track["gop"]
    if gop:
        shape = None
        if gop["count"]:
            shape = (f"{gop['min_frames']}/{gop['avg_frames']:.4g}/{gop['max_frames']} frames, "
                     f"{gop['min_s']:.3f}/{gop['avg_s']:.3f}/{gop['max_s']:.3f} s (min/avg/max)")  # fmt: skip
        elif gop["unfinished_s"] is not None:
            shape = f"one, still open after {gop['unfinished_frames']} frames, {_seconds(gop['unfinished_s'])}"
        _row(rows, "GOP", shape)
        _row(rows, "key frames", str(track["key_frames"]), _times(track["key_frame_times_s"]))
        _row(rows, "reordering", f"{track['reorder_depth']} frames" if track["reorder_depth"] else "none")
    gaps, jumps = track["gaps"], track["jumps"]
    count = [f"{kind['count']} {name}" for name, kind in (("gaps", gaps), ("jumps", jumps)) if kind["count"]]
    _row(rows, "longest step", _seconds(gaps["longest_step_s"]), *count)
    return rows


def _times(times: list[float]) -> str | None:
    if not times:
        return None
    shown = " ".join(f"{t:.3f}" for t in times[:6])
    return f"at {shown}{' …' if len(times) > 6 else ''} s"


def to_text(parts: list[Section]) -> str:
    """Aligned plain text."""
    lines = []
    for title, rows in parts:
        lines.append(title)
        width = max((len(name) for name, _ in rows), default=0)
        lines += [f"  {name:<{width}}  {value}" if name else f"  {value}" for name, value in rows]
        lines.append("")
    return "\n".join(lines[:-1])


def watch_text(figures: dict[str, Any]) -> str:
    """One line of interval figures."""
    parts = [f"{figures['media_s']:10.3f} s"]
    for track in figures["tracks"]:
        rate = track["bitrate_bps"]
        text = f"{track['codec']} {format_rate(rate) if rate is not None else '-'}"
        if track["fps"] is not None:
            text += f" {track['fps']:.4g} fps"
        if track["gaps"]:
            text += f" {track['gaps']} gaps"
        parts.append(text)
    if figures["skew_s"] is not None:
        parts.append(f"skew {figures['skew_s']:+.3f} s")
    if figures["jitter_s"] is not None:
        parts.append(f"jitter {figures['jitter_s'] * 1000:.1f} ms")
    parts += [f"{figures[name]} {name}" for name in ("jumps", "discontinuities") if figures[name]]
    return "  ".join(parts)


NAGIOS_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


def nagios(report: dict[str, Any], checks: list[Check], odd: list[str]) -> tuple[int, str]:
    """Status 0 to 2 and the line of a monitoring plug-in: text, `|`, performance data."""
    failed = [c for c in checks if not c.ok]
    status = 2 if failed else 1 if odd else 0
    if failed:
        text = "; ".join(c.message for c in failed)
    elif odd:
        text = "; ".join(odd)
    else:
        text = ", ".join(_short(t) for t in report["tracks"])
    limits = {c.name: c.expected for c in checks}
    data = []
    for video in [t for t in report["tracks"] if t["kind"] == "video"][:1]:
        data.append(_perf("fps", video["fps_measured"], limits.get("min-fps"), least=True))
        data.append(_perf("gop", video["gop"]["max_s"], limits.get("max-gop"), unit="s"))
    data.append(_perf("bitrate", report["bitrate_bps"], limits.get("min-bitrate"), least=True))
    data.append(_perf("skew", report["sync"]["max_skew_s"], limits.get("max-skew"), unit="s"))
    data.append(_perf("gaps", sum(t["gaps"]["count"] for t in report["tracks"]), None))
    shown = " ".join(d for d in data if d)
    return status, _line(status, text) + (f" | {shown}" if shown else "")


def nagios_error(status: int, message: str) -> str:
    """The line for a stream that could not be judged."""
    return _line(status, message)


def _line(status: int, text: str) -> str:
    # The plug-in guidelines give `|` and line ends a meaning of their own.
    return f"EVOTOOLS {NAGIOS_WORDS[status]} - {' '.join(text.replace('|', '/').split())}"


def _short(track: dict[str, Any]) -> str:
    parts = [track["codec"]]
    if track["width"]:
        parts.append(f"{track['width']}x{track['height']}")
    if track["fps_measured"] is not None:
        parts.append(f"{track['fps_measured']:.4g} fps")
    if track["sample_rate_hz"]:
        parts.append(f"{track['sample_rate_hz']} Hz")
    return " ".join(parts)


def _perf(label: str, value: float | None, limit: float | None, *, unit: str = "", least: bool = False) -> str:
    if value is None:
        return ""
    # A range `N:` alerts below N, a plain number above it.
    bound = "" if limit is None else f"{limit:g}:" if least else f"{limit:g}"
    return f"{label}={value:.10g}{unit};;{bound}"
