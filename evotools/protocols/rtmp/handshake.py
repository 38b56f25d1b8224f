"""The RTMP handshake: simple ("Adobe's Real Time Messaging Protocol" 1.0, 5.2) and with digests.

The digest form is in no specification of Adobe's. Flash Player 9.0.115 and later, FMS and several CDN servers demand
it before they carry H.264; peers that do not know it take the digests for random bytes, so that it is always safe
to send.
"""

import hashlib
import hmac
from collections.abc import Callable

from evotools.errors import ProtocolError
from evotools.protocols.greeting import ForeignProtocol, greeting

VERSION = 3
SIZE = 1536
"""Bytes of C1, S1, C2 and S2."""

_TLS = 22

_ADOBE = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
_CLIENT_KEY = b"Genuine Adobe Flash Player 001" + _ADOBE
_SERVER_KEY = b"Genuine Adobe Flash Media Server 001" + _ADOBE
# Digests of C1 and S1 are keyed with the text alone, those of C2 and S2 through the whole key.
_CLIENT_TEXT = _CLIENT_KEY[:30]
_SERVER_TEXT = _SERVER_KEY[:36]
_CLIENT_VERSION = bytes((9, 0, 124, 2))
_SERVER_VERSION = bytes((3, 5, 7, 0))
_DIGEST = 32
_BLOCK = 764
# Scheme 0 has the digest block first, behind time and version; scheme 1 has the key block first.
_DIGEST_BLOCKS = (8, 8 + _BLOCK)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _digest_offset(packet: bytes, scheme: int) -> int:
    block = _DIGEST_BLOCKS[scheme]
    return block + 4 + sum(packet[block : block + 4]) % (_BLOCK - 4 - _DIGEST)


def _sign(packet: bytes, scheme: int, key: bytes) -> bytes:
    offset = _digest_offset(packet, scheme)
    digest = _hmac(key, packet[:offset] + packet[offset + _DIGEST :])
    return packet[:offset] + digest + packet[offset + _DIGEST :]


def find_digest(packet: bytes, key: bytes) -> tuple[int, bytes] | None:
    """The scheme (0 or 1) and the digest of a C1 or S1 signed with `key`, or None when it is not signed."""
    for scheme in (0, 1):
        offset = _digest_offset(packet, scheme)
        digest = packet[offset : offset + _DIGEST]
        if hmac.compare_digest(digest, _hmac(key, packet[:offset] + packet[offset + _DIGEST :])):
            return scheme, digest
    return None


def _answer(peer_digest: bytes, key: bytes, random: bytes) -> bytes:
    """C2 or S2 to a signed packet: random bytes, signed with a key made of the peer's digest."""
    body = random[: SIZE - _DIGEST]
    return body + _hmac(_hmac(key, peer_digest), body)


class ServerHandshake:
    """Takes C0, C1 and C2 in any split; hands back what lies behind them.

    `done` tells that the chunk stream begins. C2 is not compared with S1: librtmp, several cameras and every
    digest peer send something else.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random = random_bytes
        self._buffer = b""
        self._greeted = False
        self.done = False

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """What to send, and the bytes behind the handshake. Raises ProtocolError for what is not RTMP."""
        self._buffer += data
        reply = b""
        if self._buffer and not self._greeted:
            version = self._buffer[0]
            # 5.2.2: other versions are answered with 3, and the client decides; 6 and 8 are encrypted from C2
            # on, what is not below 32 is a text protocol, and 22 is TLS (RFC 8446 5.1).
            if version in (6, 8, 9):
                raise ProtocolError("the client wants encrypted RTMP (RTMPE)", hint="use rtmp:// or rtmps://")
            if version >= 32 or version in (0, _TLS):
                raise ForeignProtocol(greeting(self._buffer), "RTMP")
            if len(self._buffer) >= 1 + SIZE:
                reply = self._greet(self._buffer[1 : 1 + SIZE])
                self._buffer = self._buffer[1 + SIZE :]
                self._greeted = True
        if self._greeted and len(self._buffer) >= SIZE:
            rest, self._buffer = self._buffer[SIZE:], b""
            self.done = True
            return reply, rest
        return reply, b""

    def _greet(self, c1: bytes) -> bytes:
        # A zero version is how a client says that it signs nothing (5.2.3: the field must be zero).
        signed = find_digest(c1, _CLIENT_TEXT) if c1[4:8] != bytes(4) else None
        if signed is None:
            s1 = bytes(8) + self._random(SIZE - 8)
            s2 = c1
        else:
            scheme, digest = signed
            s1 = _sign(bytes(4) + _SERVER_VERSION + self._random(SIZE - 8), scheme, _SERVER_TEXT)
            s2 = _answer(digest, _SERVER_KEY, self._random(SIZE))
        return bytes((VERSION,)) + s1 + s2


class ClientHandshake:
    """Sends C0 and C1 at once (`start`), takes S0, S1 and S2 in any split, answers with C2.

    With `digest` C1 is signed (scheme 0, as Flash Player does); without, the simple form is used.
    """

    def __init__(self, random_bytes: Callable[[int], bytes], digest: bool = True) -> None:
        self._random = random_bytes
        self._digest = digest
        self._buffer = b""
        self._answered = False
        self.done = False

    def start(self) -> bytes:
        """C0 and C1."""
        if self._digest:
            c1 = _sign(bytes(4) + _CLIENT_VERSION + self._random(SIZE - 8), 0, _CLIENT_TEXT)
        else:
            c1 = bytes(8) + self._random(SIZE - 8)
        return bytes((VERSION,)) + c1

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """What to send, and the bytes behind the handshake. Raises ProtocolError for what is not RTMP."""
        self._buffer += data
        reply = b""
        if self._buffer and not self._answered:
            if self._buffer[0] != VERSION:
                raise ProtocolError("the server does not speak RTMP version 3")
            if len(self._buffer) >= 1 + SIZE:
                s1 = self._buffer[1 : 1 + SIZE]
                signed = find_digest(s1, _SERVER_TEXT) if self._digest else None
                reply = s1 if signed is None else _answer(signed[1], _CLIENT_KEY, self._random(SIZE))
                self._buffer = self._buffer[1 + SIZE :]
                self._answered = True
        if self._answered and len(self._buffer) >= SIZE:
            rest, self._buffer = self._buffer[SIZE:], b""
            self.done = True
            return reply, rest
        return reply, b""
