"""RTMP on a port: publishers into the hub, players out of it."""

import asyncio
import os
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from evotools.containers.flv.reader import TagReader
from evotools.endpoints.rtmp_link import read_message
from evotools.errors import EvotoolsError, MediaError, RefusedError, UsageError
from evotools.hub.hub import Hub, Publication
from evotools.hub.limits import FlushInterval
from evotools.hub.stream import PublisherInfo
from evotools.hub.viewer import Closed as ViewerClosed
from evotools.hub.viewer import Viewer, ViewerPolicy
from evotools.log import get_logger
from evotools.media.frame import Event
from evotools.media.select import first_of_each_kind
from evotools.media.track import Kind, Track
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
from evotools.protocols.rtmp.mux import RtmpMuxer
from evotools.protocols.rtmp.server import ServerConnection
from evotools.server.access import credential_of
from evotools.server.access_types import AccessRequest
from evotools.server.listeners.base import Access
from evotools.server.listeners.start import starting
from evotools.transport.driver import Driver, bound_port, listen
from evotools.transport.tcp import direct_socket, explain
from evotools.transport.tls_listen import TlsServer

log = get_logger("rtmp")

_DENIED = "NetStream.Publish.Denied"
_BAD_NAME = "NetStream.Publish.BadName"
_CREDENTIALS = ("key", "token", "pass", "jwt")
"""What, behind the application's name, makes a challenge needless."""
_PLAY_FAILED = "NetStream.Play.Failed"
_NOT_FOUND = "NetStream.Play.StreamNotFound"


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


def _audio(tracks: Sequence[Track]) -> list[Track]:
    return [track for track in tracks if track.kind is not Kind.VIDEO]


def _video(tracks: Sequence[Track]) -> list[Track]:
    return [track for track in tracks if track.kind is not Kind.AUDIO]


def _first_audio(tracks: Sequence[Track]) -> list[Track]:
    return _audio(first_of_each_kind(tracks))


def _first_video(tracks: Sequence[Track]) -> list[Track]:
    return _video(first_of_each_kind(tracks))


_CHOICES: dict[tuple[bool, bool, bool], Callable[[Sequence[Track]], Sequence[Track]] | None] = {
    (False, True, True): first_of_each_kind, (False, True, False): _first_audio, (False, False, True): _first_video,
    (True, True, True): None, (True, True, False): _audio, (True, False, True): _video,
}  # fmt: skip
"""Tracks by whether the player understands several of a kind (Enhanced RTMP 2), wants audio, wants video."""


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
        self.adobe = AdobeServer(os.urandom(32))
        self.sessions: set[RtmpSession] = set()
        self.publishers: set[RtmpSession] = set()
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
        self._sweep()

    async def start_tls(self, host: str, port: int, context: ssl.SSLContext) -> None:
        """Bind a second port, for RTMPS, after `start`. Raises UnreachableError."""
        self._tls = TlsServer(lambda: RtmpSession(self), context)
        try:
            await self._tls.start(host, port)
        except OSError as error:
            raise explain(f"rtmps {host or '*'}:{port}", error, "listen") from None

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
        self.publishers.discard(session)
        if session in self.sessions:
            self.sessions.remove(session)
            self.per_peer[peer] -= 1
            if not self.per_peer[peer]:
                del self.per_peer[peer]

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        if self.idle_s:
            limit = loop.time() - self.idle_s
            for session in [s for s in self.publishers if s.idle_since < limit]:
                session.drop(f"no media for {self.idle_s:g} s")
        self._timer = loop.call_later(SWEEP_S, self._sweep)


class RtmpSession(Driver):
    """One client: a publisher, a player, or neither yet."""

    def __init__(self, listener: RtmpListener) -> None:
        loop = asyncio.get_running_loop()
        self._rtmp = ServerConnection(loop.time(), os.urandom)
        super().__init__(self._rtmp, self._on_event, self._on_gone, self._push)
        self._listener = listener
        self._publication: Publication | None = None
        self._viewer: Viewer | None = None
        self._playing: PlayRequest | None = None
        self._reader = TagReader()
        self._batch: list[Event] = []
        self._ip = ("", "")
        self._protocol = "rtmp"
        self._user: tuple[str, str] | None = None
        """Name and password of who has answered a challenge."""
        self._multitrack = False
        self._receives = (True, True)
        """Whether the player wants audio and video."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        super().connection_made(transport)
        listener = self._listener
        self._ip = self.addresses
        if transport.get_extra_info("ssl_object") is not None:
            self._protocol = "rtmps"
        if not listener.admit(self, self._ip[0]):
            self.abort()

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
            if self._publication is not None:
                try:
                    self._batch += read_message(self._reader, event)
                except MediaError as error:
                    self._push()
                    self._rtmp.reject(_DENIED, error.message)
                    raise
        elif isinstance(event, Connect):
            self._connect(event)
        elif isinstance(event, PublishRequest):
            self._publish(event)
        elif isinstance(event, PlayRequest):
            self._play(event)
        elif isinstance(event, Unpublish):
            self._batch += self._reader.flush()
            self._push()
            self._unpublish("the publisher ended its stream")
        elif isinstance(event, StopPlay):
            self._leave()
        elif isinstance(event, Pause):
            self._pause(event.paused)
        elif isinstance(event, Receive):
            self._receive(event)
        elif isinstance(event, Closed):
            # Refused, and told so: nothing follows from either side.
            self.closing = True

    def _connect(self, event: Connect) -> None:
        self._multitrack = event.multitrack
        passwords, query = self._listener.passwords, event.query
        if passwords is not None and event.publishes and not any(query.get(name) for name in _CREDENTIALS):
            asking = AccessRequest("publish", event.app, self._protocol, *self._ip)
            if passwords.wants_user(asking) and not self._authenticated(passwords, query):
                return
        self._rtmp.accept_connect()

    def _authenticated(self, passwords: Passwords, query: Mapping[str, str]) -> bool:
        """Whether an encoder has answered the challenge rightly; else it has been told what to do."""
        adobe, now = self._listener.adobe, self._loop.time()
        user = adobe.user(query)
        if not user:
            self._rtmp.challenge(adobe.challenge(query, now, os.urandom))
            return False
        password = passwords.password_of(user)
        if not adobe.verify(query, password, now):
            log.warning("%s: %s: wrong user name or password", self._protocol, self._ip[0])
            self._rtmp.challenge(adobe.failed(user))
            return False
        self._user = (user, password)
        return True

    def _request(self, action: str, event: PublishRequest | PlayRequest) -> AccessRequest:
        query = event.query
        user, password = self._user or (query.get("user", ""), query.get("pass", ""))
        return AccessRequest(
            action="publish" if action == "publish" else "read", name=event.path, protocol=self._protocol,
            peer_ip=self._ip[0], local_ip=self._ip[1], user=user, password=password,
            token=query.get("token", query.get("jwt", "")), query=query,
        )  # fmt: skip

    # Publishing.

    def _publish(self, event: PublishRequest) -> None:
        listener = self._listener
        name = event.path
        try:
            listener.hub.check_name(name)
            request = self._request("publish", event)
            decision = listener.access.check(request)
            if not decision.allowed:
                log.warning("rtmp: %s: publishing '%s' refused: %s", self._ip[0], name, decision.reason)
                self._rtmp.reject(_DENIED, decision.reason)
                return
            self._reader = TagReader()
            self._publication = listener.hub.publish(
                name, PublisherInfo(self._protocol, self._ip[0], credential_of(request)), on_closed=self._revoked
            )
            listener.publishers.add(self)
        except RefusedError as error:
            log.warning("rtmp: %s: publishing refused: %s", self._ip[0], error)
            self._rtmp.reject(_BAD_NAME, error.message)
            return
        log.info("rtmp: %s publishes '%s'", self._ip[0], name)
        self._rtmp.accept_publish()

    def _push(self) -> None:
        """Everything of one read goes into the hub at once."""
        if self._batch:
            batch, self._batch = self._batch, []
            if self._publication is not None:
                self._publication.push(batch, self._loop.time())

    def _unpublish(self, reason: str) -> None:
        publication, self._publication = self._publication, None
        self._listener.publishers.discard(self)
        if publication is not None and not publication.closed:
            log.info("rtmp: %s: '%s' ends: %s", self._ip[0], publication.stream.name, reason)
            publication.close(reason=reason)

    def _revoked(self, reason: str) -> None:
        self._publication = None
        self._listener.publishers.discard(self)
        self._rtmp.reject(_BAD_NAME, reason)
        self.close()

    @property
    def idle_since(self) -> float:
        """When this publisher sent media last."""
        return self._publication.pushed_at if self._publication is not None else self._loop.time()

    def drop(self, reason: str) -> None:
        """Let go of a publisher, which is told why."""
        self._unpublish(reason)
        self._rtmp.reject(_DENIED, reason)
        self.close()

    # Playing.

    def _play(self, event: PlayRequest) -> None:
        listener = self._listener
        name = event.path
        try:
            listener.hub.check_name(name)
            decision = listener.access.check(self._request("read", event))
            if not decision.allowed:
                self._rtmp.reject(_PLAY_FAILED, decision.reason)
                return
            if event.query.get("start"):
                starting(listener.policy, event.query["start"])
            if listener.hub.acquire(name) is None:
                self._rtmp.reject(_NOT_FOUND, f"Nobody publishes '{name}'.")
                return
        except UsageError as error:
            self._rtmp.reject(_PLAY_FAILED, str(error))
            return
        except RefusedError as error:
            self._rtmp.reject(_NOT_FOUND, error.message)
            return
        self._rtmp.accept_play()
        self._playing = event
        self._receives = (True, True)
        self._join()

    def _join(self) -> None:
        """Become a viewer of the feed that all players share. The answer to play must leave first."""
        assert self._playing is not None
        self.send()
        listener, rtmp = self._listener, self._rtmp
        now = self._loop.time()
        stream_id, chunk_size = rtmp.media_stream_id, rtmp.chunk_size
        try:
            stream = listener.hub.acquire(self._playing.path)
            if stream is None:
                raise RefusedError("the stream has ended")
            choice = (self._multitrack, *self._receives)
            feed = stream.feed(
                ("rtmp", stream_id, chunk_size, *choice), lambda: RtmpMuxer(stream_id, chunk_size), _CHOICES[choice],
                now=now, flush_interval=listener.flush_interval,
            )  # fmt: skip
            if stream.tracks and not feed.tracks:
                raise RefusedError("the stream has no track that RTMP can carry")
            policy = stream.policy(listener.policy)
            start = self._playing.query.get("start")
            self._viewer = feed.join(
                self.transport.write, self.transport.get_write_buffer_size, now=now,
                policy=starting(policy, start) if start else policy,
                on_close=self._viewer_closed, info=(self._protocol, self._ip[0]), socket=direct_socket(self.transport),
            )  # fmt: skip
        except EvotoolsError as error:
            rtmp.reject(_PLAY_FAILED, error.message)

    def _viewer_closed(self, reason: ViewerClosed) -> None:
        self._viewer = None
        if reason is ViewerClosed.ENDED:
            self._rtmp.finish_play()
            self.close()
        else:
            log.info("rtmp: %s: viewer let go: %s", self._ip[0], reason.value)
            self.abort()

    def _pause(self, paused: bool) -> None:
        if paused:
            self._leave()
        elif self._viewer is None and self._playing is not None and any(self._receives):
            self._join()

    def _receive(self, event: Receive) -> None:
        """The player wants sound or pictures no longer, or again: another feed of the same stream."""
        self._receives = (event.audio, event.video)
        self._leave()
        if self._playing is not None and any(self._receives):
            self._join()

    def _leave(self) -> None:
        viewer, self._viewer = self._viewer, None
        if viewer is not None:
            viewer.leave()

    # The end.

    def shut_down(self) -> None:
        """The server stops."""
        self._unpublish("the server stops")
        self._leave()
        self._rtmp.finish_play()
        self.close()

    def _on_gone(self, error: Exception | None) -> None:
        self._listener.forget(self, self._ip[0])
        if isinstance(error, EvotoolsError):
            log.warning("rtmp: %s: %s", self._ip[0], error)
        self._push()
        self._unpublish(str(error) if error else "the connection was closed")
        self._leave()
