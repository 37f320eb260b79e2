"""TernGrad: signs and zeros, five coordinates to a byte."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, Array
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.dithered import (
    DitheredCodec,
    Levels,
    below_float32,
    check_zero,
    levels_per,
    on_grid,
    read_magnitude,
)
from gradwire.common.codecs.forms.gain import round_up_float32
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.lossless.trits import read_trits, trits_nbits, write_trits


@register
@dataclass(frozen=True, kw_only=True)
class TernGrad(DitheredCodec[float]):
    """s sign(x_i) b_i with s = |x|_inf as a float32 and b_i = 1 with probability |x_i| / s, else 0.

    Wen, Xu, Yan, Wu, Wang, Chen, Li, NeurIPS 2017, equations 1 to 4; one scale for the whole vector and no clipping.
    Payload: s, then trits 1 + sign(x_i) b_i in base three, five to a byte: 1.6 bits a coordinate.

    Unbiased. Variance s |x|_1 - |x|^2; at most |x|^2 (sqrt(d) - 1) / 2 when s is a float32, at vectors with one
    coordinate cos(t) and the others sin(t) / sqrt(d - 1), tan 2t = sqrt(d - 1).

    >>> from gradwire.common.codecs import parse
    >>> parse("terngrad", dim=1000).nbits
    1632
    """

    name = "terngrad"
    source = "TernGrad (Wen et al. 2017), eq. 1-4"
    variance_is_bound = True

    @property
    def nbits(self) -> int:
        return 32 + trits_nbits(self.dim)

    def variance(self, norm: float = 1.0) -> float:
        return norm**2 * (math.sqrt(self.dim) - 1) / 2

    def _grid(self, vector: GradientVector, values: Array) -> float:
        return round_up_float32(below_float32(vector.linf))

    def _onto(self, values: Array, grid: float) -> Array:
        return values * levels_per(grid, 1)

    def _step(self, grid: float) -> float:
        return grid

    def _pack(self, symbols: Levels, out: BitWriter) -> None:
        out.write_float32(symbols.grid)
        write_trits(symbols.levels + 1, out)

    def _unpack(self, bits: BitReader) -> Levels:
        scale = read_magnitude(bits, "the scale")
        levels = read_trits(bits, self.dim).astype(np.int8)
        levels -= 1
        check_zero(scale, levels, "the scale")
        return Levels(scale, levels)

    def _reconstruct(self, symbols: Levels, shared: int) -> F64:
        return on_grid(symbols.levels, symbols.grid)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("terngrad", 3, enumerable=True),
            Example("terngrad", 6, enumerable=True),
            Example("terngrad", 1, enumerable=True),
            Example("terngrad", 70_001),
        )
