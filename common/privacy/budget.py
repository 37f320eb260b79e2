"""Budgets, and what is spent of them.

What counts as spent over the lifetime of the data. The logical workers of a process hold disjoint parts of it, so a
run costs what its busiest worker sent; runs add up, because the next one may deal the same data anew. With n pushes in
all, none of more than ``unit`` (the epsilon of the first push of all), the guarantees are

- the sum of all epsilons, at delta = 0;
- ``tightest(unit, n, delta)``, at delta.

A push is paid for while either stays within the limit. Both hold against a server that chooses runs and codecs as it
goes along, after it has seen all earlier payloads: pushes of at most ``unit`` each are an adaptive composition of so
many mechanisms with one fixed epsilon, and where a larger one was paid for, by the sum, the sum bounds the loss with
certainty. (A distribution composed of epsilons that the adversary picks on the way would promise too much.)
"""

from __future__ import annotations

from dataclasses import dataclass

from gradwire.common.privacy import accounting


@dataclass(frozen=True)
class Budget:
    """What may be spent over the lifetime of the data: (epsilon, delta), natural log; delta 0 is pure privacy.

    Raises:
        ConfigError: an epsilon that is not above 0 or absurdly large, a delta outside (0, 1).
    """

    epsilon: float
    delta: float = 0.0

    def __post_init__(self) -> None:
        accounting.check_epsilon(self.epsilon, "max-epsilon")
        if self.delta != 0:
            accounting.check_delta(self.delta)

    def __str__(self) -> str:
        return f"epsilon {self.epsilon:g}" + (f" at delta {self.delta:g}" if self.delta else "")


@dataclass(frozen=True)
class Run:
    """What a run tells a ledger of itself: its id, what it is, epsilon a payload, the hosted ids.

    Attributes:
        fingerprint: of codec, task, and whatever else decides how the data are dealt to workers.
    """

    run_id: bytes
    fingerprint: bytes
    epsilon: float
    workers: frozenset[int]


@dataclass(frozen=True)
class Totals:
    """What the ledger counts.

    Attributes:
        unit: the epsilon of the first push; 0 where there is none.
        pushes: the busiest worker's of each run, added up.
        pure: the same pushes' epsilons, added up.
        within_unit: no push had more than ``unit``.
    """

    unit: float
    pushes: int
    pure: float
    within_unit: bool

    def epsilon(self, delta: float) -> float:
        """The lifetime's epsilon at delta, by the tightest accountant that applies."""
        if delta == 0 or not self.within_unit:
            return self.pure
        return min(self.pure, accounting.tightest(self.unit, self.pushes, delta))

    def plus(self, epsilon: float, pushes: int) -> Totals:
        """The totals after so many pushes more."""
        unit = self.unit or epsilon
        within = self.within_unit and epsilon <= unit
        return Totals(unit, self.pushes + pushes, self.pure + pushes * epsilon, within)
