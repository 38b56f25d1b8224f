"""The HTTP media port, over real sockets: routes, live streams, HLS, refusals, attacks."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import m3u8
import pytest

from evotools.codecs import h264
from evotools.containers.flv.demux import FlvDemuxer
from evotools.containers.mpegts.demux import TsDemuxer
from evotools.hub.hub import Hub, Publication
from evotools.hub.stream import PublisherInfo
from evotools.media.frame import Discontinuity, Event, Frame, Tracks
from evotools.media.track import Kind, Track
from evotools.protocols import http1
from evotools.server.access_types import ALLOWED, AccessRequest, Decision
from evotools.server.config import ServerConfig
from evotools.server.listeners import hls as hls_module
from evotools.server.listeners import http as http_module
from evotools.server.listeners.http import HttpListener
from evotools.server.names import RESERVED
from evotools.transport.flush import Flusher

# From x264, 64x64, baseline.
CONFIG = h264.build_avcc(
    [bytes.fromhex("6742c00ad90426c044000003000400000300c83c489920")], [bytes.fromhex("68cb83cb20")]
)
VIDEO = Track(1, Kind.VIDEO, "h264", 90000, CONFIG, codec_string="avc1.42C00A", width=64, height=64)
AUDIO = Track(2, Kind.AUDIO, "aac", 48000, b"\x11\x90", "mp4a.40.2", sample_rate=48000, channels=2)


class Rules:
    """Access as a test wants it; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[AccessRequest] = []
        self.answer: Callable[[AccessRequest], Decision] = lambda request: ALLOWED

    def check(self, request: AccessRequest) -> Decision:
        self.asked.append(request)
        return self.answer(request)


class Server:
    """A hub and its HTTP port, and a client for it."""

    def __init__(self, hub: Hub, rules: Rules, listener: HttpListener) -> None:
        self.hub = hub
        self.rules = rules
        self.listener = listener
        self.port = listener.port

    def publish(self, name: str = "live/cam") -> Publication:
        publication = self.hub.publish(name, PublisherInfo("test"))
        publication.push([Tracks((VIDEO, AUDIO))])
        return publication

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)

    async def raw(self, data: bytes) -> bytes:
        """Everything the server says to `data` until it closes."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(), 30)
        finally:
            writer.close()

    async def ask(self, target: str, method: str = "GET", fields: str = "") -> tuple[int, dict[str, str], bytes]:
        answer = await self.raw(
            f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n".encode()
        )
        return parse(answer)


async def until(check: Callable[[], object]) -> None:
    """Wait for something that the server does on its own."""
    for _ in range(2000):
        if check():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen")


def parse(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    if fields.get("transfer-encoding") == "chunked":
        body = b"".join(chunks(body))
    return int(lines[0].split()[1]), fields, body


def chunks(body: bytes) -> Iterator[bytes]:
    """What is in the chunks, which end with an empty one (RFC 9112 7.1)."""
    size = -1
    while size:
        line, _, body = body.partition(b"\r\n")
        size = int(line, 16)
        yield body[:size]
        assert body[size : size + 2] == b"\r\n"
        body = body[size + 2 :]
    assert not body


def media(start_ms: int, length_ms: int, gop_ms: int = 1000) -> list[Event]:
    """Synthetic pictures at 25 fps and sound, in decode order."""
    frames: list[Frame] = []
    for ms in range(start_ms, start_ms + length_ms, 40):
        key = ms % gop_ms == 0
        # No zero bytes: at the end of a NAL unit Annex B could not tell them from padding.
        nal = bytes([0x65 if key else 0x41]) + (ms + 0x11111111).to_bytes(4, "big") * 8 + b"\x80"
        payload = len(nal).to_bytes(4, "big") + nal
        frames.append(Frame(VIDEO, ms * 90, ms * 90, payload, duration=3600, key=key))
        frames += [
            Frame(AUDIO, ms * 48 + i * 960, ms * 48 + i * 960, b"\x21" * 50, duration=960, key=True) for i in (0, 1)
        ]
    return list(frames)


@asynccontextmanager
async def serving(**changes: object) -> AsyncIterator[Server]:
    config = ServerConfig()
    for key, value in changes.items():
        section, _, name = key.partition("_")
        setattr(getattr(config, section), name, value)
    hub = Hub(time.monotonic, reserved=RESERVED)
    flusher = Flusher(hub, 0.0)
    rules = Rules()
    listener = HttpListener(hub, rules, config)
    await listener.start("127.0.0.1", 0)
    try:
        yield Server(hub, rules, listener)
    finally:
        await listener.close()
        flusher.close()
        hub.close()


# Live streams.


@pytest.mark.parametrize(
    ("suffix", "mime", "make"), [("flv", "video/x-flv", FlvDemuxer), ("ts", "video/mp2t", TsDemuxer)]
)
async def test_live_viewers_get_the_stream_from_its_newest_key_frame(
    suffix: str, mime: str, make: Callable[[], FlvDemuxer | TsDemuxer]
) -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 1400))
        reader, writer = await server.connect()
        writer.write(f"GET /live/cam.{suffix} HTTP/1.0\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        status, fields, _ = parse(head)
        assert status == 200
        assert fields["content-type"] == mime
        assert fields["access-control-allow-origin"] == "*"
        assert fields["connection"] == "close"
        assert "content-length" not in fields
        publication.push(media(1400, 600))
        await asyncio.sleep(0)
        assert server.hub.viewers == 1
        server.hub.end("live/cam")
        body = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        demuxer = make()
        got = [e for e in [*demuxer.feed(body), *demuxer.flush()] if isinstance(e, Frame)]
        pictures = [f for f in got if f.track.kind is Kind.VIDEO]
        expected = [e for e in media(1000, 1000) if isinstance(e, Frame) and e.track is VIDEO]
        assert [f.payload for f in pictures] == [f.payload for f in expected]
        assert pictures[0].key
        assert any(f.track.kind is Kind.AUDIO for f in got)
        assert server.hub.viewers == 0


async def test_a_viewer_that_leaves_is_forgotten() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 400))
        reader, writer = await server.connect()
        writer.write(b"GET /live/cam.flv HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"FLV")
        assert server.hub.viewers == 1
        writer.close()
        await writer.wait_closed()
        await until(lambda: not server.hub.viewers)


async def test_a_viewer_that_never_reads_costs_bounded_memory_and_nobody_else_anything() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 40))
        reader, writer = await server.connect()
        writer.transport.pause_reading()
        writer.write(b"GET /live/cam.flv HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: server.hub.viewers)
        stream = server.hub.find("live/cam")
        assert stream is not None
        (feed,) = stream.feeds.values()
        (viewer,) = feed.viewers()
        for i in range(60):
            nal = b"\x65" + bytes(1_000_000)
            frame = Frame(VIDEO, (i + 1) * 90000, (i + 1) * 90000, len(nal).to_bytes(4, "big") + nal, key=True)
            publication.push([frame])
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert viewer.unsent() < 4_000_000
        assert viewer.dropped > 0
        writer.close()
        del reader


async def test_a_format_that_can_carry_no_track_is_refused() -> None:
    async with serving() as server:
        publication = server.hub.publish("live/flac", PublisherInfo("test"))
        publication.push([Tracks((Track(1, Kind.AUDIO, "flac", 48000, b"\x10" * 34, sample_rate=48000, channels=2),))])
        for path in ("/live/flac.ts", "/live/flac.m3u8"):
            status, _, body = await server.ask(path)
            assert (status, b"no track" in body) == (406, True)


# HLS.


async def test_what_came_before_the_publisher_left_is_shown_while_it_may_come_back() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 1000))
        ask = asyncio.create_task(server.ask("/live/cam/media.m3u8"))
        await until(lambda: server.listener.segmenters)
        publication.close()
        _, _, body = await ask
        playlist = m3u8.loads(body.decode())
        assert [s.duration for s in playlist.segments] == [1.0]
        assert not playlist.is_endlist
        server.publish().push(media(0, 4000))
        _, _, body = await server.ask("/live/cam/media.m3u8")
        assert [(s.duration, s.discontinuity) for s in m3u8.loads(body.decode()).segments] == [
            (1.0, False),
            (2.0, True),
        ]


async def test_hls_from_master_to_segments() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 1000))
        ask = asyncio.create_task(server.ask("/live/cam.m3u8?token=t"))
        await until(lambda: server.listener.segmenters)
        assert not ask.done()
        for start in range(1000, 9000, 1000):
            publication.push(media(start, 1000))
        status, fields, body = await ask
        assert status == 200
        assert fields["content-type"] == "application/vnd.apple.mpegurl"
        assert fields["access-control-allow-origin"] == "*"
        master = m3u8.loads(body.decode())
        (variant,) = master.playlists
        assert variant.uri == "cam/media.m3u8?token=t"
        assert variant.stream_info.codecs == "avc1.42C00A,mp4a.40.2"
        assert variant.stream_info.resolution == (64, 64)
        assert variant.stream_info.bandwidth > 0

        status, fields, body = await server.ask("/live/cam/media.m3u8?token=t")
        assert status == 200
        assert "no-store" not in fields["cache-control"]
        playlist = m3u8.loads(body.decode())
        assert playlist.media_sequence == pytest.approx(time.time() / 2, abs=3)
        assert len(playlist.segments) == 4
        assert {s.duration for s in playlist.segments} == {2.0}
        assert all(s.uri.endswith(".ts?token=t") for s in playlist.segments)

        pictures: list[bytes] = []
        for part in playlist.segments:
            status, fields, body = await server.ask(f"/live/cam/{part.uri}")
            assert status == 200
            assert fields["content-type"] == "video/mp2t"
            assert "immutable" in fields["cache-control"]
            assert len(body) % 188 == 0
            # RFC 8216 3.2: PAT and PMT lead; and each segment stands alone.
            assert body[1] & 0x1F == 0
            assert body[2] == 0
            demuxer = TsDemuxer()
            events = [*demuxer.feed(body), *demuxer.flush()]
            frames = [e for e in events if isinstance(e, Frame) and e.track.kind is Kind.VIDEO]
            assert frames[0].key
            assert len(frames) == 50
            pictures += [f.payload for f in frames]
        expected = [e.payload for e in media(0, 8000) if isinstance(e, Frame) and e.track is VIDEO]
        assert pictures == expected
        assert (await server.ask("/live/cam/index.m3u8"))[2].splitlines()[-1] == b"media.m3u8"
        assert (await server.ask(f"/live/cam/{playlist.segments[0].uri}", fields="Range: bytes=0-187\r\n"))[0] == 206
        status, fields, body = await server.ask(f"/live/cam/{playlist.segments[0].uri}", "HEAD")
        assert (status, body) == (200, b"")
        assert int(fields["content-length"]) > 188


async def test_a_new_publisher_means_a_new_session_and_a_discontinuity_and_numbers_go_on() -> None:
    async with serving(hls_always=True) as server:
        first = server.publish()
        first.push(media(0, 5000))
        first.close()
        await asyncio.sleep(0.002)  # Session ids are milliseconds.
        second = server.publish()
        second.push(media(0, 5000))
        second.push([Discontinuity("test")])
        playlist = m3u8.loads((await server.ask("/live/cam/media.m3u8"))[2].decode())
        assert [s.discontinuity for s in playlist.segments] == [False, False, False, True, False, False]
        names = [s.uri.partition("-") for s in playlist.segments]
        assert len({n[0] for n in names}) == 2
        numbers = [int(n[2].removesuffix(".ts")) for n in names]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        server.hub.end("live/cam")
        assert b"#EXT-X-ENDLIST" in (await server.ask("/live/cam/media.m3u8"))[2]
        third = server.publish()
        third.push(media(0, 3000))
        text = (await server.ask("/live/cam/media.m3u8"))[2]
        assert b"#EXT-X-ENDLIST" not in text
        later = m3u8.loads(text.decode())
        assert later.media_sequence + len(later.segments) > numbers[-1] + 1
        assert (await server.ask(f"/live/cam/{playlist.segments[0].uri}"))[0] == 200


async def test_segmenters_stop_when_nobody_asks_and_numbers_do_not_go_back() -> None:
    async with serving(hls_idle=0.0) as server:
        publication = server.publish()
        # Far faster than real time, so that the numbers run ahead of the clock.
        publication.push(media(0, 1000))
        ask = asyncio.create_task(server.ask("/live/cam/media.m3u8"))
        await until(lambda: server.listener.segmenters)
        for start in range(1000, 41000, 1000):
            publication.push(media(start, 1000))
        before = m3u8.loads((await ask)[2].decode())
        await until(lambda: not server.listener.segmenters)
        ask = asyncio.create_task(server.ask("/live/cam/media.m3u8"))
        await until(lambda: server.listener.segmenters)
        publication.push(media(41000, 3000))
        after = m3u8.loads((await ask)[2].decode())
        assert after.media_sequence >= before.media_sequence + len(before.segments)


async def test_a_playlist_that_never_comes_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hls_module, "WAIT_S", 0.0)
    async with serving() as server:
        server.publish()
        status, fields, _ = await server.ask("/live/cam/index.m3u8")
        assert status == 503
        assert fields["retry-after"]


async def test_players_that_wait_are_counted_and_forgotten_when_they_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hls_module, "MAX_WAITERS", 2)
    async with serving() as server:
        publication = server.publish()
        waiting = [await server.connect() for _ in range(2)]
        for _, writer in waiting:
            writer.write(b"GET /live/cam/index.m3u8 HTTP/1.1\r\nHost: x\r\n\r\n")
        streams = server.listener._hls
        assert streams is not None
        await until(lambda: (live := streams.find("live/cam")) and len(live.waiting) == 2)
        assert (await server.ask("/live/cam/index.m3u8"))[0] == 503
        waiting[0][1].close()
        live = streams.find("live/cam")
        assert live is not None
        await until(lambda: len(live.waiting) == 1)
        publication.push(media(0, 4000))
        assert (await asyncio.wait_for(waiting[1][0].readuntil(b"\r\n"), 10)).startswith(b"HTTP/1.1 200")
        waiting[1][1].close()


async def test_whoever_fetches_segments_only_keeps_the_segmenter() -> None:
    async with serving(hls_always=True) as server:
        server.publish().push(media(0, 5000))
        uri = m3u8.loads((await server.ask("/live/cam/media.m3u8"))[2].decode()).segments[0].uri
        streams = server.listener._hls
        assert streams is not None
        live = streams.find("live/cam")
        assert live is not None
        live.used_at = live.stream.read_at = 0.0
        assert (await server.ask(f"/live/cam/{uri}"))[0] == 200
        assert min(live.used_at, live.stream.read_at) > time.monotonic() - 60


async def test_numbers_of_many_gone_streams_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hls_module, "MAX_REMEMBERED", 3)
    async with serving(hls_always=True) as server:
        streams = server.listener._hls
        assert streams is not None
        for n in range(6):
            server.publish(f"live/{n}").push(media(0, 3000))
        streams.close()
        assert list(streams._last) == ["live/3", "live/4", "live/5"]


async def test_the_index_names_so_many_streams_and_asks_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "MAX_LISTED", 3)
    monkeypatch.setattr(http_module, "MAX_ASKED", 5)
    async with serving(hls_enabled=False) as server:
        for n in range(9):
            server.publish(f"live/{n}")
        page = (await server.ask("/"))[2]
        assert [n for n in range(9) if b'href="live/%d/"' % n in page] == [0, 1, 2]
        server.rules.asked.clear()
        server.rules.answer = lambda request: Decision(False, reason="no")
        assert b'href="live/' not in (await server.ask("/"))[2]
        assert len(server.rules.asked) == 5


@pytest.mark.parametrize("batches", [100, pytest.param(1000, marks=pytest.mark.slow)])
async def test_any_number_of_session_ids_leaves_no_state(batches: int) -> None:
    async with serving(hls_always=True) as server:
        server.publish().push(media(0, 5000))
        reader, writer = await server.connect()
        for batch in range(batches):
            requests = [
                f"GET /live/cam/media.m3u8?session={batch * 100 + i} HTTP/1.1\r\nHost: x\r\n\r\n" for i in range(100)
            ]
            writer.write("".join(requests).encode())
            for _ in requests:
                head = await reader.readuntil(b"\r\n\r\n")
                status, fields, _ = parse(head)
                assert status == 200
                await reader.readexactly(int(fields["content-length"]))
        assert server.listener.segmenters == 1
        assert len(server.hub.streams) == 1
        assert len(http1.connection._memo) <= http1.MAX_MEMO
        writer.close()


# Refusals.


async def test_access_is_asked_for_everything_and_its_answer_holds() -> None:
    async with serving(hls_always=True) as server:
        server.publish().push(media(0, 5000))
        playlist = m3u8.loads((await server.ask("/live/cam/media.m3u8"))[2].decode())
        part = f"/live/cam/{playlist.segments[0].uri}"
        targets = ["/live/cam.flv", "/live/cam.ts", "/live/cam/index.m3u8", "/live/cam.m3u8", "/live/cam/media.m3u8",
                   "/live/cam/", "/live/cam", part]  # fmt: skip
        server.rules.answer = lambda request: Decision(False, "not you")
        for target in targets:
            assert (await server.ask(target))[0] == 403, target
        assert b"live/cam" not in (await server.ask("/"))[2]
        server.rules.answer = lambda request: Decision(request.password == "pw", challenge=True)
        basic = base64.b64encode(b"me:pw").decode()
        for target in targets[3:5]:
            status, fields, _ = await server.ask(target)
            assert status == 401
            assert fields["www-authenticate"].startswith("basic")
            assert (await server.ask(target, fields=f"Authorization: Basic {basic}\r\n"))[0] == 200
            assert (await server.ask(f"{target}?user=me&pass=pw"))[0] == 200
        assert (await server.ask("/live/cam/media.m3u8", fields="Authorization: Basic ###\r\n"))[0] == 400
        server.rules.asked.clear()
        await server.ask("/live/cam.flv?token=abc&x=1", "HEAD")
        (request,) = server.rules.asked
        assert (request.action, request.name, request.protocol) == ("read", "live/cam", "http-flv")
        assert (request.peer_ip, request.token) == ("127.0.0.1", "abc")
        assert request.headers["host"] == "localhost"
        assert "abc" not in repr(request)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/", 200), ("/healthz", 200), ("/web/page.css", 200), ("/web/player.js", 200), ("/live/cam/", 200),
        ("/live/cam", 308), ("/live/none.flv", 404), ("/live/none.ts", 404), ("/live/none/index.m3u8", 404),
        ("/live/none.m3u8", 404), ("/live/none/", 404), ("/live/none", 404), ("/live/cam/18bcfe5689a-5.ts", 404),
        ("/web/pages.py", 404), ("/web/../pyproject.toml", 404), ("/../../etc/passwd", 404), ("//etc/passwd", 404),
        ("/etc/passwd", 404), ("/live//cam.flv", 404), ("/live/./cam.flv", 404), ("/.flv", 404), ("/.m3u8", 404),
        ("/index.m3u8", 404), ("/a~b.flv", 404), ("/a:b.flv", 404), ("/C:/x.flv", 404), ("/live/cam.FLV", 404),
        ("/" + "a" * 300 + ".flv", 404), ("/%2e%2e/x.flv", 400), ("/live%2fcam.flv", 400), ("/live/cam%00.flv", 400),
        ("/live\\cam.flv", 400), ("/live/%5ccam.flv", 400), ("http://other/live/cam/", 200),
        ("/live/cam.flv?a=%ff", 400),
        ("/live/cam.mp3", 406), ("/live/cam.avi", 404), ("/live/none.mp4", 404), ("/%6Cive/cam/", 200),
    ],
)  # fmt: skip
async def test_status_of_targets(target: str, status: int) -> None:
    async with serving() as server:
        server.publish()
        assert (await server.ask(target))[0] == status


async def test_methods() -> None:
    async with serving() as server:
        server.publish()
        for method in ("DELETE", "PATCH"):
            code, fields, _ = await server.ask("/live/cam.flv", method)
            assert code == 405
            assert {"get", "head", "options"} <= set(fields["allow"].split(", "))
        code, fields, body = await server.ask("/live/cam.flv", "OPTIONS", "Origin: http://x\r\n")
        assert (code, body) == (204, b"")
        assert fields["access-control-allow-origin"] == "*"
        assert "get" in fields["access-control-allow-methods"]
        for target in ("/live/cam.flv", "/live/cam.ts", "/live/cam/index.m3u8"):
            code, fields, body = await server.ask(target, "HEAD")
            assert (code, body) == (200, b"")
            assert fields["content-type"]
        assert (await server.ask("/none.flv", "HEAD"))[0] == 404
        assert server.hub.viewers == 0
        assert server.listener.segmenters == 0


async def test_a_source_on_demand_is_there_and_does_not_start_for_whoever_asks_only_whether() -> None:
    async with serving() as server:
        started: list[str] = []
        server.hub.resolver = lambda name: name == "cam/door" and not started.append(name)  # type: ignore[func-returns-value]
        server.hub.sourced = lambda name: name == "cam/door"
        for target, kind in (
            ("/cam/door.flv", "video/x-flv"), ("/cam/door.mp4", "video/mp4"), ("/cam/door/", "text/html"),
            ("/cam/door/index.m3u8", "application/vnd.apple.mpegurl"),
        ):  # fmt: skip
            code, fields, body = await server.ask(target, "HEAD")
            assert (code, body) == (200, b"")
            assert fields["content-type"].startswith(kind)
        assert (await server.ask("/cam/door"))[0] == 308
        for target in ("/cam/window.flv", "/cam/window/index.m3u8", "/cam/window/", "/cam/window"):
            assert (await server.ask(target, "HEAD"))[0] == 404
        assert started == []
        server.rules.answer = lambda request: Decision(False, "no", challenge=True)
        for target in ("/cam/door", "/cam/window", "/cam/door.flv", "/cam/window.flv", "/cam/door/", "/cam/window/"):
            assert (await server.ask(target, "HEAD"))[0] == 401, "who may not read is not told what there is"


async def test_pages_escape_and_forbid_inline_code() -> None:
    async with serving() as server:
        server.publish("a+b/c")
        code, fields, body = await server.ask("/a+b/c/?x=%22%3E%3Cscript%3E'\"><script>")
        assert code == 200
        assert "script-src 'self'" in fields["content-security-policy"]
        assert b"<script>" not in body
        assert b"onerror" not in body
        assert b'src="../../web/player.js"' in body
        assert b"&quot;&gt;&lt;script&gt;" in body
        _, fields, body = await server.ask("/")
        assert b'href="a+b/c/"' in body
        assert "content-security-policy" in fields


async def test_reserved_names_cannot_be_published() -> None:
    async with serving() as server:
        for name in ("web/x", "healthz", "live/index.m3u8", "live/a.ts", "live/whip", "a.FLV", "live/Manifest"):
            with pytest.raises(Exception, match="reserved"):
                server.publish(name)
        server.publish("live/manifesto")


# Attacks on the transport.


async def test_requests_before_a_broken_one_are_answered_and_the_connection_ends() -> None:
    async with serving() as server:
        answer = await server.raw(
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert answer.count(b"HTTP/1.1 200") == 1
        assert answer.count(b"HTTP/1.1 400") == 1


async def test_oversized_heads_are_refused() -> None:
    async with serving() as server:
        assert (await server.raw(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 10**6)).startswith(b"HTTP/1.1 431")
        assert (await server.raw(b"GET /" + b"a" * 10**5)).startswith(b"HTTP/1.1 414")


async def test_a_pipelined_flood_is_answered_in_order_or_cut() -> None:
    async with serving() as server:
        flood = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 20_000
        reader, writer = await server.connect()
        writer.write(flood)
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.count(b"HTTP/1.1 429") == 1
        assert (await server.ask("/healthz"))[0] == 200


async def test_slow_heads_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evotools.protocols.http1.connection.HEAD_TIMEOUT_S", 0.1)
    monkeypatch.setattr("evotools.transport.http.connection._CHECK_S", 0.1)
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(b"GET / HT")
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.startswith(b"HTTP/1.1 408")
        writer.close()


async def test_connection_caps() -> None:
    async with serving(http_max_connections=2) as server:
        held = [await server.connect() for _ in range(2)]
        await asyncio.sleep(0.05)
        assert (await server.raw(b"")).startswith(b"HTTP/1.1 503")
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        await until(lambda: not server.listener.connections)
        assert (await server.ask("/healthz"))[0] == 200


async def test_keep_alive_half_close_and_http10() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        for _ in range(3):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\nok\n")).startswith(b"HTTP/1.1 200")
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.write_eof()
        assert (await reader.read()).endswith(b"ok\n")
        writer.close()
        answer = await server.raw(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b"Connection: close" in answer
        assert (
            await server.raw(b"GET /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999\r\n\r\n")
        ).startswith(b"HTTP/1.1 413")


async def test_chromium_gets_a_playlist_that_it_can_start_with() -> None:
    async with serving(hls_always=True) as server:
        publication = server.publish()
        publication.push(media(0, 3000))
        assert (await server.ask("/live/cam/media.m3u8"))[0] == 200
        browser = "User-Agent: Mozilla/5.0 Chrome/156.0.0.0 Safari/537.36\r\nRange: bytes=0-\r\n"
        ask = asyncio.create_task(server.ask("/live/cam/media.m3u8", fields=browser))
        await asyncio.sleep(0.2)
        assert not ask.done()
        publication.push(media(3000, 5000))
        assert len(m3u8.loads((await ask)[2].decode()).segments) == 3
