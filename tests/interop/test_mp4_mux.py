"""MP4 as we write it, in the eyes of FFmpeg old (Debian's 5.1) and new (9), GStreamer and VLC.

Payloads byte for byte, times tick for tick; finished files, streams of fragments, CMAF segments, and files that were
cut off.
"""

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest

from evotools.containers.libav import LibavReader
from evotools.containers.mp4.fragment import Auxiliary, emsg, fragment, prft, sidx
from evotools.containers.mp4.hybrid import HybridWriter
from evotools.containers.mp4.mux import CmafTrack, Fmp4Muxer
from evotools.containers.mp4.protection import Protection
from evotools.media.frame import Frame, Tracks
from evotools.media.track import Kind, Track
from tests.commands.program import start as start_evotools
from tests.conftest import need
from tests.interop.peers import ffmpeg5, ffmpeg9, until
from tests.interop.players import on_disk, play_gstreamer, play_vlc
from tests.together import once, together
from tests.unit.containers.zoo import packets

pytestmark = pytest.mark.interop

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=2")
SOUND = ("-f", "lavfi", "-i", "sine=440:d=2:r=48000")
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "25", "-pix_fmt", "yuv420p")
CASES: dict[str, tuple[str, ...]] = {
    "h264-aac.mp4": (*PICTURE, *SOUND, *X264, "-c:a", "aac", "-ac", "2"),
    "h264-anamorphic.mp4": (*PICTURE, *X264, "-vf", "setsar=64/45", "-colorspace", "bt709", "-color_primaries", "bt709",
                            "-color_trc", "bt709"),
    "h265-opus.mp4": (*PICTURE, *SOUND, "-c:v", "libx265", "-x265-params", "log-level=none:keyint=25", "-tag:v", "hvc1",
                      "-c:a", "libopus"),
    "h265-open-gop.mp4": (*PICTURE, "-c:v", "libx265", "-x265-params", "log-level=none:keyint=25:open-gop=1", "-tag:v",
                          "hvc1"),
    "av1-flac.mp4": (*PICTURE, *SOUND, "-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "keyint=25", "-c:a",
                     "flac"),
    "vp9-mp3.mp4": (*PICTURE, *SOUND, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "25",
                    "-c:a", "libmp3lame"),
    "vp8.webm": (*PICTURE, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"),
    "ac3.mp4": (*SOUND, "-c:a", "ac3"),
    "eac3.mp4": (*SOUND, "-ac", "6", "-c:a", "eac3"),
    "ac3.ts": (*SOUND, "-c:a", "ac3"),
    "mp2.mp4": (*SOUND, "-c:a", "mp2"),
    "mp3-22050.mp4": ("-f", "lavfi", "-i", "sine=440:d=2:r=22050", "-c:a", "libmp3lame"),
    "flac-96000.flac": ("-f", "lavfi", "-i", "sine=440:d=2:r=96000", "-c:a", "flac"),
    "opus-51.mp4": (*SOUND, "-ac", "6", "-c:a", "libopus"),
    "mpeg2-alac.mkv": (*PICTURE, *SOUND, "-c:v", "mpeg2video", "-bf", "2", "-c:a", "alac"),
    "mpeg4.mp4": (*PICTURE, "-c:v", "mpeg4", "-bf", "2"),
}  # fmt: skip

Made = tuple[Path, tuple[Track, ...], list[Frame]]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """A case's file, made at the first call, and what is in it."""
    folder = tmp_path_factory.mktemp("sources")

    def source(name: str) -> Made:
        path = folder / name
        call(ffmpeg9(), *CASES[name], str(path))
        reader = LibavReader(f"file:{path}", options={"protocol_whitelist": "file"})
        events = list(reader)
        reader.close()
        tracks = next(e for e in events if isinstance(e, Tracks)).tracks
        return path, tracks, [e for e in events if isinstance(e, Frame)]

    return once(source)


def call(program: str, *args: str) -> str:
    command = [program, "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *args]
    environment = {**os.environ, "SVT_LOG": "0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environment)
    # Whatever is said at this level is an error in the file.
    said = "\n".join(line for line in done.stderr.splitlines() if line.strip() and not line.startswith("Svt["))
    assert done.returncode == 0 and not said, f"{' '.join(command)}\n{done.stderr}"
    return done.stdout


def hybrid(tracks: Sequence[Track], frames: Iterable[Frame], path: Path, *, finish: bool = True) -> None:
    writer = HybridWriter()
    with path.open("wb") as file:
        file.write(writer.start(tracks))
        for frame in frames:
            file.write(writer.write(frame))
        if finish:
            last, patches = writer.finish()
            file.write(last)
            for offset, patch in patches:
                file.seek(offset)
                file.write(patch)


def stream(tracks: Sequence[Track], frames: Iterable[Frame], path: Path, muxer: Fmp4Muxer | None = None) -> None:
    muxer = muxer or Fmp4Muxer()
    path.write_bytes(b"".join([muxer.start(tracks), *map(muxer.write, frames), muxer.finish()]))


WRITERS: dict[str, Callable[[Sequence[Track], Iterable[Frame], Path], None]] = {
    "hybrid": hybrid,
    "gop": stream,
    "frame": lambda tracks, frames, path: stream(tracks, frames, path, Fmp4Muxer("frame")),
    "half a second": lambda tracks, frames, path: stream(tracks, frames, path, Fmp4Muxer(0.5)),
}

Row = tuple[int, int, str]
"""dts, pts, hash of the payload."""


def framemd5(text: str) -> list[Row]:
    cells = [line.split(",") for line in text.splitlines() if not line.startswith("#")]
    return [(int(c[1]), int(c[2]), c[5].strip()) for c in cells]


def rows(program: str, path: Path, stream: int) -> list[Row]:
    source = ("-copyts", "-i", str(path), "-map", f"0:{stream}")
    return framemd5(call(program, *source, "-c", "copy", "-f", "framemd5", "-"))


def decrypted(program: str, path: Path, stream: int) -> list[str]:
    """Hashes of the payloads in the clear. Through a pipe: of a file FFmpeg 5.1 reads all fragments at once, and keeps
    the auxiliary information of the last."""
    command = [program, "-v", "error", "-decryption_key", KEY.hex(), "-i", "-", "-map", f"0:{stream}", "-c", "copy",
               "-f", "framemd5", "-"]  # fmt: skip
    done = subprocess.run(command, input=path.read_bytes(), capture_output=True, check=True)
    assert not done.stderr, done.stderr.decode()
    return [digest for _, _, digest in framemd5(done.stdout.decode())]


def hashed(frames: Iterable[Frame]) -> list[str]:
    return [hashlib.md5(f.payload).hexdigest() for f in frames]


@pytest.mark.parametrize("program", [ffmpeg5, ffmpeg9], ids=["5.1", "9"])
@pytest.mark.parametrize("name", [name for name in CASES if name.endswith(".mp4")])
@together
def test_a_copy_of_an_mp4_is_the_original_to_the_tick(
    sources: Callable[[str], Made], tmp_path: Path, name: str, program: Callable[[], str]
) -> None:
    original, tracks, frames = sources(name)
    path = tmp_path / "out.mp4"
    wanted = [rows(program(), original, index) for index in range(len(tracks))]
    for writer in ("hybrid", "gop"):
        WRITERS[writer](tracks, frames, path)
        assert [rows(program(), path, index) for index in range(len(tracks))] == wanted


@pytest.mark.parametrize("name", list(CASES))
@together
def test_every_writer_keeps_every_packet(sources: Callable[[str], Made], tmp_path: Path, name: str) -> None:
    _, tracks, frames = sources(name)
    base = min(Fraction(f.pts, f.track.timescale) for f in frames)
    base = base if base >= 0 else Fraction(0)
    for writer, write in WRITERS.items():
        path = tmp_path / f"{writer}.mp4"
        write(tracks, frames, path)
        for track, theirs in zip(tracks, packets(path), strict=True):
            own = [f for f in frames if f.track.id == track.id]
            assert [p["data_hash"] for p in theirs] == [f"MD5:{h}" for h in hashed(own)], writer
            for frame, packet in zip(own, theirs, strict=True):
                assert abs(Fraction(frame.pts, track.timescale) - base - Fraction(packet["pts_time"])) < Fraction(
                    1, 900
                )
                assert ("K" in packet["flags"]) == frame.key or track.kind is Kind.AUDIO
        if writer in ("hybrid", "gop"):
            call(ffmpeg5(), "-xerror", "-i", str(path), "-f", "null", "-")
            call(ffmpeg9(), "-xerror", "-i", str(path), "-f", "null", "-")


@pytest.mark.parametrize("writer", ["hybrid", "gop", "frame"])
@pytest.mark.parametrize("name", ["h264-aac.mp4", "h265-opus.mp4", "vp9-mp3.mp4"])
@together
def test_gstreamer_and_vlc_play(sources: Callable[[str], Made], tmp_path: Path, name: str, writer: str) -> None:
    _, tracks, frames = sources(name)
    folder = tmp_path / "made"
    folder.mkdir()
    WRITERS[writer](tracks, frames, folder / "out.mp4")
    with on_disk(folder) as copy:
        shown = play_gstreamer(f"file://{copy / 'out.mp4'}")
        assert shown.of("video")[0].count == 50
        assert shown.of("audio")[0].last_s == pytest.approx(2.0, abs=0.06)
        if name == "h264-aac.mp4":
            (video,) = play_vlc(str(copy / "out.mp4"), frames=40).of("video")
            assert 40 <= video.count <= 50


@pytest.mark.parametrize("name", ["h264-aac.mp4", "h265-open-gop.mp4", "av1-flac.mp4", "h265-opus.mp4"])
@together
def test_cmaf_segments(sources: Callable[[str], Made], tmp_path: Path, name: str) -> None:
    _, tracks, frames = sources(name)
    for track in tracks:
        own = [f for f in frames if f.track.id == track.id]
        shift = max(Fraction(-min(f.dts for f in own), track.timescale), Fraction(0))
        cmaf = CmafTrack(track)
        starts = [i for i, f in enumerate(own) if f.key and i % 25 == 0] if track.kind is Kind.VIDEO else [0, 30, 60]
        data, following = cmaf.init(), None
        for number, start in enumerate(starts):
            end = starts[number + 1] if number + 1 < len(starts) else len(own)
            after = own[end].dts if end < len(own) else None
            lead = prft(1, 1.7e9, 0) + emsg("urn:x", "1", 1000, 0, 0, number)
            segment = cmaf.segment(number + 1, own[start:end], after, shift=shift, chunk="gop", lead=lead)
            assert following in (None, segment.base_decode_time)
            assert segment.earliest_pts == segment.presentation_time or "open-gop" in name
            following = segment.base_decode_time + segment.duration
            data += b"".join(segment.parts)
        path = tmp_path / "out.mp4"
        path.write_bytes(data)
        (theirs,) = packets(path)
        assert [p["data_hash"] for p in theirs] == [f"MD5:{h}" for h in hashed(own)]
        late = {p["pts"] - cmaf.timescale * Fraction(f.pts, track.timescale) for f, p in zip(own, theirs, strict=True)}
        assert len(late) == 1 and late.pop() == pytest.approx(float(shift * cmaf.timescale), abs=1)
        for program in (ffmpeg5(), ffmpeg9()):
            call(program, "-xerror", "-i", str(path), "-f", "null", "-")
        with on_disk(tmp_path) as copy:
            shown = play_gstreamer(f"file://{copy / 'out.mp4'}")
            if track.kind is Kind.VIDEO:
                assert shown.of("video")[0].count == len(own)
            else:
                assert shown.of("audio")[0].last_s == pytest.approx(2.0, abs=0.06)


@together
def test_a_file_cut_off_plays_up_to_its_last_fragment(sources: Callable[[str], Made], tmp_path: Path) -> None:
    _, tracks, frames = sources("h264-aac.mp4")
    path = tmp_path / "out.mp4"
    hybrid(tracks, frames, path, finish=False)
    video = [f for f in frames if f.track.kind is Kind.VIDEO]
    for program in (ffmpeg5(), ffmpeg9()):
        theirs = rows(program, path, 0)
        assert [(dts, pts) for dts, pts, _ in theirs] == [(f.dts, f.pts) for f in video[:25]]
        call(program, "-xerror", "-i", str(path), "-f", "null", "-")
    # A torn last fragment costs no more than itself.
    stream(tracks, frames, path)
    data = path.read_bytes()
    path.write_bytes(data[: data.rfind(b"moof") + 3000])
    command = [need("ffprobe"), "-v", "quiet", "-show_packets", "-select_streams", "v", str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.count("[PACKET]") >= 25


@together
def test_a_killed_recording_plays(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    process = start_evotools("relay", "-i", "test:?size=64x64&realtime=0", str(path))
    try:
        until(lambda: path.exists() and path.read_bytes().count(b"moof") > 5, "fragments")
    finally:
        process.kill()
        process.wait(30)
    for program in (ffmpeg5(), ffmpeg9()):
        # The last fragment may be torn.
        command = [program, "-v", "quiet", "-i", str(path), "-map", "0:v", "-f", "framemd5", "-"]
        decoded = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        assert len(framemd5(decoded)) >= 6 * 25


@together
def test_what_ffprobe_says_of_a_file(sources: Callable[[str], Made], tmp_path: Path) -> None:
    _, tracks, frames = sources("h264-aac.mp4")
    named = [tracks[0], tracks[1].with_(language="deu", label="Erzähler"), tracks[1].with_(id=9, language="eng")]
    wide, _ = sources("h264-anamorphic.mp4")[1][0], None
    video = [f.shifted(named[0], f.dts, f.pts) for f in frames if f.track.id == tracks[0].id]
    sound = [f.shifted(t, f.dts, f.pts) for t in named[1:] for f in frames if f.track.id == tracks[1].id]
    path = tmp_path / "out.mp4"
    hybrid(named, sorted([*video, *sound], key=lambda f: f.dts_s), path)

    def told(path: Path, what: str) -> list[str]:
        done = subprocess.run([need("ffprobe"), "-v", "error", "-show_entries", what, "-of", "csv=p=0", str(path)],
                              capture_output=True, text=True, check=True)  # fmt: skip
        return done.stdout.split()

    assert told(path, "stream_tags=language,handler_name") == ["und,VideoHandler", "deu,Erzähler", "eng,SoundHandler"]
    assert told(path, "stream_disposition=default") == ["1", "1", "0"]
    assert told(path, "stream=nb_frames") == ["50", *[str(len(sound) // 2)] * 2]
    assert told(path, "format=duration") == ["2.000000"]
    assert told(path, "format_tags=major_brand") == ["isom"]
    _, _, wide_frames = sources("h264-anamorphic.mp4")
    hybrid([wide], wide_frames, path)
    assert told(path, "stream=sample_aspect_ratio,color_space") == ["64:45,bt709"]


@together
def test_new_parameter_sets_in_mid_file(sources: Callable[[str], Made], tmp_path: Path) -> None:
    """160x120, then 160x120 with other samples: both decode, by the second sample entry or in band."""
    _, (track, *_), frames = sources("h264-aac.mp4")
    first = [f for f in frames if f.track.id == track.id]
    _, (other, *_), second = sources("h264-anamorphic.mp4")
    late = [f.shifted(other, f.dts + 50 * 512, f.pts + 50 * 512) for f in second]
    assert track.timescale == other.timescale and track.config != other.config
    for name in ("hybrid", "chained"):
        path = tmp_path / f"{name}.mp4"
        writer: HybridWriter | Fmp4Muxer = HybridWriter() if name == "hybrid" else Fmp4Muxer()
        data = bytearray(writer.start([track]))
        for frame in first:
            data += writer.write(frame)
        data += writer.start([other])
        for frame in late:
            data += writer.write(frame)
        if isinstance(writer, HybridWriter):
            last, ((offset, patch),) = writer.finish()
            data += last
            data[offset : offset + len(patch)] = patch
        else:
            data += writer.finish()
        path.write_bytes(data)
        for program in (ffmpeg5(), ffmpeg9()):
            if name == "hybrid":
                call(program, "-xerror", "-i", str(path), "-f", "null", "-")
            command = [program, "-v", "quiet", "-i", str(path), "-f", "framecrc", "-fps_mode", "passthrough", "-"]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            assert len([line for line in text.splitlines() if line.startswith("0,")]) == 100


@together
def test_prft_emsg_and_sidx_as_ffprobe_reads_them(sources: Callable[[str], Made], tmp_path: Path) -> None:
    _, (track, *_), frames = sources("h264-aac.mp4")
    own = [f for f in frames if f.track.id == track.id]
    cmaf = CmafTrack(track)
    room = Fraction(-own[0].dts, track.timescale)
    parts = [
        cmaf.segment(1, own[:25], own[25].dts, shift=room, styp=b""),
        cmaf.segment(2, own[25:], None, shift=room, styp=b""),
    ]
    index = sidx(1, cmaf.timescale, parts[0].presentation_time, [(p.size, p.duration, True) for p in parts])
    path = tmp_path / "out.mp4"
    clock = prft(1, 1_700_000_000.25, 0)
    data = b"".join((cmaf.init(), index, emsg("urn:x", "1", 1000, 0, 0, 1), clock, *parts[0].parts, *parts[1].parts))
    path.write_bytes(data)
    done = subprocess.run([need("ffprobe"), "-v", "trace", "-show_packets", "-select_streams", "v", str(path)],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert "type:'sidx'" in done.stderr and "type:'emsg'" in done.stderr and "type:'prft'" in done.stderr
    assert done.stdout.count("[PACKET]") == 50
    # The index is whole: nothing has to be read to know how long the file is.
    assert "duration=2.0" in subprocess.run([need("ffprobe"), "-v", "error", "-show_entries", "format=duration",
                                             str(path)], capture_output=True, text=True, check=True).stdout  # fmt: skip


KEY, KID = bytes(range(16)), bytes(range(100, 116))


@cache
def aes(mode: str, iv: bytes, data: bytes) -> bytes:
    command = [need("openssl"), "enc", f"-aes-128-{mode}", "-K", KEY.hex(), "-iv", iv.hex(), "-nopad"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def cenc(frames: Sequence[Frame]) -> tuple[list[bytes], list[Auxiliary]]:
    """AES-CTR; of video all but the first 32 bytes, in whole blocks from the end (ISO/IEC 23001-7 9.5)."""
    payloads, auxiliary = [], []
    for frame in frames:
        iv = hashlib.md5(frame.payload).digest()[:8]
        payload = frame.payload
        clear = len(payload)
        if frame.track.kind is Kind.AUDIO:
            clear = 0
        elif len(payload) > 48:
            clear = 32 + (len(payload) - 32) % 16
        payloads.append(payload[:clear] + aes("ctr", iv + bytes(8), payload[clear:]))
        parts = [(clear, len(payload) - clear)] if frame.track.kind is Kind.VIDEO else []
        auxiliary.append(Auxiliary(iv, parts))
    return payloads, auxiliary


def cbcs(frames: Sequence[Frame]) -> tuple[list[bytes], list[Auxiliary]]:
    """AES-CBC with a constant IV, one block in ten of video (10.4)."""
    payloads, auxiliary = [], []
    for frame in frames:
        video = frame.track.kind is Kind.VIDEO
        clear = min(40, len(frame.payload)) if video else 0
        out = bytearray(frame.payload)
        blocks = range(clear, len(out) - 15, 160 if video else 16)
        hidden = aes("cbc", KID, b"".join(bytes(out[at : at + 16]) for at in blocks)) if blocks else b""
        for number, at in enumerate(blocks):
            out[at : at + 16] = hidden[number * 16 : number * 16 + 16]
        payloads.append(bytes(out))
        auxiliary.append(Auxiliary(b"", [(clear, len(out) - clear)] if video else []))
    return payloads, auxiliary


@pytest.mark.parametrize("scheme", ["cenc", "cbcs"])
@pytest.mark.parametrize("chunk", ["segment", "frame"])
@together
def test_encrypted_tables_lead_ffmpeg_to_the_clear(
    sources: Callable[[str], Made], tmp_path: Path, scheme: str, chunk: str
) -> None:
    """No cipher of ours: the tables are what is tested."""
    _, tracks, frames = sources("h264-aac.mp4")
    for track in tracks:
        video = track.kind is Kind.VIDEO
        own = [f for f in frames if f.track.id == track.id]
        pattern = (1, 9) if video else (0, 0)
        protection = Protection(b"cbcs", KID, 0, KID, *pattern) if scheme == "cbcs" else Protection(b"cenc", KID)
        cmaf = CmafTrack(track, protection=protection, cipher=cbcs if scheme == "cbcs" else cenc)
        shift = Fraction(1024, 48_000)
        segments = [cmaf.segment(n + 1, own[n * 25 : n * 25 + 25], None, shift=shift, chunk=chunk)  # type: ignore[arg-type]
                    for n in range(2)]  # fmt: skip
        path = tmp_path / "out.mp4"
        path.write_bytes(cmaf.init() + b"".join(part for s in segments for part in s.parts))
        for program in (ffmpeg5(), ffmpeg9()):
            assert decrypted(program, path, 0) == hashed(own[:50])


@together
def test_several_runs_in_one_fragment_are_found_by_all(sources: Callable[[str], Made], tmp_path: Path) -> None:
    """Auxiliary information of several tracks in one moof: each saio counts from the moof."""
    from evotools.containers.mp4.fragment import Run
    from evotools.containers.mp4.init import init_segment

    _, tracks, frames = sources("h264-aac.mp4")
    runs = []
    for number, track in enumerate(tracks, 1):
        own = [f for f in frames if f.track.id == track.id][:25]
        payloads, auxiliary = cenc(own)
        runs.append(
            Run(number, 0, own, [512 if track.kind is Kind.VIDEO else 1024] * 25, (), None, payloads, auxiliary)
        )
    protections = {t.id: Protection(b"cenc", KID) for t in tracks}
    path = tmp_path / "out.mp4"
    path.write_bytes(init_segment(tracks, protections=protections) + b"".join(fragment(1, runs)))
    for index, track in enumerate(tracks):
        own = [f for f in frames if f.track.id == track.id][:25]
        for program in (ffmpeg5(), ffmpeg9()):
            assert decrypted(program, path, index) == hashed(own)
