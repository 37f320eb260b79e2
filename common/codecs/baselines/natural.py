"""Natural compression: every coordinate rounded to a power of two, and sent as a sign and an exponent."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, I64, Array, namespace
from gradwire.common.arrays.rounding import slabs, uniforms_like
from gradwire.common.codecs import Codec, Example, register
from gradwire.common.codecs.forms.stochastic_rounding import empty_levels, to_float64
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import DomainError, PayloadError
from gradwire.common.randomness import Coins

WIDTH = 9  # bits per symbol: the exponent's byte, and the sign above it
SIGN = 1 << 8
BIAS = 127  # of binary32: exponent byte e > 0 is 2^(e - 127), byte 0 is the number 0
TOP = 254  # the largest byte of a finite power; 255 is infinity
LEAST = 2.0 ** (1 - BIAS)
LARGEST = 2.0 ** (TOP - BIAS)


@register
@dataclass(frozen=True, kw_only=True)
class Natural(Codec[Array]):
    """sign(x_i) times one of the two powers of two around |x_i|, the upper one with probability |x_i| / lower - 1.

    [Natural] Definition 1; theory 11. Below 2^-126 the neighbours are 0 and 2^-126 (subnormal numbers are left out
    there); beyond 2^127 there is no upper one, and the gradient is refused.

    Payload: 9 bits per coordinate, the exponent's byte of binary32 below the sign.
    Unbiased, exactly: the probabilities are multiples of 2^-52, and coins of 2^-53. Variance sum (|x_i| - a)(2a -
    |x_i|), a the lower power of two: at most |x|^2 / 8, at |x_i| = 4a / 3 (Theorem 1), and min(d 2^-254, sqrt(d) |x|
    2^-126) from coordinates below 2^-126.

    >>> from gradwire.common.codecs import parse
    >>> natural = parse("natural", dim=3)
    >>> natural.decode(natural.encode(np.array([4.0, -0.25, 0.0]), np.random.default_rng(0)))
    array([ 4.  , -0.25,  0.  ])
    """

    name = "natural"
    source = "[Natural] Def 1, Theorem 1"
    variance_is_bound = True

    @property
    def nbits(self) -> int:
        return WIDTH * self.dim

    def variance(self, norm: float = 1.0) -> float:
        tiny = min(self.dim * 2.0**-254, math.sqrt(self.dim) * norm * LEAST)
        return norm**2 / 8 + tiny

    def variance_at(self, x: NDArray[np.floating]) -> float:
        total = 0.0
        for part in slabs(self.dim):
            magnitude = np.abs(x[part].astype(np.float64))
            byte, _ = _neighbours(magnitude)
            total += float(((magnitude - _POWERS[byte]) * (_POWERS[byte + 1] - magnitude)).sum())
        return total

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> Array:
        _check_size(vector)
        symbols = empty_levels(vector.values)
        xp = namespace(symbols)
        for part in slabs(self.dim):
            values = to_float64(vector.values[part])
            byte, upper = _neighbours(xp.abs(values))
            byte += uniforms_like(coins, values.shape[0], values) < upper
            byte += SIGN * ((values < 0) & (byte > 0))
            symbols[part] = byte
        return symbols

    def _pack(self, symbols: Array, out: BitWriter) -> None:
        out.write(symbols, WIDTH)

    def _unpack(self, bits: BitReader) -> I64:
        symbols: I64 = bits.read(self.dim, WIDTH)
        wrong = ~np.isfinite(_VALUES)[symbols]
        if wrong.any():
            raise PayloadError(
                f"a symbol is {symbols[wrong][0]}, expected a finite power of two: the payload is corrupt"
            )
        return symbols

    def _reconstruct(self, symbols: I64, shared: int) -> F64:
        return _VALUES[symbols]

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[Array, float]]:
        _check_size(vector)
        byte, upper = _neighbours(np.abs(vector.on_host))
        choices = [((0, 1 - p), (1, p)) if p > 0 else ((0, 1.0),) for p in upper.tolist()]
        for chosen in itertools.product(*choices):
            symbols = byte + [up for up, _ in chosen]
            yield symbols + SIGN * ((vector.on_host < 0) & (symbols > 0)), math.prod(p for _, p in chosen)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("natural", 3, enumerable=True),
            Example("natural", 2, enumerable=True),
            Example("natural", 1003),
        )


# Symbol -> value; NaN for symbols that no encoder writes: the byte of infinities, and a negative zero.
_POWERS = np.array([0.0, *(2.0 ** (byte - BIAS) for byte in range(1, TOP + 2))])
_VALUES = np.concatenate([_POWERS, -_POWERS])
_VALUES[[TOP + 1, SIGN, SIGN + TOP + 1]] = np.nan


def _neighbours(magnitude: Array) -> tuple[Array, Array]:
    """For magnitudes [n] the exponent byte of the power of two below (or 0), int64, and the upper one's probability."""
    xp = namespace(magnitude)
    bits = magnitude.view(xp.int64)
    byte = (bits >> 52) - (1023 - BIAS)
    upper = xp.astype(bits & ((1 << 52) - 1), xp.float64) * 2.0**-52
    small = byte < 1
    return xp.where(small, 0, byte), xp.where(small, magnitude * (1 / LEAST), upper)


def _check_size(vector: GradientVector) -> None:
    largest = vector.linf
    if largest > LARGEST:
        raise DomainError(f"the gradient holds {largest:.3g}, beyond 2**127: scale the loss down")
