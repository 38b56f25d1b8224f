"""Movie fragments and what stands beside them: styp, sidx, prft, emsg, moof, mdat. ISO/IEC 14496-12 8.8 and 8.16.

Per-sample tables are packed in one piece from columns: a fragment costs some microseconds and a fraction of one per
frame.
"""

import struct
import sys
from array import array
from collections.abc import Sequence
from itertools import chain
from typing import Final, NamedTuple

from evotools.containers.mp4.boxes import box, full_box
from evotools.errors import MediaError
from evotools.media.frame import Frame
from evotools.media.track import Kind

SYNC, NOT_SYNC = 0x0200_0000, 0x0101_0000
"""Sample flags (8.8.3.1): depends on no other; depends on others and is no sync sample."""

_DEFAULT_BASE_IS_MOOF: Final = 0x02_0000
_SWAP: Final = sys.byteorder == "little"
_NTP_EPOCH_S: Final = 2_208_988_800
"""From 1900 to 1970 (RFC 5905 6)."""

SEGMENT_TYPE: Final = box(b"styp", b"msdh", bytes(4), b"msdhcmfs")
"""Before a media segment (8.16.2; brands of ISO/IEC 23009-1 6.3.4.2 and ISO/IEC 23000-19 7.3.3.1). `msix` would promise
a segment index (ISO/IEC 23009-1 6.3.4.3)."""

PRFT_ENCODER_INPUT, PRFT_FINALIZED, PRFT_WRITTEN, PRFT_CAPTURED = 0, 2, 4, 24
"""What the time of a prft box is the time of (8.16.5.3): the frame entered the encoder, the fragment was finished, was
written; or the clock of the media was tied to real time consistently, as it was captured."""


class Auxiliary(NamedTuple):
    """What a decrypter needs for one sample (ISO/IEC 23001-7 7.1)."""

    iv: bytes = b""
    """As long as the track's Per_Sample_IV_Size; empty with a constant IV."""
    subsamples: Sequence[tuple[int, int]] = ()
    """(clear bytes, protected bytes) in turn."""


class Run(NamedTuple):
    """Consecutive samples of one track in one fragment."""

    track_number: int
    base_decode_time: int
    """In the timescale as written, like the durations and offsets."""
    frames: Sequence[Frame]
    durations: Sequence[int]
    offsets: Sequence[int] = ()
    """Presentation minus decode time; empty when all are 0."""
    keys: Sequence[bool] | None = None
    """Sync samples; None: what the frames of video say, all of other tracks."""
    payloads: Sequence[bytes] | None = None
    """Instead of the frames' payloads, such as encrypted ones."""
    auxiliary: Sequence[Auxiliary] | None = None
    """One per sample, in an encrypted track."""


def _rows(columns: Sequence[Sequence[int]]) -> bytes:
    """Columns of 32-bit numbers as rows, big-endian. Raises OverflowError."""
    table = array("i", columns[0] if len(columns) == 1 else chain.from_iterable(zip(*columns, strict=True)))
    if _SWAP:
        table.byteswap()
    return table.tobytes()


def _tables(run: Run, sizes: list[int]) -> tuple[bytes, int, bytes, int]:
    """(tfhd with tfdt, trun flags, what follows the data offset in trun, size of both boxes together)."""
    count = len(sizes)
    durations, offsets = run.durations, run.offsets
    head_flags, run_flags = _DEFAULT_BASE_IS_MOOF, 0x1
    defaults: list[int] = []
    columns: list[Sequence[int]] = []
    if durations.count(durations[0]) == count:
        head_flags |= 0x8
        defaults.append(durations[0])
    else:
        run_flags |= 0x100
        columns.append(durations)
    if count > 1 and sizes.count(sizes[0]) == count:
        head_flags |= 0x10
        defaults.append(sizes[0])
    else:
        run_flags |= 0x200
        columns.append(sizes)
    keys = run.keys
    if keys is None and run.frames[0].track.kind is Kind.VIDEO:
        keys = [frame.key for frame in run.frames]
    first_flags = b""
    head_flags |= 0x20
    sync = count if keys is None else keys.count(True)
    if sync == count:
        defaults.append(SYNC)
    else:
        defaults.append(NOT_SYNC)
        assert keys is not None
        if sync == 1 and keys[0]:
            run_flags |= 0x4
            first_flags = SYNC.to_bytes(4, "big")
        elif sync:
            run_flags |= 0x400
            columns.append([SYNC if key else NOT_SYNC for key in keys])
    if offsets:
        run_flags |= 0x800
        columns.append(offsets)
    head = full_box(b"tfhd", 0, head_flags, struct.pack(f">I{len(defaults)}I", run.track_number, *defaults))
    # 8.8.12
    head += full_box(b"tfdt", 1, 0, run.base_decode_time.to_bytes(8, "big"))
    try:
        tail = first_flags + (_rows(columns) if columns else b"")
    except OverflowError:
        raise MediaError("a sample is too large or too long for MP4") from None
    return head, run_flags, tail, len(head) + 20 + len(tail)


def _auxiliary(samples: Sequence[Auxiliary], at: int) -> bytes:
    """senc, saiz and saio; `at` is where they begin, counted from the moof box.

    ISO/IEC 23001-7 7.2, ISO/IEC 14496-12 8.7.8 and 8.7.9. Nothing when the samples have neither IVs nor subsamples.
    """
    split = any(sample.subsamples for sample in samples)
    rows = []
    for sample in samples:
        row = sample.iv
        if split:
            parts = sample.subsamples
            row += len(parts).to_bytes(2, "big") + b"".join(struct.pack(">HI", *part) for part in parts)
        rows.append(row)
    lengths = [len(row) for row in rows]
    if not any(lengths):
        return b""
    if max(lengths) > 0xFF:
        raise MediaError("a sample has more subsamples than MP4 can list")
    senc = full_box(b"senc", 0, 0x2 if split else 0, len(rows).to_bytes(4, "big"), *rows)
    same = lengths.count(lengths[0]) == len(lengths)
    count = len(lengths).to_bytes(4, "big")
    saiz = full_box(b"saiz", 0, 0, bytes((lengths[0] if same else 0,)), count, b"" if same else bytes(lengths))
    # The data lies inside senc, behind its header and count; one chunk of it per run.
    saio = full_box(b"saio", 0, 0, (1).to_bytes(4, "big"), (at + 16).to_bytes(4, "big"))
    return senc + saiz + saio


def fragment(sequence_number: int, runs: Sequence[Run], *, lead: bytes = b"") -> list[bytes]:
    """One movie fragment: `lead` (styp, prft, emsg), moof and the header of mdat in one piece, then the payloads.

    Payloads are not copied: join the list, or write it as it is. The samples lie in the order of the runs. Raises
    MediaError for samples that do not fit.
    """
    prepared = []
    # moof, mfhd; for each track traf around its tables.
    position = 8 + 16
    payloads: list[bytes] = []
    for run in runs:
        own = run.payloads if run.payloads is not None else [frame.payload for frame in run.frames]
        sizes = list(map(len, own))
        head, flags, tail, size = _tables(run, sizes)
        extra = _auxiliary(run.auxiliary, position + 8 + size) if run.auxiliary else b""
        prepared.append((head, flags, tail, extra, sizes))
        position += 8 + size + len(extra)
        payloads += own
    total = sum(sum(sizes) for *_, sizes in prepared)
    # 4.2.2
    wide = total + 8 >= 1 << 32
    mdat = (1).to_bytes(4, "big") + b"mdat" + (total + 16).to_bytes(8, "big") if wide else (
        (total + 8).to_bytes(4, "big") + b"mdat"
    )  # fmt: skip
    data_at = position + len(mdat)
    parts = [lead, position.to_bytes(4, "big"), b"moof", full_box(b"mfhd", 0, 0, sequence_number.to_bytes(4, "big"))]
    for head, flags, tail, extra, sizes in prepared:
        # 8.8.8: version 1 has signed offsets.
        trun = struct.pack(">I4sIIi", 20 + len(tail), b"trun", 1 << 24 | flags, len(sizes), data_at)
        parts += ((8 + len(head) + len(trun) + len(tail) + len(extra)).to_bytes(4, "big"), b"traf", head, trun, tail)
        parts.append(extra)
        data_at += sum(sizes)
        if data_at > 0x7FFF_FFFF:
            raise MediaError("a fragment of more than 2 GiB does not fit in MP4")
    parts.append(mdat)
    return [b"".join(parts), *payloads]


def prft(track_number: int, unix_s: float, media_time: int, *, flags: int = PRFT_CAPTURED) -> bytes:
    """A producer reference time (8.16.5): `media_time` (ticks as written) of the next fragment was at `unix_s`."""
    whole = int(unix_s)
    ntp = (whole + _NTP_EPOCH_S) % (1 << 32) << 32 | int((unix_s - whole) * (1 << 32))
    return full_box(b"prft", 1, flags, struct.pack(">IQQ", track_number, ntp, media_time))


def emsg(scheme: str, value: str, timescale: int, time: int, duration: int, ident: int, data: bytes = b"") -> bytes:
    """An event message of version 1 (ISO/IEC 23009-1 5.10.3.3): presented at `time`, both it and `duration` in ticks of
    1/`timescale` s. A duration of 0xFFFFFFFF is unknown."""
    return full_box(
        b"emsg", 1, 0, struct.pack(">IQII", timescale, time, duration, ident),
        scheme.encode() + b"\0", value.encode() + b"\0", data,
    )  # fmt: skip


def sidx(
    track_number: int,
    timescale: int,
    earliest: int,
    references: Sequence[tuple[int, int, bool]],
    *,
    first_offset: int = 0,
) -> bytes:
    """A segment index (8.16.3). `references` are (bytes, duration in ticks, begins with a sync sample) of consecutive
    subsegments, which begin `first_offset` bytes behind this box. Raises MediaError for what does not fit."""
    if len(references) > 0xFFFF or any(size >= 1 << 31 for size, _, _ in references):
        raise MediaError("a segment index holds 65535 subsegments of 2 GiB at most")
    rows = b"".join(
        # SAP type 1 at its begin: the first sample is decoded and shown first.
        struct.pack(">III", size, duration, 0x9000_0000 if sync else 0)
        for size, duration, sync in references
    )
    return full_box(
        b"sidx", 1, 0, struct.pack(">IIQQHH", track_number, timescale, earliest, first_offset, 0, len(references)), rows
    )  # fmt: skip
