"""Sums in one fixed order of additions: the same bits on every backend."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from gradwire.common.arrays.blocks import CHUNK, LANES
from gradwire.common.arrays.compat import Array, namespace, to_host

SLAB = 4 * CHUNK  # coordinates that are widened to float64 at a time


def signed_sum(x: Array) -> float:
    """The sum of a vector [dim] in float64, with an error of at most 20 * 2**-53 |x|_1.

    Rows of LANES values are added in halves, element by element, on the vector's own device; what is left of a slab,
    LANES values, and the tail are added exactly on the host.

    >>> import numpy as np
    >>> signed_sum(np.array([1e16, 1.0, -1e16]))
    1.0
    """
    whole = x.shape[0] // LANES * LANES
    lanes = [_folded(x[start : min(start + SLAB, whole)]) for start in range(0, whole, SLAB)]
    return math.fsum(value for part in [*lanes, to_host(x[whole:])] for value in part.tolist())


def _folded(x: Array) -> NDArray[Any]:
    """Sums of the columns of whole rows, on the host: ``LANES`` numbers."""
    xp = namespace(x)
    rows = xp.reshape(x, (-1, LANES))
    while rows.shape[0] > 1:
        half = rows.shape[0] // 2
        folded = xp.astype(rows[:half], xp.float64) + xp.astype(rows[half : 2 * half], xp.float64)
        if rows.shape[0] % 2:
            folded[0] += rows[-1]
        rows = folded
    lanes: NDArray[Any] = to_host(rows)[0]
    return lanes
