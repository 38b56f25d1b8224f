"""A Matroska or WebM stream into events, read from the front: live or stored. RFC 9559 on RFC 8794 EBML."""

import re
import struct
from math import inf
from typing import Final, NoReturn

from evotools.containers.matroska.announce import Announcer
from evotools.containers.matroska.ebml import UNKNOWN, children, head, real, text, uint, vint
from evotools.containers.matroska.entries import Entry, parse_tracks
from evotools.containers.matroska.lane import NS, Lane
from evotools.errors import ParseError
from evotools.log import Throttle, get_logger
from evotools.media.frame import Discontinuity, Event, Frame
from evotools.media.timeline import rescale

log = get_logger("matroska")

MAX_EBML: Final = 1 << 16
"""Bytes of an EBML header; real ones have some forty."""
MAX_INFO: Final = 1 << 20
"""Bytes of Info: a title and the names of programs."""
MAX_TRACKS_BYTES: Final = 16 << 20
"""Bytes of Tracks: up to 256 entries, of which each may have codebooks."""
MAX_BLOCK: Final = 64 << 20
"""Bytes of one block: an intra picture at 8K and the highest quality has some 20 MB."""
SUSPECT: Final = 1 << 16
"""Bytes of a block from which on clusters are looked for in it: where bytes were lost, something may claim to be a
block of megabytes, for which a live stream would wait long."""
MAX_SKIP: Final = 256 << 20
"""Bytes of an element that is passed over where the segment's end is not known: fonts and covers of films. What claims
more there is damage that would swallow a live stream."""
MAX_UNKNOWN: Final = 1 << 20
"""Bytes of an element of the segment that RFC 9559 does not have."""
MAX_GARBAGE: Final = 64 << 20
"""Bytes without a cluster before the input is refused: half a minute at 20 Mbit/s."""
MAX_TIME_NS: Final = 1 << 62
"""Times are 64 bits wide; that is 146 years."""
BACK_S: Final = 0.5
"""A cluster that begins by more than this before the last one is on another clock."""
MAX_DURATION: Final = 1 << 40
"""Ticks of a BlockDuration: still pictures and subtitles stand for hours, not for years."""
AHEAD_S: Final = 10.0
"""A cluster that begins by more than this behind the last block: something is missing between them."""

HINT_LATE: Final = "join at the beginning, where the header is sent"
HINT_CUT: Final = "the recording was not finished, or is cut off"

_EBML, _SEGMENT, _CLUSTER, _INFO, _TRACKS = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0x1549A966, 0x1654AE6B
_VOID, _CRC = 0xEC, 0xBF
# SeekHead, Cues, Attachments, Chapters, Tags; SignatureSlot of EBML's first draft.
_PASSED: Final = frozenset((0x114D9B74, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, 0x1B538667, _VOID, _CRC))
_UPPER: Final = _PASSED - {_VOID, _CRC} | {_EBML, _SEGMENT, _CLUSTER, _INFO, _TRACKS}
"""What ends a cluster of unknown size (RFC 8794 6.2)."""
# Position, PrevSize, SilentTracks, EncryptedBlock.
_IN_CLUSTER: Final = frozenset((0xA7, 0xAB, 0x5854, 0xAF, _VOID, _CRC))
_FIRST_IN_CLUSTER: Final = frozenset((0xE7, 0xA7, 0xAB, 0x58, _VOID, _CRC))
_WHOLE: Final = {_EBML: MAX_EBML, _INFO: MAX_INFO, _TRACKS: MAX_TRACKS_BYTES}
_MARK: Final = re.compile(rb"\x1f\x43\xb6\x75|\x1a\x45\xdf\xa3")
_SURE_MARK: Final = re.compile(
    rb"\x1f\x43\xb6\x75(?:[\x80-\xff]|[\x40-\x7f].|[\x20-\x3f]..|[\x10-\x1f].{3}|[\x08-\x0f].{4}|[\x04-\x07].{5}"
    rb"|[\x02\x03].{6}|\x01.{7})(?:\xe7[\x81-\x88]|\xbf\x84|\xec|\xa7|\xab)", re.DOTALL,
)  # fmt: skip
"""A cluster with what stands first in it: twelve bytes and more that no payload has by chance."""
_MARK_BYTES: Final = 14
_block = struct.Struct(">hB").unpack_from


class _Damage(Exception):
    """What stands at a place of the data is no Matroska; the next cluster may be."""

    def __init__(self, why: str, place: int) -> None:
        super().__init__(why)
        self.place = place


class MatroskaDemuxer:
    """Feed the bytes of a Matroska or WebM stream in any split; get `Tracks`, `Frame` and `Discontinuity`.

    Frames come out in the order of their blocks, which is decoding order; decode times are rebuilt. A new EBML header
    begins a chained stream. Bytes that make no sense are passed over up to the next cluster, whose frames follow a
    Discontinuity; blocks that make none are left out and counted in `damaged`. What the end of the input cuts off is
    dropped.

    Before the first event `feed` may raise Foreign (libav has to read this); nothing is lost then.
    """

    def __init__(self, *, stored: bool = False) -> None:
        """`stored`: nobody waits for the first frame, so that tracks which begin late are known from the start."""
        self.sure = False
        """The tracks are known: Foreign is not raised any more."""
        self.duration_s: float | None = None
        """As Info tells it."""
        self._damaged = 0
        self._lanes: dict[int, Lane] = {}
        """By track number."""
        self._announcer = Announcer(stored=stored)
        self._entries: list[Entry] | None = None
        """Tracks of which no block has come."""
        self._tracks_body: bytes | None = None
        self._scale_ns = 1_000_000
        self._held = bytearray()
        self._position = 0
        """Where `_held`, or what is fed next, lies in the stream."""
        self._need = 1
        """Bytes from `_position` on without which nothing new can be said."""
        self._skip = 0
        self._in_segment = False
        self._segment_end: float = inf
        self._in_cluster = False
        self._cluster_end: float = inf
        self._ticks: int | None = None
        """Timestamp of the cluster."""
        self._newest = 0
        """Ticks of the newest block."""
        self._tick_s = 0.0
        """Of the cluster before."""
        self._cluster_s: float | None = None
        """Where the cluster before began."""
        self._chained = False
        """The next cluster is the first of a stream that follows another."""
        self._lost: str = ""
        """Why bytes are passed over up to the next cluster."""
        self._garbage = 0
        self._error: ParseError | None = None
        self._broken = Throttle(log, "Matroska: {n} times bytes were passed over that made no sense")

    @property
    def damaged(self) -> int:
        """Blocks that were left out."""
        return self._damaged + sum(lane.damaged for lane in self._lanes.values())

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Events completed by `data`.

        Raises ParseError when the input is not Matroska that can be read here; events in front of the damage come out
        first, then the next call raises.
        """
        if self._error is not None:
            raise self._error
        held = self._held
        if held:
            begun = len(held)
            held += data
            if len(held) < self._need and not (self._need > SUSPECT and self._swallows(begun)):
                return []
            data = bytes(held)
            self._held = bytearray()
        elif not isinstance(data, bytes):
            data = bytes(data)
        try:
            used = self._parse(data)
        except ParseError as error:
            self._error = error
            events = self._announcer.flush()
            if not events:
                raise
            return events
        if used < len(data):
            self._held += memoryview(data)[used:]
        return self._announcer.take()

    def flush(self) -> list[Event]:
        """End of input: what was held back. Raises the ParseError that `feed` put off, or that nothing came."""
        if self._error is not None:
            raise self._error
        if self._held and self._swallows(0):
            held, self._held = bytes(self._held), bytearray()
            events = self.feed(held)
            return events + self.flush()
        self._held = bytearray()
        if not self.sure:
            raise ParseError("Matroska: the input ended before its tracks were told", hint=HINT_CUT)
        return self._announcer.flush()

    def _swallows(self, start: int) -> bool:
        """Whether the block that is waited for has a cluster in it, from `start` of what is held: then it is none."""
        if not self._in_cluster or _SURE_MARK.search(self._held, max(start - _MARK_BYTES, 1)) is None:
            return False
        self._lost = "a block that reaches beyond its cluster"
        self._garbage = 0
        self._in_cluster = False
        self._broken.hit()
        return True

    # Elements.

    def _parse(self, data: bytes) -> int:
        """Read elements; returns how many bytes are used up, and sets `_need` for the rest."""
        place, total = 0, len(data)
        self._need = 0
        while not self._need:
            if self._skip:
                step = min(self._skip, total - place)
                place += step
                self._skip -= step
                if self._skip:
                    self._need = 1
                    break
            if self._lost:
                place = self._search(data, place)
                continue
            try:
                place = self._blocks(data, place) if self._in_cluster else self._element(data, place)
            except _Damage as damage:
                place = self._lose(damage)
        self._position += place
        return place

    def _lose(self, damage: _Damage) -> int:
        """Where to look for the next cluster."""
        self._broken.hit()
        self._lost = str(damage)
        log.debug("Matroska: %s at byte %d; going on at the next cluster", self._lost, self._position + damage.place)
        self._garbage = 0
        self._in_cluster = False
        return damage.place + 1

    def _search(self, data: bytes, place: int) -> int:
        """Pass over everything up to a cluster or a new header."""
        total = len(data)
        begun = place
        while True:
            found = _MARK.search(data, place)
            if found is None:
                # The last bytes may begin a mark.
                place = max(total - 3, begun)
                self._need = total - place + 1
                break
            place = found.start()
            try:
                told = head(data, place, total)
            except ParseError:
                place += 1
                continue
            if told is None or place + told[1] >= total:
                self._need = total - place + 1
                break
            ident, length, size = told
            if ident == _EBML:
                good = size != UNKNOWN and size <= MAX_EBML
            else:
                # Not by chance: something that stands in clusters must follow.
                good = bool(self._lanes or self._entries) and data[place + length] in _FIRST_IN_CLUSTER
            if good:
                self._found(ident)
                return place
            place += 1
        self._garbage += place - begun
        if self._garbage > MAX_GARBAGE:
            raise ParseError(f"Matroska: no cluster in {MAX_GARBAGE} bytes", offset=self._position + place)
        return place

    def _found(self, ident: int) -> None:
        """The stream goes on with a cluster, or with a new header."""
        if ident == _CLUSTER:
            self._announcer.discontinuity(Discontinuity(f"bytes that are no Matroska: {self._lost}"))
            for lane in self._lanes.values():
                lane.restart(clock=False)
            self._in_segment = True
            # Bytes may be missing: where the segment was to end means nothing now.
            self._segment_end = inf
        self._lost = ""

    def _element(self, data: bytes, place: int) -> int:
        """One element outside of clusters; returns where it ends, or where its content begins."""
        total = len(data)
        at = self._position + place
        if self._in_segment and at >= self._segment_end:
            self._in_segment = False
        if not self._position and not place and data[:4] != b"\x1a\x45\xdf\xa3"[:total]:
            raise ParseError("this is not Matroska: it does not begin with an EBML header", hint=HINT_LATE)
        try:
            found = head(data, place, total)
        except ParseError as error:
            self._refuse(error.message, place)
        if found is None:
            self._need = total - place + 1
            return place
        ident, length, size = found
        if ident in _WHOLE:
            return self._whole(data, place, found)
        if ident == _SEGMENT:
            self._in_segment, self._segment_end = True, inf if size == UNKNOWN else at + length + size
            return place + length
        if ident == _CLUSTER and (self._in_segment or self._lanes):
            if not self._lanes and not self._entries:
                raise ParseError("Matroska: media comes before the tracks are told", hint=HINT_LATE)
            self._in_cluster, self._ticks = True, None
            self._cluster_end = inf if size == UNKNOWN else at + length + size
            return place + length
        if size == UNKNOWN:
            self._refuse(f"the element {ident:X} has no end", place)
        limit = (self._segment_end - at - length) if self._in_segment and self._segment_end < inf else MAX_SKIP
        if not (ident in _PASSED or (self._in_segment and size <= MAX_UNKNOWN)) or size > limit:
            self._refuse(f"an element {ident:X} of {size} bytes", place)
        self._skip = size
        return place + length

    def _refuse(self, why: str, place: int) -> NoReturn:
        """Damage; before any media it makes the input something else."""
        if not self._lanes:
            raise ParseError(f"Matroska: {why}", offset=self._position + place)
        raise _Damage(why, place)

    def _whole(self, data: bytes, place: int, found: tuple[int, int, int]) -> int:
        """An element that is read as a whole; returns where it ends."""
        ident, length, size = found
        if size == UNKNOWN or size > _WHOLE[ident]:
            self._refuse(f"an element {ident:X} of {size} bytes, more than {_WHOLE[ident]}", place)
        start = place + length
        end = start + size
        if end > len(data):
            self._need = end - place
            return place
        if ident == _EBML:
            self._begin(data, start, end)
        elif ident == _INFO:
            self._read_info(data, start, end)
        else:
            body = data[start:end]
            if body != self._tracks_body:
                # Live servers repeat it.
                entries = parse_tracks(body)
                for entry in entries:
                    # What cannot be used shows now, while something else may still read the input.
                    Lane(entry, self._scale_ns)
                self._entries = entries
                self._tracks_body = body
                self.sure = True
        return end

    def _begin(self, data: bytes, start: int, end: int) -> None:
        """An EBML header: a stream begins (RFC 8794 11.2)."""
        fields = {ident: data[a:b] for ident, a, b in children(data, start, end)}
        doctype = text(fields.get(0x4282, b""))
        if doctype not in ("matroska", "webm"):
            raise ParseError(f"an EBML document of type '{doctype}', not matroska or webm")
        if uint(fields.get(0x42F7, b"\1")) > 1 or uint(fields.get(0x42F2, b"\4")) > 4:
            raise ParseError("Matroska: it needs a later version of EBML")
        if uint(fields.get(0x42F3, b"\x08")) > 8:
            raise ParseError("Matroska: it has sizes of more than eight octets")
        self._chained = bool(self._lanes)
        self._in_segment = False
        self._tracks_body = None
        self._scale_ns = 1_000_000

    def _read_info(self, data: bytes, start: int, end: int) -> None:
        fields = {ident: data[a:b] for ident, a, b in children(data, start, end)}
        if 0x2AD7B1 in fields:
            # RFC 9559 5.1.2.9
            self._scale_ns = uint(fields[0x2AD7B1])
            if not 0 < self._scale_ns <= NS:
                raise ParseError(f"Matroska: ticks of {self._scale_ns} ns")
        duration_s = real(fields.get(0x4489, b"")) * self._scale_ns / NS
        if self.duration_s is None and 0 < duration_s < MAX_TIME_NS / NS:
            self.duration_s = duration_s

    def _open_lanes(self) -> None:
        """The first cluster behind a list of tracks."""
        assert self._entries is not None
        entries, self._entries = self._entries, None
        for lane in self._lanes.values():
            self._damaged += lane.damaged
        lanes = [Lane(entry, self._scale_ns) for entry in entries]
        self._announcer.begin(lanes)
        self._lanes = {lane.number: lane for lane in lanes}

    def _time(self, ticks: int, place: int) -> None:
        """The Timestamp of a cluster."""
        scale = self._scale_ns
        if ticks * scale > MAX_TIME_NS:
            raise _Damage(f"a cluster at tick {ticks}", place)
        now_s = ticks * scale / NS
        newest_s = self._newest * self._tick_s
        before_s = self._cluster_s
        chained, self._chained = self._chained, False
        if before_s is not None:
            # Blocks reach back from where a cluster begins; clusters do not.
            if now_s < (newest_s if chained else before_s) - BACK_S or (chained and now_s > newest_s + AHEAD_S):
                self._announcer.discontinuity(Discontinuity("the clock was set anew", clock=True))
                for lane in self._lanes.values():
                    lane.restart(clock=True)
            elif now_s > newest_s + AHEAD_S:
                for lane in self._lanes.values():
                    lane.restart(clock=False)
        if self._entries is not None:
            self._open_lanes()
        self._cluster_s, self._tick_s = now_s, scale / NS
        self._ticks = self._newest = ticks

    # Blocks.

    def _blocks(self, data: bytes, place: int) -> int:
        """What a cluster holds, from `place` on; returns where it ends or what is there ends."""
        total = len(data)
        stop = int(min(self._cluster_end - self._position, total))
        lanes, announcer = self._lanes, self._announcer
        append = announcer.sink.append
        ticks, newest = self._ticks, self._newest
        try:
            while place < stop:
                # A block with a size of up to four octets; anything else goes the long way.
                size = -1
                if data[place] == 0xA3 and place + 5 <= stop:
                    first = data[place + 1]
                    if first >= 0x80:
                        body, size = place + 2, first & 0x7F
                    elif first >= 0x40:
                        body, size = place + 3, (first & 0x3F) << 8 | data[place + 2]
                    elif first >= 0x20:
                        body, size = place + 4, (first & 0x1F) << 16 | data[place + 2] << 8 | data[place + 3]
                    elif first >= 0x10:
                        body = place + 5
                        size = (first & 0x0F) << 24 | data[place + 2] << 16 | data[place + 3] << 8 | data[place + 4]
                if size > 4 and body + size <= stop and data[body] > 0x80 and ticks is not None:
                    time, flags = _block(data, body + 1)
                    # RFC 9559 10.2: bits 1 and 2 are the lacing.
                    if not flags & 6:
                        end = body + size
                        lane = lanes.get(data[body] & 0x7F)
                        if lane is not None:
                            time += ticks
                            if time > newest:
                                newest = time
                            frame = lane.frame(time, data[body + 4 : end], flags > 127)
                            if frame is not None:
                                if lane.changed:
                                    announcer.change(lane)
                                    append = announcer.sink.append
                                append(frame)
                        place = end
                        continue
                self._newest = newest
                after = self._child(data, place, total)
                if after == place or not self._in_cluster or self._skip:
                    return after
                place = after
                lanes, append = self._lanes, announcer.sink.append
                ticks, newest = self._ticks, self._newest
        finally:
            self._newest = newest
        if self._position + place >= self._cluster_end:
            self._in_cluster = False
        elif place >= total:
            self._need = 1
        return place

    def _child(self, data: bytes, place: int, total: int) -> int:
        """One element in a cluster; returns where it ends, or `place` when more bytes are needed."""
        try:
            found = head(data, place, total)
        except ParseError as error:
            raise _Damage(error.message, place) from None
        if found is None:
            self._need = total - place + 1
            return place
        ident, length, size = found
        if ident in _UPPER:
            # Also where the cluster was said to be longer: writers that were killed.
            self._in_cluster = False
            return place
        body = place + length
        end = body + size
        if size == UNKNOWN or self._position + end > self._cluster_end or size > MAX_BLOCK:
            raise _Damage(f"an element {ident:X} of {size} bytes", place)
        if ident in _IN_CLUSTER:
            if end > total:
                self._skip = size
                return body
            return end
        if ident not in (0xA3, 0xA0, 0xE7):
            raise _Damage(f"an element {ident:X}, which clusters do not have", place)
        if end > total:
            self._need = end - place
            return place
        if ident == 0xE7:
            if size > 8:
                raise _Damage(f"a time of {size} bytes", place)
            self._time(uint(data[body:end]), place)
            return end
        try:
            if ident == 0xA3:
                self._take_block(data, body, end, None, 0)
            else:
                self._take_group(data, body, end)
        except ParseError as error:
            self._damaged += 1
            log.debug("Matroska: a block is left out: %s", error)
        return end

    def _take_group(self, data: bytes, start: int, end: int) -> None:
        """A BlockGroup (RFC 9559 5.1.3.5). Raises ParseError."""
        block: tuple[int, int] | None = None
        key, duration = True, 0
        for ident, at, stop in children(data, start, end):
            if ident == 0xA1 and block is None:
                block = at, stop
            elif ident == 0x9B:
                duration = uint(data[at:stop])
            elif ident == 0xFB:
                # ReferenceBlock: it needs another one.
                key = False
        if block is not None:
            self._take_block(data, *block, key, duration)

    def _take_block(self, data: bytes, start: int, end: int, key: bool | None, duration: int) -> None:
        """The frames of one block; `key` is None where its own flag tells. Raises ParseError."""
        number, at = vint(data, start, end)
        if at + 3 > end:
            raise ParseError("a block is cut off", offset=at)
        lane, ticks = self._lanes.get(number), self._ticks
        if lane is None:
            return
        if ticks is None:
            raise ParseError("a block before the time of its cluster", offset=start)
        time, flags = _block(data, at)
        time += ticks
        if time > self._newest:
            self._newest = time
        if key is None:
            key = flags > 127
        total = min(duration, MAX_DURATION) * lane.multiplier
        lacing = flags >> 1 & 3
        if not lacing:
            self._put(lane, lane.frame(time, data[at + 3 : end], key, total))
            return
        parts = laces(data, at + 3, end, lacing)
        step_ns = lane.laced(len(parts), data[parts[0][0] : parts[0][1]], total)
        each = rescale(step_ns, NS, lane.timescale)
        for index, (a, b) in enumerate(parts):
            frame = lane.frame(time, data[a:b], key, each)
            if frame is not None and index:
                # In the track's own ticks, which may be finer than the block's.
                later = rescale(step_ns * index, NS, lane.timescale)
                frame.pts += later
                frame.dts += later
            self._put(lane, frame)

    def _put(self, lane: Lane, frame: Frame | None) -> None:
        if frame is not None:
            if lane.changed:
                self._announcer.change(lane)
            self._announcer.sink.append(frame)


def laces(data: bytes, at: int, end: int, lacing: int) -> list[tuple[int, int]]:
    """Where the frames of a laced block begin and end (RFC 9559 10.3); `at` is behind its header. Raises ParseError."""
    if at >= end:
        raise ParseError("a laced block is cut off", offset=at)
    count = data[at] + 1
    at += 1
    sizes: list[int] = []
    if lacing == 2:
        # Fixed size: all frames are equally long.
        if (end - at) % count:
            raise ParseError("a block does not divide into its frames", offset=at)
        sizes = [(end - at) // count] * (count - 1)
    elif lacing == 1:
        # Xiph: a sum of octets of which only the last is below 255.
        for _ in range(count - 1):
            size = 0
            while True:
                if at >= end:
                    raise ParseError("the lacing is cut off", offset=at)
                octet = data[at]
                at += 1
                size += octet
                if octet < 255:
                    break
            sizes.append(size)
    elif count > 1:
        # EBML: the first size, then differences, moved up so that they are not negative.
        size, at = vint(data, at, end)
        sizes.append(size)
        for _ in range(count - 2):
            begun = at
            step, at = vint(data, at, end)
            size += step - ((1 << 7 * (at - begun) - 1) - 1)
            sizes.append(size)
    parts: list[tuple[int, int]] = []
    for size in sizes:
        if size < 0 or at + size > end:
            raise ParseError("a laced frame reaches beyond its block", offset=at)
        parts.append((at, at + size))
        at += size
    parts.append((at, end))
    return parts
