"""What a client speaks, by the first bytes it sends: for ports that it knocked at by mistake."""

import re

from evotools.errors import ProtocolError

# RFC 9112 3, and the preface of HTTP/2 (RFC 9113 3.4).
_HTTP = re.compile(rb"(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|PRI) [^ \r\n]{1,8192} HTTP/|"
                   rb"(GET|HEAD|POST|PUT|DELETE|PATCH) /")  # fmt: skip
_RTSP = re.compile(rb"[A-Z_]{3,13} (rtsps?://[^ \r\n]{1,8192}|\*) RTSP/", re.IGNORECASE)
_TLS_HANDSHAKE = 22
"""RFC 8446 5.1: the type of a record that holds a ClientHello."""
_RTMP_VERSION = 3


class ForeignProtocol(ProtocolError):
    """The client speaks another protocol than its port. `spoken` is what `greeting` found; may be empty."""

    def __init__(self, spoken: str, wanted: str, *, hint: str = "") -> None:
        heard = f"speaks {spoken}, not {wanted}" if spoken else f"does not speak {wanted}"
        super().__init__(f"the client {heard}", hint=hint)
        self.spoken = spoken


def greeting(data: bytes) -> str:
    """`TLS`, `HTTP`, `RTSP` or `RTMP`; empty for anything else. `data` is what came first, one byte at least."""
    if data[0] == _TLS_HANDSHAKE:
        return "TLS"
    if data[0] == _RTMP_VERSION:
        return "RTMP"
    if _HTTP.match(data):
        return "HTTP"
    return "RTSP" if _RTSP.match(data) else ""
