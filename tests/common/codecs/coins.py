"""Coins for tests: replayed words that never change, and seeded ones that private codecs accept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradwire.common.randomness import SeededCoins


def word_list(count: int, start: int = 0) -> NDArray[np.uint64]:
    """SplitMix64 [SplitMix] of the counters start + 1, …: any language can write the list down again."""
    with np.errstate(over="ignore"):
        z = np.arange(start + 1, start + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class ReplayCoins:
    """The word list again and again from its start: the same coins for every codec, backend and release.

    They call themselves secret so that private codecs can be pinned too; that is a lie which only tests may tell.
    """

    secret = True

    def __init__(self, start: int = 0) -> None:
        self._at = start

    def words(self, count: int) -> NDArray[np.uint64]:
        self._at += count
        return word_list(count, self._at - count)

    def uniforms(self, count: int) -> NDArray[np.float64]:
        return (self.words(count) >> np.uint64(11)) * 2.0**-53


class TestCoins(SeededCoins):
    """Seeded coins that private codecs accept, to sample their law."""

    __test__ = False  # a class for tests, not of tests
    secret = True


class CountedCoins(TestCoins):
    """The same, and how many words they were asked for; ``uniforms`` are made of words."""

    __test__ = False

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.drawn = 0

    def words(self, count: int) -> NDArray[np.uint64]:
        self.drawn += count
        return super().words(count)


def coins(seed: int | np.random.Generator) -> TestCoins:
    return TestCoins(np.random.default_rng(seed))
