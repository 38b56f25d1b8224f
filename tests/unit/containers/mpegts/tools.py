"""Hand-made streams, and a transport stream parser of its own that checks the rules of the standard."""

from dataclasses import dataclass, field
from fractions import Fraction

from evotools.containers.mpegts.demux import TsDemuxer
from evotools.containers.mpegts.packet import header
from evotools.containers.mpegts.pes import pes_header
from evotools.containers.mpegts.psi import MapEntry, ProgramMap, build_pat, build_pmt
from evotools.media.frame import Discontinuity, Event, Frame, Tracks
from evotools.media.track import Kind, Track

# Configurations of x264 and x265 streams (64x64, 25 fps), FFmpeg's AAC encoder, and libopus.
AVCC = bytes.fromhex("0142c00affe100176742c00ad90426c044000003000400000300c83c48992001000568cb83cb20")
AVCC_OTHER = bytes.fromhex("0142c028ffe1001b6742c028d90209bff000100021000003000100000300320f18324801000568cb83cb20")
HVCC = bytes.fromhex(
    "0101600000009000000000001ef000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003001e959809a1000100"
    "2842010101600000030090000003000003001ea020810596566924caf0168080000003008000000c84a2000100074401c172b42240"
)
OPUS_HEAD = b"OpusHead\x01\x02\x00\x00\x80\xbb\x00\x00\x00\x00\x00"

H264 = Track(1, Kind.VIDEO, "h264", 90_000, AVCC, width=64, height=64, fps=Fraction(25))
H265 = Track(1, Kind.VIDEO, "h265", 90_000, HVCC, width=64, height=64)
AAC = Track(2, Kind.AUDIO, "aac", 90_000, bytes.fromhex("1190"), sample_rate=48_000, channels=2)
OPUS = Track(2, Kind.AUDIO, "opus", 48_000, OPUS_HEAD, sample_rate=48_000, channels=2)
MP3 = Track(2, Kind.AUDIO, "mp3", 90_000, sample_rate=44_100, channels=1)
AC3 = Track(2, Kind.AUDIO, "ac3", 90_000, sample_rate=48_000, channels=1)
EAC3 = Track(2, Kind.AUDIO, "eac3", 90_000, sample_rate=48_000, channels=1)
ID3 = Track(3, Kind.DATA, "id3", 90_000)
SCTE35 = Track(4, Kind.DATA, "scte35", 90_000)

# splice_null of SCTE 35, with its CRC.
SPLICE_NULL = bytes.fromhex("fc301100000000000000fff0000000007a4fbfff")


def filler(size: int, seed: int) -> bytes:
    """Bytes without start codes and without sync words."""
    return bytes(0x80 | (seed * 7 + at * 3) & 0x3F for at in range(size))


def lengths(*nals: bytes) -> bytes:
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)


def picture(track: Track, dts: int, *, pts: int | None = None, key: bool = False, size: int = 1000) -> Frame:
    """A video frame whose slice is filler."""
    if track.codec == "h264":
        nal = (b"\x65\x88" if key else b"\x41\x9a") + filler(size, dts)
    else:
        nal = (b"\x26\x01" if key else b"\x02\x01") + filler(size, dts)
    return Frame(track, dts, dts if pts is None else pts, lengths(nal), key=key, duration=3600)


def sound(track: Track, dts: int, *, size: int = 200, duration: int = 0) -> Frame:
    """An audio frame with a header that its codec accepts."""
    payload = {
        "aac": b"\x21" + filler(size, dts),
        "opus": b"\xfc" + filler(size, dts),
        "mp3": bytes.fromhex("fffb10c4") + filler(100, dts),
        "ac3": bytes.fromhex("0b77e5ed00402f84") + filler(120, dts),
        "eac3": bytes.fromhex("0b77003f3287c000") + filler(120, dts),
    }[track.codec]
    return Frame(track, dts, dts, payload, key=True, duration=duration)


def clip(
    seconds: float = 2.0, *, video: Track = H264, audio: Track = AAC, gop: int = 25, size: int = 1000
) -> list[Frame]:
    """25 fps video and audio in decode order, from time 0."""
    frames = [picture(video, n * 3600, key=n % gop == 0, size=size) for n in range(round(seconds * 25))]
    samples = {"aac": 1024, "opus": 960, "mp3": 1152}.get(audio.codec, 1536)
    step = samples * audio.timescale // (audio.sample_rate or 48_000)
    count = round(seconds * audio.timescale / step)
    frames += [sound(audio, n * step, duration=step) for n in range(count)]
    return sorted(frames, key=lambda frame: frame.dts_s)


def psi(pid: int, section: bytes, counter: int = 0) -> bytes:
    """Packets of one section."""
    data = b"\0" + section
    return b"".join(
        header(pid, start=at == 0, field=1, counter=(counter + at // 184) & 15)
        + data[at : at + 184].ljust(184, b"\xff")
        for at in range(0, len(data), 184)
    )


def tables(entries: list[MapEntry], *, program: int = 1, version: int = 0, counter: int = 0) -> bytes:
    """A PAT and a PMT."""
    pmt = build_pmt(ProgramMap(program, version, entries[0].pid if entries else 0x1FFF, (), tuple(entries)))
    return psi(0, build_pat(1, 0, [(program, 0x1000)]), counter) + psi(0x1000, pmt, counter)


def stuffed(pid: int, body: bytes, *, start: bool, counter: int) -> bytes:
    """One packet; what `body` leaves free is adaptation field."""
    room = 184 - len(body)
    if not room:
        return header(pid, start=start, field=1, counter=counter & 15) + body
    field = b"\0" if room == 1 else bytes((room - 1, 0)).ljust(room, b"\xff")
    return header(pid, start=start, field=3, counter=counter & 15) + field + body


def pes(pid: int, payload: bytes, dts: int, *, counter: int = 0, unbounded: bool = False) -> tuple[bytes, int]:
    """Packets of one PES packet, and the next counter."""
    head = bytearray(pes_header(0xC0, len(payload), dts, dts))
    if unbounded:
        head[4:6] = b"\0\0"
    data = bytes(head) + payload
    out = [
        stuffed(pid, data[at : at + 184], start=at == 0, counter=counter + at // 184) for at in range(0, len(data), 184)
    ]
    return b"".join(out), (counter + len(out)) & 15


def read(data: bytes, chunk: int = 0, **options: int | float) -> list[Event]:
    """All events of `data`, fed in pieces of `chunk` bytes."""
    demuxer = TsDemuxer(**options)  # type: ignore[arg-type]
    step = chunk or len(data) or 1
    events = [event for at in range(0, len(data), step) for event in demuxer.feed(data[at : at + step])]
    return events + demuxer.flush()


def frames_of(events: list[Event], codec: str = "") -> list[Frame]:
    return [event for event in events if isinstance(event, Frame) and codec in ("", event.track.codec)]


def tracks_of(events: list[Event]) -> list[list[str]]:
    return [[track.codec for track in event.tracks] for event in events if isinstance(event, Tracks)]


def breaks_of(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Discontinuity)]


def plain(events: list[Event]) -> list[object]:
    """Events in a form that compares by value."""
    return [
        (e.track, e.dts, e.pts, e.payload, e.key, e.duration, e.side) if isinstance(e, Frame) else e for e in events
    ]


@dataclass
class Packet:
    pid: int
    start: bool
    counter: int
    payload: bytes
    discontinuity: bool = False
    random_access: bool = False
    pcr: int | None = None
    """In 27 MHz ticks."""
    raw: bytes = b""
    at: int = 0


@dataclass
class PesPacket:
    stream_id: int
    length: int
    pts: int
    dts: int
    payload: bytes
    first: Packet


@dataclass
class Analysis:
    """Everything in a transport stream, taken apart by the letter of ISO/IEC 13818-1 2.4.3."""

    data: bytes
    packets: list[Packet] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert len(self.data) % 188 == 0
        last: dict[int, int] = {}
        for at in range(0, len(self.data), 188):
            raw = self.data[at : at + 188]
            assert raw[0] == 0x47
            assert not raw[1] & 0x80
            assert not raw[3] & 0xC0
            packet = Packet((raw[1] & 0x1F) << 8 | raw[2], bool(raw[1] & 0x40), raw[3] & 15, b"", raw=raw, at=at // 188)
            body = raw[4:]
            control = raw[3] >> 4 & 3
            assert control
            if control & 2:
                size = body[0]
                assert size == 183 if control == 2 else size <= 182
                adaptation, body = body[1 : 1 + size], body[1 + size :]
                if adaptation:
                    packet.discontinuity = bool(adaptation[0] & 0x80)
                    packet.random_access = bool(adaptation[0] & 0x40)
                    used = 1
                    if adaptation[0] & 0x10:
                        base = int.from_bytes(adaptation[1:5], "big") << 1 | adaptation[5] >> 7
                        packet.pcr = base * 300 + ((adaptation[5] & 1) << 8 | adaptation[6])
                        assert adaptation[5] & 0x7E == 0x7E
                        used = 7
                    assert not adaptation[0] & 0x2F
                    assert adaptation[used:] == b"\xff" * (len(adaptation) - used)
            packet.payload = body if control & 1 else b""
            if packet.pid in last:
                expected = (last[packet.pid] + 1) & 15 if control & 1 else last[packet.pid]
                assert packet.counter == expected, f"continuity of PID {packet.pid} at packet {packet.at}"
            last[packet.pid] = packet.counter
            self.packets.append(packet)

    def pes(self, pid: int) -> list[PesPacket]:
        """The PES packets of one PID; filled lengths must be exact."""
        groups: list[list[Packet]] = []
        for packet in self.packets:
            if packet.pid == pid and packet.payload:
                if packet.start:
                    groups.append([])
                groups[-1].append(packet)
        return [self._pes(group) for group in groups]

    @staticmethod
    def _pes(group: list[Packet]) -> PesPacket:
        data = b"".join(packet.payload for packet in group)
        assert data[:3] == b"\0\0\1"
        length = int.from_bytes(data[4:6], "big")
        assert length in (0, len(data) - 6)
        assert data[6] & 0xC0 == 0x80
        times = []
        for at, present, prefix in ((9, data[7] & 0x80, data[7] >> 6), (14, data[7] & 0x40, 1)):
            if present:
                field_ = data[at : at + 5]
                assert field_[0] >> 4 == prefix
                assert field_[0] & field_[2] & field_[4] & 1
                value = (
                    (field_[0] >> 1 & 7) << 30
                    | field_[1] << 22
                    | field_[2] >> 1 << 15
                    | field_[3] << 7
                    | field_[4] >> 1
                )
                times.append(value)
        return PesPacket(data[3], length, times[0], times[-1], data[9 + data[8] :], group[0])

    def pcrs(self) -> list[Packet]:
        return [packet for packet in self.packets if packet.pcr is not None]
