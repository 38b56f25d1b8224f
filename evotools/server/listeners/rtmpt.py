"""RTMPT on the HTTP media port: RTMP in the bodies of POST requests and their answers; RTMPTS with TLS.

A client opens a session, then sends what it has (`/send`) or asks for more (`/idle`); every answer carries what waits
for it. Adobe never published the protocol; this is what Flash Player, FFmpeg and librtmp speak. The RTMP inside is
that of the RTMP port: the session's transport is a buffer that the next answer empties, so a player's unsent bytes
are those it has not fetched, and the hub's rules for slow viewers hold.
"""

import asyncio
import os
import re
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from evotools.log import get_logger
from evotools.protocols import http1
from evotools.protocols.http1 import Request
from evotools.protocols.rtmp.events import PlayRequest, PublishRequest
from evotools.server.access_types import AccessRequest
from evotools.server.listeners.http_access import Refused
from evotools.server.listeners.rtmp import RtmpListener, RtmpSession
from evotools.transport.http import HttpConnection

MAX_SESSIONS = 2_000
"""Default cap. A session costs as much as an RTMP connection, and as its viewer's newest answer."""
MAX_PER_PEER = 200
"""Sessions from one address, this machine's excepted: each lives on for SESSION_IDLE_S when nobody comes back."""
SESSION_IDLE_S = 30.0
"""Without a request for so long a session is over. Clients ask several times a second."""
REQUEST_S = 30.0
"""From the head of a request to its end, however slowly its body drips."""
MAX_SEND = 16 << 20
"""Bytes of one request. Encoders send a frame at a time; a key frame of an 8K camera stays below 4 MiB."""
MAX_COMMAND = 1024
"""Bytes of an open, idle or close request; clients send one, which means nothing."""
MAX_REPLY = 256 * 1024
"""Bytes of one answer: 20 Mbit/s for a client that asks every 100 ms. The newest is kept in case it got lost."""
MAX_UNSENT = 64 << 20
"""What may wait for a client. A new viewer gets a whole group of pictures at once; beyond that nobody fetches."""
SWEEP_S = 1.0

_HIGH_WATER = 512 * 1024
_LOW_WATER = 128 * 1024
# Adobe's servers double the pause that they advise for as long as they have nothing to say.
_DELAYS = (0x01, 0x03, 0x05, 0x09, 0x11, 0x21)
_PATH = re.compile(r"/(open|send|idle|close)/([0-9A-Za-z]{1,64})(?:/(\d{1,10}))?|/fcs/ident2?")
_FIELDS = http1.header_block([("Content-Type", "application/x-fcs"), ("Cache-Control", "no-store")])

log = get_logger("rtmp")


def is_tunnel(path: str) -> bool:
    """Whether a POST to this path is RTMPT."""
    return _PATH.fullmatch(path) is not None


class Tunnel:
    """The RTMPT sessions of one HTTP media port."""

    def __init__(self, listener: RtmpListener, *, max_sessions: int = MAX_SESSIONS) -> None:
        """`listener` has the rules and counters of RTMP sessions; it need not listen."""
        self.listener = listener
        self.sessions: dict[str, _Session] = {}
        """By id."""
        self._max_sessions = max_sessions
        self.exchanges: set[_Exchange] = set()
        """Requests whose body is on its way."""
        self._per_peer: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def handle(self, connection: HttpConnection, request: Request) -> None:
        """Answer one request of `is_tunnel`. Raises Refused."""
        found = _PATH.fullmatch(request.path)
        if found is None or found[1] is None:
            # Flash Player asks /fcs/ident2 for another address to use, and goes on when there is none.
            raise Refused(404, "there is no other address")
        if request.method != "POST":
            raise Refused(405, "RTMPT uses POST", http1.header_block([("Allow", "POST")]))
        if request.headers.get("content-type", "").lower() != "application/x-fcs":
            raise Refused(415, "the body of an RTMPT request is application/x-fcs")
        command, key, number = found.groups()
        if command == "open":
            self._take(connection, None, MAX_COMMAND, lambda: self._open(connection, request))
            return
        session = self.sessions.get(key)
        if session is None or session.secure != connection.secure:
            raise Refused(404, "there is no such session")
        if session.busy:
            raise Refused(409, "another request of this session is not through")
        session.used_at = asyncio.get_running_loop().time()
        if command == "close":
            self._take(connection, None, MAX_COMMAND, lambda: self._close(connection, session))
            return
        sequence = int(number or 0)
        expected = session.sequence + 1
        if session.sequence >= 0 and sequence == session.sequence:
            # The client did not get the answer and asks again: what it sends was taken, what it missed is kept.
            limit = MAX_SEND if command == "send" else MAX_COMMAND
            self._take(connection, None, limit, lambda: connection.respond(200, _FIELDS, session.reply))
            return
        if session.sequence >= 0 and sequence != expected and command == "send":
            session.pipe.abort()
            raise Refused(400, f"request {sequence} came where {expected} was due: bytes are missing")
        session.sequence = sequence
        if command == "send":
            self._take(connection, session, MAX_SEND, lambda: self._reply(connection, session))
        else:
            self._take(connection, None, MAX_COMMAND, lambda: self._reply(connection, session))

    def close(self) -> None:
        """The server stops: every session is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for session in list(self.sessions.values()):
            session.rtmp.shut_down()
            session.pipe.abort()

    def forget(self, session: "_Session") -> None:
        """A session ended."""
        if self.sessions.pop(session.id, None) is not None:
            left = self._per_peer[session.peer] - 1
            if left:
                self._per_peer[session.peer] = left
            else:
                del self._per_peer[session.peer]

    def _take(
        self, connection: HttpConnection, session: "_Session | None", limit: int, answer: Callable[[], object]
    ) -> None:
        exchange = _Exchange(self, connection, session, limit, answer)
        self.exchanges.add(exchange)
        if self._timer is None:
            self._sweep()
        connection.receive_body(exchange.receive, exchange.end)

    def _open(self, connection: HttpConnection, request: Request) -> None:
        peer = connection.peer_ip
        local = peer.startswith("127.") or peer == "::1"
        mine = self._per_peer.get(peer, 0)
        if len(self.sessions) >= self._max_sessions or (mine >= MAX_PER_PEER and not local):
            self.listener.refused += 1
            connection.respond_text(503, "there are too many RTMPT sessions")
            return
        session = _Session(self, connection, request)
        self.sessions[session.id] = session
        self._per_peer[peer] = mine + 1
        session.rtmp.connection_made(session.pipe)
        connection.respond(200, _FIELDS, session.id.encode() + b"\n")

    def _close(self, connection: HttpConnection, session: "_Session") -> None:
        session.pipe.abort()
        connection.respond(200, _FIELDS, b"\0")

    def _reply(self, connection: HttpConnection, session: "_Session") -> None:
        if session.id not in self.sessions:
            connection.respond_text(404, "the session is over")
            return
        session.used_at = asyncio.get_running_loop().time()
        data = session.pipe.take(MAX_REPLY)
        session.silent = 0 if data else min(session.silent + 1, len(_DELAYS) - 1)
        session.reply = bytes((_DELAYS[session.silent],)) + data
        connection.respond(200, _FIELDS, session.reply)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for session in [s for s in self.sessions.values() if not s.busy and s.used_at < now - SESSION_IDLE_S]:
            log.info("rtmpt: %s: the client asked for nothing for %g s", session.peer, SESSION_IDLE_S)
            session.pipe.abort()
        for exchange in [e for e in self.exchanges if e.begun_at < now - REQUEST_S]:
            exchange.refuse(408, "the request took too long")
        listener = self.listener
        if listener.idle_s:
            for publisher in [p for p in listener.publishers if p.idle_since < now - listener.idle_s]:
                publisher.drop(f"no media for {listener.idle_s:g} s")
        self._timer = loop.call_later(SWEEP_S, self._sweep) if self.sessions or self.exchanges else None


class _Session:
    """One RTMP connection in requests."""

    def __init__(self, tunnel: Tunnel, connection: HttpConnection, request: Request) -> None:
        # Whoever has the id has the session: requests may come over several connections, and through proxies from
        # several addresses, which is what RTMPT is for.
        self.id = os.urandom(16).hex()
        self.peer = connection.peer_ip
        self.secure = connection.secure
        self.busy = False
        """The body of a request is on its way."""
        self.sequence = -1
        """Of the newest request."""
        self.reply = b""
        """The newest answer."""
        self.silent = 0
        """Answers without RTMP in them, in a row."""
        self.used_at = asyncio.get_running_loop().time()
        self.rtmp = TunnelSession(tunnel.listener, request, secure=connection.secure)
        self.pipe = Pipe(
            self.rtmp, {"peername": (connection.peer_ip, 0), "sockname": (connection.local_ip, 0)},
            lambda: tunnel.forget(self),
        )  # fmt: skip


class TunnelSession(RtmpSession):
    """An RTMP session whose requests to `access` say what HTTP said: a proxy's fields, a page's origin."""

    def __init__(self, listener: RtmpListener, request: Request, *, secure: bool) -> None:
        super().__init__(listener)
        self._headers = request.headers
        self._secure = secure

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client opened a session."""
        self.protocol = "rtmpts" if self._secure else "rtmpt"
        super().connection_made(transport)

    def _request(self, action: str, event: PublishRequest | PlayRequest) -> AccessRequest:
        return replace(super()._request(action, event), headers=self._headers)


class _Exchange:
    """The body of one request: given to the session as it comes, or passed over."""

    __slots__ = ("_answer", "_connection", "_left", "_session", "_tunnel", "begun_at")

    def __init__(
        self, tunnel: Tunnel, connection: HttpConnection, session: _Session | None, limit: int,
        answer: Callable[[], object],
    ) -> None:  # fmt: skip
        self._tunnel = tunnel
        self._connection = connection
        self._session = session
        self._left = limit
        self._answer = answer
        self.begun_at = asyncio.get_running_loop().time()
        if session is not None:
            session.busy = True

    def receive(self, data: bytes) -> None:
        """More of it."""
        self._left -= len(data)
        session = self._session
        if self._left < 0:
            self.refuse(413, "the request body is too large")
        elif session is not None:
            session.pipe.feed(data)
            if session.pipe.is_closing() and not session.pipe.get_write_buffer_size():
                self.refuse(404, "the session is over")

    def end(self, whole: bool) -> None:
        """The body is over, or the client left in the middle of it."""
        self._leave(broken=not whole)
        if whole:
            self._answer()

    def refuse(self, status: int, text: str) -> None:
        """Answer before the end."""
        self._leave(broken=True)
        self._connection.respond_text(status, text)

    def _leave(self, *, broken: bool) -> None:
        self._tunnel.exchanges.discard(self)
        session, self._session = self._session, None
        if session is not None:
            session.busy = False
            if broken:
                # Part of the request was taken; nobody can tell where to go on.
                session.pipe.abort()


class Pipe(asyncio.Transport):
    """The transport of an RTMP session: what is written waits to be taken."""

    def __init__(self, protocol: asyncio.Protocol, extra: dict[str, Any], on_lost: Callable[[], object]) -> None:
        super().__init__(extra)
        self._protocol = protocol
        self._on_lost = on_lost
        self._waiting: deque[bytes | memoryview] = deque()
        self._size = 0
        self._closing = False
        self._lost = False
        self._full = False

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        if not self._closing:
            self._protocol.data_received(data)

    def take(self, limit: int) -> bytes:
        """Up to `limit` bytes of what waits."""
        waiting = self._waiting
        parts: list[bytes | memoryview] = []
        left = limit
        while waiting and left:
            part = waiting.popleft()
            if len(part) > left:
                part = memoryview(part)
                waiting.appendleft(part[left:])
                part = part[:left]
            parts.append(part)
            left -= len(part)
        self._size -= limit - left
        if self._full and self._size <= _LOW_WATER:
            self._full = False
            self._protocol.resume_writing()
        if self._closing and not waiting:
            self.abort()
        return b"".join(parts)

    # What the session uses.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Let `data` wait for the next request."""
        if self._closing or not data:
            return
        self._waiting.append(bytes(data))
        self._size += len(data)
        if self._size > MAX_UNSENT:
            self.abort()
        elif self._size > _HIGH_WATER and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        """Bytes that wait."""
        return self._size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The limits are fixed."""

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._closing

    def can_write_eof(self) -> bool:
        """There is no half-closed session."""
        return False

    def close(self) -> None:
        """The session is over when the client has taken what waits."""
        self._closing = True
        if not self._waiting:
            self.abort()

    def abort(self) -> None:
        """The session is over."""
        self._closing = True
        self._waiting.clear()
        self._size = 0
        if not self._lost:
            self._lost = True
            asyncio.get_running_loop().call_soon(self._tell)

    def pause_reading(self) -> None:
        """Every request that brings something also fetches something; there is nothing to hold back."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""

    def _tell(self) -> None:
        self._on_lost()
        self._protocol.connection_lost(None)
