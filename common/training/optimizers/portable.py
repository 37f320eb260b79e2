"""Powers, cosines and norms whose bits are the same on every machine.

They use + - * / and square roots in float64 in a fixed order, which [IEEE754] rounds correctly everywhere. They do not
use a C library's pow, exp and cos, nor sums in an order of the library's choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.update import Sparse, Vector

F64 = NDArray[np.float64]

ROW = 1 << 16  # coordinates that are widened to float64 at a time
# 1 / k! for k = 16, 14, …, 0 and k = 17, 15, …, 1, with the signs of the series of cosine and sine.
_COSINE = tuple((-1) ** (k // 2) / math.factorial(k) for k in range(16, -1, -2))
_SINE = tuple((-1) ** (k // 2) / math.factorial(k) for k in range(17, 0, -2))


def power(base: float, exponent: int) -> float:
    """base^exponent for exponents from 0 on, by squaring, from the lowest bit of the exponent on.

    >>> power(0.5, 10) == 2.0**-10
    True
    """
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


def cosine_of_half_turns(numerator: int, denominator: int) -> float:
    """cos(pi numerator / denominator) for fractions from 0 to 1, to an error of at most 1e-15.

    The fraction is reduced to angles of at most pi / 4 in integers, where the series leaves less than 1e-16.

    >>> cosine_of_half_turns(1, 2), cosine_of_half_turns(7, 7)
    (0.0, -1.0)
    """
    if 2 * numerator > denominator:
        return -cosine_of_half_turns(denominator - numerator, denominator)
    if 4 * numerator <= denominator:
        x = math.pi * (numerator / denominator)
        return _horner(_COSINE, x * x)
    x = math.pi * ((denominator - 2 * numerator) / (2 * denominator))
    return x * _horner(_SINE, x * x)


def _horner(coefficients: tuple[float, ...], x: float) -> float:
    value = 0.0
    for coefficient in coefficients:
        value = value * x + coefficient
    return value


def rows(size: int) -> Iterator[slice]:
    """Slices of at most ``ROW`` coordinates that cover ``size`` coordinates in order."""
    return (slice(start, min(start + ROW, size)) for start in range(0, size, ROW))


def ordered_sum(x: F64) -> float:
    """The sum of x [n] by halving: one fixed tree of additions on every machine.

    x is filled up with zeros to a power of two; then the second half is added to the first until one number is left.
    """
    x = np.asarray(x, np.float64)
    size = 1 << max(0, (x.size - 1).bit_length())
    folded = np.zeros(size)
    folded[: x.size] = x
    while folded.size > 1:
        half = folded.size // 2
        folded = folded[:half] + folded[half:]
    return float(folded[0])


def l2_norm(vector: Vector) -> float:
    """The l2 norm of a float32 vector [n]: the root of ``ordered_sum`` of its squares in float64.

    Sparse and dense forms of one vector give the same bits. Beside the vector, a dense one takes less than 16 MiB, a
    sparse one a few times its own values.
    """
    if isinstance(vector, Sparse):
        return math.sqrt(_sparse_sum(vector))
    count = 1 << max(0, (vector.size - 1) // ROW).bit_length()  # of rows, filled up to a power of two
    return math.sqrt(ordered_sum(_folded(vector, 0, 1, count)))


def _squares(x: NDArray[np.floating]) -> F64:
    wide = x.astype(np.float64)
    wide *= wide
    return wide


def _folded(x: NDArray[np.floating], row: int, stride: int, count: int) -> F64:
    """The sum of the rows ``row``, ``row + stride``, … of the squares as by halving; depth first, to hold few rows."""
    if stride == count:
        return _squares(x[row * ROW : (row + 1) * ROW])
    first = _folded(x, row, 2 * stride, count)
    if (row + stride) * ROW < x.size:  # beyond are zeros, which change nothing
        second = _folded(x, row + stride, 2 * stride, count)
        first[: second.size] += second
    return first


def _sparse_sum(vector: Sparse) -> float:
    """``ordered_sum`` of the squares: at each halving, the at most two terms that meet at an index are added."""
    indices, terms = vector.indices, _squares(vector.values)
    size = 1 << max(0, (vector.size - 1).bit_length())
    while size > max(ROW, 4 * terms.size):
        size //= 2
        indices, at = np.unique(indices % size, return_inverse=True)
        terms = np.bincount(at, terms).astype(np.float64, copy=False)
    folded = np.zeros(size)
    folded[indices] = terms
    return ordered_sum(folded)
