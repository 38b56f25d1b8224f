"""The server end: dialogues of real clients as scripts, refusals, timeouts, attacks."""

from typing import Any

import pytest

from evotools.containers.flv import amf0
from evotools.errors import ProtocolError
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp import server as server_module
from evotools.protocols.rtmp.chunk import Message
from evotools.protocols.rtmp.events import (
    Closed,
    Connect,
    MediaMessage,
    Pause,
    PlayRequest,
    PublishRequest,
    StopPlay,
    Unpublish,
)
from evotools.protocols.rtmp.handshake import SIZE
from evotools.protocols.rtmp.server import ServerConnection, ServerOptions
from tests.unit.protocols.rtmp.peer import Peer, zeros


def new_peer(**options: Any) -> tuple[ServerConnection, Peer]:
    server = ServerConnection(0.0, zeros, ServerOptions(**options))
    return server, Peer(server)


def connected(app: str = "live", **options: Any) -> tuple[ServerConnection, Peer]:
    server, peer = new_peer(**options)
    (event,) = peer.call("connect", 1, {"app": app, "tcUrl": f"rtmp://h/{app}"})
    assert isinstance(event, Connect)
    server.accept_connect()
    peer.heard()
    return server, peer


def publishing(name: str = "cam") -> tuple[ServerConnection, Peer]:
    server, peer = connected()
    peer.call("createStream", 4, None)
    peer.call("publish", 5, None, name, "live", stream_id=1)
    server.accept_publish()
    peer.heard()
    return server, peer


def playing() -> tuple[ServerConnection, Peer]:
    server, peer = connected()
    peer.call("createStream", 2, None)
    peer.call("play", 3, None, "cam", -2000, stream_id=1)
    server.accept_play()
    peer.heard()
    return server, peer


def test_connect_tells_everything_that_the_client_said() -> None:
    server, peer = new_peer()
    (event,) = peer.call(
        "connect", 1,
        {"app": "live/inst/?a=1", "tcUrl": "rtmp://host/live/inst?a=0&vhost=x", "flashVer": "FMLE/3.0", "pageUrl": "p",
         "swfUrl": "s", "objectEncoding": 3, "fourCcList": ["av01", "hvc1", 7], "capsEx": 3,
         "videoFourCcInfoMap": {"*": 7}, "audioFourCcInfoMap": {"Opus": 4, "bad": "x"}},
        "extra",
    )  # fmt: skip
    assert event == Connect(
        app="live/inst", query={"a": "1", "vhost": "x"}, tc_url="rtmp://host/live/inst?a=0&vhost=x",
        flash_ver="FMLE/3.0", page_url="p", swf_url="s", object_encoding=3, fourccs=("av01", "hvc1"),
        video_fourccs={"*": 7}, audio_fourccs={"Opus": 4, "bad": 0}, caps_ex=3, publishes=True,
        arguments=event.arguments, extra=("extra",),
    )  # fmt: skip
    assert server.data_to_send() == b"", "nothing is answered before the application has decided"
    server.accept_connect()
    (result,) = peer.heard_commands()
    assert (result.name, result.transaction) == ("_result", 1.0)
    assert result.arguments[0]["code"] == "NetConnection.Connect.Success"
    assert result.arguments[0]["objectEncoding"] == 3
    assert "hvc1" in result.object["fourCcList"]
    assert result.object["videoFourCcInfoMap"]["av01"] == server_module.CAN_FORWARD
    assert result.object["capsEx"] == server.options.caps_ex


def test_an_old_client_gets_the_old_answer() -> None:
    server, peer = new_peer()
    peer.call("connect", 1, {"app": "live"})
    server.accept_connect()
    lines = peer.heard()
    assert lines == ["type 5", "type 6", "control 0 0", "_result 1 NetConnection.Connect.Success"]
    assert peer.reader.chunk_size == server.chunk_size == 60000


@pytest.mark.parametrize("values", [{}, {"app": 5, "tcUrl": None, "fourCcList": "x", "capsEx": float("nan")}])
def test_strange_connect_objects(values: dict[str, Any]) -> None:
    _, peer = new_peer()
    (event,) = peer.call("connect", 1, values)
    assert (event.app, event.fourccs, event.caps_ex) == ("", (), 0)


def test_the_app_comes_from_the_url_when_it_is_missing() -> None:
    _, peer = new_peer()
    (event,) = peer.call("connect", 1, {"tcUrl": "rtmp://h/live"})
    assert event.app == "live"


def test_a_publisher_as_ffmpeg_speaks() -> None:
    server, peer = connected()
    assert peer.call("releaseStream", 2, None, "cam?key=v") == []
    assert peer.call("FCPublish", 3, None, "cam?key=v") == []
    assert peer.call("createStream", 4, None) == []
    assert peer.heard() == ["_result 2", "_result 3", "onFCPublish 0 NetStream.Publish.Start", "_result 4"]
    (event,) = peer.call("publish", 5, None, "cam?key=v", "live", stream_id=1)
    assert event == PublishRequest("live", "cam", {"key": "v"}, "live", 1)
    assert event.path == "live/cam"
    server.accept_publish()
    assert peer.heard() == ["control 0 1", "onStatus 0 NetStream.Publish.Start"]
    meta = amf0.encode("onMetaData", amf0.EcmaArray(width=1280))
    events = peer.say(
        Message(m.DATA, 0, 1, amf0.encode("@setDataFrame") + meta),
        Message(m.VIDEO, 40, 1, b"\x17\x01"),
        Message(m.AUDIO, 23, 1, b"\xaf\x01"),
    )
    assert [(e.type, e.timestamp_ms, e.payload) for e in events] == [
        (18, 0, meta), (9, 40, b"\x17\x01"), (8, 23, b"\xaf\x01"),
    ]  # fmt: skip
    assert peer.call("FCUnpublish", 6, None, "cam") == [Unpublish()]
    assert peer.call("deleteStream", 7, None, 1) == []
    assert peer.heard() == [
        "onStatus 0 NetStream.Unpublish.Success", "_result 6", "onFCUnpublish 0 NetStream.Unpublish.Success",
    ]  # fmt: skip
    server.receive_eof(1.0)
    assert [type(e) for e in peer.events()] == [Closed]


def test_a_player_as_librtmp_speaks() -> None:
    server, peer = connected()
    peer.say(m.build_window_ack_size(2500000), m.build_user_control(m.SET_BUFFER_LENGTH, 0, 300))
    peer.call("createStream", 2, None)
    peer.call("FCSubscribe", 3, None, "cam")
    assert peer.heard() == ["_result 2", "_result 3", "onFCSubscribe 0 NetStream.Play.Start"]
    (event,) = peer.call("play", 4, None, "cam", -1000.0, stream_id=1)
    assert event == PlayRequest("live", "cam", {}, -1000.0, -1000.0, True, 1)
    server.accept_play()
    assert peer.heard() == [
        "control 0 1", "onStatus 0 NetStream.Play.Reset", "onStatus 0 NetStream.Play.Start", "type 18",
    ]  # fmt: skip
    server.finish_play()
    assert peer.heard() == [
        "onStatus 0 NetStream.Play.UnpublishNotify", "control 1 1", "onStatus 0 NetStream.Play.Stop",
    ]  # fmt: skip
    assert not server.active


@pytest.mark.parametrize(
    ("arguments", "start", "duration", "reset"),
    [
        ((), -2000.0, -1000.0, True),
        ((-2.0,), -2000.0, -1000.0, True),
        ((-1.0, -1.0, False), -1000.0, -1000.0, False),
        ((5000.0, 2000.0, 0.0), 5000.0, 2000.0, False),
        (("x", None, True), -2000.0, -1000.0, True),
    ],
)
def test_play_arguments(arguments: tuple[Any, ...], start: float, duration: float, reset: bool) -> None:
    server, peer = connected()
    (event,) = peer.call("play", 3, None, "cam", *arguments, stream_id=1)
    assert (event.start_ms, event.duration_ms, event.reset) == (start, duration, reset)
    server.accept_play()
    assert ("onStatus 0 NetStream.Play.Reset" in peer.heard()) is reset


@pytest.mark.parametrize(
    ("app", "name", "path"),
    [("live", "cam", "live/cam"), ("live/inst", "mp4:a/b?k=v", "live/inst/a/b"), ("path", "", "path"), ("", "x", "x")],
)
def test_paths(app: str, name: str, path: str) -> None:
    _, peer = connected(app)
    (event,) = peer.call("publish", 5, None, name, "live", stream_id=1)
    assert event.path == path


def test_commands_sent_without_waiting_are_answered_in_order() -> None:
    """Some encoders send everything at once, media included."""
    server, peer = new_peer()
    events = peer.say(
        m.build_command("connect", 1, {"app": "live"}),
        m.build_command("createStream", 2, None),
        m.build_command("publish", 3, None, "cam", "live", stream_id=1),
        Message(m.VIDEO, 0, 1, b"first"),
    )
    assert [type(e) for e in events] == [Connect]
    server.accept_connect()
    assert [type(e) for e in peer.events()] == [PublishRequest]
    server.accept_publish()
    assert [e.payload for e in peer.events()] == [b"first"]
    assert peer.heard()[3:] == [
        "_result 1 NetConnection.Connect.Success", "_result 2", "control 0 1", "onStatus 0 NetStream.Publish.Start",
    ]  # fmt: skip


def test_what_waits_for_a_decision_is_capped() -> None:
    _, peer = new_peer()
    peer.call("connect", 1, {"app": "live"})
    size = server_module.MAX_WAITING // 4
    for _ in range(3):
        peer.say(Message(m.VIDEO, 0, 1, bytes(size)))
    with pytest.raises(ProtocolError, match="too much"):
        peer.say(Message(m.VIDEO, 0, 1, bytes(size)))


def test_a_broken_command_that_waited_ends_the_connection_at_the_decision() -> None:
    server, peer = new_peer()
    peer.say(m.build_command("connect", 1, {"app": "live"}), Message(m.COMMAND, 0, 0, b"\xff"))
    with pytest.raises(ProtocolError, match="marker"):
        server.accept_connect()
    assert [type(e) for e in peer.events()] == [Closed]


def test_pings_are_answered_while_a_decision_is_pending() -> None:
    _, peer = new_peer()
    peer.call("connect", 1, {"app": "live"})
    peer.say(m.build_user_control(m.PING_REQUEST, 42))
    assert peer.heard() == ["control 7 42"]


def test_connect_refused() -> None:
    server, peer = new_peer()
    peer.call("connect", 1, {"app": "live"})
    server.reject("NetConnection.Connect.Rejected", "No.", close=False)
    assert peer.heard() == ["_error 1 NetConnection.Connect.Rejected"]
    assert peer.events() == [Closed("refused: NetConnection.Connect.Rejected")]
    server.accept_connect()
    assert server.data_to_send() == b""


def test_publish_refused_with_and_without_another_chance() -> None:
    server, peer = connected()
    peer.call("publish", 5, None, "a", "live", stream_id=1)
    server.reject("NetStream.Publish.BadName", "In use.", close=False)
    assert peer.heard() == ["onStatus 0 NetStream.Publish.BadName"]
    (event,) = peer.call("publish", 6, None, "b", "live", stream_id=1)
    assert event.name == "b"
    server.reject("NetStream.Publish.BadName", "In use.")
    assert [type(e) for e in peer.events()] == [Closed]


def test_a_running_publisher_is_sent_away() -> None:
    server, peer = publishing()
    server.reject("NetStream.Publish.Rejected", "Kicked.")
    assert peer.heard() == ["onStatus 0 NetStream.Publish.Rejected"]
    assert [type(e) for e in peer.events()] == [Closed]


def test_there_must_be_something_to_reject() -> None:
    server, _ = connected()
    with pytest.raises(ProtocolError):
        server.reject("NetStream.Publish.BadName", "?")


def test_a_second_publish_on_one_stream_is_refused_and_the_first_goes_on() -> None:
    server, peer = publishing()
    assert peer.call("publish", 9, None, "other", "live", stream_id=1) == []
    assert peer.heard() == ["onStatus 0 NetStream.Publish.BadName"]
    assert [e.payload for e in peer.say(Message(m.AUDIO, 0, 1, b"x"))] == [b"x"]
    assert server.active


def test_a_player_may_switch_to_another_stream() -> None:
    _, peer = playing()
    events = peer.call("play", 5, None, "other", stream_id=1)
    assert [type(e) for e in events] == [StopPlay, PlayRequest]


@pytest.mark.parametrize("command", [("deleteStream", 1.0), ("closeStream",)])
def test_the_ways_to_stop_playing(command: tuple[Any, ...]) -> None:
    server, peer = playing()
    assert peer.call(command[0], 0, None, *command[1:], stream_id=1) == [StopPlay()]
    assert not server.active


def test_deleting_another_stream_stops_nothing() -> None:
    server, peer = playing()
    for argument in (2.0, "x", float("inf"), -1.0):
        assert peer.call("deleteStream", 0, None, argument) == []
    assert server.active


def test_pause_and_seek() -> None:
    _, peer = playing()
    assert peer.call("pause", 0, None, True, 1500, stream_id=1) == [Pause(True, 1500.0)]
    assert peer.call("pause", 0, None, False, 1500, stream_id=1) == [Pause(False, 1500.0)]
    assert peer.call("seek", 0, None, 9000, stream_id=1) == []
    assert peer.heard() == [
        "onStatus 0 NetStream.Pause.Notify", "onStatus 0 NetStream.Unpause.Notify", "onStatus 0 NetStream.Seek.Failed",
    ]  # fmt: skip


def test_side_commands_have_answers() -> None:
    _, peer = connected()
    for number, name in enumerate(("getStreamLength", "_checkbw", "checkBandwidth", "FCUnpublish", "whatever"), 10):
        peer.call(name, number, None, "cam")
    peer.call("unknownWithoutAnswer", 0, None)
    peer.call("receiveAudio", 0, None, True)
    assert peer.heard() == [
        "_result 10", "_result 11", "_result 12", "onBWDone 0", "_result 13",
        "onFCUnpublish 0 NetStream.Unpublish.Success", "_error 14 NetConnection.Call.Failed",
    ]  # fmt: skip


def test_streams_are_numbered_from_one_reused_and_capped() -> None:
    _, peer = connected()
    for number in range(server_module.MAX_NET_STREAMS + 1):
        peer.call("createStream", 10 + number, None)
    results = peer.heard_commands()
    assert [c.arguments[0] for c in results[:-1]] == [float(i) for i in range(1, server_module.MAX_NET_STREAMS + 1)]
    assert results[-1].name == "_error"
    peer.call("deleteStream", 0, None, 3)
    peer.call("createStream", 30, None)
    assert peer.heard_commands()[0].arguments == (3.0,)
    assert peer.call("play", 31, None, "cam", stream_id=4_000_000) == []
    assert peer.heard() == ["onStatus 0 NetStream.Play.Failed"]


def test_publishing_on_stream_zero_works() -> None:
    server, peer = connected()
    (event,) = peer.call("publish", 5, None, "cam", "live")
    assert event.stream_id == 1
    server.accept_publish()
    assert [e.payload for e in peer.say(Message(m.AUDIO, 0, 0, b"x"))] == [b"x"]


@pytest.mark.parametrize("command", ["publish", "play", "connect"])
def test_commands_out_of_order_end_the_connection(command: str) -> None:
    server, peer = connected() if command == "connect" else new_peer()
    with pytest.raises(ProtocolError):
        peer.call(command, 1, {"app": "live"}, "s3cretkey")
    assert server.closed
    assert [type(e) for e in peer.events()] == [Closed]
    peer.call("createStream", 2, None)
    assert server.data_to_send() == b""


def test_media_before_and_after_publishing_are_ignored() -> None:
    _, peer = connected()
    assert peer.say(Message(m.VIDEO, 0, 1, b"x"), Message(m.AGGREGATE, 0, 1, b"broken")) == []
    _, peer = playing()
    assert peer.say(Message(m.VIDEO, 0, 1, b"x"), Message(m.SHARED_OBJECT, 0, 0, b"x")) == []


def test_times_are_unwrapped() -> None:
    _, peer = publishing()
    events = peer.say(*(Message(m.VIDEO, t, 1, b"x") for t in (0xFFFFFFF0, 5, 0xFFFFFFFE, 40)))
    assert [e.timestamp_ms for e in events] == [0xFFFFFFF0, 2**32 + 5, 0xFFFFFFFE, 2**32 + 40]


def test_acknowledgements_come_at_the_window() -> None:
    _, peer = publishing()
    peer.say(m.build_window_ack_size(1000))
    peer.heard()
    for _ in range(4):
        peer.say(Message(m.VIDEO, 0, 1, bytes(300)))
    assert peer.heard() == ["type 3"]
    assert peer.connection.bytes_received > 1200
    peer.say(m.build_acknowledgement(777))
    assert peer.connection.bytes_acknowledged == 777


def test_a_window_of_one_byte_costs_one_answer_per_read() -> None:
    _, peer = publishing()
    peer.say(*[m.build_window_ack_size(1)] * 500)
    assert peer.heard() == ["type 3"]


def test_set_peer_bandwidth_is_answered_with_a_window_once() -> None:
    _, peer = publishing()
    peer.say(m.build_set_peer_bandwidth(500_000), m.build_set_peer_bandwidth(500_000))
    assert peer.heard() == ["type 5"]


def test_the_handshake_has_a_deadline_that_slow_bytes_do_not_move() -> None:
    server = ServerConnection(100.0, zeros)
    assert server.deadline() == 110.0
    for second in range(9):
        server.receive(b"\x03" if second == 0 else b"\x00", 100.0 + second)
        server.tick(100.0 + second)
    with pytest.raises(ProtocolError, match="handshake within 10 s"):
        server.tick(110.0)
    assert server.closed


def test_half_a_handshake_says_nothing_and_costs_little() -> None:
    server = ServerConnection(0.0, zeros)
    server.receive(b"\x03" + bytes(SIZE - 1), 0.0)
    assert server.data_to_send() == b""
    server.receive(b"\x00", 0.0)
    assert len(server.data_to_send()) == 1 + 2 * SIZE


def test_a_client_that_asks_for_nothing_is_sent_away() -> None:
    server, peer = connected()
    server.tick(5.0)
    assert server.deadline() == 35.0
    peer.call("getStreamLength", 2, None, "x", now=20.0)
    with pytest.raises(ProtocolError, match="no publish or play within 30 s"):
        server.tick(35.0)


def test_the_application_may_take_its_time() -> None:
    server, peer = new_peer()
    peer.call("connect", 1, {"app": "live"})
    assert server.deadline() is None
    server.tick(1000.0)


def test_a_silent_player_is_pinged_and_must_answer() -> None:
    server, peer = playing()
    assert server.deadline() == 60.0
    server.tick(60.0)
    assert peer.heard() == ["control 6 60000"]
    assert server.deadline() == 90.0
    peer.say(m.build_user_control(m.PING_RESPONSE, 60000), now=70.0)
    assert server.deadline() == 130.0
    server.tick(130.0)
    with pytest.raises(ProtocolError, match="no answer to a ping"):
        server.tick(160.0)
    assert [type(e) for e in peer.events()] == [StopPlay, Closed]


def test_the_end_of_the_connection_ends_what_runs() -> None:
    for make, kind in ((publishing, Unpublish), (playing, StopPlay)):
        server, peer = make()
        server.receive_eof(1.0)
        server.receive_eof(1.0)
        assert [type(e) for e in peer.events()] == [kind, Closed]
        server.accept_publish()
        server.accept_play()
        server.finish_play()
        server.reject("x", "y")
        assert server.data_to_send() == b""
        assert server.deadline() is None


def test_secrets_are_not_shown() -> None:
    server, peer = new_peer()
    events = peer.call("connect", 1, {"app": "live?token=s3cret", "tcUrl": "rtmp://u:s3cret@h/live?token=s3cret"})
    server.accept_connect()
    events += peer.call("publish", 2, None, "s3cret?key=s3cret", stream_id=1)
    assert len(events) == 2
    assert "s3cret" not in repr(events)


def test_hostile_commands_end_in_a_protocol_error() -> None:
    deep = b"\x03\x00\x01a" * 100_000
    for payload in (deep, b"\x0a\xff\xff\xff\xff", b"\x02\xff\xffab", b"\x12", b"\x03\x00\x01a\x05", b""):
        _, peer = connected()
        with pytest.raises(ProtocolError):
            peer.say(Message(m.COMMAND, 0, 0, payload))


def test_media_of_a_publisher_costs_one_event_each() -> None:
    _, peer = publishing()
    events = peer.say(*(Message(m.AUDIO, i, 1, b"") for i in range(100)))
    assert len(events) == 100
    assert all(isinstance(e, MediaMessage) for e in events)
