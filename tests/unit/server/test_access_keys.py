"""Users, keys of streams, and the names that people try to get around them with."""

import asyncio
import base64
import logging
from typing import Any

import pytest

import evotools
from evotools.errors import UsageError
from evotools.hub.names import check_name
from evotools.hub.stream import PublisherInfo
from evotools.log import scrub
from evotools.protocols.rtmp.events import join_path
from evotools.protocols.rtmp.names import split_name
from evotools.server import access_keys
from evotools.server.access import Access, credential_of
from evotools.server.access_keys import Credentials
from evotools.server.access_types import AccessRequest, Decision
from evotools.server.app import Server
from evotools.server.config import AccessConfig, ServerConfig, load, parse, to_toml
from evotools.server.names import RESERVED

ELSEWHERE = {"peer_ip": "192.0.2.7", "local_ip": "192.0.2.1"}
HERE = {"peer_ip": "127.0.0.1", "local_ip": "127.0.0.1"}
TABLE: dict[str, Any] = {
    "users": {
        "studio": {"password": "stüdio-pass", "publish": ["live/*", "exact"], "read": ["*"]},
        "viewer": {"password": "viewer-pass", "read": ["vip/*"]},
    },
    "streams": {
        "live/show": {"publish_key": "pk-123456", "read_key": "rk-123456"},
        "vip/a": {"read_key": "vip-key"},
        "base": {"publish_key": "base-key"},
    },
}


def access_of(config: ServerConfig) -> Access:
    return Access(config.access, config.users, config.streams)


@pytest.fixture
def access() -> Access:
    return access_of(parse(TABLE))


def ask(access: Access, action: str, name: str, where: dict[str, str] = ELSEWHERE, **more: Any) -> Decision:
    return access.check(AccessRequest("publish" if action == "publish" else "read", name, "rtmp", **where, **more))


def test_a_key_opens_its_stream_for_what_it_is_for(access: Access) -> None:
    for given in ({"query": {"key": "pk-123456"}}, {"query": {"token": "pk-123456"}}, {"token": "pk-123456"}):
        assert ask(access, "publish", "live/show", **given).allowed
        assert not ask(access, "read", "live/show", **given).allowed
        assert not ask(access, "publish", "live/other", **given).allowed
    assert ask(access, "read", "live/show", query={"key": "rk-123456"}).allowed
    assert not ask(access, "read", "live/show").allowed
    assert ask(access, "read", "live/other").allowed, "reading is open where no key says otherwise"


@pytest.mark.parametrize(
    "key", ["", "pk-12345", "pk-1234567", "PK-123456", "pk-123456 ", "\0", "rk-123456", "é" * 5000]
)
def test_wrong_keys(access: Access, key: str) -> None:
    assert not ask(access, "publish", "live/show", query={"key": key}, token=key).allowed


def test_an_address_that_may_publish_does_not_open_a_stream_with_a_key() -> None:
    access = access_of(parse({**TABLE, "access": {"allow_publish": ["192.0.2.0/24"]}}))
    assert ask(access, "publish", "live/other").allowed
    assert not ask(access, "publish", "live/show").allowed
    assert ask(access, "publish", "live/show", query={"key": "pk-123456"}).allowed
    assert ask(access, "publish", "live/show", user="studio", password="stüdio-pass").allowed


def test_this_machine_is_trusted_until_it_is_not() -> None:
    assert ask(access_of(parse(TABLE)), "publish", "live/show", HERE).allowed
    strict = access_of(parse({**TABLE, "access": {"trust_loopback": False}}))
    assert not ask(strict, "publish", "live/show", HERE).allowed
    assert ask(strict, "publish", "live/show", HERE, query={"key": "pk-123456"}).allowed


def test_users_have_rights_by_name(access: Access) -> None:
    studio = {"user": "studio", "password": "stüdio-pass"}
    for name, allowed in [("live/x", True), ("live/a/b", True), ("exact", True), ("live", False), ("livelive/x", False),
                          ("exact/x", False), ("other", False)]:  # fmt: skip
        assert ask(access, "publish", name, **studio).allowed is allowed, name
    assert not ask(access, "publish", "live/x", user="viewer", password="viewer-pass").allowed
    assert ask(access, "read", "vip/a", user="viewer", password="viewer-pass").allowed
    assert not ask(access, "read", "vip/a", user="viewer", password="wrong").allowed


def test_wildcard_streams_need_the_key_of_their_base(access: Access) -> None:
    assert not ask(access, "publish", "base+x").allowed
    assert not ask(access, "publish", "base+").allowed
    assert ask(access, "publish", "base+x/y", query={"key": "base-key"}).allowed


def test_one_answer_to_everything_that_is_wrong(access: Access) -> None:
    answers = {
        ask(access, "publish", "live/show", **given)
        for given in (
            {"user": "nobody", "password": "stüdio-pass"},
            {"user": "studio", "password": "wrong"},
            {"user": "studio", "password": ""},
            {"user": "viewer", "password": "viewer-pass"},
            {"query": {"key": "wrong"}},
            {"token": "wrong"},
        )
    }
    assert len(answers) == 1
    (answer,) = answers
    assert answer.challenge, "HTTP may ask for a password"
    assert "pass" not in answer.reason


def test_unknown_users_cost_a_comparison_too(monkeypatch: pytest.MonkeyPatch, access: Access) -> None:
    compared: list[str] = []
    same = access_keys.same
    monkeypatch.setattr(access_keys, "same", lambda given, kept: compared.append(given) or same(given, kept))
    for user in ("nobody", "studio"):
        ask(access, "publish", "live/x", user=user, password="guess-1")
    assert compared == ["guess-1", "guess-1"]
    credentials = Credentials(parse(TABLE).users, {})
    assert credentials.password_of("nobody") != credentials.password_of("nobody")
    assert credentials.password_of("studio") == "stüdio-pass"


# Ways around. What protocols make of a name is what is asked about and what is published: no two spellings of one
# stream exist.


def rtmp_name(app: str, stream: str) -> str:
    return join_path(split_name(app)[0], split_name(stream)[0])


def taken(name: str) -> bool:
    """Whether the hub would take it."""
    try:
        check_name(name, RESERVED)
    except Exception:
        return False
    return True


@pytest.mark.parametrize(
    ("app", "stream"),
    [("live", "show"), ("live", "show/"), ("/live/", "/show"), ("live/", "show?x=1"), ("live?x=1", "show"),
     ("live", "SHOW"), ("Live", "show"), ("live", "/show/"), ("live/show", ""), ("", "live/show"),
     ("live", "//show"), ("live//", "show"), ("live", "x/../show"), ("live", "./show"), ("live", "%73how"),
     ("live%2Fshow", ""), ("live", "show%00"), ("live", "show\0"), ("live", "show."), ("live", "show#"),
     ("live", "show;x"), ("live", "sho\u0077\u0301"), ("live\\show", ""), ("live", "flv:show"), ("live", "mp4:show")],
)  # fmt: skip
def test_no_spelling_publishes_the_stream_without_its_key(access: Access, app: str, stream: str) -> None:
    name = rtmp_name(app, stream)
    if not taken(name):
        return
    decision = ask(access, "publish", name)
    assert not decision.allowed, "publishing from outside needs something, whatever the name"
    wide = access_of(parse({**TABLE, "access": {"allow_publish": ["0.0.0.0/0"]}}))
    if ask(wide, "publish", name).allowed:
        assert name != "live/show"
        assert name.lower() == "live/show" or "/" not in name or not name.startswith("live/show/"), name


PATHS = [
    "/live/show.flv", "/live/show.ts", "/live/show.mp4", "/live/show/index.m3u8", "/live/show/media.m3u8",
    "/live/show.m3u8", "/live/show/", "/live/show", "/live//show.flv", "/live%2Fshow.flv", "/%6Cive/show.flv",
    "/live/show%2Eflv", "/live/./show.flv", "/x/../live/show.flv", "/LIVE/show.flv", "/live/show.flv/",
    "//live/show.flv", "/live/show%00.flv", "/live/show.flv?key=", "/live/show.flv?key=wrong", "/live/show.flv?user=",
    "/live/show.flv?user=&pass=", "/live/show.flv?key=pk-123456", "/json/live/show", "/live/show%20.flv",
    "http://localhost/live/show.flv", "/live/show.FLV", "/live/show/1.ts",
]  # fmt: skip


async def test_no_path_reads_the_stream_without_its_key() -> None:
    config = parse({**TABLE, "access": {"trust_loopback": False}})
    config.rtmp.enabled = False
    config.http.listen = "127.0.0.1:0"
    server = Server(config)
    await server.start()
    async with evotools.open_source("test:?size=64x64&realtime=0&duration=1s&seed=1") as source:
        events = [event async for event in source]
    publication = server.hub.publish("live/show", PublisherInfo("test"))
    publication.push(events)

    async def status(path: str, fields: str = "") -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n".encode())
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            body = b"" if b" 200 " in head else await reader.read()
        writer.close()
        return int(head.split()[1]), head + body

    for path in PATHS:
        for fields in (
            "",
            "Authorization: Basic Og==\r\n",
            "Authorization: Bearer\r\n",
            "X-Forwarded-For: 127.0.0.1\r\n",
        ):
            code, answer = await status(path, fields)
            assert code in (308, 400, 401, 403, 404), (path, fields, answer)
            assert b"123456" not in answer.partition(b"\r\n\r\n")[2], (path, answer)
    assert (await status("/live/show.flv?key=rk-123456"))[0] == 200
    assert (await status("/live/show.flv", "Authorization: Bearer rk-123456\r\n"))[0] == 200
    basic = base64.b64encode("studio:stüdio-pass".encode()).decode()
    assert (await status("/live/show.flv", f"Authorization: Basic {basic}\r\n"))[0] == 200
    code, answer = await status("/live/show.flv")
    assert code == 401
    assert b"WWW-Authenticate: Basic" in answer
    await server.stop()


@pytest.mark.parametrize("user", ["", " ", "*", "studio ", "STUDIO", "studio\0", "stud*", "studio/", "viewer"])
def test_names_that_are_no_users(access: Access, user: str) -> None:
    for password in ("", "stüdio-pass", "*"):
        assert not ask(access, "publish", "live/x", user=user, password=password).allowed


def test_patterns_are_no_expressions() -> None:
    access = access_of(parse({"users": {"u": {"password": "secret-1", "publish": ["a.c", "x|y", "(z)", "[q]*"]}}}))
    given = {"user": "u", "password": "secret-1"}
    assert ask(access, "publish", "a.c", **given).allowed
    assert ask(access, "publish", "[q]1", **given).allowed
    for name in ("abc", "x", "y", "z", "q", "q1"):
        assert not ask(access, "publish", name, **given).allowed


# Configuration.


def test_secrets_are_expanded_and_never_shown(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "pw").write_text("from-the-file\n")
    monkeypatch.setenv("SHOW_KEY", "from-the-environment")
    table = {
        "users": {"u": {"password": f"{{file:{tmp_path}/pw}}", "publish": ["*"]}},
        "streams": {"a": {"publish_key": "{env:SHOW_KEY}"}},
    }
    config = parse(table)
    access = access_of(config)
    assert ask(access, "publish", "x", user="u", password="from-the-file").allowed
    assert ask(access, "publish", "a", token="from-the-environment").allowed
    assert "from-the" not in to_toml(config)
    assert parse(load_table(to_toml(config), tmp_path)) == config
    assert "from-the" not in scrub("?key=from-the-environment and from-the-file")
    with caplog.at_level(logging.DEBUG):
        request = AccessRequest(
            "publish", "a", "rtmp", user="u", password="from-the-file", token="from-the-environment"
        )
        logging.getLogger("x").warning("%r %r %r", request, access, access._credentials.users)
    assert "from-the" not in caplog.text


def load_table(text: str, folder: Any) -> dict[str, Any]:
    import tomllib

    (folder / "again.toml").write_text(text)
    assert load(str(folder / "again.toml"), env={})
    return tomllib.loads(text)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"users": {"u": {"password": "{env:NOT_SET_AT_ALL}"}}}, "users.u.password.*NOT_SET_AT_ALL is not set"),
        ({"users": {"u": {"password": "{file:/no/such/file}"}}}, "users.u.password: .*No such file"),
        ({"streams": {"s": {"publish_key": "{env:EMPTY}"}}}, "streams.s.publish_key: is empty"),
        ({"users": {"u": {"publish": ["*"]}}}, "lacks a password"),
        ({"users": {"": {"password": "x"}}}, "without a name"),
    ],
)
def test_mistakes(table: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", "")
    with pytest.raises(UsageError, match=words):
        access_of(parse(table))


def test_a_changed_configuration_counts_at_once(access: Access) -> None:
    access.replace(Access(AccessConfig()))
    assert ask(access, "read", "live/show").allowed
    assert not ask(access, "publish", "live/show", query={"key": "pk-123456"}).allowed


def test_publishers_are_told_apart_by_what_they_give() -> None:
    def request(**given: Any) -> str:
        return credential_of(AccessRequest("publish", "a", "rtmp", **given))

    assert request() == ""
    assert request(query={"x": "1"}) == ""
    assert request(token="k") == request(token="k") != request(token="l") != ""
    assert request(user="a", password="b") != request(user="ab", password="")
    assert "secret" not in request(token="secret")


def test_who_is_challenged(access: Access) -> None:
    def wants(access: Access, where: dict[str, str]) -> bool:
        return access.wants_user(AccessRequest("publish", "live", "rtmp", **where))

    assert wants(access, ELSEWHERE)
    assert not wants(access, HERE)
    assert not wants(Access(AccessConfig()), ELSEWHERE), "nobody has a password"
    assert not wants(access_of(parse({**TABLE, "access": {"allow_publish": ["192.0.2.7"]}})), ELSEWHERE)
