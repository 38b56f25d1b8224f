import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs import aac
from evotools.codecs.bits import BitWriter
from evotools.errors import MediaError, ParseError
from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from tests.unit.codecs import vectors
from tests.unit.codecs.fuzzing import ROUNDS, fuzz

LC_44100_STEREO = bytes.fromhex("1210")
HE_V1 = bytes.fromhex("2b920800")
HE_V2 = bytes.fromhex("eb8a0800")
HE_V1_COMPATIBLE = bytes.fromhex("139056e5a0")
HE_V2_COMPATIBLE = bytes.fromhex("138856e5a54880")


def frame(payload: bytes, asc: bytes = LC_44100_STEREO) -> Frame:
    return Frame(Track(1, Kind.AUDIO, "aac", 90000, asc), 0, 0, payload, key=True)


@pytest.mark.parametrize(
    ("asc", "core", "rate", "output_rate", "channels", "string", "profile"),
    [
        ("1210", 2, 44100, 44100, 2, "mp4a.40.2", "LC"),
        ("1190", 2, 48000, 48000, 2, "mp4a.40.2", "LC"),
        ("120856e500", 2, 44100, 44100, 1, "mp4a.40.2", "LC"),
        ("2b920800", 2, 22050, 44100, 2, "mp4a.40.5", "HE-AAC"),
        ("eb8a0800", 2, 22050, 44100, 2, "mp4a.40.29", "HE-AACv2"),
        ("139056e5a0", 2, 22050, 44100, 2, "mp4a.40.5", "HE-AAC"),
        ("138856e5a54880", 2, 22050, 44100, 2, "mp4a.40.29", "HE-AACv2"),
        ("0a10", 1, 44100, 44100, 2, "mp4a.40.1", "Main"),
    ],
)
def test_known_configurations(
    asc: str, core: int, rate: int, output_rate: int, channels: int, string: str, profile: str
) -> None:
    config = aac.parse_asc(bytes.fromhex(asc))
    assert (config.object_type, config.sample_rate, config.output_sample_rate) == (core, rate, output_rate)
    assert (config.channels, config.frame_length, config.profile) == (channels, 1024, profile)
    assert aac.codec_string(bytes.fromhex(asc)) == string


@pytest.mark.parametrize(
    ("index", "channels"),
    [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 8), (11, 7), (12, 8), (13, 24), (14, 8), (8, 0), (15, 0)],
)
def test_channel_configurations(index: int, channels: int) -> None:
    asc = BitWriter().u(5, 2).u(4, 3).u(4, index).u(3, 0).getvalue()
    assert aac.parse_asc(asc).channels == channels


def test_a_program_config_element() -> None:
    config = aac.parse_asc(vectors.ASC_PCE)
    assert (config.channel_config, config.channels) == (0, 6)
    assert config.program is not None
    assert config.program.comment.startswith(b"Lavc")
    # FFmpeg ends the record with the sync extension that says "no SBR"; ours does not.
    assert aac.build_asc(2, 48000, 6, program=config.program) == vectors.ASC_PCE[:-3]


def test_frame_lengths() -> None:
    assert aac.parse_asc(aac.build_asc(2, 48000, 2, short=True)).frame_length == 960
    low_delay = BitWriter().u(5, 23).u(4, 3).u(4, 2).u(3, 0b100).u(2, 0).getvalue()
    assert aac.parse_asc(low_delay).frame_length == 480
    enhanced = BitWriter().u(5, 31).u(6, 39 - 32).u(4, 3).u(4, 2).flag(False).u(20, 0).getvalue()
    eld = aac.parse_asc(enhanced)
    assert (eld.object_type, eld.frame_length, eld.profile) == (39, 512, "ELD")
    assert aac.codec_string(enhanced) == "mp4a.40.39"
    usac = BitWriter().u(5, 31).u(6, 42 - 32).u(4, 3).u(4, 2).u(5, 3).u(3, 3).u(5, 2).u(16, 0).getvalue()
    assert (aac.parse_asc(usac).frame_length, aac.codec_string(usac)) == (2048, "mp4a.40.42")


def test_an_explicit_rate() -> None:
    assert aac.parse_asc(aac.build_asc(2, 47999, 2)).sample_rate == 47999
    with pytest.raises(ParseError):
        aac.parse_asc(BitWriter().u(5, 2).u(4, 15).u(24, 10_000_000).u(7, 0).getvalue())


@given(
    object_type=st.sampled_from([1, 2, 3, 4, 5, 29, 17, 23, 42 - 20]),
    rate=st.sampled_from([*aac.SAMPLE_RATES[:-1], 12345]),
    channels=st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 24]),
    short=st.booleans(),
)
def test_built_configurations_read_back(object_type: int, rate: int, channels: int, short: bool) -> None:
    config = aac.parse_asc(aac.build_asc(object_type, rate, channels, short=short))
    sbr = object_type in (5, 29)
    assert config.signalled_type == object_type
    assert config.output_sample_rate == rate
    assert config.sample_rate == (rate // 2 if sbr else rate)
    assert config.channels == (2 if object_type == 29 else channels)


@pytest.mark.parametrize("asc", ["", "12", "f8", "0010", "1680", "17ff00"])
def test_broken_configurations(asc: str) -> None:
    with pytest.raises(ParseError):
        aac.parse_asc(bytes.fromhex(asc))


@pytest.mark.parametrize(
    ("object_type", "rate", "channels"), [(2, 0, 2), (2, 48000, 9), (0, 48000, 2), (2, 1 << 24, 1)]
)
def test_configurations_that_cannot_be_built(object_type: int, rate: int, channels: int) -> None:
    with pytest.raises(ParseError):
        aac.build_asc(object_type, rate, channels)


PAYLOADS = st.lists(st.binary(min_size=1, max_size=200).filter(lambda body: body[0] >> 5 != 5), min_size=1, max_size=6)


@given(PAYLOADS, st.sampled_from([LC_44100_STEREO, aac.build_asc(2, 48000, 6), aac.build_asc(1, 8000, 1)]))
def test_adts_and_back(payloads: list[bytes], asc: bytes) -> None:
    stream = b"".join(aac.to_adts(frame(payload, asc)) for payload in payloads)
    assert aac.split_adts(stream) == (payloads, b"")
    assert aac.asc_from_adts(stream) == asc
    header = aac.parse_adts_header(stream)
    assert (header.frame_length, header.header_length, header.raw_blocks) == (len(payloads[0]) + 7, 7, 1)


@given(PAYLOADS, st.lists(st.integers(0, 2000), max_size=8))
def test_adts_split_anywhere(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(aac.to_adts(frame(payload)) for payload in payloads)
    found: list[bytes] = []
    rest = b""
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in zip(edges, edges[1:], strict=False):
        units, rest = aac.split_adts(rest + stream[start:end])
        found += units
    assert (found, rest) == (payloads, b"")


def test_adts_byte_by_byte() -> None:
    payloads = [bytes(range(1, 60)), b"\x21\xff\xf1\x50", b"\x01"]
    stream = b"".join(aac.to_adts(frame(payload)) for payload in payloads)
    found: list[bytes] = []
    rest = b""
    for index in range(len(stream)):
        units, rest = aac.split_adts(rest + stream[index : index + 1])
        found += units
    assert found == payloads


def test_adts_after_garbage() -> None:
    payloads = [b"\x21" + bytes(100), b"\x21" + bytes(50)]
    stream = b"".join(aac.to_adts(frame(payload)) for payload in payloads)
    assert aac.split_adts(b"tail \xff\xf1 of something \xff" + stream) == (payloads, b"")
    assert aac.split_adts(stream + b"lost" + stream) == (payloads * 2, b"")
    # A frame that lost its tail is dropped, not filled up with the next one.
    assert aac.split_adts(stream[:60] + stream) == (payloads, b"")
    assert aac.split_adts(b"nothing here") == ([], b"")
    assert aac.split_adts(b"\xff\xf1") == ([], b"\xff\xf1")


def test_adts_with_crc() -> None:
    body = b"\x21payload"
    header = bytearray(aac.build_adts_header(LC_44100_STEREO, len(body) + 2))
    header[1] &= 0xFE
    assert aac.split_adts(bytes(header) + b"\xaa\xbb" + body) == ([body], b"")


def test_adts_with_several_blocks_and_their_positions() -> None:
    # Two blocks, each followed by its CRC; the position of the second stands behind the header.
    first, second = b"\x21first", b"\x21second!"
    body = first + b"c1" + second + b"c2"
    header = bytearray(aac.build_adts_header(LC_44100_STEREO, 4 + len(body)))
    header[1] &= 0xFE
    header[6] |= 1
    stream = bytes(header) + (len(first) + 2).to_bytes(2, "big") + b"hc" + body
    assert aac.parse_adts_header(stream).raw_blocks == 2
    assert aac.split_adts(stream) == ([first, second], b"")


def test_adts_with_a_program_config_element() -> None:
    payload = b"\x01 raw data block"
    stream = aac.to_adts(frame(payload, vectors.ASC_PCE))
    assert aac.asc_from_adts(stream) == vectors.ASC_PCE[:-3]
    inside = aac.split_adts(stream)[0][0]
    assert inside.endswith(payload)
    # A payload that carries the element keeps it as it is.
    assert aac.to_adts(frame(inside, vectors.ASC_PCE)) == stream
    assert aac.parse_asc(aac.asc_from_adts(stream)).channels == 6


def test_he_aac_goes_into_adts_as_its_core() -> None:
    header = aac.parse_adts_header(aac.to_adts(frame(b"\x01", HE_V1)))
    assert (header.object_type, header.sample_rate, header.channel_config) == (2, 22050, 2)


@pytest.mark.parametrize("asc", [aac.build_asc(23, 48000, 2), aac.build_asc(2, 12345, 2), aac.build_asc(2, 48000, 7)])
def test_what_adts_cannot_carry(asc: bytes) -> None:
    with pytest.raises(MediaError):
        aac.to_adts(frame(b"\x01", asc))


def test_an_access_unit_too_long_for_adts() -> None:
    with pytest.raises(MediaError):
        aac.to_adts(frame(bytes(8185)))
    assert len(aac.to_adts(frame(bytes(8184)))) == 8191


@pytest.mark.parametrize("data", ["", "fff15080021f", "ffe15080021ffc", "fff17c80021ffc", "fff15080001ffc"])
def test_broken_adts_headers(data: str) -> None:
    with pytest.raises(ParseError):
        aac.parse_adts_header(bytes.fromhex(data))


def test_durations() -> None:
    assert aac.samples_per_frame(LC_44100_STEREO) == (1024, 44100)
    assert aac.samples_per_frame(HE_V1) == (1024, 22050)


ADTS = b"".join(aac.to_adts(frame(bytes([33]) * size)) for size in (30, 40, 50))


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize(
    ("parser", "seeds"),
    [
        (
            aac.parse_asc,
            [LC_44100_STEREO, HE_V1, HE_V2, HE_V1_COMPATIBLE, HE_V2_COMPATIBLE, vectors.ASC_PCE, b"\xf8\xe8\x50\0\0"],
        ),
        (aac.parse_adts_header, [ADTS[:9]]),
        (aac.split_adts, [ADTS, aac.to_adts(frame(b"\x01", vectors.ASC_PCE))]),
        (aac.asc_from_adts, [ADTS, aac.to_adts(frame(b"\x01", vectors.ASC_PCE))]),
    ],
)
def test_only_parse_errors(parser, seeds: list[bytes], rounds: int) -> None:  # type: ignore[no-untyped-def]
    fuzz(parser, seeds, rounds)
