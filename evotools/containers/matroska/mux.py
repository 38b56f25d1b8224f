"""A live Matroska and WebM writer (RFC 9559 on RFC 8794 EBML): a block leaves as soon as its frame comes.

Segment and clusters have unknown sizes, so nothing need ever be patched and the output may be a pipe; a file gets its
sizes, its duration and an index once it is finished. Matroska stores presentation times only; readers rebuild decode
times.
"""

import struct
from collections.abc import Sequence

from evotools.containers.matroska.elements import element, number, text
from evotools.containers.matroska.names import CODEC_ID, PCM_BITS, WEBM_CODECS
from evotools.containers.mp4.entries import picture
from evotools.errors import MediaError
from evotools.media.frame import Frame
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track

TICKS_PER_S = 10_000
"""0.1 ms: the finest clock whose 16-bit block times still reach over a cluster."""
CLUSTER_TICKS = TICKS_PER_S // 2
"""Longest cluster: how much a reader that lost bytes has to skip."""
BLOCK_REACH = 32_000
"""Largest distance of a block from its cluster, in ticks; RFC 9559 10.2 has 16 signed bits."""

_WAVE_TAG = {"pcma": 6, "pcmu": 7}
# Codecs that have no CodecPrivate, whatever `Track.config` holds.
_NO_PRIVATE = frozenset(("vp8", "vp9", "mp3", "mp2", "ac3", "eac3"))
# RFC 8794 6.2: all value bits set means that the size is unknown.
UNKNOWN = b"\x01\xff\xff\xff\xff\xff\xff\xff"
_BLOCK = struct.Struct(">BhB")
CLUSTER = b"\x1f\x43\xb6\x75"
SEGMENT = b"\x18\x53\x80\x67"
_OPUS_PREROLL_NS = 80_000_000


def private_data(track: Track) -> bytes:
    """CodecPrivate of a track (draft-ietf-cellar-codec)."""
    if track.codec in _NO_PRIVATE:
        return b""
    tag = _WAVE_TAG.get(track.codec)
    if tag is not None:
        # WAVEFORMATEX with an RFC 2361 tag.
        channels, rate = track.channels or 1, track.sample_rate or 8000
        return struct.pack("<HHIIHHH", tag, channels, rate, rate * channels, channels, 8, 0)
    if track.codec == "flac" and track.config:
        return b"fLaC\x80\x00\x00\x22" + track.config[:34]
    return track.config


def codec_delay_ns(track: Track) -> int:
    """What a decoder throws away at the start, by which block times are ahead of presentation times."""
    # RFC 7845 5.1: pre-skip, in samples at 48 kHz.
    if track.codec == "opus" and len(track.config) >= 12:
        return int.from_bytes(track.config[10:12], "little") * 1_000_000_000 // 48_000
    return 0


def _entry(index: int, track: Track) -> bytes:
    codec = CODEC_ID.get(track.codec)
    if codec is None:
        raise MediaError(f"{track.describe()}: has no name in Matroska")
    body = number(0xD7, index) + number(0x73C5, index)
    body += number(0x83, 1 if track.kind is Kind.VIDEO else 2) + number(0x9C, 0) + text(0x86, codec)
    private = private_data(track)
    if private:
        body += element(0x63A2, private)
    # RFC 9559 5.1.4.1.19: what names no language is English.
    body += text(0x22B59C, track.language or "und")
    if track.label:
        body += text(0x536E, track.label)
    if track.kind is Kind.VIDEO:
        if track.fps:
            body += number(0x23E383, round(1_000_000_000 / track.fps))
        wide, high = picture(track.codec, track.config).aspect
        video = number(0xB0, track.width or 16) + number(0xBA, track.height or 16)
        if wide != high:
            # RFC 9559 5.1.4.1.28.12: what is left out is as many as the samples are, so square ones.
            video += number(0x54B0, round(track.width * wide / high)) + number(0x54BA, track.height)
        return element(0xAE, body + element(0xE0, video))
    delay = codec_delay_ns(track)
    if delay:
        body += number(0x56AA, delay) + number(0x56BB, _OPUS_PREROLL_NS)
    audio = element(0xB5, struct.pack(">d", track.sample_rate or 48000)) + number(0x9F, track.channels or 2)
    if track.codec in PCM_BITS:
        audio += number(0x6264, PCM_BITS[track.codec])
    return element(0xAE, body + element(0xE1, audio))


def header(tracks: Sequence[Track], doctype: str = "matroska", *, seek: bytes = b"", duration: bytes = b"") -> bytes:
    """EBML header, the start of a segment of unknown size, Info and Tracks; track numbers count from 1.

    `seek` goes before Info and `duration` to its end: elements, or places for them. Raises MediaError for a codec
    without a name.
    """
    ebml = number(0x4286, 1) + number(0x42F7, 1) + number(0x42F2, 4) + number(0x42F3, 8)
    ebml += text(0x4282, doctype) + number(0x4287, 4) + number(0x4285, 2)
    info = (
        number(0x2AD7B1, 1_000_000_000 // TICKS_PER_S) + text(0x4D80, "evotools") + text(0x5741, "evotools") + duration
    )
    entries = b"".join(_entry(index, track) for index, track in enumerate(tracks, 1))
    return (
        element(0x1A45DFA3, ebml) + SEGMENT + UNKNOWN
        + seek + element(0x1549A966, info) + element(0x1654AE6B, entries)
    )  # fmt: skip


class MatroskaMuxer:
    """Frames to a live Matroska or WebM stream. A changed track list begins a new, chained stream."""

    def __init__(self, doctype: str = "matroska") -> None:
        """`doctype` is `matroska` or `webm`."""
        self.doctype = doctype
        self.mime = "video/webm" if doctype == "webm" else "video/x-matroska"
        self._numbers: dict[int, int] = {}
        self._delay: dict[int, int] = {}
        self._cluster: int | None = None
        self._cluster_ticks = CLUSTER_TICKS
        self._shift: int | None = None

    def accepts(self, track: Track) -> bool:
        """Whether the codec has a name here."""
        return track.codec in (WEBM_CODECS if self.doctype == "webm" else CODEC_ID)

    def start(self, tracks: Sequence[Track]) -> bytes:
        """The header. Raises MediaError."""
        for track in tracks:
            if not self.accepts(track):
                raise MediaError(f"{self.doctype} cannot carry {track.describe()}")
        self._numbers = {t.id: index for index, t in enumerate(tracks, 1)}
        self._delay = {t.id: codec_delay_ns(t) * TICKS_PER_S // 1_000_000_000 for t in tracks}
        self._cluster = None
        return header(tracks, self.doctype)

    def enter(self) -> None:
        """Begin a cluster with the next frame: readers may join there. Sound alone has no other place for that."""
        self._cluster = None

    def write(self, frame: Frame) -> bytes:
        """One block, and before it a new cluster at a video key frame and twice a second."""
        track = frame.track
        index = self._numbers.get(track.id)
        if index is None:
            return b""
        ticks = rescale(frame.pts, track.timescale, TICKS_PER_S) + self._delay[track.id]
        if self._shift is None:
            # RFC 9559 11.2: cluster times are unsigned.
            self._shift = max(-ticks, 0)
        ticks += self._shift
        out = b""
        cluster = self._cluster
        if (
            cluster is None
            or ticks - cluster >= self._cluster_ticks
            or (frame.key and track.kind is Kind.VIDEO)
            or not -BLOCK_REACH <= ticks - cluster <= BLOCK_REACH
        ):
            # A second track may begin a little before the first: its blocks reach back from the cluster.
            self._cluster = cluster = max(ticks, 0)
            ticks = max(ticks, -BLOCK_REACH)
            out = CLUSTER + UNKNOWN + number(0xE7, cluster)
        payload = frame.payload
        size = len(payload) + 4
        head = _BLOCK.pack(0x80 | index, ticks - cluster, 0x80 if frame.key else 0)
        return b"".join((out, b"\xa3", (size | 1 << 28).to_bytes(4, "big"), head, payload))

    def finish(self) -> bytes:
        """Nothing: the end of the input ends the stream."""
        return b""
