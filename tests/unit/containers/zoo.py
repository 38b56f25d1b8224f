"""Small files of many kinds, made by Debian's ffmpeg, and what ffprobe says of a file."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from evotools.containers.libav import LibavReader
from evotools.media.frame import Event, Frame
from tests.conftest import need, run_ffmpeg

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=1.2")
SOUND = ("-f", "lavfi", "-i", "sine=440:d=1.2:r=48000")
RECIPES: dict[str, tuple[str, ...]] = {
    "h264-b.mp4": (*PICTURE, *SOUND, "-c:v", "libx264", "-bf", "3", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac"),
    "h264-b.mkv": (*PICTURE, *SOUND, "-c:v", "libx264", "-bf", "3", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac"),
    "h265-b.mp4": (*PICTURE, "-c:v", "libx265", "-x265-params", "log-level=0:bframes=3", "-tag:v", "hvc1"),
    "vp9-opus.webm": (*PICTURE, *SOUND, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus"),
    "vp8-vorbis.webm": (*PICTURE, *SOUND, "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"),
    "av1.mkv": (*PICTURE, "-c:v", "libsvtav1", "-preset", "12"),
    "mp3.mp3": (*SOUND, "-c:a", "libmp3lame"),
    "ac3.mp4": (*SOUND, "-c:a", "ac3"),
    "eac3.mkv": (*SOUND, "-c:a", "eac3"),
    "flac.flac": (*SOUND, "-c:a", "flac"),
    "flac.ogg": (*SOUND, "-c:a", "flac"),
    "opus.ogg": (*SOUND, "-c:a", "libopus"),
    "pcma.mov": (*SOUND, "-ar", "8000", "-c:a", "pcm_alaw"),
    "h264-h265-mp3.mov": (*PICTURE, *SOUND, "-map", "0:v", "-map", "0:v", "-map", "1:a", "-c:v:0", "libx264",
                          "-c:v:1", "libx265", "-x265-params", "log-level=0", "-tag:v:1", "hvc1", "-c:a",
                          "libmp3lame", "-pix_fmt", "yuv420p"),
}  # fmt: skip


def make(folder: Path, name: str) -> Path:
    """The file of that name, made at the first call."""
    path = folder / name
    if not path.exists():
        run_ffmpeg(*RECIPES[name], str(path))
    return path


def packets(path: Path) -> list[list[dict[str, Any]]]:
    """ffprobe's packets per stream, with `data_hash`."""
    done = subprocess.run(
        [need("ffprobe"), "-v", "error", "-show_packets", "-show_streams", "-show_data_hash", "md5", "-of", "json",
         str(path)], capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    result: list[list[dict[str, Any]]] = [[] for _ in told["streams"]]
    for packet in told["packets"]:
        result[packet["stream_index"]].append(packet)
    return result


def digest(payload: bytes) -> str:
    """As ffprobe writes it."""
    return "MD5:" + hashlib.md5(payload).hexdigest()


def read(path: Path) -> tuple[list[Event], dict[int, list[Frame]]]:
    """All events of a file, and the frames by track id."""
    reader = LibavReader(f"file:{path}", options={"protocol_whitelist": "file"})
    events = list(reader)
    reader.close()
    frames: dict[int, list[Frame]] = {t.id: [] for t in reader.tracks}
    for event in events:
        if isinstance(event, Frame):
            frames[event.track.id].append(event)
    return events, frames
