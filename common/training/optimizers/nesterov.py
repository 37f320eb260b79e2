"""Stochastic gradient descent with Nesterov's momentum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradwire.common.arrays.update import Vector, as_dense
from gradwire.common.training.optimizers.base import F32, State, register
from gradwire.common.training.optimizers.portable import rows
from gradwire.common.training.optimizers.scheduled import Scheduled, check_at_least_zero, check_fraction


@register
@dataclass(frozen=True, kw_only=True)
class Nesterov(Scheduled):
    """g = update + weight_decay * params; v = momentum * v + g; params -= lr_t * (g + momentum * v).

    [Nesterov] in the form of [Sutskever]: equal to torch.optim.SGD with nesterov=True and dampening 0. The server's
    optimizer of [DiLoCo], with lr = 0.7 and momentum = 0.9.

    A step is computed in float64 from float32 arrays, each operation rounded by itself, and what is stored is rounded
    to float32; the step uses v before that.
    """

    momentum: float = 0.9
    weight_decay: float = 0.0

    name = "nesterov"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction(self.name, "momentum", self.momentum)
        check_at_least_zero(self.name, "weight_decay", self.weight_decay)

    def initial_state(self, params: F32) -> State:
        return {"velocity": np.zeros_like(params)}

    def step(self, params: F32, state: State, update: Vector, round_: int) -> None:
        gradient, lr = as_dense(update), self.rate(round_)
        for part in rows(params.size):
            x, g = params[part].astype(np.float64), gradient[part].astype(np.float64)
            if self.weight_decay:
                g += self.weight_decay * x
            v = state["velocity"][part].astype(np.float64)
            v *= self.momentum
            v += g
            state["velocity"][part] = v
            v *= self.momentum
            g += v
            g *= lr
            x -= g
            params[part] = x
