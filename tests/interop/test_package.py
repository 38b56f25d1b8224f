"""Packaged presentations among programs that nobody here wrote: every packet of the source comes out of them again.

| source                | HLS, TS         | HLS, fMP4 (2)   | DASH (2) (3)    |
|-----------------------|-----------------|-----------------|-----------------|
| film, H.264 AAC 5.1   | 5.1 9 GStreamer | 5.1 9 GStreamer | 5.1 9 GStreamer |
| captions, H.264 AAC   | 5.1 9 GStreamer | 5.1 9 GStreamer | 5.1 9 GStreamer |
| H.264 B-frames, AAC   | 5.1 9 GStreamer | 5.1 9 GStreamer | 5.1 9 GStreamer |
| HEVC B-frames, E-AC-3 | 5.1 9           | 5.1 9           | 5.1 9           |
| H.264 B-frames, AC-3  | 5.1 9           | 5.1 9           | 5.1 9           |
| H.264 B-frames, MP3   | 5.1 9           | 5.1 9           | 5.1 9           |
| AV1, Opus             | (1)             | 5.1 9           | 5.1 9           |
| VP9, FLAC             | (1)             | 5.1 9           | 5.1 9           |

5.1 and 9 are ffmpeg's versions. "Comes out again" means: the same packets in the same order, the times of all tracks
moved by one and the same amount, and no word of complaint when they are decoded.

(1) HLS has no place for them in transport streams (`test_what_ts_cannot_carry_is_refused`).
(2) The DASH demuxer of ffmpeg 5.1 ends with the shorter track, and what is left of the other one is not read.
"""

import json
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import m3u8
import pytest

from tests.commands import program
from tests.conftest import need
from tests.interop import peers
from tests.interop.peers import Media, Row
from tests.interop.players import play_gstreamer
from tests.manifests import NS, look, mpd_segments
from tests.together import once, together

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

CODECS = {
    "film": ("h264", "aac"), "captions": ("h264", "aac"), "h264-aac": ("h264", "aac"), "hevc-eac3": ("hevc", "eac3"),
    "h264-ac3": ("h264", "ac3"), "h264-mp3": ("h264", "mp3"), "av1-opus": ("av1", "opus"), "vp9-flac": ("vp9", "flac"),
}  # fmt: skip
CONTAINERS = {
    "h264-aac": "mp4", "hevc-eac3": "mp4", "h264-ac3": "ts", "h264-mp3": "ts", "av1-opus": "mkv", "vp9-flac": "mkv",
}  # fmt: skip
NOT_IN_TS = ("av1-opus", "vp9-flac")
ROUNDING_S = {"mkv": 1.1e-3}
"""Matroska counts milliseconds."""
FORMS = ("ts", "hls", "dash")
READERS = {"5.1": peers.ffmpeg5, "9": peers.ffmpeg9}
CELLS = [
    f"{name} {form} {reader}"
    for name in CODECS
    for form in FORMS
    if not (form == "ts" and name in NOT_IN_TS)
    for reader in READERS
]
GSTREAMER = [f"{name} {form}" for name in ("film", "captions", "h264-aac") for form in FORMS]


def encode(target: Path, video: str, audio: str) -> None:
    """Five seconds with a key frame every second, by FFmpeg 9."""
    coders = {
        "h264": ["libx264", "-preset", "veryfast", "-bf", "3", "-g", "25", "-sc_threshold", "0", "-pix_fmt", "yuv420p"],
        "hevc": ["libx265", "-x265-params", "log-level=none:bframes=3:keyint=25:min-keyint=25:scenecut=0"],
        "av1": ["libsvtav1", "-preset", "12", "-g", "25"],
        "vp9": ["libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "25"],
        "aac": ["aac"], "opus": ["libopus"], "ac3": ["ac3"], "eac3": ["eac3"], "flac": ["flac"], "mp3": ["libmp3lame"],
    }  # fmt: skip
    peers.finish([
        *peers.quiet(peers.ffmpeg9()), "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i",
        "aevalsrc=0.3*sin(880*t)|0.3*sin(440*t):s=48000", "-t", "5", "-c:v", *coders[video], "-c:a", *coders[audio],
        str(target),
    ])  # fmt: skip


def packets(source: str, codecs: tuple[str, str], reader: str, scratch: Path) -> Media:
    """Every packet of a presentation or a file, and what was said while it was decoded."""
    program_ = READERS[reader]()
    command = [*peers.quiet(program_), "-copyts", "-i", source]
    outs = [scratch.with_name(f"{scratch.name}.{kind}") for kind in "va"]
    for kind, codec, out in zip("va", codecs, outs, strict=True):
        command += ["-map", f"0:{kind}:0", "-c", "copy"]
        command += ["-bsf", peers._BARE[codec]] if codec in peers._BARE else []
        command += ["-f", "framehash", "-hash", "md5", str(out)]
    command += ["-map", "0:v:0", "-map", "0:a:0", "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[-3000:]}"
    video, audio = (peers._rows(out.read_text()) for out in outs)
    return Media(video, audio, done.stderr)


@dataclass
class Bench:
    """Sources, and what was made of them, each once."""

    root: Path
    media: Path

    def __post_init__(self) -> None:
        self.source = once(self._source)
        self.folder = once(self._folder)
        self.sent = once(self._sent)
        self.read = once(self._read)

    def _source(self, name: str) -> Path:
        if name == "film":
            return self.media / "bigbuckbunny.mp4"
        if name == "captions":
            return self.media / "sintel-captions.ts"
        path = self.root / f"{name}.{CONTAINERS[name]}"
        encode(path, *CODECS[name])
        return path

    def _folder(self, name: str, container: str) -> Path:
        folder = self.root / f"{name}-{container}"
        done = program.run(
            "package", "-i", str(self.source(name)), "--format", container, "--segment", "2s", str(folder)
        )
        assert done.returncode == 0, done.stderr.decode()
        return folder

    def manifest(self, name: str, form: str) -> Path:
        """Of a packaged source in one of `FORMS`."""
        folder = self.folder(name, "ts" if form == "ts" else "fmp4")
        return folder / ("manifest.mpd" if form == "dash" else "index.m3u8")

    def _sent(self, name: str, reader: str) -> Media:
        return packets(str(self.source(name)), CODECS[name], reader, self.root / f"{name}.{reader}.sent")

    def _read(self, name: str, form: str, reader: str) -> Media:
        scratch = self.root / f"{name}.{form}.{reader}.got"
        return packets(str(self.manifest(name, form)), CODECS[name], reader, scratch)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, media_dir: Path) -> Bench:
    return Bench(tmp_path_factory.mktemp("package"), media_dir)


@pytest.mark.parametrize("cell", CELLS)
@together
def test_every_packet_comes_out_again(bench: Bench, cell: str) -> None:
    name, form, reader = cell.split()
    sent, got = bench.sent(name, reader), bench.read(name, form, reader)
    if form == "dash" and reader == "5.1":
        # (2)
        left_out = len(sent.video) - len(got.video) + len(sent.audio) - len(got.audio)
        assert left_out < 10
        sent = Media(sent.video[: len(got.video)], sent.audio[: len(got.audio)])
    assert [len(got.video), len(got.audio)] == [len(sent.video), len(sent.audio)]
    tolerance_s = ROUNDING_S.get(bench.source(name).suffix[1:], 1e-4)
    assert peers.differences(got, sent, tolerance_s) == ""
    assert got.errors == ""


@pytest.mark.parametrize("cell", GSTREAMER)
@together
def test_gstreamer_shows_every_picture(bench: Bench, cell: str) -> None:
    name, form = cell.split()
    sent = bench.sent(name, "9")
    shown = play_gstreamer(bench.manifest(name, form).as_uri())
    assert [s.count for s in shown.of("video")] == [len(sent.video)]
    (sound,) = shown.of("audio")
    assert sound.last_s == pytest.approx(sent.audio[-1][1] - sent.audio[0][1], abs=0.1)


@pytest.mark.parametrize("name", CODECS)
@together
def test_manifests_and_files_are_one_thing(bench: Bench, name: str) -> None:
    """One epoch is one Period without discontinuities; both manifests name the same files, and no file is left over."""
    for container in ("fmp4", *(() if name in NOT_IN_TS else ("ts",))):
        folder = bench.folder(name, container)
        found = look(folder)
        assert found.ended
        named = {line.path for p in found.playlists.values() for line in p.lines}
        inits = {line.init for p in found.playlists.values() for line in p.lines} - {""}
        assert not any(line.gap or line.discontinuity for p in found.playlists.values() for line in p.lines)
        there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.suffix in (".ts", ".m4s", ".mp4")}
        assert there == named | inits
        if found.mpd is None:
            continue
        assert len(list(found.mpd.iter(f"{NS}Period"))) == 1
        rows = mpd_segments(found.mpd)
        assert {path for r in rows.values() for _, path, *_ in r} == named
        for rendition, playlist in found.playlists.items():
            # The same files last as long in both.
            begins = [row[4] for row in rows[rendition]]
            durations = [line.duration_s for line in playlist.lines]
            # A track that starts late has a longer first segment in HLS.
            assert [b - a for a, b in pairwise(begins)][1:] == pytest.approx(durations[1:-1], abs=1e-3)


@pytest.mark.parametrize("name", ["film", "hevc-eac3", "av1-opus"])
@together
def test_probe_and_ffprobe_agree(bench: Bench, name: str) -> None:
    """PyAV's libav reads no DASH, so that of it only ffprobe tells."""
    manifest = bench.manifest(name, "hls")
    ours = json.loads(program.run("probe", "--json", str(manifest)).stdout)
    command = [need("ffprobe"), "-v", "error", "-count_packets", "-show_streams", "-of", "json"]
    for form in ("hls", "dash"):
        theirs = json.loads(peers.finish([*command, str(bench.manifest(name, form))]))["streams"]
        assert len(ours["tracks"]) == len(theirs) == 2
        for track in ours["tracks"]:
            (stream,) = [s for s in theirs if s["codec_type"] == track["kind"]]
            assert track["codec"].replace("h265", "hevc") == stream["codec_name"]
            assert track["width"] == stream.get("width")
            assert track["height"] == stream.get("height")
            assert track["channels"] == stream.get("channels")
            if form == "hls":
                assert track["frames"] == int(stream["nb_read_packets"])
    assert ours["duration_s"] == pytest.approx(bench.sent(name, "9").video[-1][1] + 0.04, abs=0.1)


@pytest.mark.parametrize("name", CODECS)
@together
def test_our_own_reader_reads_what_was_written(bench: Bench, name: str, tmp_path: Path) -> None:
    """Each track's segments behind its initialisation are an ordinary file."""
    folder = bench.folder(name, "fmp4")
    sent = bench.sent(name, "9")
    for rendition, rows in (("v0", sent.video), ("a0", sent.audio)):
        lines = look(folder).segments(rendition)
        whole = tmp_path / f"{rendition}.mp4"
        whole.write_bytes(b"".join((folder / path).read_bytes() for path in (lines[0].init, *(s.path for s in lines))))
        (track,) = json.loads(program.run("probe", "--json", str(whole)).stdout)["tracks"]
        assert track["frames"] == len(rows)
        assert track["gaps"]["count"] == track["jumps"]["count"] == track["non_monotonic_dts"] == 0


@together
def test_what_ts_cannot_carry_is_refused(bench: Bench, tmp_path: Path) -> None:
    for name in NOT_IN_TS:
        done = program.run("-q", "package", "-i", str(bench.source(name)), "--format", "ts", str(tmp_path / name))
        assert done.returncode == 6
        assert "fmp4" in program.error_line(done)
        assert not (tmp_path / name / "index.m3u8").exists()


# Several renditions.


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One film of eight seconds in three sizes, each with its sound, and a second language."""
    root = tmp_path_factory.mktemp("ladder")
    made = {}
    for size, rate in (("640x360", "800k"), ("320x180", "300k"), ("160x90", "100k")):
        made[size] = root / f"{size}.ts"
        done = program.run("videogen", "--seed", "3", "--no-realtime", "-t", "8s", "-s", size, "--bitrate", rate,
                           "-g", "50", str(made[size]))  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
    made["french"] = root / "french.mp4"
    peers.finish([*peers.quiet(peers.ffmpeg5()), "-f", "lavfi", "-i", "sine=f=300:r=48000", "-t", "8", "-c:a", "aac",
                  "-metadata:s:a:0", "language=fra", str(made["french"])])  # fmt: skip
    return made


@together
def test_a_ladder_with_two_languages(ladder: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    inputs = [item for path in ladder.values() for item in ("-i", str(path))]
    done = program.run("package", *inputs, "--segment", "2s", "--require-aligned", str(folder))
    assert done.returncode == 0, done.stderr.decode()
    found = look(folder)
    assert sorted(found.playlists) == ["a0", "a1", "v0", "v1", "v2"]
    assert {n: [round(line.duration_s, 3) for line in found.segments(n)] for n in ("v0", "v1", "v2")} == dict.fromkeys(
        ("v0", "v1", "v2"), [2.0] * 4
    )
    master = m3u8.loads((folder / "index.m3u8").read_text())
    assert [p.stream_info.resolution for p in master.playlists] == [(640, 360), (320, 180), (160, 90)]
    rates = [p.stream_info.bandwidth for p in master.playlists]
    assert rates == sorted(rates, reverse=True)
    assert [(m.language, m.default) for m in master.media] == [(None, "YES"), ("fr", "NO")]
    assert found.mpd is not None
    video, *sounds = found.mpd.iter(f"{NS}AdaptationSet")
    assert video.get("segmentAlignment") == "true"
    assert len(list(video.iter(f"{NS}Representation"))) == 3
    assert [s.get("lang") for s in sounds] == [None, "fr"]
    sizes = list(ladder)[:3]
    for reader in READERS:
        for manifest in ("index.m3u8", "manifest.mpd"):
            got = _streams(folder / manifest, READERS[reader]())
            for rendition, size in enumerate(sizes):
                sent = packets(str(ladder[size]), ("h264", "aac"), reader, tmp_path / f"{size}.{reader}")
                assert [row[2] for row in got["video", rendition]] == [row[2] for row in sent.video], (reader, manifest)
    # Whoever begins with one rendition and goes on with another finds the next segment of the film.
    assert len({tuple(row[2:] for row in mpd_segments(found.mpd)[f"v{n}"]) for n in range(3)}) == 1


def _streams(manifest: Path, ffmpeg: str) -> dict[tuple[str, int], list[Row]]:
    """Packets of every video track of a manifest, in the order of size."""
    found = json.loads(peers.finish([need("ffprobe"), "-v", "error", "-show_streams", "-of", "json", str(manifest)]))
    videos = sorted((-s["width"], s["index"]) for s in found["streams"] if s["codec_type"] == "video")
    rows: dict[tuple[str, int], list[Row]] = {}
    for order, (_, index) in enumerate(videos):
        text = peers.finish([*peers.quiet(ffmpeg), "-copyts", "-i", str(manifest), "-map", f"0:{index}", "-c", "copy",
                             "-bsf", peers._BARE["h264"], "-f", "framehash", "-hash", "md5", "-"])  # fmt: skip
        rows["video", order] = peers._rows(text)
    return rows


@together
def test_inputs_that_are_cut_differently_are_told(ladder: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.ts"
    done = program.run("videogen", "--seed", "3", "--no-realtime", "-t", "8s", "-s", "160x90", "-g", "30", str(other))
    assert done.returncode == 0
    args = ("package", "-i", str(ladder["640x360"]), "-i", str(other), "--segment", "2s")
    done = program.run(*args, "--require-aligned", str(tmp_path / "out"))
    assert done.returncode == 3
    found = look(tmp_path / "out")
    assert found.mpd is not None
    video = next(found.mpd.iter(f"{NS}AdaptationSet"))
    assert "segmentAlignment" not in video.attrib


@pytest.mark.slow
@pytest.mark.parametrize("container", ["fmp4", "ts"])
def test_ten_minutes(container: str, tmp_path: Path) -> None:
    """Nothing is lost and no time drifts over a hundred segments."""
    source = tmp_path / "long.ts"
    done = program.run("videogen", "--seed", "1", "--no-realtime", "-t", "10m", "-s", "160x90", "-g", "25",
                       str(source), timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    folder = tmp_path / "out"
    done = program.run("package", "-i", str(source), "--format", container, str(folder), timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    found = look(folder)
    assert [line.duration_s for line in found.segments("v0")] == [6.0] * 100
    sent = packets(str(source), ("h264", "aac"), "9", tmp_path / "sent")
    got = packets(str(folder / "index.m3u8"), ("h264", "aac"), "9", tmp_path / "got")
    assert [len(got.video), len(got.audio)] == [len(sent.video), len(sent.audio)] == [15_000, 28_125]
    assert peers.differences(got, sent, 1e-4) == ""
    assert got.errors == ""
