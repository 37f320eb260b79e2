"""The constants of the split quantizer of SimQ's paper, for gain 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradwire.common.arrays.tetration import range_bits


@dataclass(frozen=True)
class SplitConstants:
    """Equations 6 to 8 of [S], as theory 2.4 settles them (erratum S4), for ``dim`` coordinates and 1/p + 1/q = 1.

    Powers are rounded to float32: mathematics libraries may differ in the last digit of a float64.

    >>> at = SplitConstants(4096, 4 / 3)
    >>> at.large_bits, at.small_bits, at.most
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
        """Delta_1 = ceil log2(2 + sqrt(18 + 6 ln Delta_2) d^(1/2 - 1/q)): bits of a large coordinate's level.

        Delta_2 = max(1, ceil log2(1 + ln*(d / 3))).
        """
        factor = math.sqrt(18 + 6 * math.log(max(1, range_bits(self.dim))))
        return math.ceil(math.log2(2 + factor * self.dim ** (0.5 - 1 / self.q)))

    @cached_property
    def small_bits(self) -> int:
        """log2(k + 1) = ceil log2(2 sqrt(2) Delta_1^(1/q) + 2): bits of a small coordinate's level."""
        return math.ceil(math.log2(2 * math.sqrt(2) * self.large_bits ** (1 / self.q) + 2))

    @cached_property
    def threshold(self) -> float:
        """The threshold c = (Delta_1 / d)^(1/q): larger coordinates than that are large."""
        return float(np.float32(min(1.0, (self.large_bits / self.dim) ** (1 / self.q))))

    @cached_property
    def most(self) -> int:
        """How many coordinates may be large: fewer than d / Delta_1, d' = ceil(d / Delta_1) - 1; none for q = inf."""
        return 0 if math.isinf(self.q) else -(-self.dim // self.large_bits) - 1

    @cached_property
    def large_norm(self) -> float:
        """B' = d'^(1/2 - 1/q): the largest l2 norm of so many coordinates."""
        return float(np.float32(self.most ** (0.5 - 1 / self.q)))
