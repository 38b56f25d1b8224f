"""Names, units and values of constants."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.capacity.coefficients import (
    DELIVERY,
    GENERAL,
    NAMES,
    PROTOCOLS,
    Coefficient,
    Profile,
    check_name,
    format_value,
    parse_value,
    plain_number,
)  # fmt: skip
from evotools.errors import UsageError


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("cpu_per_connection", "3.4", Fraction(34, 10)), ("ram_per_connection", "2MB", 2 * 10**6),
        ("ram_per_connection", "2MiB", 2 * 2**20), ("ingest_bps", "18k", 18_000), ("margin_ram", "10%", 10),
        ("dvr", "50s", 50), ("dvr", "1m30s", 90), ("ram_in_flight_s", "200ms", Fraction(1, 5)), ("full_duplex", "1", 1),
        ("hls.cpu_us_per_viewer", "40", 40),
    ],
)  # fmt: skip
def test_values_in_the_unit_of_their_name(name: str, text: str, value: Fraction) -> None:
    assert parse_value(name, text) == value


def test_steps_of_1024() -> None:
    assert parse_value("ram_per_connection", "2MB", 1024) == 2 * 2**20
    assert parse_value("ingest_bps", "18k", 1024) == 18 * 1024
    assert parse_value("ram_per_connection", "2000", 1024) == 2000


@pytest.mark.parametrize(
    ("name", "text"),
    [("cpu_per_connection", "1/3"), ("cpu_per_connection", "-1"), ("cpu_per_connection", "1e3"),
     ("cpu_per_connection", ""), ("cpu_per_connection", "1_0"), ("cpu_per_connection", "9" * 19), ("full_duplex", "2"),
     ("margin_ram", "many"), ("dvr", "soon"), ("cpu_mark_per_core", "0"), ("ram_base", "2 parsecs")],
)  # fmt: skip
def test_no_values(name: str, text: str) -> None:
    with pytest.raises(UsageError, match=name):
        parse_value(name, text)


@settings(deadline=None)
@given(st.sampled_from(sorted(NAMES)), st.text(max_size=12))
def test_only_usage_errors(name: str, text: str) -> None:
    try:
        assert parse_value(name, text) >= 0
    except UsageError:
        pass


def test_names_take_dashes_and_suggest() -> None:
    assert check_name("RAM-windows") == "ram_windows"
    assert check_name("hls-fmp4.cpu-us-per-viewer") == "hls-fmp4.cpu_us_per_viewer"
    with pytest.raises(UsageError) as caught:
        check_name("hls.cpu_us_per_viewr")
    assert caught.value.hint == "did you mean hls.cpu_us_per_viewer?"
    with pytest.raises(UsageError, match="xyz"):
        check_name("xyz")


def test_every_unit_is_parsed_and_shown() -> None:
    for name in NAMES:
        shown = format_value(Coefficient(name, parse_value(name, "1"), "given", ""))
        assert shown.startswith(("1", "yes")), (name, shown)


@pytest.mark.parametrize(
    ("value", "text"),
    [(Fraction(34, 10), "3.4"), (Fraction(0), "0"), (Fraction(1_000_000), "1,000,000"), (Fraction(1, 3), "0.333333"),
     (Fraction(100), "100")],
)  # fmt: skip
def test_plain_numbers(value: Fraction, text: str) -> None:
    assert plain_number(value) == text


def test_a_profile_is_a_table_with_nothing_elsewhere() -> None:
    one = Coefficient("ram_base", Fraction(5), "given", "")
    profile = Profile("p", "", "any", {"ram_base": one})
    assert (profile["ram_base"], profile["dvr"], profile.protocols()) == (5, 0, [])
    other = profile.with_values({"hls.ram_s": Coefficient("hls.ram_s", Fraction(2), "given", "")})
    assert (other["hls.ram_s"], other["ram_base"], other.protocols()) == (2, 5, ["hls"])
    assert profile["hls.ram_s"] == 0


def test_names_cover_every_protocol() -> None:
    assert len(NAMES) == len(GENERAL) + len(PROTOCOLS) * len(DELIVERY)
