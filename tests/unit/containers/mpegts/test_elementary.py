"""Pictures inside PES packets."""

from evotools.codecs.nal import split_lengths
from evotools.codecs.paramsets import to_annexb
from evotools.containers.mpegts.audio import make_reader
from evotools.containers.mpegts.elementary import Elementary
from evotools.media.frame import Frame
from tests.unit.containers.mpegts.tools import AVCC, AVCC_OTHER, H264, H265, filler, picture

Times = list[tuple[int, int]]


def pictures(count: int) -> tuple[list[Frame], list[bytes]]:
    frames = [picture(H264, n * 3600, key=n == 0, size=200 + n) for n in range(count)]
    return frames, [to_annexb(frame) for frame in frames]


def read(reader: Elementary, payloads: list[tuple[bytes, int | None]]) -> list[Frame]:
    frames = [frame for payload, dts in payloads for frame in reader.read(payload, dts, dts)]
    return frames + reader.flush()


def same(found: list[Frame], sent: list[Frame]) -> None:
    assert [(f.dts, f.key, f.payload) for f in found] == [(f.dts, f.key, f.payload) for f in sent]


def test_one_picture_each() -> None:
    frames, units = pictures(5)
    reader = make_reader("h264", 7, "")
    same(read(reader, [(unit, frame.dts) for unit, frame in zip(units, frames, strict=True)]), frames)
    assert reader.track is not None
    assert (reader.track.id, reader.track.config, reader.track.width) == (7, AVCC, 64)
    assert reader.track.fps == 25


def test_several_pictures_in_one_pes_packet() -> None:
    frames, units = pictures(6)
    same(read(make_reader("h264", 1, ""), [(b"".join(units[:3]), 0), (b"".join(units[3:]), 10_800)]), frames)


def test_pictures_in_pieces() -> None:
    frames, units = pictures(6)
    payloads: list[tuple[bytes, int | None]] = [(units[0], 0), (units[1], 3600)]
    for unit, frame in zip(units[2:], frames[2:], strict=True):
        payloads += [(unit[:70], frame.dts), (unit[70:140], None), (unit[140:], None)]
    found = read(make_reader("h264", 1, ""), payloads)
    # The first picture in pieces is out before its pieces are seen to belong together.
    same(found[:2] + found[3:], frames[:2] + frames[3:])


def test_pictures_that_end_in_the_next_pes_packet() -> None:
    frames, units = pictures(6)
    stream, cuts = b"".join(units), [0]
    for unit in units:
        cuts.append(cuts[-1] + len(unit))
    borders = [0, *(cut + 13 for cut in cuts[1:-1]), len(stream)]
    payloads = [stream[left:right] for left, right in zip(borders, borders[1:], strict=False)]
    reader = make_reader("h264", 1, "")
    found: list[Frame] = []
    # A time stamp belongs to the first picture that begins in its packet.
    stamps = [0, 7200, 10_800, 14_400, 18_000, None]
    reader.foresee(b"\0\0\1\xe0\0\0\x80\x80\5" + bytes(5) + payloads[1])
    for payload, stamp in zip(payloads, stamps, strict=True):
        found += reader.read(payload, stamp, stamp)
    same(found + reader.flush(), frames)


def test_pictures_without_time_stamps_of_their_own() -> None:
    frames, units = pictures(8)
    stamps = [0, 3600, None, None, 14_400, None, None, None]
    same(read(make_reader("h264", 1, ""), list(zip(units, stamps, strict=True))), frames)


def test_pictures_before_the_parameter_sets_are_left_out() -> None:
    _, units = pictures(4)
    found = read(make_reader("h264", 1, ""), [(units[2], 0), (units[3], 3600), (units[0], 7200), (units[1], 10_800)])
    assert [frame.dts for frame in found] == [7200, 10_800]


def test_new_parameter_sets_are_a_new_track() -> None:
    other = H264.with_(config=AVCC_OTHER)
    _, units = pictures(2)
    units.append(to_annexb(picture(other, 0, key=True)))
    found = read(make_reader("h264", 1, ""), [(unit, n * 3600) for n, unit in enumerate(units)])
    assert [frame.track.width for frame in found] == [64, 64, 128]
    assert found[0].track is found[1].track


def test_h265() -> None:
    frames = [picture(H265, n * 3600, key=n == 0) for n in range(4)]
    same(read(make_reader("h265", 1, ""), [(to_annexb(frame), frame.dts) for frame in frames]), frames)


def test_captions_and_unknown_units_are_kept() -> None:
    _, units = pictures(1)
    sei = b"\x06\x04\x10\xb5" + filler(14, 3) + b"\x80"
    found = read(
        make_reader("h264", 1, ""), [(units[0], 0), (b"\0\0\1" + sei + b"\0\0\1\x41\x9a" + filler(20, 1), 3600)]
    )
    assert split_lengths(found[1].payload)[0] == sei


def test_mpeg2_video_tells_its_size() -> None:
    reader = make_reader("mpeg2video", 1, "")
    sequence = b"\0\0\1\xb3\x2d\x02\x40\x33" + bytes(8)
    assert reader.read(b"\0\0\1\0abc", 0, 0) == []
    frames = reader.read(sequence + b"\0\0\1\0abc", 3600, 7200) + reader.read(b"\0\0\1\0abc", 7200, 7200)
    assert [(frame.key, frame.dts, frame.pts) for frame in frames] == [(True, 3600, 7200), (False, 7200, 7200)]
    assert (frames[0].track.width, frames[0].track.height) == (720, 576)
