"""The harness itself: what ffmpeg packages plays to its end, and what is broken is seen to be broken."""

import re
import shutil
import struct
from pathlib import Path

import pytest

from tests.browser.folder_server import FolderServer
from tests.browser.play import PlaybackFailed, Played, Players
from tests.conftest import run_ffmpeg

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

SECONDS = 4.0
FRAMES = 100
SIZES = ((640, 360), (320, 180))

WAYS = [
    ("hls", "native"), ("hls", "hlsjs"), ("hls", "shaka"), ("ts", "native"), ("dash", "dashjs"), ("dash", "shaka"),
]  # fmt: skip
SLOW = pytest.mark.slow
"""What the tests of `package` go through as well, and second examples."""
SECOND = [("hls", "shaka"), ("dash", "shaka"), ("ts", "native")]
MANIFESTS = {"hls": "index.m3u8", "ts": "index.m3u8", "dash": "manifest.mpd"}
FOURTH = {"hls": ("s0_3.m4s", "s1_3.m4s"), "ts": ("s3.ts",), "dash": ("c0_4.m4s", "c1_4.m4s")}
"""The fourth segment of the video, from 3 to 4 s, in each rendition."""


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two renditions with B-frames, and sound: HLS with fMP4 and with TS, and DASH."""
    made = tmp_path_factory.mktemp("packaged")
    source = made / "source.mp4"
    run_ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=640x360:r=25", "-f", "lavfi", "-i", "sine=f=440:r=48000", "-t", str(SECONDS),
        "-map", "0:v", "-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25",
        "-keyint_min", "25", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-s:v:1", "320x180", "-b:v:0", "800k",
        "-b:v:1", "200k", "-c:a", "aac", str(source),
    )  # fmt: skip
    for name in MANIFESTS:
        (made / name).mkdir()
    hls = ("-c", "copy", "-f", "hls", "-hls_time", "1", "-hls_list_size", "0", "-hls_playlist_type", "vod")
    run_ffmpeg("-i", str(source), "-map", "0", *hls, "-hls_segment_type", "fmp4", "-var_stream_map",
               "v:0,agroup:a v:1,agroup:a a:0,agroup:a", "-hls_segment_filename", str(made / "hls/s%v_%d.m4s"),
               str(made / "hls/p%v.m3u8"))  # fmt: skip
    # By hand: of copied streams ffmpeg writes no codecs.
    (made / "hls/index.m3u8").write_text(
        '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",DEFAULT=YES,URI="p2.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=990000,RESOLUTION=640x360,CODECS="avc1.4d401e,mp4a.40.2",AUDIO="a"\np0.m3u8\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=310000,RESOLUTION=320x180,CODECS="avc1.4d400d,mp4a.40.2",AUDIO="a"\np1.m3u8\n'
    )
    run_ffmpeg("-i", str(source), "-map", "0:0", "-map", "0:2", *hls, "-hls_segment_filename", str(made / "ts/s%d.ts"),
               str(made / "ts/p.m3u8"))  # fmt: skip
    (made / "ts/index.m3u8").write_text(
        '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=990000,RESOLUTION=640x360,CODECS="avc1.4d401e,mp4a.40.2"\np.m3u8\n'
    )
    run_ffmpeg("-i", str(source), "-map", "0", "-c", "copy", "-f", "dash", "-seg_duration", "1", "-adaptation_sets",
               "id=0,streams=v id=1,streams=a", "-init_seg_name", "i$RepresentationID$.m4s", "-media_seg_name",
               "c$RepresentationID$_$Number$.m4s", str(made / "dash/manifest.mpd"))  # fmt: skip
    return made


@pytest.fixture
def folder(packaged: Path, tmp_path: Path) -> Path:
    """A copy, to be broken."""
    return Path(shutil.copytree(packaged, tmp_path / "copy"))


async def play(players: Players, folder: Path, kind: str, player: str, *, check: bool = True) -> Played:
    with FolderServer(folder / kind) as server:
        return await players.play(f"{server.url}/{MANIFESTS[kind]}", player, check=check, timeout_s=20)


@SLOW
@pytest.mark.parametrize(("kind", "player"), WAYS)
async def test_it_plays_to_the_end(players: Players, packaged: Path, kind: str, player: str) -> None:
    with FolderServer(packaged / kind) as server:
        played = await players.play(f"{server.url}/{MANIFESTS[kind]}", player)
        # ffmpeg's composition times begin two frames late.
        assert played.faults(SECONDS, SIZES, frames=FRAMES, tolerance_s=0.13) == []
        assert server.missing == []
        assert server.served(MANIFESTS[kind])
        assert played.wall_s < SECONDS


@SLOW
@pytest.mark.parametrize(("kind", "player"), [("hls", "hlsjs"), ("dash", "dashjs"), ("dash", "shaka")])
async def test_it_changes_renditions_on_the_way(players: Players, packaged: Path, kind: str, player: str) -> None:
    with FolderServer(packaged / kind) as server:
        url = f"{server.url}/{MANIFESTS[kind]}"
        played = await players.play(url, player, select=[(0.2, 180)], buffer_s=1, rate=3)
        assert played.faults(SECONDS, SIZES, tolerance_s=0.13) == []
        assert played.heights == [180, 360]
        assert played.selected == [True]
        assert played.switches[-1][1] == "180"


@pytest.mark.parametrize(
    ("kind", "player"), [pytest.param(*way, marks=[SLOW] if way in SECOND else []) for way in WAYS]
)
async def test_a_missing_segment_is_noticed(players: Players, folder: Path, kind: str, player: str) -> None:
    for name in FOURTH[kind]:
        (folder / kind / name).unlink()
    with FolderServer(folder / kind) as server:
        with pytest.raises(PlaybackFailed, match=r"COULD_NOT_PARSE|fragLoadError 404|is not available|BAD_HTTP_STATUS"):
            await players.play(f"{server.url}/{MANIFESTS[kind]}", player)
        assert set(server.missing) & set(FOURTH[kind])


@pytest.mark.parametrize(
    ("kind", "player"),
    [pytest.param(*way, marks=[SLOW] if way in SECOND else []) for way in WAYS if way[1] != "native"],
)
async def test_a_wrong_codec_is_noticed(players: Players, folder: Path, kind: str, player: str) -> None:
    """Chromium's own player and hls.js look into the segments instead, when they know the name."""
    wrong = "zzzz.1" if player == "hlsjs" else "vp09.00.10.08"
    manifest = folder / kind / MANIFESTS[kind]
    manifest.write_text(re.sub(r"avc1\.\w+", wrong, manifest.read_text()))
    with pytest.raises(PlaybackFailed, match=r"IncompatibleCodecs|doesn't match|MEDIA_SOURCE_OPERATION_FAILED"):
        await play(players, folder, kind, player)


@SLOW
@pytest.mark.parametrize(("kind", "player"), [("hls", "native"), ("dash", "dashjs")])
async def test_a_picture_that_never_came_is_noticed(players: Players, folder: Path, kind: str, player: str) -> None:
    """Both leave out what they do not know, and play the sound without a word."""
    manifest = folder / kind / MANIFESTS[kind]
    manifest.write_text(re.sub(r"avc1\.\w+", "zzzz.1", manifest.read_text()))
    played = await play(players, folder, kind, player)
    assert played.ended
    assert "no picture was decoded" in played.faults(SECONDS, SIZES)


@pytest.mark.parametrize(
    ("kind", "player"),
    [("hls", "hlsjs"), pytest.param("dash", "dashjs", marks=SLOW), pytest.param("dash", "shaka", marks=SLOW)],
)
async def test_a_hole_in_time_is_noticed(players: Players, folder: Path, kind: str, player: str) -> None:
    """In HLS, Chromium's own player and Shaka put each segment where the playlist's durations say."""
    for name in FOURTH[kind]:
        later(folder / kind / name, 0.9)
    played = await play(players, folder, kind, player, check=False)
    assert played.faults(SECONDS, SIZES, tolerance_s=0.13) != []


def later(segment: Path, seconds: float) -> None:
    """Move the decode time of a media segment: baseMediaDecodeTime, ISO/IEC 14496-12 8.8.12."""
    data = bytearray(segment.read_bytes())
    at = data.index(b"tfdt") + 4
    assert data[at] == 1
    (time,) = struct.unpack_from(">Q", data, at + 4)
    # It begins at 3 s, which tells the timescale.
    struct.pack_into(">Q", data, at + 4, time + round(time / 3 * seconds))
    segment.write_bytes(data)
