"""Threads, the loop and the network around libav."""

import asyncio
import contextlib
import http.server
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from evotools.containers import libav_read
from evotools.endpoints import libav
from evotools.endpoints.base import Context
from evotools.endpoints.libav import ByteFeed, BytePipe, LibavSink, LibavSource
from evotools.endpoints.libav_net import PROTOCOLS, open_url
from evotools.errors import EvotoolsError, MediaError, RefusedError, UnreachableError, UsageError
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind, Track
from evotools.uri import Options, Uri
from tests.conftest import need, run_ffmpeg
from tests.unit.containers.zoo import digest, make, packets, read

pytestmark = pytest.mark.interop


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoo")


async def drain(source: LibavSource | ByteFeed) -> tuple[list[Event], int]:
    events: list[Event] = []
    batches = 0
    while batch := await source.read():
        events += batch
        batches += 1
    return events, batches


def frames_of(events: list[Event]) -> list[tuple[int, int, int, bytes]]:
    return [(e.track.id, e.dts, e.pts, e.payload) for e in events if isinstance(e, Frame)]


async def test_a_file_comes_whole_and_in_batches(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(zoo, "h264-b.mp4")
    monkeypatch.setattr(libav, "AHEAD_FRAMES", 8)
    source = LibavSource(Uri.parse(str(path)), Context())
    assert not source.live
    await source.open()
    assert source.container == "mp4"
    events, batches = await drain(source)
    await source.close()
    await source.close()
    assert isinstance(events[0], Tracks)
    assert frames_of(events) == frames_of(read(path)[0])
    assert batches >= len(events) // 8


async def test_closing_a_file_that_is_half_read_ends_its_thread(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libav, "AHEAD_FRAMES", 4)
    source = LibavSource(Uri.parse(str(make(zoo, "h264-b.mp4"))), Context())
    await source.open()
    await source.read()
    before = {t for t in threading.enumerate() if t.name.startswith("libav")}
    assert before
    await source.close()
    for thread in before:
        thread.join(5)
        assert not thread.is_alive()


async def test_names_with_a_scheme_in_them_are_names(zoo: Path, tmp_path: Path) -> None:
    path = tmp_path / "http:x,format=lavfi.mp4"
    path.write_bytes(make(zoo, "h264-b.mp4").read_bytes())
    source = LibavSource(Uri.parse(f"file:{path}"), Context())
    await source.open()
    assert (await drain(source))[0]
    await source.close()


async def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mp4", tmp_path):
        with pytest.raises(UnreachableError, match=str(path)):
            await LibavSource(Uri.parse(str(path)), Context()).open()
    with pytest.raises(UsageError):
        LibavSource(Uri.parse("x.mp4"), Context(trusted=False))


class Feed:
    """Bytes as a socket would give them."""

    def __init__(self, data: bytes, portion: int) -> None:
        self._data, self._portion, self.asked = data, portion, 0

    async def __call__(self) -> bytes:
        await asyncio.sleep(0)
        self.asked += 1
        part, self._data = self._data[: self._portion], self._data[self._portion :]
        return part


@pytest.mark.parametrize("portion", [500, 4096, 100_000])
async def test_bytes_from_the_loop(zoo: Path, portion: int) -> None:
    path = make(zoo, "h264-b.mkv")
    data = path.read_bytes()
    feed = ByteFeed(Uri.parse("-"), "matroska", data[:300], None, Feed(data[300:], portion))
    events, _ = await drain(feed)
    await feed.close()
    assert frames_of(events) == frames_of(read(path)[0])


async def test_bytes_that_are_all_there(zoo: Path) -> None:
    path = make(zoo, "flac.ogg")
    feed = ByteFeed(Uri.parse("-"), "ogg", path.read_bytes(), b"", Feed(b"never", 1))
    events, _ = await drain(feed)
    await feed.close()
    assert len(frames_of(events)) == len(read(path)[1][1])


async def test_a_silent_pipe_does_not_hold_up_the_end(zoo: Path) -> None:
    silent = asyncio.Event()

    async def never() -> bytes:
        await silent.wait()
        return b""

    feed = ByteFeed(Uri.parse("-"), "matroska", make(zoo, "h264-b.mkv").read_bytes()[:2000], None, never)
    reading = asyncio.create_task(feed.read())
    await asyncio.sleep(0.05)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    async with asyncio.timeout(5):
        await feed.close()
    assert not [t for t in threading.enumerate() if t.name == "libav -" and t.is_alive()]


async def test_what_reading_the_bytes_raised_comes_after_the_frames(zoo: Path) -> None:
    data = make(zoo, "h264-b.mkv").read_bytes()

    async def breaks() -> bytes:
        raise UnreachableError("the peer is gone")

    feed = ByteFeed(Uri.parse("-"), "matroska", data[: len(data) // 2], None, breaks)
    events: list[Event] = []

    async def all_of_it() -> None:
        while True:
            events.extend(await feed.read())

    with pytest.raises(UnreachableError, match="gone"):
        await all_of_it()
    await feed.close()
    assert frames_of(events)


async def test_a_full_pipe_waits_for_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libav, "FEED_BYTES", 10)
    pipe = BytePipe()
    await pipe.write(b"12345678")
    writing = asyncio.create_task(pipe.write(b"abcdefgh"))
    await asyncio.sleep(0)
    assert not writing.done()
    assert pipe.read(5) == b"12345"
    assert pipe.read(5) == b"678"
    await asyncio.wait_for(writing, 5)
    assert pipe.read(100) == b"abcdefgh"
    pipe.end()
    assert pipe.read(100) == b""


# Sinks


async def write_all(sink: LibavSink, events: list[Event], *, finish: bool = True) -> None:
    assert isinstance(events[0], Tracks)
    await sink.open()
    await sink.start(events[0].tracks)
    for start in range(1, len(events), 20):
        await sink.write(events[start : start + 20])
    if finish:
        await sink.finish()
    await sink.close()
    await sink.close()


@pytest.mark.parametrize("suffix", ["mov", "mkv"])
@pytest.mark.parametrize("finish", [True, False])
async def test_a_file_is_playable_finished_or_not(zoo: Path, tmp_path: Path, suffix: str, finish: bool) -> None:
    events, frames = read(make(zoo, "h264-b.mp4"))
    path = tmp_path / f"x.{suffix}"
    await write_all(LibavSink(Uri.parse(str(path)), Context()), events, finish=finish)
    if not finish and suffix == "mkv":
        return
    hashes = [p["data_hash"] for p in packets(path)[0]]
    assert hashes == [digest(f.payload) for f in frames[1][: len(hashes)]]
    assert len(hashes) == len(frames[1]) if finish else len(hashes) >= 20


async def test_g711_has_a_place_in_matroska_files(zoo: Path, tmp_path: Path) -> None:
    events, frames = read(make(zoo, "pcma.mov"))
    path = tmp_path / "x.mkv"
    sink = LibavSink(Uri.parse(str(path)), Context())
    assert isinstance(events[0], Tracks)
    assert sink.offer(events[0].tracks) == []
    await write_all(sink, events)
    assert [p["data_hash"] for p in packets(path)[0]] == [digest(f.payload) for f in frames[1]]


def test_what_a_sink_leaves_out(tmp_path: Path) -> None:
    video = Track(1, Kind.VIDEO, "vp8", 1000)
    sounds = [Track(n, Kind.AUDIO, "mp3", 1000) for n in (2, 3)]
    refused = LibavSink(Uri.parse(str(tmp_path / "x.mov")), Context()).offer([video, *sounds])
    assert [r.track.id for r in refused] == [1]
    refused = LibavSink(Uri.parse(str(tmp_path / "x.mp3")), Context()).offer([video, *sounds])
    assert sorted(r.track.id for r in refused) == [1, 3]
    with pytest.raises(UsageError, match="container"):
        LibavSink(Uri.parse(str(tmp_path / "x.xyz")), Context()).offer([video])
    with pytest.raises(UsageError):
        LibavSink(Uri.parse("rtsp://host/x"), Context())


async def test_a_sink_that_cannot_be_made(tmp_path: Path) -> None:
    sink = LibavSink(Uri.parse(str(tmp_path / "no" / "x.mov")), Context())
    with pytest.raises(UnreachableError, match="No such file"):
        await sink.open()
    await sink.close()


async def test_other_tracks_in_mid_file_are_an_error(zoo: Path, tmp_path: Path) -> None:
    events, _ = read(make(zoo, "h264-b.mp4"))
    assert isinstance(events[0], Tracks)
    sink = LibavSink(Uri.parse(str(tmp_path / "x.mov")), Context())
    await sink.open()
    await sink.start(events[0].tracks)
    await sink.start(events[0].tracks)
    with pytest.raises(MediaError, match="tracks changed"):
        await sink.start(events[0].tracks[:1])
    await sink.close()


# The network


class Site:
    """A folder behind HTTPS with a certificate of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.requests: list[str] = []
        folder.mkdir(exist_ok=True)
        self.certificate, key = folder.parent / f"{name}.pem", folder.parent / f"{name}.key"
        subprocess.run(
            [need("openssl"), "req", "-x509", "-newkey", "ec",
             "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-keyout", str(key),
             "-out", str(self.certificate), "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
        requests = self.requests

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: object) -> None:
                super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

            def do_GET(self) -> None:
                requests.append(self.path)
                if self.path.startswith("/forbidden"):
                    self.send_error(403)
                    return
                with contextlib.suppress(OSError):
                    super().do_GET()

            def log_message(self, *args: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "a", "a")
    yield made
    made.close()


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "b", "b")
    yield made
    made.close()


@pytest.fixture
def trusted(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(libav, "ca_file", lambda: str(site.certificate))
    return site


async def fetch(url: str) -> list[Event]:
    source = LibavSource(Uri.parse(url), Context())
    try:
        await source.open()
        return (await drain(source))[0]
    finally:
        await source.close()


async def test_a_file_over_https(zoo: Path, trusted: Site) -> None:
    path = make(zoo, "h264-b.mp4")
    (trusted.folder / "x.mp4").write_bytes(path.read_bytes())
    events = await fetch(f"{trusted.url}/x.mp4")
    assert frames_of(events) == frames_of(read(path)[0])
    with pytest.raises(RefusedError):
        await fetch(f"{trusted.url}/forbidden.mp4")
    with pytest.raises(UnreachableError):
        await fetch(f"{trusted.url}/none.mp4")


async def test_a_stranger_is_not_believed(zoo: Path, trusted: Site, stranger: Site) -> None:
    (stranger.folder / "x.mp4").write_bytes(make(zoo, "h264-b.mp4").read_bytes())
    with pytest.raises(EvotoolsError):
        await fetch(f"{stranger.url}/x.mp4")
    assert stranger.requests == []
    assert await fetch(f"{stranger.url}/x.mp4?tls_verify=0")


@pytest.mark.parametrize("encrypted", [False, True])
async def test_hls_over_https(zoo: Path, trusted: Site, tmp_path: Path, encrypted: bool) -> None:
    source = make(zoo, "h264-b.mp4")
    options: list[str] = []
    if encrypted:
        (trusted.folder / "key").write_bytes(os.urandom(16))
        (tmp_path / "info").write_text(f"key\n{trusted.folder}/key\n")
        options = ["-hls_key_info_file", str(tmp_path / "info")]
    run_ffmpeg("-i", str(source), "-c", "copy", "-hls_time", "0.4", "-hls_list_size", "0", *options,
               str(trusted.folder / "x.m3u8"))  # fmt: skip
    events = await fetch(f"{trusted.url}/x.m3u8")
    video = [e.payload for e in events if isinstance(e, Frame) and e.track.codec == "h264"]
    assert video == [f.payload for f in read(source)[1][1]]


async def test_segments_of_a_stranger_are_not_fetched(zoo: Path, trusted: Site, stranger: Site) -> None:
    run_ffmpeg("-i", str(make(zoo, "h264-b.mp4")), "-c", "copy", str(stranger.folder / "s.ts"))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{stranger.url}/s.ts\n#EXT-X-ENDLIST\n"
    (trusted.folder / "x.m3u8").write_text(playlist)
    with pytest.raises(EvotoolsError):
        await fetch(f"{trusted.url}/x.m3u8")
    assert stranger.requests == []


async def test_a_playlist_reaches_no_local_file(zoo: Path, trusted: Site) -> None:
    run_ffmpeg("-i", str(make(zoo, "h264-b.mp4")), "-c", "copy", str(trusted.folder / "s.ts"))
    for address in (f"file://{trusted.folder}/s.ts", f"{trusted.folder}/s.ts"):
        (trusted.folder / "x.m3u8").write_text(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{address}\n#EXT-X-ENDLIST\n"
        )
        with pytest.raises(EvotoolsError):
            await fetch(f"{trusted.url}/x.m3u8")


async def test_no_script_of_other_files_from_the_network(zoo: Path, trusted: Site) -> None:
    (trusted.folder / "s.mp4").write_bytes(make(zoo, "h264-b.mp4").read_bytes())
    (trusted.folder / "x.txt").write_text(f"ffconcat version 1.0\nfile {trusted.url}/s.mp4\n")
    with pytest.raises(EvotoolsError):
        await fetch(f"{trusted.url}/x.txt")
    assert "/s.mp4" not in trusted.requests


async def test_a_silent_server_does_not_hold_up_the_end() -> None:
    connected, over = asyncio.Event(), asyncio.Event()

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await over.wait()
        writer.close()

    async with await asyncio.start_server(silence, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        source = LibavSource(Uri.parse(f"http://127.0.0.1:{port}/x.flv?timeout=60s"), Context())
        opening = asyncio.create_task(source.open())
        await asyncio.wait_for(connected.wait(), 10)
        left_behind = [t for t in threading.enumerate() if t.name.startswith("libav http")]
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        async with asyncio.timeout(5):
            await source.close()
        over.set()
        for thread in left_behind:
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()


def test_no_scheme_may_reach_files() -> None:
    for names in PROTOCOLS.values():
        assert not {"file", "pipe", "fd", "unix", "data", "subfile", "concat"} & set(names.split(","))


def test_without_certificates_nothing_is_opened() -> None:
    uri = Uri.parse("https://host/x.mp4")
    with pytest.raises(UsageError, match="certificates"):
        open_url(uri, "", Options(uri, {}), "", "")


async def test_unknown_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError):
        await LibavSource(Uri.parse("gopher://host/x"), Context()).open()


def test_the_reader_never_gives_more_than_was_asked() -> None:
    class Generous:
        def read(self, size: int) -> bytes:
            return b"x" * (size + 5)

    clamped = libav_read._Clamped(Generous())
    assert [len(clamped.read(3)) for _ in range(4)] == [3, 3, 2, 3]
