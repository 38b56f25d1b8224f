"""Answers as JSON documents: numbers are numbers, units stand in the names. Schema `evotools.calc-hardware/1`."""

from collections.abc import Iterable
from fractions import Fraction
from math import ceil, floor
from typing import Any

from evotools.capacity.answer import Answer, Capacity, Machine, Needs
from evotools.capacity.coefficients import NAMES, Coefficient
from evotools.capacity.demand import Demand
from evotools.capacity.model import RESOURCES, Load
from evotools.capacity.sweep import Sweep

SCHEMA = "evotools.calc-hardware/1"


def of_answer(found: Answer, step: int, notes: list[str]) -> dict[str, Any]:
    """One answer: `requirements` where viewers were asked for, `capacity` where a machine was given."""
    document: dict[str, Any] = {
        "schema": SCHEMA, "kind": "capacity" if found.needs is None else "requirements",
        **_question(found, step), "viewers": found.viewers,
    }  # fmt: skip
    document["requirements"] = _requirements(found)
    document["capacity"] = _capacity(found.capacity, found.machine, found.load)
    document["parts"] = _parts(found)
    document["coefficients"] = [_coefficient(c) for c in found.load.coefficients]
    document["notes"] = notes
    return document


def of_sweep(found: Sweep, step: int, notes: list[str]) -> dict[str, Any]:
    """The answers along a range, and every coefficient that any of them used."""
    first, axis = found.answers[0], found.range.axis
    points = [
        {axis.key: number(value), "viewers": one.viewers, "requirements": _requirements(one),
         "capacity": _capacity(one.capacity, one.machine, one.load)}
        for value, one in zip(found.range.values, found.answers, strict=True)
    ]  # fmt: skip
    return {
        "schema": SCHEMA, "kind": "sweep", **_question(first, step),
        "sweep": {
            "over": axis.key, "of": "capacity" if found.of_capacity else "requirements",
            "scale": "log" if found.range.logarithmic else "linear", "points": points,
        },
        "coefficients": [_coefficient(c) for c in used(found.answers)], "notes": notes,
    }  # fmt: skip


def used(answers: Iterable[Answer]) -> list[Coefficient]:
    """Every coefficient that any of the answers used, once."""
    return list({c.name: c for one in answers for c in one.load.coefficients}.values())


def number(value: Fraction | int) -> int | float:
    """An integer where it is one, else the nearest float."""
    exact = Fraction(value)
    return int(exact) if exact.denominator == 1 else float(exact)


def _question(found: Answer, step: int) -> dict[str, Any]:
    return {
        "profile": {"name": found.profile.name, "title": found.profile.title},
        "prefix_step": step, "demand": _demand(found.demand),
        "margin_percent": {r: number(found.load.margins[r]) for r in RESOURCES},
    }  # fmt: skip


def _demand(demand: Demand) -> dict[str, Any]:
    return {
        "publishers": demand.publishers,
        "ingest_bps": demand.ingest_bps,
        "view_bps": number(demand.view_bps),
        "streams": [
            {
                "count": s.count, "viewers": s.viewers, "record_s": number(s.record_s), "origin": s.origin,
                "renditions": [
                    {"bitrate_bps": r.bitrate_bps, "viewers_percent": number(r.share * 100)} for r in s.renditions
                ],
            }
            for s in demand.streams
        ],
        "deliver_percent": {name: number(share * 100) for name, share in demand.deliver},
        "package": list(demand.packages),
        "dvr_s": number(demand.dvr_s),
    }  # fmt: skip


def _requirements(found: Answer) -> dict[str, Any] | None:
    if found.needs is None or found.needs_with_margin is None:
        return None
    return {"needed": _needs(found.needs), "with_margin": _needs(found.needs_with_margin)}


def _needs(needs: Needs) -> dict[str, int | float]:
    return {
        "cpu_mark": needs.cpu_mark, "cpu_cores": number(needs.cpu_cores), "ram_bytes": needs.ram_bytes,
        "network_bps": needs.network_bps, "network_in_bps": needs.network_in_bps,
        "network_out_bps": needs.network_out_bps, "disk_bytes": needs.disk_bytes,
    }  # fmt: skip


def _capacity(found: Capacity | None, machine: Machine, load: Load) -> dict[str, Any] | None:
    if found is None:
        return None
    usable = {r: load.usable(r, have) for r in machine.known if (have := machine.have(r)) is not None}
    return {
        "machine": {
            "cpu_mark": _some(machine.cpu_mark),
            "cpu_cores": _some(None if machine.cpu_mark is None else machine.cpu_mark / load.mark_per_core),
            "ram_bytes": machine.ram_bytes, "link_bps": machine.link_bps, "disk_bytes": machine.disk_bytes,
        },
        "usable": {f"{r}_{UNIT_NAMES[r]}": floor(value) for r, value in usable.items()},
        "viewers": found.viewers, "viewers_by_resource": found.by_resource, "bottleneck": found.bottleneck,
        "record_hours": None if found.record_hours is None else float(found.record_hours),
        "fits": not found.short, "short": list(found.short),
    }  # fmt: skip


UNIT_NAMES = {"cpu": "mark", "ram": "bytes", "network": "bps", "disk": "bytes"}


def _some(value: Fraction | None) -> int | float | None:
    return None if value is None else number(value)


def _parts(found: Answer) -> list[dict[str, Any]]:
    parts = []
    for part in found.load.parts:
        unit = UNIT_NAMES[part.resource.partition("_")[0]]
        entry = {
            "resource": part.resource, "term": part.label, f"fixed_{unit}": number(part.fixed),
            f"per_viewer_{unit}": number(part.per_viewer),
        }  # fmt: skip
        if found.viewers is not None:
            entry[f"total_{unit}"] = ceil(part.at(found.viewers))
        parts.append(entry)
    return parts


def _coefficient(c: Coefficient) -> dict[str, Any]:
    return {
        "name": c.name, "value": number(c.value), "unit": c.unit, "origin": c.origin, "source": c.source,
        "meaning": NAMES[c.name].meaning,
    }  # fmt: skip
