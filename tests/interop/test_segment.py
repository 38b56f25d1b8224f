"""Recordings in the hands of others: ffmpeg 5 and 9 put the files together again, GStreamer and VLC play them, ffprobe
and `probe` agree about them."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.commands.program import Serving, run, start
from tests.conftest import need, run_ffmpeg
from tests.interop.peers import ffmpeg5, ffmpeg9
from tests.interop.players import on_disk, play_ffmpeg, play_gstreamer, play_vlc
from tests.together import together

pytestmark = pytest.mark.interop

FORMATS = ["ts", "flv", "mkv", "mp4", "fmp4"]
BARE = {"v": "h264_mp4toannexb,filter_units=remove_types=6-9", "a": "aac_adtstoasc"}
"""Without what containers keep elsewhere: parameter sets, delimiters, and the encoder's signature beside them."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds with B-frames and open groups of pictures, a second each, and sound."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    run_ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=12", "-f", "lavfi", "-i", "sine=440:d=12:r=48000", "-c:v",
        "libx264", "-preset", "veryfast", "-bf", "3", "-x264-params", "keyint=25:min-keyint=25:scenecut=0:open-gop=1",
        "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", str(path),
    )  # fmt: skip
    return path


def rows(program: str, *source: str, kind: str) -> list[tuple[float, str]]:
    """Presentation time and MD5 of every packet."""
    done = subprocess.run(
        [program, "-v", "error", "-nostdin", *source, "-map", f"0:{kind}:0", "-c", "copy", "-bsf", BARE[kind], "-f",
         "framehash", "-hash", "md5", "-"], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    base = re.search(r"#tb 0: (\d+)/(\d+)", done.stdout)
    assert base
    cells = [line.split(",") for line in done.stdout.splitlines() if line[:1] != "#"]
    return [(int(c[2]) * int(base[1]) / int(base[2]), c[5].strip()) for c in cells]


def segment(film: Path, folder: Path, name: str, *options: str) -> list[Path]:
    suffix = name.replace("fmp4", "mp4")
    done = run("segment", "-i", str(film), "--format", name, *options, f"{folder}/%02d.{suffix}")
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return [Path(line) for line in done.stdout.decode().splitlines()]


@pytest.mark.parametrize(
    ("name", "program"),
    # Of both, what they read in different ways; the old one's other formats take the same way.
    [pytest.param(n, p, marks=pytest.mark.slow if p is ffmpeg5 and n in ("flv", "mkv", "mp4") else ())
     for n in FORMATS for p in (ffmpeg5, ffmpeg9)],
)  # fmt: skip
@together
def test_ffmpeg_puts_the_files_together_again(film: Path, tmp_path: Path, name: str, program) -> None:  # type: ignore[no-untyped-def]
    listed = tmp_path / "parts.ffconcat"
    files = segment(film, tmp_path, name, "--time", "3s", "--list", str(listed))
    assert len(files) == 4
    for kind in "va":
        whole = rows(program(), "-i", str(film), kind=kind)
        joined = rows(program(), "-f", "concat", "-i", str(listed), kind=kind)
        assert [digest for _, digest in joined] == [digest for _, digest in whole]
        # One shift for all of them, but for the rounding of milliseconds and what sound reaches over an end.
        shifts = [mine - theirs for (mine, _), (theirs, _) in zip(joined, whole, strict=True)]
        # ffmpeg 5 shows what an edit list hides in fragmented files.
        odd = name == "fmp4" and program is ffmpeg5
        assert max(shifts) - min(shifts) < (0.005 if kind == "v" and not odd else 0.025)


@pytest.mark.parametrize("name", FORMATS)
@together
def test_every_file_is_decoded_by_itself(film: Path, tmp_path: Path, name: str) -> None:
    files = segment(film, tmp_path, name, "--time", "3s")
    pictures = 0
    for path in files:
        shown = play_ffmpeg(str(path))
        (video,) = shown.of("video")
        pictures += video.count
        # Open groups: what is shown before the first key frame needs the file before, and only that is missing.
        assert 70 <= video.count <= 75
        assert [line for line in shown.said.splitlines() if "rror" in line and "rror while" not in line] == []
    assert pictures >= 300 - 3 * 3


@together
def test_transport_streams_are_one_when_they_are_joined(film: Path, tmp_path: Path) -> None:
    """`cat *.ts`: no counter and no clock jumps, for readers that watch them."""
    files = segment(film, tmp_path, "ts", "--time", "3s")
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(path.read_bytes() for path in files))
    for program in (ffmpeg5(), ffmpeg9()):
        shown = play_ffmpeg(str(whole), program=program)
        assert shown.said == ""
        assert [s.count for s in shown.of("video")] == [300]
        for kind in "va":
            source = rows(program, "-i", str(film), kind=kind)
            assert [d for _, d in rows(program, "-i", str(whole), kind=kind)] == [d for _, d in source]
    probed = run("probe", str(whole), "--json")
    assert probed.returncode == 0
    assert not [w for w in json.loads(probed.stdout).get("warnings", []) if "continu" in w.lower()]


@pytest.mark.parametrize("name", ["ts", "fmp4"])
@together
def test_the_list_is_hls(film: Path, tmp_path: Path, name: str) -> None:
    segment(film, tmp_path, name, "--time", "3s", "--list", f"{tmp_path}/index.m3u8")
    for program in (ffmpeg5(), ffmpeg9()):
        shown = play_ffmpeg(f"{tmp_path}/index.m3u8", program=program, copy=True)
        assert [s.count for s in shown.of("video")] == [300]
        for kind in "va":
            source = rows(program, "-i", str(film), kind=kind)
            assert [d for _, d in rows(program, "-i", f"{tmp_path}/index.m3u8", kind=kind)] == [d for _, d in source]


@pytest.mark.parametrize("name", ["mkv", "mp4", "flv"])
@together
def test_vlc_plays_one_file_of_the_list_after_the_other(film: Path, tmp_path: Path, name: str) -> None:
    segment(film, tmp_path / "rec", name, "--time", "3s", "--list", f"{tmp_path}/rec/all.m3u8")
    with on_disk(tmp_path / "rec") as folder:
        shown = play_vlc(f"{folder}/all.m3u8")
        # It ends without the last pictures of each.
        assert 4 * 60 < shown.of("video")[0].count <= 300


@pytest.mark.parametrize("name", FORMATS)
@together
def test_gstreamer_and_vlc_play_every_file(film: Path, tmp_path: Path, name: str) -> None:
    files = segment(film, tmp_path / "rec", name, "--time", "6s")
    with on_disk(tmp_path / "rec") as folder:
        for path in files:
            shown = play_gstreamer(f"file://{folder}/{path.name}")
            (video,) = shown.of("video")
            (audio,) = shown.of("audio")
            assert 146 <= video.count <= 152
            assert audio.last_s == pytest.approx(6, abs=0.1)
        shown = play_vlc(f"{folder}/{files[1].name}", frames=140)
        assert shown.of("video")[0].count >= 140
        assert shown.of("audio")[0].count >= 260


@pytest.mark.parametrize("name", FORMATS)
@together
def test_ffprobe_and_probe_agree(film: Path, tmp_path: Path, name: str) -> None:
    for path in segment(film, tmp_path, name, "--time", "6s")[1:]:
        done = subprocess.run([need("ffprobe"), "-v", "error", "-count_packets", "-show_streams", "-show_format", "-of",
                               "json", str(path)], capture_output=True, timeout=60, check=True)  # fmt: skip
        theirs = json.loads(done.stdout)
        ours = json.loads(run("probe", str(path), "--json").stdout)
        tracks = {t["kind"]: t for t in ours["tracks"]}
        assert {s["codec_type"] for s in theirs["streams"]} == set(tracks)
        for stream in theirs["streams"]:
            track = tracks[stream["codec_type"]]
            assert stream["codec_name"] == track["codec"]
            assert int(stream["nb_read_packets"]) == track["frames"]
            if stream["codec_type"] == "video":
                assert (stream["width"], stream["height"]) == (track["width"], track["height"])
        assert float(theirs["format"]["duration"]) == pytest.approx(6.0, abs=0.13)


@pytest.mark.parametrize("name", ["mkv", "mp4", "fmp4"])
@together
def test_players_can_seek(film: Path, tmp_path: Path, name: str) -> None:
    path = segment(film, tmp_path, name, "--time", "6s")[1]
    done = subprocess.run(
        [need("ffprobe"), "-v", "error", "-read_intervals", "4.2%+#1", "-select_streams", "v", "-show_entries",
         "packet=pts_time,flags", "-of", "csv=p=0", str(path)], capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    time_s, flags = done.stdout.split()[0].split(",")[:2]
    assert flags.startswith("K")
    assert 3.9 < float(time_s) < 4.2


@pytest.mark.parametrize(
    ("codecs", "names"),
    [
        (("libx265", "-x265-params", "log-level=0:keyint=25:bframes=2:open-gop=0"), FORMATS),
        (("libvpx-vp9", "-deadline", "realtime", "-g", "25"), ["flv", "mkv", "mp4", "fmp4", "webm"]),
        (("libsvtav1", "-preset", "12", "-g", "25"), ["flv", "mkv", "mp4", "fmp4", "webm"]),
    ],
)
@together
def test_newer_codecs(tmp_path: Path, codecs: tuple[str, ...], names: list[str]) -> None:
    sound = ("-c:a", "aac") if "libx265" in codecs else ("-c:a", "libopus")
    source = tmp_path / "source.mkv"
    made = subprocess.run(
        [ffmpeg9(), "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=128x96:r=25:d=5", "-f", "lavfi", "-i",
         "sine=440:d=5:r=48000", "-c:v", *codecs, "-pix_fmt", "yuv420p", *sound, "-ac", "2", str(source)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    (video,) = play_ffmpeg(str(source), program=ffmpeg9(), copy=True).of("video")
    for name in names:
        files = segment(source, tmp_path / name, name, "--time", "2s")
        assert len(files) == 3
        shown = [play_ffmpeg(str(path), program=ffmpeg9()) for path in files]
        assert sum(s.of("video")[0].count for s in shown) == video.count == 125
        assert all(s.of("audio")[0].count > 30 for s in shown)


@together
def test_the_sample_films(media_dir: Path, tmp_path: Path) -> None:
    for source in ("bigbuckbunny.mp4", "sintel-captions.ts"):
        whole = {kind: rows(ffmpeg5(), "-i", str(media_dir / source), kind=kind) for kind in "va"}
        for name in FORMATS:
            folder = tmp_path / source / name
            segment(media_dir / source, folder, name, "--key", "--list", f"{folder}/l.ffconcat")
            for kind in "va":
                joined = rows(ffmpeg5(), "-f", "concat", "-i", f"{folder}/l.ffconcat", kind=kind)
                assert [digest for _, digest in joined] == [digest for _, digest in whole[kind]]
                shifts = [mine - theirs for (mine, _), (theirs, _) in zip(joined, whole[kind], strict=True)]
                assert max(shifts) - min(shifts) < 0.05, (source, name)


@together
def test_a_publisher_through_a_server(film: Path, tmp_path: Path) -> None:
    """ffmpeg publishes, the server relays, `segment` records: what was published is in the files, once."""
    closed = tmp_path / "closed.mp4"
    # RTMP has no names for pictures shown before the key frame that they follow.
    run_ffmpeg("-i", str(film), "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", "-sc_threshold", "0",
               "-t", "4", "-c:a", "copy", str(closed))  # fmt: skip
    with Serving() as server:
        process = start("segment", "-i", f"{server.rtmp}/live/show", "--reconnect", "forever", "--time", "1s",
                        f"{tmp_path}/rec/%d.mp4", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
        try:
            subprocess.run([ffmpeg5(), "-v", "error", "-nostdin", "-re", "-i", str(closed), "-c", "copy", "-f", "flv",
                            f"{server.rtmp}/live/show"], timeout=60, check=True)  # fmt: skip
            assert process.stdout is not None
            files = [process.stdout.readline().decode().strip() for _ in range(3)]
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=30)[0].decode().split()
    assert process.returncode == 130
    files += rest
    assert len(files) == 4
    for kind in "va":
        got = [digest for path in files for _, digest in rows(ffmpeg5(), "-i", path, kind=kind)]
        sent = [digest for _, digest in rows(ffmpeg5(), "-i", str(closed), kind=kind)]
        assert got == sent[: len(got)]
        assert len(got) >= len(sent) - 3
