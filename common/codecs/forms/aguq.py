"""AGUQ, the adaptive geometric uniform quantizer of a length whose mean square is bounded, not the length itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64
from gradwire.common.codecs.forms.gain import FLOAT32_MAX, FLOAT32_TINY, Choice, Gain, Length, register_gain
from gradwire.common.errors import PayloadError, SpecError

MAX_HORIZON = 1 << 40
SQUARE = 2  # a: the ratio of squares of neighbouring ranges
NOTHING = (
    2.0**-200
)  # lengths below that share of the bound are sent as zero: the scale up from them might overflow
BESIDE = 2.0**-40
SAMPLES = 1024  # lengths at which ``largest`` looks: its answer is a thousandth short at most


@register_gain
@dataclass(frozen=True)
class Aguq(Gain):
    """For oracles with E |x|^2 <= bound^2: a range of a geometric grid, and a uniform level of that, without bias.

    [S] section 7 after [R]; constants as derived in theory 2.3. With M_j = bound a^(j/2), a = 2, j < h = 1 + ceil log_a
    T, T = ``horizon`` the number of rounds: the least M_j that holds the length, and one of k levels M_j l / (k - 1),
    rounded without bias; log2(k + 1) = ceil log2(2 + sqrt(1 + a (h - 1)) / 2). Bits: ceil log2 h + log2(k + 1): 7 for T
    = 1000, 8 for a million.

    Unbiased up to M_{h-1} >= bound sqrt(T); longer gradients are sent as zero, which costs a bias of bound / sqrt(T) at
    most, on average. E gain^2 <= bound^2 (1 + (1 + a (h - 1)) / (4 (k - 1)^2)). Not private: the header depends on the
    data. The papers' symbol for an overflow is not needed: the lowest level of the first range means the same.

    >>> Aguq(1.0, 1000).nbits, Aguq(1.0, 10**6).nbits
    (7, 8)
    """

    bound: float
    horizon: int

    name: ClassVar[str] = "aguq"

    def __post_init__(self) -> None:
        if not 1 <= self.horizon <= MAX_HORIZON:
            raise SpecError(f"aguq: horizon is {self.horizon}, expected 1 to {MAX_HORIZON} rounds")
        if not (self.bound >= FLOAT32_TINY and self.reach <= FLOAT32_MAX):
            raise SpecError(f"aguq: the bound is {self.bound}, expected 1.2e-38 to 3.4e38 / sqrt(horizon)")

    @cached_property
    def ranges(self) -> int:
        """H."""
        return 1 + (self.horizon - 1).bit_length()

    @cached_property
    def level_bits(self) -> int:
        """log2(k + 1)."""
        return math.ceil(math.log2(2 + math.sqrt(1 + SQUARE * (self.ranges - 1)) / 2))

    @cached_property
    def range_bits(self) -> int:
        """Ceil log2 h."""
        return (self.ranges - 1).bit_length()

    @cached_property
    def nbits(self) -> int:
        return self.range_bits + self.level_bits

    @cached_property
    def reach(self) -> float:
        """The largest length that is sent without bias."""
        return self.bound * math.sqrt(float(SQUARE ** (self.ranges - 1)))

    @cached_property
    def _values(self) -> F64:
        """What each (range, level) stands for: float64 [h, k], and NaN where no encoder uses a level.

        Square roots and products are rounded alike on every machine. A length in range j > 0 is beyond M_{j-1}, so it
        is never rounded to a level below the last one under that.
        """
        top = (1 << self.level_bits) - 2
        reaches = self.bound * np.sqrt(np.ldexp(1.0, np.arange(self.ranges)))
        values = reaches[:, None] * (np.arange(top + 1) / top)
        values[1:, : math.floor(top / math.sqrt(SQUARE))] = np.nan
        return values

    @cached_property
    def _written(self) -> NDArray[np.bool_]:
        """Which (range, level) are used: of two that stand for one number (M_2 / 2 = M_0), the first."""
        flat = self._values.ravel()
        written = np.zeros(flat.size, bool)
        written[np.unique(flat, return_index=True)[1]] = True
        return (written & ~np.isnan(flat)).reshape(self._values.shape)

    def law(self, length: Length) -> tuple[Choice, ...]:
        values = self._values
        j = int(np.searchsorted(values[:, -1], length.near))
        if j == self.ranges or length.near < self.bound * NOTHING:
            return (Choice(0.0, 0.0, 1.0),)
        scaled = min(length.near / values[j, -1], 1.0) * (values.shape[1] - 1)
        level = math.floor(scaled)
        both = ((level, 1 - (scaled - level)), (level + 1, scaled - level))
        return tuple(
            Choice(float(values[j, at]), float(values[j, at]) / length.near, p) for at, p in both if p > 0
        )

    def write(self, gain: float, out: BitWriter) -> None:
        j, level = (int(found[0]) for found in np.nonzero(self._values == gain))
        out.write_int(j, self.range_bits)
        out.write_int(level, self.level_bits)

    def read(self, bits: BitReader) -> F64:
        j = bits.read(1, self.range_bits)[..., 0]
        level = bits.read(1, self.level_bits)[..., 0]
        h, k = self._values.shape
        at = np.minimum(j, h - 1), np.minimum(level, k - 1)
        if not ((j < h) & (level < k) & self._written[at]).all():
            raise PayloadError("the gain's range and level are not two that are sent together: it is corrupt")
        gain: F64 = self._values[at]
        return gain

    def largest(self, shortest: float, longest: float, error: Callable[[float, float], float]) -> float:
        """By looking at many lengths between the two, and beside them: the noise jumps where the next range begins."""
        between = np.geomspace(shortest, longest, SAMPLES) if 0 < shortest < longest else [longest]
        return max(
            self.average(float(at) * (1 + side), error) for at in between for side in (-BESIDE, 0, BESIDE)
        )
