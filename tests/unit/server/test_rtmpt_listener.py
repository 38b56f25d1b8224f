"""RTMPT: RTMP dialogues in POST requests, retries, floods, and what a client may do wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from evotools.containers.flv.tag import AUDIO, VIDEO
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp.chunk import Message
from evotools.protocols.rtmp.handshake import SIZE
from evotools.server.app import Server
from evotools.server.config import parse
from evotools.server.listeners import rtmpt
from evotools.server.listeners.rtmpt import Tunnel
from tests.unit.server.rtmp_client import Client, publish, until


@asynccontextmanager
async def serving(table: dict[str, Any] | None = None) -> AsyncIterator[Server]:
    config = parse(table or {})
    config.rtmp.listen = "127.0.0.1:0"
    config.http.listen = "127.0.0.1:0"
    server = Server(config)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def tunnel_of(server: Server) -> Tunnel:
    assert server.http is not None
    assert server.http._tunnel is not None
    return server.http._tunnel


class Post:
    """One connection of an HTTP client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, server: Server) -> "Post":
        return cls(*await asyncio.open_connection("127.0.0.1", server.http_port))

    async def __call__(
        self, path: str, body: bytes = b"\0", *, kind: str = "application/x-fcs", fields: str = ""
    ) -> tuple[int, bytes]:
        self.writer.write(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{fields}"
            f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        )  # fmt: skip
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].split("\r\n")[0])
            answer = await self.reader.readexactly(length)
        status = int(head.split()[1])
        assert status != 200 or "content-type: application/x-fcs\r\n" in head
        return status, answer


class TunnelClient(Client):
    """A raw RTMP client in a tunnel."""

    post: Post
    id = ""
    sequence = 0
    delay = 0

    @classmethod
    async def connect(cls, server: Server, app: str = "live", fields: str = "") -> "TunnelClient":
        post = await Post.connect(server)
        client = cls(post.reader, post.writer)
        client.post = post
        client.waiting = bytearray()
        status, answer = await post("/open/1", fields=fields)
        assert status == 200
        client.id = answer.decode().strip()
        client.waiting += b"\x03" + bytes(SIZE)
        got = b""
        while len(got) < 1 + 2 * SIZE:
            got += await client.fetch()
        client.waiting += bytes(SIZE)
        client.call("connect", 1, {"app": app, "tcUrl": f"rtmpt://h/{app}"})
        await client.code("NetConnection.Connect.Success")
        return client

    def send(self, *messages: Message) -> None:
        self.waiting += b"".join(map(self.out.write, messages))

    async def fetch(self) -> bytes:
        body, self.waiting = bytes(self.waiting), bytearray()
        self.sequence += 1
        command = "send" if body else "idle"
        status, answer = await self.post(f"/{command}/{self.id}/{self.sequence}", body or b"\0")
        if status == 404:
            self.at_end = True
            return b""
        assert status == 200, answer
        self.delay = answer[0]
        return answer[1:]

    async def hear(self) -> bool:
        data = await self.fetch()
        for message in self.chunks.feed(data):
            self.heard.append(message)
            if message.type == m.COMMAND:
                info = next((a for a in m.parse_command(message).arguments if isinstance(a, dict)), {})
                self.codes.append(str(info.get("code", "")))
        if not data and not self.at_end:
            await asyncio.sleep(0.01)
        return not self.at_end

    waiting: bytearray


async def test_publish_and_play_with_rtmp_on_the_other_side(tags: list[Message]) -> None:
    async with serving() as server:
        publisher = await TunnelClient.connect(server)
        await publish(publisher, "cam")
        player = await TunnelClient.connect(server)
        plain = await Client.connect(server)
        for client in (player, plain):
            client.call("createStream", 2, None)
            client.call("play", 3, None, "cam", -2000, stream_id=1)
            await client.code("NetStream.Play.Start")
        stream = server.hub.find("live/cam")
        assert stream is not None
        assert stream.publisher is not None
        assert (stream.publisher.protocol, stream.publisher.peer) == ("rtmpt", "127.0.0.1")
        assert stream.viewers == 2
        publisher.send(*tags)
        await publisher.fetch()
        count = sum(tag.type in (AUDIO, VIDEO) for tag in tags)
        wanted = [tag.payload for tag in tags if tag.type in (AUDIO, VIDEO)]
        for client in (player, plain):
            assert [bytes(x.payload) for x in (await client.media(count))] == wanted
        # Nothing more to say: the advised pause grows, and shrinks with the next media.
        for _ in range(10):
            await player.fetch()
        assert player.delay == 0x21
        publisher.call("FCUnpublish", 0, None, "cam")
        publisher.call("deleteStream", 0, None, 1)
        await publisher.fetch()
        await until(lambda: stream.state == "grace")
        assert (await publisher.post(f"/close/{publisher.id}/9"))[1] == b"\0"
        await until(lambda: len(tunnel_of(server).sessions) == 1)
        assert (await publisher.post(f"/idle/{publisher.id}/10"))[0] == 404
        # The server stops: the player has what waits for it, and then there is no session.
        server.hub.end("live/cam")
        await player.code("NetStream.Play.UnpublishNotify")
        await player.end()
        await until(lambda: not tunnel_of(server).sessions)
        for client in (publisher, player, plain):
            client.close()


async def test_an_answer_that_got_lost_is_given_again_and_nothing_is_taken_twice(tags: list[Message]) -> None:
    async with serving() as server:
        client = await TunnelClient.connect(server)
        client.call("createStream", 2, None)
        body, client.waiting = bytes(client.waiting), bytearray()
        client.sequence += 1
        path = f"/send/{client.id}/{client.sequence}"
        # The connection breaks behind the request; the client goes on over another.
        client.post.writer.write(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-fcs\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        session = tunnel_of(server).sessions[client.id]
        await until(lambda: len(session.reply) > 1)
        client.close()
        client.post = await Post.connect(server)
        status, answer = await client.post(path, body)
        assert (status, answer) == (200, session.reply)
        results = [x for x in client.chunks.feed(answer[1:]) if x.type == m.COMMAND]
        assert [m.parse_command(x).name for x in results] == ["_result"]
        assert (await client.fetch()) == b""
        client.post.writer.close()


async def test_missing_bytes_end_the_session(tags: list[Message]) -> None:
    async with serving() as server:
        client = await TunnelClient.connect(server)
        await publish(client, "cam")
        status, text = await client.post(f"/send/{client.id}/{client.sequence + 2}", b"\0")
        assert status == 400
        assert b"missing" in text
        await until(lambda: not tunnel_of(server).sessions)
        stream = server.hub.find("live/cam")
        assert stream is not None
        assert stream.state == "grace"
        client.close()


async def test_half_a_request_ends_the_session() -> None:
    async with serving() as server:
        client = await TunnelClient.connect(server)
        await publish(client, "cam")
        client.post.writer.write(
            f"POST /send/{client.id}/{client.sequence + 1} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-fcs\r\n"
            "Content-Length: 100\r\n\r\nhalf".encode()
        )
        session = tunnel_of(server).sessions[client.id]
        await until(lambda: session.busy)
        other = await Post.connect(server)
        assert (await other(f"/idle/{client.id}/{client.sequence + 2}"))[0] == 409
        client.close()
        await until(lambda: not tunnel_of(server).sessions)
        other.writer.close()


@pytest.mark.parametrize(
    ("path", "kind", "body", "status"),
    [
        ("/fcs/ident2", "application/x-fcs", b"\0", 404),
        ("/open/1", "text/plain", b"\0", 415),
        ("/open/1", "application/x-fcs", bytes(2000), 413),
        ("/send/0123456789abcdef0123456789abcdef/1", "application/x-fcs", b"\0", 404),
        ("/idle/0123456789abcdef0123456789abcdef/1", "application/x-fcs", b"\0", 404),
        ("/close/0123456789abcdef0123456789abcdef", "application/x-fcs", b"\0", 404),
        ("/idle/x/99999999999", "application/x-fcs", b"\0", 405),
        ("/rename/x/1", "application/x-fcs", b"\0", 405),
    ],
)
async def test_what_is_refused(path: str, kind: str, body: bytes, status: int) -> None:
    async with serving() as server:
        post = await Post.connect(server)
        assert (await post(path, body, kind=kind))[0] == status
        assert not tunnel_of(server).sessions
        post.writer.close()


async def test_requests_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtmpt, "MAX_SEND", 10_000)
    async with serving() as server:
        client = await TunnelClient.connect(server)
        assert (await client.post(f"/send/{client.id}/{client.sequence + 1}", bytes(10_001)))[0] == 413
        await until(lambda: not tunnel_of(server).sessions)
        client.close()


async def test_sessions_are_capped_and_end_when_nobody_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtmpt, "SESSION_IDLE_S", 0.2)
    monkeypatch.setattr(rtmpt, "SWEEP_S", 0.02)
    async with serving() as server:
        tunnel = tunnel_of(server)
        tunnel._max_sessions = 3
        post = await Post.connect(server)
        ids = {(await post("/open/1"))[1] for _ in range(3)}
        assert len(ids) == 3
        assert (await post("/open/1"))[0] == 503
        assert server.rtmp is not None
        await until(lambda: not tunnel.sessions)
        assert not tunnel._per_peer
        assert not tunnel.listener.sessions
        assert (await post("/open/1"))[0] == 200
        post.writer.close()


async def test_access_hears_what_http_said() -> None:
    """A proxy on this machine, or a page in its browser, is not this machine."""
    async with serving() as server:
        for fields in ("X-Forwarded-For: 192.0.2.1\r\n", "Origin: https://evil.example\r\n"):
            client = await TunnelClient.connect(server, fields=fields)
            client.call("createStream", 4, None)
            client.call("publish", 5, None, "cam", "live", stream_id=1)
            await client.code("NetStream.Publish.Denied")
            assert not len(server.hub)
            client.close()


async def test_a_player_that_does_not_fetch_is_a_slow_viewer(tags: list[Message]) -> None:
    async with serving() as server:
        publisher = await Client.connect(server)
        await publish(publisher, "cam")
        player = await TunnelClient.connect(server)
        player.call("createStream", 2, None)
        player.call("play", 3, None, "cam", -2000, stream_id=1)
        await player.code("NetStream.Play.Start")
        session = tunnel_of(server).sessions[player.id]
        stream = server.hub.find("live/cam")
        assert stream is not None
        publisher.send(*tags)
        await until(lambda: session.pipe.get_write_buffer_size())
        held = session.pipe.get_write_buffer_size()
        # Nothing is written to it while something waits; the rest stays in the ring that all share.
        seconds = 0
        while stream.frames_in < 2000:
            seconds += 1
            before = stream.frames_in
            publisher.send(*(Message(t.type, t.timestamp + 1000 * seconds, 1, t.payload) for t in tags))
            await until(lambda before=before: stream.frames_in > before)  # type: ignore[misc]
        assert session.pipe.get_write_buffer_size() <= held + 1000
        viewer = session.rtmp._players[1]._viewer
        assert viewer is not None
        while not viewer.skips:
            await player.fetch()
        publisher.close()
        player.close()


async def test_without_rtmp_there_is_no_tunnel() -> None:
    async with serving({"rtmp": {"enabled": False}}) as server:
        post = await Post.connect(server)
        assert (await post("/open/1"))[0] == 405
        post.writer.close()


async def test_a_request_that_drips_runs_into_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtmpt, "REQUEST_S", 0.3)
    monkeypatch.setattr(rtmpt, "SWEEP_S", 0.02)
    async with serving() as server:
        client = await TunnelClient.connect(server)
        tunnel, writer = tunnel_of(server), client.post.writer
        writer.write(
            f"POST /send/{client.id}/{client.sequence + 1} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-fcs\r\n"
            "Content-Length: 100000\r\n\r\n".encode()
        )

        async def drip() -> None:
            while not writer.transport.is_closing():
                writer.write(b"\x02")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        async with asyncio.timeout(5):
            head = await client.post.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        await until(lambda: not tunnel.sessions and not tunnel.exchanges)
        dripping.cancel()
        client.close()


async def test_what_nobody_fetches_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers to questions, and the group of pictures that a new viewer gets."""
    monkeypatch.setattr(rtmpt, "MAX_UNSENT", 100_000)
    monkeypatch.setattr(rtmpt, "MAX_REPLY", 10)
    async with serving() as server:
        client = await TunnelClient.connect(server)
        session = tunnel_of(server).sessions[client.id]
        ping = m.build_user_control(m.PING_REQUEST, 1)
        for _ in range(20):
            client.send(*[ping] * 1000)
            await client.fetch()
            assert session.pipe.get_write_buffer_size() <= 100_000
            if client.at_end:
                break
        assert client.at_end
        assert not tunnel_of(server).sessions
        client.close()


async def test_one_address_has_its_share_of_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtmpt, "MAX_PER_PEER", 2)
    async with serving() as server:
        post = await Post.connect(server)
        assert [(await post("/open/1"))[0] for _ in range(3)] == [200] * 3, "this machine's are not counted"
        (connection,) = server.http._server._connections  # type: ignore[union-attr]
        connection.peer_ip = "192.0.2.7"
        assert [(await post("/open/1"))[0] for _ in range(3)] == [200, 200, 503]
        post.writer.close()


async def test_a_session_of_tls_is_not_for_those_without(tags: list[Message]) -> None:
    async with serving() as server:
        client = await TunnelClient.connect(server)
        tunnel_of(server).sessions[client.id].secure = True
        post = await Post.connect(server)
        assert (await post(f"/idle/{client.id}/{client.sequence + 1}"))[0] == 404
        post.writer.close()
        client.close()


async def test_a_silent_publisher_in_a_tunnel_makes_way(monkeypatch: pytest.MonkeyPatch, tags: list[Message]) -> None:
    monkeypatch.setattr(rtmpt, "SWEEP_S", 0.02)
    async with serving({"rtmp": {"idle": "0.3s"}}) as server:
        client = await TunnelClient.connect(server)
        await publish(client, "cam")
        client.send(*tags)
        await client.code("NetStream.Publish.Denied")
        stream = server.hub.find("live/cam")
        assert stream is not None
        assert stream.state == "grace"
        client.close()
