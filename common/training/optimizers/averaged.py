"""Iterate averaging."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradwire.common.arrays.update import Vector
from gradwire.common.errors import SpecError
from gradwire.common.training.optimizers.base import F32, State, register
from gradwire.common.training.optimizers.wrapper import Wrapper

AVERAGE = "average"


@register
@dataclass(frozen=True, kw_only=True)
class Averaged(Wrapper):
    """Steps as ``inner`` does and keeps the mean of the iterates x_1 … x_t, which is what the model is evaluated at.

    The bounds of theory 2.5 are for the mean iterate. Gradients are still taken at the last iterate.
    """

    name = "averaged"

    def __post_init__(self) -> None:
        super().__post_init__()
        if AVERAGE in self._inner.initial_state(np.zeros(1, np.float32)):
            raise SpecError(f"averaged: {self.inner} keeps a mean already, expected an optimizer without one")

    @property
    def sparse(self) -> bool:
        return False

    def initial_state(self, params: F32) -> State:
        return {AVERAGE: params.copy(), **super().initial_state(params)}

    def step(self, params: F32, state: State, update: Vector, round_: int) -> None:
        super().step(params, state, update, round_)
        self.observe(params, state, round_)

    def observe(self, params: F32, state: State, round_: int) -> None:
        average = state[AVERAGE]
        average += (params - average) * np.float32(1 / (round_ + 1))
