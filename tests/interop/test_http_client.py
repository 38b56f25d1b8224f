"""Our HTTP client with servers that nobody here wrote (nginx, ffmpeg, Python's own), and with `evotools serve`."""

import http.server
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from evotools.containers.mpegts.demux import TsDemuxer
from evotools.media.frame import Frame
from tests.commands.program import Serving, error_line, free_port, run, start
from tests.conftest import need, run_ffmpeg
from tests.interop.peers import Child, until
from tests.together import together


def probe(url: str, *args: str) -> dict[str, Any]:
    done = run("-v", "probe", "--json", *args, url)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    report["frames"] = {t["codec"]: t["frames"] for t in report["tracks"]}
    report["log"] = done.stderr.decode()
    return report


def answers(port: int) -> bool:
    import socket

    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


class Nginx:
    """Files with ranges, uploads by PUT, and a name and password for /closed."""

    def __init__(self, folder: Path) -> None:
        self.www = folder / "www"
        self.port = free_port()
        self.tls_port = free_port()
        (self.www / "closed").mkdir(parents=True)
        subprocess.run(
            [need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), "-subj", "/CN=x",
             "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
        (folder / "users").write_text("bob:{PLAIN}word\n")
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "conf").write_text(f"""
            {"user root;" if os.getuid() == 0 else ""} daemon off; pid {folder}/pid; error_log {folder}/errors;
            worker_processes 1; events {{}}
            http {{
                access_log off; client_max_body_size 0; {temporary}
                server {{
                    listen 127.0.0.1:{self.port}; listen 127.0.0.1:{self.tls_port} ssl; root {self.www};
                    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
                    dav_methods PUT; create_full_put_path on;
                    location /closed {{ auth_basic x; auth_basic_user_file {folder}/users; }}
                    location /plain {{ alias {self.www}; max_ranges 0; }}
                    location /moved {{ return 308 /a.ts; }}
                    location /busy {{ add_header Retry-After 60 always; return 503; }}
                }}
            }}
        """)
        self.certificate = folder / "cert.pem"
        self.process = subprocess.Popen([need("nginx"), "-c", str(folder / "conf"), "-e", str(folder / "errors")])
        self.url = f"http://127.0.0.1:{self.port}"
        until(lambda: answers(self.port), "nginx")


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory, media_dir: Path) -> Iterator[Nginx]:
    server = Nginx(tmp_path_factory.mktemp("nginx"))
    for name in ("a.ts", "a.flv", "a.mkv", "end.mp4", "a.avi", "a.m3u8", "closed/a.ts"):
        run_ffmpeg("-i", str(media_dir / "bigbuckbunny.mp4"), "-c", "copy", str(server.www / name))
    options = ("-movflags", "frag_keyframe+empty_moov")
    run_ffmpeg("-i", str(media_dir / "bigbuckbunny.mp4"), "-c", "copy", *options, str(server.www / "frag.mp4"))
    run_ffmpeg("-i", str(media_dir / "bigbuckbunny.mp4"), "-vn", "-c", "copy", str(server.www / "a.aac"))
    yield server
    server.process.terminate()
    server.process.wait(20)


@pytest.fixture(scope="module")
def frames(media_dir: Path) -> dict[str, int]:
    found: dict[str, int] = probe(str(media_dir / "bigbuckbunny.mp4"))["frames"]
    return found


@pytest.mark.parametrize(
    ("path", "container", "ours"),
    [
        ("a.ts", "ts", True), ("a.flv", "flv", True), ("a.mkv", "matroska", True), ("end.mp4", "mp4", True),
        ("frag.mp4", "mp4", True), ("plain/end.mp4", "mp4", True), ("moved", "ts", True), ("a.avi", "avi", False),
        ("a.m3u8", "hls", False),
    ],
)  # fmt: skip
@together
def test_files_of_nginx(nginx: Nginx, frames: dict[str, int], path: str, container: str, ours: bool) -> None:
    report = probe(f"{nginx.url}/{path}")
    assert (report["container"], report["frames"], report["live"]) == (container, frames, False)
    assert ("through libav" not in report["log"]) is ours


@together
def test_refusals_of_nginx(nginx: Nginx, frames: dict[str, int]) -> None:
    for path, code, words in (("none.ts", 7, "404"), ("closed/a.ts", 5, "401"), ("busy", 4, "503")):
        done = run("ingest", f"{nginx.url}/{path}", "-o", "null:")
        assert done.returncode == code, done.stderr
        assert words in error_line(done)
    uri = f"http://bob:word@127.0.0.1:{nginx.port}/closed/a.ts"
    assert probe(uri)["frames"] == frames
    done = run("-vv", "ingest", "http://bob:wrong-word@" + uri.partition("@")[2], "-o", "null:")
    assert done.returncode == 5
    assert b"wrong-word" not in done.stderr


@together
def test_https_of_nginx(nginx: Nginx, frames: dict[str, int]) -> None:
    url = f"https://127.0.0.1:{nginx.tls_port}/a.flv"
    done = run("ingest", url, "-o", "null:")
    assert done.returncode == 4
    assert "self-signed" in error_line(done)
    assert "ca_file=" in error_line(done)
    for trusting, env in ((url, {"SSL_CERT_FILE": str(nginx.certificate)}), (f"{url}?ca_file={nginx.certificate}", {})):
        done = run("probe", "--json", trusting, env=env)
        assert {t["codec"]: t["frames"] for t in json.loads(done.stdout)["tracks"]} == frames


@pytest.mark.parametrize("suffix", ["ts", "flv", "mkv", "mp4"])
@together
def test_nginx_stores_what_is_sent(nginx: Nginx, frames: dict[str, int], suffix: str) -> None:
    name = f"sent/x.{suffix}"
    done = run("relay", "--no-pace", "-i", str(nginx.www / "a.mkv"), f"{nginx.url}/{name}")
    assert done.returncode == 0, done.stderr
    counted = subprocess.run(
        [need("ffprobe"), "-v", "error", "-count_packets", "-show_entries", "stream=codec_name,nb_read_packets",
         "-of", "json", str(nginx.www / name)],
        check=True, capture_output=True,
    )  # fmt: skip
    assert {s["codec_name"]: int(s["nb_read_packets"]) for s in json.loads(counted.stdout)["streams"]} == frames


@together
def test_nginx_refuses(nginx: Nginx) -> None:
    done = run("relay", "-i", "test:?size=64x64&duration=20s", f"{nginx.url}/a.ts?method=POST")
    assert done.returncode == 5, done.stderr
    assert "405" in error_line(done)


@pytest.mark.parametrize("container", ["flv", "mpegts", "matroska", "adts"])
@together
def test_a_live_stream_of_ffmpeg(nginx: Nginx, frames: dict[str, int], container: str, tmp_path: Path) -> None:
    """ffmpeg waits for one listener and sends it a chunked body."""
    url = f"http://127.0.0.1:{free_port()}/live"
    tracks = ["-vn"] if container == "adts" else []
    ffmpeg = [need("ffmpeg"), "-v", "error", "-nostdin", "-i", str(nginx.www / "a.mkv"), *tracks, "-c", "copy"]
    child = Child([*ffmpeg, "-f", container, "-listen", "1", url], tmp_path / "log")
    try:
        # A trial connection would be its one listener.
        done = until(lambda: unless_refused(run("probe", "--json", url)), "ffmpeg")
    finally:
        child.stop()
    assert done.returncode == 0, (done.stderr, child)
    report = json.loads(done.stdout)
    assert report["live"] is True
    expected = {k: v for k, v in frames.items() if not tracks or k == "aac"}
    assert {t["codec"]: t["frames"] for t in report["tracks"]} == expected


def unless_refused(done: subprocess.CompletedProcess[bytes]) -> subprocess.CompletedProcess[bytes] | None:
    return None if b"refused" in done.stderr else done


@together
def test_ffmpeg_takes_what_is_sent(nginx: Nginx, frames: dict[str, int], tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/x.ts"
    copy = tmp_path / "copy.ts"
    ffmpeg = [need("ffmpeg"), "-v", "error", "-nostdin", "-listen", "1", "-i", url, "-c", "copy", str(copy)]
    child = Child(ffmpeg, tmp_path / "log")
    try:
        done = run("relay", "--no-pace", "--reconnect", "20", "-i", str(nginx.www / "a.ts"), f"{url}?method=POST")
        until(lambda: not child.alive(), "ffmpeg")
    finally:
        child.stop()
    assert done.returncode == 0, (done.stderr, child)
    assert probe(str(copy))["frames"] == frames


@pytest.mark.parametrize("suffix", ["flv", "ts", "mp4", "mkv"])
@together
def test_live_streams_of_our_server(suffix: str) -> None:
    with Serving("--stream", "live/cam=test:?size=64x64") as server:
        report = probe(f"{server.http}/live/cam.{suffix}", "--duration", "1s")
    assert report["live"] is True
    assert report["frames"]["h264"] == 25
    assert report["log"].count("reading") == 1


@pytest.mark.parametrize("suffix", ["flv", "ts", "mp4", "mkv"])
@together
def test_publishing_to_our_server(suffix: str) -> None:
    with Serving() as server:
        publisher = start("relay", "-i", "test:?size=64x64", f"{server.http}/live/cam.{suffix}", stderr=subprocess.PIPE)
        server.wait_for("published")
        assert probe(f"{server.http}/live/cam.flv", "--duration", "1s")["frames"]["h264"] == 25
        second = run("relay", "-i", "test:?size=64x64", f"{server.http}/live/cam.{suffix}")
        assert second.returncode == 5, second.stderr
        assert "409" in error_line(second)
        publisher.send_signal(signal.SIGTERM)
        _, log = publisher.communicate(timeout=20)
        assert publisher.returncode == 143, log
        server.wait_for("unpublished")


@together
def test_a_server_pulls_from_a_server_and_again_after_a_restart() -> None:
    """`[streams.NAME] source = "http://…"`: viewers stay while the origin is away, and their time goes on."""
    port = free_port()
    origin = [f"http.listen=127.0.0.1:{port}"]
    demuxer = TsDemuxer()
    times: list[float] = []

    def watch(pipe: IO[bytes], count: int) -> None:
        wanted = len(times) + count
        while len(times) < wanted:
            data = os.read(pipe.fileno(), 1 << 16)
            assert data, "the viewer left"
            times.extend(e.dts_s for e in demuxer.feed(data) if isinstance(e, Frame) and e.track.codec == "h264")

    with Serving("--stream", f"edge/cam=http://127.0.0.1:{port}/live/cam.flv", config=["hub.grace=30s"]) as edge:
        with Serving("--stream", "live/cam=test:?size=64x64", config=origin):
            edge.wait_for("published")
            # The edge asks again with growing pauses: its silence depends on how long a server takes to start.
            viewer = start("ingest", "--timeout", "60s", f"{edge.http}/edge/cam.ts", stdout=subprocess.PIPE)
            assert viewer.stdout is not None
            watch(viewer.stdout, 25)
        with Serving("--stream", "live/cam=test:?size=64x64", config=origin):
            watch(viewer.stdout, 50)
        viewer.stdout.close()
        viewer.terminate()
        viewer.wait(20)
    assert times == sorted(times)


@together
def test_an_old_server_of_python(nginx: Nginx, frames: dict[str, int]) -> None:
    """HTTP/1.0, no ranges."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(nginx.www))

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        for name in ("a.ts", "end.mp4"):
            assert probe(f"http://127.0.0.1:{server.server_port}/{name}")["frames"] == frames
        server.shutdown()
