"""What `evotools package` writes, played to the end by ffmpeg, GStreamer and VLC, from the web and from disk."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.browser.folder_server import FolderServer
from tests.browser.presentations import (
    FILM_FRAMES,
    FILM_SECONDS,
    FPS,
    LADDER_SIZES,
    LivePackage,
    ladder,
    looped,
    package,
    videogen,
)  # fmt: skip
from tests.interop.peers import ffmpeg9, until
from tests.interop.players import Shown, on_disk, play_ffmpeg, play_gstreamer, play_vlc
from tests.together import together

pytestmark = [pytest.mark.interop]

SECONDS = 6.0
FRAMES = int(SECONDS * FPS)
SLOW = pytest.mark.slow
MANIFESTS = ["index.m3u8", "manifest.mpd"]
ONE_AUDIO_FRAME_S = 1024 / 48000


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ladder(tmp_path_factory.mktemp("source") / "ladder.ts", SECONDS)


@pytest.fixture(scope="module")
def fmp4(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(tmp_path_factory.mktemp("packaged") / "fmp4", "-i", source, "--segment", "2s")


@pytest.fixture(scope="module")
def ts(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(tmp_path_factory.mktemp("packaged") / "ts", "-i", source, "--segment", "2s", "--format", "ts")


def served(folder: Path, manifest: str, player: Callable[[str], Shown]) -> Shown:
    """A folder from the web; nobody may ask for a file that is not there."""
    with FolderServer(folder) as server:
        shown = player(f"{server.url}/{manifest}")
        assert server.missing == []
        return shown


def whole(shown: Shown, sizes: list[tuple[int, int]], seconds: float, frames: int) -> None:
    """ffmpeg saw every rendition, every picture and all of the sound, evenly, together, and had nothing to say."""
    assert shown.said == ""
    videos, audios = shown.of("video"), shown.of("audio")
    assert [v.size for v in videos] == sizes
    for video in videos:
        assert video.count == frames
        assert video.last_s - video.first_s == pytest.approx(frames / FPS, abs=0.01)
        assert video.widest_step_s == pytest.approx(1 / FPS, abs=0.01)
    for audio in audios:
        assert audio.last_s - audio.first_s == pytest.approx(seconds, abs=ONE_AUDIO_FRAME_S)
        # ffmpeg counts negative composition offsets (ISO/IEC 14496-12 8.6.1.3) from the earliest: a frame too late.
        assert 0 <= videos[0].first_s - audio.first_s < 1.5 / FPS


def counted(shown: Shown, seconds: float, frames: int) -> None:
    """GStreamer decoded every picture of one rendition, and all of the sound."""
    (video,), (audio,) = shown.of("video"), shown.of("audio")
    assert video.count == frames
    assert audio.last_s == pytest.approx(seconds, abs=ONE_AUDIO_FRAME_S)


def nearly(shown: Shown, seconds: float, frames: int, lost: int = 10) -> None:
    """VLC came to the end; the last few packets stay in its muxer, and a few more where it changes renditions."""
    (video,), (audio,) = shown.of("video"), shown.of("audio")
    assert frames - lost <= video.count <= frames
    assert video.last_s - video.first_s > seconds - 0.5
    assert audio.last_s - audio.first_s > seconds - 0.5


@pytest.mark.parametrize("manifest", MANIFESTS)
@together
def test_renditions_with_b_frames(fmp4: Path, manifest: str) -> None:
    # FFmpeg 5's DASH demuxer ends when its first stream does: up to three packets of others are lost. 9 has that right.
    newest = play_ffmpeg if manifest == "index.m3u8" else _play_ffmpeg9
    whole(served(fmp4, manifest, newest), list(LADDER_SIZES), SECONDS, FRAMES)
    counted(served(fmp4, manifest, play_gstreamer), SECONDS, FRAMES)
    counted(served(fmp4, manifest, _playbin3), SECONDS, FRAMES)
    nearly(served(fmp4, manifest, partial(play_vlc, frames=FRAMES - 10)), SECONDS, FRAMES)


@together
def test_ffmpeg_5_reads_dash(fmp4: Path) -> None:
    shown = served(fmp4, "manifest.mpd", play_ffmpeg)
    assert shown.said == ""
    assert [s.size for s in shown.of("video")] == list(LADDER_SIZES)
    assert all(FRAMES - 3 <= s.count <= FRAMES for s in shown.of("video"))


@together
def test_renditions_in_ts(ts: Path) -> None:
    shown = served(ts, "index.m3u8", play_ffmpeg)
    # Each rendition carries the sound.
    assert len(shown.of("audio")) == 2
    whole(shown, list(LADDER_SIZES), SECONDS, FRAMES)
    counted(served(ts, "index.m3u8", play_gstreamer), SECONDS, FRAMES)
    counted(served(ts, "index.m3u8", _playbin3), SECONDS, FRAMES)
    nearly(served(ts, "v0/playlist.m3u8", partial(play_vlc, frames=FRAMES - 10)), SECONDS, FRAMES)


@pytest.mark.parametrize("manifest", MANIFESTS)
@together
def test_from_disk(fmp4: Path, manifest: str) -> None:
    with on_disk(fmp4) as copy:
        assert play_ffmpeg(str(copy / manifest)).of("video")[0].count == FRAMES
        # playbin3's own demuxers read from the web alone.
        counted(play_gstreamer(f"file://{copy / manifest}"), SECONDS, FRAMES)
        nearly(play_vlc(str(copy / manifest), frames=FRAMES - 10), SECONDS, FRAMES)


@pytest.mark.parametrize("manifest", MANIFESTS)
@together
def test_the_film(media_dir: Path, tmp_path: Path, manifest: str) -> None:
    folder = package(tmp_path / "film", "-i", media_dir / "bigbuckbunny.mp4")
    whole(served(folder, manifest, _play_ffmpeg9), [(1280, 720)], FILM_SECONDS, FILM_FRAMES)
    counted(served(folder, manifest, play_gstreamer), FILM_SECONDS, FILM_FRAMES)
    nearly(served(folder, manifest, partial(play_vlc, frames=FILM_FRAMES - 10)), FILM_SECONDS, FILM_FRAMES)


@SLOW
@together
def test_the_film_over_and_over(media_dir: Path, tmp_path: Path) -> None:
    folder = package(tmp_path / "film", "-i", looped(media_dir, tmp_path / "film.mp4", 8))
    for manifest in MANIFESTS:
        assert served(folder, manifest, _play_ffmpeg9).of("video")[0].count == 8 * FILM_FRAMES
        assert served(folder, manifest, play_gstreamer).of("video")[0].count == 8 * FILM_FRAMES


SOUNDS = [("h264", "mp3"), ("h264", "ac3"), ("h264", "eac3"), ("hevc", "aac"), ("av1", "opus"), ("vp9", "flac")]


@pytest.mark.parametrize(
    ("codec", "sound"), [pytest.param(*pair, marks=[] if pair[0] in ("hevc", "av1") else [SLOW]) for pair in SOUNDS]
)
@together
def test_other_codecs(tmp_path: Path, codec: str, sound: str) -> None:
    """With those that Chromium cannot decode."""
    source = videogen(tmp_path / "source.mkv", 4, "-c", codec, "--audio", sound)
    folder = package(tmp_path / "packaged", "-i", source, "--segment", "2s")
    for manifest in MANIFESTS:
        shown = served(folder, manifest, _play_ffmpeg9)
        assert shown.said == ""
        assert [s.count for s in shown.of("video")] == [4 * FPS]
        assert shown.of("audio")[0].last_s == pytest.approx(4, abs=0.1)
        decoded = served(folder, manifest, play_gstreamer)
        assert decoded.of("video")[0].count == 4 * FPS
        assert decoded.of("audio")[0].last_s == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("form", ["fmp4", pytest.param("ts", marks=SLOW)])
@together
def test_live(tmp_path: Path, form: str) -> None:
    with LivePackage(tmp_path / "live", "--format", form) as live:
        until(lambda: live.segments() >= 3, "three segments")
        for manifest in MANIFESTS if form == "fmp4" else MANIFESTS[:1]:
            shown = served(live.folder, manifest, lambda url: play_ffmpeg(url, copy=True, seconds=4))
            (video,) = shown.of("video")
            assert video.count >= 4 * FPS - 3
            assert video.widest_step_s == pytest.approx(1 / FPS, abs=0.001)
            assert shown.of("audio")
        assert live.end() == (0, "")
    # It says that it has ended, so players come to an end.
    counted_audio = served(live.folder, "index.m3u8", play_gstreamer).of("audio")[0]
    assert counted_audio.last_s > 4


def _play_ffmpeg9(url: str) -> Shown:
    return play_ffmpeg(url, program=ffmpeg9())


def _playbin3(url: str) -> Shown:
    return play_gstreamer(url, element="playbin3")
