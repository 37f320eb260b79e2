"""Public random rotations: rounds of random signs and a Hadamard transform, the same bits on every backend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import Array, is_tensor, like, namespace
from gradwire.common.arrays.hadamard import hadamard_transform, next_power_of_two

FEW = 1024  # coordinates whose signs are kept for the next use: 2 MiB of them at most


@dataclass(frozen=True)
class Rotation:
    """The orthogonal map (H D_r / sqrt n) … (H D_1 / sqrt n) on R^n, n the next power of two of ``dim``.

    H is the Hadamard transform, D_k a diagonal of random signs drawn from ``seed``, which is public. Vectors [dim] are
    padded with zeros to [n] first. One round makes dense vectors Gaussian-like; codecs that are unbiased over the
    rotation alone need three (theory 4: one leaves a bias of up to 0.72 |v|, two up to 0.17 |v|, three none that could
    be measured).
    """

    dim: int
    rounds: int
    seed: int

    @property
    def size(self) -> int:
        """Coordinates after padding, a power of two."""
        return next_power_of_two(self.dim)

    def apply(self, x: Array) -> Array:
        """The rotated vector [size] of x [dim], in x's dtype, on its backend and device."""
        y = _padded(x, self.size)
        for round_ in range(self.rounds):
            y = self._transform(self._flip(y, round_))
        return y

    def invert(self, y: Array) -> Array:
        """The vector [dim] whose rotation is y [size]; for any y, the adjoint of ``apply``."""
        x = namespace(y).asarray(y, copy=True)
        for round_ in reversed(range(self.rounds)):
            x = self._flip(self._transform(x), round_)
        return x[: self.dim]

    def _transform(self, x: Array) -> Array:
        y = hadamard_transform(x, in_place=not is_tensor(x))
        # Not size**-0.5, a power whose last bit depends on the C library: 1 / size is exact, and IEEE 754 fixes roots.
        y *= math.sqrt(1 / self.size)
        return y

    def _flip(self, x: Array, round_: int) -> Array:
        x *= like(self._signs(round_, np.float64 if x.dtype.itemsize == 8 else np.float32), x)
        return x

    def _signs(self, round_: int, dtype: Any) -> NDArray[Any]:
        draw = _kept_signs if self.size <= FEW else _signs
        return draw(self.seed, round_, self.size, dtype)


def _signs(seed: int, round_: int, size: int, dtype: Any) -> NDArray[Any]:
    """±1 [size], from the raw words of a counter-based generator, which no NumPy release changes."""
    words = np.random.Philox(key=seed, counter=round_ << 128).random_raw(max(1, size // 64))
    bits = np.unpackbits(np.asarray(words, "<u8").view(np.uint8), count=size, bitorder="little")
    signs = bits.astype(dtype)
    signs *= -2
    signs += 1
    return signs


# What is encoded is often decoded at the same place (error feedback, laws), and a generator costs more than few signs.
_kept_signs = lru_cache(maxsize=256)(_signs)


def _padded(x: Array, size: int) -> Array:
    """A contiguous copy, with zeros up to ``size``."""
    out = x.new_zeros(size) if is_tensor(x) else np.zeros(size, x.dtype)
    out[: x.shape[0]] = x
    return out
