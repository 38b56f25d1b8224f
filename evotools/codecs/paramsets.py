"""Between Annex B streams, which carry their parameter sets in band, and canonical payloads, which do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from evotools.codecs import h264, h265
from evotools.codecs.nal import START_CODE, Bytes, join_annexb, join_lengths, split_annexb, split_lengths
from evotools.errors import MediaError, ParseError
from evotools.media.frame import Frame

MAX_PARAMETER_SET = 8192
"""Bytes. Scaling lists and HRD of real streams stay below 2 KiB; bounds what a peer can make us keep."""

AUD_H264 = b"\x09\xf0"
"""Access unit delimiter: any slice type may follow (H.264 7.3.2.4)."""
AUD_H265 = b"\x46\x01\x50"
"""Access unit delimiter: any slice type may follow (H.265 7.3.2.5)."""


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One access unit without delimiters and parameter sets."""

    payload: bytes
    """4-byte length-prefixed NAL units; empty when the unit held nothing but parameter sets and delimiters."""
    key: bool
    idr: bool
    config: bytes | None
    """A new avcC or hvcC, in force from this access unit on; None when nothing changed."""


class AccessUnits:
    """Makes canonical payloads of Annex B access units and follows their parameter sets.

    Parameter sets are kept by id. The first complete set gives a configuration at once; later ones take effect at
    the next key frame, and only when they differ or the key frame names another sequence parameter set. That one
    stands first in the record. Broken and oversized parameter sets, as lossy links make them, are dropped and
    counted in `dropped`.
    """

    def __init__(self, codec: str) -> None:
        if codec not in ("h264", "h265"):
            raise MediaError(f"codec '{codec}' has no Annex B form")
        self.codec = codec
        self.config = b""
        """The record in force; empty before the first."""
        self.dropped = 0
        self._vps: dict[int, bytes] = {}
        self._sps: dict[int, bytes] = {}
        self._pps: dict[int, bytes] = {}
        self._ext: dict[int, bytes] = {}
        self._sps_of: dict[int, int] = {}
        self._active = -1
        self._changed = False

    def read(self, annexb: Bytes) -> AccessUnit:
        """The access unit whose Annex B bytes are given whole; nonsense gives an empty payload.

        Raises ParseError for more than MAX_NALS NAL units.
        """
        return self.read_nals(split_annexb(annexb))

    def read_nals(self, nals: Sequence[bytes]) -> AccessUnit:
        """The same for an access unit that is split already."""
        return self._read_h264(nals) if self.codec == "h264" else self._read_h265(nals)

    def _read_h264(self, nals: Sequence[bytes]) -> AccessUnit:
        kept: list[bytes] = []
        special = False
        for nal in nals:
            kind = nal[0] & 0x1F
            if kind == h264.NAL_SPS or kind == h264.NAL_PPS or kind == h264.NAL_SPS_EXT:
                special = True
                self._take_h264(kind, nal)
            elif kind != h264.NAL_AUD:
                if kind == h264.NAL_SEI or kind == h264.NAL_IDR:
                    special = True
                kept.append(nal)
        key = special and h264.is_keyframe(nals)
        idr = key and h264.is_idr(kept)
        return AccessUnit(join_lengths(kept), key, idr, self._settle(key, kept) if key or not self.config else None)

    def _read_h265(self, nals: Sequence[bytes]) -> AccessUnit:
        kept: list[bytes] = []
        key = idr = False
        for nal in nals:
            kind = nal[0] >> 1 & 0x3F
            if h265.NAL_VPS <= kind <= h265.NAL_PPS:
                self._take_h265(kind, nal)
            elif kind != h265.NAL_AUD and len(nal) > 1:
                if h265.NAL_BLA_W_LP <= kind <= h265.NAL_CRA:
                    key = True
                    idr = idr or kind in (h265.NAL_IDR_W_RADL, h265.NAL_IDR_N_LP)
                kept.append(nal)
        return AccessUnit(join_lengths(kept), key, idr, self._settle(key, kept) if key or not self.config else None)

    def _put(self, table: dict[int, bytes], index: int, nal: bytes) -> None:
        if table.get(index) != nal:
            table[index] = nal
            self._changed = True

    def _take_h264(self, kind: int, nal: bytes) -> None:
        try:
            if len(nal) > MAX_PARAMETER_SET:
                raise ParseError("the parameter set is too long")
            if kind == h264.NAL_SPS:
                if nal not in self._sps.values():
                    self._put(self._sps, h264.parse_sps(nal).id, nal)
            elif kind == h264.NAL_PPS:
                if nal not in self._pps.values():
                    index, self._sps_of[index] = h264.parse_pps_ids(nal)
                    self._put(self._pps, index, nal)
            else:
                self._put(self._ext, h264.parse_sps_ext_id(nal), nal)
        except ParseError:
            self.dropped += 1

    def _take_h265(self, kind: int, nal: bytes) -> None:
        if len(nal) < 2 or (nal[0] & 1) << 5 | nal[1] >> 3:
            # Parameter sets of enhancement layers are no part of the base layer's configuration.
            return
        try:
            if len(nal) > MAX_PARAMETER_SET:
                raise ParseError("the parameter set is too long")
            if kind == h265.NAL_VPS:
                if nal not in self._vps.values():
                    self._put(self._vps, h265.parse_vps(nal).id, nal)
            elif kind == h265.NAL_SPS:
                if nal not in self._sps.values():
                    self._put(self._sps, h265.parse_sps(nal).id, nal)
            elif nal not in self._pps.values():
                index, self._sps_of[index] = h265.parse_pps_ids(nal)
                self._put(self._pps, index, nal)
        except ParseError:
            self.dropped += 1

    def _active_sps(self, nals: Sequence[bytes]) -> int:
        """The id of the sequence parameter set that the first slice among `nals` leads to; the last one known else."""
        try:
            for nal in nals:
                if self.codec == "h264":
                    if nal[0] & 0x1F in (h264.NAL_SLICE, h264.NAL_PARTITION_A, h264.NAL_IDR):
                        return self._sps_of.get(h264.parse_slice(nal)[2], self._active)
                elif nal[0] >> 1 & 0x3F < h265.NAL_VPS:
                    return self._sps_of.get(h265.slice_pps_id(nal), self._active)
        except ParseError:
            pass
        return self._active

    def _settle(self, key: bool, nals: Sequence[bytes]) -> bytes | None:
        """The new record when there is one."""
        active = self._active_sps(nals)
        if not self._changed and (active == self._active or not key):
            return None
        if not self._sps or not self._pps:
            return None
        self._changed = False
        self._active = active
        first = [self._sps[active]] if active in self._sps else []
        sps = first + [unit for index, unit in sorted(self._sps.items()) if index != active]
        pps = [unit for _, unit in sorted(self._pps.items())]
        try:
            if self.codec == "h264":
                # The count fields of avcC say at most 31 and 255.
                config = h264.build_avcc(sps[:31], pps[:255], [unit for _, unit in sorted(self._ext.items())])
            else:
                config = h265.build_hvcc([unit for _, unit in sorted(self._vps.items())], sps, pps)
        except ParseError:
            self.dropped += 1
            return None
        if config == self.config:
            return None
        self.config = config
        return config


def _ids(codec: str, nal: bytes) -> tuple[int, int] | None:
    """(NAL unit type, id) of a parameter set; None for every other NAL unit and for broken ones."""
    try:
        if codec == "h264":
            kind = h264.nal_type(nal)
            if kind == h264.NAL_SPS:
                return kind, h264.parse_sps(nal).id
            return (kind, h264.parse_pps_ids(nal)[0]) if kind == h264.NAL_PPS else None
        kind = h265.nal_type(nal)
        if kind == h265.NAL_VPS:
            return kind, h265.parse_vps(nal).id
        if kind == h265.NAL_SPS:
            return kind, h265.parse_sps(nal).id
        return (kind, h265.parse_pps_ids(nal)[0]) if kind == h265.NAL_PPS else None
    except ParseError:
        return None


_DISPLAY_SEI = (45, 47, 137, 144, 147, 148)
"""SEI messages of hvcC that decoders need for the picture to look right, and which stand nowhere else (H.265 D.2.1):
frame packing, display orientation, mastering display, content light level, alternative transfer, ambient light."""


@lru_cache(maxsize=64)
def _sets_of(codec: str, config: bytes) -> tuple[tuple[tuple[int, int] | None, bytes], ...]:
    """The NAL units that a configuration record puts before key frames, with their types and ids."""
    if not config:
        return ()
    if codec == "h264":
        avcc = h264.parse_avcc(config)
        units = avcc.sps + avcc.sps_ext + avcc.pps
    else:
        hvcc = h265.parse_hvcc(config)
        sei = tuple(unit for unit in hvcc.nals(h265.NAL_SEI_PREFIX) if len(unit) > 2 and unit[2] in _DISPLAY_SEI)
        units = hvcc.vps + hvcc.sps + hvcc.pps + sei
    return tuple((_ids(codec, unit), unit) for unit in units)


@lru_cache(maxsize=64)
def _lead_of(codec: str, config: bytes) -> bytes:
    """Delimiter and parameter sets as Annex B bytes."""
    delimiter = AUD_H264 if codec == "h264" else AUD_H265
    return join_annexb([delimiter, *(unit for _, unit in _sets_of(codec, config))])


def parameter_sets(codec: str, config: bytes) -> tuple[bytes, ...]:
    """The NAL units in an avcC or hvcC record, in the order in which a stream carries them. Raises ParseError."""
    return tuple(unit for _, unit in _sets_of(codec, config))


_SETS_H264 = frozenset({h264.NAL_SPS, h264.NAL_PPS})
_SETS_H265 = frozenset({h265.NAL_VPS, h265.NAL_SPS, h265.NAL_PPS})


_UNWANTED_H264 = _SETS_H264 | {h264.NAL_AUD}
_UNWANTED_H265 = _SETS_H265 | {h265.NAL_AUD}
_FEW_NALS = 64


def _with_start_codes(payload: bytes, shift: int, mask: int, unwanted: frozenset[int]) -> bytearray | None:
    """A payload of a few units with start codes in place of the lengths, which have the same size.

    None where the units have to be looked at one by one: some are of unwanted types, empty, many or cut short.
    """
    out = bytearray(payload)
    total = len(payload)
    at = 0
    for _ in range(_FEW_NALS):
        start = at + 4
        if start >= total or payload[start] >> shift & mask in unwanted:
            return None
        out[at:start] = START_CODE
        following = start + int.from_bytes(payload[at:start], "big")
        if following == total:
            return out
        if following == start:
            return None
        at = following
    return None


def to_annexb(frame: Frame) -> bytes:
    """The frame as an Annex B access unit, for `frame.form("annexb", to_annexb)`.

    An access unit delimiter, the track's parameter sets before key frames, then the payload's NAL units.
    Parameter sets (by type and id) that the payload carries itself are not repeated. Raises ParseError for a
    broken payload or configuration, MediaError for other codecs.
    """
    track = frame.track
    codec = track.codec
    if codec == "h264":
        delimiter, sets = AUD_H264, _SETS_H264
    elif codec == "h265":
        delimiter, sets = AUD_H265, _SETS_H265
    else:
        raise MediaError(f"codec '{codec}' has no Annex B form")
    payload = frame.payload
    lead = _lead_of(codec, track.config) if frame.key else START_CODE + delimiter
    total = len(payload)
    shift, mask = (0, 0x1F) if codec == "h264" else (1, 0x3F)
    if total > 4 and int.from_bytes(payload[:4], "big") == total - 4 and payload[4] >> shift & mask not in sets:
        return b"".join((lead, START_CODE, memoryview(payload)[4:]))
    aud = h264.NAL_AUD if codec == "h264" else h265.NAL_AUD
    # What stands in an hvcC besides parameter sets has a place of its own among the payload's units.
    if codec == "h264" or not frame.key:
        body = _with_start_codes(payload, shift, mask, _UNWANTED_H264 if codec == "h264" else _UNWANTED_H265)
        if body is not None:
            return b"".join((lead, body))
    nals = [nal for nal in split_lengths(payload) if nal[0] >> shift & mask != aud]
    if frame.key:
        own = {_ids(codec, nal) for nal in nals if nal[0] >> shift & mask in sets} - {None}
        missing = [unit for ids, unit in _sets_of(codec, track.config) if ids not in own and unit not in nals]
        if codec == "h264":
            return join_annexb([delimiter, *missing, *nals])
        # Our SEI messages go last: the payload's buffering period must come first (H.265 7.4.2.4.4).
        extra = [unit for unit in missing if h265.nal_type(unit) == h265.NAL_SEI_PREFIX]
        first = next((index for index, nal in enumerate(nals) if nal[0] >> 1 & 0x3F < h265.NAL_VPS), 0)
        missing = [unit for unit in missing if unit not in extra]
        return join_annexb([delimiter, *missing, *nals[:first], *extra, *nals[first:]])
    return lead + join_annexb(nals)
