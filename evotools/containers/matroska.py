"""A live Matroska and WebM writer (RFC 9559 on RFC 8794 EBML): a block leaves as soon as its frame comes.

Segment and clusters have unknown sizes, so nothing need ever be patched and the output may be a pipe; a file gets its
sizes, its duration and an index once it is finished. Matroska stores presentation times only; readers rebuild decode
times.
"""

import struct
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from evotools.containers.mp4.entries import picture
from evotools.errors import MediaError
from evotools.media.frame import Frame
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track

TICKS_PER_S = 10_000
"""0.1 ms: the finest clock whose 16-bit block times still reach over a cluster."""
CLUSTER_TICKS = TICKS_PER_S // 2
"""Longest cluster: how much a reader that lost bytes has to skip."""
FILE_CLUSTER_TICKS = 3 * TICKS_PER_S
"""Longest cluster of a file, which loses nothing on its way."""
CUE_TICKS = TICKS_PER_S // 2
"""Least distance of two entries in the index: a file of key frames only needs no entry for each."""
BLOCK_REACH = 32_000
"""Largest distance of a block from its cluster, in ticks; RFC 9559 10.2 has 16 signed bits."""

CODEC_ID: Final = {
    "h264": "V_MPEG4/ISO/AVC", "h265": "V_MPEGH/ISO/HEVC", "av1": "V_AV1", "vp8": "V_VP8", "vp9": "V_VP9",
    "mpeg1video": "V_MPEG1", "mpeg2video": "V_MPEG2", "mpeg4": "V_MPEG4/ISO/ASP", "mjpeg": "V_MJPEG",
    "theora": "V_THEORA", "prores": "V_PRORES", "ffv1": "V_FFV1",
    "aac": "A_AAC", "mp2": "A_MPEG/L2", "mp3": "A_MPEG/L3", "opus": "A_OPUS", "ac3": "A_AC3", "eac3": "A_EAC3",
    "flac": "A_FLAC", "vorbis": "A_VORBIS", "dts": "A_DTS", "truehd": "A_TRUEHD", "alac": "A_ALAC",
    "pcm_s16le": "A_PCM/INT/LIT", "pcm_s24le": "A_PCM/INT/LIT", "pcm_s32le": "A_PCM/INT/LIT",
    "pcm_s16be": "A_PCM/INT/BIG", "pcm_s24be": "A_PCM/INT/BIG", "pcm_f32le": "A_PCM/FLOAT/IEEE",
    "pcma": "A_MS/ACM", "pcmu": "A_MS/ACM",
}  # fmt: skip
"""Codec identifiers of draft-ietf-cellar-codec."""
WEBM_CODECS: Final = frozenset(("vp8", "vp9", "av1", "opus", "vorbis"))
PCM_BITS: Final = {"pcm_s16le": 16, "pcm_s16be": 16, "pcm_s24le": 24, "pcm_s24be": 24, "pcm_s32le": 32, "pcm_f32le": 32}
_WAVE_TAG = {"pcma": 6, "pcmu": 7}
# Codecs that have no CodecPrivate, whatever `Track.config` holds.
_NO_PRIVATE = frozenset(("vp8", "vp9", "mp3", "mp2", "ac3", "eac3"))
# RFC 8794 6.2: all value bits set means that the size is unknown.
_UNKNOWN = b"\x01\xff\xff\xff\xff\xff\xff\xff"
_BLOCK = struct.Struct(">BhB")
_CLUSTER = b"\x1f\x43\xb6\x75"
_SEGMENT = b"\x18\x53\x80\x67"
_OPUS_PREROLL_NS = 80_000_000


def element(ident: int, body: bytes) -> bytes:
    """An EBML element with an 8-octet size (RFC 8794 4.4)."""
    return ident.to_bytes((ident.bit_length() + 7) // 8, "big") + ((1 << 56) | len(body)).to_bytes(8, "big") + body


def number(ident: int, value: int) -> bytes:
    """An unsigned integer element."""
    return element(ident, value.to_bytes((value.bit_length() + 7) // 8 or 1, "big"))


def _void(size: int) -> bytes:
    """An element without meaning that takes `size` bytes in all: the place of another one."""
    return element(0xEC, bytes(size - 9))


def _text(ident: int, value: str) -> bytes:
    return element(ident, value.encode())


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
    body += number(0x83, 1 if track.kind is Kind.VIDEO else 2) + number(0x9C, 0) + _text(0x86, codec)
    private = private_data(track)
    if private:
        body += element(0x63A2, private)
    # RFC 9559 5.1.4.1.19: what names no language is English.
    body += _text(0x22B59C, track.language or "und")
    if track.label:
        body += _text(0x536E, track.label)
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
    ebml += _text(0x4282, doctype) + number(0x4287, 4) + number(0x4285, 2)
    info = (
        number(0x2AD7B1, 1_000_000_000 // TICKS_PER_S)
        + _text(0x4D80, "evotools")
        + _text(0x5741, "evotools")
        + duration
    )
    entries = b"".join(_entry(index, track) for index, track in enumerate(tracks, 1))
    return (
        element(0x1A45DFA3, ebml) + _SEGMENT + _UNKNOWN
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
            out = _CLUSTER + _UNKNOWN + number(0xE7, ticks)
        payload = frame.payload
        size = len(payload) + 4
        head = _BLOCK.pack(0x80 | index, ticks - cluster, 0x80 if frame.key else 0)
        return b"".join((out, b"\xa3", (size | 1 << 28).to_bytes(4, "big"), head, payload))

    def finish(self) -> bytes:
        """Nothing: the end of the input ends the stream."""
        return b""


class MatroskaFile(MatroskaMuxer):
    """One file: the live form while it grows, so that a kill leaves it playable; sizes, duration and index at the end.

    `start` is called once. `end` takes the place of `finish`.
    """

    def __init__(self, doctype: str = "matroska", *, origin_s: float | None = None) -> None:
        """`origin_s`: the time of the source that becomes zero; None keeps times as they are."""
        super().__init__(doctype)
        self._cluster_ticks = FILE_CLUSTER_TICKS
        if origin_s is not None:
            self._shift = -round(origin_s * TICKS_PER_S)
        self._cue_track = 0
        self._segment = 0
        """Where the segment's content begins; positions in the index count from there."""
        self._info = 0
        self._entries = 0
        self._at = 0
        """Bytes given out."""
        self._clusters = array("Q")
        self._cue_times = array("Q")
        self._cue_clusters = array("Q")
        self._zero: int | None = None if origin_s is None else 0
        """Time from which the duration counts."""
        self._end = 0

    def start(self, tracks: Sequence[Track]) -> bytes:
        """The header, with room for what only the end tells. Raises MediaError."""
        super().start(tracks)
        ranked = sorted(tracks, key=lambda t: t.kind is not Kind.VIDEO)
        self._cue_track = ranked[0].id if ranked else 0
        head = header(tracks, self.doctype, seek=_void(_SEEK_SIZE), duration=_void(_DURATION_SIZE))
        self._segment = head.index(_SEGMENT + _UNKNOWN) + 12
        # RFC 8794 6.1: an element's size stands in the 8 octets behind its identifier here.
        self._info = self._segment + _SEEK_SIZE
        size = int.from_bytes(head[self._info + 4 : self._info + 12], "big") & (1 << 56) - 1
        self._entries = self._info + 12 + size
        self._at = len(head)
        return head

    def write(self, frame: Frame) -> bytes:
        """One block, and before it a new cluster at a video key frame and every three seconds."""
        data = super().write(frame)
        if not data:
            return data
        track = frame.track
        shift = (self._shift or 0) + self._delay[track.id]
        scale = track.timescale
        ticks = rescale(frame.pts, scale, TICKS_PER_S) + shift
        if self._zero is None:
            self._zero = ticks
        end = rescale(frame.pts + frame.duration, scale, TICKS_PER_S) + shift
        if end > self._end:
            self._end = end
        if data.startswith(_CLUSTER):
            self._clusters.append(self._at)
            if (
                track.id == self._cue_track
                and frame.key
                and ticks >= 0
                and (not self._cue_times or ticks >= self._cue_times[-1] + CUE_TICKS)
            ):
                self._cue_times.append(ticks)
                self._cue_clusters.append(self._at - self._segment)
        self._at += len(data)
        return data

    def end(self) -> tuple[bytes, Iterator[tuple[int, bytes]]]:
        """(bytes to append, what to overwrite then: offset and bytes)."""
        return self._cues(), self._patches(self._at)

    def _cues(self) -> bytes:
        index = self._numbers.get(self._cue_track, 1)
        points = [
            _small(0xBB, _small_number(0xB3, time) + _small(0xB7, _small_number(0xF7, index) + _small_number(0xF1, at)))
            for time, at in zip(self._cue_times, self._cue_clusters, strict=True)
        ]
        # RFC 9559 5.1.5: Cues without a CuePoint are not allowed.
        return element(0x1C53BB6B, b"".join(points)) if points else b""

    def _patches(self, cues_at: int) -> Iterator[tuple[int, bytes]]:
        for start, end in pairwise((*self._clusters, cues_at)):
            yield start + 4, _size(end - start - 12)
        yield self._segment - 8, _size(self._at + len(self._cues()) - self._segment)
        seeks = [(0x1549A966, self._info), (0x1654AE6B, self._entries)]
        if self._cue_times:
            seeks.append((0x1C53BB6B, cues_at))
        body = b"".join(
            element(0x4DBB, element(0x53AB, ident.to_bytes(4, "big"))
                    + element(0x53AC, (at - self._segment).to_bytes(8, "big")))
            for ident, at in seeks
        )  # fmt: skip
        head = element(0x114D9B74, body)
        yield self._segment, head + (_void(_SEEK_SIZE - len(head)) if len(head) < _SEEK_SIZE else b"")
        duration = float(max(self._end - (self._zero or 0), 1))
        yield self._entries - _DURATION_SIZE, element(0x4489, struct.pack(">d", duration))


_SEEK_SIZE = 12 + 3 * 42
"""A SeekHead with three entries, each of an identifier and a position of 8 octets."""
_DURATION_SIZE = 18


def _size(value: int) -> bytes:
    """An element's size in 8 octets (RFC 8794 6.1)."""
    return ((1 << 56) | value).to_bytes(8, "big")


def _small(ident: int, body: bytes) -> bytes:
    """An element of a one-octet identifier and a one-octet size."""
    return bytes((ident, 0x80 | len(body))) + body


def _small_number(ident: int, value: int) -> bytes:
    return _small(ident, value.to_bytes((value.bit_length() + 7) // 8 or 1, "big"))
