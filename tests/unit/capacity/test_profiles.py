"""The built-in constants: complete, sourced, and in agreement with what the project publishes."""

from fractions import Fraction

import pytest

from evotools.capacity.coefficients import ORIGINS, PROTOCOLS
from evotools.capacity.demand import Demand, Rendition, Stream, parse_deliver
from evotools.capacity.model import Ledger, load, wire_bps
from evotools.capacity.profiles import DEFAULT, SERVED, TITLES, built_in


@pytest.mark.parametrize("name", TITLES)
def test_every_constant_has_an_origin_and_a_source(name: str) -> None:
    profile = built_in(name)
    for coefficient in profile.coefficients.values():
        assert coefficient.origin in ORIGINS, coefficient
        assert coefficient.source, coefficient
    parse_deliver(profile.deliver, profile.protocols())
    assert profile["cpu_mark_per_core"] > 0
    assert profile["dvr"] > 0


def test_the_source_document_s_constants() -> None:
    mist = built_in("mistserver-2018")
    assert mist["cpu_per_connection"] == Fraction(34, 10)
    assert mist["ram_per_connection"] == 2_000_000
    # 12.5 MB for every Mbit/s.
    assert mist["ram_windows"] * mist["dvr"] * 10**6 / 8 == 12_500_000
    assert [mist[f"margin_{r}"] for r in ("cpu", "ram", "network", "disk")] == [0, 10, 0, 0]
    assert mist["full_duplex"] == 0


def test_in_steps_of_1024_only_published_sizes_change() -> None:
    assert built_in("mistserver-2018", 1024)["ram_per_connection"] == 2 * 2**20
    ours, binary = built_in(DEFAULT), built_in(DEFAULT, 1024)
    assert {n: c.value for n, c in ours.coefficients.items()} == {n: c.value for n, c in binary.coefficients.items()}


def cpu_us(by: str, bitrate_bps: int) -> float:
    """CPU of one viewer and second."""
    stream = Stream((Rendition(bitrate_bps, Fraction(1)),))
    found = load(Demand((stream,), 0, ((by, Fraction(1)),), (), Fraction(12)), built_in(DEFAULT))
    return float(found.per_viewer("cpu") / found.mark_per_core * 10**6)


@pytest.mark.parametrize(
    ("by", "bitrate_bps", "us"),
    [
        # README, Performance: flush interval auto, 1000 viewers of 2.15 Mbit/s.
        ("flv", 2_150_000, 236),
        ("rtmp", 2_150_000, 231),
        # docs/architecture.md 8: prototypes.
        ("webrtc", 2_150_000, 750),
        ("srt", 2_200_000, 1300),
    ],
)
def test_cpu_agrees_with_the_published_figures(by: str, bitrate_bps: int, us: float) -> None:
    assert cpu_us(by, bitrate_bps) == pytest.approx(us, rel=0.03)


def test_one_publisher_costs_what_the_readme_says() -> None:
    stream = Stream((Rendition(2_150_000, Fraction(1)),))
    found = load(Demand((stream,), 0, (("flv", Fraction(1)),)), built_in(DEFAULT))
    parts = sum(p.fixed for p in found.parts if p.label in ("server", "publishers") and p.resource == "cpu")
    assert float(parts / found.mark_per_core) == pytest.approx(0.008, rel=0.05)


@pytest.mark.parametrize(("by", "media", "muxed"), [
    # Bytes of our muxers for the same frames: 0.53, 2.13 and 6.16 Mbit/s at 68 frames a second.
    ("flv", 526_300, 536_300), ("flv", 6_155_000, 6_165_000),
    ("rtmp", 526_300, 534_700), ("rtmp", 2_133_900, 2_142_700),
    ("ts", 526_300, 663_000), ("ts", 2_133_900, 2_304_500), ("ts", 6_155_000, 6_412_800),
    ("hls-fmp4", 527_739, 531_110), ("ll-hls", 6_171_918, 6_177_402),
])  # fmt: skip
def test_containers_take_what_the_muxers_take(by: str, media: int, muxed: int) -> None:
    profile = built_in(DEFAULT)
    contained = media * (1 + profile[f"{by}.container_percent"] / 100) + profile[f"{by}.container_bps"]
    assert float(contained) == pytest.approx(muxed, rel=2e-3)


def test_every_way_of_delivery_costs_bytes_and_time() -> None:
    profile = built_in(DEFAULT)
    assert set(profile.protocols()) == set(PROTOCOLS) - {"any"}
    assert set(SERVED) <= set(profile.protocols())
    for by in profile.protocols():
        assert 2_000_000 < wire_bps(Fraction(2_000_000), by, Ledger(profile)) < 2_500_000
        assert cpu_us(by, 2_000_000) > 20
