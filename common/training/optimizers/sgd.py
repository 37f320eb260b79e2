"""Stochastic gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradwire.common.arrays.update import Sparse, Vector, as_dense
from gradwire.common.errors import SpecError
from gradwire.common.training.optimizers.base import F32, Optimizer, State, register
from gradwire.common.training.optimizers.schedules import check_rate, rate


@register
@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """v = momentum * v + update; params -= lr_t * v.

    lr_t is lr (``constant``), lr / sqrt(t + 1) (``inverse_sqrt``), or lr * factor^(t // every) (``step``), t
    from 0. Without momentum a sparse update makes a sparse step.
    """

    lr: float = 0.1
    schedule: str = "constant"
    momentum: float = 0.0
    every: int = 100
    factor: float = 0.5

    name = "sgd"

    def __post_init__(self) -> None:
        check_rate(self.name, self.lr, self.schedule, self.every, self.factor)
        if not 0 <= self.momentum < 1:
            raise SpecError(f"sgd: momentum is {self.momentum}, expected 0 to below 1")

    @property
    def sparse(self) -> bool:
        return self.momentum == 0

    def initial_state(self, params: F32) -> State:
        return {"velocity": np.zeros_like(params)} if self.momentum else {}

    def step(self, params: F32, state: State, update: Vector, round_: int) -> None:
        lr = np.float32(rate(self.lr, self.schedule, self.every, self.factor, round_))
        if self.momentum:
            velocity = state["velocity"]
            velocity *= np.float32(self.momentum)
            velocity += as_dense(update)
            params -= lr * velocity
        elif isinstance(update, Sparse):
            params[update.indices] -= lr * update.values
        else:
            params -= lr * update
