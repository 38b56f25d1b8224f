"""Titles: any container from any time on, key frame first, times from zero, and nothing left open."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evotools.errors import MediaError, UnreachableError
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind
from evotools.server.vod import places, stored
from evotools.server.vod.title import Title, open_title
from tests.unit.server.films import film

CONTAINERS = ["mp4", "frag.mp4", "flv", "ts", "mkv"]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    threads = ThreadPoolExecutor(2)
    yield threads
    threads.shutdown()


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small films are divided as large ones are."""
    monkeypatch.setattr(places, "WINDOW_BYTES", 4 << 10)
    monkeypatch.setattr(stored, "STEP_BYTES", 16 << 10)


async def read(title: Title, start_s: float, **more: object) -> list[Event]:
    return [event async for events in title.read(start_s, **more) for event in events]  # type: ignore[arg-type]


def pictures(events: list[Event]) -> list[Frame]:
    return [e for e in events if isinstance(e, Frame) and e.track.kind is Kind.VIDEO]


def sounds(events: list[Event]) -> list[Frame]:
    return [e for e in events if isinstance(e, Frame) and e.track.kind is Kind.AUDIO]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("offset_s", [0, 7])
async def test_a_film_begins_at_the_key_frame_before_any_time(
    tmp_path: Path, pool: ThreadPoolExecutor, container: str, offset_s: int
) -> None:
    title = await open_title(film(tmp_path / f"film.{container}", 20, offset_s), pool)
    assert title.duration_s == pytest.approx(20, abs=0.1)
    assert [track.kind for track in title.tracks] == [Kind.VIDEO, Kind.AUDIO]
    for start_s, key_s in ((0.0, 0.0), (0.9, 0.0), (1.0, 1.0), (7.5, 7.0), (18.97, 19.0), (18.9, 18.0), (50.0, 19.0)):
        events = await read(title, start_s)
        assert isinstance(events[0], Tracks)
        shown = pictures(events)
        assert shown[0].key
        assert shown[0].pts_s == pytest.approx(key_s, abs=0.002)
        assert len(shown) == 25 * (20 - key_s)
        assert sounds(events)[0].pts_s == pytest.approx(key_s, abs=0.03)
        assert sounds(events)[-1].pts_s == pytest.approx(19.98, abs=0.03)
    await title.close()


@pytest.mark.parametrize("container", CONTAINERS)
async def test_a_film_ends_where_it_should(tmp_path: Path, pool: ThreadPoolExecutor, container: str) -> None:
    title = await open_title(film(tmp_path / f"film.{container}"), pool)
    events = await read(title, 5.5, stop_s=8.0)
    assert pictures(events)[-1].dts_s == pytest.approx(7.96, abs=0.002)
    assert sounds(events)[-1].dts_s < 8.0
    await title.close()


@pytest.mark.parametrize("container", CONTAINERS)
async def test_sound_alone_begins_where_it_is_wanted(tmp_path: Path, pool: ThreadPoolExecutor, container: str) -> None:
    title = await open_title(film(tmp_path / f"film.{container}"), pool)
    events = await read(title, 5.5, tracks=[title.tracks[1].id])
    assert not pictures(events)
    assert 5.3 <= sounds(events)[0].pts_s <= 5.5
    await title.close()


async def test_plain_sound_has_a_length_and_can_be_entered(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    title = await open_title(film(tmp_path / "film.aac"), pool)
    assert title.duration_s is not None
    first = sounds(await read(title, 5.0))[0]
    assert 4.9 <= first.pts_s <= 5.0
    await title.close()


async def test_transport_streams_may_pass_the_end_of_their_clock(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    # 33 bits of 90 kHz end after 95443.7 s.
    title = await open_title(film(tmp_path / "film.ts", 20, 95434), pool)
    assert title.duration_s == pytest.approx(20, abs=0.1)
    for start_s in (0.0, 5.0, 9.0, 10.0, 15.0):
        shown = pictures(await read(title, start_s))
        assert shown[0].pts_s == pytest.approx(start_s, abs=0.002)
        assert shown[-1].pts_s == pytest.approx(19.96, abs=0.002)
    await title.close()


async def test_few_bytes_are_read_for_a_seek(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for container in CONTAINERS:
        path = film(tmp_path / f"film.{container}", 600)
        data = path.read_bytes()
        count = 0

        def read_at(offset: int, length: int, data: bytes = data) -> bytes:
            nonlocal count
            count += min(length, len(data) - offset)
            return data[offset : offset + length]

        opened = stored.open_stored(read_at, len(data), "film")
        count = 0
        first = next(iter(opened.events(opened.origin_s + 400)))
        assert any(isinstance(event, Frame) for event in first)
        if container != "mkv" or "matroska" in stored.sniff.OURS:
            assert count < 4 << 20, container


async def test_a_reader_that_is_left_lets_the_file_go(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    before = set(os.listdir("/proc/self/fd"))
    title = await open_title(film(tmp_path / "film.ts"), pool)
    reader = title.read(3.0)
    await anext(reader)
    other = asyncio.create_task(anext(title.read(10.0)))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    other.cancel()
    await title.close()
    await reader.aclose()
    for _ in range(200):
        if set(os.listdir("/proc/self/fd")) <= before:
            break
        await asyncio.sleep(0.01)
    assert set(os.listdir("/proc/self/fd")) <= before
    with pytest.raises(MediaError):
        await read(title, 0.0)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.mp4", b""), ("text.mp4", b"Nothing to see here, really. " * 40), ("list.ts", b"#EXTM3U\nfile:///etc/passwd\n"),
        ("cut.mp4", b"\0\0\0\x20ftypisom" + bytes(20) + b"\0\0\xff\xffmdat" + bytes(500)),
        ("noise.flv", b"FLV\x01\x05\0\0\0\x09" + bytes(4000)),
    ],
)  # fmt: skip
async def test_what_is_no_film_says_so(tmp_path: Path, pool: ThreadPoolExecutor, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(MediaError) as caught:
        await open_title(path, pool, name=name)
    assert name in str(caught.value)
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(UnreachableError):
        await open_title(tmp_path / "none.mp4", pool)
