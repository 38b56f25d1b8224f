"""Streams of fragments: where they are cut, what time it is in them, and what happens when tracks change."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

import pytest

from evotools.codecs.nal import join_lengths
from evotools.codecs.paramsets import parameter_sets
from evotools.containers.mp4 import collect
from evotools.containers.mp4.fragment import Auxiliary, emsg
from evotools.containers.mp4.mux import CmafTrack, Fmp4Muxer
from evotools.containers.mp4.protection import Protection
from evotools.errors import MediaError
from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from tests.unit.codecs import vectors
from tests.unit.containers.mp4.streams import AAC, H264, interleaved, pictures, sounds
from tests.unit.containers.mp4.test_entries import AVCC_WIDE
from tests.unit.containers.mp4.walk import TrackOf, fragments, tree

FLV_VIDEO, FLV_AUDIO = H264.with_(timescale=1000), AAC.with_(timescale=1000)


def mux(frames: Iterable[Frame], tracks: Sequence[Track] = (H264, AAC), muxer: Fmp4Muxer | None = None) -> bytes:
    muxer = muxer or Fmp4Muxer()
    return b"".join((muxer.start(tracks), *(muxer.write(frame) for frame in frames), muxer.finish()))


def shown(track: TrackOf) -> list[Fraction]:
    return [Fraction(sample.pts, track.timescale) for sample in track.samples]


def kinds(data: bytes) -> str:
    return " ".join(node.kind for node in tree(data).inner)


def test_a_stream_with_reordering() -> None:
    video, audio = pictures(48), sounds(90)
    data = mux(interleaved(video, audio))
    assert kinds(data) == "ftyp moov" + " moof mdat" * 4
    tracks = fragments(data)
    assert [s.payload for s in tracks[1].samples] == [f.payload for f in video]
    assert [s.payload for s in tracks[2].samples] == [f.payload for f in audio]
    assert [s.key for s in tracks[1].samples] == [f.key for f in video]
    # To the tick: presentation as it was, decode times higher by what the edit list takes back.
    assert [s.pts for s in tracks[1].samples] == [f.pts for f in video]
    assert [s.dts + tracks[1].shift for s in tracks[1].samples] == [f.dts for f in video]
    assert tracks[1].edits == [(0, 3600)] and tracks[2].edits == []
    assert [s.pts for s in tracks[2].samples] == [f.pts for f in audio]
    numbers = [int.from_bytes(node.body[4:8], "big") for node in tree(data).all("moof", "mfhd")]
    assert numbers == [1, 2, 3, 4]


@pytest.mark.parametrize("start_s", [10, 1_790_000_000])
def test_a_stream_begins_at_zero_and_tracks_keep_their_distance(start_s: int) -> None:
    video = pictures(24, start=(start_s * 90_000) + 1800)
    audio = sounds(40, start_s=start_s)
    tracks = fragments(mux(interleaved(video, audio)))
    assert shown(tracks[2])[0] == 0
    assert [s.pts for s in tracks[1].samples] == [f.pts - start_s * 90_000 for f in video]
    assert tracks[1].samples[0].dts >= 0


def test_an_encoder_s_delay_stays_before_zero() -> None:
    audio = [f.shifted(AAC, f.dts - 1024, f.pts - 1024) for f in sounds(40)]
    tracks = fragments(mux(interleaved(pictures(24), audio)))
    assert tracks[2].edits == [(0, 1024)]
    assert [s.pts for s in tracks[2].samples] == [f.pts for f in audio]
    assert shown(tracks[1])[0] == 0


def test_flv_s_milliseconds_do_not_jitter() -> None:
    audio = sounds(200, track=FLV_AUDIO, start_s=5)
    tracks = fragments(mux(interleaved(pictures(96, track=FLV_VIDEO, start=5000), audio), (FLV_VIDEO, FLV_AUDIO)))
    assert tracks[2].timescale == 48_000
    dts = [s.dts for s in tracks[2].samples]
    assert dts == list(range(0, 200 * 1024, 1024))
    # Video keeps the source's clock.
    assert tracks[1].timescale == 1000


def test_a_track_that_begins_late() -> None:
    video = pictures(24 * 5, start=900_000)
    audio = sounds(60, start_s=13)
    tracks = fragments(mux(interleaved(video, audio)))
    assert shown(tracks[1])[0] == 0
    assert shown(tracks[2])[0] == 3
    assert len(tracks[2].samples) == 60


def test_a_track_without_a_frame() -> None:
    tracks = fragments(mux(pictures(24)))
    assert len(tracks[1].samples) == 24 and tracks[2].samples == []


def test_fragments_of_some_length() -> None:
    video, audio = pictures(250, gop=125), sounds(470)
    for muxer, expected in (
        (Fmp4Muxer(), 2), (Fmp4Muxer(max_s=2.0), 6), (Fmp4Muxer(0.5), 20), (Fmp4Muxer(100.0), 2),
    ):  # fmt: skip
        data = mux(interleaved(video, audio), muxer=muxer)
        assert kinds(data).count("moof") == expected
        assert len(fragments(data)[1].samples) == 250
    # Sound alone.
    assert kinds(mux(audio, (AAC,), Fmp4Muxer(max_s=1.0))).count("moof") == 10


def test_a_fragment_per_frame() -> None:
    muxer = Fmp4Muxer("frame")
    assert muxer.start([H264, AAC]) == b""
    video, audio = pictures(24), sounds(40)
    written = [muxer.write(frame) for frame in interleaved(video, audio)]
    # The header waits for every track; from then on nothing waits.
    first = next(i for i, data in enumerate(written) if data)
    assert written[first][4:8] == b"ftyp" and first <= 3
    assert all(written[first:])
    tracks = fragments(b"".join(written))
    assert [s.pts for s in tracks[1].samples] == [f.pts for f in video]
    assert [s.pts for s in tracks[2].samples] == [f.pts for f in audio]
    assert {s.duration for s in tracks[1].samples} == {3600}


def test_the_header_does_not_wait_for_ever() -> None:
    muxer = Fmp4Muxer("frame")
    muxer.start([H264, AAC])
    at = next(i for i, frame in enumerate(pictures(100)) if muxer.write(frame))
    assert at == 25


def test_a_silent_reference_does_not_hold_up_the_others() -> None:
    muxer = Fmp4Muxer(max_s=2.0)
    muxer.start([H264, AAC])
    written = [muxer.write(frame) for frame in interleaved(pictures(12), sounds(600))]
    assert sum(map(bool, written)) >= 4


def test_memory_is_bounded_without_key_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "MAX_FRAGMENT_BYTES", 10_000)
    muxer = Fmp4Muxer()
    muxer.start([H264])
    frames = [Frame(H264, 0, 0, bytes(3000), key=not n) for n in range(40)]
    assert kinds(b"".join([*(muxer.write(f) for f in frames), muxer.finish()])).count("moof") == 10


def test_new_parameter_sets_make_a_chained_header() -> None:
    muxer = Fmp4Muxer()
    first, second = pictures(24), pictures(24, track=H264.with_(config=AVCC_WIDE), start=24 * 3600, first=24)
    data = muxer.start([H264])
    data += b"".join(muxer.write(f) for f in first)
    # A list that differs in nothing that is written changes nothing.
    assert muxer.start([H264.with_(bitrate_bps=5)]) == b""
    changed = [H264.with_(config=AVCC_WIDE, width=720, height=576)]
    data += muxer.start(changed)
    data += b"".join(muxer.write(f) for f in second) + muxer.finish()
    assert kinds(data) == "ftyp moov moof mdat moof mdat ftyp moov moof mdat moof mdat"
    track = fragments(data)[1]
    assert AVCC_WIDE in track.entries[0]
    assert [s.pts for s in track.samples] == [f.pts for f in (*first, *second)]
    # Readers that know the first header only find the new parameter sets in band.
    sets = join_lengths(parameter_sets("h264", AVCC_WIDE))
    assert [s.payload for s in track.samples[24:]] == [(sets if f.key else b"") + f.payload for f in second]


def test_parameter_sets_stay_in_band_for_those_who_know_the_first_header_only() -> None:
    changed = H264.with_(config=AVCC_WIDE)
    muxer = Fmp4Muxer()
    data = muxer.start([H264]) + b"".join(map(muxer.write, pictures(12)))
    data += muxer.start([changed]) + b"".join(map(muxer.write, pictures(12, track=changed, start=12 * 3600)))
    data += muxer.start([changed, AAC])
    data += b"".join(map(muxer.write, pictures(12, track=changed, start=24 * 3600))) + muxer.finish()
    sets = join_lengths(parameter_sets("h264", AVCC_WIDE))
    keys = [s.payload for s in fragments(data)[1].samples if s.key]
    assert [payload.startswith(sets) for payload in keys] == [False, True, True]


def test_tracks_come_and_go() -> None:
    muxer = Fmp4Muxer()
    opus = Track(2, Kind.AUDIO, "opus", 48_000, channels=2)
    data = muxer.start([H264]) + b"".join(muxer.write(f) for f in pictures(12))
    data += muxer.start([H264, opus])
    second = interleaved(pictures(12, start=12 * 3600), sounds(20, track=opus, start_s=Fraction(12, 25), samples=960))
    data += b"".join(muxer.write(f) for f in second)
    data += muxer.start([H264]) + b"".join(muxer.write(f) for f in pictures(12, start=24 * 3600)) + muxer.finish()
    assert kinds(data).count("moov") == 3
    tracks = fragments(data)
    assert len(tracks[1].samples) == 36 and len(tracks[2].samples) == 20
    assert shown(tracks[2])[0] == Fraction(12, 25)


def test_the_delay_of_the_first_epoch_holds_for_the_next() -> None:
    """One edit list per file is what most readers apply."""
    muxer = Fmp4Muxer()
    primed = [f.shifted(AAC, f.dts - 1024, f.pts - 1024) for f in sounds(20)]
    data = muxer.start([AAC]) + b"".join(map(muxer.write, primed))
    changed = AAC.with_(config=AAC.config + b"\0")
    data += muxer.start([changed])
    later = [f.shifted(changed, f.dts + 19 * 1024, f.pts + 19 * 1024) for f in sounds(20)]
    data += b"".join(map(muxer.write, later)) + muxer.finish()
    track = fragments(data)[1]
    assert track.edits == [(0, 1024)]
    assert [s.pts for s in track.samples] == [f.pts for f in (*primed, *later)]


def test_configurations_that_the_first_frame_tells() -> None:
    ac3 = Track(2, Kind.AUDIO, "ac3", 90_000)
    unit = vectors.AC3_51 + bytes(1792 - len(vectors.AC3_51))
    sound = [Frame(ac3, n * 2880, n * 2880, unit, key=True) for n in range(30)]
    tracks = fragments(mux(interleaved(pictures(24), sound), (H264, ac3)))
    assert vectors.DAC3_51 in tracks[2].entries[0] and tracks[2].timescale == 90_000
    assert len(tracks[2].samples) == 30


def test_tracks_of_which_nothing_is_known_are_left_out_until_something_is() -> None:
    ac3 = Track(2, Kind.AUDIO, "ac3", 90_000)
    mute = Track(3, Kind.AUDIO, "aac", 48_000)
    unit = vectors.AC3_51 + bytes(1792 - len(vectors.AC3_51))
    sound = [Frame(ac3, n * 2880, n * 2880, b"broken" if n < 16 else unit, key=True) for n in range(28)]
    data = mux(interleaved(pictures(24), sound, sounds(10, track=mute)), (H264, ac3, mute))
    # A second header when the track is there.
    assert kinds(data) == "ftyp moov moof mdat ftyp moov moof mdat"
    tracks = fragments(data)
    assert sorted(tracks) == [1, 2]
    assert [s.payload for s in tracks[2].samples] == [unit] * len(tracks[2].samples) and tracks[2].samples


def test_refusals() -> None:
    muxer = Fmp4Muxer()
    vorbis = Track(1, Kind.AUDIO, "vorbis", 48_000)
    assert not muxer.accepts(vorbis) and muxer.accepts(H264) and muxer.mime == "video/mp4"
    with pytest.raises(MediaError, match="cannot carry audio vorbis"):
        muxer.start([vorbis])
    assert Fmp4Muxer().finish() == b""
    started = Fmp4Muxer()
    started.start([H264])
    assert started.finish() == b"" and started.write(sounds(1)[0]) == b""


def test_cmaf_files_keep_their_times() -> None:
    video = pictures(24, start=900_000)
    data = mux(video, (H264,), Fmp4Muxer(brands="cmaf"))
    track = fragments(data)[1]
    assert b"cmf2" in data[:40] and track.edits == []
    assert [s.pts for s in track.samples] == [f.pts for f in video]
    assert track.samples[0].dts == track.samples[0].pts == 900_000


# Single tracks in segments.


def segments(track: CmafTrack, frames: Sequence[Frame], length: int, **more: object) -> bytes:
    """Init segment and segments of `length` frames, checked for holes."""
    data, following = track.init(), None
    for number, start in enumerate(range(0, len(frames), length), 1):
        some = frames[start : start + length]
        after = frames[start + length].dts if start + length < len(frames) else None
        segment = track.segment(number, some, after, **more)  # type: ignore[arg-type]
        if following is not None:
            assert segment.base_decode_time == following
        following = segment.base_decode_time + segment.duration
        assert segment.size == len(b"".join(segment.parts)) and segment.samples == len(some)
        data += b"".join(segment.parts)
    return data


def test_segments_of_video() -> None:
    frames = pictures(60, start=900_000)
    track = CmafTrack(H264, number=3)
    data = segments(track, frames, 12)
    assert kinds(data) == "ftyp moov" + " styp moof mdat" * 5
    found = fragments(data)[3]
    assert [s.pts for s in found.samples] == [f.pts for f in frames]
    assert [s.payload for s in found.samples] == [f.payload for f in frames]
    assert found.edits == [] and track.timescale == 90_000
    assert track.codec_string == track.track.codec_string == "avc1.64000D"
    one = CmafTrack(H264).segment(1, frames[:12], frames[12].dts)
    assert (one.base_decode_time, one.duration) == (frames[0].dts, 12 * 3600)
    assert one.presentation_time == one.earliest_pts == 900_000
    # libavformat would show pictures with negative offsets late.
    assert all(s.pts >= s.dts for s in found.samples)


@pytest.mark.parametrize("timescale", [1000, 90_000, 48_000])
def test_segments_of_sound_have_no_holes(timescale: int) -> None:
    source = AAC.with_(timescale=timescale)
    frames = sounds(940, track=source, start_s=10)
    track = CmafTrack(source)
    found = fragments(segments(track, frames, 94))[1]
    dts = [s.dts for s in found.samples]
    assert dts == list(range(480_000, 480_000 + 940 * 1024, 1024))
    assert track.track.timescale == track.timescale == 48_000


def test_shifted_segments() -> None:
    audio = [f.shifted(AAC, f.dts - 1024, f.pts - 1024) for f in sounds(40)]
    shift = Fraction(1024, 48_000)
    sound = fragments(segments(CmafTrack(AAC), audio, 10, shift=shift))[1]
    picture = fragments(segments(CmafTrack(H264), pictures(24), 12, shift=shift))[1]
    assert sound.samples[0].pts == 0 and picture.samples[0].pts == 1920


def test_chunks() -> None:
    frames = pictures(24)
    message = emsg("urn:x", "", 1000, 0, 0, 1)
    for chunk, count in (("segment", 1), ("gop", 2), ("frame", 24)):
        track = CmafTrack(H264)
        segment = track.segment(5, frames, None, chunk=chunk, lead=message)  # type: ignore[arg-type]
        data = b"".join(segment.parts)
        assert kinds(data) == "styp emsg" + " moof mdat" * count
        assert len(segment.chunk_sizes) == count and sum(segment.chunk_sizes) == len(data)
        numbers = [int.from_bytes(node.body[4:8], "big") for node in tree(data).all("moof", "mfhd")]
        assert numbers == list(range(5, 5 + count))
        assert [s.pts for s in fragments(track.init() + data)[1].samples] == [f.pts for f in frames]
        # Numbers go on where fragments were more than segments.
        again = track.segment(6, pictures(12, start=24 * 3600), None, styp=b"")
        assert int.from_bytes(tree(b"".join(again.parts)).find("moof", "mfhd").body[4:8], "big") == 5 + count


def test_an_open_group_reaches_back() -> None:
    """Leading pictures are shown before the key frame that they follow."""
    lead = pictures(12)
    base = 12 * 3600
    places = [2, 0, 1, 5, 3, 4]
    group = [Frame(H264, base + (n - 1) * 3600, base + p * 3600, b"x", key=not n) for n, p in enumerate(places)]
    track = CmafTrack(H264)
    room = Fraction(1, 25)
    track.segment(1, lead, group[0].dts, shift=room)
    segment = track.segment(2, group, None, shift=room)
    assert segment.presentation_time == segment.earliest_pts == base + 3600


def test_a_track_that_needs_its_first_packet() -> None:
    ac3 = Track(1, Kind.AUDIO, "ac3", 90_000)
    with pytest.raises(MediaError, match="configuration"):
        CmafTrack(ac3)
    track = CmafTrack(ac3, packet=vectors.AC3_51)
    assert vectors.DAC3_51 in track.init() and track.codec_string == "ac-3"
    mp3 = CmafTrack(Track(1, Kind.AUDIO, "mp3", 1000, sample_rate=44_100, channels=2))
    assert mp3.codec_string == "mp4a.6B" and mp3.timescale == 44_100
    with pytest.raises(MediaError):
        CmafTrack(Track(1, Kind.AUDIO, "vorbis", 48_000))
    with pytest.raises(MediaError, match="without frames"):
        mp3.segment(1, [], None)


def test_a_cipher_sees_every_run() -> None:
    frames = pictures(24)

    def cipher(some: Sequence[Frame]) -> tuple[list[bytes], list[Auxiliary]]:
        return [f.payload[::-1] for f in some], [Auxiliary(bytes(8), [(4, 1)]) for _ in some]

    track = CmafTrack(H264, protection=Protection(b"cenc", bytes(16)), cipher=cipher)
    data = track.init() + b"".join(track.segment(1, frames, None, chunk="gop").parts)
    found = fragments(data)[1]
    assert found.entries[0][4:8] == b"encv"
    assert [s.payload for s in found.samples] == [f.payload[::-1] for f in frames]
    assert [len(senc.body) for senc in tree(data).all("moof", "traf", "senc")] == [8 + 12 * 16] * 2
