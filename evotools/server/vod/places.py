"""Where in a file of media a time lies: containers without an index are divided until the place is found.

Every probe reads one window of the file and finds the first time in it. Pure but for the reader it is given.
"""

import re
import struct
from collections.abc import Callable
from typing import Final, Protocol

from evotools.containers.mpegts.packet import TIMESCALE, WRAP
from evotools.containers.sniff import make_demuxer
from evotools.errors import ParseError
from evotools.media.frame import Frame

ReadAt = Callable[[int, int], bytes]
"""(offset, length) to bytes, fewer only at the end of the file. Blocks."""
WINDOW_BYTES: Final = 256 << 10
"""Read by a probe at first: a quarter of a second at 8 Mbit/s, with the tables of a transport stream."""
MAX_WINDOW_BYTES: Final = 8 << 20
"""Read by a probe that finds no time in less: one key frame of 8K video may take that."""
MAX_PROBES: Final = 48
"""Halvings until a file of 2^63 bytes is down to a window."""
_FLV_HEAD: Final = re.compile(rb"[\x08\x09\x12].{6}.\x00\x00\x00", re.DOTALL)
_CLUSTER: Final = b"\x1f\x43\xb6\x75"
_TAG = 11


class Probe(Protocol):
    """Finds the first time in a window."""

    def find(self, window: bytes, *, ended: bool) -> tuple[int, float] | None:
        """(offset in the window at which reading can begin, decode time there in seconds), or None. `ended`: the file
        ends with the window."""
        ...


class TsProbe:
    """MPEG-TS: any packet will do, since tables come again and again."""

    def __init__(self, track_id: int, origin_s: float) -> None:
        self._track_id = track_id
        self._origin_s = origin_s

    def find(self, window: bytes, *, ended: bool) -> tuple[int, float] | None:
        """See Probe."""
        demuxer = make_demuxer("ts", stored=True)
        try:
            events = demuxer.feed(window)
            events += demuxer.flush()
        except ParseError:
            return None
        for event in events:
            if isinstance(event, Frame) and event.track.id == self._track_id:
                return 0, unwrapped(event.dts, self._origin_s) / TIMESCALE
        return None


def unwrapped(dts: int, origin_s: float) -> int:
    """A 33-bit time on the clock of a file that begins at `origin_s`."""
    # ISO/IEC 13818-1 2.4.3.7: a reader that begins in the middle cannot know how often the clock went round.
    origin = round(origin_s * TIMESCALE) - TIMESCALE
    return origin + (dts - origin) % WRAP


class FlvProbe:
    """FLV: a tag whose size is followed by the same size plus its header, and by another tag's type."""

    def find(self, window: bytes, *, ended: bool) -> tuple[int, float] | None:
        """See Probe."""
        size = len(window)
        for match in _FLV_HEAD.finditer(window):
            at = match.start()
            behind = at + _TAG + int.from_bytes(window[at + 1 : at + 4], "big")
            if behind + 4 > size or int.from_bytes(window[behind : behind + 4], "big") != behind - at:
                continue
            if behind + 4 < size and window[behind + 4] not in (8, 9, 18):
                continue
            if window[at] == 18:
                continue
            # Adobe FLV E.4.1: three bytes and the highest one behind them, signed.
            (time,) = struct.unpack(">i", window[at + 7 : at + 8] + window[at + 4 : at + 7])
            return at, time / 1000
        return None


class MatroskaProbe:
    """Matroska and WebM: a cluster, whose time comes at its beginning."""

    def __init__(self, tick_ns: int) -> None:
        self._tick_ns = tick_ns

    def find(self, window: bytes, *, ended: bool) -> tuple[int, float] | None:
        """See Probe."""
        at = window.find(_CLUSTER)
        while at >= 0:
            time = _cluster_time(window, at + 4)
            if time is not None:
                return at, time * self._tick_ns / 1e9
            at = window.find(_CLUSTER, at + 4)
        return None


def _cluster_time(window: bytes, at: int) -> int | None:
    """RFC 9559 5.1.3.1: Timestamp comes first in a cluster but for a CRC-32 and void elements."""
    at += vint_length(window, at)
    for _ in range(8):
        if at >= len(window):
            return None
        ident = window[at]
        width = vint_length(window, at + 1)
        if not width or at + 1 + width > len(window):
            return None
        size = int.from_bytes(window[at + 1 : at + 1 + width], "big") & (1 << 7 * width) - 1
        body = at + 1 + width
        if ident == 0xE7:
            return int.from_bytes(window[body : body + size], "big") if size <= 8 else None
        # CRC-32, Void, Position, PrevSize
        if ident not in (0xBF, 0xEC, 0xA7, 0xAB):
            return None
        at = body + size
    return None


def vint_length(window: bytes, at: int) -> int:
    """How many bytes the EBML number at `at` takes (RFC 8794 4.1); 0 when there is none."""
    return 9 - window[at].bit_length() if at < len(window) and window[at] else 0


def place_of(read: ReadAt, size: int, first: int, start_s: float, probe: Probe) -> int:
    """A place in the file from which on everything from `start_s` on can be read.

    `first` is where media begins, which is the answer when nothing better is found. Reads a few megabytes at most.
    """
    low, high = first, size
    best = first
    for _ in range(MAX_PROBES):
        if high - low <= WINDOW_BYTES:
            break
        middle = (low + high) // 2
        found = _probe(read, size, middle, high, probe)
        if found is None or found[1] > start_s:
            high = middle
        else:
            best = found[0]
            low = max(found[0], middle)
    return best


def _probe(read: ReadAt, size: int, at: int, high: int, probe: Probe) -> tuple[int, float] | None:
    length = WINDOW_BYTES
    while True:
        window = read(at, length)
        ended = at + len(window) >= size
        found = probe.find(window, ended=ended)
        if found is not None:
            return at + found[0], found[1]
        if ended or length >= MAX_WINDOW_BYTES or at + length >= high:
            return None
        length *= 4
