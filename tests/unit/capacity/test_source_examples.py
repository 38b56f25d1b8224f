"""The worked examples of the source document (MistServer's blog, 1 March 2018), with the slips of its arithmetic.

Each test says what the document prints, what its own formula gives, and where the difference comes from.
"""

from fractions import Fraction

import pytest

from evotools.capacity.answer import Answer, answer
from evotools.capacity.profiles import built_in
from evotools.capacity.question import Question, read

MB = 10**6
MBIT = 10**6


def ask(**options: object) -> Answer:
    question = Question(**options)  # type: ignore[arg-type]
    asked = read(question, built_in("mistserver-2018", question.step))
    return answer(asked.demand, asked.profile, asked.machine)


def test_cpu_mark_25236() -> None:
    # The document: "will be able to handle 7010 viewers". Its rule of 3.4 points a viewer gives 25236 / 3.4 = 7422.35;
    # 7010 is 25236 / 3.6, so the example was worked with another constant than the text names.
    found = ask(cpu_mark="25236").capacity
    assert found is not None
    assert (found.viewers, found.bottleneck) == (7422, "cpu")
    assert 25236 / 3.6 == 7010

    # The formula list counts incoming streams as connections too: 50 of them take the place of 50 viewers.
    with_streams = ask(cpu_mark="25236", publishers="50").capacity
    assert with_streams is not None
    assert with_streams.viewers == 7422 - 50


def test_memory_of_50_streams_and_600_viewers() -> None:
    # The document: "12.5×2×50 = 725 MB + 2×650 = 2025MB", "at least 2.2GB".
    # 12.5 × 2 × 50 is 1250, not 725; with 2 × 650 = 1300 for the connections the sum is 2550 MB.
    found = ask(publishers="50", bitrate="2M", viewers="600")
    assert found.needs is not None
    assert found.needs_with_margin is not None
    assert found.needs.ram_bytes == 2550 * MB
    assert (12.5 * 2 * 50, 725 + 2 * 650) == (1250, 2025)
    # With its margin of 10 % 2805 MB: the advised 2.2 GB are 605 MB short (21 % of the need).
    assert found.needs_with_margin.ram_bytes == 2805 * MB
    assert found.needs.cpu_mark == 2210
    streams = sum(p.fixed for p in found.load.parts if p.label == "media of the streams")
    assert streams == 1250 * MB


def test_memory_by_the_formula_list() -> None:
    # The list at the document's end says "2*Viewers", the text above it "per active connection (either direction)":
    # 1250 + 1200 = 2450 MB, 2695 with margin. The calculators follow the text; without publishers both agree.
    found = ask(publishers="50", bitrate="2M", viewers="600")
    assert found.needs is not None
    publishers = next(p for p in found.load.parts if p.resource == "ram" and p.label == "publishers")
    assert found.needs.ram_bytes - publishers.fixed == 2450 * MB
    assert (found.needs.ram_bytes - publishers.fixed) * Fraction(11, 10) == 2695 * MB


def test_memory_in_steps_of_1024() -> None:
    # "the steps between kilo, mega and giga are 1024": 2805 of its megabytes are 2.74 of its gigabytes.
    found = ask(publishers="50", bitrate="2M", viewers="600", step=1024)
    assert found.needs_with_margin is not None
    assert found.needs_with_margin.ram_bytes == 2805 * 2**20
    assert found.needs_with_margin.ram_bytes / 2**30 == pytest.approx(2.739, abs=1e-3)
    assert found.needs_with_margin.network_bps == 1300 * 2**20


ONE_TWO_TWO = ("1Mx50", "2Mx150", "2Mx150")


@pytest.mark.parametrize(
    ("fives", "mbit"),
    [
        # As the text lists them, two streams of 5 Mbit/s: 1×51 + 2×302 + 5×152.
        (("5Mx75", "5Mx75"), 1415),
        # As its formula counts them, three: 1×51 + 2×302 + 5×153.
        (("5Mx50", "5Mx50", "5Mx50"), 1420),
    ],
)
def test_network_of_the_example(fives: tuple[str, ...], mbit: int) -> None:
    # The document: "6 streams, one of 1mbps, two of 2mbps and 2 of 5mbps" (which are five), then
    # "1mbps×(50+1)+2mbps×(300+2)+5mbps×(150+3) = 1568mbps". That product is 51 + 604 + 765 = 1420; no step of 1024
    # explains 1568 (1420 × 1.024 = 1454, × 1.0486 = 1489).
    found = ask(streams=ONE_TWO_TWO + fives)
    assert found.needs is not None
    assert found.viewers == 500
    assert found.needs.network_bps == mbit * MBIT
    assert found.needs.network_in_bps + found.needs.network_out_bps == mbit * MBIT
    assert 51 + 604 + 765 == 1420


@pytest.mark.parametrize(
    ("fives", "megabytes"),
    [
        # "(1×20×60+2×2×20×60+5×2×20×60) / 8 = 2250MB" is right for the five streams of the formula …
        (("5M@20m", "5M@20m"), 2250),
        # … and six, three of them of 5 Mbit/s as in the bandwidth formula, take 3000 MB.
        (("5M@20m", "5M@20m", "5M@20m"), 3000),
    ],
)
def test_disk_of_the_example(fives: tuple[str, ...], megabytes: int) -> None:
    # "So you would need a little over 2GB": 2250 MB are 2.25 GB, or 2.197 in steps of 1024.
    found = ask(streams=("1M@20m", "2M@20m", "2M@20m", *fives), viewers="0")
    assert found.needs is not None
    assert found.needs.disk_bytes == megabytes * MB


def test_disk_by_the_formula_list() -> None:
    # "Total_duration_of_recordings×Average_stream_quality_mbps / 8" holds only when the duration is the total over all
    # recordings: 50 recordings of 20 minutes are 1000 minutes. Taken as the length of one, a factor of 50 is missing.
    found = ask(publishers="50", bitrate="2M", record="20m", viewers="0")
    assert found.needs is not None
    assert found.needs.disk_bytes == 50 * 20 * 60 * 2 * MBIT // 8 == 15_000 * MB


def test_cpu_bandwidth_and_storage_formulas() -> None:
    found = ask(publishers="4", bitrate="3M", viewers="1000", record="1h")
    assert found.needs is not None
    assert found.needs.cpu_mark == 3414  # 3.4 × 1004, rounded up
    assert found.needs.network_bps == 3 * MBIT * 1004
    assert found.needs.disk_bytes == 4 * 3600 * 3 * MBIT // 8


def test_both_calculators_agree() -> None:
    """What the capacity calculator answers is what the requirements calculator asks for, for each resource."""
    found = ask(publishers="50", bitrate="2M", viewers="600")
    assert found.needs_with_margin is not None
    need = found.needs_with_margin
    back = ask(publishers="50", bitrate="2M", cpu_mark=str(need.cpu_mark), ram=str(need.ram_bytes),
               link=str(need.network_bps), disk="9GB")  # fmt: skip
    assert back.capacity is not None
    assert back.capacity.by_resource == {"cpu": 600, "ram": 600, "network": 600, "disk": None}
    assert back.capacity.viewers == 600
    # 9 GB for 50 streams of 2 Mbit/s: 12.5 MB a second.
    assert back.capacity.record_hours == Fraction(9000, 125) * 10 / 3600
    assert back.capacity.bottleneck == "cpu"


def test_another_window() -> None:
    # 12.5 MB per Mbit/s is twice a window of 50 s; with 10 s it is 2.5 MB.
    found = ask(publishers="1", bitrate="1M", viewers="0", dvr="10s")
    assert found.needs is not None
    assert found.needs.ram_bytes == 2.5 * MB + 2 * MB
