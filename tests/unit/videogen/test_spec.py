"""Options of the test stream: what they mean, what is refused, and the way back to a URI."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.errors import EvotoolsError, UsageError
from evotools.uri import Uri
from evotools.videogen.spec import NAMES, QUERY_NAMES, AudioSpec, Spec, VideoSpec, parse, parse_start_time, to_uri


def spec(**options: str) -> Spec:
    return parse(options.items())


def from_uri(text: str) -> Spec:
    values, _ = Uri.parse(text).options(QUERY_NAMES)
    return parse(values.items())


def test_the_default_is_the_classic_videogen() -> None:
    made = spec()
    assert made.video == (VideoSpec("h264", 800, 600, 0, "baseline", "3.0"),)
    assert [(a.codec, a.channels) for a in made.audio] == [("aac", 2)]
    assert (made.fps, made.gop, made.pattern, made.pix_fmt) == (25, 25, "testsrc", "yuv420p")
    assert made.realtime
    assert made.frame_count is None


def test_level_3_is_not_claimed_for_pictures_far_above_it() -> None:
    assert spec(size="1920x1080").video[0].level == ""
    assert spec(size="640x480", fps="60").video[0].level == ""
    assert spec(size="1920x1080", level="4.1").video[0].level == "4.1"


def test_multi_is_the_source_documents_ladder() -> None:
    made = spec(multi="1")
    assert [(v.codec, v.width, v.height, v.profile) for v in made.video] == [
        ("h264", 800, 600, "baseline"), ("h264", 1920, 1080, "baseline"), ("h265", 1920, 1080, ""),
    ]  # fmt: skip
    assert [a.codec for a in made.audio] == ["aac", "mp3"]
    assert made.audio[1] == AudioSpec("mp3", 44100, 1, 64000)
    assert made.gop == 25


def test_ladder_rungs_take_defaults_from_the_other_options() -> None:
    made = spec(ladder="1920x1080@4M,1280x720@2M:hevc,640x360", codec="vp9", bitrate="500k")
    assert [(v.codec, v.width, v.bitrate_bps) for v in made.video] == [
        ("vp9", 1920, 4_000_000), ("h265", 1280, 2_000_000), ("vp9", 640, 500_000),
    ]  # fmt: skip


def test_a_key_frame_a_second_unless_told_otherwise() -> None:
    assert spec(fps="29.97").gop == 30
    assert spec(fps="50", gop="100").gop == 100


def test_a_seed_fixes_the_clock() -> None:
    assert spec(seed="1").start_s == 946_684_800
    assert spec().start_s is None
    assert spec(seed="1", start_time="2020-02-29T12:00:00+01:00").start_s == 1_582_974_000


def test_duration_in_frames() -> None:
    assert spec(duration="10s").frame_count == 250
    assert spec(duration="2s", fps="30000/1001").frame_count == 60


def test_later_options_override_earlier_ones() -> None:
    assert parse([("size", "320x240"), ("fps", "50"), ("size", "640x480")]).video[0].width == 640


@pytest.mark.parametrize(
    "options",
    [
        {"size": "801x600"}, {"size": "16x16"}, {"size": "9000x600"}, {"fps": "0"}, {"fps": "500"}, {"gop": "0"},
        {"codec": "theora"}, {"audio": "vorbis"}, {"codec": "none", "audio": "none"}, {"pattern": "nice"},
        {"seed": "x"}, {"seed": "-1"}, {"start_time": "yesterday"}, {"start_time": "nan"}, {"start_time": "1e300"},
        {"language": "english"}, {"tone": "-4"}, {"tone": "nan"}, {"multi": "maybe"},
        {"multi": "1", "size": "640x480"}, {"multi": "1", "ladder": "640x480"}, {"ladder": ","},
        {"audio": "mp3:11111"}, {"audio": "aac:48000:3"}, {"audio": "aac:1:2:3"},
        {"audio_rate": "44100", "audio": "opus"}, {"bitrate": "fast"}, {"bitrate": "1000T"}, {"duration": "soon"},
        {"colour": "red"}, {"x.crf": "1"}, {"ladder": ",".join(["640x480"] * 40)},
    ],
)  # fmt: skip
def test_nonsense_is_a_usage_error(options: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        parse(options.items())


def test_start_times() -> None:
    assert parse_start_time("2000-01-01T00:00:00Z") == parse_start_time("2000-01-01") == 946_684_800
    assert parse_start_time("12.5") == 12.5


def test_encoder_options_keep_their_kind() -> None:
    made = from_uri("test:?v.crf=18&a.cutoff=15000&opt.threads=2&opt.x264-params=keyint%3D5%3Aref%3D1")
    assert made.video_options == (("crf", "18"),)
    assert made.audio_options == (("cutoff", "15000"),)
    assert made.any_options == (("threads", "2"), ("x264-params", "keyint=5:ref=1"))


def test_a_uri_says_everything() -> None:
    made = from_uri(
        "test:?size=1280x720&fps=30&codec=hevc&audio=mp3&seed=1&duration=10s&bitrate=2M&pattern=smptebars&realtime=0"
    )
    assert made.video == (VideoSpec("h265", 1280, 720, 2_000_000),)
    assert (made.fps, made.seed, made.pattern, made.realtime) == (30, 1, "smptebars", False)
    with pytest.raises(UsageError, match="unknown option 'colour'"):
        from_uri("test:?colour=red")


@pytest.mark.parametrize(
    "options",
    [
        {}, {"multi": "1"}, {"ladder": "1920x1080@4M,1280x720@2M:hevc", "audio": "aac,mp3@96k:44100:1"},
        {"start_time": "2020-02-29T12:00:00+01:00"}, {"fps": "30000/1001", "tone": "440", "language": "deu"},
        {"v.x264-params": "keyint=5:ref=1&a=b", "opt.q": "1 2+3%"}, {"clock": "0", "blocks": "no", "realtime": "off"},
    ],
)  # fmt: skip
def test_to_uri_and_back(options: dict[str, str]) -> None:
    made = parse(options.items())
    assert from_uri(to_uri(made)) == made


@given(st.dictionaries(st.sampled_from(sorted(NAMES)), st.text(max_size=12), max_size=4))
def test_any_text_is_accepted_or_refused_in_words(options: dict[str, str]) -> None:
    try:
        made = parse(options.items())
    except EvotoolsError as error:
        assert error.code == 2
    else:
        assert made.fps >= Fraction(1)
        assert parse(made.pairs) == made
