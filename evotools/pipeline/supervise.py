"""When to try again: exponential back-off with jitter, and giving up."""

from evotools.errors import EvotoolsError, ExitCode
from evotools.pipeline.route import FOREVER

FIRST_S = 0.5
LONGEST_S = 30.0
LONGEST_ASKED_S = 300.0
"""How far a peer may put off the next attempt by asking (HTTP's Retry-After)."""
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
        self._connected_at: float | None = None
        """When the connection that stands began; None while there is none."""
        self._was_taken = False

    def next(self, error: BaseException, now: float, random: float) -> float | None:
        """Seconds to wait before the next attempt, or None to give up. `random` is in 0..1.

        A peer that once took us may refuse for a while: services hold a dead session's name for some seconds.
        """
        known = error if isinstance(error, EvotoolsError) else EvotoolsError("")
        if self._connected_at is not None and not known.early:
            self._was_taken = True
        if known.code in FINAL and not self._was_taken:
            return None
        if self._connected_at is not None and now - self._connected_at >= STEADY_S:
            self.failures = 0
        self._connected_at = None
        self.failures += 1
        if self.attempts != FOREVER and self.failures > self.attempts:
            return None
        wait = min(FIRST_S * float(1 << min(self.failures - 1, 10)), LONGEST_S) * (1 - random / 2)
        asked_s = known.retry_after_s
        # RFC 9110 10.2.3: no sooner than the peer asks for.
        return wait if asked_s is None else max(wait, min(asked_s, LONGEST_ASKED_S))

    def connected(self, now: float) -> None:
        """The connection stands at time `now`; it counts as good once it held for STEADY_S."""
        self._connected_at = now
