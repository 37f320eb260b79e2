"""Stochastic rounding to integer levels: element-wise, so every backend gives the same levels for the same uniforms."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from gradwire.common.arrays.compat import F64, I64, Array, like, namespace
from gradwire.common.randomness import Coins

SLAB = 1 << 18  # coordinates at once: a slab's float64 temporaries, 2 MiB each, stay near the processor


def stochastic_levels(y: Array, uniforms: Array) -> Array:
    """``y`` rounded to a neighbouring integer without bias: floor(y) + 1 with probability y - floor(y), else floor(y).

    E = y and variance f (1 - f), f = y - floor(y), both to within 2**-53: an integer stays what it is. Nothing here
    depends on a library's reductions or on fused operations: NumPy and torch agree bit for bit.

    Args:
        y: float64 array [n], |y| below 2**31, NumPy or torch: scale first, ``stochastic_levels(x / step, …)``, and
            never by a division by a Python number, which CUDA replaces by a product: multiply by the inverse.
        uniforms: float64 [n] in [0, 1), on y's backend and device (see ``uniforms_like``).

    Returns:
        int32 [n] on y's backend and device.

    >>> stochastic_levels(np.array([2.0, 1.25, 1.25, -0.5]), np.array([0.0, 0.2, 0.3, 0.4]))
    array([2, 2, 1, 0], dtype=int32)
    """
    xp = namespace(y)
    low = xp.floor(y)
    up = uniforms < y - low
    levels = xp.astype(low, xp.int32)
    levels += up
    return levels


def uniforms_like(coins: Coins, count: int, x: Array) -> Array:
    """The next uniforms of private coins, float64 [count], on the backend and device of ``x``.

    The one place where coins of a whole gradient cross to a device.
    """
    return like(coins.uniforms(count), x)


def slabs(count: int, multiple: int = 1) -> Iterator[slice]:
    """Slices that cover ``count`` coordinates, each a multiple of ``multiple`` long except the last.

    Coins drawn slab by slab are the coins drawn at once: the size of a slab is no part of the wire format.
    """
    size = SLAB - SLAB % multiple
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def levels_law(y: F64) -> Iterator[tuple[I64, float]]:
    """Every result of ``stochastic_levels`` for y [n] with its probability: up to 2**n, for laws at small n."""
    low = np.floor(y)
    up = y - low
    choices = [((0, 1 - f), (1, f)) if f > 0 else ((0, 1.0),) for f in up.tolist()]
    for chosen in itertools.product(*choices):
        steps = np.array([step for step, _ in chosen], np.int64)
        yield low.astype(np.int64) + steps, math.prod(p for _, p in chosen)
