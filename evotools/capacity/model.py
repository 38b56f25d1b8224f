"""The sums. A demand and a profile give a load: what is needed whoever watches, and what each viewer adds to it.

CPU is counted in CPU marks, memory and disk in bytes, the network in bits per second, all exactly. The formulas are
those of MistServer's calculators of March 2018 (its constants are the profile `mistserver-2018`), with more terms for
what differs between protocols.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

from evotools.capacity.coefficients import PROTOCOLS, Coefficient, Profile
from evotools.capacity.demand import Demand, Stream
from evotools.errors import UsageError

RESOURCES = ("cpu", "ram", "network", "disk")
MICRO = 10**6
MBIT = 10**6


class Ledger:
    """A profile that remembers which of its coefficients were used."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._used: dict[str, Coefficient] = {}

    def __call__(self, name: str) -> Fraction:
        found = self._profile.coefficients.get(name)
        if found is not None:
            self._used[name] = found
        return self._profile[name]

    def used(self) -> list[Coefficient]:
        """In the order of first use."""
        return list(self._used.values())


@dataclass(frozen=True, slots=True)
class Part:
    """One term of a sum."""

    resource: str
    """`cpu`, `ram`, `network_in`, `network_out` or `disk`."""
    label: str
    fixed: Fraction = Fraction(0)
    """Whoever watches: marks, bytes or bits per second."""
    per_viewer: Fraction = Fraction(0)

    def at(self, viewers: int) -> Fraction:
        """The term with so many viewers."""
        return self.fixed + viewers * self.per_viewer


@dataclass(frozen=True, slots=True)
class Load:
    """What a demand asks of a machine, as a function of the number of viewers."""

    parts: tuple[Part, ...]
    margins: dict[str, Fraction]
    """Percent, by resource."""
    mark_per_core: Fraction
    max_mark: Fraction | None
    """What one server can use of a CPU; None: all of it."""
    full_duplex: bool
    record_bps: Fraction
    """Bits that recordings add to the disk in a second, all recorded streams together; without any that are to be
    recorded, what it would be for all streams."""
    coefficients: list[Coefficient] = field(default_factory=list)
    """Those that were used."""

    def fixed(self, resource: str) -> Fraction:
        """The need for a resource without viewers."""
        return sum((p.fixed for p in self.parts if p.resource == resource), Fraction(0))

    def per_viewer(self, resource: str) -> Fraction:
        """What each viewer adds."""
        return sum((p.per_viewer for p in self.parts if p.resource == resource), Fraction(0))

    def needed(self, resource: str, viewers: int) -> Fraction:
        """The need for one of RESOURCES, without margin."""
        if resource != "network":
            return self.fixed(resource) + viewers * self.per_viewer(resource)
        ways = [self.fixed(way) + viewers * self.per_viewer(way) for way in ("network_in", "network_out")]
        return max(ways) if self.full_duplex else ways[0] + ways[1]

    def with_margin(self, resource: str, viewers: int) -> Fraction:
        """The need with its margin on top."""
        return self.needed(resource, viewers) * (1 + self.margins[resource] / 100)

    def usable(self, resource: str, have: Fraction) -> Fraction:
        """What the margin leaves of what a machine has and a server can use."""
        return self._reachable(resource, have) / (1 + self.margins[resource] / 100)

    def carries(self, resource: str, have: Fraction, viewers: int) -> bool:
        """Whether so much of a resource is enough for so many viewers, margin included."""
        return self.with_margin(resource, viewers) <= self._reachable(resource, have)

    def _reachable(self, resource: str, have: Fraction) -> Fraction:
        return have if resource != "cpu" or self.max_mark is None else min(have, self.max_mark)

    def most_viewers(self, resource: str, have: Fraction) -> int | None:
        """How many viewers the resource carries; None: any number. 0 also when it does not carry the streams."""
        usable = self.usable(resource, have)
        pairs = [(self.fixed(resource), self.per_viewer(resource))]
        if resource == "network":
            pairs = [(self.fixed(way), self.per_viewer(way)) for way in ("network_in", "network_out")]
            if not self.full_duplex:
                pairs = [(pairs[0][0] + pairs[1][0], pairs[0][1] + pairs[1][1])]
        found: int | None = None
        for fixed, each in pairs:
            if fixed > usable:
                return 0
            if each:
                most = int((usable - fixed) // each)
                found = most if found is None else min(found, most)
        return found


def load(demand: Demand, profile: Profile) -> Load:
    """The load of a demand by a profile's coefficients. Raises UsageError when the demand says too little."""
    k = Ledger(profile)
    if not demand.described:
        _check_without_rate(demand, profile)
    parts = [p for p in (*_cpu(demand, k), *_ram(demand, k), *_network(demand, k), *_disk(demand, k))
             if p.fixed or p.per_viewer]  # fmt: skip
    margins = {resource: k(f"margin_{resource}") for resource in RESOURCES}
    recorded = [s for s in demand.streams if s.record_s] or [s for s in demand.streams if s.renditions]
    record_bps = sum((s.count * _recorded_bps(s, k) for s in recorded), Fraction(0))
    max_mark = k("cpu_max_cores") * k("cpu_mark_per_core") or None
    return Load(
        tuple(parts), margins, k("cpu_mark_per_core"), max_mark, bool(k("full_duplex")), record_bps, k.used()
    )  # fmt: skip


def _check_without_rate(demand: Demand, profile: Profile) -> None:
    """Viewers of streams nobody described can be counted where nothing depends on their bit rate."""
    depending = [f"{name}.cpu_us_per_viewer_mbit" for name, _ in demand.deliver]
    if demand.publishers:
        depending.append("cpu_us_per_publisher_mbit")
    for name in depending:
        if profile[name]:
            raise UsageError(
                "the bit rate decides, and none is given", hint="say --bitrate 3M, --ladder, --stream or --from"
            )


def _cpu(demand: Demand, k: Ledger) -> Iterator[Part]:
    mark_per_us = k("cpu_mark_per_core") / MICRO
    each = k("cpu_per_connection")
    publishers = demand.publishers
    ingest_us = publishers * k("cpu_us_per_publisher") + demand.ingest_bps * k("cpu_us_per_publisher_mbit") / MBIT
    yield Part("cpu", "server", k("cpu_us_base") * mark_per_us)
    yield Part("cpu", "publishers", publishers * each + ingest_us * mark_per_us)
    view_mbit = demand.view_bps / MBIT
    for name, share in demand.deliver:
        us = k(f"{name}.cpu_us_per_viewer") + view_mbit * k(f"{name}.cpu_us_per_viewer_mbit")
        yield Part("cpu", f"viewers{_by(name)}", per_viewer=share * (each + us * mark_per_us))
    for name in _formed(demand):
        yield Part("cpu", f"streams as {name}", publishers * k(f"{name}.cpu_us_per_stream") * mark_per_us)


def _ram(demand: Demand, k: Ledger) -> Iterator[Part]:
    ingest = Fraction(demand.ingest_bps, 8)
    each = k("ram_per_connection")
    yield Part("ram", "server", k("ram_base"))
    yield Part("ram", "publishers", demand.publishers * (each + k("ram_per_publisher")))
    yield Part("ram", "media of the streams", ingest * (k("ram_windows") * demand.dvr_s + k("ram_s")))
    for name in _one_of_each_set([name for name, _ in demand.deliver]):
        seconds = k(f"{name}.ram_windows") * demand.dvr_s + k(f"{name}.ram_s")
        yield Part("ram", f"streams as {name}", ingest * seconds)
    for name in _one_of_each_set(list(demand.packages)):
        yield Part("ram", f"packaging {name}", ingest * k("package_s"))
    in_flight_s = k("ram_in_flight_s")
    for name, share in demand.deliver:
        yield Part("ram", f"viewers{_by(name)}", per_viewer=share * (each + k(f"{name}.ram_per_viewer")))
        if in_flight_s:
            sockets = wire_bps(demand.view_bps, name, k) / 8 * in_flight_s
            yield Part("ram", f"socket buffers{_by(name)}", per_viewer=share * sockets)


def _network(demand: Demand, k: Ledger) -> Iterator[Part]:
    ingest = demand.ingest_bps * (1 + k("ingest_percent") / 100) + demand.publishers * k("ingest_bps")
    yield Part("network_in", "publishers", ingest)
    for name, share in demand.deliver:
        wire = wire_bps(demand.view_bps, name, k) if demand.described else Fraction(0)
        yield Part("network_out", f"viewers{_by(name)}", per_viewer=share * wire)


def _disk(demand: Demand, k: Ledger) -> Iterator[Part]:
    recorded = sum((s.count * s.record_s * _recorded_bps(s, k) / 8 for s in demand.streams if s.record_s), Fraction(0))
    yield Part("disk", "recordings", recorded)
    for name in _one_of_each_set(list(demand.packages)):
        written = sum((s.count * _contained_bps(s, name, k) for s in demand.streams), Fraction(0))
        yield Part("disk", f"packaged {name}", written / 8 * k("package_windows") * demand.dvr_s)


def wire_bps(media_bps: Fraction, protocol: str, k: Ledger) -> Fraction:
    """Bits on the wire for one viewer of so much media."""
    contained = media_bps * (1 + k(f"{protocol}.container_percent") / 100) + k(f"{protocol}.container_bps")
    return contained * (1 + k(f"{protocol}.transport_percent") / 100) + k(f"{protocol}.transport_bps")


def _recorded_bps(stream: Stream, k: Ledger) -> Fraction:
    return stream.ingest_bps * (1 + k("record_percent") / 100) + len(stream.renditions) * k("record_bps")


def _contained_bps(stream: Stream, name: str, k: Ledger) -> Fraction:
    return (
        stream.ingest_bps * (1 + k(f"{name}.container_percent") / 100)
        + len(stream.renditions) * k(f"{name}.container_bps")
    )  # fmt: skip


def _one_of_each_set(names: list[str]) -> list[str]:
    """Of protocols that share their segments, the first; every other one."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(PROTOCOLS[name] or name, name)
    return list(first.values())


def _formed(demand: Demand) -> list[str]:
    """The forms that each stream is made into: by delivery and by packaging."""
    return _one_of_each_set([name for name, _ in demand.deliver] + list(demand.packages))


def _by(name: str) -> str:
    return "" if name == "any" else f" by {name}"


def ceil_cores(mark: Fraction, mark_per_core: Fraction) -> Fraction:
    """Cores for a CPU mark, rounded up to a thousandth."""
    return Fraction(ceil(mark / mark_per_core * 1000), 1000)
