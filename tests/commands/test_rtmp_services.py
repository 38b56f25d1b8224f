"""Destinations and the server as the shell sees them: names of services, keys that are refused, certificates."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.authority import Authority
from tests.commands.program import Serving, error_line, run, run_each, start


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


CLIP = ["test:?size=64x64&duration=1s&seed=1"]


def test_a_service_without_its_key() -> None:
    done = run("relay", "-i", *CLIP, "twitch:")
    assert done.returncode == 2
    assert "export TWITCH_KEY" in error_line(done)


def test_a_plan_names_the_service_and_hides_the_key() -> None:
    done = run("--dry-run", "relay", "-i", *CLIP, "youtube:", "facebook:", "twitch:typed-key-77",
               env={"YOUTUBE_KEY": "hush-yt-1", "FACEBOOK_KEY": "FB-hush-2?s_bl=1&a=Ab"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = (done.stdout + done.stderr).decode()
    assert "hush" not in said
    assert "typed-key" not in said


def test_a_key_that_is_refused_is_final(tmp_path: Path) -> None:
    """However often it may reconnect; and the server says why in one line without the key."""
    config = tmp_path / "evotools.toml"
    config.write_text('[access]\ntrust_loopback = false\n[streams."live/show"]\npublish_key = "pk-123456"\n')
    with Serving("-c", str(config)) as server:
        for key, code in (("pk-654321", 5), ("pk-123456", 0)):
            done = run("relay", "-i", *CLIP, "--reconnect", "1000", f"{server.rtmp}/live/show?key={key}", timeout=30)
            assert done.returncode == code, done.stderr
            assert key.encode() not in done.stderr
        refused = run("relay", "-i", *CLIP, f"{server.rtmp}/live/other", timeout=30)
        assert refused.returncode == 5
    for key in (b"pk-654321", b"pk-123456"):
        assert key not in server.stderr


def test_certificates_that_cannot_be_used_stop_the_server_before_it_opens_a_port(authority: Authority) -> None:
    good, other = authority.certificate(), authority.certificate("other")
    cases = [
        (good.cert, other.key, "is not the key of the certificate"),
        ("/no/such.pem", good.key, "tls.cert: /no/such.pem: No such file"),
        ("", good.key, "tls.key: there is no tls.cert beside it"),
        (good.cert, authority.locked(good), "has a password"),
    ]
    told = [words for _, _, words in cases for _ in range(2)]
    ended = run_each(
        *(
            ["serve", *more, "--set", f"tls.cert={cert}", "--set", f"tls.key={key}"]
            for cert, key, _ in cases
            for more in (["--check"], [])
        )
    )
    for done, words in zip(ended, told, strict=True):
        assert done.returncode == 2
        assert words in error_line(done)


def test_the_banner_and_the_events_name_the_ports(authority: Authority) -> None:
    good = authority.certificate("banner")
    tls = [f"tls.cert={good.cert}", f"tls.key={good.key}", "rtmp.listen_tls=127.0.0.1:0", "http.listen_tls=127.0.0.1:0"]
    with Serving(config=tls) as server:
        assert server.https_port
        https = server.https_port
    assert f"https://HOST:{https}/".encode() in server.stderr
    assert b"rtmps://HOST:" in server.stderr


@pytest.mark.parametrize("challenge", [True, False])
def test_nothing_secret_is_said_however_much_is_said(authority: Authority, tmp_path: Path, challenge: bool) -> None:
    """Passwords by challenge and in queries, keys and tokens, right and wrong: neither end shows one, at `-vv`."""
    config = tmp_path / "evotools.toml"
    good = authority.certificate("talk")
    config.write_text(
        f'[tls]\ncert = "{good.cert}"\nkey = "{good.key}"\n'
        f'[rtmp]\nlisten_tls = "127.0.0.1:0"\nchallenge = {str(challenge).lower()}\n'
        '[http]\nlisten_tls = "127.0.0.1:0"\n'
        '[access]\ntrust_loopback = false\n[users.alice]\npassword = "hush-password-1"\npublish = ["*"]\n'
        '[streams."live/show"]\npublish_key = "hush-key-22"\nread_key = "hush-read-333"\n'
    )
    said = b""
    read, write = os.pipe()
    server = start("--no-config", "-vv", "--events", f"fd:{write}", "serve", "--set", "rtmp.listen=127.0.0.1:0",
                   "--set", "http.listen=127.0.0.1:0", "-c", str(config), pass_fds=(write,),
                   stderr=subprocess.PIPE)  # fmt: skip
    os.close(write)
    with os.fdopen(read, "rb") as events:
        port = next(e["rtmp_port"] for e in map(json.loads, events) if e["event"] == "ready")
        place = f"127.0.0.1:{port}/live"
        challenged = (
            (0, f"rtmp://alice:hush-password-1@{place}/a"),
            (5, f"rtmp://alice:hush-wrong-4444@{place}/a"),
            (5, f"rtmp://nobody:hush-wrong-4444@{place}/a"),
        )
        asked = (
            (0, f"rtmp://{place}/a?user=alice&pass=hush-password-1"),
            (0, f"rtmp://{place}/show?key=hush-key-22"),
            (5, f"rtmp://{place}/show?key=hush-wrong-4444"),
            (5, f"rtmp://{place}/show%3Fkey=hush-wrong-4444"),
        )
        for code, uri in challenged if challenge else asked:
            done = run("-vv", "--events", "stderr", "relay", "-i", "test:?size=64x64&duration=200ms", uri, timeout=30)
            assert done.returncode == code, (uri, done.stderr)
            said += done.stdout + done.stderr
        said += run("-vv", "ingest", f"rtmp://{place}/show?key=hush-wrong-4444", "--reconnect", "0", timeout=30).stderr
        server.terminate()
        said += events.read()
    said += server.communicate(timeout=20)[1]
    assert b"live/a" in said
    assert b"hush-" not in said, [line for line in said.splitlines() if b"hush-" in line]
