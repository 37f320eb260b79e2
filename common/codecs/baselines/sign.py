"""signSGD: the signs of all coordinates, and one scale."""

from __future__ import annotations

from dataclasses import dataclass

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.scales import nearest_float32, read_magnitude
from gradwire.common.codecs.forms.two_values import TwoValueCodec, TwoValues
from gradwire.common.codecs.vector import GradientVector


@register
@dataclass(frozen=True, kw_only=True)
class Sign(TwoValueCodec):
    """(|x|_1 / d) sign(x_i), where sign(0) = 1: the scale with which signs are nearest to the gradient.

    [signSGD], with the scale of [EF], where Lemma 8 proves a contraction and error feedback compensates the bias
    (``worker/feedback.py``); theory 11.

    Payload: the scale as a float32, then 1 bit per coordinate.
    Biased, without randomness: the squared error is |x|^2 - |x|_1^2 / d, at most |x|^2 (1 - 1/d), at one coordinate.

    >>> import numpy as np
    >>> from gradwire.common.codecs import parse
    >>> sign = parse("sign", dim=3)
    >>> sign.decode(sign.encode(np.array([2.0, -0.5, 0.5]), np.random.default_rng(0)))
    array([ 1., -1.,  1.])
    """

    name = "sign"
    source = "[signSGD]; scale: [EF] Lemma 8"

    @property
    def nbits(self) -> int:
        return 32 + self.dim

    def _round(self, vector: GradientVector, shared: int) -> TwoValues:
        sums = vector.sums
        scale = nearest_float32(sums.total / sums.slack / self.dim)
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
