"""One bit a coordinate: scaled signs, and 1-bit SGD's two means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradwire.common.codecs.base import Example
from gradwire.common.codecs.deterministic import DeterministicCodec
from gradwire.common.codecs.dithered import below_float32, read_magnitude
from gradwire.common.codecs.registry import register
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import PayloadError
from gradwire.common.kernels.arrays import F64, Array, namespace
from gradwire.common.kernels.bits import BitReader, BitWriter
from gradwire.common.kernels.blocks import block_sums


class TwoValues(NamedTuple):
    """``negative`` (bool [n], on the gradient's device until packed) says which coordinates have the second value."""

    positive_value: float
    negative_value: float
    negative: Array


@dataclass(frozen=True, kw_only=True)
class _OneBit(DeterministicCodec[TwoValues]):
    """A bit a coordinate says which of two values it has."""

    unbiased = False

    def variance(self, norm: float = 1.0) -> float:
        return norm**2 * (1 - 1 / self.dim)

    def _reconstruct(self, symbols: TwoValues, shared: int) -> F64:
        two = np.array([symbols.positive_value, symbols.negative_value])
        values: F64 = two[np.asarray(symbols.negative, np.int8)]
        return values


@register
@dataclass(frozen=True, kw_only=True)
class Sign(_OneBit):
    """signSGD with the scale that makes signs nearest to the gradient: (|x|_1 / d) sign(x_i), where sign(0) = 1.

    Bernstein, Wang, Azizzadenesheli, Anandkumar, ICML 2018; the scale of Karimireddy, Rebjock, Stich, Jaggi, ICML 2019,
    who prove it a contraction (Lemma 8) and mend its bias by error feedback (see ``worker.feedback``). Payload: the
    scale as a float32, then 1 bit a coordinate.

    Biased, without randomness: the squared error is |x|^2 - |x|_1^2 / d, at most |x|^2 (1 - 1/d), at one coordinate.

    >>> from gradwire.common.codecs import parse
    >>> sign = parse("sign", dim=3)
    >>> sign.decode(sign.encode(np.array([2.0, -0.5, 0.5]), np.random.default_rng(0)))
    array([ 1., -1.,  1.])
    """

    name = "sign"
    source = "signSGD (Bernstein et al. 2018); scale: Karimireddy et al. 2019, Lemma 8"

    @property
    def nbits(self) -> int:
        return 32 + self.dim

    def _choose(self, vector: GradientVector, shared: int) -> TwoValues:
        sums = vector.sums
        scale = _float32(sums.total / sums.slack / self.dim)
        return TwoValues(scale, -scale, vector.values < 0)

    def _pack(self, symbols: TwoValues, out: BitWriter) -> None:
        out.write_float32(symbols.positive_value)
        out.write(symbols.negative, 1)

    def _unpack(self, bits: BitReader) -> TwoValues:
        scale = read_magnitude(bits, "the scale")
        return TwoValues(scale, -scale, bits.read(self.dim, 1))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("sign", 3, enumerable=True),
            Example("sign", 1, enumerable=True),
            Example("sign", 70_001),
        )


@register
@dataclass(frozen=True, kw_only=True)
class OneBit(_OneBit):
    """1-bit SGD: coordinates below 0 become their mean, and so do the others.

    Seide, Fu, Droppo, Li, Yu, Interspeech 2014, for which error feedback was invented (see
    ``worker.feedback``); there a weight matrix has two means a column, here the whole vector has two. Payload:
    the mean of the non-negative coordinates and minus the mean of the negative ones as float32, then 1 bit a
    coordinate.

    Biased, without randomness: the squared error is |x|^2 - n m^2 - n' m'^2 for n, n' coordinates with means m, m'; at
    most |x|^2 (1 - 1/d), at one positive coordinate.

    >>> from gradwire.common.codecs import parse
    >>> onebit = parse("onebit", dim=3)
    >>> onebit.decode(onebit.encode(np.array([2.0, -0.5, 0.5]), np.random.default_rng(0)))
    array([ 1.25, -0.5 ,  1.25])
    """

    name = "onebit"
    source = "1-bit SGD (Seide et al. 2014)"

    @property
    def nbits(self) -> int:
        return 64 + self.dim

    def _choose(self, vector: GradientVector, shared: int) -> TwoValues:
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
            raise PayloadError("a mean is sent of no coordinates: the payload is corrupt")
        return TwoValues(above, -below, negative)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("onebit", 3, enumerable=True),
            Example("onebit", 1, enumerable=True),
            Example("onebit", 70_001),
        )


def _mean_magnitude(values: Array, count: int) -> float:
    """The sum of magnitudes over ``count``, as a float32; sums in a fixed order, the same on every backend."""
    if count == 0:
        return 0.0
    sums = block_sums(values)
    return _float32(sums.total / sums.slack / count)


def _float32(value: float) -> float:
    """The nearest float32.

    Raises:
        DomainError: beyond float32.
    """
    return float(np.float32(below_float32(value)))
