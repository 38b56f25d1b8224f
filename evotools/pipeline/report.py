"""Finished files on standard output, one path per line, and as `file` events."""

import asyncio
import os
import queue
import sys
import threading
from collections.abc import Mapping
from typing import Any, Self

from evotools.pipeline.job import Runtime

LEAVE_S = 5.0
"""How long the end of the job waits for a reader that takes the last lines slowly."""


class FileReporter:
    """Prints from a thread of its own: a reader that pauses never holds up a recording.

    A reader that leaves ends the job as a signal does, so that the file being written is finished; `broken` then
    tells that the program should end by SIGPIPE.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.broken = False
        self._runtime = runtime
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._print, name="report", daemon=True)

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        self._runtime.context.on_file = self._report
        self._runtime.context.on_event = self._emit
        return self

    def __exit__(self, *_: object) -> None:
        self._runtime.context.on_file = self._runtime.context.on_event = None
        self._lines.put(None)
        self._thread.join(LEAVE_S)

    def _report(self, path: str, facts: Mapping[str, Any]) -> None:
        # Events are UTF-8.
        self._runtime.events.emit("file", path=os.fsencode(path).decode("utf-8", "replace"), **facts)
        self._lines.put(path)

    def _emit(self, event: str, facts: Mapping[str, Any]) -> None:
        self._runtime.events.emit(event, **facts)

    def _print(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                _say(line)
            except OSError:
                self.broken = True
                try:
                    assert self._loop is not None
                    self._loop.call_soon_threadsafe(self._runtime.stop.set)
                except RuntimeError:
                    # The job is over already.
                    pass
                return


def _say(line: str) -> None:
    if "tqdm" in sys.modules and sys.stdout.isatty():
        from tqdm import tqdm

        # A bar on the same terminal makes room.
        tqdm.write(line)
        sys.stdout.flush()
    else:
        # A path is bytes, whatever the terminal's encoding makes of them.
        sys.stdout.buffer.write(os.fsencode(line) + b"\n")
        sys.stdout.flush()
