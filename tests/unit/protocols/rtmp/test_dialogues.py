"""What well-known clients say, in their order and wording, and the answers that they go by.

Facts from their sources: ffmpeg's rtmpproto.c, librtmp's rtmp.c as OBS has it, GStreamer's rtmp2, VLC through both;
FMLE, which Wirecast and vMix imitate, from captures in public issue trackers.
"""

from typing import Any

import pytest

from evotools.containers.flv import amf0, amf3
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp.chunk import Message, type0_chunks
from evotools.protocols.rtmp.events import (
    Connect,
    MediaMessage,
    Pause,
    PlayRequest,
    PublishRequest,
    Receive,
    Seek,
    StopPlay,
    Unpublish,
)
from evotools.protocols.rtmp.server import ServerConnection, ServerOptions
from tests.unit.protocols.rtmp.peer import Peer, zeros
from tests.unit.protocols.rtmp.test_server import connected, playing, publishing


def client(connect: dict[str, Any], *extra: Any) -> tuple[ServerConnection, Peer, Connect]:
    """A client whose connect was accepted; what it heard is forgotten."""
    server = ServerConnection(0.0, zeros)
    peer = Peer(server)
    (event,) = peer.call("connect", 1, {"app": "live", "tcUrl": "rtmp://h/live", **connect}, *extra)
    assert isinstance(event, Connect)
    server.accept_connect()
    return server, peer, event


def test_obs_studio() -> None:
    server, peer, event = client(
        {"type": "nonprivate", "flashVer": "FMLE/3.0 (compatible; FMSc/1.0)", "swfUrl": "rtmp://h/live",
         "fourCcList": ["av01", "hvc1"]}
    )  # fmt: skip
    assert event.publishes
    assert peer.heard()[-1] == "_result 1 NetConnection.Connect.Success"
    # librtmp sends its chunk size with the first commands, then waits for createStream alone.
    server.receive(type0_chunks(1, 0, 2, 0, (b"\0\0\x10\0",), 128), 0.0)
    peer.writer.chunk_size = 4096
    peer.call("releaseStream", 2, None, "key_1?auth=x")
    peer.call("FCPublish", 3, None, "key_1?auth=x")
    peer.call("createStream", 4, None)
    assert peer.heard()[-1] == "_result 4"
    (asked,) = peer.call("publish", 5, None, "key_1?auth=x", "live", stream_id=1)
    assert (asked.name, asked.query) == ("key_1", {"auth": "x"})
    server.accept_publish()
    assert peer.heard() == ["control 0 1", "onStatus 0 NetStream.Publish.Start"]
    data = m.build_data("@setDataFrame", "onMetaData", amf0.EcmaArray(duration=0.0, encoder="obs"), stream_id=1)
    (media,) = peer.say(data)
    assert isinstance(media, MediaMessage)
    # At the end: FCUnpublish and deleteStream, then the connection closes.
    assert peer.call("FCUnpublish", 6, None, "key_1?auth=x") == [Unpublish()]
    assert peer.call("deleteStream", 7, None, 1.0) == []


def test_fmle_wirecast_and_vmix() -> None:
    server, peer, event = client(
        {"flashVer": "FMLE/3.0 (compatible; FMSc/1.0)", "type": "nonprivate", "fpad": False, "capabilities": 15.0,
         "audioCodecs": 3191.0, "videoCodecs": 252.0, "videoFunction": 1.0, "objectEncoding": 0.0}
    )  # fmt: skip
    assert event.publishes
    peer.heard()
    peer.say(m.build_window_ack_size(2500000))
    peer.call("releaseStream", 2, None, "cam")
    peer.call("FCPublish", 3, None, "cam")
    # They go on when onFCPublish has come.
    assert "onFCPublish 0 NetStream.Publish.Start" in peer.heard()
    peer.call("createStream", 4, None)
    peer.call("_checkbw", 5, None)
    assert peer.heard() == ["_result 4", "_result 5"]
    (asked,) = peer.call("publish", 0, None, "cam", "live", stream_id=1)
    assert isinstance(asked, PublishRequest)
    server.accept_publish()
    assert "onStatus 0 NetStream.Publish.Start" in peer.heard()
    # FMLE stops with FCUnpublish, closeStream and deleteStream, and publishes again on the same connection.
    assert peer.call("FCUnpublish", 6, None, "cam") == [Unpublish()]
    assert peer.call("closeStream", 0, None, stream_id=1) == []
    assert peer.call("deleteStream", 0, None, 1.0) == []
    assert peer.heard() == [
        "onStatus 0 NetStream.Unpublish.Success", "_result 6", "onFCUnpublish 0 NetStream.Unpublish.Success",
    ]  # fmt: skip
    peer.call("createStream", 7, None)
    (asked,) = peer.call("publish", 0, None, "cam", "live", stream_id=1)
    assert isinstance(asked, PublishRequest)


def test_ffmpeg_as_a_player() -> None:
    server, peer, event = client(
        {"flashVer": "LNX 9,0,124,2", "fpad": False, "capabilities": 15.0, "audioCodecs": 4071.0,
         "videoCodecs": 252.0, "videoFunction": 1.0}
    )  # fmt: skip
    assert not event.publishes
    peer.heard()
    peer.say(m.build_window_ack_size(2500000))
    peer.call("createStream", 2, None)
    # getStreamLength comes between createStream's result and play; ffmpeg takes 0 for live.
    peer.call("getStreamLength", 3, None, "cam")
    assert peer.heard() == ["_result 2", "_result 3"]
    (asked,) = peer.call("play", 4, None, "cam", -2000.0, stream_id=1)
    assert asked == PlayRequest("live", "cam", {}, -2000.0, -1000.0, True, 1)
    peer.say(m.build_user_control(m.SET_BUFFER_LENGTH, 1, 3000))
    server.accept_play()
    assert peer.heard() == [
        "control 0 1", "onStatus 0 NetStream.Play.Reset", "onStatus 0 NetStream.Play.Start", "type 18",
    ]  # fmt: skip
    assert peer.call("deleteStream", 0, None, 1.0) == [StopPlay()]


def test_gstreamer_rtmp2_as_a_publisher() -> None:
    server, peer, _ = client({"type": "nonprivate", "flashVer": "LNX 10,0,32,18", "capabilities": 239.0})
    peer.heard()
    # All at once, and the window and the chunk size among them.
    events = peer.say(
        m.build_command("releaseStream", 2, None, "cam"),
        m.build_command("FCPublish", 3, None, "cam"),
        m.build_command("createStream", 4, None),
        m.build_window_ack_size(2500000),
    )
    assert events == []
    assert peer.heard() == ["_result 2", "_result 3", "onFCPublish 0 NetStream.Publish.Start", "_result 4"]
    (asked,) = peer.call("publish", 5, None, "cam", "live", stream_id=1)
    assert isinstance(asked, PublishRequest)
    server.accept_publish()
    assert peer.heard() == ["control 0 1", "onStatus 0 NetStream.Publish.Start"]


def test_librtmp_and_vlc_as_players() -> None:
    server, peer, _ = client({"flashVer": "LNX 10,0,32,18"}, "extra")
    peer.heard()
    peer.say(m.build_window_ack_size(2500000), m.build_user_control(m.SET_BUFFER_LENGTH, 0, 300))
    peer.call("createStream", 2, None)
    (asked,) = peer.call("play", 3, None, "cam", -1000.0, stream_id=1)
    assert asked.start_ms == -1000.0
    peer.say(m.build_user_control(m.SET_BUFFER_LENGTH, 1, 36000000))
    server.accept_play()
    peer.heard()
    # librtmp pauses and resumes when it has read enough ahead.
    assert peer.call("pause", 4, None, True, 100.0, stream_id=1) == [Pause(True, 100.0)]
    assert peer.call("pause", 5, None, False, 100.0, stream_id=1) == [Pause(False, 100.0)]
    assert peer.heard() == ["onStatus 0 NetStream.Pause.Notify", "onStatus 0 NetStream.Unpause.Notify"]


def test_a_flash_player_with_amf3() -> None:
    server = ServerConnection(0.0, zeros)
    peer = Peer(server)
    (event,) = peer.call("connect", 1, {"app": "live", "objectEncoding": 3.0, "capsEx": 4.0})
    assert event.object_encoding == 3
    server.accept_connect()
    (result,) = peer.heard_commands()
    assert result.arguments[0]["objectEncoding"] == 3.0
    # From here on its commands are of type 17, with a format byte, and hold AMF3 where it likes.
    peer.say(Message(m.COMMAND_AMF3, 0, 0, b"\0" + amf0.encode("createStream", 2.0, None)))
    assert peer.heard() == ["_result 2"]
    play = b"\0" + amf0.encode("play", 3.0, None) + b"\x11" + amf3.encode("cam") + b"\x11" + amf3.encode(-2)
    (asked,) = peer.say(Message(m.COMMAND_AMF3, 0, 1, play))
    assert (asked.name, asked.start_ms) == ("cam", -2000.0)
    server.accept_play()
    assert "onStatus 0 NetStream.Play.Start" in peer.heard()
    seek = b"\0" + amf0.encode("pause", 4.0, None) + b"\x11" + amf3.encode(True) + b"\x11" + amf3.encode(1500)
    assert peer.say(Message(m.COMMAND_AMF3, 0, 1, seek)) == [Pause(True, 1500.0)]


def test_a_publisher_that_sends_its_metadata_in_amf3() -> None:
    _, peer = publishing()
    body = b"\0" + amf0.encode("@setDataFrame", "onMetaData") + b"\x11" + amf3.encode({"width": 1280})
    (event,) = peer.say(Message(m.DATA_AMF3, 40, 1, body))
    assert (event.type, event.timestamp_ms) == (18, 40)
    assert amf0.decode_all(event.payload) == ["onMetaData", {"width": 1280}]


def test_data_messages_come_in_order_with_the_media() -> None:
    _, peer = publishing()
    events = peer.say(
        Message(m.VIDEO, 0, 1, b"\x17\x01"),
        Message(m.DATA, 20, 1, amf0.encode("onCuePoint", {"name": "a"})),
        Message(m.AUDIO, 23, 1, b"\xaf\x01"),
        Message(m.DATA, 30, 1, amf0.encode("onTextData", {"text": "b"})),
        Message(m.DATA, 40, 1, amf0.encode("@clearDataFrame", "onMetaData")),
        Message(m.DATA, 40, 1, amf0.encode("|RtmpSampleAccess", True, True)),
    )
    assert [(e.type, e.timestamp_ms) for e in events] == [(9, 0), (18, 20), (8, 23), (18, 30), (18, 40)]


@pytest.mark.parametrize(
    ("kind", "given"), [("live", "live"), ("LIVE", "live"), ("record", "record"), ("append", "append"), ("x", "live")]
)
def test_the_kinds_of_publishing(kind: str, given: str) -> None:
    _, peer = connected()
    peer.call("createStream", 2, None)
    (asked,) = peer.call("publish", 3, None, "cam", kind, stream_id=1)
    assert asked.kind == given


# The commands of players.


def recorded(duration_s: float = 60.0) -> tuple[ServerConnection, Peer]:
    server, peer = connected()
    peer.call("createStream", 2, None)
    peer.call("play", 3, None, "film", 0.0, stream_id=1)
    server.accept_play(duration_s=duration_s)
    return server, peer


def test_a_recorded_stream_is_told_and_can_be_sought() -> None:
    server, peer = recorded()
    assert peer.heard()[1:3] == ["control 4 1", "control 0 1"]
    peer.call("getStreamLength", 4, None, "film")
    (length,) = peer.heard_commands()
    assert length.arguments == (60.0,)
    assert peer.call("seek", 0, None, 9000.0, stream_id=1) == [Seek(9000.0)]
    assert peer.heard() == ["control 0 1", "onStatus 0 NetStream.Seek.Notify", "onStatus 0 NetStream.Play.Start"]
    for position in (-1.0, 60_001.0, float("nan"), "x"):
        assert peer.call("seek", 0, None, position, stream_id=1) == []
        assert peer.heard() == ["onStatus 0 NetStream.Seek.Failed"]
    server.finish_play(unpublished=False)
    assert peer.heard() == ["control 1 1", "onStatus 0 NetStream.Play.Stop"]
    assert peer.call("seek", 0, None, 9000.0, stream_id=1) == []


def test_a_player_chooses_what_it_receives() -> None:
    _, peer = playing()
    assert peer.call("receiveAudio", 0, None, True, stream_id=1) == [], "as it is"
    assert peer.call("receiveVideo", 0, None, False, stream_id=1) == [Receive(True, False)]
    assert peer.heard() == []
    assert peer.call("receiveAudio", 0, None, False, stream_id=1) == [Receive(False, False)]
    assert peer.call("receiveVideo", 0, None, True, stream_id=1) == [Receive(False, True)]
    assert peer.heard() == ["onStatus 0 NetStream.Seek.Notify", "onStatus 0 NetStream.Play.Start"]


def test_play2_changes_the_stream() -> None:
    server, peer = playing()
    wish = {"streamName": "cam_low?k=v", "oldStreamName": "cam", "start": -2.0, "len": -1.0, "transition": "switch"}
    stop, asked = peer.call("play2", 0, None, wish, stream_id=1)
    assert stop == StopPlay()
    assert asked == PlayRequest("live", "cam_low", {"k": "v"}, -2000.0, -1000.0, True, 1)
    server.accept_play()
    assert peer.heard() == [
        "control 0 1", "onStatus 0 NetStream.Play.Reset", "onStatus 0 NetStream.Play.Transition",
        "onStatus 0 NetStream.Play.Start", "type 18",
    ]  # fmt: skip
    _, asked = peer.call("play2", 0, None, {"streamName": "film", "start": 5.0, "len": 10}, stream_id=1)
    assert (asked.start_ms, asked.duration_ms) == (5000.0, 10_000.0)
    _, peer = playing()
    assert [type(e) for e in peer.call("play2", 0, None, 5.0, stream_id=1)] == [StopPlay, PlayRequest]


def test_a_player_that_wants_so_much_and_no_more() -> None:
    server, peer = connected()
    peer.call("createStream", 2, None)
    peer.call("play", 3, None, "cam", -2000, 5000, stream_id=1)
    server.accept_play()
    peer.heard()
    server.tick(server.deadline() or 0.0)
    assert server.deadline() == 5.0
    server.tick(4.9)
    assert peer.events() == []
    server.tick(5.0)
    assert peer.events() == [StopPlay()]
    assert peer.heard() == ["control 1 1", "onStatus 0 NetStream.Play.Stop"]
    assert not server.active
    assert server.deadline() is not None


@pytest.mark.parametrize("duration", [-1, -1000, 0, float("nan"), float("inf"), 1e300])
def test_a_player_that_wants_all_is_pinged_as_ever(duration: float) -> None:
    server, peer = connected(ping_interval_s=30)
    peer.call("createStream", 2, None)
    peer.call("play", 3, None, "cam", -2000, duration, stream_id=1)
    server.accept_play()
    assert server.deadline() == 30.0


def test_a_client_is_asked_to_come_again() -> None:
    server = ServerConnection(0.0, zeros)
    peer = Peer(server)
    (event,) = peer.call("connect", 1, {"app": "live", "capsEx": 3.0})
    assert (event.reconnects, event.multitrack) == (True, True)
    assert not server.request_reconnect(), "too early"
    server.accept_connect()
    (result,) = peer.heard_commands()
    assert result.object["capsEx"] == 7.0
    assert server.request_reconnect("rtmp://other/live", "The server is updated.")
    assert server.request_reconnect()
    first, second = peer.heard_commands()
    assert (first.name, first.transaction, first.stream_id) == ("onStatus", 0.0, 0)
    code = "NetConnection.Connect.ReconnectRequest"
    assert first.arguments[0] == {
        "level": "status", "code": code, "tcUrl": "rtmp://other/live", "description": "The server is updated.",
    }  # fmt: skip
    assert second.arguments[0] == {"level": "status", "code": code}
    server, peer = connected()
    assert not server.request_reconnect("rtmp://other/live"), "a client that would not understand"
    assert peer.heard() == []


def test_options_name_the_times() -> None:
    options = ServerOptions()
    assert (options.handshake_timeout_s, options.ping_interval_s, options.ping_timeout_s) == (10.0, 60.0, 30.0)
