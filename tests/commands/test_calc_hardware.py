"""`evotools calc-hardware` as a child process."""

import json
import os
import pty
import re
import select
import signal
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.commands.program import ENVIRONMENT, EVOTOOLS, error_line, run, shell, start
from tests.together import together

MIST = ("--profile", "mistserver-2018")


def calc(*args: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return run("--no-config", "calc-hardware", *args, **options)


def report(*args: str, **options: Any) -> dict[str, Any]:
    done = calc("--json", *args, **options)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@together
def test_requirements_for_people() -> None:
    done = calc("--publishers", "20", "--viewers", "5000", "--bitrate", "3M", "--deliver", "hls=70,webrtc=30")
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert text.startswith(
        "Asked\n  streams     20 × 3 Mbit/s\n  viewers     5,000, 3 Mbit/s each, hls 70 %, webrtc 30 %\n"
    )
    for word in (
        "Requirements",
        "How it adds up",
        "Coefficients",
        "measured",
        "prototype",
        "computed",
        "assumed",
        "Notes",
    ):
        assert word in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100


@together
def test_the_source_s_example_and_its_capacity() -> None:
    found = report(*MIST, "--publishers", "50", "--bitrate", "2M", "--viewers", "600")
    assert found["requirements"]["with_margin"]["ram_bytes"] == 2_805_000_000
    found = report(*MIST, "--cpu-mark", "25236")
    assert (found["capacity"]["viewers"], found["capacity"]["bottleneck"]) == (7422, "cpu")


@together
def test_a_machine_that_is_too_small_is_exit_3_after_the_report() -> None:
    done = calc("--viewers", "5000", "--bitrate", "3M", "--link", "10G", "--ram", "32GiB")
    assert done.returncode == 3
    assert b"network runs out first" in done.stdout
    assert error_line(done) == (
        "evotools calc-hardware: network does not carry 5,000 viewers; the report tells what would [exit 3]"
    )
    done = calc("--json", "--viewers", "5000", "--bitrate", "3M", "--link", "10G")
    assert done.returncode == 3
    assert json.loads(done.stdout)["capacity"]["short"] == ["network"]
    assert calc("--viewers", "500", "--bitrate", "3M", "--link", "10G").returncode == 0


@pytest.mark.interop
@together
def test_a_report_of_probe_through_a_pipe() -> None:
    line = ("evotools videogen --duration 2s --no-realtime | evotools probe --json - | "
            "evotools calc-hardware --from - --viewers 5000 --json")  # fmt: skip
    codes, out, err = shell(line)
    assert (codes, err) == ([0, 0, 0], b"")
    found = json.loads(out)
    (stream,) = found["demand"]["streams"]
    assert stream["origin"] == "-"
    # Picture and sound of the test stream together.
    assert 300_000 < stream["renditions"][0]["bitrate_bps"] < 3_000_000
    assert found["requirements"]["needed"]["network_out_bps"] > 5000 * stream["renditions"][0]["bitrate_bps"]


@together
def test_reports_in_files(tmp_path: Path) -> None:
    one = {"schema": "evotools.probe/1", "source": "a.mp4", "tracks": [{"bitrate_bps": 1_000_000}]}
    (tmp_path / "one.json").write_text(json.dumps(one, indent=2))
    (tmp_path / "lines.json").write_text(f"{json.dumps(one)}\n{json.dumps(one)}\n")
    both = report("--from", str(tmp_path / "one.json"), "--from", str(tmp_path / "lines.json"), "--viewers", "1")
    assert both["demand"]["ingest_bps"] == 3_000_000
    many = report("--from", str(tmp_path / "one.json"), "--publishers", "9", "--viewers", "1")
    assert many["demand"]["ingest_bps"] == 9_000_000


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"), (b"\xff\xd8\xff\xe0", "not text"), (b"GIF89a", "not JSON"), (b"{}", "no report of probe"),
        (b"\xef\xbb\xbf{}", "no report"), (b'{"schema": "evotools.probe/2"}', "'evotools.probe/2', not evotools."),
    ],
)  # fmt: skip
@together
def test_what_is_no_report(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    done = calc("--from", str(path), "--viewers", "1")
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"--from {path}: " in error_line(done)
    assert told in error_line(done)
    piped = calc("--from", "-", "--viewers", "1", stdin=content)
    assert (piped.returncode, piped.stdout) == (2, b"")
    assert "--from standard input: " in error_line(piped)


@together
def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    done = calc("--from", str(tmp_path / "none.json"), "--viewers", "1")
    assert done.returncode == 4
    assert error_line(done).endswith("none.json: No such file or directory [exit 4]")
    assert calc("--from", str(tmp_path), "--viewers", "1").returncode == 4
    assert calc("--from", "-", "--from", "-", "--viewers", "1").returncode == 2
    done = calc("--profile", str(tmp_path / "none.toml"), "--viewers", "1", "--bitrate", "1M")
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "how many viewers, or on what machine?"),
        (("--viewers", "5"), "--bitrate 3M"),
        (("--viewers", "-5", "--bitrate", "3M"), "'-5' is not a whole number"),
        (("--viewers", "5", "--bitrate", "0"), "0 bit/s cannot be"),
        (("--viewers", "5", "--bitrate", "3M", "--deliver", "hls=70,flv=20"), "add up to 90, not 100"),
        (("--viewers", "5", "--bitrate", "3M", "--margin", "-1"), "not a percentage"),
        (("--viewers", "999999999999", "--bitrate", "3M"), "more than 10,000,000,000"),
        (("--viewers", "5", "--bitrate", "3M", "--profile", "nginx"), "evotools, mistserver-2018"),
        (("--viewers", "5", "--bitrate", "3M", "--set", "ram_widnows=1"), "did you mean ram_windows?"),
        (("--viewers", "5", "--bitrate", "3M", "--set", "ram_windows"), "has no value"),
        (("--viewers", "5", "--bitrate", "3M", "--svg", "x.svg"), "--svg draws a range"),
        (("--viewers", "5", "--bitrate", "3M", "--print-config"), "--print-profile"),
    ],
)
@together
def test_usage_errors_name_the_next_step(args: tuple[str, ...], told: str) -> None:
    done = calc(*args)
    assert (done.returncode, done.stdout) == (2, b"")
    assert told in error_line(done)


@together
def test_constants_by_options_by_name_and_by_file(tmp_path: Path) -> None:
    profile = tmp_path / "rack.toml"
    profile.write_text('base = "mistserver-2018"\n[coefficients]\ncpu_per_connection = { value = 2, source = "May" }\n')
    asked = ("--viewers", "9", "--bitrate", "1M", "--profile", str(profile))
    assert report(*asked)["requirements"]["needed"]["cpu_mark"] == 20
    assert report(*asked, "--cpu-per-connection", "3")["requirements"]["needed"]["cpu_mark"] == 30
    assert report(*asked, "--set", "cpu_per_connection=4")["requirements"]["needed"]["cpu_mark"] == 40
    found = report(*asked, "--margin", "100%", "--ram-windows", "1", "--ram-per-connection", "1MB", "--full-duplex")
    assert found["requirements"]["with_margin"] == {
        "cpu_mark": 40, "cpu_cores": 0.032, "ram_bytes": 2 * (6_250_000 + 10_000_000), "network_bps": 18_000_000,
        "network_in_bps": 2_000_000, "network_out_bps": 18_000_000, "disk_bytes": 0,
    }  # fmt: skip
    assert {c["name"]: c["source"] for c in found["coefficients"]}["cpu_per_connection"] == "May"


@together
def test_a_printed_profile_gives_the_same_figures(tmp_path: Path) -> None:
    asked = ("--publishers", "7", "--viewers", "999", "--bitrate", "1M", "--record", "--deliver", "hls=50,srt=50")
    done = calc("--print-profile")
    assert (done.returncode, done.stderr) == (0, b"")
    (tmp_path / "mine.toml").write_bytes(done.stdout)
    ours, mine = report(*asked), report(*asked, "--profile", str(tmp_path / "mine.toml"))
    assert ours["requirements"] == mine["requirements"]
    changed = calc("--print-profile", "--set", "ram_base=50MB").stdout
    assert b'ram_base = { value = 50000000, origin = "given", source = "command line" }' in changed


@together
def test_record_without_a_time() -> None:
    for args in (("--record", "--viewers", "0", "--bitrate", "8M"), ("--viewers", "0", "--bitrate", "8M", "--record")):
        assert report(*MIST, *args)["requirements"]["needed"]["disk_bytes"] == 3_600_000_000
    found = report(*MIST, "--viewers", "0", "--bitrate", "8M", "--record", "30m")
    assert found["requirements"]["needed"]["disk_bytes"] == 1_800_000_000


@together
def test_binary_steps() -> None:
    found = report(*MIST, "--binary", "--publishers", "50", "--bitrate", "2M", "--viewers", "600")
    assert found["requirements"]["with_margin"]["ram_bytes"] == 2805 * 2**20
    assert found["prefix_step"] == 1024
    text = calc(*MIST, "--binary", "--publishers", "50", "--bitrate", "2M", "--viewers", "600").stdout.decode()
    assert "2.739 GiB" in text
    # All but what the source's own words say.
    assert not re.search(r"\d [kMG](B|bit/s)", text.partition("Coefficients")[0])


@together
def test_a_sweep_has_a_table_a_plot_and_json() -> None:
    asked = ("--viewers", "100..10000", "--publishers", "20", "--bitrate", "3M")
    text = calc(*asked).stdout.decode()
    assert "Requirements, margins included\n  viewers  cores" in text
    assert len(re.findall(r"[\u2801-\u28ff]", text)) > 200
    assert "\x1b" not in text
    plain = calc(*asked, "--no-plot").stdout.decode()
    assert not re.search(r"[\u2800-\u28ff]", plain)
    found = report(*asked)
    assert [p["viewers"] for p in found["sweep"]["points"]][::6] == [100, 1000, 10000]
    assert found["sweep"]["scale"] == "log"


@together
def test_the_plot_fits_the_width_and_the_letters_of_the_output() -> None:
    asked = ("--viewers", "100..10000", "--bitrate", "3M")
    for columns in ("60", "100"):
        lines = calc(*asked, env={"COLUMNS": columns}).stdout.decode().splitlines()
        drawn = [line for line in lines if re.search(r"[┤│└]", line)]
        assert len(drawn) >= 30
        assert max(map(len, drawn)) <= int(columns)
        assert max(map(len, drawn)) > int(columns) - 15
    done = calc(*asked, env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"*****" in done.stdout
    assert done.stdout.isascii()


@together
def test_colour_follows_the_user() -> None:
    asked = ("--viewers", "100..10000", "--bitrate", "3M")
    forced = run("calc-hardware", *asked, "--color", "always").stdout
    assert b"\x1b[1m" in forced
    assert b"\x1b[33m" in forced
    assert b"\x1b" not in calc(*asked, env={"FORCE_COLOR": "1"}).stdout  # NO_COLOR is set for children
    seen = {}
    for choice in ("auto", "never"):
        environment = {k: v for k, v in ENVIRONMENT.items() if k != "NO_COLOR"}
        seen[choice] = on_terminal("--color", choice, "calc-hardware", *asked, env={**environment, "TERM": "xterm"})
    assert b"\x1b[1m" in seen["auto"]
    assert b"\x1b" not in seen["never"]


def on_terminal(*args: str, env: dict[str, str]) -> bytes:
    """What the program writes to a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([*EVOTOOLS, *args], stdin=follower, stdout=follower, stderr=follower, env=env)
    os.close(follower)
    seen = b""
    try:
        while select.select([leader], [], [], 30)[0]:
            try:
                data = os.read(leader, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not data:
                break
            seen += data
    finally:
        os.close(leader)
        assert process.wait(30) == 0, seen
    return seen


@together
def test_standard_input_on_a_terminal_is_refused() -> None:
    leader, follower = pty.openpty()
    try:
        done = subprocess.run([*EVOTOOLS, "calc-hardware", "--from", "-", "--viewers", "1"], stdin=follower,
                              capture_output=True, timeout=30, check=False, env=ENVIRONMENT)  # fmt: skip
    finally:
        os.close(leader)
        os.close(follower)
    assert done.returncode == 2
    assert "standard input is a terminal" in error_line(done)


@together
def test_ctrl_c_ends_the_wait_for_reports() -> None:
    process = start("calc-hardware", "--from", "-", "--viewers", "1", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    # The second thread is the one that reads.
    while len(os.listdir(f"/proc/{process.pid}/task")) < 2:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert process.communicate()[1] == b""


@together
def test_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "plan.svg"
    path.write_text("old")
    done = calc("--viewers", "100..10000", "--bitrate", "3M", "--link", "10G", "--svg", str(path), "--json")
    assert done.returncode == 0
    root = ElementTree.fromstring(path.read_bytes())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 7
    assert os.listdir(tmp_path) == ["plan.svg"]
    missing = calc("--viewers", "1..9", "--bitrate", "3M", "--svg", str(tmp_path / "no" / "x.svg"))
    assert missing.returncode == 1
    assert "No such file or directory" in error_line(missing)
    dry = calc("--viewers", "1..9", "--bitrate", "3M", "--svg", str(tmp_path / "dry.svg"), "--dry-run")
    assert (dry.returncode, dry.stdout.decode().strip()) == (0, f"calculate; write {tmp_path / 'dry.svg'}")
    assert os.listdir(tmp_path) == ["plan.svg"]


@together
def test_a_sweep_of_machines_names_the_bottleneck_of_each() -> None:
    found = report("--link", "1G..40G", "--publishers", "20", "--bitrate", "3M", "--cores", "1")
    points = found["sweep"]["points"]
    assert [points[0]["capacity"]["bottleneck"], points[-1]["capacity"]["bottleneck"]] == ["network", "cpu"]
    assert all(a["capacity"]["viewers"] <= b["capacity"]["viewers"] for a, b in zip(points, points[1:], strict=False))


@together
def test_quiet_says_nothing_and_still_judges() -> None:
    done = run("-q", "calc-hardware", "--viewers", "5000", "--bitrate", "3M", "--link", "10G")
    assert (done.returncode, done.stdout) == (3, b"")


@together
def test_a_reader_that_leaves() -> None:
    codes, _, err = shell("evotools calc-hardware --viewers 1..5000x500 --scale linear --bitrate 3M --json | head -1")
    assert (codes[0], err) == (141, b"")


@together
def test_help_has_three_examples_and_loads_nothing_heavy() -> None:
    text = run("calc-hardware", "--help").stdout.decode()
    assert text.count("evotools calc-hardware --") >= 3
    for name in ("--viewers", "--from", "--profile", "--svg", "--binary"):
        assert name in text
    done = subprocess.run(
        [*EVOTOOLS[:1], "-X", "importtime", *EVOTOOLS[1:], "calc-hardware", "--viewers", "1", "--bitrate", "1M"],
        capture_output=True, timeout=60, check=True, env=ENVIRONMENT,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert "evotools.capacity.model" in loaded
    assert not loaded & {"av", "numpy", "rich", "tqdm", "uvloop", "httptools"}


@together
def test_defaults_from_a_configuration_file(tmp_path: Path) -> None:
    config = tmp_path / "evotools.toml"
    config.write_text('[calc-hardware]\nbitrate = "1M"\nprofile = "mistserver-2018"\n')
    done = run("--config", str(config), "calc-hardware", "--viewers", "9", "--json")
    assert json.loads(done.stdout)["requirements"]["needed"]["network_bps"] == 10_000_000
