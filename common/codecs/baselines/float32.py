"""No compression: the baseline for every other codec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F32, all_finite, namespace, to_host
from gradwire.common.codecs import Codec, Example, register
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import DomainError, PayloadError
from gradwire.common.randomness import Coins


@register
@dataclass(frozen=True, kw_only=True)
class Float32(Codec[F32]):
    """The gradient itself, 32 bits per coordinate: exact for float32 input, rounded to nearest for float64 ([IEEE754]).

    Payload: the coordinates as float32. Variance 0, up to that rounding.

    >>> from gradwire.common.codecs import parse
    >>> codec = parse("float32", dim=3)
    >>> codec.decode(codec.encode(np.array([1.0, -2.0, 0.5]), np.random.default_rng(0)))
    array([ 1. , -2. ,  0.5])
    """

    name = "float32"
    source = "[IEEE754] binary32"

    @property
    def nbits(self) -> int:
        return 32 * self.dim

    def variance(self, norm: float = 1.0) -> float:
        return 0.0

    def variance_at(self, x: NDArray[np.floating]) -> float:
        return 0.0

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> F32:
        xp = namespace(vector.values)
        # Narrowed on the device, so that half as many bytes are copied to the host.
        with np.errstate(over="ignore"):
            narrow = to_host(xp.astype(vector.values, xp.float32, copy=False))
        if vector.values.dtype != xp.float32 and not np.isfinite(narrow).all():
            raise DomainError("the gradient holds values beyond float32: scale the loss down")
        return narrow

    def _pack(self, symbols: F32, out: BitWriter) -> None:
        out.write_floats32(symbols)

    def _unpack(self, bits: BitReader) -> F32:
        values = bits.read_packed(self.nbits).view("<f4")
        if not all_finite(values):
            raise PayloadError("the payload holds NaN or infinity, expected finite numbers")
        return values

    def _reconstruct(self, symbols: F32, shared: int) -> NDArray[np.float64]:
        return symbols.astype(np.float64)

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[F32, float]]:
        yield vector.on_host.astype(np.float32), 1.0

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return Example("float32", 3, enumerable=True), Example("float32", 70_001)
