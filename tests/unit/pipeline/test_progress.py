"""What is shown of routes: how far they are together, and what the events say."""

import asyncio
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evotools.log import EventWriter
from evotools.pipeline import progress as module
from evotools.pipeline.clock import RouteClock
from evotools.pipeline.job import Runtime
from evotools.pipeline.progress import Board, progress
from tests.unit.packaging.films import AUDIO, VIDEO


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def reader(position_s: float, length_s: float | None) -> Any:
    return SimpleNamespace(position_s=position_s, length_s=length_s, frames=100, bytes=1_000_000)


def output(dropped: int = 0) -> Any:
    return SimpleNamespace(name="out", frames=90, dropped=dropped, error=None)


async def shown(board: Board, until: Callable[[], bool]) -> None:
    task = asyncio.create_task(board.show())
    for _ in range(1000):
        await asyncio.sleep(0.01)
        if until() or task.done():
            break
    task.cancel()
    (ended,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError), ended


def use_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Not a fixture: pytest takes standard error back between the phases of a test."""
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setattr(module, "BAR_S", 0.01)
    monkeypatch.setattr(module, "STATS_S", 0.02)
    monkeypatch.setenv("COLUMNS", "100")
    return made


def test_files_have_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    board = Board(Runtime())
    board.add(reader(30.0, 120.0), [output()])
    board.add(reader(60.0, 60.0), [output(3)])
    asyncio.run(shown(board, lambda: "left" in terminal.getvalue()))
    text = terminal.getvalue()
    assert " 62 %|" in text
    assert "1:15 of 2:00" in text
    assert "dropped 3" in text


def test_what_has_no_known_length_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    board = Board(Runtime())
    board.add(reader(30.0, 120.0), [output()])
    board.add(reader(60.0, None), [output()])
    asyncio.run(shown(board, lambda: "frames" in terminal.getvalue()))
    assert "200 frames" in terminal.getvalue()
    assert "%" not in terminal.getvalue()


def test_quiet_or_elsewhere_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    board = Board(Runtime(quiet=True))
    board.add(reader(30.0, 120.0), [output()])
    asyncio.run(board.show())
    assert terminal.getvalue() == ""
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stderr", plain)
    board = Board(Runtime())
    board.add(reader(30.0, 120.0), [output()])
    asyncio.run(board.show())
    assert plain.getvalue() == ""


def test_routes_of_one_job_are_shown_by_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    board = Board(Runtime())
    runtime = Runtime(board=board)
    asyncio.run(progress(reader(1.0, 4.0), [output()], runtime))
    assert board.length_s() == 4.0
    assert terminal.getvalue() == ""


def test_events_tell_of_all_routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STATS_S", 0.02)
    events = EventWriter(str(tmp_path / "events"))
    board = Board(Runtime(events=events))
    board.add(reader(1.0, 4.0), [output()])
    board.add(reader(1.0, None), [output(5)])
    asyncio.run(shown(board, lambda: bool((tmp_path / "events").read_text())))
    first = json.loads((tmp_path / "events").read_text().splitlines()[0])
    assert (first["event"], first["frames"], first["bytes"], first["dropped"]) == ("stats", 200, 2_000_000, 5)
    assert [o["dropped"] for o in first["outputs"]] == [0, 5]


def test_where_a_route_began() -> None:
    clock = RouteClock()
    assert clock.start_s is None
    clock.place(VIDEO, 100.0, 0.0, live=False)
    clock.place(AUDIO, 99.9, 0.0, live=False)
    assert clock.start_s == 100.0
