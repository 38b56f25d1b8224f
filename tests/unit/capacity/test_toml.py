"""Profiles as TOML."""

import tomllib
from fractions import Fraction

import pytest

from evotools.capacity.profiles import TITLES, built_in
from evotools.capacity.toml import profile_from, profile_to
from evotools.errors import UsageError


def load(text: str, step: int = 1000) -> dict[str, tuple[Fraction, str, str]]:
    profile = profile_from(tomllib.loads(text), "rack.toml", step)
    return {name: (c.value, c.origin, c.source) for name, c in profile.coefficients.items()}


def test_values_over_a_base() -> None:
    found = load("""
        base = "mistserver-2018"
        [coefficients]
        cpu_per_connection = 2.5
        ram_per_connection = "1MB"
        full_duplex = true
        ram_windows = { value = 1, origin = "measured", source = "load test in May" }
        "hls.ram_s" = "3s"
        [coefficients.flv]
        cpu_us_per_viewer = { value = 40 }
    """)
    assert found["cpu_per_connection"] == (Fraction(5, 2), "given", "rack.toml")
    assert found["ram_per_connection"][0] == 10**6
    assert found["full_duplex"][0] == 1
    assert found["ram_windows"] == (1, "measured", "load test in May")
    assert found["hls.ram_s"][0] == 3
    assert found["flv.cpu_us_per_viewer"] == (40, "given", "rack.toml")
    assert found["dvr"][:2] == (50, "vendor")


def test_names_and_delivery() -> None:
    profile = profile_from({"name": "rack 7", "deliver": "flv=50,hls=50"}, "rack.toml")
    assert (profile.name, profile.deliver, profile["ram_base"]) == ("rack 7", "flv=50,hls=50", 35_000_000)
    assert profile_from({}, "rack.toml").name == "rack.toml"


def test_small_numbers_stay_what_they_are() -> None:
    assert load("[coefficients]\ncpu_per_connection = 1e-5")["cpu_per_connection"][0] == Fraction(1, 10**5)


def test_steps_of_1024() -> None:
    assert load('[coefficients]\nram_base = "2MB"', 1024)["ram_base"][0] == 2 * 2**20


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1", "no key 'x'"), ('base = "nginx"', "no built-in profile 'nginx'"), ("base = 5", "base is a text"),
        ("name = []", "name is a text"), ("coefficients = 5", "coefficients is a table"),
        ("[coefficients]\nram_widnows = 1", "ram_widnows"), ("[coefficients]\nram_windows = []", "number or a text"),
        ("[coefficients]\nram_windows = -1", "not a number"), ("[coefficients]\nram_windows = nan", "not a number"),
        ("[coefficients]\nram_windows = inf", "not a number"), ("[coefficients]\nram_windows = {}", "has value"),
        ("[coefficients]\nram_windows = { value = 1, sauce = '' }", "has value"),
        ("[coefficients]\nram_windows = { value = 1, origin = 'hearsay' }", "origin is one of"),
        ("[coefficients]\nram_windows = { value = 1, source = 1 }", "source is a text"),
        ("[coefficients]\ncpu_mark_per_core = 0", "cannot be 0"), ("deliver = 'hls=70'", "add up to 70"),
        ("[coefficients.gopher]\nram_s = 1", "gopher"), ("[coefficients.hls]\nfoo = 1", "hls.foo"),
        ("base = 'evotools'\ndeliver = 'any'", "no way of delivery"),
    ],
)  # fmt: skip
def test_mistakes_are_named(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        load(text)
    assert caught.value.message.startswith("rack.toml: ")


@pytest.mark.parametrize("name", TITLES)
def test_written_profiles_read_back(name: str) -> None:
    profile = built_in(name)
    again = profile_from(tomllib.loads(profile_to(profile)), "x")
    assert again.coefficients == profile.coefficients
    assert again.deliver == profile.deliver
