"""Names of codecs in program maps."""

import pytest

from evotools.containers.mpegts.psi import MapEntry
from evotools.containers.mpegts.streams import can_name, identify, language, map_entry, opus_head
from tests.unit.containers.mpegts.tools import AAC, OPUS

REGISTRATION, DVB_AC3, DVB_EAC3, METADATA = 0x05, 0x6A, 0x7A, 0x26


@pytest.mark.parametrize(
    ("stream_type", "descriptors", "name"),
    [
        (0x1B, (), "h264"), (0x24, (), "h265"), (0x02, (), "mpeg2video"), (0x03, (), "mpa"), (0x04, (), "mpa"),
        (0x0F, (), "adts"), (0x11, (), "latm"), (0x81, (), "ac3"), (0x87, (), "eac3"), (0x86, (), "scte35"),
        (0x06, ((REGISTRATION, b"Opus"), (0x7F, b"\x80\2")), "opus"),
        (0x06, ((DVB_AC3, b"\0"),), "ac3"), (0x06, ((DVB_EAC3, b"\0"),), "eac3"),
        (0x06, ((REGISTRATION, b"AC-3"),), "ac3"),
        (0x06, ((REGISTRATION, b"AV01"),), "data"), (0x06, (), "data"), (0xEA, (), "data"),
        (0x15, ((METADATA, b"\xff\xffID3 \xffID3 \0\x0f"),), "id3"),
        (0x15, ((METADATA, b"\xff\xffKLVA\xffKLVA\0\x0f"),), "data"),
        (0x05, (), ""), (0x0D, (), ""),
    ],
)  # fmt: skip
def test_identify(stream_type: int, descriptors: tuple[tuple[int, bytes], ...], name: str) -> None:
    assert identify(MapEntry(100, stream_type, descriptors)) == name


def test_blu_ray_uses_86_otherwise() -> None:
    assert identify(MapEntry(100, 0x86), ((REGISTRATION, b"HDMV"),)) == "data"


@pytest.mark.parametrize(
    ("body", "code"), [(b"deu\0", "deu"), (b"ENG\0", "eng"), (b"und\0", ""), (b"d", ""), (b"\0\0\0\0", "")]
)
def test_language(body: bytes, code: str) -> None:
    assert language(MapEntry(100, 0x0F, ((0x0A, body),))) == code


@pytest.mark.parametrize("code", range(9))
def test_opus_layouts_both_ways(code: int) -> None:
    entry = MapEntry(100, 0x06, ((REGISTRATION, b"Opus"), (0x7F, bytes((0x80, code)))))
    head = opus_head(entry)
    assert head[9] == (code or 2)
    assert map_entry(OPUS.with_(config=head), 100)[0] == entry


def test_opus_layouts_without_a_code() -> None:
    assert opus_head(MapEntry(100, 0x06, ((0x7F, b"\x80\x20"),))) == b""
    assert not can_name(OPUS.with_(config=b"nonsense"))


def test_half_rate_mpeg_audio_has_its_own_type() -> None:
    track = AAC.with_(codec="mp3", config=b"")
    assert map_entry(track.with_(sample_rate=44_100), 100)[0].stream_type == 3
    assert map_entry(track.with_(sample_rate=22_050), 100)[0].stream_type == 4
