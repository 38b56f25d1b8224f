"""The command contract: exit codes, one-line errors, stdout against stderr, secrets, signals, broken pipes."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.commands.program import ENVIRONMENT, EVOTOOLS, Serving, error_line, free_port, run, shell, start, stop
from tests.conftest import run_ffmpeg
from tests.together import together

SECRET = "sk-53cr3t-91823"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of the test stream."""
    path = tmp_path_factory.mktemp("clip") / "clip.ts"
    done = run("videogen", "--size", "64x64", "--seed", "1", "--duration", "2s", "--no-realtime", "-o", str(path))
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["relya"], 2, "did you mean relay"),
        (["relay"], 2, "Missing argument"),
        (["relay", "--nope", "x.ts"], 2, "No such option"),
        (["--frob"], 2, "no such option"),
        (["ingest", "gopher://h/x"], 2, "cannot read from 'gopher'"),
        (["ingest", "udp://127.0.0.1:5000?frob=1", "-o", "null:"], 2, "unknown option 'frob'"),
        (["ingest", "null:", "-o", "x.ts"], 2, "not for reading"),
        (["relay", "-i", "test:", "test:"], 2, "not for writing"),
        (["relay", "-i", "/no/such/file.ts", "null:"], 4, "No such file"),
        (["ingest", "tcp://127.0.0.1:1", "-o", "null:"], 4, "onnection refused"),
        (["ingest", "rtmp://no-such-host.invalid/a/b", "-o", "null:"], 4, "not known"),
        (["relay", "-i", "test:", "null:", "--duration", "soon"], 2, "not a duration"),
        (["relay", "-i", "test:", "null:", "--track", "??"], 2, "not a track selector"),
        (["relay", "-i", "exec:no-such-program-here", "null:"], 4, "cannot start"),
        (["relay", "-i", "exec:false", "null:"], 1, "status 1"),
        (["relay", "-i", "fd:77", "null:"], 2, "not open"),
        (["--log-format=xml", "relay", "x"], 2, "--log-format"),
        (["serve", "-c", "/no/such.toml"], 2, "No such file"),
        (["serve", "--set", "hub.nope=1"], 2, "unknown key"),
        (["probe", "/no/such/file.ts"], 4, "No such file"),
    ],
)  # fmt: skip
@together
def test_one_line_and_the_documented_code(args: list[str], code: int, words: str) -> None:
    done = run(*args)
    line = error_line(done)
    assert words in line
    assert line.endswith(f"[exit {code}]")
    assert done.returncode == code
    assert done.stdout == b""


@together
def test_garbage_is_unsuitable_media_and_emptiness_no_media() -> None:
    done = run("relay", "null:", stdin=b"\x00garbage" * 20000)
    assert done.returncode == 6, done.stderr
    assert "cannot tell what kind of media" in error_line(done)
    done = run("relay", "null:", stdin=b"")
    assert done.returncode == 7, done.stderr


@together
def test_a_reader_that_leaves_ends_us_by_sigpipe_in_silence() -> None:
    status, _, stderr = shell("evotools videogen --size 64x64 | head -c 1 >/dev/null")
    assert status == [141, 0]
    assert stderr == b""


@together
def test_media_is_never_put_on_a_terminal() -> None:
    main, terminal = pty.openpty()
    done = subprocess.run(
        [*EVOTOOLS, "videogen"], stdin=subprocess.DEVNULL, stdout=terminal, stderr=subprocess.PIPE, timeout=30,
        check=False, env=ENVIRONMENT,
    )  # fmt: skip
    os.close(terminal)
    os.close(main)
    assert done.returncode == 2
    assert b"standard output is a terminal" in done.stderr


@together
def test_a_terminal_is_no_media() -> None:
    main, terminal = pty.openpty()
    done = subprocess.run([*EVOTOOLS, "relay", "null:"], stdin=terminal, capture_output=True,
                          timeout=30, check=False, env=ENVIRONMENT)  # fmt: skip
    os.close(terminal)
    os.close(main)
    assert done.returncode == 2
    assert b"standard input is a terminal" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("suffix", [".ts", ".flv", ".mp4", ".mkv"])
@together
def test_a_signal_leaves_a_playable_file(tmp_path: Path, number: int, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    read, write = os.pipe()
    process = start("--events", f"fd:{write}", "videogen", "--size", "64x64", "-o", str(out), pass_fds=(write,))
    os.close(write)
    with os.fdopen(read) as events:
        for line in events:
            event = json.loads(line)
            if event["event"] == "stats" and event.get("frames", 0) > 20:
                break
        assert stop(process, number) == 128 + number
    report = json.loads(run("probe", "--json", str(out)).stdout)
    assert report["tracks"][0]["frames"] >= 5
    assert {t["codec"] for t in report["tracks"]} == {"h264", "aac"}


@together
def test_a_pipeline_that_is_interrupted_finishes_at_every_stage(tmp_path: Path) -> None:
    out = tmp_path / "out.flv"
    evotools = " ".join(EVOTOOLS)
    line = f"{evotools} videogen --size 64x64 | {evotools} --events stderr relay {out}"
    process = subprocess.Popen(["bash", "-c", f"trap '' INT; {line}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=ENVIRONMENT, start_new_session=True)  # fmt: skip
    assert process.stderr is not None
    for raw in process.stderr:
        event = json.loads(raw)
        if event["event"] == "stats" and event.get("frames", 0) > 20:
            break
    # What a terminal does at Ctrl-C: the signal goes to the whole group. bash ignores it, as an interactive one would.
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=30)
    report = json.loads(run("probe", "--json", str(out)).stdout)
    assert report["tracks"][0]["frames"] > 5


@pytest.mark.parametrize(
    "uri",
    [
        f"rtmp://127.0.0.1:1/app/{SECRET}",
        f"rtmp://127.0.0.1:1/app/{SECRET}?token={SECRET}",
        f"http://user:{SECRET}@127.0.0.1:1/x.ts",
        f"http://127.0.0.1:1/x.m3u8?token={SECRET}",
        f"tcp://user:{SECRET}@127.0.0.1:1",
        "rtmp://127.0.0.1:1/app/{env:STREAM_KEY}",
    ],
)
@pytest.mark.parametrize("verbosity", ["-v", "-vv"])
@together
def test_secrets_are_in_no_output(uri: str, verbosity: str, tmp_path: Path) -> None:
    events = tmp_path / "events"
    env = {"STREAM_KEY": SECRET}
    done = run(verbosity, "--events", str(events), "ingest", uri, "-o", "null:", env=env)
    assert done.returncode != 0
    assert SECRET.encode() not in done.stderr + done.stdout
    assert SECRET not in events.read_text()
    if uri.startswith("rtmp"):
        done = run(
            verbosity, "--events", str(events), "relay", "-i", "test:?size=64x64", uri, "--reconnect", "0", env=env
        )
        assert done.returncode == 4, done.stderr
        assert SECRET.encode() not in done.stderr + done.stdout
        assert SECRET not in events.read_text()
    done = run("--dry-run", "relay", "-i", uri, "null:", env=env)
    assert SECRET.encode() not in done.stdout


@together
def test_a_refused_publish_is_exit_5_and_shows_no_key() -> None:
    with Serving("--stream", f"taken/{SECRET}=test:?size=64x64") as server:
        server.wait_for("published")
        done = run("relay", "-i", "test:?size=64x64", f"{server.rtmp}/taken/{SECRET}")
        assert done.returncode == 5, done.stderr
        assert "BadName" in error_line(done)
        assert SECRET.encode() not in done.stderr


@together
def test_nobody_listening_after_the_peer_left_is_retried_and_then_given_up(clip: Path) -> None:
    """One destination is a server that accepts one connection and vanishes; the file beside it is complete."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def accept_once() -> None:
        peer, _ = listener.accept()
        listener.close()
        peer.recv(1000)
        peer.close()

    thread = threading.Thread(target=accept_once)
    thread.start()
    out = clip.with_name("beside.ts")
    done = run(
        "relay",
        "-y",
        "-i",
        "test:?size=64x64&duration=3s&seed=1",
        f"tcp://127.0.0.1:{port}",
        str(out),
        "--reconnect",
        "1",
    )
    thread.join()
    assert done.returncode == 3, done.stderr
    assert b"trying again" in done.stderr
    assert b"the other destinations go on" in done.stderr
    assert json.loads(run("probe", "--json", str(out)).stdout)["tracks"][0]["frames"] == 75


@together
def test_files_are_not_overwritten_unasked(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "precious.ts"
    out.write_bytes(b"precious")
    done = run("relay", "-i", str(clip), str(out))
    assert done.returncode == 2
    assert "--force" in error_line(done)
    assert out.read_bytes() == b"precious"
    assert run("relay", "--force", "-i", str(clip), str(out)).returncode == 0
    assert out.stat().st_size > 1000


def test_print_config_gives_the_same_route_to_serve(tmp_path: Path) -> None:
    from evotools.commands.parser import parse_job, parse_route
    from evotools.server.app import parse_run
    from evotools.server.config import load

    arguments = ["-i", "udp://:5000", "hub:live/cam", f"{tmp_path}/my rec.ts", "--drop", "data", "--duration", "5s"]
    printed = run("relay", *arguments, "--print-config")
    assert printed.returncode == 0, printed.stderr
    path = tmp_path / "printed.toml"
    path.write_bytes(printed.stdout)
    config = load(str(path), env={})
    job = parse_job("relay", arguments)
    assert not isinstance(job, int)
    assert parse_run(config.routes[0].run, parse_route) == job.spec  # type: ignore[attr-defined]
    done = run("videogen", "--print-config")
    assert done.returncode == 2
    assert "pipe" in error_line(done)
    done = run("serve", "--stream", "a=test:", "--print-config")
    path.write_bytes(done.stdout)
    assert load(str(path), env={}).streams["a"].source == "test:"


@together
def test_configuration_gives_defaults_and_names_to_commands(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f'[endpoints]\nspool = "{tmp_path}/spool.ts"\n[relay]\nduration = "1s"\n')
    done = run("--config", str(path), "relay", "-i", str(clip), "spool:")
    assert done.returncode == 0, done.stderr
    assert json.loads(run("probe", "--json", str(tmp_path / "spool.ts")).stdout)["tracks"][0]["frames"] == 25
    done = run("relay", "--config", str(path), "-y", "-i", str(clip), "spool:", "--duration", "0.4")
    assert done.returncode == 0, done.stderr
    assert json.loads(run("probe", "--json", str(tmp_path / "spool.ts")).stdout)["tracks"][0]["frames"] == 10
    done = run("relay", "-y", "-i", str(clip), str(tmp_path / "env.ts"), env={"EVOTOOLS_DURATION": "200ms"})
    assert done.returncode == 0, done.stderr
    assert json.loads(run("probe", "--json", str(tmp_path / "env.ts")).stdout)["tracks"][0]["frames"] == 5


@together
def test_events_tell_the_story_and_the_exit(clip: Path, tmp_path: Path) -> None:
    events = tmp_path / "events.ndjson"
    assert run("--events", str(events), "relay", "-i", str(clip), "null:").returncode == 0
    story = [json.loads(line) for line in events.read_text().splitlines()]
    assert [e["codec"] for e in story if e["event"] == "track"] == ["h264", "aac"]
    assert story[-1]["event"] == "exit"
    assert story[-1]["code"] == 0
    events.unlink()
    run("--events", str(events), "relay", "-i", "/no/such.ts", "null:")
    last = json.loads(events.read_text().splitlines()[-1])
    assert (last["event"], last["code"]) == ("exit", 4)


@together
def test_serve_ends_with_0_on_sigterm_and_130_on_sigint() -> None:
    for number, code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
        with Serving() as server:
            assert stop(server.process, number) == code


@together
def test_serve_names_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--set", f"rtmp.listen=127.0.0.1:{port}", "--set", "http.listen=127.0.0.1:0")
    assert done.returncode == 4
    assert f"127.0.0.1:{port}" in error_line(done)


@together
def test_help_and_version() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert b"relay" in done.stdout
    for name in ("ingest", "relay", "probe", "videogen", "serve"):
        done = run(name, "--help")
        assert done.returncode == 0, done.stderr
        assert b"Usage: evotools " + name.encode() in done.stdout
        assert b"Examples" in done.stdout
    assert json.loads(run("version", "--json").stdout)["evotools"]
    assert run("--version").stdout.startswith(b"evotools ")
    assert b"141" in run("help", "exit-codes").stdout


@together
def test_an_unknown_command_may_be_a_program(tmp_path: Path) -> None:
    program = tmp_path / "evotools-hello"
    program.write_text("#!/bin/sh\necho hello $1\n")
    program.chmod(0o755)
    done = run("hello", "world", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert done.stdout == b"hello world\n"


@together
def test_importing_the_program_is_light() -> None:
    """`evotools --help` must not pay for av, asyncio, typer or rich."""
    code = (
        "import sys; from evotools.cli import run; run(['--help']);"
        "print([m for m in ('av', 'asyncio', 'typer', 'rich', 'tqdm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=True)
    assert done.stdout.splitlines()[-1] == b"[]"


def test_rtmp_in_and_out_through_pipes(tmp_path: Path, media_dir: Path) -> None:
    """The documented pipeline; every frame's payload is equal at every end."""
    port, tcp_port, udp_port = free_port(), free_port(), free_port()
    tcp = start("ingest", f"tcp://:{tcp_port}", "-o", str(tmp_path / "tcp.ts"), stderr=subprocess.PIPE)
    udp = start(
        "ingest",
        f"udp://127.0.0.1:{udp_port}",
        "-o",
        str(tmp_path / "udp.ts"),
        "--timeout",
        "20s",
        stderr=subprocess.PIPE,
    )
    line = (
        f"{' '.join(EVOTOOLS)} ingest rtmp://:{port}/live/x | tee {tmp_path}/tee.ts"
        f" | {' '.join(EVOTOOLS)} relay udp://127.0.0.1:{udp_port} tcp://127.0.0.1:{tcp_port} {tmp_path}/rel.flv"
    )
    pipe = subprocess.Popen(["bash", "-c", line], env=ENVIRONMENT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    # It goes at its own pace: two seconds of it do.
    source = tmp_path / "source.mp4"
    run_ffmpeg("-i", str(media_dir / "bigbuckbunny.mp4"), "-t", "2", "-c", "copy", str(source))
    done = run("relay", "-i", str(source), f"rtmp://127.0.0.1:{port}/live/x", timeout=60)
    assert done.returncode == 0, done.stderr
    assert pipe.wait(20) == 0
    assert tcp.wait(20) == 0
    # UDP has no end; silence ends it.
    stop(udp, signal.SIGINT)
    want = payloads(source)
    assert payloads(tmp_path / "tee.ts") == want
    assert payloads(tmp_path / "tcp.ts") == want
    assert payloads(tmp_path / "rel.flv") == want
    assert payloads(tmp_path / "udp.ts") == want


def payloads(path: Path) -> list[list[bytes]]:
    """Payloads of each kind of track in order."""
    import asyncio

    import evotools

    async def read() -> list[list[bytes]]:
        found: dict[str, list[bytes]] = {"video": [], "audio": []}
        async with evotools.open_source(str(path)) as source:
            async for event in source:
                if isinstance(event, evotools.Frame):
                    found[event.track.kind.value].append(event.payload)
        return list(found.values())

    return asyncio.run(read())


@together
def test_serve_reloads_on_sighup_and_survives_a_bad_file(tmp_path: Path) -> None:
    path = tmp_path / "evotools.toml"
    path.write_text('[streams.a]\nsource = "test:?size=64x64"\n')
    with Serving("-c", str(path)) as server:
        assert server.wait_for("published")["stream"] == "a"
        path.write_text("[streams.a]\nsource = \n")
        server.process.send_signal(signal.SIGHUP)
        assert server.wait_for("reload")["error"]
        path.write_text('[streams.b]\nsource = "test:?size=64x64"\n')
        server.process.send_signal(signal.SIGHUP)
        assert server.wait_for("unpublished")["stream"] == "a"
        assert server.wait_for("published")["stream"] == "b"
