"""RTMP as services want it: TLS, keys with queries, passwords, farewells, and servers that send us elsewhere."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from evotools.endpoints.base import Context
from evotools.endpoints.registry import open_sink, open_source
from evotools.errors import ExitCode, RefusedError, UnreachableError, UsageError
from evotools.media.frame import Event, Frame, Metadata, Tracks
from evotools.pipeline.job import Runtime
from evotools.pipeline.resolve import name_endpoints, parse_uri
from evotools.pipeline.route import OutputSpec, RouteSpec
from evotools.pipeline.run import run_route
from evotools.protocols.rtmp.auth import AdobeServer
from evotools.protocols.rtmp.events import (
    Connect,
    MediaMessage,
    PublishRequest,
    Unpublish,
)
from evotools.protocols.rtmp.server import ServerConnection
from evotools.transport.driver import Driver
from evotools.transport.tls import server_context
from tests.authority import Authority, Certificate
from tests.unit.endpoints.media import Clip, sink, source


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def good(authority: Authority) -> Certificate:
    return authority.certificate()


class Ingest:
    """A service that takes one stream after the other and remembers what it was told."""

    def __init__(self) -> None:
        self.connects: list[Connect] = []
        self.requests: list[PublishRequest] = []
        self.media: list[list[MediaMessage]] = []
        self.farewells = 0
        self.sessions: list[tuple[Driver, ServerConnection]] = []
        self.on_connect: Callable[[ServerConnection, Connect], None] = lambda server, event: server.accept_connect()
        self.on_publish: Callable[[ServerConnection, PublishRequest], None] = lambda server, event: (
            server.accept_publish()
        )
        self.port = 0

    def __call__(self) -> Driver:
        loop = asyncio.get_running_loop()
        server = ServerConnection(loop.time(), os.urandom)
        taken: list[MediaMessage] = []

        def on_event(event: object) -> None:
            if isinstance(event, Connect):
                self.connects.append(event)
                self.on_connect(server, event)
            elif isinstance(event, PublishRequest):
                self.requests.append(event)
                self.media.append(taken)
                self.on_publish(server, event)
            elif isinstance(event, MediaMessage):
                taken.append(event)
            elif isinstance(event, Unpublish) and not server.closed:
                self.farewells += 1

        driver = Driver(server, on_event, lambda error: None)
        self.sessions.append((driver, server))
        return driver


@asynccontextmanager
async def ingest(tls: Certificate | None = None) -> AsyncIterator[Ingest]:
    service = Ingest()
    context = server_context(str(tls.cert), str(tls.key)) if tls else None
    server = await asyncio.get_running_loop().create_server(service, "127.0.0.1", 0, ssl=context)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
        for driver, _ in service.sessions:
            if hasattr(driver, "transport"):
                driver.abort()
        await asyncio.sleep(0.01)


async def send(uri: str, clip: Clip) -> None:
    opened = sink(uri)
    try:
        await opened.open()
        await opened.start(clip.tracks)
        await opened.write(clip.events)
        await opened.finish()
    finally:
        await opened.close()


async def until(ready: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not ready():
            await asyncio.sleep(0.005)


# TLS.


async def test_rtmps_checks_the_server_and_says_goodbye(
    clip: Clip, authority: Authority, good: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ingest(good) as service:
        place = f"rtmps://localhost:{service.port}/app/key"
        with pytest.raises(UnreachableError, match=r"authority that is not trusted here.*tls_verify=0"):
            await send(place, clip)
        await send(f"{place}?tls_verify=0", clip)
        await send(f"{place}?ca_file={authority.ca}", clip)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        await send(place, clip)
        await until(lambda: service.farewells == 3)
        assert [c.tc_url for c in service.connects] == [f"rtmps://localhost:{service.port}/app"] * 3
        assert all(len(media) == len(service.media[0]) > 20 for media in service.media)
        assert not any("tls_verify" in str(r.query) for r in service.requests)


async def test_a_server_without_tls_and_one_that_is_not_there(clip: Clip) -> None:
    async with ingest() as service:
        with pytest.raises(UnreachableError, match=r"closed the connection at our TLS greeting.* rtmp://"):
            await send(f"rtmps://127.0.0.1:{service.port}/app/key?tls_verify=0", clip)
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(UnreachableError, match=r"no answer to TLS .* rtmp://"):
            await send(f"rtmps://127.0.0.1:{port}/app/key?tls_verify=0&timeout=300ms", clip)
    with pytest.raises(UnreachableError, match="refused"):
        await send("rtmps://127.0.0.1:1/app/key?tls_verify=0", clip)
    with pytest.raises(UnreachableError, match="refused"):
        await source("rtmps://127.0.0.1:1/app/key?tls_verify=0").open()


# Keys and queries.


@pytest.mark.parametrize(
    ("uri", "app", "name", "query"),
    [
        ("/app/key?token=1?timeout=5s", "app", "key", {"token": "1"}),
        ("/app/key?token=1?", "app", "key", {"token": "1"}),
        ("/app/key?timeout=1?", "app", "key", {"timeout": "1"}),
        ("/app/key?token=1&timeout=5s", "app", "key", {"token": "1"}),
        ("/rtmp/FB-1-0-Ab?s_bl=1&s_psm=1&a=AbC", "rtmp", "FB-1-0-Ab", {"s_bl": "1", "s_psm": "1", "a": "AbC"}),
        ("/app/instance/stream", "app/instance", "stream", {}),
        ("/live/a/b?rtmp_app=live", "live", "a/b", {}),
        ("/app//key", "app", "key", {}),
    ],
)
async def test_what_the_service_is_told(clip: Clip, uri: str, app: str, name: str, query: dict[str, str]) -> None:
    async with ingest() as service:
        await send(f"rtmp://127.0.0.1:{service.port}{uri}", clip)
        request = service.requests[0]
        assert (request.app, request.name, request.query) == (app, name, query)
        assert service.connects[0].tc_url == f"rtmp://127.0.0.1:{service.port}/{app}"


def test_services_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TWITCH", "YOUTUBE", "FACEBOOK"):
        monkeypatch.setenv(f"{name}_KEY", f"{name.lower()}-secret?a=1&b=2")
    for name, host in [("twitch", "live-video.net"), ("youtube", "youtube.com"), ("facebook", "facebook.com")]:
        uri = parse_uri(f"{name}:")
        assert (uri.scheme, uri.port) == ("rtmps", 443)
        assert uri.host.endswith(host)
        assert uri.text.endswith(f"/{name}-secret?a=1&b=2")
        assert "secret" not in str(uri) + repr(uri)
        open_sink(uri, Context())
    assert parse_uri("twitch:live_12?bandwidthtest=true").text.endswith("/app/live_12?bandwidthtest=true")
    assert parse_uri("twitch:?timeout=3s").text.endswith("/app/twitch-secret?a=1&b=2?timeout=3s")
    monkeypatch.delenv("YOUTUBE_KEY")
    with pytest.raises(UsageError, match="export YOUTUBE_KEY"):
        parse_uri("youtube:")
    try:
        name_endpoints({"youtube": "rtmp://mine.example/live/x"})
        assert parse_uri("youtube:").host == "mine.example"
    finally:
        name_endpoints({})


async def test_a_refused_key_is_final_and_not_shown(clip: Clip) -> None:
    async with ingest() as service:
        service.on_publish = lambda server, event: server.reject("NetStream.Publish.BadName", "hush99 is unknown")
        with pytest.raises(RefusedError) as caught:
            await send(f"rtmp://127.0.0.1:{service.port}/app/hush99", clip)
        assert caught.value.code is ExitCode.REFUSED
        assert "hush99" not in str(caught.value)
        assert "refused to publish (BadName)" in str(caught.value)


# Passwords.


async def test_credentials_of_the_url_answer_a_challenge(clip: Clip) -> None:
    adobe = AdobeServer(b"k" * 32)
    now = asyncio.get_running_loop().time

    def ask(server: ServerConnection, event: Connect) -> None:
        user = adobe.user(event.query)
        if not user:
            server.challenge(adobe.challenge(event.query, now(), os.urandom))
        elif not adobe.verify(event.query, "hush99" if user == "alice" else "nobody knows", now()):
            server.challenge(adobe.failed(user))
        else:
            server.accept_connect()

    async with ingest() as service:
        service.on_connect = ask
        place = f"127.0.0.1:{service.port}/app/key"
        await send(f"rtmp://alice:hush99@{place}", clip)
        assert len(service.connects) == 3
        assert service.farewells == 1
        for who in ("alice:wrong1", "bob:hush99"):
            with pytest.raises(RefusedError, match="does not accept this user name and password") as caught:
                await send(f"rtmp://{who}@{place}", clip)
            assert who.partition(":")[2] not in str(caught.value)
        with pytest.raises(RefusedError, match="wants a user name and a password"):
            await send(f"rtmp://{place}", clip)


# Metadata, farewells, reconnects.


async def test_metadata_passes_through_in_its_place(clip: Clip) -> None:
    async with ingest() as service:
        opened = sink(f"rtmp://127.0.0.1:{service.port}/app/key")
        await opened.open()
        await opened.start(clip.tracks)
        frames = clip.frames
        await opened.write([*frames[:9], Metadata("onTextData", {"text": "here"}, frames[8].dts_s), *frames[9:20]])
        await opened.finish()
        await opened.close()
        kinds = [(m.type, b"onTextData" in m.payload) for m in service.media[0]]
        assert kinds[0][0] == 18, "onMetaData comes first"
        at = kinds.index((18, True))
        assert 9 <= at < len(kinds) - 5


async def test_a_lost_connection_is_made_again_and_begins_with_headers_and_a_key_frame() -> None:
    async with ingest() as service:
        route = RouteSpec(
            "test:?size=64x64&fps=25&gop=10&duration=2s&seed=1",
            (OutputSpec(f"rtmp://127.0.0.1:{service.port}/app/key?token=1"),),
        )
        running = asyncio.create_task(run_route(route, Runtime(quiet=True)))
        await until(lambda: service.media and len(service.media[0]) > 30)
        service.sessions[0][0].abort()
        assert await running == 0
        assert len(service.requests) == 2, "once lost, once made again"
        assert service.farewells == 1
        again = service.media[1]
        video = [m.payload for m in again if m.type == 9]
        audio = [m.payload for m in again if m.type == 8]
        assert again[0].type == 18
        assert b"onMetaData" in again[0].payload[:20]
        assert [video[0][:2], video[1][:2]] == [b"\x17\x00", b"\x17\x01"]
        assert audio[0][:2] == b"\xaf\x00"


async def test_a_server_sends_us_elsewhere_and_nothing_is_lost(clip: Clip) -> None:
    async with ingest() as old, ingest() as new:
        opened = sink(f"rtmp://127.0.0.1:{old.port}/app/key?token=1")
        await opened.open()
        await opened.start(clip.tracks)
        # Twice, one behind the other: the second begins with a key frame.
        again = [f.shifted(f.track, f.dts + f.track.timescale, f.pts + f.track.timescale) for f in clip.frames]
        frames = [*clip.frames, *again]
        half = len(clip.frames) // 2
        await opened.write(frames[:half])
        driver, server = old.sessions[0]
        assert server.request_reconnect(f"rtmp://127.0.0.1:{new.port}/app", "maintenance")
        driver.pump()
        await until(lambda: opened._link.wanted_at)  # type: ignore[attr-defined]
        await opened.write(frames[half : half + 1])
        await until(lambda: new.requests)
        await until(lambda: opened._moving is None or opened._moving.done())  # type: ignore[attr-defined]
        # No key frame among these: they still go the old way.
        await opened.write(frames[half + 1 : half + 9])
        assert not new.media[0]
        await opened.write(frames[half + 9 :])
        await opened.finish()
        await until(lambda: old.farewells == 1 and new.farewells == 1)
        await opened.close()
        assert new.requests[0].query == {"token": "1"}
        first = [m for m in new.media[0] if m.type == 9]
        # A sequence header and then a key frame.
        assert [first[0].payload[:2], first[1].payload[0] >> 4] == [b"\x17\x00", 1]
        sent = sum(1 for m in (*old.media[0], *new.media[0]) if m.type == 9 and m.payload[1] == 1)
        assert sent == sum(1 for f in frames if f.track.codec == "h264")


async def test_a_password_is_not_for_the_host_that_a_server_names(clip: Clip) -> None:
    """Only the host that the user typed may challenge for it."""
    adobe = AdobeServer(b"k" * 32)

    def ask(server: ServerConnection, event: Connect) -> None:
        server.challenge(adobe.challenge(event.query, asyncio.get_running_loop().time(), os.urandom))

    async with ingest() as old, ingest() as new:
        opened = sink(f"rtmp://alice:hush99@localhost:{old.port}/app/key")
        await opened.open()
        await opened.start(clip.tracks)
        new.on_connect = ask
        for target, rounds in ((f"rtmp://localhost:{new.port}/app", 3), (f"rtmp://127.0.0.1:{new.port}/app", 1)):
            new.connects.clear()
            driver, server = old.sessions[0]
            server.request_reconnect(target)
            driver.pump()
            await until(lambda: opened._link.wanted_at)  # type: ignore[attr-defined]
            await opened.write(clip.frames[:1])
            await until(lambda: opened._moving.done())  # type: ignore[attr-defined]
            await opened.write(clip.frames[1:2])
            assert len(new.connects) == rounds
            assert any("alice" in connect.tc_url for connect in new.connects) is (rounds > 1)
        await opened.finish()
        await opened.close()


async def test_a_place_that_cannot_be_reached_leaves_us_where_we_are(clip: Clip) -> None:
    async with ingest() as service:
        opened = sink(f"rtmp://127.0.0.1:{service.port}/app/key")
        await opened.open()
        await opened.start(clip.tracks)
        for target in ("rtmp://127.0.0.1:1/app", f"rtmps://127.0.0.1:{service.port}/app"):
            driver, server = service.sessions[0]
            server.request_reconnect(target)
            driver.pump()
            await until(lambda: opened._link.wanted_at)  # type: ignore[attr-defined]
            await opened.write(clip.frames[:1])
            await until(lambda: opened._moving.done())  # type: ignore[attr-defined]
            await opened.write(clip.frames[1:2])
            assert opened._moving is None  # type: ignore[attr-defined]
        await opened.finish()
        await opened.close()
        assert service.farewells == 1


async def test_playing_over_tls(clip: Clip, authority: Authority, good: Certificate) -> None:
    """Both ends are ours: the server of `serve` gives what a publisher gave it."""
    from evotools.server.app import Server
    from evotools.server.config import parse

    config = parse({"tls": {"cert": str(good.cert), "key": str(good.key)}})
    config.rtmp.listen = config.rtmp.listen_tls = "127.0.0.1:0"
    config.http.enabled = False
    server = Server(config)
    await server.start()
    assert server.rtmp is not None
    place = f"rtmps://localhost:{server.rtmp.tls_port}/live/cam?ca_file={authority.ca}"
    opened = sink(place)
    await opened.open()
    await opened.start(clip.tracks)
    await opened.write(clip.frames)
    player = open_source(parse_uri(place), Context())
    await player.open()
    got: list[Event] = []
    await until(lambda: server.hub.find("live/cam"))
    async with asyncio.timeout(10):
        while sum(isinstance(e, Frame) for e in got) < 20:
            got += await player.read()
    assert isinstance(got[0], Tracks | Metadata)
    stream = server.hub.find("live/cam")
    assert stream is not None
    assert stream.publisher is not None
    assert stream.publisher.protocol == "rtmps"
    await player.close()
    await opened.close()
    await server.stop()
