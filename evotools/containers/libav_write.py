"""Frames to files and pipes of any container that libav can write. Never to the network."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from evotools.codecs.nal import join_lengths
from evotools.containers.base import Muxer
from evotools.containers.libav_tables import LIBAV_MUXER, SINGLE_TRACK, carries
from evotools.containers.matroska import element, header, number, private_data
from evotools.errors import EvotoolsError, MediaError
from evotools.media.dts import MonotonicDts
from evotools.media.frame import Frame
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track

if TYPE_CHECKING:
    from av.stream import Stream

FRAGMENT_US = 5_000_000
"""Longest fragment of a QuickTime file being written: what a kill may cost when there is no key frame to cut at."""
CLUSTER_MS = 500
"""Longest Matroska cluster where nothing can be patched later. libav holds a cluster back until it is complete."""


class ByteWriter(Protocol):
    """Where bytes go: a binary file object. `write` takes all or says how much it took."""

    def write(self, data: bytes, /) -> int | None: ...


class _Whole:
    """Makes partial writes whole, as libav expects."""

    closed = False
    """PyAV leaves the trailer out when its file says so."""

    def __init__(self, file: ByteWriter) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        total = len(data)
        view = data
        while view:
            taken = self._file.write(view)
            if taken is None or taken >= len(view):
                break
            view = view[taken:]
        return total


class _WholeSeekable(_Whole):
    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)  # type: ignore[attr-defined, no-any-return]

    def tell(self) -> int:
        return self._file.tell()  # type: ignore[attr-defined, no-any-return]


def template_header(tracks: Sequence[Track]) -> bytes:
    """A Matroska stream without media. Raises MediaError.

    PyAV makes an output stream with a given codec and extradata only as a copy of an opened input's stream; this is
    the smallest input that says everything. libav takes the header as complete when it meets a cluster.
    """
    return header(tracks) + element(0x1F43B675, number(0xE7, 0))


def _options(container: str, *, seekable: bool, has_video: bool) -> dict[str, str]:
    # Timestamps of a file begin at zero, all tracks shifted alike.
    options = {"avoid_negative_ts": "make_zero"}
    if container == "mov":
        # Fragments while writing, so that a kill leaves what was written; a plain index at the end. The header
        # waits for the first fragment: it needs the edit lists, and for AC-3 the first frame.
        flags = "+delay_moov+default_base_moof"
        if has_video:
            flags += "+frag_keyframe"
        if seekable:
            flags += "+hybrid_fragmented"
        options |= {"movflags": flags, "frag_duration": str(FRAGMENT_US)}
    elif container in ("matroska", "mka", "webm") and not seekable:
        options |= {"live": "1", "cluster_time_limit": str(CLUSTER_MS)}
    return options


class LibavWriter:
    """Writes frames of `tracks` into one container. Blocks on the file; run it in a thread.

    The header is written at once. Timestamps begin at zero, all tracks shifted alike. Call `finish` for the trailer,
    or `abandon` to leave it out: MOV and Matroska files play up to the last fragment all the same.
    """

    def __init__(self, file: ByteWriter, container: str, tracks: Sequence[Track]) -> None:
        """`container` is our name. Raises MediaError when it cannot hold the tracks, OSError from the file."""
        import av
        import av.error

        if not tracks:
            raise MediaError(f"{container}: no tracks to write")
        for track in tracks:
            if not carries(container, track.codec):
                raise MediaError(f"{container} cannot carry {track.describe()}", hint="use mkv, or leave it out")
        if container in SINGLE_TRACK and len(tracks) > 1:
            raise MediaError(f"{container} holds one track, not {len(tracks)}", hint="choose one with --track")
        check = getattr(file, "seekable", None)
        seekable = bool(check is not None and check())
        has_video = any(t.kind is Kind.VIDEO for t in tracks)
        self.container = container
        self._file = _WholeSeekable(file) if seekable else _Whole(file)
        self._tracks = list(tracks)
        self._in_band: dict[int, bytes] = {}
        self._monotonic = MonotonicDts()
        self._error: type[Exception] = av.error.FFmpegError
        self._packet = av.Packet
        template = av.open(io.BytesIO(template_header(self._tracks)), "r", format="matroska")
        try:
            self._output = av.open(
                self._file, "w", format=LIBAV_MUXER.get(container, container),
                options=_options(container, seekable=seekable, has_video=has_video),
            )  # fmt: skip
            self._streams: dict[int, Stream] = {}
            for track, source in zip(self._tracks, template.streams, strict=True):
                stream = self._output.add_stream_from_template(source, opaque=True)
                self._adjust(stream, track)
                self._streams[track.id] = stream
            self._output.start_encoding()
        except EvotoolsError:
            raise
        except (self._error, ValueError) as error:
            text = getattr(error, "strerror", None) or str(error)
            raise MediaError(f"{container}: cannot be written with these tracks ({text})") from None
        finally:
            template.close()
        self._bases = {i: (s.time_base or Fraction(1, 1000)) for i, s in self._streams.items()}

    def _adjust(self, stream: "Stream", track: Track) -> None:
        """What the template could not say."""
        context: Any = stream.codec_context
        stream.time_base = Fraction(1, track.timescale)
        private = private_data(track)
        if track.codec == "flac":
            private = track.config[:34]
        if private and track.codec in ("h264", "h265", "av1", "aac", "opus", "flac"):
            context.extradata = private
        if track.codec == "vp9":
            # The vpcC box is made from the pixel format; without one the header is refused.
            depth = track.config[6] >> 4 if len(track.config) > 6 else 8
            chroma = {2: "422", 3: "444"}.get(track.config[6] >> 1 & 7 if len(track.config) > 6 else 1, "420")
            context.pix_fmt = f"yuv{chroma}p" + ("" if depth == 8 else f"{depth}le")
        if track.language:
            stream.metadata["language"] = track.language
        if track.label:
            stream.metadata["title"] = track.label

    def change(self, tracks: Sequence[Track]) -> bool:
        """A new epoch in the same file: new H.264/H.265 parameter sets go in band. False when that is impossible."""
        old = {t.id: t for t in self._tracks}
        if [(t.id, t.codec) for t in tracks] != [(t.id, t.codec) for t in self._tracks]:
            return False
        changed = [t for t in tracks if t.config != old[t.id].config]
        if any(t.codec not in ("h264", "h265") for t in changed):
            return False
        for track in changed:
            self._in_band[track.id] = join_lengths(parameter_sets(track))
        self._tracks = list(tracks)
        return True

    def write(self, frame: Frame) -> None:
        """Write one frame. Raises MediaError, and OSError from the file."""
        track = frame.track
        stream = self._streams.get(track.id)
        if stream is None:
            return
        payload = frame.payload
        if self._in_band and frame.key and track.id in self._in_band:
            payload = self._in_band[track.id] + payload
        packet = self._packet(payload)
        base = self._bases[track.id]
        scale, rate = track.timescale * base.numerator, base.denominator
        dts = self._monotonic(track.id, rescale(frame.dts, scale, rate))
        packet.stream = stream
        packet.time_base = base
        packet.dts = dts
        packet.pts = max(rescale(frame.pts, scale, rate), dts)
        if frame.duration:
            packet.duration = rescale(frame.duration, scale, rate)
        packet.is_keyframe = frame.key
        try:
            self._output.mux_one(packet)
        except self._error as error:
            if isinstance(error, OSError) and error.errno and 0 < error.errno < 200:
                raise OSError(error.errno, error.strerror) from None
            raise MediaError(f"{self.container}: {error.args[1] if len(error.args) > 1 else error}") from None

    def finish(self) -> None:
        """Write the trailer. The file stays open."""
        try:
            self._output.close()
        except self._error as error:
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror) from None
            raise MediaError(f"{self.container}: the trailer could not be written") from None

    def abandon(self) -> None:
        """End without a trailer and without touching the file again."""
        self._file.closed = True
        self._output.close()


def parameter_sets(track: Track) -> list[bytes]:
    """Parameter sets of an H.264 or H.265 configuration, in the order of sending."""
    from evotools.codecs import h264, h265

    if track.codec == "h264":
        avc = h264.parse_avcc(track.config)
        return [*avc.sps, *avc.pps]
    hevc = h265.parse_hvcc(track.config)
    return [*hevc.vps, *hevc.sps, *hevc.pps]


class MuxerWriter:
    """The same calls as `LibavWriter` over one of our muxers: Matroska with codecs that PyAV refuses there."""

    def __init__(self, file: ByteWriter, muxer: Muxer, tracks: Sequence[Track]) -> None:
        """Writes the header. Raises MediaError, OSError."""
        self._file = _Whole(file)
        self._muxer = muxer
        self._put(muxer.start(tracks))

    def _put(self, data: bytes) -> None:
        if data:
            self._file.write(data)

    def change(self, tracks: Sequence[Track]) -> bool:
        """A new epoch, chained to the old one."""
        self._put(self._muxer.start(tracks))
        return True

    def write(self, frame: Frame) -> None:
        """Write one frame."""
        self._put(self._muxer.write(frame))

    def finish(self) -> None:
        """Write the rest."""
        self._put(self._muxer.finish())

    def abandon(self) -> None:
        """Nothing is held back."""
