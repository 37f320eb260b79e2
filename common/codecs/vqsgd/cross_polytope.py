"""The cross-polytope point set of [V], and the form of all sets that are one in some orthonormal basis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from gradwire.common.arrays.compat import F64, I64
from gradwire.common.arrays.decisions import Threshold
from gradwire.common.arrays.sampling import draw_coordinates, draw_uniform
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.gain import NormEstimate
from gradwire.common.codecs.forms.sphere import SphereCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.privacy.mechanisms import Masses
from gradwire.common.randomness import Coins

MAX_SCALE = 2.0**32


@dataclass(frozen=True, kw_only=True)
class AxisCodec(SphereCodec):
    """Vertices ±radius e_i along the ``axes`` of an orthonormal basis, to which ``_prepare`` transforms the gradient.

    With v the gradient over its gain in that basis and g = 1 - |v|_1 / radius, vertex sign(v_i) radius e_i has
    probability |v_i| / radius + g / 2n and its opposite g / 2n, n = ``axes``. Vertex i < n is +radius e_i, vertex
    n + i its opposite. A ``stretch`` above 1 of the least radius, sqrt(n), is a mixture: the law for that radius with
    probability 1 / stretch, else every vertex alike (theory 1.2).
    """

    @property
    def axes(self) -> int:
        """The number n of axes."""
        return self.dim

    @property
    def stretch(self) -> float:
        """The radius over the least one whose hull holds the unit ball."""
        return 1.0

    @property
    def radius(self) -> float:
        """The length of the vertices, for gain 1."""
        return self.stretch * math.sqrt(self.axes)

    @property
    def vertices(self) -> int:
        return 2 * self.axes

    def masses(self, size: int) -> Masses:
        """The extremes for w vertices, no two opposite, at vectors that are flat on their axes, along or against them.

        With u = sqrt(w) the most is u / r + (1 - u / r) w / 2n, the least (1 - sqrt(n) / r) w / 2n (theory 1.1); for
        w > n they follow from the vertices left out.
        """
        n, radius = self.axes, self.radius
        if size > n:
            return self.masses(2 * n - size).complement
        share, reach = size / (2 * n), math.sqrt(size) / radius
        most = 1.0 if reach == 1 else reach + (1 - reach) * share
        spread = reach * (1 - share) + share / self.stretch
        return Masses((((1 - 1 / self.stretch) * share, most),), tight=self.dim == n, spreads=(spread,))

    def _prepare(self, vector: GradientVector) -> GradientVector:
        """With exact sums where float32 sums of a nearly flat vector put its l1 norm above sqrt(n) |x|."""
        flat = vector.l1_bound > math.sqrt(self.axes) * vector.norm
        return vector.with_exact_sums() if flat else vector

    def _norm_estimate(self, vector: GradientVector) -> NormEstimate:
        return NormEstimate.l2(vector, at_least=vector.l1_bound / math.sqrt(self.axes))

    def _draw(self, vector: GradientVector, count: int, coins: Coins) -> I64:
        if vector.factor == 0:
            return draw_uniform(2 * self.axes, count, coins)
        total = max(math.sqrt(self.axes) / vector.factor, vector.sums.total)
        drawn = draw_coordinates(vector.values, vector.sums, total, count, coins)
        vertex = drawn.coordinate + self.axes * drawn.negative
        vertex = np.where(drawn.coordinate < 0, draw_uniform(2 * self.axes, count, coins), vertex)
        if self.stretch == 1:
            return vertex
        informed = self._informed.flip(count, coins)
        return np.where(informed, vertex, draw_uniform(2 * self.axes, count, coins))

    @cached_property
    def _informed(self) -> Threshold:
        """The coin with probability 1 / stretch that a draw follows the law for the least radius."""
        return Threshold.below(1 / Fraction(self.stretch))

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
    """Vertices ±scale sqrt(d) e_i; x / gain is their mean, drawn ``repeats`` times.

    With v = x / gain, r = scale sqrt(d) and g = 1 - |v|_1 / r, vertex sign(v_i) r e_i has probability |v_i| / r +
    g / 2d and its opposite g / 2d ([V] section 5.3.1, equation 4; there v_i for i > d means v_{i-d}, erratum V8;
    theory 1.1). A ``scale`` above 1 makes every vertex possible for every gradient, which privacy needs, and costs
    variance. Vertex i < d is +r e_i, vertex d + i its opposite.

    Payload: gain, then ``repeats`` indices of ceil(log2 2d) bits.
    Unbiased; variance (gain^2 scale^2 d - |x|^2) / repeats for every x, because all vertices have one length.
    Under a public bound a draw has epsilon = ln(1 + 2d A / (scale - 1)), A = (1 - 1/2d) / sqrt(d) + 1/2d (theory 1.1;
    [V] Proposition 15 has scale 2: ln(2 sqrt(d) + 2 - 1 / sqrt(d)), erratum V2). ``private(rr(epsilon),
    cross_polytope)`` has the same law, with the scale that gives that epsilon (theory 1.2).

    Raises:
        SpecError: a scale outside 1 to 2**32.

    >>> from gradwire.common.codecs import parse
    >>> parse("cross_polytope(repeats=100)", dim=795_010).nbits
    2132
    """

    scale: float = 1.0

    name = "cross_polytope"
    source = "[V] 5.3.1, Prop 10, Prop 15 (V2, V8)"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.scale <= MAX_SCALE:
            raise SpecError(f"cross_polytope: scale is {self.scale}, expected 1 (least variance) to 2**32")

    @property
    def stretch(self) -> float:
        return self.scale

    @property
    def squared_radius(self) -> float:
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
            Example("cross_polytope(scale=3, gain=bound(0.5))", 4, enumerable=True),
            Example("cross_polytope(repeats=100)", 70_001),
            Example("cross_polytope(repeats=1000, gain=bound(1.5))", 129),
            Example("cross_polytope(repeats=100, scale=2)", 70_001),
            Example("cross_polytope(repeats=200, coding=multiset)", 70_001),
        )
