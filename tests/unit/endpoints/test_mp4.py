"""MP4 through files, descriptors, pipes, programs and sockets: read at any place, from the front, or after spooling."""

import asyncio
import os
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from evotools.containers.mp4.boxes import box, full_box
from evotools.containers.mp4.entries import sample_entry
from evotools.containers.mp4.protection import Protection
from evotools.endpoints import mp4 as mp4_module
from evotools.endpoints.base import Source
from evotools.errors import EvotoolsError, MediaError, NoMediaError
from evotools.media.frame import Event
from tests.commands.program import free_port
from tests.conftest import run_ffmpeg
from tests.unit.containers.mp4 import build
from tests.unit.containers.mp4.build import Media, expected, film, init, movie, of, rows, times
from tests.unit.containers.mp4.streams import H264
from tests.unit.containers.mp4.test_demux import fragmented
from tests.unit.endpoints.media import read_all, source, when_it_listens

LAYOUTS = {
    "front": movie(film(2)), "back": movie(film(2), last=True), "fragments": fragmented(film(2)),
    "apart": movie(film(2), order="apart", last=True),
}  # fmt: skip


def check(events: list[Event]) -> None:
    for media in film(2):
        assert of(events, media.track.id) == expected(media)


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    tempfile.tempdir = None


# Files.


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("option", ["", "?format=mp4", "?format=mov", "?format=fmp4"])
async def test_files(tmp_path: Path, layout: str, option: str) -> None:
    path = tmp_path / "film.bin"
    path.write_bytes(LAYOUTS[layout])
    opened = source(f"file:{path}{option}")
    events = await read_all(opened)
    check(events)
    assert times(events) == sorted(times(events))
    assert (opened.container, opened.live) == ("mp4", False)
    assert opened.duration_s == (None if layout == "fragments" else 2.0)


@pytest.fixture(scope="session")
def quicktime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With sound that only libav reads."""
    path = tmp_path_factory.mktemp("quicktime") / "pcm.mov"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=1", "-f", "lavfi", "-i", "sine=440:d=1", "-c:v", "libx264",
               "-c:a", "pcm_s16le", str(path))  # fmt: skip
    return path


def codecs(events: list[Event]) -> dict[str, int]:
    found: dict[str, int] = {}
    for track in build.tracks(events)[0]:
        found[track.codec] = len(of(events, track.id))
    return found


async def test_a_file_that_libav_knows_better(quicktime: Path) -> None:
    opened = source(quicktime)
    events = await read_all(opened)
    assert codecs(events).keys() == {"h264", "pcm_s16le"} and codecs(events)["h264"] == 25
    assert opened.container == "mp4"
    assert opened.duration_s == pytest.approx(1.0)


async def test_an_edit_list_of_several_stretches(tmp_path: Path) -> None:
    """libav cuts the film together."""
    media = Media(H264, build.video_samples(50, gop=5), [(400, 0), (400, 90_000)])
    path = tmp_path / "cut.mp4"
    path.write_bytes(movie([media]))
    found = rows(await read_all(source(path)))
    shown = [media.samples.index(sample) for row in found for sample in media.samples if sample.data == row[5]]
    assert {0, 9, 25, 34} <= set(shown) and not {17, 18, 42} & set(shown)


@pytest.mark.parametrize("damage", [b"stsc", b"stts", b"stsz"])
async def test_a_header_that_we_refuse_is_shown_to_libav(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(LAYOUTS["front"].replace(damage, b"free"))
    with pytest.raises(EvotoolsError, match=r"broken\.mp4"):
        await read_all(source(path))


async def test_an_encrypted_file(tmp_path: Path) -> None:
    entry = sample_entry(H264, protection=Protection(b"cbcs", bytes(16)))
    path = tmp_path / "secret.mp4"
    path.write_bytes(movie([Media(H264, build.video_samples(3), entries=[entry])]))
    with pytest.raises(MediaError, match=r"secret\.mp4: .*encrypted \(cbcs\).*key"):
        await read_all(source(path))
    with path.open("rb") as file, pytest.raises(MediaError, match="encrypted"):
        await read_all(source(f"fd:{file.fileno()}"))


async def test_a_file_without_frames(tmp_path: Path) -> None:
    path = tmp_path / "none.mp4"
    path.write_bytes(movie([Media(H264, [])]))
    with pytest.raises(NoMediaError, match="no frames"):
        await read_all(source(path))


async def test_a_recording_that_was_not_finished(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(LAYOUTS["back"][:1500])
    with pytest.raises(EvotoolsError, match=r"cut\.mp4"):
        await read_all(source(path))
    path.write_bytes(LAYOUTS["front"][:-300])
    found = await read_all(source(path))
    assert 100 < len(rows(found)) < 143


# Descriptors and pipes.


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_regular_file_behind_a_descriptor_is_read_at_any_place(
    tmp_path: Path, spool: Path, layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`evotools relay … < film.mp4`; what stands in front of the descriptor's position is not looked at."""
    path = tmp_path / "film"
    path.write_bytes(b"before" + LAYOUTS[layout])
    with path.open("rb") as file:
        os.lseek(file.fileno(), 6, os.SEEK_SET)
        opened = source(f"fd:{file.fileno()}")
        events = await read_all(opened)
    check(events)
    assert times(events) == sorted(times(events))
    assert "is kept in" not in caplog.text
    assert opened.duration_s == (None if layout == "fragments" else 2.0)


async def through_a_pipe(data: bytes, *, step: int = 10_000) -> tuple[Source, list[Event]]:
    read, write = os.pipe()
    opened = source(f"fd:{read}")

    async def feed() -> None:
        try:
            for at in range(0, len(data), step):
                await asyncio.to_thread(os.write, write, data[at : at + step])
        except BrokenPipeError:
            pass
        finally:
            os.close(write)

    feeding = asyncio.create_task(feed())
    try:
        return opened, await read_all(opened)
    finally:
        os.close(read)
        await feeding


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("step", [700, 60_000])
async def test_a_pipe(layout: str, step: int, spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    opened, events = await through_a_pipe(LAYOUTS[layout], step=step)
    check(events)
    assert opened.container == "mp4"
    spooled = layout in ("back", "apart")
    assert (f"is kept in {spool} until it ended" in caplog.text) is spooled
    assert list(spool.iterdir()) == []
    if spooled:
        assert opened.duration_s == 2.0
        assert times(events) == sorted(times(events))


async def test_a_named_pipe(tmp_path: Path, spool: Path) -> None:
    path = tmp_path / "fifo.mp4"
    os.mkfifo(path)
    for layout in ("back", "fragments"):
        reading = asyncio.create_task(read_all(source(path)))
        await asyncio.to_thread(path.write_bytes, LAYOUTS[layout])
        check(await reading)


async def test_a_program(tmp_path: Path, spool: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(LAYOUTS["back"])
    check(await read_all(source(f"exec:cat {shlex.quote(str(path))}")))


async def test_what_libav_reads_goes_there_from_pipes_too(
    quicktime: Path, tmp_path: Path, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    front = tmp_path / "front.mov"
    run_ffmpeg("-i", str(quicktime), "-c", "copy", "-movflags", "faststart", str(front))
    for path in (front, quicktime):
        _, events = await through_a_pipe(path.read_bytes())
        assert codecs(events).keys() == {"h264", "pcm_s16le"} and codecs(events)["h264"] == 25
    assert caplog.text.count("is kept in") == 1
    with quicktime.open("rb") as file:
        # A regular file that we do not read ourselves goes the way of pipes.
        assert codecs(await read_all(source(f"fd:{file.fileno()}")))["h264"] == 25


async def test_a_spool_has_a_limit(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mp4_module, "MAX_SPOOL", 1000)
    with pytest.raises(EvotoolsError, match="header at the end is larger than") as raised:
        await through_a_pipe(LAYOUTS["back"])
    assert "header first" in raised.value.hint


async def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: open("/dev/full", "wb", buffering=0))  # noqa: SIM115
    with pytest.raises(EvotoolsError, match=r"cannot be written: No space left on device") as raised:
        await through_a_pipe(LAYOUTS["back"])
    assert "TMPDIR" in raised.value.hint and raised.value.code == 1


async def test_waiting_for_the_end_of_a_pipe_can_be_given_up_and_taken_up_again(spool: Path) -> None:
    """As with `probe --timeout`, and after a signal, when the stage before is finishing."""
    data = LAYOUTS["back"]
    read, write = os.pipe()
    opened = source(f"fd:{read}")
    await opened.open()
    events: list[Event] = []
    for at in range(0, len(data), 3000):
        os.write(write, data[at : at + 3000])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                events += await opened.read()
    os.close(write)
    while batch := await opened.read():
        events += batch
    check(events)
    await opened.close()
    os.close(read)


async def test_a_spool_that_is_left_behind_is_gone(spool: Path) -> None:
    read, write = os.pipe()
    opened = source(f"fd:{read}")
    await opened.open()
    os.write(write, LAYOUTS["back"][:2000])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await opened.read()
    await opened.close()
    os.close(read)
    os.close(write)
    assert list(spool.iterdir()) == []


# Network peers.


async def test_a_network_peer_must_send_the_header_first(spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody fills our disk from outside."""
    port = free_port()
    reading = asyncio.create_task(read_all(source(f"tcp://:{port}")))
    _, writer = await when_it_listens(lambda: asyncio.open_connection("127.0.0.1", port))
    writer.write(LAYOUTS["back"])
    with pytest.raises(MediaError, match=f"tcp://:{port}: MP4: the media comes before its header") as raised:
        await reading
    assert "faststart" in raised.value.hint
    writer.close()
    assert "is kept in" not in caplog.text


@pytest.mark.parametrize("layout", ["front", "fragments"])
async def test_a_network_peer(layout: str) -> None:
    port = free_port()
    reading = asyncio.create_task(read_all(source(f"tcp://:{port}")))
    _, writer = await when_it_listens(lambda: asyncio.open_connection("127.0.0.1", port))
    writer.write(LAYOUTS[layout])
    writer.close()
    check(await reading)


async def test_a_viewer_who_comes_late_is_told() -> None:
    data = fragmented(film(1))[len(init(film(1))) :]
    with pytest.raises(MediaError, match="without a header"):
        await through_a_pipe(data)


async def test_nonsense_that_looks_like_mp4(tmp_path: Path) -> None:
    for data in (box(b"ftyp", bytes(40)), full_box(b"moov", 0, 0), box(b"ftyp", bytes(8)) + bytes(3000)):
        path = tmp_path / "nonsense.mp4"
        path.write_bytes(data)
        with pytest.raises(EvotoolsError, match=r"nonsense\.mp4"):
            await read_all(source(path))
        with pytest.raises(MediaError):
            await through_a_pipe(data)
