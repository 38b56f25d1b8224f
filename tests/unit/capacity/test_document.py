"""Answers as JSON."""

import json
from fractions import Fraction
from typing import Any

from evotools.capacity import document
from evotools.capacity.answer import answer
from evotools.capacity.profiles import built_in
from evotools.capacity.question import Question, read
from evotools.capacity.sweep import sweep


def ask(profile: str = "mistserver-2018", **options: object) -> dict[str, Any]:
    asked = read(Question(**options), built_in(profile))  # type: ignore[arg-type]
    if asked.range is not None:
        found = document.of_sweep(sweep(asked.range, asked.demand, asked.profile, asked.machine), 1000, ["note"])
    else:
        found = document.of_answer(answer(asked.demand, asked.profile, asked.machine), 1000, ["note"])
    again: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    return again


def test_requirements() -> None:
    found = ask(publishers="50", bitrate="2M", viewers="600", record="20m")
    assert (found["schema"], found["kind"], found["viewers"]) == ("evotools.calc-hardware/1", "requirements", 600)
    assert found["requirements"]["with_margin"] == {
        "cpu_mark": 2210, "cpu_cores": 1.754, "ram_bytes": 2_805_000_000, "network_bps": 1_300_000_000,
        "network_in_bps": 100_000_000, "network_out_bps": 1_200_000_000, "disk_bytes": 15_000_000_000,
    }  # fmt: skip
    assert found["requirements"]["needed"]["ram_bytes"] == 2_550_000_000
    assert found["capacity"] is None
    assert found["margin_percent"] == {"cpu": 0, "ram": 10, "network": 0, "disk": 0}
    assert found["notes"] == ["note"]
    assert found["demand"] == {
        "publishers": 50, "ingest_bps": 100_000_000, "view_bps": 2_000_000, "deliver_percent": {"any": 100},
        "package": [], "dvr_s": 50,
        "streams": [{"count": 50, "viewers": None, "record_s": 1200, "origin": "--bitrate",
                     "renditions": [{"bitrate_bps": 2_000_000, "viewers_percent": 100}]}],
    }  # fmt: skip
    ram = {p["term"]: p["total_bytes"] for p in found["parts"] if p["resource"] == "ram"}
    assert ram == {"publishers": 100_000_000, "media of the streams": 1_250_000_000, "viewers": 1_200_000_000}


def test_capacity() -> None:
    found = ask(cpu_mark="25236", ram="4.4GB", link="1G", disk="900MB", bitrate="2M")
    assert (found["kind"], found["requirements"], found["viewers"]) == ("capacity", None, None)
    assert found["capacity"] == {
        "machine": {"cpu_mark": 25236, "cpu_cores": 25236 / 1260, "ram_bytes": 4_400_000_000, "link_bps": 10**9,
                    "disk_bytes": 900_000_000},
        "usable": {"cpu_mark": 25236, "ram_bytes": 4 * 10**9, "network_bps": 10**9, "disk_bytes": 900_000_000},
        "viewers": 499, "viewers_by_resource": {"cpu": 7421, "ram": 1986, "network": 499, "disk": None},
        "bottleneck": "network", "record_hours": 1.0, "fits": True, "short": [],
    }  # fmt: skip


def test_a_verdict() -> None:
    found = ask(cpu_mark="340", bitrate="2M", viewers="100")
    assert (found["kind"], found["capacity"]["fits"], found["capacity"]["short"]) == ("requirements", False, ["cpu"])


def test_coefficients_have_value_unit_origin_and_source() -> None:
    found = {c["name"]: c for c in ask("evotools", bitrate="2M", viewers="1")["coefficients"]}
    assert found["hls.container_percent"]["value"] == 2.15
    assert found["hls.container_percent"]["unit"] == "percent"
    for c in found.values():
        assert set(c) == {"name", "value", "unit", "origin", "source", "meaning"}
        assert isinstance(c["value"], int | float)


def test_sweeps() -> None:
    found = ask(viewers="10..20:10", bitrate="2M", link="30M")
    assert found["kind"] == "sweep"
    over = found["sweep"]
    assert (over["over"], over["of"], over["scale"]) == ("viewers", "requirements", "linear")
    assert [p["viewers"] for p in over["points"]] == [10, 20]
    assert [p["requirements"]["needed"]["network_bps"] for p in over["points"]] == [22_000_000, 42_000_000]
    assert [p["capacity"]["fits"] for p in over["points"]] == [True, False]
    machines = ask(ram="1GB..100GB", bitrate="2M")["sweep"]
    assert (machines["over"], machines["of"], machines["scale"]) == ("ram_bytes", "capacity", "log")
    assert machines["points"][0]["ram_bytes"] == 10**9
    assert machines["points"][0]["capacity"]["bottleneck"] == "ram"


def test_numbers() -> None:
    assert json.dumps([document.number(Fraction(4, 2)), document.number(Fraction(1, 4))]) == "[2, 0.25]"
