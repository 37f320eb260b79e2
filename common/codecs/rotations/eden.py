"""EDEN: a rotated gradient, each coordinate rounded to the best levels for a normal variable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, Array, like, namespace
from gradwire.common.arrays.sums import signed_sum
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.random_rotation import RandomRotationCodec
from gradwire.common.codecs.forms.scales import FLOAT32_MAX, read_magnitude
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.randomness import derived_seed

MAX_BITS = 4
# Lloyd-Max levels of a standard normal variable ([Max], [Lloyd]), the positive half, for 1 to 4 bits; none for 0 bits.
# Each is the mean of the variable between the midpoints to its neighbours.
LEVELS = (
    (0.0,),
    (0.797884560802865356,),
    (0.452780034636492009, 1.5104176084990954),
    (0.245094178944221668, 0.756005281205877275, 1.34390927850499988, 2.15194570453698729),
    (0.12839502985114701, 0.388048299490290197, 0.656759118532463381, 0.942340456486961371,
     1.25623119734717715, 1.61804638602188263, 2.06901722653138658, 2.73258957099516307),
)  # fmt: skip
# E of the squared level: 1 - the mean squared distance to the variable.
ENERGY = (0.0, 0.636619772367581343, 0.882518152170670713, 0.96545223921149625, 0.990498991991808114)


class EdenSymbols(NamedTuple):
    """The scale, and the codes of the finer and of the coarser coordinates, on the gradient's device until packed.

    A code is the index of the level's magnitude, plus the number of magnitudes for a negative level.
    """

    scale: float
    codes: tuple[Array, Array]


@register
@dataclass(frozen=True, kw_only=True)
class Eden(RandomRotationCodec[EdenSymbols]):
    """Rotate, round each coordinate to ``bits`` bits, and scale so that the estimate's component along x is x.

    [EDEN], and [DRIVE] at 1 bit, with three Hadamard rounds in place of one; theory 5. The levels Q are Lloyd-Max's for
    N(0, 1), applied to sqrt(D) y / |y|; the scale is |y|^2 / <y, Q(y)>. Of D coordinates n = round(frac(bits) D) have
    one bit more than the others. These are the n from a public random one on, cyclically: only the probability of each
    coordinate matters. Below 1 bit the others are not sent: the scale is that of all signs, and the n are decoded D / n
    times as long.

    Payload: the scale as a float32, rounded at random, then D floor(bits) + n bits.
    Unbiased over the rotation (see ``RandomRotationCodec``), from 1 bit on with <x, estimate> = |x|^2 for every single
    rotation, on average over the rounding. Variance (1 / e - 1) |x|^2, e the mean of E Q(N)^2 over coordinates:
    (pi / 2) D / n - 1 below 1 bit, 0.571, 0.133, 0.0358, 0.0096 at 1, 2, 3 and 4 bits, for large D.

    Args:
        bits: per coordinate, above 0 and at most 4; not necessarily an integer.

    Raises:
        SpecError: bits outside these bounds.

    >>> from gradwire.common.codecs import parse
    >>> parse("eden(2)", dim=65_536).nbits, round(parse("eden(0.25)", dim=65_536).variance(), 3)
    (131104, 5.283)
    """

    bits: float = 1.0

    name = "eden"
    source = "[EDEN]"
    plan_templates = ("eden({share})",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.bits <= MAX_BITS:
            raise SpecError(
                f"{self.name}: bits is {self.bits}, expected above 0, at most {MAX_BITS} per coordinate"
            )

    @property
    def _width(self) -> int:
        """Bits per coarser coordinate."""
        return math.floor(self.bits)

    @property
    def _widths(self) -> tuple[int, int]:
        """Bits per finer coordinate, and per coarser one."""
        return math.ceil(self.bits), self._width

    @cached_property
    def finer(self) -> int:
        """The number n of coordinates with one bit more; at least 1 where the others have none."""
        count = round((self.bits - self._width) * self.size)
        return max(count, 1) if self._width == 0 else count

    @cached_property
    def nbits(self) -> int:
        return 32 + self.size * self._width + self.finer

    @property
    def _relative_variance(self) -> float:
        share = self.finer / self.size
        finer, coarser = (ENERGY[width] for width in self._widths)
        return 1 / (share * finer + (1 - share) * coarser) - 1

    # ---- encoding ------------------------------------------------------------------------------------------

    def _round_rotated(self, y: Array, vector: GradientVector, shared: int) -> EdenSymbols:
        xp = namespace(y)
        y = xp.roll(y, -self._start(shared))
        unit = vector.sums.norm / math.sqrt(self.size)
        finer = _round_to_levels(y[: self.finer], self._widths[0], unit)
        coarser = _round_to_levels(y[self.finer :], max(1, self._width), unit)
        along = finer.along + coarser.along
        scale = vector.factor * (vector.sums.norm / along) * vector.sums.norm if along > 0 else 0.0
        kept = coarser.codes if self._width else coarser.codes[:0]
        return EdenSymbols(scale, (finer.codes, kept))

    def _pack(self, symbols: EdenSymbols, out: BitWriter) -> None:
        out.write_float32(symbols.scale)
        for codes, width in zip(symbols.codes, self._widths, strict=True):
            out.write(codes, width)

    def _start(self, shared: int) -> int:
        """The first of the finer coordinates: uniform, because the size is a power of two."""
        return derived_seed(shared, "eden") % self.size

    # ---- decoding ------------------------------------------------------------------------------------------

    def _unpack(self, bits: BitReader) -> EdenSymbols:
        scale = read_magnitude(bits, "the scale")
        finer = bits.read(self.finer, self._widths[0])
        return EdenSymbols(scale, (finer, bits.read(self.size - self.finer, self._width)))

    def _rotated_estimate(self, symbols: EdenSymbols, shared: int) -> F64:
        scale = symbols.scale if self._width else symbols.scale * (self.size / self.finer)
        parts = [scale * _signed_levels(w)[c] for c, w in zip(symbols.codes, self._widths, strict=True)]
        y: F64 = np.roll(np.concatenate(parts), self._start(shared))
        return y

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("eden(bits=2.0)", 8, enumerable=True),
            Example("eden(bits=3.25)", 100, enumerable=True),
            Example("eden(bits=0.5)", 100, enumerable=True),
            Example("eden(bits=4.0)", 1, enumerable=True),
            Example("eden(bits=0.02)", 70_001),
            Example("eden(bits=1.5)", 70_001),
        )


class _RoundedPart(NamedTuple):
    """Codes [n], and the inner product of the values with their levels."""

    codes: Array
    along: float


def _round_to_levels(y: Array, width: int, unit: float) -> _RoundedPart:
    """Round values [n] of mean square unit^2 to the nearest levels times unit, element by element."""
    xp = namespace(y)
    levels = np.array(LEVELS[width])
    magnitudes = xp.abs(y)
    codes = xp.zeros(y.shape, dtype=xp.int32, **({} if isinstance(y, np.ndarray) else {"device": y.device}))
    for middle in (levels[1:] + levels[:-1]) / 2:
        # A float32, so that the comparison is the same in either type; at the largest, nothing is above it.
        codes += magnitudes > float(np.float32(min(middle * unit, FLOAT32_MAX)))
    along = signed_sum(magnitudes * like(levels, y)[xp.astype(codes, xp.int64)]) if y.shape[0] else 0.0
    codes += xp.astype(y < 0, xp.int32) * levels.size
    return _RoundedPart(codes, along)


@cache
def _signed_levels(width: int) -> NDArray[np.float64]:
    """The level of each code: float64 [2^width]."""
    positive = np.array(LEVELS[width])
    return np.concatenate([positive, -positive])
