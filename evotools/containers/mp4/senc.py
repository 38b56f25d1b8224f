"""What decrypts each sample: initialization vectors and subsamples. ISO/IEC 23001-7 7.

Tables only; nothing here decrypts.
"""

import struct
from typing import Any, Final

from evotools.containers.mp4.protection import Protection
from evotools.containers.mp4.samples import View
from evotools.errors import ParseError

MAX_SUBSAMPLES: Final = 4096
"""Stretches of clear and protected bytes in one sample, as many as NAL units in one access unit."""


_STEP: Final = 1024


class SampleSecrets:
    """Initialization vectors and subsamples of a track's samples, in order (23001-7 7.2).

    What frames carry of it: `side["cenc"] = (iv, ((clear, protected), ...))` in bytes; no pairs: all is protected.
    """

    def __init__(self, data: View, protection: Protection) -> None:
        """`data` is the body of a senc box. Raises ParseError."""
        if len(data) < 8:
            raise ParseError("MP4: the box 'senc' is too short")
        word, self._left = struct.unpack_from(">II", data)
        self._subsamples = bool(word & 2)
        self._data = bytes(data)
        self._position = 8
        self._protection = protection

    def take(self, count: int) -> list[dict[str, Any] | None]:
        """Side data of the next `count` samples. Raises ParseError."""
        size = self._protection.iv_size
        data, position, end = self._data, self._position, len(self._data)
        out: list[dict[str, Any] | None] = []
        for _ in range(min(count, self._left)):
            vector = data[position : position + size] or self._protection.constant_iv
            position += size
            pairs: tuple[tuple[int, int], ...] = ()
            if self._subsamples:
                number = int.from_bytes(data[position : position + 2], "big")
                position += 2
                if number > MAX_SUBSAMPLES or position + 6 * number > end:
                    raise ParseError("MP4: the box 'senc' is cut")
                pairs = tuple(struct.iter_unpack(">HI", data[position : position + 6 * number]))
                position += 6 * number
            if position > end:
                raise ParseError("MP4: the box 'senc' is cut")
            out.append({"cenc": (vector, pairs)})
        self._left -= len(out)
        self._position = position
        return out + [None] * (count - len(out))

    def skip(self, count: int) -> None:
        """Pass over the next `count` samples."""
        if not self._subsamples and not self._protection.iv_size:
            self._left -= min(count, self._left)
            return
        # Each takes some bytes of the table.
        for done in range(0, min(count, self._left), _STEP):
            self.take(min(_STEP, count - done))

    @classmethod
    def constant(cls, protection: Protection) -> "SampleSecrets":
        """For samples that are protected whole with the constant vector, of which no table speaks."""
        return cls(bytes(4) + b"\xff" * 4, protection)
