"""The presentation's clock over breaks, changed encodings and restarts."""

from dataclasses import dataclass

from evotools.packaging.presentation import Period, Presentation

MATCH_S = 0.001
"""Instants closer than this are the same one."""


@dataclass(frozen=True, slots=True)
class Break:
    """An instant where all renditions change."""

    time_s: float
    """On the presentation's clock."""
    period: int
    """Index of the period from there on."""
    discontinuity: bool
    """Nothing follows from what was before."""


class Periods:
    """Periods and breaks of one run. Media time as written plus `offset_s` is presentation time."""

    def __init__(self, presentation: Presentation) -> None:
        self.before = 0
        """Discontinuities of earlier runs."""
        self.before_end_s = 0.0
        """Where earlier runs ended, on the presentation's clock."""
        self.offset_s: float | None = None
        """None until the first piece."""
        self.breaks: list[Break] = []
        self._presentation = presentation
        self._first = 0
        """Index of the first period of this run."""

    def begin(self, media_s: float, unix_s: float) -> None:
        """The first piece of this run begins at `media_s`, wall time `unix_s`."""
        presentation = self._presentation
        if presentation.type == "vod":
            presentation.periods.append(Period(0, 0.0, media_s))
            self.offset_s = -media_s
        elif not presentation.periods:
            presentation.availability_start_unix_s = unix_s
            presentation.periods.append(Period(0, 0.0, media_s))
            self.offset_s = -media_s
        else:
            # A clock that was set back must not make two segments claim the same time.
            start_s = max(unix_s - presentation.availability_start_unix_s, self.before_end_s)
            self._first = presentation.periods[-1].index + 1
            presentation.periods.append(Period(self._first, start_s, media_s))
            self.breaks.append(Break(float("-inf"), self._first, True))
            self.offset_s = start_s - media_s

    def add(self, at_s: float, *, period: bool, discontinuity: bool) -> None:
        """Everything changes at presentation time `at_s`."""
        assert self.offset_s is not None
        last = self._presentation.periods[-1]
        if period:
            last = Period(last.index + 1, at_s, at_s - self.offset_s)
            self._presentation.periods.append(last)
        self.breaks.append(Break(at_s, last.index, discontinuity))

    def period_after(self, breaks: int) -> int:
        """Index of the period behind the first `breaks` breaks."""
        return self.breaks[breaks - 1].period if breaks else self._first

    def discontinuities(self, breaks: int) -> int:
        """How many of the first `breaks` breaks are discontinuities."""
        return sum(b.discontinuity for b in self.breaks[:breaks])

    @property
    def total(self) -> int:
        """Discontinuities of all runs."""
        return self.before + self.discontinuities(len(self.breaks))
