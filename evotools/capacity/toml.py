"""Profiles as TOML: a site's own measurements over a built-in set, and a set written out to begin from.

base = "evotools"
deliver = "hls=80,flv=20"

[coefficients]
ram_in_flight_s = "300ms"
cpu_us_per_publisher = { value = 1500, origin = "measured", source = "our rack, May" }

[coefficients.hls]
cpu_us_per_viewer = 40
"""

from collections.abc import Mapping
from dataclasses import replace
from json import dumps
from typing import Any

from evotools.capacity.coefficients import (
    GENERAL,
    NAMES,
    ORIGINS,
    PROTOCOLS,
    Coefficient,
    Profile,
    check_name,
    parse_value,
    plain_number,
)  # fmt: skip
from evotools.capacity.demand import parse_deliver
from evotools.capacity.profiles import DEFAULT, TITLES, built_in
from evotools.errors import UsageError

KEYS = ("base", "name", "title", "deliver", "coefficients")
VALUE_KEYS = ("value", "origin", "source")


def profile_from(table: Mapping[str, Any], subject: str, step: int = 1000) -> Profile:
    """The profile that a TOML table describes; `subject` names the file in errors. Raises UsageError."""
    try:
        return _profile_from(table, subject, step)
    except UsageError as error:
        raise UsageError(f"{subject}: {error.message}", hint=error.hint) from None


def _profile_from(table: Mapping[str, Any], subject: str, step: int) -> Profile:
    unknown = [key for key in table if key not in KEYS]
    if unknown:
        raise UsageError(f"no key '{unknown[0]}' in a profile", hint=f"keys: {', '.join(KEYS)}")
    for key in KEYS[:-1]:
        if not isinstance(table.get(key, ""), str):
            raise UsageError(f"{key} is a text")
    base = table.get("base", DEFAULT)
    if base not in TITLES:
        raise UsageError(f"no built-in profile '{base}'", hint=f"base is one of {', '.join(TITLES)}")
    given = table.get("coefficients", {})
    if not isinstance(given, Mapping):
        raise UsageError("coefficients is a table")
    values = {}
    for key, value in given.items():
        if key in PROTOCOLS and isinstance(value, Mapping):
            for inner, one in value.items():
                found = _coefficient(f"{key}.{inner}", one, subject, step)
                values[found.name] = found
        else:
            found = _coefficient(key, value, subject, step)
            values[found.name] = found
    profile = built_in(base, step).with_values(values)
    deliver = table.get("deliver", profile.deliver)
    parse_deliver(deliver, profile.protocols())
    return replace(
        profile, name=table.get("name", subject), title=table.get("title", f"{subject} over {base}"), deliver=deliver
    )


def _coefficient(key: str, given: Any, subject: str, step: int) -> Coefficient:
    name = check_name(key)
    value, origin, source = given, "given", subject
    if isinstance(given, Mapping):
        unknown = [k for k in given if k not in VALUE_KEYS]
        if unknown or "value" not in given:
            raise UsageError(f"{name}: a table has value, and may have origin and source")
        value, origin, source = given["value"], given.get("origin", "given"), given.get("source", subject)
    if isinstance(value, bool):
        value = int(value)
    if not isinstance(value, str | int | float):
        raise UsageError(f"{name}: a value is a number or a text with a unit")
    if origin not in ORIGINS:
        raise UsageError(f"{name}: origin is one of {', '.join(ORIGINS)}")
    if not isinstance(source, str):
        raise UsageError(f"{name}: source is a text")
    text = value if isinstance(value, str) else _digits(value)
    return Coefficient(name, parse_value(name, text, step), origin, source)


def _digits(value: int | float) -> str:
    """Without an exponent: 1e-05 is no form that people type."""
    return str(value) if isinstance(value, int) else f"{value:.9f}".rstrip("0").rstrip(".")


def given(name: str, text: str, option: str, step: int = 1000) -> Coefficient:
    """One coefficient from the command line. Raises UsageError."""
    found = check_name(name)
    return Coefficient(found, parse_value(found, text, step), "given", option)


def profile_to(profile: Profile) -> str:
    """The profile as TOML, every coefficient with its meaning, origin and source; reads back as the same numbers."""
    lines = [
        f"# {profile.title}",
        "# Values: bytes, bits per second, seconds, percent, CPU marks, microseconds of one core per second;",
        '# texts with units ("2MB", "18k", "50s") do as well. Take out what you do not change.',
        f"base = {dumps(profile.name if profile.name in TITLES else DEFAULT)}",
        f"deliver = {dumps(profile.deliver)}",
        "",
        "[coefficients]",
    ]
    known = profile.coefficients
    lines += [_line(name, known[name]) for name in GENERAL if name in known]
    for protocol in profile.protocols():
        lines += ["", f"[coefficients.{protocol}]"]
        lines += [_line(name.partition(".")[2], known[name]) for name in NAMES
                  if name.startswith(protocol + ".") and name in known]  # fmt: skip
    return "\n".join(lines) + "\n"


def _line(key: str, coefficient: Coefficient) -> str:
    value = plain_number(coefficient.value).replace(",", "")
    source = dumps(coefficient.source, ensure_ascii=False)
    text = f'{key} = {{ value = {value}, origin = "{coefficient.origin}", source = {source} }}'
    return f"# {NAMES[coefficient.name].meaning} ({NAMES[coefficient.name].unit})\n{text}"
