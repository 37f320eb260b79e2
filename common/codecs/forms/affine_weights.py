"""Weights of dim + 1 points, which are affine functions of the vector.

Mechanisms on the points depend on the weights' extremes, and decoders on the mechanisms; so the extremes are computed
with the same bits on every machine: by elementwise operations in a fixed order, and sums that are rounded once.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradwire.common.arrays.compat import F64


@dataclass(frozen=True, eq=False)
class AffineWeights:
    """The weights of dim + 1 points, a_i(v) = b_i + <w_i, v>: the barycentric coordinates, which are unique.

    Over vectors of length up to r a weight lies in b_i ± r |w_i|, and attains both ends.

    Attributes:
        points: float64 [dim + 1, dim], not all in one hyperplane.
    """

    points: F64

    @cached_property
    def rows(self) -> F64:
        """The rows (w_i, b_i), float64 [dim + 1, dim + 1]; fast, and as accurate as float64 has them."""
        system = self._system
        first = np.linalg.inv(system).astype(np.float64)
        refined: F64 = first + first @ (np.eye(len(system)) - system @ first)
        return refined

    @cached_property
    def same_rows(self) -> F64:
        """``rows`` with the same bits on every machine."""
        return inverse(self._system)

    @property
    def _system(self) -> F64:
        """The matrix [dim + 1, dim + 1] that takes weights to their mean and sum."""
        return np.vstack([self.points.T, np.ones(len(self.points))])

    def weights(self, v: F64) -> F64:
        """The weights of a vector [dim] in the hull: float64 [dim + 1], none negative, of sum 1."""
        weights = self.rows @ np.append(v, 1.0)
        left = np.append(v - weights @ self.points, 1.0 - weights.sum())
        weights = np.maximum(weights + self.rows @ left, 0.0)
        normalised: F64 = weights / weights.sum()
        return normalised

    def ranges(self, size: int) -> list[tuple[float, float]]:
        """The least and the largest sum of ``size`` weights over the unit ball, for each set of that many points.

        Both are outside what is drawn by ``size`` times ``rounding``, and inside 0 to 1.
        """
        off, found = size * self.rounding, []
        for chosen in itertools.combinations(self.same_rows, size):
            *slope, middle = (
                math.fsum(column) for column in zip(*(row.tolist() for row in chosen), strict=True)
            )
            reach = math.sqrt(math.fsum(value * value for value in slope))
            found.append((max(0.0, middle - reach - off), min(1.0, middle + reach + off)))
        return found

    @cached_property
    def rounding(self) -> float:
        """A bound on what rounding does to a weight that is drawn by: of the solution, of sums and of uniforms."""
        count = len(self.points)
        largest = np.append(np.abs(self.points).max(axis=0) + 1.0, 2.0)
        solved = max(math.fsum(row) for row in (np.abs(self.same_rows) * largest).tolist())
        return 8 * (count * solved + count + 1) * 2.0**-52

    def second_moment(self, squares: F64, norm: float) -> float:
        """The largest E|c|^2 over vectors of that length, which is affine in the vector: exact."""
        slope = squares @ self.rows
        return float(slope[-1]) + norm * float(np.linalg.norm(slope[:-1]))


def inverse(matrix: F64) -> F64:
    """The inverse of a matrix [n, n] by Gauss and Jordan with the largest pivot of each column, the first of equals.

    In O(n^3) elementwise operations, each rounded once: seconds for n = 500, equal bits on every machine.
    """
    rows = matrix.copy()
    pivots = []
    for k in range(len(rows)):
        pivot = k + int(np.abs(rows[k:, k]).argmax())
        pivots.append(pivot)
        rows[[k, pivot]] = rows[[pivot, k]]
        scale, rows[k, k] = rows[k, k], 1.0
        rows[k] /= scale
        factors = rows[:, k].copy()
        factors[k] = 0.0
        rows[np.arange(len(rows)) != k, k] = 0.0
        rows -= factors[:, None] * rows[k]
    for k, pivot in reversed(list(enumerate(pivots))):
        rows[:, [k, pivot]] = rows[:, [pivot, k]]
    return rows
