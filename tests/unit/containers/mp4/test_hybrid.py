"""Ordinary files, and what is left of them when they are cut off."""

import tracemalloc
from collections.abc import Iterable, Sequence
from fractions import Fraction

import pytest

from evotools.codecs.nal import join_lengths
from evotools.codecs.paramsets import parameter_sets
from evotools.containers.mp4 import tables
from evotools.containers.mp4.fragment import Run
from evotools.containers.mp4.hybrid import HybridWriter
from evotools.containers.mp4.tables import MAX_DURATION, SampleTable
from evotools.errors import MediaError
from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from tests.unit.containers.mp4.streams import AAC, H264, interleaved, pictures, sounds
from tests.unit.containers.mp4.test_entries import AVCC_WIDE
from tests.unit.containers.mp4.walk import fragments, plain, tree

Step = Frame | Sequence[Track]


def grow(steps: Iterable[Step], writer: HybridWriter | None = None) -> tuple[bytearray, HybridWriter]:
    """The file before its end; a list of tracks among the frames is a change of them."""
    writer = writer or HybridWriter()
    data = bytearray()
    for step in steps:
        data += writer.write(step) if isinstance(step, Frame) else writer.start(step)
    return data, writer


def finished(steps: Iterable[Step], writer: HybridWriter | None = None) -> bytes:
    data, writer = grow(steps, writer)
    last, patches = writer.finish()
    data += last
    for offset, patch in patches:
        data[offset : offset + len(patch)] = patch
    return bytes(data)


def kinds(data: bytes) -> list[str]:
    return [node.kind for node in tree(data).inner]


def whole(data: bytes) -> bytes:
    """What of a file was written in whole boxes."""
    position = 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        if position + size > len(data):
            break
        position += size
    return data[:position]


def test_a_finished_file_is_an_ordinary_one() -> None:
    video, audio = pictures(60), sounds(110)
    data = finished([[H264, AAC], *interleaved(video, audio)])
    assert kinds(data) == ["ftyp", "mdat", "moov"]
    assert tree(data).find("ftyp").body[:4] == b"isom" and not tree(data).find("moov").all("mvex")
    tracks = plain(data)
    assert [s.payload for s in tracks[1].samples] == [f.payload for f in video]
    assert [s.payload for s in tracks[2].samples] == [f.payload for f in audio]
    assert [s.pts for s in tracks[1].samples] == [f.pts for f in video]
    assert [s.dts + tracks[1].shift for s in tracks[1].samples] == [f.dts for f in video]
    assert [s.pts for s in tracks[2].samples] == [f.pts for f in audio]
    assert [s.key for s in tracks[1].samples] == [f.key for f in video]
    assert all(s.key for s in tracks[2].samples)
    # Tables of old players: unsigned offsets, 32-bit chunk offsets.
    stbl = tree(data).find("moov").all("trak")[0].find("mdia", "minf", "stbl")
    assert stbl.find("ctts").body[0] == 0 and stbl.all("stco")
    assert tracks[1].edits == [(60 * 3600, 3600)] and tracks[2].edits == []
    assert tracks[1].duration == 60 * 3600 and tracks[2].duration == 110 * 1024


def test_a_file_cut_off_anywhere_plays_up_to_there() -> None:
    video, audio = pictures(60), sounds(110)
    data, _ = grow([[H264, AAC], *interleaved(video, audio)])
    assert kinds(bytes(data)) == ["ftyp", "free", "moov"] + ["moof", "mdat"] * 4
    for cut in range(0, len(data), 997):
        rest = whole(bytes(data[:cut]))
        if b"moov" not in kinds(rest):
            continue
        tracks = fragments(rest)
        done = len(tracks[1].samples)
        assert [s.payload for s in tracks[1].samples] == [f.payload for f in video[:done]]
    tracks = fragments(bytes(data))
    assert [s.pts for s in tracks[1].samples] == [f.pts for f in video[:48]]
    assert len(tracks[2].samples) >= 85


def test_a_file_cut_off_while_it_is_finished() -> None:
    """Between the index and the patch there are both; the first movie header still leads to everything."""
    video = pictures(30)
    data, writer = grow([[H264], *video])
    last, patches = writer.finish()
    assert len(patches) == 1 and len(patches[0][1]) == 16
    rest = bytes(data + last)
    assert kinds(rest) == ["ftyp", "free", "moov"] + ["moof", "mdat"] * 3 + ["moov"]
    index = tree(rest).all("moov")[1].at
    assert [s.pts for s in fragments(rest[:index])[1].samples] == [f.pts for f in video]


@pytest.mark.parametrize("start_s", [0, 10, 1_790_000_000])
def test_files_begin_at_zero(start_s: int) -> None:
    video = pictures(24, start=start_s * 90_000 + 1800)
    audio = sounds(50, start_s=start_s)
    tracks = plain(finished([[H264, AAC], *interleaved(video, audio)]))
    assert tracks[2].samples[0].pts == 0
    assert [s.pts for s in tracks[1].samples] == [f.pts - start_s * 90_000 for f in video]
    # A wait, then the media from where its first picture is shown.
    assert tracks[1].edits[0] == (1800, -1) and tracks[1].edits[1][1] == 3600


def test_an_encoder_s_delay_is_cut() -> None:
    audio = [f.shifted(AAC, f.dts - 1024, f.pts - 1024) for f in sounds(50)]
    tracks = plain(finished([[H264, AAC], *interleaved(pictures(24), audio)]))
    assert tracks[2].edits[0][1] == 1024 and tracks[2].samples[0].pts == -1024
    assert [s.pts for s in tracks[2].samples] == [f.pts for f in audio]
    # The edit ends with the media, in ticks of the movie.
    assert tracks[2].edits == [(-(-49 * 1024 * 90_000 // 48_000), 1024)]


def test_late_and_silent_tracks() -> None:
    video, audio = pictures(24 * 5), sounds(20, start_s=4)
    silent = AAC.with_(id=3)
    data = finished([[H264, AAC, silent], *interleaved(video, audio)])
    tracks = plain(data)
    assert sorted(tracks) == [1, 2]
    assert Fraction(tracks[2].samples[0].pts, 48_000) == 4
    assert tracks[2].edits[0] == (4 * 90_000, -1)


def test_gaps_stay_gaps() -> None:
    video = [*pictures(24), *pictures(24, start=24 * 3600 + 900_000, first=24)]
    audio = [*sounds(45), *sounds(45, start_s=Fraction(1096, 100))]
    tracks = plain(finished([[H264, AAC], *interleaved(video, audio)]))
    assert [s.pts for s in tracks[1].samples] == [f.pts for f in video]
    assert [s.pts for s in tracks[2].samples] == [f.pts for f in audio]
    assert tracks[1].samples[23].duration == 900_000 + 3600


def test_milliseconds_become_samples() -> None:
    track = AAC.with_(timescale=1000)
    tracks = plain(finished([[track], *sounds(500, track=track, start_s=7)]))
    assert tracks[1].timescale == 48_000
    assert {s.duration for s in tracks[1].samples} == {1024} and len(tracks[1].samples) == 500


def test_new_parameter_sets_are_a_second_sample_entry() -> None:
    changed = H264.with_(config=AVCC_WIDE, width=720, height=576)
    first, second = pictures(24), pictures(24, track=changed, start=24 * 3600, first=24)
    third = pictures(12, start=48 * 3600, first=48)
    steps: list[Step] = [[H264], *first, [changed], *second, [H264], *third]
    data = finished(steps)
    track = plain(data)[1]
    assert len(track.entries) == 2 and AVCC_WIDE in track.entries[1]
    assert [s.entry for s in track.samples] == [1] * 24 + [2] * 24 + [1] * 12
    assert [s.pts for s in track.samples] == [f.pts for f in (*first, *second, *third)]
    sets = join_lengths(parameter_sets("h264", AVCC_WIDE))
    assert track.samples[24].payload == sets + second[0].payload
    # Cut off, there are as many movie headers as epochs.
    cut, _ = grow([*steps, *pictures(12, start=60 * 3600, first=60)])
    assert kinds(bytes(cut)).count("moov") == 3
    assert len(fragments(bytes(cut))[1].samples) == 60


def test_an_epoch_that_overlaps_the_last_one() -> None:
    changed = H264.with_(config=AVCC_WIDE)
    first, second = pictures(24), pictures(24, track=changed, start=20 * 3600, first=24)
    data = finished([[H264], *first, [changed], *second])
    track = plain(data)[1]
    assert [s.pts for s in track.samples] == [f.pts for f in (*first, *second)]
    assert min(s.duration for s in track.samples) > 0


def test_sample_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ENTRIES", 2)
    table = SampleTable(H264, 1, 90_000, 0)
    for entry in (b"one", b"two", b"three", b"one"):
        table.describe_by(entry)
        table.add(0, Run(1, table.samples * 10, pictures(1), [10]), [1])
    found = table.finish()
    assert found.entries == [b"one", b"two"]
    assert found.tables[3][12:].hex() == "00000003" + "".join(f"{n:08x}" for n in (1, 1, 1, 2, 1, 2, 4, 1, 1))


def test_tracks_that_come_later_are_tracks_of_their_own() -> None:
    opus = Track(2, Kind.AUDIO, "opus", 48_000, channels=2)
    first, second = pictures(24), pictures(24, start=24 * 3600, first=24)
    sound = sounds(40, track=opus, start_s=Fraction(24, 25), samples=960)
    slow = AAC.with_(sample_rate=44_100, timescale=44_100, config=bytes.fromhex("1210"))
    third = sounds(10, track=slow, start_s=2, rate=44_100)
    data = finished([[H264], *first, [H264, opus], *interleaved(second, sound), [H264, slow], *third])
    tracks = plain(data)
    assert {n: (t.handler, t.timescale) for n, t in tracks.items()} == {
        1: ("vide", 90_000), 2: ("soun", 48_000), 3: ("soun", 44_100),
    }  # fmt: skip
    assert [s.pts for s in tracks[2].samples] == [f.pts for f in sound]
    assert len(tracks[1].samples) == 48 and tracks[3].samples[0].pts == 2 * 44_100


def test_decode_times_that_a_source_repeats() -> None:
    video = pictures(24)
    video[5] = video[5].shifted(H264, video[4].dts, video[5].pts)
    track = plain(finished([[H264], *video]))[1]
    assert [s.pts for s in track.samples] == [f.pts for f in video]
    assert min(s.duration for s in track.samples) > 0


def test_pictures_that_are_shown_before_they_are_decoded() -> None:
    """Offsets below zero, which ctts of version 0 cannot hold: all are lifted, and the edit list takes it back."""
    video = [Frame(H264, f.dts + 7200, f.pts, f.payload, key=f.key) for f in pictures(24, start=90_000)]
    data = finished([[H264], *video])
    track = plain(data)[1]
    assert tree(data).find("moov", "trak", "mdia", "minf", "stbl", "ctts").body[0] == 0
    assert [s.pts for s in track.samples] == [f.pts - 90_000 for f in video]


def test_files_of_more_than_4_gib() -> None:
    table = SampleTable(H264, 1, 90_000, 0)
    table.describe_by(b"entry")
    table.add(100, Run(1, 0, pictures(2, reorder=False), [3600, 3600]), [5, 5])
    table.add(1 << 33, Run(1, 7200, pictures(1, reorder=False), [3600]), [5])
    found = table.finish()
    # One duration and one size for all, no ctts.
    stts, stss, ctts, _, stsz, co64, roll = found.tables
    assert roll == b""
    assert stts.hex() == "00000018" + "73747473" + "00000000" + "00000001" + "00000003" + "00000e10"
    assert stss.hex() == "00000018" + "73747373" + "00000000" + "00000002" + "00000001" + "00000003" and ctts == b""
    assert stsz.hex() == "00000014" + "7374737a" + "00000000" + "00000005" + "00000003"
    assert co64.hex() == "00000020" + "636f3634" + "00000000" + "00000002" + f"{100:016x}" + f"{1 << 33:016x}"
    assert found.duration == 3 * 3600 and not found.edit
    huge = SampleTable(H264, 1, 90_000, 0)
    huge.describe_by(b"entry")
    huge.add(0, Run(1, 0, pictures(1), [1]), [5])
    huge.add(5, Run(1, 1 << 40, pictures(1), [1]), [5])
    assert MAX_DURATION.to_bytes(4, "big") in huge.finish().tables[0]


def test_what_decoders_need_before_a_sample() -> None:
    """Roll recovery groups: a packet of AAC, 80 ms of Opus."""
    opus = Track(3, Kind.AUDIO, "opus", 48_000, channels=2)
    data = finished([[AAC, opus], *interleaved(sounds(10), sounds(10, track=opus, samples=960))])
    for trak, distance in zip(tree(data).find("moov").all("trak"), (-1, -4), strict=True):
        stbl = trak.find("mdia", "minf", "stbl")
        assert (
            stbl.find("sgpd").body.hex()
            == "01000000" + b"roll".hex() + "00000002" + "00000001" + f"{distance & 0xFFFF:04x}"
        )
        assert stbl.find("sbgp").body.hex() == "00000000" + b"roll".hex() + "00000001" + "0000000a" + "00000001"


def test_a_file_of_nothing() -> None:
    writer = HybridWriter()
    assert writer.finish() == (b"", [])
    started, writer = grow([[H264]])
    assert kinds(bytes(started)) == ["ftyp", "free"] and writer.finish() == (b"", [])


def test_music_files_say_so() -> None:
    data = finished([[AAC], *sounds(20)], HybridWriter(brands="m4a"))
    assert data[8:12] == b"M4A " and len(plain(data)[1].samples) == 20


def test_refusals() -> None:
    writer = HybridWriter()
    assert writer.mime == "video/mp4" and writer.accepts(H264)
    with pytest.raises(MediaError):
        writer.start([Track(1, Kind.AUDIO, "vorbis", 48_000)])


def test_memory_of_a_long_recording() -> None:
    """An hour of 25 pictures and 47 packets a second, with rounded times: 24 of them must stay in tens of megabytes."""
    video, audio = SampleTable(H264, 1, 1000, 0), SampleTable(AAC, 2, 48_000, 0)
    group = pictures(50, reorder=False)
    sizes, offsets = list(range(1000, 1050)), [40, 120, 0, 0, 0] * 10
    sound, packets = sounds(94), [300] * 93 + [301]
    tracemalloc.start()
    try:
        for n in range(1800):
            video.add(n * 10**6, Run(1, n * 2000, group, [40] * 49 + [41], offsets), sizes)
            audio.add(n * 10**6, Run(2, n * 94 * 1024, sound, [1024] * 94), packets)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 2_200_000
