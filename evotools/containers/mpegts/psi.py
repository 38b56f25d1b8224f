"""Program specific information: sections, the program association table and the program map table.

ISO/IEC 13818-1 2.4.4.
"""

import struct
import zlib
from dataclasses import dataclass

from evotools.errors import ParseError

PAT_PID = 0
PAT_TABLE = 0x00
PMT_TABLE = 0x02
SPLICE_TABLE = 0xFC

MAX_SECTION = 4096
"""section_length has 12 bits; private sections may use 4093 of them (2.4.4.11)."""
MAX_PSI_SECTION = 1024
"""PAT and PMT sections may use 1021 (2.4.4.5, 2.4.4.9)."""
MAX_PROGRAMS = 256
"""Of all PAT sections together: a satellite multiplex has some 30. The others are not watched."""
MAX_STREAMS = 64
"""Elementary streams of one program. Broadcast services with every language have about 30."""

Descriptors = tuple[tuple[int, bytes], ...]

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc32(data: bytes) -> int:
    """CRC-32/MPEG-2 (Annex A): over a whole valid section, its CRC included, this is 0."""
    # The same polynomial as zlib's with the bits of every byte the other way round and no final inversion.
    mirrored = zlib.crc32(data.translate(_REVERSED)) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_REVERSED), "big")


@dataclass(frozen=True, slots=True)
class MapEntry:
    """One elementary stream of a program map."""

    pid: int
    stream_type: int
    descriptors: Descriptors = ()

    def descriptor(self, tag: int) -> bytes | None:
        """The body of the first descriptor with this tag."""
        return next((body for found, body in self.descriptors if found == tag), None)

    @property
    def registration(self) -> bytes:
        """The four-character format_identifier, or empty. 2.6.8."""
        return (self.descriptor(0x05) or b"")[:4]


@dataclass(frozen=True, slots=True)
class ProgramMap:
    """The contents of a PMT."""

    program: int
    version: int
    pcr_pid: int
    descriptors: Descriptors
    streams: tuple[MapEntry, ...]


class SectionAssembler:
    """Joins the payloads of one PID to whole sections; CRCs are left to whoever parses the section."""

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = MAX_PSI_SECTION) -> None:
        self._buffer: bytearray | None = None
        self._limit = limit

    def push(self, payload: bytes, *, start: bool) -> list[bytes]:
        """Sections completed by this packet payload; `start` is payload_unit_start_indicator.

        Malformed lengths drop what was gathered: the tables repeat.
        """
        sections: list[bytes] = []
        if start:
            if not payload:
                return sections
            pointer = payload[0]
            if self._buffer is not None:
                self._buffer += payload[1 : 1 + pointer]
                self._take(sections)
            self._buffer = bytearray(payload[1 + pointer :])
        elif self._buffer is not None:
            self._buffer += payload
        self._take(sections)
        return sections

    def reset(self) -> None:
        """Packets were lost: wait for the next section start."""
        self._buffer = None

    def _take(self, sections: list[bytes]) -> None:
        buffer = self._buffer
        while buffer is not None and len(buffer) >= 3:
            # Table id 0xFF is stuffing up to the end of the packet (2.4.4).
            size = 3 + ((buffer[1] & 0x0F) << 8 | buffer[2])
            if buffer[0] == 0xFF or size > self._limit:
                self._buffer = None
                return
            if len(buffer) < size:
                return
            sections.append(bytes(buffer[:size]))
            del buffer[:size]


def _check(section: bytes, table: int, name: str) -> tuple[int, int]:
    """Version and section number of a long-form section. Raises ParseError."""
    if len(section) < 12 or section[0] != table or not section[1] & 0x80:
        raise ParseError(f"not a {name} section")
    if crc32(section):
        raise ParseError(f"{name} section with a wrong CRC")
    return section[5] >> 1 & 0x1F, section[6]


def is_current(section: bytes) -> bool:
    """current_next_indicator: the table applies now and not only later."""
    return len(section) > 5 and bool(section[5] & 1)


def parse_pat(section: bytes) -> tuple[int, int, list[tuple[int, int]]]:
    """Version, section number and the (program, PMT PID) pairs without the network PID. Raises ParseError."""
    version, number = _check(section, PAT_TABLE, "PAT")
    pairs = [struct.unpack_from(">HH", section, at) for at in range(8, len(section) - 7, 4)]
    return version, number, [(program, pid & 0x1FFF) for program, pid in pairs if program]


def parse_descriptors(data: bytes) -> Descriptors:
    """Tag and body of each descriptor; one that runs past the end closes the list."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at + 2 <= len(data):
        size = data[at + 1]
        if at + 2 + size > len(data):
            break
        found.append((data[at], data[at + 2 : at + 2 + size]))
        at += 2 + size
    return tuple(found)


def parse_pmt(section: bytes) -> ProgramMap:
    """The program map in `section`. Raises ParseError."""
    version, _ = _check(section, PMT_TABLE, "PMT")
    if len(section) < 16:
        raise ParseError("PMT section too short")
    program, pcr_pid, info = struct.unpack_from(">H3xHH", section, 3)
    at, end = 12 + (info & 0x0FFF), len(section) - 4
    if at > end:
        raise ParseError("PMT program descriptors run past the section")
    streams: list[MapEntry] = []
    seen: set[int] = set()
    descriptors = parse_descriptors(section[12:at])
    while at + 5 <= end:
        stream_type, pid, info = struct.unpack_from(">BHH", section, at)
        size = info & 0x0FFF
        if at + 5 + size > end:
            raise ParseError("PMT stream descriptors run past the section")
        pid &= 0x1FFF
        if pid not in seen and len(streams) < MAX_STREAMS:
            seen.add(pid)
            streams.append(MapEntry(pid, stream_type, parse_descriptors(section[at + 5 : at + 5 + size])))
        at += 5 + size
    return ProgramMap(program, version, pcr_pid & 0x1FFF, descriptors, tuple(streams))


def _section(table: int, extension: int, version: int, body: bytes) -> bytes:
    head = struct.pack(">BHHBBB", table, 0xB000 | len(body) + 9, extension, 0xC1 | version << 1, 0, 0)
    return head + body + crc32(head + body).to_bytes(4, "big")


def build_pat(stream_id: int, version: int, programs: list[tuple[int, int]]) -> bytes:
    """A PAT section for (program, PMT PID) pairs."""
    body = b"".join(struct.pack(">HH", program, 0xE000 | pid) for program, pid in programs)
    return _section(PAT_TABLE, stream_id, version, body)


def build_descriptors(descriptors: Descriptors) -> bytes:
    """The bytes of a descriptor loop."""
    return b"".join(bytes((tag, len(body))) + body for tag, body in descriptors)


def build_pmt(table: ProgramMap) -> bytes:
    """A PMT section. Raises ValueError when it exceeds the 1024 bytes of 2.4.4.9."""
    info = build_descriptors(table.descriptors)
    parts = [struct.pack(">HH", 0xE000 | table.pcr_pid, 0xF000 | len(info)), info]
    for entry in table.streams:
        info = build_descriptors(entry.descriptors)
        parts.append(struct.pack(">BHH", entry.stream_type, 0xE000 | entry.pid, 0xF000 | len(info)) + info)
    section = _section(PMT_TABLE, table.program, table.version, b"".join(parts))
    if len(section) > MAX_PSI_SECTION:
        raise ValueError(f"PMT of {len(section)} bytes for {len(table.streams)} streams")
    return section
