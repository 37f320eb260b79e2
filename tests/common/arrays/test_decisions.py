"""Coins with integer thresholds, and subsets by private coins."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from gradwire.common.arrays.decisions import LEAST, WORDS, Threshold, draw_subset
from gradwire.common.arrays.logarithms import exp_fraction
from tests.common.codecs.chance import Chance, check_counts
from tests.common.codecs.coins import ReplayCoins, coins


class Given:
    """Coins that are a given list of words."""

    secret = True

    def __init__(self, words: list[int]) -> None:
        self._words = np.array(words, np.uint64)

    def words(self, count: int) -> np.ndarray:
        assert count == self._words.size
        return self._words

    def uniforms(self, count: int) -> np.ndarray:
        raise AssertionError("not asked for")


@pytest.mark.parametrize("accepted", [1, 2, 1 << 63, WORDS - 1])
def test_threshold_counts_words(accepted: int) -> None:
    """Exactly the words below the threshold show true, to the last one."""
    beside = [w for w in (0, accepted - 1, accepted, accepted + 1, WORDS - 1) if 0 <= w < WORDS]
    assert Threshold(accepted).flip(len(beside), Given(beside)).tolist() == [w < accepted for w in beside]


def test_certain_coins() -> None:
    assert not Threshold(0).flip(100, ReplayCoins()).any()
    assert Threshold(WORDS).flip(100, ReplayCoins()).all()


@pytest.mark.parametrize(
    "p", [Fraction(1, 3), Fraction(2, 3), Fraction(1, 10**9), 1 - Fraction(1, 10**9), Fraction(1, 2)]
)
def test_rounding_is_one_word_at_most(p: Fraction) -> None:
    below, above = Threshold.below(p), Threshold.above(p)
    assert below.exact <= p <= above.exact and above.accepted - below.accepted <= 1
    assert below.probability == pytest.approx(float(p), rel=1e-15)
    assert below.complement == pytest.approx(float(1 - p), rel=1e-9)


@pytest.mark.parametrize("p", [LEAST, 1 - LEAST, Fraction(1, 2), 5 * LEAST])
def test_fine_coins_keep_their_odds(p: Fraction) -> None:
    """Rounded down, log-odds are at most 2^-33 lower, never higher."""
    found = Threshold.below(p + Fraction(1, 3 * WORDS) if p < 1 - LEAST else p).exact
    assert Threshold.below(p).is_fine
    lost = math.log1p(float((p - found) / found)) + math.log1p(float((p - found) / (1 - p)))
    assert abs(lost) <= 2.0**-33


def test_coarse_thresholds_are_reported() -> None:
    assert not Threshold.below(LEAST / 2).is_fine
    assert not Threshold.below(1 - LEAST / 2).is_fine


def test_flips_follow_the_probability(chance: Chance) -> None:
    shown = int(Threshold.below(Fraction(3, 10)).flip(200_000, coins(chance.rng)).sum())
    check_counts(np.array([shown, 200_000 - shown]), np.array([0.3, 0.7]), chance, "a coin")


def test_powers_of_e() -> None:
    for x in (1e-9, 0.5, 1.0, 8.0, 20.0):
        assert float(exp_fraction(x)) == pytest.approx(math.exp(x), rel=1e-15)
    assert abs(exp_fraction(1.0) - Fraction("2.718281828459045235360287")) < Fraction(1, 10**23)


@pytest.mark.parametrize(("size", "count"), [(5, 2), (5, 3), (6, 3), (4, 1), (3, 3), (4, 0)])
def test_subsets_are_uniform(size: int, count: int, chance: Chance) -> None:
    all_ = {s: i for i, s in enumerate(itertools.combinations(range(size), count))}
    counts, drawn = np.zeros(len(all_), np.int64), coins(chance.rng)
    for _ in range(6000):
        counts[all_[tuple(draw_subset(size, count, drawn).tolist())]] += 1
    check_counts(counts, np.full(len(all_), 1 / len(all_)), chance, f"{count} of {size}")


def test_large_subsets() -> None:
    for size, count in ((1 << 40, 1000), (100_000, 49_999), (100_000, 99_990)):
        found = draw_subset(size, count, ReplayCoins())
        assert found.size == count and (np.diff(found) > 0).all() and found[0] >= 0 and found[-1] < size
