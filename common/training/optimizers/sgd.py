"""Stochastic gradient descent."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gradwire.common.arrays.update import Sparse, Vector, as_dense
from gradwire.common.training.optimizers.base import F32, State, register
from gradwire.common.training.optimizers.scheduled import (
    ScheduledByFields,
    check_at_least_zero,
    check_fraction,
)


@register
@dataclass(frozen=True, kw_only=True)
class SGD(ScheduledByFields):
    """g = update + weight_decay * params; v = momentum * v + g; params -= lr_t * v.

    Equal to torch.optim.SGD with dampening 0. Each operation is rounded to float32. With ``schedule=step``, ``every``
    and ``factor`` are the arguments of the schedule. With neither momentum nor weight decay a sparse update makes a
    sparse step.
    """

    momentum: float = 0.0
    every: int = 100
    factor: float = 0.5
    weight_decay: float = field(default=0.0, metadata={"later": True})

    name = "sgd"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction(self.name, "momentum", self.momentum)
        check_at_least_zero(self.name, "weight_decay", self.weight_decay)

    @property
    def sparse(self) -> bool:
        return self.momentum == 0 and self.weight_decay == 0

    def initial_state(self, params: F32) -> State:
        return {"velocity": np.zeros_like(params)} if self.momentum else {}

    def step(self, params: F32, state: State, update: Vector, round_: int) -> None:
        lr = np.float32(self.rate(round_))
        if self.weight_decay:
            decay = np.float32(self.weight_decay) * params
            update = np.add(as_dense(update), decay, out=decay)
        if self.momentum:
            velocity = state["velocity"]
            velocity *= np.float32(self.momentum)
            velocity += as_dense(update)
            params -= lr * velocity
        elif isinstance(update, Sparse):
            params[update.indices] -= lr * update.values
        else:
            params -= lr * update
