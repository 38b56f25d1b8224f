"""Headless Chromium, driven over the DevTools protocol."""

import asyncio
import base64
import itertools
import json
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import websockets

from tests.conftest import need

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0", "--window-size=1280,900",
)  # fmt: skip
PATIENCE_S = 60.0
"""For the start of a browser on a busy machine."""
LOOKS_PER_S = 10
"""How often a page is asked whether something has happened."""


class Page:
    """One tab."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._session = ""
        self._ids = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    async def attach(self, target: str) -> None:
        """Talk to a tab from now on; before, to the browser."""
        self._session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        await self._socket.send(json.dumps(message))
        while True:
            message = json.loads(await asyncio.wait_for(self._socket.recv(), 30))
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                result: dict[str, Any] = message["result"]
                return result
            if "method" in message:
                self.events.append(message)

    async def evaluate(self, expression: str) -> Any:
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str, seconds: float) -> Any:
        """The first true value of `expression`."""
        value = None
        for _ in range(int(seconds * LOOKS_PER_S)):
            value = await self.evaluate(expression)
            if value:
                return value
            await asyncio.sleep(1 / LOOKS_PER_S)
        raise AssertionError(f"{expression} stayed {value!r}")

    async def screenshot(self, path: Path) -> None:
        answer = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    @property
    def problems(self) -> list[str]:
        """What the browser reported: script errors and broken security rules."""
        found = [json.dumps(e["params"]) for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        entries = [e["params"]["entry"] for e in self.events if e["method"] == "Log.entryAdded"]
        found += [entry["text"] for entry in entries if entry["source"] in ("security", "javascript")]
        return found


class Chromium:
    """A running browser, which many tests may use; it ends with `close`."""

    def __init__(self, profile: Path) -> None:
        profile.mkdir(parents=True, exist_ok=True)
        self._log = profile / "chromium.log"
        with self._log.open("wb") as log:
            command = [need("chromium"), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        # Two lines: the port, and the path of the browser's own socket.
        active = profile / "DevToolsActivePort"
        deadline = time.monotonic() + PATIENCE_S
        try:
            while len(lines := active.read_text().splitlines() if active.exists() else []) < 2:
                assert self.process.poll() is None, f"Chromium ended\n{self.said()}"
                assert time.monotonic() < deadline, f"Chromium did not start\n{self.said()}"
                time.sleep(0.05)
        except BaseException:
            self.close()
            raise
        self._address = f"ws://127.0.0.1:{lines[0]}{lines[1]}"

    def said(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[Page]:
        """A tab that shows `url`, with a cache and storage of its own."""
        assert self.process.poll() is None, f"Chromium ended\n{self.said()}"
        async with websockets.connect(self._address, max_size=2**26) as socket:
            browser, page = Page(socket), Page(socket)
            context = (await browser.call("Target.createBrowserContext"))["browserContextId"]
            try:
                target = await browser.call("Target.createTarget", url="about:blank", browserContextId=context)
                await page.attach(target["targetId"])
                for domain in ("Page", "Runtime", "Log"):
                    await page.call(f"{domain}.enable")
                await page.call("Page.navigate", url=url)
                await page.until("location.href != 'about:blank' && document.readyState == 'complete'", 30)
                yield page
            finally:
                if self.process.poll() is None:
                    await browser.call("Target.disposeBrowserContext", browserContextId=context)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@asynccontextmanager
async def browse(url: str, profile: Path) -> AsyncIterator[Page]:
    """A tab that shows `url`, in a browser of its own."""
    chromium = await asyncio.to_thread(Chromium, profile)
    try:
        async with chromium.open(url) as page:
            yield page
    finally:
        await asyncio.to_thread(chromium.close)
