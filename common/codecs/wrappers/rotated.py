"""A public random rotation in front of any codec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.blocks import CHUNK
from gradwire.common.arrays.compat import Array, namespace
from gradwire.common.arrays.hadamard import next_power_of_two
from gradwire.common.arrays.rotation import Rotation
from gradwire.common.arrays.update import Terms, as_dense
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.composite import Composite
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec

MAX_ROUNDS = 8


@register
@dataclass(frozen=True, kw_only=True)
class Rotated(Composite[Any]):
    """``inner``, applied to the rotated gradient: its errors are spread evenly over all coordinates.

    The rotation pads to D = 2^t coordinates and is made of ``rounds`` rounds of random signs and a Hadamard transform
    ([V] section 8 asks for one, [R] has one round). It is public, and fresh for every worker and round: a rotation
    that workers share makes their errors add up (erratum V14). One round flattens what was not sparse.

    Payload: the inner codec's for D coordinates. Unbiased for every rotation where the inner codec is; its variance is
        at most the inner one's, since undoing the padding only removes noise; as private as the inner codec, because
        the rotation keeps l2 balls and is independent of the gradient.

    >>> from gradwire.common.codecs import parse
    >>> parse("rotated(inner=cuq(levels=7))", dim=1000).nbits
    3104
    """

    rounds: int = 1
    inner: Spec = Spec("cuq")

    name = "rotated"
    source = "vqSGD 8; RATQ, step 1"
    plan_templates = ("rotated(1, cuq(levels={odd}))", "rotated(1, simq_plus(repeats={n}, coding=l1_ball))")
    shared_randomness = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.rounds <= MAX_ROUNDS:
            raise SpecError(f"{self.name}: rounds is {self.rounds}, expected 1 to {MAX_ROUNDS}")

    @property
    def inner_dim(self) -> int:
        return next_power_of_two(self.dim)

    def _flags(self) -> dict[str, bool]:
        return super()._flags() | {"shared_randomness": True, "index_domain": False}

    @property
    def epsilon_is_bound(self) -> bool:
        """With padding no gradient reaches all of the inner ball."""
        return self.inner_dim > self.dim or self._inner.epsilon_is_bound

    def variance(self, norm: float = 1.0) -> float:
        return self._inner.variance(norm)

    def _rotation(self, shared: int) -> Rotation:
        return Rotation(self.dim, self.rounds, shared)

    def _rotate(self, vector: GradientVector, shared: int) -> GradientVector:
        y = self._rotation(shared).apply(working_precision(vector))
        return GradientVector.of(y, self.inner_dim).scaled(vector.factor)

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> Any:
        return self._inner._quantize(self._rotate(vector, shared), coins, self._inner_seed(shared))

    def _reconstruct(self, symbols: Any, shared: int) -> NDArray[np.float64]:
        y = self._inner_estimate(symbols, shared)
        dense = as_dense(y.gather()) if isinstance(y, Terms) else y
        x: NDArray[np.float64] = self._rotation(shared).invert(dense)
        return x

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[Any, float]]:
        return self._inner._law(self._rotate(vector, shared), self._inner_seed(shared))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("rotated", 3, enumerable=True),
            Example("rotated(3, simq_plus(repeats=2))", 4, enumerable=True),
            Example("rotated(rounds=2, inner=cuq(levels=3))", 1, enumerable=True),
            Example("rotated(1, cross_polytope(repeats=500))", 70_001),
        )


def working_precision(vector: GradientVector) -> Array:
    """The values to rotate: float64 below one chunk, above it the vector's own type unless it would lose digits.

    So equal values of either type have equal payloads below one chunk (131,072 coordinates), as with the sums; above it
    memory counts, and a float32 rotation is within 10^-6 of the norm.
    """
    values = vector.values
    xp = namespace(values)
    if values.shape[0] < CHUNK or not 2.0**-60 < vector.sums.norm < 2.0**60:
        return xp.astype(values, xp.float64, copy=False)
    return values
