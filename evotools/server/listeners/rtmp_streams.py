"""What the streams of one RTMP connection are to the hub: a publication or a viewer each."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from evotools.containers.flv.reader import TagReader
from evotools.endpoints.rtmp_link import read_message
from evotools.errors import EvotoolsError, RefusedError
from evotools.hub.hub import Publication
from evotools.hub.stream import PublisherInfo
from evotools.hub.viewer import Closed as ViewerClosed
from evotools.hub.viewer import Viewer
from evotools.log import get_logger
from evotools.media.frame import Event
from evotools.media.select import first_of_each_kind
from evotools.media.track import Kind, Track
from evotools.protocols.rtmp.events import MediaMessage, PlayRequest, Receive
from evotools.protocols.rtmp.mux import RtmpMuxer
from evotools.server.listeners.start import starting
from evotools.transport.tcp import direct_socket

if TYPE_CHECKING:
    from evotools.server.listeners.rtmp import RtmpSession

log = get_logger("rtmp")

DENIED = "NetStream.Publish.Denied"
BAD_NAME = "NetStream.Publish.BadName"
PLAY_FAILED = "NetStream.Play.Failed"
NOT_FOUND = "NetStream.Play.StreamNotFound"


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


class RtmpPublisher:
    """A stream of a connection that comes into the hub."""

    def __init__(self, session: "RtmpSession", stream_id: int, name: str, info: PublisherInfo) -> None:
        """Raises RefusedError when the hub does not want it."""
        self._session = session
        self._stream_id = stream_id
        self._reader = TagReader()
        self._batch: list[Event] = []
        self._publication: Publication | None = session.listener.hub.publish(name, info, on_closed=self._revoked)

    def take(self, message: MediaMessage) -> None:
        """One message, for the next `push`. Raises MediaError."""
        self._batch += read_message(self._reader, message)

    def push(self, now: float) -> None:
        """Everything of one read goes into the hub at once."""
        if self._batch:
            batch, self._batch = self._batch, []
            if self._publication is not None:
                self._publication.push(batch, now)

    def finish(self, now: float, reason: str) -> None:
        """The client ended it in order: what the reader holds back is good."""
        self._batch += self._reader.flush()
        self.push(now)
        self.end(reason)

    def end(self, reason: str) -> None:
        """It is over. Safe to call twice."""
        publication, self._publication = self._publication, None
        if publication is not None and not publication.closed:
            log.info("rtmp: %s: '%s' ends: %s", self._session.ip, publication.stream.name, reason)
            publication.close(reason=reason)

    @property
    def patience_s(self) -> float:
        """For how long nobody misses what comes next."""
        publication = self._publication
        return 0.0 if publication is None else self._session.listener.hub.patience(publication.stream)

    @property
    def idle_since(self) -> float:
        """When media came last."""
        return self._publication.pushed_at if self._publication is not None else float("inf")

    def drop(self, reason: str) -> None:
        """Let go of it; the client is told why."""
        self.end(reason)
        self._session.dismiss(self._stream_id, DENIED, reason)

    def _revoked(self, reason: str) -> None:
        self._publication = None
        self._session.dismiss(self._stream_id, BAD_NAME, reason)


class RtmpPlayer:
    """A stream of a connection that is a viewer."""

    def __init__(self, session: "RtmpSession", request: PlayRequest) -> None:
        self._session = session
        self._request = request
        self._viewer: Viewer | None = None
        self._receives = (True, True)
        """Whether the player wants audio and video."""

    def join(self) -> None:
        """Become a viewer of the feed that all players share. The answer to play must leave first."""
        session = self._session
        session.send()
        listener, now = session.listener, session.now
        request = self._request
        stream_id, chunk_size = request.stream_id, session.chunk_size
        try:
            stream = listener.hub.acquire(request.path)
            if stream is None:
                raise RefusedError("the stream has ended")
            choice = (session.multitrack, *self._receives)
            feed = stream.feed(
                ("rtmp", stream_id, chunk_size, *choice), lambda: RtmpMuxer(stream_id, chunk_size), _CHOICES[choice],
                now=now, flush_interval=listener.flush_interval,
            )  # fmt: skip
            if stream.tracks and not feed.tracks:
                raise RefusedError("the stream has no track that RTMP can carry")
            policy = stream.policy(listener.policy)
            start = request.query.get("start")
            transport = session.transport
            self._viewer = feed.join(
                transport.write, transport.get_write_buffer_size, now=now,
                policy=starting(policy, start) if start else policy,
                on_close=self._closed, info=(session.protocol, session.ip), socket=direct_socket(transport),
            )  # fmt: skip
        except EvotoolsError as error:
            session.dismiss(stream_id, PLAY_FAILED, error.message)

    def pause(self, paused: bool) -> None:
        """Leave, or join again."""
        if paused:
            self.leave()
        elif self._viewer is None and any(self._receives):
            self.join()

    def receive(self, event: Receive) -> None:
        """The player wants sound or pictures no longer, or again: another feed of the same stream."""
        self._receives = (event.audio, event.video)
        self.leave()
        if any(self._receives):
            self.join()

    def leave(self) -> None:
        """No media any more. Safe to call twice."""
        viewer, self._viewer = self._viewer, None
        if viewer is not None:
            viewer.leave()

    def _closed(self, reason: ViewerClosed) -> None:
        self._viewer = None
        if reason is ViewerClosed.ENDED:
            self._session.finish_play(self._request.stream_id)
        else:
            log.info("rtmp: %s: viewer let go: %s", self._session.ip, reason.value)
            self._session.abort()
