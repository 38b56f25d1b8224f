"""MP4 as we write it, in Chromium: as files, and appended to a media source."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from evotools.containers.libav import LibavReader
from evotools.containers.mp4.entries import codec_string
from evotools.containers.mp4.hybrid import HybridWriter
from evotools.containers.mp4.mux import CmafTrack, Fmp4Muxer
from evotools.media.frame import Frame, Tracks
from evotools.media.track import Kind, Track
from tests.browser.chromium import Chromium, Page
from tests.browser.folder_server import FolderServer
from tests.interop.peers import ffmpeg9, finish, quiet

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=2")
SOUND = ("-f", "lavfi", "-i", "sine=440:d=2:r=48000", "-ac", "2")
SOURCES = {
    "h264": (*PICTURE, *SOUND, "-c:v", "libx264", "-bf", "3", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"),
    "wide": (*PICTURE, "-vf", "scale=320:240", "-c:v", "libx264", "-bf", "3", "-g", "25", "-pix_fmt", "yuv420p"),
    "av1": (*PICTURE, *SOUND, "-c:v", "libsvtav1", "-preset", "12", "-c:a", "libopus"),
    "vp9": (*PICTURE, *SOUND, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "flac"),
    "aac": (*SOUND, "-c:a", "aac"),
    "mp3": (*SOUND, "-c:a", "libmp3lame"),
}
FILES_ONLY = {"mp3"}
"""Chromium plays MP3 in MP4, but no media source takes it, under any name."""
PLAY = """
(async (parts) => {
  const video = document.querySelector("video"), told = {};
  const event = (on, name) => new Promise((done, fail) => {
    on.addEventListener(name, done, { once: true });
    video.addEventListener("error", () => fail(new Error(video.error.message)), { once: true });
  });
  if (typeof parts == "string") {
    video.src = parts;
  } else {
    const media = new MediaSource();
    video.src = URL.createObjectURL(media);
    await event(media, "sourceopen");
    const buffers = parts.map(([type]) => {
      if (!MediaSource.isTypeSupported(type)) throw new Error(type + " is not supported");
      return media.addSourceBuffer(type);
    });
    for (const [number, [, url]] of parts.entries()) {
      const buffer = buffers[number];
      const data = await (await fetch(url)).arrayBuffer();
      // In pieces that end anywhere, as they come from a network.
      for (let at = 0; at < data.byteLength; at += 20011) {
        buffer.appendBuffer(data.slice(at, at + 20011));
        await event(buffer, "updateend");
      }
      (told.spans ??= []).push([...Array(buffer.buffered.length).keys()].map(
        (i) => [buffer.buffered.start(i), buffer.buffered.end(i)]));
    }
    media.endOfStream();
  }
  const ended = event(video, "ended");
  video.playbackRate = 8;
  await video.play();
  await ended;
  const quality = video.getVideoPlaybackQuality();
  return JSON.stringify({ ...told, duration: video.duration, frames: quality.totalVideoFrames,
    size: [video.videoWidth, video.videoHeight] });
})(%s)
"""


def read(folder: Path, name: str) -> tuple[tuple[Track, ...], list[Frame]]:
    path = folder / f"{name}-source.mp4"
    finish([*quiet(ffmpeg9()), *SOURCES[name], str(path)])
    reader = LibavReader(f"file:{path}", options={"protocol_whitelist": "file"})
    events = list(reader)
    reader.close()
    return next(e for e in events if isinstance(e, Tracks)).tracks, [e for e in events if isinstance(e, Frame)]


def fragmented(tracks: Sequence[Track], frames: Iterable[Frame], muxer: Fmp4Muxer) -> bytes:
    return b"".join([muxer.start(tracks), *map(muxer.write, frames), muxer.finish()])


def file(tracks: Sequence[Track], frames: Iterable[Frame], *, cut: bool = False) -> bytes:
    writer = HybridWriter()
    data = bytearray(writer.start(tracks))
    for part in writer.write_all(frames):
        data += part
    if not cut:
        last, ((offset, patch),) = writer.finish()
        data += last
        data[offset : offset + len(patch)] = patch
    return bytes(data)


def mime(tracks: Sequence[Track]) -> str:
    kind = "video" if any(t.kind is Kind.VIDEO for t in tracks) else "audio"
    return f'{kind}/mp4; codecs="{",".join(map(codec_string, tracks))}"'


async def play(page: Page, what: str | list[tuple[str, str]]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(await page.evaluate(PLAY % json.dumps(what)))
    return told


def covers(span: list[list[float]], start: float, end: float) -> None:
    assert span == [[pytest.approx(start, abs=0.03), pytest.approx(end, abs=0.06)]]


async def test_chromium_plays_mp4(chromium: Chromium, tmp_path: Path) -> None:
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><video muted></video>")
    read_ = {name: read(tmp_path, name) for name in SOURCES}
    for name, (tracks, frames) in read_.items():
        (folder / f"{name}.mp4").write_bytes(file(tracks, frames))
        (folder / f"{name}-gop.mp4").write_bytes(fragmented(tracks, frames, Fmp4Muxer()))
        (folder / f"{name}-frame.mp4").write_bytes(fragmented(tracks, frames, Fmp4Muxer("frame")))
    tracks, frames = read_["h264"]
    (folder / "cut.mp4").write_bytes(file(tracks, frames, cut=True))
    shift = Fraction(1024, 48_000)
    for track in tracks:
        own = [f for f in frames if f.track.id == track.id]
        cmaf = CmafTrack(track)
        half = cmaf.segment(1, own[:50], own[50].dts if len(own) > 50 else None, shift=shift)
        rest = cmaf.segment(2, own[50:], None, shift=shift).parts if len(own) > 50 else []
        (folder / f"{track.kind}.cmf").write_bytes(b"".join((cmaf.init(), *half.parts, *rest)))
    # Another size in mid-stream.
    (wide, *_), second = read_["wide"]
    video = tracks[0]
    muxer = Fmp4Muxer()
    chained = muxer.start([video]) + b"".join(muxer.write(f) for f in frames if f.track.id == video.id)
    chained += muxer.start([wide])
    late = [f.shifted(f.track, f.dts + 2 * wide.timescale, f.pts + 2 * wide.timescale) for f in second]
    (folder / "chained.mp4").write_bytes(chained + b"".join(map(muxer.write, late)) + muxer.finish())
    with FolderServer(folder) as server:

        async def forms(*names: str) -> None:
            async with chromium.open(f"{server.url}/index.html") as page:
                for name in names:
                    tracks = read_[name][0]
                    pictures = 50 if tracks[0].kind is Kind.VIDEO else 0
                    told = await play(page, f"{name}.mp4")
                    assert (told["frames"], told["duration"]) == (pictures, pytest.approx(2.0, abs=0.06)), name
                    for form in ("gop", "frame") if name not in FILES_ONLY else ():
                        told = await play(page, [(mime(tracks), f"{name}-{form}.mp4")])
                        covers(told["spans"][0], 0, 2)
                        assert told["frames"] == pictures, (name, form)
                assert page.problems == []

        async def specials() -> None:
            async with chromium.open(f"{server.url}/index.html") as page:
                told = await play(page, "cut.mp4")
                assert told["frames"] >= 25
                told = await play(page, [(mime([t]), f"{t.kind}.cmf") for t in read_["h264"][0]])
                covers(told["spans"][0], float(shift), 2 + float(shift))
                covers(told["spans"][1], 0, 2)
                told = await play(page, [(mime([video]), "chained.mp4")])
                covers(told["spans"][0], 0, 4)
                assert told["frames"] == 100 and told["size"] == [320, 240]
                assert page.problems == []

        # Side by side: the most of it is waiting for the ends of films.
        async with asyncio.TaskGroup() as group:
            for names in (("h264", "wide"), ("av1", "mp3"), ("vp9", "aac")):
                group.create_task(forms(*names))
            group.create_task(specials())
