"""Destinations and the server as the shell sees them: names of services, keys that are refused, certificates."""

from pathlib import Path

import pytest

from tests.authority import Authority
from tests.commands.program import Serving, error_line, run


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


CLIP = ["test:?size=64x64&duration=2s&seed=1"]


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
    for cert, key, words in [
        (good.cert, other.key, "is not the key of the certificate"),
        ("/no/such.pem", good.key, "tls.cert: /no/such.pem: No such file"),
        ("", good.key, "tls.key: there is no tls.cert beside it"),
        (good.cert, authority.locked(good), "has a password"),
    ]:
        for more in (["--check"], []):
            done = run("serve", *more, "--set", f"tls.cert={cert}", "--set", f"tls.key={key}", timeout=20)
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
