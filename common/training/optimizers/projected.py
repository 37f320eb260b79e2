"""Projected stochastic gradient descent."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from gradwire.common.arrays.update import Vector, as_dense
from gradwire.common.errors import SpecError
from gradwire.common.training.optimizers.balls import project
from gradwire.common.training.optimizers.base import F32, State, register
from gradwire.common.training.optimizers.scheduled import ScheduledByFields


def check_ball(name: str, p: float, radius: float) -> None:
    """Check the parameters of an l_p ball.

    Raises:
        SpecError: one of them is out of range.
    """
    if not p >= 1:
        raise SpecError(f"{name}: p is {p}, expected 1 to inf")
    if not 0 < radius < math.inf:
        raise SpecError(f"{name}: radius is {radius}, expected a positive finite number")


@register
@dataclass(frozen=True, kw_only=True)
class ProjectedSGD(ScheduledByFields):
    """params = start + project(params - lr_t * update - start), onto the l_p ball of ``radius`` around the start.

    p = inf is a box. With lr = R / (alpha sqrt T) the mean iterate's gap is at most R alpha / sqrt T, where
    alpha^2 bounds E|update|^2 and R the distance from the start ([S] Remark 4, Theorem 2.3; theory 2.5).
    """

    radius: float = field(default=1.0, metadata={"first": True})
    p: float = field(default=2.0, metadata={"first": True})
    every: int = 100
    factor: float = 0.5

    name = "projected_sgd"
    portable = False  # of the exponents, only 1, 2 and inf would be

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ball(self.name, self.p, self.radius)

    def initial_state(self, params: F32) -> State:
        return {"start": params.copy()}

    def step(self, params: F32, state: State, update: Vector, round_: int) -> None:
        lr = self.rate(round_)
        start = state["start"].astype(np.float64)
        moved = params.astype(np.float64) - lr * as_dense(update).astype(np.float64) - start
        params[:] = start + project(moved, self.p, self.radius)
