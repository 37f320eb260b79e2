"""RATQ's ranges, which grow as iterated exponentials, so that few cover all sizes of a rotated coordinate."""

from __future__ import annotations

import math

import numpy as np

from gradwire.common.arrays.compat import F64


def iterated_log(x: float) -> int:
    """ln* x: how many times the natural logarithm is applied until the result is at most 1.

    >>> [iterated_log(x) for x in (1.0, 2.0, 3.0, 16.0, 4e6)]
    [0, 1, 2, 3, 4]
    """
    count = 0
    while x > 1:
        x, count = math.log(x), count + 1
    return count


def range_bits(size: int) -> int:
    """log2 h = ceil log2(1 + ln*(size / 3)): bits that name one of h ranges, of which the last holds the whole ball."""
    return iterated_log(size / 3).bit_length()


def ranges(size: int, group: int, bits: int) -> F64:
    """Ranges M_i of groups of coordinates of a rotated unit vector [size], i < 2**bits, up to the first that is 1.

    M_i^2 = (3 e^{*i} + 2 ln group) / size, capped at 1, where e^{*0} = 1, e^{*(i+1)} = exp(e^{*i}) ([R], [S] equation 8
    with B = 1). Rounded to float32, which removes the digits in which two mathematics libraries may differ.

    >>> ranges(1024, 2, 2)
    array([0.06544838, 0.0965273 , 0.21389496, 1.        ])
    """
    tower, found = 1.0, []
    for _ in range(1 << bits):
        found.append(min(1.0, math.sqrt((3 * tower + 2 * math.log(group)) / size)))
        if found[-1] == 1:
            break
        tower = math.exp(tower) if tower < 700 else math.inf
    return np.array(found, np.float32).astype(np.float64)
