"""The Matroska reader on elements made by hand."""

import struct
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.codecs import h264
from evotools.codecs.aac import parse_asc
from evotools.codecs.nal import START_CODE
from evotools.containers.base import Foreign
from evotools.containers.matroska import MatroskaMuxer, element, number
from evotools.containers.matroska.demux import MatroskaDemuxer
from evotools.errors import ParseError
from evotools.media.frame import Discontinuity, Event, Frame, Tracks
from evotools.media.track import Kind, Track
from tests.unit.codecs import vectors
from tests.unit.containers.feeding import demuxed
from tests.unit.containers.matroska.build import (
    AUDIO,
    UNKNOWN,
    audio,
    block,
    block_body,
    closed,
    cluster,
    ebml,
    entry,
    film,
    group,
    head,
    info,
    parts,
    picture,
    segment,
    small,
    stream,
    tracks,
    video,
)

Row = tuple[int, int, int, bool, bytes]


def read(data: bytes, *, stored: bool = False) -> list[Event]:
    return demuxed(MatroskaDemuxer(stored=stored), data)


def rows(events: list[Event]) -> list[Row]:
    return [(e.track.id, e.dts, e.pts, e.key, e.payload) for e in events if isinstance(e, Frame)]


def only_track(data: bytes) -> Track:
    (track,) = next(e.tracks for e in read(data) if isinstance(e, Tracks))
    return track


def sound(*blocks: bytes, more: bytes = b"") -> bytes:
    return head(audio(more, index=2)) + cluster(0, *blocks)


def test_tracks_and_frames() -> None:
    events = read(stream())
    assert isinstance(events[0], Tracks)
    first, second = events[0].tracks
    assert (first.id, first.codec, first.timescale, first.config) == (1, "h264", 1000, vectors.AVCC_HIGH)
    assert first.codec_string.startswith("avc1.")
    assert (second.id, second.codec, second.sample_rate, second.channels, second.language) == (
        2,
        "aac",
        48000,
        2,
        "eng",
    )
    got = rows(events)
    assert len(got) == 30
    # Two pictures may overtake others: decode times are two frames of 30000/1001 earlier at first.
    assert [row[1:] for row in got if row[0] == 1][:4] == [
        (-66, 0, True, picture(0)), (-33, 40, False, picture(1)), (0, 80, False, picture(2)),
        (40, 120, False, picture(3)),
    ]  # fmt: skip
    assert [row[:4] for row in got if row[0] == 2][:3] == [(2, 0, 0, True), (2, 20, 20, True), (2, 40, 40, True)]
    assert {e.duration for e in events if isinstance(e, Frame) and e.track.id == 2} == {21}


@settings(deadline=None, max_examples=50)
@given(st.sets(st.integers(1, len(stream()) - 1), max_size=30))
def test_any_split_gives_the_same(cuts: set[int]) -> None:
    events = demuxed(MatroskaDemuxer(), stream(), cuts)
    assert rows(events) == rows(read(stream()))
    assert sum(isinstance(e, Tracks) for e in events) == 1


def test_byte_by_byte() -> None:
    data = stream()
    assert rows(demuxed(MatroskaDemuxer(), data, range(1, len(data)))) == rows(read(data))


def test_every_cut_gives_a_part_of_the_frames() -> None:
    data = stream()
    everything = rows(read(data))
    for end in range(len(data)):
        demuxer = MatroskaDemuxer()
        try:
            got = rows(demuxed(demuxer, data[:end]))
        except ParseError:
            assert end < len(data) - len(film())
            continue
        assert got == everything[: len(got)]
        assert demuxer.damaged == 0


def test_frames_do_not_wait_for_what_follows() -> None:
    demuxer = MatroskaDemuxer()
    demuxer.feed(head(video(), audio()))
    assert [type(e) for e in demuxer.feed(cluster(0, block(1, 0, picture(0), key=True)))] == [Tracks, Frame]
    assert [type(e) for e in demuxer.feed(block(2, 0, b"s"))] == [Frame]


def test_segments_and_clusters_with_an_end() -> None:
    body = closed(0, block(2, 0, b"a"), block(2, 20, b"b")), closed(40, block(2, 0, b"c"))
    data = segment(element(0x114D9B74, bytes(20)), info(duration=60.0), tracks(audio()), element(0x1254C367, bytes(99)),
                   *body, element(0x1C53BB6B, bytes(50)))  # fmt: skip
    demuxer = MatroskaDemuxer()
    assert [row[2::2] for row in rows(demuxed(demuxer, data))] == [(0, b"a"), (20, b"b"), (40, b"c")]
    assert demuxer.duration_s == pytest.approx(0.06)
    assert demuxer.damaged == 0


def test_fillers_checksums_and_what_is_of_no_use_are_passed_over() -> None:
    rubbish = element(0xEC, b"\x1f\x43\xb6\x75" * 9), element(0xBF, bytes(4)), number(0xA7, 5), number(0xAB, 99)
    data = head(element(0xEC, bytes(3)), audio(element(0xEC, bytes(7)))) + b"".join((
        element(0x1C53BB6B, b"\x1f\x43\xb6\x75" * 20), b"\x1f\x43\xb6\x75", UNKNOWN, rubbish[1], number(0xE7, 7),
        *rubbish, block(2, 0, b"a"), *rubbish, element(0xAF, b"encrypted"), block(2, 1, b"b"),
        element(0x1941A469, bytes(300)), element(0x1043A770, bytes(30)), cluster(20, block(2, 0, b"c")),
    ))  # fmt: skip
    for cuts in (None, range(1, len(data))):
        demuxer = MatroskaDemuxer()
        events = demuxed(demuxer, data, cuts)
        assert [row[2::2] for row in rows(events)] == [(7, b"a"), (8, b"b"), (20, b"c")]
        assert demuxer.damaged == 0
        assert not any(isinstance(e, Discontinuity) for e in events)


# Blocks.


def xiph(frames: list[bytes]) -> bytes:
    sizes = b"".join(b"\xff" * (len(f) // 255) + bytes((len(f) % 255,)) for f in frames[:-1])
    return bytes((len(frames) - 1,)) + sizes + b"".join(frames)


def ebml_laced(frames: list[bytes]) -> bytes:
    sizes = (0x4000 | len(frames[0])).to_bytes(2, "big")
    for before, after in pairwise(frames[:-1]):
        sizes += (0x4000 | len(after) - len(before) + 0x1FFF).to_bytes(2, "big")
    return bytes((len(frames) - 1,)) + sizes + b"".join(frames)


def fixed(frames: list[bytes]) -> bytes:
    return bytes((len(frames) - 1,)) + b"".join(frames)


@pytest.mark.parametrize(
    ("lacing", "pack", "sizes"),
    [(1, xiph, [10, 300, 255, 7]), (3, ebml_laced, [800, 500, 1000, 9]), (2, fixed, [50, 50, 50, 50]), (1, xiph, [9]),
     (2, fixed, [9])],
)  # fmt: skip
def test_lacing(lacing: int, pack: "type[list[bytes]]", sizes: list[int]) -> None:
    frames = parts(sizes)
    laced = pack(frames)  # type: ignore[arg-type]
    # 1024 samples at 48 kHz: 21.33 ms, without summing up the rounding.
    times = [100 + round(n * 1024 / 48) for n in range(len(frames))]
    for data in (block(2, 100, laced, lacing=lacing), group(2, 100, laced, lacing=lacing)):  # type: ignore[arg-type]
        assert [row[2::2] for row in rows(read(sound(data)))] == list(zip(times, frames, strict=True))
    told = sound(block(2, 0, laced, lacing=lacing), more=number(0x23E383, 30_000_000))  # type: ignore[arg-type]
    assert [row[2] for row in rows(read(told))] == [30 * n for n in range(len(frames))]
    lasting = sound(group(2, 0, laced, number(0x9B, 10 * len(frames)), lacing=lacing))  # type: ignore[arg-type]
    assert [row[2] for row in rows(read(lasting))] == [10 * n for n in range(len(frames))]


@pytest.mark.parametrize(
    ("lacing", "body"),
    [(1, b""), (1, b"\x02\xff"), (1, b"\x01\x09abc"), (2, b"\x02abcd"), (3, b"\x02\x85"), (3, b"\x02\x89\xbfabc"),
     (3, b"\x02\x81\x80abc")],
)  # fmt: skip
def test_broken_lacing_costs_its_block(lacing: int, body: bytes) -> None:
    demuxer = MatroskaDemuxer()
    events = demuxed(demuxer, sound(block(2, 0, body, lacing=lacing), block(2, 20, b"fine")))
    assert [row[4] for row in rows(events)] == [b"fine"]
    assert demuxer.damaged == 1


def test_what_a_group_says_of_its_block() -> None:
    data = head(video()) + cluster(
        0,
        group(1, 0, picture(0), number(0x9B, 55)),
        group(1, 40, picture(1), small(0xFB, b"\xd8"), small(0x75A2, b"\x01\x00")),
        group(1, 80, picture(2), number(0xFB, 1), small(0x75A1, b"\xa6\x80")),
    )
    events = [e for e in read(data) if isinstance(e, Frame)]
    assert [(e.pts, e.key) for e in events] == [(0, True), (40, False), (80, False)]
    assert events[0].duration == 55


def test_blocks_reach_back_from_their_cluster() -> None:
    data = head(audio()) + cluster(1000, block(2, -300, b"a"), block(2, 0, b"b"))
    assert [row[2] for row in rows(read(data))] == [700, 1000]


def test_large_track_numbers_and_long_sizes() -> None:
    body = b"\x40\xc8" + struct.pack(">hB", 5, 0x80) + b"sound"
    data = head(audio(index=200)) + cluster(0) + element(0xA3, body) + b"\xa3\x08\0\0\0" + bytes((len(body),)) + body
    assert [row[2::2] for row in rows(read(data))] == [(5, b"sound")] * 2


def test_blocks_of_other_tracks_are_left_out() -> None:
    subtitles = entry(3, 17, "S_TEXT/UTF8")
    data = head(subtitles, audio()) + cluster(0, block(3, 0, b"words"), block(2, 0, b"a"), block(9, 0, b"?"))
    events = read(data)
    assert isinstance(events[0], Tracks)
    # Ids count all entries.
    assert [t.id for t in events[0].tracks] == [2]
    assert [row[4] for row in rows(events)] == [b"a"]


# Times.


def test_scales_of_the_clock() -> None:
    for scale, timescale, pts in ((1_000_000, 1000, 7), (100_000, 10_000, 7), (20_833, 1_000_000_000, 7 * 20_833)):
        data = head(audio(), scale=scale) + cluster(5, block(2, 2, b"a"))
        (frame,) = [e for e in read(data) if isinstance(e, Frame)]
        assert (frame.track.timescale, frame.pts) == (timescale, pts)


def test_the_codec_delay_is_taken_off() -> None:
    from evotools.codecs import opus

    told = entry(1, AUDIO, "A_OPUS", opus.build_head(2, pre_skip=312), number(0x56AA, 6_500_000))
    data = head(told) + cluster(0, block(1, 0, b"\xfc1"), block(1, 21, b"\xfc2"))
    assert [row[2] for row in rows(read(data))] == [-7, 14]
    assert {e.duration for e in read(data) if isinstance(e, Frame)} == {20}


def test_frame_rates_are_found_in_whole_nanoseconds() -> None:
    for ns, fps in ((33_366_667, Fraction(30_000, 1001)), (40_000_000, Fraction(25)),
                    (41_708_333, Fraction(24_000, 1001)),
                    (16_683_333, Fraction(60_000, 1001)), (100, None)):  # fmt: skip
        data = head(entry(1, 1, "V_VP8", b"", number(0x23E383, ns), element(0xE0, number(0xB0, 16) + number(0xBA, 8))))
        track = only_track(data + cluster(0, block(1, 0, b"\x10\x02\x00\x9d\x01\x2a\x10\x00\x08\x00", key=True)))
        assert (track.fps, track.width, track.height) == (fps, 16, 8)


ORDER = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11, 15, 13, 14]


def no_order(config: bytes) -> bytes:
    """avcC whose SPS does not say how pictures overtake: High profile without VUI."""
    parsed = h264.parse_avcc(config)
    sps = bytes.fromhex("6764000aacd942f8")
    assert h264.parse_sps(sps).max_num_reorder is None
    return h264.build_avcc([sps], parsed.pps)


def test_the_order_of_decoding_is_observed_where_it_is_not_declared() -> None:
    data = head(video(private=no_order(vectors.AVCC_HIGH))) + cluster(
        0, *[block(1, n * 40, picture(5 if n else 0), key=not n) for n in ORDER]
    )
    for cuts in (None, range(0, len(data), 7)):
        got = rows(demuxed(MatroskaDemuxer(), data, cuts))
        assert [row[2] for row in got] == [n * 40 for n in ORDER]
        assert [row[1] for row in got] == [-40 + n * 40 for n in range(16)]


def test_no_more_than_a_dozen_pictures_wait_for_that() -> None:
    demuxer = MatroskaDemuxer()
    demuxer.feed(head(video(private=no_order(vectors.AVCC_HIGH))) + cluster(0))
    fed = [len(demuxer.feed(block(1, n * 40, picture(n), key=not n))) for n in range(14)]
    assert fed == [0] * 11 + [13, 1, 1]


def test_a_clock_that_is_set_anew_is_told() -> None:
    data = head(video(), audio()) + film(10, 500) + film(10, 0)
    events = read(data)
    breaks = [n for n, e in enumerate(events) if isinstance(e, Discontinuity)]
    assert len(breaks) == 1
    event = events[breaks[0]]
    assert isinstance(event, Discontinuity) and event.clock
    assert [row[1] for row in rows(events[breaks[0] :]) if row[0] == 1][:3] == [-66, -33, 0]


def test_a_hole_does_not_stretch_decode_times() -> None:
    events = read(head(video(), audio()) + film(10, 0) + film(10, 1000))
    got = [row for row in rows(events) if row[0] == 1]
    assert not any(isinstance(e, Discontinuity) for e in events)
    assert all(b[1] > a[1] for a, b in pairwise(got))
    assert all(row[2] - row[1] < 200 for row in got)


# Damage.


def test_the_next_cluster_follows_garbage() -> None:
    start, one, two = head(video(), audio()), film(5), film(5, 5)
    # The last one ends in half a block, which takes the beginning of the next cluster with it.
    for garbage in (
        b"\0" * 50,
        b"\xff" * 999,
        b"\x1f\x43\xb6",
        b"\x1f\x43\xb6\x75\xff\x07" * 3,
        one[40:60] + two,
        bytes(range(256)),
    ):
        for cuts in (None, range(0, 2000, 3)):
            demuxer = MatroskaDemuxer()
            events = demuxed(
                demuxer, start + one + garbage + two, [c for c in cuts or () if c < len(start + one + two)]
            )
            got = rows(events)
            assert got[:15] == rows(read(start + one)), garbage
            assert [row[4] for row in got[15:]][-15:] == [row[4] for row in rows(read(start + two))], garbage
            (lost,) = [e for e in events if isinstance(e, Discontinuity)]
            assert not lost.clock
            assert events.index(lost) >= 16
            video_dts = [row[1] for row in got if row[0] == 1]
            assert video_dts == sorted(video_dts)


def test_lost_bytes_cost_their_clusters() -> None:
    start, one, two, three = head(video(), audio()), film(5), film(5, 5), film(5, 15)
    for at in range(len(two)):
        # At the worst a block takes the beginning of the next cluster with it.
        data = start + one + two[:at] + two[at + 40 :] + film(5, 10) + three
        got = [row[4] for row in rows(read(data))]
        assert got[-15:] == [row[4] for row in rows(read(start + three))], at


def test_damage_with_ends_known() -> None:
    clusters = [closed(n * 40, block(2, 0, b"s%d" % n), block(2, 20, b"t%d" % n)) for n in range(5)]
    data = bytearray(segment(info(), tracks(audio()), *clusters))
    at = data.index(b"s2") - 6
    data[at : at + 2] = b"\xff\xff"
    events = read(bytes(data))
    assert [row[4] for row in rows(events)] == [b"s0", b"t0", b"s1", b"t1", b"s3", b"t3", b"s4", b"t4"]
    assert sum(isinstance(e, Discontinuity) for e in events) == 1


def test_what_lies_behind_a_segment_is_no_loss() -> None:
    events = read(segment(info(), tracks(audio()), closed(0, block(2, 0, b"a"))) + bytes(100))
    assert [row[4] for row in rows(events)] == [b"a"]
    assert not any(isinstance(e, Discontinuity) for e in events)


def test_chained_streams() -> None:
    other = head(audio(private=b"\x12\x10")) + cluster(400, block(2, 0, b"x"))
    events = read(stream() + other)
    lists = [e.tracks for e in events if isinstance(e, Tracks)]
    assert [[t.codec for t in found] for found in lists] == [["h264", "aac"], ["aac"]]
    assert rows(events)[30:] == [(1, 400, 400, True, b"x")]
    assert not any(isinstance(e, Discontinuity) for e in events), "time goes on"


def test_a_stream_that_is_repeated_sets_the_clock_anew_and_keeps_its_tracks() -> None:
    events = read(stream(20) + stream(20))
    assert sum(isinstance(e, Tracks) for e in events) == 1
    assert [e.clock for e in events if isinstance(e, Discontinuity)] == [True]
    assert len({id(e.track) for e in events if isinstance(e, Frame)}) == 2
    got = rows(events)
    assert got[:60] == got[60:]


def test_a_list_of_tracks_may_be_repeated() -> None:
    told = tracks(video(), audio())
    events = read(stream() + told + film(5, 10) + told + film(5, 15))
    assert sum(isinstance(e, Tracks) for e in events) == 1
    assert len(rows(events)) == 60


# Payloads.


def nal_stream(payloads: list[bytes], private: bytes = vectors.AVCC_HIGH) -> list[Event]:
    blocks = [block(1, n * 40, p, key=n == 0) for n, p in enumerate(payloads)]
    return read(head(video(private=private)) + cluster(0, *blocks))


def test_lengths_of_other_sizes_become_four() -> None:
    config = bytearray(vectors.AVCC_HIGH)
    config[4] = config[4] & 0xFC | 1
    short = [(picture(n)[2:]) for n in range(3)]
    events = nal_stream(short, bytes(config))
    assert [row[4] for row in rows(events)] == [picture(n) for n in range(3)]
    assert isinstance(events[0], Tracks) and events[0].tracks[0].config == vectors.AVCC_HIGH


def test_start_codes_of_careless_writers() -> None:
    units = [picture(n)[4:] for n in range(3)]
    events = nal_stream([START_CODE + unit for unit in units])
    assert [row[4] for row in rows(events)] == [picture(n) for n in range(3)]
    assert [row[3] for row in rows(events)] == [True, False, False]


def test_parameter_sets_in_band_where_the_header_has_none() -> None:
    parsed = h264.parse_avcc(vectors.AVCC_HIGH)
    first = START_CODE.join((b"", *parsed.sps, *parsed.pps, picture(0)[4:]))
    events = nal_stream([picture(1), first, START_CODE + picture(2)[4:]], b"")
    assert isinstance(events[0], Tracks)
    assert h264.parse_avcc(events[0].tracks[0].config).sps == parsed.sps
    assert [row[4] for row in rows(events)] == [picture(1), picture(0), picture(2)]
    assert all(e.track is events[0].tracks[0] for e in events if isinstance(e, Frame))


def test_a_changed_configuration_is_a_new_list_of_tracks() -> None:
    other = h264.parse_avcc(vectors.AVCC_INTERLACED)
    lead = b"".join(len(u).to_bytes(4, "big") + u for u in (b"\x09\xf0", *other.sps, *other.pps))
    events = nal_stream([picture(0), picture(1), lead + picture(5), picture(6)])
    assert [type(e).__name__ for e in events] == ["Tracks", "Frame", "Frame", "Tracks", "Frame", "Frame"]
    lists = [e.tracks[0] for e in events if isinstance(e, Tracks)]
    assert h264.parse_avcc(lists[1].config).sps == other.sps
    assert lists[0].id == lists[1].id
    assert [row[4] for row in rows(events)] == [picture(n) for n in (0, 1, 5, 6)]


def test_broken_units_are_left_out() -> None:
    demuxer = MatroskaDemuxer()
    blocks = [block(1, n * 40, p) for n, p in enumerate((picture(0), b"\0\0\0\x99A", b"", b"\0\0\0\3AB", picture(1)))]
    assert [row[4] for row in rows(demuxed(demuxer, head(video()) + cluster(0, *blocks)))] == [picture(0), picture(1)]
    assert demuxer.damaged == 2


def test_header_stripping() -> None:
    def encoding(*fields: bytes) -> bytes:
        return element(0x6D80, element(0x6240, b"".join(fields)))

    strip = element(0x5034, number(0x4254, 3) + element(0x4255, b"so"))
    assert [row[4] for row in rows(read(sound(block(2, 0, b"und"), more=encoding(strip))))] == [b"sound"]
    both = encoding(number(0x5032, 3), element(0x5034, number(0x4254, 3) + element(0x4255, b"\x11")))
    data = head(audio(both, private=b"\x90")) + cluster(0, block(2, 0, b"x"))
    assert only_track(data).config == b"\x11\x90"
    assert rows(read(data))[0][4] == b"\x11x"
    for algorithm, name in ((0, "zlib"), (1, "bzlib"), (2, "lzo1x"), (9, "method 9")):
        with pytest.raises(Foreign, match=f"track 1 is compressed .{name}"):
            read(sound(more=encoding(element(0x5034, number(0x4254, algorithm)))))
    with pytest.raises(ParseError, match="track 1 is encrypted") as caught:
        read(sound(more=encoding(number(0x5033, 1), element(0x5035, number(0x47E1, 5)))))
    assert not isinstance(caught.value, Foreign)
    with pytest.raises(Foreign, match="several"):
        read(sound(more=element(0x6D80, element(0x6240, strip) * 2)))


# Tracks.


def test_names_and_languages() -> None:
    def told(*more: bytes) -> tuple[str, str]:
        track = only_track(sound(block(2, 0, b"x"), more=b"".join(more)))
        return track.language, track.label

    assert told() == ("eng", "")
    assert told(element(0x22B59C, b"ger\0"), element(0x536E, "Käse".encode())) == ("ger", "Käse")
    assert told(element(0x22B59C, b"und")) == ("", "")
    assert told(element(0x22B59D, b"de-AT")) == ("deu", "")
    assert told(element(0x22B59C, b"und"), element(0x22B59D, b"fr")) == ("fra", "")


def test_old_names_of_aac() -> None:
    rate = element(0xE1, element(0xB5, struct.pack(">f", 24000)) + number(0x9F, 2))
    for name, kind, output in (
        ("A_AAC/MPEG4/LC", 2, 24000),
        ("A_AAC/MPEG2/MAIN", 1, 24000),
        ("A_AAC/MPEG4/LC/SBR", 2, 48000),
    ):
        track = only_track(head(entry(1, AUDIO, name, b"", rate)) + cluster(0, block(1, 0, b"x")))
        config = parse_asc(track.config)
        assert (track.codec, config.object_type, track.sample_rate, track.channels) == ("aac", kind, output, 2)


def test_aac_without_configuration() -> None:
    rate = element(0xE1, element(0xB5, struct.pack(">d", 48000)) + number(0x9F, 2))
    start = head(entry(1, AUDIO, "A_AAC", b"", rate))
    adts = b"\xff\xf1\x4c\x80\x01\x9f\xfcsound"
    for payload in (adts, b"sound"):
        events = read(start + cluster(0, block(1, 0, payload), block(1, 21, payload)))
        assert isinstance(events[0], Tracks)
        assert events[0].tracks[0].config[:2] == b"\x11\x90"
        assert [row[4] for row in rows(events)] == [b"sound"] * 2


@pytest.mark.parametrize(
    ("name", "bits", "private", "codec"),
    [("A_PCM/INT/LIT", 16, b"", "pcm_s16le"), ("A_PCM/INT/BIG", 24, b"", "pcm_s24be"),
     ("A_PCM/FLOAT/IEEE", 32, b"", "pcm_f32le"),
     ("A_MS/ACM", 8, struct.pack("<HHIIHHH", 6, 1, 8000, 8000, 1, 8, 0), "pcma"),
     ("A_MS/ACM", 8, struct.pack("<HHIIHHH", 7, 1, 8000, 8000, 1, 8, 0), "pcmu"), ("A_MPEG/L3", 0, b"", "mp3")],
)  # fmt: skip
def test_sound_by_its_name(name: str, bits: int, private: bytes, codec: str) -> None:
    settings_ = element(0xE1, element(0xB5, struct.pack(">d", 8000)) + number(0x9F, 1) + number(0x6264, bits))
    track = only_track(head(entry(1, AUDIO, name, private, settings_)) + cluster(0, block(1, 0, b"\xff\xfb\x90\xc0")))
    assert (track.codec, track.sample_rate, track.config) == (codec, 8000, b"")


@pytest.mark.parametrize(
    ("entry_", "why"),
    [(entry(1, 1, "V_THEORA"), "V_THEORA"), (entry(1, 1, "V_MS/VFW/FOURCC", bytes(40)), "V_MS/VFW/FOURCC"),
     (entry(1, 2, "A_MS/ACM", b"\x01\x00"), "A_MS/ACM"), (entry(1, 2, "A_PCM/INT/LIT"), "A_PCM"),
     (audio(element(0x23314F, struct.pack(">f", 2.0))), "TrackTimestampScale"), (entry(1, 1, ""), "an unknown codec")],
)  # fmt: skip
def test_what_only_libav_reads(entry_: bytes, why: str) -> None:
    demuxer = MatroskaDemuxer()
    with pytest.raises(Foreign, match=why):
        demuxer.feed(head(entry_))
    assert not demuxer.sure


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"RIFFxxxx", "not Matroska"), (ebml("mkv"), "type 'mkv'"), (ebml("webm", number(0x42F7, 2)), "later version"),
     (ebml("webm", number(0x42F2, 5)), "later version"), (ebml("webm", number(0x42F3, 9)), "more than eight octets"),
     (b"\x1a\x45\xdf\xa3\x10\x01\x00\x01", "1A45DFA3 of 65537 bytes"), (ebml() + b"\0\0\0\0", "longer than four"),
     (head(), "no video or audio"), (head(audio(), audio()), "two tracks have the number 2"),
     (head(audio(index=0)), "has no number"),
     (ebml() + b"\x18\x53\x80\x67" + UNKNOWN + cluster(0), "before the tracks"),
     (head(audio(private=bytes(1 << 20) + b"x")), "CodecPrivate of 1048577"), (head(audio(), scale=0), "ticks of 0 ns"),
     (head(video(private=b"\x01\x02")) + cluster(0), "avcC")],
)  # fmt: skip
def test_what_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ParseError, match=why) as caught:
        read(data)
    assert not isinstance(caught.value, Foreign)


def test_an_error_comes_after_the_frames_before_it() -> None:
    demuxer = MatroskaDemuxer()
    data = stream() + ebml("strange")
    assert len(rows(demuxer.feed(data))) == 30
    for call in (lambda: demuxer.feed(b"x"), demuxer.flush):
        with pytest.raises(ParseError, match="strange"):
            call()


def test_an_end_in_the_header() -> None:
    demuxer = MatroskaDemuxer()
    demuxer.feed(head(audio())[:-3])
    with pytest.raises(ParseError, match="ended before its tracks"):
        demuxer.flush()


def test_silent_tracks_do_not_hold_up_the_others() -> None:
    vp9 = entry(1, 1, "V_VP9")
    demuxer = MatroskaDemuxer()
    events = demuxer.feed(head(vp9, audio()) + cluster(0, *[block(2, n * 20, b"s") for n in range(50)]))
    assert events == []
    events = demuxer.feed(b"".join(block(2, n * 20, b"s") for n in range(50, 60)))
    assert len(rows(events)) == 60
    assert len(demuxed(MatroskaDemuxer(stored=True), head(vp9, audio()) + cluster(0, block(2, 0, b"s")))) == 2


def test_pictures_that_were_turned() -> None:
    turned = element(0xE0, element(0x7670, element(0x7675, struct.pack(">f", 90.0))))
    assert only_track(head(video(turned)) + cluster(0, block(1, 0, picture(0)))).rotation == 270


def test_our_own_live_stream_comes_back() -> None:
    from tests.unit.containers.mp4.streams import AAC, H264

    muxer = MatroskaMuxer()
    frames = []
    for n in range(50):
        pts = ORDER[n % 16] + n // 16 * 16
        frames.append(Frame(H264, n * 3600, pts * 3600 + 3600, picture(n), 3600, n % 16 == 0))
        frames.append(Frame(AAC, n * 1920, n * 1920, b"sound%d" % n, 1920, True))
    data = muxer.start([H264, AAC]) + b"".join(muxer.write(frame) for frame in frames)
    events = read(data)
    assert isinstance(events[0], Tracks)
    assert [t.config for t in events[0].tracks] == [H264.config, AAC.config]
    got = [e for e in events if isinstance(e, Frame)]
    assert [(g.payload, g.key) for g in got] == [(f.payload, f.key) for f in frames]
    assert max(abs(g.pts_s - f.pts_s) for g, f in zip(got, frames, strict=True)) < 0.0001
    # A reader that joins at a key frame has the header and the clusters from there on.
    mark = b"\x1f\x43\xb6\x75"
    late = rows(read(muxer.start([H264, AAC]) + data[data.index(mark, data.index(mark) + 1) :]))
    assert [row[4] for row in late] == [f.payload for f in frames][-len(late) :]
    assert len(late) > 20


def test_block_bodies_too_short_are_left_out() -> None:
    demuxer = MatroskaDemuxer()
    data = head(audio()) + cluster(0, small(0xA3, b"\x82\0"), small(0xA3, b""), small(0xA0, b""),
                                   small(0xA3, block_body(2, 0, b"")), block(2, 0, b"a"))  # fmt: skip
    assert [row[4] for row in rows(demuxed(demuxer, data))] == [b"a"]


def test_kinds() -> None:
    events = read(stream())
    assert isinstance(events[0], Tracks)
    assert [t.kind for t in events[0].tracks] == [Kind.VIDEO, Kind.AUDIO]
