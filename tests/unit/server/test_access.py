"""Who may publish and read."""

from typing import Any

import pytest

from evotools.errors import UsageError
from evotools.server.access import Access
from evotools.server.access_types import AccessRequest
from evotools.server.config import AccessConfig


def ask(
    access: Access, action: str = "publish", peer: str = "127.0.0.1", local: str = "127.0.0.1", **more: Any
) -> bool:
    request = AccessRequest(
        action="publish" if action == "publish" else "read",
        name="live/x",
        protocol="rtmp",
        peer_ip=peer,
        local_ip=local,
        **more,
    )
    return access.check(request).allowed


def test_by_default_this_machine_publishes_and_everybody_reads() -> None:
    access = Access(AccessConfig())
    assert ask(access)
    assert ask(access, peer="::1", local="::1")
    assert not ask(access, peer="192.0.2.7")
    assert not ask(access, local="192.0.2.1"), "a peer that forged a loopback source cannot reach a loopback address"
    assert ask(access, "read", peer="192.0.2.7")


def test_the_refusal_names_the_option() -> None:
    decision = Access(AccessConfig()).check(
        AccessRequest("publish", "x", "rtmp", peer_ip="192.0.2.7", local_ip="192.0.2.1")
    )
    assert not decision.allowed
    assert "--allow-publish" in decision.reason


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"host": "localhost", "x-forwarded-for": "1.2.3.4"},
     {"host": "localhost", "forwarded": "for=x"},
     {"host": "localhost", "via": "1.1 proxy"}, {"host": "localhost.evil.example:8080"},
     {"host": "localhost:8080", "origin": "https://evil.example"}, {"host": "localhost:8080", "origin": "null"},
     {"host": "localhost:8080", "origin": "http://localhost:3000"},
     {"host": "localhost:8080", "sec-fetch-site": "cross-site"}],
)  # fmt: skip
def test_loopback_trust_ends_at_foreign_hosts_and_proxies(headers: dict[str, str]) -> None:
    assert not ask(Access(AccessConfig()), headers=headers)


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080"])
def test_loopback_trust_holds_for_local_hosts(host: str) -> None:
    assert ask(Access(AccessConfig()), headers={"host": host})


def test_pages_of_this_server_publish_from_this_machine_and_any_page_may_read() -> None:
    own = {"host": "localhost:8080", "origin": "http://localhost:8080", "sec-fetch-site": "same-origin"}
    assert ask(Access(AccessConfig()), headers=own)
    config = AccessConfig(allow_read=[])
    assert ask(Access(config), "read", headers={"host": "localhost:8080", "origin": "https://player.example"})


def test_ranges() -> None:
    access = Access(AccessConfig(allow_publish=["10.0.0.0/8", "2001:db8::/32"], allow_read=["192.0.2.0/24"]))
    assert ask(access, peer="10.9.8.7", local="10.0.0.1")
    assert ask(access, peer="2001:db8::5", local="2001:db8::1")
    assert not ask(access, peer="11.0.0.1", local="10.0.0.1")
    assert ask(access, "read", peer="192.0.2.9", local="10.0.0.1")
    assert not ask(access, "read", peer="10.9.8.7", local="10.0.0.1")
    assert not ask(access, peer="not an address")


def test_trusted_proxies_end_loopback_trust_and_are_read_from_the_right() -> None:
    access = Access(AccessConfig(allow_publish=["203.0.113.0/24"], trusted_proxies=["127.0.0.0/8"]))
    assert not ask(access)
    forwarded = {"host": "localhost", "x-forwarded-for": "203.0.113.5, 198.51.100.9"}
    assert not ask(access, headers=forwarded), "the left end is what the client claims"
    assert ask(access, headers={"host": "x", "x-forwarded-for": "198.51.100.9, 203.0.113.5, 127.0.0.1"})
    untrusted = Access(AccessConfig(allow_publish=["203.0.113.0/24"], trusted_proxies=["10.0.0.1"]))
    assert not ask(untrusted, peer="192.0.2.7", headers={"x-forwarded-for": "203.0.113.5"})


def test_bad_ranges_are_configuration_errors() -> None:
    with pytest.raises(UsageError, match=r"access\.allow_publish"):
        Access(AccessConfig(allow_publish=["everyone"]))


def test_secrets_stay_out_of_repr() -> None:
    request = AccessRequest(
        "read", "x", "rtmp", password="hush", token="hush", query={"key": "hush"}, headers={"a": "hush"}
    )
    assert "hush" not in repr(request)
