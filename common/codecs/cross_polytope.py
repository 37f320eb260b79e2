"""The cross-polytope point set of vqSGD, and what all sets share that are one in some orthonormal basis."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from gradwire.common.codecs.base import Example
from gradwire.common.codecs.gain import Length
from gradwire.common.codecs.registry import register
from gradwire.common.codecs.sphere import SphereCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.kernels.arrays import F64, I64
from gradwire.common.kernels.sampling import draw_coordinates
from gradwire.common.randomness import Coins
from gradwire.common.update import Terms

MAX_SCALE = 2.0**32


@dataclass(frozen=True, kw_only=True)
class AxisCodec(SphereCodec):
    """Vertices ±radius e_i along the ``axes`` of an orthonormal basis, which ``_prepare`` takes the gradient to.

    With v the gradient over its gain in that basis and g = 1 - |v|_1 / radius, vertex sign(v_i) radius e_i has
    probability |v_i| / radius + g / 2n and its opposite g / 2n, n = ``axes``. Vertex i < n is +radius e_i, vertex
    n + i its opposite.
    """

    @property
    def axes(self) -> int:
        """The number of axes."""
        return self.dim

    @property
    @abstractmethod
    def radius(self) -> float:
        """How long the vertices are for gain 1: at least sqrt(axes), so that their hull holds the unit ball."""

    @property
    def vertices(self) -> int:
        return 2 * self.axes

    def _prepare(self, vector: GradientVector) -> GradientVector:
        """For a nearly flat vector float32 sums may put the l1 norm above its largest value, sqrt(n) |x|: sum again."""
        flat = vector.l1_bound > self.radius * vector.norm
        return vector.with_exact_sums() if flat else vector

    def _length(self, vector: GradientVector) -> Length:
        hull = vector.l1_bound / self.radius
        return Length(max(vector.norm, hull), max(vector.norm_bound, hull))

    def _draw(self, vector: GradientVector, count: int, coins: Coins) -> I64:
        if vector.factor == 0:
            return _uniform(2 * self.axes, count, coins)
        total = max(self.radius / vector.factor, vector.sums.total)
        drawn = draw_coordinates(vector.values, vector.sums, total, count, coins)
        vertex = drawn.coordinate + self.axes * drawn.negative
        return np.where(drawn.coordinate < 0, _uniform(2 * self.axes, count, coins), vertex)

    def _terms(self, vertices: I64, weights: F64) -> Terms:
        sign = np.where(vertices < self.axes, 1.0, -1.0)
        return Terms(self.axes, vertices % self.axes, sign * (weights * self.radius))

    def _probabilities(self, v: F64) -> F64:
        share = np.abs(v) / self.radius
        rest = max(0.0, 1 - float(share.sum())) / (2 * self.axes)
        return np.concatenate([np.where(v > 0, share, 0.0), np.where(v < 0, share, 0.0)]) + rest


@register
@dataclass(frozen=True, kw_only=True)
class CrossPolytope(AxisCodec):
    """Vertices ±scale sqrt(d) e_i; x/gain is their mean, drawn ``repeats`` times.

    With v = x / gain, r = scale sqrt(d) and g = 1 - |v|_1 / r, vertex sign(v_i) r e_i has probability |v_i| / r + g /
    2d and its opposite g / 2d ([V] section 5.3.1, equations 7 and 8; in equation 4, v_i for i > d means v_{i-d}:
    erratum V8). A ``scale`` above 1 makes every vertex possible for every gradient, which privacy needs ([V] Prop. 15
    has scale 2), and costs variance. Vertex i < d is +r e_i, vertex d + i its opposite.

    Payload: gain, then ``repeats`` indices of ceil(log2 2d) bits. Unbiased; variance (gain^2 scale^2 d - |x|^2) /
        repeats for every x, because all vertices are equally long (theory 1.1).

    >>> from gradwire.common.codecs import parse
    >>> parse("cross_polytope(repeats=100)", dim=795_010).nbits
    2132
    """

    scale: float = 1.0

    name = "cross_polytope"
    source = "vqSGD 5.3.1, Prop. 10 and 15 (V8)"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.scale <= MAX_SCALE:
            raise SpecError(f"cross_polytope: scale is {self.scale}, expected 1 (least variance) to 2**32")

    @property
    def radius(self) -> float:
        return self.scale * math.sqrt(self.dim)

    @property
    def square(self) -> float:
        return self.scale**2 * self.dim

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("cross_polytope", 3, enumerable=True),
            Example("cross_polytope(repeats=2)", 4, enumerable=True),
            Example("cross_polytope(repeats=3, gain=bound(2.0))", 2, enumerable=True),
            Example("cross_polytope", 1, enumerable=True),
            Example("cross_polytope(scale=2)", 3, enumerable=True),
            Example("cross_polytope(repeats=2, coding=joint)", 3, enumerable=True),
            Example("cross_polytope(repeats=3, coding=multiset)", 2, enumerable=True),
            Example("cross_polytope(repeats=2, coding=elias_fano)", 3, enumerable=True),
            Example("cross_polytope(repeats=2, scale=1.25, gain=bound(2.0))", 2, enumerable=True),
            Example("cross_polytope(repeats=100)", 70_001),
            Example("cross_polytope(repeats=1000, gain=bound(1.5))", 129),
            Example("cross_polytope(repeats=100, scale=2)", 70_001),
            Example("cross_polytope(repeats=200, coding=multiset)", 70_001),
        )


def _uniform(vertices: int, count: int, coins: Coins) -> I64:
    """Uniform vertices [count]; the rounding of 53-bit uniforms moves no probability by more than 2**-53."""
    return np.minimum(coins.uniforms(count) * vertices, vertices - 1).astype(np.int64)
