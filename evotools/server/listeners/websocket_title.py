"""Files over WebSocket: one reader per client, which can pause, seek, change tracks and speed.

Messages go out in pieces of about a tenth of a second, as fast as the client takes them and no faster than the speed
asked for; what is sent early is what a player needs to begin and to survive a bad moment.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from math import inf
from typing import TYPE_CHECKING

from evotools.errors import EvotoolsError, ParseError, RefusedError
from evotools.log import get_logger
from evotools.media.frame import Frame, Metadata, Tracks
from evotools.media.track import Track
from evotools.protocols import websocket
from evotools.protocols.mediasocket import (
    Command,
    WebSocketMuxer,
    Window,
    codec_data,
    describe_track,
    milliseconds,
    on_time,
)
from evotools.server.listeners.formats import Format, parse_selection

if TYPE_CHECKING:
    from evotools.server.listeners.websocket import Session, WebSockets
    from evotools.server.vod.title import Title

MAX_SPEED = 4.0
"""Fastest pace; 0 is without any. Beyond it a client wants the file, not a stream."""
LEAD_S = 5.0
"""Media time that is sent ahead of the pace."""
STEP_S = 0.1
"""Media time written at once."""
PIECE_BYTES = 64 * 1024
"""And bytes."""
HIGH_WATER = 64 << 10
LOW_WATER = 16 << 10
"""A paused player holds a piece and no more; the system's own buffer bridges the wait for the next one."""
REPORT_S = 1.0
"""Between two `on_time` messages."""

log = get_logger("websocket")


class TitleMedia:
    """A file, read for one client."""

    __slots__ = (
        "_anchor_at", "_anchor_s", "_choose", "_form", "_free_s", "_gate", "_ids", "_owner", "_position_s", "_query",
        "_reports", "_session", "_speed", "_start_s", "_task", "_title", "_told_at",
    )  # fmt: skip

    def __init__(self, session: "Session", owner: "WebSockets", title: "Title", form: Format) -> None:
        self._session = session
        self._owner = owner
        self._title = title
        self._form = form
        self._query: dict[str, str] = {}
        self._choose = form.choose
        self._ids: list[int] = []
        self._speed = 1.0
        self._free_s = 0.0
        """Up to this media time there is no pace."""
        self._anchor_s = self._anchor_at = 0.0
        """A media time, and when it is due."""
        self._position_s = 0.0
        """Decode time of the newest frame sent."""
        self._start_s = 0.0
        """The media time last asked for."""
        self._reports = form.key == "mp4"
        self._told_at = 0.0
        # Set while the reader may go on: not paused, and the client takes what it gets.
        self._gate = asyncio.Event()
        self._gate.set()
        self._task: asyncio.Task[None] | None = None

    # What the session calls.

    @property
    def flowing(self) -> bool:
        """Nobody else judges a client that takes nothing."""
        return False

    def check(self, query: Mapping[str, str]) -> None:
        """Choose the tracks. Raises ParseError for a query that makes no sense, RefusedError when nothing is left."""
        selection = parse_selection(query, self._form)
        chosen = selection.choose(self._title.tracks)
        if not chosen:
            raise RefusedError("the file has no track that this format can carry")
        self._choose = selection.choose
        self._ids = [track.id for track in chosen]
        start = query.get("start")
        if start is not None:
            try:
                self._position_s = max(float(start), 0.0)
            except ValueError:
                raise ParseError("'start' is a number of seconds") from None
            if not self._position_s < inf:
                raise ParseError("'start' is a number of seconds")
        self._query = {key: value for key, value in query.items() if key in ("video", "audio", "data")}

    def begin(self, query: Mapping[str, str]) -> None:
        """From `start`, in seconds, or from the beginning."""
        out = self._session.out
        out.on_writable = self._open_gate
        out.set_water(HIGH_WATER, LOW_WATER)
        self._play(self._position_s)

    def leave(self) -> None:
        """Stop reading, and close the file."""
        self._stop()
        title, owner = self._title, self._owner
        owner.spawn(title.close())

    def command(self, command: Command) -> None:
        """Raises EvotoolsError."""
        kind, tell = command.kind, self._session.tell
        if kind in ("hold", "pause", "play"):
            paused = kind == "hold" or (kind == "pause" and not self._paused)
            if kind == "play" and command.values.get("seek_time") is not None:
                self._seek(command)
            self._pause(paused)
            tell("pause", {"paused": paused})
        elif kind == "seek":
            self._seek(command)
        elif kind == "set_speed":
            self._set_speed(command)
        elif kind == "fast_forward":
            until_ms = command.number("ff_to")
            if until_ms is None:
                raise ParseError("'ff_to' is a number of milliseconds")
            self._free_s = until_ms / 1000
            self._pause(False)
            tell("fast_forward", {"ff_to": round(until_ms)})
        elif kind == "tracks":
            self._select(command)
        elif kind == "request_codec_data":
            tell("codec_data", codec_data(self._chosen(), self._form.mime, **self._facts()))
        elif kind == "on_time":
            self._reports = True
            self._report()
        elif kind == "info":
            available = [describe_track(track) for track in self._title.tracks]
            told = {"name": self._title.name, "paused": self._paused, "available": available, "tracks": self._ids}
            tell("info", told | self._facts() | {"begin": 0, "end": milliseconds(self._window().end_s)})
        else:
            raise RefusedError(f"'{kind}' means nothing for a file")

    # Commands.

    @property
    def _paused(self) -> bool:
        return self._anchor_at == inf

    def _pause(self, paused: bool) -> None:
        if paused:
            self._anchor_at = inf
            self._gate.clear()
        elif self._paused:
            self._anchor(self._position_s)
            self._open_gate()

    def _seek(self, command: Command) -> None:
        time_ms = command.number("seek_time")
        if time_ms is None:
            raise ParseError("'seek_time' is a number of milliseconds")
        wanted_s = max(time_ms / 1000, 0.0)
        if self._title.duration_s is not None:
            wanted_s = min(wanted_s, self._title.duration_s)
        self._session.tell("seek", {"live_point": False, "seek_time": milliseconds(wanted_s)})
        self._play(wanted_s)

    def _set_speed(self, command: Command) -> None:
        wanted = command.values.get("play_rate")
        rate = 0.0 if wanted == "auto" else command.number("play_rate")
        if rate is None or not 0 <= rate <= MAX_SPEED:
            raise ParseError(f"'play_rate' is 0, or as fast as possible, to {MAX_SPEED:g}")
        before, self._speed = self._speed, rate
        if not self._paused:
            self._anchor(self._position_s)
            self._open_gate()
        self._session.tell("set_speed", {"play_rate_prev": before, "play_rate_curr": rate})

    def _select(self, command: Command) -> None:
        query = dict(self._query)
        for kind in ("video", "audio", "data"):
            wanted = command.text(kind)
            if wanted is not None:
                query[kind] = wanted
        selection = parse_selection(query, self._form)
        chosen = selection.choose(self._title.tracks)
        if not chosen:
            raise RefusedError("no track is left that this format can carry")
        at_ms = command.number("seek_time")
        self._query, self._choose, self._ids = query, selection.choose, [track.id for track in chosen]
        self._session.tell("tracks", {"tracks": self._ids})
        self._play(self._position_s if at_ms is None else max(at_ms / 1000, 0.0))

    # Reading.

    def _play(self, start_s: float) -> None:
        """Read from the key frame at `start_s` or before it."""
        self._stop()
        paused = self._paused
        self._position_s = self._start_s = start_s
        self._free_s = 0.0
        self._anchor(start_s)
        if paused:
            self._anchor_at = inf
        self._told_at = 0.0
        self._gate.set()
        self._task = self._owner.spawn(self._run(start_s))

    def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _run(self, start_s: float) -> None:
        session = self._session
        try:
            await self._send(start_s)
        except EvotoolsError as error:
            if self._task is asyncio.current_task():
                session.tell("error", {"message": error.message})
                session.close(websocket.INTERNAL_ERROR, error.message)
        except Exception:
            log.exception("playing %s failed", self._title.name)
            session.close(websocket.INTERNAL_ERROR, "internal error")

    async def _send(self, start_s: float) -> None:
        muxer = WebSocketMuxer(self._form.make(), facts=self._facts())
        out, clock = self._session.out, self._owner.clock
        pieces: list[bytes] = []
        size, since_s = 0, -inf
        async with aclosing(self._title.read(start_s, tracks=self._ids)) as batches:
            async for events in batches:
                for event in events:
                    if isinstance(event, Frame):
                        time_s = event.dts / event.track.timescale
                        if size > PIECE_BYTES or time_s - since_s >= STEP_S:
                            out.write(b"".join(pieces))
                            pieces, size, since_s = [], 0, time_s
                            self._position_s = max(time_s, start_s)
                            await self._until_due(time_s)
                            if self._reports and clock() - self._told_at >= REPORT_S:
                                self._report()
                        data = muxer.write(event)
                    elif isinstance(event, Tracks):
                        mine = [track for track in self._choose(event.tracks) if muxer.accepts(track)]
                        data = muxer.start(mine) if mine else b""
                    elif isinstance(event, Metadata):
                        data = muxer.write_metadata(event)
                    else:
                        continue
                    if data:
                        pieces.append(data)
                        size += len(data)
        out.write(b"".join([*pieces, muxer.finish()]))
        if self._reports:
            self._report()
        self._session.tell("on_stop", {"reason": "the file has ended"})

    async def _until_due(self, time_s: float) -> None:
        """Wait while it is too early for this media, the client is paused, or it does not take what it has."""
        out, clock = self._session.out, self._owner.clock
        while True:
            # A paused client that seeks still wants to see where it is.
            if out.full or (self._paused and time_s > self._start_s):
                self._gate.clear()
                await self._gate.wait()
                continue
            early_s = 0.0
            if self._speed and time_s >= self._free_s and not self._paused:
                early_s = (time_s - self._anchor_s - LEAD_S) / self._speed - (clock() - self._anchor_at)
            if early_s <= 0:
                if time_s < self._free_s and not self._paused:
                    # What was sent freely is not waited for afterwards.
                    self._anchor(time_s)
                return
            self._gate.clear()
            try:
                # Commands open the gate and change what is due.
                await asyncio.wait_for(self._gate.wait(), early_s)
            except TimeoutError:
                return

    def _anchor(self, time_s: float) -> None:
        self._anchor_s, self._anchor_at = time_s, self._owner.clock()

    def _open_gate(self) -> None:
        self._gate.set()

    # What is told.

    def _facts(self) -> dict[str, object]:
        duration_s = self._title.duration_s
        return {"live": False} | ({} if duration_s is None else {"duration": milliseconds(duration_s)})

    def _chosen(self) -> list[Track]:
        return [track for track in self._title.tracks if track.id in self._ids]

    def _window(self) -> Window:
        return Window(0.0, self._position_s if self._title.duration_s is None else self._title.duration_s)

    def _report(self) -> None:
        self._told_at = self._owner.clock()
        rate: float = self._speed
        self._session.tell("on_time", on_time(self._position_s, self._window(), self._ids, rate=rate))
