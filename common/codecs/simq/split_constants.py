"""The constants of the split quantizer of [S], for gain 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradwire.common.arrays.tetration import range_bits


@dataclass(frozen=True)
class SplitConstants:
    """[S] equations 6 to 8 with the choices of theory 2.4 (erratum S4), for ``dim`` coordinates and 1/p + 1/q = 1.

    Powers are rounded to float32: mathematics libraries may differ in the last digit of a float64.

    >>> at = SplitConstants(4096, 4 / 3)
    >>> at.large_bits, at.small_bits, at.max_large
    (6, 3, 682)
    """

    dim: int
    p: float

    @property
    def q(self) -> float:
        """The dual exponent p / (p - 1)."""
        return math.inf if self.p == 1 else self.p / (self.p - 1)

    @cached_property
    def large_bits(self) -> int:
        """Bits of a large coordinate's level: Delta_1 = ceil log2(2 + sqrt(18 + 6 ln Delta_2) d^(1/2 - 1/q)).

        Delta_2 = max(1, ceil log2(1 + ln*(d / 3))).
        """
        factor = math.sqrt(18 + 6 * math.log(max(1, range_bits(self.dim))))
        return math.ceil(math.log2(2 + factor * self.dim ** (0.5 - 1 / self.q)))

    @cached_property
    def small_bits(self) -> int:
        """Bits of a small coordinate's level: log2(k + 1) = ceil log2(2 sqrt(2) Delta_1^(1/q) + 2)."""
        return math.ceil(math.log2(2 * math.sqrt(2) * self.large_bits ** (1 / self.q) + 2))

    @cached_property
    def threshold(self) -> float:
        """The magnitude beyond which a coordinate is large: c = (Delta_1 / d)^(1/q)."""
        return float(np.float32(min(1.0, (self.large_bits / self.dim) ** (1 / self.q))))

    @cached_property
    def max_large(self) -> int:
        """The largest number of large coordinates: d' = ceil(d / Delta_1) - 1; 0 for q = inf."""
        return 0 if math.isinf(self.q) else -(-self.dim // self.large_bits) - 1

    @cached_property
    def large_norm(self) -> float:
        """The largest l2 norm of ``max_large`` coordinates: B' = d'^(1/2 - 1/q)."""
        return float(np.float32(self.max_large ** (0.5 - 1 / self.q)))
