"""Publishing over HTTP, and RTMP in an HTTP tunnel, by programs that nobody here wrote.

Each publisher sends the same film; a reader records some seconds of it, in which every packet of picture and sound is
found in order, without gaps, and at the same distance in time.

| publisher                                  | how                                         | read                 |
|--------------------------------------------|---------------------------------------------|----------------------|
| ffmpeg 5.1                                 | POST, PUT, chunked and until the end; HTTPS | HTTP-FLV by curl     |
| FFmpeg 9                                   | POST of WebM with VP9 and Opus              | HTTP-FLV by FFmpeg 9 |
| curl                                       | PUT and POST of a pipe, HTTPS               | HTTP-FLV by curl     |
| GStreamer souphttpclientsink, curlhttpsink | TS                                          | HTTP-FLV by curl     |
| evotools relay                             | PUT of TS and Matroska                      | HTTP-FLV by curl     |
| ffmpeg 5.1, FFmpeg 9                       | RTMPT, RTMPTS                               | HTTP-FLV by curl;    |
|                                            |                                             | RTMPT by ffmpeg 5.1, |
|                                            |                                             | FFmpeg 9, rtmpdump;  |
|                                            |                                             | RTMPTS by ffmpeg (1) |

(1) FFmpeg 9 wants a certificate that it can verify, and has no option for that with rtmpts.
souphttpclientsink sends a request for every few packets, with Content-Range. curlhttpsink with `use-content-length`
makes a request of every buffer without saying where it belongs, which is no stream.
"""

import concurrent.futures
import subprocess
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.authority import Authority
from tests.commands.program import Serving
from tests.conftest import need
from tests.interop import peers
from tests.interop.matrix import encode
from tests.interop.peers import Child, Job, Media
from tests.together import together

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

SECONDS = 3
LENGTH_S = 40
"""Of the film: longer than all cells take together."""

Commands = Callable[["Place", str], list[list[str]]]
"""The programs of a pipeline that publishes under a name."""


class Place:
    """The server's addresses, and what is sent to them."""

    def __init__(self, server: Serving, tls_port: int, film: Path, webm: Path) -> None:
        self.http = server.http
        self.https = f"https://127.0.0.1:{tls_port}"
        self.rtmpt = f"rtmpt://127.0.0.1:{server.http_port}"
        self.rtmpts = f"rtmpts://127.0.0.1:{tls_port}"
        self.film = film
        self.webm = webm

    @cached_property
    def sent(self) -> dict[Path, Media]:
        """What is in the films."""
        return {path: look(path, decode=False) for path in (self.film, self.webm)}


def look(path: Path, *, webm: bool = False, **options: Any) -> Media:
    """Every packet of a file."""
    webm = webm or path.suffix == ".webm"
    codecs, program = (("vp9", "opus"), peers.ffmpeg9()) if webm else (("h264", "aac"), peers.ffmpeg5())
    return peers.media_of(path, codecs, program=program, **options)


def ffmpeg(program: str, place: Place, form: str, url: str, *options: str, film: Path | None = None) -> list[str]:
    return [*peers.quiet(program), "-re", "-i", str(film or place.film), "-c", "copy", *options, "-f", form, url]


FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov+default_base_moof+delay_moov")
"""Without `delay_moov` ffmpeg itself moves the sound by the encoder's delay."""
# souphttpclientsink loses what comes first, and with it parameter sets that come only once.
TO_TS = ["h264parse", "config-interval=-1", "!", "m.", "q.audio_0", "!", "queue", "!", "aacparse", "!", "m."]


def gstreamer(place: Place, *sink: str) -> list[list[str]]:
    return [[need("gst-launch-1.0"), "-q", "filesrc", f"location={place.film}", "!", "qtdemux", "name=q", "q.video_0",
             "!", "queue", "!", "identity", "sync=true", "!", *TO_TS, "mpegtsmux", "name=m", "!", *sink]]  # fmt: skip


def curl(place: Place, form: str, *options: str) -> list[list[str]]:
    return [ffmpeg(peers.ffmpeg5(), place, form, "pipe:1"), [need("curl"), "-sSNf", "-T", "-", *options]]


PUBLISHERS: dict[str, Commands] = {
    "ffmpeg-ts": lambda p, n: [ffmpeg(peers.ffmpeg5(), p, "mpegts", f"{p.http}/{n}.ts")],
    "ffmpeg-flv-until-the-end": lambda p, n: [
        ffmpeg(peers.ffmpeg5(), p, "flv", f"{p.http}/{n}.flv", "-chunked_post", "0")],
    "ffmpeg-mkv-put": lambda p, n: [ffmpeg(peers.ffmpeg5(), p, "matroska", f"{p.http}/{n}.mkv", "-method", "PUT")],
    "ffmpeg-mp4": lambda p, n: [ffmpeg(peers.ffmpeg5(), p, "mp4", f"{p.http}/{n}.mp4", *FRAGMENTS)],
    "ffmpeg-https": lambda p, n: [ffmpeg(peers.ffmpeg5(), p, "mpegts", f"{p.https}/{n}.ts")],
    "ffmpeg9-webm": lambda p, n: [ffmpeg(peers.ffmpeg9(), p, "webm", f"{p.http}/{n}.webm", film=p.webm)],
    "curl-put-ts": lambda p, n: curl(p, "mpegts", f"{p.http}/{n}.ts"),
    "curl-post-mkv-https": lambda p, n: curl(p, "matroska", "-k", "-X", "POST", f"{p.https}/{n}.mkv"),
    "gstreamer-soup": lambda p, n: gstreamer(p, "souphttpclientsink", f"location={p.http}/{n}.ts"),
    "gstreamer-curl": lambda p, n: gstreamer(p, "curlhttpsink", f"location={p.http}/{n}.ts"),
    "evotools-ts": lambda p, n: [
        ffmpeg(peers.ffmpeg5(), p, "mpegts", "pipe:1"), peers.evotools("relay", f"{p.http}/{n}.ts")],
    "evotools-mkv": lambda p, n: [
        ffmpeg(peers.ffmpeg5(), p, "mpegts", "pipe:1"), peers.evotools("relay", f"{p.http}/{n}.mkv")],
    "rtmpt": lambda p, n: [ffmpeg(peers.ffmpeg5(), p, "flv", f"{p.rtmpt}/{n}")],
    "rtmpt-ffmpeg9": lambda p, n: [ffmpeg(peers.ffmpeg9(), p, "flv", f"{p.rtmpt}/{n}")],
    "rtmpts": lambda p, n: [ffmpeg(peers.ffmpeg5(), p, "flv", f"{p.rtmpts}/{n}")],
}  # fmt: skip
CELLS = [
    *(f"{name} {'ffmpeg9' if name == 'ffmpeg9-webm' else 'curl'} flv" for name in PUBLISHERS),
    "rtmpt ffmpeg rtmpt", "rtmpt ffmpeg9 rtmpt", "rtmpt rtmpdump rtmpt", "rtmpt-ffmpeg9 ffmpeg rtmpt",
    "rtmpts ffmpeg rtmpts", "ffmpeg-ts ffmpeg rtmpt",
]  # fmt: skip
AT_ONCE = 12


class Cells:
    """All publishers and readers, side by side."""

    def __init__(self, place: Place, root: Path, wanted: list[str]) -> None:
        self._place = place
        self._root = root
        self._children: list[Child] = []
        for name in dict.fromkeys(cell.split()[0] for cell in wanted):
            feed = None
            for number, command in enumerate(PUBLISHERS[name](place, f"live/{name}")):
                last = command[-1] != "pipe:1"
                child = Child(command, root / f"{name}.{number}.log", stdin=feed or subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL if last else subprocess.PIPE)  # fmt: skip
                feed = child.process.stdout
                self._children.append(child)
        self._pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        self._read = {cell: self._pool.submit(self._record, *cell.split()) for cell in wanted}

    def _record(self, name: str, reader: str, form: str) -> Media:
        place = self._place
        peers.until(lambda: peers.on_air(place.http, f"live/{name}"), f"{name} on air: {self._children}")
        bases = {"flv": place.http, "rtmpt": place.rtmpt, "rtmpts": place.rtmpts}
        url = f"{bases[form]}/live/{name}{'.flv' if form == 'flv' else ''}"
        webm = name == "ffmpeg9-webm"
        source = place.webm if webm else place.film
        enough = source.stat().st_size * SECONDS // LENGTH_S
        path = peers.READERS[reader](Job(url, self._root / f"{name}.{reader}-{form}.x", enough))
        return look(path, webm=webm, seconds=SECONDS - 1.5)

    def got(self, cell: str) -> Media:
        """What the cell's reader got."""
        return self._read[cell].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        peers.stop_all(self._children)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("publish")
    film, webm = root / "film.mp4", root / "film.webm"
    peers.finish([*peers.quiet(peers.ffmpeg5()), "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i",
                  "aevalsrc=0.3*sin(880*t)|0.3*sin(440*t):s=48000", "-t", str(LENGTH_S), "-c:v", "libx264", "-preset",
                  "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac", str(film)])  # fmt: skip
    short = encode(root, {"vp9-opus"})["vp9-opus"]
    peers.finish([*peers.quiet(peers.ffmpeg9()), "-stream_loop", "-1", "-i", str(short), "-c", "copy", "-t",
                  str(LENGTH_S), str(webm)])  # fmt: skip
    certificate = Authority(root / "tls").certificate()
    config = [f"tls.cert={certificate.cert}", f"tls.key={certificate.key}", "rtmp.listen_tls=127.0.0.1:0",
              "http.listen_tls=127.0.0.1:0"]  # fmt: skip
    with Serving(config=config) as server:
        yield Place(server, server.https_port, film, webm)


@pytest.fixture(scope="module")
def cells(request: pytest.FixtureRequest, place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cells]:
    calls = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    wanted = [call.params["cell"] for call in calls if call is not None and "cell" in call.params]
    made = Cells(place, tmp_path_factory.mktemp("cells"), wanted)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["curl", "-sS", "-T", "{film}", "{http}/live/no1.m3u8"], ".webm"),
        (["curl", "-sS", "-F", "a=@{film}", "{http}/live/no2.mp4"], "a form"),
        (["curl", "-sS", "--data-binary", "@{readme}", "{http}/live/no3.ts"], "cannot be read"),
        (["curl", "-sS", "-T", "{film}", "{http}/live/no4.mp4"], "+faststart"),
        (["curl", "-sS", "-H", "Origin: https://evil.example", "-T", "{film}", "{http}/live/no5.mp4"], "not allowed"),
    ],
)
@together
def test_curl_shows_why_it_was_refused(place: Place, tmp_path: Path, command: list[str], said: str) -> None:
    readme = tmp_path / "readme"
    readme.write_text("This is no film.\n" * 100_000)
    line = [part.format(film=place.film, http=place.http, readme=readme) for part in command]
    done = subprocess.run([need("curl"), *line[1:]], capture_output=True, text=True, timeout=30, check=False)
    assert said in done.stdout, done


@together
def test_ffmpeg_ends_when_its_name_is_in_use(cells: Cells, place: Place, tmp_path: Path) -> None:
    cells.got("ffmpeg-ts curl flv")
    second = Child(ffmpeg(peers.ffmpeg5(), place, "mpegts", f"{place.http}/live/ffmpeg-ts.ts"), tmp_path / "log")
    try:
        assert second.process.wait(20) != 0
    finally:
        second.stop()


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_read_is_what_was_published(cells: Cells, place: Place, cell: str) -> None:
    got = cells.got(cell)
    assert got.errors == ""
    assert len(got.video) > 20
    sent = place.sent[place.webm if cell.startswith("ffmpeg9-webm") else place.film]
    # FLV has milliseconds, and so has Matroska on the way in.
    assert peers.differences(got, sent, 0.004) == ""
