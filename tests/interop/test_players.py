"""The players' helpers themselves, on what ffmpeg packages."""

from pathlib import Path

import pytest

from tests.browser.folder_server import FolderServer
from tests.conftest import run_ffmpeg
from tests.interop.players import PlayingFailed, on_disk, play_ffmpeg, play_gstreamer, play_vlc
from tests.together import together

pytestmark = [pytest.mark.interop]

SECONDS = 4.0
FRAMES = 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("packaged")
    run_ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i", "sine=f=440:r=48000", "-t", str(SECONDS),
        "-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25",
        "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "dash", "-seg_duration", "1",
        "-hls_playlist", "1", "-hls_master_name", "index.m3u8", str(made / "manifest.mpd"),
    )  # fmt: skip
    return made


@pytest.mark.parametrize("manifest", ["index.m3u8", "manifest.mpd"])
@together
def test_each_plays_to_the_end(folder: Path, manifest: str) -> None:
    with FolderServer(folder) as server:
        for copy in (False, True):
            shown = play_ffmpeg(f"{server.url}/{manifest}", copy=copy)
            (video,) = shown.of("video")
            assert (video.count, video.size) == (FRAMES, (320, 180))
            assert video.last_s - video.first_s == pytest.approx(SECONDS)
            assert video.widest_step_s == pytest.approx(0.04)
        for element in ("playbin", "playbin3"):
            shown = play_gstreamer(f"{server.url}/{manifest}", element=element)
            assert shown.of("video")[0].count == FRAMES
            assert shown.of("audio")[0].last_s == pytest.approx(SECONDS, abs=0.05)
        (video,) = play_vlc(f"{server.url}/{manifest}", frames=FRAMES - 9).of("video")
        assert FRAMES - 10 < video.count <= FRAMES
        assert server.missing == []


@pytest.mark.slow
@pytest.mark.parametrize("manifest", ["index.m3u8", "manifest.mpd"])
@together
def test_each_plays_from_disk(folder: Path, manifest: str) -> None:
    with on_disk(folder) as copy:
        assert play_ffmpeg(str(copy / manifest)).of("video")[0].count == FRAMES
        assert play_gstreamer(f"file://{copy / manifest}").of("video")[0].count == FRAMES
        assert FRAMES - 10 < play_vlc(str(copy / manifest), frames=FRAMES - 9).of("video")[0].count <= FRAMES


@pytest.mark.parametrize("manifest", ["index.m3u8", "manifest.mpd"])
@together
def test_a_missing_segment_is_noticed(folder: Path, manifest: str) -> None:
    with on_disk(folder) as copy, FolderServer(copy) as server:
        (copy / "chunk-stream0-00003.m4s").unlink()
        shown = play_ffmpeg(f"{server.url}/{manifest}")
        assert shown.of("video")[0].count < FRAMES
        assert "404" in shown.said
        assert server.missing
        with pytest.raises(PlayingFailed, match="Error on stream"):
            play_gstreamer(f"{server.url}/{manifest}")
