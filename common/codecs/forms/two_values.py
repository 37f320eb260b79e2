"""The form of one-bit codecs: each coordinate has one of two values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gradwire.common.arrays.compat import F64, Array
from gradwire.common.codecs.forms.deterministic import DeterministicCodec
from gradwire.common.codecs.forms.dithered import below_float32


class TwoValues(NamedTuple):
    """``negative`` (bool [n], on the gradient's device until packed) says which coordinates have the second value."""

    positive_value: float
    negative_value: float
    negative: Array


@dataclass(frozen=True, kw_only=True)
class TwoValueCodec(DeterministicCodec[TwoValues]):
    """One bit per coordinate says which of two values it has."""

    unbiased = False

    def variance(self, norm: float = 1.0) -> float:
        return norm**2 * (1 - 1 / self.dim)

    def _reconstruct(self, symbols: TwoValues, shared: int) -> F64:
        two = np.array([symbols.positive_value, symbols.negative_value])
        values: F64 = two[np.asarray(symbols.negative, np.int8)]
        return values


def to_float32(value: float) -> float:
    """The nearest float32.

    Raises:
        DomainError: beyond float32.
    """
    return float(np.float32(below_float32(value)))
