"""A point set as codecs use it: the points, and the weights with which they average to a vector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from gradwire.common.arrays.compat import F64
from gradwire.common.codecs.forms.affine_weights import AffineWeights
from gradwire.common.codecs.forms.convex import Combination, convex_combination, gauge

TIE = 2.0**-24  # of R^2: far above the solver's tolerance, and below what float32 leaves of a variance


@dataclass(frozen=True, eq=False)
class PointSet:
    """Points whose hull has the origin in its interior.

    Attributes:
        points: float64 [n, dim], not writable.
        lift: at least 1; vectors of length up to 1 / lift lie in the hull, but for those of a larger gauge.
        largest_gauge: a bound on the gauge of vectors of length 1 / lift; above 1, each vector's own is computed.
        breaks_ties: whether one of several laws of least variance is preferred, whatever solver finds it.
    """

    points: F64
    lift: float = 1.0
    largest_gauge: float = 1.0
    breaks_ties: bool = False

    @cached_property
    def squares(self) -> F64:
        """The squared lengths of the points, float64 [n]."""
        squares: F64 = (self.points**2).sum(axis=1)
        return squares

    @cached_property
    def costs(self) -> F64:
        """What the weights minimise: |c_i|^2, and with ``breaks_ties`` up to ``TIE`` R^2 more, different for each."""
        if not self.breaks_ties:
            return self.squares
        # Raw words, which no NumPy release changes; independent, as points of a lattice tie in every regular sequence.
        words = np.random.Philox(key=0).random_raw(len(self.points)) >> np.uint64(11)
        costs: F64 = self.squares + TIE * self.squares.max() * (words * 2.0**-53)
        return costs

    @cached_property
    def radius(self) -> float:
        """The length R of the longest point."""
        return math.sqrt(float(self.squares.max()))

    @cached_property
    def affine(self) -> AffineWeights | None:
        """The weights as affine functions, for dim + 1 points; None for more."""
        count, dim = self.points.shape
        return AffineWeights(self.points) if count == dim + 1 else None

    def combination(self, v: F64) -> Combination:
        """The weights with the least sum a_i costs_i of a vector float64 [dim] in the hull: one law for one vector.

        They are the one basic solution of a linear program, solved again in float64 (``convex``): no weight is
        negative, the weights add up to 1 within 2^-50, and sum a_i c_i is v within 1e-12 of the longest point.

        Raises:
            DomainError: the vector lies outside the hull, or the solver fails.
        """
        if self.affine is not None:
            return Combination(np.arange(len(self.points)), self.affine.weights(v))
        return _combination(self, v.tobytes())

    def gauge_of(self, unit: F64) -> float:
        """The factor by which a vector float64 [dim] exceeds the hull; slightly more, so that it then lies inside."""
        return _gauge(self, unit.tobytes())


# Cached because the law, the variance and repeated encodings of a gradient need the same linear program again.


@lru_cache(maxsize=16)
def _combination(point_set: PointSet, v: bytes) -> Combination:
    return convex_combination(point_set.points, point_set.costs, np.frombuffer(v))


@lru_cache(maxsize=16)
def _gauge(point_set: PointSet, x: bytes) -> float:
    return float(gauge(point_set.points, np.frombuffer(x)).weights.sum()) * (1 + 1e-9)
