"""One clock for all streams of a program: 33-bit times unwrapped together, and jumps told from wraps."""

from evotools.containers.mpegts.packet import TIMESCALE, WRAP

_HALF = WRAP >> 1
_MASK = WRAP - 1
BACK = -TIMESCALE // 2
"""Decode times of one stream that step back further than this have jumped."""
AHEAD = 10 * TIMESCALE
"""A step ahead beyond this is a jump, anything less a gap that players bridge."""
_NEGATIVE = 60 * TIMESCALE
"""A stream that starts this close below the wrap started before zero: writers put negative times there."""


def _nearest(raw: int, reference: int) -> int:
    """The number congruent to `raw` that lies nearest to `reference`."""
    return reference + ((raw - reference + _HALF) & _MASK) - _HALF


class StreamTime:
    """Where one stream stands on the clock."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last: int | None = None


class ProgramClock:
    """Unwraps the decode times of every stream of a program.

    A stream follows its own last time while it is continuous. After a jump, and at its first packet, it is placed
    next to the other streams, so that audio and video stay together across a wrap and across a restart, whichever of
    them comes first. `jumped` tells the caller once per event: a stream that jumps to where another one has already
    gone does not count.
    """

    __slots__ = ("_joint", "jumped")

    def __init__(self) -> None:
        self._joint: int | None = None
        self.jumped = False

    @property
    def now(self) -> int:
        """The latest decode time, 0 before the first."""
        return self._joint or 0

    def unwrap(self, stream: StreamTime, raw: int, *, leads: bool = True) -> int:
        """The decode time for `raw`; sets `jumped` when the program's clock was broken here.

        `leads` is false for sparse data streams, which follow the clock and never move it.
        """
        self.jumped = False
        joint, last = self._joint, stream.last
        if last is not None:
            value = _nearest(raw, last)
            if BACK <= value - last <= AHEAD:
                stream.last = value
                if leads and (joint is None or BACK <= value - joint <= AHEAD):
                    self._joint = value
                return value
        if joint is None:
            value = raw - WRAP if raw >= WRAP - _NEGATIVE else raw
        else:
            value = _nearest(raw, joint)
            self.jumped = leads and last is not None and not -AHEAD <= value - joint <= AHEAD
        stream.last = value
        if leads:
            self._joint = value
        return value
