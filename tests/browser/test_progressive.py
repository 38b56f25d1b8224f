"""Progressive media in a real browser, as `<video src>` takes it: live streams in every format that it knows, and files
in which it seeks by ranges."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from evotools.containers.sniff import make_demuxer
from evotools.hub.hub import Hub
from evotools.hub.stream import PublisherInfo
from evotools.server.config import FilesConfig
from evotools.server.listeners.http import HttpListener
from tests.browser.chromium import Page, browse
from tests.browser.test_player import server, until
from tests.conftest import need
from tests.interop.peers import ffmpeg9

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

SOURCE = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i", "sine=f=440:r=48000"]
LIVE = ["-re", *SOURCE[:4], "-re", *SOURCE[4:]]
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-b:v", "300k"]
VP8 = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-b:v", "300k"]
STREAMS = {
    "flv": [*H264, "-c:a", "aac", "-f", "flv"],
    "matroska": [*VP8, "-c:a", "libopus", "-f", "webm"],
    "mp3": ["-map", "1", "-c:a", "libmp3lame", "-f", "flv"],
}
"""Publications by name: codecs, and the container in which they come to the test."""

TIME = "document.querySelector('video').currentTime"
FAILED = "(v => v.error ? v.error.message : '')(document.querySelector('video'))"


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


async def _show(page: Page, target: str) -> None:
    await page.evaluate(
        f"(v => {{ v.muted = true; v.src = '{target}'; v.play().catch(() => {{}}); }})(document.querySelector('video'))"
    )


async def test_live_streams_play_in_every_format_that_the_browser_knows(tmp_path: Path) -> None:
    film = tmp_path / "films" / "film.mp4"
    async with server() as (hub, listener, _), on_air(hub):
        _offer(listener, film)
        async with browse(f"http://127.0.0.1:{listener.port}/films/film/", tmp_path / "profile") as page:
            for target, pictures in (
                ("/flv.mp4", True), ("/flv.mkv", True), ("/flv.aac", False), ("/flv.mp4?video=none", False),
                ("/matroska.webm", True), ("/matroska.mkv", True), ("/matroska.ogg", False),
                ("/matroska.webm?video=none", False), ("/matroska.mp4", True), ("/mp3.mp3", False),
            ):  # fmt: skip
                await _show(page, target)
                try:
                    begun = await page.until(f"{TIME} || null", 20)
                    await page.until(f"{TIME} > {begun} + 0.5", 20)
                except AssertionError:
                    raise AssertionError(f"{target}: {await page.evaluate(FAILED)}") from None
                width = await page.evaluate("document.querySelector('video').videoWidth")
                assert (width == 320) == pictures, target


def _offer(listener: HttpListener, film: Path) -> None:
    film.parent.mkdir(exist_ok=True)
    listener.files.replace({"films": FilesConfig(str(film.parent))})
    if not film.exists():
        film.touch()


async def test_a_file_is_entered_by_ranges_and_other_containers_by_time(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    film = folder / "film.mp4"
    process = await asyncio.create_subprocess_exec(
        need("ffmpeg"), "-loglevel", "error", *SOURCE, "-t", "150", *H264, "-b:v", "2M", "-c:a", "aac", str(film)
    )
    assert await process.wait() == 0
    process = await asyncio.create_subprocess_exec(
        need("ffmpeg"), "-loglevel", "error", "-i", str(film), "-c", "copy", str(folder / "capture.ts")
    )
    assert await process.wait() == 0
    async with server() as (_, listener, access):
        _offer(listener, film)
        base = f"http://127.0.0.1:{listener.port}/films"
        async with browse(f"{base}/film/", tmp_path / "profile") as page:
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
