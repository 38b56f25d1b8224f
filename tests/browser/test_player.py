"""The player page in a real browser: it plays, says what it does, and waits for streams that are not there yet."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from evotools.containers.flv.demux import FlvDemuxer
from evotools.hub.hub import Hub
from evotools.hub.stream import PublisherInfo
from evotools.server.access_types import ALLOWED, AccessRequest, Decision
from evotools.server.config import HlsConfig, ServerConfig
from evotools.server.listeners.http import HttpListener
from evotools.server.names import RESERVED
from evotools.transport.flush import Flusher
from tests.browser.chromium import Chromium
from tests.interop.peers import ffmpeg9

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


class Open:
    """Everybody may read; a token is noted."""

    def __init__(self) -> None:
        self.tokens: set[tuple[str, str]] = set()

    def check(self, request: AccessRequest) -> Decision:
        self.tokens.add((request.protocol, request.token))
        return ALLOWED


AHEAD = "(v => v.buffered.end(v.buffered.length - 1) - v.currentTime)(document.querySelector('video'))"
DROPPED = "document.querySelector('video').getVideoPlaybackQuality().droppedVideoFrames"

SEGMENTS_S = 4
"""Of media, in which are the three segments that players of HLS begin with."""


async def publish(hub: Hub, name: str, seconds: float = 60, size: str = "640x360", burst_s: float = 0) -> None:
    """A live test picture and tone from ffmpeg, in real time; the first `burst_s` seconds come at once."""
    pace = ("-readrate", "1", "-readrate_initial_burst", str(burst_s))
    command = [
        ffmpeg9(), "-hide_banner", "-loglevel", "error", *pace, "-f", "lavfi", "-i", f"testsrc2=s={size}:r=25", *pace,
        "-f", "lavfi", "-i", "sine=f=440:r=48000", "-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast",
        "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "25", "-b:v", "600k", "-c:a", "aac", "-f", "flv", "-",
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    publication = hub.publish(name, PublisherInfo("test"))
    demuxer = FlvDemuxer()
    try:
        while data := await process.stdout.read(65536):
            publication.push(demuxer.feed(data))
    finally:
        publication.close()
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def server() -> AsyncIterator[tuple[Hub, HttpListener, Open]]:
    hub = Hub(time.monotonic, reserved=RESERVED)
    flusher = Flusher(hub)
    access = Open()
    # Shorter segments than by default: players begin after three.
    listener = HttpListener(hub, access, ServerConfig(hls=HlsConfig(segment=1.0)))
    await listener.start("127.0.0.1", 0)
    try:
        yield hub, listener, access
    finally:
        await listener.close()
        flusher.close()
        hub.close()


async def until(true: Callable[[], bool]) -> None:
    for _ in range(400):
        if true():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not happen")


async def stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_page_plays_a_live_stream_close_to_its_edge(chromium: Chromium, tmp_path: Path) -> None:
    async with server() as (hub, listener, access):
        publisher = asyncio.create_task(publish(hub, "live/cam+1"))
        try:
            url = f"http://127.0.0.1:{listener.port}/live/cam+1/?token=let-me-in"
            async with chromium.open(url) as page:
                await page.until("document.querySelector('video').currentTime > 0.5", 60)
                first = await page.evaluate("document.querySelector('video').currentTime")
                begun = time.monotonic()
                await page.until(f"document.querySelector('video').currentTime > {first + 3}", 30)
                # Three seconds of media take about three seconds, not less: it plays, it does not skip.
                assert time.monotonic() - begun > 2.25
                assert await page.evaluate("document.getElementById('stage').dataset.via") == "websocket"
                assert await page.evaluate("document.querySelector('video').videoWidth") == 640
                assert await page.evaluate("document.getElementById('notice').hidden")
                assert (await page.evaluate("document.getElementById('size').textContent")) == "640×360"
                assert await page.until("document.getElementById('live').classList.contains('on')", 10)
                # Not three segments, as with HLS: what the buffer has to hold on a busy machine.
                behind = await page.until("parseFloat(document.getElementById('behind').textContent)", 20)
                assert behind < 2
                assert await page.evaluate(AHEAD) < 2
                assert await page.evaluate(DROPPED) < 25
                assert await page.evaluate("document.querySelector('video').muted")
                await page.evaluate("document.getElementById('sound').click()")
                assert not await page.evaluate("document.querySelector('video').muted")
                assert page.problems == []
                await page.screenshot(tmp_path / "player.png")
            assert access.tokens == {("http", "let-me-in"), ("ws-mp4", "let-me-in")}
        finally:
            await stop(publisher)


async def test_the_page_goes_on_with_a_publisher_that_comes_back(chromium: Chromium) -> None:
    """The same connection, the same clock, another size: the player takes the new header without starting anew."""
    async with server() as (hub, listener, _):
        publisher = asyncio.create_task(publish(hub, "live/cam"))
        try:
            async with chromium.open(f"http://127.0.0.1:{listener.port}/live/cam/") as page:
                await page.until("document.querySelector('video').currentTime > 1", 60)
                await page.evaluate("window.before = document.querySelector('video').src")
                await stop(publisher)
                ended = await page.evaluate("document.querySelector('video').currentTime")
                publisher = asyncio.create_task(publish(hub, "live/cam", size="320x240"))
                await page.until("document.querySelector('video').videoWidth == 320", 30)
                now = await page.evaluate("document.querySelector('video').currentTime")
                assert now > ended
                await page.until(f"document.querySelector('video').currentTime > {now + 1.5}", 30)
                assert await page.evaluate("document.querySelector('video').src == window.before")
                assert await page.evaluate(AHEAD) < 2
                assert page.problems == []
        finally:
            await stop(publisher)


async def test_a_pause_leaves_the_stream_and_play_goes_to_the_live_edge(chromium: Chromium) -> None:
    async with server() as (hub, listener, _):
        publisher = asyncio.create_task(publish(hub, "cam"))
        try:
            async with chromium.open(f"http://127.0.0.1:{listener.port}/cam/") as page:
                # At once, and not while the page itself seeks: in a seek it takes a pause for part of that.
                pause = "(v => v.currentTime > 0.5 && !v.seeking && (v.pause(), true))(document.querySelector('video'))"
                await page.until(pause, 60)
                stream = hub.find("cam")
                assert stream is not None
                await until(lambda: stream.viewers == 0)
                held = await page.evaluate("document.querySelector('video').currentTime")
                await asyncio.sleep(3)
                await page.evaluate("document.querySelector('video').play()")
                await page.until(f"document.querySelector('video').currentTime > {held + 2.5}", 20)
                assert stream.viewers == 1
                assert await page.evaluate(AHEAD) < 2
                assert page.problems == []
        finally:
            await stop(publisher)


async def test_the_page_plays_hls_where_it_has_to(chromium: Chromium) -> None:
    async with server() as (hub, listener, access):
        publisher = asyncio.create_task(publish(hub, "live/cam+1", burst_s=SEGMENTS_S))
        try:
            url = f"http://127.0.0.1:{listener.port}/live/cam+1/?token=let-me-in#hls"
            async with chromium.open(url) as page:
                await page.until("document.querySelector('video').currentTime > 0.5", 60)
                assert await page.evaluate("document.getElementById('stage').dataset.via") == "hls"
                assert await page.evaluate("document.querySelector('video').videoWidth") == 640
                assert await page.until("document.getElementById('live').classList.contains('on')", 10)
                assert 0 < float((await page.until("document.getElementById('buffer').textContent", 5)).split()[0]) < 20
                behind = await page.until("parseFloat(document.getElementById('behind').textContent)", 20)
                # At least what lies in the buffer; three segments and the encoder's delay.
                assert 2 < behind < 20
                assert page.problems == []
            assert ("hls", "let-me-in") in access.tokens
            # The token went along to every playlist and segment.
            assert ("hls", "") not in access.tokens
        finally:
            await stop(publisher)


async def test_the_page_falls_back_when_the_browser_has_not_the_codec(chromium: Chromium) -> None:
    async with server() as (hub, listener, _):
        publisher = asyncio.create_task(publish(hub, "cam", burst_s=SEGMENTS_S))
        try:
            async with chromium.open(f"http://127.0.0.1:{listener.port}/healthz") as page:
                refuse = "MediaSource.isTypeSupported = () => false"
                await page.call("Page.addScriptToEvaluateOnNewDocument", source=refuse)
                await page.call("Page.navigate", url=f"http://127.0.0.1:{listener.port}/cam/")
                await page.until("document.getElementById('stage')?.dataset.via == 'hls'", 20)
                await page.until("document.querySelector('video').currentTime > 0.5", 60)
        finally:
            await stop(publisher)


async def test_the_playlist_plays_without_a_page(chromium: Chromium) -> None:
    """What the guide does: the address of the playlist in the address bar."""
    async with server() as (hub, listener, _):
        publisher = asyncio.create_task(publish(hub, "live/livestream", burst_s=SEGMENTS_S))
        try:
            url = f"http://127.0.0.1:{listener.port}/live/livestream.m3u8"
            async with chromium.open(url) as page:
                await page.until("document.querySelector('video')?.currentTime > 1", 60)
        finally:
            await stop(publisher)


async def test_the_page_waits_for_a_stream_and_plays_when_it_comes(chromium: Chromium) -> None:
    async with server() as (hub, listener, _):
        url = f"http://127.0.0.1:{listener.port}/later/"
        async with chromium.open(url) as page:
            await page.until("document.getElementById('notice')?.textContent.startsWith('Waiting')", 30)
            publisher = asyncio.create_task(publish(hub, "later"))
            try:
                await page.until("document.querySelector('video').currentTime > 1", 60)
                assert await page.evaluate("document.getElementById('notice').hidden")
            finally:
                await stop(publisher)


async def test_the_index_page_lists_what_is_on_air(chromium: Chromium, tmp_path: Path) -> None:
    async with server() as (hub, listener, _):
        hub.publish("live/a", PublisherInfo("test"))
        async with chromium.open(f"http://127.0.0.1:{listener.port}/") as page:
            assert await page.until("document.querySelector('li .name')?.textContent", 20) == "live/a"
            await page.evaluate("document.querySelector('li .name').click()")
            await page.until("document.getElementById('video') && location.pathname == '/live/a/'", 20)
            await page.screenshot(tmp_path / "waiting.png")
            assert page.problems == []
