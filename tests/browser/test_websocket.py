"""Chromium plays fMP4 from a WebSocket into Media Source Extensions: irregular pictures, holes, files with seek."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from evotools.containers.flv.demux import FlvDemuxer
from evotools.hub.hub import Hub, Publication
from evotools.hub.stream import PublisherInfo
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind
from evotools.server.config import FilesConfig, ServerConfig
from evotools.server.listeners.http import HttpListener
from evotools.server.names import RESERVED
from tests.browser.chromium import Chromium, Page
from tests.browser.test_player import AHEAD, Open, server, stop, until
from tests.conftest import need, run_ffmpeg

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]
VIDEO = "document.querySelector('video')"


def film(seconds: float, *, options: Sequence[str] = (), size: str = "320x180") -> list[Event]:
    """A picture that changes all the time, and a tone, as events."""
    command = [
        need("ffmpeg"), "-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", f"testsrc2=s={size}:r=25", "-f",
        "lavfi", "-i", "sine=f=440:r=48000", "-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt",
        "yuv420p", "-g", "50", "-c:a", "aac", *options, "-f", "flv", "-",
    ]  # fmt: skip
    data = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    demuxer = FlvDemuxer()
    return demuxer.feed(data) + demuxer.flush()


async def send(publication: Publication, events: Iterable[Event]) -> None:
    """Push events when they are due."""
    loop = asyncio.get_running_loop()
    begun, first = loop.time(), None
    for event in events:
        if isinstance(event, Frame):
            first = event.dts_s if first is None else first
            await asyncio.sleep(max(begun + event.dts_s - first - loop.time(), 0))
        publication.push([event])


IRREGULAR = ("-vf", "select='lt(mod(n,23),4)+eq(mod(n,23),9)+eq(mod(n,23),15)'", "-fps_mode", "vfr")
"""As a screen is captured: pictures when something moves, in runs, with holes of any length between them."""


def untimed(events: Sequence[Event]) -> list[Event]:
    """As RTMP brings them: no frame tells how long it lasts."""
    return [Frame(e.track, e.dts, e.pts, e.payload, key=e.key) if isinstance(e, Frame) else e for e in events]


@asynccontextmanager
async def playing(chromium: Chromium, events: Iterable[Event]) -> AsyncIterator[Page]:
    """The player page of a stream that sends these events in real time."""
    async with server() as (hub, listener, _):
        publication = hub.publish("cam", PublisherInfo("test"))
        publisher = asyncio.create_task(send(publication, events))
        try:
            async with chromium.open(f"http://127.0.0.1:{listener.port}/cam/") as page:
                await page.until(f"{VIDEO}.currentTime > 0.5", 60)
                assert await page.evaluate("document.getElementById('stage').dataset.via") == "websocket"
                yield page
                assert page.problems == []
        finally:
            await stop(publisher)


async def shown(page: Page, seconds: float) -> tuple[float, float, int]:
    """(from, to, pictures decoded between) while the page plays for so long."""
    state = f"[{VIDEO}.currentTime, {VIDEO}.getVideoPlaybackQuality().totalVideoFrames]"
    first, before = await page.evaluate(state)
    await page.until(f"{VIDEO}.currentTime > {first + seconds}", seconds * 3 + 10)
    last, after = await page.evaluate(state)
    return first, last, after - before


async def test_irregular_and_reordered_pictures_are_all_shown(chromium: Chromium) -> None:
    async with asyncio.TaskGroup() as side_by_side:
        side_by_side.create_task(_irregular(chromium))
        side_by_side.create_task(_reordered(chromium))


async def _irregular(chromium: Chromium) -> None:
    """Chromium drops everything up to the next key frame behind a decode time that is further away than it expects."""
    events = untimed(await asyncio.to_thread(film, 20, options=("-bf", "0", *IRREGULAR)))
    async with playing(chromium, events) as page:
        first, last, count = await shown(page, 5)
        due = sum(
            1 for e in events if isinstance(e, Frame) and e.track.kind is Kind.VIDEO and first < e.pts_s <= last
        )  # fmt: skip
        assert due > 25
        assert count > 0.8 * due
        assert await page.evaluate(f"{VIDEO}.buffered.length") == 1
        assert await page.evaluate(AHEAD) < 3


async def _reordered(chromium: Chromium) -> None:
    async with playing(chromium, untimed(await asyncio.to_thread(film, 20, options=("-bf", "2")))) as page:
        first, last, count = await shown(page, 4)
        assert count > 0.8 * 25 * (last - first)
        assert await page.evaluate(f"{VIDEO}.buffered.length") == 1


async def test_pictures_or_sound_alone(chromium: Chromium) -> None:
    events = film(20)
    async with asyncio.TaskGroup() as side_by_side:
        for kind in (Kind.VIDEO, Kind.AUDIO):
            frames = [event for event in events if isinstance(event, Frame) and event.track.kind is kind]
            side_by_side.create_task(_alone(chromium, frames))


async def _alone(chromium: Chromium, frames: Sequence[Frame]) -> None:
    async with playing(chromium, [Tracks((frames[0].track,)), *frames]) as page:
        await shown(page, 3)
        assert await page.evaluate(AHEAD) < 3


async def test_lost_sound_costs_a_moment_and_not_the_stream(chromium: Chromium) -> None:
    begun = asyncio.Event()
    events, lost = film(20), list[float]()

    def with_a_hole() -> Iterator[Event]:
        """0.6 s without sound as soon as the page plays."""
        for event in events:
            sound = isinstance(event, Frame) and event.track.kind is Kind.AUDIO
            if begun.is_set() and sound and (not lost or event.dts_s < lost[0] + 0.6):
                lost.append(event.dts_s)
            else:
                yield event

    async with playing(chromium, with_a_hole()) as page:
        begun.set()
        await page.until(f"{VIDEO}.currentTime > 1", 20)
        await until(lambda: len(lost) > 20)
        # Behind it the page plays on, and all that comes.
        await page.until(f"{VIDEO}.currentTime > {lost[-1] + 1.5}", 40)
        first, last, count = await shown(page, 2)
        assert count > 0.8 * 25 * (last - first)
        assert await page.evaluate(AHEAD) < 3


# Files.

LOAD = """
new Promise((resolve, reject) => {
  const video = window.video = document.createElement("video");
  video.muted = true;
  document.documentElement.append(video);
  const source = new MediaSource(), queue = [];
  let buffer = null;
  window.heard = [];
  const pump = () => {
    while (buffer && !buffer.updating && queue.length) {
      const next = queue.shift();
      if (typeof next === "function") next(); else buffer.appendBuffer(next);
    }
  };
  video.src = URL.createObjectURL(source);
  source.onsourceopen = () => {
    const socket = window.socket = new WebSocket(location.origin.replace("http", "ws") + "/films/film.mp4");
    socket.binaryType = "arraybuffer";
    socket.onerror = reject;
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") queue.push(data);
      else {
        const told = JSON.parse(data);
        heard.push(told);
        if (told.type === "codec_data" && !buffer) {
          buffer = source.addSourceBuffer(told.data.mime);
          buffer.onupdateend = pump;
          source.duration = told.data.duration / 1000;
          resolve(told.data);
        } else if (told.type === "seek") {
          // Media from before the seek was in front of this message, media from behind it follows.
          queue.length = 0;
          queue.push(() => buffer.abort(), () => buffer.remove(0, Infinity));
          video.currentTime = told.data.seek_time / 1000;
        }
      }
      pump();
    };
  };
})
"""


async def test_a_file_is_sought_over_the_websocket_and_plays_from_there(chromium: Chromium, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    run_ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i", "sine=f=440:r=48000", "-t", "60", "-c:v",
        "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50", "-c:a", "aac", str(folder / "film.mp4"),
    )  # fmt: skip
    hub = Hub(time.monotonic, reserved=RESERVED)
    listener = HttpListener(hub, Open(), ServerConfig(files={"films": FilesConfig(folder=str(folder))}))
    await listener.start("127.0.0.1", 0)
    try:
        async with chromium.open(f"http://127.0.0.1:{listener.port}/healthz") as page:
            told = await page.evaluate(LOAD)
            assert told["live"] is False
            assert told["duration"] == pytest.approx(60_000, abs=100)
            await page.evaluate("video.play()")
            await page.until("video.currentTime > 1", 30)
            # Five seconds ahead of the pace, and no more.
            assert await page.evaluate("video.buffered.end(0)") < 15
            await page.evaluate("socket.send(JSON.stringify({type: 'seek', seek_time: 41300}))")
            await page.until("video.currentTime > 42.5 && !video.seeking", 30)
            assert await page.evaluate("video.buffered.length") == 1
            assert 39.5 < await page.evaluate("video.buffered.start(0)") <= 41.3
            # As fast as it takes it, to the end.
            await page.evaluate("socket.send(JSON.stringify({type: 'set_speed', play_rate: 0}))")
            await page.until("heard.some(told => told.type === 'on_stop')", 30)
            assert await page.evaluate("video.buffered.end(0)") == pytest.approx(60, abs=0.3)
            assert await page.evaluate("video.error") is None
            assert page.problems == []
    finally:
        await listener.close()
        hub.close()
