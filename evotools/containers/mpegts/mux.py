"""The transport stream writer: frames in, packets out. ISO/IEC 13818-1 2.4 and 2.7.

Program tables at least every 100 ms of media and before each key frame; a clock reference at least every 40 ms, in
packets of its own where frames are further apart; lengths in PES headers wherever 16 bits hold them, so that readers
need not wait for the next frame; audio grouped up to 60 ms.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from struct import Struct
from typing import Literal

from evotools.codecs.aac import to_adts
from evotools.codecs.describe import frame_duration
from evotools.codecs.paramsets import to_annexb
from evotools.containers.mpegts.clock import AHEAD, BACK
from evotools.containers.mpegts.packet import NULL_PID, PAYLOAD, TIMESCALE, encode_pcr, header
from evotools.containers.mpegts.pes import pes_header
from evotools.containers.mpegts.psi import PAT_PID, ProgramMap, build_pat, build_pmt
from evotools.containers.mpegts.streams import can_name, map_entry, program_descriptors
from evotools.containers.timed import to_id3
from evotools.errors import MediaError, ParseError
from evotools.media.frame import Frame, Metadata
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track

PMT_PID = 0x1000
FIRST_PID = 0x100
PCR_INTERVAL = 40 * TIMESCALE // 1000
TABLE_INTERVAL = 100 * TIMESCALE // 1000
GROUP = 60 * TIMESCALE // 1000
MAX_GROUP_BYTES = 60_000
"""Keeps grouped audio below the 16 bits of PES_packet_length."""
MAX_ID3_BYTES = 60_000
"""Of one tag of timed data: it has to fit into one PES packet of a data stream."""
MAX_TAGS = 32
"""Tags that wait for a key frame; of more the newest are kept."""
ID3_PID = PMT_PID - 1
"""Of timed data, where no track has it."""
_ID3 = Track(-1, Kind.DATA, "id3", TIMESCALE)
_IDLE = TIMESCALE
"""A track this far behind the others does not hold the program clock back any more."""

_AT_ONCE = 256
"""Packets whose payloads one call cuts out; a format for each smaller number is remembered. A multiple of 16."""


@cache
def _cut(packets: int) -> Callable[[bytes, int], tuple[bytes, ...]]:
    """Cuts so many payloads of whole packets out of bytes: one call in C, a quarter of the cost of slicing."""
    return Struct(f"{PAYLOAD}s" * packets).unpack_from


def _opus_unit(frame: Frame) -> bytes:
    """The packet behind its control header: size in runs of 255, then 13-bit trims."""
    side = frame.side or {}
    start, end = min(side.get("trim_start", 0), 0x1FFF), min(side.get("trim_end", 0), 0x1FFF)
    runs, rest = divmod(len(frame.payload), 255)
    head = bytes((0x7F, 0xE0 | 0x10 * bool(start) | 0x08 * bool(end))) + b"\xff" * runs + bytes((rest,))
    trims = b"".join(trim.to_bytes(2, "big") for trim in (start, end) if trim)
    return head + trims + frame.payload


_Form = tuple[str, Callable[[Frame], bytes] | None]
_CANONICAL: _Form = ("", None)
_FORMS: dict[str, _Form] = {
    "h264": ("annexb", to_annexb), "h265": ("annexb", to_annexb), "aac": ("adts", to_adts),
    "opus": ("ts-opus", _opus_unit),
}  # fmt: skip
"""The wire form of a codec by its name on the frame, and what builds it; other payloads go as they are."""


def _duration(track: Track, payload: bytes) -> int:
    """What an audio frame lasts on the program clock; 0 when it does not tell."""
    try:
        return rescale(frame_duration(track, payload), track.timescale, TIMESCALE)
    except ParseError:
        return 0


class _Out:
    """One elementary stream on its way out."""

    __slots__ = (
        "at", "audio", "build", "counter", "form", "heads", "held", "held_bytes", "held_end", "held_from", "held_pts",
        "last", "nominal", "pid", "restart", "sections", "slack", "starts", "starts_behind_field", "stream_id", "tails",
        "timescale", "track", "video",
    )  # fmt: skip

    def __init__(self, track: Track, pid: int, stream_id: int, counter: int) -> None:
        self.track = track
        self.pid = pid
        self.stream_id = stream_id
        self.counter = counter
        self.timescale = track.timescale
        self.form, self.build = _FORMS.get(track.codec, _CANONICAL)
        self.audio = track.kind == Kind.AUDIO
        self.video = track.kind == Kind.VIDEO
        self.sections = track.codec == "scte35"
        self.heads = [header(pid, start=False, field=1, counter=at & 15) for at in range(_AT_ONCE + 16)]
        self.starts = [header(pid, start=True, field=1, counter=at) for at in range(16)]
        self.starts_behind_field = [header(pid, start=True, field=3, counter=at) for at in range(16)]
        self.tails = [header(pid, start=False, field=3, counter=at) for at in range(16)]
        self.slack = 1 + -(-TIMESCALE // track.timescale)
        """How far two frames may be off and still share a PES packet: rounding of the source's clock."""
        self.nominal = _duration(track, b"") if track.codec == "aac" else 0
        """What a frame lasts on the program clock where the configuration alone tells it; 0 elsewhere."""
        self.restart = False
        self.last: int | None = None
        """Decode time of the last frame."""
        self.at: int | None = None
        """The same, while it lies on the program clock."""
        self.held: list[bytes] = []
        self.held_from = 0
        self.held_pts = 0
        self.held_end = 0
        self.held_bytes = 0


class TsMuxer:
    """Frames to an MPEG transport stream with one program; implements `containers.base.Muxer`.

    Times are written as they are, modulo 2^33 of 90 kHz, plus `offset` ticks; a second is added to all where the first
    one is a little below zero. The clock reference runs `pcr_delay_s` behind the slowest track's decode time, so that
    decode times lie ahead of it by a little. `latency` 'low' writes every audio frame at once instead of up to 60 ms of
    them together. Timed data is a stream of ID3 tags, announced when there is any.
    """

    mime = "video/mp2t"

    def __init__(
        self,
        *,
        latency: Literal["normal", "low"] = "normal",
        pcr_delay_s: float = 0.1,
        offset: int = 0,
        program: int = 1,
    ) -> None:
        self._group = 0 if latency == "low" else GROUP
        self._delay = round(pcr_delay_s * TIMESCALE)
        self._offset = offset
        self._program = program
        self._outs: dict[int, _Out] = {}
        self._pcr: _Out | None = None
        self._counters: dict[int, int] = {}
        self._map: ProgramMap | None = None
        self._sections: tuple[bytes, bytes] = (b"", b"")
        self._tables_made: dict[tuple[int, int], bytes] = {}
        self._timed = False
        self._tags: deque[tuple[float, bytes]] = deque(maxlen=MAX_TAGS)
        """Timed data that waits for the key frame at which its stream is announced."""
        self._clock: int | None = None
        self._unbegun = True
        self._pcr_at = 0
        self._tables_at = 0

    def accepts(self, track: Track) -> bool:
        """Whether transport streams have a name for the track's codec."""
        return can_name(track)

    def start(self, tracks: Sequence[Track]) -> bytes:
        """Begin an epoch: PAT and PMT. Raises MediaError when a track cannot be carried.

        From the second call on, what was held is written first, the PMT gets a new version when the tracks differ,
        and the first packet of every stream carries discontinuity_indicator. Continuity counters go on.
        """
        held = self.restart() if self._map is not None else b""
        self._outs = {}
        for track in tracks:
            self._add_stream(track)
        self._timed = self._timed or bool(self._tags)
        ranked = sorted(self._outs.values(), key=lambda out: (not out.video, not out.audio))
        self._pcr = ranked[0] if ranked else None
        if self._timed:
            self._add_stream(_ID3)
        for out in self._outs.values():
            out.restart = self._map is not None
        self._announce()
        return held + self._tables()

    def _add_stream(self, track: Track) -> None:
        taken = {out.pid for out in self._outs.values()}
        pid = _choose_pid(track.id, taken) if track is not _ID3 else _free_pid(ID3_PID, taken)
        _, stream_id = map_entry(track, pid)
        self._outs[track.id] = _Out(track, pid, stream_id, self._counters.get(pid, 0))

    def _announce(self) -> None:
        """Program tables of the streams there are now; the PMT gets a new version when they differ."""
        outs = self._outs.values()
        fields = (
            self._pcr.pid if self._pcr else NULL_PID,
            program_descriptors([out.track for out in outs], self._program),
            tuple(map_entry(out.track, out.pid)[0] for out in outs),
        )
        old = self._map
        version = 0 if old is None else old.version
        if old is not None and (old.pcr_pid, old.descriptors, old.streams) != fields:
            version = (version + 1) % 32
        self._map = ProgramMap(self._program, version, *fields)
        self._tables_made.clear()
        try:
            self._sections = build_pat(1, 0, [(self._program, PMT_PID)]), build_pmt(self._map)
        except ValueError as error:
            if self._outs.pop(_ID3.id, None) is not None:
                # No room in the PMT: the tracks go on without.
                self._map = old
                self._announce()
                return
            raise MediaError(str(error), hint="drop some tracks") from error

    def restart(self) -> bytes:
        """The source starts anew with the same tracks: what was held; then discontinuity_indicator on every stream."""
        parts: list[bytes] = []
        for out in self._outs.values():
            self._release(out, parts)
            out.restart = True
            out.last = out.at = None
            self._counters[out.pid] = out.counter
        self._clock = None
        return b"".join(parts)

    def write(self, frame: Frame) -> bytes:
        """Packets for this frame, and for audio that waited; empty while audio is being grouped.

        Raises MediaError for a frame of a track that `start` was not told, or that its form cannot carry.
        """
        parts: list[bytes] = []
        self._add(frame, parts)
        return b"".join(parts)

    def write_batch(self, frames: Iterable[Frame]) -> bytes:
        """What `write` gives for each of the frames, in one piece."""
        parts: list[bytes] = []
        add = self._add
        for frame in frames:
            add(frame, parts)
        return b"".join(parts)

    def write_metadata(self, metadata: Metadata) -> bytes:
        """Timed data as an ID3 tag at its time.

        The stream of tags is announced at the key frame that follows the first one, which waits for it: there players
        take up a new program map without losing pictures (GStreamer's decodebin begins anew). Before `start` this
        makes `start` announce it. Nothing for what describes the whole stream, for what an `id3` track of this program
        brings, and for what does not fit.
        """
        tag = to_id3(metadata)
        if tag is None or len(tag) > MAX_ID3_BYTES or metadata.options.get("id3_track") in self._outs:
            return b""
        if self._map is None:
            self._timed = True
            return b""
        if self._clock is None:
            return b""
        self._tags.append((metadata.time_s, tag))
        parts: list[bytes] = []
        if self._timed:
            self._write_tags(parts)
        elif self._pcr is not None and not self._pcr.video:
            self._open_tags()
            parts.append(self._tables())
            self._write_tags(parts)
        return b"".join(parts)

    def _open_tags(self) -> None:
        """Announce the stream of ID3 tags; the caller writes the tables."""
        self._timed = True
        self._add_stream(_ID3)
        self._announce()

    def _write_tags(self, parts: list[bytes]) -> None:
        out, clock = self._outs.get(_ID3.id), self._clock
        while self._tags:
            time_s, tag = self._tags.popleft()
            if out is None or clock is None:
                continue
            time = round(time_s * TIMESCALE) + self._offset
            if not -AHEAD <= time - clock <= AHEAD:
                time = clock
            self._pes(out, tag, time, time, False, parts)

    def _add(self, frame: Frame, parts: list[bytes]) -> None:
        out = self._outs.get(frame.track.id)
        if out is None:
            raise MediaError(f"track {frame.track.id} ({frame.track.codec}) is not in the program map")
        dts, pts = frame.dts, frame.pts
        if out.timescale != TIMESCALE:
            ordered = pts == dts
            dts = rescale(dts, out.timescale, TIMESCALE)
            pts = dts if ordered else rescale(pts, out.timescale, TIMESCALE)
        dts += self._offset
        pts += self._offset
        if self._unbegun:
            self._unbegun = False
            if -TIMESCALE <= dts < 0:
                # Encoder delay before zero (AAC priming, reordered pictures) would wrap round to 26.5 hours.
                self._offset += TIMESCALE
                dts += TIMESCALE
                pts += TIMESCALE
        try:
            payload = frame.form(out.form, out.build) if out.build is not None else frame.payload
        except ParseError as error:
            raise MediaError(f"track {frame.track.id}: {error.message}") from error
        clock = self._tick(out, dts, parts)
        if out.audio and self._group:
            self._hold(out, frame, payload, dts, pts, parts)
        else:
            key = frame.key and out.video
            if key:
                tags = self._tags
                fresh = bool(tags) and not self._timed
                if fresh:
                    self._open_tags()
                if fresh or self._tables_at != clock:
                    self._tables_at = clock
                    parts.append(self._tables())
                self._pes(out, payload, dts, pts, True, parts)
                if tags:
                    self._write_tags(parts)
            elif out.sections:
                self._section(out.pid, payload, parts)
            else:
                self._pes(out, payload, dts, pts, False, parts)
        if self._group:
            for other in self._outs.values():
                if other.held and dts - other.held_from >= GROUP:
                    self._release(other, parts)

    def tables(self) -> bytes:
        """PAT and PMT of the epoch once more: the beginning of a piece that is to be read by itself."""
        return self._tables()

    def finish(self) -> bytes:
        """The audio that was held; transport streams have no trailer."""
        parts: list[bytes] = []
        for out in self._outs.values():
            self._release(out, parts)
        if self._tags and self._clock is not None:
            if not self._timed:
                self._open_tags()
                parts.append(self._tables())
            self._write_tags(parts)
        return b"".join(parts)

    # -- clock and tables --------------------------------------------------------------------------------------------

    def _tick(self, out: _Out, dts: int, parts: list[bytes]) -> int:
        """Move the program clock to where this frame allows, with the tables and references that fall due."""
        clock, last = self._clock, out.last
        out.last = dts
        if clock is None:
            return self._rebase(out, dts, parts)
        if last is not None and not BACK <= dts - last <= AHEAD and not -AHEAD <= dts - clock <= AHEAD:
            if self._pcr is not None:
                # 2.4.3.5: a new time base is announced on the PCR PID.
                self._pcr.restart = True
            for other in self._outs.values():
                other.at = None
            return self._rebase(out, dts, parts)
        out.at = dts if -AHEAD <= dts - clock <= AHEAD else None
        slowest = newest = dts if out.at is not None else clock
        for other in self._outs.values():
            at = other.at
            if at is not None:
                if other.held:
                    at = other.held_from
                if at > newest:
                    newest = at
                if at < slowest:
                    slowest = at
        if newest - slowest > _IDLE:
            current = [o.at for o in self._outs.values() if o.at is not None and newest - o.at <= _IDLE]
            slowest = min(current, default=clock)
        if slowest > clock:
            while slowest - self._pcr_at > PCR_INTERVAL:
                self._pcr_at += PCR_INTERVAL
                self._tables_if_due(self._pcr_at, parts)
                self._reference(parts)
            self._clock = clock = slowest
            self._tables_if_due(clock, parts)
        return clock

    def _rebase(self, out: _Out, dts: int, parts: list[bytes]) -> int:
        self._clock = self._tables_at = out.at = dts
        self._pcr_at = dts - 1
        parts.append(self._tables())
        if out is not self._pcr or (out.audio and self._group):
            self._pcr_at = dts
            self._reference(parts)
        return dts

    def _tables_if_due(self, clock: int, parts: list[bytes]) -> None:
        # The next chance comes up to one reference interval later.
        if clock - self._tables_at > TABLE_INTERVAL - PCR_INTERVAL:
            self._tables_at = clock
            parts.append(self._tables())

    def _tables(self) -> bytes:
        """PAT and PMT with their continuity counters; of single packets every combination is made once."""
        key = (self._counters.get(PAT_PID, 0), self._counters.get(PMT_PID, 0))
        made = self._tables_made.get(key)
        if made is None:
            parts: list[bytes] = []
            self._section(PAT_PID, self._sections[0], parts)
            self._section(PMT_PID, self._sections[1], parts)
            made = self._tables_made[key] = b"".join(parts)
            return made
        size = (len(self._sections[1]) + PAYLOAD) // PAYLOAD
        self._counters[PAT_PID] = (key[0] + 1) & 15
        self._counters[PMT_PID] = (key[1] + size) & 15
        return made

    def _section(self, pid: int, section: bytes, parts: list[bytes]) -> None:
        """One section in packets of its own, with a pointer field of 0 and stuffing bytes. 2.4.4."""
        data = b"\0" + section
        counter = self._counters.get(pid, 0)
        for at in range(0, len(data), PAYLOAD):
            parts.append(header(pid, start=at == 0, field=1, counter=counter))
            parts.append(data[at : at + PAYLOAD].ljust(PAYLOAD, b"\xff"))
            counter = (counter + 1) & 15
        self._counters[pid] = counter

    def _reference(self, parts: list[bytes]) -> None:
        """A packet with nothing but the clock reference; it does not move the continuity counter (2.4.3.3)."""
        out = self._pcr
        if out is None:
            return
        flags = 0x10 | 0x80 * out.restart
        # A discontinuity of the counter is announced with it; the indicator stays for the packet with payload, too.
        field = bytes((183, flags)) + encode_pcr(self._pcr_at - self._delay)
        parts.append(header(out.pid, start=False, field=2, counter=(out.counter - 1) & 15))
        parts.append(field.ljust(PAYLOAD, b"\xff"))

    # -- elementary streams --------------------------------------------------------------------------------------------

    def _hold(self, out: _Out, frame: Frame, payload: bytes, dts: int, pts: int, parts: list[bytes]) -> None:
        """Group audio: until 60 ms are full, a frame does not follow from the last one, or other tracks are ahead."""
        if frame.duration:
            duration = rescale(frame.duration, out.timescale, TIMESCALE)
        else:
            duration = out.nominal or _duration(frame.track, frame.payload)
        if out.held and (abs(dts - out.held_end) > out.slack or out.held_bytes + len(payload) > MAX_GROUP_BYTES):
            self._release(out, parts)
        if not out.held:
            out.held_from, out.held_pts, out.held_bytes = dts, pts, 0
        out.held.append(payload)
        out.held_bytes += len(payload)
        out.held_end = dts + duration
        if not duration or out.held_end + duration - out.held_from > GROUP:
            self._release(out, parts)

    def _release(self, out: _Out, parts: list[bytes]) -> None:
        if out.held:
            payload = out.held[0] if len(out.held) == 1 else b"".join(out.held)
            out.held = []
            self._pes(out, payload, out.held_from, out.held_pts, False, parts)

    def _pes(self, out: _Out, payload: bytes, dts: int, pts: int, key: bool, parts: list[bytes]) -> None:
        """One PES packet: a first packet with the adaptation field, whole packets, a last one with stuffing."""
        head = pes_header(out.stream_id, len(payload), pts, dts)
        flags, reference = 0x80 * out.restart | 0x40 * key, b""
        out.restart = False
        if out is self._pcr:
            assert self._clock is not None
            if self._clock > self._pcr_at or flags:
                # The clock may wait for a slower track, but two references are never equal.
                self._pcr_at = max(self._clock, self._pcr_at + 1)
                reference = encode_pcr(self._pcr_at - self._delay)
                flags |= 0x10 if out.video else 0x50
        size, pid, counter = len(head) + len(payload), out.pid, out.counter
        room = PAYLOAD - 2 - len(reference) if flags else PAYLOAD
        if size < room or flags:
            taken = min(size, room)
            parts.append(out.starts_behind_field[counter])
            parts.append(_field(PAYLOAD - taken, flags, reference))
        else:
            taken = PAYLOAD
            parts.append(out.starts[counter])
        at = taken - len(head)
        parts += (head, payload[:at])
        counter = counter + 1 & 15
        whole, tail = divmod(size - taken, PAYLOAD)
        while whole:
            some = min(whole, _AT_ONCE)
            packets: list[bytes] = [b""] * (2 * some)
            packets[::2] = out.heads[counter : counter + some]
            packets[1::2] = _cut(some)(payload, at)
            parts += packets
            at += some * PAYLOAD
            whole -= some
            counter = counter + some & 15
        if tail:
            parts += (out.tails[counter], _STUFFING[PAYLOAD - tail], payload[-tail:])
            counter = counter + 1 & 15
        out.counter = self._counters[pid] = counter


def _choose_pid(track_id: int, taken: set[int]) -> int:
    """A PID that depends on nothing but the track list, so that every muxer of a stream chooses alike.

    Ids that are PIDs of an input stay as they are; small ones count from FIRST_PID.
    """
    if FIRST_PID <= track_id < NULL_PID and track_id != PMT_PID:
        pid = track_id
    else:
        pid = FIRST_PID + (track_id - 1) % (PMT_PID - FIRST_PID)
    return _free_pid(pid, taken)


def _free_pid(pid: int, taken: set[int]) -> int:
    """`pid`, or the next one that is free."""
    while pid in taken:
        pid = FIRST_PID + (pid + 1 - FIRST_PID) % (PMT_PID - FIRST_PID)
    return pid


def _field(size: int, flags: int, reference: bytes) -> bytes:
    """An adaptation field of `size` bytes in all, stuffed. 2.4.3.4."""
    if size == 1:
        return b"\0"
    return (bytes((size - 1, flags)) + reference).ljust(size, b"\xff")


_STUFFING = [b""] + [_field(size, 0, b"") for size in range(1, PAYLOAD + 1)]
"""Adaptation fields of every size that hold nothing."""
