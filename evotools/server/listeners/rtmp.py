"""RTMP on a port: publishers into the hub, players out of it."""

import asyncio
import os
import ssl
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from evotools.errors import EvotoolsError, MediaError, RefusedError, UsageError
from evotools.hub.hub import Hub
from evotools.hub.limits import FlushInterval
from evotools.hub.stream import PublisherInfo
from evotools.hub.viewer import ViewerPolicy
from evotools.log import get_logger
from evotools.protocols.greeting import ForeignProtocol
from evotools.protocols.rtmp.auth import AdobeServer
from evotools.protocols.rtmp.events import (
    Closed,
    Connect,
    MediaMessage,
    Pause,
    PlayRequest,
    PublishRequest,
    Receive,
    StopPlay,
    Unpublish,
)
from evotools.protocols.rtmp.server import ServerConnection
from evotools.server.access import credential_of
from evotools.server.access_types import AccessRequest
from evotools.server.listeners.base import Access
from evotools.server.listeners.rtmp_streams import BAD_NAME, DENIED, NOT_FOUND, PLAY_FAILED, RtmpPlayer, RtmpPublisher
from evotools.server.listeners.start import starting
from evotools.transport.driver import Driver, bound_port, listen
from evotools.transport.ports import Ports
from evotools.transport.tcp import direct_socket, explain
from evotools.transport.tls_listen import TlsServer

log = get_logger("rtmp")

_CREDENTIALS = ("key", "token", "pass", "jwt")
"""What, behind the application's name, makes a challenge needless."""
REST_S = 0.05
"""A publisher is left alone for no less than this: at two frames in one read it costs what it saves."""
MAX_REST_S = 0.35
"""Nor for longer than this: who seems silent for a second makes way (server.app.SILENT_TWIN_S)."""
REST_BYTES = 48 * 1024
"""Nor for longer than it takes the publisher to send so much: a TCP window is 64 KiB on Linux before it has grown, and
a full one would hold the encoder up."""
SWEEP_S = 1.0
"""How often publishers are looked at that may have fallen silent."""


class Passwords(Protocol):
    """Whom to challenge, and with which password."""

    def wants_user(self, request: AccessRequest) -> bool:
        """Whether a publisher from there must be asked for user and password first."""
        ...

    def password_of(self, user: str) -> str:
        """A user's password, or one that nobody knows."""
        ...


class RtmpListener:
    """A listening port and its connections."""

    def __init__(
        self,
        hub: Hub,
        access: Access,
        *,
        policy: ViewerPolicy,
        max_connections: int = 20_000,
        max_per_peer: int = 0,
        idle_s: float = 0.0,
        flush_interval: FlushInterval | None = None,
        passwords: "Passwords | None" = None,
        ports: Ports | None = None,
    ) -> None:
        self.hub = hub
        self.access = access
        self.policy = policy
        self.flush_interval = flush_interval
        self.max_connections = max_connections
        self.max_per_peer = max_per_peer
        """Connections from one address, this machine's excepted; 0: no cap."""
        self.idle_s = idle_s
        """A publisher that sends no media for so long is let go; 0: never."""
        self.passwords = passwords
        """Asked for encoders that are challenged at connect; None: nobody is."""
        self.ports = ports or Ports()
        """Told to those in the log who speak something else."""
        self.adobe = AdobeServer(os.urandom(32))
        self.sessions: set[RtmpSession] = set()
        self.publishers: set[RtmpPublisher] = set()
        self.per_peer: Counter[str] = Counter()
        self.refused = 0
        """Connections turned away by a cap."""
        self._server: asyncio.Server | None = None
        self._tls: TlsServer | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> None:
        """Bind. Raises UnreachableError."""
        try:
            self._server = await listen(lambda: RtmpSession(self), host, port)
        except OSError as error:
            raise explain(f"rtmp {host or '*'}:{port}", error, "listen") from None
        self.ports.bound["RTMP"] = self.port
        self._sweep()

    async def start_tls(self, host: str, port: int, context: ssl.SSLContext) -> None:
        """Bind a second port, for RTMPS, after `start`. Raises UnreachableError."""
        self._tls = TlsServer(lambda: RtmpSession(self), context, ports=self.ports)
        try:
            await self._tls.start(host, port)
        except OSError as error:
            raise explain(f"rtmps {host or '*'}:{port}", error, "listen") from None
        self.ports.bound["RTMPS"] = self.tls_port

    @property
    def tls_port(self) -> int:
        """The port of `start_tls`."""
        assert self._tls is not None
        return self._tls.port

    @property
    def port(self) -> int:
        """The port bound."""
        assert self._server is not None
        return bound_port(self._server)

    async def close(self) -> None:
        """Stop listening, tell every player that its stream is over, close every connection."""
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self._server.close()
        if self._tls is not None:
            self._tls.close()
        for session in list(self.sessions):
            session.shut_down()
        await asyncio.sleep(0)

    def admit(self, session: "RtmpSession", peer: str) -> bool:
        """Count a connection, unless that is one too many."""
        local = peer.startswith("127.") or peer == "::1"
        if len(self.sessions) >= self.max_connections or (0 < self.max_per_peer <= self.per_peer[peer] and not local):
            self.refused += 1
            return False
        self.sessions.add(session)
        self.per_peer[peer] += 1
        return True

    def forget(self, session: "RtmpSession", peer: str) -> None:
        """The connection is over, whether it was admitted or not."""
        if session in self.sessions:
            self.sessions.remove(session)
            self.per_peer[peer] -= 1
            if not self.per_peer[peer]:
                del self.per_peer[peer]

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        if self.idle_s:
            limit = loop.time() - self.idle_s
            for publisher in [p for p in self.publishers if p.idle_since < limit]:
                publisher.drop(f"no media for {self.idle_s:g} s")
        self._timer = loop.call_later(SWEEP_S, self._sweep)


class RtmpSession(Driver):
    """One client, and what it publishes and plays."""

    def __init__(self, listener: RtmpListener) -> None:
        loop = asyncio.get_running_loop()
        self._rtmp = ServerConnection(loop.time(), os.urandom)
        super().__init__(self._rtmp, self._on_event, self._on_gone, self._push)
        self.listener = listener
        self.ip = ""
        """Of the client."""
        self.protocol = "rtmp"
        self.multitrack = False
        """The client understands several tracks of a kind."""
        self.chunk_size = self._rtmp.chunk_size
        self._local_ip = ""
        self._user: tuple[str, str] | None = None
        """Name and password of who has answered a challenge."""
        # By the number of the stream.
        self._publishers: dict[int, RtmpPublisher] = {}
        self._players: dict[int, RtmpPlayer] = {}
        self._rest: asyncio.TimerHandle | None = None
        self._read_at = self._loop.time()

    @property
    def now(self) -> float:
        """The loop's time."""
        return self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        super().connection_made(transport)
        self.ip, self._local_ip = self.addresses
        if transport.get_extra_info("ssl_object") is not None:
            self.protocol = "rtmps"
        if not self.listener.admit(self, self.ip):
            self.abort()

    def data_received(self, data: bytes) -> None:
        """What comes is left in the kernel while nobody misses it: frames read one by one cost ten times what they
        cost together, since each finds cold caches."""
        super().data_received(data)
        if self._publishers and self._rest is None and not self._players:
            now = self._loop.time()
            span_s, self._read_at = now - self._read_at, now
            rest_s = min(MAX_REST_S, REST_BYTES * span_s / len(data))
            if rest_s >= REST_S:
                rest_s = min(rest_s, *(publisher.patience_s for publisher in self._publishers.values()))
            if rest_s >= REST_S and not self.closing and direct_socket(self.transport) >= 0:
                self.transport.pause_reading()
                self._rest = self._loop.call_later(rest_s, self._read_on)

    def _read_on(self) -> None:
        self._rest = None
        if self.writable.is_set() and not self.transport.is_closing():
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        """The peer does not read: do not read its commands either, since each may ask for an answer."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer reads again."""
        super().resume_writing()
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _on_event(self, event: object) -> None:
        if isinstance(event, MediaMessage):
            publisher = self._publishers.get(event.stream_id)
            if publisher is not None:
                try:
                    publisher.take(event)
                except MediaError as error:
                    self._push()
                    self._rtmp.reject(DENIED, error.message, stream_id=event.stream_id)
                    raise
        elif isinstance(event, Connect):
            self._connect(event)
        elif isinstance(event, PublishRequest):
            self._publish(event)
        elif isinstance(event, PlayRequest):
            self._play(event)
        elif isinstance(event, Unpublish):
            if (publisher := self._forget(event.stream_id)) is not None:
                publisher.finish(self.now, event.lost or "the publisher ended its stream")
        elif isinstance(event, Pause | Receive | StopPlay):
            self._player_says(event)
        elif isinstance(event, Closed):
            # Refused, and told so: nothing follows from either side.
            self.closing = True

    def _connect(self, event: Connect) -> None:
        self.multitrack = event.multitrack
        passwords, query = self.listener.passwords, event.query
        if passwords is not None and event.publishes and not any(query.get(name) for name in _CREDENTIALS):
            asking = AccessRequest("publish", event.app, self.protocol, self.ip, self._local_ip)
            if passwords.wants_user(asking) and not self._authenticated(passwords, query):
                return
        self._rtmp.accept_connect()

    def _authenticated(self, passwords: Passwords, query: Mapping[str, str]) -> bool:
        """Whether an encoder has answered the challenge rightly; else it has been told what to do."""
        adobe, now = self.listener.adobe, self.now
        user = adobe.user(query)
        if not user:
            self._rtmp.challenge(adobe.challenge(query, now, os.urandom))
            return False
        password = passwords.password_of(user)
        if not adobe.verify(query, password, now):
            log.warning("%s: %s: wrong user name or password", self.protocol, self.ip)
            self._rtmp.challenge(adobe.failed(user))
            return False
        self._user = (user, password)
        return True

    def _request(self, action: str, event: PublishRequest | PlayRequest) -> AccessRequest:
        query = event.query
        user, password = self._user or (query.get("user", ""), query.get("pass", ""))
        return AccessRequest(
            action="publish" if action == "publish" else "read", name=event.path, protocol=self.protocol,
            peer_ip=self.ip, local_ip=self._local_ip, user=user, password=password,
            token=query.get("token", query.get("jwt", "")), query=query,
        )  # fmt: skip

    # Publishing.

    def _publish(self, event: PublishRequest) -> None:
        listener = self.listener
        name, number = event.path, event.stream_id
        try:
            listener.hub.check_name(name)
            request = self._request("publish", event)
            decision = listener.access.check(request)
            if not decision.allowed:
                log.warning("rtmp: %s: publishing '%s' refused: %s", self.ip, name, decision.reason)
                self._rtmp.reject(DENIED, decision.reason)
                return
            info = PublisherInfo(self.protocol, self.ip, credential_of(request))
            publisher = self._publishers[number] = RtmpPublisher(self, number, name, info)
            listener.publishers.add(publisher)
        except RefusedError as error:
            log.warning("rtmp: %s: publishing refused: %s", self.ip, error)
            self._rtmp.reject(BAD_NAME, error.message)
            return
        log.info("rtmp: %s publishes '%s'", self.ip, name)
        self._rtmp.accept_publish()

    def _push(self) -> None:
        if self._publishers:
            now = self.now
            for publisher in list(self._publishers.values()):
                publisher.push(now)

    def _forget(self, stream_id: int) -> RtmpPublisher | None:
        """Its publisher there, which is none any more."""
        publisher = self._publishers.pop(stream_id, None)
        if publisher is not None:
            self.listener.publishers.discard(publisher)
        return publisher

    # Playing.

    def _play(self, event: PlayRequest) -> None:
        listener = self.listener
        name = event.path
        try:
            listener.hub.check_name(name)
            decision = listener.access.check(self._request("read", event))
            if not decision.allowed:
                self._rtmp.reject(PLAY_FAILED, decision.reason)
                return
            if event.query.get("start"):
                starting(listener.policy, event.query["start"])
            if listener.hub.acquire(name) is None:
                self._rtmp.reject(NOT_FOUND, f"Nobody publishes '{name}'.")
                return
        except UsageError as error:
            self._rtmp.reject(PLAY_FAILED, str(error))
            return
        except RefusedError as error:
            self._rtmp.reject(NOT_FOUND, error.message)
            return
        self._rtmp.accept_play()
        player = self._players[event.stream_id] = RtmpPlayer(self, event)
        player.join()

    def _player_says(self, event: Pause | Receive | StopPlay) -> None:
        player = self._players.get(event.stream_id)
        if player is None:
            return
        if isinstance(event, Pause):
            player.pause(event.paused)
        elif isinstance(event, Receive):
            player.receive(event)
        else:
            del self._players[event.stream_id]
            player.leave()

    # The end.

    def dismiss(self, stream_id: int, code: str, reason: str) -> None:
        """End one stream, which the client is told; and the connection, when nothing else runs on it."""
        self._forget(stream_id)
        self._players.pop(stream_id, None)
        self._rtmp.reject(code, reason, stream_id=stream_id)
        self.pump()

    def finish_play(self, stream_id: int) -> None:
        """What the client plays there has ended; and the connection with it, when nothing else runs on it."""
        self._players.pop(stream_id, None)
        self._rtmp.finish_play(stream_id=stream_id)
        if self._rtmp.active:
            self.pump()
        else:
            self.close()

    def shut_down(self) -> None:
        """The server stops."""
        self._end_all("the server stops")
        self._rtmp.finish_play()
        self.close()

    def _end_all(self, reason: str) -> None:
        for number in list(self._publishers):
            if (publisher := self._forget(number)) is not None:
                publisher.end(reason)
        for player in self._players.values():
            player.leave()
        self._players.clear()

    def _on_gone(self, error: Exception | None) -> None:
        if self._rest is not None:
            self._rest.cancel()
        self.listener.forget(self, self.ip)
        if isinstance(error, ForeignProtocol):
            error.hint = self.listener.ports.advice("RTMPS" if error.spoken == "TLS" else error.spoken)
        if isinstance(error, EvotoolsError):
            log.warning("rtmp: %s: %s", self.ip, error)
        self._push()
        self._end_all(str(error) if error else "the connection was closed")
