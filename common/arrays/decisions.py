"""Randomised decisions by integers: coins whose probabilities are exact, as privacy proofs require."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import I64
from gradwire.common.arrays.sampling import draw_uniform
from gradwire.common.randomness import Coins

WORDS = 1 << 64  # number of 64-bit words
# The least share of words that a coin may show, either side: its rounding then moves no log-odds by more than 2^-34.
LEAST = Fraction(1, 1 << 30)
# What a stated epsilon may be above that of the law in real numbers (times epsilon, where that is below 1). It covers
# thresholds, 2^-34, and what float64 does to the law of a vertex, see ``codecs.forms.vertex``.
ROUNDING = 2.0**-31
# The share of an epsilon that the rounding of a coin may take away; where it takes more, the epsilon is refused.
MOST_LOST = Fraction(1, 100)


@dataclass(frozen=True)
class Threshold:
    """A coin that shows true with probability ``accepted`` / 2^64, exactly, if words are uniform.

    >>> Threshold.below(Fraction(1, 3)).accepted
    6148914691236517205
    """

    accepted: int

    @classmethod
    def below(cls, probability: Fraction) -> Threshold:
        """The coin with the largest probability that is not above this one."""
        return cls(math.floor(probability * WORDS))

    @classmethod
    def above(cls, probability: Fraction) -> Threshold:
        """The coin with the smallest probability that is not below this one."""
        return cls(math.ceil(probability * WORDS))

    @property
    def exact(self) -> Fraction:
        """The probability."""
        return Fraction(self.accepted, WORDS)

    @property
    def probability(self) -> float:
        """The probability, correctly rounded."""
        return self.accepted / WORDS

    @property
    def complement(self) -> float:
        """The probability of false, correctly rounded."""
        return (WORDS - self.accepted) / WORDS

    @property
    def is_fine(self) -> bool:
        """Whether rounding moves the coin's log-odds by 2^-34 at most: both sides have a 2^30th of the words."""
        return LEAST <= self.exact <= 1 - LEAST

    def flip(self, count: int, coins: Coins) -> NDArray[np.bool_]:
        """Independent coins: bool [count], one word per coin."""
        if self.accepted == WORDS:
            return np.ones(count, bool)
        return coins.words(count) < np.uint64(self.accepted)


def draw_subset(size: int, count: int, coins: Coins) -> I64:
    """A uniformly random subset of ``count`` out of ``size``, by private coins: int64 [count], increasing.

    The first distinct ones of independent uniform integers, or the subset that is left out where that is smaller.

    Args:
        size: numbers to choose from, 1 to 2**62.
        count: 0 to ``size``.
    """
    if 2 * count > size:
        kept = np.ones(size, bool)
        kept[draw_subset(size, size - count, coins)] = False
        return np.flatnonzero(kept)
    drawn = np.zeros(0, np.int64)
    while True:
        distinct, first = np.unique(drawn, return_index=True)
        if distinct.size >= count:
            return np.sort(drawn[np.sort(first)[:count]])
        missing = count - distinct.size
        drawn = np.concatenate([drawn, draw_uniform(size, missing + missing // 2 + 1, coins)])
