"""How commands end while something hangs: signals, closed descriptors, peers that never come or never read."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.commands.program import ENVIRONMENT, EVOTOOLS, error_line, free_port, run, start
from tests.together import together


def started(*args: str) -> subprocess.Popen[bytes]:
    """A child whose loop runs: its events tell."""
    return start("-v", *args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for_line(process: subprocess.Popen[bytes], words: bytes) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError("it ended")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@together
def test_a_signal_while_waiting_for_a_publisher(number: int) -> None:
    process = started("ingest", f"rtmp://:{free_port()}/live/x", "-o", "null:")
    wait_for_line(process, b"waiting for a peer")
    process.send_signal(number)
    assert process.wait(5) == 128 + number


@together
def test_a_signal_while_the_only_destination_is_away(tmp_path: Path) -> None:
    process = started("relay", "-i", "test:?size=64x64", f"tcp://127.0.0.1:{free_port()}")
    wait_for_line(process, b"trying again")
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 4, "it was never reached, which is worth knowing"


def unsent(port: int) -> int:
    """How many bytes the kernel still has for the peer of the connection from this port."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].partition(":")[2], 16) == port:
            return int(fields[4].partition(":")[0], 16)
    return 0


def test_a_signal_while_a_destination_does_not_read_and_a_second_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        process = started(
            "relay", "--no-pace", "-i", "test:?size=640x360&realtime=0&bitrate=20M", f"tcp://127.0.0.1:{port}"
        )
        peer, _ = server.accept()
        peer.recv(1000)
        # Full is what takes no more for a while.
        before = 0
        while not before or unsent(peer.getpeername()[1]) != before:
            before = unsent(peer.getpeername()[1])
            time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
        peer.close()


@together
def test_programs_that_we_started_end_with_us(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    process = started("relay", "-i", f"ts-exec:sh -c 'sleep 1000 & echo $! >{pids}; wait'", "null:")
    while not pids.exists() or not pids.read_text().strip():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(8) == 143
    child = int(pids.read_text())
    for _ in range(500):
        try:
            if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                break
        except OSError:
            break
        time.sleep(0.01)
    else:
        pytest.fail("the child of the program lives on")


@together
def test_a_name_server_that_never_answers_does_not_delay_the_end() -> None:
    code = (
        "import socket, time, sys\n"
        "def hang(*a, **k): print('looking up', file=sys.stderr, flush=True); time.sleep(30)\n"
        "socket.getaddrinfo = hang\n"
        "from evotools.cli import main\n"
        "main(['relay', '-i', 'test:?size=64x64', 'rtmp://example.invalid/a/b'])\n"
    )
    process = subprocess.Popen(
        [EVOTOOLS[0], "-c", code], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT
    )
    wait_for_line(process, b"looking up")
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 143


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@together
def test_closed_standard_descriptors(closed: str, tmp_path: Path) -> None:
    out = tmp_path / "out.ts"
    line = f"{' '.join(EVOTOOLS)} relay -i 'test:?size=64x64&realtime=0&duration=1s' {out} {closed}"
    done = subprocess.run(["bash", "-c", line], env=ENVIRONMENT, timeout=60, check=False)
    assert done.returncode == 0
    assert json.loads(run("probe", "--json", str(out)).stdout)["tracks"][0]["frames"] == 25


@together
def test_nobody_reads_the_messages() -> None:
    read, write = os.pipe()
    os.close(read)
    process = start("relay", "-i", "/no/such.ts", "null:", stderr=write)
    os.close(write)
    assert process.wait(30) == 4


@together
def test_a_file_is_not_read_and_written_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(b"G" + bytes(187))
    for arguments in (["-i", str(path), f"{tmp_path}/./a.ts"], ["-i", "test:", "b.ts", "./b.ts"]):
        done = run("relay", "--force", *arguments)
        assert done.returncode == 2, done.stderr
        assert "named twice" in error_line(done)
    assert path.stat().st_size == 188


@together
def test_a_file_is_one_file_under_each_of_its_names(tmp_path: Path) -> None:
    path, other = tmp_path / "a.ts", tmp_path / "b.ts"
    path.write_bytes(b"G" + bytes(187))
    other.hardlink_to(path)
    done = run("relay", "--force", "-i", str(path), str(other))
    assert done.returncode == 2, done.stderr
    assert "named twice" in error_line(done)
    assert path.stat().st_size == 188


@together
def test_global_options_come_from_the_environment_too() -> None:
    done = run("relay", "-i", "/no/such.ts", "null:", env={"EVOTOOLS_EVENTS": "stderr"})
    assert json.loads(done.stderr.splitlines()[-2])["code"] == 4
    done = run("relay", "-i", "test:", "null:", env={"EVOTOOLS_LOG_FORMAT": "xml"})
    assert done.returncode == 2


@together
def test_a_reader_that_leaves_ends_only_its_own_destination(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    relay = f"{' '.join(EVOTOOLS)} relay -i 'test:?size=64x64&duration=2s' - {out}"
    line = f"{relay} | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], env=ENVIRONMENT, timeout=60, check=False, capture_output=True)
    assert done.returncode == 3, done.stderr
    assert json.loads(run("probe", "--json", str(out)).stdout)["tracks"][0]["frames"] == 50
