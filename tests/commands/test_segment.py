"""`segment` as a shell runs it: what is printed when, what a kill, a full disk or a reader that leaves make of it."""

import ctypes
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.commands.program import ENVIRONMENT, EVOTOOLS, Serving, error_line, run, shell, start, stop
from tests.conftest import need, run_ffmpeg
from tests.together import together

FORMATS = ["ts", "flv", "mkv", "mp4", "fmp4"]


def suffix(name: str) -> str:
    return name.replace("fmp4", "mp4")


def printed(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds with B-frames, a key frame each second, and sound."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=12", "-f", "lavfi", "-i", "sine=440:d=12:r=48000",
               "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", "-keyint_min", "25",
               "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", str(path))  # fmt: skip
    return path


def frames_of(*paths: str | Path, growing: bool = False, kinds: str = "va") -> dict[str, list[str]]:
    """MD5 of every packet, parameter sets and framing left out, by Debian's ffmpeg; the files one after the other.

    `growing`: nothing may be in one yet.
    """
    found: dict[str, list[str]] = {kind: [] for kind in kinds}
    for path in paths:
        for kind in kinds:
            bare = {"v": "h264_mp4toannexb,filter_units=remove_types=7-9", "a": "aac_adtstoasc"}[kind]
            done = subprocess.run(
                [need("ffmpeg"), "-v", "error", "-nostdin", "-i", str(path), "-map", f"0:{kind}:0?", "-c", "copy",
                 "-bsf", bare, "-f", "framehash", "-hash", "md5", "-"],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            if "does not contain any stream" in done.stderr or (growing and done.returncode):
                continue
            assert done.returncode == 0, done.stderr
            found[kind] += [line.split(",")[5].strip() for line in done.stdout.splitlines() if line[:1] != "#"]
    return found


# What is printed.


@together
def test_every_finished_file_is_a_line(film: Path, tmp_path: Path) -> None:
    done = run("segment", "-i", str(film), "--time", "4s", f"{tmp_path}/part-%03d.ts")
    assert printed(done) == [f"{tmp_path}/part-{n:03d}.ts" for n in range(3)]
    assert done.stderr == b""
    assert frames_of(*printed(done)) == frames_of(film)


@together
def test_names_stay_as_typed(film: Path, tmp_path: Path) -> None:
    statuses, out, err = shell(
        f"cd {tmp_path} && evotools segment -i {film} --time 6s './a b/%d.flv' | while read -r f; do [ -s \"$f\" ] && "
        'echo "<$f>"; done'
    )
    assert (statuses, out.decode().splitlines(), err) == ([0, 0], ["<./a b/0.flv>", "<./a b/1.flv>"], b"")


@together
def test_a_test_stream_through_a_pipe(tmp_path: Path) -> None:
    statuses, out, err = shell(
        f"evotools videogen --size 64x64 --fps 25 --gop 25 --no-realtime --duration 30s "
        f"| evotools segment --time 10s --list {tmp_path}/l.csv {tmp_path}/%02d.ts"
    )
    assert (statuses, err) == ([0, 0], b"")
    assert out.decode().split() == [f"{tmp_path}/0{n}.ts" for n in range(3)]
    assert (tmp_path / "l.csv").read_text().splitlines()[1] == "01.ts,10.000000,20.000000"


@together
def test_names_that_are_no_utf8(film: Path, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9-%d.ts"
    done = subprocess.run([*EVOTOOLS, "segment", "-i", str(film), "--time", "6s", odd], capture_output=True, timeout=60,
                          check=True, env=ENVIRONMENT)  # fmt: skip
    assert done.stdout.splitlines() == [odd.replace(b"%d", b"0"), odd.replace(b"%d", b"1")]
    assert os.path.exists(done.stdout.splitlines()[1])


@together
def test_events_tell_more(film: Path, tmp_path: Path) -> None:
    done = run("segment", "--events", "stderr", "-i", str(film), "--time", "6s", f"{tmp_path}/%d.mp4")
    told = re.findall(rb'\{"event": "file", .*?"path": "([^"]*)", "bytes": (\d+), "duration_s": ([0-9.]+)', done.stderr)
    assert [(p.decode(), int(b)) for p, b, _ in told] == [(p, Path(p).stat().st_size) for p in printed(done)]
    assert [round(float(d)) for _, _, d in told] == [6, 6]


# What is refused.


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["%d.ts"], "nothing says when the next file begins; use --every 5m"),
        (["--time", "4s", "rec.ts"], "'rec.ts' names one file only; put a counter"),
        (["--time", "4s", "%d.xyz"], "the suffix does not tell the format"),
        (["--time", "4s", "a?%d.ts"], "a pattern has no question mark"),
        (["--time", "4s", "rec/"], "is a folder"),
        (["--time", "4", "--keep", "10G", "%d.ts"], "use a number of files (10), an age (2h, 7d) or a size with its B"),
        (["--time", "4s", "--timestamps", "keep", "%d.mp4"], "timestamps of mp4 files cannot be 'keep'"),
        (["--time", "4s", "--list", "l.xspf", "%d.mp4"], "--list l.xspf: the suffix does not tell its format"),
        (["--time", "4s", "--start-number", "last", "%d.mp4"], "'last' is no number to start with"),
    ],
)
@together
def test_usage(film: Path, tmp_path: Path, options: list[str], text: str) -> None:
    command = [*EVOTOOLS, "segment", "-i", str(film), *options]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, cwd=tmp_path, env=ENVIRONMENT)
    assert done.returncode == 2
    assert text in error_line(done)
    assert done.stdout == b""
    assert not list(tmp_path.iterdir())


@together
def test_the_input_is_never_one_of_the_files(film: Path, tmp_path: Path) -> None:
    source = tmp_path / "rec-7.mkv"
    shutil.copy(film, source)
    for extra in (["--force"], ["--start-number", "next"], ["--keep", "1"]):
        done = run("segment", "-i", str(source), "--key", *extra, f"{tmp_path}/./rec-%d.mkv")
        assert done.returncode == 2
        assert "names its own input" in error_line(done)
    assert source.read_bytes() == film.read_bytes()


@together
def test_files_that_exist(film: Path, tmp_path: Path) -> None:
    pattern = f"{tmp_path}/%d.ts"
    assert len(printed(run("segment", "-i", str(film), "--time", "6s", pattern))) == 2
    done = run("segment", "-i", str(film), "--time", "6s", pattern)
    assert done.returncode == 2
    assert error_line(done).endswith(
        f"{tmp_path}/0.ts exists already; --start-number next goes on after it, --force overwrites [exit 2]"
    )
    done = run("segment", "-i", str(film), "--time", "6s", "--start-number", "next", pattern)
    assert printed(done) == [f"{tmp_path}/2.ts", f"{tmp_path}/3.ts"]
    assert printed(run("segment", "-i", str(film), "--time", "6s", "-y", pattern)) == [
        f"{tmp_path}/{n}.ts" for n in (0, 1)
    ]


@together
def test_a_codec_without_a_place(tmp_path: Path) -> None:
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=2", "-c:v", "libvpx", "-deadline", "realtime",
               str(tmp_path / "x.webm"))  # fmt: skip
    done = run("segment", "-i", str(tmp_path / "x.webm"), "--time", "1s", f"{tmp_path}/%d.ts")
    assert done.returncode == 6
    assert "cannot carry video vp8" in done.stderr.decode()
    assert printed(run("segment", "-i", str(tmp_path / "x.webm"), "--time", "9s", f"{tmp_path}/%d.webm"))


# How it ends.


class Live:
    """A camera: a paced test stream through `ingest`'s pipe into `segment`, as two children."""

    def __init__(self, *options: str, gop: str = "12") -> None:
        self.camera = start("videogen", "--size", "64x64", "--fps", "25", "--gop", gop, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL)  # fmt: skip
        self.process = start("segment", *options, stdin=self.camera.stdout, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)  # fmt: skip
        assert self.camera.stdout is not None
        self.camera.stdout.close()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().rstrip("\n")

    def end(self) -> None:
        for process in (self.camera, self.process):
            if process.poll() is None:
                process.kill()
            process.wait(20)

    def rest(self) -> tuple[list[str], str]:
        """What else it prints, and what it says."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.wait(30)
        # Behind what `line` has taken already.
        return self.process.stdout.read().decode().splitlines(), self.process.stderr.read().decode()


@pytest.fixture(scope="module")
def live() -> Iterator[Callable[..., Live]]:
    made: list[Live] = []

    def begin(*options: str, **more: Any) -> Live:
        made.append(Live(*options, **more))
        return made[-1]

    yield begin
    for one in made:
        one.end()


def test_a_line_comes_when_its_file_is_complete_and_not_later(live: Callable[..., Live], tmp_path: Path) -> None:
    camera = live("--every", "1s", f"{tmp_path}/%H%M%S.ts")
    # The first one may be short; the next ones last a second.
    names = [camera.line() for _ in range(3)]
    times = [time.time()]
    size = Path(names[-1]).stat().st_size
    names.append(camera.line())
    times.append(time.time())
    assert 0.5 < times[1] - times[0] < 1.9
    assert Path(names[-2]).stat().st_size == size
    began = [time.strftime("%H%M%S", time.localtime(times[1] - back)) for back in (1.0, 1.5, 2.0, 2.5)]
    assert Path(names[-1]).stem in began
    assert len(frames_of(names[-1])["v"]) == pytest.approx(25, abs=13)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@together
def test_a_signal_finishes_the_file(live: Callable[..., Live], tmp_path: Path, number: int) -> None:
    camera = live("--time", "200ms", f"{tmp_path}/%d.mp4", gop="5")
    assert camera.line() == f"{tmp_path}/0.mp4"
    camera.camera.send_signal(number)
    camera.process.send_signal(number)
    lines, said = camera.rest()
    assert camera.process.returncode == 128 + number
    assert said == ""
    # Ordinary files, index and all.
    assert lines[-1:] == [str(max(tmp_path.iterdir(), key=lambda p: int(p.stem)))]
    assert b"moov" in Path(lines[-1]).read_bytes()


@together
def test_a_kill_leaves_every_file_playable(live: Callable[..., Live], tmp_path: Path) -> None:
    cameras = {
        name: live("--time", "1s", "--list", f"{tmp_path}/{name}.csv", "--format", name,
                   f"{tmp_path}/{name}/%d.{suffix(name)}", gop="25")
        for name in FORMATS
    }  # fmt: skip
    deadline = time.monotonic() + 40
    for name, camera in cameras.items():
        first, second = camera.line(), tmp_path / name / f"1.{suffix(name)}"
        # Some of a later file has been written. A fragment of MP4 is there once it is complete.
        while not second.exists() or len(frames_of(second, growing=True, kinds="v")["v"]) < 12:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        camera.process.kill()
        lines, _ = camera.rest()
        listed = [line.split(",")[0] for line in (tmp_path / f"{name}.csv").read_text().splitlines()]
        # A line of text may be under way when the kill comes, but no list names a file that is not complete.
        assert [f"{tmp_path}/{path}" for path in listed][: 1 + len(lines)] == [first, *lines]
        files = sorted((tmp_path / name).iterdir(), key=lambda p: int(p.stem))
        assert len(files) - len(listed) <= 1
        assert all(len(frames_of(tmp_path / path, kinds="v")["v"]) == 25 for path in listed)
        for path in files[:2]:
            run_ffmpeg("-i", str(path), "-map", "0:v", "-f", "null", "-")


@together
def test_a_reader_that_leaves(live: Callable[..., Live], tmp_path: Path) -> None:
    """`| head -1`: the recording ends with a complete file, quietly, as SIGPIPE ends programs."""
    camera = live("--time", "200ms", f"{tmp_path}/%d.mp4", gop="5")
    assert camera.line()
    assert camera.process.stdout is not None
    camera.process.stdout.close()
    assert camera.process.wait(30) == -signal.SIGPIPE
    assert camera.process.stderr is not None
    assert camera.process.stderr.read() == b""
    files = sorted(tmp_path.iterdir(), key=lambda p: int(p.stem))
    assert all(b"moov" in path.read_bytes() for path in files)


@together
def test_a_reader_that_pauses_holds_up_nothing(live: Callable[..., Live], tmp_path: Path) -> None:
    camera = live("--key", f"{tmp_path}/%d.ts", gop="5")
    deadline = time.monotonic() + 30
    while len(list(tmp_path.iterdir())) < 6:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert camera.line() == f"{tmp_path}/0.ts"


@together
def test_a_lost_input_costs_its_exit_code_and_no_frame(film: Path, tmp_path: Path) -> None:
    with Serving("--stream", f"film={film}") as server:
        process = start("segment", "-i", f"{server.rtmp}/film", "--time", "1s", f"{tmp_path}/%d.mkv",
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        assert process.stdout is not None
        first = process.stdout.readline().decode().strip()
        server.process.kill()
        process.wait(30)
        assert process.stderr is not None
        files, said = [first, *process.stdout.read().decode().splitlines()], process.stderr.read()
    assert process.returncode in (1, 4), said
    assert said.count(b"\n") == 1
    got, sent = frames_of(*files, kinds="v")["v"], frames_of(film, kinds="v")["v"]
    at = sent.index(got[0])
    assert got == (sent * 20)[at : at + len(got)]


# Places that cannot be written.


def in_small_disk(folder: Path, script: str, size: str = "300k") -> subprocess.CompletedProcess[bytes]:
    """Run a script with `$DISK` on a disk of that size that only it sees."""
    probe = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(folder)], capture_output=True,
                           check=False, timeout=20)  # fmt: skip
    if probe.returncode:
        pytest.fail(f"a full disk cannot be tried: mounting is not allowed here ({probe.stderr.decode().strip()})")
    disk = folder / "disk"
    disk.mkdir()
    return subprocess.run(
        ["unshare", "-rm", "bash", "-c", f"mount -t tmpfs -o size={size} tmpfs {disk} && DISK={disk}; {script}"],
        capture_output=True, timeout=60, check=False, env=ENVIRONMENT,
    )  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
@together
def test_a_full_disk(film: Path, tmp_path: Path, name: str) -> None:
    """Twelve seconds do not fit: an error names the file, all others are whole, and what is there plays."""
    done = in_small_disk(
        tmp_path,
        f"{' '.join(EVOTOOLS)} segment -i {film} --key --format {name} $DISK/%02d.{suffix(name)}; code=$?; "
        f"cp -r $DISK {tmp_path}/kept; exit $code",
    )
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.decode().splitlines()
    assert re.search(
        rf"/disk/\d\d\.{suffix(name)}: cannot be (written|created): No space left on device \[exit 1\]$", line
    )
    finished = [Path(p).name for p in done.stdout.decode().splitlines()]
    there = sorted(p.name for p in (tmp_path / "kept").iterdir())
    assert len(finished) >= 2
    assert there[: len(finished)] == finished
    assert len(there) - len(finished) <= 1
    got, sent = frames_of(*[tmp_path / "kept" / n for n in finished]), frames_of(film)
    assert got["v"] == sent["v"][: len(finished) * 25]
    assert got["a"] == sent["a"][: len(got["a"])]


@together
def test_a_full_disk_does_not_stop_the_others(film: Path, tmp_path: Path) -> None:
    done = in_small_disk(
        tmp_path,
        f'{" ".join(EVOTOOLS)} relay -i {film} "segment:$DISK/%02d.ts?key" {tmp_path}/whole.ts',
    )
    assert done.returncode == 3, done.stderr
    assert re.search(rb"/disk/\d\d\.ts: cannot be (written|created): No space left on device", done.stderr)
    assert frames_of(tmp_path / "whole.ts") == frames_of(film)


@together
def test_a_disk_that_is_read_only(film: Path, tmp_path: Path) -> None:
    done = in_small_disk(
        tmp_path,
        f"mount -o remount,ro $DISK; {' '.join(EVOTOOLS)} segment -i {film} --key $DISK/deep/%02d.ts",
    )
    assert done.returncode == 4
    assert re.search(r"/disk: cannot be written to; choose another folder", error_line(done))


def _without_privileges() -> None:
    """Root that obeys the permissions of files."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(24, 1)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE


def test_a_folder_of_somebody_else(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    command = [*EVOTOOLS, "segment", "-i", str(film), "--key", f"{folder}/%d.ts"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, env=ENVIRONMENT,
                          preexec_fn=_without_privileges)  # fmt: skip
    assert done.returncode == 4
    assert "locked: cannot be written to" in error_line(done)
    assert not list(folder.iterdir())


@together
def test_a_folder_that_goes_away_while_recording(live: Callable[..., Live], tmp_path: Path) -> None:
    folder = tmp_path / "rec"
    camera = live("--key", f"{folder}/%d.ts", gop="5")
    assert camera.line() == f"{folder}/0.ts"
    folder.rename(tmp_path / "gone")
    folder.write_text("in the way")
    lines, said = camera.rest()
    assert camera.process.returncode == 1
    assert re.fullmatch(r"evotools segment: .*/\d+\.ts: cannot be created: Not a directory \[exit 1\]\n", said)
    # The file that was being written is complete all the same.
    assert [Path(line).name for line in lines] == [f"{n}.ts" for n in range(1, len(lines) + 1)]
    assert sorted(p.name for p in (tmp_path / "gone").iterdir()) == [f"{n}.ts" for n in range(len(lines) + 1)]


# Beside a server.


@together
def test_a_recording_inside_serve(tmp_path: Path) -> None:
    config, listed = tmp_path / "serve.toml", tmp_path / "l.csv"
    config.write_text(
        "[[routes]]\nrun = \"ingest 'test:?size=64x64&gop=5' | segment --time 400ms --keep 3 "
        f'--list {listed} {tmp_path}/rec/%Y/%H%M%S-%03d.mp4"\n'
    )
    with Serving("--config", str(config)) as server:
        deadline = time.monotonic() + 30
        while not (listed.exists() and re.search(r"-00[4-9]\.mp4", listed.read_text())):
            assert time.monotonic() < deadline
            assert server.process.poll() is None
            time.sleep(0.05)
    assert re.search(r"rec/\d{4}/\d{6}-001\.mp4: finished, [01]\.\d+ s, ", server.stderr.decode())
    names = [line.split(",")[0] for line in listed.read_text().splitlines()]
    assert len(names) == 3
    # The last file was finished when the server went.
    assert all(b"moov" in (tmp_path / name).read_bytes() for name in names)
    assert {str(p.relative_to(tmp_path)) for p in (tmp_path / "rec").rglob("*.mp4")} == set(names)


@together
def test_serve_checks_recordings(tmp_path: Path) -> None:
    config = tmp_path / "serve.toml"
    config.write_text('[[routes]]\nrun = "ingest test: | segment --every 5m rec.ts"\n')
    done = run("serve", "--config", str(config), "--check")
    assert done.returncode == 2
    assert "names one file only" in done.stderr.decode()


@together
def test_a_command_becomes_a_route(tmp_path: Path) -> None:
    done = run(
        "segment", "--print-config", "-i", "hub:live/cam", "--every", "5m", "--keep", "7d", f"{tmp_path}/%H%M.mp4"
    )
    assert done.stdout.decode() == (
        f'[[routes]]\nrun = "segment -i hub:live/cam --every 5m --keep 7d {tmp_path}/%H%M.mp4"\n'
    )


def md5(paths: Sequence[Path]) -> list[str]:
    return [hashlib.md5(path.read_bytes()).hexdigest() for path in paths]


@pytest.mark.parametrize("name", FORMATS)
@together
def test_the_same_film_makes_the_same_files(film: Path, tmp_path: Path, name: str) -> None:
    files = []
    for turn in ("a", "b"):
        done = run(
            "segment", "-i", str(film), "--every", "5s", "--format", name, f"{tmp_path}/{turn}/%d.{suffix(name)}"
        )
        files.append(md5([Path(path) for path in printed(done)]))
    assert files[0] == files[1]
    assert len(files[0]) == 3


@together
def test_stopping_is_quick(live: Callable[..., Live], tmp_path: Path) -> None:
    camera = live("--time", "10s", f"{tmp_path}/%d.ts")
    while not list(tmp_path.iterdir()):
        time.sleep(0.05)
    camera.camera.terminate()
    began = time.monotonic()
    assert stop(camera.process, signal.SIGTERM) == 143
    assert time.monotonic() - began < 8
