"""DASH manifests: whole documents, properties, an XML parser and an MPD parser that are not ours."""

from collections import deque
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from mpegdash.parser import MPEGDASHParser

from evotools.media.track import Kind, Track
from evotools.packaging import dash, hls
from evotools.packaging.presentation import MediaSegment, Period, Presentation, Rendition
from tests.manifests import NS, mpd_segments, read_mpd, seconds
from tests.unit.packaging.presentations import BEGIN_UNIX_S, SOUND, VIDEO, film, presentations, rendition

NOW_UNIX_S = BEGIN_UNIX_S + 12.5


def test_an_on_demand_manifest_whole() -> None:
    assert dash.mpd(film(), NOW_UNIX_S).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="static" '
        'mediaPresentationDuration="PT10S" maxSegmentDuration="PT4.010667S" minBufferTime="PT4.010667S">\n'
        '  <Period id="p0" start="PT0S">\n'
        '    <AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1" '
        'maxWidth="1280" maxHeight="720" maxFrameRate="30000/1001">\n'
        '      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>\n'
        '      <SegmentTemplate timescale="90000" startNumber="0" initialization="$RepresentationID$/init-0.mp4" '
        'media="$RepresentationID$/$Number$.m4s">\n'
        "        <SegmentTimeline>\n"
        '          <S t="0" d="360000" r="1"/>\n'
        '          <S d="180000"/>\n'
        "        </SegmentTimeline>\n"
        "      </SegmentTemplate>\n"
        '      <Representation id="v0" bandwidth="2500000" codecs="avc1.64001F" width="1280" height="720" '
        'frameRate="30000/1001"/>\n'
        "    </AdaptationSet>\n"
        '    <AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" lang="en" segmentAlignment="true" '
        'startWithSAP="1">\n'
        '      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>\n'
        '      <SegmentTemplate timescale="48000" startNumber="0" initialization="$RepresentationID$/init-0.mp4" '
        'media="$RepresentationID$/$Number$.m4s">\n'
        "        <SegmentTimeline>\n"
        '          <S t="0" d="192512"/>\n'
        '          <S d="191488"/>\n'
        '          <S d="96000"/>\n'
        "        </SegmentTimeline>\n"
        "      </SegmentTemplate>\n"
        '      <Representation id="a0" bandwidth="130000" codecs="mp4a.40.2" audioSamplingRate="48000">\n'
        '        <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" '
        'value="2"/>\n'
        "      </Representation>\n"
        "    </AdaptationSet>\n"
        "  </Period>\n"
        "</MPD>\n"
    )


def test_a_live_manifest() -> None:
    presentation = film("live", ended=False, window_s=30.0, availability_start_unix_s=BEGIN_UNIX_S)
    root = read_mpd(dash.mpd(presentation, NOW_UNIX_S))
    assert root.attrib == {
        "profiles": "urn:mpeg:dash:profile:isoff-live:2011",
        "type": "dynamic",
        "availabilityStartTime": "2023-11-14T22:13:20.250Z",
        "publishTime": "2023-11-14T22:13:32.750Z",
        "minimumUpdatePeriod": "PT4S",
        "suggestedPresentationDelay": "PT12S",
        "timeShiftBufferDepth": "PT30S",
        "maxSegmentDuration": "PT4.010667S",
        "minBufferTime": "PT4.010667S",
    }


def test_players_stay_inside_a_short_window() -> None:
    presentation = film("live", ended=False, window_s=12.0)
    assert read_mpd(dash.mpd(presentation, NOW_UNIX_S)).attrib["suggestedPresentationDelay"] == "PT8S"


def test_an_event_has_no_depth() -> None:
    root = read_mpd(dash.mpd(film("event", ended=False), NOW_UNIX_S))
    assert root.attrib["type"] == "dynamic"
    assert "timeShiftBufferDepth" not in root.attrib


@pytest.mark.parametrize("type_", ["live", "event"])
def test_what_is_over_is_static(type_: Any) -> None:
    presentation = film(type_, window_s=30.0, availability_start_unix_s=BEGIN_UNIX_S)
    root = read_mpd(dash.mpd(presentation, NOW_UNIX_S))
    assert root.attrib["type"] == "static"
    assert root.attrib["mediaPresentationDuration"] == "PT10S"
    assert not {"availabilityStartTime", "publishTime", "minimumUpdatePeriod", "timeShiftBufferDepth",
                "suggestedPresentationDelay"} & set(root.attrib)  # fmt: skip


def test_times_stay_when_a_live_presentation_ends() -> None:
    """Who watches goes on to the end; who comes later begins at the first segment that is left."""
    presentation = film("live", ended=False, window_s=6.0, availability_start_unix_s=BEGIN_UNIX_S)
    for out in presentation.renditions:
        out.segments.popleft()
    before = read_mpd(dash.mpd(presentation, NOW_UNIX_S))
    presentation.ended = True
    root = read_mpd(dash.mpd(presentation, NOW_UNIX_S))
    assert mpd_segments(root) == mpd_segments(before)
    assert [p.attrib for p in root] == [p.attrib for p in before]
    assert root.attrib["mediaPresentationDuration"] == "PT10S"


def test_a_new_clock_is_a_new_period() -> None:
    presentation = film("event", ended=True)
    presentation.periods.append(Period(1, 12.0, 1000.0))
    for out in presentation.renditions:
        last = out.segments[-1]
        out.segments.append(
            MediaSegment("3.m4s", 3, 1, 1000 * out.timescale, 2 * out.timescale, 1, 0.0, "init-1.mp4",
                         discontinuity=True)
        )  # fmt: skip
        assert last.number == 2
    root = read_mpd(dash.mpd(presentation, NOW_UNIX_S))
    assert [(p.attrib["id"], p.attrib["start"]) for p in root] == [("p0", "PT0S"), ("p1", "PT12S")]
    for name, rows in mpd_segments(root).items():
        assert rows[-1][:2] == (f"{name}/init-1.mp4", f"{name}/3.m4s")
        assert rows[-1][4] == 12.0
    assert root.attrib["mediaPresentationDuration"] == "PT14S"


def test_a_gap_in_one_track_is_a_new_period_for_all() -> None:
    """Numbers are counted along the timeline, and players know no other way."""
    video = rendition("v0", VIDEO, [180_000] * 4)
    sound = rendition("a0", SOUND, [96_000] * 4)
    sound.segments[1].gap = True
    root = read_mpd(
        dash.mpd(Presentation("vod", "fmp4", [video, sound], [Period(0, 0.0, 0.0)], ended=True), NOW_UNIX_S)
    )
    assert [(p.attrib["id"], p.attrib["start"]) for p in root] == [("p0", "PT0S"), ("p0.2", "PT4S")]
    found = mpd_segments(root)
    assert [row[1] for row in found["v0"]] == [f"v0/{n}.m4s" for n in range(4)]
    assert [row[1] for row in found["a0"]] == ["a0/0.m4s", "a0/2.m4s", "a0/3.m4s"]
    assert [row[4] for row in found["a0"]] == [0.0, 4.0, 6.0]


def test_a_late_and_an_early_end_need_no_period() -> None:
    video = rendition("v0", VIDEO, [180_000] * 4)
    sound = rendition("a0", SOUND, [96_000] * 4)
    sound.segments[0].gap = sound.segments[3].gap = True
    root = read_mpd(
        dash.mpd(Presentation("vod", "fmp4", [video, sound], [Period(0, 0.0, 0.0)], ended=True), NOW_UNIX_S)
    )
    assert len(root) == 1
    assert [row[1:3] for row in mpd_segments(root)["a0"]] == [("a0/1.m4s", 96_000), ("a0/2.m4s", 192_000)]
    assert root.attrib["mediaPresentationDuration"] == "PT8S"


def test_a_jump_in_time_is_told_in_the_timeline() -> None:
    video = rendition("v0", VIDEO, [180_000] * 3)
    video.segments[2].time += 900
    root = read_mpd(dash.mpd(Presentation("vod", "fmp4", [video], [Period(0, 0.0, 0.0)], ended=True), NOW_UNIX_S))
    assert [s.attrib for s in root.iter(f"{NS}S")] == [
        {"t": "0", "d": "180000", "r": "1"},
        {"t": "360900", "d": "180000"},
    ]


def test_a_ladder_is_one_adaptation_set() -> None:
    videos = [
        rendition(f"v{n}", VIDEO.with_(width=width, height=height, fps=fps, label=f"{height}p"), [180_000] * 2,
                  peak_bps=rate)
        for n, (width, height, rate, fps) in enumerate([(1920, 1080, 5_000_000, Fraction(50)),
                                                        (640, 360, 800_000, Fraction(25))])
    ]  # fmt: skip
    other = rendition("v2", VIDEO.with_(codec="h265", codec_string="hvc1.1.6.L93.B0"), [180_000] * 2)
    root = read_mpd(
        dash.mpd(Presentation("vod", "fmp4", [*videos, other], [Period(0, 0.0, 0.0)], ended=True), NOW_UNIX_S)
    )
    first, second = root.iter(f"{NS}AdaptationSet")
    assert [r.attrib["id"] for r in first.iter(f"{NS}Representation")] == ["v0", "v1"]
    assert [r.attrib["id"] for r in second.iter(f"{NS}Representation")] == ["v2"]
    assert (first.get("maxWidth"), first.get("maxHeight"), first.get("maxFrameRate")) == ("1920", "1080", "50")
    assert first.get("segmentAlignment") == "true"
    # Said once for both.
    assert len(list(first.iter(f"{NS}SegmentTemplate"))) == 1
    assert first.find(f"{NS}Label") is None


def test_ladders_that_are_cut_differently_are_not_called_aligned() -> None:
    videos = [rendition("v0", VIDEO, [180_000] * 2), rendition("v1", VIDEO, [90_000, 270_000])]
    root = read_mpd(dash.mpd(Presentation("vod", "fmp4", videos, [Period(0, 0.0, 0.0)], ended=True), NOW_UNIX_S))
    (group,) = root.iter(f"{NS}AdaptationSet")
    assert "segmentAlignment" not in group.attrib
    assert len(list(group.iter(f"{NS}SegmentTemplate"))) == 2


@pytest.mark.parametrize(
    ("sap", "independent", "said"), [(1, True, "1"), (2, True, "2"), (3, True, "3"), (1, False, None)]
)
def test_access_points_are_as_good_as_the_worst(sap: int, independent: bool, said: str | None) -> None:
    video = rendition("v0", VIDEO, [180_000] * 2)
    video.segments[1].sap, video.segments[1].independent = sap, independent
    root = read_mpd(dash.mpd(Presentation("vod", "fmp4", [video], [Period(0, 0.0, 0.0)], ended=True), NOW_UNIX_S))
    (group,) = root.iter(f"{NS}AdaptationSet")
    assert group.get("startWithSAP") == said


def test_languages_labels_and_roles() -> None:
    sounds = [
        rendition("a0", SOUND, [96_000]),
        rendition("a1", SOUND.with_(codec="ac3", codec_string="ac-3", channels=6), [96_000]),
        rendition("a2", SOUND.with_(language="ger", label='Ton & "Bild" <2>\x07\ud800'), [96_000]),
        rendition("a3", SOUND.with_(language="und"), [96_000]),
    ]
    root = read_mpd(dash.mpd(Presentation("vod", "fmp4", sounds, [Period(0, 0.0, 0.0)], ended=True), NOW_UNIX_S))
    found = []
    for group in root.iter(f"{NS}AdaptationSet"):
        label, role = group.find(f"{NS}Label"), group.find(f"{NS}Role")
        assert role is not None
        found.append((group.get("lang"), None if label is None else label.text, role.get("value")))
    assert found == [
        ("en", None, "main"),
        ("en", None, "main"),
        ("de", 'Ton & "Bild" <2>  ', "alternate"),
        (None, None, "alternate"),
    ]


SD_16_9 = bytes.fromhex(
    "0164001effe100216764001eacd940b4126ffc010000b5a810302a000003000200000300641e2c5b2c01000668ebe3cb22c0fdf8f800"
)
"""avcC by x264: 720x576, samples 64:45, transfer of BT.601."""
HDR = bytes.fromhex(
    "0102200000009000000000007bf000fcfdfafa00000f03a00001001840010c01ffff02200000030090000003000003007b959809a1000100"
    "2f42010102200000030090000003000003007ba003c08010e4d96566924caf016a122012080000030008000003019040a200010007440"
    "1c172b46240"
)
"""hvcC by x265: 1920x1080, transfer of SMPTE ST 2084."""


def test_the_shape_of_pixels() -> None:
    track = VIDEO.with_(config=SD_16_9, width=720, height=576)
    presentation = Presentation("vod", "fmp4", [rendition("v0", track, [1])], [Period(0, 0.0, 0.0)], ended=True)
    root = read_mpd(dash.mpd(presentation, NOW_UNIX_S))
    (found,) = root.iter(f"{NS}Representation")
    assert (found.get("width"), found.get("height"), found.get("sar")) == ("720", "576", "64:45")


def test_the_range_of_light() -> None:
    from evotools.packaging.signal import picture

    assert picture(VIDEO.with_(config=SD_16_9)).video_range == "SDR"
    assert picture(VIDEO.with_(codec="h265", config=HDR)).video_range == "PQ"
    assert picture(VIDEO).video_range == ""
    assert picture(VIDEO.with_(config=b"\x01broken")).video_range == ""


@pytest.mark.parametrize(
    ("codec", "config", "channels", "said"),
    [
        ("ac3", "503de0", 6, ("tag:dolby.com,2014:dash:audio_channel_configuration:2011", "F801")),
        ("eac3", "0e00600f00", 6, ("tag:dolby.com,2014:dash:audio_channel_configuration:2011", "F801")),
        ("aac", "11b0", 6, ("urn:mpeg:dash:23003:3:audio_channel_configuration:2011", "6")),
        ("aac", "11b8", 8, ("urn:mpeg:dash:23003:3:audio_channel_configuration:2011", "7")),
        ("opus", "", 8, ("urn:mpeg:dash:23003:3:audio_channel_configuration:2011", "12")),
        ("opus", "", 0, ("", "")),
        ("opus", "", 17, ("", "")),
    ],
)
def test_loudspeakers(codec: str, config: str, channels: int, said: tuple[str, str]) -> None:
    from evotools.packaging.signal import channel_configuration

    track = Track(1, Kind.AUDIO, codec, 48_000, config=bytes.fromhex(config), channels=channels)
    assert channel_configuration(track) == said


@pytest.mark.parametrize(
    ("names", "numbers", "template"),
    [
        (["7.m4s", "8.m4s"], [7, 8], "$Number$.m4s"),
        (["99.m4s", "100.m4s"], [99, 100], "$Number$.m4s"),
        (["s-0009.m4s", "s-0010.m4s"], [9, 10], "s-$Number%04d$.m4s"),
        (["4-4.mp4", "4-5.mp4"], [4, 5], "4-$Number$.mp4"),
        (["4-4.mp4", "5-4.mp4"], [4, 5], "$Number$-4.mp4"),
        (["a$b 0.m4s"], [0], "a$$b%20$Number$.m4s"),
        (["00.m4s", "01.m4s"], [0, 1], "$Number%02d$.m4s"),
    ],
)
def test_templates_of_names(names: list[str], numbers: list[int], template: str) -> None:
    found = [MediaSegment(n, k, 0, 0, 1, 1, 0.0) for n, k in zip(names, numbers, strict=True)]
    assert dash.name_template(found) == template


def test_names_without_their_number_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="not named by their numbers"):
        dash.name_template([MediaSegment("1.m4s", 1, 0, 0, 1, 1, 0.0), MediaSegment("3.m4s", 2, 0, 1, 1, 1, 0.0)])


def test_transport_streams_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="fMP4"):
        dash.mpd(Presentation("vod", "ts"), NOW_UNIX_S)


def test_nothing_packaged_is_still_a_document() -> None:
    root = read_mpd(dash.mpd(Presentation("live", "fmp4", [], [], target_s=2.0), NOW_UNIX_S))
    assert [list(period) for period in root] == [[]]
    empty = Rendition("v0", Kind.VIDEO, (VIDEO,), 90_000, segments=deque())
    read_mpd(dash.mpd(Presentation("vod", "fmp4", [empty], [Period(0, 0.0, 0.0)], ended=True), NOW_UNIX_S))


@given(presentations())
def test_a_player_finds_the_segments_of_the_model_and_no_others(presentation: Presentation) -> None:
    data = dash.mpd(presentation, NOW_UNIX_S)
    root = read_mpd(data)
    found = mpd_segments(root)
    last_s = 0.0
    for out in presentation.renditions:
        meant = [s for s in out.segments if not s.gap]
        rows = found.get(out.id, [])
        assert [row[:4] for row in rows] == [
            (f"{out.id}/{s.init}", f"{out.id}/{s.name}", s.time, s.duration) for s in meant
        ]
        for row, segment in zip(rows, meant, strict=True):
            period = presentation.periods[segment.period]
            time_s = period.start_s + segment.time / out.timescale - period.media_start_s
            # Half a tick of presentationTimeOffset, and the microsecond of Period@start.
            assert abs(row[4] - time_s) <= 0.5 / out.timescale + 2e-6
            last_s = max(last_s, time_s + segment.duration / out.timescale)
    assert set(found) == {r.id for r in presentation.renditions if any(not s.gap for s in r.segments)}
    if root.attrib["type"] == "static":
        assert seconds(root.attrib["mediaPresentationDuration"]) == pytest.approx(last_s, abs=1e-5)


@given(presentations())
def test_manifests_keep_the_rules(presentation: Presentation) -> None:
    data = dash.mpd(presentation, NOW_UNIX_S)
    root = read_mpd(data)
    live = presentation.type != "vod" and not presentation.ended
    assert root.attrib["type"] == ("dynamic" if live else "static")
    # 5.3.1.2, table 3: which attributes go with which type.
    assert ("availabilityStartTime" in root.attrib) is live
    assert ("minimumUpdatePeriod" in root.attrib) is live
    assert ("mediaPresentationDuration" in root.attrib) is not live
    periods = list(root)
    assert len({p.attrib["id"] for p in periods}) == len(periods)
    starts = [seconds(p.attrib["start"]) for p in periods]
    assert starts == sorted(starts)
    longest = 0.0
    for period in periods:
        groups = list(period)
        assert len({g.attrib["id"] for g in groups}) == len(groups)
        names = [r.attrib["id"] for r in period.iter(f"{NS}Representation")]
        assert len(set(names)) == len(names)
        assert all(int(r.attrib["bandwidth"]) > 0 for r in period.iter(f"{NS}Representation"))
        for template in period.iter(f"{NS}SegmentTemplate"):
            scale = int(template.attrib["timescale"])
            longest = max([longest, *(int(s.attrib["d"]) / scale for s in template.iter(f"{NS}S"))])
    if periods:
        assert seconds(root.attrib["maxSegmentDuration"]) >= longest - 1e-6


@given(presentations())
def test_a_foreign_parser_reads_the_same(presentation: Presentation) -> None:
    data = dash.mpd(presentation, NOW_UNIX_S)
    read_by_it = MPEGDASHParser.parse(data.decode())
    ours = read_mpd(data)
    theirs = [
        (r.id, r.bandwidth, r.codecs)
        for p in read_by_it.periods or ()
        for a in p.adaptation_sets or ()
        for r in a.representations
    ]
    assert theirs == [
        (r.attrib["id"], int(r.attrib["bandwidth"]), r.get("codecs")) for r in ours.iter(f"{NS}Representation")
    ]


def changed() -> Presentation:
    """A film that goes on in another size and codec."""
    presentation = film()
    presentation.periods.append(Period(1, 10.0, 10.0))
    video, sound = presentation.renditions
    after = VIDEO.with_(codec="h265", codec_string="hvc1.1.6.L93.B0", width=640, height=360)
    video.epochs = {0: video.tracks, 1: (after,)}
    video.tracks = (after,)
    for out in (video, sound):
        time = 10 * out.timescale
        out.segments.append(MediaSegment("3.m4s", 3, 1, time, out.timescale, 1, 0.0, "init-3.mp4", discontinuity=True))
    return presentation


def test_each_period_tells_of_its_own_encoding() -> None:
    root = read_mpd(dash.mpd(changed(), NOW_UNIX_S))
    found = [[(r.get("codecs"), r.get("width")) for r in p.iter(f"{NS}Representation")] for p in root]
    assert found == [
        [("avc1.64001F", "1280"), ("mp4a.40.2", None)],
        [("hvc1.1.6.L93.B0", "640"), ("mp4a.40.2", None)],
    ]


def test_hls_names_every_encoding() -> None:
    text = hls.multivariant(changed()).decode()
    assert 'CODECS="avc1.64001F,hvc1.1.6.L93.B0,mp4a.40.2",RESOLUTION=1280x720' in text


def test_what_comes_later_than_it_should_cuts_off_nothing() -> None:
    """The last picture of a transport stream is known at its end, when the sound has gone on for long."""
    video = rendition("v0", VIDEO, [180_000] * 4)
    sound = rendition("a0", SOUND, [96_000] * 4)
    video.segments[2].gap = True
    video.segments[3].time = 2 * 180_000 - 3600
    root = read_mpd(
        dash.mpd(Presentation("vod", "fmp4", [video, sound], [Period(0, 0.0, 0.0)], ended=True), NOW_UNIX_S)
    )
    assert [p.attrib["start"] for p in root] == ["PT0S", "PT4S"]
    found = mpd_segments(root)
    assert [row[1] for row in found["v0"]] == ["v0/0.m4s", "v0/1.m4s", "v0/3.m4s"]
    assert [row[1] for row in found["a0"]] == [f"a0/{n}.m4s" for n in range(4)]
    # Even where it is over before the one that it follows.
    video.segments[3].duration = 900
    root = read_mpd(
        dash.mpd(Presentation("vod", "fmp4", [video, sound], [Period(0, 0.0, 0.0)], ended=True), NOW_UNIX_S)
    )
    assert [row[1] for row in mpd_segments(root)["v0"]] == ["v0/0.m4s", "v0/1.m4s", "v0/3.m4s"]


def test_a_track_that_comes_later_needs_a_period_only_while_live() -> None:
    video = rendition("v0", VIDEO, [180_000] * 4)
    # It is there a second before the picture's next segment.
    sound = rendition("a0", SOUND, [144_000, 96_000])
    for number, segment in enumerate(sound.segments, 2):
        segment.number, segment.name, segment.init = number, f"{number}.m4s", "init-2.mp4"
        segment.time += 144_000
    for out in (video, sound):
        for segment in out.segments:
            segment.period = int(segment.number >= 2)
    periods = [Period(0, 0.0, 0.0), Period(1, 4.0, 4.0)]
    root = read_mpd(dash.mpd(Presentation("vod", "fmp4", [video, sound], periods, ended=True), NOW_UNIX_S))
    assert [p.attrib for p in root] == [{"id": "p0", "start": "PT0S"}]
    assert [row[2:] for row in mpd_segments(root)["a0"]] == [(144_000, 144_000, 3.0), (288_000, 96_000, 6.0)]
    live = Presentation("live", "fmp4", [video, sound], periods, ended=True)
    assert len(read_mpd(dash.mpd(live, NOW_UNIX_S))) == 2
    # Another encoding does.
    video.segments[2].init = video.segments[3].init = "init-2.mp4"
    root = read_mpd(dash.mpd(Presentation("vod", "fmp4", [video, sound], periods, ended=True), NOW_UNIX_S))
    assert len(root) == 2
