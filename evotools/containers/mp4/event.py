"""Timed data as event message boxes. ISO/IEC 23009-1 5.10.3.3; AOM "Carriage of ID3 Timed Metadata in CMAF"."""

from typing import Any, Final

from evotools.containers.mp4.fragment import emsg
from evotools.containers.timed import EMSG, ID3_SCHEME, JSON_SCHEME, OF_THE_WHOLE, to_json
from evotools.media.frame import Metadata

TIMESCALE: Final = 1000
_UNKNOWN: Final = 0xFFFF_FFFF


class EventBoxes:
    """Event messages and ID3 tags stay what they are, all other data becomes JSON; each gets a number."""

    def __init__(self) -> None:
        self._last = 0

    def box(self, metadata: Metadata, origin_s: float = 0.0) -> bytes:
        """The box of `metadata` in a file that begins at `origin_s` of its clock; nothing for what moov tells, and for
        what has no form in JSON."""
        if metadata.name in OF_THE_WHOLE:
            return b""
        value, options = metadata.value, metadata.options
        duration, number = 0, (self._last + 1) & 0xFFFF_FFFF
        own = options.get("id3")
        if isinstance(own, bytes):
            scheme, name, data = ID3_SCHEME, "", own
        elif metadata.name == EMSG and isinstance(value, bytes):
            scheme, name, data = _text(options.get("scheme")), _text(options.get("value")), value
            told, number = options.get("duration_s"), options.get("id", number)
            duration = _UNKNOWN if told is None else min(round(told * TIMESCALE), _UNKNOWN)
        else:
            json = to_json(value)
            if json is None:
                return b""
            scheme, name, data = JSON_SCHEME, _text(metadata.name), json
        self._last = number
        time = max(round((metadata.time_s - origin_s) * TIMESCALE), 0)
        return emsg(scheme, name, TIMESCALE, time, duration, number, data)


def _text(value: Any) -> str:
    """A string that a box can hold, which ends at the first zero."""
    return "" if value is None else str(value).replace("\0", " ").encode(errors="replace").decode()
