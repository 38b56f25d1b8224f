"""CPU of file work beside `ffmpeg -c copy` doing the same: `segment`, `package`, `relay` of a ten-minute MP4."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.tools import BIN, need, sample, temp_folder

MINUTES = 10
GOAL = 2.0


@dataclass(frozen=True)
class Case:
    """One piece of work, done by both. `{in}` is the film; both run in an empty folder of their own."""

    name: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]


_HLS = ("-f", "hls", "-hls_time", "6", "-hls_playlist_type", "vod")
CASES = (
    Case("package, HLS and DASH, fMP4", ("package", "-i", "{in}", "--segment", "6s", "out"),
         ("-f", "dash", "-seg_duration", "6", "-hls_playlist", "1", "out/manifest.mpd")),
    Case("package, HLS, fMP4", ("package", "-i", "{in}", "--no-dash", "--segment", "6s", "out"),
         (*_HLS, "-hls_segment_type", "fmp4", "out/index.m3u8")),
    Case("package, HLS, TS", ("package", "-i", "{in}", "--format", "ts", "--segment", "6s", "out"),
         (*_HLS, "out/index.m3u8")),
    Case("segment, MP4", ("segment", "-i", "{in}", "--time", "6s", "out/%05d.mp4"),
         ("-f", "segment", "-segment_time", "6", "-reset_timestamps", "1", "out/%05d.mp4")),
    Case("segment, fMP4", ("segment", "-i", "{in}", "--time", "6s", "--format", "fmp4", "out/%05d.mp4"),
         ("-f", "segment", "-segment_time", "6", "-reset_timestamps", "1", "-segment_format_options",
          "movflags=frag_keyframe+empty_moov+default_base_moof", "out/%05d.mp4")),
    Case("segment, MKV", ("segment", "-i", "{in}", "--time", "6s", "out/%05d.mkv"),
         ("-f", "segment", "-segment_time", "6", "-reset_timestamps", "1", "out/%05d.mkv")),
    Case("segment, TS", ("segment", "-i", "{in}", "--time", "6s", "out/%05d.ts"),
         ("-f", "segment", "-segment_time", "6", "out/%05d.ts")),
    Case("relay to MP4", ("relay", "-i", "{in}", "out/film.mp4"), ("out/film.mp4",)),
    Case("relay to TS", ("relay", "-i", "{in}", "out/film.ts"), ("out/film.ts",)),
    Case("relay to FLV", ("relay", "-i", "{in}", "out/film.flv"), ("out/film.flv",)),
)  # fmt: skip


def film() -> Path:
    """Ten minutes of the sample as an ordinary MP4."""
    path = BIN / f"film{MINUTES}.mp4"
    if not path.exists():
        part = path.with_suffix(".part")
        subprocess.run([need("ffmpeg"), "-hide_banner", "-loglevel", "error", "-y", "-stream_loop", "-1",
                        "-i", str(sample()), "-c", "copy", "-t", str(MINUTES * 60), "-movflags", "+faststart",
                        "-f", "mp4", str(part)], check=True, timeout=300)  # fmt: skip
        part.rename(path)
    return path


def _run(command: list[str], folder: Path) -> tuple[float, int]:
    """(CPU seconds, largest resident KiB) of one run in an empty folder."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").mkdir()
    # Installed modules are compiled once; an environment that forbids that would count compiling at every start.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def run(rounds: int, names: list[str]) -> None:
    """Print medians of interleaved rounds and their ratios."""
    source = str(film())
    cases = [case for case in CASES if not names or any(name in case.name for name in names)]
    print(f"\nfiles: {rounds} interleaved rounds, {MINUTES} min, {Path(source).stat().st_size / 1e6:.0f} MB MP4, "
          "2 Mbit/s H.264 720p25 + AAC; CPU seconds, start-up included", flush=True)  # fmt: skip
    ours: dict[str, list[tuple[float, int]]] = {case.name: [] for case in cases}
    theirs: dict[str, list[tuple[float, int]]] = {case.name: [] for case in cases}
    evotools = str(Path(sys.executable).with_name("evotools"))
    ffmpeg = [need("ffmpeg"), "-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-i", source, "-c", "copy"]
    with temp_folder() as folder:
        for number in range(rounds):
            for case in cases:
                command = [evotools, "-q", *(source if word == "{in}" else word for word in case.ours)]
                if not number:
                    _run(command, folder)
                ours[case.name].append(_run(command, folder))
                theirs[case.name].append(_run([*ffmpeg, *case.theirs], folder))
    for case in cases:
        mine, other = (median(cpu for cpu, _ in taken[case.name]) for taken in (ours, theirs))
        size = median(rss for _, rss in ours[case.name]) / 1024
        verdict = "" if mine <= GOAL * other else f"  (goal {GOAL:g} missed)"
        print(f"  {case.name:28} evotools {mine:.2f}, ffmpeg {other:.2f}: {mine / other:.2f} ×; "
              f"evotools at most {size:.0f} MiB{verdict}", flush=True)  # fmt: skip
