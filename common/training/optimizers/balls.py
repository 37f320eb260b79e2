"""Projections onto l_p balls around the initial parameters, and l_p norms."""

from __future__ import annotations

import math

import numpy as np

from gradwire.common.training.optimizers.portable import F64, ordered_sum


def norm(x: F64, p: float) -> float:
    """The l_p norm of x [n], p at least 1."""
    largest = float(np.max(np.abs(x), initial=0.0))
    if largest == 0 or math.isinf(p):
        return largest
    scaled = np.abs(x) / largest
    if p == 2:
        return largest * math.sqrt(ordered_sum(scaled * scaled))
    if p == 1:
        return largest * ordered_sum(scaled)
    return largest * math.pow(ordered_sum(scaled**p), 1 / p)


def project(x: F64, p: float, radius: float) -> F64:
    """The point of the l_p ball of that radius that is nearest to x [n] in l2, for p = 1, 2, inf or between.

    p = inf is a box. For other exponents than 1, 2 and inf the multiplier of the optimality condition
    u + lambda p u^(p-1) = |x| is found by bisection to float64's precision.
    """
    if math.isinf(p):
        boxed: F64 = np.clip(x, -radius, radius)
        return boxed
    if norm(x, p) <= radius:
        return x
    if p == 2:
        return x * (radius / norm(x, 2))
    if p == 1:
        return _onto_simplex(x, radius)
    signed: F64 = np.copysign(_bisect(np.abs(x), p, radius), x)
    return signed


def _onto_simplex(x: F64, radius: float) -> F64:
    """Soft thresholding at the level that leaves l1 norm ``radius`` ([L1Proj] Figure 1)."""
    sizes = np.sort(np.abs(x))[::-1]
    excess = np.cumsum(sizes) - radius
    last = np.flatnonzero(sizes * np.arange(1, x.size + 1) > excess)[-1]
    kept: F64 = np.copysign(np.maximum(np.abs(x) - excess[last] / (last + 1), 0.0), x)
    return kept


def _bisect(size: F64, p: float, radius: float) -> F64:
    low, high = 0.0, float(np.max(size)) / p * max(1.0, radius ** (1 - p)) * size.size
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if norm(_shrunk(size, p, middle), p) > radius:
            low = middle
        else:
            high = middle
    return _shrunk(size, p, high)


def _shrunk(size: F64, p: float, multiplier: float) -> F64:
    """The u that solves u + multiplier * p * u^(p-1) = size, element by element."""
    low, high = np.zeros_like(size), size.copy()
    for _ in range(80):
        middle = (low + high) / 2
        above = middle + multiplier * p * middle ** (p - 1) > size
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return high
