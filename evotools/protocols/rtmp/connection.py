"""What both ends of an RTMP connection share: handshake, chunks, acknowledgements, pings, queues.

The contract is `evotools.protocols.base.StreamProtocol`. A peer can make this end answer (pings, commands) about as
much as it sends: a driver stops reading while its own send buffer is over its limit.
"""

from collections import deque
from typing import Generic, Protocol, TypeVar

from evotools.errors import ParseError, ProtocolError
from evotools.media.timeline import Unwrapper
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp.chunk import ChunkReader, ChunkWriter, Message
from evotools.protocols.rtmp.events import Closed, MediaMessage

CHUNK_SIZE = 60000
"""Our chunk size in both roles. Flash Player and the first edition of the specification stop at 65536 bytes; SRS has
sent 60000 to every kind of player for years, and a frame at 2 Mbit/s then is one chunk. ffmpeg, when it publishes,
copies the size that the server announces, which makes reading it cheap too."""
WINDOW_ACK_SIZE = 2_500_000
"""Bytes between acknowledgements, the usual value of FMS. Used unasked too: some encoders wait for acknowledgements
that they never asked for."""

_SOFT = bytes((m.LIMIT_SOFT,))
_EventT = TypeVar("_EventT")


class Handshake(Protocol):
    """Either side's handshake."""

    done: bool

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """What to send, and the bytes behind the handshake."""
        ...


def broken(error: ParseError) -> ProtocolError:
    """What a message that cannot be parsed means for its connection."""
    return ProtocolError(f"the peer sent a broken RTMP message: {error.message}")


class Connection(Generic[_EventT]):
    """Base of `ServerConnection` and `ClientConnection`; `now` is in seconds of a monotonic clock."""

    def __init__(self, handshake: Handshake, now: float) -> None:
        self._handshake = handshake
        self._reader = ChunkReader()
        self._writer = ChunkWriter()
        self._events: deque[_EventT | MediaMessage | Closed] = deque()
        self._out: list[bytes] = []
        self._window = WINDOW_ACK_SIZE
        self._announced_window = 0
        self._unacknowledged = 0
        self._last_heard = now
        self.bytes_received = 0
        self.bytes_acknowledged = 0
        """What the peer says it has received, modulo 2^32."""
        self.closed = False

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Bytes from the peer. Raises ProtocolError; the connection has ended then, and `Closed` is the last event."""
        if self.closed:
            return
        size = len(data)
        self.bytes_received += size
        self._last_heard = now
        try:
            if not self._handshake.done:
                reply, data = self._handshake.receive(bytes(data))
                if reply:
                    self._out.append(reply)
                if self._handshake.done:
                    self._greeted()
            if data:
                for message in self._reader.feed(data):
                    self._message(message)
        except ParseError as error:
            self._close("the peer broke the protocol")
            raise broken(error) from error
        except ProtocolError:
            self._close("the peer broke the protocol")
            raise
        self._unacknowledged += size
        # 5.4.3. One acknowledgement per call at most, so that a window of one byte cannot make us flood.
        if self._unacknowledged >= self._window and self._handshake.done:
            self._unacknowledged = 0
            self._send(m.build_acknowledgement(self.bytes_received))

    def receive_eof(self, now: float) -> None:
        """The peer closed its side."""
        self._close("the peer closed the connection")

    def next_event(self) -> _EventT | MediaMessage | Closed | None:
        """The next event, or None when there is none."""
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> bytes:
        """Bytes for the peer, always whole messages; empty when there are none."""
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data

    def ping(self, now: float) -> None:
        """Ask the peer for a sign of life (7.1.7)."""
        self._send(m.build_user_control(m.PING_REQUEST, int(now * 1000) & 0xFFFFFFFF))

    def _greeted(self) -> None:
        raise NotImplementedError

    def _other(self, message: Message) -> None:
        """Media, data, commands, aggregates."""
        raise NotImplementedError

    def _user_control(self, event: int, values: list[int]) -> None:
        """User control events other than pings."""

    def _close(self, reason: str) -> None:
        """Emit what must still be emitted, then Closed, once."""
        if not self.closed:
            self.closed = True
            self._events.append(Closed(reason))

    def _send(self, *messages: Message) -> None:
        write = self._writer.write
        self._out += [write(message) for message in messages]

    def _announce_window(self, size: int) -> None:
        self._announced_window = size
        self._send(m.build_window_ack_size(size))

    def _message(self, message: Message) -> None:
        kind = message.type
        if kind > m.SET_PEER_BANDWIDTH:
            self._other(message)
        elif kind == m.ACKNOWLEDGEMENT:
            self.bytes_acknowledged = m.parse_u32(message)
        elif kind == m.WINDOW_ACK_SIZE:
            # 5.4.4. A window of zero is how some cameras say "never".
            self._window = m.parse_u32(message) or WINDOW_ACK_SIZE
        elif kind == m.SET_PEER_BANDWIDTH:
            # 5.4.5: answer with a window when it is not the one announced last. A soft limit only lowers; a dynamic
            # one, which most peers send, is answered as a hard one, which some of them wait for.
            size = m.parse_u32(message)
            if message.payload[4:5] == _SOFT and self._announced_window:
                size = min(size, self._announced_window)
            if size and size != self._announced_window:
                self._announce_window(size)
        elif kind == m.USER_CONTROL:
            event, values = m.parse_user_control(message)
            if event == m.PING_REQUEST:
                self._send(m.build_user_control(m.PING_RESPONSE, *values[:1]))
            else:
                self._user_control(event, values)

    def _emit_media(self, message: Message, unwrap: Unwrapper, stream_id: int) -> None:
        """Audio and video as they are, script data without its wrapper, aggregates in parts."""
        kind = message.type
        if kind == m.AUDIO or kind == m.VIDEO:
            self._events.append(MediaMessage(kind, unwrap(message.timestamp), message.payload, stream_id))
        elif kind == m.DATA or kind == m.DATA_AMF3:
            body = m.script_body(message)
            if body is not None:
                self._events.append(MediaMessage(m.DATA, unwrap(message.timestamp), body, stream_id))
        elif kind == m.AGGREGATE:
            for part in m.unpack_aggregate(message):
                self._emit_media(part, unwrap, stream_id)
