"""Movie fragments: which samples the next stretch of media holds. ISO/IEC 14496-12 8.8, 8.16.

A run keeps its box as it is and decodes it in blocks: a fragment of an hour takes little more memory than its header.
"""

import struct
from collections.abc import Iterator, Mapping
from itertools import accumulate
from operator import add
from typing import Final, NamedTuple

from evotools.containers.mp4.boxes import Box, children, version_flags
from evotools.containers.mp4.moov import MAX_TIME, Defaults, TrackInfo
from evotools.containers.mp4.samples import MAX_OFFSET, Block, View
from evotools.containers.mp4.senc import SampleSecrets
from evotools.containers.timed import EMSG, ID3_SCHEME, JSON_SCHEME, from_id3, from_json
from evotools.errors import ParseError
from evotools.log import get_logger
from evotools.media.frame import Metadata

log = get_logger("mp4")

MAX_MOOF: Final = 32 << 20
"""Bytes of a fragment's header: two million samples, hours of film in one piece."""
MAX_RUNS: Final = 1 << 14
"""Runs of one fragment, and runs that wait for their media: hours of film whose tracks take turns every second."""
MAX_EVENT: Final = 1 << 20
"""Bytes of an event message; SCTE 35 sections and ID3 tags have a few hundred."""

# 8.8.3.1: sample_is_non_sync_sample, and sample_depends_on 1 (others are needed to decode it).
NOT_KEY: Final = 0x0001_0000 | 0x0100_0000

_BASE, _ENTRY, _DURATION, _SIZE, _FLAGS, _EMPTY, _MOOF_BASE = 0x1, 0x2, 0x8, 0x10, 0x20, 0x10000, 0x20000
"""tf_flags (8.8.7.1)."""
_RUN_OFFSET, _RUN_FIRST = 0x1, 0x4
_RUN_DURATION, _RUN_SIZE, _RUN_FLAGS, _RUN_SHIFT = 0x100, 0x200, 0x400, 0x800
"""tr_flags (8.8.8.1)."""
_FAR_BASE: Final = 1 << 30
"""Bytes by which a base offset may lie behind its fragment before it is taken for that of another file."""
_UNIX_IN_NTP: Final = 2_208_988_800
"""Seconds from 1900 to 1970 (RFC 5905 6)."""
_PIFF_SENC: Final = bytes.fromhex("a2394f525a9b4f14a2446c427c648df4")
"""Extended type of the sample encryption box before it got a name (PIFF 1.1 5.3.2)."""


class Run:
    """One track run (8.8.8): samples that lie one behind the other."""

    def __init__(self, data: View, defaults: Defaults, dts: int) -> None:
        """`data` is the body of a trun box, `dts` the decode time of its first sample. Raises ParseError."""
        if len(data) < 8:
            raise ParseError("MP4: the box 'trun' is too short")
        word, count = struct.unpack_from(">II", data)
        flags = word & 0xFFFFFF
        at = 8
        self.data_offset: int | None = None
        first_flags: int | None = None
        if flags & _RUN_OFFSET:
            self.data_offset = int.from_bytes(data[at : at + 4], "big", signed=True)
            at += 4
        if flags & _RUN_FIRST:
            first_flags = int.from_bytes(data[at : at + 4], "big")
            at += 4
        self._columns = [flag for flag in (_RUN_DURATION, _RUN_SIZE, _RUN_FLAGS, _RUN_SHIFT) if flags & flag]
        width = len(self._columns)
        if at + 4 * width * count > len(data):
            raise ParseError(f"MP4: a 'trun' announces {count} samples and has no room for them")
        self._data = data
        self._at = at
        self.left: int = count
        """Samples that were not read yet."""
        self._defaults = defaults
        self._first_key = None if first_flags is None or flags & _RUN_FLAGS else not first_flags & NOT_KEY
        self.secrets: SampleSecrets | None = None
        self.offset = 0
        """Where the next sample lies in the file; the fragment sets it."""
        self.dts = dts
        self.duration = self._sum(_RUN_DURATION, defaults.duration)
        self.size = self._sum(_RUN_SIZE, defaults.size)
        self.lowest_offset = 0
        if _RUN_SHIFT in self._columns:
            lowest = min((min(chunk) for chunk in self._column(_RUN_SHIFT)), default=0)
            self.lowest_offset = min(lowest, 0)
            if lowest < -MAX_OFFSET:
                raise ParseError(f"MP4: a 'trun' shows a sample {-lowest} ticks before its decode time")
        if not self.size:
            # Nothing but empty samples, of which a few bytes can announce billions.
            self.left = 0

    def _column(self, flag: int) -> Iterator[tuple[int, ...]]:
        """One column, in parts, as signed numbers."""
        width, place = len(self._columns), self._columns.index(flag)
        for first in range(0, self.left, 8192):
            count = min(8192, self.left - first)
            values = struct.unpack_from(f">{count * width}i", self._data, self._at + 4 * width * first)
            yield values[place::width]

    def _sum(self, flag: int, default: int) -> int:
        """The sum of an unsigned column."""
        if flag not in self._columns:
            return default * self.left
        # Read as signed: what is below zero lacks 2^32.
        total = 0
        for chunk in self._column(flag):
            total += sum(chunk) + (sum([value < 0 for value in chunk]) << 32)
        return total

    def read(self, limit: int) -> Block | None:
        """The next samples, at most `limit`; None at the end."""
        count = min(limit, self.left)
        if not count:
            return None
        defaults = self._defaults
        columns = self._columns
        width = len(columns)
        values: tuple[int, ...] = ()
        if width:
            values = struct.unpack_from(f">{count * width}I", self._data, self._at)
            self._at += 4 * width * count
        found = {flag: values[place::width] for place, flag in enumerate(columns)}
        sizes = list(found[_RUN_SIZE]) if _RUN_SIZE in found else [defaults.size] * count
        durations = list(found[_RUN_DURATION]) if _RUN_DURATION in found else [defaults.duration] * count
        offsets = list(accumulate(sizes, initial=self.offset))
        self.offset = offsets.pop()
        dts = list(accumulate(durations, initial=self.dts))
        self.dts = dts.pop()
        pts = dts
        if _RUN_SHIFT in found:
            shifts = found[_RUN_SHIFT]
            if max(shifts) > 0x7FFF_FFFF:
                # Version 0 is unsigned on paper; some writers put negative offsets there all the same.
                shifts = tuple(v - (v >> 31 << 32) for v in shifts)
            pts = list(map(add, dts, shifts))
        if _RUN_FLAGS in found:
            keys = [not flags & NOT_KEY for flags in found[_RUN_FLAGS]]
        else:
            keys = [not defaults.flags & NOT_KEY] * count
        if self._first_key is not None:
            keys[0] = self._first_key
            self._first_key = None
        self.left -= count
        sides = self.secrets.take(count) if self.secrets is not None else None
        return Block(offsets, sizes, dts, pts, durations, keys, defaults.entry, sides)


class Clock:
    """Where the decode time of a track's next fragment is, for fragments that do not tell (no tfdt)."""

    __slots__ = ("next",)

    def __init__(self, start: int) -> None:
        self.next = start


def parse_moof(
    body: View, start: int, size: int, tracks: Mapping[int, TrackInfo], clocks: Mapping[int, Clock], *, origin: int = 0
) -> list[tuple[int, Run]]:
    """(track, run) of a fragment, in the order of its boxes. Tracks that are not carried are passed over.

    `body` is the body of a moof box, `start` and `size` where the whole box lies, `origin` where its file begins.
    Raises ParseError.
    """
    data = memoryview(body)
    runs: list[tuple[int, Run]] = []
    # 8.8.7.1: without a base the first track counts from the fragment, others from the end of the data before them.
    implicit = start
    for traf in children(data):
        if traf.kind != b"traf":
            continue
        boxes = list(children(data, traf.start, traf.end))
        tfhd = next((box for box in boxes if box.kind == b"tfhd"), None)
        if tfhd is None:
            raise ParseError("MP4: a track fragment has no header (tfhd)")
        number, base, flags, defaults = _parse_tfhd(data, tfhd, tracks)
        track = tracks.get(number)
        if flags & _BASE:
            base += origin
            if not start <= base < start + size + _FAR_BASE:
                # A server that copies a file's fragments to late viewers leaves their old places in them.
                base = start
        else:
            base = start if flags & _MOOF_BASE else implicit
        tfdt = next((box for box in boxes if box.kind == b"tfdt"), None)
        clock = clocks.get(number)
        dts = clock.next if clock is not None else 0
        if tfdt is not None:
            dts = _parse_tfdt(data, tfdt)
        secrets = _secrets(data, boxes, track, defaults) if track is not None else None
        end = base
        for box in boxes:
            if box.kind != b"trun":
                continue
            run = Run(data[box.start : box.end], defaults, dts)
            run.secrets = secrets
            # 8.8.8.2: without an offset a run follows the one before it.
            run.offset = end if run.data_offset is None else base + run.data_offset
            end = run.offset + run.size
            dts += run.duration
            if dts >= MAX_TIME:
                raise ParseError("MP4: a fragment lies at an impossible time")
            if track is not None and run.left:
                if len(runs) == MAX_RUNS:
                    raise ParseError(f"MP4: a fragment has more than {MAX_RUNS} runs of samples")
                runs.append((number, run))
        implicit = end
        if clock is not None:
            clock.next = dts
    return runs


def _parse_tfhd(data: View, tfhd: Box, tracks: Mapping[int, TrackInfo]) -> tuple[int, int, int, Defaults]:
    """(track, base data offset, flags, defaults) of a track fragment header (8.8.7)."""
    _, flags = version_flags(data, tfhd)
    at = tfhd.start + 4

    def field(width: int) -> int:
        nonlocal at
        if at + width > tfhd.end:
            raise ParseError("MP4: the box 'tfhd' is too short")
        at += width
        return int.from_bytes(data[at - width : at], "big")

    number = field(4)
    track = tracks.get(number)
    entry, duration, size, sample_flags = (track.defaults if track is not None else None) or Defaults()
    base = field(8) if flags & _BASE else 0
    entry = field(4) if flags & _ENTRY else entry
    duration = field(4) if flags & _DURATION else duration
    size = field(4) if flags & _SIZE else size
    sample_flags = field(4) if flags & _FLAGS else sample_flags
    if track is not None and not 1 <= entry <= len(track.entries):
        raise ParseError(f"MP4: a fragment of track {number} names sample entry {entry}, which is not there")
    return number, base, flags, Defaults(entry, duration, size, sample_flags)


def _parse_tfdt(data: View, tfdt: Box) -> int:
    version, _ = version_flags(data, tfdt)
    width = 8 if version == 1 else 4
    if tfdt.start + 4 + width > tfdt.end:
        raise ParseError("MP4: the box 'tfdt' is too short")
    time = int.from_bytes(data[tfdt.start + 4 : tfdt.start + 4 + width], "big")
    if time >= MAX_TIME:
        raise ParseError("MP4: a fragment lies at an impossible time")
    return time


def _secrets(data: View, boxes: list[Box], track: TrackInfo, defaults: Defaults) -> SampleSecrets | None:
    """The sample encryption of a track fragment; None for clear ones."""
    protection = track.entries[defaults.entry - 1].protection
    if protection is None:
        return None
    for box in boxes:
        if box.kind == b"senc" or (box.kind == b"uuid" and bytes(data[box.start - 16 : box.start]) == _PIFF_SENC):
            return SampleSecrets(data[box.start : box.end], protection)
    if any(box.kind == b"saio" for box in boxes):
        raise ParseError("MP4: the sample encryption lies outside its fragment's header (no senc box)")
    # 23001-7 7.1: with a constant vector and whole samples protected nothing need be said of each. Else they are clear.
    return SampleSecrets.constant(protection) if protection.constant_iv else None


class EventMessage(NamedTuple):
    """An event message (23009-1 5.10.3.3) whose time may wait for its segment."""

    scheme: str
    value: str
    id: int
    time_s: float
    relative: bool
    """`time_s` counts from the earliest presentation time of the segment that follows."""
    duration_s: float | None
    data: bytes

    def metadata(self, origin_s: float) -> Metadata:
        """As an event of the stream: data messages and ID3 tags as what they are, all others with the name `emsg`,
        the message as value and the rest in `options`."""
        time_s = self.time_s + (origin_s if self.relative else 0.0)
        if self.scheme == JSON_SCHEME and (message := from_json(self.value, self.data, time_s)) is not None:
            return message
        if self.scheme == ID3_SCHEME and len(tags := from_id3(self.data, time_s)) == 1:
            return tags[0]
        told = {"scheme": self.scheme, "value": self.value, "id": self.id, "duration_s": self.duration_s}
        return Metadata(EMSG, self.data, time_s, told)


def parse_emsg(body: View) -> EventMessage:
    """The event in the body of an emsg box. Raises ParseError."""
    data = bytes(body)
    version = data[0] if data else 255
    try:
        if version == 1:
            scale, time, duration, number = struct.unpack_from(">4xIQII", data)
            scheme, value, rest = data[24:].split(b"\0", 2)
        elif version == 0:
            scheme, value, rest = data[4:].split(b"\0", 2)
            scale, time, duration, number = struct.unpack_from(">IIII", rest)
            rest = rest[16:]
        else:
            raise ParseError(f"MP4: the version {version} of 'emsg' is unknown")
    except (struct.error, ValueError) as error:
        if isinstance(error, ParseError):
            raise
        raise ParseError("MP4: the box 'emsg' is cut") from None
    scale = scale or 1
    return EventMessage(
        scheme.decode("utf-8", "replace"), value.decode("utf-8", "replace"), number, time / scale, version == 0,
        None if duration == 0xFFFF_FFFF else duration / scale, rest,
    )  # fmt: skip


def parse_prft(body: View) -> tuple[int, float, int]:
    """(track, Unix time, media time) of the body of a producer reference time box (8.16.5). Raises ParseError."""
    wide = len(body) > 0 and body[0] == 1
    if len(body) < (24 if wide else 20):
        raise ParseError("MP4: the box 'prft' is too short")
    number, seconds, fraction = struct.unpack_from(">4xIII", body)
    media = int.from_bytes(body[16 : 24 if wide else 20], "big")
    return int(number), seconds - _UNIX_IN_NTP + fraction / (1 << 32), media
