"""Messages above the chunk stream."""

import struct

import pytest

from evotools.containers.flv import amf0
from evotools.errors import ParseError
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp.chunk import Message


def test_commands_there_and_back() -> None:
    built = m.build_command("publish", 5, None, "cam", "live", stream_id=1)
    command = m.parse_command(built)
    assert (command.name, command.transaction, command.object, command.arguments, command.stream_id) == (
        "publish", 5.0, None, ("cam", "live"), 1,
    )  # fmt: skip
    assert command.argument(0, str, "") == "cam"
    assert command.argument(0, float, 7.0) == 7.0
    assert command.argument(9, str, "no") == "no"


def test_commands_of_type_17_have_a_format_byte() -> None:
    payload = amf0.encode("connect", 1, {"app": "live"})
    assert m.parse_command(Message(m.COMMAND_AMF3, 0, 0, b"\x00" + payload)).object == {"app": "live"}
    assert m.parse_command(Message(m.COMMAND_AMF3, 0, 0, payload)).name == "connect"


@pytest.mark.parametrize("payload", [b"", amf0.encode(1.0), amf0.encode(None, "x"), b"\x02\x00\x09conn"])
def test_broken_commands(payload: bytes) -> None:
    with pytest.raises(ParseError):
        m.parse_command(Message(m.COMMAND, 0, 0, payload))


def test_a_command_is_capped() -> None:
    with pytest.raises(ParseError, match="longer"):
        m.parse_command(Message(m.COMMAND, 0, 0, bytes(m.MAX_COMMAND + 1)))


def test_a_command_hides_its_arguments() -> None:
    assert "s3cret" not in repr(m.parse_command(m.build_command("publish", 5, None, "s3cret")))


def test_control_messages_to_the_byte() -> None:
    assert m.build_acknowledgement(2**32 + 5).payload == b"\x00\x00\x00\x05"
    assert m.build_window_ack_size(2500000).payload.hex() == "002625a0"
    assert m.build_set_peer_bandwidth(2500000).payload.hex() == "002625a002"
    assert m.build_user_control(m.SET_BUFFER_LENGTH, 1, 3000).payload.hex() == "00030000000100000bb8"
    assert m.parse_user_control(m.build_user_control(m.PING_REQUEST, 77)) == (m.PING_REQUEST, [77])
    assert m.parse_u32(m.build_window_ack_size(9)) == 9


def test_short_control_messages() -> None:
    with pytest.raises(ParseError):
        m.parse_u32(Message(3, 0, 0, b"\x00\x00\x00"))
    with pytest.raises(ParseError):
        m.parse_user_control(Message(4, 0, 0, b"\x00"))
    assert m.parse_user_control(Message(4, 0, 0, b"\x00\x06\x00\x00")) == (6, [])


def test_script_bodies_lose_their_wrapper() -> None:
    meta = amf0.encode("onMetaData", amf0.EcmaArray(width=1280))
    assert m.script_body(Message(m.DATA, 0, 1, amf0.encode("@setDataFrame") + meta)) == meta
    assert m.script_body(Message(m.DATA, 0, 1, meta)) == meta
    assert m.script_body(Message(m.DATA_AMF3, 0, 1, b"\x00" + meta)) == meta
    assert m.script_body(Message(m.DATA, 0, 1, amf0.encode("|RtmpSampleAccess", True, True))) is None
    assert b"".join(m.set_data_frame((meta,))) == amf0.encode("@setDataFrame") + meta


def tag(kind: int, time: int, body: bytes) -> bytes:
    head = struct.pack(">I", kind << 24 | len(body)) + (time & 0xFFFFFF).to_bytes(3, "big")
    return head + bytes((time >> 24 & 0xFF, 0, 0, 0)) + body + struct.pack(">I", 11 + len(body))


def test_aggregates_are_taken_apart_on_the_clock_of_the_whole() -> None:
    payload = tag(8, 0x1000000, b"a") + tag(9, 0x1000014, b"v")
    for data in (payload, payload[:-4]):
        parts = list(m.unpack_aggregate(Message(m.AGGREGATE, 5000, 1, data)))
        assert [(p.type, p.timestamp, p.stream_id, p.payload) for p in parts] == [
            (8, 5000, 1, b"a"),
            (9, 5020, 1, b"v"),
        ]


def test_aggregates_do_not_nest_and_are_capped() -> None:
    inner = tag(m.AGGREGATE, 0, tag(8, 0, b"a")) + tag(m.COMMAND, 0, b"x") + tag(8, 0, b"b")
    assert [p.payload for p in m.unpack_aggregate(Message(m.AGGREGATE, 0, 1, inner))] == [b"b"]
    with pytest.raises(ParseError, match="more than"):
        list(m.unpack_aggregate(Message(m.AGGREGATE, 0, 1, tag(8, 0, b"") * (m.MAX_AGGREGATED + 1))))


@pytest.mark.parametrize("size", [1, 10, 11, 12])
def test_truncated_aggregates(size: int) -> None:
    with pytest.raises(ParseError):
        list(m.unpack_aggregate(Message(m.AGGREGATE, 0, 1, tag(8, 0, b"abc")[:size])))
