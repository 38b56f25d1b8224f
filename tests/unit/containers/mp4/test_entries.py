"""Sample entries: what is written, what is read, and that one gives the other."""

import struct

import pytest

from evotools.codecs import aac, opus
from evotools.codecs.describe import describe
from evotools.containers.mp4 import esds
from evotools.containers.mp4.boxes import box, full_box
from evotools.containers.mp4.entries import (
    MAX_ENTRY,
    EntryInfo,
    accepts,
    codec_string,
    completed,
    display_size,
    is_complete,
    needs_packet,
    parse_sample_entry,
    sample_entry,
)
from evotools.containers.mp4.protection import Protection, parse_pssh, pssh
from evotools.errors import MediaError, ParseError
from evotools.media.track import Kind, Track
from tests.unit.codecs import vectors
from tests.unit.codecs.fuzzing import ROUNDS, fuzz

ASC = aac.build_asc(2, 48_000, 2)


def video(codec: str, config: bytes = b"", **more: object) -> Track:
    return describe(Track(1, Kind.VIDEO, codec, 90_000, config)).with_(**more)


def audio(codec: str, config: bytes = b"", **more: object) -> Track:
    return describe(Track(1, Kind.AUDIO, codec, 48_000, config)).with_(**more)


TRACKS = {
    "avc1": video("h264", vectors.AVCC_HIGH, bitrate_bps=1_500_000),
    "hvc1": video("h265", vectors.HVCC_MAIN10),
    "av01": video("av1", vectors.AV1C_SVT),
    "vp09": video("vp9", vectors.VPCC_P0, width=322, height=242),
    "vp08": video("vp8", width=322, height=242),
    "mp4a": audio("aac", ASC, bitrate_bps=128_000),
    "Opus": audio("opus", opus.build_head(2)),
    "opus51": audio("opus", vectors.OPUS_HEAD_51),
    "ac-3": audio("ac3", vectors.DAC3_51),
    "ec-3": audio("eac3", vectors.DEC3_51),
    "fLaC": audio("flac", vectors.STREAMINFO),
    "mp3": audio("mp3", sample_rate=44_100, channels=2),
    "mp3low": audio("mp3", sample_rate=22_050, channels=1),
    "mpeg4": video("mpeg4", bytes.fromhex("000001b0f5"), width=640, height=480),
    "alac": audio("alac", box(b"alac", bytes(28)), sample_rate=44_100, channels=2),
}


def read(entry: bytes, handler: bytes = b"", **more: int) -> EntryInfo:
    kind = handler or (b"soun" if len(entry) > 16 and entry[4:8] in (b"mp4a", b"Opus", b"enca") else b"vide")
    return parse_sample_entry(entry, handler=kind, track_id=1, timescale=90_000 if kind == b"vide" else 48_000, **more)


@pytest.mark.parametrize("name", sorted(TRACKS))
def test_reading_gives_back_what_was_written(name: str) -> None:
    track = TRACKS[name]
    entry = sample_entry(track)
    assert int.from_bytes(entry[:4], "big") == len(entry)
    told = read(entry, b"vide" if track.kind is Kind.VIDEO else b"soun")
    assert told.protection is None and told.nal_length_size == 4
    assert told.track == track.with_(profile=told.track.profile)


AVCC_WIDE = bytes.fromhex(
    "0164001effe100216764001eacd940b4126ffc010000b5a808080a000003000200000300641e2c5b2c01000668ebe3cb22c0fdf8f800"
)
"""avcC: libx264, 720x576, samples 64:45, BT.709."""


def test_avc1_to_the_byte() -> None:
    """12.1.3; shape and colours are those of the sequence parameter set."""
    track = video("h264", AVCC_WIDE, bitrate_bps=1_500_000)
    assert sample_entry(track).hex() == (
        "000000cb61766331" + "000000000000" + "0001" + "00" * 16 + "02d00240"
        + "00480000" * 2 + "00000000" + "0001" + "00" * 32 + "0018ffff"
        + "0000003e" + "61766343" + AVCC_WIDE.hex()
        + "00000013" + "636f6c72" + "6e636c78" + "0001" * 3 + "00"
        + "00000010" + "70617370" + "00000040" + "0000002d"
        + "00000014" + "62747274" + "00000000" + "0016e360" * 2
    )  # fmt: skip
    assert display_size(track) == (1024 << 16, 576 << 16)


def test_mp4a_to_the_byte() -> None:
    assert sample_entry(TRACKS["mp4a"]).hex() == (
        "0000006b6d703461" + "000000000000" + "0001" + "0000000000000000" + "00020010" + "00000000" + "bb800000"
        + "00000033" + "65736473" + "00000000" + "0380808022" + "000000" + "0480808014" + "4015" + "000000"
        + "0001f400" * 2 + "0580808002" + "1190" + "0680808001" + "02"
        + "00000014" + "62747274" + "00000000" + "0001f400" * 2
    )  # fmt: skip


def test_opus_and_flac_to_the_byte() -> None:
    """Opus in ISOBMFF 4.3.2: OpusHead in the other byte order."""
    assert (
        sample_entry(TRACKS["Opus"])[36:].hex()
        == "00000013" + "644f7073" + "00" + "02" + "0138" + "0000bb80" + "000000"
    )
    assert sample_entry(TRACKS["fLaC"])[36:].hex() == (
        "00000032" + "64664c61" + "00000000" + "80000022" + vectors.STREAMINFO.hex()
    )


def test_colours() -> None:
    coloured = video("av1", vectors.AV1C_MONO)
    # BT.2020, PQ, matrix of BT.2020; full range.
    assert box(b"colr", b"nclx", struct.pack(">HHHB", 9, 16, 9, 0x80)) in sample_entry(coloured)
    assert b"colr" not in sample_entry(TRACKS["vp09"])


@pytest.mark.parametrize(
    ("name", "string"),
    [
        ("avc1", "avc1.64000D"), ("hvc1", "hvc1.2.4.L60.90"), ("av01", "av01.0.00M.08"), ("vp09", "vp09.00.20.08"),
        ("vp08", "vp08.00.10.08"), ("mp4a", "mp4a.40.2"), ("Opus", "opus"), ("ac-3", "ac-3"), ("ec-3", "ec-3"),
        ("fLaC", "fLaC"), ("mp3", "mp4a.6B"), ("mp3low", "mp4a.69"), ("mpeg4", "mp4v.20"),
    ],
)  # fmt: skip
def test_codec_strings_are_those_of_the_entries(name: str, string: str) -> None:
    assert codec_string(TRACKS[name]) == string


def test_rates_that_do_not_fit() -> None:
    def rate(track: Track) -> int:
        return int.from_bytes(sample_entry(track)[32:36], "big")

    info = bytearray(vectors.STREAMINFO)
    # 192 kHz in its 20 bits.
    info[10:13] = (192_000 << 4 | info[12] & 15).to_bytes(3, "big")
    assert rate(audio("flac", bytes(info))) == 48_000 << 16
    assert rate(audio("aac", aac.build_asc(2, 96_000, 2))) == 0
    assert read(sample_entry(audio("aac", aac.build_asc(2, 96_000, 2)))).track.sample_rate == 96_000


def test_what_cannot_be_written() -> None:
    assert not accepts(Track(1, Kind.DATA, "scte35", 90_000))
    for track in (
        Track(1, Kind.AUDIO, "vorbis", 48_000), Track(1, Kind.VIDEO, "h264", 90_000),
        Track(1, Kind.AUDIO, "aac", 48_000), TRACKS["vp09"].with_(width=70_000),
    ):  # fmt: skip
        with pytest.raises(MediaError, match="cannot carry"):
            sample_entry(track)


def test_tracks_that_packets_complete() -> None:
    ac3 = Track(1, Kind.AUDIO, "ac3", 90_000)
    assert needs_packet(ac3) and not is_complete(ac3)
    assert completed(ac3) == ac3
    told = completed(ac3, vectors.AC3_51)
    assert (told.config, told.sample_rate, told.channels) == (vectors.DAC3_51, 48_000, 6) and is_complete(told)
    # The vector is the beginning of a frame; its length in the header is what counts.
    assert completed(Track(1, Kind.AUDIO, "eac3", 90_000), vectors.EAC3_51).config == vectors.DEC3_51
    assert completed(Track(1, Kind.VIDEO, "vp9", 1000), vectors.VP9_KEY).width == 322
    assert completed(Track(1, Kind.VIDEO, "vp8", 1000), vectors.VP8_KEY).height == 242
    assert completed(Track(1, Kind.AUDIO, "opus", 48_000)).config == opus.build_head(2)
    plain = Track(1, Kind.VIDEO, "h264", 1000, vectors.AVCC_HIGH)
    assert completed(plain).width == 322
    assert not is_complete(Track(1, Kind.VIDEO, "h264", 1000)) and not needs_packet(Track(1, Kind.VIDEO, "h264", 1000))
    with pytest.raises(ParseError):
        completed(ac3, b"nonsense")


# Entries of other writers.


def sound_description(version: int, fields: bytes, *boxes: bytes, kind: bytes = b"mp4a") -> bytes:
    """A sound sample description of QuickTime: stereo, 16 bits, 48 kHz in the fields of version 0."""
    return box(kind, struct.pack(">6xHHHIHHhHI", 1, version, 0, 0, 2, 16, -2, 0, 48_000 << 16), fields, *boxes)


def test_sound_descriptions_of_quicktime() -> None:
    inner = esds.build(esds.AAC, ASC)
    wave = box(b"wave", box(b"frma", b"mp4a"), box(b"mp4a", bytes(4)), inner, bytes.fromhex("0000000800000000"))
    assert read(sound_description(0, b"", inner)).track.config == ASC
    assert read(sound_description(1, bytes(16), wave)).track.config == ASC
    # ISO files have version 1 without the extra fields, in an stsd box of version 1.
    assert read(sound_description(1, b"", inner), stsd_version=1).track.config == ASC
    second = struct.pack(">IdIIIIII", 72, 44_100.0, 6, 0x7F000000, 0, 0, 0, 1024)
    lpcm = read(sound_description(2, second, kind=b"lpcm"), b"soun")
    assert (lpcm.track.codec, lpcm.track.sample_rate, lpcm.track.channels) == ("lpcm", 44_100, 6)
    assert read(sound_description(2, second, wave)).track.config == ASC


def test_object_types() -> None:
    def track(object_type: int, specific: bytes = b"") -> Track:
        return read(sound_description(0, b"", esds.build(object_type, specific))).track

    assert track(0x6B).codec == track(0x69).codec == "mp3"
    assert track(0xA5).codec == "ac3" and track(0xA6).codec == "eac3"
    # MPEG-2 AAC LC without a configuration: the rest of the entry tells.
    assert track(0x67) == track(0x67, ASC) and track(0x67).config == ASC
    assert track(0x40).config == b""
    # 14496-3 Table 1.17: layer III under the number of AAC.
    assert track(0x40, aac.build_asc(34, 44_100, 2)).codec == "mp3"
    assert track(0xE1).codec == "mp4-e1"


def test_lengths_of_other_sizes_become_canonical() -> None:
    config = vectors.AVCC_HIGH
    short = config[:4] + b"\xfd" + config[5:]
    entry = sample_entry(TRACKS["avc1"]).replace(config, short)
    told = read(entry)
    assert told.nal_length_size == 2 and told.track.config == config
    hevc = vectors.HVCC_MAIN
    entry = sample_entry(video("h265", hevc)).replace(hevc, hevc[:21] + bytes((hevc[21] & 0xFC,)) + hevc[22:])
    told = read(entry.replace(b"hvc1", b"hev1"))
    assert (told.format, told.nal_length_size, told.track.config) == (b"hev1", 1, hevc)


def test_parameter_sets_in_band() -> None:
    bare = b"\1\x64\0\x0d\xff\xe0\0"
    told = read(box(b"avc3", sample_entry(TRACKS["avc1"])[8:86], box(b"avcC", bare)))
    assert told.track.codec == "h264" and told.track.config == b"" and told.track.width == 322


def test_unknown_formats_are_named_not_refused() -> None:
    told = read(box(b"tx3g", bytes(40)), b"sbtl")
    assert (told.track.codec, told.track.kind, told.track.config) == ("tx3g", Kind.DATA, b"")
    told = read(box(b"ABCD", sample_entry(TRACKS["avc1"])[8:86]))
    assert (told.track.codec, told.track.width, told.format) == ("abcd", 322, b"ABCD")


CENC = Protection(b"cenc", bytes(range(16)), 8)
CBCS = Protection(b"cbcs", bytes(range(16)), 0, bytes(range(16)), 1, 9)


@pytest.mark.parametrize("protection", [CENC, CBCS, Protection(b"cens", bytes(16), 16, b"", 1, 9)])
@pytest.mark.parametrize("name", ["avc1", "mp4a"])
def test_protected_entries(name: str, protection: Protection) -> None:
    entry = sample_entry(TRACKS[name], protection=protection)
    assert entry[4:8] == (b"encv" if name == "avc1" else b"enca")
    told = read(entry, b"vide" if name == "avc1" else b"soun")
    assert (told.track, told.format.decode(), told.protection) == (TRACKS[name], name, protection)
    assert told.encrypted


def test_tenc_to_the_byte() -> None:
    """ISO/IEC 23001-7 8.2.2: version 1 with the pattern, and the constant IV at the end."""
    entry = sample_entry(TRACKS["mp4a"], protection=CBCS)
    tenc = (
        "00000031"
        + "74656e63"
        + "01000000"
        + "00"
        + "19"
        + "01"
        + "00"
        + bytes(range(16)).hex()
        + "10"
        + bytes(range(16)).hex()
    )
    assert entry.hex().endswith(tenc)
    assert sample_entry(TRACKS["mp4a"], protection=CENC).hex().endswith(
        "00000020" + "74656e63" + "00000000" + "00" + "00" + "01" + "08" + bytes(range(16)).hex()
    )  # fmt: skip


def test_protection_that_cannot_be() -> None:
    for wrong in (Protection(b"cenc", b"short"), Protection(b"cenc", bytes(16), 4), Protection(b"cbcs", bytes(16), 0)):
        with pytest.raises(MediaError):
            sample_entry(TRACKS["avc1"], protection=wrong)
    # A scheme of which nothing is known but its name.
    odd = box(b"encv", sample_entry(TRACKS["avc1"])[8:], box(b"sinf", box(b"frma", b"avc1")))
    told = read(odd)
    assert told.encrypted and told.protection is None and told.format == b"avc1"
    with pytest.raises(ParseError, match="scheme information"):
        read(box(b"encv", sample_entry(TRACKS["avc1"])[8:]))
    with pytest.raises(ParseError, match="original format"):
        read(box(b"encv", sample_entry(TRACKS["avc1"])[8:], box(b"sinf")))


def test_pssh() -> None:
    system, kid = bytes(range(16)), bytes(16)
    whole = pssh(system, b"data", [kid])
    assert (
        whole.hex()
        == "00000038" + "70737368" + "01000000" + system.hex() + "00000001" + kid.hex() + "00000004" + b"data".hex()
    )
    assert parse_pssh(whole[8:]) == (system, (kid,), b"data")
    assert parse_pssh(pssh(system, b"data")[8:]) == (system, (), b"data")
    with pytest.raises(MediaError):
        pssh(b"short")
    with pytest.raises(ParseError, match="key ids"):
        parse_pssh(full_box(b"pssh", 1, 0, system, b"\xff\xff\xff\xff")[8:])


def test_limits() -> None:
    with pytest.raises(ParseError, match="limit"):
        read(bytes(MAX_ENTRY + 1))
    for entry in (b"", b"\0\0\0\x08avc1", b"\0\0\1\0avc1", box(b"mp4a", bytes(20)), box(b"avc1", bytes(60))):
        with pytest.raises(ParseError):
            read(entry)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_damage_is_a_parse_error(rounds: int) -> None:
    seeds = [sample_entry(track) for track in TRACKS.values()]
    seeds += [sample_entry(TRACKS[name], protection=one) for name in ("avc1", "mp4a") for one in (CENC, CBCS)]
    seeds.append(sound_description(1, bytes(16), box(b"wave", esds.build(esds.AAC, ASC))))
    seeds.append(sound_description(2, struct.pack(">IdIIIIII", 72, 44_100.0, 6, 0x7F000000, 0, 0, 0, 1024)))

    def either(data: bytes) -> None:
        for handler in (b"vide", b"soun"):
            try:
                read(data, handler)
            except ParseError:
                pass

    fuzz(either, seeds, rounds)
    fuzz(lambda data: parse_pssh(data), [pssh(bytes(16), b"data", [bytes(16)])[8:]], rounds)
