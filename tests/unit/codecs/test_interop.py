"""What we read from real encoders' streams against what libav says about them."""

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import pytest

from evotools.codecs import aac, ac3, av1, flac, h264, h265, mp3, opus, vp8, vp9
from evotools.codecs.describe import describe, packet_samples
from evotools.codecs.nal import split_lengths
from evotools.codecs.paramsets import AccessUnits, to_annexb
from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from tests.conftest import need

pytestmark = pytest.mark.interop

VIDEO = ["-f", "lavfi", "-i", "testsrc2=s=322x242:r=30000/1001", "-frames:v", "40", "-g", "20"]
INTERLACED = ["-f", "lavfi", "-i", "testsrc2=s=720x576:r=25", "-frames:v", "30", "-g", "12", "-flags", "+ildct+ilme"]
AUDIO = ["-f", "lavfi", "-i", "sine=d=0.6"]


def x265(options: str = "") -> list[str]:
    return [
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-tag:v",
        "hvc1",
        "-x265-params",
        "log-level=none:pools=1" + options,
    ]


def layout(name: str, rate: int = 48000) -> list[str]:
    return [*AUDIO, "-af", f"aformat=channel_layouts={name}:sample_rates={rate}"]


HDR = (
    ":colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hrd=1:vbv-maxrate=900:vbv-bufsize=900:bitrate=800"
    ":master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
)
PLAIN_MP3 = ["-c:a", "libmp3lame", "-write_xing", "0", "-id3v2_version", "0"]

STREAMS: dict[str, tuple[str, str, list[str]]] = {
    "h264 high": ("h264", "mp4", [*VIDEO, "-c:v", "libx264", "-preset", "fast"]),
    "h264 baseline": ("h264", "mp4", [*VIDEO, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-profile:v", "baseline"]),
    "h264 interlaced hrd": (
        "h264", "mp4",
        [*INTERLACED, "-c:v", "libx264", "-x264-params", "nal-hrd=cbr:bitrate=900:vbv-maxrate=900:vbv-bufsize=900"],
    ),
    "h264 open gop": ("h264", "mp4", [*VIDEO, "-c:v", "libx264", "-x264-params", "open-gop=1:keyint=10:scenecut=0"]),
    "h264 4:2:2 10 bit": ("h264", "mp4", [*VIDEO, "-pix_fmt", "yuv422p10le", "-c:v", "libx264", "-preset", "fast"]),
    "h264 4:4:4": ("h264", "mp4", [*VIDEO, "-pix_fmt", "yuv444p", "-c:v", "libx264", "-preset", "veryfast"]),
    "h264 slices": ("h264", "mp4", [*VIDEO, "-c:v", "libx264", "-preset", "ultrafast", "-slices", "4"]),
    "h265 main": ("h265", "mp4", [*VIDEO, *x265()]),
    "h265 main 10 hdr": (
        "h265", "mp4",
        [*VIDEO, "-pix_fmt", "yuv420p10le", *x265(HDR)],
    ),
    "h265 4:2:2 temporal layers": (
        "h265", "mp4", [*VIDEO, "-pix_fmt", "yuv422p", *x265(":temporal-layers=3:b-adapt=0:bframes=3")],
    ),
    "h265 open gop": ("h265", "mp4", [*VIDEO, *x265(":open-gop=1:keyint=10:min-keyint=10:no-scenecut=1")]),
    "av1 svt": ("av1", "mp4", [*VIDEO, "-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "lp=1"]),
    "av1 aom 4:4:4": ("av1", "mp4", [*VIDEO[:5], "5", "-pix_fmt", "yuv444p", "-c:v", "libaom-av1", "-cpu-used", "8",
                                     "-usage", "realtime"]),
    "vp9": ("vp9", "mp4", [*VIDEO, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"]),
    "vp9 profile 3": ("vp9", "mp4", [*VIDEO, "-pix_fmt", "yuv444p12le", "-c:v", "libvpx-vp9", "-deadline", "realtime",
                                     "-cpu-used", "8"]),
    "vp8": ("vp8", "webm", [*VIDEO, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"]),
    "aac mono": ("aac", "mp4", [*layout("mono", 22050), "-c:a", "aac"]),
    "aac stereo": ("aac", "mp4", [*layout("stereo", 44100), "-c:a", "aac"]),
    "aac 5.1": ("aac", "mp4", [*layout("5.1"), "-c:a", "aac"]),
    "aac program config": ("aac", "mp4", [*layout("hexagonal"), "-c:a", "aac"]),
    "opus mono 60 ms": ("opus", "webm", [*layout("mono"), "-c:a", "libopus", "-frame_duration", "60"]),
    "opus stereo 2.5 ms": ("opus", "webm", [*layout("stereo"), "-c:a", "libopus", "-frame_duration", "2.5"]),
    "opus 7.1": ("opus", "webm", [*layout("7.1"), "-c:a", "libopus", "-mapping_family", "1"]),
    "mp3 44.1": ("mp3", "mp3", [*layout("stereo", 44100), *PLAIN_MP3]),
    "mp3 mpeg 2": ("mp3", "mp3", [*layout("mono", 22050), *PLAIN_MP3]),
    "mp3 mpeg 2.5": ("mp3", "mp3", [*layout("mono", 8000), *PLAIN_MP3]),
    "mp2": ("mp2", "mp2", [*layout("stereo"), "-c:a", "mp2"]),
    "ac3 stereo 44.1": ("ac3", "mp4", [*layout("stereo", 44100), "-c:a", "ac3"]),
    "ac3 5.1": ("ac3", "mp4", [*layout("5.1"), "-c:a", "ac3"]),
    "eac3 mono": ("eac3", "mp4", [*layout("mono", 32000), "-c:a", "eac3"]),
    "eac3 5.1": ("eac3", "mp4", [*layout("5.1"), "-c:a", "eac3"]),
    "flac": ("flac", "mp4", [*layout("stereo", 44100), "-c:a", "flac", "-strict", "-2"]),
    "g711": ("pcmu", "mov", [*layout("mono", 8000), "-c:a", "pcm_mulaw"]),
}  # fmt: skip

_OPENED = {"h264": h264, "h265": h265}


Encoded = dict[str, tuple[Path, "Future[subprocess.CompletedProcess[str]]"]]
"""By name of a stream: where it is, and what its encoder says when it is complete."""


@pytest.fixture(scope="module", params=["debian", "latest"])
def encoded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encoded]:
    """Streams of Debian's FFmpeg 5.1, and of the latest one with other encoder versions; two are made at a time."""
    import imageio_ffmpeg

    ffmpeg = need("ffmpeg") if request.param == "debian" else str(imageio_ffmpeg.get_ffmpeg_exe())
    folder = tmp_path_factory.mktemp("streams")
    # Those that this run has selected.
    items = [i for i in request.session.items if i.path == request.path and hasattr(i, "callspec")]
    names = [i.callspec.params["name"] for i in items if i.callspec.params.get("encoded") == request.param]
    made: Encoded = {}
    with ThreadPoolExecutor(2) as pool:
        for number, name in enumerate(names):
            _, suffix, options = STREAMS[name]
            path = folder / f"{number}.{suffix}"
            command = [ffmpeg, "-v", "error", "-nostdin", "-y", *options, "-threads", "1", str(path)]
            made[name] = (
                path,
                pool.submit(subprocess.run, command, capture_output=True, text=True, timeout=100, check=False),
            )
        yield made


def probe(path: Path) -> dict[str, Any]:
    command = [need("ffprobe"), "-v", "error", "-show_streams", "-of", "json", str(path)]
    streams = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)["streams"]
    assert isinstance(streams[0], dict)
    return streams[0]


def box(data: bytes, name: bytes) -> bytes:
    """The body of the first box of that name."""
    at = data.index(name)
    return data[at + 4 : at - 4 + int.from_bytes(data[at - 4 : at], "big")]


def check_nal(codec: str, track: Track, packets: list[bytes], keys: list[bool], ours: bytes) -> None:
    assert ours == track.config
    units = AccessUnits(codec)
    for index, (packet, key) in enumerate(zip(packets, keys, strict=True)):
        unit = units.read(to_annexb(Frame(track, 0, 0, packet, key=key)))
        assert unit.key == key
        # x265 repeats its parameter sets in band when it writes HDR metadata; they leave the payload.
        sets = (h264.NAL_SPS, h264.NAL_PPS) if codec == "h264" else (h265.NAL_VPS, h265.NAL_SPS, h265.NAL_PPS)
        kept = [nal for nal in split_lengths(packet) if _OPENED[codec].nal_type(nal) not in sets]
        assert split_lengths(unit.payload) == kept
        assert (unit.config is not None) == (index == 0)
        if codec == "h264":
            assert unit.config in (None, track.config)


def check_h264(track: Track, packets: list[bytes], keys: list[bool], data: bytes) -> None:
    record = h264.parse_avcc(track.config)
    check_nal("h264", track, packets, keys, h264.build_avcc(record.sps, record.pps))


def check_h265(track: Track, packets: list[bytes], keys: list[bool], data: bytes) -> None:
    record = h265.parse_hvcc(track.config)
    check_nal("h265", track, packets, keys, h265.build_hvcc(record.vps, record.sps, record.pps, record.sei))


def check_av1(track: Track, packets: list[bytes], keys: list[bool], data: bytes) -> None:
    header = av1.find_sequence_header(packets[0])
    assert header is not None
    # SVT-AV1 tells other tools in the stream than in its global header; the fields of the record agree.
    assert av1.build_av1c(header)[:4] == track.config[:4]
    assert av1.build_av1c(av1.parse_av1c(track.config).config_obus) == track.config
    assert [av1.is_keyframe(packet) for packet in packets] == keys
    assert [av1.canonical(av1.TEMPORAL_DELIMITER + packet) for packet in packets] == packets


def check_vp9(track: Track, packets: list[bytes], keys: list[bool], data: bytes) -> None:
    assert [vp9.is_keyframe(packet) for packet in packets] == keys
    made = vp9.parse_vpcc(vp9.build_vpcc(vp9.parse_frame_header(packets[0]), track.fps))
    theirs = vp9.parse_vpcc(box(data, b"vpcC"))
    assert (made.profile, made.level, made.bit_depth) == (theirs.profile, theirs.level, theirs.bit_depth)
    assert max(made.chroma, 1) == max(theirs.chroma, 1)


def check_vp8(track: Track, packets: list[bytes], keys: list[bool], data: bytes) -> None:
    assert [vp8.is_keyframe(packet) for packet in packets] == keys


def check_aac(track: Track, packets: list[bytes], keys: list[bool], data: bytes) -> None:
    stream = b"".join(aac.to_adts(Frame(track, 0, 0, packet)) for packet in packets)
    units, rest = aac.split_adts(stream)
    assert rest == b""
    assert [unit[-len(packet) :] for unit, packet in zip(units, packets, strict=True)] == packets
    ours, theirs = aac.parse_asc(aac.asc_from_adts(stream)), aac.parse_asc(track.config)
    assert ours == theirs


def check_opus(track: Track, packets: list[bytes], keys: list[bool], data: bytes) -> None:
    head = opus.parse_head(track.config)
    assert (
        opus.build_head(head.channels, pre_skip=head.pre_skip, input_sample_rate=head.input_sample_rate) == track.config
    )


def check_mpeg_audio(track: Track, packets: list[bytes], keys: list[bool], data: bytes) -> None:
    assert mp3.split(b"".join(packets)) == (packets, b"")


def check_ac3(track: Track, packets: list[bytes], keys: list[bool], data: bytes) -> None:
    if track.codec == "ac3":
        assert ac3.build_dac3(packets[0]) == box(data, b"dac3")
    else:
        assert ac3.build_dec3(packets[0]) == box(data, b"dec3")
    assert ac3.split(b"".join(packets), end=True) == (packets, b"")


def check_flac(track: Track, packets: list[bytes], keys: list[bool], data: bytes) -> None:
    assert flac.build_streaminfo(flac.parse_streaminfo(track.config)) == track.config
    assert (
        sum(packet_samples(track, packet)[0] for packet in packets) == flac.parse_streaminfo(track.config).total_samples
    )


CHECKS: dict[str, Callable[[Track, list[bytes], list[bool], bytes], None]] = {
    "h264": check_h264, "h265": check_h265, "av1": check_av1, "vp9": check_vp9, "vp8": check_vp8, "aac": check_aac,
    "opus": check_opus, "mp3": check_mpeg_audio, "mp2": check_mpeg_audio, "ac3": check_ac3, "eac3": check_ac3,
    "flac": check_flac,
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_against_libav(name: str, encoded: Encoded) -> None:
    codec = STREAMS[name][0]
    path, encoding = encoded[name]
    done = encoding.result()
    assert done.returncode == 0, done.stderr
    told = probe(path)
    with av.open(str(path)) as container:
        stream = container.streams[0]
        config = stream.codec_context.extradata or b""
        pairs = [(bytes(packet), packet.is_keyframe) for packet in container.demux(stream) if packet.size]
    packets, keys = [packet for packet, _ in pairs], [key for _, key in pairs]
    if codec in ("vp9", "vp8", "ac3", "eac3"):
        config = b""
    video = told["codec_type"] == "video"
    bare = Track(1, Kind.VIDEO if video else Kind.AUDIO, codec, int(told["time_base"].split("/")[1]), config)
    track = describe(bare, packets[0])
    assert track.codec_string
    if video:
        assert (track.width, track.height) == (told["width"], told["height"])
        if codec in ("h264", "h265"):
            assert str(track.fps if track.fps is not None else "") == told["r_frame_rate"].removesuffix("/1")
            assert track.profile == told["profile"]
        else:
            assert told["profile"].endswith(track.profile.removeprefix("Profile "))
    else:
        assert (track.sample_rate, track.channels) == (int(told["sample_rate"]), told["channels"])
        durations = sum(samples / rate for samples, rate in (packet_samples(track, packet) for packet in packets))
        # Encoders add a delay and pad the last frame.
        assert 0.599 < durations < 0.85
    if codec in CHECKS:
        CHECKS[codec](track, packets, keys, path.read_bytes())


def test_a_broadcast_stream_becomes_what_a_remux_to_mp4_holds(media_dir: Path, tmp_path: Path) -> None:
    source, remuxed = media_dir / "sintel-captions.ts", tmp_path / "remuxed.mp4"
    command = [need("ffmpeg"), "-v", "error", "-nostdin", "-y", "-i", str(source), "-map", "0:v", "-c", "copy"]
    subprocess.run([*command, str(remuxed)], check=True, timeout=60)
    with av.open(str(remuxed)) as container:
        config = container.streams[0].codec_context.extradata or b""
        expected = [(bytes(packet), packet.is_keyframe) for packet in container.demux(video=0) if packet.size]
    with av.open(str(source)) as container:
        annexb = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    units = AccessUnits("h264")
    made = [units.read(packet) for packet in annexb]
    assert units.config == config
    assert units.dropped == 0
    assert [unit.config is not None for unit in made] == [index == 0 for index in range(len(made))]
    for unit, (payload, key) in zip(made, expected, strict=True):
        skip = (h264.NAL_AUD, h264.NAL_SPS, h264.NAL_PPS)
        assert split_lengths(unit.payload) == [nal for nal in split_lengths(payload) if h264.nal_type(nal) not in skip]
        assert unit.key == key
