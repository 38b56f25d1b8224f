"""Picture order in H.264 and H.265 streams that carry no timestamps.

Reads just the fields of parameter sets and slice headers that lead to the picture order count (H.264 8.2.1, H.265
8.3.1), and turns counts into ranks of output.
"""

import heapq
from dataclasses import dataclass

from evotools.codecs.bits import BitReader
from evotools.codecs.nal import unescape
from evotools.errors import ParseError

MAX_SETS = 64
"""Parameter sets kept per kind; H.264 and H.265 allow 32 and 16 sequence sets, of picture sets few are in use."""
MAX_HEADER = 64
"""Bytes of a slice looked at. The fields read here end before the 30th byte."""
MAX_REORDER = 16
"""H.264 A.3.1 and H.265 A.4.2: pictures in the decoded picture buffer."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What the first slice of a picture says about its place."""

    poc: int
    resets: bool
    """Every picture before this one is output before it (IDR, BLA)."""
    frame_num: int = -1
    field: int = 0
    """0 a frame, 1 a top field, 2 a bottom field."""


@dataclass(frozen=True, slots=True)
class _Sps:
    lsb_bits: int
    frame_num_bits: int = 0
    poc_type: int = 0
    frame_mbs_only: bool = True
    separate_planes: bool = False


class H264Order:
    """Follows parameter sets and gives the place of each picture of an H.264 stream."""

    def __init__(self) -> None:
        self._sps: dict[int, _Sps] = {}
        self._pps: dict[int, int] = {}
        self._msb = 0
        self._lsb = 0
        self._count = 0

    def parameter_set(self, nal: bytes) -> None:
        """Take note of an SPS or PPS. Raises ParseError."""
        bits = BitReader(unescape(nal))
        bits.skip(8)
        if nal[0] & 0x1F == 8:
            pps_id = bits.ue()
            if len(self._pps) < MAX_SETS or pps_id in self._pps:
                self._pps[pps_id] = bits.ue()
            return
        profile = bits.u(8)
        bits.skip(16)
        sps_id = bits.ue()
        separate = False
        # 7.3.2.1.1: the profiles that have chroma_format_idc.
        if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
            chroma = bits.ue()
            if chroma == 3:
                separate = bits.flag()
            bits.ue()
            bits.ue()
            bits.skip(1)
            if bits.flag():
                for index in range(12 if chroma == 3 else 8):
                    if bits.flag():
                        _skip_scaling_list(bits, 16 if index < 6 else 64)
        frame_num_bits = bits.ue() + 4
        poc_type = bits.ue()
        lsb_bits = 0
        if poc_type == 0:
            lsb_bits = bits.ue() + 4
        elif poc_type == 1:
            bits.skip(1)
            bits.se()
            bits.se()
            for _ in range(min(bits.ue(), 256)):
                bits.se()
        bits.ue()
        bits.skip(1)
        bits.ue()
        bits.ue()
        if frame_num_bits > 16 or lsb_bits > 16:
            raise ParseError("an SPS has counters of more than 16 bits")
        if len(self._sps) < MAX_SETS or sps_id in self._sps:
            self._sps[sps_id] = _Sps(lsb_bits, frame_num_bits, poc_type, bits.flag(), separate)

    def picture(self, nal: bytes) -> Picture:
        """The place of the picture whose first slice is `nal`. Raises ParseError."""
        bits = BitReader(unescape(nal[:MAX_HEADER]))
        reference = nal[0] & 0x60
        idr = nal[0] & 0x1F == 5
        # 7.3.3
        bits.skip(8)
        bits.ue()
        bits.ue()
        sps = self._sps.get(self._pps.get(bits.ue(), -1))
        if sps is None:
            raise ParseError("a slice names parameter sets that are not there")
        if sps.separate_planes:
            bits.skip(2)
        frame_num = bits.u(sps.frame_num_bits)
        field = 0
        if not sps.frame_mbs_only and bits.flag():
            field = 2 if bits.flag() else 1
        if idr:
            bits.ue()
            self._msb = self._lsb = self._count = 0
        if sps.poc_type != 0:
            # Type 2 outputs in decoding order; type 1 is not seen outside of conformance streams.
            self._count += 2
            return Picture(self._count, idr, frame_num, field)
        lsb = bits.u(sps.lsb_bits)
        msb = _msb(lsb, self._msb, self._lsb, sps.lsb_bits)
        if reference:
            self._msb, self._lsb = msb, lsb
        return Picture(msb + lsb, idr, frame_num, field)


class H265Order:
    """Follows parameter sets and gives the place of each picture of an H.265 stream."""

    def __init__(self) -> None:
        self._sps: dict[int, _Sps] = {}
        self._pps: dict[int, tuple[int, bool, int]] = {}
        self._msb = 0
        self._lsb = 0
        self._started = False

    def parameter_set(self, nal: bytes) -> None:
        """Take note of an SPS or PPS; a VPS says nothing of order. Raises ParseError."""
        kind = nal[0] >> 1 & 0x3F
        bits = BitReader(unescape(nal))
        bits.skip(16)
        if kind == 34:
            # 7.3.2.3.1
            pps_id, sps_id = bits.ue(), bits.ue()
            bits.skip(1)
            output_flag, extra = bits.flag(), bits.u(3)
            if len(self._pps) < MAX_SETS or pps_id in self._pps:
                self._pps[pps_id] = (sps_id, output_flag, extra)
            return
        if kind != 33:
            return
        # 7.3.2.2.1
        bits.skip(4)
        sub_layers = bits.u(3)
        bits.skip(1)
        # 7.3.3: 88 bits of profile and 8 of level, then flags and the same for each sub-layer.
        bits.skip(96)
        present = [(bits.flag(), bits.flag()) for _ in range(sub_layers)]
        if sub_layers:
            bits.skip(2 * (8 - sub_layers))
        for profile, level in present:
            bits.skip(88 * profile + 8 * level)
        sps_id = bits.ue()
        separate = bits.ue() == 3 and bits.flag()
        bits.ue()
        bits.ue()
        if bits.flag():
            for _ in range(4):
                bits.ue()
        bits.ue()
        bits.ue()
        lsb_bits = bits.ue() + 4
        if lsb_bits > 16:
            raise ParseError("an SPS has a picture order count of more than 16 bits")
        if len(self._sps) < MAX_SETS or sps_id in self._sps:
            self._sps[sps_id] = _Sps(lsb_bits, separate_planes=separate)

    def picture(self, nal: bytes) -> Picture:
        """The place of the picture whose first slice segment is `nal`. Raises ParseError."""
        kind = nal[0] >> 1 & 0x3F
        bits = BitReader(unescape(nal[:MAX_HEADER]))
        # 7.3.6.1
        bits.skip(17)
        irap = 16 <= kind <= 23
        if irap:
            bits.skip(1)
        sps_id, output_flag, extra = self._pps.get(bits.ue(), (-1, False, 0))
        sps = self._sps.get(sps_id)
        if sps is None:
            raise ParseError("a slice names parameter sets that are not there")
        # 8.3.1: NoRaslOutputFlag is 1 for IDR, BLA, and for a CRA that comes first.
        resets = 16 <= kind <= 20 or (irap and not self._started)
        self._started = True
        if kind in (19, 20):
            self._msb = self._lsb = 0
            return Picture(0, True)
        bits.skip(extra)
        bits.ue()
        bits.skip(output_flag + 2 * sps.separate_planes)
        lsb = bits.u(sps.lsb_bits)
        msb = 0 if resets else _msb(lsb, self._msb, self._lsb, sps.lsb_bits)
        # prevTid0Pic: temporal layer 0, not leading, not a sub-layer non-reference picture.
        if nal[1] & 7 == 1 and not 6 <= kind <= 9 and (kind > 14 or kind & 1):
            self._msb, self._lsb = msb, lsb
        return Picture(msb + lsb, resets)


def _msb(lsb: int, previous_msb: int, previous_lsb: int, bits: int) -> int:
    # H.264 (8-3), H.265 (8-1)
    span = 1 << bits
    if lsb < previous_lsb and previous_lsb - lsb >= span // 2:
        return previous_msb + span
    if lsb > previous_lsb and lsb - previous_lsb > span // 2:
        return previous_msb - span
    return previous_msb


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) & 0xFF
        last = following or last


class Ranks:
    """Ranks of output for pictures that come in decoding order, as the decoded picture buffer would output them."""

    def __init__(self) -> None:
        self.depth = 0
        """How many pictures may overtake another."""
        self._heap: list[tuple[int, int]] = []
        self._decoded = 0
        self._output = 0

    def push(self, picture: Picture | None) -> list[tuple[int, int]]:
        """(number in decoding order, rank of output) of the pictures whose rank is now known.

        None stands for a picture whose place cannot be read: it comes after all others.
        """
        ready: list[tuple[int, int]] = []
        if picture is None or picture.resets:
            ready = self.flush()
        if picture is None:
            ready.append((self._decoded, self._output))
            self._output += 1
        else:
            heapq.heappush(self._heap, (picture.poc, self._decoded))
        self._decoded += 1
        while len(self._heap) > self.depth:
            ready.append((heapq.heappop(self._heap)[1], self._output))
            self._output += 1
        return ready

    def flush(self) -> list[tuple[int, int]]:
        """The rest in order."""
        ready = []
        while self._heap:
            ready.append((heapq.heappop(self._heap)[1], self._output))
            self._output += 1
        return ready
