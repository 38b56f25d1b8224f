"""What a person sees while a route runs: one status line on a terminal; once a second a `stats` event."""

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

from evotools.pipeline.job import Runtime
from evotools.pipeline.output import Output
from evotools.pipeline.reader import RouteReader
from evotools.units import format_duration, format_rate, format_size


async def progress(reader: RouteReader, outputs: Sequence[Output], runtime: Runtime) -> None:
    """Report until cancelled."""
    on_terminal = sys.stderr.isatty() and not runtime.quiet
    if not on_terminal and not runtime.events.active:
        return
    bar = _bar() if on_terminal else None
    began = time.monotonic()
    last_bytes, last_at = 0, began
    try:
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            rate = (reader.bytes - last_bytes) * 8 / (now - last_at)
            last_bytes, last_at = reader.bytes, now
            dropped = sum(o.dropped for o in outputs)
            runtime.events.emit(
                "stats", frames=reader.frames, bytes=reader.bytes, bitrate_bps=round(rate), dropped=dropped,
                outputs=[{"uri": o.name, "frames": o.frames, "dropped": o.dropped,
                          "error": str(o.error) if o.error else None} for o in outputs],
            )  # fmt: skip
            if bar is not None:
                lost = f"  dropped {dropped}" if dropped else ""
                bar.set_description_str(
                    f"{format_duration(now - began)}  {reader.frames} frames  {format_size(reader.bytes)}  "
                    f"{format_rate(rate)}{lost}"
                )
    finally:
        if bar is not None:
            bar.close()


def _bar() -> Any:
    from tqdm import tqdm

    return tqdm(bar_format="{desc}", file=sys.stderr, leave=False)
