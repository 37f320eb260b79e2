"""The cross-polytope point set of vqSGD."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.codecs.ball import VertexCodec
from gradwire.common.codecs.base import Example
from gradwire.common.codecs.gain import Length
from gradwire.common.codecs.registry import register
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.kernels.arrays import F64, I64
from gradwire.common.kernels.sampling import draw_coordinates
from gradwire.common.randomness import Coins
from gradwire.common.update import Terms


@register
@dataclass(frozen=True, kw_only=True)
class CrossPolytope(VertexCodec):
    """Vertices ±sqrt(d) e_i; x/gain is their mean, drawn ``repeats`` times.

    With v = x / gain and g = 1 - |v|_1 / sqrt(d), vertex sign(v_i) sqrt(d) e_i has probability |v_i| /
    sqrt(d) + g / 2d and its opposite g / 2d ([V] section 5.3.1, equations 7 and 8; in equation 4, v_i for i >
    d means v_{i-d}: erratum V8). Vertex i < d is +sqrt(d) e_i, vertex d + i its opposite.

    Payload: gain, then ``repeats`` indices of ceil(log2 2d) bits. Unbiased; variance (gain^2 d - |x|^2) /
        repeats for every x, because all vertices are equally long (theory 1.1).

    >>> from gradwire.common.codecs import parse
    >>> parse("cross_polytope(repeats=100)", dim=795_010).nbits
    2132
    """

    name = "cross_polytope"
    source = "vqSGD 5.3.1, Prop. 10 (V8)"

    @property
    def vertices(self) -> int:
        return 2 * self.dim

    def variance(self, norm: float = 1.0) -> float:
        gain, kept = self._gain.sent(norm)
        return (gain**2 * self.dim - kept**2) / self.repeats + (norm - kept) ** 2

    def variance_at(self, x: NDArray[np.floating]) -> float:
        return self.variance(float(np.linalg.norm(x.astype(np.float64))))

    def _prepare(self, vector: GradientVector) -> GradientVector:
        """For a nearly flat vector float32 sums may put the l1 norm above its largest value, sqrt(d) |x|: sum again."""
        flat = vector.l1_bound > math.sqrt(self.dim) * vector.norm
        return vector.with_exact_sums() if flat else vector

    def _length(self, vector: GradientVector) -> Length:
        hull = vector.l1_bound / math.sqrt(self.dim)
        return Length(max(vector.norm, hull), max(vector.norm_bound, hull))

    def _draw(self, vector: GradientVector, count: int, coins: Coins) -> I64:
        if vector.factor == 0:
            return _uniform(2 * self.dim, count, coins)
        total = max(math.sqrt(self.dim) / vector.factor, vector.sums.total)
        drawn = draw_coordinates(vector.values, vector.sums, total, count, coins)
        vertex = drawn.coordinate + self.dim * drawn.negative
        return np.where(drawn.coordinate < 0, _uniform(2 * self.dim, count, coins), vertex)

    def _terms(self, vertices: I64, weights: F64) -> Terms:
        sign = np.where(vertices < self.dim, 1.0, -1.0)
        return Terms(self.dim, vertices % self.dim, sign * (weights * math.sqrt(self.dim)))

    def _probabilities(self, v: F64) -> F64:
        share = np.abs(v) / math.sqrt(self.dim)
        rest = max(0.0, 1 - float(share.sum())) / (2 * self.dim)
        return np.concatenate([np.where(v > 0, share, 0.0), np.where(v < 0, share, 0.0)]) + rest

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("cross_polytope", 3, enumerable=True),
            Example("cross_polytope(repeats=2)", 4, enumerable=True),
            Example("cross_polytope(repeats=3, gain=bound(2.0))", 2, enumerable=True),
            Example("cross_polytope", 1, enumerable=True),
            Example("cross_polytope(repeats=100)", 70_001),
            Example("cross_polytope(repeats=1000, gain=bound(1.5))", 129),
        )


def _uniform(vertices: int, count: int, coins: Coins) -> I64:
    """Uniform vertices [count]; the rounding of 53-bit uniforms moves no probability by more than 2**-53."""
    return np.minimum(coins.uniforms(count) * vertices, vertices - 1).astype(np.int64)
