"""The RTMP port as clients meet it: dialogues in raw messages, refusals, floods, the end of streams."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from evotools.containers.flv.tag import VIDEO
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp.chunk import Message
from tests.unit.server.rtmp_client import Client, publish, serving, until


async def test_publish_unpublish_and_publish_again_on_one_connection(tags: list[Message]) -> None:
    async with serving() as server:
        client = await Client.connect(server)
        for n in range(3):
            await publish(client, f"cam{n % 2}", 5 + 2 * n)
            client.send(*tags)
            await until(lambda n=n: (s := server.hub.find(f"live/cam{n % 2}")) is not None and s.frames_in >= 25)
            client.call("FCUnpublish", 0, None, f"cam{n % 2}")
            client.call("deleteStream", 0, None, 1)
            await until(lambda n=n: server.hub.find(f"live/cam{n % 2}").state == "grace")  # type: ignore[union-attr]
        stream = server.hub.find("live/cam0")
        assert stream is not None
        assert stream.session == 2
        client.close()


async def test_play_stop_and_play_again_on_one_connection(tags: list[Message]) -> None:
    async with serving() as server:
        publisher = await Client.connect(server)
        await publish(publisher, "cam")
        publisher.send(*tags)
        player = await Client.connect(server)
        stream = server.hub.find("live/cam")
        assert stream is not None
        for n in range(3):
            player.heard.clear()
            player.call("createStream", 2 + 2 * n, None)
            player.call("play", 3 + 2 * n, None, "cam", -2000, stream_id=1)
            await player.code("NetStream.Play.Start")
            await player.media(10)
            assert stream.viewers == 1
            player.call("deleteStream", 0, None, 1)
            await until(lambda: stream.viewers == 0)
        player.close()
        publisher.close()


@pytest.mark.parametrize(
    ("table", "ask", "code"),
    [
        ({}, ("play", "nobody"), "NetStream.Play.StreamNotFound"),
        ({}, ("play", "a..b/../c"), "NetStream.Play.StreamNotFound"),
        ({"access": {"allow_read": ["10.0.0.0/8"], "trust_loopback": False}}, ("play", "x"), "NetStream.Play.Failed"),
        ({"access": {"trust_loopback": False}}, ("publish", "x"), "NetStream.Publish.Denied"),
        ({}, ("publish", "bad name"), "NetStream.Publish.BadName"),
        ({}, ("publish", "x.m3u8"), "NetStream.Publish.BadName"),
        ({"hub": {"max_streams": 0}}, ("publish", "x"), "NetStream.Publish.BadName"),
    ],
)  # fmt: skip
async def test_who_is_refused_is_told_and_let_go(table: dict[str, Any], ask: tuple[str, str], code: str) -> None:
    """A refused client that stays must not hold a connection for ever."""
    async with serving(table) as server:
        assert server.rtmp is not None
        client = await Client.connect(server)
        client.call("createStream", 4, None)
        client.call(ask[0], 5, None, ask[1], stream_id=1)
        await client.code(code)
        await client.end()
        await until(lambda: server.rtmp is not None and not server.rtmp.sessions)
        assert not server.hub.streams
        client.close()


async def test_media_that_cannot_be_understood_ends_the_publisher_and_keeps_what_came_before(
    tags: list[Message],
) -> None:
    async with serving() as server:
        client = await Client.connect(server)
        await publish(client, "cam")
        client.send(*tags, Message(VIDEO, 2000, 1, b"\x17\x00\x00\x00\x00\x01"))
        await client.end()
        stream = server.hub.find("live/cam")
        assert stream is not None
        assert stream.state == "grace"
        assert stream.frames_in >= 25
        client.close()


async def test_players_are_told_when_the_stream_is_over(tags: list[Message]) -> None:
    async with serving({"hub": {"grace": "0s"}}) as server:
        publisher = await Client.connect(server)
        await publish(publisher, "cam")
        publisher.send(*tags)
        player = await Client.connect(server)
        player.call("createStream", 2, None)
        player.call("play", 3, None, "cam", -2000, stream_id=1)
        await player.media(10)
        publisher.writer.transport.abort()
        await player.code("NetStream.Play.UnpublishNotify")
        await player.end()
        player.close()


async def test_players_of_a_source_that_fails_are_told_at_once() -> None:
    table = {"streams": {"lazy": {"source": "exec:no-such-program-at-all", "on_demand": True},
                         "late": {"source": "test:?size=64x64", "on_demand": True}}}  # fmt: skip
    async with serving(table) as server:
        server.sources._streams["lazy"].source = "null:"  # A source that is refused when it is opened.
        player = await Client.connect(server, app="")
        player.call("createStream", 2, None)
        player.call("play", 3, None, "lazy", -2000, stream_id=1)
        await player.code("NetStream.Play.UnpublishNotify")
        await player.end()
        player.close()


async def test_a_take_over_tells_the_first_and_serves_the_second(tags: list[Message]) -> None:
    async with serving({"hub": {"conflict": "takeover"}}) as server:
        first, second = await Client.connect(server), await Client.connect(server)
        await publish(first, "cam")
        first.send(*tags)
        await until(lambda: server.hub.find("live/cam").frames_in >= 25)  # type: ignore[union-attr]
        await publish(second, "cam")
        await first.code("NetStream.Publish.BadName")
        await first.end()
        second.send(*tags)
        await until(lambda: server.hub.find("live/cam").frames_in >= 50)  # type: ignore[union-attr]
        stream = server.hub.find("live/cam")
        assert stream is not None
        assert (stream.session, stream.state) == (2, "live")
        first.close()
        second.close()


async def test_connections_beyond_the_cap_are_closed_and_the_others_live_on(tags: list[Message]) -> None:
    async with serving({"rtmp": {"max_connections": 2}}) as server:
        clients = [await Client.connect(server) for _ in range(2)]
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await Client.connect(server)
        assert server.rtmp is not None
        assert server.rtmp.refused == 1
        await publish(clients[0], "cam")
        clients[1].writer.transport.abort()
        await until(lambda: server.rtmp is not None and len(server.rtmp.sessions) == 1)
        (await Client.connect(server)).close()
        clients[0].close()


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n" * 200, bytes(range(256)) * 20, b"\x03" + bytes(5000)])
async def test_junk_costs_its_connection_only(junk: bytes) -> None:
    async with serving() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.rtmp_port)
        writer.write(junk)
        writer.write_eof()
        async with asyncio.timeout(5):
            try:
                while await reader.read(65536):
                    pass
            except ConnectionError:
                pass
        writer.close()
        assert server.rtmp is not None
        await until(lambda: server.rtmp is not None and not server.rtmp.sessions)
        (await Client.connect(server)).close()


async def test_stopping_tells_everybody(tags: list[Message]) -> None:
    async with serving() as server:
        publisher, player = await Client.connect(server), await Client.connect(server)
        await publish(publisher, "cam")
        publisher.send(*tags)
        player.call("createStream", 2, None)
        player.call("play", 3, None, "cam", -2000, stream_id=1)
        await player.media(10)
        ends: list[Awaitable[None]] = [player.code("NetStream.Play.Stop"), publisher.end()]
        await server.stop()
        await asyncio.gather(*ends)
        await player.end()
        player.close()
        publisher.close()


async def created(client: Client, number: int) -> None:
    """A stream of that number."""
    client.call("createStream", 90 + number, None)
    while not any(m.parse_command(c).transaction == 90 + number for c in client.heard if c.type == m.COMMAND):
        assert await client.hear()


async def test_two_published_and_one_played_on_one_connection(tags: list[Message]) -> None:
    async with serving({"hub": {"grace": "0s"}}) as server:
        client = await Client.connect(server)
        for number in (1, 2):
            await created(client, number)
            client.call("publish", 0, None, f"cam{number}", "live", stream_id=number)
            await client.code("NetStream.Publish.Start")
            client.send(*(Message(t.type, t.timestamp, number, t.payload) for t in tags))
        await created(client, 3)
        client.call("play", 0, None, "cam2", -2000, stream_id=3)
        await client.code("NetStream.Play.Start")
        assert {message.stream_id for message in await client.media(10)} == {3}
        first, second = server.hub.find("live/cam1"), server.hub.find("live/cam2")
        assert first is not None
        assert second is not None
        await until(lambda: first.frames_in >= 25 and second.frames_in >= 25)
        assert second.viewers == 1
        # The end of the first leaves the second and its player.
        client.call("deleteStream", 0, None, 1)
        await client.code("NetStream.Unpublish.Success")
        await until(lambda: server.hub.find("live/cam1") is None)
        assert (second.state, second.viewers) == ("live", 1)
        # The end of the second is told to the player, and the connection, on which nothing runs, ends.
        client.call("deleteStream", 0, None, 2)
        await client.code("NetStream.Play.UnpublishNotify")
        await client.end()
        await until(lambda: server.rtmp is not None and not server.rtmp.sessions and not server.rtmp.publishers)
        client.close()


async def test_two_played_on_one_connection_are_paused_and_left_alone(tags: list[Message]) -> None:
    async with serving() as server:
        publisher = await Client.connect(server)
        await publish(publisher, "cam")
        publisher.send(*tags)
        player = await Client.connect(server)
        for number in (1, 2):
            await created(player, number)
            player.call("play", 0, None, "cam", -2000, stream_id=number)
            await player.code("NetStream.Play.Start")
        stream = server.hub.find("live/cam")
        assert stream is not None
        await until(lambda: stream.viewers == 2)
        while {x.stream_id for x in await player.media(1)} != {1, 2}:
            await player.hear()
        player.call("pause", 0, None, True, 0, stream_id=1)
        await player.code("NetStream.Pause.Notify")
        await until(lambda: stream.viewers == 1)
        player.heard.clear()
        publisher.send(*(Message(t.type, t.timestamp + 1000, 1, t.payload) for t in tags))
        assert {x.stream_id for x in await player.media(10)} == {2}
        player.call("deleteStream", 0, None, 2)
        await until(lambda: stream.viewers == 0)
        player.close()
        publisher.close()


async def test_one_connection_that_publishes_a_name_twice_takes_over_from_itself(tags: list[Message]) -> None:
    async with serving({"hub": {"conflict": "takeover"}}) as server:
        client = await Client.connect(server)
        await publish(client, "cam")
        client.send(*tags)
        await created(client, 2)
        client.call("publish", 0, None, "cam", "live", stream_id=2)
        await client.code("NetStream.Publish.BadName")
        await client.code("NetStream.Publish.Start")
        client.send(*(Message(t.type, t.timestamp, 2, t.payload) for t in tags))
        stream = server.hub.find("live/cam")
        assert stream is not None
        await until(lambda: stream.session == 2 and stream.frames_in >= 50)
        assert server.rtmp is not None
        assert len(server.rtmp.publishers) == 1
        client.close()


async def test_who_is_refused_a_second_stream_keeps_the_first(tags: list[Message]) -> None:
    async with serving() as server:
        client = await Client.connect(server)
        await publish(client, "cam")
        client.send(*tags)
        await created(client, 2)
        client.call("publish", 0, None, "bad name", "live", stream_id=2)
        await client.code("NetStream.Publish.BadName")
        client.call("play", 0, None, "nobody", stream_id=2)
        await client.code("NetStream.Play.StreamNotFound")
        client.send(*(Message(t.type, t.timestamp + 1000, 1, t.payload) for t in tags))
        stream = server.hub.find("live/cam")
        assert stream is not None
        await until(lambda: stream.frames_in >= 50)
        client.close()


async def test_a_flood_of_names_leaves_nothing_and_names_on_the_air_are_capped(tags: list[Message]) -> None:
    async with serving({"hub": {"max_streams": 3}}) as server:
        client = await Client.connect(server)
        await publish(client, "cam1")
        for number in range(1000):
            client.call("play", 0, None, f"nobody-{number}", stream_id=2)
        while client.codes.count("NetStream.Play.StreamNotFound") < 1000:
            assert await client.hear()
        assert [*server.hub.streams] == ["live/cam1"]
        client.codes.clear()
        for number in range(2, 6):
            client.call("publish", 0, None, f"cam{number}", "live", stream_id=number)
        while len(client.codes) < 4:
            assert await client.hear()
        assert client.codes == ["NetStream.Publish.Start"] * 2 + ["NetStream.Publish.BadName"] * 2
        assert len(server.hub.streams) == 3
        client.close()


async def test_the_end_of_one_that_is_played_leaves_the_other(tags: list[Message]) -> None:
    async with serving({"hub": {"grace": "0s"}}) as server:
        publishers = [await Client.connect(server) for _ in range(2)]
        player = await Client.connect(server)
        for number, publisher in enumerate(publishers, 1):
            await publish(publisher, f"cam{number}")
            publisher.send(*tags)
            player.call("play", 0, None, f"cam{number}", -2000, stream_id=number)
            await player.code("NetStream.Play.Start")
        publishers[0].writer.transport.abort()
        await player.code("NetStream.Play.UnpublishNotify")
        player.heard.clear()
        publishers[1].send(*(Message(t.type, t.timestamp + 1000, 1, t.payload) for t in tags))
        assert {x.stream_id for x in await player.media(10)} == {2}
        publishers[1].close()
        await player.end()
        player.close()
