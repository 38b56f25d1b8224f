"""What `evotools package` writes, played by Chromium itself, hls.js, dash.js and Shaka Player."""

import asyncio
from pathlib import Path

import pytest

from tests.browser.folder_server import FolderServer
from tests.browser.play import Played, Players
from tests.browser.presentations import (
    FILM_FRAMES,
    FILM_SECONDS,
    FPS,
    LADDER_SIZES,
    LivePackage,
    ladder,
    looped,
    package,
    videogen,
)  # fmt: skip
from tests.conftest import run_ffmpeg

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

HLS = [("index.m3u8", "native"), ("index.m3u8", "hlsjs"), ("index.m3u8", "shaka")]
DASH = [("manifest.mpd", "dashjs"), ("manifest.mpd", "shaka")]
SECONDS = 4.0
SLOW = pytest.mark.slow
START_SEGMENTS = 3
"""Chromium's own player gives up when a live playlist has fewer at the first look, whoever wrote it."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ladder(tmp_path_factory.mktemp("source") / "ladder.ts", SECONDS)


@pytest.fixture(scope="module")
def folder(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(tmp_path_factory.mktemp("packaged") / "ladder", "-i", source, "--segment", "1s")


async def play(
    players: Players, folder: Path, ways: list[tuple[str, str]], **options: object
) -> dict[tuple[str, str], Played]:
    """A folder by several players at once; none may ask for a file that is not there."""
    if len(ways) > 3:
        # Together they want more than a slow machine has, and take that for a hole in the media.
        options.setdefault("rate", 2)
    with FolderServer(folder) as server:
        played = await asyncio.gather(
            *(players.play(f"{server.url}/{manifest}", player, **options) for manifest, player in ways)  # type: ignore[arg-type]
        )
        assert server.missing == []
        return dict(zip(ways, played, strict=True))


async def test_renditions_with_b_frames(players: Players, folder: Path) -> None:
    for way, played in (await play(players, folder, HLS + DASH)).items():
        assert played.faults(SECONDS, LADDER_SIZES, frames=int(SECONDS * FPS)) == [], way
        assert way[1] == "native" or played.heights == [180, 360], way


async def test_renditions_in_ts(players: Players, source: Path, tmp_path: Path) -> None:
    made = package(tmp_path / "ts", "-i", source, "--segment", "2s", "--format", "ts")
    for way, played in (await play(players, made, HLS)).items():
        # Players that make MP4 of it begin where the first picture is: two frames late.
        assert played.faults(SECONDS, LADDER_SIZES, frames=int(SECONDS * FPS), tolerance_s=0.13) == [], way


async def test_renditions_change_on_the_way(players: Players, folder: Path) -> None:
    ways = [way for way in HLS + DASH if way[1] != "native"]
    for way, played in (await play(players, folder, ways, select=[(0.2, 180)], buffer_s=2)).items():
        assert played.faults(SECONDS, LADDER_SIZES) == [], way
        assert played.selected == [True], way
        assert played.switches[0][1] == "360" or way[1] == "dashjs", way
        assert played.switches[-1][1] == "180", way


@SLOW
async def test_two_files_as_renditions(players: Players, source: Path, tmp_path: Path) -> None:
    parts = [tmp_path / "large.ts", tmp_path / "small.ts"]
    for number, part in enumerate(parts):
        package_input(source, part, number)
    made = package(tmp_path / "two", "-i", parts[0], "-i", parts[1], "--segment", "2s", "--require-aligned")
    for way, played in (await play(players, made, [HLS[0], DASH[0]])).items():
        assert played.faults(SECONDS, LADDER_SIZES, frames=int(SECONDS * FPS)) == [], way


def package_input(source: Path, path: Path, number: int) -> None:
    """One rendition of a ladder as a file of its own."""
    run_ffmpeg("-i", str(source), "-map", f"0:v:{number}", "-map", "0:a", "-c", "copy", str(path))


async def test_the_film(players: Players, media_dir: Path, tmp_path: Path) -> None:
    made = package(tmp_path / "film", "-i", media_dir / "bigbuckbunny.mp4")
    for way, played in (await play(players, made, [HLS[0], *DASH])).items():
        assert played.faults(FILM_SECONDS, [(1280, 720)], frames=FILM_FRAMES) == [], way


@SLOW
@pytest.mark.parametrize("form", ["fmp4", "ts"])
async def test_the_film_over_and_over(players: Players, media_dir: Path, tmp_path: Path, form: str) -> None:
    made = package(tmp_path / "film", "-i", looped(media_dir, tmp_path / "film.mp4", 8), "--format", form)
    for way, played in (await play(players, made, HLS + DASH if form == "fmp4" else HLS)).items():
        assert played.faults(played.duration or 0, [(1280, 720)], frames=8 * FILM_FRAMES) == [], way
        assert played.duration == pytest.approx(8 * FILM_SECONDS, abs=0.3)


@pytest.mark.parametrize(
    ("codec", "sound"),
    [("av1", "opus"), pytest.param("vp9", "flac", marks=SLOW), pytest.param("vp9", "opus", marks=SLOW)],
)
async def test_free_codecs(players: Players, tmp_path: Path, codec: str, sound: str) -> None:
    made = videogen(tmp_path / "source.mkv", 4, "-c", codec, "--audio", sound)
    made = package(tmp_path / "packaged", "-i", made, "--segment", "2s")
    ways = HLS + DASH if codec == "vp9" else [HLS[0], DASH[0]]
    for way, played in (await play(players, made, ways)).items():
        assert played.faults(4, [(640, 360)], frames=4 * FPS) == [], way


@SLOW
async def test_sound_alone(players: Players, source: Path, tmp_path: Path) -> None:
    made = package(tmp_path / "sound", "-i", source, "--track", "audio", "--segment", "2s")
    for way, played in (await play(players, made, HLS + DASH)).items():
        assert played.faults(SECONDS, []) == [], way
        assert played.video_bytes == 0


@SLOW
async def test_picture_alone(players: Players, source: Path, tmp_path: Path) -> None:
    made = package(tmp_path / "picture", "-i", source, "--track", "video", "--segment", "2s")
    for way, played in (await play(players, made, HLS + DASH)).items():
        assert played.faults(SECONDS, LADDER_SIZES, frames=int(SECONDS * FPS), audio=False) == [], way


@pytest.mark.parametrize(
    "ways", [pytest.param(HLS[:2] + DASH, id="most"), pytest.param(HLS[2:], id="shaka-hls", marks=SLOW)]
)
async def test_an_event_that_was_interrupted(players: Players, tmp_path: Path, ways: list[tuple[str, str]]) -> None:
    """Two runs into one folder: a discontinuity in HLS, two periods in DASH, and the picture changes its size."""
    made = tmp_path / "event"
    first, second = await asyncio.gather(
        asyncio.to_thread(videogen, tmp_path / "first.ts", 3),
        asyncio.to_thread(videogen, tmp_path / "second.ts", 3, "-s", "320x180"),
    )
    package(made, "-i", first, "--type", "event", "--segment", "1s", "--no-endlist")
    package(made, "-i", second, "--type", "event", "--segment", "1s")
    for way, played in (await play(players, made, ways, timeout_s=20)).items():
        assert played.faults(6, [(320, 180)], frames=6 * FPS) == [], way


@pytest.mark.parametrize("form", ["fmp4", pytest.param("ts", marks=SLOW)])
async def test_live(players: Players, tmp_path: Path, form: str) -> None:
    ways = HLS + DASH if form == "fmp4" else HLS
    with LivePackage(tmp_path / "live", "--format", form) as live:
        async with asyncio.timeout(30):
            while live.segments() < START_SEGMENTS:
                await asyncio.sleep(0.1)
        for way, played in (await play(players, live.folder, ways, until=3, rate=1)).items():
            # Three seconds take three, and the time to begin: it plays, it does not skip.
            assert 2.6 < played.wall_s < 14, way
            assert (played.width, played.height) == (640, 360)
            assert played.video_bytes and played.audio_bytes
            assert played.gaps == [], way
            assert played.latency_s is None or 0 < played.latency_s < 10, way


@SLOW
async def test_live_that_ends(players: Players, tmp_path: Path) -> None:
    """Players that watch it see the end as well."""
    with LivePackage(tmp_path / "live", seconds=12) as live:
        async with asyncio.timeout(30):
            while live.segments() < START_SEGMENTS:
                await asyncio.sleep(0.1)
        for way, played in (await play(players, live.folder, HLS + DASH, rate=1)).items():
            assert played.ended, way
            assert played.current_time == pytest.approx(played.duration, abs=0.1), way
            assert played.gaps == [], way


@SLOW
async def test_live_that_is_gone_on_with(players: Players, tmp_path: Path) -> None:
    """The packager ends without saying so and starts again: players wait and go on, over the gap or without it."""
    folder = tmp_path / "live"
    with LivePackage(folder, "--no-endlist", seconds=8) as first:
        async with asyncio.timeout(30):
            while first.segments() < START_SEGMENTS:
                await asyncio.sleep(0.1)
        watching = asyncio.create_task(play(players, folder, HLS + DASH, until=12, rate=1))
        assert await asyncio.to_thread(first.wait) == (0, "")
        with LivePackage(folder):
            for way, played in (await watching).items():
                assert played.ready_state >= 2, way
                # DASH and PROGRAM-DATE-TIME have a time line on which nothing was for a while; the others close it.
                assert len(played.gaps) <= 1, way
                assert all(end - start < 5 for start, end in played.gaps), way
