"""Live streams over WebSocket: a viewer of a feed whose chunks are messages already, and what it may ask for."""

from collections.abc import Mapping
from dataclasses import replace
from sys import maxsize
from typing import TYPE_CHECKING

from evotools.errors import EvotoolsError, MediaError, ParseError, RefusedError
from evotools.hub.feed import Feed
from evotools.hub.stream import State, Stream
from evotools.hub.viewer import Closed, Start, Viewer, ViewerPolicy
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
from evotools.server.listeners.start import starting

if TYPE_CHECKING:
    from evotools.server.listeners.websocket import Session, WebSockets

_KINDS = ("video", "audio", "data")
_CODES = {
    Closed.ENDED: (websocket.NORMAL, "the stream has ended"),
    Closed.SLOW: (websocket.TRY_AGAIN_LATER, "too slow for this stream"),
    Closed.FAILED: (websocket.INTERNAL_ERROR, "the stream cannot go on in this format"),
}


class LiveMedia:
    """The newest media of a stream; behind it what the hub keeps."""

    __slots__ = ("_form", "_owner", "_policy", "_query", "_selection", "_session", "_stream", "_viewer")

    def __init__(self, session: "Session", owner: "WebSockets", stream: Stream, form: Format) -> None:
        self._session = session
        self._owner = owner
        self._stream = stream
        self._form = form
        self._query: dict[str, str] = {}
        self._selection = parse_selection({}, form)
        self._policy: ViewerPolicy = stream.policy(owner.policy)
        self._viewer: Viewer | None = None

    # What the session calls.

    @property
    def flowing(self) -> bool:
        """The feed judges a viewer that takes nothing."""
        return self._viewer is not None

    def check(self, query: Mapping[str, str]) -> None:
        """Choose the tracks. Raises EvotoolsError where the stream cannot be had like that."""
        self._query = {key: value for key, value in query.items() if key in _KINDS}
        self._selection = parse_selection(self._query, self._form)
        self._start_policy(query.get("start"))
        feed = self._feed()
        if self._stream.tracks and not feed.tracks:
            raise MediaError("the stream has no track that this format can carry")

    def begin(self, query: Mapping[str, str]) -> None:
        """Join where `start` says."""
        self._join(self._start_policy(query.get("start")))

    def _start_policy(self, start: str | None) -> ViewerPolicy:
        policy = starting(self._policy, start) if start else self._policy
        return self._back(policy.back_s, policy)

    def leave(self) -> None:
        """Send nothing any more."""
        viewer, self._viewer = self._viewer, None
        if viewer is not None:
            viewer.leave()

    def command(self, command: Command) -> None:
        """Raises EvotoolsError."""
        kind = command.kind
        if kind == "hold" or (kind == "pause" and self._viewer is not None):
            self.leave()
            self._session.tell("pause", {"paused": True})
        elif kind in ("play", "pause"):
            if command.values.get("seek_time") is not None:
                self._seek(command)
            elif self._viewer is None:
                self._session.tell("pause", {"paused": False})
                self._join(self._policy)
            else:
                self._session.tell("pause", {"paused": False})
        elif kind == "seek":
            self._seek(command)
        elif kind == "request_codec_data":
            feed = self._feed()
            self._session.tell("codec_data", codec_data(feed.tracks, feed.mime or self._form.mime, live=True))
        elif kind == "on_time":
            feed = self._feed()
            told = on_time(self._position_s(feed), self._window(feed), [track.id for track in feed.tracks])
            self._session.tell("on_time", told)
        elif kind == "info":
            self._session.tell("info", self._info())
        elif kind == "tracks":
            self._select(command)
        elif kind == "set_speed" and command.values.get("play_rate") in (0, 1, "auto"):
            self._session.tell("set_speed", {"play_rate_curr": 1})
        else:
            raise RefusedError("a live stream goes at its own speed: what lies behind is sent as fast as it is taken")

    # The rest is internal.

    def _feed(self) -> Feed:
        """The feed of this form, made when nobody else reads it. Raises RefusedError, MediaError."""
        owner, now = self._owner, self._owner.clock()
        if self._stream.state is State.ENDED:
            stream = owner.hub.acquire(self._stream.name)
            if stream is None:
                raise RefusedError(f"nobody publishes '{self._stream.name}'")
            self._stream = stream
        stream, form, selection, wall = self._stream, self._form, self._selection, owner.wall
        key = ("ws", form.key, *selection.key)

        def window() -> Window | None:
            feed = stream.feeds.get(key)
            return None if feed is None else _window(feed, wall())

        def make() -> WebSocketMuxer:
            # Players of FLV and TS expect media alone; those of fMP4 need a script anyway.
            return WebSocketMuxer(form.make(), facts={"live": True}, window=window if form.key == "mp4" else None)

        return stream.feed(key, make, selection.choose, now=now, flush_interval=owner.flush_interval)

    def _join(self, policy: ViewerPolicy) -> None:
        feed = self._feed()
        out = self._session.out
        viewer: Viewer | None = None

        def let_go(why: Closed) -> None:
            # Of a viewer that was left for another one nothing is heard any more.
            if self._viewer is viewer:
                self._viewer = None
                self._let_go(why)

        viewer = feed.join(
            out.write, out.unsent, now=self._owner.clock(), policy=policy, on_close=let_go,
            info=self._session.connection, socket=out.socket,
        )  # fmt: skip
        self._viewer = viewer

    def _let_go(self, why: Closed) -> None:
        if why is Closed.STALLED:
            self._session.abort()
            return
        code, reason = _CODES[why]
        self._session.tell("on_stop", {"reason": reason})
        self._session.close(code, reason)

    def _back(self, back_s: float, policy: ViewerPolicy) -> ViewerPolicy:
        """`policy` with a start so far behind the newest media; a viewer that catches up is not slow."""
        if back_s <= 0:
            return policy
        return replace(policy, start=Start.KEYFRAME, back_s=back_s, max_lag_bytes=maxsize)

    def _seek(self, command: Command) -> None:
        feed = self._feed()
        end_s = feed.log.end_s
        if command.values.get("seek_time") == "live":
            wanted_s = end_s
        else:
            time_ms, unix_ms = command.number("seek_time"), command.number("unix_time")
            if unix_ms is not None:
                time_ms = unix_ms - milliseconds(_window(feed, self._owner.wall()).wall_s or 0.0)
            if time_ms is None:
                raise ParseError("'seek_time' is a number of milliseconds or 'live'")
            wanted_s = time_ms / 1000
        policy = self._back(end_s - wanted_s, self._policy)
        live = policy is self._policy
        begin = wanted_s if live else max(wanted_s, feed.log.marks[0][1] if feed.log.marks else end_s)
        self.leave()
        self._session.tell("seek", {"live_point": live, "seek_time": milliseconds(min(begin, end_s))})
        self._join(policy)

    def _select(self, command: Command) -> None:
        query = dict(self._query)
        for kind in _KINDS:
            wanted = command.text(kind)
            if wanted is not None:
                query[kind] = wanted
        selection = parse_selection(query, self._form)
        before = self._query, self._selection
        self._query, self._selection = query, selection
        try:
            feed = self._feed()
            if self._stream.tracks and not feed.tracks:
                raise RefusedError("no track is left that this format can carry")
        except EvotoolsError:
            self._query, self._selection = before
            raise
        self._session.tell("tracks", {"tracks": [track.id for track in feed.tracks]})
        if self._viewer is not None:
            self.leave()
            self._join(self._policy)

    def _position_s(self, feed: Feed) -> float:
        viewer, media = self._viewer, feed.log
        if viewer is None or viewer.live or not media.base <= viewer.cursor < media.end:
            return media.end_s
        return media.time_s(viewer.cursor)

    def _window(self, feed: Feed) -> Window:
        return _window(feed, self._owner.wall())

    def _info(self) -> dict[str, object]:
        feed = self._feed()
        window = self._window(feed)
        return {
            "name": self._stream.name,
            "live": True,
            "paused": self._viewer is None,
            "available": [describe_track(track) for track in self._stream.tracks],
            "tracks": [track.id for track in feed.tracks],
            "begin": milliseconds(window.begin_s),
            "end": milliseconds(window.end_s),
        }


def _window(feed: Feed, wall_s: float) -> Window:
    end_s = feed.log.end_s
    return Window(feed.log.marks[0][1] if feed.log.marks else end_s, end_s, wall_s - end_s)
