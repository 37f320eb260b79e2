"""AGUQ, the adaptive geometric uniform quantizer: a gain for norms of which only the mean square is bounded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64
from gradwire.common.codecs.forms.gain import Gain, GainOutcome, NoiseAt, NormEstimate, register_gain
from gradwire.common.codecs.forms.scales import FLOAT32_MAX, FLOAT32_TINY
from gradwire.common.errors import PayloadError, SpecError

MAX_HORIZON = 1 << 40
SQUARED_RATIO = 2  # a: the ratio of squares of neighbouring ranges
# Norms below this share of the bound are sent as zero: scaled up to the first level, they might overflow.
ZERO_BELOW = 2.0**-200
# A norm whose estimate is above the reach by at most this share counts as the reach: float32 sums over-estimate a norm
# by up to 3.2e-5, and then one at the reach would be sent as zero.
REACH_SLACK = 2.0**-14
# ``largest_error`` evaluates the error at SAMPLES norms, and at this share below and above each of them: its result is
# at most a thousandth too small.
SAMPLES = 1024
SAMPLE_OFFSET = 2.0**-40


@register_gain
@dataclass(frozen=True)
class AguqGain(Gain):
    """For E |x|^2 <= bound^2: a range of a geometric grid and a uniform level of it, without bias.

    [S] section 7 after [R]; constants as derived in theory 2.3. M_j = bound a^(j/2), a = 2, j < h = 1 + ceil log_a T,
    T = ``horizon`` the number of rounds. Sent: the least M_j that holds the norm, and one of k levels M_j l / (k - 1),
    rounded without bias; log2(k + 1) = ceil log2(2 + sqrt(1 + a (h - 1)) / 2). Bits: ceil log2 h + log2(k + 1), that
    is 7 for T = 1,000 and 8 for T = 1,000,000.

    Unbiased up to M_{h-1} >= bound sqrt(T); longer gradients are sent as zero, a bias of at most bound / sqrt(T) on
    average. The norm that counts is the estimate, up to 3.2e-5 above the norm where sums are float32; one up to 2^-14
    beyond M_{h-1} is clipped to it, so that a gradient at M_{h-1} is not lost but at most 3.2e-5 shorter on average.
    E gain^2 <= bound^2 (1 + (1 + a (h - 1)) / (4 (k - 1)^2)). Not private: the header depends on the data.
    The overflow symbol of [R] is not needed: the lowest level of the first range also decodes to 0.

    Raises:
        SpecError: a horizon outside 1 to 2**40, or a bound that float32 does not hold with it.

    >>> AguqGain(1.0, 1000).nbits, AguqGain(1.0, 10**6).nbits
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
    def range_count(self) -> int:
        """The number h of ranges."""
        return 1 + (self.horizon - 1).bit_length()

    @cached_property
    def level_bits(self) -> int:
        """Bits of a level: log2(k + 1)."""
        return math.ceil(math.log2(2 + math.sqrt(1 + SQUARED_RATIO * (self.range_count - 1)) / 2))

    @cached_property
    def range_bits(self) -> int:
        """Bits of a range: ceil log2 h."""
        return (self.range_count - 1).bit_length()

    @cached_property
    def nbits(self) -> int:
        return self.range_bits + self.level_bits

    @cached_property
    def reach(self) -> float:
        """M_{h-1}, the largest norm that is sent without bias."""
        return self.bound * math.sqrt(float(SQUARED_RATIO ** (self.range_count - 1)))

    @property
    def second_moment(self) -> float:
        """An upper bound of E gain^2 over norms with E |x|^2 <= bound^2 (theory 2.3)."""
        noise: float = (1 + SQUARED_RATIO * (self.range_count - 1)) / (4 * (2**self.level_bits - 2) ** 2)
        return self.bound**2 * (1 + noise)

    @cached_property
    def _table(self) -> F64:
        """The gain of each (range, level): float64 [h, k], and NaN where no encoder uses a level.

        Square roots and products are rounded alike on every machine. A norm in range j > 0 is beyond M_{j-1}, so it is
        never rounded to a level below the last one under that.
        """
        top = (1 << self.level_bits) - 2
        reaches = self.bound * np.sqrt(np.ldexp(1.0, np.arange(self.range_count)))
        table = reaches[:, None] * (np.arange(top + 1) / top)
        table[1:, : math.floor(top / math.sqrt(SQUARED_RATIO))] = np.nan
        return table

    @cached_property
    def _is_used(self) -> NDArray[np.bool_]:
        """Which (range, level) an encoder writes: of two with the same gain (M_2 / 2 = M_0), the first."""
        flat = self._table.ravel()
        used = np.zeros(flat.size, bool)
        used[np.unique(flat, return_index=True)[1]] = True
        return (used & ~np.isnan(flat)).reshape(self._table.shape)

    def law(self, norm: NormEstimate) -> tuple[GainOutcome, ...]:
        table = self._table
        if 1 < norm.value / table[-1, -1] <= 1 + REACH_SLACK:
            reach = float(table[-1, -1])
            return (GainOutcome(reach, reach / norm.value, 1.0),)
        j = int(np.searchsorted(table[:, -1], norm.value))
        if j == self.range_count or norm.value < self.bound * ZERO_BELOW:
            return (GainOutcome(0.0, 0.0, 1.0),)
        scaled = min(norm.value / table[j, -1], 1.0) * (table.shape[1] - 1)
        level = math.floor(scaled)
        both = ((level, 1 - (scaled - level)), (level + 1, scaled - level))
        return tuple(
            GainOutcome(float(table[j, at]), float(table[j, at]) / norm.value, p) for at, p in both if p > 0
        )

    def write(self, gain: float, out: BitWriter) -> None:
        j, level = (int(found[0]) for found in np.nonzero(self._table == gain))
        out.write_int(j, self.range_bits)
        out.write_int(level, self.level_bits)

    def read(self, bits: BitReader) -> F64:
        j = bits.read(1, self.range_bits)[..., 0]
        level = bits.read(1, self.level_bits)[..., 0]
        h, k = self._table.shape
        at = np.minimum(j, h - 1), np.minimum(level, k - 1)
        if not ((j < h) & (level < k) & self._is_used[at]).all():
            raise PayloadError("the gain's range and level are not two that are sent together: it is corrupt")
        gain: F64 = self._table[at]
        return gain

    def largest_error(self, shortest: float, longest: float, l2_norm: float, noise: NoiseAt) -> float:
        """By evaluation at many norms, and just beside them, because the error jumps where the next range begins.

        Args:
            shortest: the least norm of a gradient with that l2 norm.
            longest: the largest one.
            l2_norm: |x|.
            noise: E|decode(encode(x)) - scale * x|^2 by gain and scale.
        """
        between = np.geomspace(shortest, longest, SAMPLES) if 0 < shortest < longest else [longest]
        return max(
            self.error(float(at) * (1 + offset), l2_norm, noise)
            for at in between
            for offset in (-SAMPLE_OFFSET, 0, SAMPLE_OFFSET)
        )
