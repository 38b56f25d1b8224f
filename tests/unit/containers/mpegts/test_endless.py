"""Streams without an end that ask the reader to remember more and more."""

import pytest

from evotools.codecs.paramsets import to_annexb
from evotools.containers.mpegts import demux, elementary
from evotools.containers.mpegts.demux import MAX_HELD_EVENTS, MAX_TABLELESS_BYTES, TsDemuxer
from evotools.containers.mpegts.packet import header
from evotools.containers.mpegts.pes import pes_header
from evotools.containers.mpegts.psi import MAX_PROGRAMS, MapEntry, build_pat, crc32
from evotools.errors import ParseError
from tests.unit.containers.feeding import MIB, peak
from tests.unit.containers.mpegts.tools import (
    H264,
    filler,
    frames_of,
    lengths,
    pes,
    picture,
    psi,
    read,
    stuffed,
    tables,
)

VIDEO = MapEntry(0x100, 0x1B)
AUDIO = MapEntry(0x101, 0x0F)


def test_packets_without_tables_are_given_up_after_a_bounded_time() -> None:
    piece = b"".join(header(0x100 + n, start=False, field=1, counter=0) + bytes(184) for n in range(350))
    demuxer = TsDemuxer()
    fed = 0

    def feed(data: bytes) -> None:
        nonlocal fed
        fed += len(data)
        demuxer.feed(data)

    with pytest.raises(ParseError, match="no program map"):
        peak(feed, (piece for _ in range(1000)))
    assert fed <= MAX_TABLELESS_BYTES + len(piece)


@pytest.mark.parametrize("size", [0, 2])
def test_packets_with_next_to_nothing_in_them(size: int) -> None:
    turn = b"".join(stuffed(0x100, b"ab"[:size], start=False, counter=k + 1) for k in range(16))
    demuxer = TsDemuxer()
    demuxer.feed(tables([VIDEO]) + pes(0x100, bytes(170), 0, unbounded=True)[0])
    assert peak(demuxer.feed, (turn for _ in range(1000))) < MIB
    assert demuxer.continuity_errors == 0
    assert 0 < len(demuxer._streams[0x100].chunks) < 5000


def test_a_picture_in_packets_of_two_bytes_arrives_whole() -> None:
    sets = to_annexb(picture(H264, 0, key=True))
    slices = b"\x41\x9a" + filler(12_000, 1)
    data = tables([VIDEO]) + pes(0x100, sets, 0)[0]
    body = pes_header(0xE0, 0, 3600, 3600)
    body = body[:4] + b"\0\0" + body[6:] + b"\0\0\1" + slices
    counter = len(pes(0x100, sets, 0)[0]) // 188
    data += stuffed(0x100, body[:184], start=True, counter=counter)
    data += b"".join(
        stuffed(0x100, body[at : at + 2], start=False, counter=counter + 1 + n)
        for n, at in enumerate(range(184, len(body), 2))
    )
    assert [frame.payload for frame in frames_of(read(data))][1:] == [lengths(slices)]


def test_frames_that_wait_for_a_silent_track_are_counted_as_well_as_weighed() -> None:
    adts = bytes.fromhex("fff14c8001001c") + b"\x21"
    demuxer = TsDemuxer()
    demuxer.feed(tables([VIDEO, AUDIO]))
    counter, given = 0, 0
    # Each PES packet holds less than a second, and all say the same time.
    for _ in range(500):
        data, counter = pes(0x101, adts * 40, 0, counter=counter)
        given += len(frames_of(demuxer.feed(data)))
        assert len(demuxer._held) <= MAX_HELD_EVENTS
    assert given == 20_000


def test_a_flood_of_delimiters_in_one_pes_packet() -> None:
    flood = b"\0\0\1\x09" * 500_000
    data, counter = pes(0x100, flood, 0, unbounded=True)
    data += pes(0x100, b"\0\0\1\x09\xf0", 3600, counter=counter)[0]
    demuxer = TsDemuxer()
    demuxer.feed(tables([VIDEO]))
    # The payload in pieces, joined, and cut out: nothing for each delimiter.
    assert peak(demuxer.feed, (data[at : at + 65_800] for at in range(0, len(data), 65_800))) < 4 * len(flood)
    assert demuxer.damaged == 1


def test_a_multiplex_lists_more_programs_than_are_watched() -> None:
    demuxer = TsDemuxer()
    counter = 0
    for number in range(250):
        first = number * 200
        section = bytearray(build_pat(1, 0, [(1 + first + n, 0x20 + (first + n) % 8000) for n in range(200)])[:-4])
        section[6:8] = number, 255
        data = psi(0, bytes(section) + crc32(bytes(section)).to_bytes(4, "big"), counter)
        counter += len(data) // 188
        demuxer.feed(data)
    assert demuxer.damaged == 0
    assert len(demuxer.programs) == MAX_PROGRAMS
    assert len(demuxer._by_pid) <= MAX_PROGRAMS + 1


def test_unaligned_pictures_that_never_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elementary, "MAX_PES", MIB)
    demuxer = TsDemuxer()
    demuxer.feed(tables([VIDEO]))
    # The first one says that pictures are not aligned, the second begins one, the others go on with it.
    counter = 0
    for n in range(60):
        begin = b"\0\0\1\x09\xf0\0\0\1\x41" if n == 1 else b""
        data, counter = pes(0x100, begin + filler(60_000, n), n * 3600, counter=counter)
        demuxer.feed(data)
    assert demuxer.damaged == 1
    reader = demuxer._streams[0x100].reader
    assert isinstance(reader, elementary.VideoReader)
    assert len(reader._pending) <= MIB


def test_many_pes_packets_without_a_length_share_one_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demux, "MAX_UNBOUNDED_BYTES", 3 * MIB)
    entries = [MapEntry(0x100 + n, 0x1B) for n in range(8)]
    demuxer = TsDemuxer()
    demuxer.feed(tables(entries))
    bodies = [pes(entry.pid, bytes(1_500_000), 0, unbounded=True)[0] for entry in entries]
    for at in range(0, len(bodies[0]) - 188, 188 * 50):
        for body in bodies:
            demuxer.feed(body[at : at + 188 * 50])
    assert demuxer.damaged
    held = sum(len(chunk) for stream in demuxer._streams.values() for chunk in stream.chunks)
    assert held <= 3 * MIB + len(entries) * MIB
