"""HTTP/1.1: whatever the bytes and the splits, the parser answers with events, keeps bounds and never raises."""

import random

import pytest

from evotools.errors import ParseError
from evotools.protocols import http1
from evotools.protocols.http1 import BadRequest, Continue, Request, ServerConnection

SEEDS = [
    b"GET /live/a.flv?token=x%20y HTTP/1.1\r\nHost: localhost:8080\r\nRange: bytes=0-\r\nUser-Agent: t\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
    b"PUT /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nabcd\r\n0\r\nT: v\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET http://h HTTP/1.1\r\n",
]
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"%2e", b"%",
    b"HTTP/1.1", b"HTTP/2.0", b"Host: y\r\n", b"\xff", b"9" * 30, b"a" * 9000, b"Connection: close\r\n", b"0\r\n\r\n",
]  # fmt: skip


def mutate(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(out) + 1)
        choice = rng.randrange(5)
        if choice == 0 and at < len(out):
            out[at] = rng.randrange(256)
        elif choice == 1:
            out[at:at] = rng.choice(TOKENS)
        elif choice == 2:
            del out[at : at + rng.randint(1, 20)]
        elif choice == 3:
            del out[at:]
        else:
            out[at:at] = out[: rng.randint(0, len(out))]
    return bytes(out)


def run(seed: int, cases: int) -> None:
    rng = random.Random(seed)
    for _ in range(cases):
        data = mutate(rng, rng.choice(SEEDS))
        connection = ServerConnection(0.0)
        position, failed = 0, 0
        while position < len(data):
            size = rng.choice((1, 3, 50, 1000, 100_000))
            connection.receive(data[position : position + size], 0.0)
            position += size
        assert len(connection.events) <= http1.MAX_PIPELINED + 3
        while (event := connection.next_event()) is not None:
            assert not failed, "events after the end"
            if isinstance(event, BadRequest):
                failed = event.status
                assert 400 <= failed < 600
            elif isinstance(event, Request):
                assert event.path == "*" or event.path.startswith("/")
                assert not set(event.path) & set("\0\r\n\\")
                assert len(event.body) <= http1.MAX_BODY_BYTES
                try:
                    event.fields()
                except ParseError:
                    pass
                try:
                    http1.parse_range(event.headers.get("range", ""), rng.randrange(100))
                except ParseError:
                    pass
            else:
                assert isinstance(event, Continue)
        connection.tick(1e9)
        assert connection.closed


@pytest.mark.parametrize("seed", range(10))
def test_mutations(seed: int) -> None:
    run(seed, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_mutations_long(seed: int) -> None:
    run(seed, 10_000)
