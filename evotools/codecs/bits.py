"""Bits, most significant first: the reader and the writer that every bitstream parser here shares."""

from evotools.errors import ParseError

MAX_UE_BITS = 32
"""ue(v) codes values up to 2**32 - 2, that is at most 32 leading zero bits (ITU-T H.264 9.1, H.265 9.2)."""


class BitReader:
    """Reads unsigned, Exp-Golomb and flag fields. Every read past the end raises ParseError.

    Only the bytes that a field touches are looked at, so a huge hostile unit costs no more than a small one.
    """

    __slots__ = ("_data", "_end", "_position")

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = bytes(data)
        self._position = 0
        self._end = len(self._data) * 8

    def u(self, count: int) -> int:
        """The next `count` bits as an unsigned integer."""
        start = self._position
        end = start + count
        if end > self._end:
            raise ParseError("the bitstream ends inside a field", offset=start >> 3)
        self._position = end
        last = (end + 7) >> 3
        word = int.from_bytes(self._data[start >> 3 : last], "big")
        return (word >> (last * 8 - end)) & ((1 << count) - 1)

    def flag(self) -> bool:
        """The next bit."""
        position = self._position
        if position >= self._end:
            raise ParseError("the bitstream ends inside a field", offset=position >> 3)
        self._position = position + 1
        return bool(self._data[position >> 3] >> (7 - (position & 7)) & 1)

    def ue(self) -> int:
        """An unsigned Exp-Golomb code, ue(v)."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > MAX_UE_BITS:
                raise ParseError("an Exp-Golomb code is too long", offset=self._position >> 3)
        return (1 << zeros) - 1 + self.u(zeros) if zeros else 0

    def se(self) -> int:
        """A signed Exp-Golomb code, se(v)."""
        code = self.ue()
        return (code + 1) >> 1 if code & 1 else -(code >> 1)

    def skip(self, count: int) -> None:
        """Pass over `count` bits."""
        if count < 0 or self._position + count > self._end:
            raise ParseError("the bitstream ends inside a field", offset=self._position >> 3)
        self._position += count

    def byte_align(self) -> None:
        """Go to the next byte boundary; stays when already there."""
        self._position = (self._position + 7) & ~7

    def bytes_(self, count: int) -> bytes:
        """The next `count` whole bytes, at any bit position."""
        if not self._position & 7:
            start = self._position >> 3
            self.skip(count * 8)
            return self._data[start : start + count]
        return self.u(count * 8).to_bytes(count, "big")

    @property
    def position(self) -> int:
        """Bits read so far."""
        return self._position

    @property
    def bits_left(self) -> int:
        """Bits from here to the end."""
        return self._end - self._position


class BitWriter:
    """Collects fields, most significant bit first. For builders of small records, not for media."""

    __slots__ = ("_bits", "_count")

    def __init__(self) -> None:
        self._bits = 0
        self._count = 0

    def u(self, count: int, value: int) -> "BitWriter":
        """Append `value` in `count` bits. Raises ValueError when it does not fit."""
        if value < 0 or value >> count:
            raise ValueError(f"{value} does not fit in {count} bits")
        self._bits = self._bits << count | value
        self._count += count
        return self

    def flag(self, value: bool) -> "BitWriter":
        """Append one bit."""
        return self.u(1, int(value))

    def ue(self, value: int) -> "BitWriter":
        """Append ue(v)."""
        length = (value + 1).bit_length()
        return self.u(2 * length - 1, value + 1)

    def se(self, value: int) -> "BitWriter":
        """Append se(v)."""
        return self.ue(2 * value - 1 if value > 0 else -2 * value)

    def bytes_(self, data: bytes) -> "BitWriter":
        """Append whole bytes at the current bit position."""
        return self.u(len(data) * 8, int.from_bytes(data, "big"))

    def byte_align(self) -> "BitWriter":
        """Append zero bits up to a byte boundary."""
        return self.u(-self._count % 8, 0)

    def trailing(self) -> "BitWriter":
        """Append rbsp_trailing_bits: a one, then zeros up to a byte boundary."""
        return self.u(1, 1).byte_align()

    @property
    def position(self) -> int:
        """Bits written so far."""
        return self._count

    def getvalue(self) -> bytes:
        """Everything written, padded with zero bits to whole bytes."""
        padding = -self._count % 8
        return (self._bits << padding).to_bytes((self._count + padding) // 8, "big")
