"""One rendition's frames to the bytes of its segments: MPEG-TS or CMAF."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

from evotools.containers.mp4.entries import accepts
from evotools.containers.mp4.mux import CmafTrack
from evotools.containers.mp4.timing import written_timescale
from evotools.containers.mpegts.mux import TsMuxer
from evotools.containers.mpegts.streams import can_name
from evotools.media.frame import Frame
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track

TS_SCALE = 90_000
TS_ORIGIN_S = 10
"""Where an on-demand transport stream begins, so that decode times and clock references before the first picture stay
above 0; Apple's segmenter begins there too."""
TS_CODECS = frozenset({"h264", "h265", "mpeg2video", "aac", "mp3", "mp2", "ac3", "eac3"})
"""What HLS players take in transport streams (RFC 8216 3.2 and Apple's authoring rules)."""
FMP4_CODECS = frozenset({"h264", "h265", "av1", "vp9", "aac", "ac3", "eac3", "mp3", "opus", "flac"})
"""What browsers and television sets take in fragments."""
SILENT_S = 0.5
"""A track that pauses for longer has a gap; shorter ones are bridged by the length of the last sample."""


class Made:
    """One finished segment."""

    __slots__ = ("duration", "parts", "sap", "tail", "time")

    def __init__(self, parts: list[bytes], time: int, duration: int, *, tail: int = 0, sap: int = 1) -> None:
        self.parts = parts
        self.time = time
        """Of its first sample, in the rendition's timescale."""
        self.duration = duration
        """Ticks of media: until the next segment begins, where the track goes on."""
        self.tail = tail
        """Ticks of silence behind it."""
        self.sap = sap


class Writer(Protocol):
    """Writes one rendition."""

    tracks: tuple[Track, ...]
    """As written."""

    def begin(self, tracks: Sequence[Track], shift_s: Fraction, packet: bytes) -> bytes:
        """A new epoch; its initialisation segment, empty where the container has none.

        `shift_s`: time as written minus time of the frames. `packet`: the first payload, which describes some codecs.
        Raises MediaError for what cannot be carried after all.
        """
        ...

    def restart(self) -> None:
        """The same tracks go on behind a break."""
        ...

    def make(
        self, number: int, frames: Sequence[Frame], start_s: float, end_s: float, following: Frame | None, *, last: bool
    ) -> Made:
        """The segment between two boundaries in time as written.

        `following` begins the next one, where it is known. `last`: the stream ends or breaks behind this one.
        """
        ...


class TsWriter:
    """A picture with its sound, or sound alone, as MPEG-TS."""

    def __init__(self) -> None:
        self.tracks: tuple[Track, ...] = ()
        self._muxer = TsMuxer()

    def begin(self, tracks: Sequence[Track], shift_s: Fraction, packet: bytes) -> bytes:
        """Transport streams begin with their tables in each segment."""
        if not self.tracks:
            self._muxer = TsMuxer(offset=round(shift_s * TS_SCALE))
        self.tracks = tuple(tracks)
        self._muxer.start(tracks)
        return b""

    def restart(self) -> None:
        """Announce that counters and clock may not follow."""
        self._muxer.restart()

    def make(
        self, number: int, frames: Sequence[Frame], start_s: float, end_s: float, following: Frame | None, *, last: bool
    ) -> Made:
        """Tables, then the frames, each once."""
        muxer = self._muxer
        parts = [muxer.tables(), muxer.write_batch(frames), muxer.finish()]
        time = round(start_s * TS_SCALE)
        first = next((f for f in frames if f.track.kind is Kind.VIDEO), None)
        sap = 1 if first is None else access_point(frames, first)
        return Made(parts, time, max(round(end_s * TS_SCALE) - time, 1), sap=sap)


class CmafWriter:
    """One track as CMAF."""

    def __init__(self, timescale: int) -> None:
        """`timescale` of the rendition: that of its first epoch."""
        self.tracks: tuple[Track, ...] = ()
        self._scale = timescale
        self._shift_s = Fraction(0)
        self._packet = b""
        self._source: Track | None = None
        self._track: CmafTrack | None = None

    def begin(self, tracks: Sequence[Track], shift_s: Fraction, packet: bytes) -> bytes:
        """The CMAF header."""
        (self._source,) = tracks
        self._shift_s, self._packet = shift_s, packet
        self._track = CmafTrack(self._source, packet=packet)
        self.tracks = (self._track.track,)
        return self._track.init()

    def restart(self) -> None:
        """Times may go on anywhere: the next frame is the first one of its kind."""
        self._track = None

    def make(
        self, number: int, frames: Sequence[Frame], start_s: float, end_s: float, following: Frame | None, *, last: bool
    ) -> Made:
        """One fragment."""
        assert self._source is not None
        if self._track is None:
            self._track = CmafTrack(self._source, packet=self._packet)
        track, final = self._track, frames[-1]
        scale = final.track.timescale
        next_dts = None
        if following is not None and following.dts - final.dts - final.duration < SILENT_S * scale:
            next_dts = following.dts
        made = track.segment(number, frames, next_dts, shift=self._shift_s)
        time, end = made.presentation_time, made.presentation_time + made.duration
        # A track that falls silent leaves its place empty up to where the next segment may begin.
        until = max(end, round(end_s * track.timescale)) if next_dts is None and not last else end
        if track.timescale != self._scale:
            time, end, until = (rescale(value, track.timescale, self._scale) for value in (time, end, until))
        sap = access_point(frames, frames[0]) if self._source.kind is Kind.VIDEO else 1
        return Made(made.parts, time, max(end - time, 1), tail=until - end, sap=sap)


def refusal(track: Track, container: str) -> str:
    """Why a track cannot be packaged; empty when it can."""
    if track.kind is Kind.DATA:
        return "timed data is not packaged"
    if container == "ts":
        if track.codec in TS_CODECS and can_name(track):
            return ""
        return "HLS has no place for it in MPEG-TS" + (", --format fmp4 has" if track.codec in FMP4_CODECS else "")
    if track.codec in FMP4_CODECS and accepts(track):
        return ""
    return "no player takes it in fMP4" + (", --format ts has it" if track.codec in TS_CODECS else "")


def written_scale(track: Track, container: str) -> int:
    """Ticks per second of a rendition that begins with `track`."""
    return TS_SCALE if container == "ts" else written_timescale(track)


def writer_for(container: str, timescale: int) -> Writer:
    """A writer for a rendition with this timescale."""
    return TsWriter() if container == "ts" else CmafWriter(timescale)


def access_point(frames: Sequence[Frame], first: Frame) -> int:
    """SAP type (ISO/IEC 14496-12 Annex I) of a segment whose first picture in decode order is `first`.

    Pictures shown before a key frame can be decoded without the segment before when it is an IDR picture (type 2);
    behind any other key frame they may refer to what went before (type 3).
    """
    track = first.track
    number, pts = track.id, first.pts
    # Leading pictures follow their key frame directly in decode order (ITU-T H.265 3.75); 32 is twice the deepest
    # reordering.
    leading = any(f.pts < pts for f in frames[:96] if f.track.id == number)
    if not leading:
        return 1
    return 2 if _is_idr(first) else 3


def _is_idr(frame: Frame) -> bool:
    """Whether an H.264 or H.265 access unit holds an IDR slice."""
    codec, payload = frame.track.codec, frame.payload
    if codec not in ("h264", "h265"):
        return False
    at, end = 0, len(payload)
    while at + 5 <= end:
        size = int.from_bytes(payload[at : at + 4])
        if codec == "h264":
            kind = payload[at + 4] & 0x1F
            if 1 <= kind <= 5:
                return kind == 5
        else:
            kind = payload[at + 4] >> 1 & 0x3F
            # ITU-T H.265 table 7-1: 19 and 20 are IDR, up to 31 other slices.
            if kind < 32:
                return kind in (19, 20)
        at += 4 + size
    return False
