"""Sample tables against a plain expansion of them."""

import random
import struct
from itertools import accumulate

import pytest

from evotools.containers.mp4.boxes import children
from evotools.containers.mp4.samples import BLOCK, MAX_OFFSET, Block, SampleTable, TableCursor
from evotools.errors import ParseError
from tests.unit.containers.mp4 import build
from tests.unit.containers.mp4.build import Media, Sample, u32
from tests.unit.containers.mp4.streams import H264


def table(stbl: bytes, **other: bytes) -> SampleTable:
    """The tables in a stbl box, some of them replaced."""
    boxes = {box.kind: stbl[box.start : box.end] for box in children(stbl, 8)}
    boxes.update({kind.encode(): body for kind, body in other.items()})
    return SampleTable(boxes)


def read(cursor: TableCursor, limits: random.Random | None = None) -> list[Block]:
    blocks = []
    while (block := cursor.read(limits.randint(1, 9) if limits else BLOCK)) is not None:
        assert len({len(column) for column in block[:6]}) == 1 and block.offsets
        blocks.append(block)
    return blocks


def joined(blocks: list[Block]) -> list[tuple[int, ...]]:
    """(offset, size, dts, pts, duration, key, entry) of every sample."""
    return [(*row, block.entry) for block in blocks for row in zip(*block[:6], strict=True)]


def random_media(chance: random.Random, count: int) -> Media:
    sizes, steps, shifts = (0, 1, 2, 3, 9, 14), (0, 1, 40, 40, 40, 41), (0, 0, 80, -40)
    pick = chance.choice
    return Media(H264, [
        Sample(bytes(pick(sizes)), pick(steps), pick(shifts), chance.random() < 0.3, pick((1, 1, 1, 2)))
        for _ in range(count)
    ])  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_any_tables_in_any_blocks(seed: int) -> None:
    chance = random.Random(seed)
    media = random_media(chance, chance.choice((1, 5, 60, 300)))
    per_chunk = chance.choice((1, 2, 5, 1000))
    parts = build.chunks(media, per_chunk)
    media.places = sorted(chance.sample(range(1 << 20), len(parts)))
    stbl = build.stbl(media, per_chunk, co64=chance.random() < 0.5, stz2=chance.choice((0, 4, 8, 16)))
    found = joined(read(TableCursor(table(stbl)), chance))
    offsets = [
        place + start
        for place, part in zip(media.places, parts, strict=True)
        for start in accumulate([len(sample.data) for sample in part[:-1]], initial=0)
    ]
    times = list(accumulate([sample.duration for sample in media.samples], initial=0))
    assert found == [
        (offset, len(s.data), time, time + s.offset, s.duration, s.key, s.entry)
        for offset, time, s in zip(offsets, times, media.samples, strict=False)
    ]


@pytest.mark.parametrize("seed", range(40))
def test_skipping_is_reading_without_looking(seed: int) -> None:
    chance = random.Random(seed)
    media = random_media(chance, chance.choice((5, 60, 300)))
    per_chunk = chance.choice((1, 2, 5, 1000))
    media.places = sorted(chance.sample(range(1 << 20), len(build.chunks(media, per_chunk))))
    tables = table(build.stbl(media, per_chunk, stz2=chance.choice((0, 4, 8, 16))))
    rows = joined(read(TableCursor(tables)))
    cursor, at = TableCursor(tables), 0
    while at < len(rows):
        to = at + chance.randint(0, 70)
        cursor.skip_to(to)
        block = cursor.read(3)
        got = joined([block]) if block is not None else []
        assert got == rows[to : to + 3][: len(got)] and bool(got) == (to < len(rows))
        at = to + len(got)
    # The begin of an edit against a search through all samples.
    for time in range(0, 40 * len(rows), 97):
        keys = [n for n, row in enumerate(rows) if row[5] and row[2] <= time and row[3] <= time]
        assert tables.start_of(time, 0, by_key=True) == (keys[-1] if keys else 0)
        shown = [row[3] for row in rows[tables.start_of(time, 0, by_key=True) :] if row[3] >= time]
        assert tables.first_shown(time, tables.start_of(time, 0, by_key=True)) == min(shown, default=time)


def test_more_samples_than_one_block() -> None:
    media = Media(H264, [Sample(bytes(n % 50 + 1), 40 + (n % 700 == 0), n % 3 * 40, n % 100 == 0) for n in range(3000)])
    media.places = [100_000 * n for n in range(3000 // 7 + 1)]
    blocks = read(TableCursor(table(build.stbl(media, 7))))
    assert [len(block.dts) for block in blocks] == [1024, 1024, 952]
    rows = joined(blocks)
    assert [row[5] for row in rows] == [sample.key for sample in media.samples]
    assert [row[3] - row[2] for row in rows] == [sample.offset for sample in media.samples]
    assert [row[0] for row in rows[6:9]] == [sum(range(1, 7)), 100_000, 100_000 + 8]


def plain(count: int = 10, **options: bytes) -> SampleTable:
    media = Media(H264, [Sample(b"abcd", 40, 0, n % 4 == 0) for n in range(count)])
    media.places = [1000]
    return table(build.stbl(media, 1000), **options)


def test_one_size_for_all_needs_no_table() -> None:
    rows = joined(read(TableCursor(plain(stsz=u32(0, 7, 10)))))
    assert [row[:2] for row in rows] == [(1000 + 7 * n, 7) for n in range(10)]
    assert plain(stsz=u32(0, 7, 10)).total_size() == 70
    assert plain().total_size() == 40


def test_tables_that_end_early() -> None:
    """The last distance goes on, offsets become 0, and chunks that are missing end the track."""
    rows = joined(read(TableCursor(plain(stts=u32(0, 2, 2, 10, 1, 30), ctts=u32(0, 1, 3, 5)))))
    assert [row[2] for row in rows] == [0, 10, 20, 50, 80, 110, 140, 170, 200, 230]
    assert [row[3] - row[2] for row in rows] == [5, 5, 5, 0, 0, 0, 0, 0, 0, 0]
    rows = joined(read(TableCursor(plain(stsc=u32(0, 1, 1, 4, 1)))))
    assert len(rows) == 4


def test_chunks_of_other_sizes_behind_the_last_one_are_passed_over() -> None:
    rows = joined(read(TableCursor(plain(stsc=u32(0, 3, 1, 10, 1, 5, 2, 1, 9, 3, 1)))))
    assert len(rows) == 10


def test_no_sync_table_means_all_and_an_empty_one_none() -> None:
    every = Media(H264, [Sample(b"abcd", 40)] * 3, places=[0])
    assert [row[5] for row in joined(read(TableCursor(table(build.stbl(every, 9)))))] == [True] * 3
    none = plain(stss=u32(0, 0))
    assert not any(row[5] for row in joined(read(TableCursor(none))))
    assert none.sync is not None and none.sync.length == 0


def test_partial_sync_samples_and_numbers_from_zero() -> None:
    rows = joined(read(TableCursor(plain(stss=u32(0, 1, 3), stps=u32(0, 2, 5, 9)))))
    assert [n for n, row in enumerate(rows) if row[5]] == [2, 4, 8]
    rows = joined(read(TableCursor(plain(stss=u32(0, 2, 0, 4)))))
    assert [n for n, row in enumerate(rows) if row[5]] == [0, 4]


def test_offsets_below_zero_in_version_0() -> None:
    one = plain(ctts=u32(0, 2, 5, 80, 5, -40))
    assert one.lowest_offset == -40
    assert [row[3] - row[2] for row in joined(read(TableCursor(one)))] == [80] * 5 + [-40] * 5
    broken = plain(ctts=u32(0, 2, 5, 80, 5, -MAX_OFFSET - 1))
    assert broken.lowest_offset == 0
    assert all(row[2] == row[3] for row in joined(read(TableCursor(broken))))


def test_distances_that_are_negative_as_signed_numbers_count_as_one() -> None:
    one = plain(stts=u32(0, 3, 4, 40, 1, -30, 5, 40))
    assert one.longest == 0xFFFF_FFE2
    assert [row[2] for row in joined(read(TableCursor(one)))] == [0, 40, 80, 120, 160, 161, 201, 241, 281, 321]


def test_distances() -> None:
    assert (plain().shortest, plain().longest) == (40, 40)
    # The last one is often odd.
    one = plain(stts=u32(0, 2, 9, 40, 1, 7))
    assert (one.shortest, one.longest, one.total_duration()) == (40, 40, 367)
    one = plain(stts=u32(0, 3, 4, 33, 5, 34, 1, 33))
    assert (one.shortest, one.longest) == (33, 34)


def test_the_end_of_an_edit() -> None:
    assert [row[2] for row in joined(read(TableCursor(plain(), stop=100)))] == [0, 40, 80]
    assert len(joined(read(TableCursor(plain(), stop=120)))) == 3
    assert len(joined(read(TableCursor(plain(), stop=121), random.Random(1)))) == 4
    assert joined(read(TableCursor(plain(), stop=0))) == []


def test_a_later_start() -> None:
    every = joined(read(TableCursor(plain(4000))))
    for first in (1, 7, 1024, 3999):
        assert joined(read(TableCursor(plain(4000), first=first))) == every[first:]
    assert joined(read(TableCursor(plain(4000), first=5000))) == []
    assert joined(read(TableCursor(plain(), base=50)))[0][0] == 1050


@pytest.mark.parametrize(
    ("time", "first"), [(0, 0), (1, 0), (159, 0), (160, 4), (319, 4), (320, 8), (399, 8), (100_000, 8)]
)
def test_pictures_begin_at_the_key_frame_before(time: int, first: int) -> None:
    assert plain().start_of(time, 0, by_key=True) == first


def test_a_key_frame_that_is_shown_after_the_beginning_is_too_late() -> None:
    media = Media(H264, [Sample(b"x", 40, 80, n % 4 == 0) for n in range(10)], places=[0])
    one = table(build.stbl(media, 99))
    assert [one.start_of(time, 0, by_key=True) for time in (160, 239, 240, 399, 400)] == [0, 0, 4, 4, 8]
    assert [one.first_shown(time, 0) for time in (0, 80, 81, 120, 121, 10_000)] == [80, 80, 120, 120, 160, 10_000]


def test_sound_begins_earlier_by_a_margin() -> None:
    assert [plain().start_of(time, 100, by_key=False) for time in (99, 100, 139, 140, 180, 9999)] == [0, 0, 0, 1, 2, 9]


def test_chunks_in_the_order_of_the_file() -> None:
    media = Media(H264, [Sample(b"abcd", 40)] * 4, places=[10, 20, 20, 30])
    assert table(build.stbl(media, 1)).in_file_order(10)
    assert not table(build.stbl(media, 1)).in_file_order(11)
    media.places = [10, 30, 20, 40]
    assert not table(build.stbl(media, 1)).in_file_order(0)


@pytest.mark.parametrize(
    ("kind", "body", "what"),
    [
        ("stsz", u32(0, 0, 11, *[4] * 10), "'stsz' announces 11"), ("stsz", u32(0, 0, 0xFFFF_FFFF), "announces"),
        ("stsz", u32(0, 0), "too short"), ("stts", u32(0, 0x1000_0000, 1, 1), "'stts' announces 268435456"),
        ("stts", u32(0, 0), "no decode times"), ("ctts", u32(0, 2, 1, 1), "'ctts' announces 2"),
        ("stsc", u32(0, 1, 1, 1), "'stsc'"), ("stsc", u32(0, 0), "no chunk"), ("stco", u32(0, 9, 1), "'stco'"),
        ("stco", u32(0, 0), "no chunk"), ("co64", u32(0, 1, 1), "'co64'"), ("stss", u32(0, 7), "'stss'"),
        ("stsc", u32(0, 1, 2, 1, 1), "out of order"), ("stsc", u32(0, 2, 1, 1, 1, 1, 1, 1), "out of order"),
        ("stsc", u32(0, 3, 1, 1, 1, 3, 1, 1, 2, 1, 1), "out of order"), ("stss", b"\0\0", "too short"),
    ],
)  # fmt: skip
def test_tables_that_lie(kind: str, body: bytes, what: str) -> None:
    with pytest.raises(ParseError, match=what):
        plain(**{kind: body})


@pytest.mark.parametrize(
    ("body", "what"), [(u32(0, 5, 1), "5 bits"), (u32(0, 8, 11) + bytes(10), "announces 11"), (b"\0" * 8, "too short")]
)
def test_compact_sizes_that_lie(body: bytes, what: str) -> None:
    boxes = {b"stz2": body, b"stco": u32(0, 1, 0), b"stsc": u32(0, 1, 1, 1, 1), b"stts": u32(0, 1, 1, 1)}
    with pytest.raises(ParseError, match=what):
        SampleTable(boxes)


def test_no_samples() -> None:
    empty = SampleTable({})
    assert (empty.count, empty.total_size(), empty.total_duration()) == (0, 0, 0)
    assert read(TableCursor(empty)) == []


def test_a_table_of_empty_entries_ends() -> None:
    """A million entries that hold nothing, then the samples."""
    body = u32(0, 1_000_001) + struct.pack(">II", 0, 5) * 1_000_000 + u32(10, 40)
    assert len(joined(read(TableCursor(plain(stts=body))))) == 10
