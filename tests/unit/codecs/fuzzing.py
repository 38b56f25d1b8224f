"""Mutates valid input and asserts that a parser raises nothing but ParseError."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from evotools.errors import ParseError

ROUNDS = [pytest.param(300, id="short"), pytest.param(3000, id="long", marks=pytest.mark.slow)]
"""Over the 37 parsers of this folder: about 10^4 cases by default, 10^5 in the slow set."""


def mutate(data: bytes, chance: random.Random) -> bytes:
    """`data` with one to ten bytes changed, cut, inserted or flipped."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 10))):
        if not out:
            break
        index = chance.randrange(len(out))
        match chance.randrange(5):
            case 0:
                out[index] = chance.randrange(256)
            case 1:
                out[index] ^= 1 << chance.randrange(8)
            case 2:
                del out[index:]
            case 3:
                out[index:index] = chance.randbytes(chance.randrange(5))
            case _:
                out[index] = chance.choice((0, 255, 3, 0x80))
    return bytes(out)


def fuzz(parser: Callable[[bytes], Any], seeds: Sequence[bytes], rounds: int) -> None:
    """Truncations of every seed, then `rounds` mutations."""
    chance = random.Random(repr((getattr(parser, "__name__", ""), rounds)))
    for seed in seeds:
        for end in range(min(len(seed), 64)):
            _run(parser, seed[:end])
    for _ in range(rounds):
        _run(parser, mutate(chance.choice(seeds), chance))


def _run(parser: Callable[[bytes], Any], data: bytes) -> None:
    try:
        parser(data)
    except ParseError:
        pass
    except Exception as error:
        raise AssertionError(f"{parser} raised {error!r} for {data.hex()}") from error
