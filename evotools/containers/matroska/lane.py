"""One track of a Matroska stream on its way to frames: canonical payloads, decode times, durations."""

import struct
from collections.abc import Callable
from itertools import pairwise
from math import gcd
from typing import Final

from evotools.codecs import aac, av1, h264, h265, opus, vp9
from evotools.codecs.describe import describe, packet_samples
from evotools.codecs.nal import split_annexb, split_lengths
from evotools.codecs.paramsets import AccessUnits, parameter_sets
from evotools.containers.matroska.entries import Entry
from evotools.containers.mp4.entries import completed
from evotools.containers.payload import H264_PASS, H265_PASS, Adts
from evotools.errors import ParseError
from evotools.log import get_logger
from evotools.media.dts import MAX_REORDER, DtsRebuilder
from evotools.media.frame import Frame
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track

log = get_logger("matroska")

OBSERVED: Final = 12
"""Pictures by which the reordering is found where the codec does not declare it; pyramids have at most 8 in a group."""
NS: Final = 1_000_000_000

_length = struct.Struct(">I").unpack_from
_START_CODES: Final = (b"\0\0\0\1", b"\0\0\1")
_VARYING: Final = frozenset(("opus", "flac", "vorbis", "pcma", "pcmu"))
"""Sound of which every packet may last differently."""


def reorder_depth(codec: str, config: bytes) -> int | None:
    """How many pictures may overtake one another; None when nothing tells."""
    try:
        if codec == "h264":
            sps = h264.parse_avcc(config).sps
            return h264.parse_sps(sps[0]).max_num_reorder if sps else None
        if codec == "h265":
            units = h265.parse_hvcc(config).sps
            return h265.parse_sps(units[0]).max_num_reorder if units else None
    except ParseError:
        return None
    # AV1, VP8 and VP9 store what is decoded for later together with what is shown.
    return 0


class Lane:
    """Turns the blocks of one track into frames.

    Until `ready` frames have to be held: what their track is, or when the first ones are decoded, may show late.
    """

    def __init__(self, entry: Entry, scale_ns: int) -> None:
        """`scale_ns`: nanoseconds of the clock's ticks. Raises ParseError for broken codec configuration."""
        divisor = gcd(NS, scale_ns)
        self.timescale = NS // divisor
        self.multiplier = scale_ns // divisor
        self.shift = rescale(entry.delay_ns, NS, self.timescale)
        self.number = entry.number
        self.stripped = entry.stripped
        self.audio = entry.track.kind is Kind.AUDIO
        self.track: Track = entry.track.with_(timescale=self.timescale)
        self.changed = False
        """The track is another one since somebody last looked."""
        self.wanting = False
        """Packets have to tell something of the track."""
        self.damaged = 0
        self.early: list[Frame] | None = None
        """Pictures whose decode times are not known yet."""
        self._duration_ns = entry.duration_ns
        self.duration = rescale(entry.duration_ns, NS, self.timescale)
        """Ticks of a frame; 0 while it is not known."""
        self.measure = False
        """Every packet tells how long it is."""
        self.convert: Callable[[bytes, bool], tuple[bytes, bool]] | None = None
        """Makes a canonical payload; None where it is one already."""
        self._header: object = None
        self._units: AccessUnits | None = None
        self._length_size = 4
        self._adts: Adts | None = None
        self._prepare(entry.private)
        self._dts: DtsRebuilder | None = None
        self._depth: int | None = 0
        self._settled = False
        """Decode times of frames that are out depend on what is known now."""
        if not self.audio:
            self._order()

    def _prepare(self, private: bytes) -> None:
        codec = self.track.codec
        config = b""
        if codec in ("h264", "h265"):
            config = self._prepare_nal(codec, private)
        elif codec == "av1":
            self.convert, self.wanting = self._read_av1, True
            # AV1-ISOBMFF 2.3.3: marker and version.
            if private[:1] == b"\x81" and av1.sequence_header_of(private) is not None:
                config = private
                self._header = av1.find_sequence_header(av1.parse_av1c(private).config_obus)
        elif codec == "vp9":
            self.convert, self.wanting = self._read_vp9, True
        elif codec == "aac":
            config = private
            if not private:
                self._adts = Adts()
                self.convert, self.wanting = self._read_aac, True
        elif codec == "flac":
            # RFC 9639 8.2: STREAMINFO follows the marker and its block header.
            config = private[8 if private.startswith(b"fLaC") else 0 :][:34]
        elif codec == "opus":
            config = private if private.startswith(opus.MAGIC) else opus.build_head(
                min(self.track.channels or 2, 8), input_sample_rate=self.track.sample_rate or opus.SAMPLE_RATE
            )  # fmt: skip
        elif codec == "vorbis":
            config = private
        elif codec in ("ac3", "eac3"):
            self.wanting = True
        self.measure = self.audio and not self.duration and codec in _VARYING
        self._become(self.track.with_(config=config))
        self.changed = False

    def _prepare_nal(self, codec: str, private: bytes) -> bytes:
        self._passing = H264_PASS if codec == "h264" else H265_PASS
        self._nal_shift, self._nal_mask = (0, 31) if codec == "h264" else (1, 63)
        self._units = AccessUnits(codec)
        self.convert = self._read_nal
        config = b""
        # 14496-15 5.3.3.1.2, 8.3.3.1.2: records begin with version 1, start codes with 0.
        if private[:1] == b"\1":
            parsed = h264.parse_avcc(private) if codec == "h264" else h265.parse_hvcc(private)
            self._length_size = parsed.length_size
            at = 4 if codec == "h264" else 21
            config = private[:at] + bytes((private[at] | 3,)) + private[at + 1 :]
            sets = [unit for unit in parameter_sets(codec, config) if unit]
            if not sets:
                config = b""
            self._units.read_nals(sets)
        elif private:
            config = self._units.read(private).config or b""
        self.wanting = not config
        return config

    # Tracks.

    def _become(self, track: Track, packet: bytes = b"") -> None:
        """Go on with another track."""
        try:
            told = describe(track, packet)
            track = told if told.fps or not track.fps else told.with_(fps=track.fps)
        except ParseError as error:
            log.warning("Matroska: track %d: %s", track.id, error)
        if track != self.track:
            self.track = track
            self.changed = True

    def _order(self) -> None:
        """Take the reordering that the codec declares."""
        track = self.track
        depth = reorder_depth(track.codec, track.config)
        if not self.duration and track.fps:
            self.duration = round(self.timescale / track.fps)
        if self._dts is not None:
            if depth is not None and self._dts.depth < depth:
                self._dts.depth = depth
                self._dts.restart()
            return
        self._depth = depth
        if self._settled:
            # Frames are out: what is not declared shows as it comes.
            self._dts = DtsRebuilder(min(depth or 0, MAX_REORDER))
        elif depth == 0:
            self.early = None
        elif depth is None or not self.duration:
            self.early = self.early or []
        elif self.early:
            self.settle()
        else:
            self.early = None
            self._dts = DtsRebuilder(min(depth, MAX_REORDER))

    @property
    def ready(self) -> bool:
        """Whether frames need not be held."""
        return not self.wanting and self.early is None

    def settle(self) -> None:
        """Decode times for the pictures that wait, by what is known so far."""
        self._settled = True
        early, self.early = self.early, None
        if early is None:
            return
        shown = sorted({frame.pts for frame in early})
        if not self.duration:
            steps = [after - before for before, after in pairwise(shown)]
            self.duration = min(steps, default=max(self.timescale // 25, 1))
        depth = self._depth
        if depth is None:
            depth = 0
            for index, frame in enumerate(early):
                pts = frame.pts
                depth = max(depth, sum(other.pts > pts for other in early[max(index - MAX_REORDER, 0) : index]))
        self._dts = DtsRebuilder(min(depth, MAX_REORDER))
        push, duration = self._dts.push, self.duration
        for frame in early:
            frame.dts = push(frame.pts, duration)

    def restart(self, *, clock: bool) -> None:
        """Frames were lost; `clock`: times begin anew."""
        self.settle()
        if self._dts is not None:
            if clock:
                self._dts.reset()
            else:
                self._dts.restart()

    # Frames.

    def frame(self, ticks: int, data: bytes, key: bool, duration: int = 0) -> Frame | None:
        """The frame of a block at `ticks` of the segment's clock; None when it is empty or broken.

        `duration` is in ticks of the track, 0 where the block tells none.
        """
        if self.stripped:
            data = self.stripped + data
        convert = self.convert
        if convert is not None:
            try:
                data, key = convert(data, key)
            except ParseError:
                self.damaged += 1
                return None
        if not data:
            return None
        pts = ticks * self.multiplier - self.shift
        if self.audio:
            if self.wanting:
                self._complete(data)
            if not duration:
                duration = self.duration
                if not duration:
                    duration = self._measured(data)
            return Frame(self.track, pts, pts, data, duration, True)
        dts = self._dts
        if dts is not None:
            return Frame(self.track, dts.push(pts, self.duration), pts, data, duration or self.duration, key)
        frame = Frame(self.track, pts, pts, data, duration or self.duration, key)
        early = self.early
        if early is not None:
            early.append(frame)
            if len(early) >= (OBSERVED if self._depth is None else self._depth + 2):
                self.settle()
        return frame

    def _complete(self, data: bytes) -> None:
        """What the first packet of a track of sound tells."""
        self.wanting = False
        try:
            self._become(completed(self.track, data), data)
        except ParseError as error:
            self.damaged += 1
            log.info("Matroska: track %d: %s", self.track.id, error)

    def _measured(self, data: bytes) -> int:
        """Ticks that a packet of sound lasts; 0 when it does not tell."""
        try:
            samples, rate = packet_samples(self.track, data)
        except ParseError:
            return 0
        if not rate:
            return 0
        ticks = rescale(samples, rate, self.timescale)
        if not self.measure:
            self.duration = ticks
        return ticks

    def laced(self, sizes: int, first: bytes, total: int) -> int:
        """Nanoseconds between the frames of one block; `total` is its BlockDuration in ticks of the track."""
        if total:
            return total * NS // (self.timescale * sizes)
        if self._duration_ns:
            return self._duration_ns
        try:
            samples, rate = packet_samples(self.track, self.stripped + first)
        except ParseError:
            return 0
        return samples * NS // rate if rate else 0

    # Payloads.

    def _read_nal(self, data: bytes, key: bool) -> tuple[bytes, bool]:
        """NAL units: what has lengths of four bytes and nothing but slices and SEI comes back as it is."""
        if self._length_size == 4:
            passing, shift, mask = self._passing, self._nal_shift, self._nal_mask
            at, end = 0, len(data)
            while at + 4 < end:
                if data[at + 4] >> shift & mask not in passing:
                    break
                at += 4 + _length(data, at)[0]
            if at == end:
                return data, key
        return self._read_units(data, key)

    def _read_units(self, data: bytes, key: bool) -> tuple[bytes, bool]:
        """NAL units of other forms, or with parameter sets and delimiters among them."""
        units = self._units
        assert units is not None
        try:
            nals = split_lengths(data, self._length_size)
        except ParseError:
            # Writers that pass on what an encoder or a camera gave them.
            if not data.startswith(_START_CODES):
                raise
            nals = split_annexb(data)
        unit = units.read_nals(nals)
        if unit.config:
            self.wanting = False
            self._become(self.track.with_(config=unit.config))
            self._order()
        return unit.payload, key or unit.key

    def _read_av1(self, data: bytes, key: bool) -> tuple[bytes, bool]:
        """Temporal units. Key frames may bring a new sequence header."""
        if not av1.is_canonical(data):
            data = av1.canonical(data)
        if key:
            header = av1.find_sequence_header(data)
            if header is not None and header != self._header:
                self._header = header
                self._become(self.track.with_(config=av1.build_av1c(header)))
        if self.track.config:
            self.wanting = False
        return data, key

    def _read_vp9(self, data: bytes, key: bool) -> tuple[bytes, bool]:
        """VP9 frames. Key frames tell the configuration."""
        if key:
            header = vp9.parse_frame_header(data)
            if header.key and header != self._header:
                self._header = header
                self.wanting = False
                self._become(self.track.with_(config=vp9.build_vpcc(header, self.track.fps)), data)
        return data, key

    def _read_aac(self, data: bytes, key: bool) -> tuple[bytes, bool]:
        """AAC without configuration: ADTS frames, or raw ones of what the container tells."""
        adts = self._adts
        assert adts is not None
        data, key = adts.read(data, key)
        if self.wanting:
            self.wanting = False
            track = self.track
            config = adts.config or aac.build_asc(aac.AAC_LC, track.sample_rate, track.channels)
            self._become(track.with_(config=config))
        return data, key
