"""Matroska from files and pipes: ours where we can, libav where only it can."""

from pathlib import Path

import pytest

from evotools.containers.matroska import element, number
from evotools.endpoints.base import Context, Source
from evotools.endpoints.bytestream import ByteSource
from evotools.endpoints.file import FileSource
from evotools.endpoints.libav import ByteFeed, LibavSource
from evotools.errors import EvotoolsError, NoMediaError
from evotools.media.frame import Event, Frame
from evotools.uri import Uri
from tests.conftest import run_ffmpeg
from tests.unit.containers.matroska import build
from tests.unit.containers.zoo import make

pytestmark = pytest.mark.interop


class Pipe(ByteSource):
    """Bytes in portions."""

    live = False

    def __init__(self, data: bytes, portion: int = 1000) -> None:
        super().__init__()
        self.uri = Uri.parse("-")
        self._parts = [data[at : at + portion] for at in range(0, len(data), portion)]

    async def open(self) -> None:
        pass

    async def read_bytes(self) -> bytes:
        return self._parts.pop(0) if self._parts else b""

    async def close(self) -> None:
        await self.close_demuxer()


async def drain(source: Source) -> list[Event]:
    events: list[Event] = []
    await source.open()
    try:
        while batch := await source.read():
            events += batch
    finally:
        await source.close()
    return events


def payloads(events: list[Event]) -> list[bytes]:
    return [e.payload for e in events if isinstance(e, Frame)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matroska")


async def test_files_and_pipes_are_read_by_us(folder: Path) -> None:
    path = make(folder, "h264-b.mkv")
    file, pipe = FileSource(Uri.parse(str(path)), Context()), Pipe(path.read_bytes())
    got = payloads(await drain(file))
    assert len(got) > 80
    assert not isinstance(file._inner, LibavSource)
    assert payloads(await drain(pipe)) == got
    assert pipe._other is None
    for source in (file, pipe):
        assert source.container == "matroska"
        assert source.duration_s == pytest.approx(1.22, abs=0.02)


async def test_what_only_libav_reads_goes_there_whole(folder: Path) -> None:
    path = folder / "theora.mkv"
    run_ffmpeg("-i", str(make(folder, "h264-b.mp4")), "-c:v", "libtheora", "-c:a", "copy", str(path))
    file, pipe = FileSource(Uri.parse(str(path)), Context()), Pipe(path.read_bytes())
    got = payloads(await drain(file))
    assert isinstance(file._inner, LibavSource)
    assert file.duration_s == pytest.approx(1.22, abs=0.05)
    assert payloads(await drain(pipe)) == got
    assert isinstance(pipe._other, ByteFeed)


async def test_an_encrypted_track_is_named(tmp_path: Path) -> None:
    secret = element(0x6D80, element(0x6240, number(0x5033, 1)))
    data = build.head(build.audio(secret)) + build.cluster(0, build.block(2, 0, b"x"))
    with pytest.raises(EvotoolsError, match="track 1 is encrypted"):
        await drain(Pipe(data))


async def test_a_file_without_frames(tmp_path: Path) -> None:
    path = tmp_path / "x.mkv"
    path.write_bytes(build.head(build.audio()))
    with pytest.raises(NoMediaError, match=r"x\.mkv: no frames in it"):
        await drain(FileSource(Uri.parse(str(path)), Context()))
