"""`segment:PATTERN?…`: a recording in files, cut at key frames. What the command `segment` opens.

The path of the URI is the pattern as it is: nothing in it is percent-encoded, and it holds no question mark.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TypeVar
from urllib.parse import quote

from evotools.endpoints.archive import Archive, Plan
from evotools.endpoints.base import Context, Refusal, Sink
from evotools.endpoints.recording import Recording
from evotools.endpoints.registry import SCHEMES
from evotools.errors import MediaError, UsageError
from evotools.log import get_logger
from evotools.media.frame import ON_METADATA, Event, Frame, Metadata
from evotools.media.track import Track
from evotools.packaging import lists
from evotools.packaging.filemux import FORMATS, SUFFIXES, TIMESTAMPS, Container
from evotools.packaging.naming import Pattern
from evotools.packaging.retention import Keep
from evotools.packaging.rules import EveryClock, EveryKey, EverySize, EveryTime, FileRule, FirstOf
from evotools.units import format_duration, format_size
from evotools.uri import Options, Uri

log = get_logger("segment")

_T = TypeVar("_T")
_OPTIONS = SCHEMES["segment"].options


def segment_uri(pattern: str, options: Mapping[str, str]) -> str:
    """The URI of a recording; options without a value are left out. Raises UsageError."""
    if not pattern:
        raise UsageError("an empty pattern", hint="name files, such as cam-%Y%m%d-%H%M%S.ts")
    if "?" in pattern:
        raise UsageError(f"'{pattern}': a pattern has no question mark", hint="use another character")
    chosen = [f"{name}={quote(value, safe=':/,')}" for name, value in options.items() if value]
    return f"segment:{pattern}?{'&'.join(chosen)}"


def read_plan(uri: Uri, *, force: bool = False, restarts: bool = False) -> Plan:
    """The recording that a URI describes; looks at no file. `restarts`: unless told otherwise it counts on behind the
    files that are there. Raises UsageError."""
    given = Options(uri, uri.options(_OPTIONS)[0])
    pattern = Pattern(uri.path)
    container = _container(pattern, given.text("format"))
    timestamps = given.text("timestamps") or TIMESTAMPS[container][0]
    if timestamps not in TIMESTAMPS[container]:
        raise UsageError(
            f"timestamps of {container} files cannot be '{timestamps}'",
            hint=f"use {' or '.join(TIMESTAMPS[container])}",
        )
    utc = given.flag("utc", False)
    time_s, every_s, limit = given.seconds("time", 0.0), given.seconds("every", 0.0), given.size("size", 0)
    clock = EveryClock(every_s, _utc if utc else _local) if every_s else None
    size = EverySize(limit) if limit else None
    rules: list[FileRule | None] = [
        EveryTime(time_s) if time_s else None, clock, size, EveryKey() if given.flag("key", False) else None
    ]  # fmt: skip
    chosen = [rule for rule in rules if rule is not None]
    if not chosen:
        raise UsageError(
            "nothing says when the next file begins",
            hint="use --every 5m (by the clock), --time 10m (of media), --size 100MB or --key",
        )
    start = given.text("start_number", "next" if restarts else "0")
    if start != "next" and not (start.isascii() and start.isdigit() and len(start) < 10):
        raise UsageError(f"'{start}' is no number to start with", hint="use a number, or next")
    list_path = given.text("list")
    return Plan(
        pattern=pattern,
        container=container,
        timestamps=timestamps,
        rule=chosen[0] if len(chosen) == 1 else FirstOf(chosen),
        clock=clock,
        size=size,
        target_s=min((s for s in (time_s, every_s) if s), default=0.0),
        keep=Keep.parse(part for part in given.text("keep").split(",") if part),
        list_path=list_path,
        list_kind=_list_kind(list_path, given.text("list_format")),
        start_number=0 if start == "next" else int(start),
        proceed=start == "next",
        utc=utc,
        sync=given.flag("sync", False),
        force=force,
        strict=bool(given.text("format")),
    )


class SegmentSink(Sink):
    """Files of one pattern. They are written by one thread; the loop hands over batches and tells what is finished."""

    def __init__(self, uri: Uri, ctx: Context) -> None:
        """Raises UsageError, and UnreachableError where no file could be created."""
        self.uri = uri
        self._ctx = ctx
        # A route of the server begins anew with every publisher: its counter goes on.
        self._plan = read_plan(uri, force=bool(ctx.options.get("force")), restarts=ctx.hub is not None)
        self._pool = ThreadPoolExecutor(1, "segment")
        self._recording: Recording | None = None
        Archive(self._plan).check()

    async def open(self) -> None:
        """Look at what is there. Files are created when their first frame comes."""
        self._recording = Recording(self._plan, live=self.live)
        await self._run(self._recording.prepare)

    def offer(self, tracks: Sequence[Track]) -> list[Refusal]:
        """Tracks without a name in the container; MediaError when the container was asked for by name."""
        recording = self._recording or Recording(self._plan, live=self.live)
        refused = [Refusal(t, f"no name in {self._plan.container}") for t in tracks if not recording.accepts(t)]
        if refused and self._plan.strict:
            track = refused[0].track
            raise MediaError(
                f"{self._plan.pattern.text}: {self._plan.container} cannot carry {track.describe()}",
                hint=f"use --format mkv, or --drop '#{track.id}', or transcode first",
            )
        return refused

    def describe(self, metadata: Metadata) -> bool:
        """Kept for the headers."""
        if self._recording is not None:
            self._recording.describe(metadata)
        return True

    async def start(self, tracks: Sequence[Track]) -> None:
        """The tracks from here on."""
        recording = self._recording
        assert recording is not None
        await self._run(lambda: recording.tracks(tracks))

    async def write(self, events: Sequence[Event]) -> None:
        """Write a batch. What the source's clock jumped over was bridged before; files go on."""
        recording = self._recording
        assert recording is not None
        frames = [event for event in events if type(event) is Frame]
        unix_s, steady_s = time.time(), time.monotonic()
        if len(frames) == len(events):
            await self._run(lambda: recording.write(frames, unix_s, steady_s))
        else:
            await self._run(lambda: _write(recording, events, unix_s, steady_s))

    async def finish(self) -> None:
        """Complete the last file."""
        if self._recording is not None:
            await self._run(self._recording.finish)

    async def close(self) -> None:
        """Leave a file that is not finished as complete as it can be."""
        recording, self._recording = self._recording, None
        if recording is not None:
            # Behind what the thread is still writing; a disk that hangs holds up nobody.
            self._pool.submit(recording.abandon)
        self._pool.shutdown(wait=False)

    async def _run(self, call: Callable[[], _T]) -> _T:
        """Call in the thread, then tell about finished files, whatever came of it."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        finally:
            self._tell()

    def _tell(self) -> None:
        if self._recording is None:
            return
        finished = self._recording.finished
        while finished:
            file = finished.pop(0)
            if self._ctx.on_file is not None:
                self._ctx.on_file(file.path, file.facts)
            log.info("%s: finished, %s, %s", file.path, format_duration(file.facts["duration_s"]),
                     format_size(file.facts["bytes"]))  # fmt: skip


def _write(recording: Recording, events: Sequence[Event], unix_s: float, steady_s: float) -> None:
    """Frames, and timed data where it is among them."""
    frames: list[Frame] = []
    for event in events:
        if isinstance(event, Frame):
            frames.append(event)
        elif isinstance(event, Metadata) and event.name != ON_METADATA:
            recording.write(frames, unix_s, steady_s)
            frames = []
            recording.write_metadata(event)
    recording.write(frames, unix_s, steady_s)


def _utc(unix_s: float) -> float:
    return 0.0


def _local(unix_s: float) -> float:
    """What local time is ahead of UTC then."""
    try:
        offset = datetime.fromtimestamp(unix_s, UTC).astimezone().utcoffset()
    except (ValueError, OverflowError, OSError):
        return 0.0
    return offset.total_seconds() if offset else 0.0


def _container(pattern: Pattern, given: str) -> Container:
    if given:
        found = FORMATS.get(given.lower())
        if found is None:
            raise UsageError(f"'{given}' is no format of recordings", hint="use ts, fmp4, mp4, mkv, webm or flv")
        return found
    found = SUFFIXES.get(pattern.suffix.lower())
    if found is None:
        raise UsageError(
            f"'{pattern.text}': the suffix does not tell the format",
            hint="end it in .ts, .mp4, .mkv or .flv, or name --format",
        )
    return found


def _list_kind(path: str, given: str) -> lists.Kind:
    if not path:
        return "m3u8"
    for kind in lists.KINDS:
        if kind == given:
            return kind
    if given:
        raise UsageError(f"'{given}' is no format of lists", hint=f"use {', '.join(lists.KINDS)}")
    found = lists.SUFFIXES.get(PurePath(path).suffix.lower())
    if found is None:
        raise UsageError(f"--list {path}: the suffix does not tell its format", hint="use .m3u8, .csv or .ffconcat")
    return found
