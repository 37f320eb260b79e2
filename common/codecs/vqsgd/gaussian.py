"""The Gaussian point set of [V]: short payloads for small dimensions, by a linear program for each gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import F64, I64
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.convex import Combination, convex_combination, gauge
from gradwire.common.codecs.forms.gain import NormEstimate, mean_squared_error
from gradwire.common.codecs.forms.scales import FLOAT32_MAX, round_up_float32
from gradwire.common.codecs.forms.sphere import noise_of_draws
from gradwire.common.codecs.forms.vertex import VertexCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.randomness import Coins

MAX_BITS = 12
MAX_VALUES = 1 << 18  # points times coordinates; a linear program of that size takes half a second
# The largest dimension at which all facets of the hull are computed, and with them its inradius.
FACETS_DIM = 6
DIRECTIONS = 1024  # public directions in which the hull is measured at larger dimensions
GRID = 2.0**10  # coordinates of points are multiples of 1 / GRID
LEAST_REACH = 0.05  # of the hull before it is scaled: point sets below that are refused as nearly flat


@register
@dataclass(frozen=True, kw_only=True)
class Gaussian(VertexCodec):
    """2^bits points from a public seed: 2^(bits-1) independent N(0, I / h^2), and their opposites.

    [V] Theorem 7 draws them with variance R^2 / 9d, R^2 = 20 d / (bits ln 2 - 2 ln d), and proves that their hull then
    holds the unit ball with high probability. Its constants are far from tight (erratum V10), so h is measured instead.
    Up to dim 6 it is the distance of the nearest facet of the hull, and the ball is certainly inside. Beyond, that is
    too expensive: h is the least over 1,024 public directions, and a gradient is sent with its gauge (the factor by
    which it exceeds the hull) where that is above its norm, by a few percent; the law is exact for every gradient. The
    opposites make the hull contain a known ball, of radius sqrt(least eigenvalue of the points' second moment).

    The weights a_i solve the linear program min sum a_i |c_i|^2, which has the least variance (theory 1), so at most
    d + 1 are not zero. It is solved with [HiGHS] on the host: milliseconds for 2^10 points in dim 8, at most half a
    second. Coordinates of points are rounded to 1/1024, so that all machines have the same points.

    Payload: gain, then ``repeats`` indices of ``bits`` bits.
    Unbiased to 1e-12; variance (gain^2 sum a_i |c_i|^2 - |x|^2) / repeats, exact in ``variance_at``; ``variance`` is a
    bound through the longest point.

    Args:
        bits: of an index, at least ceil(log2 4d), at most 12 and log2(2**18 / d).
        seed: of the points, public, 0 to 2**63 - 1.

    Raises:
        SpecError: a parameter outside these bounds, dim above 256, or a seed whose points are nearly flat.

    >>> from gradwire.common.codecs import parse
    >>> codec = parse("gaussian(10)", dim=6)
    >>> codec.nbits, round(codec.variance_at(np.eye(6)[0]), 2)
    (42, 0.42)
    """

    bits: int = field(default=8, metadata={"first": True})
    seed: int = 1

    name = "gaussian"
    source = "[V] 5.1, Theorem 7 (V10)"
    plan_templates = ("gaussian({n})", "gaussian(8, repeats={n})")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.seed < 1 << 63:
            raise SpecError(f"gaussian: seed is {self.seed}, expected 0 to 2**63 - 1")
        least = max(2, (4 * self.dim - 1).bit_length())
        most = min(MAX_BITS, (MAX_VALUES // self.dim).bit_length() - 1)
        if least > most:
            raise SpecError(
                f"gaussian: dim is {self.dim}, expected at most 256: use cross_polytope(repeats=…) for more"
            )
        if not least <= self.bits <= most:
            raise SpecError(f"gaussian: bits is {self.bits}, expected {least} to {most} for dim {self.dim}")
        if self._set.points.size == 0:
            raise SpecError(f"gaussian: the points of seed {self.seed} are nearly flat: choose another seed")

    @property
    def variance_is_bound(self) -> bool:
        return True

    @property
    def vertices(self) -> int:
        return 1 << self.bits

    @cached_property
    def radius(self) -> float:
        """The length of the longest point, for gain 1."""
        return math.sqrt(float(self._set.squares.max()))

    @cached_property
    def sum_of_squares(self) -> float:
        return float(self._set.squares.sum())

    def second_moment(self, norm: float) -> float:
        return self.radius**2

    def variance(self, norm: float = 1.0) -> float:
        noise = noise_of_draws(norm, self.draws, lambda gain, scale: (gain * self.radius) ** 2)
        return self._gain.largest_error(norm, norm * self._set.largest_gauge, norm, noise)

    def variance_at(self, x: NDArray[np.floating]) -> float:
        gradient: F64 = x.astype(np.float64)

        def second_moment(gain: float, scale: float) -> float:
            indices, weights = self._combination(gradient * (scale / gain if gain > 0 else 0.0))
            return gain**2 * float(weights @ self._set.squares[indices])

        norm = float(np.linalg.norm(gradient))
        outcomes = self._gain_outcomes(GradientVector.of(gradient, self.dim))
        return mean_squared_error(outcomes, norm, noise_of_draws(norm, self.draws, second_moment))

    @cached_property
    def _set(self) -> _PointSet:
        return _point_set(self.dim, self.bits, self.seed)

    def _norm_estimate(self, vector: GradientVector) -> NormEstimate:
        norm = vector.norm
        if norm > 0 and self._set.largest_gauge > 1:
            norm *= max(1.0, _gauge(self.dim, self.bits, self.seed, (vector.on_host / vector.norm).tobytes()))
        # Rounded as a gain is: at the hull's boundary the variance depends strongly on the gain that is sent.
        return NormEstimate(round_up_float32(norm) if norm <= FLOAT32_MAX else norm, norm * vector.sums.slack)

    def _combination(self, v: F64) -> Combination:
        return _combination(self.dim, self.bits, self.seed, v.tobytes())

    def _draw(self, vector: GradientVector, count: int, coins: Coins) -> I64:
        indices, weights = self._combination(vector.on_host)
        return indices[np.searchsorted(np.cumsum(weights)[:-1], coins.uniforms(count), side="right")]

    def _terms(self, vertices: I64, weights: F64) -> Terms:
        points = self._set.points[vertices] * weights[:, None]
        return Terms(self.dim, np.tile(np.arange(self.dim), vertices.size), points.reshape(-1))

    def _probabilities(self, v: F64) -> F64:
        indices, weights = self._combination(v)
        law = np.zeros(self.vertices)
        law[indices] = weights
        return law

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("gaussian(6)", 3, enumerable=True),
            Example("gaussian(5, repeats=2)", 2, enumerable=True),
            Example("gaussian(6, repeats=2, gain=bound(2.0), seed=7)", 2, enumerable=True),
            Example("gaussian(3, gain=bound(2.0))", 1, enumerable=True),
            Example("gaussian(6)", 8, enumerable=True),
            Example("gaussian(6, gain=bound(2.0))", 7),
        )


# Cached because the law, the variance and repeated encodings of a gradient need the same linear program again.


@lru_cache(maxsize=16)
def _gauge(dim: int, bits: int, seed: int, x: bytes) -> float:
    """The gauge of a vector float64 [dim], plus a margin, so that the vector divided by it lies inside the hull."""
    return float(gauge(_point_set(dim, bits, seed).points, np.frombuffer(x)).weights.sum()) * (1 + 1e-9)


@lru_cache(maxsize=16)
def _combination(dim: int, bits: int, seed: int, v: bytes) -> Combination:
    """The weights of a vector float64 [dim] in the hull."""
    points, squares, _ = _point_set(dim, bits, seed)
    return convex_combination(points, squares, np.frombuffer(v))


# ---- the points --------------------------------------------------------------------------------------------


class _PointSet(NamedTuple):
    """Points float64 [n, dim], the squares of their lengths [n], and a bound on the gauge of unit vectors."""

    points: F64
    squares: F64
    largest_gauge: float


@lru_cache(maxsize=32)
def _point_set(dim: int, bits: int, seed: int) -> _PointSet:
    half = np.rint(_normals(seed, 0, 1 << (bits - 1), dim) * GRID) / GRID
    points = np.vstack([half, -half])
    known = math.sqrt(max(0.0, float(np.linalg.eigvalsh(half.T @ half / half.shape[0])[0])))
    reach = _inradius(points) if dim <= FACETS_DIM else _least_support(points, seed)
    # A multiple of 1/1024, certainly below: machines whose last bits differ must scale alike.
    level = math.floor(reach * (1 - 1e-9) * GRID) / GRID
    if min(level, known) < LEAST_REACH:
        return _PointSet(points[:0], points[:0, 0], 1.0)
    points /= level
    points.setflags(write=False)
    return _PointSet(points, (points**2).sum(axis=1), 1.0 if dim <= FACETS_DIM else max(1.0, level / known))


def _inradius(points: F64) -> float:
    """The distance of the nearest facet of the hull from the origin."""
    if points.shape[1] == 1:
        return float(points.max())
    from scipy.spatial import ConvexHull

    return float(-ConvexHull(points).equations[:, -1].max())


def _least_support(points: F64, seed: int) -> float:
    """The least support max_i <c_i, u> over public directions u."""
    directions = _normals(seed, 1, DIRECTIONS, points.shape[1])
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    return min(float((part @ points.T).max(axis=1).min()) for part in np.split(directions, 16))


def _normals(seed: int, stream: int, count: int, dim: int) -> F64:
    """Independent N(0, 1), float64 [count, dim], by Box and Muller from raw words, which no NumPy release changes."""
    pairs = -(-count * dim // 2)
    words = np.random.Philox(key=seed, counter=stream << 128).random_raw(2 * pairs)
    uniforms = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    length, angle = np.sqrt(-2 * np.log1p(-uniforms[:pairs])), 2 * np.pi * uniforms[pairs:]
    normals = np.concatenate([length * np.cos(angle), length * np.sin(angle)])
    return normals[: count * dim].reshape(count, dim)
