"""The client end: the dialogue with servers of several kinds, refusals, ends, secrets."""

from typing import Any, Literal

import pytest

from evotools.containers.flv import amf0
from evotools.errors import ProtocolError
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp.chunk import Message
from evotools.protocols.rtmp.client import ClientConnection, ClientOptions
from evotools.protocols.rtmp.events import Closed, MediaMessage, Ready, ReconnectRequest, Refused, StreamEnded
from evotools.protocols.rtmp.states import Client
from tests.unit.protocols.rtmp.peer import Peer, zeros


def new_client(
    mode: Literal["publish", "play"], stream: str = "cam?key=s3cret", **options: Any
) -> tuple[ClientConnection, Peer]:
    client = ClientConnection("rtmp://h/live", "live", stream, mode, 0.0, zeros, ClientOptions(**options))
    return client, Peer(client)


def status(code: str, level: str = "status", description: str = "") -> Message:
    return m.build_status(code, description, level=level, stream_id=1)


def success() -> Message:
    info = {"level": "status", "code": "NetConnection.Connect.Success"}
    return m.build_command("_result", 1, {"fmsVer": "FMS/3,0,1,123"}, info)


def asking(mode: Literal["publish", "play"], **options: Any) -> tuple[ClientConnection, Peer]:
    client, peer = new_client(mode, **options)
    peer.say(success(), m.build_command("_result", 4, None, 1.0))
    peer.heard()
    assert client.state is Client.ASKING
    return client, peer


def ready(mode: Literal["publish", "play"]) -> tuple[ClientConnection, Peer]:
    client, peer = asking(mode)
    code = "NetStream.Publish.Start" if mode == "publish" else "NetStream.Play.Start"
    (event,) = peer.say(status(code))
    assert isinstance(event, Ready)
    return client, peer


def test_the_connect_command() -> None:
    _, peer = new_client("publish")
    assert (peer.connect.name, peer.connect.transaction) == ("connect", 1.0)
    assert peer.connect.object == {
        "app": "live", "type": "nonprivate", "flashVer": "FMLE/3.0 (compatible; evotools)", "tcUrl": "rtmp://h/live",
        "objectEncoding": 0.0,
    }  # fmt: skip


def test_publishing() -> None:
    client, peer = new_client("publish")
    assert peer.say(m.build_window_ack_size(2500000), m.build_set_peer_bandwidth(2500000), success()) == []
    assert peer.heard() == ["type 5", "releaseStream 2", "FCPublish 3", "createStream 4"]
    assert peer.reader.chunk_size == 60000
    peer.say(m.build_command("_error", 2, None, {"level": "error", "code": "NetConnection.Call.Failed"}))
    peer.say(m.build_command("_result", 3, None), m.build_command("_result", 4, None, 7.0))
    (command,) = peer.heard_commands()
    assert (command.name, command.arguments, command.stream_id) == ("publish", ("cam?key=s3cret", "live"), 7)
    (event,) = peer.say(status("NetStream.Publish.Start"))
    assert event == Ready(7, {"fmsVer": "FMS/3,0,1,123"})
    assert client.deadline() is None
    client.send_media(9, 2**32 + 40, (b"\x17\x01", b"video"))
    meta = amf0.encode("onMetaData", {})
    client.send_media(18, 0, (meta,))
    client.send_media(18, 0, (amf0.encode("onTextData", {}),))
    sent = peer.reader.feed(client.data_to_send())
    assert [(s.type, s.timestamp, s.stream_id, s.payload) for s in sent] == [
        (9, 40, 7, b"\x17\x01video"),
        (18, 0, 7, amf0.encode("@setDataFrame") + meta),
        (18, 0, 7, amf0.encode("onTextData", {})),
    ]
    client.close()
    assert peer.heard() == ["FCUnpublish 6", "deleteStream 7"]
    assert client.closed
    client.close()
    assert client.data_to_send() == b""


def test_playing() -> None:
    client, peer = new_client("play", buffer_ms=1500, start_ms=-1000)
    peer.say(success())
    assert peer.heard() == ["type 5", "createStream 4"]
    peer.say(m.build_command("_result", 4, None, 1.0))
    assert peer.heard() == ["play 5", "control 3 1 1500"]
    peer.say(m.build_data("|RtmpSampleAccess", True, True, stream_id=1), status("NetStream.Play.Reset"))
    (event,) = peer.say(status("NetStream.Play.Start"))
    assert isinstance(event, Ready)
    events = peer.say(Message(9, 40, 1, b"v"), m.build_data("onMetaData", {}, stream_id=1))
    assert [(e.type, e.payload) for e in events] == [(9, b"v"), (18, amf0.encode("onMetaData", {}))]
    client.close()
    assert peer.heard() == ["deleteStream 7"]


def test_a_server_that_sends_media_without_saying_start() -> None:
    _, peer = asking("play")
    events = peer.say(Message(8, 0, 1, b"a"))
    assert [type(e) for e in events] == [Ready, MediaMessage]


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ("NetStream.Publish.BadName", "error"),
        ("NetStream.Publish.Denied", "status"),
        ("NetStream.Something.New", "error"),
    ],
)
def test_publish_refused(code: str, level: str) -> None:
    client, peer = asking("publish")
    assert peer.say(status(code, level, "Stream cam (key s3cret) is in use.")) == [
        Refused(code, "Stream **** (key ****) is in use.")
    ]
    assert client.closed


@pytest.mark.parametrize("code", ["NetStream.Play.StreamNotFound", "NetStream.Play.Failed"])
def test_play_refused(code: str) -> None:
    _, peer = asking("play")
    assert peer.say(status(code, "error")) == [Refused(code)]


def test_connect_refused() -> None:
    _, peer = new_client("publish")
    info = {"level": "error", "code": "NetConnection.Connect.Rejected", "description": "[ Server.Reject ] : full"}
    assert peer.say(m.build_command("_error", 1, None, info)) == [
        Refused("NetConnection.Connect.Rejected", "[ Server.Reject ] : full")
    ]


@pytest.mark.parametrize("info", [None, {}, {"code": 5, "description": 6}, {"code": "cam s3cret"}])
def test_refused_without_a_usable_reason(info: object) -> None:
    _, peer = new_client("publish")
    assert peer.say(m.build_command("_error", 1, None, info)) == [Refused("NetConnection.Call.Failed", "")]


def test_create_stream_refused_or_senseless() -> None:
    _, peer = new_client("play")
    peer.say(success())
    assert [type(e) for e in peer.call("_error", 4, None, {"code": "NetConnection.Call.Failed"})] == [Refused]
    for number in (0.0, -1.0, float("nan"), float("inf"), 2.0**40):
        _, peer = new_client("play")
        peer.say(success())
        with pytest.raises(ProtocolError):
            peer.call("_result", 4, None, number)


@pytest.mark.parametrize(
    "message",
    [
        status("NetStream.Play.UnpublishNotify"),
        status("NetStream.Play.Stop"),
        status("NetStream.Play.Complete"),
        m.build_user_control(m.STREAM_EOF, 1),
    ],
)
def test_the_ways_a_stream_ends(message: Message) -> None:
    client, peer = ready("play")
    (event,) = peer.say(message)
    assert isinstance(event, StreamEnded)
    assert client.closed


def test_the_end_of_another_stream_is_not_ours() -> None:
    client, peer = ready("play")
    assert peer.say(m.build_user_control(m.STREAM_EOF, 9)) == []
    assert not client.closed


def test_a_publisher_is_sent_away_or_unpublished() -> None:
    _, peer = ready("publish")
    assert peer.say(status("NetStream.Publish.Rejected", "error")) == [Refused("NetStream.Publish.Rejected")]
    for message in (status("NetStream.Unpublish.Success"), m.build_command("close", 0, None)):
        _, peer = ready("publish")
        assert [type(e) for e in peer.say(message)] == [Closed]


def test_the_connection_breaks() -> None:
    client, peer = ready("publish")
    client.receive_eof(1.0)
    assert [type(e) for e in peer.events()] == [Closed]
    with pytest.raises(ProtocolError):
        client.send_media(9, 0, (b"x",))


def test_media_cannot_be_sent_too_early() -> None:
    client, _ = asking("publish")
    with pytest.raises(ProtocolError, match="asking"):
        client.send_media(9, 0, (b"x",))


def test_a_silent_server_has_a_deadline_and_the_error_no_secret() -> None:
    client, _ = asking("publish", timeout_s=5)
    assert client.deadline() == 5.0
    client.tick(4.9)
    with pytest.raises(ProtocolError) as caught:
        client.tick(5.0)
    assert "s3cret" not in str(caught.value)
    assert "cam" not in str(caught.value)


def test_pings_are_answered() -> None:
    _, peer = ready("play")
    peer.say(m.build_user_control(m.PING_REQUEST, 99))
    assert peer.heard() == ["control 7 99"]


def test_options_reach_the_connect_command() -> None:
    _, peer = new_client("play", fourccs=("hvc1",), swf_url="x.swf", page_url="page", connect={"custom": 1})
    values = peer.connect.object
    assert values["fourCcList"] == ["hvc1"]
    assert (values["swfUrl"], values["pageUrl"], values["custom"]) == ("x.swf", "page", 1.0)
    assert values["flashVer"].startswith("LNX")
    assert values["videoFunction"] == 1.0


def test_short_names_are_masked_as_words_only() -> None:
    client, peer = new_client("publish", stream="a")
    peer.say(success(), m.build_command("_result", 4, None, 1.0))
    (event,) = peer.say(status("NetStream.Publish.BadName", "error", "Stream a was taken."))
    assert event == Refused("NetStream.Publish.BadName", "Stream **** was taken.")
    assert client.closed


def test_a_server_asks_to_connect_again() -> None:
    for mode in ("publish", "play"):
        client, peer = ready(mode)  # type: ignore[arg-type]
        info = {"level": "status", "code": "NetConnection.Connect.ReconnectRequest"}
        for told, wanted in (
            (None, "rtmp://h/live"),
            ("rtmps://other:1936/app", "rtmps://other:1936/app"),
            ("//192.0.2.1/app", "rtmp://192.0.2.1/app"),
            ("/app", "rtmp://h/app"),
            ("http://evil/", "rtmp://h/live"),
            (5.0, "rtmp://h/live"),
        ):
            values = {**info, "description": "key s3cret"} | ({} if told is None else {"tcUrl": told})
            assert peer.call("onStatus", 0, None, values) == [ReconnectRequest(wanted, "key ****")]
        assert not client.closed, "it goes on until the new connection is there"


def test_what_a_client_says_that_obeys_such_requests() -> None:
    _, peer = new_client("publish", reconnects=True, fourccs=["hvc1"], caps_ex=2)
    assert peer.connect.object["capsEx"] == 3.0


def test_bandwidth_checks_are_answered_once() -> None:
    client, peer = asking("play")
    peer.call("onBWDone", 0, None)
    peer.call("onBWDone", 0, None, 8192)
    assert peer.heard() == ["_checkbw 8"]
    peer.call("_onbwcheck", 5, None, "x" * 1000)
    assert peer.heard() == ["_result 5"]
    assert client.state is Client.ASKING


def test_subscribing_before_playing() -> None:
    _, peer = new_client("play", subscribe=True)
    peer.say(success())
    assert peer.heard()[-2:] == ["FCSubscribe 2", "createStream 4"]
