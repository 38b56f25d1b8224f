"""A server in a process of its own that tells what it knows when it is asked.

As a program (`python -m tests.load.serving SECTION.KEY=VALUE…`) it runs the server as `evotools serve` does, on free
ports of loopback, and answers each line of its standard input with one JSON line of figures.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from evotools.commands.serve import ServeJob
from evotools.hub.hub import HubEvent
from evotools.server.app import Server
from evotools.server.config import load
from tests.commands.program import ENVIRONMENT

REPO = Path(__file__).resolve().parents[2]
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


class Serving:
    """The server, from the outside. Use it as a context manager."""

    def __init__(self, *settings: str) -> None:
        ports = ("rtmp.listen=127.0.0.1:0", "http.listen=127.0.0.1:0")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.load.serving", *ports, *settings],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT, cwd=REPO,
        )  # fmt: skip
        bound = self._answer()
        self.rtmp: int = bound["rtmp"]
        self.http: int = bound["http"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def figures(self) -> dict[str, Any]:
        """`rss_kib`, `cpu_s`, `tasks`, `sockets`, and `streams` by name; see `_figures`."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return self._answer()

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=20)


def say(value: Any) -> None:
    """One JSON line on standard output, at once."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _figures(server: Server, left: dict[str, dict[str, int]]) -> dict[str, Any]:
    times = os.times()
    streams = {}
    for stream in server.hub:
        viewers = [viewer for feed in stream.feeds.values() for viewer in feed.viewers()]
        streams[stream.name] = {
            "state": stream.state.value, "session": stream.session, "bytes_in": stream.bytes_in,
            "frames_in": stream.frames_in, "viewers": len(viewers),
            "slow_now": sum(1 for viewer in viewers if viewer.dropped), "dropped": stream.totals.dropped,
            "skips": stream.totals.skips, "stalled": stream.totals.stalled, "failed": stream.totals.failed,
            "left": left.get(stream.name, {}),
        }  # fmt: skip
    return {
        "rss_kib": int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_KIB,
        "cpu_s": times.user + times.system, "tasks": len(asyncio.all_tasks()),
        "sockets": len(os.listdir("/proc/self/fd")), "interval_s": server.flusher.interval_s, "streams": streams,
    }  # fmt: skip


async def _main() -> None:
    server = Server(load(env={}, sets=sys.argv[1:]))
    await server.start()
    left: dict[str, dict[str, int]] = {}

    def count(event: HubEvent) -> None:
        if event.kind == "left":
            reasons = left.setdefault(event.stream.name, {})
            reasons[event.detail] = reasons.get(event.detail, 0) + 1

    server.hub.on_event(count)
    say({"rtmp": server.rtmp_port, "http": server.http_port})
    ended = asyncio.Event()

    def on_input() -> None:
        if os.read(0, 4096):
            say(_figures(server, left))
        else:
            ended.set()

    asyncio.get_running_loop().add_reader(0, on_input)
    await ended.wait()
    await server.stop()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=ServeJob.loop_factory()) as runner:
        runner.run(_main())
