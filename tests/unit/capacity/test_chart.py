"""Panels, scales and ticks of the picture of a sweep."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.capacity.chart import CARRIED, FULL, HAS, NEEDED, Chart, Scale, chart, scale
from evotools.capacity.profiles import built_in
from evotools.capacity.question import Question, read
from evotools.capacity.sweep import sweep


def picture(profile: str = "mistserver-2018", step: int = 1000, **options: object) -> Chart:
    asked = read(Question(step=step, **options), built_in(profile, step))  # type: ignore[arg-type]
    assert asked.range is not None
    return chart(sweep(asked.range, asked.demand, asked.profile, asked.machine), "about", step)


def names(found: Chart) -> dict[str, list[str]]:
    return {panel.title: [line.name for line in panel.lines] for panel in found.panels}


def test_needs_have_a_panel_for_each_resource_that_varies() -> None:
    found = picture("evotools", viewers="100..10000", bitrate="3M", record="1h")
    assert names(found) == {"CPU, cores": [NEEDED, FULL], "RAM": [NEEDED, FULL], "Network": [NEEDED, FULL]}
    assert found.x.logarithmic
    assert found.title == "Hardware that is needed, by viewers"
    more = picture(publishers="1..10", bitrate="3M", viewers="5", record="1h")
    # No margin on these, so no second line.
    assert names(more) == {"CPU mark": [NEEDED], "RAM": [NEEDED, FULL], "Network": [NEEDED], "Disk": [NEEDED]}


def test_what_the_machine_has_is_a_line_or_a_remark() -> None:
    found = picture(viewers="100..1000", scale="linear", bitrate="3M", link="2G", ram="1TB", cpu_mark="5000")
    cpu, ram, network = found.panels
    assert [line.name for line in network.lines] == [NEEDED, HAS]
    assert set(network.lines[1].values) == {2e9}
    assert [line.name for line in cpu.lines] == [NEEDED, HAS]
    assert (ram.note, [line.name for line in ram.lines]) == ("the machine has 1 TB", [NEEDED, FULL])


def test_capacity_draws_each_resource_and_what_is_carried() -> None:
    found = picture(link="10M..100M:10M", bitrate="1M", cpu_mark="170", ram="1TB", disk="9GB")
    (viewers,) = found.panels
    assert [line.name for line in viewers.lines] == ["by CPU", "by network", CARRIED]
    assert viewers.note == "RAM: more than 2 times as many"
    carried = viewers.lines[-1].values
    assert carried == tuple(min(a, b) for a, b in zip(viewers.lines[0].values, viewers.lines[1].values, strict=True)  # type: ignore[type-var]
                            )  # fmt: skip


def test_one_resource_alone_is_what_is_carried() -> None:
    assert names(picture(link="10M..100M", bitrate="1M", scale="linear")) == {"Viewers": ["by network"]}


def test_hours_have_a_panel_of_their_own() -> None:
    assert names(picture(disk="1TB..9TB", bitrate="1M")) == {"Hours of recordings": ["hours"]}
    assert list(names(picture(publishers="1..9", bitrate="1M", disk="1TB", link="1G"))) == [
        "Viewers",
        "Hours of recordings",
    ]


def test_each_point_is_told_in_words() -> None:
    told = picture(viewers="100..200:100", bitrate="1M").panels[0].lines[0].told
    assert told == ("100 viewers: 344 needed", "200 viewers: 684 needed")
    network = picture(bitrate="1M..2M:1M", viewers="9").panels[2].lines[0].told
    assert network == ("1 Mbit/s: 10 Mbit/s needed", "2 Mbit/s: 20 Mbit/s needed")


@pytest.mark.parametrize(
    ("values", "unit", "step", "low", "high", "labels"),
    [
        ([3.0, 97.0], "", 1000, 0, 100, ["0", "20", "40", "60", "80", "100"]),
        ([1e9, 2.3e9], "B", 1000, 0, 2.5e9, ["0 B", "500 MB", "1 GB", "1.5 GB", "2 GB", "2.5 GB"]),
        ([1.0, 3 * 2**30], "B", 1024, 0, 3 * 2**30, ["0 B", "1 GiB", "2 GiB", "3 GiB"]),
        ([0.0], "", 1000, 0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ([5e6], "bit/s", 1000, 0, 5e6, ["0 bit/s", "1 Mbit/s", "2 Mbit/s", "3 Mbit/s", "4 Mbit/s", "5 Mbit/s"]),
    ],
)
def test_linear_scales_are_round(
    values: list[float], unit: str, step: int, low: float, high: float, labels: list[str]
) -> None:
    found = scale(values, unit, step, logarithmic=False)
    assert (found.low, found.high) == (low, pytest.approx(high))
    assert [label for _, label in found.ticks] == labels


def test_a_narrow_range_far_from_zero_has_few_ticks() -> None:
    found = scale([1e9, 1e9 + 10], "", 1000, logarithmic=False, from_zero=False)
    assert [value for value, _ in found.ticks] == [1e9, *(1e9 + n for n in (2, 4, 6, 8)), 1e9 + 10]


def test_logarithmic_scales() -> None:
    found = scale([400, 34_000], "", 1000, logarithmic=True)
    assert (found.low, found.high, found.logarithmic) == (300, 100_000, True)
    assert [label for _, label in found.ticks] == ["300", "1,000", "3,000", "10,000", "30,000", "100,000"]
    # Values that hardly differ, and nothing, are drawn from 0.
    assert not scale([90, 100], "", 1000, logarithmic=True).logarithmic
    assert not scale([0, 100], "", 1000, logarithmic=True).logarithmic


def test_both_ends_of_the_range_are_labelled() -> None:
    x = picture(viewers="130..5000", bitrate="1M").x
    labels = [label for _, label in x.ticks]
    assert (labels[0], labels[-1]) == ("130", "5,000")
    assert labels[1:-1] == ["200", "500", "1,000", "2,000"]  # 3,000 is no tick


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e18), min_size=1, max_size=5), st.booleans(), st.sampled_from(["", "B"]),
       st.sampled_from([1000, 1024]), st.booleans())  # fmt: skip
def test_scales_hold_their_values(values: list[float], log: bool, unit: str, step: int, from_zero: bool) -> None:
    found = scale(values, unit, step, logarithmic=log, from_zero=from_zero)
    assert found.low < found.high
    assert 2 <= len(found.ticks) <= 25
    for value in values:
        assert found.low - abs(found.low) * 1e-9 <= value <= found.high * 1.001 + 1e-9
    for tick, label in found.ticks:
        assert label
        assert 0 <= found.at(tick) <= 1


def test_places_on_a_scale() -> None:
    assert Scale(0, 10, False, ()).at(5) == 0.5
    assert Scale(1, 100, True, ()).at(10) == pytest.approx(0.5)
    assert Scale(1, 100, True, ()).at(0) == 0
    assert Scale(1, 100, True, ()).at(math.inf) == 1
