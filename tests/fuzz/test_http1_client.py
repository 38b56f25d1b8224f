"""HTTP/1.1 answers: whatever the bytes and the splits, the client's parser keeps bounds and raises two errors only."""

import random

import pytest

from evotools.errors import ParseError, PeerGone, ProtocolError
from evotools.protocols import http1_client
from evotools.protocols.http1_client import Address, ClientConnection, End, Head, redirected
from tests.fuzz.test_http1 import mutate

SEEDS = [
    b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nContent-Length: 9\r\nETag: \"x\"\r\n\r\nFLV\1\5\0\0\0\11",
    b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-4/5\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;a=b\r\nhello\r\n0\r\nT: v\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 302 Found\r\nLocation: https://u@h:81/../x?y#z\r\n\r\n",
    b"ICY 200 OK\r\nicy-name: radio\r\n\r\n\xff\xfb\x90\x00audio",
    b"HTTP/1.1 503 Busy\nRetry-After: Thu, 01 Jan 1970 00:02:00 GMT\n"
    b"WWW-Authenticate: Basic realm=\"x\", Digest y=z\n\nno",
]  # fmt: skip


def run(seed: int, cases: int) -> None:
    rng = random.Random(seed)
    answers = 0
    for _ in range(cases):
        data = mutate(rng, rng.choice(SEEDS))
        connection = ClientConnection()
        position, error = 0, False
        try:
            while position < len(data):
                size = rng.choice((1, 3, 50, 1000, 100_000))
                connection.receive(data[position : position + size])
                position += size
            connection.receive_eof()
        except (ProtocolError, PeerGone):
            error = True
        events = list(connection.events)
        heads = [e for e in events if isinstance(e, Head)]
        assert len(heads) <= 1
        body = sum(len(e) for e in events if isinstance(e, bytes))
        assert body == connection.got <= len(data)
        whole = bool(events) and isinstance(events[-1], End)
        assert whole or error
        assert sum(isinstance(e, End) for e in events) == whole
        for head in heads:
            answers += 1
            assert 200 <= head.status < 1000
            assert len(head.fields) <= http1_client.MAX_FIELDS
            if head.length is not None and whole and head.status not in (204, 205, 304):
                assert body == head.length
            http1_client.challenges(head.fields.get("www-authenticate", ""))
            http1_client.content_range(head.fields.get("content-range", ""))
            wait = http1_client.retry_after(head.fields.get("retry-after", ""), 0.0)
            assert wait is None or 0 <= wait <= http1_client.MAX_RETRY_S
            try:
                address = redirected(Address(True, "h", 443, "/a"), head.fields.get("location", ""))
            except ParseError:
                continue
            assert address.target.startswith("/")
            assert address.target.isascii()
            assert not set(address.target + address.host_field) & set("\r\n \0")
    assert answers > cases // 10


@pytest.mark.parametrize("seed", range(4))
def test_the_client_survives_mutations(seed: int) -> None:
    run(seed, 2_500)
