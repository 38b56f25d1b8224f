"""The melodic tone."""

from math import exp, pi, sin

import pytest

from evotools.videogen.tone import Tone, pitch


def test_the_formula_of_the_classic_script() -> None:
    rate = 48_000
    samples = Tone(7, rate).samples(0, 2 * rate)
    for second in (0, 1):
        w = pitch(7, second)
        assert 1000 <= w < 4000
        for i in (0, 1, 100, 4_800, 24_000, 47_999):
            t = i / rate
            expected = 0.7 * (0.6 * sin(w * t) + 0.4 * sin(2 * w * t)) * exp(-4 * t)
            assert samples[second * rate + i] == pytest.approx(expected, abs=1e-6)


def test_every_second_has_its_pitch_and_every_seed_its_melody() -> None:
    assert len({pitch(1, s) for s in range(100)}) == 100
    assert [pitch(1, s) for s in range(5)] != [pitch(2, s) for s in range(5)]


@pytest.mark.parametrize("chunk", [1, 960, 1024, 44_100, 50_000])
def test_chunks_join_without_a_seam(chunk: int) -> None:
    whole = Tone(3, 44_100).samples(-1000, 100_000)
    tone = Tone(3, 44_100)
    position, joined = -1000, []
    if chunk == 1:
        joined = [tone.samples(p, 1)[0] for p in range(43_000, 45_000)]
        assert joined == list(whole[44_000:46_000])
        return
    while position < 99_000:
        size = min(chunk, 99_000 - position)
        joined += tone.samples(position, size)
        position += size
    assert joined == list(whole)


def test_silence_before_the_start() -> None:
    samples = Tone(3, 48_000).samples(-100, 150)
    assert len(samples) == 150
    assert not any(samples[:100])
    assert any(samples[101:])


def test_a_steady_tone() -> None:
    samples = Tone(3, 48_000, 441.0).samples(0, 96_000)
    for i in (0, 1000, 47_999, 48_000, 95_000):
        assert samples[i] == pytest.approx(0.5 * sin(2 * pi * 441.0 * i / 48_000), abs=1e-5)
