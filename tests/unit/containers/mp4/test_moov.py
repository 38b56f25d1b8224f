"""The movie box: tracks, names, edit lists, and what is left to libav."""

from fractions import Fraction

import pytest

from evotools.containers.base import Foreign
from evotools.containers.mp4.boxes import box, children, full_box
from evotools.containers.mp4.entries import sample_entry
from evotools.containers.mp4.init import init_segment
from evotools.containers.mp4.moov import MAX_TRACKS, Defaults, Movie, TrackInfo, parse_moov
from evotools.containers.mp4.protection import Protection
from evotools.errors import MediaError, ParseError
from evotools.media.track import Kind
from tests.unit.containers.mp4 import build
from tests.unit.containers.mp4.build import Media, Sample, u32
from tests.unit.containers.mp4.streams import AAC, H264

TEXT = H264.with_(id=9, kind=Kind.DATA)


def moov(data: bytes) -> Movie:
    found = next(b for b in children(data) if b.kind == b"moov")
    return parse_moov(data[found.start : found.end])


def only(media: Media, **options: object) -> TrackInfo:
    return moov(build.movie([media], **options)).tracks[0]  # type: ignore[arg-type]


def pictures(**options: object) -> Media:
    return Media(H264, build.video_samples(10), **options)  # type: ignore[arg-type]


def test_what_is_told() -> None:
    movie = moov(build.movie(build.film(2)))
    video, audio = movie.tracks
    assert (video.id, audio.id, video.timescale, audio.timescale) == (1, 2, 90_000, 48_000)
    # The stream tells another frame rate than its times.
    rate = video.table.total_size() * 8 // 2
    assert video.entries[0].track == H264.with_(bitrate_bps=rate, fps=Fraction(30000, 1001))
    assert audio.entries[0].track.codec == "aac" and audio.entries[0].track.config == AAC.config
    assert (video.table.count, audio.table.count, movie.fragmented) == (50, 93, False)
    assert movie.duration_s == 2.0
    assert (movie.foreign, movie.exotic) == ("", "")


@pytest.mark.parametrize(
    ("code", "language"), [(0x55C4, ""), (0x10B5, "deu"), (0x15C7, "eng"), (0, "eng"), (2, "deu"), (11, "jpn"),
                           (0x7FFF, ""), (0x3FF, ""), (0x400, "")]
)  # fmt: skip
def test_languages(code: int, language: str) -> None:
    """Packed letters, and the numbers of QuickTime."""
    assert only(pictures(language=code)).entries[0].track.language == language


@pytest.mark.parametrize(
    ("name", "label"),
    [
        (b"VideoHandler\0", ""), (b"\x0cVideoHandler", ""), (b"GPAC ISO Video Handler\0", ""), (b"", ""),
        (b"SoundHandle\0", ""), (b"Core Media Video\0", ""), ("Büro links\0".encode(), "Büro links"),
        (b"\x05Gauge", "Gauge"), (b"ISO Media file produced by Google Inc.\0", ""), (b"bad\x01name\0", ""),
    ],
)  # fmt: skip
def test_labels(name: bytes, label: str) -> None:
    """A handler's name counts when a person chose it."""
    assert only(pictures(name=name)).entries[0].track.label == label


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_turned_pictures_stay_turned(rotation: int) -> None:
    """What a telephone held upright writes."""
    written = init_segment([H264.with_(rotation=rotation), AAC.with_(id=2)])
    assert [track.entries[0].track.rotation for track in moov(written).tracks] == [rotation, 0]


def test_a_matrix_that_mirrors_is_no_rotation() -> None:
    plain, turned = (b"".join((u32(0x10000), bytes(12), u32(0x10000))), u32(0xFFFF0000) + bytes(12) + u32(0x10000))
    written = init_segment([H264])
    assert plain in written
    assert moov(written.replace(plain, turned)).tracks[0].entries[0].track.rotation == 0


def test_a_name_in_the_user_data_counts_more() -> None:
    track = only(pictures(name=b"Handler\0", more=box(b"udta", box(b"name", b"Left camera"))))
    assert track.entries[0].track.label == "Left camera"


def test_frame_rates_from_the_table() -> None:
    """Where the codec tells none."""
    vp8 = H264.with_(codec="vp8", config=b"", width=64, height=48)

    def rate(*durations: int, timescale: int = 1000) -> Fraction | None:
        samples = [Sample(b"x", duration) for duration in durations]
        return only(Media(vp8.with_(timescale=timescale), samples)).entries[0].track.fps

    assert rate(40, 40, 40) == 25
    assert rate(40, 40, 40, 13) == 25
    assert rate(*[33, 33, 34] * 40) == 30
    # 29.97 a second in milliseconds.
    assert rate(*[(n + 1) * 1001 // 30 - n * 1001 // 30 for n in range(300)]) == Fraction(30000, 1001)
    assert rate(1001, 1001, 1001, timescale=30000) == Fraction(30000, 1001)
    assert rate(40, 400, 40) is None


def test_other_tracks_are_left_out() -> None:
    text = Media(TEXT, [Sample(b"hello", 10)], handler=b"text", entries=[box(b"text", bytes(8))])
    chapters = Media(H264.with_(id=7), build.video_samples(2))
    film = pictures(more=box(b"tref", box(b"chap", u32(7, 9))))
    movie = moov(build.movie([film, text, chapters]))
    assert [track.id for track in movie.tracks] == [1]
    with pytest.raises(ParseError, match="no video or audio"):
        moov(build.movie([text]))


# Edit lists.


@pytest.mark.parametrize(
    ("edits", "shift", "begin", "stop"),
    [
        ([(400, 0)], 0, 0, 36_000),
        ([(400, 7200)], 7200, 7200, 43_200),
        ([(0, 7200)], 7200, 7200, None),
        ([(500, -1), (400, 0)], -45_000, 0, 36_000),
        ([(500, -1), (250, -1), (400, 7200)], 7200 - 67_500, 7200, 43_200),
        ([(400, 7200), (100, -1)], 7200, 7200, 43_200),
        ([(500, -1)], -45_000, 0, None),
    ],
)
def test_an_edit(edits: list[tuple[int, int]], shift: int, begin: int, stop: int | None) -> None:
    track = only(pictures(edits=edits))
    assert (track.shift, track.begin, track.stop) == (shift, begin, stop)


def test_the_end_of_an_edit_is_rounded_up() -> None:
    """The clock of the movie is coarse."""
    media = Media(H264.with_(timescale=12_800), build.video_samples(3, step=512), [(1, 0)])
    assert only(media).stop == 13


def test_version_0_of_an_edit_list() -> None:
    edits = box(b"edts", full_box(b"elst", 0, 0, u32(2, 500, -1, 0x10000, 400, 7200, 0x10000)))
    track = only(pictures(more=edits))
    assert (track.shift, track.begin, track.stop) == (7200 - 45_000, 7200, 43_200)


def test_edits_that_libav_knows_better() -> None:
    movie = moov(build.movie([pictures(edits=[(100, 0), (100, 18_000)])]))
    assert "several stretches" in movie.exotic
    assert (movie.tracks[0].shift, movie.tracks[0].stop) == (0, 9000)
    slow = pictures(more=build.elst([(100, 3600)], rate=0x8000))
    movie = moov(build.movie([slow]))
    assert "another speed" in movie.exotic
    assert movie.tracks[0].begin == 3600


@pytest.mark.parametrize("edit", [(0, 1 << 62), (1 << 62, 0), (0, -(1 << 62))])
def test_edits_at_impossible_times(edit: tuple[int, int]) -> None:
    with pytest.raises(ParseError, match="impossible time"):
        only(pictures(edits=[edit]))


def test_an_edit_list_that_announces_more_than_it_has() -> None:
    edits = box(b"edts", full_box(b"elst", 1, 0, u32(0xFFFF_FFFF), bytes(7) + b"\x64" + bytes(8) + u32(0x10000)))
    track = only(pictures(more=edits))
    assert (track.begin, track.stop) == (0, 9000)


def test_fragmented_files_do_not_end_with_their_edit() -> None:
    media = pictures(edits=[(100, 3600)])
    movie = moov(build.init([media]))
    assert movie.fragmented
    assert (movie.tracks[0].begin, movie.tracks[0].stop) == (3600, None)


# Fragmented movies.


def test_defaults_and_the_length_with_fragments() -> None:
    defaults = {1: build.trex(1, entry=1, duration=3600, size=7, flags=0x0101_0000)}
    mehd = full_box(b"mehd", 0, 0, u32(12_500))
    movie = moov(build.init(build.film(), defaults=defaults, mehd=mehd))
    assert movie.tracks[0].defaults == Defaults(1, 3600, 7, 0x0101_0000)
    assert movie.tracks[1].defaults == Defaults(1, 0, 0, 0)
    assert movie.duration_s == 12.5
    assert moov(build.init(build.film())).duration_s is None
    wide = full_box(b"mehd", 1, 0, bytes(4) + u32(7000))
    assert moov(build.init(build.film(), mehd=wide)).duration_s == 7.0


# What is not for us.


def test_codecs_of_libav() -> None:
    prores = Media(H264, build.video_samples(2), entries=[b"".join(_renamed(sample_entry(H264), b"apcn"))])
    movie = moov(build.movie([prores]))
    assert movie.foreign == "apcn in track 1"
    with pytest.raises(Foreign, match="apcn"):
        movie.check(encrypted=False)


def _renamed(entry: bytes, kind: bytes) -> tuple[bytes, bytes, bytes]:
    return entry[:4], kind, entry[8:]


def test_sound_without_packets() -> None:
    """Of QuickTime: every value is a sample of its own."""
    pcm = Media(AAC, [Sample(b"x", 1)] * 100, entries=[b"".join(_renamed(sample_entry(AAC), b"alaw"))])
    assert "without packets" in moov(build.movie([pcm])).foreign
    packets = Media(AAC, [Sample(b"x" * 160, 160)] * 100, entries=[b"".join(_renamed(sample_entry(AAC), b"alaw"))])
    assert moov(build.movie([packets])).foreign == ""


def test_media_elsewhere_and_compressed_headers() -> None:
    data = build.movie([pictures()]).replace(full_box(b"url ", 0, 1), full_box(b"url ", 0, 0))
    assert "another file" in moov(data).foreign
    assert "compressed" in parse_moov(box(b"cmov", bytes(20))).foreign


def test_decode_times_that_go_back_are_read_better_by_libav() -> None:
    media = Media(H264, [Sample(b"x", 40), Sample(b"x", 0xFFFF_FFF0), Sample(b"x", 40)])
    assert "go back" in moov(build.movie([media])).exotic


@pytest.mark.parametrize("scheme", [b"cenc", b"cbcs"])
def test_encrypted_tracks(scheme: bytes) -> None:
    entry = sample_entry(H264, protection=Protection(scheme, bytes(16)))
    movie = moov(build.movie([pictures(entries=[entry])]))
    with pytest.raises(MediaError, match=rf"track 1 is encrypted \({scheme.decode()}\)") as raised:
        movie.check(encrypted=False)
    assert not isinstance(raised.value, ParseError)
    movie.check(encrypted=True)


# Broken ones.


def test_what_is_missing() -> None:
    whole = build.movie([pictures()])
    for kind, what in ((b"mvhd", "mvhd"), (b"tkhd", "tkhd"), (b"mdia", "mdia"), (b"hdlr", "hdlr"), (b"mdhd", "mdhd"),
                       (b"stbl", "sample table"), (b"stsd", "sample description"), (b"minf", "sample table"),
                       (b"trak", "no video or audio")):  # fmt: skip
        with pytest.raises(ParseError, match=what):
            moov(whole.replace(kind, b"free"))


def test_numbers_of_tracks() -> None:
    with pytest.raises(ParseError, match="same number"):
        moov(build.movie([pictures(), pictures()]))
    with pytest.raises(ParseError, match="no number"):
        moov(build.movie([Media(H264.with_(id=0), build.video_samples(1))]))
    with pytest.raises(ParseError, match="more than 256"):
        parse_moov(build.mvhd() + box(b"trak") * (MAX_TRACKS + 1))


def test_sample_entries_that_lie() -> None:
    one = sample_entry(H264)
    with pytest.raises(ParseError, match="65 sample entries"):
        moov(build.movie([pictures(entries=[one] * 65)]))


def test_a_clock_without_ticks_is_that_of_the_movie() -> None:
    data = build.movie([pictures()], timescale=600)
    movie = moov(data.replace(u32(0, 0, 90_000, 36_000), u32(0, 0, 0, 36_000)))
    assert movie.tracks[0].timescale == 600


@pytest.mark.parametrize("end", range(0, 700, 7))
def test_a_cut_box(end: int) -> None:
    whole = build.movie(build.film())
    found = next(b for b in children(whole) if b.kind == b"moov")
    with pytest.raises(ParseError):
        parse_moov(whole[found.start : found.start + end])
