"""What a person sees while routes run: a bar for files, one status line else; once a second a `stats` event.

Nothing is shown where standard error is no terminal.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

from evotools.pipeline.job import Runtime
from evotools.pipeline.output import Output
from evotools.pipeline.reader import RouteReader
from evotools.units import format_duration, format_rate, format_size

STATS_S = 1.0
BAR_S = 0.25
"""Between two looks of the bar; work on a short file is over before the first one."""


class Board:
    """Routes that are shown together."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._routes: list[tuple[RouteReader, Sequence[Output]]] = []
        self._began = self._stats_at = time.monotonic()
        self._bytes = 0
        self._rate = 0.0
        self._bar: Any = None

    def add(self, reader: RouteReader, outputs: Sequence[Output]) -> None:
        """Show this route too."""
        self._routes.append((reader, outputs))

    async def show(self) -> None:
        """Report until cancelled."""
        on_terminal = sys.stderr.isatty() and not self._runtime.quiet
        if not on_terminal and not self._runtime.events.active:
            return
        try:
            while True:
                await asyncio.sleep(BAR_S if on_terminal else STATS_S)
                now = time.monotonic()
                due = now - self._stats_at >= STATS_S
                if due:
                    self._stats(now)
                if on_terminal:
                    length_s = self.length_s()
                    if length_s:
                        self._draw_bar(length_s, now)
                    elif due:
                        self._draw_line(now)
        finally:
            if self._bar is not None:
                self._bar.close()

    def length_s(self) -> float:
        """How long the longest route's media is; 0 when one of them cannot tell."""
        lengths = [reader.length_s for reader, _ in self._routes]
        return max((length for length in lengths if length), default=0.0) if all(lengths) else 0.0

    def _stats(self, now: float) -> None:
        size = sum(reader.bytes for reader, _ in self._routes)
        self._rate = (size - self._bytes) * 8 / (now - self._stats_at)
        self._bytes, self._stats_at = size, now
        outputs = [o for _, outs in self._routes for o in outs]
        self._runtime.events.emit(
            "stats", frames=sum(reader.frames for reader, _ in self._routes), bytes=size,
            bitrate_bps=round(self._rate), dropped=sum(o.dropped for o in outputs),
            outputs=[{"uri": o.name, "frames": o.frames, "dropped": o.dropped,
                      "error": str(o.error) if o.error else None} for o in outputs],
        )  # fmt: skip

    def _draw_bar(self, length_s: float, now: float) -> None:
        shares = [min(reader.position_s / (reader.length_s or 1.0), 1.0) for reader, _ in self._routes]
        done_s = length_s * sum(shares) / len(shares)
        if self._bar is None:
            self._bar = _bar("{percentage:3.0f} %|{bar:24}| {desc}", total=length_s)
        speed = done_s / (now - self._began)
        left = _clock((length_s - done_s) / speed) if speed > 0 else "?"
        self._bar.n = done_s
        self._bar.set_description_str(
            f"{_clock(done_s)} of {_clock(length_s)}  {speed:.3g}x  {left} left{self._lost()}"
        )

    def _draw_line(self, now: float) -> None:
        if self._bar is None:
            self._bar = _bar("{desc}")
        frames = sum(reader.frames for reader, _ in self._routes)
        self._bar.set_description_str(
            f"{format_duration(now - self._began)}  {frames} frames  {format_size(self._bytes)}  "
            f"{format_rate(self._rate)}{self._lost()}"
        )

    def _lost(self) -> str:
        dropped = sum(o.dropped for _, outputs in self._routes for o in outputs)
        return f"  dropped {dropped}" if dropped else ""


async def progress(reader: RouteReader, outputs: Sequence[Output], runtime: Runtime) -> None:
    """Report one route until cancelled, or leave it to the board that its job shows."""
    if runtime.board is not None:
        runtime.board.add(reader, outputs)
        return
    board = Board(runtime)
    board.add(reader, outputs)
    await board.show()


def _clock(seconds: float) -> str:
    """`1:02:03`, `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar(form: str, total: float | None = None) -> Any:
    from tqdm import tqdm

    return tqdm(bar_format=form, total=total, file=sys.stderr, leave=False, dynamic_ncols=True)
