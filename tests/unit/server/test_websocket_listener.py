"""WebSocket on the media port, with the `websockets` package as the client: live streams and commands."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets

from evotools.containers.flv.demux import FlvDemuxer
from evotools.containers.mp4.boxes import children
from evotools.containers.mpegts.demux import TsDemuxer
from evotools.containers.sniff import make_demuxer
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind
from evotools.protocols.websocket import frame_header
from evotools.server.access_types import Decision
from evotools.server.listeners import websocket as module
from tests.unit.server.test_http_listener import AUDIO, VIDEO, Server, media, serving, until

SECOND = AUDIO.with_(id=3, language="deu")


class Client:
    """A client that keeps what comes."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.data: list[bytes] = []
        """Binary messages since the last `codec_data`."""

    async def text(self, kind: str) -> Any:
        """The data of the next text message of a kind; what lies before is passed over."""
        while True:
            message = await asyncio.wait_for(self.socket.recv(), 10)
            if isinstance(message, bytes):
                self.data.append(message)
                continue
            told = json.loads(message)
            if told["type"] == "codec_data":
                self.data = []
            if told["type"] == kind:
                return told.get("data")

    async def binary(self, count: int = 1) -> list[bytes]:
        """The next binary messages; text is passed over."""
        found: list[bytes] = []
        while len(found) < count:
            message = await asyncio.wait_for(self.socket.recv(), 10)
            if isinstance(message, bytes):
                found.append(message)
        return found

    async def say(self, kind: str, **values: object) -> None:
        await self.socket.send(json.dumps({"type": kind, **values}))

    async def closed(self) -> tuple[int, str]:
        """How the server ended the connection."""
        while True:
            try:
                message = await asyncio.wait_for(self.socket.recv(), 10)
            except websockets.ConnectionClosed as error:
                assert error.rcvd is not None
                return error.rcvd.code, error.rcvd.reason
            if isinstance(message, bytes):
                self.data.append(message)


@asynccontextmanager
async def client(server: Server, target: str, **options: Any) -> AsyncIterator[Client]:
    async with websockets.connect(
        f"ws://127.0.0.1:{server.port}{target}", compression=None, max_size=2**24, max_queue=None, **options
    ) as socket:
        yield Client(socket)


def kinds(data: bytes) -> list[bytes]:
    return [box.kind for box in children(data)]


def frames_of(data: bytes, make: Callable[[], Any]) -> list[Frame]:
    demuxer = make()
    events: list[Event] = demuxer.feed(data) + demuxer.flush()
    return [event for event in events if isinstance(event, Frame)]


@pytest.mark.parametrize(
    ("suffix", "mime", "make"),
    [
        ("flv", "video/x-flv", FlvDemuxer),
        ("ts", "video/mp2t", TsDemuxer),
        ("mp4", "video/mp4", lambda: make_demuxer("mp4")),
    ],
)
async def test_a_viewer_gets_the_codecs_and_then_media_from_the_newest_key_frame(
    suffix: str, mime: str, make: Callable[[], Any]
) -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 1400))
        async with client(server, f"/live/cam.{suffix}?token=t") as viewer:
            told = await viewer.text("codec_data")
            assert told["mime"] == f'{mime}; codecs="avc1.42C00A,mp4a.40.2"'
            assert told["codecs"] == ["avc1.42C00A", "mp4a.40.2"]
            assert told["live"] is True
            assert [(track["id"], track["type"], track["codec"]) for track in told["tracks"]] == [
                (1, "video", "h264"), (2, "audio", "aac"),
            ]  # fmt: skip
            publication.push(media(1400, 1000))
            publication.close()
            server.hub.tick(server.hub.clock() + 3600)
            assert await viewer.closed() == (1000, "the stream has ended")
        frames = frames_of(b"".join(viewer.data), make)
        video = [frame for frame in frames if frame.track.kind is Kind.VIDEO]
        assert [round(frame.dts_s * 1000) for frame in video] == list(range(1000, 2400, 40))
        assert video[0].key and not video[1].key
        # The sound of these pictures; TS and MP4 hold a little of what comes before the first one.
        assert len(frames) - len(video) in (70, 72)
        assert [(asked.protocol, asked.token) for asked in server.rules.asked] == [(f"ws-{suffix}", "t")]


async def test_each_message_of_mp4_holds_whole_fragments_and_one_picture() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 400))
        async with client(server, "/live/cam.mp4") as viewer:
            init, *fragments = await viewer.binary(11)
            assert kinds(init) == [b"ftyp", b"moov"]
            assert [kinds(fragment) for fragment in fragments] == [[b"moof", b"mdat"]] * 10
            # A frame that is pushed comes at once.
            publication.push(media(400, 40))
            assert kinds((await viewer.binary())[0]) == [b"moof", b"mdat"]


async def test_viewers_share_one_feed_and_its_frames() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 400))
        async with client(server, "/live/cam.mp4") as one, client(server, "/live/cam.mp4") as two:
            assert await one.binary(11) == await two.binary(11)
            assert len(publication.stream.feeds) == 1
            assert publication.stream.viewers == 2
            publication.push(media(400, 400))
            assert await one.binary(10) == await two.binary(10)
        await until(lambda: not publication.stream.viewers)
        assert len(server.listener._websockets) == 0


async def test_on_time_tells_about_once_a_second_where_the_media_lies() -> None:
    async with serving() as server:
        publication = server.publish()
        async with client(server, "/live/cam.mp4") as viewer:
            publication.push(media(0, 40))
            first = await viewer.text("on_time")
            assert (first["current"], first["begin"], first["end"], first["tracks"]) == (0, 0, 0, [1, 2])
            publication.push(media(40, 2000))
            assert [(await viewer.text("on_time"))["current"] for _ in range(2)] == [1000, 2000]
            await viewer.say("on_time")
            told = await viewer.text("on_time")
            assert told["current"] == told["end"] == 2000
            assert abs(told["unixoffset"] - first["unixoffset"]) < 60_000
        async with client(server, "/live/cam.flv") as plain:
            await plain.text("codec_data")
            publication.push(media(2040, 3000))
            await plain.say("info")
            # Players of FLV get media and nothing else that they did not ask for.
            message: str | bytes = b""
            while isinstance(message, bytes):
                message = await asyncio.wait_for(plain.socket.recv(), 10)
            assert json.loads(message)["type"] == "info"


async def test_pause_leaves_the_feed_and_play_comes_back_at_the_newest_key_frame() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 400))
        async with client(server, "/live/cam.mp4") as viewer:
            await viewer.text("codec_data")
            await viewer.say("pause")
            assert await viewer.text("pause") == {"paused": True}
            assert publication.stream.viewers == 0
            await viewer.say("hold")
            assert await viewer.text("pause") == {"paused": True}
            await viewer.say("info")
            assert (await viewer.text("info"))["paused"] is True
            publication.push(media(400, 4000))
            await viewer.say("pause")
            assert await viewer.text("pause") == {"paused": False}
            await viewer.text("codec_data")
            fragments = await viewer.binary(11)
            assert kinds(fragments[0]) == [b"ftyp", b"moov"]
            frames = frames_of(b"".join(fragments), lambda: make_demuxer("mp4"))
            assert next(frame.dts_s for frame in frames if frame.track.kind is Kind.VIDEO) == 4.0
            await viewer.say("play")
            assert await viewer.text("pause") == {"paused": False}
            assert publication.stream.viewers == 1


@pytest.mark.parametrize(
    ("wanted", "answer", "begins"),
    [
        ({"seek_time": 2500}, {"live_point": False, "seek_time": 2500}, 2.0),
        ({"seek_time": 0}, {"live_point": False, "seek_time": 1000}, 1.0),
        ({"seek_time": "live"}, {"live_point": True}, 5.0),
        ({"seek_time": 99_999_999}, {"live_point": True}, 5.0),
    ],
)
async def test_seek_goes_as_far_back_as_the_hub_keeps(
    wanted: dict[str, object], answer: dict[str, object], begins: float
) -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 5800))
        async with client(server, "/live/cam.mp4?start=live") as viewer:
            await viewer.say("seek", **wanted)
            told = await viewer.text("seek")
            assert {key: told[key] for key in answer} == answer
            await viewer.text("codec_data")
            frames = frames_of(b"".join(await viewer.binary(12)), lambda: make_demuxer("mp4"))
            assert next(frame.dts_s for frame in frames if frame.track.kind is Kind.VIDEO) == begins


async def test_seek_by_the_wall_clock() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 5800))
        async with client(server, "/live/cam.mp4") as viewer:
            await viewer.say("on_time")
            offset = (await viewer.text("on_time"))["unixoffset"]
            await viewer.say("seek", unix_time=offset + 2500)
            assert 2000 <= (await viewer.text("seek"))["seek_time"] <= 3000


async def test_start_in_the_address() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 5800))
        async with client(server, "/live/cam.flv?start=-3") as viewer:
            data = b"".join(await viewer.binary(40))
            assert frames_of(data, FlvDemuxer)[0].dts_s == 2.0
        async with client(server, "/live/cam.flv?start=live") as viewer:
            publication.push(media(5800, 400))
            data = b"".join(await viewer.binary(10))
            assert frames_of(data, FlvDemuxer)[0].dts_s == 6.0
        with pytest.raises(websockets.InvalidStatus):
            async with client(server, "/live/cam.flv?start=soon"):
                pass


async def test_other_tracks_come_with_a_header_of_their_own() -> None:
    async with serving() as server:
        publication = server.hub.publish("live/cam", server.publish("other").stream.publisher)  # type: ignore[arg-type]
        publication.push([Tracks((VIDEO, AUDIO, SECOND))])
        events = media(0, 400)
        publication.push(events + [f.shifted(SECOND, f.dts, f.pts) for f in events if f.track is AUDIO])  # type: ignore[union-attr]
        async with client(server, "/live/cam.mp4?audio=none") as viewer:
            assert [track["id"] for track in (await viewer.text("codec_data"))["tracks"]] == [1]
            await viewer.say("tracks", audio="lang:de")
            assert await viewer.text("tracks") == {"tracks": [1, 3]}
            told = await viewer.text("codec_data")
            assert [track["id"] for track in told["tracks"]] == [1, 3]
            assert told["tracks"][1]["lang"] == "deu"
            await viewer.say("tracks", video="none", audio="none")
            assert "no track" in (await viewer.text("error"))["message"]
            await viewer.say("info")
            told = await viewer.text("info")
            assert told["tracks"] == [1, 3]
            assert [track["id"] for track in told["available"]] == [1, 2, 3]
            await viewer.say("request_codec_data")
            assert [track["id"] for track in (await viewer.text("codec_data"))["tracks"]] == [1, 3]


async def test_a_new_track_list_is_announced_before_its_header() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 400))
        async with client(server, "/live/cam.mp4") as viewer:
            await viewer.text("codec_data")
            publication.push([Tracks((AUDIO,))])
            publication.push([Frame(AUDIO, n * 960, n * 960, b"\x21" * 50, 960, key=True) for n in range(20, 40)])
            # Ten pictures, and the sound that waited for the next one: neither lost nor put behind the new header.
            old, message = b"", await viewer.socket.recv()
            while isinstance(message, bytes):
                old += message
                message = await viewer.socket.recv()
            frames = frames_of(old, lambda: make_demuxer("mp4"))
            assert sorted(frame.track.kind for frame in frames) == [Kind.AUDIO] * 20 + [Kind.VIDEO] * 10
            assert json.loads(message)["data"]["mime"] == 'video/mp4; codecs="mp4a.40.2"'
            header, media_ = await viewer.binary(2)
            assert kinds(header) == [b"ftyp", b"moov"]
            assert kinds(media_) == [b"moof", b"mdat"]


async def test_speed_belongs_to_files() -> None:
    async with serving() as server:
        server.publish().push(media(0, 400))
        async with client(server, "/live/cam.mp4") as viewer:
            await viewer.say("set_speed", play_rate=2)
            assert "own speed" in (await viewer.text("error"))["message"]
            await viewer.say("set_speed", play_rate="auto")
            assert await viewer.text("set_speed") == {"play_rate_curr": 1}
            await viewer.say("stop")
            assert await viewer.text("on_stop") == {"reason": "asked for"}
            assert (await viewer.closed())[0] == 1000


# Refusals.


async def status_of(server: Server, target: str, **options: Any) -> int:
    try:
        async with client(server, target, **options):
            return 101
    except websockets.InvalidStatus as error:
        status: int = error.response.status_code
        return status


async def test_who_may_not_read_gets_no_websocket() -> None:
    async with serving() as server:
        server.publish()
        assert await status_of(server, "/live/cam.flv") == 101
        assert await status_of(server, "/live/cam.flv", origin="https://example.com") == 101
        assert await status_of(server, "/live/other.flv") == 404
        assert await status_of(server, "/live/cam.flv?video=%00") == 400
        assert await status_of(server, "/live/cam.flv?video=none&audio=none") == 406
        server.rules.answer = lambda request: Decision(False, "no")
        assert await status_of(server, "/live/cam.flv") == 403
        server.rules.answer = lambda request: Decision(False, challenge=True)
        assert await status_of(server, "/live/cam.flv") == 401


async def test_a_page_of_another_site_reads_with_a_token_but_not_with_the_browsers_password() -> None:
    async with serving() as server:
        server.publish()
        basic = {"Authorization": "Basic dTpw"}
        own = f"http://127.0.0.1:{server.port}"
        assert await status_of(server, "/live/cam.flv", additional_headers=basic) == 101
        assert await status_of(server, "/live/cam.flv", additional_headers=basic, origin=own) == 101
        assert await status_of(server, "/live/cam.flv", additional_headers=basic, origin="https://example.com") == 403
        assert await status_of(server, "/live/cam.flv?token=t", origin="https://example.com") == 101


async def test_the_subprotocol_is_named_when_it_is_known() -> None:
    async with serving() as server:
        server.publish()
        for offered, chosen in ((["x", "mp4"], "mp4"), (["evotools"], "evotools"), (["x"], None)):
            async with client(server, "/live/cam.mp4", subprotocols=offered) as viewer:
                assert viewer.socket.subprotocol == chosen


async def test_a_wrong_version_is_told_the_right_one() -> None:
    async with serving() as server:
        server.publish()
        fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        answer = await server.raw(
            f"GET /live/cam.mp4 HTTP/1.1\r\nHost: x\r\n{fields}Sec-WebSocket-Version: 8\r\n\r\n".encode()[:-2]
            + b"\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 426 ")
        assert b"Sec-WebSocket-Version: 13" in answer


# What goes wrong.


async def test_commands_that_make_no_sense_are_answered_and_then_cost_the_connection() -> None:
    async with serving() as server:
        server.publish().push(media(0, 400))
        async with client(server, "/live/cam.flv") as viewer:
            for text in ("nonsense", "[]", '{"type":"fly"}', '{"type":"seek","seek_time":"soon"}', '{"type":"seek"}'):
                await viewer.socket.send(text)
                assert (await viewer.text("error"))["message"]
            for _ in range(module.MAX_ERRORS - 5):
                await viewer.socket.send("nonsense")
            assert (await viewer.closed())[0] == 1008


async def test_too_many_commands_cost_the_connection() -> None:
    async with serving() as server:
        server.publish().push(media(0, 400))
        async with client(server, "/live/cam.flv") as viewer:
            for _ in range(module.COMMAND_BURST + 5):
                await viewer.say("info")
            assert await viewer.closed() == (1008, "too many frames")


async def test_too_many_pings_cost_the_connection() -> None:
    async with serving() as server:
        publication = server.publish()
        async with client(server, "/live/cam.flv") as viewer:
            for _ in range(module.COMMAND_BURST + 20):
                with contextlib.suppress(websockets.ConnectionClosed):
                    await viewer.socket.ping()
                # One at a time: of those that come together only the newest is answered.
                await asyncio.sleep(0.005)
            assert await viewer.closed() == (1008, "too many frames")
            assert publication.stream.viewers == 0


@pytest.mark.parametrize(
    "flood",
    [
        # Masked with zeros: pings; a text message that never ends, in fragments of nothing.
        b"\x89\x80\0\0\0\0" * 10_000,
        b"\x01\x80\0\0\0\0" + b"\0\x80\0\0\0\0" * 10_000,
    ],
)
async def test_a_flood_of_tiny_frames_in_one_piece_costs_the_connection_and_no_time(flood: bytes) -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 400))
        async with client(server, "/live/cam.flv") as viewer:
            await viewer.text("codec_data")
            (session,) = server.listener._websockets._sessions
            viewer.socket.transport.write(flood)
            assert await viewer.closed() == (1008, "too many frames")
            assert session._socket.frames <= module.COMMAND_BURST
            assert publication.stream.viewers == 0


@pytest.mark.parametrize(("message", "code"), [(b"\x00", 1003), ("x" * 20000, 1009)])
async def test_messages_that_are_no_commands(message: bytes | str, code: int) -> None:
    async with serving() as server:
        server.publish()
        async with client(server, "/live/cam.flv") as viewer:
            await viewer.socket.send(message)
            assert (await viewer.closed())[0] == code


async def test_broken_frames_end_with_a_close_frame_and_leave_the_stream() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 400))
        reader, writer = await server.connect()
        fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        writer.write(
            f"GET /live/cam.flv HTTP/1.1\r\nHost: x\r\n{fields}Sec-WebSocket-Version: 13\r\n\r\n".encode()
            # Sent together with the handshake, and without a mask.
            + frame_header(2, 1) + b"{}"
        )  # fmt: skip
        data = await asyncio.wait_for(reader.readuntil(b"\x88"), 10)
        # The client does not answer the Close frame.
        server.listener._websockets.tick(server.hub.clock() + module.CLOSE_WAIT_S)
        data += await asyncio.wait_for(reader.read(), 10)
        assert data.startswith(b"HTTP/1.1 101 ")
        close = data.rfind(b"\x88")
        assert data[close + 2 : close + 4] == (1002).to_bytes(2, "big")
        assert publication.stream.viewers == 0
        writer.close()


async def test_the_server_says_that_it_goes() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 400))
        async with client(server, "/live/cam.flv") as viewer:
            await viewer.text("codec_data")
            closing = asyncio.create_task(server.listener.close())
            assert (await viewer.closed())[0] == 1001
            await closing


async def test_silent_clients_are_asked_for_a_sign_of_life_and_dropped_without_one() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 400))
        async with client(server, "/live/cam.flv", ping_interval=None) as viewer:
            await viewer.text("codec_data")
            sockets = server.listener._websockets
            (session,) = sockets._sessions
            now = server.hub.clock()
            heard = session.heard_at
            sockets.tick(now + module.PING_S + 1)
            # The client answers by itself.
            await until(lambda: session.heard_at > heard)
            assert len(sockets) == 1
        reader, writer = await server.connect()
        fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        writer.write(f"GET /live/cam.flv HTTP/1.1\r\nHost: x\r\n{fields}Sec-WebSocket-Version: 13\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await until(lambda: len(sockets) == 1)
        sockets.tick(now + module.PING_S + 2)
        sockets.tick(now + module.PING_S + module.DEAD_S + 3)
        assert len(sockets) == 0
        await asyncio.wait_for(reader.read(), 10)
        await until(lambda: not publication.stream.viewers)
        writer.close()


async def test_a_viewer_that_is_too_slow_is_told_to_come_back() -> None:
    async with serving(hub_slow="disconnect", hub_max_lag=0.5) as server:
        publication = server.publish()
        publication.push(media(0, 400))
        reader, writer = await server.connect()
        fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        writer.write(f"GET /live/cam.flv HTTP/1.1\r\nHost: x\r\n{fields}Sec-WebSocket-Version: 13\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        (session,) = server.listener._websockets._sessions
        # A peer that takes nothing: as the feed sees it.
        viewer = session.media._viewer  # type: ignore[attr-defined]
        viewer.unsent = lambda: 1
        next(iter(publication.stream.feeds.values()))._pairs = None
        at = 400
        while session.closing_at is None and at < 20_000:
            publication.push(media(at, 400))
            at += 400
            await asyncio.sleep(0.02)
        server.listener._websockets.tick(server.hub.clock() + module.CLOSE_WAIT_S)
        data = await asyncio.wait_for(reader.read(), 10)
        assert (1013).to_bytes(2, "big") + b"too slow" in data
        assert b'"on_stop"' in data
        writer.close()
