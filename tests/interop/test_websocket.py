"""WebSocket of a running server, read by the `websockets` package and judged by ffprobe; plain and with TLS."""

import asyncio
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets

from tests.authority import Authority
from tests.commands.program import Serving
from tests.conftest import need
from tests.together import together

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

SUFFIXES = ("flv", "ts", "mp4")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def live(authority: Authority) -> Iterator[Serving]:
    """A server with TLS, and ffmpeg that publishes to it."""
    made = authority.certificate("localhost")
    config = (
        f"tls.cert={made.cert}",
        f"tls.key={made.key}",
        "http.listen_tls=127.0.0.1:0",
        "rtmp.listen_tls=127.0.0.1:0",
    )
    with Serving(config=config) as serving:
        command = [
            need("ffmpeg"), "-loglevel", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25",
            "-f", "lavfi", "-i", "sine=f=440:r=48000", "-t", "100", "-c:v", "libx264", "-preset", "ultrafast",
            "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac", "-f", "flv",
            f"{serving.rtmp}/live/cam",
        ]  # fmt: skip
        publisher = subprocess.Popen(command)
        try:
            serving.wait_for("published")
            yield serving
        finally:
            publisher.kill()
            publisher.wait()


async def read(url: str, path: Path, **options: Any) -> dict[str, Any]:
    """Three seconds of media into a file; what was announced."""
    async with websockets.connect(url, max_size=2**24, **options) as socket:
        first = json.loads(await asyncio.wait_for(socket.recv(), 20))
        assert first["type"] == "codec_data"
        until = asyncio.get_running_loop().time() + 3
        with path.open("wb") as out:
            while asyncio.get_running_loop().time() < until:
                message = await asyncio.wait_for(socket.recv(), 10)
                if isinstance(message, bytes):
                    out.write(message)
    told: dict[str, Any] = first["data"]
    return told


def probe(path: Path) -> dict[str, dict[str, Any]]:
    """What ffprobe says of each stream, by codec; it decodes all frames and complains about none."""
    command = [need("ffprobe"), "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return {stream["codec_name"]: stream for stream in json.loads(done.stdout)["streams"]}


@pytest.mark.parametrize("suffix", SUFFIXES)
@together
async def test_live_media_is_what_was_announced(live: Serving, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out.{suffix}"
    told = await read(f"ws://127.0.0.1:{live.http_port}/live/cam.{suffix}", path)
    assert told["codecs"][1] == "mp4a.40.2"
    assert told["codecs"][0].startswith("avc1.")
    streams = await asyncio.to_thread(probe, path)
    assert int(streams["h264"]["nb_read_frames"]) > 50
    assert int(streams["aac"]["nb_read_frames"]) > 100
    assert (streams["h264"]["width"], streams["h264"]["height"]) == (320, 180)


@together
async def test_the_tls_port_speaks_websocket(live: Serving, authority: Authority, tmp_path: Path) -> None:
    context = ssl.create_default_context(cafile=str(authority.ca))
    path = tmp_path / "out.mp4"
    await read(f"wss://localhost:{live.https_port}/live/cam.mp4", path, ssl=context, host="127.0.0.1")
    assert int((await asyncio.to_thread(probe, path))["h264"]["nb_read_frames"]) > 50


@together
async def test_one_track_alone(live: Serving, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    told = await read(f"ws://127.0.0.1:{live.http_port}/live/cam.mp4?video=none", path)
    assert [track["type"] for track in told["tracks"]] == ["audio"]
    assert set(await asyncio.to_thread(probe, path)) == {"aac"}
