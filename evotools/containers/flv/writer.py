"""Tracks and frames into bodies of FLV tags, which RTMP messages share.

The legacy form wherever one exists, because every player of the last twenty years reads it; Enhanced RTMP v2 for
the rest, and for the second and further tracks of a kind.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any

from evotools.containers.flv import amf0
from evotools.containers.flv.metadata import LARGEST, merge, on_metadata
from evotools.containers.flv.names import (
    AUDIO,
    AUDIO_ALAW,
    AUDIO_EX,
    AUDIO_FOURCC,
    AUDIO_MP3,
    AUDIO_MP3_8K,
    AUDIO_MULAW,
    COLOR_INFO,
    HAS_CONFIG,
    SCRIPT,
    TIMESCALE,
    VIDEO,
    VIDEO_AVC,
    VIDEO_FOURCC,
    Multitrack,
    PacketType,
    accepts,
)
from evotools.errors import MediaError
from evotools.media.frame import ON_METADATA, Frame, Metadata
from evotools.media.timeline import rescale
from evotools.media.track import Kind, Track

MAX_TRACK_NUMBER = 255
"""Enhanced RTMP v2: videoTrackId and audioTrackId are UI8."""

_TIME_MASK = 0xFFFFFFFF
_FOREIGN = frozenset({"emsg"})
"""Metadata of other containers, which no reader of FLV would look for."""
_CTS_MAX = 0x7FFFFF

_AVC = struct.Struct(">BI")
_CTS = struct.Struct(">I")
_KEY, _INTER = 0x10, 0x20
_EX_KEY, _EX_INTER, _EX_COMMAND = 0x90, 0xA0, 0xD0
_AVC_KEY = _AVC.pack(_KEY | VIDEO_AVC, 0x01000000)
_AVC_INTER = _AVC.pack(_INTER | VIDEO_AVC, 0x01000000)


class TagBody:
    """The body of one tag or RTMP message, in two parts so that writers join it with their framing only once.

    `type` is 8 audio, 9 video, 18 script; `timestamp_ms` is in 0..2^32-1.
    """

    __slots__ = ("payload", "prefix", "timestamp_ms", "type")

    def __init__(self, type: int, timestamp_ms: int, prefix: bytes, payload: bytes = b"") -> None:  # noqa: A002
        self.type = type
        self.timestamp_ms = timestamp_ms
        self.prefix = prefix
        """What precedes the frame's payload: codec and packet type, composition time."""
        self.payload = payload
        """The payload of the frame itself, shared."""

    @property
    def body(self) -> bytes:
        """The whole body."""
        return self.prefix + self.payload if self.payload else self.prefix

    def __len__(self) -> int:
        return len(self.prefix) + len(self.payload)

    def __repr__(self) -> str:
        return f"TagBody({self.type} at {self.timestamp_ms} ms, {len(self)} bytes)"


class _Out:
    """How the frames of one track are written."""

    __slots__ = ("build", "form", "index", "track")

    def __init__(self, track: Track, index: int) -> None:
        self.track = track
        self.index = index
        self.build = _builder(track, index)
        self.form = f"flv:{index}" if index else "flv"


class TagWriter:
    """Turns tracks and frames into tag bodies.

    `start` may be called again in mid-stream; the new headers carry the time of the last frame. Times before zero
    cannot be written: the first frame fixes an offset that all later ones share.
    """

    def __init__(self, *, offset_ms: int | None = None, duration_s: float | None = None) -> None:
        """`offset_ms` is added to all times; None is the least that is needed. `duration_s` is told in onMetaData."""
        self._outs: dict[int, _Out] = {}
        self._duration_s = duration_s
        self._told: dict[str, Any] = {}
        """What the publisher says in its onMetaData."""
        self._offset = offset_ms
        self._time = 0

    def start(self, tracks: Sequence[Track]) -> list[TagBody]:
        """onMetaData and the sequence headers. Raises MediaError when a track cannot be carried."""
        outs: dict[int, _Out] = {}
        numbers = {Kind.VIDEO: 0, Kind.AUDIO: 0}
        for track in tracks:
            if not accepts(track):
                raise MediaError(f"FLV cannot carry {track.describe()}", hint="leave the track out or convert it")
            index = numbers[track.kind]
            if index > MAX_TRACK_NUMBER:
                raise MediaError(f"FLV carries at most {MAX_TRACK_NUMBER + 1} tracks of a kind")
            numbers[track.kind] = index + 1
            outs[track.id] = _Out(track, index)
        self._outs = outs
        bodies = [self._describe()]
        for out in outs.values():
            prefix = _header_prefix(out.track, out.index)
            if prefix:
                # FLAC: Enhanced RTMP v2 wants 'fLaC' and a block header before STREAMINFO. FFmpeg 9 writes it bare,
                # and with them it decodes but writes broken MP4 and FLAC files: bare it is.
                kind = VIDEO if out.track.kind == Kind.VIDEO else AUDIO
                bodies.append(TagBody(kind, self._time, prefix, out.track.config))
        return bodies

    def write(self, frame: Frame) -> list[TagBody]:
        """The body of one frame; none when its track was not given to `start`."""
        tag = self.tag(frame)
        return [] if tag is None else [tag]

    def tag(self, frame: Frame) -> TagBody | None:
        """The same as `write` without the list."""
        out = self._outs.get(frame.track.id)
        if out is None:
            return None
        tag = frame.form(out.form, out.build)
        time = tag.timestamp_ms
        offset = self._offset
        if offset is None:
            offset = self._offset = max(0, -time)
        if offset or time < 0 or time > _TIME_MASK:
            if time < -offset and frame.pts != frame.dts:
                # Only the decode time may move: the picture is shown when it was to be shown.
                dts = rescale(-offset, TIMESCALE, frame.track.timescale)
                tag = out.build(Frame(frame.track, dts, max(frame.pts, dts), frame.payload, key=frame.key))
            time = max(time + offset, 0) & _TIME_MASK
            tag = TagBody(tag.type, time, tag.prefix, tag.payload)
        self._time = time
        return tag

    def metadata(self, metadata: Metadata) -> TagBody | None:
        """The tag of timed data, on the clock of the frames; None for what FLV cannot hold.

        The publisher's onMetaData is merged with what the tracks say. Before `start` it is kept for the header, and
        nothing comes of other data. What belongs to a video track (colorInfo) becomes a video tag of it.
        """
        name, value = metadata.name, metadata.value
        if name == ON_METADATA:
            told = value[0] if isinstance(value, tuple) and value else value
            if not isinstance(told, dict):
                return None
            self._told = told
            return self._describe() if self._outs else None
        if not self._outs or name in _FOREIGN:
            return None
        time = max(round(metadata.time_s * TIMESCALE) + (self._offset or 0), 0) & _TIME_MASK
        try:
            if "track" in metadata.options:
                out = self._outs.get(metadata.options["track"])
                return None if out is None else _video_metadata(out, time, amf0.encode(name, value))
            values = value if isinstance(value, tuple) else (value,)
            body = amf0.encode(name, *values)
        except (TypeError, ValueError):
            return None
        return TagBody(SCRIPT, time, body) if len(body) <= LARGEST else None

    def color(self, frame: Frame, tag: TagBody) -> TagBody | None:
        """The colorInfo that a key frame carries, for the place in front of its own `tag`.

        Ask only for frames with `side`. It comes again with every key frame, so that players may begin at any.
        """
        value = (frame.side or {}).get("color_info")
        if value is None:
            return None
        try:
            return _video_metadata(self._outs[frame.track.id], tag.timestamp_ms, amf0.encode(COLOR_INFO, value))
        except (TypeError, ValueError):
            return None

    def _describe(self) -> TagBody:
        """onMetaData, stamped with zero as encoders do: of any other FFmpeg makes a track of subtitles."""
        tracks = [out.track for out in self._outs.values()]
        info = on_metadata(tracks)
        if self._told:
            info = merge(self._told, info, tracks)
        if self._duration_s is not None:
            info["duration"] = self._duration_s
        try:
            body = amf0.encode(ON_METADATA, info)
        except (TypeError, ValueError):
            body = b""
        if not 0 < len(body) <= LARGEST:
            body = amf0.encode(ON_METADATA, on_metadata(tracks))
        return TagBody(SCRIPT, 0, body)

    def finish(self) -> list[TagBody]:
        """The end of each video sequence."""
        bodies = []
        for out in self._outs.values():
            track = out.track
            if track.kind == Kind.VIDEO:
                if track.codec == "h264" and not out.index:
                    prefix = _AVC.pack(_KEY | VIDEO_AVC, 0x02000000)
                else:
                    prefix = _ex_prefix(track, out.index, _EX_KEY, PacketType.SEQUENCE_END)
                bodies.append(TagBody(VIDEO, self._time, prefix))
        return bodies


def _ex_prefix(track: Track, index: int, first: int, packet_type: int) -> bytes:
    """An enhanced header: `first` is the upper half byte, the rest follows from the track's number."""
    if track.kind == Kind.VIDEO:
        fourcc, multitrack = VIDEO_FOURCC[track.codec], PacketType.VIDEO_MULTITRACK
    else:
        fourcc, multitrack = AUDIO_FOURCC[track.codec], PacketType.AUDIO_MULTITRACK
    if not index:
        return bytes((first | packet_type,)) + fourcc
    return bytes((first | multitrack, Multitrack.ONE_TRACK << 4 | packet_type)) + fourcc + bytes((index,))


def _video_metadata(out: _Out, time: int, pairs: bytes) -> TagBody | None:
    """VideoPacketType.Metadata. Its frame type is that of a command, as FFmpeg writes it; readers ignore it."""
    if out.track.kind is not Kind.VIDEO or len(pairs) > LARGEST:
        return None
    return TagBody(VIDEO, time, _ex_prefix(out.track, out.index, _EX_COMMAND, PacketType.VIDEO_METADATA), pairs)


def _with_nano(prefix: bytes, nano: int) -> bytes:
    """An enhanced header with the ModEx signal TimestampOffsetNano in front of its packet type."""
    return (
        bytes((prefix[0] & 0xF0 | PacketType.MOD_EX, 2))
        + nano.to_bytes(3, "big")
        + bytes((prefix[0] & 0x0F,))
        + prefix[1:]
    )


def _header_prefix(track: Track, index: int) -> bytes:
    """What precedes the configuration in a sequence header; empty when the codec has no such header."""
    if not index and track.codec == "h264":
        return _AVC.pack(_KEY | VIDEO_AVC, 0)
    if not index and track.codec == "aac":
        return b"\xaf\x00"
    if track.codec in ("pcma", "pcmu") or (track.codec == "mp3" and not index):
        return b""
    if track.codec in HAS_CONFIG and not track.config:
        return b""
    if track.kind == Kind.AUDIO:
        # FFmpeg gives what stands in a sequence header of AC-3 to the decoder, as a frame.
        has = track.codec in HAS_CONFIG
        return _ex_prefix(track, index, AUDIO_EX << 4, PacketType.SEQUENCE_START) if has else b""
    return _ex_prefix(track, index, _EX_KEY, PacketType.SEQUENCE_START) if track.config else b""


def _builder(track: Track, index: int) -> Callable[[Frame], TagBody]:
    """A function that makes the body of a frame of this track, times unclamped."""
    codec = track.codec
    if track.kind == Kind.VIDEO:
        if codec == "h264" and not index:
            return _build_avc
        return _ex_video_builder(track, index)
    if codec == "aac" and not index:
        prefix = b"\xaf\x01"
    elif codec == "mp3" and not index:
        prefix = _mp3_prefix(track)
    elif codec in ("pcma", "pcmu"):
        if index:
            raise MediaError("FLV carries G.711 in the first audio track only")
        # 16-bit samples after decoding; the rate bits have no value for 8000 Hz.
        sound_format = AUDIO_ALAW if codec == "pcma" else AUDIO_MULAW
        prefix = bytes((sound_format << 4 | 2 | (track.channels == 2),))
    else:
        prefix = _ex_prefix(track, index, AUDIO_EX << 4, PacketType.CODED_FRAMES)

    def build(frame: Frame) -> TagBody:
        timescale = frame.track.timescale
        dts = frame.dts if timescale == TIMESCALE else rescale(frame.dts, timescale, TIMESCALE)
        return TagBody(AUDIO, dts, prefix, frame.payload)

    def build_ex(frame: Frame) -> TagBody:
        tag = build(frame)
        nano = (frame.side or {}).get("offset_ns")
        return TagBody(AUDIO, tag.timestamp_ms, _with_nano(prefix, nano), frame.payload) if nano else tag

    return build_ex if prefix[0] >> 4 == AUDIO_EX else build


def _mp3_prefix(track: Track) -> bytes:
    rate = track.sample_rate
    stereo = track.channels != 1
    if rate == 8000:
        return bytes((AUDIO_MP3_8K << 4 | 2 | stereo,))
    # Rates that the two bits cannot say go under the next one; decoders read the frame header.
    code = 3 if not rate or rate >= 32000 else 2 if rate >= 16000 else 1
    return bytes((AUDIO_MP3 << 4 | code << 2 | 2 | stereo,))


def _times(frame: Frame) -> tuple[int, int]:
    """Decode time and composition offset in milliseconds."""
    timescale = frame.track.timescale
    if timescale == TIMESCALE:
        dts = frame.dts
        cts = frame.pts - dts
    else:
        dts = rescale(frame.dts, timescale, TIMESCALE)
        cts = rescale(frame.pts, timescale, TIMESCALE) - dts
    if not -_CTS_MAX <= cts <= _CTS_MAX:
        cts = max(-_CTS_MAX, min(cts, _CTS_MAX))
    return dts, cts


def _build_avc(frame: Frame) -> TagBody:
    dts = frame.dts
    if frame.track.timescale == TIMESCALE and frame.pts == dts:
        return TagBody(VIDEO, dts, _AVC_KEY if frame.key else _AVC_INTER, frame.payload)
    dts, cts = _times(frame)
    # AVCPacketType 1 and CompositionTime SI24 in one 32-bit word.
    first = (_KEY if frame.key else _INTER) | VIDEO_AVC
    return TagBody(VIDEO, dts, _AVC.pack(first, 0x01000000 | cts & 0xFFFFFF), frame.payload)


def _ex_video_builder(track: Track, index: int) -> Callable[[Frame], TagBody]:
    timed = track.codec in ("h264", "h265")
    coded = [_ex_prefix(track, index, first, PacketType.CODED_FRAMES) for first in (_EX_INTER, _EX_KEY)]
    coded_x = [_ex_prefix(track, index, first, PacketType.VIDEO_CODED_FRAMES_X) for first in (_EX_INTER, _EX_KEY)]

    def build(frame: Frame) -> TagBody:
        dts, cts = _times(frame)
        if not timed:
            # AV1, VP8 and VP9 have no composition offset: decode order is presentation order.
            prefix = coded[frame.key]
        elif cts == 0:
            prefix = coded_x[frame.key]
        else:
            prefix = coded[frame.key] + _CTS.pack(cts & 0xFFFFFF)[1:]
        if frame.side is not None and (nano := frame.side.get("offset_ns")):
            prefix = _with_nano(prefix, nano)
        return TagBody(VIDEO, dts, prefix, frame.payload)

    return build
