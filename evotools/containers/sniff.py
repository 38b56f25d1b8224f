"""Which container or elementary stream begins with these bytes, and the reader for those that are ours."""

from evotools.codecs import aac, ac3, mp3
from evotools.containers.base import Demuxer
from evotools.errors import ParseError

MIN_SNIFF = 12
"""With fewer bytes most answers are guesses."""
SNIFF_BYTES = 8192
"""`sniff` never asks for more: the longest frame of ADTS, and 40 packets of MPEG-TS."""
MAX_ID3 = 1 << 28
"""ID3v2 3.1: the size is a 28-bit number."""

OURS = ("ts", "flv", "mp4", "matroska", "adts", "annexb-h264", "annexb-h265")
"""Names for which `make_demuxer` has a reader; libav reads the rest."""

_TS_SYNC = 0x47
# Plain packets, with a 4-byte time code in front (M2TS), with 16 bytes of Reed-Solomon code behind.
_TS_SIZES = (188, 192, 204)
_TS_PACKETS = 3

_SIGNATURES = (
    (b"FLV", "flv"),
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"nut/multimedia container\0", "nut"),
    (b"OggS", "ogg"),
    (b"YUV4MPEG2 ", "y4m"),
    (b"fLaC", "flac"),
    (b"DKIF", "ivf"),
    (b"#EXTM3U", "hls"),
)
_MP4_BOXES = frozenset({b"ftyp", b"styp", b"moof", b"moov", b"sidx", b"emsg", b"prft"})
# Boxes that may come first but are also plain words: only with a size that makes sense.
_MP4_FILLERS = frozenset({b"free", b"skip", b"wide", b"mdat"})


def sniff(head: bytes, *, ended: bool = False) -> str | None:
    """The name of the format that `head` begins with, or None when it is unknown or needs more bytes.

    `ended` says that the input has no more than `head`. Names: ts flv matroska mp4 nut ogg wav y4m flac ivf hls dash
    mp3 ac3 eac3 adts annexb-h264 annexb-h265. Stop asking at SNIFF_BYTES.
    """
    head = head[:SNIFF_BYTES]
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[4:8] in _MP4_BOXES or (head[4:8] in _MP4_FILLERS and 8 <= int.from_bytes(head[:4], "big") < 1 << 30):
        return "mp4"
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    if _is_ts(head, ended):
        return "ts"
    text = head.lstrip(b"\xef\xbb\xbf\t\r\n ")
    if text.startswith((b"<MPD", b"<?xml")) and b"<MPD" in text:
        return "dash"
    if text.startswith(b"#EXTM3U"):
        return "hls"
    if head.startswith(b"ID3"):
        return _behind_id3(head, ended)
    return _sniff_annexb(head, ended) or _sniff_audio(head, ended)


def make_demuxer(name: str, *, stored: bool = False) -> Demuxer:
    """A new reader of ours for the format `name`, one of OURS. Raises ParseError for any other name.

    `stored`: nobody waits for the first frame, so that tracks which begin late are known from the start.
    """
    if name == "ts":
        from evotools.containers.mpegts.demux import STORED_WAIT_S, TsDemuxer

        return TsDemuxer(wait_s=STORED_WAIT_S) if stored else TsDemuxer()
    if name == "flv":
        from evotools.containers.flv.demux import FlvDemuxer

        return FlvDemuxer()
    if name == "mp4":
        from evotools.containers.mp4.demux import Mp4Demuxer

        return Mp4Demuxer()
    if name == "matroska":
        from evotools.containers.matroska.demux import MatroskaDemuxer

        return MatroskaDemuxer(stored=stored)
    if name == "adts":
        from evotools.containers.adts import AdtsDemuxer

        return AdtsDemuxer()
    if name in ("annexb-h264", "annexb-h265"):
        from evotools.containers.annexb import AnnexBDemuxer

        return AnnexBDemuxer("h264" if name == "annexb-h264" else "h265")
    raise ParseError(f"there is no built-in reader for '{name}'")


def _is_ts(head: bytes, ended: bool) -> bool:
    """Three sync bytes at the distance of a packet, from any phase: live captures begin in mid-packet."""
    for size in _TS_SIZES:
        for start in range(min(size, len(head))):
            if head[start] != _TS_SYNC:
                continue
            syncs = head[start::size]
            if syncs.count(_TS_SYNC) != len(syncs):
                continue
            # The shortest stream is a single packet; anything cut in mid-packet needs three to be believed.
            if len(syncs) >= _TS_PACKETS or (ended and start in (0, 4) and len(head) >= size):
                return True
    return False


def _behind_id3(head: bytes, ended: bool) -> str | None:
    """ID3v2 leads MP3 files and the packed AAC of HLS."""
    if len(head) < 10:
        return None
    # ID3v2 3.1: four bytes of seven bits.
    size = (head[6] & 0x7F) << 21 | (head[7] & 0x7F) << 14 | (head[8] & 0x7F) << 7 | head[9] & 0x7F
    behind = head[10 + size :]
    if behind:
        return _sniff_audio(behind, ended) or ("mp3" if len(behind) > 4 else None)
    # A picture in the tag is longer than we look.
    return "mp3" if ended or len(head) >= SNIFF_BYTES else None


def _sniff_audio(head: bytes, ended: bool) -> str | None:
    """Frames that follow one another: one sync word alone occurs in anything."""
    for name, length_of in (("adts", _adts_length), ("ac3", _ac3_length), ("mp3", _mp3_length)):
        try:
            following = head[length_of(head) :]
            if following or not ended:
                length_of(following)
        except ParseError:
            continue
        if name == "ac3":
            return ac3.parse_header(head).codec
        return name
    return None


def _adts_length(head: bytes) -> int:
    return aac.parse_adts_header(head[:7]).frame_length


def _ac3_length(head: bytes) -> int:
    return ac3.parse_header(head).frame_length


def _mp3_length(head: bytes) -> int:
    return mp3.parse_header(head[:4]).frame_length


def _sniff_annexb(head: bytes, ended: bool) -> str | None:
    """H.264 or H.265 by the NAL unit types behind start codes."""
    start = head[:5].find(b"\0\0\1")
    if start not in (0, 1, 2) or head[:start].strip(b"\0"):
        return None
    h264: set[int] = set()
    h265: set[int] = set()
    h264_wrong = h265_wrong = False
    while start >= 0 and start + 5 <= len(head):
        first, second = head[start + 3], head[start + 4]
        if first & 0x80:
            return None
        # H.264 7.3.1: nal_ref_idc, type. Parameter sets must be references, delimiters must not.
        kind = first & 0x1F
        h264.add(kind)
        if (kind in (5, 7, 8) and not first & 0x60) or (kind in (6, 9) and first & 0x60) or kind == 0 or kind > 23:
            h264_wrong = True
        # H.265 7.3.1.2: type, layer, temporal id plus one, which is never zero.
        kind = first >> 1 & 0x3F
        h265.add(kind)
        if not second & 7 or (first & 1 or second & 0xF8) or kind > 40 or 10 <= kind <= 15 or 22 <= kind <= 31:
            h265_wrong = True
        start = head.find(b"\0\0\1", start + 3)
    # VPS, SPS and PPS are beyond doubt; SPS with PPS or pictures are for H.264.
    if not h265_wrong and {32, 33} <= h265:
        return "annexb-h265"
    if not h264_wrong and 7 in h264 and (h264 & {1, 5, 8} or ended):
        return "annexb-h264"
    # Streams cut in mid-picture: an IDR or plain slices behind a delimiter.
    if ended or len(head) >= SNIFF_BYTES:
        if not h264_wrong and h264 & {1, 5}:
            return "annexb-h264"
        if not h265_wrong and h265 & {0, 1, 19, 20, 21, 33, 35}:
            return "annexb-h265"
    return None
