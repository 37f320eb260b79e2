"""The simplex quantizers SimQ and SimQ+ for gradients in an l_q ball."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.codecs.ball import VertexCodec
from gradwire.common.codecs.base import Example
from gradwire.common.codecs.gain import Length
from gradwire.common.codecs.registry import register
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.kernels.arrays import F64, I64
from gradwire.common.kernels.sampling import draw_coordinates
from gradwire.common.privacy.mechanisms import Masses
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec
from gradwire.common.update import Terms


@dataclass(frozen=True, kw_only=True)
class _Simplex(VertexCodec):
    """Vertices 0 and ±radius e_i, where the l1 ball of that radius holds x / gain.

    Vertex i < d is +radius e_i, vertex d + i is -radius e_i, vertex 2d is the zero vector.
    """

    signed_axes = True

    @property
    def vertices(self) -> int:
        return 2 * self.dim + 1

    @property
    def radius(self) -> float:
        """The l1 norm that the largest vertex has, for gain 1."""
        raise NotImplementedError

    def variance(self, norm: float = 1.0) -> float:
        # Flat vectors are worst: they have the largest l1 and l_q norms of all with this l2 norm.
        longest = norm * self.dim ** (1 / self.q - 0.5)
        return self._gain.largest(norm, longest, self._error(math.sqrt(self.dim) * norm, norm))

    def variance_at(self, x: NDArray[np.floating]) -> float:
        v = x.astype(np.float64)
        return self._gain.average(
            self._norm(v), self._error(float(np.abs(v).sum()), float(np.linalg.norm(v)))
        )

    def _error(self, l1: float, l2: float) -> Callable[[float, float], float]:
        """E|decode(encode(x)) - x|^2 of gradients with these norms, at most, for a gain and a scale."""

        def error(gain: float, scale: float) -> float:
            hull = self.radius * gain  # what x is scaled to lies in the l1 ball of this radius
            noise = max(0.0, hull * min(scale * l1, hull) - (scale * l2) ** 2) / self.draws
            return noise + ((1 - scale) * l2) ** 2

        return error

    @property
    def q(self) -> float:
        """The exponent of the norm whose ball the family quantizes."""
        return 1.0

    def _norm(self, x: NDArray[np.floating]) -> float:
        """The norm whose ball the family quantizes, of x [dim]."""
        raise NotImplementedError

    @property
    def squares(self) -> float:
        return 2 * self.dim * self.radius**2

    def second_moment(self, norm: float) -> float:
        return self.radius * min(math.sqrt(self.dim) * norm, self.radius)

    def masses(self, size: int) -> Masses:
        """One vertex can be certain, and with some left over any can be impossible."""
        return Masses(((0.0, 1.0),))

    def _draw(self, vector: GradientVector, count: int, coins: Coins) -> I64:
        if vector.factor == 0:
            return np.full(count, 2 * self.dim)
        total = max(self.radius / vector.factor, vector.sums.total)
        drawn = draw_coordinates(vector.values, vector.sums, total, count, coins)
        return np.where(drawn.coordinate < 0, 2 * self.dim, drawn.coordinate + self.dim * drawn.negative)

    def _terms(self, vertices: I64, weights: F64) -> Terms:
        moved = vertices < 2 * self.dim
        vertices, weights = vertices[moved], weights[moved]
        sign = np.where(vertices < self.dim, 1.0, -1.0)
        return Terms(self.dim, vertices % self.dim, sign * (weights * self.radius))

    def _probabilities(self, v: F64) -> F64:
        share = np.abs(v) / self.radius
        rest = max(0.0, 1 - float(share.sum()))
        return np.concatenate([np.where(v > 0, share, 0.0), np.where(v < 0, share, 0.0), [rest]])


@register
@dataclass(frozen=True, kw_only=True)
class SimQ(_Simplex):
    """SimQ: one or more vertices of the l1 ball of radius |x|_1 (or of a public l1 bound).

    Vertex sign(x_i) B e_i has probability |x_i| / B, the zero vector the rest ([S] section 4.1, Algorithms 1
    and 2, Theorem 4.1; the bits need a ceiling, erratum S7). Payload: the l1 gain B, then ``repeats`` indices
    of ceil(log2(2d+1)) bits. Unbiased; variance (B |x|_1 - |x|^2) / repeats, at most (d - 1) |x|^2 / repeats
    with the exact gain.
    """

    name = "simq"
    source = "SimQ 4.1, Thm 4.1 (S7)"

    @property
    def radius(self) -> float:
        return 1.0

    def _norm(self, x: NDArray[np.floating]) -> float:
        return float(np.abs(x).sum())

    def _length(self, vector: GradientVector) -> Length:
        return Length(vector.l1_bound, vector.l1_bound)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("simq", 3, enumerable=True),
            Example("simq(repeats=2, gain=bound(2.5))", 3, enumerable=True),
            Example("simq(repeats=64)", 70_001),
        )


@register
@dataclass(frozen=True, kw_only=True)
class SimQPlus(_Simplex):
    """SimQ+ for gradients in an l_q ball, 1/p + 1/q = 1, p in [2, inf]: the mean of k independent SimQ draws.

    The l1 ball has radius B' = B d^(1/p), where B bounds |x|_q ([S] section 4.2, equation 5, Theorem 4.2). k
    is ``repeats``; 0 means the paper's k = d^(2/p), rounded down because Theorem 3.1 needs an integer
    (erratum S7). Payload: the gain B, then k indices of ceil(log2(2d+1)) bits (the tuple code); the paper's own
    is ``coding=type_signs``, the shortest ``coding=l1_ball``. Unbiased; variance (B' |x|_1 - |x|^2) / k (theory 2.1).
    """

    repeats: int = 0
    p: float = 2.0
    gain: Spec = Spec("exact")

    name = "simq_plus"
    source = "SimQ 4.2, Thm 4.2 (S7)"

    def __post_init__(self) -> None:
        if not self.p >= 2:
            raise SpecError(
                f"simq_plus: p is {self.p}, expected 2 to inf (for p below 2, [S] uses a split quantizer)"
            )
        if self.repeats == 0:
            object.__setattr__(self, "repeats", max(1, math.floor(self.dim ** (2 / self.p) + 1e-9)))
        super().__post_init__()

    @property
    def q(self) -> float:
        """The dual exponent p / (p - 1)."""
        return 1.0 if math.isinf(self.p) else self.p / (self.p - 1)

    @property
    def radius(self) -> float:
        return float(self.dim ** (1 / self.p))

    def _norm(self, x: NDArray[np.floating]) -> float:
        return float(np.linalg.norm(x, self.q))

    def _prepare(self, vector: GradientVector) -> GradientVector:
        flat = self.p == 2 and vector.l1_bound > self.radius * vector.norm
        return vector.with_exact_sums() if flat else vector

    def _length(self, vector: GradientVector) -> Length:
        hull = vector.l1_bound / self.radius
        if self.q == 1:
            return Length(hull, hull)
        if self.q == 2:
            return Length(max(vector.norm, hull), max(vector.norm_bound, hull))
        norm = vector.lq(self.q)
        return Length(max(norm, hull), max(norm, hull))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("simq_plus(repeats=2)", 3, enumerable=True),
            Example("simq_plus(p=4.0)", 4, enumerable=True),
            Example("simq_plus(repeats=2, p=inf, gain=bound(1.5))", 2, enumerable=True),
            Example("simq_plus(repeats=3, coding=type_signs)", 3, enumerable=True),
            Example("simq_plus(repeats=3, coding=l1_ball)", 2, enumerable=True),
            Example("simq_plus", 1000),
            Example("simq_plus(coding=type_signs)", 1000),
            Example("simq_plus(repeats=50, p=3.0)", 70_001),
        )
