"""The aggregated update of a round: a vector, dense or sparse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sparse:
    """The vector with ``values[k]`` at ``indices[k]`` and zero elsewhere.

    Attributes:
        size: length of the vector.
        indices: int64 [k], strictly increasing.
        values: float [k].
    """

    size: int
    indices: NDArray[np.int64]
    values: NDArray[np.floating]

    def dense(self) -> NDArray[np.floating]:
        """The same vector as an array [size]."""
        out = np.zeros(self.size, self.values.dtype)
        out[self.indices] = self.values
        return out


Vector: TypeAlias = "Sparse | NDArray[np.floating]"


def as_dense(vector: Vector) -> NDArray[np.floating]:
    """A vector as an array, whichever form it came in."""
    return vector.dense() if isinstance(vector, Sparse) else vector


@dataclass(frozen=True)
class Terms:
    """A sum that is not computed yet: ``weights[k]`` at ``indices[k]``; indices may repeat and come in any order.

    Attributes:
        size: length of the vector.
        indices: int64 [k].
        weights: float64 [k].
    """

    size: int
    indices: NDArray[np.int64]
    weights: NDArray[np.float64]

    def gather(self) -> Vector:
        """The sum in float64, sparse while that is smaller.

        Weights of one index are added in the order given, so the result is the same bits everywhere.
        """
        if 4 * self.indices.size >= self.size:
            return _sum_by(self.indices, self.weights, self.size)
        unique, inverse = np.unique(self.indices, return_inverse=True)
        return Sparse(self.size, unique, _sum_by(inverse, self.weights, unique.size))


def _sum_by(bins: NDArray[np.int64], weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Weights added up by bin, in the order given: float64 [size]."""
    return np.bincount(bins, weights, minlength=size).astype(np.float64, copy=False)


def concatenate(terms: Sequence[Terms]) -> Terms:
    """All terms of several sums over vectors of one length, in order."""
    return Terms(
        terms[0].size, np.concatenate([t.indices for t in terms]), np.concatenate([t.weights for t in terms])
    )
