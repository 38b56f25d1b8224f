"""Files and live streams over progressive HTTP, as programs read them that nobody here wrote: curl, wget, ffmpeg,
ffprobe, GStreamer, VLC."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.program import Serving
from tests.conftest import need
from tests.interop.peers import fetch, finish, on_air, until
from tests.together import together

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of film as MP4, TS, FLV and Matroska."""
    folder = tmp_path_factory.mktemp("films")
    finish([
        need("ffmpeg"), "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i",
        "sine=f=440:r=48000", "-t", "60", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50",
        "-bf", "2", "-c:a", "aac", str(folder / "mp4.mp4"),
    ])  # fmt: skip
    for suffix in ("ts", "flv", "mkv"):
        finish([need("ffmpeg"), "-loglevel", "error", "-i", str(folder / "mp4.mp4"), "-c", "copy",
                str(folder / f"{suffix}.{suffix}")])  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def http(films: Path) -> Iterator[str]:
    """A server with the films, and a live stream `cam`."""
    path = films.parent / "serve.toml"
    path.write_text(f'[files.films]\nfolder = "{films}"\n[streams.cam]\nsource = "test:?size=320x240"\n')
    with Serving("-c", str(path)) as server:
        until(lambda: on_air(server.http, "cam"), "the test stream")
        yield server.http


def probed(url: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(finish([
        need("ffprobe"), "-v", "error", "-count_packets", "-show_streams", "-show_format", "-of", "json", url,
    ]))  # fmt: skip
    return told


FORMS = ["mp4", "ts", "flv", "mkv"]
QUICK = [("mp4", "mp4"), ("ts", "ts"), ("flv", "flv"), ("mkv", "mkv"), ("mp4", "ts"), ("ts", "flv"), ("flv", "mkv"),
         ("mkv", "mp4")]  # fmt: skip
"""Every container as it is, and once into another; the other conversions are put together of the same two halves."""


@pytest.mark.parametrize(
    ("source", "form"),
    [
        pytest.param(source, form, marks=() if (source, form) in QUICK else pytest.mark.slow)
        for source in FORMS
        for form in FORMS
    ],
)
@together
def test_ffprobe_counts_every_packet_of_every_conversion(http: str, tmp_path: Path, source: str, form: str) -> None:
    whole = probed(f"{http}/films/{source}.{source}")
    path = tmp_path / f"out.{form}"
    path.write_bytes(fetch(f"{http}/films/{source}.{form}?start=0"))
    counts = {s["codec_type"]: int(s["nb_read_packets"]) for s in probed(str(path))["streams"]}
    assert counts == {s["codec_type"]: int(s["nb_read_packets"]) for s in whole["streams"]}
    path.write_bytes(fetch(f"{http}/films/{source}.{form}?start=31&duration=9"))
    counts = {s["codec_type"]: int(s["nb_read_packets"]) for s in probed(str(path))["streams"]}
    # From the key frame at 30 s, by decode times, which run ahead of what is shown.
    assert 250 <= counts["video"] <= 254
    assert abs(counts["audio"] - 10 * 48000 / 1024) < 6
    assert finish([need("ffmpeg"), "-v", "error", "-i", str(path), "-f", "null", "-"]) == ""


@together
def test_downloads_go_on_where_they_stopped(http: str, films: Path, tmp_path: Path) -> None:
    data = (films / "mp4.mp4").read_bytes()
    for number, command in enumerate(([need("wget"), "-q", "-c", "-O"], [need("curl"), "-s", "-C", "-", "-o"])):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(data[: len(data) // 3])
        finish([*command, str(path), f"{http}/films/mp4.mp4"])
        assert path.read_bytes() == data


@together
def test_ffmpeg_seeks_by_ranges(http: str) -> None:
    told = finish([need("ffmpeg"), "-v", "error", "-ss", "50", "-i", f"{http}/films/mp4.mp4", "-t", "1", "-map", "0:v",
                   "-f", "framemd5", "-"])  # fmt: skip
    assert sum(not line.startswith("#") for line in told.splitlines()) == 25


@pytest.mark.parametrize(
    "target", ["cam.mkv", "cam.mp4", "cam.flv", "films/mp4.mp4", "films/mp4.mkv", "films/ts.flv?start=20"]
)
@together
def test_gstreamer_plays(http: str, target: str) -> None:
    finish([need("gst-launch-1.0"), "-q", "souphttpsrc", f"location={http}/{target}", "num-buffers=60", "!",
            "decodebin", "name=d", "d.", "!", "queue", "!", "fakesink", "sync=false",
            "d.", "!", "queue", "!", "fakesink", "sync=false"])  # fmt: skip


@pytest.mark.parametrize("target", ["cam.mkv", "cam.mp4", "films/mp4.mkv", "films/ts.mp4"])
@together
def test_vlc_plays(http: str, target: str) -> None:
    options: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    command = ["/usr/bin/env", "HOME=/tmp", need("cvlc"), "-q", "--no-sout-all", f"{http}/{target}", "--sout",
               "#std{access=file,mux=ts,dst=-}"]  # fmt: skip
    player = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              cwd="/", **options)  # fmt: skip
    assert player.stdout is not None
    try:
        data = player.stdout.read(188 * 400)
        assert len(data) == 188 * 400 and set(data[::188]) == {0x47}
    finally:
        player.kill()
        player.wait()
        player.stdout.close()
