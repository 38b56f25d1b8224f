"""Publishing over HTTP: what is taken and what is refused, before and in the middle of the body."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

import evotools
from evotools.containers.adts import AdtsMuxer
from evotools.containers.base import Muxer
from evotools.containers.flv.mux import FlvMuxer
from evotools.containers.matroska import MatroskaMuxer
from evotools.containers.mp4.live import LiveMp4Muxer
from evotools.containers.mpegts.mux import TsMuxer
from evotools.hub.limits import Limits
from evotools.hub.stream import PublisherInfo, State, Stream, StreamListener
from evotools.media.frame import Frame, Tracks
from evotools.protocols import http1
from evotools.server.access_types import ALLOWED, Decision
from evotools.server.listeners import upload
from tests.unit.server.test_http_listener import Server, parse, serving, until

MUXERS: dict[str, Callable[[], Muxer]] = {
    "ts": TsMuxer, "flv": FlvMuxer, "mp4": LiveMp4Muxer, "mkv": MatroskaMuxer,
}  # fmt: skip


@pytest.fixture(scope="module")
def events() -> list[object]:
    """Two seconds of pictures and sound."""

    async def make() -> list[object]:
        async with evotools.open_source("test:?size=64x64&realtime=0&duration=2s&seed=1") as source:
            return [event async for event in source]

    return asyncio.run(make())


@pytest.fixture(scope="module")
def bodies(events: list[object]) -> dict[str, bytes]:
    """The same in every container, by suffix."""
    found = {}
    for suffix, make in MUXERS.items():
        muxer = make()
        parts: list[bytes] = []
        tracks: set[int] = set()
        for event in events:
            if isinstance(event, Tracks):
                chosen = [t for t in event.tracks if muxer.accepts(t)]
                tracks = {t.id for t in chosen}
                parts.append(muxer.start(chosen))
            elif isinstance(event, Frame) and event.track.id in tracks:
                parts.append(muxer.write(event))
        parts.append(muxer.finish())
        found[suffix] = b"".join(parts)
    return found


class Seen(StreamListener):
    """What a stream brought."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.pushes = 0

    def on_frames(self, stream: Stream, frames: object) -> None:
        self.frames += frames  # type: ignore[operator]
        self.pushes += 1


def head(suffix: str, fields: str, method: str = "POST", version: str = "1.1", name: str = "live/cam") -> bytes:
    return f"{method} /{name}.{suffix} HTTP/{version}\r\nHost: localhost\r\n{fields}\r\n".encode()


def chunked(body: bytes, size: int = 10_000) -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"


@asynccontextmanager
async def watched() -> AsyncIterator[tuple[Server, Seen]]:
    """A server that keeps what is published."""
    async with serving() as server:
        seen = Seen()
        server.hub.on_event(lambda event: event.stream.listen(seen) if event.kind == "published" else None)
        yield server, seen


async def send(server: Server, data: bytes, *, eof: bool = False) -> tuple[int, dict[str, str], bytes]:
    """The answer to `data`; `eof` ends the sending half behind it."""
    reader, writer = await server.connect()
    try:
        writer.write(data)
        if eof:
            writer.write_eof()
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        status, fields, _ = parse(answer)
        return status, fields, await reader.readexactly(int(fields["content-length"]))
    finally:
        writer.close()


@pytest.mark.parametrize("suffix", list(MUXERS))
@pytest.mark.parametrize("way", ["length", "chunks", "until the end", "http/1.0", "expect"])
async def test_every_container_in_every_way_of_sending(
    suffix: str, way: str, bodies: dict[str, bytes], events: list[object]
) -> None:
    body = bodies[suffix]
    async with watched() as (server, seen):
        if way == "length":
            answer = await send(server, head(suffix, f"Content-Length: {len(body)}\r\n", "PUT") + body)
        elif way == "chunks":
            answer = await send(server, head(suffix, "Transfer-Encoding: chunked\r\n") + chunked(body))
        elif way == "until the end":
            answer = await send(server, head(suffix, "Connection: close\r\n") + body, eof=True)
        elif way == "http/1.0":
            answer = await send(server, head(suffix, "", version="1.0") + body, eof=True)
        else:
            reader, writer = await server.connect()
            writer.write(head(suffix, f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n"))
            assert await reader.readuntil(b"\r\n\r\n") == http1.CONTINUE
            writer.write(body)
            answer = parse(await reader.readuntil(b"frames\n"))
            writer.close()
        status, fields, text = answer
        assert status == 200
        assert fields["access-control-allow-origin"] == "*"
        wanted = [e for e in events if isinstance(e, Frame)]
        assert text == f"'live/cam' was published: {len(wanted)} frames\n".encode()
        for kind in ("video", "audio"):
            assert [f.payload for f in seen.frames if f.track.kind == kind] == [
                f.payload for f in wanted if f.track.kind == kind
            ]
        stream = server.hub.find("live/cam")
        assert stream is not None
        assert stream.state is State.GRACE
        assert not server.listener._uploads.active


async def test_a_live_body_is_a_stream_while_it_comes(bodies: dict[str, bytes]) -> None:
    body = bodies["flv"]
    async with watched() as (server, seen):
        reader, writer = await server.connect()
        writer.write(head("flv", "Transfer-Encoding: chunked\r\n"))
        half = len(body) // 2
        writer.write(b"%x\r\n%b\r\n" % (half, body[:half]))
        await until(lambda: len(seen.frames) > 20)
        _, viewer = await server.connect()
        viewer.write(b"GET /live/cam.ts HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: server.hub.viewers == 1)
        assert server.rules.asked[0].action == "publish"
        assert server.rules.asked[0].protocol == "http-flv"
        # The publisher vanishes: what it sent stays, the stream waits for it.
        frames = len(seen.frames)
        writer.transport.abort()
        stream = server.hub.find("live/cam")
        assert stream is not None
        await until(lambda: stream.state is State.GRACE)
        assert len(seen.frames) >= frames
        assert server.hub.viewers == 1
        viewer.close()
        del reader


async def test_the_bytes_say_what_they_are(bodies: dict[str, bytes]) -> None:
    body = bodies["ts"]
    async with watched() as (server, seen):
        assert (await send(server, head("webm", f"Content-Length: {len(body)}\r\n") + body))[0] == 200
        assert len(seen.frames) > 100


async def test_frames_of_one_read_are_pushed_at_once(bodies: dict[str, bytes]) -> None:
    body = bodies["ts"]
    async with watched() as (server, seen):
        await send(server, head("ts", "Transfer-Encoding: chunked\r\n") + chunked(body, 188))
        assert seen.pushes < 10


async def test_sound_alone(events: list[object]) -> None:
    muxer = AdtsMuxer()
    (tracks,) = [e for e in events if isinstance(e, Tracks)]
    muxer.start([t for t in tracks.tracks if t.kind == "audio"])
    frames = [e for e in events if isinstance(e, Frame) and e.track.kind == "audio"]
    body = b"".join(map(muxer.write, frames))
    async with watched() as (server, seen):
        assert (await send(server, head("aac", long(body)) + body))[0] == 200
        assert [f.payload for f in seen.frames] == [f.payload for f in frames]


def long(body: bytes) -> str:
    return f"Content-Length: {len(body)}\r\n"


REFUSED: list[tuple[str, bytes, int, str]] = [
    ("a playlist", b"PUT /live/cam.m3u8 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 405, ".flv"),
    ("a folder", b"PUT /live/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 405, ".flv"),
    ("no name", b"PUT /.ts HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 405, ".flv"),
    ("a bad name", head("ts", "Content-Length: 5\r\n", name="a/./b") + b"hello", 400, "name"),
    ("a reserved name", head("ts", "Content-Length: 5\r\n", name="healthz") + b"hello", 400, "healthz"),
    ("a bad query", b"PUT /a.ts?%ff HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 400, "query"),
    ("no body", head("ts", ""), 411, "length"),
    ("an empty body", head("ts", "Content-Length: 0\r\n"), 411, "length"),
    ("an empty chunked body", head("ts", "Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n", 422, "no media"),
    ("text", head("ts", "Content-Length: 5\r\n") + b"hello", 415, "MPEG-TS"),
    ("a lot of text", head("ts", "Content-Length: 90000\r\n") + b"hello word" * 9000, 415, "MPEG-TS"),
    ("ogg", head("ts", "Content-Length: 500\r\n") + b"OggS" + bytes(496), 415, "ogg"),
    ("a form", head("ts", "Content-Type: multipart/form-data; \r\nContent-Length: 1\r\n") + b"x", 415, "form"),
    ("gzip", head("ts", "Content-Encoding: gzip\r\nContent-Length: 1\r\n") + b"x", 415, "compressed"),
    ("a part", head("ts", "Content-Range: bytes 0-0/5\r\nContent-Length: 1\r\n") + b"x", 400, "parts"),
    ("a broken flv", head("flv", "Content-Length: 60\r\n") + b"FLV\1\5\0\0\0\t" + b"\xff" * 51, 400, "FLV"),
    ("mp4, header last",
     head("mp4", "Content-Length: 48\r\n") + b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x20mdat" + bytes(24), 415, "header"),
    ("the wrong method", b"DELETE /live/cam.ts HTTP/1.1\r\nHost: x\r\n\r\n", 405, "POST"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "status", "word"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
async def test_what_is_refused_says_why(data: bytes, status: int, word: str) -> None:
    async with serving() as server:
        code, fields, text = await send(server, data)
        assert (code, word in text.decode()) == (status, True), text
        if code == 405:
            assert "get" in fields["allow"]
        assert not server.listener._uploads.active
        assert all(stream.state is not State.LIVE for stream in server.hub)


async def test_access_is_asked_before_the_body(bodies: dict[str, bytes]) -> None:
    async with serving() as server:
        for challenge, status in ((False, 403), (True, 401)):
            server.rules.answer = lambda request, c=challenge: Decision(False, "not you", challenge=c)  # type: ignore[misc]
            code, fields, text = await send(server, head("ts", "Content-Length: 99999999\r\nExpect: 100-continue\r\n"))
            assert (code, text) == (status, b"not you\n")
            assert fields["connection"] == "close"
            assert ("www-authenticate" in fields) == challenge
            # A client that sends without being asked to still gets the answer.
            assert (await send(server, head("ts", "Transfer-Encoding: chunked\r\n") + chunked(bodies["ts"])))[
                0
            ] == status
        assert not len(server.hub)
        assert {request.action for request in server.rules.asked} == {"publish"}


async def test_a_name_in_use_and_too_many_streams(bodies: dict[str, bytes]) -> None:
    async with serving() as server:
        server.publish("live/cam")
        data = head("ts", long(bodies["ts"]))
        code, _, text = await send(server, data)
        assert code == 409
        assert b"in use" in text
        server.hub.limits = Limits(streams=1)
        assert (await send(server, data.replace(b"cam", b"dog")))[0] == 503


async def test_a_publisher_that_is_replaced_is_told(bodies: dict[str, bytes]) -> None:
    async with watched() as (server, seen):
        reader, writer = await server.connect()
        writer.write(head("ts", "Content-Length: 99999999\r\n") + bodies["ts"])
        await until(lambda: seen.frames)
        server.hub.publish("live/cam", PublisherInfo("test"), takeover=True)
        status, fields, text = parse(await reader.read())
        assert status == 409
        assert fields["connection"] == "close"
        assert b"taken over" in text
        frames = len(seen.frames)
        with suppress(ConnectionError):
            writer.write(bodies["ts"])
            await writer.drain()
        assert len(seen.frames) == frames
        writer.close()


async def test_a_server_that_stops_ends_its_publishers(bodies: dict[str, bytes]) -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(head("ts", "Content-Length: 99999999\r\n") + bodies["ts"])
        await until(lambda: server.hub.find("live/cam"))
        await server.listener.close()
        assert await reader.read() == b""
        assert not server.listener._uploads.active
        writer.close()


async def test_a_trickle_that_never_becomes_media_is_ended(
    monkeypatch: pytest.MonkeyPatch, bodies: dict[str, bytes]
) -> None:
    monkeypatch.setattr(upload, "FIRST_MEDIA_S", 0.3)
    monkeypatch.setattr(upload, "MEDIA_IDLE_S", 0.4)
    null = b"\x47\x1f\xff\x10" + bytes(184)
    async with serving() as server:
        for begin in (b"", bodies["ts"]):
            reader, writer = await server.connect()
            writer.write(head("ts", "Content-Length: 99999999\r\n") + begin)
            answer = asyncio.create_task(reader.read())
            while not answer.done():
                with suppress(ConnectionError):
                    writer.write(null)
                    await writer.drain()
                await asyncio.sleep(0.02)
            status, _, text = parse(await answer)
            assert status == 408
            assert b"no media" in text
            writer.close()
        assert not server.listener._uploads.active


async def part(
    server: Server, body: bytes, start: int, fields: str = "User-Agent: GStreamer souphttpclientsink\r\n"
) -> int:
    if start:
        fields += f"Content-Range: bytes {start}-{start + len(body) - 1}/*\r\n"
    return (await send(server, head("ts", long(body) + fields, "PUT") + body))[0]


async def test_a_stream_in_parts(
    monkeypatch: pytest.MonkeyPatch, bodies: dict[str, bytes], events: list[object]
) -> None:
    """GStreamer's souphttpclientsink: a request, and a connection, for every few packets."""
    monkeypatch.setattr(upload, "PART_S", 0.3)
    body = bodies["ts"]
    async with watched() as (server, seen):
        uploads = server.listener._uploads
        assert await part(server, body[:376], 0) == 200
        # Somebody else's part, one out of order, and one of a client that sends none.
        server.rules.answer = lambda request: ALLOWED
        assert await part(server, body[900:1000], 900) == 400
        assert await part(server, body[376:500], 376, "Authorization: Bearer x\r\n") == 400
        for start in range(376, len(body), 7520):
            assert await part(server, body[start : start + 7520], start) == 200
        assert (await send(server, head("ts", long(body)) + body))[0] == 409
        stream = server.hub.find("live/cam")
        assert stream is not None
        await until(lambda: stream.state is State.GRACE)
        assert len(seen.frames) == sum(isinstance(e, Frame) for e in events)
        assert (stream.session, uploads.waiting, uploads.active) == (1, {}, set())
        assert await part(server, body[:188], len(body)) == 400
        # Taken over between two parts: the next one has no place.
        assert await part(server, body, 0) == 200
        server.hub.publish("live/cam", PublisherInfo("test"), takeover=True)
        assert not uploads.waiting
        assert await part(server, body[:188], len(body)) == 400


async def test_preflights_name_the_methods() -> None:
    async with serving() as server:
        status, fields, _ = await server.ask("/live/cam.ts", "OPTIONS", "Origin: http://o\r\n")
        assert status == 204
        assert {"post", "put"} <= set(fields["access-control-allow-methods"].split(", "))
        assert "content-type" in fields["access-control-allow-headers"]


async def test_a_body_without_end_costs_no_memory(bodies: dict[str, bytes]) -> None:
    """Many times what one may keep: the demuxer, the hub's ring and the sockets are all that holds any of it."""
    body = bodies["ts"]
    async with watched() as (server, _):
        reader, writer = await server.connect()
        writer.write(head("ts", "Connection: close\r\n"))
        connection_bytes = 0
        for _ in range(60):
            # Each turn begins again at zero, which is a jump and so a new beginning.
            writer.write(body)
            await writer.drain()
            for connection in server.listener._server._connections:
                held = sum(len(e.data) for e in connection._http.events if isinstance(e, http1.Body))
                connection_bytes = max(connection_bytes, held)
        writer.write_eof()
        assert parse(await reader.read())[0] == 200
        assert connection_bytes <= 1 << 20
        stream = server.hub.find("live/cam")
        assert stream is not None
        assert stream.bytes_in > 20 * len(bodies["flv"])
        writer.close()
