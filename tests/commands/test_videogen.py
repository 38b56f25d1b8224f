"""`evotools videogen`: option declarations to routes, and the command as a child process."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evotools.commands.parser import parse_job, parse_route
from evotools.endpoints.base import Context
from evotools.endpoints.registry import open_source
from evotools.errors import UsageError
from evotools.media.frame import Frame
from evotools.pipeline.route import RouteSpec
from evotools.uri import Uri
from evotools.videogen.spec import QUERY_NAMES, Spec, parse


def route(*argv: str) -> RouteSpec:
    made = parse_route(["videogen", *argv])
    assert isinstance(made, RouteSpec)
    return made


def spec(*argv: str) -> Spec:
    values, _ = Uri.parse(route(*argv).source).options(QUERY_NAMES)
    return parse(values.items())


def run(*argv: str, timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "evotools", "videogen", "--no-config", *argv]
    return subprocess.run(command, capture_output=True, timeout=timeout, check=False)


def test_defaults() -> None:
    made = route()
    assert [o.uri for o in made.outputs] == ["-"]
    assert spec() == parse([])


def test_ffmpeg_spellings_of_the_guide() -> None:
    made = route("-f", "mpegts", "udp://127.0.0.1:5000")
    assert [(o.uri, o.format) for o in made.outputs] == [("udp://127.0.0.1:5000", "ts")]
    made = route("-f", "flv", "rtmp://127.0.0.1/live/x")
    assert [(o.uri, o.format) for o in made.outputs] == [("rtmp://127.0.0.1/live/x", "flv")]
    got = spec("-s", "1920x1080", "-g", "50", "-c:v", "hevc", "-c:a", "mp3", "-ar", "44100", "-f", "mpegts", "-")
    assert (got.video[0].codec, got.video[0].width, got.gop) == ("h265", 1920, 50)
    assert (got.audio[0].codec, got.audio[0].sample_rate) == ("mp3", 44100)


def test_later_options_override_earlier_ones() -> None:
    assert spec("-s", "320x240", "--size", "640x480", "-s", "1280x720").video[0].width == 1280
    assert spec("-c:v", "hevc", "--codec", "av1", "-vcodec", "h264").video[0].codec == "h264"
    assert spec("--no-realtime", "-re").realtime
    assert dict(spec("-crf", "20", "-crf", "30").any_options) == {"crf": "30"}


def test_output_by_position_or_option() -> None:
    assert route("-o", "a.ts").outputs == route("a.ts").outputs
    with pytest.raises(UsageError, match="two outputs"):
        route("a.ts", "-o", "b.ts")


def test_options_reach_the_uri() -> None:
    assert spec("--multi") == parse([("multi", "1")])
    assert spec("--ladder", "1280x720@2M:hevc,640x360") == parse([("ladder", "1280x720@2M:hevc,640x360")])
    assert spec("-an").audio == ()
    assert spec("-vn").video == ()
    assert spec("--video-option", "crf=20", "--audio-option", "cutoff=9000", "-x264-params", "ref=1:me=dia") == parse(
        [("v.crf", "20"), ("a.cutoff", "9000"), ("opt.x264-params", "ref=1:me=dia")]
    )
    got = spec("--seed", "3", "--start-time", "2020-01-01", "--duration", "10s", "--no-clock", "--no-blocks",
               "--tone", "440", "--language", "deu", "--pattern", "smptebars", "--no-realtime")  # fmt: skip
    assert (got.seed, got.start_s, got.duration_s, got.clock, got.blocks) == (3, 1_577_836_800, 10, False, False)
    assert (got.tone_hz, got.language, got.pattern, got.realtime) == (440, "deu", "smptebars", False)


@pytest.mark.parametrize(
    "argv",
    [["--size", "big"], ["--fps", "0"], ["--pattern", "x"], ["-crf"], ["--video-option", "crf"],
     ["--multi", "-s", "320x240"],
     ["-c:v", "copy"], ["--seed", "x"], ["--nothing"], ["a", "b"]],
)  # fmt: skip
def test_usage_errors_come_before_anything_is_opened(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_job("videogen", argv)


def test_same_seed_same_bytes() -> None:
    first, second = (run("--duration", "2s", "--seed", "1", "--no-realtime", "-s", "320x240") for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stderr == b""
    assert len(first.stdout) % 188 == 0
    assert len(first.stdout) > 20_000
    assert first.stdout == second.stdout
    assert run("--duration", "2s", "--seed", "2", "--no-realtime", "-s", "320x240").stdout != first.stdout


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["-nonsense", "1"], [b"nonsense", b"libx264"]),
        (["-crf", "abc"], [b"crf", b"abc", b"libx264"]),
        (["-preset", "zzz"], [b"zzz", b"libx264"]),
    ],
)
def test_what_the_encoder_refuses_is_exit_2_in_one_line(argv: list[str], words: list[bytes], tmp_path: Path) -> None:
    done = run("--duration", "1s", "--no-realtime", *argv, str(tmp_path / "out.ts"))
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert all(w in done.stderr for w in words)
    assert not (tmp_path / "out.ts").exists()


def test_the_reader_may_leave() -> None:
    command = [sys.executable, "-m", "evotools", "videogen", "--no-config", "--no-realtime", "-s", "320x240"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.read(1) == b"\x47"
        child.stdout.close()
        assert child.wait(30) == -13
        assert child.stderr.read() == b""


async def test_real_time_takes_its_time() -> None:
    source = open_source(Uri.parse("test:?size=160x120&duration=1s"), Context())
    await source.open()
    began = time.monotonic()
    last = 0.0
    while batch := await source.read():
        frames = [e for e in batch if isinstance(e, Frame)]
        last = max([last, *(f.pts_s for f in frames if f.track.kind == "video")])
        # Never ahead of the clock; how far behind depends on the machine.
        assert time.monotonic() - began >= last - 0.001
    await source.close()
    assert last == pytest.approx(0.96)
    await asyncio.sleep(0)
