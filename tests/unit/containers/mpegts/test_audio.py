"""Audio frames inside PES packets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.codecs.aac import to_adts
from evotools.containers.mpegts.audio import AudioReader, make_reader
from evotools.containers.mpegts.elementary import Elementary
from evotools.errors import ParseError
from evotools.media.frame import Frame
from evotools.media.timeline import rescale
from tests.unit.containers.mpegts.tools import AAC, AC3, EAC3, MP3, OPUS_HEAD, filler, sound

ADTS_44100 = bytes.fromhex("1210")


def adts(count: int, config: bytes = AAC.config) -> list[bytes]:
    track = AAC.with_(config=config)
    return [to_adts(Frame(track, 0, 0, b"\x21" + filler(50 + n, n))) for n in range(count)]


def read(reader: Elementary, payloads: list[tuple[bytes, int | None]]) -> list[Frame]:
    return [frame for payload, pts in payloads for frame in reader.read(payload, pts, pts)]


def test_frames_of_one_pes_are_counted_in_samples() -> None:
    frames = read(make_reader("adts", 1, ""), [(b"".join(adts(400, ADTS_44100)), 1000)])
    assert [frame.pts for frame in frames] == [1000 + rescale(n * 1024, 44_100, 90_000) for n in range(400)]
    assert all(left.pts + left.duration == right.pts for left, right in zip(frames, frames[1:], strict=False))
    assert frames[0].track.config == ADTS_44100
    assert (frames[0].track.sample_rate, frames[0].track.channels) == (44_100, 2)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
def test_frames_may_straddle_pes_packets(sizes: list[int]) -> None:
    """Cut anywhere; the time stamp of each piece is that of the first frame that begins in it."""
    units = adts(30)
    stream = b"".join(units)
    begins = [sum(map(len, units[:n])) for n in range(len(units))]
    pieces: list[tuple[bytes, int | None]] = []
    at = 0
    for size in [*sizes, len(stream)]:
        piece = stream[at : at + size]
        inside = [n for n, begin in enumerate(begins) if at <= begin < at + len(piece)]
        if piece:
            pieces.append((piece, 5000 + inside[0] * 1920 if inside else None))
        at += size
    frames = read(make_reader("adts", 1, ""), pieces)
    assert [frame.payload for frame in frames] == [unit[7:] for unit in units]
    assert [frame.pts for frame in frames] == [5000 + n * 1920 for n in range(30)]


@pytest.mark.parametrize(("name", "codec"), [("mpa", "mp3"), ("ac3", "ac3"), ("eac3", "eac3")])
def test_self_framed_codecs(name: str, codec: str) -> None:
    track = {"mp3": MP3, "ac3": AC3, "eac3": EAC3}[codec]
    units = [sound(track, n * 3).payload for n in range(5)]
    frames = read(make_reader(name, 1, "eng"), [(b"".join(units), 0), (units[0], 90_000)])
    assert [frame.payload for frame in frames] == [*units, units[0]]
    assert frames[5].pts == 90_000
    assert frames[0].track.codec == codec
    assert frames[0].track.language == "eng"
    samples, rate = (1152, 44_100) if codec == "mp3" else (1536, 48_000)
    assert frames[4].pts == rescale(4 * samples, rate, 90_000)


def test_eac3_keeps_dependent_frames_with_their_own() -> None:
    independent = bytes.fromhex("0b77003f3287c000") + filler(120, 1)
    dependent = bytes.fromhex("0b77403f3287c000") + filler(120, 2)
    frames = read(make_reader("eac3", 1, ""), [((independent + dependent) * 2, 0)])
    assert [frame.payload for frame in frames] == [independent + dependent] * 2
    assert [frame.pts for frame in frames] == [0, 2880]


def test_damage_costs_the_frame_and_no_more() -> None:
    units = adts(6)
    reader = make_reader("adts", 1, "")
    assert isinstance(reader, AudioReader)
    stream = b"".join([*units[:2], b"\x00" * 40, *units[3:]])
    assert [frame.payload for frame in read(reader, [(stream, 0)])] == [u[7:] for u in (*units[:2], *units[3:])]


def test_a_payload_without_any_frame_is_an_error() -> None:
    with pytest.raises(ParseError, match="aac"):
        make_reader("adts", 1, "").read(bytes(300), 0, 0)


def test_after_a_loss_a_lone_sync_word_is_not_believed() -> None:
    units = adts(4)
    reader = make_reader("adts", 1, "")
    read(reader, [(units[0] + units[1][:20], 0)])
    reader.lost()
    frames = read(reader, [(b"\xff\xf1\x4c\x80\x04\x1f\xfc" + units[2] + units[3], 90_000)])
    assert [frame.payload for frame in frames] == [units[2][7:], units[3][7:]]


def test_a_changed_configuration_is_a_new_track() -> None:
    reader = make_reader("adts", 1, "")
    frames = read(reader, [(b"".join(adts(2)), 0), (b"".join(adts(2, ADTS_44100)), 90_000)])
    assert [frame.track.sample_rate for frame in frames] == [48_000, 48_000, 44_100, 44_100]
    assert frames[0].track is frames[1].track
    assert frames[2].track is frames[3].track


def test_frames_before_the_first_time_stamp_are_left_out() -> None:
    units = adts(3)
    frames = read(make_reader("adts", 1, ""), [(units[0], None), (units[1], 500), (units[2], None)])
    assert [frame.pts for frame in frames] == [500, 2420]


def opus_unit(packet: bytes, flags: int = 0, extra: bytes = b"") -> bytes:
    runs, rest = divmod(len(packet), 255)
    return bytes((0x7F, 0xE0 | flags)) + b"\xff" * runs + bytes((rest,)) + extra + packet


def test_opus_units() -> None:
    packets = [b"\xfc" + filler(size, size) for size in (10, 254, 255, 700)]
    payload = opus_unit(packets[0], 0x10, b"\x01\x38") + opus_unit(packets[1], 0x04, b"\x02ab")
    payload += opus_unit(packets[2]) + opus_unit(packets[3], 0x08, b"\0\5")
    reader = make_reader("opus", 1, "", OPUS_HEAD)
    frames = reader.read(payload, 0, 0)
    assert [frame.payload for frame in frames] == packets
    assert [frame.pts for frame in frames] == [0, 1800, 3600, 5400]
    assert [frame.side for frame in frames] == [{"trim_start": 312}, None, None, {"trim_end": 5}]
    assert reader.track is frames[0].track
    assert [frame.pts for frame in reader.read(opus_unit(packets[0]), None, None)] == [7200]


@pytest.mark.parametrize("payload", [b"\x7f\xe0\x10abc", b"\x12\x34\x56\x78", b"\x7f\xe0\0", b"\x7f\xe0\xff\xff"])
def test_broken_opus_units(payload: bytes) -> None:
    with pytest.raises(ParseError):
        make_reader("opus", 1, "", OPUS_HEAD).read(payload, 0, 0)


@pytest.mark.parametrize("name", ["adts", "latm", "mpa", "ac3", "eac3", "opus", "h264", "h265", "mpeg2video", "data"])
@settings(max_examples=60, deadline=None)
@given(payloads=st.lists(st.binary(max_size=300), max_size=8))
def test_garbage_gives_errors_of_ours_only(name: str, payloads: list[bytes]) -> None:
    reader = make_reader(name, 1, "", OPUS_HEAD)
    for at, payload in enumerate(payloads):
        try:
            reader.read(payload, at * 3000 if at % 3 else None, at * 3000 if at % 3 else None)
        except ParseError:
            reader.lost()
    reader.flush()
