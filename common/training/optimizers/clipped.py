"""Clipping by the norm of the whole update."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gradwire.common.arrays.update import Sparse, Vector
from gradwire.common.training.optimizers.base import F32, State, register
from gradwire.common.training.optimizers.portable import l2_norm, rows
from gradwire.common.training.optimizers.scheduled import check_positive
from gradwire.common.training.optimizers.wrapper import Wrapper


@register
@dataclass(frozen=True, kw_only=True)
class Clipped(Wrapper):
    """``inner`` steps with update * min(1, norm / |update|_2) ([Clip] algorithm 1).

    The norm is that of the round's mean update over all parameters; it, the factor and the products are computed in
    float64, sums by halving, and the products rounded to float32 once. An update within the norm is unchanged.
    """

    norm: float = field(default=1.0, metadata={"first": True})

    name = "clipped"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, "norm", self.norm)

    def step(self, params: F32, state: State, update: Vector, round_: int) -> None:
        length = l2_norm(update)
        if length > self.norm:
            update = scaled(update, self.norm / length)
        super().step(params, state, update, round_)


def scaled(vector: Vector, factor: float) -> Vector:
    """A vector times a number: float32, from products in float64."""
    if isinstance(vector, Sparse):
        return Sparse(
            vector.size, vector.indices, (vector.values.astype(np.float64) * factor).astype(np.float32)
        )
    product = np.empty(vector.size, np.float32)
    for part in rows(vector.size):
        product[part] = vector[part].astype(np.float64) * factor
    return product
