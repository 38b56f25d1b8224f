"""Reading MP4: CPU per frame beside libavformat through PyAV, and the memory that a film of 10 GB takes.

The film has no bytes: its tables describe samples that lie in holes of a sparse file.
"""

import resource
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

from bench.files import film
from bench.tools import need, rss_kb, temp_folder
from evotools.containers.libav import LibavReader
from evotools.containers.mp4.boxes import box, full_box
from evotools.containers.mp4.demux import Mp4Demuxer
from evotools.containers.mp4.entries import sample_entry
from evotools.containers.mp4.reader import Mp4Reader
from evotools.media.frame import Event, Frame
from evotools.media.track import Kind, Track

SIZE = 10_000_000_000
PICTURE_BYTES = 40_000
SOUND_BYTES = 400
PER_CHUNK = 25
VIDEO = Track(1, Kind.VIDEO, "vp8", 12800, width=1920, height=1080)
AUDIO = Track(2, Kind.AUDIO, "aac", 48000, b"\x11\x90", sample_rate=48000, channels=2)


def _u32(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def _trak(track: Track, count: int, size: int, duration: int, places: Iterable[int]) -> bytes:
    """A track of equal samples, told one by one as writers do."""
    chunks = list(places)
    handler = b"vide" if track.kind is Kind.VIDEO else b"soun"
    sizes = _u32(size) * count
    stbl = box(
        b"stbl",
        full_box(b"stsd", 0, 0, _u32(1), sample_entry(track)),
        full_box(b"stts", 0, 0, _u32(1, count, duration)),
        full_box(b"stsc", 0, 0, _u32(1, 1, PER_CHUNK, 1)),
        full_box(b"stsz", 0, 0, _u32(0, count), sizes),
        full_box(b"co64", 0, 0, _u32(len(chunks)), struct.pack(f">{len(chunks)}Q", *chunks)),
    )
    media = box(
        b"mdia",
        full_box(b"mdhd", 0, 0, _u32(0, 0, track.timescale, count * duration), b"\x55\xc4\0\0"),
        full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(13)),
        box(b"minf", stbl),
    )
    return box(b"trak", full_box(b"tkhd", 0, 3, _u32(0, 0, track.id, 0, 0), bytes(60)), media)


def sparse(path: Path, *, apart: bool) -> int:
    """Write the film, its header at the end; number of frames. `apart`: all pictures, then all sound."""
    seconds = SIZE // (25 * PICTURE_BYTES + 47 * SOUND_BYTES)
    pictures, sounds = 25 * seconds, 46 * seconds // PER_CHUNK * PER_CHUNK
    video, audio = PER_CHUNK * PICTURE_BYTES, PER_CHUNK * SOUND_BYTES
    start = 48
    if apart:
        video_places = [start + n * video for n in range(seconds)]
        audio_places = [start + seconds * video + n * audio for n in range(sounds // PER_CHUNK)]
    else:
        # A second of pictures, then its sound: two chunks, now and then one.
        video_places, audio_places = [], []
        at = start
        for second in range(seconds):
            video_places.append(at)
            at += video
            while (
                len(audio_places) * PER_CHUNK * 1024 < (second + 1) * 48000 and len(audio_places) < sounds // PER_CHUNK
            ):
                audio_places.append(at)
                at += audio
    end = max(video_places[-1] + video, audio_places[-1] + audio)
    moov = box(
        b"moov",
        full_box(b"mvhd", 0, 0, _u32(0, 0, 1000, seconds * 1000), bytes(80)),
        _trak(VIDEO, pictures, PICTURE_BYTES, 512, video_places),
        _trak(AUDIO, sounds, SOUND_BYTES, 1024, audio_places),
    )
    with path.open("wb") as file:
        file.write(box(b"ftyp", b"isom" + bytes(12)) + b"\0\0\0\1mdat" + (end - 24).to_bytes(8, "big"))
        file.seek(end)
        file.write(moov)
    return pictures + sounds


def _watch(command: list[str]) -> tuple[float, int]:
    """(CPU seconds, largest resident memory in KB) of a child."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    most = 0

    def look() -> None:
        nonlocal most
        while process.poll() is None:
            most = max(most, rss_kb(process.pid))
            time.sleep(0.01)

    thread = threading.Thread(target=look)
    thread.start()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process.wait()
    thread.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        sys.exit(f"bench: {command} ended with {process.returncode}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, most


def _memory() -> None:
    program = [sys.executable, "-m", "evotools"]
    with temp_folder() as folder:
        _, idle = _watch([*program, "relay", "-i", str(film()), "null:"])
        print(f"\nmemory: films of {SIZE / 1e9:.0f} GB, sparse, header at the end; relay of the {film().name}: "
              f"{idle / 1024:.0f} MB", flush=True)  # fmt: skip
        for apart in (False, True):
            path = folder / "film.mp4"
            frames = sparse(path, apart=apart)
            # Filling the page cache from holes costs the kernel far more than either reader.
            _warm(path)
            cpu, most = _watch([*program, "relay", "-i", str(path), "null:"])
            copy = [need("ffmpeg"), "-loglevel", "quiet", "-nostdin", "-i", str(path), "-c", "copy", "-f", "null", "-"]
            theirs_cpu, theirs = _watch(copy)
            layout = "pictures, then sound" if apart else "interleaved"
            print(f"  {layout:20} {frames} frames, {path.stat().st_size / 1e9:.2f} GB: at most {most / 1024:.0f} MB "
                  f"resident, {cpu:.1f} s CPU ({cpu / frames * 1e6:.1f} µs a frame); ffmpeg -c copy to null "
                  f"{theirs / 1024:.0f} MB, {theirs_cpu:.1f} s", flush=True)  # fmt: skip
            path.unlink()


def _warm(path: Path) -> None:
    buffer = bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _by_place(path: Path) -> list[Event]:
    reader = Mp4Reader(path.stat().st_size)
    events: list[Event] = []
    with path.open("rb", buffering=0) as file:
        while (wanted := reader.want()) is not None:
            file.seek(wanted[0])
            events += reader.give(file.read(wanted[1]))
    return events


def _from_the_front(path: Path) -> list[Event]:
    demuxer = Mp4Demuxer()
    events: list[Event] = []
    with path.open("rb", buffering=0) as file:
        while data := file.read(256 * 1024):
            events += demuxer.feed(data)
    return events + demuxer.flush()


def _by_libav(path: Path) -> list[Event]:
    reader = LibavReader(f"file:{path}", options={"protocol_whitelist": "file"})
    events = list(reader)
    reader.close()
    return events


def run(rounds: int) -> None:
    """Print cost per frame and the ratio to PyAV, medians of interleaved rounds; then memory."""
    ways: dict[str, Callable[[Path], list[Event]]] = {
        "at any place": _by_place, "from the front": _from_the_front, "PyAV": _by_libav,
    }  # fmt: skip
    path = film()
    count = sum(isinstance(event, Frame) for event in _by_place(path))
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begun = time.process_time()
            way(path)
            costs[name].append(time.process_time() - begun)
    told = {name: median(values) / count * 1e6 for name, values in costs.items()}
    size = path.stat().st_size / 1e6
    print(f"\nmp4: {rounds} interleaved rounds over {size:.0f} MB, {count} frames; CPU µs per frame, reading included",
          flush=True)  # fmt: skip
    print("  " + ", ".join(f"{name} {cost:.2f}" for name, cost in told.items())
          + f"; ours / PyAV {told['at any place'] / told['PyAV']:.2f}", flush=True)  # fmt: skip
    _memory()
