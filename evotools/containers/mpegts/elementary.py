"""Readers of elementary streams: PES payloads in, frames in canonical form out.

A PES packet usually holds one picture, or some whole audio frames. Readers also take audio frames that straddle PES
packets, pictures in several PES packets, and several pictures in one.
"""

from evotools.codecs.aac import asc_from_adts, parse_adts_header
from evotools.codecs.describe import describe
from evotools.codecs.opus import packet_duration
from evotools.codecs.paramsets import AccessUnits
from evotools.containers.mpegts.packet import TIMESCALE
from evotools.containers.mpegts.pes import MAX_PES
from evotools.errors import ParseError
from evotools.media.frame import Frame
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track


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

    def relabel(self, language: str) -> None:
        """The program map names another language."""
        self._language = language
        if self.track is not None:
            self.track = self.track.with_(language=language)

    def _configure(self, config: bytes, **fields: object) -> Track:
        track = Track(self._id, self.kind, self.codec, TIMESCALE, config, language=self._language).with_(**fields)
        try:
            track = describe(track)
        except ParseError:
            pass  # a decoder may still make something of it
        if track != self.track:
            self.track = track
        return track


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


class AudioReader(Elementary):
    """Audio whose frames say their own length. Subclasses tell where a frame ends and how long it sounds.

    The time stamp of a PES packet belongs to the first frame that begins in it; the others follow by counting
    samples, so that nothing drifts.
    """

    kind = Kind.AUDIO
    sync = b"\xff"

    def __init__(self, track_id: int, language: str) -> None:
        super().__init__(track_id, language)
        self._rest = b""
        self._base: int | None = None
        self._samples = 0
        self._rate = 0
        self._searching = False

    def _measure(self, data: bytes, at: int) -> tuple[int, int, int]:
        """Bytes, samples and sample rate of the frame at `at`; zero bytes when more input is needed to tell.

        Raises ParseError when no frame begins here.
        """
        raise NotImplementedError

    def _accept(self, frame: bytes) -> tuple[Track, bytes]:
        """The track for this frame, and its canonical payload. Raises ParseError."""
        raise NotImplementedError

    def lost(self) -> None:
        self._rest = b""
        self._searching = True

    def read(self, payload: bytes, dts: int | None, pts: int | None) -> list[Frame]:
        carried = len(self._rest)
        data = self._rest + payload if carried else payload
        frames: list[Frame] = []
        at, end, damaged = 0, len(data), False
        while at < end:
            if pts is not None and at >= carried:
                self._base, self._samples, pts = pts, 0, None
            try:
                size, samples, rate = self._measure(data, at)
                if not size or at + size > end:
                    break
                if self._searching and at + size < end:
                    self._measure(data, at + size)  # a sync word alone occurs by chance
                track, frame = self._accept(data[at : at + size])
            except ParseError:
                damaged = damaged or not self._searching
                self._searching = True
                at = data.find(self.sync, at + 1)
                if at < 0:
                    at = end
                continue
            self._searching = False
            self._append(frames, track, frame, samples, rate)
            at += size
        self._rest = data[at:]
        if damaged and not frames:
            raise ParseError(f"{self.codec}: no frame where one should begin")
        return frames

    def _append(self, frames: list[Frame], track: Track, payload: bytes, samples: int, rate: int) -> None:
        if self._base is None:
            return
        now = self._base + rescale(self._samples, rate, TIMESCALE) if rate == self._rate else None
        if now is None:
            now = self._base + (rescale(self._samples, self._rate, TIMESCALE) if self._samples else 0)
            self._base, self._samples, self._rate = now, 0, rate
        self._samples += samples
        after = self._base + rescale(self._samples, rate, TIMESCALE)
        frames.append(Frame(track, now, now, payload, duration=after - now, key=True))


class AdtsReader(AudioReader):
    """AAC in ADTS frames (ISO/IEC 14496-3 1.A.2); the header goes, its contents become the AudioSpecificConfig."""

    codec = "aac"

    def __init__(self, track_id: int, language: str) -> None:
        super().__init__(track_id, language)
        self._fixed = b""
        self._header = 7
        self._timing = (1024, 0)

    def _measure(self, data: bytes, at: int) -> tuple[int, int, int]:
        head = data[at : at + 7]
        if len(head) < 7:
            return 0, 0, 0
        # Everything up to the copyright bits stays equal from frame to frame, and the number of blocks.
        fixed = bytes((head[0], head[1], head[2], head[3] & 0xF0, head[6] & 3))
        if fixed != self._fixed or self.track is None:
            header = parse_adts_header(head)
            if len(data) < at + header.frame_length:
                return 0, 0, 0
            config = asc_from_adts(data[at : at + header.frame_length])
            if self.track is None or self.track.config != config:
                self._configure(config)
            self._fixed, self._header = fixed, header.header_length
            self._timing = (1024 * header.raw_blocks, header.sample_rate)
        size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        if size <= self._header:
            raise ParseError("empty ADTS frame")
        return size, *self._timing

    def _accept(self, frame: bytes) -> tuple[Track, bytes]:
        assert self.track is not None
        return self.track, frame[self._header :]


class OpusReader(Elementary):
    """Opus packets, each behind a control header with its size and trimming."""

    kind = Kind.AUDIO
    codec = "opus"

    def __init__(self, track_id: int, language: str, config: bytes) -> None:
        super().__init__(track_id, language)
        self._configure(config, sample_rate=48_000, channels=config[9] if len(config) > 9 else 0)
        self._next: int | None = None

    def read(self, payload: bytes, dts: int | None, pts: int | None) -> list[Frame]:
        now = pts if pts is not None else self._next
        track = self.track
        if now is None or track is None:
            return []
        frames: list[Frame] = []
        at, end, samples = 0, len(payload), 0
        while at + 3 <= end:
            if payload[at] != 0x7F or payload[at + 1] & 0xE0 != 0xE0:
                raise ParseError("Opus packet without its control header")
            flags = payload[at + 1]
            at += 2
            size = 0
            while at < end and payload[at] == 255:
                size += 255
                at += 1
            size += payload[at] if at < end else 0
            at += 1
            side: dict[str, int] = {}
            for flag, name in ((0x10, "trim_start"), (0x08, "trim_end")):
                if flags & flag:
                    side[name] = int.from_bytes(payload[at : at + 2], "big") & 0x1FFF
                    at += 2
            if flags & 0x04:
                at += 1 + (payload[at] if at < end else 0)
            packet = payload[at : at + size]
            if not size or len(packet) < size:
                raise ParseError("Opus packet cut short")
            at += size
            start = rescale(samples, 48_000, TIMESCALE)
            samples += packet_duration(packet)
            duration = rescale(samples, 48_000, TIMESCALE) - start
            frames.append(
                Frame(track, now + start, now + start, packet, duration=duration, key=True, side=side or None)
            )
        self._next = now + rescale(samples, 48_000, TIMESCALE)
        return frames

    def lost(self) -> None:
        self._next = None


def make_reader(name: str, track_id: int, language: str, config: bytes = b"") -> Elementary:
    """The reader for a name of `streams.identify`."""
    match name:
        case "h264" | "h265":
            return VideoReader(track_id, language, name)
        case "mpeg2video":
            return Mpeg2VideoReader(track_id, language)
        case "adts":
            return AdtsReader(track_id, language)
        case "opus":
            return OpusReader(track_id, language, config)
    return DataReader(track_id, language, name if name in ("id3", "scte35") else "data")
