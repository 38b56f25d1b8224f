"""The handshake: both forms, any split, strict digests, and peers that speak something else."""

import hashlib
import hmac
from collections.abc import Callable

import pytest

from evotools.errors import ProtocolError
from evotools.protocols.rtmp import handshake
from evotools.protocols.rtmp.handshake import SIZE, ClientHandshake, ServerHandshake

TEXT = b"Genuine Adobe Flash Player 001"


def counting(start: int) -> Callable[[int], bytes]:
    """Bytes that differ from call to call, for digests at different offsets."""
    state = [start]

    def take(size: int) -> bytes:
        state[0] += 1
        return bytes((i * 7 + state[0] * 31) & 0xFF for i in range(size))

    return take


@pytest.mark.parametrize("digest", [True, False])
@pytest.mark.parametrize("step", [1, 7, 1536, 10000])
def test_both_ends_agree_in_any_split(digest: bool, step: int) -> None:
    for seed in range(5):
        server, client = ServerHandshake(counting(seed)), ClientHandshake(counting(seed + 50), digest)
        to_server = client.start()
        assert len(to_server) == 1 + SIZE
        to_client = b"".join(server.receive(to_server[i : i + step])[0] for i in range(0, len(to_server), step))
        assert len(to_client) == 1 + 2 * SIZE
        tail = b"chunks of the server"
        out = [client.receive((to_client + tail)[i : i + step]) for i in range(0, len(to_client), step)]
        assert client.done
        c2 = b"".join(reply for reply, _ in out)
        assert len(c2) == SIZE
        if not digest:
            assert to_client[1 + SIZE :] == to_server[1:], "S2 must be C1"
            assert c2 == to_client[1 : 1 + SIZE], "C2 must be S1"
        assert server.receive(c2 + b"rest") == (b"", b"rest")
        assert server.done


def test_bytes_behind_the_handshake_come_out_when_all_comes_at_once() -> None:
    server, client = ServerHandshake(counting(1)), ClientHandshake(counting(2))
    reply, rest = server.receive(client.start() + bytes(SIZE) + b"connect")
    assert len(reply) == 1 + 2 * SIZE
    assert rest == b"connect"


@pytest.mark.parametrize("scheme", [0, 1])
def test_a_strict_flash_client_accepts_the_answer(scheme: int) -> None:
    """The client's checks, written here a second time from the description of the algorithm."""
    c1 = bytearray(4) + bytes((10, 0, 45, 2)) + bytes((i * 13) & 0xFF for i in range(SIZE - 8))
    block = (8, 772)[scheme]
    offset = block + 4 + sum(c1[block : block + 4]) % 728
    digest = hmac.new(TEXT, bytes(c1[:offset] + c1[offset + 32 :]), hashlib.sha256).digest()
    c1[offset : offset + 32] = digest
    reply, _ = ServerHandshake(counting(3)).receive(b"\x03" + bytes(c1))
    s1, s2 = reply[1 : 1 + SIZE], reply[1 + SIZE :]
    adobe = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
    text = b"Genuine Adobe Flash Media Server 001"
    offset = block + 4 + sum(s1[block : block + 4]) % 728
    assert s1[offset : offset + 32] == hmac.new(text, s1[:offset] + s1[offset + 32 :], hashlib.sha256).digest()
    key = hmac.new(text + adobe, digest, hashlib.sha256).digest()
    assert s2[-32:] == hmac.new(key, s2[:-32], hashlib.sha256).digest()


def test_the_client_signs_its_answer_for_a_server_that_signs() -> None:
    server, client = ServerHandshake(counting(9)), ClientHandshake(counting(8))
    greeting, _ = server.receive(client.start())
    c2, _ = client.receive(greeting)
    found = handshake.find_digest(greeting[1 : 1 + SIZE], b"Genuine Adobe Flash Media Server 001")
    assert found is not None
    adobe = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
    key = hmac.new(TEXT + adobe, found[1], hashlib.sha256).digest()
    assert c2[-32:] == hmac.new(key, c2[:-32], hashlib.sha256).digest()


def test_an_unsigned_c1_with_a_version_gets_the_simple_answer() -> None:
    c1 = bytes(4) + bytes((9, 0, 124, 2)) + bytes(SIZE - 8)
    reply, _ = ServerHandshake(counting(1)).receive(b"\x03" + c1)
    assert reply[1 + SIZE :] == c1
    assert reply[5:9] == bytes(4)


@pytest.mark.parametrize("first", [b"\x06", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01" * 0 + b"\x80", b"\x00"])
def test_what_is_not_rtmp_is_refused_at_its_first_byte(first: bytes) -> None:
    with pytest.raises(ProtocolError):
        ServerHandshake(counting(1)).receive(first)


def test_other_versions_are_answered_with_three() -> None:
    reply, _ = ServerHandshake(counting(1)).receive(b"\x04" + bytes(SIZE))
    assert reply[0] == 3


def test_a_server_that_is_not_rtmp_is_refused() -> None:
    client = ClientHandshake(counting(1))
    with pytest.raises(ProtocolError):
        client.receive(b"HTTP/1.1 400 Bad Request")
