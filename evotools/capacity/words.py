"""Answers as sections of text for people: figures with their units, the sums behind them, every coefficient."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from evotools.capacity.answer import Answer, Capacity, Needs
from evotools.capacity.coefficients import ORIGINS, Coefficient, format_value, plain_number
from evotools.capacity.demand import Stream
from evotools.capacity.document import used
from evotools.capacity.model import RESOURCES
from evotools.capacity.profiles import SERVED
from evotools.capacity.sweep import Axis, Sweep
from evotools.units import format_duration, format_prefixed

TITLES = {"cpu": "CPU", "ram": "RAM", "network": "network", "disk": "disk"}
WAYS = {**TITLES, "network_in": "network in", "network_out": "network out"}


@dataclass(frozen=True, slots=True)
class Section:
    """A titled table; the last column wraps. `right` names the columns that are numbers."""

    title: str
    rows: Sequence[tuple[str, ...]]
    header: tuple[str, ...] = ()
    right: frozenset[int] = frozenset()


class Speller:
    """Amounts in words, in steps of 1000 or 1024."""

    def __init__(self, step: int, per_core: Fraction, marks: bool) -> None:
        self._step = step
        self._per_core = per_core
        self._marks = marks

    def size(self, value: Fraction | int) -> str:
        """Bytes."""
        return format_prefixed(value, "B", self._step)

    def memory(self, value: Fraction | int) -> str:
        """Bytes, and as memory is sold."""
        text = self.size(value)
        if self._step == 1024 or value < 10**6:
            return text
        return f"{text} ({format_prefixed(value, 'B', 1024)})"

    def rate(self, value: Fraction | int) -> str:
        """Bits per second."""
        return format_prefixed(value, "bit/s", self._step)

    def cpu(self, mark: Fraction | int) -> str:
        """A CPU mark as the profile counts: marks, or time of cores."""
        if self._marks:
            return f"{plain_number(Fraction(round(mark * 10), 10))} marks"
        if not mark:
            return "0"
        cores = mark / self._per_core
        return f"{float(cores):,.2f} cores" if cores >= Fraction(1, 10) else f"{float(cores * 10**6):,.0f} µs/s"

    def amount(self, resource: str, value: Fraction | int) -> str:
        """Of a resource or a direction of the network."""
        kind = resource.partition("_")[0]
        return {"cpu": self.cpu, "ram": self.size, "network": self.rate, "disk": self.size}[kind](value)

    def on_axis(self, axis: Axis, value: Fraction) -> str:
        """A point of a sweep."""
        if axis.unit:
            return format_prefixed(value, axis.unit, self._step)
        return plain_number(value)


def speller(found: Answer, step: int) -> Speller:
    """For the units of one answer."""
    return Speller(step, found.load.mark_per_core, bool(found.profile["cpu_per_connection"]))


def of_answer(found: Answer, step: int, notes: list[str]) -> list[Section]:
    """The whole report."""
    spell = speller(found, step)
    sections = [_asked(found, spell)]
    if found.needs is not None and found.needs_with_margin is not None:
        sections.append(_requirements(found, found.needs, found.needs_with_margin, spell))
    if found.capacity is not None:
        sections += _capacity(found, found.capacity, spell)
    sections.append(_sums(found, spell))
    return [*sections, *_tail(found.load.coefficients, step, notes)]


def of_sweep(found: Sweep, step: int) -> list[Section]:
    """What was asked, and a row for each point. The plot stands between this and `after_sweep`."""
    first = found.answers[0]
    spell = speller(first, step)
    rows = _capacity_rows(found, spell) if found.of_capacity else _need_rows(found, spell)
    title = "Capacity" if found.of_capacity else "Requirements, margins included"
    header, *body = rows
    table = Section(title, body, header, frozenset(range(len(header) - (1 if found.answers[0].capacity else 0))))
    return [_asked(first, spell, found.range.option), table]


def after_sweep(found: Sweep, step: int, notes: list[str]) -> list[Section]:
    """Coefficients and notes."""
    return _tail(used(found.answers), step, notes)


def subtitle(found: Sweep, step: int) -> str:
    """What was asked, on one line, for a picture."""
    first, swept = found.answers[0], found.range.option
    rows = _asked(first, speller(first, step), swept).rows
    told = {
        "streams": "",
        "viewers": "viewers ",
        "DVR window": "window ",
        "packaged": "packaged ",
        "profile": "profile ",
    }
    streams = [text for name, text in rows if name in ("streams", "")]
    parts = ["; ".join(streams[:3]) + (" …" if len(streams) > 3 else "")] if streams else []
    for name, text in rows:
        if name == "profile":
            text = first.profile.name
        if name not in ("streams", ""):
            parts.append(told[name] + text)
    return " · ".join(parts)


def _asked(found: Answer, spell: Speller, swept: str = "") -> Section:
    demand = found.demand
    rows = [("" if number else "streams", _stream(s, spell, swept)) for number, s in enumerate(demand.streams[:20])]
    if len(demand.streams) > 20:
        rows.append(("", f"and {len(demand.streams) - 20} more kinds"))
    mix = ", ".join(f"{name} {plain_number(share * 100)} %" for name, share in demand.deliver)
    mix = "" if mix == "any 100 %" else mix
    who = None if found.viewers is None or swept == "--viewers" else f"{found.viewers:,}"
    rate = f"{spell.rate(demand.view_bps)} each" if demand.streams and swept != "--bitrate" else ""
    if len(demand.streams) > 1 or (demand.streams and len(demand.streams[0].renditions) > 1):
        rate += " on average"
    rows.append(("viewers", ", ".join(x for x in (who, rate, mix) if x)))
    if demand.streams and (found.profile["ram_windows"] or demand.packages or _windowed(found)):
        rows.append(("DVR window", _time(demand.dvr_s)))
    if demand.packages:
        rows.append(("packaged", ", ".join(demand.packages)))
    rows.append(("profile", f"{found.profile.name}: {found.profile.title}"))
    return Section("Asked", [r for r in rows if r[1]])


def _windowed(found: Answer) -> bool:
    return any(found.profile[f"{name}.ram_windows"] for name, _ in found.demand.deliver)


def _stream(stream: Stream, spell: Speller, swept: str) -> str:
    rates = " + ".join(spell.rate(r.bitrate_bps) for r in stream.renditions) if swept != "--bitrate" else stream.origin
    parts = [rates if swept == "--publishers" else f"{stream.count:,} × {rates}"]
    if len({r.share for r in stream.renditions}) > 1:
        parts.append("viewers " + " / ".join(f"{plain_number(r.share * 100)} %" for r in stream.renditions))
    if stream.viewers is not None:
        parts.append(f"{stream.viewers:,} viewers")
    if stream.record_s:
        parts.append(f"recorded for {_time(stream.record_s)}")
    if stream.origin and not stream.origin.startswith("--"):
        parts.append(f"as {stream.origin}")
    return ", ".join(parts)


def _time(seconds: Fraction) -> str:
    text = format_duration(float(seconds))
    return text.replace(".000 s", " s")


def _network(needs: Needs, spell: Speller) -> str:
    return f"{spell.rate(needs.network_out_bps)} out, {spell.rate(needs.network_in_bps)} in"


def _requirements(found: Answer, bare: Needs, full: Needs, spell: Speller) -> Section:
    def both(needs: Needs) -> str:
        return f"{float(needs.cpu_cores):,.2f} cores, CPU mark {needs.cpu_mark:,}"

    margins = {r: f"+{plain_number(m)} %" for r, m in found.load.margins.items()}
    rows = [
        ("CPU", both(bare), both(full), margins["cpu"]),
        ("RAM", spell.memory(bare.ram_bytes), spell.memory(full.ram_bytes), margins["ram"]),
        ("network", _network(bare, spell), _network(full, spell), margins["network"]),
    ]
    if not found.load.full_duplex:
        rows.append(("", f"{spell.rate(bare.network_bps)} together", f"{spell.rate(full.network_bps)} together", ""))
    if bare.disk_bytes:
        rows.append(("disk", spell.size(bare.disk_bytes), spell.size(full.disk_bytes), margins["disk"]))
    elif found.load.record_bps:
        hour = found.load.record_bps * 450
        rows.append(("disk", "nothing", f"{spell.size(hour)} for each hour of recordings", ""))
    return Section("Requirements", rows, ("", "needed", "with margin", ""))


def _capacity(found: Answer, capacity: Capacity, spell: Speller) -> list[Section]:
    rows = []
    load = found.load
    for resource in found.machine.known:
        have = found.machine.have(resource)
        assert have is not None
        most = capacity.by_resource[resource]
        rows.append((
            TITLES[resource], spell.amount(resource, have), spell.amount(resource, load.usable(resource, have)),
            spell.amount(resource, load.needed(resource, 0)),
            "no matter" if most is None else f"{most:,}",
            "runs out first" if resource == capacity.bottleneck else "",
        ))  # fmt: skip
    header = ("", "has", "usable", "streams alone", "viewers", "")
    table = Section("Capacity", rows, header, frozenset({1, 2, 3, 4}))
    return [table, Section("", _verdict(found, capacity))]


def _verdict(found: Answer, capacity: Capacity) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    if capacity.bottleneck is not None:
        rows.append(("viewers", f"{capacity.viewers:,} at most; {TITLES[capacity.bottleneck]} runs out first"))
    if capacity.record_hours is not None:
        recorded = sum(s.count for s in found.demand.streams if s.record_s) or found.demand.publishers
        which = "the recording" if recorded == 1 else f"all {recorded:,} recordings at once"
        rows.append(("recordings", f"{float(capacity.record_hours):,.1f} hours of {which}"))
    if capacity.short or found.viewers is not None:
        rows.append(("verdict", shortage(found) or f"{found.viewers:,} viewers fit"))
    return rows


def shortage(found: Answer) -> str:
    """What does not fit, in a sentence; empty when all does."""
    if found.capacity is None or not found.capacity.short:
        return ""
    names = ", ".join(TITLES[r] for r in found.capacity.short)
    who = f"{found.viewers:,} viewers" if found.viewers else "the streams and recordings alone"
    verb = "do" if len(found.capacity.short) > 1 else "does"
    return f"{names} {verb} not carry {who}"


def _sums(found: Answer, spell: Speller) -> Section:
    rows = []
    last = ""
    for part in sorted(found.load.parts, key=lambda p: list(WAYS).index(p.resource)):
        row = [WAYS[part.resource] if part.resource != last else "", part.label,
               spell.amount(part.resource, part.fixed) if part.fixed else "",
               spell.amount(part.resource, part.per_viewer) if part.per_viewer else ""]  # fmt: skip
        if found.viewers is not None:
            row.append(spell.amount(part.resource, part.at(found.viewers)))
        last = part.resource
        rows.append(tuple(row))
    together = () if found.viewers is None else ("together",)
    header = ("", "", "streams alone", "each viewer", *together)
    return Section("How it adds up, without margins", rows, header, frozenset({2, 3, 4}))


def _tail(coefficients: list[Coefficient], step: int, notes: list[str]) -> list[Section]:
    shown = [c for c in coefficients if c.value]
    rows = [(c.name, format_value(c, step), c.origin, c.source) for c in shown]
    counts = Counter(c.origin for c in shown)
    legend = [(f"{counts[origin]} {origin}", meaning) for origin, meaning in ORIGINS.items() if counts[origin]]
    sections = [
        Section("Coefficients", rows, ("", "value", "origin", "source"), frozenset({1})),
        Section("", legend),
    ]
    return sections + ([Section("Notes", [(note,) for note in notes])] if notes else [])


def notes_on(found: Answer, step: int) -> list[str]:
    """What a reader of the figures should know."""
    notes = []
    if step == 1024:
        notes.append(
            "--binary: k, M and G count in steps of 1024 everywhere, bits included, as the source document does."
        )
    if any(len(s.renditions) > 1 for s in found.demand.streams):
        notes.append("All renditions come from the publishers; transcoding on this machine is not counted.")
    ways = [name for name, _ in found.demand.deliver] + list(found.demand.packages)
    if found.profile["hls.cpu_us_per_viewer"]:
        absent = [name for name, _ in found.demand.deliver if name not in SERVED]
        if absent:
            notes.append(
                f"evotools serve does not deliver {', '.join(absent)} yet; the figures are not of the program."
            )
    if ways != ["any"] and not any(value for name, value in _of_ways(found, ways)):
        notes.append(f"The profile {found.profile.name} makes no difference between ways of delivery.")
    limit, have = found.load.max_mark, found.machine.cpu_mark
    cores = plain_number(found.profile["cpu_max_cores"])
    if limit is not None and have is not None and have > limit:
        notes.append(
            f"One server uses {cores} of the cores; cpu_max_cores=0 counts them all, for servers side by side."
        )
    elif limit is not None and found.needs_with_margin is not None and found.needs_with_margin.cpu_mark > limit:
        servers = ceil(found.needs_with_margin.cpu_mark / limit)
        notes.append(f"One server uses {cores} of the cores: this takes {servers} of them.")
    if found.capacity is not None and found.capacity.viewers is None:
        notes.append("Nothing that was said of the machine limits the viewers.")
    return notes


def _of_ways(found: Answer, ways: list[str]) -> list[tuple[str, Fraction]]:
    return [(n, c.value) for n, c in found.profile.coefficients.items() if n.partition(".")[0] in ways]


def _need_rows(found: Sweep, spell: Speller) -> list[tuple[str, ...]]:
    axis = found.range.axis
    disk = any(a.needs and a.needs.disk_bytes for a in found.answers)
    judged = found.answers[0].capacity is not None
    header = [axis.title, "cores", "CPU mark", "RAM", "network out", "network in"]
    rows = [tuple(header + ["disk"] * disk + [""] * judged)]
    for value, one in zip(found.range.values, found.answers, strict=True):
        full = one.needs_with_margin
        assert full is not None
        row = [spell.on_axis(axis, value), f"{float(full.cpu_cores):,.2f}", f"{full.cpu_mark:,}",
               spell.size(full.ram_bytes), spell.rate(full.network_out_bps),
               spell.rate(full.network_in_bps)]  # fmt: skip
        if disk:
            row.append(spell.size(full.disk_bytes))
        if judged:
            assert one.capacity is not None
            row.append(", ".join(f"{TITLES[r]} short" for r in one.capacity.short) or "fits")
        rows.append(tuple(row))
    return rows


def _capacity_rows(found: Sweep, spell: Speller) -> list[tuple[str, ...]]:
    axis = found.range.axis
    known = [r for r in RESOURCES
             if any(a.capacity and a.capacity.by_resource.get(r) is not None for a in found.answers)]  # fmt: skip
    hours = any(a.capacity and a.capacity.record_hours is not None for a in found.answers)
    rows: list[tuple[str, ...]] = [
        (axis.title, *(f"{TITLES[r]} carries" for r in known), "viewers", *(["hours"] * hours), "runs out first")
    ]
    for value, one in zip(found.range.values, found.answers, strict=True):
        assert one.capacity is not None
        each = ["–" if (most := one.capacity.by_resource[r]) is None else f"{most:,}" for r in known]
        viewers = "–" if one.capacity.viewers is None else f"{one.capacity.viewers:,}"
        time = [f"{float(one.capacity.record_hours):,.1f}"] if one.capacity.record_hours is not None else [""] * hours
        first = TITLES[one.capacity.bottleneck] if one.capacity.bottleneck else ""
        rows.append((spell.on_axis(axis, value), *each, viewers, *time, first))
    return rows
