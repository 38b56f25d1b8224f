"""MP4 at any place: the order of what is asked for, files that interleave badly, files that are cut off."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from evotools.containers.base import Foreign
from evotools.containers.mp4 import reader as reader_module
from evotools.containers.mp4.boxes import box, full_box
from evotools.containers.mp4.demux import Mp4Demuxer
from evotools.containers.mp4.entries import sample_entry
from evotools.containers.mp4.protection import Protection
from evotools.containers.mp4.reader import HEAD_BYTES, MAX_STEP_BYTES, READ_BYTES, Mp4Reader
from evotools.errors import MediaError, ParseError
from evotools.media.frame import Event, Frame, Tracks
from tests.unit.containers.feeding import MIB, demuxed, peak
from tests.unit.containers.mp4 import build
from tests.unit.containers.mp4.build import (
    Media,
    Sample,
    expected,
    film,
    fragment,
    init,
    movie,
    of,
    rows,
    times,
    tracks,
)
from tests.unit.containers.mp4.streams import H264
from tests.unit.containers.mp4.test_demux import fragmented


class Done(NamedTuple):
    events: list[Event]
    asked: list[tuple[int, int]]
    reader: Mp4Reader


def run(data: bytes, **options: bool) -> Done:
    reader = Mp4Reader(len(data), **options)
    events: list[Event] = []
    asked: list[tuple[int, int]] = []
    while (wanted := reader.want()) is not None:
        assert wanted == reader.want()
        asked.append(wanted)
        events += reader.give(data[wanted[0] : wanted[0] + wanted[1]])
    assert reader.give(b"") == []
    return Done(events, asked, reader)


def check(events: Sequence[Event], medias: Sequence[Media]) -> None:
    for media in medias:
        assert of(events, media.track.id) == expected(media)
    assert times(events) == sorted(times(events))
    assert isinstance(events[0], Tracks) and len(tracks(events)) == 1


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("order", ["mixed", "apart", "back"])
@pytest.mark.parametrize("per_chunk", [1, 9, 10_000])
def test_any_layout_gives_decoding_order(last: bool, order: str, per_chunk: int) -> None:
    medias = film(3)
    done = run(movie(medias, last=last, order=order, per_chunk=per_chunk))
    check(done.events, medias)
    assert done.reader.duration_s == 3.0


@pytest.mark.parametrize("kind", ["co64", "stz2", "plain"])
def test_tables_of_every_kind(kind: str) -> None:
    medias = film(2)
    check(run(movie(medias, co64=kind == "co64", stz2=16 if kind == "stz2" else 0)).events, medias)


def test_reads_are_few_and_large() -> None:
    """A film interleaved by chunks is read once, from front to end, a megabyte at a time."""
    medias = [Media(H264, build.video_samples(3000, size=4000)), film(120)[1]]
    data = movie(medias, per_chunk=12)
    done = run(data)
    check(done.events, medias)
    media = done.asked[1:]
    assert sum(length for _, length in media) < 1.1 * len(data)
    assert len(media) < 3 * len(data) // READ_BYTES
    assert all(a <= b for (a, _), (b, _) in zip(media, media[1:], strict=False))
    assert max(length for _, length in media) <= 2 * MAX_STEP_BYTES


def test_tracks_far_apart_take_one_read_each() -> None:
    medias = [Media(H264, build.video_samples(3000, size=4000)), film(120)[1]]
    data = movie(medias, order="apart")
    done = run(data)
    check(done.events, medias)
    assert sum(length for _, length in done.asked) < 1.2 * len(data)
    assert len(done.asked) < 8 * len(data) // READ_BYTES


def test_memory_does_not_grow_with_the_film() -> None:
    medias = [Media(H264, build.video_samples(2000, size=10_000)), film(80)[1]]
    for order in ("mixed", "apart"):
        data = movie(medias, order=order, last=True)
        reader = Mp4Reader(len(data))

        def step(_: bytes, data: bytes = data, reader: Mp4Reader = reader) -> None:
            wanted = reader.want()
            if wanted is not None:
                reader.give(data[wanted[0] : wanted[0] + wanted[1]])

        # 20 MB of film; a step has its bytes and the frames cut out of them.
        assert peak(step, [b""] * 200) < 4 * MAX_STEP_BYTES // 2
        assert reader.want() is None


def test_one_large_sample_is_a_step_of_its_own() -> None:
    big = Sample((9 * MIB - 4).to_bytes(4, "big") + b"\x65" + bytes(9 * MIB - 5), 3600)
    media = Media(H264, [*build.video_samples(3), big, *build.video_samples(3)])
    done = run(movie([media, film(1)[1]]))
    check(done.events, [media])
    assert sum(length >= 9 * MIB for _, length in done.asked) == 1


def test_more_samples_at_one_time_than_a_step_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MAX_STEP_BYTES", 1000)
    media = Media(H264, [Sample(b"\0\0\1\x2a\x65" + bytes(297), 0) for _ in range(20)] + build.video_samples(5))
    assert of(run(movie([media])).events, 1) == expected(media)


def test_scattered_samples() -> None:
    media = Media(H264, build.video_samples(60, size=70_000))
    done = run(movie([media], per_chunk=1, order="back"))
    check(done.events, [media])


def test_a_block_of_samples_ends_in_the_middle_of_a_step() -> None:
    medias = [Media(H264, build.video_samples(2500)), film(100)[1]]
    check(run(movie(medias)).events, medias)


# Edit lists.


def test_the_edit_begins_with_the_key_frame_before() -> None:
    """Frames in front of the edit have times below zero; players decode them and show none."""
    media = Media(H264, build.video_samples(40, gop=10), [(600, 3600 * 25)])
    found = of(run(movie([media])).events, 1)
    assert [row[1] for row in found] == [3600 * n for n in range(-5, 15)]
    assert found[0][4]


def test_an_edit_between_two_pictures_begins_with_the_next_one() -> None:
    media = Media(H264, build.video_samples(40, gop=10), [(600, 3600 * 25 - 1000)])
    found = of(run(movie([media])).events, 1)
    assert [row[1] for row in found][:6] == [-18_000, -14_400, -10_800, -7200, -3600, 0]


def test_sound_keeps_a_second_in_front_of_its_edit() -> None:
    media = film(3)[1]
    media.edits = [(500, 96_000)]
    found = of(run(movie([media])).events, 2)
    assert found[0][1] == 48_000 // 1024 * 1024 - 96_000
    assert found[-1][1] < 24_000 <= found[-1][1] + 1024


def test_silence_in_front() -> None:
    medias = film(1)
    medias[1].edits = [(300, -1), (1000, 1024)]
    events = run(movie(medias)).events
    assert of(events, 2)[0][1:3] == (300 * 48 - 1024, 300 * 48 - 1024)
    assert of(events, 1)[0][1] == 0
    assert times(events) == sorted(times(events))


# Fragments.


def test_fragmented_files() -> None:
    for apart in (False, True):
        data = fragmented(film(3), apart=apart) + box(b"mfra", bytes(30))
        check(run(data).events, film(3))


def test_fragments_behind_samples_of_the_header() -> None:
    medias = film(1)
    data = movie(medias, more=box(b"mvex", build.trex(1), build.trex(2)), last=True)
    data += fragment([(1, 90_000, medias[0].samples), (2, 46 * 1024, medias[1].samples)])
    check(run(data).events, [Media(m.track, m.samples * 2) for m in medias])


def test_the_reader_and_the_demuxer_agree() -> None:
    for data in (fragmented(film(2)), movie(film(2)), movie(film(2), order="apart")):
        assert rows(run(data).events) == rows(demuxed(Mp4Demuxer(), data))


# Where the movie box stands.


def test_the_header_is_found_behind_anything() -> None:
    medias = film(1)
    data = movie(medias, last=True)
    at = data.index(b"moov") - 4
    head, tail = data[:at], data[at:]
    middle = box(b"free", bytes(100_000)) + box(b"\xa9xyz", b"hello") + box(b"uuid", bytes(20))
    done = run(head + middle + tail)
    check(done.events, medias)
    # Boxes are looked at through a window; what lies in them is not read.
    assert sum(length for _, length in done.asked[:-1]) <= 3 * HEAD_BYTES


def test_a_header_larger_than_the_first_read() -> None:
    medias = [Media(H264, build.video_samples(40_000)), film(2)[1]]
    data = movie(medias)
    assert len(data) > 5 * HEAD_BYTES
    assert len(of(run(data).events, 1)) == 40_000


def test_media_data_and_headers_to_the_end_of_the_file() -> None:
    medias = film(1)
    data = bytearray(movie(medias))
    at = data.rindex(b"mdat")
    data[at - 4 : at] = bytes(4)
    check(run(bytes(data)).events, medias)
    data = bytearray(movie(medias, last=True))
    at = data.rindex(b"moov")
    data[at - 4 : at] = bytes(4)
    check(run(bytes(data)).events, medias)


def test_sizes_of_64_bits() -> None:
    medias = film(1)
    data = movie(medias, last=True, shift=8)
    at = data.index(b"mdat") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    data = data[:at] + b"\0\0\0\1mdat" + (size + 8).to_bytes(8, "big") + data[at + 8 :]
    check(run(data).events, medias)


# What is cut off or broken.


def test_a_file_that_was_cut_off_gives_what_is_there(caplog: pytest.LogCaptureFixture) -> None:
    medias = film(8)
    data = movie(medias)
    done = run(data[: len(data) * 9 // 10])
    assert "cut off; the end of track 1, 2 is missing" in caplog.text
    for media in medias:
        found = of(done.events, media.track.id)
        assert len(media.samples) // 2 < len(found) < len(media.samples)
        assert found == expected(media)[: len(found)]


def test_a_file_that_shrinks_while_it_is_read(caplog: pytest.LogCaptureFixture) -> None:
    data = movie(film(2))
    reader = Mp4Reader(len(data))
    cut = data[:-500]
    events = reader.give(data)
    while (wanted := reader.want()) is not None:
        events += reader.give(cut[wanted[0] : wanted[0] + wanted[1]])
    assert 0 < len(rows(events)) < 143 and "sooner than it did" in caplog.text
    with pytest.raises(ParseError, match="before its header"):
        Mp4Reader(1000).give(b"short")


@pytest.mark.parametrize("end", [0, 7, 30, 200, 1000])
def test_a_file_without_its_header(end: int) -> None:
    data = movie(film(1), last=True)
    with pytest.raises(ParseError, match=r"moov|header"):
        run(data[:end])
    with pytest.raises(ParseError, match="ends inside its header"):
        run(data[:-1])


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (fragmented(film(1))[len(init(film(1))) :], "without a header"),
        (b"\0\0\0\x20\1\2\3\4" + bytes(24), "none"), (b"\x7f\xff\xff\xffmoov" + bytes(40), "more than"),
        (box(b"free") * 65_537, "none"), (b"\0\0\0\2free" + bytes(40), "shorter than its header"),
    ],
)  # fmt: skip
def test_what_is_no_mp4(data: bytes, what: str) -> None:
    with pytest.raises(ParseError, match=what):
        run(data)


def test_foreign_and_encrypted_files_are_known_before_the_first_event() -> None:
    entry = sample_entry(H264)
    prores = Media(H264, build.video_samples(2), entries=[entry[:4] + b"apcn" + entry[8:]])
    with pytest.raises(Foreign, match="apcn"):
        run(movie([prores]))
    entry = sample_entry(H264, protection=Protection(b"cenc", bytes(16)))
    senc = full_box(b"senc", 0, 0, build.u32(3), *(bytes((n,)) * 8 for n in range(3)))
    secret = Media(H264, build.video_samples(3), entries=[entry], tables=senc)
    with pytest.raises(MediaError, match=r"encrypted \(cenc\)"):
        run(movie([secret]))
    frames = [event for event in run(movie([secret]), encrypted=True).events if isinstance(event, Frame)]
    assert [frame.side for frame in frames] == [{"cenc": (bytes((n,)) * 8, ())} for n in range(3)]


def test_bytes_that_are_used_over_and_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of a few kilobytes must not become gigabytes of frames."""
    monkeypatch.setattr(reader_module, "SLACK_BYTES", 100_000)
    media = Media(H264, [Sample(b"\0\0\x4e\x1c\x65" + bytes(19_995), 3600), *build.video_samples(2000)])
    media.places = [10_000] * 2001
    tables = build.stbl(media, 1).replace(build.u32(*(len(s.data) for s in media.samples)), build.u32(*[20_000] * 2001))
    data = build.FTYP + box(b"moov", build.mvhd(), build.trak(media, tables))
    data += box(b"mdat", (b"\0\0\0\4\x41abc" * 4000))
    assert len(data) > 10_000 + 20_000
    with pytest.raises(ParseError, match="over and over"):
        run(data)


def test_any_file_in_random_order_of_its_chunks() -> None:
    for seed in range(20):
        chance = random.Random(seed)
        media = Media(H264, build.video_samples(200, gop=chance.choice((1, 7, 300))))
        other = film(8)[1]
        for one in (media, other):
            one.samples = one.samples[: chance.randint(1, 200)]
        data = movie([media, other], per_chunk=chance.randint(1, 30), order=chance.choice(("mixed", "apart", "back")))
        check(run(data).events, [media, other])
