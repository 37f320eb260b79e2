"""The signs of the largest coordinates of a rotated gradient, and which they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradwire.common.codecs.base import Example
from gradwire.common.codecs.direction import DirectionCodec, nearest_float32
from gradwire.common.codecs.dithered import read_magnitude
from gradwire.common.codecs.registry import register
from gradwire.common.codecs.top_k import largest
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.kernels.arrays import F64, I64, Array, like, to_host
from gradwire.common.kernels.bits import BitReader, BitWriter
from gradwire.common.kernels.largest import largest_on_sphere
from gradwire.common.kernels.subset_code import decode_subset, encode_subset, subset_bits


class Signs(NamedTuple):
    """``length``: the gradient's norm; ``axes`` int64 [count], increasing; ``negative`` bool [count]: their signs."""

    length: float
    axes: I64
    negative: NDArray[np.bool_]


@register
@dataclass(frozen=True, kw_only=True)
class TopSigns(DirectionCodec[Signs]):
    """Rotate, and send which ``count`` coordinates are largest in magnitude, and their signs.

    The nearest point, up to scale, of all that have ``count`` coordinates ±1 and the others 0 (theory, section 5; for
    count = 1 a cross-polytope's nearest vertex, for count = D DRIVE's signs). Decoded: those signs times |x| / E, where
    E is the mean sum of the ``count`` largest |coordinates| of a random unit vector in R^D.

    Payload: |x| as a float32, the set in ceil(log2 C(D, count)) bits, ``count`` sign bits. Unbiased over the rotation
    (see ``DirectionCodec``); variance (count / E^2 - 1) |x|^2 for every x, where d = D.

    >>> from gradwire.common.codecs import parse
    >>> top = parse("top_signs(1220)", dim=65_536)
    >>> top.nbits, round(top.variance(), 2)  # any unbiased 10,001 bits have 4.24 or more
    (10001, 6.43)
    """

    count: int = 1

    name = "top_signs"
    source = "theory 5; against vqSGD 8; DRIVE (Vargaftik et al. 2021)"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.count <= self.size:
            raise SpecError(
                f"{self.name}: count is {self.count}, expected 1 to {self.size} rotated coordinates"
            )

    @property
    def nbits(self) -> int:
        return 32 + subset_bits(self.size, self.count) + self.count

    @cached_property
    def _mean(self) -> float:
        """E of the sum of the largest."""
        return largest_on_sphere(self.count, self.size, self.size)

    @property
    def _relative_variance(self) -> float:
        return self.count / self._mean**2 - 1

    def _choose(self, y: Array, vector: GradientVector, shared: int) -> Signs:
        axes = largest(y, self.count)
        return Signs(nearest_float32(vector.norm), axes, to_host(y[like(axes, y)] < 0))

    def _pack(self, symbols: Signs, out: BitWriter) -> None:
        out.write_float32(symbols.length)
        out.write_int(encode_subset(symbols.axes, self.size), subset_bits(self.size, self.count))
        out.write(symbols.negative, 1)

    def _unpack(self, bits: BitReader) -> Signs:
        length = read_magnitude(bits, "the norm")
        code = bits.read_int(subset_bits(self.size, self.count))
        axes = decode_subset(code, self.size, self.count)
        return Signs(length, axes, bits.read(self.count, 1).astype(bool))

    def _rotated_estimate(self, symbols: Signs, shared: int) -> F64:
        value = symbols.length / self._mean
        y = np.zeros(self.size)
        y[symbols.axes] = np.where(symbols.negative, -value, value)
        return y

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("top_signs(count=3)", 8, enumerable=True),
            Example("top_signs(count=40)", 100, enumerable=True),
            Example("top_signs", 1, enumerable=True),
            Example("top_signs(count=1216)", 70_001),
        )
