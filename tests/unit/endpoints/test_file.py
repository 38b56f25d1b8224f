"""Files by path."""

import asyncio
import os
from pathlib import Path

import pytest

from evotools.endpoints.base import Context
from evotools.endpoints.registry import open_sink, open_source
from evotools.errors import MediaError, UnreachableError, UsageError
from evotools.uri import Uri
from tests.unit.endpoints.media import Clip, payloads, read_all, sink, source, write_all


@pytest.mark.parametrize("name", ["a.ts", "a.flv", "a.mkv", "a.mp4", "no-suffix", "odd?name=1.ts", "x:y.ts", "a.TS"])
async def test_a_file_of_any_kind_and_name(clip: Clip, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    await write_all(sink(path), clip)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert payloads(await read_all(source(path))) == clip.payloads


async def test_the_content_tells_the_container_not_the_suffix(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "really.ts"
    await write_all(sink(f"file:{path}?format=flv"), clip)
    assert path.read_bytes()[:3] == b"FLV"
    opened = source(path)
    assert payloads(await read_all(opened)) == clip.payloads
    assert opened.container == "flv"


async def test_a_fifo(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "fifo.ts"
    os.mkfifo(path)
    reading = asyncio.create_task(read_all(source(path)))
    await write_all(sink(path), clip)
    assert payloads(await reading) == clip.payloads


async def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.ts").touch()
    with pytest.raises(MediaError, match="empty"):
        await read_all(source(tmp_path / "empty.ts"))
    with pytest.raises(UnreachableError, match="No such file"):
        await read_all(source(tmp_path / "none.ts"))
    with pytest.raises(UnreachableError, match="directory"):
        await read_all(source(tmp_path))
    (tmp_path / "text.ts").write_text("hello " * 1000)
    with pytest.raises(MediaError):
        await read_all(source(tmp_path / "text.ts"))


async def test_what_cannot_be_written(clip: Clip, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder"):
        sink(tmp_path)
    (tmp_path / "kept.ts").write_bytes(b"kept")
    with pytest.raises(UsageError, match="--force"):
        sink(tmp_path / "kept.ts")
    with pytest.raises(UnreachableError, match="No such file"):
        await write_all(sink(tmp_path / "no" / "folder.ts"), clip)


@pytest.mark.parametrize("text", ["/etc/passwd", "file:///etc/passwd", "fd:0", "-", "exec:id", "ts-exec:id"])
def test_uris_from_an_api_name_nothing_local(text: str) -> None:
    context = Context(trusted=False)
    for opener in (open_source, open_sink):
        with pytest.raises(UsageError, match="configuration file or the command line only"):
            opener(Uri.parse(text), context)
