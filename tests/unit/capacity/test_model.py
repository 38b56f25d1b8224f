"""The sums: which term grows with what, and what is counted once."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.capacity.coefficients import Coefficient, Profile
from evotools.capacity.demand import Demand, Rendition, Stream
from evotools.capacity.model import RESOURCES, Ledger, Load, load, wire_bps
from evotools.capacity.profiles import TITLES, built_in
from evotools.errors import UsageError

PROFILES = {name: built_in(name) for name in TITLES}
EVO = PROFILES["evotools"]
ONE = Fraction(1)


def one(bitrate_bps: int, count: int = 1, viewers: int | None = None, record_s: int = 0) -> Stream:
    return Stream((Rendition(bitrate_bps, ONE),), count, viewers, Fraction(record_s))


def demand(*streams: Stream, viewers: int | None = 0, by: str = "flv", packages: tuple[str, ...] = (),
           dvr_s: int = 12) -> Demand:  # fmt: skip
    return Demand(streams, viewers, ((by, ONE),), packages, Fraction(dvr_s))


def part(found: Load, resource: str, label: str) -> Fraction:
    (term,) = [p for p in found.parts if (p.resource, p.label) == (resource, label)]
    return term.fixed + term.per_viewer


def profile(**values: str | int | Fraction) -> Profile:
    """Nothing but these; a mark is a core."""
    given_ = {"cpu_mark_per_core": 1, **{k.replace("__", "."): v for k, v in values.items()}}
    return Profile("test", "", "any", {k: Coefficient(k, Fraction(v), "given", "") for k, v in given_.items()})


def test_cpu_is_time_of_cores_times_marks_and_marks_of_connections() -> None:
    k = profile(cpu_mark_per_core=1000, cpu_us_base=100, cpu_us_per_publisher=2000, cpu_us_per_publisher_mbit=500,
                cpu_per_connection=2, flv__cpu_us_per_viewer=200, flv__cpu_us_per_viewer_mbit=10,
                flv__cpu_us_per_stream=50)  # fmt: skip
    found = load(demand(one(3_000_000, count=4)), k)
    assert part(found, "cpu", "server") == Fraction(100 * 1000, 10**6)
    assert part(found, "cpu", "publishers") == 4 * 2 + Fraction((4 * 2000 + 12 * 500) * 1000, 10**6)
    assert part(found, "cpu", "viewers by flv") == 2 + Fraction((200 + 3 * 10) * 1000, 10**6)
    assert part(found, "cpu", "streams as flv") == Fraction(4 * 50 * 1000, 10**6)


def test_memory_of_windows_forms_and_sockets() -> None:
    k = profile(ram_base=1000, ram_windows=2, ram_s=3, ram_in_flight_s="0.5", hls__ram_windows=1, hls__ram_s=4,
                hls__ram_per_viewer=700, hls__container_percent=10, hls__container_bps=80,
                hls__transport_percent=50, hls__transport_bps=8)  # fmt: skip
    found = load(demand(one(8000, count=5), by="hls", dvr_s=10), k)
    assert part(found, "ram", "server") == 1000
    assert part(found, "ram", "media of the streams") == 5 * 1000 * (2 * 10 + 3)
    assert part(found, "ram", "streams as hls") == 5 * 1000 * (10 + 4)
    assert part(found, "ram", "viewers by hls") == 700
    wire = (8000 * Fraction(11, 10) + 80) * Fraction(3, 2) + 8
    assert part(found, "ram", "socket buffers by hls") == wire / 8 / 2
    assert part(found, "network_out", "viewers by hls") == wire == wire_bps(Fraction(8000), "hls", Ledger(k))


def test_a_ladder_counts_all_renditions_in_and_the_average_out() -> None:
    ladder = Stream((Rendition(3_000_000, Fraction(1, 4)), Rendition(1_000_000, Fraction(3, 4))), count=2)
    found = load(Demand((ladder,), 100, (("any", ONE),), (), Fraction(10)), profile(ram_windows=1, record_bps=1000))
    assert found.fixed("network_in") == 2 * 4_000_000
    assert found.per_viewer("network_out") == 1_500_000
    assert found.fixed("ram") == 2 * 4_000_000 * 10 // 8
    # Each rendition is a file of its own.
    assert found.record_bps == 2 * (4_000_000 + 2 * 1000)


def test_formats_of_one_set_of_segments_are_counted_once() -> None:
    mix = tuple((name, Fraction(1, 4)) for name in ("hls", "hls-fmp4", "dash", "flv"))
    found = load(Demand((one(10**6),), 1, mix, ("dash", "hls-fmp4", "mss"), Fraction(12)), EVO)
    forms = [p.label for p in found.parts if p.resource == "ram" and p.label.startswith("streams as")]
    assert forms == ["streams as hls", "streams as hls-fmp4", "streams as flv"]
    assert [p.label for p in found.parts if p.resource == "disk"] == ["packaged dash", "packaged mss"]
    made = [p.label for p in found.parts if p.resource == "cpu" and p.label.startswith("streams as")]
    assert made == ["streams as hls", "streams as hls-fmp4", "streams as flv", "streams as mss"]


def test_packaged_segments_lie_on_disk() -> None:
    k = profile(package_windows=2, package_s=4, dash__container_percent=50)
    found = load(demand(one(8000, count=3), packages=("dash",), dvr_s=10), k)
    assert part(found, "disk", "packaged dash") == 3 * 1500 * 2 * 10
    assert part(found, "ram", "packaging dash") == 3 * 1000 * 4


def test_recordings() -> None:
    k = profile(record_percent=10, record_bps=80)
    found = load(demand(one(8000, count=2, record_s=60), one(4000, record_s=0)), k)
    assert part(found, "disk", "recordings") == 2 * 60 * (8800 + 80) // 8
    # Only the recorded streams decide how long a disk lasts; without any, all of them.
    assert found.record_bps == 2 * 8880
    none = load(demand(one(8000, count=2), one(4000)), k)
    assert none.record_bps == 2 * 8880 + 4480


def test_a_link_carries_its_rate_both_ways_or_once() -> None:
    streams = demand(one(10, count=100), viewers=7)
    half, full = load(streams, profile(full_duplex=0)), load(streams, profile(full_duplex=1))
    assert half.needed("network", 7) == 100 * 10 + 7 * 10
    assert full.needed("network", 7) == 1000
    assert full.needed("network", 107) == 1070
    assert half.most_viewers("network", Fraction(1070)) == 7
    assert full.most_viewers("network", Fraction(1070)) == 107
    assert full.most_viewers("network", Fraction(999)) == 0


def test_one_server_uses_so_many_cores() -> None:
    k = profile(cpu_mark_per_core=100, cpu_max_cores=2, cpu_per_connection=1, margin_cpu=100)
    found = load(demand(one(1), viewers=0), k)
    assert found.usable("cpu", Fraction(150)) == 75
    assert found.usable("cpu", Fraction(1000)) == 100
    assert found.most_viewers("cpu", Fraction(1000)) == 99
    assert found.carries("cpu", Fraction(1000), 99)
    assert not found.carries("cpu", Fraction(1000), 100)
    assert load(demand(one(1)), profile(cpu_per_connection=1)).max_mark is None


def test_margins_come_on_top() -> None:
    found = load(demand(one(8)), profile(ram_per_connection=100, margin_ram=25))
    assert found.needed("ram", 3) == 400
    assert found.with_margin("ram", 3) == 500
    assert found.usable("ram", Fraction(500)) == 400
    assert found.most_viewers("ram", Fraction(500)) == 3


def test_nothing_that_grows_limits_nobody() -> None:
    found = load(demand(one(8, record_s=8)), profile())
    assert found.most_viewers("disk", Fraction(100)) is None
    assert found.most_viewers("disk", Fraction(7)) == 0


def test_the_bit_rate_must_be_known_where_it_matters() -> None:
    unknown = Demand((Stream((), 3),), 5, (("flv", ONE),))
    with pytest.raises(UsageError, match="bit rate"):
        load(unknown, EVO)
    assert load(unknown, profile(cpu_per_connection=2)).needed("cpu", 5) == 16


def test_only_used_coefficients_are_named() -> None:
    names = {c.name for c in load(demand(one(8), by="flv"), EVO).coefficients}
    assert "flv.cpu_us_per_viewer" in names
    assert not [n for n in names if n.startswith(("hls.", "webrtc."))]
    assert {"margin_cpu", "cpu_mark_per_core", "ram_s"} <= names


STREAMS = st.lists(
    st.builds(one, st.integers(1, 10**9), st.integers(0, 1000), st.none() | st.integers(0, 10**6),
              st.integers(0, 10**6)),
    min_size=1, max_size=3,
)  # fmt: skip
NAMES = st.sampled_from(sorted(PROFILES))


@settings(deadline=None)
@given(NAMES, STREAMS, st.integers(0, 10**6), st.integers(0, 10**6))
def test_more_viewers_need_no_less(name: str, streams: list[Stream], viewers: int, more: int) -> None:
    by = built_in_delivery(name)
    found = load(Demand(tuple(streams), viewers, by, ("dash",), Fraction(60)), PROFILES[name])
    for resource in RESOURCES:
        assert found.needed(resource, viewers) <= found.needed(resource, viewers + more)
        assert found.needed(resource, viewers) <= found.with_margin(resource, viewers)


@settings(deadline=None)
@given(NAMES, st.integers(1, 10**9), st.integers(0, 10**9), st.integers(0, 1000), st.integers(0, 10**6))
def test_more_bits_need_no_less(name: str, rate: int, more: int, count: int, viewers: int) -> None:
    low, high = (
        load(Demand((one(r, count, record_s=60),), viewers, built_in_delivery(name), ("hls",), Fraction(9)),
             PROFILES[name])
        for r in (rate, rate + more)
    )  # fmt: skip
    for resource in RESOURCES:
        assert low.needed(resource, viewers) <= high.needed(resource, viewers)


@settings(deadline=None)
@given(NAMES, STREAMS, st.integers(0, 10**6))
def test_capacity_is_the_inverse_of_need(name: str, streams: list[Stream], viewers: int) -> None:
    asked = Demand(tuple(streams), viewers, built_in_delivery(name), (), Fraction(60))
    found = replace(load(asked, PROFILES[name]), max_mark=None)
    for resource in RESOURCES:
        most = found.most_viewers(resource, found.with_margin(resource, viewers))
        assert most is None or most >= viewers
        if most is not None:
            have = found.with_margin(resource, viewers)
            assert found.carries(resource, have, most)
            assert not found.carries(resource, have, most + 1)


def built_in_delivery(name: str) -> tuple[tuple[str, Fraction], ...]:
    return (("any", ONE),) if name != "evotools" else (("hls", Fraction(1, 2)), ("webrtc", Fraction(1, 2)))
