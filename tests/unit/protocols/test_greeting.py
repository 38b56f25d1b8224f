"""What clients speak, by their first bytes."""

import ssl

import pytest

from evotools.errors import ProtocolError
from evotools.protocols.greeting import ForeignProtocol, greeting
from evotools.protocols.rtmp.client import ClientConnection
from evotools.protocols.rtmp.server import ServerConnection


def client_hello() -> bytes:
    out = ssl.MemoryBIO()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


@pytest.mark.parametrize(
    ("data", "spoken"),
    [
        (client_hello(), "TLS"),
        (b"\x16", "TLS"),
        (ClientConnection("rtmp://h/live", "live", "x", "play", 0.0, bytes).data_to_send(), "RTMP"),
        (b"GET /live/cam.flv HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP"),
        (b"POST /op", "HTTP"),
        (b"OPTIONS rtsp://h/cam RTSP/1.0\r\nCSeq: 1\r\n\r\n", "RTSP"),
        (b"OPTIONS * RTSP/1.0\r\n", "RTSP"),
        (b"G", ""),
        (b"\x00", ""),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ""),
        (bytes(range(33, 256)), ""),
    ],
)
def test_greetings(data: bytes, spoken: str) -> None:
    assert greeting(data) == spoken


@pytest.mark.parametrize(("data", "spoken"), [(client_hello(), "TLS"), (b"GET / HTTP/1.1\r\n", "HTTP"), (b"SSH-2", "")])
def test_an_rtmp_server_ends_it_at_the_first_bytes(data: bytes, spoken: str) -> None:
    server = ServerConnection(0.0, bytes)
    with pytest.raises(ForeignProtocol, match="RTMP") as found:
        server.receive(data, 0.0)
    assert found.value.spoken == spoken
    assert isinstance(found.value, ProtocolError)
    assert server.closed
    assert server.data_to_send() == b""
