"""RTMP messages above the chunk stream: protocol control, user control, commands, aggregates.

"Adobe's Real Time Messaging Protocol" 1.0, 5.4, 6.2 and 7.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from evotools.containers.flv import amf0
from evotools.errors import ParseError
from evotools.protocols.rtmp.chunk import Message

MAX_AGGREGATED = 4096
"""Messages inside one aggregate. FMS collects up to half a second of media, some hundred."""
MAX_COMMAND = 256 << 10
"""Bytes of one command. A connect with every optional field and a long token stays below 4 KiB."""

# 5.4, 6.2, 7.1: message types
SET_CHUNK_SIZE, ABORT, ACKNOWLEDGEMENT, USER_CONTROL, WINDOW_ACK_SIZE, SET_PEER_BANDWIDTH = range(1, 7)
AUDIO, VIDEO = 8, 9
DATA_AMF3, SHARED_OBJECT_AMF3, COMMAND_AMF3 = 15, 16, 17
DATA, SHARED_OBJECT, COMMAND, AGGREGATE = 18, 19, 20, 22

# 7.1.7: user control events
STREAM_BEGIN, STREAM_EOF, STREAM_DRY, SET_BUFFER_LENGTH, STREAM_IS_RECORDED = range(5)
PING_REQUEST, PING_RESPONSE = 6, 7

# 5.4.5: limit types
LIMIT_HARD, LIMIT_SOFT, LIMIT_DYNAMIC = range(3)

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_SET_DATA_FRAME = amf0.encode("@setDataFrame")
_SERVER_ONLY = amf0.encode("|RtmpSampleAccess")


@dataclass(frozen=True, slots=True)
class Command:
    """A command message (7.2): `object` is the command object, usually None behind `connect`."""

    name: str
    transaction: float = 0.0
    object: Any = None
    arguments: tuple[Any, ...] = field(default=(), repr=False)
    stream_id: int = 0

    def argument(self, index: int, kind: type, default: Any) -> Any:
        """The argument at `index` when it is there and of type `kind`, else `default`. Integers of AMF3 are floats."""
        value = self.arguments[index] if index < len(self.arguments) else default
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        return value if isinstance(value, kind) else default


def parse_command(message: Message) -> Command:
    """The command in a message of type 20 or 17. Raises ParseError."""
    payload = message.payload
    if len(payload) > MAX_COMMAND:
        raise ParseError(f"a command is longer than {MAX_COMMAND} bytes")
    if message.type == COMMAND_AMF3 and payload[:1] == b"\x00":
        # Type 17 is a format byte, zero, and then AMF0 values that may switch to AMF3 one by one.
        payload = payload[1:]
    values = amf0.decode_all(payload)
    if not values or not isinstance(values[0], str):
        raise ParseError("a command has no name")
    transaction = values[1] if len(values) > 1 else 0.0
    if isinstance(transaction, bool) or not isinstance(transaction, (int, float)):
        transaction = 0.0
    return Command(values[0], transaction, values[2] if len(values) > 2 else None, tuple(values[3:]), message.stream_id)


def build_command(name: str, transaction: float, *values: Any, stream_id: int = 0) -> Message:
    """A command message; `values` are the command object and the arguments."""
    return Message(COMMAND, 0, stream_id, amf0.encode(name, transaction, *values))


def build_status(code: str, description: str, *, level: str = "status", stream_id: int = 0) -> Message:
    """An `onStatus` command (7.2.2)."""
    info = {"level": level, "code": code, "description": description}
    return build_command("onStatus", 0, None, info, stream_id=stream_id)


def build_data(*values: Any, stream_id: int = 0) -> Message:
    """A data message (7.1.2)."""
    return Message(DATA, 0, stream_id, amf0.encode(*values))


def build_acknowledgement(sequence: int) -> Message:
    """5.4.3: bytes received so far, modulo 2^32."""
    return Message(ACKNOWLEDGEMENT, 0, 0, _U32.pack(sequence & 0xFFFFFFFF))


def build_window_ack_size(size: int) -> Message:
    """5.4.4."""
    return Message(WINDOW_ACK_SIZE, 0, 0, _U32.pack(size))


def build_set_peer_bandwidth(size: int, limit: int = LIMIT_DYNAMIC) -> Message:
    """5.4.5."""
    return Message(SET_PEER_BANDWIDTH, 0, 0, _U32.pack(size) + bytes((limit,)))


def build_user_control(event: int, *values: int) -> Message:
    """7.1.7: the event and its 32-bit values."""
    return Message(USER_CONTROL, 0, 0, _U16.pack(event) + b"".join(map(_U32.pack, values)))


def parse_u32(message: Message) -> int:
    """The first four bytes of a protocol control message. Raises ParseError."""
    if len(message.payload) < 4:
        raise ParseError(f"a message of type {message.type} is shorter than 4 bytes")
    return int(_U32.unpack_from(message.payload)[0])


def parse_user_control(message: Message) -> tuple[int, list[int]]:
    """The event and its 32-bit values; incomplete ones at the end are left out. Raises ParseError."""
    payload = message.payload
    if len(payload) < 2:
        raise ParseError("a user control message is shorter than 2 bytes")
    event = int(_U16.unpack_from(payload)[0])
    return event, [_U32.unpack_from(payload, at)[0] for at in (2, 6) if at + 4 <= len(payload)]


def script_body(message: Message) -> bytes | None:
    """The FLV script tag body of a data message; None when it says nothing to a reader.

    Publishers wrap metadata in `@setDataFrame`, which is addressed to the server and taken off here; the tag reader
    understands `@clearDataFrame`.
    """
    payload = message.payload
    if message.type == DATA_AMF3 and payload[:1] == b"\x00":
        payload = payload[1:]
    if payload.startswith(_SET_DATA_FRAME):
        return payload[len(_SET_DATA_FRAME) :]
    return None if payload.startswith(_SERVER_ONLY) else payload


def set_data_frame(parts: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Script tag body parts as a publisher sends them."""
    return (_SET_DATA_FRAME, *parts)


def unpack_aggregate(message: Message) -> Iterator[Message]:
    """The messages inside an aggregate (7.1.6): FLV tags with back pointers. Raises ParseError.

    Times of the parts count from the first of them, which has the time of the aggregate.
    """
    payload = message.payload
    position, end, count = 0, len(payload), 0
    offset = 0
    while position < end:
        if position + 11 > end:
            raise ParseError("an aggregate message ends inside a tag header", offset=position)
        size = int.from_bytes(payload[position + 1 : position + 4], "big")
        time = int.from_bytes(payload[position + 4 : position + 7], "big") | payload[position + 7] << 24
        body = position + 11
        if body + size > end:
            raise ParseError("an aggregate message ends inside a tag", offset=position)
        if count == 0:
            offset = message.timestamp - time
        count += 1
        if count > MAX_AGGREGATED:
            raise ParseError(f"an aggregate holds more than {MAX_AGGREGATED} messages")
        kind = payload[position]
        if kind in (AUDIO, VIDEO, DATA):
            yield Message(kind, (time + offset) & 0xFFFFFFFF, message.stream_id, payload[body : body + size])
        # FMS leaves the last back pointer out.
        position = body + size + 4
