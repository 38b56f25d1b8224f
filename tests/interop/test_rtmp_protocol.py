"""RTMP against programs nobody here wrote: publishers, players and servers on loopback.

The harness drives the state machines with plain asyncio streams, relays raw message bodies, and compares what came
out with what went in, packet by packet.
"""

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

from evotools.protocols.rtmp.chunk import CHUNK_STREAMS, type0_chunks
from evotools.protocols.rtmp.client import ClientConnection, ClientOptions
from evotools.protocols.rtmp.events import (
    Closed,
    Connect,
    MediaMessage,
    PlayRequest,
    PublishRequest,
    Ready,
    Refused,
    StreamEnded,
    Unpublish,
)
from evotools.protocols.rtmp.server import ServerConnection
from tests.conftest import need

pytestmark = pytest.mark.interop

Body = tuple[int, int, bytes]
FFMPEGS = ["debian", "ffmpeg9"]


def ffmpeg_path(which: str) -> str:
    return need("ffmpeg") if which == "debian" else imageio_ffmpeg.get_ffmpeg_exe()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def run(*command: str, timeout_s: float = 40.0, codes: tuple[int, ...] = (0,)) -> str:
    """Run a program; its stdout. Its output is shown when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
        pytest.fail(f"{' '.join(command)}: no end within {timeout_s} s\n{err.decode(errors='replace')[-3000:]}")
    assert process.returncode in codes, f"{' '.join(command)}\n{err.decode(errors='replace')[-3000:]}"
    return out.decode(errors="replace")


async def packets(path: Path | str, which: str = "debian") -> dict[str, list[tuple[int, int, str]]]:
    """dts, pts and hash of every packet, by stream type. FFmpeg 9 writes Enhanced RTMP that the older one misreads."""
    found: dict[str, list[tuple[int, int, str]]] = {}
    for kind in ("v", "a"):
        out = await run(ffmpeg_path(which), "-v", "error", "-i", str(path), "-map", f"0:{kind}", "-c", "copy",
                        "-f", "framehash", "-")  # fmt: skip
        rows = [line.split(",") for line in out.splitlines() if not line.startswith("#")]
        found[kind] = [(int(row[1]), int(row[2]), row[5].strip()) for row in rows]
        assert len(found[kind]) > 20
    return found


def hashes(found: dict[str, list[tuple[int, int, str]]]) -> dict[str, list[str]]:
    """Without the times."""
    return {kind: [row[2] for row in rows] for kind, rows in found.items()}


def write_flv(path: Path, bodies: list[Body]) -> None:
    """Raw message bodies as an FLV file (Adobe Flash Video File Format 10.1, annex E)."""
    with path.open("wb") as file:
        file.write(b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00")
        for kind, time_ms, body in bodies:
            stamp = time_ms & 0xFFFFFFFF
            head = struct.pack(">BI", kind, len(body))
            file.write(head[:1] + head[2:] + struct.pack(">I", stamp)[1:] + bytes((stamp >> 24, 0, 0, 0)))
            file.write(body + struct.pack(">I", 11 + len(body)))


class Harness:
    """A small server: keeps what is published, plays what it was given, refuses the rest."""

    def __init__(self) -> None:
        self.published: dict[str, list[Body]] = {}
        self.ended: dict[str, asyncio.Event] = {}
        self.canned: dict[str, list[Body]] = {}
        self.events: list[object] = []
        self.refuse_connect = False
        self.play_once = False
        self.chunk_sizes: list[int] = []
        """What publishers chose, at the end of each."""
        self.port = 0

    @property
    def url(self) -> str:
        return f"rtmp://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = ServerConnection(time.monotonic(), os.urandom)
        path = ""
        try:
            while not connection.closed:
                data = await reader.read(1 << 16)
                if data:
                    connection.receive(data, time.monotonic())
                else:
                    connection.receive_eof(time.monotonic())
                while event := connection.next_event():
                    if isinstance(event, MediaMessage):
                        self.published[path].append((event.type, event.timestamp_ms, event.payload))
                        continue
                    self.events.append(event)
                    if isinstance(event, Connect):
                        if self.refuse_connect:
                            connection.reject("NetConnection.Connect.Rejected", "Not here.")
                        else:
                            connection.accept_connect()
                    elif isinstance(event, PublishRequest):
                        if "refused" in event.path:
                            connection.reject("NetStream.Publish.BadName", "In use.")
                            continue
                        path = event.path
                        self.published[path] = []
                        self.ended.setdefault(path, asyncio.Event())
                        connection.accept_publish()
                    elif isinstance(event, PlayRequest):
                        if event.path not in self.canned:
                            connection.reject("NetStream.Play.StreamNotFound", "Not there.")
                            continue
                        connection.accept_play()
                        writer.write(connection.data_to_send())
                        bodies = self.canned.pop(event.path) if self.play_once else self.canned[event.path]
                        for kind, time_ms, body in bodies:
                            writer.write(
                                type0_chunks(
                                    kind,
                                    event.stream_id,
                                    CHUNK_STREAMS[kind],
                                    time_ms,
                                    (body,),
                                    connection.chunk_size,
                                )
                            )
                            await writer.drain()
                        connection.finish_play()
                    elif isinstance(event, Unpublish):
                        self.chunk_sizes.append(connection._reader.chunk_size)
                        self.ended[path].set()
                writer.write(connection.data_to_send())
                await writer.drain()
        except ConnectionError:
            connection.receive_eof(time.monotonic())
        finally:
            if path:
                self.ended[path].set()
            writer.close()


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Harness]:
    harness = Harness()
    server = await asyncio.start_server(harness.serve, "127.0.0.1", 0)
    harness.port = server.sockets[0].getsockname()[1]
    try:
        yield harness
    finally:
        server.close()


async def converse(
    client: ClientConnection,
    port: int,
    on_ready: Callable[[ClientConnection, asyncio.StreamWriter], Awaitable[None]] | None = None,
    enough: int = 1 << 30,
    patience_s: float = 30.0,
) -> list[object]:
    """Run a client until it ends, or has `enough` media messages; its events."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the server does not listen"
            await asyncio.sleep(0.05)
    events: list[object] = []
    count = 0
    try:
        while True:
            writer.write(client.data_to_send())
            await writer.drain()
            if client.closed:
                break
            data = await asyncio.wait_for(reader.read(1 << 16), patience_s)
            if data:
                client.receive(data, time.monotonic())
            else:
                client.receive_eof(time.monotonic())
            while event := client.next_event():
                events.append(event)
                count += isinstance(event, MediaMessage)
                if isinstance(event, Ready) and on_ready is not None:
                    await on_ready(client, writer)
                if count == enough:
                    client.close()
    finally:
        writer.close()
    return events


def media_of(events: list[object]) -> list[Body]:
    return [(e.type, e.timestamp_ms, e.payload) for e in events if isinstance(e, MediaMessage)]


def publishing(bodies: list[Body]) -> Callable[[ClientConnection, asyncio.StreamWriter], Awaitable[None]]:
    async def send(client: ClientConnection, writer: asyncio.StreamWriter) -> None:
        for kind, time_ms, body in bodies:
            client.send_media(kind, time_ms, (body,))
            writer.write(client.data_to_send())
            await writer.drain()
        client.close()

    return send


def client_for(port: int, stream: str, mode: str, **options: object) -> ClientConnection:
    return ClientConnection(f"rtmp://127.0.0.1:{port}/live", "live", stream, mode, time.monotonic(), os.urandom,
                            ClientOptions(**options))  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory, media_dir: Path) -> dict[str, Path]:
    """The sample as FLV files, written by either ffmpeg."""
    made = {which: tmp_path_factory.mktemp("rtmp") / f"{which}.flv" for which in FFMPEGS}
    for which, path in made.items():
        source = str(media_dir / "bigbuckbunny.mp4")
        command = [ffmpeg_path(which), "-v", "error", "-i", source, "-c", "copy", str(path)]
        subprocess.run(command, check=True, timeout=60)
    return made


@pytest.fixture(scope="module")
def reference(references: dict[str, Path]) -> Path:
    return references["debian"]


@pytest.fixture(scope="module")
def canned(reference: Path) -> list[Body]:
    """Message bodies of the reference file."""
    data = reference.read_bytes()
    position, bodies = 13, []
    while position + 11 <= len(data):
        size = int.from_bytes(data[position + 1 : position + 4], "big")
        time_ms = int.from_bytes(data[position + 4 : position + 7], "big") | data[position + 7] << 24
        bodies.append((data[position], time_ms, data[position + 11 : position + 11 + size]))
        position += 15 + size
    return bodies


@pytest.mark.parametrize("which", FFMPEGS)
async def test_ffmpeg_publishes(which: str, media_dir: Path, references: dict[str, Path], tmp_path: Path) -> None:
    async with serving() as harness:
        url = f"{harness.url}/live/inst/cam?key=s3cret"
        await run(ffmpeg_path(which), "-v", "error", "-i", str(media_dir / "bigbuckbunny.mp4"), "-c", "copy",
                  "-f", "flv", url)  # fmt: skip
        await asyncio.wait_for(harness.ended["live/inst/cam"].wait(), 10)
    asked = next(e for e in harness.events if isinstance(e, PublishRequest))
    assert asked.query == {"key": "s3cret"}
    # ffmpeg copies the chunk size that the server announces: its messages come whole.
    assert harness.chunk_sizes == [60000]
    write_flv(tmp_path / "got.flv", harness.published["live/inst/cam"])
    assert await packets(tmp_path / "got.flv", which) == await packets(references[which], which)


@pytest.mark.parametrize("which", FFMPEGS)
async def test_ffmpeg_plays(which: str, canned: list[Body], reference: Path) -> None:
    async with serving() as harness:
        harness.canned["live/cam"] = canned
        assert await packets(f"{harness.url}/live/cam", which) == await packets(reference, which)


async def test_rtmpdump_plays(canned: list[Body], reference: Path, tmp_path: Path) -> None:
    async with serving() as harness:
        harness.canned["live/cam"] = canned
        # 2: the server ended the stream before the length that metadata tell, which is so for a live stream.
        await run(need("rtmpdump"), "-q", "-v", "-r", f"{harness.url}/live/cam", "-o", str(tmp_path / "got.flv"),
                  codes=(0, 2))  # fmt: skip
    assert await packets(tmp_path / "got.flv") == await packets(reference)


@pytest.mark.parametrize("element", ["rtmp2src", "rtmpsrc"])
async def test_gstreamer_plays(element: str, canned: list[Body], reference: Path, tmp_path: Path) -> None:
    async with serving() as harness:
        harness.canned["live/cam"] = canned
        # rtmpsrc comes back after the end until it is refused, and then reports that as an error.
        harness.play_once = True
        await run(need("gst-launch-1.0"), "-q", element, f"location={harness.url}/live/cam", "!", "filesink",
                  f"location={tmp_path / 'got.flv'}", codes=(0, 1))  # fmt: skip
    got, sent = hashes(await packets(tmp_path / "got.flv")), hashes(await packets(reference))
    for kind in "va":
        # rtmp2src drops the message that it holds when the end of the stream comes.
        assert len(got[kind]) >= len(sent[kind]) - 2
        assert got[kind] == sent[kind][: len(got[kind])]


async def test_vlc_plays(canned: list[Body], reference: Path, tmp_path: Path) -> None:
    # VLC refuses to run as root, and nobody may not write where the tests do: the stream comes through a pipe.
    user = ["runuser", "-u", "nobody", "--", "env", "HOME=/tmp"] if os.geteuid() == 0 else []
    target = tmp_path / "got.ts"
    async with serving() as harness:
        harness.canned["live/cam"] = canned
        command = [*user, need("cvlc"), "-q", f"{harness.url}/live/cam", "--sout", "#std{access=file,mux=ts,dst=-}",
                   "vlc://quit"]  # fmt: skip
        with target.open("wb") as file:
            process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL, stdout=file)
            try:
                assert await asyncio.wait_for(process.wait(), 40) == 0
            finally:
                if process.returncode is None:
                    process.kill()
    got, sent = await packets(target), await packets(reference)
    # Its TS muxer drops the last frames at the end of a stream.
    assert len(got["v"]) >= len(sent["v"]) - 5
    assert len(got["a"]) >= len(sent["a"]) - 10


@pytest.mark.parametrize("element", ["rtmp2sink", "rtmpsink"])
async def test_gstreamer_publishes(element: str, media_dir: Path, reference: Path, tmp_path: Path) -> None:
    async with serving() as harness:
        await run(need("gst-launch-1.0"), "-q", "filesrc", f"location={media_dir / 'bigbuckbunny.mp4'}", "!",
                  "qtdemux", "name=d", "flvmux", "name=m", "streamable=true", "!", element,
                  f"location={harness.url}/live/cam", "sync=false", "d.video_0", "!", "queue", "!", "h264parse", "!",
                  "m.", "d.audio_0", "!", "queue", "!", "aacparse", "!", "m.")  # fmt: skip
        await asyncio.wait_for(harness.ended["live/cam"].wait(), 10)
    write_flv(tmp_path / "got.flv", harness.published["live/cam"])
    got, sent = hashes(await packets(tmp_path / "got.flv")), hashes(await packets(reference))
    # h264parse rewrites the video; the audio stays as it is.
    assert len(got["v"]) == len(sent["v"])
    assert got["a"] == sent["a"]


async def test_ffmpeg_is_refused(media_dir: Path) -> None:
    source = str(media_dir / "bigbuckbunny.mp4")
    async with serving() as harness:
        publish = [
            need("ffmpeg"),
            "-v",
            "error",
            "-i",
            source,
            "-c",
            "copy",
            "-f",
            "flv",
            f"{harness.url}/live/refused",
        ]
        play = [need("ffmpeg"), "-v", "error", "-i", f"{harness.url}/live/nothing", "-f", "null", "-"]
        failures = tuple(range(1, 256))
        await run(*publish, codes=failures)
        await run(*play, codes=failures)
        harness.refuse_connect = True
        await run(*play, codes=failures)


async def test_enhanced_codecs_pass_from_ffmpeg_to_ffmpeg(tmp_path: Path) -> None:
    ffmpeg = ffmpeg_path("ffmpeg9")
    source = tmp_path / "hevc.mkv"
    await run(ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i",
              "sine=r=48000", "-t", "2", "-c:v", "libx265", "-x265-params", "log-level=none:bframes=2", "-c:a",
              "libopus", str(source))  # fmt: skip
    async with serving() as harness:
        await run(ffmpeg, "-v", "error", "-i", str(source), "-c", "copy", "-rtmp_enhanced_codecs", "hvc1,Opus",
                  "-f", "flv", f"{harness.url}/live/hevc")  # fmt: skip
        await asyncio.wait_for(harness.ended["live/hevc"].wait(), 10)
        connect = next(e for e in harness.events if isinstance(e, Connect))
        assert "hvc1" in connect.fourccs
        harness.canned["live/hevc"] = harness.published["live/hevc"]
        got = hashes(await packets(f"{harness.url}/live/hevc", "ffmpeg9"))
    sent = hashes(await packets(source, "ffmpeg9"))
    assert got["a"] == sent["a"]
    assert len(got["v"]) == len(sent["v"]) == 50


NGINX = """
load_module {modules}/ngx_rtmp_module.so;
daemon off; master_process off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log warn;
events {{ worker_connections 64; }}
rtmp {{
  access_log off;
  server {{
    listen 127.0.0.1:{port};
    application live {{ live on; idle_streams off; }}
    application closed {{ live on; deny publish all; deny play all; }}
  }}
}}
"""


@contextlib.asynccontextmanager
async def nginx(root: Path) -> AsyncIterator[int]:
    modules = Path("/usr/lib/nginx/modules")
    assert (modules / "ngx_rtmp_module.so").exists(), "libnginx-mod-rtmp is missing; `make test` as root installs it"
    port = free_port()
    config = root / "nginx.conf"
    config.write_text(NGINX.format(modules=modules, root=root, port=port))
    process = await asyncio.create_subprocess_exec(
        need("nginx"), "-p", str(root), "-c", str(config), stderr=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("digest", [True, False], ids=["digest", "simple"])
async def test_client_publishes_to_and_plays_from_nginx(
    digest: bool, canned: list[Body], reference: Path, tmp_path: Path
) -> None:
    async with nginx(tmp_path) as port:
        ready = asyncio.Event()
        played: asyncio.Event = asyncio.Event()

        async def publish(client: ClientConnection, writer: asyncio.StreamWriter) -> None:
            for kind, time_ms, body in canned[:3]:
                client.send_media(kind, time_ms, (body,))
            writer.write(client.data_to_send())
            ready.set()
            await asyncio.wait_for(played.wait(), 20)
            await publishing(canned[3:])(client, writer)

        async def play(client: ClientConnection, writer: asyncio.StreamWriter) -> None:
            played.set()

        publisher = asyncio.create_task(
            converse(client_for(port, "cam", "publish", digest=digest, timeout_s=20), port, publish)
        )
        await asyncio.wait_for(ready.wait(), 20)
        events = await converse(client_for(port, "cam", "play", digest=digest, timeout_s=20), port, play)
        assert isinstance((await publisher)[0], Ready)
    assert isinstance(events[0], Ready)
    assert isinstance(events[-1], StreamEnded | Closed)
    got = media_of(events)
    for kind in (8, 9):
        # nginx-rtmp sends the sequence headers with times of its own, and right before their first frame.
        assert [b[2] for b in got if b[0] == kind] == [b[2] for b in canned if b[0] == kind]
        assert [b[1] for b in got if b[0] == kind][1:] == [b[1] for b in canned if b[0] == kind][1:]


async def test_client_is_refused_by_nginx(tmp_path: Path) -> None:
    async with nginx(tmp_path) as port:
        for mode in ("publish", "play"):
            client = ClientConnection(f"rtmp://127.0.0.1:{port}/closed", "closed", "s3cret", mode, time.monotonic(),
                                      os.urandom)  # type: ignore[arg-type]  # fmt: skip
            events = await converse(client, port)
            assert isinstance(events[-1], Refused | Closed)
            assert "s3cret" not in repr(events)


async def test_client_publishes_to_ffmpeg(canned: list[Body], reference: Path, tmp_path: Path) -> None:
    port = free_port()
    target = tmp_path / "got.flv"
    url = f"rtmp://127.0.0.1:{port}/live/cam"
    command = [need("ffmpeg"), "-v", "error", "-listen", "1", "-i", url, "-c", "copy", str(target)]
    server = asyncio.create_task(run(*command))
    events = await converse(client_for(port, "cam", "publish"), port, publishing(canned))
    assert isinstance(events[0], Ready)
    await server
    assert await packets(target) == await packets(reference)


@pytest.mark.parametrize("which", FFMPEGS)
async def test_client_plays_from_ffmpeg(which: str, references: dict[str, Path], tmp_path: Path) -> None:
    port = free_port()
    url = f"rtmp://127.0.0.1:{port}/live/cam"
    source = str(references[which])
    command = [ffmpeg_path(which), "-v", "error", "-i", source, "-c", "copy", "-f", "flv", "-listen", "1", url]
    server = asyncio.create_task(run(*command))
    events = await converse(client_for(port, "cam", "play"), port)
    assert isinstance(events[0], Ready)
    await server
    write_flv(tmp_path / "got.flv", media_of(events))
    assert hashes(await packets(tmp_path / "got.flv", which)) == hashes(await packets(source, which))
