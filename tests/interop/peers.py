"""Foreign publishers and readers of a running server, and the comparison of what was read with what was sent."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import imageio_ffmpeg
import m3u8
import websockets.sync.client

from tests.commands.program import ENVIRONMENT, EVOTOOLS
from tests.conftest import need

POLL_S = 0.05
PATIENCE_S = 30.0
"""For one reader on a busy machine: start of the program, a group of pictures, and what it has to read."""

Row = tuple[float, float, str]
"""Decode and presentation time in seconds, MD5 of the bare payload."""


def ffmpeg5() -> str:
    """Debian's ffmpeg: legacy FLV only."""
    return need("ffmpeg")


def ffmpeg9() -> str:
    """Knows Enhanced RTMP."""
    path: str = imageio_ffmpeg.get_ffmpeg_exe()
    return path


def quiet(program: str) -> list[str]:
    return [program, "-hide_banner", "-loglevel", "repeat+error", "-nostdin", "-y"]


def until(check: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
    """The first true value of `check`."""
    deadline = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(POLL_S)
    return value


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
        return body


def on_air(http: str, name: str) -> bool:
    """Whether somebody publishes `name`."""
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{http}/{name}.flv", method="HEAD"), timeout=10):
            return True
    except urllib.error.HTTPError as error:
        assert error.code == 404
        return False


def tracks(http: str, name: str) -> list[str]:
    """The codecs of a live stream's tracks, as the server tells players; none when nobody publishes it."""
    try:
        told = json.loads(fetch(f"{http}/json/{name}"))
    except urllib.error.HTTPError as error:
        assert error.code == 404
        return []
    return [track["codec"] for track in told["tracks"]]


def listens(url: str) -> bool:
    """Whether something accepts connections at this address."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port or 0), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def finish(command: Sequence[str], seconds: float = 60) -> str:
    """Run a program to its end; its stdout."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
                          check=False, env=ENVIRONMENT)  # fmt: skip
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[-3000:]}"
    return done.stdout


class Child:
    """A program in the background; what it says goes to a file and is shown when something is wrong."""

    def __init__(self, command: Sequence[str], log: Path, **options: Any) -> None:
        self.command = list(command)
        self._log = log
        with log.open("wb") as file:
            options.setdefault("stdin", subprocess.DEVNULL)
            options.setdefault("stdout", subprocess.DEVNULL)
            self.process = subprocess.Popen(self.command, stderr=file, env=ENVIRONMENT, **options)

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def alive(self) -> bool:
        return self.process.poll() is None

    def ask(self, number: int = signal.SIGINT) -> None:
        """Ask it to end."""
        if self.alive():
            self.process.send_signal(number)

    def gone(self, seconds: float = 15) -> int:
        """Wait for its end; kill it when that does not come. Its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self.process.wait(seconds)

    def stop(self, number: int = signal.SIGINT, seconds: float = 15) -> int:
        """Ask it to end; kill it when it does not."""
        self.ask(number)
        return self.gone(seconds)

    def __repr__(self) -> str:
        return f"{' '.join(self.command)}\n{self.said()[-3000:]}"


def stop_all(children: Sequence[Child]) -> None:
    """Ask all of them to end before waiting for the first."""
    for child in children:
        child.ask()
    for child in children:
        child.gone()


# Packets and their comparison.

_BARE = {
    # Parameter sets and delimiters live in different places in FLV and TS; everything else must be equal. ffmpeg counts
    # x265's signature among the parameter sets of H.265.
    "h264": "h264_mp4toannexb,filter_units=remove_types=7-9",
    "hevc": "hevc_mp4toannexb,filter_units=remove_types=32-35|39",
    "av1": "av1_metadata=td=remove",
    "aac": "aac_adtstoasc",
}


@dataclass
class Media:
    """What a file holds."""

    video: list[Row] = field(default_factory=list)
    audio: list[Row] = field(default_factory=list)
    errors: str = ""


def _rows(text: str) -> list[Row]:
    base = re.search(r"#tb 0: (\d+)/(\d+)", text)
    assert base, text
    tick = int(base[1]) / int(base[2])
    cells = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    # FFmpeg 9 makes empty packets of Enhanced RTMP's signalling messages.
    return [(int(c[1]) * tick, int(c[2]) * tick, c[5].strip()) for c in cells if int(c[4])]


def media_of(
    path: Path, codecs: tuple[str, str] = ("h264", "aac"), *, program: str = "", seconds: float = 0, decode: bool = True
) -> Media:
    """Every packet of a file's first video and audio track; `errors` is what ffmpeg said while it decoded them.

    `seconds` leaves out the end, which a reader that was stopped may have cut.
    """
    program = program or ffmpeg5()
    command = [*quiet(program), "-copyts", *(["-t", f"{seconds:g}"] if seconds else []), "-i", str(path)]
    for kind, codec in zip("va", codecs, strict=True):
        out = path.with_name(f"{path.name}.{kind}")
        command += ["-map", f"0:{kind}:0", "-c", "copy"]
        command += ["-bsf", _BARE[codec]] if codec in _BARE else []
        command += ["-f", "framehash", "-hash", "md5", str(out)]
    if decode:
        command += ["-map", "0:v:0", "-map", "0:a:0", "-f", "null", "-"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[-3000:]}"
    video, audio = (_rows(path.with_name(f"{path.name}.{kind}").read_text()) for kind in "va")
    # Uneven times of a camera, after rounding to frames; `differences` looks at the times of packets.
    errors = [line for line in done.stderr.splitlines() if "non monotonically increasing dts to muxer" not in line]
    return Media(video, audio, "\n".join(errors))


def places(got: Sequence[Row], sent: Sequence[Row]) -> list[int]:
    """Where in `sent` the packets of `got` stand, one after the other and without gaps.

    Nowhere when something is lost; more than once in a film that goes round and round.
    """
    hashes, source = [row[2] for row in got], [row[2] for row in sent]
    count = len(hashes)
    starts = [n for n in range(len(source) - count + 1) if source[n] == hashes[0]]
    return [n for n in starts if source[n : n + count] == hashes]


def runs(got: Sequence[Row], sent: Sequence[Row]) -> str:
    """The runs of source packets that `got` is made of, for the message of a failure."""
    index = {row[2]: number for number, row in enumerate(sent)}
    found: list[list[int]] = []
    for row in got:
        number = index.get(row[2], -1)
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return f"packets {found[:20]} of the source's {len(sent)}"


def shifts(got: Sequence[Row], sent: Sequence[Row], first: int) -> tuple[float, float]:
    """Smallest and largest difference between the times of `got` and those of the same packets in `sent`.

    Presentation times: Matroska, which ffmpeg records into, keeps no other.
    """
    found = [mine[1] - theirs[1] for mine, theirs in zip(got, sent[first:], strict=False)]
    return min(found), max(found)


def differences(got: Media, sent: Media, tolerance_s: float) -> str:
    """Empty when `got` is a piece of `sent`: the same packets without gaps, and one shift in time for all of them."""
    for rows in (got.video, got.audio):
        for before, after in pairwise(rows):
            if after[0] < before[0]:
                return f"decode time goes from {before[0]:.3f} to {after[0]:.3f} s"
    video, audio = places(got.video, sent.video), places(got.audio, sent.audio)
    if not video or not audio:
        return f"video: {runs(got.video, sent.video)}; audio: {runs(got.audio, sent.audio)}"
    found = []
    for v in video:
        for a in audio:
            low, high = zip(shifts(got.video, sent.video, v), shifts(got.audio, sent.audio, a), strict=True)
            found.append((max(high) - min(low), min(low), max(high)))
    spread, low_s, high_s = min(found)
    return "" if spread < tolerance_s else f"times are shifted by {low_s:.4f} to {high_s:.4f} s"


# Readers.


@dataclass
class Job:
    """What a reader is to do: read `url` into files at `out`, until there are `enough` bytes."""

    url: str
    out: Path
    enough: int
    codecs: tuple[str, str] = ("h264", "aac")
    """Of the first picture and the first sound, as ffprobe calls them."""

    @property
    def form(self) -> str:
        """The suffix of the address, or `rtmp`."""
        return "rtmp" if self.url.startswith("rtmp") else self.url.rpartition(".")[2]

    def log(self) -> Path:
        return self.out.with_suffix(".log")


def _record(job: Job, command: Sequence[str], path: Path, *, stdout: bool = False, number: int = signal.SIGINT,
            overhead: float = 1.0, **options: Any) -> Path:  # fmt: skip
    """Run a reader until its output is long enough, then ask it to end."""
    enough = int(job.enough * overhead)
    sink = path.open("wb") if stdout else None
    try:
        child = Child(command, job.log(), **({"stdout": sink} if sink else {}), **options)
    finally:
        if sink:
            sink.close()
    try:
        until(lambda: (path.exists() and path.stat().st_size >= enough) or not child.alive(), repr(child))
        assert child.alive(), f"it ended by itself\n{child!r}"
    except AssertionError as error:
        error.add_note(f"{path.stat().st_size if path.exists() else 0} of {enough} bytes\n{child!r}")
        raise
    finally:
        child.stop(number)
    return path


def _ffmpeg(job: Job, program: str) -> Path:
    path = job.out.with_suffix(".mkv")
    # FFmpeg 9 verifies unless it is told not to; tests/interop/test_tls.py tells both to.
    trust = ["-tls_verify", "0"] if job.url.startswith("rtmps") else []
    return _record(
        job, [*quiet(program), *trust, "-i", job.url, "-map", "0", "-c", "copy", "-flush_packets", "1", str(path)], path
    )


def read_ffmpeg(job: Job) -> Path:
    return _ffmpeg(job, ffmpeg5())


def read_ffmpeg9(job: Job) -> Path:
    return _ffmpeg(job, ffmpeg9())


def read_rtmpdump(job: Job) -> Path:
    path = job.out.with_suffix(".flv")
    return _record(job, [need("rtmpdump"), "-q", "--live", "-r", job.url, "-o", str(path)], path)


def read_curl(job: Job) -> Path:
    path = job.out.with_suffix(f".{job.form}")
    return _record(job, [need("curl"), "-sSNf", job.url, "-o", str(path)], path)


def read_vlc(job: Job) -> Path:
    # VLC refuses to run as root, and nobody may not write where the tests do: the stream comes through a pipe.
    in_ts = job.codecs == ("h264", "aac")
    path = job.out.with_suffix(".ts" if in_ts else ".mkv")
    mux = "ts" if in_ts else "ffmpeg{mux=matroska}"
    options: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    command = [need("cvlc"), "-q", "--no-sout-all", job.url, "--sout", f"#std{{access=file,mux={mux},dst=-}}"]
    return _record(job, ["/usr/bin/env", "HOME=/tmp", *command], path, stdout=True, overhead=1.4 if in_ts else 1,
                   cwd="/", **options)  # fmt: skip


_PARSERS = {
    "h264": "h264parse", "hevc": "h265parse", "av1": "av1parse", "vp9": "vp9parse", "aac": "aacparse",
    "opus": "opusparse", "ac3": "ac3parse", "flac": "flacparse",
}  # fmt: skip
_DEMUXERS = {"rtmp": "flvdemux", "flv": "flvdemux", "mp4": "qtdemux", "mkv": "matroskademux", "webm": "matroskademux"}


def read_gstreamer(job: Job) -> Path:
    in_ts = job.codecs == ("h264", "aac")
    path = job.out.with_suffix(".ts" if in_ts else ".mkv")
    queue = ["queue", "max-size-time=0", "max-size-buffers=0", "!"]
    mux = ["mpegtsmux"] if in_ts else ["matroskamux", "streamable=true"]
    source = ["souphttpsrc", f"location={job.url}", "is-live=true", "!"]
    if job.form == "rtmp":
        source = ["rtmp2src", f"location={job.url}", "!"]
        if job.url.startswith("rtmps"):
            # It has no option for an authority of our own.
            source.insert(2, "tls-validation-flags=no-flags")
    elif job.form == "m3u8":
        source = [*source[:2], "!", "hlsdemux", "!"]
    chain = [*source, _DEMUXERS.get(job.form, "tsdemux"), "name=d"]
    for codec in job.codecs:
        chain += ["d.", "!", *queue, _PARSERS[codec], "!", "m."]
    chain += [mux[0], "name=m", *mux[1:], "!", "filesink", f"location={path}", "buffer-mode=unbuffered"]
    return _record(job, [need("gst-launch-1.0"), "-q", "-e", *chain], path, overhead=1.4 if in_ts else 1)


def read_websockets(job: Job) -> Path:
    """Every binary message of a WebSocket, by the `websockets` library, as a file."""
    path = job.out.with_suffix(f".{job.form}")
    size = 0
    with path.open("wb") as file, websockets.sync.client.connect(job.url, max_size=2**26) as socket:
        told = json.loads(socket.recv(PATIENCE_S))
        assert told["type"] == "codec_data"
        assert [track["type"] for track in told["data"]["tracks"]] == ["video", "audio"]
        while size < job.enough:
            message = socket.recv(PATIENCE_S)
            if isinstance(message, bytes):
                size += file.write(message)
    return path


def read_m3u8(job: Job) -> Path:
    """The playlists by the m3u8 library, which checks what they say; the segments by their addresses."""
    master = m3u8.loads(fetch(job.url).decode(), uri=job.url)
    assert master.is_variant
    (variant,) = master.playlists
    assert variant.stream_info.bandwidth > 0
    assert len(variant.stream_info.codecs.split(",")) == 2
    if job.codecs == ("h264", "aac"):
        assert "mp4a.40.2" in variant.stream_info.codecs
    assert variant.stream_info.resolution
    path = job.out.with_suffix(".ts")
    have: dict[int, bytes] = {}
    previous = -1

    def poll() -> bool:
        nonlocal previous
        media = m3u8.loads(fetch(variant.absolute_uri).decode(), uri=variant.absolute_uri)
        assert not media.is_endlist
        assert media.media_sequence >= previous
        previous = media.media_sequence
        dates = [s.program_date_time for s in media.segments]
        assert dates == sorted(dates)
        for number, segment in enumerate(media.segments, media.media_sequence):
            # RFC 8216 4.3.3.1
            assert int(segment.duration + 0.5) <= media.target_duration
            if number not in have:
                have[number] = fetch(urljoin(variant.absolute_uri, segment.uri))
        return sum(map(len, have.values())) >= job.enough

    until(poll, "segments")
    assert sorted(have) == list(range(min(have), max(have) + 1))
    path.write_bytes(b"".join(have[number] for number in sorted(have)))
    return path


READERS: dict[str, Callable[[Job], Path]] = {
    "ffmpeg": read_ffmpeg,
    "ffmpeg9": read_ffmpeg9,
    "rtmpdump": read_rtmpdump,
    "curl": read_curl,
    "vlc": read_vlc,
    "gstreamer": read_gstreamer,
    "m3u8": read_m3u8,
    "websockets": read_websockets,
}

FORMS = {"rtmp": "", "flv": ".flv", "ts": ".ts", "hls": ".m3u8"}


# Publishers. Each gives the commands of a pipeline.


def loop(program: str, source: Path, *output: str, live: bool = True) -> list[str]:
    """A file over and over again."""
    return [*quiet(program), *(["-re"] if live else []), "-stream_loop", "-1", "-i", str(source), "-c", "copy", *output]


def gstreamer_publisher(url: str, copy: Path, *options: str) -> list[str]:
    """A camera and a microphone; `copy` gets the same FLV."""
    return [
        need("gst-launch-1.0"), "-q", "videotestsrc", "is-live=true", "pattern=snow", "!",
        "video/x-raw,width=160,height=120,framerate=25/1", "!", "x264enc", "tune=zerolatency", "speed-preset=ultrafast",
        "bitrate=400", "key-int-max=50", "!", "h264parse", "!", "m.", "audiotestsrc", "is-live=true", "!",
        "audio/x-raw,rate=44100,channels=2", "!", "voaacenc", "bitrate=64000", "!", "aacparse", "!", "m.", "flvmux",
        "name=m", "streamable=true", "!", "tee", "name=t", "t.", "!", "queue", "!", "rtmp2sink", f"location={url}",
        *options, "t.", "!", "queue", "!", "filesink", f"location={copy}", "buffer-mode=unbuffered",
    ]  # fmt: skip


def evotools(*args: str) -> list[str]:
    return [*EVOTOOLS, *args]
