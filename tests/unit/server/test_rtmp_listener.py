"""The RTMP port as clients meet it: dialogues in raw messages, refusals, floods, the end of streams."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import evotools
from evotools.containers.flv.tag import AUDIO, VIDEO
from evotools.containers.flv.writer import TagWriter
from evotools.media.frame import Frame, Tracks
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp.chunk import ChunkReader, ChunkWriter, Message
from evotools.protocols.rtmp.handshake import SIZE
from evotools.server.app import Server
from evotools.server.config import parse


@asynccontextmanager
async def serving(table: dict[str, Any] | None = None) -> AsyncIterator[Server]:
    config = parse(table or {})
    config.rtmp.listen = "127.0.0.1:0"
    config.http.enabled = False
    server = Server(config)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def until(ready: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not ready():
            await asyncio.sleep(0.002)


class Client:
    """A raw RTMP client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.chunks = ChunkReader()
        self.out = ChunkWriter()
        self.heard: list[Message] = []
        self.codes: list[str] = []
        self.at_end = False

    @classmethod
    async def connect(cls, server: Server, app: str = "live") -> "Client":
        reader, writer = await asyncio.open_connection("127.0.0.1", server.rtmp_port)
        client = cls(reader, writer)
        writer.write(b"\x03" + bytes(SIZE))
        await reader.readexactly(1 + 2 * SIZE)
        writer.write(bytes(SIZE))
        client.call("connect", 1, {"app": app, "tcUrl": f"rtmp://h/{app}"})
        await client.code("NetConnection.Connect.Success")
        return client

    def send(self, *messages: Message) -> None:
        self.writer.write(b"".join(map(self.out.write, messages)))

    def call(self, name: str, transaction: float, *values: Any, stream_id: int = 0) -> None:
        self.send(m.build_command(name, transaction, *values, stream_id=stream_id))

    async def hear(self) -> bool:
        """The next messages; False at the end."""
        async with asyncio.timeout(10):
            data = await self.reader.read(65536)
        for message in self.chunks.feed(data):
            self.heard.append(message)
            if message.type == m.COMMAND:
                info = next((a for a in m.parse_command(message).arguments if isinstance(a, dict)), {})
                self.codes.append(str(info.get("code", "")))
        self.at_end = not data
        return bool(data)

    async def code(self, wanted: str) -> None:
        """Until the server said this; it is forgotten then."""
        while wanted not in self.codes:
            assert await self.hear(), f"{self.codes} and then the end, without {wanted}"
        del self.codes[: self.codes.index(wanted) + 1]

    async def media(self, count: int) -> list[Message]:
        """So many audio and video messages."""
        while len(found := [x for x in self.heard if x.type in (AUDIO, VIDEO)]) < count:
            assert await self.hear(), "the end"
        return found

    async def end(self) -> None:
        """Until the server closes the connection."""
        while not self.at_end:
            try:
                await self.hear()
            except ConnectionError:
                return

    def close(self) -> None:
        self.writer.close()


@pytest.fixture(scope="module")
def tags() -> list[Message]:
    """A second of media as messages on stream 1."""

    async def make() -> list[Message]:
        writer = TagWriter()
        found = []
        async with evotools.open_source("test:?size=64x64&realtime=0&duration=1s&seed=1") as source:
            async for event in source:
                if isinstance(event, Tracks):
                    found += writer.start(event.tracks)
                elif isinstance(event, Frame) and (tag := writer.tag(event)) is not None:
                    found.append(tag)
        return [Message(t.type, 1, t.timestamp_ms, b"".join((t.prefix, t.payload))) for t in found]

    return asyncio.run(make())


async def publish(client: Client, name: str, transaction: float = 5) -> None:
    client.call("createStream", transaction - 1, None)
    client.call("publish", transaction, None, name, "live", stream_id=1)
    await client.code("NetStream.Publish.Start")


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
        client.send(*tags, Message(VIDEO, 1, 2000, b"\x17\x00\x00\x00\x00\x01"))
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
