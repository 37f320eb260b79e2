"""Stochastic mirror descent with the p-norm mirror map."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.update import Vector, as_dense
from gradwire.common.errors import SpecError
from gradwire.common.training.optimizers.balls import norm
from gradwire.common.training.optimizers.base import F32, State, register
from gradwire.common.training.optimizers.boxes import project_onto_box
from gradwire.common.training.optimizers.projected import check_ball
from gradwire.common.training.optimizers.scheduled import ScheduledByFields

BALL, BOX = "ball", "box"


@register
@dataclass(frozen=True, kw_only=True)
class MirrorDescent(ScheduledByFields):
    """Mirror descent for p in [1, 2): Phi(x) = |x - start|_{p'}^2 / (2 (p' - 1)), p' = max(p, 1 + 1 / ln d).

    theta = grad Phi(x) - lr_t * update; x = the Bregman projection of the point with that gradient. With
    ``domain=ball`` it is scaled back into the l_{p'} ball of ``radius`` around the start; with ``domain=box`` it is put
    into the box of points whose coordinates differ from the start's by at most ``radius``, which is not radial.

    Phi is 1-strongly convex in |.|_{p'}; with lr = R sqrt(1 / ((p' - 1) T)) / alpha the gap is at most R alpha /
    sqrt((p' - 1) T), R the radius, and for a box radius d^(1 / p') (theory 2.5; [S] Remark 3).
    """

    radius: float = field(default=1.0, metadata={"first": True})
    p: float = field(default=1.0, metadata={"first": True})
    every: int = 100
    factor: float = 0.5
    domain: str = field(default=BALL, metadata={"later": True})

    name = "mirror_descent"
    portable = False  # powers differ in the last bit between processors

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ball(self.name, self.p, self.radius)
        if not self.p < 2:
            raise SpecError(
                f"mirror_descent: p is {self.p}, expected below 2 (projected_sgd is for 2 to inf)"
            )

        if self.domain not in (BALL, BOX):
            raise SpecError(f"mirror_descent: domain is {self.domain!r}, expected {BALL} or {BOX}")

    def initial_state(self, params: F32) -> State:
        return {"start": params.copy()}

    def exponent(self, dim: int) -> float:
        """The exponent p' for that many parameters; 2 where ln d is too small for less."""
        return min(2.0, max(self.p, 1 + 1 / math.log(dim))) if dim > 1 else 2.0

    def step(self, params: F32, state: State, update: Vector, round_: int) -> None:
        lr = self.rate(round_)
        p = self.exponent(params.size)
        start = state["start"].astype(np.float64)
        theta = mirror(params.astype(np.float64) - start, p) - lr * as_dense(update).astype(np.float64)
        params[:] = start + self._projected(unmirror(theta, p), p)

    def _projected(self, x: NDArray[np.float64], p: float) -> NDArray[np.float64]:
        if self.domain == BOX:
            return project_onto_box(x, p, self.radius)
        length = norm(x, p)
        return x if length <= self.radius else x * (self.radius / length)


def mirror(x: NDArray[np.float64], p: float) -> NDArray[np.float64]:
    """The gradient of |x|_p^2 / (2 (p - 1)) at x [n]: sign(x_i) |x_i|^(p-1) |x|_p^(2-p) / (p - 1)."""
    length = norm(x, p)
    if length == 0:
        return np.zeros_like(x)
    scaled: NDArray[np.float64] = np.copysign((np.abs(x) / length) ** (p - 1), x) * (length / (p - 1))
    return scaled


def unmirror(theta: NDArray[np.float64], p: float) -> NDArray[np.float64]:
    """The point whose ``mirror`` is theta [n]: the same map with the dual exponent q = p / (p - 1), scaled."""
    q, theta = p / (p - 1), theta * (p - 1)
    length = norm(theta, q)
    if length == 0:
        return np.zeros_like(theta)
    x: NDArray[np.float64] = np.copysign((np.abs(theta) / length) ** (q - 1), theta) * length
    return x
