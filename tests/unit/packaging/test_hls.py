"""Playlists, read back by a parser that is not ours."""

from fractions import Fraction

import m3u8

from evotools.media.track import Kind, Track
from evotools.packaging import hls
from evotools.packaging.segmenter import Segment
from evotools.packaging.window import LiveWindow


def window() -> LiveWindow:
    made = LiveWindow(500, target_s=2.0, count=3)
    for i in range(5):
        part = Segment(b"x" * 1000, 2.0 + i / 10, 1_700_000_000.25 + 2 * i, discontinuity=i in (1, 3))
        made.add(part, "18bcfe5689a")
    return made


def test_media_playlist_whole() -> None:
    assert hls.media_playlist(window()).decode() == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:3\n"
        "#EXT-X-TARGETDURATION:2\n"
        "#EXT-X-MEDIA-SEQUENCE:502\n"
        "#EXT-X-DISCONTINUITY-SEQUENCE:1\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:24.250Z\n"
        "#EXTINF:2.20000,\n"
        "18bcfe5689a-502.ts\n"
        "#EXT-X-DISCONTINUITY\n"
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:26.250Z\n"
        "#EXTINF:2.30000,\n"
        "18bcfe5689a-503.ts\n"
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:28.250Z\n"
        "#EXTINF:2.40000,\n"
        "18bcfe5689a-504.ts\n"
    )


def test_a_foreign_parser_reads_the_media_playlist() -> None:
    live = window()
    live.end()
    read = m3u8.loads(hls.media_playlist(live).decode())
    assert read.media_sequence == 502
    assert read.target_duration == 2
    assert read.discontinuity_sequence == 1
    assert read.is_endlist
    assert [s.discontinuity for s in read.segments] == [False, True, False]
    assert [s.uri for s in read.segments] == [f"18bcfe5689a-{n}.ts" for n in (502, 503, 504)]


def test_dependent_segments_are_not_called_independent() -> None:
    live = window()
    live.add(Segment(b"x", 2.0, 0.0, independent=False), "a")
    assert b"INDEPENDENT" not in hls.media_playlist(live)


def test_an_empty_window_is_still_a_playlist() -> None:
    read = m3u8.loads(hls.media_playlist(LiveWindow(7, target_s=2.0)).decode())
    assert (read.media_sequence, len(read.segments)) == (7, 0)


def test_master_playlist_names_what_is_known() -> None:
    video = Track(
        1, Kind.VIDEO, "h264", 90000, codec_string="avc1.42C01E", width=800, height=600, fps=Fraction(30000, 1001)
    )
    audio = Track(2, Kind.AUDIO, "aac", 48000, codec_string="mp4a.40.2")
    text = hls.master_playlist((video, audio), "media.m3u8", peak_bps=2_500_000, average_bps=2_000_000)
    info = m3u8.loads(text.decode()).playlists[0]
    assert info.uri == "media.m3u8"
    stream = info.stream_info
    assert (stream.bandwidth, stream.average_bandwidth) == (2_500_000, 2_000_000)
    assert stream.codecs == "avc1.42C01E,mp4a.40.2"
    assert stream.resolution == (800, 600)
    assert stream.frame_rate == 29.97


def test_master_playlist_leaves_out_what_is_not() -> None:
    text = hls.master_playlist((Track(1, Kind.VIDEO, "h264", 90000, bitrate_bps=1_000_000),), "m", peak_bps=0)
    assert text == b"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-STREAM-INF:BANDWIDTH=1064000\nm\n"


def test_a_query_goes_along_on_every_uri_line_only() -> None:
    text = hls.with_query(hls.media_playlist(window()), "token=a%20b&x=1").decode()
    uris = [line for line in text.splitlines() if not line.startswith("#")]
    assert uris == [f"18bcfe5689a-{n}.ts?token=a%20b&x=1" for n in (502, 503, 504)]
    assert text.count("?") == 3
