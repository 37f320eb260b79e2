"""Signed sums in a fixed order, and uniform integers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradwire.common.arrays.blocks import CHUNK, LANES
from gradwire.common.arrays.sampling import draw_uniform
from gradwire.common.arrays.sums import SLAB, signed_sum
from tests.common.codecs.chance import Chance, check_counts
from tests.common.codecs.coins import coins
from tests.common.codecs.vectors import SHAPES, heavy
from tests.grids import looped

DIMS = [
    0,
    1,
    LANES - 1,
    LANES,
    3 * LANES + 5,
    7 * LANES,
    CHUNK + 1,
    SLAB + 3 * LANES,
    2 * SLAB + 5 * LANES + 7,
]


@looped("dim", DIMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_signed_sum(dim: int, dtype: type) -> None:
    for f in SHAPES.values() if dim else ():
        x = f(dim).astype(dtype)
        assert abs(signed_sum(x) - math.fsum(x.tolist())) <= 20 * 2.0**-53 * np.abs(x.astype(float)).sum()
    assert signed_sum(np.zeros(dim, dtype)) == 0


@looped("dim", DIMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_backends_add_alike(dim: int, dtype: type) -> None:
    torch = pytest.importorskip("torch")
    x = heavy(dim).astype(dtype) if dim else np.zeros(0, dtype)
    assert signed_sum(torch.from_numpy(x)) == signed_sum(x)


def test_sums_neither_overflow_nor_narrow() -> None:
    assert signed_sum(np.full(4 * LANES, 3e38, np.float32)) == 4 * LANES * float(np.float32(3e38))
    x = np.zeros(2 * LANES, np.float32)
    x[0], x[LANES] = 1.0, 2.0**-40
    assert signed_sum(x) == 1 + 2.0**-40


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 65, 97])
def test_uniform_integers(size: int, chance: Chance) -> None:
    drawn = draw_uniform(size, 200_000, coins(chance.rng))
    assert drawn.min() >= 0 and drawn.max() < size and drawn.dtype == np.int64
    check_counts(
        np.bincount(drawn, minlength=size), np.full(size, 1 / size), chance, f"integers below {size}"
    )


@pytest.mark.parametrize("size", [2**40 - 1, 2**53 + 1, 2**62 - 3, 2**62])
def test_large_uniform_integers(size: int, chance: Chance) -> None:
    """High and low digits alike: 53-bit uniforms would leave gaps in the low ones."""
    drawn = draw_uniform(size, 200_000, coins(chance.rng))
    assert drawn.min() >= 0 and drawn.max() < size
    high = np.bincount((drawn / size * 16).astype(int), minlength=16)
    check_counts(high, np.full(16, 1 / 16), chance.part(0, 2), "sixteenths")
    check_counts(np.bincount(drawn % 16, minlength=16), np.full(16, 1 / 16), chance.part(1, 2), "last digits")


def test_powers_of_two_take_one_word_each() -> None:
    class Counting:
        spent = 0

        def words(self, count: int) -> np.ndarray:
            self.spent += count
            return np.full(count, 2**64 - 1, np.uint64)

    source = Counting()
    assert (draw_uniform(64, 10, source) == 63).all() and source.spent == 10
    assert draw_uniform(64, 0, source).size == 0 and source.spent == 10
