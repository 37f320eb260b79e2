"""1-bit SGD: each coordinate becomes the mean of those with its sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.blocks import block_sums
from gradwire.common.arrays.compat import Array, namespace
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.scales import nearest_float32, read_magnitude
from gradwire.common.codecs.forms.two_values import TwoValueCodec, TwoValues
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import PayloadError


@register
@dataclass(frozen=True, kw_only=True)
class OneBit(TwoValueCodec):
    """Coordinates below 0 become their mean, and so do the others.

    [1bit]; theory 11. There a weight matrix has two means per column, here the whole vector has two. Use it with error
    feedback (``worker/feedback.py``), which was introduced for it.

    Payload: the mean of the non-negative coordinates and minus the mean of the negative ones as float32, then 1 bit per
    coordinate.
    Biased, without randomness: the squared error is |x|^2 - n m^2 - n' m'^2 for n, n' coordinates with means m, m'; at
    most |x|^2 (1 - 1/d), at one positive coordinate.

    >>> import numpy as np
    >>> from gradwire.common.codecs import parse
    >>> onebit = parse("onebit", dim=3)
    >>> onebit.decode(onebit.encode(np.array([2.0, -0.5, 0.5]), np.random.default_rng(0)))
    array([ 1.25, -0.5 ,  1.25])
    """

    name = "onebit"
    source = "[1bit]"

    @property
    def nbits(self) -> int:
        return 64 + self.dim

    def _round(self, vector: GradientVector, shared: int) -> TwoValues:
        xp = namespace(vector.values)
        negative = vector.values < 0
        count = int(xp.sum(xp.astype(negative, xp.int64)))
        above = _mean_magnitude(xp.where(negative, 0.0, vector.values), self.dim - count)
        below = _mean_magnitude(xp.where(negative, vector.values, 0.0), count)
        return TwoValues(above, -below, negative)

    def _pack(self, symbols: TwoValues, out: BitWriter) -> None:
        out.write_float32(symbols.positive_value)
        out.write_float32(-symbols.negative_value)
        out.write(symbols.negative, 1)

    def _unpack(self, bits: BitReader) -> TwoValues:
        above = read_magnitude(bits, "the mean of the others")
        below = read_magnitude(bits, "the mean below zero")
        negative: NDArray[Any] = bits.read(self.dim, 1)
        count = int(negative.sum())
        if (count == 0 and below) or (count == self.dim and above):
            raise PayloadError("the mean of no coordinates is not zero: the payload is corrupt")
        return TwoValues(above, -below, negative)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("onebit", 3, enumerable=True),
            Example("onebit", 1, enumerable=True),
            Example("onebit", 70_001),
        )


def _mean_magnitude(values: Array, count: int) -> float:
    """The sum of magnitudes over ``count``, as a float32; summed in a fixed order, the same on every backend."""
    if count == 0:
        return 0.0
    sums = block_sums(values)
    return nearest_float32(sums.total / sums.slack / count)
