"""The picture of a sweep as data: panels, lines, scales and ticks. `plot` draws it in text, `svg` as a file."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, log10

from evotools.capacity.answer import Answer
from evotools.capacity.model import RESOURCES
from evotools.capacity.sweep import Axis, Sweep
from evotools.units import format_prefixed

NEEDED, FULL, HAS, CARRIED = "needed", "with margin", "machine has", "carried"
"""Names of lines. Those of capacities are the resources' and `carried`."""
FAR = 2
"""A machine that has more than this many times the need would flatten its panel; it is told in words instead."""
TINY = 1e-6
"""Nothing that is drawn is smaller, save nothing at all."""
END_ROOM = 0.1
"""Of an axis, between an end and the next label."""
WIDE = 20
"""Values whose largest is this many times the smallest are drawn by factors, where the range is too."""


@dataclass(frozen=True, slots=True)
class Scale:
    """One axis."""

    low: float
    high: float
    logarithmic: bool
    ticks: tuple[tuple[float, str], ...]

    def at(self, value: float) -> float:
        """Where a value stands, 0 at the low end and 1 at the high one."""
        if self.logarithmic:
            value, low, high = log10(max(value, self.low)), log10(self.low), log10(self.high)
        else:
            low, high = self.low, self.high
        return min(max((value - low) / (high - low), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Line:
    """One value at each point; None leaves a gap."""

    name: str
    values: tuple[float | None, ...]
    told: tuple[str, ...] = ()
    """Each point in words."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity over the range."""

    title: str
    note: str
    unit: str
    y: Scale
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """All panels over one horizontal axis."""

    title: str
    subtitle: str
    x_title: str
    x: Scale
    points: tuple[float, ...]
    panels: tuple[Panel, ...]

    @property
    def names(self) -> list[str]:
        """Of all lines, for the legend."""
        return list(dict.fromkeys(line.name for panel in self.panels for line in panel.lines))


def chart(found: Sweep, subtitle: str, step: int) -> Chart:
    """The picture of a sweep; `step` is 1000 or 1024, for the labels."""
    over = found.range
    points = tuple(float(v) for v in over.values)
    x = scale([*points], over.axis.unit, step, logarithmic=over.logarithmic, from_zero=False)
    panels = _capacity(found, step) if found.of_capacity else _needs(found, step)
    panels = [_told(panel, points, over.axis, step) for panel in panels]
    subject = "Viewers that a machine carries" if found.of_capacity else "Hardware that is needed"
    return Chart(f"{subject}, by {over.axis.title}", subtitle, over.axis.title, x, points, tuple(panels))


def _told(panel: Panel, points: tuple[float, ...], axis: Axis, step: int) -> Panel:
    """The panel with each of its points in words."""
    lines = []
    for line in panel.lines:
        told = tuple(
            "" if value is None else
            f"{_label(point, axis.unit, step)} {'' if axis.unit else axis.title}: "
            f"{_label(value, panel.unit, step)} {line.name}".replace(" :", ":")
            for point, value in zip(points, line.values, strict=True)
        )  # fmt: skip
        lines.append(replace(line, told=told))
    return replace(panel, lines=tuple(lines))


def _needs(found: Sweep, step: int) -> list[Panel]:
    answers, log = found.answers, found.range.logarithmic
    marks = bool(answers[0].profile["cpu_per_connection"])
    panels = []
    for resource in RESOURCES:
        bare = tuple(_need(a, resource, marks, margin=False) for a in answers)
        full = tuple(_need(a, resource, marks, margin=True) for a in answers)
        if not any(full) or (resource == "disk" and len(set(full)) == 1):
            continue
        have = _has(answers[0], resource, marks)
        unit = {"cpu": "", "ram": "B", "network": "bit/s", "disk": "B"}[resource]
        lines = [Line(NEEDED, bare), *([Line(FULL, full)] if full != bare else [])]
        note = ""
        if have is not None and have <= FAR * max(full):
            lines.append(Line(HAS, (have,) * len(answers)))
        elif have is not None:
            note = f"the machine has {_label(have, unit, step)}"
        values = [v for line in lines for v in line.values if v is not None]
        title = {"cpu": "CPU mark" if marks else "CPU, cores", "ram": "RAM", "network": "Network", "disk": "Disk"}
        panels.append(Panel(title[resource], note, unit, scale(values, unit, step, logarithmic=log), tuple(lines)))
    return panels


def _need(found: Answer, resource: str, marks: bool, *, margin: bool) -> float:
    needs = found.needs_with_margin if margin else found.needs
    assert needs is not None
    return float({
        "cpu": needs.cpu_mark if marks else needs.cpu_cores, "ram": needs.ram_bytes, "network": needs.network_bps,
        "disk": needs.disk_bytes,
    }[resource])  # fmt: skip


def _has(found: Answer, resource: str, marks: bool) -> float | None:
    have = found.machine.have(resource)
    if have is None:
        return None
    return float(have if resource != "cpu" or marks else have / found.load.mark_per_core)


def _capacity(found: Sweep, step: int) -> list[Panel]:
    log = found.range.logarithmic
    titles = {"cpu": "by CPU", "ram": "by RAM", "network": "by network", "disk": "by disk"}
    lines = []
    for resource in RESOURCES:
        each = tuple(_limit(a, resource) for a in found.answers)
        if any(v is not None for v in each):
            lines.append(Line(titles[resource], each))
    panels = []
    if lines:
        if len(lines) > 1:
            carried = tuple(None if (c := a.capacity) is None or c.viewers is None else float(c.viewers)
                            for a in found.answers)  # fmt: skip
            lines.append(Line(CARRIED, carried))
        panels.append(_viewers_panel(lines, step, log))
    hours = tuple(_hours(a) for a in found.answers)
    known = [h for h in hours if h is not None]
    if known and (len(set(known)) > 1 or not panels):
        y = scale(known, "", step, logarithmic=log)
        panels.append(Panel("Hours of recordings", "", "", y, (Line("hours", hours),)))
    return panels


def _viewers_panel(lines: list[Line], step: int, log: bool) -> Panel:
    """Resources that are never near the bottleneck would flatten the rest; they are told in words."""
    best = max((v for v in lines[-1].values if v is not None), default=0.0)
    near = [line for line in lines if _smallest(line) <= FAR * max(best, 1)]
    far = [line.name.removeprefix("by ") for line in lines if line not in near]
    values = [v for line in near for v in line.values if v is not None and (log or v <= 2 * FAR * best)]
    note = f"{', '.join(far)}: more than {FAR} times as many" if far else ""
    if len(near) == 2:
        near = near[:1]  # One resource and what is carried are the same line.
    return Panel("Viewers", note, "", scale(values or [0.0], "", step, logarithmic=log), tuple(near))


def _smallest(line: Line) -> float:
    return min(v for v in line.values if v is not None)


def _limit(found: Answer, resource: str) -> float | None:
    most = found.capacity.by_resource.get(resource) if found.capacity else None
    return None if most is None else float(most)


def _hours(found: Answer) -> float | None:
    hours = found.capacity.record_hours if found.capacity else None
    return None if hours is None else float(hours)


def scale(values: list[float], unit: str, step: int, *, logarithmic: bool, from_zero: bool = True) -> Scale:
    """An axis that holds the values, with four to eight ticks. Linear ones of heights begin at 0."""
    low, high = min(values), max(values)
    if logarithmic and low > TINY and high > low and (not from_zero or high / low >= WIDE):
        return _log_scale(low, high, unit, step, exact=not from_zero)
    return _linear_scale(0.0 if from_zero else low, high, unit, step, exact=not from_zero)


def _log_scale(low: float, high: float, unit: str, step: int, *, exact: bool) -> Scale:
    first, last = floor(log10(low)), ceil(log10(high))
    digits = (1,) if last - first > 4 else (1, 3) if last - first > 2 else (1, 2, 5)
    ticks = [d * 10.0**e for e in range(first, last + 1) for d in digits]
    if exact:
        ticks = _with_ends([t for t in ticks if low * 0.999 <= t <= high * 1.001], low, high, log10)
    else:
        low = max(t for t in [10.0**first, *ticks] if t <= low)
        high = min(t for t in [*ticks, 10.0**last] if t >= high)
        ticks = [t for t in ticks if low <= t <= high]
    return Scale(low, high, True, tuple((t, _label(t, unit, step)) for t in ticks))


def _with_ends(ticks: list[float], low: float, high: float, place: Callable[[float], float]) -> list[float]:
    """Both ends of a range are labelled; ticks that would run into them are not."""
    room = (place(high) - place(low)) * END_ROOM
    inner = [t for t in ticks if place(t) - place(low) >= room and place(high) - place(t) >= room]
    return [low, *inner, high]


def _linear_scale(low: float, high: float, unit: str, step: int, *, exact: bool) -> Scale:
    if high - low <= 1e-9 * max(high, 1.0):
        high = low + max(low / 10, 1.0)
    # Steps are round in the unit of the labels: 500 MiB, not 524.3 MB.
    power = 0
    while unit and step ** (power + 1) <= high and power < 5:
        power += 1
    whole = float(step**power)
    rough = (high - low) / whole / 5
    base = 10.0 ** floor(log10(rough))
    each = next(d * base for d in (1, 2, 2.5, 5, 10) if d * base >= rough * 0.999) * whole
    if not exact:
        low, high = floor(low / each) * each, ceil(high / each * 0.9999) * each
    begin = ceil(low / each - 1e-6) * each
    ticks = [begin + i * each for i in range(floor((high - begin) / each + 1e-6) + 1)]
    if exact:
        ticks = _with_ends(ticks, low, high, float)
    return Scale(low, high, False, tuple((t, _label(t, unit, step)) for t in ticks))


def _label(value: float, unit: str, step: int) -> str:
    if unit:
        return format_prefixed(Fraction(f"{value:.6g}") if step == 1000 else value, unit, step)
    if value >= 10**6:
        return format_prefixed(Fraction(f"{value:.6g}"), "").strip()
    return f"{value:,.6f}".rstrip("0").rstrip(".") if value < 100 else f"{value:,.0f}"
