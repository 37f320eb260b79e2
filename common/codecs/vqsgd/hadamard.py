"""The Hadamard point set of [V]: as many points as a simplex has, all of one length, none ever impossible."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import F64, I64
from gradwire.common.arrays.decisions import Threshold
from gradwire.common.arrays.hadamard import hadamard_transform, next_power_of_two
from gradwire.common.arrays.sampling import draw_coordinates, draw_uniform
from gradwire.common.arrays.update import Terms, Vector, as_dense
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.gain import NormEstimate
from gradwire.common.codecs.forms.sphere import SphereCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.privacy.mechanisms import Masses
from gradwire.common.randomness import Coins

MAX_KAPPA = 2.0**32


@register
@dataclass(frozen=True, kw_only=True)
class Hadamard(SphereCodec):
    """Vertices kappa sqrt(d) h_i: the rows of the Hadamard matrix of size n = 2^p >= d + 1 without their first column.

    With v = x / gain and r = kappa sqrt(d), row i has probability (1 + h_i·v / r) / n ([V] section 6, equation 8, which
    has kappa = 2 and n = d + 1; columns beyond d carry zeros and cost no variance, only bits). By Cauchy and Schwarz
    no probability is negative, and for kappa above 1 none is zero (theory 1.1).

    Drawn without a transform: coordinate j with probability |v_j| / r, then one of the n / 2 rows whose entry j has the
    sign of v_j; with the rest of the probability (|v|_1 <= sqrt(d)) any row. That is the law for kappa = 1; it is used
    with probability 1 / kappa, else any row is drawn. Decoding any number of payloads costs one transform, O(n log n).

    Payload: gain, then ``repeats`` indices of p = ceil(log2(d + 1)) bits.
    Unbiased; variance (gain^2 kappa^2 d^2 - |x|^2) / repeats for every x.
    Under a public bound a draw has epsilon = ln((kappa + 1) / (kappa - 1)) (ln 3 for kappa = 2, where [V] Proposition
    14 has ln(1 + sqrt 2): erratum V1). So kappa = coth(epsilon / 2) gives any epsilon: ``private(rr(epsilon),
    hadamard(1))`` is that set.

    Raises:
        SpecError: a kappa outside 1 to 2**32.

    >>> from gradwire.common.codecs import parse
    >>> parse("hadamard(kappa=2)", dim=1023).nbits
    42
    """

    kappa: float = field(default=2.0, metadata={"first": True})

    name = "hadamard"
    source = "[V] 6, Prop 14 (V1)"
    private_dim = 1 << 24

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.kappa <= MAX_KAPPA:
            raise SpecError(
                f"hadamard: kappa is {self.kappa}, expected 1 (least variance, no privacy) to 2**32"
            )

    @property
    def vertices(self) -> int:
        return next_power_of_two(self.dim + 1)

    @property
    def index_size(self) -> int:
        return self.vertices

    @property
    def radius(self) -> float:
        """The largest coordinate of a vertex, for gain 1."""
        return self.kappa * math.sqrt(self.dim)

    @property
    def squared_radius(self) -> float:
        return (self.kappa * self.dim) ** 2

    def synthesise(self, total: Vector) -> Vector:
        rows = hadamard_transform(as_dense(total).astype(np.float64), in_place=True)
        return rows[1 : self.dim + 1]  # type: ignore[no-any-return]

    def _prepare(self, vector: GradientVector) -> GradientVector:
        """With exact sums where float32 sums of a nearly flat vector put its l1 norm above sqrt(d) |x|."""
        flat = vector.l1_bound > math.sqrt(self.dim) * vector.norm
        return vector.with_exact_sums() if flat else vector

    def masses(self, size: int) -> Masses:
        """One row has (1 ± 1 / kappa) / n (theory 1.1); several have bounds from that, or from the rows left out."""
        n = self.vertices
        if 2 * size > n:
            return self.masses(n - size).complement
        least, spread = size * (1 - 1 / self.kappa) / n, 2 * size / (self.kappa * n)
        return Masses(((least, least + spread),), tight=size == 1, spreads=(spread,))

    def _norm_estimate(self, vector: GradientVector) -> NormEstimate:
        return NormEstimate.l2(vector, at_least=vector.l1_bound / math.sqrt(self.dim))

    def _draw(self, vector: GradientVector, count: int, coins: Coins) -> I64:
        row = draw_uniform(self.vertices, count, coins)
        if vector.factor == 0:
            return row
        total = max(math.sqrt(self.dim) / vector.factor, vector.sums.total)
        drawn = draw_coordinates(vector.values, vector.sums, total, count, coins)
        column = drawn.coordinate + 1  # 0 where no coordinate was drawn: there every row has +1
        wrong = _is_negative(row, column) != drawn.negative
        if self.kappa > 1:
            wrong &= self._informed.flip(count, coins)
        # Flipping the column's lowest bit in the row pairs the rows one to one, and flips the sign in the column.
        return row ^ np.where(wrong, column & -column, 0)

    @cached_property
    def _informed(self) -> Threshold:
        """The coin with probability 1 / kappa that a draw follows the law for kappa = 1."""
        return Threshold.below(1 / Fraction(self.kappa))

    def _terms(self, vertices: I64, weights: F64) -> Terms:
        return Terms(self.vertices, vertices, weights * self.radius)

    def _probabilities(self, v: F64) -> F64:
        padded = np.zeros(self.vertices)
        padded[1 : self.dim + 1] = v / self.radius
        padded[0] = 1.0
        law: F64 = np.maximum(hadamard_transform(padded, in_place=True), 0.0)
        return law / self.vertices

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("hadamard", 3, enumerable=True),
            Example("hadamard(1.0, repeats=2)", 3, enumerable=True),
            Example("hadamard(kappa=3, repeats=2, gain=bound(2.0))", 2, enumerable=True),
            Example("hadamard", 1, enumerable=True),
            Example("hadamard(kappa=1.5)", 5, enumerable=True),
            Example("hadamard(kappa=1.1, gain=bound(1.0))", 3, enumerable=True),
            Example("hadamard(repeats=100)", 70_001),
            Example("hadamard(kappa=1, repeats=1000, gain=bound(1.5))", 127),
        )


def _is_negative(row: I64, column: I64) -> NDArray[np.bool_]:
    """Whether H is -1 at (row, column): the parity of the bits that both have."""
    bits = row & column
    for shift in (32, 16, 8, 4, 2, 1):
        bits ^= bits >> shift
    return (bits & 1).astype(bool)
