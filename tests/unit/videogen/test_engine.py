"""The test stream as frames: timing, canonical payloads, decodability, determinism, encoder options."""

from fractions import Fraction
from typing import Any

import av
import pytest

from evotools.codecs.nal import split_lengths
from evotools.codecs.paramsets import to_annexb
from evotools.errors import UsageError
from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from evotools.videogen.blocks import Stamp, read_blocks
from evotools.videogen.engine import Engine
from evotools.videogen.spec import PATTERNS, parse

START_S = 946_684_800.0
SMALL = "320x240"


def make(start_s: float = START_S, step: int = 7, **options: str) -> tuple[tuple[Track, ...], list[Frame]]:
    options = {"size": SMALL, "duration": "2s", **options}
    options = {n: v for n, v in options.items() if v}
    engine = Engine(parse(options.items()), 1)
    frames: list[Frame] = []
    while not engine.finished:
        frames += engine.step(step, start_s)
    return engine.tracks, frames


def of(frames: list[Frame], track: Track) -> list[Frame]:
    return [f for f in frames if f.track.id == track.id]


def decode(track: Track, frames: list[Frame]) -> list[Any]:
    """Everything in the frames, decoded strictly."""
    names = {"h265": "hevc", "av1": "libdav1d", "opus": "libopus"}
    context = av.CodecContext.create(names.get(track.codec, track.codec), "r")
    context.options = {"err_detect": "explode"}
    annexb = track.codec in ("h264", "h265")
    if track.config and not annexb and track.codec not in ("av1", "vp9"):
        context.extradata = track.config
    result = []
    for frame in frames:
        packet = av.Packet(to_annexb(frame) if annexb else frame.payload)
        packet.pts = frame.pts
        result += context.decode(packet)
    return result + context.decode(None)


def stamp(picture: Any) -> Stamp | None:
    plane = picture.planes[0]
    return read_blocks(memoryview(plane), plane.line_size, picture.width, picture.height)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "vp8"])
def test_every_video_codec_decodes_and_shows_its_time(codec: str) -> None:
    (track,), frames = make(codec=codec, audio="none")
    assert track.codec == {"hevc": "h265"}.get(codec, codec)
    assert (track.kind, track.width, track.height, track.fps) == (Kind.VIDEO, 320, 240, 25)
    assert track.codec_string
    assert bool(track.config) == (codec != "vp8")
    assert [f.pts for f in frames] == [f.dts for f in frames] == [n * 3600 for n in range(50)]
    assert [n for n, f in enumerate(frames) if f.key] == [0, 25]
    assert {f.track for f in frames} == {track}
    pictures = decode(track, frames)
    assert [stamp(p) for p in pictures] == [Stamp(n, 946_684_800_000 + n * 40) for n in range(50)]


@pytest.mark.parametrize(
    ("audio", "size"),
    [("aac", 1024), ("mp3", 1152), ("mp3:44100:1", 1152), ("opus", 960), ("ac3", 1536), ("eac3", 1536), ("flac", 0),
     ("aac:44100:1", 1024)],
)  # fmt: skip
def test_every_audio_codec_starts_at_zero_and_decodes(audio: str, size: int) -> None:
    (track,), frames = make(codec="none", audio=audio)
    assert track.kind is Kind.AUDIO
    assert track.timescale == track.sample_rate
    assert bool(track.config) == (track.codec in ("aac", "opus", "flac"))
    assert frames[0].pts == 0
    step = size or frames[0].duration
    assert [f.pts for f in frames] == list(range(0, 2 * track.sample_rate, step))
    assert all(f.key and f.dts == f.pts for f in frames)
    sounds = decode(track, frames)
    assert sum(s.samples for s in sounds) >= 2 * track.sample_rate - 3 * step
    whole = sounds[0].format.name.startswith("s16")
    samples = [v for s in sounds for v in memoryview(s.planes[0]).cast("h" if whole else "f")]
    loudest = max(map(abs, samples)) / (32768 if whole else 1)
    assert 0.4 < loudest <= 1.0


def test_h264_payloads_are_canonical() -> None:
    (track, _), frames = make()
    assert track.codec_string == "avc1.42C01E"
    assert track.profile
    for frame in of(frames, track):
        kinds = [nal[0] & 0x1F for nal in split_lengths(frame.payload)]
        assert not {7, 8, 9} & set(kinds)
        assert (5 in kinds) == frame.key


def test_frames_come_in_decode_order_with_their_time_of_day() -> None:
    tracks, frames = make(ladder="320x240,160x120:hevc", audio="aac,mp3:44100:1", size="", language="deu")
    assert [t.codec for t in tracks] == ["h264", "h265", "aac", "mp3"]
    assert [t.language for t in tracks] == ["", "", "deu", "deu"]
    assert [t.id for t in tracks] == [1, 2, 3, 4]
    times = [f.dts_s for f in frames]
    assert times == sorted(times)
    for frame in frames:
        assert frame.wallclock_s == pytest.approx(START_S + frame.pts_s)


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_batches_do_not_change_the_stream(step: int) -> None:
    _, once = make(step=1, audio="ac3")
    _, again = make(step=step, audio="ac3")
    assert [(f.dts, f.payload) for f in once] == [(f.dts, f.payload) for f in again]


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "vp8"])
def test_a_seed_gives_the_same_bytes(codec: str) -> None:
    first, second = (make(seed="1", codec=codec, audio="aac,opus", bitrate="300k") for _ in range(2))
    assert first[0] == second[0]
    assert [(f.track.id, f.dts, f.payload) for f in first[1]] == [(f.track.id, f.dts, f.payload) for f in second[1]]


@pytest.mark.parametrize("fps", ["30000/1001", "24", "50", "59.94", "7"])
def test_frame_rates_are_exact(fps: str) -> None:
    tracks, frames = make(fps=fps)
    video = of(frames, tracks[0])
    rate = tracks[0].fps
    assert rate is not None
    assert len(video) == round(2 * rate)
    for n, frame in enumerate(video):
        assert Fraction(frame.pts, tracks[0].timescale) == n / rate
    assert [n for n, f in enumerate(video) if f.key][:2] == [0, round(rate)]


def test_b_frames_move_all_tracks_together() -> None:
    tracks, frames = make(**{"profile": "main", "v.bf": "2", "duration": "3s"})
    video, audio = (of(frames, t) for t in tracks)
    assert min(f.dts for f in video) == 0
    assert all(f.pts >= f.dts for f in video)
    assert any(f.pts > f.dts + 3600 for f in video)
    assert [f.dts for f in video] == sorted({f.dts for f in video})
    first = min(f.pts_s for f in video)
    assert first > 0
    assert audio[0].pts_s == first
    assert audio[0].wallclock_s == START_S
    assert [stamp(p) for p in decode(tracks[0], video)] == [Stamp(n, 946_684_800_000 + n * 40) for n in range(75)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(pattern: str) -> None:
    (track,), frames = make(pattern=pattern, audio="none", duration="0.5s", size="640x360")
    pictures = decode(track, frames)
    assert stamp(pictures[-1]) == Stamp(11, 946_684_800_440)
    middle = bytes(memoryview(pictures[0].planes[0]))[pictures[0].planes[0].line_size * 300 :][:640]
    # SMPTE bars go below black on purpose.
    assert min(middle) >= 7
    assert max(middle) <= 240


def test_size_and_colour_are_written_into_the_stream() -> None:
    (track,), frames = make(audio="none", size="1280x720", duration="0.2s")
    picture = decode(track, frames)[0]
    assert (picture.colorspace, picture.color_primaries, picture.color_trc, picture.color_range) == (1, 1, 1, 1)
    (track,), frames = make(audio="none", duration="0.2s")
    assert decode(track, frames)[0].colorspace == 6


@pytest.mark.parametrize(("codec", "tolerance"), [("h264", 0.01), ("hevc", 0.02)])
def test_the_bit_rate_is_kept_whatever_the_picture(codec: str, tolerance: float) -> None:
    (_,), frames = make(codec=codec, bitrate="1M", audio="none", duration="10s", pattern="smptebars")
    assert sum(len(f.payload) for f in frames) * 8 / 10 == pytest.approx(1e6, rel=tolerance)


def test_pixel_formats() -> None:
    (track,), frames = make(codec="hevc", pix_fmt="yuv422p", audio="none", duration="0.2s")
    assert decode(track, frames)[0].format.name == "yuv422p"


def test_encoder_options_reach_the_encoder() -> None:
    _, frames = make(**{"opt.x264-params": "keyint=10", "audio": "none"})
    assert [n for n, f in enumerate(frames) if f.key] == [0, 10, 20, 30, 40]
    _, small = make(**{"v.crf": "45", "audio": "none"})
    _, large = make(**{"v.crf": "15", "audio": "none"})
    assert sum(len(f.payload) for f in small) * 2 < sum(len(f.payload) for f in large)
    _, frames = make(**{"codec": "hevc", "v.x265-params": "keyint=10:min-keyint=10", "audio": "none"})
    assert [n for n, f in enumerate(frames) if f.key] == [0, 10, 20, 30, 40]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"opt.foo": "1"}, ("foo", "libx264", "aac")),
        ({"v.foo": "1"}, ("foo", "libx264")),
        ({"a.foo": "1"}, ("foo", "aac")),
        ({"opt.crf": "abc"}, ("crf", "abc", "libx264")),
        ({"opt.x264-params": "zork=1"}, ("zork", "libx264")),
        ({"opt.x264-params": "ref=abc"}, ("ref", "abc", "libx264")),
        ({"codec": "hevc", "opt.x265-params": "zork=1"}, ("zork", "libx265")),
        ({"codec": "hevc", "opt.x265-params": "ref=abc"}, ("ref", "abc", "libx265")),
        ({"codec": "av1", "opt.svtav1-params": "zork=1"}, ("zork", "libsvtav1")),
        ({"preset": "zzz"}, ("preset", "zzz", "libx264")),
        ({"codec": "hevc", "preset": "zzz"}, ("preset", "zzz", "libx265")),
        ({"tune": "zzz"}, ("zzz", "libx264")),
        ({"profile": "zzz"}, ("zzz", "libx264")),
        ({"level": "99"}, ("99", "libx264")),
        ({"pix_fmt": "pal8"}, ("pal8", "libx264")),
        ({"pix_fmt": "yuv444p"}, ("libx264",)),
        ({"codec": "vp9", "v.deadline": "zzz"}, ("deadline", "libvpx-vp9")),
        ({"codec": "none", "opt.crf": "20"}, ("crf", "aac")),
    ],
)
def test_what_an_encoder_refuses_is_a_usage_error(options: dict[str, str], words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        make(**options)
    for word in words:
        assert word in str(caught.value)
