"""Finished files on standard output: at once, whatever the reader does."""

import asyncio
import io
import json
import os
import select
import sys
from pathlib import Path
from typing import IO, Self

import pytest

from evotools.log import EventWriter
from evotools.pipeline import report
from evotools.pipeline.job import Runtime
from evotools.pipeline.report import FileReporter


class Pipe:
    """A pipe in the place of standard output, while a test runs."""

    def __init__(self) -> None:
        self.read_fd, write_fd = os.pipe()
        self.out: IO[str] = io.TextIOWrapper(os.fdopen(write_fd, "wb"), encoding="ascii")
        self._left = False

    def __enter__(self) -> Self:
        self._before, sys.stdout = sys.stdout, self.out
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout = self._before
        self.leave()
        try:
            self.out.close()
        except BrokenPipeError:
            pass

    def lines(self, count: int) -> list[bytes]:
        """So many lines, as soon as they are there."""
        got = b""
        while got.count(b"\n") < count:
            assert select.select([self.read_fd], [], [], 20)[0], got
            got += os.read(self.read_fd, 65536)
        return got.splitlines()

    def leave(self) -> None:
        if not self._left:
            self._left = True
            os.close(self.read_fd)


async def test_a_path_is_there_as_soon_as_it_is_told(tmp_path: Path) -> None:
    events = tmp_path / "events"
    runtime = Runtime(events=EventWriter(str(events)))
    with Pipe() as pipe, FileReporter(runtime) as reporter:
        tell = runtime.context.on_file
        assert tell is not None
        for name in ("a.ts", "b c/ü.ts", "caf\udce9.ts"):
            tell(name, {"bytes": 3})
            assert await asyncio.to_thread(pipe.lines, 1) == [os.fsencode(name)]
    assert runtime.context.on_file is None
    assert not reporter.broken
    told = [json.loads(line) for line in events.read_text(errors="surrogateescape").splitlines()]
    assert [(e["event"], e["path"], e["bytes"]) for e in told][:2] == [("file", "a.ts", 3), ("file", "b c/ü.ts", 3)]


async def test_other_events_go_to_those_who_want_events_only(tmp_path: Path) -> None:
    runtime = Runtime(events=EventWriter(str(tmp_path / "events")))
    with Pipe() as pipe:
        with FileReporter(runtime):
            assert runtime.context.on_event is not None
            runtime.context.on_event("segment", {"number": 1})
        assert not select.select([pipe.read_fd], [], [], 0)[0]
    assert json.loads((tmp_path / "events").read_text())["number"] == 1


async def test_a_reader_that_leaves_stops_the_job() -> None:
    runtime = Runtime()
    with Pipe() as pipe, FileReporter(runtime) as reporter:
        pipe.leave()
        assert runtime.context.on_file is not None
        runtime.context.on_file("a.ts", {})
        async with asyncio.timeout(10):
            await runtime.stop.wait()
        assert reporter.broken
        # Telling more is no error.
        runtime.context.on_file("b.ts", {})


async def test_a_reader_that_pauses_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "LEAVE_S", 0.05)
    runtime = Runtime()
    count = 20_000
    with Pipe() as pipe:
        with FileReporter(runtime) as reporter:
            assert runtime.context.on_file is not None
            for n in range(count):
                runtime.context.on_file(f"{n:06d}.ts", {})
        assert not reporter.broken
        # What is still wanted comes all the same.
        assert await asyncio.to_thread(pipe.lines, count) == [b"%06d.ts" % n for n in range(count)]


async def test_the_rest_is_printed_before_the_job_ends() -> None:
    runtime = Runtime()
    with Pipe() as pipe:
        with FileReporter(runtime):
            assert runtime.context.on_file is not None
            for n in range(100):
                runtime.context.on_file(f"{n}.ts", {})
        assert pipe.lines(100) == [b"%d.ts" % n for n in range(100)]
