"""WebSocket: the examples of RFC 6455, its rules one by one, and both ends joined in memory."""

import base64
import collections
import itertools
import json

import pytest

from evotools.protocols import websocket
from evotools.protocols.websocket import (
    BINARY,
    TEXT,
    Binary,
    Closed,
    HandshakeError,
    Pong,
    Text,
    WebSocketConnection,
    WebSocketError,
    answer_handshake,
    close_frame,
    frame_header,
    message,
    offered,
    text_message,
)

MASK = bytes.fromhex("37fa213d")
HEADERS = {
    "host": "server.example.com",
    "upgrade": "websocket",
    "connection": "keep-alive, Upgrade",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
    "origin": "http://example.com",
}


def client() -> WebSocketConnection:
    return WebSocketConnection(new_mask=lambda: MASK)


def events(connection: WebSocketConnection) -> list[websocket.Event]:
    return list(iter(connection.next_event, None))


def masked(first: int, payload: bytes, *, length: bytes | None = None) -> bytes:
    """A frame of a client, with the length field as given."""
    size = len(payload)
    field = length if length is not None else frame_header(size)[1:]
    body = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))
    return bytes((first, field[0] | 0x80)) + field[1:] + MASK + body


# The opening handshake.


def test_the_answer_of_the_specification() -> None:
    # RFC 6455 1.3
    fields = dict(answer_handshake("GET", 1, HEADERS | {"sec-websocket-protocol": "chat, mp4"}, ("evotools", "mp4")))
    assert fields == {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Sec-WebSocket-Protocol": "mp4",
    }


def test_no_subprotocol_or_extension_is_named_that_is_not_known() -> None:
    extra = {"sec-websocket-protocol": "chat", "sec-websocket-extensions": "permessage-deflate"}
    names = [name for name, _ in answer_handshake("GET", 1, HEADERS | extra, ("mp4",))]
    assert names == ["Upgrade", "Connection", "Sec-WebSocket-Accept"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"upgrade": "h2c"}, 400),
        ({"upgrade": ""}, 400),
        ({"connection": "keep-alive"}, 400),
        ({"sec-websocket-version": "8"}, 426),
        ({"sec-websocket-version": ""}, 426),
        ({"sec-websocket-key": ""}, 400),
        ({"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ"}, 400),
        ({"sec-websocket-key": base64.b64encode(bytes(15)).decode()}, 400),
        ({"sec-websocket-key": "ü" * 24}, 400),
    ],
)
def test_a_handshake_that_lacks_something_is_refused(change: dict[str, str], status: int) -> None:
    with pytest.raises(HandshakeError) as caught:
        answer_handshake("GET", 1, HEADERS | change)
    assert caught.value.status == status
    # 4.4: the versions that would do.
    assert (b"Sec-WebSocket-Version: 13" in caught.value.fields) == (status == 426)


@pytest.mark.parametrize(("method", "minor"), [("POST", 1), ("GET", 0), ("HEAD", 1)])
def test_only_get_and_http_1_1_begin_a_websocket(method: str, minor: int) -> None:
    with pytest.raises(HandshakeError):
        answer_handshake(method, minor, HEADERS)


def test_what_asks_for_a_websocket() -> None:
    assert offered(HEADERS)
    assert offered({"upgrade": "h2c, WebSocket"})
    assert not offered({"upgrade": "websockets"})
    assert not offered({})


# Frames out.


def test_frames_of_the_specification() -> None:
    # RFC 6455 5.7
    assert text_message("Hello") == bytes.fromhex("810548656c6c6f")
    assert message(bytes(256)) == bytes.fromhex("827e0100") + bytes(256)
    assert message(bytes(65536)) == bytes.fromhex("827f0000000000010000") + bytes(65536)
    sent = client()
    sent.send("Hello")
    assert sent.data_to_send() == bytes.fromhex("818537fa213d7f9f4d5158")
    assert sent.data_to_send() == b""


@pytest.mark.parametrize(("size", "head"), [(0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_lengths_are_in_their_shortest_form(size: int, head: int) -> None:
    assert len(frame_header(size)) == head


def test_a_reason_is_cut_between_characters() -> None:
    frame = close_frame(1008, "ä" * 100)
    assert len(frame) <= 2 + 125
    server = client()
    server.receive(frame)
    assert events(server) == [Closed(1008, "ä" * 61)]


# Frames in.


def test_the_masked_frame_of_the_specification() -> None:
    server = WebSocketConnection()
    server.receive(bytes.fromhex("818537fa213d7f9f4d5158"))
    assert events(server) == [Text("Hello")]


def test_the_unmasked_fragments_of_the_specification() -> None:
    peer = client()
    peer.receive(bytes.fromhex("010348656c") + bytes.fromhex("80026c6f"))
    assert events(peer) == [Text("Hello")]


def test_control_frames_come_between_fragments() -> None:
    server = WebSocketConnection()
    server.receive(masked(0x01, b"a") + masked(0x89, b"ping") + masked(0x00, b"b") + masked(0x8A, b"x"))
    assert events(server) == [Pong(b"x")]
    assert server.data_to_send() == b"\x8a\x04ping"
    server.receive(masked(0x80, b"c"))
    assert events(server) == [Text("abc")]


def test_only_the_newest_ping_is_answered() -> None:
    server = WebSocketConnection()
    server.receive(b"".join(masked(0x89, b"%d" % n) for n in range(1000)))
    assert server.data_to_send() == b"\x8a\x03999"


def test_any_split_gives_the_same_messages() -> None:
    data = (
        masked(0x81, "grüße".encode()) + masked(0x02, bytes(range(200))) + masked(0x80, bytes(300))
        + masked(0x89, b"") + masked(0x88, b"\x03\xe8bye")
    )  # fmt: skip
    expected = [Text("grüße"), Binary(bytes(range(200)) + bytes(300)), Closed(1000, "bye")]
    for step in (1, 2, 3, 7, 50, len(data)):
        server = WebSocketConnection()
        for at in range(0, len(data), step):
            server.receive(data[at : at + step])
        assert events(server) == expected
        assert server.data_to_send().endswith(b"\x88\x02\x03\xe8")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x05Hello", 1002),
        (masked(0xC1, b"x"), 1002),
        (masked(0xA1, b"x"), 1002),
        (masked(0x91, b"x"), 1002),
        (masked(0x83, b"x"), 1002),
        (masked(0x8B, b"x"), 1002),
        (masked(0x09, b"x"), 1002),
        (masked(0x89, bytes(126)), 1002),
        (masked(0x80, b"x"), 1002),
        (masked(0x01, b"x") + masked(0x81, b"y"), 1002),
        (masked(0x82, bytes(125), length=b"\x7e\x00\x7d"), 1002),
        (masked(0x82, bytes(200), length=b"\x7f" + (200).to_bytes(8, "big")), 1002),
        (masked(0x82, b"", length=b"\x7f\x80" + bytes(7)), 1002),
        (masked(0x82, b"", length=b"\x7f" + (1 << 40).to_bytes(8, "big")), 1009),
        (masked(0x82, b"", length=b"\x7e" + (16385).to_bytes(2, "big")), 1009),
        (masked(0x02, bytes(10000)) + masked(0x00, bytes(6000)) + masked(0x80, bytes(385)), 1009),
        (masked(0x81, b"\xc3"), 1007),
        (masked(0x01, b"\xff"), 1007),
        (masked(0x81, b"\xed\xa0\x80"), 1007),
        (masked(0x88, b"\x03"), 1002),
        (masked(0x88, b"\x03\xed"), 1002),
        (masked(0x88, b"\x03\xee"), 1002),
        (masked(0x88, b"\x03\xe7"), 1002),
        (masked(0x88, b"\x07\xd0"), 1002),
        (masked(0x88, b"\x03\xe8\xff"), 1007),
    ],
)
def test_a_broken_rule_ends_the_connection_with_its_code(data: bytes, code: int) -> None:
    for step in (1, len(data)):
        server = WebSocketConnection()
        pieces = [data[at : at + step] for at in range(0, len(data), step)]
        with pytest.raises(WebSocketError) as caught:
            collections.deque(map(server.receive, pieces), maxlen=0)
        assert caught.value.close_code == code
        assert server.data_to_send()[2:4] == code.to_bytes(2, "big")
        # Whatever else it says is not read.
        server.receive(masked(0x81, b"more"))
        assert events(server) == []
        server.send("nothing")
        assert server.data_to_send() == b""


def test_a_character_may_lie_in_two_fragments() -> None:
    server = WebSocketConnection()
    server.receive(masked(0x01, b"\xe2\x82") + masked(0x80, b"\xac"))
    assert events(server) == [Text("€")]


def test_a_message_of_the_greatest_size_is_taken() -> None:
    server = WebSocketConnection()
    server.receive(masked(0x82, bytes(websocket.MAX_MESSAGE_BYTES)))
    assert events(server) == [Binary(bytes(websocket.MAX_MESSAGE_BYTES))]


def test_a_client_takes_no_masked_frame() -> None:
    with pytest.raises(WebSocketError):
        client().receive(masked(0x81, b"x"))


@pytest.mark.parametrize(("opcode", "message"), [(0x02, Binary(b"x")), (0x01, Text("x"))])
def test_empty_fragments_without_end_cost_nothing(opcode: int, message: Binary | Text) -> None:
    server = WebSocketConnection()
    server.receive(masked(opcode, b""))
    for _ in range(1000):
        server.receive(masked(0x00, b""))
    assert not server._text
    assert server.frames == 1001
    server.receive(masked(0x80, b"x"))
    assert events(server) == [message]


def test_frames_at_once_may_be_bounded() -> None:
    server = WebSocketConnection(max_frames=3)
    for _ in range(5):
        server.receive(masked(0x81, b"x") * 3)
    assert events(server) == [Text("x")] * 15
    with pytest.raises(WebSocketError) as caught:
        server.receive(masked(0x89, b"") * 4)
    assert caught.value.close_code == 1008
    assert server.frames == 18


# Closing.


def test_closing_is_answered_once_with_the_same_code() -> None:
    server = WebSocketConnection()
    server.receive(masked(0x88, b"\x0f\xa0"))
    assert events(server) == [Closed(4000, "")]
    assert server.data_to_send() == b"\x88\x02\x0f\xa0"
    server.close(1001)
    assert server.data_to_send() == b""


def test_an_empty_close_is_answered_with_an_empty_one() -> None:
    server = WebSocketConnection()
    server.receive(masked(0x88, b""))
    assert events(server) == [Closed(websocket.NO_STATUS, "")]
    assert server.data_to_send() == b"\x88\x00"


def test_who_closed_first_answers_nothing_more() -> None:
    server = WebSocketConnection()
    server.close(1001, "bye")
    assert server.data_to_send() == b"\x88\x05\x03\xe9bye"
    server.receive(masked(0x89, b"still there?") + masked(0x88, b"\x03\xe9"))
    assert events(server) == [Closed(1001, "")]
    assert server.data_to_send() == b""


def test_the_end_of_the_connection_forgets_what_was_half_there() -> None:
    server = WebSocketConnection()
    server.receive(masked(0x81, b"abc")[:-1])
    server.receive_eof()
    server.receive(masked(0x81, b"abc")[-1:])
    assert events(server) == []


def test_two_ends_understand_each_other() -> None:
    masks = itertools.cycle([MASK, bytes(4), b"\xff" * 4])
    here, there = WebSocketConnection(new_mask=lambda: next(masks), max_message=1 << 20), WebSocketConnection()
    said = ["", "Grüße", json.dumps({"type": "seek", "seek_time": 12}), b"", bytes(125), bytes(126), bytes(16000)]
    for item in said:
        here.send(item)
    here.ping(b"p")
    there.receive(here.data_to_send())
    assert [event[0] for event in events(there)] == said
    for item in [*said, bytes(70000)]:
        there.send(item)
    here.receive(there.data_to_send())
    heard = events(here)
    assert heard.pop() == Pong(b"p")
    assert heard.pop() == Binary(bytes(70000))
    assert [event[0] for event in heard] == said
    here.close(1000, "done")
    there.receive(here.data_to_send())
    assert events(there) == [Closed(1000, "done")]
    here.receive(there.data_to_send())
    assert events(here)[-1] == Closed(1000, "")
    assert here.close_sent and here.close_received and there.close_sent and there.close_received


def test_opcodes_of_messages() -> None:
    assert message(b"", TEXT)[0] == 0x81
    assert message(b"", BINARY)[0] == 0x82
    assert frame_header(1, BINARY, final=False)[0] == 0x02
