"""The melodic tone: every second a new pitch that decays, as in the well-known ffmpeg test source.

A second of the tone at pitch w (radians per second) is `0.7 (0.6 sin(w t) + 0.4 sin(2 w t)) exp(-4 t)` with w drawn
from 1000 to 4000, so 159 to 637 Hz.
"""

from array import array
from cmath import exp
from math import pi

_LOW, _HIGH = 1000.0, 4000.0
_DECAY = 4.0
_GAIN = 0.7
"""Low-rate encoders overshoot at the attack by half; at full level the decoded sound would clip."""
_MASK64 = (1 << 64) - 1


def _mix(value: int) -> int:
    """SplitMix64: well spread 64 bits from any integer, the same on every machine."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK64
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK64
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK64
    return value ^ value >> 31


def pitch(seed: int, second: int) -> float:
    """Radians per second of the tone in second `second`."""
    return _LOW + (_HIGH - _LOW) * (_mix(_mix(seed) ^ second) / 2.0**64)


class Tone:
    """Samples of the tone on demand."""

    def __init__(self, seed: int, sample_rate: int, hertz: float | None = None) -> None:
        """`hertz` gives a steady sine of that pitch instead of the melody."""
        self._seed = seed
        self._rate = sample_rate
        self._hertz = hertz
        self._seconds: dict[int, array[float]] = {}

    def _make(self, second: int) -> "array[float]":
        rate = self._rate
        if self._hertz is not None:
            # Starts where second n of an endless sine would, so that seconds join without a click.
            phase = 2 * pi * (self._hertz * second % 1.0)
            turn, step = exp(1j * phase), exp(2j * pi * self._hertz / rate)
            values = []
            for _ in range(rate):
                values.append(0.5 * turn.imag)
                turn *= step
            return array("f", values)
        speed = pitch(self._seed, second)
        first, second_partial = complex(1), complex(1)
        base, octave = 0.6 * _GAIN, 0.4 * _GAIN
        step, step2 = exp(complex(-_DECAY, speed) / rate), exp(complex(-_DECAY, 2 * speed) / rate)
        values = []
        append = values.append
        for _ in range(rate):
            append(base * first.imag + octave * second_partial.imag)
            first *= step
            second_partial *= step2
        return array("f", values)

    def samples(self, start: int, count: int) -> "array[float]":
        """`count` samples from number `start`, in -1..1. Silence before sample 0."""
        result = array("f", bytes(4 * min(count, max(0, -start))))
        position = start + len(result)
        end = start + count
        while position < end:
            second, offset = divmod(position, self._rate)
            block = self._seconds.get(second)
            if block is None:
                # Tracks ask in step, so only this second and the one before are wanted again.
                self._seconds = {n: b for n, b in self._seconds.items() if n >= second - 1}
                block = self._seconds[second] = self._make(second)
            part = block[offset : offset + end - position]
            result += part
            position += len(part)
        return result
