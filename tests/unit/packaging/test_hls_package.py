"""Playlists of packaged presentations: whole documents, properties, and a parser that is not ours."""

import re
from dataclasses import replace
from typing import Any

import m3u8
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.media.track import Kind, Track
from evotools.packaging import hls
from evotools.packaging.presentation import Presentation, Rendition
from tests.unit.packaging.presentations import SOUND, VIDEO, film, presentations, rendition


def lines_of(data: bytes) -> list[str]:
    return data.decode().split("\n")


def attributes(line: str) -> dict[str, str]:
    """An attribute list read strictly by RFC 8216 4.2: nothing may be left over."""
    text = line.partition(":")[2]
    found: dict[str, str] = {}
    while text:
        match = re.match(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)(,(?=.)|$)', text)
        assert match, line
        assert match[1] not in found, line
        found[match[1]] = match[2].strip('"')
        text = text[match.end() :]
    return found


def tags(playlist: bytes, name: str) -> list[dict[str, str]]:
    return [attributes(line) for line in lines_of(playlist) if line.startswith(f"#{name}:")]


def test_durations_hold_the_silence_around_a_segment() -> None:
    presentation = film()
    sound = presentation.renditions[1]
    sound.segments[1].lead, sound.segments[1].tail = 24_000, 72_000
    sound.target_duration = 4
    playlist = hls.rendition_playlist(presentation, sound).decode()
    assert re.findall(r"#EXTINF:(.*),", playlist) == ["4.010667", "5.989333", "2.000000"]
    assert "#EXT-X-TARGETDURATION:6\n" in playlist


def test_an_on_demand_playlist_whole() -> None:
    presentation = film()
    assert hls.rendition_playlist(presentation, presentation.renditions[0]).decode() == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:7\n"
        "#EXT-X-TARGETDURATION:4\n"
        "#EXT-X-PLAYLIST-TYPE:VOD\n"
        "#EXT-X-MEDIA-SEQUENCE:0\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-MAP:URI="init-0.mp4"\n'
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.250Z\n"
        "#EXTINF:4.000000,\n"
        "0.m4s\n"
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:24.250Z\n"
        "#EXTINF:4.000000,\n"
        "1.m4s\n"
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:28.250Z\n"
        "#EXTINF:2.000000,\n"
        "2.m4s\n"
        "#EXT-X-ENDLIST\n"
    )


def test_a_multivariant_playlist_whole() -> None:
    assert hls.multivariant(film()).decode() == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:7\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="en",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",'
        'URI="a0/playlist.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=2630000,AVERAGE-BANDWIDTH=2128000,CODECS="avc1.64001F,mp4a.40.2",'
        'RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="aac"\n'
        "v0/playlist.m3u8\n"
    )


def test_a_live_playlist_whole() -> None:
    presentation = film("live", ended=False, window_s=12.0)
    video = presentation.renditions[0]
    _, second, last = video.segments
    second.discontinuity, second.gap, second.init = True, True, ""
    last.discontinuity, last.init, last.lead = True, "init-1.mp4", 45_000
    video.discontinuity_sequence = 3
    assert hls.rendition_playlist(presentation, video).decode() == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:8\n"
        "#EXT-X-TARGETDURATION:4\n"
        "#EXT-X-MEDIA-SEQUENCE:0\n"
        "#EXT-X-DISCONTINUITY-SEQUENCE:3\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-MAP:URI="init-0.mp4"\n'
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.250Z\n"
        "#EXTINF:4.000000,\n"
        "0.m4s\n"
        "#EXT-X-DISCONTINUITY\n"
        "#EXT-X-GAP\n"
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:24.250Z\n"
        "#EXTINF:4.000000,\n"
        "1.m4s\n"
        "#EXT-X-DISCONTINUITY\n"
        '#EXT-X-MAP:URI="init-1.mp4"\n'
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:28.250Z\n"
        "#EXTINF:2.500000,\n"
        "2.m4s\n"
    )


@pytest.mark.parametrize(
    ("type_", "ended", "kind", "endlist"),
    [
        ("vod", True, "VOD", True),
        # It still grows, which 4.3.3.5 forbids to a VOD playlist.
        ("vod", False, "EVENT", False),
        ("event", False, "EVENT", False),
        ("event", True, "EVENT", True),
        ("live", False, None, False),
        ("live", True, None, True),
    ],
)
def test_types(type_: Any, ended: bool, kind: str | None, endlist: bool) -> None:
    presentation = film(type_, ended=ended)
    read = m3u8.loads(hls.rendition_playlist(presentation, presentation.renditions[1]).decode())
    assert (read.playlist_type or "").upper() == (kind or "")
    assert read.is_endlist is endlist


def test_transport_streams_need_version_3_and_no_map() -> None:
    video = Rendition("v0", Kind.VIDEO, (VIDEO, SOUND), 90_000, peak_bps=1_000_000)
    video.segments = rendition("v0", VIDEO, [360_000], suffix="ts", init="").segments
    presentation = Presentation("vod", "ts", [video], ended=True)
    playlist = hls.rendition_playlist(presentation, video)
    assert b"#EXT-X-VERSION:3\n" in playlist
    assert b"EXT-X-MAP" not in playlist
    assert lines_of(hls.multivariant(presentation))[3:5] == [
        '#EXT-X-STREAM-INF:BANDWIDTH=1000000,CODECS="avc1.64001F,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970',
        "v0/playlist.m3u8",
    ]


def test_sound_inside_and_beside_a_transport_stream() -> None:
    video = rendition("v0", VIDEO, [360_000], peak_bps=1_000_000)
    video.tracks = (VIDEO, SOUND)
    french = rendition("a0", SOUND.with_(id=3, language="fra"), [192_000], peak_bps=100_000)
    playlist = hls.multivariant(Presentation("vod", "ts", [video, french], ended=True))
    inside, beside = tags(playlist, "EXT-X-MEDIA")
    assert (inside["NAME"], inside["DEFAULT"], inside.get("URI")) == ("en", "YES", None)
    assert (beside["NAME"], beside["DEFAULT"], beside["URI"]) == ("fr", "NO", "a0/playlist.m3u8")
    (variant,) = tags(playlist, "EXT-X-STREAM-INF")
    assert variant["BANDWIDTH"] == "1100000"
    assert variant["CODECS"] == "avc1.64001F,mp4a.40.2"


def test_the_target_duration_is_at_least_every_rounded_duration() -> None:
    presentation = film()
    presentation.renditions[0].segments[1].duration = 90_000 * 7 + 45_000
    read = m3u8.loads(hls.rendition_playlist(presentation, presentation.renditions[0]).decode())
    assert read.target_duration == 8


def test_open_groups_of_pictures_are_not_called_independent() -> None:
    presentation = film()
    presentation.renditions[0].segments[1].sap = 3
    assert b"INDEPENDENT" not in hls.rendition_playlist(presentation, presentation.renditions[0])
    assert b"INDEPENDENT" in hls.rendition_playlist(presentation, presentation.renditions[1])
    assert b"INDEPENDENT" not in hls.multivariant(presentation)


def test_a_live_multivariant_promises_no_independence() -> None:
    """It is read once; what comes later may break it."""
    assert b"INDEPENDENT" not in hls.multivariant(film("live", ended=False))


def test_a_late_track_keeps_its_place_without_gaps_at_the_beginning() -> None:
    """Chromium and hls.js do not get past them."""
    presentation = film()
    sound = presentation.renditions[1]
    sound.segments[0].gap = True
    read = m3u8.loads(hls.rendition_playlist(presentation, sound).decode())
    assert [(s.uri, s.duration, s.gap_tag) for s in read.segments] == [("1.m4s", 8.0, None), ("2.m4s", 2.0, None)]
    assert read.media_sequence == 1
    assert read.target_duration == 8


def test_a_gap_at_the_front_of_a_moving_window_changes_no_duration() -> None:
    presentation = film("live", ended=False)
    sound = presentation.renditions[1]
    sound.segments[1].gap = True
    before = m3u8.loads(hls.rendition_playlist(presentation, sound).decode()).segments
    sound.segments.popleft()
    after = m3u8.loads(hls.rendition_playlist(presentation, sound).decode())
    assert [(s.uri, s.duration) for s in after.segments] == [(s.uri, s.duration) for s in before][2:]
    assert after.media_sequence == 2


def test_discontinuities_of_gaps_that_are_left_out_are_counted() -> None:
    presentation = film("live", ended=False)
    sound = presentation.renditions[1]
    sound.segments[0].gap = sound.segments[0].discontinuity = True
    sound.discontinuity_sequence = 5
    assert b"#EXT-X-DISCONTINUITY-SEQUENCE:6\n" in hls.rendition_playlist(presentation, sound)


def test_gaps_at_the_end_of_what_is_over_are_left_out() -> None:
    presentation = film()
    sound = presentation.renditions[1]
    sound.segments[2].gap = True
    assert lines_of(hls.rendition_playlist(presentation, sound))[-3:] == ["1.m4s", "#EXT-X-ENDLIST", ""]
    presentation.ended = False
    assert "2.m4s" in lines_of(hls.rendition_playlist(presentation, sound))


def test_dates_are_left_out_where_nobody_knows_them() -> None:
    presentation = film()
    for segment in presentation.renditions[0].segments:
        segment.start_unix_s = 0.0
    assert b"DATE-TIME" not in hls.rendition_playlist(presentation, presentation.renditions[0])


def test_a_ladder_with_two_languages_and_two_codecs() -> None:
    videos = [rendition(f"v{n}", VIDEO, [360_000], peak_bps=rate) for n, rate in enumerate((6_000_000, 1_000_000))]
    sounds = [
        rendition(f"a{n}", Track(n + 3, Kind.AUDIO, codec, 48_000, codec_string=string, channels=channels,
                                 language=language), [192_000], peak_bps=rate)
        for n, (codec, string, channels, language, rate) in enumerate([
            ("aac", "mp4a.40.2", 2, "eng", 130_000), ("aac", "mp4a.40.2", 2, "deu", 140_000),
            ("ac3", "ac-3", 6, "eng", 450_000), ("ac3", "ac-3", 6, "deu", 400_000),
        ])
    ]  # fmt: skip
    read = m3u8.loads(hls.multivariant(Presentation("vod", "fmp4", [*videos, *sounds], ended=True)).decode())
    assert [(m.group_id, m.name, m.language, m.default, m.autoselect, m.channels, m.uri) for m in read.media] == [
        ("aac", "en", "en", "YES", "YES", "2", "a0/playlist.m3u8"),
        ("aac", "de", "de", "NO", "YES", "2", "a1/playlist.m3u8"),
        ("ac3", "en", "en", "YES", "YES", "6", "a2/playlist.m3u8"),
        ("ac3", "de", "de", "NO", "YES", "6", "a3/playlist.m3u8"),
    ]
    found = [(p.uri[:2], p.stream_info.bandwidth, p.stream_info.codecs, p.stream_info.audio) for p in read.playlists]
    assert found == [
        ("v0", 6_140_000, "avc1.64001F,mp4a.40.2", "aac"),
        ("v0", 6_450_000, "avc1.64001F,ac-3", "ac3"),
        ("v1", 1_140_000, "avc1.64001F,mp4a.40.2", "aac"),
        ("v1", 1_450_000, "avc1.64001F,ac-3", "ac3"),
    ]


def test_a_ladder_of_sound_goes_along_with_the_ladder_of_pictures() -> None:
    videos = [rendition(f"v{n}", VIDEO, [360_000]) for n in range(3)]
    sounds = [rendition(f"a{n}", SOUND, [192_000]) for n in range(2)]
    playlist = hls.multivariant(Presentation("vod", "fmp4", [*videos, *sounds], ended=True))
    assert [(m["GROUP-ID"], m["NAME"], m["URI"][:2]) for m in tags(playlist, "EXT-X-MEDIA")] == [
        ("aac", "en", "a0"), ("aac-2", "en", "a1"),
    ]  # fmt: skip
    assert [v["AUDIO"] for v in tags(playlist, "EXT-X-STREAM-INF")] == ["aac", "aac", "aac-2"]


def test_sound_alone() -> None:
    low, high = (rendition(f"a{n}", SOUND, [192_000], peak_bps=rate) for n, rate in enumerate((64_000, 128_000)))
    playlist = hls.multivariant(Presentation("vod", "fmp4", [low, high], ended=True))
    assert tags(playlist, "EXT-X-MEDIA") == []
    assert [(v["BANDWIDTH"], v["CODECS"]) for v in tags(playlist, "EXT-X-STREAM-INF")] == [
        ("64000", "mp4a.40.2"), ("128000", "mp4a.40.2"),
    ]  # fmt: skip


def test_sound_alone_in_two_languages() -> None:
    english = rendition("a0", SOUND, [192_000], peak_bps=100_000)
    german = rendition("a1", SOUND.with_(language="ger"), [192_000], peak_bps=120_000)
    playlist = hls.multivariant(Presentation("vod", "fmp4", [english, german], ended=True))
    assert [(m["LANGUAGE"], m["URI"][:2]) for m in tags(playlist, "EXT-X-MEDIA")] == [("en", "a0"), ("de", "a1")]
    (variant,) = tags(playlist, "EXT-X-STREAM-INF")
    assert variant["AUDIO"] == "aac"
    # Either of them plays, not both.
    assert variant["BANDWIDTH"] == "120000"
    assert lines_of(playlist)[-2] == "a0/playlist.m3u8"


def test_half_known_codecs_are_left_out() -> None:
    presentation = film()
    presentation.renditions[1].tracks = (SOUND.with_(codec_string=""),)
    (variant,) = tags(hls.multivariant(presentation), "EXT-X-STREAM-INF")
    assert "CODECS" not in variant


def test_hostile_labels_stay_inside_their_quotes() -> None:
    presentation = film()
    label = 'x",URI="http://evil/"\r\n#EXT-X-ENDLIST\u2028\ud800\0'
    presentation.renditions[1].tracks = (SOUND.with_(label=label),)
    playlist = hls.multivariant(presentation)
    (media,) = tags(playlist, "EXT-X-MEDIA")
    assert media["NAME"] == "x',URI='http://evil/' #EXT-X-ENDLIST"
    assert media["URI"] == "a0/playlist.m3u8"
    assert len(lines_of(playlist)) == 7


def test_names_differ_within_a_group() -> None:
    sounds = [
        rendition(f"a{n}", SOUND.with_(language=lang, label="Main"), [1]) for n, lang in enumerate(("eng", "deu"))
    ]
    presentation = film()
    presentation.renditions[1:] = sounds
    assert [m["NAME"] for m in tags(hls.multivariant(presentation), "EXT-X-MEDIA")] == ["Main", "Main 2"]


@given(presentations())
def test_playlists_say_what_the_model_says(presentation: Presentation) -> None:
    for out in presentation.renditions:
        data = hls.rendition_playlist(presentation, out)
        read = m3u8.loads(data.decode())
        shown = list(out.segments)
        late_s = left = 0.0
        clock = {p.index: p.start_s - p.media_start_s for p in presentation.periods}
        start = {s.number: s.time / out.timescale + clock[s.period] for s in shown}
        first = shown[0].number if shown else 0
        while shown and shown[0].gap:
            left += shown[0].discontinuity
            del shown[0]
        if shown:
            # Where it is presented, after what was before the gap.
            late_s = start[shown[0].number] - start[first]
        if presentation.ended:
            while shown and shown[-1].gap:
                shown.pop()
        assert [s.uri for s in read.segments] == [s.name for s in shown]
        if shown:
            assert read.media_sequence == shown[0].number
        assert read.is_endlist is presentation.ended
        assert (read.discontinuity_sequence or 0) == out.discontinuity_sequence + left
        assert [s.discontinuity for s in read.segments] == [s.discontinuity for s in shown]
        assert [bool(s.gap_tag) for s in read.segments] == [s.gap for s in shown]
        for found, meant in zip(read.segments, shown, strict=True):
            assert int(found.duration + 0.5) <= read.target_duration
            wanted_s = meant.duration / out.timescale
            if meant is shown[0] and presentation.type != "live":
                wanted_s += late_s
            assert abs(found.duration - wanted_s) < 1e-6 + 0.5 / out.timescale
            if not meant.gap:
                # 4.3.2.5: until the next EXT-X-MAP.
                assert found.init_section.uri == meant.init
        version = 8 if any(s.gap for s in shown) else 7
        assert f"#EXT-X-VERSION:{version}" in lines_of(data)
        independent = bool(shown) and all(s.independent for s in shown if not s.gap)
        assert (b"#EXT-X-INDEPENDENT-SEGMENTS" in data) is independent


@given(presentations())
def test_multivariant_playlists_hold_together(presentation: Presentation) -> None:
    playlist = hls.multivariant(presentation)
    m3u8.loads(playlist.decode())
    ids = {r.id: r for r in presentation.renditions}
    groups: dict[str, list[dict[str, str]]] = {}
    for media in tags(playlist, "EXT-X-MEDIA"):
        groups.setdefault(media["GROUP-ID"], []).append(media)
        assert media["NAME"]
        assert ids[media["URI"].partition("/")[0]].kind is Kind.AUDIO
    for members in groups.values():
        assert len({m["NAME"] for m in members}) == len(members)
        assert [m["DEFAULT"] for m in members].count("YES") == 1
        assert all(m["AUTOSELECT"] == "YES" for m in members if m["DEFAULT"] == "YES")
    used: set[str] = set()
    videos: set[str] = set()
    lines = lines_of(playlist)
    for line, uri in zip(lines, lines[1:], strict=False):
        if not line.startswith("#EXT-X-STREAM-INF"):
            continue
        variant = attributes(line)
        name = uri.partition("/")[0]
        assert uri == f"{name}/playlist.m3u8"
        videos.add(name)
        assert int(variant["BANDWIDTH"]) >= int(variant.get("AVERAGE-BANDWIDTH", "1")) > 0
        if "AUDIO" in variant:
            used.add(variant["AUDIO"])
        heard = [ids[m["URI"].partition("/")[0]] for m in groups.get(variant.get("AUDIO", ""), [])]
        if "CODECS" in variant:
            wanted = {t.codec_string for r in [ids[name], *heard] for t in r.tracks}
            assert set(variant["CODECS"].split(",")) == wanted
    assert used == set(groups)
    assert videos >= {r.id for r in presentation.renditions if r.kind is Kind.VIDEO}


@given(st.text())
def test_any_label_is_one_line(label: str) -> None:
    presentation = film()
    presentation.renditions[1].tracks = (replace(SOUND, label=label),)
    (media,) = tags(hls.multivariant(presentation), "EXT-X-MEDIA")
    assert media["URI"] == "a0/playlist.m3u8"
