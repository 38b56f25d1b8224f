"""Ogg pages (RFC 3533) with Opus (RFC 7845), FLAC (RFC 9639 10.1) or Vorbis (Vorbis I A.2) in them."""

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Final

from evotools.codecs import flac, opus, vorbis
from evotools.codecs.nal import Bytes
from evotools.errors import MediaError, ParseError
from evotools.media.frame import Frame
from evotools.media.timeline import rescale
from evotools.media.track import Track

PAGE_S: Final = 0.2
"""Longest page: 28 bytes for every fifth of a second, and nobody waits longer for sound."""
MAX_SEGMENTS: Final = 255
"""RFC 3533 6: the number of segments of a page has 8 bits; a segment has at most 255 bytes."""
MAX_PAGE_BYTES: Final = MAX_SEGMENTS * 255
"""Of packets in one page."""
GAP_S: Final = 0.1
"""Times that lie further apart from what the samples add up to are a gap; less is how containers round."""
CODECS: Final = frozenset(("opus", "flac", "vorbis"))

_CONTINUED, _FIRST, _LAST = 1, 2, 4
_VENDOR = b"evotools"
_NO_GRANULE = (1 << 64) - 1
_HEADER = struct.Struct("<4sBBQIIIB")
_MIRRORED = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))


def crc(data: Bytes) -> int:
    """The checksum of a page whose own field holds zeros: polynomial 0x04C11DB7, no inversion (RFC 3533 6)."""
    # zlib has the same polynomial with all bits in mirrored order, and inverts at both ends.
    mirrored = zlib.crc32(bytes(data).translate(_MIRRORED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED), "big")


def page(kind: int, granule: int, serial: int, number: int, lacing: bytes, body: bytes) -> bytes:
    """One page. `lacing` holds the segment sizes."""
    out = bytearray(_HEADER.pack(b"OggS", 0, kind, granule, serial, number, 0, len(lacing)))
    out += lacing
    out += body
    out[22:26] = crc(out).to_bytes(4, "little")
    return bytes(out)


class _Lane:
    """One logical bitstream."""

    def __init__(self, track: Track, serial: int, page_s: float) -> None:
        self._track = track
        self._serial = serial
        self._number = 0
        self.granule = -1
        """Samples up to the end of the last packet; -1 before the first."""
        self._written = 0
        self._packets: list[bytes] = []
        self._lacing = bytearray()
        self._since = 0
        self._lead = 0
        self.rate = 48_000
        self.headers: list[bytes] = []
        """The header packets; the first one has a page of its own."""
        self._samples: Callable[[bytes], int]
        if track.codec == "opus":
            head = track.config if track.config.startswith(opus.MAGIC) else opus.build_head(track.channels or 2)
            # RFC 7845 4: granule positions count from the first sample that is decoded, which is not heard.
            self._lead = opus.parse_head(head).pre_skip
            self.headers = [head, b"OpusTags" + _comments()]
            self._samples = opus.packet_duration
        elif track.codec == "flac":
            info = track.config[: flac.STREAMINFO_BYTES]
            self.rate = flac.parse_streaminfo(info).sample_rate
            # RFC 9639 10.1: version 1.0, one more header packet, signature, STREAMINFO with its block header.
            comments = _comments()
            self.headers = [
                b"\x7fFLAC\1\0\0\1fLaC\0\0\0\x22" + info, b"\x84" + len(comments).to_bytes(3, "big") + comments,
            ]  # fmt: skip
            self._samples = _flac_samples
        else:
            ident, _, setup = vorbis.split_headers(track.config)
            self._vorbis = vorbis.parse_config(track.config)
            self.rate = self._vorbis.sample_rate
            # Vorbis I 5.2.1: comments end with a framing bit.
            self.headers = [ident, b"\3vorbis" + _comments() + b"\1", setup]
            self._block = 0
            self._samples = self._vorbis_samples
        self._span = max(round(page_s * self.rate), 1)

    def _vorbis_samples(self, packet: bytes) -> int:
        # Vorbis I 4.3.8: a packet gives a quarter of the block before and a quarter of its own.
        before, self._block = self._block, self._vorbis.block(packet)
        return (before + self._block) // 4 if before else 0

    def open(self) -> bytes:
        """The page that begins the stream."""
        return self._page([self.headers[0]], 0, _FIRST)

    def rest(self) -> bytes:
        """The other header packets, which end a page."""
        return self._page(self.headers[1:], 0)

    def take(self, frame: Frame) -> bytes:
        """The pages that the frame completes."""
        packet = frame.payload
        try:
            samples = self._samples(packet)
        except ParseError:
            return b""
        track = frame.track
        told = rescale(frame.pts, track.timescale, self.rate) + self._lead
        out = b""
        if self.granule < 0:
            self.granule = self._since = max(told, 0)
        elif told - self.granule > GAP_S * self.rate:
            # What was lost shows as a granule position that is further on than its packets; they end their page first.
            out = self.flush()
            self.granule = self._since = told
        segments = len(packet) // 255 + 1
        if self._packets and len(self._lacing) + segments > MAX_SEGMENTS:
            out += self.flush()
        self._packets.append(packet)
        self._lacing += b"\xff" * (segments - 1)
        self._lacing.append(len(packet) % 255)
        self.granule += samples
        if self.granule - self._since >= self._span or len(self._lacing) > MAX_SEGMENTS:
            out += self.flush()
        return out

    def flush(self, kind: int = 0) -> bytes:
        """The packets that are held, as pages."""
        if not self._packets and not kind:
            return b""
        packets, self._packets = self._packets, []
        self._lacing.clear()
        self._since = self.granule
        return self._page(packets, max(self.granule, 0), kind)

    def _page(self, packets: list[bytes], granule: int, kind: int = 0) -> bytes:
        """Packets as one page, or as several where they do not fit."""
        body = b"".join(packets)
        lacing = b"".join([b"\xff" * (len(p) // 255) + bytes((len(p) % 255,)) for p in packets])
        parts = []
        while True:
            sizes, lacing = lacing[:MAX_SEGMENTS], lacing[MAX_SEGMENTS:]
            data, body = body[: sum(sizes)], body[sum(sizes) :]
            # RFC 3533 6: a page on which no packet ends has no granule position.
            ends = any(size < 255 for size in sizes) or not sizes
            last = kind if not lacing else kind & ~_LAST
            parts.append(page(last, granule if ends else _NO_GRANULE, self._serial, self._number, sizes, data))
            self._number = (self._number + 1) & 0xFFFF_FFFF
            if not lacing:
                return b"".join(parts)
            kind = kind & ~_FIRST & ~_CONTINUED | (_CONTINUED if sizes[-1] == 255 else 0)


def _comments() -> bytes:
    """Comments (Vorbis I 5) that name the writer and nothing else."""
    return len(_VENDOR).to_bytes(4, "little") + _VENDOR + bytes(4)


def _flac_samples(packet: bytes) -> int:
    return flac.parse_frame_header(packet).samples


class OggMuxer:
    """Opus, FLAC and Vorbis tracks to a live Ogg stream. A changed track list begins a new chain.

    Each call gives whole pages, so that a reader may join at any of them behind the header. Granule positions follow
    the times of the frames; they never go back within a chain. Header and running pages of one track list always
    belong together: serial numbers depend on the tracks alone.
    """

    mime = "audio/ogg"

    def __init__(self, page_s: float = PAGE_S) -> None:
        """`page_s`: longest page; 0 gives every packet its own."""
        self._page_s = page_s
        self._lanes: dict[int, _Lane] = {}

    def accepts(self, track: Track) -> bool:
        """Whether the codec has a mapping here."""
        return track.codec in CODECS

    def start(self, tracks: Sequence[Track]) -> bytes:
        """The header pages, after the end of the chain before. Raises MediaError."""
        for track in tracks:
            if not self.accepts(track):
                raise MediaError(f"Ogg cannot carry {track.describe()}")
        end = self.finish()
        essence = repr([(t.id, t.codec, t.config, t.sample_rate, t.channels, t.language) for t in tracks])
        serial = zlib.crc32(essence.encode())
        lanes: dict[int, _Lane] = {}
        for index, track in enumerate(tracks):
            try:
                lanes[track.id] = _Lane(track, (serial + index) & 0xFFFF_FFFF, self._page_s)
            except ParseError as error:
                raise MediaError(f"Ogg cannot carry {track.describe()}: {error.message}") from None
        self._lanes = lanes
        # RFC 3533 4: all streams begin before anything else of any stream.
        return b"".join((end, *[lane.open() for lane in lanes.values()], *[lane.rest() for lane in lanes.values()]))

    def write(self, frame: Frame) -> bytes:
        """The pages that the frame completes; broken packets are left out."""
        lane = self._lanes.get(frame.track.id)
        return b"" if lane is None else lane.take(frame)

    def finish(self) -> bytes:
        """What was held back, and the end of the chain."""
        lanes, self._lanes = self._lanes, {}
        return b"".join([lane.flush(_LAST) for lane in lanes.values()])
