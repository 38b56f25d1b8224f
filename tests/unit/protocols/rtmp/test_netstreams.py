"""Several streams on one connection: numbers, states and ends of each are its own."""

import pytest

from evotools.errors import ProtocolError
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp import server as server_module
from evotools.protocols.rtmp.chunk import Message
from evotools.protocols.rtmp.events import (
    Closed,
    MediaMessage,
    Pause,
    PlayRequest,
    PublishRequest,
    Receive,
    StopPlay,
    Unpublish,
)
from evotools.protocols.rtmp.server import ServerConnection
from tests.unit.protocols.rtmp.peer import Peer
from tests.unit.protocols.rtmp.test_server import connected


def with_streams(*kinds: str) -> tuple[ServerConnection, Peer]:
    """A connection with a stream `cam1`, `cam2` … of each kind that runs."""
    server, peer = connected()
    for number, kind in enumerate(kinds, 1):
        peer.call("createStream", 10 + number, None)
        (event,) = peer.call(kind, 0, None, f"cam{number}", stream_id=number)
        assert event.stream_id == number
        if kind == "publish":
            server.accept_publish()
        else:
            server.accept_play()
    peer.heard()
    return server, peer


def stream_ids(peer: Peer) -> list[int]:
    """Of the status messages that came."""
    return [command.stream_id for command in peer.heard_commands()]


def test_one_connection_publishes_and_plays() -> None:
    server, peer = with_streams("publish", "play")
    (media,) = peer.say(Message(m.VIDEO, 0, 1, b"x"))
    assert (media.stream_id, media.payload) == (1, b"x")
    assert peer.call("pause", 0, None, True, 40, stream_id=2) == [Pause(True, 40.0, 2)]
    assert stream_ids(peer) == [2]
    assert peer.call("pause", 0, None, True, 40, stream_id=1) == [], "a publisher has nothing to pause"
    assert peer.call("deleteStream", 0, None, 2) == [StopPlay(2)]
    assert [e.payload for e in peer.say(Message(m.VIDEO, 40, 1, b"y"))] == [b"y"]
    assert server.active


def test_two_publish_and_each_has_its_own_clock() -> None:
    _, peer = with_streams("publish", "publish")
    media = ((0xFFFFFFF0, 1), (5, 2), (8, 1), (45, 2))
    events = peer.say(*(Message(m.VIDEO, time, number, bytes((number,))) for time, number in media))
    assert [(e.stream_id, e.timestamp_ms) for e in events] == [(1, 0xFFFFFFF0), (2, 5), (1, 2**32 + 8), (2, 45)]
    assert all(e.payload == bytes((e.stream_id,)) for e in events)


@pytest.mark.parametrize(
    "farewell", [("deleteStream", 0, None, 2.0), ("FCUnpublish", 0, None, "cam2"), ("closeStream", 0, None)]
)
def test_the_end_of_one_is_not_the_end_of_the_other(farewell: tuple[str, int, None]) -> None:
    server, peer = with_streams("publish", "publish")
    name, transaction, *values = farewell
    stream_id = 2 if name == "closeStream" else 0
    assert peer.call(name, transaction, *values, stream_id=stream_id) == [Unpublish(2)]
    assert stream_ids(peer)[0] == 2, "the status belongs to the stream that ended"
    # What was on its way for the second does not get into the first.
    (media,) = peer.say(Message(m.VIDEO, 0, 2, b"late"), Message(m.VIDEO, 0, 1, b"x"))
    assert (media.stream_id, media.payload) == (1, b"x")
    assert server.active


def test_fc_unpublish_of_a_name_that_is_not_published_ends_none_of_several() -> None:
    server, peer = with_streams("publish", "publish")
    assert peer.call("FCUnpublish", 0, None, "other") == []
    assert [s.active for s in server.streams.values()] == [True, True]


def test_commands_on_stream_zero_are_for_the_only_one_that_runs() -> None:
    _, peer = with_streams("play")
    assert peer.call("pause", 0, None, True, 0) == [Pause(True, 0.0, 1)]
    _, peer = with_streams("play", "play")
    assert peer.call("pause", 0, None, True, 0) == [], "nobody can tell which"
    assert peer.call("closeStream", 0, None) == []


def test_what_a_player_receives_is_said_of_each() -> None:
    _, peer = with_streams("play", "play")
    assert peer.call("receiveAudio", 0, None, False, stream_id=1) == [Receive(False, True, 1)]
    assert peer.call("receiveVideo", 0, None, False, stream_id=2) == [Receive(True, False, 2)]


def test_a_stream_that_publishes_does_not_play() -> None:
    server, peer = with_streams("publish")
    assert peer.call("play", 0, None, "other", stream_id=1) == []
    assert peer.heard() == ["onStatus 0 NetStream.Play.Failed"]
    assert server.active


def test_another_play_on_one_stream_leaves_the_other() -> None:
    server, peer = with_streams("play", "play")
    stop, asked = peer.call("play", 0, None, "next", stream_id=2)
    assert stop == StopPlay(2)
    assert (asked.name, asked.stream_id) == ("next", 2)
    server.accept_play()
    assert [s.active for s in server.streams.values()] == [True, True]


def test_media_goes_on_while_the_application_thinks_about_another_stream() -> None:
    server, peer = with_streams("publish")
    peer.call("createStream", 0, None)
    (asked,) = peer.call("publish", 0, None, "second", stream_id=2)
    assert isinstance(asked, PublishRequest)
    events = peer.say(
        Message(m.VIDEO, 0, 2, b"second"),
        m.build_command("play", 0, None, "third", stream_id=3),
        Message(m.VIDEO, 0, 1, b"first"),
    )
    assert [e.payload for e in events] == [b"first"]
    server.accept_publish()
    media, play = peer.events()
    assert isinstance(media, MediaMessage)
    assert (media.stream_id, media.payload) == (2, b"second")
    assert isinstance(play, PlayRequest)


def test_who_is_refused_keeps_what_runs() -> None:
    server, peer = with_streams("publish")
    peer.call("publish", 0, None, "second", stream_id=2)
    server.reject("NetStream.Publish.BadName", "In use.")
    assert peer.events() == []
    assert stream_ids(peer) == [2]
    assert [e.payload for e in peer.say(Message(m.VIDEO, 0, 1, b"x"))] == [b"x"]
    server.reject("NetStream.Publish.Denied", "Enough.")
    assert [type(e) for e in peer.events()] == [Closed], "nothing runs any more"


def test_one_of_several_is_sent_away() -> None:
    server, peer = with_streams("publish", "publish")
    with pytest.raises(ProtocolError, match="nothing to reject"):
        server.reject("NetStream.Publish.Denied", "Which?")
    server.reject("NetStream.Publish.Denied", "Enough.", stream_id=1)
    assert peer.events() == []
    assert stream_ids(peer) == [1]
    assert peer.say(Message(m.VIDEO, 0, 1, b"late")) == []
    server.reject("NetStream.Publish.Denied", "Enough.", stream_id=2)
    assert [type(e) for e in peer.events()] == [Closed]


def test_one_play_is_over_or_all_are() -> None:
    server, peer = with_streams("play", "play", "publish")
    server.finish_play(stream_id=2)
    assert peer.heard() == [
        "onStatus 0 NetStream.Play.UnpublishNotify", "control 1 2", "onStatus 0 NetStream.Play.Stop",
    ]  # fmt: skip
    assert [s.active for s in server.streams.values()] == [True, False, True]
    server.finish_play()
    assert "control 1 1" in peer.heard()
    assert [s.active for s in server.streams.values()] == [False, False, True]


def test_the_time_of_one_play_is_over() -> None:
    server, peer = with_streams("play")
    peer.call("play", 0, None, "cam", -2000, 5000, stream_id=2)
    server.accept_play()
    server.tick(server.deadline() or 0.0)
    assert server.deadline() == 5.0
    server.tick(5.0)
    assert peer.events() == [StopPlay(2)]
    assert server.active
    assert server.deadline() == 60.0, "the other one is pinged as ever"


def test_all_that_runs_ends_with_the_connection() -> None:
    server, peer = with_streams("publish", "play", "publish")
    server.receive_eof(1.0)
    left = "the peer closed the connection"
    assert peer.events()[:3] == [Unpublish(1, left), StopPlay(2), Unpublish(3, left)]
    assert server.deadline() is None


def test_streams_are_capped_whether_they_were_created_or_just_used() -> None:
    _, peer = connected()
    for number in range(server_module.MAX_NET_STREAMS):
        assert len(peer.call("play", 0, None, "cam", stream_id=number + 1)) == 1
        peer.connection.accept_play()  # type: ignore[union-attr]
    peer.heard()
    assert peer.call("play", 0, None, "cam", stream_id=server_module.MAX_NET_STREAMS + 1) == []
    peer.call("createStream", 7, None)
    assert peer.heard() == ["onStatus 0 NetStream.Play.Failed", "_error 7 NetConnection.Call.Failed"]


def test_deleting_frees_the_number_and_what_runs_on_it() -> None:
    _, peer = with_streams("play", "play", "play")
    assert peer.call("deleteStream", 0, None, 2) == [StopPlay(2)]
    peer.call("createStream", 9, None)
    assert peer.heard_commands()[-1].arguments == (2.0,)
