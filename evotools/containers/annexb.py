"""Raw H.264 and H.265 byte streams (Annex B of both) into frames."""

from collections import deque
from fractions import Fraction

from evotools.codecs import h264, h265
from evotools.codecs.describe import describe
from evotools.codecs.nal import MAX_NALS
from evotools.codecs.paramsets import AccessUnits
from evotools.containers.annexb_poc import MAX_REORDER, H264Order, H265Order, Picture, Ranks
from evotools.errors import MediaError, ParseError
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind, Track

MAX_NAL = 32 << 20
"""Bytes of one NAL unit: an intra picture at 8K and the highest quality has some 20 MB."""
MAX_UNIT = 64 << 20
"""Bytes of one access unit."""
MAX_GARBAGE = 1 << 20
"""Bytes before the first start code."""
DEFAULT_FPS = Fraction(25)
"""For streams whose SPS declares no frame rate."""
TIMESCALE = 90000

_START = b"\0\0\1"


class AnnexBDemuxer:
    """Feed the bytes of a raw stream in any split; get `Tracks` and `Frame`.

    The stream has no clock: decode times count pictures at the frame rate of the SPS (`fps` when given, else the
    SPS, else 25), presentation times follow the picture order count. Pictures before the first parameter sets are
    counted in `undecodable`. Two fields make one frame.
    """

    def __init__(self, codec: str, fps: Fraction | None = None) -> None:
        if codec not in ("h264", "h265"):
            raise MediaError(f"codec '{codec}' has no Annex B form")
        self.undecodable = 0
        self._codec = codec
        self._fps = fps
        self._units = AccessUnits(codec)
        self._order: H264Order | H265Order = H264Order() if codec == "h264" else H265Order()
        self._ranks = Ranks()
        self._track: Track | None = None
        self._buffer = bytearray()
        self._scanned = 0
        self._in_nal = False
        # The access unit being collected, and what may begin the next one.
        self._nals: list[bytes] = []
        self._lead: list[bytes] = []
        self._unit_bytes = 0
        self._has_slice = False
        self._picture: Picture | None = None
        self._paired = False
        self._clock = Fraction(0)
        self._step = TIMESCALE / DEFAULT_FPS
        self._delay = Fraction(0)
        # Events in decoding order from the first picture that awaits its rank; decode times by rank.
        self._held: deque[Event] = deque()
        self._awaiting: dict[int, Frame] = {}
        self._count = 0
        self._times: deque[Fraction] = deque()
        self._error: ParseError | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Events completed by `data`.

        Raises ParseError when no start code comes, or a NAL unit has no end; events in front of that come out
        first, then the next call raises.
        """
        if self._error is not None:
            raise self._error
        out: list[Event] = []
        try:
            self._parse(data, out)
        except ParseError as error:
            self._error = error
            if not out:
                raise
        return out

    def _parse(self, data: bytes | bytearray | memoryview, out: list[Event]) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        while True:
            found = buffer.find(_START, self._scanned)
            if found < 0:
                break
            if self._in_nal:
                self._take(bytes(buffer[start:found]).rstrip(b"\0"), out)
            self._in_nal = True
            start = self._scanned = found + 3
        # A start code may be cut: look at the last two bytes again.
        self._scanned = max(start, len(buffer) - 2)
        if not self._in_nal:
            if len(buffer) > MAX_GARBAGE:
                raise ParseError(f"no start code in the first {MAX_GARBAGE} bytes: this is no {self._codec} stream")
            return
        if start:
            del buffer[:start]
            self._scanned -= start
        if len(buffer) > MAX_NAL:
            raise ParseError(f"a NAL unit is longer than {MAX_NAL} bytes")

    def flush(self) -> list[Event]:
        """End of input: the last access unit, and pictures that waited for their place. Raises ParseError."""
        if self._error is not None:
            raise self._error
        out: list[Event] = []
        if self._in_nal:
            self._take(bytes(self._buffer).rstrip(b"\0"), out)
        self._buffer = bytearray()
        self._scanned = 0
        self._in_nal = False
        self._nals += self._lead
        self._lead = []
        self._end_unit(out)
        self._rank(self._ranks.flush())
        self._release(out)
        return out

    def _take(self, nal: bytes, out: list[Event]) -> None:
        """One NAL unit: notices where the next access unit begins (H.264 7.4.1.2.3, H.265 7.4.2.4.4)."""
        if len(nal) < 2:
            return
        self._unit_bytes += len(nal)
        if self._unit_bytes > MAX_UNIT or len(self._nals) + len(self._lead) > MAX_NALS:
            raise ParseError(f"an access unit of {self._codec} has no end")
        if self._codec == "h264":
            kind = nal[0] & 0x1F
            is_slice = kind in (h264.NAL_SLICE, h264.NAL_PARTITION_A, h264.NAL_IDR)
            # first_mb_in_slice is 0: a single 1 bit. A lost first slice shows by the delimiter before it.
            first = is_slice and (nal[1] & 0x80 != 0 or bool(self._lead))
            delimits = 6 <= kind <= 9 or 14 <= kind <= 18
            is_set = kind in (h264.NAL_SPS, h264.NAL_PPS)
        else:
            kind = nal[0] >> 1 & 0x3F
            is_slice = kind < 32
            # first_slice_segment_in_pic_flag
            first = is_slice and len(nal) > 2 and nal[2] & 0x80 != 0
            delimits = 32 <= kind <= 35 or kind == 39 or 41 <= kind <= 44 or 48 <= kind <= 55
            is_set = kind in (h265.NAL_SPS, h265.NAL_PPS)
        if is_set:
            try:
                self._order.parameter_set(nal)
            except ParseError:
                pass
        if first:
            try:
                picture = self._order.picture(nal)
            except ParseError:
                picture = None
            if self._has_slice:
                if self._pairs(picture):
                    self._paired = True
                    picture = self._picture
                else:
                    self._end_unit(out)
            self._picture = picture
        if is_slice:
            self._has_slice = True
            self._nals += self._lead
            self._nals.append(nal)
            self._lead = []
        elif self._lead or (self._has_slice and delimits):
            self._lead.append(nal)
        else:
            self._nals.append(nal)

    def _pairs(self, picture: Picture | None) -> bool:
        """Whether `picture` is the second field of the frame being collected."""
        mine = self._picture
        return (
            picture is not None
            and mine is not None
            and not self._paired
            and {picture.field, mine.field} == {1, 2}
            and picture.frame_num == mine.frame_num
        )

    def _end_unit(self, out: list[Event]) -> None:
        nals, self._nals = self._nals, []
        picture, self._picture = self._picture, None
        had_slice, self._has_slice = self._has_slice, False
        self._paired = False
        self._unit_bytes = sum(map(len, self._lead))
        unit = self._units.read_nals(nals)
        if unit.config is not None:
            self._configure(unit.config)
        if not had_slice or not unit.payload:
            return
        track = self._track
        if track is None:
            self.undecodable += 1
            return
        frame = Frame(track, int(self._clock), 0, unit.payload, duration=round(self._step), key=unit.key)
        self._held.append(frame)
        self._awaiting[self._count] = frame
        self._count += 1
        self._times.append(self._clock)
        self._clock += self._step
        self._rank(self._ranks.push(picture))
        self._release(out)

    def _configure(self, config: bytes) -> None:
        track = describe(Track(1, Kind.VIDEO, self._codec, TIMESCALE, config))
        if self._codec == "h264":
            sps = h264.parse_sps(h264.parse_avcc(config).sps[0])
            depth = sps.max_num_ref_frames if sps.max_num_reorder is None else sps.max_num_reorder
        else:
            depth = h265.parse_sps(h265.parse_hvcc(config).sps[0]).max_num_reorder
        fps = self._fps or track.fps or DEFAULT_FPS
        self._step = TIMESCALE / fps
        # Pictures of the old sequence keep the order they were promised.
        self._rank(self._ranks.flush())
        self._ranks.depth = min(depth, MAX_REORDER)
        self._delay = max(self._delay, self._ranks.depth * self._step)
        self._track = track.with_(fps=fps)
        self._held.append(Tracks((self._track,)))

    def _rank(self, ready: list[tuple[int, int]]) -> None:
        """Presentation times: the picture that is output n-th gets the decode time of the n-th, delayed."""
        for number, _ in ready:
            frame = self._awaiting.pop(number)
            frame.pts = max(int(self._times.popleft() + self._delay), frame.dts)

    def _release(self, out: list[Event]) -> None:
        held = self._held
        waiting = set(map(id, self._awaiting.values()))
        while held and id(held[0]) not in waiting:
            out.append(held.popleft())
