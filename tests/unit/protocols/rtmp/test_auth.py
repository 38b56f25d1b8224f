"""Adobe's and Limelight's authentication: golden answers, both machines in dialogue, and attacks on the server."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from evotools.protocols.rtmp import auth
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp.auth import AdobeServer
from evotools.protocols.rtmp.client import ClientConnection, ClientOptions
from evotools.protocols.rtmp.events import AuthRetry, Closed, Connect, Refused
from evotools.protocols.rtmp.names import parse_query
from evotools.protocols.rtmp.server import ServerConnection
from tests.unit.protocols.rtmp.peer import Peer, zeros

NEED = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : "
CHALLENGE = (
    "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=me&salt=s4lt&challenge=ch4l&opaque=0p4q"
)


def b64(text: str) -> str:
    return base64.b64encode(hashlib.md5(text.encode(), usedforsecurity=False).digest()).decode()


def hexed(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def refused_with(description: str, options: ClientOptions, app: str = "live") -> tuple[object, m.Command]:
    """What a client makes of connect being refused so; and its connect."""
    client = ClientConnection(f"rtmp://h/{app}", app, "cam", "publish", 0.0, zeros, options)
    peer = Peer(client)
    info = {"level": "error", "code": "NetConnection.Connect.Rejected", "description": description}
    (event,) = peer.say(m.build_command("_error", 1, None, info))
    assert client.closed
    return event, peer.connect


ME = ClientOptions(user="me", password="p4ss")


def test_adobe_as_a_client_in_three_rounds() -> None:
    event, connect = refused_with(NEED, ME)
    assert event == AuthRetry("?authmod=adobe&user=me")
    assert connect.object["app"] == "live"
    event, connect = refused_with(CHALLENGE, replace(ME, auth="?authmod=adobe&user=me"))
    assert connect.object["app"] == "live?authmod=adobe&user=me"
    assert connect.object["tcUrl"] == "rtmp://h/live?authmod=adobe&user=me"
    mine = "0" * 16
    response = b64(b64("mes4ltp4ss") + "0p4q" + mine)
    wanted = f"?authmod=adobe&user=me&challenge={mine}&response={response}&opaque=0p4q"
    assert event == AuthRetry(wanted)
    assert "p4ss" not in wanted
    _, connect = refused_with(NEED, replace(ME, auth=wanted))
    assert connect.object["app"] == "live" + wanted


def test_adobe_without_an_opaque_field_uses_the_challenge() -> None:
    event, _ = refused_with(CHALLENGE.replace("&opaque=0p4q", ""), ME)
    response = b64(b64("mes4ltp4ss") + "ch4l" + "0" * 16)
    assert event == AuthRetry(f"?authmod=adobe&user=me&challenge={'0' * 16}&response={response}")


@pytest.mark.parametrize(("app", "uri"), [("live", "/live/_definst_"), ("live/inst", "/live/inst")])
def test_limelight_as_a_client(app: str, uri: str) -> None:
    event, _ = refused_with("[ AccessManager.Reject ] : [ code=403 need auth; authmod=llnw ] : ", ME, app)
    assert event == AuthRetry("?authmod=llnw&user=me")
    text = "[ AccessManager.Reject ] : [ authmod=llnw ] : ?reason=needauth&user=me&nonce=n0nce"
    event, _ = refused_with(text, replace(ME, auth="?authmod=llnw&user=me"), app)
    mine = "0" * 16
    response = hexed(f"{hexed('me:live:p4ss')}:n0nce:00000001:{mine}:auth:{hexed(f'publish:{uri}')}")
    assert event == AuthRetry(f"?authmod=llnw&user=me&nonce=n0nce&cnonce={mine}&nc=00000001&response={response}")


def test_arguments_of_the_app_stay() -> None:
    _, connect = refused_with(NEED, replace(ME, auth="?authmod=adobe&user=me"), "live?vhost=x")
    assert connect.object["app"] == "live?vhost=x&authmod=adobe&user=me"


@pytest.mark.parametrize(
    ("description", "options", "words"),
    [
        (NEED, ClientOptions(), "wants a user name"),
        (CHALLENGE, ClientOptions(), "wants a user name"),
        (NEED.replace("adobe", "other"), ME, "not known"),
        ("[ AccessManager.Reject ]", ME, "not known"),
        (NEED, replace(ME, auth="?authmod=adobe&user=me"), "again and again"),
        (CHALLENGE, replace(ME, auth="?authmod=adobe&user=me&response=x"), "does not accept"),
        (CHALLENGE.replace("needauth", "authfailed"), ME, "does not accept"),
        (CHALLENGE.replace("needauth", "nosuchuser"), ME, "does not accept"),
        (CHALLENGE.replace("needauth", ""), ME, "does not accept"),
    ],
)
def test_the_client_gives_up_with_a_reason(description: str, options: ClientOptions, words: str) -> None:
    event, _ = refused_with(description, options)
    assert isinstance(event, Refused)
    assert event.code == "NetConnection.Connect.Rejected"
    assert words in event.description
    assert "p4ss" not in event.description


def test_other_refusals_are_none_of_an_access_manager() -> None:
    event, _ = refused_with("[ Server.Reject ] : no application p4ss", ME)
    assert event == Refused("NetConnection.Connect.Rejected", "[ Server.Reject ] : no application ****")


def test_nothing_secret_is_shown() -> None:
    text = repr((ME, replace(ME, auth="?x=s3cret"), AuthRetry("?x=s3cret")))
    assert "p4ss" not in text
    assert "s3cret" not in text


# The server.


def rounds(adobe: AdobeServer, decide: Callable[[Connect], str], options: ClientOptions) -> list[object]:
    """One connection after the other until the client has its answer; the last events of both ends."""
    for _ in range(4):
        client = ClientConnection("rtmp://h/live", "live", "cam", "publish", 0.0, zeros, options)
        server = ServerConnection(0.0, zeros)
        events: list[object] = []
        for _ in range(6):
            server.receive(client.data_to_send(), 0.0)
            while (asked := server.next_event()) is not None:
                events.append(asked)
                if isinstance(asked, Connect):
                    words = decide(asked)
                    if words:
                        server.challenge(words)
                    else:
                        server.accept_connect()
            client.receive(server.data_to_send(), 0.0)
        answer = client.next_event()
        if not isinstance(answer, AuthRetry):
            return [*events, answer]
        assert isinstance(events[-1], Closed)
        options = replace(options, auth=answer.auth)
    raise AssertionError("more than three rounds")


@pytest.mark.parametrize(("password", "passes"), [("p4ss", True), ("wrong", False)])
def test_client_and_server_agree(password: str, passes: bool) -> None:
    adobe = AdobeServer(b"k" * 32)
    seen: list[Connect] = []

    def decide(event: Connect) -> str:
        seen.append(event)
        assert event.publishes
        user = adobe.user(event.query)
        if not user:
            return adobe.challenge(event.query, 5.0, zeros)
        assert user == "me"
        return "" if adobe.verify(event.query, "p4ss", 5.2) else adobe.failed(user)

    last = rounds(adobe, decide, ClientOptions(user="me", password=password))[-1]
    assert len(seen) == 3
    assert {event.app for event in seen} == {"live"}
    if passes:
        assert last is None
    else:
        assert isinstance(last, Refused)
        assert "does not accept" in last.description


def answered(adobe: AdobeServer, user: str = "me", password: str = "p4ss", now: float = 5.0) -> dict[str, str]:
    """The query of a third round."""
    words = auth.parse_rejection(adobe.challenge({"authmod": "adobe", "user": user}, now, zeros))
    assert words is not None
    return parse_query(auth.answer(words, user, password, "live", b"12345678")[1:])


def test_an_answer_counts_once_and_for_a_minute() -> None:
    adobe = AdobeServer(b"k" * 32)
    query = answered(adobe)
    assert adobe.verify(query, "p4ss", 5.0)
    assert not adobe.verify(query, "p4ss", 5.1), "heard on the wire and sent again"
    query = answered(adobe, now=100.0)
    assert not adobe.verify(query, "p4ss", 100.0 + auth.VALID_S + 1)
    assert adobe.verify(answered(adobe, now=200.0), "p4ss", 200.0)
    assert len(adobe._used) == 1, "what cannot be used again is forgotten"


@pytest.mark.parametrize("change", ["user", "opaque", "challenge", "response"])
def test_no_field_can_be_changed(change: str) -> None:
    adobe = AdobeServer(b"k" * 32)
    query = answered(adobe)
    for value in ("", "x", query[change] + "x", query[change][1:]):
        assert not adobe.verify({**query, change: value}, "p4ss", 5.0)
    assert not adobe.verify({}, "p4ss", 5.0)
    assert not AdobeServer(b"j" * 32).verify(query, "p4ss", 5.0), "the challenge of another server"
    assert adobe.verify(query, "p4ss", 5.0)


def test_a_challenge_of_ones_own_making_is_none() -> None:
    adobe = AdobeServer(b"k" * 32)
    opaque, mine = "1.ff.00", "x"
    response = auth.adobe_response("me", "p4ss", adobe._salt("me"), opaque, mine)
    query = {"authmod": "adobe", "user": "me", "challenge": mine, "response": response, "opaque": opaque}
    assert not adobe.verify(query, "p4ss", 0.0)


def test_users_cannot_be_told_from_others() -> None:
    adobe = AdobeServer(b"k" * 32)
    known, unknown = (adobe.challenge({"authmod": "adobe", "user": user}, 5.0, zeros) for user in ("abc", "xyz"))
    assert len(known) == len(unknown)
    assert adobe.failed("abc").replace("abc", "") == adobe.failed("xyz").replace("xyz", "")


@pytest.mark.parametrize("user", ["", "x" * 600, "a&opaque=1", "a b", "a\r\nb", "ä"])
def test_strange_user_names_make_no_fields(user: str) -> None:
    adobe = AdobeServer(b"k" * 32)
    words = auth.parse_rejection(adobe.challenge({"authmod": "adobe", "user": user}, 5.0, zeros))
    assert words is not None
    assert words.reason in ("start", "needauth")
    assert words.fields.get("opaque") != "1"
    assert auth.parse_rejection(adobe.failed(user)) is not None
    if words.reason == "needauth":
        assert words.fields["user"] in ("", user)


def test_the_answers_that_are_remembered_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MAX_USED", 2)
    adobe = AdobeServer(b"k" * 32)
    makers = [lambda size, n=number: bytes((n,)) * size for number in range(3)]
    queries = []
    for maker in makers:
        words = auth.parse_rejection(adobe.challenge({"authmod": "adobe", "user": "me"}, 5.0, maker))
        assert words is not None
        queries.append(parse_query(auth.answer(words, "me", "p4ss", "live", b"12345678")[1:]))
    assert [adobe.verify(query, "p4ss", 5.0) for query in queries] == [True, True, False]
    assert adobe.verify(answered(adobe, now=80.0), "p4ss", 80.0)


def test_a_challenge_answers_connect_alone() -> None:
    server = ServerConnection(0.0, zeros)
    peer = Peer(server)
    (event,) = peer.call("connect", 1, {"app": "live", "flashVer": "LNX 9,0,124,2"})
    assert isinstance(event, Connect)
    assert not event.publishes
    server.challenge(NEED)
    assert [type(e) for e in peer.events()] == [Closed]
    (command,) = peer.heard_commands()
    assert (command.name, command.transaction) == ("_error", 1.0)
    assert command.arguments[0]["description"] == NEED
    server.challenge(NEED)
    assert peer.heard() == []
