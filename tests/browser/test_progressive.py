"""Progressive media in a real browser, as `<video src>` takes it: live streams in every format that it knows, and files
in which it seeks by ranges."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from evotools.containers.sniff import make_demuxer
from evotools.hub.hub import Hub
from evotools.hub.stream import PublisherInfo
from evotools.server.config import FilesConfig
from evotools.server.listeners.http import HttpListener
from tests.browser.chromium import Chromium, Page
from tests.browser.test_player import server, until
from tests.conftest import run_ffmpeg
from tests.interop.peers import ffmpeg9

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

SOURCE = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i", "sine=f=440:r=48000"]
PACE = ["-readrate", "1", "-readrate_initial_burst", "3"]
LIVE = [*PACE, *SOURCE[:4], *PACE, *SOURCE[4:]]
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-b:v", "300k"]
VP8 = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-b:v", "300k"]
STREAMS = {
    "flv": [*H264, "-c:a", "aac", "-f", "flv"],
    "matroska": [*VP8, "-c:a", "libopus", "-f", "webm"],
    "mp3": ["-map", "1", "-c:a", "libmp3lame", "-f", "flv"],
}
"""Publications by name: codecs, and the container in which they come to the test."""

TIME = "document.querySelector('video').currentTime"


@asynccontextmanager
async def on_air(hub: Hub) -> AsyncIterator[None]:
    """All of STREAMS, live."""
    tasks = [asyncio.create_task(_publish(hub, name, options)) for name, options in STREAMS.items()]
    try:
        await until(lambda: all((found := hub.find(name)) is not None and found.frames_in > 60 for name in STREAMS))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _publish(hub: Hub, name: str, options: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        ffmpeg9(), "-hide_banner", "-loglevel", "error", *LIVE, "-t", "90", *options, "-",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    publication = hub.publish(name, PublisherInfo("test"))
    demuxer = make_demuxer("matroska" if name == "matroska" else "flv")
    try:
        while data := await process.stdout.read(65536):
            publication.push(demuxer.feed(data))
    finally:
        publication.close()
        if process.returncode is None:
            process.kill()
        await process.wait()


SHOW = "(v => {{ v.muted = true; v.src = '{}'; v.play().catch(() => {{}}); }})(document.querySelectorAll('video')[{}])"


async def _show(page: Page, target: str, place: int = 0) -> None:
    await page.evaluate(SHOW.format(target, place))


FORMATS = (
    ("/flv.mp4", True), ("/flv.mkv", True), ("/flv.aac", False), ("/flv.mp4?video=none", False),
    ("/matroska.webm", True), ("/matroska.mkv", True), ("/matroska.ogg", False), ("/matroska.webm?video=none", False),
    ("/matroska.mp4", True), ("/mp3.mp3", False),
)  # fmt: skip
"""What there is to play, and whether it has pictures."""
AT_ONCE = 5
"""Browsers open six connections to one server."""
TIMES, WIDTHS, STATES = (
    f"[...document.querySelectorAll('video')].map(v => {what})"
    for what in ("v.currentTime", "v.videoWidth", "[v.currentTime, v.error && v.error.message]")
)


async def test_live_streams_play_in_every_format_that_the_browser_knows(chromium: Chromium) -> None:
    async with server() as (hub, listener, _), on_air(hub), asyncio.TaskGroup() as group:
        for first in range(0, len(FORMATS), AT_ONCE):
            group.create_task(_all_play(chromium, listener.port, FORMATS[first : first + AT_ONCE]))


async def _all_play(chromium: Chromium, port: int, formats: Sequence[tuple[str, bool]]) -> None:
    """Side by side on one page."""
    async with chromium.open(f"http://127.0.0.1:{port}/healthz") as page:
        await page.evaluate(f"document.body.innerHTML = '<video></video>'.repeat({len(formats)}), 1")
        for place, (target, _) in enumerate(formats):
            await _show(page, target, place)
        try:
            begun = await page.until(f"(all => all.every(t => t) && all)({TIMES})", 40)
            await page.until(f"(all => {TIMES}.every((t, n) => t > all[n] + 0.5))({begun})", 40)
        except AssertionError:
            told = list(zip(formats, await page.evaluate(STATES), strict=True))
            raise AssertionError(f"seconds played and errors: {told}") from None
        widths = await page.evaluate(WIDTHS)
        assert widths == [320 if pictures else 0 for _, pictures in formats], formats


def _offer(listener: HttpListener, film: Path) -> None:
    film.parent.mkdir(exist_ok=True)
    listener.files.replace({"films": FilesConfig(str(film.parent))})
    if not film.exists():
        film.touch()


async def test_a_file_is_entered_by_ranges_and_other_containers_by_time(chromium: Chromium, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    turn, film = tmp_path / "turn.mp4", folder / "film.mp4"
    run_ffmpeg(*SOURCE, "-t", "15", *H264, "-b:v", "2M", "-c:a", "aac", str(turn))
    run_ffmpeg("-stream_loop", "9", "-i", str(turn), "-c", "copy", str(film))
    run_ffmpeg("-i", str(film), "-c", "copy", str(folder / "capture.ts"))
    async with server() as (_, listener, access):
        _offer(listener, film)
        base = f"http://127.0.0.1:{listener.port}/films"
        async with chromium.open(f"{base}/film/") as page:
            video = "document.querySelector('video')"
            assert 149 < await page.until(f"{video}.duration || null", 20) < 151
            await page.evaluate(f"{video}.muted = true, {video}.play().catch(() => 0), 1")
            await page.until(f"{TIME} > 0.5", 20)
            for place in (130, 60):
                await page.evaluate(f"{video}.currentTime = {place}, 1")
                await page.until(f"!{video}.seeking && {TIME} > {place} + 0.5", 20)
            assert await page.evaluate(f"{video}.buffered.length") >= 2
            # A transport stream plays as MP4 made on the way, from where it is asked for.
            await _show(page, "/films/capture.mp4?start=100&duration=20")
            await page.until(f"{TIME} > 1", 20)
            assert await page.evaluate(f"{video}.videoWidth") == 320
            assert ("http-mp4", "") in access.tokens
