"""Ogg pages by their own bytes, and what ffprobe reads of them."""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from evotools.codecs import opus, vorbis
from evotools.containers.ogg import OggMuxer, crc
from evotools.errors import MediaError, ParseError
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind, Track
from tests.unit.containers.zoo import digest, make, packets, read

OPUS = Track(7, Kind.AUDIO, "opus", 48000, config=opus.build_head(2, pre_skip=312), sample_rate=48000, channels=2)
PACKET = b"\xfc" + bytes(9)
"""20 ms of CELT."""


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoo")


class Page(NamedTuple):
    kind: int
    granule: int
    serial: int
    number: int
    lacing: bytes
    body: bytes


def pages(data: bytes) -> list[Page]:
    """RFC 3533 6, checksums included."""
    found = []
    at = 0
    while at < len(data):
        assert data[at : at + 5] == b"OggS\0"
        count = data[at + 26]
        lacing = data[at + 27 : at + 27 + count]
        end = at + 27 + count + sum(lacing)
        assert end <= len(data)
        whole = bytearray(data[at:end])
        told = int.from_bytes(whole[22:26], "little")
        whole[22:26] = bytes(4)
        assert told == slow_crc(whole)
        found.append(
            Page(data[at + 5], int.from_bytes(data[at + 6 : at + 14], "little"),
                 int.from_bytes(data[at + 14 : at + 18], "little"), int.from_bytes(data[at + 18 : at + 22], "little"),
                 lacing, data[at + 27 + count : end])
        )  # fmt: skip
        at = end
    return found


def slow_crc(data: bytes | bytearray) -> int:
    """As the specification describes it."""
    register = 0
    for octet in data:
        register ^= octet << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register >> 31 else 0)) & 0xFFFF_FFFF
    return register


def sounds(count: int, first: int = 0) -> list[Frame]:
    return [Frame(OPUS, n * 960, n * 960, PACKET, 960, True) for n in range(first, first + count)]


def test_the_checksum_is_that_of_the_specification() -> None:
    for data in (b"", b"\0", b"OggS", bytes(range(256)) * 3):
        assert crc(data) == slow_crc(data)


def test_headers_and_pages_of_a_fifth_of_a_second() -> None:
    muxer = OggMuxer()
    head = pages(muxer.start([OPUS]))
    assert [(p.kind, p.granule, p.number) for p in head] == [(2, 0, 0), (0, 0, 1)]
    assert head[0].body == OPUS.config
    assert head[1].body == b"OpusTags\x08\0\0\0evotools\0\0\0\0"
    outputs = [muxer.write(frame) for frame in sounds(25)]
    assert [n for n, out in enumerate(outputs) if out] == [9, 19]
    body = pages(b"".join(outputs))
    # RFC 7845 4: granule positions include the pre-skip.
    assert [(p.kind, p.granule, p.number, len(p.lacing)) for p in body] == [
        (0, 312 + 9600, 2, 10), (0, 312 + 19200, 3, 10),
    ]  # fmt: skip
    (last,) = pages(muxer.finish())
    assert (last.kind, last.granule, len(last.lacing)) == (4, 312 + 24000, 5)
    assert muxer.finish() == b""


def test_a_stream_that_ends_with_a_page_gets_an_empty_one() -> None:
    muxer = OggMuxer(page_s=0)
    muxer.start([OPUS])
    assert all(len(pages(muxer.write(frame))) == 1 for frame in sounds(3))
    (last,) = pages(muxer.finish())
    assert (last.kind, last.granule, last.body) == (4, 312 + 2880, b"")


def test_a_late_reader_gets_the_same_stream() -> None:
    """Headers that another muxer of the same tracks makes fit to the pages under way."""
    muxer = OggMuxer()
    muxer.start([OPUS])
    body = pages(b"".join(muxer.write(frame) for frame in sounds(100, 50_000)))
    head = pages(OggMuxer().start([OPUS]))
    assert {p.serial for p in (*head, *body)} == {body[0].serial}
    assert body[0].granule == 312 + 50_010 * 960
    assert all(b.granule - a.granule == 9600 for a, b in pairwise(body))


def test_rounded_times_do_not_shake_and_gaps_show() -> None:
    muxer = OggMuxer(page_s=0)
    ms = OPUS.with_(timescale=1000)
    muxer.start([ms])
    times = [0, 21, 39, 60, 81, 1080, 1100]
    granules = [pages(muxer.write(Frame(ms, t, t, PACKET, 20, True)))[-1].granule - 312 for t in times]
    assert granules == [960, 1920, 2880, 3840, 4800, 51840 + 960, 51840 + 1920]
    # What goes back in time is counted on: granule positions never fall.
    assert pages(muxer.write(Frame(ms, 5, 5, PACKET, 20, True)))[-1].granule - 312 == 51840 + 2880


def test_a_gap_ends_the_page_before_it() -> None:
    muxer = OggMuxer()
    muxer.start([OPUS])
    out = b"".join(muxer.write(frame) for frame in (*sounds(3), *sounds(10, 100)))
    assert [(p.granule - 312, len(p.lacing)) for p in pages(out)] == [(3 * 960, 3), (110 * 960, 10)]


def test_a_packet_of_many_segments_goes_over_several_pages() -> None:
    track = OPUS.with_(codec="flac", config=bytes.fromhex("100010000000000000000bb801f000000000") + bytes(16))
    big = b"\xff\xf8\xca\x18\0" + bytes((_crc8(b"\xff\xf8\xca\x18\0"),)) + bytes(255 * 300 - 6)
    muxer = OggMuxer()
    muxer.start([track])
    out = pages(muxer.write(Frame(track, 0, 0, big, 4096, True)))
    assert [(p.kind, p.granule) for p in out] == [(0, (1 << 64) - 1), (1, 4096)]
    assert b"".join(p.body for p in out) == big
    assert out[1].lacing == b"\xff" * 45 + b"\0"


def _crc8(data: bytes) -> int:
    register = 0
    for octet in data:
        register ^= octet
        for _ in range(8):
            register = (register << 1 ^ (0x107 if register & 0x80 else 0)) & 0x1FF
    return register


def test_a_changed_track_list_begins_a_chain() -> None:
    muxer = OggMuxer()
    muxer.start([OPUS])
    muxer.write(sounds(1)[0])
    chain = pages(muxer.start([OPUS.with_(channels=1, config=opus.build_head(1))]))
    assert [p.kind for p in chain] == [4, 2, 0]
    assert chain[0].serial != chain[1].serial


def test_what_has_no_place() -> None:
    muxer = OggMuxer()
    assert muxer.mime == "audio/ogg"
    video = Track(1, Kind.VIDEO, "h264", 90000)
    assert not muxer.accepts(video)
    with pytest.raises(MediaError, match="Ogg cannot carry video h264"):
        muxer.start([video])
    with pytest.raises(MediaError, match="Ogg cannot carry audio vorbis"):
        muxer.start([OPUS.with_(codec="vorbis", config=b"\2")])
    muxer.start([OPUS])
    assert muxer.write(Frame(video, 0, 0, b"x")) == b""
    assert muxer.write(Frame(OPUS, 0, 0, b"")) == b""


def frames_of(events: list[Event], codec: str) -> tuple[Track, list[Frame]]:
    assert isinstance(events[0], Tracks)
    track = next(t for t in events[0].tracks if t.codec == codec)
    return track, [e for e in events if isinstance(e, Frame) and e.track.id == track.id]


@pytest.mark.interop
@pytest.mark.parametrize(
    ("name", "codec"),
    [("opus.ogg", "opus"), ("flac.ogg", "flac"), ("flac.flac", "flac"), ("vp8-vorbis.webm", "vorbis")],
)
@pytest.mark.parametrize("late", [False, True])
def test_ffprobe_reads_the_same_packets_at_the_same_times(
    zoo: Path, tmp_path: Path, name: str, codec: str, late: bool
) -> None:
    track, frames = frames_of(read(make(zoo, name))[0], codec)
    muxer = OggMuxer()
    head = muxer.start([track])
    outputs = [muxer.write(frame) for frame in frames]
    body = outputs[len(outputs) // 2 :] if late else outputs
    path = tmp_path / "x.ogg"
    path.write_bytes(head + b"".join(body) + muxer.finish())
    (theirs,) = packets(path)
    own = frames[-len(theirs) :] if late else frames
    assert len(own) == len(theirs) > 5
    assert [digest(f.payload) for f in own] == [p["data_hash"] for p in theirs]
    # Containers with milliseconds round; a first block of Vorbis gives no sound.
    times = [float(p["pts_time"]) - f.pts_s for f, p in zip(own, theirs, strict=True) if "pts_time" in p]
    # libav counts the first page of FLAC from zero, whatever its granule position.
    known = times[3:] if late and codec == "flac" else times[1:]
    assert max(map(abs, known)) < (0.002 if codec != "vorbis" else 0.022), times


@pytest.mark.interop
def test_vorbis_configuration(zoo: Path) -> None:
    track, frames = frames_of(read(make(zoo, "vp8-vorbis.webm"))[0], "vorbis")
    config = vorbis.parse_config(track.config)
    assert (config.channels, config.sample_rate, config.blocks) == (track.channels, 48000, (256, 2048))
    assert config.modes == (False, True)
    assert vorbis.join_headers(vorbis.split_headers(track.config)) == track.config
    blocks = [config.block(f.payload) for f in frames]
    assert set(blocks) <= {256, 2048}
    made = sum((a + b) // 4 for a, b in pairwise(blocks))
    assert made == pytest.approx(1.2 * 48000, abs=2048)
    for end in range(0, len(track.config) - 1, 97):
        with pytest.raises(ParseError):
            vorbis.parse_config(track.config[:end])
