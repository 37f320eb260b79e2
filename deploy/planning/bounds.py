"""The lower bound on the variance of unbiased quantizers with a given number of bits."""

from __future__ import annotations

import math

import numpy as np

from gradwire.common.arrays.compat import F64
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
    if dim < 1 or not 1 <= bits < math.inf:
        raise SpecError(f"{dim} coordinates in {bits} bits: expected at least 1 of each")
    if dim == 1:
        return 0.0
    excess = _excess(_exponent(dim, bits), dim)
    return excess * (excess + 2)


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
    """The y at which P(Z >= z) = 2^-bits, by bisection; P is e^(-a y) / 2 times the ratio of 1 / g at y and at 0."""
    a, wanted = (dim - 1) / 2, (bits - 1) * math.log(2)
    start = math.log1p(_excess(0.0, dim))
    low, high = max(0.0, (wanted - start) / a), wanted / a
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        reached = a * middle + start - math.log1p(_excess(middle, dim))
        low, high = (middle, high) if reached < wanted else (low, middle)
    return high
