from fractions import Fraction

import pytest

from evotools.codecs import aac, h264, opus
from evotools.codecs.describe import describe, frame_duration, packet_samples
from evotools.errors import ParseError
from evotools.media.track import Kind, Track
from tests.unit.codecs import vectors
from tests.unit.codecs.fuzzing import ROUNDS, fuzz
from tests.unit.codecs.syntax import h264_sps, h265_sps, h265_vps

NTSC = Fraction(30000, 1001)
MP3_FRAME = b"\xff\xfb\x90\x00"


def track(codec: str, config: bytes = b"", timescale: int = 90000, **fields: object) -> Track:
    kind = Kind.VIDEO if codec in ("h264", "h265", "av1", "vp9", "vp8") else Kind.AUDIO
    return Track(1, kind, codec, timescale, config, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("codec", "config", "expected"),
    [
        ("h264", vectors.AVCC_HIGH, ("avc1.64000D", 322, 242, NTSC, "High", 0, 0)),
        ("h265", vectors.HVCC_MAIN10, ("hvc1.2.4.L60.90", 322, 242, NTSC, "Main 10", 0, 0)),
        ("av1", vectors.AV1C_SVT, ("av01.0.00M.08", 322, 242, None, "Main", 0, 0)),
        ("vp9", vectors.VPCC_P0, ("vp09.00.20.08", 0, 0, None, "Profile 0", 0, 0)),
        ("aac", bytes.fromhex("eb8a0800"), ("mp4a.40.29", 0, 0, None, "HE-AACv2", 44100, 2)),
        ("opus", vectors.OPUS_HEAD_51, ("opus", 0, 0, None, "", 48000, 6)),
        ("flac", vectors.STREAMINFO, ("fLaC", 0, 0, None, "", 44100, 1)),
        ("ac3", vectors.DAC3_51, ("ac-3", 0, 0, None, "", 48000, 6)),
        ("eac3", vectors.DEC3_51, ("ec-3", 0, 0, None, "", 48000, 6)),
        ("mp3", b"", ("mp4a.40.34", 0, 0, None, "", 0, 0)),
        ("pcmu", b"", ("ulaw", 0, 0, None, "", 8000, 1)),
        ("vp8", b"", ("vp8", 0, 0, None, "", 0, 0)),
        ("theora", b"whatever", ("", 0, 0, None, "", 0, 0)),
        ("vorbis", b"whatever", ("vorbis", 0, 0, None, "", 0, 0)),
    ],
)
def test_from_the_configuration(codec: str, config: bytes, expected: tuple[object, ...]) -> None:
    made = describe(track(codec, config))
    found = (made.codec_string, made.width, made.height, made.fps, made.profile, made.sample_rate, made.channels)
    assert found == expected
    assert (made.id, made.codec, made.timescale, made.config) == (1, codec, 90000, config)


@pytest.mark.parametrize(
    ("codec", "packet", "expected"),
    [
        ("mp3", MP3_FRAME, ("mp4a.40.34", 0, 0, 44100, 2)),
        ("mp2", b"\xff\xfd\x84\xc0", ("mp4a.40.33", 0, 0, 48000, 1)),
        ("ac3", vectors.AC3_51, ("ac-3", 0, 0, 48000, 6)),
        ("eac3", vectors.EAC3_51, ("ec-3", 0, 0, 48000, 6)),
        ("flac", vectors.FLAC_FRAME, ("fLaC", 0, 0, 44100, 1)),
        ("vp8", vectors.VP8_KEY, ("vp8", 322, 242, 0, 0)),
        ("vp9", vectors.VP9_KEY, ("vp09.00.20.08", 322, 242, 0, 0)),
        ("av1", vectors.AV1C_SVT[4:], ("av01.0.00M.08", 322, 242, 0, 0)),
    ],
)
def test_from_a_packet(codec: str, packet: bytes, expected: tuple[object, ...]) -> None:
    made = describe(track(codec), packet)
    assert (made.codec_string, made.width, made.height, made.sample_rate, made.channels) == expected


def test_a_packet_gives_vp9_and_av1_their_configuration() -> None:
    assert describe(track("vp9", fps=NTSC), vectors.VP9_KEY).config == vectors.VPCC_P0
    assert describe(track("av1"), vectors.AV1C_SVT[4:]).config == vectors.AV1C_SVT
    assert describe(track("vp9"), b"\x86\x00\x40\x92") == track("vp9")


def test_what_nothing_tells_stays() -> None:
    known = track("h264", b"\x01\x64\x00\x1f\xff\xe0\x00", width=640, height=360, fps=Fraction(25), language="deu")
    made = describe(known)
    assert (made.width, made.height, made.fps, made.language) == (640, 360, 25, "deu")
    assert (made.codec_string, made.profile) == ("avc1.64001F", "High")
    silent = h264.build_avcc([h264_sps()], [])
    assert describe(track("h264", silent, fps=Fraction(25))).fps == 25


def test_the_vps_tells_the_rate_when_the_sps_does_not() -> None:
    from evotools.codecs import h265

    config = h265.build_hvcc([h265_vps(timing=(1, 50))], [h265_sps()], [])
    assert describe(track("h265", config)).fps == 50


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9", "aac", "opus", "flac", "eac3"])
def test_broken_configurations(codec: str) -> None:
    with pytest.raises(ParseError):
        describe(track(codec, b"\xee"))


@pytest.mark.parametrize(
    ("made", "payload", "ticks"),
    [
        (track("aac", aac.build_asc(2, 48000, 2)), b"x", 1920),
        (track("aac", aac.build_asc(2, 44100, 2), 44100), b"x", 1024),
        (track("aac", aac.build_asc(5, 48000, 2), 48000), b"x", 2048),
        (track("aac", aac.build_asc(2, 48000, 2, short=True), 48000), b"x", 960),
        (track("aac"), b"x", 0),
        (track("opus", opus.build_head(2), 1000), b"\xfc", 20),
        (track("mp3"), MP3_FRAME, 2351),
        (track("ac3"), vectors.AC3_51, 2880),
        (track("eac3"), vectors.EAC3_51, 2880),
        (track("flac", timescale=44100), vectors.FLAC_FRAME, 925),
        (track("pcma", timescale=1000), bytes(160), 20),
        (track("h264"), b"x", 0),
    ],
)
def test_durations(made: Track, payload: bytes, ticks: int) -> None:
    assert frame_duration(made, payload) == ticks


def test_samples_do_not_round() -> None:
    assert packet_samples(track("mp3"), MP3_FRAME) == (1152, 44100)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize(
    ("codec", "config"),
    [("h264", vectors.AVCC_HIGH), ("h265", vectors.HVCC_MAIN), ("av1", vectors.AV1C_SVT), ("aac", vectors.ASC_PCE)],
)
def test_only_parse_errors(codec: str, config: bytes, rounds: int) -> None:
    fuzz(lambda data: describe(track(codec, data)), [config], rounds)
    fuzz(lambda data: describe(track(codec), data), [vectors.AV1C_SVT[4:]], rounds // 10)
