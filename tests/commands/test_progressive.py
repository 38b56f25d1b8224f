"""Progressive HTTP as the shell meets it: curl and evotools against a server with a live stream and a folder."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.program import Serving, error_line, run, shell, start, stop
from tests.conftest import need
from tests.together import together

pytestmark = pytest.mark.timeout(120)

CLIP = "test:?size=64x64&seed=1"
SECRET = b"not for readers"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a film of 10 s, and links that lead to what lies beside it."""
    outside = tmp_path_factory.mktemp("shelf")
    folder = outside / "films"
    folder.mkdir()
    done = run("relay", "--no-pace", "-i", f"{CLIP}&duration=10s&gop=50&realtime=0", str(folder / "film.mp4"))
    assert done.returncode == 0, done.stderr
    (outside / "secret.mp4").write_bytes(SECRET)
    (outside / "more").mkdir()
    (outside / "more" / "secret.mp4").write_bytes(SECRET)
    (folder / "link.mp4").symlink_to(outside / "secret.mp4")
    (folder / "below").symlink_to(outside / "more")
    (folder / "again.mp4").symlink_to("film.mp4")
    return folder


@pytest.fixture(scope="module")
def server(films: Path) -> Iterator[Serving]:
    config = films.parent / "evotools.toml"
    config.write_text(f'[files.films]\nfolder = "{films}"\n[streams."live/cam"]\nsource = "{CLIP}"\n')
    with Serving("-c", str(config)) as serving:
        serving.wait_for("published")
        yield serving


def curl(*arguments: str, code: int = 0) -> bytes:
    done = subprocess.run([need("curl"), "-sS", *arguments], capture_output=True, timeout=30, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def codecs(report: bytes) -> list[str]:
    told: dict[str, Any] = json.loads(report)
    return [track["codec"] for track in told["tracks"]]


@pytest.mark.parametrize("suffix", ["flv", "ts", "mp4", "mkv", "aac"])
@together
def test_a_live_stream_goes_through_a_pipe_of_curl(server: Serving, suffix: str) -> None:
    statuses, report, errors = shell(
        f"{need('curl')} -sN {server.http}/live/cam.{suffix} | evotools probe --json --duration 1s -"
    )
    # curl is cut off by the reader that has seen enough.
    assert statuses == [23, 0], errors
    assert codecs(report) == (["aac"] if suffix == "aac" else ["h264", "aac"])


@pytest.mark.parametrize("suffix", ["webm", "ogg", "mp3"])
@together
def test_what_a_container_cannot_carry_is_told(server: Serving, suffix: str) -> None:
    url = f"{server.http}/live/cam.{suffix}"
    assert curl("-f", url, code=22) == b""
    assert b"h264" in curl(url)
    done = run("relay", "-i", url, "null:")
    assert done.returncode == 5
    assert f"no track that {suffix} can carry" in error_line(done)


@together
def test_tracks_are_chosen_in_the_address(server: Serving) -> None:
    for wish, left in (("video=0&audio=none", ["h264"]), ("video=none", ["aac"])):
        done = run("probe", "--json", "--duration", "1s", f"{server.http}/live/cam.mkv?{wish}")
        assert done.returncode == 0, done.stderr
        assert codecs(done.stdout) == left
    done = run("relay", "-i", f"{server.http}/live/cam.flv?video=nonsense!", "null:")
    assert done.returncode == 5
    assert "a track selection cannot be read" in error_line(done)


@together
def test_relay_takes_a_stream_to_a_file_and_to_another_server(server: Serving, tmp_path: Path) -> None:
    target = tmp_path / "cam.ts"
    done = run("relay", "-t", "1s", "-i", f"{server.http}/live/cam.flv", str(target), f"{server.http}/live/copy.mkv")
    assert done.returncode == 0, done.stderr
    assert codecs(run("probe", "--json", str(target)).stdout) == ["h264", "aac"]


@together
def test_a_part_of_a_film_in_another_container(server: Serving, tmp_path: Path) -> None:
    target = tmp_path / "part.ts"
    done = run("relay", "-i", f"{server.http}/films/film.flv?start=5&duration=3", str(target))
    assert done.returncode == 0, done.stderr
    told = json.loads(run("probe", "--json", str(target)).stdout)
    # From the key frame at 4 s to 8 s.
    assert told["duration_s"] == pytest.approx(4.0, abs=0.1)


@together
def test_ranges_and_heads_of_a_film(server: Serving, films: Path) -> None:
    url, data = f"{server.http}/films/film.mp4", (films / "film.mp4").read_bytes()
    assert curl("-r", "100-199", url) == data[100:200]
    assert curl("-r", "-50", url) == data[-50:]
    assert curl("-0", url) == data
    assert curl("-o", "/dev/null", "-w", "%{http_code}", "-r", f"{len(data)}-", url) == b"416"
    head = curl("-I", url).decode().lower()
    assert "content-type: video/mp4" in head and f"content-length: {len(data)}" in head
    for suffix, mime in (
        ("flv", "video/x-flv"),
        ("ts", "video/mp2t"),
        ("mkv", "video/x-matroska"),
        ("aac", "audio/aac"),
    ):
        assert f"content-type: {mime}\r\n" in curl("-I", f"{server.http}/films/film.{suffix}").decode().lower()
        assert f"content-type: {mime}\r\n" in curl("-I", f"{server.http}/live/cam.{suffix}").decode().lower()


@together
def test_links_that_lead_out_of_a_folder_are_not_followed(server: Serving, films: Path) -> None:
    for name in ("link.mp4", "link.flv", "below/secret.mp4", "../secret.mp4", "%2e%2e/secret.mp4", "none.mp4"):
        told = curl("--path-as-is", "-w", "%{http_code}", f"{server.http}/films/{name}")
        assert told[-3:] in (b"404", b"400") and SECRET not in told
    assert curl(f"{server.http}/films/again.mp4") == (films / "film.mp4").read_bytes()
    done = run("relay", "-i", f"{server.http}/films/link.mp4", "null:")
    assert done.returncode == 7
    assert "there is no such file" in error_line(done)


@together
def test_publishing_from_a_pipe_with_curl_and_with_relay(server: Serving) -> None:
    statuses, said, errors = shell(
        f"evotools videogen -s 64x64 -t 2s | {need('curl')} -sS -T - {server.http}/live/piped.ts"
    )
    assert statuses == [0, 0], errors
    assert b"'live/piped' was published" in said
    publisher = start("relay", "-i", CLIP, f"{server.http}/live/pushed.flv")
    try:
        while server.wait_for("published")["stream"] != "live/pushed":
            pass
        taken = run("relay", "-i", f"{CLIP}&duration=1s", f"{server.http}/live/pushed.ts")
        assert taken.returncode == 5
        assert "409" in error_line(taken)
    finally:
        assert stop(publisher) == 143


@together
def test_names_that_are_refused(server: Serving) -> None:
    assert run("relay", "-i", f"{CLIP}&duration=1s", f"{server.http}/films/new.ts").returncode == 5
    missing = run("relay", "-i", f"{server.http}/live/nobody.flv", "null:")
    assert missing.returncode == 7
    assert "nobody publishes" in error_line(missing)


@together
def test_a_key_that_is_refused_is_final_and_not_shown(tmp_path: Path) -> None:
    config = tmp_path / "evotools.toml"
    config.write_text('[access]\ntrust_loopback = false\n[streams."live/keyed"]\npublish_key = "pk-13579"\n')
    with Serving("-c", str(config)) as server:
        for key, code in (("pk-00000", 5), ("pk-13579", 0)):
            done = run("relay", "-i", f"{CLIP}&duration=1s", f"{server.http}/live/keyed.ts?key={key}")
            assert done.returncode == code, done.stderr
            assert key.encode() not in done.stderr
    assert b"pk-" not in server.stderr
