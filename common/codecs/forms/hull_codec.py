"""Point sets without structure: the weights of a vector come from a linear program, or from a matrix."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import F64, I64
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs.forms.gain import NormEstimate, mean_squared_error
from gradwire.common.codecs.forms.point_set import PointSet
from gradwire.common.codecs.forms.scales import FLOAT32_MAX, round_up_float32
from gradwire.common.codecs.forms.sphere import noise_of_draws
from gradwire.common.codecs.forms.vertex import VertexCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.randomness import Coins


@dataclass(frozen=True, kw_only=True)
class HullCodec(VertexCodec):
    """A point set ``_set``: vertex c_i with the weight a_i of the combination with the least sum a_i |c_i|^2.

    Where the set's hull is not known to hold the unit ball, a gradient is sent with its gauge (the factor by which it
    exceeds the hull) in place of its norm where that is larger; the law is exact for every gradient.
    """

    @property
    @abstractmethod
    def _set(self) -> PointSet:
        """The points."""

    @property
    def variance_is_bound(self) -> bool:
        return True

    @property
    def vertices(self) -> int:
        return len(self._set.points)

    @property
    def radius(self) -> float:
        """The length of the longest point, for gain 1."""
        return self._set.radius

    @property
    def sum_of_squares(self) -> float:
        return float(self._set.squares.sum())

    def second_moment(self, norm: float) -> float:
        return self.radius**2

    def variance(self, norm: float = 1.0) -> float:
        def second_moment(gain: float, scale: float) -> float:
            return gain**2 * self.second_moment(scale * norm / gain) if gain > 0 else 0.0

        longest = norm * self._set.lift * self._set.largest_gauge
        noise = noise_of_draws(norm, self.draws, second_moment)
        return self._gain.largest_error(norm * self._set.lift, longest, norm, noise)

    def variance_at(self, x: NDArray[np.floating]) -> float:
        gradient: F64 = x.astype(np.float64)

        def second_moment(gain: float, scale: float) -> float:
            indices, weights = self._set.combination(gradient * (scale / gain if gain > 0 else 0.0))
            return gain**2 * float(weights @ self._set.squares[indices])

        norm = float(np.linalg.norm(gradient))
        outcomes = self._gain_outcomes(GradientVector.of(gradient, self.dim))
        return mean_squared_error(outcomes, norm, noise_of_draws(norm, self.draws, second_moment))

    def _norm_estimate(self, vector: GradientVector) -> NormEstimate:
        norm = vector.norm * self._set.lift
        if norm > 0 and self._set.largest_gauge > 1:
            norm *= max(1.0, self._set.gauge_of(vector.on_host / norm))
        # Rounded as a gain is: at the hull's boundary the variance depends strongly on the gain that is sent.
        return NormEstimate(round_up_float32(norm) if norm <= FLOAT32_MAX else norm, norm * vector.sums.slack)

    def _draw(self, vector: GradientVector, count: int, coins: Coins) -> I64:
        indices, weights = self._set.combination(vector.on_host)
        return indices[np.searchsorted(np.cumsum(weights)[:-1], coins.uniforms(count), side="right")]

    def _terms(self, vertices: I64, weights: F64) -> Terms:
        points = self._set.points[vertices] * weights[:, None]
        return Terms(self.dim, np.tile(np.arange(self.dim), vertices.size), points.reshape(-1))

    def _probabilities(self, v: F64) -> F64:
        indices, weights = self._set.combination(v)
        law = np.zeros(self.vertices)
        law[indices] = weights
        return law
