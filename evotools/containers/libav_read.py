"""Files and streams of every other kind through PyAV, as our events. Every call blocks: run it in a thread.

Never opens a network output: libav does that with the interpreter locked, and a silent peer would stop the process.
"""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol, cast

from evotools.codecs.describe import describe
from evotools.containers.libav_tables import LIBAV_FORMAT, OUR_CODEC
from evotools.containers.payload import Payload, payload_for
from evotools.errors import (
    EvotoolsError,
    MediaError,
    NoMediaError,
    ParseError,
    PeerGone,
    RefusedError,
    UnreachableError,
)
from evotools.log import Throttle, get_logger
from evotools.media.dts import MAX_REORDER
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind, Track

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

log = get_logger("libav")

MAX_HELD_FRAMES = 600
"""Frames kept back until every track knows its configuration: some seconds of media; a track that is silent for
longer is announced without one."""
MAX_HELD_BYTES = 16 * 2**20
"""The same in bytes: 6 s at 20 Mbit/s."""
NO_PROTOCOLS = "none"
"""A protocol whitelist that names nothing: bytes that are handed over never make libav open anything."""


class ByteReader(Protocol):
    """Where bytes come from when it is not a file or URL. `read` blocks, gives what is there, empty at the end."""

    def read(self, size: int, /) -> bytes: ...


class _Clamped:
    """Keeps a reader's answers within the size asked for: PyAV copies them unchecked into a C buffer."""

    def __init__(self, reader: ByteReader) -> None:
        self._reader = reader
        self._rest = b""

    def read(self, size: int) -> bytes:
        data = self._rest or bytes(self._reader.read(size))
        self._rest = data[size:]
        return data[:size]


class _ClampedSeekable(_Clamped):
    def seek(self, offset: int, whence: int = 0) -> int:
        self._rest = b""
        return cast(Any, self._reader).seek(offset, whence)  # type: ignore[no-any-return]

    def tell(self) -> int:
        return cast(Any, self._reader).tell() - len(self._rest)  # type: ignore[no-any-return]


def explain(error: Exception, name: str) -> EvotoolsError:
    """The project's error for a PyAV error while opening `name` (safe to print)."""
    import av.error

    text = getattr(error, "strerror", None) or type(error).__name__
    if isinstance(error, EvotoolsError):
        return error
    if isinstance(error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)):
        return RefusedError(f"{name}: {text}", hint="check the credentials in the URI")
    if isinstance(error, (av.error.HTTPClientError, av.error.HTTPServerError, av.error.ProtocolNotFoundError)):
        return UnreachableError(f"{name}: {text}")
    if isinstance(error, (av.error.ExitError, TimeoutError)):
        return UnreachableError(f"{name}: no answer in time")
    if isinstance(error, EOFError):
        return NoMediaError(f"{name}: ended before any media")
    if isinstance(error, (av.error.InvalidDataError, av.error.PatchWelcomeError, av.error.LookupError, ValueError)):
        return MediaError(f"{name}: not media that can be read ({text})", hint="name the container with -f")
    if isinstance(error, OSError):
        return UnreachableError(f"{name}: {text}")
    return MediaError(f"{name}: {text}")


class _Reader:
    """State of one stream."""

    __slots__ = ("duration", "early", "index", "last_dts", "payload", "scale", "track")

    def __init__(self, index: int, track: Track, scale: int, payload: Payload, duration: int) -> None:
        self.index = index
        self.track = track
        self.scale = scale
        self.payload = payload
        self.duration = duration
        """Nominal ticks per frame."""
        self.last_dts: int | None = None
        self.early: list[Frame] | None = []
        """Frames at the start whose decode time is not known yet; None once one was."""


class LibavReader:
    """Reads media through libav: iterate for events, `Tracks` first.

    `source` is a URL or path as libav takes it, or an object with a blocking `read(n)`. Payloads are canonical,
    timestamps those of the container (edit lists and negative decode times included) in the stream's time base.
    Subtitles, data and attached pictures are left out with a log line.
    """

    def __init__(
        self,
        source: "str | ByteReader",
        *,
        format: str | None = None,  # noqa: A002
        options: Mapping[str, str] | None = None,
        name: str = "",
        timeouts_s: tuple[float, float] | None = None,
        io_open: Callable[..., Any] | None = None,
    ) -> None:
        """Open; blocks until the streams are known. `format` is our name or libav's.

        `options` go to libav; the caller sets `protocol_whitelist` for URLs. `name` is used in messages.
        `timeouts_s` limits opening and each read of a URL. Raises UnreachableError, RefusedError, MediaError,
        NoMediaError.
        """
        import av

        self.name = name or "input"
        settings = dict(options or {})
        file: Any = source
        if not isinstance(source, str):
            settings["protocol_whitelist"] = NO_PROTOCOLS
            seekable = getattr(source, "seekable", None)
            file = _ClampedSeekable(source) if seekable is not None and seekable() else _Clamped(source)
        try:
            self._container: InputContainer = av.open(
                file, "r", format=LIBAV_FORMAT.get(format or "", format) or None, options=settings,
                metadata_errors="replace", timeout=timeouts_s, io_open=io_open,
            )  # fmt: skip
        except Exception as error:
            raise explain(error, self.name) from None
        self.format = self._container.format.name
        self._broken = Throttle(log, f"{self.name}: {{n}} broken frames were left out")
        self._changed = False
        self._network = isinstance(source, str) and not source.startswith("file:")
        try:
            self._readers = self._take_streams()
        except BaseException:
            self._container.close()
            raise

    @property
    def duration_s(self) -> float | None:
        """How long the input is, as far as its container tells."""
        duration = self._container.duration
        # AV_TIME_BASE: microseconds.
        return duration / 1e6 if duration and duration > 0 else None

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Tracks as known so far."""
        return tuple(r.track for r in self._readers.values())

    def seek(self, time_s: float) -> None:
        """Go to a key frame at `time_s` of the input's own times or before it, as far as libav finds one. Only before
        the first event was taken."""
        import av.error

        try:
            # AV_TIME_BASE: microseconds.
            self._container.seek(round(time_s * 1e6), backward=True)
        except av.error.FFmpegError as error:
            log.info("%s: cannot be entered at %.3f s: %s", self.name, time_s, error.strerror)

    def close(self) -> None:
        """Release the input."""
        self._container.close()

    def _take_streams(self) -> dict[int, _Reader]:
        from av.stream import Discard, Disposition

        readers: dict[int, _Reader] = {}
        for stream in self._container.streams:
            reason = ""
            if stream.type not in ("video", "audio"):
                reason = f"{stream.type} streams are not carried"
            elif stream.disposition & Disposition.attached_pic:
                reason = "an attached picture"
            elif stream.codec_context is None:
                reason = "an unknown codec"
            if reason:
                log.info("%s: leaves out stream %d: %s", self.name, stream.index, reason)
                if stream.type != "unknown":
                    stream.discard = Discard.all
                continue
            readers[stream.index] = self._new_reader(stream)
        if not readers:
            raise MediaError(f"{self.name}: no video or audio in it")
        return readers

    def _new_reader(self, stream: "Stream") -> _Reader:
        context: Any = stream.codec_context
        base = stream.time_base or Fraction(1, 90000)
        name = context.codec.canonical_name
        codec = OUR_CODEC.get(name, name)
        extradata = context.extradata or b""
        rate: Fraction | None = None
        if stream.type == "video":
            rate = stream.guessed_rate or stream.average_rate
        language = (stream.metadata.get("language") or "").lower()
        track = Track(
            stream.index + 1,
            Kind.VIDEO if stream.type == "video" else Kind.AUDIO,
            codec,
            base.denominator,
            width=getattr(context, "width", 0) or 0,
            height=getattr(context, "height", 0) or 0,
            fps=rate if rate and 0 < rate <= 1000 else None,
            profile=context.profile or "",
            sample_rate=getattr(context, "sample_rate", 0) or 0,
            channels=(context.channels or 0) if stream.type == "audio" else 0,
            language="" if language == "und" else language[:3],
            label=stream.metadata.get("title", ""),
            bitrate_bps=context.bit_rate or 0,
        )
        try:
            payload = payload_for(track, extradata)
        except ParseError as error:
            raise MediaError(f"{self.name}: stream {stream.index}: {error}") from None
        duration = round(base.denominator / rate) if rate else 0
        reader = _Reader(stream.index, track, base.numerator, payload, duration)
        if payload.config is not None:
            reader.track = self._described(track, payload.config)
        return reader

    def _described(self, track: Track, config: bytes) -> Track:
        track = track.with_(config=config)
        try:
            told = describe(track)
        except ParseError as error:
            log.warning("%s: track %d: %s", self.name, track.id, error)
            return track
        return told if told.fps or not track.fps else told.with_(fps=track.fps)

    def __iter__(self) -> Iterator[Event]:
        """Events in order. Raises MediaError, PeerGone."""
        held: list[Frame] = []
        held_bytes = 0
        announced = False
        for frame in self._frames():
            if announced:
                if self._changed:
                    self._changed = False
                    yield Tracks(self.tracks)
                yield frame
                continue
            held.append(frame)
            held_bytes += len(frame.payload)
            ready = all(r.payload.config is not None for r in self._readers.values())
            if ready or len(held) >= MAX_HELD_FRAMES or held_bytes >= MAX_HELD_BYTES:
                announced, self._changed = True, False
                yield Tracks(self.tracks)
                yield from self._on_current_tracks(held)
                held = []
        if not announced:
            if not held:
                raise NoMediaError(f"{self.name}: no frames in it")
            yield Tracks(self.tracks)
            yield from self._on_current_tracks(held)

    def _on_current_tracks(self, frames: list[Frame]) -> Iterator[Frame]:
        current = {t.id: t for t in self.tracks}
        for frame in frames:
            track = current[frame.track.id]
            yield frame if frame.track is track else frame.shifted(track, frame.dts, frame.pts)

    def _packets(self) -> Iterator["Packet[Any]"]:
        import av.error

        streams = [self._container.streams[i] for i in self._readers]
        try:
            yield from self._container.demux(streams)
        except IndexError:
            # PyAV 18 sizes its stream table once: at the end it trips over streams that appeared later.
            log.warning("%s: streams that appeared after the start were left out", self.name)
        except av.error.ExitError:
            raise PeerGone(f"{self.name}: nothing came in time") from None
        except av.error.FFmpegError as error:
            text = error.strerror or type(error).__name__
            if self._network:
                raise PeerGone(f"{self.name}: {text}") from None
            raise MediaError(f"{self.name}: {text}") from None

    def _frames(self) -> Iterator[Frame]:
        readers = self._readers
        for packet in self._packets():
            # PyAV ends with an empty packet per stream, for decoders.
            if not packet.size:
                continue
            reader = readers[packet.stream_index]
            frame = self._convert(reader, packet)
            if frame is None:
                continue
            if reader.early is None:
                yield frame
            elif packet.dts is not None or frame.track.kind is Kind.AUDIO or packet.pts is None:
                yield from self._settle(reader, frame.dts)
                reader.last_dts = frame.dts
                yield frame
            else:
                reader.early.append(frame)
                if len(reader.early) > MAX_REORDER:
                    yield from self._settle(reader, None)
        for reader in readers.values():
            yield from self._settle(reader, None)

    def _convert(self, reader: _Reader, packet: "Packet[Any]") -> Frame | None:
        """The frame in a packet; None when it is empty or broken."""
        payload = reader.payload
        before = payload.config
        try:
            if packet.has_sidedata("new_extradata"):
                extradata = bytes(packet.get_sidedata("new_extradata"))
                if extradata:
                    payload = reader.payload = payload_for(reader.track, extradata)
            data, key = payload.read(bytes(packet), packet.is_keyframe)
        except ParseError:
            self._broken.hit()
            return None
        if not data:
            return None
        track = reader.track
        if payload.config is not before and payload.config != before:
            track = reader.track = self._described(track, payload.config or b"")
            self._changed = True
        scale = reader.scale
        pts, dts = packet.pts, packet.dts
        duration = (packet.duration or 0) * scale
        is_audio = track.kind is Kind.AUDIO
        if pts is None:
            if dts is None:
                # Raw pictures: all that is known is their order.
                dts = 0 if reader.last_dts is None else (reader.last_dts + (duration or reader.duration)) // scale
            pts = dts
        pts *= scale
        if dts is not None:
            dts *= scale
        elif is_audio:
            dts = pts
        else:
            dts = min(pts, (reader.last_dts or 0) + (duration or reader.duration or 1))
        reader.last_dts = dts
        return Frame(track, dts, pts, data, duration=duration, key=key or is_audio)

    def _settle(self, reader: _Reader, known: int | None) -> Iterator[Frame]:
        """Give decode times to the frames that came before the first one that has one.

        Matroska stores none; libav finds them as soon as the reorder depth is filled. Counting back from there by
        the nominal duration is what its own muxers assume.
        """
        early, reader.early = reader.early, None
        if not early:
            return
        step = early[0].duration or reader.duration or 1
        if known is None:
            known = min(f.pts for f in early) + step
        for back, frame in zip(range(len(early), 0, -1), early, strict=True):
            frame.dts = min(known - back * step, frame.pts)
            reader.last_dts = frame.dts
            yield frame
