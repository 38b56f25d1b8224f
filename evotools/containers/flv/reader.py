"""Bodies of FLV tags, which RTMP messages share, into events.

Adobe video file format 10.1 annex E.4 and Enhanced RTMP v2 (v2-2026-01-31-r2).
"""

from dataclasses import replace
from fractions import Fraction
from typing import Any

from evotools.codecs import av1
from evotools.codecs.describe import describe
from evotools.containers.flv import amf0
from evotools.containers.flv.enhanced import packets_of, skip_mod_ex
from evotools.containers.flv.headers import config_from_av1_descriptor, config_from_header, describe_first_frame
from evotools.containers.flv.names import (
    AUDIO_AAC,
    AUDIO_EX,
    COLOR_INFO,
    FIXED_RATES,
    FRAME_COMMAND,
    FRAME_GENERATED_KEY,
    FRAME_KEY,
    HAS_CONFIG,
    LEGACY_AUDIO,
    LEGACY_VIDEO,
    MONO_FORMATS,
    NAL_CODECS,
    NEEDS_CONFIG,
    SOUND_RATES,
    TIMESCALE,
    VIDEO_AVC,
    VIDEO_HEVC,
    PacketType,
    codec_of_fourcc,
    track_id,
)
from evotools.containers.flv.payloads import nal_payload
from evotools.errors import ParseError
from evotools.media.frame import ON_METADATA, Discontinuity, Event, Frame, Metadata, Tracks
from evotools.media.track import Kind, Track

MAX_WAIT_MS = 1000
"""How much media waits for a track that is announced or likely before the others go on without it."""
MAX_WAIT_EVENTS = 250
"""The same in events, for clocks that stand still: about two seconds of video and audio."""
MAX_WAIT_BYTES = 16 << 20
"""The same in bytes: one second at 100 Mbit/s, the most that is contributed over RTMP."""
MAX_HELD_METADATA = 16
"""Script data kept while no track is known; publishers send onMetaData and one or two more."""
MAX_HELD_SCRIPT_BYTES = 2 << 20
"""The same in bytes on the wire."""
MAX_TRACKS = 32
"""Tracks of one kind. The wire has 256; OBS sends up to six, ladders with languages some twenty."""
MAX_SCRIPT_BYTES = 1 << 20
"""Script data longer than this is skipped: onMetaData with the keyframe index of a day-long file has 200 kB."""
MAX_SCRIPT_AWAY_MS = 10_000
"""Script data stamped further from the media around it has a clock of its own: it belongs where it stands."""
MAX_DATARATE_KBPS = 1e7
"""Declared rates above 10 Gbit/s are noise."""

_DECODED = 32
"""Bytes of objects that one byte of AMF0 may become: a dict with one short name takes eight."""
_WRAP = 1 << 32
_HALF = 1 << 31


class _Slot:
    """What is known about one track number of one kind."""

    __slots__ = ("channels", "codec", "color", "index", "kind", "length_size", "raw", "track")

    def __init__(self, kind: Kind, index: int) -> None:
        self.kind = kind
        self.index = index
        self.codec = ""
        self.raw: bytes | None = None
        self.length_size = 4
        self.track: Track | None = None
        self.channels = 0
        self.color: Any = None
        """The colorInfo in force; key frames carry it, so that a reader may begin at any of them."""


class TagReader:
    """Turns bodies of audio, video and script tags into `Tracks`, `Frame`, `Metadata` and `Discontinuity` events.

    Timestamps are the 32-bit milliseconds of tags or messages; frames come out on a timescale of 1000, unwrapped
    jointly over all tracks. Track ids are 1, 3, 5 … for video tracks 0, 1, 2 … and 2, 4, 6 … for audio.

    `Tracks` goes out right before the first frame once everything announced by `onMetaData` (or `expect`) is
    known, or, without announcements, one video and one audio track; it waits at most MAX_WAIT_MS of media. A
    track that comes later, or a changed sequence header, makes another `Tracks` before the next frame; a repeated
    sequence header makes nothing.

    All methods raise ParseError for a sequence header that cannot be used. Single frames and script tags that are
    damaged are left out and counted in `damaged`; frames that nobody could decode because no sequence header came
    before them are counted in `undecodable`.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self.undecodable = 0
        self._video: dict[int, _Slot] = {}
        self._audio: dict[int, _Slot] = {}
        self._last: int | None = None
        self._expected: set[tuple[Kind, int]] | None = None
        self._promised: set[tuple[Kind, int]] = set()
        self._info: dict[str, Any] = {}
        self._started = False
        self._changed = False
        self._waiting: list[Event] = []
        self._waiting_since: int | None = None
        self._waiting_bytes = 0
        self._script_sizes: list[int] = []

    def expect(self, *, video: bool, audio: bool) -> None:
        """What the header of an FLV file announces; `onMetaData` overrides it."""
        self._expected = _expected_kinds(video, audio)

    def read_video(self, body: bytes | memoryview, timestamp_ms: int) -> list[Event]:
        """Events of one video tag or RTMP message of type 9."""
        if len(body) < 2:
            return []
        last = self._last
        if last is None:
            dts = timestamp_ms
        else:
            dts = last + (timestamp_ms - last + _HALF) % _WRAP - _HALF
        self._last = dts
        first = body[0]
        if first & 0x80:
            return self._read_ex_video(body, dts)
        codec_id = first & 0x0F
        frame_type = first >> 4
        if frame_type == FRAME_COMMAND:
            return []
        if codec_id != VIDEO_AVC and codec_id != VIDEO_HEVC:
            return self._read_old_video(body, dts)
        if len(body) < 5:
            self.damaged += 1
            return []
        # E.4.3.1 AVCPacketType: 0 sequence header, 1 NAL units, 2 end of sequence.
        packet_type = body[1]
        if packet_type == 1:
            slot = self._video.get(0)
            if slot is None or slot.codec != LEGACY_VIDEO[codec_id]:
                self.undecodable += 1
                return []
            # CompositionTime, SI24
            cts = body[2] << 16 | body[3] << 8 | body[4]
            if cts & 0x800000:
                cts -= 0x1000000
            key = frame_type in (FRAME_KEY, FRAME_GENERATED_KEY)
            return self._coded(slot, dts, dts + cts, key, bytes(body[5:]))
        if packet_type == 0:
            return self._header(Kind.VIDEO, 0, LEGACY_VIDEO[codec_id], bytes(body[5:]))
        return []

    def read_audio(self, body: bytes | memoryview, timestamp_ms: int) -> list[Event]:
        """Events of one audio tag or RTMP message of type 8. An empty one means silence and gives none."""
        if len(body) < 2:
            return []
        last = self._last
        if last is None:
            dts = timestamp_ms
        else:
            dts = last + (timestamp_ms - last + _HALF) % _WRAP - _HALF
        self._last = dts
        first = body[0]
        sound_format = first >> 4
        if sound_format == AUDIO_AAC:
            # E.4.2.1 AACPacketType: 0 sequence header, 1 raw.
            if body[1] == 1:
                slot = self._audio.get(0)
                if slot is None or slot.codec != "aac":
                    self.undecodable += 1
                    return []
                return self._coded(slot, dts, dts, True, bytes(body[2:]))
            if body[1] == 0:
                return self._header(Kind.AUDIO, 0, "aac", bytes(body[2:]))
            return []
        if sound_format == AUDIO_EX:
            return self._read_ex_audio(body, dts)
        return self._read_old_audio(body, dts)

    def read_script(self, body: bytes | memoryview, timestamp_ms: int) -> list[Event]:
        """Events of one script tag or RTMP data message (AMF0, which may switch to AMF3).

        The value of the event is the one that follows the name, or a tuple where there are more or none.
        """
        if len(body) > MAX_SCRIPT_BYTES:
            self.damaged += 1
            return []
        try:
            values = amf0.decode_all(body)
        except ParseError:
            self.damaged += 1
            return []
        # RTMP publishers wrap it in a command that asks the server to repeat it to every viewer, or to stop that.
        cleared = False
        if values and values[0] in ("@setDataFrame", "@clearDataFrame"):
            cleared = values[0] == "@clearDataFrame"
            del values[0]
        if not values or not isinstance(values[0], str):
            return []
        name = values[0]
        value: Any = values[1] if len(values) == 2 else tuple(values[1:])
        if cleared:
            if name != ON_METADATA:
                return []
            value = amf0.EcmaArray()
        # Encoders stamp onMetaData with 0 whenever they send it: it must not move the clock.
        last = self._last
        time = timestamp_ms
        if last is not None:
            time = last + (timestamp_ms - last + _HALF) % _WRAP - _HALF
            if not timestamp_ms or abs(time - last) > MAX_SCRIPT_AWAY_MS:
                time = last
        if name == ON_METADATA and isinstance(value, dict) and not cleared:
            self._note_metadata(value)
        return self._metadata(Metadata(name, value, time / TIMESCALE), len(body))

    def flush(self) -> list[Event]:
        """End of the stream: what still waits for a track that never came."""
        return self._start() if self._waiting and not self._started else []

    def discontinuity(self, reason: str) -> list[Event]:
        """The clock starts anew: a second FLV header in one stream, for one."""
        events: list[Event] = self._start() if self._waiting and self._any_track() else []
        self._last = None
        return [*events, Discontinuity(reason)] if self._started else events

    # Tracks

    def _slot(self, kind: Kind, index: int) -> _Slot | None:
        slots = self._video if kind == Kind.VIDEO else self._audio
        slot = slots.get(index)
        if slot is None:
            if len(slots) >= MAX_TRACKS:
                return None
            slot = slots[index] = _Slot(kind, index)
        return slot

    def _header(self, kind: Kind, index: int, codec: str, raw: bytes) -> list[Event]:
        """A sequence header; the event list is empty but for frames that waited under the old one."""
        slot = self._slot(kind, index)
        if slot is None or (slot.raw == raw and slot.codec == codec):
            return []
        if not raw or codec not in HAS_CONFIG:
            # An empty header promises a track whose first frame tells the rest (FFmpeg, AC-3).
            self._promised.add((kind, index))
            return []
        config, length_size = config_from_header(codec, raw)
        track = describe(self._new_track(slot, codec).with_(config=config))
        events = self._replace(slot, codec, track)
        slot.raw = raw
        slot.length_size = length_size
        if codec == "vp9":
            # vpcC does not have the size of the picture: the first frame does.
            self._promised.add((kind, index))
        return events

    def _new_track(self, slot: _Slot, codec: str) -> Track:
        """A track with what onMetaData says about it."""
        info = self._info
        if slot.index:
            table = info.get("videoTrackIdInfoMap" if slot.kind == Kind.VIDEO else "audioTrackIdInfoMap")
            entry = table.get(str(slot.index)) if isinstance(table, dict) else None
            info = entry if isinstance(entry, dict) else {}
        track = Track(track_id(slot.kind, slot.index), slot.kind, codec, TIMESCALE)
        language = info.get("language")
        if isinstance(language, str) and len(language) == 3 and language.isalpha() and language.isascii():
            track = track.with_(language=language.lower())
        if slot.kind == Kind.VIDEO:
            rate = _number(info, "framerate", 1000)
            return track.with_(
                width=int(_number(info, "width", 1 << 16)),
                height=int(_number(info, "height", 1 << 16)),
                fps=Fraction(rate).limit_denominator(1001) if rate else None,
                bitrate_bps=round(_number(info, "videodatarate", MAX_DATARATE_KBPS) * 1000),
            )
        return track.with_(
            channels=slot.channels,
            bitrate_bps=round(_number(info, "audiodatarate", MAX_DATARATE_KBPS) * 1000),
        )

    def _replace(self, slot: _Slot, codec: str, track: Track) -> list[Event]:
        """Make `track` the slot's own. Returns what waited for the old one."""
        if slot.track == track:
            return []
        events: list[Event] = []
        if slot.track is not None and not self._started and self._waiting:
            events = self._start()
        slot.codec = codec
        slot.track = track
        slot.raw = None
        slot.length_size = 4
        self._changed = True
        return events

    def _any_track(self) -> bool:
        return any(s.track for s in self._video.values()) or any(s.track for s in self._audio.values())

    def _complete(self, dts: int) -> bool:
        """Whether to stop waiting for tracks."""
        since = self._waiting_since
        if since is None:
            since = self._waiting_since = dts
        if (
            abs(dts - since) >= MAX_WAIT_MS
            or len(self._waiting) >= MAX_WAIT_EVENTS
            or self._waiting_bytes >= MAX_WAIT_BYTES
        ):
            return True
        expected = self._expected
        if expected is None:
            expected = {(Kind.VIDEO, 0), (Kind.AUDIO, 0)}
        for kind, index in expected | self._promised:
            slot = (self._video if kind == Kind.VIDEO else self._audio).get(index)
            track = slot.track if slot is not None else None
            if track is None or (track.codec == "vp9" and not track.width):
                return False
        return True

    def _announce(self) -> list[Event]:
        self._changed = False
        slots = (*self._video.values(), *self._audio.values())
        return [Tracks(tuple(sorted((s.track for s in slots if s.track), key=lambda t: t.id)))]

    def _start(self) -> list[Event]:
        waiting = self._waiting
        if not self._any_track():
            self._waiting = []
            return waiting
        self._started = True
        self._waiting = []
        _place_scripts(waiting)
        return [*self._announce(), *waiting]

    # Frames

    def _coded(self, slot: _Slot, dts: int, pts: int, key: bool, payload: bytes, nano: int = 0) -> list[Event]:
        """A coded frame of a slot that has a track."""
        codec = slot.codec
        try:
            if codec in NAL_CODECS:
                payload = nal_payload(payload, codec, slot.length_size)
            elif codec == "av1":
                # FFmpeg leaves the temporal delimiter in.
                payload = av1.canonical(payload)
        except ParseError as error:
            self.damaged += 1
            return [Discontinuity(f"{codec}: {error.message}")] if self._started else []
        if not payload:
            return []
        track = slot.track
        assert track is not None
        frame = Frame(track, dts, pts, payload, key=key)
        if nano:
            frame.side = {"offset_ns": nano}
        if key and slot.color is not None:
            frame.side = {**(frame.side or {}), "color_info": slot.color}
        if self._started:
            if self._changed:
                return [*self._announce(), frame]
            return [frame]
        self._waiting.append(frame)
        self._waiting_bytes += len(payload)
        return self._start() if self._complete(dts) else []

    def _frame(
        self, kind: Kind, index: int, codec: str, dts: int, pts: int, key: bool, payload: bytes, nano: int = 0
    ) -> list[Event]:
        """A coded frame whose slot may have no track yet."""
        if not payload:
            return []
        slot = self._slot(kind, index)
        if slot is None:
            return []
        events: list[Event] = []
        if slot.codec != codec:
            if kind == Kind.VIDEO and not key:
                self.undecodable += 1
                return []
            try:
                track = describe_first_frame(self._new_track(slot, codec), payload)
            except ParseError:
                self.damaged += 1
                return []
            if codec in NEEDS_CONFIG and not track.config:
                self.undecodable += 1
                return []
            events = self._replace(slot, codec, track)
        elif key and codec == "vp9" and slot.track is not None and not slot.track.width:
            # vpcC does not have the size of the picture.
            try:
                slot.track = describe(slot.track, payload)
            except ParseError:
                self.damaged += 1
                return []
            self._changed = True
        found = self._coded(slot, dts, pts, key, payload, nano)
        return [*events, *found] if events else found

    def _read_old_video(self, body: bytes | memoryview, dts: int) -> list[Event]:
        """Codecs before AVC: reported by name, for no decoder is promised."""
        frame_type = body[0] >> 4
        codec_id = body[0] & 0x0F
        codec = LEGACY_VIDEO.get(codec_id, f"flv-video-{codec_id}")
        # E.4.3.1: VP6 has one byte of crop offsets in front, VP6 with alpha three more.
        start = {4: 2, 5: 5}.get(codec_id, 1)
        key = frame_type in (FRAME_KEY, FRAME_GENERATED_KEY)
        return self._frame(Kind.VIDEO, 0, codec, dts, dts, key, bytes(body[start:]))

    def _read_old_audio(self, body: bytes | memoryview, dts: int) -> list[Event]:
        """Formats that need no sequence header: MP3, G.711, and those reported by name only."""
        first = body[0]
        sound_format = first >> 4
        codec = LEGACY_AUDIO.get(sound_format, f"flv-audio-{sound_format}")
        if codec == "pcm_s16le" and not first & 0x02:
            codec = "pcm_u8"
        payload = bytes(body[1:])
        slot = self._slot(Kind.AUDIO, 0)
        if codec == "mp3" or slot is None or slot.codec == codec:
            return self._frame(Kind.AUDIO, 0, codec, dts, dts, True, payload)
        rate = FIXED_RATES.get(sound_format, SOUND_RATES[first >> 2 & 3])
        mono = sound_format in MONO_FORMATS or not first & 1
        track = self._new_track(slot, codec).with_(sample_rate=rate, channels=1 if mono else 2)
        events = self._replace(slot, codec, describe(track))
        return [*events, *self._coded(slot, dts, dts, True, payload)]

    # Enhanced RTMP

    def _read_ex_video(self, body: bytes | memoryview, dts: int) -> list[Event]:
        frame_type = body[0] >> 4 & 7
        try:
            packet_type, position, nano = skip_mod_ex(body, body[0] & 0x0F)
            if frame_type == FRAME_COMMAND and packet_type != PacketType.VIDEO_METADATA:
                return []
            packets = list(packets_of(body, packet_type, position, PacketType.VIDEO_MULTITRACK))
        except (IndexError, ParseError):
            self.damaged += 1
            return []
        key = frame_type in (FRAME_KEY, FRAME_GENERATED_KEY)
        if len(packets) == 1:
            return self._ex_video_packet(*packets[0], dts, key, nano)
        events: list[Event] = []
        for packet in packets:
            events += self._ex_video_packet(*packet, dts, key, nano)
        return events

    def _ex_video_packet(
        self, packet_type: int, fourcc: bytes, index: int, data: bytes, dts: int, key: bool, nano: int
    ) -> list[Event]:
        codec = codec_of_fourcc(fourcc)
        pts = dts
        if packet_type == PacketType.CODED_FRAMES:
            if codec in ("h264", "h265", "h266"):
                if len(data) < 3:
                    self.damaged += 1
                    return []
                # SI24 compositionTimeOffset
                cts = data[0] << 16 | data[1] << 8 | data[2]
                pts += cts - 0x1000000 if cts & 0x800000 else cts
                data = data[3:]
        elif packet_type == PacketType.SEQUENCE_START:
            return self._header(Kind.VIDEO, index, codec, data)
        elif packet_type == PacketType.VIDEO_METADATA:
            return self._video_metadata(data, codec, index, dts)
        elif packet_type == PacketType.VIDEO_MPEG2TS_SEQUENCE_START and codec == "av1":
            return self._header(Kind.VIDEO, index, codec, config_from_av1_descriptor(data))
        elif packet_type != PacketType.VIDEO_CODED_FRAMES_X:
            return []
        return self._frame(Kind.VIDEO, index, codec, dts, pts, key, data, nano)

    def _read_ex_audio(self, body: bytes | memoryview, dts: int) -> list[Event]:
        try:
            packet_type, position, nano = skip_mod_ex(body, body[0] & 0x0F)
            packets = list(packets_of(body, packet_type, position, PacketType.AUDIO_MULTITRACK))
        except (IndexError, ParseError):
            self.damaged += 1
            return []
        if len(packets) == 1:
            return self._ex_audio_packet(*packets[0], dts, nano)
        events: list[Event] = []
        for packet in packets:
            events += self._ex_audio_packet(*packet, dts, nano)
        return events

    def _ex_audio_packet(
        self, packet_type: int, fourcc: bytes, index: int, data: bytes, dts: int, nano: int
    ) -> list[Event]:
        codec = codec_of_fourcc(fourcc)
        if packet_type == PacketType.CODED_FRAMES:
            return self._frame(Kind.AUDIO, index, codec, dts, dts, True, data, nano)
        if packet_type == PacketType.SEQUENCE_START:
            return self._header(Kind.AUDIO, index, codec, data)
        if packet_type == PacketType.AUDIO_MULTICHANNEL_CONFIG and len(data) >= 2:
            # audioChannelOrder, channelCount: of use where no sequence header says it.
            slot = self._slot(Kind.AUDIO, index)
            if slot is not None:
                slot.channels = data[1]
        return []

    # Metadata

    def _video_metadata(self, data: bytes, codec: str, index: int, dts: int) -> list[Event]:
        """VideoPacketType.Metadata: pairs of a name and a value, of which colorInfo (HDR) is the only one defined."""
        if len(data) > MAX_SCRIPT_BYTES:
            self.damaged += 1
            return []
        try:
            values = amf0.decode_all(data)
        except ParseError:
            self.damaged += 1
            return []
        slot = self._slot(Kind.VIDEO, index)
        if slot is not None and slot.codec and slot.codec != codec:
            # FFmpeg does not give the number of a further track here; the FourCC has to tell.
            slot = next((other for other in self._video.values() if other.codec == codec), None)
            if slot is None:
                return []
            index = slot.index
        events: list[Event] = []
        options = {"track": track_id(Kind.VIDEO, index)}
        for name, value in zip(values[::2], values[1::2], strict=False):
            if isinstance(name, str):
                if name == COLOR_INFO and slot is not None:
                    # Undefined, or an object without members, goes back to the colours of the bitstream.
                    says = isinstance(value, dict) and any(value.values())
                    slot.color = value if says else None
                events += self._metadata(Metadata(name, value, dts / TIMESCALE, options), len(data))
        return events

    def _metadata(self, event: Metadata, size: int) -> list[Event]:
        """Hand out script data that took `size` bytes, or keep it until the tracks are known."""
        if self._started:
            return [event]
        waiting = self._waiting
        waiting.append(event)
        if self._waiting_since is None:
            sizes = self._script_sizes
            sizes.append(size)
            while len(waiting) > MAX_HELD_METADATA or sum(sizes) > MAX_HELD_SCRIPT_BYTES:
                del waiting[0], sizes[0]
            return []
        self._waiting_bytes += size * _DECODED
        if len(waiting) >= MAX_WAIT_EVENTS or self._waiting_bytes >= MAX_WAIT_BYTES:
            return self._start()
        return []

    def _note_metadata(self, info: dict[str, Any]) -> None:
        self._info = info
        video = info.get("hasVideo", "videocodecid" in info or "width" in info)
        audio = info.get("hasAudio", "audiocodecid" in info or "audiosamplerate" in info)
        expected = _expected_kinds(bool(video), bool(audio))
        for kind, name in ((Kind.VIDEO, "videoTrackIdInfoMap"), (Kind.AUDIO, "audioTrackIdInfoMap")):
            table = info.get(name)
            if isinstance(table, dict) and expected is not None:
                indices = [int(key) for key in table if key.isascii() and key.isdigit() and len(key) < 4]
                expected.update((kind, index) for index in indices if index < MAX_TRACKS)
        if expected is not None:
            self._expected = expected


def _place_scripts(events: list[Event]) -> None:
    """Script data that came before any media, stamped with zero or with a clock of its own, goes to its first frame."""
    first_s = next((e.dts_s for e in events if isinstance(e, Frame)), 0.0)
    for number, event in enumerate(events):
        if isinstance(event, Frame):
            break
        if isinstance(event, Metadata) and (
            not event.time_s or abs(event.time_s - first_s) > MAX_SCRIPT_AWAY_MS / TIMESCALE
        ):
            events[number] = replace(event, time_s=first_s)


def _expected_kinds(video: bool, audio: bool) -> set[tuple[Kind, int]] | None:
    expected = set()
    if video:
        expected.add((Kind.VIDEO, 0))
    if audio:
        expected.add((Kind.AUDIO, 0))
    return expected or None


def _number(info: dict[str, Any], name: str, limit: float) -> float:
    """A positive number below `limit`, else 0: metadata is often wrong and never decisive."""
    value = info.get(name)
    return value if isinstance(value, (int, float)) and value is not True and 0 < value < limit else 0.0
