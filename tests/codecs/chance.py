"""Tests of randomness with a stated false-alarm rate: every bound here holds for finite samples, none is asymptotic."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Chance:
    """A test's share of the false-alarm budget and its stream of random numbers.

    Attributes:
        rate: the probability with which the test may fail although nothing is wrong.
        seed: the seed of the whole run; ``pytest --seed`` repeats it.
        label: tells apart the streams of one run.
    """

    rate: float
    seed: int
    label: str

    @cached_property
    def rng(self) -> np.random.Generator:
        digest = hashlib.blake2b(f"{self.seed} {self.label}".encode(), digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))

    def part(self, index: int, parts: int) -> Chance:
        """One of ``parts`` equal shares: what a test that looks at several things gives to each."""
        return replace(self, rate=self.rate / parts, label=f"{self.label} {index}")

    def __str__(self) -> str:
        return f"false-alarm rate of this check {self.rate:.1e}, --seed={self.seed}"


def tail(count: int, trials: int, probability: float) -> float:
    """At most this likely: a binomial as far from its mean as ``count``, on that side (Chernoff's bound)."""
    share = count / trials
    divergence = 0.0
    for seen, meant in ((share, probability), (1 - share, 1 - probability)):
        if seen > 0:
            divergence += seen * math.log(seen / meant) if meant > 0 else math.inf
    return math.exp(-trials * divergence)


def check_counts(counts: NDArray[np.int64], law: NDArray[np.float64], chance: Chance, what: str) -> None:
    """Fail unless the counts look like independent draws from the law.

    Each cell's count is binomial; a union bound over cells and sides makes the rate that of the whole table.
    """
    trials = int(counts.sum())
    law = np.asarray(law, float)
    assert abs(law.sum() - 1) < 1e-9, f"{what}: the law to test against sums to {law.sum()}"
    tails = [tail(int(c), trials, min(1.0, float(p))) for c, p in zip(counts, law, strict=True)]
    worst = int(np.argmin(tails))
    assert tails[worst] >= chance.rate / (2 * law.size), (
        f"{what}: outcome {worst} came {counts[worst]} times in {trials}, expected {trials * law[worst]:.2f}; "
        f"that or worse has probability {tails[worst]:.1e} at most; {chance}"
    )


MULTIPLE = 3.6  # of its mean: what a non-negative value exceeds with probability 1 / 3.6 at most (Markov)
SHARE = 0.75  # of the groups above it, which convicts
# Chernoff: P(Binomial(K, 1 / MULTIPLE) >= SHARE K) <= exp(-K KL(SHARE || 1 / MULTIPLE)).
_VOTE = SHARE * math.log(SHARE * MULTIPLE) + (1 - SHARE) * math.log((1 - SHARE) / (1 - 1 / MULTIPLE))


def groups_for(rate: float) -> int:
    """How many groups make it at most ``rate`` likely that SHARE of them exceed MULTIPLE times their mean."""
    return math.ceil(math.log(1 / rate) / _VOTE)


class Vote:
    """Whether non-negative independent values have at most the stated mean, by a vote of ``groups_for(rate)`` of them.

    Few voters are heard where all agree: the vote ends when the rest could not change its outcome. That is the outcome
    of hearing all, so stopping costs no error of either kind.
    """

    def __init__(self, mean: float, chance: Chance, what: str) -> None:
        self._bound, self._chance, self._what = MULTIPLE * mean, chance, what
        self._voters = groups_for(chance.rate)
        self._values: list[float] = []
        self._above = 0

    @property
    def is_over(self) -> bool:
        """Whether so many are below the bound that the rest cannot convict."""
        return len(self._values) - self._above > (1 - SHARE) * self._voters

    def hear(self, value: float) -> None:
        """One more group; fails once so many are above the bound that the rest cannot acquit."""
        self._values.append(value)
        self._above += value > self._bound
        assert self._above < SHARE * self._voters, (
            f"{self._what}: {self._above} of {len(self._values)} groups exceed {self._bound:.6g}, {MULTIPLE} times the "
            f"stated mean; their median is {np.median(self._values):.6g}; {self._chance}"
        )
