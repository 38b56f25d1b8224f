"""Frames into RTMP chunks that every player of one chunk size and message stream id can share."""

from collections.abc import Iterable, Sequence

from evotools.containers.flv.names import accepts
from evotools.containers.flv.writer import TagBody, TagWriter
from evotools.media.frame import Frame, Metadata
from evotools.media.track import Track
from evotools.protocols.rtmp.chunk import CHUNK_STREAMS, type0_chunks


class RtmpMuxer:
    """A `Muxer` whose bytes are whole messages with full type 0 headers: they depend on no connection's past."""

    mime = "application/x-rtmp"

    def __init__(self, stream_id: int, chunk_size: int) -> None:
        self._stream_id = stream_id
        self._chunk_size = chunk_size
        self._writer = TagWriter()

    def accepts(self, track: Track) -> bool:
        """Whether RTMP, legacy or enhanced, has a name for the track's codec."""
        return accepts(track)

    def start(self, tracks: Sequence[Track]) -> bytes:
        """onMetaData and sequence headers. Raises MediaError."""
        return self._join(self._writer.start(tracks))

    def write(self, frame: Frame) -> bytes:
        """The message of one frame."""
        tag = self._writer.tag(frame)
        if tag is None:
            return b""
        if frame.side is not None and (color := self._writer.color(frame, tag)) is not None:
            return self._join((color, tag))
        return self._chunks(tag)

    def write_metadata(self, metadata: Metadata) -> bytes:
        """The message of timed data; nothing before `start`, whose onMetaData then has what the publisher said."""
        tag = self._writer.metadata(metadata)
        return b"" if tag is None else self._chunks(tag)

    def finish(self) -> bytes:
        """The end-of-sequence messages of video tracks."""
        return self._join(self._writer.finish())

    def _chunks(self, tag: TagBody) -> bytes:
        parts = (tag.prefix, tag.payload)
        return type0_chunks(
            tag.type, self._stream_id, CHUNK_STREAMS[tag.type], tag.timestamp_ms, parts, self._chunk_size
        )

    def _join(self, tags: Iterable[TagBody]) -> bytes:
        return b"".join(map(self._chunks, tags))
