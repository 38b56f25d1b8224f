"""Playing what was packaged with the players that people use, in a real browser."""

import json
import time
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.browser.chromium import Chromium, Page
from tests.browser.folder_server import FolderServer

HERE = Path(__file__).resolve().parent
LIBRARIES = {"dashjs": "dashjs", "shaka": "shaka-player", "hlsjs": "hls.js"}
"""The npm package of each player. `native` is Chromium's own."""

Span = tuple[float, float]


class PlaybackFailed(AssertionError):
    """A player gave up, or did not get to where it should; the message is the player's own."""


@dataclass(frozen=True)
class Played:
    """What a player did. Times are seconds of the presentation."""

    current_time: float
    duration: float | None
    """None: without end."""
    ended: bool
    paused: bool
    ready_state: int
    width: int
    height: int
    heights: list[int]
    """Of the renditions that the player found; `native` does not tell."""
    played: list[Span]
    """What was shown. One span means that nothing was left out."""
    seen: float
    """Seconds that were shown."""
    buffered: list[Span]
    gaps: list[Span]
    """Holes between buffered pieces that nothing filled."""
    jumps: list[Span]
    """Where the player sought by itself, to get over a hole."""
    stalls: int
    """How often it ran out of media after it had begun."""
    switches: list[tuple[float, str]]
    """When which rendition (its height) came on."""
    selected: list[bool]
    """One for each rendition that the test asked for: whether the player has it."""
    errors: list[str]
    warnings: list[str]
    """What the player got over by itself."""
    frames: int
    """Pictures decoded."""
    dropped: int
    """Pictures decoded too late for the clock, which at higher rates is no fault."""
    video_bytes: int
    audio_bytes: int
    """What the decoders got."""
    latency_s: float | None
    """Of a live presentation, by the player's count."""
    wall_s: float

    def faults(self, seconds: float, sizes: Collection[tuple[int, int]], *, frames: int = 0, audio: bool = True,
               tolerance_s: float = 0.1) -> list[str]:  # fmt: skip
        """What was not as it should be in a presentation of `seconds`; empty when all of it was shown and heard.

        `sizes`: pictures that there are, none for sound alone. `frames`: how many there are.
        """
        found = list(self.errors)
        if not self.ended:
            found.append(f"stopped at {self.current_time:g} s")
        if self.duration is None or abs(self.duration - seconds) > tolerance_s:
            found.append(f"lasts {self.duration} s, not {seconds:g} s")
        # Players begin at zero and go on to the first picture when that is a little later.
        shown = [span for span in self.played if span[1] > tolerance_s]
        if len(shown) != 1:
            found.append(f"shown in pieces: {self.played}")
        elif shown[0][0] > tolerance_s or shown[0][1] < seconds - tolerance_s:
            found.append(f"shown from {shown[0][0]:g} to {shown[0][1]:g} s")
        found += [f"hole from {a:g} to {b:g} s" for a, b in self.gaps]
        found += [f"jump from {a:g} to {b:g} s" for a, b in self.jumps if b - a > tolerance_s or b < a]
        if sizes and (self.width, self.height) not in sizes:
            found.append(f"picture of {self.width}x{self.height}")
        if sizes and not self.video_bytes:
            found.append("no picture was decoded")
        if self.frames < frames:
            found.append(f"{self.frames} pictures of {frames}")
        if audio and not self.audio_bytes:
            found.append("no sound was decoded")
        return found


@dataclass(frozen=True)
class Players:
    """The players' page, and a browser to show it."""

    chromium: Chromium
    pages: FolderServer

    async def play(
        self,
        url: str,
        player: str,
        *,
        until: float | None = None,
        rate: float = 4,
        timeout_s: float = 40,
        select: list[tuple[float, int]] | None = None,
        buffer_s: float = 30,
        check: bool = True,
        options: dict[str, Any] | None = None,
    ) -> Played:
        """Play `url` to its end, or until `until` seconds of it have been shown.

        `rate`: how much faster than it is; players take a machine that is too slow for a hole in the media, so no more
        than needed. `select`: at which time to change to the rendition of which height, otherwise the player chooses;
        `buffer_s` is how far ahead it reads, so that a change is not too late. `options` go to the player. Without
        `check` the record comes back whatever happened, else PlaybackFailed carries it.
        """
        if player in LIBRARIES and not (HERE / "node_modules" / LIBRARIES[player]).is_dir():
            pytest.fail(f"{LIBRARIES[player]} is not installed; `make test` installs it with npm")
        task = {"player": player, "url": url, "rate": rate, "buffer_s": buffer_s, "select": select or []}
        if options:
            task["options"] = options
        begun = time.monotonic()
        async with self.chromium.open(f"{self.pages.url}/play.html#{quote(json.dumps(task))}") as page:
            goal = "record().ended" if until is None else f"record().seen > {until}"
            late = ""
            try:
                await page.until(f"record().errors.length || {goal}", timeout_s)
            except AssertionError:
                late = f"not within {timeout_s:g} s"
            found = await page.evaluate("record()")
            played = _played(found, time.monotonic() - begun)
            if check and (played.errors or late):
                told = "; ".join(played.errors) or late
                raise PlaybackFailed(f"{player}: {told}\n{played}\n{_console(page)}")
            return played


def _played(found: dict[str, Any], wall_s: float) -> Played:
    spans = ("played", "buffered", "gaps", "jumps", "switches")
    values = {k: [tuple(item) for item in v] if k in spans else v for k, v in found.items()}
    names = {f.name for f in fields(Played)}
    assert set(values) | {"wall_s"} == names, set(values) ^ names
    return Played(**values, wall_s=round(wall_s, 2))


def _console(page: Page) -> str:
    """What the page and the browser wrote."""
    lines = list(page.problems)
    for event in page.events:
        if event["method"] == "Runtime.consoleAPICalled":
            lines.append(" ".join(str(a.get("value", a.get("description"))) for a in event["params"]["args"]))
        elif event["method"] == "Log.entryAdded":
            lines.append(event["params"]["entry"]["text"] + " " + event["params"]["entry"].get("url", ""))
    return "\n".join(line[:300] for line in lines[-20:])
