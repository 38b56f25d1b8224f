"""Readers of video and data streams: PES payloads in, frames in canonical form out; `audio` has those of audio.

A PES packet usually holds one picture. Pictures in several PES packets, and several pictures in one, are read, too.
"""

from evotools.codecs.describe import describe
from evotools.codecs.paramsets import AccessUnits
from evotools.containers.mpegts.packet import TIMESCALE
from evotools.containers.mpegts.pes import MAX_PES
from evotools.errors import ParseError
from evotools.media.frame import Frame
from evotools.media.track import Kind, Track

MAX_UNITS = 1024
"""Access units that begin in one PES packet: packagers put up to a group of pictures there. A flood of delimiters
would make hundreds of bytes of objects from every four."""


class Elementary:
    """The reader of one stream. `track` is None until the bitstream has shown its configuration.

    A changed configuration is a new `track`; every frame holds the one that applies to it.
    """

    kind = Kind.DATA
    codec = "data"

    def __init__(self, track_id: int, language: str) -> None:
        self.track: Track | None = None
        self._id = track_id
        self._language = language

    def read(self, payload: bytes, dts: int | None, pts: int | None) -> list[Frame]:
        """Frames completed by the payload of one PES packet with these unwrapped times.

        Raises ParseError when the payload is broken.
        """
        raise NotImplementedError

    def flush(self) -> list[Frame]:
        """What was held back, at the end of the stream."""
        return []

    def lost(self) -> None:
        """Packets are missing: what was begun stays incomplete."""

    def foresee(self, start: bytes) -> None:
        """The first bytes of the PES packet that follows, where they are here before the end of the one in progress."""

    def relabel(self, language: str) -> None:
        """The program map names another language."""
        self._language = language
        if self.track is not None:
            self.track = self.track.with_(language=language)

    def _configure(self, config: bytes, *, packet: bytes = b"", **fields: object) -> None:
        track = Track(self._id, self.kind, self.codec, TIMESCALE, config, language=self._language).with_(**fields)
        try:
            track = describe(track, packet)
        except ParseError:
            pass  # a decoder may still make something of it
        if track != self.track:
            self.track = track


class DataReader(Elementary):
    """Timed ID3, SCTE-35 sections, and streams without a known codec: one payload is one frame."""

    def __init__(self, track_id: int, language: str, codec: str = "data") -> None:
        super().__init__(track_id, language)
        self.codec = codec
        self._configure(b"")

    def read(self, payload: bytes, dts: int | None, pts: int | None) -> list[Frame]:
        if self.track is None or dts is None or pts is None or not payload:
            return []
        return [Frame(self.track, dts, pts, payload, key=True)]


class VideoReader(Elementary):
    """H.264 and H.265. Pictures before the first parameter sets cannot be decoded and are left out."""

    kind = Kind.VIDEO

    def __init__(self, track_id: int, language: str, codec: str) -> None:
        super().__init__(track_id, language)
        self.codec = codec
        self._units = AccessUnits(codec)
        self._delimiter = b"\0\0\1\x09" if codec == "h264" else b"\0\0\1\x46\x01"
        self._fragments = False
        self._pending = bytearray()
        self._pending_times: tuple[int, int] | None = None
        self._last: int | None = None
        self._step = 0

    def read(self, payload: bytes, dts: int | None, pts: int | None) -> list[Frame]:
        first = payload.find(b"\0\0\1", 0, 8)
        if dts is None and first >= 0 and payload.startswith(self._delimiter, first) and self._last is not None:
            # Broadcasters may stamp only some pictures (2.7.4: at least every 0.7 s).
            dts = pts = self._last + self._guess()
        if self._fragments or dts is None or pts is None or first < 0 or payload[:first].strip(b"\0"):
            self._fragments = True
            return self._gather(payload, dts, pts, first)
        if payload.find(self._delimiter, first + 4) >= 0:
            return self._several(payload, dts, pts)
        return self._unit(payload, dts, pts)

    def flush(self) -> list[Frame]:
        pending, times = bytes(self._pending), self._pending_times
        self.lost()
        return self._unit(pending, *times) if times else []

    def lost(self) -> None:
        self._pending.clear()
        self._pending_times = None

    def foresee(self, start: bytes) -> None:
        if len(start) < 9:
            return
        # Some packagers let an access unit end in the next PES packet (data_alignment_indicator 0).
        head = start[9 + start[8] : 13 + start[8]]
        if len(head) == 4 and not head.startswith((b"\0\0\1", b"\0\0\0")):
            self._fragments = True

    def _guess(self) -> int:
        fps = self.track.fps if self.track else None
        return self._step or (round(TIMESCALE / fps) if fps else 1)

    def _unit(self, annexb: bytes, dts: int, pts: int) -> list[Frame]:
        last, self._last = self._last, dts
        if last is not None and 0 < dts - last < TIMESCALE:
            self._step = dts - last
        unit = self._units.read(annexb)
        if unit.config is not None:
            self._configure(unit.config)
        if self.track is None or not unit.payload:
            return []
        return [Frame(self.track, dts, pts, unit.payload, key=unit.key)]

    def _delimiters(self, payload: bytes) -> list[int]:
        found: list[int] = []
        at = payload.find(self._delimiter)
        while at >= 0:
            if len(found) >= MAX_UNITS:
                raise ParseError(f"more than {MAX_UNITS} access units in one PES packet")
            found.append(at)
            at = payload.find(self._delimiter, at + 4)
        return found

    def _several(self, payload: bytes, dts: int, pts: int) -> list[Frame]:
        """More than one access unit in a PES packet: only the first has a time stamp."""
        frames: list[Frame] = []
        cuts = self._delimiters(payload)
        # Parameter sets in front of a misplaced first delimiter belong to its picture.
        for begin, end in zip([0, *cuts[1:]], [*cuts[1:], len(payload)], strict=True):
            if frames:
                dts = pts = max(dts, pts) + self._guess() if dts == pts else dts + self._guess()
            frames += self._unit(payload[begin:end], dts, pts)
        return frames

    def _gather(self, payload: bytes, dts: int | None, pts: int | None, first: int) -> list[Frame]:
        """Access units that are not aligned with PES packets: one ends where the next is seen to begin."""
        cuts = self._delimiters(payload)
        aligned = first >= 0 and not payload[:first].strip(b"\0")
        pending = self._pending_times
        if dts is not None and aligned and not (cuts and cuts[0] == first) and (pending is None or pending[0] != dts):
            cuts.insert(0, 0)
        frames: list[Frame] = []
        at = 0
        for cut in cuts:
            self._pending += payload[at:cut]
            frames += self.flush()
            if dts is None or pts is None:
                dts = pts = (self._last or 0) + self._guess()
            self._pending_times, dts, pts = (dts, pts), None, None
            at = cut
        if self._pending_times is not None:
            self._pending += payload[at:]
        if len(self._pending) > MAX_PES:
            self.lost()
            raise ParseError(f"an access unit exceeds {MAX_PES} bytes")
        return frames


class Mpeg2VideoReader(Elementary):
    """MPEG-1 and MPEG-2 video, passed on as it is. ISO/IEC 13818-2 6.2."""

    kind = Kind.VIDEO
    codec = "mpeg2video"

    def read(self, payload: bytes, dts: int | None, pts: int | None) -> list[Frame]:
        at = payload.find(b"\0\0\1\xb3")
        if at >= 0 and len(payload) >= at + 8:
            size = int.from_bytes(payload[at + 4 : at + 7], "big")
            if self.track is None or (self.track.width, self.track.height) != (size >> 12, size & 0xFFF):
                self._configure(b"", width=size >> 12, height=size & 0xFFF)
        if self.track is None or dts is None or pts is None:
            return []
        return [Frame(self.track, dts, pts, payload, key=at >= 0)]
