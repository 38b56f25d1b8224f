"""Who may publish and who may read. Every publish and every read of every protocol passes `check`.

Playback is open. Publishing is open from this machine only, until `--allow-publish` or [access] says more.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from evotools.errors import UsageError
from evotools.server.access_types import ALLOWED, AccessRequest, Decision
from evotools.server.config import AccessConfig

Network = IPv4Network | IPv6Network

_FORWARDING = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""RFC 7239 and its customs: a request that carries one came through a proxy, so its peer is not the client."""
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
ADDRESSES = 8192
"""Answers remembered: a viewer asks for playlists from one address all day, and parsing it anew costs 10 µs."""
MAX_FORWARDED = 32
"""Addresses read from a forwarding header; longer chains are made up."""


def parse_networks(texts: Sequence[str], where: str) -> tuple[Network, ...]:
    """CIDR ranges; a plain address is a range of one. Raises UsageError."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ip_network(text.strip(), strict=False))
        except ValueError:
            raise UsageError(f"{where}: '{text}' is not an address range", hint="use CIDR such as 10.0.0.0/8") from None
    return tuple(found)


@lru_cache(ADDRESSES)
def _inside(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip.version == network.version and ip in network for network in networks)


@lru_cache(ADDRESSES)
def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def host_of(headers: Mapping[str, str]) -> str:
    """The host part of a Host header, lower case, without its port."""
    host = headers.get("host", "").lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


class Access:
    """The rules of one configuration."""

    def __init__(self, config: AccessConfig) -> None:
        """Raises UsageError for ranges that are none."""
        self._publish = parse_networks(config.allow_publish, "access.allow_publish")
        self._read = parse_networks(config.allow_read, "access.allow_read")
        self._proxies = parse_networks(config.trusted_proxies, "access.trusted_proxies")
        self._trust_loopback = config.trust_loopback and not self._proxies

    def replace(self, other: "Access") -> None:
        """Take over the rules of a changed configuration; connections that exist stay."""
        self._publish, self._read, self._proxies = other._publish, other._read, other._proxies
        self._trust_loopback = other._trust_loopback

    def check(self, request: AccessRequest) -> Decision:
        """Decide at once."""
        client = self.client(request)
        if request.action == "publish":
            if self._local(request) or _inside(client, self._publish):
                return ALLOWED
            return Decision(
                False, f"publishing from {client or 'there'} is not allowed; the operator may allow it with "
                "--allow-publish CIDR",
            )  # fmt: skip
        if _inside(client, self._read) or self._local(request):
            return ALLOWED
        return Decision(False, f"reading from {client or 'there'} is not allowed")

    def client(self, request: AccessRequest) -> str:
        """The client's address: the socket's peer, or what trusted proxies say about it.

        Read from the right: everything a trusted proxy did not write itself may be made up.
        """
        peer = request.peer_ip
        if not self._proxies or not _inside(peer, self._proxies):
            return peer
        chain = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",")][-MAX_FORWARDED:]
        for address in reversed(chain):
            if address and not _inside(address, self._proxies):
                return address
        return peer

    def _local(self, request: AccessRequest) -> bool:
        """A program on this machine, and no proxy on this machine that speaks for others."""
        if not self._trust_loopback or not _is_loopback(request.peer_ip) or not _is_loopback(request.local_ip):
            return False
        if any(name in request.headers for name in _FORWARDING):
            return False
        return "host" not in request.headers or host_of(request.headers) in _LOCAL_HOSTS
