"""`evotools package` as a child process: files, live streams, several inputs, and everything that goes wrong."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.program import ENVIRONMENT, EVOTOOLS, Serving, error_line, run, shell
from tests.conftest import need, run_ffmpeg
from tests.manifests import Watch, look
from tests.together import together

LIVE = "test:?size=160x90&fps=25&gop=10"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds in two sizes, a key frame every second; one with other key frames; one in MPEG-TS."""
    folder = tmp_path_factory.mktemp("clips")
    sound = ("-f", "lavfi", "-i", "aevalsrc=0.3*sin(880*t):s=48000")
    for name, size, gop in (("big", "320x180", 25), ("small", "160x90", 25), ("other", "160x90", 40)):
        run_ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25", *sound, "-t", "8", "-c:v", "libx264", "-preset",
                   "veryfast", "-g", str(gop), "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest",
                   str(folder / f"{name}.mp4"))  # fmt: skip
    run_ffmpeg("-i", str(folder / "big.mp4"), "-c", "copy", str(folder / "big.ts"))
    return folder


class Live:
    """`package` as a child on a live source; `--events` tells how far it is."""

    def __init__(self, folder: Path, *args: str, source: str = LIVE) -> None:
        read, write = os.pipe()
        self.process = subprocess.Popen(
            [*EVOTOOLS, "--events", f"fd:{write}", "package", "-i", source, "--segment", "400ms", *args, str(folder)],
            pass_fds=(write,), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
        )  # fmt: skip
        os.close(write)
        self._events = os.fdopen(read)

    def until(self, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next event that `done` accepts."""
        for line in self._events:
            event: dict[str, Any] = json.loads(line)
            if done(event):
                return event
        raise AssertionError(self.process.communicate()[1].decode())

    def segment(self, number: int) -> None:
        """Wait until the picture of this number is complete."""
        self.until(lambda e: e["event"] == "segment" and "/v0/" in e["path"] and e["number"] >= number)

    def end(self, sign: int) -> tuple[int, list[str], str]:
        """(status, lines on stdout, stderr)."""
        self.process.send_signal(sign)
        out, errors = self.process.communicate(timeout=20)
        self._events.close()
        return self.process.returncode, out.decode().split(), errors.decode()


@together
def test_a_file(clips: Path, tmp_path: Path) -> None:
    done = run("package", "-i", str(clips / "big.mp4"), "--segment", "2s", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split() == [str(tmp_path / "out/index.m3u8"), str(tmp_path / "out/manifest.mpd")]
    assert done.stderr == b""
    found = look(tmp_path / "out")
    assert found.ended
    assert [len(p.lines) for p in found.playlists.values()] == [4, 4]
    again = run("package", "-i", str(clips / "big.mp4"), str(tmp_path / "out"))
    assert again.returncode == 2
    assert "finished presentation; --force replaces it" in error_line(again)


@together
def test_two_files_cut_alike(clips: Path, tmp_path: Path) -> None:
    done = run("package", "-i", str(clips / "big.mp4"), "-i", str(clips / "small.mp4"), "--segment", "2s",
               "--require-aligned", str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    found = look(tmp_path)
    assert sorted(found.playlists) == ["a0", "v0", "v1"]
    durations = [[line.duration_s for line in found.segments(name)] for name in ("v0", "v1")]
    assert durations[0] == durations[1]


@together
def test_two_files_that_are_not_cut_alike(clips: Path, tmp_path: Path) -> None:
    args = ("package", "-i", str(clips / "big.mp4"), "-i", str(clips / "other.mp4"), "--segment", "2s")
    done = run(*args, str(tmp_path / "one"))
    assert done.returncode == 0
    told = done.stderr.decode()
    assert re.search(r"other\.mp4: .* at \d\.\d{3} s .*nearest: \d\.\d{3} s away", told)
    assert "cuts are not where those of" in told
    required = run(*args, "--require-aligned", str(tmp_path / "two"))
    assert required.returncode == 3
    assert look(tmp_path / "two").ended


@together
def test_an_input_that_is_not_there_writes_nothing(clips: Path, tmp_path: Path) -> None:
    done = run("package", "-i", str(clips / "big.mp4"), "-i", "/no/such/small.mp4", str(tmp_path / "out"))
    assert done.returncode == 4
    assert "/no/such/small.mp4: No such file" in error_line(done)
    assert not list((tmp_path / "out").glob("*/*"))


@together
def test_an_input_that_breaks_off_costs_exit_3(clips: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    data = (clips / "small.mp4").read_bytes()
    faststart = tmp_path / "fast.mp4"
    faststart.write_bytes(data)
    run_ffmpeg("-i", str(faststart), "-c", "copy", "-movflags", "+faststart", str(broken))
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    done = run("package", "-i", str(clips / "big.mp4"), "-i", str(broken), "--segment", "2s", str(tmp_path / "out"))
    found = look(tmp_path / "out")
    assert found.ended
    assert len(found.segments("v0")) == 4
    assert 0 < len(found.segments("v1")) < 4
    # Readers of cut files may take what is there as all there is, and say so.
    assert done.returncode in (0, 3)
    assert b"broken.mp4" in done.stderr


@together
def test_a_pipe_is_an_event(clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    status, out, errors = shell(f"cat {clips / 'big.ts'} | evotools package --segment 2s {folder}")
    assert status == [0, 0], errors
    assert out.decode().split() == [str(folder / "index.m3u8"), str(folder / "manifest.mpd")]
    assert "EVENT" in (folder / "v0/playlist.m3u8").read_text()
    assert look(folder).ended


@together
def test_timestamps_that_jump(clips: Path, tmp_path: Path) -> None:
    """Back by 90 s in the middle: one discontinuity, one time line, and nothing lost but the picture at the seam, of
    which the transport stream does not tell whether it is whole."""
    parts = []
    for start in ("100", "10"):
        part = tmp_path / f"{start}.ts"
        run_ffmpeg("-i", str(clips / "big.mp4"), "-t", "3", "-c", "copy", "-output_ts_offset", start, str(part))
        parts.append(part.read_bytes())
    film = tmp_path / "film.ts"
    film.write_bytes(b"".join(parts))
    done = run("package", "-i", str(film), "--segment", "1s", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    found = look(tmp_path / "out")
    for name in ("v0", "a0"):
        assert [line.discontinuity for line in found.segments(name)].count(True) == 1
        assert sum(line.duration_s for line in found.segments(name)) == pytest.approx(6.0, abs=0.2)
    sent, got = (
        subprocess.run(
            [need("ffprobe"), "-v", "error", "-select_streams", "v", "-count_packets", "-show_entries",
             "stream=nb_read_packets", "-of", "csv=p=0", str(source)], capture_output=True, text=True, check=True,
        ).stdout.split()[0]
        for source in (film, tmp_path / "out/index.m3u8")
    )  # fmt: skip
    assert int(sent) - 1 <= int(got) <= int(sent)


@together
def test_ffmpeg_pipes_in(clips: Path, tmp_path: Path) -> None:
    line = f"{need('ffmpeg')} -v error -i {clips / 'big.mp4'} -c copy -f mpegts - | evotools package -f ts {tmp_path}/o"
    status, out, errors = shell(line)
    assert status == [0, 0], errors
    assert out.decode().split() == [f"{tmp_path}/o/index.m3u8"]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["-f", "ts", "--dash"], 2, "DASH is written as fMP4 only"),
        (["--no-hls", "--no-dash"], 2, "neither HLS nor DASH"),
        (["--type", "vid"], 2, "--type"),
        (["-f", "mkv"], 2, "--format"),
        (["--segment", "soon"], 2, "not a duration"),
        (["--window", "much"], 2, "not a duration"),
        (["--drop", "all"], 6, "no track"),
    ],
)
@together
def test_one_line_and_the_documented_code(clips: Path, tmp_path: Path, args: list[str], code: int, words: str) -> None:
    done = run("package", "-i", str(clips / "big.mp4"), *args, str(tmp_path / "out"))
    line = error_line(done)
    assert words in line
    assert done.returncode == code
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.m*"))


@together
def test_the_same_input_twice_is_a_mistake(clips: Path, tmp_path: Path) -> None:
    done = run("package", "-i", str(clips / "big.mp4"), "-i", str(clips / "big.mp4"), str(tmp_path / "out"))
    assert done.returncode == 2
    assert "big.mp4: an input is named twice" in error_line(done)
    done = run("package", "-i", str(clips / "big.mp4"), "-i", f"{clips}/./big.mp4", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "named twice" in error_line(done)


@together
def test_inputs_may_differ_in_a_secret(tmp_path: Path) -> None:
    """Two streams of one server: what is shown of them is the same."""
    inputs = ["-i", "rtmp://127.0.0.1:1/live/a", "-i", "rtmp://127.0.0.1:1/live/b"]
    done = run("package", *inputs, str(tmp_path / "out"))
    assert done.returncode == 4
    assert b"named twice" not in done.stderr


@together
def test_a_folder_is_not_replaced_while_it_is_read(clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert run("package", "-i", str(clips / "big.mp4"), str(folder)).returncode == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name in ("index.m3u8", "v0/1.m4s"):
        done = run("package", "--force", "-i", str(folder / name), str(folder))
        assert done.returncode == 2
        assert "lies in the folder" in error_line(done)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@together
def test_what_no_player_takes_is_refused(tmp_path: Path) -> None:
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x90:r=25", "-t", "1", "-c:v", "mpeg2video", str(tmp_path / "old.ts"))
    done = run("package", "-i", str(tmp_path / "old.ts"), str(tmp_path / "out"))
    assert done.returncode == 6
    assert "no player takes it in fMP4, --format ts has it" in done.stderr.decode()


@together
def test_a_stream_stopped_by_a_signal_is_whole(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.segment(2)
    status, out, errors = live.end(signal.SIGTERM)
    assert (status, errors) == (143, "")
    assert out == [str(tmp_path / "index.m3u8"), str(tmp_path / "manifest.mpd")]
    found = look(tmp_path)
    assert found.ended
    assert 'type="static"' in (tmp_path / "manifest.mpd").read_text()


@together
def test_killed_and_started_again(tmp_path: Path) -> None:
    with Watch(tmp_path) as watch:
        live = Live(tmp_path)
        live.segment(3)
        assert live.end(signal.SIGKILL)[0] == -signal.SIGKILL
        before = look(tmp_path)
        live = Live(tmp_path)
        live.segment(5)
        status, out, errors = live.end(signal.SIGINT)
    assert (status, errors, len(out)) == (130, "", 2)
    assert watch.looks > 10
    after = look(tmp_path)
    old, new = before.segments("v0"), after.segments("v0")
    assert [line.path for line in new[: len(old)]] == [line.path for line in old]
    assert [line.path for line in new] == [f"v0/{n}.m4s" for n in range(1, len(new) + 1)]
    assert [line.discontinuity for line in new].index(True) == len(old)
    assert not list(tmp_path.rglob("*.tmp"))


@together
def test_an_on_demand_run_that_was_killed_is_done_again(clips: Path, tmp_path: Path) -> None:
    live = Live(tmp_path, "--type", "vod")
    live.segment(2)
    live.end(signal.SIGKILL)
    assert (tmp_path / "v0/1.m4s").exists()
    assert not list(tmp_path.glob("*.m*"))
    done = run("package", "-i", str(clips / "big.mp4"), str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert look(tmp_path).ended
    assert sorted(p.name for p in (tmp_path / "v0").iterdir()) == ["1.m4s", "2.m4s", "init-1.mp4", "playlist.m3u8"]


@together
def test_two_processes_in_one_folder(clips: Path, tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.segment(1)
    done = run("package", "-i", LIVE, "-t", "2s", str(tmp_path))
    assert done.returncode == 5
    assert "another process is packaging into it" in error_line(done)
    live.end(signal.SIGTERM)


def in_a_small_world(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a mount name space of its own; `evotools` is this one."""
    namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    lines = f'set -e; evotools() {{ {" ".join(EVOTOOLS)} "$@"; }}\n{script}'
    return subprocess.run(
        [need("unshare"), *namespace[1:], "bash", "-c", lines, "bash", *args], env=ENVIRONMENT, text=True,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("args", "size"), [("", "460k"), ("-f ts", "460k"), ("--type event", "200k")])
@together
def test_a_full_disk(clips: Path, tmp_path: Path, args: str, size: str) -> None:
    small, copy = tmp_path / "small", tmp_path / "copy"
    small.mkdir()
    done = in_a_small_world(
        f'mount -t tmpfs -o size={size} none "$1"\n'
        f'evotools package -i "$2" --segment 1s {args} "$1/out" || echo "exit $?"\n'
        'cp -a "$1/out" "$3"',
        str(small), str(clips / "big.mp4"), str(copy),
    )  # fmt: skip
    assert "exit 1" in done.stdout, (done.stdout, done.stderr)
    assert "No space left on device; what was complete before stays playable" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    found = look(copy)
    assert found.segments("v0")
    assert found.ended is (args != "--type event")
    assert not list(copy.rglob("*.tmp"))


@together
def test_a_folder_that_is_read_only(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "ro").mkdir()
    done = in_a_small_world(
        'mount -t tmpfs -o ro none "$1"; evotools package -i "$2" "$1/out" || echo "exit $?"; '
        'evotools package -i "$2" "$1" || echo "exit $?"',
        str(tmp_path / "ro"), str(clips / "big.mp4"),
    )  # fmt: skip
    assert done.stdout.split("\n") == ["exit 4", "exit 4", ""], done.stderr
    assert "Read-only file system" in done.stderr


def publish(source: str, target: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*EVOTOOLS, "-q", "relay", "-i", source, target], env=ENVIRONMENT)


@together
def test_live_from_a_server(clips: Path, tmp_path: Path) -> None:
    with Serving() as serving, Watch(tmp_path) as watch:
        source = f"{serving.rtmp}/live/cam"
        publisher = publish(LIVE, source)
        live = Live(tmp_path, "--window", "3s", "--reconnect", "forever", "--timeout", "20s", source=source)
        try:
            live.segment(2)
            # The publisher goes away and another one, of another size, takes its place.
            publisher.terminate()
            publisher.wait(20)
            publisher = publish(LIVE.replace("160x90", "320x180"), source)
            live.segment(6)
        finally:
            publisher.terminate()
            publisher.wait(20)
        assert live.end(signal.SIGTERM)[0] == 143
    assert watch.looks > 10
    lines = [line for (name, _), line in sorted(watch.seen.items()) if name == "v0"]
    assert sum(line.discontinuity for line in lines) == 1
    assert len({line.init for line in lines}) == 2
    assert look(tmp_path).ended


@together
def test_serve_runs_it_as_a_route(tmp_path: Path) -> None:
    printed = run("package", "-i", LIVE, "--segment", "400ms", "--print-config", str(tmp_path / "out"))
    assert printed.returncode == 0, printed.stderr
    config = tmp_path / "evotools.toml"
    config.write_text(printed.stdout.decode())
    with Serving("-c", str(config)):
        until = time.monotonic() + 20
        while not (tmp_path / "out/manifest.mpd").exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert look(tmp_path / "out").segments("v0")
    assert look(tmp_path / "out").ended


@together
def test_print_config_of_several_inputs_is_refused(clips: Path, tmp_path: Path) -> None:
    done = run("package", "-i", "a.mp4", "-i", "b.mp4", "--print-config", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "one input only" in error_line(done)


@together
def test_dry_run_touches_nothing(clips: Path, tmp_path: Path) -> None:
    done = run("package", "-i", str(clips / "big.mp4"), "--dry-run", str(tmp_path / "out"))
    assert done.returncode == 0
    assert not (tmp_path / "out").exists()
    assert b"big.mp4" in done.stdout


@together
def test_a_bar_on_a_terminal(clips: Path, tmp_path: Path) -> None:
    """And none elsewhere, nor with -q."""
    import fcntl
    import pty
    import struct
    import termios

    def shown(*options: str) -> str:
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        args = ("package", "-i", str(clips / "big.mp4"), "-t", "2s", "--type", "live", "--segment", "1s", "--force")
        process = subprocess.Popen(
            [*EVOTOOLS, *options, *args, str(tmp_path / "out")],
            stdout=subprocess.DEVNULL,
            stderr=child,
            env=ENVIRONMENT,
        )
        os.close(child)
        text = b"".join(_all(parent))
        assert process.wait(20) == 0
        return text.decode()

    bar = shown()
    assert re.search(r"\d+ %\|█.*\| 0:0\d of 0:02  \S+x  0:0\d left", bar), bar
    assert shown("-q") == ""


def _all(fd: int) -> Iterator[bytes]:
    try:
        while data := os.read(fd, 4096):
            yield data
    except OSError:
        pass
    os.close(fd)
