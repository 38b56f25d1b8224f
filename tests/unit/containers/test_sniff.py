"""Formats by their first bytes."""

import random

import pytest

from evotools.containers.sniff import MIN_SNIFF, OURS, SNIFF_BYTES, make_demuxer, sniff
from evotools.errors import ParseError

SPS = b"\x67\x64\x00\x0c\xac"
PPS = b"\x68\xeb\xe3\xcb"
START = b"\x00\x00\x00\x01"
ADTS = b"\xff\xf1\x4c\x80\x04\x1f\xfc" + bytes(25)  # 32 bytes, AAC-LC, 48 kHz, stereo
MP3 = b"\xff\xfb\x54\xc4" + bytes(188)
AC3 = b"\x0b\x77\x48\x0d\x0c\x40\x2f\x84" + bytes(376)
EAC3 = b"\x0b\x77\x00\xbf\x32\x87\xc0\x00" + bytes(376)
ID3 = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)


def ts(size: int = 188, count: int = 4, lead: int = 0) -> bytes:
    return bytes(lead) + b"".join(b"\x47" + bytes(size - 1) for _ in range(count))


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"FLV\x01\x05\x00\x00\x00\x09", "flv"),
        (b"\x1a\x45\xdf\xa3\x01\x00\x00\x00", "matroska"),
        (b"\x00\x00\x00\x20ftypisom", "mp4"),
        (b"\x00\x00\x00\x18styp", "mp4"),
        (b"\x00\x00\x00\x68moof", "mp4"),
        (b"\x00\x00\x10\x00moov", "mp4"),
        (b"\x00\x00\x00\x08wide\x00\x00\x00\x00mdat", "mp4"),
        (b"nut/multimedia container\x00", "nut"),
        (b"OggS\x00\x02", "ogg"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "wav"),
        (b"YUV4MPEG2 W64 H48", "y4m"),
        (b"fLaC\x00\x00\x00\x22", "flac"),
        (b"DKIF\x00\x00\x20\x00VP80", "ivf"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\n", "hls"),
        (b"\xef\xbb\xbf#EXTM3U\n", "hls"),
        (b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">', "dash"),
        (b'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">', "dash"),
        (ADTS * 2, "adts"),
        (MP3 * 2, "mp3"),
        (AC3 * 2, "ac3"),
        (EAC3 * 2, "eac3"),
        (ID3 + MP3 * 2, "mp3"),
        (ID3 + ADTS * 2, "adts"),
        (START + b"\x09\xf0" + START + SPS + START + PPS, "annexb-h264"),
        (START[1:] + SPS + START[1:] + PPS, "annexb-h264"),
        (
            START + b"\x46\x01\x50" + START + b"\x40\x01\x0c" + START + b"\x42\x01\x01" + START + b"\x44\x01",
            "annexb-h265",
        ),
        (ts(), "ts"),
        (ts(192, lead=4), "ts"),
        (ts(204), "ts"),
        (ts(lead=100), "ts"),
    ],
)
def test_formats(head: bytes, name: str) -> None:
    assert sniff(head) == name
    assert sniff(head, ended=True) == name


def test_ts_needs_three_packets_unless_the_input_ended() -> None:
    assert sniff(ts(count=2)) is None
    assert sniff(ts(count=2) + b"\x47") == "ts"
    assert sniff(ts(count=1), ended=True) == "ts"
    # A letter G is no packet.
    assert sniff(b"Gallia est omnis divisa", ended=True) is None


@pytest.mark.parametrize("frame", [ADTS, MP3, AC3])
def test_one_audio_frame_is_enough_only_at_the_end(frame: bytes) -> None:
    assert sniff(frame) is None
    assert sniff(frame, ended=True) is not None
    assert sniff(frame + b"other bytes", ended=True) is None


@pytest.mark.parametrize(
    "head", [b"", b"\x00", b"plain text, not media at all", bytes(9000), b"RIFF\x24\x00\x00\x00AVI LIST"]
)
def test_what_is_none_of_them(head: bytes) -> None:
    assert sniff(head) is None
    assert sniff(head, ended=True) is None


def test_streams_cut_in_mid_picture() -> None:
    h264 = b"".join(START + b"\x41\x9a" + b"x" * 3000 for _ in range(4))
    h265 = b"".join(START + b"\x02\x01\xd0" + b"x" * 3000 for _ in range(4))
    assert sniff(h264) == "annexb-h264"
    assert sniff(h265) == "annexb-h265"


def test_a_picture_in_front_of_mp3_does_not_hide_it() -> None:
    assert sniff(b"ID3\x03\x00\x00\x00\x7f\x7f\x7f" + b"\xff\xd8\xff" * 4000) == "mp3"


def test_random_bytes_are_rarely_anything() -> None:
    rng = random.Random(1)
    found = [sniff(rng.randbytes(SNIFF_BYTES), ended=True) for _ in range(300)]
    assert found.count(None) >= 298


def test_any_bytes_give_an_answer_or_none() -> None:
    rng = random.Random(2)
    heads = [ts(), ADTS * 3, MP3 * 3, AC3 * 3, EAC3 * 3, ID3 + MP3, START + SPS + START + PPS]
    for _ in range(10_000):
        head = bytearray(rng.choice(heads)[: rng.randrange(1, 600)])
        for _ in range(3):
            head[rng.randrange(len(head))] = rng.randrange(256)
        sniff(bytes(head), ended=rng.random() < 0.5)


@pytest.mark.parametrize("name", OURS)
def test_our_readers(name: str) -> None:
    demuxer = make_demuxer(name)
    assert demuxer.feed(b"") == []


def test_other_readers_are_refused() -> None:
    with pytest.raises(ParseError, match="nut"):
        make_demuxer("nut")
    assert MIN_SNIFF < SNIFF_BYTES
