"""Budgets, and how much of them is spent over the lifetime of the data.

The logical workers of a process hold disjoint parts of it, so a run costs what the worker with the most pushes sent;
runs add up, because the next one may partition the same data anew. With n pushes in all, none of more than ``unit``
(the epsilon of the first push of all), the guarantees are

- the sum of all epsilons, at delta = 0;
- ``tightest(unit, n, delta)``, at delta.

A push is paid for while either stays within the limit. Both hold against a server that chooses runs and codecs
adaptively, after it has seen all earlier payloads: pushes of at most ``unit`` each are an adaptive composition of so
many mechanisms with one fixed epsilon, and where a larger one was paid for, by the sum, the sum bounds the loss with
certainty. (Composing the loss distributions of adaptively chosen epsilons would not be a valid bound.)
"""

from __future__ import annotations

from dataclasses import dataclass

from gradwire.common.privacy import accounting


@dataclass(frozen=True)
class Budget:
    """The limit over the lifetime of the data: (epsilon, delta), natural log; delta 0 is pure privacy.

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
    """A run as a ledger records it: its id, its fingerprint, epsilon per payload, the hosted worker ids.

    Attributes:
        fingerprint: of codec, task, and everything else that determines how the data are partitioned.
    """

    run_id: bytes
    fingerprint: bytes
    epsilon: float
    workers: frozenset[int]


@dataclass(frozen=True)
class Totals:
    """The ledger's counts.

    Attributes:
        unit: the epsilon of the first push; 0 where there is none.
        pushes: summed over runs; of each run, those of the worker with the most.
        pure: the sum of the epsilons of these pushes.
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
        """The totals after ``pushes`` more."""
        unit = self.unit or epsilon
        within = self.within_unit and epsilon <= unit
        return Totals(unit, self.pushes + pushes, self.pure + pushes * epsilon, within)
