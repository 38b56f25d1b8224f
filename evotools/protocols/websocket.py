"""WebSocket: the opening handshake, frames and messages of both ends. RFC 6455.

No extensions: media does not get smaller by compression, and a compressed message could not be shared by all viewers.
What a server sends has no mask, so the frame around a chunk of media depends on nothing but its size: `message` makes
bytes that go to every viewer alike.
"""

import base64
import binascii
import codecs
import hashlib
import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from evotools.errors import ProtocolError

VERSION: Final = "13"
MAX_MESSAGE_BYTES: Final = 16 * 1024
"""Default for one message from the peer, all its fragments together: commands are a few hundred bytes of JSON."""
MAX_CONTROL_BYTES: Final = 125
"""5.5"""
MAX_OFFERED: Final = 32
"""Subprotocols read of one offer; clients name one or two."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
"""Opcodes (5.2)."""

NORMAL, GOING_AWAY, PROTOCOL_ERROR, UNSUPPORTED, NO_STATUS = 1000, 1001, 1002, 1003, 1005
INVALID_DATA, POLICY, TOO_BIG, INTERNAL_ERROR, TRY_AGAIN_LATER = 1007, 1008, 1009, 1011, 1013
"""Status codes (7.4.1); 1013 is from IANA's registry. NO_STATUS is never sent."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KNOWN: Final = frozenset({TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG})
_wide = struct.Struct(">BBQ").pack
_medium = struct.Struct(">BBH").pack


class HandshakeError(ProtocolError):
    """The request is no opening handshake that can be answered. `status` and `fields` are for the HTTP response."""

    def __init__(self, status: int, message: str, fields: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.fields = fields


class WebSocketError(ProtocolError):
    """The peer broke the rules. The Close frame with `close_code` waits in `data_to_send`."""

    def __init__(self, close_code: int, message: str) -> None:
        super().__init__(f"WebSocket: {message}")
        self.close_code = close_code
        self.reason = message


class Text(NamedTuple):
    """A whole text message."""

    text: str


class Binary(NamedTuple):
    """A whole binary message."""

    data: bytes


class Closed(NamedTuple):
    """The peer sent its Close frame; nothing follows. The answer to it, if one is due, waits in `data_to_send`."""

    code: int
    """NO_STATUS when the frame named none."""
    reason: str


class Pong(NamedTuple):
    """An answer to a ping, or an unasked sign of life (5.5.3)."""

    data: bytes


Event = Text | Binary | Closed | Pong


# The opening handshake.


def _tokens(value: str) -> list[str]:
    return [token.strip() for token in value.split(",")]


def offered(headers: Mapping[str, str]) -> bool:
    """Whether a request asks to go on as WebSocket. Header names are in lower case."""
    return "websocket" in _tokens(headers.get("upgrade", "").lower())


def accept_key(key: str) -> str:
    """`Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode("latin-1") + _GUID, usedforsecurity=False).digest()).decode()


def answer_handshake(
    method: str, minor: int, headers: Mapping[str, str], subprotocols: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """The fields of the 101 response to a request with these headers (names in lower case). Extensions are declined.

    Of the `subprotocols` known here the first one that the client offers is named. Who may ask (Origin) is the
    caller's affair. Raises HandshakeError.
    """
    # 4.2.1
    if method != "GET" or minor < 1:
        raise HandshakeError(400, "a WebSocket begins with GET and HTTP/1.1")
    if not offered(headers) or "upgrade" not in _tokens(headers.get("connection", "").lower()):
        raise HandshakeError(400, "the Upgrade and Connection fields of a WebSocket are missing")
    # 4.4: the version first, since other versions may have other fields.
    if headers.get("sec-websocket-version", "").strip() != VERSION:
        raise HandshakeError(
            426, "only version 13 of WebSocket is spoken here",
            b"Upgrade: websocket\r\nSec-WebSocket-Version: " + VERSION.encode() + b"\r\n",
        )  # fmt: skip
    key = headers.get("sec-websocket-key", "").strip()
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            raise ValueError
    except (binascii.Error, ValueError):
        raise HandshakeError(400, "Sec-WebSocket-Key must be 16 bytes in base64") from None
    fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept_key(key))]
    wanted = _tokens(headers.get("sec-websocket-protocol", ""))[:MAX_OFFERED]
    chosen = next((name for name in wanted if name in subprotocols), None)
    if chosen is not None:
        fields.append(("Sec-WebSocket-Protocol", chosen))
    return fields


# Frames.


def frame_header(size: int, opcode: int = BINARY, *, final: bool = True) -> bytes:
    """The header of an unmasked frame with `size` bytes of payload (5.2); lengths in their shortest form."""
    first = opcode | 0x80 if final else opcode
    if size < 126:
        return bytes((first, size))
    return _medium(first, 126, size) if size < 1 << 16 else _wide(first, 127, size)


def message(data: bytes, opcode: int = BINARY) -> bytes:
    """A whole message in one unmasked frame: what a server sends, the same bytes to every viewer."""
    return frame_header(len(data), opcode) + data


def text_message(text: str) -> bytes:
    """A whole text message in one unmasked frame."""
    return message(text.encode(), TEXT)


def close_frame(code: int, reason: str = "") -> bytes:
    """A server's Close frame (5.5.1); the reason is cut where it does not fit."""
    return message(_close_payload(code, reason), CLOSE)


def _close_payload(code: int, reason: str) -> bytes:
    cut = reason.encode()[: MAX_CONTROL_BYTES - 2].decode(errors="ignore")
    return code.to_bytes(2, "big") + cut.encode()


def _masked(data: bytes, mask: bytes) -> bytes:
    """5.3"""
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


class WebSocketConnection:
    """One end of a WebSocket behind its handshake: bytes in, messages out; a `protocols.base.StreamProtocol`.

    Pings are answered here: the newest one, when several came before `data_to_send` was taken (5.5.3). Media need not
    pass through `send`: a server may write `message(...)` between any two whole frames.
    """

    def __init__(
        self,
        *,
        new_mask: Callable[[], bytes] | None = None,
        max_message: int = MAX_MESSAGE_BYTES,
        max_frames: int | None = None,
    ) -> None:
        """A server; or a client, which masks each frame with four unpredictable bytes from `new_mask` (5.3).

        `max_frames` is how many one `receive` may bring: a frame of six bytes costs as much time as one with a command
        in it, and no message is needed for any number of them.
        """
        self.frames = 0
        """Taken so far: control frames, messages and fragments alike."""
        self._new_mask = new_mask
        self._max_message = max_message
        self._max_frames = max_frames
        self._buffer = bytearray()
        self._events: deque[Event] = deque()
        self._out = bytearray()
        self._pong: bytes | None = None
        self._opcode = CONTINUATION
        """Of the message whose fragments arrive."""
        self._parts = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None
        self._text: list[str] = []
        self.close_sent = False
        self.close_received = False

    def receive(self, data: bytes | bytearray | memoryview, now: float = 0.0) -> None:
        """Bytes from the peer. Raises WebSocketError when it broke the rules; events before that are still there."""
        if self.close_received:
            return
        buffer = self._buffer
        buffer += data
        position = 0
        limit = None if self._max_frames is None else self.frames + self._max_frames
        try:
            while not self.close_received:
                step = self._frame(buffer, position)
                if not step:
                    break
                position += step
                self.frames += 1
                if self.frames == limit and len(buffer) > position and not self.close_received:
                    raise WebSocketError(POLICY, "too many frames")
        except WebSocketError as error:
            self.close(error.close_code, error.reason)
            self.close_received = True
            raise
        finally:
            if self.close_received:
                buffer.clear()
            else:
                del buffer[:position]

    def receive_eof(self, now: float = 0.0) -> None:
        """The peer closed the connection; without a Close frame that is abnormal, but nobody is left to be told."""
        self.close_received = True
        self._buffer.clear()

    def next_event(self) -> Event | None:
        """The next event, or None."""
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> bytes:
        """Bytes for the peer, taken once."""
        if self._pong is not None:
            if not self.close_sent:
                self._out += self._encode(PONG, self._pong)
            self._pong = None
        data = bytes(self._out)
        self._out.clear()
        return data

    def deadline(self) -> float | None:
        """None: whoever holds the connections sends pings when they are silent."""
        return None

    def tick(self, now: float) -> None:
        """Nothing happens with time."""

    def send(self, data: bytes | str) -> None:
        """A whole message; text for str."""
        if isinstance(data, str):
            self._send(TEXT, data.encode())
        else:
            self._send(BINARY, data)

    def ping(self, data: bytes = b"") -> None:
        """Ask for a sign of life; at most MAX_CONTROL_BYTES."""
        self._send(PING, data[:MAX_CONTROL_BYTES])

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Begin the closing handshake; nothing is sent afterwards."""
        if not self.close_sent:
            self._send(CLOSE, _close_payload(code, reason))
            self.close_sent = True

    # Out.

    def _send(self, opcode: int, payload: bytes) -> None:
        if not self.close_sent:
            self._out += self._encode(opcode, payload)

    def _encode(self, opcode: int, payload: bytes) -> bytes:
        head = frame_header(len(payload), opcode)
        if self._new_mask is None:
            return head + payload
        mask = self._new_mask()
        return bytes((head[0], head[1] | 0x80)) + head[2:] + mask + _masked(payload, mask)

    # In.

    def _frame(self, buffer: bytearray, position: int) -> int:
        """Take the frame at `position`; its size, or 0 while it is not whole."""
        left = len(buffer) - position
        if left < 2:
            return 0
        first, second = buffer[position], buffer[position + 1]
        opcode, masked = first & 0xF, bool(second & 0x80)
        # 5.2: no extension has given the reserved bits and opcodes a meaning.
        if first & 0x70:
            raise WebSocketError(PROTOCOL_ERROR, "a reserved bit is set")
        if opcode not in _KNOWN:
            raise WebSocketError(PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        # 5.1
        if masked is not (self._new_mask is None):
            raise WebSocketError(PROTOCOL_ERROR, "a client masks its frames, a server does not")
        size, head = second & 0x7F, 2
        if opcode & 0x8:
            # 5.5
            if not first & 0x80:
                raise WebSocketError(PROTOCOL_ERROR, "a control frame in fragments")
            if size > MAX_CONTROL_BYTES:
                raise WebSocketError(PROTOCOL_ERROR, "a control frame of more than 125 bytes")
        elif (opcode == CONTINUATION) is (self._opcode == CONTINUATION):
            # 5.4
            raise WebSocketError(PROTOCOL_ERROR, "a fragment that belongs to nothing" if opcode == CONTINUATION else
                                 "a message inside another one")  # fmt: skip
        elif size >= 126:
            head = 4 if size == 126 else 10
            if left < head:
                return 0
            size = int.from_bytes(buffer[position + 2 : position + head], "big")
            if size < (126 if head == 4 else 1 << 16) or size >= 1 << 63:
                raise WebSocketError(PROTOCOL_ERROR, "a length that is not in its shortest form")
        if not opcode & 0x8 and len(self._parts) + size > self._max_message:
            raise WebSocketError(TOO_BIG, f"a message of more than {self._max_message} bytes")
        start = position + head + (4 if masked else 0)
        if left < start - position + size:
            return 0
        payload = bytes(buffer[start : start + size])
        if masked:
            payload = _masked(payload, bytes(buffer[start - 4 : start]))
        if opcode & 0x8:
            self._control(opcode, payload)
        else:
            self._data(opcode, payload, bool(first & 0x80))
        return start - position + size

    def _data(self, opcode: int, payload: bytes, final: bool) -> None:
        if opcode != CONTINUATION:
            self._opcode = opcode
            self._decoder = codecs.getincrementaldecoder("utf-8")() if opcode == TEXT else None
        # Fragments count towards the cap either way; text is checked as it comes (8.1).
        self._parts += payload
        if self._decoder is not None:
            try:
                part = self._decoder.decode(payload, final)
            except UnicodeDecodeError:
                raise WebSocketError(INVALID_DATA, "text that is not UTF-8") from None
            if part:
                self._text.append(part)
        if not final:
            return
        if self._decoder is not None:
            self._events.append(Text("".join(self._text)))
        else:
            self._events.append(Binary(bytes(self._parts)))
        self._opcode = CONTINUATION
        self._parts.clear()
        self._text.clear()

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._pong = payload
        elif opcode == PONG:
            self._events.append(Pong(payload))
        else:
            code, reason = _read_close(payload)
            self.close_received = True
            self._events.append(Closed(code, reason))
            # 5.5.1: the answer usually echoes the status code.
            if not self.close_sent:
                self._send(CLOSE, b"" if code == NO_STATUS else code.to_bytes(2, "big"))
                self.close_sent = True


def _read_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a Close frame (5.5.1). Raises WebSocketError."""
    if not payload:
        return NO_STATUS, ""
    if len(payload) == 1:
        raise WebSocketError(PROTOCOL_ERROR, "half a status code")
    code = int.from_bytes(payload[:2], "big")
    # 7.4: the registered codes that may appear in a frame, and those for libraries and private use.
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise WebSocketError(PROTOCOL_ERROR, f"status code {code} must not be sent")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise WebSocketError(INVALID_DATA, "a reason that is not UTF-8") from None
