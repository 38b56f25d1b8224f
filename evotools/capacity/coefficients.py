"""The constants behind the calculators: their names and units, where each comes from, and sets of them as TOML.

A coefficient is an exact number in the unit of its name: bytes, bits per second, seconds, percent, CPU marks, or
microseconds of one core per second. `NAME` is one of the whole machine, `PROTOCOL.NAME` one of a way of delivery.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fractions import Fraction
from typing import NamedTuple

from evotools.errors import UsageError
from evotools.units import format_prefixed, parse_duration, parse_percent, parse_rate, parse_size


class Key(NamedTuple):
    """A coefficient's unit, as JSON names it, and what it says."""

    unit: str
    meaning: str


GENERAL = {
    "cpu_per_connection": Key("mark", "CPU mark for each viewer and each publisher"),
    "cpu_us_base": Key("us", "CPU time of the server, once"),
    "cpu_us_per_publisher": Key("us", "CPU time for each publisher"),
    "cpu_us_per_publisher_mbit": Key("us", "CPU time for each Mbit/s that publishers send"),
    "cpu_mark_per_core": Key("mark", "CPU mark of one core, to turn cores into marks and back"),
    "cpu_max_cores": Key("cores", "cores that one server can use; 0: all there are"),
    "ram_base": Key("bytes", "memory of the server, once"),
    "ram_per_connection": Key("bytes", "memory for each viewer and each publisher"),
    "ram_per_publisher": Key("bytes", "memory for each publisher besides its media"),
    "ram_windows": Key("factor", "copies of the DVR window of each stream that memory holds"),
    "ram_s": Key("s", "media of each stream that memory holds besides"),
    "ram_in_flight_s": Key("s", "media on its way to each viewer: socket buffers of the kernel"),
    "dvr": Key("s", "DVR window, where --dvr gives none"),
    "ingest_percent": Key("percent", "what the publishers' protocol adds on the wire"),
    "ingest_bps": Key("bps", "what the publishers' protocol adds on the wire, for each publisher"),
    "record_percent": Key("percent", "what the container adds to recordings"),
    "record_bps": Key("bps", "what the container adds to recordings, for each stream"),
    "package_windows": Key("factor", "copies of the DVR window on disk for each set of packaged segments"),
    "package_s": Key("s", "media of each packaged stream that memory holds until its segment is written"),
    "full_duplex": Key("flag", "1: the link carries its rate in each direction; 0: both directions share it"),
    "margin_cpu": Key("percent", "margin on CPU"),
    "margin_ram": Key("percent", "margin on memory"),
    "margin_network": Key("percent", "margin on the network"),
    "margin_disk": Key("percent", "margin on disk"),
}
"""Coefficients of the machine as a whole."""

DELIVERY = {
    "cpu_us_per_viewer": Key("us", "CPU time for each viewer"),
    "cpu_us_per_viewer_mbit": Key("us", "CPU time for each viewer and Mbit/s of media"),
    "cpu_us_per_stream": Key("us", "CPU time for each stream that is delivered so"),
    "ram_per_viewer": Key("bytes", "memory for each viewer"),
    "ram_windows": Key("factor", "copies of the DVR window of each stream in this form"),
    "ram_s": Key("s", "media of each stream that memory holds in this form besides"),
    "container_percent": Key("percent", "what the container adds"),
    "container_bps": Key("bps", "what the container adds, for each viewer"),
    "transport_percent": Key("percent", "what HTTP, TCP or UDP, IP and Ethernet add to the container"),
    "transport_bps": Key("bps", "what they add for each viewer: requests, playlists, packets that are not full"),
}
"""Coefficients of each way of delivery."""

PROTOCOLS = {
    "any": "", "rtmp": "", "flv": "", "ts": "", "ws": "", "hls": "ts", "hls-fmp4": "cmaf", "ll-hls": "cmaf",
    "dash": "cmaf", "mss": "mss", "hds": "hds", "rtsp": "", "srt": "", "webrtc": "",
}  # fmt: skip
"""Ways of delivery, and the set of segments that each needs: those of one set share them. `any` makes no difference."""

ORIGINS = {
    "measured": "by us, on this program",
    "prototype": "measured by us on a prototype or a foreign program; this program does not do it yet",
    "computed": "from formats, protocols and how the program is made",
    "vendor": "published by a vendor",
    "assumed": "a choice that nobody measured",
    "given": "on the command line or in a profile",
}

NAMES = {**GENERAL, **{f"{p}.{n}": key for p in PROTOCOLS for n, key in DELIVERY.items()}}
"""Every coefficient by its full name."""

MAX_VALUE = Fraction(10**18)
"""No coefficient means anything beyond: an exabyte, 30,000 years. Keeps exact arithmetic quick."""


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One constant, in the unit of `NAMES[name]`."""

    name: str
    value: Fraction
    origin: str
    """A key of ORIGINS."""
    source: str

    @property
    def unit(self) -> str:
        """As JSON names it."""
        return NAMES[self.name].unit


@dataclass(frozen=True, slots=True)
class Profile:
    """A named set of coefficients."""

    name: str
    title: str
    deliver: str
    """The mix where none is asked for, as --deliver takes it."""
    coefficients: Mapping[str, Coefficient] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Fraction:
        """The value; what the set does not name is nothing."""
        found = self.coefficients.get(name)
        return found.value if found else Fraction(0)

    def protocols(self) -> list[str]:
        """The ways of delivery that the set knows."""
        return [p for p in PROTOCOLS if any(name.startswith(p + ".") for name in self.coefficients)]

    def with_values(self, values: Mapping[str, Coefficient]) -> "Profile":
        """The same set with some replaced."""
        return replace(self, coefficients={**self.coefficients, **values})


def parse_value(name: str, text: str, step: int = 1000) -> Fraction:
    """The value of coefficient `name` in `text`, with units where it has some: `2MB`, `18k`, `10%`, `50s`, `3.4`.

    `step` is what k, M and G mean in rates and sizes. Raises UsageError.
    """
    unit = NAMES[name].unit
    try:
        value = _PARSERS[unit](text, step)
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", hint=error.hint) from None
    if value > MAX_VALUE:
        raise UsageError(f"{name}: {text} is beyond all measure")
    if unit == "flag" and value not in (0, 1):
        raise UsageError(f"{name} is 0 or 1, not '{text}'")
    if name == "cpu_mark_per_core" and not value:
        raise UsageError("cpu_mark_per_core cannot be 0", hint="it turns cores into CPU marks and back")
    return value


def _number(text: str, step: int) -> Fraction:
    try:
        # Not Fraction alone: it would also take 1/3, 1e9999999 and underscores.
        if not text.strip().replace(".", "", 1).isascii() or not text.strip().replace(".", "", 1).isdigit():
            raise ValueError
        return Fraction(text.strip())
    except ValueError:
        raise UsageError(f"'{text}' is not a number", hint="use forms such as 3.4 or 2") from None


def _seconds(text: str, step: int) -> Fraction:
    return Fraction(parse_duration(text)).limit_denominator(10**6)


_PARSERS: dict[str, Callable[[str, int], Fraction]] = {
    "mark": _number, "us": _number, "factor": _number, "cores": _number, "flag": _number, "s": _seconds,
    "bytes": lambda text, step: Fraction(parse_size(text, step)),
    "bps": lambda text, step: Fraction(parse_rate(text, step)),
    "percent": lambda text, step: parse_percent(text),
}  # fmt: skip


def check_name(name: str) -> str:
    """`name` as coefficients are named, dashes or underscores. Raises UsageError with the nearest one."""
    protocol, dot, rest = name.strip().lower().rpartition(".")
    found = f"{protocol}{dot}{rest.replace('-', '_')}"
    if found not in NAMES:
        near = get_close_matches(found, NAMES, n=1)
        raise UsageError(
            f"no coefficient is called '{name}'",
            hint=f"did you mean {near[0]}?" if near else "--print-profile lists them",
        )
    return found


def format_value(coefficient: Coefficient, step: int = 1000) -> str:
    """The value as people read it."""
    value, unit = coefficient.value, coefficient.unit
    if unit == "bytes":
        return format_prefixed(value, "B", step)
    if unit == "bps":
        return format_prefixed(value, "bit/s", step)
    if unit == "flag":
        return "yes" if value else "no"
    return (
        plain_number(value)
        + {"mark": " marks", "us": " µs/s", "s": " s", "percent": " %", "factor": " ×", "cores": " cores"}[unit]
    )


def plain_number(value: Fraction) -> str:
    """Decimal digits without an exponent, at most six behind the point."""
    return f"{float(value):,.6f}".rstrip("0").rstrip(".")
