"""The question that every publish and read asks, and its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True)  # Not frozen: that would treble the cost of making one, and every request makes one.
class AccessRequest:
    """Who wants to do what. Secrets stay out of `repr`. Nobody changes one."""

    action: Literal["publish", "read"]
    name: str
    """Of the stream."""
    protocol: str
    """`rtmp`, `http-flv`, `http-ts`, `hls`, `http` (pages) …"""
    peer_ip: str = ""
    """The other end of the socket; not yet what a proxy says about it."""
    local_ip: str = ""
    """This end of the socket."""
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    """Bearer token or the query's `token`."""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Decoded options of the URL."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """HTTP only; names in lower case."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Yes, or no with a reason that may be shown to the peer."""

    allowed: bool
    reason: str = ""
    challenge: bool = False
    """Refused for want of credentials: asking for them makes sense (HTTP 401 instead of 403)."""


ALLOWED = Decision(True)
