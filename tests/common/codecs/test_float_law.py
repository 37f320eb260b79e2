"""What float64 does to the law of a drawn vertex, to the last of its 2^53 uniforms, and why epsilon survives it."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from gradwire.common.arrays.blocks import LANES, ROWS, first_of
from gradwire.common.arrays.decisions import ROUNDING
from gradwire.common.codecs import parse
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.codecs.vqsgd.simplex import Simplex
from gradwire.common.codecs.wrappers.private import Private
from tests.common.codecs.vectors import SHAPES
from tests.grids import looped, rest_slow

WORDS = 1 << 53


def counted(scale: float, edge: float) -> int:
    """How many of the uniforms k 2^-53 have k 2^-53 * scale < edge as float64: products are monotone, so bisect."""
    low, high = 0, WORDS
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if (middle * 2.0**-53) * scale < edge else (low, middle)
    return low


def law_of_draws(vector: GradientVector, total: float) -> list[Fraction]:
    """The probability with which ``draw_coordinates`` returns each coordinate, exactly, if words are uniform."""
    x, sums = vector.values, vector.sums
    law = [Fraction(0)] * x.shape[0]
    edges = [0, *(counted(total, edge) for edge in np.cumsum(sums.bounds).tolist())]
    for block, bound in enumerate(sums.bounds.tolist()):
        proposed = Fraction(edges[block + 1] - edges[block], WORDS)
        places = first_of(np.array([block])) + LANES * np.arange(ROWS)
        inside = places[places < x.shape[0]].tolist()
        steps = [0, *(counted(bound, c) for c in np.cumsum(np.abs(x[inside].astype(np.float64))).tolist())]
        for at, coordinate in enumerate(inside):
            law[coordinate] = proposed * Fraction(steps[at + 1] - steps[at], WORDS)
    return law


@pytest.mark.parametrize("dim", rest_slow([3, 700, 2500], 2))
@looped("shape", sorted(SHAPES))
@looped("dtype", [np.float32, np.float64])
def test_law_of_draws(shape: str, dim: int, dtype: Callable[..., np.ndarray]) -> None:
    """Each coordinate within 2^-49 of |x_i| / total, and all of them together within d 2^-57 + 2^-40."""
    vector = GradientVector.of(SHAPES[shape](dim).astype(dtype), dim)
    total = max(math.sqrt(dim) * vector.sums.norm, vector.sums.total)
    found = law_of_draws(vector, total)
    exact = [Fraction(abs(float(v))) / Fraction(total) for v in vector.values]
    off = [abs(a - b) for a, b in zip(found, exact, strict=True)]
    assert max(off) <= Fraction(1, 1 << 49)
    assert sum(off) <= dim * Fraction(1, 1 << 57) + Fraction(1, 1 << 40)
    assert sum(found) <= 1 + Fraction(1, 1 << 40)


@pytest.mark.parametrize("dim", rest_slow([2, 100, 1000], 2))
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0, 20.0])
def test_epsilon_of_the_drawn_law(dim: int, epsilon: float) -> None:
    """Randomized response at the gradient that makes a vertex likeliest: below what is stated, in exact arithmetic.

    The floor under every vertex is a threshold over a uniform choice among integers, so rounding cannot lower it.
    """
    codec = parse(f"private(rr({epsilon}))", dim)
    assert isinstance(codec, Private)
    inner, informed = codec._inner, codec._response.informed
    floor = (1 - informed.exact) / (2 * dim)
    highest = Fraction(0)
    for x in (np.eye(dim)[0], np.eye(dim)[0] * 1e30, np.eye(dim)[0] + 1e-9):
        vector = inner._prepare(GradientVector.of(x, dim))
        (choice,) = inner._gain.law(inner._norm_estimate(vector))
        scaled = vector.scaled(choice.scale / choice.gain)
        drawn = law_of_draws(scaled, max(math.sqrt(dim) / scaled.factor, scaled.sums.total))
        rest = 1 - sum(drawn)  # any of 2d vertices, exactly alike
        highest = max(highest, drawn[0] + rest / (2 * dim))
    odds = (floor + informed.exact * highest) / floor
    real = math.log(odds.numerator / odds.denominator)
    assert epsilon * (1 - 1e-9) - 1e-9 <= real <= codec.epsilon


class FirstWord:
    """Coins whose first word is given; all others are 0."""

    secret = True

    def __init__(self, word: int) -> None:
        self._next = word

    def words(self, count: int) -> np.ndarray:
        words = np.zeros(count, np.uint64)
        if count:
            words[0], self._next = self._next, 0
        return words

    def uniforms(self, count: int) -> np.ndarray:
        return (self.words(count) >> np.uint64(11)) * 2.0**-53


@pytest.mark.parametrize("dim", [128, 795_010, 12_332_010])
def test_a_simplex_axis_is_chosen_by_64_bits(dim: int) -> None:
    """At e_1 an axis is proposed with probability 1 / 2d, nearly all of its mass: the log-odds must keep it exact.

    With 53 bits the relative error at 12,332,010 coordinates is up to 2d 2^-53 = 2.7e-9, above ``ROUNDING``.
    """
    codec = parse("simplex(gain=bound(1))", dim)
    assert isinstance(codec, Simplex)
    x = np.zeros(dim)
    x[0] = 1.0
    vector = codec._prepare(GradientVector.of(x, dim))
    low, high = 0, (1 << 64) - 1
    while low < high:
        middle = (low + high) // 2
        on_axis = codec._draw(vector, 1, FirstWord(middle))[0] == 1
        low, high = (middle + 1, high) if on_axis else (low, middle)
    spread, rest = Fraction(vector.l1_bound), Fraction(2 * dim - 1)
    exact = spread / (rest + spread)
    assert abs(Fraction(low, 1 << 64) / exact - 1) <= Fraction(ROUNDING) / 10
    assert codec.epsilon <= math.log(7)
