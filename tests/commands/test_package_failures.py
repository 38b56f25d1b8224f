"""What can go wrong with `evotools package`: each time the documented exit code, one clear line, and everything that
was complete still playable. Full and read-only disks, and the lock, are in `test_package`.
"""

import json
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.program import ENVIRONMENT, EVOTOOLS, error_line, run
from tests.conftest import run_ffmpeg
from tests.manifests import NS, Watch, assert_whole, look, mpd_segments, seconds
from tests.together import together

SIZE = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=25", "-f", "lavfi", "-i", "sine=440:r=48000")
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-g", "25")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films with something about them."""
    folder = tmp_path_factory.mktemp("clips")
    base = str(folder / "base.ts")
    run_ffmpeg(*SIZE, "-t", "8", *X264, "-c:a", "aac", base)
    later = ("-i", base, "-c", "copy", "-f", "mpegts")
    run_ffmpeg(*later, "-output_ts_offset", "1000", str(folder / "later.ts"))
    # 33 bits of 90 kHz end at 95443.7 s.
    run_ffmpeg(*later, "-output_ts_offset", "95440", "-muxdelay", "0", str(folder / "wrap.ts"))
    run_ffmpeg("-i", base, "-itsoffset", "5", "-i", base, "-map", "0:v", "-map", "1:a", "-c", "copy",
               str(folder / "late-sound.ts"))  # fmt: skip
    run_ffmpeg("-itsoffset", "5", "-i", base, "-i", base, "-map", "0:v", "-map", "1:a", "-c", "copy",
               str(folder / "late-picture.ts"))  # fmt: skip
    run_ffmpeg(*SIZE, "-t", "50", *X264[:-1], "9999", "-c:a", "aac", str(folder / "no-keys.ts"))
    run_ffmpeg(*SIZE, "-t", "4", "-c:v", "mpeg4", "-c:a", "aac", str(folder / "mpeg4.mkv"))
    run_ffmpeg(*SIZE[:4], "-t", "2", "-c:v", "mpeg4", str(folder / "mpeg4-alone.mkv"))
    run_ffmpeg("-i", base, "-c", "copy", str(folder / "base.mp4"))
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", *SIZE[4:], "-t", "8", *X264, "-c:a", "aac",
               "-output_ts_offset", "8", str(folder / "larger.ts"))  # fmt: skip
    data = Path(base).read_bytes()
    for name, *parts in (("jump", "base", "later"), ("back", "later", "base"), ("change", "base", "larger")):
        (folder / f"{name}.ts").write_bytes(b"".join((folder / f"{part}.ts").read_bytes() for part in parts))
    (folder / "cut.ts").write_bytes(data[: len(data) // 2 + 77])
    (folder / "tables.ts").write_bytes(data[: 3 * 188])
    (folder / "noise.bin").write_bytes(random.Random(1).randbytes(200_000))
    (folder / "empty.ts").write_bytes(b"")
    whole = (folder / "base.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    return folder


def package(source: Path, folder: Path, *args: str) -> subprocess.CompletedProcess[bytes]:
    return run("package", "-i", str(source), "--segment", "2s", *args, str(folder))


def frames(playlist: Path) -> int:
    """How many pictures can be decoded, without a word of complaint."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(playlist), "-map", "0:v", "-fps_mode", "passthrough"]
    done = subprocess.run([*command, "-f", "framecrc", "-"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return sum(not line.startswith("#") for line in done.stdout.splitlines())


# The source is not what it should be.


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("noise.bin", 6, "noise.bin: "),
        ("empty.ts", 6, "empty.ts: the file is empty"),
        ("tables.ts", 7, "tables.ts: ended without any media"),
        ("cut.mp4", 6, "cut.mp4: "),
        ("mpeg4-alone.mkv", 6, "cannot carry video mpeg4 160x90 25 fps: no player takes it in fMP4"),
        ("nothing-here.ts", 4, "No such file or directory"),
    ],
)
@together
def test_no_media(clips: Path, tmp_path: Path, name: str, code: int, words: str) -> None:
    folder = tmp_path / "out"
    done = run("-q", "package", "-i", str(clips / name), str(folder))
    assert done.returncode == code
    assert words in error_line(done)
    assert done.stdout == b""
    assert not [p for p in folder.rglob("*") if not p.name.startswith(".")]
    # Nothing is in the way of the next try.
    assert package(clips / "base.ts", folder).returncode == 0


@pytest.mark.parametrize(("data", "code"), [(b"", 7), (bytes(1000), 6)])
@together
def test_a_pipe_that_ends_at_once(tmp_path: Path, data: bytes, code: int) -> None:
    done = run("package", str(tmp_path / "out"), stdin=data)
    assert done.returncode == code
    assert error_line(done).startswith("evotools package: -: ")
    assert not (tmp_path / "out/index.m3u8").exists()


@together
def test_a_track_that_cannot_be_packaged_is_left_out(clips: Path, tmp_path: Path) -> None:
    done = package(clips / "mpeg4.mkv", tmp_path / "out")
    assert done.returncode == 0
    assert "leaves out video mpeg4 160x90 25 fps: no player takes it in fMP4" in error_line(done)
    assert list(look(tmp_path / "out").playlists) == ["a0"]


@together
def test_a_source_that_breaks_off(clips: Path, tmp_path: Path) -> None:
    done = package(clips / "cut.ts", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, b"")
    found = look(tmp_path / "out")
    assert found.ended
    assert 3 < sum(line.duration_s for line in found.segments("v0")) < 5


@together
def test_missing_key_frames(clips: Path, tmp_path: Path) -> None:
    """Long segments up to 30 s, then cuts that are told of, in the log and in the manifests."""
    done = package(clips / "no-keys.ts", tmp_path / "out")
    assert done.returncode == 0
    said = done.stderr.decode().splitlines()
    assert len(said) == 2
    assert "a segment of 30 s: segments end at key frames, and those do not come every 2 s" in said[0]
    assert "segments without one cannot be decoded by themselves" in said[1]
    found = look(tmp_path / "out")
    assert [round(line.duration_s) for line in found.segments("v0")] == [30, 20]
    assert b"INDEPENDENT" not in (tmp_path / "out/v0/playlist.m3u8").read_bytes()
    assert found.mpd is not None
    assert [g.get("startWithSAP") for g in found.mpd.iter(f"{NS}AdaptationSet")] == [None, "1"]
    assert frames(tmp_path / "out/v0/playlist.m3u8") == 50 * 25


@pytest.mark.parametrize("container", ["fmp4", "ts"])
@pytest.mark.parametrize(("name", "breaks"), [("jump", 1), ("back", 1), ("wrap", 0)])
@together
def test_timestamps_that_jump(clips: Path, tmp_path: Path, name: str, breaks: int, container: str) -> None:
    """Forward and backward, and the wrap of 33 bits, which is none."""
    done = package(clips / f"{name}.ts", tmp_path / "out", "--format", container)
    assert (done.returncode, done.stderr) == (0, b"")
    found = look(tmp_path / "out")
    for rendition in found.playlists:
        assert [line.discontinuity for line in found.segments(rendition)].count(True) == breaks
    length_s = 16 if breaks else 8
    assert sum(line.duration_s for line in found.segments("v0")) == pytest.approx(length_s, abs=0.2)
    # Of two joined streams one picture is lost where they meet: nothing tells that it is whole.
    assert frames(tmp_path / "out/v0/playlist.m3u8") >= length_s * 25 - 1
    if found.mpd is not None:
        assert seconds(found.mpd.attrib["mediaPresentationDuration"]) == pytest.approx(length_s, abs=0.2)


@together
def test_a_picture_that_changes_its_size(clips: Path, tmp_path: Path) -> None:
    done = package(clips / "change.ts", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, b"")
    found = look(tmp_path / "out")
    assert len({line.init for line in found.segments("v0")}) == 2
    assert [line.discontinuity for line in found.segments("v0")].count(True) == 1
    assert found.mpd is not None
    sizes = [r.get("width") for r in found.mpd.iter(f"{NS}Representation") if r.get("width")]
    assert sizes == ["160", "320"]
    # No holes within a period.
    for group in found.mpd.iter(f"{NS}AdaptationSet"):
        assert ["t" in s.attrib for s in group.iter(f"{NS}S")][1:].count(True) == 0


@pytest.mark.parametrize("container", ["fmp4", "ts"])
@together
def test_sound_that_starts_five_seconds_late(clips: Path, tmp_path: Path, container: str) -> None:
    done = package(clips / "late-sound.ts", tmp_path / "out", "--format", container)
    assert done.returncode == 0
    found = look(tmp_path / "out")
    assert frames(tmp_path / "out/v0/playlist.m3u8") >= 8 * 25
    if container == "fmp4":
        assert found.mpd is not None
        sound = mpd_segments(found.mpd)["a0"]
        assert sound[0][4] == pytest.approx(5.0, abs=0.05)
        # In HLS the first segment lasts from the beginning of the film.
        first = found.segments("a0")[0]
        assert first.duration_s == pytest.approx(sound[0][4] + sound[0][3] / 48_000, abs=0.05)


@pytest.mark.parametrize("container", ["fmp4", "ts"])
@together
def test_a_picture_that_starts_five_seconds_late(clips: Path, tmp_path: Path, container: str) -> None:
    done = package(clips / "late-picture.ts", tmp_path / "out", "--format", container)
    assert done.returncode == 0
    found = look(tmp_path / "out")
    assert found.ended
    assert frames(tmp_path / "out/v0/playlist.m3u8") >= 8 * 25
    if found.mpd is not None:
        picture = mpd_segments(found.mpd)["v0"]
        assert picture[0][4] == pytest.approx(5.0, abs=0.05)


# The process is killed.


def feed(data: bytes, folder: Path, *args: str) -> subprocess.Popen[bytes]:
    """`package` on a pipe that gives all of `data` at once and then waits."""
    process = subprocess.Popen([*EVOTOOLS, "-q", "package", "--segment", "0.2s", *args, str(folder)],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=ENVIRONMENT)  # fmt: skip
    assert process.stdin
    try:
        process.stdin.write(data)
        process.stdin.flush()
    except BrokenPipeError:
        pass
    return process


@pytest.mark.parametrize("kind", ["event", "live"])
@together
def test_killed_at_any_moment(clips: Path, tmp_path: Path, kind: str) -> None:
    """Again and again, in the middle of writing: every file that a manifest names is whole, numbers go on, and the run
    that is left alone finishes the folder."""
    chance = random.Random(7)
    folder = tmp_path / "out"
    folder.mkdir()
    data = (clips / "base.ts").read_bytes()
    args = ("--type", kind, *(("--window", "3s", "--no-pace") if kind == "live" else ()))
    highest = -1
    with Watch(folder) as watch:
        for _ in range(8):
            before = {p.name for p in (folder / "v0").glob("[0-9]*")} if (folder / "v0").exists() else set()
            process = feed(data, folder, *args)
            # Some files of this run, and then any moment.
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                now = {p.name for p in (folder / "v0").glob("[0-9]*")} if (folder / "v0").exists() else set()
                if len(now - before) >= chance.randrange(1, 6):
                    break
                time.sleep(0.002)
            time.sleep(chance.random() * 0.03)
            process.kill()
            process.wait()
            look(folder)
            numbers = [int(p.stem) for p in (folder / "v0").glob("[0-9]*.m4s")]
            assert max(numbers) > highest
            highest = max(n for (name, n), _ in watch.seen.items() if name == "v0") if watch.seen else -1
        done = run("-q", "package", "--segment", "0.2s", *args, str(folder), stdin=data)
        assert (done.returncode, done.stderr) == (0, b"")
        watch.look_until_ended()
    final = look(folder)
    assert final.ended
    assert not [p for p in folder.rglob("*") if p.suffix == ".tmp"]
    # Eight runs died: as many breaks, or fewer where one died before its first manifest.
    last = final.playlists["v0"]
    assert 1 <= last.discontinuity_sequence + sum(line.discontinuity for line in last.lines) <= 8
    named = {line.path for p in final.playlists.values() for line in p.lines}
    there = {str(p.relative_to(folder)) for p in folder.rglob("*.m4s")}
    assert named <= there
    if kind == "event":
        assert there == named


@together
def test_killed_on_demand(clips: Path, tmp_path: Path) -> None:
    """There is no manifest before the end; what is there is whole, and the next run needs no --force."""
    folder = tmp_path / "out"
    process = feed((clips / "base.ts").read_bytes(), folder, "--type", "vod")
    deadline = time.monotonic() + 20
    while not list(folder.glob("v0/3.m4s")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not list(folder.glob("*.m*"))
    for path in folder.glob("*/[0-9]*"):
        assert_whole(folder, str(path.relative_to(folder)))
    assert package(clips / "base.ts", folder).returncode == 0
    assert look(folder).ended


# The disk.


def limited(size: int) -> Callable[[], None]:
    def apply() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return apply


@pytest.mark.parametrize("kind", ["vod", "event"])
def test_a_file_that_may_not_grow(clips: Path, tmp_path: Path, kind: str) -> None:
    """RLIMIT_FSIZE needs no privileges: the second segment is larger than any file may be."""
    film = tmp_path / "film.ts"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=2", "-f", "lavfi", "-i",
               "nullsrc=s=160x90:r=25:d=2,geq=random(1)*255:128:128", "-filter_complex", "[0][1]concat=n=2:v=1:a=0",
               *X264, "-g", "50", "-crf", "10", str(film))  # fmt: skip
    folder = tmp_path / "out"
    done = subprocess.run([*EVOTOOLS, "package", "-i", str(film), "--segment", "2s", "--type", kind, str(folder)],
                          capture_output=True, env=ENVIRONMENT, timeout=60, check=False,
                          preexec_fn=limited(280 * 1024))  # fmt: skip
    assert done.returncode == 1
    assert "v0/2.m4s: cannot be written: File too large; what was complete before stays playable" in error_line(done)
    found = look(folder)
    assert [line.path for line in found.segments("v0")] == ["v0/1.m4s"]
    assert not [p for p in folder.rglob("*") if p.suffix == ".tmp"]
    assert found.ended is (kind == "vod")
    if found.ended:
        assert frames(folder / "v0/playlist.m3u8") == 50


@together
def test_a_folder_that_goes_away(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    process = subprocess.Popen([*EVOTOOLS, "package", "-i", "test:?size=160x90&gop=10", "--segment", "400ms", folder],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)  # fmt: skip
    deadline = time.monotonic() + 20
    while not (folder / "index.m3u8").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    shutil.rmtree(folder)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    (line,) = errors.decode().splitlines()
    assert "cannot be written: No such file or directory" in line


@together
def test_a_state_that_somebody_broke(clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    data = (clips / "base.ts").read_bytes()
    assert run("package", str(folder), stdin=data).returncode == 0
    state = folder / ".evotools-package.json"
    whole = state.read_bytes()
    for broken in (b"", whole[:-20], whole.replace(b'"v0"', b'"../x"'), b"[]"):
        state.write_bytes(broken)
        done = run("package", str(folder), stdin=data)
        assert done.returncode == 2
        assert "--force begins anew" in error_line(done)
        assert look(folder).ended
    assert run("package", "--force", str(folder), stdin=data).returncode == 0
    assert json.loads(state.read_bytes())["schema"] == "evotools-package"
