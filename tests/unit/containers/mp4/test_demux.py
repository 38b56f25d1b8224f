"""MP4 from the front: fragmented and ordinary, in any pieces, live and broken."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from evotools.codecs import h264
from evotools.codecs.nal import join_lengths
from evotools.containers.base import Foreign, NeedsSeeking
from evotools.containers.mp4 import demux as demux_module
from evotools.containers.mp4.boxes import box, full_box
from evotools.containers.mp4.demux import SLACK_S, Mp4Demuxer
from evotools.containers.mp4.entries import sample_entry
from evotools.containers.mp4.protection import Protection
from evotools.errors import MediaError, ParseError
from evotools.media.frame import Discontinuity, Event, Frame, Metadata, Tracks
from evotools.media.track import Track
from tests.unit.codecs import vectors
from tests.unit.containers.feeding import demuxed
from tests.unit.containers.flv import make
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
from tests.unit.containers.mp4.streams import H264, picture
from tests.unit.containers.mp4.test_entries import TRACKS


def read(data: bytes, cuts: Sequence[int] | None = None, **options: float) -> list[Event]:
    return demuxed(Mp4Demuxer(**options), data, cuts)  # type: ignore[arg-type]


def fragmented(medias: Sequence[Media], *, per_fragment_s: float = 0.5, apart: bool = False) -> bytes:
    """All samples in fragments of that length: of all tracks together, or one track each."""
    data = init(medias)
    end_s = max(sum(s.duration for s in media.samples) / media.track.timescale for media in medias)
    places, clocks = [0] * len(medias), [0] * len(medias)
    number, until = 0, 0.0
    while until < end_s:
        until += per_fragment_s
        stretches = []
        for index, media in enumerate(medias):
            begin, time, chosen = places[index], clocks[index], []
            while places[index] < len(media.samples) and clocks[index] < until * media.track.timescale:
                chosen.append(media.samples[places[index]])
                clocks[index] += chosen[-1].duration
                places[index] += 1
            if chosen:
                assert begin + len(chosen) == places[index]
                stretches.append((media.track.id, time, chosen))
        for part in [[one] for one in stretches] if apart else [stretches]:
            number += 1
            data += fragment(part, number)
    return data


# What comes out.


@pytest.mark.parametrize("apart", [False, True])
def test_fragments(apart: bool) -> None:
    medias = film(2)
    events = read(fragmented(medias, apart=apart))
    assert isinstance(events[0], Tracks) and len(tracks(events)) == 1
    assert [track.codec for track in tracks(events)[0]] == ["h264", "aac"]
    for media in medias:
        assert of(events, media.track.id) == expected(media)
    assert all(b >= a - SLACK_S * apart for a, b in pairwise(times(events)))


@pytest.mark.parametrize("order", ["mixed", "apart"])
@pytest.mark.parametrize("per_chunk", [1, 7, 1000])
def test_ordinary_files_with_their_header_first(order: str, per_chunk: int) -> None:
    medias = film(2)
    events = read(movie(medias, order=order, per_chunk=per_chunk))
    for media in medias:
        assert of(events, media.track.id) == expected(media)
    assert times(events) == sorted(times(events))


def test_fragments_behind_the_samples_of_the_header() -> None:
    """What ffmpeg writes with frag_keyframe and without empty_moov: the first fragment is the movie's own."""
    medias = film(1)
    both = [Media(m.track, m.samples * 2) for m in medias]
    mvex = box(b"mvex", build.trex(1), build.trex(2))
    data = movie(medias, more=mvex)
    data += fragment([(1, 90_000, medias[0].samples), (2, 46 * 1024, medias[1].samples)])
    events = read(data)
    for media in both:
        assert of(events, media.track.id) == expected(media)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("kind", ["fragmented", "ordinary"])
def test_pieces_of_any_size_give_the_same_events(kind: str, apart: bool) -> None:
    chance = random.Random(1)
    if kind == "fragmented":
        data = fragmented(film(1), apart=apart, per_fragment_s=0.3)
    else:
        data = movie(film(1), order="apart" if apart else "mixed")
    whole = read(data)
    assert rows(read(data, range(1, len(data)))) == rows(whole)
    for _ in range(60):
        cuts = [chance.randrange(len(data)) for _ in range(chance.choice((1, 2, 5, 40, 400)))]
        events = read(data, cuts)
        assert rows(events) == rows(whole)
        assert [type(event) for event in events] == [type(event) for event in whole]


def test_memory_views_and_byte_arrays() -> None:
    data = fragmented(film(1))
    demuxer = Mp4Demuxer()
    events = demuxer.feed(bytearray(data[:5000])) + demuxer.feed(memoryview(data)[5000:]) + demuxer.flush()
    assert rows(events) == rows(read(data))
    assert all(type(event.payload) is bytes for event in events if isinstance(event, Frame))


def test_frames_come_as_soon_as_their_bytes_are_there() -> None:
    """Not at the end of the fragment."""
    media = Media(H264, build.video_samples(10, size=1000))
    head, body = init([media]), fragment([(1, 0, media.samples)])
    demuxer = Mp4Demuxer()
    demuxer.feed(head)
    start = len(body) - 10_000
    assert demuxer.feed(body[: start + 999]) == []
    events = demuxer.feed(body[start + 999 : start + 3500])
    assert len(of(events, 1)) == 3


def test_other_boxes_are_passed_over() -> None:
    head, body = init(film(1)), fragmented(film(1))[len(init(film(1))) :]
    other = box(b"styp", b"msdh" + bytes(4)) + box(b"sidx", bytes(40)) + box(b"free", bytes(3000)) + box(b"\xa9xyz")
    other += (1).to_bytes(4, "big") + b"skip" + (50).to_bytes(8, "big") + bytes(34) + box(b"uuid", bytes(16), b"x")
    data = other + head + other + body + other + box(b"mfra", bytes(100))
    whole = rows(read(head + body))
    assert rows(read(data)) == whole
    assert rows(read(data, range(0, len(data), 5))) == whole


def test_media_data_of_unknown_length() -> None:
    media = film(1)[0]
    data = bytearray(movie([media]))
    at = data.rindex(b"mdat")
    data[at - 4 : at] = bytes(4)
    assert of(read(bytes(data), [900, 1000]), 1) == expected(media)


# Times.


def test_edits_of_fragmented_files() -> None:
    media = film(1)[0]
    edited = Media(H264, media.samples, [(500, -1), (0, 7200)])
    shift = 7200 - 45_000
    found = of(read(fragmented([edited])), 1)
    assert [(row[1] + shift, row[2] + shift) for row in found] == [row[1:3] for row in expected(media)]


def test_pictures_that_are_shown_before_their_decode_time() -> None:
    """Decode times move forward so that none is; the times of showing stay."""
    samples = [Sample(picture(n), 3600, (0, 3600, -7200)[n % 3], n == 0) for n in range(9)]
    media = Media(H264, samples)
    found = of(read(fragmented([media])), 1)
    assert found == expected(media)
    assert all(row[1] <= row[2] for row in found)


def test_a_jump_of_the_decode_time_is_passed_on() -> None:
    parts = [build.video_samples(3, first=n) for n in (0, 3, 6)]
    data = init([Media(H264, [])])
    for time, samples in zip((0, 90_000 * 3600, 10_800), parts, strict=True):
        data += fragment([(1, time, samples)])
    found = of(read(data), 1)
    assert [row[1] for row in found] == [0, 3600, 7200, 324_000_000, 324_003_600, 324_007_200, 10_800, 14_400, 18_000]


def test_a_jump_of_all_tracks() -> None:
    video, audio = film(1)
    data = init(film(1))
    for time in (0, 1000, 5):
        data += fragment([(1, time * 90_000, video.samples)]) + fragment([(2, time * 48_000, audio.samples)])
    events = read(data)
    for begin in (0, 1000, 5):
        # Each stretch in its own order, none in among the others.
        stretch = [index for index, time in enumerate(times(events)) if begin <= time < begin + 1]
        assert stretch == list(range(stretch[0], stretch[0] + 71))
        assert all(b >= a - SLACK_S for a, b in pairwise(times(events)[stretch[0] : stretch[-1] + 1]))
    assert [len(of(events, n)) for n in (1, 2)] == [75, 138]
    for number in (1, 2):
        assert [row[5] for row in of(events, number)] == [s.data for s in (video, audio)[number - 1].samples] * 3


def test_wall_clock_times() -> None:
    media = Media(H264, build.video_samples(3), [(0, 3600)])
    ntp = 1_700_000_000 + 2_208_988_800
    prft = full_box(b"prft", 0, 0, build.u32(1, ntp, 1 << 31, 93_600))
    other = full_box(b"prft", 0, 0, build.u32(9, ntp, 0, 0))
    body = fragment([(1, 90_000, media.samples)])
    plain = [event for event in read(init([media]) + body) if isinstance(event, Frame)]
    assert plain[0].wallclock_s is None
    frames = [event for event in read(init([media]) + prft + other + body) if isinstance(event, Frame)]
    assert [frame.wallclock_s for frame in frames] == pytest.approx([1_700_000_000.46 + n * 0.04 for n in range(3)])


@pytest.mark.parametrize("media_time", [0, (1 << 64) - 1])
def test_a_producer_of_another_age_is_not_believed(media_time: int) -> None:
    """What comes of it is no date."""
    media = Media(H264, build.video_samples(3))
    prft = full_box(b"prft", 1, 0, build.u32(1, 0, 0), media_time.to_bytes(8, "big"))
    frames = read(init([media]) + prft + fragment([(1, 0, media.samples)]))
    assert [frame.wallclock_s for frame in frames if isinstance(frame, Frame)] == [None] * 3


def test_events_stand_before_the_frames_of_their_segment() -> None:
    media = Media(H264, build.video_samples(3))
    later = box(b"emsg", bytes(4), b"urn:x\0\0", build.u32(1000, 500, 1, 8), b"later")
    fixed = box(b"emsg", b"\1\0\0\0", build.u32(1000, 0, 7000, 1, 8), b"urn:x\0\0fixed")
    data = init([media]) + later + fragment([(1, 90_000, media.samples)]) + fixed
    data += fragment([(1, 180_000, media.samples)])
    events = read(data)
    kinds = [type(event) for event in events]
    assert kinds == [Tracks, Metadata, Frame, Frame, Frame, Metadata, Frame, Frame, Frame]
    told = [(event.value, event.time_s) for event in events if isinstance(event, Metadata)]
    assert told == [(b"later", 1.5), (b"fixed", 7.0)]


# Order and waiting.


def test_a_track_that_falls_silent_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demux_module, "MAX_WAIT_S", 2.0)
    video, audio = film(1)
    demuxer = Mp4Demuxer()
    got = demuxer.feed(init(film(1)) + fragment([(1, 0, video.samples)]) + fragment([(2, 0, audio.samples)]))
    counts = []
    for second in range(1, 8):
        events = demuxer.feed(fragment([(1, 90_000 * second, video.samples)]))
        counts.append(len(rows(events)))
        got += events
    # A while to be sure, then everything at once, then no waiting.
    assert counts[0] < 10 and max(counts) > 50 and counts[-1] == 25
    assert len(of(got, 1)) == 200
    # The silent one comes back and is waited for again.
    got += demuxer.feed(fragment([(2, 48_000 * 8, audio.samples)]) + fragment([(1, 90_000 * 8, video.samples)]))
    late = demuxer.feed(fragment([(1, 90_000 * 9, video.samples)]))
    assert len(rows(late)) < 10
    late += demuxer.feed(fragment([(2, 48_000 * 9, audio.samples)])) + demuxer.flush()
    assert all(b >= a - SLACK_S for a, b in pairwise(times(late)))
    assert len(of(got + late, 1)) == 250 and len(of(got + late, 2)) == 138


def test_tracks_far_apart_in_a_file_are_put_in_order_while_memory_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    medias = [Media(H264, build.video_samples(50, size=1000)), film(2)[1]]
    data = movie(medias, order="apart")
    events = read(data, range(0, len(data), 500))
    assert times(events) == sorted(times(events))
    monkeypatch.setattr(demux_module, "MAX_WAIT_BYTES", 10_000)
    events = read(data, range(0, len(data), 500))
    assert times(events) != sorted(times(events))
    for media in medias:
        assert of(events, media.track.id) == expected(media)


# New movies.


def test_a_new_movie_is_a_new_epoch() -> None:
    first = fragmented(film(1))
    other = film(1)
    other[0].track = H264.with_(config=make.AVCC_SMALL)
    events = read(first + fragmented(other))
    assert len(tracks(events)) == 2
    assert tracks(events)[1][0].config == other[0].track.config
    for found, event in zip(events[1:], events, strict=False):
        if isinstance(event, Tracks) and isinstance(found, Frame):
            assert found.track in event.tracks
    assert len(rows(events)) == 2 * 71


def test_the_same_movie_again_is_none() -> None:
    """Servers send it before every segment."""
    one = fragmented(film(1))
    events = read(one + one)
    assert len(tracks(events)) == 1 and len(rows(events)) == 142
    known = {track.id: track for track in tracks(events)[0]}
    assert all(event.track is known[event.track.id] for event in events if isinstance(event, Frame))


def test_ordinary_files_one_behind_the_other() -> None:
    """Places count from the beginning of each file."""
    one = movie(film(1))
    assert rows(read(one + one)) == rows(read(one)) * 2


# Codecs.


def test_parameter_sets_in_the_samples() -> None:
    """avc3 without sets in the header, a new size in the middle."""
    sizes = [h264.parse_avcc(config) for config in (make.AVCC, make.AVCC_SMALL)]
    entry = sample_entry(H264).replace(b"avc1", b"avc3")
    bare = vectors.AVCC_HIGH[:5] + b"\xe0\0"
    at = entry.index(b"avcC") - 4
    size = int.from_bytes(entry[at : at + 4], "big")
    entry = entry[:at] + box(b"avcC", bare) + entry[at + size :]
    entry = len(entry).to_bytes(4, "big") + entry[4:]
    samples = []
    for n in range(8):
        sets = sizes[n // 4]
        units = [b"\x09\xf0", *sets.sps, *sets.pps] if n % 4 == 0 else [b"\x09\x30"]
        samples.append(
            Sample(join_lengths([*units, (b"\x65\x88\x84\x00", b"\x41\x9a\x24\x6c")[n % 4 > 0]]), 3600, 0, n % 4 == 0)
        )
    media = Media(H264, samples, entries=[entry])
    for events in (read(fragmented([media])), read(movie([media]))):
        assert [type(event) for event in events] == [Tracks, *[Frame] * 4, Tracks, *[Frame] * 4]
        assert [one[0].config for one in tracks(events)] == [make.AVCC, make.AVCC_SMALL]
        assert [one[0].width for one in tracks(events)] == [320, 160]
        assert [row[5] for row in rows(events)] == [make.IDR, make.SLICE, make.SLICE, make.SLICE] * 2


def test_lengths_of_two_bytes() -> None:
    entry = sample_entry(H264)
    at = entry.index(b"avcC") + 8
    entry = entry[:at] + bytes((entry[at] & 0xFC | 1,)) + entry[at + 1 :]
    samples = [Sample(b"\0\4\x65\x88\x84\0", 40), Sample(b"\0\4\x41\x9a\x24\x6c\0\2\x41\x9a", 40, 0, False)]
    events = read(movie([Media(H264, samples, entries=[entry])]))
    assert tracks(events)[0][0].config == H264.config
    assert [row[5] for row in rows(events)] == [make.IDR, make.SLICE + b"\0\0\0\2\x41\x9a"]


def test_delimiters_go() -> None:
    samples = [Sample(b"\0\0\0\2\x09\xf0" + make.IDR, 40), Sample(b"\0\0\0\2\x09\x30" + make.SLICE, 40, 0, False),
               Sample(b"\0\0\0\2\x09\x30", 40, 0, False)]  # fmt: skip
    assert [row[5] for row in rows(read(movie([Media(H264, samples)])))] == [make.IDR, make.SLICE]


def test_parameter_sets_behind_other_units_of_a_key_frame() -> None:
    sets = h264.parse_avcc(make.AVCC)
    sei, idr = b"\x06\x05\x01\x00\x80", make.IDR[4:]
    samples = [Sample(join_lengths([sei, *sets.sps, *sets.pps, idr]), 40)]
    events = read(movie([Media(H264, samples)]))
    assert [row[5] for row in rows(events)] == [join_lengths([sei, idr])]
    assert tracks(events)[0][0].config == make.AVCC


def test_key_frames_that_the_table_does_not_know() -> None:
    """An empty stss: the pictures tell."""
    samples = [Sample(make.IDR if n % 3 == 0 else make.SLICE, 40, 0, False) for n in range(7)]
    found = rows(read(movie([Media(H264, samples)])))
    assert [row[4] for row in found] == [n % 3 == 0 for n in range(7)]


def test_another_sample_entry() -> None:
    small = H264.with_(config=make.AVCC_SMALL)
    samples = [s._replace(entry=1 + (2 <= n < 5)) for n, s in enumerate(build.video_samples(8))]
    media = Media(H264, samples, entries=[sample_entry(H264), sample_entry(small)])
    events = read(movie([media], per_chunk=2))
    assert [type(event) for event in events] == [Tracks, *[Frame] * 2, Tracks, *[Frame] * 3, Tracks, *[Frame] * 3]
    assert [one[0].config for one in tracks(events)] == [H264.config, make.AVCC_SMALL, H264.config]


def read_one(name: str, payload: bytes, **changes: object) -> tuple[Track, bytes]:
    track = TRACKS[name].with_(id=1, **changes)
    events = read(movie([Media(track, [Sample(payload, 40)])]))
    return tracks(events)[0][0], rows(events)[0][5]


def test_av1() -> None:
    track, payload = read_one("av01", b"\x12\x00" + make.AV1_FRAME)
    assert (track.codec, payload, track.config) == ("av1", make.AV1_FRAME, vectors.AV1C_SVT)
    # An OBU without a size, and a new sequence header in a key frame.
    assert read_one("av01", make.AV1_FRAME + b"\x30\x10\x00\x80")[1] == make.AV1_FRAME * 2
    track, payload = read_one("av01", make.AV1_SEQUENCE + make.AV1_FRAME)
    assert track.config == make.AV1C and payload == make.AV1_SEQUENCE + make.AV1_FRAME


def test_vp9() -> None:
    track, _ = read_one("vp09", make.VP9_KEY)
    assert track.config == TRACKS["vp09"].config
    other = TRACKS["vp09"].with_(id=1)
    small = bytearray(make.VP9_KEY)
    small[6] ^= 1
    events = read(movie([Media(other, [Sample(make.VP9_KEY, 40), Sample(bytes(small), 40)])]))
    assert [type(event) for event in events] == [Tracks, Frame, Tracks, Frame]
    assert tracks(events)[1][0].height != 180


def test_a_frame_rate_that_shows_late_changes_nothing() -> None:
    media = Media(TRACKS["vp08"].with_(id=1), [])
    parts = [[Sample(b"\x50\1\0", step) for step in steps] for steps in ((3600, 9000, 36_000), (3600, 3600, 3600))]
    data = init([media]) + b"".join(fragment([(1, 90_000 * n, part)]) for n, part in enumerate(parts))
    events = read(data)
    assert [one[0].fps for one in tracks(events)] == [None]
    assert {event.track for event in events if isinstance(event, Frame)} == {tracks(events)[0][0]}
    even = init([media]) + fragment([(1, 0, [Sample(b"\x50\1\0", 3600)] * 3)])
    assert [one[0].fps for one in tracks(read(even))] == [25]


def test_mpeg_audio_tells_its_layer() -> None:
    assert read_one("mp3", make.MP3_FRAME)[0].codec == "mp3"
    assert read_one("mp3", b"\xff\xfd\x84\xc0" + bytes(380))[0].codec == "mp2"


def test_broken_samples_are_left_out() -> None:
    samples = [
        Sample(make.IDR, 40),
        Sample(b"\0\0\0\x99\x67\x88", 40),
        Sample(b"", 40),
        Sample(make.SLICE, 40, 0, False),
    ]
    found = rows(read(movie([Media(H264, samples)])))
    assert [(row[1], row[5]) for row in found] == [(0, make.IDR), (120, make.SLICE)]


# What cannot be read.


def test_late_viewers_are_told() -> None:
    data = fragmented(film(1))
    with pytest.raises(ParseError, match=r"without a header \(moov\)"):
        read(data[len(init(film(1))) :])


def test_media_before_its_header() -> None:
    with pytest.raises(NeedsSeeking, match="before its header"):
        read(movie(film(1), last=True))
    with pytest.raises(NeedsSeeking, match="order"):
        read(movie(film(1), order="back"))


def test_empty_media_data_before_the_header_is_nothing() -> None:
    head = init(film(1))
    body = fragmented(film(1))[len(head) :]
    assert len(rows(read(box(b"mdat") + head + body))) == 71


def test_foreign_codecs_and_encryption() -> None:
    entry = sample_entry(H264)
    prores = Media(H264, build.video_samples(2), entries=[entry[:4] + b"apcn" + entry[8:]])
    with pytest.raises(Foreign, match="apcn"):
        read(movie([prores]))
    secret = Media(
        H264, build.video_samples(2), entries=[sample_entry(H264, protection=Protection(b"cbcs", bytes(16)))]
    )
    with pytest.raises(MediaError, match=r"encrypted \(cbcs\)"):
        read(movie([secret]))


def test_protected_samples_as_they_are() -> None:
    secret = Protection(b"cenc", bytes(16), 8)
    samples = [Sample(b"\0\0\0\x30garbage" + bytes(9), 40) for _ in range(3)]
    senc = full_box(b"senc", 0, 0, build.u32(3), *(bytes((n,)) * 8 for n in range(3)))
    media = Media(H264, samples, entries=[sample_entry(H264, protection=secret)], tables=senc)
    events = demuxed(Mp4Demuxer(encrypted=True), movie([media]))
    frames = [event for event in events if isinstance(event, Frame)]
    assert [frame.payload for frame in frames] == [sample.data for sample in samples]
    assert [frame.side for frame in frames] == [{"cenc": (bytes((n,)) * 8, ())} for n in range(3)]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "ended before its header"), (build.FTYP, "ended before its header"),
        (b"\0\0\0\x20ft\x01\x02" + bytes(24), "none"),
        (b"\x7f\xff\xff\xffmoov", "box 'moov' of 2147483647 bytes, more than"), (bytes(3) + b"\x08moov", "no end"),
        (b"\0\0\0\0moov" + bytes(20), "no end"), (b"\0\0\0\4free", "shorter than its header"),
        (bytes(3) + b"\1moov" + (1 << 62).to_bytes(8, "big"), "more than"), (b"\0\0\0\x10prft", "before its header"),
    ],
)  # fmt: skip
def test_what_is_no_mp4(data: bytes, what: str) -> None:
    with pytest.raises(ParseError, match=what):
        read(data)


def test_events_come_out_before_the_error() -> None:
    data = fragmented(film(1)) + b"\0\0\0\x20\1\2\3\4" + bytes(24)
    demuxer = Mp4Demuxer()
    events = demuxer.feed(data)
    assert len(rows(events)) == 71
    for again in (lambda: demuxer.feed(b"x"), demuxer.flush):
        with pytest.raises(ParseError, match="none"):
            again()


def test_a_broken_fragment_costs_itself() -> None:
    media = film(1)[0]
    good = [fragment([(1, n * 90_000, media.samples)]) for n in range(3)]
    at = good[1].index(b"trun") + 8
    bad = good[1][:at] + b"\xff\xff" + good[1][at + 2 :]
    events = read(init([media]) + good[0] + bad + good[2])
    assert [type(event) for event in events] == [Tracks, *[Frame] * 25, Discontinuity, *[Frame] * 25]


@pytest.mark.parametrize("shift", [-5000, 5000])
def test_samples_outside_of_media_data_are_left_out(shift: int) -> None:
    media = film(1)[0]
    samples = media.samples
    offset = (
        len(build.moof([(full_box(b"tfhd", 0, 0x020000, build.u32(1)), build.tfdt(0), build.trun(samples, 0))])) + 8
    )
    lost = build.moof(
        [(full_box(b"tfhd", 0, 0x020000, build.u32(1)), build.tfdt(0), build.trun(samples, offset + shift))]
    )
    lost += box(b"mdat", *(sample.data for sample in samples))
    demuxer = Mp4Demuxer()
    events = demuxed(demuxer, init([media]) + lost + fragment([(1, 90_000, samples)]))
    assert [row[1] for row in of(events, 1)] == [90_000 + n * 3600 for n in range(25)]
    assert demuxer.damaged == 25


def test_what_the_end_cuts_off_is_dropped() -> None:
    data = fragmented([film(1)[0]], per_fragment_s=9)
    found = of(read(data[:-20]), 1)
    assert 20 <= len(found) < 25
    assert found == expected(film(1)[0])[: len(found)]
