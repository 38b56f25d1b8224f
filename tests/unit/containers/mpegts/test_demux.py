"""The reader: any split, loss, changes of the program, late and silent tracks, limits."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.containers.mpegts import demux
from evotools.containers.mpegts.demux import TsDemuxer
from evotools.containers.mpegts.mux import TsMuxer
from evotools.containers.mpegts.packet import WRAP, header
from evotools.containers.mpegts.psi import MapEntry, ProgramMap, build_pat, build_pmt, crc32
from evotools.errors import ParseError
from evotools.media.frame import Discontinuity, Frame, Tracks
from evotools.media.track import Track
from tests.unit.containers.mpegts.tools import (
    AAC,
    AVCC_OTHER,
    H264,
    Analysis,
    breaks_of,
    clip,
    filler,
    frames_of,
    pes,
    picture,
    plain,
    psi,
    read,
    sound,
    tables,
    tracks_of,
)


def write(frames: list[Frame], tracks: list[Track], **options: float) -> bytes:
    muxer = TsMuxer(**options)  # type: ignore[arg-type]
    return b"".join([muxer.start(tracks), *map(muxer.write, frames), muxer.finish()])


CLIP = clip(2)
STREAM = write(CLIP, [H264, AAC])
WHOLE = read(STREAM)


def packets(data: bytes) -> list[bytes]:
    return [data[at : at + 188] for at in range(0, len(data), 188)]


@pytest.mark.parametrize("chunk", [1, 7, 187, 188, 189, 1316, 100_000])
def test_any_split_gives_the_same_events(chunk: int) -> None:
    assert plain(read(STREAM, chunk)) == plain(WHOLE)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4000), max_size=60))
def test_random_splits_give_the_same_events(sizes: list[int]) -> None:
    demuxer, events, at = TsDemuxer(), [], 0
    for size in [*sizes, len(STREAM)]:
        events += demuxer.feed(memoryview(STREAM)[at : at + size])
        at += size
    assert plain(events + demuxer.flush()) == plain(WHOLE)


def test_tracks_come_first_and_once() -> None:
    assert isinstance(WHOLE[0], Tracks)
    assert tracks_of(WHOLE) == [["h264", "aac"]]
    video, audio = WHOLE[0].tracks
    assert (video.id, video.width, video.codec_string) == (0x100, 64, "avc1.42C00A")
    assert (audio.id, audio.sample_rate, audio.channels, audio.codec_string) == (0x101, 48_000, 2, "mp4a.40.2")
    assert len(frames_of(WHOLE)) == len(CLIP)


# -- loss ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hole", [1, 2, 5, 20, 60])
def test_lost_packets_cost_their_frames_and_one_discontinuity(hole: int) -> None:
    stream = write(clip(4, size=3000), [H264, AAC])
    whole = frames_of(read(stream))
    rest = packets(stream)
    del rest[200 : 200 + hole]
    events = read(b"".join(rest))
    assert len(breaks_of(events)) == 1
    kept = {(frame.track.codec, frame.dts) for frame in frames_of(events)}
    assert len(whole) - len(frames_of(events)) <= 3 + hole // 8
    assert {(f.track.codec, f.dts): f.payload for f in frames_of(events)}.items() <= {
        (f.track.codec, f.dts): f.payload for f in whole
    }.items()
    assert len(kept) == len(frames_of(events))


@pytest.mark.parametrize("hole", [1, 100, 187, 5000])
def test_lost_bytes(hole: int) -> None:
    events = read(STREAM[:40_050] + STREAM[40_050 + hole :])
    assert len(breaks_of(events)) == 1
    assert len(frames_of(events)) >= len(CLIP) - 3 - hole // 700
    sent = {(frame.track.codec, frame.dts, frame.payload) for frame in frames_of(WHOLE)}
    assert all((frame.track.codec, frame.dts, frame.payload) in sent for frame in frames_of(events))


def test_two_holes_are_two_events() -> None:
    rest = packets(write(clip(4), [H264, AAC]))
    del rest[600:605], rest[200:205]
    assert len(breaks_of(read(b"".join(rest)))) == 2


def test_sixteen_lost_packets_are_noticed_by_the_length() -> None:
    stream = packets(write([picture(H264, n * 3600, key=n == 0, size=10_000) for n in range(4)], [H264]))
    del stream[70:86]
    events = read(b"".join(stream))
    assert [frame.dts for frame in frames_of(events)] == [0, 7200, 10_800]
    assert len(breaks_of(events)) == 1


def test_a_packet_sent_twice_counts_once() -> None:
    doubled = b"".join(packet * 2 for packet in packets(STREAM))
    assert plain(read(doubled)) == plain(WHOLE)


def test_packets_marked_as_erroneous_are_dropped() -> None:
    broken = packets(STREAM)
    at = next(
        n for n, p in enumerate(broken) if n > 50 and p[1] & 0x1F == 1 and not p[1] & 0x40 and p[3] & 0x30 == 0x10
    )
    broken[at] = bytes((0x47, broken[at][1] | 0x80)) + broken[at][2:4] + bytes(184)
    events = read(b"".join(broken))
    assert len(frames_of(events)) == len(CLIP) - 1
    assert len(breaks_of(events)) == 1


def test_null_packets_and_foreign_pids_are_ignored() -> None:
    null = b"\x47\x1f\xff\x10" + bytes(184)
    foreign = b"\x47\x41\x99\x10\0\0\1\xe0" + bytes(180)
    assert plain(read(b"".join(null + packet + foreign for packet in packets(STREAM)))) == plain(WHOLE)


def test_transport_priority_changes_nothing() -> None:
    raised = b"".join(bytes((0x47, packet[1] | 0x20)) + packet[2:] for packet in packets(STREAM))
    assert plain(read(raised)) == plain(WHOLE)


# -- timing of events ------------------------------------------------------------------------------------


def test_a_frame_is_out_with_its_last_byte() -> None:
    demuxer, muxer = TsDemuxer(), TsMuxer(latency="low")
    demuxer.feed(muxer.start([H264]))
    for n in range(4):
        data = muxer.write(picture(H264, n * 3600, key=n == 0, size=4000))
        assert frames_of(demuxer.feed(data[:-1])) == []
        assert [frame.dts for frame in frames_of(demuxer.feed(data[-1:]))] == [n * 3600]


def test_a_pes_packet_without_length_ends_with_the_next_start() -> None:
    frame = picture(H264, 0, key=True)
    muxer = TsMuxer()
    unit = Analysis(muxer.start([H264]) + muxer.write(frame)).pes(0x100)[0].payload
    data, counter = pes(0x100, unit, 0, unbounded=True)
    more, _ = pes(0x100, unit, 3600, counter=counter, unbounded=True)
    demuxer = TsDemuxer()
    assert frames_of(demuxer.feed(tables([MapEntry(0x100, 0x1B)]) + data)) == []
    assert [f.payload for f in frames_of(demuxer.feed(more))] == [frame.payload]
    assert [f.dts for f in frames_of(demuxer.flush())] == [3600]


# -- tracks ----------------------------------------------------------------------------------------------


def test_a_silent_track_does_not_hold_up_the_others() -> None:
    frames = [picture(H264, n * 3600, key=n % 25 == 0) for n in range(100)]
    data = write(frames, [H264, AAC])
    events = read(data)
    assert tracks_of(events) == [["h264"]]
    assert len(frames_of(events)) == 100
    demuxer = TsDemuxer(wait_s=0.2)
    for at in range(0, len(data), 188):
        found = demuxer.feed(data[at : at + 188])
        if found:
            break
    assert isinstance(found[0], Tracks)
    assert [frame.dts for frame in frames_of(found)] == [n * 3600 for n in range(6)]


def test_a_track_that_comes_late_joins_with_a_new_list() -> None:
    frames = [picture(H264, n * 3600, key=n % 25 == 0) for n in range(100)]
    frames += [sound(AAC, 180_000 + n * 1920, duration=1920) for n in range(50)]
    events = read(write(sorted(frames, key=lambda frame: frame.dts), [H264, AAC]))
    assert tracks_of(events) == [["h264"], ["h264", "aac"]]
    assert len(frames_of(events)) == 150
    at = next(n for n, event in enumerate(events) if isinstance(event, Frame) and event.track.codec == "aac")
    assert isinstance(events[at - 1], Tracks)


def test_held_frames_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demux, "MAX_HELD_BYTES", 5000)
    demuxer = TsDemuxer()
    data = write([picture(H264, n * 36, key=n == 0) for n in range(10)], [H264, AAC])
    assert len(frames_of(demuxer.feed(data))) >= 5


def test_a_changed_configuration_is_announced_before_its_frames() -> None:
    other = H264.with_(config=AVCC_OTHER)
    muxer = TsMuxer()
    parts = [muxer.start([H264]), *(muxer.write(picture(H264, n * 3600, key=n == 0)) for n in range(5))]
    # The same program map: only the parameter sets tell.
    muxer._outs[1].track = other
    parts += [muxer.write(picture(other, (5 + n) * 3600, key=n == 0)) for n in range(5)]
    events = read(b"".join(parts))
    lists = [event.tracks[0].width for event in events if isinstance(event, Tracks)]
    assert lists == [64, 128]
    for event in events:
        if isinstance(event, Tracks):
            current = event.tracks[0]
        elif isinstance(event, Frame):
            assert event.track is current


def test_streams_come_and_go_with_the_program_map() -> None:
    muxer = TsMuxer()
    late = AAC.with_(id=3)
    parts = [muxer.start([H264, AAC]), *map(muxer.write, CLIP)]
    moved = [f.shifted(f.track, f.dts + 180_000, f.pts + 180_000) for f in CLIP]
    parts += [muxer.start([H264]), *(muxer.write(f) for f in moved if f.track is H264)]
    moved = [f.shifted(late if f.track is AAC else f.track, f.dts + 360_000, f.pts + 360_000) for f in CLIP]
    parts += [muxer.start([H264, late]), *map(muxer.write, moved), muxer.finish()]
    events = read(b"".join(parts))
    assert tracks_of(events) == [["h264", "aac"], ["h264"], ["h264", "aac"]]
    last = [event for event in events if isinstance(event, Tracks)][-1]
    assert [track.id for track in last.tracks] == [0x100, 0x102]
    assert len(frames_of(events)) == 2 * len(CLIP) + sum(f.track is H264 for f in CLIP)


def test_a_new_version_with_the_same_streams_changes_nothing() -> None:
    rest = packets(STREAM)
    at = next(n for n, packet in enumerate(rest) if n > 100 and packet[1:3] == b"\x50\x00")
    entries = [MapEntry(0x100, 0x1B), MapEntry(0x101, 0x0F)]
    rest[at] = psi(0x1000, build_pmt(ProgramMap(1, 9, 0x100, (), tuple(entries))), rest[at][3] & 15)
    assert plain(read(b"".join(rest))) == plain(WHOLE)


def test_a_damaged_table_is_ignored() -> None:
    rest = packets(STREAM)
    for n, packet in enumerate(rest):
        if n > 10 and packet[1:3] in (b"\x50\x00", b"\x40\x00"):
            rest[n] = packet[:20] + bytes((packet[20] ^ 0xFF,)) + packet[21:]
    assert plain(read(b"".join(rest))) == plain(WHOLE)


# -- programs --------------------------------------------------------------------------------------------


def two_programs() -> bytes:
    pat = psi(0, build_pat(1, 0, [(0, 0x10), (7, 0x20), (9, 0x30)]))
    maps = [
        psi(pmt, build_pmt(ProgramMap(program, 0, pid, (), (MapEntry(pid, 0x03),))))
        for program, pmt, pid in ((9, 0x30, 0x300), (7, 0x20, 0x200))
    ]
    frame = bytes.fromhex("fffb10c4") + filler(100, 1)
    return pat + b"".join(maps) + b"".join(pes(pid, frame, pid)[0] for pid in (0x200, 0x300))


@pytest.mark.parametrize(("program", "pid"), [(None, 0x200), (7, 0x200), (9, 0x300)])
def test_programs(program: int | None, pid: int) -> None:
    demuxer = TsDemuxer(program=program)
    events = demuxer.feed(two_programs())
    assert [frame.track.id for frame in frames_of(events)] == [pid]
    assert demuxer.programs == {7: 0x20, 9: 0x30}


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(ParseError, match=r"no program 5 .*7, 9"):
        TsDemuxer(program=5).feed(two_programs())


def test_the_first_program_may_have_no_map() -> None:
    pat = psi(0, build_pat(1, 0, [(7, 0x20), (9, 0x30)]))
    pmt = ProgramMap(9, 0, 0x300, (), (MapEntry(0x300, 0x03),))
    frame = bytes.fromhex("fffb10c4") + filler(100, 1)
    data = pat + psi(0x30, build_pmt(pmt)) + psi(0x30, build_pmt(pmt), 1) + pes(0x300, frame, 5)[0]
    assert [frame.dts for frame in frames_of(read(data))] == [5]


def test_a_program_association_over_several_sections() -> None:
    first, second = bytearray(build_pat(1, 0, [(7, 0x20)])[:-4]), bytearray(build_pat(1, 0, [(9, 0x30)])[:-4])
    first[7], second[6], second[7] = 1, 1, 1
    sections = [bytes(part) + crc32(bytes(part)).to_bytes(4, "big") for part in (first, second)]
    demuxer = TsDemuxer(program=9)
    demuxer.feed(psi(0, sections[0]) + psi(0, sections[1], 1) + psi(0, sections[0], 2))
    assert demuxer.programs == {7: 0x20, 9: 0x30}


# -- time ------------------------------------------------------------------------------------------------


def test_the_wrap_is_not_seen() -> None:
    shift = WRAP - 100 * 90_000
    frames = [f.shifted(f.track, f.dts + shift, f.pts + shift) for f in clip(3)]
    frames += [f.shifted(f.track, f.dts + WRAP - 90_000, f.pts + WRAP - 90_000) for f in clip(3)]
    got = frames_of(read(write(frames, [H264, AAC])), "h264")
    assert [frame.dts for frame in got] == [frame.dts for frame in frames if frame.track is H264]


def test_a_jump_is_one_discontinuity() -> None:
    frames = clip(1) + [f.shifted(f.track, f.dts + 9_000_000, f.pts + 9_000_000) for f in clip(1)]
    events = read(write(frames, [H264, AAC]))
    assert len(breaks_of(events)) == 1
    assert len(frames_of(events)) == len(frames)
    at = next(n for n, event in enumerate(events) if isinstance(event, Discontinuity))
    assert max(frame.dts for frame in frames_of(events[:at])) < 100_000
    assert min(frame.dts for frame in frames_of(events[at:], "h264")) >= 9_000_000


# -- what cannot be read ---------------------------------------------------------------------------------


def scrambled(data: bytes) -> bytes:
    return b"".join(
        packet[:3] + bytes((packet[3] | 0x80,)) + packet[4:] if packet[1] & 0x1F == 1 else packet
        for packet in packets(data)
    )


def test_everything_scrambled_is_one_clear_error() -> None:
    demuxer = TsDemuxer()
    assert demuxer.feed(scrambled(STREAM)) == []
    with pytest.raises(ParseError, match="scrambled"):
        demuxer.flush()
    long = TsDemuxer()
    with pytest.raises(ParseError, match="scrambled"):
        long.feed(scrambled(write(clip(50), [H264, AAC])))


def test_scrambled_streams_beside_clear_ones_are_left_out() -> None:
    mixed = b"".join(
        packet[:3] + bytes((packet[3] | 0x80,)) + packet[4:] if packet[1:3] in (b"\x41\x01", b"\x01\x01") else packet
        for packet in packets(write(clip(3), [H264, AAC]))
    )
    events = read(mixed)
    assert tracks_of(events) == [["h264"]]
    assert len(frames_of(events)) == 75


def test_packets_without_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = b"".join(packet for packet in packets(STREAM) if packet[1] & 0x1F == 1)
    with pytest.raises(ParseError, match="no program map"):
        read(bare)
    monkeypatch.setattr(demux, "MAX_TABLELESS_BYTES", 10_000)
    with pytest.raises(ParseError, match="no program map"):
        TsDemuxer().feed(bare)


def test_empty_input() -> None:
    assert read(b"") == []


def test_a_pes_packet_may_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demux, "MAX_PES", 2 << 20)
    start = header(0x100, start=True, field=1, counter=0) + b"\0\0\1\xe0\0\0\x80\0\0" + bytes(175)
    data = [tables([MapEntry(0x100, 0x1B)]), start]
    data += [header(0x100, start=False, field=1, counter=n & 15) + bytes(184) for n in range(1, 20_000)]
    demuxer = TsDemuxer()
    demuxer.feed(b"".join(data))
    assert demuxer.damaged == 1
    assert not demuxer._streams[0x100].chunks


# -- hostile input ---------------------------------------------------------------------------------------


def mutations(count: int, seed: int) -> None:
    """Flip, cut, insert and repeat bytes; nothing but ParseError may come out."""
    rng = random.Random(seed)
    base = write(clip(0.4, size=500), [H264, AAC], latency="low")  # type: ignore[arg-type]
    for _ in range(count):
        data = bytearray(base)
        for _ in range(rng.choice((1, 1, 3, 20))):
            at = rng.randrange(len(data))
            match rng.randrange(6):
                case 0:
                    data[at] = rng.randrange(256)
                case 1:
                    # Headers, tables and PES starts sit at the front of packets.
                    data[min(at - at % 188 + rng.randrange(40), len(data) - 1)] = rng.randrange(256)
                case 2:
                    del data[at : at + rng.choice((1, 50, 188, 1000))]
                case 3:
                    data[at:at] = rng.randbytes(rng.choice((1, 4, 188)))
                case 4:
                    data[at:at] = data[at - at % 188 : at - at % 188 + 188]
                case _:
                    del data[at:]
            if not data:
                break
        demuxer = TsDemuxer()
        try:
            step = rng.choice((len(data) or 1, 1316, 188, 500))
            for at in range(0, len(data), step):
                demuxer.feed(bytes(data[at : at + step]))
            demuxer.flush()
        except ParseError:
            pass


@pytest.mark.parametrize("seed", range(10))
def test_mutations(seed: int) -> None:
    mutations(1000, seed)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(100, 110))
def test_many_mutations(seed: int) -> None:
    mutations(10_000, seed)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 0x100, 0x101, 0x1000]), st.integers(0, 0xFF), st.binary(max_size=184)),
        max_size=40,
    )
)
def test_random_packets(parts: list[tuple[int, int, bytes]]) -> None:
    data = tables([MapEntry(0x100, 0x1B), MapEntry(0x101, 0x0F)])
    for pid, flags, body in parts:
        head = bytes((0x47, (flags & 0x40) | pid >> 8, pid & 0xFF, flags & 0x3F))
        data += head + body.ljust(184, b"\0")
    try:
        read(data)
    except ParseError:
        pass
