"""Enhanced RTMP and authentication against ffmpeg, librtmp and GStreamer: what they sent comes out of us unchanged.

Publishers speak to a `ServerConnection`; what they sent passes through the reader and the muxers, as in the server,
and foreign readers compare the pictures and the sound that they decode.
"""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evotools.containers.flv.demux import FlvDemuxer
from evotools.containers.flv.mux import FlvMuxer
from evotools.containers.flv.writer import TagBody, TagWriter
from evotools.media.frame import Event, Frame, Metadata, Tracks
from evotools.protocols.rtmp.auth import AdobeServer
from evotools.protocols.rtmp.events import Closed, Connect, MediaMessage, PublishRequest
from evotools.protocols.rtmp.server import ServerConnection
from tests.conftest import need
from tests.interop.test_rtmp_protocol import ffmpeg_path, run, serving, write_flv

pytestmark = pytest.mark.interop


def read(path: Path) -> list[Event]:
    """The events of an FLV file."""
    demuxer = FlvDemuxer()
    events = demuxer.feed(path.read_bytes()) + demuxer.flush()
    assert (demuxer.tags.damaged, demuxer.tags.undecodable) == (0, 0)
    return events


def mux(muxer: FlvMuxer, events: list[Event]) -> bytes:
    """All of `events`; onMetaData goes into the header, as in the hub and in routes."""
    out = []
    told = next((e for e in events if isinstance(e, Metadata) and e.name == "onMetaData"), None)
    if told is not None:
        muxer.write_metadata(told)
    for event in events:
        if isinstance(event, Frame):
            out.append(muxer.write(event))
        elif isinstance(event, Tracks):
            out.append(muxer.start(event.tracks))
        elif isinstance(event, Metadata) and event is not told:
            out.append(muxer.write_metadata(event))
    return b"".join([*out, muxer.finish()])


def tags(events: list[Event]) -> list[TagBody]:
    """All of `events` as tags or messages."""
    writer = TagWriter()
    out: list[TagBody] = []
    for event in events:
        if isinstance(event, Tracks):
            out += writer.start(event.tracks)
        elif isinstance(event, Frame):
            out += writer.write(event)
    return out + writer.finish()


async def decoded(source: Path | str) -> list[str]:
    """Hashes of everything that FFmpeg 9 decodes from each stream, sorted, since streams may change places."""
    arguments = ["-v", "error", "-i", str(source), "-map", "0", "-f", "streamhash", "-hash", "md5", "-"]
    out = await run(ffmpeg_path("ffmpeg9"), *arguments)
    return sorted(line.split(",", 1)[1] for line in out.splitlines() if line)


@pytest.fixture(scope="module")
def multitrack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures and three sounds, each of another codec, as FFmpeg 9 writes them to FLV."""
    folder = tmp_path_factory.mktemp("multitrack")
    inputs: list[str] = []
    for source in ("testsrc2=s=320x180:r=25", "testsrc2=s=160x90:r=25", "testsrc=s=176x144:r=25",
                   "sine=300:r=48000", "sine=440:r=48000", "sine=880:r=48000"):  # fmt: skip
        inputs += ["-f", "lavfi", "-i", source]
    maps = [word for number in range(6) for word in ("-map", str(number))]
    command = [ffmpeg_path("ffmpeg9"), "-v", "error", *inputs, "-t", "2", *maps, "-c:v:0", "libx264", "-bf:v:0", "2",
               "-c:v:1", "libx265", "-x265-params", "log-level=none", "-c:v:2", "libvpx-vp9", "-deadline:v:2",
               "realtime", "-c:a:0", "aac", "-c:a:1", "libopus", "-c:a:2", "flac", "-g", "25",
               str(folder / "multi.flv")]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)
    return folder / "multi.flv"


CODECS = {"h264", "h265", "vp9", "aac", "opus", "flac"}


async def test_several_tracks_pass_through_flv(multitrack: Path, tmp_path: Path) -> None:
    events = read(multitrack)
    tracks = next(e.tracks for e in events if isinstance(e, Tracks))
    assert {track.codec for track in tracks} == CODECS
    (tmp_path / "ours.flv").write_bytes(mux(FlvMuxer(), events))
    want = await decoded(multitrack)
    assert len(want) == 6
    assert await decoded(tmp_path / "ours.flv") == want


async def test_old_readers_find_the_first_picture(multitrack: Path, tmp_path: Path) -> None:
    (tmp_path / "ours.flv").write_bytes(mux(FlvMuxer(), read(multitrack)))
    # Of further sounds ffmpeg 5.1 makes changes of the first, whoever wrote them: such readers must not be sent any.
    arguments = ["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "md5", "-"]
    old = await run(need("ffmpeg"), "-v", "fatal", "-i", str(tmp_path / "ours.flv"), *arguments)
    assert old == await run(ffmpeg_path("ffmpeg9"), "-v", "error", "-i", str(multitrack), *arguments)


async def test_several_tracks_pass_from_ffmpeg_to_ffmpeg_over_rtmp(multitrack: Path, tmp_path: Path) -> None:
    ffmpeg = ffmpeg_path("ffmpeg9")
    async with serving() as harness:
        await run(ffmpeg, "-v", "error", "-i", str(multitrack), "-map", "0", "-c", "copy", "-f", "flv",
                  "-rtmp_enhanced_codecs", "avc1,hvc1,vp09,mp4a,Opus,fLaC", f"{harness.url}/live/multi")  # fmt: skip
        await asyncio.wait_for(harness.ended["live/multi"].wait(), 10)
        write_flv(tmp_path / "got.flv", harness.published["live/multi"])
        events = read(tmp_path / "got.flv")
        tracks = next(e.tracks for e in events if isinstance(e, Tracks))
        assert {track.codec for track in tracks} == CODECS
        # Out again as messages that the muxer of all players makes.
        harness.canned["live/multi"] = [(tag.type, tag.timestamp_ms, tag.body) for tag in tags(events)]
        await run(ffmpeg, "-v", "error", "-i", f"{harness.url}/live/multi", "-map", "0", "-c", "copy",
                  str(tmp_path / "played.flv"))  # fmt: skip
    assert await decoded(tmp_path / "played.flv") == await decoded(multitrack)


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("ac3", ["-c:a", "ac3"]), ("eac3", ["-c:a", "eac3"]), ("mp3", ["-c:a", "libmp3lame"]),
        ("av1", ["-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "log=0"]),
    ],
)  # fmt: skip
async def test_every_other_codec_passes_in_first_and_further_tracks(
    codec: str, options: list[str], tmp_path: Path
) -> None:
    ffmpeg = ffmpeg_path("ffmpeg9")
    source = "sine=r=48000" if "-c:a" in options else "testsrc2=s=160x96:r=25"
    path = tmp_path / "two.flv"
    await run(ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, "-t", "1", "-map", "0", "-map", "0", *options,
              str(path))  # fmt: skip
    events = read(path)
    assert [t.codec for t in next(e.tracks for e in events if isinstance(e, Tracks))] == [codec] * 2
    (tmp_path / "ours.flv").write_bytes(mux(FlvMuxer(), events))
    assert await decoded(tmp_path / "ours.flv") == await decoded(path)


async def test_hdr_metadata_reaches_readers_that_begin_in_the_middle(tmp_path: Path) -> None:
    ffmpeg = ffmpeg_path("ffmpeg9")
    master = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    path = tmp_path / "hdr.flv"
    await run(ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=160x96:r=25", "-t", "2", "-pix_fmt",
              "yuv420p10le", "-vf", "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc",
              "-c:v", "libx265", "-g", "25", "-x265-params",
              f"log-level=none:keyint=25:master-display={master}:max-cll=1000,400", str(path))  # fmt: skip
    events = read(path)
    (color,) = (e for e in events if isinstance(e, Metadata) and e.name == "colorInfo")
    assert color.value["colorConfig"]["transferCharacteristics"] == 16
    start = next(n for n, e in enumerate(events) if isinstance(e, Frame) and e.key and e.dts > 500)
    tracks = next(e for e in events if isinstance(e, Tracks))
    (tmp_path / "late.flv").write_bytes(mux(FlvMuxer(), [tracks, *events[start:]]))
    again = read(tmp_path / "late.flv")
    assert color.value in [e.value for e in again if isinstance(e, Metadata)]
    shown = await run(ffmpeg, "-hide_banner", "-i", str(tmp_path / "late.flv"), "-f", "null", "-", "-v", "info")
    assert shown == ""
    assert await decoded(tmp_path / "late.flv")


# Authentication.


class Guarded:
    """A server that lets one user in, and keeps what is published."""

    def __init__(self) -> None:
        self.adobe = AdobeServer(os.urandom(32))
        self.connects: list[Connect] = []
        self.bodies: list[tuple[int, int, bytes]] = []
        self.port = 0

    def decide(self, server: ServerConnection, event: Connect) -> None:
        self.connects.append(event)
        now = time.monotonic()
        user = self.adobe.user(event.query)
        if not user:
            server.challenge(self.adobe.challenge(event.query, now, os.urandom))
        elif user == "me" and self.adobe.verify(event.query, "p+sW0rd", now):
            server.accept_connect()
        else:
            server.challenge(self.adobe.failed(user))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = ServerConnection(time.monotonic(), os.urandom)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                server.receive(data, time.monotonic())
                while event := server.next_event():
                    if isinstance(event, Connect):
                        self.decide(server, event)
                    elif isinstance(event, PublishRequest):
                        server.accept_publish()
                    elif isinstance(event, MediaMessage):
                        self.bodies.append((event.type, event.timestamp_ms, event.payload))
                    elif isinstance(event, Closed):
                        break
                writer.write(server.data_to_send())
                await writer.drain()
                if server.closed:
                    break
        writer.close()


@contextlib.asynccontextmanager
async def guarded() -> AsyncIterator[Guarded]:
    made = Guarded()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


@pytest.mark.parametrize("which", ["debian", "ffmpeg9"])
@pytest.mark.parametrize(("password", "passes"), [("p+sW0rd", True), ("wrong", False)])
async def test_ffmpeg_gives_its_password(which: str, password: str, passes: bool, media_dir: Path) -> None:
    async with guarded() as server:
        url = f"rtmp://me:{password}@127.0.0.1:{server.port}/live/cam"
        await run(ffmpeg_path(which), "-v", "error", "-i", str(media_dir / "bigbuckbunny.mp4"), "-c", "copy", "-t", "1",
                  "-f", "flv", url, codes=(0,) if passes else tuple(range(1, 256)))  # fmt: skip
    assert len(server.connects) == 3
    assert {event.app for event in server.connects} == {"live"}
    assert all(event.publishes for event in server.connects)
    assert bool(server.bodies) == passes


async def test_gstreamer_gives_its_password(media_dir: Path) -> None:
    # librtmp as Debian builds it (GnuTLS) ends in a broken heap: its base64 has no end, with any server's challenge.
    async with guarded() as server:
        await run(need("gst-launch-1.0"), "-q", "filesrc", f"location={media_dir / 'bigbuckbunny.mp4'}", "!",
                  "qtdemux", "name=d", "flvmux", "name=m", "streamable=true", "!", "rtmp2sink",
                  f"location=rtmp://127.0.0.1:{server.port}/live/cam", "username=me", "password=p+sW0rd",
                  "authmod=adobe", "sync=false", "d.video_0", "!", "queue", "!", "h264parse", "!", "m.")  # fmt: skip
    # It names its user unasked.
    assert len(server.connects) == 2
    assert all(event.publishes for event in server.connects)
    assert server.bodies
