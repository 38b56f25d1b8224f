"""Chromium as a reader of fMP4 over WebSocket: it plays what comes, and keeps it so that it can be compared."""

import asyncio
import base64
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.browser.chromium import Chromium

PATIENCE_S = 60
"""For a group of pictures and some seconds to play, beside much else that runs."""

LOAD = """
(url => new Promise((resolve, reject) => {
  const video = window.video = document.createElement("video");
  video.muted = true;
  document.documentElement.append(video);
  const source = new MediaSource();
  window.kept = [];
  window.size = 0;
  let buffer = null, next = 0;
  const pump = () => {
    if (!buffer || buffer.updating || next >= kept.length) return;
    buffer.appendBuffer(kept[next++]);
    if (video.buffered.length && video.currentTime < video.buffered.start(0)) {
      video.currentTime = video.buffered.start(0);
      video.play();
    }
  };
  video.src = URL.createObjectURL(source);
  source.onsourceopen = () => {
    const socket = window.socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onerror = () => reject(new Error("the WebSocket failed"));
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") {
        kept.push(data);
        size += data.byteLength;
      } else {
        const told = JSON.parse(data);
        if (told.type === "codec_data" && !buffer) {
          const playable = MediaSource.isTypeSupported(told.data.mime);
          if (playable) {
            buffer = source.addSourceBuffer(told.data.mime);
            buffer.onupdateend = pump;
          } else {
            socket.close();
          }
          resolve({ mime: told.data.mime, playable });
        }
      }
      pump();
    };
  };
}))
"""

KEPT = """
new Promise(resolve => {
  socket.onmessage = null;
  socket.close();
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.split(",")[1]);
  reader.readAsDataURL(new Blob(kept));
})
"""


@dataclass(frozen=True)
class Played:
    """What Chromium made of a stream."""

    mime: str
    playable: bool
    """`MediaSource.isTypeSupported` of that type; nothing else is tried without it."""


class SocketReader:
    """One browser for several readers, started by the first; its pages are of the server's own origin."""

    def __init__(self, profile: Path, page: str) -> None:
        self._profile = profile
        self._page = page
        self._lock = threading.Lock()
        self._chromium: Chromium | None = None

    def _browser(self) -> Chromium:
        with self._lock:
            if self._chromium is None:
                self._chromium = Chromium(self._profile)
            return self._chromium

    def read(self, url: str, path: Path, enough: int, *, seconds: float = 4) -> Played:
        """Play `url` until `currentTime` has gone on by `seconds` and `enough` bytes are there; they go to `path`."""
        return asyncio.run(self._read(url, path, enough, seconds))

    async def _read(self, url: str, path: Path, enough: int, seconds: float) -> Played:
        chromium = await asyncio.to_thread(self._browser)
        async with chromium.open(self._page) as page:
            told: dict[str, Any] = await page.evaluate(f"{LOAD.strip()}('{url}')")
            if not told["playable"]:
                return Played(told["mime"], False)
            first = await page.until("video.readyState > 2 && video.currentTime", PATIENCE_S)
            await page.until(f"video.error || (video.currentTime > {first + seconds} && size > {enough})", PATIENCE_S)
            assert await page.evaluate("video.error && video.error.message") is None
            # Nothing is missing in it, and both kinds were decoded.
            assert await page.evaluate("video.buffered.length") == 1
            assert await page.evaluate("video.videoWidth") > 0
            assert await page.evaluate("video.getVideoPlaybackQuality().totalVideoFrames") > 25
            assert await page.evaluate("video.webkitAudioDecodedByteCount") > 0
            assert page.problems == []
            path.write_bytes(base64.b64decode(await page.evaluate(KEPT)))
            return Played(told["mime"], True)

    def close(self) -> None:
        if self._chromium is not None:
            self._chromium.close()
