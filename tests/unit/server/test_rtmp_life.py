"""How RTMP connections live: silence, slow bytes, caps, who replaces whom, passwords, TLS, what players choose."""

import asyncio
import ssl
from typing import Any

import pytest

from evotools.containers.flv.tag import AUDIO, VIDEO
from evotools.media.frame import Frame
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp import server as rtmp_server
from evotools.protocols.rtmp.chunk import Message
from evotools.protocols.rtmp.handshake import SIZE
from evotools.server import app as app_module
from evotools.server.app import Server
from evotools.server.config import parse
from evotools.server.listeners import rtmp as rtmp_listener
from evotools.transport import tls_listen
from evotools.transport.tls import client_context
from tests.authority import Authority, Certificate
from tests.unit.endpoints.media import Clip, sink
from tests.unit.server.rtmp_client import Client, publish, serving, until

STRICT = {"access": {"trust_loopback": False}}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def good(authority: Authority) -> Certificate:
    return authority.certificate()


def table_of(certificate: Certificate) -> dict[str, Any]:
    return {"tls": {"cert": str(certificate.cert), "key": str(certificate.key)}, "rtmp": {"listen_tls": "127.0.0.1:0"}}


def listener(server: Server) -> Any:
    assert server.rtmp is not None
    return server.rtmp


async def closed(reader: asyncio.StreamReader, seconds: float = 5) -> None:
    """Until the other side has closed the connection."""
    async with asyncio.timeout(seconds):
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass


def hurry(monkeypatch: pytest.MonkeyPatch, **options: float) -> None:
    """Shorter times of the protocol."""
    short = rtmp_server.ServerOptions(**{"handshake_timeout_s": 0.3, **options})
    monkeypatch.setattr(rtmp_server, "ServerOptions", lambda: short)


# Time-outs.


@pytest.mark.parametrize("secure", [False, True])
async def test_one_byte_now_and_then_is_no_handshake(
    monkeypatch: pytest.MonkeyPatch, good: Certificate, secure: bool
) -> None:
    hurry(monkeypatch, handshake_timeout_s=0.4)
    async with serving(table_of(good)) as server:
        if secure:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", listener(server).tls_port, ssl=client_context(False), server_hostname="localhost"
            )
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.rtmp_port)
        async with asyncio.timeout(5):
            writer.write(b"\x03")
            while not reader.at_eof():
                writer.write(b"\0")
                try:
                    await asyncio.wait_for(reader.read(1), 0.05)
                except TimeoutError:
                    pass
                except ConnectionError:
                    break
        await until(lambda: not listener(server).sessions)
        writer.close()


async def test_who_neither_publishes_nor_plays_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, command_timeout_s=0.2)
    async with serving() as server:
        client = await Client.connect(server)
        async with asyncio.timeout(5):
            await client.end()
        assert not listener(server).sessions
        client.close()


async def test_a_silent_publisher_is_pinged_and_then_dropped(
    monkeypatch: pytest.MonkeyPatch, tags: list[Message]
) -> None:
    hurry(monkeypatch, ping_interval_s=0.2, ping_timeout_s=0.2)
    async with serving() as server:
        client = await Client.connect(server)
        await publish(client, "cam")
        client.send(*tags)
        async with asyncio.timeout(5):
            await client.end()
        # User control 6: ping request (7.1.7).
        assert any(x.type == 4 and bytes(x.payload[:2]) == b"\0\6" for x in client.heard)
        stream = server.hub.find("live/cam")
        assert stream is not None
        assert stream.state == "grace"
        client.close()


async def test_a_publisher_without_media_does_not_hold_a_name(tags: list[Message]) -> None:
    """It answers pings, or sends a byte a second, and nothing that anybody could watch."""
    async with serving({"rtmp": {"idle": "300ms"}}) as server:
        idle, busy = await Client.connect(server), await Client.connect(server)
        await publish(idle, "idle")
        await publish(busy, "busy")

        async def keep_on() -> None:
            while True:
                busy.send(tags[-1])
                await asyncio.sleep(0.05)

        busy.send(*tags)
        sending = asyncio.create_task(keep_on())
        await idle.code("NetStream.Publish.Denied")
        await idle.end()
        assert len(listener(server).publishers) == 1
        sending.cancel()
        idle.close()
        busy.close()


# Caps.


async def test_one_address_has_its_share_and_this_machine_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving({"rtmp": {"max_per_peer": 2}}) as server:
        clients = [await Client.connect(server) for _ in range(4)]
        assert listener(server).refused == 0
        for client in clients:
            client.close()
        await until(lambda: not listener(server).per_peer)
        monkeypatch.setattr(app_module.RtmpListener, "admit", _as_from_elsewhere(app_module.RtmpListener.admit))
        clients = [await Client.connect(server) for _ in range(2)]
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await Client.connect(server)
        assert listener(server).refused == 1
        clients[0].close()
        await until(lambda: len(listener(server).sessions) == 1)
        (await Client.connect(server)).close()
        clients[1].close()


def _as_from_elsewhere(admit: Any) -> Any:
    """All connections are of one address that is not this machine's."""

    def instead(self: Any, session: Any, peer: str) -> Any:
        session.ip, session._local_ip = "192.0.2.7", "192.0.2.1"
        return admit(self, session, "192.0.2.7")

    return instead


async def test_tls_strangers_do_not_use_up_what_the_port_has(
    monkeypatch: pytest.MonkeyPatch, good: Certificate, authority: Authority
) -> None:
    monkeypatch.setattr(tls_listen, "MAX_HANDSHAKES_PER_PEER", 3)
    async with serving(table_of(good)) as server:
        server.rtmp._tls._max_per_peer = 3  # type: ignore[union-attr]
        port = listener(server).tls_port
        peers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        await until(lambda: listener(server)._tls.refused == 2)
        assert not listener(server).sessions
        for _, writer in peers:
            writer.close()
        await until(lambda: listener(server)._tls.handshakes == 0)
        opened = sink(f"rtmps://localhost:{port}/live/x?ca_file={authority.ca}")
        await opened.open()
        assert len(listener(server).sessions) == 1
        await opened.close()


# Who replaces whom.


async def silent(server: Server, name: str, seconds: float) -> None:
    """As if the publisher had sent nothing for so long."""
    server.hub._publications[name].pushed_at -= seconds


async def test_a_silent_publisher_makes_way(tags: list[Message]) -> None:
    async with serving() as server:
        first, second, third = [await Client.connect(server) for _ in range(3)]
        await publish(first, "cam")
        first.send(*tags)
        await until(lambda: server.hub.find("live/cam").frames_in >= 25)  # type: ignore[union-attr]
        second.call("createStream", 4, None)
        second.call("publish", 5, None, "cam", "live", stream_id=1)
        await second.code("NetStream.Publish.BadName")
        await silent(server, "live/cam", 5)
        await publish(third, "cam")
        await first.code("NetStream.Publish.BadName")
        await first.end()
        for client in (first, second, third):
            client.close()


async def test_an_encoder_replaces_its_own_dead_connection(tags: list[Message]) -> None:
    """Not a living one: two encoders that share a key would throw each other out for ever."""
    table = {**STRICT, "streams": {"live/cam": {"publish_key": "pk-123456"}}, "hub": {"replace_silent": 0}}
    async with serving(table) as server:
        first, second = await Client.connect(server), await Client.connect(server)
        await publish(first, "cam?key=pk-123456")
        second.call("createStream", 4, None)
        second.call("publish", 5, None, "cam?key=pk-123456", "live", stream_id=1)
        await second.code("NetStream.Publish.BadName")
        second.close()
        await silent(server, "live/cam", 1)
        third = await Client.connect(server)
        await publish(third, "cam?key=pk-123456")
        await first.code("NetStream.Publish.BadName")
        await silent(server, "live/cam", 100)
        fourth = await Client.connect(server)
        fourth.call("createStream", 4, None)
        fourth.call("publish", 5, None, "cam?user=x&pass=y&key=pk-123456", "live", stream_id=1)
        await fourth.code("NetStream.Publish.BadName")
        for client in (first, third, fourth):
            client.close()


@pytest.mark.parametrize(
    ("hub", "stream", "replaced"),
    [("reject", "takeover", True), ("takeover", "reject", False), ("takeover", "", True), ("reject", "", False)],
)
async def test_a_stream_says_itself_who_wins(hub: str, stream: str, replaced: bool) -> None:
    table = {"hub": {"conflict": hub}, "streams": {"live/cam": {"conflict": stream}}}
    async with serving(table) as server:
        first, second = await Client.connect(server), await Client.connect(server)
        await publish(first, "cam")
        second.call("createStream", 4, None)
        second.call("publish", 5, None, "cam", "live", stream_id=1)
        await second.code("NetStream.Publish.Start" if replaced else "NetStream.Publish.BadName")
        if replaced:
            await first.code("NetStream.Publish.BadName")
        first.close()
        second.close()


async def test_viewers_go_on_through_a_takeover(tags: list[Message]) -> None:
    async with serving({"hub": {"conflict": "takeover"}}) as server:
        first, player = await Client.connect(server), await Client.connect(server)
        await publish(first, "cam")
        first.send(*tags)
        player.call("createStream", 2, None)
        player.call("play", 3, None, "cam", -2000, stream_id=1)
        await player.media(40)
        second = await Client.connect(server)
        await publish(second, "cam")
        second.send(*tags)
        found = await player.media(90)
        for kind in (AUDIO, VIDEO):
            times = [x.timestamp for x in found if x.type == kind]
            assert times == sorted(times), "time goes on"
        assert "NetStream.Play.UnpublishNotify" not in player.codes
        for client in (first, second, player):
            client.close()


async def test_a_lost_publisher_is_told_from_one_that_ended() -> None:
    async with serving() as server:
        told: list[str] = []
        server.hub.on_event(lambda event: told.append(event.detail) if event.kind == "unpublished" else None)
        client = await Client.connect(server)
        await publish(client, "cam")
        client.close()
        await until(lambda: told)
        client = await Client.connect(server)
        await publish(client, "cam")
        client.call("FCUnpublish", 6, None, "cam")
        await until(lambda: len(told) == 2)
        client.close()
        assert told == ["the peer closed the connection", "the publisher ended its stream"]


# Reading together what is sent together.


@pytest.mark.parametrize(("interval", "rests"), [("200ms", True), ("0", False), ("auto", False)])
async def test_a_publisher_is_read_when_its_viewers_get_something(
    clip: Clip, monkeypatch: pytest.MonkeyPatch, interval: str, rests: bool
) -> None:
    reads = 0
    read = rtmp_listener.RtmpSession.data_received

    def counted(self: rtmp_listener.RtmpSession, data: bytes) -> None:
        nonlocal reads
        reads += bool(self._publishers)
        read(self, data)

    monkeypatch.setattr(rtmp_listener.RtmpSession, "data_received", counted)
    async with serving({"hub": {"flush_interval": interval}}) as server:
        opened = sink(f"rtmp://127.0.0.1:{server.rtmp_port}/live/cam")
        await opened.open()
        await opened.start(clip.tracks)
        await opened.write(clip.frames[:1])
        await until(lambda: server.hub.find("live/cam"))
        player = await Client.connect(server)
        player.call("createStream", 2, None)
        player.call("play", 3, None, "cam", -2000, stream_id=1)
        await player.media(1)
        begun = reads
        frames = clip.frames[1:81]
        for frame in frames:
            await opened.write([frame])
            await asyncio.sleep(0.005)
        # More than the frames come: the headers too.
        await player.media(len(frames))
        assert (reads - begun < len(frames) / 3) is rests
        player.close()
        await opened.finish()
        await opened.close()


async def test_however_rarely_viewers_get_something_a_publisher_is_neither_held_up_nor_silent(clip: Clip) -> None:
    async with serving({"hub": {"flush_interval": "5s"}}) as server:
        opened = sink(f"rtmp://127.0.0.1:{server.rtmp_port}/live/cam")
        await opened.open()
        await opened.start(clip.tracks)
        await opened.write(clip.frames[:1])
        await until(lambda: server.hub.find("live/cam"))
        stream = server.hub.find("live/cam")
        assert stream is not None
        player = await Client.connect(server)
        player.call("createStream", 2, None)
        player.call("play", 3, None, "cam", -2000, stream_id=1)
        await until(lambda: stream.feeds)
        loop, frames = asyncio.get_running_loop(), clip.frames[1:]
        for size in (100, 40_000):
            payload = (size - 4).to_bytes(4, "big") + b"\x41" + bytes(size - 5)
            begun, came, pushed = loop.time(), stream.frames_in, set[int]()
            for number, frame in enumerate(frames):
                await opened.write([Frame(frame.track, frame.dts, frame.pts, payload, key=frame.key)])
                await asyncio.sleep(max(begun + 0.02 * number - loop.time(), 0))
                pushed.add(stream.frames_in)
            assert len(pushed) >= 4, "1.4 s, in which nobody may be silent for as much as one"
            # Less than a rest behind the encoder, at 16 Mbit/s as well.
            async with asyncio.timeout(1):
                await until(lambda came=came: stream.frames_in == came + len(frames))
        player.close()
        await opened.finish()
        await opened.close()


# Passwords and keys.


async def test_an_encoder_is_challenged_and_a_player_is_not(clip: Clip) -> None:
    table = {
        **STRICT,
        "rtmp": {"challenge": True},
        "users": {"alice": {"password": "hush-99", "publish": ["live/*"]}},
    }
    async with serving(table) as server:
        place = f"127.0.0.1:{server.rtmp_port}/live/cam"
        opened = sink(f"rtmp://alice:hush-99@{place}")
        await opened.open()
        await opened.start(clip.tracks)
        await opened.write(clip.frames)
        await until(lambda: server.hub.find("live/cam"))
        for bad in (f"rtmp://alice:wrong-1@{place}", f"rtmp://bob:hush-99@{place}", f"rtmp://{place}"):
            with pytest.raises(Exception, match="user name"):
                await sink(bad).open()
        with pytest.raises(Exception, match="credentials do not allow"):
            await sink(f"rtmp://alice:hush-99@127.0.0.1:{server.rtmp_port}/other/cam").open()
        player = await Client.connect(server)
        player.call("createStream", 2, None)
        player.call("play", 3, None, "cam", -2000, stream_id=1)
        await player.media(10)
        player.close()
        await opened.finish()
        await opened.close()


@pytest.mark.parametrize("app", ["live?key=pk-123456", "live?token=pk-123456", "live?user=alice&pass=hush-99"])
async def test_credentials_behind_the_application_make_a_challenge_needless(app: str) -> None:
    table = {
        **STRICT,
        "rtmp": {"challenge": True},
        "users": {"alice": {"password": "hush-99", "publish": ["live/*"]}},
        "streams": {"live/cam": {"publish_key": "pk-123456"}},
    }
    async with serving(table) as server:
        client = await Client.connect(server, app)
        await publish(client, "cam")
        client.close()


async def test_credentials_behind_the_name(caplog: pytest.LogCaptureFixture) -> None:
    table = {**STRICT, "users": {"alice": {"password": "hush-99", "publish": ["live/*"]}}}
    async with serving(table) as server:
        for query in ("", "?user=alice&pass=hush-98", "?user=bob&pass=hush-99", "?user=&pass="):
            refused = await Client.connect(server)
            refused.call("createStream", 4, None)
            refused.call("publish", 5, None, f"cam{query}", "live", stream_id=1)
            await refused.code("NetStream.Publish.Denied")
            await refused.end()
            refused.close()
        client = await Client.connect(server)
        await publish(client, "cam?user=alice&pass=hush-99")
        client.close()
    assert "hush" not in caplog.text


# TLS.


async def test_a_new_certificate_by_reloading(authority: Authority, good: Certificate) -> None:
    other = authority.certificate("other")
    async with serving(table_of(good)) as server:
        context = client_context(True, str(authority.ca))

        async def name() -> str:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", listener(server).tls_port, ssl=context, server_hostname="localhost"
            )
            subject = writer.get_extra_info("ssl_object").getpeercert()["subject"]
            writer.close()
            return str(dict(field[0] for field in subject)["commonName"])

        assert await name() == "good"
        table = table_of(other)
        changed = parse(table)
        changed.http.enabled = False
        changed.rtmp.listen = "127.0.0.1:0"
        await server.reload(changed, lambda words: None)  # type: ignore[arg-type, return-value]
        assert await name() == "other"
        broken = parse({**table, "tls": {"cert": str(good.cert), "key": str(other.key)}})
        with pytest.raises(Exception, match="is not the key"):
            await server.reload(broken, lambda words: None)  # type: ignore[arg-type, return-value]
        assert await name() == "other"


async def test_the_ports_of_tls_open_with_a_certificate_only(good: Certificate) -> None:
    async with serving() as server:
        with pytest.raises(AssertionError):
            _ = listener(server).tls_port
    config = parse(table_of(good))
    config.rtmp.listen = config.http.listen = config.http.listen_tls = "127.0.0.1:0"
    full = Server(config)
    await full.start()
    assert full.http is not None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", full.http.tls_port, ssl=client_context(False), server_hostname="localhost"
    )
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    await full.stop()
    await closed(reader)
    writer.close()


async def test_slow_tls_players_cost_bounded_memory(good: Certificate, tags: list[Message]) -> None:
    """One that never reads is let go or skips, while the plaintext is shared with everybody else."""
    async with serving(
        {**table_of(good), "hub": {"slow": "disconnect", "max_lag_bytes": "64KiB", "stall": "1s"}}
    ) as server:
        publisher = await Client.connect(server)
        await publish(publisher, "cam")
        publisher.send(*tags)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", listener(server).tls_port, ssl=client_context(False), server_hostname="localhost", limit=1024
        )
        player = Client(reader, writer)
        await player.begin("live")
        player.call("createStream", 2, None)
        player.call("play", 3, None, "cam", -2000, stream_id=1)
        await player.media(5)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        stream = server.hub.find("live/cam")
        assert stream is not None

        async def flood() -> None:
            key = next(t for t in tags if t.type == VIDEO and t.payload[:2] == b"\x17\x01")
            for n in range(4000):
                publisher.send(Message(VIDEO, 1100 + n * 40, 1, key.payload))
                if n % 50 == 0:
                    await publisher.writer.drain()
                    await asyncio.sleep(0)

        sending = asyncio.create_task(flood())
        async with asyncio.timeout(20):
            while stream.viewers:
                await asyncio.sleep(0.02)
        sending.cancel()
        writer.close()
        publisher.close()


# What players choose.


async def test_where_a_player_begins(tags: list[Message]) -> None:
    async with serving() as server:
        publisher = await Client.connect(server)
        await publish(publisher, "cam")
        publisher.send(*tags)
        publisher.send(*[Message(t.type, t.timestamp + 1000, 1, t.payload) for t in tags])
        # All but the sequence headers and onMetaData.
        count = 2 * (len(tags) - 3)
        await until(lambda: server.hub.find("live/cam").frames_in >= count - 4)  # type: ignore[union-attr]

        async def first(query: str) -> int:
            player = await Client.connect(server)
            player.call("createStream", 2, None)
            player.call("play", 3, None, f"cam{query}", -2000, stream_id=1)
            found = [x for x in await player.media(6) if x.type == VIDEO and bytes(x.payload[1:2]) == b"\1"]
            player.close()
            return found[0].timestamp

        newest = await first("")
        assert newest >= 1000
        assert await first("?start=keyframe") == newest
        assert await first("?start=-10") < newest
        for wrong in ("?start=-x", "?start=10", "?start=tomorrow"):
            player = await Client.connect(server)
            player.call("createStream", 2, None)
            player.call("play", 3, None, f"cam{wrong}", -2000, stream_id=1)
            await player.code("NetStream.Play.Failed")
            player.close()
        publisher.close()


async def test_pause_and_what_is_not_wanted(tags: list[Message]) -> None:
    async with serving() as server:
        publisher, player = await Client.connect(server), await Client.connect(server)
        await publish(publisher, "cam")
        publisher.send(*tags)
        player.call("createStream", 2, None)
        player.call("play", 3, None, "cam", -2000, stream_id=1)
        await player.media(30)
        stream = server.hub.find("live/cam")
        assert stream is not None

        player.call("pause", 0, None, True, 0, stream_id=1)
        await player.code("NetStream.Pause.Notify")
        assert stream.viewers == 0
        player.heard.clear()
        player.call("pause", 0, None, False, 0, stream_id=1)
        await player.code("NetStream.Unpause.Notify")
        video = [x for x in await player.media(6) if x.type == VIDEO]
        assert [bytes(x.payload[:2]) for x in video[:2]] == [b"\x17\0", b"\x17\1"], "a header and a key frame"

        player.call("receiveVideo", 0, None, False, stream_id=1)
        player.call("_checkbw", 9, None)
        await until(lambda: any(key[-1] is False for key in stream.feeds))
        player.heard.clear()
        publisher.send(*[Message(t.type, t.timestamp + 1000, 1, t.payload) for t in tags])
        assert {x.type for x in await player.media(20)} == {AUDIO}
        player.call("receiveVideo", 0, None, True, stream_id=1)
        await player.code("NetStream.Play.Start")
        player.heard.clear()
        publisher.send(*[Message(t.type, t.timestamp + 2000, 1, t.payload) for t in tags])
        assert {x.type for x in await player.media(30)} == {AUDIO, VIDEO}
        player.call("receiveVideo", 0, None, False, stream_id=1)
        player.call("receiveAudio", 0, None, False, stream_id=1)
        await until(lambda: stream.viewers == 0)
        publisher.close()
        player.close()


# Clients at the wrong port.


def client_hello() -> bytes:
    out = ssl.MemoryBIO()
    tls = client_context(False).wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


GET = b"GET /live/cam.flv HTTP/1.1\r\nHost: localhost\r\n\r\n"
C0C1 = b"\x03" + bytes(SIZE)


@pytest.mark.parametrize(
    ("port", "data", "said", "right"),
    [
        ("RTMP", client_hello(), "speaks TLS, not RTMP; RTMPS is on port", "RTMPS"),
        ("RTMP", GET, "speaks HTTP, not RTMP; HTTP is on port", "HTTP"),
        ("RTMP", b"SSH-2.0-OpenSSH\r\n", "does not speak RTMP", ""),
        ("RTMPS", C0C1, "speaks RTMP, not TLS; RTMP is on port", "RTMP"),
        ("RTMPS", C0C1[:1], "speaks RTMP, not TLS; RTMP is on port", "RTMP"),
        ("RTMPS", GET, "speaks HTTP, not TLS; HTTP is on port", "HTTP"),
        ("HTTPS", GET, "speaks HTTP, not TLS; HTTP is on port", "HTTP"),
        ("HTTPS", C0C1, "speaks RTMP, not TLS; RTMP is on port", "RTMP"),
        ("RTMPS", b"\x00\x00", "does not speak TLS", ""),
    ],
)
async def test_who_comes_to_the_wrong_port_is_sent_away_at_once_and_the_log_says_where_to(
    good: Certificate, caplog: pytest.LogCaptureFixture, port: str, data: bytes, said: str, right: str
) -> None:
    config = parse(table_of(good))
    config.rtmp.listen = config.http.listen = config.http.listen_tls = "127.0.0.1:0"
    server = Server(config)
    await server.start()
    try:
        assert server.http is not None
        ports = {"RTMP": server.rtmp_port, "HTTP": server.http_port, "RTMPS": listener(server).tls_port,
                 "HTTPS": server.http.tls_port}  # fmt: skip
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[port])
        caplog.clear()
        writer.write(data)
        await closed(reader, 2)
        await until(lambda: not listener(server).sessions)
        (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert "127.0.0.1" in line
        assert said in line
        if right:
            assert line.endswith(f"on port {ports[right]}")
        writer.close()
        (await Client.connect(server)).close()
    finally:
        await server.stop()


async def test_without_a_certificate_the_log_says_what_rtmps_needs(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as server:
        for data, said in ((client_hello(), "RTMPS needs a certificate in [tls]"), (GET, "HTTP is switched off")):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.rtmp_port)
            writer.write(data)
            await closed(reader, 2)
            await until(lambda said=said: said in caplog.text)  # type: ignore[misc]
            writer.close()


async def test_who_asks_and_does_not_read_is_not_listened_to() -> None:
    """Answers wait in memory: whoever does not fetch them is not heard until it does."""
    async with serving() as server:
        client = await Client.connect(server)
        (session,) = listener(server).sessions
        pings = client.out.write(m.build_user_control(m.PING_REQUEST, 1)) * 4000
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]

        async def flood() -> None:
            for _ in range((64 << 20) // len(pings)):
                client.writer.write(pings)
                await asyncio.wait_for(client.writer.drain(), 0.5)

        with pytest.raises(TimeoutError):
            await flood()
        assert session.transport.get_write_buffer_size() < 1 << 20
        client.writer.transport.abort()
        await until(lambda: not listener(server).sessions)


async def test_a_player_that_lags_is_let_go_with_its_connection(tags: list[Message]) -> None:
    async with serving({"hub": {"slow": "disconnect", "max_lag": "1s", "stall": "1s"}}) as server:
        publisher, player = await Client.connect(server), await Client.connect(server)
        await publish(publisher, "cam")
        publisher.send(*tags)
        player.call("createStream", 2, None)
        player.call("play", 3, None, "cam", -2000, stream_id=1)
        await player.media(5)
        stream = server.hub.find("live/cam")
        assert stream is not None
        player.writer.transport.pause_reading()  # type: ignore[attr-defined]
        seconds = 0
        big = Message(VIDEO, 0, 1, b"\x27\x01\x00\x00\x00" + (200_000).to_bytes(4, "big") + b"\x41" + bytes(199_999))
        async with asyncio.timeout(20):
            while len(listener(server).sessions) > 1:
                seconds += 1
                publisher.send(*(Message(t.type, t.timestamp + 1000 * seconds, 1, t.payload) for t in tags))
                publisher.send(*(Message(VIDEO, 1000 * seconds + n, 1, big.payload) for n in range(20)))
                await publisher.writer.drain()
                await asyncio.sleep(0.02)
        assert stream.viewers == 0
        assert stream.state == "live"
        publisher.close()
        player.close()
