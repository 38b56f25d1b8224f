"""The report in words."""

import pytest

from evotools.capacity import words
from evotools.capacity.answer import Answer, answer
from evotools.capacity.profiles import built_in
from evotools.capacity.question import Question, read
from evotools.capacity.sweep import Sweep, sweep


def ask(profile: str = "evotools", **options: object) -> Answer:
    question = Question(**options)  # type: ignore[arg-type]
    asked = read(question, built_in(profile, question.step))
    return answer(asked.demand, asked.profile, asked.machine)


def run(profile: str = "evotools", **options: object) -> Sweep:
    asked = read(Question(**options), built_in(profile))  # type: ignore[arg-type]
    assert asked.range is not None
    return sweep(asked.range, asked.demand, asked.profile, asked.machine)


def tables(found: Answer, step: int = 1000) -> dict[str, dict[str, tuple[str, ...]]]:
    """Title to rows by their first cell; untitled sections belong to the one before."""
    told: dict[str, dict[str, tuple[str, ...]]] = {}
    title = ""
    for section in words.of_answer(found, step, words.notes_on(found, step)):
        title = section.title or title
        told.setdefault(title, {}).update({row[0]: row[1:] for row in section.rows})
    return told


def test_requirements() -> None:
    told = tables(ask("mistserver-2018", publishers="50", bitrate="2M", viewers="600"))
    assert told["Requirements"] == {
        "CPU": ("1.75 cores, CPU mark 2,210", "1.75 cores, CPU mark 2,210", "+0 %"),
        "RAM": ("2.55 GB (2.375 GiB)", "2.805 GB (2.612 GiB)", "+10 %"),
        "network": ("1.2 Gbit/s out, 100 Mbit/s in", "1.2 Gbit/s out, 100 Mbit/s in", "+0 %"),
        "": ("1.3 Gbit/s together", "1.3 Gbit/s together", ""),
        "disk": ("nothing", "45 GB for each hour of recordings", ""),
    }
    assert told["Asked"]["streams"] == ("50 × 2 Mbit/s",)
    assert told["Asked"]["DVR window"] == ("50 s",)


def test_in_steps_of_1024_units_say_so() -> None:
    told = tables(ask("mistserver-2018", publishers="50", bitrate="2M", viewers="600", record="1h", step=1024), 1024)
    assert told["Requirements"]["RAM"][1] == "2.739 GiB"
    assert told["Requirements"]["network"][0] == "1.172 Gibit/s out, 100 Mibit/s in"
    assert told["Requirements"]["disk"][0] == "43.95 GiB"
    assert any("1024" in note for note in told["Notes"])


def test_capacity_names_the_bottleneck() -> None:
    told = tables(ask("mistserver-2018", cpu_mark="25236", bitrate="2M", ram="4GB", disk="1TB"))
    capacity = told["Capacity"]
    assert capacity["CPU"] == ("25,236 marks", "25,236 marks", "3.4 marks", "7,421", "")
    assert capacity["RAM"] == ("4 GB", "3.636 GB", "27 MB", "1,804", "runs out first")
    assert capacity["disk"][3] == "no matter"
    assert capacity["viewers"] == ("1,804 at most; RAM runs out first",)
    assert capacity["recordings"] == ("1,111.1 hours of the recording",)
    assert "verdict" not in capacity


def test_verdicts() -> None:
    fits = ask("mistserver-2018", cpu_mark="340", bitrate="1M", viewers="99")
    assert (tables(fits)["Capacity"]["verdict"], words.shortage(fits)) == (("99 viewers fit",), "")
    short = ask("mistserver-2018", cpu_mark="340", link="10M", bitrate="1M", viewers="100")
    assert words.shortage(short) == "CPU, network do not carry 100 viewers"
    alone = ask("mistserver-2018", link="10M", bitrate="1M", publishers="20")
    assert words.shortage(alone) == "network does not carry the streams and recordings alone"


def test_the_sums_show_every_term() -> None:
    found = ask(publishers="2", bitrate="2M", viewers="10", deliver="hls=50,flv=50", package="dash", record="1h")
    rows = next(s for s in words.of_answer(found, 1000, []) if s.title.startswith("How")).rows
    assert len(rows) == len(found.load.parts)
    assert {row[1] for row in rows} == {p.label for p in found.load.parts}
    assert ("CPU", "server", "5,000 µs/s", "", "5,000 µs/s") in rows


def test_every_used_constant_is_listed_with_origin_and_source() -> None:
    found = ask(bitrate="2M", viewers="10", constants={"ram_base": "50MB"})
    told = tables(found)["Coefficients"]
    assert told["ram_base"] == ("50 MB", "given", "command line")
    assert told["hls.cpu_us_per_viewer"][:2] == ("25 µs/s", "measured")
    assert told["full_duplex"][0] == "yes"
    assert {c.name for c in found.load.coefficients if c.value} <= set(told)
    assert "1 given" in told


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({"ladder": "1M,2M", "viewers": "5"}, "transcoding"),
        ({"bitrate": "1M", "viewers": "5", "deliver": "webrtc=50,flv=50"}, "does not deliver webrtc yet"),
        ({"bitrate": "1M", "cores": "8"}, "uses 1 of the cores"),
        ({"bitrate": "2M", "viewers": "100k"}, "this takes 9 of them"),
        ({"bitrate": "1M", "disk": "1TB"}, "limits the viewers"),
    ],
)
def test_notes(options: dict[str, str], note: str) -> None:
    found = ask(**options)
    assert [n for n in words.notes_on(found, 1000) if note in n]


def test_the_source_s_profile_says_that_it_knows_no_protocols() -> None:
    found = ask("mistserver-2018", bitrate="1M", viewers="5", deliver="hls=50,webrtc=50")
    assert [n for n in words.notes_on(found, 1000) if "no difference between" in n]
    assert not words.notes_on(ask("mistserver-2018", bitrate="1M", viewers="5"), 1000)


def test_a_sweep_has_a_row_for_each_point() -> None:
    found = run("mistserver-2018", viewers="100..200:100", publishers="50", bitrate="2M", cpu_mark="600")
    asked, table = words.of_sweep(found, 1000)
    assert table.header == ("viewers", "cores", "CPU mark", "RAM", "network out", "network in", "")
    assert table.rows == [
        ("100", "0.41", "510", "1.705 GB", "200 Mbit/s", "100 Mbit/s", "fits"),
        ("200", "0.68", "850", "1.925 GB", "400 Mbit/s", "100 Mbit/s", "CPU short"),
    ]
    assert {r[0]: r[1] for r in asked.rows}["viewers"] == "2 Mbit/s each"
    assert (
        words.subtitle(found, 1000) == "50 × 2 Mbit/s · viewers 2 Mbit/s each · window 50 s · profile mistserver-2018"
    )


def test_a_sweep_of_machines() -> None:
    found = run("mistserver-2018", link="10M..20M:10M", bitrate="1M", cpu_mark="50", disk="450MB")
    _, table = words.of_sweep(found, 1000)
    assert table.header == ("link", "CPU carries", "network carries", "viewers", "hours", "runs out first")
    assert table.rows == [
        ("10 Mbit/s", "13", "9", "9", "1.0", "network"),
        ("20 Mbit/s", "13", "19", "13", "1.0", "CPU"),
    ]


def test_disk_gets_a_column_when_there_is_any() -> None:
    _, table = words.of_sweep(run("mistserver-2018", publishers="1..2:1", bitrate="8M", viewers="0", record="1h"), 1000)
    assert [row[-1] for row in table.rows] == ["3.6 GB", "7.2 GB"]
