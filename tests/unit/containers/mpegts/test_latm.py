"""AAC in LATM, from bits written here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs.bits import BitWriter
from evotools.containers.mpegts.audio import make_reader
from evotools.containers.mpegts.latm import LatmParser
from evotools.errors import ParseError


def element(payload: bytes, *, config: bool = True, version: int = 0, other: bool = False, crc: bool = False) -> bytes:
    out = BitWriter().flag(not config)
    if config:
        out.u(1, version)
        if version:
            out.u(1, 0).u(2, 0).u(8, 0)  # audioMuxVersionA, taraBufferFullness
        out.flag(True).u(6, 0).u(4, 0).u(3, 0)
        if version:
            out.u(2, 0).u(8, 16)  # ascLen
        out.u(16, 0x1190).u(3, 0).u(8, 0xFF)
        out.flag(other)
        if other:
            if version:
                out.u(2, 0).u(8, 0)
            else:
                out.u(9, 0x101).u(9, 0)
        out.flag(crc)
        if crc:
            out.u(8, 0x55)
    size = len(payload)
    while size >= 255:
        out.u(8, 255)
        size -= 255
    return out.u(8, size).bytes_(payload).getvalue()


@given(st.binary(max_size=600), st.integers(0, 1), st.booleans(), st.booleans())
def test_payload_and_configuration(payload: bytes, version: int, other: bool, crc: bool) -> None:
    parser = LatmParser()
    parser.read(element(payload, version=version, other=other, crc=crc))
    assert (parser.config, parser.payload) == (bytes.fromhex("1190"), payload)
    parser.read(element(b"next", config=False))
    assert parser.payload == b"next"


def test_in_loas_frames() -> None:
    units = [element(b"a" * 30), element(b"b" * 40, config=False)]
    loas = b"".join((0x2B7 << 13 | len(unit)).to_bytes(3, "big") + unit for unit in units)
    reader = make_reader("latm", 1, "")
    frames = reader.read(loas, 0, 0)
    assert [(frame.payload, frame.pts) for frame in frames] == [(b"a" * 30, 0), (b"b" * 40, 1920)]
    assert reader.track is not None
    assert (reader.track.codec, reader.track.sample_rate, reader.track.channels) == ("aac", 48_000, 2)


@pytest.mark.parametrize(
    "data", [b"", element(b"x", config=False), element(bytes(60))[:20], BitWriter().u(2, 1).u(1, 1).getvalue(),
             BitWriter().u(3, 1).u(6, 1).u(7, 0).getvalue()],
)  # fmt: skip
def test_what_is_not_read(data: bytes) -> None:
    with pytest.raises(ParseError):
        LatmParser().read(data)
