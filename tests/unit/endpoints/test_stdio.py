"""`-` and `fd:N`: pipes, files and terminals behind descriptors."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from evotools.errors import EvotoolsError, PeerGone, UsageError
from tests.unit.endpoints.media import Clip, payloads, read_all, sink, source, write_all


async def test_through_a_pipe(clip: Clip) -> None:
    read, write = os.pipe()
    reading = asyncio.create_task(read_all(source(f"fd:{read}")))
    await write_all(sink(f"fd:{write}"), clip)
    os.close(write)
    assert payloads(await reading) == clip.payloads
    os.close(read)


async def test_a_regular_file_behind_a_descriptor(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    with path.open("wb") as file:
        await write_all(sink(f"fd:{file.fileno()}"), clip)
    with path.open("rb") as file:
        assert payloads(await read_all(source(f"fd:{file.fileno()}"))) == clip.payloads


async def test_a_pipe_that_another_program_made_non_blocking(clip: Clip) -> None:
    """ssh and node.js do that to pipes that they share."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    os.set_blocking(read, False)
    got = bytearray()

    def slowly() -> None:
        os.set_blocking(read, True)
        while data := os.read(read, 4096):
            got.extend(data)

    thread = threading.Thread(target=slowly)
    opened = sink(f"fd:{write}")
    await opened.open()
    opened.offer(clip.tracks)
    await opened.start(clip.tracks)
    writing = asyncio.create_task(opened.write(clip.frames * 10))
    thread.start()
    await writing
    await opened.close()
    os.close(write)
    await asyncio.to_thread(thread.join)
    os.close(read)
    assert len(got) > 150_000


async def test_a_reader_that_left(clip: Clip) -> None:
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(PeerGone, match="the reader left"):
        await write_all(sink(f"fd:{write}"), clip)
    os.close(write)


async def test_a_full_disk_is_a_failure_at_run_time(clip: Clip) -> None:
    with open("/dev/full", "wb") as full, pytest.raises(EvotoolsError, match="No space left") as raised:
        await write_all(sink(f"fd:{full.fileno()}"), clip)
    assert raised.value.code == 1
    with pytest.raises(EvotoolsError, match="No space left") as raised:
        await write_all(sink("file:/dev/full"), clip)
    assert raised.value.code == 1


@pytest.mark.parametrize("text", ["fd:", "fd:x", "fd:-1", "fd:1234567", "fd:987"])
def test_what_is_no_descriptor(text: str) -> None:
    with pytest.raises(UsageError):
        source(text)
    with pytest.raises(UsageError):
        sink(text)


async def test_a_silent_pipe_can_be_left(clip: Clip) -> None:
    read, write = os.pipe()
    opened = source(f"fd:{read}")
    await opened.open()
    reading = asyncio.create_task(opened.read())
    await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await opened.close()
    os.close(read)
    os.close(write)
