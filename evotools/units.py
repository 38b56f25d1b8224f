"""Durations, rates, sizes and frame rates as people type them, and back.

Durations: `500ms 6s 2m 1h30m 90 00:01:30.5` (a plain number is seconds). Rates are decimal bits per second:
`3M 64k`. Sizes are bytes, `MB` decimal and `MiB` binary. Where a function takes `step`, 1024 stands for planners who
count k, M and G in such steps, rates included.
"""

import re
from fractions import Fraction

from evotools.errors import UsageError

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|h|m|s|d)")
_DURATION_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)")
_NUMBER_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z/]*)", re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_PREFIXES = {1000: ("", "k", "M", "G", "T", "P"), 1024: ("", "Ki", "Mi", "Gi", "Ti", "Pi")}


def parse_duration(text: str) -> float:
    """Seconds in `text`. Raises UsageError."""
    value = text.strip()
    try:
        seconds = float(value)
        if 0 <= seconds < 1e12:
            return seconds
        raise UsageError(f"'{text}' is not a duration", hint="use forms such as 500ms, 6s, 2m, 1h30m")
    except ValueError:
        pass
    clock = _CLOCK.fullmatch(value)
    if clock:
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
    total, position = 0.0, 0
    for part in _DURATION_PART.finditer(value):
        if part.start() != position:
            break
        total += float(part[1]) * _DURATION_S[part[2]]
        position = part.end()
    if not value or position != len(value):
        raise UsageError(f"'{text}' is not a duration", hint="use forms such as 500ms, 6s, 2m, 1h30m")
    return total


def parse_rate(text: str, step: int = 1000) -> int:
    """Bits per second in `text` (`3M`, `64k`, `2500000`, `3Mbps`, `2Mibit/s`). Raises UsageError."""
    match = _NUMBER_UNIT.fullmatch(text.strip())
    unit = match[2].lower().removesuffix("bps").removesuffix("bit/s") if match else "?"
    factor = _factor(unit, step)
    if not match or factor is None:
        raise UsageError(f"'{text}' is not a bit rate", hint="use forms such as 800k, 3M, 1.5G (decimal bits/s)")
    return round(Fraction(match[1]) * factor)


def parse_size(text: str, step: int = 1000) -> int:
    """Bytes in `text` (`10MB`, `64KiB`, `512`). Raises UsageError."""
    match = _NUMBER_UNIT.fullmatch(text.strip())
    factor = _factor(match[2].lower().removesuffix("b"), step) if match else None
    if not match or factor is None:
        raise UsageError(f"'{text}' is not a size", hint="use forms such as 500KB, 10MB, 64MiB")
    return round(Fraction(match[1]) * factor)


def _factor(prefix: str, step: int) -> int | None:
    """What `k`, `m`, `gi` … multiply by; None for anything else."""
    if prefix.endswith("i"):
        prefix, step = prefix[:-1], 1024
        if not prefix:
            return None
    power = _POWERS.get(prefix)
    return None if power is None else int(step**power)


def parse_count(text: str) -> int:
    """A number of things: `5000`, `5k`, `1.5M`. Raises UsageError."""
    match = _NUMBER_UNIT.fullmatch(text.strip())
    factor = {"": 1, "k": 1000, "m": 1000**2}.get(match[2].lower()) if match else None
    count = Fraction(match[1]) * factor if match and factor else Fraction(-1)
    if count < 0 or count.denominator != 1:
        raise UsageError(f"'{text}' is not a whole number", hint="use forms such as 5000, 5k, 1.5M")
    return int(count)


def parse_percent(text: str) -> Fraction:
    """Percent in `text`: `10%`, `12.5`. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%?", text.strip(), re.ASCII)
    if not match:
        raise UsageError(f"'{text}' is not a percentage", hint="use forms such as 10% or 12.5")
    return Fraction(match[1])


_NAMED_SIZES = {
    "qcif": (176, 144), "cif": (352, 288), "vga": (640, 480), "svga": (800, 600), "xga": (1024, 768),
    "hd480": (852, 480), "hd720": (1280, 720), "hd1080": (1920, 1080), "uhd2160": (3840, 2160),
}  # fmt: skip


def parse_frame_size(text: str) -> tuple[int, int]:
    """Width and height of `1920x1080` or an ffmpeg size name (`hd720`). Raises UsageError."""
    named = _NAMED_SIZES.get(text.strip().lower())
    if named:
        return named
    match = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", text.strip())
    if not match or not int(match[1]) or not int(match[2]):
        raise UsageError(f"'{text}' is not a picture size", hint="use WIDTHxHEIGHT, such as 1280x720")
    return int(match[1]), int(match[2])


def parse_fps(text: str) -> Fraction:
    """Frames per second of `25`, `29.97` or `30000/1001`. Raises UsageError."""
    try:
        value = Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    # 29.97 and its kin mean the NTSC fractions.
    for nominal in (24, 30, 48, 60, 120):
        if abs(value - Fraction(nominal * 1000, 1001)) < Fraction(1, 200):
            return Fraction(nominal * 1000, 1001)
    if not 0 < value <= 1000:
        raise UsageError(f"'{text}' is not a frame rate", hint="use forms such as 25, 29.97, 30000/1001")
    return value


def format_duration(seconds: float) -> str:
    """Short text: `1.250 s`, `2m05s`, `3h00m10s`."""
    if seconds < 60:
        return f"{seconds:.3f} s"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}h{minutes:02}m{secs:02}s" if hours else f"{minutes}m{secs:02}s"


def format_rate(bits_per_second: float) -> str:
    """Short decimal text: `128 kbit/s`, `2.15 Mbit/s`."""
    for factor, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if bits_per_second >= factor:
            return f"{bits_per_second / factor:.3g} {unit}"
    return f"{bits_per_second:.0f} bit/s"


def format_size(size: float) -> str:
    """Short decimal text: `1.06 MB`."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size:.0f} B"


def format_prefixed(value: float | Fraction, unit: str, step: int = 1000) -> str:
    """Four digits and a prefix in steps of 1000 or 1024: `2.805 GB`, `1.415 Gbit/s`, `2.739 GiB`, `512 B`."""
    prefixes = _PREFIXES[step]
    scaled, power = float(value), 0
    # Rounding may carry into the next prefix: 999.96 kB is 1 MB.
    while abs(round(scaled, 1)) >= step and power < len(prefixes) - 1:
        scaled, power = scaled / step, power + 1
    digits = 3 if abs(scaled) < 9.9995 else 2 if abs(scaled) < 99.995 else 1 if abs(scaled) < 999.95 else 0
    text = f"{scaled:,.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text} {prefixes[power]}{unit}"
