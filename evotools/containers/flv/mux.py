"""Frames into an FLV file or stream (Adobe video file format 10.1, E.2 and E.3)."""

import struct
from collections.abc import Iterable, Sequence

from evotools.containers.flv.names import accepts
from evotools.containers.flv.writer import TagBody, TagWriter
from evotools.errors import MediaError
from evotools.media.frame import Frame, Metadata
from evotools.media.track import Kind, Track

MAX_BODY = 0xFFFFFF
"""E.4.1: DataSize is UI24."""

_HEAD = struct.Struct(">IIBH")
_pack_head = _HEAD.pack
_SIZE = struct.Struct(">I")
_pack_size = _SIZE.pack
_TAG_HEADER = 11


class FlvMuxer:
    """FLV with legacy tags where they exist and Enhanced RTMP tags for the rest.

    `start` gives the file header the first time, and new onMetaData and sequence headers each time.
    """

    mime = "video/x-flv"

    def __init__(self, *, offset_ms: int | None = None, duration_s: float | None = None) -> None:
        """`offset_ms` is added to all times, so that a file may begin at zero; `duration_s` is told in onMetaData."""
        self._writer = TagWriter(offset_ms=offset_ms, duration_s=duration_s)
        self._started = False

    def accepts(self, track: Track) -> bool:
        """Whether FLV has a name for the track's codec."""
        return accepts(track)

    def start(self, tracks: Sequence[Track]) -> bytes:
        """Begin an epoch. Raises MediaError when a track cannot be carried."""
        tags = _join(self._writer.start(tracks))
        if self._started:
            return tags
        self._started = True
        kinds = {track.kind for track in tracks}
        # E.2: signature, version 1, TypeFlags (4 audio, 1 video), DataOffset 9, PreviousTagSize0.
        flags = 4 * (Kind.AUDIO in kinds) | (Kind.VIDEO in kinds)
        return b"FLV\x01" + bytes((flags,)) + b"\x00\x00\x00\x09\x00\x00\x00\x00" + tags

    def write(self, frame: Frame) -> bytes:
        """The tag of one frame. Raises MediaError for a frame of 16 MiB or more."""
        tag = self._writer.tag(frame)
        if tag is None:
            return b""
        if frame.side is not None and (color := self._writer.color(frame, tag)) is not None:
            return _join((color, tag))
        prefix = tag.prefix
        payload = tag.payload
        size = len(prefix) + len(payload)
        if size > MAX_BODY:
            raise MediaError(f"a frame of {size} bytes is too large for FLV")
        time = tag.timestamp_ms
        # E.4.1: TagType, DataSize UI24 / Timestamp UI24, TimestampExtended UI8 / StreamID UI24, always 0.
        head = _pack_head(tag.type << 24 | size, (time & 0xFFFFFF) << 8 | time >> 24, 0, 0)
        return b"".join((head, prefix, payload, _pack_size(size + _TAG_HEADER)))

    def write_metadata(self, metadata: Metadata) -> bytes:
        """The tag of timed data; nothing before `start`, whose onMetaData then has what the publisher said."""
        tag = self._writer.metadata(metadata)
        return b"" if tag is None else _join((tag,))

    def finish(self) -> bytes:
        """The end-of-sequence tags of video tracks."""
        return _join(self._writer.finish())


def _join(bodies: Iterable[TagBody]) -> bytes:
    parts: list[bytes] = []
    for tag in bodies:
        size = len(tag)
        if size > MAX_BODY:
            raise MediaError(f"a tag of {size} bytes is too large for FLV")
        time = tag.timestamp_ms
        parts += (
            _pack_head(tag.type << 24 | size, (time & 0xFFFFFF) << 8 | time >> 24, 0, 0),
            tag.prefix,
            tag.payload,
            _pack_size(size + _TAG_HEADER),
        )
    return b"".join(parts)
