"""Who publishes what, who reads it in which form, and the machinery that runs all these cells side by side.

A cell is `PUBLISHER READER FORM`. Every reader reads every stream in every form that it knows, unless `why_not` names
the reason; `test_serve.py` runs the cells and shows the reasons.
"""

import collections
import concurrent.futures
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.authority import Authority
from tests.browser.media_socket import SocketReader
from tests.commands.program import Serving, free_port
from tests.conftest import need
from tests.interop import peers
from tests.interop.peers import READERS, Child, Job, Media

Pair = tuple[str, str]

READS = {
    "ffmpeg": ("rtmp", "rtmps", "flv", "ts", "hls", "mp4", "mkv", "webm"),
    "ffmpeg9": ("rtmp", "rtmps", "flv", "ts", "hls", "mp4", "mkv", "webm"),
    "vlc": ("rtmp", "rtmps", "flv", "ts", "hls", "mp4", "mkv", "webm"),
    "gstreamer": ("rtmp", "rtmps", "flv", "ts", "hls", "mp4", "mkv", "webm"),
    "rtmpdump": ("rtmp", "rtmps"),
    "nginx": ("rtmp",),
    "curl": ("flv", "ts", "mp4", "mkv"),
    "m3u8": ("hls",),
    "websockets": ("ws-flv", "ws-ts", "ws-mp4"),
    "chromium": ("ws-mp4",),
}
"""The forms that each reader knows. `nginx` pulls, and ffmpeg reads from it."""

LEGACY = "the reader is older than Enhanced RTMP"
NGINX_LEGACY = "nginx-rtmp passes Enhanced RTMP's sound on, and none of its pictures"
NO_TS = "MPEG-TS has no form of the codec that players agree on"
NO_WEBM = "WebM holds VP8, VP9, AV1, Opus and Vorbis"
VLC_FLAC = "VLC 3.0.24 drops the short packets of FLAC where the film ends and begins again"
VLC_LIVE = "VLC 3.0.24 misplaces and joins pictures of live Matroska when it passes them on; from a file it does not"
GST_AV1 = "GStreamer 1.22's qtdemux hands AV1's configuration on without its first four bytes, whoever wrote it"
NOT_IN_CHROMIUM = "Chromium here decodes no HEVC and no AC-3"


def why_not(codecs: Pair, reader: str, form: str) -> str:
    """The reason why a reader cannot read these codecs in a form that it knows; empty: it reads them."""
    video, audio = codecs
    if codecs != ("h264", "aac"):
        if reader == "nginx":
            return NGINX_LEGACY
        if form in ("rtmp", "rtmps", "flv") and reader in ("ffmpeg", "vlc", "gstreamer"):
            return LEGACY
    if form in ("ts", "hls", "ws-ts") and (video in ("av1", "vp9") or audio == "flac"):
        return NO_TS
    if form == "webm" and (video not in ("av1", "vp9") or audio != "opus"):
        return NO_WEBM
    if reader == "vlc" and audio == "flac":
        return VLC_FLAC
    if reader == "vlc" and form in ("mkv", "webm") and video in ("hevc", "av1"):
        return VLC_LIVE
    if reader == "gstreamer" and form == "mp4" and video == "av1":
        return GST_AV1
    if reader == "chromium" and (video == "hevc" or audio == "ac3"):
        return NOT_IN_CHROMIUM
    return ""


# Publishers.


@dataclass(frozen=True)
class Publisher:
    """Somebody who sends a film."""

    film: str
    """What is sent, over and over; `camera` and `videogen` make it themselves."""
    pipeline: Callable[["Place", Path, str], list[list[str]]]
    """The programs that send a file under a name."""


@dataclass(frozen=True)
class Place:
    """Addresses without the stream's name."""

    rtmp: str
    rtmps: str
    http: str
    nginx: str
    root: Path


VIDEOGEN = ("videogen", "--seed", "7", "-s", "160x120", "--bitrate", "400k")
FILMS: dict[str, Pair] = {
    "bunny": ("h264", "aac"), "sintel": ("h264", "aac"), "camera": ("h264", "aac"), "videogen": ("h264", "aac"),
    "hevc-aac": ("hevc", "aac"), "hevc-opus": ("hevc", "opus"), "av1-ac3": ("av1", "ac3"),
    "av1-opus": ("av1", "opus"), "vp9-flac": ("vp9", "flac"), "vp9-opus": ("vp9", "opus"),
}  # fmt: skip
ENHANCED = tuple(FILMS)[4:]


def _ffmpeg(program: Callable[[], str], form: str, address: str, *options: str) -> Callable[..., list[list[str]]]:
    """Sends to `address`, in which `{0}` is the place and `{1}` the name."""
    return lambda place, film, name: [
        peers.loop(program(), film, *options, "-f", form, address.format(place, f"live/{name}"))
    ]


def _relay(form: str) -> Callable[..., list[list[str]]]:
    return lambda place, film, name: [
        peers.loop(peers.ffmpeg5(), film, "-f", form, "pipe:1"), peers.evotools("relay", f"{place.rtmp}/live/{name}")
    ]  # fmt: skip


def _camera(base: str, *options: str) -> Callable[..., list[list[str]]]:
    return lambda place, _, name: [
        peers.gstreamer_publisher(f"{base.format(place)}/live/{name}", place.root / f"{name}.flv", *options)
    ]


_RTMP, _RTMPS = "{0.rtmp}/{1}", "{0.rtmps}/{1}"
PUBLISHERS = {
    "ffmpeg-mp4": Publisher("bunny", _ffmpeg(peers.ffmpeg5, "flv", _RTMP)),
    "ffmpeg-ts": Publisher("sintel", _ffmpeg(peers.ffmpeg5, "flv", _RTMP)),
    "gstreamer": Publisher("camera", _camera("{0.rtmp}")),
    "relay": Publisher("sintel", _relay("mpegts")),
    "videogen": Publisher("videogen", lambda place, _, name: [
        peers.evotools(*VIDEOGEN, "-f", "flv", f"{place.rtmp}/live/{name}")]),
    "nginx": Publisher("bunny", _ffmpeg(peers.ffmpeg5, "flv", "{0.nginx}/{1}")),
    "rtmps-ffmpeg": Publisher("bunny", _ffmpeg(peers.ffmpeg5, "flv", _RTMPS, "-tls_verify", "0")),
    "rtmps-gstreamer": Publisher("camera", _camera("{0.rtmps}", "tls-validation-flags=no-flags")),
    **{name: Publisher(name, _ffmpeg(peers.ffmpeg9, "flv", _RTMP)) for name in ENHANCED},
    "rtmps-ffmpeg9": Publisher("hevc-opus", _ffmpeg(peers.ffmpeg9, "flv", _RTMPS, "-tls_verify", "0")),
    "relay-hevc": Publisher("hevc-opus", _relay("matroska")),
    "relay-av1": Publisher("av1-opus", _relay("matroska")),
    "relay-vp9": Publisher("vp9-flac", _relay("matroska")),
    "post-hevc": Publisher("hevc-aac", _ffmpeg(peers.ffmpeg5, "mpegts", "{0.http}/{1}.ts")),
    "post-av1": Publisher("av1-opus", _ffmpeg(peers.ffmpeg5, "matroska", "{0.http}/{1}.mkv")),
    "post-vp9": Publisher("vp9-opus", _ffmpeg(peers.ffmpeg5, "webm", "{0.http}/{1}.webm")),
}  # fmt: skip
"""ffmpeg 5.1, GStreamer and nginx-rtmp have no Enhanced RTMP; what ffmpeg 5.1 knows beside H.264 it sends by POST."""


# Cells.

ALL_FORMS = ("ffmpeg-mp4", *ENHANCED)
"""Publishers whose streams are read by every reader in every form."""
OTHERS = {
    ("h264", "aac"): (
        "ffmpeg rtmp", "ffmpeg flv", "ffmpeg ts", "ffmpeg hls", "rtmpdump rtmp", "vlc rtmp", "vlc hls",
        "gstreamer rtmp", "gstreamer ts", "curl flv", "m3u8 hls", "nginx rtmp", "chromium ws-mp4", "gstreamer mkv",
    ),
    ("hevc", "opus"): ("ffmpeg9 rtmp", "ffmpeg ts", "vlc mp4", "gstreamer mkv"),
    ("hevc", "aac"): ("ffmpeg9 rtmp", "ffmpeg hls", "vlc ts", "gstreamer mp4"),
    ("av1", "opus"): ("ffmpeg9 rtmp", "chromium ws-mp4", "vlc mp4", "gstreamer mkv"),
    ("vp9", "flac"): ("ffmpeg9 rtmp", "chromium ws-mp4", "ffmpeg mkv", "gstreamer mp4"),
    ("vp9", "opus"): ("ffmpeg9 rtmp", "chromium ws-mp4", "vlc webm", "gstreamer webm"),
}  # fmt: skip
"""By codecs, what is read of all other publishers' streams: each protocol, and each reader once."""


EARLY_PICTURES = 10
"""How many pictures may stand before the first sound in `relay`: ffmpeg puts up to 0.35 s of sound in one PES packet,
which comes after the pictures of that time."""


def early_pictures(cell: str) -> int:
    """How many of the pictures that come first are not compared, because the reader is known to misplace them.

    GStreamer 1.22's matroskademux begins its clock with the first block. When an earlier block comes it begins the
    clock anew, and what it handed out before stands too early by the difference, whoever wrote the file (for the test
    in `test_serve.py` ffmpeg does). Such a block is the sound of `relay`, which keeps the order of TS and is 119 ms
    before the first picture, and any sound beside pictures that are reordered: Matroska has presentation times only,
    and a key frame is shown later than it is decoded.
    """
    name, reader, form = cell.split()
    if reader != "gstreamer":
        return 0
    if form == "mkv":
        reordered = FILMS[PUBLISHERS[name].film][0] == "hevc"
        return EARLY_PICTURES if reordered or name == "relay" else 0
    # h264parse begins a byte stream with its first parameter sets and throws away what stands before them, which in
    # `sintel` are captions.
    return int(form in ("ts", "hls"))


def _grid() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, publisher in PUBLISHERS.items():
        codecs = FILMS[publisher.film]
        if name in ALL_FORMS:
            pairs = [(reader, form) for reader, forms in READS.items() for form in forms]
        else:
            pairs = [(cell.split()[0], cell.split()[1]) for cell in OTHERS[codecs]]
        if publisher.film == "sintel":
            # Its sound is shorter than its pictures, which is a hole where it begins again: a page has to jump.
            pairs = [pair for pair in pairs if pair[0] != "chromium"]
        if name == "nginx":
            # Its push begins with sound, pictures follow at the next key frame: the first segments have none.
            pairs = [pair for pair in pairs if pair[1] != "hls"]
        for reader, form in pairs:
            found[f"{name} {reader} {form}"] = why_not(codecs, reader, form)
    return found


GRID = _grid()
"""Every cell, and why it is not green; empty where it is."""
CELLS = [cell for cell, reason in GRID.items() if not reason]


QUICK = {
    "ffmpeg-mp4": "ffmpeg rtmp,ffmpeg rtmps,ffmpeg flv,ffmpeg ts,ffmpeg hls,ffmpeg mp4,ffmpeg mkv,ffmpeg9 rtmps,"
    "vlc rtmp,vlc rtmps,vlc flv,vlc hls,vlc mkv,gstreamer rtmp,gstreamer rtmps,gstreamer flv,gstreamer hls,"
    "gstreamer mp4,rtmpdump rtmps,curl flv,curl ts,nginx rtmp,m3u8 hls,chromium ws-mp4",
    "ffmpeg-ts": "ffmpeg rtmp,ffmpeg ts,vlc hls,gstreamer ts,curl flv",
    "gstreamer": "ffmpeg rtmp,ffmpeg hls,gstreamer rtmp,rtmpdump rtmp",
    "relay": "ffmpeg rtmp,ffmpeg flv,gstreamer ts,m3u8 hls",
    "videogen": "ffmpeg rtmp,ffmpeg hls,vlc rtmp",
    "hevc-opus": "ffmpeg9 rtmp,rtmpdump rtmp,ffmpeg9 flv,ffmpeg9 ts,ffmpeg hls,vlc ts,ffmpeg mkv",
    "av1-opus": "ffmpeg9 rtmp,ffmpeg9 webm,ffmpeg mp4,vlc mp4,gstreamer mkv,websockets ws-mp4,chromium ws-mp4",
    "vp9-opus": "ffmpeg9 rtmp,websockets ws-flv,ffmpeg webm,vlc webm,gstreamer webm,curl mp4",
    "hevc-aac": "ffmpeg9 rtmp,ffmpeg9 hls,gstreamer mkv,websockets ws-ts",
    "av1-ac3": "ffmpeg9 flv,ffmpeg9 mp4",
    "vp9-flac": "ffmpeg9 rtmp,ffmpeg9 mkv,curl mkv,chromium ws-mp4",
    "nginx": "ffmpeg rtmp,ffmpeg ts",
    "rtmps-ffmpeg": "ffmpeg rtmp", "rtmps-gstreamer": "ffmpeg rtmp", "rtmps-ffmpeg9": "ffmpeg9 rtmp",
    "relay-hevc": "ffmpeg9 rtmp", "relay-av1": "ffmpeg9 rtmp", "relay-vp9": "ffmpeg9 rtmp",
    "post-hevc": "ffmpeg9 rtmp", "post-av1": "ffmpeg9 rtmp", "post-vp9": "ffmpeg9 rtmp",
}  # fmt: skip
"""What a quick run reads of each publisher: every reader in every form that it knows at least once, of some publisher,
and every publisher, protocol, container and codec; the other cells say nearly the same."""


def _slow(cell: str) -> bool:
    name, reader, form = cell.split()
    return f"{reader} {form}" not in QUICK[name].split(",")


SLOW = {cell for cell in CELLS if _slow(cell)}
"""Cells whose neighbours say nearly the same."""


# The run.

SECONDS = 6
"""Of media per cell: more than the server keeps for those who come."""
PATIENCE_S = 120
AT_ONCE = 16
"""Readers that run side by side."""
LIVE_RATE = 50_000
"""Bytes per second of what is encoded while it is sent."""

NGINX = """
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; master_process off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log warn;
events {{ worker_connections 256; }}
rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; chunk_size 60000;
  application live {{ live on; push {rtmp}; }}
  application pulled {{ live on; wait_key on; wait_video on; pull {rtmp}/live; }}
  application raw {{ live on; pull {rtmp}/live; }}
}} }}
"""
"""What is published to `live` is pushed to the server; who plays from `pulled` makes it pull, `raw` from anywhere."""


class Matrix:
    """The server, the publishers that the chosen cells need, and all readings, which run side by side."""

    def __init__(self, root: Path, media: Path, cells: list[str]) -> None:
        self.root = root
        self.children: list[Child] = []
        certificate = Authority(root / "authority").certificate()
        rtmps, nginx = free_port(), free_port()
        self.server = Serving(config=[
            "hls.always=true", f"tls.cert={certificate.cert}", f"tls.key={certificate.key}",
            "http.listen_tls=127.0.0.1:0", f"rtmp.listen_tls=127.0.0.1:{rtmps}",
        ])  # fmt: skip
        self.place = Place(self.server.rtmp, f"rtmps://127.0.0.1:{rtmps}", self.server.http,
                           f"rtmp://127.0.0.1:{nginx}", root)  # fmt: skip
        config = root / "nginx.conf"
        config.write_text(NGINX.format(root=root, port=nginx, rtmp=self.server.rtmp))
        self.children.append(Child([need("nginx"), "-p", str(root), "-c", str(config)], root / "nginx.log"))
        self.browser = SocketReader(root / "chromium", f"{self.server.http}/healthz")
        self._films = {"bunny": media / "bigbuckbunny.mp4", "sintel": media / "sintel-captions.ts"}
        self._sent: dict[str, concurrent.futures.Future[Media]] = collections.defaultdict(concurrent.futures.Future)
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        names = list(dict.fromkeys(cell.split()[0] for cell in cells))
        self._films |= encode(root, {PUBLISHERS[name].film for name in names} & set(ENHANCED))
        for name in names:
            self._publish(name)
        cells = [cell for cell in cells if not GRID[cell]]
        self._left = collections.Counter(cell.split()[0] for cell in cells)
        self._cells = {cell: self._pool.submit(self._read, *cell.split()) for cell in cells}

    def _film(self, name: str) -> Path:
        """What a publisher sends: a file, or the copy that it writes."""
        film = PUBLISHERS[name].film
        return self._films.get(film, self.root / f"{name}.flv")

    def _publish(self, name: str) -> None:
        if PUBLISHERS[name].film == "bunny" and name == "nginx":
            peers.until(lambda: peers.listens(self.place.nginx), "nginx")
        feed = None
        for number, command in enumerate(PUBLISHERS[name].pipeline(self.place, self._film(name), name)):
            last = command[-1] != "pipe:1"
            child = Child(command, self.root / f"{name}.{number}.log", stdin=feed or subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL if last else subprocess.PIPE)  # fmt: skip
            feed = child.process.stdout
            self.children.append(child)

    def on_air(self, name: str) -> None:
        """Wait until both kinds of a publisher's stream are known."""
        peers.until(lambda: len(peers.tracks(self.server.http, f"live/{name}")) == 2, f"{name}: {self.children}")

    def _read(self, name: str, reader: str, form: str) -> Media:
        try:
            return self._record(name, reader, form)
        finally:
            with self._lock:
                self._left[name] -= 1
                last = not self._left[name]
            if last:
                try:
                    self._sent[name].set_result(self._make_sent(name))
                except BaseException as error:
                    self._sent[name].set_exception(error)
                    raise

    def _record(self, name: str, reader: str, form: str) -> Media:
        self.on_air(name)
        film = PUBLISHERS[name].film
        enough = (_rate(self._films[film]) if film in self._films else LIVE_RATE) * SECONDS
        out = self.root / f"{name}.{reader}-{form}.x"
        job = Job(self.url(name, reader, form), out, enough, FILMS[film])
        if reader == "chromium":
            path = out.with_suffix(".mp4")
            assert self.browser.read(job.url, path, enough).playable
        else:
            path = READERS["ffmpeg" if reader == "nginx" else reader](job)
        # What a reader that is told to stop wrote last may be cut; GStreamer finishes its file.
        return self._media(name, path, seconds=0 if reader == "gstreamer" else SECONDS - 1.5, decode=True)

    def url(self, name: str, reader: str, form: str) -> str:
        """Where a reader reads."""
        if reader == "nginx":
            return f"{self.place.nginx}/pulled/{name}"
        if form in ("rtmp", "rtmps"):
            return f"{self.place.rtmp if form == 'rtmp' else self.place.rtmps}/live/{name}"
        scheme, suffix = ("ws", form[3:]) if form.startswith("ws-") else ("http", form)
        suffix = "m3u8" if suffix == "hls" else suffix
        return f"{scheme}{self.server.http.removeprefix('http')}/live/{name}.{suffix}"

    def _media(self, name: str, path: Path, *, seconds: float = 0, decode: bool = False) -> Media:
        codecs = FILMS[PUBLISHERS[name].film]
        # FFmpeg 9 finds no AAC in GStreamer's Matroska, 5.1 no new codecs in FLV.
        old = codecs == ("h264", "aac") or (codecs[1] == "aac" and path.suffix != ".flv")
        program = peers.ffmpeg5() if old else peers.ffmpeg9()
        return peers.media_of(path, codecs, program=program, seconds=seconds, decode=decode)

    def read(self, cell: str) -> Media:
        """What the cell's reader got."""
        return self._cells[cell].result()

    def sent(self, name: str) -> Media:
        """What the publisher sent, or would have sent if it had had more time."""
        return self._sent[name].result(PATIENCE_S)

    def _make_sent(self, name: str) -> Media:
        seconds = str(int(time.monotonic() - self._begun) + 3)
        film = PUBLISHERS[name].film
        path = self.root / f"{name}.sent.flv"
        if film == "camera":
            path = self._film(name)
        elif film == "videogen":
            # The same seed makes the same stream.
            peers.finish(peers.evotools(*VIDEOGEN, "--no-realtime", "-t", seconds, str(path)), PATIENCE_S)
        else:
            # The two count the gap between the end of a film and its next beginning in different ways.
            program = peers.ffmpeg9() if name in (*ENHANCED, "rtmps-ffmpeg9") else peers.ffmpeg5()
            path = path.with_suffix(".mkv" if film in ENHANCED else ".flv")
            peers.finish(peers.loop(program, self._films[film], "-t", seconds, str(path), live=False))
        return self._media(name, path)

    def close(self) -> None:
        """End everybody."""
        self._pool.shutdown(cancel_futures=True)
        self.browser.close()
        peers.stop_all(self.children)
        self.server.__exit__()


def _rate(path: Path) -> int:
    """Bytes per second of a file."""
    command = [need("ffprobe"), "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path)]
    return int(path.stat().st_size / float(peers.finish(command)))


_VIDEO = {
    "hevc": ["libx265", "-x265-params", "log-level=none:bframes=2:keyint=50"],
    "av1": ["libsvtav1", "-preset", "12", "-g", "50"],
    "vp9": ["libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "50"],
}
_AUDIO = {"opus": "libopus"}


def encode(folder: Path, films: set[str]) -> dict[str, Path]:
    """Four seconds in the codecs of Enhanced RTMP, by FFmpeg 9; each picture is coded once."""
    made = {film: folder / f"{film}.mkv" for film in sorted(films)}
    for video in sorted({film.split("-")[0] for film in made}):
        command = [*peers.quiet(peers.ffmpeg9()), "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i",
                   "aevalsrc=0.3*sin(880*t)|0.3*sin(440*t):s=48000"]  # fmt: skip
        mine = {film.split("-")[1]: path for film, path in made.items() if film.startswith(video)}
        first, *others = mine.items()
        peers.finish([*command, "-t", "4", "-c:v", *_VIDEO[video], "-c:a", _AUDIO.get(first[0], first[0]),
                      str(first[1])])  # fmt: skip
        for audio, path in others:
            peers.finish([*command, "-i", str(first[1]), "-t", "4", "-map", "2:v", "-map", "1:a", "-c:v", "copy",
                          "-c:a", _AUDIO.get(audio, audio), str(path)])  # fmt: skip
    return made
