"""The writer profile, checked by a parser that shares no code with the writer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.codecs import id3
from evotools.codecs.describe import describe
from evotools.containers.mpegts.demux import TsDemuxer
from evotools.containers.mpegts.mux import TsMuxer
from evotools.containers.mpegts.packet import WRAP
from evotools.containers.mpegts.psi import ProgramMap, SectionAssembler, parse_pmt
from evotools.errors import MediaError
from evotools.media.frame import Event, Frame, Metadata
from evotools.media.track import Kind, Track
from tests.unit.containers.mpegts.tools import (
    AAC,
    AC3,
    AVCC,
    AVCC_OTHER,
    EAC3,
    H264,
    H265,
    ID3,
    MP3,
    OPUS,
    SCTE35,
    SPLICE_NULL,
    Analysis,
    Packet,
    breaks_of,
    clip,
    frames_of,
    picture,
    read,
    sound,
    tracks_of,
)

VIDEO_PID, AUDIO_PID, PAT, PMT = 0x100, 0x101, 0, 0x1000


def write(frames: list[Frame], tracks: list[Track], muxer: TsMuxer | None = None) -> bytes:
    muxer = muxer or TsMuxer()
    return b"".join([muxer.start(tracks), *map(muxer.write, frames), muxer.finish()])


def times_of(analysis: Analysis, pick: list[Packet]) -> list[int]:
    """Program clock (27 MHz) at each of these packets: that of the next reference in the stream."""
    found = []
    for packet in pick:
        after = [p.pcr for p in analysis.packets[packet.at :] if p.pcr is not None]
        if after:
            found.append(after[0])
    return found


@pytest.mark.parametrize("video", [H264, H265])
@pytest.mark.parametrize("audio", [AAC, OPUS, MP3, AC3, EAC3])
@pytest.mark.parametrize("latency", ["normal", "low"])
def test_round_trip(video: Track, audio: Track, latency: str) -> None:
    frames = clip(video=video, audio=audio)
    events = read(write(frames, [video, audio], TsMuxer(latency="low" if latency == "low" else "normal")))
    assert tracks_of(events) == [[video.codec, audio.codec]]
    assert breaks_of(events) == []
    for track in (video, audio):
        sent = [frame for frame in frames if frame.track is track]
        got = frames_of(events, track.codec)
        assert [frame.payload for frame in got] == [frame.payload for frame in sent]
        assert [frame.key for frame in got] == [frame.key for frame in sent]
        # AC-3 has no description of its own: the first frame gives it.
        assert got[0].track.config == (track.config or describe(track, sent[0].payload).config)
        for mine, theirs in zip(sent, got, strict=True):
            assert abs(mine.dts * 90_000 // track.timescale - theirs.dts) <= (1 if latency == "low" else 5)


def test_b_frame_times_are_kept_exactly() -> None:
    frames = [
        picture(H264, 0, pts=7200, key=True),
        picture(H264, 3600, pts=18000),
        picture(H264, 7200, pts=10800),
        picture(H264, 10800, pts=14400),
    ]
    got = frames_of(read(write(frames, [H264])))
    assert [(f.dts, f.pts) for f in got] == [(f.dts, f.pts) for f in frames]


@pytest.mark.parametrize("fps", [10, 24, 25, 30, 50])
@pytest.mark.parametrize("with_audio", [True, False])
def test_tables_and_references_come_often_enough(fps: int, with_audio: bool) -> None:
    step = 90_000 // fps
    frames = [picture(H264, n * step, key=n % fps == 0) for n in range(5 * fps)]
    if with_audio:
        frames = sorted([*frames, *(sound(AAC, n * 1920, duration=1920) for n in range(230))], key=lambda f: f.dts)
    # Away from zero, where the clock, a little behind, would wrap.
    analysis = Analysis(write(frames, [H264, AAC] if with_audio else [H264], TsMuxer(offset=900_000)))
    pcrs = [packet.pcr or 0 for packet in analysis.pcrs()]
    assert {packet.pid for packet in analysis.pcrs()} == {VIDEO_PID}
    steps = [right - left for left, right in zip(pcrs, pcrs[1:], strict=False)]
    assert min(steps) > 0
    assert max(steps) <= 40 * 27_000
    for pid in (PAT, PMT):
        times = times_of(analysis, [p for p in analysis.packets if p.pid == pid])
        assert max(right - left for left, right in zip(times, times[1:], strict=False)) <= 100 * 27_000


def test_audio_alone_has_a_clock_too() -> None:
    frames = [sound(AAC, n * 1920, duration=1920) for n in range(200)]
    analysis = Analysis(write(frames, [AAC], TsMuxer(offset=900_000)))
    pcrs = [packet.pcr or 0 for packet in analysis.pcrs()]
    assert max(right - left for left, right in zip(pcrs, pcrs[1:], strict=False)) <= 40 * 27_000
    assert all(packet.pid == AUDIO_PID for packet in analysis.pcrs())


def test_sparse_pictures_get_references_between_them() -> None:
    analysis = Analysis(write([picture(H264, n * 90_000, key=True) for n in range(4)], [H264]))
    alone = [packet for packet in analysis.pcrs() if not packet.payload]
    assert len(alone) >= 3 * 24


@pytest.mark.parametrize("delay", [0.05, 0.1, 0.5])
def test_decode_times_lie_a_little_ahead_of_the_clock(delay: float) -> None:
    analysis = Analysis(write(clip(5), [H264, AAC], TsMuxer(pcr_delay_s=delay, offset=900_000)))
    clock = 0
    lead: list[float] = []
    for pid in (VIDEO_PID, AUDIO_PID):
        for pes in analysis.pes(pid):
            clock = next(p.pcr for p in reversed(analysis.packets[: pes.first.at + 1]) if p.pcr is not None)
            lead.append(pes.dts / 90_000 - clock / 27_000_000)
    assert min(lead) >= delay - 1e-6
    assert max(lead) <= delay + 0.15


def test_key_frames_are_entry_points() -> None:
    analysis = Analysis(write(clip(), [H264, AAC]))
    keys = [pes.first for pes in analysis.pes(VIDEO_PID) if b"\0\0\1\x65" in pes.payload]
    assert len(keys) == 2
    for first in keys:
        assert first.random_access
        assert first.pcr is not None
        assert [packet.pid for packet in analysis.packets[first.at - 2 : first.at]] == [PAT, PMT]
    others = [pes.first for pes in analysis.pes(VIDEO_PID) if pes.first not in keys]
    assert not any(first.random_access for first in others)
    for pes in analysis.pes(VIDEO_PID):
        assert pes.payload.startswith(b"\0\0\0\1\x09")
        assert (b"\0\0\0\1\x67" in pes.payload) == (pes.first in keys)


def test_lengths_are_filled_where_they_fit() -> None:
    frames = [picture(H264, 0, key=True, size=60_000), picture(H264, 3600, size=70_000), picture(H264, 7200, size=10)]
    lengths = [pes.length for pes in Analysis(write(frames, [H264])).pes(VIDEO_PID)]
    assert lengths[0] > 60_000
    assert lengths[1] == 0
    assert 0 < lengths[2] < 100


def test_reader_need_not_wait_for_the_next_frame() -> None:
    muxer = TsMuxer()
    demuxer = TsDemuxer()
    demuxer.feed(muxer.start([H264]))
    for n in range(5):
        frame = picture(H264, n * 3600, key=n == 0, size=5000)
        assert frames_of(demuxer.feed(muxer.write(frame)))[0].payload == frame.payload


def test_audio_is_grouped_to_60_ms_or_not_at_all() -> None:
    frames = [sound(AAC, n * 1920, duration=1920) for n in range(100)]
    counts = [pes.payload.count(b"\xff\xf1") for pes in Analysis(write(frames, [AAC])).pes(AUDIO_PID)]
    assert set(counts) == {2}
    low = Analysis(write(frames, [AAC], TsMuxer(latency="low")))
    assert {pes.payload.count(b"\xff\xf1") for pes in low.pes(AUDIO_PID)} == {1}


def test_a_hole_in_the_audio_starts_a_new_group() -> None:
    frames = [sound(AAC, at, duration=1920) for at in (0, 3840, 5760)]
    assert [frame.dts for frame in frames_of(read(write(frames, [AAC])))] == [0, 3840, 5760]


def test_held_audio_does_not_outlive_a_stop_of_its_track() -> None:
    muxer = TsMuxer()
    muxer.start([H264, AAC])
    muxer.write(sound(AAC, 0, duration=1920))
    written = b"".join(muxer.write(picture(H264, n * 3600, key=n == 0)) for n in range(3))
    assert b"\xff\xf1" in written


@pytest.mark.parametrize("start", [0, -180_000, WRAP - 90_000, 3 * WRAP + 17])
def test_times_are_kept_modulo_33_bits(start: int) -> None:
    frames = [picture(H264, start + n * 3600, pts=start + n * 3600 + 7200, key=n == 0) for n in range(100)]
    data = write(frames, [H264])
    assert [pes.dts for pes in Analysis(data).pes(VIDEO_PID)] == [frame.dts % WRAP for frame in frames]
    got = frames_of(read(data))
    first = got[0].dts
    assert (first - start) % WRAP == 0
    assert [frame.dts - first for frame in got] == [frame.dts - start for frame in frames]
    assert [frame.pts - frame.dts for frame in got] == [7200] * 100


def test_offset_moves_every_time() -> None:
    got = frames_of(read(write([picture(H264, 0, key=True)], [H264], TsMuxer(offset=12_345))))
    assert (got[0].dts, got[0].pts) == (12_345, 12_345)


def test_other_clocks_are_rescaled_to_nearest() -> None:
    track = H264.with_(timescale=1000)
    frames = [Frame(track, ms, ms, picture(H264, 0).payload, key=ms == 0) for ms in (0, 33, 67, 100)]
    assert [frame.dts for frame in frames_of(read(write(frames, [track])))] == [0, 2970, 6030, 9000]


def test_a_new_epoch_keeps_counters_and_announces_itself() -> None:
    muxer = TsMuxer()
    other = H264.with_(config=AVCC_OTHER)
    parts = [muxer.start([H264, AAC]), *map(muxer.write, clip(1))]
    parts += [muxer.start([other]), *(muxer.write(picture(other, n * 3600, key=n == 0)) for n in range(10))]
    parts += [muxer.start([other]), muxer.finish()]
    analysis = Analysis(b"".join(parts))
    versions = [packet.payload[6] >> 1 & 31 for packet in analysis.packets if packet.pid == PMT]
    assert sorted(set(versions)) == [0, 1]
    assert versions[-1] == 1
    marked = [packet for packet in analysis.packets if packet.discontinuity]
    assert [packet.pid for packet in marked] == [VIDEO_PID]
    events = read(b"".join(parts))
    assert tracks_of(events) == [["h264", "aac"], ["h264"], ["h264"]]
    assert {frame.track.config for frame in frames_of(events, "h264")} == {AVCC, AVCC_OTHER}
    assert len(frames_of(events)) == len(clip(1)) + 10
    assert len(breaks_of(events)) == 1


def test_restart_announces_a_discontinuity_on_every_stream() -> None:
    muxer = TsMuxer()
    parts = [muxer.start([H264, AAC]), *map(muxer.write, clip(1)), muxer.restart()]
    parts += [*map(muxer.write, clip(1)), muxer.finish()]
    analysis = Analysis(b"".join(parts))
    assert {packet.pid for packet in analysis.packets if packet.discontinuity} == {VIDEO_PID, AUDIO_PID}
    events = read(b"".join(parts))
    assert len(breaks_of(events)) == 1
    assert len(frames_of(events)) == 2 * len(clip(1))


@pytest.mark.parametrize("jump", [100 * 90_000, -100 * 90_000])
def test_a_jump_of_the_source_is_a_new_time_base(jump: int) -> None:
    frames = clip(1)
    frames += [frame.shifted(frame.track, frame.dts + jump, frame.pts + jump) for frame in clip(1)]
    frames = [frame.shifted(frame.track, frame.dts + 10**7 * 2, frame.pts + 10**7 * 2) for frame in frames]
    analysis = Analysis(write(frames, [H264, AAC]))
    assert next(packet.pid for packet in analysis.packets if packet.discontinuity) == VIDEO_PID
    pcrs = [packet.pcr or 0 for packet in analysis.pcrs()]
    far = [right - left for left, right in zip(pcrs, pcrs[1:], strict=False) if not 0 < right - left <= 40 * 27_000]
    assert len(far) == 1
    assert len(analysis.packets) < 1000


def test_data_tracks() -> None:
    muxer = TsMuxer()
    parts = [muxer.start([H264, ID3, SCTE35]), muxer.write(picture(H264, 90_000, key=True))]
    parts.append(muxer.write(Frame(ID3, 91_000, 91_000, b"ID3\x04\0\0\0\0\0\x0atest", key=True)))
    parts.append(muxer.write(Frame(SCTE35, 92_000, 92_000, SPLICE_NULL, key=True)))
    parts += [muxer.write(picture(H264, 93_600)), muxer.finish()]
    events = read(b"".join(parts))
    assert tracks_of(events) == [["h264", "id3", "scte35"]]
    assert [(f.dts, f.payload) for f in frames_of(events, "id3")] == [(91_000, b"ID3\x04\0\0\0\0\0\x0atest")]
    assert [f.payload for f in frames_of(events, "scte35")] == [SPLICE_NULL]


def cues(events: list[Event]) -> list[tuple[str, object, float]]:
    return [(e.name, e.value, e.time_s) for e in events if isinstance(e, Metadata)]


def program_maps(data: bytes) -> list[ProgramMap]:
    """Every PMT in which something changed."""
    found: list[ProgramMap] = []
    sections = SectionAssembler()
    for packet in Analysis(data).packets:
        if packet.pid == PMT:
            for table in map(parse_pmt, sections.push(packet.payload, start=packet.start)):
                if not found or table != found[-1]:
                    found.append(table)
    return found


def test_timed_data_is_announced_at_a_key_frame_and_keeps_its_time() -> None:
    muxer = TsMuxer()
    told = [Metadata("onTextData", {"text": str(n)}, 1.0 + n / 4) for n in range(8)]
    assert muxer.write_metadata(Metadata("onMetaData", {"width": 1.0})) == b""
    parts = [muxer.start([H264, AAC])]
    assert muxer.write_metadata(told[0]) == b"", "before the first frame there is no clock"
    for frame in clip(3.0):
        due = (m for m in told if frame.track is H264 and frame.dts == m.time_s * 90_000)
        parts += map(muxer.write_metadata, due)
        parts.append(muxer.write(frame))
    data = b"".join([*parts, muxer.finish()])
    events = read(data)
    assert cues(events) == [("onTextData", m.value, m.time_s) for m in told if not m.time_s * 25 % 1]
    assert not breaks_of(events)
    assert tracks_of(events) == [["h264", "aac"], ["h264", "aac", "id3"]]
    first, second = program_maps(data)
    assert (second.version, second.pcr_pid) == (first.version + 1, VIDEO_PID)
    assert [entry.stream_type for entry in second.streams] == [0x1B, 0x0F, 0x15]
    # Timed Metadata for HTTP Live Streaming 2.3: the descriptors that players look for.
    assert second.streams[2].descriptor(0x26) == b"\xff\xffID3 \xffID3 \x00\x0f"
    assert dict(second.descriptors)[0x25] == b"\xff\xffID3 \xffID3 \x00\x1f\x00\x01"
    packets = Analysis(data).packets
    change = next(p.at for p in packets if p.pid == PMT and p.payload[6] >> 1 & 31 == second.version)
    video = next(p for p in packets[change:] if p.pid == VIDEO_PID)
    assert video.start and video.random_access


def test_a_header_that_was_told_of_timed_data_announces_it() -> None:
    muxer = TsMuxer()
    assert muxer.write_metadata(Metadata("cue", 1)) == b""
    assert [entry.stream_type for entry in program_maps(muxer.start([H264]))[0].streams] == [0x1B, 0x15]
    data = muxer.write(picture(H264, 90_000, key=True)) + muxer.write_metadata(Metadata("cue", 1, 1.0))
    assert b"TXXX" in data
    again = muxer.start([H264, AAC])
    assert [entry.stream_type for entry in program_maps(again)[0].streams] == [0x1B, 0x0F, 0x15]


def test_timed_data_of_sound_alone_and_of_a_short_clip() -> None:
    muxer = TsMuxer()
    data = muxer.start([AAC]) + b"".join(muxer.write(sound(AAC, n * 1920, duration=1920)) for n in range(5))
    assert b"TXXX" in (late := muxer.write_metadata(Metadata("cue", "a", 0.1)))
    assert cues(read(data + late + muxer.finish())) == [("cue", "a", 0.1)]
    muxer = TsMuxer()
    data = muxer.start([H264]) + muxer.write(picture(H264, 0, key=True)) + muxer.write_metadata(Metadata("cue", "b"))
    assert cues(read(data + muxer.finish())) == [("cue", "b", 0.0)]


def test_tags_pass_unchanged_and_come_once() -> None:
    tag = id3.tag(id3.text("TIT2", "Söng"), id3.private("com.x", b"\0\1"))
    source = TsMuxer()
    data = source.start([H264, ID3]) + source.write(picture(H264, 90_000, key=True))
    data += source.write(Frame(ID3, 91_000, 91_000, tag, key=True)) + source.finish()
    events = read(data)
    assert cues(events) == [("onID3", {"TIT2": "Söng", "PRIV": {"com.x": "0001"}}, 91_000 / 90_000)]
    for keep in (True, False):
        muxer = TsMuxer()
        parts = [muxer.start([track for track in (H264, ID3.with_(id=0x102)) if keep or track is H264])]
        for event in events:
            if isinstance(event, Metadata):
                parts.append(muxer.write_metadata(event))
            elif isinstance(event, Frame) and (keep or event.track.codec != "id3"):
                parts.append(muxer.write(event.shifted(H264, event.dts, event.pts) if event.key and
                                         event.track.codec == "h264" else event))  # fmt: skip
        copied = read(b"".join([*parts, muxer.finish()]))
        assert [(frame.payload, frame.pts) for frame in frames_of(copied, "id3")] == [(tag, 91_000)]


def test_timed_data_that_does_not_fit_is_left_out() -> None:
    muxer = TsMuxer()
    muxer.start([AAC])
    muxer.write(sound(AAC, 0, duration=1920))
    assert muxer.write_metadata(Metadata("cue", "x" * 70_000)) == b""
    assert muxer.write_metadata(Metadata("cue", float("nan"))) == b""
    assert muxer.write_metadata(Metadata("onID3", {}, 0.0, {"id3": bytes(70_000)})) == b""


def test_a_program_map_without_room_goes_on_without_timed_data() -> None:
    tracks = [H264] + [OPUS.with_(id=2 + n, language="deu") for n in range(41)]
    while True:
        try:
            TsMuxer().start([*tracks, OPUS.with_(id=99, language="deu")])
        except MediaError:
            break
        tracks.append(OPUS.with_(id=len(tracks) + 1, language="deu"))
    muxer = TsMuxer()
    parts = [muxer.start(tracks), muxer.write(picture(H264, 0, key=True)), muxer.write_metadata(Metadata("cue", 1))]
    parts += [muxer.write(picture(H264, 3600, key=True)), muxer.write_metadata(Metadata("cue", 2)), muxer.start(tracks)]
    data = b"".join([*parts, muxer.write(picture(H264, 7200, key=True)), muxer.finish()])
    assert len(program_maps(data)) == 1
    assert b"TXXX" not in data


def test_opus_trims_survive() -> None:
    frame = sound(OPUS, 0, duration=960, size=700)
    frame.side = {"trim_start": 312, "trim_end": 100}
    got = frames_of(read(write([frame, sound(OPUS, 960, duration=960)], [OPUS])))
    assert [f.side for f in got] == [{"trim_start": 312, "trim_end": 100}, None]
    assert got[0].payload == frame.payload


def test_pids_depend_on_the_track_list_alone() -> None:
    old, new = TsMuxer(), TsMuxer()
    tracks = [H264.with_(id=0x1234), AAC.with_(id=7), AAC.with_(id=0x106), AAC.with_(id=0)]
    old.start([H264, AAC])
    old.start(tracks)
    for muxer in (old, new):
        data = muxer.start(tracks) + b"".join(muxer.write(sound(track, 0)) for track in tracks[1:])
        data += muxer.write(picture(tracks[0], 0, key=True)) + muxer.finish()
        assert {p.pid for p in Analysis(data).packets} == {PAT, PMT, 0x1234, 0x106, 0x107, 0xFFF}


def test_languages_survive() -> None:
    tracks = [H264, AAC.with_(language="deu")]
    event = read(write(clip(1), tracks))[0]
    assert [track.language for track in event.tracks] == ["", "deu"]  # type: ignore[union-attr]


@pytest.mark.parametrize("codec", ["av1", "vp8", "vp9", "pcma", "flac", "vorbis", "data"])
def test_codecs_without_a_name_are_refused(codec: str) -> None:
    track = Track(1, Kind.VIDEO, codec, 90_000)
    assert not TsMuxer().accepts(track)
    with pytest.raises(MediaError, match=codec):
        TsMuxer().start([track])


def test_accepts_what_it_writes() -> None:
    muxer = TsMuxer()
    assert all(map(muxer.accepts, (H264, H265, AAC, OPUS, MP3, AC3, EAC3, ID3, SCTE35)))
    # Error resilient low delay AAC and unusual channel mappings have no form in transport streams.
    assert not muxer.accepts(AAC.with_(config=bytes.fromhex("f8e85000")))
    assert not muxer.accepts(OPUS.with_(config=OPUS.config[:18] + b"\xff" + b"\2\0\1\0"))


def test_frames_of_unknown_tracks_are_refused() -> None:
    muxer = TsMuxer()
    muxer.start([H264])
    with pytest.raises(MediaError, match="aac"):
        muxer.write(sound(AAC, 0))


def test_too_many_tracks_for_one_table() -> None:
    tracks = [AAC.with_(id=n, language="eng") for n in range(100)]
    with pytest.raises(MediaError, match="PMT"):
        TsMuxer().start(tracks)


def test_a_long_table_spans_packets() -> None:
    tracks = [AAC.with_(id=n, language="eng") for n in range(30)]
    muxer = TsMuxer(latency="low")
    parts = [muxer.start(tracks)]
    parts += [muxer.write(sound(track, n * 1920, duration=1920)) for n in range(50) for track in tracks]
    data = b"".join(parts)
    assert sum(packet.pid == PMT and not packet.start for packet in Analysis(data).packets) > 5
    assert tracks_of(read(data)) == [["aac"] * 30]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 2000), min_size=1, max_size=12), st.booleans())
def test_every_payload_size_is_stuffed_right(sizes: list[int], key: bool) -> None:
    frames = [picture(H264, n * 3600, key=key or n == 0, size=size) for n, size in enumerate(sizes)]
    data = write(frames, [H264])
    Analysis(data).pes(VIDEO_PID)
    assert [frame.payload for frame in frames_of(read(data))] == [frame.payload for frame in frames]


def test_the_clock_goes_on_when_the_pictures_stop() -> None:
    frames = [picture(H264, n * 3600, key=n == 0) for n in range(25)]
    frames += [sound(AAC, n * 1920, duration=1920) for n in range(48 * 8)]
    frames.sort(key=lambda frame: frame.dts)
    analysis = Analysis(write(frames, [H264, AAC], TsMuxer(offset=900_000)))
    pcrs = [packet.pcr or 0 for packet in analysis.pcrs()]
    # A second after the last picture the sound leads; until its end no reference is missing.
    assert pcrs[-1] - pcrs[0] > 7.5 * 27_000_000
    assert max(right - left for left, right in zip(pcrs, pcrs[1:], strict=False)) <= 40 * 27_000


def test_grouped_audio_keeps_its_length_in_16_bits() -> None:
    opus = [sound(OPUS, n * 120, size=9000, duration=120) for n in range(40)]
    analysis = Analysis(write(opus, [OPUS]))
    groups = analysis.pes(0x101)
    assert all(group.length for group in groups)
    assert sum(len(group.payload) for group in groups) > 40 * 9000
    assert max(len(group.payload) for group in groups) > 50_000


def test_encoder_delay_before_zero_does_not_wrap() -> None:
    frames = [f.shifted(f.track, f.dts - f.track.timescale // 20, f.pts - f.track.timescale // 20) for f in clip(1)]
    assert frames[0].dts < 0
    read_back = frames_of(read(write(frames, [H264, AAC])))
    lowest = min(f.dts for f in read_back)
    assert 0 <= lowest < 90_000
    for track in (H264, AAC):
        given = [f.pts * 90_000 // f.track.timescale for f in frames if f.track.codec == track.codec]
        found = [f.pts for f in read_back if f.track.codec == track.codec]
        assert {round((b - a) / 90_000, 3) for a, b in zip(given, found, strict=True)} == {1.0}
