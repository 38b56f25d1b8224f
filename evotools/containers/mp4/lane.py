"""The samples of one track on their way to frames: known from the tables, awaiting their bytes."""

from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from itertools import repeat
from math import inf
from operator import add, le
from typing import Any, Final, Protocol

from evotools.codecs import av1, h264, h265, mp3, vp9
from evotools.codecs.describe import describe
from evotools.codecs.nal import split_lengths
from evotools.containers.mp4.entries import EntryInfo, completed
from evotools.containers.mp4.moov import MAX_TIME, TrackInfo
from evotools.containers.mp4.samples import BLOCK, Block, TableCursor
from evotools.containers.mp4.senc import SampleSecrets
from evotools.containers.payload import H264_PASS, H265_PASS, LengthPrefixed
from evotools.errors import ParseError
from evotools.log import Throttle, get_logger
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Track

log = get_logger("mp4")

MAX_SAMPLE: Final = 64 << 20
"""Bytes of one sample: an intra picture at 8K and the highest quality has some 20 MB."""
MAX_IDLE_BLOCKS: Final = 2048
"""Blocks one after the other without a single sample that can be used: two million samples. A few bytes can announce
billions of empty ones, of giants, of ones that lie where the stream has been."""
MAX_HELD_FRAMES: Final = 600
"""Frames kept back until every track knows its configuration; some seconds of media."""
MAX_HELD_BYTES: Final = 16 << 20
"""The same in bytes."""


class Samples(Protocol):
    """Where blocks of samples come from."""

    def read(self, limit: int) -> Block | None:
        """The next samples, at most `limit`; None at the end. Raises ParseError."""
        ...


class Lane:
    """One track. `fill` makes the next samples known, as columns from `at` on; `cut` makes frames of them.

    Columns hold what is known of at most BLOCK samples, in decoding order; times are on the presentation's clock.
    """

    def __init__(self, info: TrackInfo, *, encrypted: bool = False, limit: int | None = None) -> None:
        """`encrypted`: protected samples are passed on as they are, with what decrypts them as side data. `limit` is
        the file's size where it can be read at any place; without it samples come in the order in which they lie."""
        self.info = info
        self.timescale = info.timescale
        self.at = 0
        self.offsets: list[int] = []
        self.sizes: list[int] = []
        self.ends: list[int] = []
        self.dts: list[int] = []
        self.pts: list[int] = []
        self.durations: list[int] = []
        self.keys: list[bool] = []
        self.sides: list[dict[str, Any] | None] | None = None
        self.begun = False
        """The samples of the movie's tables are taken."""
        self.changed = False
        """The track is another one since somebody last looked."""
        self.fresh = True
        """Nobody was told of the track yet."""
        self.missing = False
        """Samples lie behind the end of the file."""
        self.end_s = -inf
        """Decode time at which the samples end that were known so far; minus infinity before the first."""
        self.bytes = 0
        """All that was cut."""
        self._passed = -MAX_TIME
        """Where the last sample that was cut ends."""
        self._idle = 0
        """Blocks of which no sample was cut so far."""
        self._sources: deque[Samples] = deque()
        self._limit = limit
        self._shift = info.shift
        # Ticks by which decoding is moved forward so that no picture is shown before it is decoded.
        self._early = -info.table.lowest_offset
        self._audio = info.handler == b"soun"
        # An empty stss: writers of live captures did not know their key frames; the pictures do.
        self._find_keys = info.table.count > 0 and info.table.sync is not None and not info.table.sync.length
        self._broken = Throttle(log, f"MP4: track {info.id}: {{n}} broken samples were left out")
        self._encrypted = encrypted
        self._secrets: SampleSecrets | None = None
        self._entry = 0
        self.track: Track = info.entries[0].track
        self._use(1)

    # What is to come.

    def begin(self, *, base: int = 0, at_s: float | None = None) -> float | None:
        """Take the samples of the movie's own tables, from where the edit begins; offsets count from `base`.

        `at_s` is a presentation time to begin with: pictures from the key frame on that is shown at it or before it.
        Returns the presentation time of the first sample then, None when the tables have none.
        """
        info = self.info
        self.begun = True
        if not info.table.count:
            return None
        first = 0
        if info.begin > 0:
            margin = info.timescale if self._audio else 0
            first = info.table.start_of(info.begin, margin, by_key=not self._audio)
            if not self._audio:
                # A cut seldom meets a picture. As players do: the first one that is shown begins the edit.
                self._shift += info.table.first_shown(info.begin, first) - info.begin
        start_s: float | None = None
        if at_s is not None:
            wanted = info.table.start_of(round(at_s * info.timescale) + self._shift, 0, by_key=not self._audio)
            first = max(first, wanted)
            block = TableCursor(info.table, first=first, stop=info.stop, base=base).read(1)
            start_s = None if block is None else (block.pts[0] - self._shift) / info.timescale
        self._sources.append(TableCursor(info.table, first=first, stop=info.stop, base=base))
        protection = info.entries[0].protection
        if self._encrypted and protection is not None:
            if info.senc is not None:
                self._secrets = SampleSecrets(info.senc, protection)
                self._secrets.skip(first)
            elif protection.constant_iv:
                self._secrets = SampleSecrets.constant(protection)
        return start_s

    def add(self, samples: Samples, lowest_offset: int = 0) -> None:
        """Samples that follow; `lowest_offset` is their lowest composition offset."""
        self._early = max(self._early, -lowest_offset)
        self._sources.append(samples)

    def drop(self) -> int:
        """Forget all samples that are known; at least that many were."""
        count = len(self.offsets) - self.at
        self._sources.clear()
        self.at = len(self.offsets)
        return count

    def fill(self) -> bool:
        """Whether there is a next sample, at `at`. Raises ParseError."""
        while self.at >= len(self.offsets):
            if not self._sources:
                return False
            block = self._sources[0].read(BLOCK)
            if block is None:
                self._sources.popleft()
                continue
            self._idle += 1
            if self._idle > MAX_IDLE_BLOCKS:
                raise ParseError(
                    f"MP4: track {self.info.id} has nothing but samples that are empty, too large or passed"
                )
            self._take(block)
        return True

    @property
    def last_block(self) -> bool:
        """Whether no sample can follow those in the columns."""
        return not self._sources

    def _take(self, block: Block) -> None:
        offsets, sizes, dts, pts, durations, keys, entry, sides = block
        if sides is None and self._secrets is not None and self.info.defaults is None:
            sides = self._secrets.take(len(sizes))
        end = dts[-1] + durations[-1]
        ends = list(map(add, offsets, sizes))
        limit = self._limit
        keep: Sequence[int] | None = None
        if limit is not None and max(ends) > limit:
            # A file that was cut off: what lies behind the first missing sample is missing too.
            keep = range(next(index for index, last in enumerate(ends) if last > limit))
            self.missing = True
            self._sources.clear()
        if min(sizes) == 0 or max(sizes) > MAX_SAMPLE:
            keep = [index for index in (range(len(sizes)) if keep is None else keep) if 0 < sizes[index] <= MAX_SAMPLE]
            if max(sizes) > MAX_SAMPLE:
                self._broken.hit()
        if limit is None and (offsets[0] < self._passed or not all(map(le, ends, offsets[1:]))):
            # What comes once is read once: samples that begin inside others, or before them, are left out.
            keep = _apart(offsets, ends, self._passed, keep)
            self._broken.hit(len(ends) - len(keep))
        if keep is not None:
            offsets, sizes, ends = [offsets[i] for i in keep], [sizes[i] for i in keep], [ends[i] for i in keep]
            dts, pts, durations = [dts[i] for i in keep], [pts[i] for i in keep], [durations[i] for i in keep]
            keys = [keys[i] for i in keep]
            sides = [sides[i] for i in keep] if sides is not None else None
        shift = self._shift
        if shift:
            pts = [time - shift for time in pts]
        if shift or self._early:
            shift += self._early
            dts = [time - shift for time in dts]
        self.end_s = (end - shift) / self.timescale
        self.at = 0
        self.offsets, self.sizes, self.ends, self.dts, self.pts = offsets, sizes, ends, dts, pts
        self.durations, self.keys, self.sides = durations, keys, sides
        if self._audio:
            self.keys = [True] * len(keys)
        if entry != self._entry:
            self._use(entry)
        if self.fresh and not self._audio and self.track.fps is None and durations:
            self._guess_rate(durations)

    def _guess_rate(self, durations: list[int]) -> None:
        """The frame rate of a track whose codec and header tell none, by the first samples."""
        delta = sorted(durations)[len(durations) // 2]
        # Ends of files and of fragments are often odd.
        if delta * 1000 >= self.timescale and durations.count(delta) * 10 >= len(durations) * 8:
            self.track = self.track.with_(fps=Fraction(self.timescale, delta))

    # Frames.

    @property
    def ready(self) -> bool:
        """Whether the track is as complete as it gets without more samples."""
        return not self._wanting or (not self.fill() and self.info.defaults is None)

    def _use(self, number: int) -> None:
        """Go over to a sample entry. Raises ParseError."""
        if not 1 <= number <= len(self.info.entries):
            raise ParseError(f"MP4: a sample of track {self.info.id} names sample entry {number}, which is not there")
        entry = self.info.entries[number - 1]
        self._entry = number
        if entry.track != self.track:
            self.track = entry.track
            self.changed = True
        self._nal: LengthPrefixed | None = None
        codec = entry.track.codec
        self._header: object = None
        self._wanting = not entry.encrypted and _wants_packets(entry)
        self._cutter = self._cut_plain
        if entry.encrypted:
            return
        if codec in ("h264", "h265"):
            self._nal = LengthPrefixed(codec, entry.track.config, entry.nal_length_size)
            self._simple = entry.nal_length_size == 4 and not self._find_keys
            self._cutter = self._cut_nal
        elif codec == "av1":
            self._cutter = self._cut_av1
            if entry.track.config:
                self._header = av1.find_sequence_header(av1.parse_av1c(entry.track.config).config_obus)
        elif codec == "vp9":
            self._cutter = self._cut_vp9

    def cut(self, data: bytes, base: int, start: int, stop: int) -> list[Frame]:
        """Frames of the samples `start` to `stop` of the columns; `data` lies at `base` in the file.

        Broken samples are left out and counted.
        """
        self.bytes += sum(self.sizes[start:stop])
        self._passed = self.ends[stop - 1]
        self._idle = 0
        frames = self._cutter(data, base, start, stop)
        if self._wanting and frames and self._cutter == self._cut_plain:
            frames = self._describe(frames)
        if self.sides is not None and self._encrypted:
            # Protected samples are passed on one for one.
            for frame, side in zip(frames, self.sides[start:stop], strict=True):
                frame.side = side
        return frames

    def _cut_plain(self, data: bytes, base: int, start: int, stop: int) -> list[Frame]:
        """Samples that are payloads as they are."""
        offsets = self.offsets[start:stop]
        if base:
            payloads = [
                data[offset - base : end - base] for offset, end in zip(offsets, self.ends[start:stop], strict=True)
            ]
        else:
            payloads = [data[offset:end] for offset, end in zip(offsets, self.ends[start:stop], strict=True)]
        return list(
            map(Frame, repeat(self.track), self.dts[start:stop], self.pts[start:stop], payloads,
                self.durations[start:stop], self.keys[start:stop])
        )  # fmt: skip

    def _cut_nal(self, data: bytes, base: int, start: int, stop: int) -> list[Frame]:
        """NAL units. Key frames are walked whole; of others the first unit tells whether they need it."""
        nal = self._nal
        assert nal is not None
        read, simple, find_keys = nal.read, self._simple, self._find_keys
        shift, mask, passing = (0, 31, H264_PASS) if self.track.codec == "h264" else (1, 63, H265_PASS)
        is_key = h264.is_keyframe if self.track.codec == "h264" else h265.is_keyframe
        config = nal.config
        track = self.track
        frames: list[Frame] = []
        append = frames.append
        for offset, end, dts, pts, duration, key in zip(
            self.offsets[start:stop], self.ends[start:stop], self.dts[start:stop], self.pts[start:stop],
            self.durations[start:stop], self.keys[start:stop], strict=True,
        ):  # fmt: skip
            payload = data[offset - base : end - base]
            if key or not simple or len(payload) < 5 or payload[4] >> shift & mask not in passing:
                try:
                    payload, key = read(payload, key)
                    if find_keys:
                        key = key or is_key(split_lengths(payload))
                except ParseError:
                    self._broken.hit()
                    continue
                if nal.config is not config:
                    if nal.config != config:
                        self._become(self.track.with_(config=nal.config))
                        track = self.track
                    config = nal.config
                if not payload:
                    continue
            append(Frame(track, dts, pts, payload, duration, key))
        return frames

    def _cut_av1(self, data: bytes, base: int, start: int, stop: int) -> list[Frame]:
        """Temporal units. Key frames may bring a new sequence header."""
        frames: list[Frame] = []
        for frame in self._cut_plain(data, base, start, stop):
            payload = frame.payload
            try:
                if not av1.is_canonical(payload):
                    payload = frame.payload = av1.canonical(payload)
                if frame.key:
                    header = av1.find_sequence_header(payload)
                    if header is not None and header != self._header:
                        self._header = header
                        self._become(self.track.with_(config=av1.build_av1c(header)))
            except ParseError:
                self._broken.hit()
                continue
            if payload:
                frame.track = self.track
                frames.append(frame)
        return frames

    def _cut_vp9(self, data: bytes, base: int, start: int, stop: int) -> list[Frame]:
        """VP9 frames. The header of a key frame tells what vpcC does not, and what changed."""
        frames: list[Frame] = []
        for frame in self._cut_plain(data, base, start, stop):
            if frame.key:
                try:
                    header = vp9.parse_frame_header(frame.payload)
                except ParseError:
                    self._broken.hit()
                    continue
                facts = header if header.key else self._header
                if facts != self._header:
                    first, self._header = self._header is None, facts
                    if not first or not self.track.config:
                        self._become(self.track.with_(config=vp9.build_vpcc(header, self.track.fps)), frame.payload)
            frame.track = self.track
            frames.append(frame)
        return frames

    def _describe(self, frames: list[Frame]) -> list[Frame]:
        """Frames on the track as the first of them tells it."""
        packet = frames[0].payload
        try:
            track = completed(self.track, packet)
            if track.codec in ("mp3", "mp2"):
                # MPEG audio of layers II and III has one objectTypeIndication (14496-1 Table 5).
                track = track.with_(codec="mp2" if mp3.parse_header(packet).layer == 2 else "mp3")
            self._become(track, packet)
        except ParseError:
            self._broken.hit()
            return frames
        for frame in frames:
            frame.track = self.track
        return frames

    def _become(self, track: Track, packet: bytes = b"") -> None:
        """Go on with another track."""
        self._wanting = False
        try:
            told = describe(track, packet)
            track = told if told.fps or not track.fps else told.with_(fps=track.fps)
        except ParseError as error:
            log.warning("MP4: track %d: %s", track.id, error)
        if track != self.track:
            self.track = track
            self.changed = True


def _apart(offsets: list[int], ends: list[int], last: int, among: Sequence[int] | None) -> list[int]:
    """Indices of samples that lie one behind the other, from `last` on."""
    found: list[int] = []
    for index in range(len(ends)) if among is None else among:
        if offsets[index] >= last:
            found.append(index)
            last = ends[index]
    return found


def _wants_packets(entry: EntryInfo) -> bool:
    """Whether the sample entry leaves something to be told by the samples."""
    track = entry.track
    if track.codec in ("mp3", "mp2"):
        return True
    return not track.config and track.codec in ("h264", "h265", "av1", "vp9", "ac3", "eac3")


class Announcer:
    """Puts `Tracks` before the first frame and in front of the first frame of a changed track."""

    def __init__(self, lanes: list[Lane], before: "Announcer | None" = None) -> None:
        """`before` spoke for the lanes that these replace: tracks that it announced and that go on are not new."""
        self._lanes = lanes
        self._held: list[Frame] = []
        self._held_bytes = 0
        self.announced = False
        self._current: dict[int, Track] = before._current if before is not None else {}

    def events(self, frames: list[Frame]) -> list[Event]:
        """The frames with what has to be said of their tracks; nothing while a track is still unknown."""
        if self.announced:
            if any(lane.changed for lane in self._lanes):
                return self._with_changes(frames)
            return list[Event](frames)
        self._held += frames
        self._held_bytes += sum([len(frame.payload) for frame in frames])
        full = len(self._held) >= MAX_HELD_FRAMES or self._held_bytes >= MAX_HELD_BYTES
        if not self._held or not (full or all(lane.ready for lane in self._lanes)):
            return []
        return self.flush()

    def flush(self) -> list[Event]:
        """What was held back, tracks unknown or not."""
        held, self._held = self._held, []
        if self.announced or not held:
            return []
        self.announced = True
        first: dict[int, Track] = {}
        for frame in held:
            track = frame.track
            known = first.get(track.id)
            if known is None or (track.config and not known.config):
                first[track.id] = track
        before, current = self._current, {}
        for lane in self._lanes:
            lane.fresh = False
            track = first.get(lane.track.id, lane.track)
            same = before.get(track.id)
            if same is not None and same == track:
                # A movie that was announced before goes on.
                track = same
                if lane.track == same:
                    lane.track = same
            current[track.id] = track
        for frame in held:
            track = current[frame.track.id]
            # Those in front of the first key frame came without configuration.
            if frame.track == track or not frame.track.config:
                frame.track = track
        self._current = current
        events: list[Event] = [] if current == before else [Tracks(tuple(current.values()))]
        return events + self._with_changes(held)

    def _with_changes(self, frames: list[Frame]) -> list[Event]:
        out: list[Event] = []
        current = self._current
        for frame in frames:
            track = frame.track
            if current[track.id] is not track:
                if current[track.id] != track:
                    current[track.id] = track
                    out.append(Tracks(tuple(current.values())))
                current[track.id] = track
            out.append(frame)
        for lane in self._lanes:
            # Frames of the new track may still be under way.
            lane.changed = current[lane.track.id] is not lane.track
        return out


def in_decoding_order(parts: list[tuple[list[Frame], list[float]]]) -> list[Frame]:
    """The frames of several tracks as one list by decode time. Each part has its frames and their times in seconds.

    At equal times frames of earlier parts come first.
    """
    parts = [part for part in parts if part[0]]
    if not parts:
        return []
    if len(parts) == 1:
        return parts[0][0]
    frames: list[Frame] = []
    times: list[float] = []
    for more, when in parts:
        frames += more
        times += when
    return [frames[index] for index in sorted(range(len(frames)), key=times.__getitem__)]
