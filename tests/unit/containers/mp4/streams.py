"""Tracks and frames as sources give them: reordered pictures, rounded audio."""

from collections.abc import Sequence
from fractions import Fraction

from evotools.codecs.aac import build_asc
from evotools.codecs.describe import describe
from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from tests.unit.codecs.vectors import AVCC_HIGH

H264 = describe(Track(1, Kind.VIDEO, "h264", 90_000, AVCC_HIGH)).with_(fps=Fraction(25))
AAC = describe(Track(2, Kind.AUDIO, "aac", 48_000, build_asc(2, 48_000, 2)))


def picture(index: int) -> bytes:
    """A payload that tells which picture it is, of a length of its own."""
    body = b"\x41" + index.to_bytes(4, "big") + bytes(index % 7)
    return len(body).to_bytes(4, "big") + body


def decode_order(gop: int) -> list[int]:
    """Places in presentation order of the pictures of a closed group, as they are decoded: I P B B P B B …"""
    order, place = [0], 1
    while place < gop:
        group = [place + 2, place, place + 1] if place + 2 < gop else [place]
        order += group
        place += len(group)
    return order


def pictures(
    count: int, *, track: Track = H264, start: int = 0, gop: int = 12, reorder: bool = True, first: int = 0
) -> list[Frame]:
    """`count` pictures, 25 a second, the first one shown at `start` ticks; with reordering it is decoded one picture
    earlier. They are numbered from `first` in decode order. As sources are, they do not tell durations."""
    step = track.timescale // 25
    order = decode_order(gop) if reorder else list(range(gop))
    frames = []
    for index in range(count):
        group, place = divmod(index, gop)
        pts = start + (group * gop + order[place]) * step
        frames.append(Frame(track, start + (index - reorder) * step, pts, picture(first + index), key=not place))
    return frames


def sounds(
    count: int, *, track: Track = AAC, start_s: Fraction | int = 0, samples: int = 1024, rate: int = 48_000
) -> list[Frame]:
    """`count` packets whose times are rounded to the track's clock, as a writer of that clock does."""
    frames = []
    for index in range(count):
        time = (Fraction(start_s) + Fraction(index * samples, rate)) * track.timescale
        dts = int(time + Fraction(1, 2))
        frames.append(Frame(track, dts, dts, b"\x21" + index.to_bytes(3, "big") + bytes(index % 5), key=True))
    return frames


def interleaved(*lanes: Sequence[Frame]) -> list[Frame]:
    """All frames in the order of their decode times."""
    return sorted((frame for lane in lanes for frame in lane), key=lambda f: (f.dts / f.track.timescale, f.track.id))
