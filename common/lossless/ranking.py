"""Small subsets by their rank: the combinatorial number system, in exact integers.

The subset p_1 < p_2 < … < p_k has rank C(p_1, 1) + C(p_2, 2) + … + C(p_k, k): every integer below C(n, k) is the
rank of one subset of range(n) ([Knuth] 7.2.1.3, Theorem L).
"""

from __future__ import annotations

from math import comb, exp, lgamma, log

import numpy as np

from gradwire.common.arrays.compat import I64


def rank(positions: I64) -> int:
    """The rank of increasing positions [k].

    >>> rank(np.array([0, 1, 2])), rank(np.array([2, 3, 4]))
    (0, 9)
    """
    return sum(comb(p, i) for i, p in enumerate(positions.tolist(), 1))


def unrank(rank: int, cells: int, stars: int) -> I64:
    """The increasing positions int64 [stars] of a rank below C(cells, stars)."""
    found = np.empty(stars, np.int64)
    above = cells
    for i in range(stars, 0, -1):
        above, value = _largest(rank, i, above - 1)
        found[i - 1] = above
        rank -= value
    return found


def _largest(rank: int, i: int, at_most: int) -> tuple[int, int]:
    """The largest p <= at_most with C(p, i) <= rank, and C(p, i).

    Floating point only guesses where to look: the answer is exact. C(p, i) is about (p - (i - 1) / 2)^i / i!.
    """
    if rank == 0:
        return i - 1, 0
    guess = exp((log(rank) + lgamma(i + 1)) / i) + (i - 1) / 2
    p = min(max(i - 1, int(guess)), at_most)
    value = comb(p, i)
    while value > rank:
        value, p = value * (p - i) // p, p - 1
    while p < at_most:
        above = value * (p + 1) // (p + 1 - i) if value else 1  # C(i, i) follows C(i - 1, i) = 0
        if above > rank:
            break
        value, p = above, p + 1
    return p, value
