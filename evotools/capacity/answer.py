"""Both questions asked of a load: what does it need, and how many viewers does a given machine carry."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from evotools.capacity.coefficients import Profile
from evotools.capacity.demand import Demand
from evotools.capacity.model import RESOURCES, Load, ceil_cores, load
from evotools.errors import UsageError

MAX_SIZE = 10**18
"""Memory or disk of one machine: an exabyte."""
MAX_LINK_BPS = 10**15
MAX_MARK = Fraction(10**9)
"""The fastest processors of 2026 score some 200,000."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine has; None where nobody said."""

    cpu_mark: Fraction | None = None
    ram_bytes: int | None = None
    link_bps: int | None = None
    disk_bytes: int | None = None

    def have(self, resource: str) -> Fraction | None:
        """Of one of RESOURCES: CPU mark, bytes or bits per second."""
        found = {"cpu": self.cpu_mark, "ram": self.ram_bytes, "network": self.link_bps, "disk": self.disk_bytes}
        value = found[resource]
        return None if value is None else Fraction(value)

    @property
    def known(self) -> list[str]:
        """The resources that were said."""
        return [r for r in RESOURCES if self.have(r) is not None]


@dataclass(frozen=True, slots=True)
class Needs:
    """Requirements, rounded up: marks, bytes, bits per second."""

    cpu_mark: int
    cpu_cores: Fraction
    """In thousandths."""
    ram_bytes: int
    network_bps: int
    """Of the link: the busier direction of a full-duplex one, else both."""
    network_in_bps: int
    network_out_bps: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a machine carries."""

    viewers: int | None
    """At most; None: nothing that was said limits them."""
    by_resource: dict[str, int | None]
    bottleneck: str | None
    """The first resource that runs out."""
    record_hours: Fraction | None
    """How long the disk takes all recordings at once."""
    short: tuple[str, ...]
    """Resources that do not carry the viewers asked for, or, with none, the streams and recordings alone."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything that a report tells."""

    demand: Demand
    profile: Profile
    load: Load
    viewers: int | None
    """Asked for."""
    machine: Machine
    needs: Needs | None
    """Without margin; None when nobody said how many viewers."""
    needs_with_margin: Needs | None
    capacity: Capacity | None
    """None when nothing was said of a machine."""


def answer(demand: Demand, profile: Profile, machine: Machine) -> Answer:
    """Requirements where viewers are known, capacity where a machine is. Raises UsageError when neither is."""
    viewers = demand.total_viewers
    if viewers is None and not machine.known:
        raise UsageError(
            "how many viewers, or on what machine?",
            hint="say --viewers 5000 (or 0) for what is needed, or --cores, --ram, --link, --disk for what they carry",
        )
    if not demand.described and set(machine.known) - {"cpu"}:
        raise UsageError(
            "memory, network and disk depend on the bit rate", hint="say --bitrate 3M, --ladder, --stream or --from"
        )
    if not demand.described and viewers is not None and not machine.known:
        raise UsageError("no bit rate", hint="say --bitrate 3M, --ladder, --stream or --from")
    total = load(demand, profile)
    bare = full = None
    if viewers is not None:
        bare, full = needs(total, viewers, margin=False), needs(total, viewers, margin=True)
    found = capacity(total, machine, viewers) if machine.known else None
    return Answer(demand, profile, total, viewers, machine, bare, full, found)


def needs(total: Load, viewers: int, *, margin: bool) -> Needs:
    """Requirements of so many viewers, rounded up."""

    def amount(resource: str) -> Fraction:
        return total.with_margin(resource, viewers) if margin else total.needed(resource, viewers)

    factor = 1 + total.margins["network"] / 100 if margin else Fraction(1)
    ways = {way: total.fixed(way) + viewers * total.per_viewer(way) for way in ("network_in", "network_out")}
    return Needs(
        cpu_mark=ceil(amount("cpu")),
        cpu_cores=ceil_cores(amount("cpu"), total.mark_per_core),
        ram_bytes=ceil(amount("ram")),
        network_bps=ceil(amount("network")),
        network_in_bps=ceil(ways["network_in"] * factor),
        network_out_bps=ceil(ways["network_out"] * factor),
        disk_bytes=ceil(amount("disk")),
    )


def capacity(total: Load, machine: Machine, asked: int | None = None) -> Capacity:
    """How many viewers the machine carries, and what stops it."""
    by_resource: dict[str, int | None] = {}
    short = []
    for resource in machine.known:
        have = machine.have(resource)
        assert have is not None
        by_resource[resource] = total.most_viewers(resource, have)
        if not total.carries(resource, have, asked or 0):
            short.append(resource)
    limits = {r: n for r, n in by_resource.items() if n is not None}
    bottleneck = min(limits, key=lambda r: limits[r]) if limits else None
    return Capacity(
        viewers=limits[bottleneck] if bottleneck else None,
        by_resource=by_resource,
        bottleneck=bottleneck,
        record_hours=_hours(total, machine),
        short=tuple(short),
    )


def _hours(total: Load, machine: Machine) -> Fraction | None:
    """Hours that the disk lasts beside what is packaged to it."""
    if machine.disk_bytes is None or not total.record_bps:
        return None
    packaged = sum(p.fixed for p in total.parts if p.resource == "disk" and p.label != "recordings")
    room = total.usable("disk", Fraction(machine.disk_bytes)) - packaged
    return max(room, Fraction(0)) * 8 / total.record_bps / 3600
