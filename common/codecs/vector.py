"""A gradient on its way into a codec: checked once, its sums computed once, scaled without a copy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gradwire.common.arrays.blocks import BlockSums, block_sums
from gradwire.common.arrays.compat import F64, Array, is_tensor, namespace, to_host
from gradwire.common.errors import DomainError


@dataclass(frozen=True)
class GradientVector:
    """The vector ``factor * values``, with the block sums of ``values``.

    Attributes:
        values: contiguous float32 or float64 array [dim], NumPy or torch, as the caller passed it.
        sums: block sums and norm of ``values``; finite, which proves that every value is.
        factor: a non-negative scale, so that x / gain costs no pass over memory.
    """

    values: Array
    sums: BlockSums
    factor: float = 1.0

    @classmethod
    def of(cls, x: Array, dim: int) -> GradientVector:
        """Check shape, dtype and finiteness of a gradient [dim], in one pass.

        Raises:
            DomainError: what was wrong, what was expected.
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
        """The same values times a non-negative factor; nothing is copied."""
        return replace(self, factor=self.factor * factor)

    def with_exact_sums(self) -> GradientVector:
        """The same vector with its sums taken again in float64: bounds tight to 1e-13, one slower pass."""
        return replace(self, sums=block_sums(self.values, exact=True))

    @property
    def l1_bound(self) -> float:
        """A number that is certainly not below the l1 norm, and close to it."""
        return self.factor * self.sums.total

    @property
    def norm(self) -> float:
        """The l2 norm."""
        return self.factor * self.sums.norm

    @property
    def norm_bound(self) -> float:
        """A number that is certainly not below the l2 norm, and close to it."""
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

    @cached_property
    def exact(self) -> F64:
        """The vector on the host in float64 [dim]; for laws at small dimensions, never on the encoding path."""
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
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # what a narrower type cannot hold is found by the sums
        return np.asarray(x, np.float64 if x.dtype.itemsize >= 8 else np.float32, order="C")


def _why_not_finite(values: Array) -> str:
    xp = namespace(values)
    bad = to_host(xp.nonzero(~xp.isfinite(values))[0])
    if bad.size:
        return f"the gradient holds {bad.size} values that are NaN or infinite, the first at index {bad[0]}"
    return "the gradient's norm overflows float64"
