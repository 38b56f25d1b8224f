"""RTMPS, HTTPS, users and keys among programs that nobody here wrote.

| program       | publishes                        | reads                               |
|---------------|----------------------------------|-------------------------------------|
| ffmpeg 5.1    | RTMPS, key, user:password@       | RTMPS, verified; HTTPS HLS          |
| FFmpeg 9      | RTMPS, verified                  | RTMPS, verified                     |
| curl          |                                  | HTTPS, verified                     |
| nginx-rtmp    | pushes, with a key in the URL    | pulls                               |
| evotools      | RTMPS, verified                  | RTMPS, verified                     |
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.authority import Authority
from tests.commands.program import ENVIRONMENT, EVOTOOLS, Serving, free_port
from tests.conftest import need
from tests.interop import peers
from tests.interop.peers import Child
from tests.together import together

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

CONFIG = """
[access]
trust_loopback = false

[users.alice]
password = "hush-99"
publish = ["live/*"]
read = ["vip/*"]

[streams."keyed/cam"]
publish_key = "pk-123456"

[streams."keyed/pushed"]
publish_key = "pk-123456"

[streams."vip/cam"]
publish_key = "pk-123456"
read_key = "rk-123456"
"""


class Place:
    """A server with a certificate, and the authority that signed it."""

    def __init__(self, folder: Path, *, challenge: bool) -> None:
        self.authority = Authority(folder / "authority")
        self.certificate = self.authority.certificate()
        self.ca = str(self.authority.ca)
        config = folder / f"evotools-{challenge}.toml"
        config.write_text(CONFIG)
        self.rtmps_port = free_port()
        self.server = Serving("-c", str(config), config=[
            f"tls.cert={self.certificate.cert}", f"tls.key={self.certificate.key}", "http.listen_tls=127.0.0.1:0",
            "hub.grace=1s", f"rtmp.listen_tls=127.0.0.1:{self.rtmps_port}", f"rtmp.challenge={str(challenge).lower()}",
        ])  # fmt: skip
        self.rtmps = f"rtmps://localhost:{self.rtmps_port}"
        self.https = f"https://localhost:{self.server.https_port}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("tls"), challenge=False)
    with made.server:
        yield made
    said = made.server.stderr.decode()
    for secret in ("hush-99", "pk-123456", "rk-123456"):
        assert secret not in said


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds with a key frame every second."""
    path = tmp_path_factory.mktemp("film") / "input.mp4"
    peers.finish([*peers.quiet(peers.ffmpeg5()), "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i",
                  "sine=r=48000", "-t", "10", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g",
                  "25", "-c:a", "aac", str(path)])  # fmt: skip
    return path


def publish(program: str, film: Path, url: str, log: Path, *options: str) -> Child:
    return Child(peers.loop(program, film, *options, "-f", "flv", url), log)


def on_air(place: Place, name: str, child: Child) -> None:
    peers.until(lambda: peers.on_air(place.server.http, name) or not child.alive(), f"{name} on air", 15)
    assert child.alive(), repr(child)


def check(got: Path, film: Path) -> None:
    media = peers.media_of(got)
    assert len(media.video) >= 45
    assert media.errors == ""
    assert peers.differences(media, peers.media_of(film, decode=False), 0.005) == ""


@pytest.mark.parametrize("program", [peers.ffmpeg5, peers.ffmpeg9], ids=["debian", "ffmpeg9"])
@together
def test_ffmpeg_over_rtmps_both_ways(place: Place, film: Path, tmp_path: Path, program: object) -> None:
    path = program()  # type: ignore[operator]
    name = f"live/{program.__name__}"  # type: ignore[attr-defined]
    verified = ["-tls_verify", "1", "-ca_file", place.ca]
    url = f"{place.rtmps}/{name}"
    child = publish(path, film, f"{url}?user=alice&pass=hush-99", tmp_path / "log", *verified)
    try:
        on_air(place, name, child)
        got = tmp_path / "got.flv"
        peers.finish([*peers.quiet(path), *verified, "-i", url, "-t", "3", "-c", "copy", str(got)])
        check(got, film)
    finally:
        child.stop()


@together
def test_curl_reads_and_verifies(place: Place, film: Path, tmp_path: Path) -> None:
    child = publish(peers.ffmpeg5(), film, f"{place.rtmps}/live/https?user=alice&pass=hush-99", tmp_path / "log")
    try:
        on_air(place, "live/https", child)
        got = tmp_path / "got.flv"
        curl = [need("curl"), "-sS", "--max-time", "4", "-o", str(got)]
        done = subprocess.run([*curl, "--cacert", place.ca, f"{place.https}/live/https.flv"], check=False, timeout=20)
        assert done.returncode == 28, "a live stream ends when the reader's time does"
        media = peers.media_of(got, seconds=2.5)
        assert len(media.video) >= 45
        done = subprocess.run([*curl, f"{place.https}/live/https.flv"], check=False, timeout=20, capture_output=True)
        assert done.returncode == 60, "an authority that curl does not know"
        playlist = peers.finish([need("curl"), "-sS", "--cacert", place.ca, f"{place.https}/live/https/index.m3u8"])
        assert playlist.startswith("#EXTM3U")
        ts = tmp_path / "got.ts"
        peers.finish([*peers.quiet(peers.ffmpeg5()), "-tls_verify", "1", "-ca_file", place.ca, "-i",
                      f"{place.https}/live/https/index.m3u8", "-t", "3", "-c", "copy", str(ts)])  # fmt: skip
        assert len(peers.media_of(ts).video) >= 45
    finally:
        child.stop()


@together
def test_relay_and_ingest_of_our_own_verify(place: Place, film: Path, tmp_path: Path) -> None:
    url = f"{place.rtmps}/keyed/cam?key=pk-123456"
    trusting = {**ENVIRONMENT, "SSL_CERT_FILE": place.ca}
    suspicious = {k: v for k, v in ENVIRONMENT.items() if k != "SSL_CERT_FILE"}
    refused = subprocess.run([*EVOTOOLS, "relay", "-i", str(film), "--reconnect", "0", url], env=suspicious,
                             capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
    assert refused.returncode == 4, refused.stderr
    assert "authority that is not trusted here" in refused.stderr
    assert "tls_verify=0" in refused.stderr
    assert "pk-123456" not in refused.stderr
    wrong = subprocess.run([*EVOTOOLS, "relay", "-i", str(film), f"{place.rtmps}/keyed/cam?key=pk-99999"], env=trusting,
                           capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
    assert wrong.returncode == 5, "a refused key is final, whatever --reconnect says"
    assert "pk-99999" not in wrong.stderr
    sending = subprocess.Popen([*EVOTOOLS, "relay", "-q", "-i", str(film), url], env=trusting)
    try:
        peers.until(lambda: peers.on_air(place.server.http, "keyed/cam"), "keyed/cam on air", 15)
        got = tmp_path / "got.ts"
        subprocess.run([*EVOTOOLS, "ingest", "-t", "3s", "-yo", str(got), f"{place.rtmps}/keyed/cam"], env=trusting,
                       timeout=30, check=True)  # fmt: skip
        check(got, film)
    finally:
        sending.terminate()
        sending.wait(15)


@together
def test_read_keys_over_rtmps_and_https(place: Place, film: Path, tmp_path: Path) -> None:
    child = publish(peers.ffmpeg5(), film, f"{place.rtmps}/vip/cam?token=pk-123456", tmp_path / "log")
    try:
        page = f"{place.https}/vip/cam.flv"

        def status(*more: str, query: str = "") -> str:
            return subprocess.run(
                [need("curl"), "-s", "--max-time", "1", "-o", os.devnull, "-w", "%{http_code}", "--cacert", place.ca,
                 *more, page + query], capture_output=True, text=True, timeout=20, check=False,
            ).stdout  # fmt: skip

        peers.until(lambda: status(query="?key=rk-123456") == "200" or not child.alive(), "vip/cam on air", 15)
        assert status() == "401"
        assert status(query="?key=pk-123456") == "401"
        assert status("-u", "alice:hush-98") == "401"
        assert status("-u", "alice:hush-99") == "200"
        assert status("-H", "Authorization: Bearer rk-123456") == "200"
        got = tmp_path / "got.flv"
        play = [*peers.quiet(peers.ffmpeg5()), "-i"]
        peers.finish([*play, f"{place.rtmps}/vip/cam?key=rk-123456", "-t", "3", "-c", "copy", str(got)])
        check(got, film)
        refused = subprocess.run([*play, f"{place.rtmps}/vip/cam", "-t", "1", "-f", "null", "-"], timeout=30,
                                 capture_output=True, check=False)  # fmt: skip
        assert refused.returncode
    finally:
        child.stop()


@together
def test_ffmpeg_answers_the_challenge(film: Path, tmp_path: Path) -> None:
    made = Place(tmp_path, challenge=True)
    with made.server:
        for who, allowed in (("alice:hush-99", True), ("alice:wrong-1", False), ("bob:hush-99", False)):
            url = f"{made.rtmps.replace('://', f'://{who}@')}/live/asked"
            child = publish(peers.ffmpeg5(), film, url, tmp_path / "log")
            try:
                peers.until(lambda: peers.on_air(made.server.http, "live/asked") or not child.alive(), who, 15)  # noqa: B023
                assert child.alive() is allowed, repr(child)
            finally:
                child.stop()
            if allowed:
                # Its stream is in its time of grace, and a player is not asked for anything.
                got = tmp_path / "got.flv"
                again = publish(peers.ffmpeg5(), film, url, tmp_path / "log2")
                on_air(made, "live/asked", again)
                peers.finish([*peers.quiet(peers.ffmpeg5()), "-i", f"{made.rtmps}/live/asked", "-t", "2", "-c", "copy",
                              str(got)])  # fmt: skip
                again.stop()
                made.server.wait_for("ended")
    assert b"hush-99" not in made.server.stderr


NGINX = """
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log warn;
events {{ worker_connections 128; }}
rtmp {{ access_log off; server {{ listen 127.0.0.1:{port};
  application live {{ live on; push "{push}"; }}
  application pulled {{ live on; pull "{pull}" name=here static; }}
}} }}
"""


@together
def test_nginx_pushes_with_a_key_and_pulls(place: Place, film: Path, tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "nginx.conf"
    server = place.server.rtmp
    config.write_text(NGINX.format(root=tmp_path, port=port, push=f"{server}/keyed/pushed?key=pk-123456",
                                   pull=f"{server}/keyed/pushed"))  # fmt: skip
    nginx = Child([need("nginx"), "-p", str(tmp_path), "-c", str(config)], tmp_path / "nginx.log")
    child = None
    try:
        child = Child(peers.evotools("relay", "-q", "-i", str(film), f"rtmp://127.0.0.1:{port}/live/x"),
                      tmp_path / "log")  # fmt: skip
        on_air(place, "keyed/pushed", child)
        got = tmp_path / "got.flv"
        play = [*peers.quiet(peers.ffmpeg5()), "-i", f"rtmp://127.0.0.1:{port}/pulled/here", "-t", "3", "-c", "copy"]
        peers.until(
            lambda: (
                subprocess.run([*play, str(got)], capture_output=True, timeout=30, check=False).returncode == 0
                and got.stat().st_size > 10_000
            ),
            "nginx pulls",
        )
        media = peers.media_of(got, decode=False)
        assert len(media.video) >= 45
    finally:
        for process in (child, nginx):
            if process is not None:
                process.stop(signal.SIGTERM)


@together
def test_a_new_certificate_by_sighup(tmp_path: Path) -> None:
    made = Place(tmp_path, challenge=False)

    def subject() -> str:
        asked = subprocess.run([need("openssl"), "s_client", "-connect", f"localhost:{made.rtmps_port}", "-CAfile",
                                made.ca, "-verify_return_error", "-servername", "localhost"],
                               input="", capture_output=True, text=True, timeout=20, check=True)  # fmt: skip
        return next(line for line in asked.stdout.splitlines() if line.startswith("subject=")).replace(" ", "")

    with made.server as server:
        assert subject() == "subject=CN=good"
        other = made.authority.certificate("renewed", rsa=True)
        made.certificate.key.write_bytes(other.key.read_bytes())
        # Half of it has been written: the old one stays.
        server.process.send_signal(signal.SIGHUP)
        assert "is not the key" in server.wait_for("reload")["error"]
        assert subject() == "subject=CN=good"
        made.certificate.cert.write_bytes(other.cert.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        assert server.wait_for("reload")["error"] is None
        assert subject() == "subject=CN=renewed"
