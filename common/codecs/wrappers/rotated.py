"""A public random rotation in front of any codec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.hadamard import next_power_of_two
from gradwire.common.arrays.rotation import Rotation
from gradwire.common.arrays.update import Terms, as_dense
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.random_rotation import MAX_ROUNDS
from gradwire.common.codecs.forms.wrapper import TransformCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec


@register
@dataclass(frozen=True, kw_only=True)
class Rotated(TransformCodec[Any]):
    """``inner``, applied to the rotated gradient: its errors are spread evenly over all coordinates.

    The rotation pads to D = 2^t coordinates and consists of ``rounds`` rounds of random signs and a Hadamard transform
    ([V] section 8 suggests a rotation, step 1 of [R] has one round; theory 2.3). It is public, and fresh for every
    worker and round: under a rotation that workers share their errors add up (erratum V14). One round is enough for
    inner codecs that are unbiased themselves (theory 4).

    Payload: the inner codec's for D coordinates.
    Unbiased for every rotation where the inner codec is unbiased. Variance at most the inner one, because cutting the
    padding off only removes noise. Epsilon is that of the inner codec, because the rotation maps the l2 ball to itself
    and is independent of the gradient.

    Args:
        rounds: 1 to 8.
        inner: the codec for D coordinates.

    Raises:
        SpecError: rounds outside these bounds, or an inner spec that cannot be built.

    >>> from gradwire.common.codecs import parse
    >>> parse("rotated(inner=cuq(levels=7))", dim=1000).nbits
    3104
    """

    rounds: int = 1
    inner: Spec = Spec("cuq")

    name = "rotated"
    source = "[V] 8; [R] (step 1)"
    plan_templates = ("rotated(1, cuq(levels={odd}))", "rotated(1, simq_plus(repeats={n}, coding=l1_ball))")
    shared_randomness = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("rounds", 1, MAX_ROUNDS)

    @property
    def inner_dim(self) -> int:
        return next_power_of_two(self.dim)

    def _flags(self) -> dict[str, bool]:
        return super()._flags() | {"shared_randomness": True, "index_domain": False}

    @property
    def epsilon_is_bound(self) -> bool:
        """True with padding, where no gradient reaches all of the inner ball."""
        return self.inner_dim > self.dim or self._inner.epsilon_is_bound

    def variance(self, norm: float = 1.0) -> float:
        return self._inner.variance(norm)

    def _rotation(self, shared: int) -> Rotation:
        return Rotation(self.dim, self.rounds, shared)

    def _rotate(self, vector: GradientVector, shared: int) -> GradientVector:
        y = self._rotation(shared).apply(vector.working_values)
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
