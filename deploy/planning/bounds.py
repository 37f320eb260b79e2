"""Lower bounds for unbiased quantizers of a given number of bits: on the variance, and on the radius of point sets."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from gradwire.common.arrays.compat import F64
from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import SpecError

_STEP = 0.1  # of the trapezoidal rule in ln s; its error falls like e^(-pi^2 / step)
# s from e^-80, where the integrands are below e^-40, to e^4.4.
_NODES = np.exp(np.arange(-800, 45) * _STEP)
_WEIGHTS = _STEP * _NODES * np.exp(-_NODES)


def variance_lower_bound(dim: int, bits: float) -> float:
    """A lower bound on the relative variance of unbiased quantizers of ``dim`` coordinates in ``bits`` bits.

    For every unbiased estimate Q of the vectors of the unit sphere, with any shared randomness, some v has

        E|Q - v|^2 >= 1 / g(2^-b)^2 - 1,    g(p) = E[Z | Z >= z_p],    P(Z >= z_p) = p,

    Z the first coordinate of a uniform unit vector (theory 4, with proof). It is pi dim / 2 - 1 at one bit, and 1 /
    (2^(2r) - 1) at r bits per coordinate, for large dim. A float32 norm in the payload can carry 32 bits about the
    direction, so codecs with such a header are compared with the bound at ``bits`` and at ``bits - 32``. The bound is
    for the worst vector, and for the average over the sphere; a gradient with few large coordinates can have less.

    Args:
        dim: at least 1.
        bits: per payload, at least 1; not necessarily an integer.

    Raises:
        SpecError: dim or bits below 1, or infinitely many bits.

    >>> [round(variance_lower_bound(65_536, b)) for b in (68, 100, 968, 1000)]
    [728, 489, 49, 47]
    """
    _check(dim, bits)
    if dim == 1:
        return 0.0
    excess = _excess(_exponent(dim, bits), dim)
    return excess * (excess + 2)


class RadiusBound(NamedTuple):
    """What [V] Theorem 5 says of point sets of a given size.

    Attributes:
        cap: R^2 - 1 is at least this, by the exact form (V9); R^2 - 1 is the variance where all points have length R.
            Infinite for two points in more than one dimension.
        printed: the same by the printed form, 0 where that says nothing.
    """

    cap: float
    printed: float


def radius_lower_bound(dim: int, bits: float) -> RadiusBound:
    """How long points must be: a lower bound on R^2 - 1 for 2^bits points whose hull holds the unit ball.

    [V] Theorem 5: of the unit sphere, each point c covers the cap <u, c> >= 1 (Theorem 6), so |C| P(Z >= 1 / R) >= 1
    for Z the first coordinate of a uniform unit vector and R the length of the longest point; exact, erratum V9. The
    paper bounds P by 2 exp(-dim / 32 R^2). Other than ``variance_lower_bound`` this is about the longest decoded vector
    and not about the mean square, so it is the larger number, and no codec is a point set of more than 2^nbits points.

    Args:
        dim: at least 1.
        bits: log2 of the number of points, at least 1; not necessarily an integer.

    Raises:
        SpecError: dim or bits below 1, or infinitely many bits.

    >>> [round(bound) for bound in radius_lower_bound(65_536, 190.4)]
    [255, 14]
    """
    _check(dim, bits)
    printed = max(0.0, dim / (32 * (bits + 1) * math.log(2)) - 1)
    if dim == 1:
        return RadiusBound(0.0, printed)
    y = min(_exponent(dim, bits), 700.0)  # where exp ends; the bound is zero to all digits
    return RadiusBound(1 / math.expm1(y) if y > 0 else math.inf, printed)


def bounds_of(codec: AnyCodec) -> dict[str, Any]:
    """The lower bounds for the bits of a codec, for JSON beside its variance; null where they are not about it.

    Returns:
        ``lower_bound`` of the variance for unbiased codecs, and ``radius_bound`` and ``radius_bound_printed``, [V]
        Theorem 5 on R^2 - 1 by its exact and its printed form, for those that are unbiased for every public seed.
    """
    bits = max(1, codec.nbits)
    applies = codec.unbiased and codec.variance(1.0) > 0  # lossless codecs are not for every real vector
    radius = radius_lower_bound(codec.dim, bits) if applies and codec.unbiased_given_shared else None
    return {
        "lower_bound": variance_lower_bound(codec.dim, bits) if applies else None,
        "radius_bound": None if radius is None or math.isinf(radius.cap) else radius.cap,
        "radius_bound_printed": None if radius is None else radius.printed,
    }


def point_set_bits(dim: int, radius: float) -> float:
    """A lower bound on log2 |C| of point sets of that radius whose hull holds the unit ball: -log2 P(Z >= 1 / radius).

    The exact form of [V] Theorem 5 (V9): P = I_{1 - 1/R^2}((dim - 1) / 2, 1/2) / 2.

    Args:
        dim: at least 1.
        radius: R, the length of the longest point, at least 1.

    Raises:
        SpecError: dim or radius below 1.

    >>> round(point_set_bits(1024, 8), 2), round(point_set_bits(65_536, 16), 1)
    (15.02, 190.4)
    """
    _check(dim, radius)
    if dim == 1:
        return 1.0
    if radius == 1:
        return math.inf
    return 1 + _log_odds(-math.log1p(-1 / radius**2), dim) / math.log(2)


def _check(dim: int, value: float) -> None:
    if dim < 1 or not 1 <= value < math.inf:
        raise SpecError(f"{dim} coordinates in {value} bits: expected at least 1 of each")


def _excess(y: float, dim: int) -> float:
    """The excess 1 / g - 1, where z^2 = 1 - e^-y.

    With a = (dim - 1) / 2, 1 / g is the integral of e^-s (1 - e^(-y - s / a))^(-1/2) over s > 0: Gauss's 2F1(1/2, a;
    a + 1; 1 - z^2) in Euler's form.
    """
    depth: F64 = y + _NODES / ((dim - 1) / 2)
    # ln(1 - e^-depth), without cancellation for depths from e^-90 to millions.
    log = np.where(depth < 0.7, np.log(-np.expm1(-depth)), np.log1p(-np.exp(-np.maximum(depth, 0.7))))
    return float(_WEIGHTS @ np.expm1(-0.5 * log))


def _exponent(dim: int, bits: float) -> float:
    """The y at which P(Z >= z) = 2^-bits, by bisection."""
    a, wanted = (dim - 1) / 2, (bits - 1) * math.log(2)
    low, high = max(0.0, (wanted - math.log1p(_excess(0.0, dim))) / a), wanted / a
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if _log_odds(middle, dim) < wanted else (low, middle)
    return high


def _log_odds(y: float, dim: int) -> float:
    """-ln 2 P(Z >= z); P is e^(-a y) / 2 times the ratio of 1 / g at y and at 0."""
    return (dim - 1) / 2 * y + math.log1p(_excess(0.0, dim)) - math.log1p(_excess(y, dim))
