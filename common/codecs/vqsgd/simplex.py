"""The simplex point set of [V]: d + 1 points, none ever impossible."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import F64, I64, like, to_host
from gradwire.common.arrays.decisions import WORDS, Threshold
from gradwire.common.arrays.sampling import draw_coordinates, draw_uniform
from gradwire.common.arrays.sums import signed_sum
from gradwire.common.arrays.update import Sparse, Terms, Vector
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.gain import NoiseAt, NormEstimate
from gradwire.common.codecs.forms.sphere import noise_of_draws
from gradwire.common.codecs.forms.vertex import VertexCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.privacy.mechanisms import UNKNOWN, Masses
from gradwire.common.randomness import Coins


@register
@dataclass(frozen=True, kw_only=True)
class Simplex(VertexCodec):
    """Vertices -4·(1, …, 1) and 2d e_i.

    With v = x / gain and S the sum of v, vertex -4·1 has probability a_0 = 1/3 - S / 6d and vertex 2d e_i has v_i / 2d
    + 2 a_0 / d ([V] section 6, equation 7; theory 1.1). Vertex 0 is -4·1, vertex i is 2d e_{i-1}. All probabilities are
    positive on the ball, the least is above 1 / 6d (erratum V5 on the printed bounds; 2d is the largest norm only for
    d >= 4).

    Drawn by rejection, from blocks: the law is (1 - S / 2d) b + sum v_i e_i / 2d, b = (1/3; 2/3d, …). Proposals are
    the positive coordinates and, with the rest of the probability, b; one of b is rejected more often where v_i is
    negative. At least 1 / (1 + 1 / sqrt d) of the proposals are accepted; encoding reads x twice, O(d).

    Payload: gain, then ``repeats`` indices of ceil(log2(d + 1)) bits.
    Unbiased; variance (gain^2 (16 d a_0 + 4 d^2 (1 - a_0)) - |x|^2) / repeats, about 8 d^2 / 3.
    Under a public bound a draw has epsilon = ln((4 + r) / (4 - r)), r = sqrt(9 - 8/d), below ln 7; ln 3 for d = 1.

    >>> from gradwire.common.codecs import parse
    >>> parse("simplex", dim=1023).nbits
    42
    """

    name = "simplex"
    source = "[V] 6, Prop 13 (V5)"

    @property
    def vertices(self) -> int:
        return self.dim + 1

    @property
    def index_size(self) -> int:
        return self.dim + 1

    def variance(self, norm: float = 1.0) -> float:
        # The second moment is linear in S, so a flat vector is worst: all positive from d = 4 on, all negative below.
        flat = math.sqrt(self.dim) * norm
        return max(
            self._gain.largest_error(norm, norm, norm, self._noise(norm, sum_)) for sum_ in (flat, -flat)
        )

    def variance_at(self, x: NDArray[np.floating]) -> float:
        x = x.astype(np.float64)
        norm = float(np.linalg.norm(x))
        return self._gain.error(norm, norm, self._noise(norm, math.fsum(x.tolist())))

    def _noise(self, norm: float, sum_: float) -> NoiseAt:
        """The noise of vectors with that l2 norm and sum of coordinates."""

        def second_moment(gain: float, scale: float) -> float:
            return gain * (8 * self.dim * (self.dim + 2) * gain + 2 * (self.dim - 4) * scale * sum_) / 3

        return noise_of_draws(norm, self.draws, second_moment)

    def synthesise(self, total: Vector) -> Vector:
        """2d times the weights of the e_i, less 4 times that of -4·1 everywhere; sparse where the latter is absent."""
        if isinstance(total, Sparse):
            if total.indices.size and total.indices[0] > 0:
                return Sparse(self.dim, total.indices - 1, 2 * self.dim * total.values)
            total = total.dense()
        out: F64 = 2 * self.dim * total[1:] - 4 * total[0]
        return out

    @property
    def sum_of_squares(self) -> float:
        return 16.0 * self.dim + 4.0 * self.dim**3

    def second_moment(self, norm: float) -> float:
        least = (2 * math.sqrt(self.dim) - abs(norm)) / (6 * math.sqrt(self.dim))
        first = least if self.dim >= 4 else 2 / 3 - least  # from d = 4 on the axes are longer than -4·1
        return 16 * self.dim * first + 4 * self.dim**2 * (1 - first)

    @cached_property
    def vertex_sum(self) -> Terms | None:
        """(2d - 4)·1, as a multiple of vertex 0."""
        return Terms(self.dim + 1, np.zeros(1, np.int64), np.full(1, 1 - self.dim / 2))

    def masses(self, size: int) -> Masses:
        """One vertex: (4 ± r) / 6d for an axis, r = sqrt(9 - 8/d), and (2 sqrt(d) ± 1) / 6 sqrt(d) for -4·1."""
        if size > 1:
            return UNKNOWN
        d, root = self.dim, math.sqrt(self.dim)
        reach = math.sqrt(9 - 8 / d)
        axis = (4 - reach) / (6 * d), (4 + reach) / (6 * d)
        first = (2 * root - 1) / (6 * root), (2 * root + 1) / (6 * root)
        return Masses((axis, first), spreads=(reach / (3 * d), 1 / (3 * root)))

    def _norm_estimate(self, vector: GradientVector) -> NormEstimate:
        # The hull has room around the ball for float32 sums. Where squares underflow, |x|_1 / d is left.
        return NormEstimate.l2(vector, at_least=vector.l1_bound / self.dim)

    def _draw(self, vector: GradientVector, count: int, coins: Coins) -> I64:
        spread = vector.l1_bound
        rest = 2 * self.dim - vector.factor * signed_sum(vector.values)
        # An axis has about 1 / d of the mass: 53 bits would move its log-odds by d 2^-53, above ROUNDING from 2^23 on.
        is_on_axis = Threshold(math.floor(float(spread / (rest + spread)) * WORDS))
        accepted: I64 = np.empty(0, np.int64)
        while accepted.size < count:
            missing = count - accepted.size
            on_axis = is_on_axis.flip(missing, coins)
            proposed = np.empty(missing, np.int64)
            proposed[on_axis] = _propose_positive(vector, int(on_axis.sum()), coins)
            proposed[~on_axis] = self._propose_rest(vector, int((~on_axis).sum()), rest, coins)
            accepted = np.concatenate([accepted, proposed[proposed >= 0]])
        return accepted

    def _propose_rest(self, vector: GradientVector, count: int, rest: float, coins: Coins) -> I64:
        """Draws of b [count]; where v_i < 0, vertex i becomes -1 (rejected) with probability (3/2 d |v_i|) / rest."""
        third = draw_uniform(3 * self.dim, count, coins)
        vertex = np.where(third < self.dim, 0, 1 + (third - self.dim) // 2)
        keep = coins.uniforms(count)
        value = to_host(vector.values[like(np.maximum(vertex - 1, 0), vector.values)]).astype(np.float64)
        against = np.where(vertex > 0, np.maximum(-value * vector.factor, 0.0), 0.0)
        return np.where(keep * rest < rest - 1.5 * self.dim * against, vertex, -1)

    def _terms(self, vertices: I64, weights: F64) -> Terms:
        return Terms(self.dim + 1, vertices, weights)

    def _probabilities(self, v: F64) -> F64:
        first = 1 / 3 - math.fsum(v.tolist()) / (6 * self.dim)
        law = np.concatenate([[first], v / (2 * self.dim) + 2 * first / self.dim])
        return law.clip(0.0)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("simplex", 3, enumerable=True),
            Example("simplex(repeats=2)", 5, enumerable=True),
            Example("simplex(repeats=3, gain=bound(2.0))", 2, enumerable=True),
            Example("simplex", 1, enumerable=True),
            Example("simplex(repeats=100)", 70_001),
            Example("simplex(repeats=1000, gain=bound(1.5))", 129),
        )


def _propose_positive(vector: GradientVector, count: int, coins: Coins) -> I64:
    """Vertices [count] of coordinates drawn in proportion to magnitude; -1 (rejected) for a negative one, or none."""
    drawn = draw_coordinates(vector.values, vector.sums, vector.sums.total, count, coins)
    return np.where(drawn.negative | (drawn.coordinate < 0), -1, drawn.coordinate + 1)
