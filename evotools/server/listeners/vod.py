"""Files over HTTP: bytes as they are, with ranges, or another container made on the way, from any place on.

What blocks happens in the threads of `Files`; per connection one piece is under way, and the next one is read when the
peer has taken most of it.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from email.utils import formatdate, mktime_tz, parsedate_tz
from math import inf
from pathlib import PurePosixPath
from time import time_ns
from typing import Any, Final
from urllib.parse import quote

from evotools.containers.base import Muxer
from evotools.containers.flv.mux import FlvMuxer
from evotools.containers.mp4.mux import Fmp4Muxer
from evotools.endpoints.mp4 import read_at
from evotools.errors import EvotoolsError, ParseError, RefusedError, UsageError
from evotools.log import get_logger
from evotools.media.frame import Frame, Tracks
from evotools.protocols import http1
from evotools.protocols.http1 import Request
from evotools.server.listeners.base import Access
from evotools.server.listeners.formats import FORMATS, Format, Selection, parse_selection
from evotools.server.listeners.http_access import CORS, ERROR, RETRY, Refused, check_access
from evotools.server.vod.files import MEDIA, Files, Found, NotThere
from evotools.server.vod.title import Title
from evotools.transport.http import HttpConnection, HttpStream
from evotools.units import parse_duration

PIECE_BYTES: Final = 256 << 10
"""Read and handed over at once: with it, what a connection holds of a file is bounded."""
HIGH_WATER: Final = 64 << 10
LOW_WATER: Final = 16 << 10
"""A paused player holds a piece and no more; the system's own buffer bridges the wait for the next one."""
STALL_S: Final = 120.0
"""A remux whose peer has taken nothing for so long ends. Players that pause reconnect; the bytes of a plain file are
watched by the front end, equally patient."""
MAX_REMUXES: Final = 200
"""At once: each costs a step of demuxing whenever its client reads on."""
MAX_RATE: Final = 100.0
LEAD_S: Final = 5.0
"""Media sent ahead of the pace that `rate` asks for."""
_YOUNG_NS: Final = 2_000_000_000
"""A file that changed so lately may change again within one tick of its clock (RFC 9110 8.8.2.2)."""
_REMUX_KEYS: Final = frozenset({"start", "duration", "end", "stop", "rate", "video", "audio", "data"})

_SHARED = [
    ("Cache-Control", "no-cache"),
    *CORS,
    ("Access-Control-Expose-Headers", "Content-Length, Content-Range, Accept-Ranges, ETag, Date"),
]
_NO_QUERY: Mapping[str, str] = {}

log = get_logger("vod")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a request wants of a title."""

    selection: Selection
    start_s: float = 0.0
    stop_s: float = inf
    rate: float = 0.0
    """Times real time; 0 is as fast as the client takes it."""


class Vod:
    """Answers requests for what lies in the folders of `Files`."""

    def __init__(self, files: Files, access: Access) -> None:
        self._files = files
        self._access = access
        self._tasks: set[asyncio.Task[None]] = set()
        self._remuxes = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def close(self) -> None:
        """Stop what is under way."""
        for task in list(self._tasks):
            task.cancel()

    def handle(self, connection: HttpConnection, request: Request, path: str) -> None:
        """Answer for a path below a folder, `films/film.mp4`; later, since disks are slow. Raises Refused."""
        name, _, suffix = path.rpartition(".")
        suffix = suffix.lower()
        if not name or suffix not in MEDIA:
            raise Refused(404, "there is no such file")
        check_access(self._access, connection, request, "read", name, f"http-{suffix}")
        query = request.fields() if request.query else _NO_QUERY
        form = FORMATS.get(suffix)
        wish = None if form is None else _parse_wish(query, form)
        self.spawn(connection, self._answer(connection, request, path, query, form, wish))

    def spawn(self, connection: HttpConnection, work: Coroutine[Any, Any, None]) -> None:
        """Answer in a task, which ends when the client leaves before the answer."""
        task = asyncio.get_running_loop().create_task(_guarded(connection, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def gone() -> None:
            task.cancel()

        connection.on_gone = gone

    async def _answer(
        self,
        connection: HttpConnection,
        request: Request,
        path: str,
        query: Mapping[str, str],
        form: Format | None,
        wish: _Wish | None,
    ) -> None:
        try:
            found = await self._files.open(path)
        except NotThere:
            if form is None:
                raise
            found = await self._files.find(path.rpartition(".")[0])
        if form is None or wish is None or (found.path == path and not _REMUX_KEYS & query.keys()):
            await self._send_file(connection, request, found, query)
        else:
            await self._remux(connection, request, found, form, wish, query)

    # Bytes as they are.

    async def _send_file(
        self, connection: HttpConnection, request: Request, found: Found, query: Mapping[str, str]
    ) -> None:
        files = self._files
        out: HttpStream | None = None
        step: asyncio.Future[bytes] | None = None
        try:
            headers = request.headers
            tag = _etag(found)
            modified = formatdate(found.modified_ns // 1_000_000_000, usegmt=True)
            described = [("ETag", tag), ("Last-Modified", modified), *_SHARED]
            status = _precondition(headers, tag, found.modified_ns)
            if status:
                connection.respond(status, http1.header_block(described))
                return
            fields = [("Content-Type", MEDIA[found.suffix]), ("Accept-Ranges", "bytes"), *described]
            if "dl" in query:
                fields.append(("Content-Disposition", _disposition(query["dl"], found.path)))
            size = found.size_bytes
            first, last = 0, size - 1
            wanted = headers.get("range")
            if wanted is not None and request.method == "GET" and _still_the_same(headers, tag, modified):
                try:
                    part = http1.parse_range(wanted, size)
                except http1.UnsatisfiableRange:
                    outside = ERROR + http1.header_block([("Content-Range", f"bytes */{size}")])
                    raise Refused(416, "the range lies outside the file", outside) from None
                if part is not None:
                    status, (first, last) = 206, part
                    fields.append(("Content-Range", f"bytes {first}-{last}/{size}"))
            out = connection.start_stream(http1.header_block(fields), status=status or 200, length=last - first + 1)
            if request.method == "HEAD":
                out.close()
                return
            gate = _Gate(out)
            read, at = read_at(found.fd), first
            while at <= last and not gate.gone:
                step = files.submit(read, at, min(PIECE_BYTES, last - at + 1))
                data = await asyncio.shield(step)
                if len(data) < min(PIECE_BYTES, last - at + 1):
                    log.warning("%s became shorter while it was sent", found.path)
                    break
                out.write(data)
                at += len(data)
                if out.full:
                    await gate.wait()
            if not gate.gone:
                out.close()
        except OSError as error:
            log.warning("%s: %s", found.path, error.strerror)
            if out is None:
                raise Refused(500, "the file cannot be read") from None
            out.abort()
        finally:
            if step is None or step.done():
                files.forget(found)
            else:
                step.add_done_callback(lambda done: files.forget(found))

    # Another container.

    async def _remux(
        self,
        connection: HttpConnection,
        request: Request,
        found: Found,
        form: Format,
        wish: _Wish,
        query: Mapping[str, str],
    ) -> None:
        if self._remuxes >= MAX_REMUXES:
            self._files.forget(found)
            raise Refused(503, "too many files are being converted", RETRY)
        self._remuxes += 1
        try:
            title = await self._files.title_of(found)
            try:
                await self._play(connection, request, title, form, wish, query)
            finally:
                await title.close()
        finally:
            self._remuxes -= 1

    async def _play(
        self,
        connection: HttpConnection,
        request: Request,
        title: Title,
        form: Format,
        wish: _Wish,
        query: Mapping[str, str],
    ) -> None:
        selection = wish.selection
        chosen = selection.choose(title.tracks)
        if not chosen:
            there = ", ".join(f"#{track.id} {track.describe()}" for track in title.tracks)
            raise Refused(406, f"{form.key} carries nothing of what is wanted and there: {there}")
        fields = [("Content-Type", form.content_type(chosen)), ("Accept-Ranges", "none"), *_SHARED]
        if "dl" in query:
            fields.append(("Content-Disposition", _disposition(query["dl"], title.name, form.key)))
        if request.method == "HEAD":
            connection.respond(200, http1.header_block(fields), sized=False)
            return
        muxer = _muxer(form, title, wish)
        loop = asyncio.get_running_loop()
        out: HttpStream | None = None
        gate: _Gate | None = None
        begun_at, begun_s = loop.time(), inf
        ids = {track.id for track in chosen}
        try:
            async with aclosing(title.read(wish.start_s, stop_s=wish.stop_s, tracks=ids)) as batches:
                async for events in batches:
                    parts: list[bytes] = []
                    time_s = -inf
                    for event in events:
                        if isinstance(event, Frame):
                            if event.track.id in ids:
                                parts.append(muxer.write(event))
                                time_s = event.dts / event.track.timescale
                                begun_s = min(begun_s, time_s)
                        elif isinstance(event, Tracks):
                            tracks = [track for track in selection.choose(event.tracks) if track.id in ids]
                            parts.append(muxer.start(tracks))
                    if out is None:
                        # What cannot be read or carried has been told by a status up to here.
                        out = connection.start_stream(http1.header_block(fields), chunked=True)
                        gate = _Gate(out)
                        if wish.rate:
                            # Who stops sending has most likely left, which writes find out only when they are due.
                            connection.on_gone = gate.leave
                    assert gate is not None
                    if gate.gone:
                        return
                    data = b"".join(parts)
                    # A client that reads slowly holds one copy, not two.
                    parts.clear()
                    await _write(out, gate, data)
                    if wish.rate and time_s > begun_s:
                        early_s = (time_s - begun_s - LEAD_S) / wish.rate - (loop.time() - begun_at)
                        if early_s > 0:
                            await gate.sleep(early_s)
                    if gate.gone:
                        return
            if out is None:
                raise Refused(416, "there is nothing at that time")
            assert gate is not None
            await _write(out, gate, muxer.finish())
            if not gate.gone:
                connection.on_gone = None
                out.close()
        except EvotoolsError as error:
            if out is None:
                raise
            log.warning("%s", error)
            out.abort()


def _muxer(form: Format, title: Title, wish: _Wish) -> Muxer:
    """The muxer of a format, as it suits a file."""
    if form.key == "mp4":
        # Begins at zero, as nginx's mp4 module has it; fragments by groups of pictures.
        return Fmp4Muxer()
    if form.key == "flv" and title.duration_s is not None:
        # Players draw their time line by it. Times go on as in the file, and so does it.
        return FlvMuxer(duration_s=min(title.duration_s, wish.stop_s))
    return form.make()


def _parse_wish(query: Mapping[str, str], form: Format) -> _Wish:
    """`start=90` or `1m30s`, `duration=10` or `end=100`, `rate=1`, and tracks. Raises ParseError."""
    try:
        start_s = parse_duration(query["start"]) if query.get("start") else 0.0
        stop_s = inf
        end = query.get("end") or query.get("stop")
        if end:
            stop_s = parse_duration(end)
        if query.get("duration"):
            stop_s = min(stop_s, start_s + parse_duration(query["duration"]))
    except UsageError as error:
        raise ParseError(error.message, hint="start, duration and end are seconds, or like 1h2m3s") from None
    if stop_s <= start_s:
        raise ParseError("the end does not lie behind the start")
    rate = 0.0
    if query.get("rate"):
        try:
            rate = float(query["rate"])
        except ValueError:
            rate = -1.0
        if not 0 <= rate <= MAX_RATE:
            raise ParseError("'rate' is a number of times real time, 0 for as fast as you can")
    return _Wish(parse_selection(query, form), start_s, stop_s, rate)


class _Gate:
    """Says when a stream may be written to again, and whether its peer is still there."""

    __slots__ = ("_event", "gone", "out")

    def __init__(self, out: HttpStream) -> None:
        self.out = out
        self.gone = False
        self._event = asyncio.Event()
        out.set_water(HIGH_WATER, LOW_WATER)
        out.on_writable = self._event.set
        out.on_close = self.leave

    def leave(self) -> None:
        """The peer is gone."""
        self.gone = True
        self._event.set()

    async def wait(self) -> None:
        """Until the peer has taken most of what was written, or is gone. One that takes nothing is let go."""
        out = self.out
        while out.full and not self.gone:
            self._event.clear()
            before = out.unsent()
            try:
                await asyncio.wait_for(self._event.wait(), STALL_S)
            except TimeoutError:
                if out.unsent() >= before:
                    self.gone = True
                    out.abort()

    async def sleep(self, wait_s: float) -> None:
        """Some time, less when the peer goes."""
        if not self.gone:
            self._event.clear()
            try:
                await asyncio.wait_for(self._event.wait(), wait_s)
            except TimeoutError:
                pass


async def _write(out: HttpStream, gate: _Gate, data: bytes) -> None:
    """All of `data`, piece by piece as the peer takes it."""
    view = memoryview(data)
    while view and not gate.gone:
        out.write(bytes(view[:PIECE_BYTES]))
        view = view[PIECE_BYTES:]
        if out.full:
            await gate.wait()


async def _guarded(connection: HttpConnection, work: Coroutine[Any, Any, None]) -> None:
    """Turn what goes wrong into an answer, or, when that has begun, into a broken connection."""
    try:
        try:
            await work
        except NotThere:
            raise Refused(404, "there is no such file") from None
        except RefusedError as error:
            raise Refused(503, error.message, RETRY) from None
        except EvotoolsError as error:
            raise Refused(406, error.message) from None
    except Refused as error:
        connection.respond_text(error.status, error.text, error.fields)
    except Exception:
        log.exception("answering failed")
        connection.respond_text(500, "internal error", close=True)


def _etag(found: Found) -> str:
    """RFC 9110 8.8.3: weak while the file may be written to within one tick of its clock."""
    tag = f'"{found.modified_ns:x}-{found.size_bytes:x}"'
    return f"W/{tag}" if abs(time_ns() - found.modified_ns) < _YOUNG_NS else tag


def _precondition(headers: Mapping[str, str], tag: str, modified_ns: int) -> int:
    """304 or 412 where a condition says so, else 0 (RFC 9110 13.2.2)."""
    modified = modified_ns // 1_000_000_000
    match = headers.get("if-match")
    if match is not None:
        if match.strip() != "*" and (tag.startswith("W/") or tag not in _tags(match)):
            return 412
    else:
        since = _date(headers.get("if-unmodified-since"))
        if since is not None and modified > since:
            return 412
    match = headers.get("if-none-match")
    if match is not None:
        # RFC 9110 8.8.3.2: the weak comparison.
        weak = {known.removeprefix("W/") for known in _tags(match)}
        return 304 if match.strip() == "*" or tag.removeprefix("W/") in weak else 0
    since = _date(headers.get("if-modified-since"))
    return 304 if since is not None and modified <= since else 0


def _tags(value: str) -> list[str]:
    return [part.strip() for part in value.split(",")]


def _date(value: str | None) -> int | None:
    """Unix time of an HTTP date; None for none, and for what is no date (RFC 9110 13.1.3 ignores it)."""
    parsed = parsedate_tz(value) if value else None
    try:
        return None if parsed is None else mktime_tz(parsed)
    except (ValueError, OverflowError):
        return None


def _still_the_same(headers: Mapping[str, str], tag: str, modified: str) -> bool:
    """RFC 9110 13.1.5: a range only of what the client has a part of already, compared strongly."""
    wanted = headers.get("if-range")
    if wanted is None:
        return True
    wanted = wanted.strip()
    if wanted.startswith(('"', "W/")):
        return wanted == tag and not tag.startswith("W/")
    return wanted == modified and not tag.startswith("W/")


def _disposition(wanted: str, path: str, suffix: str = "") -> str:
    """Content-Disposition that saves under the name `wanted`, or, for `1` and nothing, under the file's (RFC 6266)."""
    own = PurePosixPath(path).name
    if suffix:
        own = f"{own.rpartition('.')[0]}.{suffix}"
    name = own if wanted in ("", "1") else "".join(c for c in wanted if c.isprintable() and c not in '/\\"')[:200]
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name) or "download"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name or plain, safe='')}"
