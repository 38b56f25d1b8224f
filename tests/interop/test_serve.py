"""The server among programs that nobody here wrote: who publishes, who reads, and that everybody gets the same.

Every cell records some seconds, decodes them without an error, and finds every packet of picture and sound in what
was sent: in order, without gaps, at the same distance in time.

| publisher         | codecs    | RTMP               | HTTP-FLV        | HTTP-TS         | HLS             |
|-------------------|-----------|--------------------|-----------------|-----------------|-----------------|
| ffmpeg 5.1, MP4   | H.264 AAC | ffmpeg rtmpdump    | ffmpeg curl     | ffmpeg curl     | ffmpeg m3u8     |
|                   |           | VLC GStreamer      | VLC GStreamer   | VLC GStreamer   | VLC GStreamer   |
| ffmpeg 5.1, TS    | H.264 AAC | the same           | ffmpeg curl     | ffmpeg GStreamer| ffmpeg m3u8 VLC |
| GStreamer, live   | H.264 AAC | the same           | ffmpeg curl     | ffmpeg GStreamer| ffmpeg m3u8 VLC |
| evotools relay    | H.264 AAC | the same           | ffmpeg curl     | ffmpeg GStreamer| ffmpeg m3u8 VLC |
| evotools videogen | H.264 AAC | the same           | ffmpeg curl     | ffmpeg GStreamer| ffmpeg m3u8 VLC |
| FFmpeg 9          | HEVC Opus | FFmpeg 9, rtmpdump | FFmpeg 9 (1)    | FFmpeg 9, 5.1   | FFmpeg 9, 5.1   |
| FFmpeg 9          | AV1 AC-3  | FFmpeg 9, rtmpdump | FFmpeg 9 (1)    | (2)             | (2)             |
| FFmpeg 9          | VP9 FLAC  | FFmpeg 9, rtmpdump | FFmpeg 9 (1)    | (2)             | (2)             |

Chromium plays the HLS of an ffmpeg publisher on the player page; more of it in tests/browser.

(1) Enhanced RTMP is newer than the others: ffmpeg 5.1 takes its video for VP6, GStreamer 1.22's flvdemux ends with an
    error, VLC 3.0.24 finds nothing to play. rtmpdump writes what it gets to a file, which FFmpeg 9 reads.
(2) TS has no form of VP9 and FLAC, and none of AV1 that players agree on: of AV1 and AC-3 the sound is sent alone;
    what has no track left is refused (`test_what_ts_cannot_carry_is_refused`).

GStreamer's hlsdemux reads the film of the TS publisher too, but only after two reloads of a playlist whose target
duration is 7 s, which is too long for a test.
"""

import collections
import concurrent.futures
import json
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import browse
from tests.commands.program import Serving, free_port
from tests.conftest import need
from tests.interop import peers
from tests.interop.peers import FORMS, READERS, Child, Job, Media
from tests.interop.test_rtmp_protocol import NGINX

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

PLAIN = ["videogen", "ffmpeg-mp4", "ffmpeg-ts", "gstreamer", "relay"]
ENHANCED = {"hevc-opus": ("hevc", "opus"), "av1-ac3": ("av1", "ac3"), "vp9-flac": ("vp9", "flac")}
EVERY = [
    *(f"{reader} {form}" for form in FORMS for reader in ("ffmpeg", "vlc", "gstreamer")),
    "rtmpdump rtmp", "curl flv", "curl ts", "m3u8 hls",
]  # fmt: skip
SOME = [
    "ffmpeg rtmp", "ffmpeg flv", "ffmpeg ts", "ffmpeg hls", "rtmpdump rtmp", "vlc rtmp", "vlc hls", "gstreamer rtmp",
    "gstreamer ts", "curl flv", "m3u8 hls",
]  # fmt: skip
CELLS = [
    *(f"{name} {cell}" for name in PLAIN for cell in (EVERY if name == "ffmpeg-mp4" else SOME)),
    *(f"{name} {cell}" for name in ENHANCED for cell in ("ffmpeg9 rtmp", "ffmpeg9 flv", "rtmpdump rtmp")),
    *(f"hevc-opus {reader} {form}" for reader in ("ffmpeg", "ffmpeg9") for form in ("ts", "hls")),
]
SECONDS = 6
"""Of media per cell: more than the server keeps for those who come."""
PATIENCE_S = 120
AT_ONCE = 16
"""Readers that run side by side."""


class Matrix:
    """The server, the publishers that the chosen cells need, and all readings, which run side by side."""

    def __init__(self, server: Serving, root: Path, media: Path, cells: list[str]) -> None:
        self.server = server
        self.root = root
        self.children: list[Child] = []
        self._files = {"ffmpeg-mp4": media / "bigbuckbunny.mp4", "ffmpeg-ts": media / "sintel-captions.ts",
                       "relay": media / "sintel-captions.ts"}  # fmt: skip
        self._sent: dict[str, concurrent.futures.Future[Media]] = collections.defaultdict(concurrent.futures.Future)
        self._rate: dict[str, int] = {}
        self._begun = time.monotonic()
        self._pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        names = list(dict.fromkeys(cell.split()[0] for cell in cells))
        for name in names:
            self._publish(name)
        self._left = collections.Counter(cell.split()[0] for cell in cells)
        self._lock = threading.Lock()
        self._cells = {cell: self._pool.submit(self._read, *cell.split()) for cell in cells}

    def _publish(self, name: str) -> None:
        url = f"{self.server.rtmp}/live/{name}"
        log = self.root / f"{name}.publisher.log"
        if name in ENHANCED:
            source = self._files[name] = self.root / f"{name}.mkv"
            encode(source, *ENHANCED[name])
            command = peers.loop(peers.ffmpeg9(), source, "-f", "flv", url)
        elif name == "gstreamer":
            command = peers.gstreamer_publisher(url, self.root / "gstreamer.flv")
        elif name == "videogen":
            command = peers.evotools(*VIDEOGEN, "-f", "flv", url)
        elif name == "relay":
            source = self._files[name]
            feeder = Child(peers.loop(peers.ffmpeg5(), source, "-f", "mpegts", "-"), self.root / "feeder.log",
                           stdout=subprocess.PIPE)  # fmt: skip
            self.children += [feeder, Child(peers.evotools("relay", url), log, stdin=feeder.process.stdout)]
            self._rate[name] = _rate(source)
            return
        else:
            source = self._files[name]
            command = peers.loop(peers.ffmpeg5(), source, "-f", "flv", url)
        self._rate[name] = _rate(self._files[name]) if name in self._files else LIVE_RATE
        self.children.append(Child(command, log))

    def _read(self, name: str, reader: str, form: str) -> Media:
        try:
            return self._record(name, reader, form)
        finally:
            with self._lock:
                self._left[name] -= 1
                last = not self._left[name]
            if last:
                self._sent[name].set_result(self._make_sent(name))

    def _record(self, name: str, reader: str, form: str) -> Media:
        base = self.server.rtmp if form == "rtmp" else self.server.http
        peers.until(lambda: peers.on_air(self.server.http, f"live/{name}"), f"{name} on air: {self.children}")
        out = self.root / f"{name}.{reader}-{form}.x"
        path = READERS[reader](Job(f"{base}/live/{name}{FORMS[form]}", out, self._rate[name] * SECONDS))
        # What a reader that is told to stop wrote last may be cut.
        return self._media(name, path, seconds=SECONDS - 1.5)

    def _media(self, name: str, path: Path, *, seconds: float = 0) -> Media:
        program = peers.ffmpeg9() if name in ENHANCED else peers.ffmpeg5()
        return peers.media_of(path, ENHANCED.get(name, ("h264", "aac")), program=program, seconds=seconds,
                              decode=bool(seconds))  # fmt: skip

    def read(self, cell: str) -> Media:
        """What the cell's reader got."""
        return self._cells[cell].result()

    def sent(self, name: str) -> Media:
        """What the publisher sent, or would have sent if it had had more time."""
        return self._sent[name].result(PATIENCE_S)

    def _make_sent(self, name: str) -> Media:
        seconds = str(int(time.monotonic() - self._begun) + 3)
        path = self.root / f"{name}.sent.flv"
        if name == "gstreamer":
            path = self.root / "gstreamer.flv"
        elif name == "videogen":
            # The same seed makes the same stream.
            peers.finish(peers.evotools(*VIDEOGEN, "--no-realtime", "-t", seconds, str(path)))
        else:
            program = peers.ffmpeg9() if name in ENHANCED else peers.ffmpeg5()
            peers.finish(peers.loop(program, self._files[name], "-t", seconds, str(path), live=False))
        return self._media(name, path)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        for child in self.children:
            child.stop()


LIVE_RATE = 50_000
"""Bytes per second of what is encoded while it is sent."""


def _rate(path: Path) -> int:
    """Bytes per second of a file."""
    command = [need("ffprobe"), "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path)]
    return int(path.stat().st_size / float(peers.finish(command)))


VIDEOGEN = ("videogen", "--seed", "7", "-s", "160x120", "--bitrate", "400k")


def encode(target: Path, video: str, audio: str) -> None:
    """Four seconds in the codecs of Enhanced RTMP, by FFmpeg 9."""
    coders = {
        "hevc": ["libx265", "-x265-params", "log-level=none:bframes=2:keyint=50"],
        "av1": ["libsvtav1", "-preset", "12", "-g", "50"],
        "vp9": ["libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "50"],
        "opus": ["libopus"], "ac3": ["ac3"], "flac": ["flac"],
    }  # fmt: skip
    command = [
        *peers.quiet(peers.ffmpeg9()), "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i",
        "aevalsrc=0.3*sin(880*t)|0.3*sin(440*t):s=48000", "-t", "4", "-c:v", *coders[video], "-c:a", *coders[audio],
        str(target),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _cells(request: pytest.FixtureRequest) -> list[str]:
    """The cells that this run asks for."""
    calls = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    return [call.params["cell"] for call in calls if call is not None and "cell" in call.params]


@pytest.fixture(scope="module")
def matrix(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, media_dir: Path
) -> Iterator[Matrix]:
    root = tmp_path_factory.mktemp("matrix")
    with Serving(config=["hls.always=true"]) as server:
        made = Matrix(server, root, media_dir, _cells(request))
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


async def test_chromium_plays_what_ffmpeg_publishes(server: Serving, film: Path, tmp_path: Path) -> None:
    publisher = publish(film, f"{server.rtmp}/live/page", tmp_path / "log")
    try:
        async with browse(f"{server.http}/live/page/", tmp_path / "profile") as page:
            first = await page.until("document.querySelector('video').currentTime", 40)
            await page.until(f"document.querySelector('video').currentTime > {first + 4}", 30)
            assert page.problems == []
    finally:
        publisher.stop()


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


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.replace(" ", "-"))
def test_everybody_gets_what_was_sent(matrix: Matrix, cell: str) -> None:
    name, reader, form = cell.split()
    got, sent = matrix.read(cell), matrix.sent(name)
    if reader == "gstreamer" and form in ("ts", "hls"):
        # h264parse begins a byte stream with its first parameter sets and throws away what stands before them,
        # which in this film are captions.
        del got.video[0]
    # VLC counts audio times anew, from sample to sample. The HLS reader of ffmpeg 5.1 gives all packets of Opus in one
    # PES packet the same time.
    tolerance_s = 0.1 if reader == "vlc" or cell == "hevc-opus ffmpeg hls" else 0.005
    assert min(len(got.video), len(got.audio)) > 75
    assert peers.differences(Media(got.video[:-1], got.audio[:-1]), sent, tolerance_s) == ""
    assert got.errors == ""
