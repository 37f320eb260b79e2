"""Public random subsets: both ends derive the coordinates from the seed, so no index crosses the wire."""

from __future__ import annotations

import numpy as np

from gradwire.common.arrays.compat import I64

# The counter starts here because rotations with the same seed use the values below.
_STREAM = 1 << 192


def random_subset(size: int, count: int, seed: int) -> I64:
    """A uniformly random subset of ``count`` out of ``size``: int64 [count], increasing.

    The first distinct ones of independent uniform numbers; those are the raw words of a counter-based generator, cut to
    the bits of ``size`` and refused when too large, so the law is exact and no NumPy release changes it.

    Args:
        size: numbers to choose from, below 2**63.
        count: 0 to ``size``.
        seed: 128 bits.

    >>> random_subset(10, 4, seed=7)
    array([1, 3, 8, 9])
    """
    if 2 * count > size:  # the others are fewer
        left_out = random_subset(size, size - count, seed)
        kept = np.ones(size, bool)
        kept[left_out] = False
        return np.flatnonzero(kept)
    generator = np.random.Philox(key=seed, counter=_STREAM)
    mask = np.uint64((1 << (size - 1).bit_length()) - 1)
    drawn = np.zeros(0, np.int64)
    while True:
        distinct, first = np.unique(drawn, return_index=True)
        if distinct.size >= count:
            return np.sort(drawn[np.sort(first)[:count]])
        words = np.asarray(generator.random_raw(2 * (count - distinct.size) + 64), np.uint64) & mask
        drawn = np.concatenate([drawn, words[words < np.uint64(size)].astype(np.int64)])
