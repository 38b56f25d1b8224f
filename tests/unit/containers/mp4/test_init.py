"""Movie headers: brands, boxes, edit lists, what players need to know of tracks."""

import pytest

from evotools.containers.mp4.init import Edit, TrackBox, file_type, init_segment, language_code, movie
from evotools.containers.mp4.protection import Protection, pssh
from evotools.errors import MediaError
from evotools.media.track import Kind, Track
from tests.unit.containers.mp4.streams import AAC, H264
from tests.unit.containers.mp4.test_entries import AVCC_WIDE
from tests.unit.containers.mp4.walk import movie as read_movie
from tests.unit.containers.mp4.walk import tree

ENTRY = bytes.fromhex("0000000874657374")


def test_brands() -> None:
    av1 = Track(1, Kind.VIDEO, "av1", 1000)
    assert file_type([H264], "cmaf")[8:] == b"iso6" + bytes(4) + b"iso6cmfccmf2dash"
    assert file_type([H264], "cmaf", edited=True)[16:] == b"iso6cmfcdash"
    assert file_type([av1], "file")[8:] == b"iso6" + bytes(4) + b"isomiso2iso6mp41av01"
    assert file_type([H264], "file", fragmented=False)[8:] == b"isom" + bytes(4) + b"isomiso2iso6mp41avc1"
    assert file_type([AAC], "m4a")[8:12] == b"M4A "


def test_a_movie_header_of_two_tracks() -> None:
    german = AAC.with_(id=7, language="deu", label="Kommentar")
    data = init_segment([H264, AAC, german], numbers={7: 9})
    root = tree(data)
    assert [node.kind for node in root.inner] == ["ftyp", "moov"]
    moov = root.find("moov")
    assert [node.kind for node in moov.inner] == ["mvhd", "trak", "trak", "trak", "mvex"]
    tracks = read_movie(moov)
    assert {n: (t.handler, t.timescale, t.language, t.enabled, t.edits) for n, t in tracks.items()} == {
        1: ("vide", 90_000, "und", True, []), 2: ("soun", 48_000, "und", True, []),
        9: ("soun", 48_000, "deu", False, []),
    }  # fmt: skip
    # next_track_ID, and the movie's clock no coarser than any track's.
    assert moov.find("mvhd").body[-4:] == (10).to_bytes(4, "big")
    assert tracks[1].movie_timescale == 90_000
    last = moov.all("trak")[2]
    assert last.find("udta").body == b"\0\0\0\x11nameKommentar"
    assert last.find("mdia", "hdlr").body[24:] == b"Kommentar\0"
    # Alternatives to one another, of which one sounds.
    assert [trak.find("tkhd").body[34:38].hex() for trak in moov.all("trak")] == ["00000000", "00010100", "00010100"]
    assert [node.body.hex() for node in moov.all("mvex", "trex")] == [
        "00000000" + f"{n:08x}" + "00000001" + "00" * 12 for n in (1, 2, 9)
    ]
    stbl = moov.all("trak")[0].find("mdia", "minf", "stbl")
    assert [(node.kind, len(node.body)) for node in stbl.inner[1:]] == [
        ("stts", 8),
        ("stsc", 8),
        ("stsz", 12),
        ("stco", 8),
    ]


@pytest.mark.parametrize(
    ("rotation", "matrix"),
    [
        (90, "00000000 00010000 0 ffff0000 00000000 0 {high} 00000000"),
        (180, "ffff0000 00000000 0 00000000 ffff0000 0 {wide} {high}"),
        (270, "00000000 ffff0000 0 00010000 00000000 0 00000000 {wide}"),
    ],
)
def test_turned_pictures_lie_where_players_look(rotation: int, matrix: str) -> None:
    """8.3.2: turned about the corner, then moved back into view."""
    track = H264.with_(width=320, height=180, rotation=rotation)
    tkhd = tree(init_segment([track])).find("moov", "trak", "tkhd").body
    wanted = matrix.replace(" 0 ", " 00000000 ").format(wide="01400000", high="00b40000")
    assert tkhd[40:76].hex(" ", 4) == wanted + " 40000000"
    assert tkhd[76:].hex(" ", 4) == "01400000 00b40000"


def test_picture_sizes_are_those_of_the_display() -> None:
    wide = H264.with_(config=AVCC_WIDE, width=720, height=576)
    tkhd = tree(init_segment([wide])).find("moov", "trak", "tkhd").body
    assert tkhd[-8:].hex() == "04000000" + "02400000"
    # 8.3.2: layer, group, volume; the identity matrix.
    assert tkhd[40:76].hex() == "00010000" + "00" * 12 + "00010000" + "00" * 12 + "40000000"


def test_edit_lists() -> None:
    data = init_segment([H264, AAC], edits={1: Edit(3600), 2: Edit(1024, offset=4800)})
    tracks = read_movie(tree(data).find("moov"))
    assert tracks[1].edits == [(0, 3600)] and tracks[1].shift == -3600
    # The movie's clock is the fastest of the tracks'.
    assert tracks[2].edits == [(9000, -1), (0, 1024)] and tracks[2].shift == 4800 - 1024


def test_edits_and_durations_of_a_whole_file() -> None:
    boxes = [
        TrackBox(H264, 1, 90_000, [ENTRY], duration=900_000, edit=Edit(3600, 45_000, 896_401)),
        TrackBox(AAC, 2, 44_100, [ENTRY], duration=441_001),
    ]
    moov = tree(movie(boxes, fragmented=False)).find("moov")
    assert not moov.all("mvex")
    tracks = read_movie(moov)
    assert tracks[1].edits == [(45_000, -1), (896_401, 3600)]
    durations = [int.from_bytes(trak.find("tkhd").body[20:24], "big") for trak in moov.all("trak")]
    # Rounded up: 441001 ticks of 44.1 kHz.
    assert durations == [941_401, 900_003]
    assert int.from_bytes(moov.find("mvhd").body[16:20], "big") == 941_401


def test_durations_of_64_bits() -> None:
    long = 1 << 33
    moov = tree(
        movie([TrackBox(H264, 1, 90_000, [ENTRY], duration=long, edit=Edit(1 << 32, 0, long))], fragmented=False)
    )
    found = moov.find("moov")
    assert found.find("mvhd").body[0] == 1 and found.find("trak", "tkhd").body[0] == 1
    assert int.from_bytes(found.find("mvhd").body[24:32], "big") == long
    assert int.from_bytes(found.find("trak", "tkhd").body[28:36], "big") == long
    track = read_movie(found)[1]
    assert track.duration == long and track.edits == [(long, 1 << 32)]


def test_a_media_time_of_32_bits_is_no_negative_one() -> None:
    data = init_segment([H264], edits={1: Edit(1 << 31)})
    assert read_movie(tree(data).find("moov"))[1].edits == [(0, 1 << 31)]


def test_languages() -> None:
    assert language_code("") == language_code("xx") == language_code("日本語") == language_code("und") == 0x55C4
    assert language_code("eng") == language_code("ENG") == 0x15C7


def test_protected_tracks_and_their_systems() -> None:
    system = pssh(bytes(16), b"x")
    data = init_segment([H264, AAC], protections={2: Protection(b"cenc", bytes(16))}, pssh=[system])
    moov = tree(data).find("moov")
    assert moov.inner[-1].kind == "pssh"
    tracks = read_movie(moov)
    assert tracks[1].entries[0][4:8] == b"avc1" and tracks[2].entries[0][4:8] == b"enca"


def test_what_has_no_header() -> None:
    with pytest.raises(MediaError):
        init_segment([])
    with pytest.raises(MediaError):
        init_segment([Track(1, Kind.DATA, "scte35", 90_000)])
