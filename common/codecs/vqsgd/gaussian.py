"""The Gaussian point set of [V]: short payloads for small dimensions, by a linear program for each gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from gradwire.common.arrays.compat import F64
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.hull import DIRECTIONS, FACETS_DIM, inradius
from gradwire.common.codecs.forms.hull_codec import HullCodec
from gradwire.common.codecs.forms.point_set import PointSet
from gradwire.common.errors import SpecError

MAX_BITS = 12
MAX_VALUES = 1 << 18  # points times coordinates; a linear program of that size takes half a second
GRID = 2.0**10  # coordinates of points are multiples of 1 / GRID
LEAST_REACH = 0.05  # of the hull before it is scaled: point sets below that are refused as nearly flat


@register
@dataclass(frozen=True, kw_only=True)
class Gaussian(HullCodec):
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

    @cached_property
    def _set(self) -> PointSet:
        return _point_set(self.dim, self.bits, self.seed)

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


# ---- the points --------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _point_set(dim: int, bits: int, seed: int) -> PointSet:
    half = np.rint(_normals(seed, 0, 1 << (bits - 1), dim) * GRID) / GRID
    points = np.vstack([half, -half])
    known = math.sqrt(max(0.0, float(np.linalg.eigvalsh(half.T @ half / half.shape[0])[0])))
    reach = inradius(points) if dim <= FACETS_DIM else _least_support(points, seed)
    # A multiple of 1/1024, certainly below: machines whose last bits differ must scale alike.
    level = math.floor(reach * (1 - 1e-9) * GRID) / GRID
    if min(level, known) < LEAST_REACH:
        return PointSet(points[:0])
    points /= level
    points.setflags(write=False)
    return PointSet(points, largest_gauge=1.0 if dim <= FACETS_DIM else max(1.0, level / known))


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
