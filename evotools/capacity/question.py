"""A question as people type it – options as texts – and what it asks: a demand, a machine, a range."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TypeVar

from evotools.capacity.answer import MAX_LINK_BPS, MAX_MARK, MAX_SIZE, Machine
from evotools.capacity.coefficients import Coefficient, Profile, check_name, parse_value
from evotools.capacity.demand import (
    MAX_STREAMS,
    Demand,
    Rendition,
    Stream,
    check_duration,
    check_publishers,
    check_rate,
    check_viewers,
    parse_deliver,
    parse_ladder,
    parse_packages,
    parse_stream,
)  # fmt: skip
from evotools.capacity.model import RESOURCES
from evotools.capacity.sweep import AXES, Range, is_range, parse_range
from evotools.errors import UsageError
from evotools.units import parse_percent, parse_rate, parse_size

T = TypeVar("T")

SCALES = ("auto", "linear", "log")
MAX_MARGIN = 10_000
"""Percent: a machine a hundred times too large."""
MAX_CORES = 10**6


@dataclass(slots=True)
class Question:
    """The options; an empty text was not given."""

    publishers: str = ""
    viewers: str = ""
    bitrate: str = ""
    ladder: str = ""
    streams: tuple[str, ...] = ()
    reports: tuple[Stream, ...] = ()
    """Out of the files of --from."""
    record: str = ""
    dvr: str = ""
    deliver: str = ""
    package: str = ""
    cpu_mark: str = ""
    cores: str = ""
    ram: str = ""
    link: str = ""
    disk: str = ""
    scale: str = "auto"
    step: int = 1000
    """What k, M and G mean."""
    constants: dict[str, str] = field(default_factory=dict)
    """Coefficients by name, from options of their own and from --set; MARGIN sets four at once."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question asks."""

    demand: Demand
    machine: Machine
    profile: Profile
    range: Range | None


MARGIN = "margin"
"""In `Question.constants`: every margin."""


def read(question: Question, profile: Profile) -> Asked:
    """The question over a profile. Raises UsageError naming the option."""
    profile = with_constants(question, profile)
    if question.scale not in SCALES:
        raise UsageError(f"--scale cannot be '{question.scale}'", hint=f"use {', '.join(SCALES)}")
    over = _range(question, profile)
    if over is not None:
        question = replace(question)
        setattr(question, _attribute(over.option), "")
    demand = _demand(question, profile, over)
    return Asked(demand, _machine(question, profile), profile, over)


def with_constants(question: Question, profile: Profile) -> Profile:
    """The profile with the constants that were given on the command line. Raises UsageError."""
    values = {}
    for name, text in question.constants.items():
        if name == MARGIN:
            _named("--margin", parse_percent, text)
        names = [f"margin_{resource}" for resource in RESOURCES] if name == MARGIN else [check_name(name)]
        for one in names:
            value = parse_value(one, text, question.step)
            if one.startswith("margin_") and value > MAX_MARGIN:
                raise UsageError(f"{one}: {text} is more than {MAX_MARGIN} %")
            values[one] = Coefficient(one, value, "given", "command line")
    return profile.with_values(values)


def _named(option: str, parse: Callable[[str], T], text: str) -> T:
    """Parse an option's text; errors begin with the option."""
    try:
        return parse(text)
    except UsageError as error:
        message = error.message if error.message.startswith("--") else f"{option}: {error.message}"
        raise UsageError(message, hint=error.hint) from None


def _parsers(question: Question) -> dict[str, Callable[[str], int | Fraction]]:
    """How the options that can be swept are read."""
    step = question.step
    return {
        "--viewers": check_viewers,
        "--publishers": check_publishers,
        "--bitrate": lambda text: check_rate(text, step),
        "--cpu-mark": lambda text: _positive(parse_value("cpu_per_connection", text), MAX_MARK, text),
        "--cores": lambda text: _positive(parse_value("cpu_per_connection", text), Fraction(MAX_CORES), text),
        "--ram": lambda text: _positive(parse_size(text, step), MAX_SIZE, text),
        "--link": lambda text: _positive(parse_rate(text, step), MAX_LINK_BPS, text),
        "--disk": lambda text: _positive(parse_size(text, step), MAX_SIZE, text),
    }


N = TypeVar("N", int, Fraction)


def _positive(value: N, most: N, text: str) -> N:
    if not 0 < value <= most:
        raise UsageError(f"{text} is no size of a machine")
    return value


def _texts(question: Question) -> dict[str, str]:
    """The texts of the options that can be swept."""
    return {option: getattr(question, _attribute(option)) for option in AXES}


def _attribute(option: str) -> str:
    return option[2:].replace("-", "_")


def _range(question: Question, profile: Profile) -> Range | None:
    swept = {option: text for option, text in _texts(question).items() if is_range(text)}
    if not swept:
        if question.scale != "auto":
            raise UsageError("--scale needs a range", hint="such as --viewers 100..10000")
        return None
    if len(swept) > 1:
        raise UsageError(f"{' and '.join(swept)}: one range at a time")
    (option, text), *_ = swept.items()
    parse = _parsers(question)[option]

    def one(part: str) -> int | Fraction:
        return _named(option, parse, part)

    found = parse_range(option, text, one, question.scale)
    one_kind = bool(question.bitrate or question.ladder) and not question.streams and not question.reports
    if option == "--publishers" and not one_kind:
        raise UsageError("a range of --publishers needs one kind of stream", hint="say --bitrate 3M or --ladder")
    if option == "--bitrate" and (question.ladder or question.streams or question.reports):
        raise UsageError("a range of --bitrate goes with no other description of streams")
    return found


def _demand(question: Question, profile: Profile, over: Range | None) -> Demand:
    swept = over.option if over else ""
    streams = _streams(question, swept, over)
    viewers = _named("--viewers", check_viewers, question.viewers) if question.viewers else None
    if swept == "--viewers" and over is not None:
        viewers = int(over.values[0])
    if viewers is not None and streams and all(s.viewers is not None for s in streams):
        raise UsageError("--viewers: every --stream has viewers of its own", hint="leave it out, or xN of one stream")
    dvr_s = _named("--dvr", check_duration, question.dvr) if question.dvr else profile["dvr"]
    deliver = question.deliver or profile.deliver
    return Demand(
        streams=streams,
        viewers=viewers,
        deliver=_named("--deliver", lambda text: parse_deliver(text, profile.protocols()), deliver),
        packages=_named("--package", parse_packages, question.package) if question.package else (),
        dvr_s=dvr_s,
    )


def _streams(question: Question, swept: str, over: Range | None) -> tuple[Stream, ...]:
    step = question.step
    if question.ladder and (question.bitrate or swept == "--bitrate"):
        raise UsageError("--ladder and --bitrate both describe the stream", hint="--ladder alone lists all renditions")
    count = _named("--publishers", check_publishers, question.publishers) if question.publishers else None
    if swept == "--publishers" and over is not None:
        count = int(over.values[0])
    streams: list[Stream] = []
    described = True
    if question.ladder:
        renditions = _named("--ladder", lambda text: parse_ladder(text, step), question.ladder)
        streams.append(Stream(renditions, 1 if count is None else count, origin="--ladder"))
    elif question.bitrate or swept == "--bitrate":
        rate = int(over.values[0]) if over is not None and swept == "--bitrate" else 0
        rate = rate or _named("--bitrate", lambda text: check_rate(text, step), question.bitrate)
        streams.append(Stream((Rendition(rate, Fraction(1)),), 1 if count is None else count, origin="--bitrate"))
    elif count is not None and len(question.reports) == 1 and not question.streams:
        return _recorded(question, (replace(question.reports[0], count=count),))
    elif count is not None and not question.reports and not question.streams:
        # Their bit rate matters only where memory, network or disk are asked for.
        streams.append(Stream((), count, origin="--publishers"))
        described = False
    elif count is not None:
        raise UsageError("--publishers: of which stream?", hint="say --bitrate, or one --from")
    streams += question.reports
    streams += [_named("--stream", lambda text: parse_stream(text, step), text) for text in question.streams]
    if len(streams) > MAX_STREAMS:
        raise UsageError(f"more than {MAX_STREAMS} kinds of stream")
    return _recorded(question, tuple(streams)) if described else tuple(streams)


def _recorded(question: Question, streams: tuple[Stream, ...]) -> tuple[Stream, ...]:
    """--record holds for every stream without a time of its own."""
    if not question.record:
        return streams
    record_s = _named("--record", check_duration, question.record)
    return tuple(s if s.record_s else replace(s, record_s=record_s) for s in streams)


def _machine(question: Question, profile: Profile) -> Machine:
    if question.cpu_mark and question.cores:
        raise UsageError("--cpu-mark and --cores say the same", hint="choose one")
    parsers = _parsers(question)

    def given(option: str, text: str) -> int | Fraction | None:
        return _named(option, parsers[option], text) if text else None

    cores, mark = given("--cores", question.cores), given("--cpu-mark", question.cpu_mark)
    ram, link, disk = (given(o, t) for o, t in (("--ram", question.ram), ("--link", question.link),
                                                ("--disk", question.disk)))  # fmt: skip
    return Machine(
        cpu_mark=Fraction(mark) if mark is not None else cores * profile["cpu_mark_per_core"] if cores else None,
        ram_bytes=None if ram is None else int(ram),
        link_bps=None if link is None else int(link),
        disk_bytes=None if disk is None else int(disk),
    )
