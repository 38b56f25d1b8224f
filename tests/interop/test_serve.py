"""The server among programs that nobody here wrote: who publishes, who reads, and that everybody gets the same.

Every cell records some seconds, decodes them without an error, and finds every packet of picture and sound in what
was sent: in order, without gaps, at the same distance in time. Chromium plays beside that: `currentTime` goes on.

| publisher                                | how              | codecs                                        |
|------------------------------------------|------------------|-----------------------------------------------|
| ffmpeg 5.1                               | RTMP, RTMPS      | H.264 AAC, of MP4 and of TS                   |
| ffmpeg 5.1                               | POST TS MKV WebM | HEVC AAC, AV1 Opus, VP9 Opus                  |
| FFmpeg 9                                 | RTMP, RTMPS      | HEVC AAC, HEVC Opus, AV1 AC-3, AV1 Opus,      |
|                                          |                  | VP9 FLAC, VP9 Opus                            |
| GStreamer rtmp2sink, live                | RTMP, RTMPS      | H.264 AAC (its flvmux knows no newer codec)   |
| nginx-rtmp push                          | RTMP             | H.264 AAC (3)                                 |
| evotools relay                           | RTMP             | H.264 AAC, HEVC Opus, AV1 Opus, VP9 FLAC      |
| evotools videogen                        | RTMP             | H.264 AAC                                     |

| reader                                   | RTMP RTMPS | FLV | TS | HLS | MP4 | MKV | WebM | WebSocket     |
|------------------------------------------|------------|-----|----|-----|-----|-----|------|---------------|
| ffmpeg 5.1                               | yes (1)    | (1) | (2)| (2) | yes | yes | (2)  |               |
| FFmpeg 9                                 | yes        | yes | (2)| (2) | yes | yes | (2)  |               |
| VLC 3.0                                  | yes (1)    | (1) | (2)| (2) | yes | (4) | (4)  |               |
| GStreamer 1.22                           | yes (1)    | (1) | (2)| (2) | (5) | yes | (2)  |               |
| rtmpdump                                 | yes        |     |    |     |     |     |      |               |
| nginx-rtmp pull, read by ffmpeg          | RTMP (3)   |     |    |     |     |     |      |               |
| curl                                     |            | yes | (2)|     | yes | yes |      |               |
| m3u8                                     |            |     |    | (2) |     |     |      |               |
| websockets                               |            |     |    |     |     |     |      | FLV TS(2) MP4 |
| Chromium, Media Source Extensions        |            |     |    |     |     |     |      | MP4 (6)       |

Every reader reads H.264 and AAC in all its forms, but not as WebM (2). Of the others:

(1) Enhanced RTMP is newer than these: ffmpeg 5.1 takes its video for VP6, GStreamer's flvdemux ends with an error, VLC
    finds nothing to play. rtmpdump writes what it gets to a file, which FFmpeg 9 reads.
(2) TS has no form of VP9 and FLAC, and none of AV1 that players agree on; WebM holds VP8, VP9, AV1, Opus and Vorbis.
    What fits is sent alone; what has no track left is refused with 406.
(3) nginx-rtmp passes Enhanced RTMP's sound on, and none of its pictures.
(4) From live Matroska VLC's own output misplaces and joins pictures of HEVC and AV1 (from a file of the same bytes
    it does not), and it drops short packets of FLAC in every container.
(5) Its qtdemux hands AV1's configuration on without its first four bytes, also of files that ffmpeg wrote.
(6) Chromium here decodes no HEVC and no AC-3: `MediaSource.isTypeSupported` says no to the type that it is told.

The reasons stand in `matrix.py` for each cell. The film of the TS publisher has a hole in its sound where it begins
again, at which a page without a player stops: Chromium is not asked for it. What nginx-rtmp pushes begins with sound
alone, and so do the first segments of its HLS, which is not compared. GStreamer's hlsdemux reads that film, but
only after two reloads of a playlist whose target duration is 7 s, which is too long for a test.
"""

import concurrent.futures
import contextlib
import json
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import websockets

from tests.browser.chromium import browse
from tests.commands.program import Serving, free_port
from tests.conftest import need
from tests.interop import peers
from tests.interop.matrix import (
    CELLS,
    EARLY_PICTURES,
    FILMS,
    GRID,
    LEGACY,
    PUBLISHERS,
    QUICK,
    READS,
    SLOW,
    Matrix,
    early_pictures,
)  # fmt: skip
from tests.interop.peers import FORMS, Child, Job, Media
from tests.interop.test_rtmp_protocol import NGINX
from tests.together import together

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


def _cells(request: pytest.FixtureRequest) -> list[str]:
    """The cells that this run asks for."""
    calls = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    return [call.params["cell"] for call in calls if call is not None and "cell" in call.params]


@pytest.fixture(scope="module")
def matrix(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, media_dir: Path
) -> Iterator[Matrix]:
    root = tmp_path_factory.mktemp("matrix")
    made = Matrix(root, media_dir, _cells(request))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds with a key frame every second, as live encoders make them."""
    path = tmp_path_factory.mktemp("film") / "input.mp4"
    peers.finish([*peers.quiet(peers.ffmpeg5()), "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i",
                  "aevalsrc=0.3*sin(880*t)|0.3*sin(440*t):s=48000", "-t", "20", "-c:v", "libx264", "-preset",
                  "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac", str(path)])  # fmt: skip
    return path


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, film: Path) -> Iterator[Serving]:
    # The readers of the matrix run in the background meanwhile.
    if _cells(request):
        request.getfixturevalue("matrix")
    with Serving(config=["hls.segment=1s"]) as serving:
        yield serving


def publish(film: Path, url: str, log: Path) -> Child:
    return Child([*peers.quiet(peers.ffmpeg5()), "-re", "-i", str(film), "-c", "copy", "-f", "flv", url], log)


def live(server: Serving, name: str, publisher: Child) -> None:
    """Wait until it is on air."""
    peers.until(lambda: peers.on_air(server.http, name) or not publisher.alive(), f"{name} on air")
    assert publisher.alive(), repr(publisher)


@together
def test_the_recipe_of_the_guide(server: Serving, film: Path, tmp_path: Path) -> None:
    line = f"ffmpeg -re -i input.mp4 -c copy -f flv rtmp://localhost:{server.rtmp_port}/live/livestream"
    publisher = Child(line.split(), tmp_path / "log", cwd=film.parent)
    try:
        live(server, "live/livestream", publisher)
        playlist = f"http://localhost:{server.http_port}/live/livestream.m3u8"
        got = peers.finish(
            [*peers.quiet(peers.ffmpeg5()), "-i", playlist, "-t", "2", "-map", "0:v", "-f", "framehash", "-"]
        )
        assert len([line for line in got.splitlines() if not line.startswith("#")]) == 50
    finally:
        publisher.stop()


@together
def test_a_stream_that_ends_within_its_first_segment_is_shown_at_once(
    server: Serving, media_dir: Path, tmp_path: Path
) -> None:
    publisher = publish(media_dir / "bigbuckbunny.mp4", f"{server.rtmp}/live/short", tmp_path / "log")
    try:
        live(server, "live/short", publisher)
        playlist = peers.fetch(f"{server.http}/live/short/media.m3u8")
        assert playlist.count(b"#EXTINF:5.") == 1
        # The publisher may come back: the end is not announced yet.
        assert b"ENDLIST" not in playlist
    finally:
        publisher.stop()


def test_a_quick_run_leaves_out_nobody() -> None:
    """Every reader in every form, every publisher, every pair of codecs."""
    assert all(cell in CELLS for name, read in QUICK.items() for cell in (f"{name} {r}" for r in read.split(",")))
    quick = [cell.split() for cell in CELLS if cell not in SLOW]
    assert {(reader, form) for _, reader, form in quick} == {(r, form) for r, forms in READS.items() for form in forms}
    assert {name for name, _, _ in quick} == set(PUBLISHERS)


NOT_GREEN = [
    "vp9-flac ffmpeg ts", "vp9-flac m3u8 hls", "ffmpeg-mp4 ffmpeg webm", "vp9-flac websockets ws-ts",
    "hevc-opus ffmpeg webm", "av1-ac3 chromium ws-mp4", "hevc-opus ffmpeg flv", "hevc-opus gstreamer flv",
    "hevc-opus nginx rtmp", "hevc-opus chromium ws-mp4",
]  # fmt: skip


@pytest.mark.parametrize("cell", NOT_GREEN, ids=lambda cell: cell.replace(" ", "-"))
@together
def test_the_reason_of_a_cell_that_is_not_green(matrix: Matrix, tmp_path: Path, cell: str) -> None:
    name, reader, form = cell.split()
    reason = GRID[cell]
    matrix.on_air(name)
    url = matrix.url(name, reader, form)

    def codecs(program: str, source: str) -> list[str]:
        # It says what it found and ends, since nothing is to be written.
        said = subprocess.run([program, "-hide_banner", "-nostdin", "-i", source], capture_output=True, text=True,
                              timeout=60, check=False).stderr  # fmt: skip
        return re.findall(r"Stream #0:\d.*?: (?:Video|Audio): (\w+)", said)

    if reader == "websockets":
        with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
            peers.read_websockets(Job(url, tmp_path / "x", 1))
        assert caught.value.response.status_code == 406
    elif reader == "chromium":
        assert not matrix.browser.read(url, tmp_path / "x", 0).playable
    elif reader == "nginx":
        assert codecs(peers.ffmpeg9(), url.replace("/pulled/", "/raw/")) == ["opus"]
    elif reason == LEGACY:
        path = tmp_path / "x.flv"
        with path.open("wb") as file, urllib.request.urlopen(url, timeout=20) as answer:
            file.write(answer.read(100_000))
        assert codecs(peers.ffmpeg9(), str(path)) == ["hevc", "opus"]
        if reader == "ffmpeg":
            assert "hevc" not in codecs(peers.ffmpeg5(), str(path))
        else:
            command = [need("gst-launch-1.0"), "filesrc", f"location={path}", "!", "flvdemux", "!", "fakesink"]
            # It ends with an error, or waits for ever for a track that it could name.
            with contextlib.suppress(subprocess.TimeoutExpired):
                assert subprocess.run(command, capture_output=True, timeout=10, check=False).returncode
    elif cell == "hevc-opus ffmpeg webm":
        assert codecs(peers.ffmpeg9(), url) == ["opus"]
    else:
        with pytest.raises(urllib.error.HTTPError, match="406"):
            peers.fetch(url)


@together
def test_the_reason_why_early_pictures_are_not_compared(tmp_path: Path) -> None:
    """GStreamer misplaces the first pictures of ffmpeg's Matroska too, once its blocks are in the order of TS."""
    film, ffmpeg = tmp_path / "film.ts", peers.quiet(peers.ffmpeg5())
    # Sound that begins earlier than the pictures and comes after some of them: its packets wait until they are full.
    peers.finish([*ffmpeg, "-itsoffset", "0.1", "-f", "lavfi", "-i", "testsrc2=s=160x120:r=25", "-f", "lavfi", "-i",
                  "sine=r=48000", "-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-c:a", "aac",
                  "-b:a", "32k", str(film)])  # fmt: skip
    shifts = []
    # Unless it has no patience, ffmpeg sorts what it reads.
    for name, order in (("sorted", []), ("unsorted", ["-max_interleave_delta", "1"])):
        path, out = tmp_path / f"{name}.mkv", tmp_path / f"{name}.gst.mkv"
        peers.finish([*ffmpeg, "-i", str(film), "-c", "copy", *order, str(path)])
        chain = ["filesrc", f"location={path}", "!", "matroskademux", "name=d"]
        for parser in ("h264parse", "aacparse"):
            chain += ["d.", "!", "queue", "max-size-time=0", "max-size-buffers=0", "!", parser, "!", "m."]
        peers.finish(
            [need("gst-launch-1.0"), "-q", *chain, "matroskamux", "name=m", "!", "filesink", f"location={out}"]
        )
        sent, got = peers.media_of(path, decode=False), peers.media_of(out, decode=False)
        assert [row[2] for row in got.video] == [row[2] for row in sent.video]
        zero_s = got.audio[0][1] - sent.audio[0][1]
        shifts.append([mine[1] - his[1] - zero_s for mine, his in zip(got.video, sent.video, strict=True)])
    assert max(map(abs, shifts[0])) < 0.002
    assert max(shifts[1][:3]) < -0.05
    assert max(map(abs, shifts[1][EARLY_PICTURES:])) < 0.002


@together
def test_what_ts_cannot_carry_is_refused(server: Serving, tmp_path: Path) -> None:
    command = [*peers.quiet(peers.ffmpeg9()), "-re", "-f", "lavfi", "-i", "sine=r=48000", "-c:a", "flac", "-f", "flv"]
    publisher = Child([*command, f"{server.rtmp}/live/flac"], tmp_path / "log")
    try:
        live(server, "live/flac", publisher)
        # The server knows the codec when it has something to send.
        with urllib.request.urlopen(f"{server.http}/live/flac.flv", timeout=20) as answer:
            assert answer.read(3) == b"FLV"
        for path in ("live/flac.ts", "live/flac.m3u8"):
            with pytest.raises(urllib.error.HTTPError, match="406"):
                peers.fetch(f"{server.http}/{path}")
    finally:
        publisher.stop()


@together
async def test_chromium_plays_what_ffmpeg_publishes(server: Serving, film: Path, tmp_path: Path) -> None:
    publisher = publish(film, f"{server.rtmp}/live/page", tmp_path / "log")
    try:
        async with browse(f"{server.http}/live/page/", tmp_path / "profile") as page:
            first = await page.until("document.querySelector('video').currentTime", 40)
            await page.until(f"document.querySelector('video').currentTime > {first + 4}", 30)
            assert page.problems == []
    finally:
        publisher.stop()


@together
def test_readers_go_on_when_the_publisher_comes_back(server: Serving, film: Path, tmp_path: Path) -> None:
    url, name = f"{server.rtmp}/live/again", "live/again"
    publisher = publish(film, url, tmp_path / "first.log")
    readers: dict[str, Child] = {}
    try:
        live(server, name, publisher)
        for form in ("rtmp", "flv", "hls"):
            address = f"{server.rtmp if form == 'rtmp' else server.http}/{name}{FORMS[form]}"
            readers[form] = Child(
                [*peers.quiet(peers.ffmpeg5()), "-i", address, "-c", "copy", "-copyts", "-f", "framehash",
                 "-flush_packets", "1", str(tmp_path / form)], tmp_path / f"{form}.log",
            )  # fmt: skip
        files = [tmp_path / form for form in readers]
        peers.until(lambda: all(f.exists() and f.read_text().count("\n") > 60 for f in files), "readers begin")
        assert publisher.stop(signal.SIGKILL) != 0
        before = [f.read_text().count("\n") for f in files]
        publisher = publish(film, url, tmp_path / "second.log")
        playlist = f"{server.http}/{name}/media.m3u8"
        peers.until(lambda: b"#EXT-X-DISCONTINUITY\n" in peers.fetch(playlist), "discontinuity")
        peers.until(
            lambda: all(f.read_text().count("\n") > n + 60 for f, n in zip(files, before, strict=True)),
            "readers go on",
        )
        assert all(child.alive() for child in readers.values()), readers
        assert b"ENDLIST" not in peers.fetch(playlist)
    finally:
        for child in (publisher, *readers.values()):
            child.stop()
    for form, file in zip(readers, files, strict=True):
        rows = [line.split(",") for line in file.read_text().splitlines() if not line.startswith("#")]
        for stream in ("0", "1"):
            times = [int(row[1]) for row in rows if row[0] == stream]
            assert len(times) > 60
            assert times == sorted(set(times)), f"{form}: decode times must grow"


@together
def test_refusals(server: Serving, film: Path, tmp_path: Path) -> None:
    publisher = publish(film, f"{server.rtmp}/live/taken", tmp_path / "log")
    try:
        live(server, "live/taken", publisher)
        second = [
            *peers.quiet(peers.ffmpeg5()),
            "-re",
            "-i",
            str(film),
            "-c",
            "copy",
            "-f",
            "flv",
            f"{server.rtmp}/live/taken",
        ]
        done = subprocess.run(second, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode != 0
        done = subprocess.run(peers.evotools("relay", "--reconnect", "0", "-i", str(film), f"{server.rtmp}/live/taken"),
                              capture_output=True, text=True, timeout=20, check=False)  # fmt: skip
        assert done.returncode == 5, done.stderr
        assert "refused" in done.stderr
        assert publisher.alive()
        for path in (
            "nothing.flv",
            "nothing.ts",
            "nothing.m3u8",
            "nothing/index.m3u8",
            "live/taken/nothing.ts",
            "web/x.js",
        ):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                peers.fetch(f"{server.http}/{path}")
        nothing = f"{server.rtmp}/live/nothing"
        for reader in ([peers.ffmpeg5(), "-v", "error", "-i", nothing, "-f", "null", "-"],
                       [need("rtmpdump"), "-q", "-r", nothing, "-o", str(tmp_path / "x")]):  # fmt: skip
            assert subprocess.run(reader, capture_output=True, timeout=20, check=False).returncode != 0
    finally:
        publisher.stop()


@together
def test_probe_agrees_with_ffprobe_at_every_address(server: Serving, film: Path, tmp_path: Path) -> None:
    publisher = publish(film, f"{server.rtmp}/live/probed", tmp_path / "log")

    def both(form: str) -> tuple[dict[str, Any], dict[str, Any]]:
        url = f"{server.rtmp if form == 'rtmp' else server.http}/live/probed{FORMS[form]}"
        ours = json.loads(peers.finish(peers.evotools("probe", "--json", "-t", "2s", url)))
        theirs = json.loads(peers.finish([need("ffprobe"), "-v", "error", "-show_streams", "-of", "json", url]))
        return ours, theirs

    try:
        live(server, "live/probed", publisher)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for ours, theirs in pool.map(both, FORMS):
                mine = {track["kind"]: track for track in ours["tracks"]}
                his = {stream["codec_type"]: stream for stream in theirs["streams"]}
                video, audio = mine["video"], mine["audio"]
                assert video["codec"] == his["video"]["codec_name"]
                assert (video["width"], video["height"]) == (his["video"]["width"], his["video"]["height"])
                assert video["fps_declared"] == pytest.approx(float(Fraction(his["video"]["r_frame_rate"])), abs=0.1)
                assert audio["codec"] == his["audio"]["codec_name"]
                assert (audio["sample_rate_hz"], audio["channels"]) == (
                    int(his["audio"]["sample_rate"]), his["audio"]["channels"])  # fmt: skip
    finally:
        publisher.stop()


@pytest.mark.parametrize("form", ["flv", "hls"])
@together
def test_relay_takes_from_the_server(server: Serving, film: Path, tmp_path: Path, form: str) -> None:
    """Over HTTP by libav."""
    publisher = publish(film, f"{server.rtmp}/live/origin-{form}", tmp_path / "log")
    try:
        live(server, f"live/origin-{form}", publisher)
        base = server.rtmp if form == "rtmp" else server.http
        target = tmp_path / "got.flv"
        peers.finish(peers.evotools("relay", "-t", "3s", "-i", f"{base}/live/origin-{form}{FORMS[form]}", str(target)))
    finally:
        publisher.stop()
    got = peers.media_of(target)
    assert len(got.video) >= 60
    assert got.errors == ""
    assert peers.differences(got, peers.media_of(film, decode=False), 0.005) == ""


@pytest.mark.parametrize("publisher", ["ffmpeg", "gstreamer"])
@together
def test_ingest_listens(publisher: str, film: Path, tmp_path: Path) -> None:
    port, target = free_port(), tmp_path / "got.ts"
    url = f"rtmp://127.0.0.1:{port}/live/x"
    with target.open("wb") as file:
        ingest = Child(peers.evotools("-v", "ingest", f"rtmp://:{port}/live/x"), tmp_path / "ingest.log", stdout=file)
    sender = None
    copy = tmp_path / "copy.flv"
    try:
        peers.until(lambda: "waiting for a peer" in ingest.said(), "ingest listens")
        if publisher == "ffmpeg":
            sender = publish(film, url, tmp_path / "log")
        else:
            sender = Child(peers.gstreamer_publisher(url, copy), tmp_path / "log")
        peers.until(lambda: target.stat().st_size > 350_000, "media")
        sender.stop(signal.SIGINT if publisher == "ffmpeg" else signal.SIGKILL)
        if publisher == "ffmpeg":
            assert ingest.process.wait(20) == 0, ingest
        else:
            assert ingest.process.wait(20) == 1, "a publisher that was killed is no orderly end"
    finally:
        for child in (sender, ingest):
            if child is not None:
                child.stop()
    got, sent = peers.media_of(target), peers.media_of(film if publisher == "ffmpeg" else copy, decode=False)
    assert len(got.video) > 40
    assert got.errors == ""
    # The copy in the file may lack what was killed last.
    assert peers.differences(Media(got.video[:-10], got.audio[:-20]), sent, 0.005) == ""


@together
def test_relay_to_and_ingest_from_nginx_rtmp(film: Path, tmp_path: Path) -> None:
    port, target = free_port(), tmp_path / "got.ts"
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX.format(modules="/usr/lib/nginx/modules", root=tmp_path, port=port))
    nginx = Child([need("nginx"), "-p", str(tmp_path), "-c", str(config)], tmp_path / "nginx.log")
    url = f"rtmp://127.0.0.1:{port}/live/x"
    relay = None
    try:
        relay = Child(peers.evotools("relay", "-i", str(film), url), tmp_path / "relay.log")
        ingest = peers.evotools("ingest", "-t", "3s", "-yo", str(target), url)
        # nginx-rtmp refuses to play what nobody publishes yet.
        peers.until(
            lambda: subprocess.run(ingest, capture_output=True, timeout=30, check=False).returncode == 0, "play"
        )
        assert relay.alive(), relay
    finally:
        for child in (relay, nginx):
            if child is not None:
                child.stop(signal.SIGTERM)
    got = peers.media_of(target)
    # nginx-rtmp begins anywhere; nothing can be decoded before the next key frame, up to a second later.
    assert len(got.video) >= 45
    assert got.errors == ""
    assert peers.differences(got, peers.media_of(film, decode=False), 0.005) == ""


@pytest.mark.parametrize(
    "cell",
    [pytest.param(cell, marks=pytest.mark.slow if cell in SLOW else (), id=cell.replace(" ", "-")) for cell in CELLS],
)
def test_everybody_gets_what_was_sent(matrix: Matrix, cell: str) -> None:
    name, reader, form = cell.split()
    codecs = FILMS[PUBLISHERS[name].film]
    got, sent = matrix.read(cell), matrix.sent(name)
    del got.video[: early_pictures(cell)]
    tolerance_s = 0.005
    if codecs != ("h264", "aac") or form in ("mp4", "ws-mp4"):
        # Where a film begins again its sound has an uneven packet, which readers even out by its length, and so does
        # MP4, which counts samples.
        tolerance_s = 0.05
    elif PUBLISHERS[name].film == "camera":
        # GStreamer's two muxers, one for what it sends and one for its copy, stamp a few milliseconds apart when busy.
        tolerance_s = 0.015
    if reader == "vlc" or cell == "hevc-opus ffmpeg hls":
        # VLC counts audio times anew, from sample to sample. The HLS reader of ffmpeg 5.1 gives all packets of Opus in
        # one PES packet the same time.
        tolerance_s = 0.1
    assert min(len(got.video), len(got.audio)) > 75
    assert peers.differences(Media(got.video[:-1], got.audio[:-1]), sent, tolerance_s) == ""
    assert got.errors == ""
