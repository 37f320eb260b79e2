"""One-bit codecs: each coordinate decodes to one of two values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gradwire.common.arrays.compat import F64, Array
from gradwire.common.codecs.forms.deterministic import DeterministicCodec


class TwoValues(NamedTuple):
    """The two values, and which coordinates have the second: bool [n], on the gradient's device until packed."""

    positive_value: float
    negative_value: float
    negative: Array


@dataclass(frozen=True, kw_only=True)
class TwoValueCodec(DeterministicCodec[TwoValues]):
    """One bit per coordinate selects one of two values; biased, with error at most |x|^2 (1 - 1/d)."""

    unbiased = False

    def variance(self, norm: float = 1.0) -> float:
        return norm**2 * (1 - 1 / self.dim)

    def _reconstruct(self, symbols: TwoValues, shared: int) -> F64:
        two = np.array([symbols.positive_value, symbols.negative_value])
        values: F64 = two[np.asarray(symbols.negative, np.int8)]
        return values
