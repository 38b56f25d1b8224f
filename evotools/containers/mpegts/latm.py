"""AAC in LATM: AudioMuxElement and StreamMuxConfig with one program, one layer, one frame. ISO/IEC 14496-3 1.7.3."""

from evotools.codecs.aac import read_object_type
from evotools.codecs.bits import BitReader
from evotools.errors import ParseError


class LatmParser:
    """Keeps the last StreamMuxConfig. `config` is the AudioSpecificConfig, `payload` the last raw access unit."""

    def __init__(self) -> None:
        self.config = b""
        self.payload = b""

    def read(self, element: bytes) -> None:
        """Take in one AudioMuxElement(1).

        Raises ParseError for broken ones, for unusual layouts, and before the first configuration.
        """
        bits = BitReader(element)
        if not bits.flag():
            self._read_config(bits, element)
        if not self.config:
            raise ParseError("LATM frame before its configuration")
        size = 0
        while True:
            part = bits.u(8)
            size += part
            if part != 255:
                break
        if size * 8 > bits.bits_left:
            raise ParseError("LATM frame longer than its element")
        self.payload = bits.bytes_(size)

    def _read_config(self, bits: BitReader, element: bytes) -> None:
        version = bits.u(1)
        if version and bits.u(1):
            raise ParseError("LATM audioMuxVersionA 1 is reserved")
        if version:
            _value(bits)
        same_time, frames, programs, layers = bits.flag(), bits.u(6), bits.u(4), bits.u(3)
        if not same_time or frames or programs or layers:
            raise ParseError("LATM with several frames, programs or layers")
        size = _value(bits) if version else 0
        begin = bits.position
        if version:
            bits.skip(size)
        else:
            _skip_config(bits)
        end = bits.position
        if bits.u(3):
            raise ParseError("LATM frameLengthType other than 0")
        bits.skip(8)
        if bits.flag():
            if version:
                _value(bits)
            else:
                while bits.u(9) >> 8:
                    pass
        if bits.flag():
            bits.skip(8)
        config = BitReader(element)
        config.skip(begin)
        count = end - begin
        self.config = (config.u(count) << (-count % 8)).to_bytes((count + 7) // 8, "big")


def _value(bits: BitReader) -> int:
    """LatmGetValue, 1.7.3.2.2."""
    return bits.u(8 * (bits.u(2) + 1))


def _rate(bits: BitReader) -> None:
    if bits.u(4) == 15:
        bits.skip(24)


def _skip_config(bits: BitReader) -> None:
    """Pass over an AudioSpecificConfig of the general audio types, whose length version 0 does not tell. 1.6.2.1."""
    kind = read_object_type(bits)
    _rate(bits)
    channels = bits.u(4)
    if kind in (5, 29):
        _rate(bits)
        kind = read_object_type(bits)
    if kind not in (1, 2, 3, 4) or not channels:
        raise ParseError(f"LATM with AAC object type {kind} and channel configuration {channels}")
    bits.skip(1)
    if bits.flag():
        bits.skip(14)
    if bits.flag():
        bits.skip(1)
