"""A public random subset of the coordinates, in front of any codec."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import I64, like
from gradwire.common.arrays.random_subset import random_subset
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs import Example, parse, register
from gradwire.common.codecs.forms.wrapper import TransformCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec

DEFAULT_FRACTION = 0.1
SPARSE = 16  # subsets of at most 1 / SPARSE of the coordinates are added as terms instead of dense vectors


@register
@dataclass(frozen=True, kw_only=True)
class Subsample(TransformCodec[Any]):
    """``inner``, applied to a public random subset of the coordinates; decoded dim / count times as long, others zero.

    [S] section 7 mentions it for any precision below the dimension; RCS of [R] (theory 2.3). The subset T is uniform
    among those of its size and follows from the public seed of the worker and round, which must differ by worker and
    round (erratum V14); no index is sent.

    Payload: the inner codec's for ``count`` coordinates.
    Unbiased over the public seed where the inner codec is unbiased. Variance (1 / mu - 1) |x|^2 + E V(x_T) / mu^2, with
    mu = count / dim and V that of the inner codec; for V(x) = v |x|^2 that is (1 + v) |x|^2 / mu - |x|^2.

    Args:
        fraction: share of the coordinates, above 0, at most 1; count = round(fraction * dim), at least 1. By default
            0.1.
        inner: the codec for x restricted to T.
        count: in place of ``fraction``, the number of coordinates.
        budget: in place of both, the largest payload in bits: as many coordinates as fit.

    Raises:
        SpecError: several of fraction, count and budget, one outside its bounds, or a budget below one coordinate.

    >>> from gradwire.common.codecs import parse
    >>> parse("subsample(0.1, cuq(levels=7))", dim=1000).nbits
    332
    """

    fraction: float | None = None
    inner: Spec = Spec("cuq")
    count: int | None = None
    budget: int | None = None

    name = "subsample"
    source = "[S] 7; [R] (RCS)"
    plan_templates = (
        "subsample(inner=ratq, count={n})",
        "subsample(inner=rotated(1, cuq(levels=3)), count={n})",
    )

    def __post_init__(self) -> None:
        given = [n for n in ("fraction", "count", "budget") if getattr(self, n) is not None]
        if len(given) > 1:
            raise SpecError(f"{self.name}: {' and '.join(given)} are given, expected one of them")
        if not given:
            self._settle(fraction=DEFAULT_FRACTION)
        super().__post_init__()

    def _make_canonical(self) -> None:
        if self.fraction is not None:
            if not 0 < self.fraction <= 1:
                raise SpecError(f"{self.name}: fraction is {self.fraction}, expected above 0, at most 1")
            self._settle(count=max(1, round(self.fraction * self.dim)))
        elif self.budget is not None:
            self._settle(count=self._count_within(self.budget))
        self._check_range("count", 1, self.dim, "coordinates")
        # One spelling for one codec: the subset depends on the number of coordinates alone.
        self._settle(fraction=None, budget=None)
        super()._make_canonical()

    def _count_within(self, budget: int) -> int:
        """The largest number of coordinates whose payload fits, by bisection: payloads grow with that number."""
        low, high = 0, self.dim
        while low < high:
            middle = (low + high + 1) // 2
            fits = parse(self.inner, middle).nbits <= budget
            low, high = (middle, high) if fits else (low, middle - 1)
        if low == 0:
            raise SpecError(
                f"{self.name}: {budget} bits pay for no coordinate of {self.inner}, expected more"
            )
        return low

    @property
    def inner_dim(self) -> int:
        assert self.count is not None
        return self.count

    def _flags(self) -> dict[str, bool]:
        inner = super()._flags()
        everything = self.inner_dim == self.dim
        return inner | {
            "shared_randomness": True,
            "unbiased_given_shared": everything and inner["unbiased_given_shared"],
            "variance_given_shared": everything and inner["variance_given_shared"],
            "index_domain": inner["index_domain"] or SPARSE * self.inner_dim <= self.dim,
        }

    @property
    def _stretch(self) -> float:
        """The factor 1 / mu of decoded coordinates."""
        return self.dim / self.inner_dim

    def variance(self, norm: float = 1.0) -> float:
        """By the mean mu |x|^2 of |x_T|^2, in which V is concave or, where a gain clips, convex."""
        mu, inner = 1 / self._stretch, self._inner.variance
        noise = self._stretch**2 * max(inner(math.sqrt(mu) * norm), (1 - mu) * inner(0.0) + mu * inner(norm))
        left_out = (self._stretch - 1) * norm**2
        if self.unbiased:
            return left_out + noise
        # The two errors may then point the same way.
        return (math.sqrt(left_out) + math.sqrt(noise)) ** 2

    def _subset(self, shared: int) -> I64:
        return random_subset(self.dim, self.inner_dim, shared)

    def _restrict(self, vector: GradientVector, shared: int) -> GradientVector:
        """The vector's coordinates in T, gathered on its device."""
        values = vector.values[like(self._subset(shared), vector.values)]
        return GradientVector.of(values, self.inner_dim).scaled(vector.factor)

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> Any:
        return self._inner._quantize(self._restrict(vector, shared), coins, self._inner_seed(shared))

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[Any, float]]:
        return self._inner._law(self._restrict(vector, shared), self._inner_seed(shared))

    def _reconstruct(self, symbols: Any, shared: int) -> Terms | NDArray[np.float64]:
        estimate, subset = self._inner_estimate(symbols, shared), self._subset(shared)
        if isinstance(estimate, Terms):
            return Terms(self.dim, subset[estimate.indices], estimate.weights * self._stretch)
        if SPARSE * self.inner_dim <= self.dim:
            return Terms(self.dim, subset, estimate * self._stretch)
        out = np.zeros(self.dim)
        out[subset] = estimate * self._stretch
        return out

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("subsample(0.5, cuq(levels=3))", 6, enumerable=True),
            Example("subsample(0.6, simq_plus(repeats=2))", 5),
            Example("subsample(1.0, rotated(1, cuq(levels=3)))", 3, enumerable=True),
            Example("subsample(inner=cuq, budget=500)", 1000),
            Example("subsample(0.25, rotated(1, cuq))", 1000),
            Example("subsample(0.01, subsample(0.5, cross_polytope(repeats=50)))", 70_001),
        )
