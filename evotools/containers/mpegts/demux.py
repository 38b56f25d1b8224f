"""The transport stream reader: packets in, frames out.

Packets that merely continue a PES packet are taken in runs: their headers are compared as integers and their payloads
cut out together. Everything else (starts, adaptation fields, tables, errors) goes packet by packet.
"""

from evotools.containers.mpegts.audio import make_reader
from evotools.containers.mpegts.clock import ProgramClock, StreamTime
from evotools.containers.mpegts.elementary import Elementary
from evotools.containers.mpegts.packet import NULL_PID, PACKET, PAYLOAD, TIMESCALE, WRAP, PacketSync, Run, strip_headers
from evotools.containers.mpegts.pes import HEADER_MIN, MAX_PES, PADDING_STREAM, parse_pes, pes_size
from evotools.containers.mpegts.psi import (
    MAX_PROGRAMS,
    MAX_SECTION,
    PAT_PID,
    SPLICE_TABLE,
    MapEntry,
    ProgramMap,
    SectionAssembler,
    crc32,
    is_current,
    parse_pat,
    parse_pmt,
)
from evotools.containers.mpegts.streams import identify, language, opus_head
from evotools.containers.timed import from_id3
from evotools.errors import ParseError
from evotools.media.frame import Discontinuity, Event, Frame, Metadata, Tracks
from evotools.media.track import Kind, Track

STORED_WAIT_S = 10.0
"""How far a stored stream is searched for the first frame of every track: sound that begins seconds late is common in
captures, and containers that name their tracks once cannot take it up later."""
MAX_HELD_BYTES = 8 << 20
"""Frames kept while tracks wait for their configuration: a second of a 60 Mbit/s stream."""
MAX_HELD_EVENTS = 8192
"""The same in frames, of which each costs some 200 bytes beside its payload: a second of MAX_STREAMS streams."""
MAX_UNBOUNDED_BYTES = 48 << 20
"""PES packets without a length, all streams together: three of the largest size."""
MAX_TABLELESS_BYTES = 8 << 20
"""Packets read before a program is found: tables come every 0.1 to 0.5 s, and this is a second at 60 Mbit/s."""
MAX_SCRAMBLED_PACKETS = 5000
"""Scrambled packets, with no clear one among them, after which the stream counts as scrambled as a whole."""
_GROWTH = 1 << 20
_MAX_PIECES = 4096
"""Pieces of one PES packet kept apart: packets with a byte or two behind a long adaptation field cost objects."""
_ANNOUNCED = "the sender announces a discontinuity"
_COUNTER_TURN = 16 * PAYLOAD - PACKET
"""A PES packet that ends this far before its length has lost 16 packets unseen by the counter, or a multiple of 16."""

_PID = 0x1FFF00
_ERROR, _START, _SCRAMBLED, _FIELD, _HAS_PAYLOAD = 0x800000, 0x400000, 0xC0, 0x20, 0x10


class _Table:
    """A PID that carries PAT or PMT sections."""

    __slots__ = ("assembler", "counter", "expect", "last", "pid", "section")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.expect = -1
        self.counter = -1
        self.last = b""
        self.section = b""
        self.assembler = SectionAssembler()


class _Stream:
    """One elementary stream: the PES packet in progress, and the reader of its payload."""

    __slots__ = (
        "announced", "bounded", "chunks", "counter", "entry", "expect", "last", "leads", "mark", "name", "need", "pid",
        "reader", "sections", "serial", "size", "sized", "time",
    )  # fmt: skip

    def __init__(self, entry: MapEntry, name: str, reader: Elementary) -> None:
        self.pid = entry.pid
        self.entry = entry
        self.name = name
        self.reader = reader
        self.leads = reader.kind != Kind.DATA
        self.sections = SectionAssembler(MAX_SECTION) if name == "scte35" else None
        self.time = StreamTime()
        self.announced: Track | None = None
        self.expect = -1
        """The one header that plainly continues the PES packet; -1 when none is in progress."""
        self.counter = -1
        """The next continuity counter; -1 when any will do."""
        self.chunks: list[bytes | bytearray] = []
        self.need = 0
        """Payload bytes until something has to be decided."""
        self.sized = False
        self.bounded = False
        self.size = 0
        self.last: bytes | bytearray = b""
        self.serial = 0
        self.mark: tuple[int, int] | None = None

    def drop(self) -> None:
        """Forget the PES packet in progress."""
        self.chunks = []
        self.expect = -1
        self.need = 0
        self.size = 0


class TsDemuxer:
    """MPEG transport stream to frames on a 90 kHz clock; implements `containers.base.Demuxer`.

    `program` picks a program by number, else the first one is read. `Tracks` comes when every audio and video stream
    of the program map has shown its configuration, or after `wait_s` seconds of media so that a silent stream does
    not hold up the others; a stream that shows itself later joins with another `Tracks`. Track ids are PIDs.
    """

    def __init__(self, *, program: int | None = None, wait_s: float = 1.0) -> None:
        self.programs: dict[int, int] = {}
        """Program numbers and the PIDs of their maps, in the order of the PAT."""
        self.continuity_errors = 0
        """Times that packets of one stream were missing."""
        self.sync_losses = 0
        self.damaged = 0
        """Payloads dropped because their syntax was broken."""
        self._wanted = program
        self._chosen: int | None = None
        self._seen: set[int] = set()
        self._wait = round(wait_s * TIMESCALE)
        self._sync = PacketSync()
        self._clock = ProgramClock()
        self._by_pid: dict[int, _Table | _Stream] = {PAT_PID << 8: _Table(PAT_PID)}
        self._streams: dict[int, _Stream] = {}
        self._map: ProgramMap | None = None
        self._pat_version = -1
        self._pat_sections: dict[int, list[tuple[int, int]]] = {}
        self._out: list[Event] = []
        self._gathering = True
        self._waiting: set[int] = set()
        self._held: list[Frame | Discontinuity | Metadata] = []
        self._held_bytes = 0
        self._held_from: int | None = None
        self._started = False
        self._marked = True
        self._tableless = 0
        self._fed = False
        self._scrambled = 0
        self._clear = False

    # -- input -----------------------------------------------------------------------------------------------------

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Events completed by `data`.

        Raises ParseError when the input holds no transport packets, no program, or nothing but scrambled ones.
        """
        if data:
            self._fed = True
        for run in self._sync.feed(data):
            self._run(run)
        return self._take()

    def flush(self) -> list[Event]:
        """End of input: the PES packets whose end only the next one would have shown, and held frames.

        Raises ParseError when nothing readable was found in all of the input.
        """
        for run in self._sync.flush():
            self._run(run)
        for stream in list(self._streams.values()):
            self._close(stream)
        if self._gathering and self._streams:
            self._release()
        if self._fed and not self._started:
            if self._scrambled and not self._clear:
                raise ParseError("every packet of the program is scrambled", hint="descramble it first")
            if self._map is None:
                raise ParseError("no program map in the transport stream")
        return self._take()

    def _take(self) -> list[Event]:
        out = self._out
        self._out = []
        return out

    def _run(self, run: Run) -> None:
        data, start, count, step, lost = run
        if lost:
            self.sync_losses += 1
            self._mark_event(f"{lost} bytes that are no packets")
        if self._map is None:
            self._tableless += count * step
            if self._tableless > MAX_TABLELESS_BYTES:
                raise ParseError(f"no program map in {MAX_TABLELESS_BYTES} bytes of transport stream")
        words = run.words()
        lookup = self._by_pid.get
        at = 0
        while at < count:
            word = words[at]
            stream = lookup(word & _PID)
            if stream is None:
                at += 1
            elif word == stream.expect:
                assert isinstance(stream, _Stream)
                limit = min(count, at + (stream.need + PAYLOAD - 1) // PAYLOAD)
                base = word & ~15
                end, first_turn = at + 1, min(limit, at + 16)
                while end < first_turn and words[end] == base | (word + end - at) & 15:
                    end += 1
                if end == at + 16:
                    # Headers repeat every 16 packets: further turns are compared in C.
                    turn = words[at:end]
                    while end + 16 <= limit and words[end : end + 16] == turn:
                        end += 16
                    while end < limit and words[end] == turn[(end - at) & 15]:
                        end += 1
                word = base | (word + end - at) & 15
                stream.expect = word
                stream.counter = word & 15
                stream.chunks.append(strip_headers(data, start + at * step, end - at, step))
                stream.need -= (end - at) * PAYLOAD
                if stream.need <= 0:
                    self._advance(stream)
                at = end
            else:
                self._packet(stream, word, data, start + at * step)
                at += 1

    def _packet(self, stream: "_Table | _Stream", word: int, data: bytes, at: int) -> None:
        if word & _ERROR or not word & (_FIELD | _HAS_PAYLOAD):
            return
        begin, end, restart = at + 4, at + PACKET, False
        if word & _FIELD:
            size = data[begin]
            begin += 1 + size
            if begin > end:
                return
            restart = size > 0 and bool(data[at + 5] & 0x80)
        if word & _SCRAMBLED:
            self._note_scrambled()
            return
        payload = data[begin:end]
        if isinstance(stream, _Table):
            if payload and word & _HAS_PAYLOAD:
                self._table_packet(stream, word, payload)
            return
        if not word & _HAS_PAYLOAD:
            if restart:
                stream.counter = -1
                self._event(stream, _ANNOUNCED, same=stream.mark == (stream.serial, stream.need))
            return
        counter = word & 15
        same = stream.mark == (stream.serial, stream.need)
        if restart:
            stream.counter = -1
        elif counter != stream.counter and stream.counter >= 0:
            # 2.4.3.3: a packet may be sent twice, with the same counter.
            tail = stream.chunks[-1] if stream.chunks else stream.last
            if counter == (stream.counter - 1) & 15 and payload and tail[-len(payload) :] == payload:
                return
            self._gap(stream)
        stream.counter = (counter + 1) & 15
        if stream.sections is not None:
            stream.last = payload
            for section in stream.sections.push(payload, start=bool(word & _START)):
                self._splice(stream, section)
        elif word & _START:
            if stream.chunks:
                if not stream.bounded:
                    stream.reader.foresee(payload)
                self._finish(stream)
            if restart:
                self._event(stream, _ANNOUNCED, same=same)
            stream.serial += 1
            stream.chunks.append(payload)
            stream.sized = False
            stream.need = HEADER_MIN - len(payload)
            if stream.need <= 0:
                self._advance(stream)
        elif stream.chunks and payload:
            stream.chunks.append(payload)
            if len(stream.chunks) > _MAX_PIECES:
                stream.chunks = [b"".join(stream.chunks)]
            stream.need -= len(payload)
            if stream.need <= 0:
                self._advance(stream)
        if stream.chunks:
            stream.expect = word & 0xFF3FFF00 | _HAS_PAYLOAD | stream.counter

    # -- PES packets -----------------------------------------------------------------------------------------------

    def _advance(self, stream: _Stream) -> None:
        """As many bytes of the PES packet are here as were asked for: decide what comes next."""
        if not stream.sized:
            head = stream.chunks[0] if len(stream.chunks) == 1 else b"".join(stream.chunks)
            if head[:3] != b"\0\0\1":
                stream.drop()
                self.damaged += 1
                return
            size = pes_size(head)
            stream.sized = True
            stream.bounded = size > 0
            stream.size = size or _GROWTH
            stream.need = stream.size - len(head)
            if stream.need > 0:
                return
        if stream.bounded:
            self._finish(stream)
            return
        unbounded = sum(s.size - s.need for s in self._streams.values() if s.chunks and not s.bounded)
        if stream.size >= MAX_PES or unbounded > MAX_UNBOUNDED_BYTES:
            stream.drop()
            stream.reader.lost()
            self.damaged += 1
            self._discontinuity(f"a PES packet on PID {stream.pid} exceeds {MAX_PES} bytes")
            return
        stream.size += _GROWTH
        stream.need += _GROWTH

    def _finish(self, stream: _Stream) -> None:
        """The PES packet is complete, or another one begins."""
        chunks, need, size = stream.chunks, stream.need, stream.size
        bounded = stream.sized and stream.bounded
        stream.drop()
        stream.last = chunks[-1][-PAYLOAD:]
        if bounded and need > _COUNTER_TURN:
            self._gap(stream)
            return
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if bounded and need < 0:
            data = data[:size]
        try:
            pes = parse_pes(data)
            if pes.stream_id == PADDING_STREAM:
                return
            if pes.scrambled:
                self._note_scrambled()
                return
            dts = pts = None
            if pes.dts is not None and pes.pts is not None:
                dts = self._clock.unwrap(stream.time, pes.dts, leads=stream.leads)
                if self._clock.jumped:
                    self._discontinuity("timestamps jump")
                pts = dts + (pes.pts - pes.dts + WRAP // 2) % WRAP - WRAP // 2
            elif not stream.leads:
                dts = pts = self._clock.now
            frames = stream.reader.read(bytes(memoryview(data)[pes.offset :]), dts, pts)
        except ParseError as error:
            self.damaged += 1
            stream.reader.lost()
            self._discontinuity(f"PID {stream.pid}: {error.message}")
            return
        for frame in frames:
            self._emit(stream, frame)
            if stream.name == "id3":
                (self._held if self._gathering else self._out).extend(
                    from_id3(frame.payload, frame.pts / TIMESCALE, id3_track=stream.pid)
                )

    def _close(self, stream: _Stream) -> None:
        """The stream ends here: hand out what needs no more bytes."""
        if stream.chunks and not (stream.sized and stream.bounded):
            self._finish(stream)
        stream.drop()
        try:
            frames = stream.reader.flush()
        except ParseError:
            self.damaged += 1
            return
        for frame in frames:
            self._emit(stream, frame)

    def _splice(self, stream: _Stream, section: bytes) -> None:
        # SCTE 35 9.6: sections carry no time stamp of their own; they belong to the moment at which they come.
        if section[0] != SPLICE_TABLE or crc32(section):
            return
        now = self._clock.now
        for frame in stream.reader.read(section, now, now):
            self._emit(stream, frame)

    # -- faults ----------------------------------------------------------------------------------------------------

    def _gap(self, stream: _Stream) -> None:
        """Packets of this stream are missing."""
        same = stream.mark == (stream.serial, stream.need)
        stream.drop()
        stream.reader.lost()
        if stream.sections is not None:
            stream.sections.reset()
        self.continuity_errors += 1
        self._event(stream, f"packets of PID {stream.pid} are missing", same=same)

    def _event(self, stream: _Stream, reason: str, *, same: bool) -> None:
        """Something happened on one PID: report it unless it is part of an event that another PID has reported."""
        if not same:
            self._mark_event(reason)
        stream.mark = None

    def _mark_event(self, reason: str) -> None:
        # A hole or a restart shows on every PID in turn: those that got no packet since are of the same event.
        for stream in self._streams.values():
            stream.mark = (stream.serial, stream.need)
        self._discontinuity(reason)

    def _discontinuity(self, reason: str) -> None:
        if self._marked:
            return
        self._marked = True
        (self._held if self._gathering else self._out).append(Discontinuity(reason))

    def _note_scrambled(self) -> None:
        self._scrambled += 1
        if self._scrambled == MAX_SCRAMBLED_PACKETS and not self._clear:
            raise ParseError("every packet of the program is scrambled", hint="descramble it first")

    # -- tables ----------------------------------------------------------------------------------------------------

    def _table_packet(self, table: _Table, word: int, payload: bytes) -> None:
        counter = word & 15
        if counter == table.counter and payload == table.last:
            return
        if table.counter >= 0 and counter != (table.counter + 1) & 15:
            table.assembler.reset()
        table.counter, table.last = counter, payload
        for section in table.assembler.push(payload, start=bool(word & _START)):
            if section == table.section or not is_current(section):
                continue
            try:
                if table.pid == PAT_PID:
                    self._pat(section)
                    table.section = section
                else:
                    self._pmt(table, section)
            except _Refused:
                raise
            except ParseError:
                self.damaged += 1

    def _pat(self, section: bytes) -> None:
        version, number, pairs = parse_pat(section)
        if version != self._pat_version:
            self._pat_version = version
            self._pat_sections = {}
        others = sum(len(part) for index, part in self._pat_sections.items() if index != number)
        self._pat_sections[number] = pairs[: max(MAX_PROGRAMS - others, 0)]
        programs = {program: pid for _, part in sorted(self._pat_sections.items()) for program, pid in part}
        if programs == self.programs:
            return
        self.programs = programs
        complete = section[6] == section[7]
        if self._wanted is not None and self._wanted not in programs and complete and not self._started:
            listed = ", ".join(map(str, programs)) or "none"
            raise _Refused(f"no program {self._wanted} in the transport stream (there is: {listed})")
        if self._chosen not in programs:
            self._chosen = self._wanted
        self._watch()

    def _watch(self) -> None:
        """Keep table readers for the maps that matter: the chosen program's, or all until one is chosen."""
        chosen = self._chosen
        pids = {pid for program, pid in self.programs.items() if chosen is None or program == chosen}
        for key in [k for k, v in self._by_pid.items() if isinstance(v, _Table) and v.pid not in (PAT_PID, *pids)]:
            del self._by_pid[key]
        for pid in pids - {PAT_PID, NULL_PID}:
            if not isinstance(self._by_pid.get(pid << 8), _Table):
                self._by_pid[pid << 8] = _Table(pid)

    def _pmt(self, table: _Table, section: bytes) -> None:
        found = parse_pmt(section)
        if self.programs.get(found.program) != table.pid:
            return
        if self._chosen is None:
            # The first program of the PAT; where its map does not come, the one that is seen for the second time.
            if found.program != next(iter(self.programs)) and found.program not in self._seen:
                self._seen.add(found.program)
                return
            self._chosen = found.program
            self._watch()
        if found.program == self._chosen:
            table.section = section
            self._adopt(found)

    def _adopt(self, found: ProgramMap) -> None:
        """Take over a program map; streams that it still lists keep their state."""
        old = self._map
        self._map = found
        if old is not None and old.streams == found.streams:
            return
        streams: dict[int, _Stream] = {}
        added = changed = False
        for entry in found.streams:
            name = identify(entry, found.descriptors)
            if not name or entry.pid == NULL_PID or isinstance(self._by_pid.get(entry.pid << 8), _Table):
                continue
            stream = self._streams.get(entry.pid)
            if stream is not None and stream.name == name and (name != "opus" or stream.entry == entry):
                if language(entry) != language(stream.entry):
                    stream.reader.relabel(language(entry))
                    if stream.announced is not None:
                        stream.announced = stream.reader.track
                        changed = True
                stream.entry = entry
            else:
                config = opus_head(entry) if name == "opus" else b""
                stream = _Stream(entry, name, make_reader(name, entry.pid, language(entry), config))
                added = True
            streams[entry.pid] = stream
        gone = [stream for pid, stream in self._streams.items() if streams.get(pid) is not stream]
        for stream in gone:
            self._close(stream)
            del self._by_pid[stream.pid << 8]
        if self._gathering and gone:
            ids = {stream.pid for stream in gone}
            self._held = [e for e in self._held if not isinstance(e, Frame) or e.track.id not in ids]
        self._streams = streams
        self._by_pid.update({pid << 8: stream for pid, stream in streams.items()})
        if added:
            self._gathering = True
            self._held_from = None
        if self._gathering:
            self._waiting = {pid for pid, stream in streams.items() if stream.reader.track is None}
            if not self._waiting and streams:
                self._release()
        elif gone or changed:
            self._announce()

    # -- output ----------------------------------------------------------------------------------------------------

    def _emit(self, stream: _Stream, frame: Frame) -> None:
        self._clear = self._started = True
        self._marked = False
        if self._gathering:
            if stream.announced is None:
                stream.announced = frame.track
            self._held.append(frame)
            self._held_bytes += len(frame.payload)
            self._waiting.discard(stream.pid)
            if stream.leads and self._held_from is None:
                self._held_from = frame.dts
            late = stream.leads and self._held_from is not None and frame.dts - self._held_from >= self._wait
            full = self._held_bytes > MAX_HELD_BYTES or len(self._held) >= MAX_HELD_EVENTS
            if not self._waiting or late or full:
                self._release()
            return
        if frame.track is not stream.announced:
            stream.announced = frame.track
            self._announce()
        self._out.append(frame)

    def _release(self) -> None:
        """Announce the tracks that are known by now, then hand out what was held for them."""
        self._gathering = False
        held, self._held, self._held_bytes = self._held, [], 0
        for stream in self._streams.values():
            if stream.announced is None:
                stream.announced = stream.reader.track
        self._announce()
        for event in held:
            if isinstance(event, Frame):
                owner = self._streams.get(event.track.id)
                if owner is not None and owner.announced is not event.track:
                    owner.announced = event.track
                    self._announce()
            self._out.append(event)

    def _announce(self) -> None:
        self._out.append(Tracks(tuple(s.announced for s in self._streams.values() if s.announced is not None)))


class _Refused(ParseError):
    """What the caller asked for is not in the stream."""
