"""When to try again: exponential back-off with jitter, and giving up."""

from evotools.errors import ExitCode, EvotoolsError
from evotools.pipeline.route import FOREVER

FIRST_S = 0.5
LONGEST_S = 30.0
STEADY_S = 10.0
"""A connection that held this long was good: the next failure starts counting from nothing."""
FINAL = {ExitCode.USAGE, ExitCode.REFUSED, ExitCode.UNSUITABLE, ExitCode.BUG}
"""Trying again cannot mend these."""


class Backoff:
    """Waits of 0.5, 1, 2 … 30 s, each shortened at random by up to a half so that many clients spread out."""

    def __init__(self, attempts: int) -> None:
        """`attempts` in a row; FOREVER has no end, 0 is none."""
        self.attempts = attempts
        self.failures = 0

    def next(self, error: BaseException, random: float, steady: bool = False) -> float | None:
        """Seconds to wait before the next attempt, or None to give up. `random` is in 0..1."""
        if isinstance(error, EvotoolsError) and error.code in FINAL and not steady:
            return None
        if steady:
            self.failures = 0
        self.failures += 1
        if self.attempts != FOREVER and self.failures > self.attempts:
            return None
        wait = min(FIRST_S * 2 ** min(self.failures - 1, 10), LONGEST_S)
        return wait * (1 - random / 2)

    def succeeded(self) -> None:
        """The connection works."""
        self.failures = 0
