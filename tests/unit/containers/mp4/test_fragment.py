"""Movie fragments and their neighbours, to the byte and as another reader sees them."""

import struct

import pytest

from evotools.containers.mp4.fragment import (
    NOT_SYNC,
    PRFT_WRITTEN,
    SEGMENT_TYPE,
    SYNC,
    Auxiliary,
    Run,
    emsg,
    fragment,
    prft,
    sidx,
)
from evotools.containers.mp4.init import init_segment
from evotools.errors import MediaError
from evotools.media.frame import Frame
from tests.unit.containers.mp4.streams import AAC, H264, pictures, sounds
from tests.unit.containers.mp4.walk import fragments, tree


def test_a_fragment_to_the_byte() -> None:
    """Constant durations are defaults; a leading key frame needs no flags per sample (8.8.7, 8.8.8, 8.8.12)."""
    frames = [Frame(H264, 0, 0, b"abc", key=True), Frame(H264, 1, 1, b"de"), Frame(H264, 2, 2, b"f")]
    parts = fragment(7, [Run(1, 0x1_0000_0002, frames, [40, 40, 40])], lead=b"lead")
    assert parts[1:] == [b"abc", b"de", b"f"]
    assert parts[0].hex() == b"lead".hex() + (
        "00000070" + "6d6f6f66"
        + "00000010" + "6d666864" + "00000000" + "00000007"
        + "00000058" + "74726166"
        + "00000018" + "74666864" + "00020028" + "00000001" + "00000028" + "01010000"
        + "00000014" + "74666474" + "01000000" + "0000000100000002"
        + "00000024" + "7472756e" + "01000205" + "00000003" + "00000078" + "02000000"
        + "00000003" + "00000002" + "00000001"
        + "0000000e" + "6d646174"
    )  # fmt: skip


def test_flags_durations_and_offsets_of_samples() -> None:
    frames = pictures(24)
    durations = [3600] * 23 + [3601]
    offsets = [f.pts - f.dts - 3600 for f in frames]
    init = init_segment([H264])
    data = init + b"".join(fragment(1, [Run(1, 0, frames, durations, offsets)]))
    track = fragments(data)[1]
    assert [s.payload for s in track.samples] == [f.payload for f in frames]
    assert [s.pts - s.dts for s in track.samples] == offsets
    assert [s.duration for s in track.samples] == durations
    assert [s.key for s in track.samples] == [f.key for f in frames] and sum(s.key for s in track.samples) == 2
    trun = tree(data).find("moof", "traf", "trun").body
    # Key frames amid the run: flags per sample.
    assert trun[0] == 1 and int.from_bytes(trun[1:4], "big") == 0x1 | 0x100 | 0x200 | 0x400 | 0x800


@pytest.mark.parametrize(
    ("keys", "flags", "default"),
    [([False, False], 0x201, NOT_SYNC), ([True, True], 0x201, SYNC), ([True, False], 0x205, NOT_SYNC),
     ([False, True], 0x601, NOT_SYNC)],
)  # fmt: skip
def test_sync_samples(keys: list[bool], flags: int, default: int) -> None:
    frames = [Frame(H264, n, n, bytes(n + 1), key=key) for n, key in enumerate(keys)]
    for run in (Run(1, 0, frames, [1, 1]), Run(1, 0, [f.shifted(f.track, 0, 0) for f in frames], [1, 1], (), keys)):
        traf = tree(b"".join(fragment(1, [run]))).find("moof", "traf")
        assert int.from_bytes(traf.find("trun").body[1:4], "big") == flags
        assert traf.find("tfhd").body[-4:] == default.to_bytes(4, "big")
    data = init_segment([H264]) + b"".join(fragment(1, [Run(1, 0, frames, [1, 1])]))
    assert [s.key for s in fragments(data)[1].samples] == keys


def test_sound_is_all_sync_whatever_its_frames_say() -> None:
    frames = [Frame(AAC, n, n, b"same", key=False) for n in range(3)]
    data = init_segment([AAC]) + b"".join(fragment(1, [Run(1, 0, frames, [1024] * 3)]))
    assert all(s.key for s in fragments(data)[1].samples)
    # One size for all.
    assert tree(data).find("moof", "traf", "trun").body.hex() == "01000001" + "00000003" + "0000006c"


def test_several_tracks_lie_one_behind_the_other() -> None:
    video, audio = pictures(12, reorder=False), sounds(23)
    runs = [Run(1, 5, video, [3600] * 12), Run(2, 9, audio, [1024] * 23)]
    data = init_segment([H264, AAC]) + b"".join(fragment(1, runs))
    tracks = fragments(data)
    assert [s.payload for s in tracks[1].samples] == [f.payload for f in video]
    assert [s.payload for s in tracks[2].samples] == [f.payload for f in audio]
    assert (tracks[1].samples[0].dts, tracks[2].samples[0].dts) == (5, 9)


def test_payloads_in_place_of_the_frames() -> None:
    frames = pictures(3, reorder=False)
    run = Run(1, 0, frames, [3600] * 3, payloads=[b"x", b"yy", b"zzz"])
    data = init_segment([H264]) + b"".join(fragment(1, [run]))
    assert [s.payload for s in fragments(data)[1].samples] == [b"x", b"yy", b"zzz"]


def auxiliary_of(data: bytes) -> list[bytes]:
    """What saiz and saio point to."""
    found = []
    for moof in tree(data).all("moof"):
        for traf in moof.all("traf"):
            saiz, saio = traf.find("saiz").body, traf.find("saio").body
            default, count = saiz[4], int.from_bytes(saiz[5:9], "big")
            sizes = [default] * count if default else list(saiz[9 : 9 + count])
            assert int.from_bytes(saio[4:8], "big") == 1
            at = moof.at + int.from_bytes(saio[8:12], "big")
            for size in sizes:
                found.append(data[at : at + size])
                at += size
    return found


def test_sample_auxiliary_information() -> None:
    """ISO/IEC 23001-7 7.2: senc, and the offsets and sizes that lead into it."""
    frames, sound = pictures(3, reorder=False), sounds(2)
    aux = [Auxiliary(bytes((n,)) * 8, [(5, 16), (0, 32)][: n + 1]) for n in range(3)]
    runs = [
        Run(1, 0, frames, [3600] * 3, auxiliary=aux),
        Run(2, 0, sound, [1024] * 2, auxiliary=[Auxiliary(b"A" * 8), Auxiliary(b"B" * 8)]),
    ]
    data = init_segment([H264, AAC]) + b"".join(fragment(1, runs, lead=SEGMENT_TYPE))
    parts = struct.pack(">HHIHI", 2, 5, 16, 0, 32)
    assert auxiliary_of(data) == [
        bytes(8) + struct.pack(">HHI", 1, 5, 16), b"\1" * 8 + parts, b"\2" * 8 + parts, b"A" * 8, b"B" * 8,
    ]  # fmt: skip
    video, audio = tree(data).find("moof").all("traf")
    assert video.find("senc").body[:8].hex() == "0000000200000003"
    assert audio.find("senc").body.hex() == "0000000000000002" + (b"A" * 8 + b"B" * 8).hex()
    assert [s.payload for s in fragments(data)[2].samples] == [f.payload for f in sound]


def test_a_constant_iv_without_subsamples_needs_no_tables() -> None:
    run = Run(2, 0, sounds(2), [1024] * 2, auxiliary=[Auxiliary(), Auxiliary()])
    kinds = [node.kind for node in tree(b"".join(fragment(1, [run]))).find("moof", "traf").inner]
    assert kinds == ["tfhd", "tfdt", "trun"]
    with_parts = Run(2, 0, sounds(1), [1024], auxiliary=[Auxiliary(b"", [(1, 2)])])
    assert auxiliary_of(b"".join(fragment(1, [with_parts]))) == [struct.pack(">HHI", 1, 1, 2)]
    too_many = Run(2, 0, sounds(1), [1024], auxiliary=[Auxiliary(b"", [(1, 2)] * 43)])
    with pytest.raises(MediaError, match="subsamples"):
        fragment(1, [too_many])


def test_what_does_not_fit() -> None:
    frames = pictures(2, reorder=False)
    with pytest.raises(MediaError, match="too large or too long"):
        fragment(1, [Run(1, 0, frames, [1, 1 << 31])])


def test_prft_to_the_byte() -> None:
    """8.16.5: NTP time counts from 1900."""
    assert prft(3, 1_700_000_000.5, 90_000).hex() == (
        "00000020" + "70726674" + "01000018" + "00000003" + "e8fe6f80" + "80000000" + "0000000000015f90"
    )  # fmt: skip
    assert prft(3, 0.0, 1, flags=PRFT_WRITTEN)[8:12].hex() == "01000004"


def test_emsg_to_the_byte() -> None:
    """ISO/IEC 23009-1 5.10.3.3.3."""
    assert emsg("urn:x", "1", 90_000, 1 << 33, 0xFFFFFFFF, 5, b"data").hex() == (
        "0000002c" + "656d7367" + "01000000" + "00015f90" + "0000000200000000" + "ffffffff" + "00000005"
        + b"urn:x\0".hex() + b"1\0".hex() + b"data".hex()
    )  # fmt: skip


def test_sidx_to_the_byte() -> None:
    """8.16.3; SAP type 1 at the begin of what begins with a sync sample."""
    assert sidx(1, 90_000, 180_000, [(1000, 90_000, True), (500, 45_000, False)], first_offset=4).hex() == (
        "00000040" + "73696478" + "01000000" + "00000001" + "00015f90" + "000000000002bf20" + "0000000000000004"
        + "0000" + "0002" + "000003e8" + "00015f90" + "90000000" + "000001f4" + "0000afc8" + "00000000"
    )  # fmt: skip
    with pytest.raises(MediaError):
        sidx(1, 1, 0, [(1 << 31, 1, True)])


def test_the_segment_type() -> None:
    assert SEGMENT_TYPE.hex() == "00000018" + "73747970" + b"msdh".hex() + "00000000" + b"msdhcmfs".hex()
