"""Who may publish and who may read. Every publish and every read of every protocol passes `check`.

Playback is open. Publishing is open from this machine only, until `--allow-publish` or [access] says more, or a user
or the key of a stream does. A stream with a key is open to those who know it and to users with the right to it, and
an address alone does not do, save this machine's where it is trusted.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from types import MappingProxyType

from evotools.errors import UsageError
from evotools.server.access_keys import Credentials, digest, same
from evotools.server.access_types import ALLOWED, AccessRequest, Decision
from evotools.server.config import AccessConfig, StreamConfig, UserConfig

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


def _of_a_page(headers: Mapping[str, str]) -> bool:
    """Whether a page of another site speaks through the browser: it is on this machine, its author is not."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    return origin.partition("://")[2].lower() != headers.get("host", "").lower()


def credential_of(request: AccessRequest) -> str:
    """What tells apart publishers behind one address: a digest of what they gave; empty when that is nothing."""
    given = (request.user, request.password, request.token, request.query.get("key", ""))
    return digest("\0".join(given)).hex() if any(given) else ""


class Access:
    """The rules of one configuration."""

    def __init__(
        self,
        config: AccessConfig,
        users: Mapping[str, UserConfig] = MappingProxyType({}),
        streams: Mapping[str, StreamConfig] = MappingProxyType({}),
    ) -> None:
        """Raises UsageError for ranges that are none, and for secrets that cannot be read."""
        self._credentials = Credentials(users, streams)
        self._publish = parse_networks(config.allow_publish, "access.allow_publish")
        self._read = parse_networks(config.allow_read, "access.allow_read")
        self._proxies = parse_networks(config.trusted_proxies, "access.trusted_proxies")
        self._trust_loopback = config.trust_loopback and not self._proxies

    def replace(self, other: "Access") -> None:
        """Take over the rules of a changed configuration; connections that exist stay."""
        self._publish, self._read, self._proxies = other._publish, other._read, other._proxies
        self._trust_loopback = other._trust_loopback
        self._credentials = other._credentials

    def check(self, request: AccessRequest) -> Decision:
        """Decide at once."""
        action, name = request.action, request.name
        client = self.client(request)
        credentials = self._credentials
        key = credentials.key(action, name)
        if (key is None and _inside(client, self._publish if action == "publish" else self._read)) or (
            self._local(request) and not (action == "publish" and _of_a_page(request.headers))
        ):
            return ALLOWED
        tokens = {request.token, request.query.get("key", ""), request.query.get("token", "")} - {""}
        if key is not None and any(same(token, key) for token in tokens):
            return ALLOWED
        if request.user and credentials.knows(request.user, request.password, action, name):
            return ALLOWED
        challenge = bool(credentials.users)
        if tokens or request.user:
            # One answer to unknown users, wrong passwords, wrong keys and missing rights: it tells nobody which.
            return Decision(False, f"these credentials do not allow to {action} '{name}'", challenge)
        verb = "publishing" if action == "publish" else "reading"
        if key is not None:
            return Decision(False, f"{verb} '{name}' needs its key", challenge)
        advice = "; the operator may allow it with --allow-publish CIDR" if action == "publish" else ""
        return Decision(False, f"{verb} from {client or 'there'} is not allowed{advice}", challenge)

    def wants_user(self, request: AccessRequest) -> bool:
        """Whether whoever publishes from there, to whatever name, must be asked for user and password first."""
        credentials = self._credentials
        if not any(user.publish for user in credentials.users.values()):
            return False
        return not self._local(request) and not _inside(self.client(request), self._publish)

    def password_of(self, user: str) -> str:
        """For authentication by challenge: a user's password, or one that nobody knows."""
        return self._credentials.password_of(user)

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
