"""Data messages of RTMP and FLV as timed ID3 in MPEG-TS: shown by ffprobe, in the way of nobody's pictures."""

import json
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evotools.codecs import id3
from evotools.containers import sniff
from evotools.containers.flv.mux import FlvMuxer
from evotools.media.frame import Event, Frame, Metadata, Tracks
from evotools.media.track import Kind
from tests.commands.program import Serving
from tests.conftest import need
from tests.interop.peers import evotools, fetch, ffmpeg5, ffmpeg9, finish, on_air, until
from tests.interop.players import on_disk, play_ffmpeg, play_gstreamer, play_vlc
from tests.together import together

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

SECONDS, FIRST = 6, 2
SHOW = "stream=codec_name,nb_read_packets"


def events_of(path: Path, form: str) -> list[Event]:
    demuxer = sniff.make_demuxer(form, stored=True)
    return [*demuxer.feed(path.read_bytes()), *demuxer.flush()]


def cues_of(path: Path, form: str) -> list[tuple[str, object]]:
    return [(e.name, e.value) for e in events_of(path, form) if isinstance(e, Metadata) and e.name != "onMetaData"]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FLV with an onTextData every second from the second on."""
    folder = tmp_path_factory.mktemp("cues")
    finish([
        need("ffmpeg"), "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i",
        "sine=f=440:r=48000", "-t", str(SECONDS), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p",
        "-g", "50", "-c:a", "aac", str(folder / "plain.flv"),
    ])  # fmt: skip
    muxer = FlvMuxer()
    parts, due = [], FIRST
    for event in events_of(folder / "plain.flv", "flv"):
        if isinstance(event, Tracks):
            parts.append(muxer.start(event.tracks))
        elif isinstance(event, Frame):
            if event.track.kind is Kind.VIDEO and event.dts_s >= due:
                parts.append(muxer.write_metadata(Metadata("onTextData", {"text": f"{due} s", "n": due}, event.dts_s)))
                due += 1
            parts.append(muxer.write(event))
    path = folder / "cues.flv"
    path.write_bytes(b"".join([*parts, muxer.finish()]))
    return path


@pytest.fixture(scope="module")
def ts(film: Path) -> Path:
    """The same through a pipe, as MPEG-TS."""
    path = film.with_suffix(".ts")
    with film.open("rb") as source, path.open("wb") as out:
        subprocess.run(evotools("relay", "-"), stdin=source, stdout=out, check=True, timeout=60)
    return path


@together
def test_ffprobe_shows_them_and_no_fault(ts: Path) -> None:
    told = json.loads(finish([need("ffprobe"), "-v", "warning", "-count_packets", "-show_entries", SHOW, "-of", "json",
                              str(ts)]))["streams"]  # fmt: skip
    assert {s["codec_name"]: int(s["nb_read_packets"]) for s in told}["timed_id3"] == SECONDS - FIRST
    for program in (ffmpeg5(), ffmpeg9()):
        assert play_ffmpeg(str(ts), program=program).of("video")[0].count == SECONDS * 25


@together
def test_ffmpeg_gives_the_tags(ts: Path) -> None:
    # Debian's 5.1 takes the first five bytes of every tag for the header of a metadata access unit, of its own too.
    data = subprocess.run([ffmpeg9(), "-v", "error", "-i", str(ts), "-map", "0:d", "-c", "copy", "-f", "data", "-"],
                          capture_output=True, check=True, timeout=60).stdout  # fmt: skip
    tags = id3.split(data)
    assert len(tags) == SECONDS - FIRST
    assert [name for name, _ in id3.frames(tags[0])] == ["TXXX", "TSSE"]
    assert id3.texts(id3.frames(tags[0])[0][1]) == ["onTextData", '{"text":"2 s","n":2.0}']


@together
def test_what_ffmpeg_copies_comes_back_as_the_same_messages(film: Path, ts: Path, tmp_path: Path) -> None:
    copy, back = tmp_path / "copy.ts", tmp_path / "back.flv"
    finish([ffmpeg9(), "-v", "error", "-i", str(ts), "-map", "0", "-c", "copy", str(copy)])
    assert cues_of(copy, "ts") == cues_of(film, "flv")
    finish(evotools("-q", "relay", "-i", str(copy), str(back)))
    assert cues_of(back, "flv") == cues_of(film, "flv")


@together
def test_a_program_map_that_changes_does_not_disturb_players(ts: Path) -> None:
    assert play_gstreamer(ts.as_uri()).of("video")[0].count == SECONDS * 25
    with on_disk(ts.parent) as copy:
        shown = play_vlc(str(copy / ts.name), frames=SECONDS * 25 - 5)
    assert shown.of("video")[0].count >= SECONDS * 25 - 5


@contextmanager
def live(film: Path) -> Iterator[str]:
    """The address of a stream that begins now."""
    with Serving(config=["hub.grace=0.1s"]) as server:
        publisher = subprocess.Popen(evotools("-q", "relay", "-i", str(film), f"{server.rtmp}/live/cues"))
        try:
            until(lambda: on_air(server.http, "live/cues"), "the stream")
            yield f"{server.http}/live/cues.ts"
        finally:
            publisher.kill()
            publisher.wait()


@together
def test_live_viewers_get_them_whether_they_come_before_or_after_the_first(film: Path, tmp_path: Path) -> None:
    with live(film) as url:
        early = tmp_path / "early.ts"
        reader = subprocess.Popen([need("curl"), "-s", "-o", str(early), url])
        until(lambda: early.exists() and b"onTextData" in early.read_bytes(), "the first message")
        # Shorter than the half second in which program tables would come again by themselves.
        late = json.loads(finish([need("ffprobe"), "-v", "error", "-probesize", "500000", "-show_entries", SHOW, "-of",
                                  "json", url]))["streams"]  # fmt: skip
        assert [s["codec_name"] for s in late] == ["h264", "aac", "timed_id3"]
        reader.wait(timeout=60)
        cues = cues_of(early, "ts")
        assert [name for name, _ in cues] == ["onTextData"] * (SECONDS - FIRST)
        assert play_ffmpeg(str(early)).said == ""


@together
def test_hls_segments_hold_them(film: Path, tmp_path: Path) -> None:
    with live(film) as url:
        playlist = url.replace(".ts", "/media.m3u8")
        segments: dict[str, bytes] = {}

        def gather() -> bytes:
            for line in fetch(playlist).decode().splitlines():
                if line and not line.startswith("#") and line not in segments:
                    segments[line] = fetch(urllib.parse.urljoin(playlist, line))
            return b"".join(segments.values())

        until(lambda: b"onTextData" in gather(), "a segment with a message")
        path = tmp_path / "joined.ts"
        path.write_bytes(gather())
        told = finish(
            [need("ffprobe"), "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", str(path)]
        )
        assert list(dict.fromkeys(told.split())) == ["h264", "aac", "timed_id3"]
        assert cues_of(path, "ts")[0] == ("onTextData", {"text": "2 s", "n": 2.0})


@pytest.mark.parametrize("suffix", ["ts", "flv", "m4s"])
@together
def test_recordings_hold_them_in_the_file_of_their_time(film: Path, tmp_path: Path, suffix: str) -> None:
    parts = finish(evotools("-q", "segment", "-i", str(film), "--time", "4s", str(tmp_path / f"%d.{suffix}"))).split()
    form = {"m4s": "mp4"}.get(suffix, suffix)
    told = [[value["n"] for _, value in cues_of(Path(part), form)] for part in parts]  # type: ignore[index]
    assert told == [[2, 3], [4, 5]]
    for event in events_of(Path(parts[1]), form):
        # FLV and MP4 count from the beginning of each file.
        if isinstance(event, Metadata) and event.name == "onTextData":
            begin_s = 0 if suffix == "ts" else 4
            assert event.time_s + begin_s == pytest.approx(event.value["n"], abs=0.06)


@together
def test_fragmented_mp4_holds_them(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "cues.mp4"
    with path.open("wb") as out:
        subprocess.run(evotools("-q", "relay", "-i", str(film), "-f", "fmp4", "-"), stdout=out, check=True, timeout=60)
    assert cues_of(path, "mp4") == cues_of(film, "flv")
    assert play_ffmpeg(str(path)).of("video")[0].count == SECONDS * 25
