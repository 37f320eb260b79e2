"""Stochastic gradient descent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradwire.common.errors import SpecError
from gradwire.common.optimizers.base import F32, Optimizer, State, register
from gradwire.common.update import Sparse, Vector

SCHEDULES = ("constant", "inverse_sqrt")


@register
@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """params -= lr_t * update, with lr_t = lr, or lr / sqrt(t + 1) for ``schedule=inverse_sqrt`` (t counts from 0)."""

    lr: float = 0.1
    schedule: str = "constant"

    name = "sgd"
    sparse = True

    def __post_init__(self) -> None:
        if not 0 < self.lr < math.inf:
            raise SpecError(f"sgd: lr is {self.lr}, expected a positive finite number")
        if self.schedule not in SCHEDULES:
            raise SpecError(f"sgd: schedule is {self.schedule!r}, expected {' or '.join(SCHEDULES)}")

    def rate(self, round_: int) -> np.float32:
        """The step size of a round."""
        return np.float32(self.lr if self.schedule == "constant" else self.lr / math.sqrt(round_ + 1))

    def step(self, params: F32, state: State, update: Vector, round_: int) -> None:
        rate = self.rate(round_)
        if isinstance(update, Sparse):
            params[update.indices] -= rate * update.values
        else:
            params -= rate * update
