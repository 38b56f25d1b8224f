"""`exec:` and `ts-exec:`: programs at either end."""

import asyncio
import os
import shlex
import sys
from pathlib import Path

import pytest

from evotools.endpoints.exec import command_of
from evotools.errors import MediaError, PeerGone, UnreachableError, UsageError
from evotools.uri import Uri
from tests.unit.endpoints.media import Clip, payloads, read_all, sink, source, write_all


async def gone(pid: int) -> None:
    """Until a process has ended (a zombie counts as ended)."""
    async with asyncio.timeout(10):
        while True:
            try:
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    return
            except OSError:
                return
            await asyncio.sleep(0.005)


async def text_of(path: Path) -> str:
    """The content of a file that a child is about to write."""
    async with asyncio.timeout(10):
        while not path.exists() or not path.read_text().strip():
            await asyncio.sleep(0.005)
    return path.read_text().strip()


async def test_a_programs_output_is_read_and_its_input_written(clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out put.ts"
    await write_all(sink(f"exec:sh -c 'cat >\"{out}\"'"), clip)
    assert payloads(await read_all(source(f"exec:cat '{out}'"))) == clip.payloads
    assert payloads(await read_all(source(f"ts-exec:cat '{out}'"))) == clip.payloads


async def test_a_program_that_fails_is_quoted() -> None:
    with pytest.raises(PeerGone, match=r"exec:sh ended with status 3: no such camera"):
        await read_all(source("exec:sh -c 'echo no such camera >&2; exit 3'"))
    with pytest.raises(UnreachableError, match="cannot start"):
        await source("exec:no-such-program-here").open()
    with pytest.raises(MediaError):
        await read_all(source("exec:echo hello"))


async def test_a_program_that_refuses_its_input_is_peer_gone(clip: Clip) -> None:
    with pytest.raises(PeerGone, match="status 4: full"):
        await write_all(sink("exec:sh -c 'echo full >&2; exit 4'"), Clip([*clip.events, *clip.frames * 100]))


async def test_finishing_waits_for_the_program_and_reports_how_it_ended(clip: Clip, tmp_path: Path) -> None:
    done = tmp_path / "done"
    await write_all(sink(f"exec:sh -c 'cat >/dev/null; sleep 0.2; echo yes >{done}'"), clip)
    assert done.read_text() == "yes\n"
    with pytest.raises(PeerGone, match="status 5"):
        await write_all(sink("exec:sh -c 'cat >/dev/null; exit 5'"), clip)


async def test_closing_ends_the_program_and_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    opened = source(f"exec:sh -c 'sleep 1000 & echo $$ $! >{pids}; wait'")
    await opened.open()
    reading = asyncio.create_task(opened.read())
    shell, child = map(int, (await text_of(pids)).split())
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await opened.close()
    await gone(shell)
    await gone(child)


async def test_a_program_deaf_to_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evotools.endpoints.exec.END_S", 0.1)
    pids = tmp_path / "pids"
    opened = source(f"exec:sh -c 'trap \"\" TERM; echo $$ >{pids}; while :; do sleep 0.05; done'")
    await opened.open()
    pid = int(await text_of(pids))
    await opened.close()
    await gone(pid)


async def test_a_program_that_closed_its_output_and_lives_on_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evotools.endpoints.exec.END_S", 0.1)
    opened = source("ts-exec:sh -c 'exec >&-; sleep 1000'")
    await opened.open()
    async with asyncio.timeout(5):
        assert await opened.read_bytes() == b""  # type: ignore[attr-defined]
    await opened.close()


def test_no_shell_ever_sees_the_command() -> None:
    argv = command_of(Uri.parse("exec:prog '$(touch /tmp/x)' `id` ; rm -rf x > y"))
    assert argv == ["prog", "$(touch /tmp/x)", "`id`", ";", "rm", "-rf", "x", ">", "y"]
    for bad in ("exec:", "exec:'open"):
        with pytest.raises(UsageError):
            command_of(Uri.parse(bad))


def test_our_own_commands_run_this_program_and_expand_secrets_by_themselves() -> None:
    uri = Uri.parse("exec:relay -i x.ts 'rtmp://h/app/{env:KEY}'", env={"KEY": "s3cr3t-key"}.get)
    argv = command_of(uri)
    assert argv[:3] == [sys.executable, "-m", "evotools"]
    assert argv[3:] == shlex.split("relay -i x.ts 'rtmp://h/app/{env:KEY}'")
    assert os.environ.get("KEY") is None
