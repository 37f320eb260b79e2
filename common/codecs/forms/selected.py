"""Codecs that send some coordinates as float32 and leave out the others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradwire.common.arrays.bits import BitReader
from gradwire.common.arrays.compat import F32, I64, Array, is_tensor, like, namespace, to_host
from gradwire.common.errors import DomainError, PayloadError


class SelectedCoordinates(NamedTuple):
    """Coordinates ``indices`` (int64 [k], increasing) and their ``values`` (float32 [k])."""

    indices: I64
    values: F32


def select(values: Array, indices: I64) -> SelectedCoordinates:
    """The values [dim] at ``indices``, narrowed to float32 on their device.

    Raises:
        DomainError: one is beyond float32.
    """
    xp = namespace(values)
    with np.errstate(over="ignore"):
        selected = to_host(xp.astype(values[like(indices, values)], xp.float32))
    if not np.isfinite(selected).all():
        raise DomainError("the gradient holds values beyond float32: scale the loss down")
    return SelectedCoordinates(indices, selected)


def largest_coordinates(values: Array, k: int) -> I64:
    """The k coordinates of largest magnitude in increasing order, int64 [k] on the host; the lower index among equals.

    The result depends on the k-th magnitude alone, not on how it is found, so every backend selects the same.
    """
    xp = namespace(values)
    magnitudes = xp.abs(values)
    threshold = _kth_largest(magnitudes, k)
    (candidates,) = xp.nonzero(magnitudes >= threshold)
    above = magnitudes[candidates] > threshold
    equals = xp.cumulative_sum(xp.astype(~above, xp.int64))
    chosen = above | (equals <= k - (candidates.shape[0] - equals[-1]))
    indices: I64 = to_host(candidates[chosen])
    return indices


def _kth_largest(magnitudes: Array, k: int) -> Array:
    """The k-th largest magnitude."""
    place = magnitudes.shape[0] - k
    if is_tensor(magnitudes):
        return magnitudes.kthvalue(place + 1).values
    return np.partition(magnitudes, place)[place]


def read_values(bits: BitReader, count: int) -> F32:
    """The next float32 values [count].

    Raises:
        PayloadError: one is NaN or infinite.
    """
    values: F32 = np.frombuffer(bits.read_packed(32 * count).tobytes(), "<f4")
    if not np.isfinite(values).all():
        raise PayloadError("a value is NaN or infinite, expected finite numbers: the payload is corrupt")
    return values
