"""Iterate averaging."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradwire.common.arrays.update import Vector
from gradwire.common.spec import Spec, parse_spec
from gradwire.common.training.optimizers.base import F32, Optimizer, State, parse_optimizer, register

AVERAGE = "average"


@register
@dataclass(frozen=True, kw_only=True)
class Averaged(Optimizer):
    """Steps as ``inner`` does and keeps the mean of the iterates x_1 … x_t, which is what the model is evaluated at.

    The bounds of theory 2.5 are for the mean iterate. Gradients are still taken at the last iterate.
    """

    inner: Spec = Spec("sgd")

    name = "averaged"

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", parse_spec(self._inner.spec))

    @cached_property
    def _inner(self) -> Optimizer:
        return parse_optimizer(self.inner)

    @property
    def portable(self) -> bool:  # type: ignore[override]
        return self._inner.portable

    def initial_state(self, params: F32) -> State:
        return {AVERAGE: params.copy(), **self._inner.initial_state(params)}

    def step(self, params: F32, state: State, update: Vector, round_: int) -> None:
        self._inner.step(params, state, update, round_)
        self.observe(params, state, round_)

    def observe(self, params: F32, state: State, round_: int) -> None:
        average = state[AVERAGE]
        average += (params - average) * np.float32(1 / (round_ + 1))
