"""What Adam, Yogi and Adagrad have in common: each coordinate's step is divided by the root of a second moment."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from gradwire.common.arrays.update import Vector, as_dense
from gradwire.common.training.optimizers.base import F32, State
from gradwire.common.training.optimizers.portable import F64, rows
from gradwire.common.training.optimizers.scheduled import (
    Scheduled,
    check_at_least_zero,
    check_fraction,
    check_positive,
)

FIRST = "first_moment"
SECOND = "second_moment"


class Adaptive(Scheduled):
    """m = beta1 m + (1 - beta1) g; v by the rule of the subclass; params -= lr_t m / (sqrt(v) + eps).

    Algorithm 2 of [FedOpt], with g = update + weight_decay * params in place of -Delta, lr_t of eta and eps of tau. m
    begins with zeros (without beta1 it is g, and takes no memory), v with ``initial``.

    A step is computed in float64 from float32 arrays, each operation rounded by itself, and what is stored is rounded
    to float32; the step uses m and v before that. Beside the arrays it takes a few blocks of 512 KiB.
    """

    beta1: float
    eps: float
    initial: float
    weight_decay: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction(self.name, "beta1", self.beta1)
        check_positive(self.name, "eps", self.eps)
        for parameter in ("initial", "weight_decay"):
            check_at_least_zero(self.name, parameter, getattr(self, parameter))

    def initial_state(self, params: F32) -> State:
        second = {SECOND: np.full_like(params, self.initial)}
        return {FIRST: np.zeros_like(params), **second} if self.beta1 else second

    @abstractmethod
    def second_moment(self, v: F64, square: F64) -> F64:
        """The next v, from the last one and from g^2; both may be overwritten."""

    def corrections(self, round_: int) -> tuple[float, float]:
        """What m and sqrt(v) are divided by in round t, from 0: the bias corrections of [Adam] section 3, or 1."""
        return 1.0, 1.0

    def decay(self, x: F64, g: F64, lr: float) -> None:
        """Apply the weight decay to the parameters or the gradient, in place."""
        if self.weight_decay:
            g += self.weight_decay * x

    def step(self, params: F32, state: State, update: Vector, round_: int) -> None:
        gradient, lr = as_dense(update), self.rate(round_)
        first, second = self.corrections(round_)
        for part in rows(params.size):
            x, g = params[part].astype(np.float64), gradient[part].astype(np.float64)
            self.decay(x, g, lr)
            v = self.second_moment(state[SECOND][part].astype(np.float64), g * g)
            m = self._first_moment(state, part, g)
            state[SECOND][part] = v
            root = np.sqrt(v)
            root /= second
            root += self.eps
            m /= root
            m *= lr / first
            x -= m
            params[part] = x

    def _first_moment(self, state: State, part: slice, g: F64) -> F64:
        """The next m of a part, stored and returned before rounding."""
        if not self.beta1:
            return g
        m = state[FIRST][part].astype(np.float64)
        m *= self.beta1
        g *= 1 - self.beta1
        m += g
        state[FIRST][part] = m
        return m
