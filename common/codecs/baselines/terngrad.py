"""TernGrad: signs and zeros under one scale, five coordinates per byte."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import Array
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.scaled_levels import ScaledLevelsCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.lossless.trits import read_trits, trits_nbits, write_trits


@register
@dataclass(frozen=True, kw_only=True)
class TernGrad(ScaledLevelsCodec):
    """s sign(x_i) b_i with s = |x|_inf as a float32 and b_i = 1 with probability |x_i| / s, else 0.

    [TernGrad] equations 1 to 4, with one scale for the whole vector and no clipping; theory 11.

    Payload: s, then trits 1 + sign(x_i) b_i in base three, five per byte: 1.6 bits per coordinate.
    Unbiased; variance s |x|_1 - |x|^2, at most |x|^2 (sqrt(d) - 1) / 2 when s is a float32, at vectors with one
    coordinate cos(t) and the others sin(t) / sqrt(d - 1), tan 2t = sqrt(d - 1).

    >>> from gradwire.common.codecs import parse
    >>> parse("terngrad", dim=1000).nbits
    1632
    """

    name = "terngrad"
    source = "[TernGrad] eq 1 to 4"
    variance_is_bound = True
    scale_name = "the scale"
    top = 1

    @property
    def nbits(self) -> int:
        return 32 + trits_nbits(self.dim)

    def variance(self, norm: float = 1.0) -> float:
        return norm**2 * (math.sqrt(self.dim) - 1) / 2

    def _scale(self, vector: GradientVector) -> float:
        return vector.linf

    def _write_levels(self, levels: Array, out: BitWriter) -> None:
        write_trits(levels + 1, out)

    def _read_levels(self, bits: BitReader) -> Array:
        levels = read_trits(bits, self.dim).astype(np.int8)
        levels -= 1
        return levels

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("terngrad", 3, enumerable=True),
            Example("terngrad", 6, enumerable=True),
            Example("terngrad", 1, enumerable=True),
            Example("terngrad", 70_001),
        )
