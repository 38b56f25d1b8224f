"""Raw AAC in ADTS frames (ISO/IEC 14496-3 1.A): into frames with times that count samples, and from frames."""

from collections.abc import Sequence

from evotools.codecs.aac import (
    asc_from_adts,
    build_adts_header,
    parse_adts_header,
    samples_per_frame,
    split_adts,
    to_adts,
)
from evotools.codecs.describe import describe
from evotools.errors import MediaError, ParseError
from evotools.media.frame import Discontinuity, Event, Frame, Tracks
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track

MAX_GARBAGE = 1 << 16
"""Bytes without a frame before the input is refused; the longest ADTS frame has 8191."""
MAX_ID3 = 1 << 24
"""Bytes of an ID3 tag in front of or between frames; covers pictures that people embed."""

_HEADER = 7
_NONE = -1
_ID3_HEADER = 10


class AdtsDemuxer:
    """Feed the bytes of an ADTS stream in any split; get `Tracks`, `Frame`, and `Discontinuity` after lost bytes.

    The timescale is the sample rate. ID3 tags are passed over. A changed rate or channel layout is a new `Tracks`.
    """

    def __init__(self) -> None:
        self._held = b""
        self._skip = 0
        self._track: Track | None = None
        self._fixed = _NONE
        self._samples = 1024
        self._time = 0
        self._garbage = 0
        self._error: ParseError | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Events completed by `data`.

        Raises ParseError when there is no ADTS in 64 KiB; events in front of that come out first, then the next
        call raises.
        """
        return self._run(self._held + bytes(data), False)

    def flush(self) -> list[Event]:
        """End of input: nothing follows the last frame to confirm it."""
        return self._run(self._held, True)

    def _run(self, data: bytes, ended: bool) -> list[Event]:
        if self._error is not None:
            raise self._error
        events: list[Event] = []
        try:
            self._parse(data, ended, events)
        except ParseError as error:
            self._error = error
            if not events:
                raise
        return events

    def _parse(self, data: bytes, ended: bool, events: list[Event]) -> None:
        position, end = 0, len(data)
        while True:
            if self._skip:
                step = min(self._skip, end - position)
                self._skip -= step
                position += step
            if end - position < (_HEADER if ended else _ID3_HEADER):
                break
            if data[position : position + 3] == b"ID3":
                self._skip = _id3_size(data, position) if end - position >= _ID3_HEADER else end - position
                continue
            # The fixed header: 28 bits, of which copyright and home change nothing.
            fixed = int.from_bytes(data[position : position + 4], "big") >> 4 & 0xFFFFFFC
            length = (data[position + 3] & 3) << 11 | data[position + 4] << 3 | data[position + 5] >> 5
            if fixed != self._fixed or length <= _HEADER:
                if not ended and end - position < length + 2 and fixed >> 16 == 0xFFF:
                    break
                if not self._begin(data, position, length, fixed, events):
                    position += 1
                    self._lose(1, events)
                    continue
            if position + length > end:
                break
            self._garbage = 0
            self._frames(data[position : position + length], events)
            position += length
        self._held = b"" if ended else data[position:]

    def _begin(self, data: bytes, position: int, length: int, fixed: int, events: list[Event]) -> bool:
        """Whether a frame begins here whose header differs from the last one; sets up its track."""
        following = data[position + length : position + length + 2]
        if len(following) == 2 and (following[0] != 0xFF or following[1] & 0xF6 != 0xF0) and following != b"ID":
            return False
        try:
            header = parse_adts_header(data[position : position + _HEADER])
            if header.frame_length > len(data) - position:
                return False
            config = asc_from_adts(data[position : position + length])
            samples, rate = samples_per_frame(config)
            track = describe(Track(1, Kind.AUDIO, "aac", rate, config))
        except ParseError:
            return False
        self._fixed = fixed
        if track == self._track:
            return True
        if self._track is not None:
            self._time = rescale(self._time, self._track.timescale, rate)
        self._track = track
        self._samples = samples
        events.append(Tracks((track,)))
        return True

    def _frames(self, frame: bytes, events: list[Event]) -> None:
        track = self._track
        assert track is not None
        # The rate of presentation: one raw data block is one frame of `samples`.
        for unit in split_adts(frame)[0]:
            events.append(Frame(track, self._time, self._time, unit, duration=self._samples, key=True))
            self._time += self._samples

    def _lose(self, count: int, events: list[Event]) -> None:
        if not self._garbage and self._track is not None:
            events.append(Discontinuity("bytes that are no ADTS"))
        self._garbage += count
        self._fixed = _NONE
        if self._garbage > MAX_GARBAGE:
            raise ParseError(f"no ADTS frame in {MAX_GARBAGE} bytes")


def _id3_size(data: bytes, position: int) -> int:
    # ID3v2 3.1: the size without the header, four bytes of seven bits; a footer has ten bytes more.
    size = 0
    for byte in data[position + 6 : position + 10]:
        size = size << 7 | byte & 0x7F
    if size > MAX_ID3:
        raise ParseError(f"an ID3 tag of {size} bytes")
    return _ID3_HEADER + size + (10 if data[position + 5] & 0x10 else 0)


class AdtsMuxer:
    """One AAC track as a byte stream of ADTS frames: readers join at any of them."""

    mime = "audio/aac"

    def __init__(self) -> None:
        self._id = _NONE

    def accepts(self, track: Track) -> bool:
        """Whether the track is AAC of a kind that has an ADTS header."""
        if track.codec != "aac":
            return False
        try:
            build_adts_header(track.config, 0)
        except (MediaError, ParseError):
            return False
        return True

    def start(self, tracks: Sequence[Track]) -> bytes:
        """There is no header. Raises MediaError for anything but one track that ADTS can carry."""
        if len(tracks) != 1 or not self.accepts(tracks[0]):
            raise MediaError(f"ADTS holds one AAC track, not {', '.join(t.describe() for t in tracks) or 'none'}")
        self._id = tracks[0].id
        return b""

    def write(self, frame: Frame) -> bytes:
        """The frame behind its header; a frame too long for one is left out."""
        if frame.track.id != self._id:
            return b""
        try:
            return frame.form("adts", to_adts)
        except (MediaError, ParseError):
            return b""

    def finish(self) -> bytes:
        """Nothing."""
        return b""
