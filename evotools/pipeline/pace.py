"""Sending stored media at the speed of its timestamps."""

AHEAD_S = 0.04
"""How far ahead of its time a frame may leave: one frame at 25 fps, so that pacing adds no jitter of its own."""
JUMP_S = 3.0
"""A step of the media clock beyond this is a jump: the clock is anchored anew instead of waiting or rushing."""


class Pacer:
    """Tells how long to wait before a decode time is due. Anchored at the first frame and again after jumps."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._start_media: float | None = None
        self._start_now = 0.0
        self._newest = 0.0

    def wait(self, dts_s: float, now: float) -> float:
        """Seconds to wait at time `now` before a frame of `dts_s` leaves; 0 when it is due."""
        if self._start_media is None or abs(dts_s - self._newest) > JUMP_S:
            self._start_media, self._start_now, self._newest = dts_s, now, dts_s
        early = self._start_now + (dts_s - self._start_media) / self._speed - now
        if dts_s < self._newest:
            # Tracks interleave loosely: a frame behind the newest one tells nothing about how late we are.
            return max(early - AHEAD_S, 0.0)
        self._newest = dts_s
        if early < -1.0:
            # The source fell behind (a slow disk, a stopped process): catch up no debt, go on from here.
            self._start_media, self._start_now = dts_s, now
            return 0.0
        return max(early - AHEAD_S, 0.0)
