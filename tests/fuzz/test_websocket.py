"""WebSocket: whatever the bytes and the splits, messages or one error; memory stays within the caps."""

import json
import random

import pytest

from evotools.errors import ParseError
from evotools.protocols.mediasocket import COMMANDS, parse_command
from evotools.protocols.websocket import (
    MAX_MESSAGE_BYTES,
    HandshakeError,
    WebSocketConnection,
    WebSocketError,
    answer_handshake,
    frame_header,
)

HEADERS = {
    "upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-protocol": "mp4",
}  # fmt: skip


def frames(rng: random.Random) -> bytes:
    """Frames of a client, most of them in order."""
    out = bytearray()
    for _ in range(rng.randint(1, 8)):
        opcode = rng.choice((0, 1, 1, 2, 8, 9, 10, rng.randrange(16)))
        size = rng.choice((0, 1, 5, 125, 126, 300, 5000))
        payload = rng.randbytes(size) if rng.random() < 0.5 else b"\xc3\xa9" * (size // 2)
        head = bytearray(frame_header(len(payload), opcode, final=rng.random() < 0.8))
        if rng.random() < 0.1:
            head[0] |= 1 << rng.randrange(4, 7)
        if rng.random() < 0.95:
            head[1] |= 0x80
            payload = rng.randbytes(4) + payload
        out += head + payload
    for _ in range(rng.choice((0, 0, 1, 3))):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def one(data: bytes, cuts: list[int]) -> tuple[list[object], int, bytes]:
    connection = WebSocketConnection()
    seen: list[object] = []
    code = 0
    at = 0
    for cut in [*cuts, len(data)]:
        try:
            connection.receive(data[at:cut])
        except WebSocketError as error:
            assert not code
            code = error.close_code
        at = cut
        seen += iter(connection.next_event, None)
        assert len(connection._buffer) + len(connection._parts) <= 2 * MAX_MESSAGE_BYTES + 14
    return seen, code, connection.data_to_send()


def run(seed: int, cases: int) -> None:
    rng = random.Random(seed)
    for _ in range(cases):
        data = frames(rng)
        whole = one(data, [])
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randint(0, 20)))
        assert one(data, cuts)[:2] == whole[:2], (seed, data)
        # An error was said, with its code.
        assert not whole[1] or whole[1].to_bytes(2, "big") in whole[2]


def commands(seed: int, cases: int) -> None:
    rng = random.Random(seed)
    values = [None, True, 1, -1.5, 1e308, 10**400, "live", "", [], {}, "x" * 5000, float("nan"), float("inf")]
    names = ["seek_time", "unix_time", "play_rate", "video", "audio", "ff_to", "type"]
    for _ in range(cases):
        value = {name: rng.choice(values) for name in rng.sample(names, rng.randint(0, 4))}
        value["type"] = rng.choice([*COMMANDS, *values])
        text = json.dumps(value)
        if rng.random() < 0.3:
            at = rng.randrange(len(text))
            text = text[:at] + chr(rng.randrange(0x3000)) + text[at + 1 :]
        try:
            command = parse_command(text)
        except ParseError:
            continue
        for name in names:
            for read in (command.number, command.text):
                try:
                    read(name)
                except ParseError:
                    pass


def handshakes(seed: int, cases: int) -> None:
    rng = random.Random(seed)
    for _ in range(cases):
        headers = dict(HEADERS)
        for _ in range(rng.randint(1, 3)):
            name = rng.choice(list(HEADERS))
            text = headers.get(name, "")
            headers[name] = rng.choice((
                "", text + chr(rng.randrange(33, 256)), text[:-1], ",".join([text] * 50), "=" * 24, text.upper(),
            ))  # fmt: skip
        try:
            answer_handshake("GET", 1, headers, ("mp4",))
        except HandshakeError as error:
            assert error.status in (400, 426)


@pytest.mark.parametrize("seed", range(4))
def test_frames(seed: int) -> None:
    run(seed, 300)


def test_commands() -> None:
    commands(1, 2000)


def test_handshakes() -> None:
    handshakes(1, 2000)


@pytest.mark.parametrize("text", ["[" * 5000, "{" * 100, '"' + "\\u" * 10, "1" * 10000, '{"type":' * 2000])
def test_json_that_hurts(text: str) -> None:
    with pytest.raises(ParseError):
        parse_command(text)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_frames_for_longer(seed: int) -> None:
    run(seed, 5000)
    commands(seed, 20000)
    handshakes(seed, 20000)
