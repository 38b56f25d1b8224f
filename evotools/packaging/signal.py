"""What manifests say of a track beyond the `Track`: pixel shape, transfer function, loudspeakers."""

from dataclasses import dataclass
from fractions import Fraction

from evotools.codecs import aac, ac3, av1, h264, h265, vp9
from evotools.errors import ParseError
from evotools.media.track import Track

_PQ, _HLG = 16, 18
_SDR = frozenset({1, 6, 13, 14, 15})
"""Transfer characteristics of ISO/IEC 23091-2 8.2 that draft-pantos-hls-rfc8216bis 4.4.6.2 calls SDR, and BT.601 and
sRGB, which are of the same range."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Of a video track; the fields are their own defaults where the bitstream says nothing."""

    sample_aspect_ratio: Fraction | None = None
    transfer: int = 2
    """2 is "unspecified"."""

    @property
    def video_range(self) -> str:
        """`SDR`, `HLG` or `PQ`; empty while unknown."""
        if self.transfer == _PQ:
            return "PQ"
        if self.transfer == _HLG:
            return "HLG"
        return "SDR" if self.transfer in _SDR else ""


def picture(track: Track) -> Picture:
    """Of the track's configuration; a broken one tells nothing."""
    if not track.config:
        return Picture()
    try:
        if track.codec == "h264":
            avc = h264.parse_avcc(track.config)
            if avc.sps:
                sps = h264.parse_sps(avc.sps[0])
                return Picture(sps.sample_aspect_ratio, sps.transfer_characteristics)
        elif track.codec == "h265":
            hevc = h265.parse_hvcc(track.config)
            if hevc.sps:
                hevc_sps = h265.parse_sps(hevc.sps[0])
                return Picture(hevc_sps.sample_aspect_ratio, hevc_sps.transfer_characteristics)
        elif track.codec == "av1":
            header = av1.sequence_header_of(track.config)
            if header is not None:
                return Picture(None, header.transfer_characteristics)
        elif track.codec == "vp9":
            return Picture(None, vp9.parse_vpcc(track.config).transfer_characteristics)
    except ParseError:
        pass
    return Picture()


_MPEG = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
_DOLBY = "tag:dolby.com,2014:dash:audio_channel_configuration:2011"
_INDEX = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 11, 8: 12}
"""Channels to the ChannelConfiguration that is meant most often (ISO/IEC 23091-3 table of layouts)."""

_L, _C, _R, _LS, _RS, _CS, _LFE = 0x8000, 0x4000, 0x2000, 0x1000, 0x0800, 0x0100, 0x0001
_ACMOD = (
    _L | _R, _C, _L | _R, _L | _C | _R, _L | _R | _CS, _L | _C | _R | _CS, _L | _R | _LS | _RS,
    _L | _C | _R | _LS | _RS,
)  # fmt: skip


def channel_configuration(track: Track) -> tuple[str, str]:
    """The scheme and value of a DASH AudioChannelConfiguration; empty strings when unknown."""
    try:
        if track.codec in ("ac3", "eac3") and track.config:
            return _DOLBY, f"{_loudspeakers(track):04X}"
        if track.codec == "aac" and track.config:
            index = aac.parse_asc(track.config).channel_config
            if index:
                return _MPEG, str(index)
    except ParseError:
        pass
    index = _INDEX.get(track.channels, 0)
    return (_MPEG, str(index)) if index else ("", "")


def _loudspeakers(track: Track) -> int:
    # ETSI TS 102 366 I.1.2.1: one bit per loudspeaker or pair, left first, LFE last.
    parse = ac3.parse_dec3 if track.codec == "eac3" else ac3.parse_dac3
    first = parse(track.config).substreams[0]
    mask = _ACMOD[first.acmod & 7] | (_LFE if first.lfe else 0)
    # Table F.6.1: chan_loc begins with Lc/Rc, bit 5 of the mask; its last is the second LFE, bit 14.
    for position in range(8):
        if first.channel_locations >> position & 1:
            mask |= 0x8000 >> (5 + position)
    if first.channel_locations >> 8 & 1:
        mask |= 0x8000 >> 14
    return mask


def joint_object_coding(track: Track) -> int:
    """How many objects E-AC-3 with JOC carries (ETSI TS 103 420); 0 for everything else."""
    if track.codec != "eac3" or not track.config:
        return 0
    try:
        return ac3.parse_dec3(track.config).joc_complexity
    except ParseError:
        return 0
