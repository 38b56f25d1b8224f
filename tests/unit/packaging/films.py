"""Streams for packagers, a folder that performs their operations, and what is in the files that come out."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from evotools.packaging.files import Operation, Remove, Write
from evotools.packaging.packager import Packager
from tests.manifests import Snapshot, look

AVCC = bytes.fromhex(
    "0142c01effe1001a6742c01eda0280bfe59a83030320000003002000000651e2c5d401000468ce0fc8"
)  # fmt: skip
"""640x360, 25 fps, Constrained Baseline."""
VIDEO = Track(1, Kind.VIDEO, "h264", 90_000, AVCC, "avc1.42C01E", 640, 360, Fraction(25))
AUDIO = Track(2, Kind.AUDIO, "aac", 48_000, bytes.fromhex("1190"), "mp4a.40.2", sample_rate=48_000, channels=2)
NOW_S = 1_700_000_000.0


def video(
    seconds: float, *, start: float = 0.0, gop: int = 25, fps: int = 25, track: Track = VIDEO, reorder: bool = False,
    keys: Iterable[int] | None = None,
) -> list[Frame]:  # fmt: skip
    """Pictures, a key frame every `gop` of them (or those numbered `keys`). `reorder`: I P B P B …, decode times ahead
    of presentation times as an encoder with one B-frame writes them."""
    step = track.timescale // fps
    base = round(start * track.timescale)
    chosen = None if keys is None else set(keys)
    frames = []
    for n in range(round(seconds * fps)):
        dts = pts = base + n * step
        if reorder:
            at = n % gop
            shown = n if at == 0 else (n + 1 if at % 2 and at + 1 < gop else n - 1 if at % 2 == 0 else n)
            dts, pts = base + (n - 1) * step, base + shown * step
        key = n % gop == 0 if chosen is None else n in chosen
        # One NAL unit: IDR or not.
        nal = bytes((0x65 if key else 0x41,)) + b"%d:%d" % (track.id, n)
        frames.append(Frame(track, dts, pts, len(nal).to_bytes(4) + nal, duration=step, key=key))
    return frames


def audio(seconds: float, *, start: float = 0.0, track: Track = AUDIO) -> list[Frame]:
    """Packets of 1024 samples."""
    base = round(start * track.timescale)
    count = round(seconds * track.sample_rate / 1024)
    step = 1024 * track.timescale // track.sample_rate
    return [
        Frame(track, base + n * step, base + n * step, b"%d:%d" % (track.id, n), duration=step, key=True)
        for n in range(count)
    ]


def mixed(*tracks: Sequence[Frame]) -> list[Frame]:
    """By decode time, as a muxer interleaves."""
    return sorted((f for frames in tracks for f in frames), key=lambda f: Fraction(f.dts, f.track.timescale))


def batches(frames: Sequence[Frame], size: int = 20) -> Iterable[Sequence[Frame]]:
    """As a source hands them over."""
    return (frames[at : at + size] for at in range(0, len(frames), size))


@dataclass
class Disk:
    """Performs operations one by one; after each, everything that a manifest names must be there."""

    root: Path
    done: list[Operation] = field(default_factory=list)

    def take(self, packager: Packager) -> None:
        """What is due."""
        for operation in packager.take():
            path = self.root / operation.path
            if isinstance(operation, Remove):
                path.unlink(missing_ok=True)
            else:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(b"".join(operation.parts))
            self.done.append(operation)
            if isinstance(operation, Remove) or operation.role in ("playlist", "manifest"):
                look(self.root)

    @property
    def roles(self) -> list[str]:
        """Of the files written, in order."""
        return [o.role for o in self.done if isinstance(o, Write)]

    def written(self, role: str) -> list[str]:
        """Paths, in order."""
        return [o.path for o in self.done if isinstance(o, Write) and o.role == role]

    def look(self) -> Snapshot:
        """What a player sees."""
        return look(self.root)

    def segment(self, path: str) -> "Fragment":
        """What is in a media segment."""
        return fragment((self.root / path).read_bytes())


@dataclass(frozen=True)
class Fragment:
    """A media segment of one track."""

    decode_time: int
    duration: int
    """Of all samples."""
    payloads: list[bytes]
    delay: int
    """Of the first sample, from decoding to presentation."""

    @property
    def time(self) -> int:
        """When its first sample in decode order is shown."""
        return self.decode_time + self.delay


def fragment(data: bytes) -> Fragment:
    """Read styp moof mdat. ISO/IEC 14496-12 8.8."""
    top = _boxes(data)
    traf = _boxes(_boxes(top["moof"])["traf"])
    tfhd, trun = traf["tfhd"], traf["trun"]
    flags = int.from_bytes(tfhd[1:4])
    at, default = 8, [0, 0]
    for bit, place in ((0x8, 0), (0x10, 1)):
        if flags & bit:
            default[place] = int.from_bytes(tfhd[at : at + 4])
            at += 4
    flags, count = struct.unpack(">II", trun[:8])
    at = 8 + 4 * bool(flags & 0x1) + 4 * bool(flags & 0x4)
    durations, sizes, offsets = [], [], []
    for _ in range(count):
        row = []
        for bit, fallback in ((0x100, default[0]), (0x200, default[1]), (0x400, 0), (0x800, 0)):
            if flags & bit:
                row.append(int.from_bytes(trun[at : at + 4]))
                at += 4
            else:
                row.append(fallback)
        durations.append(row[0])
        sizes.append(row[1])
        offsets.append(row[3])
    payloads, at = [], 0
    for size in sizes:
        payloads.append(top["mdat"][at : at + size])
        at += size
    assert at == len(top["mdat"])
    # No negative offsets: libavformat would show the pictures late.
    assert max(offsets) < 1 << 31
    return Fragment(int.from_bytes(traf["tfdt"][4:]), sum(durations), payloads, offsets[0])


def _boxes(data: bytes) -> dict[str, bytes]:
    found, at = {}, 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        found[data[at + 4 : at + 8].decode()] = data[at + 8 : at + size]
        at += size
    return found
