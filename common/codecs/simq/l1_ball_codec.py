"""The form of SimQ, SimQ+ and systematic draws: vertices 0 and ±B e_i of an l1 ball."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import F64, I64
from gradwire.common.arrays.sampling import Drawn, draw_coordinates
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs.forms.gain import NoiseAt
from gradwire.common.codecs.forms.vertex import VertexCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.privacy.mechanisms import Masses
from gradwire.common.randomness import Coins


@dataclass(frozen=True, kw_only=True)
class L1BallCodec(VertexCodec):
    """Vertices 0 and ±radius e_i, where the l1 ball of that radius holds x / gain.

    Vertex i < d is +radius e_i, vertex d + i is -radius e_i, vertex 2d is the zero vector.
    """

    signed_axes = True

    @property
    def vertices(self) -> int:
        return 2 * self.dim + 1

    @property
    @abstractmethod
    def radius(self) -> float:
        """The l1 norm of the vertices other than 0, for gain 1."""

    @property
    @abstractmethod
    def q(self) -> float:
        """The exponent of the norm whose ball the family quantizes."""

    def variance(self, norm: float = 1.0) -> float:
        # Flat vectors are worst: of all with this l2 norm they have the largest l1 and l_q norms.
        longest = norm * self.dim ** (1 / self.q - 0.5)
        return self._gain.largest_error(norm, longest, norm, self._noise(math.sqrt(self.dim) * norm, norm))

    def variance_at(self, x: NDArray[np.floating]) -> float:
        v = x.astype(np.float64)
        l1, l2 = float(np.abs(v).sum()), float(np.linalg.norm(v))
        return self._gain.error(self._ball_norm(v), l2, self._noise(l1, l2))

    def _noise(self, l1: float, l2: float) -> NoiseAt:
        """The largest noise of vectors with these norms (theory 2.1)."""

        def noise(gain: float, scale: float) -> float:
            hull = self.radius * gain  # the scaled vector lies in the l1 ball of this radius
            return max(0.0, hull * min(scale * l1, hull) - (scale * l2) ** 2) / self.draws

        return noise

    def _ball_norm(self, x: NDArray[np.floating]) -> float:
        """The l_q norm of x [dim]."""
        return float(np.linalg.norm(x, self.q))

    @property
    def sum_of_squares(self) -> float:
        return 2 * self.dim * self.radius**2

    def second_moment(self, norm: float) -> float:
        return self.radius * min(math.sqrt(self.dim) * norm, self.radius)

    def masses(self, size: int) -> Masses:
        """Any vertex can be certain, and any proper subset impossible."""
        return Masses(((0.0, 1.0),))

    def _draw(self, vector: GradientVector, count: int, coins: Coins) -> I64:
        if vector.factor == 0:
            return np.full(count, 2 * self.dim)
        total = max(self.radius / vector.factor, vector.sums.total)
        drawn = self._draw_coordinates(vector, total, count, coins)
        return np.where(drawn.coordinate < 0, 2 * self.dim, drawn.coordinate + self.dim * drawn.negative)

    def _draw_coordinates(self, vector: GradientVector, total: float, count: int, coins: Coins) -> Drawn:
        """Coordinates [count] with probability |value| / total each; -1 for the rest of the probability."""
        return draw_coordinates(vector.values, vector.sums, total, count, coins)

    def _terms(self, vertices: I64, weights: F64) -> Terms:
        moved = vertices < 2 * self.dim
        vertices, weights = vertices[moved], weights[moved]
        sign = np.where(vertices < self.dim, 1.0, -1.0)
        return Terms(self.dim, vertices % self.dim, sign * (weights * self.radius))

    def _probabilities(self, v: F64) -> F64:
        share = np.abs(v) / self.radius
        rest = max(0.0, 1 - float(share.sum()))
        return np.concatenate([np.where(v > 0, share, 0.0), np.where(v < 0, share, 0.0), [rest]])
