"""The RTMP chunk stream: bytes to messages and back. "Adobe's Real Time Messaging Protocol" 1.0, 5.3 and 5.4."""

import struct
from collections.abc import Sequence

from evotools.errors import ProtocolError

DEFAULT_CHUNK_SIZE = 128
"""Both directions begin with this (5.4.1)."""
MAX_CHUNK_SIZE = 0xFFFFFF
"""5.4.1: larger sizes mean the same, since no message is longer."""
MAX_MESSAGE = 8 << 20
"""Bytes of one message. A 2160p intra frame at 400 Mbit/s stays below 4 MiB; the wire could say 16 MiB."""
MAX_CHUNK_STREAMS = 64
"""Chunk stream ids in use at a time. Honest peers use about six; the wire could say 65599."""
MAX_BUFFERED = 16 << 20
"""Bytes of unfinished messages over all chunk streams: one video and one audio message, with room to spare."""
MAX_IMPLIED_DELTA_MS = 1000
"""Largest time step that a type 3 header behind a type 0 header may mean; see `ChunkReader`."""

SET_CHUNK_SIZE, ABORT = 1, 2

_EXTENDED = 0xFFFFFF
_HEADER = struct.Struct(">IHB")
_U32 = struct.Struct(">I")
_STREAM_ID = struct.Struct("<I")
_HEADER_SIZES = (11, 7, 3, 0)
_EMPTY = b""


class Message:
    """One RTMP message. `timestamp` is in milliseconds, modulo 2^32; `payload` is its own bytes object."""

    __slots__ = ("payload", "stream_id", "timestamp", "type")

    def __init__(self, kind: int, timestamp: int, stream_id: int, payload: bytes) -> None:
        self.type = kind
        self.timestamp = timestamp
        self.stream_id = stream_id
        self.payload = payload

    def __repr__(self) -> str:
        return f"Message(type={self.type} {self.timestamp} ms stream={self.stream_id} {len(self.payload)} bytes)"


class _ChunkStream:
    """What later headers of one chunk stream leave out, and the message being collected."""

    __slots__ = ("delta", "extended", "length", "partial", "stream_id", "timestamp", "type")

    def __init__(self) -> None:
        self.type = self.length = self.stream_id = self.timestamp = self.delta = 0
        self.extended: int | None = None
        """The extended timestamp field of the last header that had one: what type 3 chunks repeat."""
        self.partial: bytearray | None = None


class ChunkReader:
    """Feed bytes in any split, get whole messages. Set Chunk Size and Abort are obeyed and not handed out.

    Deviations of real peers that are understood:

    - Type 3 chunks repeat the extended timestamp (5.3.1.3), or do not (old Flash, some encoders). The four bytes
      are taken for it when they equal the last one.
    - Type 3 that begins a message right behind type 0: 5.3.1.2.4 takes the time of the type 0 header for the step,
      as ffmpeg means it; others mean "same time". A step above `MAX_IMPLIED_DELTA_MS` is taken as zero.
    - librtmp sends its first message on a chunk stream with type 1 (user control on stream 2).
    - A new header in mid-message gives the old message up.
    """

    def __init__(self) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE
        self._streams: dict[int, _ChunkStream] = {}
        self._held = _EMPTY
        """A header that is not complete yet: 18 bytes at most."""
        self._current: _ChunkStream | None = None
        self._chunk_left = 0
        """Bytes of the current chunk that have not come yet; 0 at a chunk boundary."""
        self._buffered = 0

    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """The messages that `data` completes. Raises ProtocolError; the connection cannot go on then."""
        data = self._held + data if self._held else bytes(data)
        self._held = _EMPTY
        messages: list[Message] = []
        streams = self._streams
        position, end = 0, len(data)
        if self._chunk_left:
            position = self._take(data, 0, messages)
        while position < end:
            start = position
            first = data[position]
            position += 1
            fmt, csid = first >> 6, first & 0x3F
            # 5.3.1.1: the values 0 and 1 announce one or two more bytes of chunk stream id.
            if csid < 2:
                if position + csid + 1 > end:
                    self._held = data[start:]
                    break
                csid = 64 + data[position] + (data[position + 1] << 8 if csid else 0)
                position += 2 if first & 0x3F else 1
            header_end = position + _HEADER_SIZES[fmt]
            if header_end > end:
                self._held = data[start:]
                break
            stream = streams.get(csid)
            if stream is None:
                stream = self._open(csid, fmt)
            if fmt == 3:
                if stream.extended is not None:
                    more = self._repeats_extended(stream, data, header_end)
                    if more is None:
                        self._held = data[start:]
                        break
                    header_end += more
                if stream.partial is None:
                    stream.timestamp = (stream.timestamp + stream.delta) & 0xFFFFFFFF
            else:
                if fmt == 2:
                    field = int.from_bytes(data[position:header_end], "big")
                    length = stream.length
                else:
                    field, low, kind = _HEADER.unpack_from(data, position)
                    length = (field & 0xFF) << 16 | low
                    field >>= 8
                extended = None
                if field == _EXTENDED:
                    if header_end + 4 > end:
                        self._held = data[start:]
                        break
                    field = extended = _U32.unpack_from(data, header_end)[0]
                    header_end += 4
                if length > MAX_MESSAGE:
                    raise ProtocolError(f"the peer announces a message of {length} bytes; {MAX_MESSAGE} are allowed")
                if fmt == 0:
                    stream.stream_id = _STREAM_ID.unpack_from(data, position + 7)[0]
                    stream.timestamp = field
                    stream.delta = field if field <= MAX_IMPLIED_DELTA_MS else 0
                else:
                    stream.delta = field
                    stream.timestamp = (stream.timestamp + field) & 0xFFFFFFFF
                if fmt != 2:
                    stream.length = length
                    stream.type = kind
                stream.extended = extended
                if stream.partial is not None:
                    self._drop(stream)
            position = header_end
            partial = stream.partial
            length = stream.length
            chunk_size = self.chunk_size
            if partial is None:
                if length <= chunk_size and position + length <= end:
                    payload = data[position : position + length]
                    position += length
                    self._deliver(messages, stream, payload)
                    continue
                whole = self._whole(data, position, stream, csid) if length > chunk_size else None
                if whole is not None:
                    position += length + (length - 1) // chunk_size
                    self._deliver(messages, stream, whole)
                    continue
                partial = stream.partial = bytearray()
            size = min(chunk_size, length - len(partial))
            self._current = stream
            self._chunk_left = size
            position = self._take(data, position, messages)
        return messages

    def _open(self, csid: int, fmt: int) -> _ChunkStream:
        if fmt >= 2:
            raise ProtocolError(f"chunk stream {csid} begins with a type {fmt} header")
        if len(self._streams) >= MAX_CHUNK_STREAMS:
            raise ProtocolError(f"the peer uses more than {MAX_CHUNK_STREAMS} chunk streams")
        stream = self._streams[csid] = _ChunkStream()
        return stream

    @staticmethod
    def _repeats_extended(stream: _ChunkStream, data: bytes, position: int) -> int | None:
        """4 when the extended timestamp stands at `position`, 0 when not, None while that cannot be told."""
        found = data[position : position + 4]
        for value in (stream.extended, stream.timestamp):
            expected = _U32.pack(value)
            if found == expected:
                return 4
            if len(found) < 4 and expected.startswith(found):
                return None
        return 0

    def _whole(self, data: bytes, position: int, stream: _ChunkStream, csid: int) -> bytes | None:
        """A message of several chunks that lies in `data` without interruption; None sends it the long way.

        Every chunk-size-th byte must be the one-byte type 3 header of the same stream; they are cut out at once.
        """
        if stream.extended is not None or csid > 63:
            return None
        length, step = stream.length, self.chunk_size
        continuations = (length - 1) // step
        end = position + length + continuations
        if end > len(data):
            return None
        if data[position + step : end : step + 1] != bytes((0xC0 | csid,)) * continuations:
            return None
        body = bytearray(memoryview(data)[position:end])
        del body[step :: step + 1]
        return bytes(body)

    def _take(self, data: bytes, position: int, messages: list[Message]) -> int:
        """Move what there is of the current chunk into its message; the position behind it."""
        stream = self._current
        assert stream is not None
        assert stream.partial is not None
        size = min(self._chunk_left, len(data) - position)
        self._buffered += size
        if self._buffered > MAX_BUFFERED:
            raise ProtocolError(f"the peer leaves more than {MAX_BUFFERED} bytes of messages unfinished")
        stream.partial += data[position : position + size]
        self._chunk_left -= size
        if len(stream.partial) == stream.length:
            payload = bytes(stream.partial)
            self._drop(stream)
            self._deliver(messages, stream, payload)
        return position + size

    def _drop(self, stream: _ChunkStream) -> None:
        if stream.partial is not None:
            self._buffered -= len(stream.partial)
            stream.partial = None

    def _deliver(self, messages: list[Message], stream: _ChunkStream, payload: bytes) -> None:
        kind = stream.type
        if kind > ABORT:
            messages.append(Message(kind, stream.timestamp, stream.stream_id, payload))
        elif kind == SET_CHUNK_SIZE:
            self._set_chunk_size(payload)
        elif kind == ABORT:
            if len(payload) < 4:
                raise ProtocolError("an Abort message is shorter than 4 bytes")
            aborted = self._streams.get(_U32.unpack_from(payload)[0])
            if aborted is not None:
                self._drop(aborted)

    def _set_chunk_size(self, payload: bytes) -> None:
        if len(payload) < 4:
            raise ProtocolError("a Set Chunk Size message is shorter than 4 bytes")
        size = _U32.unpack_from(payload)[0]
        # 5.4.1: the first bit must be zero, and the size one at least.
        if not 0 < size < 0x80000000:
            raise ProtocolError(f"the peer sets a chunk size of {size}")
        self.chunk_size = min(size, MAX_CHUNK_SIZE)


def type0_chunks(
    kind: int,
    stream_id: int,
    csid: int,
    timestamp: int,
    body_parts: Sequence[bytes | bytearray | memoryview],
    chunk_size: int,
) -> bytes:
    """One message as chunks: a full type 0 header, then type 3 continuations (5.3.1.2).

    Nothing depends on what was sent before, so that the bytes can be shared by every connection that has this
    chunk size. `csid` is 2..63; `timestamp` is in milliseconds and wraps at 2^32; `body_parts` are joined.
    """
    timestamp &= 0xFFFFFFFF
    length = sum(map(len, body_parts))
    if timestamp < _EXTENDED:
        extended = _EMPTY
        field = timestamp
    else:
        extended = _U32.pack(timestamp)
        field = _EXTENDED
    header = b"%c%b%b%b" % (
        csid,
        _HEADER.pack(field << 8 | length >> 16, length & 0xFFFF, kind),
        _STREAM_ID.pack(stream_id),
        extended,
    )
    if length <= chunk_size:
        return b"".join((header, *body_parts))
    body = body_parts[0] if len(body_parts) == 1 else b"".join(body_parts)
    view = memoryview(body)
    # With an extended timestamp in the header every type 3 chunk repeats it (5.3.1.3); ffmpeg and librtmp count on it.
    continuation = bytes((0xC0 | csid,)) + extended
    pieces: list[bytes | memoryview] = [header, view[:chunk_size]]
    for offset in range(chunk_size, length, chunk_size):
        pieces += (continuation, view[offset : offset + chunk_size])
    return b"".join(pieces)


class ChunkWriter:
    """Messages to chunks on one connection; holds nothing but the chunk size in force."""

    def __init__(self) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE

    def set_chunk_size(self, size: int) -> bytes:
        """The Set Chunk Size message; what is written later uses `size`."""
        if not 0 < size <= MAX_CHUNK_SIZE:
            raise ValueError(f"chunk size {size} is outside 1..{MAX_CHUNK_SIZE}")
        announcement = type0_chunks(SET_CHUNK_SIZE, 0, 2, 0, (_U32.pack(size),), self.chunk_size)
        self.chunk_size = size
        return announcement

    def write(self, message: Message) -> bytes:
        """The chunks of one message, on the chunk stream that its type is given."""
        return type0_chunks(
            message.type,
            message.stream_id,
            CHUNK_STREAMS.get(message.type, 3),
            message.timestamp,
            (message.payload,),
            self.chunk_size,
        )


CHUNK_STREAMS = {1: 2, 2: 2, 3: 2, 4: 2, 5: 2, 6: 2, 8: 4, 9: 6, 15: 5, 18: 5}
"""Chunk stream of each message type: protocol control must use 2 (5.4); commands (all others) go on 3."""
