"""Which tracks a request gets in which format, and under which MIME type."""

import pytest

from evotools.errors import ParseError
from evotools.media.track import Kind, Track
from evotools.server.listeners.formats import FORMATS, MAX_PARTS, parse_selection
from evotools.server.listeners.routes import classify
from evotools.server.names import LIVE

SMALL = Track(1, Kind.VIDEO, "vp8", 90000, width=320, height=180)
LARGE = Track(2, Kind.VIDEO, "vp8", 90000, width=1280, height=720)
ENGLISH = Track(3, Kind.AUDIO, "aac", 48000, b"\x11\x90", "mp4a.40.2", sample_rate=48000, channels=2, language="eng")
GERMAN = Track(4, Kind.AUDIO, "mp3", 44100, sample_rate=44100, channels=2, language="deu")
ALL = (SMALL, LARGE, ENGLISH, GERMAN)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, [1, 3]),
        ({"video": "1"}, [2, 3]),
        ({"video": "max"}, [2, 3]),
        ({"video": "worst", "audio": "none"}, [1]),
        ({"video": "none", "audio": "lang:de"}, [4]),
        ({"video": "-1", "audio": "de"}, [4]),
        ({"audio": "deu"}, [1, 4]),
        ({"audio": "aac,mp3"}, [1, 3, 4]),
        ({"audio": "all", "video": "*"}, [1, 2, 3, 4]),
        ({"video": "!0"}, [2, 3]),
        ({"audio": "#4"}, [1, 4]),
        ({"audio": "#1"}, [1]),
        ({"video": "7", "audio": "none"}, []),
        ({"audio": "lang:fr"}, [1]),
        ({"user": "bob", "token": "x"}, [1, 3]),
    ],
)
def test_a_query_selects_tracks(query: dict[str, str], ids: list[int]) -> None:
    assert [track.id for track in parse_selection(query, FORMATS["mkv"]).choose(ALL)] == ids


def test_equal_wishes_have_equal_keys() -> None:
    form = FORMATS["mkv"]
    assert parse_selection({}, form).key == ()
    assert parse_selection({"audio": "lang:de"}, form).key == parse_selection({"audio": "LANG=de"}, form).key
    assert parse_selection({"audio": "best"}, form).key == parse_selection({"audio": "max"}, form).key
    assert parse_selection({"audio": "0"}, form).key != parse_selection({"video": "0"}, form).key


@pytest.mark.parametrize(
    "value", ["a b", "../x", "audio:0", "lang:", ",", "1,,2", "x" * 40, ",".join("1" * (MAX_PARTS + 1))]
)
def test_what_is_no_selection_is_refused(value: str) -> None:
    with pytest.raises(ParseError):
        parse_selection({"audio": value}, FORMATS["mkv"])


@pytest.mark.parametrize(
    ("suffix", "ids"), [("aac", [3]), ("mp3", [4]), ("ogg", []), ("webm", [1]), ("ts", [3]), ("mp4", [1, 3])]
)
def test_a_format_takes_what_it_has_a_name_for(suffix: str, ids: list[int]) -> None:
    form = FORMATS[suffix]
    assert [track.id for track in parse_selection({}, form).choose(ALL)] == ids


@pytest.mark.parametrize(
    ("suffix", "tracks", "mime"),
    [
        ("mp4", (ENGLISH,), 'audio/mp4; codecs="mp4a.40.2"'),
        ("mp4", (), "video/mp4"),
        ("mkv", (LARGE, ENGLISH), "video/x-matroska"),
        ("mkv", (GERMAN,), "audio/x-matroska"),
        ("webm", (SMALL,), 'video/webm; codecs="vp8"'),
        ("webm", (SMALL, Track(9, Kind.AUDIO, "opus", 48000)), 'video/webm; codecs="vp8, opus"'),
        ("webm", (Track(9, Kind.AUDIO, "opus", 48000),), 'audio/webm; codecs="opus"'),
        ("ogg", (Track(9, Kind.AUDIO, "opus", 48000),), 'audio/ogg; codecs="opus"'),
        ("flv", (GERMAN,), "video/x-flv"),
        ("ts", (GERMAN,), "video/mp2t"),
        ("aac", (ENGLISH,), "audio/aac"),
        ("mp3", (GERMAN,), "audio/mpeg"),
    ],
)  # fmt: skip
def test_the_mime_type_follows_the_tracks(suffix: str, tracks: tuple[Track, ...], mime: str) -> None:
    assert FORMATS[suffix].content_type(tracks) == mime


def test_every_suffix_has_a_format_and_a_route() -> None:
    assert set(FORMATS) == LIVE
    for suffix in LIVE:
        assert classify(f"/live/cam.{suffix}") == ("live", "live/cam", suffix)
