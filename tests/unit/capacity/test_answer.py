"""Requirements, capacity, and the verdict over both."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.capacity.answer import Answer, Machine, answer
from evotools.capacity.demand import Demand, Rendition, Stream
from evotools.capacity.profiles import TITLES, built_in
from evotools.errors import UsageError

PROFILES = {name: built_in(name) for name in TITLES}
MIST = PROFILES["mistserver-2018"]
ANY = (("any", Fraction(1)),)


def demand(rate: int, count: int = 1, viewers: int | None = None, record_s: int = 0) -> Demand:
    stream = Stream((Rendition(rate, Fraction(1)),), count, None, Fraction(record_s))
    return Demand((stream,), viewers, ANY, (), Fraction(50))


def mist(asked: Demand, **machine: int) -> Answer:
    return answer(asked, MIST, Machine(**machine))


def test_the_first_resource_that_runs_out_is_named() -> None:
    found = mist(demand(10**6), cpu_mark=3400, ram_bytes=10**9, link_bps=10**8).capacity
    assert found is not None
    assert found.by_resource == {"cpu": 999, "ram": 447, "network": 99}
    assert (found.viewers, found.bottleneck, found.short) == (99, "network", ())


def test_what_does_not_fit_is_named() -> None:
    found = mist(demand(10**6, viewers=500), cpu_mark=3400, ram_bytes=10**9, link_bps=10**8).capacity
    assert found is not None
    assert found.short == ("ram", "network")
    assert found.viewers == 99


def test_streams_alone_may_be_too_much() -> None:
    found = mist(demand(10**6, count=200), link_bps=10**8).capacity
    assert found is not None
    assert (found.viewers, found.short) == (0, ("network",))


def test_recordings_that_do_not_fit() -> None:
    found = mist(demand(8 * 10**6, record_s=7200), disk_bytes=3600 * 10**6).capacity
    assert found is not None
    assert found.record_hours == 1
    assert (found.bottleneck, found.viewers, found.short) == ("disk", 0, ("disk",))


def test_a_disk_limits_no_viewers() -> None:
    found = mist(demand(8 * 10**6), disk_bytes=3600 * 10**6).capacity
    assert found is not None
    assert (found.viewers, found.bottleneck, found.record_hours) == (None, None, 1)


def test_what_is_packaged_to_disk_leaves_less_for_recordings() -> None:
    stream = Stream((Rendition(8 * 10**6, Fraction(1)),))
    asked = Demand((stream,), None, ANY, ("dash",), Fraction(1800))
    found = mist(asked, disk_bytes=3600 * 10**6).capacity
    assert found is not None
    assert found.record_hours == Fraction(1, 2)


def test_something_must_be_asked() -> None:
    with pytest.raises(UsageError, match="how many viewers"):
        mist(demand(10**6))
    with pytest.raises(UsageError, match="bit rate"):
        mist(Demand((), 5, ANY))
    with pytest.raises(UsageError, match="bit rate"):
        mist(Demand((), None, ANY), cpu_mark=5, ram_bytes=9)


def test_needs_are_rounded_up() -> None:
    found = mist(demand(10**6 + 1, viewers=1))
    assert found.needs is not None
    assert found.needs.cpu_mark == 7  # 6.8
    assert found.needs.cpu_cores == Fraction(6, 1000)  # 6.8 / 1260 = 0.0054
    assert found.needs_with_margin is not None
    assert found.needs_with_margin.ram_bytes == 18150014  # (12500012.5 + 4000000) × 1.1 = 18150013.75


@settings(deadline=None)
@given(
    st.sampled_from(sorted(PROFILES)), st.integers(1, 10**9), st.integers(0, 1000), st.integers(0, 10**7),
    st.integers(0, 10**5),
)  # fmt: skip
def test_a_machine_of_the_size_asked_for_fits(name: str, rate: int, count: int, viewers: int, record_s: int) -> None:
    profile = PROFILES[name]
    by = ANY if name != "evotools" else (("ts", Fraction(1, 3)), ("hls", Fraction(2, 3)))
    stream = Stream((Rendition(rate, Fraction(1)),), count, None, Fraction(record_s))
    asked = Demand((stream,), viewers, by, (), Fraction(12))
    need = answer(asked, profile, Machine()).needs_with_margin
    assert need is not None
    machine = Machine(Fraction(need.cpu_mark), need.ram_bytes, need.network_bps, need.disk_bytes)
    found = answer(asked, profile, machine)
    assert found.capacity is not None
    # What one server cannot use of a processor is another matter.
    limited = {"cpu"} if found.load.max_mark is not None and need.cpu_mark > found.load.max_mark else set()
    assert set(found.capacity.short) == limited
    for resource, most in found.capacity.by_resource.items():
        assert most is None or most >= viewers or resource in limited


@settings(deadline=None)
@given(st.integers(1, 10**9), st.integers(0, 10**5), st.integers(0, 900), st.integers(0, 900))
def test_a_larger_margin_carries_fewer(rate: int, count: int, margin: int, more: int) -> None:
    from evotools.capacity.coefficients import Coefficient

    def carried(percent: int) -> int:
        names = [f"margin_{r}" for r in ("cpu", "ram", "network")]
        profile = MIST.with_values({n: Coefficient(n, Fraction(percent), "given", "") for n in names})
        found = answer(demand(rate, count), profile, Machine(Fraction(10**5), 10**11, 10**11)).capacity
        assert found is not None
        assert found.viewers is not None
        return found.viewers

    assert carried(margin) >= carried(margin + more)
