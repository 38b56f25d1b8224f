"""One quantity over a range: `100..10000`, `1M..8M:500k`, `1..64x20`, and the answer at each point."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from evotools.capacity.answer import Answer, Machine, answer
from evotools.capacity.coefficients import Profile
from evotools.capacity.demand import Demand
from evotools.errors import UsageError

MAX_POINTS = 500
"""More cannot be told apart in any picture."""
LOG_POINTS = 13
LINEAR_POINTS = 11
LOG_FROM = 20
"""A range whose end is this many times its begin is looked at by factors."""

_RANGE = re.compile(r"(.+?)\.\.(.+?)(?:(:.*)|[x×](\d{1,6}))?", re.ASCII)


class Axis(NamedTuple):
    """What can be swept."""

    key: str
    """In JSON, with its unit."""
    unit: str
    """Behind a prefix, for people; empty for plain numbers."""
    title: str
    whole: bool = True
    of_machine: bool = False
    """A range of it asks what machines carry."""


AXES = {
    "--viewers": Axis("viewers", "", "viewers"),
    "--publishers": Axis("publishers", "", "publishers"),
    "--bitrate": Axis("bitrate_bps", "bit/s", "bit rate of a stream"),
    "--cpu-mark": Axis("cpu_mark", "", "CPU mark", whole=False, of_machine=True),
    "--cores": Axis("cpu_cores", "", "cores", whole=False, of_machine=True),
    "--ram": Axis("ram_bytes", "B", "memory", of_machine=True),
    "--link": Axis("link_bps", "bit/s", "link", of_machine=True),
    "--disk": Axis("disk_bytes", "B", "disk", of_machine=True),
}
"""By option."""


@dataclass(frozen=True, slots=True)
class Range:
    """The points of one axis."""

    option: str
    """A key of AXES."""
    values: tuple[Fraction, ...]
    """Rising; whole numbers except for cores and marks."""
    logarithmic: bool

    @property
    def axis(self) -> Axis:
        """What is swept."""
        return AXES[self.option]


@dataclass(frozen=True, slots=True)
class Sweep:
    """The answers along a range."""

    range: Range
    answers: tuple[Answer, ...]

    @property
    def of_capacity(self) -> bool:
        """Whether it asks what machines carry; else what viewers need."""
        return self.range.axis.of_machine or self.answers[0].needs is None


def is_range(text: str) -> bool:
    """Whether an option's value is a range."""
    return ".." in text


def parse_range(option: str, text: str, parse: Callable[[str], int | Fraction], scale: str = "auto") -> Range:
    """The points of `A..B`, `A..B:STEP` or `A..BxN`; `scale` is auto, linear or log. Raises UsageError."""
    match = _RANGE.fullmatch(text.strip())
    if not match:
        raise UsageError(f"{option}: '{text}' is not a range", hint="use A..B, A..B:STEP or A..BxPOINTS")
    low, high = Fraction(parse(match[1])), Fraction(parse(match[2]))
    if low >= high:
        raise UsageError(f"{option}: {text} does not rise", hint="put the smaller end first")
    logarithmic = scale == "log" or (scale == "auto" and not match[3] and bool(low) and high / low >= LOG_FROM)
    if logarithmic and not low:
        raise UsageError(f"{option}: a range from 0 has no logarithm", hint="begin above 0 or use --scale linear")
    if match[3]:
        step = Fraction(parse(match[3][1:]))
        if step <= 0 or (high - low) / step > MAX_POINTS:
            raise UsageError(f"{option}: {text} makes more than {MAX_POINTS} points", hint="use a larger step")
        values = [low + step * i for i in range(int((high - low) // step) + 1)]
        return Range(option, tuple(values if values[-1] == high else [*values, high]), logarithmic)
    points = int(match[4]) if match[4] else LOG_POINTS if logarithmic else LINEAR_POINTS
    if not 2 <= points <= MAX_POINTS:
        raise UsageError(f"{option}: {points} points cannot be drawn", hint=f"use 2 to {MAX_POINTS}")
    return Range(option, _spread(low, high, points, logarithmic, AXES[option].whole), logarithmic)


def _spread(low: Fraction, high: Fraction, points: int, logarithmic: bool, whole: bool) -> tuple[Fraction, ...]:
    """The ends as they are, between them round numbers, each once."""
    inner = []
    for i in range(1, points - 1):
        at = i / (points - 1)
        value = float(low) * float(high / low) ** at if logarithmic else float(low) + float(high - low) * at
        inner.append(_rounded(value, 2 if logarithmic else 3, whole))
    return tuple(sorted({low, high, *(v for v in inner if low < v < high)}))


def _rounded(value: float, digits: int, whole: bool) -> Fraction:
    short = Fraction(f"{value:.{digits - 1}e}")
    return Fraction(round(short)) if whole else short


def sweep(over: Range, demand: Demand, profile: Profile, machine: Machine) -> Sweep:
    """The answer at each point. Raises UsageError."""
    apply = _APPLY[over.option]
    answers = []
    for value in over.values:
        asked, on = apply(demand, machine, value, profile)
        answers.append(answer(asked, profile, on))
    return Sweep(over, tuple(answers))


_Applied = tuple[Demand, Machine]


def _viewers(demand: Demand, machine: Machine, value: Fraction, _: Profile) -> _Applied:
    return replace(demand, viewers=round(value)), machine


def _publishers(demand: Demand, machine: Machine, value: Fraction, _: Profile) -> _Applied:
    return demand.with_publishers(round(value)), machine


def _bitrate(demand: Demand, machine: Machine, value: Fraction, _: Profile) -> _Applied:
    return demand.with_bitrate(round(value)), machine


def _cpu_mark(demand: Demand, machine: Machine, value: Fraction, _: Profile) -> _Applied:
    return demand, replace(machine, cpu_mark=value)


def _cores(demand: Demand, machine: Machine, value: Fraction, profile: Profile) -> _Applied:
    return demand, replace(machine, cpu_mark=value * profile["cpu_mark_per_core"])


def _ram(demand: Demand, machine: Machine, value: Fraction, _: Profile) -> _Applied:
    return demand, replace(machine, ram_bytes=round(value))


def _link(demand: Demand, machine: Machine, value: Fraction, _: Profile) -> _Applied:
    return demand, replace(machine, link_bps=round(value))


def _disk(demand: Demand, machine: Machine, value: Fraction, _: Profile) -> _Applied:
    return demand, replace(machine, disk_bytes=round(value))


_APPLY: dict[str, Callable[[Demand, Machine, Fraction, Profile], _Applied]] = {
    "--viewers": _viewers, "--publishers": _publishers, "--bitrate": _bitrate, "--cpu-mark": _cpu_mark,
    "--cores": _cores, "--ram": _ram, "--link": _link, "--disk": _disk,
}  # fmt: skip
