"""WebSocket on the HTTP media port: `/PATH.flv`, `/PATH.ts` and `/PATH.mp4`, live and from files.

This module holds what both have in common: the handshake, commands and how many of them, signs of life, closing. Where
media comes from is a `Media`: `websocket_live` joins a feed of the hub, `websocket_title` reads a file.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from evotools.errors import EvotoolsError, ParseError, RefusedError, UnreachableError
from evotools.hub.hub import Hub
from evotools.hub.limits import FlushInterval
from evotools.hub.viewer import ViewerPolicy
from evotools.log import get_logger
from evotools.protocols import http1, websocket
from evotools.protocols.http1 import Request
from evotools.protocols.mediasocket import Command, notice, parse_command
from evotools.protocols.websocket import Binary, Closed, HandshakeError, Text, WebSocketConnection, WebSocketError
from evotools.server.listeners.base import Access
from evotools.server.listeners.formats import FORMATS, Format
from evotools.server.listeners.http_access import ERROR, RETRY, Refused, check_access
from evotools.server.listeners.websocket_live import LiveMedia
from evotools.server.listeners.websocket_title import TitleMedia
from evotools.server.vod.title import Title
from evotools.transport.http import HttpConnection, HttpStream

SUFFIXES = frozenset({"flv", "ts", "mp4"})
SUBPROTOCOL = "evotools"
"""Named in the answer when the client offers it, as it is when it offers the suffix."""

COMMANDS_PER_S = 5.0
"""Frames (commands, pings, fragments) that a client may send on average: dragging a slider makes two or three seeks a
second."""
COMMAND_BURST = 40
"""And at once."""
MAX_ERRORS = 10
"""Commands that could not be understood before the client is sent away."""
PING_S = 20.0
"""A client that said nothing for so long is asked for a sign of life: proxies and NATs forget silent connections."""
DEAD_S = 40.0
"""How long the answer may take, beside what is on its way already."""
CLOSE_WAIT_S = 2.0
"""How long the peer may take to answer a Close frame before the connection goes (RFC 6455 7.1.1)."""
MAX_TITLES = 500
"""Files played at once: each holds some frames of its own, up to a megabyte, where viewers of a live stream share
theirs."""
STALL_S = 30.0
"""How long what is on its way may not get less, where the hub does not watch over it."""

log = get_logger("websocket")


class Media(Protocol):
    """What a session plays."""

    def begin(self, query: Mapping[str, str]) -> None:
        """Send from where `query` says. Raises EvotoolsError."""
        ...

    def command(self, command: Command) -> None:
        """Do what the client asks, and say so. Raises EvotoolsError, which is answered."""
        ...

    def leave(self) -> None:
        """Send nothing any more; safe to call twice."""
        ...

    def check(self, query: Mapping[str, str]) -> None:
        """Whether there is anything to send. Raises EvotoolsError."""
        ...

    @property
    def flowing(self) -> bool:
        """Something sees to it that a peer which takes nothing is let go."""
        ...


class Session:
    """One client."""

    __slots__ = (
        "_ended", "_errors", "_moved_at", "_owner", "_pinged_at", "_sampled_at", "_socket", "_tokens", "_unsent",
        "closing_at", "connection", "heard_at", "media", "out",
    )  # fmt: skip

    def __init__(self, owner: "WebSockets", connection: HttpConnection) -> None:
        self.connection = connection
        self.out: HttpStream
        self.media: Media
        self.heard_at = self._sampled_at = self._moved_at = owner.clock()
        self.closing_at: float | None = None
        self._owner = owner
        self._socket = WebSocketConnection(max_frames=COMMAND_BURST)
        self._pinged_at = 0.0
        self._tokens = float(COMMAND_BURST)
        self._errors = 0
        self._unsent = 0
        self._ended = False

    # What media uses.

    def tell(self, kind: str, data: object = None) -> None:
        """Send a message of JSON."""
        if self.closing_at is None and not self._ended:
            self.out.write(notice(kind, data))

    def close(self, code: int = websocket.NORMAL, reason: str = "") -> None:
        """Stop, say why, and wait a moment for the answer."""
        if self.closing_at is not None or self._ended:
            return
        self.media.leave()
        self._socket.close(code, reason)
        self.out.write(self._socket.data_to_send())
        self.closing_at = self._owner.clock() + CLOSE_WAIT_S

    def abort(self) -> None:
        """End at once: the peer takes nothing."""
        if not self._ended:
            self._end()
            self.out.abort()

    # What the connection calls.

    def receive(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._ended:
            return
        now = self.heard_at = self._owner.clock()
        socket = self._socket
        broken = False
        frames = socket.frames
        try:
            socket.receive(data, now)
        except WebSocketError as error:
            log.debug("%s: %s", self.connection.peer_ip, error)
            broken = True
        while (event := socket.next_event()) is not None:
            if self.closing_at is not None:
                continue
            if isinstance(event, Text):
                self._command(event.text)
            elif isinstance(event, Binary):
                self.close(websocket.UNSUPPORTED, "commands are text")
            elif isinstance(event, Closed):
                log.debug("%s closes: %d %s", self.connection.peer_ip, event.code, event.reason)
        answer = socket.data_to_send()
        if answer:
            self.out.write(answer)
        if broken:
            self.media.leave()
            if self.closing_at is None:
                self.closing_at = now + CLOSE_WAIT_S
        elif socket.close_received:
            self._end()
            self.out.close()
        elif not self._afford(socket.frames - frames, now):
            self.close(websocket.POLICY, "too many frames")

    def gone(self) -> None:
        """The connection is lost."""
        if not self._ended:
            self._end()

    def tick(self, now: float) -> None:
        """About once a second."""
        if self.closing_at is not None:
            if now >= self.closing_at:
                self._end()
                self.out.close()
            return
        unsent = self.out.unsent()
        if not unsent or unsent < self._unsent or self.media.flowing:
            self._moved_at = now
        self._unsent = unsent
        if now - self._moved_at > STALL_S:
            self.abort()
        elif self._pinged_at > self.heard_at:
            if now - self._pinged_at > DEAD_S and not unsent:
                self.abort()
        elif now - self.heard_at > PING_S and not unsent:
            self._pinged_at = now
            self._socket.ping()
            self.out.write(self._socket.data_to_send())

    def _end(self) -> None:
        self._ended = True
        self.media.leave()
        self._owner.forget(self)

    def _afford(self, count: int, now: float) -> bool:
        self._tokens = min(self._tokens + (now - self._sampled_at) * COMMANDS_PER_S, COMMAND_BURST) - count
        self._sampled_at = now
        return self._tokens >= 0

    def _command(self, text: str) -> None:
        try:
            command = parse_command(text)
            if command.kind == "stop":
                self.tell("on_stop", {"reason": "asked for"})
                self.close()
            else:
                self.media.command(command)
        except ParseError as error:
            self.tell("error", {"message": error.message})
            self._errors += 1
            if self._errors >= MAX_ERRORS:
                self.close(websocket.POLICY, "too many commands that make no sense")
        except EvotoolsError as error:
            self.tell("error", {"message": error.message})


class WebSockets:
    """Answers opening handshakes, and watches over the sessions they begin."""

    def __init__(
        self, hub: Hub, access: Access, policy: ViewerPolicy, flush_interval: FlushInterval | None = None
    ) -> None:
        self.hub = hub
        self.clock = hub.clock
        self.wall = time.time
        self.policy = policy
        self.flush_interval = flush_interval
        self._access = access
        self._sessions: set[Session] = set()
        self._titles = 0
        """Sessions that play a file, and those to be."""
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    def handle(self, connection: HttpConnection, request: Request, name: str, suffix: str) -> None:
        """Begin a session on a live stream, or say why not. Raises Refused, EvotoolsError."""
        try:
            self.hub.check_name(name)
        except RefusedError:
            raise Refused(404, "there is no such stream") from None
        form = self._admit(connection, request, name, suffix)
        stream = self.hub.acquire(name)
        if stream is None:
            raise Refused(404, f"nobody publishes '{name}'")
        session = Session(self, connection)
        self._start(session, LiveMedia(session, self, stream, form), request, suffix)

    def handle_title(
        self,
        connection: HttpConnection,
        request: Request,
        name: str,
        suffix: str,
        opened: Callable[[], Coroutine[Any, Any, Title]],
    ) -> None:
        """The same on a file, which `opened` opens. Answers later. Raises Refused."""
        form = self._admit(connection, request, name, suffix)
        task = self.spawn(self._open(connection, request, form, suffix, opened))

        def gone() -> None:
            task.cancel()

        connection.on_gone = gone

    async def _open(
        self,
        connection: HttpConnection,
        request: Request,
        form: Format,
        suffix: str,
        opened: Callable[[], Coroutine[Any, Any, Title]],
    ) -> None:
        session = Session(self, connection)
        self._titles += 1
        try:
            if self._titles > MAX_TITLES:
                raise Refused(503, "too many files are being played", RETRY)
            title = await opened()
            try:
                self._start(session, TitleMedia(session, self, title, form), request, suffix)
            except BaseException:
                await title.close()
                raise
        except Refused as error:
            connection.respond_text(error.status, error.text, error.fields)
        except UnreachableError as error:
            connection.respond_text(404, error.message, ERROR)
        except EvotoolsError as error:
            connection.respond_text(400 if isinstance(error, ParseError) else 406, error.message, ERROR)
        except Exception:
            log.exception("opening a file failed")
            connection.respond_text(500, "internal error", ERROR, close=True)
        finally:
            if session not in self._sessions:
                self._titles -= 1

    def _admit(self, connection: HttpConnection, request: Request, name: str, suffix: str) -> Format:
        if suffix not in SUFFIXES:
            raise Refused(400, f"'.{suffix}' is not served over WebSocket")
        headers = request.headers
        origin = headers.get("origin")
        # RFC 6455 10.2. Any page may read what anybody may read, as with CORS; but browsers put the password of this
        # site into the handshake of any page, and no CORS rule keeps the answer from it.
        foreign = origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()
        if foreign and "authorization" in headers:
            raise Refused(403, "credentials of this site are not for pages of another one; use a token")
        check_access(self._access, connection, request, "read", name, f"ws-{suffix}")
        return FORMATS[suffix]

    def _start(self, session: Session, media: Media, request: Request, suffix: str) -> None:
        try:
            fields = websocket.answer_handshake(request.method, request.minor, request.headers, (SUBPROTOCOL, suffix))
        except HandshakeError as error:
            raise Refused(error.status, error.message, ERROR + error.fields) from None
        query = request.fields()
        media.check(query)
        session.media = media
        session.out = out = session.connection.upgrade(http1.header_block(fields), session.receive)
        out.on_close = session.gone
        self._sessions.add(session)
        try:
            media.begin(query)
        except EvotoolsError as error:
            session.tell("error", {"message": error.message})
            session.close(websocket.TRY_AGAIN_LATER, error.message)

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """A task that is not forgotten before it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def forget(self, session: Session) -> None:
        """For sessions: this one is over."""
        if session in self._sessions:
            self._sessions.discard(session)
            self._titles -= isinstance(session.media, TitleMedia)

    def tick(self, now: float) -> None:
        """About once a second."""
        for session in list(self._sessions):
            session.tick(now)

    def close(self) -> None:
        """The server stops: tell all clients."""
        for session in list(self._sessions):
            session.close(websocket.GOING_AWAY, "the server stops")
