"""Private directions: an axis of a random basis that is near the gradient, or another one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import I64, Array, like, to_host
from gradwire.common.arrays.decisions import MOST_LOST, ROUNDING, Threshold
from gradwire.common.arrays.largest import best_count, largest_on_sphere, largest_squares_on_sphere
from gradwire.common.arrays.logarithms import exp_fraction
from gradwire.common.arrays.rotation import Rotation
from gradwire.common.arrays.sampling import draw_uniform
from gradwire.common.codecs import Codec, Example, register
from gradwire.common.codecs.forms.gain import BoundGain
from gradwire.common.codecs.forms.random_rotation import random_rotation, rotated_size
from gradwire.common.codecs.forms.selected import largest_coordinates
from gradwire.common.codecs.forms.vertex import MAX_REPEATS
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import PayloadError, SpecError
from gradwire.common.privacy.mechanisms.base import MAX_EPSILON
from gradwire.common.randomness import Coins, derived_seed


@register
@dataclass(frozen=True, kw_only=True)
class PrivateTop(Codec[I64]):
    """Rotate by a public random rotation; report one of the w signed axes nearest to the gradient, or another one.

    R is a rotation of R^D, D = 2^t >= 64, from the public seed of the worker and round. Of the 2n signed axes ±e_i, i <
    n, each of the w with the largest inner product with Rx is reported with weight t = e^epsilon, each other one with
    weight 1. Decoded: R^T(±e_i) B / m, where m = T_w (t - 1) / (w t + 2n - w) is the mean inner product with x / |x|,
    and T_w the mean of the sum of the w largest of n |coordinates| of a random unit vector in R^D (theory 6). A
    gradient is clipped to the public l2 ``bound`` B; a shorter one counts as x B / |x| with probability (1 + |x| / B) /
    2, else as its opposite, which has mean x.

    [PrivUnit] is optimal at every epsilon; this is within a few percent of it, for ceil(log2 2n) bits instead of 32 d.
    With n = 1 it is the one-bit mechanism of [DJW], the side of a random hyperplane. [RRSC] is a relative.

    Payload: ``repeats`` numbers of ceil(log2 2n) bits.
    Unbiased over uniformly random rotations (on the rotations used see ``RandomRotationCodec``); for one public seed
    the mean is not x. Variance (B^2 / m^2 - |x|^2) / repeats for every x, where d = D.
    Epsilon holds for every R and x, whatever rounding does: rounding may change the set of favoured axes, but not their
    weight. The weight is a 64-bit threshold, rounded so that a report has at most its part of epsilon, and at least
    that minus (2^-31 - 2^-33).

    Args:
        epsilon: of the whole payload, exactly; each of its reports has an equal part of it. At most 20 per report.
        w: signed axes that are favoured, 1 to n; by default the number with the largest m.
        axes: n, 1 to D; by default D.
        repeats: reports, each in a rotation of its own. More than one is better where epsilon is above about ln d.
        bound: B.

    Raises:
        SpecError: a parameter outside its bounds, or an epsilon that is too small for the threshold's resolution: one
            of which rounding would take more than a hundredth.

    >>> from gradwire.common.codecs import parse
    >>> top = parse("private_top(epsilon=4)", dim=1024)
    >>> top.nbits, top.epsilon, round(top.variance())
    (11, 4.0, 445)
    """

    epsilon: float = field(default=1.0)
    w: int | None = None
    axes: int | None = None
    repeats: int = 1
    bound: float = 1.0

    name = "private_top"
    source = "theory 6; [PrivUnit]; [DJW]; [RRSC]"
    shared_randomness = True
    unbiased_given_shared = False
    variance_given_shared = False

    def __post_init__(self) -> None:
        super().__post_init__()
        BoundGain(self.bound)
        self._check_range("repeats", 1, MAX_REPEATS)
        if not 0 < self.epsilon <= MAX_EPSILON * self.repeats:
            raise SpecError(
                f"{self.name}: epsilon is {self.epsilon}, expected above 0 and at most {MAX_EPSILON:g} per report: "
                f"beyond that nothing is hidden"
            )
        self._settle(axes=self.size if self.axes is None else self.axes)
        self._check_range("axes", 1, self.size, "rotated coordinates")
        self._settle(w=best_count(float(self._odds), self._axes) if self.w is None else self.w)
        self._check_range("w", 1, self._axes, "signed axes, one of each axis and its opposite")
        too_little = (1 - MOST_LOST) * Fraction(self.epsilon) / self.repeats
        if not self._is_favoured.is_fine or self._excess < too_little:
            raise SpecError(
                f"{self.name}: epsilon is {self.epsilon}, too small for w={self.w} of {2 * self._axes} axes"
            )

    @cached_property
    def size(self) -> int:
        """D: coordinates after padding, a power of two."""
        return rotated_size(self.dim)

    @property
    def _axes(self) -> int:
        assert self.axes is not None
        return self.axes

    @property
    def _favoured(self) -> int:
        assert self.w is not None
        return self.w

    @cached_property
    def _odds(self) -> Fraction:
        """The weight t, slightly below e^epsilon."""
        each = self.epsilon / self.repeats
        return exp_fraction(each - ROUNDING * min(1.0, each))

    @cached_property
    def _is_favoured(self) -> Threshold:
        """The coin that decides whether a favoured axis is reported."""
        weight = self._favoured * self._odds
        return Threshold.below(weight / (weight + 2 * self._axes - self._favoured))

    @cached_property
    def _excess(self) -> Fraction:
        """T - 1 for the coin as it is, exactly."""
        p, w, n = self._is_favoured.exact, self._favoured, self._axes
        return (2 * n * p - w) / (w * (1 - p))

    @property
    def width(self) -> int:
        """Bits per report."""
        return (2 * self._axes - 1).bit_length()

    @property
    def nbits(self) -> int:
        return self.repeats * self.width

    # ---- moments of a report -------------------------------------------------------------------------------

    @cached_property
    def _mean(self) -> float:
        """The mean m of the inner product of a reported axis with x / |x|."""
        w, n = self._favoured, self._axes
        sum_ = largest_on_sphere(w, n, self.size)
        # Exactly: for a small epsilon the two probabilities of an axis have nearly all digits in common
        return sum_ * float((2 * n * self._is_favoured.exact - w) / (w * (2 * n - w)))

    @cached_property
    def _mean_square(self) -> float:
        """The mean square of that inner product."""
        w, n = self._favoured, self._axes
        favoured = largest_squares_on_sphere(w, n, self.size)
        others = 2 * n / self.size - favoured
        coin = self._is_favoured
        return favoured * coin.probability / w + others * coin.complement / (2 * n - w)

    def variance(self, norm: float = 1.0) -> float:
        """The same for every x with that norm: the part of a report along x, and its share of the part across."""
        clipped = min(norm, self.bound)
        inside = self._mean_square + (1 - self._mean_square) * (self.dim - 1) / (self.size - 1)
        noise = (self.bound / self._mean) ** 2 * inside - clipped**2
        return noise / self.repeats + (norm - clipped) ** 2

    def variance_at(self, x: NDArray[np.floating]) -> float:
        return self.variance(float(np.linalg.norm(x.astype(np.float64))))

    # ---- reports -------------------------------------------------------------------------------------------

    def _rotation(self, shared: int, report: int) -> Rotation:
        return random_rotation(self.size, derived_seed(shared, "report", report) if report else shared)

    def _nearest_axes(self, y: Array) -> I64:
        """The w signed axes with the largest inner products with y [D], increasing; i for +e_i, n + i for -e_i."""
        y = y[: self._axes]
        axes = largest_coordinates(y, self._favoured)
        return np.sort(axes + self._axes * to_host(y[like(axes, y)] < 0))

    def _opposite(self, vertices: I64) -> I64:
        return np.sort((vertices + self._axes) % (2 * self._axes))

    def _probability_of_itself(self, vector: GradientVector) -> float:
        """The probability that the gradient counts as itself and not as its opposite."""
        return min(1.0, 0.5 + 0.5 * vector.with_exact_sums().norm / self.bound)

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> I64:
        values, as_itself = vector.working_values, self._probability_of_itself(vector)
        reports = np.empty(self.repeats, np.int64)
        for k in range(self.repeats):
            nearest = self._nearest_axes(self._rotation(shared, k).apply(values))
            itself = bool(coins.uniforms(1)[0] < as_itself)
            reports[k] = self._report(nearest if itself else self._opposite(nearest), coins)
        return reports

    def _report(self, favoured: I64, coins: Coins) -> int:
        if self._is_favoured.flip(1, coins)[0]:
            return int(favoured[draw_uniform(favoured.size, 1, coins)[0]])
        other = int(draw_uniform(2 * self._axes - favoured.size, 1, coins)[0])
        return other + int(np.searchsorted(favoured - np.arange(favoured.size), other, side="right"))

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[I64, float]]:
        laws = [self._law_of_report(vector, shared, k) for k in range(self.repeats)]
        for reports in itertools.product(range(2 * self._axes), repeat=self.repeats):
            yield np.array(reports), math.prod(law[i] for law, i in zip(laws, reports, strict=True))

    def _law_of_report(self, vector: GradientVector, shared: int, report: int) -> NDArray[np.float64]:
        nearest = self._nearest_axes(self._rotation(shared, report).apply(vector.working_values))
        as_itself, w, n = self._probability_of_itself(vector), self._favoured, self._axes
        total = np.zeros(2 * n)
        for favoured, probability in ((nearest, as_itself), (self._opposite(nearest), 1 - as_itself)):
            law = np.full(2 * n, self._is_favoured.complement / (2 * n - w))
            law[favoured] = self._is_favoured.probability / w
            total += probability * law
        return total

    def _pack(self, symbols: I64, out: BitWriter) -> None:
        out.write(symbols, self.width)

    def _unpack(self, bits: BitReader) -> I64:
        reports = bits.read(self.repeats, self.width)
        highest = int(reports.max())
        if highest >= 2 * self._axes:
            raise PayloadError(f"a signed axis is {highest}, expected below {2 * self._axes}: it is corrupt")
        return reports

    def _reconstruct(self, symbols: I64, shared: int) -> NDArray[np.float64]:
        total = np.zeros(self.dim)
        for k, report in enumerate(symbols.tolist()):
            y = np.zeros(self.size)
            y[report % self._axes] = 1.0 if report < self._axes else -1.0
            total += self._rotation(shared, k).invert(y)[: self.dim]
        total *= self.bound / (self._mean * self.repeats)
        return total

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("private_top(epsilon=1, axes=4)", 3, enumerable=True),
            Example("private_top(8.0, w=3, axes=5, bound=2.0)", 2, enumerable=True),
            Example("private_top(2.0, axes=1)", 2, enumerable=True),
            Example("private_top(4.0, axes=2, repeats=2)", 2, enumerable=True),
            Example("private_top", 1),
            Example("private_top(4.0, bound=2.0)", 64),
            Example("private_top(16.0, repeats=2, bound=1.5)", 1000),
            Example("private_top(epsilon=4)", 70_001),
        )
