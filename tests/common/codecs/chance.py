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
        label: distinguishes the streams of one run.
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


MULTIPLE = 2  # of its mean: what a non-negative value exceeds with probability 1/2 at most (Markov)


def groups_for(rate: float) -> int:
    """How many independent groups make it at most ``rate`` likely that all of them exceed MULTIPLE times their mean."""
    return math.ceil(math.log(1 / rate) / math.log(MULTIPLE))


class Vote:
    """Whether non-negative independent values have at most the stated mean: ``groups_for(rate)`` of them would convict.

    They must be unanimous, so the first that is not above MULTIPLE times the mean acquits, and of an honest encoder
    little more than one is heard. What that costs in power is bought back with larger groups: for one Gaussian
    coordinate, at a rate of 4e-10, a bias of 5.4 standard errors of a group's mean is convicted 999 times in 1000.
    """

    def __init__(self, mean: float, chance: Chance, what: str) -> None:
        self._bound, self._chance, self._what = MULTIPLE * mean, chance, what
        self._voters = groups_for(chance.rate)
        self._values: list[float] = []
        self.is_over = False

    def hear(self, value: float) -> None:
        """One more group; fails once all that the vote has are above the bound."""
        self._values.append(value)
        self.is_over |= value <= self._bound
        assert self.is_over or len(self._values) < self._voters, (
            f"{self._what}: all of {len(self._values)} groups exceed {self._bound:.6g}, {MULTIPLE} times the "
            f"stated mean; their median is {np.median(self._values):.6g}; {self._chance}"
        )
