"""Codec configurations as real encoders wrote them, frames of the right shape, and tags around them."""

from evotools.containers.flv import amf0
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind, Track

# x264, 320x180 at 25 fps, High
AVCC = bytes.fromhex("0164000cffe1001a6764000cacd941419f9f011000000300100000030320f142996001000668ebe3cb22c0fdf8f800")
# x264, 160x90 at 25 fps
AVCC_SMALL = bytes.fromhex(
    "0164000bffe100196764000bacd9428df93011000003000100000300320f14299601000668ebe3cb22c0fdf8f800"
)
# x265, 64x48 at 25 fps
HVCC = bytes.fromhex(
    "0101600000009000000000001ef000fcfdf8f800000f03200001001840010c01ffff01600000030090000003000003001e95980921"
    "0001002942010101600000030090000003000003001ea02083165959ae4caf016808000003000800000300c84022000100064401c1"
    "73d089"
)
# SVT-AV1, 320x180
AV1C = bytes.fromhex("81000c000a0b0200000561e7f66017c002")
AV1_SEQUENCE = AV1C[4:]
# libvpx-vp9 as FFmpeg 9 wrote it
VPCC = bytes.fromhex("01000000000b820202020000")
ASC = bytes.fromhex("1190")  # AAC-LC, 48 kHz, stereo
OPUS_HEAD = bytes.fromhex("4f707573486561640101380180bb0000000000")
STREAMINFO = bytes.fromhex("04000400000000000000") + bytes.fromhex("0bb800f0") + bytes(20)
MP3_FRAME = bytes.fromhex("fffb54c4") + bytes(188)  # 64 kbit/s, 48 kHz, mono
AC3_FRAME = bytes.fromhex("0b77480d0c402f84") + bytes(376)  # FFmpeg, 96 kbit/s, 48 kHz, mono

VP8_KEY = bytes.fromhex("100000") + b"\x9d\x01\x2a" + (64).to_bytes(2, "little") + (48).to_bytes(2, "little") + bytes(9)
VP9_KEY = bytes.fromhex("82498342001 3f00b36043824".replace(" ", "")) + bytes(20)  # 320x180

IDR = bytes.fromhex("00000004") + b"\x65\x88\x84\x00"
SLICE = bytes.fromhex("00000004") + b"\x41\x9a\x24\x6c"
HEVC_IDR = bytes.fromhex("00000006") + b"\x28\x01\xaf\x1d\x62\xf7"
HEVC_SLICE = bytes.fromhex("00000005") + b"\x02\x01\xd0\x29\x4b"
AV1_FRAME = b"\x32\x03\x10\x00\x80"

VIDEO = Track(1, Kind.VIDEO, "h264", 1000, AVCC, width=320, height=180)
AUDIO = Track(2, Kind.AUDIO, "aac", 1000, ASC, sample_rate=48000, channels=2)


def avc(kind: int, payload: bytes, *, key: bool = True, cts: int = 0) -> bytes:
    """The body of a legacy AVC tag."""
    return bytes((0x17 if key else 0x27, kind)) + (cts & 0xFFFFFF).to_bytes(3, "big") + payload


def metadata(**values: object) -> bytes:
    """The body of an onMetaData tag."""
    return amf0.encode("onMetaData", amf0.EcmaArray(values))


def tag(kind: int, timestamp: int, body: bytes, previous: int | None = None) -> bytes:
    """A whole tag."""
    size = len(body)
    stamp = (timestamp & 0xFFFFFF).to_bytes(3, "big") + bytes((timestamp >> 24 & 0xFF,))
    head = bytes((kind,)) + size.to_bytes(3, "big") + stamp + bytes(3)
    return head + body + (size + 11 if previous is None else previous).to_bytes(4, "big")


def frames(events: list[Event]) -> list[Frame]:
    """The frames among events."""
    return [event for event in events if isinstance(event, Frame)]


def tracks(events: list[Event]) -> list[tuple[Track, ...]]:
    """The track lists among events."""
    return [event.tracks for event in events if isinstance(event, Tracks)]


def facts(events: list[Event]) -> list[tuple[object, ...]]:
    """Everything a reader gets from events, in a form that compares."""
    return [
        (e.track.id, e.track.codec, e.dts, e.pts, e.key, e.payload, str(e.side)) if isinstance(e, Frame) else (repr(e),)
        for e in events
    ]
