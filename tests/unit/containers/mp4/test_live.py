"""Live fragmented MP4: nothing waits, nothing depends on what came before, browsers find no hole."""

import json
import struct
from dataclasses import replace
from fractions import Fraction

import pytest

from evotools.codecs.describe import describe
from evotools.containers.mp4.boxes import children
from evotools.containers.mp4.fragments import parse_emsg
from evotools.containers.mp4.live import AUDIO_HOLD_S, LiveMp4Muxer
from evotools.errors import MediaError
from evotools.media.frame import Frame, Metadata
from evotools.media.track import Kind, Track
from tests.unit.containers.mp4.streams import AAC, H264, interleaved, picture, pictures, sounds
from tests.unit.containers.mp4.walk import Sample, TrackOf, fragments, tree

UNTIMED = replace(H264, fps=None, timescale=1000)


def kinds(data: bytes) -> list[bytes]:
    return [box.kind for box in children(data)]


def mux(frames: list[Frame], *tracks: Track) -> tuple[bytes, list[bytes], dict[int, TrackOf]]:
    """(header, what each frame gave, the samples)."""
    muxer = LiveMp4Muxer()
    header = muxer.start(tracks)
    given = [muxer.write(frame) for frame in frames]
    given.append(muxer.finish())
    return header, given, fragments(header + b"".join(given))


def at(*times_ms: int, duration: int = 0, keys: tuple[int, ...] = (0,)) -> list[Frame]:
    """Pictures on a clock of milliseconds."""
    return [Frame(UNTIMED, t, t, picture(n), duration, key=n in keys) for n, t in enumerate(times_ms)]


def follows(samples: list[Sample]) -> bool:
    """Whether Chromium takes them for one coded frame group (MSE 3.5.8)."""
    return all(0 < b.dts - a.dts <= 2 * a.duration for a, b in zip(samples, samples[1:], strict=False))


def test_each_picture_is_a_fragment_at_once_and_carries_the_sound_before_it() -> None:
    video, audio = pictures(50, reorder=False), sounds(94)
    frames = interleaved(video, audio)
    header, given, tracks = mux(frames, H264, AAC)
    assert kinds(header) == [b"ftyp", b"moov"]
    for frame, data in zip(frames, given, strict=False):
        assert kinds(data) == ([b"moof", b"mdat"] if frame.track.kind is Kind.VIDEO else [])
    assert [s.payload for s in tracks[1].samples] == [frame.payload for frame in video]
    assert [s.payload for s in tracks[2].samples] == [frame.payload for frame in audio]
    assert [s.key for s in tracks[1].samples] == [frame.key for frame in video]
    assert [s.dts for s in tracks[1].samples] == [n * 3600 for n in range(50)]
    assert [s.dts for s in tracks[2].samples] == [n * 1024 for n in range(94)]
    assert {s.duration for s in tracks[1].samples} == {3600}


def test_times_are_those_of_the_stream_whenever_a_viewer_comes() -> None:
    video = pictures(48, start=90_000 * 1000, reorder=False)
    muxer, late = LiveMp4Muxer(), LiveMp4Muxer()
    header = muxer.start((H264, AAC))
    given = [muxer.write(frame) for frame in video]
    # The header of one who comes later is the same, and fits everything.
    assert late.start((H264, AAC)) == header
    joined = fragments(header + b"".join(given[24:]))
    assert joined[1].samples[0].key
    assert [s.pts for s in joined[1].samples] == [frame.pts for frame in video[24:]]
    assert joined[1].edits == []


def test_reordered_pictures_keep_their_presentation_times() -> None:
    video = pictures(48)
    assert video[0].dts < 0
    _, _, tracks = mux(video, H264)
    assert [s.pts for s in tracks[1].samples] == [frame.pts for frame in video]
    assert tracks[1].samples[0].dts == 0
    assert follows(tracks[1].samples)


def test_sound_without_pictures_comes_in_pieces() -> None:
    audio = sounds(200)
    _, given, tracks = mux(audio, AAC)
    assert len(tracks[1].samples) == 200
    assert [s.dts for s in tracks[1].samples] == [n * 1024 for n in range(200)]
    pieces = [data for data in given if data]
    assert 200 * 1024 / 48_000 / len(pieces) == pytest.approx(AUDIO_HOLD_S, rel=0.3)


@pytest.mark.parametrize(
    "times",
    [
        [0, 40, 80, 120, 500, 540, 1400, 1440, 2000, 2040],
        [0, 1000, 2000, 3000],
        [0, 16, 33, 50, 66, 83, 100, 1100, 1116, 1133],
        [0, 5000, 10000, 10040, 10080, 10120, 10160],
        [0, 40, 40, 80, 79, 120],
    ],
)
def test_irregular_pictures_make_no_hole_and_are_shown_when_they_should(times: list[int]) -> None:
    _, _, tracks = mux(at(*times), UNTIMED)
    assert follows(tracks[1].samples)
    assert [s.pts for s in tracks[1].samples] == times


def test_decode_times_that_were_drawn_nearer_catch_up() -> None:
    _, _, tracks = mux(at(0, 40, 80, 800, *range(840, 2000, 40)), UNTIMED)
    behind = [s.pts - s.dts for s in tracks[1].samples]
    assert max(behind) > 500
    assert behind[-1] == 0


def test_a_key_frame_behind_a_long_hole_begins_anew() -> None:
    _, _, tracks = mux(at(0, 40, 80, 9000, 9040, keys=(0, 3)), UNTIMED)
    assert [s.dts for s in tracks[1].samples] == [0, 40, 80, 9000, 9040]


def test_a_duration_that_is_told_is_written() -> None:
    _, _, tracks = mux(at(0, 100, 200, duration=100), UNTIMED)
    assert {s.duration for s in tracks[1].samples} == {100}
    _, _, tracks = mux(at(0, 33, 67, 100), replace(UNTIMED, fps=Fraction(30)))
    assert [s.duration for s in tracks[1].samples] == [33, 33, 34, 33]


def test_a_new_track_list_ends_what_was_held_and_goes_on_in_time() -> None:
    muxer = LiveMp4Muxer()
    first = muxer.start((H264, AAC))
    held = [muxer.write(frame) for frame in sounds(3)]
    assert held == [b"", b"", b""]
    change = muxer.start((AAC,))
    assert kinds(change) == [b"moof", b"mdat", b"ftyp", b"moov"]
    # What a newcomer gets is the header alone, of the same tracks with the same numbers.
    assert change.endswith(LiveMp4Muxer().start((AAC,)))
    moof = change.index(b"ftyp") - 4
    assert len(fragments(first + change[:moof])[2].samples) == 3
    # Time that steps back with the new list does not step back in the file.
    data = muxer.write(sounds(1)[0]) + muxer.finish()
    assert fragments(change[moof:] + data)[1].samples[0].dts > 2 * 1024


def test_frames_of_unknown_tracks_are_passed_over() -> None:
    muxer = LiveMp4Muxer()
    muxer.start((H264,))
    assert muxer.write(sounds(1)[0]) == b""


def test_only_tracks_that_can_be_announced_at_once_are_accepted() -> None:
    muxer = LiveMp4Muxer()
    assert muxer.accepts(H264)
    assert muxer.accepts(Track(1, Kind.AUDIO, "opus", 48_000, channels=2))
    assert not muxer.accepts(Track(1, Kind.AUDIO, "ac3", 90_000))
    assert not muxer.accepts(replace(H264, config=b""))
    assert not muxer.accepts(Track(1, Kind.AUDIO, "pcmu", 8000))
    with pytest.raises(MediaError):
        muxer.start((Track(1, Kind.AUDIO, "ac3", 90_000),))


def test_opus_without_a_head_gets_the_usual_one() -> None:
    muxer = LiveMp4Muxer()
    header = muxer.start((describe(Track(1, Kind.AUDIO, "opus", 48_000, channels=2)),))
    assert b"dOps" in header


# Timed data.


def test_timed_data_become_event_messages() -> None:
    muxer = LiveMp4Muxer()
    cue = Metadata("onCuePoint", {"name": "ad", "when": [1, None, True], "raw": b"\x01\xff"}, 12.3456)
    # Before the header there is nothing to put it into.
    assert muxer.write_metadata(cue) == b""
    muxer.start((H264,))
    (box,) = tree(muxer.write_metadata(cue)).inner
    assert box.kind == "emsg"
    timescale, time, duration, ident = struct.unpack_from(">IQII", box.body, 4)
    assert (timescale, time, duration, ident) == (1000, 12346, 0, 1)
    scheme, value, data = box.body[24:].split(b"\0", 2)
    assert (scheme, value) == (b"urn:evotools:metadata", b"onCuePoint")
    assert json.loads(data) == {"name": "ad", "when": [1, None, True], "raw": "01ff"}
    assert struct.unpack_from(">IQII", tree(muxer.write_metadata(cue)).inner[0].body, 4)[3] == 2


def test_event_messages_and_tags_stay_what_they_are() -> None:
    muxer = LiveMp4Muxer()
    muxer.start((H264,))
    tag = b"ID3\4\0\0\0\0\0\0"
    told = {"scheme": "urn:x", "value": "v", "id": 77, "duration_s": 2.5}
    for metadata, expected in (
        (Metadata("onID3", {}, 3.0, {"id3": tag}), ("https://aomedia.org/emsg/ID3", "", 0, tag)),
        (Metadata("emsg", b"\1\2", 3.0, told), ("urn:x", "v", 2500, b"\1\2")),
        (Metadata("emsg", b"\3", 3.0, {**told, "duration_s": None}), ("urn:x", "v", 0xFFFF_FFFF, b"\3")),
    ):
        (box,) = tree(muxer.write_metadata(metadata)).inner
        timescale, time, duration, ident = struct.unpack_from(">IQII", box.body, 4)
        assert time == 3 * timescale
        scheme, value, data = box.body[24:].split(b"\0", 2)
        assert (scheme.decode(), value.decode(), duration, data) == expected
        assert ident == (77 if metadata.name == "emsg" else 1)
        back = parse_emsg(box.body).metadata(0.0)
        assert (back.name, back.value, back.time_s) == (metadata.name, metadata.value, 3.0)
        assert metadata.options.items() <= back.options.items()


def test_messages_are_read_as_messages_again() -> None:
    muxer = LiveMp4Muxer()
    muxer.start((H264,))
    (box,) = tree(muxer.write_metadata(Metadata("onCuePoint", {"name": "ad"}, 1.5))).inner
    assert parse_emsg(box.body).metadata(0.0) == Metadata("onCuePoint", {"name": "ad"}, 1.5)
    broken = parse_emsg(box.body.replace(b"}", b"{")).metadata(0.0)
    assert (broken.name, broken.options["scheme"]) == ("emsg", "urn:evotools:metadata")


def test_what_describes_the_stream_is_no_event() -> None:
    muxer = LiveMp4Muxer()
    muxer.start((H264,))
    assert muxer.write_metadata(Metadata("onMetaData", {"width": 1280}, 0.0)) == b""


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "x" * 100_000])
def test_data_that_json_or_a_cap_refuses_is_left_out(value: object) -> None:
    muxer = LiveMp4Muxer()
    muxer.start((H264,))
    assert muxer.write_metadata(Metadata("cue", value, 0.0)) == b""


def test_data_without_end_or_of_odd_names_harms_nobody() -> None:
    muxer = LiveMp4Muxer()
    muxer.start((H264,))
    loop: list[object] = []
    loop.append(loop)
    assert muxer.write_metadata(Metadata("cue", loop, 0.0)) == b""
    data = muxer.write_metadata(Metadata("a\0b\ud800", {}, -5.0))
    assert kinds(data) == [b"emsg"]
    assert b"a b?\0" in data
