"""A gradient on its way into a codec: checked once, its sums computed once, scaled without a copy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gradwire.common.arrays.blocks import CHUNK, BlockSums, block_sums
from gradwire.common.arrays.compat import F64, Array, is_tensor, namespace, to_host
from gradwire.common.errors import DomainError


@dataclass(frozen=True)
class GradientVector:
    """The vector ``factor * values``, with the block sums of ``values``.

    Attributes:
        values: contiguous float32 or float64 array [dim], NumPy or torch, on the device of the caller's array.
        sums: block sums and l2 norm of ``values``; finite, which proves that every value is.
        factor: a non-negative scale, so that x / gain costs no pass over memory.
    """

    values: Array
    sums: BlockSums
    factor: float = 1.0

    @classmethod
    def of(cls, x: Array, dim: int) -> GradientVector:
        """Check shape, dtype and finiteness of a gradient [dim], in one pass.

        Raises:
            DomainError: another shape, no floating point type, or a value that is NaN or infinite.
        """
        values = _floats(x)
        if tuple(values.shape) != (dim,):
            raise DomainError(
                f"the gradient has shape {tuple(values.shape)}, expected ({dim},): flatten it first"
            )
        sums = block_sums(values)
        if not math.isfinite(sums.total) or not math.isfinite(sums.norm):
            raise DomainError(_why_not_finite(values))
        return cls(values, sums)

    def scaled(self, factor: float) -> GradientVector:
        """The vector times a non-negative factor; nothing is copied."""
        return replace(self, factor=self.factor * factor)

    def with_exact_sums(self) -> GradientVector:
        """The same vector with sums taken in float64: bounds tight to 1e-13, by a slower pass."""
        return replace(self, sums=block_sums(self.values, exact=True))

    @property
    def l1_bound(self) -> float:
        """An upper bound of the l1 norm, at most a few parts in 10^5 above it."""
        return self.factor * self.sums.total

    @property
    def norm(self) -> float:
        """The l2 norm, to the accuracy of the sums."""
        return self.factor * self.sums.norm

    @property
    def norm_bound(self) -> float:
        """An upper bound of the l2 norm, at most a few parts in 10^5 above it."""
        return self.factor * self.sums.norm_bound

    @property
    def linf(self) -> float:
        """The largest magnitude, by a pass of its own: exact for a factor of 1, the same bits on every backend."""
        xp = namespace(self.values)
        return self.factor * max(0.0, float(xp.max(self.values)), -float(xp.min(self.values)))

    def lq(self, q: float) -> float:
        """The l_q norm, by a pass of its own with one temporary array; for exponents other than 1 and 2."""
        xp = namespace(self.values)
        largest = float(xp.max(xp.abs(self.values)))
        if largest == 0:
            return 0.0
        powers = (xp.abs(xp.astype(self.values, xp.float64)) / largest) ** q
        return self.factor * largest * math.pow(float(xp.sum(powers)), 1 / q)

    @property
    def working_values(self) -> Array:
        """``values`` for a rotation: float64 below one chunk, above it their own type unless that would lose digits.

        So equal values of either type have equal payloads below one chunk (131,072 coordinates), as with the sums;
        above it memory counts, and a float32 rotation is within 10^-6 of the norm.
        """
        xp = namespace(self.values)
        if self.values.shape[0] < CHUNK or not 2.0**-60 < self.sums.norm < 2.0**60:
            return xp.astype(self.values, xp.float64, copy=False)
        return self.values

    @cached_property
    def on_host(self) -> F64:
        """The vector on the host, float64 [dim]; for small dimensions, not for the path of large gradients."""
        return to_host(self.values).astype(np.float64) * self.factor


def _floats(x: Array) -> Array:
    if is_tensor(x):
        import torch

        if not x.dtype.is_floating_point:
            raise DomainError(f"the gradient has dtype {x.dtype}, expected a floating point type")
        return (
            x.detach()
            .to(x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32)
            .contiguous()
        )
    x = np.asarray(x)
    if not np.issubdtype(x.dtype, np.floating):
        raise DomainError(f"the gradient has dtype {x.dtype}, expected a floating point type")
    # A value of a wider type that overflows becomes infinite here, and is found by the sums.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(x, np.float64 if x.dtype.itemsize >= 8 else np.float32, order="C")


def _why_not_finite(values: Array) -> str:
    xp = namespace(values)
    bad = to_host(xp.nonzero(~xp.isfinite(values))[0])
    if bad.size:
        return f"the gradient holds {bad.size} values that are NaN or infinite, the first at index {bad[0]}"
    return "the gradient's norm overflows float64"
