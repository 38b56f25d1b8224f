"""Live HLS over the hub: one segmenter and one window per stream, whoever watches. No state per client."""

from collections.abc import Callable, Iterable, Sequence

from evotools.containers.mpegts.mux import TsMuxer
from evotools.errors import EvotoolsError
from evotools.hub.hub import Hub, HubEvent
from evotools.hub.stream import State, Stream, StreamListener
from evotools.log import get_logger
from evotools.media.frame import ON_METADATA, Frame, Metadata
from evotools.media.select import first_of_each_kind
from evotools.media.track import Track
from evotools.packaging import hls
from evotools.packaging.segmenter import Segment, Segmenter
from evotools.packaging.window import LiveWindow, first_sequence
from evotools.server.config import HlsConfig

WAIT_S = 20.0
"""How long a playlist request waits for the first segment: an on-demand source and one long group of pictures."""
MAX_WAITERS = 2_000
"""Requests of one stream that wait for its first segment."""
MAX_REMEMBERED = 10_000
"""Streams whose last media sequence number is remembered after their window is gone."""

log = get_logger("hls")


class LiveHls(StreamListener):
    """One stream as HLS."""

    def __init__(self, stream: Stream, window: LiveWindow, target_s: float, unix: Callable[[], float]) -> None:
        self.stream = stream
        self.window = window
        self.used_at = 0.0
        """When a client asked last, on the hub's clock."""
        self.failure = ""
        """Why there will be no segments, where that is known."""
        self.waiting: dict[object, tuple[float, int, Callable[[], object]]] = {}
        """Who waits: until when, for how many segments, and what to call."""
        self._unix = unix
        self._segmenter = Segmenter(TsMuxer, target_s=target_s)
        self._session = 0
        self._tag = ""
        self._media: tuple[int, bytes] = (-1, b"")

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks carried."""
        return self._segmenter.tracks

    def ready(self, count: int = 1) -> bool:
        """Whether a playlist of at least `count` segments can be shown, or all that there will be."""
        window = self.window
        return len(window.segments) >= count or (window.ended and bool(window.segments))

    def media_playlist(self) -> bytes:
        """The media playlist, made once per segment."""
        version, text = self._media
        if version != self.window.version:
            text = hls.media_playlist(self.window)
            self._media = (self.window.version, text)
        return text

    def master_playlist(self, uri: str) -> bytes:
        """The master playlist; `uri` is that of the media playlist."""
        window = self.window
        return hls.master_playlist(self.tracks, uri, peak_bps=window.peak_bps, average_bps=window.average_bps)

    def attach(self, stream: Stream) -> None:
        """Follow `stream`, from its newest key frame on. Raises RefusedError."""
        self.stream.unlisten(self)
        self.stream = stream
        self._session = 0
        self.window.resume()
        stream.listen(self, replay=True)

    def detach(self) -> None:
        """Stop following."""
        self.stream.unlisten(self)
        self.wake()

    def forget(self, key: object) -> None:
        """Somebody who waited has gone."""
        self.waiting.pop(key, None)

    def wake(self) -> None:
        """Answer everybody who waits, with what there is."""
        self._answer(list(self.waiting))

    def _answer(self, keys: Iterable[object]) -> None:
        for key in keys:
            entry = self.waiting.pop(key, None)
            if entry is None:
                continue
            try:
                entry[2]()
            except Exception:
                log.exception("answering a waiting request of %s failed", self.stream.name)

    def overdue(self, now: float) -> None:
        """Answer those who waited long enough."""
        if self.waiting:
            self._answer([key for key, (until, _, _) in self.waiting.items() if now >= until])

    # What the stream calls.

    def on_tracks(self, stream: Stream) -> None:
        probe = TsMuxer()
        chosen = first_of_each_kind([track for track in stream.tracks if probe.accepts(track)])
        self._take(self._segmenter.start(chosen))
        self._enter_session(stream)
        self.failure = "" if chosen else "the stream has no track that HLS can carry"
        if self.failure:
            self.wake()

    def on_frames(self, stream: Stream, frames: Sequence[Frame]) -> None:
        done = self._segmenter.push(frames, self._unix())
        if done:
            self._take(done)

    def on_metadata(self, stream: Stream, metadata: Metadata) -> None:
        if metadata.name != ON_METADATA:
            self._segmenter.write_metadata(metadata)

    def on_discontinuity(self, stream: Stream, reason: str) -> None:
        self._take(self._segmenter.discontinuity())
        self._enter_session(stream)

    def on_leave(self, stream: Stream) -> None:
        # Nobody will go on with the open segment: viewers need not wait out the grace time for it.
        self._take(self._segmenter.finish())

    def on_end(self, stream: Stream) -> None:
        self._take(self._segmenter.finish())
        self.window.end()
        self.wake()

    def _enter_session(self, stream: Stream) -> None:
        if stream.session != self._session:
            self._session = stream.session
            # Unique over restarts and machines, which count sessions anew.
            self._tag = f"{int(self._unix() * 1000):x}"

    def _take(self, segments: Iterable[Segment]) -> None:
        for segment in segments:
            self.window.add(segment, self._tag)
        if self.waiting:
            self._answer([key for key, (_, count, _) in self.waiting.items() if self.ready(count)])


class HlsStreams:
    """The segmenters of all streams that somebody watches as HLS."""

    def __init__(self, hub: Hub, config: HlsConfig, unix: Callable[[], float]) -> None:
        self._hub = hub
        self._config = config
        self._unix = unix
        self._live: dict[str, LiveHls] = {}
        self._last: dict[str, int] = {}
        self._forget = hub.on_event(self._on_event) if config.always else None
        if config.always:
            for stream in hub:
                self.open(stream, hub.clock())

    def __len__(self) -> int:
        return len(self._live)

    def find(self, name: str) -> LiveHls | None:
        """The running, or lately ended, HLS of a stream."""
        return self._live.get(name)

    def open(self, stream: Stream, now: float) -> LiveHls:
        """The HLS of `stream`, started when it does not run. Raises RefusedError, MediaError."""
        live = self._live.get(stream.name)
        if live is not None and live.stream is stream:
            return live
        if live is None:
            config = self._config
            sequence = first_sequence(self._unix(), config.segment, self._last.pop(stream.name, -1))
            window = LiveWindow(sequence, target_s=config.segment, count=config.segments)
            live = LiveHls(stream, window, config.segment, self._unix)
        live.used_at = now
        live.attach(stream)
        self._live[stream.name] = live
        return live

    def wait(self, live: LiveHls, key: object, count: int, now: float, call: Callable[[], object]) -> bool:
        """Call back when there are `count` segments, the stream ends, or the time is up. False when too many wait."""
        if len(live.waiting) >= MAX_WAITERS:
            return False
        live.waiting[key] = (now + WAIT_S, count, call)
        return True

    def tick(self, now: float) -> None:
        """About once a second: let go of what nobody watches, and of those who waited too long."""
        for name, live in list(self._live.items()):
            live.overdue(now)
            gone = live.stream.state is State.ENDED
            if now - live.used_at >= self._config.idle and (gone or not self._config.always):
                self._drop(name, live)

    def close(self) -> None:
        """Stop all."""
        if self._forget is not None:
            self._forget()
        for name, live in list(self._live.items()):
            self._drop(name, live)

    def _drop(self, name: str, live: LiveHls) -> None:
        del self._live[name]
        live.detach()
        self._last[name] = live.window.next_sequence - 1
        while len(self._last) > MAX_REMEMBERED:
            del self._last[next(iter(self._last))]

    def _on_event(self, event: HubEvent) -> None:
        if event.kind == "published":
            try:
                self.open(event.stream, self._hub.clock())
            except EvotoolsError as error:
                log.warning("stream %s is not segmented: %s", event.stream.name, error)
