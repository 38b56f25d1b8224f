"""Lists of files: what ffmpeg and HLS players read, and what a later run reads back."""

import m3u8
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.errors import ParseError
from evotools.packaging.lists import KINDS, Entry, FileList, Kind

FILES = [
    Entry("a/part 1.ts", 0.0, 10.0, 1_767_319_445.5),
    Entry('it\'s, "2".ts', 10.0, 20.04, 1_767_319_455.5),
    Entry("3.ts", 20.04, 25.0, 1_767_319_465.5, discontinuity=True),
]


def made(kind: Kind, **options: object) -> FileList:
    made = FileList(kind, target_s=10.0, **options)  # type: ignore[arg-type]
    for entry in FILES:
        made.add(entry)
    return made


def test_csv_as_ffmpeg_writes_it() -> None:
    assert made("csv").render(ended=False) == (
        b'a/part 1.ts,0.000000,10.000000\n"it\'s, ""2"".ts",10.000000,20.040000\n3.ts,20.040000,25.000000\n'
    )


def test_ffconcat() -> None:
    assert made("ffconcat").render(ended=False) == (
        b"ffconcat version 1.0\n"
        b"file 'a/part 1.ts'\nduration 10.000000\n"
        b"file 'it'\\''s, \"2\".ts'\nduration 10.040000\n"
        b"file '3.ts'\nduration 4.960000\n"
    )


def test_m3u8_while_recording_and_after() -> None:
    growing = made("m3u8").render(ended=False).decode()
    assert growing.splitlines()[:6] == [
        "#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:10", "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:EVENT", "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T02:04:05.500Z",
    ]  # fmt: skip
    assert "#EXT-X-ENDLIST" not in growing
    ended = m3u8.loads(made("m3u8").render(ended=True).decode())
    assert ended.is_endlist
    assert ended.playlist_type == "vod"
    assert [s.uri for s in ended.segments] == ["a/part%201.ts", "it%27s,%20%222%22.ts", "3.ts"]
    assert [s.duration for s in ended.segments] == [10.0, 10.04, 4.96]
    assert [s.discontinuity for s in ended.segments] == [False, False, True]
    assert all(round(s.duration) <= ended.target_duration for s in ended.segments)


def test_files_that_are_no_segments_make_a_plain_playlist() -> None:
    assert made("m3u8", hls=False).render(ended=True) == (
        b'#EXTM3U\n#EXTINF:10.000000,a/part 1.ts\na/part%201.ts\n#EXTINF:10.040000,it\'s, "2".ts\n'
        b"it%27s,%20%222%22.ts\n#EXTINF:4.960000,3.ts\n3.ts\n"
    )


def test_files_that_go_move_the_window() -> None:
    window = made("m3u8", sliding=True)
    for name in ("a/part 1.ts", 'it\'s, "2".ts', "never seen"):
        window.drop(name)
    window.add(Entry("4.ts", 25.0, 37.0))
    told = m3u8.loads(window.render(ended=False).decode())
    assert told.media_sequence == 2
    assert told.discontinuity_sequence is None or told.discontinuity_sequence == 0
    assert told.playlist_type is None
    assert told.target_duration == 12
    window.drop("3.ts")
    told = m3u8.loads(window.render(ended=False).decode())
    assert (told.media_sequence, told.discontinuity_sequence) == (3, 1)


def test_fragmented_mp4_names_its_header_in_itself() -> None:
    window = FileList("m3u8")
    window.add(Entry("a:b.mp4", 0, 4, header_bytes=800, size_bytes=100_800))
    told = m3u8.loads(window.render(ended=True).decode())
    assert told.version == 6
    (segment,) = told.segments
    assert segment.init_section.uri == "a%3Ab.mp4"
    assert segment.init_section.byterange == "800@0"
    assert segment.byterange == "100000@800"


def test_a_name_with_a_colon_is_no_scheme() -> None:
    window = FileList("m3u8")
    window.add(Entry("12:00.ts", 0, 4))
    assert b"\n12%3A00.ts\n" in window.render(ended=True)


names = st.text(st.characters(exclude_characters="\0/\n\r", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name not in (".", "..")
)
files = st.lists(st.tuples(names, st.integers(0, 10**8), st.booleans()), max_size=9)


@given(st.sampled_from(KINDS), files, st.integers(0, 9), st.booleans(), st.booleans())
def test_what_was_written_is_read_back(
    kind: Kind, told: list[tuple[str, int, bool]], drops: int, ended: bool, hls: bool
) -> None:
    first = FileList(kind, hls=hls, sliding=True)
    now_s = 0.0
    for name, length_ms, broken in told:
        first.add(Entry(name, now_s, now_s + length_ms / 1000, discontinuity=broken and kind == "m3u8" and hls))
        now_s += length_ms / 1000
    for name, _, _ in told[:drops]:
        first.drop(name)
    data = first.render(ended=ended)
    second = FileList(kind, hls=hls, sliding=True)
    second.load(data)
    assert second.render(ended=ended) == data
    assert [e.name for e in second.entries] == [e.name for e in first.entries]


def test_names_that_are_no_utf8_survive() -> None:
    odd = b"caf\xe9.ts".decode("utf-8", "surrogateescape")
    for kind in KINDS:
        first = FileList(kind)
        first.add(Entry(odd, 0, 1))
        second = FileList(kind)
        second.load(first.render(ended=True))
        assert second.entries[0].name == odd
    assert b"caf%E9.ts" in _list_of("m3u8", odd)
    assert b"caf\xe9.ts" in _list_of("ffconcat", odd)


def _list_of(kind: Kind, name: str) -> bytes:
    made = FileList(kind)
    made.add(Entry(name, 0, 1))
    return made.render(ended=True)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("m3u8", "a.ts\n"),
        ("m3u8", "#EXTM3U\n#EXTINF:x,\na.ts\n"),
        ("m3u8", "#EXTM3U\n#EXTINF:-1,\na.ts\n"),
        ("m3u8", "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:-2\n"),
        ("m3u8", "#EXTM3U\n#EXT-X-PROGRAM-DATE-TIME:today\n"),
        ("csv", "a,b\n"),
        ("csv", "a,b,c\n"),
        ("csv", "a,0,inf\n"),
        ("ffconcat", "file 'a'\n"),
        ("ffconcat", "ffconcat version 1.0\nfile a\n"),
        ("ffconcat", "ffconcat version 1.0\ninpoint 3\n"),
        ("ffconcat", "ffconcat version 1.0\nfile 'a'\nduration nan\n"),
    ],
)
def test_something_else_is_refused(kind: Kind, text: str) -> None:
    with pytest.raises(ParseError):
        FileList(kind).load(text.encode())


@given(st.sampled_from(KINDS), st.binary(max_size=300), st.sampled_from([b"", b"#EXTM3U\n", b"ffconcat version 1.0\n"]))
def test_bytes_of_any_kind_are_a_list_or_an_error(kind: Kind, tail: bytes, head: bytes) -> None:
    try:
        FileList(kind).load(head + tail)
    except ParseError:
        pass
