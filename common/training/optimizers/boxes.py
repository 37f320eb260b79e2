"""The Bregman projection of mirror descent's p-norm map onto a box, by bisection of one number."""

from __future__ import annotations

import math

import numpy as np

from gradwire.common.training.optimizers.balls import norm
from gradwire.common.training.optimizers.portable import F64

STEPS = 64  # halvings of an interval within (0, 1]: beyond float64's precision
LARGEST_LOG = 300.0  # of the factor c: c^p is a float64 for all p up to 2


def project_onto_box(y: F64, p: float, side: float) -> F64:
    """The x [n] with |x_i| <= side that has the least Bregman distance from y, for |x|_p^2 / (2 (p - 1)).

    Coordinates that are not at ±side have the gradient of y there (the condition of Karush, Kuhn and Tucker), which is
    sign(x_i) |x_i|^(p - 1) |x|_p^(2 - p) / (p - 1). Clipping shortens x, so they grow, all by one factor:
    x = clip(c y), c = t^(-(2 - p) / (p - 1)) with t = |x|_p / |y|_p. The norm of clip(c y) falls as t rises: one t
    solves it.

    Args:
        y: float64 [n].
        p: above 1 and at most 2; for 2 the projection is the clipped y.
        side: half of the box's side, positive.
    """
    size = np.abs(y)
    largest = float(np.max(size, initial=0.0))
    if largest <= side:
        return y
    grown = _factor(np.sort(size / largest), norm(y, p) / largest, p, side / largest)
    with np.errstate(over="ignore"):  # an infinite coordinate is clipped as any other
        boxed: F64 = np.clip(grown * y, -side, side)
    return boxed


def _factor(size: F64, length: float, p: float, side: float) -> float:
    """c, for magnitudes in increasing order whose largest is 1 and whose norm is ``length``."""
    sums = np.concatenate([[0.0], np.cumsum(size**p)])
    low, high = side / length, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        grown = _grown(middle, p)
        free = int(np.searchsorted(size, side / grown, side="right"))
        power = grown**p * float(sums[free]) + (size.size - free) * side**p
        if power ** (1 / p) > middle * length:
            low = middle
        else:
            high = middle
    return _grown(high, p)


def _grown(t: float, p: float) -> float:
    return math.exp(min(LARGEST_LOG, (2 - p) / (p - 1) * -math.log(t)))
