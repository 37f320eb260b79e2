"""Integer points of an l1 ball as one integer: ceil(log2 of their number) bits for every point.

A point of Z^d with |p|_1 <= k has j axes that are not 0: a subset of j out of d; the running sums of its magnitudes
there are a subset of j out of {1, …, k}; and j signs are plain bits. So there are

    D(d, k) = sum over j of  C(d, j) C(k, j) 2^j

points, a Delannoy number (theory 2.1), and the j-th term is the weight with which j is coded.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from math import comb

import numpy as np

from gradwire.common.arrays.compat import F64, I64, U8
from gradwire.common.arrays.logarithms import ceiling, log2, log2_binomial
from gradwire.common.lossless.range_coder import RangeDecoder, RangeEncoder
from gradwire.common.lossless.subset_code import PlainBits, finish, plan_subset, planned_positions, put_subset
from gradwire.common.lossless.unimodal_code import Law, decode_number, encode_number, log2_mass

FEW_AXES = 64  # up to so many axes, points are counted exactly
# Two subsets of at most min(d, k) stars, at 2^-29 bits a star (see ``subset_code``), and one number.
SLACK = Decimal(2.0**-28)  # bits for each of min(d, k), and one more time


@lru_cache(maxsize=256)
def l1_ball_bits(dim: int, radius: int) -> int:
    """The code's length: ceil(log2 D(dim, radius) + (min(dim, radius) + 1) 2^-28).

    >>> l1_ball_bits(3, 2), l1_ball_bits(65_536, 65_536)
    (5, 166657)
    """
    least = min(dim, radius)
    slack = (least + 1) * SLACK
    if least <= FEW_AXES:
        return ceiling(log2(sum(comb(dim, j) * comb(radius, j) << j for j in range(least + 1))), slack)
    law = _law_of_axes(dim, radius)
    mode = law.mode()
    heaviest = (log2_binomial(dim, mode), log2_binomial(radius, mode), Decimal(mode))
    return ceiling(*heaviest, log2_mass(law), slack)


def encode_point(axes: I64, values: I64, dim: int, radius: int) -> int:
    """The code of the point with ``values`` [j], none 0, on increasing ``axes`` [j] and 0 elsewhere."""
    coder = RangeEncoder()
    plain: list[U8] = []
    encode_number(axes.size, _law_of_axes(dim, radius), coder)
    put_subset(axes, dim, coder, plain)
    put_subset(np.cumsum(np.abs(values)) - 1, radius, coder, plain)
    plain.append((values < 0).astype(np.uint8))
    return finish(coder, plain, l1_ball_bits(dim, radius))


def decode_point(code: int, dim: int, radius: int) -> tuple[I64, I64]:
    """The increasing axes and the values there: int64 [j] each.

    Args:
        code: below 2**l1_ball_bits(dim, radius).

    Raises:
        PayloadError: an integer that is no point's code.
    """
    coder = RangeDecoder(code, l1_ball_bits(dim, radius))
    count = decode_number(_law_of_axes(dim, radius), coder)
    plans = plan_subset(count, dim, coder), plan_subset(count, radius, coder)
    plain_bits = sum(plan.plain_bits for plan in plans) + count
    plain = PlainBits(coder.finish(plain_bits), plain_bits)
    axes, sums = (planned_positions(plan, plain) for plan in plans)
    magnitudes = np.diff(sums, prepend=-1)
    return axes, np.where(plain.take(count) > 0, -magnitudes, magnitudes)


def _law_of_axes(dim: int, radius: int) -> Law:
    """C(dim, j) C(radius, j) 2^j points have j axes that are not 0."""

    def ratio(j: I64) -> F64:
        return 2.0 * (dim - j) * (radius - j) / ((j + 1.0) * (j + 1.0))

    def rises(j: int) -> bool:
        return 2 * (dim - j) * (radius - j) > (j + 1) ** 2

    return Law(min(dim, radius), ratio, rises)
