"""Options as people type them, and what they ask."""

from fractions import Fraction

import pytest

from evotools.capacity.demand import Rendition, Stream
from evotools.capacity.profiles import built_in
from evotools.capacity.question import MARGIN, Asked, Question, read
from evotools.errors import UsageError

REPORT = Stream((Rendition(4000, Fraction(1)),), origin="film.mp4")


def ask(profile: str = "evotools", **options: object) -> Asked:
    question = Question(**options)  # type: ignore[arg-type]
    return read(question, built_in(profile, question.step))


def test_streams_of_every_kind_add_up() -> None:
    asked = ask(publishers="3", bitrate="1k", streams=("2kx5@9", "3k"), reports=(REPORT,), viewers="10", record="1m")
    demand = asked.demand
    assert [(s.count, s.ingest_bps, s.viewers, s.record_s) for s in demand.streams] == [
        (3, 1000, None, 60), (1, 4000, None, 60), (1, 2000, 5, 9), (1, 3000, None, 60),
    ]  # fmt: skip
    assert demand.total_viewers == 15


def test_one_publisher_unless_said() -> None:
    assert ask(bitrate="1M", viewers="1").demand.publishers == 1
    assert ask(bitrate="1M", viewers="1", publishers="0").demand.publishers == 0
    assert ask(reports=(REPORT,), viewers="1", publishers="7").demand.publishers == 7
    assert ask("mistserver-2018", cpu_mark="99").demand.publishers == 0


def test_the_profile_gives_window_and_delivery() -> None:
    assert (ask(bitrate="1M").demand.dvr_s, ask("mistserver-2018", bitrate="1M").demand.dvr_s) == (12, 50)
    assert ask(bitrate="1M").demand.deliver == (("hls", 1),)
    asked = ask(bitrate="1M", dvr="2m", deliver="flv", package="dash,hls").demand
    assert (asked.dvr_s, asked.deliver, asked.packages) == (120, (("flv", 1),), ("dash", "hls"))


def test_the_machine() -> None:
    machine = ask(bitrate="1M", cores="2.5", ram="16GiB", link="10G", disk="4TB").machine
    assert (machine.cpu_mark, machine.ram_bytes) == (Fraction(5, 2) * 1260, 16 * 2**30)
    assert (machine.link_bps, machine.disk_bytes) == (10**10, 4 * 10**12)
    assert ask(bitrate="1M", cpu_mark="25236").machine.known == ["cpu"]


def test_steps_of_1024_hold_everywhere() -> None:
    asked = ask("mistserver-2018", bitrate="2M", ram="1GB", link="1G", step=1024)
    assert asked.demand.ingest_bps == 2 * 2**20
    assert (asked.machine.ram_bytes, asked.machine.link_bps) == (2**30, 2**30)
    assert asked.profile["ram_per_connection"] == 2 * 2**20


def test_constants_from_the_command_line() -> None:
    asked = ask(bitrate="1M", constants={MARGIN: "50%", "margin_ram": "5", "hls.ram-s": "2s"})
    assert [asked.profile[f"margin_{r}"] for r in ("cpu", "ram", "network", "disk")] == [50, 5, 50, 50]
    assert asked.profile["hls.ram_s"] == 2
    assert asked.profile.coefficients["hls.ram_s"].origin == "given"


@pytest.mark.parametrize(
    ("options", "option", "values"),
    [
        ({"viewers": "1..3", "bitrate": "1M"}, "--viewers", (1, 2, 3)),
        ({"publishers": "2..4:2", "bitrate": "1M"}, "--publishers", (2, 4)),
        ({"publishers": "2..4:2", "ladder": "1M,2M"}, "--publishers", (2, 4)),
        ({"bitrate": "1M..2M:500k", "viewers": "5"}, "--bitrate", (10**6, 1_500_000, 2 * 10**6)),
        ({"cores": "1..2x3", "bitrate": "1M"}, "--cores", (1, Fraction(3, 2), 2)),
        ({"ram": "1GiB..2GiB:512MiB", "bitrate": "1M"}, "--ram", (2**30, 3 * 2**29, 2**31)),
    ],
)
def test_ranges(options: dict[str, str], option: str, values: tuple[Fraction, ...]) -> None:
    found = ask(**options).range
    assert found is not None
    assert (found.option, found.values) == (option, values)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"viewers": "x", "bitrate": "1M"}, "--viewers: 'x'"),
        ({"publishers": "x", "bitrate": "1M"}, "--publishers: 'x'"),
        ({"bitrate": "x"}, "--bitrate: 'x'"),
        ({"ladder": "x"}, "--ladder: 'x'"),
        ({"streams": ("x",)}, "--stream: 'x'"),
        ({"record": "x", "bitrate": "1M"}, "--record: 'x'"),
        ({"dvr": "x", "bitrate": "1M"}, "--dvr: 'x'"),
        ({"ram": "x", "bitrate": "1M"}, "--ram: 'x'"),
        ({"link": "0", "bitrate": "1M"}, "--link: 0"),
        ({"disk": "2000PB", "bitrate": "1M"}, "--disk: 2000PB"),
        ({"cores": "9999999", "bitrate": "1M"}, "--cores"),
        ({"cpu_mark": "1", "cores": "1"}, "say the same"),
        ({"ladder": "1M,2M", "bitrate": "1M"}, "--ladder and --bitrate"),
        ({"ladder": "1M,2M", "bitrate": "1M..2M"}, "--bitrate"),
        ({"publishers": "2", "streams": ("1M",)}, "which stream"),
        ({"publishers": "2", "reports": (REPORT, REPORT)}, "which stream"),
        ({"streams": ("1Mx5",), "viewers": "9"}, "viewers of its own"),
        ({"viewers": "1..5", "bitrate": "1M..2M"}, "one range at a time"),
        ({"viewers": "5..1", "bitrate": "1M"}, "rise"),
        ({"viewers": "1..x", "bitrate": "1M"}, "--viewers: 'x'"),
        ({"scale": "log", "bitrate": "1M"}, "needs a range"),
        ({"scale": "cubic", "bitrate": "1M"}, "--scale"),
        ({"publishers": "1..5", "streams": ("1M",)}, "one kind"),
        ({"bitrate": "1M..2M", "streams": ("1M",)}, "no other description"),
        ({"constants": {"x": "1"}}, "'x'"),
        ({"constants": {MARGIN: "x"}}, "--margin"),
        ({"constants": {MARGIN: "20000"}}, "more than 10000 %"),
        ({"streams": ("1M",) * 10_001}, "more than 10000 kinds"),
    ],
)
def test_mistakes_name_their_option(options: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        ask(**options)
