"""Headless Chromium, driven over the DevTools protocol."""

import asyncio
import base64
import itertools
import json
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


class Page:
    """One tab."""

    def __init__(self, socket: websockets.ClientConnection, session: str) -> None:
        self._socket = socket
        self._session = session
        self._ids = itertools.count(100)
        self.events: list[dict[str, Any]] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        await self._socket.send(
            json.dumps({"id": number, "method": method, "params": params, "sessionId": self._session})
        )
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
        for _ in range(int(seconds * 4)):
            value = await self.evaluate(expression)
            if value:
                return value
            await asyncio.sleep(0.25)
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


@asynccontextmanager
async def browse(url: str, profile: Path) -> AsyncIterator[Page]:
    """A tab that shows `url`."""
    command = [need("chromium"), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    drain = None
    try:
        assert process.stderr is not None
        address = ""
        async with asyncio.timeout(60):
            while not address:
                line = (await process.stderr.readline()).decode()
                assert line, "Chromium ended"
                if "DevTools listening on " in line:
                    address = line.split("DevTools listening on ")[1].strip()
        drain = asyncio.create_task(process.stderr.read())
        async with websockets.connect(address, max_size=2**26) as socket:
            await socket.send(json.dumps({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}}))
            target = await _answer(socket, 1)
            attach = {"targetId": target["targetId"], "flatten": True}
            await socket.send(json.dumps({"id": 2, "method": "Target.attachToTarget", "params": attach}))
            page = Page(socket, (await _answer(socket, 2))["sessionId"])
            for domain in ("Page", "Runtime", "Log"):
                await page.call(f"{domain}.enable")
            await page.call("Page.navigate", url=url)
            await page.until("location.href != 'about:blank' && document.readyState == 'complete'", 30)
            yield page
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()
        if drain is not None:
            await drain


async def _answer(socket: websockets.ClientConnection, number: int) -> dict[str, Any]:
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), 30))
        if message.get("id") == number:
            result: dict[str, Any] = message["result"]
            return result
