"""Readers of audio streams: PES payloads in, frames in canonical form out.

A PES packet holds some whole frames as a rule; frames that straddle PES packets are read, too.
"""

from functools import lru_cache

from evotools.codecs import ac3, mp3
from evotools.codecs.aac import asc_from_adts, parse_adts_header, samples_per_frame
from evotools.codecs.opus import packet_duration
from evotools.containers.mpegts.elementary import DataReader, Elementary, Mpeg2VideoReader, VideoReader
from evotools.containers.mpegts.latm import LatmParser
from evotools.containers.mpegts.packet import TIMESCALE
from evotools.errors import ParseError
from evotools.media.frame import Frame
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track

# Headers of one stream differ in a few bits only, and each is asked for more than once.
_mpa_header = lru_cache(256)(mp3.parse_header)


@lru_cache(256)
def _eac3_header(head: bytes) -> ac3.Ac3Header:
    return ac3.parse_header(head)


def _ac3_header(data: bytes, at: int) -> ac3.Ac3Header:
    head = data[at : at + ac3.HEADER_BYTES]
    # Bytes 2 and 3 of AC-3 are a checksum; E-AC-3 (bsid above 10) has its frame size there.
    return _eac3_header(head if len(head) > 5 and head[5] >> 3 > 10 else head[:2] + b"\0\0" + head[4:])


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


class LatmReader(AudioReader):
    """AAC in LOAS/LATM (ISO/IEC 14496-3 1.7), as DVB broadcasts carry it."""

    codec = "aac"
    sync = b"\x56"

    def __init__(self, track_id: int, language: str) -> None:
        super().__init__(track_id, language)
        self._latm = LatmParser()
        self._timing = (0, 0)

    def _measure(self, data: bytes, at: int) -> tuple[int, int, int]:
        if len(data) - at < 3:
            return 0, 0, 0
        head = int.from_bytes(data[at : at + 3], "big")
        if head >> 13 != 0x2B7:
            raise ParseError("no LOAS syncword")
        size = 3 + (head & 0x1FFF)
        if len(data) - at >= size:
            self._latm.read(data[at + 3 : at + size])
            config = self._latm.config
            if self.track is None or self.track.config != config:
                self._timing = samples_per_frame(config)
                self._configure(config)
        return size, *self._timing

    def _accept(self, frame: bytes) -> tuple[Track, bytes]:
        assert self.track is not None
        return self.track, self._latm.payload


class MpegAudioReader(AudioReader):
    """MP3, MP2 and layer I: the stream type covers all, the first header tells which it is."""

    codec = "mp3"

    def __init__(self, track_id: int, language: str) -> None:
        super().__init__(track_id, language)
        self._shape = (0, 0, 0)

    def _measure(self, data: bytes, at: int) -> tuple[int, int, int]:
        head = data[at : at + 4]
        if len(head) < 4:
            return 0, 0, 0
        header = _mpa_header(head)
        return header.frame_length, header.samples, header.sample_rate

    def _accept(self, frame: bytes) -> tuple[Track, bytes]:
        header = _mpa_header(frame[:4])
        shape = (header.layer, header.sample_rate, header.channels)
        if self.track is None or shape != self._shape:
            self._shape = shape
            self.codec = f"mp{header.layer}"
            self._configure(b"", packet=frame)
        assert self.track is not None
        return self.track, frame


class Ac3Reader(AudioReader):
    """AC-3 and E-AC-3. An independent E-AC-3 frame keeps the frames of the same time: more programs, more channels."""

    codec = "ac3"
    sync = ac3.SYNC

    def __init__(self, track_id: int, language: str, codec: str) -> None:
        super().__init__(track_id, language)
        self.codec = codec
        self._shape = ("", 0, 0)

    def _measure(self, data: bytes, at: int) -> tuple[int, int, int]:
        end = len(data)
        if end - at < ac3.HEADER_BYTES:
            return 0, 0, 0
        header = _ac3_header(data, at)
        size = header.frame_length
        if header.codec == "eac3":
            if header.stream_type == ac3.DEPENDENT or header.substream_id:
                raise ParseError("an E-AC-3 access unit begins with a dependent frame")
            for _ in range(2 * ac3.MAX_SUBSTREAMS):
                if at + size >= end:
                    break  # PES packets end with whole units
                if end - at - size < ac3.HEADER_BYTES:
                    return 0, 0, 0
                following = _ac3_header(data, at + size)
                if following.stream_type != ac3.DEPENDENT and not following.substream_id:
                    break
                size += following.frame_length
        return size, header.samples, header.sample_rate

    def _accept(self, frame: bytes) -> tuple[Track, bytes]:
        header = _ac3_header(frame, 0)
        shape = (header.codec, header.sample_rate, len(frame) > header.frame_length or header.channels)
        if self.track is None or shape != self._shape:
            self._shape = shape
            self.codec = header.codec
            self._configure(b"", packet=frame)
        assert self.track is not None
        return self.track, frame


class OpusReader(Elementary):
    """Opus packets, each behind a control header with its size and trimming."""

    kind = Kind.AUDIO
    codec = "opus"

    def __init__(self, track_id: int, language: str, config: bytes) -> None:
        super().__init__(track_id, language)
        self._configure(config, sample_rate=48_000)
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
        case "latm":
            return LatmReader(track_id, language)
        case "mpa":
            return MpegAudioReader(track_id, language)
        case "ac3" | "eac3":
            return Ac3Reader(track_id, language, name)
        case "opus":
            return OpusReader(track_id, language, config)
    return DataReader(track_id, language, name if name in ("id3", "scte35") else "data")
