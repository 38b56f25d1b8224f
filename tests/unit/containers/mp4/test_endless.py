"""Streams and files that ask their reader to remember more and more, or to work for ever."""

import struct
import time
from collections.abc import Iterator

import pytest

from evotools.containers.mp4 import demux as demux_module
from evotools.containers.mp4.boxes import box, full_box
from evotools.containers.mp4.demux import MAX_EVENTS, Mp4Demuxer
from evotools.containers.mp4.fragments import MAX_EVENT, MAX_MOOF
from evotools.containers.mp4.lane import MAX_SAMPLE
from evotools.containers.mp4.moov import MAX_MOOV
from evotools.containers.mp4.reader import Mp4Reader
from evotools.errors import ParseError
from tests.unit.containers.feeding import MIB, peak
from tests.unit.containers.mp4 import build
from tests.unit.containers.mp4.build import Media, Sample, film, fragment, init, movie, rows, u32
from tests.unit.containers.mp4.streams import H264

ENOUGH_S = 5.0
"""What a hostile file of some kilobytes may take on a busy machine."""


def opened(**trex: int) -> Mp4Demuxer:
    demuxer = Mp4Demuxer()
    demuxer.feed(init([Media(H264, [])], defaults={1: build.trex(1, **trex)}))
    return demuxer


@pytest.mark.parametrize(
    ("kind", "most"), [(b"moov", MAX_MOOV), (b"moof", MAX_MOOF), (b"emsg", MAX_EVENT), (b"prft", 64)]
)
def test_boxes_that_are_too_long_are_refused_at_their_header(kind: bytes, most: int) -> None:
    for head in ((most + 1).to_bytes(4, "big") + kind, b"\0\0\0\1" + kind + (1 << 40).to_bytes(8, "big")):
        with pytest.raises(ParseError, match="more than"):
            opened().feed(head)


def test_a_long_box_costs_its_bytes_and_no_more() -> None:
    demuxer = opened()
    demuxer.feed(MAX_MOOF.to_bytes(4, "big") + b"moof")
    # Half of it: the buffer with its room to grow.
    assert peak(demuxer.feed, [bytes(65_536)] * 256) < 24 * MIB


def test_boxes_that_are_passed_over_are_not_kept() -> None:
    demuxer = Mp4Demuxer()
    demuxer.feed(b"\0\0\0\1free" + (1 << 50).to_bytes(8, "big"))
    assert peak(demuxer.feed, [bytes(65_536)] * 500) < MIB


def test_media_data_that_nobody_asked_for_is_not_kept() -> None:
    demuxer = opened()
    demuxer.feed(b"\0\0\0\1mdat" + (1 << 50).to_bytes(8, "big"))
    assert peak(demuxer.feed, [bytes(65_536)] * 500) < MIB


def announced(count: int, size: int) -> bytes:
    """A fragment of so many samples of one size, and the head of its endless media data."""
    traf = (full_box(b"tfhd", 0, 0x020010, u32(1, size)), build.tfdt(0))
    offset = len(build.moof([(*traf, full_box(b"trun", 0, 1, u32(count, 0)))])) + 16
    head = build.moof([(*traf, full_box(b"trun", 0, 1, u32(count, offset)))])
    return head + b"\0\0\0\1mdat" + (1 << 50).to_bytes(8, "big")


def test_one_sample_is_kept_until_it_is_whole_and_a_giant_is_not_kept() -> None:
    demuxer = opened()
    demuxer.feed(announced(1, MAX_SAMPLE))
    assert peak(demuxer.feed, [bytes(65_536)] * 400) < 40 * MIB
    demuxer = opened()
    demuxer.feed(announced(5, MAX_SAMPLE + 1))
    assert peak(demuxer.feed, [bytes(65_536)] * 400) < MIB


def test_billions_of_samples_are_announced_by_a_few_bytes() -> None:
    demuxer = opened(duration=40)
    begun = time.monotonic()
    assert peak(demuxer.feed, [announced(0xFFFF_FFFF, 9), *[b"\0\0\0\5\x41abcd" * 7000] * 5]) < 8 * MIB
    assert time.monotonic() - begun < ENOUGH_S
    begun = time.monotonic()
    assert opened(duration=40).feed(announced(0xFFFF_FFFF, 0) + bytes(100_000)) == []
    assert time.monotonic() - begun < ENOUGH_S


def test_frames_that_wait_for_another_track_are_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demux_module, "MAX_WAIT_BYTES", MIB)
    video, audio = Media(H264, build.video_samples(400, size=20_000)), film(16)[1]
    data = movie([video, audio], order="apart")
    demuxer = Mp4Demuxer()
    pieces = [data[at : at + 65_536] for at in range(0, len(data), 65_536)]
    assert peak(demuxer.feed, pieces) < 4 * MIB


def test_frames_that_wait_for_another_track_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demux_module, "MAX_WAIT_FRAMES", 500)
    video = Media(H264, [Sample(b"\0\0\0\1\x41", 1)] * 20_000)
    data = movie([video, film(1)[1]], order="apart", per_chunk=5000)
    demuxer = Mp4Demuxer()
    seen = 0
    for at in range(0, len(data), 1000):
        seen += len(rows(demuxer.feed(data[at : at + 1000])))
        assert sum(len(times) for _, times in demuxer._waiting) < 2 * 500
    assert seen > 19_000


def test_event_messages_that_wait_are_counted() -> None:
    demuxer = opened()
    one = box(b"emsg", bytes(4), b"urn:x\0\0", u32(1, 1, 1, 1), bytes(1000))
    assert peak(demuxer.feed, [one] * 5000) < 2 * MIB
    assert len(demuxer._messages) == MAX_EVENTS


def test_movies_that_come_again_and_again() -> None:
    demuxer = Mp4Demuxer()
    one = init(film(1)) + fragment([(1, 0, build.video_samples(3))])

    def pieces() -> Iterator[bytes]:
        for _ in range(60):
            yield one

    assert peak(demuxer.feed, pieces()) < MIB // 2


def test_a_feed_of_single_bytes_takes_linear_time() -> None:
    media = Media(H264, build.video_samples(4, size=60_000))
    data = init([media]) + fragment([(1, 0, media.samples)])
    demuxer = Mp4Demuxer()
    begun = time.monotonic()
    for at in range(len(data)):
        demuxer.feed(data[at : at + 1])
    assert time.monotonic() - begun < ENOUGH_S


def test_a_fragment_of_very_many_runs_is_left_out() -> None:
    demuxer = opened(duration=40, size=9)
    trun = full_box(b"trun", 0, 0, u32(1))
    traf = box(b"traf", full_box(b"tfhd", 0, 0x020000, u32(1)), trun * 4000)
    assert peak(demuxer.feed, [box(b"moof", traf * 5)]) < 20 * MIB
    assert demuxer._lanes[0].fill() is False
    # Those without a sample do not count.
    demuxer.feed(box(b"moof", traf.replace(trun, trun[:-1] + b"\0") * 5))
    events = demuxer.feed(fragment([(1, 0, build.video_samples(3))]))
    assert len(rows(events + demuxer.flush())) == 3


@pytest.mark.parametrize("junk", [0, 1 << 20])
def test_headers_of_fragments_whose_media_never_comes(junk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demux_module, "MAX_MOOF", 4 * MIB)
    monkeypatch.setattr(demux_module, "MAX_RUNS", 1000)
    demuxer = opened(duration=40, size=9)
    traf = (full_box(b"tfhd", 0, 0x020000, u32(1)), full_box(b"trun", 0, 1, u32(1, 1 << 24)), box(b"free", bytes(junk)))
    one = build.moof([traf])
    assert peak(demuxer.feed, [one] * (100 if junk else 20_000)) < 10 * MIB
    assert demuxer.damaged
    events = demuxer.feed(fragment([(1, 0, build.video_samples(3))]))
    assert len(rows(events + demuxer.flush())) == 3


# Files.


def run(data: bytes, size: int | None = None) -> int:
    """Frames of a file, of which only the front is there."""
    reader = Mp4Reader(size or len(data))
    count = 0
    while (wanted := reader.want()) is not None:
        offset, length = wanted
        part = data[offset : offset + length]
        count += len(rows(reader.give(part + bytes(length - len(part)))))
    return count


def tables(edits: list[tuple[int, int]] | None = None, track: int = 1, **other: bytes) -> bytes:
    """A movie box with one track whose tables are as given."""
    media = Media(H264.with_(id=track), [Sample(b"abcd", 40)] * 10, edits or [], places=[1000])
    kinds = {kind.encode(): body for kind, body in other.items()}
    stbl = build.stbl(media, 1000)
    parts = []
    at = 8
    while at < len(stbl):
        size = int.from_bytes(stbl[at : at + 4], "big")
        kind = stbl[at + 4 : at + 8]
        parts.append(box(kind, kinds.pop(kind)) if kind in kinds else stbl[at : at + size])
        at += size
    parts += [box(kind, body) for kind, body in kinds.items()]
    return build.FTYP + box(b"moov", build.mvhd(), build.trak(media, box(b"stbl", *parts)))


ENDLESS = b"\0\0\0\1mdat" + (1 << 50).to_bytes(8, "big")


@pytest.mark.parametrize(("size", "per_chunk"), [(MAX_SAMPLE + 1, 0xFFFF_FFFF), (1, 5000)], ids=["giants", "passed"])
def test_a_stream_of_billions_of_samples_that_are_no_use(size: int, per_chunk: int) -> None:
    """Giants, and samples that lie where the stream has been: tried for a while, not to the last one."""
    chunks = 10_000

    def head(place: int) -> bytes:
        stco = u32(0, chunks) + u32(place) * chunks
        return tables(stsz=u32(0, size, 0xFFFF_FFFF), stsc=u32(0, 1, 1, per_chunk, 1), stco=stco) + ENDLESS

    def stream() -> None:
        demuxer = Mp4Demuxer()
        demuxer.feed(head(len(head(0))))
        for _ in range(3):
            # Each byte makes one frame at the most, however often it is named.
            assert len(rows(demuxer.feed(b"\0\0\0\1\x41" * 2000))) <= 10_000

    begun = time.monotonic()
    with pytest.raises(ParseError, match="nothing but samples"):
        stream()
    assert time.monotonic() - begun < 4 * ENOUGH_S


def test_samples_of_one_place_come_once() -> None:
    media = Media(H264, [Sample(b"\0\0\0\1\x41", 3600, 0, False)] * 5000)
    data = movie([media], per_chunk=1)
    data = data.replace(u32(5000, *media.places), u32(5000, *[data.index(b"mdat") + 4] * 5000))
    demuxer = Mp4Demuxer()
    assert len(rows(demuxer.feed(data) + demuxer.flush())) == 1


def test_four_billion_samples_of_one_size() -> None:
    """20 bytes of tables. The file's size ends them."""
    data = tables(stsz=u32(0, 9, 0xFFFF_FFFF), stsc=u32(0, 1, 1, 0xFFFF_FFFF, 1))
    begun = time.monotonic()
    assert run(data, 100_000) < 12_000
    assert time.monotonic() - begun < ENOUGH_S


@pytest.mark.parametrize("keys", [None, (), (1,), (1, 9_000_000)])
@pytest.mark.parametrize("offsets", [b"", u32(1, 0x7FFF_FFFF, 3600), u32(2, 1 << 30, 0x7FFF_FFFF, 1 << 30, 0)])
def test_an_edit_that_begins_behind_four_billion_samples(keys: tuple[int, ...] | None, offsets: bytes) -> None:
    most = 0xFFFF_FFFF
    kinds = {"stsz": u32(0, 1, most), "stsc": u32(0, 1, 1, most, 1), "stts": u32(0, 1, most, 1)}
    if offsets:
        kinds["ctts"] = u32(0) + offsets
    if keys is not None:
        kinds["stss"] = u32(0, len(keys), *keys)
    begun = time.monotonic()
    for at in (1 << 31, 1 << 60):
        data = tables(edits=[(1000, at)], **kinds)
        assert run(data, len(data) + 100_000) <= 100_000
    assert time.monotonic() - begun < ENOUGH_S


def many(tracks: int, size: int, **kinds: bytes) -> Mp4Reader:
    """A file of zeros behind many tracks with the same tables, read to its end or its error."""
    traks = []
    for number in range(1, tracks + 1):
        movie_box = tables(track=number, **kinds)[len(build.FTYP) + 8 + len(build.mvhd()) :]
        traks.append(movie_box)
    data = build.FTYP + box(b"moov", build.mvhd(), *traks)
    reader = Mp4Reader(max(size, len(data)))
    try:
        while (wanted := reader.want()) is not None:
            part = data[wanted[0] : sum(wanted)]
            reader.give(part + bytes(wanted[1] - len(part)))
    except ParseError:
        pass
    return reader


def test_samples_that_lie_scattered_are_not_read_with_all_that_is_between_them() -> None:
    """64 tracks of 5 kB each, 16 MB between the first and the last sample of each."""
    count = 1024
    stco = u32(0, count, *(400_000 + 16_000 * n for n in range(count)))
    kinds = {"stsz": u32(0, 5, count), "stsc": u32(0, 1, 1, 1, 1), "stco": stco, "stts": u32(0, 1, count, 1)}
    assert peak(lambda _: many(64, 18_000_000, **kinds), [b""]) < 60 * MIB


def test_a_million_empty_samples() -> None:
    count = 1_000_000
    data = tables(stsz=u32(0, 0, count) + bytes(4 * count), stsc=u32(0, 1, 1, count, 1))
    begun = time.monotonic()
    assert run(data) == 0
    assert time.monotonic() - begun < ENOUGH_S


def test_one_chunk_per_sample_and_entries_that_hold_nothing() -> None:
    count = 200_000
    empty = struct.pack(">II", 0, 7) * count
    data = tables(
        stsz=u32(0, 4, count), stco=u32(0, count) + u32(1000) * count, stts=u32(0, count + 1) + empty + u32(count, 1),
        ctts=u32(0, count + 1) + empty + u32(count, 1), stsc=u32(0, 1, 1, 1, 1),
    )  # fmt: skip
    begun = time.monotonic()
    assert run(data, 8_000_000) == count
    assert time.monotonic() - begun < ENOUGH_S


def test_reading_holds_the_movie_box_and_little_more() -> None:
    count = 500_000
    sizes = struct.pack(">I", 20) * count
    data = tables(stsz=u32(0, 0, count) + sizes, stsc=u32(0, 1, 1, count, 1))
    reader = Mp4Reader(len(data) + 20 * count)

    def step(_: bytes) -> None:
        wanted = reader.want()
        if wanted is not None:
            part = data[wanted[0] : sum(wanted)]
            reader.give(part + bytes(wanted[1] - len(part)))

    assert peak(step, [b""] * 20) < len(data) + 6 * MIB
